"""What a caller gives as a table, as record batches or as frames for a Delta table."""

from collections.abc import Generator, Iterator
from contextlib import closing
from functools import cached_property
from itertools import chain
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from fast_lsh_ann import _core
from fast_lsh_ann._arrow import (
    ArrowBatch,
    RecordBatchStream,
    StreamExportable,
    frame_batch,
)
from fast_lsh_ann._streamed.frames import Frames
from fast_lsh_ann._threads import Prefetch, call_in_thread
from fast_lsh_ann.errors import InputTypeError, ParameterError, TableError

if TYPE_CHECKING:
    import polars as pl

_BATCHES_AHEAD = 1


class Incoming:
    """Record batches of one schema, read once; a context manager.

    Parameters
    ----------
    table : object with an Arrow C stream
        Frames that this package makes are made in the calling thread, where they can be
        interrupted; any other is read in a thread of its own.

    Attributes
    ----------
    schema : capsule
        Schema of every batch.
    batches : generator of record batches
        Maybe none.

    Raises
    ------
    ArrowError
        If the stream cannot be opened.
    InputTypeError, ParameterError
        If it has no named columns, or two of one name.
    """

    def __init__(self, table: StreamExportable) -> None:
        if isinstance(table, Frames):
            frames = table.given_away()
            first = next(frames)
            self.schema = frame_batch(first.clear())[0]
            self.batches = _own_batches(first, frames)
        else:
            reader, self.schema = call_in_thread(
                lambda: _core.stream_open(table.__arrow_c_stream__())
            )
            self.batches = _read_ahead(reader)
        _check_columns(self.schema)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.batches.close()

    @cached_property
    def no_rows(self) -> "pl.DataFrame":
        """A frame of no rows, as `frames` gives them; it takes the schema."""
        return _delta_frame(RecordBatchStream(self.schema, lambda: None))

    def frames(self, size: int) -> Generator["pl.DataFrame", None, None]:
        """Give frames of about `size` bytes that a Delta table takes; at least one."""
        none = True
        with closing(self.batches) as batches:
            for schema, array in batches:
                arrays = iter([array, None])
                frame = _delta_frame(RecordBatchStream(schema, arrays.__next__))
                row_bytes = max(1, int(frame.estimated_size()) // max(1, frame.height))
                for part in frame.iter_slices(max(1, size // row_bytes)):
                    none = False
                    yield part
        if none:
            yield self.no_rows


def _check_columns(schema: "_core.ArrowSchema") -> None:
    fields = _core.schema_fields(schema)
    if fields is None:
        raise InputTypeError("the table to be written is a single Arrow column; name it")
    names = [name for name, _ in fields]
    for name in names:
        if names.count(name) > 1:
            raise ParameterError(
                f"the table to be written has {names.count(name)} columns {name!r}; "
                f"rename them"
            )


def _own_batches(
    first: "pl.DataFrame", others: Generator["pl.DataFrame", None, None]
) -> Generator[ArrowBatch, None, None]:
    with closing(others):
        for frame in chain([first], others):
            yield frame_batch(frame.rechunk())


def _read_ahead(reader: "_core.StreamReader") -> Generator[ArrowBatch, None, None]:
    channel = Prefetch(lambda: _batches(reader), _BATCHES_AHEAD)
    try:
        yield from channel
    finally:
        channel.cancel()


def _batches(reader: "_core.StreamReader") -> Iterator[ArrowBatch]:
    while (batch := _core.stream_next(reader)) is not None:
        yield batch


def _delta_frame(stream: StreamExportable) -> "pl.DataFrame":
    """Take a stream as a frame of the types that Delta tables have."""
    import polars as pl
    from polars.exceptions import PanicException, PolarsError

    try:
        frame = pl.DataFrame(stream)
        types = [(name, _delta_type(dtype)) for name, dtype in frame.schema.items()]
        return frame.cast(pl.Schema(types)).rechunk()
    except (PolarsError, PanicException, ValueError) as error:
        text = (str(error).splitlines() or [""])[0]
        raise TableError(f"the table does not fit a Delta table: {text}") from error


def _delta_type(dtype: Any) -> Any:
    """Give lists of any length for arrays, texts for categories."""
    import polars as pl

    if isinstance(dtype, (pl.List, pl.Array)):
        return pl.List(_delta_type(dtype.inner))
    if isinstance(dtype, pl.Struct):
        return pl.Struct({f.name: _delta_type(f.dtype) for f in dtype.fields})
    if isinstance(dtype, (pl.Categorical, pl.Enum)):
        return pl.String
    return dtype
