"""Neighbors within a sample, and how well hash functions find them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fast_lsh_ann import _core
from fast_lsh_ann._describe.facts import Distances, Search, Spread
from fast_lsh_ann._describe.survey import hashed, rows_hashed_at_once
from fast_lsh_ann._inputs import PLANS
from fast_lsh_ann._search import search_index, search_rows
from fast_lsh_ann.model import BucketedRandomProjectionLSHModel

# Neighbors of a row that are looked at.
NEIGHBORS = 10
# Rows whose neighbors are sought: a recall of 0.95 is then known to about 0.005.
_QUERIES = 1000
# Rows whose candidates are counted, each among all of the sample.
_COUNTED = 250
# Rows on either side of random pairs.
_PAIRED = 100
# A standard normal variable is below this in 95 of 100 cases.
_NORMAL_95 = 1.6449
# Hashes of queries held at a time.
_MOST_HASHES = 1 << 22


@dataclass(frozen=True)
class Neighborhoods:
    """The nearest other rows of some rows of a sample.

    Attributes
    ----------
    rows : ndarray, [s, dim]
        The sample, in random order; at least two rows.
    neighbors : ndarray of int64, [q, k]
        Of the first q rows, nearest first.
    distances : ndarray, [q, k]
        To them.
    random : ndarray, [pairs]
        Distances of random pairs.
    """

    rows: NDArray[Any]
    neighbors: NDArray[np.int64]
    distances: NDArray[np.float64]
    random: NDArray[np.float64]

    @classmethod
    def of(cls, rows: NDArray[Any]) -> "Neighborhoods":
        """Find them by exact search."""
        q, k = min(_QUERIES, len(rows)), min(NEIGHBORS, len(rows) - 1)
        index = _core.index_new(None, rows, 0, "rows")
        found = search_index(index, len(rows), rows[:q], k + 1, 0, 0, False)
        # The first is the row itself or one that equals it, which is as good.
        others = found.indices[:, 1:], found.distances[:, 1:]
        return cls(rows, *others, _random_distances(rows))

    def facts(self) -> Distances:
        """Describe the distances."""
        nearest = self.distances[:, 0]
        return Distances(
            Spread.of(nearest),
            Spread.of(self.distances[:, -1]),
            Spread.of(self.random),
            self.distances.shape[1],
            float(np.mean(nearest == 0)),
        )

    def found_by(
        self, model: BucketedRandomProjectionLSHModel, min_collisions: int
    ) -> NDArray[np.bool_]:
        """Tell which neighbors are candidates: [q, k], or less where tables are many."""
        parts = []
        k = self.neighbors.shape[1]
        for first in self._query_blocks(model, 1 + k):
            near = self.neighbors[first]
            asked = hashed(model, self.rows[: len(self.neighbors)][first])
            others = hashed(model, self.rows[near.ravel()])
            met = (others.reshape(*near.shape, *asked.shape[1:]) == asked[:, None]).all(
                axis=3
            )
            parts.append(np.count_nonzero(met, axis=2) >= min_collisions)
        return np.concatenate(parts)

    def candidate_share(
        self, model: BucketedRandomProjectionLSHModel, min_collisions: int
    ) -> float:
        """Measure which part of the other rows are candidates of a row."""
        most = min(rows_hashed_at_once(model), _MOST_HASHES)
        queries = min(_COUNTED, len(self.neighbors), most)
        asked = hashed(model, self.rows[:queries])
        step = max(1, min(most, _MOST_HASHES // queries))
        candidates = 0
        for start in range(0, len(self.rows), step):
            others = hashed(model, self.rows[start : start + step])
            candidates += _count_candidates(asked, others, min_collisions)
        return (candidates - queries) / (queries * (len(self.rows) - 1))

    def measure(
        self, model: BucketedRandomProjectionLSHModel, min_collisions: int
    ) -> Search:
        """Measure what a search would find, and what it would cost."""
        found = self.found_by(model, min_collisions)
        index = _core.index_new(model._core, self.rows, 0, "rows")
        plan = _core.index_explain(index, len(self.neighbors), min_collisions, 0)[0]
        return Search(
            self.candidate_share(model, min_collisions),
            float(found[:, 0].mean()),
            float(found.mean()),
            lower_bound(found),
            PLANS[plan],
        )

    def _query_blocks(
        self, model: BucketedRandomProjectionLSHModel, hashed_each: int
    ) -> Iterator[slice]:
        step = max(1, rows_hashed_at_once(model) // hashed_each)
        for start in range(0, len(self.neighbors), step):
            yield slice(start, start + step)


def lower_bound(found: NDArray[np.bool_]) -> float:
    """Say what a recall is above with 95 % confidence; neighbors of a row go together."""
    recalls = found.mean(axis=1)
    error = float(recalls.std()) / math.sqrt(len(recalls))
    return max(0.0, float(recalls.mean()) - _NORMAL_95 * error)


def _count_candidates(
    asked: NDArray[np.int64], others: NDArray[np.int64], min_collisions: int
) -> int:
    counts = np.zeros((len(asked), len(others)), dtype=np.int32)
    for table in range(asked.shape[1]):
        met = np.ones(counts.shape, dtype=np.bool_)
        for mine, theirs in zip(asked[:, table].T, others[:, table].T, strict=True):
            met &= mine[:, None] == theirs
        counts += met
    return int(np.count_nonzero(counts >= min_collisions))


def _random_distances(rows: NDArray[Any]) -> NDArray[np.float64]:
    """Give distances of all pairs of some random rows and some others."""
    half = min(_PAIRED, len(rows) // 2)
    names = ("rows", "rows")
    some, others = rows[:half], rows[half : 2 * half]
    return search_rows(None, some, others, half, 0, False, names).distances.ravel()
