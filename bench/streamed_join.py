"""Joins of tables under a memory limit, beside the engine with all rows in memory.

What Delta's reader needs for itself is there before memory is looked at; the pairs that
were found, 24 bytes each, and what polars needs to name them are not.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import entrants as who
from answers import Finding
from contests import Settings
from data import Dataset, glove
from joiners import Digest
from messages import Request
from pictures import short
from report import Part, Result, rows, times
from sides import Ask, Sides, compare, megabytes, seconds
from stage import Entrant, Worker
from tables import table_of

LIMITS = ("64MiB", "256MiB")
THRESHOLD = 1.9  # about 1.4 pairs in 100,000 are within it
MEMORY = "in memory"


def entrant(label: str) -> Entrant:
    how: dict[str, Any] = {"tables": who.TABLES, "width": who.WIDTH, "limit": label}
    return Entrant(label, "joiners.OursJoin", how)


class AsInMemory:
    """All must find the same pairs, to the last bit of each distance."""

    def __init__(self) -> None:
        self._found: Digest | None = None

    def __call__(self, _: Entrant, __: Worker, answer: Digest) -> Finding:
        self._found = self._found or answer
        faults = [] if answer == self._found else ["other pairs than in memory"]
        return Finding(f"{answer.pairs:,} pairs, {answer.sha256[:12]}", faults)


def joined(settings: Settings, data: Dataset, exact: bool) -> Sides:
    within = {"threshold": THRESHOLD, "exact": exact}
    whole = Request("whole", {"rows": data.rows, **within})
    table = {"table": str(table_of(data.rows))}
    limited, opened = Request("limited", {**table, **within}), Request("opened", table)
    asks = [Ask(entrant(MEMORY), whole)]
    asks += [Ask(entrant(limit), limited, [opened]) for limit in LIMITS]
    kind = "exact" if exact else "by buckets"
    name = f"{data.name} with itself, {short(data.n)} x {data.dim}, {kind}"
    return compare(settings, name, asks, AsInMemory())


def measure(settings: Settings, exact: bool) -> Result:
    data = glove(settings.glove, 1, settings.scale)
    found = joined(settings, data, exact)
    header = ["memory_limit", "seconds", "ratio", "MB grown", "found"]
    lines = [
        [
            label,
            seconds(side.seconds),
            times(found.ratio(label, MEMORY)),
            megabytes(side.memory.grown),
            side.finding.text,
        ]
        for label, side in found.sides.items()
    ]
    notes = [f"- {fault}" for fault in found.faults()]
    notes += [f"- not measured: {who}: {why}" for who, why in found.missing.items()]
    return Result(lines=["", found.name, "", *rows(header, lines), "", *notes])


PARTS: Mapping[str, Part] = {
    "limited-exact": partial(measure, exact=True),
    "limited-lsh": partial(measure, exact=False),
}
