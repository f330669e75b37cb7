"""What ids and columns take in memory: polars counts texts, and not the views of them."""

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

_VIEW = 16  # of a text or bytes: its length and place, or itself where it is short
# A text or a list, for want of better.
_LONG_VALUE = _VIEW + 48


def held_bytes(frame: "pl.DataFrame") -> int:
    """Tell what the columns of a frame take.

    Views within lists and structs are taken to be as large as what is counted.
    """
    import polars as pl

    size = int(frame.estimated_size())
    for column in frame:
        if column.dtype in (pl.String, pl.Binary):
            size += _VIEW * len(column)
        elif column.dtype.is_nested():
            size += int(column.estimated_size())
    return size


def guessed_bytes(kind: "pl.DataType") -> int:
    """Tell what a value of a type takes, as far as the type tells."""
    if not _is_fixed(kind):
        return _LONG_VALUE
    return 16 if kind.is_decimal() else 8


def compacted(frame: "pl.DataFrame") -> "pl.DataFrame":
    """Copy texts and lists out of the batches they were taken from.

    A view keeps all of a batch's texts, and there may be one taken of thousands.
    """
    import polars as pl

    if all(_is_fixed(kind) for kind in frame.dtypes):
        return frame
    copied = io.BytesIO()
    frame.write_ipc_stream(copied, compat_level=pl.CompatLevel.oldest())
    copied.seek(0)
    return pl.read_ipc_stream(copied)


def _is_fixed(kind: "pl.DataType") -> bool:
    import polars as pl

    return kind.is_numeric() or kind.is_temporal() or kind == pl.Boolean
