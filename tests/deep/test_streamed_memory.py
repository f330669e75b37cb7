"""Searches of tables twenty times as large as their limit: memory, and their plans."""

import sys
import time
from pathlib import Path

import pytest
from fast_lsh_ann import StreamingLSHProcessor, create_sample_delta

sys.path.insert(0, str(Path(__file__).parents[1] / "python"))
from test_neighbors_memory import assert_within


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """5 GB of rows."""
    path = tmp_path_factory.mktemp("tables") / "base"
    create_sample_delta(path, 10_000_000, 128)
    return path


def test_memory_holds_under_a_limit(tmp_path: Path, base: Path) -> None:
    """So many neighbors that 6,000 queries take two passes."""
    create_sample_delta(tmp_path / "q", 6_000, 128, seed=7)
    assert_within(base, tmp_path / "q", "256MiB", 1_000, 6_000_000)


@pytest.mark.parametrize(("queries", "k"), [(100, 10), (20_000, 10), (1_000, 300)])
def test_a_plan_is_right_within_a_factor_of_two(
    tmp_path: Path, base: Path, queries: int, k: int
) -> None:
    """Of reading, of filtering, and of keeping many neighbors."""
    create_sample_delta(tmp_path / "q", queries, 128, seed=7)
    lsh = StreamingLSHProcessor(memory_limit="512MiB")
    plan = lsh.plan_nearest_neighbors(tmp_path / "q", base, k, exact=True)
    start = time.perf_counter()
    frames = lsh.nearest_neighbors_streaming(tmp_path / "q", base, k, exact=True)
    assert sum(frame.height for frame in frames) == queries * k
    took = time.perf_counter() - start
    assert plan.seconds / 2 < took < 2 * plan.seconds, str(plan)
