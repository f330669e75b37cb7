"""Interrupting a program that works on tables, and timing how soon it stops."""

import os
import signal
import subprocess
import sys
import time

# Seconds in which a call must end; FLA_TEST_SLOWDOWN times as many under a sanitizer.
SOON = 0.2 * float(os.environ.get("FLA_TEST_SLOWDOWN", "1"))


def seconds_to_interrupt(program: str) -> float:
    """Run a program that prints one line and then works; interrupt it and time it.

    The program must print the clock when it catches KeyboardInterrupt.  Late, it may try
    twice more: on a busy machine chance is late now and then, a call always is.
    """
    for _ in range(3):
        seconds = _interrupted(program)
        if seconds < SOON:
            break
    return seconds


def _interrupted(program: str) -> float:
    # Imported first: a KeyboardInterrupt that passes through an exec() of theirs makes
    # CPython exit as if killed even when it is caught.
    program = f"import deltalake, polars\n{program}"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        time.sleep(0.3)
        sent = time.monotonic()
        os.kill(process.pid, signal.SIGINT)
        try:
            caught, _ = process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert process.returncode == 0
    return float(caught) - sent
