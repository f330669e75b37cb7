"""Leaving out invalid rows, where a caller prefers that to an error."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
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
    if not isinstance(on_invalid, str) or on_invalid not in ("raise", "skip"):
        raise ParameterError(f"on_invalid must be 'raise' or 'skip', got {on_invalid!r}")
    return bool(on_invalid == "skip")


@dataclass(frozen=True)
class InvalidRows:
    """How many rows are invalid, by what is the matter with them.

    Attributes
    ----------
    missing : int
        Null, empty, of another length than the first valid row, or with a null in them;
        or NaN throughout, which is what such rows are read as.
    nan : int
        With NaN among their numbers.
    infinite : int
        With infinity, and no NaN, among their numbers.
    """

    missing: int = 0
    nan: int = 0
    infinite: int = 0

    @classmethod
    def among(cls, rows: NDArray[Any]) -> "InvalidRows":
        """Count rows that are all invalid, or have no coordinates."""
        nan = np.isnan(rows)
        missing, some = nan.all(axis=1).sum(), nan.any(axis=1).sum()
        if rows.shape[1] == 0:
            missing = some = len(rows)
        return cls(int(missing), int(some - missing), int(len(rows) - some))

    @property
    def total(self) -> int:
        """How many there are of any kind."""
        return self.missing + self.nan + self.infinite

    def __add__(self, other: "InvalidRows") -> "InvalidRows":
        return InvalidRows(
            self.missing + other.missing,
            self.nan + other.nan,
            self.infinite + other.infinite,
        )


@contextmanager
def own_numbers(numbers: NDArray[np.int64], first: int = 0) -> Iterator[None]:
    """Have errors that call rows `first`, `first + 1`, ... call them by their numbers."""
    try:
        yield
    except BucketRangeError as error:
        number = int(numbers[error.row - first])
        text = str(error).replace(f"row {error.row}:", f"row {number}:", 1)
        renamed = BucketRangeError(text)
        renamed.row, renamed.bad_rows = number, error.bad_rows
        raise renamed from None


class KeptRows:
    """The rows of an array that are finite, and where they stood.

    Parameters
    ----------
    rows : ndarray, [n, dim]
        float32 or float64.
    skip : bool
        Leave out rows that are not finite, or have no coordinates.  Else all are kept,
        whatever they hold.

    Attributes
    ----------
    rows : ndarray, [kept, dim]
        The rows kept: the array itself where none is left out, else a copy.
    numbers : ndarray of int64 or None, [kept]
        Numbers of the rows kept, ascending; None where all are.
    total : int
        Rows there were.
    invalid : InvalidRows
        What was the matter with the others.
    """

    __slots__ = ("invalid", "numbers", "rows", "total")

    def __init__(self, rows: NDArray[Any], skip: bool) -> None:
        self.rows = rows
        self.numbers: NDArray[np.int64] | None = None
        self.total = len(rows)
        self.invalid = InvalidRows()
        if not skip:
            return
        finite = np.zeros(len(rows), dtype=np.bool_)
        if rows.shape[1] > 0:
            _core.rows_finite(rows, finite)
        if not finite.all():
            self.numbers = np.flatnonzero(finite).astype(np.int64, copy=False)
            self.rows = rows[self.numbers]
            self.invalid = InvalidRows.among(rows[~finite])

    @property
    def skipped(self) -> NDArray[np.int64]:
        """Numbers of the rows left out, ascending."""
        if self.numbers is None:
            return np.empty(0, dtype=np.int64)
        left_out = np.ones(self.total, dtype=np.bool_)
        left_out[self.numbers] = False
        return np.flatnonzero(left_out).astype(np.int64, copy=False)

    def own_numbers(self) -> AbstractContextManager[None]:
        """Have errors about the rows kept name them by the numbers they had before."""
        return nullcontext() if self.numbers is None else own_numbers(self.numbers)

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
