"""The table that README.md opens with: ours, the package it replaces, and Spark."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import entrants as who
import replaced
from answers import (
    Finding,
    Neighborhoods,
    judge_hashes,
    judge_vectors,
    naive_hashes,
)
from contests import Settings
from data import BUILD, Dataset, from_script
from environments import MissingEnvironmentError, python_with
from messages import Request
from pictures import short
from report import Part, Result, duration, rows, times
from sides import Ask, Side, Sides, compare, megabytes
from stage import Entrant, Worker
from surface import FIRST_ID, Hashes
from tables import ids_of, table_of

DIM, K, QUERIES = 128, 10, 100

# Spark 3.5 on Java 11 or later, and the Delta that is made for it.
SPARK_NAME = "Spark 3.5"
SPARK_PACKAGES = ("pyspark==3.5.9", "numpy==2.4.6", "pandas==2.3.3")
DELTA = "io.delta:delta-spark_2.12:3.3.2"
SPARK_MEMORY = "8g"

# Spark asks one query at a time, and its join keeps every pair of every table: it is
# asked for a part of the work, and its time multiplied.
SPARK_QUERIES = {100_000: 20, 1_000_000: 5}
SPARK_JOIN_ROWS = 1_000

WARM = 3  # calls until the JVM has compiled what it runs

Line = tuple[Sides, str]  # and the part of it that Spark was asked


@cache
def spark() -> Entrant:
    how = {
        "tables": who.TABLES,
        "width": who.WIDTH,
        "first_id": FIRST_ID,
        "memory": SPARK_MEMORY,
        "delta": DELTA,
        "jars": str(BUILD / "jars"),
    }
    try:
        python = python_with("spark", SPARK_PACKAGES, needs="java")
    except MissingEnvironmentError as error:
        return Entrant(SPARK_NAME, "spark.Spark", missing=str(error))
    return Entrant(SPARK_NAME, "spark.Spark", how, python=python)


def taking_part() -> list[Entrant]:
    return [replaced.ours(), replaced.theirs(), spark()]


def is_spark(entrant: Entrant) -> bool:
    return entrant.peer.startswith("spark.")


def asks(
    common: Request,
    prepare: Request | None,
    of_spark: Sequence[Request],
    parts: int = 1,
) -> list[Ask]:
    """The two packages in the same words; Spark in its own, the last of which counts.

    Spark is asked for one of so many parts, and before that until its code is warm.
    """
    before = [] if prepare is None else [prepare]
    *packages, last = taking_part()
    asked = [Ask(entrant, common, before) for entrant in packages]
    return [*asked, Ask(last, of_spark[-1], of_spark[:-1], parts)]


class AsOurs:
    """Spark's answer must equal that part of ours, to the last bit of each distance."""

    def __init__(self, part_of: Callable[[Any, Any], Any]) -> None:
        self._part_of = part_of
        self._ours: Any = None

    def __call__(self, entrant: Entrant, answer: Any, finding: Finding) -> Finding:
        if entrant.ours:
            self._ours = answer
        if not is_spark(entrant) or self._ours is None:
            return finding
        if self._part_of(self._ours, answer) == answer:
            return finding
        return replace(finding, faults=[*finding.faults, "other answers than ours"])


# ---- the lines -------------------------------------------------------------------------


def read(settings: Settings, data: Dataset) -> Line:
    table, stored = str(table_of(data.rows)), data.rows
    ids = ids_of(stored)

    def judge(entrant: Entrant, _: Worker, answer: Any) -> Finding:
        shown = answer.rows if is_spark(entrant) else data.n
        return judge_vectors(answer, stored.mapped()[:shown], ids[:shown])

    request = Request("read_table", {"table": table})
    asked = asks(request, None, WARM * [request])
    return compare(settings, f"read Delta, {short(data.n)} x {DIM}", asked, judge), ""


def transform(settings: Settings, data: Dataset) -> Line:
    stored, own = data.rows, replaced.by_hashes(data.rows, table=False)

    def judge(entrant: Entrant, worker: Worker, answer: Hashes) -> Finding:
        if not is_spark(entrant):
            return own(entrant, worker, answer)
        shown = replace(stored, stop=answer.rows)
        rows, numbers = shown.mapped(), ids_of(shown) - FIRST_ID
        return judge_hashes(answer, naive_hashes(rows, numbers, replaced.hashing()))

    table = {"table": str(table_of(stored))}
    asked = asks(
        Request("transform", {"rows": stored}),
        Request("prepare", {"rows": stored, "fitted": False}),
        [Request("prepare", table), *WARM * [Request("transform")]],
    )
    return compare(settings, f"transform, {short(data.n)} rows", asked, judge), ""


def batch(settings: Settings, data: Dataset, count: int) -> Line:
    truth = Neighborhoods(data, K, settings.threads, replaced.hashing())
    as_ours = AsOurs(
        lambda ours, theirs: [sorted_by_distance(n) for n in ours[: len(theirs)]]
    )

    def judge(entrant: Entrant, _: Worker, answer: Any) -> Finding:
        strict = entrant.label != who.REPLACED_NAME
        return as_ours(entrant, answer, truth.judge(answer, strict))

    asking = {"queries": data.queries, "k": K}
    table = {"table": str(table_of(data.rows)), "queries": data.queries}
    asked = asks(
        Request("batch", {"rows": data.rows, **asking}),
        Request("prepare", {"rows": data.rows}),
        [
            Request("prepare", table),
            Request("batch", {**asking, "count": 1}),
            Request("batch", {**asking, "count": count}),
        ],
        parts=data.count // count,
    )
    found = compare(settings, f"{data.count} queries, {short(data.n)} rows", asked, judge)
    return found, f"{count} of {data.count} queries ({short(data.n)} rows)"


def sorted_by_distance(near: Any) -> list[tuple[int, float]]:
    return sorted(near, key=lambda one: (one[1], one[0]))


def join(settings: Settings) -> Line:
    data = replaced.sets(settings, settings.rows(10_000))
    left, right, n = data.queries, data.rows, data.n
    truth = replaced.pairs_of(settings, data)
    few = min(SPARK_JOIN_ROWS, n)
    as_ours = AsOurs(lambda ours, _: [p for p in ours if max(p[:2]) < few])

    def judge(entrant: Entrant, _: Worker, answer: Any) -> Finding:
        asked = few if is_spark(entrant) else n
        wanted = truth.expected(1, asked)
        if entrant.label == who.REPLACED_NAME:
            return truth.judge(answer, None)
        return as_ours(entrant, answer, truth.judge(answer, wanted, asked))

    within = {"left": left, "right": right, "threshold": truth.threshold}
    tables = {**within, "left": str(table_of(left)), "right": str(table_of(right))}
    asked = asks(
        Request("join", within),
        Request("prepare", {"rows": left}),
        [Request("join", {**tables, "rows": count}) for count in (few // 10, few)],
        parts=(n // few) ** 2,
    )
    found = compare(settings, f"join, {short(n)} x {short(n)}", asked, judge)
    return found, f"{few:,} x {few:,} rows of the join"


def lines(settings: Settings) -> Iterator[Line]:
    sizes = {n: settings.rows(n) for n in SPARK_QUERIES}
    data = {n: from_script("Gaussian", rows, DIM, QUERIES) for n, rows in sizes.items()}
    yield read(settings, data[100_000])
    yield transform(settings, data[100_000])
    for n, count in SPARK_QUERIES.items():
        yield batch(settings, data[n], count)
    yield join(settings)


# ---- the table -------------------------------------------------------------------------

ABOUT = (
    "Times are medians, and beside them how many times ours; memory is the most that the "
    "process held, data included (Spark: the JVM, with a heap of up to 8 GB). All have "
    "w = 2, 5 hash tables, k = 10 and their rows in memory, Spark its hashes too; what "
    "Spark reads and transforms it drops. The join takes the nearest 1 in 10,000 pairs. "
    "Recall counts against exact search."
)


def table(found: Sequence[Line]) -> list[str]:
    """Seconds; then recall and memory; then what is to be said."""
    labels = [who.OURS_NAME, who.REPLACED_NAME, SPARK_NAME]
    spent, held = [], []
    for sides, _ in found:
        spent.append([sides.name, *(time_cell(sides, label) for label in labels)])
        held.append([sides.name, *(memory_cell(sides.sides.get(n)) for n in labels)])
    times_taken = rows(["time", *labels], spent)
    shares = rows(["recall, peak memory", *labels], held)
    return ["", *times_taken, "", *shares, "", ABOUT, "", *notes(found)]


def time_cell(sides: Sides, label: str) -> str:
    side = sides.sides.get(label)
    if side is None:
        return "not measured"
    spent = duration(side.seconds)
    if label == who.OURS_NAME:
        return f"**{spent}**" if side.finding.right else f"{spent}, wrong"
    ratio = sides.ratio(label, who.OURS_NAME)
    star = " \\*" if side.parts > 1 else ""
    return f"{spent}, " + ("wrong" if ratio is None else times(ratio)) + star


def memory_cell(side: Side | None) -> str:
    if side is None:
        return "-"
    recall = "" if side.finding.recall is None else f"{side.finding.recall:.3f}, "
    return f"{recall}{megabytes(side.memory.peak)} MB"


def notes(found: Sequence[Line]) -> list[str]:
    """What Spark was asked, and what is wrong or missing."""
    parts = [part for sides, part in found if part and SPARK_NAME in sides.sides]
    said = []
    if parts:
        asked = ", ".join(parts)
        said.append(f"\\* {SPARK_NAME} was asked {asked}, and its time multiplied.")
    spark_sides = [s.sides[SPARK_NAME] for s, _ in found if SPARK_NAME in s.sides]
    if spark_sides and all(side.finding.right for side in spark_sides):
        said.append(f"What {SPARK_NAME} was asked it answered as ours, to the last bit.")
    for sides, _ in found:
        for label, why in sides.missing.items():
            said.append(f"{sides.name}: {label} not measured: {why}")
        said += sides.faults()
    return [f"- {text}" for text in said]


def measure(settings: Settings) -> Result:
    return Result(lines=table([*lines(settings)]))


PARTS: Mapping[str, Part] = {"headline": measure}
