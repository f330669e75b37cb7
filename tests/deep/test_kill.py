"""kill -9 in the middle of a Delta write leaves the old table or the whole new one."""

import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from deltalake import DeltaTable
from fast_lsh_ann import BucketedRandomProjectionLSH, create_sample_delta
from fast_lsh_ann.delta_utils import read_delta_embeddings

ROWS, DIM, KILLS = 60_000, 32, 20

WRITER = """
import sys
from fast_lsh_ann import DeltaLSHProcessor
lsh = DeltaLSHProcessor(1.0, 3)
while True:
    lsh.transform_and_save(sys.argv[1], sys.argv[2], chunk_size=5000)
    print("done", flush=True)
"""


def test_a_killed_writer_leaves_a_whole_table(tmp_path: Path) -> None:
    source, target = str(tmp_path / "source"), str(tmp_path / "target")
    create_sample_delta(source, n_vectors=ROWS, dim=DIM)
    vectors, ids = read_delta_embeddings(source, id_column="id")
    assert ids is not None
    expected = BucketedRandomProjectionLSH(1.0, 3).fit(vectors).transform(vectors)
    expected = expected[np.argsort(ids)]
    chance = random.Random(7)
    for _ in range(KILLS):
        command = [sys.executable, "-c", WRITER, source, target]
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
