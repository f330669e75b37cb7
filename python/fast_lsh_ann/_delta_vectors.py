"""Opening Delta tables for reading, those with Spark ML vectors by a copy of their log.

deltalake refuses a schema with a user-defined type.  What is stored is an ordinary
struct, so a copy of the log that names the struct, and the files where they are, opens.
The copy begins with the checkpoint before the version, written as a commit of JSON, for
nothing at hand writes a checkpoint; so its versions count from there.
"""

import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fast_lsh_ann._delta import (
    TablePath,
    Version,
    call_delta,
    checked_version,
    is_local,
    location,
    no_such_version,
    open_table,
    vector_advice,
)
from fast_lsh_ann._delta_actions import moved_action
from fast_lsh_ann.errors import DeltaError, FastLSHError, SparkVectorColumnError

if TYPE_CHECKING:
    from deltalake import DeltaTable

_COMMIT = re.compile(r"(\d{20})\.json")
# One file, a part of several, or the V2 form with a UUID: Delta protocol, "Checkpoints".
_CHECKPOINT = re.compile(
    r"(\d{20})\.checkpoint(?:\.\d{10}\.(\d{10})\.parquet|(?:\.[0-9a-f-]{36})?"
    r"\.(?:parquet|json))"
)

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
        log = _Log(folder / "_delta_log")
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


class _Log:
    """What is in the folder of a log, as far as reading needs it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._commits: set[int] = set()
        checkpoints: dict[int, list[Path]] = {}
        for file in sorted(folder.iterdir()):
            if found := _COMMIT.fullmatch(file.name):
                self._commits.add(int(found[1]))
            elif found := _CHECKPOINT.fullmatch(file.name):
                checkpoints.setdefault(int(found[1]), []).append(file)
        self._checkpoints = {
            version: files
            for version, found_files in checkpoints.items()
            if (files := _complete(found_files))
        }

    def resolve(self, wanted: int | datetime | None, uri: str) -> int:
        """Give the number of the version that was asked for."""
        versions = sorted(self._commits | self._checkpoints.keys())
        newest = versions[-1]
        if isinstance(wanted, int) and wanted > newest:
            raise no_such_version(uri, wanted, newest)
        if not isinstance(wanted, datetime):
            return newest if wanted is None else wanted
        moment = int(wanted.timestamp() * 1000)
        until = [v for v in sorted(self._commits) if self._written(v) <= moment]
        # As deltalake does with a moment before the first commit.
        return until[-1] if until else versions[0]

    def _commit_file(self, version: int) -> Path:
        return self._folder / f"{version:020}.json"

    def _written(self, version: int) -> int:
        """Milliseconds since 1970 at which a version was committed."""
        file = self._commit_file(version)
        with file.open(encoding="utf-8") as lines:
            first = json.loads(next(lines)).get("commitInfo", {})
        in_commit: int | None = first.get("inCommitTimestamp")
        return in_commit or file.stat().st_mtime_ns // 1_000_000

    def commits(self, version: int) -> Iterator[Iterator[dict[str, Any]]]:
        """Give the actions of a checkpoint, if there is one, and of the commits after."""
        base = max((v for v in self._checkpoints if v <= version), default=-1)
        if base >= 0:
            yield self._checkpoint_actions(self._checkpoints[base])
        for number in range(base + 1, version + 1):
            if number not in self._commits:
                raise DeltaError(
                    f"version {version} cannot be put together: the log in "
                    f"{str(self._folder)!r} has no commit {number}, and no checkpoint "
                    f"after it"
                )
            yield _json_actions(self._commit_file(number))

    def _checkpoint_actions(self, files: list[Path]) -> Iterator[dict[str, Any]]:
        for file in files:
            for action in _file_actions(file):
                if sidecar := action.get("sidecar"):
                    yield from _file_actions(self._folder / "_sidecars" / sidecar["path"])
                else:
                    yield action


def _complete(files: list[Path]) -> list[Path]:
    """Give the files of one whole checkpoint among those of its version, or none."""
    for file in files:
        found = _CHECKPOINT.fullmatch(file.name)
        parts = found[2] if found else None
        if parts is None:
            return [file]
        together = [f for f in files if f.name.endswith(f".{parts}.parquet")]
        if len(together) == int(parts):
            return together
    return []


def _file_actions(file: Path) -> Iterator[dict[str, Any]]:
    return _json_actions(file) if file.suffix == ".json" else _parquet_actions(file)


def _json_actions(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _parquet_actions(file: Path) -> Iterator[dict[str, Any]]:
    import polars as pl

    frame = pl.read_parquet(file, glob=False)
    yield from frame.iter_rows(named=True)


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
