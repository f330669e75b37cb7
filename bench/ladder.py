"""Data on which codes fail: the engine's time over that of a scan by float32 alone.

Each kind of data is searched with few and many queries and neighbors, on an index and
from the raw rows, on one thread (ladder.c).  Where codes let too much pass, floats must
take over before that has cost much: never more than half a scan by floats.
"""

import ctypes
from collections.abc import Callable, Mapping
from typing import Any

import compiled
import numpy as np
from contests import Settings
from data import Rows, gaussian
from report import Part, Result, Score, rows, times
from stage import ContenderError

N, QUERIES, ROUNDS = 20_000, 300, 3
BATCHES = ((1, 10), (16, 10), (100, 10), (300, 10), (300, 1000))  # queries, k
DIMENSIONS = (16, 128, 512)
FLOATS, INDEX, RAW = range(3)

Random = np.random.Generator
Sides = tuple[Rows, Rows]
Kind = Callable[[Random, int, int], Sides]


def drawn(draw: Callable[[Random, tuple[int, int]], Rows]) -> Kind:
    """Rows and queries of one distribution."""
    return lambda random, n, dim: (draw(random, (n, dim)), draw(random, (QUERIES, dim)))


def normal(random: Random, shape: tuple[int, int]) -> Rows:
    return gaussian(*shape, int(random.integers(1 << 31)))


def one_hot(random: Random, shape: tuple[int, int]) -> Rows:
    found = np.zeros(shape)
    found[np.arange(shape[0]), random.integers(shape[1], size=shape[0])] = 1
    return found


def sparse(random: Random, shape: tuple[int, int]) -> Rows:
    return np.asarray(normal(random, shape) * (random.random(shape) < 0.02))


def giant_column(random: Random, shape: tuple[int, int]) -> Rows:
    found = normal(random, shape)
    found[:, 0] *= 1e6
    return found


def six_scales(random: Random, shape: tuple[int, int]) -> Rows:
    return np.asarray(
        normal(random, shape) * 10.0 ** -random.integers(6, size=(shape[0], 1))
    )


def on_a_sphere(random: Random, n: int, dim: int) -> Sides:
    """All about as far from the queries, in its middle."""
    found = normal(random, (n, dim))
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found, normal(random, (QUERIES, dim)) * 1e-4


def with_giants(share: float) -> Kind:
    """One giant coordinate in this share of the rows."""

    def kind(random: Random, n: int, dim: int) -> Sides:
        found = normal(random, (n, dim))
        found[random.random(n) < share, dim // 2] = 1e6
        return found, normal(random, (QUERIES, dim))

    return kind


def with_small(scale: float, tiles: int) -> Kind:
    """Every other so many tiles of 64 rows are that small, and the queries."""

    def kind(random: Random, n: int, dim: int) -> Sides:
        found = normal(random, (n, dim))
        found[np.arange(n) // (64 * tiles) % 2 == 1] *= scale
        return found, normal(random, (QUERIES, dim)) * scale

    return kind


def inward(random: Random, n: int, dim: int) -> Sides:
    """Each row is nearer to the queries than those before."""
    found = normal(random, (n, dim)) * np.linspace(3, 0.01, n, dtype=np.float32)[:, None]
    return found, normal(random, (QUERIES, dim)) * 0.01


def few_distinct(random: Random, n: int, dim: int) -> Sides:
    distinct = normal(random, (100, dim))
    base, asked = (distinct[random.integers(100, size=count)] for count in (n, QUERIES))
    return base, asked


def beside_the_directions(random: Random, n: int, dim: int) -> Sides:
    """Two thirds vary in 16 directions; queries are among the others, which do not."""
    found = normal(random, (n, 16)) @ normal(random, (16, dim))
    found += 0.05 * normal(random, (n, dim))
    others = random.random(n) < 1 / 3
    found[others] = 0.5 * normal(random, (int(others.sum()), dim))
    return found, 0.5 * normal(random, (QUERIES, dim))


KINDS: Mapping[str, Kind] = {
    "Gaussian": drawn(normal),
    "Gaussian, 1e4 away": drawn(lambda random, shape: 1e4 + normal(random, shape)),
    "Student t, 2 degrees": drawn(lambda random, shape: random.standard_t(2, shape)),
    "Cauchy": drawn(lambda random, shape: random.standard_cauchy(shape)),
    "log-normal, sigma 3": drawn(lambda random, shape: np.exp(3 * normal(random, shape))),
    "on a sphere, queries in its middle": on_a_sphere,
    "queries far away": lambda random, n, dim: (
        normal(random, (n, dim)),
        normal(random, (QUERIES, dim)) + 100,
    ),
    "one giant column": drawn(giant_column),
    "a giant coordinate in 0.7 % of rows": with_giants(0.007),
    "a giant coordinate in 2 % of rows": with_giants(0.02),
    "six scales": drawn(six_scales),
    "every other tile small": with_small(1e-3, 1),
    "every other 64 tiles small": with_small(1e-3, 64),
    "every other 130 tiles a tenth": with_small(0.1, 130),
    "sparse, 2 %": drawn(sparse),
    "one-hot": drawn(one_hot),
    "100 distinct rows": few_distinct,
    "all equal": drawn(lambda random, shape: np.ones(shape)),  # noqa: ARG005
    "sorted inward": inward,
    "queries beside the directions": beside_the_directions,
    "subnormal": drawn(lambda random, shape: 1e-40 * normal(random, shape)),
}


class Program:
    """The function of ladder.c."""

    def __init__(self) -> None:
        try:
            self._library = ctypes.CDLL(str(compiled.ladder()))
        except compiled.CompileError as error:
            raise ContenderError(str(error)) from error

    def seconds(self, sides: Sides, count: int, k: int) -> list[float]:
        """Fastest of some turns: by floats, on an index, from the raw rows."""
        base, asked = (np.ascontiguousarray(side, np.float32) for side in sides)
        taken = np.empty((ROUNDS, 3))
        arguments: list[Any] = [
            ctypes.c_void_p(base.ctypes.data),
            ctypes.c_size_t(len(base)),
            ctypes.c_void_p(asked.ctypes.data),
            ctypes.c_size_t(count),
            ctypes.c_size_t(base.shape[1]),
            ctypes.c_size_t(min(k, len(base))),
            ROUNDS,
            ctypes.c_void_p(taken.ctypes.data),
        ]
        if self._library.ladder(*arguments):
            raise ContenderError("a search failed, or gave another answer")
        return [float(fastest) for fastest in taken.min(axis=0)]


def ladder(settings: Settings) -> Result:
    """A table of all kinds and batches, and the worst of them."""
    program, n = Program(), settings.rows(N)
    cells, worst = [], dict.fromkeys((INDEX, RAW), 0.0)
    for name, kind in KINDS.items():
        for dim in DIMENSIONS:
            sides = kind(np.random.default_rng(dim), n, dim)
            shown = []
            for count, k in BATCHES:
                taken = program.seconds(sides, count, k)
                ratios = {way: taken[way] / taken[FLOATS] for way in worst}
                worst = {way: max(worst[way], ratios[way]) for way in worst}
                shown.append(" / ".join(times(ratio) for ratio in ratios.values()))
            cells.append([name, f"{dim}", *shown])
    header = ["data", "d", *(f"{count} queries, k = {k:,}" for count, k in BATCHES)]
    lines = ["", f"{n:,} rows, one thread: on an index / from the raw rows", ""]
    searches = f"worst of {len(cells) * len(BATCHES)} searches, times a float32 scan"
    scores = [
        Score(f"{searches}, {where}", 1.5, 1.25, worst[way], at_most=True)
        for way, where in ((INDEX, "on an index"), (RAW, "from raw rows"))
    ]
    return Result(scores=scores, lines=[*lines, *rows(header, cells), ""])


PARTS: Mapping[str, Part] = {"ladder": ladder}
