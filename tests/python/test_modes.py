"""What becomes of an output table that is there, and of work that is done twice."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import deltalake
import numpy as np
import polars as pl
import pytest
from delta_tables import contents, streaming, vectors_of, write_table
from fast_lsh_ann import DeltaLSHProcessor, WriteReport
from fast_lsh_ann._arrow import ArrowBatch, RecordBatch
from fast_lsh_ann._tables.delta_write import write_batches
from fast_lsh_ann._tables.output import Mode, Output, done_before
from fast_lsh_ann.errors import (
    DeltaError,
    InputTypeError,
    InvalidVectorError,
    ParameterError,
    TableExistsError,
    TableSchemaError,
)
from killed import Hashes, Pairs, killed_writers
from processes import at_once

Write = Callable[..., Any]

# Every method with an output, called with an input table and the output.
WRITERS: dict[str, Write] = {
    "transform_to_delta": lambda table, out, **kw: streaming().transform_to_delta(
        table, out, **kw
    ),
    "transform_to_delta with embeddings": lambda table, out, **kw: (
        streaming().transform_to_delta(table, out, include_embeddings=True, **kw)
    ),
    "transform_and_save": lambda table, out, **kw: DeltaLSHProcessor(
        1.0, 3, 7
    ).transform_and_save(table, out, **kw),
    "similarity_join_chunked_both": lambda table, out, **kw: (
        streaming().similarity_join_chunked_both(table, table, 0.0, output_path=out, **kw)
    ),
}
ROWS = 40
DONE = WriteReport(0, ROWS, 0.0)


@pytest.fixture
def table(tmp_path: Path) -> str:
    return write_table(tmp_path / "vectors", vectors_of(ROWS))


@pytest.fixture
def broken(tmp_path: Path) -> str:
    """A table whose rows cannot be worked on: whoever reads it gets an error."""
    rows = vectors_of(ROWS)
    rows[0, 0] = np.nan
    return write_table(tmp_path / "broken", rows)


def batches(*numbers: int) -> Iterator[ArrowBatch]:
    for number in numbers:
        yield RecordBatch([("x", np.array([number]))]).__arrow_c_array__()


def numbers_in(path: Path) -> list[int]:
    return sorted(pl.read_delta(str(path))["x"].to_list())


# ---- modes -----------------------------------------------------------------------------


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_modes_refuse_add_or_replace(write: Write, table: str, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    assert write(table, out, mode="error") == DONE
    first = contents(out)[1]
    assert first.height == ROWS
    with pytest.raises(TableExistsError, match="mode='append' or mode='overwrite'"):
        write(table, out, mode="error")
    assert contents(out)[0] == 0
    assert write(table, out, mode="append") == WriteReport(1, ROWS, 0.0)
    doubled = pl.concat([first, first])
    assert contents(out)[1].equals(doubled.sort(first.columns))
    assert write(table, out) == WriteReport(2, ROWS, 0.0)
    assert contents(out)[1].equals(first)


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_table_in_the_way_is_found_before_anything_is_computed(
    write: Write, table: str, broken: str, tmp_path: Path
) -> None:
    out = str(tmp_path / "out")
    with pytest.raises(InvalidVectorError):
        write(broken, out, mode="error")
    write(table, out)
    with pytest.raises(TableExistsError):
        write(broken, out, mode="error")
    other = str(tmp_path / "other")
    pl.DataFrame({"x": [1]}).write_delta(other)
    with pytest.raises((TableSchemaError, DeltaError)):
        write(broken, other, mode="append")


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"id_a": pl.Int64, "id_b": pl.Int64}, "column 'distance' is not in the table"),
        (
            {"id_a": pl.Int64, "id_b": pl.String, "distance": pl.Float64},
            "column 'id_b' of Delta table .* is of type string, .* appended long",
        ),
        (
            {"id_a": pl.Int64, "id_b": pl.Int64, "distance": pl.Float64, "n": pl.Int8},
            "column 'n' is only in the table",
        ),
        (
            {"id_a": pl.Int64, "id_b": pl.Int64, "distance": pl.List(pl.Float64)},
            "column 'distance' .* of type array<double>",
        ),
    ],
)
def test_rows_of_other_columns_are_not_appended(
    columns: dict[str, Any], says: str, broken: str, tmp_path: Path
) -> None:
    out = str(tmp_path / "out")
    pl.DataFrame(schema=columns).write_delta(out)
    with pytest.raises(TableSchemaError, match=says) as raised:
        WRITERS["similarity_join_chunked_both"](broken, out, mode="append")
    assert isinstance(raised.value, ValueError)
    assert "mode='overwrite'" in str(raised.value)
    assert deltalake.DeltaTable(out).version() == 0


def test_an_append_to_no_table_creates_it_first(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def meanwhile() -> Iterator[ArrowBatch]:
        yield from batches(1)
        write_batches(Output(out, "append"), batches(10, 11))
        yield from batches(2)

    report = write_batches(Output(out, "append"), meanwhile(), metadata={"k": "v"})
    assert report == WriteReport(2, 2, 0.0)
    assert numbers_in(out) == [1, 2, 10, 11]
    commits = deltalake.DeltaTable(out).history()
    assert [commit["operation"] for commit in commits] == [
        "WRITE",
        "WRITE",
        "CREATE TABLE",
    ]
    assert commits[0]["k"] == "v"


def test_two_that_create_a_table_at_once_both_append(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between looking for the table and creating it, another process creates it."""
    out = tmp_path / "out"
    create = deltalake.DeltaTable.create

    def late(*args: Any, **kw: Any) -> Any:
        monkeypatch.setattr(deltalake.DeltaTable, "create", create)
        pl.DataFrame({"x": [10]}).write_delta(out)
        return create(*args, **kw)

    monkeypatch.setattr(deltalake.DeltaTable, "create", late)
    assert write_batches(Output(out, "append"), batches(1)) == WriteReport(1, 1, 0.0)
    assert numbers_in(out) == [1, 10]


@pytest.mark.parametrize("mode", ["error", "overwrite"])
def test_a_table_created_meanwhile_is_left_alone(mode: Mode, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def meanwhile() -> Iterator[ArrowBatch]:
        yield from batches(1)
        pl.DataFrame({"x": [10]}).write_delta(out)

    expected = TableExistsError if mode == "error" else DeltaError
    with pytest.raises(expected, match=r"mode='error'|changed by another process"):
        write_batches(Output(out, mode), meanwhile())
    assert numbers_in(out) == [10]
    assert deltalake.DeltaTable(out).version() == 0


@pytest.mark.parametrize("mode", ["error", "overwrite"])
def test_a_table_created_before_the_writer_looks_is_left_alone(
    mode: Mode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    write = deltalake.write_deltalake

    def late(*args: Any, **kw: Any) -> None:
        write(out, pl.DataFrame({"x": [10]}))
        write(*args, **kw)

    monkeypatch.setattr(deltalake, "write_deltalake", late)
    expected = TableExistsError if mode == "error" else DeltaError
    with pytest.raises(expected, match=r"mode='error'|changed by another process"):
        write_batches(Output(out, mode), batches(1))
    assert numbers_in(out) == [10]


def test_a_table_that_is_changed_while_it_is_replaced_is_left_alone(
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    pl.DataFrame({"x": [5]}).write_delta(out)

    def meanwhile() -> Iterator[ArrowBatch]:
        yield from batches(1)
        pl.DataFrame({"x": [10]}).write_delta(out, mode="append")

    with pytest.raises(DeltaError, match=r"changed by another process .* run it again"):
        write_batches(Output(out, "overwrite"), meanwhile())
    assert numbers_in(out) == [5, 10]
    assert write_batches(Output(out, "overwrite"), batches(1)).version == 2
    assert numbers_in(out) == [1]


def test_a_report_tells_the_version_of_its_own_commit(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_batches(Output(out), batches(1))

    def meanwhile() -> Iterator[ArrowBatch]:
        yield from batches(2)
        write_batches(Output(out, "append"), batches(3))

    report = write_batches(Output(out, "append"), meanwhile())
    assert report.version == 2
    assert 0 < report.seconds < 60
    (made,) = deltalake.DeltaTable(out).history(1)
    assert (made["version"], made["operationMetrics"]["num_added_rows"]) == (2, 1)


# ---- jobs ------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["error", "append", "overwrite"])
@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_job_is_done_once(
    write: Write, mode: Mode, table: str, broken: str, tmp_path: Path
) -> None:
    out = str(tmp_path / "out")
    options: Any = {"mode": mode, "job_id": "january"}
    version = write(table, out, **options).version
    assert version == (1 if mode == "append" else 0)
    before = contents(out)
    # A table that cannot be read shows that nothing is computed.
    assert write(broken, out, **options) == WriteReport(version, 0, 0.0, skipped=True)
    assert contents(out)[0] == before[0]
    assert contents(out)[1].equals(before[1])
    assert done_before(out, "january") == WriteReport(version, 0, 0.0, skipped=True)
    assert done_before(out, "february") is None
    if mode != "error":
        assert write(table, out, mode=mode, job_id="february").skipped is False
        assert done_before(out, "january") == WriteReport(version, 0, 0.0, skipped=True)


def test_a_jobs_version_is_found_among_many_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert done_before(out, "first") is None
    write_batches(Output(out, job_id="first"), batches(0))
    for number in range(25):
        write_batches(Output(out, "append"), batches(number))
    assert done_before(out, "first") == WriteReport(0, 0, 0.0, skipped=True)
    other = deltalake.CommitProperties(
        app_transactions=[deltalake.Transaction("fast_lsh_ann:other", 1)]
    )
    pl.DataFrame({"x": [1]}).write_delta(
        out, mode="append", delta_write_options={"commit_properties": other}
    )
    assert done_before(out, "other") == WriteReport(None, 0, 0.0, skipped=True)


def test_a_job_that_another_process_did_meanwhile_is_not_done_again(
    tmp_path: Path,
) -> None:
    modes: list[Mode] = ["error", "append", "overwrite"]
    for there in (False, True):
        for mode in modes[there:]:
            out = tmp_path / f"{mode}-{there}"
            if there:
                write_batches(Output(out), batches(5))

            def meanwhile(out: Path = out, mode: Mode = mode) -> Iterator[ArrowBatch]:
                yield from batches(1)
                write_batches(Output(out, mode, "job"), batches(2))

            report = write_batches(Output(out, mode, "job"), meanwhile())
            version = deltalake.DeltaTable(out).version()
            assert report == WriteReport(version, 0, 0.0, skipped=True), (mode, there)
            assert numbers_in(out) == ([2, 5] if there and mode == "append" else [2])


def test_a_job_id_is_a_name(table: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ParameterError, match="job_id is empty"):
        WRITERS["transform_to_delta"](table, out, job_id="")
    with pytest.raises(InputTypeError, match="job_id must be a str, got int"):
        WRITERS["transform_to_delta"](table, out, job_id=7)
    with pytest.raises(ParameterError, match="mode must be one of error, append, over"):
        WRITERS["transform_to_delta"](table, out, mode="replace")
    count: Any = streaming().similarity_join_chunked_both
    for options in ({"mode": "append"}, {"job_id": "x"}):
        with pytest.raises(ParameterError, match="there is no output_path"):
            count(table, table, 1.0, **options)
    assert not out.exists()


# ---- processes -------------------------------------------------------------------------


def test_eight_that_append_at_once_lose_and_double_nothing(tmp_path: Path) -> None:
    tables = [
        write_table(tmp_path / f"t{part}", vectors_of(30), ids=range(part, 240, 8))
        for part in range(8)
    ]
    out = tmp_path / "out"
    reports = at_once(tables, out, mode="append", times=3)
    versions = sorted(version for each in reports for version, _ in each)
    assert versions == list(range(1, 25))
    ids = pl.read_delta(str(out))["id"].value_counts().sort("id")
    assert ids["id"].to_list() == list(range(240))
    assert set(ids["count"]) == {3}


@pytest.mark.parametrize("mode", ["error", "append", "overwrite"])
def test_three_that_do_one_job_at_once_do_it_once(
    mode: str, table: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    reports = at_once([table] * 3, out, mode=mode, job_id="job")
    assert sorted(skipped for ((_, skipped),) in reports) == [False, True, True]
    assert len({version for ((version, _),) in reports}) == 1
    assert sorted(pl.read_delta(str(out))["id"]) == list(range(ROWS))


def test_writers_that_are_killed_leave_the_old_table_or_the_new_one(
    tmp_path: Path,
) -> None:
    for moments, work in ((4, Hashes()), (2, Pairs())):
        folder = tmp_path / work.name
        seen = killed_writers(folder, work, moments=moments, seed=1)
        assert sum(seen.values()) == moments
