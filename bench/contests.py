"""One contest: contenders build, answer, are judged, then take turns."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from data import Dataset, Stored
from entrants import hashing
from judge import WRONG, BucketJudge, NeighborJudge, PairJudge, Verdict, checksum
from messages import Request
from naive import Hashing, Oracle
from stage import ContenderError, Entrant, Stage, Worker
from timing import Act, Timing, alternate, rehearse

Judge = Callable[[Entrant, Any], Verdict]


@dataclass(frozen=True)
class Settings:
    """What a user may choose."""

    threads: int
    repetitions: int
    patience: float  # seconds that all turns of a contender in a contest may take
    scale: float  # of the numbers of rows and queries
    glove: Path | None  # a file of its vectors

    def rows(self, n: int) -> int:
        return max(2000, int(n * self.scale))

    def queries(self, n: int) -> int:
        return max(min(n, 20), int(n * self.scale))


@dataclass(frozen=True)
class Line:
    """How a contender did."""

    label: str
    timing: Timing
    built: float | None
    verdict: Verdict


@dataclass(frozen=True)
class Outcome:
    """How all did, the reference first; who could not take part, and why."""

    title: str
    reference: (
        str  # label of the contender whose answer and time others are compared with
    )
    lines: Sequence[Line] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    checksum: str = ""

    @property
    def compared(self) -> str:
        """What of ours was found equal to the naive program's answers."""
        found = [line.verdict.compared for line in self.lines if line.verdict.compared]
        return found[0] if found else ""

    def line(self, label: str) -> Line | None:
        return next((line for line in self.lines if line.label == label), None)

    def ratio(self, label: str, reference: str = "") -> float | None:
        """Its time over the reference's; none where the answers differ."""
        mine, other = self.line(reference or self.reference), self.line(label)
        if mine is None or other is None:
            return None
        if not (mine.verdict.same and other.verdict.same):
            return None
        return other.timing.median / mine.timing.median

    def share(self, label: str, base: str) -> float | None:
        """Time over time of two whose answers need not be the same."""
        over, under = self.line(label), self.line(base)
        if over is None or under is None or over.verdict.wrong or under.verdict.wrong:
            return None
        return over.timing.median / under.timing.median

    def why_not(self, *labels: str) -> str:
        """Why there is no ratio of these."""
        for label in labels:
            line = self.line(label)
            if line is None:
                return f"{label}: {self.missing.get(label, 'did not take part')}"
            if not line.verdict.same:
                return f"{label}: {WRONG if line.verdict.wrong else 'other answers'}"
        return ""


@dataclass(frozen=True)
class Task:
    """What everybody is asked; `rehearsed` replaces arguments in the judged run."""

    title: str
    method: str
    arguments: Mapping[str, Any]
    rows: Stored | None = None  # indexed off the clock
    rehearsed: Mapping[str, Any] = field(default_factory=dict)


def enter(stage: Stage, entrant: Entrant, task: Task) -> Worker:
    worker = stage.worker(entrant)
    if task.rows is not None:
        worker.build(task.rows)
    return worker


def request_to(entrant: Entrant, task: Task, **arguments: Any) -> Request:
    asked = {**task.arguments, **entrant.search, **arguments}
    return Request(task.method, asked, entrant.settings)


def hold(
    settings: Settings,
    task: Task,
    entrants: Sequence[Entrant],
    judge: Judge,
    floors: Sequence[Entrant] = (),
) -> Outcome:
    """Let them build and answer, judge the answers, and take turns.

    Floors are reads of memory: they take turns and answer nothing.  Without the first
    contender there is nothing to compare with.
    """
    first = entrants[0].label
    missing: dict[str, str] = {}
    acts: list[Act] = []
    verdicts: dict[str, Verdict] = {}
    digest = ""
    with Stage(settings.threads) as stage:
        for entrant in (*entrants, *floors):
            is_floor = entrant in floors
            asked = Task(task.title, "read", {}, task.rows) if is_floor else task
            try:
                worker, request = enter(stage, entrant, asked), request_to(entrant, asked)
                patience = min(settings.patience, entrant.patience)
                act = Act(entrant.label, worker, request, patience)
                judged = request_to(entrant, asked, **asked.rehearsed)
                act, answer = rehearse(act, judged)
            except ContenderError as error:
                missing[entrant.label] = str(error)
                if not acts:
                    return Outcome(task.title, first, missing=missing)
                continue
            if not acts:
                digest = checksum(*(answer if isinstance(answer, tuple) else [answer]))
            acts.append(act)
            verdicts[act.label] = Verdict(True) if is_floor else judge(entrant, answer)
        times = alternate(acts, settings.repetitions)
        lines = [
            Line(act.label, times[act.label], act.worker.built, verdicts[act.label])
            for act in acts
        ]
    return Outcome(task.title, first, lines, missing, digest)


# ---- the kinds of contests -------------------------------------------------------------


def hashing_of(entrants: Sequence[Entrant], dim: int) -> Hashing | None:
    """The model of the first of ours that searches among candidates."""
    for entrant in entrants:
        if entrant.ours and not entrant.search.get("exact", True):
            return hashing(dim, entrant.how["tables"], entrant.how["width"])
    return None


def exact_answer(
    settings: Settings, entrants: Sequence[Entrant], task: Task
) -> Any | None:
    """Ours, exact, where the first contender searches among candidates only."""
    first = entrants[0]
    if first.search.get("exact", True):
        return None
    with Stage(settings.threads) as stage:
        request = request_to(first, task, exact=True)
        return enter(stage, first, task).ask(replace(request, wanted=True)).answer


def neighbors(
    settings: Settings,
    data: Dataset,
    k: int,
    entrants: Sequence[Entrant],
    floors: Sequence[Entrant] = (),
) -> Outcome:
    """The k nearest rows of each query."""
    count = "one query" if data.count == 1 else f"{data.count:,} queries"
    title = f"{count}, k = {k:,}; {data}"
    task = Task(title, "knn", {"queries": data.queries, "k": k}, data.rows)
    judge = NeighborJudge(data, k, settings.threads, hashing_of(entrants, data.dim))
    truth = exact_answer(settings, entrants, task)
    if truth is not None:
        judge.truth = judge.distances(truth[0])
    return hold(settings, task, entrants, judge, floors)


def build_and_neighbors(
    settings: Settings, data: Dataset, k: int, entrants: Sequence[Entrant]
) -> Outcome:
    """The same, with building the index on the clock."""
    title = f"build and {data.count:,} queries, k = {k}; {data}"
    arguments = {"rows": data.rows, "queries": data.queries, "k": k}
    task = Task(title, "build_and_knn", arguments)
    return hold(settings, task, entrants, NeighborJudge(data, k, settings.threads))


def pairs(
    settings: Settings,
    data: Dataset,
    share: float,
    entrants: Sequence[Entrant],
    method: str = "join",
) -> Outcome:
    """Pairs of a query and a row within the distance that a share of them meets."""
    oracle = Oracle(data, settings.threads, hashing_of(entrants, data.dim))
    radius = oracle.radius(share)
    kind = {"join": "join", "within": "rows within a radius"}[method]
    title = f"{kind}, {data.count:,} x {data.n:,}, distance {radius:.4g}; {data}"
    task = Task(title, method, {"queries": data.queries, "radius": radius}, data.rows)
    judge = PairJudge(data, oracle, radius)
    truth = exact_answer(settings, entrants, task)
    if truth is not None:
        judge.truth = judge.codes(truth)
    return hold(settings, task, entrants, judge)


def self_join(
    settings: Settings, data: Dataset, share: float, entrants: Sequence[Entrant]
) -> Outcome:
    """Each pair of rows once."""
    itself = replace(data, queries=data.rows)
    oracle = Oracle(itself, settings.threads)
    radius = oracle.radius(share)
    title = f"self-join, distance {radius:.4g}; {data}"
    task = Task(title, "self_join", {"radius": radius}, data.rows)
    return hold(settings, task, entrants, PairJudge(itself, oracle, radius))


def transform(
    settings: Settings,
    data: Dataset,
    tables: int,
    width: float,
    entrants: Sequence[Entrant],
    dtype: str = "float32",
) -> Outcome:
    """The bucket of every row in every table; judged on the first rows."""
    model = hashing(data.dim, tables, width)
    rows = replace(data.rows, dtype=dtype)
    first = replace(rows, stop=rows.start + min(data.n, 50_000))
    title = f"transform, {tables} tables, {dtype}; {data}"
    given = [
        replace(entrant, search={"vectors": model.vectors.astype(dtype)})
        if entrant.peer == "Numpy"
        else replace(entrant, search={"tables": tables})
        for entrant in entrants
    ]
    task = Task(
        title, "transform", {"rows": rows, "width": width}, rehearsed={"rows": first}
    )
    return hold(settings, task, given, BucketJudge(first.load(), model))
