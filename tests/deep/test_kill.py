"""kill -9 in the middle of a Delta write leaves the old table or the whole new one."""

import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from deltalake import DeltaTable
from fast_lsh_ann import BucketedRandomProjectionLSH, create_sample_delta
from fast_lsh_ann.delta_utils import read_delta_embeddings
from killed import Hashes, Pairs, Work, killed_writers

ROWS, DIM, KILLS = 60_000, 32, 20

WRITERS = {
    "whole": """
import sys
from fast_lsh_ann import DeltaLSHProcessor
lsh = DeltaLSHProcessor(1.0, 3)
while True:
    lsh.transform_and_save(sys.argv[1], sys.argv[2], chunk_size=5000)
    print("done", flush=True)
""",
    "streamed": """
import sys
from fast_lsh_ann import StreamingLSHProcessor
lsh = StreamingLSHProcessor(1.0, 3, chunk_size=5000)
while True:
    lsh.transform_to_delta(sys.argv[1], sys.argv[2], include_embeddings=True)
    print("done", flush=True)
""",
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_killed_writer_leaves_a_whole_table(tmp_path: Path, kind: str) -> None:
    source, target = str(tmp_path / "source"), str(tmp_path / "target")
    create_sample_delta(source, n_vectors=ROWS, dim=DIM)
    vectors, ids = read_delta_embeddings(source, id_column="id")
    assert ids is not None
    expected = BucketedRandomProjectionLSH(1.0, 3).fit(vectors).transform(vectors)
    expected = expected[np.argsort(ids)]
    chance = random.Random(7)
    for _ in range(KILLS):
        command = [sys.executable, "-c", WRITERS[kind], source, target]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()  # at least one whole table
            time.sleep(chance.uniform(0, 0.4))
            writer.kill()
        table = DeltaTable(target).to_pyarrow_table()
        assert table.num_rows == ROWS
        order = np.argsort(table["id"].to_numpy())
        stored = np.stack([table[f"hash_{t}"].to_numpy() for t in range(3)], axis=1)
        assert np.array_equal(stored[order], expected)


@pytest.mark.parametrize(("make", "moments"), [(Hashes, 50), (Pairs, 25)])
def test_killed_writers_leave_the_old_table_or_the_new_one(
    tmp_path: Path, make: type[Work], moments: int
) -> None:
    seen = killed_writers(tmp_path, make(), moments=moments, seed=2)
    assert min(seen.values()) >= moments // 10, f"the moments miss one side: {seen}"
