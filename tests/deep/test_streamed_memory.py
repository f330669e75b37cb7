"""Searches of tables twenty times as large as their limit: memory, and their plans."""

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from fast_lsh_ann import StreamingLSHProcessor, create_sample_delta
from fast_lsh_ann.tables import write_table

sys.path.insert(0, str(Path(__file__).parents[1] / "python"))
from test_neighbors_memory import assert_within


@pytest.fixture(scope="module")
def base() -> Iterator[Path]:
    """5 GB of rows, which are not left to be looked at."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "base"
        create_sample_delta(path, 10_000_000, 128)
        yield path


def test_memory_holds_under_a_limit(tmp_path: Path, base: Path) -> None:
    """So many neighbors that 6,000 queries take four passes."""
    create_sample_delta(tmp_path / "q", 6_000, 128, seed=7)
    assert_within(base, tmp_path / "q", "256MiB", 2_000, 12_000_000)


def test_memory_holds_under_a_large_limit() -> None:
    """21 GB of rows, and three passes whose neighbors fill what there is."""
    with tempfile.TemporaryDirectory() as folder:
        base, queries = Path(folder) / "base", Path(folder) / "queries"
        create_sample_delta(base, 42_000_000, 128)
        create_sample_delta(queries, 4_500, 128, seed=7)
        assert_within(base, queries, "1024MiB", 12_000, 54_000_000)


def test_memory_holds_where_ids_are_long_texts(tmp_path: Path) -> None:
    """More of them are found than fit, so they are looked up for some queries at a time.

    Both sides have texts of 150 bytes.
    """

    def write(name: str, rows: int, seed: int) -> Path:
        vectors = np.random.default_rng(seed).standard_normal((rows, 32), dtype="f4")
        ids = pl.select(id=pl.int_range(rows).cast(pl.String).str.zfill(150))
        frame = ids.with_columns(embedding=pl.Series(vectors).arr.to_list())
        write_table(frame, tmp_path / name)
        return tmp_path / name

    base, queries = write("base", 6_000_000, 1), write("queries", 20_000, 2)
    assert_within(base, queries, "256MiB", 100, 2_000_000)


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
