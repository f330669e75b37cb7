"""What a process holds while it joins tables twenty times as large as its limit."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from fast_lsh_ann import create_sample_delta

DIM = 1024

# Of the larger table's rows, so few that joining them all takes no longer than reading.
SOME = "id % 64 = 0"

# Memory that a call adds, once Delta's reader and writer are at work.
_PROGRAM = """
import json, os, sys, tempfile
sys.path.insert(0, sys.argv[1])
import memory
from fast_lsh_ann import StreamingLSHProcessor, create_sample_delta
from fast_lsh_ann import read_delta_embeddings_chunked
large, small, limit, asked = json.loads(sys.argv[2])
lsh = StreamingLSHProcessor(2.0, 5, 42, memory_limit=limit)
with tempfile.TemporaryDirectory() as folder:
    create_sample_delta(folder + "/warm", 100, 4)
    for rows, *_ in read_delta_embeddings_chunked(small, chunk_size=100):
        pass
    plan = lsh.plan_similarity_join(large, small, 1.0, **asked)
    before = memory.start_anew(os.getpid())
    join = lsh.similarity_join_to_delta
    pairs = join(large, small, folder + "/pairs", 1.0, **asked).rows
    print(json.dumps([plan.passes, pairs, memory.since(os.getpid(), before).grown]))
"""


def check_memory(folder: Path, limit: int, asks: list[dict[str, Any]]) -> None:
    """Join a table of twenty limits with its first tenth, which takes some chunks.

    The pairs are written to a table.
    """
    rows = 20 * limit // (4 * DIM)
    large, small = str(folder / "large"), str(folder / "small")
    create_sample_delta(large, rows, DIM)
    create_sample_delta(small, rows // 10, DIM)
    bench = Path(__file__).parents[2] / "bench"
    for asked in asks:
        arguments = json.dumps([large, small, limit, asked])
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM, str(bench), arguments],
            capture_output=True,
            text=True,
            timeout=1800,
            check=True,
        )
        passes, pairs, grown = json.loads(done.stdout)
        assert pairs == (-(-rows // 640) if "where_a" in asked else rows // 10)
        assert passes > 2
        assert grown <= 1.1 * limit + (64 << 20), f"{grown / 2**20:.0f} MiB, {asked}"
