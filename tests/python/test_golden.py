"""The library, and the oracle, give what real Spark and the JDK gave."""

import ast
from typing import Any

import fast_lsh_ann
import golden
import numpy as np
import oracle
import pytest
from fast_lsh_ann import errors
from numpy.typing import NDArray
from subjects import Parameters, Subject, library_model

VERSIONS = list(golden.VERSIONS)


def parameters_of(case: dict[str, Any], dim: int) -> Parameters:
    return Parameters(case["w"], case["L"], case["seed"], dim)


# ---- unit vectors ----------------------------------------------------------------------


@pytest.mark.parametrize("profile", oracle.PROFILES)
def test_unit_vectors_have_the_recorded_digests(subject: Subject, profile: str) -> None:
    cases = golden.load("java_random_golden.json")["unit_matrices"]["cases"]
    wrong = []
    for case in cases:
        p = Parameters(
            1.0, case["numHashTables"], int(case["seed"]), case["dim"], profile
        )
        vectors = subject.vectors(p)
        assert vectors.shape == (p.tables, p.dim)
        if (
            golden.fnv1a64(vectors)
            != case["fnv1a64_of_row_major_matrix_le_bytes"][profile]
        ):
            wrong.append(p)
    assert not wrong
    assert len(cases) == 55


def test_small_unit_vectors_have_the_recorded_bits(subject: Subject) -> None:
    cases = golden.load("java_random_golden.json")["unit_matrices"]["cases"]
    checked = 0
    for case in cases:
        if "java11_bits" in case:
            p = Parameters(1.0, case["numHashTables"], int(case["seed"]), case["dim"])
            expected = golden.doubles(case["java11_bits"])
            assert subject.vectors(p).tobytes() == expected.tobytes(), p
            checked += 1
    assert checked == 20


@pytest.mark.parametrize("version", VERSIONS)
def test_matrices_are_those_of_saved_spark_models(subject: Subject, version: str) -> None:
    cases = golden.load(f"spark/{version}/matrices.json")["matrices"]
    wrong = []
    for case in cases:
        w, tables, seed, dim = (
            case[name] for name in ("bucketLength", "numHashTables", "seed", "d")
        )
        p = Parameters(w, tables, seed, dim, golden.VERSIONS[version])
        if golden.sha256(subject.vectors(p)) != case["sha256_le_f8"]:
            wrong.append(p)
    assert not wrong
    assert len(cases) == 160


@pytest.mark.parametrize("run", range(4))
def test_profiles_are_those_of_other_jvm_options(subject: Subject, run: int) -> None:
    recorded = golden.load("spark/profiles/fnv_by_jvm_options.json")[run]
    matches = recorded["info"]["profile_matches_of_55"]
    (profile,) = (name for name, count in matches.items() if count == 55)
    for case in recorded["cases"]:
        p = Parameters(1.0, case["numHashTables"], case["seed"], case["d"], profile)
        assert golden.fnv1a64(subject.vectors(p)) == case["fnv1a64"], p
    assert len(recorded["cases"]) == 55


@pytest.mark.parametrize("version", VERSIONS)
def test_the_matrix_of_a_defaults_only_model(subject: Subject, version: str) -> None:
    defaults = golden.load(f"spark/{version}/defaults.json")["defaults"]
    profile = golden.VERSIONS[version]
    p = Parameters(2.0, 1, defaults["brp_default_seed"], 16, profile)
    expected = golden.doubles(defaults["defaults_matrix"])
    assert subject.vectors(p).tobytes() == expected.tobytes()


# ---- hashes ----------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_hashes_of_ordinary_rows(subject: Subject, version: str) -> None:
    recorded = golden.load(f"spark/{version}/transform.json")["int_hashes"]
    checked = 0
    for key, hashes in recorded.items():
        name, tables, w, seed = golden.parameters(key)
        rows = golden.rows(name)
        p = Parameters(w, tables, seed, rows.shape[1], golden.VERSIONS[version])
        assert subject.hashes(p, rows).tolist() == hashes, key
        checked += len(hashes) * tables
    assert len(recorded) == 15
    assert checked == 10664


# Rows of edge inputs whose hashes are compared, and rows left out of that because they
# are not finite, because a bucket does not fit in int64, or because Spark 4 sums them in
# another order and |h| is so large (from 2e15) that it can show.
EDGE_ROWS = {"spark-3.5.9": (97, 48, 25, 0), "spark-4.3.0": (91, 48, 25, 6)}


@pytest.mark.parametrize("version", VERSIONS)
def test_hashes_of_edge_rows(subject: Subject, version: str) -> None:
    recorded = golden.load(f"spark/{version}/transform.json")["edge_hashes_bits"]
    same = not_finite = beyond_int64 = other_order = 0
    for key, all_hashes in recorded.items():
        name, tables, w, seed = golden.parameters(key)
        if not 0 < 1 / w < np.inf:
            continue
        rows = golden.rows(name)
        p = Parameters(w, tables, seed, rows.shape[1], golden.VERSIONS[version])
        for row, hashes in zip(rows, all_hashes, strict=True):
            if not np.isfinite(row).all():
                not_finite += 1
            elif not golden.fits(hashes):
                beyond_int64 += 1
            elif (
                version == "spark-4.3.0" and np.abs(golden.doubles(hashes)).max() >= 2e15
            ):
                other_order += 1
            else:
                expected = golden.doubles(hashes).astype(np.int64)
                assert subject.hashes(p, row[None, :]).tolist() == [expected.tolist()], (
                    key
                )
                same += 1
    assert (same, not_finite, beyond_int64, other_order) == EDGE_ROWS[version]


@pytest.mark.parametrize("version", VERSIONS)
def test_edge_rows_that_are_not_finite_are_refused(version: str) -> None:
    refused = 0
    for key in golden.load(f"spark/{version}/transform.json")["edge_hashes_bits"]:
        name, tables, w, seed = golden.parameters(key)
        if not 0 < 1 / w < np.inf:
            continue
        model = library_model(Parameters(w, tables, seed, golden.rows(name).shape[1]))
        for row in golden.rows(name):
            if not np.isfinite(row).all():
                with pytest.raises(errors.InvalidVectorError) as caught:
                    model.transform(row[None, :])
                assert caught.value.row == 0
                assert caught.value.column == np.nonzero(~np.isfinite(row))[0][0]
                refused += 1
    assert refused == EDGE_ROWS[version][1]


def test_edge_rows_with_a_bucket_beyond_int64_are_refused_by_row() -> None:
    refused = 0
    recorded = golden.load("spark/spark-3.5.9/transform.json")["edge_hashes_bits"]
    for key, all_hashes in recorded.items():
        name, tables, w, seed = golden.parameters(key)
        rows = golden.rows(name)
        if not 0 < 1 / w < np.inf:
            continue
        model = library_model(Parameters(w, tables, seed, rows.shape[1]))
        for row, hashes in zip(rows, all_hashes, strict=True):
            if np.isfinite(row).all() and not golden.fits(hashes):
                with pytest.raises(errors.BucketRangeError) as caught:
                    model.transform(np.vstack([np.zeros_like(row), row]))
                assert caught.value.row == 1
                refused += 1
    assert refused == EDGE_ROWS["spark-3.5.9"][2]


def test_bucket_lengths_that_spark_takes_and_we_refuse() -> None:
    keys = golden.load("spark/spark-3.5.9/transform.json")["edge_hashes_bits"]
    refused = 0
    for key in keys:
        _, tables, w, seed = golden.parameters(key)
        if not 0 < 1 / w < np.inf:
            with pytest.raises(errors.ParameterError, match="bucket_length"):
                library_model(Parameters(w, tables, seed, 4))
            refused += 1
    assert refused == 2


def test_edge_rows_that_spark_4_sums_in_another_order_hash_as_on_spark_3() -> None:
    """The bits of such buckets depend on the order of the sum; ours is Spark 3's."""
    old = golden.load("spark/spark-3.5.9/transform.json")["edge_hashes_bits"]
    new = golden.load("spark/spark-4.3.0/transform.json")["edge_hashes_bits"]
    different = 0
    for key, hashes in new.items():
        name, tables, w, seed = golden.parameters(key)
        rows = golden.rows(name)
        for row, (mine, theirs) in enumerate(zip(old[key], hashes, strict=True)):
            if np.isfinite(rows[row]).all() and golden.fits(mine) and mine != theirs:
                assert np.abs(golden.doubles(theirs)).max() >= 2e15
                model = library_model(Parameters(w, tables, seed, rows.shape[1]))
                expected = golden.doubles(mine).astype(np.int64).tolist()
                assert model.transform(rows[row][None, :]).tolist() == [expected], key
                different += 1
    assert different == 2


# ---- nearest neighbors -----------------------------------------------------------------

Hits = list[tuple[int, float]]


def recorded_hits(case: dict[str, Any]) -> Hits:
    return [(row, golden.from_bits(bits)) for row, bits in case["id_dist"]]


def by_distance(hits: Hits) -> dict[float, set[int]]:
    groups: dict[float, set[int]] = {}
    for row, distance in hits:
        groups.setdefault(distance, set()).add(row)
    return groups


def assert_same_hits(case: dict[str, Any], found: Hits, expected: Hits) -> None:
    """Equal distances, and equal rows at each distance.

    Equal order too where one partition was sorted whole.  Otherwise Spark's top-k leaves
    ties in any order, and a tie that k cuts through may hold any of its rows.
    """
    assert [d for _, d in found] == [d for _, d in expected], case
    cut = len(expected) == case["k"]
    if case["partitions"] == 1 and not cut:
        assert found == expected, case
    ours, theirs = by_distance(found), by_distance(expected)
    if cut:
        ours.pop(expected[-1][1])
        theirs.pop(expected[-1][1])
    assert ours == theirs, case


def input_rows(case: dict[str, Any]) -> NDArray[np.float64]:
    if "rows" in case:
        return np.array([golden.doubles(row) for row in case["rows"]])
    return golden.rows(case["input"])


@pytest.mark.parametrize("version", VERSIONS)
def test_neighbors_of_ordinary_rows(subject: Subject, version: str) -> None:
    checked = 0
    for case in golden.load(f"spark/{version}/ann.json")["cases"]:
        if case["input"] in ("edge_d4", "sparse_d16"):
            continue
        rows = input_rows(case)
        p = parameters_of(case, rows.shape[1])
        found = subject.neighbors(p, rows, golden.doubles(case["key"]), case["k"])
        assert_same_hits(case, found, recorded_hits(case))
        checked += 1
    assert checked == 62


def edge_key(case: dict[str, Any]) -> str:
    return f"{case['input']}|L={case['L']}|w={case['w']!r}|seed={case['seed']}"


@pytest.mark.parametrize("version", VERSIONS)
def test_neighbors_of_edge_rows(subject: Subject, version: str) -> None:
    """Over the rows Spark and we treat alike; k is larger than their number."""
    checked = 0
    for case in golden.load(f"spark/{version}/ann.json")["cases"]:
        if case["input"] not in ("edge_d4", "sparse_d16"):
            continue
        rows = golden.rows(case["input"])
        sparse_key = isinstance(case["key"], str)
        query = rows[5] if sparse_key else golden.doubles(case["key"])
        if not np.isfinite(query).all():
            continue
        kept = golden.comparable_rows(version, edge_key(case))
        p = parameters_of(case, rows.shape[1])
        found = subject.neighbors(p, rows[kept], query, case["k"])
        renamed = [(kept[row], distance) for row, distance in found]
        expected = [hit for hit in recorded_hits(case) if hit[0] in kept]
        assert expected
        assert_same_hits(case, renamed, expected)
        checked += 1
    assert checked == 8


def test_neighbor_keys_that_are_not_finite_are_refused() -> None:
    refused = 0
    for case in golden.load("spark/spark-3.5.9/ann.json")["cases"]:
        if case["input"] == "edge_d4":
            query = golden.doubles(case["key"])
            if not np.isfinite(query).all():
                model = library_model(parameters_of(case, 4))
                with pytest.raises(errors.InvalidVectorError, match="query"):
                    model.approx_nearest_neighbors(np.zeros((3, 4)), query, case["k"])
                refused += 1
    assert refused == 4


# ---- joins -----------------------------------------------------------------------------


def join_sides(name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The two sides of a recorded join; one object twice for a self-join."""
    normal, grid = golden.rows("normal_d16"), golden.rows("grid_d2")
    first = normal[:100]
    if name.startswith("normal_d16[:100] x normal_d16[100:]"):
        return first, normal[100:]
    if name.startswith("normal_d16[:100] self"):
        return first, first
    if name.startswith("normal_d16[:100] with an equal second"):
        return first, first.copy()
    assert name == "grid_d2[150:250] self"
    part = grid[150:250]
    return part, part


def recorded_triples(case: dict[str, Any]) -> list[tuple[int, int, float]]:
    return [(a, b, golden.from_bits(bits)) for a, b, bits in case["rows"]]


@pytest.mark.parametrize("version", VERSIONS)
def test_joins_of_ordinary_rows(subject: Subject, version: str) -> None:
    checked = 0
    for case in golden.load(f"spark/{version}/join.json")["cases"]:
        if case["case"].startswith(("edge_d4", "sparse_d16")):
            continue
        left, right = join_sides(case["case"])
        p = parameters_of(case, left.shape[1])
        found = subject.join(p, left, right, golden.from_bits(case["threshold"]))
        assert found == recorded_triples(case), case["case"]
        checked += 1
    assert checked == 10


@pytest.mark.parametrize("version", VERSIONS)
def test_joins_of_edge_rows(subject: Subject, version: str) -> None:
    """Over the rows Spark and we treat alike."""
    checked = 0
    for case in golden.load(f"spark/{version}/join.json")["cases"]:
        name = case["case"].split()[0]
        threshold = golden.from_bits(case["threshold"])
        if name not in ("edge_d4", "sparse_d16") or np.isnan(threshold):
            continue
        kept = golden.comparable_rows(version, edge_key({**case, "input": name}))
        rows = golden.rows(name)[kept]
        p = parameters_of(case, rows.shape[1])
        other = rows.copy() if name == "sparse_d16" else rows
        found = subject.join(p, rows, other, threshold)
        renamed = [(kept[a], kept[b], distance) for a, b, distance in found]
        expected = [t for t in recorded_triples(case) if {t[0], t[1]} <= set(kept)]
        assert expected
        assert renamed == expected, case["case"]
        checked += 1
    assert checked == 4


def test_a_join_threshold_of_nan_is_refused() -> None:
    cases = golden.load("spark/spark-3.5.9/join.json")["cases"]
    (case,) = (c for c in cases if np.isnan(golden.from_bits(c["threshold"])))
    rows = np.zeros((2, 4))
    with pytest.raises(errors.ParameterError, match="threshold"):
        library_model(parameters_of(case, 4)).approx_similarity_join(rows, rows, np.nan)


@pytest.mark.parametrize("version", VERSIONS)
def test_rows_of_equal_content_stay_apart(subject: Subject, version: str) -> None:
    """Spark joins by content when rows carry no id; a row number is an id."""
    recorded = golden.load(f"spark/{version}/join.json")["duplicates"]
    rows = np.array(recorded["rows"])
    p = parameters_of({**recorded}, 4)
    found = subject.join(p, rows, rows, recorded["threshold"])
    contents = {(tuple(rows[a]), tuple(rows[b])) for a, b, _ in found}
    assert len(contents) == recorded["no_id_self_count"] == 5
    assert len(found) == recorded["with_id_self_count"] == 10


# ---- negative zero ---------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_negative_and_positive_zero_are_one_bucket(
    subject: Subject, version: str
) -> None:
    """The one deliberate difference: Spark compares the bits of -0.0 and 0.0."""
    recorded = golden.load(f"spark/{version}/negzero.json")
    rows = np.array([golden.doubles(row) for row in recorded["rows"]])
    p = Parameters(golden.from_bits(recorded["w"]), recorded["L"], recorded["seed"], 4)
    assert {bits for (bits,) in recorded["hashes"]} == {"0" * 16, golden.NEGATIVE_ZERO}
    assert subject.hashes(p, rows).tolist() == [[0]] * 6

    everything = [[a, b] for a in range(6) for b in range(6)]
    found = [[a, b] for a, b, _ in subject.join(p, rows, rows, 10.0)]
    assert found == everything
    assert len(recorded["self_join_pairs_lt_10"]) == 18

    for key in ("0", "2"):
        hits = subject.neighbors(p, rows, rows[int(key)], 10)
        assert sorted(row for row, _ in hits) == list(range(6))
        assert len(recorded["ann_ids_by_key_row"][key]) == 3


# ---- the documentation's example, and what Spark refuses -------------------------------


def test_the_example_of_sparks_documentation(subject: Subject) -> None:
    example = golden.load("java_random_golden.json")["doc_examples"]
    recorded = example["bucketed_seed12345_dim2_L1"]
    p = Parameters(recorded["bucketLength"], 1, 12345, 2)
    assert subject.vectors(p).tolist() == [recorded["unit_vector"]]

    points = {name: ast.literal_eval(name) for name in recorded["hash"]}
    hashes = subject.hashes(p, np.array(list(points.values()), dtype=np.float64))
    assert dict(zip(points, hashes[:, 0].tolist(), strict=True)) == recorded["hash"]
    assert len(points) == 9

    names = {tuple(map(float, point)): name for name, point in points.items()}
    left = np.array([(1, 1), (1, -1), (-1, -1), (-1, 1)], dtype=np.float64)
    right = np.array([(2, 2), (2, 3), (3, 2), (3, 3)], dtype=np.float64)
    found = [
        [names[tuple(left[a])], names[tuple(right[b])], distance]
        for a, b, distance in subject.join(p, left, right, 3.0)
    ]
    assert found == recorded["join_lt_3"]


def refused_calls() -> dict[str, Any]:
    """Calls that Spark refused, by the name of the recorded error, on our surface."""
    estimator = fast_lsh_ann.BucketedRandomProjectionLSH
    model = library_model(Parameters(1.0, 2, 42, 4))
    rows = np.array([[1.0, 2, 3, 4], [0, 1, 0, 1]])
    fraction: Any = 2.5
    return {
        "ann k=0": lambda: model.approx_nearest_neighbors(rows, rows[0], 0),
        "ann k=-1": lambda: model.approx_nearest_neighbors(rows, rows[0], -1),
        "ann k=2.5": lambda: model.approx_nearest_neighbors(rows, rows[0], fraction),
        "ann key wrong dim": lambda: model.approx_nearest_neighbors(rows, [1.0, 2], 1),
        "bucketLength=0.0": lambda: estimator(0.0).create_model(4),
        "bucketLength=-1.0": lambda: estimator(-1.0).create_model(4),
        "bucketLength=nan": lambda: estimator(np.nan).create_model(4),
        "numHashTables=0": lambda: estimator(1.0, 0).create_model(4),
        "numHashTables=-3": lambda: estimator(1.0, -3).create_model(4),
        "numHashTables=2.5": lambda: estimator(1.0, fraction).create_model(4),
        "transform wrong dim (dense)": lambda: model.transform([[1.0, 2.0]]),
        "transform wrong dim (longer)": lambda: model.transform([[1.0] * 5]),
        "join wrong dim between sides": lambda: model.approx_similarity_join(
            rows, [[1.0, 2.0]], 1.0
        ),
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_what_spark_refuses_is_refused(version: str) -> None:
    recorded = golden.load(f"spark/{version}/errors.json")["errors"]
    calls = refused_calls()
    for name, call in calls.items():
        assert "python_type" in recorded[name], name
        with pytest.raises((errors.ParameterError, errors.DimensionError, TypeError)):
            call()
    assert len(calls) == 13


def test_neighbors_in_an_empty_dataset_are_none_as_in_spark() -> None:
    recorded = golden.load("spark/spark-3.5.9/errors.json")["errors"]["ann empty dataset"]
    model = library_model(Parameters(1.0, 2, 42, 4))
    found = model.approx_nearest_neighbors(np.empty((0, 4)), np.ones(4), 1)
    assert repr(found) == recorded["no_error"] == "[]"
