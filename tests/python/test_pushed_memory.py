"""What a pushed search is said to take of the machine's memory, against what it takes."""

from pathlib import Path

import pytest
from conftest import Run
from fast_lsh_ann import _core, errors

BENCH = Path(__file__).parents[2] / "bench"

# Push a base to queries; the most the process took meanwhile beyond what it had, and what
# it was told.
PROGRAM = """
import ctypes, os, sys
import memory
import numpy as np
from fast_lsh_ann import _core

n_queries, n_rows, dim, k, block, plan = map(int, sys.argv[1:7])
bucket_length = float(sys.argv[7])
random = np.random.default_rng(1)
falling = np.float32(0.97) ** np.arange(dim, dtype="f4")
base, queries = (
    random.standard_normal((n, dim), dtype="f4") * falling for n in (n_rows, n_queries)
)
model = _core.model_new(bucket_length, 5, 42, dim, 0, 1, 0) if bucket_length > 0 else None
asked = k, int(bucket_length > 0), plan

def search(queries, rows):
    knn = _core.knn_new(model, queries, *asked, "queries")
    for i in range(0, len(rows), block):
        _core.knn_push(knn, rows[i : i + block], i, None, "rows")
    return knn

search(queries[:300], base[:3_000])  # threads, and code that is loaded when needed
ctypes.CDLL(None).malloc_trim(0)
before = memory.start_anew(os.getpid())
kept = search(queries, base)
taken = memory.since(os.getpid(), before).grown
print(taken, sum(_core.knn_memory(model, n_queries, dim, *asked, block)))
"""

DENSE, BUCKET = 1, 2  # as fla_plan counts


@pytest.mark.measured
@pytest.mark.parametrize(
    "arguments",
    [
        (100_000, 70_000, 16, 10, 65_536, DENSE, 0),
        (20_000, 40_000, 128, 100, 16_384, DENSE, 0),
        (40_000, 40_000, 32, 10, 16_384, DENSE, 2.0),
        (10_000, 400_000, 16, 10, 400_000, BUCKET, 0.001),
    ],
    ids=["many queries", "many neighbors", "hash functions", "runs"],
)
def test_a_search_takes_what_it_says_and_not_half_of_that(
    run_python: Run, arguments: tuple[float, ...]
) -> None:
    given = f"import sys; sys.argv[1:] = {[str(a) for a in arguments]}"
    program = f"{given}; sys.path.insert(0, {str(BENCH)!r})\n{PROGRAM}"
    taken, told = map(int, run_python(program).stdout.split())
    assert told / 2 < taken < told
    assert taken > 10_000_000


RELEASED = """
import os
import memory
import numpy as np
from fast_lsh_ann import _core

rows = np.random.default_rng(1).standard_normal((20_000, 4), dtype="f4")

def search(queries, k):
    knn = _core.knn_new(None, rows[:queries], k, 0, 0, "queries")
    for i in range(0, len(rows), 100):
        _core.knn_push(knn, rows[i : i + 100], i, None, "rows")
        others.append(bytearray(4_000))
    return knn

others = []  # what is allocated meanwhile stays, between the lists
search(100, 10)
before = memory.start_anew(os.getpid())
kept = search(2_000, 4_000)  # lists of 96 KB
del kept
after = memory.status(os.getpid(), "VmRSS")
print(memory.since(os.getpid(), before).grown, after - before)
"""


@pytest.mark.measured
def test_long_lists_are_given_back_to_the_system(run_python: Run) -> None:
    program = f"import sys; sys.path.insert(0, {str(BENCH)!r})\n{RELEASED}"
    taken, left = map(int, run_python(program).stdout.split())
    assert taken > 150_000_000
    assert left < taken / 10


def test_memory_grows_with_what_it_is_asked_for() -> None:
    def held(queries: int = 10_000, dim: int = 64, k: int = 10, rows: int = 1_000) -> int:
        return _core.knn_memory(None, queries, dim, k, 0, 0, rows)[0]

    assert held(queries=20_000) > 1.9 * held()
    assert held(queries=20_000) < 2.1 * held()
    assert held(k=1_000) - held() > 10_000 * 16 * 990
    assert held(dim=128) - held() > 10_000 * 64
    assert held(rows=2_000) - held() > 1_000 * 64
    assert held(rows=10**9) == held(rows=10**8)  # rows are coded piece by piece
    model = _core.model_new(1.0, 5, 42, 64, 0, 1, 0)
    runs = [_core.knn_memory(model, 100, 64, 10, 1, 2, n)[1] for n in (10**6, 2 * 10**6)]
    assert runs[1] - runs[0] > 10**6 * 5 * 16
    assert _core.knn_memory(None, 2**63, 2**40, 2**40, 0, 0, 2**63)[0] == 2**64 - 1


def test_memory_of_what_no_search_may_be_asked_is_refused() -> None:
    for dim, k in ((0, 1), (1, 0)):
        with pytest.raises(errors.ParameterError, match="must be at least 1, got 0"):
            _core.knn_memory(None, 5, dim, k, 0, 0, 5)
    with pytest.raises(errors.ParameterError, match="min_collisions"):
        _core.knn_memory(None, 5, 3, 1, 1, 0, 5)
