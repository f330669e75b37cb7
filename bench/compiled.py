"""The C programs of the benchmarks, compiled when they are wanted."""

import subprocess
from functools import cache
from pathlib import Path

from data import BUILD, ROOT

HERE = Path(__file__).parent
TOOLS = ROOT / ".venv" / "bin"


class CompileError(Exception):
    """A program that could not be compiled or run here."""


@cache
def reader() -> Path:
    """A library that reads memory with some threads."""
    output = BUILD / "read_rows.so"
    source = str(HERE / "read_rows.c")
    run(["cc", "-O3", "-shared", "-fPIC", "-pthread", "-o", str(output), source])
    return output


def kernels(tier: str) -> str:
    """What the program of kernels.c prints about a tier."""
    folder = str(BUILD / "c")
    run([tool("cmake"), "-S", str(ROOT), "-B", folder, "-DFLA_TESTS=ON"])
    run([tool("cmake"), "--build", folder, "--target", "bench_kernels", "-j", "4"])
    return run([f"{folder}/bench_kernels", tier])


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
