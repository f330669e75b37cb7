"""What every call leaves alone: floating point control, generators, output, loggers."""

import inspect
from collections.abc import Iterator
from pathlib import Path

import calls
import fast_lsh_ann
import pytest
import workload
from conftest import Run

# ---- the table of calls ----------------------------------------------------------------

HOLDERS = {  # of results: they compute nothing
    *("ChunkResult", "JoinPlan", "Neighbors", "PairFrames", "Pairs", "RadiusNeighbors"),
    *("SimdInfo", "WriteReport"),
    *("FastLSHError", "__version__", "errors"),
    *("NeighborFrames", "NeighborsPlan"),
}


def public_calls() -> Iterator[str]:
    """Everything that can be called, as the package names it."""
    for name in set(fast_lsh_ann.__all__) - HOLDERS:
        yield name
        thing = getattr(fast_lsh_ann, name)
        for member in dir(thing) if inspect.isclass(thing) else ():
            if not member.startswith("_") and callable(getattr(thing, member)):
                yield f"{name}.{member}"


def test_every_call_has_a_row() -> None:
    """What these tests, the interrupted calls and the eight threads walk is complete."""
    rows = {name.partition(":")[0] for name in calls.SMALL}
    public = set(public_calls())
    assert public - rows == set(), "tests/python/calls.py lacks rows for these"
    modules = {"delta_utils.read_delta_lazy", "streaming.benchmark_streaming"}
    assert rows - public == {*modules, "tables.write_table"}


# ---- floating point --------------------------------------------------------------------

ENVIRONMENT = """
import ctypes, platform, struct
libm = ctypes.CDLL("libm.so.6")

# Where glibc's fenv_t keeps the control bits, and what they mean.
OFFSET, FLUSH, TOWARD_ZERO, CONTROL = {
    "x86_64": (28, 0x8040, 0x6000, 0xFFFFFFC0),
    "aarch64": (0, 1 << 24, 3 << 22, 0xFFFFFFFF),
}[platform.machine()]

def environment():
    held = ctypes.create_string_buffer(64)
    assert libm.fegetenv(held) == 0
    return held

def control():
    return struct.unpack_from("<I", environment(), OFFSET)[0] & CONTROL

def change(bits):
    held = environment()
    word = struct.unpack_from("<I", held, OFFSET)[0]
    struct.pack_into("<I", held, OFFSET, word | bits)
    assert libm.fesetenv(held) == 0
    assert control() & bits == bits
"""


def test_importing_and_calling_leave_the_floating_point_control_alone(
    run_python: Run, tmp_path: Path
) -> None:
    program = f"""
import numpy
before = control()
import fast_lsh_ann
assert control() == before, "import"
import deltalake, polars
from pathlib import Path
import calls
scene = calls.small_scene(Path({str(tmp_path)!r}))
modes = (0, FLUSH, TOWARD_ZERO, FLUSH | TOWARD_ZERO)
for mode in modes:
    change(mode)
    before = control()
    for name, call in calls.SMALL.items():
        calls.digest(call(scene))
        assert control() == before, (name, mode)
print(len(calls.SMALL))
"""
    assert int(run_python(ENVIRONMENT + program).stdout) == len(calls.SMALL) > 25


@pytest.mark.parametrize("threads", ["1", "3"])
@pytest.mark.parametrize("mode", ["FLUSH", "TOWARD_ZERO", "FLUSH | TOWARD_ZERO"])
def test_the_callers_floating_point_control_changes_no_answer(
    mode: str, threads: str, run_python: Run
) -> None:
    program = """
import workload
tiny = workload.tiny_rows()
change({mode})
print(workload.tiny_checksum(tiny))
"""
    changed = run_python(
        ENVIRONMENT + program.replace("{mode}", mode), FAST_LSH_ANN_NUM_THREADS=threads
    )
    assert changed.stdout.strip() == workload.tiny_checksum(workload.tiny_rows())


# ---- generators, output, logging -------------------------------------------------------


def test_no_call_draws_from_a_global_generator(run_python: Run, tmp_path: Path) -> None:
    program = f"""
import random
from pathlib import Path
import calls
import numpy as np
scene = calls.small_scene(Path({str(tmp_path)!r}))
def states():
    return random.getstate(), np.random.get_state(legacy=False)["state"]["key"].tolist()
before = states()
for name, call in calls.SMALL.items():
    calls.digest(call(scene))
    assert states() == before, name
np.random.random()
for _ in range(700): np.random.random()
assert states() != before
"""
    run_python(program)


CALLS = """
import logging, sys
from pathlib import Path
import calls
scene = calls.small_scene(Path({folder!r}))
{setting}
for name, call in calls.SMALL.items():
    repr(call(scene))
progress = dict(k=3, progress=True)
scene.model.batch_approx_nearest_neighbors(scene.base, scene.base, **progress)
scene.index.nearest_neighbors(scene.base, **progress)
"""


def test_nothing_is_printed(run_python: Run, tmp_path: Path) -> None:
    """Nor shown by Python's handler of last resort."""
    done = run_python(CALLS.format(folder=str(tmp_path), setting=""))
    assert done.stdout == done.stderr == ""


def test_a_logger_tells_those_who_listen(run_python: Run, tmp_path: Path) -> None:
    shape = "format='%(name)s %(levelname)s %(message)s'"
    setting = f"logging.basicConfig(level=logging.DEBUG, stream=sys.stdout, {shape})"
    program = CALLS.format(folder=str(tmp_path), setting=setting)
    done = run_python(program)
    ours = [line for line in done.stdout.splitlines() if line.startswith("fast_lsh_ann")]
    assert all(line.startswith("fast_lsh_ann ") for line in ours)

    def lines(level: str, *parts: str) -> int:
        return sum(
            line.startswith(f"fast_lsh_ann {level} ") and all(p in line for p in parts)
            for line in ours
        )

    assert lines("DEBUG", "LSHIndex(600 rows x 16", "'plan': 'dense'", "'codes': ") > 0
    assert lines("INFO", "table-600-16", "version 0", "600 rows") > 0
    assert lines("INFO", "output-", "600 rows in one commit") > 0
    assert lines("INFO", "output-", "50 rows in one commit") > 0
