"""Interrupting a program that works on tables, and timing how soon it stops."""

import os
import signal
import subprocess
import sys
import time


def seconds_to_interrupt(program: str) -> float:
    """Run a program that prints one line and then works; interrupt it and time it.

    The program must print the clock when it catches KeyboardInterrupt.
    """
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
        caught, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    return float(caught) - sent
