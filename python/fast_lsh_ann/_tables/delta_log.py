"""The log of a local Delta table: which versions there are, and their actions.

The Delta protocol (PROTOCOL.md of delta-io/delta) says what the files are.
"""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from fast_lsh_ann._tables.delta import no_such_version
from fast_lsh_ann.errors import DeltaError

_COMMIT = re.compile(r"(\d{20})\.json")
# One file, a part of several, or the V2 form with a UUID: "Checkpoints" there.
_CHECKPOINT = re.compile(
    r"(\d{20})\.checkpoint(?:\.\d{10}\.(\d{10})\.parquet|(?:\.[0-9a-f-]{36})?"
    r"\.(?:parquet|json))"
)


class DeltaLog:
    """What is in the folder of a log, as far as reading needs it.

    Parameters
    ----------
    folder : Path
        The folder `_delta_log` of a table.
    """

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
        """Give the number of the version that was asked for.

        Raises
        ------
        DeltaError
            If the table `uri` has no such version yet.
        """
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
        """Give the actions of a checkpoint, if there is one, and of the commits after.

        Raises
        ------
        DeltaError
            If a commit that is needed is gone.
        """
        base = max((v for v in self._checkpoints if v <= version), default=-1)
        if base >= 0:
            yield self._checkpoint_actions(self._checkpoints[base])
        for number in range(base + 1, version + 1):
            if number not in self._commits:
                raise DeltaError(
                    f"Delta table {str(self._folder.parent)!r} cannot be read at version "
                    f"{version}: its log has no commit {number}, and no checkpoint that "
                    f"stands for it; ask for a newer version"
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
        yield from (json.loads(line) for line in lines if line.strip())


def _parquet_actions(file: Path) -> Iterator[dict[str, Any]]:
    import polars as pl

    frame = pl.read_parquet(file, glob=False)
    yield from frame.iter_rows(named=True)
