"""``fast-lsh-ann describe``: what a table holds, and what hashing would make of it."""

import json

from fast_lsh_ann._cli.options import (
    TABLES,
    Commands,
    Namespace,
    add_command,
    add_embedding,
    add_hashing,
    add_messages,
    add_min_collisions,
    add_side,
    add_storage,
    add_threads,
    hashing,
    shows_progress,
    storage_options,
    use_threads,
)
from fast_lsh_ann._cli.tables import as_table
from fast_lsh_ann.description import describe


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "describe",
        _run,
        help="show what a table holds, and suggest a bucket length",
        description="Read TABLE once and show what its vectors are like, how large the\n"
        "buckets are, how many rows a row would be compared with, and how many of its\n"
        "true neighbors are among them.  Without --bucket-length one is suggested, and\n"
        "what is shown is for that.",
        needs="TABLE",
        epilog=TABLES,
    )
    parser.add_argument("table", metavar="TABLE", help="table of vectors")
    add_messages(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--plot",
        metavar="FILE",
        help="draw bucket sizes and distances into a picture, *.png, *.svg or *.pdf",
    )
    parser.add_argument(
        "--target-recall",
        type=float,
        default=0.95,
        metavar="R",
        help="share of the 10 nearest neighbors that the suggestion shall find "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--sample",
        type=int,
        default=20_000,
        metavar="N",
        help="rows that neighbors are looked for among (default: %(default)s)",
    )
    hash_group = add_hashing(parser, bucket_length=None)
    add_min_collisions(hash_group)
    group = parser.add_argument_group("reading")
    add_embedding(group)
    add_side(group)
    add_storage(group)
    add_threads(parser.add_argument_group("machine"))


def _run(arguments: Namespace) -> int:
    use_threads(arguments)
    found = describe(
        as_table(arguments.table),
        **hashing(arguments),
        min_collisions=arguments.min_collisions,
        target_recall=arguments.target_recall,
        embedding_column=arguments.embedding_column,
        version=arguments.version,
        where=arguments.where,
        storage_options=storage_options(arguments),
        sample=arguments.sample,
        progress=shows_progress(arguments),
    )
    if arguments.plot is not None:
        found.plot(arguments.plot)
    print(json.dumps(found.to_dict(), indent=2) if arguments.json else found)
    return 0
