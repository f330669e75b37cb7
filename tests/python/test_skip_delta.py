"""on_invalid="skip" leaves invalid rows of Delta tables out, and says how many."""

import inspect
import logging
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
from fast_lsh_ann import (
    DeltaLSHProcessor,
    StreamingLSHProcessor,
    errors,
    read_delta_embeddings,
    read_delta_embeddings_chunked,
)
from fast_lsh_ann._tables.embeddings import EmbeddingReader
from fast_lsh_ann._tables.opening import open_source
from fast_lsh_ann._tables.source import BATCH_ROWS
from fast_lsh_ann.delta_utils import read_hash_scheme
from numpy.typing import NDArray

DIM = 4
# The first valid row decides the length, so a shorter one must come later.
FAULTS: list[Any] = [None, [], [np.nan] * DIM, [1, 2, None, 4], [1.0] * 3, [np.inf] * 5]


def spoiled(rows: NDArray[Any], places: list[int]) -> list[Any]:
    """Rows of which some are invalid, in all the ways there are, by turns."""
    listed: list[Any] = rows.tolist()
    for turn, place in enumerate(places):
        listed[place] = FAULTS[turn % len(FAULTS)]
    return listed


@pytest.fixture
def table(tmp_path: Path) -> tuple[str, NDArray[Any], NDArray[np.int64]]:
    """A table of 50 rows, 20 of them invalid; its rows; the numbers of the valid ones."""
    rows = vectors_of(50)
    bad = [0, 1, 2, 3, *range(11, 21), 30, 40, 42, 44, 48, 49]
    path = write_table(tmp_path / "table", spoiled(rows, bad))
    return path, rows, np.setdiff1d(np.arange(50), bad)


Table = tuple[str, NDArray[Any], NDArray[np.int64]]


def test_it_is_keyword_only_and_everywhere() -> None:
    processors = (DeltaLSHProcessor, StreamingLSHProcessor)
    methods = [
        read_delta_embeddings,
        read_delta_embeddings_chunked,
        *(
            method
            for processor in processors
            for name, method in vars(processor).items()
            if name.startswith(("transform", "similarity"))
        ),
    ]
    taken = 0
    for method in methods:
        parameter = inspect.signature(method).parameters["on_invalid"]
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert parameter.default == "raise"
        taken += 1
    assert taken == 10


@pytest.mark.parametrize("element", [pl.Float32, pl.Float64])
def test_reading_gives_the_valid_rows(tmp_path: Path, element: Any) -> None:
    rows = vectors_of(9)
    path = write_table(tmp_path / "t", spoiled(rows, [0, 1, 4, 8]), element=element)
    kept = [2, 3, 5, 6, 7]
    read, ids = read_delta_embeddings(path, id_column="id", on_invalid="skip")
    assert read.tolist() == rows[kept].tolist()
    assert ids is not None
    assert ids.tolist() == kept
    assert read.dtype == (np.float32 if element is pl.Float32 else np.float64)
    _, numbers = read_delta_embeddings(path, on_invalid="skip")
    assert numbers is not None
    assert numbers.tolist() == kept


def test_chunks_hold_as_many_valid_rows(table: Table) -> None:
    path, rows, kept = table
    chunks = list(read_delta_embeddings_chunked(path, chunk_size=7, on_invalid="skip"))
    assert [len(chunk) for chunk, _, _ in chunks] == [7, 7, 7, 7, 2]
    assert (
        np.concatenate([chunk for chunk, _, _ in chunks]).tolist() == rows[kept].tolist()
    )
    numbers = [ids for _, ids, _ in chunks if ids is not None]
    assert np.concatenate(numbers).tolist() == kept.tolist()
    assert [start for _, _, start in chunks] == kept[::7].tolist()
    # The row numbers are those that a reader who skips nothing gives.
    good = write_table(Path(path).parent / "good", rows)
    (whole,) = streaming().transform_streaming(good)
    results = list(streaming(chunk_size=7).transform_streaming(path, on_invalid="skip"))
    assert [result.start_row for result in results] == kept[::7].tolist()
    for result in results:
        assert result.n_rows == len(result.hashes)
        assert result.ids is not None
        assert result.hashes.tolist() == whole.hashes[result.ids].tolist()


def test_rows_are_skipped_across_batches_and_commits(tmp_path: Path) -> None:
    rows = vectors_of(TWO_BATCHES)
    bad = [*range(300, TWO_BATCHES, 7), TWO_BATCHES - 1]
    path = write_table(tmp_path / "t", spoiled(rows, bad))
    write_table(tmp_path / "t", [None, [np.nan] * 2, []], ids=[-1, -2, -3])
    kept = np.setdiff1d(np.arange(TWO_BATCHES), bad)
    frame = processor().transform_delta(path, chunk_size=1000, on_invalid="skip")
    assert frame["id"].sort().to_list() == kept.tolist()
    assert by_id(frame).tolist() == hashes_in_memory(rows[kept]).tolist()
    chunks = list(read_delta_embeddings_chunked(path, chunk_size=999, on_invalid="skip"))
    assert [len(chunk) for chunk, _, _ in chunks[:-1]] == [999] * (len(kept) // 999)
    numbered = processor().transform_delta(path, id_column=None, on_invalid="skip")
    # The newest commit comes first.
    assert numbered["id"].to_list() == (kept + 3).tolist()


def test_the_first_valid_row_decides_the_length_for_all_batches(tmp_path: Path) -> None:
    rows = vectors_of(TWO_BATCHES).tolist()
    rows[BATCH_ROWS:] = vectors_of(TWO_BATCHES - BATCH_ROWS, DIM + 1).tolist()
    path = write_table(tmp_path / "t", rows)
    reader = EmbeddingReader(open_source(path), "embedding", None, skip=True)
    for _ in range(2):  # every reading counts anew
        assert reader.count_skipped() == TWO_BATCHES - BATCH_ROWS
    assert len(read_delta_embeddings(path, on_invalid="skip")[0]) == BATCH_ROWS
    with pytest.raises(errors.InvalidVectorError, match=f"row {BATCH_ROWS} has 5"):
        read_delta_embeddings(path)


@pytest.mark.parametrize("method", ["transform_and_save", "transform_to_delta"])
def test_the_commit_says_how_many(table: Table, tmp_path: Path, method: str) -> None:
    path, rows, kept = table
    out = tmp_path / "hashes"
    READERS[method](path, out, on_invalid="skip", chunk_size=8)
    assert by_id(pl.read_delta(out)).tolist() == hashes_in_memory(rows[kept]).tolist()
    assert read_hash_scheme(out).skipped_rows == 20
    commit = deltalake.DeltaTable(out).history(1)[0]
    assert commit["fast_lsh_ann.skipped_rows"] == "20"
    (processor() if method == "transform_and_save" else streaming()).check_scheme(out)
    good = write_table(tmp_path / "good", rows)
    READERS[method](good, out)
    assert read_hash_scheme(out).skipped_rows == 0


def test_embeddings_come_along(table: Table, tmp_path: Path) -> None:
    path, rows, kept = table
    out = tmp_path / "hashes"
    streaming(chunk_size=7).transform_to_delta(
        path, out, include_embeddings=True, on_invalid="skip"
    )
    frame = pl.read_delta(out).sort("id")
    assert frame["id"].to_list() == kept.tolist()
    assert frame["embedding"].to_list() == rows[kept].tolist()


def test_joins_are_those_of_the_valid_rows(table: Table, tmp_path: Path) -> None:
    path, rows, kept = table
    other = write_table(tmp_path / "b", spoiled(vectors_of(33, seed=5), [0, 7, 32]))
    clean = tmp_path / "clean"
    write_table(clean / "a", rows[kept], ids=kept)
    kept_b = np.setdiff1d(np.arange(33), [0, 7, 32])
    write_table(clean / "b", vectors_of(33, seed=5)[kept_b], ids=kept_b)
    for a, b, clean_a, clean_b in (
        (path, other, clean / "a", clean / "b"),
        (path, path, clean / "a", clean / "a"),
    ):
        wanted = processor().similarity_join_delta(clean_a, clean_b, 2.0)
        assert len(wanted) > 20
        skip: Any = {"on_invalid": "skip"}
        assert processor().similarity_join_delta(a, b, 2.0, chunk_size=6, **skip) == (
            wanted
        )
        small = streaming(chunk_size=6)
        lists = list(small.similarity_join_streaming(a, b, 2.0, **skip))
        assert [pair for found in lists for pair in found] == wanted
        assert len(lists) == 5
        assert small.similarity_join_chunked_both(a, b, 2.0, **skip) == len(wanted)
        out = tmp_path / "pairs"
        small.similarity_join_chunked_both(a, b, 2.0, output_path=out, **skip)
        assert sorted(pl.read_delta(out).rows()) == wanted
        commit = deltalake.DeltaTable(out).history(1)[0]
        assert commit["fast_lsh_ann.skipped_rows_a"] == "20"
        assert commit["fast_lsh_ann.skipped_rows_b"] == ("3" if b == other else "20")
        numbered = small.similarity_join_streaming(a, b, 2.0, id_column=None, **skip)
        assert [pair for found in numbered for pair in found] == wanted


def test_what_was_left_out_is_logged_once(
    table: Table, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    path, _, _ = table
    small = streaming(chunk_size=7)
    with caplog.at_level(logging.WARNING, "fast_lsh_ann"):
        # The right table is read for every chunk of the left one.
        small.similarity_join_chunked_both(path, path, 1.0, on_invalid="skip")
    records = [r for r in caplog.records if r.name == "fast_lsh_ann"]
    assert [r.levelno for r in records] == [logging.WARNING] * 2  # one for each side
    for record in records:
        text = record.getMessage()
        assert "20 of 50 rows are left out" in text
        assert repr(path) in text
        assert "'embedding'" in text
    caplog.clear()
    read_delta_embeddings(write_table(Path(path + "2"), vectors_of(5)), on_invalid="skip")
    assert caplog.records == []
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("reader", READERS)
def test_a_table_may_have_no_valid_row(reader: str, tmp_path: Path) -> None:
    path = write_table(tmp_path / "t", FAULTS[:4])
    nothing = write_table(tmp_path / "empty", [])
    out, plain = tmp_path / "out", tmp_path / "plain"
    found = READERS[reader](path, out, on_invalid="skip")
    wanted = READERS[reader](nothing, plain)
    assert repr(found) == repr(wanted) or found == wanted
    assert out.exists() == plain.exists()
    if out.exists():
        assert pl.read_delta(out).equals(pl.read_delta(plain))


@pytest.mark.parametrize("reader", READERS)
def test_null_ids_buckets_out_of_range_and_other_wishes_stay_errors(
    reader: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    skip: Any = {"on_invalid": "skip"}
    rows = spoiled(vectors_of(6), [0, 3])
    null_id = write_table(tmp_path / "null", rows, ids=[1, 2, None, 4, 5, 6])
    with pytest.raises(errors.DeltaError, match="row 2 of id column 'id' is null"):
        READERS[reader](null_id, out, **skip)
    path = write_table(tmp_path / "t", rows)
    with pytest.raises(errors.ParameterError, match="on_invalid must be 'raise' or"):
        READERS[reader](path, out, on_invalid="drop")
    with pytest.raises(errors.InvalidVectorError, match="row 0"):
        READERS[reader](path, out)
    if not reader.startswith("read"):
        rows[4] = [1e38] * DIM
        far = write_table(tmp_path / "far", rows)
        with pytest.raises(errors.BucketRangeError, match="row 4: bucket") as caught:
            READERS[reader](far, out, chunk_size=3, **skip)
        assert caught.value.row == 4
    assert not out.exists()


def test_progress_counts_rows_of_the_table(table: Table) -> None:
    path, _, kept = table
    seen: list[tuple[int, int]] = []
    processor().transform_delta(
        path,
        chunk_size=10,
        on_invalid="skip",
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(kept[i] + 1, 50) for i in (9, 19, 29)]
