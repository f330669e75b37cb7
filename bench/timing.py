"""Timing contenders against each other: alternating runs in one process, medians."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Contest:
    """One operation, the ways to do it, and when two answers are the same."""

    operation: str
    contenders: Mapping[str, Callable[[], Any]]  # ours first
    same: Callable[[Any, Any], bool]
    note: str = ""


@dataclass(frozen=True)
class Outcome:
    operation: str
    seconds: Mapping[str, float]
    agrees: Mapping[str, bool]  # with the first contender's answer
    note: str


def run(contest: Contest, repetitions: int) -> Outcome:
    """Compare the answers once, untimed, then take turns `repetitions` times."""
    answers = {name: call() for name, call in contest.contenders.items()}
    first = next(iter(answers.values()))
    agrees = {name: contest.same(first, answer) for name, answer in answers.items()}
    del answers, first
    times: dict[str, list[float]] = {name: [] for name in contest.contenders}
    for _ in range(repetitions):
        for name, call in contest.contenders.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    seconds = {name: statistics.median(taken) for name, taken in times.items()}
    return Outcome(contest.operation, seconds, agrees, contest.note)
