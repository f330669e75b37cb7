"""One checksum of every answer for all thread counts and instruction sets."""

import json
import os
import platform
from pathlib import Path

import pytest
from conftest import Run

THREADS = (1, 2, 3, 7)

PROGRAM = """
import dataclasses, json, fast_lsh_ann, workload
info = dataclasses.asdict(fast_lsh_ann.simd_info())
print(json.dumps({**info, "checksum": workload.checksum()}))
"""

# CPU flags, as Linux names them, that call for a tier.
AVX512 = {"avx512f", "avx512bw", "avx512dq", "avx512vl"}
NEEDED = {
    "amx": AVX512 | {"avx512_vnni", "amx_tile", "amx_int8"},
    "avx512_vnni": AVX512 | {"avx512_vnni"},
    "avx512": AVX512,
    "avx_vnni": {"avx2", "fma", "avx_vnni"},
    "avx2": {"avx2", "fma"},
}


def tiers_of_the_cpu() -> list[str]:
    """The tiers this processor must be able to run, read from the system, best first."""
    flags: set[str] = set()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            flags.update(line.split(":")[1].split())
    return [*(tier for tier, needed in NEEDED.items() if needed <= flags), "scalar"]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="reads x86 CPU flags")
def test_the_library_offers_every_tier_of_the_cpu(run_python: Run) -> None:
    info = json.loads(run_python(PROGRAM).stdout)
    assert info["tiers"] == tiers_of_the_cpu()
    forced = os.environ.get("FAST_LSH_ANN_SIMD")
    assert info["tier"] == (forced or info["tiers"][0])


def test_every_tier_and_thread_count_gives_one_checksum(
    run_python: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    tiers = json.loads(run_python(PROGRAM).stdout)["tiers"]
    checksums = {}
    for tier in tiers:
        for threads in THREADS:
            done = run_python(
                PROGRAM, FAST_LSH_ANN_SIMD=tier, FAST_LSH_ANN_NUM_THREADS=str(threads)
            )
            info = json.loads(done.stdout)
            assert (info["tier"], info["threads"]) == (tier, threads)
            checksums[tier, threads] = info["checksum"]
    with capsys.disabled():
        print(f"\n{', '.join(tiers)} with {THREADS} threads: {checksums['scalar', 1]}")
    assert len(checksums) == len(tiers) * len(THREADS)
    assert set(checksums.values()) == {checksums["scalar", 1]}
