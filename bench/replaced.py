"""Every operation of fast-lsh-ann 0.1.1, ours and its own side by side."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import entrants as who
import numpy as np
from answers import (
    Finding,
    Neighborhoods,
    Pairs,
    judge_hashes,
    judge_revived,
    judge_vectors,
    judge_written,
    naive_hashes,
    shifted,
)
from contests import Settings
from data import Dataset, Stored, from_script
from messages import Request
from naive import Hashing
from pictures import short
from report import Part, Result, rows, times
from sides import Ask, Judge, Side, Sides, compare, megabytes, seconds
from stage import Entrant, Worker
from surface import FIRST_ID
from tables import ids_of, table_of

DIM, K = 128, 10
SHARE = 1e-4  # of all pairs, that are within a join's threshold
CHUNK, SMALL_CHUNK, JOIN_CHUNK = 50_000, 2_000, 1_000

READERS = ("deltalake", "polars")

# What is flat may take so much more for many times the work: another block in flight.
FLAT_FACTOR, FLAT_BYTES = 1.25, 16e6


@dataclass(frozen=True)
class Operation:
    """A line of the tables."""

    name: str
    request: Request
    judge: Judge
    before: Sequence[Request] = ()
    flat_beside: str = ""  # the operation with less work, whose memory should do for it


def ours() -> Entrant:
    return Entrant(who.OURS_NAME, "surface.OursSurface", parameters(READERS))


def theirs() -> Entrant:
    how = parameters((*READERS, "pyarrow.dataset", "pyarrow.parquet"))
    return replace(who.replaced(), peer="surface.Surface", how=how)


def parameters(imported: Sequence[str]) -> dict[str, Any]:
    """Of the models; and what is imported before anything is measured."""
    return {"tables": who.TABLES, "width": who.WIDTH, "imported": imported}


def taking_part() -> list[Entrant]:
    return [ours(), theirs()]


@cache
def hashing() -> Hashing:
    return who.hashing(DIM)


# ---- judges ----------------------------------------------------------------------------


def plainly(text: Callable[[Any], str]) -> Judge:
    """Nothing that could be wrong."""
    return lambda _, __, answer: Finding(text(answer))


def by_hashes(stored: Stored, table: bool) -> Judge:
    """Ours as the definition says; 0.1.1 has hashes of its own, the same by any way."""
    ids = ids_of(stored) if table else np.arange(len(stored.mapped()))

    def judge(entrant: Entrant, worker: Worker, answer: Any) -> Finding:
        if entrant.ours:
            return judge_hashes(answer, naive_hashes(stored.mapped(), ids, hashing()))
        request = Request("hashes", {"rows": stored, "ids": ids}, wanted=True)
        return judge_hashes(answer, worker.ask(request).answer)

    return judge


def by_copies(_: Entrant, __: Worker, answer: Any) -> Finding:
    return judge_revived(answer)


def by_neighbors(truth: Callable[[], Neighborhoods]) -> Judge:
    return lambda entrant, _, answer: truth().judge(answer, entrant.ours)


def by_pairs(truth: Pairs, first: int, tables: int = 1, sketch: bool = False) -> Judge:
    """Ours by what shares a bucket in so many tables; a sketch may admit more."""

    def judge(entrant: Entrant, _: Worker, answer: Any) -> Finding:
        wanted = truth.expected(tables) if entrant.ours else None
        return truth.judge(shifted(answer, first), wanted, more=sketch)

    return judge


# ---- operations on arrays --------------------------------------------------------------


def models(settings: Settings) -> Iterator[Operation]:
    made = plainly(lambda _: "model")
    yield Operation("create_model", Request("create", {"dim": DIM}), made)
    for n in sizes(settings, 100_000, 1_000_000):
        data = from_script("Gaussian", n, DIM, 100)
        fit, name = Request("fit", {"rows": data.rows}), short(n)
        created = Request("prepare", {"rows": data.rows, "fitted": False})
        transform = Request("transform", {"rows": data.rows})
        yield Operation(f"fit, {name}", fit, made)
        judge = by_hashes(data.rows, table=False)
        yield Operation(f"transform, {name}", transform, judge, [created])
    few = from_script("Gaussian", settings.rows(10_000), DIM, 100)
    fitted = Request("prepare", {"rows": few.rows})
    yield Operation("pickle and back", Request("revive"), by_copies, [fitted])


def searches(settings: Settings) -> Iterator[Operation]:
    for n in sizes(settings, 100_000, 1_000_000):
        data = from_script("Gaussian", n, DIM, 100)
        single = data.asking(1)
        for fitted in (True, False):
            made = "" if fitted else ", create_model"
            before = [Request("prepare", {"rows": data.rows, "fitted": fitted})]
            for method, asked, name in (
                ("one", single, "1 query"),
                ("batch", data, f"{data.count} queries"),
            ):
                asking = {"rows": data.rows, "queries": asked.queries, "k": K}
                judge = by_neighbors(neighborhoods(settings, asked))
                title = f"{name}, {short(n)}{made}"
                yield Operation(title, Request(method, asking), judge, before)


def sizes(settings: Settings, *rows: int) -> list[int]:
    return sorted({settings.rows(n) for n in rows})


def neighborhoods(settings: Settings, data: Dataset) -> Callable[[], Neighborhoods]:
    return cache(lambda: Neighborhoods(data, K, settings.threads, hashing()))


def sets(settings: Settings, n: int) -> Dataset:
    """Queries and rows to join, the first of the largest two sets."""
    most = max(n, settings.rows(10_000))
    data = from_script("Gaussian", most, DIM, most)
    return data.of(n).asking(n)


@cache
def pairs_of(settings: Settings, data: Dataset) -> Pairs:
    return Pairs(data, SHARE, settings.threads, hashing())


def joins(settings: Settings) -> Iterator[Operation]:
    for n in sizes(settings, 2_000, 10_000):
        data = sets(settings, n)
        truth, name = pairs_of(settings, data), f"{short(n)} x {short(n)}"
        before = [Request("prepare", {"rows": data.queries})]
        sides = {"left": data.queries, "right": data.rows}
        within = {**sides, "threshold": truth.threshold}
        judge = by_pairs(truth, 0)
        yield Operation(f"join, {name}", Request("join", within), judge, before)
        counted = plainly(lambda answer: f"{answer[0]:,} collisions")
        yield Operation(f"analyze, {name}", Request("analyze", sides), counted, before)


def sketched(settings: Settings) -> Iterator[Operation]:
    first, *_ = counts = sizes(settings, 2_000, 5_000, 10_000)
    for n in counts:
        data = sets(settings, n)
        truth, name = pairs_of(settings, data), f"{short(n)} x {short(n)}"
        before = [Request("prepare", {"rows": data.queries})]
        sides = {"left": data.queries, "right": data.rows}
        within = {**sides, "threshold": truth.threshold}
        judge = by_pairs(truth, 0, (who.TABLES + 1) // 2, sketch=True)
        flat = "" if n == first else f"join, {short(first)} x {short(first)}"
        request = Request("cms", within)
        yield Operation(f"join, {name}", request, judge, before, flat)


# ---- operations on tables --------------------------------------------------------------


def whole_tables(settings: Settings) -> Iterator[Operation]:
    n = settings.rows(100_000)
    stored = from_script("Gaussian", n, DIM, 100).rows
    table, ids = str(table_of(stored)), ids_of(stored)

    def judge_read(_: Entrant, __: Worker, answer: Any) -> Finding:
        return judge_vectors(answer, stored.mapped(), ids)

    few = settings.rows(10_000)
    written = plainly(lambda found: f"{found[0]:,} rows")
    sample = Request("sample", {"rows": few, "dim": DIM})
    yield Operation(f"create_sample_delta, {short(few)}", sample, written)
    of_table = {"table": table}
    read = Request("read_table", of_table)
    yield Operation("read_delta_embeddings", read, judge_read)
    chunked = Request("read_chunked", {**of_table, "chunk": 10_000})
    yield Operation("read_delta_embeddings_chunked", chunked, judge_read)
    judge = by_hashes(stored, table=True)
    request = Request("transform_delta", of_table)
    yield Operation("transform_delta", request, judge)
    yield Operation("transform_and_save", Request("save", of_table), judge)


def streams(settings: Settings) -> Iterator[Operation]:
    """The same in chunks, of a table and of one that is four times as long."""
    n = settings.rows(100_000)
    for factor in (1, 4):
        stored = from_script("Gaussian", n * factor, DIM, 100).rows
        judge = by_hashes(stored, table=True)
        for method, title, chunk in (
            ("stream", "transform_streaming", CHUNK),
            ("to_delta", "transform_to_delta", CHUNK),
            ("to_delta", "transform_to_delta", SMALL_CHUNK),
        ):
            name = f"{title}, {{}} by {short(chunk)}"
            flat = "" if factor == 1 else name.format(short(n))
            arguments = {"table": str(table_of(stored)), "chunk": chunk}
            request = Request(method, arguments)
            yield Operation(name.format(short(n * factor)), request, judge, [], flat)


def table_joins(settings: Settings) -> Iterator[Operation]:
    n = settings.rows(2_000)
    data = sets(settings, n)
    truth = pairs_of(settings, data)
    judge = by_pairs(truth, FIRST_ID)

    def written(entrant: Entrant, _: Worker, answer: Any) -> Finding:
        return judge_written(answer, truth, FIRST_ID, 1 if entrant.ours else None)

    sides = {"left": str(table_of(data.queries)), "right": str(table_of(data.rows))}
    within = {**sides, "threshold": truth.threshold}
    by_chunks = {**within, "chunk": JOIN_CHUNK}
    for title, request, judging in (
        ("join_delta", Request("join_delta", within), judge),
        ("join_streaming", Request("join_streaming", by_chunks), judge),
        ("join_chunked_both", Request("join_chunked", by_chunks), written),
    ):
        yield Operation(title, request, judging)


def million(settings: Settings) -> Iterator[Operation]:
    """A large table hashed into another, and joined with a small one."""
    data = from_script("Gaussian", settings.rows(1_000_000), DIM, settings.queries(200))
    hashed = Request("to_delta", {"table": str(table_of(data.rows)), "chunk": CHUNK})
    name = f"transform_to_delta, {short(data.n)} by {short(CHUNK)}"
    yield Operation(name, hashed, by_hashes(data.rows, table=True))
    truth = pairs_of(settings, data)
    sides = {"left": str(table_of(data.queries)), "right": str(table_of(data.rows))}
    within = {**sides, "threshold": truth.threshold, "chunk": JOIN_CHUNK}
    name = f"join_streaming, {short(data.count)} x {short(data.n)}"
    judge = by_pairs(truth, FIRST_ID)
    yield Operation(name, Request("join_streaming", within), judge)


# ---- tables of results -----------------------------------------------------------------


def measure(settings: Settings, operations: Iterable[Operation], about: str) -> Result:
    done: dict[str, tuple[Operation, Sides]] = {}
    for operation in operations:
        asks = [
            Ask(entrant, operation.request, operation.before) for entrant in taking_part()
        ]
        found = compare(settings, operation.name, asks, operation.judge)
        done[operation.name] = operation, found
    sides = [found for _, found in done.values()]
    lines = [*costs(sides), "", *findings(sides), "", *objections(done)]
    told = about.format(*(short(settings.rows(n)) for n in (2_000, 100_000)))
    return Result(lines=["", told, "", *lines, ""])


def both(sides: Sides, cell: Callable[[Side], str], missing: str = "-") -> list[str]:
    """Ours and theirs."""
    found = [sides.sides.get(label) for label in (who.OURS_NAME, who.REPLACED_NAME)]
    return [missing if side is None else cell(side) for side in found]


def costs(found: Sequence[Sides]) -> list[str]:
    """Seconds, and megabytes more than before the call."""
    header = ["operation", "ours, s", "0.1.1, s", "ratio", "ours, MB", "0.1.1, MB"]
    lines = []
    for sides in found:
        spent = both(sides, lambda side: seconds(side.seconds))
        held = both(sides, lambda side: megabytes(side.memory.grown))
        wrong = any(not side.finding.right for side in sides.sides.values())
        ratio = times(sides.ratio(who.REPLACED_NAME, who.OURS_NAME))
        lines.append([sides.name, *spent, "wrong" if wrong else ratio, *held])
    return rows(header, lines)


def findings(found: Sequence[Sides]) -> list[str]:
    """What was answered."""
    header = ["operation", "ours", "recall", "0.1.1", "recall"]
    recalls = any(s.finding.recall is not None for f in found for s in f.sides.values())
    if not recalls:
        header = ["operation", "ours", "in", "0.1.1", "in"]
    lines = []
    for sides in found:
        texts = both(sides, lambda side: side.finding.text, "not measured")
        qualities = both(sides, lambda side: side.finding.quality)
        lines.append([sides.name, texts[0], qualities[0], texts[1], qualities[1]])
    return rows(header, lines)


def objections(done: Mapping[str, tuple[Operation, Sides]]) -> list[str]:
    """What was not measured, what is wrong, and where ours is slower or not flat."""
    notes = []
    for operation, found in done.values():
        for label, why in found.missing.items():
            notes.append(f"{found.name}: {label} not measured: {why}")
        notes += found.faults()
        spent = [found.sides.get(label) for label in (who.OURS_NAME, who.REPLACED_NAME)]
        if spent[0] and spent[1] and spent[0].seconds >= spent[1].seconds:
            notes.append(f"{found.name}: **ours is not faster**")
        if operation.flat_beside:
            notes += unflat(found, done[operation.flat_beside][1])
    if not notes:
        return ["Ours is right, faster and flat in every line."]
    return [f"- {note}" for note in notes]


def unflat(more: Sides, less: Sides) -> list[str]:
    """Ours, where memory grew with the work."""
    large, small = (found.sides.get(who.OURS_NAME) for found in (more, less))
    if large is None or small is None:
        return []
    if large.memory.grown <= FLAT_FACTOR * small.memory.grown + FLAT_BYTES:
        return []
    grown = f"{megabytes(large.memory.grown)} MB, {less.name} takes"
    return [f"{more.name}: **not flat**: {grown} {megabytes(small.memory.grown)}"]


def part(about: str, operations: Callable[[Settings], Iterable[Operation]]) -> Part:
    return lambda settings: measure(settings, operations(settings), about)


PARTS: Mapping[str, Part] = {
    "models": part("Models and hashes; arrays of 128 dimensions in memory.", models),
    "searches": part("The 10 nearest rows, on models from `fit` unless said.", searches),
    "pairs": part("`approx_similarity_join`, `analyze_similarity_join`.", joins),
    "sketch": part("`approx_similarity_join_cms`, as it comes.", sketched),
    "delta": part("A Delta table of {1} rows x 128.", whole_tables),
    "streams": part("The same in chunks: rows of the table by rows of a chunk.", streams),
    "delta-joins": part(
        "The methods `similarity_join_...`; two tables of {0} rows, chunks of 1K.",
        table_joins,
    ),
    "million": part("A Delta table of 1M rows x 128, and one of 200 rows.", million),
}
