"""``fast-lsh-ann doctor``: whether this installation works, and what it lacks."""

import importlib
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import numpy as np

from fast_lsh_ann import _core
from fast_lsh_ann._cli.options import Commands, Namespace, add_command
from fast_lsh_ann._runtime import simd_info
from fast_lsh_ann._streamed.memory import available_memory, working_limit
from fast_lsh_ann._text import bytes_text
from fast_lsh_ann.delta_utils import create_sample_delta, read_delta_embeddings
from fast_lsh_ann.errors import FastLSHError
from fast_lsh_ann.index import exact_nearest_neighbors
from fast_lsh_ann.model import BucketedRandomProjectionLSH

# Package -> the extra that installs it, and what needs it.
_OPTIONAL = {
    "deltalake": ("delta", "Delta tables"),
    "polars": ("delta", "tables of every kind"),
    "pyarrow": ("arrow", "Arrow files and streams, Parquet output, Spark's models"),
    "tqdm": ("progress", "progress bars; else a plain line"),
    "matplotlib": ("plot", "pictures of describe"),
}
_LOW_MEMORY = 256 << 20
# The first numbers that java.util.Random(42).nextGaussian() gives.
_JAVA_GAUSSIANS = (1.1419053154730547, 0.9194079489827879, -0.9498666368908959)


class _CheckError(Exception):
    """A check has failed; the message says what was found."""


# A check's name, whether it passed (None: a remark), and what was found.
Finding = tuple[str, bool | None, str]


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "doctor",
        _run,
        help="check that this installation works, and say what it lacks",
        description="Check the processor's kernels against plain arithmetic, memory,\n"
        "folders and optional packages, and write and read a small Delta table in a\n"
        "temporary folder.  The exit status is 1 if a check fails.",
    )
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="print the checks that fail only"
    )


def _run(arguments: Namespace) -> int:
    failed = 0
    for name, passed, text in _findings():
        mark = {True: "ok", False: "FAILED", None: "--"}[passed]
        failed += passed is False
        if passed is False or not arguments.quiet:
            print(f"{mark:<7} {name:<11} {text}")
    if not arguments.quiet:
        print(f"\n{failed} checks failed" if failed else "\nAll is well.")
    return 1 if failed else 0


def _findings() -> Iterator[Finding]:
    yield (
        "package",
        None,
        f"fast_lsh_ann {_core.__version__} in {Path(__file__).parents[1]}",
    )
    yield "python", None, f"{platform.python_version()}, NumPy {np.__version__}"
    for name, value in sorted(os.environ.items()):
        if name.startswith("FAST_LSH_ANN_"):
            yield "setting", None, f"{name}={value}"
    checks: dict[str, Callable[[], str]] = {
        "kernels": _check_kernels,
        "hashing": _check_hashing,
        "search": _check_search,
        "memory": _check_memory,
        "temporary": _check_temporary,
    }
    for name, check in checks.items():
        yield _checked(name, check)
    missing = []
    for package in _OPTIONAL:
        passed, text = _package(package)
        missing += [package] if passed is None else []
        yield package, passed, text
    if not {"deltalake", "polars"} & set(missing):
        yield _checked("delta", _check_delta)


def _require(condition: bool, text: str) -> None:
    if not condition:
        raise _CheckError(text)


def _checked(name: str, check: Callable[[], str]) -> Finding:
    try:
        return name, True, check()
    except (FastLSHError, OSError, _CheckError) as error:
        return name, False, str(error)


def _check_kernels() -> str:
    info = simd_info()
    threads = "1 thread" if info.threads == 1 else f"{info.threads} threads"
    return f"{info.tier} of {', '.join(info.tiers)}; {threads}"


def _check_hashing() -> str:
    """Compare with the JDK's numbers, and with the definition in plain arithmetic."""
    drawn = BucketedRandomProjectionLSH(1.0, 1, 42).create_model(3).random_vectors[0]
    expected = np.divide(_JAVA_GAUSSIANS, np.linalg.norm(_JAVA_GAUSSIANS))
    _require(np.allclose(drawn, expected, rtol=1e-15), f"drawn {drawn}, not {expected}")
    rows = np.random.default_rng(7).standard_normal((200, 33))
    model = BucketedRandomProjectionLSH(0.5, 3, 42).create_model(33)
    sums = rows @ model.random_vectors.T
    inside = np.abs(sums / 0.5 - np.round(sums / 0.5)) > 1e-9
    buckets = np.floor(sums / 0.5)
    wrong = int(np.sum((model.transform(rows) != buckets) & inside))
    _require(wrong == 0, f"{wrong} of {buckets.size} buckets are wrong")
    return f"{buckets.size} buckets are those of the definition"


def _check_search() -> str:
    rng = np.random.default_rng(8)
    rows, queries = rng.standard_normal((5000, 40)), rng.standard_normal((20, 40))
    found = exact_nearest_neighbors(rows, queries, 10).indices
    distances = ((queries[:, None] - rows) ** 2).sum(axis=2)
    expected = np.argsort(distances, axis=1)[:, :10]
    wrong = int(np.sum(found != expected))
    _require(wrong == 0, f"{wrong} of {expected.size} neighbors are wrong")
    return f"{expected.size} neighbors are those of plain arithmetic"


def _check_memory() -> str:
    free, limit = available_memory(), working_limit(None)
    text = f"{bytes_text(free)} available; limit of streamed calls {bytes_text(limit)}"
    _require(free >= _LOW_MEMORY, f"{text}: too little for most tables")
    return text


def _check_temporary() -> str:
    with tempfile.TemporaryDirectory(prefix="fast_lsh_ann_") as folder:
        free = shutil.disk_usage(folder).free
        return f"{Path(folder).parent}, {bytes_text(free)} free"


def _check_delta() -> str:
    with tempfile.TemporaryDirectory(prefix="fast_lsh_ann_") as folder:
        path = Path(folder, "table")
        create_sample_delta(path, 1000, 8)
        rows, ids = read_delta_embeddings(path, id_column="id")
        whole = ids is not None and len(rows) == 1000 and len(np.unique(ids)) == 1000
        _require(whole, "a table that was written is not what is read")
    return "a table written is read back"


def _package(name: str) -> tuple[bool | None, str]:
    extra, use = _OPTIONAL[name]
    try:
        importlib.import_module(name)
        return True, f"{metadata.version(name)}: {use}"
    except metadata.PackageNotFoundError:
        return True, use
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name == name:
            return None, f"not installed ({use}): pip install 'fast_lsh_ann[{extra}]'"
        return False, f"does not load: {error}"
