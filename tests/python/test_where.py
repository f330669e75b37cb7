"""Conditions on the rows of tables: which are read, how they are counted and named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import deltalake
import numpy as np
import polars as pl
import pytest
from delta_tables import (
    READERS,
    TWO_BATCHES,
    by_id,
    hashes_in_memory,
    processor,
    streaming,
    vectors_of,
    write_table,
)
from fast_lsh_ann import read_delta_embeddings, read_delta_embeddings_chunked
from fast_lsh_ann.errors import InputTypeError, InvalidVectorError, ParameterError

ROWS = vectors_of(TWO_BATCHES)
IDS = np.arange(TWO_BATCHES)
KEPT = IDS[IDS % 3 == 1]
WHERE = "label = 'x'"


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> str:
    labels = np.where(IDS % 3 == 1, "x", "y").tolist()
    return write_table(tmp_path_factory.mktemp("where") / "t", ROWS, label=labels)


def asked(name: str, where: Any) -> dict[str, Any]:
    """The condition as a method takes it, for every table it reads."""
    if name.startswith("similarity"):
        return {"where_a": where, "where_b": where}
    return {"where": where}


def metadata(path: Path) -> dict[str, Any]:
    return deltalake.DeltaTable(path).history(1)[0]


# ---- what is read ----------------------------------------------------------------------


def test_only_rows_that_pass_are_read(table: str) -> None:
    rows, ids = read_delta_embeddings(table, id_column="id", where=WHERE)
    assert ids is not None
    np.testing.assert_array_equal(ids, KEPT)
    np.testing.assert_array_equal(rows, ROWS[KEPT])
    starts = [
        (start, len(part))
        for part, _, start in read_delta_embeddings_chunked(
            table, chunk_size=1000, where=WHERE
        )
    ]
    assert starts[:3] == [(0, 1000), (1000, 1000), (2000, 1000)]
    assert sum(size for _, size in starts) == len(KEPT)


def test_hashes_are_those_of_the_rows_that_pass(table: str, tmp_path: Path) -> None:
    expected = hashes_in_memory(ROWS[KEPT])
    frame = processor().transform_delta(table, where=WHERE)
    np.testing.assert_array_equal(frame["id"].to_numpy(), KEPT)
    np.testing.assert_array_equal(by_id(frame), expected)
    numbered = processor().transform_delta(table, id_column=None, where=WHERE)
    assert numbered["id"].to_list() == list(range(len(KEPT)))
    chunks = list(streaming(chunk_size=700).transform_streaming(table, where=WHERE))
    np.testing.assert_array_equal(np.concatenate([c.hashes for c in chunks]), expected)
    assert chunks[1].start_row == 700
    for save in (processor().transform_and_save, streaming().transform_to_delta):
        save(table, tmp_path / "out", where=WHERE)
        np.testing.assert_array_equal(by_id(pl.read_delta(tmp_path / "out")), expected)
        assert metadata(tmp_path / "out")["fast_lsh_ann.where"] == WHERE


def test_each_side_of_a_join_has_a_condition(table: str, tmp_path: Path) -> None:
    conditions: dict[str, Any] = {
        "where_a": "id < 40 and id % 2 = 0",
        "where_b": "id between 20 and 60",
    }
    left, right = IDS[:40:2], IDS[20:61]
    expected = [
        (int(a), int(b), float(np.sqrt(((ROWS[a] - ROWS[b]).astype(float) ** 2).sum())))
        for a in left
        for b in right
        if (hashes_in_memory(ROWS[[a]]) == hashes_in_memory(ROWS[[b]])).any()
    ]
    expected = [pair for pair in expected if pair[2] <= 1.5]
    assert len(expected) > 20
    pairs = processor().similarity_join_delta(table, table, 1.5, **conditions)
    assert [pair[:2] for pair in pairs] == [pair[:2] for pair in expected]
    np.testing.assert_allclose([p[2] for p in pairs], [p[2] for p in expected], rtol=1e-6)
    lsh = streaming(chunk_size=7)
    lists = list(lsh.similarity_join_streaming(table, table, 1.5, **conditions))
    assert [pair for part in lists for pair in part] == pairs
    count = lsh.similarity_join_chunked_both(table, table, 1.5, **conditions)
    assert count == len(pairs)
    out = tmp_path / "out"
    lsh.similarity_join_chunked_both(table, table, 1.5, output_path=out, **conditions)
    assert sorted(pl.read_delta(out).rows()) == sorted(pairs)
    told = metadata(out)
    for side, where in conditions.items():
        assert told[f"fast_lsh_ann.{side}"] == where


@pytest.mark.parametrize("name", READERS)
def test_a_condition_that_no_row_passes_gives_nothing(
    table: str, tmp_path: Path, name: str
) -> None:
    READERS[name](table, tmp_path / "out", **asked(name, "id < 0"))
    rows, ids = read_delta_embeddings(table, id_column="id", where="id < 0")
    assert ids is not None
    assert (rows.shape, ids.shape) == ((0, 0), (0,))


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ("id < 5 or id = 9", [0, 1, 2, 3, 4, 9]),
        ("id < 3 -- and no more", [0, 1, 2]),
        ("(id) in (1, 2) and (label) = 'x'", [1]),
        ("label = 'x); --' or id = 4", [4]),
        ("id in (select id + 7 from source where id < 2)", [7, 8]),
        ("embedding[1] is null", []),
        ("null", []),
    ],
)
def test_any_expression_is_a_condition(table: str, where: str, kept: list[int]) -> None:
    _, ids = read_delta_embeddings(table, id_column="id", where=where)
    assert ids is not None
    assert ids.tolist() == kept


def test_a_bad_row_is_counted_among_those_that_pass(tmp_path: Path) -> None:
    rows = vectors_of(20)
    rows[[3, 10]] = np.nan
    table = write_table(tmp_path / "t", rows)
    with pytest.raises(InvalidVectorError, match="where id > 5: row 4 ") as raised:
        read_delta_embeddings(table, where="id > 5")
    assert raised.value.row == 4
    assert len(read_delta_embeddings(table, where="id not in (3, 10)")[0]) == 18


# ---- what is refused -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("nope = 1", "No field named nope"),
        ("id", "non-boolean"),
        ("id = 'five'", "simplify|cast|Cast"),
        ("id >", "expression"),
        ("1=1; drop table source", "ParserError"),
        ("1=1) union all select id from source where (1=1", "ParserError"),
        ("id > 3) or (id < 2", "ParserError"),
        ("id > 3 then true end or case when true", "ParserError"),
        ("id > 3 limit 2", "ParserError"),
        ("id in (select id from other)", "'datafusion.public.other' not found"),
        ("count(*) > 1", "Aggregate"),
        ("id > 3 /*", "comment"),
        ("id > $1", "Placeholder"),
        ("", "no condition"),
        (" \n", "no condition"),
        ("id > 3\0", "no condition"),
    ],
)
@pytest.mark.parametrize("name", READERS)
def test_a_bad_condition_is_refused_before_anything_is_read(
    table: str, tmp_path: Path, name: str, where: str, says: str
) -> None:
    with pytest.raises(ParameterError, match=says) as raised:
        READERS[name](table, tmp_path / "out", **asked(name, where))
    assert "\n" not in str(raised.value).replace(where, "")
    if where.strip("\0 \n") == where and where:
        assert "['id', 'embedding', 'label']" in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_streams_refuse_a_bad_condition_when_they_are_made(table: str) -> None:
    makers: list[Callable[[], object]] = [
        lambda: streaming().transform_streaming(table, where="nope"),
        lambda: streaming().similarity_join_streaming(table, table, 1.0, where_b="nope"),
        lambda: read_delta_embeddings_chunked(table, where="nope"),
    ]
    for make in makers:
        with pytest.raises(ParameterError, match="nope"):
            make()


@pytest.mark.parametrize("where", [5, b"id > 3", ["id > 3"], pl.col("id") > 3])
def test_a_condition_is_text(table: str, where: Any) -> None:
    with pytest.raises(InputTypeError, match="must be a str"):
        read_delta_embeddings(table, where=where)
