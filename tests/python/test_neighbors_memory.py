"""What a search of tables holds: cut to fit its limit, planned, and given back."""

import gc
import os
import re
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from delta_tables import streaming, vectors_of, write_table
from fast_lsh_ann import (
    BucketedRandomProjectionLSH,
    NeighborsPlan,
    _core,
    create_sample_delta,
    set_threads,
    simd_info,
)
from fast_lsh_ann._streamed import blocks, neighbors
from fast_lsh_ann._streamed.answers import places_of
from fast_lsh_ann._streamed.costs import Layout, SearchCosts
from fast_lsh_ann._streamed.frames import Frames
from fast_lsh_ann._streamed.naming import LateNames, RowNumbers
from fast_lsh_ann._streamed.neighbors import NeighborPass, NeighborSearch
from fast_lsh_ann._streamed.weights import compacted, held_bytes
from fast_lsh_ann._tables.embeddings import EmbeddingBatch, EmbeddingReader
from fast_lsh_ann._tables.opening import open_source
from fast_lsh_ann._tables.source import BATCH_ROWS
from fast_lsh_ann.errors import MemoryLimitError, ParameterError
from fast_lsh_ann.results import Neighbors
from test_streaming_ends import readers, readers_after

BENCH = str(Path(__file__).parents[2] / "bench")
MIB = 1 << 20


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """Two threads, and what a test sets only for itself."""
    set_threads(2)
    yield
    set_threads(None)


def costs(
    dim: int = 128, k: int = 10, itemsize: int = 4, tables: int = 0, writing: int = 0
) -> SearchCosts:
    model = BucketedRandomProjectionLSH(2.0, max(1, tables)).create_model(dim)
    core = model._core if tables else None

    def core_bytes(queries: int, rows: int) -> tuple[int, int]:
        return _core.knn_memory(core, queries, dim, k, int(tables > 0), 0, rows)

    threads = simd_info().threads
    return SearchCosts(dim, k, itemsize, itemsize, 8, threads, core_bytes, writing)


# ---- cutting ---------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [4 * MIB, 32 * MIB, 256 * MIB, 1024 * MIB])
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"dim": 1536},
        {"k": 1000},
        {"k": 400_000},
        {"tables": 20},
        {"itemsize": 8},
        {"writing": MIB},
    ],
    ids=str,
)
def test_a_layout_holds_what_fits_and_no_less_than_it_could(
    limit: int, changed: dict[str, int]
) -> None:
    try:
        layout = Layout.within(costs(**changed), limit)
    except MemoryLimitError:
        least = Layout(costs(**changed), limit, 512, 64, 64)
        assert least.fixed_bytes + least.query_bytes(few=True) > limit
        return
    queries = layout.most_queries(0)
    each = layout.query_bytes(few=layout.few(queries))
    assert queries >= 1
    assert layout.fixed_bytes + queries * each <= limit
    full = layout.fixed_bytes + (queries + 1) * each > limit
    assert full or (queries, layout.around) == (2047, 512)
    assert layout.push_rows % layout.batch_rows == 0
    assert layout.push_rows <= 65536
    assert 64 <= layout.batch_rows <= BATCH_ROWS


def test_the_least_limit_that_is_named_works_and_one_byte_less_does_not(
    tmp_path: Path,
) -> None:
    table = write_table(tmp_path / "t", vectors_of(300, dim=96))

    def search(limit: int) -> Any:
        lsh = streaming(memory_limit=limit)
        frames = lsh.nearest_neighbors_streaming(table, table, 7, exact=True)
        return pl.concat(frames)

    with pytest.raises(MemoryLimitError, match="one query") as raised:
        search(1)
    said = re.search(r"takes ([\d,]+) at least", str(raised.value))
    assert said is not None
    least = int(said[1].replace(",", ""))
    with pytest.raises(MemoryLimitError, match=f"takes {least:,} at least"):
        search(least - 1)
    found = search(least)
    assert found.equals(search(64 * MIB))
    assert found.height == 300 * 7


def batches_of(rows: int, ids: list[str]) -> Any:
    frame = pl.DataFrame({"id": ids, "embedding": vectors_of(rows).tolist()})
    source = open_source(
        frame.with_columns(pl.col("embedding").cast(pl.List(pl.Float32)))
    )
    return EmbeddingReader(source, "embedding", "id").batches(100)


def test_blocks_count_the_bytes_of_ids() -> None:
    """Long ids make blocks smaller; every row is in one block, in order."""
    sizes = {}
    for length in (5, 3000):
        layout = Layout.within(costs(dim=4), 3 * MIB)
        ids = [f"{number:0{length}}" for number in range(5000)]
        found = list(blocks.query_blocks(batches_of(5000, ids), layout, None, False))
        assert [i for block in found for i in block.ids.to_list()] == ids
        sizes[length] = [len(block.rows) for block in found]
        named = length + 8  # with a view of 16 bytes, less the number that is counted
        each = layout.query_bytes(few=layout.few(sizes[length][0])) + named
        assert max(sizes[length]) <= layout.room // each
        assert sizes[length][0] > layout.room // each - 100
    assert len(sizes[5]) < len(sizes[3000])
    assert len(sizes[3000]) > 5


def test_few_queries_with_long_lists_are_cut_again() -> None:
    """So few that every thread has lists: as a whole they would not fit."""
    set_threads(8)
    layout = Layout.within(costs(dim=4, k=500), 64 * MIB)
    assert not layout.few(layout.most_queries(0))
    ids = [str(number) for number in range(1900)]
    found = list(blocks.query_blocks(batches_of(1900, ids), layout, None, False))
    assert len(found) > 1
    for block in found:
        size = len(block.rows) * layout.query_bytes(few=layout.few(len(block.rows)))
        assert size <= layout.room
    assert sum(len(block.rows) for block in found) == 1900


def test_rows_left_out_are_told_by_their_runs() -> None:
    """Sixteen bytes a run, however many rows come before, between and after."""
    rows: Any = vectors_of(1000).tolist()
    for number in (0, 1, 500, 501, 502, 999):
        rows[number] = None
    kept = [number for number in range(1000) if rows[number] is not None]
    frame = pl.DataFrame({"embedding": pl.Series(rows, dtype=pl.List(pl.Float32))})
    source = open_source(frame)
    reader = EmbeddingReader(source, "embedding", None, skip=True)
    numbers = RowNumbers()
    for block in reader.batches(100):
        numbers.see(block)
    assert numbers.held == 2 * 16
    places = np.arange(len(kept))
    assert numbers.numbers(places).tolist() == kept
    assert numbers.numbers(places[490:]).tolist() == kept[490:]


def test_few_texts_do_not_keep_their_batch() -> None:
    """Views of texts, and of lists of them, would."""
    texts = [f"{number:06}" * 500 for number in range(8192)]
    frame = pl.DataFrame({"a": texts, "b": [[text] for text in texts], "c": range(8192)})
    few = frame[[5, 17, 8000]]

    def kept(frame: pl.DataFrame) -> int:
        table = frame.to_arrow(compat_level=pl.CompatLevel.newest())
        return int(table.get_total_buffer_size())

    assert kept(few) > 20_000_000
    copied = compacted(few)
    assert copied.equals(few)
    assert copied.schema == few.schema
    assert kept(copied) < 50_000
    assert held_bytes(copied.select("a")) == 3 * (3000 + 16)
    assert held_bytes(frame.select("c")) == 8192 * 8


def test_names_have_room_to_be_put_together(tmp_path: Path) -> None:
    """They are there in pieces and as a whole."""
    ids = [f"{number:04}" * 30 for number in range(300)]
    table = write_table(tmp_path / "t", vectors_of(300), ids)
    names = LateNames(EmbeddingReader(open_source(table), "embedding", "id"))
    places = np.arange(0, 300, 2)
    bytes_of_names = 150 * (120 + 16)
    found = names.of(places, 2 * bytes_of_names)
    assert found is not None
    assert found["neighbor_id"].to_list() == ids[::2]
    assert names.of(places, 2 * bytes_of_names - 1) is None


# ---- plans -----------------------------------------------------------------------------


def test_a_plan_tells_the_passes_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = write_table(tmp_path / "b", vectors_of(20_000, dim=16))
    asking = write_table(tmp_path / "q", vectors_of(9_000, dim=16, seed=2))
    lsh = streaming(memory_limit="8MiB")
    plan = lsh.plan_nearest_neighbors(asking, base, 10, exact=True)
    assert (plan.queries, plan.rows, plan.dim, plan.k) == (9_000, 20_000, 16, 10)
    assert sum(plan.memory.values()) <= plan.memory_limit == 8 * MIB
    assert plan.memory["writing"] == 2 * MIB
    assert plan.seconds >= max(plan.read_seconds, plan.search_seconds) > 0
    readings = []
    chunks = EmbeddingReader.chunks

    def counted(self: EmbeddingReader, *sizes: int) -> Any:
        readings.append(sizes[0])
        return chunks(self, *sizes)

    monkeypatch.setattr(EmbeddingReader, "chunks", counted)
    report = lsh.nearest_neighbors_to_delta(asking, base, tmp_path / "o", 10, exact=True)
    assert report.rows == 90_000
    assert readings == plan.passes * [plan.rows_per_block]
    assert plan.passes > 1
    said = str(plan)
    assert said.startswith("9,000 queries, 20,000 rows of dimension 16, k=10\n")
    assert f"{plan.passes} passes over the rows, of up to" in said
    assert "MiB of 8 (queries" in said
    with pytest.raises(AttributeError):
        plan.passes = 1  # type: ignore[misc]


def test_a_plan_without_queries_has_no_passes(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t", vectors_of(50))
    plan = streaming().plan_nearest_neighbors(table, table, 3, where_queries="id < 0")
    assert (plan.passes, plan.dim, plan.seconds) == (0, None, 0)
    assert str(plan) == "no queries, 50 rows: nothing is to be done"
    assert isinstance(plan, NeighborsPlan)
    plan = streaming().plan_nearest_neighbors(table, table, 3, where_base="id < 0")
    assert plan.passes == 1


def test_a_stream_is_not_planned_with(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t", vectors_of(50))
    stream = streaming().nearest_neighbors_streaming(table, table, 1, exact=True)
    reader = pl.read_delta(table).to_arrow().to_reader()
    with pytest.raises(ParameterError, match="a plan reads some of it"):
        streaming().plan_nearest_neighbors(table, reader, 3)
    assert reader.read_all().num_rows == 50
    stream.close()


# ---- ends ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("tables") / "many"
    return write_table(path, vectors_of(12 * BATCH_ROWS))


def fail(_: Any) -> None:
    raise LookupError


@pytest.mark.parametrize(
    "end",
    [Frames.close, list, id],
    ids=["closed", "read", "dropped"],
)
def test_frames_leave_no_thread(many: str, end: Callable[[Any], Any]) -> None:
    lsh = streaming(memory_limit="1MiB")
    frames = lsh.nearest_neighbors_streaming(many, many, 2, where_queries="id < 9000")
    assert readers_after() == []
    next(frames)
    assert readers() != []  # queries wait to be read on
    end(frames)
    del frames
    gc.collect()
    assert readers_after() == []


def test_a_search_that_fails_leaves_no_thread(many: str, tmp_path: Path) -> None:
    rows: Any = vectors_of(12 * BATCH_ROWS).tolist()
    rows[9 * BATCH_ROWS] = None
    bad = write_table(tmp_path / "bad", rows)
    for pair in ((many, bad), (bad, many)):
        with pytest.raises(ValueError, match=f"row {9 * BATCH_ROWS}"):
            list(streaming().nearest_neighbors_streaming(*pair, 2))
        assert readers_after() == []
    with pytest.raises(LookupError):
        streaming(memory_limit="4MiB").nearest_neighbors_to_delta(
            many, many, tmp_path / "out", 2, progress=lambda *_: fail(0)
        )
    assert readers_after() == []
    assert not (tmp_path / "out" / "_delta_log").exists()


# ---- memory ----------------------------------------------------------------------------

HELD = """
import os, sys, tempfile
bench, base, queries, limit, k, what = sys.argv[1:]
sys.path.insert(0, bench)
import fast_lsh_ann, memory
from fast_lsh_ann._tables.opening import open_source

def grown(call):
    before = memory.start_anew(os.getpid())
    rows = call()
    return rows, memory.since(os.getpid(), before).grown

def read():
    return sum(len(batch[0]) for batch in open_source(base).batches(["embedding"]))

def search(exact):
    frames = lsh.nearest_neighbors_streaming(queries, base, k, exact=exact)
    return sum(frame.height for frame in frames)

def write():
    search = lsh.nearest_neighbors_to_delta
    return search(queries, base, folder + "/out", k, exact=True).rows

def warm():
    table = folder + "/warm"
    fast_lsh_ann.create_sample_delta(table, 100, 4)
    for exact in (True, False):
        list(lsh.nearest_neighbors_streaming(table, table, 1, exact=exact))
    lsh.nearest_neighbors_to_delta(table, table, folder + "/warmed", 1)

k = int(k)
lsh = fast_lsh_ann.StreamingLSHProcessor(10.0, 8, memory_limit=limit)
with tempfile.TemporaryDirectory() as folder:
    warm()
    print(*grown({
        "read": read,
        "exact": lambda: search(True),
        "LSH": lambda: search(False),
        "exact to a table": write,
    }[what]))
"""


def grown(base: Path, queries: Path, limit: str, k: int, what: str) -> tuple[int, int]:
    """Rows that a call gave, and by how much the process grew at most."""
    done = subprocess.run(
        [sys.executable, "-c", HELD, BENCH, str(base), str(queries), limit, str(k), what],
        env={**os.environ, "FAST_LSH_ANN_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    rows, held = map(int, done.stdout.split())
    return rows, held


def assert_within(base: Path, queries: Path, limit: str, k: int, expected: int) -> None:
    """Hold every way of searching to the limit, and to what reading alone takes."""
    _, reading = grown(base, queries, limit, k, "read")
    allowed = int(limit.removesuffix("MiB")) * MIB * 11 // 10 + 64 * MIB + reading
    for what in ("exact", "LSH", "exact to a table"):
        rows, held = grown(base, queries, limit, k, what)
        assert rows == expected, what
        told = f"{what}: {held / MIB:.0f} MiB; reading alone {reading / MIB:.0f}"
        assert held <= allowed, told


def test_a_pass_begins_when_nothing_of_the_one_before_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Queries, answers and names of each block of queries are gone by then."""
    base = write_table(tmp_path / "b", vectors_of(2_000, dim=16))
    asking = write_table(tmp_path / "q", vectors_of(9_000, dim=16, seed=2))
    held: list[Callable[[], object]] = []
    alive: list[int] = []
    finish, begin = NeighborPass.finish, NeighborSearch.begin_pass

    def begun(self: NeighborSearch, queries: EmbeddingBatch) -> NeighborPass:
        alive.append(sum(one() is not None for one in held))
        held.append(weakref.ref(queries.rows))
        return begin(self, queries)

    def finished(self: NeighborPass) -> Any:
        found = finish(self)
        assert found is not None
        held.extend(map(weakref.ref, (found.indices, found.distances)))
        return found

    def placed(found: Neighbors) -> Any:
        places = places_of(found)
        held.append(weakref.ref(places if places.base is None else places.base))
        return places

    monkeypatch.setattr(NeighborSearch, "begin_pass", begun)
    monkeypatch.setattr(NeighborPass, "finish", finished)
    monkeypatch.setattr(neighbors, "places_of", placed)
    lsh = streaming(memory_limit="4MiB")
    frames = lsh.nearest_neighbors_streaming(asking, base, 20, exact=True)
    assert sum(frame.height for frame in frames) == 180_000
    assert len(alive) > 2
    assert set(alive) == {0}
    assert len(held) == 4 * len(alive)


@pytest.mark.measured
def test_memory_holds_under_a_limit_far_below_the_table(tmp_path: Path) -> None:
    """200 MB of rows under 32 MiB, and queries that take several passes."""
    base, queries = tmp_path / "b", tmp_path / "q"
    create_sample_delta(base, 400_000, 128)
    create_sample_delta(queries, 2_000, 128, seed=7)
    assert_within(base, queries, "32MiB", 300, 600_000)
