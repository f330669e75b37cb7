"""Writing a Delta table as one streamed commit that Ctrl-C or an error leaves undone."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from fast_lsh_ann import _core
from fast_lsh_ann._arrow import ArrowBatch, RecordBatchStream
from fast_lsh_ann._log import logger
from fast_lsh_ann._tables.delta import TablePath, as_options, as_uri, delta_error
from fast_lsh_ann._threads import Channel, Worker
from fast_lsh_ann.errors import CancelledError, DeltaError, TableNotFoundError

if TYPE_CHECKING:
    from deltalake import WriterProperties

# Enough for the maker of batches and the writer to overlap.
_BATCHES_AHEAD = 1
# A group of rows is held in memory while it is written, by a writer for each processor,
# and while it is read.
_GROUP_BYTES = 8 << 20


@dataclass(frozen=True)
class VectorLayout:
    """How a table that holds vectors is stored.

    Attributes
    ----------
    plain_columns : sequence of str
        The columns that hold no vectors; the others are stored by byte planes.
    row_bytes : int
        Of the vectors of a row.
    """

    plain_columns: Sequence[str]
    row_bytes: int


def write_batches(
    path: TablePath,
    batches: Iterable[ArrowBatch],
    *,
    metadata: Mapping[str, str] | None = None,
    vectors: VectorLayout | None = None,
    storage_options: Mapping[str, str] | None = None,
) -> None:
    """Replace a table's rows and columns by those of `batches`, in one commit.

    The batches are made in the calling thread, and deltalake pulls them in others.  An
    exception while they are made ends the write without a commit and goes on unchanged;
    files already uploaded stay, unreferenced, until the table is vacuumed.

    Parameters
    ----------
    path : str or path-like
        A folder, or the URI of an object store; the table is created if there is none.
    batches : iterable of record batches
        At least one, all of one schema.  Their order is not kept by the table.
    metadata : mapping, optional
        Goes into the commit.
    vectors : VectorLayout, optional
        Of a table that holds vectors.
    storage_options : mapping, optional
        Credentials and settings of the object store.

    Raises
    ------
    DeltaError
        If the table cannot be written.
    """
    uri = as_uri(path)
    options = as_options(storage_options)
    made = iter(batches)
    first = next(made)
    channel: Channel[_core.ArrowArray] = Channel(_BATCHES_AHEAD)
    stream = RecordBatchStream(first[0], lambda: next(channel, None))

    def write() -> None:
        from deltalake import CommitProperties, write_deltalake

        try:
            write_deltalake(
                uri,
                stream,
                mode="overwrite",
                schema_mode="overwrite",
                storage_options=options,
                writer_properties=_writer_properties(vectors),
                commit_properties=CommitProperties(custom_metadata=dict(metadata or {})),
            )
        finally:
            channel.cancel()

    worker = Worker(write)
    rows = 0
    try:
        worker.start()
        for _, array in chain([first], made):
            rows += _core.array_length(array)
            if not channel.put(array):
                break
        channel.close()
        worker.wait()
    except BaseException as error:
        channel.close(CancelledError(f"the write was given up: {error!r}"))
        worker.wait()
        raise
    _finish(worker, uri)
    logger.info("Delta table %r: %d rows in one commit", uri, rows)


def _finish(worker: Worker[None], uri: str) -> None:
    try:
        worker.result()
    except BaseException as error:
        translated = delta_error(error, uri)
        if translated is None:
            raise
        if isinstance(translated, TableNotFoundError):  # deltalake's word for a folder
            reason = (str(error).splitlines() or [""])[0]
            translated = DeltaError(f"Delta table {uri!r}: {reason}")
        raise DeltaError(f"the write failed: {translated}") from error


def _writer_properties(layout: VectorLayout | None) -> "WriterProperties":
    from deltalake import ColumnProperties, WriterProperties

    if layout is None:
        return WriterProperties(compression="ZSTD")
    # The high bytes of floats repeat; dictionaries and statistics of single coordinates
    # are of no use.  deltalake finds a nested leaf by no name, so these are the defaults.
    vectors = ColumnProperties(
        dictionary_enabled=False, statistics_enabled="NONE", encoding="BYTE_STREAM_SPLIT"
    )
    plain = ColumnProperties(
        dictionary_enabled=False, statistics_enabled="CHUNK", encoding="PLAIN"
    )
    return WriterProperties(
        compression="ZSTD",
        max_row_group_size=max(1, _GROUP_BYTES // layout.row_bytes),
        default_column_properties=vectors,
        column_properties=dict.fromkeys(layout.plain_columns, plain),
    )
