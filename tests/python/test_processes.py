"""Forks, started processes, threads, and the interpreter's end."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import calls
import fast_lsh_ann
import numpy as np
import pytest
from conftest import Run

# ---- fork ------------------------------------------------------------------------------

FORK = """
import os, signal, sys, threading, time
import workload
import fast_lsh_ann

def child_agrees(expected, find=lambda: workload.checksum(3_000)):
    # The child must find the same, with threads of its own, and exit as usual.
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        before = len(os.listdir("/proc/self/task"))
        agrees = find() == expected
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


def test_a_child_uses_what_its_parent_made_and_both_go_on(run_python: Run) -> None:
    program = """
base = workload.rows(9_000, 32)
index = workload.index_of(base)
def found():
    return index.nearest_neighbors(base[:2_000], 5).distances.tobytes()
def chunks():
    made = index.similarity_join_chunks(threshold=7.0, chunk_size=1_000)
    return made, next(made)
expected = found()
assert child_agrees(expected, found)

made, first = chunks()
rest = b"".join(pairs.distances.tobytes() for pairs in chunks()[0])
def remaining():
    return b"".join(pairs.distances.tobytes() for pairs in made)
assert len(rest) > 100_000
assert child_agrees(rest, remaining)
assert remaining() == rest
assert found() == expected
"""
    run_python(FORK + program)


def test_a_fork_during_a_call_of_another_thread_is_safe_for_the_child(
    run_python: Run,
) -> None:
    program = """
expected = workload.checksum(3_000)
base = workload.rows(20_000, 64)
index = workload.index_of(base)
busy = True
def work():
    while busy:
        fast_lsh_ann.exact_nearest_neighbors(base, base[:300], 10)
        index.similarity_join(base[:300].copy(), threshold=5.0)
        index.model.transform(base)
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


# ---- other ways to start processes -----------------------------------------------------


@pytest.mark.parametrize("used", [False, True], ids=["before use", "after use"])
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_pool_of_processes_finds_the_same(
    method: str, used: bool, run_python: Run
) -> None:
    program = f"""
import multiprocessing, threading
import workload, fast_lsh_ann

fast_lsh_ann.set_threads(3)
if {used}:
    workload.checksum(600)
rows = workload.rows(500, 24)
model = fast_lsh_ann.BucketedRandomProjectionLSH(1.5, 4, 7).create_model(24)
with multiprocessing.get_context({method!r}).Pool(2) as pool:
    checksums = pool.map(workload.checksum, [600] * 4)
    hashes = pool.apply(model.transform, (rows,))
assert checksums == [workload.checksum(600)] * 4
assert hashes.tobytes() == model.transform(rows).tobytes()
"""
    run_python(program)


def test_joblib_workers_find_the_same(run_python: Run) -> None:
    """Its processes get large arrays as files in memory that cannot be written."""
    program = """
import joblib
import workload, fast_lsh_ann

rows = workload.rows(20_000, 64)
model = fast_lsh_ann.BucketedRandomProjectionLSH(2.0, 5, 42).fit(rows)
expected = [model.approx_nearest_neighbors(rows, row, 5) for row in rows[:6]]
assert len(expected[0]) == 5
for backend in ("loky", "multiprocessing", "threading"):
    search = joblib.delayed(model.approx_nearest_neighbors)
    with joblib.Parallel(n_jobs=2, backend=backend) as workers:
        assert workers(search(rows, row, 5) for row in rows[:6]) == expected, backend
"""
    run_python(program)


# ---- threads ---------------------------------------------------------------------------


def test_eight_threads_share_one_model_and_one_index(tmp_path: Path) -> None:
    """Every call, each thread beginning with another one; and queries of its own."""
    scene = calls.small_scene(tmp_path)
    names = list(calls.SMALL)

    def own(first: int) -> str:
        queries = np.roll(scene.base, 7 * first, axis=0)[:40]
        return calls.digest(scene.index.nearest_neighbors(queries, 5))

    def answers(first: int) -> tuple[dict[str, str], bool]:
        order = names[first:] + names[:first]
        found = {name: calls.digest(calls.SMALL[name](scene)) for name in order}
        return found, all(own(first) == owned[first] for _ in range(50))

    owned = [own(first) for first in range(len(names))]
    assert len(set(owned)) == len(owned)
    expected, _ = answers(0)
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(answers, 3 * i % len(names)) for i in range(24)]
        for future in futures:
            found, owns = future.result()
            assert [name for name in names if found[name] != expected[name]] == []
            assert owns
    fast_lsh_ann.set_threads(None)  # one of the calls had set it


# ---- the interpreter's end -------------------------------------------------------------

ENDS = {
    "objects alive": """
index = workload.index_of(base)
found = index.nearest_neighbors(base, 3)
stream = found.__arrow_c_stream__()
pairs = index.similarity_join(threshold=1.0)
""",
    "generators pending": """
index = workload.index_of(base)
pending = [
    iter(index.nearest_neighbors(base, 3)),
    iter(index.similarity_join(threshold=1.0)),
    index.similarity_join_chunks(threshold=9.0, chunk_size=10),
]
for generator in pending:
    next(generator)
""",
    "a table half read": """
from fast_lsh_ann._tables.embeddings import EmbeddingReader
from fast_lsh_ann._tables.opening import open_source
fast_lsh_ann.create_sample_delta(folder + "/t", 300_000, 4)
batches = EmbeddingReader(open_source(folder + "/t"), "embedding", "id").batches()
next(batches)
""",
    "a call in a thread": """
def work():
    fast_lsh_ann.exact_nearest_neighbors(large, large, 10)
start(work)
""",
    "a call of many blocks in a thread": """
index = workload.index_of(large)
def work():
    for pairs in index.similarity_join_chunks(threshold=9.0):
        pass
start(work)
""",
    "a write in a thread": """
fast_lsh_ann.create_sample_delta(folder + "/t", 300_000, 64)
def work():
    fast_lsh_ann.DeltaLSHProcessor().transform_and_save(folder + "/t", folder + "/u")
start(work)
""",
    "writes in a thread, one after the other": """
fast_lsh_ann.create_sample_delta(folder + "/t", 20_000, 16)
def work():
    try:
        while True:
            fast_lsh_ann.DeltaLSHProcessor().transform_and_save(
                folder + "/t", folder + "/u"
            )
    except fast_lsh_ann.errors.CancelledError:
        pass
start(work)
""",
}


@pytest.mark.parametrize("name", ENDS)
def test_the_interpreter_exits_cleanly(
    name: str, run_python: Run, tmp_path: Path
) -> None:
    program = f"""
import threading, time
import workload, fast_lsh_ann

folder = {str(tmp_path)!r}
base, large = workload.rows(2_000, 32), workload.rows(60_000, 128)
def start(work):
    threading.Thread(target=work, daemon=True).start()
    time.sleep(0.3)
{ENDS[name]}
"""
    done = run_python(program)
    assert done.stdout == done.stderr == ""
