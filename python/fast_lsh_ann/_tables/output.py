"""Where a call writes: the Delta table, what becomes of one that is there, the job."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from fast_lsh_ann import _core
from fast_lsh_ann._arrow import ArrowBatch, SchemaExport
from fast_lsh_ann._inputs import as_choice
from fast_lsh_ann._tables.delta import (
    TablePath,
    as_options,
    as_uri,
    call_delta,
    is_local,
    open_table,
)
from fast_lsh_ann._tables.report import WriteReport
from fast_lsh_ann.errors import (
    DeltaError,
    InputTypeError,
    ParameterError,
    TableExistsError,
    TableNotFoundError,
    TableSchemaError,
)

if TYPE_CHECKING:
    from deltalake import DeltaTable, Schema

Mode: TypeAlias = Literal["error", "append", "overwrite"]
_MODES = ("error", "append", "overwrite")

JOB_KEY = "fast_lsh_ann.job_id"
# Commits looked through for the one of a job before all of them are.
_RECENT_COMMITS = 20


# How a path that names a file ends, and what the file is.
_FILE_KINDS = {
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".arrows": "arrows",
}


def file_kind(uri: str) -> str | None:
    """Tell what file a path names: "parquet", "arrow", "arrows"; None: a Delta table."""
    return _FILE_KINDS.get(Path(uri).suffix.lower())


@dataclass(frozen=True)
class Output:
    """A Delta table to be written by one call.

    Make it when the call begins, `check` it before anything is computed, and give it to
    :func:`write_batches`.

    Parameters
    ----------
    path : str or path-like
        A folder, or the URI of an object store.
    mode : {"error", "append", "overwrite"}
        What to do where there is a table: refuse, add rows to it, or replace it.
    job_id : str, optional
        Names the work.  A table that has the rows of a job does not get them twice.
    storage_options : mapping, optional
        Credentials and settings of the object store.

    Raises
    ------
    InputTypeError, ParameterError
        If one of them is of the wrong type or has no such value.
    """

    path: TablePath
    mode: Mode = "error"
    job_id: str | None = None
    storage_options: Mapping[str, str] | None = None
    # When the call began, for its report.
    started: float = field(default_factory=time.perf_counter, compare=False)

    def __post_init__(self) -> None:
        as_uri(self.path)
        as_options(self.storage_options)
        as_choice(self.mode, "mode", _MODES)
        _check_job_id(self.job_id)

    @property
    def uri(self) -> str:
        """The path as a string."""
        return as_uri(self.path)

    def check(self, nothing: ArrowBatch | None = None) -> WriteReport | None:
        """Find out, before anything is computed, whether it can be written.

        Parameters
        ----------
        nothing : record batch, optional
            Has the columns that will be written, as far as they are known.

        Returns
        -------
        WriteReport or None
            A report where the table has the rows of this job: nothing is to be done.

        Raises
        ------
        TableExistsError
            If there is a table, with mode "error".
        TableSchemaError
            If there is a table of other columns, with mode "append".
        DeltaError
            If the table cannot be opened.
        """
        table = self.open()
        return None if table is None else self.check_table(table, nothing)

    def open(self) -> "DeltaTable | None":
        """Open the newest version; None where there is no table."""
        if is_local(self.uri) and Path(self.uri.removeprefix("file://")).is_file():
            raise DeltaError(f"{self.uri!r} is a file; a Delta table is a folder")
        try:
            return open_table(self.path, storage_options=self.storage_options)
        except TableNotFoundError:
            return None

    def check_table(
        self, table: "DeltaTable", nothing: ArrowBatch | None
    ) -> WriteReport | None:
        """Do what `check` does, of a table that is open."""
        if (done := self.done_in(table)) is not None:
            return done
        if self.mode == "error":
            raise self.exists()
        if self.mode == "append" and nothing is not None:
            call_delta(lambda: _require_columns(table, nothing[0], self.uri), self.uri)
        return None

    def done_in(self, table: "DeltaTable") -> WriteReport | None:
        """Give a report where a table has the rows of this job."""
        name = self.transaction
        if name is None or call_delta(
            lambda: table.transaction_version(name) is None, self.uri
        ):
            return None
        version = call_delta(lambda: _version_of_job(table, self.job_id), self.uri)
        return self.report(version, 0, skipped=True)

    def report(
        self, version: int | None, rows: int, *, skipped: bool = False
    ) -> WriteReport:
        """Tell what became of the call."""
        return WriteReport(version, rows, time.perf_counter() - self.started, skipped)

    def exists(self) -> TableExistsError:
        """Make the error for a table that is in the way."""
        return TableExistsError(
            f"there is a Delta table at {self.uri!r}, which mode='error' leaves alone; "
            f"pass mode='append' or mode='overwrite', or name another path"
        )

    @property
    def transaction(self) -> str | None:
        """What the table's log calls the job."""
        return None if self.job_id is None else f"fast_lsh_ann:{self.job_id}"


def done_before(
    output_path: TablePath,
    job_id: str,
    storage_options: Mapping[str, str] | None = None,
) -> WriteReport | None:
    """Give a report where a table has the rows of a job, else None.

    Raises
    ------
    DeltaError
        If the table cannot be opened.
    """
    output = Output(output_path, job_id=job_id, storage_options=storage_options)
    table = output.open()
    return None if table is None else output.done_in(table)


def _check_job_id(job_id: Any) -> None:
    if job_id is None:
        return
    if not isinstance(job_id, str):
        raise InputTypeError(f"job_id must be a str, got {type(job_id).__name__}")
    if not job_id:
        raise ParameterError("job_id is empty; name the work, as 'hashes-2026-01-31'")


def _version_of_job(table: "DeltaTable", job_id: str | None) -> int | None:
    for most in (_RECENT_COMMITS, None):
        for commit in table.history(most):
            if commit.get(JOB_KEY) == job_id:
                return int(commit["version"])
    return None


# ---- columns ---------------------------------------------------------------------------


def delta_schema(schema: "_core.ArrowSchema") -> "Schema":
    """Give a record batch's schema as a table has it; the capsule stays as it is."""
    from deltalake import Schema

    return Schema.from_arrow(SchemaExport(schema))


def _require_columns(table: "DeltaTable", schema: "_core.ArrowSchema", uri: str) -> None:
    """Refuse to append columns of other names or types than a table's."""
    ours, theirs = _types(delta_schema(schema)), _types(table.schema())
    advice = "append the same columns, or replace the table with mode='overwrite'"
    for name in [*theirs, *ours]:
        if name not in ours or name not in theirs:
            where = "is only in the table" if name in theirs else "is not in the table"
            raise TableSchemaError(
                f"column {name!r} {where}: Delta table {uri!r} has {list(theirs)}, the "
                f"rows to be appended have {list(ours)}; {advice}"
            )
        if ours[name] != theirs[name]:
            raise TableSchemaError(
                f"column {name!r} of Delta table {uri!r} is of type {theirs[name]}, of "
                f"the rows to be appended {ours[name]}; {advice}"
            )


def _types(schema: "Schema") -> dict[str, str]:
    fields = json.loads(schema.to_json())["fields"]
    return {field["name"]: _type_text(field["type"]) for field in fields}


def _type_text(kind: Any) -> str:
    """Spell a type as SQL does; whether it may hold nulls is no part of it."""
    if isinstance(kind, str):
        return kind
    if kind["type"] == "array":
        return f"array<{_type_text(kind['elementType'])}>"
    if kind["type"] == "map":
        return f"map<{_type_text(kind['keyType'])},{_type_text(kind['valueType'])}>"
    parts = (f"{f['name']}:{_type_text(f['type'])}" for f in kind["fields"])
    return f"struct<{','.join(parts)}>"
