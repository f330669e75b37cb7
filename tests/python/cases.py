"""Random cases the library is compared with the oracle on, drawn by hypothesis."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import hard
import numpy as np
import oracle
import pyarrow as pa
from hypothesis import strategies as st
from numpy.typing import NDArray

Rows = NDArray[Any]
Draw = Callable[[st.SearchStrategy[Any]], Any]


def zeros(_: hard.Rng, n: int, dim: int) -> Rows:
    return np.zeros((n, dim))


FLOATS = ("f4", "f8")
SIGNED = ("i1", "i2", "i4", "i8", "f2", "f4", "f8")
UNSIGNED = ("u1", "u2", "u4", "u8", "i2", "i8", "f2", "f4", "f8")

# How rows are made, and the types that hold them.
KINDS: dict[str, tuple[hard.Maker, tuple[str, ...]]] = {
    "normal": (hard.normal, FLOATS),
    "far from 0": (hard.offset(1e4), FLOATS),
    "grid": (hard.grid, FLOATS),
    "clusters": (hard.clusters(10), FLOATS),
    "far clusters": (hard.clusters(1e5), FLOATS),
    "repeated": (hard.repeated, FLOATS),
    "identical": (hard.identical, FLOATS),
    "zeros": (zeros, SIGNED),
    "integers": (hard.whole(-2, 3), SIGNED),
    "bytes": (hard.whole(0, 256), UNSIGNED),
    "large integers": (hard.whole(-(2**31), 2**31), ("i8", "f8")),
    "sparse": (hard.sparse, FLOATS),
    "tiny contrast": (hard.offset(1, 1e-6), FLOATS),
    "equal in float32": (hard.offset(1, 1e-12), ("f8",)),
    "constant columns": (hard.constant_columns, FLOATS),
    "wide": (hard.wide, FLOATS),
    "float32 subnormals": (hard.scaled(1e-42), FLOATS),
    "near the largest float32": (hard.scaled(hard.F32_MAX / 2), FLOATS),
    "float64 subnormals": (hard.scaled(1e-320), ("f8",)),
    "tiny": (hard.scaled(1e-160), ("f8",)),
    "huge": (hard.scaled(1e300), ("f8",)),
}
# Their sums leave the range of the oracle's quick arithmetic.
SLOW = ("float64 subnormals", "tiny", "huge")


def _arrow(rows: Rows) -> Any:
    number = pa.from_numpy_dtype(rows.dtype)
    return pa.array(list(rows), type=pa.list_(number))


# The same rows in other clothes.
LAYOUTS: dict[str, Callable[[Rows], Any]] = {
    "C order": np.ascontiguousarray,
    "Fortran order": np.asfortranarray,
    "backwards": lambda rows: np.ascontiguousarray(rows[::-1, ::-1])[::-1, ::-1],
    "apart": lambda rows: np.repeat(rows, 2, axis=0)[::2],
    "byte-swapped": lambda rows: rows.astype(rows.dtype.newbyteorder()),
    "lists": lambda rows: rows.tolist(),
    "Arrow": lambda rows: _arrow(rows) if rows.dtype.str[1:] in FLOATS else rows,
}


@dataclass(frozen=True)
class Side:
    """Rows as the oracle reads them, and as the library gets them."""

    rows: Rows = field(repr=False)  # [n, dim]
    layout: str

    @property
    def given(self) -> Any:
        return LAYOUTS[self.layout](self.rows)


@dataclass(frozen=True)
class Case:
    kind: str
    base: Side
    queries: Side
    other: Side  # of joins
    shape: str
    bucket_length: float
    tables: int
    hashes: int  # of a table
    projection: Literal["spark", "gaussian"]
    seed: int
    k: int
    min_collisions: int
    threshold: float
    strict: bool
    self_pairs: Literal["all", "upper"]
    threads: int

    @property
    def dim(self) -> int:
        return int(self.base.rows.shape[1])

    @property
    def sides(self) -> tuple[Side, Side, Side]:
        return self.base, self.queries, self.other

    def functions(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The oracle's vectors and offsets of all hashes, a table after the other."""
        count = self.tables * self.hashes
        if self.projection == "gaussian":
            return oracle.gaussian_functions(
                count, self.dim, self.seed, self.bucket_length
            )
        return oracle.unit_vectors(count, self.dim, self.seed), np.zeros(count)


def _sizes(draw: Draw, kind: str) -> tuple[list[int], int, int]:
    """Rows of the three sides, their dimension, and hash tables."""
    if kind in SLOW:
        rows = [draw(st.integers(0, most)) for most in (20, 5, 8)]
        return rows, draw(st.integers(1, 6)), draw(st.integers(1, 3))
    rows = [draw(st.integers(0, most)) for most in (200, 25, 50)]
    dim = draw(st.integers(1, draw(st.sampled_from((8, 40, 130)))))
    return rows, dim, draw(st.integers(1, 20))


def _rows(draw: Draw, kind: str, sizes: list[int], dim: int) -> Iterator[Side]:
    """Sides of one making; the last rows of the second are some of the first."""
    maker, dtypes = KINDS[kind]
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows = maker(rng, sum(sizes) + 9, dim)  # makers want some rows
    base, queries, other = np.split(rows[: sum(sizes)], np.cumsum(sizes)[:-1])
    if len(base):
        near = np.arange(len(queries)) % 3 == 0
        queries[near] = base[rng.integers(0, len(base), near.sum())]
    for side in (base, queries, other):
        # By the generator, whose choices are even; hypothesis repeats itself.
        made = hard.as_type(side, str(rng.choice(dtypes)))
        yield Side(made, str(rng.choice(sorted(LAYOUTS))))


def _bucket_length(draw: Draw, sides: list[Side], reach: float) -> float:
    """As wide as the data, or so small that a bucket shows every bit, or is too large."""
    most = max(float(np.abs(side.rows.astype("f8")).max(initial=0)) for side in sides)
    size = (most if most > 0 else 1.0) * reach
    shrink = draw(st.sampled_from((1, 1, 1, 1, 1e-14, 1e-24)))
    width = size * shrink * 2.0 ** draw(st.floats(-4, 3))
    return float(np.clip(width, 1e-300, 1e300))


def _threshold(draw: Draw, left: Rows, right: Rows) -> float:
    """0, +inf, or a distance that occurs, so that it matters whether equality counts."""
    place = draw(st.floats(-0.2, 1.2, allow_subnormal=False))
    if place < 0 or place > 1:
        return 0.0 if place < 0 else float("inf")
    found = np.sort(oracle.distances(left, right).ravel())
    return float(found[int((found.size - 1) * place**3)]) if found.size else 1.0


@st.composite
def cases(draw: Draw) -> Case:
    """A case of any kind."""
    kind = draw(st.sampled_from(sorted(KINDS)))
    sizes, dim, tables = _sizes(draw, kind)
    base, queries, other = _rows(draw, kind, sizes, dim)
    against = (other, base)[draw(st.integers(0, 1))]
    hashes = draw(st.sampled_from((1, 1, 1, 2, 3, 4)))
    projection = draw(st.sampled_from(("spark", "spark", "gaussian")))
    # Gaussian vectors are longer, and where several hashes must agree fewer rows collide.
    reach = (dim**0.5 if projection == "gaussian" else 1.0) * hashes
    return Case(
        kind=kind,
        base=base,
        queries=queries,
        other=other,
        shape=f"{sizes} x {dim}, {[side.rows.dtype.str for side in (base, queries)]}",
        bucket_length=_bucket_length(draw, [base, queries, other], reach),
        tables=tables,
        hashes=hashes,
        projection=projection,
        seed=draw(st.integers(-(2**63), 2**63 - 1)),
        k=draw(st.sampled_from((1, 2, 5, 10, sizes[0] + 7))),
        min_collisions=draw(st.sampled_from((1, 1, tables, (tables + 1) // 2))),
        threshold=_threshold(draw, base.rows, against.rows),
        strict=draw(st.booleans()),
        self_pairs=draw(st.sampled_from(("all", "upper"))),
        threads=draw(st.integers(1, 3)),
    )
