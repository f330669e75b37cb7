"""Arrow streams written as Parquet files, Arrow IPC files and Arrow IPC streams."""

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from fast_lsh_ann import _core
from fast_lsh_ann._arrow import ArrowBatch, BatchExport, SchemaExport, StreamExportable
from fast_lsh_ann._tables.layout import GROUP_BYTES
from fast_lsh_ann._threads import call_in_thread
from fast_lsh_ann.errors import MissingDependencyError, TableError

if TYPE_CHECKING:
    import pyarrow as pa

# Parquet's own measure of a group of rows that are narrow.
_GROUP_ROWS = 1 << 20


def require_arrow() -> None:
    """Import pyarrow, in a thread that Ctrl-C does not interrupt.

    Raises
    ------
    MissingDependencyError
        If it is not installed.
    """
    try:
        call_in_thread(_import_arrow)
    except ImportError as error:
        raise MissingDependencyError(
            f"Parquet and Arrow files need the package pyarrow ({error}); "
            f"install it with: pip install 'fast_lsh_ann[arrow]'"
        ) from error


def _import_arrow() -> None:
    import pyarrow.parquet  # noqa: F401


def pieces_of(
    schema: "_core.ArrowSchema",
    batches: Iterable[ArrowBatch],
    metadata: Mapping[str, str],
) -> tuple["_core.ArrowSchema", Generator["_core.ArrowArray", None, None]]:
    """Cut what is to be written into pieces of types that every reader knows.

    Parameters
    ----------
    schema : capsule
        Schema of every batch.
    batches : iterable of record batches
    metadata : mapping
        Goes into the schema.

    Returns
    -------
    (schema, generator of arrays)
        Pieces of at most 8 MiB or a million rows.
    """
    import pyarrow as pa

    plain = _plain_schema(pa.schema(SchemaExport(schema)))
    plain = plain.with_metadata(dict(metadata) or None)
    return plain.__arrow_c_schema__(), _pieces(batches, plain)


def _pieces(
    batches: Iterable[ArrowBatch], schema: "pa.Schema"
) -> Generator["_core.ArrowArray", None, None]:
    import pyarrow as pa

    for batch in batches:
        with _arrow_errors():
            whole = pa.record_batch(BatchExport(batch))
        row_bytes = max(1, whole.nbytes // max(1, whole.num_rows))
        most = min(_GROUP_ROWS, max(1, GROUP_BYTES // row_bytes))
        for start in range(0, whole.num_rows, most):
            with _arrow_errors():
                piece = whole.slice(start, most).cast(schema)
            yield piece.__arrow_c_array__()[1]


def write_stream(kind: str, stream: StreamExportable, file: IO[bytes]) -> None:
    """Write a stream of pieces into a file, which is left open.

    Parameters
    ----------
    kind : {"parquet", "arrow", "arrows"}
        A Parquet file, an Arrow IPC file, or an Arrow IPC stream.
    stream : Arrow stream
        Read batch by batch.
    file : binary file
    """
    import pyarrow as pa

    with _arrow_errors():
        batches = pa.RecordBatchReader.from_stream(stream)
        with _writer(kind, file, batches.schema) as writer:
            for batch in _groups(batches) if kind == "parquet" else batches:
                writer.write_batch(batch)


@contextmanager
def _arrow_errors() -> Iterator[None]:
    """Name pyarrow's errors."""
    import pyarrow as pa

    try:
        yield
    except pa.ArrowException as error:
        text = str(error).splitlines()[0]
        raise TableError(f"the table cannot be written: {text}") from error


def _writer(kind: str, file: IO[bytes], schema: "pa.Schema") -> Any:
    import pyarrow as pa

    if kind == "parquet":
        return _parquet_writer(file, schema)
    make = pa.ipc.new_file if kind == "arrow" else pa.ipc.new_stream
    return make(file, schema)


def _parquet_writer(file: IO[bytes], schema: "pa.Schema") -> Any:
    """Store lists plainly, as vectors are in a Delta table."""
    from pyarrow import types
    from pyarrow.parquet import ParquetWriter

    plain = [field.name for field in schema if not types.is_nested(field.type)]
    return ParquetWriter(
        file,
        schema,
        compression="zstd",
        use_dictionary=plain,
        write_statistics=plain,
    )


def _groups(batches: Iterable["pa.RecordBatch"]) -> Iterator["pa.RecordBatch"]:
    """Join small batches into groups of rows."""
    import pyarrow as pa

    waiting: list[Any] = []
    rows = size = 0
    for batch in batches:
        rows += batch.num_rows
        size += batch.nbytes
        if waiting and (size > GROUP_BYTES or rows > _GROUP_ROWS):
            yield pa.concat_batches(waiting)
            waiting, rows, size = [], batch.num_rows, batch.nbytes
        waiting.append(batch)
    if waiting:
        yield pa.concat_batches(waiting)


def _plain_schema(schema: "pa.Schema") -> "pa.Schema":
    """Replace types that other readers may not know by those they view."""
    import pyarrow as pa

    return pa.schema([field.with_type(_plain_type(field.type)) for field in schema])


def _plain_type(kind: "pa.DataType") -> "pa.DataType":
    import pyarrow as pa

    if kind == pa.string_view():
        return pa.large_string()
    if kind == pa.binary_view():
        return pa.large_binary()
    if pa.types.is_dictionary(kind):
        return pa.dictionary(kind.index_type, _plain_type(kind.value_type), kind.ordered)
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_plain_field(kind.value_field), kind.list_size)
    if pa.types.is_large_list(kind):
        return pa.large_list(_plain_field(kind.value_field))
    if pa.types.is_list(kind):
        return pa.list_(_plain_field(kind.value_field))
    if pa.types.is_struct(kind):
        return pa.struct([_plain_field(kind.field(i)) for i in range(kind.num_fields)])
    return kind


def _plain_field(field: "pa.Field") -> "pa.Field":
    return field.with_type(_plain_type(field.type))
