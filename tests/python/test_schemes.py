"""Gaussian projections and tables of several hashes: what is drawn, computed, refused.

Answers of searches are compared with the oracle's in test_oracle.py, over every plan.
"""

import copy
import pickle
from pathlib import Path
from typing import Any

import fast_lsh_ann
import golden
import numpy as np
import oracle
import polars as pl
import pytest
import workload
from checks import assert_same_array, assert_same_lists, assert_same_neighbors
from delta_tables import vectors_of, write_table
from fast_lsh_ann import (
    BucketedRandomProjectionLSH,
    BucketedRandomProjectionLSHModel,
    DeltaLSHProcessor,
)
from fast_lsh_ann.errors import BucketRangeError, InputTypeError, ParameterError

SCHEMES: list[dict[str, Any]] = [
    {"projection": projection, "num_hashes_per_table": hashes}
    for projection in ("spark", "gaussian")
    for hashes in (1, 2, 3, 4)
]
every_scheme = pytest.mark.parametrize(
    "scheme", SCHEMES, ids=lambda s: f"{s['projection']}-{s['num_hashes_per_table']}"
)
SEEDS = golden.load("java_random_golden.json")["seeds"]


def functions_of(
    scheme: dict[str, Any], tables: int, dim: int, seed: int, length: float
) -> tuple[oracle.Floats, oracle.Floats]:
    """The oracle's vectors and offsets, in the shapes the model gives them."""
    hashes = scheme["num_hashes_per_table"]
    offsets = np.zeros(tables * hashes)
    if scheme["projection"] == "gaussian":
        vectors, offsets = oracle.gaussian_functions(tables * hashes, dim, seed, length)
    else:
        vectors = oracle.unit_vectors(tables * hashes, dim, seed)
    shape = (tables,) if hashes == 1 else (tables, hashes)
    return vectors.reshape(*shape, dim), offsets.reshape(shape)


# ---- what is drawn ---------------------------------------------------------------------


@every_scheme
@pytest.mark.parametrize(
    ("tables", "dim", "seed"), [(1, 1, 0), (3, 5, -9), (7, 64, 42), (2, 131, 2**63 - 1)]
)
def test_vectors_and_offsets_are_the_oracles(
    scheme: dict[str, Any], tables: int, dim: int, seed: int
) -> None:
    model = BucketedRandomProjectionLSHModel(0.7, tables, seed, dim, **scheme)
    vectors, offsets = functions_of(scheme, tables, dim, seed, 0.7)
    assert_same_array(model.random_vectors, vectors, "vectors")
    assert_same_array(model.offsets, offsets, "offsets")
    assert not model.random_vectors.flags.writeable
    assert not model.offsets.flags.writeable
    assert (model.offsets < 0.7).all()
    assert (model.offsets > 0).any() == (scheme["projection"] == "gaussian")


@pytest.mark.parametrize("recorded", SEEDS, ids=[case["seed"] for case in SEEDS])
def test_gaussian_vectors_begin_with_the_draws_of_the_jdk(recorded: Any) -> None:
    wanted = [golden.from_bits(draw["bits"]) for draw in recorded["nextGaussian"]]
    model = BucketedRandomProjectionLSHModel(
        1.0, 1, int(recorded["seed"]), len(wanted), projection="gaussian"
    )
    assert model.random_vectors[0].tolist() == wanted


@every_scheme
def test_fewer_tables_are_a_prefix_of_more(scheme: dict[str, Any]) -> None:
    rows = workload.rows(50, 9)
    many = BucketedRandomProjectionLSHModel(0.5, 7, 3, 9, **scheme).transform(rows)
    few = BucketedRandomProjectionLSHModel(0.5, 4, 3, 9, **scheme).transform(rows)
    np.testing.assert_array_equal(few, many[:, :4])


# ---- buckets ---------------------------------------------------------------------------


@every_scheme
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e-44, 1e-20, 1e-7, 1.0, 1e6, 1e15, 1e25, 3e37])
def test_buckets_of_rows_of_any_size(
    scheme: dict[str, Any], dtype: type[Any], size: float
) -> None:
    """With rows that float32 serves, rows that it does not, buckets of all sizes."""
    tables, dim, seed = 5, 21, 11
    rows = (np.random.default_rng(3).uniform(-1, 1, (40, dim)) * size).astype(dtype)
    for length in (size * 1e-14, size * 1e-7, size, size * 1e3, 1.0):
        vectors, offsets = functions_of(scheme, tables, dim, seed, length)
        values = oracle.projections(rows, vectors, length, offsets)
        model = BucketedRandomProjectionLSHModel(length, tables, seed, dim, **scheme)
        if np.abs(values).max() < 2.0**62:
            found = model.transform(rows)
            assert_same_array(found, values.astype(np.int64), f"length {length}")
        elif np.abs(values).max() > 2.0**64:
            with pytest.raises(BucketRangeError, match="hash table"):
                model.transform(rows)


@every_scheme
def test_a_bucket_beyond_int64_is_named_by_its_table(scheme: dict[str, Any]) -> None:
    vectors, offsets = functions_of(scheme, 6, 8, 3, 1e-6)
    rows = np.random.default_rng(4).standard_normal((400, 8))
    values = oracle.projections(rows, vectors, 1e-6, offsets).reshape(400, -1)
    sizes = np.sort(np.abs(values))
    alone = (sizes[:, -2] < 0.6 * sizes[:, -1]) & (np.abs(values).argmax(axis=1) > 3)
    row = int(np.flatnonzero(alone)[0])
    table = int(np.abs(values[row]).argmax()) // scheme["num_hashes_per_table"]
    model = BucketedRandomProjectionLSHModel(1e-6, 6, 3, 8, **scheme)
    beyond = rows[row : row + 1] * (2.0**63.3 / sizes[row, -1])
    with pytest.raises(BucketRangeError, match=f"of hash table {table} does not"):
        model.transform(beyond)


def test_rows_whose_sum_with_an_offset_overflows_are_named() -> None:
    """Both are finite: only the search of a fault or the bound could miss it."""
    model = BucketedRandomProjectionLSHModel(1.7e308, 2000, 5, 1, projection="gaussian")
    steep = np.abs(model.random_vectors[:, 0])
    largest = int(np.argmax(model.offsets * (steep > 0.7 * steep.max())))
    rows = np.zeros((5_000, 1))  # so many that no sample has every other row
    rows[71] = 0.45e308 / model.random_vectors[largest, 0]
    assert np.isinf(0.45e308 + float(model.offsets[largest]))
    for call in (model.transform, model.index):
        with pytest.raises(BucketRangeError, match="row 71: bucket inf"):
            call(rows)


def test_a_table_of_several_hashes_has_those_of_as_many_tables() -> None:
    rows = workload.rows(80, 16)
    for projection in ("spark", "gaussian"):
        options: dict[str, Any] = {"projection": projection}
        flat = BucketedRandomProjectionLSHModel(0.4, 12, 5, 16, **options)
        nested = BucketedRandomProjectionLSHModel(
            0.4, 4, 5, 16, num_hashes_per_table=3, **options
        )
        found = nested.transform(rows)
        assert found.shape == (80, 4, 3)
        np.testing.assert_array_equal(found.reshape(80, 12), flat.transform(rows))
        assert nested.transform(rows[:0]).shape == (0, 4, 3)


# ---- searches --------------------------------------------------------------------------


@every_scheme
@pytest.mark.parametrize("min_collisions", [1, 2])
def test_every_plan_of_a_selective_model_finds_the_same(
    scheme: dict[str, Any], min_collisions: int
) -> None:
    """600 queries: blocks of them, and runs that many of them share."""
    rows = np.repeat(workload.rows(1_000, 16), 4, axis=0)
    queries = rows[1_800:2_400]
    length = {1: 0.002, 2: 0.08, 3: 0.3, 4: 0.55}[scheme["num_hashes_per_table"]]
    length *= 4 if scheme["projection"] == "gaussian" else 1
    model = BucketedRandomProjectionLSHModel(length, 3, 7, 16, **scheme)
    vectors, offsets = functions_of(scheme, 3, 16, 7, length)
    hashes = oracle.buckets(rows, vectors, length, offsets)
    candidates = oracle.collisions(hashes[1_800:2_400], hashes) >= min_collisions
    index = model.index(rows)
    why = index.explain(600)
    assert why["plan"] == "bucket"
    share = (oracle.collisions(hashes, hashes) > 0).mean()
    assert share / 2 < why["candidate_share"] < share * 2
    neighbors = oracle.nearest_neighbors(rows, queries, 5, candidates)
    lists = oracle.radius_neighbors(rows, queries, 3.5, candidates)
    for plan in workload.PLANS:
        asked: dict[str, Any] = {"min_collisions": min_collisions, "plan": plan}
        found = index.nearest_neighbors(queries, 5, **asked)
        assert_same_neighbors(found, neighbors, plan)
        within = index.radius_neighbors(queries, 3.5, **asked)
        assert_same_lists(within, lists, plan)


def test_more_hashes_leave_fewer_candidates() -> None:
    rows = workload.rows(3_000, 16)
    shares = []
    for hashes in (1, 2, 3, 4):
        model = BucketedRandomProjectionLSHModel(
            2.0, 5, 42, 16, num_hashes_per_table=hashes
        )
        shares.append(model.index(rows).explain()["candidate_share"])
    assert shares == sorted(shares, reverse=True)
    assert shares[3] < shares[0] / 3


def test_kept_buckets_and_runs_are_counted() -> None:
    rows = workload.rows(1_000, 64)
    wide = BucketedRandomProjectionLSHModel(2.0, 4, 42, 64, num_hashes_per_table=3)
    assert wide.index(rows).memory_usage()["buckets"] == 1_024 * 4 * 3
    narrow = BucketedRandomProjectionLSHModel(0.2, 4, 42, 64, num_hashes_per_table=3)
    usage = narrow.index(rows).memory_usage()
    distinct = sum(
        len(np.unique(table, axis=0))
        for table in np.moveaxis(narrow.transform(rows), 1, 0)
    )
    assert usage["runs"] == 4 * 1_000 * 8 + distinct * (3 * 8 + 4)


def test_indexes_of_different_schemes_are_not_joined() -> None:
    rows = workload.rows(20, 8)
    indexes = [
        BucketedRandomProjectionLSHModel(2.0, 2, 42, 8, **scheme).index(rows)
        for scheme in SCHEMES
    ]
    for index in indexes[1:]:
        with pytest.raises(ParameterError, match="different models"):
            indexes[0].similarity_join(index, threshold=1.0)


# ---- objects ---------------------------------------------------------------------------


@every_scheme
@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))]
)
def test_copies_and_pickles_answer_alike(duplicate: Any, scheme: Any) -> None:
    lsh = duplicate(BucketedRandomProjectionLSH(0.3, 4, -5, **scheme))
    model = BucketedRandomProjectionLSHModel(0.3, 4, -5, 16, **scheme)
    rows = workload.rows(30, 16)
    for again in (duplicate(model), lsh.create_model(16), lsh.fit(rows)):
        assert repr(again) == repr(model)
        assert again.projection == scheme["projection"]
        assert again.num_hashes_per_table == scheme["num_hashes_per_table"]
        assert_same_array(again.transform(rows), model.transform(rows), "buckets")


def test_only_what_is_not_the_default_is_shown_and_pickled() -> None:
    usual = BucketedRandomProjectionLSHModel(2.0, 5, 42, 128)
    assert "projection" not in repr(usual)
    assert "num_hashes_per_table" not in repr(usual)
    other = BucketedRandomProjectionLSHModel(2.0, 5, 42, 128, num_hashes_per_table=2)
    assert "num_hashes_per_table=2, dim=128" in repr(other)
    assert b"num_hashes_per_table" in pickle.dumps(other)
    assert b"projection" not in pickle.dumps(other)
    assert len(pickle.dumps(usual)) <= 84


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"projection": "cosine"},
            ParameterError,
            "one of spark, gaussian, got 'cosine'",
        ),
        ({"projection": None}, ParameterError, "projection must be one of"),
        ({"num_hashes_per_table": 0}, ParameterError, "num_hashes_per_table.* got 0"),
        ({"num_hashes_per_table": 2.5}, InputTypeError, "num_hashes_per_table"),
        ({"num_hashes_per_table": 2**70}, ParameterError, "at most 67108864"),
        (
            {"projection": "gaussian", "spark_profile": "vector8"},
            ParameterError,
            "spark_profile='vector8' is about Spark's unit vectors",
        ),
    ],
)
def test_bad_parameters(options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        BucketedRandomProjectionLSH(2.0, 5, 42, **options)
    with pytest.raises(error, match=message):
        BucketedRandomProjectionLSHModel(2.0, 5, 42, 16, **options)


def test_the_number_of_coordinates_has_a_limit() -> None:
    options: dict[str, Any] = {"num_hash_tables": 2**10, "num_hashes_per_table": 2**10}
    lsh = BucketedRandomProjectionLSH(2.0, **options)
    with pytest.raises(ParameterError, match="67108864, got 1024 x 1024 x 65"):
        lsh.create_model(65)


# ---- Delta -----------------------------------------------------------------------------


@every_scheme
def test_delta_columns_are_the_models_hashes(scheme: Any, tmp_path: Path) -> None:
    rows = vectors_of(30)
    table = write_table(tmp_path / "t", rows)
    processor = DeltaLSHProcessor(0.5, 3, 7, **scheme)
    assert str(scheme["num_hashes_per_table"]) in repr(processor) or (
        scheme["num_hashes_per_table"] == 1
    )
    found = processor.transform_delta(table)
    hashes = BucketedRandomProjectionLSHModel(0.5, 3, 7, 4, **scheme).transform(rows)
    names = [
        "_".join(map(str, ("hash", *place))) for place in np.ndindex(hashes.shape[1:])
    ]
    assert names[-1] == (
        "hash_2" if hashes.ndim == 2 else f"hash_2_{hashes.shape[2] - 1}"
    )
    assert found.columns == [*names, "id"]
    flat = hashes.reshape(len(rows), -1)
    assert found.sort("id").select(names).to_numpy().tolist() == flat.tolist()
    empty = write_table(tmp_path / "empty", rows[:0])
    assert processor.transform_delta(empty).columns == found.columns


def test_delta_joins_go_by_all_hashes_and_commits_name_them(tmp_path: Path) -> None:
    import deltalake

    rows = vectors_of(60)
    table = write_table(tmp_path / "t", rows)
    scheme: Any = {"projection": "gaussian", "num_hashes_per_table": 2}
    processor = DeltaLSHProcessor(3.0, 2, 7, **scheme)
    vectors, offsets = functions_of(scheme, 2, 4, 7, 3.0)
    hashes = oracle.buckets(rows, vectors, 3.0, offsets)
    candidates = oracle.collisions(hashes, hashes) > 0
    pairs = oracle.similarity_join(rows, rows, 2.0, candidates)
    assert 60 < len(pairs.left) < (oracle.distances(rows, rows) <= 2.0).sum()
    found = processor.similarity_join_delta(table, table, 2.0)
    assert sorted(found) == list(zip(*(column.tolist() for column in pairs), strict=True))
    out = tmp_path / "out"
    processor.transform_and_save(table, out)
    assert pl.read_delta(str(out)).width == 5
    commit = deltalake.DeltaTable(out).history(1)[0]
    assert commit["fast_lsh_ann.scheme"] == "gaussian"
    assert commit["fast_lsh_ann.num_hashes_per_table"] == "2"
    assert commit["fast_lsh_ann.version"] == fast_lsh_ann.__version__
