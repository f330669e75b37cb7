"""Telling pickles of fast-lsh-ann 0.1.1 from calls of the model's class.

Such a pickle says no more than: look ``BucketedRandomProjectionLSHModel`` up in
``fast_lsh_ann`` and call it with four parameters.  Written in code that is a call of the
class we have, so the parameters do not tell.  But code looks a name up by one instruction
and calls it by another, while an unpickler does both within the one instruction that
called it; where it is written in Python, it calls from a function that is known.  Pickles
of this package call something else.

An unpickler written in C whose ``find_class`` is replaced in Python is not recognised.
"""

import math
import pickle
import sys
import threading
from types import FrameType

from fast_lsh_ann.errors import OldPickleError

_CALLS_IN_PYTHON = getattr(pickle, "_Unpickler").load_reduce.__code__  # noqa: B009

_Place = tuple[int, int, int]  # a frame, its code, an instruction
_last_lookup = threading.local()


def _place(frame: FrameType) -> _Place:
    return id(frame), id(frame.f_code), frame.f_lasti


def note_lookup() -> None:
    """Note, in the package's ``__getattr__``, who looks the class up."""
    _last_lookup.place = _place(sys._getframe(2))


def called_by_unpickler() -> bool:
    """Say, in the ``__init__`` of the class, whether an unpickler calls it."""
    caller = sys._getframe(2)
    if caller.f_code is _CALLS_IN_PYTHON:
        return True
    return getattr(_last_lookup, "place", None) == _place(caller)


def old_pickle_error(
    bucket_length: float, num_hash_tables: int, seed: int, dim: int
) -> OldPickleError:
    """Say what a pickle of fast-lsh-ann 0.1.1 is, and what to make instead."""
    length = float(f"{bucket_length:.7g}")  # it was float32
    spark = float(f"{length / math.sqrt(dim):.4g}")
    return OldPickleError(
        f"this is a pickle of fast-lsh-ann 0.1.1 (bucket_length={length}, "
        f"num_hash_tables={num_hash_tables}, seed={seed}, dim={dim}), whose buckets no "
        f"later version computes: make the model anew and hash anew what was hashed. "
        f"BucketedRandomProjectionLSHModel({spark}, {num_hash_tables}, dim={dim}) has "
        f"buckets as wide, bucket_length / sqrt(dim); with projection='gaussian' keep "
        f"bucket_length={length}. See docs/migration.md"
    )
