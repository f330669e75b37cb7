"""The extension's Arrow functions against pyarrow, polars and nanoarrow."""

import gc
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import fast_lsh_ann.errors
import nanoarrow
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from conftest import Run
from fast_lsh_ann import _core
from fast_lsh_ann._arrow import memory_array
from numpy.typing import NDArray
from producers import LOCAL_FILES, PRODUCERS

ArrowError = fast_lsh_ann.errors.ArrowError
InvalidVectorError = fast_lsh_ann.errors.InvalidVectorError

# 10 rows of 3; row i is (3 i, 3 i + 1, 3 i + 2)
VECTORS = np.arange(30.0).reshape(10, 3)


class Batch:
    """A pair of capsules as a consumer of the protocol wants it."""

    def __init__(self, schema: Any, array: Any) -> None:
        self._pair = schema, array

    def __arrow_c_array__(self, requested_schema: object = None) -> Any:
        return self._pair


class Stream:
    """A stream's capsule as a consumer of the protocol wants it."""

    def __init__(self, capsule: Any) -> None:
        self._capsule = capsule

    def __arrow_c_stream__(self, requested_schema: object = None) -> Any:
        return self._capsule


def batches(source: Any) -> Iterator[list[tuple[Any, Any]]]:
    reader, _ = _core.stream_open(source.__arrow_c_stream__())
    while (batch := _core.stream_next(reader)) is not None:
        yield _core.take_columns(*batch)


def view(column: tuple[Any, Any], first_row: int = 0, name: str = "v") -> NDArray[Any]:
    memory, rows, dim, dtype = _core.view_rows(*column, first_row, name)
    return memory_array(memory, (rows, dim), dtype)


def read_vectors(source: Any) -> NDArray[Any]:
    """The last column of all batches."""
    views = [view(columns[-1]) for columns in batches(source)]
    assert views, "the stream had no batch"
    return np.concatenate([rows for rows in views if len(rows)])


# ---- rows in ---------------------------------------------------------------------------


@pytest.mark.parametrize("list_type", [pa.list_, pa.large_list])
@pytest.mark.parametrize("value_type", [pa.float32(), pa.float64()])
@pytest.mark.parametrize("part", [slice(0, 10), slice(0, 4), slice(3, 9), slice(9, 10)])
def test_pyarrow_lists_are_read_with_any_slice(
    list_type: Any, value_type: pa.DataType, part: slice
) -> None:
    column = pa.array(VECTORS.tolist(), list_type(value_type))
    table = pa.table({"id": range(10), "v": column})[part]
    rows = read_vectors(table)
    np.testing.assert_array_equal(rows, VECTORS[part])
    assert rows.dtype == value_type.to_pandas_dtype()
    # sliced before and after it became a batch
    batch = pa.record_batch({"v": column[1:]})[1:]
    np.testing.assert_array_equal(
        read_vectors(pa.Table.from_batches([batch])), VECTORS[2:]
    )


@pytest.mark.parametrize("value_type", [pl.Float32, pl.Float64])
@pytest.mark.parametrize("part", [slice(0, 10), slice(0, 4), slice(3, 9)])
def test_polars_lists_are_read_with_any_slice(value_type: Any, part: slice) -> None:
    values = pl.Series("v", VECTORS.tolist(), dtype=pl.List(value_type))
    frame = pl.DataFrame({"name": [f"row {i}" for i in range(10)], "v": values})[part]
    np.testing.assert_array_equal(read_vectors(frame), VECTORS[part])


def test_rows_are_viewed_where_they_lie_and_kept_alive() -> None:
    column = pa.array(VECTORS.tolist(), pa.list_(pa.float64()))
    address = column.values.buffers()[1].address
    (columns,) = batches(pa.table({"v": column[2:]}))
    rows = view(columns[0])
    assert rows.ctypes.data == address + 2 * 3 * 8
    del column, columns
    gc.collect()
    np.testing.assert_array_equal(rows, VECTORS[2:])


def test_an_empty_column_has_no_rows() -> None:
    empty = pa.record_batch({"v": pa.array([], pa.list_(pa.float32()))})
    (columns,) = batches(pa.RecordBatchReader.from_batches(empty.schema, [empty]))
    assert _core.array_length(columns[0][1]) == 0
    _, rows, dim, dtype = _core.view_rows(*columns[0], 0, "v")
    assert (rows, dim, dtype) == (0, 0, "<f4")


@pytest.mark.parametrize(
    ("values", "row", "column", "bad_rows", "text"),
    [
        ([[1.0], None, [2.0]], 101, -1, 1, "row 101 is null"),
        ([[1.0, 2.0], [1.0, None], None], 101, 1, 2, "holds a null at position 1"),
        ([[1.0, 2.0], [1.0], [1.0, 2.0]], 101, -1, 1, "has 1 elements"),
        ([[], []], 100, -1, 2, "row 100 is empty"),
    ],
)
@pytest.mark.parametrize("library", ["pyarrow", "polars"])
def test_rows_at_fault_are_named(
    library: str, values: list[Any], row: int, column: int, bad_rows: int, text: str
) -> None:
    source = (
        pa.table({"v": pa.array(values, pa.list_(pa.float64()))})
        if library == "pyarrow"
        else pl.DataFrame({"v": pl.Series(values, dtype=pl.List(pl.Float64))})
    )
    (columns,) = batches(source)
    with pytest.raises(InvalidVectorError, match=text) as caught:
        view(columns[0], first_row=100, name="embedding")
    assert str(caught.value).startswith("embedding: ")
    assert (caught.value.row, caught.value.column) == (row, column)
    assert caught.value.bad_rows == bad_rows
    # the column is still there
    assert _core.array_length(columns[0][1]) == len(values)


@pytest.mark.parametrize(
    ("column", "error", "text"),
    [
        (pa.array([1.0]), fast_lsh_ann.errors.DimensionError, "a list of numbers a row"),
        (pa.array([[True]]), fast_lsh_ann.errors.InputTypeError, r'"\+l" of "b"'),
        (pa.array([["a"]]), fast_lsh_ann.errors.InputTypeError, r'"\+l" of "u"'),
        (pa.array([[[1.0]]]), fast_lsh_ann.errors.InputTypeError, r'"\+l" of "\+l"'),
        (
            pa.array(["a"]).dictionary_encode(),
            fast_lsh_ann.errors.InputTypeError,
            'dictionary-encoded format "u"',
        ),
    ],
)
def test_unsupported_types_are_named(
    column: pa.Array, error: type[Exception], text: str
) -> None:
    (columns,) = batches(pa.table({"v": column}))
    with pytest.raises(error, match=text):
        view(columns[0])


def test_a_column_is_viewed_once() -> None:
    (columns,) = batches(pa.table({"v": [[1.0]]}))
    view(columns[0])
    with pytest.raises(ArrowError, match="handed over before"):
        view(columns[0])
    with pytest.raises(ArrowError, match="handed over before"):
        _core.array_length(columns[0][1])


# ---- streams in ------------------------------------------------------------------------


def test_a_stream_tells_its_names_and_repeats_its_end() -> None:
    table = pa.table({"id": [1, 2], "v": [[1.0], [2.0]]})
    reader, schema = _core.stream_open(table.__arrow_c_stream__())
    assert _core.schema_fields(schema) == [("id", "l"), ("v", "+l")]
    batch = _core.stream_next(reader)
    assert batch is not None
    assert len(_core.take_columns(*batch)) == 2
    with pytest.raises(ArrowError, match="handed over before"):
        _core.take_columns(*batch)
    for _ in range(3):
        assert _core.stream_next(reader) is None


def test_a_stream_used_twice_raises() -> None:
    stream = pa.table({"v": [[1.0]]}).__arrow_c_stream__()
    _core.stream_open(stream)
    with pytest.raises(ArrowError, match="was read before"):
        _core.stream_open(stream)


def test_a_stream_of_a_single_column_has_no_columns_to_take() -> None:
    stream = pa.chunked_array([[1.0], [2.0]]).__arrow_c_stream__()
    reader, schema = _core.stream_open(stream)
    assert _core.schema_fields(schema) is None
    column = _core.stream_next(reader)
    assert column is not None
    with pytest.raises(ArrowError, match="does not hold record batches"):
        _core.take_columns(*column)
    assert _core.view_numbers(*column, "v")[1:] == (1, "<f8")


def test_a_failing_stream_raises_its_text_and_stays_failed() -> None:
    def fail() -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"v": [[1.0]]})
        raise RuntimeError("the disk is gone")

    schema = pa.schema({"v": pa.list_(pa.float64())})
    reader, _ = _core.stream_open(
        pa.RecordBatchReader.from_batches(schema, fail()).__arrow_c_stream__()
    )
    assert _core.stream_next(reader) is not None
    with pytest.raises(ArrowError, match="the disk is gone"):
        _core.stream_next(reader)
    with pytest.raises(ArrowError, match="failed before"):
        _core.stream_next(reader)


@pytest.mark.parametrize("producer", PRODUCERS)
def test_a_producer_that_needs_the_gil_does_not_hang(
    producer: str, run_python: Run
) -> None:
    program = """
reader, schema = _core.stream_open(source.__arrow_c_stream__())
rows = 0
while (batch := _core.stream_next(reader)) is not None:
    rows += _core.view_rows(*_core.take_columns(*batch)[1], rows, "v")[1]
print([name for name, _ in _core.schema_fields(schema)], rows, flush=True)
# pyarrow's threads may still be closing Python files, which ends a process that exits the
# usual way with an abort: that is between those two.
os._exit(0)
"""
    columns = 'columns = ["id", "v"]\n'
    done = run_python(LOCAL_FILES + columns + PRODUCERS[producer] + program)
    assert done.stdout.strip() == "['id', 'v'] 1000"


# ---- batches out -----------------------------------------------------------------------


def export_three(rows: int = 10) -> tuple[Any, Any]:
    return _core.export_batch(
        [
            ("id", "int64", 0, np.arange(rows)),
            ("weight", "float64", 0, np.arange(rows) / 2),
            ("vector", "float32", 3, np.arange(3 * rows, dtype=np.float32)),
        ],
        rows,
    )


@pytest.mark.parametrize("rows", [0, 1, 10])
def test_exported_batches_are_read_by_others(rows: int) -> None:
    want = [
        {"id": i, "weight": i / 2, "vector": [3.0 * i, 3.0 * i + 1, 3.0 * i + 2]}
        for i in range(rows)
    ]
    assert nanoarrow.Array(Batch(*export_three(rows))).to_pylist() == want
    batch = pa.record_batch(Batch(*export_three(rows)))
    batch.validate(full=True)
    assert batch.to_pylist() == want
    assert batch.schema.field("vector").type == pa.list_(
        pa.field("element", pa.float32())
    )
    frame = pl.DataFrame(pa.Table.from_batches([batch]))
    assert frame.to_dicts() == want


def test_an_export_keeps_its_values_alive_and_lets_go_once() -> None:
    values = np.arange(6, dtype=np.float64)
    gone = weakref.ref(values)
    batch = pa.record_batch(Batch(*_core.export_batch([("v", "float64", 2, values)], 3)))
    element = batch.column(0).values
    assert element.buffers()[1].address == values.ctypes.data
    del values, batch
    gc.collect()
    assert gone() is not None
    assert element.to_pylist() == [0, 1, 2, 3, 4, 5]
    del element
    gc.collect()
    assert gone() is None


def test_an_export_may_be_released_by_another_thread() -> None:
    values = np.arange(6, dtype=np.float64)
    gone = weakref.ref(values)
    kept = [_core.export_batch([("v", "float64", 0, values)], 6)]
    del values
    with ThreadPoolExecutor(1) as pool:
        pool.submit(kept.clear).result()
    assert gone() is None


@pytest.mark.parametrize(
    ("column", "text"),
    [
        (("v", "float64", 0, np.zeros(3)), "10 rows of 1 float64 values, got 24 bytes"),
        (("v", "float64", 2, np.zeros(10)), "10 rows of 2 float64 values"),
        (("v", "float32", 0, np.zeros(10)), "format d"),
        (("v", "int64", 0, np.zeros(10, np.uint64)), "format L"),
        (("v", "int32", 0, np.zeros(10, np.int32)), "int64, float32 or float64"),
        (("v", "float64", -1, np.zeros(10)), "column v"),
        (("v", "float64", 0, np.zeros(20)[::2]), "not C-contiguous"),
    ],
)
def test_values_that_do_not_fit_are_refused(column: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        _core.export_batch([column], 10)


def test_refused_values_are_let_go() -> None:
    good, short = np.zeros(10), np.zeros(3)
    gone = weakref.ref(good), weakref.ref(short)
    with pytest.raises(ValueError, match="column b"):
        _core.export_batch([("a", "float64", 0, good), ("b", "float64", 0, short)], 10)
    del good, short
    gc.collect()
    assert gone[0]() is None
    assert gone[1]() is None


def test_columns_of_any_type_pass_through_under_a_new_name() -> None:
    table = pa.table(
        {
            "s": pa.array(["a", None, "c"]).dictionary_encode(),
            "n": pa.array([{"x": [1]}, {"x": []}, None]),
            "t": pa.array([1, 2, 3], pa.timestamp("us", "UTC")),
        }
    )[1:]
    (columns,) = batches(table)
    capsules = _core.export_batch(
        [(f"{name} again", *c) for name, c in zip("snt", columns, strict=True)]
        + [("id", "int64", 0, np.arange(2))],
        2,
    )
    batch = pa.record_batch(Batch(*capsules))
    batch.validate(full=True)
    assert batch.schema.names == ["s again", "n again", "t again", "id"]
    for i, name in enumerate("snt"):
        assert batch.schema.field(i).type == table.schema.field(name).type
        assert batch.column(i).to_pylist() == table[name].to_pylist()
    with pytest.raises(ArrowError, match="handed over before"):
        _core.array_length(columns[0][1])


def test_a_passed_column_of_another_length_stays_where_it_is() -> None:
    (columns,) = batches(pa.table({"v": [1, 2, 3]}))
    with pytest.raises(fast_lsh_ann.errors.DimensionError, match="has 3 rows"):
        _core.export_batch([("v", *columns[0])], 4)
    assert pa.array(Batch(*columns[0])).to_pylist() == [1, 2, 3]


# ---- streams out -----------------------------------------------------------------------


class Source:
    """Gives n batches, then what `last` does; counts how often it is asked."""

    def __init__(self, n: int, last: Any = lambda: None) -> None:
        self.left, self.last, self.calls = n, last, 0

    def __call__(self) -> Any:
        self.calls += 1
        self.left -= 1
        return export_three()[1] if self.left >= 0 else self.last()

    def stream(self) -> Any:
        return _core.export_stream(export_three()[0], self)


def test_exported_streams_are_read_by_others() -> None:
    want = nanoarrow.Array(Batch(*export_three())).to_pylist() * 3
    assert nanoarrow.ArrayStream(Stream(Source(3).stream())).read_all().to_pylist() == (
        want
    )
    table = pa.table(Stream(Source(3).stream()))
    table.validate(full=True)
    assert table.to_pylist() == want
    assert pl.DataFrame(Stream(Source(3).stream())).to_dicts() == want
    columns = list(batches(Stream(Source(3).stream())))
    rows = np.concatenate([view(c[2]) for c in columns])
    np.testing.assert_array_equal(rows, np.tile(VECTORS, (3, 1)))


def test_a_source_is_not_asked_again_after_its_end() -> None:
    source = Source(1)
    reader, _ = _core.stream_open(source.stream())
    assert _core.stream_next(reader) is not None
    assert _core.stream_next(reader) is None
    assert _core.stream_next(reader) is None
    assert source.calls == 2


def fail_with(error: BaseException) -> Any:
    def fail() -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    ("last", "text"),
    [
        (fail_with(RuntimeError("the disk is gone")), "the disk is gone"),
        (fail_with(KeyboardInterrupt()), "KeyboardInterrupt"),
        (fail_with(RuntimeError("é" * 400)), "éé"),
        (lambda: 5, "arrow_array|PyCapsule"),
    ],
)
def test_what_a_source_raises_reaches_the_reader_as_a_text(last: Any, text: str) -> None:
    source = Source(1, last)
    table = pa.RecordBatchReader.from_stream(Stream(source.stream()))
    assert table.read_next_batch().num_rows == 10
    for _ in range(2):
        with pytest.raises(OSError, match=text):
            table.read_next_batch()
    assert source.calls == 2


def test_a_batch_given_twice_fails_the_stream() -> None:
    schema, array = export_three()
    reader, _ = _core.stream_open(_core.export_stream(schema, lambda: array))
    assert _core.stream_next(reader) is not None
    with pytest.raises(ArrowError, match="handed over before"):
        _core.stream_next(reader)


def test_a_stream_is_read_from_other_threads() -> None:
    reader, _ = _core.stream_open(Source(20).stream())
    with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(1) as second:
        read = [
            (first, second)[i % 2].submit(_core.stream_next, reader).result()
            for i in range(21)
        ]
    assert read[-1] is None
    assert all(columns is not None for columns in read[:-1])


def test_an_unread_stream_lets_its_source_go() -> None:
    source = Source(3)
    gone = weakref.ref(source)
    stream = source.stream()
    del source
    assert gone() is not None
    del stream
    assert gone() is None


def test_reading_a_stream_leaks_nothing() -> None:
    counts = []
    for _ in range(4):
        for columns in batches(Stream(Source(50).stream())):
            view(columns[2])
        gc.collect()
        counts.append(len(gc.get_objects()))
    assert max(b - a for a, b in pairwise(counts[1:])) < 20


def test_the_interpreter_ends_with_exports_alive(run_python: Run) -> None:
    program = """
import numpy as np
import pyarrow as pa
from fast_lsh_ann import _core
import fast_lsh_ann

class Batch:
    def __arrow_c_array__(self, requested_schema=None):
        return _core.export_batch([("v", "float64", 0, np.zeros(3))], 3)

pa.kept = pa.record_batch(Batch())
schema, pa.array_kept = _core.export_batch([("v", "float64", 0, np.zeros(3))], 3)
pa.stream = _core.export_stream(schema, lambda: None)
pa.reader = _core.stream_open(pa.table({"v": [1]}).__arrow_c_stream__())
print("alive")
"""
    assert run_python(program).stdout == "alive\n"
