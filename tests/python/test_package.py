"""The package as files: import cost, stubs, status names, doctests, version."""

import ast
import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import fast_lsh_ann
import numpy as np
import pytest
from conftest import Run
from fast_lsh_ann import _core, errors

PACKAGE = Path(fast_lsh_ann.__file__).parent
HEADER = Path(__file__).parents[2] / "include" / "fast_lsh_ann.h"

OPTIONAL = {
    *("deltalake", "polars", "pyarrow", "pandas", "tqdm", "arro3", "nanoarrow"),
    "matplotlib",
}


@pytest.mark.measured
def test_importing_is_quick_and_starts_nothing(run_python: Run) -> None:
    program = """
import os, sys, time
import numpy
threads, start = len(os.listdir("/proc/self/task")), time.process_time()
import fast_lsh_ann
import numpy as np
print(time.process_time() - start)
assert len(os.listdir("/proc/self/task")) == threads
print(*sorted({name.split(".")[0] for name in sys.modules}))
"""
    seconds = []
    for _ in range(3):
        first, modules = run_python(program).stdout.splitlines()
        assert not OPTIONAL & set(modules.split())
        seconds.append(float(first))
    assert min(seconds) < 0.1


def test_the_stub_lists_the_extensions_functions() -> None:
    tree = ast.parse((PACKAGE / "_core.pyi").read_text())
    stub = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    real = {
        name for name in dir(_core) if callable(getattr(_core, name)) and name[0] != "_"
    }
    assert stub == real
    assert len(stub) >= 15


def test_every_status_is_an_exception_class() -> None:
    declared = re.findall(r"^    (FLA_(?:OK|ERR_\w+))", HEADER.read_text(), re.MULTILINE)
    assert _core.status_names() == declared
    tree = ast.parse((PACKAGE / "errors.py").read_text())
    (call,) = (
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).endswith("register_errors")
    )
    assert isinstance(call.args[0], ast.Dict)
    registered = {
        ast.literal_eval(key): getattr(errors, ast.unparse(value))
        for key, value in zip(call.args[0].keys, call.args[0].values, strict=True)
        if key is not None
    }
    assert set(registered) == set(declared) - {"FLA_OK"}
    for raised in registered.values():
        assert issubclass(raised, errors.FastLSHError)


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("ParameterError", ValueError),
        ("DimensionError", ValueError),
        ("InvalidVectorError", ValueError),
        ("BucketRangeError", ValueError),
        ("InputTypeError", TypeError),
        ("OutOfMemoryError", MemoryError),
    ],
)
def test_errors_are_caught_by_the_builtin_classes(
    name: str, builtin: type[Exception]
) -> None:
    assert issubclass(getattr(errors, name), builtin)


def test_the_version_is_the_headers() -> None:
    numbers = re.findall(r"FLA_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", HEADER.read_text())
    assert fast_lsh_ann.__version__ == ".".join(numbers)
    assert len(numbers) == 3


def test_type_information_is_shipped() -> None:
    assert (PACKAGE / "py.typed").exists()


def modules() -> list[str]:
    found = pkgutil.walk_packages([str(PACKAGE)], "fast_lsh_ann.")
    no_source = ("._core", ".__main__")  # compiled; runs when imported
    names = [module.name for module in found if not module.name.endswith(no_source)]
    return ["fast_lsh_ann", *names]


@pytest.mark.parametrize("name", modules())
def test_doctests_of_a_module(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0


def test_public_classes_and_functions_have_examples_that_run() -> None:
    finder = doctest.DocTestFinder()
    examples = {
        test.name: len(test.examples)
        for name in fast_lsh_ann.__all__
        for test in finder.find(getattr(fast_lsh_ann, name), name)
    }
    for name in ("BucketedRandomProjectionLSH", "LSHIndex", "exact_nearest_neighbors"):
        assert examples[name] > 0, f"{name} has no example"


def test_the_extension_refuses_outputs_of_another_size() -> None:
    rows = np.zeros((5, 2), dtype=np.float32)
    short = np.empty((5, 1), dtype=np.int64), np.empty((5, 1)), np.empty(5, np.int64)
    index = _core.index_new(None, rows, 0, "rows")
    with pytest.raises(ValueError, match="5"):
        _core.index_neighbors(index, rows, 2, 0, 0, *short, None, "queries")
    with pytest.raises(ValueError, match="5 x 2"):
        _core.rows_neighbors(None, rows, rows, 2, 0, *short, None, ("rows", "queries"))
    model = _core.model_new(1.0, 3, 1, 2, 0, 1, 0)
    with pytest.raises(ValueError, match="size"):
        _core.model_hash(model, rows, 0, short[0], None, "rows")
