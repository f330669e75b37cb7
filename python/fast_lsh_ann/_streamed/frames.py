"""Results that leave frame by frame: an iterator, or an Arrow stream, once."""

from collections.abc import Generator, Iterable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from fast_lsh_ann import _core
from fast_lsh_ann._arrow import RecordBatchStream, frame_batch
from fast_lsh_ann._streamed.weights import guessed_bytes
from fast_lsh_ann._tables.delta_write import write_batches
from fast_lsh_ann._tables.layout import TableLayout
from fast_lsh_ann._tables.output import Output
from fast_lsh_ann._tables.report import WriteReport
from fast_lsh_ann.errors import ArrowError

if TYPE_CHECKING:
    import polars as pl


class Frames(Iterator["pl.DataFrame"]):
    """Frames of one schema, made as they are asked for.

    To be iterated, or given to whatever takes an Arrow C stream: polars, DuckDB, pyarrow,
    `write_deltalake`.  Either is possible once.  When it is closed, dropped or
    interrupted it closes what it opened; as a context manager, at a known point.

    Parameters
    ----------
    frames : generator of polars.DataFrame
        At least one, maybe an empty one; all of one schema.
    """

    def __init__(self, frames: Generator["pl.DataFrame", None, None]) -> None:
        self._frames = frames
        self._begun = False
        self._exported = False

    def __next__(self) -> "pl.DataFrame":
        if self._exported:
            raise ArrowError(
                "these frames were given away as an Arrow stream; call the method again"
            )
        self._begun = True
        return next(self._frames)

    def close(self) -> None:
        """Close what was opened; nothing more comes."""
        self._frames.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def given_away(self) -> Generator["pl.DataFrame", None, None]:
        """Give all frames, for once, to one who closes them.

        Raises
        ------
        ArrowError
            If frames were taken before: they would be lacking.
        """
        if self._begun or self._exported:
            raise ArrowError(
                "frames were taken from here before, so a stream would lack rows; "
                "call the method again"
            )
        self._exported = True
        return self._frames

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> Any:
        """Give the frames as an Arrow stream, a record batch each.

        Raises
        ------
        ArrowError
            If frames were taken before: the stream would lack them.
        """
        frames = self.given_away()
        first = next(frames, None)
        if first is None:
            raise ArrowError("these frames were closed before; call the method again")
        schema, array = frame_batch(first.rechunk())
        stream = RecordBatchStream(schema, _batches(array, frames).__next__)
        return stream.__arrow_c_stream__()


def _batches(
    first: "_core.ArrowArray", frames: Iterator["pl.DataFrame"]
) -> Generator["_core.ArrowArray | None", None, None]:
    """Give the arrays of a stream, then None for ever."""
    yield first
    for frame in frames:
        yield frame_batch(frame.rechunk())[1]
    while True:
        yield None


def write_frames(
    output: Output,
    frames: Iterable["pl.DataFrame"],
    none: "pl.DataFrame",
    metadata: Mapping[str, str],
) -> WriteReport:
    """Write results, whose columns are those of a frame of none, in one commit.

    Numbers get no dictionaries, which makes tables of neighbors a twentieth smaller, and
    groups of 8 MiB instead of a million rows halve what a writer holds.
    """
    numbers = [name for name, kind in none.schema.items() if kind.is_numeric()]
    layout = TableLayout(sum(map(guessed_bytes, none.dtypes)), numbers)
    batches = map(frame_batch, frames)
    return write_batches(output, batches, metadata=metadata, layout=layout)


class PairFrames(Frames):
    """Pairs of rows: `id_a`, `id_b`, `distance`, then columns carried along."""
