"""Threads and instruction set: what the core runs on."""

from dataclasses import dataclass

from fast_lsh_ann import _core
from fast_lsh_ann._inputs import as_count

__all__ = ["SimdInfo", "set_threads", "simd_info"]


@dataclass(frozen=True)
class SimdInfo:
    """What the core runs on in this process.

    Attributes
    ----------
    tier : str
        Kernels in use: the best this processor has, or what ``FAST_LSH_ANN_SIMD`` names.
    tiers : tuple of str
        Kernels this processor can run, best first.
    threads : int
        Threads a call may use, the calling one included.
    """

    tier: str
    tiers: tuple[str, ...]
    threads: int


def simd_info() -> SimdInfo:
    """Say which kernels and how many threads calls use.

    Raises
    ------
    SimdError
        If ``FAST_LSH_ANN_SIMD`` names kernels this processor cannot run.
    ParameterError
        If ``FAST_LSH_ANN_NUM_THREADS`` is not a whole number from 1 to 1024.
    """
    tier, tiers, threads = _core.simd_info()
    return SimdInfo(tier, tuple(tiers), threads)


def set_threads(n: int | None) -> None:
    """Set how many threads later calls use; results do not depend on it.

    Parameters
    ----------
    n : int or None
        From 1 to 1024, the calling thread included.  None: what
        ``FAST_LSH_ANN_NUM_THREADS`` says, else the processors this process may use
        (affinity and cgroup quota).

    Raises
    ------
    InputTypeError, ParameterError
        If `n` is not a whole number in that range.
    """
    _core.set_threads(0 if n is None else as_count(n, "n", 1, 1024))
