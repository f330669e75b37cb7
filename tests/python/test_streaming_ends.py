"""How streams end: closed, dropped, failed or interrupted; and how little they hold."""

import gc
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import deltalake
import numpy as np
import polars as pl
import pytest
from conftest import Run
from delta_tables import contents, streaming, vectors_of, write_table
from fast_lsh_ann import (
    DeltaLSHProcessor,
    create_sample_delta,
    read_delta_embeddings_chunked,
)
from fast_lsh_ann._tables.source import BATCH_ROWS
from fast_lsh_ann._threads import Worker
from interrupts import SOON, seconds_to_interrupt

# So many batches that a reader cannot have read them all ahead.
MANY = 12 * BATCH_ROWS


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("tables") / "many"
    return write_table(path, vectors_of(MANY))


Streams = dict[str, Callable[[str], Generator[object, None, None]]]
STREAMS: Streams = {
    "transform": lambda t: streaming(chunk_size=1000).transform_streaming(t),
    "join": lambda t: streaming(chunk_size=1000).similarity_join_streaming(t, t, 0.0),
    "read": lambda t: read_delta_embeddings_chunked(t, chunk_size=1000),
}


@pytest.fixture(params=STREAMS)
def stream(request: pytest.FixtureRequest, table: str) -> Generator[object, None, None]:
    return STREAMS[request.param](table)


def readers() -> list[str]:
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("fast_lsh_ann")]


def readers_after(seconds: float = 5.0) -> list[str]:
    """The threads of ours that are still there after a while."""
    deadline = time.monotonic() + seconds
    while readers() and time.monotonic() < deadline:
        time.sleep(0.01)
    return readers()


def test_a_closed_stream_leaves_no_thread(stream: Generator[object, None, None]) -> None:
    assert readers_after() == []
    next(stream)
    assert len(readers()) == 1
    stream.close()
    assert readers_after() == []
    assert list(stream) == []


def test_a_dropped_stream_leaves_no_thread(table: str) -> None:
    for make in STREAMS.values():
        opened = make(table)
        next(opened)
        assert len(readers()) == 1
        del opened
        gc.collect()
        assert readers_after() == []


class InterruptedStart:
    """Raises as Ctrl-C does while the n-th thread starts: it runs, and nobody knows."""

    def __init__(self, patched: pytest.MonkeyPatch, n: int) -> None:
        self.left = n
        begin = threading.Thread.start

        def start(thread: threading.Thread) -> None:
            begin(thread)
            self.left -= thread.name.startswith("fast_lsh_ann")
            if self.left == 0:
                raise KeyboardInterrupt

        patched.setattr(threading.Thread, "start", start)


CALLS: dict[str, Callable[[str], object]] = {
    "transform": lambda t: list(STREAMS["transform"](t)),
    "join": lambda t: list(STREAMS["join"](t)),
    "read": lambda t: list(STREAMS["read"](t)),
    "hashes": lambda t: DeltaLSHProcessor().transform_delta(t),
    "neighbors": lambda t: list(
        streaming(memory_limit="8MiB").nearest_neighbors_streaming(
            t, t, 2, where_queries="id < 9"
        )
    ),
    "limited join": lambda t: list(
        streaming(memory_limit="16MiB").similarity_join_frames(t, None, 0.0)
    ),
    "Arrow": lambda t: DeltaLSHProcessor().transform_delta(
        deltalake.DeltaTable(t).to_pyarrow_table().to_reader()
    ),
    "write": lambda t: streaming().transform_to_delta(t, f"{t}-out", mode="overwrite"),
}


@pytest.mark.parametrize("name", [name for name in CALLS if name != "write"])
def test_a_thread_dies_in_itself(
    name: str, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elsewhere `threading` would be called back, where Ctrl-C is lost.

    Where something was raised in a thread, as when there is no table to write to yet, the
    traceback keeps it.
    """
    watched, deaths = [], []

    class Watched(threading.Thread):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            died = weakref.ref(self, lambda _: deaths.append(threading.get_ident()))
            watched.append(died)

    monkeypatch.setattr(threading, "Thread", Watched)
    CALLS[name](table)
    deadline = time.monotonic() + 5
    while len(deaths) < len(watched) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(deaths) == len(watched) > 0
    assert threading.get_ident() not in deaths


@pytest.mark.parametrize("name", CALLS)
def test_an_interrupt_while_a_thread_starts_leaves_none(
    name: str, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupts = 0
    for n in range(1, 100):
        with monkeypatch.context() as patched:
            start = InterruptedStart(patched, n)
            try:
                CALLS[name](table)
            except KeyboardInterrupt:
                interrupts += 1
        assert readers_after() == []
        if start.left > 0:
            break
    assert interrupts == n - 1 > 0


def test_a_start_that_is_broken_off_runs_whole_or_never(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, may_end, ended = threading.Event(), threading.Event(), []
    late: list[threading.Thread] = []
    begin = threading.Thread.start

    def work() -> None:
        begun.set()
        may_end.wait(5)
        ended.append(True)

    def interrupt_before(thread: threading.Thread) -> None:
        late.append(thread)
        raise KeyboardInterrupt

    def interrupt_after(thread: threading.Thread) -> None:
        begin(thread)
        begun.wait(5)
        begin(threading.Timer(0.1, may_end.set))
        raise KeyboardInterrupt

    for broken, expected in ((interrupt_before, []), (interrupt_after, [True])):
        worker = Worker(work)
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", broken)
            with pytest.raises(KeyboardInterrupt):
                worker.start()
        worker.wait()
        assert ended == expected
    begin(late[0])
    late[0].join()
    assert ended == [True]


def test_a_stream_that_was_never_read_starts_no_thread(
    stream: Generator[object, None, None],
) -> None:
    assert readers_after() == []
    del stream
    assert readers() == []


def test_a_consumer_that_fails_leaves_no_thread(
    stream: Generator[object, None, None],
) -> None:
    mistake = LookupError("of the consumer")

    def consume(chunks: Generator[object, None, None]) -> None:
        for number, _ in enumerate(chunks):
            if number == 3:
                raise mistake

    with pytest.raises(LookupError) as raised:
        consume(stream)
    assert raised.value is mistake
    stream.close()
    assert readers_after() == []


def test_a_stream_that_was_read_leaves_no_thread(
    stream: Generator[object, None, None],
) -> None:
    assert sum(1 for _ in stream) == -(-MANY // 1000)
    assert readers_after() == []


def test_a_failed_write_leaves_no_thread(tmp_path: Path) -> None:
    rows = vectors_of(MANY)
    rows[3 * BATCH_ROWS] = np.nan
    bad = write_table(tmp_path / "t", rows)
    lsh = streaming(chunk_size=1000)
    (tmp_path / "file").write_text("no folder")
    calls: list[Callable[[], object]] = [
        lambda: lsh.transform_to_delta(bad, tmp_path / "out"),
        lambda: lsh.transform_to_delta(bad, tmp_path / "file"),
        lambda: lsh.similarity_join_chunked_both(bad, bad, 0.0),
        lambda: lsh.similarity_join_chunked_both(
            bad, bad, 0.0, output_path=tmp_path / "out"
        ),
    ]
    held = []
    for call in calls:
        with pytest.raises((ValueError, OSError)) as raised:
            call()
        held.append(raised.value)  # with its traceback, and what that refers to
        assert readers_after() == []
    assert not deltalake.DeltaTable.is_deltatable(str(tmp_path / "out"))


def test_progress_that_fails_ends_the_call(table: str, tmp_path: Path) -> None:
    mistake = LookupError("of the caller")

    def fail(*_: int) -> None:
        raise mistake

    lsh = streaming(chunk_size=1000)
    out = tmp_path / "out"
    calls: list[Callable[[], object]] = [
        lambda: lsh.transform_to_delta(table, out, progress=fail),
        lambda: list(lsh.transform_streaming(table, progress=fail)),
        lambda: list(lsh.similarity_join_streaming(table, table, 0.0, progress=fail)),
        lambda: lsh.similarity_join_chunked_both(table, table, 0.0, progress=fail),
    ]
    for call in calls:
        with pytest.raises(LookupError) as raised:
            call()
        assert raised.value is mistake
        assert readers_after() == []
    assert not deltalake.DeltaTable.is_deltatable(str(out))


def test_an_interpreter_may_exit_with_streams_open(run_python: Run, table: str) -> None:
    program = f"""
from fast_lsh_ann import StreamingLSHProcessor, read_delta_embeddings_chunked
lsh = StreamingLSHProcessor(chunk_size=1000)
streams = [
    lsh.transform_streaming({table!r}),
    lsh.similarity_join_streaming({table!r}, {table!r}, 0.0),
    read_delta_embeddings_chunked({table!r}, chunk_size=1000),
]
print(*(type(next(stream)).__name__ for stream in streams))
"""
    for _ in range(3):
        done = run_python(program)
        assert done.stdout == "ChunkResult list tuple\n"
        assert done.stderr == ""


# ---- Ctrl-C ----------------------------------------------------------------------------

JOBS = {
    "transform_streaming": "for chunk in lsh.transform_streaming(table): pass",
    "transform_to_delta": "lsh.transform_to_delta(table, out, include_embeddings=True)",
    "join_streaming": "for p in lsh.similarity_join_streaming(table, table, 9.0): pass",
    "join_many": "list(lsh.similarity_join_streaming(few, few, 99.0))",
    "join_count": "lsh.similarity_join_chunked_both(table, table, 9.0)",
    "join_write": "lsh.similarity_join_chunked_both(table, table, 9.0, output_path=out)",
    "read_chunked": "for part in read_delta_embeddings_chunked(table): pass",
    "benchmark": "benchmark_streaming(100_000, 64)",
}


@pytest.mark.parametrize("job", JOBS)
def test_ctrl_c_ends_every_job_and_leaves_nothing(tmp_path: Path, job: str) -> None:
    table, few, out = (str(tmp_path / name) for name in ("t", "few", "out"))
    create_sample_delta(table, n_vectors=40_000, dim=64)
    create_sample_delta(few, n_vectors=3000, dim=4)
    write_table(tmp_path / "out", vectors_of(3))
    before = contents(out)
    (tmp_path / "tmp").mkdir()
    program = f"""
import tempfile, threading, time
from fast_lsh_ann import StreamingLSHProcessor, read_delta_embeddings_chunked
from fast_lsh_ann.streaming import benchmark_streaming
tempfile.tempdir = {str(tmp_path / "tmp")!r}
table, few, out = {table!r}, {few!r}, {out!r}
lsh = StreamingLSHProcessor(chunk_size=9000)
print("working", flush=True)
try:
    while True:
        {JOBS[job]}
except KeyboardInterrupt:
    print(time.monotonic(), flush=True)
deadline = time.monotonic() + 5
while threading.active_count() > 1 and time.monotonic() < deadline:
    time.sleep(0.01)
assert threading.active_count() == 1, threading.enumerate()
"""
    assert seconds_to_interrupt(program) < SOON
    assert list((tmp_path / "tmp").iterdir()) == []
    if job in ("transform_to_delta", "join_write"):
        return  # a whole run may have been committed before
    after = contents(out)
    assert after[0] == before[0]
    assert after[1].equals(before[1])


# ---- memory ----------------------------------------------------------------------------

FILE_ROWS, DIM = 40_000, 64
MB = 1 << 20

PEAKS = """
import sys
from fast_lsh_ann import StreamingLSHProcessor, read_delta_embeddings_chunked

table, few, out = sys.argv[1:]
lsh = StreamingLSHProcessor(num_hash_tables=3, chunk_size=20_000)
join = lsh.similarity_join_chunked_both
jobs = {
    "read_chunked": lambda: sum(1 for _ in read_delta_embeddings_chunked(table)),
    "transform_streaming": lambda: sum(1 for _ in lsh.transform_streaming(table)),
    "transform_to_delta": lambda: lsh.transform_to_delta(table, out),
    "join_streaming": lambda: sum(
        1 for _ in lsh.similarity_join_streaming(table, few, 1.0)
    ),
    "count, large a": lambda: join(table, few, 1.0),
    "count, large b": lambda: join(few, table, 1.0),
    "pairs, large b": lambda: join(few, table, 1.0, output_path=out),
    "with embeddings": lambda: lsh.transform_to_delta(
        table, out, include_embeddings=True
    ),
}
for name, job in jobs.items():
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # from here on the peak counts anew
    job()
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            print(name, int(line.split()[1]) << 10, sep="\\t")
"""


def peaks_of(table: Path, few: str, out: Path) -> dict[str, int]:
    """Peak memory of each job, all in one process."""
    command = [sys.executable, "-c", PEAKS, str(table), few, str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    return {name: int(peak) for name, peak in lines}


@pytest.mark.measured
def test_memory_does_not_grow_with_the_tables(tmp_path: Path) -> None:
    rows = vectors_of(FILE_ROWS, dim=DIM)
    ids = pl.Series("id", np.arange(FILE_ROWS))
    frame = pl.DataFrame({"id": ids, "embedding": pl.Series(rows).arr.to_list()})
    few = write_table(tmp_path / "few", rows[:500])
    files = {"once": 2, "eightfold": 16}
    for name, number in files.items():
        for _ in range(number):
            frame.write_delta(tmp_path / name, mode="append")
    once, eightfold = (peaks_of(tmp_path / name, few, tmp_path / "out") for name in files)
    assert len(once) == 8
    table_bytes = files["eightfold"] * FILE_ROWS * DIM * 4
    assert table_bytes > 150 * MB
    grown = {name: eightfold[name] - once[name] for name in once}
    # Written embeddings wait in deltalake, up to about 150 MB of them.
    limits = dict.fromkeys(once, 40 * MB) | {"with embeddings": 200 * MB}
    assert all(grown[name] < limits[name] for name in grown), (once, eightfold)
