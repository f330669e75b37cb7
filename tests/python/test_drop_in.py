"""The examples of version 0.1.1 run as they were written, and what people liked is kept.

More of what was liked: plain tuples and pickles in `test_surface.py`, number types and
strides in `test_layouts.py`, hashes of fewer tables in `test_properties.py`, the GIL in
`test_interrupts.py`.
"""

import dataclasses
from pathlib import Path
from typing import Any

import fast_lsh_ann
import numpy as np
import oracle
import polars as pl
import pytest
from conftest import Run
from fast_lsh_ann import create_sample_delta, read_delta_embeddings

ROWS = np.random.default_rng(4).standard_normal((500, 128)).astype(np.float32)


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the examples take for granted: imports, arrays, tables."""
    monkeypatch.chdir(tmp_path)
    for number, table in enumerate(("table", "table_a", "table_b", "in")):
        create_sample_delta(table, 40, 6, seed=number)
    return {
        **{name: getattr(fast_lsh_ann, name) for name in fast_lsh_ann.__all__},
        "np": np,
        "vectors": ROWS,
        "query": ROWS[3],
    }


def hashes_of(rows: Any, tables: int = 5) -> Any:
    vectors = oracle.unit_vectors(tables, rows.shape[1], 42)
    return oracle.buckets(rows, vectors, 2.0)


def by_id(path: str) -> tuple[Any, Any]:
    rows, ids = read_delta_embeddings(path, id_column="id")
    assert ids is not None
    return rows, ids


# ---- the examples ----------------------------------------------------------------------

START = """
lsh = BucketedRandomProjectionLSH(bucket_length=2.0, num_hash_tables=5, seed=42)
model = lsh.fit(np.random.randn(100000, 128).astype(np.float32))
hits = model.approx_nearest_neighbors(vectors, query, k=10)
"""

TRANSFORM = """
frame = DeltaLSHProcessor(bucket_length=2.0, num_hash_tables=5, seed=42).transform_delta("table", embedding_column="embedding")
"""  # noqa: E501

JOIN = """
pairs = DeltaLSHProcessor(bucket_length=2.0, num_hash_tables=5, seed=42).similarity_join_delta("table_a", "table_b", threshold=5.0)
"""  # noqa: E501

STREAM = """
StreamingLSHProcessor(bucket_length=2.0, num_hash_tables=5, seed=42, chunk_size=50000).transform_to_delta(input_path="in", output_path="out", embedding_column="embedding")
"""  # noqa: E501


def test_the_three_line_start(names: dict[str, Any]) -> None:
    exec(START, names)
    hashes = hashes_of(ROWS)
    candidates = oracle.collisions(hashes[3:4], hashes) > 0
    answer = oracle.nearest_neighbors(ROWS, ROWS[3:4], 10, candidates)
    assert names["hits"] == next(oracle.as_lists(answer))
    assert names["hits"][0] == (3, 0.0)


def test_the_hashes_of_a_table(names: dict[str, Any]) -> None:
    exec(TRANSFORM, names)
    frame: pl.DataFrame = names["frame"]
    assert frame.columns == ["hash_0", "hash_1", "hash_2", "hash_3", "hash_4", "id"]
    rows, ids = by_id("table")
    assert sorted(ids.tolist()) == list(range(40))
    found = {row[-1]: row[:-1] for row in frame.rows()}
    assert found == dict(zip(ids.tolist(), map(tuple, hashes_of(rows)), strict=True))


def test_the_pairs_of_two_tables(names: dict[str, Any]) -> None:
    exec(JOIN, names)
    (rows_a, ids_a), (rows_b, ids_b) = by_id("table_a"), by_id("table_b")
    candidates = oracle.collisions(hashes_of(rows_a), hashes_of(rows_b)) > 0
    answer = oracle.similarity_join(rows_a, rows_b, 5.0, candidates)
    expected = zip(
        ids_a[answer.left].tolist(),
        ids_b[answer.right].tolist(),
        answer.distances.tolist(),
        strict=True,
    )
    assert sorted(names["pairs"]) == sorted(expected) != []


def test_a_table_streamed_into_another(names: dict[str, Any]) -> None:
    exec(STREAM, names)
    rows, ids = by_id("in")
    frame = pl.read_delta("out")
    assert frame.columns == ["hash_0", "hash_1", "hash_2", "hash_3", "hash_4", "id"]
    found = {row[-1]: row[:-1] for row in frame.rows()}
    assert found == dict(zip(ids.tolist(), map(tuple, hashes_of(rows)), strict=True))


# ---- liked -----------------------------------------------------------------------------


def test_numpy_is_all_that_arrays_need(run_python: Run) -> None:
    program = """
import sys
optional = "deltalake polars pyarrow pandas scipy tqdm joblib hypothesis pytest".split()
sys.modules.update(dict.fromkeys(optional))  # importing them is an error now
import numpy as np
import fast_lsh_ann
rows = np.random.default_rng(1).standard_normal((100, 8))
model = fast_lsh_ann.BucketedRandomProjectionLSH(2.0, 5, 42).fit(rows)
index = model.index(rows)
assert model.transform(rows).shape == (100, 5)
assert model.approx_nearest_neighbors(rows, rows[7], 3)[0] == (7, 0.0)
assert len(model.approx_similarity_join(rows, rows, 1.0)) >= 100
assert index.radius_neighbors(rows[:1], 1.0, exact=True).indices[0] == 0
try:
    fast_lsh_ann.read_delta_embeddings("t")
except fast_lsh_ann.errors.MissingDependencyError as error:
    print(error)
"""
    assert "pip install 'fast_lsh_ann[delta]'" in run_python(program).stdout


def test_a_pair_at_the_threshold_is_a_pair() -> None:
    rows = np.array([[0.0, 0.0], [3.0, 4.0]])
    model = fast_lsh_ann.BucketedRandomProjectionLSH(100.0).fit(rows)
    pairs = model.approx_similarity_join(rows[:1], rows[1:], 5.0)
    assert pairs == [(0, 0, 5.0)]
    assert model.approx_similarity_join(rows[:1], rows[1:], np.nextafter(5.0, 0)) == []


def test_hashes_are_a_function_of_the_parameters_alone() -> None:
    lsh = fast_lsh_ann.BucketedRandomProjectionLSH(2.0, 3, 42)
    models = [lsh.fit(ROWS), lsh.fit(-5 * ROWS[:2]), lsh.create_model(128)]
    for model in models:
        np.testing.assert_array_equal(model.transform(ROWS), hashes_of(ROWS, 3))
    more = fast_lsh_ann.BucketedRandomProjectionLSH(2.0, 8, 42).create_model(128)
    np.testing.assert_array_equal(more.transform(ROWS)[:, :3], hashes_of(ROWS, 3))


def test_chunks_are_small_dataclasses(names: dict[str, Any]) -> None:
    assert names
    lsh = fast_lsh_ann.StreamingLSHProcessor(2.0, 5, 42, chunk_size=15)
    chunks = lsh.transform_streaming("table")
    assert iter(chunks) is chunks
    made = list(chunks)
    fields = [field.name for field in dataclasses.fields(made[0])]
    assert fields == ["chunk_idx", "start_row", "n_rows", "hashes", "ids"]
    assert [(c.chunk_idx, c.start_row, c.n_rows) for c in made] == [
        (0, 0, 15),
        (1, 15, 15),
        (2, 30, 10),
    ]
    assert all(chunk.ids is None for chunk in made)
    rows, _ = read_delta_embeddings("table")
    found = np.concatenate([chunk.hashes for chunk in made])
    np.testing.assert_array_equal(found, hashes_of(rows))
    named = next(lsh.transform_streaming("table", id_column="id"))
    assert named.ids is not None
    assert named.ids.tolist() == by_id("table")[1][:15].tolist()
