"""Timing contenders against each other: alternating turns, medians."""

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from memory import Memory
from messages import Request
from stage import Worker

# A call shorter than this is repeated for as long, after an untimed one: it finds its
# caches and its clock frequency as they are when it is called in a loop.
TURN_SECONDS = 0.1
PAUSE_SECONDS = 0.05  # until the threads of the one before have gone to sleep


LONG_SECONDS = 1.0  # a first call that takes longer is as good as a later one


@dataclass(frozen=True)
class Act:
    """What a contender is asked to do again and again."""

    label: str
    worker: Worker
    request: Request
    patience: float  # seconds that its turns may take
    estimate: float = 0.0  # of a turn, from the rehearsal
    memory: Memory | None = None  # of the rehearsal, if the request is weighed


@dataclass(frozen=True)
class Timing:
    median: float
    fastest: float
    runs: int


def rehearse(act: Act, judged: Request) -> tuple[Act, Any]:
    """Ask once for the answer that is judged, and estimate how long a turn takes."""
    reply = act.worker.ask(replace(judged, wanted=True))
    answer, memory = reply.answer, reply.memory
    if sum(reply.seconds) < LONG_SECONDS or judged != act.request:
        reply = act.worker.ask(act.request)
    return replace(act, estimate=sum(reply.seconds), memory=memory), answer


def alternate(acts: Sequence[Act], repetitions: int) -> dict[str, Timing]:
    """Take turns: each `repetitions` times, or as often as its patience allows.

    A long rehearsal counts as a turn, and where there is no patience for any other.
    """
    taken: dict[str, list[float]] = {act.label: [] for act in acts}
    fastest = dict.fromkeys(taken, math.inf)

    def record(label: str, seconds: Sequence[float]) -> None:
        taken[label].append(statistics.median(seconds))
        fastest[label] = min(fastest[label], *seconds)

    for act in acts:
        if act.estimate > min(act.patience, LONG_SECONDS):
            record(act.label, [act.estimate])
    for turn in range(repetitions):
        for act in acts:
            tired = (turn + 1) * act.estimate > act.patience
            if tired or len(taken[act.label]) == repetitions:
                continue
            time.sleep(PAUSE_SECONDS)
            least = TURN_SECONDS if act.estimate < TURN_SECONDS else 0.0
            asked = replace(act.request, least=least)
            record(act.label, act.worker.ask(asked).seconds)
    return {
        label: Timing(statistics.median(seconds), fastest[label], len(seconds))
        for label, seconds in taken.items()
    }
