"""Bad input is answered by an exception whose text names the argument and the fault."""

from collections.abc import Callable
from typing import Any

import fast_lsh_ann
import numpy as np
import pytest
import scipy.sparse
from conftest import Run
from fast_lsh_ann import errors

DIM = 3
ROWS = np.arange(12.0).reshape(4, DIM)
MODEL = fast_lsh_ann.BucketedRandomProjectionLSHModel(2.0, 2, 42, DIM)
INDEX = MODEL.index(ROWS)

# Every way in for a set of rows: (function, argument) -> a call with the rows given.
ENTRIES: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("transform", "vectors"): MODEL.transform,
    ("index", "vectors"): MODEL.index,
    ("approx_nearest_neighbors", "vectors"): lambda rows: MODEL.approx_nearest_neighbors(
        rows, ROWS[0], 1
    ),
    ("batch", "vectors"): lambda rows: MODEL.batch_approx_nearest_neighbors(
        rows, ROWS, 1
    ),
    ("batch", "queries"): lambda rows: MODEL.batch_approx_nearest_neighbors(
        ROWS, rows, 1
    ),
    ("join", "vectors_a"): lambda rows: MODEL.approx_similarity_join(rows, ROWS, 1.0),
    ("join", "vectors_b"): lambda rows: MODEL.approx_similarity_join(ROWS, rows, 1.0),
    ("cms join", "vectors_a"): lambda rows: MODEL.approx_similarity_join_cms(
        rows, ROWS, 1.0
    ),
    ("cms join", "vectors_b"): lambda rows: MODEL.approx_similarity_join_cms(
        ROWS, rows, 1.0
    ),
    ("analyze", "vectors_a"): lambda rows: MODEL.analyze_similarity_join(rows, ROWS),
    ("analyze", "vectors_b"): lambda rows: MODEL.analyze_similarity_join(ROWS, rows),
    ("sketch", "vectors"): lambda rows: fast_lsh_ann.BucketSketch(MODEL, 9).add(rows),
    ("index.nearest", "queries"): lambda rows: INDEX.nearest_neighbors(rows, 1),
    ("index.nearest exact", "queries"): lambda rows: INDEX.nearest_neighbors(
        rows, 1, exact=True
    ),
    ("index.radius", "queries"): lambda rows: INDEX.radius_neighbors(rows, 1.0),
    ("index.join_count", "other"): lambda rows: INDEX.similarity_join_count(
        rows, threshold=1.0
    ),
    ("index.join_chunks", "other"): lambda rows: INDEX.similarity_join_chunks(
        rows, threshold=1.0
    ),
    ("index.join", "other"): lambda rows: INDEX.similarity_join(rows, threshold=1.0),
    ("exact_nearest", "vectors"): lambda rows: fast_lsh_ann.exact_nearest_neighbors(
        rows, ROWS, 1
    ),
    ("exact_nearest", "queries"): lambda rows: fast_lsh_ann.exact_nearest_neighbors(
        ROWS, rows, 1
    ),
    ("exact_join", "a"): lambda rows: fast_lsh_ann.exact_similarity_join(rows, ROWS, 1.0),
    ("exact_join", "b"): lambda rows: fast_lsh_ann.exact_similarity_join(ROWS, rows, 1.0),
}

every_entry = pytest.mark.parametrize(
    ("argument", "call"),
    [(argument, call) for (_, argument), call in ENTRIES.items()],
    ids=[f"{function}-{argument}" for function, argument in ENTRIES],
)

NOT_ROWS = {
    "text": [["a", "b", "c"]],
    "a number": 3.0,
    "bool": np.ones((2, DIM), dtype=bool),
    "complex": np.ones((2, DIM), dtype=complex),
    "dates": np.zeros((2, DIM), dtype="datetime64[s]"),
    "objects": np.array([[object()] * DIM]),
    "sparse": scipy.sparse.csr_matrix(ROWS),
    "structured": np.zeros((2, DIM), dtype=[("x", "f4")]),
    "a vector": ROWS[0],
    "three axes": np.zeros((2, 2, DIM)),
    "no axis": np.array(1.0),
}


@every_entry
@pytest.mark.parametrize("name", NOT_ROWS)
def test_what_is_no_set_of_rows(
    argument: str, call: Callable[[Any], Any], name: str
) -> None:
    with pytest.raises(
        (errors.InputTypeError, errors.DimensionError), match=rf"^{argument}\b"
    ):
        call(NOT_ROWS[name])


def test_none_is_no_set_of_rows() -> None:
    refused = 0
    for (_, argument), call in ENTRIES.items():
        if argument != "other":  # there None stands for the index itself
            with pytest.raises(errors.InputTypeError, match=rf"^{argument}\b"):
                call(None)
            refused += 1
    assert refused == len(ENTRIES) - 3


@every_entry
@pytest.mark.parametrize("dim", [0, 2, 4])
def test_a_wrong_dimension_is_named_with_the_right_one(
    argument: str, call: Callable[[Any], Any], dim: int
) -> None:
    # Without a model the first argument sets the dimension, so the second is to blame.
    blamed = {"a": "a|b", "vectors": "vectors|queries"}.get(argument, argument)
    with pytest.raises(errors.DimensionError, match=rf"^({blamed})\b") as caught:
        call(np.ones((5, dim)))
    if dim:
        assert str(dim) in str(caught.value)
        assert str(DIM) in str(caught.value)


@every_entry
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f8"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_named_with_its_place(
    argument: str, call: Callable[[Any], Any], value: float, dtype: Any
) -> None:
    rows = np.ones((9, DIM), dtype=dtype)
    rows[6, 0] = value
    rows[4, 2] = value
    rows[4, 1] = value
    with pytest.raises(errors.InvalidVectorError, match=rf"^{argument}\b") as caught:
        call(rows)
    error = caught.value
    assert (error.row, error.column, error.bad_rows) == (4, 1, 2)
    for part in ("row 4", "column 1", "2"):
        assert part in str(error)


@every_entry
@pytest.mark.parametrize("rows", [[[1, 2, 3], [4, 5]], [[1, 2, 3], [4, None, 6]]])
def test_ragged_lists_and_missing_elements_are_named_with_their_row(
    argument: str, call: Callable[[Any], Any], rows: list[list[Any]]
) -> None:
    with pytest.raises(errors.InvalidVectorError, match=rf"^{argument}\b") as caught:
        call(rows)
    assert caught.value.row == 1
    assert "row 1" in str(caught.value)


SEARCHED = [
    key for key in ENTRIES if not key[0].startswith(("exact", "index.nearest exact"))
]


@pytest.mark.parametrize("entry", SEARCHED, ids="-".join)
def test_a_bucket_beyond_int64_is_named_with_its_row(entry: tuple[str, str]) -> None:
    rows = np.ones((5, DIM))
    rows[2] = 1e300
    with pytest.raises(errors.BucketRangeError, match=rf"^{entry[1]}\b") as caught:
        ENTRIES[entry](rows)
    assert caught.value.row == 2
    assert "row 2" in str(caught.value)


@pytest.mark.parametrize(
    "query",
    [
        ROWS,
        1.0,
        np.zeros((1, 1, DIM)),
        [1.0, 2.0],
        [1.0] * 4,
        [],
        "abc",
        None,
        [True] * 3,
    ],
    ids=repr,
)
def test_what_is_no_single_query(query: Any) -> None:
    with pytest.raises((errors.InputTypeError, errors.DimensionError), match=r"^query\b"):
        MODEL.approx_nearest_neighbors(ROWS, query, 1)


def test_a_single_query_that_is_not_finite() -> None:
    with pytest.raises(errors.InvalidVectorError, match=r"^query\b") as caught:
        MODEL.approx_nearest_neighbors(ROWS, [1.0, np.nan, 3.0], 1)
    assert caught.value.column == 1


@pytest.mark.parametrize("call", ["fit", "create_model"])
def test_fitting_to_no_dimension_is_refused(call: str) -> None:
    estimator = fast_lsh_ann.BucketedRandomProjectionLSH()
    argument: Any = np.empty((4, 0)) if call == "fit" else 0
    with pytest.raises((errors.DimensionError, errors.ParameterError)):
        getattr(estimator, call)(argument)
    with pytest.raises((errors.DimensionError, errors.InputTypeError)):
        getattr(estimator, call)(np.zeros(4) if call == "fit" else "4")


# ---- parameters ------------------------------------------------------------------------

VALUE = errors.ParameterError
TYPE = errors.InputTypeError


def make(**changed: Any) -> Any:
    parameters: dict[str, Any] = {"bucket_length": 2.0, "num_hash_tables": 2, "seed": 42}
    profile = changed.pop("spark_profile", "java11")
    dim = changed.pop("dim", DIM)
    parameters.update(changed)
    estimator = fast_lsh_ann.BucketedRandomProjectionLSH
    return estimator(**parameters, spark_profile=profile).create_model(dim)


def make_directly(**changed: Any) -> Any:
    parameters: dict[str, Any] = {"bucket_length": 2.0, "num_hash_tables": 2, "seed": 42}
    return fast_lsh_ann.BucketedRandomProjectionLSHModel(
        **{**parameters, "dim": DIM, **changed}
    )


BAD_PARAMETERS: list[tuple[str, Any, type[Exception]]] = [
    *(("bucket_length", value, VALUE) for value in (0.0, -1.0, np.nan, np.inf, 5e-324)),
    *(("bucket_length", value, TYPE) for value in ("2", None, 1j, [1.0])),
    *(("num_hash_tables", value, VALUE) for value in (0, -1, -(2**70))),
    *(("num_hash_tables", value, TYPE) for value in (2.5, "2", None)),
    *(("dim", value, VALUE) for value in (0, -1)),
    *(("dim", value, TYPE) for value in (2.5, "2", None)),
    *(("seed", value, VALUE) for value in (2**63, -(2**63) - 1)),
    *(("seed", value, TYPE) for value in (2.5, "2", None)),
    ("spark_profile", "java12", VALUE),
]


@pytest.mark.parametrize("create", [make, make_directly])
@pytest.mark.parametrize(("name", "value", "error"), BAD_PARAMETERS)
def test_bad_model_parameters(
    create: Callable[..., Any], name: str, value: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match=rf"^{name}\b") as caught:
        create(**{name: value})
    if error is VALUE:
        shown = f"{value:g}" if isinstance(value, float) else str(value)
        assert f"got {shown}" in str(caught.value).replace("'", "")


def test_a_bad_profile_is_answered_with_the_good_ones() -> None:
    with pytest.raises(errors.ParameterError) as caught:
        make(spark_profile="java12")
    for profile in ("java11", "java8", "vector2", "vector4", "vector8"):
        assert profile in str(caught.value)


@pytest.mark.parametrize(("name", "value"), [("num_hash_tables", 10**12), ("dim", 2**50)])
@pytest.mark.parametrize("create", [make, make_directly])
def test_a_model_that_fits_no_memory_is_refused(
    create: Callable[..., Any], name: str, value: int
) -> None:
    with pytest.raises((errors.ParameterError, errors.OutOfMemoryError)):
        create(**{name: value})
    with pytest.raises((errors.ParameterError, errors.OutOfMemoryError)):
        create(num_hash_tables=2**40, dim=2**40)


NEIGHBOR_CALLS: dict[str, Callable[..., Any]] = {
    "one": lambda k=1, **rest: MODEL.approx_nearest_neighbors(ROWS, ROWS[0], k, **rest),
    "batch": lambda k=1, **rest: MODEL.batch_approx_nearest_neighbors(
        ROWS, ROWS, k, **rest
    ),
    "index": lambda k=1, **rest: INDEX.nearest_neighbors(ROWS, k, **rest),
    "exact": lambda k=1: fast_lsh_ann.exact_nearest_neighbors(ROWS, ROWS, k),
}

JOIN_CALLS: dict[str, Callable[..., Any]] = {
    "model": lambda threshold=1.0, **rest: MODEL.approx_similarity_join(
        ROWS, ROWS[:2].copy(), threshold, **rest
    ),
    "cms": lambda threshold=1.0, **rest: MODEL.approx_similarity_join_cms(
        ROWS, ROWS[:2].copy(), threshold, **rest
    ),
    "index": lambda threshold=1.0, **rest: INDEX.similarity_join(
        ROWS[:2].copy(), threshold=threshold, **rest
    ),
    "count": lambda threshold=1.0, **rest: INDEX.similarity_join_count(
        ROWS[:2].copy(), threshold=threshold, **rest
    ),
    "chunks": lambda threshold=1.0, **rest: INDEX.similarity_join_chunks(
        ROWS[:2].copy(), threshold=threshold, **rest
    ),
    "exact": lambda threshold=1.0, **rest: fast_lsh_ann.exact_similarity_join(
        ROWS, ROWS[:2].copy(), threshold, **rest
    ),
}


@pytest.mark.parametrize("call", NEIGHBOR_CALLS)
@pytest.mark.parametrize(
    ("k", "error"), [(0, VALUE), (-3, VALUE), (2.5, TYPE), ("3", TYPE), (None, TYPE)]
)
def test_a_bad_k(call: str, k: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^k\b") as caught:
        NEIGHBOR_CALLS[call](k)
    if error is VALUE:
        assert str(k) in str(caught.value)


@pytest.mark.parametrize("call", JOIN_CALLS)
@pytest.mark.parametrize(
    ("threshold", "error"),
    [(-1.0, VALUE), (-np.inf, VALUE), (np.nan, VALUE), ("1", TYPE), (None, TYPE)],
)
def test_a_bad_threshold(call: str, threshold: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^threshold\b") as caught:
        JOIN_CALLS[call](threshold)
    if error is VALUE:
        assert str(threshold).split(".")[0] in str(caught.value)


@pytest.mark.parametrize(
    ("radius", "error", "said"),
    [
        (-0.5, errors.ParameterError, "-0.5"),
        (-np.inf, errors.ParameterError, "-inf"),
        (np.nan, errors.ParameterError, "nan"),
        ([1, 2, -3, 4], errors.ParameterError, "-3.0 for query 2"),
        ([1, 2, 3, np.nan], errors.ParameterError, "nan for query 3"),
        ([1.0, 2.0], errors.DimensionError, "4 queries, got shape (2,)"),
        (np.ones((4, 1)), errors.DimensionError, "4 queries, got shape (4, 1)"),
        ([], errors.DimensionError, "4 queries, got shape (0,)"),
        ("1", errors.InputTypeError, "'1'"),
        (True, errors.InputTypeError, "True"),
        (None, errors.InputTypeError, "NoneType"),
        (["a", "b", "c", "d"], errors.InputTypeError, "real numbers"),
        ([True] * 4, errors.InputTypeError, "bool"),
    ],
)
def test_a_bad_radius(radius: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=r"^radius\b") as caught:
        INDEX.radius_neighbors(ROWS, radius)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("size", "error"), [(0, VALUE), (-1, VALUE), (1.5, TYPE), ("1", TYPE), (True, TYPE)]
)
def test_a_bad_chunk_size(size: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^chunk_size\b"):
        INDEX.similarity_join_chunks(threshold=1.0, chunk_size=size)


@pytest.mark.parametrize(
    ("value", "error"), [(0, VALUE), (-1, VALUE), (1.5, TYPE), ("1", TYPE)]
)
def test_bad_min_collisions(value: Any, error: type[Exception]) -> None:
    calls = [*NEIGHBOR_CALLS.values(), *JOIN_CALLS.values()]
    calls.remove(NEIGHBOR_CALLS["exact"])
    calls.remove(JOIN_CALLS["exact"])
    for call in calls:
        with pytest.raises(error, match=r"^min_collisions\b"):
            call(min_collisions=value)
    assert len(calls) == 8


def test_upper_pairs_of_two_different_sides_are_refused() -> None:
    for call in JOIN_CALLS.values():
        with pytest.raises(errors.ParameterError, match=r"^self_pairs\b"):
            call(self_pairs="upper")
    with pytest.raises(errors.ParameterError, match="upper"):
        INDEX.similarity_join(threshold=1.0, self_pairs="lower")  # type: ignore[arg-type]


def test_ids_that_do_not_fit_the_rows_are_refused() -> None:
    with pytest.raises(errors.DimensionError, match="ids") as caught:
        MODEL.index(ROWS, ids=[1, 2, 3])
    assert "3" in str(caught.value)
    assert "4" in str(caught.value)


def test_an_index_of_another_model_is_refused() -> None:
    """Buckets of two models mean different things."""
    other = fast_lsh_ann.BucketedRandomProjectionLSHModel(2.0, 2, 43, DIM).index(ROWS)
    with pytest.raises(errors.ParameterError):
        INDEX.similarity_join(other, threshold=1.0)


# ---- the environment -------------------------------------------------------------------

USE = "import fast_lsh_ann; fast_lsh_ann.exact_nearest_neighbors([[1.0]], [[1.0]], 1)"


def test_an_unusable_instruction_set_is_answered_with_the_usable_ones(
    run_python: Run,
) -> None:
    done = run_python(USE, must_succeed=False, FAST_LSH_ANN_SIMD="avx1024")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("fast_lsh_ann.errors.SimdError")
    assert "avx1024" in last
    for tier in fast_lsh_ann.simd_info().tiers:
        assert tier in last


@pytest.mark.parametrize("threads", ["0", "-1", "two", "1.5", "99999999"])
def test_an_unusable_thread_count_is_refused(threads: str, run_python: Run) -> None:
    done = run_python(USE, must_succeed=False, FAST_LSH_ANN_NUM_THREADS=threads)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("fast_lsh_ann.errors.ParameterError")
    assert "FAST_LSH_ANN_NUM_THREADS" in last
    assert threads in last


@pytest.mark.parametrize("threads", [-1, 10**9, 1.5, "2"])
def test_set_threads_refuses_what_is_no_thread_count(threads: Any) -> None:
    with pytest.raises(
        (errors.ParameterError, errors.InputTypeError), match=r"^n\b|thread"
    ):
        fast_lsh_ann.set_threads(threads)


def test_objects_stay_usable_after_errors() -> None:
    for bad in (np.full((2, DIM), np.nan), np.ones((2, 9)), np.full((2, DIM), 1e300)):
        with pytest.raises(errors.FastLSHError):
            INDEX.nearest_neighbors(bad, 1)
    assert INDEX.nearest_neighbors(ROWS, 1, exact=True).indices[:, 0].tolist() == [
        0,
        1,
        2,
        3,
    ]
