"""Every kind of table through every call that reads one, against arrays in memory."""

from pathlib import Path
from typing import Any

import numpy as np
import oracle
import polars as pl
import pytest
from delta_tables import (
    TWO_BATCHES,
    by_id,
    hashes_in_memory,
    processor,
    streaming,
    vectors_of,
    write_table,
)
from fast_lsh_ann import FastLSHError
from fast_lsh_ann._tables.embeddings import EmbeddingReader
from fast_lsh_ann._tables.opening import open_source
from fast_lsh_ann._tables.source import BATCH_ROWS
from fast_lsh_ann.errors import (
    ArrowError,
    ColumnNotFoundError,
    InvalidVectorError,
    ParameterError,
)
from table_kinds import ONE_SHOT, TABLES, content_of, make_table

ROWS = vectors_of(TWO_BATCHES)
NAMES = [f"row {number:05}" for number in range(TWO_BATCHES)]
OTHER = vectors_of(80, seed=2)
WHERE = "label = 'x'"
PASSING = [number for number in range(TWO_BATCHES) if number % 3]


@pytest.fixture(params=TABLES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def hashes_of(kind: str, rows: Any) -> Any:
    """Hashes of rows as a table of a kind has them: Spark's vectors are of doubles."""
    return hashes_in_memory(rows.astype(np.float64) if "Spark" in kind else rows)


# ---- hashes ----------------------------------------------------------------------------


@pytest.mark.parametrize("ids", [list(range(TWO_BATCHES)), NAMES], ids=["int", "str"])
def test_hashes_are_those_of_the_rows_in_memory(
    tmp_path: Path, kind: str, ids: list[Any]
) -> None:
    def table() -> Any:
        return make_table(kind, tmp_path, content_of(ROWS, ids))

    expected = hashes_of(kind, ROWS)
    frame = processor().transform_delta(table(), chunk_size=1000)
    assert frame["id"].to_list() == ids
    assert frame["id"].dtype == (pl.String if ids is NAMES else pl.Int64)
    np.testing.assert_array_equal(by_id(frame), expected)
    chunks = list(streaming(chunk_size=1000).transform_streaming(table(), id_column="id"))
    assert [chunk.n_rows for chunk in chunks] == [1000] * 9 + [192]
    np.testing.assert_array_equal(np.concatenate([c.hashes for c in chunks]), expected)
    assert [
        i for chunk in chunks for i in (chunk.ids if chunk.ids is not None else [])
    ] == ids
    out = tmp_path / "out"
    processor().transform_and_save(table(), out)
    np.testing.assert_array_equal(by_id(pl.read_delta(out)), expected)
    streaming().transform_to_delta(table(), out, include_embeddings=True)
    saved = pl.read_delta(out).sort("id")
    assert saved["id"].to_list() == ids
    np.testing.assert_array_equal(np.array(saved["embedding"].to_list()), ROWS)


def test_a_condition_is_the_same_everywhere(tmp_path: Path, kind: str) -> None:
    table = make_table(kind, tmp_path, content_of(ROWS, NAMES))
    frame = processor().transform_delta(table, where=WHERE)
    assert frame["id"].to_list() == [NAMES[number] for number in PASSING]
    np.testing.assert_array_equal(
        frame.drop("id").to_numpy(), hashes_of(kind, ROWS[PASSING])
    )
    source = open_source(make_table(kind, tmp_path, content_of(ROWS)), where="id<0")
    reader = EmbeddingReader(source, "embedding", "id")
    assert len(reader.whole().rows) == 0
    assert source.name.endswith(" where id<0")


# ---- joins -----------------------------------------------------------------------------


def expected_pairs(left: Any, right: Any) -> list[tuple[int, int, float]]:
    vectors = oracle.unit_vectors(3, left.shape[1], 7)
    buckets = oracle.buckets(left, vectors, 1.0), oracle.buckets(right, vectors, 1.0)
    pairs = oracle.similarity_join(left, right, 0.8, oracle.collisions(*buckets) > 0)
    columns = (pairs.left.tolist(), pairs.right.tolist(), pairs.distances.tolist())
    return list(zip(*columns, strict=True))


def test_pairs_are_the_naive_programs(tmp_path: Path, kind: str) -> None:
    rows = ROWS[:300]
    expected = expected_pairs(rows, OTHER)
    assert len(expected) > 50
    other = write_table(tmp_path / "other", OTHER)

    def table() -> Any:
        return make_table(kind, tmp_path, content_of(rows))

    assert processor().similarity_join_delta(table(), other, 0.8) == expected
    lsh = streaming(chunk_size=64)
    lists = lsh.similarity_join_streaming(table(), other, 0.8)
    assert [pair for part in lists for pair in part] == expected
    turned = sorted((b, a, d) for a, b, d in expected)
    lists = lsh.similarity_join_streaming(other, table(), 0.8)
    assert [pair for part in lists for pair in part] == turned
    out = tmp_path / "out"
    lsh.similarity_join_chunked_both(table(), other, 0.8, output_path=out)
    assert sorted(pl.read_delta(out).rows()) == expected


def test_a_table_is_joined_with_itself(tmp_path: Path, kind: str) -> None:
    table = make_table(kind, tmp_path, content_of(ROWS[:300]))
    lsh = streaming(chunk_size=64)
    if kind in ONE_SHOT:
        with pytest.raises(FastLSHError, match=r"once|of type schema"):
            lsh.similarity_join_chunked_both(table, table, 0.8)
        return
    expected = expected_pairs(ROWS[:300], ROWS[:300])
    assert lsh.similarity_join_chunked_both(table, table, 0.8) == len(expected)
    assert processor().similarity_join_delta(table, table, 0.8) == expected


# ---- what every source keeps to --------------------------------------------------------


def test_rows_come_in_pieces_and_again(tmp_path: Path, kind: str) -> None:
    source = open_source(make_table(kind, tmp_path, content_of(ROWS)))
    reader = EmbeddingReader(source, "embedding", "id", carried=("label",))
    assert source.one_shot == (kind in ONE_SHOT)
    assert source.rows_at_most in (None, TWO_BATCHES)
    assert source.columns[:3] == ["id", "label", "embedding"]
    for reading in range(2):
        if source.one_shot and reading:
            with pytest.raises(ArrowError, match=r"once and was read before: collect"):
                next(reader.batches())
            return
        batches = list(reader.batches())
        assert max(len(batch.rows) for batch in batches) <= BATCH_ROWS
        np.testing.assert_array_equal(np.concatenate([b.rows for b in batches]), ROWS)
        ids = [i for b in batches for i in b.ids.to_list()]
        assert ids == list(range(TWO_BATCHES))
        labels = [i for b in batches for i in b.carried["label"].to_list()]
        assert labels == content_of(ROWS).labels
        assert all(batch.rows.dtype == reader.dtype for batch in batches)
        kinds = {(batch.ids.dtype, batch.carried.dtypes[0]) for batch in batches}
        ids_of_none, carried_of_none = reader.no_ids()
        assert kinds == {(ids_of_none.dtype, carried_of_none.dtypes[0])}


def test_a_table_without_rows_gives_none(tmp_path: Path, kind: str) -> None:
    table = make_table(kind, tmp_path, content_of(ROWS[:0]))
    assert processor().transform_delta(table).shape == (0, 4)


@pytest.mark.parametrize("rows", [[[1.0, 2.0], [np.nan, 1.0]], [[1.0, np.inf]]])
def test_a_row_at_fault_is_named_and_can_be_left_out(
    tmp_path: Path, kind: str, rows: Any
) -> None:
    content = content_of(np.array(rows, np.float32))
    bad = make_table(kind, tmp_path, content)
    with pytest.raises(InvalidVectorError, match=f"row {len(rows) - 1} has") as raised:
        processor().transform_delta(bad)
    assert "column 'embedding' of " in str(raised.value)
    again = make_table(kind, tmp_path, content)
    kept = processor().transform_delta(again, on_invalid="skip")
    assert kept["id"].to_list() == list(range(len(rows) - 1))


def test_columns_and_versions_are_refused_alike(tmp_path: Path, kind: str) -> None:
    table = make_table(kind, tmp_path, content_of(ROWS[:5]))
    if kind != "Delta":
        with pytest.raises(ParameterError, match="only Delta tables have versions"):
            open_source(table, version=0)
    source = open_source(table)
    with pytest.raises(ColumnNotFoundError, match=r"'nope'.*'label'"):
        EmbeddingReader(source, "nope", "id")
    with pytest.raises(TypeError, match=r"array<float>"):
        EmbeddingReader(source, "label", "id")
    for where, says in (("nope = 1", "nope"), ("id", "id"), ("", "no condition")):
        with pytest.raises(ParameterError, match=says):
            open_source(make_table(kind, tmp_path, content_of(ROWS[:5])), where=where)
