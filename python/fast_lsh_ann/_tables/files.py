"""Finding the files of a table: one, those of a folder, or those a pattern names."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from fast_lsh_ann._tables.delta import is_local, require_delta

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

_WILD = re.compile(r"[*?[]")
# What Hive and Spark call the folder of a null.
_NULL = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class Found:
    """Files of a table.

    Attributes
    ----------
    system : pyarrow.fs.FileSystem
        The folder they are in.
    names : list of str
        Paths in that folder, in the order of their parts.
    """

    system: "FileSystem"
    names: list[str]


def is_pattern(uri: str) -> bool:
    """Whether a path names files by a pattern; one that is there names itself."""
    return bool(_WILD.search(uri)) and not (is_local(uri) and local_path(uri).exists())


def local_path(uri: str) -> Path:
    """Give the path of a local table."""
    return Path(uri.removeprefix("file://"))


def find_files(
    uri: str, suffix: str, storage_options: Mapping[str, str] | None = None
) -> Found:
    """Find the files of a table.

    Parameters
    ----------
    uri : str
        A file; a local folder, whose files are looked for at any depth; or a pattern, in
        which ``**`` stands for any folders.  Names that begin with ``_`` or ``.`` are
        left out, as Spark does.
    suffix : str
        Of the files in a folder.
    storage_options : mapping, optional
        Credentials and settings of the object store.

    Raises
    ------
    FileNotFoundError
        If there is none.
    MissingDependencyError
        If they are in an object store, and deltalake is not installed.
    """
    root, wanted = _split(uri, suffix)
    system = _folder(root, storage_options)
    if not any(map(_WILD.search, wanted)):
        names = wanted if system.get_file_info(wanted[0]).is_file else []
    else:
        names = _listed(system, wanted)
    if not names:
        raise FileNotFoundError(f"there is no file {'/'.join(wanted)!r} in {root!r}")
    return Found(system, sorted(names, key=lambda name: name.split("/")))


def _split(uri: str, suffix: str) -> tuple[str, list[str]]:
    """Tell the folder that holds the files, and the parts of a pattern for them."""
    if is_local(uri):
        uri = str(local_path(uri).absolute())
        if Path(uri).is_dir():
            return uri, ["**", f"*{suffix}"]
    parts = uri.split("/")
    first = len(parts) - 1
    if is_pattern(uri):
        first = next(i for i, part in enumerate(parts) if _WILD.search(part))
    return "/".join(parts[:first]) or "/", parts[first:]


def _folder(root: str, storage_options: Mapping[str, str] | None) -> "FileSystem":
    from pyarrow import fs

    if is_local(root):
        return fs.SubTreeFileSystem(root, fs.LocalFileSystem())
    require_delta()
    from deltalake.fs import DeltaStorageHandler

    options = dict(storage_options) if storage_options else None
    return fs.PyFileSystem(DeltaStorageHandler(root, options))


def _listed(system: "FileSystem", wanted: list[str]) -> list[str]:
    from pyarrow import fs

    selector = fs.FileSelector("", recursive=len(wanted) > 1, allow_not_found=True)
    paths = [info.path for info in system.get_file_info(selector) if info.is_file]
    return [path for path in paths if _matches(path.split("/"), wanted)]


def _matches(parts: Sequence[str], wanted: Sequence[str]) -> bool:
    """Compare a path with a pattern, part by part."""
    if not wanted or not parts:
        return not parts and all(part == "**" for part in wanted)
    if wanted[0] == "**" and _matches(parts, wanted[1:]):
        return True
    if parts[0].startswith(("_", ".")):
        return False
    if wanted[0] == "**":
        return _matches(parts[1:], wanted)
    return fnmatchcase(parts[0], wanted[0]) and _matches(parts[1:], wanted[1:])


def partition_of(name: str) -> dict[str, str | None]:
    """Read the values that folders called ``column=value`` give the rows of a file."""
    folders = [part.partition("=") for part in name.split("/")[:-1]]
    return {
        unquote(column): None if value == _NULL else unquote(value)
        for column, equals, value in folders
        if equals
    }
