"""Similarity joins of tables of which some chunks are held at a time."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fast_lsh_ann._progress import Report
from fast_lsh_ann._streamed.chunks import ChunkSize, RowStream
from fast_lsh_ann._streamed.residents import (
    BLOCK_PAIRS,
    Engine,
    Grouped,
    Resident,
    Whole,
)
from fast_lsh_ann._tables.embeddings import EmbeddingBatch, EmbeddingReader
from fast_lsh_ann._tables.source import BATCH_ROWS
from fast_lsh_ann.errors import DimensionError
from fast_lsh_ann.results import Pairs

if TYPE_CHECKING:
    import polars as pl

# A chunk of a table that stays, and a reading of what it has yet to meet.
_Stay: TypeAlias = tuple[EmbeddingBatch, RowStream]


@dataclass(frozen=True)
class JoinTables:
    """The two sides of a join, and which of them stays while the other passes.

    Attributes
    ----------
    a : EmbeddingReader
    b : EmbeddingReader or None
        None: the table is joined with itself.
    a_stays : bool
        Each chunk of the table that stays meets all of the other one, which is read
        once for each; it is read once itself.
    by : sequence of str
        Columns that the rows of a pair agree on; readers carry them.
    columns : sequence of str
        Columns of the output, from each side that carries them.
    """

    a: EmbeddingReader
    b: EmbeddingReader | None
    a_stays: bool = True
    by: Sequence[str] = ()
    columns: Sequence[str] = ()

    @property
    def stays(self) -> EmbeddingReader:
        """The table whose chunks stay."""
        return self.a if self.a_stays or self.b is None else self.b

    @property
    def passes(self) -> EmbeddingReader:
        """The table whose rows pass them."""
        return self.a if self.b is None or not self.a_stays else self.b

    @property
    def sides(self) -> dict[str, EmbeddingReader]:
        """The readers of each side; a table joined with itself has one."""
        return {"a": self.a} if self.b is None else {"a": self.a, "b": self.b}

    @property
    def uris(self) -> list[str]:
        """Where the tables are."""
        return [reader.source.uri for reader in self.sides.values()]

    def sources(self) -> dict[str, object]:
        """Tell what the sides are."""
        told: dict[str, object] = {}
        for side, reader in self.sides.items():
            told[f"source_{side}"] = reader.source.uri
            if reader.source.version is not None:
                told[f"source_version_{side}"] = reader.source.version
        return told

    def left_out(self) -> dict[str, object]:
        """Tell which rows of each side are left out; invalid ones are counted."""
        told: dict[str, object] = {}
        for side, reader in self.sides.items():
            if not reader.source.one_shot:
                told[f"skipped_rows_{side}"] = reader.count_skipped()
            if reader.source.where is not None:
                told[f"where_{side}"] = reader.source.where
        return told

    def check_same_dim(self) -> None:
        """Refuse rows of unequal dimension, as far as they were read."""
        a, b = self.a, self.b or self.a
        if None not in (a.dim, b.dim) and a.dim != b.dim:
            raise DimensionError(
                f"embeddings of {a.source.uri!r} have dimension {a.dim}, "
                f"those of {b.source.uri!r} {b.dim}; they must agree"
            )


@dataclass(frozen=True)
class Meeting:
    """A chunk that stays, and rows it meets.

    Attributes
    ----------
    resident : Resident
    reader : EmbeddingReader
        What the others are of.
    piece : EmbeddingBatch or None
        The others; None: the chunk meets itself.
    report : callable or None
    """

    resident: Resident
    reader: EmbeddingReader
    piece: EmbeddingBatch | None
    report: Report | None

    @property
    def others(self) -> EmbeddingBatch:
        """The rows that the chunk meets, for their ids and columns."""
        return self.resident.chunk if self.piece is None else self.piece

    def pairs(self) -> Iterator[Pairs]:
        """Give the pairs, by their places, some thousands at a time."""
        if self.piece is None:
            found = self.resident.meet_itself(self.report)
        else:
            found = self.resident.meet(self.reader, self.piece, self.report)
        return _blocks(found)

    def count(self) -> int:
        """Count the pairs."""
        return self.resident.count(self.reader, self.piece)


def make_resident(
    engine: Engine, reader: EmbeddingReader, chunk: EmbeddingBatch, by: Sequence[str]
) -> Resident:
    """Have a chunk stay; with keys its rows are sorted in place."""
    if by:
        return Grouped(engine, reader, chunk, by)
    return Whole(engine, reader, chunk)


class ChunkedJoin:
    """A join of two tables, or of one with itself, chunk by chunk.

    Parameters
    ----------
    tables : JoinTables
    engine : Engine
    stays, passes : ChunkSize
        Of the chunks that stay, and of the pieces that pass them.
    mirrored : bool
        Of a self-join: give all ordered pairs, (i, i) too; else left < right.
    batch_rows : int
        Rows read at once.
    """

    def __init__(
        self,
        tables: JoinTables,
        engine: Engine,
        stays: ChunkSize,
        passes: ChunkSize,
        *,
        mirrored: bool = True,
        batch_rows: int = BATCH_ROWS,
    ) -> None:
        self._tables = tables
        self._engine = engine
        self._sizes = stays, passes
        self._mirrored = mirrored
        self._batch_rows = batch_rows

    def frames(self, report: Report | None) -> Generator["pl.DataFrame", None, None]:
        """Give the pairs, so many a frame; if there are none, an empty frame."""
        none = True
        with closing(self.meetings(report)) as meetings:
            for meeting in meetings:
                for frame in self._frames(meeting):
                    none = False
                    yield frame
                # Nothing may hold a chunk while the next one is read.
                del meeting
        if none:
            yield self.no_pairs()

    def count(self, report: Report | None) -> int:
        """Count the pairs of two tables."""
        total = 0
        with closing(self.meetings(report)) as meetings:
            for meeting in meetings:
                total += meeting.count()
                del meeting
        return total

    def no_pairs(self) -> "pl.DataFrame":
        """Give a frame of no pairs, whose columns are those of `frames`."""
        a = self._tables.a.no_rows(0)
        b = a if self._tables.b is None else self._tables.b.no_rows(0)
        nothing = np.empty(0, dtype=np.int64)
        return self._frame(a, b, Pairs(nothing, nothing, np.empty(0)))

    def meetings(self, report: Report | None) -> Generator[Meeting, None, None]:
        """Let every row meet every other, once; progress counts pairs of rows.

        Who takes the meetings must not hold one when asking for the next.
        """
        done = _Done(self._tables, report)
        with closing(self._stays()) as stays:
            for chunk, stream in stays:
                resident = make_resident(
                    self._engine, self._tables.stays, chunk, self._tables.by
                )
                del chunk
                if self._tables.b is None:
                    yield Meeting(resident, self._tables.a, None, done.next(resident))
                    done.add()
                while (piece := stream.take(self._sizes[1])) is not None:
                    self._tables.check_same_dim()
                    step = done.next(resident, piece)
                    yield Meeting(resident, self._tables.passes, piece, step)
                    done.add()
                    del piece
                del resident, stream
        done.end()

    def _stays(self) -> Generator[_Stay, None, None]:
        return self._of_one() if self._tables.b is None else self._of_two()

    def _stream(self, reader: EmbeddingReader) -> RowStream:
        return RowStream(reader, self._batch_rows)

    def _of_two(self) -> Generator[_Stay, None, None]:
        with closing(self._stream(self._tables.stays)) as chunks:
            while (chunk := chunks.take(self._sizes[0])) is not None:
                with closing(self._stream(self._tables.passes)) as stream:
                    yield chunk, stream
                del chunk

    def _of_one(self) -> Generator[_Stay, None, None]:
        """Read the table once a chunk, which then meets itself and the rows behind it."""
        place, more = 0, True
        while more:
            with closing(self._stream(self._tables.a)) as stream:
                stream.skip_to(place)
                chunk = stream.take(self._sizes[0])
                if chunk is None:
                    return
                place = stream.place
                yield chunk, stream
                del chunk
                more = stream.place > place

    def _frames(self, meeting: Meeting) -> Iterator["pl.DataFrame"]:
        """Name the pairs of a meeting."""
        mine, others = meeting.resident.chunk, meeting.others
        turned = self._tables.b is not None and not self._tables.a_stays
        for pairs in meeting.pairs():
            if not turned:
                yield self._frame(mine, others, pairs)
            if turned or (self._tables.b is None and self._mirrored):
                yield self._frame(others, mine, _turned(pairs))
        if meeting.piece is None and self._mirrored and self._pairs_itself():
            for places in _cut(meeting.resident.with_keys()):
                yield self._frame(
                    mine, mine, Pairs(places, places, np.zeros(len(places)))
                )

    def _pairs_itself(self) -> bool:
        """Whether a row, at distance 0 and in its own buckets, pairs with itself."""
        terms = self._engine.terms
        return terms.threshold > 0 or not terms.strict

    def _frame(
        self, a: EmbeddingBatch, b: EmbeddingBatch, pairs: Pairs
    ) -> "pl.DataFrame":
        import polars as pl

        columns = [
            a.ids_of(pairs.left).alias("id_a"),
            b.ids_of(pairs.right).alias("id_b"),
            pl.Series("distance", pairs.distances),
        ]
        sides = ("a", a.carried_of(pairs.left)), ("b", b.carried_of(pairs.right))
        for side, carried in sides:
            wanted = [name for name in self._tables.columns if name in carried.columns]
            columns += [carried[name].alias(f"{name}_{side}") for name in wanted]
        return pl.DataFrame(columns)


class _Done:
    """Pairs of rows that are done, of all there are; in a self-join, of ordered ones."""

    def __init__(self, tables: JoinTables, report: Report | None) -> None:
        a, b = tables.a, tables.b or tables.a
        self._total = (a.rows_at_most or 0) * (b.rows_at_most or 0)
        self._weight = 2 if tables.b is None else 1
        self._report = report
        self._done = self._step = 0

    def next(
        self, resident: Resident, piece: EmbeddingBatch | None = None
    ) -> Report | None:
        """Give what reports on the meeting that is next."""
        others = resident.rows if piece is None else self._weight * len(piece.rows)
        self._step = resident.rows * others
        return None if self._report is None else self._within

    def _within(self, done: int, total: int) -> None:
        self._tell(self._done + self._step * done // max(1, total))

    def add(self) -> None:
        """Report that the meeting is over."""
        self._done += self._step
        self._tell(self._done)

    def end(self) -> None:
        """Report that all is done, however many rows were expected."""
        if self._done < self._total:
            self._total = self._done
            self._tell(self._done)

    def _tell(self, done: int) -> None:
        if self._report is not None:
            self._report(done, max(done, self._total))


def _blocks(found: Iterable[Pairs]) -> Iterator[Pairs]:
    """Give pairs `BLOCK_PAIRS` at a time, or fewer at the end."""
    waiting: list[Pairs] = []
    count = 0
    for pairs in found:
        waiting.append(pairs)
        count += len(pairs)
        if count >= BLOCK_PAIRS:
            *full, rest = _pieces(_together(waiting))
            yield from full
            waiting, count = [rest], len(rest)
    if count > 0:
        yield _together(waiting)


def _pieces(pairs: Pairs) -> Iterator[Pairs]:
    """Cut pairs into full blocks, and the rest, maybe none."""
    for start in range(0, len(pairs) + 1, BLOCK_PAIRS):
        part = slice(start, start + BLOCK_PAIRS)
        yield Pairs(pairs.left[part], pairs.right[part], pairs.distances[part])


def _together(parts: Sequence[Pairs]) -> Pairs:
    if len(parts) == 1:
        return parts[0]
    return Pairs(
        np.concatenate([pairs.left for pairs in parts]),
        np.concatenate([pairs.right for pairs in parts]),
        np.concatenate([pairs.distances for pairs in parts]),
    )


def _turned(pairs: Pairs) -> Pairs:
    return Pairs(pairs.right, pairs.left, pairs.distances)


def _cut(places: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(places), BLOCK_PAIRS):
        yield places[start : start + BLOCK_PAIRS]
