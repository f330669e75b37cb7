"""Every bad call is answered by an exception of ours that says what, where and how."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Run
from fast_lsh_ann import (
    BucketedRandomProjectionLSH,
    BucketedRandomProjectionLSHModel,
    BucketSketch,
    DeltaLSHProcessor,
    StreamingLSHProcessor,
    create_sample_delta,
    describe,
    errors,
    exact_nearest_neighbors,
    exact_similarity_join,
    read_delta_embeddings,
    read_delta_embeddings_chunked,
    set_threads,
)
from fast_lsh_ann.delta_utils import open_table, read_delta_lazy, read_hash_scheme
from fast_lsh_ann.streaming import benchmark_streaming
from fast_lsh_ann.tables import write_table

VALUE = errors.ParameterError
TYPE = errors.InputTypeError
SHAPE = errors.DimensionError
COLUMN = errors.ColumnNotFoundError
TABLE = errors.TableNotFoundError

ROWS = np.arange(12.0).reshape(4, 3)
MODEL = BucketedRandomProjectionLSHModel(2.0, 2, 42, 3)
INDEX = MODEL.index(ROWS)
OTHER = BucketedRandomProjectionLSHModel(3.0, 2, 42, 3).index(ROWS)
LSH = BucketedRandomProjectionLSH
HUGE = 10**5000

Case = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], type[Exception], str]


def bad(call: Callable[..., Any], *args: Any, **kw: Any) -> Callable[..., Case]:
    """A call, and then the class and the text of its error."""
    return lambda error, said: (call, args, kw, error, said)


def counts(call: Callable[[Any], Any], name: str, least: int = 1) -> list[Case]:
    """What is no count, for an argument that is one."""
    return [
        bad(call, least - 1)(VALUE, f"{name} must be at least {least}, got {least - 1}"),
        bad(call, -HUGE)(
            VALUE, f"{name} must be at least {least}, got a number of 16610"
        ),
        bad(call, 1.5)(TYPE, f"{name} must be a whole number, got 1.5 (float)"),
        bad(call, "3")(TYPE, f"{name} must be a whole number, got '3' (str)"),
        bad(call, True)(TYPE, f"{name} must be a whole number, got True (bool)"),
        bad(call, None)(TYPE, f"{name} must be a whole number, got None (NoneType)"),
    ]


def thresholds(call: Callable[[Any], Any]) -> list[Case]:
    return [
        bad(call, -1)(VALUE, "threshold must be 0 or more, got -1.0"),
        bad(call, np.nan)(VALUE, "threshold must be 0 or more, got nan"),
        bad(call, "1")(TYPE, "threshold must be a number, got '1'"),
        bad(call, None)(TYPE, "threshold must be a number, got NoneType"),
        bad(call, HUGE)(VALUE, "threshold must fit in float64, got a number of 16610"),
    ]


MODELS: list[Case] = [
    *counts(lambda n: LSH(2.0, n), "num_hash_tables"),
    *counts(lambda n: LSH(num_hashes_per_table=n), "num_hashes_per_table"),
    *counts(lambda n: LSH().create_model(n), "dim"),
    bad(LSH, 2.0, 10**12)(VALUE, "at most 67108864, got 1000000000000"),
    bad(LSH, 2.0, 10**30)(VALUE, "num_hash_tables must be at most 67108864"),
    bad(LSH, 2.0, HUGE)(VALUE, "got a number of 16610 bits"),
    bad(LSH, num_hashes_per_table=10**12)(VALUE, "at most 67108864, got 1000000000000"),
    bad(LSH, 2.0, 2**14, num_hashes_per_table=2**14)(VALUE, "got 16384 x 16384 x 1"),
    bad(LSH().create_model, 10**12)(VALUE, "dim must be at most 67108864, got 1"),
    bad(LSH().create_model, 2**63)(VALUE, f"got {2**63}"),
    bad(LSH, 0)(VALUE, "bucket_length must be positive and finite"),
    bad(LSH, -2.5)(VALUE, "got -2.5"),
    bad(LSH, np.inf)(VALUE, "got inf"),
    bad(LSH, 5e-324)(VALUE, "with a finite reciprocal, got 4.94066e-324"),
    bad(LSH, HUGE)(VALUE, "bucket_length must fit in float64"),
    bad(LSH, "2")(TYPE, "bucket_length must be a number, got '2'"),
    bad(LSH, [1.0, 2.0])(TYPE, "bucket_length must be a number, got list"),
    bad(LSH, seed=2**63)(VALUE, f"seed must be at most {2**63 - 1}, got {2**63}"),
    bad(LSH, seed=-(2**63) - 1)(VALUE, f"seed must be at least {-(2**63)}"),
    bad(LSH, seed=HUGE)(VALUE, "seed must be at most"),
    bad(LSH, seed=1.0)(TYPE, "seed must be a whole number, got 1.0"),
    bad(LSH, projection="p-stable")(VALUE, "one of spark, gaussian, got 'p-stable'"),
    bad(LSH, projection=np.array(["spark"] * 2))(VALUE, "one of spark, gaussian"),
    bad(LSH, projection="x" * 999)(VALUE, "xxx..."),
    bad(LSH, spark_profile=None)(VALUE, "one of java11, java8, vector2, vector4"),
    bad(LSH, spark_profile="java8", projection="gaussian")(VALUE, "leave spark_profile"),
    bad(LSH().fit, 5)(SHAPE, "2-D array [rows, dim], got 0-D"),
    bad(LSH().fit, None)(TYPE, "vectors: wanted an array of real numbers, got NoneType"),
    bad(LSH().fit, [])(SHAPE, "or make the model with create_model(dim)"),
    bad(LSH().fit, ROWS[0])(SHAPE, "for one vector use vector[None, :]"),
    bad(LSH().fit, np.empty((3, 0)))(SHAPE, "vectors"),
]

SEARCHES: list[Case] = [
    *counts(lambda k: INDEX.nearest_neighbors(ROWS, k), "k"),
    *counts(lambda k: MODEL.approx_nearest_neighbors(ROWS, ROWS[0], k), "k"),
    *counts(lambda k: MODEL.batch_approx_nearest_neighbors(ROWS, ROWS, k), "k"),
    *counts(lambda k: exact_nearest_neighbors(ROWS, ROWS, k), "k"),
    *counts(
        lambda n: INDEX.nearest_neighbors(ROWS, 1, min_collisions=n), "min_collisions"
    ),
    *counts(lambda n: INDEX.explain(n), "queries", 0),
    *thresholds(lambda t: INDEX.similarity_join(threshold=t)),
    *thresholds(lambda t: INDEX.similarity_join_count(threshold=t)),
    *thresholds(lambda t: INDEX.similarity_join_chunks(threshold=t)),
    *thresholds(lambda t: MODEL.approx_similarity_join(ROWS, ROWS, t)),
    *thresholds(lambda t: exact_similarity_join(ROWS, ROWS, t)),
    *thresholds(lambda t: MODEL.approx_similarity_join_cms(ROWS, ROWS, t)),
    *counts(
        lambda n: MODEL.approx_similarity_join_cms(ROWS, ROWS, 1, cms_width=n),
        "cms_width",
    )[:5],
    *counts(lambda n: BucketSketch(MODEL, n), "width"),
    bad(BucketSketch, MODEL, HUGE)(VALUE, "width must be at most 268435456, got a num"),
    bad(MODEL.approx_similarity_join_cms, ROWS, ROWS, 1, 3)(VALUE, "2 hash tables, got"),
    bad(MODEL.approx_similarity_join_cms, ROWS, ROWS, 1, cms_width=2**29)(
        VALUE, "cms_width must be at most 268435456, got 536870912"
    ),
    bad(MODEL.approx_similarity_join_cms, ROWS, ROWS, 1, strict="no")(
        TYPE, "strict must"
    ),
    bad(MODEL.approx_similarity_join_cms, ROWS, np.ones((2, 4)), 1)(SHAPE, "vectors_b: "),
    bad(MODEL.analyze_similarity_join, np.ones((2, 4)), ROWS)(SHAPE, "vectors_a: wanted"),
    bad(MODEL.analyze_similarity_join, ROWS, [[1, None, 3]])(
        errors.InvalidVectorError, "vectors_b: row 0, column 1 is None"
    ),
    *counts(
        lambda n: INDEX.similarity_join_chunks(threshold=1, chunk_size=n), "chunk_size"
    ),
    bad(MODEL.index, ROWS, copy="no")(TYPE, "copy must be True or False, got 'no'"),
    bad(MODEL.index, ROWS, on_invalid=["skip"])(VALUE, "on_invalid must be 'raise' or"),
    bad(MODEL.index, ROWS, on_invalid=np.array(["skip"] * 2))(VALUE, "on_invalid must"),
    bad(MODEL.index, ROWS, [1, 2])(SHAPE, "ids: wanted one for each of 4 rows, got 2"),
    bad(MODEL.index, ROWS, [1.5] * 4)(TYPE, "ids: wanted integers or strings"),
    bad(MODEL.index, ROWS, [1, 2, None, 4])(errors.InvalidVectorError, "element 2"),
    bad(INDEX.nearest_neighbors, ROWS, 1, plan="fast")(VALUE, "auto, dense, bucket"),
    bad(INDEX.nearest_neighbors, ROWS, 1, plan=None)(VALUE, "got None"),
    bad(INDEX.nearest_neighbors, ROWS, 1, plan=np.array(["auto"] * 2))(VALUE, "plan"),
    bad(INDEX.nearest_neighbors, ROWS, 1, exact=True, plan="gather")(VALUE, "'dense'"),
    bad(INDEX.similarity_join_chunks, threshold=1, plan="fast")(VALUE, "auto, dense"),
    bad(INDEX.nearest_neighbors, ROWS, 1, exact="no")(TYPE, "exact must be True or Fal"),
    bad(INDEX.nearest_neighbors, ROWS, 1, exact=True, min_collisions=2)(VALUE, "contr"),
    bad(INDEX.nearest_neighbors, ROWS, 1, min_collisions=3)(VALUE, "2 hash tables, g"),
    bad(INDEX.nearest_neighbors, ROWS, 1, min_collisions=HUGE)(VALUE, "2 hash tables"),
    bad(INDEX.nearest_neighbors, ROWS, 1, progress="yes")(TYPE, "progress must be True"),
    bad(INDEX.radius_neighbors, ROWS, -1)(VALUE, "radius must be 0 or more, got -1.0"),
    bad(INDEX.radius_neighbors, ROWS, [1, 2])(SHAPE, "4 queries, got shape (2,)"),
    bad(INDEX.radius_neighbors, ROWS, 1, strict="no")(TYPE, "strict must be True or"),
    bad(INDEX.similarity_join, threshold=1, strict=1)(TYPE, "strict must be True or"),
    bad(exact_similarity_join, ROWS, ROWS, 1, strict="")(TYPE, "strict must be True"),
    bad(MODEL.approx_similarity_join, ROWS, ROWS, 1, strict=0)(TYPE, "strict must be"),
    bad(INDEX.similarity_join, threshold=1, self_pairs="lower")(
        VALUE, "'all' or 'upper'"
    ),
    bad(INDEX.similarity_join, threshold=1, self_pairs=["all"])(VALUE, "'all' or"),
    bad(INDEX.similarity_join, ROWS, threshold=1, self_pairs="upper")(VALUE, "one side"),
    bad(INDEX.similarity_join, OTHER, threshold=1)(errors.SchemeMismatchError, "=3.0"),
    bad(lambda: next(iter(INDEX.similarity_join_chunks(threshold=9, chunk_size=HUGE))))(
        errors.OutOfMemoryError, "pairs of 24 bytes do not fit in memory; ask for fewer"
    ),
    bad(exact_nearest_neighbors, np.empty((3, 0)), ROWS, 1)(SHAPE, "vectors: wanted"),
    bad(exact_nearest_neighbors, ROWS, np.ones((2, 4)), 1)(SHAPE, "dimension 3, got 4"),
    bad(exact_similarity_join, ROWS, np.ones((2, 4)), 1)(SHAPE, "dimension 3, got 4"),
    bad(MODEL.transform, [[1, 2, 3], [4, 5]])(errors.InvalidVectorError, "row 1 has 2"),
    bad(MODEL.transform, {"a": 1})(TYPE, "got dict"),
    bad(MODEL.transform, np.full((2, 3), 1e300))(
        errors.BucketRangeError, "raise bucket_length (now 2) or scale the rows down"
    ),
    *counts(set_threads, "n")[:5],
    bad(set_threads, 10**9)(VALUE, "n must be at most 1024, got 1000000000"),
    bad(set_threads, HUGE)(VALUE, "n must be at most 1024, got a number of 16610"),
]


def name_of(case: Case) -> str:
    call, args, kw, _, said = case
    shown = [str(type(a).__name__) for a in args] + list(kw)
    return f"{getattr(call, '__name__', 'call')}-{'-'.join(shown)}-{said[:24]}"


def consume(found: object) -> None:
    if isinstance(found, Iterator):
        next(found)


def check(case: Case) -> None:
    call, args, kw, error, said = case
    with pytest.raises(error) as caught:
        consume(call(*args, **kw))
    assert said in str(caught.value)
    assert isinstance(caught.value, errors.FastLSHError)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("case", [*MODELS, *SEARCHES], ids=name_of)
def test_bad_calls_in_memory(case: Case) -> None:
    check(case)


def test_a_count_beyond_the_rows_is_all_of_them() -> None:
    for k in (2**40, 2**63, 2**70, HUGE):
        assert INDEX.nearest_neighbors(ROWS, k, exact=True).indices.shape == (4, 4)
        assert exact_nearest_neighbors(ROWS, ROWS, k).indices.shape == (4, 4)


# ---- tables ----------------------------------------------------------------------------

D, S = DeltaLSHProcessor(), StreamingLSHProcessor()
PAIRS = MODEL.index(ROWS).similarity_join(threshold=1.0)


def searches(argument: str) -> list[Callable[[Any], Any]]:
    """Every search of two tables, of a value for one argument."""
    methods: list[Callable[..., Any]] = [
        *(D.nearest_neighbors_delta, S.nearest_neighbors_streaming),
        lambda q, b, k, **kw: S.nearest_neighbors_to_delta(q, b, "neighbors", k, **kw),
        S.plan_nearest_neighbors,
    ]
    usual = {"queries": "t", "base": "t", "k": 1}
    positional = tuple(usual)

    def bound(method: Callable[..., Any]) -> Callable[[Any], Any]:
        def call(value: Any) -> Any:
            given = {**usual, argument: value}
            first = [given.pop(name) for name in positional]
            return method(*first, **given)

        return call

    return [bound(method) for method in methods]


def search_cases() -> list[Case]:
    wrong: list[tuple[str, Any, type[Exception], str]] = [
        ("queries", "nothing", TABLE, "no Delta table at 'nothing'"),
        ("base", "folder", TABLE, "no Delta table at 'folder'"),
        ("base", 5, TYPE, "must be a str or path-like, got int"),
        ("min_collisions", 9, VALUE, "at most the model's 5 hash tables, got 9"),
        ("exact", "no", TYPE, "exact must be True or False, got 'no'"),
        ("embedding_column", "vec", COLUMN, "no column 'vec'; its columns are"),
        ("id_column", "key", COLUMN, "no column 'key'; its columns are"),
        ("queries_embedding_column", "vec", COLUMN, "no column 'vec'; its columns"),
        ("queries_id_column", "key", COLUMN, "no column 'key'; its columns are"),
        ("columns", "id", TYPE, "a sequence of names, as ['country'], got str"),
        ("columns", [1], TYPE, "a sequence of names, as ['country'], got list"),
        ("columns", ["id"], VALUE, "two columns 'neighbor_id'; leave that one out"),
        ("columns", ["what"], COLUMN, "no table has a column 'what': Delta table 't'"),
        ("columns", ["embedding"], VALUE, "names the embedding column 'embedding'"),
        ("where_queries", "what = 1", VALUE, "no condition for rows of 't'"),
        ("where_base", 5, TYPE, "where must be a str, a condition in SQL"),
        ("version_queries", -1, VALUE, "version must not be negative, got -1"),
        ("version_base", 7, errors.DeltaError, "has no version 7; the newest is 0"),
        ("on_invalid", "drop", VALUE, "on_invalid must be 'raise' or 'skip'"),
    ]
    return [
        *(case for call in searches("k") for case in counts(call, "k")),
        *(
            bad(call, value)(error, said)
            for argument, value, error, said in wrong
            for call in searches(argument)
        ),
    ]


def named(columns: tuple[Any, ...]) -> dict[str, Any]:
    """Give the columns of embeddings and ids by name."""
    return dict(zip(("embedding_column", "id_column"), columns, strict=False))


def description_cases() -> list[Case]:
    return [
        *counts(lambda n: describe(ROWS, 1.0, n), "num_hash_tables"),
        *counts(lambda n: describe(ROWS, num_hashes_per_table=n), "num_hashes_per_table"),
        *counts(lambda n: describe(ROWS, min_collisions=n), "min_collisions"),
        *counts(lambda n: describe(ROWS, sample=n), "sample", 2),
        bad(describe, "nothing")(TABLE, "no Delta table at 'nothing'"),
        bad(describe, "t", 0)(VALUE, "bucket_length must be positive and finite"),
        bad(describe, "t", "2")(TYPE, "bucket_length must be a number, got '2'"),
        bad(describe, "t", min_collisions=6)(VALUE, "the model's 5 hash tables, got 6"),
        bad(describe, "t", target_recall=0)(VALUE, "above 0 and below 1, got 0.0"),
        bad(describe, "t", target_recall=1)(VALUE, "exact search has a recall of 1"),
        bad(describe, "t", target_recall=np.nan)(VALUE, "below 1, got nan"),
        bad(describe, "t", target_recall="x")(TYPE, "target_recall must be a number"),
        bad(describe, "t", projection="p")(VALUE, "one of spark, gaussian, got 'p'"),
        bad(describe, "t", progress="x")(TYPE, "progress must be True, False or a"),
        bad(describe, "t", version=99)(errors.DeltaError, "the newest is 0"),
        bad(describe, "t", where="no = 1")(errors.FastLSHError, "no"),
        bad(describe, "t", storage_options=5)(TYPE, "must map str to str"),
        bad(describe, "t", embedding_column="vec")(COLUMN, "no column 'vec'; its col"),
        bad(describe, "t", embedding_column="id")(TYPE, "it must be array<float> or"),
        bad(describe, ROWS, embedding_column="vec")(VALUE, "got rows in memory (ndarr"),
        bad(describe, ROWS, version=1)(VALUE, "version, where and storage_options are"),
        bad(describe, ROWS, where="id > 1")(VALUE, "leave them out"),
        bad(describe, ROWS[0])(SHAPE, "table: wanted a 2-D array [rows, dim]"),
        bad(describe, None)(TYPE, "table: wanted an array of real numbers, got None"),
        bad(describe, 5)(SHAPE, "table: wanted a 2-D array"),
        bad(describe, [["a"]])(TYPE, "table: wanted an array of real numbers"),
    ]


def table_cases() -> list[Case]:
    join, chunked = S.similarity_join_streaming, S.similarity_join_chunked_both
    save, to_delta = D.transform_and_save, S.transform_to_delta
    write = write_table
    to, frames = S.similarity_join_to_delta, S.similarity_join_frames
    plan = S.plan_similarity_join
    readers: list[Any] = [
        *(read_delta_embeddings, read_delta_embeddings_chunked, read_delta_lazy),
        *(D.transform_delta, S.transform_streaming, lambda t, *a: save(t, "out", *a)),
        *(lambda t, *a: to_delta(t, "out", *a), lambda t, *a: join(t, "t", 1.0, *a)),
        *(lambda t, *a: chunked(t, "t", 1.0, *a), lambda t, *a: chunked("t", t, 1.0, *a)),
        lambda t, *a: D.similarity_join_delta(t, "t", 1.0, *a),
        lambda t, *a: to(t, "t", "out", 1.0, **named(a)),
        lambda t, *a: frames("t", t, 1.0, where_b="id > 3", **named(a)),
        lambda t, *a: plan(t, None, 1.0, **named(a)),
    ]
    cases = [
        open_case
        for read in readers
        for open_case in (
            bad(read, "nothing")(TABLE, "no Delta table at 'nothing'"),
            bad(read, "folder")(TABLE, "no Delta table at 'folder'"),
            bad(read, "file")(errors.TableError, "'file'"),
            bad(read, 5)(TYPE, "the path of a table must be a str or path-like, got int"),
            bad(read, "")(VALUE, "the path of a table is empty or holds a NUL"),
            bad(read, "t", "vec")(
                COLUMN, "no column 'vec'; its columns are ['id', 'embed"
            ),
            bad(read, "t", "embedding", "key")(
                COLUMN, "no column 'key'; its columns are"
            ),
            bad(read, "t", "id", None)(TYPE, "it must be array<float> or array<double>"),
            bad(read, "t", "embedding", "embedding")(VALUE, "are both 'embedding'"),
        )
    ]
    return [
        *cases,
        *description_cases(),
        *counts(lambda n: D.transform_delta("t", chunk_size=n), "chunk_size"),
        *counts(lambda n: save("t", "out", chunk_size=n), "chunk_size"),
        *counts(
            lambda n: D.similarity_join_delta("t", "t", 1, chunk_size=n), "chunk_size"
        ),
        *counts(lambda n: read_delta_embeddings_chunked("t", chunk_size=n), "chunk_size"),
        *counts(lambda n: StreamingLSHProcessor(chunk_size=n), "chunk_size"),
        *counts(lambda n: StreamingLSHProcessor(dim=n), "dim")[:5],
        *counts(lambda n: read_delta_lazy("t", row_limit=n), "row_limit", 0)[:5],
        *counts(lambda n: create_sample_delta("out", n), "n_vectors", 0),
        *counts(lambda n: create_sample_delta("out", 5, n), "dim"),
        *counts(lambda n: create_sample_delta("out", 5, 3, n), "seed", 0),
        *counts(lambda n: benchmark_streaming(n), "n_vectors"),
        *counts(lambda n: benchmark_streaming(5, 3, n), "chunk_size"),
        *thresholds(lambda t: D.similarity_join_delta("t", "t", t)),
        *thresholds(lambda t: to("t", None, "out", t)),
        *thresholds(lambda t: frames("t", "t", t)),
        *thresholds(lambda t: plan("t", "t4", t)),
        *counts(lambda n: frames("t", None, 1.0, min_collisions=n), "min_collisions"),
        bad(to, "t", "t4", "out", 1.0)(SHAPE, "3, those of 't4' 4"),
        bad(to, "t", None, "t", 1.0)(VALUE, "is the input table"),
        bad(to, "t", "t4", "./t4", 1.0)(VALUE, "is the input table"),
        bad(to, "t", None, 5, 1.0)(TYPE, "path-like, got int"),
        bad(to, "t", None, "t4", 1.0)(errors.TableExistsError, "mode='error'"),
        bad(to, "t", None, "out", 1.0, mode="drop")(VALUE, "one of error, append"),
        bad(to, "t", None, "out", 1.0, job_id=5)(TYPE, "job_id must be a str, got int"),
        bad(to, "t", None, "out", 1.0, progress="x")(TYPE, "progress must be True"),
        bad(frames, "t", None, 1.0, exact="no")(TYPE, "exact must be True or False"),
        bad(frames, "t", None, 1.0, strict=1)(TYPE, "strict must be True or False"),
        bad(frames, "t", None, 1.0, exact=True, min_collisions=2)(VALUE, "contradicts"),
        bad(frames, "t", None, 1.0, min_collisions=6)(VALUE, "5 hash tables, got 6"),
        bad(frames, "t", None, 1.0, self_pairs="lower")(VALUE, "'all' or 'upper'"),
        bad(frames, "t", "t4", 1.0, self_pairs="upper")(VALUE, "one side"),
        bad(frames, "t", None, 1.0, by="id")(TYPE, "by must be a sequence of names"),
        bad(frames, "t", None, 1.0, by=[5])(TYPE, "by must be a sequence of names"),
        bad(frames, "t", None, 1.0, columns="id")(TYPE, "columns must be a sequence"),
        bad(frames, "t", "hashes", 1.0, by=["embedding"])(VALUE, "'embedding'"),
        bad(frames, "t", None, 1.0, by=["key"])(COLUMN, "has no column 'key'; its col"),
        bad(frames, "t", "t4", 1.0, columns=["key"])(COLUMN, "'t4' has ['id', 'embed"),
        bad(frames, "t", None, 1.0, columns=["id"])(VALUE, "two columns 'id_b'"),
        bad(frames, "t", None, 1.0, columns=["embedding"])(VALUE, "is not carried"),
        bad(frames, "t", None, 1.0, version_b=0)(VALUE, "path_b is None: a table is"),
        bad(frames, "t", None, 1.0, where_b="id > 3")(VALUE, "under one condition"),
        bad(frames, "t", None, 1.0, where_a="key > 3")(VALUE, "is no condition for"),
        bad(frames, "t", None, 1.0, version_a=9)(errors.DeltaError, "the newest is 0"),
        bad(frames, "t", None, 1.0, on_invalid="drop")(VALUE, "'raise' or 'skip', got"),
        bad(StreamingLSHProcessor(dim=7).similarity_join_frames, "t", None, 1.0)(
            SHAPE, "dim=7 was"
        ),
        bad(StreamingLSHProcessor(memory_limit=99).plan_similarity_join, "t", None, 1.0)(
            errors.MemoryLimitError, "memory_limit=99 bytes has no room for 16 rows"
        ),
        bad(StreamingLSHProcessor, memory_limit=0)(VALUE, "memory_limit must be at lea"),
        bad(StreamingLSHProcessor, memory_limit="1 xB")(VALUE, "a number and a unit, as"),
        *thresholds(lambda t: join("t", "t", t)),
        *thresholds(lambda t: chunked("t", "t", t, output_path="out")),
        bad(create_sample_delta, "out", HUGE)(VALUE, "n_vectors must be at most"),
        bad(create_sample_delta, "out", 5, 10**12)(VALUE, "at most 67108864, got 10000"),
        bad(create_sample_delta, "file/x", 5, 3)(
            errors.DeltaError, "the write failed: Delta table '"
        ),
        bad(create_sample_delta, None)(TYPE, "str or path-like, got NoneType"),
        bad(open_table, "t", version=99)(errors.DeltaError, "the newest is 0"),
        bad(open_table, "t", version=-1)(VALUE, "version must not be negative, got -1"),
        bad(open_table, "t", version=1.5)(TYPE, "RFC 3339 string or an aware datetime"),
        bad(open_table, "t", version="today")(VALUE, "such as '2026-01-31T12:00:00Z'"),
        bad(open_table, "t", storage_options=5)(TYPE, "must map str to str"),
        bad(open_table, "t", storage_options={"a": 1})(TYPE, "{'AWS_REGION': 'eu-west"),
        bad(open_table, b"t")(TYPE, "str or path-like, got bytes"),
        bad(open_table, "t\0x")(VALUE, "holds a NUL: 't\\x00x'"),
        bad(DeltaLSHProcessor, storage_options=["a"])(TYPE, "must map str to str"),
        bad(StreamingLSHProcessor, storage_options="a=b")(TYPE, "storage_options"),
        bad(DeltaLSHProcessor, 0)(VALUE, "bucket_length must be positive"),
        bad(DeltaLSHProcessor, num_hash_tables=10**12)(VALUE, "at most 67108864"),
        bad(StreamingLSHProcessor, dim=2**40)(VALUE, "dim must be at most 67108864"),
        bad(StreamingLSHProcessor(dim=7).transform_streaming, "t")(SHAPE, "dim=7 was"),
        bad(StreamingLSHProcessor(dim=7).transform_to_delta, "t", "out")(SHAPE, "dim=7"),
        bad(read_hash_scheme, "t")(errors.DeltaError, "hash its source anew"),
        bad(read_hash_scheme, "nothing")(TABLE, "'nothing'"),
        bad(DeltaLSHProcessor(3.0).check_scheme, "hashes")(
            errors.SchemeMismatchError, "bucket_length 3.0 against 2.0; hash one side"
        ),
        bad(save, "t", "t")(VALUE, "is the input table: its embeddings would be"),
        bad(save, "t", "./t/")(VALUE, "name another path"),
        bad(save, "t", None)(TYPE, "str or path-like, got NoneType"),
        bad(save, "t", "")(VALUE, "is empty"),
        bad(save, "t", "file")(errors.DeltaError, "'file' is a file"),
        bad(save, "t", "file/x")(errors.DeltaError, "Could not create local directory"),
        bad(save, "t", "hashes", mode="error")(
            errors.TableExistsError, "a Delta table at 'hashes', which mode='error'"
        ),
        bad(save, "t", "out", mode="add")(VALUE, "error, append, overwrite, got 'add'"),
        bad(save, "t", "out", job_id=5)(TYPE, "job_id must be a str, got int"),
        bad(to_delta, "t", "hashes", mode="append", include_embeddings=True)(
            errors.TableSchemaError, "column 'embedding' is not in the table"
        ),
        bad(StreamingLSHProcessor(3.0).transform_to_delta, "t", "hashes", mode="append")(
            errors.SchemeMismatchError, "bucket_length 3.0 against 2.0"
        ),
        bad(to_delta, "t", "t4", mode="append")(
            errors.DeltaError, "hash its source anew"
        ),
        bad(chunked, "t", "t", 1.0, job_id="x")(VALUE, "there is no output_path"),
        bad(chunked, "t", "t", 1.0, output_path="out", job_id="")(VALUE, "is empty"),
        bad(write, 5, "out")(TYPE, "give an Arrow C stream"),
        bad(write, PAIRS, 5)(TYPE, "str, path-like or binary file, got int"),
        bad(write, PAIRS, "")(VALUE, "is empty"),
        bad(write, PAIRS, "o.parquet", mode="add")(VALUE, "got 'add'"),
        bad(write, PAIRS, "o.arrow", mode="append")(VALUE, "rows to Delta tables, not"),
        bad(write, PAIRS, "o.arrows", job_id="x")(VALUE, "not by the file 'o.arrows'"),
        bad(write, PAIRS, io.BytesIO(), job_id="x")(VALUE, "not by a binary file"),
        bad(write, PAIRS, "s3://b/o.parquet")(VALUE, "leave the suffix out"),
        bad(write, PAIRS, "out", metadata=5)(TYPE, "metadata must map names to values"),
        bad(write, PAIRS, "out", storage_options=5)(TYPE, "must map str to str"),
        bad(write, PAIRS, "file")(errors.DeltaError, "'file' is a file"),
        bad(write, PAIRS, "nowhere/o.arrow")(errors.TableError, "No such file"),
        bad(write, PAIRS, "t")(errors.TableExistsError, "at 't'"),
        bad(write, PAIRS, "t", mode="append")(
            errors.TableSchemaError, "the table: Delta table 't'"
        ),
        bad(to_delta, "t", "t")(VALUE, "is the input table"),
        bad(to_delta, "t", "out", include_embeddings="no")(TYPE, "True or False, got"),
        bad(chunked, "t", "t", 1.0, output_path="t")(VALUE, "is the input table"),
        bad(chunked, "t", "t", 1.0, output_path=5)(TYPE, "path-like, got int"),
        bad(D.similarity_join_delta, "t", "t4", 1.0)(SHAPE, "3, those of 't4' 4"),
        bad(join, "t", "t4", 1.0)(SHAPE, "they must agree"),
        bad(chunked, "t", "t4", 1.0, output_path="out")(SHAPE, "they must agree"),
        bad(save, "t", "out", progress="x")(TYPE, "progress must be True, False or a"),
        bad(save, "t", "out", on_invalid="drop")(VALUE, "'raise' or 'skip', got 'drop'"),
        bad(BucketedRandomProjectionLSHModel.from_spark, "nothing")(
            errors.SparkModelNotFoundError, "there is no folder"
        ),
        bad(BucketedRandomProjectionLSHModel.from_spark, "folder")(
            errors.SparkModelError, "it has no folder 'metadata'"
        ),
        bad(BucketedRandomProjectionLSHModel.from_spark, 5)(TYPE, "path-like, got int"),
        bad(MODEL.to_spark, "folder")(errors.SparkModelExistsError, "overwrite=True"),
        bad(MODEL.to_spark, "hashes", overwrite=True)(
            errors.SparkModelExistsError, "only models of its kind are overwritten"
        ),
        bad(MODEL.to_spark, "out", overwrite="no")(TYPE, "True or False, got 'no'"),
    ]


TABLES = [*table_cases(), *search_cases()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("bad")
    create_sample_delta(place / "t", 20, 3)
    create_sample_delta(place / "t4", 20, 4)
    D.transform_and_save(place / "t", place / "hashes")
    (place / "folder").mkdir()
    (place / "file").write_text("x")
    return place


@pytest.mark.parametrize("case", TABLES, ids=name_of)
def test_bad_calls_on_tables_write_nothing(
    case: Case, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    check(case)
    assert not (folder / "out").exists()
    after = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert after == before


def test_there_are_many_bad_calls() -> None:
    assert len(MODELS) + len(SEARCHES) + len(TABLES) >= 350


# ---- memory ----------------------------------------------------------------------------

STARVE = """
import resource
import numpy as np
import fast_lsh_ann
from fast_lsh_ann import errors
rows = np.zeros((2_000_000, 8), dtype=np.float32)
model = fast_lsh_ann.BucketedRandomProjectionLSHModel(2.0, 2, 42, 8)
fast_lsh_ann.set_threads(2)
model.transform(rows[:100])
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (24 << 20),) * 2)
for call in (
    lambda: model.index(rows),
    lambda: fast_lsh_ann.exact_similarity_join(rows[:3000], rows[:3000], 1.0),
):
    try:
        call()
    except errors.OutOfMemoryError as error:
        print("refused:", error)
print(model.index(rows[:100]).nearest_neighbors(rows[:1], 1).counts)
"""


@pytest.mark.measured
def test_out_of_memory_is_named_and_survived(run_python: Run) -> None:
    lines = run_python(STARVE).stdout.splitlines()
    assert len(lines) == 3
    for line in lines[:2]:
        assert line.startswith("refused: ")
        assert "memory" in line
    assert lines[2] == "[1]"
