"""``fast-lsh-ann transform``: the hashes of a table."""

from functools import partial

from fast_lsh_ann._cli.options import (
    TABLES,
    Commands,
    Namespace,
    add_command,
    add_hashing,
    add_machine,
    add_messages,
    add_reading,
    reading,
    streaming_processor,
)
from fast_lsh_ann._cli.output import (
    add_output,
    check_output,
    write_result,
    written_as_delta,
)
from fast_lsh_ann._cli.tables import as_table
from fast_lsh_ann.errors import ParameterError


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "transform",
        _run,
        help="hash the vectors of a table",
        description="Hash the vectors of TABLE, which may be larger than memory, into\n"
        "columns hash_0, hash_1, ... of whole numbers, and id.",
        needs="TABLE",
        epilog=TABLES,
    )
    parser.add_argument("table", metavar="TABLE", help="table of vectors")
    add_messages(parser)
    parser.add_argument(
        "--include-embeddings",
        action="store_true",
        help="write the vectors too; for a Delta output",
    )
    add_hashing(parser)
    add_reading(parser)
    add_output(parser)
    add_machine(parser)


def _run(arguments: Namespace) -> int:
    check_output(arguments)
    embeddings = arguments.include_embeddings
    if embeddings and not written_as_delta(arguments):
        raise ParameterError("--include-embeddings is for an --output that is Delta")
    lsh = streaming_processor(arguments)
    table = as_table(arguments.table)
    write_result(
        arguments,
        partial(lsh.transform_to_delta, table, include_embeddings=embeddings),
        partial(lsh.transform_frames, table),
        **reading(arguments),
    )
    return 0
