"""Neighbors of resident queries among rows that are pushed block by block."""

import gc
import signal
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import oracle
import pytest
from checks import assert_same_neighbors
from conftest import Run
from fast_lsh_ann import Neighbors, _core, errors
from numpy.typing import NDArray

Rows = NDArray[Any]

N, Q, DIM, K = 3_000, 750, 24, 7  # so many that blocks are coded
BUCKET_LENGTH, TABLES, SEED = 1.5, 4, 42
AUTO, DENSE, BUCKET, GATHER = range(4)  # as fla_plan counts


def grid(n: int, seed: int) -> Rows:
    """Rows of small multiples of a half, so that many distances are equal."""
    return np.random.default_rng(seed).integers(-4, 5, (n, DIM)) / 2


BASE, QUERIES = grid(N, 1), grid(Q, 2)


def model(bucket_length: float = BUCKET_LENGTH) -> "_core.Model":
    return _core.model_new(bucket_length, TABLES, SEED, DIM, 0, 1, 0)


def candidates(min_collisions: int, bucket_length: float = BUCKET_LENGTH) -> Rows:
    """Which pairs the definition lets meet, [queries, rows]."""
    vectors = oracle.unit_vectors(TABLES, DIM, SEED)
    sides = [oracle.buckets(rows, vectors, bucket_length) for rows in (QUERIES, BASE)]
    return oracle.collisions(*sides) >= min_collisions


def outputs(queries: int, width: int) -> tuple[Rows, Rows, Rows]:
    return (
        np.empty((queries, width), dtype=np.int64),
        np.empty((queries, width)),
        np.empty(queries, dtype=np.int64),
    )


def finish(knn: "_core.Knn", queries: int, width: int) -> Neighbors:
    found = outputs(queries, width)
    _core.knn_finish(knn, width, *found, None)
    return Neighbors(*found)


def blocks(base: Rows, size: int, order: str) -> Iterator[tuple[int, Rows]]:
    """Blocks of a base with the number of their first row."""
    firsts = np.arange(0, len(base), size)
    if order == "backwards":
        firsts = firsts[::-1]
    elif order == "shuffled":
        firsts = np.random.default_rng(size).permutation(firsts)
    for first in firsts.tolist():
        yield first, base[first : first + size]


def search(
    size: int,
    order: str = "forwards",
    dtype: str = "f4",
    queries: Rows = QUERIES,
    k: int = K,
    min_collisions: int = 0,
    plan: int = AUTO,
    bucket_length: float = BUCKET_LENGTH,
) -> Neighbors:
    base, asked = BASE.astype(dtype), queries.astype(dtype)
    given = model(bucket_length) if min_collisions > 0 else None
    knn = _core.knn_new(given, asked, k, min_collisions, plan, "queries")
    for first, rows in blocks(base, size, order):
        _core.knn_push(knn, rows, first, None, "rows")
    return finish(knn, len(asked), min(k, len(base)))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("order", ["forwards", "backwards", "shuffled"])
@pytest.mark.parametrize("size", [7, 64, 1_000, N, 2 * N])
def test_blocks_of_any_size_in_any_order_give_the_definition_s_neighbors(
    size: int, order: str, dtype: str
) -> None:
    answer = oracle.nearest_neighbors(BASE, QUERIES, K, candidates(0))
    assert_same_neighbors(search(size, order, dtype), answer)


@pytest.mark.parametrize("plan", [AUTO, DENSE, BUCKET, GATHER])
@pytest.mark.parametrize("size", [50, 1_024, N])
def test_candidates_of_blocks_are_those_of_the_whole(size: int, plan: int) -> None:
    for need in (1, 2):
        answer = oracle.nearest_neighbors(BASE, QUERIES, K, candidates(need))
        found = search(size, "shuffled", min_collisions=need, plan=plan)
        assert_same_neighbors(found, answer)


def test_queries_may_find_fewer_neighbors_than_they_ask_for() -> None:
    sparse = 0.01
    answer = oracle.nearest_neighbors(BASE, QUERIES, 30, candidates(1, sparse))
    assert answer.counts.min() < 30 == answer.counts.max()
    found = search(400, k=30, min_collisions=1, bucket_length=sparse)
    assert_same_neighbors(found, answer)


@pytest.mark.parametrize("queries", [1, 20])
def test_few_queries_are_answered_by_lists_of_every_thread(queries: int) -> None:
    few = QUERIES[:queries]
    answer = oracle.nearest_neighbors(BASE, few, K, candidates(0)[:queries])
    for size in (100, N):
        assert_same_neighbors(search(size, queries=few), answer)


def test_pushed_rows_give_what_an_index_of_them_gives() -> None:
    given, base, asked = model(), BASE.astype("f4"), QUERIES.astype("f4")
    index = _core.index_new(given, base, 0, "rows")
    for need in (0, 1):
        expected = outputs(Q, K)
        _core.index_neighbors(index, asked, K, need, AUTO, *expected, None, "queries")
        found = search(700, min_collisions=need)
        assert_same_neighbors(found, oracle.Neighbors(*expected))


def test_row_numbers_pass_32_bits() -> None:
    far = 2**40 + 5
    answer = oracle.nearest_neighbors(BASE, QUERIES, K, candidates(0))
    knn = _core.knn_new(None, QUERIES, K, 0, AUTO, "queries")
    for first, rows in blocks(BASE, 1_000, "forwards"):
        _core.knn_push(knn, rows, far + first, None, "rows")
    found = finish(knn, Q, K)
    assert_same_neighbors(found, answer._replace(indices=answer.indices + far))


def test_a_search_of_nothing_finds_nothing() -> None:
    knn = _core.knn_new(None, QUERIES, K, 0, AUTO, "queries")
    assert finish(knn, Q, 0).counts.tolist() == [0] * Q
    knn = _core.knn_new(None, QUERIES[:0], K, 0, AUTO, "queries")
    _core.knn_push(knn, BASE, 0, None, "rows")
    assert finish(knn, 0, K).indices.shape == (0, K)


# ---- mistakes --------------------------------------------------------------------------


def refuses(knn: "_core.Knn", message: str) -> None:
    """Neither more rows nor an end are taken."""
    with pytest.raises(RuntimeError, match=message):
        _core.knn_push(knn, BASE, 0, None, "rows")
    with pytest.raises(RuntimeError, match=message):
        finish(knn, Q, K)


def test_a_bad_row_is_named_by_its_number_and_ends_the_search() -> None:
    knn = _core.knn_new(model(), QUERIES, K, 1, AUTO, "queries")
    _core.knn_push(knn, BASE, 0, None, "rows")
    bad = BASE.copy()
    bad[123, 4] = np.nan
    with pytest.raises(errors.InvalidVectorError, match=r"^base: ") as caught:
        _core.knn_push(knn, bad, 10**10, None, "base")
    assert caught.value.row == 10**10 + 123
    refuses(knn, "failed or was finished before")


def test_bad_queries_are_named() -> None:
    bad = QUERIES.copy()
    bad[77, 0] = np.inf
    with pytest.raises(errors.InvalidVectorError, match=r"^asked: ") as caught:
        _core.knn_new(None, bad, K, 0, AUTO, "asked")
    assert caught.value.row == 77
    with pytest.raises(errors.ParameterError, match="k must be at least 1"):
        _core.knn_new(None, QUERIES, 0, 0, AUTO, "queries")


def test_rows_of_another_dimension_are_refused() -> None:
    knn = _core.knn_new(None, QUERIES, K, 0, AUTO, "queries")
    with pytest.raises(errors.DimensionError, match=f"{DIM} coordinates, got 3"):
        _core.knn_push(knn, BASE[:, :3], 0, None, "rows")
    refuses(knn, "failed or was finished before")


def test_a_finished_search_is_over() -> None:
    knn = _core.knn_new(None, QUERIES, K, 0, AUTO, "queries")
    _core.knn_push(knn, BASE, 0, None, "rows")
    finish(knn, Q, K)
    refuses(knn, "failed or was finished before")


def test_outputs_of_another_size_are_refused_and_the_search_goes_on() -> None:
    knn = _core.knn_new(None, QUERIES, K, 0, AUTO, "queries")
    _core.knn_push(knn, BASE, 0, None, "rows")
    for queries, width, asked in ((Q, K - 1, K), (Q - 1, K, K), (Q, K, -1)):
        with pytest.raises(ValueError, match=r"size|elements"):
            _core.knn_finish(knn, asked, *outputs(queries, width), None)
    answer = oracle.nearest_neighbors(BASE, QUERIES, K, candidates(0))
    assert_same_neighbors(finish(knn, Q, K), answer)


def test_what_is_no_search_is_refused() -> None:
    with pytest.raises(ValueError, match="PyCapsule"):
        _core.knn_push(model(), BASE, 0, None, "rows")
    with pytest.raises(ValueError, match="PyCapsule"):
        finish(model(), Q, K)


# ---- threads, signals, memory ----------------------------------------------------------


def test_only_one_call_at_a_time_uses_a_search() -> None:
    knn = _core.knn_new(None, QUERIES, K, 0, AUTO, "queries")
    refused = []

    def meddle() -> None:
        refuses(knn, "another call uses this search")
        refused.append(True)

    def meanwhile(*_: int) -> None:
        meddle()
        other = threading.Thread(target=meddle)
        other.start()
        other.join()

    _core.knn_push(knn, BASE, 0, meanwhile, "rows")
    assert refused == [True] * len(refused)
    assert len(refused) >= 2
    assert len(refused) % 2 == 0
    answer = oracle.nearest_neighbors(BASE, QUERIES, K, candidates(0))
    assert_same_neighbors(finish(knn, Q, K), answer)


def test_threads_that_push_at_once_get_an_error_or_are_counted() -> None:
    """What was pushed is found, what was refused is not; nothing is torn."""
    knn = _core.knn_new(None, QUERIES, K, 0, AUTO, "queries")
    taken: list[int] = []

    def push(part: int) -> None:
        for first, rows in list(blocks(BASE, 100, "forwards"))[part::4]:
            try:
                _core.knn_push(knn, rows, first, None, "rows")
            except RuntimeError:
                continue
            taken.append(first)

    threads = [threading.Thread(target=push, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) > 0
    pushed = np.zeros(N, dtype=bool)
    for first in taken:
        pushed[first : first + 100] = True
    allowed = np.broadcast_to(pushed, (Q, N))
    answer = oracle.nearest_neighbors(BASE, QUERIES, K, allowed)
    assert_same_neighbors(finish(knn, Q, K), answer)


class _AlarmError(Exception):
    pass


def test_a_signal_ends_a_push_and_the_search() -> None:
    random = np.random.default_rng(4)
    base, queries = random.random((2, 20_000, 128), dtype=np.float32)
    knn = _core.knn_new(None, queries, K, 0, AUTO, "queries")

    def ring(*_: object) -> None:
        raise _AlarmError

    before = signal.signal(signal.SIGALRM, ring)
    try:
        with pytest.raises(_AlarmError):  # noqa: PT012
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            while True:
                _core.knn_push(knn, base, 0, None, "rows")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    with pytest.raises(RuntimeError, match="failed or was finished before"):
        _core.knn_push(knn, base, 0, None, "rows")


def test_progress_that_raises_ends_the_search_although_the_block_was_done() -> None:
    def report(done: int, total: int) -> None:
        if done == total:
            raise _AlarmError

    knn = _core.knn_new(None, QUERIES, K, 0, AUTO, "queries")
    with pytest.raises(_AlarmError):
        _core.knn_push(knn, BASE, 0, report, "rows")
    refuses(knn, "failed or was finished before")


def check_what_a_search_keeps() -> None:
    asked, base = QUERIES.copy(), BASE.copy()
    queries, rows = weakref.ref(asked), weakref.ref(base)
    knn = _core.knn_new(model(), asked, K, 1, AUTO, "queries")
    _core.set_threads(1)  # another context; the search keeps its own
    del asked
    _core.knn_push(knn, base, 0, None, "rows")
    del base
    gc.collect()
    assert queries() is not None
    assert rows() is None
    answer = oracle.nearest_neighbors(BASE, QUERIES, K, candidates(1))
    assert_same_neighbors(finish(knn, Q, K), answer)
    del knn
    assert queries() is None


def test_a_search_keeps_its_queries_model_and_threads_and_no_rows(
    run_python: Run,
) -> None:
    """Where what was freed is overwritten at once, what was freed too early shows."""
    program = "import test_pushed; test_pushed.check_what_a_search_keeps(); print('kept')"
    assert run_python(program, MALLOC_PERTURB_="165").stdout == "kept\n"


def test_a_search_keeps_its_threads_while_others_replace_them(
    run_python: Run,
) -> None:
    program = """
import threading
import numpy as np
from fast_lsh_ann import _core

rows = np.random.default_rng(0).standard_normal((200_000, 16), dtype="f4")
done = threading.Event()

def replace():
    while not done.is_set():
        _core.set_threads(2)

other = threading.Thread(target=replace)
other.start()
searches = [_core.knn_new(None, rows, 3, 0, 0, "queries") for _ in range(8)]
done.set()
other.join()
for search in searches:
    _core.knn_push(search, rows[:100], 0, None, "rows")
del searches, search
print("fine")
"""
    done = run_python(program, PYTHONMALLOC="debug")
    assert (done.returncode, done.stdout) == (0, "fine\n")
