"""What a write has done."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class WriteReport:
    """What became of a call that writes a table.

    Attributes
    ----------
    version : int or None
        The version of the Delta table that has the rows; None for files, and where a
        table's log does not tell any more.
    rows : int
        Rows written by this call.
    seconds : float
        How long the call took; reports are equal whatever it is.
    skipped : bool
        Whether nothing was computed, since the table has the rows of this `job_id`.
    """

    version: int | None
    rows: int
    seconds: float = field(compare=False)
    skipped: bool = False
