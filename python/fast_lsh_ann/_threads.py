"""Work in other threads, waited for in short steps so that Ctrl-C never has to wait.

The waits here are calls into C, of a lock or a `SimpleQueue`, which Ctrl-C ends as a
whole.  `threading.Condition` waits in Python: a KeyboardInterrupt between two of its
steps makes it release a lock that it does not hold.
"""

import atexit
import os
import threading
import time
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from fast_lsh_ann.errors import CancelledError

T = TypeVar("T")

# How long one wait may keep a pending KeyboardInterrupt back.
_STEP_SECONDS = 0.05


def _taken(queue: SimpleQueue[T]) -> T | None:
    """Take the next of a queue, or None if none comes for a while."""
    try:
        return queue.get(timeout=_STEP_SECONDS)
    except Empty:
        return None


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
        self._items: SimpleQueue[tuple[T] | None] = SimpleQueue()  # None wakes up
        self._room: SimpleQueue[bool] = SimpleQueue()
        for _ in range(capacity):
            self._room.put(True)
        self._closed = False
        self._cancelled = False
        self._error: BaseException | None = None

    def put(self, item: T) -> bool:
        """Send an item; False when the receiver has gone and nothing more is wanted."""
        while not self._cancelled:
            if _taken(self._room) and not self._cancelled:
                self._items.put((item,))
                return True
        return False

    def close(self, error: BaseException | None = None) -> None:
        """End the items, or, with `error`, raise it in the receiver at once."""
        self._error = error
        self._closed = True
        self._items.put(None)

    def cancel(self) -> None:
        """Tell the sender that nothing more will be received."""
        self._cancelled = True
        self._room.put(True)
        while not self._items.empty():
            _taken(self._items)

    def __next__(self) -> T:
        entry = None
        while entry is None and not self._at_end():
            entry = _taken(self._items)
        if self._error is not None:
            raise self._error
        if entry is None:
            raise StopIteration
        self._room.put(True)
        return entry[0]

    def _at_end(self) -> bool:
        ended = self._closed and self._items.empty()
        return ended or self._cancelled or self._error is not None


def _start_thread(function: Callable[[], None], name: str, *, daemon: bool) -> None:
    """Start a thread whose `threading.Thread` dies in it, and not in this one.

    `threading` has weak references to its objects, which call back when one dies; and a
    KeyboardInterrupt that comes in a callback is lost.
    """
    held = threading.Lock()
    held.acquire()

    def run() -> None:
        try:
            function()
        finally:
            held.acquire(timeout=1)  # a second Ctrl-C may leave it held

    try:
        threading.Thread(target=run, name=name, daemon=daemon).start()
    except RuntimeError as error:  # no thread, or Ctrl-C in its Condition
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        held.release()


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

    def __contains__(self, worker: "Worker[Any]") -> bool:
        return worker in self._alive  # in a forked child, none is

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
        self._begun = threading.Lock()
        self._done = threading.Lock()
        self._done.acquire()
        self._result: list[T] = []
        self._error: BaseException | None = None

    def start(self) -> None:
        """Start the thread; when that is interrupted, `wait` knows whether it runs.

        Raises
        ------
        CancelledError
            If the interpreter is ending.
        """
        _ending.enter(self)
        try:
            _start_thread(self._run, "fast_lsh_ann", daemon=False)
        except BaseException:
            if self._begun.acquire(blocking=False):
                _ending.leave(self)
            raise

    def _run(self) -> None:
        if not self._begun.acquire(blocking=False):
            return  # called off
        try:
            self._result.append(self._function())
        except BaseException as error:  # panics of Rust extensions are no Exception
            self._error = error
        finally:
            self._done.release()
            _ending.leave(self)

    def wait(self) -> None:
        """Wait until the function, if it was started, has ended, however it did."""
        while self in _ending and not self._done.acquire(timeout=_STEP_SECONDS):
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
        self._started = False

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
        if not self._started:
            self._started = True
            _start_thread(self._read, "fast_lsh_ann reader", daemon=True)
        return super().__next__()
