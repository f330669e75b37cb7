"""Random Delta tables give what the naive program gives for their rows, by id.

40 tables, the same every time; `--hypothesis-profile deep` draws 500 new ones.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import fast_lsh_ann
import hard
import numpy as np
import oracle
import polars as pl
import pytest
from delta_tables import write_table
from hypothesis import given, settings
from hypothesis import strategies as st

ELEMENTS = {"f4": pl.Float32, "f8": pl.Float64}
IDS: dict[str, Callable[[int], Any]] = {
    "numbers": lambda i: 1000 - 7 * i,
    "texts": lambda i: f"row {i}",
}


@dataclass(frozen=True)
class Table:
    rows: hard.Rows = field(repr=False)  # in the order of the ids
    ids: list[Any] = field(repr=False)
    cuts: list[int]  # rows of each commit end here
    dtype: str

    def write(self, path: Path) -> str:
        ends = [0, *self.cuts, len(self.rows)]
        for start, end in pairwise(ends):
            some, names = self.rows[start:end], self.ids[start:end]
            write_table(path, some, ids=names, element=ELEMENTS[self.dtype])
        return str(path)


@st.composite
def tables(draw: Any, dim: int, ids: str) -> Table:
    n = draw(st.integers(1, 40))
    dtype = draw(st.sampled_from(sorted(ELEMENTS)))
    maker = draw(st.sampled_from((hard.normal, hard.whole(-2, 3), hard.clusters(10))))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    cuts = draw(st.sets(st.integers(1, n - 1), max_size=2)) if n > 1 else set()
    rows = hard.as_type(maker(rng, n, dim), dtype)
    return Table(rows, [IDS[ids](i) for i in range(n)], sorted(cuts), dtype)


@dataclass(frozen=True)
class Question:
    left: Table
    right: Table
    bucket_length: float
    tables: int
    threshold: float
    chunk_size: int


@st.composite
def questions(draw: Any) -> Question:
    dim, ids = draw(st.integers(1, 12)), draw(st.sampled_from(sorted(IDS)))
    left, right = draw(tables(dim, ids)), draw(tables(dim, ids))
    found = np.sort(oracle.distances(left.rows, right.rows).ravel())
    return Question(
        left,
        right,
        bucket_length=draw(st.sampled_from((0.5, 2.0, 8.0))),
        tables=draw(st.integers(1, 6)),
        threshold=float(found[draw(st.integers(0, len(found) - 1))]),
        chunk_size=draw(st.integers(1, 45)),
    )


def check(asked: Question, folder: Path) -> None:
    left, right = asked.left.write(folder / "a"), asked.right.write(folder / "b")
    dim = asked.left.rows.shape[1]
    vectors = oracle.unit_vectors(asked.tables, dim, 42)
    hashes = [
        oracle.buckets(table.rows, vectors, asked.bucket_length)
        for table in (asked.left, asked.right)
    ]
    lsh = fast_lsh_ann.DeltaLSHProcessor(asked.bucket_length, asked.tables)
    size: Any = {"chunk_size": asked.chunk_size}

    rows, ids = fast_lsh_ann.read_delta_embeddings(left, id_column="id")
    assert ids is not None
    assert dict(zip(ids.tolist(), rows.tolist(), strict=True)) == dict(
        zip(asked.left.ids, asked.left.rows.tolist(), strict=True)
    )
    assert rows.dtype == asked.left.rows.dtype

    lsh.transform_and_save(left, folder / "out", **size)
    for frame in (lsh.transform_delta(left, **size), pl.read_delta(str(folder / "out"))):
        assert frame.columns == [*(f"hash_{t}" for t in range(asked.tables)), "id"]
        found = {row[-1]: list(row[:-1]) for row in frame.rows()}
        assert found == dict(zip(asked.left.ids, hashes[0].tolist(), strict=True))

    pairs = oracle.similarity_join(
        asked.left.rows,
        asked.right.rows,
        asked.threshold,
        oracle.collisions(*hashes) > 0,
    )
    expected = {
        (asked.left.ids[i], asked.right.ids[j], distance)
        for i, j, distance in zip(*(column.tolist() for column in pairs), strict=True)
    }
    joined = lsh.similarity_join_delta(left, right, asked.threshold, **size)
    assert set(joined) == expected
    assert len(joined) == len(expected)


def test_random_tables(capsys: pytest.CaptureFixture[str]) -> None:
    wanted, seen = settings().max_examples // 10, 0

    @settings(max_examples=wanted)
    @given(questions())
    def compare(asked: Question) -> None:
        nonlocal seen
        seen += 1
        with tempfile.TemporaryDirectory() as folder:
            check(asked, Path(folder))

    compare()
    with capsys.disabled():
        print(f"\n{seen} random tables of {wanted}")
    assert seen >= wanted
