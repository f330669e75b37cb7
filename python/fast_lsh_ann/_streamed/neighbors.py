"""Nearest neighbors of one table's rows among those of another, under a memory limit.

Queries are resident, as many as fit; the base is streamed once for each block of them.  A
pass knows neighbors by their places; after it their names are looked up (naming.py).
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fast_lsh_ann import _core
from fast_lsh_ann._invalid import own_numbers
from fast_lsh_ann._progress import Progress, Report, reporting
from fast_lsh_ann._runtime import simd_info
from fast_lsh_ann._streamed.blocks import query_blocks
from fast_lsh_ann._streamed.costs import Layout, SearchCosts
from fast_lsh_ann._streamed.frames import Frames
from fast_lsh_ann._streamed.naming import (
    KeptNames,
    LateNames,
    Names,
    RowNumbers,
    name_frame,
)
from fast_lsh_ann._tables.embeddings import EmbeddingBatch, EmbeddingReader
from fast_lsh_ann._tables.source import Source
from fast_lsh_ann._threads import call_in_thread, prefetch
from fast_lsh_ann.errors import DimensionError, MemoryLimitError
from fast_lsh_ann.model import BucketedRandomProjectionLSHModel
from fast_lsh_ann.results import Neighbors

if TYPE_CHECKING:
    import polars as pl

_NO_ROWS: NDArray[Any] = np.empty((0, 0))
_BLOCKS_AHEAD = 1
_FRAME_ROWS = 32768  # and so many at least of a query's own


class NeighborFrames(Frames):
    """Neighbors: `query_id`, `neighbor_id`, `rank`, `distance`, then carried columns."""


@dataclass(frozen=True)
class NeighborTerms:
    """What is searched for, whatever the tables."""

    k: int
    min_collisions: int  # 0: exact


@dataclass(frozen=True)
class NamedColumns:
    """The columns of a table that name its rows in the output."""

    id_column: str | None
    carried: tuple[str, ...]


class NeighborSearch:
    """A search of two tables.

    Parameters
    ----------
    queries : EmbeddingReader
        Gives rows with their ids and the columns carried along.
    base : EmbeddingReader
        Gives rows alone, unless its source can be read once only.
    base_names : NamedColumns
    make_model : callable
        Makes the model for the rows of a reader; refuses their dimension if it must.
    terms : NeighborTerms
    limit : int
        Bytes that may be held.
    """

    def __init__(
        self,
        queries: EmbeddingReader,
        base: EmbeddingReader,
        base_names: NamedColumns,
        make_model: Callable[[EmbeddingReader], BucketedRandomProjectionLSHModel],
        terms: NeighborTerms,
        limit: int,
    ) -> None:
        self.queries = queries
        self.base = base
        self.terms = terms
        self.limit = limit
        self._base_names = base_names
        self._make_model = make_model
        self._model: BucketedRandomProjectionLSHModel | None = None

    def frames(self, progress: Progress) -> Generator["pl.DataFrame", None, None]:
        """Give the neighbors, by the queries' order, then rank.

        There is at least one frame, if need be an empty one.
        """
        none = True
        with reporting(progress, "nearest neighbors") as report:
            tally = _Tally(report, self.queries.rows_at_most, self.base.rows_at_most)
            with closing(self._found(tally)) as found:
                for frame in found:
                    none = False
                    yield frame
            tally.finish()
        if none:
            yield self.no_rows()

    def no_rows(self) -> "pl.DataFrame":
        """Give a frame of no neighbors, whose columns are those of `frames`."""
        nothing = np.empty((0, 0), dtype=np.int64)
        found = Neighbors(nothing, nothing.astype(np.float64), nothing[:, :0].sum(axis=1))
        return _frame(
            name_frame("query", *self.queries.no_ids()), found, self._no_names(), nothing
        )

    def _no_names(self) -> "pl.DataFrame":
        names = self._base_names
        reader_like = EmbeddingReader.no_ids_of(
            self.base.source, names.id_column, names.carried
        )
        return name_frame("neighbor", *reader_like)

    # ---- passes ------------------------------------------------------------------------

    def _found(self, tally: "_Tally") -> Generator["pl.DataFrame", None, None]:
        with closing(self._opened_queries()) as batches:
            first = next(batches, None)
            if first is None:
                return
            layout = self.layout(first)
            blocks = query_blocks(
                chain([first], batches),
                layout,
                self.queries.rows_at_most,
                single=self.base.source.one_shot,
            )
            del first
            with closing(blocks):
                for block in blocks:
                    names = self._names(layout, block)
                    found = self._search(block, layout, names, tally)
                    block = replace(block, rows=_NO_ROWS)
                    if found is not None:
                        yield from self._named(block, found, names, layout)

    def _opened_queries(self) -> Generator[EmbeddingBatch, None, None]:
        """Read the queries in batches that suit their dimension, if it can be looked at."""
        rows = None
        if not self.queries.source.one_shot:
            first = self.queries.peek()
            if first is None:
                return
            rows = self.layout(first).batch_rows
        yield from self.queries.batches(*([] if rows is None else [rows]))

    def layout(self, queries: EmbeddingBatch) -> Layout:
        """Cut the search to fit its limit; `queries` are some of them.

        Raises
        ------
        MemoryLimitError
            If it cannot be.
        DimensionError
            If the dimension is not the base's, or the one asked for.
        """
        if not self.base.source.one_shot:
            self.base.peek()
        self._check_dim()
        model = self._model_of_queries()
        rows = self.base.rows_at_most
        costs = SearchCosts(
            dim=queries.rows.shape[1],
            k=self.terms.k if rows is None else max(1, min(self.terms.k, rows)),
            functions=0 if model is None else model._functions,
            query_itemsize=self.queries.dtype.itemsize,
            base_itemsize=self.base.dtype.itemsize,
            name_bytes=_width(self._no_names()),
            threads=simd_info().threads,
        )
        return Layout.within(costs, self.limit)

    def _model_of_queries(self) -> BucketedRandomProjectionLSHModel | None:
        if self._model is None:
            self._model = self._make_model(self.queries)
        return self._model if self.terms.min_collisions > 0 else None

    def _names(self, layout: Layout, block: EmbeddingBatch) -> Names:
        names, source = self._base_names, self.base.source
        if names.id_column is None and not names.carried:
            return RowNumbers()
        if not source.one_shot:
            return LateNames(source, names.id_column, names.carried)
        room = layout.room - len(block.rows) * layout.query_bytes(few=False)
        return KeptNames(self._no_names(), room)

    def _search(
        self, queries: EmbeddingBatch, layout: Layout, names: Names, tally: "_Tally"
    ) -> Neighbors | None:
        """Stream the base past some queries; None if it is empty."""
        model = self._model_of_queries()
        search = _Pass(queries, model, self.terms, self.queries.name)
        blocks = prefetch(
            lambda: self.base.chunks(layout.push_rows, layout.batch_rows), _BLOCKS_AHEAD
        )
        try:
            for block in blocks:
                self._check_dim()
                search.push(block, tally.push(queries, block), self.base.name)
                names.see(block)
                tally.pushed(queries, block)
        finally:
            blocks.cancel()
        return search.finish()

    def _check_dim(self) -> None:
        queries, base = self.queries, self.base
        if None not in (queries.dim, base.dim) and queries.dim != base.dim:
            raise DimensionError(
                f"queries and base must have one dimension: {queries.name} has "
                f"{queries.dim}, {base.name} has {base.dim}"
            )

    # ---- answers -----------------------------------------------------------------------

    def _named(
        self, queries: EmbeddingBatch, found: Neighbors, names: Names, layout: Layout
    ) -> Generator["pl.DataFrame", None, None]:
        """Look names up, of as many queries as fit, and give their neighbors."""
        places = call_in_thread(lambda: _places(found))
        held = found.indices.nbytes + found.distances.nbytes + places.nbytes + names.held
        chosen = names.of(places, layout.room - held)
        if chosen is not None:
            yield from _frames(queries, found, chosen, places)
            return
        half = len(found.counts) // 2
        if half == 0:
            raise MemoryLimitError(
                f"memory_limit is {layout.limit:,} bytes, and the ids and columns of the "
                f"neighbors of one query take more; carry fewer columns, ask for fewer "
                f"neighbors, or raise it"
            )
        for part in (slice(0, half), slice(half, None)):
            some = Neighbors(found.indices[part], found.distances[part], found.counts[part])
            several = queries.part(part.start, len(some.counts))
            yield from self._named(several, some, names, layout)


class _Pass:
    """One pass of the base: the queries, and what is nearest of the rows so far."""

    def __init__(
        self,
        queries: EmbeddingBatch,
        model: BucketedRandomProjectionLSHModel | None,
        terms: NeighborTerms,
        name: str,
    ) -> None:
        self._terms = terms
        self._queries = len(queries.rows)
        self._rows = 0
        core = None if model is None else model._core
        with own_numbers(queries.numbers):
            self._knn = _core.knn_new(
                core, queries.rows, terms.k, terms.min_collisions, 0, name
            )

    def push(self, block: EmbeddingBatch, report: Report | None, name: str) -> None:
        with block.table_numbers():
            _core.knn_push(self._knn, block.rows, block.place, report, name)
        self._rows += len(block.rows)

    def finish(self) -> Neighbors | None:
        if self._rows == 0:
            return None
        shape = (self._queries, min(self._terms.k, self._rows))
        indices, distances = np.empty(shape, dtype=np.int64), np.empty(shape)
        counts = np.zeros(self._queries, dtype=np.int64)
        _core.knn_finish(self._knn, shape[1], indices, distances, counts, None)
        return Neighbors(indices, distances, counts)


class _Tally:
    """Counts pairs of a query and a base row for a report."""

    def __init__(
        self, report: Report | None, queries: int | None, base: int | None
    ) -> None:
        self._report = report
        self._done = 0
        self._total = (queries or 0) * (base or 0)

    def push(self, queries: EmbeddingBatch, block: EmbeddingBatch) -> Report | None:
        """Give what reports a push while it runs."""
        if self._report is None:
            return None
        return lambda done, _: self._tell(self._done + done)

    def pushed(self, queries: EmbeddingBatch, block: EmbeddingBatch) -> None:
        self._done += len(queries.rows) * len(block.rows)
        self._tell(self._done)

    def finish(self) -> None:
        self._tell(max(self._done, self._total))

    def _tell(self, done: int) -> None:
        if self._report is not None:
            self._report(done, max(done, self._total))


def _places(found: Neighbors) -> NDArray[np.int64]:
    """Places of all rows that were found, each once, ascending."""
    places = np.unique(found.indices)
    return places[np.searchsorted(places, 0) :]


def _frames(
    queries: EmbeddingBatch,
    found: Neighbors,
    names: "pl.DataFrame",
    places: NDArray[np.int64],
) -> Iterator["pl.DataFrame"]:
    size = max(1, _FRAME_ROWS // max(1, found.indices.shape[1]))
    for start in range(0, len(found.counts), size):
        part = slice(start, start + size)
        several = queries.part(start, size)
        some = Neighbors(found.indices[part], found.distances[part], found.counts[part])
        yield _frame(name_frame("query", several.ids, several.carried), some, names, places)


def _frame(
    queries: "pl.DataFrame",
    found: Neighbors,
    names: "pl.DataFrame",
    places: NDArray[np.int64],
) -> "pl.DataFrame":
    """Lay the neighbors of some queries side by side with what both are called."""
    import polars as pl

    real = found.indices >= 0
    query, rank = np.nonzero(real)
    asking = queries[query]
    answers = names[np.searchsorted(places.ravel(), found.indices[real])]
    return pl.DataFrame(
        [
            asking["query_id"],
            answers["neighbor_id"],
            pl.Series("rank", (rank + 1).astype(np.int32)),
            pl.Series("distance", found.distances[real]),
            *asking.drop("query_id").get_columns(),
            *answers.drop("neighbor_id").get_columns(),
        ]
    )


def _width(names: "pl.DataFrame") -> int:
    """Bytes of a row of names, as far as types tell."""
    return sum(_bytes_of(kind) for kind in names.dtypes)


# A text or a list is a view of 16 bytes, and these behind it, for want of better.
_LONG_VALUE = 48


def _bytes_of(kind: "pl.DataType") -> int:
    import polars as pl

    if kind.is_integer() or kind.is_float():
        return int(str(kind).lstrip("UIntFloat")) // 8
    if kind.is_temporal() or kind == pl.Boolean:
        return 8
    return _LONG_VALUE


def table_of(source: Source) -> str:
    """Name a source and its columns in errors."""
    return f"{source.name} has {source.columns}"
