"""Files that appear under their name whole or not at all."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from fast_lsh_ann.errors import TableError, TableExistsError

# What is beside a target while it is written; a process that is killed leaves it there.
_SCRATCH = ".fast_lsh_ann-unfinished-"


def refuse_existing(path: Path) -> None:
    """Raise TableExistsError if there is a file."""
    if os.path.lexists(path):
        raise TableExistsError(
            f"there is a file {str(path)!r}, which mode='error' leaves alone; "
            f"pass mode='overwrite', or name another path"
        )


@contextmanager
def whole_file(path: Path, *, replace: bool) -> Generator[IO[bytes], None, None]:
    """Write a file that gets its name when it is complete and on the disk.

    On any exception it is removed, and a file that was there stays.

    Parameters
    ----------
    path : Path
        A link is followed.
    replace : bool
        Whether a file that is there is replaced.

    Raises
    ------
    TableExistsError
        If there is a file, not to be replaced, also if it appeared meanwhile.
    TableError
        If the file cannot be written; the message has the system's reason.
    """
    target = Path(os.path.realpath(path))
    try:
        with TemporaryDirectory(prefix=_SCRATCH, dir=target.parent) as scratch:
            made = Path(scratch, "file")
            with made.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if replace:
                made.replace(target)
            else:
                _name_new(made, target)
            _sync_folder(target.parent)
    except TableError:
        raise
    except OSError as error:
        raise TableError(
            f"{str(path)!r} cannot be written: {error.strerror or error}"
        ) from error


def _name_new(made: Path, target: Path) -> None:
    """Give a file a name that none has: linking fails where renaming would replace."""
    try:
        target.hardlink_to(made)
    except FileExistsError:
        refuse_existing(target)
        raise
    except OSError:  # some file systems have no links
        refuse_existing(target)
        made.rename(target)


def _sync_folder(folder: Path) -> None:
    """Have a file's new name survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
