"""Writers that are killed at random moments, and what they must leave."""

import random
import time
from pathlib import Path

import deltalake
import numpy as np
import polars as pl
from delta_tables import by_id, hashes_in_memory, vectors_of, write_table
from fast_lsh_ann import StreamingLSHProcessor
from fast_lsh_ann._tables.output import done_before
from processes import writer

ROWS = 60_000
OLD = pl.DataFrame({"x": [1, 2, 3]})


def killed_writers(folder: Path, moments: int, seed: int) -> dict[str, int]:
    """Kill writers that replace a table, each once; how many had committed.

    Asserts that each leaves the old table or the whole new one, and that the same job
    done again makes the new one once.
    """
    rows = vectors_of(ROWS)
    table = write_table(folder / "vectors", rows)
    expected = hashes_in_memory(rows)
    with writer(table, folder / "whole", mode="error") as started:
        started.expect("ready")
        start = time.monotonic()
        started.go_on()
        started.expect("0 False")
        usual = time.monotonic() - start
    chance, seen = random.Random(seed), {"before": 0, "after": 0}
    for number in range(moments):
        out = folder / f"out{number}"
        OLD.write_delta(out)
        with writer(table, out, mode="overwrite", job_id="job") as started:
            started.expect("ready")
            started.go_on()
            time.sleep(chance.uniform(0, 1.5 * usual))
            started.process.kill()
        committed = done_before(out, "job")
        seen["after" if committed else "before"] += 1
        if committed:
            assert committed.version == deltalake.DeltaTable(out).version() == 1
            assert np.array_equal(by_id(pl.read_delta(str(out))), expected)
        else:
            assert deltalake.DeltaTable(out).version() == 0
            assert pl.read_delta(str(out)).equals(OLD)
        again = streaming().transform_to_delta(table, out, job_id="job")
        assert (again.version, again.skipped) == (1, committed is not None)
        assert np.array_equal(by_id(pl.read_delta(str(out))), expected)
    return seen


def streaming() -> StreamingLSHProcessor:
    """Make the processor that the killed processes have."""
    return StreamingLSHProcessor(1.0, 3, 7, chunk_size=1000)
