"""What neighbors are called: their ids and the columns carried along.

A search knows rows by their places only.  Names are read once more for the rows that were
found, or, of a table that can be read once, kept as they pass.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fast_lsh_ann._arrow import ArrowColumn
from fast_lsh_ann._streamed.weights import compacted, held_bytes
from fast_lsh_ann._tables.embeddings import (
    EmbeddingBatch,
    EmbeddingReader,
    check_ids,
    column_series,
)
from fast_lsh_ann._threads import Prefetch
from fast_lsh_ann.errors import MemoryLimitError

if TYPE_CHECKING:
    import polars as pl

_BATCHES_AHEAD = 2


class Names(ABC):
    """Names of the rows of a table, by the places they have among the valid ones.

    Frames of names have a column `neighbor_id`, then those carried along.
    """

    @abstractmethod
    def see(self, block: EmbeddingBatch) -> None:
        """Take note of rows as they pass, in their order."""

    @abstractmethod
    def of(self, places: NDArray[np.int64], room: int) -> "pl.DataFrame | None":
        """Give the names of rows, whose places ascend; None if they take more bytes."""

    @property
    def held(self) -> int:
        """Bytes that are held between readings."""
        return 0


class RowNumbers(Names):
    """Numbers of rows in the order of their table.

    Where invalid rows are left out a number is a place and how many were left out
    before; runs of equal differences are kept, 16 bytes each.
    """

    def __init__(self) -> None:
        self._starts: list[NDArray[np.int64]] = []
        self._ahead: list[NDArray[np.int64]] = []
        self._last = 0

    def see(self, block: EmbeddingBatch) -> None:
        places = np.arange(block.place, block.place + len(block.numbers))
        ahead = block.numbers - places
        if ahead[-1] != self._last:
            changed = np.flatnonzero(np.diff(ahead, prepend=self._last))
            self._starts.append(places[changed])
            self._ahead.append(ahead[changed])
            self._last = int(ahead[-1])

    def numbers(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give the numbers of rows by their places."""
        if not self._starts:
            return places
        starts = np.concatenate(self._starts)
        ahead = np.concatenate([np.zeros(1, dtype=np.int64), *self._ahead])
        numbers: NDArray[np.int64] = (
            places + ahead[np.searchsorted(starts, places, side="right")]
        )
        return numbers

    def of(self, places: NDArray[np.int64], room: int) -> "pl.DataFrame | None":
        import polars as pl

        if places.nbytes > room:
            return None
        return pl.DataFrame({"neighbor_id": self.numbers(places)})

    @property
    def held(self) -> int:
        return sum(16 * len(starts) for starts in self._starts)


class LateNames(Names):
    """Names that are read from the table again, of only the rows that were found."""

    def __init__(self, table: EmbeddingReader) -> None:
        self._table = table
        self._numbers = RowNumbers()
        self._rows = 0

    def see(self, block: EmbeddingBatch) -> None:
        self._numbers.see(block)
        self._rows = block.rows_done

    @property
    def held(self) -> int:
        return self._numbers.held

    def of(self, places: NDArray[np.int64], room: int) -> "pl.DataFrame | None":
        import polars as pl

        numbers = self._numbers.numbers(places)
        picked, row = [name_frame("neighbor", *self._table.no_ids())], 0
        stream = self._table.source.batches(self._table.columns[1:])
        channel = Prefetch(lambda: stream, _BATCHES_AHEAD)
        try:
            for batch in channel:
                end = row + len(batch[0])
                first, last = np.searchsorted(numbers, (row, end))
                picked.append(self._pick(batch, row, numbers[first:last]))
                room -= 2 * held_bytes(picked[-1])  # while they are put together
                if room < 0:
                    return None
                row = end
        finally:
            channel.cancel()
        self._check_same(row)
        return pl.concat(picked, rechunk=True)

    def _pick(
        self, batch: list[ArrowColumn], first_row: int, numbers: NDArray[np.int64]
    ) -> "pl.DataFrame":
        """Name some rows of a batch, which begins with `first_row`, by their numbers."""
        import polars as pl

        table = self._table
        columns = {column.name: column_series(column) for column in batch}
        if (name := table.id_column) is not None:
            every = range(first_row, first_row + len(columns[name]))
            check_ids(table.source, columns[name], every)
        rows = numbers - first_row
        ids = pl.Series(numbers) if name is None else columns[name].gather(rows)
        carried = pl.DataFrame([columns[c].gather(rows) for c in table.carried])
        return compacted(name_frame("neighbor", ids, carried))

    def _check_same(self, rows: int) -> None:
        if rows < self._rows:
            raise self._table.source.read_error(
                f"it gave {self._rows} rows at first and {rows} when it was read again; "
                f"let nothing change it meanwhile"
            )


class KeptNames(Names):
    """Names that are kept as they pass, of a table that can be read once.

    Parameters
    ----------
    table : EmbeddingReader
    room : int
        Bytes they may take.
    """

    def __init__(self, table: EmbeddingReader, room: int) -> None:
        self._pieces = [name_frame("neighbor", *table.no_ids())]
        self._room = room
        self._held = 0

    def see(self, block: EmbeddingBatch) -> None:
        self._pieces.append(name_frame("neighbor", block.ids, block.carried))
        self._held += held_bytes(self._pieces[-1])
        if self._held > self._room:
            rows = block.rows_done
            raise MemoryLimitError(
                f"ids and columns of a table that can be read once are kept, and those "
                f"of the first {rows:,} rows take {self._held:,} bytes, more than the "
                f"{self._room:,} that memory_limit leaves; write the table to a file "
                f"first, carry fewer columns, or raise memory_limit"
            )

    @property
    def held(self) -> int:
        return self._held

    def of(self, places: NDArray[np.int64], room: int) -> "pl.DataFrame | None":
        import polars as pl

        chosen = pl.concat(self._pieces)[places]
        return chosen if held_bytes(chosen) <= room else None


def name_frame(side: str, ids: "pl.Series", carried: "pl.DataFrame") -> "pl.DataFrame":
    """Put ids and the columns carried along beside each other, named by their side."""
    import polars as pl

    columns = [ids.alias("id"), *carried.get_columns()]
    return pl.DataFrame([column.alias(f"{side}_{column.name}") for column in columns])
