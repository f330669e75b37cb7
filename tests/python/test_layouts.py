"""An array's number type, strides and byte order change no answer."""

from collections.abc import Callable
from functools import partial
from typing import Any

import fast_lsh_ann
import numpy as np
import pytest
from numpy.typing import NDArray

Rows = NDArray[Any]


def plain() -> NDArray[np.float64]:
    """Small integers, which every number type holds."""
    return np.random.default_rng(8).integers(0, 50, (60, 12)).astype(np.float64)


def apart(rows: Rows) -> Rows:
    """Every third row and second column of a larger array."""
    wide = np.full((rows.shape[0] * 3, rows.shape[1] * 2), np.nan)
    view = wide[::3, ::2]
    view[...] = rows
    return view


def backwards(rows: Rows) -> Rows:
    """Both strides negative."""
    return np.ascontiguousarray(rows[::-1, ::-1])[::-1, ::-1]


def rows_backwards(rows: Rows) -> Rows:
    return np.ascontiguousarray(rows[::-1])[::-1]


def padded(rows: Rows) -> Rows:
    """Contiguous rows, further apart than they are long."""
    wide = np.full((rows.shape[0], rows.shape[1] + 5), np.nan, dtype=np.float32)
    wide[:, :-5] = rows
    return wide[:, :-5]


def read_only(rows: Rows) -> Rows:
    copy = rows.astype(np.float32)
    copy.setflags(write=False)
    return copy


def unaligned(rows: Rows) -> Rows:
    memory = np.zeros(rows.nbytes + 1, dtype=np.uint8)
    view = memory[1:].view(np.float64).reshape(rows.shape)
    view[...] = rows
    assert not view.flags.aligned
    return view


def repeated(rows: Rows) -> Rows:
    """All rows are one row in memory; returned beside what that means."""
    return np.broadcast_to(rows[7], rows.shape)


NUMBER_TYPES = [
    *("float16", "float32", "float64", "longdouble"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
]

LAYOUTS: dict[str, Callable[[Rows], Any]] = {
    "C order": np.ascontiguousarray,
    "Fortran order": np.asfortranarray,
    "apart": apart,
    "backwards": backwards,
    "rows backwards": rows_backwards,
    "padded float32": padded,
    "read-only": read_only,
    "unaligned": unaligned,
    "byte-swapped float64": lambda rows: rows.astype(rows.dtype.newbyteorder()),
    "byte-swapped float32": lambda rows: rows.astype(">f4"),
    "byte-swapped int16": lambda rows: rows.astype(">i2"),
    "list of lists": lambda rows: rows.tolist(),
    "tuple of arrays": lambda rows: tuple(rows.astype(np.float32)),
    "list of int lists": lambda rows: rows.astype(int).tolist(),
    **{name: partial(np.asarray, dtype=name) for name in NUMBER_TYPES},
}

MODEL = fast_lsh_ann.BucketedRandomProjectionLSHModel(20.0, 3, 42, 12)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_of_the_same_numbers_changes_no_answer(layout: str) -> None:
    rows = plain()
    other = LAYOUTS[layout](rows)
    queries, other_queries = rows[:9], LAYOUTS[layout](rows[:9])
    query = LAYOUTS[layout](rows[4:5])[0]
    np.testing.assert_array_equal(np.asarray(other, dtype=np.float64), rows)

    np.testing.assert_array_equal(MODEL.transform(other), MODEL.transform(rows))
    expected = MODEL.batch_approx_nearest_neighbors(rows, queries, 5)
    assert MODEL.batch_approx_nearest_neighbors(other, other_queries, 5) == expected
    assert MODEL.approx_nearest_neighbors(other, query, 5) == expected[4]
    assert list(MODEL.index(other).nearest_neighbors(other_queries, 5)) == expected
    pairs = MODEL.approx_similarity_join(rows, queries, 60.0)
    assert len(pairs) > 9
    assert MODEL.approx_similarity_join(other, other_queries, 60.0) == pairs
    exact = fast_lsh_ann.exact_nearest_neighbors(rows, queries, 5)
    assert list(fast_lsh_ann.exact_nearest_neighbors(other, other_queries, 5)) == list(
        exact
    )


def test_rows_that_are_one_row_in_memory() -> None:
    rows = repeated(plain())
    np.testing.assert_array_equal(MODEL.transform(rows), MODEL.transform(rows.copy()))
    found = fast_lsh_ann.exact_nearest_neighbors(rows, rows[:2], 3)
    assert found.indices.tolist() == [[0, 1, 2]] * 2
    assert not found.distances.any()


def test_float64_is_not_rounded_to_float32() -> None:
    rows = 1.0 + np.arange(5)[:, None] * 1e-12
    found = fast_lsh_ann.exact_nearest_neighbors(rows, rows[3:4], 5)
    assert sorted(found.indices[0, 1:3].tolist()) == [2, 4]
    assert (found.distances[0, 1:] > 0).all()


def test_integers_beyond_2_to_53_are_rounded_to_double() -> None:
    rows = np.array([[2**53 + 1], [2**53]], dtype=np.int64)
    pairs = fast_lsh_ann.exact_similarity_join(rows, rows.astype(np.float64), 0.0)
    assert len(pairs) == 4


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_row_and_one_column(dtype: type[Any]) -> None:
    model = fast_lsh_ann.BucketedRandomProjectionLSHModel(1.0, 2, 42, 1)
    rows = np.array([[2.5]], dtype=dtype)
    assert model.transform(rows).shape == (1, 2)
    assert model.approx_nearest_neighbors(rows, rows[0], 3) == [(0, 0.0)]


def empty_answers(empty: Rows, full: Rows) -> list[Any]:
    index, nothing = MODEL.index(full), MODEL.index(empty)
    return [
        MODEL.transform(empty).shape == (0, 3),
        MODEL.approx_nearest_neighbors(empty, full[0], 3) == [],
        MODEL.batch_approx_nearest_neighbors(empty, full, 3) == [[]] * len(full),
        MODEL.batch_approx_nearest_neighbors(full, empty, 3) == [],
        MODEL.approx_similarity_join(empty, full, 9.0) == [],
        MODEL.approx_similarity_join(full, empty, 9.0) == [],
        MODEL.approx_similarity_join(empty, empty, 9.0, self_pairs="upper") == [],
        len(nothing) == 0,
        nothing.nearest_neighbors(full, 3).indices.shape == (len(full), 0),
        nothing.nearest_neighbors(full, 3).counts.tolist() == [0] * len(full),
        index.nearest_neighbors(empty, 3).distances.shape == (0, 3),
        len(nothing.similarity_join(full, threshold=np.inf, exact=True)) == 0,
        len(nothing.similarity_join(threshold=np.inf)) == 0,
        nothing.similarity_join_count(full, threshold=np.inf) == 0,
        index.similarity_join_count(empty, threshold=np.inf) == 0,
        list(nothing.similarity_join_chunks(full, threshold=np.inf)) == [],
        list(index.similarity_join_chunks(empty, threshold=np.inf)) == [],
        nothing.radius_neighbors(full, 9.0).indptr.tolist() == [0] * (len(full) + 1),
        index.radius_neighbors(empty, 9.0).indptr.tolist() == [0],
        len(index.radius_neighbors(empty, [])) == 0,
        fast_lsh_ann.exact_nearest_neighbors(empty, full, 3).indices.shape
        == (len(full), 0),
        len(fast_lsh_ann.exact_similarity_join(full, empty, np.inf)) == 0,
    ]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_no_rows_give_empty_answers_of_the_right_shape(dtype: type[Any]) -> None:
    answers = empty_answers(np.empty((0, 12), dtype), plain())
    assert answers == [True] * 22


def test_k_beyond_the_number_of_rows_is_as_wide_as_the_rows() -> None:
    rows = plain()
    found = MODEL.index(rows).nearest_neighbors(rows[:2], 2**40, exact=True)
    assert found.indices.shape == found.distances.shape == (2, 60)
    assert found.counts.tolist() == [60, 60]
