"""A pinned version of a Delta table as a source."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fast_lsh_ann._arrow import ArrowColumn, StreamBatches, StreamExportable
from fast_lsh_ann._tables.delta import TablePath, Version, as_uri, call_delta
from fast_lsh_ann._tables.delta_vectors import is_vector, open_pinned
from fast_lsh_ann._tables.source import BATCH_ROWS, Source, as_condition, name_of
from fast_lsh_ann.errors import DeltaError, InputTypeError

if TYPE_CHECKING:
    import polars as pl

# One partition makes the order of rows that of the log's files, and reading lean.
_QUERY_SETTINGS = {"datafusion.execution.target_partitions": "1"}

# What rows of each element type are read as: the rules of Arrow input.
_DTYPES: dict[str | None, Any] = {
    "float": np.float32,
    "double": np.float64,
    "byte": np.float32,
    "short": np.float32,
    "integer": np.float64,
    "long": np.float64,
}


class DeltaSource(Source):
    """One pinned version of a Delta table, read by deltalake's query engine.

    Parameters
    ----------
    path, version, storage_options
        As for :func:`open_table`.
    where : str, optional
        A condition in DataFusion's SQL, which its reader is asked for.

    Attributes
    ----------
    copied : bool
        Whether only this object opens the table, for it holds Spark ML vectors.

    Raises
    ------
    SparkVectorColumnError
        If Spark ML vectors are in an object store, or the table's log cannot be copied.
    ParameterError
        If `where` is no condition for the table's rows.
    """

    def __init__(
        self,
        path: TablePath,
        *,
        version: Version = None,
        where: str | None = None,
        storage_options: Mapping[str, str] | None = None,
    ) -> None:
        self.uri = as_uri(path)
        self.where = as_condition(where)
        self.name = name_of("Delta table", self.uri, self.where)
        pinned = open_pinned(path, version=version, storage_options=storage_options)
        self._table = pinned.table
        self.version = pinned.version
        self.copied = pinned.copied
        self.columns = [field.name for field in self._table.schema().fields]
        # Rows that deletion vectors hide are counted too.
        self.rows_at_most = call_delta(self._table.count, self.uri)
        if self.where is not None:
            call_delta(self._check_condition, self.uri)

    def embedding_dtype(self, column: str) -> np.dtype[Any]:
        """Tell what rows of a column of vectors are read as: float32 or float64."""
        fields = {field.name: field.type for field in self._table.schema().fields}
        kind = fields[column]
        element = getattr(getattr(kind, "element_type", None), "type", None)
        dtype = np.float64 if is_vector(kind) else _DTYPES.get(element)
        if dtype is None:
            raise InputTypeError(
                f"column {column!r} of {self.name} is of type {kind}; it must be "
                f"array<float> or array<double>, an array of whole numbers, or a Spark "
                f"ML vector: cast it there"
            )
        return np.dtype(dtype)

    def batches(
        self, columns: Sequence[str], batch_rows: int = BATCH_ROWS
    ) -> Iterator[list[ArrowColumn]]:
        """Begin to read columns."""
        stream = call_delta(lambda: self._query(columns, batch_rows=batch_rows), self.uri)
        return _batches(stream)

    def no_rows(self, columns: Sequence[str]) -> "pl.DataFrame":
        """Give a frame of no rows, whose columns have the types that reading gives."""
        import polars as pl

        return call_delta(
            lambda: pl.DataFrame(self._query(columns, " LIMIT 0")), self.uri
        )

    def read_error(self, text: str) -> DeltaError:
        """Make the error for a failure while reading."""
        return DeltaError(f"{self.name}: {text}")

    def _query(
        self, columns: Sequence[str], suffix: str = "", batch_rows: int = BATCH_ROWS
    ) -> Any:
        from deltalake import QueryBuilder

        names = ", ".join('"' + c.replace('"', '""') + '"' for c in columns)
        passing = "" if self.where is None else f" WHERE (\n{self.where}\n)"
        settings = {**_QUERY_SETTINGS, "datafusion.execution.batch_size": str(batch_rows)}
        builder = QueryBuilder(settings).register("source", self._table)
        return builder.execute(f"SELECT {names} FROM source{passing}{suffix}")

    def _check_condition(self) -> None:
        """Plan two queries with the condition, of which nothing is read.

        What leaves the parentheses of one, as "1 = 1) OR (1 = 1" does, is no expression
        in the other.
        """
        from deltalake import exceptions

        whole = self.columns[:1]
        try:
            self._query(whole)
            self._query(whole, f" AND CASE WHEN\n{self.where}\nTHEN TRUE END")
        except exceptions.DeltaError as error:
            raise self.condition_error(error) from error


def _batches(stream: StreamExportable) -> Iterator[list[ArrowColumn]]:
    yield from StreamBatches(stream)
