"""Joins of tables larger than memory: what is read, held and told before."""

import weakref
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from delta_tables import TWO_BATCHES, vectors_of, write_table
from fast_lsh_ann import BucketedRandomProjectionLSH
from fast_lsh_ann._streamed import arrange as arranging
from fast_lsh_ann._streamed.chunks import ChunkSize, RowStream
from fast_lsh_ann._tables.embeddings import EmbeddingBatch, EmbeddingReader
from fast_lsh_ann._tables.opening import open_source
from fast_lsh_ann.errors import MemoryLimitError, ParameterError
from held import check_memory
from joined import SEED, TABLES, Tables, processor, rows_of, set_chunks


@pytest.fixture(params=[1, 7, 100])
def chunks(request: Any, monkeypatch: pytest.MonkeyPatch) -> int:
    """Rows of the chunks that stay; twice as many pass."""
    set_chunks(monkeypatch, request.param, 2 * request.param)
    return int(request.param)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return Tables(tmp_path_factory.mktemp("tables"))


# ---- what is read ----------------------------------------------------------------------


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Tables in the order in which readings of them begin."""
    found: list[str] = []
    batches = EmbeddingReader.batches

    def recorded(
        self: EmbeddingReader, *rows: int
    ) -> Generator[EmbeddingBatch, None, None]:
        found.append(Path(self.source.uri).name)
        return batches(self, *rows)

    monkeypatch.setattr(EmbeddingReader, "batches", recorded)
    return found


def test_the_table_that_stays_is_the_one_with_which_least_is_read(
    tmp_path: Path, begun: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which of two orders reads fewer rows is counted here."""
    monkeypatch.setattr(arranging, "_working", lambda _: 0.0)
    lsh, rows = processor(memory_limit=150_000), rows_of_a_chunk(tmp_path)
    sizes = {"tiny": 90, "small": rows - 20, "large": 3 * rows - 20}
    tables = {
        name: write_table(tmp_path / name, vectors_of(n, dim=16))
        for name, n in sizes.items()
    }
    begun.clear()

    def read(stays: str, passes: str) -> int:
        return sizes[stays] + -(-sizes[stays] // rows) * sizes[passes]

    for a in sizes:
        for b in sizes:
            if a == b:
                continue
            best = min((read(a, b), "a"), (read(b, a), "b"))
            plan = lsh.plan_similarity_join(tables[a], tables[b], 0.1, exact=True)
            assert plan.stays == best[1]
            begun.clear()
            frames = lsh.similarity_join_frames(tables[a], tables[b], 0.1, exact=True)
            rows_of(frames)
            stays, passes = (a, b) if plan.stays == "a" else (b, a)
            chunks = -(-sizes[stays] // rows)
            assert plan.passes == chunks
            # Both are looked at first; the table that stays is read once.
            assert begun == [a, b, stays, *[passes] * chunks]
    begun.clear()
    plan = lsh.plan_similarity_join(tables["large"], None, 0.1, exact=True)
    count = -(-sizes["large"] // (plan.chunk_rows or 1))
    assert plan.passes == count
    assert count > 1
    begun.clear()
    rows_of(lsh.similarity_join_frames(tables["large"], None, 0.1, exact=True))
    assert begun == ["large"] * (1 + count)


def rows_of_a_chunk(folder: Path) -> int:
    """Rows of dimension 16 in a chunk of a join of two tables in 150,000 bytes."""
    a, b = (write_table(folder / f"probe{i}", vectors_of(5000, dim=16)) for i in "ab")
    lsh = processor(memory_limit=150_000)
    rows = lsh.plan_similarity_join(a, b, 0.1, exact=True).chunk_rows
    assert rows is not None
    assert 500 < rows < 2500
    return rows


def test_a_larger_table_stays_where_that_reads_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chunk and a bit stays in two, and all of the other passes twice."""
    monkeypatch.setattr(arranging, "_working", lambda _: 0.0)
    lsh = processor(memory_limit=150_000)
    rows = rows_of_a_chunk(tmp_path)
    over = write_table(tmp_path / "over", vectors_of(rows + 20, dim=16))
    large = write_table(tmp_path / "large", vectors_of(2 * rows - 20, dim=16))
    assert lsh.plan_similarity_join(over, large, 0.1, exact=True).stays == "b"


@pytest.mark.usefixtures("chunks")
def test_a_table_that_is_read_once_stays(tables: Tables) -> None:
    asked: dict[str, Any] = {"by": ["country"], "columns": ["size"]}
    lsh = processor()

    def once(side: str) -> pa.RecordBatchReader:
        table = pl.read_delta(tables.path(side)).to_arrow()
        return pa.RecordBatchReader.from_batches(table.schema, table.to_batches(7))

    expected = tables.expected("b", **asked)
    found = lsh.similarity_join_frames(once("a"), tables.path("b"), 1.0, **asked)
    assert rows_of(found) == expected
    found = lsh.similarity_join_frames(tables.path("a"), once("b"), 1.0, **asked)
    assert rows_of(found) == expected
    twice = once("a")
    for a, b in ((once("a"), None), (twice, twice), (once("a"), once("b"))):
        with pytest.raises(ParameterError, match=r"can be read once.*write .* to a file"):
            lsh.similarity_join_frames(a, b, 1.0)
    with pytest.raises(ParameterError, match="a plan reads some of it"):
        lsh.plan_similarity_join(once("b"), tables.path("a"), 1.0)


def test_a_frame_is_a_table_whose_rows_are_not_known(tables: Tables) -> None:
    a, b = (pl.read_delta(tables.path(side)) for side in "ab")
    lsh = processor()
    assert rows_of(lsh.similarity_join_frames(a, b, 1.0)) == tables.expected("b")
    assert rows_of(lsh.similarity_join_frames(a, None, 1.0)) == tables.expected("a")
    plan = lsh.plan_similarity_join(a, tables.path("b"), 1.0)
    assert plan.stays == "b"
    assert (plan.rows_a, plan.passes, plan.pairs, plan.seconds) == (None, 1, None, None)
    assert "unknown" in str(plan)


# ---- plans -----------------------------------------------------------------------------


def test_a_plan_tells_what_is_found_and_read(tmp_path: Path) -> None:
    rows, others = vectors_of(3000, seed=1, dim=4), vectors_of(2000, seed=2, dim=4)
    a, b = write_table(tmp_path / "a", rows), write_table(tmp_path / "b", others)
    lsh = processor(memory_limit=100_000)
    plan = lsh.plan_similarity_join(a, b, 1.0)
    found = rows_of(lsh.similarity_join_frames(a, b, 1.0))
    assert (plan.rows_a, plan.rows_b, plan.itself) == (3000, 2000, False)
    assert plan.pairs == plan.sampled_pairs == len(found)  # all rows are first ones
    assert plan.sampled == 3000 * 2000
    assert plan.passes is not None
    assert plan.passes > 1
    stays, passes = (3000, 2000) if plan.stays == "a" else (2000, 3000)
    bytes_of_row = 4 * 4 + 8 + 8  # coordinates, number, id
    assert plan.bytes_read == (stays + plan.passes * passes) * bytes_of_row
    assert plan.seconds is not None
    assert plan.seconds > 0
    text = str(plan)
    for said in (repr(a), repr(b), "3,000 rows", f"{plan.passes} times", "97.7 KiB"):
        assert said in text
    itself = lsh.plan_similarity_join(a, None, 1.0)
    count = len(rows_of(lsh.similarity_join_frames(a, None, 1.0)))
    assert itself.pairs == count
    upper = lsh.plan_similarity_join(a, None, 1.0, self_pairs="upper")
    assert upper.pairs == itself.sampled_pairs == (count - 3000) // 2
    assert "joined with itself" in str(itself)


def test_pairs_of_more_rows_than_the_first_are_guessed(tmp_path: Path) -> None:
    rows = vectors_of(3 * TWO_BATCHES, seed=1, dim=4)
    table = write_table(tmp_path / "t", rows)
    lsh = processor()
    plan = lsh.plan_similarity_join(table, None, 0.5)
    count = BucketedRandomProjectionLSH(1.0, TABLES, SEED).create_model(4).index(rows)
    assert plan.pairs == pytest.approx(
        count.similarity_join_count(threshold=0.5), rel=0.1
    )
    assert plan.sampled == 8192 * 8191 // 2
    keyed = lsh.plan_similarity_join(table, table, 9.0, where_b="id >= 0", by=["id"])
    assert (keyed.sampled_pairs, keyed.sampled) == (8192, 8192 * 8192)
    assert keyed.pairs == len(rows)  # one a row, in whatever part of the tables
    assert keyed.join_seconds is not None
    assert plan.join_seconds is not None
    assert keyed.join_seconds < plan.join_seconds / 100


@pytest.mark.parametrize("repeated", [1, 3])
def test_pairs_near_each_other_grow_with_the_rows(tmp_path: Path, repeated: int) -> None:
    """In tables of one order, or with alike rows in a row, and beside pairs anywhere."""
    n = 3 * TWO_BATCHES
    rows = np.repeat(vectors_of(n // repeated, seed=1, dim=4), repeated, axis=0)
    table = write_table(tmp_path / "t", rows)
    model = BucketedRandomProjectionLSH(1.0, TABLES, SEED).create_model(4)
    for threshold in (1e-3, 0.1):
        count = model.index(rows).similarity_join_count(threshold=threshold, exact=True)
        asked: dict[str, Any] = {"threshold": threshold, "exact": True}
        itself = processor().plan_similarity_join(table, None, **asked)
        assert itself.pairs == pytest.approx(count, rel=0.1)
        two = processor().plan_similarity_join(table, table, where_b="id >= 0", **asked)
        assert two.pairs == pytest.approx(count, rel=0.1)


@pytest.mark.parametrize("empty", ["a", "b", "both", "itself"])
def test_a_join_without_rows_has_its_columns_all_the_same(
    tmp_path: Path, empty: str
) -> None:
    n = {"a": (0, 9), "b": (9, 0), "both": (0, 0), "itself": (0, 9)}[empty]
    rows = vectors_of(9)
    names, sizes = pl.Series(["x"] * 9, dtype=pl.String), pl.Series([1] * 9)
    a = write_table(tmp_path / "a", rows[: n[0]], country=names[: n[0]])
    b: str | None = write_table(
        tmp_path / "b", rows[: n[1]], ids=names[: n[1]], size=sizes[: n[1]]
    )
    b = None if empty == "itself" else b
    lsh = processor()
    columns = ["country"] if b is None else ["country", "size"]
    frames = lsh.similarity_join_frames(a, b, 1.0, columns=columns)
    schema = {"id_a": pl.Int64, "id_b": pl.String, "distance": pl.Float64}
    more: dict[str, Any] = {"country_a": pl.String, "size_b": pl.Int64}
    if b is None:
        schema["id_b"] = pl.Int64
        more = {"country_a": pl.String, "country_b": pl.String}
    if n[1] == 0:
        more = {
            name: pl.Null if name == "size_b" else kind for name, kind in more.items()
        }
    frame = pl.DataFrame(frames)
    assert frame.height == 0
    assert list(frame.schema) == [*schema, *more]
    assert {name: frame.schema[name] for name in schema} == schema
    plan = lsh.plan_similarity_join(a, b, 1.0)
    assert plan.pairs == 0
    assert plan.join_seconds == 0
    report = lsh.similarity_join_to_delta(a, b, tmp_path / "out", 1.0)
    assert (report.version, report.rows, report.skipped) == (0, 0, False)
    assert pl.read_delta(str(tmp_path / "out")).schema == schema


# ---- memory ----------------------------------------------------------------------------


def test_no_more_than_a_chunk_and_what_passes_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one before is gone when the next one is read."""
    table = write_table(tmp_path / "t", vectors_of(200))
    other = write_table(tmp_path / "o", vectors_of(200), key=[i % 3 for i in range(200)])
    set_chunks(monkeypatch, 50, 20)
    alive: list[Callable[[], object]] = []
    seen: list[int] = []
    take = RowStream.take

    def counted(self: RowStream, size: ChunkSize) -> EmbeddingBatch | None:
        seen.append(sum(one() is not None for one in alive))
        batch = take(self, size)
        if batch is not None:
            alive.append(weakref.ref(batch.rows))
        return batch

    monkeypatch.setattr(RowStream, "take", counted)
    for a, b in ((table, None), (table, other)):
        seen.clear()
        rows_of(processor().similarity_join_frames(a, b, 1.0))
        # While a piece is read there is the chunk that stays, and nothing else.
        assert max(seen) == 1
        assert seen.count(0) >= 4
        assert len(seen) > 20
    for where in (None, "key < 9"):
        seen.clear()
        second = None if where is None else other
        frames = processor().similarity_join_frames(
            other, second, 1.0, by=["key"], where_b=where
        )
        rows_of(frames)
        assert max(seen) == 1
        assert len(seen) > 20


@pytest.mark.measured
def test_a_join_holds_what_it_may(tmp_path: Path) -> None:
    check_memory(tmp_path, 8 << 20, [{"exact": True}, {"exact": True, "by": ["id"]}])


def test_a_limit_without_room_names_one_that_has(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t", vectors_of(500, dim=32))
    other = write_table(tmp_path / "o", vectors_of(500, seed=2, dim=32))
    for b, asked in (
        (other, {}),
        (None, {}),
        (other, {"by": ["id"]}),
        (other, {"exact": True}),
    ):
        with pytest.raises(MemoryLimitError, match="memory_limit=1000 bytes") as raised:
            processor(memory_limit=1000).similarity_join_frames(table, b, 9.0, **asked)
        least = int(str(raised.value).split("give it ")[1].split()[0])
        lsh = processor(memory_limit=least)
        few = rows_of(lsh.similarity_join_frames(table, b, 9.0, **asked))
        assert few == rows_of(processor().similarity_join_frames(table, b, 9.0, **asked))
        with pytest.raises(MemoryLimitError):
            processor(memory_limit=least // 2).similarity_join_frames(
                table, b, 9.0, **asked
            )


def test_long_columns_make_chunks_shorter(tmp_path: Path) -> None:
    """Also where the first rows have short ones."""
    texts = ["x"] * 9000 + ["y" * 5000] * 1000
    table = write_table(tmp_path / "t", vectors_of(10_000), text=texts)
    taken: list[tuple[int, int]] = []
    reader = EmbeddingReader(open_source(table), "embedding", "id", carried=["text"])
    with closing(RowStream(reader)) as stream:
        size = ChunkSize(most_bytes=1_000_000)
        while (chunk := stream.take(size)) is not None:
            carried = int(chunk.carried.estimated_size())
            taken.append((len(chunk.rows), carried))
    assert sum(rows for rows, _ in taken) == 10_000
    assert taken[0][0] > 4000
    assert max(carried for _, carried in taken) < 1_000_000
