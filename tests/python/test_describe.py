"""Descriptions say what a naive program counts, whatever the table and the order."""

import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import polars as pl
import pyarrow as pa
import pytest
from delta_tables import vectors_of, write_table
from fast_lsh_ann import Description, describe, errors
from fast_lsh_ann._tables.source import BATCH_ROWS
from numpy.typing import NDArray

Rows = NDArray[Any]
WORDS = Path(__file__).parents[2] / "examples" / "data" / "words20k.npy"
SCHEMES: list[dict[str, Any]] = [
    {},
    {"num_hash_tables": 3, "seed": 7},
    {"num_hash_tables": 4, "num_hashes_per_table": 2},
    {"projection": "gaussian", "num_hash_tables": 2},
    {"num_hash_tables": 6, "min_collisions": 3},
]


def hashes_of(rows: Rows, length: float, scheme: dict[str, Any]) -> NDArray[np.int64]:
    """Buckets by the naive program: [n, tables, hashes]."""
    tables = scheme.get("num_hash_tables", 5)
    hashes = scheme.get("num_hashes_per_table", 1)
    seed, dim = scheme.get("seed", 42), rows.shape[1]
    offsets: Any = 0.0
    if scheme.get("projection") == "gaussian":
        vectors, offsets = oracle.gaussian_functions(tables * hashes, dim, seed, length)
    else:
        vectors = oracle.unit_vectors(tables * hashes, dim, seed)
    return oracle.buckets(rows, vectors, length, offsets).reshape(-1, tables, hashes)


def spread(values: Any) -> list[float]:
    """Quantiles as they are defined: the smallest value that so many are at most."""
    ordered = sorted(values)
    shares = (0.05, 0.25, 0.5, 0.75, 0.95)
    inner = [ordered[max(0, int(np.ceil(s * len(ordered))) - 1)] for s in shares]
    return [ordered[0], *inner, ordered[-1]]


def values_of(part: Any) -> list[Any]:
    return list(dataclasses.astuple(part))


def stated(found: Description, *left_out: str) -> dict[str, Any]:
    return {k: v for k, v in found.to_dict().items() if k not in left_out}


# ---- what is exact ---------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i4"])
def test_norms_are_those_of_all_rows(dtype: str) -> None:
    rows = (4 * vectors_of(500, 6) + 1).astype(dtype)
    rows[[3, 77]] = 0
    norms = describe(rows, 1.0).norms
    exact = rows.astype(np.float64)
    lengths = oracle.distances(exact, np.zeros((1, 6)))[:, 0]
    assert norms is not None
    assert values_of(norms.spread) == spread(lengths)
    assert norms.zero_rows == 2
    assert norms.rms == pytest.approx(np.sqrt(np.mean(lengths**2)), rel=1e-12)
    centre = np.linalg.norm(exact.mean(axis=0))
    assert norms.of_mean == pytest.approx(centre, rel=1e-12)


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_sizes_of_buckets_are_those_of_all_rows(scheme: dict[str, Any]) -> None:
    rows = vectors_of(BATCH_ROWS + 3000, 3)
    found = describe(rows, 0.5, sample=50, **scheme).buckets
    assert found is not None
    assert (found.rows, found.exact) == (len(rows), True)
    hashes = hashes_of(rows, 0.5, scheme)
    for table, part in zip(found.tables, np.moveaxis(hashes, 1, 0), strict=True):
        sizes = np.unique(part, axis=0, return_counts=True)[1]
        assert (table.buckets, table.largest) == (len(sizes), sizes.max())
        assert table.largest_share == sizes.max() / len(rows)
        pairs = len(rows) * (len(rows) - 1)
        assert table.collisions == pytest.approx((sizes * (sizes - 1)).sum() / pairs)
        assert values_of(table.sizes) == spread(sizes)


def test_the_order_of_rows_changes_nothing_exact() -> None:
    rows = vectors_of(30_000, 5)
    shuffled = np.random.default_rng(3).permutation(rows)
    one, other = (describe(r, 0.7, sample=100) for r in (rows, shuffled))
    assert one.buckets == other.buckets
    assert one.norms is not None
    assert other.norms is not None
    for mine, theirs in ((one.norms, other.norms),):
        assert mine.spread.min == theirs.spread.min
        assert mine.spread.max == theirs.spread.max
        assert mine.rms == pytest.approx(theirs.rms, rel=1e-12)
        assert mine.of_mean == pytest.approx(theirs.of_mean, rel=1e-9)
    assert one.distances != other.distances  # the sample is another


@pytest.mark.parametrize("power", [1, -3, 20])
def test_a_scale_scales_lengths_and_nothing_else(power: int) -> None:
    rows, scale = vectors_of(3000, 8), np.float32(2.0**power)
    one, other = describe(rows, 0.7), describe(rows * scale, 0.7 * float(scale))
    assert one.buckets == other.buckets
    assert one.search == other.search
    pairs = [
        (one.norms, other.norms, ["spread", "rms", "of_mean"]),
        (one.distances, other.distances, ["nearest", "kth", "random"]),
    ]
    for mine, theirs, names in pairs:
        for name in names:
            part, scaled = getattr(mine, name), getattr(theirs, name)
            if dataclasses.is_dataclass(part):
                assert [v * scale for v in values_of(part)] == values_of(scaled)
            else:
                assert part * scale == scaled
    assert one.projection_std is not None
    assert other.projection_std == one.projection_std * scale


def test_a_table_and_its_rows_in_memory_are_described_alike(tmp_path: Path) -> None:
    rows = vectors_of(2 * BATCH_ROWS + 100, 6).tolist()
    rows[5], rows[9000] = [np.inf] * 6, [1.0, np.nan, 0, 0, 0, 0]
    rows[17], rows[BATCH_ROWS + 3] = None, [1.0, 2.0]
    path = write_table(tmp_path / "table", rows)
    arrow = pa.array(rows, pa.list_(pa.float32()))
    for length in (None, 0.6):
        table, array, column = (
            describe(t, length, sample=999) for t in (path, rows, arrow)
        )
        assert (table.version, array.version) == (0, None)
        assert "Delta table" in table.source
        assert table.dtype == column.dtype == "float32" != array.dtype
        left_out = ("source", "version", "dtype", "norms")
        assert stated(table, *left_out) == stated(array, *left_out)
        assert stated(table, *left_out) == stated(column, *left_out)
        assert table.invalid == array.invalid
        assert values_of(table.invalid) == [2, 1, 1]
        assert table.norms is not None
        assert array.norms is not None
        assert table.norms.spread == array.norms.spread
        assert table.norms.rms == pytest.approx(array.norms.rms, rel=1e-12)


def test_versions_conditions_and_columns_choose_the_rows(tmp_path: Path) -> None:
    rows = vectors_of(60, 4)
    path = write_table(tmp_path / "table", rows[:40], other=[[9.0]] * 40)
    write_table(tmp_path / "table", rows[40:], range(40, 60), other=[[9.0]] * 20)
    assert describe(path).rows == 60
    assert (describe(path, version=0).rows, describe(path, version=0).version) == (40, 0)
    assert describe(path, where="id % 3 = 0").rows == 20
    assert describe(path, embedding_column="other").dim == 1


# ---- what is measured ------------------------------------------------------------------


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
@pytest.mark.parametrize("length", [0.02, 0.4, 3.0])
def test_neighbors_recall_and_candidates_are_counted_right(
    scheme: dict[str, Any], length: float
) -> None:
    rows = vectors_of(240, 7)
    rows[100:130] = rows[:30]  # equal rows are each other's neighbors, not their own
    found = describe(rows, length, **scheme)
    apart = oracle.distances(rows, rows)
    np.fill_diagonal(apart, np.inf)
    nearest = np.sort(apart, axis=1)
    assert (found.sample_rows, found.queries) == (240, 240)
    distances, search = found.distances, found.search
    assert distances is not None
    assert search is not None
    assert values_of(distances.nearest) == spread(nearest[:, 0])
    assert values_of(distances.kth) == spread(nearest[:, 9])
    assert (distances.k, distances.duplicates) == (10, 60 / 240)

    hashes = hashes_of(rows, length, scheme)
    met = oracle.collisions(hashes, hashes) >= scheme.get("min_collisions", 1)
    np.fill_diagonal(met, False)
    assert search.candidate_share == pytest.approx(met.sum() / (240 * 239))
    close = np.argsort(apart, axis=1, kind="stable")[:, :10]
    hits = np.take_along_axis(met, close, axis=1)
    assert search.recall == pytest.approx(hits.mean())
    assert search.recall_nearest == pytest.approx(hits[:, 0].mean())
    error = hits.mean(axis=1).std() / np.sqrt(240)
    bound = max(0.0, hits.mean() - 1.6449 * error)
    assert search.recall_bound == pytest.approx(bound, abs=1e-12)


def test_one_neighbor_more_equal_rows_than_neighbors_and_pairs_at_random() -> None:
    rows = np.repeat(vectors_of(3, 4), 20, axis=0)
    found = describe(rows, 1.0)
    assert found.distances is not None
    assert found.distances.duplicates == 1.0
    assert found.distances.kth.max == 0.0
    apart = np.unique(oracle.distances(rows, rows))
    assert set(values_of(found.distances.random)) <= set(apart.tolist())


def test_random_pairs_are_as_far_apart_as_pairs_are() -> None:
    rows = vectors_of(4000, 16)
    found = describe(rows).distances
    assert found is not None
    assert found.random.min > 0  # no row is paired with itself
    some = oracle.distances(rows[:1000], rows[1000:2000])
    middle = np.quantile(some, [0.25, 0.5, 0.75])
    got = [found.random.p25, found.random.p50, found.random.p75]
    np.testing.assert_allclose(got, middle, rtol=0.03)


@pytest.mark.parametrize("scheme", SCHEMES[:4], ids=str)
def test_projections_spread_as_their_products_do(scheme: dict[str, Any]) -> None:
    rows = vectors_of(2000, 9) * np.float32(3) + np.float32(50)
    found = describe(rows, 1.0, **scheme)
    tables, hashes = (
        scheme.get(n, d) for n, d in (("num_hash_tables", 5), ("num_hashes_per_table", 1))
    )
    functions = tables * hashes
    if scheme.get("projection") == "gaussian":
        vectors = oracle.gaussian_functions(functions, 9, 42, 1.0)[0]
    else:
        vectors = oracle.unit_vectors(functions, 9, scheme.get("seed", 42))
    variances = (rows.astype(np.float64) @ vectors.T).var(axis=0).reshape(tables, hashes)
    expected = np.sqrt(variances.mean(axis=1))
    np.testing.assert_allclose(found.projection_stds, expected, rtol=1e-6)
    assert found.projection_std == pytest.approx(np.sqrt(variances.mean()), rel=1e-6)


def clustered(n: int) -> Rows:
    random = np.random.default_rng(5)
    centres = 3 * random.standard_normal((100, 32))
    rows = centres[random.integers(0, 100, n)] + 0.2 * random.standard_normal((n, 32))
    return rows.astype(np.float32)


DATA: dict[str, Callable[[], Rows]] = {
    "words": lambda: np.random.default_rng(1).permutation(np.load(WORDS)).astype("f4"),
    "gaussian": lambda: vectors_of(20_000, 32),
    "clustered": lambda: clustered(20_000),
}


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
@pytest.mark.parametrize("data", DATA)
def test_suggestions_keep_their_promise_for_rows_never_seen(
    data: str, scheme: dict[str, Any]
) -> None:
    rows = DATA[data]()
    base, queries = rows[:10_000], rows[10_000:10_500]
    found = describe(base, target_recall=0.9, **scheme)
    best = found.suggestion
    assert best is not None
    assert found.suggested
    assert best.search == found.search
    assert best.search.recall >= best.search.recall_bound >= 0.9
    lsh = found.parameters.estimator()
    assert (lsh.bucket_length, lsh.num_hash_tables) == (
        best.bucket_length,
        best.num_hash_tables,
    )
    assert float(f"{best.bucket_length:.1e}") == best.bucket_length
    index = lsh.fit(base).index(base)
    truth = index.nearest_neighbors(queries, 10, exact=True)
    reached = index.nearest_neighbors(queries, 10, min_collisions=best.min_collisions)
    hits = [
        len(set(mine) & set(theirs))
        for mine, theirs in zip(truth.indices, reached.indices, strict=True)
    ]
    assert sum(hits) / truth.indices.size >= 0.9
    step = 10 ** (np.floor(np.log10(best.bucket_length * 0.99999)) - 1)
    shorter = dataclasses.replace(
        found.parameters, bucket_length=round(best.bucket_length - step, 9)
    )
    less = describe(base, **dataclasses.asdict(shorter)).search
    assert less is not None
    assert less.recall_bound < 0.9  # none is shorter


def test_tables_are_added_where_a_length_alone_does_not_reach() -> None:
    rows = vectors_of(3000, 24)
    found = describe(rows, num_hash_tables=1, target_recall=0.97)
    assert found.suggestion is not None
    tables = found.suggestion.num_hash_tables
    assert tables > 1
    assert found.parameters.num_hash_tables == tables == len(found.projection_stds)
    never = describe(rows, num_hash_tables=64, min_collisions=64, target_recall=0.99)
    assert never.suggestion is None
    assert never.parameters.bucket_length is None
    assert never.buckets is None
    assert never.search is None
    assert "No bucket_length was found" in str(never)


def test_sharper_hashes_reach_it_with_few_candidates() -> None:
    found = describe(clustered(20_000))
    best, sharper = found.suggestion, found.sharper
    assert best is not None
    assert sharper is not None
    assert sharper.search.candidate_share < best.search.candidate_share / 10
    assert sharper.search.recall_bound >= 0.95
    assert sharper.search.plan == "bucket" != best.search.plan
    again = describe(
        clustered(20_000),
        sharper.bucket_length,
        sharper.num_hash_tables,
        num_hashes_per_table=sharper.num_hashes_per_table,
    )
    assert again.search == sharper.search
    assert "The sharper hashes" in found.summary()
    assert describe(vectors_of(5000, 32)).sharper is None


def test_a_sample_is_the_same_for_the_same_rows_and_as_large_as_asked() -> None:
    rows = vectors_of(5000, 4)
    one, other = describe(rows, 0.5, sample=700), describe(rows.copy(), 0.5, sample=700)
    assert one.to_dict() == other.to_dict()
    assert (one.sample_rows, one.queries) == (700, 700)
    assert one.buckets is not None
    assert one.buckets.exact
    counted = describe(rows, sample=700).buckets
    assert counted is not None
    assert (counted.rows, counted.exact) == (700, False)


def test_more_buckets_than_are_remembered_are_those_of_the_sample() -> None:
    rows = vectors_of(900_000, 1)
    found = describe(rows, 1e-9, sample=2000).buckets
    assert found is not None
    assert (found.rows, found.exact) == (2000, False)


# ---- what is said ----------------------------------------------------------------------

NORMAL = vectors_of(2000, 16)
SAID: dict[str, tuple[Any, dict[str, Any], str]] = {
    "invalid": ([*NORMAL.tolist(), None], {}, "1 of 2,001 rows are invalid"),
    "none": (np.empty((0, 3)), {}, "There are no rows to describe"),
    "all invalid": ([[np.nan, 1.0]], {}, "There are no rows to describe"),
    "few": (NORMAL[:1000], {}, "The rows are few (1,000)"),
    "off centre": (NORMAL + 3, {}, "The rows lie off centre"),
    "everything": (NORMAL, {"bucket_length": 100}, "select next to nothing"),
    "nothing": (NORMAL, {"bucket_length": 1e-4}, "fewer than 10 neighbors"),
    "missed": (NORMAL, {"bucket_length": 0.5}, "nearest neighbors are no candidates"),
    "exact": (NORMAL, {}, "exact search (exact=True) costs about as much"),
    "equal": (np.ones((2000, 3)), {}, "are all equal"),
    "unit": (NORMAL / np.linalg.norm(NORMAL, axis=1)[:, None], {}, "all of unit length"),
    "zero": (np.vstack([NORMAL, np.zeros((2, 16))]), {}, "2 rows are 0"),
    "duplicates": (np.vstack([NORMAL] * 2), {}, "100.0 % of the rows have an equal"),
    "suggested": (NORMAL, {}, "seed=42 (suggested)"),
    "given": (NORMAL, {"bucket_length": 3}, "suggested     bucket_length="),
    "sample": (NORMAL, {"sample": 100}, "random sample of 100"),
    "of the sample": (NORMAL, {"sample": 100}, "a table (of the sample)"),
    "gaussian": (NORMAL, {"projection": "gaussian"}, "projection=gaussian"),
}
QUIET: dict[str, Any] = {
    "bucket_length": 1.1,
    "num_hash_tables": 20,
    "num_hashes_per_table": 6,
}


@pytest.mark.parametrize("case", SAID)
def test_it_says_what_there_is_to_say(case: str) -> None:
    table, arguments, said = SAID[case]
    text = str(describe(table, **arguments))
    assert said in " ".join(text.split()) or said in text
    assert all(len(line) <= 80 for line in text.splitlines())


def test_it_says_nothing_where_nothing_is_the_matter() -> None:
    rows = clustered(20_000)
    found = describe(rows, **QUIET)
    assert found.warnings == ()
    said = " ".join(str(found).split())
    silent = {"exact", "suggested", "gaussian", "of the sample", "sample", "given"}
    loud = [text for case, (_, _, text) in SAID.items() if case not in silent]
    assert len(loud) > 8
    assert [text for text in loud if text in said] == []


@pytest.mark.parametrize("case", SAID)
def test_programs_read_it_as_json(case: str) -> None:
    table, arguments, _ = SAID[case]
    found = describe(table, **arguments)
    plain = found.to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    documented = [f.name for f in dataclasses.fields(found) if f.name[0] != "_"]
    assert list(plain) == documented
    assert Description.__doc__ is not None
    for name in documented:
        assert name in Description.__doc__


def test_huge_and_tiny_numbers_are_described() -> None:
    huge = describe(np.array([[1e308, 1e308], [-1e308, 1e308], [3.0, 4.0]] * 9))
    assert huge.norms is not None
    assert huge.norms.spread.max == np.inf
    assert huge.to_dict()["norms"]["rms"] is None
    tiny = describe(vectors_of(300, 4).astype(np.float64) * 1e-200)
    assert tiny.suggestion is None
    assert tiny.rows == 300


@pytest.mark.parametrize("n", [1, 2, 3, 11, 12])
def test_few_rows_are_described(n: int) -> None:
    for length in (None, 1.0):
        found = describe(vectors_of(n, 4), length)
        assert found.rows == found.sample_rows == n
        assert (found.distances is None) == (n == 1)
        assert found.distances is None or found.distances.k == min(10, n - 1)
        assert str(found)


def test_progress_counts_the_rows() -> None:
    told: list[tuple[int, int]] = []
    rows = vectors_of(2 * BATCH_ROWS + 5)
    describe(rows, progress=lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == [BATCH_ROWS, 2 * BATCH_ROWS, len(rows)]
    assert {total for _, total in told} == {len(rows)}


def test_a_bucket_beyond_int64_is_named_by_its_row(tmp_path: Path) -> None:
    rows = vectors_of(BATCH_ROWS + 9, 2).tolist()
    rows[3] = [np.nan, 0]
    rows[BATCH_ROWS + 4] = [1e30, 1e30]
    path = write_table(tmp_path / "table", rows)
    for table in (path, rows):
        with pytest.raises(errors.BucketRangeError) as caught:
            describe(table, 1e-9)
        assert caught.value.row == BATCH_ROWS + 4
        assert f"row {BATCH_ROWS + 4}" in str(caught.value)


def test_a_bucket_beyond_int64_is_named_where_tables_are_many() -> None:
    rows = vectors_of(BATCH_ROWS, 2)
    rows[8000] = 1e30  # not among the rows that are hashed first
    with pytest.raises(errors.BucketRangeError) as caught:
        describe(rows, 1e-9, 600)
    assert caught.value.row == 8000


ROWS = vectors_of(50, 4)
LISTS = pa.array(ROWS.tolist(), pa.list_(pa.float32()))
NAMED = pa.table({"id": range(50), "embedding": LISTS})
TABLES: dict[str, Callable[[], Any]] = {
    "frame": lambda: pl.DataFrame(NAMED),
    "frame of one column": lambda: pl.DataFrame(NAMED).select("embedding"),
    "table": lambda: NAMED,
    "reader": lambda: NAMED.to_reader(),
    "IPC stream": lambda: io.BytesIO(streamed(NAMED)),
}
COLUMNS: dict[str, Callable[[], Any]] = {
    "array": lambda: LISTS,
    "chunks": lambda: pa.chunked_array([LISTS[:20], LISTS[20:]]),
    "series": lambda: pl.Series(ROWS),
    "numbers": lambda: pl.DataFrame(ROWS),
    "lists": lambda: ROWS.tolist(),
}


def streamed(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


@pytest.mark.parametrize("kind", [*TABLES, *COLUMNS])
def test_whatever_holds_rows_is_described_alike(kind: str) -> None:
    made = (TABLES | COLUMNS)[kind]
    expected = stated(describe(ROWS, 1.0), "source", "dtype")
    assert stated(describe(made(), 1.0), "source", "dtype") == expected


@pytest.mark.parametrize("kind", TABLES)
def test_tables_are_read_as_tables(kind: str) -> None:
    if kind != "frame of one column":
        assert describe(TABLES[kind](), where="id < 7").rows == 7
    with pytest.raises(errors.ColumnNotFoundError, match="no column 'vec'"):
        describe(TABLES[kind](), embedding_column="vec")


@pytest.mark.parametrize("kind", COLUMNS)
def test_rows_are_not_read_as_tables(kind: str) -> None:
    with pytest.raises(errors.ParameterError, match="are about tables"):
        describe(COLUMNS[kind](), where="id < 7")


def test_files_are_described(tmp_path: Path) -> None:
    pl.DataFrame(NAMED).write_parquet(tmp_path / "rows.parquet")
    np.save(tmp_path / "rows.npy", ROWS)
    expected = stated(describe(ROWS, 1.0), "source")
    for file in ("rows.parquet", "rows.npy"):
        assert stated(describe(tmp_path / file, 1.0), "source") == expected
