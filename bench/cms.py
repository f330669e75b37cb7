"""The join by a count-min sketch beside the one that compares buckets directly."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from contests import Settings
from entrants import TABLES, replaced
from report import Part, Result, duration, rows, times

DIM = 128
NOISE, THRESHOLD = 0.1, 2.0  # every row of one side has one of the other at about 1.1
LEAST = (TABLES + 1) // 2  # the sketch's default
WIDTH = 2.0  # 0.1.1's, whose vectors are not normalised: ours divides by their length
# Rows of each side, so that 1, 6, 25 and 100 million pairs collide at least once.
SIDES = (2_100, 5_150, 10_550, 21_100)
MOST_FOR_REPLACED = 10_550  # it needs minutes and gigabytes beyond

# A process of its own for each join, for memory's sake.  It runs under 0.1.1 as well.
PROGRAM = """
import hashlib, json, statistics, sys, time
import numpy as np
import fast_lsh_ann

(method, n, dim, noise, tables, width, threshold, least, repetitions,
    patience) = json.loads(sys.argv[1])
random = np.random.default_rng(3)
a = random.standard_normal((n, dim), dtype=np.float32)
b = a[random.permutation(n)]
b += np.float32(noise) * random.standard_normal((n, dim), dtype=np.float32)
model = fast_lsh_ann.BucketedRandomProjectionLSH(width, tables, 42).create_model(dim)
calls = {
    "sketch": lambda: model.approx_similarity_join_cms(a, b, threshold),
    "direct": lambda: model.approx_similarity_join(a, b, threshold, min_collisions=least),
    "colliding": lambda: model.index(b).similarity_join_count(a, threshold=np.inf),
    "collisions": lambda: model.analyze_similarity_join(a, b),
}

def megabytes(key):
    with open("/proc/self/status") as status:
        return next(int(l.split()[1]) / 1000 for l in status if l.startswith(key + ":"))

with open("/proc/self/clear_refs", "w") as anew:
    anew.write("5")
before, peak, seconds = megabytes("VmRSS"), None, []
while len(seconds) < repetitions and sum(seconds) < patience:
    start = time.perf_counter()
    found = calls[method]()
    seconds.append(time.perf_counter() - start)
    peak = peak or megabytes("VmHWM") - before
listed = isinstance(found, list)
print(json.dumps({
    "seconds": statistics.median(seconds),
    "megabytes": peak,
    "found": len(found) if listed else found,
    "checksum": hashlib.sha256(repr(found).encode()).hexdigest() if listed else "",
}))
"""


@dataclass(frozen=True)
class Measured:
    seconds: float
    megabytes: float
    found: int
    checksum: str


def measure(
    settings: Settings, method: str, n: int, width: float, python: str = sys.executable
) -> Measured:
    """The median of a method's times; the peak of its first call over its start."""
    asked = [method, n, DIM, NOISE, TABLES, width, THRESHOLD, LEAST]
    turns = [settings.repetitions, settings.patience]
    done = subprocess.run(
        [python, "-c", PROGRAM, json.dumps([*asked, *turns])],
        env={**os.environ, "FAST_LSH_ANN_NUM_THREADS": str(settings.threads)},
        check=True,
        capture_output=True,
        text=True,
    )
    found = json.loads(done.stdout)
    if method == "collisions":
        found["found"] = found["found"][0]
    return Measured(**found)


def size(settings: Settings, n: int) -> list[list[str]]:
    """Lines of the table for one number of rows."""
    width = WIDTH / math.sqrt(DIM)
    colliding = measure(settings, "colliding", n, width).found
    direct = measure(settings, "direct", n, width)
    sketch = measure(settings, "sketch", n, width)
    lines = [("`min_collisions`", direct), ("sketch", sketch)]
    old = replaced()
    if not old.missing and n <= MOST_FOR_REPLACED:
        found = measure(settings, "sketch", n, WIDTH, old.python)
        lines.append((old.label, found))
    return [
        [
            f"{colliding / 1e6:.1f} million" if label == lines[0][0] else "",
            label,
            duration(found.seconds),
            f"{found.megabytes:.0f} MB",
            f"{found.found:,}",
            times(found.seconds / direct.seconds)
            if found.checksum == direct.checksum
            else "-",
        ]
        for label, found in lines
    ]


def joins(settings: Settings) -> Result:
    header = ["colliding pairs", "join", "median", "memory", "pairs found", "ratio"]
    cells = [
        line for n in SIDES for line in size(settings, max(2, int(n * settings.scale)))
    ]
    missing = replaced().missing
    notes = [f"- not measured: {replaced().label}: {missing}"] if missing else []
    sides = f"{SIDES[0]:,} to {SIDES[-1]:,} Gaussian rows of {DIM} coordinates a side"
    title = f"**{sides}, distance {THRESHOLD}, {LEAST} of {TABLES} tables**"
    return Result(lines=["", title, "", *rows(header, cells), "", *notes])


def collisions(settings: Settings) -> Result:
    """How long it takes to know how often the rows would collide."""
    lines = []
    for n in SIDES:
        asked = max(2, int(n * settings.scale))
        found = measure(settings, "collisions", asked, WIDTH / math.sqrt(DIM))
        memory = f"{found.megabytes:.0f} MB"
        lines.append([f"{found.found:,}", duration(found.seconds), memory])
    header = ["collisions of pairs and tables", "median", "memory"]
    return Result(lines=["", *rows(header, lines), ""])


PARTS: Mapping[str, Part] = {"sketched joins": joins, "collisions": collisions}
