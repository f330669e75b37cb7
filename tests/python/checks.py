"""Comparing the library's answers with the oracle's, bit by bit."""

from collections.abc import Sequence
from typing import Any

import fast_lsh_ann
import numpy as np
import oracle
from numpy.typing import NDArray


def assert_same_array(found: NDArray[Any], expected: NDArray[Any], what: str) -> None:
    """Equal dtype, shape and bits."""
    assert found.dtype == expected.dtype, what
    assert found.shape == expected.shape, what
    if found.tobytes() != expected.tobytes():
        places = np.argwhere(found.view(np.int64) != expected.view(np.int64))
        first = tuple(places[0])
        raise AssertionError(
            f"{what}: {len(places)} of {found.size} differ, first at {first}: "
            f"{found[first]!r}, expected {expected[first]!r}"
        )


def assert_same_neighbors(
    found: fast_lsh_ann.Neighbors, expected: oracle.Neighbors, what: str = "neighbors"
) -> None:
    assert_same_array(found.counts, expected.counts, f"{what}.counts")
    assert_same_array(found.indices, expected.indices, f"{what}.indices")
    assert_same_array(found.distances, expected.distances, f"{what}.distances")


def assert_same_lists(
    found: fast_lsh_ann.RadiusNeighbors, expected: oracle.Lists, what: str = "lists"
) -> None:
    assert_same_array(found.indptr, expected.indptr, f"{what}.indptr")
    assert_same_array(found.indices, expected.indices, f"{what}.indices")
    assert_same_array(found.distances, expected.distances, f"{what}.distances")


def assert_same_pairs(
    found: fast_lsh_ann.Pairs, expected: oracle.Pairs, what: str = "pairs"
) -> None:
    assert_same_array(found.left, expected.left, f"{what}.left")
    assert_same_array(found.right, expected.right, f"{what}.right")
    assert_same_array(found.distances, expected.distances, f"{what}.distances")


def assert_same_triples(
    found: Sequence[tuple[int, int, float]], expected: oracle.Pairs, what: str = "triples"
) -> None:
    columns = (column.tolist() for column in expected)
    assert found == list(zip(*columns, strict=True)), what
