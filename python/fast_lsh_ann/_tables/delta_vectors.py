"""Opening Delta tables for reading, those with Spark ML vectors by a copy of their log.

deltalake refuses a schema with a user-defined type.  What is stored is an ordinary
struct, so a copy of the log that names the struct, and the files where they are, opens.
The copy begins with the checkpoint before the version, written as a commit of JSON, for
nothing at hand writes a checkpoint; so its versions count from there.
"""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fast_lsh_ann._tables.delta import (
    TablePath,
    Version,
    call_delta,
    checked_version,
    is_local,
    location,
    open_table,
    vector_advice,
)
from fast_lsh_ann._tables.delta_actions import moved_action
from fast_lsh_ann._tables.delta_log import DeltaLog
from fast_lsh_ann.errors import FastLSHError, SparkVectorColumnError

if TYPE_CHECKING:
    from deltalake import DeltaTable

# VectorUDT.sqlType in Spark's source: name, type, type of elements.
_VECTOR_FIELDS = [
    ("type", "byte", None),
    ("size", "integer", None),
    ("indices", "array", "integer"),
    ("values", "array", "double"),
]


@dataclass(frozen=True)
class PinnedTable:
    """A table opened at one version.

    Attributes
    ----------
    table : deltalake.DeltaTable
        To read from; its own number of the version may be another.
    version : int
        The version.
    copied : bool
        Whether only this object opens the table, by a copy of its log.
    """

    table: "DeltaTable"
    version: int
    copied: bool


def open_pinned(
    path: TablePath,
    *,
    version: Version = None,
    storage_options: Mapping[str, str] | None = None,
) -> PinnedTable:
    """Open a table for reading at one version; a local one may hold Spark ML vectors.

    Parameters, and errors but one, are those of :func:`open_table`.

    Raises
    ------
    SparkVectorColumnError
        If a table with Spark ML vectors is in an object store, or its log cannot be
        copied.
    """
    try:
        table = open_table(path, version=version, storage_options=storage_options)
    except SparkVectorColumnError:
        if not is_local(path):
            raise
    else:
        return PinnedTable(table, table.version(), copied=False)
    wanted = checked_version(version)
    uri = os.fspath(path)
    return call_delta(lambda: _open_copy(uri, wanted), uri)


def _open_copy(uri: str, wanted: int | datetime | None) -> PinnedTable:
    """Open a table by a copy of its log, which is gone when this returns or raises."""
    from deltalake import DeltaTable

    folder = Path(location(uri))
    try:
        log = DeltaLog(folder / "_delta_log")
        version = log.resolve(wanted, uri)
        with tempfile.TemporaryDirectory(prefix="fast_lsh_ann_") as copy:
            (Path(copy) / "_delta_log").mkdir()
            for number, actions in enumerate(log.commits(version)):
                _write_commit(Path(copy), number, actions, folder)
            return PinnedTable(DeltaTable(copy), version, copied=True)
    except FastLSHError:
        raise
    except Exception as error:  # polars and deltalake have many classes of their own
        reason = (str(error).splitlines() or [""])[0]
        unread = f"its log cannot be read ({reason})"
        raise SparkVectorColumnError(vector_advice(uri, unread)) from error


def _write_commit(
    copy: Path, number: int, actions: Iterator[dict[str, Any]], folder: Path
) -> None:
    with (copy / "_delta_log" / f"{number:020}.json").open("x", encoding="utf-8") as file:
        for action in actions:
            if moved := moved_action(action, folder):
                file.write(json.dumps(moved) + "\n")


def is_vector(kind: Any) -> bool:
    """Tell whether a column's type is the one that Spark ML's vectors are stored as."""
    fields = [
        (field.name, field.type.type, _element(field.type))
        for field in getattr(kind, "fields", ())
    ]
    return fields == _VECTOR_FIELDS


def _element(kind: Any) -> str | None:
    element: str | None = getattr(getattr(kind, "element_type", None), "type", None)
    return element
