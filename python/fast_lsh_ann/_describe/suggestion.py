"""Which bucket length reaches a recall with the fewest candidates."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fast_lsh_ann._describe.facts import Suggestion
from fast_lsh_ann._describe.neighborhoods import Neighborhoods, lower_bound
from fast_lsh_ann._describe.survey import longest_projection, with_hashes, with_length
from fast_lsh_ann.model import (
    BucketedRandomProjectionLSH,
    BucketedRandomProjectionLSHModel,
)

# More tables than asked for are tried up to so many: each costs a projection of all rows.
_MOST_TABLES = 64
# Where few tables of few hashes select too little: so many of so many may do better.
_SHARP_TABLES = 20
_SHARP_HASHES = (2, 3, 4, 6, 8)
# Distances that stand for all when a recall is foretold.
_QUANTILES = (np.arange(100) + 0.5) / 100
# Lengths to two digits: 1.0, 1.1, ..., 9.9, 10, 11, ...
_STEPS = 90
# How far below the longest length that makes a difference others are tried.
_DECADES = 9
# Halvings that find a length to more than two digits, of 2^-40 to 2^40.
_HALVINGS = 20
# Between rows that are as good as equal: its square underflows.
_LEAST_DISTANCE = 1e-150
_ERF = np.vectorize(math.erf, otypes=[np.float64])


def collision_chance(
    distances: NDArray[np.float64], bucket_length: float
) -> NDArray[np.float64]:
    """Chance that two points share a bucket of one Gaussian projection.

    Datar, Immorlica, Indyk and Mirrokni, 2004, section 3.2: for c = bucket length /
    distance it is ``1 - 2 N(-c) - 2 / (sqrt(2 pi) c) (1 - exp(-c^2 / 2))``.

    Parameters
    ----------
    distances : ndarray
        Of at least 0, as their projections' standard deviation has them.
    bucket_length : float
    """
    with np.errstate(divide="ignore", over="ignore"):
        c = bucket_length / distances
    near = np.clip(c, 1e-9, 1e9)  # beyond it the chance is 0 and 1 to nine digits
    missed = np.sqrt(2 / np.pi) / near * -np.expm1(-near * near / 2)
    chance: NDArray[np.float64] = np.clip(_ERF(near / math.sqrt(2)) - missed, 0.0, 1.0)
    return chance


def candidate_chance(
    distances: NDArray[np.float64],
    lsh: BucketedRandomProjectionLSH,
    dim: int,
    min_collisions: int,
) -> NDArray[np.float64]:
    """Chance that a row is a candidate of another at some distances.

    Spark's vectors are of unit length: what they make of a distance has a standard
    deviation of distance / sqrt(dim), and is about normal.
    """
    spread = distances / math.sqrt(dim) if lsh.projection == "spark" else distances
    table = collision_chance(spread, lsh.bucket_length) ** lsh.num_hashes_per_table
    return 1 - _chance_of_fewer(min_collisions, lsh.num_hash_tables, table)


def _chance_of_fewer(
    hits: int, trials: int, chance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Chance of fewer hits than that, in logarithms for the many of many trials."""
    p = np.clip(chance, 1e-300, 1 - 1e-16)
    fewer = np.zeros(p.shape)
    for k in range(hits):
        ways = math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1)
        fewer += np.exp(ways + k * np.log(p) + (trials - k) * np.log1p(-p))
    return fewer


def suggest(
    near: Neighborhoods,
    lsh: BucketedRandomProjectionLSH,
    min_collisions: int,
    target: float,
) -> Suggestion | None:
    """Find the shortest bucket length whose recall on a sample is surely the target.

    The chance of a collision at the measured distances says where to begin; from there
    lengths of two digits are tried by hashing the sample.  Where no length reaches the
    target, tables are doubled.

    Parameters
    ----------
    near : Neighborhoods
    lsh : BucketedRandomProjectionLSH
        All parameters but the bucket length.
    min_collisions : int
        Hash tables in which candidates collide.
    target : float
        The recall, in (0, 1).

    Returns
    -------
    Suggestion or None
        None where no length with up to 64 tables reaches the target, or all rows of the
        sample are equal.
    """
    farthest = max(float(near.random.max()), longest_projection(lsh, near.rows))
    if near.random.max() < _LEAST_DISTANCE or farthest == math.inf:
        return None
    found = _suggested(near, lsh, min_collisions, target)
    tables = 2 * lsh.num_hash_tables
    while found is None and tables <= _MOST_TABLES:
        found = _suggested(near, with_length(lsh, 1.0, tables), min_collisions, target)
        tables *= 2
    return found


def sharpen(
    near: Neighborhoods, lsh: BucketedRandomProjectionLSH, target: float
) -> Suggestion | None:
    """Find a bucket length for many tables of several hashes, if these select enough.

    How many hashes is what the chance of collisions at the measured distances says of
    the fewest candidates; the length is then found as by `suggest`.

    Returns
    -------
    Suggestion or None
        None unless the engine would look at candidates only.
    """
    dim = near.rows.shape[1]
    shares = []
    for hashes in _SHARP_HASHES:
        tried = with_hashes(lsh, _SHARP_TABLES, hashes)
        made = with_length(tried, _foretold(near, tried, 1, target))
        shares.append(candidate_chance(near.random, made, dim, 1).mean())
    hashes = _SHARP_HASHES[int(np.argmin(shares))]
    found = _suggested(near, with_hashes(lsh, _SHARP_TABLES, hashes), 1, target)
    return found if found is not None and found.search.plan == "bucket" else None


def _suggested(
    near: Neighborhoods,
    lsh: BucketedRandomProjectionLSH,
    min_collisions: int,
    target: float,
) -> Suggestion | None:
    length = _shortest(near, lsh, min_collisions, target)
    if length is None:
        return None
    model = with_length(lsh, length).create_model(near.rows.shape[1])
    return Suggestion(
        length,
        lsh.num_hash_tables,
        lsh.num_hashes_per_table,
        min_collisions,
        near.measure(model, min_collisions),
    )


def _shortest(
    near: Neighborhoods,
    lsh: BucketedRandomProjectionLSH,
    min_collisions: int,
    target: float,
) -> float | None:
    """Find the shortest bucket length of two digits that surely reaches a recall."""
    dim = near.rows.shape[1]

    def made(step: int) -> BucketedRandomProjectionLSHModel:
        return with_length(lsh, _two_digits(step)).create_model(dim)

    def reaches(step: int) -> bool:
        return lower_bound(near.found_by(made(step), min_collisions)) >= target

    last = _step_of(_longest(near, lsh)) + 1
    first = last - _DECADES * _STEPS
    start = _step_of(_foretold(near, lsh, min_collisions, target))
    step = _first(reaches, min(max(start, first), last), first, last)
    return None if step is None else _two_digits(step)


def _first(
    reaches: Callable[[int], bool], start: int, first: int, last: int
) -> int | None:
    """Find a step that reaches, while the one before does not, by doubled strides."""
    low = high = start
    stride = 1
    while high < last and not reaches(high):
        low, high, stride = high, min(high + stride, last), 2 * stride
    if high == last and not reaches(last):
        return None
    while low == high and high > first:
        low = max(high - stride, first)
        if reaches(low):
            high, stride = low, 2 * stride
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return high


def _foretold(
    near: Neighborhoods,
    lsh: BucketedRandomProjectionLSH,
    min_collisions: int,
    target: float,
) -> float:
    """Say which bucket length should reach a recall, by the chance of collisions."""
    dim = near.rows.shape[1]
    distances = np.quantile(near.distances, _QUANTILES)
    typical = float(np.median(near.random)) or float(near.random.max())
    low, high = -40.0, 40.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        made = with_length(lsh, typical * math.pow(2.0, middle))
        chance = candidate_chance(distances, made, dim, min_collisions).mean()
        low, high = (low, middle) if chance >= target else (middle, high)
    return typical * math.pow(2.0, high)


def _longest(near: Neighborhoods, lsh: BucketedRandomProjectionLSH) -> float:
    """Give a length beyond which collisions are what they are at it, or nearly.

    Without offsets two buckets are left, on either side of 0, when no projection is
    longer; with them all rows share one, but for a border in one case of a thousand.
    """
    reach = longest_projection(lsh, near.rows)
    return reach if lsh.projection == "spark" else 2e3 * reach


def _step_of(length: float) -> int:
    """Give the number of the longest length of two digits that is not above one."""
    power = math.floor(math.log10(length))
    digits = math.floor(length / 10.0**power * 10)
    return power * _STEPS + min(max(digits, 10), 99) - 10


def _two_digits(step: int) -> float:
    power, digits = divmod(step, _STEPS)
    return float(f"{digits + 10}e{power - 1}")
