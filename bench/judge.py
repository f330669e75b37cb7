"""Whether answers are right, and whether two are the same.

Ours must equal a naive float64 program to the bit on a sample of the queries.  Others are
compared with ours on all queries: their rows' distances are computed anew in float64 and
may differ by rounding in float32, because that may order two rows otherwise.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from data import Dataset, Rows
from numpy.typing import NDArray
from stage import Entrant

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

TOLERANCE = 1e-5  # relative, of a distance; about 5 times what float32 flat search needs
EDGE, EDGE_FLOAT32 = 1e-9, 1e-4  # a bucket's edge is nearer than this, in buckets
BUDGET = 2e9  # coordinates that the naive program looks at
BLOCK = 4096


@dataclass(frozen=True)
class Verdict:
    same: bool  # as ours, up to rounding
    note: str = ""
    wrong: bool = False  # ours, and not the naive program's answer
    recall: float | None = None


WRONG = "WRONG by the naive program"


def checksum(*arrays: Rows) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:8]


def blocks(total: int, size: int) -> Iterator[slice]:
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))


def pair_distances(left: Rows, right: Rows, pairs: tuple[Ints, Ints]) -> Floats:
    """Distances of pairs of rows, in float64."""
    found = np.empty(len(pairs[0]))
    for part in blocks(len(found), BLOCK):
        a, b = left[pairs[0][part]], right[pairs[1][part]]
        difference = a.astype(np.float64) - b.astype(np.float64)
        found[part] = np.sqrt(np.einsum("ij,ij->i", difference, difference))
    return found


# ---- the naive program -----------------------------------------------------------------


class Oracle:
    """All distances of some queries, one coordinate after the other in float64."""

    def __init__(self, data: Dataset) -> None:
        asked = max(1, min(data.count, int(BUDGET / data.n / data.dim)))
        self._rows, self._asked = data.rows.mapped(), data.queries.mapped()
        self.sample = np.unique(np.linspace(0, data.count - 1, asked).astype(np.int64))
        queries = self._asked[self.sample].astype(np.float64)
        self.distances = np.empty((len(self.sample), data.n))
        for part in blocks(data.n, BLOCK):
            columns = np.ascontiguousarray(self._rows[part].T, dtype=np.float64)
            total = np.zeros((len(queries), columns.shape[1]))
            for column, wanted in zip(columns, queries.T, strict=True):
                difference = column - wanted[:, None]
                total += difference * difference
            self.distances[:, part] = np.sqrt(total)

    def collisions(self, vectors: Floats, width: float) -> NDArray[np.bool_]:
        """Which rows share a bucket with which query of the sample."""
        asked = np.floor(projections(self._asked[self.sample], vectors, width))
        found = np.zeros(self.distances.shape, dtype=np.bool_)
        for part in blocks(len(self._rows), BLOCK):
            rows = np.floor(projections(self._rows[part], vectors, width))
            found[:, part] = (asked[:, None, :] == rows[None]).any(axis=2)
        return found

    def radius(self, share: float) -> float:
        """The distance that about this share of all pairs is within."""
        return float(np.quantile(self.distances[self.distances > 0], share))

    def nearest(
        self, k: int, candidates: NDArray[np.bool_] | None = None
    ) -> tuple[Ints, Floats]:
        """The k nearest by (distance, row); -1 and infinity past the last."""
        indices = np.full((len(self.sample), k), -1, dtype=np.int64)
        found = np.full((len(self.sample), k), np.inf)
        for i, all_distances in enumerate(self.distances):
            near = all_distances
            if candidates is not None:
                near = np.where(candidates[i], near, np.inf)
            limit = np.partition(near, min(k, len(near)) - 1)[min(k, len(near)) - 1]
            few = np.flatnonzero((near <= limit) & np.isfinite(near))
            order = few[np.argsort(near[few], kind="stable")][:k]
            indices[i, : len(order)], found[i, : len(order)] = order, near[order]
        return indices, found


def projections(rows: Rows, vectors: Floats, width: float) -> Floats:
    return np.asarray((rows.astype(np.float64) @ vectors.T) * (1 / width))


# ---- judges ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Hashing:
    """What the naive program needs to know of a model."""

    vectors: Floats
    width: float


class NeighborJudge:
    """Judges (indices, distances); the first answer it sees is the reference."""

    def __init__(self, data: Dataset, k: int, hashing: Hashing | None = None) -> None:
        self._data, self._k = data, min(k, data.n)
        self._rows, self._queries = data.rows.mapped(), data.queries.mapped()
        self._oracle = Oracle(data)
        self._hashing = hashing
        self._reference: Floats | None = None
        self.truth: Floats | None = None  # of exact search; recall is measured by it

    def right(self, answer: Any, exact: bool) -> bool:
        """Equal to the naive program's, to the bit."""
        candidates = None
        if not exact:
            assert self._hashing is not None
            vectors, width = self._hashing.vectors, self._hashing.width
            candidates = self._oracle.collisions(vectors, width)
        indices, found = self._oracle.nearest(self._k, candidates)
        sample = self._oracle.sample
        return np.array_equal(answer[0][sample], indices) and np.array_equal(
            answer[1][sample], found
        )

    def distances(self, indices: Ints) -> Floats:
        """What each query's rows are away, ascending; repeated rows count once."""
        wanted = np.full((len(self._queries), self._k), -1, dtype=np.int64)
        wanted[:, : indices.shape[1]] = np.sort(indices, axis=1)
        wanted[:, 1:][wanted[:, 1:] == wanted[:, :-1]] = -1
        found = np.full(wanted.shape, np.inf)
        there = np.nonzero(wanted >= 0)
        pairs = there[0], wanted[there]
        found[there] = pair_distances(self._queries, self._rows, pairs)
        return np.sort(found, axis=1)

    def __call__(self, entrant: Entrant, answer: Any) -> Verdict:
        if entrant.ours and not self.right(answer, entrant.search.get("exact", True)):
            return Verdict(False, WRONG, wrong=True)
        found = self.distances(np.asarray(answer[0]))
        if self._reference is None:
            self._reference = found
        truth = self._reference if self.truth is None else self.truth
        with np.errstate(invalid="ignore"):  # infinity where there are too few
            same = (found == self._reference) | (
                np.abs(found - self._reference) <= TOLERANCE * self._reference
            )
        recall = float(np.mean(found <= truth * (1 + TOLERANCE)))
        note = f"recall {shortened(recall)}"
        return Verdict(bool(same.all()), note, recall=recall)


class PairJudge:
    """Judges pairs (left, right, distances); the first it sees is the reference."""

    def __init__(
        self, data: Dataset, oracle: Oracle, radius: float, hashing: Hashing | None = None
    ) -> None:
        self._data, self._oracle, self._radius = data, oracle, radius
        self._left, self._right = data.queries.mapped(), data.rows.mapped()
        self._within_itself = data.queries == data.rows
        self._hashing = hashing
        self._reference: Ints | None = None
        self.truth: Ints | None = None  # of exact search

    def codes(self, answer: Any) -> Ints:
        left, right = (np.asarray(side, dtype=np.int64) for side in answer[:2])
        return np.unique(left * self._data.n + right)

    def right(self, answer: Any, exact: bool) -> bool:
        near = self._oracle.distances <= self._radius
        if not exact:
            assert self._hashing is not None
            near &= self._oracle.collisions(self._hashing.vectors, self._hashing.width)
        sample = self._oracle.sample
        if self._within_itself:
            near &= np.arange(self._data.n) > sample[:, None]
        wanted = np.nonzero(near)
        mine = np.isin(answer[0], sample)
        return (
            np.array_equal(answer[0][mine], sample[wanted[0]])
            and np.array_equal(answer[1][mine], wanted[1])
            and np.array_equal(answer[2][mine], self._oracle.distances[wanted])
        )

    def __call__(self, entrant: Entrant, answer: Any) -> Verdict:
        if entrant.ours and not self.right(answer, entrant.search.get("exact", True)):
            return Verdict(False, WRONG, wrong=True)
        found = self.codes(answer)
        if self._reference is None:
            self._reference = found
        other = np.setxor1d(found, self._reference, assume_unique=True)
        pairs = other // self._data.n, other % self._data.n
        away = np.abs(pair_distances(self._left, self._right, pairs) / self._radius - 1)
        same = bool((away <= TOLERANCE).all())
        truth = self._reference if self.truth is None else self.truth
        recall = len(np.intersect1d(found, truth, assume_unique=True)) / max(
            len(truth), 1
        )
        note = f"{len(found):,} pairs, recall {shortened(recall)}"
        if same and len(other):
            note += f", {len(other)} at the threshold differ"
        return Verdict(same, note, recall=recall)


class BucketJudge:
    """Judges buckets by projections in float64: others may differ at a bucket's edge."""

    def __init__(self, rows: Rows, hashing: Hashing) -> None:
        self._exact = projections(rows, hashing.vectors, hashing.width)

    def __call__(self, entrant: Entrant, answer: Any) -> Verdict:
        other = np.asarray(answer, dtype=np.float64) != np.floor(self._exact)
        exact = self._exact[other]
        edge = EDGE if entrant.ours else EDGE_FLOAT32
        same = bool((np.abs(exact - np.round(exact)) <= edge).all())
        if entrant.ours and not same:
            return Verdict(False, WRONG, wrong=True)
        if not same:
            return Verdict(False, "other buckets")
        share = f"{len(exact):,} of {other.size:,} at a bucket's edge differ"
        return Verdict(True, share if len(exact) else "same buckets")


def shortened(share: float) -> str:
    """Four digits, and 1 only where it is 1."""
    return "1" if share == 1 else f"{min(share, 0.9999):.4f}".rstrip("0").rstrip(".")
