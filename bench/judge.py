"""Whether answers are right, and whether two are the same.

Ours must equal a naive float64 program to the bit, on all queries.  Others are compared
with ours: their rows' distances are computed anew in float64 and may differ by rounding
in float32, because that may order two rows otherwise.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from data import Dataset, Rows
from naive import Floats, Hashing, Ints, Oracle, blocks, program
from stage import Entrant

TOLERANCE = 1e-5  # relative, of a distance; about 5 times what float32 flat search needs
EDGE = 1e-4  # a bucket's edge is nearer than this to a projection in float32, in buckets
BLOCK = 4096


@dataclass(frozen=True)
class Verdict:
    same: bool  # as ours, up to rounding
    note: str = ""
    wrong: bool = False  # ours, and not the naive program's answer
    compared: str = ""  # what of ours was found equal to it
    recall: float | None = None


WRONG = "WRONG by the naive program"


def checksum(*arrays: Rows) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:8]


def pair_distances(left: Rows, right: Rows, pairs: tuple[Ints, Ints]) -> Floats:
    """Distances of pairs of rows, in float64."""
    found = np.empty(len(pairs[0]))
    for part in blocks(len(found), BLOCK):
        a, b = left[pairs[0][part]], right[pairs[1][part]]
        difference = a.astype(np.float64) - b.astype(np.float64)
        found[part] = np.sqrt(np.einsum("ij,ij->i", difference, difference))
    return found


# ---- judges ----------------------------------------------------------------------------


class NeighborJudge:
    """Judges (indices, distances); the first answer it sees is the reference."""

    def __init__(
        self, data: Dataset, k: int, threads: int, hashing: Hashing | None = None
    ) -> None:
        self._k = min(k, data.n)
        self._rows, self._queries = data.rows.mapped(), data.queries.mapped()
        self._oracle = Oracle(data, threads, hashing)
        self._reference: Floats | None = None
        self.truth: Floats | None = None  # of exact search; recall is measured by it

    def right(self, answer: Any, exact: bool) -> bool:
        """Equal to the naive program's, to the bit."""
        indices, found = self._oracle.nearest(self._k, exact)
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
        compared = self._oracle.compared if entrant.ours else ""
        return Verdict(bool(same.all()), note, compared=compared, recall=recall)


class PairJudge:
    """Judges pairs (left, right, distances); the first it sees is the reference."""

    def __init__(self, data: Dataset, oracle: Oracle, radius: float) -> None:
        self._data, self._oracle, self._radius = data, oracle, radius
        self._left, self._right = data.queries.mapped(), data.rows.mapped()
        self._within_itself = data.queries == data.rows
        self._reference: Ints | None = None
        self.truth: Ints | None = None  # of exact search

    def codes(self, answer: Any) -> Ints:
        left, right = (np.asarray(side, dtype=np.int64) for side in answer[:2])
        return np.unique(left * self._data.n + right)

    def right(self, answer: Any, exact: bool) -> bool:
        """Equal to the naive program's, to the bit and in order."""
        wanted = self._oracle.within(self._radius, self._within_itself, exact)
        mine = np.isin(answer[0], self._oracle.sample)
        return all(
            np.array_equal(column[mine], right)
            for column, right in zip(answer, wanted, strict=True)
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
        compared = self._oracle.compared if entrant.ours else ""
        return Verdict(same, note, compared=compared, recall=recall)


class BucketJudge:
    """Judges buckets: ours must be the naive program's, others' may differ at an edge."""

    def __init__(self, rows: Rows, hashing: Hashing) -> None:
        self._right = program().buckets(rows, hashing)
        scale = 1 / hashing.width
        self._exact = np.asarray((rows.astype(np.float64) @ hashing.vectors.T) * scale)

    def __call__(self, entrant: Entrant, answer: Any) -> Verdict:
        other = np.asarray(answer) != self._right
        if entrant.ours:
            if other.any():
                return Verdict(False, WRONG, wrong=True)
            return Verdict(True, "same buckets", compared=f"{len(other):,} rows")
        exact = self._exact[other]
        if (np.abs(exact - np.round(exact)) > EDGE).any():
            return Verdict(False, "other buckets")
        share = f"{len(exact):,} of {other.size:,} at a bucket's edge differ"
        return Verdict(True, share if len(exact) else "same buckets")


def shortened(share: float) -> str:
    """Four digits, and 1 only where it is 1."""
    return "1" if share == 1 else f"{min(share, 0.9999):.4f}".rstrip("0").rstrip(".")
