"""How a join fits into so much memory: which table stays, and how large chunks are."""

import math
import time
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from numpy.typing import NDArray

from fast_lsh_ann._runtime import simd_info
from fast_lsh_ann._streamed.chunked import JoinTables
from fast_lsh_ann._streamed.chunks import ChunkSize, bytes_of_row, column_bytes
from fast_lsh_ann._streamed.residents import BLOCK_PAIRS
from fast_lsh_ann._tables.embeddings import EmbeddingBatch, EmbeddingReader
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
# Fewer rows at a time would mean to read for ever.
_LEAST_ROWS = 64
_SAMPLE_BATCHES = 6


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


@dataclass(frozen=True)
class Sample:
    """The first rows of a table, and how fast rows come.

    Attributes
    ----------
    batch : EmbeddingBatch
    read_bytes : float
        Of a row when it is read.
    rows_per_second : float
    """

    batch: EmbeddingBatch
    read_bytes: float
    rows_per_second: float

    @property
    def pair_bytes(self) -> float:
        """Bytes of the names of a row in a frame of pairs, its distance apart."""
        return column_bytes(self.batch)


def take_sample(reader: EmbeddingReader) -> Sample | None:
    """Read the first rows; None where there are none, or they can be read once only."""
    if reader.source.one_shot:
        return None
    begin = time.perf_counter()
    with closing(reader.batches()) as batches:
        first = next(batches, None)
        if first is None:
            return None
        second = time.perf_counter()
        rows = sum(len(batch.rows) for batch in islice(batches, _SAMPLE_BATCHES - 1))
        end = time.perf_counter()
    if rows == 0:  # one batch is all: opening the table is what it takes
        rows, second = len(first.rows), begin
    read_bytes = bytes_of_row(first.rows) + column_bytes(first)
    return Sample(first, read_bytes, rows / (end - second))


@dataclass(frozen=True)
class Arrangement:
    """How a join fits into so much memory.

    Attributes
    ----------
    tables : JoinTables
    stays, passes : ChunkSize
    samples : dict
        The first rows of the sides "a" and "b"; None as `take_sample` gives it.
    limit : int
        Bytes that may be held.
    beside : float
        Of these, those that are for other things than chunks.
    """

    tables: JoinTables
    stays: ChunkSize
    passes: ChunkSize
    samples: dict[str, Sample | None]
    limit: int
    beside: float

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
        return _rows_of(self.stays, self.samples[self.staying_side])

    @property
    def piece_rows(self) -> int | None:
        """Rows that pass at once; None where the first rows are not known."""
        return _rows_of(self.passes, self.samples[self.passing_side])

    @property
    def chunks(self) -> float:
        """How many chunks stay, one after the other; infinite: reading alone tells."""
        reader, most = self.tables.stays, self.chunk_rows
        if reader.rows_at_most is None or (most is None and reader.source.one_shot):
            return math.inf
        return 0 if most is None else math.ceil(reader.rows_at_most / max(1, most))

    @property
    def bytes_read(self) -> float:
        """Bytes of rows that are read; infinite where reading alone tells."""
        stays, passes = self._bytes(self.staying_side), self._bytes(self.passing_side)
        again = 0 if 0 in (self.chunks, passes) else self.chunks * passes
        return again if self.tables.b is None else stays + again

    def _bytes(self, side: str) -> float:
        rows, sample = self.tables.sides[side].rows_at_most, self.samples[side]
        if sample is None:
            return math.inf if self.tables.sides[side].source.one_shot else 0
        return math.inf if rows is None else rows * sample.read_bytes


def _rows_of(size: ChunkSize, sample: Sample | None) -> int | None:
    return None if sample is None else size.rows(size.row_bytes(sample.batch))


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
    samples = {side: take_sample(reader) for side, reader in tables.sides.items()}
    tables.check_same_dim()
    beside = _beside(samples)
    room = limit - min(beside, limit / 2)
    found = []
    for stays, passes in _orders(tables):
        passing = _passing(cost, room, samples[passes])
        left = room - _taken(passing, samples[passes])
        staying = ChunkSize(most_bytes=left, vector_bytes=cost.staying)
        turned = replace(tables, a_stays=stays == "a")
        found.append(Arrangement(turned, staying, passing, samples, limit, beside))
    best = min(found, key=lambda one: (one.bytes_read, one.chunks))
    _require_room(best)
    return best


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


def _beside(samples: dict[str, Sample | None]) -> float:
    """Bytes of a limit that are for other things than chunks.

    What threads and frames hold is counted as far as it is more than a call may take
    besides its limit.
    """
    names = sum(sample.pair_bytes for sample in samples.values() if sample is not None)
    working = simd_info().threads * _THREAD_BYTES + _FRAMES * BLOCK_PAIRS * (24 + names)
    return max(0.0, working - _BESIDE_BYTES)


def _passing(cost: RowCost, room: float, sample: Sample | None) -> ChunkSize:
    size = ChunkSize(_PASSING_ROWS, room / _PASSING_SHARE, cost.passing)
    if sample is None:
        return size
    least = _LEAST_ROWS * size.row_bytes(sample.batch)
    return replace(size, most_bytes=max(size.most_bytes, least))


def _taken(size: ChunkSize, sample: Sample | None) -> float:
    """Bytes that a chunk takes at most."""
    if sample is None:
        return size.most_bytes
    return min(size.most_bytes, size.most_rows * size.row_bytes(sample.batch))


def _require_room(found: Arrangement) -> None:
    if found.chunk_rows is None or found.chunk_rows >= _LEAST_ROWS:
        return
    sizes = (found.stays, found.staying_side), (found.passes, found.passing_side)
    samples = [(size, found.samples[side]) for size, side in sizes]
    rows = (size.row_bytes(one.batch) for size, one in samples if one is not None)
    room = _LEAST_ROWS * sum(rows)
    least = math.ceil(min(2 * room, room + found.beside)) + 1
    raise MemoryLimitError(
        f"memory_limit={found.limit} bytes has no room for {_LEAST_ROWS} rows of either "
        f"side; give it {least} or more: joins read less, the more they may hold"
    )
