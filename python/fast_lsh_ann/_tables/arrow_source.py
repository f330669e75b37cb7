"""Arrow as a source: IPC files, IPC streams, and objects that hand over a stream."""

from collections.abc import Callable, Generator
from contextlib import closing
from typing import TYPE_CHECKING, Any, TypeVar

from fast_lsh_ann._arrow_in import export_arrow
from fast_lsh_ann._tables.files import local_path
from fast_lsh_ann._tables.record_source import RecordSource, open_records
from fast_lsh_ann._threads import Prefetch, call_in_thread
from fast_lsh_ann.errors import ArrowError, InputTypeError

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")


class ArrowFileSource(RecordSource):
    """A local Arrow IPC file, mapped into memory and read batch by batch.

    Parameters
    ----------
    uri : str
    where : str, optional
        A condition in polars' SQL.
    """

    def __init__(self, uri: str, *, where: str | None = None) -> None:
        kind = "Arrow file"
        self._path = str(local_path(uri))
        schema = open_records(self._open, f"{kind} {uri!r}")
        super().__init__(kind, uri, schema, where)

    def _open(self) -> "pa.Schema":
        import pyarrow as pa

        with pa.memory_map(self._path) as file, pa.ipc.open_file(file) as reader:
            if hasattr(reader, "count_rows"):  # not in the oldest pyarrow that serves
                self.rows_at_most = reader.count_rows()
            return reader.schema

    def _record_batches(
        self, columns: list[str]
    ) -> Generator["pa.RecordBatch", None, None]:
        """Read the batches; memory is mapped while one that needs it is there."""
        import pyarrow as pa

        fields = [self._schema.get_field_index(column) for column in columns]
        options = pa.ipc.IpcReadOptions(included_fields=fields)
        with pa.memory_map(self._path) as file:
            reader = pa.ipc.open_file(file, options=options)
            for number in range(reader.num_record_batches):
                yield reader.get_batch(number)


class ArrowStreamSource(RecordSource):
    """A stream of record batches, read batch by batch.

    Parameters
    ----------
    kind, uri : str
        What errors call it.
    make : callable
        Gives a reader, a `pyarrow.RecordBatchReader`.
    one_shot : bool
        Whether `make` can be called once only.
    where : str or None
        A condition in polars' SQL.
    """

    def __init__(
        self,
        kind: str,
        uri: str,
        make: "Callable[[], pa.RecordBatchReader]",
        *,
        one_shot: bool,
        where: str | None,
    ) -> None:
        self.one_shot = one_shot
        # What gives rows once may keep its reader waiting for as long as it likes.
        call: Callable[..., Any] = _call_in_reader if one_shot else call_in_thread
        reader = open_records(make, f"{kind} {uri!r}", call)
        self._opened: pa.RecordBatchReader | None = reader if one_shot else None
        self._make = make
        super().__init__(kind, uri, reader.schema, where)

    def _record_batches(
        self, columns: list[str]
    ) -> Generator["pa.RecordBatch", None, None]:
        """Read the batches of a reader, a new one or the only one.

        Raises
        ------
        ArrowError
            If the only one was read before.
        """
        if not self.one_shot:
            return _selected(self._make, columns)
        reader, self._opened = self._opened, None
        if reader is None:
            raise ArrowError(
                f"{self.name} gives its rows once and was read before: collect it into a "
                f"table, or write it to a file, and pass that"
            )
        return _selected(lambda: reader, columns)


def _selected(
    make: "Callable[[], pa.RecordBatchReader]", columns: list[str]
) -> Generator["pa.RecordBatch", None, None]:
    with closing(make()) as reader:
        for batch in reader:
            yield batch.select(columns)


def _call_in_reader(function: Callable[[], T]) -> T:
    """Call a function in a reader thread, for which no interpreter waits at its end."""
    channel = Prefetch(lambda: iter([function()]), 1)
    try:
        return next(channel)
    finally:
        channel.cancel()


def stream_file(uri: str, *, where: str | None = None) -> ArrowStreamSource:
    """Open a local Arrow IPC stream; a pipe gives its rows once."""
    path = local_path(uri)

    def make() -> "pa.RecordBatchReader":
        import pyarrow as pa

        return pa.ipc.open_stream(path.open("rb"))

    one_shot = path.exists() and not path.is_file()
    return ArrowStreamSource("Arrow stream", uri, make, one_shot=one_shot, where=where)


def stream_of_bytes(file: Any, *, where: str | None = None) -> ArrowStreamSource:
    """Read an Arrow IPC stream from a binary file object, from where it stands."""

    def make() -> "pa.RecordBatchReader":
        import pyarrow as pa

        return pa.ipc.open_stream(file)

    name = getattr(file, "name", type(file).__name__)
    uri = f"stream://{name}"
    return ArrowStreamSource("Arrow stream", uri, make, one_shot=True, where=where)


class _Handed:
    """A stream that was handed over, to be handed on."""

    def __init__(self, capsule: Any) -> None:
        self._capsule = capsule

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> Any:
        return self._capsule


def stream_of_object(table: Any, *, where: str | None = None) -> ArrowStreamSource:
    """Read an object that hands over an Arrow C stream.

    What has a length, as frames and tables have, hands over a new one each time; all
    else is taken to give its rows once.

    Raises
    ------
    InputTypeError
        If it gives a single column.
    ArrowError
        If it was read before.
    """
    kind = type(table)
    name = f"{kind.__module__.partition('.')[0]} {kind.__name__}"

    def make() -> "pa.RecordBatchReader":
        import pyarrow as pa

        capsule = export_arrow(table, "__arrow_c_stream__", name)
        try:
            return pa.RecordBatchReader.from_stream(_Handed(capsule))
        except (pa.ArrowInvalid, TypeError) as error:
            raise InputTypeError(
                f"a {name} gives no stream of record batches ({error}): pass a table or "
                f"a frame, not a single column"
            ) from error

    one_shot = not hasattr(kind, "__len__")
    uri = f"memory://{name.replace(' ', '.')}"
    return ArrowStreamSource("Arrow table", uri, make, one_shot=one_shot, where=where)
