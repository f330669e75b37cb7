"""Nearest neighbors of one table's rows among those of another, under a memory limit.

Queries are resident, as many as fit; the base is streamed once for each block of them.  A
pass knows neighbors by their places; after it their names are looked up (naming.py).
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fast_lsh_ann import _core
from fast_lsh_ann._arrow import frame_batch
from fast_lsh_ann._invalid import own_numbers
from fast_lsh_ann._progress import Progress, Report, reporting
from fast_lsh_ann._runtime import simd_info
from fast_lsh_ann._streamed.answers import (
    answer_frames,
    name_bytes,
    no_answers,
    places_of,
)
from fast_lsh_ann._streamed.blocks import query_blocks
from fast_lsh_ann._streamed.costs import Layout, SearchCosts, writing_bytes
from fast_lsh_ann._streamed.frames import Frames, write_frames
from fast_lsh_ann._streamed.naming import KeptNames, LateNames, Names, RowNumbers
from fast_lsh_ann._streamed.neighbor_request import NeighborTerms
from fast_lsh_ann._tables.delta import refuse_input
from fast_lsh_ann._tables.embeddings import EmbeddingBatch, EmbeddingReader
from fast_lsh_ann._tables.output import Output
from fast_lsh_ann._tables.report import WriteReport
from fast_lsh_ann._tables.scheme import prefixed
from fast_lsh_ann._tables.source import BATCH_ROWS
from fast_lsh_ann._threads import Prefetch, call_in_thread
from fast_lsh_ann.errors import DimensionError, MemoryLimitError
from fast_lsh_ann.model import BucketedRandomProjectionLSHModel
from fast_lsh_ann.results import Neighbors

if TYPE_CHECKING:
    import polars as pl

_NO_ROWS: NDArray[Any] = np.empty((0, 0))
_BLOCKS_AHEAD = 1


class NeighborFrames(Frames):
    """Neighbors: `query_id`, `neighbor_id`, `rank`, `distance`, then carried columns."""


class NeighborSearch:
    """A search of two tables.

    Parameters
    ----------
    queries : EmbeddingReader
        Gives rows with their ids and the columns carried along.
    base : EmbeddingReader
        The same.  What it gives besides rows is read late, unless that is impossible.
    checked_dim : callable
        Tells the dimension of what a reader gives; refuses it if it must.
    terms : NeighborTerms
    limit : int
        Bytes that may be held.
    written : bool
        Whether the answers are for a table, whose writer is left some of them.
    """

    def __init__(
        self,
        queries: EmbeddingReader,
        base: EmbeddingReader,
        checked_dim: Callable[[EmbeddingReader], int],
        terms: NeighborTerms,
        limit: int,
        *,
        written: bool,
    ) -> None:
        self.queries = queries
        self.base = base if base.source.one_shot else base.bare()
        self.terms = terms
        self.limit = limit
        self._written = written
        self.named_base = base
        self._checked_dim = checked_dim
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
        return no_answers(self.queries, self.named_base)

    def write(self, output: Output, progress: Progress) -> WriteReport:
        """Write the neighbors to a table, in one commit.

        Raises
        ------
        ParameterError
            If it is one of the inputs.
        TableExistsError, TableSchemaError, DeltaError
            If it cannot be written.
        """
        refuse_input(output.path, self.queries.source.uri, self.base.source.uri)
        none = self.no_rows()
        if (done := output.check(frame_batch(none))) is not None:
            return done
        told = self._told()
        with closing(self.frames(progress)) as frames:
            first = next(frames)  # from here on the base was read
            told["skipped_rows_base"] = self.base.skipped
            return write_frames(output, chain([first], frames), none, prefixed(told))

    def _told(self) -> dict[str, object]:
        """Say what a commit tells of the search, as known before the base is read."""
        told: dict[str, object] = {
            "operation": "nearest_neighbors",
            "parameters": self.terms.text,
        }
        for side, reader in (("queries", self.queries), ("base", self.base)):
            source = reader.source
            told |= {side: source.uri, f"{side}_version": source.version}
            if source.where is not None:
                told[f"where_{side}"] = source.where
        if not self.queries.source.one_shot:
            told["skipped_rows_queries"] = self.queries.count_skipped()
        return told

    # ---- passes ------------------------------------------------------------------------

    def _found(self, tally: "_Tally") -> Generator["pl.DataFrame", None, None]:
        layout, batch_rows = None, BATCH_ROWS
        if not self.queries.source.one_shot:
            if self.queries.peek() is None:
                return
            layout = self.layout()
            batch_rows = layout.batch_rows
        with closing(self.queries.batches(batch_rows)) as batches:
            first = next(batches, None)
            if first is None:
                return
            layout = layout or self.layout()
            blocks = query_blocks(
                chain([first], batches),
                layout,
                self.queries.rows_at_most,
                single=self.base.source.one_shot,
            )
            del first  # each block is held once, and while it is searched for alone
            with closing(blocks):
                yield from self._answers(blocks, layout, tally)

    def _answers(
        self, blocks: Iterator[EmbeddingBatch], layout: Layout, tally: "_Tally"
    ) -> Generator["pl.DataFrame", None, None]:
        for block in blocks:
            names = self._names(layout, block)
            found = self._search(block, layout, names, tally)
            block = replace(block, rows=_NO_ROWS)
            if found is not None:
                yield from self._named(block, found, names, layout)
            del found, names, block  # nothing of them while the next is searched for

    def layout(self) -> Layout:
        """Cut the search to fit its limit, once a query was read.

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
        dim = self._checked_dim(self.queries)
        self._model = self.terms.model(dim)
        rows = self.base.rows_at_most
        k = self.terms.k if rows is None else max(1, min(self.terms.k, rows))
        core = None if self._model is None else self._model._core

        def core_bytes(queries: int, pushed: int) -> tuple[int, int]:
            asked = (core, queries, dim, k, self.terms.min_collisions, 0, pushed)
            return _core.knn_memory(*asked)

        costs = SearchCosts(
            dim=dim,
            k=k,
            query_itemsize=self.queries.dtype.itemsize,
            base_itemsize=self.base.dtype.itemsize,
            name_bytes=name_bytes(self.named_base),
            threads=simd_info().threads,
            core=core_bytes,
            writing=writing_bytes(self.limit) if self._written else 0,
        )
        return Layout.within(costs, self.limit)

    def _names(self, layout: Layout, block: EmbeddingBatch) -> Names:
        table = self.named_base
        if table.id_column is None and not table.carried:
            return RowNumbers()
        if not table.source.one_shot:
            return LateNames(table)
        room = layout.room - len(block.rows) * layout.query_bytes(few=False)
        return KeptNames(table, room)

    def begin_pass(self, queries: EmbeddingBatch, k: int | None = None) -> "NeighborPass":
        """Begin to search for some queries, once the search is cut; `k` of their own."""
        terms = self.terms if k is None else replace(self.terms, k=k)
        return NeighborPass(
            queries, self._model, terms, (self.queries.name, self.base.name)
        )

    def _search(
        self, queries: EmbeddingBatch, layout: Layout, names: Names, tally: "_Tally"
    ) -> Neighbors | None:
        """Stream the base past some queries; None if it is empty."""
        search = self.begin_pass(queries)
        blocks = Prefetch(
            lambda: self.base.chunks(layout.push_rows, layout.batch_rows), _BLOCKS_AHEAD
        )
        try:
            for block in blocks:
                self._check_dim()
                search.push(block, tally.push())
                names.see(block)
                tally.pushed(len(queries.rows) * len(block.rows))
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
        places = call_in_thread(lambda: places_of(found))
        held = found.indices.nbytes + found.distances.nbytes + places.nbytes + names.held
        chosen = names.of(places, layout.room - held)
        if chosen is not None:
            yield from answer_frames(queries, found, chosen, places)
            return
        del places
        half = len(found.counts) // 2
        if half == 0:
            raise MemoryLimitError(
                f"memory_limit is {layout.limit:,} bytes, and the ids and columns of the "
                f"neighbors of one query take more; carry fewer columns, ask for fewer "
                f"neighbors, or raise it"
            )
        for part in (slice(0, half), slice(half, None)):
            some = Neighbors(
                found.indices[part], found.distances[part], found.counts[part]
            )
            several = queries.part(part.start, len(some.counts))
            yield from self._named(several, some, names, layout)


class NeighborPass:
    """One pass of the base: the queries, and what is nearest of the rows so far."""

    def __init__(
        self,
        queries: EmbeddingBatch,
        model: BucketedRandomProjectionLSHModel | None,
        terms: NeighborTerms,
        names: tuple[str, str],
    ) -> None:
        self._base_name = names[1]
        self._terms = terms
        self.queries = len(queries.rows)
        self._rows = 0
        core = None if model is None else model._core
        with own_numbers(queries.numbers):
            self._knn = _core.knn_new(
                core, queries.rows, terms.k, terms.min_collisions, 0, names[0]
            )

    def push(self, block: EmbeddingBatch, report: Report | None) -> None:
        """Search some rows of the base."""
        with block.table_numbers():
            _core.knn_push(self._knn, block.rows, block.place, report, self._base_name)
        self._rows += len(block.rows)

    def finish(self) -> Neighbors | None:
        """Give what is nearest, by places; None where there were no rows."""
        if self._rows == 0:
            return None
        shape = (self.queries, min(self._terms.k, self._rows))
        indices, distances = np.empty(shape, dtype=np.int64), np.empty(shape)
        counts = np.zeros(self.queries, dtype=np.int64)
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

    def push(self) -> Report | None:
        """Give what reports a push while it runs."""
        if self._report is None:
            return None
        return lambda done, _: self._tell(self._done + done)

    def pushed(self, pairs: int) -> None:
        self._done += pairs
        self._tell(self._done)

    def finish(self) -> None:
        self._tell(max(self._done, self._total))

    def _tell(self, done: int) -> None:
        if self._report is not None:
            self._report(done, max(done, self._total))
