"""Rows made to defeat a filter that rounds the wrong way, and what searches them.

Nothing here asks whether answers are right: `test_certificate.py` and the fuzz loop of
`tests/deep` compare them with the oracle's.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import fast_lsh_ann
import numpy as np
import oracle
from checks import assert_same_neighbors, assert_same_pairs
from numpy.typing import NDArray

Rows = NDArray[Any]
Rng = np.random.Generator
Maker = Callable[[Rng, int, int], Rows]

F32_MAX = float(np.finfo(np.float32).max)
CODE_MAX = 127


def normal(rng: Rng, n: int, dim: int) -> Rows:
    return rng.standard_normal((n, dim))


def borders(rng: Rng, n: int, dim: int) -> Rows:
    """Halfway between two codes: the mean is 0 and the scale 1.5, or nearly so."""
    scale = 1.5
    half = (rng.integers(-CODE_MAX, CODE_MAX, (n, dim)) + 0.5) * scale
    half[: n // 8] = np.nextafter(half[: n // 8], 0)
    half[n // 8 : n // 4] = np.nextafter(half[n // 8 : n // 4], np.inf)
    half[:: max(1, n // 40), 0] = CODE_MAX * scale
    half[1::2] = -half[: n // 2 * 2 : 2][: len(half[1::2])]
    return half


def grid(rng: Rng, n: int, dim: int) -> Rows:
    """On a grid of 2^-8 around 10,000: nearly every distance is a tie."""
    return rng.integers(-3, 4, (n, dim)) * 2.0**-8 + 1e4


def offset(by: float, noise: float = 1.0) -> Maker:
    def make(rng: Rng, n: int, dim: int) -> Rows:
        return by + rng.standard_normal((n, dim)) * noise

    return make


def scaled(size: float) -> Maker:
    def make(rng: Rng, n: int, dim: int) -> Rows:
        return rng.uniform(-1, 1, (n, dim)) * size

    return make


def giant_row(size: float) -> Maker:
    """One coordinate of one row."""

    def make(rng: Rng, n: int, dim: int) -> Rows:
        rows = rng.standard_normal((n, dim))
        rows[n // 3, dim // 2] = size
        return rows

    return make


def giant_column(size: float) -> Maker:
    def make(rng: Rng, n: int, dim: int) -> Rows:
        rows = rng.standard_normal((n, dim))
        rows[:, dim // 2] += size
        return rows

    return make


def constant_columns(rng: Rng, n: int, dim: int) -> Rows:
    rows = rng.standard_normal((n, dim))
    rows[:, ::2] = 12345.678
    return rows


def identical(rng: Rng, n: int, dim: int) -> Rows:
    return np.repeat(rng.standard_normal((1, dim)), n, axis=0)


def repeated(rng: Rng, n: int, dim: int) -> Rows:
    return rng.standard_normal((5, dim))[rng.integers(0, 5, n)]


def clusters(apart: float) -> Maker:
    def make(rng: Rng, n: int, dim: int) -> Rows:
        side = rng.choice([-0.5, 0.5], (n, 1))
        return side * apart + rng.standard_normal((n, dim))

    return make


def whole(low: int, high: int) -> Maker:
    def make(rng: Rng, n: int, dim: int) -> Rows:
        return rng.integers(low, high, (n, dim)).astype(np.float64)

    return make


def few_far(share: float, size: float) -> Maker:
    """Exceptions: a share of the rows is far from the others."""

    def make(rng: Rng, n: int, dim: int) -> Rows:
        rows = rng.standard_normal((n, dim))
        rows[rng.random(n) < share] *= size
        return rows

    return make


def unseen_halves(rng: Rng, n: int, dim: int) -> Rows:
    """Bytes that are coded as they are, and rows half a code beside them: exceptions."""
    rows = rng.integers(0, 255, (n, dim)).astype(np.float64)
    rows[1::4] += 0.5
    return rows


def unseen_far(rng: Rng, n: int, dim: int) -> Rows:
    """Far rows that an even sample of every second row does not see."""
    rows = rng.standard_normal((n, dim))
    rows[1::2] += 1e6
    return rows


def beyond_codes(size: float) -> Maker:
    """Rows and their negatives, around the queries; no quantizer codes them."""

    def make(rng: Rng, n: int, dim: int) -> Rows:
        rows = rng.standard_normal((n, dim)) * size
        rows[1::2] = -rows[: n // 2 * 2 : 2][: len(rows[1::2])]
        return rows

    return make


def wide(rng: Rng, n: int, dim: int) -> Rows:
    """Every magnitude that float32 has, beside each other."""
    return rng.standard_normal((n, dim)) * 10.0 ** rng.uniform(-40, 36, (n, dim))


def sparse(rng: Rng, n: int, dim: int) -> Rows:
    return np.where(rng.random((n, dim)) < 0.9, 0.0, rng.standard_normal((n, dim)))


def sphere(rng: Rng, n: int, dim: int) -> Rows:
    """Around 0, which is among them: distances from it differ in the last bits."""
    rows = rng.standard_normal((n, dim))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows[-1] = 0
    return rows


def low_rank(rng: Rng, n: int, dim: int) -> Rows:
    """Near a surface of few dimensions: short forms of the rows pay."""
    made = rng.standard_normal((n, dim)) * (0.8 ** np.arange(dim) + 0.01)
    turned: Rows = made @ np.linalg.qr(rng.standard_normal((dim, dim)))[0]
    return turned


def low_rank_far(rng: Rng, n: int, dim: int) -> Rows:
    """Some rows far out, which are exceptions, and some of no size at all."""
    rows = low_rank(rng, n, dim)
    rows[::997] *= 50
    rows[1::997] = 0
    return rows


def low_rank_moved(rng: Rng, n: int, dim: int) -> Rows:
    return low_rank(rng, n, dim) + 1e6


def low_rank_grid(rng: Rng, n: int, dim: int) -> Rows:
    """On a grid, every row four times."""
    return np.round(low_rank(rng, n, dim) * 8)[rng.integers(0, max(1, n // 4), n)] / 8


MAKERS: dict[str, Maker] = {
    "normal": normal,
    "borders": borders,
    "grid": grid,
    "offset 1e6": offset(1e6),
    "offset 1e12": offset(1e12),
    "offset 1e30": offset(1e30, 1e24),
    "giant row": giant_row(1e8),
    "giant row 1e30": giant_row(1e30),
    "giant column": giant_column(1e8),
    "giant column 1e30": giant_column(1e30),
    "constant columns": constant_columns,
    "identical": identical,
    "repeated": repeated,
    "clusters": clusters(1e5),
    "far clusters": clusters(1e15),
    "float32 subnormals": scaled(1e-42),
    "small": scaled(1e-30),
    "near the largest float32": scaled(F32_MAX / 2),
    "bytes": whole(0, 256),
    "bytes but one": whole(0, 255),
    "large whole": whole(-(2**23), 2**23),
    "exceptions": few_far(0.005, 1e4),
    "many exceptions": few_far(0.05, 1e4),
    "unseen far rows": unseen_far,
    "unseen halves": unseen_halves,
    "beyond codes": beyond_codes(1e33),
    "wide": wide,
    "sparse": sparse,
    "sphere": sphere,
}
DOUBLE_MAKERS: dict[str, Maker] = {
    "float64 subnormals": scaled(1e-320),
    "tiny": scaled(1e-160),
    "1e300": scaled(1e300),
    "beyond float32": beyond_codes(1e150),
    "equal in float32": offset(1, 1e-12),
    "equal in float32, far": offset(1e30, 1e18),
}
SHORT_FORM_MAKERS: dict[str, Maker] = {
    "low rank": low_rank,
    "low rank, far rows": low_rank_far,
    "low rank, moved": low_rank_moved,
    "low rank, grid": low_rank_grid,
}
KINDS = [
    *((name, "f4") for name in MAKERS),
    *((name, "f8") for name in (*MAKERS, *DOUBLE_MAKERS)),
]


class Sides(NamedTuple):
    base: Rows
    queries: Rows


def strangers(rng: Rng, rows: Rows) -> Rows:
    """Queries beside rows: moved by nothing, an ulp, a little, out of their range."""
    moved = rows.copy()
    moved[1::5] = np.nextafter(moved[1::5], 0)
    moved[2::5] *= 1 + 1e-3 * rng.standard_normal(moved[2::5].shape)
    moved[3::5] *= 1.5
    moved[4::5] = 0
    return moved


def as_type(rows: Rows, dtype: str) -> Rows:
    """As float32 or float64, and finite."""
    most = F32_MAX if dtype == "f4" else 1e307
    clipped: Rows = np.clip(rows, -most, most)
    return clipped.astype(dtype)


def make(
    kind: str, dtype: str, n: int, queries: int, dim: int, seed: int | list[int]
) -> Sides:
    """Rows of a kind, and queries from among and around them."""
    rng = np.random.default_rng(seed)
    maker = {**MAKERS, **DOUBLE_MAKERS, **SHORT_FORM_MAKERS}[kind]
    rows = maker(rng, n + queries, dim)
    asked = strangers(rng, rows[n:])
    same = rng.integers(0, n, queries // 4)
    asked[: len(same)] = rows[same]
    return Sides(as_type(rows[:n], dtype), as_type(asked, dtype))


# ---- answers ---------------------------------------------------------------------------


class Expected(NamedTuple):
    neighbors: oracle.Neighbors
    threshold: float
    pairs: oracle.Pairs  # of queries and base within the threshold


def expected(sides: Sides, k: int) -> Expected:
    """The oracle's answers; the threshold is a distance that occurs."""
    everything = np.ones((len(sides.queries), len(sides.base)), dtype=bool)
    neighbors = oracle.nearest_neighbors(sides.base, sides.queries, k, everything)
    reached = neighbors.distances[:, -1]
    threshold = float(np.sort(reached)[len(reached) // 2])
    pairs = oracle.similarity_join(sides.queries, sides.base, threshold, everything)
    return Expected(neighbors, threshold, pairs)


def _first(neighbors: oracle.Neighbors, queries: int, k: int) -> oracle.Neighbors:
    indices, distances, counts = (side[:queries] for side in neighbors)
    return oracle.Neighbors(
        np.ascontiguousarray(indices[:, :k]),
        np.ascontiguousarray(distances[:, :k]),
        np.minimum(counts, k),
    )


def _below(pairs: oracle.Pairs, threshold: float) -> oracle.Pairs:
    near = pairs.distances < threshold
    return oracle.Pairs(pairs.left[near], pairs.right[near], pairs.distances[near])


def index_of(base: Rows) -> fast_lsh_ann.LSHIndex:
    """An index whose buckets fit whatever the rows are."""
    most = float(np.max(np.abs(base.astype(np.float64)), initial=0))
    width = 2.0 ** np.clip(np.ceil(np.log2(most)) if most > 0 else 0, -960, 1000)
    dim = base.shape[1]
    return fast_lsh_ann.BucketedRandomProjectionLSHModel(width, 1, 7, dim).index(base)


FEW = 3  # queries: so few that rows are not coded for them


def check(sides: Sides, want: Expected, what: str) -> None:
    """Ask the library in every way, in the tier of this process."""
    base, queries = sides
    width = want.neighbors.indices.shape[1]
    index = index_of(base)
    if len(base) >= SHORT_FORM_ROWS and what.startswith("low rank"):
        assert index.explain(exact=True)["short_form"] > 0, what
    for k in {1, width}:
        answer = _first(want.neighbors, len(queries), k)
        found = fast_lsh_ann.exact_nearest_neighbors(base, queries, k)
        assert_same_neighbors(found, answer, f"{what}, k={k}")
        found = index.nearest_neighbors(queries, k, exact=True)
        assert_same_neighbors(found, answer, f"{what}, k={k}, index")
        found = fast_lsh_ann.exact_nearest_neighbors(base, queries[:FEW], k)
        answer = _first(want.neighbors, FEW, k)
        assert_same_neighbors(found, answer, f"{what}, k={k}, few")
    for strict in (False, True):
        pairs = fast_lsh_ann.exact_similarity_join(
            queries, base, want.threshold, strict=strict
        )
        near = _below(want.pairs, want.threshold) if strict else want.pairs
        assert_same_pairs(pairs, near, f"{what}, within {want.threshold}")


# ---- the cases of the everyday test ----------------------------------------------------

DIMENSIONS = [1, 2, 3, 4, 5, 7, 15, 16, 17, 63, 64, 65, 100, 128]
LONG_DIMENSIONS = [255, 384, 784, 1000, 1536, 2000]
ROWS, QUERIES, K = 1100, 20, 10  # rows enough for first radii from a sample
SHORT_FORM_ROWS, SHORT_FORM_DIM = 16_500, 136  # the least that short forms are made of
UNSEEN_ROWS = 4096  # twice a sample, of which it sees the even ones


def cases() -> Iterator[tuple[str, Sides]]:
    """Every kind, each at some dimensions; every dimension with some kinds."""
    for number, (kind, dtype) in enumerate(KINDS):
        unseen = kind.startswith("unseen")
        dims = DIMENSIONS[number % 4 :: 4]
        if number % 3 == 0 and not unseen:
            dims.append(LONG_DIMENSIONS[number // 3 % len(LONG_DIMENSIONS)])
        for dim in dims:
            what = f"{kind} {dtype}, {dim} dimensions"
            rows = UNSEEN_ROWS if unseen else ROWS
            yield what, make(kind, dtype, rows, QUERIES, dim, [number, dim])
    for number, kind in enumerate(SHORT_FORM_MAKERS):
        dim, dtype = SHORT_FORM_DIM, ("f4", "f8")[number // 2 % 2]
        what = f"{kind} {dtype}, {dim} dimensions"
        yield what, make(kind, dtype, SHORT_FORM_ROWS, QUERIES, dim, number)
