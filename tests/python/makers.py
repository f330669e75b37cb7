"""Rows as every producer gives them, and objects in place of what is not installed."""

import array
import ctypes
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import arro3.core as arro3
import fast_lsh_ann
import nanoarrow
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

Rows = NDArray[Any]
Make = Callable[[Rows], Any]

DIM = 3
NUMBERS = [
    *("float16", "float32", "float64"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
]


def plain(dtype: str) -> Rows:
    """Rows whose every bit counts in their type; 23 of them, a prime."""
    generator = np.random.default_rng(8)
    if dtype.startswith("float"):
        return generator.normal(0, 9, (23, DIM)).astype(dtype)
    most = min(np.iinfo(dtype).max, 2**31)
    return generator.integers(0, most, (23, DIM)).astype(dtype)


def model_for(dtype: str) -> fast_lsh_ann.BucketedRandomProjectionLSHModel:
    width = 9.0 if dtype.startswith("float") else np.iinfo(dtype).max / 5.0
    return fast_lsh_ann.BucketedRandomProjectionLSHModel(min(width, 1e9), 3, 42, DIM)


# ---- pyarrow, every list type ----------------------------------------------------------


def flat(rows: Rows) -> pa.Array:
    """The numbers one after the other, a slice of more."""
    numbers = rows.ravel()
    return pa.array(np.concatenate([numbers[:4], numbers, numbers[:2]]))[4:-2]


def by_offsets(kind: Any, offset_type: pa.DataType) -> Make:
    def make(rows: Rows) -> pa.Array:
        offsets = pa.array(np.arange(len(rows) + 1) * rows.shape[1], offset_type)
        return kind.from_arrays(offsets, flat(rows))

    return make


def by_views(kind: Any, offset_type: pa.DataType) -> Make:
    """Lists whose values lie the other way round."""

    def make(rows: Rows) -> pa.Array:
        n, dim = rows.shape
        offsets = pa.array(np.arange(n - 1, -1, -1) * dim, offset_type)
        sizes = pa.array(np.full(n, dim), offset_type)
        return kind.from_arrays(offsets, sizes, flat(rows[::-1]))

    return make


def fixed(rows: Rows) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(flat(rows), rows.shape[1])


def rows_by_dictionary(rows: Rows) -> pa.Array:
    n = len(rows)
    return pa.DictionaryArray.from_arrays(
        pa.array(np.arange(n - 1, -1, -1), pa.int16()), lists(rows[::-1])
    )


def values_by_dictionary(rows: Rows) -> pa.Array:
    offsets = pa.array(np.arange(len(rows) + 1) * rows.shape[1], pa.int32())
    values, places = np.unique(rows, return_inverse=True)
    numbers = pa.DictionaryArray.from_arrays(
        pa.array(places.ravel(), pa.int32()), pa.array(values)
    )
    return pa.ListArray.from_arrays(offsets, numbers)


class Embedding(pa.ExtensionType):  # type: ignore[misc]
    """An extension type over lists."""

    def __init__(self, storage: pa.DataType) -> None:
        super().__init__(storage, "fast_lsh_ann.test")

    def __arrow_ext_serialize__(self) -> bytes:
        return b""


def extension(rows: Rows) -> pa.Array:
    storage = fixed(rows)
    return pa.ExtensionArray.from_storage(Embedding(storage.type), storage)


def sliced(make: Make) -> Make:
    """A slice of more rows, before and behind."""

    def slice_of(rows: Rows) -> Any:
        return make(np.concatenate([rows[:2], rows, rows[-1:]]))[2 : 2 + len(rows)]

    return slice_of


lists = by_offsets(pa.ListArray, pa.int32())
LIST_TYPES: dict[str, Make] = {
    "list": lists,
    "large_list": by_offsets(pa.LargeListArray, pa.int64()),
    "list_view": by_views(pa.ListViewArray, pa.int32()),
    "large_list_view": by_views(pa.LargeListViewArray, pa.int64()),
    "fixed_size_list": fixed,
    "dictionary of lists": rows_by_dictionary,
    "lists of a dictionary": values_by_dictionary,
    "extension": extension,
}


def chunked(rows: Rows) -> pa.ChunkedArray:
    return pa.chunked_array([lists(rows[:5]), lists(rows[5:5]), lists(rows[5:])])


def table(rows: Rows) -> pa.Table:
    return pa.table({"v": chunked(rows)})


def columns(rows: Rows) -> dict[str, Rows]:
    return {f"x{i}": rows[:, i] for i in range(rows.shape[1])}


# ---- other libraries -------------------------------------------------------------------


def series(rows: Rows) -> pl.Series:
    """Two chunks of a polars list."""
    whole = pl.Series("v", rows).cast(pl.List(pl.from_numpy(rows[:1, :1]).dtypes[0]))
    return pl.concat([whole[:7], whole[7:]], rechunk=False)


def lazy_batches(rows: Rows) -> Any:
    frame = series(rows).to_frame().lazy()
    return frame.collect_batches(chunk_size=6, lazy=True)


class Interface:
    """Only `__array_interface__`."""

    def __init__(self, values: Rows) -> None:
        self.kept = values
        self.__array_interface__ = values.__array_interface__


class Converts:
    """Only `__array__`."""

    def __init__(self, values: Rows) -> None:
        self.kept = values

    def __array__(self, dtype: Any = None, copy: Any = None) -> Rows:
        return np.array(self.kept, dtype=dtype, copy=copy)


class Tensor:
    """Only DLPack, from the memory of a device."""

    def __init__(self, values: Rows, device: tuple[int, int] = (1, 0)) -> None:
        self.kept, self.device = values, device

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device

    def __dlpack__(self, **options: Any) -> Any:
        assert self.device[0] == 1, "memory of another device was asked for"
        return self.kept.__dlpack__(**options)


def in_ctypes(rows: Rows) -> Any:
    item = np.ctypeslib.as_ctypes_type(rows.dtype)
    made = ((item * rows.shape[1]) * len(rows))()
    ctypes.memmove(made, np.ascontiguousarray(rows).ctypes.data, rows.nbytes)
    return made


def in_buffer(rows: Any) -> Any:
    return memoryview(rows)


def both_backwards(rows: Rows) -> Rows:
    return np.ascontiguousarray(rows[::-1, ::-1])[::-1, ::-1]


def read_only(rows: Rows) -> Rows:
    rows.setflags(write=False)
    return rows


def spark_vectors(rows: Rows) -> pa.StructArray:
    """Dense and sparse rows in turn; zeros are left out of sparse ones."""
    vectors = []
    for i, row in enumerate(rows.tolist()):
        places = [j for j, value in enumerate(row) if value != 0]
        dense = {"type": 1, "size": None, "indices": None, "values": row}
        sparse = {
            "type": 0,
            "size": len(row),
            "indices": places,
            "values": [row[j] for j in places],
        }
        vectors.append(sparse if i % 2 else dense)
    return pa.array(vectors, SPARK_VECTOR)


SPARK_VECTOR = pa.struct(
    [
        ("type", pa.int8()),
        ("size", pa.int32()),
        ("indices", pa.list_(pa.int32())),
        ("values", pa.list_(pa.float64())),
    ]
)


def arrow_pandas(rows: Rows) -> pd.Series:
    return pd.Series(pd.arrays.ArrowExtensionArray(lists(rows)))


EXACT = ["float32", "float64", "int8", "uint64"]

# name -> (types it is tried with, how it is made)
PRODUCERS_OF_ROWS: dict[str, tuple[list[str], Make]] = {
    **{f"pyarrow {name}": (NUMBERS, make) for name, make in LIST_TYPES.items()},
    **{f"pyarrow {k}, sliced": (EXACT, sliced(make)) for k, make in LIST_TYPES.items()},
    "pyarrow tensors": (EXACT, pa.FixedShapeTensorArray.from_numpy_ndarray),
    "pyarrow chunks": (EXACT, chunked),
    "pyarrow table": (EXACT, table),
    "pyarrow table, sliced": (EXACT, sliced(table)),
    "pyarrow batch": (EXACT, lambda rows: pa.record_batch({"v": lists(rows)})),
    "pyarrow batch, sliced": (EXACT, sliced(lambda r: pa.record_batch({"v": lists(r)}))),
    "pyarrow reader": (EXACT, lambda rows: table(rows).to_reader()),
    "pyarrow table of numbers": (EXACT, lambda rows: pa.table(columns(rows))),
    "pyarrow reader of numbers": (
        EXACT,
        lambda rows: pa.table(columns(rows)).to_reader(max_chunksize=6),
    ),
    "polars lists": (NUMBERS, series),
    "polars lists, sliced": (EXACT, sliced(series)),
    "polars arrays": (NUMBERS, lambda rows: pl.Series("v", rows)),
    "polars arrays, sliced": (EXACT, sliced(lambda rows: pl.Series("v", rows))),
    "polars column": (EXACT, lambda rows: series(rows).to_frame()),
    "polars batches": (EXACT, lazy_batches),
    "polars frame of numbers": (EXACT, lambda rows: pl.DataFrame(columns(rows))),
    "arro3 array": (EXACT, lambda rows: arro3.Array(lists(rows))),
    "arro3 chunks": (EXACT, lambda rows: arro3.ChunkedArray(chunked(rows))),
    "arro3 reader of arrays": (
        EXACT,
        lambda rows: arro3.ArrayReader.from_stream(chunked(rows)),
    ),
    "arro3 table": (EXACT, lambda rows: arro3.Table(table(rows))),
    "arro3 batch": (
        EXACT,
        lambda rows: arro3.RecordBatch(pa.record_batch({"v": fixed(rows)})),
    ),
    "arro3 reader": (EXACT, lambda r: arro3.RecordBatchReader.from_stream(table(r))),
    "nanoarrow array": (EXACT, lambda rows: nanoarrow.Array(lists(rows))),
    "nanoarrow chunks": (EXACT, lambda rows: nanoarrow.Array(chunked(rows))),
    "nanoarrow C array": (EXACT, lambda rows: nanoarrow.c_array(lists(rows))),
    "nanoarrow stream": (EXACT, lambda rows: nanoarrow.ArrayStream(table(rows))),
    "nanoarrow C stream": (EXACT, lambda rows: nanoarrow.c_array_stream(table(rows))),
    "Spark vectors": (["float64"], spark_vectors),
    "Spark vectors, sliced": (["float64"], sliced(spark_vectors)),
    "Spark vectors in a table": (
        ["float64"],
        lambda rows: pa.table({"v": spark_vectors(rows)}),
    ),
    "Spark vectors in polars": (
        ["float64"],
        lambda rows: pl.Series("v", spark_vectors(rows)),
    ),
    "memoryview": (EXACT, in_buffer),
    "memoryview, backwards": (EXACT, lambda rows: in_buffer(both_backwards(rows))),
    "ctypes": (EXACT, in_ctypes),
    "array.arrays": (
        ["float64"],
        lambda rows: [array.array("d", row) for row in rows.tolist()],
    ),
    "lists": (["float64", "int64"], lambda rows: rows.tolist()),
    "list of arrays": (NUMBERS, list),
    "tuple of lists": (["float64"], lambda rows: tuple(rows.tolist())),
    "Python objects": (["float64"], lambda rows: rows.astype(object)),
    "fractions": (
        ["float64"],
        lambda rows: [[Fraction(x) for x in row] for row in rows.tolist()],
    ),
    "decimals": (
        ["float64"],
        lambda rows: [[Decimal(x) for x in row] for row in rows.tolist()],
    ),
    "__array__": (NUMBERS, Converts),
    "__array_interface__": (NUMBERS, Interface),
    "DLPack": (NUMBERS, Tensor),
    "DLPack, backwards": (EXACT, lambda rows: Tensor(both_backwards(rows))),
    "DLPack, Fortran order": (EXACT, lambda rows: Tensor(np.asfortranarray(rows))),
    "DLPack, read-only": (EXACT, lambda rows: Tensor(read_only(rows.copy()))),
    "pandas frame": (NUMBERS, pd.DataFrame),
    "pandas frame, nullable": (
        ["float64"],
        lambda rows: pd.DataFrame(rows, dtype="Float64"),
    ),
    "pandas arrays": (EXACT, lambda rows: pd.Series(list(rows))),
    "pandas lists of Arrow": (EXACT, arrow_pandas),
    "byte-swapped": (NUMBERS, lambda rows: rows.astype(rows.dtype.newbyteorder())),
}
