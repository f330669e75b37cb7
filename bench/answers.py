"""Whether an answer of plain Python values is right, and how much of the truth it has.

The truth is NumPy's in float64: a matrix product picks candidates, and the distances of
the few that matter are summed anew.  Ours must be what the definition says; another
package, whose hashes are its own, is right if what it returns is true and not cut off.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from data import Dataset
from judge import pair_distances, shortened
from naive import Hashing, Ints, blocks, program
from numpy.typing import NDArray
from peers import Rows, squares
from pictures import short
from surface import Hashes, Revived, Vectors, Written, digest, vectors_of

ROUNDING = 1e-4  # relative, of a distance that was summed in float32
SHORTLIST = 4  # times k rows a block are looked at again
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


def buckets(rows: Rows, model: Hashing) -> Ints:
    return program().buckets(rows, model)


def close(found: Any, true: Any) -> bool:
    return bool(np.allclose(found, true, rtol=ROUNDING, atol=0))


# ---- neighbors -------------------------------------------------------------------------


class Neighborhoods:
    """The k nearest rows of each query: of all, and of those that share a bucket."""

    def __init__(self, data: Dataset, k: int, model: Hashing) -> None:
        self.rows, self.queries = data.rows.mapped(), data.queries.mapped()
        self.k, self.model = k, model
        everything, candidates = self.shortlists()
        self.exact = [self.nearest(i, few) for i, few in enumerate(everything)]
        self.expected = [self.nearest(i, few) for i, few in enumerate(candidates)]

    def shortlists(self) -> tuple[list[Ints], list[Ints]]:
        """Rows that may be among the nearest, by query."""
        asked = self.queries.astype(np.float64)
        their_buckets = buckets(self.queries, self.model)
        found: tuple[list[Ints], list[Ints]] = ([], [])
        for part in blocks(len(self.rows), BLOCK):
            wide = self.rows[part].astype(np.float64)
            estimates = squares(wide) - 2 * (asked @ wide.T)
            ours = buckets(self.rows[part], self.model)
            apart = ~(their_buckets[:, None] == ours[None]).any(axis=2)
            for kept in found:
                few = min(SHORTLIST * self.k, len(wide))
                best = np.argpartition(estimates, few - 1, axis=1)[:, :few]
                there = np.isfinite(np.take_along_axis(estimates, best, axis=1))
                kept.append(np.where(there, best + part.start, -1))
                estimates[apart] = np.inf
        return tuple(list(np.concatenate(kept, axis=1)) for kept in found)  # type: ignore[return-value]

    def distances(self, query: int, rows: Ints) -> NDArray[np.float64]:
        left = np.full(len(rows), query, dtype=np.int64)
        return pair_distances(self.queries, self.rows, (left, rows))

    def nearest(self, query: int, few: Ints) -> Near:
        few = few[few >= 0]
        away = self.distances(query, few)
        order = np.lexsort((few, away))[: self.k]
        return list(zip(few[order].tolist(), away[order].tolist(), strict=True))

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
        if ours and not same(answer, self.expected):
            found.append("other rows than the definition's")
        return sorted(set(found))


def same(answer: Sequence[Near], expected: Sequence[Near]) -> bool:
    return all(
        [row for row, _ in near] == [row for row, _ in wanted]
        and np.allclose([d for _, d in near], [d for _, d in wanted], rtol=1e-12, atol=0)
        for near, wanted in zip(answer, expected, strict=False)
    )


# ---- pairs -----------------------------------------------------------------------------


class Pairs:
    """Pairs (query, row) within the distance that a share of all pairs is within."""

    def __init__(self, data: Dataset, share: float, model: Hashing) -> None:
        self.left, self.right = data.queries.load(), data.rows.load()
        self.model = model
        wanted = max(int(len(self.left) * len(self.right) * share), 1)
        few = self.shortlist(2 * wanted)
        away = pair_distances(self.left, self.right, few)
        order = np.argsort(away, kind="stable")
        # Between two distances, so that rounding decides about no pair.
        self.threshold = float(away[order[wanted - 1 : wanted + 1]].mean())
        kept = order[:wanted]
        self.true = dict(
            zip(
                zip(few[0][kept].tolist(), few[1][kept].tolist(), strict=True),
                away[kept].tolist(),
                strict=True,
            )
        )
        self.collisions = self.count_collisions()

    def shortlist(self, wanted: int) -> tuple[Ints, Ints]:
        norms = squares(self.right)
        estimates = squares(self.left)[:, None] - 2 * (self.left @ self.right.T) + norms
        limit = np.partition(estimates, wanted, axis=None)[wanted]
        rows, columns = np.nonzero(estimates <= limit)
        return rows, columns

    def count_collisions(self) -> dict[tuple[int, int], int]:
        """In how many tables each true pair shares a bucket."""
        ours, theirs = (buckets(side, self.model) for side in (self.left, self.right))
        return {(i, j): int((ours[i] == theirs[j]).sum()) for i, j in self.true}

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
    """What the definition says; rows at a bucket's edge are too rare to meet one."""
    total = np.zeros((), dtype=np.int64)
    for part in blocks(len(rows), BLOCK):
        total += np.int64(digest(buckets(rows[part], model), ids[part]))
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
