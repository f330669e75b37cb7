"""How a join fits into so much memory: which table stays, and how large chunks are."""

import math
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from fast_lsh_ann._runtime import simd_info
from fast_lsh_ann._streamed.chunked import JoinTables
from fast_lsh_ann._streamed.chunks import ChunkSize, bytes_of_row, column_bytes
from fast_lsh_ann._streamed.residents import BLOCK_PAIRS
from fast_lsh_ann._tables.embeddings import EmbeddingBatch
from fast_lsh_ann._tables.source import BATCH_ROWS
from fast_lsh_ann.errors import MemoryLimitError, ParameterError

# The most that a join holds for each thread while it is pulled: ARCHITECTURE.md, Memory.
_THREAD_BYTES = 26 << 20
# Frames of pairs that are there at once: made, mirrored, waiting and being written.
_FRAMES = 4
# What a call may take besides its limit: docs/contract.md, Memory.
_BESIDE_BYTES = 64 << 20
# Rows that pass a chunk at once: more are no faster, and leave the chunk less room.
_PASSING_ROWS = 32_768
_PASSING_SHARE = 8
# Batches of a reading that are alive at a time: two wait, one is read, one is used.
_BATCHES = 4
# Reading takes a quarter of a limit at most; threads and frames, half.
_READING_SHARE, _ROOM_SHARE = 4, 4
# Fewer rows at a time would mean to read for ever.
_LEAST_ROWS = 16


@dataclass(frozen=True)
class RowCost:
    """What a row of a chunk takes, but for its id and other columns.

    Attributes
    ----------
    tables, hashes : int
        Hash tables, and hashes of each; no tables in an exact join.
    keyed : bool
        Whether chunks are sorted by keys.
    """

    tables: int
    hashes: int
    keyed: bool

    def staying(self, rows: NDArray[Any]) -> float:
        """Bytes of a row that stays, like the first of these."""
        index = self._index_bytes(rows.shape[1])
        row = bytes_of_row(rows) + index
        if not self.keyed:
            return row
        # Small indexes are padded to a tile; sorting copies some coordinates, and keys.
        return row + 0.5 * index + 16 * int(rows.itemsize) + 96

    def passing(self, rows: NDArray[Any]) -> float:
        """Bytes of a row that passes, like the first of these; sorting copies it."""
        row = bytes_of_row(rows)
        return self._index_bytes(rows.shape[1]) + (2 * row + 96 if self.keyed else row)

    def _index_bytes(self, dim: int) -> float:
        """Bytes of a row in an index: ARCHITECTURE.md, Memory."""
        codes = 1.4 * (-(-dim // 4) * 4) + 5
        return codes + self.tables * (8 + self.hashes)


def read_bytes(first: EmbeddingBatch) -> float:
    """Bytes of a row when it is read."""
    return bytes_of_row(first.rows) + column_bytes(first)


@dataclass(frozen=True)
class Arrangement:
    """How a join fits into so much memory.

    Attributes
    ----------
    tables : JoinTables
    stays, passes : ChunkSize
    firsts : dict
        The first rows of the sides "a" and "b"; None where a side has none, or is read
        once only.
    batch_rows : int
        Rows to be read at once.
    limit : int
        Bytes that may be held.
    """

    tables: JoinTables
    stays: ChunkSize
    passes: ChunkSize
    firsts: dict[str, EmbeddingBatch | None]
    batch_rows: int
    limit: int

    @property
    def staying_side(self) -> str:
        """The side that stays."""
        return "a" if self.tables.a_stays else "b"

    @property
    def passing_side(self) -> str:
        """The side that passes."""
        return "b" if self.tables.a_stays and self.tables.b is not None else "a"

    @property
    def chunk_rows(self) -> int | None:
        """Rows of a chunk that stays; None where the first rows are not known."""
        return _rows_of(self.stays, self.firsts[self.staying_side])

    @property
    def piece_rows(self) -> int | None:
        """Rows that pass at once; None where the first rows are not known."""
        return _rows_of(self.passes, self.firsts[self.passing_side])

    def rows(self, side: str) -> float:
        """Rows of a side, at most; infinite: reading alone tells."""
        reader = self.tables.sides[side]
        if self.firsts[side] is None and not reader.source.one_shot:
            return 0
        return math.inf if reader.rows_at_most is None else reader.rows_at_most

    @property
    def chunks(self) -> float:
        """How many chunks stay, one after the other; infinite: reading alone tells."""
        rows = self.rows(self.staying_side)
        if rows == 0 or self.chunk_rows is None:
            return rows and math.inf
        return math.inf if rows == math.inf else math.ceil(rows / self.chunk_rows)

    @property
    def bytes_read(self) -> float:
        """Bytes of rows that are read; infinite: reading alone tells."""
        stays, passes = self._bytes(self.staying_side), self._bytes(self.passing_side)
        again = 0 if 0 in (self.chunks, passes) else self.chunks * passes
        return again if self.tables.b is None else stays + again

    def _bytes(self, side: str) -> float:
        first, rows = self.firsts[side], self.rows(side)
        return rows and (math.inf if first is None else rows * read_bytes(first))


def _rows_of(size: ChunkSize, first: EmbeddingBatch | None) -> int | None:
    return None if first is None else size.rows(size.row_bytes(first))


def arrange(tables: JoinTables, cost: RowCost, limit: int) -> Arrangement:
    """Choose which table stays, so that least is read, and the sizes of chunks.

    The first rows of both tables are read.

    Raises
    ------
    ParameterError
        If a table would be read more than once, and cannot be.
    MemoryLimitError
        If the limit has no room for some rows.
    """
    _refuse_second_reading(tables)
    firsts = {
        side: None if reader.source.one_shot else reader.peek()
        for side, reader in tables.sides.items()
    }
    tables.check_same_dim()
    known = [first for first in firsts.values() if first is not None]
    _require_room(limit, cost, known)
    batch_rows = _batch_rows(limit, known)
    room = limit - _reading_bytes(batch_rows, known) - min(_working(known), limit / 2)
    found = []
    for stays, passes in _orders(tables):
        passing = ChunkSize(_PASSING_ROWS, room / _PASSING_SHARE, cost.passing)
        left = room - _taken(passing, firsts[passes])
        staying = ChunkSize(most_bytes=left, vector_bytes=cost.staying)
        turned = replace(tables, a_stays=stays == "a")
        found.append(Arrangement(turned, staying, passing, firsts, batch_rows, limit))
    return min(found, key=lambda one: (one.bytes_read, one.chunks))


def _refuse_second_reading(tables: JoinTables) -> None:
    once = [side for side, reader in tables.sides.items() if reader.source.one_shot]
    if tables.b is None and once:
        raise ParameterError(
            f"{tables.a.source.name} can be read once, and a table that is joined with "
            f"itself is read once for each chunk; write it to a file, or pass a frame"
        )
    if len(once) > 1:
        raise ParameterError(
            f"{tables.a.source.name} and {tables.passes.source.name} can be read once "
            f"each, and one of them is read once for each chunk of the other; write "
            f"one to a file, or pass a frame"
        )


def _orders(tables: JoinTables) -> list[tuple[str, str]]:
    """Give who may stay, and who passes then: a table that is read once must stay."""
    if tables.b is None:
        return [("a", "a")]
    if tables.a.source.one_shot:
        return [("a", "b")]
    if tables.b.source.one_shot:
        return [("b", "a")]
    return [("a", "b"), ("b", "a")]


def _reading_bytes(batch_rows: int, known: list[EmbeddingBatch]) -> float:
    return _BATCHES * batch_rows * sum(map(read_bytes, known))


def _batch_rows(limit: int, known: list[EmbeddingBatch]) -> int:
    """Rows to be read at once: as usual, or as few as leave room for chunks."""
    rows = BATCH_ROWS
    while rows > _LEAST_ROWS and _reading_bytes(rows, known) > limit / _READING_SHARE:
        rows //= 2
    return rows


def _working(known: list[EmbeddingBatch]) -> float:
    """Bytes of threads and frames, as far as a call may not take them besides."""
    pair = 24 + sum(map(column_bytes, known))
    working = simd_info().threads * _THREAD_BYTES + _FRAMES * BLOCK_PAIRS * pair
    return max(0.0, working - _BESIDE_BYTES)


def _taken(size: ChunkSize, first: EmbeddingBatch | None) -> float:
    """Bytes that a chunk takes at most."""
    if first is None:
        return size.most_bytes
    return min(size.most_bytes, size.most_rows * size.row_bytes(first))


def _require_room(limit: int, cost: RowCost, known: list[EmbeddingBatch]) -> None:
    """Refuse a limit of which no quarter holds some rows that stay and that pass.

    A quarter is left to them at least, once reading has another one and threads a half.
    """
    staying, passing = (
        _LEAST_ROWS
        * max((ChunkSize(vector_bytes=c).row_bytes(b) for b in known), default=0)
        for c in (cost.staying, cost.passing)
    )
    share = _PASSING_SHARE / (_PASSING_SHARE - 1)
    chunks = _ROOM_SHARE * max(staying * share, passing * _PASSING_SHARE)
    reading = _READING_SHARE * _reading_bytes(_LEAST_ROWS, known)
    least = math.ceil(max(chunks, reading))
    if limit < least:
        raise MemoryLimitError(
            f"memory_limit={limit} bytes has no room for {_LEAST_ROWS} rows of either "
            f"side; give it {least} or more: the more it is, the less is read"
        )
