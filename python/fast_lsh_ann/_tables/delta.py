"""Opening Delta tables, and calling deltalake so that its errors carry our names."""

import json
import os
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from fast_lsh_ann._arrow import StreamExportable
from fast_lsh_ann._threads import call_in_thread
from fast_lsh_ann.errors import (
    DeltaError,
    InputTypeError,
    MissingDependencyError,
    ParameterError,
    SparkVectorColumnError,
    TableError,
    TableNotFoundError,
)

if TYPE_CHECKING:
    from deltalake import DeltaTable

T = TypeVar("T")
TablePath: TypeAlias = str | os.PathLike[str]
# What is read: where it is, or an object that hands over an Arrow C stream.
Table: TypeAlias = TablePath | StreamExportable
Version: TypeAlias = int | str | datetime | None


def open_table(
    path: TablePath,
    *,
    version: Version = None,
    storage_options: Mapping[str, str] | None = None,
) -> "DeltaTable":
    """Open a Delta table at one version, which everything read from it stays at.

    Parameters
    ----------
    path : str or path-like
        A folder, or the URI of an object store.
    version : int, str or datetime, optional
        A version number, or a moment: an aware datetime or an RFC 3339 string with its
        offset.  The newest version by default.
    storage_options : mapping, optional
        Credentials and settings of the object store.

    Returns
    -------
    deltalake.DeltaTable

    Raises
    ------
    TableNotFoundError
        If there is no Delta table at `path`.
    SparkVectorColumnError
        If the table has a Spark ML vector column, which deltalake does not open.
    ParameterError, InputTypeError
        If `version` is negative, a moment without an offset, or of another type.
    DeltaError
        If the table cannot be opened for another reason.
    MissingDependencyError
        If deltalake is not installed.
    """
    uri = as_uri(path)
    wanted = checked_version(version)
    options = as_options(storage_options)
    require_delta()

    def load() -> "DeltaTable":
        from deltalake import DeltaTable

        table = DeltaTable(uri, storage_options=options)
        if isinstance(wanted, int) and wanted > table.version():
            raise no_such_version(uri, wanted, table.version())
        if wanted is not None:
            table.load_as_version(wanted)
        return table

    return call_delta(load, uri)


def as_uri(path: Any) -> str:
    """Give a table's path as a string.

    Raises
    ------
    InputTypeError
        If it is neither a string nor path-like.
    ParameterError
        If it is empty, or holds a NUL, which deltalake would drop.
    """
    uri = os.fspath(path) if isinstance(path, (str, os.PathLike)) else None
    if not isinstance(uri, str):
        raise InputTypeError(
            f"the path of a table must be a str or path-like, got {type(path).__name__}"
        )
    if uri == "" or "\0" in uri:
        raise ParameterError(f"the path of a table is empty or holds a NUL: {uri!r}")
    return uri


def as_options(storage_options: Any) -> dict[str, str] | None:
    """Give the settings of a store; InputTypeError unless they map str to str."""
    if storage_options is None:
        return None
    if isinstance(storage_options, Mapping):
        options = dict(storage_options)
        if all(isinstance(part, str) for item in options.items() for part in item):
            return options or None
    raise InputTypeError(
        "storage_options must map str to str, as {'AWS_REGION': 'eu-west-1'}, got "
        f"{type(storage_options).__name__}"
    )


def checked_version(version: Version) -> int | datetime | None:
    """Give a version as a number or an aware moment; see :func:`open_table`."""
    if version is None:
        return None
    if isinstance(version, bool) or not isinstance(version, (int, str, datetime)):
        raise InputTypeError(
            f"version must be an int, an RFC 3339 string or an aware datetime, "
            f"got {type(version).__name__}"
        )
    if isinstance(version, int):
        if version < 0:
            raise ParameterError(f"version must not be negative, got {version}")
        return version
    if isinstance(version, str):
        try:
            version = datetime.fromisoformat(version)
        except ValueError:
            raise ParameterError(
                f"version {version!r} is no RFC 3339 time such as "
                f"'2026-01-31T12:00:00Z'; pass a version number as an int"
            ) from None
    if version.tzinfo is None:
        raise ParameterError(
            f"version {version.isoformat()} has no offset from UTC, so it names no "
            f"moment; append 'Z' or '+00:00', or set tzinfo"
        )
    return version


def no_such_version(uri: str, wanted: int, newest: int) -> DeltaError:
    """Make the error for a version that was not written yet."""
    return DeltaError(
        f"Delta table {uri!r} has no version {wanted}; the newest is {newest}"
    )


def is_local(path: TablePath) -> bool:
    """Tell a folder from the URI of an object store."""
    uri = os.fspath(path)
    return "://" not in uri or uri.startswith("file://")


def location(table: Table) -> str:
    """Give one text for all the ways to write a table's place; one for each object."""
    if not isinstance(table, (str, os.PathLike)):
        return f"object {id(table)}"
    uri = as_uri(table)
    if not is_local(uri):
        return uri.rstrip("/")
    return str(Path(uri.removeprefix("file://")).resolve())


def refuse_input(output_path: TablePath, *inputs: Table) -> None:
    """Refuse to write where a table is read: its embeddings would be lost.

    Raises
    ------
    ParameterError
        If the output is one of the inputs.
    """
    if location(output_path) in map(location, inputs):
        raise ParameterError(
            f"output_path {os.fspath(output_path)!r} is the input table: its embeddings "
            f"would be replaced; name another path"
        )


def require_delta() -> None:
    """Import deltalake and polars, in a thread that Ctrl-C does not interrupt.

    Raises
    ------
    MissingDependencyError
        If one is not installed.
    """
    try:
        call_in_thread(_import_delta)
    except ImportError as error:
        raise MissingDependencyError(
            f"Delta tables need the packages deltalake and polars ({error}); "
            f"install them with: pip install 'fast_lsh_ann[delta]'"
        ) from error


def _import_delta() -> None:
    # polars asks its allocator to give memory back soon; deltalake's hears it only if it
    # is loaded after, and would keep for ten seconds whatever was freed.
    import_polars()
    import deltalake  # noqa: F401


def import_polars() -> None:
    """Import polars; not in the main thread, which Ctrl-C interrupts."""
    import polars as pl

    # polars looks for NumPy when it first meets an array, and panics if that is stopped.
    pl.Series([0]).gather(np.zeros(1, dtype=np.int64))


def call_delta(function: Callable[[], T], uri: str) -> T:
    """Call deltalake in a thread, so that Ctrl-C works, and name its errors."""
    try:
        return call_in_thread(function)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        translated = delta_error(error, uri)
        if translated is None:
            raise
        raise translated from error


def delta_error(error: BaseException, uri: str) -> TableError | None:
    """Give our error for one of deltalake's; None for any other."""
    from deltalake import exceptions

    text = (str(error).splitlines() or [""])[0]
    if isinstance(error, exceptions.TableNotFoundError):
        return TableNotFoundError(f"no Delta table at {uri!r}: {text}")
    if isinstance(error, exceptions.DeltaError) and "'udt'" in str(error):
        return SparkVectorColumnError(vector_advice(uri))
    if type(error).__name__ == "PanicException":
        reason = text.partition(". ")[0]
        return DeltaError(
            f"Delta table {uri!r}: deltalake stopped ({reason}); in a forked process it "
            f"does not work: start processes by spawn or forkserver"
        )
    # Errors of the libraries below deltalake come as bare exceptions.
    if isinstance(error, exceptions.DeltaError) or type(error) in (Exception, OSError):
        return DeltaError(f"Delta table {uri!r}: {text}")
    return None


def vector_advice(uri: str, unread: str = "") -> str:
    """Say what to do with a table of Spark ML vectors; `unread`, why it is not read."""
    columns = _udt_columns(Path(uri.removeprefix("file://")))
    name = columns[0] if columns else "features"
    named = f"columns {columns}" if columns else "a column"
    why = unread or (
        "methods that read embeddings open it in a local folder, nothing else does"
    )
    return (
        f"Delta table {uri!r} holds Spark ML vectors in {named}: {why}; otherwise "
        f"rewrite the table in Spark as arrays, after dropping rows that are null: "
        f'df.dropna(subset=["{name}"])'
        f'.withColumn("{name}", vector_to_array("{name}", "float32"))'
    )


def _udt_columns(folder: Path) -> list[str]:
    """Names of the Spark vector columns in a local log; empty when it cannot tell."""
    try:
        for log in sorted(folder.glob("_delta_log/*.json"), reverse=True):
            for line in log.read_text(encoding="utf-8").splitlines():
                metadata = json.loads(line).get("metaData")
                if metadata:
                    fields = json.loads(metadata["schemaString"])["fields"]
                    return [f["name"] for f in fields if '"udt"' in json.dumps(f)]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return []
