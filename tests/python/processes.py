"""Processes that write into one table at once, or that are killed meanwhile."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

# Prints a line when it is ready to begin, after which it waits for one; then one for each
# commit, and before that one for each chunk, after which it waits again if it shall.
_WRITER = """
import json, sys
import deltalake, polars
from fast_lsh_ann import StreamingLSHProcessor
table, out, work, mode, job_id, times, steps, options = json.loads(sys.argv[1])
lsh = StreamingLSHProcessor(
    1.0, 3, 7, chunk_size=1000, memory_limit="2MiB", storage_options=options
)
calls = {
    "hashes": lambda **kw: lsh.transform_to_delta(table, out, **kw),
    "pairs": lambda **kw: lsh.similarity_join_to_delta(table, None, out, 0.05, **kw),
}

def step(done, total):
    print("chunk", flush=True)
    sys.stdin.readline()

print("ready", flush=True)
sys.stdin.readline()
for _ in range(times):
    report = calls[work](mode=mode, job_id=job_id, progress=step if steps else False)
    print(report.version, report.skipped, flush=True)
"""


class Writer:
    """A process that writes what it finds in a table into another.

    Parameters
    ----------
    process : Popen
        Of the program above.
    """

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def expect(self, line: str) -> None:
        """Wait for a line."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == f"{line}\n"

    def go_on(self) -> None:
        """Let it do its next step."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def finish(self) -> list[tuple[int, bool]]:
        """Wait for its end; versions, and whether they were there before."""
        printed, _ = self.process.communicate(timeout=100)
        assert self.process.returncode == 0
        lines = [line.split() for line in printed.splitlines()]
        return [(int(version), skipped == "True") for version, skipped in lines]


@contextmanager
def writer(
    table: str,
    out: str | Path,
    *,
    mode: str,
    work: str = "hashes",
    job_id: str | None = None,
    times: int = 1,
    steps: bool = False,
    options: Mapping[str, str] | None = None,
) -> Iterator[Writer]:
    """Start a process; it is gone after the block, however that ends."""
    arguments = json.dumps([table, str(out), work, mode, job_id, times, steps, options])
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Writer(process)
        finally:
            process.kill()


def at_once(
    tables: Sequence[str],
    out: str | Path,
    *,
    mode: str,
    job_id: str | None = None,
    times: int = 1,
    options: Mapping[str, str] | None = None,
) -> list[list[tuple[int, bool]]]:
    """Run a process for each table, which begin together; what each has reported."""
    with ExitStack() as stack:
        started = [
            stack.enter_context(
                writer(
                    *(table, out),
                    mode=mode,
                    job_id=job_id,
                    times=times,
                    options=options,
                )
            )
            for table in tables
        ]
        for each in started:
            each.expect("ready")
        for each in started:
            each.go_on()
        return [each.finish() for each in started]
