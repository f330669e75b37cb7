"""The random cases the library is compared with the oracle on, one for each number."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import oracle
from numpy.typing import NDArray

Rows = NDArray[Any]
KINDS = ("normal", "grid", "clusters", "repeated")


@dataclass(frozen=True)
class Case:
    kind: str
    base: Rows  # [n, dim]
    queries: Rows  # [q, dim]
    other: Rows  # [m, dim], the other side of joins
    bucket_length: float
    tables: int
    seed: int
    k: int
    min_collisions: int
    threshold: float
    strict: bool
    self_pairs: Literal["all", "upper"]
    hashes: int = 1  # of a table
    projection: Literal["spark", "gaussian"] = "spark"

    @property
    def dim(self) -> int:
        return int(self.base.shape[1])

    def buckets(self, rows: Rows) -> NDArray[np.int64]:
        """What the oracle says of rows, [n, tables] or [n, tables, hashes]."""
        functions = self.tables * self.hashes
        offsets: NDArray[np.float64] | float = 0.0
        if self.projection == "gaussian":
            vectors, offsets = oracle.gaussian_functions(
                functions, self.dim, self.seed, self.bucket_length
            )
        else:
            vectors = oracle.unit_vectors(functions, self.dim, self.seed)
        found = oracle.buckets(rows, vectors, self.bucket_length, offsets)
        return found if self.hashes == 1 else found.reshape(-1, self.tables, self.hashes)


def _rows(rng: np.random.Generator, kind: str, n: int, dim: int) -> Rows:
    if kind == "grid":
        return rng.integers(-2, 3, (n, dim)).astype(np.float64)
    if kind == "clusters":
        centers = rng.standard_normal((5, dim)) * 10
        return centers[rng.integers(0, 5, n)] + rng.standard_normal((n, dim)) * 0.1
    if kind == "repeated":
        few = rng.standard_normal((4, dim))
        return few[rng.integers(0, 4, n)]
    return rng.standard_normal((n, dim))


def _threshold(rng: np.random.Generator, left: Rows, right: Rows) -> float:
    """0, +inf, or a distance that occurs, so that it matters whether equality counts."""
    choice = rng.integers(0, 8)
    if choice == 0:
        return 0.0
    if choice == 1:
        return float(np.inf)
    found = oracle.distances(left, right).ravel()
    if found.size == 0:
        return 1.0
    return float(np.sort(found)[int(found.size * rng.random() ** 3)])


def _bucket_length(rng: np.random.Generator, offset: float) -> float:
    """Ordinary, or so small that a bucket's number shows every bit of the projection."""
    if rng.integers(0, 5) == 0:
        return float(10 ** rng.uniform(-16, -14) * (1 + offset))
    return float(10 ** rng.uniform(-1.5, 2))


def make(number: int) -> Case:
    """Case `number`; the same for ever."""
    rng = np.random.default_rng([2024, number])
    kind = KINDS[rng.integers(0, len(KINDS))]
    dim = int(rng.integers(1, (9, 131)[rng.integers(0, 2)]))
    n, q, m = (int(rng.integers(0, high)) for high in (301, 25, 50))
    if number % 40 == 0:
        n = number % 3
    offset = float(rng.choice([0.0, 1e4]))
    dtype = rng.choice(["f4", "f8"])
    base = (_rows(rng, kind, n, dim) + offset).astype(dtype)
    other = (_rows(rng, kind, m, dim) + offset).astype(rng.choice(["f4", "f8"]))
    queries = (_rows(rng, kind, q, dim) + offset).astype(dtype)
    if n:  # some queries are rows of the base
        near = rng.random(q) < 0.4
        queries[near] = base[rng.integers(0, n, near.sum())]
    tables = int(rng.integers(1, 21))
    return Case(
        kind=kind,
        base=base,
        queries=queries,
        other=other,
        bucket_length=_bucket_length(rng, offset),
        tables=tables,
        seed=int(rng.integers(-(2**63), 2**63 - 1)),
        k=(1, 2, 5, 10, n + 7)[rng.integers(0, 5)],
        min_collisions=int(rng.integers(1, tables + 1)) if rng.integers(0, 3) == 0 else 1,
        threshold=_threshold(rng, base, other),
        strict=bool(rng.integers(0, 2)),
        self_pairs="upper" if rng.integers(0, 2) else "all",
    )


def make_variant(number: int) -> Case:
    """Case `number` with Gaussian projections, several hashes a table, or both."""
    case = make(number)
    rng = np.random.default_rng([2025, number])
    gaussian = number % 2 == 0
    hashes = int(rng.integers(1 if gaussian else 2, 5))
    # As many buckets as before in the reach of a Gaussian vector, and wider ones where
    # several must agree.
    factor = (np.sqrt(case.dim) if gaussian else 1) * hashes
    return replace(
        case,
        hashes=hashes,
        projection="gaussian" if gaussian else "spark",
        bucket_length=case.bucket_length * float(factor),
    )
