"""Defects of the package that this one replaces, version 0.1.1: each one is not here."""

import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import deltalake
import fast_lsh_ann
import numpy as np
import oracle
import polars as pl
import pytest
from conftest import Run
from delta_tables import contents, vectors_of, write_table
from fast_lsh_ann import (
    BucketedRandomProjectionLSH,
    DeltaLSHProcessor,
    StreamingLSHProcessor,
    _core,
    errors,
)

ROWS = np.random.default_rng(6).standard_normal((300, 8)).astype(np.float32)
LSH = BucketedRandomProjectionLSH(2.0, 5, 42)


def neighbors_of(model: Any, rows: Any, query: Any, k: int) -> list[tuple[int, float]]:
    """The oracle's answer."""
    vectors = oracle.unit_vectors(model.num_hash_tables, model.dim, model.seed)
    sides = [oracle.buckets(x, vectors, model.bucket_length) for x in (query[None], rows)]
    found = oracle.nearest_neighbors(rows, query[None], k, oracle.collisions(*sides) > 0)
    return next(oracle.as_lists(found))


# ---- hashes ----------------------------------------------------------------------------


def test_its_hashes_were_not_sparks() -> None:
    """Unit vectors, no offset, Java's generator: the oracle is held to Spark's own."""
    expected = oracle.buckets(ROWS, oracle.unit_vectors(5, 8, 42), 2.0)
    np.testing.assert_array_equal(LSH.fit(ROWS).transform(ROWS), expected)


def test_it_kept_the_bucket_length_as_float32() -> None:
    lsh = BucketedRandomProjectionLSH(0.1)
    assert (lsh.bucket_length, lsh.create_model(3).bucket_length) == (0.1, 0.1)
    assert pickle.loads(pickle.dumps(lsh.create_model(3))).bucket_length == 0.1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_hashed_to_bucket_0_and_infinity_saturated(value: float) -> None:
    rows = ROWS.copy()
    rows[7, 2] = value
    with pytest.raises(errors.InvalidVectorError, match="row 7") as raised:
        LSH.fit(rows).transform(rows)
    assert (raised.value.row, raised.value.column) == (7, 2)


def test_huge_buckets_saturated() -> None:
    with pytest.raises(errors.BucketRangeError) as raised:
        BucketedRandomProjectionLSH(1e-30).fit(ROWS).transform(ROWS)
    assert raised.value.row == 0


# ---- neighbors -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: LSH.create_model(8),
        lambda: pickle.loads(pickle.dumps(LSH.fit(ROWS))),
        lambda: LSH.fit(ROWS[:1]),
    ],
    ids=["created", "unpickled", "fitted to others"],
)
def test_models_without_the_fitted_rows_found_nothing(make: Callable[[], Any]) -> None:
    model = make()
    for rows in (ROWS, ROWS[50:90]):
        found = model.approx_nearest_neighbors(rows, ROWS[60], 5)
        assert found == neighbors_of(model, rows, ROWS[60], 5) != []


def test_orders_and_ties_were_random() -> None:
    rows = np.repeat(ROWS[:20], 30, axis=0)[np.random.default_rng(1).permutation(600)]
    model = LSH.fit(rows)
    expected = neighbors_of(model, rows, rows[5], 40)
    for _ in range(5):
        assert model.approx_nearest_neighbors(rows, rows[5], 40) == expected
    pairs = model.approx_similarity_join(rows, rows[:50], 0.5)
    assert pairs == sorted(pairs)
    assert all(model.approx_similarity_join(rows, rows[:50], 0.5) == pairs for _ in "12")


# ---- panics and aborts -----------------------------------------------------------------


def test_narrower_vectors_were_accepted_and_other_dimensions_were_panics() -> None:
    model = LSH.fit(ROWS)
    calls: list[Callable[[Any], object]] = [
        model.transform,
        lambda wrong: model.approx_nearest_neighbors(wrong, ROWS[0], 3),
        lambda wrong: model.approx_nearest_neighbors(ROWS, wrong[0], 3),
        lambda wrong: model.batch_approx_nearest_neighbors(ROWS, wrong, 3),
        lambda wrong: model.approx_similarity_join(ROWS, wrong, 1.0),
    ]
    for call in calls:
        with pytest.raises(errors.DimensionError, match="dimension 8, got 5"):
            call(ROWS[:, :5])
        with pytest.raises(errors.DimensionError, match="dimension 8, got 9"):
            call(np.ones((3, 9)))


@pytest.mark.parametrize("width", [np.inf, -np.inf, np.nan, 0.0, -1.0, 1e-320])
def test_an_impossible_width_was_a_panic(width: float) -> None:
    with pytest.raises(errors.ParameterError, match="bucket_length"):
        BucketedRandomProjectionLSH(width)


def test_huge_numbers_ended_the_process() -> None:
    """Some are refused, some can be served."""
    model = LSH.fit(ROWS)
    assert len(model.approx_nearest_neighbors(ROWS, ROWS[0], 2**40)) > 100
    assert len(model.batch_approx_nearest_neighbors(ROWS, ROWS[:2], 2**62)) == 2
    for tables in (10**12, 2**62, 2**70):
        with pytest.raises(errors.ParameterError, match="num_hash_tables"):
            BucketedRandomProjectionLSH(2.0, tables).create_model(8)
    for dim in (10**12, 2**62, 2**70):
        with pytest.raises(errors.ParameterError, match="dim"):
            LSH.create_model(dim)


# ---- Delta: rows and ids ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "row"),
    [
        ([[1.0, 2.0], [3.0, None]], 1),
        ([[1.0, 2.0], None], 1),
        ([[1.0, 2.0], [3.0, 4.0], [5.0]], 2),
    ],
    ids=["null element", "null row", "ragged"],
)
def test_nulls_became_nan_and_ragged_chunks_rebuilt_the_model(
    rows: Any, row: int, tmp_path: Path
) -> None:
    table = write_table(tmp_path / "t", rows)
    with pytest.raises(errors.InvalidVectorError, match=f"row {row}") as raised:
        DeltaLSHProcessor().transform_delta(table, chunk_size=1)
    assert raised.value.row == row


def test_a_missing_id_column_became_row_numbers(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t", ROWS)
    with pytest.raises(errors.ColumnNotFoundError, match=r"'key'.*'id', 'embedding'"):
        DeltaLSHProcessor().transform_delta(table, id_column="key")


def test_null_ids_became_floats(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t", ROWS[:3], ids=[1, None, 3])
    with pytest.raises(errors.DeltaError, match="row 1 of id column 'id' is null"):
        DeltaLSHProcessor().transform_delta(table)


def test_text_ids_failed_in_one_method(tmp_path: Path) -> None:
    names = [f"n{i}" for i in range(300)]
    table = write_table(tmp_path / "t", ROWS, ids=names)
    lsh = DeltaLSHProcessor()
    assert lsh.transform_delta(table)["id"].to_list() == names
    pairs = lsh.similarity_join_delta(table, table, 0.0)
    assert pairs == [(name, name, 0.0) for name in names]
    lsh.transform_and_save(table, tmp_path / "out")
    assert sorted(pl.read_delta(str(tmp_path / "out"))["id"]) == sorted(names)


def test_rows_changed_places_between_commits(tmp_path: Path) -> None:
    """Whatever order files come in, an id stays with its row."""
    table = str(tmp_path / "t")
    for start in range(0, 300, 100):
        part = slice(start, start + 100)
        write_table(tmp_path / "t", ROWS[part], ids=range(start, start + 100))
    rows, ids = fast_lsh_ann.read_delta_embeddings(table, id_column="id")
    assert ids is not None
    np.testing.assert_array_equal(rows[np.argsort(ids)], ROWS)
    frame = DeltaLSHProcessor(2.0, 5).transform_delta(table).sort("id").drop("id")
    np.testing.assert_array_equal(frame.to_numpy(), LSH.fit(ROWS).transform(ROWS))


def test_chunk_size_was_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = write_table(tmp_path / "t", ROWS)
    sizes: list[int] = []
    hashed = _core.model_hash

    def note(model: Any, rows: Any, *others: Any) -> None:
        sizes.append(len(rows))
        hashed(model, rows, *others)

    monkeypatch.setattr(_core, "model_hash", note)
    DeltaLSHProcessor().transform_delta(table, chunk_size=130)
    assert sizes == [130, 130, 40]


def test_include_embeddings_was_ignored(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t", ROWS)
    out = tmp_path / "out"
    lsh = StreamingLSHProcessor(2.0, 5, chunk_size=70)
    lsh.transform_to_delta(table, out, include_embeddings=True)
    rows, ids = fast_lsh_ann.read_delta_embeddings(out, id_column="id")
    assert ids is not None
    np.testing.assert_array_equal(rows[np.argsort(ids)], ROWS)
    lsh.transform_to_delta(table, out)
    assert "embedding" not in pl.read_delta(str(out)).columns


def test_text_ids_failed_in_streams(tmp_path: Path) -> None:
    names = [f"n{i}" for i in range(300)]
    table = write_table(tmp_path / "t", ROWS, ids=names)
    lsh = StreamingLSHProcessor(2.0, 5, chunk_size=70)
    expected = [(name, name, 0.0) for name in names]
    lists = list(lsh.similarity_join_streaming(table, table, 0.0))
    assert len(lists) == 5
    assert [pair for part in lists for pair in part] == expected
    lsh.similarity_join_chunked_both(table, table, 0.0, output_path=tmp_path / "out")
    assert sorted(pl.read_delta(str(tmp_path / "out")).rows()) == sorted(expected)


# ---- Delta: commits --------------------------------------------------------------------


def test_every_chunk_was_a_commit(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t", ROWS)
    out = str(tmp_path / "out")
    for version in range(0, 6, 2):
        DeltaLSHProcessor().transform_and_save(table, out, chunk_size=10)
        assert deltalake.DeltaTable(out).version() == version
        StreamingLSHProcessor(chunk_size=10).transform_to_delta(table, out)
        assert deltalake.DeltaTable(out).version() == version + 1
        assert pl.read_delta(out).height == 300


def test_a_join_without_pairs_made_no_table(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t", ROWS)
    other = write_table(tmp_path / "u", ROWS + 1000)
    out = str(tmp_path / "out")
    lsh = StreamingLSHProcessor(2.0, 5, chunk_size=70)
    assert lsh.similarity_join_chunked_both(table, other, 0.1) == 0
    lsh.similarity_join_chunked_both(table, other, 0.1, output_path=out)
    frame = pl.read_delta(out)
    assert frame.height == 0
    assert frame.columns == ["id_a", "id_b", "distance"]


def test_a_new_run_replaced_the_old_table_at_its_first_chunk(tmp_path: Path) -> None:
    rows = vectors_of(70_000)
    rows[-1] = np.nan
    table = write_table(tmp_path / "t", rows)
    out = write_table(tmp_path / "out", ROWS[:3])
    version, frame = contents(out)
    with pytest.raises(errors.InvalidVectorError, match="row 69999"):
        DeltaLSHProcessor().transform_and_save(table, out, chunk_size=100)
    assert contents(out)[0] == version
    assert contents(out)[1].equals(frame)


def test_a_killed_writer_left_part_of_a_table(tmp_path: Path) -> None:
    """Killed before its commit, it leaves the old one; `tests/deep` kills at random."""
    table = write_table(tmp_path / "t", vectors_of(140_000))
    out = write_table(tmp_path / "out", ROWS[:3])
    version, frame = contents(out)
    program = f"""
import os, signal
from fast_lsh_ann import DeltaLSHProcessor
def report(done, total):
    if done < total:
        os.kill(os.getpid(), signal.SIGKILL)
DeltaLSHProcessor().transform_and_save({table!r}, {out!r}, progress=report)
"""
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == -signal.SIGKILL
    assert contents(out)[0] == version
    assert contents(out)[1].equals(frame)


# ---- the process -----------------------------------------------------------------------


def test_it_printed_and_reseeded_numpy(run_python: Run, tmp_path: Path) -> None:
    program = f"""
import numpy as np, fast_lsh_ann
np.random.seed(3)
first = np.random.random()
np.random.seed(3)
fast_lsh_ann.create_sample_delta({str(tmp_path / "t")!r}, 100, 4)
rows, _ = fast_lsh_ann.read_delta_embeddings({str(tmp_path / "t")!r})
lsh = fast_lsh_ann.DeltaLSHProcessor()
lsh.transform_and_save({str(tmp_path / "t")!r}, {str(tmp_path / "u")!r})
lsh.similarity_join_delta({str(tmp_path / "t")!r}, {str(tmp_path / "t")!r}, 1.0)
fast_lsh_ann.BucketedRandomProjectionLSH().fit(rows).transform(rows)
assert np.random.random() == first
"""
    done = run_python(program)
    assert done.stdout == done.stderr == ""


def test_ctrl_c_waited_for_the_end(run_python: Run) -> None:
    program = """
import os, signal, threading, time
import workload, fast_lsh_ann
rows = workload.rows(100_000, 128)
model = fast_lsh_ann.BucketedRandomProjectionLSH(2.0, 5, 42).fit(rows)
threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
start = time.perf_counter()
try:
    model.batch_approx_nearest_neighbors(rows, rows, 10)
except KeyboardInterrupt:
    print(time.perf_counter() - start)
"""
    assert float(run_python(program).stdout) < 0.6


def test_a_forked_child_hung(run_python: Run) -> None:
    program = """
import os, signal
import workload, fast_lsh_ann
fast_lsh_ann.set_threads(3)
rows = workload.rows(5_000, 16)
model = fast_lsh_ann.BucketedRandomProjectionLSH(2.0, 5, 42).fit(rows)
expected = model.batch_approx_nearest_neighbors(rows, rows[:500], 10)
if os.fork() == 0:
    signal.alarm(20)
    os._exit(model.batch_approx_nearest_neighbors(rows, rows[:500], 10) != expected)
assert os.wait()[1] == 0
"""
    run_python(program)


def test_the_gil_was_held_while_lists_were_built(run_python: Run) -> None:
    """Five million pairs: their list takes a second, in which another thread runs."""
    program = """
import threading, time
import workload, fast_lsh_ann
rows = workload.rows(2_200, 4)
rows[:, 1] += 1_000  # one bucket
model = fast_lsh_ann.BucketedRandomProjectionLSH(1e6, 1, 42).fit(rows)
done, gaps = threading.Event(), []
def tick():
    last = time.process_time()  # of the other threads: a busy machine is no GIL held
    while not done.is_set():
        time.sleep(0.001)
        now = time.process_time()
        gaps.append(now - last)
        last = now
ticker = threading.Thread(target=tick)
ticker.start()
pairs = model.approx_similarity_join(rows, rows, float("inf"))
done.set()
ticker.join()
assert len(pairs) == 2_200 ** 2
print(max(gaps))
"""
    assert float(run_python(program).stdout) < 0.3
