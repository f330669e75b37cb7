"""Names, defaults, shapes and types, as code written for version 0.1.1 expects them."""

import copy
import inspect
import pickle
from typing import Any

import fast_lsh_ann
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from fast_lsh_ann import (
    BucketedRandomProjectionLSH,
    BucketedRandomProjectionLSHModel,
    delta_utils,
)
from fast_lsh_ann.streaming import benchmark_streaming

ROWS = np.random.default_rng(9).standard_normal((200, 16)).astype(np.float32)
QUERIES = ROWS[:7] + np.float32(0.01)
MODEL = BucketedRandomProjectionLSH(2.0, 5, 42).fit(ROWS)

REQUIRED = inspect.Parameter.empty

# What 0.1.1 takes by position: callable -> its arguments in order, with defaults.
SIGNATURES: dict[Any, dict[str, Any]] = {
    BucketedRandomProjectionLSH: {"bucket_length": 2.0, "num_hash_tables": 1, "seed": 42},
    BucketedRandomProjectionLSHModel: {
        "bucket_length": 2.0,
        "num_hash_tables": 1,
        "seed": 42,
        "dim": 128,
    },
    BucketedRandomProjectionLSH.fit: {"vectors": REQUIRED},
    BucketedRandomProjectionLSH.create_model: {"dim": REQUIRED},
    BucketedRandomProjectionLSHModel.transform: {"vectors": REQUIRED},
    BucketedRandomProjectionLSHModel.approx_nearest_neighbors: {
        "vectors": REQUIRED,
        "query": REQUIRED,
        "k": REQUIRED,
    },
    BucketedRandomProjectionLSHModel.batch_approx_nearest_neighbors: {
        "vectors": REQUIRED,
        "queries": REQUIRED,
        "k": REQUIRED,
    },
    BucketedRandomProjectionLSHModel.approx_similarity_join: {
        "vectors_a": REQUIRED,
        "vectors_b": REQUIRED,
        "threshold": REQUIRED,
    },
    BucketedRandomProjectionLSHModel.approx_similarity_join_cms: {
        "vectors_a": REQUIRED,
        "vectors_b": REQUIRED,
        "threshold": REQUIRED,
        "min_collisions": None,
        "cms_width": None,
    },
    BucketedRandomProjectionLSHModel.analyze_similarity_join: {
        "vectors_a": REQUIRED,
        "vectors_b": REQUIRED,
    },
    fast_lsh_ann.DeltaLSHProcessor: {
        "bucket_length": 2.0,
        "num_hash_tables": 5,
        "seed": 42,
    },
    fast_lsh_ann.DeltaLSHProcessor.transform_delta: {
        "path": REQUIRED,
        "embedding_column": "embedding",
        "id_column": "id",
        "chunk_size": 50000,
    },
    fast_lsh_ann.DeltaLSHProcessor.similarity_join_delta: {
        "path_a": REQUIRED,
        "path_b": REQUIRED,
        "threshold": REQUIRED,
        "embedding_column": "embedding",
        "id_column": "id",
        "chunk_size": 10000,
    },
    fast_lsh_ann.DeltaLSHProcessor.transform_and_save: {
        "input_path": REQUIRED,
        "output_path": REQUIRED,
        "embedding_column": "embedding",
        "id_column": "id",
        "chunk_size": 50000,
    },
    fast_lsh_ann.StreamingLSHProcessor: {
        "bucket_length": 2.0,
        "num_hash_tables": 5,
        "seed": 42,
        "chunk_size": 50000,
        "dim": None,
    },
    fast_lsh_ann.StreamingLSHProcessor.transform_streaming: {
        "path": REQUIRED,
        "embedding_column": "embedding",
        "id_column": None,
    },
    fast_lsh_ann.StreamingLSHProcessor.transform_to_delta: {
        "input_path": REQUIRED,
        "output_path": REQUIRED,
        "embedding_column": "embedding",
        "id_column": "id",
        "include_embeddings": False,
    },
    fast_lsh_ann.StreamingLSHProcessor.similarity_join_streaming: {
        "path_a": REQUIRED,
        "path_b": REQUIRED,
        "threshold": REQUIRED,
        "embedding_column": "embedding",
        "id_column": "id",
    },
    fast_lsh_ann.StreamingLSHProcessor.similarity_join_chunked_both: {
        "path_a": REQUIRED,
        "path_b": REQUIRED,
        "threshold": REQUIRED,
        "embedding_column": "embedding",
        "id_column": "id",
        "output_path": None,
    },
    fast_lsh_ann.ChunkResult: {
        "chunk_idx": REQUIRED,
        "start_row": REQUIRED,
        "n_rows": REQUIRED,
        "hashes": REQUIRED,
        "ids": None,
    },
    fast_lsh_ann.read_delta_embeddings: {
        "path": REQUIRED,
        "embedding_column": "embedding",
        "id_column": None,
    },
    fast_lsh_ann.read_delta_embeddings_chunked: {
        "path": REQUIRED,
        "embedding_column": "embedding",
        "id_column": None,
        "chunk_size": 10000,
    },
    delta_utils.read_delta_lazy: {
        "path": REQUIRED,
        "embedding_column": "embedding",
        "id_column": None,
        "row_limit": None,
    },
    fast_lsh_ann.create_sample_delta: {
        "path": REQUIRED,
        "n_vectors": 10000,
        "dim": 128,
        "seed": 42,
    },
    benchmark_streaming: {"n_vectors": 100000, "dim": 128, "chunk_size": 10000},
    fast_lsh_ann.exact_nearest_neighbors: {
        "vectors": REQUIRED,
        "queries": REQUIRED,
        "k": REQUIRED,
    },
    fast_lsh_ann.exact_similarity_join: {
        "a": REQUIRED,
        "b": REQUIRED,
        "threshold": REQUIRED,
    },
}

VERSION = {"version": None, "progress": False}
VERSIONS = {"version_a": None, "version_b": None, "progress": False}

# Of joins of tables.
JOIN = {
    "exact": False,
    "min_collisions": 1,
    "strict": False,
    "self_pairs": "all",
    "by": (),
    "columns": (),
    "embedding_column": "embedding",
    "id_column": "id",
    "where_a": None,
    "where_b": None,
    "version_a": None,
    "version_b": None,
    "on_invalid": "raise",
}

# What is new, keyword-only: callable -> names with defaults.
KEYWORDS: dict[Any, dict[str, Any]] = {
    BucketedRandomProjectionLSH: {"spark_profile": "java11"},
    BucketedRandomProjectionLSHModel: {"spark_profile": "java11"},
    BucketedRandomProjectionLSHModel.approx_nearest_neighbors: {"min_collisions": 1},
    BucketedRandomProjectionLSHModel.batch_approx_nearest_neighbors: {
        "min_collisions": 1
    },
    BucketedRandomProjectionLSHModel.approx_similarity_join: {
        "min_collisions": 1,
        "strict": False,
        "self_pairs": "all",
    },
    BucketedRandomProjectionLSHModel.approx_similarity_join_cms: {
        "strict": False,
        "self_pairs": "all",
    },
    fast_lsh_ann.LSHIndex.nearest_neighbors: {"exact": False, "min_collisions": 1},
    fast_lsh_ann.LSHIndex.similarity_join: {
        "threshold": REQUIRED,
        "exact": False,
        "min_collisions": 1,
        "strict": False,
        "self_pairs": "all",
    },
    fast_lsh_ann.LSHIndex.similarity_join_count: {
        "threshold": REQUIRED,
        "exact": False,
        "min_collisions": 1,
        "strict": False,
        "self_pairs": "all",
    },
    fast_lsh_ann.LSHIndex.similarity_join_chunks: {
        "threshold": REQUIRED,
        "exact": False,
        "min_collisions": 1,
        "strict": False,
        "self_pairs": "all",
        "chunk_size": 1_000_000,
    },
    fast_lsh_ann.LSHIndex.radius_neighbors: {
        "exact": False,
        "min_collisions": 1,
        "strict": False,
    },
    fast_lsh_ann.exact_similarity_join: {"strict": False, "self_pairs": "all"},
    fast_lsh_ann.DeltaLSHProcessor: {"storage_options": None},
    fast_lsh_ann.StreamingLSHProcessor: {"storage_options": None},
    fast_lsh_ann.StreamingLSHProcessor.transform_streaming: VERSION,
    fast_lsh_ann.StreamingLSHProcessor.transform_to_delta: VERSION,
    fast_lsh_ann.StreamingLSHProcessor.similarity_join_streaming: VERSIONS,
    fast_lsh_ann.StreamingLSHProcessor.similarity_join_chunked_both: VERSIONS,
    fast_lsh_ann.StreamingLSHProcessor.similarity_join_to_delta: {
        **JOIN,
        "mode": "error",
        "job_id": None,
        "progress": False,
    },
    fast_lsh_ann.StreamingLSHProcessor.similarity_join_frames: {
        **JOIN,
        "progress": False,
    },
    fast_lsh_ann.StreamingLSHProcessor.plan_similarity_join: JOIN,
    fast_lsh_ann.DeltaLSHProcessor.transform_delta: VERSION,
    fast_lsh_ann.DeltaLSHProcessor.transform_and_save: VERSION,
    fast_lsh_ann.DeltaLSHProcessor.similarity_join_delta: VERSIONS,
}


def arguments(function: Any, keyword_only: bool) -> dict[str, Any]:
    return {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if name != "self"
        and (parameter.kind is inspect.Parameter.KEYWORD_ONLY) == keyword_only
    }


@pytest.mark.parametrize("function", SIGNATURES, ids=lambda f: f.__qualname__)
def test_old_arguments_keep_names_order_and_defaults(function: Any) -> None:
    assert list(arguments(function, False).items()) == list(SIGNATURES[function].items())


@pytest.mark.parametrize("function", KEYWORDS, ids=lambda f: f.__qualname__)
def test_new_arguments_are_keywords_with_defaults(function: Any) -> None:
    assert KEYWORDS[function].items() <= arguments(function, True).items()


def test_every_exported_name_exists() -> None:
    assert {
        "BucketedRandomProjectionLSH",
        "BucketedRandomProjectionLSHModel",
        "ChunkResult",
        "DeltaLSHProcessor",
        "LSHIndex",
        "Neighbors",
        "Pairs",
        "RadiusNeighbors",
        "StreamingLSHProcessor",
        "create_sample_delta",
        "exact_nearest_neighbors",
        "exact_similarity_join",
        "read_delta_embeddings",
        "read_delta_embeddings_chunked",
        "set_threads",
        "simd_info",
    } <= set(fast_lsh_ann.__all__)
    for name in fast_lsh_ann.__all__:
        assert getattr(fast_lsh_ann, name) is not None
    assert set(fast_lsh_ann.__all__) <= set(dir(fast_lsh_ann))


# ---- estimator and model ---------------------------------------------------------------


def test_the_old_start_works_unchanged() -> None:
    lsh = BucketedRandomProjectionLSH(bucket_length=2.0, num_hash_tables=5, seed=42)
    model = lsh.fit(np.random.randn(1000, 128).astype(np.float32))
    vectors = np.random.randn(50, 128)
    hits = model.approx_nearest_neighbors(vectors, vectors[3], k=10)
    assert hits[0] == (3, 0.0)


def test_parameters_are_properties_that_read_back_exactly() -> None:
    lsh = BucketedRandomProjectionLSH(0.1, 3, -7)
    model = lsh.create_model(dim=11)
    for holder in (lsh, model):
        assert (holder.bucket_length, holder.num_hash_tables, holder.seed) == (0.1, 3, -7)
        assert type(holder.bucket_length) is float
        assert type(holder.num_hash_tables) is int
        with pytest.raises(AttributeError):
            holder.seed = 3  # type: ignore[misc]
    assert model.dim == 11
    numbers: Any = (np.float64(2), np.int64(3), np.int8(1))
    assert BucketedRandomProjectionLSH(*numbers).seed == 1


def test_the_model_is_a_function_of_its_parameters_alone() -> None:
    created = BucketedRandomProjectionLSH(2.0, 5, 42).create_model(16)
    direct = BucketedRandomProjectionLSHModel(2.0, 5, 42, 16)
    for model in (created, direct):
        np.testing.assert_array_equal(model.transform(ROWS), MODEL.transform(ROWS))
        found = model.approx_nearest_neighbors(ROWS, QUERIES[0], 3)
        assert found == MODEL.approx_nearest_neighbors(ROWS, QUERIES[0], 3) != []


def test_other_vectors_than_the_fitted_ones_are_fine() -> None:
    other = ROWS[50:80]
    assert MODEL.approx_nearest_neighbors(other, other[4], 1) == [(4, 0.0)]


def test_hashes_are_int64_in_c_order() -> None:
    hashes = MODEL.transform(ROWS)
    assert hashes.dtype == np.int64
    assert hashes.shape == (200, 5)
    assert hashes.flags.c_contiguous
    assert hashes.flags.writeable


def test_random_vectors_are_unit_vectors_that_cannot_change_the_model() -> None:
    vectors = MODEL.random_vectors
    assert vectors.dtype == np.float64
    assert vectors.shape == (5, 16)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1)
    before = MODEL.transform(ROWS)
    if vectors.flags.writeable:
        vectors[...] = 0
    np.testing.assert_array_equal(MODEL.transform(ROWS), before)
    np.testing.assert_allclose(np.linalg.norm(MODEL.random_vectors, axis=1), 1)


@pytest.mark.parametrize("profile", ["java11", "vector8"])
@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))]
)
def test_copies_and_pickles_answer_alike(duplicate: Any, profile: Any) -> None:
    model = BucketedRandomProjectionLSHModel(0.3, 4, -5, 16, spark_profile=profile)
    again = duplicate(model)
    assert type(again) is BucketedRandomProjectionLSHModel
    assert again.random_vectors.tobytes() == model.random_vectors.tobytes()
    np.testing.assert_array_equal(again.transform(ROWS), model.transform(ROWS))


@pytest.mark.parametrize("parameters", [(2.0, 5, 42, 128), (0.1, 255, 255, 255)])
def test_a_pickle_holds_the_parameters_and_nothing_else(parameters: Any) -> None:
    model = BucketedRandomProjectionLSHModel(*parameters)
    model.transform(np.ones((2, parameters[3])))
    assert len(pickle.dumps(model)) <= 84
    assert BucketedRandomProjectionLSHModel.__module__ == "fast_lsh_ann"


def test_every_pickle_protocol_works() -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(MODEL, protocol))
        assert (again.bucket_length, again.num_hash_tables, again.dim) == (2.0, 5, 16)
    estimator = pickle.loads(pickle.dumps(BucketedRandomProjectionLSH(0.5, 2, 3)))
    assert (estimator.bucket_length, estimator.num_hash_tables, estimator.seed) == (
        0.5,
        2,
        3,
    )


def test_a_repr_says_what_the_object_is() -> None:
    index = MODEL.index(ROWS)
    found = index.nearest_neighbors(QUERIES, 3)
    pairs = index.similarity_join(QUERIES, threshold=1.0)
    expected = {
        BucketedRandomProjectionLSH(0.5, 3, 9): [
            "bucket_length=0.5",
            "num_hash_tables=3",
            "seed=9",
        ],
        MODEL: ["bucket_length=2.0", "num_hash_tables=5", "seed=42", "dim=16"],
        index: ["LSHIndex", "200", "16"],
        found: ["Neighbors", "7"],
        pairs: ["Pairs", str(len(pairs))],
    }
    for described, parts in expected.items():
        for part in (type(described).__name__, *parts):
            assert part in repr(described)


# ---- answers ---------------------------------------------------------------------------


def test_old_answers_are_lists_of_tuples_of_python_numbers() -> None:
    one = MODEL.approx_nearest_neighbors(ROWS, QUERIES[0], 3)
    batch = MODEL.batch_approx_nearest_neighbors(ROWS, QUERIES, 3)
    pairs = MODEL.approx_similarity_join(ROWS, QUERIES, 1.0)
    assert list(map(type, (one, batch, batch[0], pairs))) == [list] * 4
    assert batch[0] == one
    assert len(batch) == 7
    for hit in one:
        assert list(map(type, hit)) == [int, float]
    for pair in pairs:
        assert list(map(type, pair)) == [int, int, float]
    assert len(one) == 3
    assert len(pairs) >= 7


def test_neighbors_are_a_sequence_of_lists_of_python_numbers() -> None:
    found = MODEL.index(ROWS).nearest_neighbors(QUERIES, 3)
    lists = MODEL.batch_approx_nearest_neighbors(ROWS, QUERIES, 3)
    assert len(found) == 7
    assert list(found) == lists
    assert [found[i] for i in range(7)] == lists
    assert found[-1] == lists[-1]
    assert list(reversed(found)) == lists[::-1]
    assert list(map(type, found[0][0])) == [int, float]
    with pytest.raises(IndexError):
        found[7]
    assert found.indices.dtype == found.counts.dtype == np.int64
    assert found.distances.dtype == np.float64
    assert found.ids is None


def test_fewer_candidates_than_k_are_padded_and_counted() -> None:
    narrow = BucketedRandomProjectionLSHModel(0.01, 2, 42, 16)
    found = narrow.index(ROWS).nearest_neighbors(np.vstack([ROWS[:3], ROWS[:3] * 50]), 4)
    assert found.indices.shape == (6, 4)
    short = np.arange(4)[None, :] >= found.counts[:, None]
    assert short.any()
    assert (found.indices[short] == -1).all()
    assert np.isposinf(found.distances[short]).all()
    assert (found.indices[~short] >= 0).all()
    assert [len(hits) for hits in found] == found.counts.tolist()


def test_pairs_are_a_sequence_of_tuples_of_python_numbers() -> None:
    pairs = MODEL.index(ROWS).similarity_join(QUERIES, threshold=4.0)
    triples = MODEL.approx_similarity_join(ROWS, QUERIES, 4.0)
    assert len(pairs) == len(triples) == len(pairs.left) == len(pairs.distances) > 7
    assert list(pairs) == triples
    assert pairs[0] == triples[0]
    assert pairs[-1] == triples[-1]
    assert list(map(type, pairs[0])) == [int, int, float]
    assert triples[0] in pairs
    with pytest.raises(IndexError):
        pairs[len(pairs)]
    assert pairs.left.dtype == pairs.right.dtype == np.int64
    assert pairs.distances.dtype == np.float64


@pytest.mark.parametrize("ids", [np.arange(200) * 10, [f"row {i}" for i in range(200)]])
def test_ids_stand_beside_row_numbers(ids: Any) -> None:
    found = MODEL.index(ROWS, ids=ids).nearest_neighbors(QUERIES, 3)
    assert found.ids is not None
    assert found.ids.shape == found.indices.shape
    kept = found.indices >= 0
    names = np.asarray(ids)[found.indices[kept]]
    np.testing.assert_array_equal(found.ids[kept], names)


def test_an_index_answers_as_the_model_does_again_and_again() -> None:
    index = MODEL.index(ROWS)
    assert len(index) == 200
    first = list(index.nearest_neighbors(QUERIES, 4))
    assert first == list(index.nearest_neighbors(QUERIES, 4))
    assert first == MODEL.batch_approx_nearest_neighbors(ROWS, QUERIES, 4)


def test_the_same_array_twice_is_a_self_join() -> None:
    index = MODEL.index(ROWS)
    plain = list(index.similarity_join(threshold=3.0))
    assert list(index.similarity_join(index, threshold=3.0)) == plain
    assert list(index.similarity_join(ROWS, threshold=3.0)) == plain
    upper = MODEL.approx_similarity_join(ROWS, ROWS, 3.0, self_pairs="upper")
    assert upper == [pair for pair in plain if pair[0] < pair[1]]
    assert {(a, a) for a in range(200)} <= {pair[:2] for pair in plain}


# ---- Arrow -----------------------------------------------------------------------------


def test_neighbors_convert_to_polars_pandas_and_pyarrow() -> None:
    found = MODEL.index(ROWS).nearest_neighbors(QUERIES, 3)
    expected = [
        (query, rank, row, distance)
        for query, hits in enumerate(found)
        for rank, (row, distance) in enumerate(hits)
    ]
    frame = pl.DataFrame(found)
    assert frame.columns == ["query", "rank", "neighbor", "distance"]
    assert frame.rows() == expected
    assert frame.schema["neighbor"] == pl.Int64
    assert frame.schema["distance"] == pl.Float64
    table = pd.DataFrame.from_arrow(found)
    assert list(table.itertuples(index=False, name=None)) == expected
    assert pa.table(found).num_rows == len(expected)


def test_pairs_convert_to_polars_pandas_and_pyarrow() -> None:
    pairs = MODEL.index(ROWS).similarity_join(QUERIES, threshold=3.0)
    frame = pl.DataFrame(pairs)
    assert frame.columns == ["left", "right", "distance"]
    assert frame.rows() == list(pairs)
    table = pd.DataFrame.from_arrow(pairs)
    assert list(table.itertuples(index=False, name=None)) == list(pairs)
    assert pa.table(pairs).num_rows == len(pairs) > 0


def test_empty_answers_convert_too() -> None:
    index = MODEL.index(ROWS)
    assert pl.DataFrame(index.nearest_neighbors(QUERIES[:0], 3)).shape == (0, 4)
    assert pl.DataFrame(index.similarity_join(QUERIES[:0], threshold=1.0)).shape == (0, 3)


def test_an_exported_stream_outlives_its_answer() -> None:
    pairs = MODEL.index(ROWS).similarity_join(QUERIES, threshold=3.0)
    triples = list(pairs)
    reader = pa.RecordBatchReader.from_stream(pairs)
    del pairs
    assert pl.DataFrame(reader.read_all()).rows() == triples


# ---- threads ---------------------------------------------------------------------------


def test_set_threads_is_seen_and_can_be_undone() -> None:
    before = fast_lsh_ann.simd_info()
    fast_lsh_ann.set_threads(3)
    assert fast_lsh_ann.simd_info().threads == 3
    expected = MODEL.transform(ROWS)
    fast_lsh_ann.set_threads(None)
    assert fast_lsh_ann.simd_info() == before
    np.testing.assert_array_equal(MODEL.transform(ROWS), expected)
