"""The searches of two tables that :class:`StreamingLSHProcessor` offers."""

from collections.abc import Sequence

from fast_lsh_ann._invalid import OnInvalid
from fast_lsh_ann._processor import DeltaProcessor
from fast_lsh_ann._progress import Progress
from fast_lsh_ann._streamed.neighbor_request import NeighborRequest
from fast_lsh_ann._streamed.neighbors import NeighborFrames
from fast_lsh_ann._streamed.neighbors_plan import NeighborsPlan, plan_search
from fast_lsh_ann._tables.delta import Table, TablePath, Version
from fast_lsh_ann._tables.output import Mode, Output
from fast_lsh_ann._tables.report import WriteReport


class StreamingNeighbors(DeltaProcessor):
    """Neighbors of the rows of one table among those of another."""

    _memory_limit: int | None

    def nearest_neighbors_to_delta(
        self,
        queries: Table,
        base: Table,
        output_path: TablePath,
        k: int,
        *,
        exact: bool = False,
        min_collisions: int = 1,
        embedding_column: str = "embedding",
        id_column: str | None = "id",
        queries_embedding_column: str | None = None,
        queries_id_column: str | None = None,
        columns: Sequence[str] = (),
        where_queries: str | None = None,
        where_base: str | None = None,
        version_queries: Version = None,
        version_base: Version = None,
        mode: Mode = "error",
        job_id: str | None = None,
        on_invalid: OnInvalid = "raise",
        progress: Progress = False,
    ) -> WriteReport:
        """Find the k nearest rows of a base table for every row of a table of queries.

        Queries are held in blocks, as large as `memory_limit` allows; the base is
        streamed once for each of them, and read once more, without its embeddings, for
        the ids and columns of the rows that were found.  Reading, preparing and searching
        overlap.  :meth:`plan_nearest_neighbors` tells how many passes there will be, and
        how long they take.

        Every answer is the one of :meth:`LSHIndex.nearest_neighbors`, whatever the limit.

        Parameters
        ----------
        queries, base : str or path-like
            The tables; they may be one.
        output_path : str or path-like
            A Delta table, which is written in one commit: columns `query_id`,
            `neighbor_id`, `rank` (int32, 1 is the nearest), `distance` (float64), then
            those carried along.  Its order is not kept.
        k : int
            Neighbors of each query; fewer where there are fewer candidates.
        exact : bool
            Take every row as a candidate, instead of those that share a bucket.
        min_collisions : int
            Hash tables in which a candidate must share its bucket, at least; must stay 1
            with ``exact=True``.
        embedding_column : str
            A column of arrays of floats or integers, or of Spark ML vectors.
        id_column : str or None
            A column of any type without nulls; None numbers the rows that are read, in
            the order of the pinned version.
        queries_embedding_column, queries_id_column : str, optional
            The same of the queries, where they are called otherwise there.
        columns : sequence of str
            Columns carried along from every table that has them: `country` becomes
            `query_country` and `neighbor_country`.
        where_queries, where_base : str, optional
            A condition in SQL over a table's columns, such as ``"country = 'fr'"``: rows
            that do not pass it are not read.
        version_queries, version_base : int, str or datetime, optional
            A version number, or a moment: an aware datetime or an RFC 3339 string.
            Without either, one table is searched for its own rows at one version.
        mode : {"error", "append", "overwrite"}
            What to do where there is a table: refuse, add rows to it, or replace it.
        job_id : str, optional
            Names the work: where the table has the rows of this job, nothing is computed.
        on_invalid : {"raise", "skip"}
            What to do with rows that are null, hold null, NaN or infinity, or are of
            another length than the first valid row: raise, or leave them out, of queries
            and base.  How many were left out is logged as a warning by the logger
            ``fast_lsh_ann`` and goes into the commit; for those of the queries these are
            read once more.
        progress : bool or callable
            True for a bar, or a function of (pairs of rows done, pairs in all).

        Returns
        -------
        WriteReport

        Raises
        ------
        MemoryLimitError
            If not even one query fits in `memory_limit`; the message has the least.
        DimensionError
            If the tables differ in dimension, or from the dimension asked for.
        TableExistsError, TableSchemaError
            If there is a table, or one of other columns, and `mode` does not allow it.
        ColumnNotFoundError
            If a table lacks its embeddings or ids, or no table has one of `columns`.
        ParameterError
            If a number is out of range, a condition is none for its table, two columns
            of the output would have one name, or the output is one of the inputs.
        TableNotFoundError, SparkVectorColumnError, DeltaError
            If a table is missing or cannot be read or written, or an id is null.
        InvalidVectorError, BucketRangeError
            If a row is not valid, unless such rows are skipped; if a bucket does not fit
            in int64.

        Notes
        -----
        Time is that of reading the base as often as there are passes, or of
        O(queries x rows x dim) in the worst case, whichever is longer.
        """
        output = Output(output_path, mode, job_id, self._storage_options)
        request = NeighborRequest(
            queries,
            base,
            k,
            exact,
            min_collisions,
            embedding_column,
            id_column,
            queries_embedding_column,
            queries_id_column,
            columns,
            where_queries,
            where_base,
            version_queries,
            version_base,
            on_invalid,
        )
        search = self._neighbor_search(request, self._memory_limit, written=True)
        return search.write(output, progress)

    def nearest_neighbors_streaming(
        self,
        queries: Table,
        base: Table,
        k: int,
        *,
        exact: bool = False,
        min_collisions: int = 1,
        embedding_column: str = "embedding",
        id_column: str | None = "id",
        queries_embedding_column: str | None = None,
        queries_id_column: str | None = None,
        columns: Sequence[str] = (),
        where_queries: str | None = None,
        where_base: str | None = None,
        version_queries: Version = None,
        version_base: Version = None,
        on_invalid: OnInvalid = "raise",
        progress: Progress = False,
    ) -> NeighborFrames:
        """Find neighbors as :meth:`nearest_neighbors_to_delta` does, frame by frame.

        The tables are opened, and their columns checked, at once; they are read as frames
        are asked for.

        Parameters
        ----------
        queries, base, k, exact, min_collisions, embedding_column, id_column, \
queries_embedding_column, queries_id_column, columns, where_queries, where_base, \
version_queries, version_base, on_invalid, progress
            As for :meth:`nearest_neighbors_to_delta`.

        Returns
        -------
        NeighborFrames
            An iterator of polars.DataFrame, each of some queries, in their order, then by
            rank; at least one, if need be an empty one.  Or an Arrow stream for whatever
            takes one: polars, DuckDB, pyarrow, `write_deltalake`.  To be used once; close
            it when leaving it early.

        Raises
        ------
        MemoryLimitError, DimensionError, ColumnNotFoundError, ParameterError, \
TableNotFoundError, SparkVectorColumnError, DeltaError, InvalidVectorError, \
BucketRangeError
            As for :meth:`nearest_neighbors_to_delta`; what is about rows, as they are
            read.

        Examples
        --------
        >>> from fast_lsh_ann import StreamingLSHProcessor, create_sample_delta
        >>> create_sample_delta("base", n_vectors=500, dim=8)
        >>> lsh = StreamingLSHProcessor(memory_limit="64MiB")
        >>> frames = lsh.nearest_neighbors_streaming(
        ...     "base", "base", k=3, exact=True, where_queries="id < 2"
        ... )
        >>> for frame in frames:
        ...     print(frame.select("query_id", "rank").rows())
        [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3)]
        """
        request = NeighborRequest(
            queries,
            base,
            k,
            exact,
            min_collisions,
            embedding_column,
            id_column,
            queries_embedding_column,
            queries_id_column,
            columns,
            where_queries,
            where_base,
            version_queries,
            version_base,
            on_invalid,
        )
        search = self._neighbor_search(request, self._memory_limit, written=False)
        return NeighborFrames(search.frames(progress))

    def plan_nearest_neighbors(
        self,
        queries: Table,
        base: Table,
        k: int,
        *,
        exact: bool = False,
        min_collisions: int = 1,
        embedding_column: str = "embedding",
        id_column: str | None = "id",
        queries_embedding_column: str | None = None,
        queries_id_column: str | None = None,
        columns: Sequence[str] = (),
        where_queries: str | None = None,
        where_base: str | None = None,
        version_queries: Version = None,
        version_base: Version = None,
        on_invalid: OnInvalid = "raise",
    ) -> NeighborsPlan:
        """Tell how :meth:`nearest_neighbors_to_delta` would go about it, and how long.

        The tables are opened and a part of them is read and searched, for a few seconds.

        Parameters
        ----------
        queries, base, k, exact, min_collisions, embedding_column, id_column, \
queries_embedding_column, queries_id_column, columns, where_queries, where_base, \
version_queries, version_base, on_invalid
            As for :meth:`nearest_neighbors_to_delta`.

        Returns
        -------
        NeighborsPlan

        Raises
        ------
        ParameterError
            If a table can be read once only: nothing would be left to search.
        MemoryLimitError, DimensionError, ColumnNotFoundError, TableNotFoundError, \
SparkVectorColumnError, DeltaError, InvalidVectorError, BucketRangeError
            As for :meth:`nearest_neighbors_to_delta`, as far as the table is read.
        """
        request = NeighborRequest(
            queries,
            base,
            k,
            exact,
            min_collisions,
            embedding_column,
            id_column,
            queries_embedding_column,
            queries_id_column,
            columns,
            where_queries,
            where_base,
            version_queries,
            version_base,
            on_invalid,
        )
        search = self._neighbor_search(request, self._memory_limit, written=True)
        return plan_search(search)
