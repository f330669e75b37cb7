"""The keyword arguments of searches: each does what it says, and says when it cannot."""

from typing import Any

import numpy as np
import pytest
from fast_lsh_ann import (
    BucketedRandomProjectionLSH,
    LSHIndex,
    errors,
    exact_nearest_neighbors,
    exact_similarity_join,
)

ROWS = np.random.default_rng(3).standard_normal((4000, 24)).astype(np.float32)


@pytest.fixture
def index() -> LSHIndex:
    return BucketedRandomProjectionLSH(0.4, 4).fit(ROWS).index(ROWS)


@pytest.mark.parametrize("value", [True, np.True_])
def test_truth_is_no_number(index: LSHIndex, value: Any) -> None:
    with pytest.raises(errors.InputTypeError, match="k must be a whole number"):
        index.nearest_neighbors(ROWS[:2], value)
    with pytest.raises(errors.InputTypeError, match="num_hash_tables"):
        BucketedRandomProjectionLSH(1.0, value)
    with pytest.raises(errors.InputTypeError, match="threshold"):
        index.similarity_join(threshold=value)


def test_exact_search_asks_for_no_collisions(index: LSHIndex) -> None:
    with pytest.raises(errors.ParameterError, match="min_collisions=2"):
        index.nearest_neighbors(ROWS[:2], 1, exact=True, min_collisions=2)
    with pytest.raises(errors.ParameterError, match="min_collisions=3"):
        index.similarity_join(threshold=1.0, exact=True, min_collisions=3)


def test_rows_without_columns_are_refused() -> None:
    empty = np.empty((3, 0))
    with pytest.raises(errors.DimensionError, match="vectors"):
        BucketedRandomProjectionLSH().fit(empty)
    with pytest.raises(errors.DimensionError, match=r"vectors: wanted .* 24, got 0"):
        BucketedRandomProjectionLSH().create_model(24).transform(empty)
    with pytest.raises(errors.DimensionError, match=r"got 3 rows of 0"):
        exact_nearest_neighbors(empty, empty, 1)


@pytest.mark.parametrize(
    ("ids", "missing"), [(np.arange(100, 140), -1), ([f"w{i}" for i in range(40)], None)]
)
def test_ids_past_the_last_neighbor_are_marked(ids: Any, missing: Any) -> None:
    model = BucketedRandomProjectionLSH(0.1, 1).create_model(24)
    found = model.index(ROWS[:40], ids=ids).nearest_neighbors(ROWS[:40], 40)
    assert found.ids is not None
    assert (found.counts < 40).any()
    for query, count in enumerate(found.counts):
        expected = [ids[row] for row in found.indices[query, :count]]
        assert found.ids[query].tolist() == expected + [missing] * (40 - count)


def test_a_copy_does_not_follow_the_array() -> None:
    rows = ROWS[:50].copy()
    model = BucketedRandomProjectionLSH(100.0).fit(rows)
    copied, followed = model.index(rows, copy=True), model.index(rows)
    rows[:] = 0
    assert copied.nearest_neighbors(ROWS[:1], 1).distances[0, 0] == 0
    assert followed.nearest_neighbors(ROWS[:1], 1).distances[0, 0] > 0


def test_progress_is_reported_and_ends_at_the_total(index: LSHIndex) -> None:
    reports: list[tuple[int, int]] = []

    def note(done: int, total: int) -> None:
        reports.append((done, total))

    index.nearest_neighbors(ROWS, 3, progress=note)
    assert reports[-1] == (len(ROWS) ** 2, len(ROWS) ** 2)
    assert reports == sorted(reports)
    reports.clear()
    exact_similarity_join(ROWS, ROWS, 1.0, self_pairs="upper", progress=note)
    assert reports[-1] == (len(ROWS) ** 2, len(ROWS) ** 2)
    with pytest.raises(errors.InputTypeError, match="progress"):
        index.nearest_neighbors(ROWS, 3, progress=3)  # type: ignore[arg-type]


def test_what_progress_raises_ends_the_call(index: LSHIndex) -> None:
    def refuse(done: int, total: int) -> None:
        raise LookupError(f"{done} of {total}")

    with pytest.raises(LookupError, match="of"):
        index.nearest_neighbors(ROWS, 3, progress=refuse)
    assert len(index.nearest_neighbors(ROWS[:5], 3)) == 5
