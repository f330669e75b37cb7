"""Hard data gives the oracle's answers on every tier, whatever the filters round.

A row that a filter dropped wrongly is missing here: k-th distances and thresholds are
ties, and every kind of rows that once defeated a filter in trials is among the cases.
"""

import pickle
from pathlib import Path

import fast_lsh_ann
import hard
import pytest
from conftest import Run

TIED = ("grid", "identical", "repeated")

PROGRAM = """
import pickle, sys, fast_lsh_ann, hard
answers = pickle.load(open({path!r}, "rb"))
checked = 0
for what, sides in hard.cases():
    hard.check(sides, answers[what], what)
    checked += 1
print(fast_lsh_ann.simd_info().tier, checked)
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The oracle's answers to all cases, computed once."""
    path = tmp_path_factory.mktemp("certificate") / "answers"
    found = {what: hard.expected(sides, hard.K) for what, sides in hard.cases()}
    path.write_bytes(pickle.dumps(found))
    return path


@pytest.mark.parametrize("tier", fast_lsh_ann.simd_info().tiers)
def test_no_tier_loses_an_answer_on_hard_data(
    tier: str, answers: Path, run_python: Run
) -> None:
    cases = len(pickle.loads(answers.read_bytes()))
    done = run_python(PROGRAM.format(path=str(answers)), FAST_LSH_ANN_SIMD=tier)
    assert done.stdout.split() == [tier, str(cases)]
    assert cases > 3 * len(hard.KINDS)


def test_dimensions_and_ties_are_among_the_cases(answers: Path) -> None:
    """The cases do what they are there for."""
    found = pickle.loads(answers.read_bytes())
    dims = {int(what.split()[-2]) for what in found}
    assert dims == {*hard.DIMENSIONS, *hard.LONG_DIMENSIONS, hard.SHORT_FORM_DIM}
    kth = [e.neighbors.distances for what, e in found.items() if what.startswith(TIED)]
    assert sum(int((d[:, -1] == d[:, -2]).sum()) for d in kth) > 50
    assert all(len(e.pairs.left) > 0 for e in found.values())
