"""Ctrl-C in every call that lasts: at once, with nothing left, and everything usable.

The same run counts how often another thread gets the GIL meanwhile.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import calls
import pytest
from interrupts import SOON

# Every call of calls.LONG is repeated until it is interrupted, at each of some moments.
PROGRAM = """
import deltalake, polars  # now: CPython exits badly when they are imported in a call
import json, os, signal, sys, threading, time
from pathlib import Path
import calls, fast_lsh_ann
from interrupts import SOON

MOMENTS = (0.02, 0.15, 0.4)
folder = Path(sys.argv[1])
saved = folder / "saved"
scene = calls.long_scene(folder)
fast_lsh_ann.set_threads(2)  # with more, calls may be too short

def interrupt(call, moment):
    gaps, sent, completed = [], [], 0
    def tick():
        start = last = time.perf_counter()
        while last - start < moment:
            time.sleep(0.001)
            now = time.perf_counter()
            gaps.append(now - last)
            last = now
        sent.extend((time.perf_counter(), time.process_time()))
        os.kill(os.getpid(), signal.SIGINT)
    ticker = threading.Thread(target=tick)
    try:
        ticker.start()  # on a busy machine the moment may be over when it returns
        while True:
            call(scene)
            completed += 1
    except KeyboardInterrupt:
        late = time.perf_counter() - sent[0]
        if late < 2:  # on a busy machine a process waits for its turn, and is not late
            late = min(late, time.process_time() - sent[1])
    ticker.join()
    return late, gaps, completed

def threads():
    # Python's, and the core's, which has no names for them; deltalake and polars have.
    tasks = list(Path("/proc/self/task").iterdir())
    names = [(task / "comm").read_text() for task in tasks if task.exists()]
    return names.count(Path("/proc/self/comm").read_text())

def left_threads(before):
    left = "?"
    for _ in range(100):  # what was told to end does so within moments
        # Foreign threads that once called into Python stay listed, as dummies.
        left = [str(thread) for thread in threading.enumerate() if thread is not
                threading.main_thread() and "Dummy" not in str(thread)]
        if left == [] and threads() <= before:
            return ""
        time.sleep(0.02)
    return f"{left}, {threads()} instead of {before}"

def version():
    there = (saved / "_delta_log").exists()
    return deltalake.DeltaTable(saved).version() if there else -1

def is_whole():
    if version() < 0:
        return list(saved.glob("*.parquet")) == []
    table = deltalake.DeltaTable(saved)
    return polars.read_delta(str(saved)).height == scene.n

def row(name):
    call, lates, gaps, whole = calls.LONG[name], [], [], True
    for moment in MOMENTS:
        for attempt in range(3):  # chance is late now and then, a call always is
            before = version()
            late, more, completed = interrupt(call, moment)
            gaps += more
            made = version() - before
            whole &= made in (0, completed, completed + 1) and is_whole()
            if late < SOON:
                break
        lates.append(late)
    return dict(name=name, seconds=max(lates), gap=sorted(gaps)[len(gaps) // 2],
                whole=whole, usable=calls.small_digests(folder) == expected)

expected = calls.small_digests(folder)
scene.index, scene.wide, scene.table
before = threads()
for name in sys.argv[2:]:
    result = row(name)
    print(json.dumps({**result, "threads": left_threads(before)}), flush=True)
"""


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What happened to every long call, by name."""
    folder = tmp_path_factory.mktemp("interrupted")
    temporary = folder / "tmp"
    temporary.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), *calls.LONG],
        cwd=Path(__file__).parent,
        env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    rows = {row["name"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert (done.returncode, done.stderr) == (0, ""), f"after {list(rows)}"
    assert list(temporary.iterdir()) == []
    left = {path.name.split("-")[0] for path in folder.iterdir()}
    assert left == {"tmp", "table", "saved", "saved.parquet"}
    return rows


@pytest.mark.parametrize("name", calls.LONG)
def test_an_interrupt_ends_a_call_at_once_and_leaves_nothing(
    name: str, interrupted: dict[str, dict[str, Any]]
) -> None:
    row = interrupted[name]
    assert row["seconds"] < SOON
    assert row["threads"] == ""
    assert row["whole"], "a table was left that is neither the old one nor the new one"
    assert row["usable"]


@pytest.mark.parametrize("name", calls.LONG)
def test_other_threads_run_meanwhile(
    name: str, interrupted: dict[str, dict[str, Any]]
) -> None:
    """A thread that wants to run every millisecond does; lists are made in steps."""
    assert interrupted[name]["gap"] < 0.01
