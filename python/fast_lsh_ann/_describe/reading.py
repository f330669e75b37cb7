"""What is described, a table or an array, as one stream of valid rows."""

import os
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fast_lsh_ann._arrow_in import gives_arrow, is_arrow_table
from fast_lsh_ann._inputs import as_rows
from fast_lsh_ann._invalid import InvalidRows, KeptRows
from fast_lsh_ann._tables.delta import Version
from fast_lsh_ann._tables.embeddings import EmbeddingReader
from fast_lsh_ann._tables.opening import open_source
from fast_lsh_ann._tables.source import BATCH_ROWS
from fast_lsh_ann.errors import ParameterError

NumberedRows: TypeAlias = tuple[NDArray[Any], NDArray[np.int64]]


@dataclass(frozen=True)
class TableTerms:
    """How a table is read; an array is read in no other way than this."""

    embedding_column: str = "embedding"
    version: Version = None
    where: str | None = None
    storage_options: Mapping[str, str] | None = None


class ArrayReading:
    """An array in memory, batch by batch.

    Attributes
    ----------
    name : str
        What errors call it.
    version : None
        It has none.
    dtype : dtype
        Of its rows: float32 or float64.
    rows_at_most : int
        Its rows.
    invalid : InvalidRows
        Rows left out so far.
    """

    name = "array"
    version = None

    def __init__(self, vectors: ArrayLike) -> None:
        self._rows = as_rows(vectors, "table", fill=True)
        self.dtype = self._rows.dtype
        self.rows_at_most = len(self._rows)
        self.invalid = InvalidRows()

    def batches(self) -> Generator[NumberedRows, None, None]:
        """Give the valid rows with their numbers."""
        for first in range(0, len(self._rows), BATCH_ROWS):
            kept = KeptRows(self._rows[first : first + BATCH_ROWS], True)
            self.invalid += kept.invalid
            numbers = np.arange(kept.total) if kept.numbers is None else kept.numbers
            if len(kept.rows):
                yield kept.rows, first + numbers


class TableReading:
    """A table, read as a stream; attributes as of `ArrayReading`."""

    def __init__(self, table: Any, terms: TableTerms) -> None:
        source = open_source(
            table,
            version=terms.version,
            where=terms.where,
            storage_options=terms.storage_options,
        )
        self._reader = EmbeddingReader(source, terms.embedding_column, None, skip=True)
        self.name = source.name
        self.version = source.version
        self.dtype = self._reader.dtype
        self.rows_at_most = self._reader.rows_at_most

    @property
    def invalid(self) -> InvalidRows:
        """Rows left out so far."""
        return self._reader.invalid

    def batches(self) -> Generator[NumberedRows, None, None]:
        """Give the valid rows with their numbers; close it when leaving it early."""
        with closing(self._reader.batches()) as batches:
            for batch in batches:
                yield batch.rows, batch.numbers


Reading: TypeAlias = ArrayReading | TableReading


def open_reading(table: Any, terms: TableTerms) -> Reading:
    """Open what is to be described.

    Raises
    ------
    ParameterError
        If rows in memory are to be read as only a table can be.
    FastLSHError
        As `open_source` or `as_rows` raise it.
    """
    if _is_table(table):
        return TableReading(table, terms)
    if terms != TableTerms():
        raise ParameterError(
            f"embedding_column, version, where and storage_options are about tables, "
            f"got rows in memory ({type(table).__name__}): leave them out"
        )
    return ArrayReading(table)


def _is_table(table: Any) -> bool:
    """Tell what has named columns, or a place, from rows."""
    if isinstance(table, (str, os.PathLike)) or hasattr(table, "read"):
        return True
    if not gives_arrow(table) or not hasattr(table, "__arrow_c_stream__"):
        return False
    # What has no length gives its batches once, so nobody may look.
    return not hasattr(table, "__len__") or is_arrow_table(table, "table")
