"""Hashing and joining embeddings that live in Delta tables."""

import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fast_lsh_ann import _core
from fast_lsh_ann._arrow import ArrowBatch, frame_batch
from fast_lsh_ann._core import __version__
from fast_lsh_ann._delta import TablePath, Version
from fast_lsh_ann._delta_write import write_batches
from fast_lsh_ann._inputs import as_count, as_threshold
from fast_lsh_ann._progress import Progress, Report, reporting
from fast_lsh_ann.delta_utils import EmbeddingBatch, EmbeddingReader, id_array, read_all
from fast_lsh_ann.errors import BucketRangeError, DimensionError, ParameterError
from fast_lsh_ann.index import LSHIndex
from fast_lsh_ann.model import (
    BucketedRandomProjectionLSH,
    BucketedRandomProjectionLSHModel,
    Projection,
)

if TYPE_CHECKING:
    import polars as pl

__all__ = ["DeltaLSHProcessor"]


class DeltaLSHProcessor:
    """Locality sensitive hashing of embedding columns in Delta tables.

    Every call reads one pinned version of its tables, in pieces, with only the columns it
    needs; see :class:`BucketedRandomProjectionLSH` for what is computed.

    Parameters
    ----------
    bucket_length : float
        Width of a bucket, in units of distance.
    num_hash_tables : int
        Hash tables.
    seed : int
        Of the random projections.
    num_hashes_per_table, projection
        As in :class:`BucketedRandomProjectionLSH`.
    storage_options : mapping, optional
        Credentials and settings of the object store, for every table of this object.

    Raises
    ------
    ParameterError
        If `bucket_length` or `num_hash_tables` is outside its range.
    """

    def __init__(
        self,
        bucket_length: float = 2.0,
        num_hash_tables: int = 5,
        seed: int = 42,
        *,
        num_hashes_per_table: int = 1,
        projection: Projection = "spark",
        storage_options: Mapping[str, str] | None = None,
    ) -> None:
        self._lsh = BucketedRandomProjectionLSH(
            bucket_length,
            num_hash_tables,
            seed,
            num_hashes_per_table=num_hashes_per_table,
            projection=projection,
        )
        self._storage_options = dict(storage_options) if storage_options else None

    @property
    def bucket_length(self) -> float:
        """Width of a bucket, in units of distance."""
        return self._lsh.bucket_length

    @property
    def num_hash_tables(self) -> int:
        """Hash tables."""
        return self._lsh.num_hash_tables

    @property
    def seed(self) -> int:
        """Seed of the random projections."""
        return self._lsh.seed

    @property
    def num_hashes_per_table(self) -> int:
        """Hashes of a table, all of which must agree for it to collide."""
        return self._lsh.num_hashes_per_table

    @property
    def projection(self) -> Projection:
        """Whose vectors: Spark's, or Gaussian ones with offsets."""
        return self._lsh.projection

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._lsh._parameters()})"

    def transform_delta(
        self,
        path: TablePath,
        embedding_column: str = "embedding",
        id_column: str | None = "id",
        chunk_size: int = 50000,
        *,
        version: Version = None,
        progress: Progress = False,
    ) -> "pl.DataFrame":
        """Hash an embedding column.

        Parameters
        ----------
        path : str or path-like
            The table.
        embedding_column : str
            A column of type array<float> or array<double>.
        id_column : str or None
            A column of any type without nulls; None numbers the rows in the order of the
            pinned version.
        chunk_size : int
            Rows hashed at a time, at most.
        version : int, str or datetime, optional
            A version number, or a moment: an aware datetime or an RFC 3339 string.
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
        InvalidVectorError
            If a row is null or of another length than the first, or holds null, NaN or
            infinity.
        BucketRangeError
            If a bucket does not fit in int64.
        """
        chunk_size = as_count(chunk_size, "chunk_size", 1)
        reader = self._reader(path, embedding_column, id_column, version)
        import polars as pl  # only now: opening the table says so if it is missing

        with reporting(progress, "hashing") as report:
            return pl.concat(self._hash_frames(reader, chunk_size, report), rechunk=True)

    def transform_and_save(
        self,
        input_path: TablePath,
        output_path: TablePath,
        embedding_column: str = "embedding",
        id_column: str | None = "id",
        chunk_size: int = 50000,
        *,
        version: Version = None,
        progress: Progress = False,
    ) -> None:
        """Hash an embedding column into another Delta table.

        The output gets the columns that :meth:`transform_delta` returns.  It is created,
        or replaced in one commit: readers see the old table or the whole new one, and an
        error or Ctrl-C leaves it as it was.  The commit's metadata says how the hashes
        were made, under keys that begin with `fast_lsh_ann.`.

        Parameters
        ----------
        input_path, output_path : str or path-like
            The two tables.
        embedding_column, id_column, chunk_size, version, progress
            As for :meth:`transform_delta`.

        Raises
        ------
        ParameterError
            If the output is the input table: its embeddings would be lost.
        TableNotFoundError, ColumnNotFoundError, SparkVectorColumnError, DeltaError, \
InvalidVectorError, BucketRangeError
            As for :meth:`transform_delta`; DeltaError also if the output cannot be
            written.
        """
        chunk_size = as_count(chunk_size, "chunk_size", 1)
        if _location(input_path) == _location(output_path):
            raise ParameterError(
                f"output_path {os.fspath(output_path)!r} is the input table: its "
                f"embeddings would be replaced by hashes; name another path"
            )
        reader = self._reader(input_path, embedding_column, id_column, version)
        with reporting(progress, "hashing") as report:
            frames = self._hash_frames(reader, chunk_size, report)
            write_batches(
                output_path,
                _batches_of(frames),
                metadata=self._metadata(reader),
                storage_options=self._storage_options,
            )

    def similarity_join_delta(
        self,
        path_a: TablePath,
        path_b: TablePath,
        threshold: float,
        embedding_column: str = "embedding",
        id_column: str | None = "id",
        chunk_size: int = 10000,
        *,
        version_a: Version = None,
        version_b: Version = None,
        progress: Progress = False,
    ) -> list[tuple[Any, Any, float]]:
        """Find pairs of rows of two tables that share a bucket and are close.

        Table b is held in memory, table a is read in pieces.

        Parameters
        ----------
        path_a, path_b : str or path-like
            The two tables; the same path joins a table with itself.
        threshold : float
            The largest distance of a pair.
        embedding_column, id_column
            As for :meth:`transform_delta`, in both tables.
        chunk_size : int
            Rows of table a joined at a time, at most.
        version_a, version_b : int, str or datetime, optional
            As `version` of :meth:`transform_delta`.
        progress : bool or callable
            True for a bar, or a function of (rows of a done, rows of a in all).

        Returns
        -------
        list of (id, id, float)
            Id in a, id in b, Euclidean distance; in the order of the rows of a, then b.

        Raises
        ------
        ParameterError
            If `threshold` is negative or NaN.
        DimensionError
            If the tables differ in dimension.
        TableNotFoundError, ColumnNotFoundError, SparkVectorColumnError, DeltaError, \
InvalidVectorError, BucketRangeError
            As for :meth:`transform_delta`.
        """
        chunk_size = as_count(chunk_size, "chunk_size", 1)
        threshold = as_threshold(threshold)
        left = self._reader(path_a, embedding_column, id_column, version_a)
        right = self._reader(path_b, embedding_column, id_column, version_b)
        with reporting(progress, "joining") as report:
            return list(self._pairs(left, right, threshold, chunk_size, report))

    def _reader(
        self,
        path: TablePath,
        embedding_column: str,
        id_column: str | None,
        version: Version,
    ) -> EmbeddingReader:
        return EmbeddingReader(
            path,
            embedding_column,
            id_column,
            version=version,
            storage_options=self._storage_options,
        )

    def _hash_frames(
        self, reader: EmbeddingReader, chunk_size: int, report: Report | None
    ) -> Iterator["pl.DataFrame"]:
        """Hash a table batch by batch; at least one frame, if need be an empty one."""
        model: BucketedRandomProjectionLSHModel | None = None
        with closing(reader.batches()) as batches:
            for batch in batches:
                if model is None:
                    model = self._lsh.create_model(batch.rows.shape[1])
                hashes = _hash(
                    model, batch.rows, batch.first_row, chunk_size, reader.name
                )
                yield _hash_frame(hashes, batch.ids)
                _report_rows(report, batch, reader)
        if model is None:
            nothing = self._lsh.create_model(1).transform(np.empty((0, 1)))
            yield _hash_frame(nothing, reader.empty_ids())

    def _pairs(
        self,
        left: EmbeddingReader,
        right: EmbeddingReader,
        threshold: float,
        chunk_size: int,
        report: Report | None,
    ) -> Iterator[tuple[Any, Any, float]]:
        right_rows, right_ids = read_all(right)
        if len(right_rows) == 0:
            return
        model = self._lsh.create_model(right_rows.shape[1])
        base = _index(model, right_rows, 0, right.name)
        with closing(left.batches()) as batches:
            for batch in batches:
                _check_same_dim(left, batch.rows, right, right_rows)
                left_ids = id_array(batch.ids)
                for start in range(0, len(batch.rows), chunk_size):
                    rows = batch.rows[start : start + chunk_size]
                    chunk = _index(model, rows, batch.first_row + start, left.name)
                    pairs = chunk.similarity_join(base, threshold=threshold)
                    yield from zip(
                        left_ids[start + pairs.left].tolist(),
                        right_ids[pairs.right].tolist(),
                        pairs.distances.tolist(),
                        strict=True,
                    )
                _report_rows(report, batch, left)

    def _metadata(self, reader: EmbeddingReader) -> dict[str, str]:
        values = {
            "version": __version__,
            "scheme": self.projection,
            "profile": self._lsh.spark_profile,
            "seed": self.seed,
            "bucket_length": self.bucket_length,
            "num_hash_tables": self.num_hash_tables,
            "num_hashes_per_table": self.num_hashes_per_table,
            "source": reader.uri,
            "source_version": reader.version,
        }
        return {f"fast_lsh_ann.{key}": str(value) for key, value in values.items()}


def _hash(
    model: BucketedRandomProjectionLSHModel,
    rows: NDArray[Any],
    first_row: int,
    chunk_size: int,
    name: str,
) -> NDArray[np.int64]:
    """Hash rows whose numbers in errors count from `first_row`."""
    hashes = np.empty((len(rows), *model._hash_shape), dtype=np.int64)
    for start in range(0, len(rows), chunk_size):
        chunk = slice(start, start + chunk_size)
        _core.model_hash(
            model._core, rows[chunk], first_row + start, hashes[chunk], None, name
        )
    return hashes


def _index(
    model: BucketedRandomProjectionLSHModel,
    rows: NDArray[Any],
    first_row: int,
    name: str,
) -> LSHIndex:
    try:
        return LSHIndex(model, rows, name=name)
    except BucketRangeError:
        _hash(model, rows, first_row, len(rows), name)  # names the row of the table
        raise


def _hash_frame(hashes: NDArray[np.int64], ids: "pl.Series") -> "pl.DataFrame":
    import polars as pl

    columns = {
        "_".join(map(str, ("hash", *place))): hashes[:, *place]
        for place in np.ndindex(hashes.shape[1:])
    }
    return pl.DataFrame({**columns, "id": ids})


def _batches_of(frames: Iterator["pl.DataFrame"]) -> Iterator[ArrowBatch]:
    for frame in frames:
        yield frame_batch(frame.rechunk())


def _report_rows(
    report: Report | None, batch: EmbeddingBatch, reader: EmbeddingReader
) -> None:
    if report is not None:
        done = batch.first_row + len(batch.rows)
        report(done, max(done, reader.rows_at_most))


def _check_same_dim(
    left: EmbeddingReader,
    left_rows: NDArray[Any],
    right: EmbeddingReader,
    right_rows: NDArray[Any],
) -> None:
    if left_rows.shape[1] != right_rows.shape[1]:
        raise DimensionError(
            f"embeddings of {left.uri!r} have dimension {left_rows.shape[1]}, "
            f"those of {right.uri!r} {right_rows.shape[1]}; they must agree"
        )


def _location(path: TablePath) -> str:
    """One text for all the ways to write a table's place."""
    uri = os.fspath(path)
    if "://" in uri and not uri.startswith("file://"):
        return uri.rstrip("/")
    return str(Path(uri.removeprefix("file://")).resolve())
