"""Who takes part, each in a process of its own that waits while the others run."""

import math
import os
import pickle
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from data import Stored
from messages import Reply, Request, Start

WORKER = Path(__file__).with_name("worker.py")

# An environment may export choices of its own; nobody here is to inherit them.
CHOICES = ("OPENBLAS_", "GOTO_", "OMP_", "GOMP_", "MKL_", "KMP_", "FAST_LSH_ANN_")


class ContenderError(Exception):
    """A contender that is not installed, cannot do this, or has died."""


@dataclass(frozen=True)
class Entrant:
    """A contender and the way it is run."""

    label: str
    peer: str  # class in peers.py, or module.class
    how: Mapping[str, Any] = field(default_factory=dict)  # how it builds its index
    search: Mapping[str, Any] = field(default_factory=dict)  # arguments of each search
    settings: Mapping[str, Any] = field(default_factory=dict)  # before each search
    environment: Mapping[str, str] = field(default_factory=dict)
    patience: float = math.inf  # seconds that its turns may take, at most
    python: str = sys.executable
    missing: str = ""  # why it cannot take part

    @property
    def ours(self) -> bool:
        return self.peer.rpartition(".")[2].startswith("Ours")

    def home(self) -> bytes:
        """Entrants of one home share a process and its index."""
        return pickle.dumps((self.peer, self.how, self.environment, self.python))


class Worker:
    """The process of an entrant."""

    def __init__(self, entrant: Entrant, threads: int) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(CHOICES)}
        environment = {
            **kept,
            "OMP_NUM_THREADS": str(threads),  # OpenBLAS listens to it too
            "OMP_WAIT_POLICY": "PASSIVE",
            "RAYON_NUM_THREADS": str(threads),
            "FAST_LSH_ANN_NUM_THREADS": str(threads),
            **entrant.environment,
        }
        self._label = entrant.label
        self._process = subprocess.Popen(
            [entrant.python, str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        self.built: float | None = None
        self._ask(Start(entrant.peer, threads, entrant.how))

    def ask(self, request: Request) -> Reply:
        return self._ask(request)

    def build(self, rows: Stored) -> float:
        """Build the index of these rows, once; the seconds it took."""
        if self.built is None:
            self.built = self._ask(Request("build", {"rows": rows})).seconds[0]
        return self.built

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def _ask(self, message: Start | Request) -> Reply:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            pickle.dump(message, self._process.stdin)
            self._process.stdin.flush()
            reply: Reply = pickle.load(self._process.stdout)
        except (BrokenPipeError, EOFError):
            code = self._process.wait()
            raise ContenderError(f"{self._label} died with status {code}") from None
        if reply.error:
            raise ContenderError(reply.error)
        return reply


class Stage:
    """The processes of one contest; they end with it."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._workers: dict[bytes, Worker] = {}

    def worker(self, entrant: Entrant) -> Worker:
        if entrant.missing:
            raise ContenderError(entrant.missing)
        home = entrant.home()
        if home not in self._workers:
            self._workers[home] = Worker(entrant, self._threads)
        return self._workers[home]

    def __enter__(self) -> "Stage":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self._workers.values():
            worker.close()
