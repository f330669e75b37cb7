"""The first rows of the tables of a join, and what joining them says of all."""

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
from fast_lsh_ann._streamed.residents import Engine, Resident
from fast_lsh_ann._tables.embeddings import EmbeddingBatch, EmbeddingReader

# Of each table: so many pairs of rows are compared in some tens of milliseconds.
_SAMPLE_ROWS = 8192
# Of a limit, or a MiB: what the first rows of a table may take.
_SAMPLE_SHARE, _SAMPLE_BYTES = 8, 1 << 20


@dataclass(frozen=True)
class Sample:
    """The first rows of a table, and how fast they came."""

    batch: EmbeddingBatch
    rows_per_second: float


@dataclass(frozen=True)
class Tally:
    """Pairs of rows that were compared.

    Attributes
    ----------
    compared : int
        All of them.
    equal : int
        Those of equal keys; all where there are no keys.
    found : int
        Those that are pairs of the join.
    """

    compared: int = 0
    equal: int = 0
    found: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.compared + other.compared,
            self.equal + other.equal,
            self.found + other.found,
        )


@dataclass(frozen=True)
class Compared:
    """First rows of both sides, cut in two at the same row, and joined.

    Attributes
    ----------
    rows : int
        Of the side that has fewer of them.
    near : Tally
        Pairs of which both rows are before the cut, or both behind it.
    far : Tally
        All others.
    seconds : float
        About what comparing two rows takes, by the engine's prices.
    """

    rows: int
    near: Tally
    far: Tally
    seconds: float

    @property
    def all(self) -> Tally:
        """Near and far."""
        return self.near + self.far

    def found_among(self, pairs: float, rows: int) -> float:
        """Tell how many pairs there will be among so many pairs of all rows."""
        return self._among(self.near.found, self.far.found, pairs, rows)

    def equal_among(self, pairs: float, rows: int) -> float:
        """Tell how many of so many pairs of all rows have equal keys."""
        return self._among(self.near.equal, self.far.equal, pairs, rows)

    def _among(self, near: int, far: int, pairs: float, rows: int) -> float:
        """Tell how many there are among all pairs, of sides of so many rows at least.

        What is far may be anywhere, and grows with the pairs of rows.  More of it near
        by is what tables in one order have, or one with alike rows beside each other:
        that excess grows with the rows.
        """
        if self.far.compared == 0:
            return pairs * near / max(1, self.near.compared)
        excess = near - self.near.compared * far / self.far.compared
        if excess < 0:
            return pairs * (near + far) / self.all.compared
        return pairs * far / self.far.compared + rows * excess / self.rows


def take_sample(found: Arrangement, side: str) -> Sample | None:
    """Read the first rows, as many as there is room for, on the clock."""
    first = found.firsts[side]
    if first is None:
        return None
    room = max(_SAMPLE_BYTES, found.limit // _SAMPLE_SHARE)
    begin = time.perf_counter()
    with closing(RowStream(found.tables.sides[side], found.batch_rows)) as stream:
        batch = stream.take(ChunkSize(_SAMPLE_ROWS, room))
        seconds = time.perf_counter() - begin
    return None if batch is None else Sample(batch, len(batch.rows) / seconds)


def compare(
    tables: JoinTables, engine: Engine, samples: Sequence[Sample | None]
) -> Compared:
    """Join the first rows of both sides, or those of one with themselves."""
    batches = [sample.batch for sample in samples if sample is not None]
    if len(batches) < len(samples):
        return Compared(0, Tally(), Tally(), 0.0)
    itself = tables.b is None
    rows = min(len(batch.rows) for batch in batches)
    mine, others = (_halves(batch, rows // 2) for batch in (batches[0], batches[-1]))
    near, far = Tally(), Tally()
    for i, half in enumerate(mine):
        if tables.by:  # rows are sorted in place then
            half = replace(half, rows=half.rows.copy())
        resident = make_resident(engine, tables.a, half, tables.by)
        for j, other in enumerate(others):
            if itself and j < i:
                continue  # they met before
            tally = _tally(tables, resident, None if itself and i == j else other)
            near, far = (near + tally, far) if i == j else (near, far + tally)
    return Compared(rows, near, far, _pair_seconds(engine, tables.a, batches[0]))


def _halves(batch: EmbeddingBatch, cut: int) -> list[EmbeddingBatch]:
    """Cut a batch in two; in one, where nothing is before the cut."""
    if cut == 0:
        return [batch]
    return [batch.part(0, cut), batch.part(cut, len(batch.rows))]


def _tally(tables: JoinTables, resident: Resident, other: EmbeddingBatch | None) -> Tally:
    """Count the pairs with other rows; None: those among its own."""
    n = resident.rows
    compared = n * (n - 1) // 2 if other is None else n * len(other.rows)
    equal = _equal(tables.by, resident.chunk, other) if tables.by else compared
    return Tally(compared, equal, resident.count(tables.b or tables.a, other))


def _equal(by: Sequence[str], chunk: EmbeddingBatch, other: EmbeddingBatch | None) -> int:
    """Count the pairs of rows whose keys are equal."""
    keys = Keys(chunk, by)
    mine = np.bincount(keys.numbers_of(chunk) + 1)[1:]
    if other is None:
        return int((mine * (mine - 1) // 2).sum())
    theirs = np.bincount(keys.numbers_of(other) + 1, minlength=len(mine) + 1)[1:]
    return int((mine * theirs).sum())


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
