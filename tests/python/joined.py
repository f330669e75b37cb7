"""Two small tables, and what a naive program finds when it joins them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import polars as pl
import pytest
from delta_tables import write_table
from fast_lsh_ann import StreamingLSHProcessor
from fast_lsh_ann._streamed import limited
from fast_lsh_ann._streamed.arrange import Arrangement, arrange
from fast_lsh_ann._streamed.chunks import ChunkSize
from numpy.typing import NDArray

Row = tuple[Any, ...]
THRESHOLD, TABLES, SEED = 1.0, 3, 7


def processor(**parameters: Any) -> StreamingLSHProcessor:
    return StreamingLSHProcessor(1.0, TABLES, SEED, **parameters)


def set_chunks(patch: pytest.MonkeyPatch, stays: int, passes: int) -> None:
    """Have joins hold chunks of so many rows, whatever the limit."""

    def arranged(*arguments: Any) -> Arrangement:
        found = arrange(*arguments)
        return replace(found, stays=ChunkSize(stays), passes=ChunkSize(passes))

    patch.setattr(limited, "arrange", arranged)


class Tables:
    """Two tables and what a naive program finds in them.

    Rows lie on a coarse grid, so that distances are often equal, and rows too.
    """

    def __init__(self, folder: Path, ids: str = "int") -> None:
        generator = np.random.default_rng(5)
        self.rows: dict[str, NDArray[Any]] = {
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


def rows_of(frames: Any) -> list[Row]:
    """All rows of some frames, in one order."""
    return sorted((row for frame in frames for row in frame.rows()), key=repr)
