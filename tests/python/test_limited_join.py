"""Joins of tables larger than memory: the naive program's pairs, whatever the chunks."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import deltalake
import numpy as np
import oracle
import polars as pl
import pytest
from delta_tables import TWO_BATCHES, vectors_of, write_table
from fast_lsh_ann import (
    BucketedRandomProjectionLSH,
    StreamingLSHProcessor,
    exact_similarity_join,
)
from fast_lsh_ann._streamed import limited, residents
from fast_lsh_ann._streamed.arrange import Arrangement, arrange
from fast_lsh_ann._streamed.chunked import ChunkedJoin
from fast_lsh_ann._streamed.chunks import ChunkSize
from fast_lsh_ann._tables.embeddings import EmbeddingBatch, EmbeddingReader
from fast_lsh_ann.errors import (
    ArrowError,
    BucketRangeError,
    ColumnNotFoundError,
    DimensionError,
    InputTypeError,
    InvalidVectorError,
    MemoryLimitError,
    ParameterError,
)

Row = tuple[Any, ...]
THRESHOLD, TABLES, SEED = 1.0, 3, 7


def processor(**parameters: Any) -> StreamingLSHProcessor:
    return StreamingLSHProcessor(1.0, TABLES, SEED, **parameters)


@pytest.fixture(params=[1, 7, 100])
def chunks(request: Any, monkeypatch: pytest.MonkeyPatch) -> int:
    """Rows of the chunks that stay; twice as many pass."""
    set_chunks(monkeypatch, request.param, 2 * request.param)
    return int(request.param)


def set_chunks(patch: pytest.MonkeyPatch, stays: int, passes: int) -> None:
    def arranged(*arguments: Any) -> Arrangement:
        sizes = {"stays": ChunkSize(stays), "passes": ChunkSize(passes)}
        return replace(arrange(*arguments), **sizes)

    patch.setattr(limited, "arrange", arranged)


class Tables:
    """Two tables and what a naive program finds in them.

    Rows lie on a coarse grid, so that distances are often equal, and rows too.
    """

    def __init__(self, folder: Path, ids: str = "int") -> None:
        generator = np.random.default_rng(5)
        self.rows = {
            "a": (generator.integers(-4, 5, (44, 3)) / 4).astype(np.float32),
            "b": (generator.integers(-4, 5, (36, 3)) / 4).astype(np.float64),
        }
        self.ids = {side: make_ids(ids, len(rows)) for side, rows in self.rows.items()}
        self.columns: dict[str, dict[str, list[Any]]] = {}
        self.paths: dict[str, str] = {}
        for side, rows in self.rows.items():
            n = len(rows)
            self.columns[side] = {
                "country": [(None, "fr", "it", "de", "es")[i * i % 5] for i in range(n)],
                "size": generator.integers(0, 3, n).tolist(),
            }
            element = pl.Float32 if side == "a" else pl.Float64
            self.paths[side] = write_table(
                folder / side,
                rows,
                ids=self.ids[side],
                element=element,
                **self.columns[side],
                **({"only_b": list(range(n))} if side == "b" else {}),
            )

    def path(self, side: str) -> str:
        return self.paths[side]

    def expected(
        self, other: str = "b", *, by: Any = (), columns: Any = (), **asked: Any
    ) -> list[Row]:
        """The pairs of table a with another: all of them, turned into rows."""
        a, b = self.rows["a"], self.rows[other]
        vectors = oracle.unit_vectors(TABLES, 3, SEED)
        buckets = oracle.buckets(a, vectors, 1.0), oracle.buckets(b, vectors, 1.0)
        least = 0 if asked.get("exact") else asked.get("min_collisions", 1)
        candidates = oracle.collisions(*buckets) >= least
        mine, theirs = self.columns["a"], self.columns[other]
        for name in by:
            equal = [[x == y and x is not None for y in theirs[name]] for x in mine[name]]
            candidates &= np.array(equal)
        pairs = oracle.similarity_join(
            a,
            b,
            THRESHOLD,
            candidates,
            strict=asked.get("strict", False),
            upper=asked.get("self_pairs") == "upper",
        )
        found = []
        for i, j, d in zip(pairs.left, pairs.right, pairs.distances, strict=True):
            sides = ((mine, i), (theirs, j))
            carried = (side[name][at] for side, at in sides for name in columns)
            row = (self.ids["a"][int(i)], self.ids[other][int(j)], float(d), *carried)
            found.append(row)
        return sorted(found, key=repr)


def make_ids(kind: str, n: int) -> pl.Series:
    if kind == "int":
        return pl.Series(range(1000, 1000 + n), dtype=pl.Int32)
    texts = pl.Series([f"row {i:03}" for i in range(n)])
    return texts.cast(pl.Categorical) if kind == "dictionary" else texts


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return Tables(tmp_path_factory.mktemp("tables"))


def rows_of(frames: Any) -> list[Row]:
    return sorted((row for frame in frames for row in frame.rows()), key=repr)


# ---- pairs -----------------------------------------------------------------------------

ASKED: list[dict[str, Any]] = [
    {},
    {"exact": True},
    {"strict": True},
    {"min_collisions": 2},
    {"exact": True, "strict": True, "by": ["country"]},
    {"by": ["country"], "columns": ["size"]},
    {"by": ["size", "country"], "min_collisions": 3},
    {"columns": ["country", "size"]},
]


@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_pairs_of_two_tables_are_the_naive_programs(
    tables: Tables, chunks: int, asked: dict[str, Any]
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


@pytest.mark.parametrize("self_pairs", ["all", "upper"])
@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_pairs_of_a_table_with_itself_are_the_naive_programs(
    tables: Tables, chunks: int, asked: dict[str, Any], self_pairs: Any
) -> None:
    asked = {**asked, "self_pairs": self_pairs}
    expected = tables.expected("a", **asked)
    assert len(expected) > 10
    found = processor().similarity_join_frames(tables.path("a"), None, 1.0, **asked)
    assert rows_of(found) == expected


@pytest.mark.parametrize("ids", ["int", "text", "dictionary"])
def test_ids_keep_their_types(tmp_path: Path, chunks: int, ids: str) -> None:
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


def test_conditions_are_of_their_side(tables: Tables, chunks: int) -> None:
    path, lsh = tables.path("a"), processor()
    small = {i for i, size in zip(tables.ids["a"], tables.columns["a"]["size"], strict=True) if size == 1}
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


# ---- keys ------------------------------------------------------------------------------


@pytest.mark.parametrize("together", [(1, 1), (3, 50), (256, 1 << 18)])
@pytest.mark.parametrize("skew", [0.0, 2.0])
def test_groups_of_any_size_give_their_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: Any, skew: float
) -> None:
    """Many small groups and one that is big, joined together or each for itself."""
    monkeypatch.setattr(residents, "_TOGETHER_ROWS", together[0])
    monkeypatch.setattr(residents, "_TOGETHER_PAIRS", together[1])
    set_chunks(monkeypatch, 300, 200)
    generator = np.random.default_rng(8)
    rows = vectors_of(700, seed=6, dim=3)
    keys = (60 * generator.random(700) ** (1 + skew)).astype(int)
    table = write_table(tmp_path / "t", rows, group=keys.tolist())
    exact = exact_similarity_join(rows, rows, 1.0)
    equal = keys[exact.left] == keys[exact.right]
    expected = {
        (int(i), int(j), float(d))
        for i, j, d in zip(
            exact.left[equal], exact.right[equal], exact.distances[equal], strict=True
        )
    }
    assert len(expected) > 700
    lsh = processor()
    for other, self_pairs in ((None, "all"), (table, "all"), (None, "upper")):
        frames = lsh.similarity_join_frames(
            *(table, other, 1.0),
            exact=True,
            by=["group"],
            self_pairs=self_pairs,
            **({"where_b": "id >= 0"} if other else {}),
        )
        found = rows_of(frames)
        wanted = {r for r in expected if self_pairs == "all" or r[0] < r[1]}
        assert set(found) == wanted
        assert len(found) == len(wanted)


KEYS: dict[str, tuple[pl.Series, pl.Series]] = {
    "whole numbers": (
        pl.Series([1, 2, None], dtype=pl.Int64),
        pl.Series([2, 1, None], dtype=pl.Int16),
    ),
    "floats": (
        pl.Series([0.0, np.nan, None]),
        pl.Series([np.nan, -0.0, None], dtype=pl.Float32),
    ),
    "texts": (
        pl.Series(["x", "y", None]).cast(pl.Categorical),
        pl.Series(["y", "x", None]),
    ),
    "binary": (pl.Series([b"x", b"y", None]), pl.Series([b"y", b"x", None])),
    "flags": (pl.Series([True, False, None]), pl.Series([False, True, None])),
    "dates": (
        pl.Series(["2026-01-01", "2026-01-02", None]).str.to_date(),
        pl.Series(["2026-01-02", "2026-01-01", None]).str.to_date(),
    ),
    "structs": (
        pl.Series([{"x": 1, "y": 2}, {"x": 2, "y": 2}, {"x": None, "y": 2}]),
        pl.Series([{"x": 2, "y": 2}, {"x": 1, "y": 2}, {"x": None, "y": 2}]),
    ),
}


@pytest.mark.parametrize("kind", KEYS)
def test_keys_of_any_type_are_compared(tmp_path: Path, kind: str) -> None:
    """The first key is the other table's second; nulls equal nothing."""
    left, right = KEYS[kind]
    zeros = np.zeros((3, 2), dtype=np.float32)
    a = write_table(tmp_path / "a", zeros, key=left)
    b = write_table(tmp_path / "b", zeros, key=right)
    lsh = processor()
    frames = lsh.similarity_join_frames(a, b, 0.0, by=["key"])
    assert rows_of(frames) == [(0, 1, 0.0), (1, 0, 0.0)]
    itself = lsh.similarity_join_frames(a, None, 0.0, by=["key"])
    assert rows_of(itself) == [(0, 0, 0.0), (1, 1, 0.0)]


def test_keys_that_do_not_compare_are_refused(tmp_path: Path) -> None:
    zeros = np.zeros((1, 2), dtype=np.float32)
    a = write_table(tmp_path / "a", zeros, key=["1"], also=[1])
    b = write_table(tmp_path / "b", zeros, key=[1], also=[1])
    with pytest.raises(InputTypeError, match=r"'key' is of type String in .*Int64 in"):
        processor().similarity_join_frames(a, b, 0.0, by=["also", "key"])


# ---- order, memory, files --------------------------------------------------------------


def test_frames_are_of_bounded_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fast_lsh_ann._streamed import chunked

    monkeypatch.setattr(residents, "BLOCK_PAIRS", 100)
    monkeypatch.setattr(chunked, "BLOCK_PAIRS", 100)
    table = write_table(tmp_path / "t", np.zeros((60, 2), np.float32), key=[1] * 60)
    for asked in ({}, {"by": ["key"]}):
        heights = [len(f) for f in processor().similarity_join_frames(table, None, 0.0, **asked)]
        assert sum(heights) == 3600
        assert max(heights) == 100
        assert len(heights) < 40  # and not needlessly many


def test_no_more_than_a_chunk_and_what_passes_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one before is gone when the next one is read."""
    import gc
    import weakref

    table = write_table(tmp_path / "t", vectors_of(200))
    other = write_table(tmp_path / "o", vectors_of(200), key=[i % 3 for i in range(200)])
    set_chunks(monkeypatch, 50, 20)
    alive: list[Any] = []
    most = 0
    take = limited_take = __import__(
        "fast_lsh_ann._streamed.chunks", fromlist=["RowStream"]
    ).RowStream.take

    def counted(self: Any, size: ChunkSize) -> EmbeddingBatch | None:
        nonlocal most
        gc.collect()
        most = max(most, sum(one() is not None for one in alive))
        batch = limited_take(self, size)
        if batch is not None:
            alive.append(weakref.ref(batch.rows))
        return batch

    monkeypatch.setattr("fast_lsh_ann._streamed.chunks.RowStream.take", counted)
    for asked in ((table, None, 1.0), (table, other, 1.0)):
        rows_of(processor().similarity_join_frames(*asked))
        # While a piece is read there is the chunk that stays, and nothing else.
        assert most == 1
    assert take is limited_take
    assert len(alive) > 20
