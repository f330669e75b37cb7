"""The measured operations: transform, one query, a batch of queries, a join."""

from collections.abc import Iterator
from typing import Any

import fast_lsh_ann
import numpy as np
from numpy.typing import NDArray
from rivals import NumpySearch, buckets, distances
from sklearn.neighbors import NearestNeighbors
from timing import Contest

Rows = NDArray[Any]

DIM, K, WIDTH, TABLES, SEED = 128, 10, 2.0, 5, 42
OURS, NUMPY, SKLEARN = "fast_lsh_ann", "NumPy", "scikit-learn"


def normal(n: int, seed: int) -> Rows:
    return np.random.default_rng(seed).standard_normal((n, DIM), dtype=np.float32)


def model() -> fast_lsh_ann.BucketedRandomProjectionLSHModel:
    lsh = fast_lsh_ann.BucketedRandomProjectionLSH(WIDTH, TABLES, SEED)
    return lsh.create_model(DIM)


def same_hits(a: Any, b: Any) -> bool:
    """The same rows in the same order at distances equal up to rounding."""
    return bool(
        np.array_equal(a[0], b[0]) and np.allclose(a[1], b[1], rtol=1e-6, atol=1e-6)
    )


def recall(found: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    shared = [len(set(a) & set(b)) for a, b in zip(found, truth, strict=True)]
    return sum(shared) / truth.size


def transform(n: int) -> Contest:
    rows, lsh = normal(n, 1), model()
    vectors = lsh.random_vectors
    return Contest(
        f"transform, {n:,} rows",
        {
            OURS: lambda: lsh.transform(rows),
            NUMPY: lambda: buckets(rows, vectors, WIDTH),
        },
        lambda a, b: bool(np.array_equal(a, b)),
    )


def neighbors(n: int, count: int) -> Iterator[Contest]:
    """Searching prepared rows, by LSH candidates and exactly."""
    rows, queries, lsh = normal(n, 1), normal(count, 2), model()
    index = lsh.index(rows)
    plain = NumpySearch(rows)
    hashed = NumpySearch(rows, lsh.transform(rows))
    brute = NearestNeighbors(n_neighbors=K, algorithm="brute").fit(rows)

    def ours(exact: bool) -> Any:
        found = index.nearest_neighbors(queries, K, exact=exact)
        return found.indices, found.distances

    def by_sklearn() -> Any:
        found, indices = brute.kneighbors(queries)
        return indices, found

    what = "one query" if count == 1 else f"{count} queries"
    share = recall(ours(False)[0], ours(True)[0])
    yield Contest(
        f"{what}, LSH, {n:,} rows",
        {
            OURS: lambda: ours(False),
            NUMPY: lambda: hashed.nearest(
                queries, K, buckets(queries, lsh.random_vectors, WIDTH)
            ),
        },
        same_hits,
        f"recall@{K} {share:.2f}",
    )
    yield Contest(
        f"{what}, exact, {n:,} rows",
        {
            OURS: lambda: ours(True),
            NUMPY: lambda: plain.nearest(queries, K),
            SKLEARN: by_sklearn,
        },
        same_hits,
    )


def pair_set(left: NDArray[np.int64], right: NDArray[np.int64]) -> set[tuple[int, int]]:
    return set(zip(left.tolist(), right.tolist(), strict=True))


def closest_share(left: Rows, right: Rows, share: float) -> float:
    """A threshold that about this share of all pairs is within.

    It lies in the widest gap between distances around, so that contenders that compare
    in float32 can find the same pairs.
    """
    sample = np.concatenate([distances(right, row) for row in left[:300]])
    about = float(np.quantile(sample, share))
    found = fast_lsh_ann.exact_similarity_join(left, right, about * 1.0005).distances
    near = np.sort(found[found > about * 0.9995])
    widest = int(np.argmax(np.diff(near)))
    return float(near[widest] + near[widest + 1]) / 2


def join(n: int) -> Iterator[Contest]:
    """Pairs within a threshold that one pair in ten thousand meets."""
    left, right, lsh = normal(n, 3), normal(n, 4), model()
    threshold = closest_share(left, right, 1e-4)
    index = lsh.index(left)
    plain = NumpySearch(left)
    hashed = NumpySearch(left, lsh.transform(left))
    right_hashes = lsh.transform(right)
    ball = NearestNeighbors(radius=threshold, algorithm="brute").fit(right)

    def ours(exact: bool) -> set[tuple[int, int]]:
        pairs = index.similarity_join(right, threshold=threshold, exact=exact)
        return pair_set(pairs.left, pairs.right)

    def by_sklearn() -> set[tuple[int, int]]:
        found = ball.radius_neighbors(left, return_distance=False)
        owners = np.repeat(np.arange(len(left)), [len(hits) for hits in found])
        return pair_set(owners, np.concatenate(found))

    def same(a: set[tuple[int, int]], b: set[tuple[int, int]]) -> bool:
        return a == b

    some, everything = len(ours(False)), len(ours(True))
    yield Contest(
        f"join, LSH, {n:,} x {n:,}",
        {
            OURS: lambda: ours(False),
            NUMPY: lambda: hashed.join(right, threshold, right_hashes),
        },
        same,
        f"{some:,} pairs, recall {some / everything:.2f}",
    )
    yield Contest(
        f"join, exact, {n:,} x {n:,}",
        {
            OURS: lambda: ours(True),
            NUMPY: lambda: plain.join(right, threshold),
            SKLEARN: by_sklearn,
        },
        same,
        f"{everything:,} pairs",
    )


def all_contests(rows: int, join_rows: int) -> Iterator[Contest]:
    yield transform(rows)
    yield from neighbors(rows, 1)
    yield from neighbors(rows, 100)
    yield from join(join_rows)
