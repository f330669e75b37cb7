"""Whatever rows, queries, radii and ids come in, the answers are those of plain NumPy."""

import array
import gc
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import arro3.core as arro3
import fast_lsh_ann
import nanoarrow
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from conftest import Run
from fast_lsh_ann import errors
from fast_lsh_ann._inputs import as_rows
from makers import (
    DIM,
    LIST_TYPES,
    NUMBERS,
    PRODUCERS_OF_ROWS,
    Converts,
    Interface,
    Make,
    Tensor,
    chunked,
    in_buffer,
    lazy_batches,
    lists,
    model_for,
    plain,
    series,
    table,
)
from producers import LOCAL_FILES, PRODUCERS

ROW_CASES = [
    pytest.param(dtype, make, id=f"{name}-{dtype}")
    for name, (dtypes, make) in PRODUCERS_OF_ROWS.items()
    for dtype in dtypes
]


def bytes_of(found: fast_lsh_ann.Neighbors) -> list[bytes]:
    return [part.tobytes() for part in (found.indices, found.distances, found.counts)]


@pytest.mark.parametrize(("dtype", "make"), ROW_CASES)
def test_rows_and_queries_of_any_producer_are_those_of_numpy(
    dtype: str, make: Make
) -> None:
    rows = plain(dtype)
    queries = rows[3:14]
    model = model_for(dtype)
    assert model.transform(make(rows)).tobytes() == model.transform(rows).tobytes()
    exact = fast_lsh_ann.exact_nearest_neighbors(rows, queries, 4)
    assert (exact.distances[:, 0] == 0).all()
    assert (exact.distances[:, 1:] > 0).any()
    found = fast_lsh_ann.exact_nearest_neighbors(make(rows), make(queries), 4)
    assert bytes_of(found) == bytes_of(exact)
    index = model.index(rows)
    found = index.nearest_neighbors(make(queries), 4)
    assert bytes_of(found) == bytes_of(index.nearest_neighbors(queries, 4))
    limit = float(np.median(exact.distances[:, -1]))
    pairs = fast_lsh_ann.exact_similarity_join(rows, queries, limit)
    other = fast_lsh_ann.exact_similarity_join(make(rows), make(queries), limit)
    assert len(pairs) > len(queries)
    assert other.left.tobytes() == pairs.left.tobytes()
    assert other.right.tobytes() == pairs.right.tobytes()
    assert other.distances.tobytes() == pairs.distances.tobytes()


def test_the_same_object_on_both_sides_is_read_once() -> None:
    rows = plain("float32")
    reader = table(rows).to_reader()
    found = fast_lsh_ann.exact_similarity_join(reader, reader, 9.0, self_pairs="upper")
    again = fast_lsh_ann.exact_similarity_join(rows, rows, 9.0, self_pairs="upper")
    assert found[:] == again[:]
    assert len(found) > 3


def test_every_producer_was_tried_with_float64() -> None:
    """float64 must stay float64 whoever gives it."""
    assert len(ROW_CASES) > 250
    for name, (dtypes, make) in PRODUCERS_OF_ROWS.items():
        assert "float64" in dtypes, name
        assert as_rows(make(plain("float64")), "v").dtype == np.float64, name


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("make", [np.asarray, lists, series], ids=["numpy", "pa", "pl"])
def test_what_float32_holds_exactly_becomes_float32(dtype: str, make: Make) -> None:
    narrow = np.finfo(np.float32).nmant >= np.dtype(dtype).itemsize * 8 or dtype in (
        "float16",
        "float32",
    )
    found = as_rows(make(plain(dtype)), "v")
    assert found.dtype == (np.float32 if narrow else np.float64)
    np.testing.assert_array_equal(found, plain(dtype).astype(found.dtype))


@pytest.mark.parametrize("make", [np.asarray, lists, series], ids=["numpy", "pa", "pl"])
@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_integers_beyond_2_to_53_are_rounded_to_the_nearest_double(
    make: Make, dtype: str
) -> None:
    rows = np.array([[2**53 + 1, 2**53 + 3], [2**62 + 257, 2**53 - 1]], dtype)
    found = as_rows(make(rows), "v")
    assert found.tolist() == [[float(x) for x in row] for row in rows.tolist()]
    assert found[0].tolist() == [2.0**53, 2.0**53 + 4]


# ---- where rows lie --------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["list", "large_list", "fixed_size_list", "extension"])
def test_lists_of_floats_are_not_copied(kind: str, dtype: str) -> None:
    column = LIST_TYPES[kind](plain(dtype))
    storage: Any = getattr(column, "storage", column)
    address = storage.values.buffers()[1].address
    item = np.dtype(dtype).itemsize
    assert as_rows(column, "v").ctypes.data == address + 4 * item
    assert as_rows(column[2:], "v").ctypes.data == address + (4 + 2 * DIM) * item


def test_list_views_in_order_are_not_copied() -> None:
    values = pa.array(plain("float32").ravel())
    offsets = pa.array(np.arange(23) * DIM, pa.int32())
    sizes = pa.array(np.full(23, DIM), pa.int32())
    views = pa.ListViewArray.from_arrays(offsets, sizes, values)
    found = as_rows(views, "v")
    assert found.ctypes.data == views.values.buffers()[1].address


def test_buffers_and_dlpack_are_not_copied() -> None:
    rows = plain("float64")
    makes: list[Make] = [in_buffer, Tensor, Interface]
    for make in makes:
        assert as_rows(make(rows), "v").ctypes.data == rows.ctypes.data


def test_a_copy_lets_its_column_go() -> None:
    pool = pa.default_memory_pool()
    before = pool.bytes_allocated()
    numbers = pa.nulls(3_000_000, pa.int32()).fill_null(7)
    column = pa.FixedSizeListArray.from_arrays(numbers, DIM)
    assert pool.bytes_allocated() > before + 12_000_000
    rows = as_rows(column, "v")
    del column, numbers
    gc.collect()
    assert pool.bytes_allocated() < before + 1_000_000
    assert rows.shape == (1_000_000, DIM)


def test_an_index_that_copies_keeps_no_reference() -> None:
    rows = plain("float64")
    kept, copied = (model_for("float64").index(rows, copy=copy) for copy in (False, True))
    expected = kept.nearest_neighbors(rows[:1], 2, exact=True)[0]
    queries = rows[:1].copy()
    rows[:] = 0
    assert copied.nearest_neighbors(queries, 2, exact=True)[0] == expected


# ---- one query, radii ------------------------------------------------------------------

VECTORS: dict[str, Make] = {
    "pyarrow": pa.array,
    "pyarrow, sliced": lambda v: pa.array(np.concatenate([v, v, v]))[3:6],
    "pyarrow dictionary": lambda v: pa.array(v).dictionary_encode(),
    "pyarrow chunks": lambda v: pa.chunked_array([v[:1], v[1:]]),
    "pyarrow table": lambda v: pa.table({"x": v}),
    "polars": pl.Series,
    "arro3": lambda v: arro3.Array(pa.array(v)),
    "nanoarrow": lambda v: nanoarrow.Array(pa.array(v)),
    "memoryview": in_buffer,
    "DLPack": Tensor,
    "__array__": Converts,
    "ctypes": lambda v: np.ctypeslib.as_ctypes(v.copy()),
    "array.array": lambda v: array.array(v.dtype.char, v.tolist()),
    "list": lambda v: v.tolist(),
    "decimals": lambda v: [Decimal(x) for x in v.tolist()],
    "pandas": pd.Series,
    "byte-swapped": lambda v: v.astype(v.dtype.newbyteorder()),
    "apart": lambda v: np.repeat(v, 2)[::2],
}


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("name", VECTORS)
def test_one_query_and_radii_of_any_producer_are_those_of_numpy(
    name: str, dtype: str
) -> None:
    make = VECTORS[name]
    rows = plain(dtype)
    model = model_for(dtype)
    expected = model.approx_nearest_neighbors(rows, rows[4], 5)
    assert len(expected) > 1
    assert model.approx_nearest_neighbors(rows, make(rows[4]), 5) == expected
    radii = (np.abs(rows[5]) + rows.std().astype(dtype)).astype(dtype)
    index = model.index(rows)
    near = index.radius_neighbors(rows[:3], radii)
    assert len(near.indices) > 3
    found = index.radius_neighbors(rows[:3], make(radii))
    assert found.indptr.tobytes() == near.indptr.tobytes()
    assert found.distances.tobytes() == near.distances.tobytes()


# ---- ids -------------------------------------------------------------------------------

TEXTS = ["a", "", "é\0", "longer than twelve bytes", "a"]
INTEGERS = [7, -1, 2**62, 0, 7]
IDS: dict[str, tuple[list[Any], Any]] = {
    "list of ints": (INTEGERS, list(INTEGERS)),
    "range": ([0, 1, 2, 3, 4], range(5)),
    "int32": ([1, -2, 3, 4, 5], np.array([1, -2, 3, 4, 5], np.int32)),
    "uint64": ([2**64 - 1, 0, 1, 2, 3], np.array([2**64 - 1, 0, 1, 2, 3], np.uint64)),
    "ints that NumPy makes floats": ([2**63, -1, 0, 3, 1], [2**63, -1, 0, 3, 1]),
    "ints beyond int64": ([2**63, -1, 0, 2**80, 1], [2**63, -1, 0, 2**80, 1]),
    "byte-swapped": ([1, 2, 3, 4, 5], np.array([1, 2, 3, 4, 5], ">i4")),
    "list of texts": (TEXTS, list(TEXTS)),
    "mixed list": ([1, "1", b"1", 2.5, (3)], [1, "1", b"1", 2.5, (3)]),
    "tuple of bytes": ([b"a", b"b\0", b"", b"c", b"d"], (b"a", b"b\0", b"", b"c", b"d")),
    "array of texts": (["a", "b", "c", "d", "ef"], np.array(["a", "b", "c", "d", "ef"])),
    "object array": (TEXTS, np.array(TEXTS, dtype=object)),
    "numpy strings": (TEXTS, np.array(TEXTS, dtype=np.dtypes.StringDType())),
    "memoryview": ([1, 2, 3, 4, 5], in_buffer(np.arange(1, 6, dtype=np.uint8))),
    "DLPack": ([0, 1, 2, 3, 4], Tensor(np.arange(5, dtype=np.int16))),
    **{
        f"pyarrow {dtype}": ([1, 0, 3, 4, 5], pa.array([1, 0, 3, 4, 5], dtype))
        for dtype in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32")
    },
    "pyarrow uint64": (
        [2**64 - 1, 0, 1, 2, 3],
        pa.array([2**64 - 1, 0, 1, 2, 3], "uint64"),
    ),
    **{
        f"pyarrow {dtype}": (TEXTS, pa.array(["x", *TEXTS, "y"], dtype)[1:-1])
        for dtype in (pa.string(), pa.large_string(), pa.string_view())
    },
    **{
        f"pyarrow {dtype}": ([b"1", b"\xff", b"", b"2" * 20, b"3"], column)
        for dtype in (pa.binary(), pa.large_binary(), pa.binary_view())
        for column in [pa.array([b"1", b"\xff", b"", b"2" * 20, b"3"], dtype)]
    },
    "pyarrow dictionary": (TEXTS, pa.array(TEXTS).dictionary_encode()),
    "pyarrow chunks": (TEXTS, pa.chunked_array([TEXTS[:2], TEXTS[2:]])),
    "pyarrow table": (INTEGERS, pa.table({"id": INTEGERS})),
    "polars texts": (TEXTS, pl.Series(TEXTS)),
    "polars integers": (INTEGERS, pl.Series(INTEGERS)),
    "polars categories": (TEXTS, pl.Series(TEXTS, dtype=pl.Categorical)),
    "polars column": (TEXTS, pl.DataFrame({"id": TEXTS})),
    "arro3": (TEXTS, arro3.Array(pa.array(TEXTS))),
    "nanoarrow": (TEXTS, nanoarrow.Array(pa.array(TEXTS))),
    "pandas texts": (TEXTS, pd.Series(TEXTS)),
    "pandas index": (INTEGERS, pd.Index(INTEGERS)),
    "pandas integers": ([1, 2, 3, 4, 5], pd.Series([1, 2, 3, 4, 5], dtype="Int64")),
}


@pytest.mark.parametrize("name", IDS)
def test_ids_of_any_producer_come_back(name: str) -> None:
    want, ids = IDS[name]
    rows = np.arange(5.0)[:, None] * 10
    model = fast_lsh_ann.BucketedRandomProjectionLSHModel(1.0, 1, 42, 1)
    index = model.index(rows, ids)
    assert index.ids is not None
    assert index.ids.tolist() == want
    assert [type(x) for x in index.ids.tolist()] == [type(x) for x in want]
    found = index.nearest_neighbors([[0.0], [31.0]], 2, exact=True)
    assert found.ids is not None
    assert found.ids.tolist() == [want[:2], [want[3], want[4]]]
    near = index.radius_neighbors([[10.0]], 10.0, exact=True)
    assert near.ids is not None
    assert near.ids.tolist() == [want[1], want[0], want[2]]
    # one candidate: the rest is -1, or None for what int64 does not hold
    few = index.nearest_neighbors([[0.0]], 2).ids
    assert few is not None
    whole = np.can_cast(index.ids.dtype, np.int64)
    assert few.tolist() == [[want[0], -1 if whole else None]]


# ---- no rows ---------------------------------------------------------------------------

# It makes no column without rows.
NEVER_EMPTY = {"pyarrow tensors"}


@pytest.mark.parametrize("name", sorted(PRODUCERS_OF_ROWS.keys() - NEVER_EMPTY))
def test_no_rows_of_any_producer_give_nothing(name: str) -> None:
    dtypes, make = PRODUCERS_OF_ROWS[name]
    empty = make(plain(dtypes[0])[:0])
    assert model_for(dtypes[0]).transform(empty).shape == (0, 3)


def test_pandas_needs_no_pyarrow(run_python: Run) -> None:
    program = """
import sys
sys.modules["pyarrow"] = None
import numpy as np
import pandas as pd
import fast_lsh_ann

rows = np.arange(6.0).reshape(2, 3)
model = fast_lsh_ann.BucketedRandomProjectionLSHModel(1.0, 2, 42, 3)
for vectors in (pd.DataFrame(rows), pd.Series(list(rows))):
    index = model.index(vectors, pd.Series(["a", "b"]))
    print(index.nearest_neighbors(rows, 1, exact=True).ids.tolist())
"""
    assert run_python(program).stdout == "[['a'], ['b']]\n" * 2


# ---- streams ---------------------------------------------------------------------------

ONES = [1.0, 2.0, 3.0]
ONE_SHOT: dict[str, Make] = {
    "pyarrow": lambda rows: table(rows).to_reader(),
    "polars": lazy_batches,
    "arro3": lambda rows: arro3.RecordBatchReader.from_stream(table(rows)),
    "arro3 arrays": lambda rows: arro3.ArrayReader.from_stream(chunked(rows)),
    "nanoarrow": lambda rows: nanoarrow.ArrayStream(table(rows)),
    "nanoarrow C": lambda rows: nanoarrow.c_array_stream(table(rows)),
}


@pytest.mark.parametrize("name", ONE_SHOT)
def test_a_stream_is_read_once(name: str) -> None:
    rows = plain("float64")
    stream = ONE_SHOT[name](rows)
    model = model_for("float64")
    assert model.transform(stream).tobytes() == model.transform(rows).tobytes()
    for _ in range(2):
        with pytest.raises(errors.ArrowError, match=r"^vectors\b") as caught:
            model.transform(stream)
        said = str(caught.value)
        assert "read before" in said or "__arrow_c_stream__ failed" in said


def test_a_stream_that_was_refused_is_not_read_on() -> None:
    """Its other batches alone would be silently wrong."""
    column = pa.chunked_array([pa.array([ONES, None]), pa.array([ONES])])
    reader = pa.table({"v": column}).to_reader()
    model = model_for("float64")
    with pytest.raises(errors.InvalidVectorError, match="row 1 is null"):
        model.transform(reader)
    with pytest.raises(errors.ArrowError, match="was read before"):
        model.transform(reader)


def test_a_failing_stream_names_the_argument_and_says_why() -> None:
    def fail() -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"v": pa.array([ONES])})
        raise RuntimeError("the disk is gone")

    schema = pa.schema({"v": pa.list_(pa.float64())})
    reader = pa.RecordBatchReader.from_batches(schema, fail())
    with pytest.raises(errors.ArrowError, match=r"^vectors\b.*the disk is gone"):
        model_for("float64").transform(reader)


@pytest.mark.parametrize("producer", PRODUCERS)
def test_a_stream_whose_threads_need_the_gil_does_not_hang(
    producer: str, run_python: Run
) -> None:
    program = """
model = fast_lsh_ann.BucketedRandomProjectionLSHModel(1.0, 2, 42, 2)
found = model.transform(source)
print(found.shape, flush=True)
os._exit(0)  # see test_arrow.py
"""
    columns = 'columns = ["v"]\n'
    done = run_python(LOCAL_FILES + columns + PRODUCERS[producer] + program)
    assert done.stdout.strip() == "(1000, 2)"
