"""From what a caller names to the source it is."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fast_lsh_ann._tables.arrow_source import (
    ArrowFileSource,
    stream_file,
    stream_of_bytes,
    stream_of_object,
)
from fast_lsh_ann._tables.delta import Table, Version, as_options, as_uri, is_local
from fast_lsh_ann._tables.delta_source import DeltaSource
from fast_lsh_ann._tables.files import is_pattern, local_path
from fast_lsh_ann._tables.npy_source import NpySource
from fast_lsh_ann._tables.parquet_source import ParquetSource
from fast_lsh_ann._tables.source import Source
from fast_lsh_ann.errors import (
    InputTypeError,
    ParameterError,
    TableError,
    TableNotFoundError,
)

_PARQUET = ".parquet"
# Kinds of local files, by the ends of their names.
_FILES: dict[str, Callable[..., Source]] = {
    ".arrow": ArrowFileSource,
    ".feather": ArrowFileSource,
    ".ipc": ArrowFileSource,
    ".arrows": stream_file,
    ".npy": NpySource,
}
_ACCEPTED = (
    "a Delta table (a folder, or the URI of an object store), .parquet (a file, a folder "
    "or a pattern of them), .arrow, .feather, .ipc, .arrows, .npy, or an object with "
    "__arrow_c_stream__, such as a polars or pyarrow table"
)


def open_source(
    table: Table,
    *,
    version: Version = None,
    where: str | None = None,
    storage_options: Mapping[str, str] | None = None,
) -> Source:
    """Open a table, a Delta table at one version.

    Parameters
    ----------
    table : str, path-like or object
        Where a table is: a Delta table, Parquet files, an Arrow IPC file or stream, a
        .npy file.  Or an object that hands over an Arrow C stream, or a binary file
        object with an Arrow IPC stream.
    version : int, str or datetime, optional
        Of a Delta table, as for :func:`open_table`.
    where : str, optional
        A condition in SQL over the table's columns, for the rows to read: DataFusion's
        for Delta tables, polars' for all else.
    storage_options : mapping, optional
        Credentials and settings of the object store.

    Raises
    ------
    TableNotFoundError
        If there is nothing, or a folder with nothing that is read.
    TableError
        If it is a file of another kind, or cannot be read.
    ParameterError
        If a version is asked of anything but a Delta table, or `where` is no condition
        for the table's rows.
    InputTypeError
        If it is an object of another kind.
    SparkVectorColumnError, DeltaError, MissingDependencyError, ArrowError
        As the sources raise them.
    """
    options = as_options(storage_options)
    if not isinstance(table, (str, os.PathLike)):
        _refuse_version(version, f"a {type(table).__name__}")
        return _open_object(table, where)
    uri = as_uri(table)
    kind = _kind_of(uri)
    if kind is None:
        return DeltaSource(table, version=version, where=where, storage_options=options)
    _refuse_version(version, repr(uri))
    if kind == _PARQUET:
        return ParquetSource(uri, where=where, storage_options=options)
    return _FILES[kind](uri, where=where)


def _refuse_version(version: Version, what: str) -> None:
    if version is not None:
        raise ParameterError(
            f"version={version!r} was asked of {what}; only Delta tables have versions"
        )


def _open_object(table: Any, where: str | None) -> Source:
    if hasattr(table, "__arrow_c_stream__"):
        return stream_of_object(table, where=where)
    if hasattr(table, "read"):
        return stream_of_bytes(table, where=where)
    raise InputTypeError(
        f"the path of a table must be a str or path-like, got {type(table).__name__}; a "
        f"table itself is an object with __arrow_c_stream__, as polars and pyarrow have"
    )


def _kind_of(uri: str) -> str | None:
    """Tell a table's kind by the end of its name; None for a Delta table."""
    suffix = Path(uri.rstrip("/")).suffix.lower()
    if not is_local(uri):
        if suffix in _FILES:
            raise TableError(
                f"{uri!r}: of an object store Delta tables and .parquet files are read; "
                f"copy it here first"
            )
        return _PARQUET if suffix == _PARQUET else None
    path = local_path(uri)
    if path.is_dir():
        return _kind_of_folder(path)
    if suffix == _PARQUET or is_pattern(uri):
        return _PARQUET
    if suffix not in _FILES and path.exists():
        raise TableError(
            f"{uri!r} is a file of no kind that is read here. A table is one of: "
            f"{_ACCEPTED}; read others with polars, as by pl.read_csv, and pass the frame"
        )
    return suffix if suffix in _FILES else None


def _kind_of_folder(path: Path) -> str | None:
    if (path / "_delta_log").is_dir():
        return None
    if next(path.rglob(f"*{_PARQUET}"), None) is not None:
        return _PARQUET
    there = sorted(item.name for item in path.iterdir())
    raise TableNotFoundError(
        f"no Delta table at {str(path)!r}, and no {_PARQUET} files: the folder holds "
        f"{there[:5]}{' and more' if there[5:] else ''}"
    )
