"""Parts of descriptions: samples, counts of buckets, chances of collisions, pictures."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Run
from delta_tables import vectors_of
from fast_lsh_ann import BucketedRandomProjectionLSH, describe, errors
from fast_lsh_ann._describe.buckets import BucketCounts
from fast_lsh_ann._describe.sample import RowSample, scattered
from fast_lsh_ann._describe.suggestion import candidate_chance, collision_chance
from numpy.typing import NDArray

# ---- samples ---------------------------------------------------------------------------


def cut(n: int, step: int) -> list[slice]:
    return [slice(start, min(n, start + step)) for start in range(0, n, step)]


def sampled(n: int, size: int, step: int, at_most: int | None = None) -> NDArray[Any]:
    sample, numbers = RowSample(size, at_most), np.arange(n)
    for part in cut(n, step):
        sample.add(numbers[part, None].astype(np.float64), numbers[part])
    return sample.take()[:, 0]


@pytest.mark.parametrize("at_most", [None, 1000, 5000])
@pytest.mark.parametrize("size", [1, 99, 1000, 5000])
def test_a_sample_is_those_of_the_smallest_keys_however_cut(
    size: int, at_most: int | None
) -> None:
    expected = np.argsort(scattered(np.arange(1000)))[:size]
    for step in (1, 7, 98, 99, 100, 1000):
        np.testing.assert_array_equal(sampled(1000, size, step, at_most), expected)


def test_keys_are_those_of_the_published_generator() -> None:
    """SplitMix64 from seed 0: the first outputs, as its reference program gives them."""
    known = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert scattered(np.arange(3)).tolist() == known


def test_a_sample_takes_every_row_as_likely() -> None:
    hits = np.bincount(sampled(100_000, 10_000, 8192).astype(int) // 1000, minlength=100)
    assert len(hits) == 100
    # Of 1,000 rows 100 are taken, give or take 9.5: 5 of these is never passed by chance.
    assert abs(hits - 100).max() < 48
    assert 7 < hits.std() < 12


def test_a_sample_beyond_memory_is_an_error_that_says_so() -> None:
    for size in (2**62, 10**30):
        with pytest.raises(errors.OutOfMemoryError, match=r"sample: \d+ rows of 8 bytes"):
            RowSample(size).add(np.ones((3, 1)), np.arange(3))


# ---- buckets ---------------------------------------------------------------------------


@pytest.mark.parametrize("hashes", [1, 3])
@pytest.mark.parametrize("step", [1, 50, 4000])
def test_buckets_are_counted_however_cut(step: int, hashes: int) -> None:
    random = np.random.default_rng(2)
    rows = np.int64(2) ** 61 * random.integers(-2, 2, (4000, 2, hashes))
    rows += random.integers(0, 30, rows.shape)
    counts = BucketCounts(2, 1 << 20)
    for part in cut(len(rows), step):
        counts.add(rows[part])
    sizes = counts.sizes()
    assert sizes is not None
    for table, found in enumerate(sizes):
        known = np.unique(rows[:, table], axis=0, return_counts=True)[1]
        np.testing.assert_array_equal(found, np.sort(known)[::-1])


@pytest.mark.parametrize("step", [1, 100, 3000])
def test_too_many_buckets_are_forgotten(step: int) -> None:
    rows = np.arange(3000).reshape(-1, 1, 1)
    for most, kept in ((3000, True), (2999, False)):
        counts = BucketCounts(1, most)
        for part in cut(3000, step):
            counts.add(rows[part])
            counts.add(rows[part])
        assert (counts.sizes() is not None) == kept
        assert counts.full is not kept


# ---- chances ---------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0.01, 0.5, 3.0, 40.0])
def test_the_chance_of_a_collision_is_the_papers_integral(length: float) -> None:
    """Datar et al.: the integral of f(t / c) / c (1 - t / w) over t from 0 to w."""
    for distance in (0.3, 1.0, 7.0):
        t = (np.arange(200_000) + 0.5) / 200_000 * length
        density = np.sqrt(2 / np.pi) * np.exp(-((t / distance) ** 2) / 2) / distance
        integral = (density * (1 - t / length)).sum() * length / 200_000
        found = collision_chance(np.array([distance]), length)[0]
        assert found == pytest.approx(integral, rel=1e-6)


def test_chances_end_at_one_and_zero() -> None:
    chances = collision_chance(np.array([0.0, 1e-300, 1e300, np.inf]), 1.0)
    np.testing.assert_allclose(chances, [1, 1, 0, 0], atol=1e-8)


SCHEMES: list[dict[str, Any]] = [
    {"num_hash_tables": 1},
    {"num_hash_tables": 6},
    {"num_hash_tables": 6, "num_hashes_per_table": 2},
    {"num_hash_tables": 5, "projection": "gaussian"},
]


@pytest.mark.parametrize("min_collisions", [1, 3])
@pytest.mark.parametrize("scheme", SCHEMES[1:], ids=str)
def test_the_chance_to_be_a_candidate_is_what_models_do(
    scheme: dict[str, Any], min_collisions: int
) -> None:
    """Over many seeds, for rows whose place among borders is random."""
    dim, length = 40, 6.0 if "projection" in scheme else 1.0
    random = np.random.default_rng(8)
    distances = np.array([1.0, 4.0, 9.0])
    steps = random.standard_normal((3, dim))
    steps *= distances[:, None] / np.linalg.norm(steps, axis=1)[:, None]
    met = np.zeros(3)
    for seed in range(300):
        model = BucketedRandomProjectionLSH(length, seed=seed, **scheme).create_model(dim)
        start = 30 * random.standard_normal((20, 1, dim))
        rows = np.concatenate([start, start + steps], axis=1).reshape(-1, dim)
        hashes = model.transform(rows).reshape(20, 4, model.num_hash_tables, -1)
        same = (hashes[:, 1:] == hashes[:, :1]).all(axis=3).sum(axis=2)
        met += (same >= min_collisions).mean(axis=0) / 300
    lsh = BucketedRandomProjectionLSH(length, **scheme)
    foretold = candidate_chance(distances, lsh, dim, min_collisions)
    np.testing.assert_allclose(met, foretold, atol=0.035)


# ---- pictures --------------------------------------------------------------------------

ROWS = vectors_of(3000, 12)
DRAWN: dict[str, tuple[Any, dict[str, Any]]] = {
    "suggested": (ROWS, {}),
    "one bucket": (abs(ROWS), {"bucket_length": 1e6}),
    "short buckets": (ROWS, {"bucket_length": 1e-3}),
    "gaussian": (ROWS, {"projection": "gaussian", "num_hash_tables": 40}),
    "two rows": (ROWS[:2], {}),
    "equal rows": (np.ones((30, 3)), {}),
    "no rows": (np.empty((0, 3)), {}),
    "huge numbers": (np.array([[1e308], [-1e308]] * 5), {"bucket_length": 1e300}),
}


@pytest.mark.parametrize("case", DRAWN)
def test_pictures_show_what_the_description_says(case: str, tmp_path: Path) -> None:
    rows, arguments = DRAWN[case]
    found = describe(rows, **arguments)
    path = tmp_path / "picture.png"
    figure: Any = found.plot(path)
    assert path.read_bytes().startswith(b"\x89PNG")
    sizes, distances, *_ = figure.axes
    assert sizes.get_title() == "Rows in each bucket"
    assert distances.get_title() == "Distances of neighbors and of random pairs"
    assert f"{found.rows:,} rows" in figure.get_suptitle()
    if found.buckets is None:
        assert [text.get_text() for text in sizes.texts] == ["no bucket length"]
        return
    tables = sizes.lines[:-1]
    assert len(tables) == len(found.buckets.tables)
    for line, table in zip(tables, found.buckets.tables, strict=True):
        ranks, rows_of = line.get_data()
        assert (ranks[0], rows_of[0]) == (1, table.largest)
        assert (ranks[-1], rows_of[-1]) == (table.buckets, table.sizes.min)
        assert np.all(np.diff(rows_of) <= 0)


def test_distances_are_drawn_with_the_bucket_length() -> None:
    found = describe(ROWS, 0.9)
    assert found.distances is not None
    figure: Any = found.plot()
    axes, right = figure.axes[1:]
    heights = [sum(bar.get_height() for bar in bars) for bars in axes.containers[::2]]
    np.testing.assert_allclose(heights, 100)
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels[:3] == ["nearest neighbor", "10th neighbor", "random pair"]
    assert "bucket length x √dim: 3.12" in labels
    (mark,) = (line for line in axes.lines if line.get_label() in labels[4:])
    assert mark.get_xdata()[0] == pytest.approx(0.9 * np.sqrt(12))
    distances, chance = right.lines[0].get_data()
    lsh = found.parameters.estimator()
    np.testing.assert_allclose(chance, 100 * candidate_chance(distances, lsh, 12, 1))
    figure = describe(ROWS, 90.0).plot()
    beyond = figure.axes[1].get_legend().get_texts()
    assert beyond[-1].get_text() == "bucket length x √dim: 312, beyond"


def test_pictures_are_of_other_kinds_too(tmp_path: Path) -> None:
    found = describe(ROWS)
    for suffix, start in ((".svg", b"<?xml"), (".pdf", b"%PDF")):
        found.plot(tmp_path / f"picture{suffix}")
        assert (tmp_path / f"picture{suffix}").read_bytes().startswith(start)


def test_no_window_is_opened_and_pyplot_not_loaded(run_python: Run) -> None:
    program = """
import json, sys
import numpy as np
from fast_lsh_ann import describe
found = describe(np.random.default_rng(1).standard_normal((300, 5)))
before = "matplotlib" in sys.modules
found.plot()
loaded = [name in sys.modules for name in ("matplotlib", "matplotlib.pyplot")]
print(json.dumps([before, *loaded]))
"""
    assert json.loads(run_python(program).stdout) == [False, True, False]


def test_without_matplotlib_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(errors.MissingDependencyError, match=r"fast_lsh_ann\[plot\]"):
        describe(ROWS).plot()
