"""How much memory a process holds, from Linux's accounts of it."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Memory:
    """Resident bytes of a process."""

    before: int  # when a call started
    peak: int  # at most, until it ended

    @property
    def grown(self) -> int:
        return self.peak - self.before


def status(process: int, key: str) -> int:
    """A line of the process's status that counts kB (proc(5)), as bytes."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(key)


def start_anew(process: int) -> int:
    """Forget the peak so far; the bytes that are resident now."""
    Path(f"/proc/{process}/clear_refs").write_text("5")
    return status(process, "VmRSS")


def since(process: int, before: int) -> Memory:
    """What the process held since it started anew with `before` bytes."""
    return Memory(before, status(process, "VmHWM"))
