"""Delta tables with Spark ML vectors, as real Spark wrote them and read them itself."""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fast_lsh_ann._tables.delta_vectors as delta_vectors
import numpy as np
import polars as pl
import pytest
from delta_tables import READERS, by_id, processor, vectors_of, write_table
from deltalake import QueryBuilder
from fast_lsh_ann import DeltaLSHProcessor, WriteReport, read_delta_embeddings
from fast_lsh_ann._tables.delta_actions import moved_action
from fast_lsh_ann.delta_utils import open_table, read_delta_lazy
from fast_lsh_ann.errors import (
    DeltaError,
    InputTypeError,
    InvalidVectorError,
    SparkVectorColumnError,
)
from golden import FOLDER, doubles, load
from numpy.typing import NDArray

TABLES = FOLDER / "delta_vectors" / "tables"
EXPECTED: dict[str, dict[str, Any]] = load("delta_vectors/expected.json")["tables"]
CASES = [(name, int(v)) for name, versions in EXPECTED.items() for v in versions]
CHECKPOINTS = [name for name in EXPECTED if name.startswith("checkpoint")]
# Versions of the tables above at which there is a checkpoint, and after.
SINCE_CHECKPOINT = (3, 4, 5)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files, which must be empty at the end of every test."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def copied(name: str, tmp_path: Path) -> Path:
    """A recorded table to be changed."""
    return Path(shutil.copytree(TABLES / name, tmp_path / name))


def log_of(table: Path, version: int) -> Path:
    return table / "_delta_log" / f"{version:020}.json"


def forget_commits(table: Path, before: int) -> None:
    """Do what Spark's cleaning of old commits does."""
    for version in range(before):
        log_of(table, version).unlink()


def recorded(name: str, version: int) -> tuple[list[Any], NDArray[np.float64]]:
    """Ids and vectors as Spark read them; NaN for vectors that are null."""
    answers = EXPECTED[name][str(version)]
    assert answers
    nothing = [float("nan")] * 4
    rows = [nothing if bits is None else doubles(bits) for _, bits, _ in answers]
    return [key for key, *_ in answers], np.array(rows)


def read(table: Any, version: int | datetime | None = None) -> dict[int, bytes]:
    """The bits of every vector, by id."""
    rows, ids = read_delta_embeddings(table, "features", "id", version=version)
    assert rows.dtype == np.float64
    assert ids is not None
    assert len(set(ids.tolist())) == len(ids)
    return {int(i): row.tobytes() for i, row in zip(ids, rows, strict=True)}


def in_spark(name: str, version: int) -> dict[int, bytes]:
    ids, rows = recorded(name, version)
    return {i: row.tobytes() for i, row in zip(ids, rows, strict=True)}


# ---- as Spark reads them ---------------------------------------------------------------


@pytest.mark.parametrize(("name", "version"), [c for c in CASES if c[0] != "nulls"])
def test_rows_and_hashes_are_those_that_spark_reads(name: str, version: int) -> None:
    assert read(TABLES / name, version) == in_spark(name, version)
    lsh = DeltaLSHProcessor(0.5, 3, 7)
    frame = lsh.transform_delta(TABLES / name, "features", version=version)
    hashes = [found for *_, found in EXPECTED[name][str(version)]]
    np.testing.assert_array_equal(by_id(frame), hashes)


def test_the_newest_version_is_read_unless_asked_otherwise() -> None:
    for name, versions in EXPECTED.items():
        if name != "nulls":
            assert read(TABLES / name) == in_spark(name, max(map(int, versions)))


def test_null_vectors_are_named_by_row() -> None:
    nulls = [i for i, bits, _ in EXPECTED["nulls"]["0"] if bits is None]
    assert nulls == [2, 5, 8]  # and rows of one file come in their order
    with pytest.raises(InvalidVectorError, match="row 2 is null") as raised:
        read_delta_embeddings(TABLES / "nulls", "features")
    assert raised.value.row == 2
    assert "'features'" in str(raised.value)


def test_partition_values_of_any_text_are_kept() -> None:
    names = load("delta_vectors/expected.json")["partition_names"]
    assert None in names
    table = delta_vectors.open_pinned(TABLES / "partitioned").table
    builder = QueryBuilder().register("t", table)
    found = pl.DataFrame(builder.execute("SELECT id, name FROM t"))
    assert dict(found.iter_rows()) == dict(enumerate(names))


@pytest.mark.parametrize("method", READERS)
def test_every_method_answers_as_over_arrays(tmp_path: Path, method: str) -> None:
    ids, rows = recorded("mixed", 0)
    arrays = write_table(tmp_path / "arrays", rows, ids, element=pl.Float64)
    call, name = READERS[method], {"embedding_column": "features"}
    vectors = str(TABLES / "mixed")
    ours = call(vectors, tmp_path / "ours", **name)
    theirs = call(arrays, tmp_path / "theirs")
    if isinstance(ours, WriteReport):
        assert ours == theirs
    else:
        assert repr(ours) == repr(theirs)
    assert (tmp_path / "ours").exists() == (tmp_path / "theirs").exists()
    if (tmp_path / "ours").exists():
        written = [pl.read_delta(str(tmp_path / x)) for x in ("ours", "theirs")]
        first, second = (frame.sort(frame.columns[::-1]) for frame in written)
        assert first.rows() == second.rows()


# ---- what logs are made of -------------------------------------------------------------


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_checkpoints_stand_for_commits_that_are_gone(tmp_path: Path, name: str) -> None:
    table = copied(name, tmp_path)
    forget_commits(table, 3)
    for version in SINCE_CHECKPOINT:
        assert read(table, version) == in_spark(name, version)
    for version in SINCE_CHECKPOINT:
        log_of(table, version).unlink()
    assert read(table) == in_spark(name, 3)
    with pytest.raises(
        DeltaError, match=r"version 2: .* no commit 0,.*newer version"
    ) as raised:
        read(table, 2)
    assert str(table) in str(raised.value)


def test_a_checkpoint_is_used_where_commits_are_there_too(tmp_path: Path) -> None:
    table = copied("checkpoint", tmp_path)
    log_of(table, 1).write_text("no JSON")
    assert read(table, 5) == in_spark("checkpoint", 5)


def test_a_checkpoint_without_one_of_its_parts_is_none(tmp_path: Path) -> None:
    table = copied("checkpoint_parts", tmp_path)
    (table / "_delta_log" / "_last_checkpoint").unlink()  # it is written last
    parts = sorted((table / "_delta_log").glob("*.checkpoint.*.parquet"))
    assert len(parts) == 5
    for part in parts:
        content = part.read_bytes()
        part.unlink()
        assert read(table, 5) == in_spark("checkpoint_parts", 5), part.name
        part.write_bytes(content)


def test_maps_of_a_checkpoint_are_read_as_entries_too() -> None:
    """So polars gives them before version 2."""
    entries = [{"key": "day", "value": "1"}, {"key": "name", "value": None}]
    add = {"path": "a", "partitionValues": entries, "size": 1, "modificationTime": 1}
    moved = moved_action({"add": add, "remove": None}, Path("/t"))
    assert moved is not None
    assert moved["add"]["partitionValues"] == {"day": "1", "name": None}


def test_files_elsewhere_are_found(tmp_path: Path) -> None:
    table = copied("dense", tmp_path)
    (file,) = table.glob("*.parquet")
    (tmp_path / "else where").mkdir()
    moved = file.rename(tmp_path / "else where" / file.name)
    log = log_of(table, 0)
    text = log.read_text()
    for path in (moved.as_uri(), moved.as_uri().removeprefix("file://")):
        log.write_text(text.replace(f'"path":"{file.name}"', f'"path":"{path}"'))
        assert read(table) == in_spark("dense", 0), path


def test_a_table_without_rows_gives_none(tmp_path: Path) -> None:
    table = copied("dense", tmp_path)
    (file,) = table.glob("*.parquet")
    remove = {"path": file.name, "dataChange": True}
    log_of(table, 1).write_text(json.dumps({"remove": remove}))
    assert read(table) == {}
    assert read(table, 0) == in_spark("dense", 0)


def test_empty_lines_of_a_commit_mean_nothing(tmp_path: Path) -> None:
    table = copied("dense", tmp_path)
    log = log_of(table, 0)
    log.write_text(log.read_text().replace("\n", "\n\n"))
    assert read(table) == in_spark("dense", 0)


def test_tables_are_found_by_any_name_of_their_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = copied("deleted", tmp_path).rename(tmp_path / "ü 1 #2")
    monkeypatch.chdir(tmp_path)
    for path in (table, str(table), table.name):
        assert read(path) == in_spark("deleted", 3), path
    plain = copied("deleted", tmp_path)
    assert read(f"file://{plain}") == in_spark("deleted", 3)


# ---- versions --------------------------------------------------------------------------


def test_a_version_that_is_not_there_is_refused() -> None:
    with pytest.raises(DeltaError, match=r"no version 2; the newest is 1") as raised:
        read(TABLES / "appends", 2)
    assert not isinstance(raised.value, SparkVectorColumnError)


def test_moments_name_the_commit_before_them(tmp_path: Path) -> None:
    table = copied("appends", tmp_path)
    for version in (0, 1):
        os.utime(log_of(table, version), (1000 + version, 1000 + version))
    answers = {999.0: 0, 1000.0: 0, 1000.999: 0, 1001.0: 1, 2000.0: 1}
    for seconds, version in answers.items():
        moment = datetime.fromtimestamp(seconds, UTC)
        assert read(table, moment) == in_spark("appends", version), seconds


def test_moments_in_commits_go_before_those_of_files(tmp_path: Path) -> None:
    table = copied("appends", tmp_path)
    for version in (0, 1):
        log = log_of(table, version)
        info, *others = log.read_text().splitlines()
        action = json.loads(info)
        action["commitInfo"]["inCommitTimestamp"] = 1_000_000 + version
        log.write_text("\n".join([json.dumps(action), *others]))
    for version in (0, 1):
        moment = datetime.fromtimestamp(1000 + version / 1000, UTC)
        assert read(table, moment) == in_spark("appends", version)


def test_an_open_reader_needs_no_log(tmp_path: Path) -> None:
    table = copied("checkpoint", tmp_path)
    reader = delta_vectors.open_pinned(table, version=4)
    shutil.rmtree(table / "_delta_log")
    assert reader.version == 4
    assert reader.table.count() == 20


# ---- what is left behind, and what is refused ------------------------------------------


def test_the_copy_is_for_the_owner_only_and_the_table_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = copied("checkpoint", tmp_path)
    before = {file: file.stat().st_mtime_ns for file in table.rglob("*")}
    modes = []
    write = delta_vectors._write_commit

    def watched(copy: Path, *rest: Any) -> None:
        modes.append(copy.stat().st_mode & 0o777)
        write(copy, *rest)

    monkeypatch.setattr(delta_vectors, "_write_commit", watched)
    read(table)
    assert modes == [0o700] * 3  # the checkpoint and two commits
    assert {file: file.stat().st_mtime_ns for file in table.rglob("*")} == before


def test_a_log_that_cannot_be_copied_is_answered_with_the_fix(tmp_path: Path) -> None:
    table = copied("checkpoint", tmp_path)
    forgets = copied("checkpoint_v2_json", tmp_path)
    (sidecar,) = (forgets / "_delta_log" / "_sidecars").iterdir()
    sidecar.unlink()
    future = '{"protocol":{"minReaderVersion":99,"minWriterVersion":99}}'
    cases = [(forgets, "No such file")]
    for number, (text, reason) in enumerate([('{"add":{}}', "'path'"), (future, "99")]):
        changed = Path(shutil.copytree(table, tmp_path / str(number)))
        log_of(changed, 4).write_text(text)
        cases.append((changed, reason))
    for path, reason in cases:
        with pytest.raises(SparkVectorColumnError, match=re.escape(reason)) as raised:
            read(path)
        assert 'vector_to_array("features", "float32")' in str(raised.value)


@pytest.mark.parametrize("method", READERS)
def test_tables_in_object_stores_are_answered_with_the_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(delta_vectors, "is_local", lambda _: False)
    with pytest.raises(SparkVectorColumnError) as raised:
        READERS[method](
            str(TABLES / "dense"), tmp_path / "o", embedding_column="features"
        )
    assert "columns ['features']" in str(raised.value)
    assert 'vector_to_array("features", "float32")' in str(raised.value)


def test_what_deltalake_must_open_itself_is_answered_with_the_fix() -> None:
    calls: list[Callable[[Any], object]] = [
        open_table,
        lambda table: read_delta_lazy(table, "features", "id"),
    ]
    for call in calls:
        with pytest.raises(SparkVectorColumnError, match=r"vector_to_array"):
            call(TABLES / "dense")


# ---- types of elements -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("element", "dtype"),
    [
        (pl.Int8, np.float32),
        (pl.Int16, np.float32),
        (pl.Int32, np.float64),
        (pl.Int64, np.float64),
        (pl.Float32, np.float32),
        (pl.Float64, np.float64),
    ],
)
def test_arrays_of_any_numbers_are_read(tmp_path: Path, element: Any, dtype: Any) -> None:
    rows = [[1, -128, 127], [0, 3, -4]]
    table = write_table(tmp_path / "t", rows, element=element)
    found, _ = read_delta_embeddings(table)
    assert found.dtype == dtype
    assert found.tolist() == rows
    nobody = pl.Series([], dtype=pl.Int64)
    empty = write_table(tmp_path / "empty", [], ids=nobody, element=element)
    nothing, _ = read_delta_embeddings(empty)
    assert (nothing.shape, nothing.dtype) == ((0, 0), dtype)
    frame = processor().transform_delta(table)
    memory = processor()._lsh.fit(found).transform(np.array(rows, dtype=np.float64))
    np.testing.assert_array_equal(by_id(frame), memory)


@pytest.mark.parametrize(
    "column",
    [
        pl.Series([["x"], ["y"]]),
        pl.Series([[True], [False]]),
        pl.Series([[[1.0]], [[2.0]]]),
        pl.Series([["1.5"], ["2.5"]]).cast(pl.List(pl.Decimal(10, 2))),
        pl.Series([{"values": [1.0]}, {"values": [2.0]}]),
        pl.Series([1.0, 2.0]),
    ],
    ids=lambda column: str(column.dtype),
)
def test_columns_of_other_types_are_refused(tmp_path: Path, column: pl.Series) -> None:
    table = write_table(tmp_path / "t", vectors_of(2), other=column)
    with pytest.raises(InputTypeError, match=r"array<double>") as raised:
        read_delta_embeddings(table, "other")
    assert re.search("whole numbers, or a Spark ML vector", str(raised.value))
