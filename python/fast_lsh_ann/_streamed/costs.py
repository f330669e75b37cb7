"""What a search of tables holds, in bytes, and how it is cut to fit a limit."""

from dataclasses import dataclass

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
# Of a worker, for each query of its block: limits and radii (fla_scan in scan.h).
_BLOCK_QUERIES, _BLOCK_QUERY = 1024, 60
_QUERIES_PER_THREAD = 256  # with fewer every thread has lists of its own: knn.c
# A list: its struct and radius, and what the heap adds to each of its two arrays, which
# begin on a cache line.  Arrays that grew leave gaps, an eighth (VmRSS of 200 to 200,000
# queries, k from 10 to 10,000).
_LIST, _ARRAY = 64, 144
_SPARE = 8  # of topk.c: a list holds k, half as much again and so many
_CODED = 16  # of a query besides its codes: fla_coded in bound.h
_SLACK = 1 << 20


@dataclass(frozen=True)
class SearchCosts:
    """Bytes of a search, as far as its tables are known.

    Attributes
    ----------
    dim, k : int
        `k` is no more than the rows there may be.
    functions : int
        Hash functions of the model; 0 for an exact search.
    query_itemsize, base_itemsize : int
        Bytes of a coordinate.
    name_bytes : int
        Of a neighbor's id and columns, as far as their types tell.
    threads : int
    """

    dim: int
    k: int
    functions: int
    query_itemsize: int
    base_itemsize: int
    name_bytes: int
    threads: int

    def of_query(self, lists: int = 1) -> dict[str, int]:
        """Tell what one query takes while it is searched for, by part.

        `names` is what naming its neighbors takes beyond that, once they are found.
        Where queries are few it has lists for each thread.
        """
        array = -(-8 * (self.k + self.k // 2 + _SPARE) // 64) * 64
        parts = {
            "queries": self.dim * self.query_itemsize + _NUMBERED,
            "query codes": -(-self.dim // 4) * 4 + _CODED + 8 * self.functions,
            "lists": lists * (_LIST + 2 * (array + array // 8 + _ARRAY)),
        }
        # Places in order and, while they are sorted, once more; then the names.
        naming = self.k * (8 + max(9, self.name_bytes))
        names = max(0, naming - sum(parts.values()))
        return {**parts, "results": 16 * self.k + 8, "names": names}

    def fixed(self, batch_rows: int, push_rows: int) -> dict[str, int]:
        """Tell what a search takes besides its queries, by part."""
        base_row = self.dim * self.base_itemsize + _NUMBERED
        query_row = self.dim * self.query_itemsize + _NUMBERED
        codes = -(-self.dim // 4) * 4 + 4
        # Buckets by a byte, and runs of them where a search goes by buckets.
        hashes = 25 * self.functions
        block = (_BLOCK_QUERY + 4 * self.dim) * _BLOCK_QUERIES
        worker = block + (256 + 8) * self.dim + 16 * self.functions * self.dim
        return {
            "reading": _BATCHES * batch_rows * (base_row + query_row),
            "base rows": _BLOCKS * push_rows * base_row,
            "base codes": push_rows * (codes + hashes),
            "workers": self.threads * worker + _SLACK,
        }


@dataclass(frozen=True)
class Layout:
    """How a search is cut.

    Attributes
    ----------
    costs : SearchCosts
    limit : int
        Bytes it may hold.
    batch_rows, push_rows : int
        Rows read, and searched, at once.
    """

    costs: SearchCosts
    limit: int
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
        batch_rows = BATCH_ROWS
        while batch_rows >= _LEAST_BATCH:
            layout = cls(costs, limit, batch_rows, _pushed(costs, limit, batch_rows))
            if layout.fixed_bytes <= limit // 2:
                return layout
            batch_rows //= 2
        least = cls(costs, limit, _LEAST_BATCH, _LEAST_BATCH)
        least.require(0)
        return least

    @property
    def fixed_bytes(self) -> int:
        """Bytes besides those of the queries."""
        return sum(self.costs.fixed(self.batch_rows, self.push_rows).values())

    @property
    def room(self) -> int:
        """Bytes that are left for queries."""
        return self.limit - self.fixed_bytes

    def query_bytes(self, few: bool) -> int:
        """Bytes of a query, its id and columns left out, in a block of few or many."""
        return sum(self.costs.of_query(self.costs.threads if few else 1).values())

    def few(self, queries: int) -> bool:
        """Whether a block of so many is so small that every thread has lists."""
        return queries < _QUERIES_PER_THREAD * self.costs.threads

    def most_queries(self, named: int) -> int:
        """Tell how many queries fit, whose ids and columns take so many bytes each."""
        many = self.room // (self.query_bytes(few=False) + named)
        if self.few(many):
            return self.room // (self.query_bytes(few=True) + named)
        return many

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
            parts = {**self.costs.fixed(self.batch_rows, self.push_rows)}
            parts["one query"] = query
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
