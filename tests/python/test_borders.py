"""Rows whose projections lie at the borders of buckets get the oracle's buckets."""

from typing import Any

import fast_lsh_ann
import numpy as np
import oracle
import pytest
from checks import assert_same_array
from numpy.typing import NDArray

Rows = NDArray[Any]
TABLES, SEED = 3, 11
DTYPES = [np.float32, np.float64]


def check(rows: Rows, width: float, what: str) -> NDArray[np.int64]:
    dim = rows.shape[1]
    model = fast_lsh_ann.BucketedRandomProjectionLSHModel(width, TABLES, SEED, dim)
    vectors = oracle.unit_vectors(TABLES, dim, SEED)
    expected = oracle.buckets(rows, vectors, width)
    assert_same_array(model.transform(rows), expected, what)
    return expected


def stepped(rows: Rows, rng: np.random.Generator) -> Rows:
    """The rows, each with one coordinate a few ulps off."""
    moved = rows.copy()
    places = np.arange(len(rows)), rng.integers(0, rows.shape[1], len(rows))
    for _ in range(2):
        moved[places] = np.nextafter(
            moved[places], rng.choice([-np.inf, np.inf], len(rows)).astype(rows.dtype)
        )
    return moved


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [1, 2, 3, 7, 16, 31, 33, 64, 128, 300, 2000])
def test_rows_at_borders(dim: int, dtype: type[Any]) -> None:
    """Multiples of a unit vector, so that the projection on it is nearly whole.

    In float64 the last bits decide; in float32 rounding the row moves the projection by
    about as much as the float32 sums are off.
    """
    rng = np.random.default_rng(dim)
    vectors = oracle.unit_vectors(TABLES, dim, SEED)
    for width in (0.25, 2.0, 3.7):
        whole = rng.integers(-300, 300, 40)
        along = vectors[rng.integers(0, TABLES, 40)]
        squares = (along * along).sum(axis=1)
        rows = (along * (whole * width / squares)[:, None]).astype(dtype)
        expected = check(rows, width, f"dim {dim}, width {width}")
        check(stepped(rows, rng), width, f"dim {dim}, width {width}, stepped")
        at = (expected == whole[:, None]) | (expected == whole[:, None] - 1)
        assert at.any(axis=1).all()  # the rows lie where they should


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [2, 33, 128, 700])
def test_cancelling_rows(dim: int, dtype: type[Any]) -> None:
    """Large coordinates of changing sign: the projection is small against the row."""
    rng = np.random.default_rng(dim)
    signs = np.where(np.arange(dim) % 2 == 0, 1.0, -1.0)
    for size in (1e2, 1e4, 1e8, 1e12):
        rows = signs * size / oracle.unit_vectors(TABLES, dim, SEED)[1]
        rows = rows + rng.standard_normal((30, dim))
        for width in (1e-3, 1.0, 50.0):
            check(rows.astype(dtype), width, f"size {size}, width {width}")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [1e-44, 1e-39, 1e-20, 1e-3, 1e6, 1e15, 1e25, 1e30, 3e37])
def test_sizes(size: float, dtype: type[Any]) -> None:
    """Subnormal to nearly infinite in float32, with bucket lengths of all sizes."""
    rows = (np.random.default_rng(3).uniform(-1, 1, (9, 21)) * size).astype(dtype)
    for relative in (1e-15, 1e-7, 1e-3, 1.0, 1e3):
        check(rows, size * relative, f"relative width {relative}")


@pytest.mark.parametrize("width", [1e-300, 1e-40, 1e40, 1e300])
def test_bucket_lengths_beyond_float32(width: float) -> None:
    rows = np.random.default_rng(4).standard_normal((9, 12))
    check(rows * width, width, f"width {width}")


def test_zero_rows_among_others() -> None:
    rows = np.random.default_rng(5).standard_normal((200, 40))
    for zeros in (1, 20, 190):
        rows[:zeros] = 0
        check(rows, 1.0, f"{zeros} zero rows")


def test_one_giant_row_among_many() -> None:
    """A row that float32 cannot serve takes nothing away from those around it."""
    rows = np.random.default_rng(6).standard_normal((700, 16))
    rows[100] *= 1e12
    check(rows, 1.0, "float64")
    check(rows.astype(np.float32), 1.0, "float32")
