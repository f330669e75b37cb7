"""On random cases the library gives what the naive program gives, bit by bit.

400 cases, the same every time; `--hypothesis-profile deep` draws 5,000 new ones.
"""

from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import cases
import fast_lsh_ann
import numpy as np
import oracle
import pytest
from cases import Case
from checks import (
    assert_same_array,
    assert_same_lists,
    assert_same_neighbors,
    assert_same_pairs,
    assert_same_triples,
)
from fast_lsh_ann.index import Plan
from hypothesis import given, settings
from numpy.typing import NDArray

PLANS: tuple[Plan, ...] = ("auto", "dense", "bucket", "gather")


class Subject:
    """A case's model and index, and the oracle's view of who collides with whom."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.model = fast_lsh_ann.BucketedRandomProjectionLSH(
            case.bucket_length,
            case.tables,
            case.seed,
            num_hashes_per_table=case.hashes,
            projection=case.projection,
        ).create_model(case.dim)
        self._vectors, self._offsets = case.functions()
        self._hashes: dict[int, NDArray[np.int64]] = {}

    @cached_property
    def index(self) -> fast_lsh_ann.LSHIndex:
        return self.model.index(self.case.base.given)

    @cached_property
    def base(self) -> Any:
        """One object, which twice is a self-join."""
        return self.case.base.given

    def hashes(self, side: cases.Side) -> NDArray[np.int64]:
        """Buckets [n, tables], or [n, tables, hashes]."""
        if id(side) not in self._hashes:
            case = self.case
            found = oracle.buckets(
                side.rows, self._vectors, case.bucket_length, self._offsets
            )
            shape = (-1, case.tables, case.hashes)
            self._hashes[id(side)] = found if case.hashes == 1 else found.reshape(shape)
        return self._hashes[id(side)]

    def first_beyond(self, side: cases.Side) -> int | None:
        """The first row with a bucket beyond int64."""
        found = oracle.projections(
            side.rows, self._vectors, self.case.bucket_length, self._offsets
        )
        bad = ~((found >= -(2.0**63)) & (found < 2.0**63)).all(axis=1)
        return int(np.argmax(bad)) if bad.any() else None

    def collisions(self, left: cases.Side, right: cases.Side) -> NDArray[np.int64]:
        return oracle.collisions(self.hashes(left), self.hashes(right))

    def candidates(self, left: cases.Side, right: cases.Side) -> NDArray[np.bool_]:
        return self.collisions(left, right) >= self.case.min_collisions


def everyone(left: cases.Side, right: cases.Side) -> NDArray[np.bool_]:
    return np.ones((len(left.rows), len(right.rows)), dtype=bool)


# ---- neighbors -------------------------------------------------------------------------


def check_neighbors(subject: Subject) -> None:
    case, model, index = subject.case, subject.model, subject.index
    base, queries, k = case.base, case.queries, case.k
    least: Any = {"min_collisions": case.min_collisions}
    candidates = subject.candidates(queries, base)
    answer = oracle.nearest_neighbors(base.rows, queries.rows, k, candidates)
    for plan in PLANS:
        found = index.nearest_neighbors(queries.given, k, plan=plan, **least)
        assert_same_neighbors(found, answer, plan)
    lists = list(oracle.as_lists(answer))
    assert list(found) == lists
    assert lists == model.batch_approx_nearest_neighbors(
        base.given, queries.given, k, **least
    )
    for query, hits in zip(queries.rows[:2], lists, strict=False):
        assert hits == model.approx_nearest_neighbors(base.given, query, k, **least)
    answer = oracle.nearest_neighbors(base.rows, queries.rows, k, everyone(queries, base))
    assert_same_neighbors(
        index.nearest_neighbors(queries.given, k, exact=True), answer, "exact"
    )


def check_exact_neighbors(case: Case) -> None:
    every = everyone(case.queries, case.base)
    answer = oracle.nearest_neighbors(case.base.rows, case.queries.rows, case.k, every)
    found = fast_lsh_ann.exact_nearest_neighbors(
        case.base.given, case.queries.given, case.k
    )
    assert_same_neighbors(found, answer, "exact_nearest_neighbors")


def check_radius(subject: Subject) -> None:
    case, index = subject.case, subject.index
    base, queries = case.base, case.queries
    # One for each query, too: what their neighbors lie at, so that equality matters.
    own = np.resize([case.threshold, 0.0, np.inf, 1.5], len(queries.rows))
    for radius in (case.threshold, own):
        sides = (base.rows, queries.rows, radius)
        candidates = subject.candidates(queries, base)
        answer = oracle.radius_neighbors(*sides, candidates, strict=case.strict)
        for plan in PLANS:
            found = index.radius_neighbors(
                queries.given,
                radius,
                min_collisions=case.min_collisions,
                strict=case.strict,
                plan=plan,
            )
            assert_same_lists(found, answer, plan)
        every = everyone(queries, base)
        answer = oracle.radius_neighbors(*sides, every, strict=case.strict)
        found = index.radius_neighbors(
            queries.given, radius, exact=True, strict=case.strict
        )
        assert_same_lists(found, answer, "exact")


# ---- joins -----------------------------------------------------------------------------


def check_parts(index: fast_lsh_ann.LSHIndex, answer: oracle.Pairs, asked: Any) -> None:
    """The same join counted, and in chunks."""
    assert index.similarity_join_count(**asked) == len(answer.left)
    size = len(answer.left) // 3 + 1
    chunks = list(index.similarity_join_chunks(**asked, chunk_size=size))
    assert [len(chunk) for chunk in chunks[:-1]] == [size] * (len(chunks) - 1)
    assert len(chunks) == 0 or 0 < len(chunks[-1]) <= size
    for column, name in zip(answer, ("left", "right", "distances"), strict=True):
        parts = [getattr(chunk, name) for chunk in chunks] or [column[:0]]
        assert_same_array(np.concatenate(parts), column, f"chunks of {name}")


def check_two_sided_join(subject: Subject) -> None:
    case, model, index = subject.case, subject.model, subject.index
    base, other = case.base, case.other
    asked: Any = {"min_collisions": case.min_collisions, "strict": case.strict}
    candidates = subject.candidates(base, other)
    answer = oracle.similarity_join(
        base.rows, other.rows, case.threshold, candidates, strict=case.strict
    )
    triples = model.approx_similarity_join(
        base.given, other.given, case.threshold, **asked
    )
    assert_same_triples(triples, answer)
    asked["threshold"] = case.threshold
    for right in (other.given, model.index(other.given)):
        for plan in PLANS:
            assert_same_pairs(
                index.similarity_join(right, plan=plan, **asked), answer, plan
            )
        check_parts(index, answer, {"other": right, **asked})


def check_self_join(subject: Subject) -> None:
    case, model, index, base = subject.case, subject.model, subject.index, subject.base
    asked: Any = {
        "min_collisions": case.min_collisions,
        "strict": case.strict,
        "self_pairs": case.self_pairs,
    }
    answer = oracle.similarity_join(
        case.base.rows,
        case.base.rows,
        case.threshold,
        subject.candidates(case.base, case.base),
        strict=case.strict,
        upper=case.self_pairs == "upper",
    )
    triples = model.approx_similarity_join(base, base, case.threshold, **asked)
    assert_same_triples(triples, answer)
    asked["threshold"] = case.threshold
    for plan in PLANS:
        assert_same_pairs(index.similarity_join(plan=plan, **asked), answer, plan)
    check_parts(index, answer, asked)


def check_sketch(subject: Subject) -> None:
    """The join by a sketch, either way round and of one side; and how rows collide."""
    case, model, base = subject.case, subject.model, subject.base
    other = case.other.given
    for left, right, rows in (
        (case.base, case.other, (base, other)),
        (case.other, case.base, (other, base)),
        (case.base, case.base, (base, base)),
    ):
        self_pairs = case.self_pairs if left is right else "all"
        answer = oracle.similarity_join(
            left.rows,
            right.rows,
            case.threshold,
            subject.candidates(left, right),
            strict=case.strict,
            upper=self_pairs == "upper",
        )
        for width in (1, 500, None):
            triples = model.approx_similarity_join_cms(
                *rows,
                case.threshold,
                case.min_collisions,
                width,
                strict=case.strict,
                self_pairs=self_pairs,
            )
            assert_same_triples(triples, answer, f"sketch of {width}")
        count = subject.collisions(left, right).sum()
        assert model.analyze_similarity_join(*rows) == (count, 8_000_000, case.tables)
    check_bucket_sketch(subject)


def check_bucket_sketch(subject: Subject) -> None:
    case = subject.case
    sketches = [fast_lsh_ann.BucketSketch(subject.model, 100) for _ in range(2)]
    for sketch, side in zip(sketches, (case.base, case.other), strict=True):
        sketch.add(side.given)
    count = subject.collisions(case.base, case.other).sum()
    totals = len(case.base.rows) * len(case.other.rows) * case.tables**2
    assert count <= sketches[0].join_size(sketches[1]) <= totals


def check_exact_joins(case: Case, index: fast_lsh_ann.LSHIndex | None) -> None:
    base, limit, strict = case.base, case.threshold, case.strict
    given_base, given_other = base.given, case.other.given
    every = everyone(base, case.other)
    answer = oracle.similarity_join(
        base.rows, case.other.rows, limit, every, strict=strict
    )
    found = fast_lsh_ann.exact_similarity_join(
        given_base, given_other, limit, strict=strict
    )
    assert_same_pairs(found, answer, "exact_similarity_join")
    if index is not None:
        found = index.similarity_join(
            given_other, threshold=limit, exact=True, strict=strict
        )
        assert_same_pairs(found, answer, "exact")
    upper = case.self_pairs == "upper"
    every = everyone(base, base)
    answer = oracle.similarity_join(
        base.rows, base.rows, limit, every, strict=strict, upper=upper
    )
    found = fast_lsh_ann.exact_similarity_join(
        given_base, given_base, limit, strict=strict, self_pairs=case.self_pairs
    )
    assert_same_pairs(found, answer, "exact self-join")


# ---- hashes ----------------------------------------------------------------------------


def check_hashes(subject: Subject) -> bool:
    """Compare buckets; False where some side has none, because one is beyond int64."""
    model, fits = subject.model, True
    for side in subject.case.sides:
        row = subject.first_beyond(side)
        if row is None:
            hashes = subject.hashes(side)
            assert_same_array(model.transform(side.given), hashes, "transform")
            continue
        fits = False
        for call in (model.transform, model.index):
            with pytest.raises(fast_lsh_ann.errors.BucketRangeError) as raised:
                call(side.given)
            assert raised.value.row == row
    return fits


def features(case: Case, share: float | None) -> Iterator[str]:
    """What the cases together must have had."""
    yield case.kind
    yield f"{case.threads} threads"
    yield f"{case.projection} projections, {case.hashes} hashes"
    for side in case.sides:
        yield side.layout
        dtype = side.rows.dtype
        yield {"i": "integers", "u": "unsigned integers"}.get(dtype.kind, dtype.name)
    named = {
        "no base": len(case.base.rows) == 0,
        "no queries": len(case.queries.rows) == 0,
        "no other side": len(case.other.rows) == 0,
        "k beyond the rows": case.k > len(case.base.rows),
        "all tables must agree": 1 < case.min_collisions == case.tables,
        "some tables must agree": 1 < case.min_collisions < case.tables,
        "threshold 0": case.threshold == 0,
        "threshold infinite": np.isinf(case.threshold),
        "threshold a distance": 0 < case.threshold < np.inf,
        "strict": case.strict,
        "upper": case.self_pairs == "upper",
        "buckets beyond int64": share is None,
        "few candidates": share is not None and 0 < share < 0.05,
        "some candidates": share is not None and 0.05 <= share < 0.9,
        "every pair a candidate": share == 1,
        "one dimension": case.dim == 1,
        "many dimensions": case.dim > 64,
        "two number types": case.base.rows.dtype != case.other.rows.dtype,
    }
    yield from (name for name, holds in named.items() if holds)


FEATURES = {
    *cases.KINDS,
    *cases.LAYOUTS,
    *("integers", "unsigned integers", "float16", "float32", "float64"),
    *(
        f"{p} projections, {k} hashes"
        for p in ("spark", "gaussian")
        for k in (1, 2, 3, 4)
    ),
    *("1 threads", "2 threads", "3 threads", "no base", "no queries", "no other side"),
    *("k beyond the rows", "all tables must agree", "some tables must agree"),
    *("threshold 0", "threshold infinite", "threshold a distance", "strict", "upper"),
    *("buckets beyond int64", "few candidates", "some candidates"),
    *("every pair a candidate", "one dimension", "many dimensions", "two number types"),
}


def check(case: Case) -> float | None:
    """Compare all answers; the share of candidates, None with buckets beyond int64."""
    fast_lsh_ann.set_threads(case.threads)
    subject = Subject(case)
    fits = check_hashes(subject)
    check_exact_neighbors(case)
    check_exact_joins(case, subject.index if fits else None)
    if not fits:
        return None
    check_neighbors(subject)
    check_radius(subject)
    check_two_sided_join(subject)
    check_self_join(subject)
    check_sketch(subject)
    candidates = subject.candidates(case.queries, case.base)
    return float(candidates.mean()) if candidates.size else 0.0


def test_random_cases(capsys: pytest.CaptureFixture[str]) -> None:
    seen: Counter[str] = Counter()

    @given(cases.cases())
    def compare(case: Case) -> None:
        seen.update({"cases", *features(case, check(case))})

    try:
        compare()
    finally:
        fast_lsh_ann.set_threads(None)
    wanted = settings().max_examples
    with capsys.disabled():
        print(f"\n{seen['cases']:,} random cases of {wanted:,}")
    assert seen["cases"] >= wanted
    assert {name for name in FEATURES if seen[name] == 0} == set()
