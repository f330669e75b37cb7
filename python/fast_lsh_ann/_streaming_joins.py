"""Joins of tables larger than memory: methods of :class:`StreamingLSHProcessor`."""

import json
from collections.abc import Sequence
from contextlib import closing
from typing import Literal

from fast_lsh_ann._arrow import frame_batch
from fast_lsh_ann._invalid import OnInvalid
from fast_lsh_ann._processor import DeltaProcessor
from fast_lsh_ann._progress import Progress
from fast_lsh_ann._streamed.arrange import RowCost
from fast_lsh_ann._streamed.frames import PairFrames, write_frames
from fast_lsh_ann._streamed.join_plan import JoinPlan
from fast_lsh_ann._streamed.join_request import JoinRequest
from fast_lsh_ann._streamed.limited import LimitedJoin
from fast_lsh_ann._streamed.residents import Engine
from fast_lsh_ann._tables.delta import Table, TablePath, Version, refuse_input
from fast_lsh_ann._tables.output import Mode, Output
from fast_lsh_ann._tables.report import WriteReport
from fast_lsh_ann._tables.scheme import prefixed

SelfPairs = Literal["all", "upper"]


class StreamingJoins(DeltaProcessor):
    """Joins of two tables, or of one with itself, in bounded memory."""

    _memory_limit: int | None

    def similarity_join_to_delta(
        self,
        path_a: Table,
        path_b: Table | None,
        output_path: TablePath,
        threshold: float,
        *,
        exact: bool = False,
        min_collisions: int = 1,
        strict: bool = False,
        self_pairs: SelfPairs = "all",
        by: Sequence[str] = (),
        columns: Sequence[str] = (),
        embedding_column: str = "embedding",
        id_column: str | None = "id",
        where_a: str | None = None,
        where_b: str | None = None,
        version_a: Version = None,
        version_b: Version = None,
        mode: Mode = "error",
        job_id: str | None = None,
        on_invalid: OnInvalid = "raise",
        progress: Progress = False,
    ) -> WriteReport:
        """Write the pairs of two tables that are close, in one commit.

        Neither table need fit in memory: a chunk of one, as large as `memory_limit`
        allows, stays while the other passes it, and then the next chunk.  Which one
        stays is chosen so that least is read; :meth:`plan_similarity_join` tells.  A
        table that is joined with itself is read once for each chunk too, and each pair of
        its rows is compared once.

        Every pair is one of :meth:`LSHIndex.similarity_join`, whatever the limit.

        Parameters
        ----------
        path_a, path_b : str or path-like
            The two tables.  None, or the same table again, joins the first with itself.
        output_path : str or path-like
            A Delta table: columns `id_a`, `id_b`, in the types of the ids, and `distance`
            (float64), then those carried along.  Its order is not kept.
        threshold : float
            At least 0; pairs with ``distance <= threshold`` are kept.
        exact : bool
            Take every pair as a candidate, instead of those that share a bucket.
        min_collisions : int
            Hash tables in which a candidate pair shares its bucket; must stay 1 with
            ``exact=True``.
        strict : bool
            Keep ``distance < threshold`` instead, as Spark does.
        self_pairs : {"all", "upper"}
            Of a table joined with itself: all ordered pairs, every row with itself too;
            or each pair once, the row that is read first on the left.
        by : sequence of str
            Columns, of both tables, that the rows of a pair agree on.  As in SQL a null
            equals nothing; whole numbers of any width compare by value, float with
            double too, and NaN equals NaN.
        columns : sequence of str
            Columns carried along from every table that has them: `country` becomes
            `country_a` and `country_b`.
        embedding_column : str
            A column of arrays of floats or integers, or of Spark ML vectors.
        id_column : str or None
            A column of any type without nulls; None numbers the rows that are read, in
            the order of the pinned version.
        where_a, where_b : str, optional
            A condition in SQL over a table's columns, such as ``"country = 'fr'"``: rows
            that do not pass it are not read.
        version_a, version_b : int, str or datetime, optional
            A version number, or a moment: an aware datetime or an RFC 3339 string.
            Without either, a table that is both sides is read at one version.
        mode : {"error", "append", "overwrite"}
            What to do where there is a table: refuse, add rows to it, or replace it.
        job_id : str, optional
            Names the work: where the table has the rows of this job, nothing is computed.
        on_invalid : {"raise", "skip"}
            What to do with rows that are null, hold null, NaN or infinity, or are of
            another length than the first valid row: raise, or leave them out.  How many
            were left out is logged as a warning by the logger ``fast_lsh_ann`` and goes
            into the commit, for which the tables are read once more.
        progress : bool or callable
            True for a bar, or a function of (pairs of rows done, pairs in all).

        Returns
        -------
        WriteReport

        Raises
        ------
        MemoryLimitError
            If `memory_limit` has no room for some rows; the message has the least.
        DimensionError
            If the tables differ in dimension, or from the dimension asked for.
        TableExistsError, TableSchemaError
            If there is a table, or one of other columns, and `mode` does not allow it.
        ColumnNotFoundError
            If a table lacks its embeddings, ids or a key, or no table has one of
            `columns`.
        InputTypeError
            If keys are of types that do not compare.
        ParameterError
            If a number is out of range, a condition is none for its table, two columns of
            the output would have one name, the output is one of the inputs, there is a
            version or condition of a second table that is not there, or a table that can
            be read once would be read again.
        TableNotFoundError, SparkVectorColumnError, DeltaError
            If a table is missing or cannot be read or written, or an id is null.
        InvalidVectorError, BucketRangeError
            If a row is not valid, unless such rows are skipped; if a bucket does not fit
            in int64.

        Notes
        -----
        O(n m dim) multiply-adds at worst, of rows with equal keys only.  Memory does not
        grow with the number of pairs.

        Examples
        --------
        >>> from fast_lsh_ann import StreamingLSHProcessor, create_sample_delta
        >>> create_sample_delta("vectors", n_vectors=2500, dim=8)
        >>> lsh = StreamingLSHProcessor(num_hash_tables=3, memory_limit="256MiB")
        >>> lsh.similarity_join_to_delta("vectors", None, "pairs", threshold=0.0).rows
        2500
        """
        output = Output(output_path, mode, job_id, self._storage_options)
        request = JoinRequest(
            path_a,
            path_b,
            threshold,
            exact,
            min_collisions,
            strict,
            self_pairs,
            by,
            columns,
            embedding_column,
            id_column,
            where_a,
            where_b,
            version_a,
            version_b,
            on_invalid,
        )
        join = self._streamed_join(request)
        refuse_input(output_path, *join.tables.uris)
        none = join.no_pairs()
        if (done := output.check(frame_batch(none))) is not None:
            return done
        metadata = self._join_metadata(request, join)
        with closing(join.frames(progress)) as frames:
            return write_frames(output, frames, none, metadata)

    def similarity_join_frames(
        self,
        path_a: Table,
        path_b: Table | None,
        threshold: float,
        *,
        exact: bool = False,
        min_collisions: int = 1,
        strict: bool = False,
        self_pairs: SelfPairs = "all",
        by: Sequence[str] = (),
        columns: Sequence[str] = (),
        embedding_column: str = "embedding",
        id_column: str | None = "id",
        where_a: str | None = None,
        where_b: str | None = None,
        version_a: Version = None,
        version_b: Version = None,
        on_invalid: OnInvalid = "raise",
        progress: Progress = False,
    ) -> PairFrames:
        """Give the pairs of two tables that are close, frame by frame.

        The tables are opened, and arguments checked, at once; pairs are searched as
        frames are asked for, in the way of :meth:`similarity_join_to_delta`.

        Parameters
        ----------
        path_a, path_b, threshold, exact, min_collisions, strict, self_pairs, by, columns
            As for :meth:`similarity_join_to_delta`.
        embedding_column, id_column, where_a, where_b, version_a, version_b, on_invalid
            As for :meth:`similarity_join_to_delta`.
        progress : bool or callable
            True for a bar, or a function of (pairs of rows done, pairs in all).

        Returns
        -------
        PairFrames
            Frames of at most 65,536 pairs, at least one, which may be empty; or an Arrow
            stream of them.

        Raises
        ------
        MemoryLimitError, DimensionError, ColumnNotFoundError, InputTypeError, \
ParameterError, TableNotFoundError, SparkVectorColumnError, DeltaError, \
InvalidVectorError, BucketRangeError
            As for :meth:`similarity_join_to_delta`.

        Examples
        --------
        >>> from fast_lsh_ann import StreamingLSHProcessor, create_sample_delta
        >>> create_sample_delta("vectors", n_vectors=2500, dim=8)
        >>> lsh = StreamingLSHProcessor(num_hash_tables=3)
        >>> with lsh.similarity_join_frames("vectors", None, threshold=0.0) as frames:
        ...     sum(len(frame) for frame in frames)
        2500
        """
        request = JoinRequest(
            path_a,
            path_b,
            threshold,
            exact,
            min_collisions,
            strict,
            self_pairs,
            by,
            columns,
            embedding_column,
            id_column,
            where_a,
            where_b,
            version_a,
            version_b,
            on_invalid,
        )
        return PairFrames(self._streamed_join(request).frames(progress))

    def plan_similarity_join(
        self,
        path_a: Table,
        path_b: Table | None,
        threshold: float,
        *,
        exact: bool = False,
        min_collisions: int = 1,
        strict: bool = False,
        self_pairs: SelfPairs = "all",
        by: Sequence[str] = (),
        columns: Sequence[str] = (),
        embedding_column: str = "embedding",
        id_column: str | None = "id",
        where_a: str | None = None,
        where_b: str | None = None,
        version_a: Version = None,
        version_b: Version = None,
        on_invalid: OnInvalid = "raise",
    ) -> JoinPlan:
        """Tell what a join of two tables would take, before it is begun.

        The first rows of both tables, up to 8,192, are read and joined; how many pairs
        there are among them is taken for the share of all, but for what is found only
        among rows near each other, as in tables of one order: that is taken for the
        share of a row.  So the number of pairs is a guess where more rows than these
        have something in common, and 0 where no first rows are a pair.  Reading is
        timed on the first batches, joining computed from what a pair of rows costs the
        engine.

        Parameters
        ----------
        path_a, path_b, threshold, exact, min_collisions, strict, self_pairs, by, columns
            As for :meth:`similarity_join_to_delta`.
        embedding_column, id_column, where_a, where_b, version_a, version_b, on_invalid
            As for :meth:`similarity_join_to_delta`.

        Returns
        -------
        JoinPlan
            ``str(plan)`` is a text for people.

        Raises
        ------
        MemoryLimitError, DimensionError, ColumnNotFoundError, InputTypeError, \
ParameterError, TableNotFoundError, SparkVectorColumnError, DeltaError, \
InvalidVectorError, BucketRangeError
            As for :meth:`similarity_join_to_delta`.
        """
        request = JoinRequest(
            path_a,
            path_b,
            threshold,
            exact,
            min_collisions,
            strict,
            self_pairs,
            by,
            columns,
            embedding_column,
            id_column,
            where_a,
            where_b,
            version_a,
            version_b,
            on_invalid,
        )
        return self._streamed_join(request).plan()

    def _streamed_join(self, request: JoinRequest) -> LimitedJoin:
        """Check the arguments of a join and open its tables."""
        terms = request.terms(self._lsh.num_hash_tables)
        mirrored = request.mirrored
        tables = request.open(self._storage_options)
        exact = terms.min_collisions == 0
        cost = RowCost(
            tables=0 if exact else self._lsh.num_hash_tables,
            hashes=self._lsh.num_hashes_per_table,
            keyed=bool(tables.by),
        )
        engine = Engine(self._model, terms)
        return LimitedJoin(tables, engine, self._memory_limit, cost, mirrored=mirrored)

    def _join_metadata(self, request: JoinRequest, join: LimitedJoin) -> dict[str, str]:
        """Tell a commit of pairs how they were found."""
        lsh = self._lsh
        model = {
            "bucket_length": lsh.bucket_length,
            "num_hash_tables": lsh.num_hash_tables,
            "seed": lsh.seed,
            "spark_profile": lsh.spark_profile,
            "num_hashes_per_table": lsh.num_hashes_per_table,
            "projection": lsh.projection,
        }
        asked = request.parameters(join.terms)
        parameters = asked if asked["exact"] else {**asked, **model}
        told = {"operation": "similarity_join", "parameters": json.dumps(parameters)}
        return prefixed({**told, **join.tables.sources(), **join.tables.left_out()})
