"""The right answers: those of a naive float64 program (naive.c), for all queries.

A search costs up to a minute, so answers are kept under build/bench/answers, by what the
data, the question and the program are.  Where a question would take hours, a sample of
the queries spread over all is asked.
"""

import ctypes
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import compiled
import numpy as np
from data import BUILD, Dataset, Rows, Stored
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MOST = 1e13  # coordinates that a search may look at; a thread does 1e10 a second
SAMPLED = 2e9  # and the choice of a radius
BYTES = 1 << 27  # of distances at a time


@dataclass(frozen=True)
class Hashing:
    """What the naive program needs to know of a model."""

    vectors: Floats
    width: float


def blocks(total: int, size: int) -> Iterator[slice]:
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))


class Program:
    """The functions of naive.c."""

    def __init__(self) -> None:
        self.path = compiled.naive()
        self._library = ctypes.CDLL(str(self.path))

    def search(
        self,
        rows: Rows,
        queries: Rows,
        k: int,
        threads: int,
        hashes: tuple[Ints, Ints] | None = None,
    ) -> tuple[Ints, Floats]:
        """The k nearest, -1 and infinity past the last; all distances where k is 0."""
        rows, queries = (
            np.ascontiguousarray(side, np.float32) for side in (rows, queries)
        )
        indices = np.empty((len(queries), k), dtype=np.int64)
        distances = np.empty((len(queries), k or len(rows)))
        tables = 0 if hashes is None else hashes[0].shape[1]
        failed = self._library.naive_search(
            pointer(rows),
            ctypes.c_size_t(len(rows)),
            pointer(queries),
            ctypes.c_size_t(len(queries)),
            ctypes.c_size_t(rows.shape[1]),
            ctypes.c_size_t(k),
            *(pointer(side) for side in hashes or (None, None)),
            ctypes.c_size_t(tables),
            threads,
            pointer(indices),
            pointer(distances),
        )
        if failed:
            raise MemoryError("the naive program")
        return indices, distances

    def buckets(self, rows: Rows, hashing: Hashing) -> Ints:
        """The bucket of every row in every table."""
        rows = np.ascontiguousarray(rows, np.float32)
        vectors = np.ascontiguousarray(hashing.vectors)
        found = np.empty((len(rows), len(vectors)), dtype=np.int64)
        self._library.naive_buckets(
            pointer(rows),
            ctypes.c_size_t(len(rows)),
            ctypes.c_size_t(rows.shape[1]),
            pointer(vectors),
            ctypes.c_size_t(len(vectors)),
            ctypes.c_double(hashing.width),
            pointer(found),
        )
        return found


def pointer(array: Rows | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if array is None else array.ctypes.data)


@cache
def program() -> Program:
    return Program()


@cache
def content(rows: Stored, changed: int) -> str:  # noqa: ARG001
    """What identifies the rows of a file that was changed at that time."""
    return hashlib.sha256(rows.load().tobytes()).hexdigest()


def kept(question: list[Any], answer: Callable[[], dict[str, Rows]]) -> dict[str, Rows]:
    """The answer to a question, worked out once."""
    source = compiled.NAIVE.read_bytes(), compiled.NAIVE_FLAGS
    name = hashlib.sha256(repr([question, source]).encode()).hexdigest()[:32]
    path = BUILD / "answers" / f"{name}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{name}.partial")
        with partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **answer())
        partial.rename(path)
    with np.load(path) as file:
        return dict(file)


class Oracle:
    """What is right for the queries of a set, or for a sample where they are too many."""

    def __init__(
        self, data: Dataset, threads: int, hashing: Hashing | None = None
    ) -> None:
        self._data, self._threads, self._hashing = data, threads, hashing
        self._rows, self._asked = data.rows.mapped(), data.queries.mapped()
        self.sample = self.spread(MOST)

    def spread(self, most: float) -> Ints:
        """Queries that look at so many coordinates together, evenly spread."""
        count = max(1, min(self._data.count, int(most / self._data.n / self._data.dim)))
        return np.unique(np.linspace(0, self._data.count - 1, count).astype(np.int64))

    @property
    def compared(self) -> str:
        """How many queries an answer is compared for."""
        count = len(self.sample)
        if count == self._data.count:
            return "the one query" if count == 1 else f"all {count:,} queries"
        return f"{count:,} of {self._data.count:,} queries"

    def question(self, exact: bool, *what: Any) -> list[Any]:
        sides = self._data.rows, self._data.queries
        found: list[Any] = [content(side, side.path.stat().st_mtime_ns) for side in sides]
        if not exact:
            assert self._hashing is not None
            vectors = np.ascontiguousarray(self._hashing.vectors).tobytes()
            found += [hashlib.sha256(vectors).hexdigest(), self._hashing.width]
        return [*found, len(self.sample), *what]

    def hashes(self, exact: bool) -> tuple[Ints, Ints] | None:
        """Buckets of the rows and of the sample; none where every row is a candidate."""
        if exact:
            return None
        assert self._hashing is not None
        sides = self._rows, self._asked[self.sample]
        found = [program().buckets(side, self._hashing) for side in sides]
        return found[0], found[1]

    def nearest(self, k: int, exact: bool = True) -> tuple[Ints, Floats]:
        """The k nearest of the sample's queries; -1 and infinity past the last."""

        def answer() -> dict[str, Rows]:
            asked, hashes = self._asked[self.sample], self.hashes(exact)
            found = program().search(self._rows, asked, k, self._threads, hashes)
            return {"indices": found[0], "distances": found[1]}

        found = kept(self.question(exact, "nearest", k), answer)
        return found["indices"], found["distances"]

    def radius(self, share: float) -> float:
        """The distance that about this share of all pairs is within, 0 left out."""

        def answer() -> dict[str, Rows]:
            asked = self._asked[self.spread(SAMPLED)]
            _, found = program().search(self._rows, asked, 0, self._threads)
            return {"radius": np.quantile(found[found > 0], [share])}

        return float(kept(self.question(True, "radius", share), answer)["radius"][0])

    def within(
        self, radius: float, above: bool, exact: bool = True
    ) -> tuple[Ints, Ints, Floats]:
        """Pairs (query of the sample, row) within a radius; above: row > query."""

        def answer() -> dict[str, Rows]:
            hashes = self.hashes(exact)
            pairs = [
                self.block_within(self.sample[part], radius, above, hashes)
                for part in blocks(len(self.sample), max(1, BYTES // 8 // self._data.n))
            ]
            joined = [np.concatenate(column) for column in zip(*pairs, strict=True)]
            return dict(zip(("left", "right", "distances"), joined, strict=True))

        found = kept(self.question(exact, "within", radius, above), answer)
        return found["left"], found["right"], found["distances"]

    def block_within(
        self, queries: Ints, radius: float, above: bool, hashes: tuple[Ints, Ints] | None
    ) -> tuple[Ints, Ints, Floats]:
        asked = self._asked[queries]
        _, distances = program().search(self._rows, asked, 0, self._threads)
        left, right = np.nonzero(distances <= radius)
        if above:
            keep = right > queries[left]
            left, right = left[keep], right[keep]
        if hashes is not None:
            places = np.searchsorted(self.sample, queries[left])
            keep = (hashes[0][right] == hashes[1][places]).any(axis=1)
            left, right = left[keep], right[keep]
        return queries[left], right, distances[left, right]
