"""How a search of two tables would go about it, and how long it would take."""

import math
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass

from fast_lsh_ann._streamed.blocks import named_bytes
from fast_lsh_ann._streamed.costs import Layout
from fast_lsh_ann._streamed.neighbors import NeighborPass, NeighborSearch
from fast_lsh_ann._text import duration_text
from fast_lsh_ann.errors import ParameterError

# How long a part of the tables is read, and searched, and by how many queries.
_READ_SECONDS, _SEARCH_SECONDS, _FILTER_SECONDS, _NAMES_SECONDS = 1.0, 1.5, 0.5, 0.3
_SAMPLE_QUERIES = 8192


@dataclass(frozen=True)
class NeighborsPlan:
    """How a search of two tables goes about it.

    ``str(plan)`` says it in words.

    Attributes
    ----------
    queries, rows : int
        Queries, and rows of the base; or more, where conditions or deleted rows hide
        some.
    dim : int or None
        None where there are no queries.
    k : int
    passes : int
        How often the base is read.
    queries_per_pass : int
    rows_per_block : int
        Rows of the base that are searched at once.
    memory : mapping of str to int
        Bytes that are held, by part; `writing` is left to the writer of a table.
    memory_limit : int
        Bytes that may be held.
    read_seconds : float
        For all passes, as the first rows were read.
    search_seconds : float
        For all pairs, worked out from some queries among the first rows.
    seconds : float
        In all: the longer of the two, for they overlap, and reading the ids and columns
        of what was found.
    """

    queries: int
    rows: int
    dim: int | None
    k: int
    passes: int
    queries_per_pass: int
    rows_per_block: int
    memory: Mapping[str, int]
    memory_limit: int
    read_seconds: float
    search_seconds: float
    seconds: float

    def __str__(self) -> str:
        if self.dim is None:
            return f"no queries, {self.rows:,} rows: nothing is to be done"
        held = sum(self.memory.values())
        shares = ", ".join(f"{n} {v / 2**20:,.0f}" for n, v in self.memory.items())
        passes = "1 pass" if self.passes == 1 else f"{self.passes:,} passes"
        return "\n".join(
            (
                f"{self.queries:,} queries, {self.rows:,} rows of dimension {self.dim}, "
                f"k={self.k}",
                f"{passes} over the rows, of up to {self.queries_per_pass:,} queries; "
                f"{self.rows_per_block:,} rows at a time",
                f"memory: {held / 2**20:,.0f} MiB of {self.memory_limit / 2**20:,.0f} "
                f"({shares})",
                f"about {duration_text(self.seconds)}: reading takes "
                f"{duration_text(self.read_seconds)}, searching "
                f"{duration_text(self.search_seconds)}, at the same time",
            )
        )


def plan_search(search: NeighborSearch) -> NeighborsPlan:
    """Plan a search, by reading and searching a part of its tables.

    Raises
    ------
    ParameterError
        If a table can be read once only.
    """
    for reader in (search.queries, search.base):
        if reader.source.one_shot:
            raise ParameterError(
                f"{reader.source.name} can be read once only, and a plan reads some of "
                f"it; write it to a file or a table first"
            )
    first = search.queries.peek()
    queries, rows = search.queries.rows_at_most or 0, search.base.rows_at_most or 0
    if first is None:
        return NeighborsPlan(
            0, rows, None, search.terms.k, 0, 0, 0, {}, search.limit, 0.0, 0.0, 0.0
        )
    layout = search.layout()
    named = -(-named_bytes(first) // len(first.rows))
    block = min(queries, layout.most_queries(named))
    passes = -(-queries // block)
    costs = layout.of_query(layout.few(block))
    reading = passes * rows / _rows_per_second(search, layout)
    searching = queries * _search_seconds(search, layout, block)
    naming = passes * rows / _names_per_second(search)
    return NeighborsPlan(
        queries=queries,
        rows=rows,
        dim=layout.costs.dim,
        k=search.terms.k,
        passes=passes,
        queries_per_pass=block,
        rows_per_block=layout.push_rows,
        memory={
            **{part: block * size for part, size in costs.items()},
            **layout.fixed,
        },
        memory_limit=search.limit,
        read_seconds=reading,
        search_seconds=searching,
        seconds=max(reading, searching) + naming,
    )


def _rows_per_second(search: NeighborSearch, layout: Layout) -> float:
    with closing(search.base.batches(layout.batch_rows)) as batches:
        return _per_second((len(batch.rows) for batch in batches), _READ_SECONDS)


def _names_per_second(search: NeighborSearch) -> float:
    table = search.named_base
    columns = table.columns[1:]  # the first are the embeddings
    if not columns:
        return math.inf
    batches = table.source.batches(columns)
    return _per_second((len(batch[0]) for batch in batches), _NAMES_SECONDS)


def _per_second(counts: Iterable[int], seconds: float) -> float:
    """Add up what comes within some seconds."""
    start, total, elapsed = time.perf_counter(), 0, 0.0
    for count in counts:
        total += count
        elapsed = time.perf_counter() - start
        if elapsed > seconds:
            break
    return total / elapsed if total else math.inf


def _search_seconds(search: NeighborSearch, layout: Layout, block: int) -> float:
    """Tell how long one query takes to search the base, searched for among others.

    A pair costs what filtering costs, which a search for one neighbor shows, and what
    entering the k nearest costs: of n rows in no order the last does so in k / n cases.
    """
    with closing(
        search.queries.chunks(min(block, _SAMPLE_QUERIES), layout.batch_rows)
    ) as c:
        queries = next(c)
    trial = search.begin_pass(queries)
    begun, of_last, seen = _try(search, layout, trial, _SEARCH_SECONDS)
    rest = (search.base.rows_at_most or 0) - seen
    if seen == 0 or rest <= 0:
        return begun / len(queries.rows)
    nearest = search.begin_pass(queries, k=1)
    _, filtering, _ = _try(search, layout, nearest, _FILTER_SECONDS)
    filtering = min(filtering, of_last)
    entering = (of_last - filtering) * seen * math.log1p(rest / seen)
    return begun / len(queries.rows) + filtering * rest + entering


def _try(
    search: NeighborSearch, layout: Layout, trial: NeighborPass, seconds: float
) -> tuple[float, float, int]:
    """Search some rows: seconds, those of a pair of the last block, and how many rows."""
    begun, of_pair, seen = 0.0, 0.0, 0
    with closing(search.base.chunks(layout.push_rows, layout.batch_rows)) as blocks:
        for rows in blocks:
            start = time.perf_counter()
            trial.push(rows, None)
            took = time.perf_counter() - start
            begun, seen = begun + took, seen + len(rows.rows)
            of_pair = took / (len(rows.rows) * trial.queries)
            if begun > seconds:
                break
    return begun, of_pair, seen
