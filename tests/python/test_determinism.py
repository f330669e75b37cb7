"""One checksum of every answer: threads, instruction sets, chunk sizes, input types."""

import json
import os
import platform
from itertools import product
from pathlib import Path
from typing import Any

import calls
import cases
import fast_lsh_ann
import numpy as np
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


CHUNK_SIZES = (1, 7, 4096, 10**6)
NUMBER_TYPES = ("f2", "f4", "f8", "i1", "i4", "i8")


def answers(base: Any, queries: Any, chunk_size: int) -> str:
    model = fast_lsh_ann.BucketedRandomProjectionLSHModel(9.0, 5, 42, 6)
    index = model.index(base)
    chunks = index.similarity_join_chunks(queries, threshold=9.0, chunk_size=chunk_size)
    pairs = [pair for chunk in chunks for pair in chunk]
    assert len(pairs) > 300
    return calls.digest(
        [
            model.transform(base),
            model.approx_similarity_join(base, queries, 9.0),
            model.batch_approx_nearest_neighbors(base, queries, 5),
            index.nearest_neighbors(queries, 5, exact=True),
            index.radius_neighbors(queries, 9.0),
            index.similarity_join(threshold=3.0),
            index.similarity_join_count(queries, threshold=9.0),
            fast_lsh_ann.exact_nearest_neighbors(base, queries, 5),
            fast_lsh_ann.exact_similarity_join(base, queries, 9.0),
            pairs,
        ]
    )


def test_chunk_sizes_and_input_types_give_one_checksum() -> None:
    """Whole numbers, which every type holds, in every layout."""
    rows = np.random.default_rng(3).integers(-9, 10, (300, 6))
    seen: dict[tuple[str, str], str] = {}
    for dtype, layout in product(NUMBER_TYPES, cases.LAYOUTS):
        given = cases.LAYOUTS[layout]
        sides = (given(rows.astype(dtype)), given(rows[:40].astype(dtype)))
        chunk_size = CHUNK_SIZES[len(seen) % len(CHUNK_SIZES)]
        seen[dtype, layout] = answers(*sides, chunk_size)
    assert len(seen) == len(NUMBER_TYPES) * len(cases.LAYOUTS)
    assert set(seen.values()) == {seen["f8", "C order"]}
