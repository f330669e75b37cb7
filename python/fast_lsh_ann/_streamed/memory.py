"""How much memory there is, and how much of it a call may hold."""

import os
import re
import resource
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from fast_lsh_ann._inputs import as_count, shown
from fast_lsh_ann.errors import InputTypeError, ParameterError

MemoryLimit: TypeAlias = int | str | None

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b\s*", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
# What a control group's limit, its use, and the part of that which the kernel gives back
# first are called: cgroups(7), and Documentation/admin-guide of Linux.
_GROUP_FILES = {
    2: ("memory.max", "memory.current", "inactive_file"),
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def parse_memory(limit: MemoryLimit) -> int | None:
    """Read a ``memory_limit``.

    Parameters
    ----------
    limit : int, str or None
        Bytes; or a number with a unit, "512MiB" and "1GiB" by powers of 1024, "2GB" by
        powers of 1000.

    Returns
    -------
    int or None
        Bytes; None stays.

    Raises
    ------
    InputTypeError, ParameterError
        If it is of another type, not at least 1, or no such text.
    """
    if limit is None:
        return None
    if not isinstance(limit, str):
        try:
            return as_count(limit, "memory_limit", 1)
        except InputTypeError:
            raise InputTypeError(
                f"memory_limit must be bytes, a text such as '1GiB', or None, got "
                f"{shown(limit)} ({type(limit).__name__})"
            ) from None
    found = _SIZE.fullmatch(limit)
    if found is None:
        raise ParameterError(
            f"memory_limit must be a number and a unit, as '512MiB', '1.5GiB' or '2GB', "
            f"got {shown(limit)}"
        )
    number, power, binary = found.groups()
    base = 1024 if binary else 1000
    return as_count(
        int(float(number) * base ** _POWERS[power.lower()]), "memory_limit", 1
    )


def working_limit(limit: int | None) -> int:
    """Give the bytes a call may hold: the limit, or half of what is available now."""
    return available_memory() // 2 if limit is None else limit


def available_memory(proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> int:
    """Tell how many bytes this process can still take.

    The least of what the system says is available, what is left of the limits of the
    control groups it is in, the outer ones too, and of its address space.  A group's use
    counts the files it has read; those that were not used lately are given back first,
    so they are available.

    Parameters
    ----------
    proc, sys : Path
        Where the kernel tells, if not at the usual places.

    Returns
    -------
    int
        At least 0.
    """
    known = [_of_system(proc), *_of_groups(proc, sys / "fs/cgroup"), *_of_process(proc)]
    return max(0, min(known))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _of_system(proc: Path) -> int:
    found = re.search(r"^MemAvailable:\s*(\d+) kB", _read(proc / "meminfo"), re.MULTILINE)
    if found is not None:
        return int(found[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _of_groups(proc: Path, root: Path) -> Iterator[int]:
    """Tell what is left of each group's limit, from the process's own outwards.

    In a container the path may be the one outside, of which only the root is there.
    """
    for line in _read(proc / "self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        kind = 1 if "memory" in controllers.split(",") else 2
        if kind == 2 and controllers != "":
            continue
        top = root / "memory" if kind == 1 else root
        group = PurePosixPath(path.lstrip("/"))
        for place in (group, *group.parents):
            yield from _left_in_group(top / place, *_GROUP_FILES[kind])


def _left_in_group(
    folder: Path, limit_name: str, used_name: str, given_back: str
) -> Iterator[int]:
    limit = _read(folder / limit_name).strip()
    used = _read(folder / used_name).strip()
    if not (limit.isdecimal() and used.isdecimal()):  # "max", or no such file
        return
    files = re.search(
        rf"^{given_back} (\d+)", _read(folder / "memory.stat"), re.MULTILINE
    )
    yield int(limit) - int(used) + (int(files[1]) if files is not None else 0)


def _of_process(proc: Path) -> Iterator[int]:
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    pages = _read(proc / "self/statm").split()
    if limit != resource.RLIM_INFINITY and pages:
        yield limit - int(pages[0]) * os.sysconf("SC_PAGE_SIZE")
