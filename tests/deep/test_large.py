"""Sizes beyond 32 bits, and memory that does not grow with candidates.

The rows are zero pages that were never written, so they cost address space, not memory.
"""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from fast_lsh_ann import (
    BucketedRandomProjectionLSH,
    exact_nearest_neighbors,
    exact_similarity_join,
)
from numpy.typing import NDArray

DIM = 128


@pytest.fixture(scope="module", params=["float32", "float64"])
def rows(request: pytest.FixtureRequest) -> NDArray[Any]:
    """More than 2**31 values and 2**33 bytes, with a few rows planted at the end."""
    dtype = np.dtype(request.param)
    values = np.zeros((2**31 // DIM + 1000, DIM), dtype=dtype)
    assert values.size > 2**31
    values[-3:] = np.arange(1, 4, dtype=dtype)[:, None]
    return values


def test_hashing_reaches_rows_beyond_32_bits(rows: NDArray[Any]) -> None:
    model = BucketedRandomProjectionLSH(0.5, 2).create_model(DIM)
    buckets = model.transform(rows)
    assert not buckets[:-3].any()
    assert np.array_equal(buckets[-3:], model.transform(rows[-3:].copy()))
    assert buckets[-3:].any()


def test_neighbors_beyond_32_bits_are_found(rows: NDArray[Any]) -> None:
    found = exact_nearest_neighbors(rows, rows[-3:], k=1)
    assert found.indices[:, 0].tolist() == [len(rows) - 3, len(rows) - 2, len(rows) - 1]
    assert not found.distances.any()


def test_joins_reach_rows_beyond_32_bits(rows: NDArray[Any]) -> None:
    last = rows[-3:].copy()
    pairs = exact_similarity_join(rows, last, threshold=0.0)
    assert list(pairs) == [(len(rows) - 3 + i, i, 0.0) for i in range(3)]
    pairs = exact_similarity_join(last, rows, threshold=0.0)
    assert list(pairs) == [(i, len(rows) - 3 + i, 0.0) for i in range(3)]


GROWTH = """
import resource, sys
import numpy as np
from fast_lsh_ann import BucketedRandomProjectionLSH
rows = np.random.default_rng(0).standard_normal((int(sys.argv[1]), 16), dtype=np.float32)
model = BucketedRandomProjectionLSH(1e6, 3).fit(rows)  # every pair is a candidate
index = model.index(rows)
index.similarity_join(rows[:100], threshold=0.0)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
pairs = index.similarity_join(threshold=1e-6, self_pairs="upper")
assert len(pairs) == 0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_of_a_join_does_not_grow_with_candidates() -> None:
    growth = {
        n: int(subprocess.check_output([sys.executable, "-c", GROWTH, str(n)]))
        for n in (2_000, 60_000)  # 2 million and 1.8 billion candidate pairs
    }
    assert growth[60_000] < 8 * 1024, f"KiB by rows: {growth}"


SKETCH = """
import resource, sys
import numpy as np
from fast_lsh_ann import BucketedRandomProjectionLSH
random = np.random.default_rng(0)
a, b = random.standard_normal((2, 10_300, 16), dtype=np.float32)
model = BucketedRandomProjectionLSH(float(sys.argv[1]), 5).fit(a)
assert model.approx_similarity_join_cms(a, b, 0.0) == []
print(model.index(b).similarity_join_count(a, threshold=np.inf))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_of_a_join_by_a_sketch_does_not_grow_with_colliding_pairs() -> None:
    peaks: dict[int, int] = {}
    for bucket_length in ("0.01", "0.05", "0.2", "1000"):
        command = [sys.executable, "-c", SKETCH, bucket_length]
        pairs, peak = map(int, subprocess.check_output(command).split())
        peaks[pairs] = peak
    assert min(peaks) < 2_000_000
    assert max(peaks) > 100_000_000
    assert max(peaks.values()) - min(peaks.values()) < 8 * 1024, f"KiB by pairs: {peaks}"
