"""Columns that a caller names, to be carried along or compared."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from fast_lsh_ann._tables.source import Source
from fast_lsh_ann.errors import ColumnNotFoundError, InputTypeError, ParameterError


def as_names(columns: Any, name: str = "columns") -> list[str]:
    """Give the names of columns; InputTypeError unless they are a sequence of str."""
    if isinstance(columns, Sequence) and not isinstance(columns, (str, bytes)):
        names = list(columns)
        if all(isinstance(column, str) for column in names):
            return names
    raise InputTypeError(
        f"{name} must be a sequence of names, as ['country'], got "
        f"{type(columns).__name__}"
    )


def carried_sides(
    columns: Sequence[str], first: Source, second: Source
) -> tuple[list[str], list[str]]:
    """Tell which columns come from either of two tables.

    Raises
    ------
    ColumnNotFoundError
        If one comes from neither, naming the columns of both.
    """
    for column in columns:
        if column not in first.columns and column not in second.columns:
            raise ColumnNotFoundError(
                f"no table has a column {column!r}: {first.name} has {first.columns}, "
                f"{second.name} has {second.columns}"
            )
    return (
        [column for column in columns if column in first.columns],
        [column for column in columns if column in second.columns],
    )


def refuse_clashes(names: Sequence[str]) -> None:
    """Refuse names of an output's columns that differ in case only, or not at all.

    Raises
    ------
    ParameterError
        Naming one.
    """
    counts = Counter(name.lower() for name in names)
    twice = [name for name in names if counts[name.lower()] > 1]
    if twice:
        raise ParameterError(
            f"the output would have two columns {twice[-1]!r}; leave that one out of "
            f"columns, or rename it in its table"
        )
