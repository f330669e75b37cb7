"""Hashing and joining embeddings that live in Delta tables."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from itertools import chain
from typing import TYPE_CHECKING, Any

from fast_lsh_ann._inputs import as_count
from fast_lsh_ann._invalid import OnInvalid
from fast_lsh_ann._processor import DeltaProcessor
from fast_lsh_ann._progress import Progress, reporting
from fast_lsh_ann._streamed.neighbor_request import NeighborRequest
from fast_lsh_ann._tables.delta import Table, TablePath, Version
from fast_lsh_ann._tables.output import Mode, Output
from fast_lsh_ann._tables.report import WriteReport
from fast_lsh_ann.model import BucketedRandomProjectionLSH, Projection, SparkProfile

if TYPE_CHECKING:
    import polars as pl

__all__ = ["DeltaLSHProcessor"]


class DeltaLSHProcessor(DeltaProcessor):
    """Locality sensitive hashing of embedding columns in Delta tables, and in others.

    Every call reads one pinned version of its tables, in pieces, with only the columns it
    needs; see :class:`BucketedRandomProjectionLSH` for what is computed.

    Tables to be read are Delta tables, Parquet files (one, a folder's, a pattern's, with
    columns from folders called ``name=value``), Arrow IPC files and streams, ``.npy``
    files, whose only column is the embedding, or objects that hand over an Arrow C
    stream, as tables of polars, DuckDB and pyarrow do.  Of an object store only the first
    two.  Rows of Parquet files come in the order of the paths.  Only Delta tables have a
    version; all else must stay as it is while it is read.  Conditions (`where`) are in
    DataFusion's SQL for Delta tables and in polars' for others.  Where the embedding is
    the only column, the usual `id_column` of "id" means row numbers.  Tables that are
    written are Delta tables.

    Parameters
    ----------
    bucket_length : float
        Width of a bucket, in units of distance.
    num_hash_tables : int
        Hash tables.
    seed : int
        Of the random projections.
    spark_profile, num_hashes_per_table, projection
        As in :class:`BucketedRandomProjectionLSH`.
    storage_options : mapping, optional
        Credentials and settings of the object store, for every table of this object.

    Raises
    ------
    ParameterError
        If a parameter is outside its range.
    """

    def __init__(
        self,
        bucket_length: float = 2.0,
        num_hash_tables: int = 5,
        seed: int = 42,
        *,
        spark_profile: SparkProfile = "java11",
        num_hashes_per_table: int = 1,
        projection: Projection = "spark",
        storage_options: Mapping[str, str] | None = None,
    ) -> None:
        lsh = BucketedRandomProjectionLSH(
            bucket_length,
            num_hash_tables,
            seed,
            spark_profile=spark_profile,
            num_hashes_per_table=num_hashes_per_table,
            projection=projection,
        )
        super().__init__(lsh, storage_options)

    def transform_delta(
        self,
        path: Table,
        embedding_column: str = "embedding",
        id_column: str | None = "id",
        chunk_size: int = 50000,
        *,
        version: Version = None,
        where: str | None = None,
        on_invalid: OnInvalid = "raise",
        progress: Progress = False,
    ) -> "pl.DataFrame":
        """Hash an embedding column.

        Parameters
        ----------
        path : str, path-like or object
            The table.
        embedding_column : str
            A column of arrays of floats or integers, or of Spark ML vectors.
        id_column : str or None
            A column of any type without nulls; None numbers the rows in the order of the
            pinned version: newest commits first.
        chunk_size : int
            Rows hashed at a time.
        version : int, str or datetime, optional
            A version number, or a moment: an aware datetime or an RFC 3339 string.
        where : str, optional
            A condition in SQL over the table's columns, such as ``"country = 'fr'"``:
            rows that do not pass it are not read, and row numbers count those that do.
        on_invalid : {"raise", "skip"}
            What to do with rows that are null, hold null, NaN or infinity, or are of
            another length than the first valid row: raise, or leave them out.  How many
            were left out is logged as a warning by the logger ``fast_lsh_ann``.
        progress : bool or callable
            True for a bar, or a function of (rows done, rows in all).

        Returns
        -------
        polars.DataFrame
            Columns `hash_0`, `hash_1`, ... of int64, then `id`; one row a row of the
            table.  With several hashes per table the columns are `hash_0_0`, `hash_0_1`,
            ..., `hash_1_0`, ...: table, then hash.

        Raises
        ------
        TableNotFoundError, ColumnNotFoundError, SparkVectorColumnError, DeltaError
            If the table or a column is missing or cannot be read, or an id is null.
        ParameterError
            If `where` is no condition for the table's rows.
        InvalidVectorError
            If a row is null or of another length than the first, or holds null, NaN or
            infinity, unless such rows are skipped.
        BucketRangeError
            If a bucket does not fit in int64.
        """
        size = as_count(chunk_size, "chunk_size", 1)
        reader = self._reader(
            path, embedding_column, id_column, version, on_invalid, where
        )
        import polars as pl  # only now: opening the table says so if it is missing

        with (
            reporting(progress, "hashing") as report,
            closing(self._hash_frames(reader, size, report)) as frames,
        ):
            return pl.concat((frame for frame, _ in frames), rechunk=True)

    def transform_and_save(
        self,
        input_path: Table,
        output_path: TablePath,
        embedding_column: str = "embedding",
        id_column: str | None = "id",
        chunk_size: int = 50000,
        *,
        version: Version = None,
        where: str | None = None,
        mode: Mode = "overwrite",
        job_id: str | None = None,
        on_invalid: OnInvalid = "raise",
        progress: Progress = False,
    ) -> WriteReport:
        """Hash an embedding column into another Delta table.

        The output gets the columns that :meth:`transform_delta` returns.  It is written
        in one commit: readers see the old table or the whole new one, and an error or
        Ctrl-C leaves it as it was.  The commit's metadata says how the hashes
        were made: :func:`fast_lsh_ann.delta_utils.read_hash_scheme` reads it.

        Parameters
        ----------
        input_path : str, path-like or object
            The table to hash.
        output_path : str or path-like
            The Delta table to write.
        embedding_column, id_column, chunk_size, version, where, progress
            As for :meth:`transform_delta`.
        mode : {"overwrite", "error", "append"}
            What to do where there is a table: replace it, refuse, or add rows to it,
            which must have been hashed with the same parameters.
        job_id : str, optional
            Names the work: where the table has the rows of this job already, from a try
            that was thought lost or from another process, nothing is computed.
        on_invalid : {"raise", "skip"}
            As for :meth:`transform_delta`.  With "skip" the input is read twice,
            since the commit tells how many rows were left out.

        Returns
        -------
        WriteReport

        Raises
        ------
        ParameterError
            If the output is the input table: its embeddings would be lost; or if `where`
            is no condition for the table's rows.
        TableExistsError
            With mode "error", if there is a table.
        TableSchemaError, SchemeMismatchError
            With mode "append", if the table has other columns, or hashes of another
            scheme.
        TableNotFoundError, ColumnNotFoundError, SparkVectorColumnError, DeltaError, \
InvalidVectorError, BucketRangeError
            As for :meth:`transform_delta`; DeltaError also if the output cannot be
            written.
        """
        output = Output(output_path, mode, job_id, self._storage_options)
        size = as_count(chunk_size, "chunk_size", 1)
        reader = self._reader(
            input_path, embedding_column, id_column, version, on_invalid, where
        )
        return self._hash_to_table(reader, output, size, progress)

    def similarity_join_delta(
        self,
        path_a: Table,
        path_b: Table,
        threshold: float,
        embedding_column: str = "embedding",
        id_column: str | None = "id",
        chunk_size: int = 10000,
        *,
        version_a: Version = None,
        version_b: Version = None,
        where_a: str | None = None,
        where_b: str | None = None,
        on_invalid: OnInvalid = "raise",
        progress: Progress = False,
    ) -> list[tuple[Any, Any, float]]:
        """Find pairs of rows of two tables that share a bucket and are close.

        Table b is held in memory, and the pairs; table a is read in chunks.
        :class:`StreamingLSHProcessor` holds less.

        Parameters
        ----------
        path_a, path_b : str, path-like or object
            The two tables; the same one joins a table with itself: all ordered pairs,
            every row with itself too.
        threshold : float
            The largest distance of a pair.
        embedding_column, id_column
            As for :meth:`transform_delta`, in both tables.
        chunk_size : int
            Rows of table a joined at a time.
        version_a, version_b : int, str or datetime, optional
            As `version` of :meth:`transform_delta`.  Without either, a table is joined
            with itself at one version.
        where_a, where_b : str, optional
            As `where` of :meth:`transform_delta`, for either table.
        on_invalid : {"raise", "skip"}
            As for :meth:`transform_delta`, in both tables.
        progress : bool or callable
            True for a bar, or a function of (rows of a done, rows of a in all).

        Returns
        -------
        list of (id, id, float)
            Id in a, id in b, Euclidean distance; in the order of the rows of a, then b.

        Raises
        ------
        ParameterError
            If `threshold` is negative or NaN, or a condition is none for its table.
        DimensionError
            If the tables differ in dimension.
        TableNotFoundError, ColumnNotFoundError, SparkVectorColumnError, DeltaError, \
InvalidVectorError, BucketRangeError
            As for :meth:`transform_delta`.
        """
        size = as_count(chunk_size, "chunk_size", 1)
        versions = (version_a, version_b)
        join = self._join(
            (path_a, path_b),
            threshold,
            embedding_column,
            id_column,
            size,
            versions,
            on_invalid,
            (where_a, where_b),
        )
        with (
            reporting(progress, "joining") as report,
            closing(join.lists(report)) as lists,
        ):
            return list(chain.from_iterable(lists))

    def nearest_neighbors_delta(
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
    ) -> "pl.DataFrame":
        """Find the k nearest rows of a base table for every row of a table of queries.

        The base is streamed: half of the memory that is available holds queries and what
        is found.  For results that do not fit, and for a limit of one's own, see
        :meth:`StreamingLSHProcessor.nearest_neighbors_to_delta`.

        Parameters
        ----------
        queries, base, k, exact, min_collisions, embedding_column, id_column, \
queries_embedding_column, queries_id_column, columns, where_queries, where_base, \
version_queries, version_base, on_invalid, progress
            As for :meth:`StreamingLSHProcessor.nearest_neighbors_to_delta`.

        Returns
        -------
        polars.DataFrame
            Columns `query_id`, `neighbor_id`, `rank` (int32, 1 is the nearest),
            `distance` (float64), then those carried along; by the order of the queries,
            then by rank.

        Raises
        ------
        MemoryLimitError, DimensionError, ColumnNotFoundError, ParameterError, \
TableNotFoundError, SparkVectorColumnError, DeltaError, InvalidVectorError, \
BucketRangeError
            As for :meth:`StreamingLSHProcessor.nearest_neighbors_to_delta`.

        Examples
        --------
        >>> from fast_lsh_ann import DeltaLSHProcessor, create_sample_delta
        >>> create_sample_delta("base", n_vectors=500, dim=8)
        >>> lsh = DeltaLSHProcessor()
        >>> frame = lsh.nearest_neighbors_delta("base", "base", k=2, exact=True)
        >>> frame.shape, frame.columns
        ((1000, 4), ['query_id', 'neighbor_id', 'rank', 'distance'])
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
        search = self._neighbor_search(request, None, written=False)
        import polars as pl

        with closing(search.frames(progress)) as frames:
            return pl.concat(frames, rechunk=True)
