"""Similarity joins of two tables whose chunks are of so many rows."""

from collections.abc import Generator
from contextlib import closing
from typing import TYPE_CHECKING, Any, TypeAlias

from fast_lsh_ann import _core
from fast_lsh_ann._progress import Report
from fast_lsh_ann._search import JoinSides, join_index
from fast_lsh_ann._streamed.chunked import ChunkedJoin, JoinTables
from fast_lsh_ann._streamed.chunks import ChunkSize
from fast_lsh_ann._streamed.residents import BLOCK_PAIRS, Engine
from fast_lsh_ann._tables.embeddings import EmbeddingBatch, EmbeddingReader
from fast_lsh_ann._tables.scheme import prefixed

if TYPE_CHECKING:
    import polars as pl

IdPairs: TypeAlias = list[tuple[Any, Any, float]]


class TableJoin:
    """A join of two tables, the left one in chunks.

    Parameters
    ----------
    left, right : EmbeddingReader
    engine : Engine
    chunk_size : int
        Rows of a chunk.
    """

    def __init__(
        self,
        left: EmbeddingReader,
        right: EmbeddingReader,
        engine: Engine,
        chunk_size: int,
    ) -> None:
        self._tables = JoinTables(left, right)
        self._left = left
        self._right = right
        self._engine = engine
        self._chunk_size = chunk_size
        size = ChunkSize(chunk_size)
        self._chunked = ChunkedJoin(self._tables, engine, size, size)

    def lists(self, report: Report | None) -> Generator[IdPairs, None, None]:
        """Join chunk after chunk with the whole right table, which is held.

        Yields one list a chunk, by the rows of the left table, then the right.
        """
        right = self._right.whole()
        index = None
        if len(right.rows):
            index = self._engine.index(self._right, right.rows, 0, right.numbers)
        with closing(self._left.chunks(self._chunk_size)) as chunks:
            for left in chunks:
                self._tables.check_same_dim()
                yield self._list(left, right, index) if index is not None else []
                if report is not None:
                    done = left.rows_done
                    report(done, max(done, self._left.rows_at_most or 0))
                del left  # before the next one is read

    def metadata(self) -> dict[str, str]:
        """Tell a commit of the pairs which rows of each table were left out."""
        return prefixed(self._tables.left_out())

    def count(self, report: Report | None) -> int:
        """Count the pairs; a chunk of either table is held."""
        return self._chunked.count(report)

    def frames(self, report: Report | None) -> Generator["pl.DataFrame", None, None]:
        """Give the pairs as id_a, id_b, distance; a chunk of either table is held.

        There is at least one frame, if need be an empty one.
        """
        return self._chunked.frames(report)

    def no_pairs(self) -> "pl.DataFrame":
        """Give a frame of no pairs, whose columns are those of `frames`."""
        return self._chunked.no_pairs()

    def _list(
        self, left: EmbeddingBatch, right: EmbeddingBatch, index: "_core.Index"
    ) -> IdPairs:
        sides = JoinSides(index, left.rows, True, self._left.name, left.place)
        with left.table_numbers():
            pairs = join_index(sides, self._engine.terms, False)
        found: IdPairs = []
        for start in range(0, len(pairs), BLOCK_PAIRS):
            block = slice(start, start + BLOCK_PAIRS)
            columns = (
                left.ids_of(pairs.left[block]).to_list(),
                right.ids_of(pairs.right[block]).to_list(),
                pairs.distances[block].tolist(),
            )
            found.extend(zip(*columns, strict=True))
        return found
