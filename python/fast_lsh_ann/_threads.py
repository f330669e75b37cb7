"""Work in other threads, waited for in short steps so that Ctrl-C never has to wait."""

import atexit
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from fast_lsh_ann.errors import CancelledError

T = TypeVar("T")

# How long one wait may keep a pending KeyboardInterrupt back.
_STEP_SECONDS = 0.05


class Channel(Generic[T], Iterator[T]):
    """A bounded queue from one thread to another that either end can shut.

    The sending end calls `put` and `close`, the receiving end iterates and calls
    `cancel`.

    Parameters
    ----------
    capacity : int
        Items that may wait; more than these block the sender.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._cancelled = False
        self._error: BaseException | None = None

    def put(self, item: T) -> bool:
        """Send an item; False when the receiver has gone and nothing more is wanted."""
        with self._changed:
            while len(self._items) >= self._capacity and not self._cancelled:
                self._changed.wait(_STEP_SECONDS)
            if not self._cancelled:
                self._items.append(item)
                self._changed.notify_all()
            return not self._cancelled

    def close(self, error: BaseException | None = None) -> None:
        """End the items, or, with `error`, raise it in the receiver at once."""
        with self._changed:
            self._closed = True
            self._error = error
            self._changed.notify_all()

    def cancel(self) -> None:
        """Tell the sender that nothing more will be received."""
        with self._changed:
            self._cancelled = True
            self._items.clear()
            self._changed.notify_all()

    def __next__(self) -> T:
        with self._changed:
            while not (self._items or self._closed or self._cancelled):
                self._changed.wait(_STEP_SECONDS)
            if self._error is not None:
                raise self._error
            if not self._items:
                raise StopIteration
            item = self._items.popleft()
            self._changed.notify_all()
            return item


class _Ending:
    """Lets the interpreter end only when no worker is left.

    Threads of foreign code that are inside a call of ours crash the process when the
    interpreter ends under them.  So the last workers are waited for, also those that a
    daemon thread has started, and new ones are refused.
    """

    def __init__(self) -> None:
        self._alive: set[Worker[Any]] = set()
        self._begun = False
        atexit.register(self._wait)
        os.register_at_fork(after_in_child=self._alive.clear)

    def enter(self, worker: "Worker[Any]") -> None:
        # In this order, and the opposite one below, one of the two sides sees the other.
        self._alive.add(worker)
        if self._begun:
            self._alive.discard(worker)
            raise CancelledError("the interpreter is ending: nothing new is started")

    def leave(self, worker: "Worker[Any]") -> None:
        self._alive.discard(worker)

    def _wait(self) -> None:
        self._begun = True
        while self._alive:
            time.sleep(_STEP_SECONDS)


_ending = _Ending()


class Worker(Generic[T]):
    """A function to run in its own thread.

    The thread is no daemon: foreign code must not be cut off when the interpreter exits.
    """

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._done = threading.Event()
        self._result: list[T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="fast_lsh_ann")

    def start(self) -> None:
        """Start the thread.

        Raises
        ------
        CancelledError
            If the interpreter is ending.
        """
        _ending.enter(self)
        try:
            self._thread.start()
        except BaseException:
            _ending.leave(self)
            raise

    def _run(self) -> None:
        try:
            self._result.append(self._function())
        except BaseException as error:  # panics of Rust extensions are no Exception
            self._error = error
        finally:
            self._done.set()
            _ending.leave(self)

    def wait(self) -> None:
        """Wait until the function, if it was started, has ended, however it did."""
        while self._thread.is_alive() and not self._done.wait(_STEP_SECONDS):
            pass

    def result(self) -> T:
        """Wait for the function's result, or raise what it raised."""
        self.wait()
        if self._error is not None:
            raise self._error
        return self._result[0]


def call_in_thread(function: Callable[[], T]) -> T:
    """Call a function in a thread of its own and wait for its result."""
    worker = Worker(function)
    worker.start()
    return worker.result()


class Prefetch(Channel[T]):
    """An iterator that runs in a reader thread, at most `capacity` items ahead.

    The thread starts with the first item that is asked for, so that whoever asks within
    a ``try`` that ends with `cancel` leaves none behind, whenever Ctrl-C comes.

    Parameters
    ----------
    make : callable
        Makes the iterator, in the reader thread too.
    capacity : int
        Items that may wait to be received.
    """

    def __init__(self, make: Callable[[], Iterator[T]], capacity: int) -> None:
        super().__init__(capacity)
        self._make = make
        self._thread: threading.Thread | None = None

    def _read(self) -> None:
        try:
            for item in self._make():
                if not self.put(item):
                    break
        except BaseException as error:
            self.close(error)
        else:
            self.close()

    def __next__(self) -> T:
        if self._thread is None:
            name = "fast_lsh_ann reader"
            self._thread = threading.Thread(target=self._read, name=name, daemon=True)
            self._thread.start()
        return super().__next__()
