"""Running the core's searches and giving their outputs a shape."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fast_lsh_ann import _core
from fast_lsh_ann._arrow import memory_array
from fast_lsh_ann._progress import Progress, reporting
from fast_lsh_ann.results import Neighbors, Pairs, RadiusNeighbors


def _outputs(
    queries: NDArray[Any], rows: int, k: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    shape = (len(queries), min(k, rows))
    return (
        np.empty(shape, dtype=np.int64),
        np.empty(shape, dtype=np.float64),
        np.zeros(len(queries), dtype=np.int64),
    )


def search_rows(
    model: "_core.Model | None",
    rows: NDArray[Any],
    queries: NDArray[Any],
    k: int,
    min_collisions: int,
    progress: Progress,
    names: tuple[str, str],
) -> Neighbors:
    """Search rows that are not kept: one pass, nothing to earn back."""
    outputs = _outputs(queries, len(rows), k)
    width = max(1, min(k, len(rows)))
    with reporting(progress, "nearest neighbors") as report:
        _core.rows_neighbors(
            model, rows, queries, width, min_collisions, *outputs, report, names
        )
    return Neighbors(*outputs)


def search_index(
    index: "_core.Index",
    rows: int,
    queries: NDArray[Any],
    k: int,
    min_collisions: int,
    plan: int,
    progress: Progress,
) -> Neighbors:
    """Search an index."""
    outputs = _outputs(queries, rows, k)
    width = max(1, min(k, rows))
    with reporting(progress, "nearest neighbors") as report:
        _core.index_neighbors(
            index, queries, width, min_collisions, plan, *outputs, report, "queries"
        )
    return Neighbors(*outputs)


@dataclass(frozen=True)
class JoinTerms:
    """What makes a pair, whatever the sides: checked arguments of a join."""

    threshold: float
    min_collisions: int  # 0: exact
    strict: bool
    upper: bool
    plan: int = 0

    @property
    def core(self) -> tuple[float, int, int, bool, bool]:
        """The same in the order the extension takes."""
        return self.threshold, self.min_collisions, self.plan, self.strict, self.upper


@dataclass(frozen=True)
class JoinSides:
    """An index, and rows that need none; None: the index itself is both sides."""

    index: "_core.Index"
    rows: NDArray[Any] | None
    rows_are_left: bool
    name: str  # of the rows, for errors
    first_row: int = 0  # number of the rows' first, in pairs and errors


def join_index(sides: JoinSides, terms: JoinTerms, progress: Progress) -> Pairs:
    """Collect the pairs of a join."""
    with reporting(progress, "similarity join") as report:
        found = _core.index_pairs(
            sides.index,
            sides.rows,
            sides.first_row,
            sides.rows_are_left,
            *terms.core,
            report,
            sides.name,
        )
    return _pairs_of(*found)


def _pairs_of(n: int, owner: Any, *columns: int) -> Pairs:
    """Give the core's columns a shape."""
    left, right, distances = (
        memory_array((owner, column), (n,), dtype)
        for column, dtype in zip(columns, ("<i8", "<i8", "<f8"), strict=True)
    )
    return Pairs(left, right, distances)


def join_by_sketch(
    model: "_core.Model",
    left: NDArray[Any],
    right: NDArray[Any] | None,
    terms: JoinTerms,
    width: int,
    progress: Progress,
    names: tuple[str, str, str],
) -> Pairs:
    """Join rows whose pairs a count-min sketch of so many counters admits."""
    with reporting(progress, "similarity join") as report:
        found = _core.sketch_join(
            model,
            left,
            right,
            terms.threshold,
            terms.min_collisions,
            width,
            terms.strict,
            terms.upper,
            report,
            names,
        )
    return _pairs_of(*found)


def join_rows(
    model: "_core.Model | None",
    left: NDArray[Any],
    right: NDArray[Any] | None,
    terms: JoinTerms,
    progress: Progress,
    names: tuple[str, str],
) -> Pairs:
    """Join rows that are not kept, by an index of the larger side; None: the same."""
    if right is None:
        index = _core.index_new(model, left, 0, names[0])
        sides = JoinSides(index, None, False, names[0])
    elif len(left) > len(right):
        index = _core.index_new(model, left, 0, names[0])
        sides = JoinSides(index, right, False, names[1])
    else:
        index = _core.index_new(model, right, 0, names[1])
        sides = JoinSides(index, left, True, names[0])
    return join_index(sides, terms, progress)


def count_pairs(sides: JoinSides, terms: JoinTerms, progress: Progress) -> int:
    """Count the pairs of a join."""
    with reporting(progress, "similarity join") as report:
        return _core.index_pair_count(
            sides.index, sides.rows, sides.first_row, *terms.core, report, sides.name
        )


def join_chunks(
    left: "_core.Index",
    right: "_core.Index | None",
    terms: JoinTerms,
    chunk_size: int,
    progress: Progress,
) -> Iterator[Pairs]:
    """Join two indexes, or one with itself, so many pairs at a time."""
    join = _core.join_open(left, right, *terms.core)
    with reporting(progress, "similarity join") as report:
        n = chunk_size
        while n == chunk_size:
            left, right = np.empty((2, chunk_size), dtype=np.int64)
            distances = np.empty(chunk_size, dtype=np.float64)
            n = _core.join_next(join, left, right, distances, report)
            if n == chunk_size:
                yield Pairs(left, right, distances)
            elif n > 0:  # as much memory as it needs
                yield Pairs(left[:n].copy(), right[:n].copy(), distances[:n].copy())


def search_radius(
    index: "_core.Index",
    queries: NDArray[Any],
    radius: NDArray[np.float64],
    min_collisions: int,
    plan: int,
    strict: bool,
    progress: Progress,
) -> RadiusNeighbors:
    """Find all neighbors within a radius, one for all queries or one each."""
    with reporting(progress, "radius neighbors") as report:
        n, owner, indptr, indices, distances = _core.index_radius(
            index, queries, radius, min_collisions, plan, strict, report, "queries"
        )
    return RadiusNeighbors(
        memory_array((owner, indptr), (len(queries) + 1,), "<i8"),
        memory_array((owner, indices), (n,), "<i8"),
        memory_array((owner, distances), (n,), "<f8"),
    )
