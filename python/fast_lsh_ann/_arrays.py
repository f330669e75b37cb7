"""Arrays of real numbers out of anything that NumPy reads, and out of DLPack."""

import numbers
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fast_lsh_ann.errors import InputTypeError, InvalidVectorError

# Device types of DLPack whose memory the CPU reads: its own, and what is pinned or
# managed for CUDA and ROCm.
_HOST_DEVICES = (1, 3, 11, 13)
_DEVICES = {2: "CUDA", 4: "OpenCL", 7: "Vulkan", 8: "Metal", 10: "ROCm", 14: "oneAPI"}


def as_array(values: Any, name: str) -> NDArray[Any]:
    """Give values as an array of whatever type, without a copy where NumPy needs none.

    Raises
    ------
    InputTypeError
        If they are masked, sparse or on another device, or make no array.
    InvalidVectorError
        If nested sequences differ in length.
    """
    parts = values if isinstance(values, (list, tuple)) else (values,)
    if any(isinstance(p, np.ma.MaskedArray) and np.ma.is_masked(p) for p in parts):
        raise InputTypeError(f"{name}: masked values are missing; fill or drop them")
    kind = type(values).__name__
    if hasattr(values, "toarray") and hasattr(values, "nnz"):
        raise InputTypeError(f"{name}: {kind} is sparse; pass its .toarray()")
    if not isinstance(values, np.ndarray):
        _refuse_devices(values, name)
    array_like = hasattr(values, "__array__") or hasattr(values, "__array_interface__")
    try:
        if hasattr(values, "__dlpack__") and not array_like:
            return np.from_dlpack(values)
        return np.asarray(values)
    except ValueError as error:
        raise _ragged(values, name) or InputTypeError(f"{name}: {error}") from None
    except MemoryError:
        raise
    except Exception as error:
        dtype = getattr(values, "dtype", "unknown dtype")
        raise InputTypeError(
            f"{name}: {kind} of {dtype} makes no array: {error}; "
            f"convert it to float32 or float64 in the CPU's memory"
        ) from error


def as_numbers(array: NDArray[Any], values: object, name: str) -> NDArray[Any]:
    """Give an array of real numbers; Python numbers become float64.

    Raises
    ------
    InputTypeError
        If they are anything else.
    InvalidVectorError
        If one is missing, or rows differ in length.
    """
    if array.dtype.kind == "O" and array.ndim == 1 and any(map(_is_row, array)):
        array = as_array(list(array), name)
    if array.dtype.kind == "O" and array.ndim > 0:
        _refuse_missing(array, name)
        return _floats(array, name)
    if array.dtype.kind not in "fiu":
        raise InputTypeError(
            f"{name}: wanted an array of real numbers, got "
            f"{type(values).__name__} of dtype {array.dtype}"
        )
    return array


def is_missing(value: object) -> bool:
    """Whether a value is None, or what pandas has in its place."""
    return value is None or type(value).__name__ == "NAType"


def bad_row(message: str, row: int, column: int = -1) -> InvalidVectorError:
    """Make the error of a row."""
    error = InvalidVectorError(message)
    error.row, error.column = row, column
    return error


def _is_row(value: object) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, (str, bytes))


def _refuse_devices(values: Any, name: str) -> None:
    kind = type(values).__name__
    device, number = 1, 0
    if hasattr(values, "__cuda_array_interface__"):
        device = 2
    elif hasattr(values, "__dlpack_device__"):
        try:
            device, number = values.__dlpack_device__()
        except Exception as error:
            raise InputTypeError(f"{name}: {kind} has no memory: {error}") from error
    if device not in _HOST_DEVICES:
        where = _DEVICES.get(int(device), f"DLPack type {int(device)}")
        raise InputTypeError(
            f"{name}: {kind} is on device {number} ({where}); move it to the CPU first, "
            f"as by .cpu() in PyTorch and .get() in CuPy"
        )


def _ragged(values: Any, name: str) -> InvalidVectorError | None:
    """Describe the first of nested sequences that is none or not as long as the first."""
    if not _is_row(values):
        return None
    length = None
    for row, value in enumerate(values):
        if is_missing(value) or not hasattr(value, "__len__"):
            return bad_row(f"{name}: row {row} is {value}", row)
        length = len(value) if length is None else length
        if len(value) != length:
            return bad_row(
                f"{name}: row {row} has {len(value)} values, row 0 has {length}: "
                f"all rows must have one length",
                row,
            )
    return None


def _refuse_missing(array: NDArray[Any], name: str) -> None:
    flat = [is_missing(value) for value in array.ravel().tolist()]
    missing = np.argwhere(np.array(flat, dtype=bool).reshape(array.shape))
    if len(missing) == 0:
        return
    place = tuple(missing[0].tolist())
    if len(place) == 1:
        raise bad_row(f"{name}: element {place[0]} is {array[place]}", place[0])
    rows = len(np.unique(missing[:, 0]))
    raise bad_row(
        f"{name}: row {place[0]}, column {place[1]} is {array[place]}; "
        f"{rows} of {len(array)} rows miss an element",
        *place[:2],
    )


def _floats(array: NDArray[Any], name: str) -> NDArray[np.float64]:
    """Convert Python numbers one by one; those beyond float64 are no coordinates."""
    floats = np.empty(array.shape)
    for place, value in np.ndenumerate(array):
        where = ", ".join(map(str, place))
        is_number = isinstance(value, numbers.Number) and not isinstance(value, bool)
        try:
            if not is_number:
                raise TypeError
            floats[place] = float(value)
        except (TypeError, ValueError):
            raise InputTypeError(
                f"{name}: wanted real numbers, got {type(value).__name__} at [{where}]"
            ) from None
        except OverflowError:
            raise bad_row(
                f"{name}: the number at [{where}] is beyond float64", place[0], place[-1]
            ) from None
    return floats
