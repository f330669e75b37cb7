"""One reading of a table, taken in chunks that fill so many bytes."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from fast_lsh_ann._tables.embeddings import EmbeddingBatch, EmbeddingReader, Gathered
from fast_lsh_ann._tables.source import BATCH_ROWS


def bytes_of_row(rows: NDArray[Any]) -> int:
    """Bytes of a row's coordinates."""
    return int(rows.shape[1] * rows.itemsize)


@dataclass(frozen=True)
class ChunkSize:
    """How large chunks may be; at least one row is.

    Attributes
    ----------
    most_rows : int
    most_bytes : float
    vector_bytes : callable
        What a row like the first of some takes, but for its id and other columns.
    """

    most_rows: int = sys.maxsize
    most_bytes: float = float("inf")
    vector_bytes: Callable[[NDArray[Any]], float] = bytes_of_row

    def row_bytes(self, batch: EmbeddingBatch) -> float:
        """Bytes that a row of a batch takes, on average."""
        # Columns are put together from pieces: for a moment they are there twice.
        return self.vector_bytes(batch.rows) + 2 * column_bytes(batch)

    def rows(self, row_bytes: float, taken: float = 0) -> int:
        """Rows that there is room for, where so many bytes are taken."""
        room = max(0.0, self.most_bytes - taken) / row_bytes
        return self.most_rows if room >= self.most_rows else int(room)


def column_bytes(batch: EmbeddingBatch) -> float:
    """Bytes of a row's number, id and columns carried along, on average."""
    columns = int(batch.ids.estimated_size()) + int(batch.carried.estimated_size())
    return 8 + columns / len(batch.rows)


class RowStream:
    """The rows of a table in order, taken chunk by chunk; close it when leaving early.

    Attributes
    ----------
    place : int
        The place behind the last row that was taken or dropped.
    """

    def __init__(self, reader: EmbeddingReader, batch_rows: int = BATCH_ROWS) -> None:
        self._batches = reader.batches(batch_rows)
        self._most = reader.rows_at_most
        self._rest: EmbeddingBatch | None = None
        self.place = 0

    def skip_to(self, place: int) -> None:
        """Drop the rows before a place."""
        self.place = place
        while (batch := self._next()) is not None:
            start = max(0, place - batch.place)
            if start < len(batch.rows):
                self._rest = batch.part(start, len(batch.rows))
                return

    def take(self, size: ChunkSize) -> EmbeddingBatch | None:
        """Take the next chunk; None at the end."""
        batch = self._next()
        if batch is None:
            return None
        row_bytes = size.row_bytes(batch)
        most = max(1, size.rows(row_bytes))
        expected = most if self._most is None else min(most, self._most)
        chunk = Gathered(expected, most)
        taken = 0.0
        while batch is not None:
            room = min(most - len(chunk), size.rows(row_bytes, taken))
            if len(chunk) == 0:
                room = max(1, room)
            if room <= 0:
                self._rest = batch
                break
            piece, self._rest = _split(batch, room)
            chunk.append(piece)
            taken += row_bytes * len(piece.rows)
            batch = self._next()
            row_bytes = 0.0 if batch is None else size.row_bytes(batch)
        self.place += len(chunk)
        return chunk.take()

    def _next(self) -> EmbeddingBatch | None:
        """Give what was left of a batch, or the next one."""
        batch, self._rest = self._rest, None
        return next(self._batches, None) if batch is None else batch

    def close(self) -> None:
        """Stop reading."""
        self._batches.close()


def _split(batch: EmbeddingBatch, rows: int) -> tuple[EmbeddingBatch, Any]:
    """Cut a batch behind so many rows; None where nothing is left."""
    if rows >= len(batch.rows):
        return batch, None
    return batch.part(0, rows), batch.part(rows, len(batch.rows))
