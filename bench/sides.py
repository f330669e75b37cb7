"""One operation side by side: everybody in a process of its own is asked, judged, timed.

Other than in a contest, contenders may be asked in words of their own, and for a part of
the work where the whole would take too long.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from answers import Finding
from contests import Settings
from memory import Memory
from messages import Request
from stage import ContenderError, Entrant, Stage, Worker
from timing import Act, Timing, alternate, rehearse

MEGABYTE = 1e6


@dataclass(frozen=True)
class Ask:
    """What one contender is asked."""

    entrant: Entrant
    request: Request
    before: Sequence[Request] = ()  # off the clock, and before memory is looked at
    parts: int = 1  # of the operation, of which one is asked: the time is multiplied


@dataclass(frozen=True)
class Side:
    """How a contender did."""

    timing: Timing
    memory: Memory
    finding: Finding
    parts: int = 1

    @property
    def seconds(self) -> float:
        return self.timing.median * self.parts


@dataclass(frozen=True)
class Sides:
    """How all did."""

    name: str
    sides: Mapping[str, Side] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)

    def ratio(self, label: str, reference: str) -> float | None:
        """Its time over the reference's; none where one of the two is wrong."""
        mine, other = self.sides.get(reference), self.sides.get(label)
        if mine is None or other is None:
            return None
        if not (mine.finding.right and other.finding.right):
            return None
        return other.seconds / mine.seconds

    def faults(self) -> list[str]:
        """What is wrong, and whose."""
        return [
            f"{self.name}: {label} is wrong: {fault}"
            for label, side in self.sides.items()
            for fault in side.finding.faults
        ]


Judge = Callable[[Entrant, Worker, Any], Finding]


def prepared(stage: Stage, ask: Ask, patience: float) -> Act:
    worker = stage.worker(ask.entrant)
    for request in ask.before:
        worker.ask(request)
    request = replace(ask.request, weighed=True)
    return Act(ask.entrant.label, worker, request, min(patience, ask.entrant.patience))


def compare(settings: Settings, name: str, asks: Sequence[Ask], judge: Judge) -> Sides:
    """Let them answer, judge the answers, and take turns."""
    missing: dict[str, str] = {}
    acts: list[Act] = []
    findings: dict[str, Finding] = {}
    with Stage(settings.threads) as stage:
        for ask in asks:
            try:
                act = prepared(stage, ask, settings.patience)
                act, answer = rehearse(act, act.request)
                findings[act.label] = judge(ask.entrant, act.worker, answer)
            except ContenderError as error:
                missing[ask.entrant.label] = str(error)
                continue
            acts.append(act)
        timings = alternate(acts, settings.repetitions)
    parts = {ask.entrant.label: ask.parts for ask in asks}
    sides = {
        act.label: Side(
            timings[act.label], act.memory, findings[act.label], parts[act.label]
        )
        for act in acts
        if act.memory is not None
    }
    return Sides(name, sides, missing)


# ---- cells of tables -------------------------------------------------------------------


def seconds(value: float) -> str:
    """Three digits of seconds, as far as microseconds."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    if value >= 0.1:
        return f"{value:.{digits}f}"
    return f"{value:.4f}" if value >= 0.001 else f"{value:.6f}"


def megabytes(value: int) -> str:
    size = value / MEGABYTE
    return f"{size:.0f}" if size >= 10 else f"{size:.1f}"
