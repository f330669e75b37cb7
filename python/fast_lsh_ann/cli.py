"""The command line: ``fast-lsh-ann`` and ``python -m fast_lsh_ann``."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from fast_lsh_ann import _core
from fast_lsh_ann.errors import FastLSHError

_OK, _FAILED, _INTERRUPTED = 0, 1, 130

_EPILOG = """\
exit status: 0 done, 1 failed with a message, 2 wrong usage, 130 interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments after the program's name; those of the process by default.
    """
    arguments = _parser().parse_args(argv)
    try:
        arguments.command(arguments)
        sys.stdout.flush()
    except FastLSHError as error:
        print(f"fast-lsh-ann: {error}", file=sys.stderr)
        return _FAILED
    except KeyboardInterrupt:
        print("fast-lsh-ann: interrupted", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader of the output has left; the flush at exit must not fail as well.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED
    return _OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fast-lsh-ann",
        description="Hashing, nearest neighbors and similarity joins of vectors.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "--version", action="version", version=f"fast-lsh-ann {_core.__version__}"
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    demo = commands.add_parser(
        "demo",
        help="hash and search 20,000 English words",
        description="Take 20,000 English words through Delta tables, hashing, nearest "
        "neighbors and a similarity join, and say how good the answers are.",
    )
    demo.add_argument(
        "--data",
        type=Path,
        default=Path("examples/data"),
        metavar="DIR",
        help="folder with words20k.npy and words20k.txt (default: %(default)s)",
    )
    demo.add_argument(
        "--output",
        type=Path,
        default=Path("fast-lsh-ann-demo"),
        metavar="DIR",
        help="folder for the two Delta tables (default: %(default)s)",
    )
    demo.set_defaults(command=_demo)

    info = commands.add_parser(
        "info",
        help="show the version, the kernels and the threads",
        description="Show the version, the kernels this processor can run and the one "
        "chosen, and how many threads a call uses.",
    )
    info.set_defaults(command=_info)
    return parser


def _demo(arguments: argparse.Namespace) -> None:
    from fast_lsh_ann.demo import run_demo

    run_demo(arguments.data, arguments.output)


def _info(_: argparse.Namespace) -> None:
    chosen, tiers, threads = _core.simd_info()
    print(f"version          {_core.__version__}")
    print(f"kernels          {chosen}")
    print(f"kernels it has   {', '.join(tiers)}")
    print(f"threads          {threads}")
