"""What a join of tables will take, told before it is begun."""

import math
from dataclasses import dataclass

from fast_lsh_ann._streamed.arrange import Arrangement
from fast_lsh_ann._streamed.chunked import JoinTables
from fast_lsh_ann._streamed.first_rows import Compared, Sample, compare, take_sample
from fast_lsh_ann._streamed.residents import Engine
from fast_lsh_ann._text import bytes_text, duration_text
from fast_lsh_ann.errors import ParameterError


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
        About how many pairs will be found, if the first rows are like the others: as
        large a share of the pairs of rows, but for pairs that are more frequent among
        rows near each other, as in tables of one order: as many a row.
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
    samples = {side: take_sample(found, side) for side in tables.sides}
    rows_a = _whole(found.rows("a"))
    rows_b = rows_a if itself else _whole(found.rows("b"))
    compared = compare(tables, engine, list(samples.values()))
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
        sampled_pairs=compared.all.found,
        sampled=compared.all.compared,
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


def _pairs(
    compared: Compared, a: int | None, b: int | None, itself: bool, mirrored: bool
) -> int | None:
    if a is None or b is None:
        return None
    found = compared.found_among(_pairs_of_rows(a, b, itself), min(a, b))
    return round(2 * found + a if itself and mirrored else found)


def _join_seconds(
    compared: Compared, a: int | None, b: int | None, itself: bool
) -> float | None:
    if a is None or b is None:
        return None
    equal = compared.equal_among(_pairs_of_rows(a, b, itself), min(a, b))
    return compared.seconds * equal


def _pairs_of_rows(a: int, b: int, itself: bool) -> float:
    return a * (a - 1) / 2 if itself else a * b


def _read_seconds(found: Arrangement, samples: dict[str, Sample | None]) -> float | None:
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
