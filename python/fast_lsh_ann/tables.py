"""Any table, written: into Delta tables, Parquet files, Arrow files and streams."""

import os
from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

from fast_lsh_ann._arrow import RecordBatchStream, StreamExportable, frame_batch
from fast_lsh_ann._streamed.incoming import Incoming
from fast_lsh_ann._tables.arrow_files import pieces_of, require_arrow, write_stream
from fast_lsh_ann._tables.delta import TablePath, is_local
from fast_lsh_ann._tables.delta_write import write_batches
from fast_lsh_ann._tables.layout import GROUP_BYTES, TableLayout
from fast_lsh_ann._tables.local_file import refuse_existing, whole_file
from fast_lsh_ann._tables.output import Mode, Output, file_kind
from fast_lsh_ann._tables.pump import pump
from fast_lsh_ann._tables.report import WriteReport
from fast_lsh_ann._tables.scheme import prefixed
from fast_lsh_ann.errors import InputTypeError, ParameterError, TableError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["WriteReport", "write_table"]

OutputPlace: TypeAlias = TablePath | IO[bytes]


def write_table(
    table: StreamExportable,
    output: OutputPlace,
    *,
    mode: Mode = "error",
    job_id: str | None = None,
    metadata: Mapping[str, object] | None = None,
    storage_options: Mapping[str, str] | None = None,
) -> WriteReport:
    """Write a table, whole or not at all.

    It is read batch by batch, and no more of it is held than some batches and a group of
    rows.  An error, Ctrl-C or the end of the process leaves what was there before: a
    Delta table gets one commit, a file its name when it is complete and on the disk.

    Parameters
    ----------
    table : object
        Anything that gives an Arrow C stream: a frame of polars or pandas, a relation of
        DuckDB, a table or reader of pyarrow, answers of this package.
    output : str, path-like or binary file
        A path that ends in ``.parquet`` is a Parquet file, in ``.arrow``, ``.feather`` or
        ``.ipc`` an Arrow IPC file, in ``.arrows`` an Arrow IPC stream; these are local.
        Any other is a Delta table: a folder, or the URI of an object store.  A binary
        file, such as ``sys.stdout.buffer``, gets an Arrow IPC stream as it comes.
    mode : {"error", "append", "overwrite"}
        What to do where there is something: refuse, add rows to it, or replace it.  Rows
        are added to Delta tables only, which must have the same columns.
    job_id : str, optional
        Names the work, for Delta tables: where the table has the rows of this job
        already, nothing is read and the report says so.
    metadata : mapping, optional
        Goes into the commit, or the schema of a file, with "fast_lsh_ann." before each
        key.
    storage_options : mapping, optional
        Credentials and settings of the object store.

    Returns
    -------
    WriteReport

    Raises
    ------
    TableExistsError
        If there is something, with mode "error", or if it was made meanwhile.
    TableSchemaError
        If the Delta table has other columns, with mode "append".
    TableError, DeltaError
        If it cannot be written; the message has the reason.
    ArrowError
        If the table cannot be read.
    InputTypeError, ParameterError
        If an argument is of the wrong type, or not possible with this output.
    MissingDependencyError
        If the packages for the output are not installed: ``[delta]`` or ``[arrow]``.

    Notes
    -----
    Parquet files are compressed by Zstandard, in groups of at most 8 MiB or a million
    rows, in encodings that every Spark reads.  A process that is killed may leave a
    folder ``.fast_lsh_ann-unfinished-*`` beside the file, which can be deleted.

    Examples
    --------
    >>> import polars as pl
    >>> from fast_lsh_ann.tables import write_table
    >>> frame = pl.DataFrame({"id": [1, 2], "embedding": [[0.5, 1.5], [2.5, 3.5]]})
    >>> write_table(frame, "vectors.parquet").rows
    2
    >>> report = write_table(frame, "vectors", mode="append", job_id="first")
    >>> write_table(frame, "vectors", mode="append", job_id="first").skipped
    True
    """
    if not hasattr(table, "__arrow_c_stream__"):
        raise InputTypeError(
            f"table must give an Arrow C stream, as frames of polars and tables of "
            f"pyarrow do, got {type(table).__name__}"
        )
    values = prefixed(_checked(metadata))
    if not isinstance(output, (str, os.PathLike)):
        _require_file(output)
        target = Output("stream", mode, job_id, storage_options)
        _refuse_delta_only(target, "a binary file")
        return _write_into(table, output, target, values)
    target = Output(output, mode, job_id, storage_options)
    kind = file_kind(target.uri)
    if kind is None:
        return _write_delta(table, target, values)
    _refuse_delta_only(target, f"the file {target.uri!r}")
    return _write_file(table, target, kind, values)


def _require_file(output: Any) -> None:
    if not callable(getattr(output, "write", None)):
        raise InputTypeError(
            f"output must be a str, path-like or binary file, got {type(output).__name__}"
        )


def _checked(metadata: Any) -> Mapping[str, object]:
    if metadata is not None and not isinstance(metadata, Mapping):
        raise InputTypeError(
            f"metadata must map names to values, got {type(metadata).__name__}"
        )
    return metadata or {}


def _refuse_delta_only(target: Output, what: str) -> None:
    """Refuse what a file cannot do."""
    if target.mode == "append":
        raise ParameterError(
            f"mode='append' adds rows to Delta tables, not to {what}; name another "
            f"file, or pass mode='overwrite'"
        )
    if target.job_id is not None:
        raise ParameterError(
            f"job_id={target.job_id!r} is kept by Delta tables, not by {what}; leave it "
            f"out, or name a Delta table"
        )


# ---- files -----------------------------------------------------------------------------


def _write_file(
    table: StreamExportable, target: Output, kind: str, metadata: Mapping[str, str]
) -> WriteReport:
    if not is_local(target.uri):
        raise ParameterError(
            f"files are written to local folders, and {target.uri!r} is an object store; "
            f"write a Delta table there: leave the suffix out"
        )
    path = Path(target.uri.removeprefix("file://"))
    if path.is_dir():
        raise TableError(f"{str(path)!r} is a folder; name a file in it")
    if target.mode == "error":
        refuse_existing(path)
    require_arrow()

    def write(stream: RecordBatchStream) -> None:
        with whole_file(path, replace=target.mode == "overwrite") as file:
            write_stream(kind, stream, file)

    return _written(table, target, write, metadata)


def _write_into(
    table: StreamExportable,
    file: IO[bytes],
    target: Output,
    metadata: Mapping[str, str],
) -> WriteReport:
    require_arrow()

    def write(stream: RecordBatchStream) -> None:
        write_stream("arrows", stream, file)
        file.flush()

    return _written(table, target, write, metadata)


def _written(
    table: StreamExportable,
    target: Output,
    write: Callable[[RecordBatchStream], None],
    metadata: Mapping[str, str],
) -> WriteReport:
    with Incoming(table) as incoming:
        schema, arrays = pieces_of(incoming.schema, incoming.batches, metadata)
        rows, writer = pump(schema, arrays, write)
    writer.result()
    return target.report(None, rows)


# ---- Delta tables ----------------------------------------------------------------------


def _write_delta(
    table: StreamExportable, target: Output, metadata: Mapping[str, str]
) -> WriteReport:
    if (done := target.check()) is not None:
        return done
    with Incoming(table) as incoming:
        if (done := target.check(frame_batch(incoming.no_rows))) is not None:
            return done
        frames = incoming.frames(GROUP_BYTES)
        first = next(frames)
        return write_batches(
            target,
            map(frame_batch, chain([first], frames)),
            metadata=metadata,
            layout=_layout(first),
        )


def _layout(frame: "pl.DataFrame") -> TableLayout:
    """Find the columns of vectors; what a row takes, by the first ones."""
    import polars as pl

    row_bytes = max(1, int(frame.estimated_size()) // max(1, frame.height))
    plain = [name for name, kind in frame.schema.items() if not kind.is_nested()]
    vectors = [
        name
        for name, kind in frame.schema.items()
        if isinstance(kind, pl.List) and kind.inner in (pl.Float32, pl.Float64)
    ]
    if not vectors or len(plain) + len(vectors) < frame.width:
        return TableLayout(row_bytes)
    return TableLayout(row_bytes, plain, vectors=True)
