"""Data that hurts: everything in one bucket, all rows equal, more pairs than memory."""

import fast_lsh_ann
import numpy as np
import pytest
from conftest import Run

PEAK = """
import resource
import numpy as np
import fast_lsh_ann

def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
"""


def test_memory_of_a_join_does_not_grow_with_candidates(run_python: Run) -> None:
    """400 million candidate pairs, none near enough: one bit for each would be 48 MB."""
    program = """
rows = np.random.default_rng(1).standard_normal((20_000, 16)).astype(np.float32)
model = fast_lsh_ann.BucketedRandomProjectionLSHModel(1e6, 20, 42, 16)
index = model.index(rows)
index.similarity_join(rows[:100].copy(), threshold=0.0)
before = peak_mb()
pairs = index.similarity_join(rows + np.float32(0.001), threshold=0.0)
assert len(pairs) == 0
print(peak_mb() - before)
"""
    assert float(run_python(PEAK + program).stdout) < 30


@pytest.mark.measured
def test_more_pairs_than_memory_raise_and_leave_the_objects_usable(
    run_python: Run,
) -> None:
    """30,000 equal rows make 900 million pairs; the process is allowed 1.5 GB."""
    program = """
rows = np.ones((30_000, 4), dtype=np.float32)
index = fast_lsh_ann.BucketedRandomProjectionLSHModel(1.0, 2, 42, 4).index(rows)
resource.setrlimit(resource.RLIMIT_AS, (1_500_000_000, 1_500_000_000))
for _ in range(2):
    try:
        index.similarity_join(threshold=0.0)
    except fast_lsh_ann.errors.OutOfMemoryError as error:
        print(error)
assert len(index.similarity_join(rows[:2].copy(), threshold=0.0)) == 60_000
"""
    lines = run_python(PEAK + program).stdout.splitlines()
    assert len(lines) == 2
    assert all("memory" in line for line in lines)


def test_chunks_of_more_pairs_than_memory_stay_small(run_python: Run) -> None:
    """30,000 equal rows make 900 million pairs of 24 bytes; 40 million are looked at."""
    program = """
rows = np.ones((30_000, 4), dtype=np.float32)
index = fast_lsh_ann.BucketedRandomProjectionLSHModel(1.0, 2, 42, 4).index(rows)
fast_lsh_ann.set_threads(2)
before, place = peak_mb(), 0
for chunk in index.similarity_join_chunks(threshold=0.0):
    assert len(chunk) == 1_000_000
    at = np.arange(place, place + 1_000_000)
    np.testing.assert_array_equal(chunk.left, at // 30_000)
    np.testing.assert_array_equal(chunk.right, at % 30_000)
    place += 1_000_000
    if place == 40_000_000:
        break
print(peak_mb() - before)
"""
    assert float(run_python(PEAK + program).stdout) < 200


def test_counting_keeps_no_pair(run_python: Run) -> None:
    program = """
rows = np.ones((20_000, 4), dtype=np.float32)
index = fast_lsh_ann.BucketedRandomProjectionLSHModel(1.0, 2, 42, 4).index(rows)
before = peak_mb()
assert index.similarity_join_count(threshold=0.0) == 400_000_000
print(peak_mb() - before)
"""
    assert float(run_python(PEAK + program).stdout) < 30


def test_neighbors_of_a_crowd_within_a_radius() -> None:
    """100,000 equal rows: every query has them all, in order."""
    rows = np.ones((100_000, 8), dtype=np.float32)
    index = fast_lsh_ann.BucketedRandomProjectionLSH(2.0, 5, 42).fit(rows).index(rows)
    found = index.radius_neighbors(rows[:5], 0.0)
    np.testing.assert_array_equal(found.indptr, np.arange(6) * 100_000)
    np.testing.assert_array_equal(found.indices, np.tile(np.arange(100_000), 5))
    assert not found.distances.any()


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_hundred_thousand_equal_rows(value: float) -> None:
    rows = np.full((100_000, 8), value, dtype=np.float32)
    model = fast_lsh_ann.BucketedRandomProjectionLSH(2.0, 5, 42).fit(rows)
    found = model.index(rows).nearest_neighbors(rows[:20], 5)
    assert found.indices.tolist() == [[0, 1, 2, 3, 4]] * 20
    assert not found.distances.any()
    pairs = model.index(rows).similarity_join(rows[:3].copy(), threshold=0.0)
    assert len(pairs) == 300_000
    np.testing.assert_array_equal(pairs.left, np.repeat(np.arange(100_000), 3))


def test_two_far_clusters_do_not_see_each_other() -> None:
    rng = np.random.default_rng(2)
    rows = rng.standard_normal((2_000, 8)) + np.repeat([[0.0], [1e9]], 1_000, axis=0)
    model = fast_lsh_ann.BucketedRandomProjectionLSH(1.0, 3, 42).fit(rows)
    found = model.index(rows).nearest_neighbors(rows, 3)
    kept = found.indices >= 0
    assert kept[:, 0].all()
    own = np.arange(2_000)[:, None] // 1_000
    np.testing.assert_array_equal((found.indices // 1_000)[kept], (own + 0 * kept)[kept])
