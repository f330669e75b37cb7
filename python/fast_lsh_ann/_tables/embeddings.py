"""Reading the embeddings of a table as a stream: checked rows, ids, other columns."""

import copy
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fast_lsh_ann._arrow import ArrowColumn
from fast_lsh_ann._invalid import InvalidRows, KeptRows, own_numbers
from fast_lsh_ann._log import logger
from fast_lsh_ann._tables.source import BATCH_ROWS, Source
from fast_lsh_ann._threads import Prefetch
from fast_lsh_ann.errors import ArrowError, InvalidVectorError, ParameterError

if TYPE_CHECKING:
    import polars as pl

_BATCHES_AHEAD = 2
_PEEKED_ROWS = 64
_USUAL_ID = "id"
_NO_ROWS: NDArray[Any] = np.empty((0, 0))


@dataclass(frozen=True)
class EmbeddingBatch:
    """Some rows of a table, in its order, with none between them but invalid ones.

    Attributes
    ----------
    place : int
        How many valid rows come before.
    rows : ndarray
        float32 or float64, `[n, dim]`; every value is finite.
    numbers : ndarray of int64, [n]
        Numbers of the rows in the order of the pinned version.
    ids : polars.Series
        One id a row; row numbers where no id column was asked for.
    carried : polars.DataFrame
        The columns carried along; without any it has no rows either.
    """

    place: int
    rows: NDArray[Any]
    numbers: NDArray[np.int64]
    ids: "pl.Series"
    carried: "pl.DataFrame"

    @property
    def first_row(self) -> int:
        """Number of the first row."""
        return int(self.numbers[0]) if len(self.numbers) else 0

    @property
    def rows_done(self) -> int:
        """Rows of the table up to and with the last one, invalid ones among them."""
        return int(self.numbers[-1]) + 1 if len(self.numbers) else 0

    def part(self, start: int, most: int) -> "EmbeddingBatch":
        """Give some of the rows, without a copy."""
        cut = slice(start, start + most)
        return EmbeddingBatch(
            self.place + start,
            self.rows[cut],
            self.numbers[cut],
            self.ids.slice(start, most),
            self.carried.slice(start, most),
        )

    def ids_of(self, places: NDArray[np.int64]) -> "pl.Series":
        """Give the ids of rows that are named by their places."""
        return self.ids.gather(places - self.place)

    def carried_of(self, places: NDArray[np.int64]) -> "pl.DataFrame":
        """Give the columns carried along of rows that are named by their places."""
        return self.carried[places - self.place] if self.carried.width else self.carried

    def table_numbers(self) -> AbstractContextManager[None]:
        """Have errors that name rows by their places name them by their numbers."""
        return own_numbers(self.numbers, self.place)


class EmbeddingReader:
    """The embeddings of a table, with their ids and what is carried along.

    Parameters
    ----------
    source : Source
    embedding_column : str
        A column of arrays of floats or integers, or of Spark ML vectors.
    id_column : str or None
        A column of any type without nulls, or None for row numbers.  "id", which is what
        methods ask for unless told, means row numbers too where the embedding is the
        only column.
    carried : sequence of str
        Columns that come with the rows.
    skip : bool
        Leave invalid rows out: those that are null, hold null, NaN or infinity, or are of
        another length than the first valid row.

    Attributes
    ----------
    name : str
        What errors call the rows.
    id_column, carried
        As given.
    dtype : dtype
        float32 or float64.
    dim : int or None
        Dimension of the embeddings, once a row was read.
    rows_at_most : int or None
        Rows of the table, or more; None where reading alone tells.
    invalid : InvalidRows
        Rows left out so far by the last reading of the table.

    Raises
    ------
    ColumnNotFoundError
        If the table lacks one of the columns.
    InputTypeError
        If the embedding column is of another type.
    ParameterError
        If the two columns are one.
    """

    def __init__(
        self,
        source: Source,
        embedding_column: str,
        id_column: str | None,
        *,
        carried: Sequence[str] = (),
        skip: bool = False,
    ) -> None:
        self.source = source
        self._embedding = source.columns[0] if source.nameless else embedding_column
        alone = source.columns == [self._embedding]
        self.id_column = None if alone and id_column == _USUAL_ID else id_column
        self.carried = list(carried)
        self.name = f"column {self._embedding!r} of {source.name}"
        self._check_columns()
        self.dtype = source.embedding_dtype(self._embedding)
        self.dim: int | None = None
        self.rows_at_most = source.rows_at_most
        self.invalid = InvalidRows()
        self._skip = skip
        self._told = False
        logger.info(
            "%s: version %s, %s rows at most",
            *(self.name, source.version, self.rows_at_most),
        )

    def _check_columns(self) -> None:
        named = [c for c in (self._embedding, self.id_column) if c is not None]
        self.source.check_columns([*named, *self.carried])
        if self._embedding == self.id_column:
            raise ParameterError(
                f"embedding_column and id_column are both {self.id_column!r}; name two "
                f"columns"
            )
        if self._embedding in self.carried:
            raise ParameterError(
                f"columns names the embedding column {self._embedding!r}, which is not "
                f"carried along; join the result with the table by its ids"
            )

    @property
    def skipped(self) -> int:
        """Rows left out so far by the last reading of the table."""
        return self.invalid.total

    @property
    def columns(self) -> list[str]:
        """The columns it reads, each once."""
        named = (self._embedding, self.id_column, *self.carried)
        return list(dict.fromkeys(c for c in named if c is not None))

    def batches(
        self, batch_rows: int = BATCH_ROWS
    ) -> Generator[EmbeddingBatch, None, None]:
        """Read the table in its fixed order, a few batches ahead in another thread.

        Close the iterator when leaving it early.

        Raises
        ------
        InvalidVectorError
            If a row is null, of another length than the first, or holds null, NaN or
            infinity.
        TableError
            If a file cannot be read, or an id is null.
        """
        stream = self.source.batches(self.columns, batch_rows)
        channel = Prefetch(lambda: stream, _BATCHES_AHEAD)
        row, self.invalid = 0, InvalidRows()
        try:
            while (columns := self._receive(channel)) is not None:
                count = len(columns[0])
                batch = self._view(columns, row)
                row += count
                if len(batch.rows):
                    self.dim = batch.rows.shape[1]
                    yield batch
        finally:
            channel.cancel()
        self._tell_skipped(row)

    def _tell_skipped(self, rows: int) -> None:
        """Log what was left out, once for a table that is read again and again."""
        if self.skipped and not self._told:
            logger.warning(
                "%s: %d of %d rows are left out: they are null, hold null, NaN or "
                "infinity, or are of another length than the first valid row",
                *(self.name, self.skipped, rows),
            )
            self._told = True

    def count_skipped(self) -> int:
        """Count the rows to be left out, by reading the table if there may be any."""
        if self._skip:
            with closing(self.batches()) as batches:
                for _ in batches:
                    pass
        return self.skipped

    def bare(self) -> "EmbeddingReader":
        """Give a reader of the same rows without their ids and other columns."""
        reader = copy.copy(self)
        reader.id_column, reader.carried = None, []
        return reader

    @property
    def names_rows(self) -> bool:
        """Whether ids come along: places do not name rows where some are left out."""
        return self.id_column is not None or self._skip

    def peek(self) -> EmbeddingBatch | None:
        """Begin to read the table for the first valid rows; None if there are none."""
        with closing(self.batches(_PEEKED_ROWS)) as batches:
            return next(batches, None)

    def chunks(
        self, size: int, batch_rows: int = BATCH_ROWS
    ) -> Generator[EmbeddingBatch, None, None]:
        """Read the table in its fixed order, `size` rows at a time; the rest at the end.

        Errors as for :meth:`batches`; close the iterator when leaving it early.
        """
        chunk = Gathered(min(size, self.rows_at_most or 0), size)
        with closing(self.batches(batch_rows)) as batches:
            for piece in chain.from_iterable(_cut(batch, size) for batch in batches):
                chunk.append(piece)
                if len(chunk) == size:
                    yield chunk.take()
        if len(chunk):
            yield chunk.take()

    def whole(self) -> EmbeddingBatch:
        """Read all of the table; the rows are `[0, 0]` when it is empty."""
        with closing(self.chunks(sys.maxsize)) as chunks:
            found = next(chunks, None)
        if found is not None:
            return found
        return self.no_rows(0)

    def no_rows(self, dim: int) -> EmbeddingBatch:
        """Give a batch without rows."""
        rows = np.empty((0, dim), dtype=self.dtype)
        numbers = np.empty(0, dtype=np.int64)
        return EmbeddingBatch(0, rows, numbers, *self.no_ids())

    def no_ids(self) -> tuple["pl.Series", "pl.DataFrame"]:
        """Ids of no rows and their other columns, of the types that the table has."""
        import polars as pl

        named = [self.id_column] if self.id_column is not None else []
        wanted = list(dict.fromkeys([*named, *self.carried]))
        nothing = self.source.no_rows(wanted) if wanted else pl.DataFrame()
        nothing = pl.DataFrame([_decoded(column) for column in nothing])
        no_ids = pl.Series("id", [], dtype=pl.Int64)
        if self.id_column is not None:
            no_ids = nothing[self.id_column].alias("id")
        return no_ids, nothing.select(self.carried)

    def _receive(self, channel: Iterator[list[ArrowColumn]]) -> list[ArrowColumn] | None:
        try:
            return next(channel, None)
        except ArrowError as error:
            raise self.source.read_error(str(error).splitlines()[0]) from error

    def _view(self, columns: list[ArrowColumn], first_row: int) -> EmbeddingBatch:
        """View columns as the valid ones of their rows."""
        fill_dim = (self.dim or 0) if self._skip else -1
        rows = columns[0].view_rows(first_row, self.name, fill_dim)
        if not self._skip:
            self._check(rows, first_row)
        numbers = np.arange(first_row, first_row + len(rows))
        ids, carried = self._others(columns[1:], numbers)
        place = first_row - self.skipped
        kept = KeptRows(rows, self._skip)
        self.invalid += kept.invalid
        if kept.numbers is not None:
            numbers, ids = numbers[kept.numbers], ids.gather(kept.numbers)
            carried = carried[kept.numbers] if carried.width else carried
        return EmbeddingBatch(place, kept.rows, numbers, ids, carried)

    def _check(self, rows: NDArray[Any], first_row: int) -> None:
        """Refuse invalid rows; those of a batch are of one length."""
        width = rows.shape[1]
        if len(rows) and width != (self.dim or width):
            fault = f"has {width} elements, row 0 has {self.dim}"
            raise self._bad_row(first_row, fault)
        if len(rows) and width == 0:
            raise self._bad_row(first_row, "has no elements")
        finite = np.isfinite(rows)
        if not finite.all():
            row, column = np.argwhere(~finite)[0].tolist()
            value = rows[row, column]
            raise self._bad_row(first_row + row, f"has {value} at {column}", column)

    def _others(
        self, columns: list[ArrowColumn], numbers: NDArray[np.int64]
    ) -> tuple["pl.Series", "pl.DataFrame"]:
        """Take the ids and the columns carried along."""
        import polars as pl

        taken = {c.name: column_series(c) for c in columns}
        carried = pl.DataFrame([taken[name] for name in self.carried])
        if self.id_column is None:
            return pl.Series("id", numbers), carried
        check_ids(self.source, taken[self.id_column], numbers)
        return taken[self.id_column].alias("id"), carried

    def _bad_row(self, row: int, fault: str, column: int = -1) -> InvalidVectorError:
        error = InvalidVectorError(
            f"{self.name}: row {row} {fault}; remove or repair the row, "
            f"or leave such rows out with on_invalid='skip'"
        )
        error.row, error.column = row, column
        return error


def check_ids(
    source: Source, ids: "pl.Series", numbers: Sequence[int] | NDArray[np.int64]
) -> None:
    """Refuse ids that are missing, of rows of these numbers.

    Raises
    ------
    TableError
        Naming the row.
    """
    if ids.null_count():
        row = numbers[ids.is_null().arg_true()[0]]
        raise source.read_error(
            f"row {row} of id column {ids.name!r} is null; "
            f"fill it, or pass id_column=None to number the rows"
        )


def _cut(batch: EmbeddingBatch, size: int) -> Iterator[EmbeddingBatch]:
    """Cut a batch wherever a chunk of `size` rows of its table ends."""
    start = 0
    while start < len(batch.rows):
        room = size - (batch.place + start) % size
        yield batch.part(start, room)
        start += room


class Gathered:
    """Consecutive pieces put together; a single one is left as it is.

    Parameters
    ----------
    expected : int
        Rows there will be, to the best of one's knowledge.
    most : int
        Rows there can be.
    """

    def __init__(self, expected: int, most: int) -> None:
        self._expected = expected
        self._most = most
        self._place = 0
        self._rows: NDArray[Any] = _NO_ROWS
        self._used = 0
        self._pieces: list[EmbeddingBatch] = []

    def __len__(self) -> int:
        return self._used

    def append(self, piece: EmbeddingBatch) -> None:
        """Add the rows that come next."""
        needed = self._used + len(piece.rows)
        if self._used == 0:
            self._place, self._rows = piece.place, piece.rows
        else:
            self._reserve(needed)
            self._rows[self._used : needed] = piece.rows
        self._pieces.append(replace(piece, rows=_NO_ROWS))
        self._used = needed

    def _reserve(self, needed: int) -> None:
        if needed <= len(self._rows):
            return
        more = min(2 * needed, self._most)
        room = self._expected if needed <= self._expected else more
        grown = np.empty((room, self._rows.shape[1]), dtype=self._rows.dtype)
        grown[: self._used] = self._rows[: self._used]
        self._rows = grown

    def take(self) -> EmbeddingBatch:
        """Give what was gathered, and begin anew."""
        import polars as pl

        rows, pieces = self._rows[: self._used], self._pieces
        self._rows, self._used, self._pieces = _NO_ROWS, 0, []
        if len(pieces) == 1:
            return replace(pieces[0], rows=rows)
        return EmbeddingBatch(
            self._place,
            rows,
            np.concatenate([piece.numbers for piece in pieces]),
            pl.concat([piece.ids for piece in pieces], rechunk=True),
            pl.concat([piece.carried for piece in pieces], rechunk=True),
        )


def column_series(column: ArrowColumn) -> "pl.Series":
    """Take a column as a series; its strings themselves, if they are in a dictionary."""
    import polars as pl

    return _decoded(pl.Series(column.name, column))


def _decoded(column: "pl.Series") -> "pl.Series":
    """Give strings for those behind a dictionary: each batch has its own."""
    import polars as pl

    encoded = column.dtype in (pl.Categorical, pl.Enum)
    return column.cast(pl.String) if encoded else column


def id_array(ids: "pl.Series") -> NDArray[Any]:
    """Ids as int64, or as Python objects when they are no integers."""
    if ids.dtype.is_integer():
        return ids.to_numpy(writable=True).astype(np.int64, copy=False)
    return np.fromiter(ids.to_list(), dtype=object, count=len(ids))
