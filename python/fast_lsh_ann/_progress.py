"""Progress of long calls: a bar, a plain line, or the caller's own function."""

import importlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeAlias

from fast_lsh_ann.errors import InputTypeError

Progress: TypeAlias = bool | Callable[[int, int], object]
Report: TypeAlias = Callable[[int, int], object]

# Nothing is shown for work that is over sooner: a bar that flashes by is noise.
_QUIET_SECONDS = 2.0
_LINE_SECONDS = 0.5


class _Display(Protocol):
    def update(self, done: int, total: int) -> None: ...
    def close(self) -> None: ...


class _Bar:
    """A tqdm bar."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar

    def update(self, done: int, total: int) -> None:
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        self._bar.close()


class _Line:
    """A line on standard error, rewritten in place."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._shown = -_LINE_SECONDS

    def update(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._shown < _LINE_SECONDS and done < total:
            return
        self._shown = now
        share = 100 * done // total if total else 100
        sys.stderr.write(f"\r{self._label}: {done:,} of {total:,} ({share} %)")
        sys.stderr.flush()

    def close(self) -> None:
        sys.stderr.write("\n")


def _display(label: str) -> _Display:
    try:
        tqdm = importlib.import_module("tqdm").tqdm
    except ImportError:
        return _Line(label)
    return _Bar(tqdm(desc=label, total=0, unit_scale=True, file=sys.stderr))


class _Delayed:
    """Opens its display once the work has taken a while."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._display: _Display | None = None
        self._start = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        if self._display is None:
            if time.monotonic() - self._start < _QUIET_SECONDS:
                return
            self._display = _display(self._label)
        self._display.update(done, total)

    def close(self) -> None:
        if self._display is not None:
            self._display.close()


@contextmanager
def reporting(progress: Progress, label: str) -> Iterator[Report | None]:
    """Turn a ``progress=`` argument into what the core calls, for one call.

    Parameters
    ----------
    progress : bool or callable
        False for silence; True for a bar on standard error (tqdm where installed) once
        the call has taken two seconds; or a function of (done, total).
    label : str
        What is being done, in front of the bar.

    Yields
    ------
    callable or None
        A function of (done, total), or None for silence.

    Raises
    ------
    InputTypeError
        If `progress` is neither a bool nor callable.
    """
    if progress is False:
        yield None
    elif progress is True:
        delayed = _Delayed(label)
        try:
            yield delayed
        finally:
            delayed.close()
    elif callable(progress):
        yield progress
    else:
        raise InputTypeError(
            f"progress must be True, False or a function of (done, total), "
            f"got {type(progress).__name__}"
        )
