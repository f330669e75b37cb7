"""What a table is to all that read one: named columns, streamed in a fixed order."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fast_lsh_ann._arrow import ArrowColumn
from fast_lsh_ann.errors import (
    ColumnNotFoundError,
    InputTypeError,
    ParameterError,
    TableError,
)

if TYPE_CHECKING:
    import polars as pl

# Rows read at once: several batches wait at any time, so they set what reading needs;
# larger ones were not faster.
BATCH_ROWS = 8192


class Source(ABC):
    """A table at one version: every reading gives the same rows in the same order.

    Attributes
    ----------
    name : str
        What errors call it, as "Delta table 'vectors' where id > 3".
    uri : str
        Where it is; what metadata say of an output's source.
    version : int or None
        Of a Delta table.
    where : str or None
        The condition that its rows pass; row numbers count these alone.
    columns : list of str
    rows_at_most : int or None
        A bound on the rows it gives; None where reading alone tells.
    one_shot : bool
        Whether it can be read once only.
    nameless : bool
        Whether its only column is the embedding, by whatever name that is asked for.
    """

    name: str
    uri: str
    version: int | None = None
    where: str | None = None
    columns: list[str]
    rows_at_most: int | None = None
    one_shot: bool = False
    nameless: bool = False

    @abstractmethod
    def embedding_dtype(self, column: str) -> np.dtype[Any]:
        """Tell what rows of a column of vectors are read as: float32 or float64.

        Raises
        ------
        InputTypeError
            If the column holds no vectors.
        """

    @abstractmethod
    def batches(
        self, columns: Sequence[str], batch_rows: int = BATCH_ROWS
    ) -> Iterator[list[ArrowColumn]]:
        """Begin to read columns; all that may wait is left to the iterator.

        The iterator is used, and dropped, in another thread.  Batches have about
        `batch_rows` rows.
        """

    @abstractmethod
    def no_rows(self, columns: Sequence[str]) -> "pl.DataFrame":
        """Give a frame of no rows, whose columns have the types that reading gives."""

    def read_error(self, text: str) -> TableError:
        """Make the error for a failure while reading."""
        return TableError(f"{self.name}: {text}")

    def check_columns(self, wanted: Sequence[str]) -> None:
        """Refuse columns that are not there.

        Raises
        ------
        ColumnNotFoundError
            Naming the first, and the columns there are.
        """
        for column in wanted:
            if column not in self.columns:
                raise ColumnNotFoundError(
                    f"{self.name} has no column {column!r}; "
                    f"its columns are {self.columns}"
                )

    def condition_error(self, reason: object) -> ParameterError:
        """Make the error for a condition that makes no sense for the table."""
        first = (str(reason).strip().splitlines() or [""])[0]
        return ParameterError(
            f"where={self.where!r} is no condition for rows of {self.uri!r}: {first}; "
            f"its columns are {self.columns}"
        )


def as_condition(where: Any) -> str | None:
    """Give a condition as it is.

    Raises
    ------
    InputTypeError, ParameterError
        If it is no text, or an empty one.
    """
    if where is None:
        return None
    if not isinstance(where, str):
        raise InputTypeError(
            f"where must be a str, a condition in SQL such as \"country = 'fr'\", "
            f"got {type(where).__name__}"
        )
    if not where.strip() or "\0" in where:
        raise ParameterError(
            f"where={where!r} is no condition; pass one in SQL such as "
            f"\"country = 'fr'\", or None for all rows"
        )
    return where


def name_of(kind: str, uri: str, where: str | None) -> str:
    """Name a table as errors do."""
    return f"{kind} {uri!r}" if where is None else f"{kind} {uri!r} where {where}"
