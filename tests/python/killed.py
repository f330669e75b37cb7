"""Writers that are killed at random moments, and what they must leave."""

import random
import time
from abc import ABC, abstractmethod
from pathlib import Path

import deltalake
import numpy as np
import polars as pl
from delta_tables import by_id, hashes_in_memory, vectors_of, write_table
from fast_lsh_ann import BucketedRandomProjectionLSH, StreamingLSHProcessor, WriteReport
from fast_lsh_ann._tables.output import done_before
from processes import writer

OLD = pl.DataFrame({"x": [1, 2, 3]})


class Work(ABC):
    """What is written of a table of some rows, as `processes.writer` calls it."""

    name: str
    rows = vectors_of(60_000)

    @abstractmethod
    def write(self, table: str, out: Path, job_id: str) -> WriteReport:
        """Do it in this process, with the processor that the killed ones have."""

    @abstractmethod
    def is_whole(self, frame: pl.DataFrame) -> bool:
        """Tell whether a table is what was to be written."""


class Hashes(Work):
    name = "hashes"

    def __init__(self) -> None:
        self._expected = hashes_in_memory(self.rows)

    def write(self, table: str, out: Path, job_id: str) -> WriteReport:
        return streaming().transform_to_delta(table, out, job_id=job_id)

    def is_whole(self, frame: pl.DataFrame) -> bool:
        return np.array_equal(by_id(frame), self._expected)


class Pairs(Work):
    """Those of the table with itself, in some chunks."""

    name = "pairs"

    def __init__(self) -> None:
        index = BucketedRandomProjectionLSH(1.0, 3, 7).create_model(4).index(self.rows)
        self._expected = list(index.similarity_join(threshold=0.05))
        assert len(self._expected) > len(self.rows)

    def write(self, table: str, out: Path, job_id: str) -> WriteReport:
        return streaming().similarity_join_to_delta(
            table, None, out, 0.05, mode="overwrite", job_id=job_id
        )

    def is_whole(self, frame: pl.DataFrame) -> bool:
        return sorted(frame.rows()) == self._expected


def killed_writers(
    folder: Path, work: Work, *, moments: int, seed: int
) -> dict[str, int]:
    """Kill writers that replace a table, each once; how many had committed.

    Asserts that each leaves the old table or the whole new one, and that the same job
    done again makes the new one once.
    """
    table = write_table(folder / "vectors", work.rows)
    with writer(table, folder / "whole", work=work.name, mode="error") as started:
        started.expect("ready")
        start = time.monotonic()
        started.go_on()
        started.expect("0 False")
        usual = time.monotonic() - start
    chance, seen = random.Random(seed), {"before": 0, "after": 0}
    for number in range(moments):
        out = folder / f"out{number}"
        OLD.write_delta(out)
        with writer(
            table, out, work=work.name, mode="overwrite", job_id="job"
        ) as started:
            started.expect("ready")
            started.go_on()
            time.sleep(chance.uniform(0, 1.5 * usual))
            started.process.kill()
        committed = done_before(out, "job")
        seen["after" if committed else "before"] += 1
        if committed:
            assert committed.version == deltalake.DeltaTable(out).version() == 1
            assert work.is_whole(pl.read_delta(str(out)))
        else:
            assert deltalake.DeltaTable(out).version() == 0
            assert pl.read_delta(str(out)).equals(OLD)
        again = work.write(table, out, "job")
        assert (again.version, again.skipped) == (1, committed is not None)
        assert work.is_whole(pl.read_delta(str(out)))
    return seen


def streaming() -> StreamingLSHProcessor:
    """Make the processor that the killed processes have."""
    return StreamingLSHProcessor(1.0, 3, 7, chunk_size=1000, memory_limit="2MiB")
