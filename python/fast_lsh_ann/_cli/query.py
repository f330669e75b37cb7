"""``fast-lsh-ann query``: the nearest neighbors of many queries."""

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
        "query",
        _run,
        help="find the k nearest neighbors of each query",
        description="Find for each row of QUERIES the k nearest rows of BASE, which may\n"
        "be larger than memory: the base is read once for each block of queries that\n"
        "fits.  The result has a row for each neighbor: query_id, neighbor_id, rank\n"
        "(1 is the nearest), distance (Euclidean), and the columns asked for.",
        needs="QUERIES BASE",
        epilog=TABLES,
    )
    parser.add_argument("queries", metavar="QUERIES", help="table of queries")
    parser.add_argument("base", metavar="BASE", help="table of rows to search")
    add_messages(parser)
    parser.add_argument(
        "-k", type=int, default=10, metavar="K", help="neighbors of a query (default: 10)"
    )
    parser.add_argument(
        "--columns",
        metavar="NAMES",
        help="columns to carry along, comma-separated: query_NAME and neighbor_NAME, "
        "from whichever table has them",
    )
    add_dry_run(parser)
    add_candidates(parser)
    add_hashing(parser)
    group = add_reading(parser, "queries", "base")
    group.add_argument(
        "--queries-embedding-column",
        metavar="NAME",
        help="of QUERIES, if it is another than --embedding-column",
    )
    group.add_argument(
        "--queries-id-column",
        metavar="NAME",
        help="of QUERIES, if it is another than --id-column",
    )
    add_output(parser)
    add_machine(parser)


def _run(arguments: Namespace) -> int:
    check_output(arguments)
    lsh = streaming_processor(arguments)
    search = {
        **reading(arguments, "queries", "base"),
        "exact": arguments.exact,
        "min_collisions": arguments.min_collisions,
        "queries_embedding_column": arguments.queries_embedding_column,
        "queries_id_column": arguments.queries_id_column,
        "columns": as_columns(arguments.columns),
    }
    tables = (as_table(arguments.queries), as_table(arguments.base))
    if arguments.dry_run:
        print(lsh.plan_nearest_neighbors(*tables, arguments.k, **search))
        return 0
    write_result(
        arguments,
        partial(lsh.nearest_neighbors_to_delta, *tables),
        partial(lsh.nearest_neighbors_streaming, *tables),
        k=arguments.k,
        **search,
    )
    return 0
