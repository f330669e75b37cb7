"""Delta tables: what is read and written, and what happens when something is wrong."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import deltalake
import numpy as np
import polars as pl
import pyarrow.parquet
import pytest
from conftest import Run
from fast_lsh_ann import (
    BucketedRandomProjectionLSH,
    DeltaLSHProcessor,
    _core,
    create_sample_delta,
    read_delta_embeddings,
)
from fast_lsh_ann._arrow import ArrowBatch, RecordBatch, RecordBatchStream
from fast_lsh_ann._delta_write import write_batches
from fast_lsh_ann.delta_utils import EmbeddingReader
from fast_lsh_ann.errors import (
    ArrowError,
    BucketRangeError,
    ColumnNotFoundError,
    DeltaError,
    DimensionError,
    InputTypeError,
    InvalidVectorError,
    ParameterError,
    SparkVectorColumnError,
    TableNotFoundError,
)
from numpy.typing import NDArray

# One more than deltalake's batches hold, so that tables of this size come in two.
TWO_BATCHES = 65536 + 1000


def vectors_of(n: int, dim: int = 4, seed: int = 1) -> NDArray[np.float32]:
    generator = np.random.default_rng(seed)
    return generator.standard_normal((n, dim), dtype=np.float32)


def write_table(
    path: Path,
    rows: Any,
    ids: Any = None,
    *,
    mode: Any = "append",
    element: Any = pl.Float32,
    **columns: Any,
) -> str:
    """Write rows, arrays or lists with holes, as a table with polars."""
    rows = rows.tolist() if isinstance(rows, np.ndarray) else rows
    frame = pl.DataFrame(
        {
            "id": range(len(rows)) if ids is None else ids,
            "embedding": pl.Series(rows, dtype=pl.List(element)),
            **columns,
        }
    )
    frame.write_delta(path, mode=mode)
    return str(path)


def by_id(frame: pl.DataFrame) -> NDArray[np.int64]:
    return frame.sort("id").drop("id").to_numpy()


def contents(path: str) -> tuple[int, pl.DataFrame]:
    frame = pl.read_delta(path)
    return deltalake.DeltaTable(path).version(), frame.sort(frame.columns)


def processor() -> DeltaLSHProcessor:
    return DeltaLSHProcessor(bucket_length=1.0, num_hash_tables=3, seed=7)


def hashes_in_memory(rows: NDArray[Any]) -> NDArray[np.int64]:
    return BucketedRandomProjectionLSH(1.0, 3, 7).fit(rows).transform(rows)


# Every method that reads embeddings, called with a table and an output place.
READERS: dict[str, Callable[..., object]] = {
    "read_delta_embeddings": lambda table, _, **kw: read_delta_embeddings(
        table, **{"id_column": "id", **kw}
    ),
    "transform_delta": lambda table, _, **kw: processor().transform_delta(table, **kw),
    "transform_and_save": lambda table, out, **kw: processor().transform_and_save(
        table, out, **kw
    ),
    "similarity_join_delta": lambda table, _, **kw: processor().similarity_join_delta(
        table, table, 1.0, **kw
    ),
}


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
    source = EmbeddingReader(table, "embedding", "id")
    sizes = [len(batch.rows) for batch in source.batches()]
    assert sizes == [65536, TWO_BATCHES - 65536]


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
    source = EmbeddingReader(tmp_path / "t", "Em bed.ding", 'say "id"')
    assert pl.DataFrame(source._query()).columns == ["Em bed.ding", 'say "id"']
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
    name = "version_a" if reader is READERS["similarity_join_delta"] else "version"
    with pytest.raises(error, match=says):
        reader(table, tmp_path / "out", **{name: version})


def test_an_open_reader_stays_at_its_version(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t", vectors_of(3))
    source = EmbeddingReader(table, "embedding", "id")
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


@pytest.mark.parametrize("column", ["label", "numbers"])
def test_columns_that_hold_no_vectors_are_refused(
    tmp_path: Path, reader: Callable[..., object], column: str
) -> None:
    table = write_table(
        tmp_path / "t", vectors_of(2), label=["x", "y"], numbers=[[1], [2]]
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


def test_spark_vector_columns_are_answered_with_the_fix(
    tmp_path: Path, reader: Callable[..., object]
) -> None:
    table = write_table(tmp_path / "t", vectors_of(3))
    (log,) = (tmp_path / "t" / "_delta_log").glob("*.json")
    actions = [json.loads(line) for line in log.read_text().splitlines()]
    (metadata,) = (action["metaData"] for action in actions if "metaData" in action)
    schema = json.loads(metadata["schemaString"])
    vector = {
        "type": "udt",
        "class": "org.apache.spark.ml.linalg.VectorUDT",
        "pyClass": "pyspark.ml.linalg.VectorUDT",
        "sqlType": {"type": "struct", "fields": []},
    }
    schema["fields"][1]["type"] = vector
    metadata["schemaString"] = json.dumps(schema)
    log.write_text("\n".join(map(json.dumps, actions)))
    with pytest.raises(SparkVectorColumnError) as raised:
        reader(table, tmp_path / "out")
    assert "columns ['embedding']" in str(raised.value)
    assert 'vector_to_array("embedding", "float32")' in str(raised.value)


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


# ---- writing ---------------------------------------------------------------------------


def test_saved_hashes_are_those_returned_and_say_how_they_were_made(
    tmp_path: Path,
) -> None:
    table = write_table(tmp_path / "t", vectors_of(TWO_BATCHES))
    write_table(tmp_path / "t", vectors_of(10, seed=9), ids=range(-10, 0))
    out = str(tmp_path / "out")
    write_table(tmp_path / "out", vectors_of(3))
    processor().transform_and_save(table, out)
    saved = pl.read_delta(out)
    assert saved.sort("id").equals(processor().transform_delta(table).sort("id"))
    output = deltalake.DeltaTable(out)
    assert output.version() == 1
    commit = output.history(1)[0]
    assert {key: commit[f"fast_lsh_ann.{key}"] for key in METADATA} == METADATA


METADATA = {
    "scheme": "spark",
    "profile": "java11",
    "seed": "7",
    "bucket_length": "1.0",
    "num_hash_tables": "3",
    "source_version": "1",
}


def test_the_input_table_is_no_output(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t", vectors_of(3))
    before = contents(table)
    (tmp_path / "link").symlink_to(table)
    same = [table, table + "/", Path(table), f"{tmp_path}/x/../t", tmp_path / "link"]
    for output in [*same, f"file://{table}"]:
        with pytest.raises(ParameterError, match="is the input table"):
            processor().transform_and_save(table, output)
    after = contents(table)
    assert after[0] == before[0]
    assert after[1].equals(before[1])


def test_a_fault_in_the_middle_of_the_source_leaves_the_output_as_it_was(
    tmp_path: Path,
) -> None:
    rows = vectors_of(TWO_BATCHES)
    rows[TWO_BATCHES - 5, 0] = NAN
    table = write_table(tmp_path / "t", rows)
    out = write_table(tmp_path / "out", vectors_of(3))
    before = contents(out)
    with pytest.raises(InvalidVectorError):
        processor().transform_and_save(table, out)
    after = contents(out)
    assert after[0] == before[0]
    assert after[1].equals(before[1])


def batches_of(rows: int) -> Iterator[ArrowBatch]:
    yield RecordBatch([("x", np.arange(rows))]).__arrow_c_array__()


def test_what_the_source_raises_is_what_the_caller_gets(tmp_path: Path) -> None:
    out = write_table(tmp_path / "out", vectors_of(3))
    before = contents(out)
    mistake = LookupError("of the source")

    def failing() -> Iterator[ArrowBatch]:
        yield from batches_of(5000)
        yield from batches_of(5000)
        raise mistake

    with pytest.raises(LookupError) as raised:
        write_batches(out, failing())
    assert raised.value is mistake
    assert contents(out)[0] == before[0]


def test_a_place_that_cannot_be_written_is_a_delta_error(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t", vectors_of(3))
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DeltaError, match="write failed"):
        processor().transform_and_save(table, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "no folder"


def test_what_deltalake_refuses_is_a_delta_error(tmp_path: Path) -> None:
    twins = RecordBatch([("x", np.arange(3)), ("X", np.arange(3))])
    with pytest.raises(DeltaError, match="write failed"):
        write_batches(tmp_path / "out", iter([twins.__arrow_c_array__()]))


def test_a_stream_that_was_read_raises_at_its_second_use() -> None:
    schema, array = RecordBatch([("x", np.arange(3))]).__arrow_c_array__()
    arrays = iter([array])
    stream = RecordBatchStream(schema, lambda: next(arrays, None))
    assert pl.DataFrame(stream)["x"].to_list() == [0, 1, 2]
    with pytest.raises(ArrowError, match="read before"):
        stream.__arrow_c_stream__()


def test_sample_tables_depend_on_their_seed_alone(tmp_path: Path) -> None:
    np.random.seed(5)
    before = np.random.get_state()[1].tolist()  # type: ignore[union-attr]
    tables = [(tmp_path / "a", 42), (tmp_path / "b", 42), (tmp_path / "c", 43)]
    read = []
    for path, seed in tables:
        create_sample_delta(path, n_vectors=300, dim=8, seed=seed)
        rows, ids = read_delta_embeddings(path, id_column="id")
        assert ids is not None
        assert sorted(ids.tolist()) == list(range(300))
        read.append(rows[np.argsort(ids)])
    after = np.random.get_state()[1].tolist()  # type: ignore[union-attr]
    assert after == before
    np.testing.assert_array_equal(read[0], read[1])
    assert not np.array_equal(read[0], read[2])
    assert abs(read[0].mean()) < 0.1
    assert abs(read[0].std() - 1) < 0.1


def test_sample_tables_are_stored_as_plain_lists_by_byte_planes(tmp_path: Path) -> None:
    create_sample_delta(tmp_path / "t", n_vectors=100, dim=8)
    table = deltalake.DeltaTable(tmp_path / "t")
    types = {field.name: str(field.type) for field in table.schema().fields}
    assert types["id"] == 'PrimitiveType("long")'
    assert types["embedding"].startswith('ArrayType(PrimitiveType("float")')
    (file,) = (tmp_path / "t").glob("*.parquet")
    group = pyarrow.parquet.read_metadata(file).row_group(0)
    ids, values = group.column(0), group.column(1)
    assert values.path_in_schema == "embedding.list.element"
    assert "BYTE_STREAM_SPLIT" in values.encodings
    assert "BYTE_STREAM_SPLIT" not in ids.encodings
    assert {ids.compression, values.compression} == {"ZSTD"}


def test_sample_tables_may_be_empty_but_not_negative(tmp_path: Path) -> None:
    create_sample_delta(tmp_path / "t", n_vectors=0)
    assert len(read_delta_embeddings(tmp_path / "t")[0]) == 0
    with pytest.raises(ParameterError, match="-1"):
        create_sample_delta(tmp_path / "t", n_vectors=-1)
    with pytest.raises(ParameterError, match="dim"):
        create_sample_delta(tmp_path / "t", dim=0)


# ---- Ctrl-C ----------------------------------------------------------------------------


def seconds_to_interrupt(program: str) -> float:
    """Run a program that prints one line and then works; interrupt it and time it.

    The program must print the clock when it catches KeyboardInterrupt.
    """
    # Imported first: a KeyboardInterrupt that passes through an exec() of theirs makes
    # CPython exit as if killed even when it is caught.
    program = f"import deltalake, polars\n{program}"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        time.sleep(0.3)
        sent = time.monotonic()
        os.kill(process.pid, signal.SIGINT)
        caught, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    return float(caught) - sent


def test_ctrl_c_during_a_read_that_hangs(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t", vectors_of(3))
    program = f"""
import threading, time
import numpy as np
from fast_lsh_ann import DeltaLSHProcessor, delta_utils
from fast_lsh_ann._arrow import RecordBatch, RecordBatchStream

def stuck(self):
    schema, _ = RecordBatch([("x", np.arange(3))]).__arrow_c_array__()
    return RecordBatchStream(schema, lambda: threading.Event().wait(60))

delta_utils.EmbeddingReader._query = stuck
print("working", flush=True)
try:
    DeltaLSHProcessor().transform_delta({table!r})
except KeyboardInterrupt:
    print(time.monotonic(), flush=True)
"""
    assert seconds_to_interrupt(program) < 0.5


def test_ctrl_c_while_opening_hangs() -> None:
    program = """
import time
import fast_lsh_ann

deltalake.DeltaTable = lambda *_, **__: time.sleep(2)
print("working", flush=True)
try:
    fast_lsh_ann.read_delta_embeddings("t")
except KeyboardInterrupt:
    print(time.monotonic(), flush=True)
"""
    assert seconds_to_interrupt(program) < 0.5


def test_ctrl_c_during_a_write_commits_nothing(tmp_path: Path) -> None:
    out = write_table(tmp_path / "out", vectors_of(3))
    before = contents(out)
    program = f"""
import time
import numpy as np
from fast_lsh_ann._arrow import RecordBatch
from fast_lsh_ann._delta_write import write_batches

def endless():
    yield RecordBatch([("x", np.arange(1000))]).__arrow_c_array__()
    print("working", flush=True)
    while True:
        time.sleep(0.001)
        yield RecordBatch([("x", np.arange(1000))]).__arrow_c_array__()

try:
    write_batches({out!r}, endless())
except KeyboardInterrupt:
    print(time.monotonic(), flush=True)
"""
    assert seconds_to_interrupt(program) < 0.5
    after = contents(out)
    assert after[0] == before[0]
    assert after[1].equals(before[1])


@pytest.mark.parametrize(
    "job",
    [
        "processor.transform_delta(table)",
        "processor.transform_and_save(table, table + '-out')",
        "processor.similarity_join_delta(table, table, 0.1)",
        "fast_lsh_ann.read_delta_embeddings(table)",
    ],
)
def test_ctrl_c_ends_every_job_at_any_moment(tmp_path: Path, job: str) -> None:
    table = str(tmp_path / "t")
    create_sample_delta(table, n_vectors=TWO_BATCHES, dim=64)
    program = f"""
import time
import fast_lsh_ann
table = {table!r}
processor = fast_lsh_ann.DeltaLSHProcessor(num_hash_tables=50)
print("working", flush=True)
try:
    while True:
        {job}
except KeyboardInterrupt:
    print(time.monotonic(), flush=True)
"""
    assert seconds_to_interrupt(program) < 0.5
