"""The command line: ``fast-lsh-ann`` and ``python -m fast_lsh_ann``."""

import argparse
import logging
import sys
from collections.abc import Sequence

from fast_lsh_ann import _core
from fast_lsh_ann._cli import (
    demo,
    describe,
    doctor,
    info,
    inspect,
    join,
    query,
    transform,
)
from fast_lsh_ann._cli.output import drop_stdout
from fast_lsh_ann._log import logger
from fast_lsh_ann.errors import (
    BucketRangeError,
    DimensionError,
    FastLSHError,
    InputTypeError,
    InvalidVectorError,
    ParameterError,
)

_FAILED, _USAGE, _DATA, _INTERRUPTED = 1, 2, 3, 130

EXIT_STATUS = """\
exit status:
  0    done
  1    failed: a table, the machine, or a check of `doctor`; the message says what
  2    wrong usage: an option, or a value outside its range
  3    the data are at fault: a row that is no vector, dimensions that differ
  130  interrupted; no output was written
"""

_COMMANDS = (demo, info, doctor, inspect, describe, transform, query, join)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments after the program's name; those of the process by default.
    """
    arguments = make_parser().parse_args(argv)
    with _Messages(arguments):
        try:
            status: int = arguments.run(arguments)
            sys.stdout.flush()
        except FastLSHError as error:
            print(f"fast-lsh-ann: {error}", file=sys.stderr)
            return _status_of(error)
        except KeyboardInterrupt:
            print("fast-lsh-ann: interrupted", file=sys.stderr)
            return _INTERRUPTED
        except BrokenPipeError:
            drop_stdout()
            return _FAILED
        return status


def _status_of(error: FastLSHError) -> int:
    if isinstance(error, (InvalidVectorError, DimensionError, BucketRangeError)):
        return _DATA
    if isinstance(error, (ParameterError, InputTypeError)):
        return _USAGE
    return _FAILED


class _Messages:
    """Logs to standard error what was asked for, while a command runs."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        levels = (logging.WARNING, logging.INFO, logging.DEBUG)
        wanted = getattr(arguments, "verbose", None) or 0
        quiet = getattr(arguments, "quiet", False)
        level = levels[min(wanted, len(levels) - 1)]
        self._level = logging.ERROR if quiet else level
        self._handler = logging.StreamHandler(sys.stderr)
        self._handler.setFormatter(logging.Formatter("fast-lsh-ann: %(message)s"))

    def __enter__(self) -> None:
        self._before = logger.level
        logger.setLevel(self._level)
        logger.addHandler(self._handler)

    def __exit__(self, *_: object) -> None:
        logger.removeHandler(self._handler)
        logger.setLevel(self._before)


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="fast-lsh-ann",
        description="Hashing, nearest neighbors and similarity joins of vectors in "
        "tables.",
        epilog=EXIT_STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--version", action="version", version=f"fast-lsh-ann {_core.__version__}"
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add(commands)
    return parser
