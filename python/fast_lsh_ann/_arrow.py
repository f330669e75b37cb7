"""Arrow in and out of Python objects, by the PyCapsule protocol over the extension."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fast_lsh_ann import _core
from fast_lsh_ann.errors import ArrowError, DimensionError, InputTypeError

# A record batch as the pair of capsules that `__arrow_c_array__` hands over.
ArrowBatch: TypeAlias = tuple["_core.ArrowSchema", "_core.ArrowArray"]

_EXPORTED = {"int64": np.int64, "float32": np.float32, "float64": np.float64}


class StreamExportable(Protocol):
    """Anything that gives an Arrow C stream: a frame, a table, a reader."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> Any: ...


class _Memory:
    """Memory behind a capsule, as NumPy's array interface wants it described."""

    def __init__(
        self, memory: "_core.Memory", shape: tuple[int, ...], dtype: str
    ) -> None:
        self._owner, address = memory
        self.__array_interface__ = {
            "data": (address, True),
            "shape": shape,
            "typestr": dtype,
            "version": 3,
        }


def memory_array(
    memory: "_core.Memory", shape: tuple[int, ...], dtype: str
) -> NDArray[Any]:
    """View memory of the extension as a read-only array that keeps it alive."""
    if 0 in shape:
        return np.empty(shape, dtype=dtype)
    return np.asarray(_Memory(memory, shape, dtype))


class ArrowColumn:
    """One column of a batch.  It can be handed over, or viewed as rows, once."""

    def __init__(
        self, name: str, schema: "_core.ArrowSchema", array: "_core.ArrowArray"
    ) -> None:
        self.name = name
        self._length = _core.array_length(array)
        self._capsules: ArrowBatch | None = (schema, array)

    def __len__(self) -> int:
        return self._length

    def __arrow_c_array__(self, requested_schema: object | None = None) -> ArrowBatch:
        return self._take()

    def view_rows(self, first_row: int, name: str, fill_dim: int = -1) -> NDArray[Any]:
        """View a column of lists as a 2-D array, without a copy where the layout allows.

        Parameters
        ----------
        first_row : int
            Number of the column's first row, for errors.
        name : str
            What errors call the column.
        fill_dim : int
            With 0 or more, rows at fault become NaN: those that are not so long, or for 0
            not as long as the first whose numbers are all there and finite.

        Raises
        ------
        ArrowError
            If the column does not hold lists of float32 or float64.
        InvalidVectorError
            If a row is null, holds a null, or is longer or shorter than the first.
        """
        schema, array = self._take()
        memory, rows, dim, dtype = _core.view_rows(
            schema, array, first_row, name, fill_dim
        )
        return memory_array(memory, (rows, dim), dtype)

    def _take(self) -> ArrowBatch:
        if self._capsules is None:
            raise ArrowError(f"the Arrow column {self.name!r} was handed over before")
        capsules, self._capsules = self._capsules, None
        return capsules


class StreamBatches(Iterator[list[ArrowColumn]]):
    """Batches of an Arrow stream, each a list of its columns."""

    def __init__(self, source: StreamExportable) -> None:
        self._reader, schema = _core.stream_open(source.__arrow_c_stream__())
        self.names = [name for name, _ in _core.schema_fields(schema) or ()]

    def __next__(self) -> list[ArrowColumn]:
        batch = _core.stream_next(self._reader)
        if batch is None:
            raise StopIteration
        return [
            ArrowColumn(name, schema, array)
            for name, (schema, array) in zip(
                self.names, _core.take_columns(*batch), strict=True
            )
        ]


class SchemaExport:
    """A schema for consumers of Arrow; most of them take it out of its capsule."""

    def __init__(self, schema: "_core.ArrowSchema") -> None:
        self._schema = schema

    def __arrow_c_schema__(self) -> "_core.ArrowSchema":
        return self._schema


class BatchExport:
    """A record batch for consumers of Arrow; it can be taken once."""

    def __init__(self, batch: ArrowBatch) -> None:
        self._batch = batch

    def __arrow_c_array__(self, requested_schema: object | None = None) -> ArrowBatch:
        return self._batch


class RecordBatchStream:
    """An Arrow stream of batches that a function gives; it can be read once.

    Parameters
    ----------
    schema : capsule
        Schema of every batch.
    next_batch : callable
        Gives the next batch's array, or None at the end.  It is called from whatever
        thread reads the stream; what it raises reaches the reader as an error text.
    """

    def __init__(
        self,
        schema: "_core.ArrowSchema",
        next_batch: Callable[[], "_core.ArrowArray | None"],
    ) -> None:
        self._stream: _core.ArrowStream | None = _core.export_stream(schema, next_batch)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> Any:
        if self._stream is None:
            raise ArrowError("this Arrow stream was read before; make a new one")
        stream, self._stream = self._stream, None
        return stream


class RecordBatch:
    """Named arrays as one Arrow record batch that shares their memory.

    Parameters
    ----------
    columns : sequence of (str, ndarray)
        Arrays of one length, of int64, float32 or float64; a 2-D array becomes a column
        of lists.

    Raises
    ------
    InputTypeError
        If an array is of another type.
    DimensionError
        If the arrays differ in length, or one is neither 1-D nor 2-D.
    """

    def __init__(self, columns: Sequence[tuple[str, NDArray[Any]]]) -> None:
        self._columns = [_export_column(name, values) for name, values in columns]
        lengths = {name: len(values) for name, values in columns}
        if len(set(lengths.values())) > 1:
            raise DimensionError(f"columns differ in length: {lengths}")
        self._rows = next(iter(lengths.values()), 0)

    def __len__(self) -> int:
        return self._rows

    def __arrow_c_array__(self, requested_schema: object | None = None) -> ArrowBatch:
        return _core.export_batch(self._columns, self._rows)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> Any:
        schema, array = self.__arrow_c_array__()
        batches = iter([array])
        stream = RecordBatchStream(schema, lambda: next(batches, None))
        return stream.__arrow_c_stream__()


def _export_column(name: str, values: NDArray[Any]) -> tuple[str, str, int, Any]:
    dtype = values.dtype.name
    if dtype not in _EXPORTED:
        raise InputTypeError(
            f"column {name!r} is of type {dtype}; int64, float32 or float64 is wanted"
        )
    if values.ndim not in (1, 2):
        raise DimensionError(f"column {name!r} has {values.ndim} axes, not 1 or 2")
    list_size = values.shape[1] if values.ndim == 2 else 0
    return name, dtype, list_size, np.ascontiguousarray(values, dtype=_EXPORTED[dtype])


def batch_stream(columns: Sequence[tuple[str, NDArray[Any]]]) -> RecordBatch:
    """Wrap named arrays for Arrow consumers; each export shares the arrays' memory."""
    return RecordBatch(columns)


def frame_batch(frame: StreamExportable, *arrays: tuple[str, NDArray[Any]]) -> ArrowBatch:
    """Take a frame of one chunk, such as polars gives, as a record batch.

    Named arrays, as :class:`RecordBatch` takes them, come behind the frame's columns.
    """
    (columns,) = StreamBatches(frame)
    rows = len(columns[0])
    taken = [(column.name, *column.__arrow_c_array__()) for column in columns]
    added = [_export_column(name, values) for name, values in arrays]
    return _core.export_batch([*taken, *added], rows)
