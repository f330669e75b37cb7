"""Queries in blocks that fit the room there is for them."""

from collections.abc import Generator, Iterable

from fast_lsh_ann._streamed.costs import Layout
from fast_lsh_ann._tables.embeddings import EmbeddingBatch, Gathered
from fast_lsh_ann.errors import MemoryLimitError


def query_blocks(
    batches: Iterable[EmbeddingBatch], layout: Layout, at_most: int | None, single: bool
) -> Generator[EmbeddingBatch, None, None]:
    """Put batches of queries together, as many as fit, and cut them where they do not.

    Parameters
    ----------
    batches : iterable of EmbeddingBatch
    layout : Layout
    at_most : int or None
        Queries there may be.
    single : bool
        All must be one block, for the base can be read once only.

    Raises
    ------
    MemoryLimitError
        If not even one query fits, or not all where all must.
    """
    block = _Block(layout, at_most)
    for batch in batches:
        rest = batch
        while len(rest.rows):
            taken = block.take(rest)
            rest = rest.part(taken, len(rest.rows) - taken)
            if len(rest.rows) == 0:
                break
            if single:
                raise _too_many(layout, block.parts()[0])
            yield from _given_away(block.parts())
            block = _Block(layout, at_most)
        del batch, rest  # while a block is used nothing else is held
    parts = block.parts()
    if single and len(parts) > 1:
        raise _too_many(layout, parts[0])
    yield from _given_away(parts)


def _given_away(parts: list[EmbeddingBatch]) -> Generator[EmbeddingBatch, None, None]:
    """Give parts, of which the one that is used is held by its user alone."""
    while parts:
        yield parts.pop(0)


class _Block:
    def __init__(self, layout: Layout, at_most: int | None) -> None:
        self._layout = layout
        self._room = layout.room
        most = max(1, layout.most_queries(0))
        self._each = layout.query_bytes(few=layout.few(most))
        self._rows = Gathered(most if at_most is None else min(most, at_most), most)
        self._most = most
        self._named = 0

    def __len__(self) -> int:
        return len(self._rows)

    def take(self, batch: EmbeddingBatch) -> int:
        """Take as many rows of a batch as fit; one at least if there is none yet."""
        named = -(-named_bytes(batch) // len(batch.rows))
        fit = min(self._room // (self._each + named), self._most - len(self))
        if fit <= 0 and len(self) == 0:
            self._layout.require(named)
            fit = 1
        fit = min(fit, len(batch.rows))
        if fit > 0:
            self._rows.append(batch.part(0, fit))
            self._room -= fit * (self._each + named)
            self._named += fit * named
        return max(0, fit)

    def parts(self) -> list[EmbeddingBatch]:
        """Give what was taken, whole unless few queries take more than many."""
        rows = len(self)
        if rows == 0:
            return []
        block, size = self._rows.take(), rows
        if self._layout.few(rows):
            each = self._layout.query_bytes(few=True) + -(-self._named // rows)
            size = max(1, self._layout.room // each)
        return [block.part(start, size) for start in range(0, rows, size)]


def named_bytes(batch: EmbeddingBatch) -> int:
    """Bytes of ids and columns, beyond the eight of a number."""
    size = int(batch.ids.estimated_size()) + int(batch.carried.estimated_size())
    return max(0, size - 8 * len(batch.rows))


def _too_many(layout: Layout, block: EmbeddingBatch) -> MemoryLimitError:
    return MemoryLimitError(
        f"the base can be read once only, so all queries must fit in memory at a time, "
        f"and memory_limit of {layout.limit:,} bytes holds {len(block.rows):,} of them; "
        f"raise it, or write the base to a file or a table first"
    )
