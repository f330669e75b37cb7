"""How the columns of a Delta table are stored in its Parquet files."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deltalake import WriterProperties

# A group of rows is held in memory while it is written, by a writer for each processor,
# and while it is read.
GROUP_BYTES = 8 << 20


@dataclass(frozen=True)
class TableLayout:
    """What is known of a table's columns before they are stored.

    Values without a dictionary are stored plainly.  Floats split into planes of bytes
    would take a tenth to a third less, but Spark does not read them: its reader knows
    none of Parquet's BYTE_STREAM_SPLIT up to version 4.1.

    Attributes
    ----------
    row_bytes : int or None
        Of a row, which limits how many are in memory as a group; None for groups of a
        million.
    numbers : sequence of str
        Columns whose values hardly repeat: they get no dictionary.
    vectors : bool
        Whether all other columns hold vectors: they get no dictionary either, and no
        statistics of single coordinates.
    """

    row_bytes: int | None = None
    numbers: Sequence[str] = ()
    vectors: bool = False

    def writer_properties(self) -> "WriterProperties":
        """Tell deltalake."""
        from deltalake import ColumnProperties, WriterProperties

        number = ColumnProperties(
            dictionary_enabled=False, statistics_enabled="CHUNK", encoding="PLAIN"
        )
        # deltalake finds a nested leaf by no name: what vectors get are the defaults.
        vector = ColumnProperties(
            dictionary_enabled=False, statistics_enabled="NONE", encoding="PLAIN"
        )
        most = None if self.row_bytes is None else max(1, GROUP_BYTES // self.row_bytes)
        return WriterProperties(
            compression="ZSTD",
            max_row_group_size=most,
            default_column_properties=vector if self.vectors else None,
            column_properties=dict.fromkeys(self.numbers, number) or None,
        )
