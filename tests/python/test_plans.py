"""How a search goes about it: what is chosen, what it costs; nothing else shows."""

from typing import Literal

import fast_lsh_ann
import numpy as np
import oracle
import pytest
import workload
from checks import assert_same_neighbors, assert_same_pairs
from fast_lsh_ann.index import Plan

PLANS: tuple[Plan, ...] = ("auto", "dense", "bucket", "gather")


def selective_index(n: int = 4_000) -> tuple[fast_lsh_ann.LSHIndex, workload.Rows]:
    """A model with buckets so short that hardly any rows share one."""
    rows = workload.rows(n, 16)
    model = fast_lsh_ann.BucketedRandomProjectionLSH(0.002, 3, 7).fit(rows)
    return model.index(rows), rows


def test_short_forms_are_used_and_lose_nothing() -> None:
    base = workload.curved_rows()
    queries = base[::1_000] + np.float32(0.01)
    index = workload.index_of(base)
    assert index.explain(exact=True)["short_form"] > 0
    assert index.memory_usage()["short_forms"] > 0
    everything = np.ones((len(queries), len(base)), dtype=bool)
    for k in (1, 10, 300):
        answer = oracle.nearest_neighbors(base, queries, k, everything)
        assert_same_neighbors(index.nearest_neighbors(queries, k, exact=True), answer)


def test_short_forms_are_left_where_they_do_not_pay() -> None:
    noise = np.random.default_rng(3).standard_normal((17_000, 160), dtype=np.float32)
    why = workload.index_of(noise).explain()
    assert why["short_form"] == 0
    assert why["row_bytes"] == 160


def test_rows_far_from_all_others_are_found_beside_short_forms() -> None:
    base = workload.curved_rows()
    base[::997] *= 50  # beyond any quantile that codes are fitted to
    queries = base[::1_994][:6]
    index = workload.index_of(base)
    assert index.explain(exact=True)["short_form"] > 0
    everything = np.ones((len(queries), len(base)), dtype=bool)
    answer = oracle.nearest_neighbors(base, queries, 25, everything)
    assert_same_neighbors(index.nearest_neighbors(queries, 25, exact=True), answer)


def test_a_model_that_selects_little_goes_by_buckets() -> None:
    index, rows = selective_index()
    why = index.explain(100)
    assert why["plan"] == "bucket"
    assert why["candidate_share"] < 0.02
    assert why["bucket_seconds"] < why["dense_seconds"]
    assert index.memory_usage()["runs"] >= 8 * 3 * len(rows)
    assert index.explain(100, plan="dense")["plan"] == "dense"


def test_a_model_that_selects_much_is_scanned() -> None:
    why = workload.index_of(workload.rows(4_000, 16)).explain(100)
    assert why["plan"] == "dense"
    assert why["candidate_share"] > 0.3


@pytest.mark.parametrize("min_collisions", [1, 2, 3])
def test_every_plan_finds_the_same(min_collisions: int) -> None:
    index, rows = selective_index()
    queries = rows[1_800:2_400]
    hashes = oracle.buckets(rows, oracle.unit_vectors(3, 16, 7), 0.002)
    candidates = oracle.collisions(hashes[1_800:2_400], hashes) >= min_collisions
    answer = oracle.nearest_neighbors(rows, queries, 5, candidates)
    for plan in PLANS:
        found = index.nearest_neighbors(
            queries, 5, min_collisions=min_collisions, plan=plan
        )
        assert_same_neighbors(found, answer)


@pytest.mark.parametrize("self_pairs", ["all", "upper"])
def test_chunks_of_a_join_are_the_same_by_every_plan(
    self_pairs: Literal["all", "upper"],
) -> None:
    index, rows = selective_index(1_500)
    other = rows[700:1_300] + np.float32(0.001)
    vectors = oracle.unit_vectors(3, 16, 7)
    hashes, others = (oracle.buckets(side, vectors, 0.002) for side in (rows, other))
    upper = self_pairs == "upper"
    for asked, right, buckets in (
        ({"self_pairs": self_pairs}, rows, hashes),
        ({"other": other}, other, others),
    ):
        answer = oracle.similarity_join(
            rows,
            right,
            4.0,
            oracle.collisions(hashes, buckets) >= 1,
            upper=upper and right is rows,
        )
        assert len(answer.left) > 300
        for plan in PLANS:
            chunks = list(
                index.similarity_join_chunks(
                    threshold=4.0, chunk_size=100, plan=plan, **asked
                )
            )
            found = (
                np.concatenate(column)
                for column in zip(
                    *((chunk.left, chunk.right, chunk.distances) for chunk in chunks),
                    strict=True,
                )
            )
            assert_same_pairs(fast_lsh_ann.Pairs(*found), answer, plan)


def test_many_queries_in_one_big_bucket() -> None:
    rows = np.repeat(workload.rows(400, 16), 40, axis=0)
    model = fast_lsh_ann.BucketedRandomProjectionLSH(0.002, 3, 7).fit(rows)
    index = model.index(rows)
    wanted = index.nearest_neighbors(rows, 7, plan="dense")
    wanted_arrays = (wanted.indices, wanted.distances, wanted.counts)
    assert index.explain()["plan"] == "bucket"
    for plan in PLANS:
        found = index.nearest_neighbors(rows, 7, plan=plan)
        assert_same_neighbors(found, oracle.Neighbors(*wanted_arrays))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"plan": "fast"}, "plan must be one of auto, dense, bucket, gather, got 'fast'"),
        ({"plan": "bucket", "exact": True}, "goes by buckets, which exact=True"),
    ],
)
def test_a_plan_that_is_none_is_refused(
    arguments: dict[str, object], message: str
) -> None:
    index, rows = selective_index(100)
    with pytest.raises(fast_lsh_ann.errors.ParameterError, match=message):
        index.nearest_neighbors(rows, 1, **arguments)  # type: ignore[arg-type]
    with pytest.raises(fast_lsh_ann.errors.ParameterError, match=message):
        index.explain(1, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("dim", [64, 100, 128, 384, 784])
def test_the_default_index_stays_small(dim: int) -> None:
    for rows in (
        workload.rows(2_000, dim),
        workload.curved_rows(17_000, dim),
    ):
        usage = workload.index_of(rows).memory_usage()
        assert usage["runs"] == 0
        assert usage["index"] <= 1.4 * rows.shape[0] * dim
        assert usage["rows"] == rows.nbytes


def test_an_empty_index_explains_itself() -> None:
    index, _ = selective_index(0)
    assert index.explain(5)["plan"] == "dense"
    assert index.memory_usage()["index"] == 0
