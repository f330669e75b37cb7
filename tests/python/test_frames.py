"""Results that leave frame by frame: once, by iteration or as an Arrow stream."""

from collections.abc import Callable, Generator
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from fast_lsh_ann._streamed.frames import Frames
from fast_lsh_ann.errors import ArrowError

SCHEMA = {"number": pl.Int64, "text": pl.String}


class Made:
    """A generator of frames of 0, 1, 2, ... rows that says whether it was closed."""

    def __init__(self, count: int = 4, fault_at: int = -1) -> None:
        self.closed = False
        self.frames = Frames(self._give(count, fault_at))

    def _give(self, count: int, fault_at: int) -> Generator[pl.DataFrame, None, None]:
        try:
            for n in range(count):
                if n == fault_at:
                    raise ValueError("told to fail")
                half = pl.DataFrame({"number": [n], "text": [str(n)]}, schema=SCHEMA)
                yield pl.concat([half.clear(), *[half] * n])
        finally:
            self.closed = True


EXPECTED = [(n, str(n)) for n in (1, 2, 2, 3, 3, 3)]

CONSUMERS: dict[str, Callable[[Any], list[tuple[int, str]]]] = {
    "iteration": lambda frames: [row for frame in frames for row in frame.rows()],
    "polars": lambda frames: pl.DataFrame(frames).rows(),
    "pyarrow": lambda frames: [
        (row["number"], row["text"]) for row in pa.table(frames).to_pylist()
    ],
}


@pytest.mark.parametrize("consumer", CONSUMERS)
def test_all_frames_come_in_order_and_close_their_source(consumer: str) -> None:
    made = Made()
    assert CONSUMERS[consumer](made.frames) == EXPECTED
    assert made.closed


@pytest.mark.parametrize("first", CONSUMERS)
@pytest.mark.parametrize("second", CONSUMERS)
def test_frames_come_once(first: str, second: str) -> None:
    made = Made()
    CONSUMERS[first](made.frames)
    if first == second == "iteration":
        assert list(made.frames) == []
        return
    with pytest.raises(ArrowError, match="call the method again"):
        CONSUMERS[second](made.frames)


def test_a_stream_never_lacks_frames_that_were_taken() -> None:
    made = Made()
    next(made.frames)
    with pytest.raises(ArrowError, match="would lack rows"):
        pl.DataFrame(made.frames)


def test_frames_without_rows_keep_their_columns() -> None:
    assert pl.DataFrame(Made(1).frames).schema == SCHEMA


def test_a_stream_dropped_early_closes_what_the_frames_opened() -> None:
    made = Made()
    reader = pa.RecordBatchReader.from_stream(made.frames)
    reader.read_next_batch()
    del made.frames
    assert not made.closed
    del reader
    assert made.closed


@pytest.mark.parametrize("taken", [0, 2, 4])
def test_closing_ends_the_frames(taken: int) -> None:
    made = Made()
    with made.frames as frames:
        for _ in range(taken):
            next(frames)
    # A generator that never ran has opened nothing.
    assert made.closed == (taken > 0)
    assert list(frames) == []
    with pytest.raises(ArrowError, match="call the method again"):
        pl.DataFrame(frames)


@pytest.mark.parametrize("fault_at", [0, 2])
def test_an_error_reaches_who_takes_the_frames(fault_at: int) -> None:
    with pytest.raises(ValueError, match="told to fail"):
        list(Made(fault_at=fault_at).frames)
    with pytest.raises(Exception, match="told to fail"):
        pl.DataFrame(Made(fault_at=fault_at).frames)
