"""Similarity joins of two Delta tables, of which no more is held than said."""

from collections.abc import Callable, Generator
from contextlib import closing
from typing import TYPE_CHECKING, Any, TypeAlias

from fast_lsh_ann import _core
from fast_lsh_ann._progress import Report
from fast_lsh_ann._search import (
    JoinSides,
    JoinTerms,
    count_pairs,
    join_chunks,
    join_index,
)
from fast_lsh_ann._tables.embeddings import EmbeddingBatch, EmbeddingReader
from fast_lsh_ann._tables.scheme import prefixed
from fast_lsh_ann.errors import DimensionError
from fast_lsh_ann.model import BucketedRandomProjectionLSHModel
from fast_lsh_ann.results import Pairs

if TYPE_CHECKING:
    import polars as pl

IdPairs: TypeAlias = list[tuple[Any, Any, float]]
# A chunk of the left table, its index, a chunk of the right table.
Meeting: TypeAlias = tuple[EmbeddingBatch, "_core.Index", EmbeddingBatch]

# Pairs made into Python objects, or handed to a writer, at once.
_BLOCK_PAIRS = 65536


class TableJoin:
    """A join of two tables, the left one in chunks.

    Parameters
    ----------
    left, right : EmbeddingReader
    make_model : callable
        Makes the model for the rows of a reader.
    threshold : float
        The largest distance of a pair.
    chunk_size : int
        Rows of a chunk.
    """

    def __init__(
        self,
        left: EmbeddingReader,
        right: EmbeddingReader,
        make_model: Callable[[EmbeddingReader], BucketedRandomProjectionLSHModel],
        threshold: float,
        chunk_size: int,
    ) -> None:
        self._left = left
        self._right = right
        self._make_model = make_model
        self._model: BucketedRandomProjectionLSHModel | None = None
        self._terms = JoinTerms(threshold, 1, strict=False, upper=False)
        self._chunk_size = chunk_size

    def lists(self, report: Report | None) -> Generator[IdPairs, None, None]:
        """Join chunk after chunk with the whole right table, which is held.

        Yields one list a chunk, by the rows of the left table, then the right.
        """
        right = self._right.whole()
        index = self._index(self._right, right) if len(right.rows) else None
        with closing(self._left.chunks(self._chunk_size)) as chunks:
            for left in chunks:
                self._check_same_dim()
                yield self._list(left, right, index) if index is not None else []
                if report is not None:
                    done = left.rows_done
                    report(done, max(done, self._left.rows_at_most or 0))

    def metadata(self) -> dict[str, str]:
        """Tell a commit of the pairs which rows of each table were left out."""
        told: dict[str, object] = {}
        for side, reader in (("a", self._left), ("b", self._right)):
            told[f"skipped_rows_{side}"] = reader.count_skipped()
            if reader.source.where is not None:
                told[f"where_{side}"] = reader.source.where
        return prefixed(told)

    def count(self, report: Report | None) -> int:
        """Count the pairs; a chunk of either table is held."""
        total = 0
        with closing(self._meetings(report)) as meetings:
            for _, index, right in meetings:
                name = self._right.name
                sides = JoinSides(index, right.rows, False, name, right.place)
                with right.table_numbers():
                    total += count_pairs(sides, self._terms, False)
        return total

    def frames(self, report: Report | None) -> Generator["pl.DataFrame", None, None]:
        """Give the pairs as id_a, id_b, distance; a chunk of either table is held.

        There is at least one frame, if need be an empty one.
        """
        import polars as pl

        none = True
        with closing(self._pairs(report)) as found:
            for left, right, pairs in found:
                none = False
                yield _pair_frame(
                    left.ids_of(pairs.left),
                    right.ids_of(pairs.right),
                    pl.Series("distance", pairs.distances),
                )
        if none:
            yield self.no_pairs()

    def no_pairs(self) -> "pl.DataFrame":
        """Give a frame of no pairs, whose columns are those of `frames`."""
        import polars as pl

        nothing = pl.Series("distance", [], dtype=pl.Float64)
        left_ids, _ = self._left.no_ids()
        right_ids, _ = self._right.no_ids()
        return _pair_frame(left_ids, right_ids, nothing)

    def _pairs(
        self, report: Report | None
    ) -> Generator[tuple[EmbeddingBatch, EmbeddingBatch, Pairs], None, None]:
        with closing(self._meetings(report)) as meetings:
            for left, index, right in meetings:
                other = self._index(self._right, right)
                for pairs in join_chunks(index, other, self._terms, _BLOCK_PAIRS, False):
                    yield left, right, pairs

    def _meetings(self, report: Report | None) -> Generator[Meeting, None, None]:
        """Read the right table once for each chunk of the left one, which has an index.

        Progress counts pairs of rows.
        """
        sides = (self._left.rows_at_most or 0, self._right.rows_at_most or 0)
        done, total = 0, sides[0] * sides[1]
        with closing(self._chunk_meetings()) as meetings:
            for left, index, right in meetings:
                yield left, index, right
                done += len(left.rows) * len(right.rows)
                if report is not None:
                    report(done, max(done, total))

    def _chunk_meetings(self) -> Generator[Meeting, None, None]:
        with closing(self._left.chunks(self._chunk_size)) as chunks:
            for left in chunks:
                yield from self._meet(left, self._index(self._left, left))

    def _meet(
        self, left: EmbeddingBatch, index: "_core.Index"
    ) -> Generator[Meeting, None, None]:
        with closing(self._right.chunks(self._chunk_size)) as chunks:
            for right in chunks:
                self._check_same_dim()
                yield left, index, right

    def _list(
        self, left: EmbeddingBatch, right: EmbeddingBatch, index: "_core.Index"
    ) -> IdPairs:
        sides = JoinSides(index, left.rows, True, self._left.name, left.place)
        with left.table_numbers():
            pairs = join_index(sides, self._terms, False)
        found: IdPairs = []
        for start in range(0, len(pairs), _BLOCK_PAIRS):
            block = slice(start, start + _BLOCK_PAIRS)
            columns = (
                left.ids_of(pairs.left[block]).to_list(),
                right.ids_of(pairs.right[block]).to_list(),
                pairs.distances[block].tolist(),
            )
            found.extend(zip(*columns, strict=True))
        return found

    def _index(self, reader: EmbeddingReader, batch: EmbeddingBatch) -> "_core.Index":
        if self._model is None:
            self._model = self._make_model(reader)
        with batch.table_numbers():
            return _core.index_new(
                self._model._core, batch.rows, batch.place, reader.name
            )

    def _check_same_dim(self) -> None:
        left, right = self._left, self._right
        if None not in (left.dim, right.dim) and left.dim != right.dim:
            raise DimensionError(
                f"embeddings of {left.source.uri!r} have dimension {left.dim}, "
                f"those of {right.source.uri!r} {right.dim}; they must agree"
            )


def _pair_frame(
    left: "pl.Series", right: "pl.Series", distances: "pl.Series"
) -> "pl.DataFrame":
    import polars as pl

    return pl.DataFrame({"id_a": left, "id_b": right, "distance": distances})
