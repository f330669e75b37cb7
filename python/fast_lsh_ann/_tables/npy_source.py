"""A matrix in a .npy file as a source, read a piece at a time."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.lib.format import MAGIC_PREFIX
from numpy.typing import NDArray

from fast_lsh_ann import _core
from fast_lsh_ann._arrow import ArrowColumn, RecordBatch
from fast_lsh_ann._inputs import as_rows
from fast_lsh_ann._tables.delta import import_polars
from fast_lsh_ann._tables.files import local_path
from fast_lsh_ann._tables.source import BATCH_ROWS, Source, as_condition, name_of
from fast_lsh_ann._threads import call_in_thread
from fast_lsh_ann.errors import (
    ArrowError,
    DimensionError,
    InputTypeError,
    MissingDependencyError,
    TableError,
    TableNotFoundError,
)

if TYPE_CHECKING:
    import polars as pl

_COLUMN = "embedding"
_BATCH_VALUES = 1 << 22  # of many coordinates, fewer rows are read at once


class NpySource(Source):
    """The rows of a 2-D array in a local .npy file, in either order and of any numbers.

    It has one column, "embedding".  A piece of rows is read and converted at a time, by
    plain reads: a file that shrinks meanwhile is an error, where memory mapped to it
    would end the process.

    Parameters
    ----------
    uri : str
        The file.
    where : None
        There are no columns for a condition.

    Raises
    ------
    TableNotFoundError
        If there is no such file.
    TableError
        If it is no .npy file, or is shorter than it says.
    InputTypeError
        If it holds anything but real numbers, pickled objects among them.
    DimensionError
        If the array is not 2-D, or has no columns.
    ParameterError
        If a condition is given.
    """

    nameless = True

    def __init__(self, uri: str, *, where: str | None = None) -> None:
        self.uri = uri
        self.columns = [_COLUMN]
        self.where = as_condition(where)
        self.name = name_of("NumPy file", uri, None)
        if self.where is not None:
            raise self.condition_error("a .npy file has embeddings and nothing beside")
        try:
            call_in_thread(import_polars)
        except ImportError as error:
            raise MissingDependencyError(
                f"{self.name} needs the package polars ({error}); install it with: "
                f"pip install 'fast_lsh_ann[arrow]'"
            ) from error
        stored = self._describe()
        self._stored, self._offset = stored.dtype, stored.offset
        self.rows_at_most, self._dim = stored.shape
        self._by_columns = not stored.flags.c_contiguous
        self._dtype = as_rows(np.empty((0, 1), stored.dtype), self.name).dtype

    def _describe(self) -> "np.memmap[Any, np.dtype[Any]]":
        """Read the file's head; the numbers that are mapped are not looked at."""
        path = local_path(self.uri)
        try:
            with path.open("rb") as file:
                magic = file.read(len(MAGIC_PREFIX))
            if magic != MAGIC_PREFIX:
                raise TableError(f"{self.name} is no .npy file: it begins with {magic!r}")
            stored: np.memmap[Any, np.dtype[Any]]
            stored = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError as error:
            raise TableNotFoundError(f"no {self.name}: {error.strerror}") from error
        except (ValueError, EOFError) as error:
            if "object" in str(error).lower():
                raise InputTypeError(
                    f"{self.name} holds Python objects, which are not read: save an "
                    f"array of floats"
                ) from error
            raise TableError(f"{self.name} is no .npy file: {error}") from error
        if stored.ndim != 2 or stored.shape[1] == 0:
            raise DimensionError(
                f"{self.name}: wanted a 2-D array [rows, dim], "
                f"got {stored.ndim}-D of shape {stored.shape}"
            )
        return stored

    def embedding_dtype(self, column: str) -> np.dtype[Any]:
        """Tell what the rows are read as: float32 or float64."""
        self.check_columns([column])
        return self._dtype

    def no_rows(self, columns: Sequence[str]) -> "pl.DataFrame":
        """Give a frame of no rows, whose columns have the types that reading gives."""
        import polars as pl

        element = pl.Float32 if self._dtype == np.float32 else pl.Float64
        return pl.DataFrame(schema=dict.fromkeys(columns, pl.List(element)))

    def batches(
        self, columns: Sequence[str], batch_rows: int = BATCH_ROWS
    ) -> Iterator[list[ArrowColumn]]:
        """Begin to read the rows."""
        self.check_columns(columns)
        step = max(1, min(batch_rows, _BATCH_VALUES // self._dim))
        return self._pieces(step)

    def _pieces(self, step: int) -> Iterator[list[ArrowColumn]]:
        total = self.rows_at_most or 0
        with local_path(self.uri).open("rb") as file:
            for start in range(0, total, step):
                rows = self._read(file, start, min(step, total - start))
                batch = RecordBatch([(_COLUMN, as_rows(rows, self.name))])
                ((schema, array),) = _core.take_columns(*batch.__arrow_c_array__())
                yield [ArrowColumn(_COLUMN, schema, array)]

    def _read(self, file: BinaryIO, start: int, count: int) -> NDArray[Any]:
        """Read some rows as they are stored, coordinate by coordinate if need be."""
        if not self._by_columns:
            place = start * self._dim
            return self._numbers(file, place, count * self._dim).reshape(count, -1)
        columns = np.empty((self._dim, count), self._stored)
        for coordinate, column in enumerate(columns):
            place = coordinate * (self.rows_at_most or 0) + start
            column[:] = self._numbers(file, place, count)
        return columns.T

    def _numbers(self, file: BinaryIO, place: int, count: int) -> NDArray[Any]:
        size = self._stored.itemsize
        file.seek(self._offset + place * size)
        data = file.read(count * size)
        if len(data) < count * size:
            raise ArrowError("the file ends before the array does: it was changed")
        return np.frombuffer(data, self._stored)
