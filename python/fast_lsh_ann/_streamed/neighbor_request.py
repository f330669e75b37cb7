"""What a caller asks of a search of two tables, checked, and the tables opened."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fast_lsh_ann._inputs import as_count, as_min_collisions
from fast_lsh_ann._invalid import OnInvalid, as_skip
from fast_lsh_ann._streamed.carried import as_names, carried_sides, refuse_clashes
from fast_lsh_ann._tables.delta import Version, location
from fast_lsh_ann._tables.embeddings import EmbeddingReader
from fast_lsh_ann._tables.opening import open_source
from fast_lsh_ann._tables.source import Source
from fast_lsh_ann.model import (
    BucketedRandomProjectionLSH,
    BucketedRandomProjectionLSHModel,
)

# Columns of the output whatever is carried along.
_OWN = ("query_id", "neighbor_id", "rank", "distance")


@dataclass(frozen=True)
class NeighborTerms:
    """What is searched for, whatever the tables."""

    k: int
    min_collisions: int  # 0: exact
    lsh: BucketedRandomProjectionLSH

    @property
    def text(self) -> str:
        """The parameters that decide the answer."""
        if self.min_collisions == 0:
            return f"k={self.k}, exact=True"
        collisions = f"min_collisions={self.min_collisions}"
        return f"k={self.k}, {collisions}, {self.lsh._parameters()}"

    def model(self, dim: int) -> BucketedRandomProjectionLSHModel | None:
        """Make the model for rows of a dimension; an exact search has none."""
        return self.lsh.create_model(dim) if self.min_collisions > 0 else None


@dataclass(frozen=True)
class NeighborRequest:
    """The arguments of a search, as the methods of processors take them."""

    queries: Any
    base: Any
    k: int
    exact: bool
    min_collisions: int
    embedding_column: str
    id_column: str | None
    queries_embedding_column: str | None
    queries_id_column: str | None
    columns: Sequence[str]
    where_queries: str | None
    where_base: str | None
    version_queries: Version
    version_base: Version
    on_invalid: OnInvalid

    def terms(self, lsh: BucketedRandomProjectionLSH) -> NeighborTerms:
        """Check the numbers.

        Raises
        ------
        InputTypeError, ParameterError
            If one is of the wrong type or out of range.
        """
        return NeighborTerms(
            as_count(self.k, "k", 1),
            as_min_collisions(self.min_collisions, lsh.num_hash_tables, self.exact),
            lsh,
        )

    def open(
        self, storage_options: Mapping[str, str] | None
    ) -> tuple[EmbeddingReader, EmbeddingReader]:
        """Open queries and base; one table, of no given versions, at one version.

        Raises
        ------
        ColumnNotFoundError
            If a column to carry along is in neither table.
        ParameterError
            If two columns of the output would have one name.
        TableError, InputTypeError, ParameterError
            As opening tables raises them.
        """
        skip = as_skip(self.on_invalid)
        columns = as_names(self.columns)
        queries = open_source(
            self.queries,
            version=self.version_queries,
            where=self.where_queries,
            storage_options=storage_options,
        )
        base = open_source(
            self.base,
            version=self._version_of_base(queries),
            where=self.where_base,
            storage_options=storage_options,
        )
        sides = carried_sides(columns, queries, base)
        refuse_clashes(
            [
                *_OWN,
                *(f"query_{c}" for c in sides[0]),
                *(f"neighbor_{c}" for c in sides[1]),
            ]
        )
        embedding, ids = self.queries_embedding_column, self.queries_id_column
        return (
            EmbeddingReader(
                queries,
                self.embedding_column if embedding is None else embedding,
                self.id_column if ids is None else ids,
                carried=sides[0],
                skip=skip,
            ),
            EmbeddingReader(
                base, self.embedding_column, self.id_column, carried=sides[1], skip=skip
            ),
        )

    def _version_of_base(self, queries: Source) -> Version:
        tables = (self.queries, self.base)
        named = all(isinstance(table, (str, os.PathLike)) for table in tables)
        given = self.version_queries is not None or self.version_base is not None
        if not named or given or location(self.queries) != location(self.base):
            return self.version_base
        return queries.version
