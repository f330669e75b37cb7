"""Similarity joins of tables that hold no more than a limit says."""

from collections.abc import Generator
from contextlib import closing
from typing import TYPE_CHECKING

from fast_lsh_ann._progress import Progress, reporting
from fast_lsh_ann._streamed.arrange import Arrangement, RowCost, arrange
from fast_lsh_ann._streamed.chunked import ChunkedJoin, JoinTables
from fast_lsh_ann._streamed.chunks import ChunkSize
from fast_lsh_ann._streamed.join_plan import JoinPlan, plan_join
from fast_lsh_ann._streamed.memory import working_limit
from fast_lsh_ann._streamed.residents import Engine

if TYPE_CHECKING:
    import polars as pl


class LimitedJoin:
    """A join of tables whose chunks are as large as a limit allows.

    Parameters
    ----------
    tables : JoinTables
    engine : Engine
    limit : int or None
        Bytes; None for half of what is available when the join begins.
    mirrored : bool
        Of a self-join: give all ordered pairs, (i, i) too; else left < right.
    cost : RowCost

    Attributes
    ----------
    tables : JoinTables
    terms : JoinTerms
        What makes a pair.
    """

    def __init__(
        self,
        tables: JoinTables,
        engine: Engine,
        limit: int | None,
        cost: RowCost,
        *,
        mirrored: bool,
    ) -> None:
        self.tables = tables
        self.terms = engine.terms
        self._engine = engine
        self._limit = limit
        self._cost = cost
        self._mirrored = mirrored

    def no_pairs(self) -> "pl.DataFrame":
        """Give a frame of no pairs, whose columns are those of `frames`."""
        return ChunkedJoin(self.tables, self._engine, ChunkSize(), ChunkSize()).no_pairs()

    def frames(self, progress: Progress) -> Generator["pl.DataFrame", None, None]:
        """Arrange the join, and give its pairs as they are asked for.

        Raises
        ------
        ParameterError, MemoryLimitError
            As `arrange` raises them.
        """
        found = self._arrange()
        join = ChunkedJoin(
            found.tables,
            self._engine,
            found.stays,
            found.passes,
            mirrored=self._mirrored,
            batch_rows=found.batch_rows,
        )
        return _reported(join, progress)

    def plan(self) -> JoinPlan:
        """Arrange the join, and tell what it will take."""
        return plan_join(self._arrange(), self._engine, mirrored=self._mirrored)

    def _arrange(self) -> Arrangement:
        return arrange(self.tables, self._cost, working_limit(self._limit))


def _reported(
    join: ChunkedJoin, progress: Progress
) -> Generator["pl.DataFrame", None, None]:
    with reporting(progress, "joining") as report, closing(join.frames(report)) as frames:
        yield from frames
