"""Reading the embeddings of a Delta table as a stream of one pinned version."""

import os
import sys
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fast_lsh_ann._arrow import ArrowColumn, StreamBatches
from fast_lsh_ann._delta import TablePath, Version, call_delta
from fast_lsh_ann._delta_vectors import is_vector, open_pinned
from fast_lsh_ann._log import logger
from fast_lsh_ann._threads import prefetch
from fast_lsh_ann.errors import (
    ArrowError,
    ColumnNotFoundError,
    DeltaError,
    InputTypeError,
    InvalidVectorError,
    ParameterError,
)

if TYPE_CHECKING:
    import polars as pl

# Rows read at once: several batches wait at any time, so they set what reading needs;
# larger ones were not faster.
BATCH_ROWS = 8192
_BATCHES_AHEAD = 2
# One partition makes the order of rows that of the log's files, and reading lean.
_QUERY_SETTINGS = {
    "datafusion.execution.target_partitions": "1",
    "datafusion.execution.batch_size": str(BATCH_ROWS),
}

# What rows of each element type are read as: the rules of Arrow input.
_DTYPES: dict[str | None, Any] = {
    "float": np.float32,
    "double": np.float64,
    "byte": np.float32,
    "short": np.float32,
    "integer": np.float64,
    "long": np.float64,
}


@dataclass(frozen=True)
class EmbeddingBatch:
    """Some consecutive rows of a table.

    Attributes
    ----------
    first_row : int
        Number of the first row in the order of the pinned version.
    rows : ndarray
        float32 or float64, `[n, dim]`; every value is finite.
    ids : polars.Series
        One id a row; row numbers where no id column was asked for.
    """

    first_row: int
    rows: NDArray[Any]
    ids: "pl.Series"

    def part(self, start: int, most: int) -> "EmbeddingBatch":
        """Give some of the rows, without a copy."""
        rows = self.rows[start : start + most]
        ids = self.ids.slice(start, len(rows))
        return EmbeddingBatch(self.first_row + start, rows, ids)

    def ids_of(self, rows: NDArray[np.int64]) -> "pl.Series":
        """Give the ids of rows that are named by their numbers in the table."""
        return self.ids.gather(rows - self.first_row)


class EmbeddingReader:
    """The embeddings of one pinned version of a table.

    Parameters
    ----------
    path, version, storage_options
        As for :func:`open_table`.
    embedding_column : str
        A column of arrays of floats or integers, or of Spark ML vectors.
    id_column : str or None
        A column of any type without nulls, or None for row numbers.

    Attributes
    ----------
    dim : int or None
        Dimension of the embeddings, once a row was read.
    copied : bool
        Whether only this reader opens the table, for it holds Spark ML vectors.
    rows_at_most : int
        Rows of the table, and those that deletion vectors hide.

    Raises
    ------
    ColumnNotFoundError
        If the table lacks one of the columns.
    InputTypeError
        If the embedding column is of another type.
    SparkVectorColumnError
        If Spark ML vectors are in an object store, or the table's log cannot be copied.
    """

    def __init__(
        self,
        path: TablePath,
        embedding_column: str,
        id_column: str | None,
        *,
        version: Version = None,
        storage_options: Mapping[str, str] | None = None,
    ) -> None:
        self.uri = os.fspath(path)
        pinned = open_pinned(path, version=version, storage_options=storage_options)
        self._table = pinned.table
        self.version = pinned.version
        self.copied = pinned.copied
        self._embedding = embedding_column
        self._id = id_column
        self.name = f"column {embedding_column!r} of Delta table {self.uri!r}"
        self._check_columns()
        self.dtype = self._embedding_dtype()
        self.dim: int | None = None
        self.rows_at_most: int = call_delta(self._table.count, self.uri)
        logger.info(
            "%s: version %d, %d rows at most", self.name, self.version, self.rows_at_most
        )

    def _check_columns(self) -> None:
        there = [field.name for field in self._table.schema().fields]
        for column in (self._embedding, self._id):
            if column is not None and column not in there:
                raise ColumnNotFoundError(
                    f"Delta table {self.uri!r} has no column {column!r}; "
                    f"its columns are {there}"
                )
        if self._embedding == self._id:
            raise ParameterError(
                f"embedding_column and id_column are both {self._id!r}; name two columns"
            )

    def _embedding_dtype(self) -> np.dtype[Any]:
        fields = {field.name: field.type for field in self._table.schema().fields}
        kind = fields[self._embedding]
        element = getattr(getattr(kind, "element_type", None), "type", None)
        dtype = np.float64 if is_vector(kind) else _DTYPES.get(element)
        if dtype is None:
            raise InputTypeError(
                f"{self.name} is of type {kind}; it must be array<float> or "
                f"array<double>, an array of whole numbers, or a Spark ML vector: "
                f"cast it there"
            )
        return np.dtype(dtype)

    def _query(self, suffix: str = "") -> Any:
        from deltalake import QueryBuilder

        columns = [c for c in (self._embedding, self._id) if c is not None]
        names = ", ".join('"' + c.replace('"', '""') + '"' for c in columns)
        builder = QueryBuilder(_QUERY_SETTINGS).register("source", self._table)
        return builder.execute(f"SELECT {names} FROM source{suffix}")

    def batches(self) -> Generator[EmbeddingBatch, None, None]:
        """Read the table in its fixed order, a few batches ahead in another thread.

        Close the iterator when leaving it early.

        Raises
        ------
        InvalidVectorError
            If a row is null, of another length than the first, or holds null, NaN or
            infinity.
        DeltaError
            If a file cannot be read, or an id is null.
        """
        stream = call_delta(self._query, self.uri)
        channel = prefetch(lambda: StreamBatches(stream), _BATCHES_AHEAD)
        first_row, dim = 0, 0
        try:
            while (columns := self._receive(channel)) is not None:
                batch = self._view(columns, first_row)
                if len(batch.rows) == 0:
                    continue
                width = batch.rows.shape[1]
                if width == 0:
                    raise self._bad_row(first_row, "has no elements")
                dim = dim or width
                if width != dim:
                    fault = f"has {width} elements, row 0 has {dim}"
                    raise self._bad_row(first_row, fault)
                self.dim = dim
                yield batch
                first_row += len(batch.rows)
        finally:
            channel.cancel()

    def chunks(self, size: int) -> Generator[EmbeddingBatch, None, None]:
        """Read the table in its fixed order, `size` rows at a time; the rest at the end.

        Errors as for :meth:`batches`; close the iterator when leaving it early.
        """
        chunk = _Gathered(min(size, self.rows_at_most))
        with closing(self.batches()) as batches:
            for piece in chain.from_iterable(_cut(batch, size) for batch in batches):
                chunk.append(piece)
                if len(chunk) == size:
                    yield chunk.take()
        if len(chunk):
            yield chunk.take()

    def whole(self) -> EmbeddingBatch:
        """Read all of the table; the rows are `[0, 0]` when it is empty."""
        with closing(self.chunks(sys.maxsize)) as chunks:
            found = next(chunks, None)
        if found is not None:
            return found
        return EmbeddingBatch(0, np.empty((0, 0), dtype=self.dtype), self.empty_ids())

    def empty_ids(self) -> "pl.Series":
        """Ids of no rows, of the type that the table's ids have."""
        import polars as pl

        if self._id is None:
            return pl.Series("id", [], dtype=pl.Int64)
        nothing = call_delta(lambda: pl.DataFrame(self._query(" LIMIT 0")), self.uri)
        return nothing[self._id].alias("id")

    def _receive(self, channel: Iterator[list[ArrowColumn]]) -> list[ArrowColumn] | None:
        try:
            return next(channel, None)
        except ArrowError as error:
            text = str(error).splitlines()[0]
            raise DeltaError(f"Delta table {self.uri!r}: {text}") from error

    def _view(self, columns: list[ArrowColumn], first_row: int) -> EmbeddingBatch:
        import polars as pl

        rows = columns[0].view_rows(first_row, self.name)
        finite = np.isfinite(rows)
        if not finite.all():
            row, column = np.argwhere(~finite)[0].tolist()
            value = rows[row, column]
            raise self._bad_row(first_row + row, f"has {value} at {column}", column)
        if self._id is None:
            numbers = np.arange(first_row, first_row + len(rows))
            return EmbeddingBatch(first_row, rows, pl.Series("id", numbers))
        ids = pl.Series("id", columns[1])
        if ids.null_count():
            row = first_row + ids.is_null().arg_true()[0]
            raise DeltaError(
                f"Delta table {self.uri!r}: row {row} of id column {self._id!r} is null; "
                f"fill it, or pass id_column=None to number the rows"
            )
        return EmbeddingBatch(first_row, rows, ids)

    def _bad_row(self, row: int, fault: str, column: int = -1) -> InvalidVectorError:
        error = InvalidVectorError(
            f"{self.name}: row {row} {fault}; remove or repair the row"
        )
        error.row, error.column = row, column
        return error


def _cut(batch: EmbeddingBatch, size: int) -> Iterator[EmbeddingBatch]:
    """Cut a batch wherever a chunk of `size` rows of its table ends."""
    start = 0
    while start < len(batch.rows):
        room = size - (batch.first_row + start) % size
        yield batch.part(start, room)
        start += room


class _Gathered:
    """Consecutive pieces put together; a single one is left as it is.

    Parameters
    ----------
    capacity : int
        Rows there will be, to the best of one's knowledge.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._first_row = 0
        self._rows: NDArray[Any] = np.empty((0, 0))
        self._used = 0
        self._ids: list[pl.Series] = []

    def __len__(self) -> int:
        return self._used

    def append(self, piece: EmbeddingBatch) -> None:
        needed = self._used + len(piece.rows)
        if self._used == 0:
            self._first_row, self._rows = piece.first_row, piece.rows
        else:
            self._reserve(needed)
            self._rows[self._used : needed] = piece.rows
        self._ids.append(piece.ids)
        self._used = needed

    def _reserve(self, needed: int) -> None:
        if needed <= len(self._rows):
            return
        room = self._capacity if needed <= self._capacity else 2 * needed
        grown = np.empty((room, self._rows.shape[1]), dtype=self._rows.dtype)
        grown[: self._used] = self._rows[: self._used]
        self._rows = grown

    def take(self) -> EmbeddingBatch:
        """Give what was gathered, and begin anew."""
        import polars as pl

        ids = self._ids[0] if len(self._ids) == 1 else pl.concat(self._ids, rechunk=True)
        taken = EmbeddingBatch(self._first_row, self._rows[: self._used], ids)
        self._rows, self._used, self._ids = np.empty((0, 0)), 0, []
        return taken


def id_array(ids: "pl.Series") -> NDArray[Any]:
    """Ids as int64, or as Python objects when they are no integers."""
    if ids.dtype.is_integer():
        return ids.to_numpy(writable=True).astype(np.int64, copy=False)
    return np.fromiter(ids.to_list(), dtype=object, count=len(ids))
