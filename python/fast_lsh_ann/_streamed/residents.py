"""A chunk that stays while others pass, and the pairs of its rows with theirs."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fast_lsh_ann import _core
from fast_lsh_ann._invalid import own_numbers
from fast_lsh_ann._progress import Report
from fast_lsh_ann._search import (
    JoinSides,
    JoinTerms,
    count_pairs,
    join_chunks,
    join_index,
)
from fast_lsh_ann._streamed.keys import Keys
from fast_lsh_ann._tables.embeddings import EmbeddingBatch, EmbeddingReader
from fast_lsh_ann.model import BucketedRandomProjectionLSHModel
from fast_lsh_ann.results import Pairs

# Pairs that are named, and handed on, at once.
BLOCK_PAIRS = 65_536
# Rows of small keys that are joined together, and then told apart.  A table of 100,000
# rows and 10,000 keys took 1.4 s key by key, 0.6 s by 256 rows, 0.9 s by 2,048; without
# keys, 4.5 s.
_TOGETHER_ROWS = 256
# Pairs of rows that are joined, and their pairs collected, at once: 10 MB if all are
# pairs; one that is larger leaves in blocks.
_TOGETHER_PAIRS = 1 << 18
# Coordinates of rows that are sorted at once, which bounds what is copied.
_SORTED_COORDINATES = 16


class Engine:
    """What joins rows: a model, made when the first rows are known, and the terms.

    Parameters
    ----------
    make_model : callable
        Makes the model for the rows of a reader.
    terms : JoinTerms
        What makes a pair, of two sides.
    """

    def __init__(
        self,
        make_model: Callable[[EmbeddingReader], BucketedRandomProjectionLSHModel],
        terms: JoinTerms,
    ) -> None:
        self._make_model = make_model
        self._model: BucketedRandomProjectionLSHModel | None = None
        self.terms = terms

    @property
    def exact(self) -> bool:
        """Whether every pair of rows is a candidate."""
        return self.terms.min_collisions == 0

    def index(
        self,
        reader: EmbeddingReader,
        rows: NDArray[Any],
        first_row: int,
        numbers: NDArray[np.int64],
        start: int = 0,
    ) -> "_core.Index":
        """Prepare rows of a reader; the first of `numbers` is of the row `start`."""
        if self._model is None:
            self._model = self._make_model(reader)
        core = None if self.exact else self._model._core
        with own_numbers(numbers, start):
            return _core.index_new(core, rows, first_row, reader.name)


class Resident(ABC):
    """A chunk that stays.

    Parameters
    ----------
    engine : Engine
    reader : EmbeddingReader
        What the chunk is of.
    chunk : EmbeddingBatch

    Attributes
    ----------
    chunk : EmbeddingBatch
        For its ids and columns; of the rows no use is made through it.
    rows : int
    """

    def __init__(
        self, engine: Engine, reader: EmbeddingReader, chunk: EmbeddingBatch
    ) -> None:
        self.chunk = chunk
        self.rows = len(chunk.rows)
        self._engine = engine
        self._reader = reader
        self._upper = replace(engine.terms, upper=True)

    @abstractmethod
    def meet(
        self, reader: EmbeddingReader, piece: EmbeddingBatch, report: Report | None
    ) -> Iterator[Pairs]:
        """Give the pairs of its rows with others, all by their places."""

    @abstractmethod
    def meet_itself(self, report: Report | None) -> Iterator[Pairs]:
        """Give the pairs among its rows, by their places, left < right."""

    def count(self, reader: EmbeddingReader, piece: EmbeddingBatch | None) -> int:
        """Count the pairs with other rows; None: those among its own, left < right."""
        if piece is None:
            return sum(map(len, self.meet_itself(None)))
        return sum(map(len, self.meet(reader, piece, None)))

    @abstractmethod
    def with_keys(self) -> NDArray[np.int64]:
        """Places of the rows that equal themselves: keys that hold null do not."""


class Whole(Resident):
    """A chunk of which every row may meet any other."""

    @cached_property
    def index(self) -> "_core.Index":
        """The chunk, prepared."""
        chunk = self.chunk
        return self._engine.index(
            self._reader, chunk.rows, chunk.place, chunk.numbers, chunk.place
        )

    def meet(
        self, reader: EmbeddingReader, piece: EmbeddingBatch, report: Report | None
    ) -> Iterator[Pairs]:
        """Give the pairs of its rows with others, all by their places."""
        mine = self.index
        other = self._engine.index(
            reader, piece.rows, piece.place, piece.numbers, piece.place
        )
        return join_chunks(mine, other, self._engine.terms, BLOCK_PAIRS, report or False)

    def meet_itself(self, report: Report | None) -> Iterator[Pairs]:
        """Give the pairs among its rows, by their places, left < right."""
        return join_chunks(self.index, None, self._upper, BLOCK_PAIRS, report or False)

    def count(self, reader: EmbeddingReader, piece: EmbeddingBatch | None) -> int:
        """Count the pairs with other rows; None: those among its own, left < right."""
        if piece is None:
            itself = JoinSides(self.index, None, False, reader.name)
            return count_pairs(itself, self._upper, False)
        sides = JoinSides(self.index, piece.rows, False, reader.name, piece.place)
        with piece.table_numbers():
            return count_pairs(sides, self._engine.terms, False)

    def with_keys(self) -> NDArray[np.int64]:
        """Places of all rows."""
        return np.arange(self.chunk.place, self.chunk.place + self.rows)


@dataclass
class _Group:
    """Rows of one key, or of some that have few each, in the order of their keys.

    Attributes
    ----------
    start, stop : int
        Its rows among the sorted ones.
    first : int
        Number of its first key.
    mixed : bool
        Whether its keys are several.
    index : core index or None
        Its rows, once they were prepared.
    """

    start: int
    stop: int
    first: int
    mixed: bool
    index: "_core.Index | None" = None


@dataclass(frozen=True)
class _Sorted:
    """Rows with keys, sorted by these, and else in their order.

    Attributes
    ----------
    order : ndarray of int64
        Places of the rows, from the chunk's first on.
    numbers : ndarray of int64
        Of their keys.
    rows : ndarray
    """

    order: NDArray[np.int64]
    numbers: NDArray[np.int64]
    rows: NDArray[Any]


class Grouped(Resident):
    """A chunk whose rows meet those of equal keys only.

    Its rows are sorted by key.  Each key's are joined for themselves, or, where they are
    few, together with those of the next ones; pairs of unequal keys are then left out.
    So no call is made for some rows only, and no row meets more than 256 in vain.

    Parameters
    ----------
    engine, reader, chunk
        As for `Resident`.  The chunk's rows are sorted in place.
    columns : sequence of str
        The keys.
    """

    def __init__(
        self,
        engine: Engine,
        reader: EmbeddingReader,
        chunk: EmbeddingBatch,
        columns: Sequence[str],
    ) -> None:
        super().__init__(engine, reader, replace(chunk, rows=chunk.rows[:0]))
        self.rows = len(chunk.rows)
        self._keys = Keys(chunk, columns)
        numbers = self._keys.numbers_of(chunk)
        order = np.argsort(numbers, kind="stable")
        rows = _sorted_rows(chunk.rows, order)
        without = int(np.searchsorted(numbers[order], 0))
        order = order[without:]
        self._mine = _Sorted(order, numbers[order], rows[without:])
        self._groups = list(_groups(self._mine.numbers))

    def meet(
        self, reader: EmbeddingReader, piece: EmbeddingBatch, report: Report | None
    ) -> Iterator[Pairs]:
        """Give the pairs of its rows with others, all by their places."""
        numbers = self._keys.numbers_of(piece)
        order = np.argsort(numbers, kind="stable")
        order = order[np.searchsorted(numbers[order], 0) :]
        other = _Sorted(order, numbers[order], piece.rows[order])
        first = np.array([group.first for group in self._groups], dtype=np.int64)
        starts = np.searchsorted(other.numbers, first).tolist()
        stops = [*starts[1:], len(order)]
        for group, start, stop in zip(self._groups, starts, stops, strict=False):
            if start == stop:
                continue
            for pairs in self._meet(group, reader, piece, other, slice(start, stop)):
                yield Pairs(
                    self.chunk.place + self._mine.order[pairs.left],
                    piece.place + other.order[pairs.right],
                    pairs.distances,
                )
            if report is not None:
                report(stop, len(order))

    def _meet(
        self,
        group: _Group,
        reader: EmbeddingReader,
        piece: EmbeddingBatch,
        other: _Sorted,
        part: slice,
    ) -> Iterator[Pairs]:
        """Give the pairs of a group with some sorted rows, by their sorted places."""
        terms, index = self._engine.terms, self._index(group)
        numbers = piece.numbers[other.order[part]]
        most = max(1, _TOGETHER_PAIRS // (group.stop - group.start))
        if not group.mixed and part.stop - part.start > most:
            rows = other.rows[part]
            theirs = self._engine.index(reader, rows, part.start, numbers, part.start)
            yield from join_chunks(index, theirs, terms, BLOCK_PAIRS, False)
            return
        for start in range(part.start, part.stop, most):
            rows = other.rows[start : min(start + most, part.stop)]
            sides = JoinSides(index, rows, False, reader.name, start)
            with own_numbers(numbers, part.start):
                pairs = join_index(sides, terms, False)
            yield _equal(pairs, self._mine, other) if group.mixed else pairs

    def meet_itself(self, report: Report | None) -> Iterator[Pairs]:
        """Give the pairs among its rows, by their places, left < right."""
        for group in self._groups:
            for pairs in self._meet_itself(group):
                left, right = self._mine.order[pairs.left], self._mine.order[pairs.right]
                place = self.chunk.place
                yield Pairs(place + left, place + right, pairs.distances)
            if report is not None:
                report(group.stop, len(self._mine.order))

    def _meet_itself(self, group: _Group) -> Iterator[Pairs]:
        index, rows = self._index(group), group.stop - group.start
        if not group.mixed and rows * rows > _TOGETHER_PAIRS:
            yield from join_chunks(index, None, self._upper, BLOCK_PAIRS, False)
        elif rows > 1:
            sides = JoinSides(index, None, False, self._reader.name)
            pairs = join_index(sides, self._upper, False)
            yield _equal(pairs, self._mine, self._mine) if group.mixed else pairs

    def with_keys(self) -> NDArray[np.int64]:
        """Places of the rows whose keys hold no null."""
        return self.chunk.place + np.sort(self._mine.order)

    def _index(self, group: _Group) -> "_core.Index":
        if group.index is None:
            part = slice(group.start, group.stop)
            numbers = self.chunk.numbers[self._mine.order[part]]
            rows = self._mine.rows[part]
            group.index = self._engine.index(
                self._reader, rows, group.start, numbers, group.start
            )
        return group.index


def _groups(numbers: NDArray[np.int64]) -> Iterator[_Group]:
    """Cut rows, sorted by the numbers of their keys, into groups."""
    ends = np.cumsum(np.bincount(numbers))
    start = 0
    while start < len(numbers):
        first = int(numbers[start])
        end = int(np.searchsorted(ends, start + _TOGETHER_ROWS, side="right"))
        stop = int(ends[max(end - 1, first)])
        yield _Group(start, stop, first, bool(numbers[stop - 1] != first))
        start = stop


def _equal(pairs: Pairs, left: _Sorted, right: _Sorted) -> Pairs:
    """Leave out the pairs of unequal keys."""
    equal = left.numbers[pairs.left] == right.numbers[pairs.right]
    return Pairs(pairs.left[equal], pairs.right[equal], pairs.distances[equal])


def _sorted_rows(rows: NDArray[Any], order: NDArray[np.int64]) -> NDArray[Any]:
    """Sort rows, in place where they may be changed: a copy might not fit."""
    if not rows.flags.writeable:
        return rows[order]
    for start in range(0, rows.shape[1], _SORTED_COORDINATES):
        part = rows[:, start : start + _SORTED_COORDINATES]
        part[...] = part[order]
    return rows
