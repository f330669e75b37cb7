"""Joins that are counted or come in chunks, and how sides are chosen."""

import gc
import itertools
import threading

import fast_lsh_ann
import numpy as np
import pytest
from fast_lsh_ann import BucketedRandomProjectionLSH, LSHIndex, Pairs, errors

RNG = np.random.default_rng(12)
ROWS = RNG.standard_normal((3000, 10)).astype(np.float32)
OTHER = np.vstack([ROWS[::60], RNG.standard_normal((450, 10)).astype(np.float32)])
THRESHOLD = 1.6
MODEL = BucketedRandomProjectionLSH(2.0, 4, 42).fit(ROWS)


@pytest.fixture(scope="module")
def index() -> LSHIndex:
    return MODEL.index(ROWS)


def joined(chunks: list[Pairs]) -> list[tuple[int, int, float]]:
    return list(itertools.chain.from_iterable(chunks))


@pytest.mark.parametrize("self_pairs", ["all", "upper"])
@pytest.mark.parametrize("size", [1, 17, 1000, 10**6])
def test_chunks_of_a_self_join_are_its_pairs_cut(
    index: LSHIndex, self_pairs: str, size: int
) -> None:
    asked = {"threshold": 0.9 if size == 1 else THRESHOLD, "self_pairs": self_pairs}
    whole = list(index.similarity_join(**asked))  # type: ignore[arg-type]
    chunks = list(
        index.similarity_join_chunks(**asked, chunk_size=size)  # type: ignore[arg-type]
    )
    assert joined(chunks) == whole
    assert all(len(chunk) == size for chunk in chunks[:-1])
    assert 0 < len(chunks[-1]) <= size
    assert index.similarity_join_count(**asked) == len(whole)  # type: ignore[arg-type]


def test_either_side_may_be_larger_an_index_or_an_array(index: LSHIndex) -> None:
    small = MODEL.index(OTHER)
    forward = list(index.similarity_join(OTHER, threshold=THRESHOLD))
    backward = sorted((b, a, distance) for a, b, distance in forward)
    assert len(forward) > 100
    assert list(index.similarity_join(small, threshold=THRESHOLD)) == forward
    for left, right, expected in (
        (index, OTHER, forward),
        (index, small, forward),
        (small, ROWS, backward),
        (small, index, backward),
    ):
        assert list(left.similarity_join(right, threshold=THRESHOLD)) == expected
        assert left.similarity_join_count(right, threshold=THRESHOLD) == len(expected)
        chunks = left.similarity_join_chunks(right, threshold=THRESHOLD, chunk_size=50)
        assert joined(list(chunks)) == expected
    assert MODEL.approx_similarity_join(ROWS, OTHER, THRESHOLD) == forward
    assert MODEL.approx_similarity_join(OTHER, ROWS, THRESHOLD) == backward


def test_an_index_with_itself_is_a_self_join(index: LSHIndex) -> None:
    asked = {"threshold": 1.0, "self_pairs": "upper"}
    plain = index.similarity_join_count(**asked)  # type: ignore[arg-type]
    assert plain == index.similarity_join_count(index, **asked)  # type: ignore[arg-type]
    chunks = index.similarity_join_chunks(index, **asked)  # type: ignore[arg-type]
    assert sum(map(len, chunks)) == plain > 10


def test_a_strict_threshold_of_zero_leaves_not_even_a_row_with_itself(
    index: LSHIndex,
) -> None:
    assert index.similarity_join_count(threshold=0.0) == len(ROWS)
    assert index.similarity_join_count(threshold=0.0, strict=True) == 0
    assert len(index.similarity_join(threshold=0.0)) == len(ROWS)
    assert len(index.similarity_join(threshold=0.0, strict=True)) == 0


# ---- the iterator ----------------------------------------------------------------------


def test_arguments_are_checked_before_the_first_chunk(index: LSHIndex) -> None:
    with pytest.raises(errors.InvalidVectorError, match="other"):
        index.similarity_join_chunks(np.full((3, 10), np.nan), threshold=1.0)
    with pytest.raises(errors.DimensionError, match="other"):
        index.similarity_join_chunks(np.ones((3, 4)), threshold=1.0)


def test_chunks_keep_what_they_need_alive() -> None:
    rows = ROWS.copy()
    chunks = MODEL.index(rows).similarity_join_chunks(threshold=1.0, chunk_size=10)
    first = next(chunks)
    del rows
    fast_lsh_ann.set_threads(3)  # another pool than the join began with
    gc.collect()
    rest = list(chunks)
    fast_lsh_ann.set_threads(None)
    assert joined([first, *rest]) == list(
        MODEL.index(ROWS).similarity_join(threshold=1.0)
    )


def test_a_join_may_be_left_at_any_chunk(index: LSHIndex) -> None:
    for wanted in range(5):
        chunks = index.similarity_join_chunks(threshold=1.0, chunk_size=10)
        taken = list(itertools.islice(chunks, wanted))
        assert len(taken) == wanted
        del chunks
    gc.collect()


def test_two_threads_cannot_take_one_joins_chunks_at_once(index: LSHIndex) -> None:
    inside, tried = threading.Event(), threading.Event()

    def wait(*_: int) -> None:
        inside.set()
        tried.wait(10)

    chunks = index.similarity_join_chunks(threshold=1.0, progress=wait)
    taken: list[Pairs] = []
    worker = threading.Thread(target=lambda: taken.extend(chunks))
    worker.start()
    assert inside.wait(10)
    with pytest.raises(ValueError, match="already executing"):
        next(chunks)
    tried.set()
    worker.join()
    assert joined(taken) == list(index.similarity_join(threshold=1.0))


def test_progress_of_chunks_ends_at_its_total(index: LSHIndex) -> None:
    seen: list[tuple[int, int]] = []
    chunks = index.similarity_join_chunks(
        threshold=1.0,
        chunk_size=100,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert sum(map(len, chunks)) > 3000
    assert seen[-1] == (len(ROWS) ** 2, len(ROWS) ** 2)
    assert seen == sorted(seen)


def test_what_progress_raises_ends_the_join(index: LSHIndex) -> None:
    def refuse(done: int, total: int) -> None:
        raise LookupError(f"{done} of {total}")

    with pytest.raises(LookupError, match="of"):
        list(index.similarity_join_chunks(threshold=1.0, progress=refuse))
    with pytest.raises(LookupError, match="of"):
        index.similarity_join_count(threshold=1.0, progress=refuse)
