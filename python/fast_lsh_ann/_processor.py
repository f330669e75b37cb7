"""What processors of Delta tables share: parameters, reading, hashing, joining."""

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fast_lsh_ann import _core
from fast_lsh_ann._arrow import ArrowBatch, frame_batch
from fast_lsh_ann._inputs import as_threshold
from fast_lsh_ann._invalid import OnInvalid, as_skip
from fast_lsh_ann._parameters import HasParameters
from fast_lsh_ann._progress import Progress, Report, reporting
from fast_lsh_ann._search import JoinTerms
from fast_lsh_ann._streamed.join import TableJoin
from fast_lsh_ann._streamed.memory import working_limit
from fast_lsh_ann._streamed.neighbor_request import NeighborRequest
from fast_lsh_ann._streamed.neighbors import NeighborSearch
from fast_lsh_ann._streamed.residents import Engine
from fast_lsh_ann._tables.delta import (
    Table,
    TablePath,
    Version,
    as_options,
    location,
    refuse_input,
)
from fast_lsh_ann._tables.delta_write import write_batches
from fast_lsh_ann._tables.embeddings import EmbeddingBatch, EmbeddingReader
from fast_lsh_ann._tables.layout import TableLayout
from fast_lsh_ann._tables.opening import open_source
from fast_lsh_ann._tables.output import Output
from fast_lsh_ann._tables.report import WriteReport
from fast_lsh_ann._tables.scheme import (
    HashScheme,
    prefixed,
    read_hash_scheme,
    scheme_to_append_to,
)
from fast_lsh_ann.errors import DimensionError, ParameterError
from fast_lsh_ann.model import (
    BucketedRandomProjectionLSH,
    BucketedRandomProjectionLSHModel,
)

if TYPE_CHECKING:
    import polars as pl

# An Arrow list counts its values in 32 bits; smaller batches also wait in less memory.
_BATCH_VALUES = 1 << 22

Hashed: TypeAlias = tuple[EmbeddingBatch, NDArray[np.int64]]


class DeltaProcessor(HasParameters):
    """The base of processors: an estimator and the store of its tables.

    Parameters
    ----------
    lsh : BucketedRandomProjectionLSH
        The parameters of what is computed.
    storage_options : mapping or None
        Credentials and settings of the object store.
    dim : int, optional
        The dimension that embeddings must have.
    """

    def __init__(
        self,
        lsh: BucketedRandomProjectionLSH,
        storage_options: Mapping[str, str] | None,
        dim: int | None = None,
    ) -> None:
        self._lsh = lsh
        self._storage_options = as_options(storage_options)
        self._dim = dim

    @property
    def seed(self) -> int:
        """Seed of the random projections."""
        return self._lsh.seed

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._lsh._parameters()})"

    def check_scheme(self, path: TablePath, *, version: Version = None) -> HashScheme:
        """Refuse a table of hashes that were not made with this object's parameters.

        To be called before its hashes are used beside others: buckets of different
        schemes look alike and mean nothing to each other.

        Parameters
        ----------
        path : str or path-like
            A table of hashes.
        version : int, str or datetime, optional
            A version number, or a moment: an aware datetime or an RFC 3339 string.

        Returns
        -------
        HashScheme
            How the table was hashed, as `delta_utils.read_hash_scheme` tells.

        Raises
        ------
        SchemeMismatchError
            If the table was hashed with other parameters.
        TableNotFoundError, DeltaError
            If there is no such table, or its commits do not say how it was hashed.
        """
        found = read_hash_scheme(
            path, version=version, storage_options=self._storage_options
        )
        mine = HashScheme.of(self._lsh, self._dim)
        mine.require_same(found, f"the hashes in {str(path)!r}")
        return found

    def _reader(
        self,
        path: Table,
        embedding_column: str,
        id_column: str | None,
        version: Version,
        on_invalid: OnInvalid,
        where: str | None = None,
    ) -> EmbeddingReader:
        skip = as_skip(on_invalid)
        options = self._storage_options
        source = open_source(path, version=version, where=where, storage_options=options)
        return EmbeddingReader(source, embedding_column, id_column, skip=skip)

    def _model(self, reader: EmbeddingReader) -> BucketedRandomProjectionLSHModel:
        """Make the model for what a reader, of which a row was read, gives."""
        return self._lsh.create_model(self._checked_dim(reader))

    def _checked_dim(self, reader: EmbeddingReader) -> int:
        """Tell the dimension of what a reader, of which a row was read, gives.

        Raises
        ------
        DimensionError
            If another one was asked for.
        """
        if reader.dim is None:
            raise ValueError("no row was read")
        if self._dim not in (None, reader.dim):
            raise DimensionError(
                f"{reader.name} has embeddings of dimension {reader.dim}, "
                f"but dim={self._dim} was asked for"
            )
        return reader.dim

    def _neighbor_search(
        self, request: NeighborRequest, memory_limit: int | None, *, written: bool
    ) -> NeighborSearch:
        """Open the tables of a search; :class:`NeighborRequest` says what it raises."""
        terms = request.terms(self._lsh)
        queries, base = request.open(self._storage_options)
        limit = working_limit(memory_limit)
        return NeighborSearch(
            queries, base, self._checked_dim, terms, limit, written=written
        )

    def _hashed(
        self, reader: EmbeddingReader, chunk_size: int
    ) -> Generator[Hashed, None, None]:
        """Hash a table chunk by chunk."""
        model: BucketedRandomProjectionLSHModel | None = None
        with closing(reader.chunks(chunk_size)) as chunks:
            for chunk in chunks:
                model = model or self._model(reader)
                hashes = np.empty((len(chunk.rows), *model._hash_shape), dtype=np.int64)
                with chunk.table_numbers():
                    _core.model_hash(
                        model._core, chunk.rows, chunk.place, hashes, None, reader.name
                    )
                yield chunk, hashes

    def _hash_frames(
        self, reader: EmbeddingReader, chunk_size: int, report: Report | None
    ) -> Generator[tuple["pl.DataFrame", EmbeddingBatch], None, None]:
        """Hash a table into frames, with their rows; at least one, maybe an empty one."""
        with closing(self._hashed(reader, chunk_size)) as hashed:
            for chunk, hashes in hashed:
                yield _hash_frame(hashes, chunk.ids), chunk
                report_rows(report, chunk, reader)
        if reader.dim is None:
            yield self._no_hashes(reader)

    def _no_hashes(
        self, reader: EmbeddingReader
    ) -> tuple["pl.DataFrame", EmbeddingBatch]:
        nothing = reader.no_rows(1)
        no_hashes = self._lsh.create_model(1).transform(nothing.rows)
        return _hash_frame(no_hashes, nothing.ids), nothing

    def _hash_to_table(
        self,
        reader: EmbeddingReader,
        output: Output,
        chunk_size: int,
        progress: Progress,
        embedding_column: str | None = None,
    ) -> WriteReport:
        """Write the hashes of a table into another, in one commit.

        The embeddings come along under a name, if one is given.
        """
        refuse_input(output.path, reader.source.uri)
        shape = self._lsh.create_model(1)._hash_shape
        plain = [*_hash_names(shape), "id"]
        if embedding_column is not None and embedding_column.lower() in plain:
            raise ParameterError(
                f"the embedding column {embedding_column!r} has the name of a column of "
                f"hashes or ids in the output; rename it, or leave the embeddings out"
            )
        if (done := output.check()) is not None:
            return done
        appended = self._scheme_to_append(output, reader, embedding_column)
        skipped = reader.count_skipped()
        with (
            reporting(progress, "hashing") as report,
            closing(self._hash_frames(reader, chunk_size, report)) as frames,
        ):
            batches = chain.from_iterable(
                _table_batches(frame, chunk.rows, embedding_column)
                for frame, chunk in frames
            )
            first = next(batches)  # from here on the dimension is known
            scheme = HashScheme.of(self._lsh, reader.dim, skipped)
            if appended is not None:
                scheme.require_same(appended, f"the hashes in {output.uri!r}")
            row_bytes = (reader.dim or 1) * reader.dtype.itemsize
            beside = TableLayout(row_bytes, plain, vectors=True)
            return write_batches(
                output,
                chain([first], batches),
                metadata={**scheme.metadata(), **_sources(reader)},
                layout=beside if embedding_column else TableLayout(),
            )

    def _scheme_to_append(
        self, output: Output, reader: EmbeddingReader, embedding_column: str | None
    ) -> HashScheme | None:
        """Give the scheme of the rows that hashes shall be appended to, if there are any.

        Raises
        ------
        SchemeMismatchError, DeltaError
            If its rows were hashed otherwise, or it does not say how.
        TableSchemaError
            If its columns are others.
        """
        table = output.open() if output.mode == "append" else None
        if table is None:
            return None
        found = scheme_to_append_to(table, output.uri)
        if found is not None:
            mine = HashScheme.of(self._lsh, self._dim)
            mine.require_same(found, f"the hashes in {output.uri!r}")
        nothing = self._no_hashes(reader)
        batch = next(_table_batches(nothing[0], nothing[1].rows, embedding_column))
        output.check_table(table, batch)
        return found

    def _join(
        self,
        paths: tuple[Table, Table],
        threshold: float,
        embedding_column: str,
        id_column: str | None,
        chunk_size: int,
        versions: tuple[Version, Version],
        on_invalid: OnInvalid,
        where: tuple[str | None, str | None] = (None, None),
    ) -> TableJoin:
        """Open the tables of a join; one table, of no given versions, at one version."""
        limit = as_threshold(threshold)
        columns = (embedding_column, id_column)
        left = self._reader(paths[0], *columns, versions[0], on_invalid, where[0])
        pinned = versions[1]
        if versions == (None, None) and location(paths[0]) == location(paths[1]):
            pinned = left.source.version
        right = self._reader(paths[1], *columns, pinned, on_invalid, where[1])
        terms = JoinTerms(limit, 1, strict=False, upper=False)
        return TableJoin(left, right, Engine(self._model, terms), chunk_size)


def _sources(reader: EmbeddingReader) -> dict[str, str]:
    """Tell a commit of hashes what they are of."""
    source = {"source": reader.source.uri, "source_version": reader.source.version}
    if reader.source.where is not None:
        source["where"] = reader.source.where
    return prefixed({"operation": "transform", **source})


def _hash_names(shape: tuple[int, ...]) -> list[str]:
    """Name the columns of a row's hashes: by table, or by table and hash."""
    return ["_".join(map(str, ("hash", *place))) for place in np.ndindex(shape)]


def _hash_frame(hashes: NDArray[np.int64], ids: "pl.Series") -> "pl.DataFrame":
    import polars as pl

    names = _hash_names(hashes.shape[1:])
    columns = dict(zip(names, hashes.reshape(-1, len(names)).T, strict=True))
    return pl.DataFrame({**columns, "id": ids}).rechunk()


def _table_batches(
    frame: "pl.DataFrame", rows: NDArray[Any], embedding_column: str | None
) -> Iterator[ArrowBatch]:
    """Give hashes, and their rows if these are to be written, as batches of a table."""
    if embedding_column is None:
        yield frame_batch(frame)
        return
    most = max(1, _BATCH_VALUES // rows.shape[1])
    for start in range(0, max(1, len(rows)), most):
        vectors = (embedding_column, rows[start : start + most])
        yield frame_batch(frame.slice(start, most), vectors)


def report_rows(
    report: Report | None, chunk: EmbeddingBatch, reader: EmbeddingReader
) -> None:
    """Report that a table was worked through up to the end of a chunk."""
    if report is not None:
        done = chunk.rows_done
        report(done, max(done, reader.rows_at_most or 0))
