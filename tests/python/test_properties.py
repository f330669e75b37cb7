"""Laws between answers on any data: order, transposition, prefix, scale, translation."""

from collections.abc import Iterator
from typing import Any

import fast_lsh_ann
import numpy as np
import pytest
from numpy.typing import NDArray

Rows = NDArray[Any]
TRIALS = range(8)


def sample(trial: int) -> tuple[Rows, Rows]:
    rng = np.random.default_rng([5, trial])
    dim = int(rng.integers(2, 40))
    rows = rng.standard_normal((260, dim)).astype(np.float32)
    return rows[:200], rows[200:]


def near(rows: Rows) -> float:
    """A threshold that some, but few, pairs of normal rows are within."""
    return float(np.sqrt(2 * rows.shape[1])) - 1


def model(
    rows: Rows, width: float = 1.0
) -> fast_lsh_ann.BucketedRandomProjectionLSHModel:
    return fast_lsh_ann.BucketedRandomProjectionLSH(width, 4, 42).fit(rows)


def within(base: Rows, queries: Rows) -> Iterator[tuple[list[int], list[float]]]:
    """Rows within a radius of each query, exact."""
    index = model(base, 1e9).index(base)
    for rows, distances in index.radius_neighbors(queries, near(base), exact=True):
        yield rows.tolist(), distances.tolist()


@pytest.mark.parametrize("trial", TRIALS)
def test_permuting_rows_permutes_answers(trial: int) -> None:
    base, queries = sample(trial)
    order = np.random.default_rng(trial).permutation(len(base))
    lsh = model(base)
    plain = lsh.index(base).nearest_neighbors(queries, 5)
    mixed = lsh.index(base[order]).nearest_neighbors(queries, 5)
    assert plain.counts.sum() > 0
    np.testing.assert_array_equal(plain.distances, mixed.distances)
    found = mixed.indices >= 0
    np.testing.assert_array_equal(plain.indices[found], order[mixed.indices[found]])


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("trial", TRIALS)
def test_permuting_rows_permutes_pairs_and_rows_within_a_radius(
    trial: int, exact: bool
) -> None:
    base, queries = sample(trial)
    order = np.random.default_rng(trial).permutation(len(base))
    lsh, limit = model(base), near(base)
    plain, mixed = lsh.index(base), lsh.index(base[order])
    pairs = list(plain.similarity_join(queries, threshold=limit, exact=exact))
    assert pairs
    moved = mixed.similarity_join(queries, threshold=limit, exact=exact)
    assert sorted((int(order[a]), b, distance) for a, b, distance in moved) == pairs

    lists = plain.radius_neighbors(queries, limit, exact=exact)
    moved_lists = mixed.radius_neighbors(queries, limit, exact=exact)
    np.testing.assert_array_equal(lists.indptr, moved_lists.indptr)
    np.testing.assert_array_equal(lists.indices, order[moved_lists.indices])
    np.testing.assert_array_equal(lists.distances, moved_lists.distances)


@pytest.mark.parametrize("trial", TRIALS)
def test_the_join_of_swapped_sides_is_transposed(trial: int) -> None:
    base, queries = sample(trial)
    lsh = model(base)
    forward = lsh.approx_similarity_join(base, queries, near(base))
    backward = lsh.approx_similarity_join(queries, base, near(base))
    assert forward
    assert forward == sorted((b, a, distance) for a, b, distance in backward)
    exact = list(fast_lsh_ann.exact_similarity_join(base, queries, near(base)))
    assert len(exact) > len(forward)
    backward = list(fast_lsh_ann.exact_similarity_join(queries, base, near(base)))
    assert exact == sorted((b, a, distance) for a, b, distance in backward)


@pytest.mark.parametrize("trial", TRIALS)
def test_a_join_is_the_neighbors_within_the_threshold(trial: int) -> None:
    base, queries = sample(trial)
    index = model(base).index(base)
    pairs = index.similarity_join(queries, threshold=near(base))
    neighbors = index.nearest_neighbors(queries, len(base))
    expected = {
        (row, query, distance)
        for query, hits in enumerate(neighbors)
        for row, distance in hits
        if distance <= near(base)
    }
    assert set(pairs) == expected
    assert len(pairs) == len(expected)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("trial", TRIALS)
def test_a_batch_is_its_queries_one_by_one(trial: int, exact: bool) -> None:
    base, queries = sample(trial)
    lsh, limit = model(base), near(base)
    index = lsh.index(base)
    batch = index.nearest_neighbors(queries, 5, exact=exact)
    lists = index.radius_neighbors(queries, limit, exact=exact)
    assert len(lists.indices) > 0
    for number, query in enumerate(queries):
        single = index.nearest_neighbors(query[None, :], 5, exact=exact)
        assert single.indices.tobytes() == batch.indices[number].tobytes()
        assert single.distances.tobytes() == batch.distances[number].tobytes()
        alone = index.radius_neighbors(query[None, :], limit, exact=exact)
        for found, expected in zip(alone[0], lists[number], strict=True):
            np.testing.assert_array_equal(found, expected)
    rows = [lsh.transform(row[None, :]) for row in base]
    np.testing.assert_array_equal(np.concatenate(rows), lsh.transform(base))
    old = [lsh.approx_nearest_neighbors(base, query, 5) for query in queries]
    assert lsh.batch_approx_nearest_neighbors(base, queries, 5) == old


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("trial", TRIALS)
def test_a_join_in_chunks_is_the_join(trial: int, exact: bool) -> None:
    base, queries = sample(trial)
    index = model(base).index(base)
    asked: Any = {"threshold": near(base), "exact": exact}
    for other in (queries, None):
        pairs = list(index.similarity_join(other, **asked))
        assert pairs
        for size in (1, 7, len(pairs), len(pairs) + 1):
            chunks = index.similarity_join_chunks(other, chunk_size=size, **asked)
            assert [pair for chunk in chunks for pair in chunk] == pairs
        assert index.similarity_join_count(other, **asked) == len(pairs)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("trial", TRIALS)
def test_k_neighbors_begin_the_k_plus_one_neighbors(trial: int, exact: bool) -> None:
    base, queries = sample(trial)
    index = model(base).index(base)
    for k in (1, 2, 9):
        fewer, more = (
            index.nearest_neighbors(queries, k, exact=exact),
            index.nearest_neighbors(queries, k + 1, exact=exact),
        )
        np.testing.assert_array_equal(fewer.indices, more.indices[:, :k])
        np.testing.assert_array_equal(fewer.distances, more.distances[:, :k])


@pytest.mark.parametrize("trial", TRIALS)
def test_upper_pairs_are_the_upper_half_of_all_pairs(trial: int) -> None:
    base, _ = sample(trial)
    lsh = model(base)
    everything = lsh.approx_similarity_join(base, base, near(base))
    upper = lsh.approx_similarity_join(base, base, near(base), self_pairs="upper")
    assert upper == [pair for pair in everything if pair[0] < pair[1]]
    assert 0 < len(upper) < len(everything)


@pytest.mark.parametrize("trial", TRIALS)
def test_scaling_by_a_power_of_two_scales_distances_alone(trial: int) -> None:
    base, queries = sample(trial)
    small = model(base, 0.75).index(base)
    large = model(base, 0.75 * 1024).index(base * 1024)
    plain, scaled = (
        small.nearest_neighbors(queries, 6),
        large.nearest_neighbors(queries * 1024, 6),
    )
    np.testing.assert_array_equal(plain.indices, scaled.indices)
    np.testing.assert_array_equal(plain.distances * 1024, scaled.distances)
    pairs = small.similarity_join(queries, threshold=near(base))
    scaled_pairs = large.similarity_join(queries * 1024, threshold=near(base) * 1024)
    assert len(pairs) > 0
    np.testing.assert_array_equal(pairs.left, scaled_pairs.left)
    np.testing.assert_array_equal(pairs.distances * 1024, scaled_pairs.distances)
    lists = small.radius_neighbors(queries, near(base))
    scaled_lists = large.radius_neighbors(queries * 1024, near(base) * 1024)
    assert len(lists.indices) > 0
    np.testing.assert_array_equal(lists.indices, scaled_lists.indices)
    np.testing.assert_array_equal(lists.distances * 1024, scaled_lists.distances)
    hashes = small.model.transform(base)
    np.testing.assert_array_equal(hashes, large.model.transform(base * 1024))


@pytest.mark.parametrize("trial", TRIALS)
def test_moving_exact_search_by_an_exact_offset_changes_nothing(trial: int) -> None:
    """Rows on a grid of 2^-8, so that adding 10,000 is exact."""
    base, queries = (np.round(side * 256) / 256 for side in sample(trial))
    plain = fast_lsh_ann.exact_nearest_neighbors(base, queries, 6)
    moved = fast_lsh_ann.exact_nearest_neighbors(base + 1e4, queries + 1e4, 6)
    np.testing.assert_array_equal(plain.indices, moved.indices)
    np.testing.assert_array_equal(plain.distances, moved.distances)
    pairs = list(fast_lsh_ann.exact_similarity_join(base, queries, near(base)))
    moved_pairs = fast_lsh_ann.exact_similarity_join(
        base + 1e4, queries + 1e4, near(base)
    )
    assert pairs == list(moved_pairs) != []
    assert list(within(base, queries)) == list(within(base + 1e4, queries + 1e4)) != []


@pytest.mark.parametrize("trial", TRIALS)
def test_fewer_tables_are_a_prefix_of_more(trial: int) -> None:
    base, _ = sample(trial)
    few = fast_lsh_ann.BucketedRandomProjectionLSH(1.0, 3, trial).fit(base)
    many = fast_lsh_ann.BucketedRandomProjectionLSH(1.0, 11, trial).fit(base)
    np.testing.assert_array_equal(few.random_vectors, many.random_vectors[:3])
    np.testing.assert_array_equal(few.transform(base), many.transform(base)[:, :3])


def test_only_the_low_48_bits_of_a_seed_matter() -> None:
    def vectors(seed: int) -> Rows:
        return fast_lsh_ann.BucketedRandomProjectionLSHModel(
            1.0, 2, seed, 5
        ).random_vectors

    assert vectors(-1).tobytes() == vectors(2**63 - 1).tobytes()
    assert vectors(-1).tobytes() != vectors(2**47 - 1).tobytes()
