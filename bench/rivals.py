"""The same answers by NumPy: what a careful user would write without the library."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[Any]
Hits = tuple[NDArray[np.int64], NDArray[np.float64]]


def buckets(rows: Rows, vectors: NDArray[np.float64], width: float) -> NDArray[np.int64]:
    return np.floor(rows.astype(np.float64) @ vectors.T * (1 / width)).astype(np.int64)


def distances(rows: Rows, query: Rows) -> NDArray[np.float64]:
    difference = rows.astype(np.float64) - query.astype(np.float64)
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", difference, difference)))


def squares(rows: Rows) -> Rows:
    return np.asarray(np.einsum("ij,ij->i", rows, rows))


class NumpySearch:
    """Brute force by one matrix product, the best few decided again in float64.

    Candidates, where hashes are given, are the rows that share a bucket in any table.
    """

    def __init__(self, rows: Rows, hashes: NDArray[np.int64] | None = None) -> None:
        self._rows, self._squares, self._hashes = rows, squares(rows), hashes

    def nearest(
        self, queries: Rows, k: int, query_hashes: NDArray[np.int64] | None = None
    ) -> Hits:
        estimate = self._squares - 2 * (queries @ self._rows.T)
        indices = np.full((len(queries), k), -1, dtype=np.int64)
        found = np.full((len(queries), k), np.inf)
        for i, query in enumerate(queries):
            if self._hashes is not None and query_hashes is not None:
                estimate[i][~(self._hashes == query_hashes[i]).any(axis=1)] = np.inf
            best = np.argpartition(estimate[i], 2 * k)[: 2 * k]
            best = best[np.isfinite(estimate[i][best])]
            exact = distances(self._rows[best], query)
            order = np.lexsort((best, exact))[:k]
            indices[i, : len(order)] = best[order]
            found[i, : len(order)] = exact[order]
        return indices, found

    def join(
        self,
        other: Rows,
        threshold: float,
        other_hashes: NDArray[np.int64] | None = None,
        block: int = 1000,
    ) -> set[tuple[int, int]]:
        pairs: set[tuple[int, int]] = set()
        other_squares = squares(other)
        limit = threshold * threshold
        for start in range(0, len(self._rows), block):
            part = slice(start, start + block)
            estimate = self._squares[part, None] - 2 * (self._rows[part] @ other.T)
            left, right = np.nonzero(estimate + other_squares <= limit * (1 + 1e-5))
            left += start
            keep = distances(self._rows[left], other[right]) <= threshold
            if self._hashes is not None and other_hashes is not None:
                keep &= (self._hashes[left] == other_hashes[right]).any(axis=1)
            pairs.update(zip(left[keep].tolist(), right[keep].tolist(), strict=True))
        return pairs
