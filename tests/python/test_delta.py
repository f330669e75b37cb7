"""Delta tables: what is read and written, and what happens when something is wrong."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import deltalake
import numpy as np
import polars as pl
import pytest
from conftest import Run
from delta_tables import (
    READERS,
    TWO_BATCHES,
    by_id,
    hashes_in_memory,
    processor,
    vectors_of,
    write_table,
)
from fast_lsh_ann import (
    BucketedRandomProjectionLSH,
    DeltaLSHProcessor,
    _core,
    read_delta_embeddings,
)
from fast_lsh_ann._tables.embeddings import EmbeddingReader
from fast_lsh_ann._tables.opening import open_source
from fast_lsh_ann._tables.source import BATCH_ROWS
from fast_lsh_ann.errors import (
    BucketRangeError,
    ColumnNotFoundError,
    DeltaError,
    DimensionError,
    InputTypeError,
    InvalidVectorError,
    ParameterError,
    TableNotFoundError,
)


@pytest.fixture(params=READERS)
def reader(request: pytest.FixtureRequest) -> Callable[..., object]:
    """Each method that reads embeddings, in turn."""
    return READERS[request.param]


# ---- reading ---------------------------------------------------------------------------


@pytest.mark.parametrize(("element", "dtype"), [(pl.Float32, "f4"), (pl.Float64, "f8")])
def test_embeddings_are_read_in_the_type_they_are_stored_in(
    tmp_path: Path, element: Any, dtype: str
) -> None:
    stored = vectors_of(50).astype(dtype) / 3
    table = write_table(tmp_path / "t", stored, element=element)
    rows, ids = read_delta_embeddings(table, id_column="id")
    assert ids is not None
    assert ids.dtype == np.int64
    assert rows.dtype == dtype
    np.testing.assert_array_equal(rows, stored[ids])


def test_without_an_id_column_there_are_no_ids(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t", vectors_of(5))
    rows, ids = read_delta_embeddings(table)
    assert rows.shape == (5, 4)
    assert ids is None


def test_tables_of_several_batches_are_read_whole(tmp_path: Path) -> None:
    stored = vectors_of(TWO_BATCHES)
    table = write_table(tmp_path / "t", stored)
    rows, ids = read_delta_embeddings(table, id_column="id")
    assert ids is not None
    order = np.argsort(ids)
    np.testing.assert_array_equal(rows[order], stored)
    source = EmbeddingReader(open_source(table), "embedding", "id")
    sizes = [len(batch.rows) for batch in source.batches()]
    assert sizes == [BATCH_ROWS, TWO_BATCHES - BATCH_ROWS]


def test_commits_come_newest_first_in_an_order_that_stays(tmp_path: Path) -> None:
    for commit in range(3):
        write_table(tmp_path / "t", vectors_of(2, seed=commit), ids=[commit, commit + 10])
    table = str(tmp_path / "t")
    rows, ids = read_delta_embeddings(table, id_column="id")
    assert ids is not None
    assert ids.tolist() == [2, 12, 1, 11, 0, 10]
    numbered = processor().transform_delta(table, id_column=None)
    assert numbered["id"].to_list() == list(range(6))
    hashes = numbered.drop("id").to_numpy()
    np.testing.assert_array_equal(hashes, hashes_in_memory(rows))


def test_deleted_rows_are_not_read(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t", vectors_of(6))
    deltalake.DeltaTable(table).delete("id = 3")
    _, ids = read_delta_embeddings(table, id_column="id")
    assert ids is not None
    assert ids.tolist() == [0, 1, 2, 4, 5]


def test_tables_without_statistics_are_read(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t", vectors_of(6))
    (log,) = (tmp_path / "t" / "_delta_log").glob("*.json")
    actions = [json.loads(line) for line in log.read_text().splitlines()]
    assert [action["add"].pop("stats") for action in actions if "add" in action]
    log.write_text("\n".join(map(json.dumps, actions)))
    assert read_delta_embeddings(table)[0].shape == (6, 4)


def test_only_the_needed_columns_are_asked_for_whatever_their_names(
    tmp_path: Path,
) -> None:
    frame = pl.DataFrame(
        {
            'say "id"': ["a", "b"],
            "Em bed.ding": pl.Series([[1.0], [2.0]], dtype=pl.List(pl.Float32)),
            "text": ["long", "text"],
        }
    )
    frame.write_delta(tmp_path / "t")
    reader = EmbeddingReader(open_source(tmp_path / "t"), "Em bed.ding", 'say "id"')
    assert [column.name for column in next(reader.source.batches(reader.columns))] == [
        "Em bed.ding",
        'say "id"',
    ]
    rows, ids = read_delta_embeddings(tmp_path / "t", "Em bed.ding", 'say "id"')
    assert rows.tolist() == [[1.0], [2.0]]
    assert ids is not None
    assert ids.tolist() == ["a", "b"]


def test_string_ids_go_through_every_method(tmp_path: Path) -> None:
    stored = vectors_of(20)
    names = [f"row {i:02d}" for i in range(20)]
    table = write_table(tmp_path / "t", stored, ids=names)
    rows, ids = read_delta_embeddings(table, id_column="id")
    assert ids is not None
    assert ids.tolist() == names
    frame = processor().transform_delta(table)
    assert frame["id"].to_list() == names
    processor().transform_and_save(table, tmp_path / "out")
    assert pl.read_delta(str(tmp_path / "out")).sort("id").equals(frame)
    pairs = processor().similarity_join_delta(table, table, 0.0)
    assert pairs == [(name, name, 0.0) for name in names]
    np.testing.assert_array_equal(rows, stored)


# ---- versions --------------------------------------------------------------------------


def test_a_version_is_read_by_number_and_by_moment(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t", vectors_of(3))
    written = deltalake.DeltaTable(table).history(1)[0]["timestamp"] / 1000
    time.sleep(0.01)
    write_table(tmp_path / "t", vectors_of(5), mode="overwrite")
    then = datetime.fromtimestamp(written + 0.002, UTC)
    east = then.astimezone(timezone(timedelta(hours=5, minutes=30)))
    for version in (0, then, east, then.isoformat(), east.isoformat()):
        assert len(read_delta_embeddings(table, version=version)[0]) == 3, version
        assert len(processor().transform_delta(table, version=version)) == 3, version
    assert len(read_delta_embeddings(table)[0]) == 5
    pairs = processor().similarity_join_delta(table, table, 0.0, version_a=0)
    assert [left for left, *_ in pairs] == [0, 1, 2]


@pytest.mark.parametrize(
    ("version", "error", "says"),
    [
        (datetime(2026, 1, 31), ParameterError, "offset"),
        ("2026-01-31T12:00:00", ParameterError, "append 'Z'"),
        ("yesterday", ParameterError, "'yesterday'"),
        (-1, ParameterError, "-1"),
        (True, InputTypeError, "bool"),
        (1.0, InputTypeError, "float"),
        (7, DeltaError, "no version 7; the newest is 0"),
    ],
)
def test_versions_that_name_no_moment_are_refused(
    tmp_path: Path, reader: Callable[..., object], version: Any, error: Any, says: str
) -> None:
    table = write_table(tmp_path / "t", vectors_of(3))
    joins = [call for name, call in READERS.items() if name.startswith("similarity")]
    name = "version_a" if reader in joins else "version"
    with pytest.raises(error, match=says):
        reader(table, tmp_path / "out", **{name: version})


def test_an_open_reader_stays_at_its_version(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t", vectors_of(3))
    source = EmbeddingReader(open_source(table), "embedding", "id")
    write_table(tmp_path / "t", vectors_of(5), mode="overwrite")
    assert sum(len(batch.rows) for batch in source.batches()) == 3
    assert sum(len(batch.rows) for batch in source.batches()) == 3


# ---- what cannot be read ---------------------------------------------------------------

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("rows", "row", "column"),
    [
        ([[1.0, 2.0], None], 1, -1),
        ([[1.0, 2.0], [1.0, None]], 1, -1),
        ([[1.0, 2.0], [3.0, 4.0], [1.0]], 2, -1),
        ([[1.0, 2.0], []], 1, -1),
        ([[], []], 0, -1),
        ([[1.0, 2.0], [NAN, 1.0]], 1, 0),
        ([[1.0, 2.0], [1.0, INF]], 1, 1),
        ([[1.0, -INF], [1.0, NAN]], 0, 1),
    ],
)
def test_a_row_that_is_no_vector_is_named(
    tmp_path: Path, reader: Callable[..., object], rows: Any, row: int, column: int
) -> None:
    table = write_table(tmp_path / "t", rows)
    with pytest.raises(InvalidVectorError, match=f"row {row}") as raised:
        reader(table, tmp_path / "out")
    assert raised.value.row == row
    if column >= 0:
        assert raised.value.column == column
    assert "embedding" in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_rows_are_counted_through_the_whole_table(
    tmp_path: Path, reader: Callable[..., object]
) -> None:
    rows = vectors_of(TWO_BATCHES)
    rows[TWO_BATCHES - 5, 2] = NAN
    table = write_table(tmp_path / "t", rows)
    with pytest.raises(InvalidVectorError) as raised:
        reader(table, tmp_path / "out")
    assert (raised.value.row, raised.value.column) == (TWO_BATCHES - 5, 2)


def test_a_bucket_beyond_int64_is_named_by_its_row_in_the_table(tmp_path: Path) -> None:
    rows = vectors_of(TWO_BATCHES).astype(np.float64)
    row = TWO_BATCHES - 17
    rows[row] = 1e300
    far = write_table(tmp_path / "far", rows, element=pl.Float64)
    near = write_table(tmp_path / "near", rows[:5], element=pl.Float64)
    for call in (
        lambda: processor().transform_delta(far, chunk_size=500),
        lambda: processor().similarity_join_delta(far, near, 1.0, chunk_size=500),
        lambda: processor().similarity_join_delta(near, far, 1.0),
    ):
        with pytest.raises(BucketRangeError, match=f"row {row}") as raised:
            call()
        assert raised.value.row == row


def test_commits_of_different_dimension_are_refused(
    tmp_path: Path, reader: Callable[..., object]
) -> None:
    write_table(tmp_path / "t", vectors_of(3, dim=4))
    table = write_table(tmp_path / "t", vectors_of(2, dim=3))
    with pytest.raises(InvalidVectorError, match="4") as raised:
        reader(table, tmp_path / "out")
    assert raised.value.row == 2


def test_joined_tables_must_have_one_dimension(tmp_path: Path) -> None:
    a = write_table(tmp_path / "a", vectors_of(3, dim=4))
    b = write_table(tmp_path / "b", vectors_of(3, dim=5))
    with pytest.raises(DimensionError, match=r"dimension 4, .* 5"):
        processor().similarity_join_delta(a, b, 1.0)


def test_a_null_id_is_named(tmp_path: Path, reader: Callable[..., object]) -> None:
    table = write_table(tmp_path / "t", vectors_of(3), ids=["a", None, "c"])
    with pytest.raises(DeltaError, match="row 1 of id column 'id' is null"):
        reader(table, tmp_path / "out")


@pytest.mark.parametrize("argument", ["embedding_column", "id_column"])
def test_a_missing_column_is_answered_with_those_there_are(
    tmp_path: Path, reader: Callable[..., object], argument: str
) -> None:
    table = write_table(tmp_path / "t", vectors_of(3), label=["x", "y", "z"])
    with pytest.raises(ColumnNotFoundError) as raised:
        reader(table, tmp_path / "out", **{argument: "Nope"})
    for word in ("'Nope'", "'id'", "'embedding'", "'label'"):
        assert word in str(raised.value)


@pytest.mark.parametrize("column", ["label", "flags"])
def test_columns_that_hold_no_vectors_are_refused(
    tmp_path: Path, reader: Callable[..., object], column: str
) -> None:
    table = write_table(
        tmp_path / "t", vectors_of(2), label=["x", "y"], flags=[[True], [False]]
    )
    with pytest.raises(InputTypeError, match=r"array<float>") as raised:
        reader(table, tmp_path / "out", embedding_column=column)
    assert repr(column) in str(raised.value)


def test_one_column_cannot_be_both(tmp_path: Path, reader: Callable[..., object]) -> None:
    table = write_table(tmp_path / "t", vectors_of(2))
    with pytest.raises(ParameterError, match="two columns"):
        reader(table, tmp_path / "out", id_column="embedding")


@pytest.mark.parametrize("make", ["nothing", "folder"])
def test_a_missing_table_is_named_and_not_made(
    tmp_path: Path, reader: Callable[..., object], make: str
) -> None:
    table = tmp_path / "missing"
    if make == "folder":
        table.mkdir()
    with pytest.raises(TableNotFoundError, match="missing") as raised:
        reader(str(table), tmp_path / "out")
    assert isinstance(raised.value, FileNotFoundError)
    assert "\n" not in str(raised.value)
    assert table.exists() == (make == "folder")
    assert not (tmp_path / "out").exists()


def test_a_lost_data_file_is_a_delta_error(
    tmp_path: Path, reader: Callable[..., object]
) -> None:
    table = write_table(tmp_path / "t", vectors_of(3))
    for file in (tmp_path / "t").glob("*.parquet"):
        file.unlink()
    with pytest.raises(DeltaError):
        reader(table, tmp_path / "out")


def test_after_fork_the_error_says_to_spawn(tmp_path: Path, run_python: Run) -> None:
    table = write_table(tmp_path / "t", vectors_of(3))
    program = f"""
import os
import fast_lsh_ann
fast_lsh_ann.read_delta_embeddings({table!r})
child = os.fork()
if child == 0:
    try:
        fast_lsh_ann.read_delta_embeddings({table!r})
    except fast_lsh_ann.errors.DeltaError as error:
        os._exit(0 if "spawn" in str(error) else 1)
    os._exit(2)
assert os.waitpid(child, 0)[1] == 0
"""
    run_python(program)


@pytest.mark.parametrize("package", ["deltalake", "polars"])
def test_a_missing_package_is_answered_with_the_command(
    run_python: Run, package: str
) -> None:
    program = f"""
import sys
sys.modules[{package!r}] = None
import fast_lsh_ann
try:
    fast_lsh_ann.DeltaLSHProcessor().transform_delta("t")
except fast_lsh_ann.errors.MissingDependencyError as error:
    assert "pip install 'fast_lsh_ann[delta]'" in str(error), error
else:
    sys.exit(1)
"""
    run_python(program)


def test_deltalake_hears_how_soon_memory_is_given_back(run_python: Run) -> None:
    """Both have the same allocator, and polars sets what it asks of the environment."""
    program = """
import sys
from fast_lsh_ann._tables.delta import require_delta
require_delta()
loaded = list(sys.modules)
print(loaded.index("polars") < loaded.index("deltalake"))
"""
    assert run_python(program).stdout == "True\n"


# ---- hashing and joining ---------------------------------------------------------------


def test_hashes_are_those_of_the_model_in_memory(tmp_path: Path) -> None:
    stored = vectors_of(TWO_BATCHES)
    table = write_table(tmp_path / "t", stored)
    frame = processor().transform_delta(table)
    assert frame.columns == ["hash_0", "hash_1", "hash_2", "id"]
    assert frame.dtypes == [pl.Int64] * 4
    np.testing.assert_array_equal(by_id(frame), hashes_in_memory(stored))


@pytest.mark.parametrize("chunk_size", [1, 7, 30, 1000])
def test_chunks_are_no_larger_than_asked_and_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_size: int
) -> None:
    table = write_table(tmp_path / "t", vectors_of(30))
    whole = processor().transform_delta(table)
    pairs = processor().similarity_join_delta(table, table, 1.5)
    assert len(pairs) > 30
    sizes: list[int] = []
    hash_rows = _core.model_hash

    def recorded(model: Any, rows: Any, *rest: Any) -> None:
        sizes.append(len(rows))
        hash_rows(model, rows, *rest)

    monkeypatch.setattr(_core, "model_hash", recorded)
    assert processor().transform_delta(table, chunk_size=chunk_size).equals(whole)
    assert max(sizes) == min(chunk_size, 30)
    assert sum(sizes) == 30
    joined = processor().similarity_join_delta(table, table, 1.5, chunk_size=chunk_size)
    assert joined == pairs


def test_pairs_are_those_of_the_model_in_memory(tmp_path: Path) -> None:
    a, b = vectors_of(200, seed=1), vectors_of(150, seed=2)
    table_a = write_table(tmp_path / "a", a, ids=[f"a{i}" for i in range(200)])
    table_b = write_table(tmp_path / "b", b, ids=np.arange(1000, 1150))
    model = BucketedRandomProjectionLSH(1.0, 3, 7).create_model(4)
    expected = [
        (f"a{i}", 1000 + j, distance)
        for i, j, distance in model.approx_similarity_join(a, b, 1.0)
    ]
    assert len(expected) > 100
    found = processor().similarity_join_delta(table_a, table_b, 1.0, chunk_size=64)
    assert found == expected
    assert [type(value) for value in found[0]] == [str, int, float]


@pytest.mark.parametrize("threshold", [-1.0, NAN])
def test_thresholds_are_checked_before_tables_are_opened(threshold: float) -> None:
    with pytest.raises(ParameterError, match="threshold"):
        processor().similarity_join_delta("nowhere", "nowhere", threshold)


def test_parameters_are_checked_when_the_processor_is_made() -> None:
    with pytest.raises(ParameterError, match="bucket_length"):
        DeltaLSHProcessor(bucket_length=0.0)
    with pytest.raises(ParameterError, match="num_hash_tables"):
        DeltaLSHProcessor(num_hash_tables=0)
    made = DeltaLSHProcessor()
    assert (made.bucket_length, made.num_hash_tables, made.seed) == (2.0, 5, 42)
    assert repr(made) == (
        "DeltaLSHProcessor(bucket_length=2.0, num_hash_tables=5, seed=42)"
    )


@pytest.mark.parametrize(
    ("chunk_size", "error"), [(0, ParameterError), (2.5, InputTypeError)]
)
def test_chunk_sizes_are_checked(tmp_path: Path, chunk_size: Any, error: Any) -> None:
    for name, call in READERS.items():
        if name != "read_delta_embeddings":
            with pytest.raises(error, match="chunk_size"):
                call("nowhere", tmp_path, chunk_size=chunk_size)


def test_an_empty_table_gives_empty_results(tmp_path: Path) -> None:
    empty = write_table(tmp_path / "empty", [], ids=pl.Series([], dtype=pl.String))
    full = write_table(tmp_path / "full", vectors_of(3))
    rows, ids = read_delta_embeddings(empty, id_column="id")
    assert len(rows) == 0
    assert ids is not None
    assert len(ids) == 0
    frame = processor().transform_delta(empty)
    assert frame.shape == (0, 4)
    assert frame.dtypes == [pl.Int64] * 3 + [pl.String]
    for a, b in ((empty, full), (full, empty), (empty, empty)):
        assert processor().similarity_join_delta(a, b, 1.0) == []
    processor().transform_and_save(empty, tmp_path / "out")
    assert pl.read_delta(str(tmp_path / "out")).equals(frame)


def test_progress_counts_rows_up_to_their_number(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t", vectors_of(TWO_BATCHES))
    seen: list[tuple[int, int]] = []
    processor().transform_delta(table, progress=lambda *step: seen.append(step))
    assert [total for _, total in seen] == [TWO_BATCHES] * len(seen)
    done = [done for done, _ in seen]
    assert done == sorted(set(done))
    assert done[-1] == TWO_BATCHES
    with pytest.raises(InputTypeError, match="progress"):
        processor().transform_delta(table, progress=1)  # type: ignore[arg-type]
