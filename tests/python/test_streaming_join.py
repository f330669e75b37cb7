"""Two tables joined chunk by chunk: the pairs of the naive program, and what is read."""

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import deltalake
import numpy as np
import oracle
import polars as pl
import pytest
from delta_tables import (
    TWO_BATCHES,
    processor,
    streaming,
    vectors_of,
    write_table,
)
from fast_lsh_ann import (
    BucketedRandomProjectionLSH,
    WriteReport,
    _core,
    _processor,
)
from fast_lsh_ann._streamed import chunked, residents
from fast_lsh_ann._tables.embeddings import EmbeddingBatch, EmbeddingReader
from fast_lsh_ann._tables.source import BATCH_ROWS
from fast_lsh_ann.errors import (
    BucketRangeError,
    DimensionError,
    InvalidVectorError,
    ParameterError,
)

Triples = list[tuple[Any, Any, float]]

THRESHOLD = 1.0


def expected_pairs(a: Any, b: Any, ids_a: Any, ids_b: Any) -> Triples:
    """The naive program's pairs for the processors of these tests."""
    vectors = oracle.unit_vectors(3, a.shape[1], 7)
    buckets = oracle.buckets(a, vectors, 1.0), oracle.buckets(b, vectors, 1.0)
    pairs = oracle.similarity_join(a, b, THRESHOLD, oracle.collisions(*buckets) > 0)
    return [
        (ids_a[i], ids_b[j], float(d))
        for i, j, d in zip(pairs.left, pairs.right, pairs.distances, strict=True)
    ]


def flat(lists: list[Triples]) -> Triples:
    return [pair for part in lists for pair in part]


def stored_pairs(path: Path) -> Triples:
    return sorted(pl.read_delta(str(path)).rows())


@pytest.mark.parametrize("size", [1, 7, 64, 200, 1000])
def test_pairs_are_the_naive_programs_in_order(tmp_path: Path, size: int) -> None:
    a, b = vectors_of(200, seed=1), vectors_of(150, seed=2)
    ids_a, ids_b = [f"a{i:03}" for i in range(200)], list(range(1000, 1150))
    table_a = write_table(tmp_path / "a", a, ids=ids_a)
    table_b = write_table(tmp_path / "b", b.astype(float), ids=ids_b, element=pl.Float64)
    expected = expected_pairs(a, b, ids_a, ids_b)
    assert len(expected) > 100
    lsh = streaming(chunk_size=size)
    lists = list(lsh.similarity_join_streaming(table_a, table_b, THRESHOLD))
    assert len(lists) == -(-200 // size)
    assert flat(lists) == expected
    assert [type(value) for value in flat(lists)[0]] == [str, int, float]
    for number, part in enumerate(lists):
        assert {pair[0] for pair in part} <= set(
            ids_a[number * size : (number + 1) * size]
        )
    assert lsh.similarity_join_chunked_both(table_a, table_b, THRESHOLD) == len(expected)
    out = tmp_path / "out"
    done = lsh.similarity_join_chunked_both(table_a, table_b, THRESHOLD, output_path=out)
    assert done == WriteReport(0, len(expected), 0.0)
    assert stored_pairs(out) == expected
    assert deltalake.DeltaTable(out).version() == 0


def test_pairs_are_those_of_the_engine_in_memory(tmp_path: Path) -> None:
    rows = vectors_of(TWO_BATCHES, seed=3, dim=8)
    few = vectors_of(900, seed=4, dim=8)
    large, small = write_table(tmp_path / "l", rows), write_table(tmp_path / "s", few)
    model = BucketedRandomProjectionLSH(1.0, 3, 7).create_model(8)
    lsh = streaming(chunk_size=2000)
    for (table_a, a), (table_b, b) in (
        ((large, rows), (small, few)),
        ((small, few), (large, rows)),
    ):
        expected = model.approx_similarity_join(a, b, 1.5)
        assert len(expected) > 10_000
        lists = list(lsh.similarity_join_streaming(table_a, table_b, 1.5))
        assert flat(lists) == expected
        out = tmp_path / "out"
        lsh.similarity_join_chunked_both(table_a, table_b, 1.5, output_path=out)
        assert stored_pairs(out) == expected


def test_chunks_of_pairs_are_put_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More pairs than are made into Python objects, or given to a writer, at once."""
    monkeypatch.setattr(residents, "BLOCK_PAIRS", 100)
    monkeypatch.setattr(chunked, "BLOCK_PAIRS", 100)
    table = write_table(tmp_path / "t", np.zeros((35, 4), dtype=np.float32))
    every = [(i, j, 0.0) for i in range(35) for j in range(35)]
    lsh = streaming(chunk_size=20)
    lists = list(lsh.similarity_join_streaming(table, table, 0.0))
    assert [len(part) for part in lists] == [20 * 35, 15 * 35]
    assert flat(lists) == every
    lsh.similarity_join_chunked_both(table, table, 0.0, output_path=tmp_path / "out")
    assert stored_pairs(tmp_path / "out") == every
    assert lsh.similarity_join_chunked_both(table, table, 0.0) == len(every)


# ---- self-joins ------------------------------------------------------------------------


def test_a_table_joined_with_itself_gives_all_ordered_pairs(tmp_path: Path) -> None:
    rows = vectors_of(150)
    table = write_table(tmp_path / "t", rows)
    expected = expected_pairs(rows, rows, range(150), range(150))
    assert {(i, i, 0.0) for i in range(150)} <= set(expected)
    assert {(j, i, d) for i, j, d in expected} == set(expected)
    lsh = streaming(chunk_size=40)
    assert flat(list(lsh.similarity_join_streaming(table, table, THRESHOLD))) == expected
    assert processor().similarity_join_delta(table, table, THRESHOLD) == expected
    assert lsh.similarity_join_chunked_both(table, table, THRESHOLD) == len(expected)


def test_a_table_is_joined_with_itself_at_one_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = write_table(tmp_path / "t", vectors_of(30))

    class Overtaken(EmbeddingReader):
        """Another process writes the table as soon as it has been opened."""

        def __init__(self, *args: Any, **kw: Any) -> None:
            super().__init__(*args, **kw)
            deltalake.DeltaTable(table).delete("id = 3")

    joins: list[Callable[[], Triples]] = [
        lambda: processor().similarity_join_delta(table, f"{table}/", 0.0),
        lambda: flat(list(streaming().similarity_join_streaming(table, table, 0.0))),
    ]
    for join in joins:
        write_table(tmp_path / "t", vectors_of(30), mode="overwrite")
        with monkeypatch.context() as patched:
            patched.setattr(_processor, "EmbeddingReader", Overtaken)
            assert [pair[:2] for pair in join()] == [(i, i) for i in range(30)]


# ---- nothing, and what is refused ------------------------------------------------------


def test_a_chunk_without_pairs_is_an_empty_list(tmp_path: Path) -> None:
    a = vectors_of(50)
    a[:20] += 1000
    a[40:] -= 1000
    table_a, table_b = (
        write_table(tmp_path / "a", a),
        write_table(tmp_path / "b", a[20:40]),
    )
    lists = list(
        streaming(chunk_size=20).similarity_join_streaming(table_a, table_b, 0.0)
    )
    assert lists == [[], [(i, i - 20, 0.0) for i in range(20, 40)], []]


@pytest.mark.parametrize(("rows_a", "rows_b"), [(30, 30), (0, 30), (30, 0), (0, 0)])
def test_a_join_without_pairs_writes_a_table_all_the_same(
    tmp_path: Path, rows_a: int, rows_b: int
) -> None:
    rows = vectors_of(30)
    ids = pl.Series([f"a{i}" for i in range(rows_a)], dtype=pl.String)
    table_a = write_table(tmp_path / "a", rows[:rows_a], ids=ids)
    table_b = write_table(tmp_path / "b", rows[:rows_b] + 1000)
    lsh = streaming(chunk_size=20)
    out = tmp_path / "out"
    write_table(out, rows)  # of other columns
    lsh.similarity_join_chunked_both(table_a, table_b, 1.0, output_path=out)
    frame = pl.read_delta(str(out))
    assert frame.schema == {
        "id_a": pl.String(),
        "id_b": pl.Int64(),
        "distance": pl.Float64(),
    }
    assert len(frame) == 0
    assert lsh.similarity_join_chunked_both(table_a, table_b, 1.0) == 0
    lists = list(lsh.similarity_join_streaming(table_a, table_b, 1.0))
    assert lists == ([[], []] if rows_a else [])


@pytest.mark.parametrize("threshold", [-1.0, float("nan")])
def test_thresholds_are_checked_before_tables_are_opened(threshold: float) -> None:
    lsh = streaming()
    with pytest.raises(ParameterError, match="threshold"):
        lsh.similarity_join_streaming("nowhere", "nowhere", threshold)
    with pytest.raises(ParameterError, match="threshold"):
        lsh.similarity_join_chunked_both("nowhere", "nowhere", threshold)


def test_tables_must_have_one_dimension(tmp_path: Path) -> None:
    a = write_table(tmp_path / "a", vectors_of(3, dim=4))
    b = write_table(tmp_path / "b", vectors_of(3, dim=5))
    lsh = streaming()
    out = tmp_path / "out"
    calls: list[Callable[[], object]] = [
        lambda: list(lsh.similarity_join_streaming(a, b, 1.0)),
        lambda: lsh.similarity_join_chunked_both(a, b, 1.0),
        lambda: lsh.similarity_join_chunked_both(a, b, 1.0, output_path=out),
    ]
    for call in calls:
        with pytest.raises(DimensionError, match=r"dimension 4, .* 5"):
            call()
    assert not out.exists()


@pytest.mark.parametrize("fault", ["bucket", "nan"])
@pytest.mark.parametrize("side", ["a", "b"])
def test_a_bad_row_is_named_by_its_number_in_its_table(
    tmp_path: Path, side: str, fault: str
) -> None:
    rows = vectors_of(TWO_BATCHES).astype(np.float64)
    row = TWO_BATCHES - 17
    rows[row, 2] = 1e300 if fault == "bucket" else np.nan
    bad = write_table(tmp_path / "bad", rows, element=pl.Float64)
    good = write_table(tmp_path / "good", rows[:5], element=pl.Float64)
    a, b = (bad, good) if side == "a" else (good, bad)
    lsh = streaming(chunk_size=500)
    calls: list[Callable[[], object]] = [
        lambda: list(lsh.similarity_join_streaming(a, b, 1.0)),
        lambda: lsh.similarity_join_chunked_both(a, b, 1.0),
        lambda: lsh.similarity_join_chunked_both(a, b, 1.0, output_path=tmp_path / "out"),
        lambda: processor().similarity_join_delta(a, b, 1.0, chunk_size=500),
    ]
    error: Any = BucketRangeError if fault == "bucket" else InvalidVectorError
    for call in calls:
        with pytest.raises(error, match=f"row {row}") as raised:
            call()
        assert raised.value.row == row
        assert repr(bad) in str(raised.value)


# ---- what is read and done -------------------------------------------------------------


def test_each_table_is_read_as_often_as_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = write_table(tmp_path / "a", vectors_of(45))
    b = write_table(tmp_path / "b", vectors_of(70, seed=2))
    begun: list[str] = []
    batches = EmbeddingReader.batches

    def recorded(
        self: EmbeddingReader, batch_rows: int = BATCH_ROWS
    ) -> Generator[EmbeddingBatch, None, None]:
        begun.append(self.source.uri)
        return batches(self, batch_rows)

    monkeypatch.setattr(EmbeddingReader, "batches", recorded)
    lsh = streaming(chunk_size=20)
    list(lsh.similarity_join_streaming(a, b, 1.0))
    assert begun == [b, a]
    begun.clear()
    lsh.similarity_join_chunked_both(a, b, 1.0)
    assert begun == [a, b, b, b]


def test_a_side_is_prepared_once_for_all_that_it_meets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = write_table(tmp_path / "t", vectors_of(100))
    made: list[tuple[int, int]] = []
    index_new = _core.index_new

    def recorded(model: Any, rows: Any, first_row: int, name: str) -> Any:
        made.append((len(rows), first_row))
        return index_new(model, rows, first_row, name)

    models: list[int] = []
    create_model = BucketedRandomProjectionLSH.create_model

    def created(self: BucketedRandomProjectionLSH, dim: int) -> Any:
        models.append(dim)
        return create_model(self, dim)

    monkeypatch.setattr(_core, "index_new", recorded)
    monkeypatch.setattr(BucketedRandomProjectionLSH, "create_model", created)
    lsh = streaming(chunk_size=40)
    list(lsh.similarity_join_streaming(table, table, 1.0))
    assert made == [(100, 0)]
    assert models == [4]
    made.clear()
    lsh.similarity_join_chunked_both(table, table, 1.0)
    assert made == [(40, 0), (40, 40), (20, 80)]
    assert models == [4, 4]


def test_progress_counts_pairs_of_rows(tmp_path: Path) -> None:
    a = write_table(tmp_path / "a", vectors_of(30))
    b = write_table(tmp_path / "b", vectors_of(50))
    seen: list[tuple[int, int]] = []
    streaming(chunk_size=20).similarity_join_chunked_both(
        a, b, 1.0, progress=lambda *step: seen.append(step)
    )
    done = [400, 800, 1000, 1200, 1400, 1500]
    assert seen == [(pairs, 1500) for pairs in done]
