"""Counting the rows of every bucket of a stream, in bounded memory."""

import numpy as np
from numpy.typing import NDArray

# Buckets remembered over all tables, 16 bytes each, and as much again while they are
# merged.
MOST_BUCKETS = 1 << 22
# Entries worth a merge, however few buckets there are.
_LEAST_PENDING = 1 << 14
_MIX = np.uint64(0x9E3779B97F4A7C15)

Sizes = list[NDArray[np.int64]]


class BucketCounts:
    """How many rows are in each bucket of each table.

    Parameters
    ----------
    tables : int
        Hash tables.
    most : int
        Buckets remembered; more make all be forgotten.
    """

    def __init__(self, tables: int, most: int) -> None:
        self._tables = [_TableCounts() for _ in range(tables)]
        self._most = most
        self.full = False

    def add(self, hashes: NDArray[np.int64]) -> None:
        """Count rows by their hashes, [n, tables, hashes]."""
        if self.full:
            return
        for table, columns in zip(self._tables, np.moveaxis(hashes, 1, 0), strict=True):
            table.add(_one_key(columns))
        if sum(table.entries for table in self._tables) > 2 * self._most:
            self._settle()

    def sizes(self) -> Sizes | None:
        """Give the sizes of each table's buckets, descending; None if they were many."""
        self._settle()
        if self.full:
            return None
        return [np.sort(table.counts)[::-1] for table in self._tables]

    def _settle(self) -> None:
        for table in self._tables:
            table.merge()
        if sum(table.entries for table in self._tables) > self._most:
            self.full = True
            self._tables = []


class _TableCounts:
    """Buckets of one table, ascending, with their rows; and what is yet to be merged."""

    def __init__(self) -> None:
        self.counts = np.empty(0, dtype=np.int64)
        self._buckets = np.empty(0, dtype=np.int64)
        self._pending: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        self._waiting = 0

    @property
    def entries(self) -> int:
        return len(self._buckets) + self._waiting

    def add(self, buckets: NDArray[np.int64]) -> None:
        found, counts = np.unique(buckets, return_counts=True)
        self._pending.append((found, counts.astype(np.int64, copy=False)))
        self._waiting += len(found)
        # As much as there is: each bucket is then moved but a few times in all.
        if self._waiting > max(_LEAST_PENDING, len(self._buckets)):
            self.merge()

    def merge(self) -> None:
        if not self._pending:
            return
        parts = [(self._buckets, self.counts), *self._pending]
        buckets = np.concatenate([part[0] for part in parts])
        counts = np.concatenate([part[1] for part in parts])
        order = np.argsort(buckets, kind="stable")
        buckets = buckets[order]
        starts = np.flatnonzero(np.r_[True, buckets[1:] != buckets[:-1]])
        self._buckets = buckets[starts]
        self.counts = np.add.reduceat(counts[order], starts)
        self._pending, self._waiting = [], 0


def _one_key(columns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give one number for the hashes of each row, [n, hashes].

    Several are mixed: of n buckets two become one with a chance below n**2 / 2**64.
    """
    keys = columns[:, 0].astype(np.uint64)
    for column in columns.T[1:]:
        keys = (keys ^ (keys >> np.uint64(32))) * _MIX
        keys = (keys ^ (keys >> np.uint64(29))) * _MIX + column.astype(np.uint64)
    return keys.view(np.int64)
