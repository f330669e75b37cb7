"""What a join of tables will take, told before it is begun."""

import math
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np

from fast_lsh_ann import _core
from fast_lsh_ann._inputs import PLANS
from fast_lsh_ann._runtime import simd_info
from fast_lsh_ann._streamed.arrange import Arrangement
from fast_lsh_ann._streamed.chunked import JoinTables, make_resident
from fast_lsh_ann._streamed.chunks import ChunkSize, RowStream
from fast_lsh_ann._streamed.keys import Keys
from fast_lsh_ann._streamed.residents import Engine
from fast_lsh_ann._tables.embeddings import EmbeddingBatch, EmbeddingReader
from fast_lsh_ann._text import bytes_text, duration_text
from fast_lsh_ann.errors import ParameterError

# Of each table: so many pairs of rows are compared in some tens of milliseconds.
_SAMPLE_ROWS = 8192
# Of a limit, or a MiB: what the first rows of a table may take.
_SAMPLE_SHARE, _SAMPLE_BYTES = 8, 1 << 20


@dataclass(frozen=True)
class JoinPlan:
    """What a join of tables will take, as its first rows say.

    Numbers are None where only reading a table tells how many rows it has.

    Attributes
    ----------
    table_a, table_b : str
        Names of the tables; of a self-join both are the same.
    rows_a, rows_b : int or None
        Rows, at most.
    itself : bool
        Whether a table is joined with itself.
    stays : {"a", "b"}
        The table whose chunks stay while the other one, or what follows of the same,
        passes.
    chunk_rows, passing_rows : int or None
        Rows of a chunk that stays, and of what passes it at once.
    passes : int or None
        Chunks, and how often the passing table is read.
    bytes_read : int or None
        Of rows, in memory: files are smaller where they are compressed.
    pairs : int or None
        About how many pairs will be found, if the first rows are like the others.
    sampled_pairs, sampled : int
        Pairs found among the pairs of first rows, and how many of these there were.
    read_seconds, join_seconds, seconds : float or None
        About how long reading and joining take, and both together.  Reading goes on, some
        batches ahead, while rows are joined.
    memory_limit : int
        Bytes.
    """

    table_a: str
    table_b: str
    rows_a: int | None
    rows_b: int | None
    itself: bool
    stays: str
    chunk_rows: int | None
    passing_rows: int | None
    passes: int | None
    bytes_read: int | None
    pairs: int | None
    sampled_pairs: int
    sampled: int
    read_seconds: float | None
    join_seconds: float | None
    memory_limit: int

    @property
    def seconds(self) -> float | None:
        """About how long it takes."""
        if self.read_seconds is None or self.join_seconds is None:
            return None
        return self.read_seconds + self.join_seconds

    def __str__(self) -> str:
        staying = self.table_a if self.stays == "a" else self.table_b
        passing = self.table_b if self.stays == "a" else self.table_a
        other = "what follows of it" if self.itself else passing
        chunk, piece = _count(self.chunk_rows), _count(self.passing_rows)
        among = f"{self.sampled_pairs:,} among {self.sampled:,} pairs of first rows"
        lines = [
            f"tables   {self.table_a}: {_count(self.rows_a)} rows",
            f"         {self.table_b}: {_count(self.rows_b)} rows",
            f"stays    {staying}, {_times(self.passes)} up to {chunk} rows",
            f"passes   {other}, {piece} rows at once",
            f"reads    {_size(self.bytes_read)}: about {_time(self.read_seconds)}",
            f"joins    about {_time(self.join_seconds)}",
            f"finds    about {_count(self.pairs)} pairs ({among})",
            f"takes    about {_time(self.seconds)}, {_size(self.memory_limit)} of memory",
        ]
        if self.itself:
            lines[1:2] = ["         joined with itself"]
        return "\n".join(lines)


@dataclass(frozen=True)
class _Sample:
    """The first rows of a table, and how fast they came."""

    batch: EmbeddingBatch
    rows_per_second: float


@dataclass(frozen=True)
class _Compared:
    """First rows of both sides, joined.

    Attributes
    ----------
    found, compared : int
        Pairs, and the pairs of rows among which they were found.
    equal : float
        Which share of these have equal keys.
    seconds : float
        About what such a pair of rows takes, by the engine's prices.
    """

    found: int = 0
    compared: int = 0
    equal: float = 1.0
    seconds: float = 0.0

    @property
    def share(self) -> float:
        """Share of the pairs of rows that are pairs."""
        return self.found / self.compared if self.compared else 0.0


def plan_join(found: Arrangement, engine: Engine, *, mirrored: bool) -> JoinPlan:
    """Tell what an arranged join will take; its first rows are joined with each other.

    Raises
    ------
    ParameterError
        If a table can be read once only.
    """
    tables = found.tables
    _refuse_reading_once(tables)
    itself = tables.b is None
    samples = {side: _take_sample(found, side) for side in tables.sides}
    rows_a = _whole(found.rows("a"))
    rows_b = rows_a if itself else _whole(found.rows("b"))
    compared = _compare(found, engine, list(samples.values()))
    return JoinPlan(
        table_a=tables.a.source.name,
        table_b=(tables.b or tables.a).source.name,
        rows_a=rows_a,
        rows_b=rows_b,
        itself=itself,
        stays=found.staying_side,
        chunk_rows=_at_most(found.chunk_rows, found.rows(found.staying_side)),
        passing_rows=_at_most(found.piece_rows, found.rows(found.passing_side)),
        passes=_whole(found.chunks),
        bytes_read=_whole(found.bytes_read),
        pairs=_pairs(compared, rows_a, rows_b, itself, mirrored),
        sampled_pairs=compared.found,
        sampled=compared.compared,
        read_seconds=_read_seconds(found, samples),
        join_seconds=_join_seconds(compared, rows_a, rows_b, itself),
        memory_limit=found.limit,
    )


def _refuse_reading_once(tables: JoinTables) -> None:
    for reader in tables.sides.values():
        if reader.source.one_shot:
            raise ParameterError(
                f"{reader.source.name} can be read once only, and a plan reads some of "
                f"it; write it to a file or a table first"
            )


def _take_sample(found: Arrangement, side: str) -> _Sample | None:
    """Read the first rows, as many as there is room for, on the clock."""
    first = found.firsts[side]
    if first is None:
        return None
    room = max(_SAMPLE_BYTES, found.limit // _SAMPLE_SHARE)
    begin = time.perf_counter()
    with closing(RowStream(found.tables.sides[side], found.batch_rows)) as stream:
        batch = stream.take(ChunkSize(_SAMPLE_ROWS, room))
        seconds = time.perf_counter() - begin
    return None if batch is None else _Sample(batch, len(batch.rows) / seconds)


def _compare(
    found: Arrangement, engine: Engine, samples: list[_Sample | None]
) -> _Compared:
    tables = found.tables
    batches = [sample.batch for sample in samples if sample is not None]
    if len(batches) < len(samples):
        return _Compared()
    a, b = batches[0], batches[-1]
    n = len(a.rows)
    itself = tables.b is None
    # Rows are sorted in place where there are keys.
    chunk = replace(a, rows=a.rows.copy()) if tables.by else a
    resident = make_resident(engine, tables.a, chunk, tables.by)
    return _Compared(
        resident.count(tables.b or tables.a, None if itself else b),
        n * (n - 1) // 2 if itself else n * len(b.rows),
        _equal_share(tables.by, a, b),
        _pair_seconds(engine, tables.a, a),
    )


def _equal_share(by: Sequence[str], a: EmbeddingBatch, b: EmbeddingBatch) -> float:
    """Share of the pairs of rows whose keys are equal."""
    if not by:
        return 1.0
    keys = Keys(a, by)
    left, right = (np.bincount(keys.numbers_of(side) + 1) for side in (a, b))
    most = min(len(left), len(right))
    equal = int((left[1:most] * right[1:most]).sum())
    return equal / (len(a.rows) * len(b.rows))


def _pair_seconds(
    engine: Engine, reader: EmbeddingReader, batch: EmbeddingBatch
) -> float:
    rows = len(batch.rows)
    index = engine.index(reader, batch.rows, 0, batch.numbers)
    terms = engine.terms
    plan, *_, dense, bucket = _core.index_explain(
        index, rows, terms.min_collisions, terms.plan
    )
    seconds = dense if PLANS[plan] == "dense" else bucket
    return seconds / (rows * rows) / simd_info().threads


def _pairs(
    compared: _Compared, a: int | None, b: int | None, itself: bool, mirrored: bool
) -> int | None:
    if a is None or b is None:
        return None
    if not itself:
        return round(compared.share * a * b)
    upper = compared.share * a * (a - 1) / 2
    return round(2 * upper + a if mirrored else upper)


def _join_seconds(
    compared: _Compared, a: int | None, b: int | None, itself: bool
) -> float | None:
    if a is None or b is None:
        return None
    return compared.seconds * compared.equal * a * b / (2 if itself else 1)


def _read_seconds(found: Arrangement, samples: dict[str, _Sample | None]) -> float | None:
    def once(side: str) -> float:
        sample = samples[side]
        return 0.0 if sample is None else found.rows(side) / sample.rows_per_second

    passes = once(found.passing_side)
    again = 0 if 0 in (found.chunks, passes) else found.chunks * passes
    stays = 0 if found.tables.b is None else once(found.staying_side)
    return again + stays if math.isfinite(again + stays) else None


def _at_most(rows: int | None, all_rows: float) -> int | None:
    return None if rows is None else int(min(rows, all_rows))


def _whole(number: float) -> int | None:
    return round(number) if math.isfinite(number) else None


# ---- numbers for people ----------------------------------------------------------------


def _count(number: int | None) -> str:
    return "an unknown number of" if number is None else f"{number:,}"


def _size(number: int | None) -> str:
    return "an unknown number of bytes" if number is None else bytes_text(number)


def _time(seconds: float | None) -> str:
    return "an unknown time" if seconds is None else duration_text(seconds)


def _times(number: int | None) -> str:
    if number in (None, 1):
        return "once" if number else "an unknown number of times"
    return f"{number:,} times"
