"""Running the core's searches and giving their outputs a shape."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fast_lsh_ann import _core
from fast_lsh_ann._arrow import memory_array
from fast_lsh_ann._progress import Progress, reporting
from fast_lsh_ann.results import Neighbors, Pairs


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


def join_indexes(
    left: "_core.Index",
    right: "_core.Index | None",
    threshold: float,
    min_collisions: int,
    strict: bool,
    upper: bool,
    progress: Progress,
    left_name: str,
) -> Pairs:
    """Join two indexes, or one with itself."""
    with reporting(progress, "similarity join") as report:
        n, *columns = _core.index_join(
            left, right, threshold, min_collisions, strict, upper, report, left_name
        )
    return Pairs(
        memory_array(columns[0], (n,), "<i8"),
        memory_array(columns[1], (n,), "<i8"),
        memory_array(columns[2], (n,), "<f8"),
    )
