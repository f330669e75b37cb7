"""``fast-lsh-ann inspect``: what a table is, without reading its rows."""

from collections.abc import Mapping
from contextlib import closing
from typing import Any

from fast_lsh_ann._cli.options import (
    TABLES,
    Commands,
    Namespace,
    add_command,
    add_messages,
    add_storage,
    add_version,
    storage_options,
)
from fast_lsh_ann._cli.output import print_facts
from fast_lsh_ann._cli.tables import as_table
from fast_lsh_ann._tables.embeddings import EmbeddingReader
from fast_lsh_ann._tables.opening import open_source
from fast_lsh_ann._tables.scheme import read_hash_scheme
from fast_lsh_ann._tables.source import Source
from fast_lsh_ann.errors import DeltaError, FastLSHError, InputTypeError


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "inspect",
        _run,
        help="show what a table is: columns, rows, version, how its hashes were made",
        description="Show what a table is, from its metadata and its first rows: where\n"
        "its vectors are, their dimension, and how the hashes of a table were made.",
        needs="TABLE",
        epilog=TABLES,
    )
    parser.add_argument("table", metavar="TABLE", help="the table")
    add_messages(parser)
    add_version(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_storage(parser)


def _run(arguments: Namespace) -> int:
    options = storage_options(arguments)
    table = as_table(arguments.table)
    source = open_source(table, version=arguments.version, storage_options=options)
    facts: dict[str, Any] = {"table": source.name}
    if source.version is not None:
        facts["version"] = source.version
    facts["rows"] = _rows(source, arguments.json)
    types = source.no_rows(source.columns).schema
    facts["columns"] = dict.fromkeys(types)
    for column, kind in types.items():
        facts["columns"][column] = _vectors(source, column) or str(kind)
    facts.update(_scheme(arguments, source, options))
    if not arguments.json:
        columns = facts.pop("columns")
        facts.update({f"column {name}": kind for name, kind in columns.items()})
    print_facts(facts, arguments.json)
    return 0


def _rows(source: Source, as_json: bool) -> Any:
    if as_json:
        return source.rows_at_most
    return "unknown until read" if source.rows_at_most is None else source.rows_at_most


def _vectors(source: Source, column: str) -> str | None:
    """Say what vectors a column holds; None if it holds none."""
    try:
        dtype = source.embedding_dtype(column)
    except InputTypeError:
        return None
    if source.one_shot:
        return f"vectors, read as {dtype}"
    reader = EmbeddingReader(source, column, None, skip=True)
    try:
        with closing(reader.batches()) as batches:
            next(batches, None)
    except FastLSHError as error:
        return f"vectors, read as {dtype}; but {error}"
    dim = "no valid row among the first" if reader.dim is None else f"{reader.dim}"
    return f"vectors, read as {dtype}, dimension {dim}"


def _scheme(
    arguments: Namespace, source: Source, options: Mapping[str, str] | None
) -> dict[str, Any]:
    if source.version is None or "hash_0" not in source.columns:
        return {}
    try:
        scheme = read_hash_scheme(
            arguments.table, version=source.version, storage_options=options
        )
    except DeltaError as error:
        return {"hashes": f"made in a way that is not known: {error}"}
    return {"hashes": f"of dimension {scheme.dim} by {scheme.lsh()!r}"}
