"""Fixtures that more than one test file uses."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from object_store import ObjectStore, running_store
from subjects import Library, Oracle, Subject

# How many random cases: `--hypothesis-profile deep` asks for many, other ones every time.
_CASES: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "print_blob": True,
    "suppress_health_check": list(HealthCheck),
}
settings.register_profile("everyday", max_examples=400, derandomize=True, **_CASES)
settings.register_profile("deep", max_examples=5_000, **_CASES)
settings.load_profile("everyday")

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(params=[Library, Oracle], ids=["library", "oracle"])
def subject(request: pytest.FixtureRequest) -> Subject:
    """What golden data is compared with: the library, and the library's oracle."""
    made: Subject = request.param()
    return made


@pytest.fixture(scope="session")
def object_store() -> Iterator[ObjectStore]:
    """An S3 store that lasts as long as the tests."""
    with running_store() as store:
        yield store


@pytest.fixture
def run_python() -> Run:
    """Run a program in a fresh interpreter; unless told otherwise it must succeed."""

    def run(
        program: str, *, must_succeed: bool = True, **environment: str
    ) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=Path(__file__).parent,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if must_succeed:
            assert done.returncode == 0, done.stderr
        return done

    return run
