"""Tables hashed chunk by chunk: chunks, ids of any type, output tables."""

import dataclasses
import logging
import tempfile
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import deltalake
import numpy as np
import polars as pl
import pyarrow.parquet
import pytest
from conftest import Run
from delta_tables import (
    READERS,
    TWO_BATCHES,
    contents,
    hashes_in_memory,
    processor,
    streaming,
    vectors_of,
    write_table,
)
from fast_lsh_ann import (
    BucketedRandomProjectionLSH,
    BucketedRandomProjectionLSHModel,
    ChunkResult,
    DeltaLSHProcessor,
    StreamingLSHProcessor,
    _processor,
    create_sample_delta,
    exact_similarity_join,
    read_delta_embeddings,
    read_delta_embeddings_chunked,
)
from fast_lsh_ann._tables.source import BATCH_ROWS
from fast_lsh_ann.delta_utils import read_delta_lazy, read_hash_scheme
from fast_lsh_ann.errors import (
    BucketRangeError,
    ColumnNotFoundError,
    DimensionError,
    InputTypeError,
    InvalidVectorError,
    ParameterError,
    TableNotFoundError,
)
from fast_lsh_ann.streaming import benchmark_streaming

ROWS = TWO_BATCHES + 3000
SIZES = [1000, BATCH_ROWS, BATCH_ROWS + 1, 11_000, ROWS, ROWS + 1]


@pytest.fixture
def ragged_table(tmp_path: Path) -> str:
    """A table whose batches have many sizes: three commits, each with a file."""
    for commit, rows in enumerate((3000, TWO_BATCHES - 500, 500)):
        ids = np.arange(rows) + 100_000 * commit
        write_table(tmp_path / "t", vectors_of(rows, seed=commit), ids=ids)
    return str(tmp_path / "t")


def sizes_of(rows: int, size: int) -> list[int]:
    """Whole chunks, and the rest."""
    return [size] * (rows // size) + [rows % size] * (rows % size > 0)


# ---- chunks ----------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_chunks_are_of_one_size_whatever_the_batches(
    ragged_table: str, size: int
) -> None:
    rows, ids = read_delta_embeddings(ragged_table, id_column="id")
    assert ids is not None
    lsh = streaming(chunk_size=size)
    chunks = list(lsh.transform_streaming(ragged_table, id_column="id"))
    assert [chunk.n_rows for chunk in chunks] == sizes_of(ROWS, size)
    assert [chunk.chunk_idx for chunk in chunks] == list(range(len(chunks)))
    assert [chunk.start_row for chunk in chunks] == list(range(0, ROWS, size))
    hashes = np.concatenate([chunk.hashes for chunk in chunks])
    assert hashes.dtype == np.int64
    np.testing.assert_array_equal(hashes, hashes_in_memory(rows))
    found = [chunk.ids for chunk in chunks if chunk.ids is not None]
    np.testing.assert_array_equal(np.concatenate(found), ids)


@pytest.mark.parametrize("size", SIZES)
def test_embeddings_are_read_in_the_same_chunks(ragged_table: str, size: int) -> None:
    rows, ids = read_delta_embeddings(ragged_table, id_column="id")
    chunks = list(read_delta_embeddings_chunked(ragged_table, "embedding", "id", size))
    assert [len(chunk) for chunk, _, _ in chunks] == sizes_of(ROWS, size)
    assert [start for *_, start in chunks] == list(range(0, ROWS, size))
    np.testing.assert_array_equal(np.concatenate([chunk for chunk, _, _ in chunks]), rows)
    found = [part for _, part, _ in chunks if part is not None]
    np.testing.assert_array_equal(np.concatenate(found), ids)
    for chunk, part, _ in chunks:
        assert part is not None
        assert chunk.dtype == np.float32
        assert chunk.flags.writeable
        assert part.flags.writeable


def test_rows_come_newest_commit_first(ragged_table: str) -> None:
    chunk = next(
        streaming(chunk_size=ROWS).transform_streaming(ragged_table, "embedding")
    )
    assert chunk.ids is None
    newest_first = np.concatenate(
        [vectors_of(500, seed=2), vectors_of(TWO_BATCHES - 500, seed=1)]
    )
    expected = hashes_in_memory(newest_first)
    np.testing.assert_array_equal(chunk.hashes[: len(expected)], expected)


def test_chunks_of_float64_keep_their_precision(tmp_path: Path) -> None:
    stored = vectors_of(50).astype(np.float64) / 3
    table = write_table(tmp_path / "t", stored, element=pl.Float64)
    chunks = list(read_delta_embeddings_chunked(table, chunk_size=20))
    assert {chunk.dtype for chunk, _, _ in chunks} == {np.dtype(np.float64)}
    np.testing.assert_array_equal(
        np.concatenate([chunk for chunk, _, _ in chunks]), stored
    )
    assert [ids for _, ids, _ in chunks] == [None] * 3


def test_a_result_is_a_small_frozen_thing() -> None:
    hashes = np.zeros((2, 3), dtype=np.int64)
    chunk = ChunkResult(0, 5, 2, hashes)
    assert (chunk.chunk_idx, chunk.start_row, chunk.n_rows, chunk.ids) == (0, 5, 2, None)
    assert chunk.hashes is hashes
    with pytest.raises(dataclasses.FrozenInstanceError):
        chunk.n_rows = 3  # type: ignore[misc]


def test_an_empty_table_has_no_chunks(tmp_path: Path) -> None:
    empty = write_table(tmp_path / "empty", [], ids=pl.Series([], dtype=pl.String))
    assert list(streaming().transform_streaming(empty)) == []
    assert list(read_delta_embeddings_chunked(empty)) == []
    streaming().transform_to_delta(empty, tmp_path / "out", include_embeddings=True)
    frame = pl.read_delta(str(tmp_path / "out"))
    assert frame.schema == {
        **{f"hash_{t}": pl.Int64() for t in range(3)},
        "id": pl.String(),
        "embedding": pl.List(pl.Float32()),
    }
    assert len(frame) == 0


def test_tables_are_opened_at_once_and_stay_at_their_version(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t", vectors_of(30))
    chunks = streaming().transform_streaming(table)
    parts = read_delta_embeddings_chunked(table)
    lists = streaming().similarity_join_streaming(table, table, 0.0)
    write_table(tmp_path / "t", vectors_of(50), mode="overwrite")
    assert sum(chunk.n_rows for chunk in chunks) == 30
    assert sum(len(part) for part, _, _ in parts) == 30
    assert sum(map(len, lists)) == 30
    for call in (
        lambda: streaming().transform_streaming("nowhere"),
        lambda: read_delta_embeddings_chunked("nowhere"),
        lambda: streaming().similarity_join_streaming("nowhere", table, 1.0),
    ):
        with pytest.raises(TableNotFoundError):
            call()


def test_a_version_is_asked_for(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t", vectors_of(30))
    write_table(tmp_path / "t", vectors_of(50), mode="overwrite")
    lsh = streaming()
    assert [c.n_rows for c in lsh.transform_streaming(table, version=0)] == [30]
    parts = list(read_delta_embeddings_chunked(table, version=0))
    assert [len(part) for part, _, _ in parts] == [30]
    lsh.transform_to_delta(table, tmp_path / "out", version=0)
    assert len(pl.read_delta(str(tmp_path / "out"))) == 30
    either: list[Any] = [{"version_a": 0}, {"version_b": 0}]
    for pinned in (*either, {"version_a": 0, "version_b": 0}):
        assert lsh.similarity_join_chunked_both(table, table, 0.0, **pinned) == 30
        lists = lsh.similarity_join_streaming(table, table, 0.0, **pinned)
        assert sum(map(len, lists)) == 30
    assert lsh.similarity_join_chunked_both(table, table, 0.0) == 50


# ---- parameters ------------------------------------------------------------------------


def test_parameters_are_kept_and_shown() -> None:
    made = StreamingLSHProcessor()
    assert (made.bucket_length, made.num_hash_tables, made.seed) == (2.0, 5, 42)
    assert (made.chunk_size, made.dim) == (50000, None)
    assert repr(made) == (
        "StreamingLSHProcessor(bucket_length=2.0, num_hash_tables=5, seed=42, "
        "chunk_size=50000)"
    )
    made = StreamingLSHProcessor(0.1, 2, 3, 4, 5, spark_profile="java8")
    assert repr(made) == (
        "StreamingLSHProcessor(bucket_length=0.1, num_hash_tables=2, seed=3, "
        "spark_profile='java8', chunk_size=4, dim=5)"
    )
    assert (made.bucket_length, made.chunk_size, made.dim) == (0.1, 4, 5)


@pytest.mark.parametrize(
    ("parameter", "value", "error"),
    [
        ("bucket_length", 0.0, ParameterError),
        ("num_hash_tables", 0, ParameterError),
        ("seed", 2**63, ParameterError),
        ("spark_profile", "java12", ParameterError),
        ("chunk_size", 0, ParameterError),
        ("chunk_size", 2.5, InputTypeError),
        ("num_hashes_per_table", 0, ParameterError),
        ("projection", "uniform", ParameterError),
        ("dim", 0, ParameterError),
        ("dim", "4", InputTypeError),
    ],
)
def test_parameters_are_checked(parameter: str, value: Any, error: Any) -> None:
    with pytest.raises(error, match=parameter):
        StreamingLSHProcessor(**{parameter: value})


def test_a_profile_reaches_the_hashes(tmp_path: Path) -> None:
    stored = vectors_of(500, dim=101)
    table = write_table(tmp_path / "t", stored)
    lsh = StreamingLSHProcessor(1e-15, 3, 7, spark_profile="vector8")
    (chunk,) = lsh.transform_streaming(table)
    expected = BucketedRandomProjectionLSH(1e-15, 3, 7, spark_profile="vector8")
    np.testing.assert_array_equal(chunk.hashes, expected.fit(stored).transform(stored))
    other = BucketedRandomProjectionLSH(1e-15, 3, 7).fit(stored).transform(stored)
    assert (chunk.hashes != other).any()


def test_other_schemes_reach_hashes_tables_and_joins(tmp_path: Path) -> None:
    stored = vectors_of(60)
    table = write_table(tmp_path / "t", stored)
    own: Any = {"num_hashes_per_table": 2, "projection": "gaussian"}
    lsh = StreamingLSHProcessor(3.0, 3, 7, chunk_size=25, **own)
    model = BucketedRandomProjectionLSHModel(3.0, 3, 7, 4, **own)
    expected = model.transform(stored)
    chunks = list(lsh.transform_streaming(table))
    np.testing.assert_array_equal(np.concatenate([c.hashes for c in chunks]), expected)
    assert (lsh.num_hashes_per_table, lsh.projection) == (2, "gaussian")
    for embeddings in (False, True):
        lsh.transform_to_delta(table, tmp_path / "out", include_embeddings=embeddings)
        frame = pl.read_delta(str(tmp_path / "out")).sort("id")
        names = [f"hash_{t}_{k}" for t in range(3) for k in range(2)]
        assert frame.columns == [*names, "id", "embedding"][: 7 + embeddings]
        hashes = frame.select(names).to_numpy()
        np.testing.assert_array_equal(hashes.reshape(60, 3, 2), expected)
    frame.select(pl.col("embedding").alias("hash_2_1"), "id").write_delta(tmp_path / "u")
    with pytest.raises(ParameterError, match="hash_2_1"):
        lsh.transform_to_delta(tmp_path / "u", tmp_path / "out", "hash_2_1", "id", True)
    pairs = model.approx_similarity_join(stored, stored, 1.0)
    assert 60 < len(pairs) < len(list(exact_similarity_join(stored, stored, 1.0)))
    lists = list(lsh.similarity_join_streaming(table, table, 1.0))
    assert [pair for part in lists for pair in part] == pairs
    assert lsh.similarity_join_chunked_both(table, table, 1.0) == len(pairs)


def test_a_dimension_that_was_asked_for_is_compared_with_the_table(
    tmp_path: Path,
) -> None:
    table = write_table(tmp_path / "t", vectors_of(9, dim=4))
    asked = streaming(dim=4)
    assert [c.n_rows for c in asked.transform_streaming(table)] == [9]
    other = streaming(dim=5)
    for call in (
        lambda: list(other.transform_streaming(table)),
        lambda: other.transform_to_delta(table, tmp_path / "out"),
        lambda: list(other.similarity_join_streaming(table, table, 1.0)),
        lambda: other.similarity_join_chunked_both(table, table, 1.0),
    ):
        with pytest.raises(DimensionError, match=r"dimension 4, but dim=5") as raised:
            call()
        assert "embedding" in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_progress_counts_rows_up_to_their_number(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t", vectors_of(100))
    lsh = streaming(chunk_size=30)
    calls: list[Callable[..., object]] = [
        lambda **kw: list(lsh.transform_streaming(table, **kw)),
        lambda **kw: lsh.transform_to_delta(table, tmp_path / "out", **kw),
        lambda **kw: list(lsh.similarity_join_streaming(table, table, 1.0, **kw)),
    ]
    for call in calls:
        seen: list[tuple[int, int]] = []
        call(progress=lambda *step: seen.append(step))  # noqa: B023
        assert seen == [(30, 100), (60, 100), (90, 100), (100, 100)]
        with pytest.raises(InputTypeError, match="progress"):
            call(progress=1)


# ---- ids -------------------------------------------------------------------------------

N = 25
IDS: dict[str, pl.Series] = {
    "int8": pl.Series(np.arange(N) - 7, dtype=pl.Int8),
    "int16": pl.Series(np.arange(N) - 300, dtype=pl.Int16),
    "int32": pl.Series(np.arange(N) - 70_000, dtype=pl.Int32),
    "int64": pl.Series(2**63 - 1 - np.arange(N), dtype=pl.Int64),
    "beyond int64": pl.Series(
        [Decimal(2**64 - 1 - i) for i in range(N)], dtype=pl.Decimal(20, 0)
    ),
    "decimal": pl.Series([Decimal(i) / 8 for i in range(N)], dtype=pl.Decimal(10, 3)),
    "string": pl.Series([f"row {i} of the table, är" for i in range(N)]),
    "bool": pl.Series([i % 3 == 0 for i in range(N)]),
    "date": pl.Series([date(2024, 2, 1 + i) for i in range(N)]),
    "timestamp": pl.Series([datetime(2024, 2, 1 + i, 3, tzinfo=UTC) for i in range(N)]),
    "binary": pl.Series([bytes([255, i, 0]) for i in range(N)]),
    "float64": pl.Series(np.arange(N) / 3),
}


@pytest.fixture(params=IDS)
def ids(request: pytest.FixtureRequest) -> pl.Series:
    made: pl.Series = IDS[request.param]
    return made


def test_ids_of_any_type_come_back_in_order(tmp_path: Path, ids: pl.Series) -> None:
    table = write_table(tmp_path / "t", vectors_of(N), ids=ids)
    read = read_delta_embeddings(table, id_column="id")[1]
    assert read is not None
    assert read.tolist() == ids.to_list()
    assert read.dtype == (np.int64 if ids.dtype.is_integer() else object)
    lsh = streaming(chunk_size=10)
    for parts in (
        [chunk.ids for chunk in lsh.transform_streaming(table, id_column="id")],
        [
            part
            for _, part, _ in read_delta_embeddings_chunked(table, "embedding", "id", 10)
        ],
    ):
        found = [value for part in parts if part is not None for value in part.tolist()]
        assert found == ids.to_list()
    assert processor().transform_delta(table)["id"].to_list() == ids.to_list()


def test_ids_of_any_type_are_joined(tmp_path: Path, ids: pl.Series) -> None:
    table = write_table(tmp_path / "t", vectors_of(N), ids=ids)
    expected = [(value, value, 0.0) for value in ids.to_list()]
    assert processor().similarity_join_delta(table, table, 0.0) == expected
    lists = list(streaming(chunk_size=10).similarity_join_streaming(table, table, 0.0))
    assert [pair for part in lists for pair in part] == expected


def test_ids_of_any_type_keep_it_in_output_tables(tmp_path: Path, ids: pl.Series) -> None:
    table = write_table(tmp_path / "t", vectors_of(N), ids=ids)
    stored = pl.read_delta(table)["id"].dtype
    lsh = streaming(chunk_size=10)
    outputs = {
        name: tmp_path / name for name in ("save", "stream", "embeddings", "pairs")
    }
    processor().transform_and_save(table, outputs["save"], chunk_size=10)
    lsh.transform_to_delta(table, outputs["stream"])
    lsh.transform_to_delta(table, outputs["embeddings"], include_embeddings=True)
    lsh.similarity_join_chunked_both(table, table, 0.0, output_path=outputs["pairs"])
    for name in ("save", "stream", "embeddings"):
        column = pl.read_delta(str(outputs[name]))["id"]
        assert column.dtype == stored
        assert sorted(column.to_list()) == sorted(ids.to_list())
    pairs = pl.read_delta(str(outputs["pairs"]))
    assert pairs.schema == {"id_a": stored, "id_b": stored, "distance": pl.Float64()}
    assert sorted(pairs["id_a"].to_list()) == sorted(ids.to_list())
    assert pairs["id_a"].equals(pairs["id_b"])


def test_rows_are_numbered_only_when_no_id_column_was_asked_for(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t", vectors_of(25), ids=np.arange(25) + 1000)
    lsh = streaming(chunk_size=10)
    assert [c.ids for c in lsh.transform_streaming(table)] == [None] * 3
    with pytest.raises(ColumnNotFoundError):
        lsh.transform_streaming(table, id_column="identity")
    lsh.transform_to_delta(table, tmp_path / "out", id_column=None)
    frame = pl.read_delta(str(tmp_path / "out")).sort("id")
    assert frame["id"].to_list() == list(range(25))
    lists = lsh.similarity_join_streaming(table, table, 0.0, id_column=None)
    assert [a for part in lists for a, _, _ in part] == list(range(25))


# ---- output tables ---------------------------------------------------------------------


def test_hashes_are_written_in_one_commit_whatever_the_chunks(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t", vectors_of(ROWS))
    out = str(tmp_path / "out")
    streaming(chunk_size=700).transform_to_delta(table, out)
    assert deltalake.DeltaTable(out).version() == 0
    frame = pl.read_delta(out)
    assert frame.columns == ["hash_0", "hash_1", "hash_2", "id"]
    whole = processor().transform_delta(table)
    assert frame.sort("id").equals(whole.sort("id"))
    write_table(tmp_path / "t", vectors_of(9), mode="overwrite")
    streaming(chunk_size=2).transform_to_delta(table, out)
    assert deltalake.DeltaTable(out).version() == 1
    assert pl.read_delta(out)["id"].sort().to_list() == list(range(9))


@pytest.mark.parametrize("element", [pl.Float32, pl.Float64])
@pytest.mark.parametrize(("size", "values"), [(300, 1 << 22), (20_000, 1000)])
def test_embeddings_are_written_beside_their_hashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, element: Any, size: int, values: int
) -> None:
    monkeypatch.setattr(_processor, "_BATCH_VALUES", values)
    stored = vectors_of(TWO_BATCHES, dim=3)
    table = write_table(tmp_path / "t", stored, element=element)
    out = str(tmp_path / "out")
    lsh = streaming(chunk_size=size)
    lsh.transform_to_delta(table, out, include_embeddings=True)
    frame = pl.read_delta(out).sort("id")
    assert frame.columns == ["hash_0", "hash_1", "hash_2", "id", "embedding"]
    assert frame.schema["embedding"] == pl.List(element)
    source = pl.read_delta(table).sort("id")
    assert frame["embedding"].equals(source["embedding"])
    np.testing.assert_array_equal(
        frame.select(pl.col("^hash_.*$")).to_numpy(), hashes_in_memory(stored)
    )
    # What was written can be hashed again.
    lsh.transform_to_delta(out, tmp_path / "again")
    again = pl.read_delta(str(tmp_path / "again")).sort("id")
    assert again.equals(frame.drop("embedding"))


def test_embeddings_are_written_in_small_groups(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t", vectors_of(3000, dim=4096))
    out = tmp_path / "out"
    streaming(chunk_size=500).transform_to_delta(table, out, include_embeddings=True)
    rows = 0
    for file in out.glob("*.parquet"):
        metadata = pyarrow.parquet.read_metadata(file)
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            assert group.num_rows * 4096 * 4 <= 8 << 20
            rows += group.num_rows
    assert rows == 3000


@pytest.mark.parametrize("name", ["id", "hash_1", "HASH_2"])
def test_embeddings_cannot_be_written_over_another_column(
    tmp_path: Path, name: str
) -> None:
    frame = pl.DataFrame({name: pl.Series([[1.0, 2.0]], dtype=pl.List(pl.Float32))})
    frame.with_columns(key=1).write_delta(tmp_path / "t")
    lsh = streaming()
    with pytest.raises(ParameterError, match=repr(name)):
        lsh.transform_to_delta(tmp_path / "t", tmp_path / "out", name, "key", True)
    lsh.transform_to_delta(tmp_path / "t", tmp_path / "out", name, "key")
    assert len(pl.read_delta(str(tmp_path / "out"))) == 1


def test_the_input_table_is_no_output(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t", vectors_of(3))
    other = write_table(tmp_path / "other", vectors_of(3))
    before = contents(table)
    lsh = streaming()
    for output in (table, f"{table}/", f"file://{table}", tmp_path / "x" / ".." / "t"):
        join = partial(lsh.similarity_join_chunked_both, output_path=output)
        for call in (
            partial(lsh.transform_to_delta, table, output),
            partial(join, table, other, 1.0),
            partial(join, other, table, 1.0),
        ):
            with pytest.raises(ParameterError, match="is the input table"):
                call()
    after = contents(table)
    assert after[0] == before[0]
    assert after[1].equals(before[1])


@pytest.mark.parametrize("fault", ["nan", "ragged", "bucket"])
def test_a_fault_in_a_late_chunk_leaves_the_output_as_it_was(
    tmp_path: Path, fault: str
) -> None:
    rows: list[list[float]] = vectors_of(TWO_BATCHES).astype(float).tolist()
    row = TWO_BATCHES - 5
    rows[row] = {
        "nan": [1.0, float("nan"), 1.0, 1.0],
        "ragged": [1.0],
        "bucket": [1e300] * 4,
    }[fault]
    table = write_table(tmp_path / "t", rows, element=pl.Float64)
    out = write_table(tmp_path / "out", vectors_of(3))
    before = contents(out)
    error: Any = BucketRangeError if fault == "bucket" else InvalidVectorError
    lsh = streaming(chunk_size=100)
    calls: list[Callable[[], object]] = [
        lambda: lsh.transform_to_delta(table, out),
        lambda: lsh.similarity_join_chunked_both(table, table, 0.0, output_path=out),
        lambda: lsh.transform_to_delta(table, tmp_path / "new"),
    ]
    for call in calls:
        with pytest.raises(error, match=f"row {row}") as raised:
            call()
        assert raised.value.row == row
    after = contents(out)
    assert after[0] == before[0]
    assert after[1].equals(before[1])
    assert not deltalake.DeltaTable.is_deltatable(str(tmp_path / "new"))


def test_storage_options_reach_every_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"timeout": "77 seconds"}
    table = write_table(tmp_path / "t", vectors_of(20))
    seen: list[tuple[str, object]] = []

    class Opened(deltalake.DeltaTable):
        def __init__(self, *args: Any, **kw: Any) -> None:
            seen.append(("open", kw["storage_options"]))
            super().__init__(*args, **kw)

    def recording(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(*args: Any, **kw: Any) -> Any:
            seen.append((name, kw["storage_options"]))
            return function(*args, **kw)

        return recorded

    write = recording("write", deltalake.write_deltalake)
    monkeypatch.setattr(deltalake, "DeltaTable", Opened)
    monkeypatch.setattr(deltalake, "write_deltalake", write)
    lsh = StreamingLSHProcessor(storage_options=options)
    other = DeltaLSHProcessor(storage_options=options)
    given: Any = {"storage_options": options}
    out = str(tmp_path / "out")
    calls: dict[Callable[[], object], list[str]] = {
        lambda: list(lsh.transform_streaming(table)): ["open"],
        lambda: list(lsh.similarity_join_streaming(table, table, 1.0)): ["open"] * 2,
        lambda: lsh.similarity_join_chunked_both(table, table, 1.0): ["open"] * 2,
        lambda: lsh.similarity_join_chunked_both(table, table, 1.0, output_path=out): [
            *["open"] * 3,  # the last is the output, which is not there yet
            "open",
            "write",
        ],
        lambda: lsh.transform_to_delta(table, out): [*["open"] * 3, "write"],
        lambda: lsh.check_scheme(out): ["open", "open"],
        lambda: other.transform_delta(table): ["open"],
        lambda: other.transform_and_save(table, out): [*["open"] * 3, "write"],
        lambda: other.similarity_join_delta(table, table, 1.0): ["open"] * 2,
        lambda: read_delta_embeddings(table, **given): ["open"],
        lambda: list(read_delta_embeddings_chunked(table, **given)): ["open"],
        lambda: read_hash_scheme(out, **given): ["open", "open"],
    }
    for call, expected in calls.items():
        call()
        assert [name for name, _ in seen] == expected
        assert all(passed == options for _, passed in seen)
        seen.clear()


# ---- manners ---------------------------------------------------------------------------


def test_nothing_is_printed_and_numpys_generator_is_left_alone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    table = write_table(tmp_path / "t", vectors_of(300))
    np.random.seed(5)
    before = np.random.get_state(legacy=False)["state"]
    for name, call in READERS.items():
        call(table, tmp_path / name)
    create_sample_delta(tmp_path / "sample", 10, 4)
    benchmark_streaming(200, 4, 50)
    read_delta_lazy(table).collect()
    after = np.random.get_state(legacy=False)["state"]
    assert after["key"].tolist() == before["key"].tolist()
    assert after["pos"] == before["pos"]
    assert capfd.readouterr() == ("", "")


def test_old_imports_keep_working(run_python: Run) -> None:
    program = """
from fast_lsh_ann import (
    ChunkResult, DeltaLSHProcessor, StreamingLSHProcessor,
    create_sample_delta, read_delta_embeddings, read_delta_embeddings_chunked,
)
from fast_lsh_ann.delta_utils import DeltaLSHProcessor as same, read_delta_lazy
from fast_lsh_ann.streaming import ChunkResult, StreamingLSHProcessor, benchmark_streaming
assert same is DeltaLSHProcessor
assert StreamingLSHProcessor.__module__ == ChunkResult.__module__ == "fast_lsh_ann"
"""
    assert run_python(program).stdout == ""


def test_the_benchmark_times_what_it_says(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls: list[tuple[int, int | None, int]] = []
    transform = StreamingLSHProcessor.transform_to_delta

    def recorded(self: StreamingLSHProcessor, source: Any, target: Any) -> None:
        calls.append((self.chunk_size, self.dim, len(read_delta_embeddings(source)[0])))
        transform(self, source, target)
        assert len(pl.read_delta(str(target))) == 300

    monkeypatch.setattr(StreamingLSHProcessor, "transform_to_delta", recorded)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with caplog.at_level(logging.INFO, logger="fast_lsh_ann"):
        found = benchmark_streaming(n_vectors=300, dim=4, chunk_size=70)
    assert calls == [(70, 4, 300)]
    assert list(tmp_path.iterdir()) == []
    assert (found["rows"], found["dim"], found["chunk_size"]) == (300, 4, 70)
    assert 0 < found["seconds"] < 30
    assert found["rows_per_second"] == 300 / found["seconds"]
    assert "hashed 300 rows of dimension 4" in caplog.text
    with pytest.raises(ParameterError, match="n_vectors"):
        benchmark_streaming(0)
