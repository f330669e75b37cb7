"""Timing contenders against each other: alternating turns, medians."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from messages import Request
from stage import Worker

# A call shorter than this is repeated for as long, after an untimed one: it finds its
# caches and its clock frequency as they are when it is called in a loop.
TURN_SECONDS = 0.1
PAUSE_SECONDS = 0.05  # until the threads of the one before have gone to sleep


@dataclass(frozen=True)
class Act:
    """What an entrant is asked to do again and again."""

    label: str
    worker: Worker
    request: Request


@dataclass(frozen=True)
class Timing:
    median: float
    fastest: float
    runs: int


def rehearse(act: Act) -> tuple[Any, float]:
    """The answer, and about how long it takes once warm."""
    reply = act.worker.ask(replace(act.request, wanted=True))
    estimate = reply.seconds[0]
    if estimate < 1:
        estimate = min(estimate, act.worker.ask(act.request).seconds[0])
    return reply.answer, estimate


def alternate(
    acts: Sequence[Act], estimates: Sequence[float], repetitions: int, patience: float
) -> dict[str, Timing]:
    """Take turns `repetitions` times; whoever needs longer than patience has one turn."""
    turns: dict[str, list[float]] = {act.label: [] for act in acts}
    fastest: dict[str, float] = {}
    for turn in range(repetitions):
        for act, estimate in zip(acts, estimates, strict=True):
            if turn and estimate > patience:
                continue
            time.sleep(PAUSE_SECONDS)
            least = TURN_SECONDS if estimate < TURN_SECONDS else 0.0
            seconds = act.worker.ask(replace(act.request, least=least)).seconds
            turns[act.label].append(statistics.median(seconds))
            best = min(seconds)
            fastest[act.label] = min(best, fastest.get(act.label, best))
    return {
        label: Timing(statistics.median(taken), fastest[label], len(taken))
        for label, taken in turns.items()
    }
