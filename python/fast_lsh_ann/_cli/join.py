"""``fast-lsh-ann join``: pairs of rows that are close."""

from functools import partial

from fast_lsh_ann._cli.options import (
    TABLES,
    Commands,
    Namespace,
    add_candidates,
    add_command,
    add_hashing,
    add_machine,
    add_messages,
    add_reading,
    as_columns,
    reading,
    streaming_processor,
)
from fast_lsh_ann._cli.output import (
    add_dry_run,
    add_output,
    check_output,
    write_result,
)
from fast_lsh_ann._cli.tables import as_table


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "join",
        _run,
        help="find all pairs of rows within a distance",
        description="Find all pairs of a row of A and a row of B, or of two rows of A,\n"
        "whose distance is at most D.  Both tables may be larger than memory.  The\n"
        "result has a row for each pair: id_a, id_b, distance (Euclidean), and the\n"
        "columns asked for.",
        needs="A [B] --threshold D",
        epilog=TABLES,
    )
    parser.add_argument("a", metavar="A", help="a table")
    parser.add_argument(
        "b", metavar="B", nargs="?", help="another table; without it A meets itself"
    )
    add_messages(parser)
    parser.add_argument(
        "--threshold",
        type=float,
        required=True,
        metavar="D",
        help="largest distance of a pair",
    )
    parser.add_argument(
        "--strict", action="store_true", help="distance < D, as Spark has it, not <="
    )
    parser.add_argument(
        "--self-pairs",
        choices=("all", "upper"),
        default="upper",
        help="of A with itself: all ordered pairs, every row with itself too; or each "
        "pair of two rows once (default: %(default)s)",
    )
    parser.add_argument(
        "--by",
        metavar="NAMES",
        help="columns, comma-separated, whose values must be equal on both sides",
    )
    parser.add_argument(
        "--columns",
        metavar="NAMES",
        help="columns to carry along, comma-separated: NAME_a and NAME_b, from whichever "
        "table has them",
    )
    add_dry_run(parser)
    add_candidates(parser)
    add_hashing(parser)
    add_reading(parser, "a", "b")
    add_output(parser)
    add_machine(parser)


def _run(arguments: Namespace) -> int:
    check_output(arguments)
    lsh = streaming_processor(arguments)
    b = None if arguments.b is None else as_table(arguments.b)
    tables = (as_table(arguments.a), b)
    terms = {
        **reading(arguments, "a", "b"),
        "exact": arguments.exact,
        "min_collisions": arguments.min_collisions,
        "strict": arguments.strict,
        "self_pairs": "all" if b is not None else arguments.self_pairs,
        "by": as_columns(arguments.by),
        "columns": as_columns(arguments.columns),
    }
    if arguments.dry_run:
        print(lsh.plan_similarity_join(*tables, arguments.threshold, **terms))
        return 0
    write_result(
        arguments,
        partial(lsh.similarity_join_to_delta, *tables),
        partial(lsh.similarity_join_frames, *tables),
        threshold=arguments.threshold,
        **terms,
    )
    return 0
