"""``fast-lsh-ann transform``: the hashes of a table."""

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
    shows_progress,
    streaming_processor,
)
from fast_lsh_ann._cli.output import (
    add_output,
    check_output,
    tell_report,
    write_frames,
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
    as_delta = written_as_delta(arguments)
    if arguments.include_embeddings and not as_delta:
        raise ParameterError("--include-embeddings is for an --output that is Delta")
    lsh = streaming_processor(arguments)
    table, progress = as_table(arguments.table), shows_progress(arguments)
    if as_delta:
        report = lsh.transform_to_delta(
            table,
            arguments.output,
            include_embeddings=arguments.include_embeddings,
            mode=arguments.mode,
            job_id=arguments.job_id,
            progress=progress,
            **reading(arguments),
        )
        tell_report(arguments, report)
        return 0
    with lsh.transform_frames(table, progress=progress, **reading(arguments)) as frames:
        write_frames(arguments, frames)
    return 0
