"""Conditions on rows, in polars' SQL, for tables that no query engine reads."""

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

# What leaves one of the two is no expression in the other.
_FORMS = ("(\n{}\n)", "CASE WHEN\n{}\nTHEN TRUE END")
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"")
# What sees other rows than its own, or other tables; pieces of a table are seen alone.
_AGGREGATES = (
    "avg|corr|count|covar|covar_pop|covar_samp|first|first_value|last|last_value|max|"
    "median|min|quantile_cont|quantile_disc|array_agg|string_agg|stddev|stddev_pop|"
    "stddev_samp|stdev|stdev_samp|sum|var|var_pop|var_samp|variance"
)
_BEYOND_A_ROW = re.compile(rf"\b(select|over|({_AGGREGATES})(?=\s*\())\b", re.IGNORECASE)


class Condition:
    """A condition that a row passes or not, whatever the other rows are.

    Parameters
    ----------
    text : str
        An expression in polars' SQL.
    nothing : polars.DataFrame
        A frame without rows, of the table's columns.

    Attributes
    ----------
    columns : list of str
        Columns that evaluating it needs, and maybe others.

    Raises
    ------
    ValueError
        If it is none for such columns; polars' errors too.
    """

    def __init__(self, text: str, nothing: "pl.DataFrame") -> None:
        self._text = text
        # Identifiers are told apart by case, and stand in the text as they are.
        named = [name for name in nothing.columns if name.replace('"', '""') in text]
        self.columns = named or nothing.columns[:1]
        beyond = _BEYOND_A_ROW.search(_QUOTED.sub("''", text))
        if beyond is not None:
            raise ValueError(f"{beyond[0].upper()} looks beyond the row itself")
        for form in _FORMS:
            self._check(form, nothing.select(self.columns))

    def _check(self, form: str, nothing: "pl.DataFrame") -> None:
        import polars as pl

        keep = self._evaluate(form, nothing)
        if keep.dtype != pl.Boolean:
            raise ValueError(f"it gives {keep.dtype}, not true or false")
        if len(keep) > 0:
            raise ValueError("it looks beyond the row itself")

    def _evaluate(self, form: str, frame: "pl.DataFrame") -> "pl.Series":
        import polars as pl

        query = f"SELECT {form.format(self._text)} AS keep FROM source"
        return pl.SQLContext(source=frame).execute(query, eager=True)["keep"]

    def passing(self, batch: "pa.RecordBatch") -> "pa.RecordBatch":
        """Give the rows of a batch that pass: null is no pass."""
        import polars as pl
        import pyarrow as pa

        keep = self._evaluate(_FORMS[0], pl.DataFrame(batch.select(self.columns)))
        keep = keep.fill_null(value=False)
        if keep.all():
            return batch
        columns = [_filtered(column, keep) for column in batch.columns]
        return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _filtered(column: Any, keep: "pl.Series") -> Any:
    import polars as pl
    import pyarrow as pa

    try:
        return column.filter(keep.to_arrow())
    except pa.ArrowNotImplementedError:  # views of strings
        return pl.Series(column).filter(keep).to_arrow()
