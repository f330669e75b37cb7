"""Tables that pyarrow gives as record batches: what such sources have in common."""

from abc import abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from fast_lsh_ann import _core
from fast_lsh_ann._arrow import ArrowColumn
from fast_lsh_ann._tables.condition import Condition
from fast_lsh_ann._tables.delta import import_polars
from fast_lsh_ann._tables.source import BATCH_ROWS, Source, as_condition, name_of
from fast_lsh_ann._threads import call_in_thread
from fast_lsh_ann.errors import (
    ArrowError,
    DimensionError,
    FastLSHError,
    InputTypeError,
    MissingDependencyError,
    TableError,
    TableNotFoundError,
)

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

T = TypeVar("T")


class RecordSource(Source):
    """A table of record batches, which are cut into pieces and sifted by a condition.

    Parameters
    ----------
    kind : str
        What errors call such a table.
    uri : str
    schema : pyarrow.Schema
    where : str or None
        A condition in polars' SQL.

    Raises
    ------
    ParameterError
        If `where` is no condition for the table's rows.
    TableError
        If two columns have one name.
    """

    def __init__(self, kind: str, uri: str, schema: "pa.Schema", where: str | None):
        self.uri = uri
        self.where = as_condition(where)
        self.name = name_of(kind, uri, self.where)
        self._schema = schema
        self.columns = list(schema.names)
        if len(set(self.columns)) < len(self.columns):
            raise self.read_error(
                f"two columns have one name; its columns are {self.columns}"
            )
        self._condition = call_in_thread(self._make_condition)

    def _make_condition(self) -> Condition | None:
        if self.where is None:
            return None
        try:
            return Condition(self.where, self.no_rows(self.columns))
        except Exception as error:  # polars has many classes of its own
            raise self.condition_error(error) from error

    def embedding_dtype(self, column: str) -> np.dtype[Any]:
        """Tell what rows of a column of vectors are read as: float32 or float64."""
        import pyarrow as pa

        kind = self._schema.field(column).type
        nothing, name = pa.nulls(0, kind).__arrow_c_array__(), self.name
        try:
            dtype = ArrowColumn(column, *nothing).view_rows(0, name).dtype
        except (InputTypeError, DimensionError):
            raise InputTypeError(
                f"column {column!r} of {self.name} is of type {kind}; it must be a list "
                f"of floats or whole numbers, as array<float>, or a Spark ML vector: "
                f"cast it there"
            ) from None
        return dtype

    def no_rows(self, columns: Sequence[str]) -> "pl.DataFrame":
        """Give a frame of no rows, whose columns have the types that reading gives."""
        import polars as pl

        return pl.DataFrame(self._schema.empty_table().select(list(columns)))

    def batches(
        self, columns: Sequence[str], batch_rows: int = BATCH_ROWS
    ) -> Iterator[list[ArrowColumn]]:
        """Begin to read columns."""
        needed = self._condition.columns if self._condition is not None else []
        read = self._record_batches(list(dict.fromkeys([*columns, *needed])))
        return self._pieces(read, columns, batch_rows)

    @abstractmethod
    def _record_batches(
        self, columns: list[str]
    ) -> Generator["pa.RecordBatch", None, None]:
        """Begin to read columns, and maybe others, in batches of whatever size."""

    def _pieces(
        self,
        batches: Generator["pa.RecordBatch", None, None],
        columns: Sequence[str],
        size: int,
    ) -> Iterator[list[ArrowColumn]]:
        with closing(batches):
            try:
                for batch in batches:
                    for start in range(0, batch.num_rows, size):
                        piece = batch.slice(start, size)
                        if self._condition is not None:
                            piece = self._condition.passing(piece)
                        yield _as_columns(piece, columns)
            except (FastLSHError, MemoryError):
                raise
            except Exception as error:  # of pyarrow, polars, and whoever made a stream
                raise ArrowError(_first_line(error)) from error


def _as_columns(batch: "pa.RecordBatch", columns: Sequence[str]) -> list[ArrowColumn]:
    taken = _core.take_columns(*batch.select(list(columns)).__arrow_c_array__())
    return [ArrowColumn(n, *pair) for n, pair in zip(columns, taken, strict=True)]


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def open_records(
    function: Callable[[], T],
    name: str,
    call: Callable[[Callable[[], T]], T] = call_in_thread,
) -> T:
    """Call pyarrow in a thread, so that Ctrl-C works, and name its errors.

    Raises
    ------
    MissingDependencyError
        If pyarrow or polars is not installed.
    TableNotFoundError, TableError
        If there is no such file, or it is not what it should be.
    """
    try:
        call_in_thread(_import_arrow)
    except ImportError as error:
        raise MissingDependencyError(
            f"{name} needs the packages pyarrow and polars ({error}); install them with: "
            f"pip install 'fast_lsh_ann[arrow]'"
        ) from error
    try:
        return call(function)
    except FastLSHError:
        raise
    except FileNotFoundError as error:
        raise TableNotFoundError(f"no {name}: {_first_line(error)}") from error
    except Exception as error:  # pyarrow's classes, and those of files
        raise TableError(f"{name}: {_first_line(error)}") from error


def _import_arrow() -> None:
    import pyarrow  # noqa: F401

    import_polars()
