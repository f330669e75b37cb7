"""Leaving out rows that hold NaN or infinity, where a caller prefers that to an error."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fast_lsh_ann import _core
from fast_lsh_ann.errors import BucketRangeError, ParameterError
from fast_lsh_ann.results import Neighbors, RadiusNeighbors

OnInvalid: TypeAlias = Literal["raise", "skip"]


def as_skip(on_invalid: Any) -> bool:
    """Read ``on_invalid``: True for leaving invalid rows out.

    Raises
    ------
    ParameterError
        If it is neither "raise" nor "skip".
    """
    if on_invalid not in ("raise", "skip"):
        raise ParameterError(f"on_invalid must be 'raise' or 'skip', got {on_invalid!r}")
    return bool(on_invalid == "skip")


class KeptRows:
    """The rows of an array that are finite, and where they stood.

    Parameters
    ----------
    rows : ndarray, [n, dim]
        float32 or float64.
    skip : bool
        Leave out rows that are not finite.  Else all are kept, whatever they hold.

    Attributes
    ----------
    rows : ndarray, [kept, dim]
        The rows kept: the array itself where none is left out, else a copy.
    numbers : ndarray of int64 or None, [kept]
        Numbers of the rows kept, ascending; None where all are.
    total : int
        Rows there were.
    """

    __slots__ = ("numbers", "rows", "total")

    def __init__(self, rows: NDArray[Any], skip: bool) -> None:
        self.rows = rows
        self.numbers: NDArray[np.int64] | None = None
        self.total = len(rows)
        if not skip:
            return
        finite = np.empty(len(rows), dtype=np.bool_)
        _core.rows_finite(rows, finite)
        if not finite.all():
            self.numbers = np.flatnonzero(finite).astype(np.int64, copy=False)
            self.rows = rows[self.numbers]

    @property
    def skipped(self) -> NDArray[np.int64]:
        """Numbers of the rows left out, ascending."""
        if self.numbers is None:
            return np.empty(0, dtype=np.int64)
        left_out = np.ones(self.total, dtype=np.bool_)
        left_out[self.numbers] = False
        return np.flatnonzero(left_out).astype(np.int64, copy=False)

    @contextmanager
    def own_numbers(self) -> Iterator[None]:
        """Have errors about the rows kept name them by the numbers they had before."""
        try:
            yield
        except BucketRangeError as error:
            if self.numbers is None:
                raise
            number = int(self.numbers[error.row])
            text = str(error).replace(f"row {error.row}:", f"row {number}:", 1)
            renamed = BucketRangeError(text)
            renamed.row, renamed.bad_rows = number, error.bad_rows
            raise renamed from None

    def renumber(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give the numbers that rows kept had before; -1 stays."""
        if self.numbers is None or indices.size == 0:
            return indices
        # Where no row is kept every index is -1, and takes the number appended.
        return np.append(self.numbers, -1)[indices]

    def values_of(self, values: NDArray[Any]) -> NDArray[Any]:
        """Give the values of the rows kept, of one for each; one for all stays."""
        return (
            values if self.numbers is None or len(values) == 1 else values[self.numbers]
        )

    def spread_neighbors(self, found: Neighbors) -> Neighbors:
        """Give what was found for the queries kept, and nothing for the others."""
        if self.numbers is None:
            return found
        shape = (self.total, found.indices.shape[1])
        indices = np.full(shape, -1, dtype=np.int64)
        distances = np.full(shape, np.inf)
        counts = np.zeros(self.total, dtype=np.int64)
        indices[self.numbers] = found.indices
        distances[self.numbers] = found.distances
        counts[self.numbers] = found.counts
        return Neighbors(indices, distances, counts)

    def spread_radius(self, found: RadiusNeighbors) -> RadiusNeighbors:
        """Give what was found for the queries kept, and nothing for the others."""
        if self.numbers is None:
            return found
        counts = np.zeros(self.total, dtype=np.int64)
        counts[self.numbers] = np.diff(found.indptr)
        indptr = np.concatenate([[0], np.cumsum(counts)])
        return RadiusNeighbors(indptr, found.indices, found.distances)
