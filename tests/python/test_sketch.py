"""The join by a count-min sketch, how often rows collide, and sketches of buckets."""

import math
from typing import Any

import fast_lsh_ann
import numpy as np
import oracle
import pytest
from checks import assert_same_triples
from conftest import Run
from fast_lsh_ann import (
    BucketedRandomProjectionLSH,
    BucketedRandomProjectionLSHModel,
    BucketSketch,
    errors,
)
from fast_lsh_ann.model import _restore_given
from numpy.typing import NDArray

RNG = np.random.default_rng(31)
A = RNG.standard_normal((700, 10)).astype(np.float32)
B = np.vstack([A[::7] + np.float32(0.05), RNG.standard_normal((50, 10))])
TABLES = 5
MODEL = BucketedRandomProjectionLSH(0.7, TABLES, 42).fit(A)
THRESHOLD = 2.5


def buckets(rows: NDArray[Any]) -> NDArray[np.int64]:
    vectors = oracle.unit_vectors(TABLES, 10, 42)
    return oracle.buckets(rows, vectors, 0.7)


def expected(
    left: NDArray[Any],
    right: NDArray[Any],
    least: int,
    threshold: float = THRESHOLD,
    **options: bool,
) -> oracle.Pairs:
    candidates = oracle.collisions(buckets(left), buckets(right)) >= least
    return oracle.similarity_join(left, right, threshold, candidates, **options)


# ---- the join --------------------------------------------------------------------------


@pytest.mark.parametrize("least", range(1, TABLES + 1))
@pytest.mark.parametrize("width", [1, 2, 1000, None])
def test_pairs_are_those_that_collide_often_whatever_the_width(
    least: int, width: int | None
) -> None:
    for left, right in ((A, B), (B, A), (A, A)):
        found = MODEL.approx_similarity_join_cms(left, right, THRESHOLD, least, width)
        assert_same_triples(found, expected(left, right, least))
        assert found == MODEL.approx_similarity_join(
            left, right, THRESHOLD, min_collisions=least
        )


def test_the_default_needs_half_of_the_tables_rounded_up() -> None:
    found = MODEL.approx_similarity_join_cms(A, B, THRESHOLD)
    assert_same_triples(found, expected(A, B, 3))
    assert len(expected(A, B, 4).left) < len(found) < len(expected(A, B, 2).left)


def test_no_pair_is_lost_where_the_left_side_is_larger_or_comes_later() -> None:
    """0.1.1 lost every pair with i > j, and panicked where A was the larger side."""
    found = MODEL.approx_similarity_join_cms(A, B, THRESHOLD, 1)
    assert len(A) > len(B)
    assert sum(i > j for i, j, _ in found) > 100
    turned = MODEL.approx_similarity_join_cms(B, A, THRESHOLD, 1)
    assert sorted((j, i, distance) for i, j, distance in turned) == found


@pytest.mark.parametrize("strict", [False, True])
def test_options_are_those_of_the_other_join(strict: bool) -> None:
    found = np.sort(expected(A, B, 2).distances)
    at = float(found[len(found) // 2])  # where equality matters
    upper = MODEL.approx_similarity_join_cms(
        A, A, at, 2, strict=strict, self_pairs="upper"
    )
    assert_same_triples(upper, expected(A, A, 2, at, strict=strict, upper=True))
    both = MODEL.approx_similarity_join_cms(A, B, at, 2, strict=strict)
    assert_same_triples(both, expected(A, B, 2, at, strict=strict))
    assert (at in {distance for _, _, distance in both}) is not strict


def test_values_are_plain_python() -> None:
    found = MODEL.approx_similarity_join_cms(A, B, THRESHOLD, 1)
    assert {tuple(map(type, pair)) for pair in found} == {(int, int, float)}
    analysis = MODEL.analyze_similarity_join(A, B)
    assert type(analysis) is tuple
    assert set(map(type, analysis)) == {int}


def test_sides_without_rows_have_no_pairs() -> None:
    none = np.empty((0, 10))
    for left, right in ((none, A), (A, none), (none, none)):
        assert MODEL.approx_similarity_join_cms(left, right, 1.0) == []
        assert MODEL.analyze_similarity_join(left, right) == (0, 8_000_000, TABLES)


def test_progress_rises_to_its_total() -> None:
    seen: list[tuple[int, int]] = []
    MODEL.approx_similarity_join_cms(
        A, B, 1.0, progress=lambda done, total: seen.append((done, total))
    )
    total = 2 * len(A) * len(B)
    assert seen == sorted(seen)
    assert seen[-1] == (total, total)


def test_an_error_in_a_progress_function_ends_the_join_and_arrives() -> None:
    def refuse(done: int, total: int) -> None:
        raise LookupError(f"{done} of {total}")

    with pytest.raises(LookupError, match="of"):
        MODEL.approx_similarity_join_cms(A, B, 1.0, progress=refuse)


VALUE, TYPE = errors.ParameterError, errors.InputTypeError


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        *(("cms_width", value, VALUE) for value in (0, -1, 2**28 + 1, 2**60, 2**70)),
        *(("cms_width", value, TYPE) for value in (2.5, "9", True)),
        *(("min_collisions", value, VALUE) for value in (0, -1, TABLES + 1, 2**70)),
        *(("min_collisions", value, TYPE) for value in (2.5, "2", True)),
    ],
)
def test_a_parameter_out_of_range_is_named_with_its_value(
    name: str, value: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match=rf"^{name}\b") as caught:
        MODEL.approx_similarity_join_cms(A, B, 1.0, **{name: value})
    if isinstance(value, int) and abs(value) < 2**63:
        assert str(value) in str(caught.value)


@pytest.mark.measured
def test_a_sketch_without_memory_is_an_error_that_leaves_the_model_usable(
    run_python: Run,
) -> None:
    program = """
import resource
import numpy as np
import fast_lsh_ann
rows = np.ones((10, 4), dtype=np.float32)
model = fast_lsh_ann.BucketedRandomProjectionLSHModel(1.0, 2, 42, 4)
resource.setrlimit(resource.RLIMIT_AS, (2_000_000_000, 2_000_000_000))
for call in (
    lambda: model.approx_similarity_join_cms(rows, rows, 1.0, cms_width=2**28),
    lambda: fast_lsh_ann.BucketSketch(model, 2**28),
):
    try:
        call()
    except fast_lsh_ann.errors.OutOfMemoryError as error:
        print(error)
assert len(model.approx_similarity_join_cms(rows, rows, 1.0)) == 100
"""
    lines = run_python(program).stdout.splitlines()
    assert len(lines) == 2
    assert all("memory" in line and "268435456" in line for line in lines)


# ---- memory ----------------------------------------------------------------------------

# All pairs collide, or hardly any; none is near enough.
PEAK = """
import resource
import numpy as np
import fast_lsh_ann
fast_lsh_ann.set_threads(2)
random = np.random.default_rng(1)
a, b = random.standard_normal((2, {rows}, 8)).astype(np.float32)
model = fast_lsh_ann.BucketedRandomProjectionLSHModel({bucket_length}, 3, 42, 8)
model.approx_similarity_join_cms(a[:100], b[:100], 0.0)
assert model.approx_similarity_join_cms(a, b, 0.0) == []
print(model.analyze_similarity_join(a, b)[0] // 3)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def collisions_and_peak(
    run_python: Run, rows: int, bucket_length: float
) -> tuple[int, int]:
    program = PEAK.format(rows=rows, bucket_length=bucket_length)
    collisions, peak = run_python(program).stdout.split()
    return int(collisions), int(peak)


def test_memory_does_not_grow_with_colliding_pairs(run_python: Run) -> None:
    """0.1.1 took 42 MB for 4 million pairs, 863 MB for 100 million."""
    few, low = collisions_and_peak(run_python, 5_000, 0.15)
    many, high = collisions_and_peak(run_python, 5_000, 1e6)
    assert few < 1_500_000
    assert many > 5_000_000
    assert high - low < 3 * 1024, "KiB"


# ---- how often rows collide ------------------------------------------------------------


@pytest.mark.parametrize(("left", "right"), [(A, B), (B, A), (A, A), (A, A.copy())])
def test_collisions_are_those_of_the_oracle(
    left: NDArray[Any], right: NDArray[Any]
) -> None:
    count = int(oracle.collisions(buckets(left), buckets(right)).sum())
    assert MODEL.analyze_similarity_join(left, right) == (count, 8_000_000, TABLES)


def test_collisions_of_a_crowd_are_counted_without_looking_at_pairs() -> None:
    """4 x 10^11 of them."""
    rows = np.ones((200_000, 2), dtype=np.float32)
    model = BucketedRandomProjectionLSHModel(1.0, 10, 42, 2)
    assert model.analyze_similarity_join(rows, rows)[0] == 10 * 200_000**2


# ---- sketches of buckets ---------------------------------------------------------------


def sketch_of(*parts: NDArray[Any], width: int = 500_000) -> BucketSketch:
    sketch = BucketSketch(MODEL, width)
    for part in parts:
        sketch.add(part)
    return sketch


def test_sketches_bound_how_often_two_sides_collide() -> None:
    exact = int(oracle.collisions(buckets(A), buckets(B)).sum())
    totals = len(A) * len(B) * TABLES**2
    for width in (1, 10, 100, 1000, 10_000):
        size = sketch_of(A, width=width).join_size(sketch_of(B, width=width))
        assert exact <= size <= exact + math.e / width * totals
    assert sketch_of(A).join_size(sketch_of(B)) == exact
    assert sketch_of(A, width=1).join_size(sketch_of(B, width=1)) == totals


def test_parts_may_be_added_or_merged() -> None:
    whole, parts = sketch_of(A, width=50), sketch_of(A[:300], A[300:], width=50)
    merged = sketch_of(A[300:], width=50)
    merged.merge(sketch_of(A[:300], width=50))
    other = sketch_of(B, width=50)
    assert len(whole) == len(parts) == len(merged) == len(A)
    assert whole.join_size(other) == parts.join_size(other) == merged.join_size(other)
    assert whole.nbytes == 800
    assert repr(whole) == "BucketSketch(700 rows, 800 bytes)"
    assert whole.model is MODEL


def test_many_rows_are_hashed_a_few_at_a_time() -> None:
    model = BucketedRandomProjectionLSHModel(0.5, 3_000, 42, 2)  # 349 rows at once
    rows = RNG.standard_normal((800, 2))
    sketch = BucketSketch(model, 200_000)
    sketch.add(rows)
    assert len(sketch) == 800
    exact = model.analyze_similarity_join(rows, rows)[0]
    most = exact + math.e / 200_000 * (800 * 3_000) ** 2
    assert exact <= sketch.join_size(sketch) <= most
    with pytest.raises(errors.InvalidVectorError) as caught:
        sketch.add(np.vstack([rows, [[0.0, np.nan]]]))
    assert caught.value.row == 800


def test_sketches_that_cannot_be_compared_are_refused() -> None:
    other_model = BucketedRandomProjectionLSHModel(0.7, TABLES, 43, 10)
    sketch = sketch_of(A, width=50)
    for call in (sketch.join_size, sketch.merge):
        with pytest.raises(errors.SchemeMismatchError, match="seed=43"):
            call(BucketSketch(other_model, 50))
        with pytest.raises(errors.DimensionError, match="50 and 60"):
            call(sketch_of(B, width=60))
        with pytest.raises(errors.InputTypeError, match="BucketSketch"):
            call(A)  # type: ignore[arg-type]
    assert len(sketch) == len(A)
    with pytest.raises(errors.InputTypeError, match=r"^model\b"):
        BucketSketch(BucketedRandomProjectionLSH())  # type: ignore[arg-type]
    for width, error in ((0, VALUE), (2**60, VALUE), (2.5, TYPE)):
        with pytest.raises(error, match=r"^width\b"):
            BucketSketch(MODEL, width)  # type: ignore[arg-type]


def test_models_with_vectors_of_their_own_are_told_apart() -> None:
    """They have no seed that would name their vectors; indexes are refused as well."""
    rows = np.eye(2)
    models = [_restore_given(1.0, np.roll(rows, i, axis=0)[:1]) for i in (0, 1, 0)]
    assert repr(models[0]) == repr(models[1])
    for at, other in enumerate(models):
        sketch, index = BucketSketch(models[0], 9), models[0].index(rows)
        if at == 1:
            with pytest.raises(errors.SchemeMismatchError):
                sketch.join_size(BucketSketch(other, 9))
            with pytest.raises(errors.SchemeMismatchError):
                index.similarity_join(other.index(rows), threshold=1.0)
        else:
            assert sketch.join_size(BucketSketch(other, 9)) == 0
            found = index.similarity_join(other.index(rows), threshold=1.0)
            assert len(found) == 2


def test_the_package_names_the_sketch() -> None:
    assert fast_lsh_ann.BucketSketch is BucketSketch
