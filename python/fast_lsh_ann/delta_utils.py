"""Reading embeddings from Delta tables, and a sample table to try things on."""

import os
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fast_lsh_ann._arrow import ArrowBatch, ArrowColumn, RecordBatch, StreamBatches
from fast_lsh_ann._delta import (
    TablePath,
    Version,
    call_delta,
    open_table,
    require_delta,
)
from fast_lsh_ann._delta_write import write_batches
from fast_lsh_ann._inputs import as_count
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

__all__ = ["create_sample_delta", "open_table", "read_delta_embeddings"]

# One partition makes the order of rows that of the log's files, and reading lean.
_QUERY_SETTINGS = {
    "datafusion.execution.target_partitions": "1",
    "datafusion.execution.batch_size": "65536",
}
_BATCHES_AHEAD = 2
_SAMPLE_VALUES = 1 << 20  # written at once, which Ctrl-C waits for


# ---- reading --------------------------------------------------------------------------


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


class EmbeddingReader:
    """The embeddings of one pinned version of a table, in batches.

    Parameters
    ----------
    path, version, storage_options
        As for :func:`open_table`.
    embedding_column : str
        A column of type array<float> or array<double>.
    id_column : str or None
        A column of any type without nulls, or None for row numbers.

    Raises
    ------
    ColumnNotFoundError
        If the table lacks one of the columns.
    InputTypeError
        If the embedding column is of another type.
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
        table = open_table(path, version=version, storage_options=storage_options)
        self._table = table
        self._embedding = embedding_column
        self._id = id_column
        self.name = f"column {embedding_column!r} of Delta table {self.uri!r}"
        self._check_columns()
        self.version: int = table.version()
        self.dtype = self._embedding_dtype()
        self.rows_at_most = call_delta(table.count, self.uri)
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
        if element not in ("float", "double"):
            raise InputTypeError(
                f"{self.name} is of type {kind}; "
                f"it must be array<float> or array<double>: cast it there"
            )
        return np.dtype(np.float32 if element == "float" else np.float64)

    def _query(self) -> Any:
        from deltalake import QueryBuilder

        columns = [c for c in (self._embedding, self._id) if c is not None]
        names = ", ".join('"' + c.replace('"', '""') + '"' for c in columns)
        builder = QueryBuilder(_QUERY_SETTINGS).register("source", self._table)
        return builder.execute(f"SELECT {names} FROM source")

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
                yield batch
                first_row += len(batch.rows)
        finally:
            channel.cancel()

    def empty_ids(self) -> "pl.Series":
        """Ids of no rows, of the type that the table's ids have."""
        import polars as pl

        if self._id is None:
            return pl.Series("id", [], dtype=pl.Int64)
        return pl.DataFrame(call_delta(self._query, self.uri)).head(0)[self._id]

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


class _Rows:
    """Rows collected in one array that grows when it must."""

    def __init__(self, capacity: int, dtype: np.dtype[Any]) -> None:
        self._capacity = capacity
        self._values: NDArray[Any] = np.empty((0, 0), dtype=dtype)
        self._used = 0

    def append(self, rows: NDArray[Any]) -> None:
        needed = self._used + len(rows)
        if needed > len(self._values):
            self._capacity = max(self._capacity, needed, 2 * len(self._values))
            grown = np.empty((self._capacity, rows.shape[1]), dtype=self._values.dtype)
            if self._used:
                grown[: self._used] = self._values[: self._used]
            self._values = grown
        self._values[self._used : needed] = rows
        self._used = needed

    def array(self) -> NDArray[Any]:
        return self._values[: self._used]


def read_all(reader: EmbeddingReader) -> tuple[NDArray[Any], NDArray[Any]]:
    """Read a whole table: embeddings `[n, dim]` and ids `[n]`; `[0, 0]` when empty."""
    rows = _Rows(reader.rows_at_most, reader.dtype)
    ids = []
    with closing(reader.batches()) as batches:
        for batch in batches:
            rows.append(batch.rows)
            ids.append(id_array(batch.ids))
    return rows.array(), np.concatenate(ids) if ids else id_array(reader.empty_ids())


def id_array(ids: "pl.Series") -> NDArray[Any]:
    """Ids as int64, or as Python objects when they are no integers."""
    if ids.dtype.is_integer():
        return ids.to_numpy().astype(np.int64, copy=False)
    return np.fromiter(ids.to_list(), dtype=object, count=len(ids))


def read_delta_embeddings(
    path: TablePath,
    embedding_column: str = "embedding",
    id_column: str | None = None,
    *,
    version: Version = None,
    storage_options: Mapping[str, str] | None = None,
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Read an embedding column of a Delta table into memory.

    Rows come in the order of the version's log: newest files first.  That order is fixed
    for one version and says nothing about another, so ask for ids to name rows.

    Parameters
    ----------
    path : str or path-like
        A folder, or the URI of an object store.
    embedding_column : str
        A column of type array<float> or array<double>.
    id_column : str, optional
        A column of any type without nulls.
    version : int, str or datetime, optional
        A version number, or a moment: an aware datetime or an RFC 3339 string with its
        offset.  The newest version by default.
    storage_options : mapping, optional
        Credentials and settings of the object store.

    Returns
    -------
    embeddings : ndarray
        `[n, dim]`, float32, or float64 for array<double>; `[0, 0]` for an empty table.
    ids : ndarray or None
        `[n]`, int64 for integer ids, else Python objects; None without `id_column`.

    Raises
    ------
    TableNotFoundError, ColumnNotFoundError, SparkVectorColumnError, DeltaError
        If the table or a column is missing or cannot be read, or an id is null.
    InvalidVectorError
        If a row is null or of another length than the first, or holds null, NaN or
        infinity.
    """
    reader = EmbeddingReader(
        path,
        embedding_column,
        id_column,
        version=version,
        storage_options=storage_options,
    )
    embeddings, ids = read_all(reader)
    return embeddings, ids if id_column is not None else None


# ---- a sample -------------------------------------------------------------------------


def create_sample_delta(
    path: TablePath, n_vectors: int = 10000, dim: int = 128, seed: int = 42
) -> None:
    """Write a Delta table of random vectors: `id` int64, `embedding` array<float>.

    The values are standard normal and a function of `seed`, `dim` and the row alone.  A
    table that is already at `path` is overwritten.

    Parameters
    ----------
    path : str or path-like
        A folder, or the URI of an object store.
    n_vectors : int
        Rows; 0 gives an empty table.
    dim : int
        Coordinates of a row.
    seed : int
        Of a generator of its own; NumPy's global one is left alone.

    Raises
    ------
    InputTypeError, ParameterError
        If they are no whole numbers, `n_vectors` is negative or `dim` is not positive.
    DeltaError
        If the table cannot be written.
    """
    n_vectors = as_count(n_vectors, "n_vectors", 0)
    dim = as_count(dim, "dim", 1)
    require_delta()
    generator = np.random.default_rng(seed)

    def batches() -> Iterator[ArrowBatch]:
        step = max(1, _SAMPLE_VALUES // dim)
        for start in range(0, max(n_vectors, 1), step):
            ids = np.arange(start, min(start + step, n_vectors))
            rows = generator.standard_normal((len(ids), dim), dtype=np.float32)
            batch = RecordBatch([("id", ids), ("embedding", rows)])
            yield batch.__arrow_c_array__()

    write_batches(path, batches(), plain_columns=("id",))
