"""Parquet files as a source, read by pyarrow a piece of a row group at a time."""

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from fast_lsh_ann._tables.delta import as_options, is_local
from fast_lsh_ann._tables.files import Found, find_files, partition_of
from fast_lsh_ann._tables.record_source import RecordSource, open_records
from fast_lsh_ann._tables.source import BATCH_ROWS
from fast_lsh_ann.errors import TableError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

# Read at once from each column; a request of an object store takes as long as 8 MB.
_LOCAL_BUFFER = 1 << 20
_REMOTE_BUFFER = 8 << 20


class ParquetSource(RecordSource):
    """A Parquet file, or several, one after the other in the order of their paths.

    Rows come in the files' order.  Columns are decoded as far as a piece of rows needs
    them, so memory does not grow with row groups.  A row group of which no row passes
    the condition is decoded in the condition's columns only.

    Parameters
    ----------
    uri : str
        As for :func:`find_files`.  Folders called ``column=value`` below the one that is
        named, or below a pattern's fixed part, are columns too: int64 where all values
        are whole numbers, else strings.
    where : str, optional
        A condition in polars' SQL.
    storage_options : mapping, optional
        Credentials and settings of the object store, as deltalake takes them.

    Raises
    ------
    TableNotFoundError
        If there is no such file.
    TableError
        If a file is no Parquet file, or has other columns or types than the first one.
    """

    def __init__(
        self,
        uri: str,
        *,
        where: str | None = None,
        storage_options: Mapping[str, str] | None = None,
    ) -> None:
        options = as_options(storage_options)
        self._buffer = _LOCAL_BUFFER if is_local(uri) else _REMOTE_BUFFER
        kind = "Parquet table"
        schema = open_records(lambda: self._open(uri, options), f"{kind} {uri!r}")
        super().__init__(kind, uri, schema, where)

    def _open(self, uri: str, options: Mapping[str, str] | None) -> "pa.Schema":
        """Read what the files say of themselves."""
        self._found = find_files(uri, ".parquet", options)
        schema: pa.Schema | None = None
        self.rows_at_most = 0
        for name in self._found.names:
            with self._file(name) as file:
                self.rows_at_most += file.metadata.num_rows
                schema = schema or file.schema_arrow
                _require_same(schema, file.schema_arrow, name)
        assert schema is not None
        self._stored = set(schema.names)
        self._partitions = _partitions(self._found, self._stored)
        for field in self._partitions:
            schema = schema.append(field)
        return schema.remove_metadata()

    @contextmanager
    def _file(self, name: str) -> Iterator["pq.ParquetFile"]:
        import pyarrow.parquet as pq

        with self._found.system.open_input_file(name) as file:
            yield pq.ParquetFile(file, pre_buffer=False, buffer_size=self._buffer)

    def _record_batches(
        self, columns: list[str]
    ) -> Generator["pa.RecordBatch", None, None]:
        """Read the files, one after the other."""
        for name in self._found.names:
            with self._file(name) as file:
                for group in range(file.num_row_groups):
                    if self._may_pass(file, group, name):
                        yield from self._group(file, group, name, columns)

    def _may_pass(self, file: "pq.ParquetFile", group: int, name: str) -> bool:
        """Look for a row that passes, in the columns that the condition needs."""
        if self._condition is None:
            return True
        columns = self._condition.columns
        with closing(self._group(file, group, name, columns)) as batches:
            return any(self._condition.passing(batch).num_rows for batch in batches)

    def _group(
        self, file: "pq.ParquetFile", group: int, name: str, columns: list[str]
    ) -> Generator["pa.RecordBatch", None, None]:
        """Read a row group, and what the folders say beside it."""
        import pyarrow as pa

        stored = [column for column in columns if column in self._stored]
        values = partition_of(name)
        for batch in file.iter_batches(
            BATCH_ROWS, row_groups=[group], columns=stored, use_threads=False
        ):
            arrays = {column: batch.column(column) for column in stored}
            for field in self._partitions:
                value = _typed(values[field.name], field)
                arrays[field.name] = pa.repeat(value, batch.num_rows)
            yield pa.RecordBatch.from_pydict({name: arrays[name] for name in columns})


def _require_same(schema: "pa.Schema", other: "pa.Schema", name: str) -> None:
    """Refuse a file that has not the columns of the first one."""
    first, theirs = ({field.name: field.type for field in s} for s in (schema, other))
    for column in {**first, **theirs}:
        kinds = first.get(column, "not there"), theirs.get(column, "not there")
        if kinds[0] != kinds[1]:
            raise TableError(
                f"the files of a Parquet table must have the same columns: {column!r} is "
                f"{kinds[0]} in the first one, and {kinds[1]} in {name!r}"
            )


def _partitions(found: Found, stored: set[str]) -> list["pa.Field"]:
    """Tell the columns that folders give, but those that the files have themselves."""
    import pyarrow as pa

    values = [partition_of(name) for name in found.names]
    if len({tuple(sorted(each)) for each in values}) > 1:
        raise TableError(
            f"files in folders called column=value must all have the same columns of "
            f"that kind, as {found.names[0]!r} has: {sorted(values[0])}"
        )
    fields = []
    for column in values[0]:
        given = [each[column] for each in values]
        whole = all(v is None or v.lstrip("-").isdecimal() for v in given)
        if column not in stored:
            fields.append(pa.field(column, pa.int64() if whole else pa.string()))
    return fields


def _typed(value: str | None, field: "pa.Field") -> "pa.Scalar":
    import pyarrow as pa

    if value is not None and field.type == pa.int64():
        return pa.scalar(int(value), field.type)
    return pa.scalar(value, field.type)
