"""What goes between the program and the contenders' processes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from memory import Memory


@dataclass(frozen=True)
class Start:
    """Make the contender of that class, in peers.py unless a module is named."""

    peer: str
    threads: int
    how: Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """Call a method of the contender; arguments that are `Stored` are loaded first."""

    method: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)  # set off the clock
    least: float = 0.0  # repeat until so many seconds are spent, after one untimed call
    wanted: bool = False  # send the answer back
    weighed: bool = False  # send back how much memory it took


@dataclass(frozen=True)
class Reply:
    seconds: list[float] = field(default_factory=list)
    answer: Any = None
    memory: Memory | None = None
    error: str = ""
