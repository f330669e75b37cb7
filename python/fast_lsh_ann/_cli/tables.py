"""Tables as the command line names them."""

import sys
from pathlib import Path
from typing import Any

from fast_lsh_ann.errors import ParameterError


def as_table(text: str) -> Any:
    """Give what the package takes for a table: a path, or the stream on standard input.

    Raises
    ------
    ParameterError
        If standard input is a terminal.
    """
    if text != "-":
        return text
    if sys.stdin.isatty():
        raise ParameterError(
            "- reads an Arrow IPC stream from standard input, which is a terminal; "
            "pipe a stream in, or name a table"
        )
    # A file of its own: a thread that still waits for sys.stdin's would abort the exit.
    return Path("/dev/stdin").open("rb")
