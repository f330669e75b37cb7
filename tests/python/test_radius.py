"""Neighbors within a radius: what the result is, and how it meets the other searches."""

from typing import Any

import fast_lsh_ann
import numpy as np
import oracle
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
import workload
from checks import assert_same_lists
from fast_lsh_ann import BucketedRandomProjectionLSH, LSHIndex, RadiusNeighbors

ROWS = np.random.default_rng(11).standard_normal((400, 12)).astype(np.float32)
QUERIES = np.vstack([ROWS[:9], ROWS[:3] + 100])
RADIUS = 3.5


@pytest.fixture
def index() -> LSHIndex:
    return BucketedRandomProjectionLSH(2.0, 5, 42).fit(ROWS).index(ROWS)


@pytest.fixture
def found(index: LSHIndex) -> RadiusNeighbors:
    return index.radius_neighbors(QUERIES, RADIUS, exact=True)


# ---- the answer ------------------------------------------------------------------------


def test_it_is_the_join_by_distance(index: LSHIndex) -> None:
    for exact in (False, True):
        found = index.radius_neighbors(QUERIES, RADIUS, exact=exact)
        pairs = index.similarity_join(QUERIES, threshold=RADIUS, exact=exact)
        queries = np.repeat(np.arange(len(found)), np.diff(found.indptr))
        columns = (found.indices.tolist(), queries.tolist(), found.distances.tolist())
        assert sorted(zip(*columns, strict=True)) == list(pairs)
        assert len(pairs) > 20


def test_infinity_gives_every_candidate_as_nearest_neighbors_does(
    index: LSHIndex,
) -> None:
    found = index.radius_neighbors(QUERIES, np.inf, min_collisions=2)
    nearest = index.nearest_neighbors(QUERIES, len(ROWS), min_collisions=2)
    assert np.diff(found.indptr).tolist() == nearest.counts.tolist()
    for (rows, distances), hits in zip(found, nearest, strict=True):
        assert list(zip(rows.tolist(), distances.tolist(), strict=True)) == hits


@pytest.mark.parametrize("squared", [1, 2, 5])
def test_ties_at_the_radius_are_in_and_ordered_by_row(squared: int) -> None:
    """On a grid many rows lie exactly at sqrt(squared): in with <=, out with <."""
    grid = np.random.default_rng(4).integers(-2, 3, (300, 3)).astype(np.float64)
    model = BucketedRandomProjectionLSH(4.0, 2).fit(grid)
    everything = np.ones((20, 300), dtype=bool)
    at = float(np.sqrt(squared))
    sizes = []
    for radius in (np.nextafter(at, 0), at, np.nextafter(at, 9)):
        for strict in (False, True):
            lists = model.index(grid).radius_neighbors(
                grid[:20], radius, exact=True, strict=strict
            )
            expected = oracle.radius_neighbors(
                grid, grid[:20], radius, everything, strict=strict
            )
            assert_same_lists(lists, expected, f"{radius} {strict}")
            sizes.append(len(lists.indices))
    below, below_strict, equal, equal_strict, above, above_strict = sizes
    assert below == below_strict == equal_strict < equal == above == above_strict


def test_a_radius_for_each_query_is_its_own(index: LSHIndex) -> None:
    radii = np.linspace(0, 5, len(QUERIES))
    for given in (radii, radii.tolist(), radii.astype(">f8"), np.repeat(radii, 2)[::2]):
        found = index.radius_neighbors(QUERIES, given)
        for query, radius in enumerate(radii):
            alone = index.radius_neighbors(QUERIES[query : query + 1], radius)
            np.testing.assert_array_equal(found[query][0], alone.indices)
            np.testing.assert_array_equal(found[query][1], alone.distances)


def test_zero_finds_equal_rows_and_strict_zero_nothing(index: LSHIndex) -> None:
    found = index.radius_neighbors(QUERIES[:9], 0)
    assert found.indices.tolist() == list(range(9))
    assert len(index.radius_neighbors(QUERIES[:9], 0, strict=True).indices) == 0


def test_infinite_distances_are_within_infinity_alone() -> None:
    rows = np.array([[1e200], [-1e200], [1e200], [0.0]])
    index = BucketedRandomProjectionLSH(1e190).fit(rows).index(rows)
    found = index.radius_neighbors(rows[:1], np.inf, exact=True)
    assert found.indices.tolist() == [0, 2, 1, 3]
    found = index.radius_neighbors(rows[:1], np.inf, exact=True, strict=True)
    assert found.indices.tolist() == [0, 2]


@pytest.mark.parametrize("queries", [1, 40, 700, 3000])
def test_any_number_of_queries_is_as_one_by_one(queries: int) -> None:
    """However the work is cut into blocks and ranges."""
    rng = np.random.default_rng(queries)
    rows = rng.standard_normal((5000, 6)).astype(np.float32)
    asked = rng.standard_normal((queries, 6)).astype(np.float32)
    index = BucketedRandomProjectionLSH(1.0, 3).fit(rows).index(rows)
    found = index.radius_neighbors(asked, 1.0)
    assert len(found) == queries
    for query in range(0, queries, 1 + queries // 50):
        alone = index.radius_neighbors(asked[query : query + 1], 1.0)
        np.testing.assert_array_equal(found[query][0], alone.indices)
        np.testing.assert_array_equal(found[query][1], alone.distances)


def test_short_forms_lose_no_neighbor() -> None:
    """Rows near a surface of few dimensions are filtered by a few directions first."""
    rows = workload.curved_rows()
    index, queries = workload.index_of(rows), rows[::700]
    assert index.memory_usage()["short_forms"] > 0
    radii = index.nearest_neighbors(queries, 30, exact=True).distances[:, -1]
    everything = np.ones((len(queries), len(rows)), dtype=bool)
    for strict in (False, True):
        found = index.radius_neighbors(queries, radii, exact=True, strict=strict)
        expected = oracle.radius_neighbors(
            rows, queries, radii, everything, strict=strict
        )
        assert_same_lists(found, expected)
        assert len(found.indices) == len(queries) * (29 if strict else 30)
    chunks = index.similarity_join_chunks(queries, threshold=radii[0], exact=True)
    pairs = oracle.similarity_join(rows, queries, float(radii[0]), everything.T)
    assert [pair for chunk in chunks for pair in chunk] == list(
        zip(*(column.tolist() for column in pairs), strict=True)
    )


# ---- the result ------------------------------------------------------------------------


def test_it_is_a_sequence_of_pairs_of_arrays(found: RadiusNeighbors) -> None:
    assert len(found) == 12
    lists = [(rows.tolist(), distances.tolist()) for rows, distances in found]
    assert [
        (a.tolist(), b.tolist()) for a, b in map(found.__getitem__, range(12))
    ] == lists
    assert found[-1][0].size == 0
    assert found[-12][0].tolist() == lists[0][0]
    for place in (12, -13):
        with pytest.raises(IndexError):
            found[place]
    assert found.indptr.dtype == found.indices.dtype == np.int64
    assert found.distances.dtype == np.float64
    assert found.ids is None
    assert repr(found) == f"RadiusNeighbors(12 queries, {len(found.indices)} found)"


def test_its_arrays_outlive_it(index: LSHIndex) -> None:
    indptr, indices = (
        index.radius_neighbors(QUERIES, RADIUS).indptr,
        index.radius_neighbors(QUERIES, RADIUS).indices,
    )
    again = index.radius_neighbors(QUERIES, RADIUS)
    np.testing.assert_array_equal(indptr, again.indptr)
    np.testing.assert_array_equal(indices, again.indices)


@pytest.mark.parametrize("ids", [np.arange(400) * 10, [f"row {i}" for i in range(400)]])
def test_ids_stand_beside_row_numbers(ids: Any) -> None:
    index = BucketedRandomProjectionLSH(2.0, 5).fit(ROWS).index(ROWS, ids=ids)
    found = index.radius_neighbors(QUERIES, RADIUS)
    assert found.ids is not None
    np.testing.assert_array_equal(found.ids, np.asarray(ids)[found.indices])
    assert "with ids" in repr(found)
    nothing = index.radius_neighbors(QUERIES[:0], RADIUS)
    assert nothing.ids is not None
    assert nothing.ids.shape == (0,)


def test_it_converts_to_polars_pandas_and_pyarrow(found: RadiusNeighbors) -> None:
    expected = [
        (query, rank, row, distance)
        for query, (rows, distances) in enumerate(found)
        for rank, (row, distance) in enumerate(
            zip(rows.tolist(), distances.tolist(), strict=True)
        )
    ]
    assert expected
    frame = pl.DataFrame(found)
    assert frame.columns == ["query", "rank", "neighbor", "distance"]
    assert frame.rows() == expected
    table = pd.DataFrame.from_arrow(found)
    assert list(table.itertuples(index=False, name=None)) == expected
    assert pa.table(found).num_rows == len(expected)


def test_it_is_a_sparse_matrix(found: RadiusNeighbors) -> None:
    parts = (found.distances, found.indices, found.indptr)
    matrix = scipy.sparse.csr_array(parts, shape=(12, 400))
    rows, distances = found[2]
    assert dict(zip(rows, distances, strict=True)) == {
        row: matrix[2, row] for row in rows.tolist()
    }


# ---- the call --------------------------------------------------------------------------


def test_progress_ends_at_its_total(index: LSHIndex) -> None:
    seen: list[tuple[int, int]] = []
    index.radius_neighbors(
        QUERIES, RADIUS, progress=lambda done, total: seen.append((done, total))
    )
    total = len(QUERIES) * len(ROWS)
    assert seen[-1] == (total, total)
    assert seen == sorted(seen)


def test_what_progress_raises_ends_the_call(index: LSHIndex) -> None:
    def refuse(done: int, total: int) -> None:
        raise LookupError(f"{done} of {total}")

    with pytest.raises(LookupError, match="of"):
        index.radius_neighbors(QUERIES, RADIUS, progress=refuse)
    assert len(index.radius_neighbors(QUERIES, RADIUS)) == 12


def test_exact_search_asks_for_no_collisions(index: LSHIndex) -> None:
    with pytest.raises(fast_lsh_ann.errors.ParameterError, match="min_collisions=2"):
        index.radius_neighbors(QUERIES, 1.0, exact=True, min_collisions=2)
