"""One pass over the rows: what is exact of all of them, and a sample for the rest."""

import math
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fast_lsh_ann import _core
from fast_lsh_ann._describe.buckets import MOST_BUCKETS, BucketCounts, Sizes
from fast_lsh_ann._describe.facts import Norms, Spread
from fast_lsh_ann._describe.reading import Reading
from fast_lsh_ann._describe.sample import RowSample
from fast_lsh_ann._invalid import InvalidRows, own_numbers
from fast_lsh_ann._progress import Report
from fast_lsh_ann._search import search_rows
from fast_lsh_ann.model import (
    BucketedRandomProjectionLSH,
    BucketedRandomProjectionLSHModel,
)

# Hashes computed at a time, so that many tables take no more memory than few.
_MOST_HASHES = 1 << 22
# The shortest bucket with a finite reciprocal, and some.
_LEAST_WIDTH = 1e-300


@dataclass(frozen=True)
class Survey:
    """What the pass found.

    Attributes
    ----------
    valid : int
        Valid rows.
    invalid : InvalidRows
        The others.
    norms : Norms or None
        None without rows.
    sample : ndarray, [s, dim]
        In random order.
    sizes : list of ndarray or None
        Sizes of each table's buckets, descending; None where they were not counted, or
        were too many.
    """

    valid: int
    invalid: InvalidRows
    norms: Norms | None
    sample: NDArray[Any]
    sizes: Sizes | None


def survey(
    reading: Reading,
    size: int,
    lsh: BucketedRandomProjectionLSH | None,
    report: Report | None,
) -> Survey:
    """Read all rows once; buckets are counted by an estimator, if there is one."""
    totals, sample = _NormTotals(), RowSample(size, reading.rows_at_most)
    counter: _Counter | None = None
    with closing(reading.batches()) as batches:
        for rows, numbers in batches:
            totals.add(rows)
            sample.add(rows, numbers)
            if lsh is not None:
                counter = counter or _Counter(lsh.create_model(rows.shape[1]))
                with own_numbers(numbers):
                    counter.add(rows, reading.name)
            if report is not None:
                done = int(numbers[-1]) + 1
                report(done, max(done, reading.rows_at_most or 0))
    taken = sample.take()
    return Survey(
        totals.rows,
        reading.invalid,
        totals.norms(norms_of(taken)) if totals.rows else None,
        taken,
        counter.sizes() if counter else None,
    )


def norms_of(rows: NDArray[Any]) -> NDArray[np.float64]:
    """Give distances from the origin, as the core computes them, ascending."""
    origin = np.zeros((1, rows.shape[1]), dtype=rows.dtype)
    names = ("rows", "rows")
    found = search_rows(None, rows, origin, len(rows), 0, False, names)
    return found.distances.ravel()


def hashed(
    model: BucketedRandomProjectionLSHModel,
    rows: NDArray[Any],
    name: str = "rows",
    first_row: int = 0,
) -> NDArray[np.int64]:
    """Hash rows, which errors number from the first: [n, tables, hashes]."""
    shape = (len(rows), model.num_hash_tables, model.num_hashes_per_table)
    hashes = np.empty(shape, dtype=np.int64)
    _core.model_hash(model._core, rows, first_row, hashes, None, name)
    return hashes


def rows_hashed_at_once(model: BucketedRandomProjectionLSHModel) -> int:
    """Say how many rows to hash at a time."""
    return max(1, _MOST_HASHES // (model.num_hash_tables * model.num_hashes_per_table))


class _Counter:
    """Counts rows by their buckets."""

    def __init__(
        self, model: BucketedRandomProjectionLSHModel, most: int = MOST_BUCKETS
    ) -> None:
        self._model = model
        self._counts = BucketCounts(model.num_hash_tables, most)
        self.sizes = self._counts.sizes

    def add(self, rows: NDArray[Any], name: str) -> None:
        step = rows_hashed_at_once(self._model)
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            self._counts.add(hashed(self._model, part, name, start))


class _NormTotals:
    """Sums over all rows."""

    def __init__(self) -> None:
        self.rows = 0
        self._least, self._most = math.inf, 0.0
        self._squares = 0.0
        self._sum: NDArray[np.float64] | float = 0.0
        self._zero_rows = 0

    def add(self, rows: NDArray[Any]) -> None:
        norms = norms_of(rows)
        self.rows += len(rows)
        self._least = min(self._least, float(norms.min()))
        self._most = max(self._most, float(norms.max()))
        with np.errstate(over="ignore"):  # the sum is then infinite, and says so
            self._squares += float(np.square(norms).sum())
            self._sum = self._sum + rows.sum(axis=0, dtype=np.float64)
        self._zero_rows += int(np.count_nonzero(norms == 0))

    def norms(self, sampled: NDArray[np.float64]) -> Norms:
        """Describe all rows, by the norms of a sample where sums do not."""
        spread = replace(Spread.of(sampled), min=self._least, max=self._most)
        mean = np.atleast_2d(np.asarray(self._sum) / self.rows)
        return Norms(
            spread,
            math.sqrt(self._squares / self.rows),
            float(norms_of(mean)[0]) if np.isfinite(mean).all() else math.inf,
            self._zero_rows,
        )


def bucket_sizes(model: BucketedRandomProjectionLSHModel, rows: NDArray[Any]) -> Sizes:
    """Give the sizes of each table's buckets of rows in memory, however many."""
    counter = _Counter(model, len(rows) * model.num_hash_tables)
    counter.add(rows, "rows")
    sizes = counter.sizes()
    assert sizes is not None
    return sizes


def projection_stds(
    lsh: BucketedRandomProjectionLSH, rows: NDArray[Any]
) -> NDArray[np.float64]:
    """Give the standard deviation of the projections of rows in random order, by table.

    Projections are read off the buckets of a model whose buckets are so short that they
    tell 40 bits of the longest one.  Those of several hashes are pooled; where
    projections may be beyond float64 they are infinite.
    """
    longest = longest_projection(lsh, rows)
    if longest == math.inf:
        return np.full(lsh.num_hash_tables, math.inf)
    width = max(longest * 2.0**-40, _LEAST_WIDTH)
    model = with_length(lsh, width).create_model(rows.shape[1])
    buckets = hashed(model, rows[: rows_hashed_at_once(model)])
    steps = (buckets - buckets[0]).astype(np.float64)  # equal rows differ by nothing
    stds: NDArray[np.float64] = width * np.sqrt(np.var(steps, axis=0).mean(axis=1))
    return stds


def longest_projection(lsh: BucketedRandomProjectionLSH, rows: NDArray[Any]) -> float:
    """Bound the projections of rows: their length times that of the vectors.

    Lengths are bounded by the largest coordinate, whose square may be beyond float64.
    """
    dim = rows.shape[1]
    vectors = lsh.create_model(dim).random_vectors
    largest = max(float(rows.max()), -float(rows.min()))
    return largest * math.sqrt(dim) * float(np.linalg.norm(vectors, axis=-1).max())


def with_hashes(
    lsh: BucketedRandomProjectionLSH, tables: int, hashes: int
) -> BucketedRandomProjectionLSH:
    """Give an estimator with other tables, of so many hashes."""
    options = {**lsh._options(), "num_hashes_per_table": hashes}
    return BucketedRandomProjectionLSH(lsh.bucket_length, tables, lsh.seed, **options)


def with_length(
    lsh: BucketedRandomProjectionLSH, bucket_length: float, tables: int | None = None
) -> BucketedRandomProjectionLSH:
    """Give an estimator with another bucket length, and maybe number of tables."""
    return BucketedRandomProjectionLSH(
        bucket_length, tables or lsh.num_hash_tables, lsh.seed, **lsh._options()
    )
