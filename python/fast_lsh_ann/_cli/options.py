"""Options that commands share, and what they become as arguments of the package."""

import argparse
import sys
from collections.abc import Callable
from typing import Any

from fast_lsh_ann._runtime import set_threads
from fast_lsh_ann.errors import ParameterError
from fast_lsh_ann.streaming import StreamingLSHProcessor

Namespace = argparse.Namespace
Commands = Any  # argparse's class of sub-parsers has no public name

TABLES = """\
A table is a Delta table (a folder, or the URI of an object store), a Parquet
file, folder or pattern (*.parquet), an Arrow IPC file (*.arrow) or stream
(*.arrows), an array (*.npy), or - for an Arrow stream on standard input.
"""


def add_command(
    commands: Commands,
    name: str,
    run: Callable[[Namespace], int],
    *,
    help: str,  # noqa: A002
    description: str,
    needs: str = "",
    epilog: str = "",
) -> argparse.ArgumentParser:
    """Add a command that `run` runs; `needs` are the arguments it cannot go without."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help,
        usage=" ".join(["fast-lsh-ann", name, *needs.split(), "[OPTION ...]"]),
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    return parser


def add_messages(parser: argparse.ArgumentParser) -> None:
    """Add how much is said on standard error."""
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="say nothing but errors; no progress"
    )
    parser.add_argument(
        "-v", "--verbose", action="count", help="log what is done; twice: every detail"
    )


# ---- reading --------------------------------------------------------------------------


def add_reading(parser: argparse.ArgumentParser, *sides: str) -> Any:
    """Add what is read of tables: a version and a condition for each side."""
    group = parser.add_argument_group("reading")
    add_embedding(group)
    ids = group.add_mutually_exclusive_group()
    ids.add_argument(
        "--id-column",
        default="id",
        metavar="NAME",
        help="column that names rows (default: %(default)s)",
    )
    ids.add_argument(
        "--no-id",
        dest="id_column",
        action="store_const",
        const=None,
        help="name rows by their numbers, from 0",
    )
    for side in sides or ("",):
        add_side(group, side)
    group.add_argument(
        "--on-invalid",
        choices=("raise", "skip"),
        default="raise",
        help="rows that are null, not finite, or of another length: an error, or left "
        "out (default: %(default)s)",
    )
    add_storage(group)
    return group


def add_embedding(group: Any) -> None:
    """Add the name of the column of vectors."""
    group.add_argument(
        "--embedding-column",
        default="embedding",
        metavar="NAME",
        help="column of vectors (default: %(default)s)",
    )


def add_side(group: Any, side: str = "") -> None:
    """Add a version and a condition, of a side if there are several."""
    suffix, of = (f"-{side}", f" of {side.upper()}") if side else ("", "")
    group.add_argument(
        f"--where{suffix}",
        metavar="SQL",
        help=f"only rows{of} for which this SQL condition holds",
    )
    add_version(group, side)


def add_version(group: Any, side: str = "") -> None:
    """Add the version of a table, of a side if there are several."""
    suffix, of = (f"-{side}", f" of {side.upper()}") if side else ("", "")
    version = group.add_mutually_exclusive_group()
    version.add_argument(
        f"--version{suffix}",
        type=int,
        metavar="N",
        help=f"version of the Delta table{of} (default: the newest)",
    )
    version.add_argument(
        f"--timestamp{suffix}",
        dest=f"version{suffix}".replace("-", "_"),
        metavar="TIME",
        help=f"version of the Delta table{of} at that moment, RFC 3339 with its offset: "
        "2026-01-31T12:00:00Z",
    )


def add_storage(group: Any) -> None:
    """Add the settings of an object store."""
    group.add_argument(
        "--storage-option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="storage_options",
        help="setting of the object store, as AWS_REGION=eu-west-1; may be repeated",
    )


def storage_options(arguments: Namespace) -> dict[str, str] | None:
    """Give the settings of the object store.

    Raises
    ------
    ParameterError
        If one is not of the form KEY=VALUE.
    """
    options = {}
    for text in arguments.storage_options:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise ParameterError(
                f"--storage-option {text!r} is not of the form KEY=VALUE"
            )
        options[key] = value
    return options or None


def reading(arguments: Namespace, *sides: str) -> dict[str, Any]:
    """Give what was said about reading as keyword arguments of the package."""
    names = ["embedding_column", "id_column", "on_invalid"]
    names += [
        f"{what}_{side}" if side else what
        for side in sides or ("",)
        for what in ("where", "version")
    ]
    return {name: getattr(arguments, name) for name in names}


# ---- hashing --------------------------------------------------------------------------


def add_hashing(
    parser: argparse.ArgumentParser, bucket_length: float | None = 2.0
) -> Any:
    """Add the parameters of hash functions; without a bucket length it is suggested."""
    default = "the one suggested" if bucket_length is None else bucket_length
    group = parser.add_argument_group(
        "hashing", "as Spark's BucketedRandomProjectionLSH; `describe` suggests values"
    )
    group.add_argument(
        "--bucket-length",
        type=float,
        default=bucket_length,
        metavar="W",
        help=f"width of a bucket, in units of distance (default: {default})",
    )
    group.add_argument(
        "--num-hash-tables",
        type=int,
        default=5,
        metavar="T",
        help="hash tables (default: %(default)s)",
    )
    group.add_argument(
        "--num-hashes-per-table",
        type=int,
        default=1,
        metavar="K",
        help="hashes of a table that must all agree (default: %(default)s)",
    )
    group.add_argument(
        "--seed",
        type=int,
        default=42,
        metavar="N",
        help="of the random projections (default: %(default)s)",
    )
    group.add_argument(
        "--projection",
        choices=("spark", "gaussian"),
        default="spark",
        help="unit vectors as Spark's, or normal ones with an offset "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--spark-profile",
        choices=("java11", "java8", "vector2", "vector4", "vector8"),
        default="java11",
        help="the JVM whose rounding the vectors have (default: %(default)s)",
    )
    return group


def streaming_processor(arguments: Namespace) -> StreamingLSHProcessor:
    """Make the processor that was asked for, with as many threads."""
    use_threads(arguments)
    return StreamingLSHProcessor(
        **hashing(arguments),
        memory_limit=arguments.memory_limit,
        storage_options=storage_options(arguments),
    )


def hashing(arguments: Namespace) -> dict[str, Any]:
    """Give the parameters of hash functions as keyword arguments of the package."""
    names = (
        "bucket_length",
        "num_hash_tables",
        "seed",
        "num_hashes_per_table",
        "projection",
        "spark_profile",
    )
    return {name: getattr(arguments, name) for name in names}


def add_candidates(parser: argparse.ArgumentParser) -> None:
    """Add what makes a candidate."""
    group = parser.add_argument_group("candidates")
    group.add_argument(
        "--exact", action="store_true", help="every row is a candidate; nothing is hashed"
    )
    add_min_collisions(group)


def add_min_collisions(group: Any) -> None:
    """Add in how many tables a candidate collides."""
    group.add_argument(
        "--min-collisions",
        type=int,
        default=1,
        metavar="N",
        help="tables in which a candidate shares a bucket (default: %(default)s)",
    )


# ---- the machine ----------------------------------------------------------------------


def add_machine(parser: argparse.ArgumentParser) -> None:
    """Add what may be used of the machine."""
    group = parser.add_argument_group("machine")
    add_threads(group)
    group.add_argument(
        "--memory-limit",
        metavar="SIZE",
        help="what may be held at a time, as 512MiB or 4GB (default: half of what is "
        "available)",
    )


def add_threads(group: Any) -> None:
    """Add the number of threads."""
    group.add_argument(
        "--threads", type=int, metavar="N", help="threads to use (default: all there are)"
    )


def use_threads(arguments: Namespace) -> None:
    """Have calls use as many threads as was said."""
    if arguments.threads is not None:
        set_threads(arguments.threads)


def as_columns(text: str | None) -> list[str]:
    """Cut a list of columns at its commas."""
    return [name.strip() for name in text.split(",")] if text else []


def shows_progress(arguments: Namespace) -> bool:
    """Tell whether to show progress: where someone may look at it."""
    return not arguments.quiet and sys.stderr.isatty()
