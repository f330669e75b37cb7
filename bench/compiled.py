"""The C programs of the benchmarks, compiled when they are wanted."""

import subprocess
from functools import cache
from pathlib import Path

from data import BUILD, ROOT

HERE = Path(__file__).parent
TOOLS = ROOT / ".venv" / "bin"
NAIVE = HERE / "naive.c"
# Contraction would change the rounding.
NAIVE_FLAGS = ("-O3", "-march=native", "-ffp-contract=off")


class CompileError(Exception):
    """A program that could not be compiled or run here."""


@cache
def reader() -> Path:
    """A library that reads memory with some threads."""
    output = BUILD / "read_rows.so"
    source = str(HERE / "read_rows.c")
    run(["cc", "-O3", "-shared", "-fPIC", "-pthread", "-o", str(output), source])
    return output


@cache
def naive() -> Path:
    """A library of the naive program."""
    output = BUILD / "naive.so"
    flags = [*NAIVE_FLAGS, "-shared", "-fPIC", "-pthread"]
    run(["cc", *flags, "-o", str(output), str(NAIVE), "-lm"])
    return output


def made(target: str) -> Path:
    """A program of ours that looks inside the library, built with it."""
    folder = BUILD / "c"
    run([tool("cmake"), "-S", str(ROOT), "-B", str(folder), "-DFLA_TESTS=ON"])
    run([tool("cmake"), "--build", str(folder), "--target", target, "-j", "4"])
    return folder / target


def kernels(tier: str) -> str:
    """What the program of kernels.c prints about a tier."""
    return run([str(made("bench_kernels")), tier])


def ladder() -> Path:
    """A library of the searches in ladder.c."""
    return made("bench_ladder").with_suffix(".so")


def tool(name: str) -> str:
    """The one that `make` has installed, or the system's."""
    return str(TOOLS / name) if (TOOLS / name).exists() else name


def run(command: list[str]) -> str:
    BUILD.mkdir(parents=True, exist_ok=True)
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except OSError as error:
        raise CompileError(str(error)) from error
    except subprocess.CalledProcessError as error:
        raise CompileError(f"{command[0]}: {error.stderr.strip()[-300:]}") from error
