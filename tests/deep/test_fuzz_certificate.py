"""Random hard data against the oracle, tier after tier, for some minutes.

`FAST_LSH_ANN_FUZZ_MINUTES` sets the time for all tiers together (2 if it is not set).  A
failure names its case:

    python tests/deep/test_fuzz_certificate.py CASE

repeats it, and FIRST SECONDS runs cases from FIRST on for so long.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import fast_lsh_ann
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "python"))

import hard
import oracle
from checks import assert_same_neighbors, assert_same_pairs
from hard import Rng, Rows, Sides

MINUTES = float(os.environ.get("FAST_LSH_ANN_FUZZ_MINUTES", "2"))
CASES_APART = 10_000_000  # tiers draw different cases


def dimension(rng: Rng) -> int:
    if rng.random() < 0.3:
        return int(rng.choice([*hard.DIMENSIONS, *hard.LONG_DIMENSIONS]))
    return int(2 ** rng.uniform(0, 8))


def rescaled(rng: Rng, sides: Sides) -> Sides:
    """Times and plus something: no scale, centre or distance is a round number."""
    factor = 10.0 ** rng.uniform(-30, 30) if rng.random() < 0.5 else rng.uniform(0.1, 9)
    by = rng.choice([0.0, 1.0, 1e4, 1e8]) * factor * rng.standard_normal()

    def move(rows: Rows) -> Rows:
        return hard.as_type(rows.astype(np.float64) * factor + by, rows.dtype.str[1:])

    return Sides(*map(move, sides))


def mixed(rng: Rng, one: Sides, other: Sides) -> Sides:
    """Some rows and queries of one kind, the others of another."""

    def mix(a: Rows, b: Rows) -> Rows:
        n = min(len(a), len(b))
        taken = rng.random((n, 1)) < rng.choice([0.003, 0.02, 0.5])
        return hard.as_type(np.where(taken, a[:n], b[:n]), a.dtype.str[1:])

    return Sides(*map(mix, one, other))


def draw_short_forms(rng: Rng) -> tuple[str, Sides]:
    """So many rows of so few dimensions that an index makes short forms."""
    kind = str(rng.choice(list(hard.SHORT_FORM_MAKERS)))
    dtype = str(rng.choice(["f4", "f8"]))
    dim = int(rng.integers(hard.SHORT_FORM_DIM, 200))
    n = hard.SHORT_FORM_ROWS + int(rng.integers(200))
    sides = hard.make(kind, dtype, n, 17, dim, int(rng.integers(2**62)))
    return f"{kind}: {n} x {dim}, {dtype}", sides


def draw(rng: Rng) -> tuple[str, Sides]:
    if rng.random() < 0.01:
        return draw_short_forms(rng)
    dim = dimension(rng)
    most = 5000 if dim <= 128 else 1500
    n, queries = int(rng.integers(2, most)), int(rng.integers(hard.FEW, 40))

    def rows_of_a_kind() -> tuple[str, Sides]:
        kind, dtype = hard.KINDS[rng.integers(len(hard.KINDS))]
        seed = int(rng.integers(2**62))
        return kind, hard.make(kind, dtype, n, queries, dim, seed)

    kind, sides = rows_of_a_kind()
    if rng.random() < 0.3:
        second, other = rows_of_a_kind()
        kind, sides = f"{kind} and {second}", mixed(rng, sides, other)
    if rng.random() < 0.4:
        kind, sides = f"{kind}, moved", rescaled(rng, sides)
    if rng.random() < 0.2:
        sides = Sides(sides.base, hard.as_type(sides.queries, rng.choice(["f4", "f8"])))
    types = f"{sides.base.dtype} and {sides.queries.dtype}"
    return f"{kind}: {n} x {queries} x {dim}, {types}", sides


def check_candidates(rng: Rng, sides: Sides, k: int, what: str) -> None:
    """The same among candidates, where hashes do not cost too long."""
    base, queries = sides
    tables = int(rng.integers(1, 25))
    least = int(rng.integers(1, min(tables, 2) + 1))
    extent = max(float(np.max(np.abs(side.astype(np.float64)))) for side in sides)
    width = min(max(extent * 2.0 ** rng.integers(-3, 2), 1e-290), 1e300)
    dim = base.shape[1]
    vectors = oracle.unit_vectors(tables, dim, 7)
    sizes = [oracle.buckets(side, vectors, width) for side in (queries, base)]
    candidates = oracle.collisions(*sizes) >= least
    model = fast_lsh_ann.BucketedRandomProjectionLSHModel(width, tables, 7, dim)
    index = model.index(base)
    answer = oracle.nearest_neighbors(base, queries, k, candidates)
    found = index.nearest_neighbors(queries, k, min_collisions=least)
    assert_same_neighbors(found, answer, f"{what}, candidates")
    reached = answer.distances[np.isfinite(answer.distances)]
    threshold = float(rng.choice(reached)) if reached.size else 0.0
    pairs = oracle.similarity_join(base, queries, threshold, candidates.T)
    found_pairs = index.similarity_join(
        queries, threshold=threshold, min_collisions=least
    )
    assert_same_pairs(found_pairs, pairs, f"{what}, candidates within {threshold}")


def run_case(number: int) -> None:
    rng = np.random.default_rng([99, number])
    kind, sides = draw(rng)
    k = min(int(rng.choice([1, 2, 10, 10, 50, 5000])), len(sides.base))
    what = f"case {number}, {kind}, k {k}"
    hard.check(sides, hard.expected(sides, k), what)
    if sides.base.shape[1] <= 8 and len(sides.base) <= 1500:
        check_candidates(rng, sides, k, what)


def run_cases(first: int, seconds: float) -> int:
    """Run cases for so long; the number of cases run."""
    end, number = time.monotonic() + seconds, first
    while time.monotonic() < end:
        run_case(number)
        number += 1
    return number - first


@pytest.mark.parametrize("tier", fast_lsh_ann.simd_info().tiers)
def test_random_hard_data_gives_the_oracles_answers(
    tier: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tiers = fast_lsh_ann.simd_info().tiers
    first = CASES_APART * (1 + tiers.index(tier))
    command = [sys.executable, __file__, str(first), str(60 * MINUTES / len(tiers))]
    environment = {**os.environ, "FAST_LSH_ANN_SIMD": tier}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    ran, cases = done.stdout.split()
    with capsys.disabled():
        print(f"\n{tier}: {cases} cases")
    assert ran == tier
    assert int(cases) > 0


if __name__ == "__main__":
    if len(sys.argv) == 2:
        run_case(int(sys.argv[1]))
    else:
        cases_run = run_cases(int(sys.argv[1]), float(sys.argv[2]))
        print(fast_lsh_ann.simd_info().tier, cases_run)
