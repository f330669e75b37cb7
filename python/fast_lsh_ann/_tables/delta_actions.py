"""The actions of a Delta log as a copy elsewhere has them: other types, other paths."""

import base64
import itertools
import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

# Deletion vectors are named in Z85, which is Python's base 85 with other digits.
_FROM_Z85 = str.maketrans(
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#",
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~",
)
_UUID_DIGITS = 20

Content = dict[str, Any]


def moved_action(action: Content, folder: Path) -> Content | None:
    """Give an action of a table's log as a copy of the log elsewhere has it.

    Parameters
    ----------
    action : dict
        From a commit, or a row of a checkpoint.
    folder : Path
        The table, an absolute path.

    Returns
    -------
    dict or None
        None for an action that does not change which rows there are.
    """
    for name, move in _MOVES.items():
        if (content := action.get(name)) is not None:
            return {name: move(content, folder.as_uri() + "/")}
    return None


def _protocol(content: Content, _: str) -> Content:
    return _known(content, *content)


def _metadata(content: Content, _: str) -> Content:
    settings = _mapping(content["configuration"])
    mapped = settings.get("delta.columnMapping.mode", "none") != "none"
    # Above the numbers of the columns that Spark counted.
    numbers = itertools.count(int(settings.get("delta.columnMapping.maxColumnId", 0)) + 1)
    schema = _stored(json.loads(content["schemaString"]), numbers if mapped else None)
    return {
        **_known(content, "id", "partitionColumns"),
        "format": {"provider": "parquet", "options": {}},
        "configuration": settings,
        "schemaString": json.dumps(schema),
    }


def _add(content: Content, root: str) -> Content:
    return {
        **_remove(content, root),
        **_known(content, "size", "modificationTime"),
        "partitionValues": _mapping(content["partitionValues"]),
        **_row_count(content),
    }


def _remove(content: Content, root: str) -> Content:
    moved = {"path": _place(content["path"], root), "dataChange": True}
    if vector := content.get("deletionVector"):
        moved["deletionVector"] = _deletion_vector(vector, root)
    return moved


_MOVES: dict[str, Callable[[Content, str], Content]] = {
    "protocol": _protocol,
    "metaData": _metadata,
    "add": _add,
    "remove": _remove,
}


def _known(content: Content, *names: str) -> Content:
    return {name: content[name] for name in names if content.get(name) is not None}


def _mapping(entries: Any) -> Content:
    """Give a map, which polars before 2 reads from a checkpoint as a list of entries."""
    if isinstance(entries, list):
        return {entry["key"]: entry["value"] for entry in entries}
    return dict(entries)


def _stored(node: Any, numbers: Iterator[int] | None) -> Any:
    """Replace every user-defined type in a schema by the type it is stored as.

    With `numbers` columns are mapped: Spark maps no fields of such a type, whose names
    in the files are its own, and readers want that said.
    """
    if isinstance(node, list):
        return [_stored(item, numbers) for item in node]
    if not isinstance(node, dict):
        return node
    if node.get("type") == "udt":
        stored = _stored(node["sqlType"], numbers)
        if numbers is not None:
            for field in stored["fields"]:
                field["metadata"] = {
                    "delta.columnMapping.id": next(numbers),
                    "delta.columnMapping.physicalName": field["name"],
                }
        return stored
    return {name: _stored(item, numbers) for name, item in node.items()}


def _row_count(content: Content) -> Content:
    """Keep of a file's statistics the number of rows.

    Spark counts the nulls of a vector, which no reader of structs understands.
    """
    count = json.loads(content.get("stats") or "{}").get("numRecords")
    return {} if count is None else {"stats": json.dumps({"numRecords": count})}


def _place(path: str, root: str) -> str:
    """Give the URI of a path, which is an encoded one already, from a table's log."""
    if urlsplit(path).scheme:
        return path
    return f"file://{path}" if path.startswith("/") else root + path


def _deletion_vector(vector: Content, root: str) -> Content:
    """Name a deletion vector's file, if it has one, by where it is."""
    if vector["storageType"] != "u":
        return _known(vector, *vector)
    name = vector["pathOrInlineDv"]
    prefix, digits = name[:-_UUID_DIGITS], name[-_UUID_DIGITS:]
    number = uuid.UUID(bytes=base64.b85decode(digits.translate(_FROM_Z85)))
    path = f"{prefix}/deletion_vector_{number}.bin".removeprefix("/")
    return {**_known(vector, *vector), "storageType": "p", "pathOrInlineDv": root + path}
