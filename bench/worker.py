"""One contender in a process of its own: loads, builds and runs what it is told.

Requests and replies are pickles over standard input and output.  Besides the contender's
library it needs NumPy only.
"""

import importlib
import os
import pickle
import sys
import time
from typing import Any, BinaryIO

import memory
import peers
from data import Rows, Stored
from messages import Reply, Request, Start

MOST_CALLS = 1000  # in one turn
PLAIN = ("facts", "vectors")  # not a search: the answer is sent as it is


class Loader:
    """Rows that were asked for, loaded once."""

    def __init__(self) -> None:
        self._known: dict[Stored, Rows] = {}

    def __call__(self, value: Any) -> Any:
        if not isinstance(value, Stored):
            return value
        if value not in self._known:
            self._known[value] = value.load()
        return self._known[value]


def perform(peer: peers.Peer, request: Request, load: Loader) -> Reply:
    arguments = {name: load(value) for name, value in request.arguments.items()}
    call = getattr(peer, request.method)
    peer.set(**request.settings)
    if request.least:
        call(**arguments)
    process = peer.process()
    before = memory.start_anew(process) if request.weighed else 0
    seconds: list[float] = []
    raw = None
    while not seconds or (sum(seconds) < request.least and len(seconds) < MOST_CALLS):
        if request.method.startswith("build"):
            peer.forget()
        raw = None  # the last answer is not freed on the clock
        start = time.perf_counter()
        raw = call(**arguments)
        seconds.append(time.perf_counter() - start)
    if request.method == "read":  # it has a clock of its own
        return Reply(list(raw or ()))
    weight = memory.since(process, before) if request.weighed else None
    if not request.wanted:
        return Reply(seconds, memory=weight)
    plain = request.method in PLAIN
    answer = raw if plain else peer.answer(request.method, raw)
    return Reply(seconds, answer, weight)


def contender(start: Start) -> peers.Peer:
    module, _, name = start.peer.rpartition(".")
    made: peers.Peer = getattr(importlib.import_module(module or "peers"), name)(
        start.threads, **start.how
    )
    return made


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    load = Loader()
    peer: peers.Peer | None = None
    while True:
        try:
            message: Start | Request = pickle.load(requests)
        except EOFError:
            return
        try:
            if isinstance(message, Start):
                peer = contender(message)
                reply = Reply()
            else:
                assert peer is not None
                reply = perform(peer, message, load)
        except Exception as error:
            reply = Reply(error=f"{type(error).__name__}: {error}")
        pickle.dump(reply, replies, protocol=pickle.HIGHEST_PROTOCOL)
        replies.flush()


if __name__ == "__main__":
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get among the replies
    serve(sys.stdin.buffer, channel)
