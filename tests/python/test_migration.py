"""From fast-lsh-ann 0.1.1: its pickles are recognised, its bucket lengths translated."""

import io
import itertools
import math
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fast_lsh_ann
import golden
import numpy as np
import pytest
from conftest import Run
from fast_lsh_ann.errors import FastLSHError, OldPickleError
from numpy.typing import NDArray

RECORDED = golden.load("version_0_1_1/recorded.json")
GUIDE = Path(__file__).parents[2] / "docs" / "migration.md"
Model = fast_lsh_ann.BucketedRandomProjectionLSHModel

# ---- pickles ---------------------------------------------------------------------------


class OwnFindClass(pickle._Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        assert module == "fast_lsh_ann"
        return super().find_class(module, name)


LOADERS: dict[str, Callable[[bytes], Any]] = {
    "loads": pickle.loads,
    "load": lambda data: pickle.load(io.BytesIO(data)),
    "Unpickler": lambda data: pickle.Unpickler(io.BytesIO(data)).load(),
    "in Python": pickle._loads,  # type: ignore[attr-defined]
    "subclass": lambda data: OwnFindClass(io.BytesIO(data)).load(),
}


@pytest.mark.parametrize("load", LOADERS.values(), ids=LOADERS.keys())
@pytest.mark.parametrize("case", RECORDED["pickles"], ids=lambda c: f"{c['protocol']}")
def test_a_pickle_of_the_old_package_is_named(
    case: Any, load: Callable[[bytes], Any]
) -> None:
    length, tables, seed, dim = case["parameters"]
    with pytest.raises(OldPickleError) as caught:
        load(bytes.fromhex(case["pickle"]))
    assert isinstance(caught.value, FastLSHError)
    assert isinstance(caught.value, pickle.UnpicklingError)
    told = str(caught.value)
    for part in (
        "fast-lsh-ann 0.1.1",
        f"bucket_length={length}, num_hash_tables={tables}, seed={seed}, dim={dim}",
        f"Model({float(f'{length / math.sqrt(dim):.4g}')}, {tables}, dim={dim})",
        "projection='gaussian'",
        "docs/migration.md",
    ):
        assert part in told


def test_a_list_of_old_models_is_named_too() -> None:
    with pytest.raises(OldPickleError):
        pickle.loads(bytes.fromhex(RECORDED["pickled_list"]))


def test_calls_of_the_class_are_no_pickles() -> None:
    """However the class was found, and whoever calls it."""
    parameters = (2.0, 5, 42, 16)
    expected = repr(Model(*parameters))
    found_by_name: Any = getattr(
        fast_lsh_ann, "".join(["BucketedRandom", "ProjectionLSHModel"])
    )
    unpickled: Any = pickle.loads(pickle.dumps(Model))
    made = [
        fast_lsh_ann.BucketedRandomProjectionLSHModel(2.0, 5, 42, 16),
        fast_lsh_ann.BucketedRandomProjectionLSHModel(*parameters),
        found_by_name(*parameters),
        unpickled(*parameters),
        *map(Model, *zip(parameters, strict=True)),
        *itertools.starmap(fast_lsh_ann.BucketedRandomProjectionLSHModel, [parameters]),
        pickle.loads(pickle.dumps(Model(*parameters))),
    ]
    assert found_by_name is unpickled is Model
    assert [repr(model) for model in made] == [expected] * 7


def test_an_old_pickle_is_named_by_the_first_thing_a_process_does(
    run_python: Run,
) -> None:
    data = RECORDED["pickles"][5]["pickle"]
    done = run_python(f"""
import pickle
try:
    pickle.loads(bytes.fromhex("{data}"))
except pickle.UnpicklingError as error:
    print(type(error).__name__)
""")
    assert done.stdout == "OldPickleError\n"


# ---- bucket lengths --------------------------------------------------------------------


def colliding_share(buckets: NDArray[np.int64]) -> float:
    """Of the pairs of two rows, those that collide in a table; the mean of all tables."""
    n, tables = map(int, buckets.shape)
    pairs = 0
    for column in buckets.T:
        counts = np.unique(column, return_counts=True)[1]
        pairs += int((counts * (counts - 1)).sum())
    return pairs / (n * (n - 1) * tables)


@pytest.mark.parametrize(
    "case",
    RECORDED["colliding_shares"],
    ids=lambda c: f"{c['centre']}-{c['bucket_length']}",
)
def test_as_many_pairs_collide_as_by_the_old_package(case: Any) -> None:
    """The same bucket length with Gaussian projections; Spark's divided by sqrt(dim)."""
    rows = np.random.default_rng(7).standard_normal((1000, 64)).astype(np.float32)
    rows += np.float32(case["centre"])
    length, old = case["bucket_length"], float(np.mean(case["shares"]))
    gaussian = Model(length, 500, 4, 64, projection="gaussian").transform(rows)
    assert abs(colliding_share(gaussian) - old) < 0.02
    spark = colliding_share(Model(length / 8, 500, 4, 64).transform(rows))
    if length == 10 or case["centre"] != 0:
        assert abs(spark - old) < 0.02
    else:  # wider than the projections of centred rows spread: a border cuts them at 0
        assert spark <= 0.505 < old


# ---- the guide -------------------------------------------------------------------------


def test_the_guide_runs_from_top_to_bottom() -> None:
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert len(blocks) == 3
    assert all("\nassert " in block for block in blocks)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "docs/migration.md", "exec"), names)


def test_the_numbers_of_the_guide_were_recorded() -> None:
    rows = re.findall(
        r"^\| (\d) \| (\d+) \| (0\.\d+) \| (0\.\d+) \| (0\.\d+) \|$",
        GUIDE.read_text(),
        re.MULTILINE,
    )
    assert len(rows) == len(RECORDED["colliding_shares"])
    data = np.random.default_rng(7).standard_normal((1000, 64)).astype(np.float32)
    for row, case in zip(rows, RECORDED["colliding_shares"], strict=True):
        centre, length, old, gaussian, spark = map(float, row)
        assert (centre, length) == (case["centre"], case["bucket_length"])
        assert round(float(np.mean(case["shares"])), 2) == old
        moved = data + np.float32(centre)
        model = Model(length, 500, 42, 64, projection="gaussian")
        assert round(colliding_share(model.transform(moved)), 2) == gaussian
        model = Model(length / 8, 500, 42, 64)
        assert round(colliding_share(model.transform(moved)), 2) == spark
