"""Equality keys: rows of two tables that may meet agree on some columns."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fast_lsh_ann._tables.embeddings import EmbeddingBatch, EmbeddingReader
from fast_lsh_ann.errors import InputTypeError


class Keys:
    """The keys of a chunk, numbered from 0 as they first appear.

    Keys are equal as SQL has it: one that holds null equals nothing, not even itself;
    whole numbers of any width compare by value; NaN equals NaN, as in Spark.

    Parameters
    ----------
    chunk : EmbeddingBatch
        Carries the columns.
    columns : sequence of str
    """

    def __init__(self, chunk: EmbeddingBatch, columns: Sequence[str]) -> None:
        self._columns = list(columns)
        known = chunk.carried.select(self._columns).unique(maintain_order=True)
        self._known = known.with_row_index(_number_name(columns))

    def numbers_of(self, batch: EmbeddingBatch) -> NDArray[np.int64]:
        """Give the numbers of rows' keys; -1 where the chunk has no such key."""
        import polars as pl

        name = _number_name(self._columns)
        found = batch.carried.select(self._columns).join(
            self._known, on=self._columns, how="left", maintain_order="left"
        )
        return found[name].cast(pl.Int64).fill_null(-1).to_numpy()


def _number_name(columns: Sequence[str]) -> str:
    """Make a name that none of the columns has."""
    return "number" + "_".join(columns)


def check_keys(a: EmbeddingReader, b: EmbeddingReader, columns: Sequence[str]) -> None:
    """Refuse keys of two tables that cannot be compared.

    Raises
    ------
    InputTypeError
        Naming the column and both its types.
    """
    from polars.exceptions import PolarsError

    left, right = (reader.no_ids()[1] for reader in (a, b))
    for name in columns:
        try:
            left.select(name).join(right.select(name), on=name)
        except PolarsError:
            raise InputTypeError(
                f"by: column {name!r} is of type {left[name].dtype} in {a.source.name} "
                f"and {right[name].dtype} in {b.source.name}, which do not compare; "
                f"cast one of them"
            ) from None
