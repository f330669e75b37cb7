"""What the numbers were measured on: processor, threads, versions, instruction set."""

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import fast_lsh_ann


def processor() -> str:
    """The processor's name as the system gives it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def usable_cpus() -> int:
    return len(os.sched_getaffinity(0))


def describe(threads: int) -> list[str]:
    """Lines that let someone else run the same thing."""
    packages = ("numpy", "scikit-learn", "scipy")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    tier = fast_lsh_ann.simd_info().tier
    return [
        f"Machine: {processor()}, {usable_cpus()} CPUs usable, {platform.system()}",
        f"Threads: {threads} for every contender; kernels: {tier}",
        f"Versions: fast_lsh_ann {fast_lsh_ann.__version__}, {versions}, "
        f"Python {platform.python_version()}",
        f"Command: `{' '.join(['python', *sys.argv])}`",
    ]
