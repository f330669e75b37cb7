"""Writing a Delta table as one streamed commit that Ctrl-C or an error leaves undone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from fast_lsh_ann._arrow import ArrowBatch, RecordBatchStream
from fast_lsh_ann._log import logger
from fast_lsh_ann._tables.delta import as_options, call_delta, delta_error
from fast_lsh_ann._tables.layout import TableLayout
from fast_lsh_ann._tables.output import JOB_KEY, Output, delta_schema
from fast_lsh_ann._tables.pump import pump
from fast_lsh_ann._tables.report import WriteReport
from fast_lsh_ann._threads import Worker
from fast_lsh_ann.errors import DeltaError, TableNotFoundError

if TYPE_CHECKING:
    from deltalake import CommitProperties, DeltaTable

# Forty processes that append at once fail now and then with the default of 15.
_APPEND_RETRIES = 200
# Columns of which nothing is known.
_PLAIN = TableLayout()


def write_batches(
    output: Output,
    batches: Iterable[ArrowBatch],
    *,
    metadata: Mapping[str, str] | None = None,
    layout: TableLayout = _PLAIN,
) -> WriteReport:
    """Write a table's rows, in one commit.

    The batches are made in the calling thread, and deltalake pulls them in others.  An
    exception while they are made ends the write without a commit and goes on unchanged;
    files already uploaded stay, unreferenced, until the table is vacuumed.  Rows are
    appended to a table that is not there once it was created, empty, by a commit of its
    own: others may append to it at the same time.

    Parameters
    ----------
    output : Output
        The table, which `output.check` was asked about before.
    batches : iterable of record batches
        At least one, all of one schema.  Their order is not kept by the table.
    metadata : mapping, optional
        Goes into the commit.
    layout : TableLayout, optional
        How they are stored; by default columns get dictionaries, and groups are of a
        million rows.

    Returns
    -------
    WriteReport

    Raises
    ------
    TableExistsError, TableSchemaError
        As `output.check` raises them, also for a table that was created meanwhile.
    DeltaError
        If the table cannot be written, or was changed while it was replaced.
    """
    made = iter(batches)
    first = next(made)
    table = output.open()
    if table is None and output.mode == "append":
        table = _created(output, first)
    if table is not None and (done := output.check_table(table, first)) is not None:
        return done
    commit = _Commit(output, table, metadata or {}, layout)
    arrays = (array for _, array in chain([first], made))
    rows, writer = pump(first[0], arrays, commit.write)
    return _finish(writer, commit, rows)


@dataclass(frozen=True)
class _Commit:
    """Rows on their way into a table, or into a new one where `table` is None."""

    output: Output
    table: "DeltaTable | None"
    metadata: Mapping[str, str]
    layout: TableLayout

    def write(self, stream: RecordBatchStream) -> None:
        from deltalake import write_deltalake

        # A new table must still be none; one that is open knows its version after.
        mode = "error" if self.table is None else self.output.mode
        write_deltalake(
            self.output.uri if self.table is None else self.table,
            stream,
            mode=mode,
            schema_mode="overwrite" if mode == "overwrite" else None,
            storage_options=as_options(self.output.storage_options),
            writer_properties=self.layout.writer_properties(),
            commit_properties=self._properties(),
        )

    def _properties(self) -> "CommitProperties":
        from deltalake import CommitProperties, Transaction

        metadata, transactions = dict(self.metadata), []
        if (name := self.output.transaction) is not None:
            metadata[JOB_KEY] = str(self.output.job_id)
            transactions = [Transaction(name, 1)]
        return CommitProperties(
            custom_metadata=metadata,
            # Tried again, a table would be created over another's, and one that was
            # replaced would keep the rows that came meanwhile.
            max_commit_retries=_APPEND_RETRIES if self.output.mode == "append" else 0,
            app_transactions=transactions,
        )

    def may_have_lost(self, error: BaseException) -> bool:
        """Tell whether the commit of another process may have come first."""
        from deltalake import exceptions as known

        creating = self.table is None
        return isinstance(
            error, known.DeltaError if creating else known.CommitFailedError
        )

    def version(self) -> int:
        return 0 if self.table is None else self.table.version()


def _created(output: Output, first: ArrowBatch) -> "DeltaTable":
    """Create a table without rows, or open the one that another process created."""

    def create() -> "DeltaTable":
        from deltalake import CommitProperties, DeltaTable

        return DeltaTable.create(
            output.uri,
            delta_schema(first[0]),
            storage_options=as_options(output.storage_options),
            commit_properties=CommitProperties(max_commit_retries=0),
        )

    try:
        return call_delta(create, output.uri)
    except DeltaError:
        if (table := output.open()) is None:
            raise
        return table


def _finish(writer: Worker[None], commit: _Commit, rows: int) -> WriteReport:
    output = commit.output
    try:
        writer.result()
    except BaseException as error:
        lost = commit.may_have_lost(error)
        if lost and (done := _beaten(output, commit.table)) is not None:
            return done
        raise _write_error(error, output.uri) from error
    version = commit.version()
    logger.info(
        "Delta table %r: %d rows in one commit, version %d", output.uri, rows, version
    )
    return output.report(version, rows)


def _beaten(output: Output, was: "DeltaTable | None") -> WriteReport | None:
    """Find out what another process, whose commit came first, has done."""
    table = output.open()
    if table is None:
        return None
    if (done := output.done_in(table)) is not None:
        return done
    if was is None and output.mode == "error":
        raise output.exists()
    raise DeltaError(
        f"Delta table {output.uri!r} was changed by another process while it was being "
        f"written; nothing of this call is in it: run it again"
    )


def _write_error(error: BaseException, uri: str) -> BaseException:
    translated = delta_error(error, uri)
    if translated is None:
        return error
    if isinstance(translated, TableNotFoundError):  # deltalake's word for a folder
        reason = (str(error).splitlines() or [""])[0]
        translated = DeltaError(f"Delta table {uri!r}: {reason}")
    return DeltaError(f"the write failed: {translated}")
