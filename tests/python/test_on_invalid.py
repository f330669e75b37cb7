"""on_invalid="skip" leaves rows of NaN or infinity out, and changes nothing else."""

from typing import Any

import fast_lsh_ann
import numpy as np
import pytest
from fast_lsh_ann import errors
from numpy.typing import NDArray

DIM = 5
MODEL = fast_lsh_ann.BucketedRandomProjectionLSHModel(3.0, 3, 42, DIM)
GOOD = np.random.default_rng(7).standard_normal((60, DIM))
IDS = np.array([f"row {i}" for i in range(60)])


def spoiled(*places: tuple[int, int, float]) -> NDArray[np.float64]:
    rows = GOOD.copy()
    for row, column, value in places:
        rows[row, column] = value
    return rows


BAD = spoiled((0, 1, np.nan), (17, 0, np.inf), (17, 4, np.nan), (59, 2, -np.inf))
BAD_NUMBERS = [0, 17, 59]
KEPT = np.setdiff1d(np.arange(60), BAD_NUMBERS)


def test_an_index_says_what_it_left_out() -> None:
    index = MODEL.index(BAD, on_invalid="skip")
    assert len(index) == 57
    assert index.skipped.tolist() == BAD_NUMBERS
    assert MODEL.index(GOOD, on_invalid="skip").skipped.tolist() == []
    assert MODEL.index(GOOD).skipped.tolist() == []


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_neighbors_are_those_among_the_other_rows(exact: bool, dtype: Any) -> None:
    rows = BAD.astype(dtype)
    index = MODEL.index(rows, IDS, on_invalid="skip")
    found = index.nearest_neighbors(GOOD[:20], k=70, exact=exact)
    plain = MODEL.index(rows[KEPT]).nearest_neighbors(GOOD[:20], k=70, exact=exact)
    assert found.indices.shape == (20, 57)
    some = 0
    for mine, theirs in zip(found, plain, strict=True):
        assert mine == [(int(KEPT[row]), distance) for row, distance in theirs]
        some += len(mine)
    assert some > 500
    assert found.ids is not None
    real = np.arange(57) < found.counts[:, None]
    assert (found.indices[~real] == -1).all()
    assert real.all() == exact
    assert (found.ids[real] == IDS[found.indices[real]]).all()


def test_radius_neighbors_are_those_among_the_other_rows() -> None:
    found = MODEL.index(BAD, IDS, on_invalid="skip").radius_neighbors(GOOD, 2.0)
    plain = MODEL.index(BAD[KEPT]).radius_neighbors(GOOD, 2.0)
    assert len(plain.indices) > 100
    assert found.indices.tolist() == KEPT[plain.indices].tolist()
    assert found.indptr.tolist() == plain.indptr.tolist()
    assert found.ids is not None
    assert (found.ids == IDS[found.indices]).all()


def test_a_query_left_out_finds_nothing() -> None:
    index = MODEL.index(GOOD)
    found = index.nearest_neighbors(BAD, k=4, on_invalid="skip")
    plain = index.nearest_neighbors(BAD[KEPT], k=4)
    assert found.indices[KEPT].tolist() == plain.indices.tolist()
    assert found.distances[KEPT].tolist() == plain.distances.tolist()
    assert found.counts[KEPT].tolist() == plain.counts.tolist()
    for query in BAD_NUMBERS:
        assert found.counts[query] == 0
        assert found.indices[query].tolist() == [-1] * 4
        assert found.distances[query].tolist() == [np.inf] * 4


@pytest.mark.parametrize("radius", [2.0, np.linspace(0.5, 3.0, 60)])
def test_a_query_left_out_has_no_neighbors_in_a_radius(radius: Any) -> None:
    index = MODEL.index(GOOD)
    found = index.radius_neighbors(BAD, radius, on_invalid="skip")
    plain = index.radius_neighbors(GOOD, radius)
    assert len(found) == 60
    some = 0
    for query in range(60):
        rows, distances = found[query]
        if query in BAD_NUMBERS:
            assert len(rows) == 0
        else:
            assert rows.tolist() == plain[query][0].tolist()
            assert distances.tolist() == plain[query][1].tolist()
            some += len(rows)
    assert some > 100


@pytest.mark.parametrize("right", ["itself", "none", "clean", "spoiled", "array"])
def test_joins_number_rows_as_the_arrays_did(right: str) -> None:
    other = spoiled((3, 3, np.nan))
    index = MODEL.index(BAD, on_invalid="skip")
    sides: dict[str, tuple[Any, NDArray[np.int64], NDArray[np.float64]]] = {
        "itself": (index, KEPT, BAD),
        "none": (None, KEPT, BAD),
        "clean": (MODEL.index(GOOD), np.arange(60), GOOD),
        "spoiled": (
            MODEL.index(other, on_invalid="skip"),
            np.delete(range(60), 3),
            other,
        ),
        "array": (GOOD, np.arange(60), GOOD),
    }
    given, numbers, rows = sides[right]
    plain = MODEL.index(BAD[KEPT]).similarity_join(rows[numbers], threshold=2.0)
    wanted = [(int(KEPT[i]), int(numbers[j]), d) for i, j, d in plain]
    assert len(wanted) > 100
    assert list(index.similarity_join(given, threshold=2.0)) == wanted
    assert index.similarity_join_count(given, threshold=2.0) == len(wanted)
    chunks = index.similarity_join_chunks(given, threshold=2.0, chunk_size=7)
    assert [pair for chunk in chunks for pair in chunk] == wanted


def test_all_rows_and_all_queries_may_be_left_out() -> None:
    nothing = np.full((4, DIM), np.nan)
    index = MODEL.index(nothing, on_invalid="skip")
    assert len(index) == 0
    assert index.nearest_neighbors(GOOD[:3], k=2).counts.tolist() == [0, 0, 0]
    assert len(index.similarity_join(GOOD, threshold=9.0)) == 0
    found = MODEL.index(GOOD).nearest_neighbors(nothing, k=2, on_invalid="skip")
    assert found.counts.tolist() == [0, 0, 0, 0]
    assert found.indices.tolist() == [[-1, -1]] * 4


def test_only_rows_that_are_not_finite_are_left_out() -> None:
    """A bucket beyond int64 stays an error, which names the row of the array."""
    rows = BAD.copy()
    rows[30] = 1e300
    for call in (
        lambda: MODEL.index(rows, on_invalid="skip"),
        lambda: MODEL.index(GOOD).nearest_neighbors(rows, k=1, on_invalid="skip"),
        lambda: MODEL.index(GOOD).radius_neighbors(rows, 1.0, on_invalid="skip"),
    ):
        with pytest.raises(errors.BucketRangeError, match="row 30: bucket") as caught:
            call()
        assert caught.value.row == 30
        assert caught.value.bad_rows == 1


def test_the_default_is_to_raise() -> None:
    for call in (
        lambda: MODEL.index(BAD),
        lambda: MODEL.index(BAD, on_invalid="raise"),
        lambda: MODEL.index(GOOD).nearest_neighbors(BAD, k=1),
        lambda: MODEL.index(GOOD).radius_neighbors(BAD, 1.0),
    ):
        with pytest.raises(errors.InvalidVectorError, match="row 0"):
            call()


@pytest.mark.parametrize("wrong", ["drop", None, True])
def test_another_wish_is_refused(wrong: Any) -> None:
    index = MODEL.index(GOOD)
    for call in (
        lambda: MODEL.index(GOOD, on_invalid=wrong),
        lambda: index.nearest_neighbors(GOOD, k=1, on_invalid=wrong),
        lambda: index.radius_neighbors(GOOD, 1.0, on_invalid=wrong),
    ):
        with pytest.raises(errors.ParameterError, match="on_invalid must be 'raise'"):
            call()
