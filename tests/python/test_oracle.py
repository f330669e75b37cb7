"""On 700 random cases the library gives what the naive program gives, bit by bit."""

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
from numpy.typing import NDArray

CASES, VARIANTS = 500, 200


class Expected:
    """The oracle's view of a case: who collides with whom."""

    def __init__(self, case: Case) -> None:
        sides = np.split(
            case.buckets(np.concatenate([case.base, case.queries, case.other])),
            np.cumsum([len(case.base), len(case.queries)]),
        )
        self.hashes, self._queries, self._other = sides
        self._case = case

    def candidates(self, left: str, right: str) -> NDArray[np.bool_]:
        sides = {"base": self.hashes, "queries": self._queries, "other": self._other}
        count = oracle.collisions(sides[left], sides[right])
        return count >= self._case.min_collisions


def model_of(case: Case) -> fast_lsh_ann.BucketedRandomProjectionLSHModel:
    return fast_lsh_ann.BucketedRandomProjectionLSH(
        case.bucket_length,
        case.tables,
        case.seed,
        num_hashes_per_table=case.hashes,
        projection=case.projection,
    ).create_model(case.dim)


def check_neighbors(case: Case, expected: Expected) -> None:
    model, least = model_of(case), case.min_collisions
    candidates = expected.candidates("queries", "base")
    answer = oracle.nearest_neighbors(case.base, case.queries, case.k, candidates)
    index = model.index(case.base)
    found = index.nearest_neighbors(case.queries, case.k, min_collisions=least)
    assert_same_neighbors(found, answer)
    for plan in ("dense", "bucket", "gather"):
        found = index.nearest_neighbors(
            case.queries, case.k, min_collisions=least, plan=plan
        )
        assert_same_neighbors(found, answer)

    lists = list(oracle.as_lists(answer))
    assert list(found) == lists
    assert lists == model.batch_approx_nearest_neighbors(
        case.base, case.queries, case.k, min_collisions=least
    )
    for query, hits in zip(case.queries[:2], lists, strict=False):
        assert hits == model.approx_nearest_neighbors(
            case.base, query, case.k, min_collisions=least
        )

    everything = np.ones_like(candidates)
    answer = oracle.nearest_neighbors(case.base, case.queries, case.k, everything)
    assert_same_neighbors(
        index.nearest_neighbors(case.queries, case.k, exact=True), answer
    )
    exact = fast_lsh_ann.exact_nearest_neighbors(case.base, case.queries, case.k)
    assert_same_neighbors(exact, answer)


def check_parts(
    index: fast_lsh_ann.LSHIndex, case: Case, answer: oracle.Pairs, **sides: Any
) -> None:
    """The same join counted, and in chunks."""
    asked = {
        "threshold": case.threshold,
        "min_collisions": case.min_collisions,
        "strict": case.strict,
        **sides,
    }
    assert index.similarity_join_count(**asked) == len(answer.left)
    size = len(answer.left) // 3 + 1
    chunks = list(index.similarity_join_chunks(**asked, chunk_size=size))
    assert [len(chunk) for chunk in chunks[:-1]] == [size] * (len(chunks) - 1)
    assert len(chunks) == 0 or 0 < len(chunks[-1]) <= size
    for column, name in zip(answer, ("left", "right", "distances"), strict=True):
        parts = [getattr(chunk, name) for chunk in chunks] or [column[:0]]
        assert_same_array(np.concatenate(parts), column, f"chunks of {name}")


def check_two_sided_join(case: Case, expected: Expected) -> None:
    model = model_of(case)
    candidates = expected.candidates("base", "other")
    sides = (case.base, case.other, case.threshold)
    answer = oracle.similarity_join(*sides, candidates, strict=case.strict)
    index = model.index(case.base)
    for other in (case.other, model.index(case.other)):
        for plan in ("auto", "dense", "bucket", "gather"):
            found = index.similarity_join(
                other,
                threshold=case.threshold,
                min_collisions=case.min_collisions,
                strict=case.strict,
                plan=plan,
            )
            assert_same_pairs(found, answer, plan)
        check_parts(index, case, answer, other=other)
    triples = model.approx_similarity_join(
        *sides, min_collisions=case.min_collisions, strict=case.strict
    )
    assert_same_triples(triples, answer)

    everything = np.ones_like(candidates)
    answer = oracle.similarity_join(*sides, everything, strict=case.strict)
    exact = fast_lsh_ann.exact_similarity_join(*sides, strict=case.strict)
    assert_same_pairs(exact, answer)
    found = index.similarity_join(
        case.other, threshold=case.threshold, exact=True, strict=case.strict
    )
    assert_same_pairs(found, answer)


def check_self_join(case: Case, expected: Expected) -> None:
    model = model_of(case)
    candidates = expected.candidates("base", "base")
    sides = (case.base, case.base, case.threshold)
    upper = case.self_pairs == "upper"
    answer = oracle.similarity_join(*sides, candidates, strict=case.strict, upper=upper)
    index = model.index(case.base)
    found = index.similarity_join(
        threshold=case.threshold,
        min_collisions=case.min_collisions,
        strict=case.strict,
        self_pairs=case.self_pairs,
    )
    assert_same_pairs(found, answer)
    check_parts(index, case, answer, self_pairs=case.self_pairs)
    triples = model.approx_similarity_join(
        *sides,
        min_collisions=case.min_collisions,
        strict=case.strict,
        self_pairs=case.self_pairs,
    )
    assert_same_triples(triples, answer)

    everything = np.ones_like(candidates)
    answer = oracle.similarity_join(*sides, everything, strict=case.strict, upper=upper)
    exact = fast_lsh_ann.exact_similarity_join(
        *sides, strict=case.strict, self_pairs=case.self_pairs
    )
    assert_same_pairs(exact, answer)


def check_radius(case: Case, expected: Expected) -> None:
    index = model_of(case).index(case.base)
    candidates = expected.candidates("queries", "base")
    # One for each query: what their neighbors lie at, so that equality matters.
    own = np.resize([case.threshold, 0.0, np.inf, 1.5], len(case.queries))
    for radius in (case.threshold, own):
        sides = (case.base, case.queries, radius)
        answer = oracle.radius_neighbors(*sides, candidates, strict=case.strict)
        for plan in ("auto", "dense", "bucket", "gather"):
            found = index.radius_neighbors(
                case.queries,
                radius,
                min_collisions=case.min_collisions,
                strict=case.strict,
                plan=plan,
            )
            assert_same_lists(found, answer)
        everything = np.ones_like(candidates)
        answer = oracle.radius_neighbors(*sides, everything, strict=case.strict)
        found = index.radius_neighbors(
            case.queries, radius, exact=True, strict=case.strict
        )
        assert_same_lists(found, answer)


def check(case: Case) -> None:
    expected = Expected(case)
    assert_same_array(model_of(case).transform(case.base), expected.hashes, "transform")
    check_neighbors(case, expected)
    check_radius(case, expected)
    check_two_sided_join(case, expected)
    check_self_join(case, expected)


@pytest.mark.parametrize("number", range(CASES))
def test_random_case(number: int) -> None:
    check(cases.make(number))


@pytest.mark.parametrize("number", range(VARIANTS))
def test_random_case_of_another_scheme(number: int) -> None:
    check(cases.make_variant(number))


def test_the_random_cases_hold_what_they_should() -> None:
    """Each situation the comparison is meant to cover occurs in many cases."""
    seen = [cases.make(number) for number in range(CASES)]

    def count(holds: list[bool]) -> int:
        return sum(holds)

    assert count([len(case.base) == 0 for case in seen]) >= 5
    assert count([len(case.queries) == 0 for case in seen]) >= 5
    assert count([case.k > len(case.base) for case in seen]) >= 50
    assert count([1 < case.min_collisions == case.tables for case in seen]) >= 5
    assert count([case.threshold == 0 for case in seen]) >= 30
    assert count([np.isinf(case.threshold) for case in seen]) >= 30
    assert count([case.bucket_length < 1e-9 for case in seen]) >= 50
    assert count([case.base.dtype != case.other.dtype for case in seen]) >= 100
    assert count([case.dim == 1 for case in seen]) >= 10
    assert count([case.dim > 100 for case in seen]) >= 30
    assert {case.kind for case in seen} == set(cases.KINDS)
    shares = [
        float(Expected(case).candidates("queries", "base").mean())
        for case in seen[:100]
        if len(case.base) and len(case.queries)
    ]
    assert min(shares) < 0.02
    assert max(shares) == 1.0


def test_the_other_schemes_are_all_there() -> None:
    seen = [cases.make_variant(number) for number in range(VARIANTS)]
    kinds = {(case.hashes, case.projection) for case in seen}
    assert kinds == {(h, p) for h in (1, 2, 3, 4) for p in ("spark", "gaussian")} - {
        (1, "spark")
    }
    shares = []
    for case in seen[:100]:
        if len(case.base) and len(case.queries):
            candidates = Expected(case).candidates("queries", "base")
            if 0 < candidates.mean() < 1:
                shares.append((case.hashes, case.min_collisions > 1))
    assert len(shares) >= 40
    assert {(2, False), (3, False), (4, False)} <= set(shares)
    assert any(several for _, several in shares)
