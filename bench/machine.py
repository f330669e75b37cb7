"""What the numbers were measured on: processor, threads, versions, instruction set."""

import os
import platform
import sys
from pathlib import Path

from entrants import (
    FAISS,
    NUMPY,
    SCIKIT_LEARN,
    facts,
    hnswlib,
    ours,
    usearch,
)
from stage import Entrant


def processor() -> str:
    """The processor's name as the system gives it, and what it has for int8."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    found = dict(line.split(":", 1) for line in lines if ":" in line)
    named = {key.strip(): value.strip() for key, value in found.items()}
    flags = named.get("flags", "").split()
    wanted = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "amx_int8")
    has = " ".join(flag for flag in wanted if flag in flags)
    return f"{named.get('model name') or platform.machine()} ({has})"


def usable_cpus() -> int:
    return len(os.sched_getaffinity(0))


def tiers() -> list[str]:
    """Kernels that ours can run on this processor, best first."""
    return facts([ours()], 1)["tiers"].split()


def usual() -> list[Entrant]:
    return [ours(), NUMPY, SCIKIT_LEARN, FAISS, hnswlib(), usearch()]


def describe(threads: int, entrants: list[Entrant]) -> list[str]:
    """Lines that let someone else run the same thing."""
    found = facts(entrants, threads)
    tier = found.pop("tier")
    found.pop("tiers", None)
    versions = ", ".join(f"{name} {version}" for name, version in found.items())
    # Files by their names: where they lay helps nobody else.
    arguments = [Path(word).name for word in sys.argv[1:]]
    command = " ".join(["python bench/run.py", *arguments])
    return [
        f"Machine: {processor()}, {usable_cpus()} CPUs usable, {platform.system()}",
        f"Threads: {threads} for every contender; kernels of fast_lsh_ann: {tier}",
        f"Versions: {versions}, Python {platform.python_version()}",
        f"Command: `{command}`",
    ]
