"""Columns of anything that speaks Arrow, as rows, numbers or ids."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from fast_lsh_ann import _core
from fast_lsh_ann._arrays import bad_row
from fast_lsh_ann._arrow import ArrowBatch, memory_array
from fast_lsh_ann.errors import ArrowError, InputTypeError, InvalidVectorError

# Fields of Spark's vectors, which are a struct and no table.
_SPARK_VECTOR = ["type", "size", "indices", "values"]

# Iterators whose batches were taken, by address while they live.  Some say themselves
# that they were read before; pyarrow's and polars' give no batches the second time.
_iterators_read: "WeakValueDictionary[int, Any]" = WeakValueDictionary()


def gives_arrow(values: object) -> bool:
    """Whether an object hands over Arrow arrays.

    Those of pandas are left to NumPy: they hold NumPy arrays, and need pyarrow for more.
    """
    if str(type(values).__module__).partition(".")[0] == "pandas":
        return False
    return hasattr(values, "__arrow_c_stream__") or hasattr(values, "__arrow_c_array__")


def export_arrow(source: Any, method: str, name: str) -> Any:
    """Call one of the methods of Arrow's protocol; an iterator's only once."""
    kind = type(source).__name__
    if hasattr(type(source), "__next__"):
        if _iterators_read.get(id(source)) is source:
            raise ArrowError(
                f"{name}: this {kind} gives its batches once and was read before: "
                f"make a new one, or read it into a table first"
            )
        with suppress(TypeError):  # what cannot be remembered says so itself
            _iterators_read[id(source)] = source
    try:
        return getattr(source, method)()
    except Exception as error:
        raise ArrowError(f"{name}: {kind}.{method} failed: {error}") from error


class _Source:
    """The chunks of what speaks Arrow: one column's, or a table's."""

    def __init__(self, source: Any, name: str) -> None:
        self.name = name
        self._reader: _core.StreamReader | None = None
        self._pair: ArrowBatch | None = None
        if hasattr(source, "__arrow_c_stream__"):
            stream = export_arrow(source, "__arrow_c_stream__", name)
            self._reader, schema = _core.stream_open(stream)
        else:
            self._pair = export_arrow(source, "__arrow_c_array__", name)
            schema = self._pair[0]
        fields = _core.schema_fields(schema)
        is_vector = fields is not None and [f[0] for f in fields] == _SPARK_VECTOR
        self._fields = None if is_vector else fields

    def is_table_of_scalars(self) -> bool:
        """Whether it is a table whose columns are all flat."""
        fields = self._fields
        return fields is not None and not any(f.startswith("+") for _, f in fields)

    def names(self) -> list[str]:
        """Names of a table's columns; empty for a column."""
        return [name for name, _ in self._fields or ()]

    def column(self) -> Iterator[ArrowBatch]:
        """Read the chunks of one column, alone or in a table of its own.

        Raises
        ------
        InputTypeError
            If it is a table of more than one column, or of none.
        ArrowError
            If a stream fails.
        """
        if self._fields is not None and len(self._fields) != 1:
            raise InputTypeError(
                f"{self.name}: wanted one column, got {len(self._fields)}, "
                f"{self.names()}: select one"
            )
        while (pair := self._next()) is not None:
            yield pair if self._fields is None else _core.take_columns(*pair)[0]

    def batches(self) -> Iterator[list[ArrowBatch]]:
        """Read the columns of a table, batch by batch."""
        while (pair := self._next()) is not None:
            yield _core.take_columns(*pair)

    def _next(self) -> ArrowBatch | None:
        try:
            if self._reader is not None:
                return _core.stream_next(self._reader)
        except ArrowError as error:
            raise ArrowError(f"{self.name}: {error}") from None
        pair, self._pair = self._pair, None
        return pair


def is_arrow_table(source: Any, name: str) -> bool:
    """Whether it is a table of columns of which some hold more than one number a row."""
    opened = _Source(source, name)
    return opened.names() != [] and not opened.is_table_of_scalars()


def arrow_rows(source: Any, name: str, fill: bool = False) -> NDArray[Any]:
    """Read a column of vectors, or a table of numbers, as a 2-D array of floats.

    One chunk of aligned float32 or float64 is viewed where it is, all else is copied.
    With `fill`, rows that InvalidVectorError would be about are NaN, and right is the
    length of the first row whose numbers are all there and finite; without such a row the
    array is `[n, 0]`.

    Raises
    ------
    InputTypeError
        If there are no vectors, or more columns than one that are not all numbers.
    DimensionError
        If it is a column of one number a row.
    InvalidVectorError
        If a row is null, empty, holds a null, or is not as long as the first.
    ArrowError
        If an Arrow structure contradicts itself, or a stream fails or was read before.
    """
    opened = _Source(source, name)
    scalars = opened.is_table_of_scalars()
    if scalars:
        blocks = _scalar_blocks(opened, fill)
    elif fill:
        blocks = _filled_blocks(opened)
    else:
        blocks = _vector_blocks(opened)
    views = [block for block in blocks if len(block)]
    return _joined(views) if views else np.empty((0, 0), dtype=np.float32)


def _filled_blocks(source: _Source) -> Iterator[NDArray[Any]]:
    """View a column of vectors chunk by chunk, rows at fault as NaN."""
    width = unusable = 0
    for schema, array in source.column():
        memory, rows, dim, dtype = _core.view_rows(schema, array, 0, source.name, width)
        if dim == 0:
            unusable += rows
            continue
        if width == 0:  # the width of the rows so far is known only now
            yield np.full((unusable, dim), np.nan, dtype=dtype)
            unusable = 0
        width = dim
        yield memory_array(memory, (rows, dim), dtype)
    yield np.empty((unusable, width))


def _vector_blocks(source: _Source) -> Iterator[NDArray[Any]]:
    """View a column of vectors chunk by chunk."""
    row = width = 0
    for schema, array in source.column():
        memory, rows, dim, dtype = _core.view_rows(schema, array, row, source.name)
        width = width or dim
        if rows and dim != width:
            raise bad_row(
                f"{source.name}: row {row} has {dim} elements, the rows before have "
                f"{width}: all rows must have one length",
                row,
            )
        yield memory_array(memory, (rows, dim), dtype)
        row += rows


def _scalar_blocks(source: _Source, fill: bool) -> Iterator[NDArray[Any]]:
    """Lay out a table of numbers batch by batch, a column a coordinate."""
    row = 0
    for columns in source.batches():
        block = []
        for place, (column, (schema, array)) in enumerate(
            zip(source.names(), columns, strict=True)
        ):
            name = f"{source.name}: column {column!r}"
            try:
                memory, count, dtype = _core.view_numbers(schema, array, name, fill)
            except InvalidVectorError as error:
                at = row + error.column
                raise bad_row(f"{name}: row {at} is null", at, place) from None
            block.append(memory_array(memory, (count,), dtype))
        yield np.column_stack(block) if block else np.empty((0, 0))
        row += len(block[0]) if block else 0


def arrow_numbers(source: Any, name: str) -> NDArray[Any]:
    """Read a column of one number a row; copies and errors as of `arrow_rows`."""
    views = []
    for schema, array in _Source(source, name).column():
        memory, count, dtype = _core.view_numbers(schema, array, name)
        views.append(memory_array(memory, (count,), dtype))
    return _joined(views) if views else np.empty(0)


def arrow_ids(source: Any, name: str) -> NDArray[Any]:
    """Read a column of ids: int64, uint64, or str and bytes as objects.

    Raises
    ------
    InputTypeError
        If the column holds neither integers nor strings nor binaries.
    InvalidVectorError
        If an id is null.
    ArrowError
        As of `arrow_rows`, and where a string is no UTF-8.
    """
    parts: list[NDArray[Any]] = []
    for schema, array in _Source(source, name).column():
        read = _core.read_ids(schema, array, name)
        if isinstance(read, list):
            parts.append(np.fromiter(read, dtype=object, count=len(read)))
        else:
            memory, count, dtype = read
            parts.append(memory_array(memory, (count,), dtype))
    return _joined(parts) if parts else np.empty(0, dtype=object)


def _joined(parts: list[NDArray[Any]]) -> NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
