"""Models draw their hash functions when these are first needed, and only then."""

import pickle
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import oracle
import pytest
from fast_lsh_ann import (
    BucketedRandomProjectionLSH,
    BucketedRandomProjectionLSHModel,
    _core,
    errors,
)

ROWS = np.random.default_rng(3).standard_normal((50, 40))
BUCKETS = oracle.buckets(ROWS, oracle.unit_vectors(30, 40, 42), 0.5)


def made() -> BucketedRandomProjectionLSHModel:
    return BucketedRandomProjectionLSH(0.5, 30).create_model(40)


@pytest.fixture
def draws(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the core was asked to draw since."""
    asked: list[Any] = []
    draw = _core.model_new

    def noted(*parameters: Any) -> Any:
        asked.append(parameters)
        return draw(*parameters)

    monkeypatch.setattr(_core, "model_new", noted)
    return asked


@pytest.mark.parametrize(
    "make",
    [
        made,
        lambda: BucketedRandomProjectionLSH(0.5, 30).fit(ROWS),
        lambda: BucketedRandomProjectionLSHModel(0.5, 30, 42, 40),
        lambda: pickle.loads(pickle.dumps(made())),
    ],
    ids=["create_model", "fit", "class", "pickle"],
)
def test_hash_functions_are_drawn_once_when_they_are_needed(
    draws: list[Any], make: Callable[[], BucketedRandomProjectionLSHModel]
) -> None:
    model = make()
    assert (model.dim, model.seed, model.num_hash_tables) == (40, 42, 30)
    assert repr(model) == repr(pickle.loads(pickle.dumps(model)))
    assert draws == []
    for _ in range(2):
        assert model.transform(ROWS).tobytes() == BUCKETS.tobytes()
        assert model.random_vectors.shape == (30, 40)
    assert len(draws) == 1


def test_what_cannot_be_drawn_is_refused_when_it_is_asked_for() -> None:
    for length in (0.0, -1.0, np.nan, np.inf, 5e-324):
        with pytest.raises(errors.ParameterError, match="bucket_length must be positive"):
            BucketedRandomProjectionLSH(length)
    lsh = BucketedRandomProjectionLSH(1.0, 2**13, num_hashes_per_table=2**6)
    lsh.create_model(2**7)
    for make in (
        lambda: lsh.create_model(2**7 + 1),
        lambda: BucketedRandomProjectionLSHModel(1.0, 2**13, 42, 2**13 + 1),
        lambda: BucketedRandomProjectionLSH(1.0, 2**14, num_hashes_per_table=2**13),
    ):
        with pytest.raises(errors.ParameterError, match="x dim must be at most"):
            make()


def test_a_draw_that_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    model, draw = made(), _core.model_new

    def fails(*_: Any) -> Any:
        monkeypatch.setattr(_core, "model_new", draw)
        raise errors.OutOfMemoryError("not now")

    monkeypatch.setattr(_core, "model_new", fails)
    with pytest.raises(errors.OutOfMemoryError, match="not now"):
        model.transform(ROWS)
    assert model.transform(ROWS).tobytes() == BUCKETS.tobytes()


def test_threads_that_need_a_new_model_at_once_all_get_its_hashes() -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(30):
            model, start = made(), threading.Barrier(8)
            found: list[bytes] = []

            def use(
                model: BucketedRandomProjectionLSHModel = model,
                start: threading.Barrier = start,
                found: list[bytes] = found,
            ) -> None:
                start.wait()
                found.append(model.transform(ROWS).tobytes())

            threads = [threading.Thread(target=use) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert found == [BUCKETS.tobytes()] * 8
    finally:
        sys.setswitchinterval(before)
