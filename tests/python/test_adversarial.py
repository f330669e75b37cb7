"""Data made to break a float32 or rounded filter gives the oracle's bits all the same."""

from collections.abc import Callable
from typing import Any

import fast_lsh_ann
import numpy as np
import oracle
import pytest
from checks import assert_same_neighbors, assert_same_pairs
from numpy.typing import NDArray

Rows = NDArray[Any]
Maker = Callable[[np.random.Generator, int, int], Rows]


def grid(rng: np.random.Generator, n: int, dim: int) -> Rows:
    return rng.integers(-2, 3, (n, dim)).astype(np.float32)


def moved(offset: float, dtype: type[Any]) -> Maker:
    def make(rng: np.random.Generator, n: int, dim: int) -> Rows:
        return (rng.standard_normal((n, dim)) + offset).astype(dtype)

    return make


def scaled(size: float, dtype: type[Any]) -> Maker:
    def make(rng: np.random.Generator, n: int, dim: int) -> Rows:
        return (rng.standard_normal((n, dim)) * size).astype(dtype)

    return make


def giant_column(rng: np.random.Generator, n: int, dim: int) -> Rows:
    rows = rng.standard_normal((n, dim))
    rows[:, 0] += 1e18
    return rows


def giant_row(rng: np.random.Generator, n: int, dim: int) -> Rows:
    rows = rng.standard_normal((n, dim)).astype(np.float32)
    rows[n // 2] = 3e38
    return rows


def constant_columns(rng: np.random.Generator, n: int, dim: int) -> Rows:
    rows = rng.standard_normal((n, dim)).astype(np.float32)
    rows[:, ::2] = 12345.678
    return rows


def all_equal(rng: np.random.Generator, n: int, dim: int) -> Rows:
    return np.full((n, dim), rng.random())


def beyond_float32(rng: np.random.Generator, n: int, dim: int) -> Rows:
    """Equal in float32, all different in float64."""
    return 1.0 + rng.standard_normal((n, dim)) * 1e-12


def near_ties(rng: np.random.Generator, n: int, dim: int) -> Rows:
    """Rows on one sphere around the origin: distances from it differ in the last bits."""
    rows = rng.standard_normal((n, dim))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows[0] = 0
    return rows


DATA: dict[str, Maker] = {
    "grid": grid,
    "offset 1e4 float32": moved(1e4, np.float32),
    "offset 1e8 float64": moved(1e8, np.float64),
    "offset 1e30 float32": moved(1e30, np.float32),
    "offset 1e30 float64": moved(1e30, np.float64),
    "offset 1e200": moved(1e200, np.float64),
    "scale 1e30 float32": scaled(1e30, np.float32),
    "scale 1e200": scaled(1e200, np.float64),
    "scale 1e308": scaled(4e307, np.float64),
    "scale 1e-40 float32": scaled(1e-40, np.float32),
    "scale 1e-160": scaled(1e-160, np.float64),
    "scale 1e-320": scaled(1e-320, np.float64),
    "giant column": giant_column,
    "giant row": giant_row,
    "constant columns": constant_columns,
    "all equal": all_equal,
    "beyond float32": beyond_float32,
    "near ties": near_ties,
}


def check_exact(base: Rows, queries: Rows, what: str) -> None:
    everything = np.ones((len(queries), len(base)), dtype=bool)
    for k in (1, 7, len(base)):
        expected = oracle.nearest_neighbors(base, queries, k, everything)
        found = fast_lsh_ann.exact_nearest_neighbors(base, queries, k)
        assert_same_neighbors(found, expected, f"{what}, k={k}")

    distances = np.sort(oracle.distances(base, queries), axis=None)
    for threshold in (0.0, *distances[[0, distances.size // 20, distances.size // 2]]):
        for strict in (False, True):
            sides = (base, queries, float(threshold))
            pairs = oracle.similarity_join(*sides, everything.T, strict=strict)
            found_pairs = fast_lsh_ann.exact_similarity_join(*sides, strict=strict)
            assert_same_pairs(found_pairs, pairs, f"{what}, threshold {threshold}")


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("dim", [2, 19, 64])
def test_exact_answers_on_hostile_data(name: str, dim: int) -> None:
    rng = np.random.default_rng(dim)
    rows = DATA[name](rng, 150, dim)
    check_exact(rows[:130], rows[125:], name)


def exponent(rows: Rows) -> float:
    """A power of two as large as the rows' widest extent, and not too small to invert."""
    extent = np.max(np.abs(rows.astype(np.float64)))
    return float(2.0 ** np.clip(np.ceil(np.log2(extent)), -960, 1000))


@pytest.mark.parametrize("name", DATA)
def test_candidates_on_hostile_data(name: str) -> None:
    rows = DATA[name](np.random.default_rng(1), 150, 24)
    base, queries = rows[:130], rows[125:]
    bucket_length = exponent(rows) / 4
    model = fast_lsh_ann.BucketedRandomProjectionLSHModel(bucket_length, 3, 7, 24)
    vectors = oracle.unit_vectors(3, 24, 7)
    hashes = [oracle.buckets(side, vectors, bucket_length) for side in (base, queries)]
    assert model.transform(base).tolist() == hashes[0].tolist()
    for least in (1, 2, 3):
        candidates = oracle.collisions(hashes[1], hashes[0]) >= least
        expected = oracle.nearest_neighbors(base, queries, 5, candidates)
        found = model.index(base).nearest_neighbors(queries, 5, min_collisions=least)
        assert_same_neighbors(found, expected, name)
        pairs = oracle.similarity_join(base, queries, np.inf, candidates.T)
        found_pairs = model.index(base).similarity_join(
            queries, threshold=np.inf, min_collisions=least
        )
        assert_same_pairs(found_pairs, pairs, name)


@pytest.mark.parametrize("dim", [24, 130])
def test_candidates_of_raw_rows_where_codes_fail(dim: int) -> None:
    """Many queries on rows that are not kept: a first piece is coded, and since its codes
    let nearly everything pass, the rest is not."""
    rng = np.random.default_rng(dim)
    rows = rng.standard_normal((15000, dim)).astype(np.float32)
    rows[::3] *= 1e-3
    queries = rng.standard_normal((150, dim)).astype(np.float32) * 1e-3
    model = fast_lsh_ann.BucketedRandomProjectionLSHModel(0.1, 3, 7, dim)
    vectors = oracle.unit_vectors(3, dim, 7)
    hashes = [oracle.buckets(side, vectors, 0.1) for side in (rows, queries)]
    for least in (1, 2):
        candidates = oracle.collisions(hashes[1], hashes[0]) >= least
        expected = oracle.nearest_neighbors(rows, queries, 5, candidates)
        found = model.batch_approx_nearest_neighbors(
            rows, queries, 5, min_collisions=least
        )
        wanted = [
            list(zip(indices[:n], distances[:n], strict=True))
            for indices, distances, n in zip(
                expected.indices.tolist(),
                expected.distances.tolist(),
                expected.counts.tolist(),
                strict=True,
            )
        ]
        assert found == wanted
        assert sum(map(len, found)) > 500


DIMENSIONS = [*range(1, 36), 47, 63, 64, 65, 96, 127, 128, 129, 255, 257, 511, 1000, 2000]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("dim", DIMENSIONS)
def test_every_dimension(dim: int, dtype: type[Any]) -> None:
    """Lane tails: sizes around every vector width, and rows much longer than one.

    The bucket length is so small that a bucket's number shows every bit of the sum.
    """
    rng = np.random.default_rng(dim)
    rows = (rng.standard_normal((50, dim)) + 3).astype(dtype)
    base, queries = rows[:41], rows[38:]
    everything = np.ones((len(queries), len(base)), dtype=bool)
    expected = oracle.nearest_neighbors(base, queries, 4, everything)
    found = fast_lsh_ann.exact_nearest_neighbors(base, queries, 4)
    assert_same_neighbors(found, expected)

    model = fast_lsh_ann.BucketedRandomProjectionLSHModel(3e-17, 3, 42, dim)
    hashes = oracle.buckets(rows, oracle.unit_vectors(3, dim, 42), 3e-17)
    assert model.transform(rows).tolist() == hashes.tolist()


@pytest.mark.parametrize("dtypes", ["fd", "df"])
def test_base_and_queries_of_different_types(dtypes: str) -> None:
    rows = np.random.default_rng(3).standard_normal((90, 33))
    check_exact(rows[:60].astype(dtypes[0]), rows[55:].astype(dtypes[1]), dtypes)


@pytest.mark.parametrize("squared", [1, 2, 5])
def test_ties_at_the_threshold(squared: int) -> None:
    """On integers many pairs lie exactly at sqrt(squared): in with <=, out with <."""
    rows = grid(np.random.default_rng(4), 120, 3)
    everything = np.ones((120, 120), dtype=bool)
    at = float(np.sqrt(squared))
    sizes = []
    for threshold in (np.nextafter(at, 0), at, np.nextafter(at, 9)):
        for strict in (False, True):
            sides = (rows, rows.copy(), float(threshold))
            expected = oracle.similarity_join(*sides, everything, strict=strict)
            found = fast_lsh_ann.exact_similarity_join(*sides, strict=strict)
            assert_same_pairs(found, expected, f"{threshold} {strict}")
            sizes.append(len(found))
    below, below_strict, equal, equal_strict, above, above_strict = sizes
    assert below == below_strict == equal_strict < equal == above == above_strict


def test_infinite_distances_are_ordinary_distances() -> None:
    """Finite rows whose distance overflows: found, ranked by row, padded apart."""
    rows = np.array([[1e200], [-1e200], [1e200], [0.0]])
    found = fast_lsh_ann.exact_nearest_neighbors(rows, rows[:1], 9)
    assert found.indices.tolist() == [[0, 2, 1, 3]]
    assert found.distances.tolist() == [[0.0, 0.0, np.inf, np.inf]]
    assert found.counts.tolist() == [4]
    pairs = fast_lsh_ann.exact_similarity_join(rows, rows[:1].copy(), np.inf)
    assert pairs.left.tolist() == [0, 1, 2, 3]
    pairs = fast_lsh_ann.exact_similarity_join(rows, rows[:1].copy(), np.inf, strict=True)
    assert pairs.left.tolist() == [0, 2]
