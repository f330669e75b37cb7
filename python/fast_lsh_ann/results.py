"""What searches return: arrays first, sequences of plain tuples for those who loop."""

from collections.abc import Iterator
from itertools import chain
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from fast_lsh_ann._arrow import batch_stream

__all__ = ["Neighbors", "Pairs", "RadiusNeighbors"]

# None of them is a collections.abc.Sequence: frames would read one as rows of Python
# objects rather than by Arrow.

_BLOCK = 65536  # pairs made into Python objects at once while iterating


class Neighbors:
    """Nearest neighbors of a batch of queries.

    It has a length, can be indexed and iterated: one list of ``(row, distance)`` tuples
    per query, nearest first.
    ``polars.DataFrame(neighbors)`` and every other Arrow consumer get one line per
    neighbor: query, rank (from 0), neighbor, distance.

    Attributes
    ----------
    indices : ndarray of int64, [queries, width]
        Row numbers by (distance, row), -1 past the last; width is min(k, rows).
    distances : ndarray of float64, [queries, width]
        Euclidean distances, +inf past the last.
    counts : ndarray of int64, [queries]
        Neighbors found: fewer than `width` when a query has fewer candidates.
    ids : ndarray or None, [queries, width]
        The index's ids of the neighbors, past the last -1 (None for ids that int64
        cannot hold); None when the index has none.
    """

    __slots__ = ("counts", "distances", "ids", "indices")

    def __init__(
        self,
        indices: NDArray[np.int64],
        distances: NDArray[np.float64],
        counts: NDArray[np.int64],
        ids: NDArray[Any] | None = None,
    ) -> None:
        self.indices = indices
        self.distances = distances
        self.counts = counts
        self.ids = ids

    def __len__(self) -> int:
        return len(self.counts)

    @overload
    def __getitem__(self, query: int) -> list[tuple[int, float]]: ...
    @overload
    def __getitem__(self, query: slice) -> list[list[tuple[int, float]]]: ...
    def __getitem__(
        self, query: int | slice
    ) -> list[tuple[int, float]] | list[list[tuple[int, float]]]:
        if isinstance(query, slice):
            return [self[q] for q in range(*query.indices(len(self)))]
        n = self.counts[query]
        rows, distances = self.indices[query, :n], self.distances[query, :n]
        return list(zip(rows.tolist(), distances.tolist(), strict=True))

    def __iter__(self) -> Iterator[list[tuple[int, float]]]:
        return (self[query] for query in range(len(self)))

    def __repr__(self) -> str:
        width = self.indices.shape[1]
        ids = "" if self.ids is None else ", with ids"
        return f"Neighbors({len(self)} queries x {width}, {self.counts.sum()} found{ids})"

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        found = np.arange(self.indices.shape[1]) < self.counts[:, None]
        query, rank = np.nonzero(found)
        columns: list[tuple[str, NDArray[Any]]] = [
            ("query", query.astype(np.int64, copy=False)),
            ("rank", rank.astype(np.int64, copy=False)),
            ("neighbor", self.indices[found]),
            ("distance", self.distances[found]),
        ]
        return batch_stream(columns).__arrow_c_stream__(requested_schema)


class RadiusNeighbors:
    """All neighbors of a batch of queries within a radius.

    It has a length, can be indexed and iterated: one pair of arrays per query, the rows
    and their distances, nearest first.  The three arrays are a sparse matrix in CSR form:
    ``scipy.sparse.csr_array((r.distances, r.indices, r.indptr), (queries, rows))``.
    ``polars.DataFrame(neighbors)`` and every other Arrow consumer get one line per
    neighbor: query, rank (from 0), neighbor, distance.

    Attributes
    ----------
    indptr : ndarray of int64, [queries + 1]
        The neighbors of query i are at ``indptr[i]`` up to, not including,
        ``indptr[i + 1]``.
    indices : ndarray of int64, [neighbors]
        Row numbers, for each query by (distance, row).
    distances : ndarray of float64, [neighbors]
        Euclidean distances.
    ids : ndarray or None, [neighbors]
        The index's ids of the neighbors; None when the index has none.
    """

    __slots__ = ("distances", "ids", "indices", "indptr")

    def __init__(
        self,
        indptr: NDArray[np.int64],
        indices: NDArray[np.int64],
        distances: NDArray[np.float64],
        ids: NDArray[Any] | None = None,
    ) -> None:
        self.indptr = indptr
        self.indices = indices
        self.distances = distances
        self.ids = ids

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def __getitem__(self, query: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        start, end = self.indptr[:-1][query], self.indptr[1:][query]
        return self.indices[start:end], self.distances[start:end]

    def __iter__(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
        return (self[query] for query in range(len(self)))

    def __repr__(self) -> str:
        ids = "" if self.ids is None else ", with ids"
        return f"RadiusNeighbors({len(self)} queries, {len(self.indices)} found{ids})"

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        counts = np.diff(self.indptr)
        starts = np.repeat(self.indptr[:-1], counts)
        columns: list[tuple[str, NDArray[Any]]] = [
            ("query", np.repeat(np.arange(len(self)), counts)),
            ("rank", np.arange(len(self.indices)) - starts),
            ("neighbor", self.indices),
            ("distance", self.distances),
        ]
        return batch_stream(columns).__arrow_c_stream__(requested_schema)


class Pairs:
    """Pairs of a similarity join, by (left, right), each once.

    It has a length, can be indexed and iterated: ``(left, right, distance)`` tuples.
    ``polars.DataFrame(pairs)``
    and every other Arrow consumer get the columns left, right, distance.

    Attributes
    ----------
    left, right : ndarray of int64, [pairs]
        Row numbers on either side.
    distances : ndarray of float64, [pairs]
        Euclidean distances.
    """

    __slots__ = ("distances", "left", "right")

    def __init__(
        self,
        left: NDArray[np.int64],
        right: NDArray[np.int64],
        distances: NDArray[np.float64],
    ) -> None:
        self.left = left
        self.right = right
        self.distances = distances

    def __len__(self) -> int:
        return len(self.left)

    @overload
    def __getitem__(self, pair: int) -> tuple[int, int, float]: ...
    @overload
    def __getitem__(self, pair: slice) -> list[tuple[int, int, float]]: ...
    def __getitem__(
        self, pair: int | slice
    ) -> tuple[int, int, float] | list[tuple[int, int, float]]:
        if isinstance(pair, slice):
            columns = (self.left[pair], self.right[pair], self.distances[pair])
            return list(zip(*(column.tolist() for column in columns), strict=True))
        return (
            int(self.left[pair]),
            int(self.right[pair]),
            float(self.distances[pair]),
        )

    def __iter__(self) -> Iterator[tuple[int, int, float]]:
        blocks = (self[i : i + _BLOCK] for i in range(0, len(self), _BLOCK))
        return chain.from_iterable(blocks)

    def __repr__(self) -> str:
        return f"Pairs({len(self)} pairs)"

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        columns: list[tuple[str, NDArray[Any]]] = [
            ("left", self.left),
            ("right", self.right),
            ("distance", self.distances),
        ]
        return batch_stream(columns).__arrow_c_stream__(requested_schema)
