"""Whether an answer of plain Python values is right, and how much of the truth it has.

Ours must be what the naive program says, to the bit; another package, whose hashes are
its own, is right if what it returns is true and not cut off.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from data import Dataset
from judge import pair_distances, shortened
from naive import Floats, Hashing, Ints, Oracle, blocks, program
from peers import Rows
from pictures import short
from surface import Hashes, Revived, Vectors, Written, digest, vectors_of

ROUNDING = 1e-4  # relative, of a distance that was summed in float32
BLOCK = 65536

Pair = tuple[int, int, float]
Near = Sequence[tuple[int, float]]


@dataclass(frozen=True)
class Finding:
    """What an answer holds; faults say what is wrong with it."""

    text: str
    faults: Sequence[str] = ()
    recall: float | None = None
    pieces: str = ""  # in how many commits or chunks it came

    @property
    def quality(self) -> str:
        if self.recall is None:
            return self.pieces or "-"
        return ", ".join(filter(None, [shortened(self.recall), self.pieces]))

    @property
    def right(self) -> bool:
        return not self.faults


def close(found: Any, true: Any) -> bool:
    return bool(np.allclose(found, true, rtol=ROUNDING, atol=0))


# ---- neighbors -------------------------------------------------------------------------


class Neighborhoods:
    """The k nearest rows of each query: of all, and of those that share a bucket."""

    def __init__(self, data: Dataset, k: int, threads: int, model: Hashing) -> None:
        self.rows, self.queries = data.rows.mapped(), data.queries.mapped()
        oracle = Oracle(data, threads, model)
        self.exact, self.expected = (
            as_lists(*oracle.nearest(k, exact)) for exact in (True, False)
        )

    def distances(self, query: int, rows: Ints) -> Floats:
        left = np.full(len(rows), query, dtype=np.int64)
        return pair_distances(self.queries, self.rows, (left, rows))

    def judge(self, answer: Sequence[Near], ours: bool) -> Finding:
        """Of the first queries, as many as were answered."""
        total = sum(len(near) for near in answer)
        truth = [{row for row, _ in near} for near in self.exact[: len(answer)]]
        hits = sum(
            len({row for row, _ in near} & true)
            for near, true in zip(answer, truth, strict=True)
        )
        recall = hits / sum(map(len, truth))
        return Finding(f"{total:,} rows", self.faults(answer, ours), recall)

    def faults(self, answer: Sequence[Near], ours: bool) -> list[str]:
        found = []
        if not any(answer):
            return ["finds nothing"]
        for query, near in enumerate(answer):
            rows = np.array([row for row, _ in near], dtype=np.int64)
            away = np.array([distance for _, distance in near])
            if not close(away, self.distances(query, rows)):
                found.append("distances that are not those of the rows")
            if len(set(rows.tolist())) < len(rows):
                found.append("rows twice")
            if (np.diff(away) < 0).any():
                found.append("neighbors out of order")
        if ours and list(answer) != self.expected[: len(answer)]:
            found.append("other rows than the definition's")
        return sorted(set(found))


def as_lists(indices: Ints, distances: Floats) -> list[Near]:
    """One list of (row, distance) a query, without the places that stayed empty."""
    return [
        [(i, d) for i, d in zip(near, away, strict=True) if i >= 0]
        for near, away in zip(indices.tolist(), distances.tolist(), strict=True)
    ]


# ---- pairs -----------------------------------------------------------------------------


class Pairs:
    """Pairs (query, row) within the distance that a share of all pairs is within."""

    def __init__(self, data: Dataset, share: float, threads: int, model: Hashing) -> None:
        oracle = Oracle(data, threads, model)
        self.threshold = oracle.radius(share)
        left, right, away = oracle.within(self.threshold, above=False)
        found = list(zip(left.tolist(), right.tolist(), strict=True))
        self.true = dict(zip(found, away.tolist(), strict=True))
        queries, rows = (
            program().buckets(side.mapped(), model) for side in (data.queries, data.rows)
        )
        counts = (queries[left] == rows[right]).sum(axis=1)
        self.collisions = dict(zip(found, counts.tolist(), strict=True))

    def expected(self, tables: int, rows: int | None = None) -> set[tuple[int, int]]:
        """True pairs that share a bucket in so many tables, among the first rows."""
        return {
            pair
            for pair, count in self.collisions.items()
            if count >= tables and (rows is None or max(pair) < rows)
        }

    def judge(
        self,
        answer: Sequence[Pair],
        wanted: set[tuple[int, int]] | None,
        rows: int | None = None,
        more: bool = False,
    ) -> Finding:
        """`wanted` is the answer where the definition says what it is, or part of it.

        With `rows`, only so many rows of either side were asked.
        """
        found = {(int(i), int(j)) for i, j, _ in answer}
        true = self.expected(0, rows)
        recall = len(found & true) / len(true)
        faults = self.faults(answer, found)
        if wanted is not None:
            if any(self.true.get((i, j), away) != away for i, j, away in answer):
                faults.append("distances that are not right to the last bit")
            missing, extra = len(wanted - found), 0 if more else len(found - wanted)
            if missing or extra:
                faults.append(f"{missing:,} pairs too few and {extra:,} too many")
        return Finding(f"{len(answer):,} pairs", faults, recall)

    def faults(self, answer: Sequence[Pair], found: set[tuple[int, int]]) -> list[str]:
        if not found:
            return ["finds nothing"]
        faults = []
        if len(found) < len(answer):
            faults.append(f"{len(answer) - len(found):,} pairs twice")
        untrue = [p for p in answer if (int(p[0]), int(p[1])) not in self.true]
        if untrue:
            faults.append(f"{len(untrue):,} pairs that are further than the threshold")
        known = [p for p in answer if (int(p[0]), int(p[1])) in self.true]
        true = [self.true[int(p[0]), int(p[1])] for p in known]
        if not close([p[2] for p in known], true):
            faults.append("distances that are not those of the rows")
        if all(i <= j for i, j in found) and any(i > j for i, j in self.true):
            faults.append("no pair whose left row number is the greater")
        return faults


def shifted(answer: Sequence[Pair], first: int) -> list[Pair]:
    """Pairs of ids as pairs of row numbers."""
    return [(int(i) - first, int(j) - first, away) for i, j, away in answer]


def judge_written(
    answer: Written, pairs: Pairs, first: int, tables: int | None
) -> Finding:
    wanted = None if tables is None else pairs.expected(tables)
    found = pairs.judge(shifted(answer.pairs, first), wanted)
    return replace(found, pieces=counted(answer.commits, "commit"))


# ---- hashes and rows -------------------------------------------------------------------


def judge_hashes(answer: Hashes, wanted: Hashes) -> Finding:
    pieces = ""
    if answer.chunks:
        pieces = counted(answer.chunks, "chunk")
    if answer.commits:
        pieces = counted(answer.commits, "commit")
    same = (answer.rows, answer.digest) == (wanted.rows, wanted.digest)
    faults = [] if same else ["hashes that are not those of the rows"]
    return Finding(f"{short(answer.rows)} rows", faults, pieces=pieces)


def naive_hashes(rows: Rows, ids: Ints, model: Hashing) -> Hashes:
    """What the definition says."""
    total = np.zeros((), dtype=np.int64)
    for part in blocks(len(rows), BLOCK):
        total += np.int64(digest(program().buckets(rows[part], model), ids[part]))
    return Hashes(len(rows), int(total))


def judge_vectors(answer: Vectors, rows: Rows, ids: Ints) -> Finding:
    same = answer == vectors_of(rows, ids)
    faults = [] if same else ["other rows than were written"]
    return Finding(f"{short(answer.rows)} rows", faults)


def judge_revived(answer: Revived) -> Finding:
    text = f"{answer.size:,} bytes"
    if answer.after == answer.before and answer.after:
        return Finding(text)
    lost = f"finds {len(answer.after)} of {len(answer.before)} neighbors afterwards"
    return Finding(text, [lost])


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
