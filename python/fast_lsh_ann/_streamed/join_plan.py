"""What a join of tables will take, told before it is begun."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fast_lsh_ann import _core
from fast_lsh_ann._inputs import PLANS
from fast_lsh_ann._runtime import simd_info
from fast_lsh_ann._streamed.arrange import Arrangement
from fast_lsh_ann._streamed.keys import Keys
from fast_lsh_ann._streamed.residents import Engine, Grouped, Resident, Whole
from fast_lsh_ann._tables.embeddings import EmbeddingBatch, EmbeddingReader

# Of each table: so many pairs of rows are compared in some tens of milliseconds.
_SAMPLE_ROWS = 8192


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
            f"stays    {staying}, {_count(self.passes)} times up to {chunk} rows",
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
    """Tell what an arranged join will take; its first rows are joined with each other."""
    tables = found.tables
    itself = tables.b is None
    rows_a = _rows(found, "a")
    rows_b = rows_a if itself else _rows(found, "b")
    compared = _compare(found, engine)
    return JoinPlan(
        table_a=tables.a.source.name,
        table_b=(tables.b or tables.a).source.name,
        rows_a=rows_a,
        rows_b=rows_b,
        itself=itself,
        stays=found.staying_side,
        chunk_rows=_at_most(found.chunk_rows, _rows(found, found.staying_side)),
        passing_rows=_at_most(found.piece_rows, _rows(found, found.passing_side)),
        passes=_whole(found.chunks),
        bytes_read=_whole(found.bytes_read),
        pairs=_pairs(compared, rows_a, rows_b, itself, mirrored),
        sampled_pairs=compared.found,
        sampled=compared.compared,
        read_seconds=_read_seconds(found),
        join_seconds=_join_seconds(compared, rows_a, rows_b, itself),
        memory_limit=found.limit,
    )


def _rows(found: Arrangement, side: str) -> int | None:
    reader = found.tables.sides[side]
    empty = found.samples[side] is None and not reader.source.one_shot
    return 0 if empty else reader.rows_at_most


def _at_most(rows: int | None, all_rows: int | None) -> int | None:
    known = [n for n in (rows, all_rows) if n is not None]
    return min(known) if known else None


def _compare(found: Arrangement, engine: Engine) -> _Compared:
    tables = found.tables
    samples = [found.samples[side] for side in tables.sides]
    if None in samples:
        return _Compared()
    a, *rest = (s.batch.part(0, _SAMPLE_ROWS) for s in samples if s is not None)
    b = rest[0] if rest else None
    n = len(a.rows)
    compared = n * len(b.rows) if b is not None else n * (n - 1) // 2
    return _Compared(
        _resident(found, engine, a).count(tables.b or tables.a, b),
        compared,
        _equal_share(tables.by, a, b or a),
        _pair_seconds(engine, tables.a, a),
    )


def _resident(found: Arrangement, engine: Engine, chunk: EmbeddingBatch) -> Resident:
    tables = found.tables
    if not tables.by:
        return Whole(engine, tables.a, chunk)
    copied = replace(chunk, rows=chunk.rows.copy())  # they are sorted in place
    return Grouped(engine, tables.a, copied, tables.by)


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


def _read_seconds(found: Arrangement) -> float | None:
    tables = found.tables
    stays, passes = (
        _seconds(found, found.staying_side),
        _seconds(found, found.passing_side),
    )
    again = 0 if 0 in (found.chunks, passes) else found.chunks * passes
    seconds = again if tables.b is None else stays + again
    return seconds if math.isfinite(seconds) else None


def _seconds(found: Arrangement, side: str) -> float:
    """How long it takes to read a side once; infinite where that is not known."""
    rows, sample = _rows(found, side), found.samples[side]
    if rows == 0:
        return 0.0
    return math.inf if rows is None or sample is None else rows / sample.rows_per_second


def _whole(number: float) -> int | None:
    return round(number) if math.isfinite(number) else None


# ---- numbers for people ----------------------------------------------------------------


def _count(number: int | None) -> str:
    return "an unknown number of" if number is None else f"{number:,}"


def _size(number: int | None) -> str:
    if number is None:
        return "an unknown number of bytes"
    power = min(4, max(0, number.bit_length() - 1) // 10)
    unit = ("bytes", "KiB", "MiB", "GiB", "TiB")[power]
    return f"{number / 1024**power:.3g} {unit}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "an unknown time"
    if seconds < 120:
        return f"{seconds:.2g} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
