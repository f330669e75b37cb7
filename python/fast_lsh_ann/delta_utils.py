"""Reading embeddings from Delta tables, and a sample table to try things on."""

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fast_lsh_ann._arrow import ArrowBatch, RecordBatch
from fast_lsh_ann._inputs import as_count
from fast_lsh_ann._invalid import OnInvalid, as_skip
from fast_lsh_ann._tables.delta import (
    TablePath,
    Version,
    as_options,
    open_table,
    vector_advice,
)
from fast_lsh_ann._tables.delta_source import DeltaSource
from fast_lsh_ann._tables.delta_write import write_batches
from fast_lsh_ann._tables.embeddings import EmbeddingReader, id_array
from fast_lsh_ann._tables.layout import TableLayout
from fast_lsh_ann._tables.output import Output
from fast_lsh_ann._tables.scheme import HashScheme, read_hash_scheme
from fast_lsh_ann.delta import DeltaLSHProcessor
from fast_lsh_ann.errors import SparkVectorColumnError

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "DeltaLSHProcessor",
    "HashScheme",
    "create_sample_delta",
    "open_table",
    "read_delta_embeddings",
    "read_delta_embeddings_chunked",
    "read_delta_lazy",
    "read_hash_scheme",
]

_SAMPLE_VALUES = 1 << 20  # written at once, which Ctrl-C waits for
_MOST_DIM = 1 << 26  # of a model


# ---- reading --------------------------------------------------------------------------


def read_delta_embeddings(
    path: TablePath,
    embedding_column: str = "embedding",
    id_column: str | None = None,
    *,
    version: Version = None,
    where: str | None = None,
    on_invalid: OnInvalid = "raise",
    storage_options: Mapping[str, str] | None = None,
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Read an embedding column of a Delta table into memory.

    Rows come in the order of the version's log: newest files first.  That order is fixed
    for one version and says nothing about another, so ask for ids to name rows.

    Parameters
    ----------
    path : str or path-like
        A folder, or the URI of an object store.
    embedding_column : str
        A column of arrays of floats or integers, or of Spark ML vectors.
    id_column : str, optional
        A column of any type without nulls.
    version : int, str or datetime, optional
        A version number, or a moment: an aware datetime or an RFC 3339 string with its
        offset.  The newest version by default.
    where : str, optional
        A condition in SQL over the table's columns, such as ``"country = 'fr'"``:
        rows that do not pass it are not read, and row numbers count those that do.
    on_invalid : {"raise", "skip"}
        What to do with rows that are null, hold null, NaN or infinity, or are of another
        length than the first valid row: raise, or leave them out.  How many were left out
        is logged as a warning by the logger ``fast_lsh_ann``.
    storage_options : mapping, optional
        Credentials and settings of the object store.

    Returns
    -------
    embeddings : ndarray
        `[n, dim]`, float32 for elements of float, byte and short, else float64; `[0, 0]`
        for an empty table.
    ids : ndarray or None
        `[n]`, int64 for integer ids, else Python objects.  Without `id_column` None, or
        with ``on_invalid="skip"`` row numbers.

    Raises
    ------
    TableNotFoundError, ColumnNotFoundError, SparkVectorColumnError, DeltaError
        If the table or a column is missing or cannot be read, or an id is null.
    ParameterError
        If `where` is no condition for the table's rows.
    InvalidVectorError
        If a row is null or of another length than the first, or holds null, NaN or
        infinity, unless such rows are skipped.
    """
    skip = as_skip(on_invalid)
    source = DeltaSource(
        path, version=version, where=where, storage_options=storage_options
    )
    reader = EmbeddingReader(source, embedding_column, id_column, skip=skip)
    table = reader.whole()
    ids = id_array(table.ids) if reader.names_rows else None
    return _writable(table.rows), ids


def read_delta_embeddings_chunked(
    path: TablePath,
    embedding_column: str = "embedding",
    id_column: str | None = None,
    chunk_size: int = 10000,
    *,
    version: Version = None,
    where: str | None = None,
    on_invalid: OnInvalid = "raise",
    storage_options: Mapping[str, str] | None = None,
) -> Generator[tuple[NDArray[Any], NDArray[Any] | None, int], None, None]:
    """Read an embedding column of a Delta table in chunks, of which one is held.

    The table is opened, and its columns checked, at once; rows are read as chunks are
    asked for.  Their order is that of :func:`read_delta_embeddings`.

    Parameters
    ----------
    path, embedding_column, id_column, version, where, on_invalid, storage_options
        As for :func:`read_delta_embeddings`.
    chunk_size : int
        Rows of a chunk, not counting those left out; the last one may have fewer.

    Yields
    ------
    embeddings : ndarray
        `[n, dim]`, of the type that :func:`read_delta_embeddings` gives.
    ids : ndarray or None
        `[n]`, int64 for integer ids, else Python objects.  Without `id_column` None, or
        with ``on_invalid="skip"`` row numbers.
    start : int
        Number of the first row.

    Raises
    ------
    InputTypeError, ParameterError
        If `chunk_size` is not a whole number of at least 1, or `where` no condition for
        the table's rows.
    TableNotFoundError, ColumnNotFoundError, SparkVectorColumnError, DeltaError, \
InvalidVectorError
        As for :func:`read_delta_embeddings`.

    Examples
    --------
    >>> from fast_lsh_ann import create_sample_delta, read_delta_embeddings_chunked
    >>> create_sample_delta("vectors", n_vectors=2500, dim=8)
    >>> for rows, ids, start in read_delta_embeddings_chunked("vectors", chunk_size=1000):
    ...     print(start, rows.shape, rows.dtype)
    0 (1000, 8) float32
    1000 (1000, 8) float32
    2000 (500, 8) float32
    """
    size = as_count(chunk_size, "chunk_size", 1)
    skip = as_skip(on_invalid)
    source = DeltaSource(
        path, version=version, where=where, storage_options=storage_options
    )
    reader = EmbeddingReader(source, embedding_column, id_column, skip=skip)
    return _chunks(reader, size)


def _chunks(
    reader: EmbeddingReader, size: int
) -> Generator[tuple[NDArray[Any], NDArray[Any] | None, int], None, None]:
    with closing(reader.chunks(size)) as chunks:
        for chunk in chunks:
            ids = id_array(chunk.ids) if reader.names_rows else None
            yield _writable(chunk.rows), ids, chunk.first_row


def _writable(rows: NDArray[Any]) -> NDArray[Any]:
    """Copy rows that still lie in the reader's memory, so that all behave alike."""
    return np.require(rows, requirements="W")


def read_delta_lazy(
    path: TablePath,
    embedding_column: str = "embedding",
    id_column: str | None = None,
    row_limit: int | None = None,
    *,
    version: Version = None,
    storage_options: Mapping[str, str] | None = None,
) -> "pl.LazyFrame":
    """Scan an embedding column of a Delta table with polars, for a query of one's own.

    Parameters
    ----------
    path, embedding_column, id_column, version, storage_options
        As for :func:`read_delta_embeddings`.
    row_limit : int, optional
        The most rows of the result.

    Returns
    -------
    polars.LazyFrame
        The two columns, or the one, of the pinned version; polars reads and checks them
        as it collects, nulls and lengths of rows not at all.  There is no `where`, whose
        SQL is DataFusion's: the frame's own `filter` is asked of the reader too.

    Raises
    ------
    InputTypeError, ParameterError
        If `row_limit` is not a whole number of at least 0.
    TableNotFoundError, ColumnNotFoundError, SparkVectorColumnError, DeltaError
        If the table or a column is missing, or the table cannot be opened; also if it
        holds Spark ML vectors, which polars does not read.
    """
    limit = None if row_limit is None else as_count(row_limit, "row_limit", 0)
    source = DeltaSource(path, version=version, storage_options=storage_options)
    EmbeddingReader(source, embedding_column, id_column)  # checks the columns
    if source.copied:
        raise SparkVectorColumnError(vector_advice(source.uri))
    import polars as pl

    columns = [c for c in (embedding_column, id_column) if c is not None]
    options = as_options(storage_options)
    frame = pl.scan_delta(source.uri, version=source.version, storage_options=options)
    frame = frame.select(columns)
    return frame if limit is None else frame.limit(limit)


# ---- a sample -------------------------------------------------------------------------


def create_sample_delta(
    path: TablePath, n_vectors: int = 10000, dim: int = 128, seed: int = 42
) -> None:
    """Write a Delta table of random vectors: `id` int64, `embedding` array<float>.

    The values are standard normal and a function of `seed`, `dim` and the row alone.  A
    table that is already at `path` is overwritten.

    Parameters
    ----------
    path : str or path-like
        A folder, or the URI of an object store.
    n_vectors : int
        Rows; 0 gives an empty table.
    dim : int
        Coordinates of a row.
    seed : int
        Of a generator of its own; NumPy's global one is left alone.

    Raises
    ------
    InputTypeError, ParameterError
        If they are no whole numbers, `n_vectors` or `seed` is negative, or `dim` is not
        from 1 to 2^26.
    DeltaError
        If the table cannot be written.
    """
    n_vectors = as_count(n_vectors, "n_vectors", 0, 2**63 - 1)
    dim = as_count(dim, "dim", 1, _MOST_DIM)
    seed = as_count(seed, "seed", 0, 2**63 - 1)
    output = Output(path, "overwrite")
    output.check()
    generator = np.random.default_rng(seed)

    def batches() -> Iterator[ArrowBatch]:
        step = max(1, _SAMPLE_VALUES // dim)
        for start in range(0, max(n_vectors, 1), step):
            ids = np.arange(start, min(start + step, n_vectors))
            rows = generator.standard_normal((len(ids), dim), dtype=np.float32)
            batch = RecordBatch([("id", ids), ("embedding", rows)])
            yield batch.__arrow_c_array__()

    layout = TableLayout(dim * np.dtype(np.float32).itemsize, ["id"], vectors=True)
    write_batches(output, batches(), layout=layout)
