"""Forks, spawned processes, threads, signals and the floating point environment."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import fast_lsh_ann
import numpy as np
import pytest
import workload
from conftest import Run

# ---- fork ------------------------------------------------------------------------------

FORK = """
import os, signal, sys, threading, time
import workload
import fast_lsh_ann

def child_agrees(expected):
    # The child must find the same, with threads of its own, and exit as usual.
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        before = len(os.listdir("/proc/self/task"))
        agrees = workload.checksum(3_000) == expected
        started = len(os.listdir("/proc/self/task")) - before
        sys.exit(0 if agrees and started == 2 else f"{agrees=} {started=}")
    return os.waitpid(pid, 0)[1] == 0

fast_lsh_ann.set_threads(3)
"""


def test_a_fork_before_the_first_call_leaves_both_processes_working(
    run_python: Run,
) -> None:
    program = """
pid = os.fork()
print(workload.checksum(3_000), flush=True)
if pid == 0:
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
"""
    lines = run_python(FORK + program).stdout.split()
    assert len(lines) == 2
    assert lines[0] == lines[1]


def test_a_fork_after_calls_leaves_both_processes_working(run_python: Run) -> None:
    program = """
expected = workload.checksum(3_000)
assert child_agrees(expected)
assert workload.checksum(3_000) == expected
assert child_agrees(expected)
"""
    run_python(FORK + program)


def test_a_fork_during_a_call_of_another_thread_is_safe_for_the_child(
    run_python: Run,
) -> None:
    program = """
expected = workload.checksum(3_000)
base = workload.rows(20_000, 64)
busy = True
def work():
    while busy:
        fast_lsh_ann.exact_nearest_neighbors(base, base[:300], 10)
worker = threading.Thread(target=work)
worker.start()
for _ in range(5):
    time.sleep(0.05)
    assert child_agrees(expected)
busy = False
worker.join()
assert workload.checksum(3_000) == expected
"""
    run_python(FORK + program)


def test_a_spawned_process_takes_a_model() -> None:
    rows = workload.rows(500, 24)
    model = fast_lsh_ann.BucketedRandomProjectionLSH(1.5, 4, 7).fit(rows)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        hashes = pool.apply(model.transform, (rows,))
        hits = pool.apply(model.approx_nearest_neighbors, (rows, rows[3], 5))
    np.testing.assert_array_equal(hashes, model.transform(rows))
    assert hits == model.approx_nearest_neighbors(rows, rows[3], 5)


# ---- threads ---------------------------------------------------------------------------


def test_eight_threads_share_one_model_and_one_index() -> None:
    base, queries = workload.rows(3_000, 32), workload.rows(200, 32)
    model = fast_lsh_ann.BucketedRandomProjectionLSH(2.0, 5, 42).fit(base)
    index = model.index(base)

    def answers() -> list[bytes]:
        found = index.nearest_neighbors(queries, 10)
        pairs = index.similarity_join(queries, threshold=5.0)
        hashes = model.transform(base)
        return [array.tobytes() for array in (found.indices, pairs.distances, hashes)]

    expected = answers()
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(answers) for _ in range(40)]
        assert all(future.result() == expected for future in futures)


def test_a_long_call_lets_other_python_threads_run(run_python: Run) -> None:
    program = """
import sys, threading, time
import workload, fast_lsh_ann
base = workload.rows(60_000, 128)
done = threading.Event()
def work():
    fast_lsh_ann.exact_nearest_neighbors(base, base[:1_500], 10)
    done.set()
worker = threading.Thread(target=work)
worker.start()
longest, last = 0.0, time.perf_counter()
while not done.is_set():
    time.sleep(0.001)
    now = time.perf_counter()
    longest, last = max(longest, now - last), now
worker.join()
print(longest)
"""
    assert float(run_python(program).stdout) < 0.1


def test_the_interpreter_exits_cleanly_with_objects_alive(run_python: Run) -> None:
    program = """
import workload, fast_lsh_ann
base = workload.rows(2_000, 32)
model = fast_lsh_ann.BucketedRandomProjectionLSH(2.0, 5, 42).fit(base)
index = model.index(base)
found = index.nearest_neighbors(base, 3)
pending = iter(found)
next(pending)
stream = found.__arrow_c_stream__()
"""
    done = run_python(program)
    assert done.stdout == done.stderr == ""


def test_the_interpreter_exits_cleanly_during_a_call(run_python: Run) -> None:
    program = """
import threading, time
import workload, fast_lsh_ann
base = workload.rows(60_000, 128)
def work():
    fast_lsh_ann.exact_nearest_neighbors(base, base, 10)
threading.Thread(target=work, daemon=True).start()
time.sleep(0.3)
"""
    done = run_python(program)
    assert done.stdout == done.stderr == ""


# ---- Ctrl-C ----------------------------------------------------------------------------

INTERRUPTED = """
import os, signal, threading, time
import numpy as np
import workload, fast_lsh_ann

fast_lsh_ann.set_threads(2)  # with more, the calls may be too short
base = workload.rows(100_000, 128)
model = fast_lsh_ann.BucketedRandomProjectionLSH(2.0, 5, 42).fit(base)
index = model.index(base)
wide = fast_lsh_ann.BucketedRandomProjectionLSHModel(1e-9, 4_000, 42, 1_024)
wide_rows = workload.rows(20_000, 1_024)
sent = []

def interrupt():
    sent.append(time.perf_counter())
    os.kill(os.getpid(), signal.SIGINT)

timer = threading.Timer(0.1, interrupt)
timer.start()
try:
    {call}
    print("finished")
except KeyboardInterrupt:
    print(time.perf_counter() - sent[0])
small = base[:500]
again = index.nearest_neighbors(small[:3], 2, exact=True)
assert again.indices[:, 0].tolist() == [0, 1, 2]
assert (model.transform(small) == fast_lsh_ann.BucketedRandomProjectionLSH(
    2.0, 5, 42).fit(small).transform(small)).all()
"""

LONG_CALLS = {
    "neighbors": "index.nearest_neighbors(base, 10)",
    "exact neighbors": "index.nearest_neighbors(base, 10, exact=True)",
    "one-shot neighbors": "model.batch_approx_nearest_neighbors(base, base, 10)",
    "join": "index.similarity_join(base.copy(), threshold=1.0)",
    "join in chunks": "list(index.similarity_join_chunks(base.copy(), threshold=1.0))",
    "counted join": "index.similarity_join_count(base.copy(), threshold=1.0)",
    "radius": "index.radius_neighbors(base, 1.0, exact=True)",
    "radius of everything": "index.radius_neighbors(base[:4_000], float('inf'))",
    "self-join": "index.similarity_join(threshold=1.0, exact=True)",
    "transform": "wide.transform(wide_rows)",
}


@pytest.mark.parametrize("name", LONG_CALLS)
def test_an_interrupt_ends_a_long_call_at_once(name: str, run_python: Run) -> None:
    """Promised within 0.2 s; the rest of the half second is for a busy machine."""
    done = run_python(INTERRUPTED.replace("{call}", LONG_CALLS[name]))
    assert done.stdout != "finished\n", "the call was too short to be interrupted"
    assert float(done.stdout) < 0.5


def test_an_error_in_a_progress_function_ends_the_call_and_arrives() -> None:
    rows = workload.rows(20_000, 64)

    def progress(done: int, total: int) -> None:
        raise LookupError(f"{done} of {total}")

    with pytest.raises(LookupError, match="of"):
        fast_lsh_ann.exact_nearest_neighbors(rows, rows[:2_000], 5, progress=progress)


def test_progress_rises_to_its_total() -> None:
    rows = workload.rows(20_000, 64)
    seen: list[tuple[int, int]] = []
    fast_lsh_ann.exact_nearest_neighbors(
        rows, rows[:500], 5, progress=lambda done, total: seen.append((done, total))
    )
    assert seen
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1] > 0


# ---- floating point environment --------------------------------------------------------

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
    run_python: Run,
) -> None:
    program = """
import numpy
before = control()
import fast_lsh_ann
assert control() == before, "import"
import workload
workload.checksum(600)
assert control() == before, "calls"
change(FLUSH)
changed = control()
workload.checksum(600)
assert control() == changed, "calls under a changed environment"
"""
    run_python(ENVIRONMENT + program)


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


# ---- what else a library must leave alone ----------------------------------------------


def test_nothing_is_printed(run_python: Run) -> None:
    program = """
import workload, fast_lsh_ann
base = workload.rows(2_000, 32)
model = fast_lsh_ann.BucketedRandomProjectionLSH(2.0, 5, 42).fit(base)
model.batch_approx_nearest_neighbors(base, base, 3, progress=True)
model.approx_similarity_join(base, base, 1.0, progress=True)
fast_lsh_ann.exact_nearest_neighbors(base, base, 3, progress=True)
repr(model)
"""
    assert run_python(program).stdout == ""


def test_numpys_global_generator_is_left_alone() -> None:
    np.random.seed(5)
    expected = np.random.random(4).tolist()
    np.random.seed(5)
    workload.checksum(300)
    assert np.random.random(4).tolist() == expected
