"""``fast-lsh-ann demo``."""

from pathlib import Path

from fast_lsh_ann._cli.options import Commands, Namespace, add_command


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "demo",
        _run,
        help="hash and search 20,000 English words",
        description="Take 20,000 English words through Delta tables, hashing, nearest\n"
        "neighbors and a similarity join, and say how good the answers are.",
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("examples/data"),
        metavar="DIR",
        help="folder with words20k.npy and words20k.txt (default: %(default)s)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("fast-lsh-ann-demo"),
        metavar="DIR",
        help="folder for the two Delta tables (default: %(default)s)",
    )


def _run(arguments: Namespace) -> int:
    from fast_lsh_ann.demo import run_demo

    run_demo(arguments.data, arguments.output)
    return 0
