"""Delta tables larger than memory: hashing and joining them chunk by chunk."""

import tempfile
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fast_lsh_ann._arrow import frame_batch
from fast_lsh_ann._inputs import as_count, as_flag
from fast_lsh_ann._invalid import OnInvalid
from fast_lsh_ann._log import logger
from fast_lsh_ann._processor import report_rows
from fast_lsh_ann._progress import Progress, reporting
from fast_lsh_ann._streamed.frames import Frames, write_frames
from fast_lsh_ann._streamed.join import TableJoin
from fast_lsh_ann._streamed.memory import MemoryLimit, parse_memory
from fast_lsh_ann._streaming_joins import StreamingJoins
from fast_lsh_ann._streaming_neighbors import StreamingNeighbors
from fast_lsh_ann._tables.delta import Table, TablePath, Version, refuse_input
from fast_lsh_ann._tables.embeddings import EmbeddingReader, id_array
from fast_lsh_ann._tables.output import Mode, Output
from fast_lsh_ann._tables.report import WriteReport
from fast_lsh_ann._threads import call_in_thread
from fast_lsh_ann.delta_utils import create_sample_delta
from fast_lsh_ann.errors import ParameterError
from fast_lsh_ann.model import BucketedRandomProjectionLSH, Projection, SparkProfile

if TYPE_CHECKING:
    import polars as pl

__all__ = ["ChunkResult", "StreamingLSHProcessor", "benchmark_streaming"]


@dataclass(frozen=True, eq=False)
class ChunkResult:
    """The hashes of some consecutive rows of a table.

    Attributes
    ----------
    chunk_idx : int
        Number of the chunk, from 0.
    start_row : int
        Number of its first row in the order of the pinned version: newest commits first.
    n_rows : int
        Rows of the chunk.
    hashes : ndarray of int64, [n_rows, num_hash_tables]
        With several hashes per table [n_rows, num_hash_tables, num_hashes_per_table].
    ids : ndarray or None, [n_rows]
        int64 for integer ids, else Python objects; None where no id column was asked for,
        row numbers if invalid rows were to be left out.
    """

    chunk_idx: int
    start_row: int
    n_rows: int
    hashes: NDArray[np.int64]
    ids: NDArray[Any] | None = None


class StreamingLSHProcessor(StreamingNeighbors, StreamingJoins):
    """Locality sensitive hashing of tables that are larger than memory.

    Tables are read as a stream of one pinned version, with only the columns that are
    needed, and worked on in chunks of exactly `chunk_size` rows, the last one shorter.
    Besides what each method says, reading takes some batches of 8,192 rows, and a group
    of rows as the table's file has them; writing takes such a group for each processor.

    Tables to be read are Delta tables, Parquet files (one, a folder's, a pattern's, with
    columns from folders called ``name=value``), Arrow IPC files and streams, ``.npy``
    files, whose only column is the embedding, or objects that hand over an Arrow C
    stream, as tables of polars, DuckDB and pyarrow do.  Of an object store only the first
    two.  Rows of Parquet files come in the order of the paths.  Only Delta tables have a
    version; all else must stay as it is while it is read.  Conditions (`where`) are in
    DataFusion's SQL for Delta tables and in polars' for others.  Where the embedding is
    the only column, the usual `id_column` of "id" means row numbers.  Tables that are
    written are Delta tables.

    Iterators read ahead in a thread of their own.  When they are closed, dropped or
    interrupted it ends by itself; ``contextlib.closing`` does that at a known point.

    Parameters
    ----------
    bucket_length : float
        Width of a bucket, in units of distance.
    num_hash_tables : int
        Hash tables.
    seed : int
        Of the random projections.
    chunk_size : int
        Rows held at a time.
    dim : int, optional
        Dimension that embeddings must have; without it that of the first row.
    spark_profile, num_hashes_per_table, projection
        As in :class:`BucketedRandomProjectionLSH`.
    storage_options : mapping, optional
        Credentials and settings of the object store, for every table of this object.
    memory_limit : int or str, optional
        What searches and joins of tables may hold at a time: bytes, or a text such as
        "512MiB" or "2GB".  Half of what is available when a call begins, limits of
        control groups considered, if not given.  The table's reader and writer, and what
        the allocator keeps, come on top.

    Raises
    ------
    InputTypeError, ParameterError
        If a parameter is of the wrong type or outside its range.

    Examples
    --------
    >>> from fast_lsh_ann import StreamingLSHProcessor, create_sample_delta
    >>> create_sample_delta("vectors", n_vectors=2500, dim=8)
    >>> lsh = StreamingLSHProcessor(num_hash_tables=3, chunk_size=1000)
    >>> for chunk in lsh.transform_streaming("vectors", id_column="id"):
    ...     print(chunk.chunk_idx, chunk.start_row, chunk.hashes.shape)
    0 0 (1000, 3)
    1 1000 (1000, 3)
    2 2000 (500, 3)
    >>> lsh.similarity_join_chunked_both("vectors", "vectors", threshold=0.0)
    2500
    """

    def __init__(
        self,
        bucket_length: float = 2.0,
        num_hash_tables: int = 5,
        seed: int = 42,
        chunk_size: int = 50000,
        dim: int | None = None,
        *,
        spark_profile: SparkProfile = "java11",
        num_hashes_per_table: int = 1,
        projection: Projection = "spark",
        storage_options: Mapping[str, str] | None = None,
        memory_limit: MemoryLimit = None,
    ) -> None:
        lsh = BucketedRandomProjectionLSH(
            bucket_length,
            num_hash_tables,
            seed,
            spark_profile=spark_profile,
            num_hashes_per_table=num_hashes_per_table,
            projection=projection,
        )
        self._chunk_size = as_count(chunk_size, "chunk_size", 1)
        self._memory_limit = parse_memory(memory_limit)
        dim = None if dim is None else as_count(dim, "dim", 1, 2**26)
        super().__init__(lsh, storage_options, dim)

    @property
    def chunk_size(self) -> int:
        """Rows held at a time."""
        return self._chunk_size

    @property
    def memory_limit(self) -> int | None:
        """Bytes that a call may hold; None for half of what is available."""
        return self._memory_limit

    @property
    def dim(self) -> int | None:
        """Dimension that embeddings must have; None for that of the first row."""
        return self._dim

    def __repr__(self) -> str:
        parameters = super().__repr__().removesuffix(")")
        dim = "" if self._dim is None else f", dim={self._dim}"
        limit = self._memory_limit
        memory = "" if limit is None else f", memory_limit={limit}"
        return f"{parameters}, chunk_size={self._chunk_size}{dim}{memory})"

    def transform_streaming(
        self,
        path: Table,
        embedding_column: str = "embedding",
        id_column: str | None = None,
        *,
        version: Version = None,
        where: str | None = None,
        on_invalid: OnInvalid = "raise",
        progress: Progress = False,
    ) -> Generator[ChunkResult, None, None]:
        """Hash an embedding column chunk by chunk.

        The table is opened, and its columns checked, at once; rows are read as chunks are
        asked for.  One chunk is held.

        Parameters
        ----------
        path : str, path-like or object
            The table.
        embedding_column : str
            A column of arrays of floats or integers, or of Spark ML vectors.
        id_column : str or None
            A column of any type without nulls, whose values come with the hashes.
        version : int, str or datetime, optional
            A version number, or a moment: an aware datetime or an RFC 3339 string.
        where : str, optional
            A condition in SQL over the table's columns, such as ``"country = 'fr'"``:
            rows that do not pass it are not read, and row numbers count those that do.
        on_invalid : {"raise", "skip"}
            What to do with rows that are null, hold null, NaN or infinity, or are of
            another length than the first valid row: raise, or leave them out.  How many
            were left out is logged as a warning by the logger ``fast_lsh_ann``.  With
            "skip" chunks hold as many valid rows, and row numbers of the table come as
            ids where no id column was asked for.
        progress : bool or callable
            True for a bar, or a function of (rows done, rows in all).

        Yields
        ------
        ChunkResult

        Raises
        ------
        TableNotFoundError, ColumnNotFoundError, SparkVectorColumnError, DeltaError
            If the table or a column is missing or cannot be read, or an id is null.
        ParameterError
            If `where` is no condition for the table's rows.
        InvalidVectorError
            If a row is null or of another length than the first, or holds null, NaN or
            infinity, unless such rows are skipped.
        DimensionError
            If the embeddings are not of the dimension asked for.
        BucketRangeError
            If a bucket does not fit in int64.
        """
        reader = self._reader(
            path, embedding_column, id_column, version, on_invalid, where
        )
        return self._results(reader, progress)

    def _results(
        self, reader: EmbeddingReader, progress: Progress
    ) -> Generator[ChunkResult, None, None]:
        with (
            reporting(progress, "hashing") as report,
            closing(self._hashed(reader, self._chunk_size)) as hashed,
        ):
            for number, (chunk, hashes) in enumerate(hashed):
                ids = id_array(chunk.ids) if reader.names_rows else None
                yield ChunkResult(number, chunk.first_row, len(hashes), hashes, ids)
                report_rows(report, chunk, reader)

    def transform_frames(
        self,
        path: TablePath,
        embedding_column: str = "embedding",
        id_column: str | None = "id",
        *,
        version: Version = None,
        where: str | None = None,
        on_invalid: OnInvalid = "raise",
        progress: Progress = False,
    ) -> Frames:
        """Hash an embedding column into frames, or an Arrow stream, of a chunk each.

        Parameters
        ----------
        path, embedding_column, version, where, on_invalid, progress
            As for :meth:`transform_streaming`.
        id_column : str or None
            A column of any type without nulls, which becomes `id`; None numbers the rows
            in the order of the pinned version.

        Returns
        -------
        Frames
            An iterator of polars.DataFrame with the columns that
            :meth:`DeltaLSHProcessor.transform_delta` returns; at least one, maybe an
            empty one.  Whatever takes an Arrow C stream takes it too, instead.

        Raises
        ------
        TableNotFoundError, ColumnNotFoundError, SparkVectorColumnError, DeltaError, \
InvalidVectorError, DimensionError, BucketRangeError, ParameterError
            As for :meth:`transform_streaming`.

        Examples
        --------
        >>> import polars
        >>> from fast_lsh_ann import StreamingLSHProcessor, create_sample_delta
        >>> create_sample_delta("vectors", n_vectors=2500, dim=8)
        >>> lsh = StreamingLSHProcessor(num_hash_tables=2, chunk_size=1000)
        >>> polars.DataFrame(lsh.transform_frames("vectors")).columns
        ['hash_0', 'hash_1', 'id']
        """
        reader = self._reader(
            path, embedding_column, id_column, version, on_invalid, where
        )
        return Frames(self._frames(reader, progress))

    def _frames(
        self, reader: EmbeddingReader, progress: Progress
    ) -> Generator["pl.DataFrame", None, None]:
        with (
            reporting(progress, "hashing") as report,
            closing(self._hash_frames(reader, self._chunk_size, report)) as frames,
        ):
            for frame, _ in frames:
                yield frame

    def transform_to_delta(
        self,
        input_path: Table,
        output_path: TablePath,
        embedding_column: str = "embedding",
        id_column: str | None = "id",
        include_embeddings: bool = False,
        *,
        version: Version = None,
        where: str | None = None,
        mode: Mode = "overwrite",
        job_id: str | None = None,
        on_invalid: OnInvalid = "raise",
        progress: Progress = False,
    ) -> WriteReport:
        """Hash an embedding column into another Delta table.

        The output gets the columns that :meth:`DeltaLSHProcessor.transform_delta`
        returns, and with `include_embeddings` the embeddings under their own name and in
        their own type.
        It is written in one commit: readers see the old table or the whole new one, and
        an error or Ctrl-C leaves it as it was.  The commit's metadata says how the hashes
        were made: :func:`fast_lsh_ann.delta_utils.read_hash_scheme` reads it.  Up to
        three chunks are held.

        Parameters
        ----------
        input_path : str, path-like or object
            The table to hash.
        output_path : str or path-like
            The Delta table to write.
        embedding_column, version, where, progress
            As for :meth:`transform_streaming`.
        on_invalid : {"raise", "skip"}
            As for :meth:`transform_streaming`.  With "skip" the input is read twice,
            since the commit tells how many rows were left out.
        id_column : str or None
            A column of any type without nulls, which becomes `id`; None numbers the rows
            in the order of the pinned version.
        include_embeddings : bool
            Write the embeddings too.
        mode : {"overwrite", "error", "append"}
            What to do where there is a table: replace it, refuse, or add rows to it,
            which must have been hashed with the same parameters.
        job_id : str, optional
            Names the work: where the table has the rows of this job already, from a try
            that was thought lost or from another process, nothing is computed.

        Returns
        -------
        WriteReport

        Raises
        ------
        ParameterError
            If the output is the input table: its embeddings would be lost; if the
            embedding column has the name of another column of the output; or if `where`
            is no condition for the table's rows.
        TableExistsError
            With mode "error", if there is a table.
        TableSchemaError, SchemeMismatchError
            With mode "append", if the table has other columns, or hashes of another
            scheme.
        TableNotFoundError, ColumnNotFoundError, SparkVectorColumnError, DeltaError, \
InvalidVectorError, DimensionError, BucketRangeError
            As for :meth:`transform_streaming`; DeltaError also if the output cannot be
            written.
        """
        output = Output(output_path, mode, job_id, self._storage_options)
        embeddings = as_flag(include_embeddings, "include_embeddings")
        reader = self._reader(
            input_path, embedding_column, id_column, version, on_invalid, where
        )
        return self._hash_to_table(
            reader,
            output,
            self._chunk_size,
            progress,
            embedding_column if embeddings else None,
        )

    def similarity_join_streaming(
        self,
        path_a: Table,
        path_b: Table,
        threshold: float,
        embedding_column: str = "embedding",
        id_column: str | None = "id",
        *,
        version_a: Version = None,
        version_b: Version = None,
        where_a: str | None = None,
        where_b: str | None = None,
        on_invalid: OnInvalid = "raise",
        progress: Progress = False,
    ) -> Generator[list[tuple[Any, Any, float]], None, None]:
        """Find pairs of rows that share a bucket and are close, a chunk of a at a time.

        Both tables are read once.  Table b is held, with 1.4 bytes a coordinate beside
        it; of table a one chunk, and its pairs.  Where b does not fit, see
        :meth:`similarity_join_chunked_both`.

        Parameters
        ----------
        path_a, path_b : str, path-like or object
            The two tables; the same one joins a table with itself: all ordered pairs,
            every row with itself too.
        threshold : float
            The largest distance of a pair.
        embedding_column, id_column
            As for :meth:`transform_to_delta`, in both tables.
        version_a, version_b : int, str or datetime, optional
            As `version` of :meth:`transform_streaming`.  Without either, a table is
            joined with itself at one version.
        where_a, where_b : str, optional
            As `where` of :meth:`transform_streaming`, for either table.
        on_invalid : {"raise", "skip"}
            As for :meth:`transform_streaming`, in both tables.
        progress : bool or callable
            True for a bar, or a function of (rows of a done, rows of a in all).

        Yields
        ------
        list of (id, id, float)
            One list for each chunk of a, also where it is empty: id in a, id in b,
            Euclidean distance; in the order of the rows of a, then b.

        Raises
        ------
        ParameterError
            If `threshold` is negative or NaN, or a condition is none for its table.
        DimensionError
            If the tables differ in dimension, or from the dimension asked for.
        TableNotFoundError, ColumnNotFoundError, SparkVectorColumnError, DeltaError, \
InvalidVectorError, BucketRangeError
            As for :meth:`transform_streaming`.
        """
        versions = (version_a, version_b)
        join = self._join(
            (path_a, path_b),
            threshold,
            embedding_column,
            id_column,
            self._chunk_size,
            versions,
            on_invalid,
            (where_a, where_b),
        )
        return _lists(join, progress)

    def similarity_join_chunked_both(
        self,
        path_a: Table,
        path_b: Table,
        threshold: float,
        embedding_column: str = "embedding",
        id_column: str | None = "id",
        output_path: TablePath | None = None,
        *,
        version_a: Version = None,
        version_b: Version = None,
        where_a: str | None = None,
        where_b: str | None = None,
        mode: Mode = "overwrite",
        job_id: str | None = None,
        on_invalid: OnInvalid = "raise",
        progress: Progress = False,
    ) -> int | WriteReport:
        """Count or write pairs of rows that share a bucket and are close.

        Neither table is held: one chunk of either, with 1.4 bytes a coordinate beside it.
        Table b is read once for each chunk of a, so the smaller table is better a, and
        larger chunks mean less reading.

        Parameters
        ----------
        path_a, path_b, threshold, embedding_column, id_column, version_a, version_b, \
where_a, where_b
            As for :meth:`similarity_join_streaming`.
        output_path : str or path-like, optional
            The pairs are written here in one commit, also when there are none: columns
            `id_a`, `id_b`, in the types of the ids, and `distance`.
        mode : {"overwrite", "error", "append"}
            What to do where there is an output table: replace it, refuse, or add rows.
        job_id : str, optional
            As for :meth:`transform_to_delta`.
        on_invalid : {"raise", "skip"}
            As for :meth:`transform_streaming`, in both tables.  With "skip" and
            `output_path` both are read once more, since the commit's metadata says how
            many rows were left out.
        progress : bool or callable
            True for a bar, or a function of (pairs of rows done, pairs in all).

        Returns
        -------
        int or WriteReport
            The number of pairs; with `output_path` what was written.

        Raises
        ------
        ParameterError
            If `threshold` is negative or NaN, a condition is none for its table, the
            output is one of the inputs, or there is a `mode` or `job_id` without an
            output.
        TableExistsError, TableSchemaError
            As for :meth:`transform_to_delta`.
        DimensionError, TableNotFoundError, ColumnNotFoundError, \
SparkVectorColumnError, DeltaError, InvalidVectorError, BucketRangeError
            As for :meth:`similarity_join_streaming`; DeltaError also if the output cannot
            be written.
        """
        versions = (version_a, version_b)
        output = self._join_output(output_path, mode, job_id)
        if output is not None:
            refuse_input(output.path, path_a, path_b)
        join = self._join(
            (path_a, path_b),
            threshold,
            embedding_column,
            id_column,
            self._chunk_size,
            versions,
            on_invalid,
            (where_a, where_b),
        )
        if output is None:
            with reporting(progress, "joining") as report:
                return join.count(report)
        none = join.no_pairs()
        if done := output.check(frame_batch(none)):
            return done
        with (
            reporting(progress, "joining") as report,
            closing(join.frames(report)) as frames,
        ):
            return write_frames(output, frames, none, join.metadata())

    def _join_output(
        self, path: TablePath | None, mode: Mode, job_id: str | None
    ) -> Output | None:
        if path is not None:
            return Output(path, mode, job_id, self._storage_options)
        if mode != "overwrite" or job_id is not None:
            raise ParameterError(
                f"mode={mode!r} and job_id={job_id!r} are of an output, and there is no "
                f"output_path: name one, or leave them out"
            )
        return None


def _lists(
    join: TableJoin, progress: Progress
) -> Generator[list[tuple[Any, Any, float]], None, None]:
    with reporting(progress, "joining") as report, closing(join.lists(report)) as lists:
        yield from lists


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """Make and remove a folder in other threads: here Ctrl-C could leave some of it."""
    folder = call_in_thread(lambda: tempfile.TemporaryDirectory(prefix="fast_lsh_ann-"))
    try:
        yield Path(folder.name)
    finally:
        call_in_thread(folder.cleanup)


def benchmark_streaming(
    n_vectors: int = 100000, dim: int = 128, chunk_size: int = 10000
) -> dict[str, float]:
    """Time :meth:`StreamingLSHProcessor.transform_to_delta` on a sample table.

    The tables live in a temporary folder, which is removed.  Nothing is printed: the
    numbers are returned, and logged by the logger ``fast_lsh_ann``.

    Parameters
    ----------
    n_vectors, dim : int
        Rows and coordinates of the sample.
    chunk_size : int
        Rows hashed at a time.

    Returns
    -------
    dict
        "rows", "dim", "chunk_size"; "seconds" from reading to the commit;
        "rows_per_second".

    Raises
    ------
    InputTypeError, ParameterError
        If an argument is of the wrong type or out of range.
    DeltaError
        If the folder for temporary files cannot be written.
    """
    rows = as_count(n_vectors, "n_vectors", 1)
    lsh = StreamingLSHProcessor(chunk_size=chunk_size, dim=dim)
    with _temporary_folder() as folder:
        source, target = folder / "vectors", folder / "hashes"
        create_sample_delta(source, rows, dim)
        start = time.perf_counter()
        lsh.transform_to_delta(source, target)
        seconds = time.perf_counter() - start
    logger.info(
        "hashed %d rows of dimension %d in %.3f s, in chunks of %d: %.0f rows/s",
        *(rows, dim, seconds, chunk_size, rows / seconds),
    )
    return {
        "rows": rows,
        "dim": dim,
        "chunk_size": chunk_size,
        "seconds": seconds,
        "rows_per_second": rows / seconds,
    }
