"""Neighbors of a table among those of a larger one, under a memory limit.

Tables of standard normal rows, 5 GB the largest, are written once to build/bench/data.
"""

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contests import Settings
from data import BUILD
from pictures import Panel, short
from report import Part, Result, Score, duration, rows

DIM, K = 128, 10
LIMIT = 1 << 30
BASE, QUERIES = 10_000_000, 100_000
SIZES, ASKED = (1_000_000, 3_000_000, 10_000_000), (1_000, 10_000, 100_000)
IN_MEMORY_ROWS = 1_000_000  # that the engine in memory is timed with
CHECKED, CHECKED_ROWS = 1_000, 1_000_000  # queries compared in full; rows at a time
# What is held beyond the limit: the allocator's share, and the interpreter's.
OVER, EXTRA = 1.1, 64 << 20
GOAL, STRETCH = 1.3, 1.1
# The case that the arithmetic is for.
FAR_ROWS, FAR_QUERIES, CORES = 400_000_000, 5_000_000, (2, 16, 64)

# Parts of a plan's memory that grow with its queries.
OF_QUERIES = ("queries", "lists and codes", "results", "names")

# A process of its own for each call, for memory's sake.
PROGRAM = """
import json, sys, tempfile, time
from pathlib import Path
import numpy as np
import fast_lsh_ann
from fast_lsh_ann._tables.opening import open_source

call, arguments = json.loads(sys.argv[1])

def status(key):
    with open("/proc/self/status") as lines:
        return next(int(l.split()[1]) * 1024 for l in lines if l.startswith(key + ":"))

def make(path, n, dim, seed):
    fast_lsh_ann.create_sample_delta(path, n, dim, seed)

def read(base):
    return sum(len(batch[0]) for batch in open_source(base).batches(["embedding"]))

def plan(queries, base, k, limit):
    lsh = fast_lsh_ann.StreamingLSHProcessor(memory_limit=limit)
    return vars(lsh.plan_nearest_neighbors(queries, base, k, exact=True))

def search(queries, base, k, limit, output):
    lsh = fast_lsh_ann.StreamingLSHProcessor(memory_limit=limit)
    asked = dict(exact=True, mode="overwrite")
    return lsh.nearest_neighbors_to_delta(queries, base, output, k, **asked).rows

def in_memory(queries, base, k, rows):
    where = f"id < {rows}"
    vectors, _ = fast_lsh_ann.read_delta_embeddings(base, where=where)
    asked, _ = fast_lsh_ann.read_delta_embeddings(queries)
    index = fast_lsh_ann.BucketedRandomProjectionLSH().fit(vectors).index(vectors)
    index.nearest_neighbors(asked[:1000], k, exact=True)
    start = time.perf_counter()
    index.nearest_neighbors(asked, k, exact=True)
    return len(asked) * len(vectors) / (time.perf_counter() - start)

def different(queries, base, k, output, asked, step):
    # Queries whose stored answers differ from those of the engine in memory.
    import polars
    rows, ids = fast_lsh_ann.read_delta_embeddings(queries, id_column="id")
    some = np.argsort(ids)[:: max(1, len(ids) // asked)][:asked]
    best, at = np.full((len(some), k), np.inf), np.full((len(some), k), -1)
    chunks = fast_lsh_ann.read_delta_embeddings_chunked(base, "embedding", "id", step)
    for part, numbers, _ in chunks:
        found = fast_lsh_ann.exact_nearest_neighbors(part, rows[some], k)
        best = np.concatenate([best, found.distances], axis=1)
        at = np.concatenate([at, numbers[found.indices]], axis=1)
        order = np.argsort(best, axis=1, kind="stable")[:, :k]
        best = np.take_along_axis(best, order, axis=1)
        at = np.take_along_axis(at, order, axis=1)
    stored = polars.read_delta(output).sort("query_id", "rank")
    stored = stored.filter(polars.col("query_id").is_in(ids[some].tolist()))
    same = (stored["neighbor_id"].to_numpy().reshape(-1, k) == at).all(axis=1)
    same &= (stored["distance"].to_numpy().reshape(-1, k) == best).all(axis=1)
    return len(some) - int(same.sum())

with tempfile.TemporaryDirectory() as warm:  # what a process does once
    make(warm + "/t", 100, 8, 1)
    search(warm + "/t", warm + "/t", 1, None, warm + "/out")
with open("/proc/self/clear_refs", "w") as anew:
    anew.write("5")
before, start = status("VmRSS"), time.perf_counter()
found = globals()[call](**arguments)
seconds = time.perf_counter() - start
held = status("VmHWM") - before
print(json.dumps({"found": found, "seconds": seconds, "bytes": held}))
"""


@dataclass(frozen=True)
class Done:
    """What a call gave, how long it took, and what it held at most."""

    found: Any
    seconds: float
    bytes: int


def run(settings: Settings, call: str, **arguments: Any) -> Done:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps([call, arguments])],
        env={**os.environ, "FAST_LSH_ANN_NUM_THREADS": str(settings.threads)},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return Done(**json.loads(done.stdout))


def table(settings: Settings, name: str, n: int, seed: int) -> str:
    """A table of standard normal rows, written once."""
    path = BUILD / "data" / f"{name}-{n}x{DIM}.delta"
    if not path.exists():
        partial = path.with_suffix(".partial")
        run(settings, "make", path=str(partial), n=n, dim=DIM, seed=seed)
        partial.rename(path)
    return str(path)


def base_of(settings: Settings, n: int) -> str:
    return table(settings, "sample", n, 42)


def queries_of(settings: Settings, n: int) -> str:
    return table(settings, "asking", n, 7)


def output() -> str:
    return str(BUILD / "data" / "neighbors.delta")


def large(settings: Settings) -> Result:
    """The case this is for: a base five times as large as the memory that is given."""
    n, asked = settings.rows(BASE), settings.queries(QUERIES)
    base, queries = base_of(settings, n), queries_of(settings, asked)
    common = {"queries": queries, "base": base, "k": K}
    reading = run(settings, "read", base=base)
    speed = run(settings, "in_memory", **common, rows=min(n, IN_MEMORY_ROWS)).found
    plan = run(settings, "plan", **common, limit=LIMIT).found
    done = run(settings, "search", **common, limit=LIMIT, output=output())
    checked = min(asked, CHECKED)
    wrong = run(
        settings, "different", **common, output=output(), asked=checked, step=CHECKED_ROWS
    ).found
    computing = n * asked / speed
    bound = OVER * LIMIT + EXTRA + reading.bytes
    ratio = done.seconds / max(reading.seconds, computing)
    cells = [
        ["reading alone", duration(reading.seconds), megabytes(reading.bytes)],
        ["pairs at the speed of the engine in memory", duration(computing), "-"],
        ["predicted", duration(plan["seconds"]), megabytes(sum(plan["memory"].values()))],
        ["measured", duration(done.seconds), megabytes(done.bytes)],
    ]
    title = f"**{asked:,} queries, {n:,} rows, d = {DIM}, k = {K}, exact**"
    notes = [
        f"- memory_limit {LIMIT >> 20} MiB, {plan['passes']} pass(es) over the base; "
        f"in memory {speed / 1e9:.2f} billion pairs a second",
        f"- {checked - wrong:,} of {checked:,} queries equal to the engine in memory, "
        f"compared in full",
    ]
    header = ["", "time", "memory"]
    return Result(
        scores=[
            Score(
                "time over the longer of reading and pairs", GOAL, STRETCH, ratio, True
            ),
            Score("peak memory over its bound", 1, 0.9, done.bytes / bound, True),
        ],
        lines=["", title, "", *rows(header, cells), "", *notes],
    )


def megabytes(size: float) -> str:
    return f"{size / 1e6:.0f} MB"


def growth(settings: Settings) -> Result:
    """Time against rows and queries, and what that comes to for a very large case."""
    sizes = [settings.rows(n) for n in SIZES]
    asked = [settings.queries(n) for n in ASKED]
    took: dict[tuple[int, int], Done] = {}
    for n in sizes:
        for count in asked:
            tables = {
                "queries": queries_of(settings, count),
                "base": base_of(settings, n),
            }
            took[n, count] = run(
                settings, "search", **tables, k=K, limit=LIMIT, output=output()
            )
    header = ["rows", *(f"{count:,} queries" for count in asked), "memory at most"]
    cells = [
        [
            f"{n:,}",
            *(duration(took[n, count].seconds) for count in asked),
            megabytes(max(took[n, count].bytes for count in asked)),
        ]
        for n in sizes
    ]
    title = f"Time against rows and queries; d = {DIM}, k = {K}, exact, written to Delta"
    curves = {
        f"{short(count)} queries": [(n, took[n, count].seconds) for n in sizes]
        for count in asked
    }
    lines = ["", title, "", *rows(header, cells), ""]
    lines += far(settings, base_of(settings, sizes[-1]), asked[-1], took)
    return Result(lines=lines, panels=[Panel(title.partition(";")[0], "rows", curves)])


def far(
    settings: Settings, base: str, asked: int, took: Mapping[tuple[int, int], Done]
) -> list[str]:
    """Work out the very large case from the largest one measured."""
    n = max(rows for rows, _ in took)
    queries = queries_of(settings, asked)
    plan = run(settings, "plan", queries=queries, base=base, k=K, limit=LIMIT).found
    reading = run(settings, "read", base=base)
    done = took[n, asked]
    pairs = n * asked / done.seconds / settings.threads
    each = sum(plan["memory"][part] for part in OF_QUERIES) / plan["queries_per_pass"]
    cells = []
    for cores in CORES:
        memory = cores << 31  # 2 GiB for each core
        passes = math.ceil(FAR_QUERIES * each / memory)
        read = passes * FAR_ROWS / n * reading.seconds
        computed = FAR_QUERIES * FAR_ROWS / (pairs * cores)
        hours = f"{max(read, computed) / 3600:,.1f} h"
        cells.append(
            [
                f"{cores}",
                f"{memory >> 30} GiB",
                f"{passes}",
                f"{read / 3600:,.1f} h",
                f"{computed / 3600:,.1f} h",
                hours,
            ]
        )
    header = ["cores", "memory_limit", "passes", "reading", "searching", "in all"]
    return [
        f"Worked out from the largest case for {FAR_QUERIES:,} queries and "
        f"{FAR_ROWS:,} rows, if cores are like these, share the pairs evenly, and the "
        f"table is read no faster for being {FAR_ROWS // n:,} times as large:",
        "",
        *rows(header, cells),
        "",
    ]


PARTS: Mapping[str, Part] = {"larger than memory": large, "streamed growth": growth}
