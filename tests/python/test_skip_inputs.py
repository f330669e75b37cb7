"""on_invalid="skip" leaves out null, ragged and spoiled rows of every kind of input."""

import datetime as dt
from collections import deque
from collections.abc import Callable
from typing import Any

import fast_lsh_ann
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from fast_lsh_ann import errors
from makers import SPARK_VECTOR

MODEL = fast_lsh_ann.BucketedRandomProjectionLSHModel(3.0, 3, 42, 3)

# Rows 0 to 10; those at fault first, last and next to each other.
ROWS: list[Any] = [
    [np.nan, 9.0],
    None,
    [1.0, 2.0, 3.0],
    [],
    [1.0, None, 3.0],
    [2.0, 2.0, 2.0],
    [1.0, 2.0],
    [1.0, 2.0, 3.0, 4.0],
    [4.0, -np.inf, 0.0],
    [-3.0, 0.5, 0.25],
    [None, None, None],
]
KEPT = [2, 5, 9]
GOOD = np.array([ROWS[i] for i in KEPT])


def chunked(type_: pa.DataType, *lengths: int) -> pa.ChunkedArray:
    starts = np.concatenate([[0], np.cumsum(lengths)])
    parts = [ROWS[a:b] for a, b in zip(starts, [*starts[1:], 11], strict=True)]
    return pa.chunked_array([pa.array(part, type_) for part in parts])


def objects() -> Any:
    array = np.empty(11, dtype=object)
    for i, row in enumerate(ROWS):
        array[i] = row
    return array


def spark_vectors() -> pa.Array:
    """The rows as dense vectors, but row 5, and sparse ones at fault beside it."""
    dense = [
        None if row is None else {"type": 1, "size": None, "indices": None, "values": row}
        for row in ROWS
    ]
    dense[5] = {"type": 0, "size": 3, "indices": [0, 1, 2], "values": [2.0, 2.0, 2.0]}
    dense[3] = {"type": 0, "size": 3, "indices": [2, 1], "values": [1.0, 1.0]}
    dense[6] = {"type": 0, "size": 3, "indices": [0, 1, None], "values": [1.0] * 3}
    dense[7] = {"type": 0, "size": 3, "indices": [0], "values": [1.0, 2.0]}
    dense[10] = {"type": 0, "size": 4, "indices": [0], "values": [1.0]}
    return pa.array(dense, SPARK_VECTOR)


LIST = pa.list_(pa.float64())
MAKERS: dict[str, Callable[[], Any]] = {
    "lists": lambda: ROWS,
    "a tuple of tuples": lambda: tuple(
        row if row is None else tuple(row) for row in ROWS
    ),
    "a deque": lambda: deque(ROWS),
    "an object array of lists": objects,
    "arrays in a list": lambda: [
        row if row is None else np.array(row, dtype=float) for row in ROWS
    ],
    "a pandas column": lambda: pd.Series(ROWS),
    "list": lambda: pa.array(ROWS, LIST),
    "list of float16": lambda: pa.array(
        [r and [x if x is None else np.float16(x) for x in r] for r in ROWS],
        pa.list_(pa.float16()),
    ),
    "large_list of float32": lambda: pa.array(ROWS, pa.large_list(pa.float32())),
    "list_view": lambda: pa.array(ROWS, pa.list_view(pa.float64())),
    "a slice": lambda: pa.array([[5.0], *ROWS, None], LIST)[1:-1],
    "chunks": lambda: chunked(LIST, 2, 0, 3, 4),
    "chunks of one row": lambda: chunked(LIST, *[1] * 10),
    "a chunk without valid rows at the end": lambda: chunked(LIST, 10),
    "rows behind a dictionary": lambda: pa.DictionaryArray.from_arrays(
        pa.array([None if row is None else i for i, row in enumerate(ROWS)]),
        pa.array([[7.0] if row is None else row for row in ROWS], LIST),
    ),
    "polars": lambda: pl.Series(ROWS, dtype=pl.List(pl.Float64), strict=False),
    "Spark's vectors": spark_vectors,
    "Spark's vectors in chunks": lambda: pa.chunked_array(
        [spark_vectors()[:4], spark_vectors()[4:]]
    ),
}


@pytest.mark.parametrize("name", MAKERS)
def test_rows_of_an_index(name: str) -> None:
    index = MODEL.index(MAKERS[name](), on_invalid="skip")
    assert index.skipped.tolist() == [i for i in range(11) if i not in KEPT]
    found = index.nearest_neighbors(GOOD, k=3, exact=True)
    plain = MODEL.index(GOOD).nearest_neighbors(GOOD, k=3, exact=True)
    assert found.indices.tolist() == np.array(KEPT)[plain.indices].tolist()
    assert found.distances.tolist() == plain.distances.tolist()


@pytest.mark.parametrize("name", MAKERS)
def test_queries(name: str) -> None:
    index = MODEL.index(GOOD)
    found = index.nearest_neighbors(MAKERS[name](), k=1, exact=True, on_invalid="skip")
    assert found.counts.tolist() == [int(i in KEPT) for i in range(11)]
    assert found.indices[KEPT, 0].tolist() == [0, 1, 2]
    near = index.radius_neighbors(MAKERS[name](), 0.0, exact=True, on_invalid="skip")
    assert near.indices.tolist() == [0, 1, 2]
    assert np.flatnonzero(np.diff(near.indptr)).tolist() == KEPT


@pytest.mark.parametrize("name", MAKERS)
def test_without_it_they_are_an_error(name: str) -> None:
    with pytest.raises(errors.InvalidVectorError, match=r"^vectors: "):
        MODEL.index(MAKERS[name]())


def test_tables_of_numbers_with_holes() -> None:
    columns = {
        "x": [1.0, None, 3.0, 4.0],
        "y": [1, 2, 3, None],
        "z": [0.5, 0.5, np.nan, 0.5],
    }
    for table in (pl.DataFrame(columns, strict=False), pa.table(columns)):
        index = MODEL.index(table, on_invalid="skip")
        assert index.skipped.tolist() == [1, 2, 3]
        found = index.nearest_neighbors([[1.0, 1.0, 0.5]], k=1, exact=True)
        assert found[0] == [(0, 0.0)]


FIXED = pa.array([[1, 2, 3], None, [4, None, 6], [7, 8, 9]], pa.list_(pa.int8(), 3))


def test_lists_of_one_size() -> None:
    index = MODEL.index(FIXED, on_invalid="skip")
    assert index.skipped.tolist() == [1, 2]
    found = index.nearest_neighbors([[7, 8, 9]], k=2, exact=True)
    assert found.indices.tolist() == [[3, 0]]


def test_valid_rows_are_not_copied() -> None:
    rows = pa.array(GOOD.tolist(), LIST)
    index = MODEL.index(rows, on_invalid="skip")
    address = index._kept.rows.__array_interface__["data"][0]
    assert address == rows.values.buffers()[1].address
    assert MODEL.index(GOOD, on_invalid="skip")._kept.rows.base is GOOD


@pytest.mark.parametrize(
    "rows",
    [
        [None, None, None],
        [None, [np.nan, 1.0, 2.0], [None]],
        pa.array([None, [], [np.nan]], LIST),
        pa.array([None, None, None], LIST),
        pa.chunked_array([pa.array([None], LIST), pa.array([[None], []], LIST)]),
        pl.Series([None, None, None], dtype=pl.List(pl.Float32)),
    ],
    ids=lambda rows: type(rows).__name__,
)
def test_all_rows_may_be_invalid(rows: Any) -> None:
    index = MODEL.index(rows, on_invalid="skip")
    assert len(index) == 0
    assert index.skipped.tolist() == [0, 1, 2]
    found = MODEL.index(GOOD).nearest_neighbors(rows, k=2, on_invalid="skip")
    assert found.counts.tolist() == [0, 0, 0]


# ---- what stays an error ---------------------------------------------------------------

STILL_WRONG: dict[str, tuple[Any, type[Exception], str]] = {
    "the dimension of the valid rows": (
        [None, [1.0, 2.0], [3.0, 4.0]],
        errors.DimensionError,
        "dimension 3, got 2",
    ),
    "in Arrow": (
        pa.array([None, [1.0] * 4], LIST),
        errors.DimensionError,
        "dimension 3, got 4",
    ),
    "an array without columns": (np.empty((4, 0)), errors.DimensionError, "3, got 0"),
    "one vector": ([1.0, None, 3.0], errors.DimensionError, "row 0"),
    "deeper nesting": ([[[1.0], [2.0]], None], errors.DimensionError, "row 0"),
    "text": ([None, "abc"], errors.InputTypeError, "row 1"),
    "bools": ([None, [True, False, True]], errors.InputTypeError, "bool"),
    "dates": ([None, [dt.date.today()] * 3], errors.InputTypeError, "date"),
    "an Arrow column of numbers": (
        pa.array([1.0, None]),
        errors.DimensionError,
        "list of numbers a row",
    ),
    "an Arrow column of text": (pa.array(["a", None]), errors.InputTypeError, '"u"'),
    "a mask": (
        np.ma.masked_equal(np.ones((2, 3)), 1.0),
        errors.InputTypeError,
        "masked",
    ),
}


@pytest.mark.parametrize("name", STILL_WRONG)
def test_what_is_no_set_of_rows_is_not_skipped(name: str) -> None:
    rows, error, said = STILL_WRONG[name]
    with pytest.raises(error, match=r"^vectors\b") as caught:
        MODEL.index(rows, on_invalid="skip")
    assert said in str(caught.value)


def test_ids_go_by_the_rows_that_were_given() -> None:
    ids = [f"r{i}" for i in range(11)]
    index = MODEL.index(ROWS, ids, on_invalid="skip")
    found = index.nearest_neighbors(GOOD, k=1, exact=True)
    assert found.ids is not None
    assert found.ids[:, 0].tolist() == ["r2", "r5", "r9"]
    with pytest.raises(errors.DimensionError, match="11 rows, got 3"):
        MODEL.index(ROWS, ids[:3], on_invalid="skip")
