"""Where results go: a table on disk, or standard output in a format of choice."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable
from typing import IO, TYPE_CHECKING, Any

from fast_lsh_ann._cli.options import Namespace, shows_progress, storage_options
from fast_lsh_ann._streamed.frames import Frames
from fast_lsh_ann._tables.output import file_kind
from fast_lsh_ann._tables.report import WriteReport
from fast_lsh_ann.errors import ParameterError

if TYPE_CHECKING:
    import polars as pl

FORMATS = ("text", "csv", "jsonl", "arrow")
_FLOAT_DIGITS = 6


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add where results go."""
    group = parser.add_argument_group("output")
    group.add_argument(
        "-o",
        "--output",
        metavar="TABLE",
        help="a Delta table, or a file *.parquet, *.arrow or *.arrows (default: standard "
        "output)",
    )
    group.add_argument(
        "--mode",
        choices=("error", "append", "overwrite"),
        default="error",
        help="what to do if the output is there (default: %(default)s)",
    )
    group.add_argument(
        "--job-id",
        metavar="ID",
        help="of a Delta output: done at most once, so a retry of what was done does "
        "nothing",
    )
    group.add_argument(
        "--format",
        choices=FORMATS,
        default="text",
        help="of standard output: aligned text, CSV, JSON lines, or an Arrow IPC stream "
        "(default: %(default)s)",
    )


def add_dry_run(parser: argparse.ArgumentParser) -> None:
    """Add the wish to see the plan only."""
    parser.add_argument(
        "-n",
        "--dry-run",
        action="store_true",
        help="read what a plan needs, print the plan, and do nothing else",
    )


def check_output(arguments: Namespace) -> None:
    """Refuse options that would do nothing, and bytes for a terminal.

    Raises
    ------
    ParameterError
        Naming the option.
    """
    if arguments.output is None:
        for option in ("mode", "job_id"):
            if getattr(arguments, option) not in (None, "error"):
                name = option.replace("_", "-")
                raise ParameterError(f"--{name} is for an --output, and there is none")
        if arguments.format == "arrow" and sys.stdout.isatty():
            raise ParameterError(
                "--format arrow writes bytes, and standard output is a terminal; "
                "redirect it, or name an --output"
            )
    elif arguments.format != "text":
        raise ParameterError(
            "--format is for standard output; the end of --output's name decides there"
        )


def write_result(
    arguments: Namespace,
    to_delta: Callable[..., WriteReport],
    frames: Callable[..., Frames],
    **terms: Any,
) -> None:
    """Compute a result where it was asked for.

    Parameters
    ----------
    to_delta : callable
        Writes it to a Delta table, given where and how, progress, and `terms`.
    frames : callable
        Gives it frame by frame, given progress and `terms`.
    """
    progress = shows_progress(arguments)
    if not written_as_delta(arguments):
        with frames(progress=progress, **terms) as found:
            write_frames(arguments, found)
        return
    report = to_delta(
        output_path=arguments.output,
        mode=arguments.mode,
        job_id=arguments.job_id,
        progress=progress,
        **terms,
    )
    tell_report(arguments, report)


def written_as_delta(arguments: Namespace) -> bool:
    """Tell whether the output is a Delta table."""
    return arguments.output is not None and file_kind(arguments.output) is None


def write_frames(arguments: Namespace, frames: Any) -> None:
    """Write a stream of frames where it was asked for, and say how many rows they were.

    Parameters
    ----------
    frames : iterator of polars.DataFrame
        That is an Arrow stream too, at least one frame long.
    """
    if arguments.output is not None:
        from fast_lsh_ann.tables import write_table

        report = write_table(
            frames,
            arguments.output,
            mode=arguments.mode,
            job_id=arguments.job_id,
            storage_options=storage_options(arguments),
        )
        tell_report(arguments, report)
    elif arguments.format == "arrow":
        from fast_lsh_ann.tables import write_table

        write_table(frames, sys.stdout.buffer)
    else:
        _WRITERS[arguments.format](frames, sys.stdout)


def tell_report(arguments: Namespace, report: Any) -> None:
    """Say on standard error what was written."""
    if arguments.quiet:
        return
    if report.skipped:
        text = f"job {arguments.job_id!r} was done before: nothing was written"
    else:
        at = "" if report.version is None else f", version {report.version}"
        text = f"{report.rows:,} rows in {report.seconds:.1f} s{at}"
    print(f"fast-lsh-ann: {arguments.output}: {text}", file=sys.stderr)


# ---- text -----------------------------------------------------------------------------


def _write_text(frames: Iterable["pl.DataFrame"], out: IO[str]) -> None:
    """Write columns as wide as the first frame wants them."""
    widths: list[int] | None = None
    for frame in frames:
        cells = [[_cell(value) for value in frame[name]] for name in frame.columns]
        if widths is None:
            widths = [
                max(map(len, [name, *column]))
                for name, column in zip(frame.columns, cells, strict=True)
            ]
            _write_line(out, frame.columns, widths)
        for row in zip(*cells, strict=True):
            _write_line(out, row, widths)


def _write_line(out: IO[str], cells: Iterable[str], widths: list[int]) -> None:
    padded = (f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True))
    out.write("  ".join(padded).rstrip() + "\n")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.{_FLOAT_DIGITS}f}"
    return str(value)


def _write_csv(frames: Iterable["pl.DataFrame"], out: IO[str]) -> None:
    for number, frame in enumerate(frames):
        out.write(frame.write_csv(include_header=number == 0))


def _write_jsonl(frames: Iterable["pl.DataFrame"], out: IO[str]) -> None:
    for frame in frames:
        out.write(frame.write_ndjson())


_WRITERS: dict[str, Callable[[Iterable["pl.DataFrame"], IO[str]], None]] = {
    "text": _write_text,
    "csv": _write_csv,
    "jsonl": _write_jsonl,
}


def print_facts(facts: dict[str, Any], as_json: bool) -> None:
    """Print named facts: a line each, or one JSON object."""
    if as_json:
        print(json.dumps(facts, indent=2, default=str))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:<{width}}  {value}")


def drop_stdout() -> None:
    """Let the flush at exit not fail after the reader of the output has left."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
