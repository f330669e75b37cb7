"""Joins of tables larger than memory: the naive program's pairs, whatever the chunks."""

import json
from pathlib import Path
from typing import Any

import deltalake
import numpy as np
import polars as pl
import pytest
from delta_tables import TWO_BATCHES, vectors_of, write_table
from fast_lsh_ann import BucketedRandomProjectionLSH
from fast_lsh_ann._streamed import chunked, join_request, residents
from fast_lsh_ann._tables.opening import open_source
from fast_lsh_ann.errors import (
    BucketRangeError,
    InvalidVectorError,
    ParameterError,
    TableExistsError,
    TableSchemaError,
)
from joined import SEED, TABLES, Row, Tables, processor, rows_of, set_chunks

WORDS = Path(__file__).parents[2] / "examples/data/words20k.npy"


@pytest.fixture(params=[1, 7, 100])
def chunks(request: Any, monkeypatch: pytest.MonkeyPatch) -> int:
    """Rows of the chunks that stay; twice as many pass."""
    set_chunks(monkeypatch, request.param, 2 * request.param)
    return int(request.param)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return Tables(tmp_path_factory.mktemp("tables"))


# ---- pairs -----------------------------------------------------------------------------

ASKED: list[dict[str, Any]] = [
    {},
    {"exact": True},
    {"strict": True},
    {"min_collisions": 2},
    {"exact": True, "strict": True, "by": ["country"]},
    {"by": ["country"], "columns": ["size"]},
    {"by": ["size", "country"], "min_collisions": 2},
    {"columns": ["country", "size"]},
]


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_pairs_of_two_tables_are_the_naive_programs(
    tables: Tables, asked: dict[str, Any]
) -> None:
    expected = tables.expected("b", **asked)
    assert len(expected) > 10
    lsh = processor()
    found = lsh.similarity_join_frames(tables.path("a"), tables.path("b"), 1.0, **asked)
    assert rows_of(found) == expected
    # The other way round another table is a, and the larger one.
    found = lsh.similarity_join_frames(tables.path("b"), tables.path("a"), 1.0, **asked)
    assert rows_of(found) == sorted(map(turned, expected), key=repr)


def turned(row: Row) -> Row:
    """Give a pair with its sides exchanged."""
    id_a, id_b, distance, *carried = row
    half = len(carried) // 2
    return (id_b, id_a, distance, *carried[half:], *carried[:half])


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize("self_pairs", ["all", "upper"])
@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_pairs_of_a_table_with_itself_are_the_naive_programs(
    tables: Tables, asked: dict[str, Any], self_pairs: Any
) -> None:
    asked = {**asked, "self_pairs": self_pairs}
    expected = tables.expected("a", **asked)
    assert len(expected) > 10
    found = processor().similarity_join_frames(tables.path("a"), None, 1.0, **asked)
    assert rows_of(found) == expected


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize("ids", ["int", "text"])
def test_ids_keep_their_types(tmp_path: Path, ids: str) -> None:
    tables = Tables(tmp_path, ids)
    frames = processor().similarity_join_frames(
        tables.path("a"), tables.path("b"), 1.0, by=["country"]
    )
    frame = pl.concat(frames)
    assert rows_of([frame]) == tables.expected("b", by=["country"])
    assert frame.schema["id_a"] == (pl.Int32 if ids == "int" else pl.String)
    by_number = processor().similarity_join_frames(
        tables.path("a"), None, 1.0, id_column=None, self_pairs="upper"
    )
    tables.ids = {side: pl.Series(range(n)) for side, n in (("a", 44), ("b", 36))}
    assert rows_of(by_number) == tables.expected("a", self_pairs="upper")


@pytest.mark.usefixtures("chunks")
def test_texts_behind_dictionaries_are_texts(tables: Tables) -> None:
    """Ids, keys and columns; of a frame, which Delta tables cannot hold."""
    coded = pl.col("country").cast(pl.Categorical)
    a, b = (pl.read_delta(tables.path(side)) for side in "ab")
    a = a.with_columns(coded, id=pl.format("row {}", "id").cast(pl.Categorical))
    asked: dict[str, Any] = {"by": ["country"], "columns": ["country"]}
    expected = tables.expected("b", **asked)
    frame = pl.concat(processor().similarity_join_frames(a, b, 1.0, **asked))
    texts = frame.with_columns(pl.col(pl.Categorical).cast(pl.String)).rows()
    assert sorted(texts, key=repr) == sorted(
        ((f"row {row[0]}", *row[1:]) for row in expected), key=repr
    )


def test_the_same_table_named_twice_is_joined_with_itself(tables: Tables) -> None:
    path = tables.path("a")
    lsh = processor()
    again = lsh.similarity_join_frames(path, f"{path}/", 1.0, self_pairs="upper")
    assert rows_of(again) == tables.expected("a", self_pairs="upper")
    assert lsh.plan_similarity_join(path, path, 1.0).itself
    under = lsh.plan_similarity_join(path, path, 1.0, where_b="size = 1")
    assert not under.itself
    with pytest.raises(ParameterError, match="one side"):
        lsh.similarity_join_frames(
            path, path, 1.0, where_b="size = 1", self_pairs="upper"
        )


@pytest.mark.usefixtures("chunks")
def test_conditions_are_of_their_side(tables: Tables) -> None:
    path, lsh = tables.path("a"), processor()
    sizes = zip(tables.ids["a"], tables.columns["a"]["size"], strict=True)
    small = {row for row, size in sizes if size == 1}
    every = tables.expected("a")
    found = lsh.similarity_join_frames(path, None, 1.0, where_a="size = 1")
    assert rows_of(found) == [r for r in every if r[0] in small and r[1] in small]
    found = lsh.similarity_join_frames(path, path, 1.0, where_b="size = 1")
    assert rows_of(found) == [r for r in every if r[1] in small]


def test_versions_are_pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are counted as they are read, the newest commit first, at one version."""
    table = write_table(tmp_path / "t", np.zeros((5, 3), np.float32), ids=list(range(5)))
    write_table(tmp_path / "t", np.zeros((4, 3), np.float32), ids=list(range(5, 9)))
    set_chunks(monkeypatch, 2, 3)
    lsh = processor()
    order = [5, 6, 7, 8, 0, 1, 2, 3, 4]
    frames = lsh.similarity_join_frames(table, None, 0.0, self_pairs="upper")
    pairs = {row[:2] for row in rows_of(frames)}
    assert pairs == {(a, b) for i, a in enumerate(order) for b in order[i + 1 :]}
    frames = lsh.similarity_join_frames(table, None, 0.0)
    old = lsh.similarity_join_frames(table, None, 0.0, version_a=0)
    two = lsh.similarity_join_frames(table, table, 0.0, where_b="id < 100")
    deltalake.DeltaTable(table).delete("id = 3")
    assert len(rows_of(frames)) == 81
    assert len(rows_of(old)) == 25
    assert len(rows_of(two)) == 81
    assert len(rows_of(lsh.similarity_join_frames(table, None, 0.0))) == 64


def test_pairs_are_those_of_the_engine_in_memory(tmp_path: Path) -> None:
    """Larger tables, of several batches, under limits that cut them into chunks."""
    rows, few = vectors_of(TWO_BATCHES, seed=3, dim=8), vectors_of(900, seed=4, dim=8)
    large, small = write_table(tmp_path / "l", rows), write_table(tmp_path / "s", few)
    index = BucketedRandomProjectionLSH(1.0, 3, 7).create_model(8).index
    itself = list(index(rows).similarity_join(threshold=1.2))
    two = list(index(rows).similarity_join(index(few), threshold=1.5))
    assert min(len(itself), len(two)) > 10_000
    for limit in (200_000, "1MiB", None):
        lsh = processor(memory_limit=limit)
        plan = lsh.plan_similarity_join(large, None, 1.2)
        assert plan.passes is not None
        assert (plan.passes > 2) == (limit == 200_000) or limit == "1MiB"
        assert rows_of(lsh.similarity_join_frames(large, None, 1.2)) == sorted(
            itself, key=repr
        )
        assert rows_of(lsh.similarity_join_frames(large, small, 1.5)) == sorted(
            two, key=repr
        )


def test_words_joined_with_themselves_are_the_engines_to_the_bit(tmp_path: Path) -> None:
    """Real vectors, in a few chunks and in memory: the same bytes once sorted."""
    rows = np.load(WORDS).astype(np.float32)
    table = write_table(tmp_path / "words", rows)
    index = BucketedRandomProjectionLSH(1.0, TABLES, SEED).create_model(100).index(rows)
    lsh = processor(memory_limit="4MiB")
    plan = lsh.plan_similarity_join(table, None, 3.0)
    assert plan.passes is not None
    assert plan.passes > 3
    for exact in (True, False):
        pairs = index.similarity_join(threshold=3.0, exact=exact)
        assert len(pairs) > len(rows)
        frame = pl.concat(lsh.similarity_join_frames(table, None, 3.0, exact=exact))
        frame = frame.sort("id_a", "id_b")
        for column, expected in zip(
            frame, (pairs.left, pairs.right, pairs.distances), strict=True
        ):
            assert column.to_numpy().tobytes() == expected.tobytes()


def test_a_row_is_at_distance_zero_from_itself(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t", vectors_of(9), key=[1, None, 3] * 3)
    lsh = processor()
    itself = [(row, row, 0.0) for row in range(9)]
    assert rows_of(lsh.similarity_join_frames(table, None, 0.0)) == itself
    assert rows_of(lsh.similarity_join_frames(table, None, 0.0, strict=True)) == []
    upper = lsh.similarity_join_frames(table, None, 0.0, self_pairs="upper")
    assert rows_of(upper) == []
    keyed = lsh.similarity_join_frames(table, None, 0.0, by=["key"])
    assert rows_of(keyed) == [pair for pair in itself if pair[0] % 3 != 1]


def test_a_table_under_two_conditions_is_read_at_one_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process writes it as soon as it has been opened once."""
    table = write_table(tmp_path / "t", vectors_of(30))

    def overtaken(*arguments: Any, **how: Any) -> Any:
        source = open_source(*arguments, **how)
        deltalake.DeltaTable(table).delete("id = 3")
        return source

    monkeypatch.setattr(join_request, "open_source", overtaken)
    frames = processor().similarity_join_frames(table, table, 0.0, where_b="id < 9")
    assert rows_of(frames) == [(row, row, 0.0) for row in range(9)]


# ---- frames ----------------------------------------------------------------------------


def test_frames_are_of_bounded_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(residents, "BLOCK_PAIRS", 100)
    monkeypatch.setattr(chunked, "BLOCK_PAIRS", 100)
    table = write_table(tmp_path / "t", np.zeros((60, 2), np.float32), key=[1] * 60)
    for by in ((), ("key",)):
        frames = processor().similarity_join_frames(table, None, 0.0, by=by)
        heights = [len(frame) for frame in frames]
        assert sum(heights) == 3600
        assert max(heights) == 100
        assert len(heights) < 40  # and not needlessly many


# ---- rows that are not valid -----------------------------------------------------------


def with_holes(rows: Any) -> list[Any]:
    holed = [row.tolist() for row in rows]
    holed[3], holed[7][1], holed[20], holed[43] = None, None, [1.0], [np.nan] * 3
    return holed


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize("by", [(), ("country",)])
def test_invalid_rows_are_left_out_or_named(
    tables: Tables, tmp_path: Path, by: Any
) -> None:
    left_out = {1003, 1007, 1020, 1043}
    holed = write_table(
        tmp_path / "holed",
        with_holes(tables.rows["a"]),
        ids=tables.ids["a"],
        **tables.columns["a"],
    )
    lsh = processor()
    valid = [row for row in tables.expected("b", by=by) if row[0] not in left_out]
    frames = lsh.similarity_join_frames(
        holed, tables.path("b"), 1.0, by=by, on_invalid="skip"
    )
    assert rows_of(frames) == valid
    both = [r for r in tables.expected("a", by=by) if not left_out & {r[0], r[1]}]
    out = tmp_path / "out"
    lsh.similarity_join_to_delta(holed, None, out, 1.0, by=by, on_invalid="skip")
    assert sorted(pl.read_delta(str(out)).rows(), key=repr) == both
    commit = deltalake.DeltaTable(out).history(1)[0]
    assert commit["fast_lsh_ann.skipped_rows_a"] == "4"
    for a, b in ((holed, None), (holed, tables.path("b")), (tables.path("b"), holed)):
        with pytest.raises(InvalidVectorError, match="row 3") as raised:
            rows_of(lsh.similarity_join_frames(a, b, 1.0, by=by))
        assert raised.value.row == 3


@pytest.mark.parametrize("by", [(), ("key",)])
@pytest.mark.parametrize("side", ["a", "b", "itself"])
def test_a_bucket_out_of_range_is_named_by_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: str, by: Any
) -> None:
    """Rows that are sorted by key keep their numbers."""
    set_chunks(monkeypatch, 30, 20)
    monkeypatch.setattr(residents, "_TOGETHER_ROWS", 1)
    rows = vectors_of(100).astype(np.float64)
    rows[57, 2] = 1e300
    keys = [(i * 7) % 5 for i in range(100)]
    bad = write_table(tmp_path / "bad", rows, element=pl.Float64, key=keys)
    good = write_table(tmp_path / "good", rows[:50], element=pl.Float64, key=keys[:50])
    sides = {"a": (bad, good), "b": (good, bad), "itself": (bad, None)}[side]
    with pytest.raises(BucketRangeError, match="row 57") as raised:
        rows_of(processor().similarity_join_frames(*sides, 1.0, by=by))
    assert raised.value.row == 57
    assert repr(bad) in str(raised.value)
    exact = processor().similarity_join_frames(*sides, 1.0, by=by, exact=True)
    assert len(rows_of(exact)) > 0


# ---- what is written -------------------------------------------------------------------


def test_one_commit_tells_what_it_holds(tables: Tables, tmp_path: Path) -> None:
    out = tmp_path / "out"
    lsh = processor(memory_limit="64MiB")
    asked: dict[str, Any] = {"columns": ["country"], "by": ["country"], "strict": True}
    sides = (tables.path("a"), tables.path("b"))
    report = lsh.similarity_join_to_delta(
        *sides, out, 1.0, **asked, where_b="size < 2", job_id="monday"
    )
    frame = pl.read_delta(str(out))
    assert report.rows == frame.height > 5
    assert report.version == deltalake.DeltaTable(out).version() == 0
    small = {
        row
        for row, size in zip(tables.ids["b"], tables.columns["b"]["size"], strict=True)
        if size < 2
    }
    expected = [r for r in tables.expected("b", **asked) if r[1] in small]
    assert sorted(frame.rows(), key=repr) == expected
    commit = deltalake.DeltaTable(out).history(1)[0]
    told = {
        "operation": "similarity_join",
        "source_a": sides[0],
        "source_b": sides[1],
        "source_version_a": "0",
        "where_b": "size < 2",
        "job_id": "monday",
        "skipped_rows_b": "0",
    }
    assert (
        told.items()
        <= {
            key.removeprefix("fast_lsh_ann."): value for key, value in commit.items()
        }.items()
    )
    parameters = json.loads(commit["fast_lsh_ann.parameters"])
    assert parameters["threshold"] == 1.0
    assert parameters["by"] == ["country"]
    assert parameters["strict"] is True
    assert parameters["bucket_length"] == 1.0
    again = lsh.similarity_join_to_delta(
        *sides,
        out,
        1.0,
        **asked,
        where_b="size < 2",
        job_id="monday",
        mode="append",
        progress=_never,
    )
    assert (again.skipped, again.rows, again.version) == (True, 0, 0)
    more = lsh.similarity_join_to_delta(*sides, out, 1.0, **asked, mode="append")
    assert (more.version, more.skipped) == (1, False)
    assert pl.read_delta(str(out)).height == report.rows + more.rows


def test_a_table_in_the_way_is_kept(tables: Tables, tmp_path: Path) -> None:
    """Nothing is searched before it is found."""
    out = write_table(tmp_path / "out", vectors_of(3))
    lsh = processor()
    with pytest.raises(TableExistsError, match="mode='error'"):
        lsh.similarity_join_to_delta(tables.path("a"), None, out, 1.0, progress=_never)
    with pytest.raises(TableSchemaError, match="id_a"):
        lsh.similarity_join_to_delta(
            tables.path("a"), None, out, 1.0, mode="append", progress=_never
        )
    assert deltalake.DeltaTable(out).version() == 0
    report = lsh.similarity_join_to_delta(
        tables.path("a"), None, out, 1.0, mode="overwrite"
    )
    assert report.version == 1


def _never(done: int, total: int) -> None:
    raise AssertionError(f"{done} of {total} were searched")


# ---- progress --------------------------------------------------------------------------


@pytest.mark.parametrize("by", [(), ("key",)])
@pytest.mark.parametrize("itself", [True, False])
def test_progress_counts_pairs_of_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, itself: bool, by: Any
) -> None:
    set_chunks(monkeypatch, 20, 15)
    a = write_table(tmp_path / "a", vectors_of(30), key=[i % 3 for i in range(30)])
    b = write_table(tmp_path / "b", vectors_of(50), key=[i % 3 for i in range(50)])
    seen: list[tuple[int, int]] = []
    total = 900 if itself else 1500
    frames = processor().similarity_join_frames(
        a, None if itself else b, 1.0, by=by, progress=lambda *step: seen.append(step)
    )
    rows_of(frames)
    assert {step[1] for step in seen} == {total}
    done = [step[0] for step in seen]
    assert done == sorted(done)
    assert done[-1] == total
    ends = [400, 800, 900] if itself else [300, 600, 900, 1000, 1150, 1300, 1450, 1500]
    assert set(ends) <= set(done)


def test_progress_ends_at_all_where_fewer_rows_came(tmp_path: Path) -> None:
    """Rows that were deleted are counted by the log."""
    table = write_table(tmp_path / "t", vectors_of(30))
    seen: list[tuple[int, int]] = []
    frames = processor().similarity_join_frames(
        table,
        None,
        1.0,
        where_a="id < 20",
        progress=lambda *step: seen.append(step),
    )
    rows_of(frames)
    assert seen[-1] == (400, 400)
