"""What a search of tables holds, in bytes, and how it is cut to fit a limit."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from fast_lsh_ann._tables.source import BATCH_ROWS
from fast_lsh_ann.errors import MemoryLimitError

# Batches of a reading that are alive at a time: two wait, one is being read, one is used.
_BATCHES = 4
# Blocks of base rows: one is searched, one waits, one is being gathered.
_BLOCKS = 3
# Rows of a block; larger ones were not faster.
_MOST_PUSHED = 65536
_LEAST_BATCH = 64
# A row's number and its id, if that is a number; other ids are weighed as they come.
_NUMBERED = 16
# What the writer of a Delta table holds, in groups of 8 MiB: as much, or a quarter of a
# limit that is small, is left to it.
_WRITING, _WRITING_SHARE = 64 << 20, 4
_QUERIES_PER_THREAD = 256  # with fewer every thread has lists of its own: knn.c
# From so many queries on the core makes short forms: FLA_MANY_QUERIES in knn.h.
_MANY_QUERIES = 2048
# What the core takes is told for so many queries, and twice as many: where they are few,
# many, or between these.
_FEW, _SEVERAL, _MANY = 64, 512, 2 * _MANY_QUERIES


@dataclass(frozen=True)
class SearchCosts:
    """Bytes of a search, as far as its tables are known.

    Attributes
    ----------
    dim, k : int
        `k` is no more than the rows there may be.
    query_itemsize, base_itemsize : int
        Bytes of a coordinate.
    name_bytes : int
        Of a neighbor's id and columns, as far as their types tell.
    threads : int
    core : callable
        Tells for a number of queries and of rows pushed how many bytes the core holds,
        and how many pass while rows are pushed: `_core.knn_memory`.
    writing : int
        Of what writes the answers.
    """

    dim: int
    k: int
    query_itemsize: int
    base_itemsize: int
    name_bytes: int
    threads: int
    core: Callable[[int, int], tuple[int, int]]
    writing: int = 0

    def of_query(self, around: int) -> dict[str, int]:
        """Tell what one of about so many queries takes while it is searched for, by part.

        `names` is what naming its neighbors takes beyond that, once they are found.
        """
        parts = {
            "queries": self.dim * self.query_itemsize + _NUMBERED,
            "lists and codes": self._search_of(around)[0],
        }
        # Places in order and, while they are sorted, once more; then the names, twice
        # while they are put together.
        naming = self.k * (8 + max(9, 2 * self.name_bytes))
        names = max(0, naming - sum(parts.values()))
        return {**parts, "results": 16 * self.k + 8, "names": names}

    def fixed(self, around: int, batch_rows: int, push_rows: int) -> dict[str, int]:
        """Tell what a search of about so many queries takes besides them, by part."""
        base_row = self.dim * self.base_itemsize + _NUMBERED
        query_row = self.dim * self.query_itemsize + _NUMBERED
        searching = (self._search_of(n, push_rows)[1] for n in (_FEW, around))
        return {
            "reading": _BATCHES * batch_rows * (base_row + query_row),
            "base rows": _BLOCKS * push_rows * base_row,
            "searching": max(searching),
            "writing": self.writing,
        }

    def _search_of(self, queries: int, rows: int = BATCH_ROWS) -> tuple[int, int]:
        """Tell what the core takes for each of about so many queries, and besides."""
        held, _ = self.core(queries, rows)
        twice, passing = self.core(2 * queries, rows)
        each = -(-(twice - held) // queries)
        return each, max(0, held - queries * each) + passing


def writing_bytes(limit: int) -> int:
    """Tell what is left of a limit to the writer of a Delta table."""
    return min(_WRITING, limit // _WRITING_SHARE)


@dataclass(frozen=True)
class Layout:
    """How a search is cut.

    Attributes
    ----------
    costs : SearchCosts
    limit : int
        Bytes it may hold.
    around : int
        About how many queries a block has, as far as costs go by that.
    batch_rows, push_rows : int
        Rows read, and searched, at once.
    """

    costs: SearchCosts
    limit: int
    around: int
    batch_rows: int
    push_rows: int

    @classmethod
    def within(cls, costs: SearchCosts, limit: int) -> "Layout":
        """Cut a search to fit a limit.

        Raises
        ------
        MemoryLimitError
            If not even one query fits, naming the least limit that works.
        """
        for around, least in ((_MANY, _MANY_QUERIES), (_SEVERAL, 1)):
            batch_rows = BATCH_ROWS
            while batch_rows >= _LEAST_BATCH:
                push_rows = _pushed(costs, limit, batch_rows)
                layout = cls(costs, limit, around, batch_rows, push_rows)
                if layout.fixed_bytes <= limit // 2 and layout.most_queries(0) >= least:
                    return layout
                batch_rows //= 2
        least_costs = replace(costs, writing=0)
        layout = cls(least_costs, limit, _SEVERAL, _LEAST_BATCH, _LEAST_BATCH)
        layout.require(0)
        return layout

    @property
    def fixed_bytes(self) -> int:
        """Bytes besides those of the queries."""
        return sum(self.fixed.values())

    @property
    def fixed(self) -> dict[str, int]:
        """The same by part."""
        return self.costs.fixed(self.around, self.batch_rows, self.push_rows)

    @property
    def room(self) -> int:
        """Bytes that are left for queries."""
        return self.limit - self.fixed_bytes

    def query_bytes(self, few: bool) -> int:
        """Bytes of a query, its id and columns left out, in a block of few or not."""
        return sum(self.of_query(few).values())

    def of_query(self, few: bool) -> dict[str, int]:
        """Tell the same by part."""
        return self.costs.of_query(_FEW if few else self.around)

    def few(self, queries: int) -> bool:
        """Whether a block of so many is so small that every thread has lists."""
        return queries < _QUERIES_PER_THREAD * self.costs.threads

    def most_queries(self, named: int) -> int:
        """Tell how many queries fit, whose ids and columns take so many bytes each."""
        many = self.room // (self.query_bytes(few=False) + named)
        if self.few(many):
            return self.room // (self.query_bytes(few=True) + named)
        return many if self.around == _MANY else min(many, _MANY_QUERIES - 1)

    def require(self, named: int) -> None:
        """Refuse a limit that does not hold one query whose names take so many bytes.

        Raises
        ------
        MemoryLimitError
            Naming the least that works.
        """
        query = self.query_bytes(few=True) + named
        needed = self.fixed_bytes + query
        if needed > self.limit:
            parts = {**self.fixed, "one query": query}
            shares = ", ".join(f"{name} {value:,}" for name, value in parts.items())
            raise MemoryLimitError(
                f"memory_limit is {self.limit:,} bytes, and a search of dimension "
                f"{self.costs.dim} with k={self.costs.k} takes {needed:,} at least "
                f"({shares}); raise it to that or more, or ask for fewer neighbors"
            )


def _pushed(costs: SearchCosts, limit: int, batch_rows: int) -> int:
    """Rows of a block: whole batches, in an eighth of the limit if one batch fits."""
    row = costs.dim * costs.base_itemsize + _NUMBERED
    most = min(_MOST_PUSHED, limit // 8 // (_BLOCKS * row))
    return max(1, most // batch_rows) * batch_rows
