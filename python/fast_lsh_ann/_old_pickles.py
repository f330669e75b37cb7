"""Telling pickles of fast-lsh-ann 0.1.1 from calls of the model's class.

Such a pickle says no more than: look ``BucketedRandomProjectionLSHModel`` up in
``fast_lsh_ann`` and call it with four parameters.  Written in code that is a call of the
class we have, so the parameters do not tell.  But code looks a name up by one instruction
and calls it by another, while an unpickler does both within the one instruction that
called it; where it is written in Python, it calls from a function that is known.  Pickles
of this package call something else.

An unpickler written in C whose ``find_class`` is replaced in Python is not recognised.
"""

import pickle
import sys
import threading
from types import FrameType

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
