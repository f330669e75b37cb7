"""What is no rows, no query or no ids is answered by an exception that says why."""

import ctypes
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import fast_lsh_ann
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from fast_lsh_ann import errors
from fast_lsh_ann._inputs import as_rows
from makers import SPARK_VECTOR, Rows, Tensor, model_for

NO_IDS: dict[str, tuple[Any, type[Exception], str]] = {
    "too few": ([1, 2], errors.DimensionError, "3 rows, got 2"),
    "too many": (pl.Series(["a"] * 4), errors.DimensionError, "3 rows, got 4"),
    "2-D": (np.ones((3, 1), int), errors.DimensionError, "1-D"),
    "nested": ([[1], [2], [3]], errors.DimensionError, "nested"),
    "a text": ("abc", errors.DimensionError, "1-D"),
    "a number": (5, errors.DimensionError, "1-D"),
    "None": ([1, None, 2], errors.InvalidVectorError, "element 1 is None"),
    "NaN": (["a", "b", float("nan")], errors.InvalidVectorError, "element 2 is nan"),
    "pandas NA": (
        pd.Series([1, None, 2], dtype="Int64"),
        errors.InputTypeError,
        "float64",
    ),
    "pandas missing text": (
        pd.Series(["a", None, "b"]),
        errors.InvalidVectorError,
        "element 1 is nan",
    ),
    "pyarrow null": (pa.array([1, 2, None]), errors.InvalidVectorError, "element 2"),
    "polars null": (pl.Series(["a", None, "b"]), errors.InvalidVectorError, "element 1"),
    "null behind a dictionary": (
        pl.Series(["a", None, "b"], dtype=pl.Categorical),
        errors.InvalidVectorError,
        "element 1",
    ),
    "floats": ([1.0, 2.0, 3.0], errors.InputTypeError, "float64"),
    "bools": ([True, False, True], errors.InputTypeError, "bool"),
    "dates": (np.zeros(3, "M8[s]"), errors.InputTypeError, "datetime64"),
    "masked": (np.ma.masked_equal([1, 2, 3], 2), errors.InputTypeError, "masked"),
    "pyarrow floats": (pa.array([1.0, 2, 3]), errors.InputTypeError, '"g"'),
    "pyarrow lists": (pa.array([[1], [2], [3]]), errors.InputTypeError, r'"+l"'),
    "polars dates": (pl.Series([1, 2, 3]).cast(pl.Date), errors.InputTypeError, "tdD"),
    "two columns": (
        pl.DataFrame({"a": [1, 2, 3], "b": [1, 2, 3]}),
        errors.InputTypeError,
        "['a', 'b']: select one",
    ),
    "no UTF-8": (
        pa.Array.from_buffers(
            pa.string(),
            3,
            [
                None,
                pa.array([0, 1, 2, 3], pa.int32()).buffers()[1],
                pa.py_buffer(b"a\xffb"),
            ],
        ),
        errors.ArrowError,
        "element 1 is no UTF-8",
    ),
}


@pytest.mark.parametrize("name", NO_IDS)
def test_what_is_no_set_of_ids(name: str) -> None:
    ids, error, said = NO_IDS[name]
    model = fast_lsh_ann.BucketedRandomProjectionLSHModel(1.0, 1, 42, 1)
    with pytest.raises(error, match=r"^ids\b") as caught:
        model.index(np.zeros((3, 1)), ids)
    assert said in str(caught.value)


# ---- what is no rows -------------------------------------------------------------------


class DLDevice(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int32), ("number", ctypes.c_int32)]


class DLTensor(ctypes.Structure):
    """`DLTensor` of dlpack.h, with the fields of DLManagedTensor behind it."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device", DLDevice),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
        ("manager", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
    ]


class BFloat16:
    """A tensor of bfloat16, which NumPy has no type for."""

    dtype = "bfloat16"

    def __init__(self) -> None:
        self.memory = (ctypes.c_uint16 * 6)()
        self.shape = (ctypes.c_int64 * 2)(2, 3)
        self.tensor = DLTensor(
            ctypes.cast(self.memory, ctypes.c_void_p), DLDevice(1, 0), 2, 4, 16, 1
        )
        self.tensor.shape = ctypes.cast(self.shape, ctypes.POINTER(ctypes.c_int64))

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)

    def __dlpack__(self, **_options: Any) -> Any:
        make = ctypes.pythonapi.PyCapsule_New
        make.restype = ctypes.py_object
        make.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        return make(ctypes.addressof(self.tensor), b"dltensor", None)


class NeedsGradient:
    """Refuses to be an array, as tensors of PyTorch do that need a gradient."""

    dtype = "float32"

    def __array__(self, dtype: Any = None, copy: Any = None) -> Rows:
        raise RuntimeError("call detach() first")


class Sparse:
    """The face of a sparse matrix of scipy."""

    nnz = 1

    def toarray(self) -> Rows:
        raise AssertionError("it must not be made dense unasked")


class CudaArray:
    """The face of an array on a GPU that knows no DLPack."""

    def __init__(self) -> None:
        self.__cuda_array_interface__: dict[str, Any] = {}


def lists_of(values: list[Any], value_type: Any = None) -> pa.Array:
    return pa.array(values, pa.list_(value_type or pa.float64()))


def vector(**changed: Any) -> dict[str, Any]:
    """A sparse vector of Spark."""
    return {"type": 0, "size": 3, "indices": [0, 2], "values": [1.0, 2.0], **changed}


def two_vectors(**changed: Any) -> pa.Array:
    return pa.array([vector(), vector(**changed)], SPARK_VECTOR)


TYPE, SHAPE, ROW = errors.InputTypeError, errors.DimensionError, errors.InvalidVectorError
ONES = [1.0, 2.0, 3.0]

NO_ROWS: dict[str, tuple[Any, type[Exception], str]] = {
    "text": ("abc", TYPE, "real numbers"),
    "bytes": (b"abc", TYPE, "real numbers"),
    "None": (None, TYPE, "NoneType"),
    "a number": (3.0, SHAPE, "0-D"),
    "a vector": (ONES, SHAPE, "vector[None, :]"),
    "three axes": (np.ones((2, 2, 3)), SHAPE, "3-D"),
    "bools": (np.ones((2, 3), bool), TYPE, "bool"),
    "complex": ([[1j, 2, 3]], TYPE, "complex128"),
    "dates": (np.zeros((2, 3), "M8[s]"), TYPE, "datetime64"),
    "texts": ([["1", "2", "3"]], TYPE, "<U1"),
    "objects": ([[object(), 2, 3]], TYPE, "object at [0, 0]"),
    "an object bool": (np.array([[1, True, 3]], object), TYPE, "bool at [0, 1]"),
    "an object complex": (np.array([[1, 2, 3j]], object), TYPE, "complex at [0, 2]"),
    "dicts": ([{"a": 1}, {"a": 2}], TYPE, "dict"),
    "a generator": ((row for row in [ONES]), TYPE, "generator"),
    "None in a row": ([ONES, [1.0, None, 3.0]], ROW, "row 1, column 1 is None"),
    "a row of None": ([ONES, None], ROW, "row 1 is None"),
    "ragged": ([ONES, ONES, [1.0]], ROW, "row 2 has 1 values, row 0 has 3"),
    "ragged arrays": ([np.ones(3), np.ones(2)], ROW, "row 1 has 2 values"),
    "beyond float64": ([ONES, [10**400, 1, 2]], ROW, "[1, 0] is beyond float64"),
    "masked": (np.ma.masked_equal([ONES], 2), TYPE, "masked"),
    "masked rows": ([np.ma.masked_equal(ONES, 2)], TYPE, "masked"),
    "sparse": (Sparse(), TYPE, ".toarray()"),
    "a CUDA tensor": (Tensor(np.ones((2, 3)), (2, 1)), TYPE, "device 1 (CUDA); move it"),
    "a ROCm tensor": (Tensor(np.ones((2, 3)), (10, 0)), TYPE, "(ROCm); move it"),
    "an unknown device": (Tensor(np.ones((2, 3)), (99, 0)), TYPE, "DLPack type 99"),
    "a CUDA array": (CudaArray(), TYPE, "(CUDA); move it to the CPU"),
    "bfloat16": (BFloat16(), TYPE, "convert it to float32"),
    "a gradient": (NeedsGradient(), TYPE, "call detach() first"),
    "pandas bools": (pd.DataFrame({"a": [True]}), TYPE, "bool"),
    "pandas NA": (
        pd.DataFrame({c: pd.array([1, None], dtype="Int64") for c in "abc"}),
        ROW,
        "row 1, column 0 is <NA>",
    ),
    "pandas, a missing row": (pd.Series([np.ones(3), None]), ROW, "row 1 is None"),
    "pandas, ragged": (pd.Series([np.ones(3), np.ones(1)]), ROW, "row 1 has 1 values"),
    "Arrow numbers": (pa.array(ONES), SHAPE, "one number a row"),
    "Arrow texts": (pa.array(["a"]), TYPE, '"u"'),
    "Arrow bools": (lists_of([[True] * 3], pa.bool_()), TYPE, 'of "b"'),
    "Arrow lists of lists": (pa.array([[ONES]]), TYPE, '"+l" of "+l"'),
    "Arrow decimals": (lists_of([[Decimal(1)] * 3], pa.decimal128(3)), TYPE, '"d:3,0"'),
    "Arrow run-end encoded": (
        pa.RunEndEncodedArray.from_arrays([2], lists_of([ONES])),
        TYPE,
        '"+r"',
    ),
    "an Arrow null row": (lists_of([ONES, None]), ROW, "row 1 is null"),
    "an Arrow null": (lists_of([ONES, [1, None, 3]]), ROW, "row 1 holds a null at"),
    "Arrow, ragged": (lists_of([ONES, ONES, [1.0]]), ROW, "row 2 has 1 elements"),
    "Arrow, ragged chunks": (
        pa.chunked_array([lists_of([ONES, ONES]), lists_of([[1.0]])]),
        ROW,
        "row 2 has 1 elements, the rows before have 3",
    ),
    "a null in a later chunk": (
        pa.chunked_array([lists_of([ONES, ONES]), lists_of([ONES, None])]),
        ROW,
        "row 3 is null",
    ),
    "a null row, fixed": (
        pa.array([ONES, None], pa.list_(pa.float32(), 3)),
        ROW,
        "row 1 is null",
    ),
    "polars null": (pl.Series([ONES, None]), ROW, "row 1 is null"),
    "polars ragged": (pl.Series([ONES, [1.0]]), ROW, "row 1 has 1 elements"),
    "two columns": (
        pa.table({"id": [1], "v": lists_of([ONES])}),
        TYPE,
        "['id', 'v']: select one",
    ),
    "a table with texts": (pl.DataFrame({"a": [1.0], "b": ["x"]}), TYPE, "column 'b'"),
    "a table with a null": (
        pa.table({"a": ONES, "b": [1, None, 3]}),
        ROW,
        "column 'b': row 1 is null",
    ),
    "a null Spark vector": (
        pa.array([vector(), None], SPARK_VECTOR),
        ROW,
        "row 1 is null",
    ),
    "Spark, another size": (two_vectors(size=4), ROW, "row 1 has 4 elements"),
    "Spark, too few values": (two_vectors(values=[1.0]), ROW, "2 indices and 1 values"),
    "Spark, index beyond": (two_vectors(indices=[0, 3]), ROW, "must ascend within 3"),
    "Spark, indices fall": (two_vectors(indices=[2, 0]), ROW, "must ascend within 3"),
    "Spark, no values": (two_vectors(values=None), ROW, "row 1 has no values"),
    "Spark, a null value": (two_vectors(values=[1.0, None]), ROW, "holds a null at"),
    "Spark, unknown type": (two_vectors(type=2), ROW, "neither sparse (0) nor dense"),
}

ENTRIES: dict[str, Callable[[Any], Any]] = {
    "vectors": lambda rows: model_for("float64").transform(rows),
    "queries": lambda rows: (
        model_for("float64").index(np.ones((2, 3))).nearest_neighbors(rows, 1)
    ),
    "other": lambda rows: (
        model_for("float64")
        .index(np.ones((2, 3)))
        .similarity_join_count(rows, threshold=1.0)
    ),
}


# None stands for the index itself where another side is asked for.
REFUSED = [(a, n) for a in ENTRIES for n in NO_ROWS if (a, n) != ("other", "None")]


@pytest.mark.parametrize(("argument", "name"), REFUSED)
def test_what_is_no_set_of_rows(argument: str, name: str) -> None:
    rows, error, said = NO_ROWS[name]
    with pytest.raises(error, match=rf"^{argument}\b") as caught:
        ENTRIES[argument](rows)
    assert said in str(caught.value)


def test_rows_at_fault_are_numbered_over_all_chunks() -> None:
    column = pa.chunked_array([lists_of([ONES] * 5), lists_of([ONES, [1, 2, None]])])
    with pytest.raises(ROW) as caught:
        model_for("float64").transform(column)
    assert (caught.value.row, caught.value.column) == (6, 2)
    frame = pa.table({"a": pa.chunked_array([ONES, [1.0, None]]), "b": [1, 2, 3, 4, 5]})
    with pytest.raises(ROW) as caught:
        as_rows(frame, "v")
    assert (caught.value.row, caught.value.column) == (4, 0)


NO_QUERY: dict[str, tuple[Any, type[Exception], str]] = {
    "Arrow lists": (pa.array([ONES]), SHAPE, "got an Arrow column of lists"),
    "Arrow texts": (pl.Series(["a", "b", "c"]), TYPE, '"vu"'),
    "Arrow null": (pa.array([1.0, None, 3.0]), ROW, "element 1 is null"),
    "None": ([1.0, None, 3.0], ROW, "column 1 is None"),
    "NaN": (pa.array([1.0, float("nan"), 3.0]), ROW, "column 1"),
    "a GPU": (Tensor(np.ones(3), (2, 0)), TYPE, "CUDA"),
    "too long": (pl.Series([1.0] * 4), SHAPE, "3, got 4"),
}


@pytest.mark.parametrize("name", NO_QUERY)
def test_what_is_no_query(name: str) -> None:
    query, error, said = NO_QUERY[name]
    with pytest.raises(error, match=r"^query\b") as caught:
        model_for("float64").approx_nearest_neighbors(np.ones((2, 3)), query, 1)
    assert said in str(caught.value)
    if error is ROW:
        assert isinstance(caught.value, ROW)
        assert (caught.value.row, caught.value.column) == (0, 1)
