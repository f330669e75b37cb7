"""The contract as a slow, independent program: hashing and search in float64 NumPy.

Nothing here imports the library.  Every sum runs in the order docs/contract.md gives, one
coordinate after the other, so that results can be compared bit by bit.
"""

import math
import struct
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PROFILES = ("java11", "java8", "vector2", "vector4", "vector8")

# ---- fused multiply-add ----------------------------------------------------------------

# Where every step of the error-free transformations below is free of overflow and
# underflow: factors and addend are 0 or their magnitude is in here.
_SAFE_LOW, _SAFE_HIGH = 2.0**-400, 2.0**400


def fma_exact(a: float, b: float, c: float) -> float:
    """a * b + c rounded once, by rational arithmetic; the definition."""
    if not all(map(math.isfinite, (a, b, c))):
        return a * b + c
    try:
        return float(Fraction(a) * Fraction(b) + Fraction(c))
    except OverflowError:
        positive = Fraction(a) * Fraction(b) + Fraction(c) > 0
        return math.inf if positive else -math.inf


def _two_sum(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Knuth: a + b as a rounded sum and its exact error."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _two_product(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Dekker: a * b as a rounded product and its exact error."""
    split = 2.0**27 + 1
    a_high = split * a - (split * a - a)
    b_high = split * b - (split * b - b)
    a_low, b_low = a - a_high, b - b_high
    product = a * b
    error = (
        (a_high * b_high - product) + a_high * b_low + a_low * b_high
    ) + a_low * b_low
    return product, error


def _sum_round_to_odd(a: Floats, b: Floats) -> Floats:
    """a + b, an inexact result replaced by the neighbor whose last bit is set."""
    total, error = _two_sum(a, b)
    even = (total.view(np.int64) & 1) == 0
    toward = np.nextafter(total, np.copysign(np.inf, error))
    return np.where((error != 0) & even, toward, total)


def fma(a: Floats, b: Floats, c: Floats) -> Floats:
    """a * b + c rounded once, elementwise.

    Boldo and Melquiond, "Emulation of FMA and correctly rounded sums" (IEEE Transactions
    on Computers, 2008): add the exact low parts rounding to odd, then the high part.
    Elements outside the range where that is proven go through `fma_exact`.
    """
    a, b, c = (np.ascontiguousarray(x) for x in np.broadcast_arrays(a, b, c))
    with np.errstate(all="ignore"):
        product, product_error = _two_product(a, b)
        low_sum, low_error = _two_sum(c, product_error)
        high, middle = _two_sum(product, low_sum)
        result = high + _sum_round_to_odd(low_error, middle)
    unsafe = np.zeros(a.shape, dtype=bool)
    for part in (a, b, c):
        size = np.abs(part)
        unsafe |= ~((size == 0) | ((size >= _SAFE_LOW) & (size <= _SAFE_HIGH)))
    for place in zip(*np.nonzero(unsafe), strict=True):
        result[place] = fma_exact(float(a[place]), float(b[place]), float(c[place]))
    return result


# ---- java.util.Random ------------------------------------------------------------------

_MULTIPLIER, _MASK = 0x5DEECE66D, (1 << 48) - 1


def _double(bits: int) -> float:
    return float(struct.unpack("<d", struct.pack("<Q", bits))[0])


_LN2_HIGH, _LN2_LOW = _double(0x3FE62E42FEE00000), _double(0x3DEA39EF35793C76)
_C1, _C2, _C3, _C4, _C5, _C6, _C7 = (
    6.666666666666735130e-01,
    3.999999999940941908e-01,
    2.857142874366239149e-01,
    2.222219843214978396e-01,
    1.818357216161805012e-01,
    1.531383769920937332e-01,
    1.479819860511658591e-01,
)


def _int32(x: int) -> int:
    """x as a signed 32-bit integer."""
    return (x + (1 << 31)) % (1 << 32) - (1 << 31)


def strict_log(x: float) -> float:
    """Java's StrictMath.log of a normal double in (0, 1)."""
    bits: int = struct.unpack("<Q", struct.pack("<d", x))[0]
    high, low = bits >> 32, bits & 0xFFFFFFFF
    k = (high >> 20) - 1023
    high &= 0xFFFFF
    carry = (high + 0x95F64) & 0x100000
    k += carry >> 20
    f = _double((high | (carry ^ 0x3FF00000)) << 32 | low) - 1.0
    if ((2 + high) & 0xFFFFF) < 3:
        if f == 0:
            return k * _LN2_HIGH + k * _LN2_LOW if k else 0.0
        r = f * f * (0.5 - 0.33333333333333333 * f)
        return k * _LN2_HIGH - ((r - k * _LN2_LOW) - f) if k else f - r
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    r = z * (_C1 + w * (_C3 + w * (_C5 + w * _C7))) + w * (_C2 + w * (_C4 + w * _C6))
    if _int32((high - 0x6147A) | (0x6B851 - high)) > 0:
        h = 0.5 * f * f
        if k == 0:
            return f - (h - s * (h + r))
        return k * _LN2_HIGH - ((h - (s * (h + r) + k * _LN2_LOW)) - f)
    if k == 0:
        return f - s * (f - r)
    return k * _LN2_HIGH - ((s * (f - r) - k * _LN2_LOW) - f)


class JavaRandom:
    """java.util.Random: a 48-bit linear congruential generator."""

    def __init__(self, seed: int) -> None:
        self.state = (seed ^ _MULTIPLIER) & _MASK
        self._spare: float | None = None

    def next_bits(self, bits: int) -> int:
        """The top bits of the next state, as a signed 32-bit integer."""
        self.state = (self.state * _MULTIPLIER + 11) & _MASK
        return _int32(self.state >> (48 - bits))

    def next_double(self) -> float:
        return ((self.next_bits(26) << 27) + self.next_bits(27)) * 2.0**-53

    def next_gaussian(self) -> float:
        """The polar method; every second draw is the first one's partner."""
        if self._spare is not None:
            gaussian, self._spare = self._spare, None
            return gaussian
        while True:
            v1 = 2 * self.next_double() - 1
            v2 = 2 * self.next_double() - 1
            s = v1 * v1 + v2 * v2
            if 0 < s < 1:
                break
        multiplier = math.sqrt(-2 * strict_log(s) / s)
        self._spare = v2 * multiplier
        return v1 * multiplier


# ---- model -----------------------------------------------------------------------------


def _norms(rows: Floats, profile: str) -> Floats:
    """The Euclidean norm of every row, rounded as the profile's JVM does."""
    width = int(profile[-1]) if profile.startswith("vector") else 4
    tables, dim = rows.shape
    if dim == 1:
        return np.abs(rows[:, 0])
    lanes = np.zeros((tables, width))
    whole = dim - dim % width
    for j in range(0, whole, width):
        x = rows[:, j : j + width]
        lanes = lanes + x * x if profile == "java8" else fma(x, x, lanes)
    total = np.zeros(tables)
    for lane in range(width):
        total = total + lanes[:, lane]
    for j in range(whole, dim):
        x = rows[:, j]
        total = fma(x, x, total) if profile == "java11" else total + x * x
    return np.sqrt(total)


def unit_vectors(tables: int, dim: int, seed: int, profile: str = "java11") -> Floats:
    """Spark's random unit vectors, [tables, dim]."""
    random = JavaRandom(seed)
    draws = np.array([random.next_gaussian() for _ in range(tables * dim)])
    rows = draws.reshape(tables, dim)
    norms = _norms(rows, profile)
    nonzero = norms != 0
    rows[nonzero] *= (1.0 / norms[nonzero])[:, None]
    return rows


def gaussian_functions(
    functions: int, dim: int, seed: int, bucket_length: float
) -> tuple[Floats, Floats]:
    """The p-stable scheme's vectors [functions, dim] and offsets [functions]."""
    random = JavaRandom(seed)
    vectors, offsets = [], []
    for _ in range(functions):
        vectors.append([random.next_gaussian() for _ in range(dim)])
        offsets.append(bucket_length * random.next_double())
    return np.array(vectors), np.array(offsets)


def projections(
    rows: ArrayLike,
    vectors: Floats,
    bucket_length: float,
    offsets: Floats | float = 0.0,
) -> Floats:
    """floor((1 / bucket_length) * (row . vector + offset)) as doubles.

    vectors is [..., dim], offsets [...] and the result [n, ...].
    """
    x = np.asarray(rows, dtype=np.float64)
    flat = vectors.reshape(-1, vectors.shape[-1])
    sums = np.zeros((len(x), len(flat)))
    for j in range(flat.shape[1]):
        sums = fma(x[:, j, None], flat[None, :, j], sums)
    sums = sums.reshape(len(x), *vectors.shape[:-1])
    with np.errstate(all="ignore"):
        return np.floor((1.0 / bucket_length) * (sums + offsets))


def buckets(
    rows: ArrayLike,
    vectors: Floats,
    bucket_length: float,
    offsets: Floats | float = 0.0,
) -> Ints:
    """The bucket of every row by every hash, int64 [n, ...]; shapes as above."""
    values = projections(rows, vectors, bucket_length, offsets)
    if not np.all((values >= -(2.0**63)) & (values < 2.0**63)):
        raise OverflowError("a bucket does not fit in int64")
    return values.astype(np.int64)


# ---- search ----------------------------------------------------------------------------


class Neighbors(NamedTuple):
    indices: Ints
    distances: Floats
    counts: Ints


class Lists(NamedTuple):
    """Neighbors within a radius: those of query i are at indptr[i] : indptr[i + 1]."""

    indptr: Ints
    indices: Ints
    distances: Floats


class Pairs(NamedTuple):
    left: Ints
    right: Ints
    distances: Floats


def distances(a: ArrayLike, b: ArrayLike) -> Floats:
    """Euclidean distances [len(a), len(b)]: coordinates in order, never fused."""
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    total = np.zeros((len(x), len(y)))
    with np.errstate(all="ignore"):
        for j in range(x.shape[1]):
            difference = x[:, j, None] - y[None, :, j]
            total = total + difference * difference
        return np.sqrt(total)


def collisions(a: Ints, b: Ints) -> Ints:
    """In how many hash tables row i of a and row j of b collide, [len(a), len(b)].

    Buckets are [n, tables], or [n, tables, hashes] where all hashes must agree.
    """
    total = np.zeros((len(a), len(b)), dtype=np.int64)
    if a.ndim == 2:
        a, b = a[:, :, None], b[:, :, None]
    for table in range(a.shape[1]):
        same = np.ones(total.shape, dtype=bool)
        for k in range(a.shape[2]):
            same &= a[:, table, k, None] == b[None, :, table, k]
        total += same
    return total


def nearest_neighbors(
    base: ArrayLike, queries: ArrayLike, k: int, candidates: NDArray[np.bool_]
) -> Neighbors:
    """The k nearest candidates of each query by (distance, row).

    candidates is [queries, rows]; results are min(k, rows) wide, padded with -1 and +inf.
    """
    found = distances(queries, base)
    width = min(k, found.shape[1])
    indices = np.full((len(found), width), -1, dtype=np.int64)
    nearest = np.full((len(found), width), np.inf)
    counts = np.zeros(len(found), dtype=np.int64)
    for query, row_distances in enumerate(found):
        rows = np.nonzero(candidates[query])[0]
        order = rows[np.lexsort((rows, row_distances[rows]))][:width]
        counts[query] = len(order)
        indices[query, : len(order)] = order
        nearest[query, : len(order)] = row_distances[order]
    return Neighbors(indices, nearest, counts)


def radius_neighbors(
    base: ArrayLike,
    queries: ArrayLike,
    radius: float | Floats,
    candidates: NDArray[np.bool_],
    *,
    strict: bool = False,
) -> Lists:
    """All candidates of each query within a radius, by (distance, row).

    candidates is [queries, rows]; radius is one, or one for each query.
    """
    found = distances(queries, base)
    radii = np.broadcast_to(np.asarray(radius, dtype=np.float64), len(found))[:, None]
    keep = (found < radii if strict else found <= radii) & candidates
    order = [
        rows[np.lexsort((rows, found[query, rows]))]
        for query, rows in enumerate(map(np.flatnonzero, keep))
    ]
    counts = [len(rows) for rows in order]
    empty = np.empty(0, dtype=np.int64)
    indices = np.concatenate([empty, *order]).astype(np.int64)
    indptr = np.cumsum([0, *counts], dtype=np.int64)
    return Lists(
        indptr, indices, found[np.repeat(np.arange(len(found)), counts), indices]
    )


def similarity_join(
    left: ArrayLike,
    right: ArrayLike,
    threshold: float,
    candidates: NDArray[np.bool_],
    *,
    strict: bool = False,
    upper: bool = False,
) -> Pairs:
    """All candidate pairs within threshold, ordered; candidates is [left, right]."""
    found = distances(left, right)
    near = found < threshold if strict else found <= threshold
    keep = near & candidates
    if upper:
        keep = np.triu(keep, 1)
    i, j = np.nonzero(keep)
    return Pairs(i.astype(np.int64), j.astype(np.int64), found[i, j])


def as_lists(neighbors: Neighbors) -> Iterator[list[tuple[int, float]]]:
    """The same answer as one list of (row, distance) for each query."""
    for indices, row_distances, count in zip(*neighbors, strict=True):
        yield list(
            zip(indices[:count].tolist(), row_distances[:count].tolist(), strict=True)
        )
