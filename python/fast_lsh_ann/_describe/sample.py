"""A random sample of rows of a stream, the same however the stream is cut."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fast_lsh_ann.errors import OutOfMemoryError

# What makes row numbers look random: the finalizer of SplitMix64 (Steele, Lea and Flood,
# "Fast splittable pseudorandom number generators", 2014).
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_STEPS = (
    (np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)),
    (np.uint64(27), np.uint64(0x94D049BB133111EB)),
)
_LAST_SHIFT = np.uint64(31)


def scattered(numbers: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Give each row number a key of its own that looks random."""
    keys = (numbers.astype(np.uint64) + np.uint64(1)) * _GAMMA
    for shift, factor in _STEPS:
        keys = (keys ^ (keys >> shift)) * factor
    return keys ^ (keys >> _LAST_SHIFT)


class RowSample:
    """The rows whose numbers have the smallest keys, at most `size`.

    Parameters
    ----------
    size : int
        Rows wanted.
    rows_at_most : int or None
        Rows there will be, or more.
    """

    def __init__(self, size: int, rows_at_most: int | None = None) -> None:
        self._size = size if rows_at_most is None else min(size, max(1, rows_at_most))
        self._keys = np.empty(0, dtype=np.uint64)
        self._rows: NDArray[Any] = np.empty((0, 0))

    def add(self, rows: NDArray[Any], numbers: NDArray[np.int64]) -> None:
        """Take what belongs into the sample of some rows of these numbers."""
        if not self._rows.size:
            self._rows = self._room(rows)
        count = len(self._keys)
        keys = np.concatenate([self._keys, scattered(numbers)])
        kept = np.ones(len(keys), dtype=np.bool_)
        if len(keys) > self._size:
            kept[np.argpartition(keys, self._size)[self._size :]] = False
        new = np.flatnonzero(kept[count:])
        unused = np.arange(count, min(self._size, count + len(new)))
        places = np.concatenate([np.flatnonzero(~kept[:count]), unused])[: len(new)]
        self._keys = np.concatenate([self._keys, np.zeros(len(unused), dtype=np.uint64)])
        self._keys[places] = keys[count + new]
        self._rows[places] = rows[new]

    def _room(self, rows: NDArray[Any]) -> NDArray[Any]:
        try:
            return np.empty((self._size, rows.shape[1]), dtype=rows.dtype)
        except (MemoryError, ValueError):  # ValueError: more than an array can hold
            raise OutOfMemoryError(
                f"sample: {self._size} rows of {rows[0].nbytes} bytes do not fit in "
                f"memory; ask for fewer"
            ) from None

    def take(self) -> NDArray[Any]:
        """Give the sample in the order of its keys, so that any first rows are random."""
        rows = self._rows[np.argsort(self._keys)]
        self._rows = np.empty((0, 0))
        return rows
