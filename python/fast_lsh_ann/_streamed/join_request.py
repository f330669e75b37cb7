"""What a caller asks of a join of tables, checked, and the tables opened."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fast_lsh_ann._inputs import as_flag, as_min_collisions, as_threshold, as_upper
from fast_lsh_ann._invalid import OnInvalid, as_skip
from fast_lsh_ann._search import JoinTerms
from fast_lsh_ann._streamed.carried import as_names, carried_sides, refuse_clashes
from fast_lsh_ann._streamed.chunked import JoinTables
from fast_lsh_ann._streamed.keys import check_keys
from fast_lsh_ann._tables.delta import Version, location
from fast_lsh_ann._tables.embeddings import EmbeddingReader
from fast_lsh_ann._tables.opening import open_source
from fast_lsh_ann._tables.source import Source
from fast_lsh_ann.errors import ParameterError

# Columns of the output whatever is carried along.
_OWN = ("id_a", "id_b", "distance")


@dataclass(frozen=True)
class JoinRequest:
    """The arguments of a join, as the methods of processors take them."""

    path_a: Any
    path_b: Any
    threshold: float
    exact: bool
    min_collisions: int
    strict: bool
    self_pairs: str
    by: Sequence[str]
    columns: Sequence[str]
    embedding_column: str
    id_column: str | None
    where_a: str | None
    where_b: str | None
    version_a: Version
    version_b: Version
    on_invalid: OnInvalid

    @property
    def itself(self) -> bool:
        """Whether a table is joined with itself: named once, or twice in the same way."""
        if self.path_b is None:
            return True
        if not _is_one(self.path_a, self.path_b):
            return False
        sides = (self.version_a, self.where_a), (self.version_b, self.where_b)
        return sides[0] == sides[1]

    @property
    def mirrored(self) -> bool:
        """Whether a self-join gives all ordered pairs; checks ``self_pairs``."""
        return not as_upper(self.self_pairs, self.itself)

    def terms(self, num_hash_tables: int) -> JoinTerms:
        """Check what makes a pair.

        Raises
        ------
        InputTypeError, ParameterError
            If an argument is of the wrong type or out of range.
        """
        return JoinTerms(
            as_threshold(self.threshold),
            as_min_collisions(self.min_collisions, num_hash_tables, self.exact),
            as_flag(self.strict, "strict"),
            upper=False,
        )

    def open(self, storage_options: Mapping[str, str] | None) -> JoinTables:
        """Open the tables; one that is joined with itself, once.

        Raises
        ------
        ColumnNotFoundError
            If a column to carry along is in neither table, or a key is not in both.
        ParameterError
            If two columns of the output would have one name, or a table that is joined
            with itself has two versions or conditions.
        InputTypeError
            If keys do not compare.
        TableError, InputTypeError, ParameterError
            As opening tables raises them.
        """
        skip = as_skip(self.on_invalid)
        by, columns = as_names(self.by, "by"), as_names(self.columns)
        self._refuse_second_side()
        a = _open(self.path_a, self.version_a, self.where_a, storage_options)
        b = a
        if not self.itself:
            version = self._version_of_b(a)
            b = _open(self.path_b, version, self.where_b, storage_options)
        sides = carried_sides(columns, a, b)
        refuse_clashes(
            [*_OWN, *(f"{c}_a" for c in sides[0]), *(f"{c}_b" for c in sides[1])]
        )
        first = self._reader(a, by, sides[0], skip)
        if self.itself:
            return JoinTables(first, None, by=by, columns=columns)
        second = self._reader(b, by, sides[1], skip)
        check_keys(first, second, by)
        return JoinTables(first, second, by=by, columns=columns)

    def _version_of_b(self, a: Source) -> Version:
        """Pin a table that is both sides, under two conditions, at one version."""
        given = self.version_a is not None or self.version_b is not None
        if given or not _is_one(self.path_a, self.path_b):
            return self.version_b
        return a.version

    def _refuse_second_side(self) -> None:
        if self.path_b is None and (self.version_b, self.where_b) != (None, None):
            raise ParameterError(
                "version_b and where_b are of a second table, and path_b is None: a "
                "table is joined with itself at one version, under one condition"
            )

    def _reader(
        self, source: Source, by: Sequence[str], columns: Sequence[str], skip: bool
    ) -> EmbeddingReader:
        return EmbeddingReader(
            source,
            self.embedding_column,
            self.id_column,
            carried=list(dict.fromkeys([*by, *columns])),
            skip=skip,
        )

    def parameters(self, terms: JoinTerms) -> dict[str, object]:
        """Tell what makes a pair."""
        told: dict[str, object] = {
            "threshold": terms.threshold,
            "exact": terms.min_collisions == 0,
            "min_collisions": terms.min_collisions,
            "strict": terms.strict,
            "by": list(self.by),
        }
        return {**told, "self_pairs": self.self_pairs} if self.itself else told


def _open(
    table: Any, version: Version, where: str | None, options: Mapping[str, str] | None
) -> Source:
    return open_source(table, version=version, where=where, storage_options=options)


def _is_one(a: Any, b: Any) -> bool:
    if isinstance(a, (str, os.PathLike)) and isinstance(b, (str, os.PathLike)):
        return location(a) == location(b)
    return a is b
