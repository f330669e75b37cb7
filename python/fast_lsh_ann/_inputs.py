"""Where arguments become what the core takes, or errors people can act on."""

import math
import operator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fast_lsh_ann._arrow import ArrowColumn
from fast_lsh_ann.errors import (
    DimensionError,
    InputTypeError,
    InvalidVectorError,
    ParameterError,
)

# Numeric types float32 holds exactly; other numbers become float64.
_EXACT_IN_FLOAT32 = ("f2", "f4", "i1", "u1", "i2", "u2")
_CONVERTED_AT_ONCE = 1 << 22  # numbers: some milliseconds


def as_rows(vectors: ArrayLike, name: str, dim: int | None = None) -> NDArray[Any]:
    """Give vectors as a 2-D float32 or float64 array whose rows are contiguous.

    Nothing is copied unless the type, byte order, alignment or layout asks for it.

    Parameters
    ----------
    vectors : array_like, [n, dim]
        Any real numeric type and any strides, nested sequences (``[]`` has no rows), or
        an Arrow array of lists of float32 or float64.
    name : str
        What errors call the argument.
    dim : int, optional
        The dimension wanted.

    Raises
    ------
    InputTypeError
        If the values are not real numbers.
    DimensionError
        If the array is not 2-D, has no columns, or not `dim` of them.
    InvalidVectorError
        If nested sequences differ in length, or an element is missing.
    ArrowError
        If an Arrow array holds anything else.
    """
    return _for_core(_as_matrix(vectors, name, dim))


def dim_of(vectors: ArrayLike, name: str) -> int:
    """Read the dimension of vectors, and no value; errors as in `as_rows`."""
    dim: int = _as_matrix(vectors, name, None).shape[1]
    if dim == 0:
        raise DimensionError(f"{name}: cannot read a dimension from an empty array")
    return dim


def _as_matrix(vectors: ArrayLike, name: str, dim: int | None) -> NDArray[Any]:
    """Give vectors as a 2-D array of whatever numbers they are."""
    if hasattr(vectors, "__arrow_c_array__"):
        array = ArrowColumn(name, *vectors.__arrow_c_array__()).view_rows(0, name)
    else:
        array = _as_array(vectors, name)
    if array.ndim == 1 and array.size == 0:
        array = array.reshape(0, dim or 0)
    if array.ndim != 2:
        hint = ": for one vector use vector[None, :]" if array.ndim == 1 else ""
        raise DimensionError(
            f"{name}: wanted a 2-D array [rows, dim], "
            f"got {array.ndim}-D of shape {array.shape}{hint}"
        )
    _check_dim(array, name, dim)
    return array


def as_query(query: ArrayLike, name: str, dim: int) -> NDArray[Any]:
    """Give one vector as a 2-D array of one row; errors as in `as_rows`."""
    array = _as_array(query, name)
    if array.ndim != 1:
        hint = ": for several use the batch method" if array.ndim == 2 else ""
        raise DimensionError(
            f"{name}: wanted a 1-D array [dim], "
            f"got {array.ndim}-D of shape {array.shape}{hint}"
        )
    array = array[None, :]
    _check_dim(array, name, dim)
    return _for_core(array)


def _as_array(values: ArrayLike, name: str) -> NDArray[Any]:
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise InputTypeError(f"{name}: masked values have no distance; fill or drop them")
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise _ragged(values, name) or InputTypeError(f"{name}: {error}") from None
    if array.dtype.kind == "O" and array.ndim > 0:
        _refuse_none(array, name)
    if array.dtype.kind not in "fiu":
        raise InputTypeError(
            f"{name}: wanted an array of real numbers, got "
            f"{type(values).__name__} of dtype {array.dtype}"
        )
    return array


def _bad_row(message: str, row: int, column: int = -1) -> InvalidVectorError:
    error = InvalidVectorError(message)
    error.row, error.column = row, column
    return error


def _ragged(values: Any, name: str) -> InvalidVectorError | None:
    """Describe the first of nested sequences that is None or not as long as the first."""
    try:
        lengths = [-1 if row is None else len(row) for row in values]
    except TypeError:
        return None
    for row, length in enumerate(lengths):
        if length < 0:
            return _bad_row(f"{name}: row {row} is None", row)
        if length != lengths[0]:
            return _bad_row(
                f"{name}: row {row} has {length} values, row 0 has {lengths[0]}: "
                f"all rows must have one length",
                row,
            )
    return None


def _refuse_none(array: NDArray[Any], name: str) -> None:
    is_none = [value is None for value in array.ravel().tolist()]
    missing = np.argwhere(np.array(is_none, dtype=bool).reshape(array.shape))
    if len(missing) == 0:
        return
    place = [int(i) for i in missing[0]]
    if len(place) == 1:
        raise _bad_row(f"{name}: element {place[0]} is None", place[0])
    rows = len(np.unique(missing[:, 0]))
    raise _bad_row(
        f"{name}: row {place[0]}, column {place[1]} is None; "
        f"{rows} of {len(array)} rows hold None",
        *place[:2],
    )


def _check_dim(array: NDArray[Any], name: str, dim: int | None) -> None:
    got = array.shape[1]
    if dim is not None and got != dim and not (got == 0 and array.shape[0] == 0):
        raise DimensionError(f"{name}: wanted vectors of dimension {dim}, got {got}")


def _for_core(array: NDArray[Any]) -> NDArray[Any]:
    native = array.dtype.newbyteorder("=")
    target = np.float32 if native.str[1:] in _EXACT_IN_FLOAT32 else np.float64
    contiguous = array.shape[1] <= 1 or array.strides[1] == array.itemsize
    if native == array.dtype == target and contiguous and array.flags.aligned:
        return array
    converted = np.empty(array.shape, target)
    step = max(1, _CONVERTED_AT_ONCE // max(1, array.shape[1]))
    for start in range(0, len(array), step):  # between steps Ctrl-C gets its turn
        converted[start : start + step] = array[start : start + step]
    return converted


def as_count(value: Any, name: str, least: int) -> int:
    """Give a whole number of at least `least`.

    Raises
    ------
    InputTypeError
        If it is not a whole number.
    ParameterError
        If it is smaller.
    """
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        count = operator.index(value)
    except TypeError:
        raise InputTypeError(
            f"{name} must be a whole number, got {value!r} ({type(value).__name__})"
        ) from None
    if count < least:
        raise ParameterError(f"{name} must be at least {least}, got {count}")
    return count


def as_real(value: Any, name: str) -> float:
    """Give a real number as a float; NaN passes, the caller knows the range."""
    if isinstance(value, (bool, np.bool_, str, bytes)):
        raise InputTypeError(f"{name} must be a number, got {value!r}")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InputTypeError(
            f"{name} must be a number, got {type(value).__name__}"
        ) from None
    except OverflowError:
        raise ParameterError(f"{name} is beyond float64: {value}") from None


def as_threshold(value: Any) -> float:
    """Give a distance of at least 0; infinity is one.

    Raises
    ------
    InputTypeError
        If it is not a number.
    ParameterError
        If it is negative or NaN.
    """
    threshold = as_real(value, "threshold")
    if math.isnan(threshold) or threshold < 0:
        raise ParameterError(f"threshold must be 0 or more, got {threshold}")
    return threshold


def as_radius(value: Any, queries: int) -> NDArray[np.float64]:
    """Give distances of at least 0, one or one for each query; infinity is one.

    Raises
    ------
    InputTypeError
        If it is neither a number nor a 1-D array of numbers.
    DimensionError
        If an array is not as long as there are queries.
    ParameterError
        If a distance is negative or NaN.
    """
    if isinstance(value, (bool, str, bytes)) or np.ndim(value) == 0:
        radius = as_real(value, "radius")
        if not radius >= 0:
            raise ParameterError(f"radius must be 0 or more, got {radius}")
        return np.array([radius])
    radii = _as_array(value, "radius").astype(np.float64)
    if radii.shape != (queries,):
        raise DimensionError(
            f"radius: wanted a number, or one for each of {queries} queries, "
            f"got shape {radii.shape}"
        )
    bad = np.flatnonzero(~(radii >= 0))
    if len(bad):
        raise ParameterError(
            f"radius must be 0 or more, got {radii[bad[0]]} for query {bad[0]}"
        )
    return radii


def as_upper(self_pairs: str, one_side: bool) -> bool:
    """Read ``self_pairs``: True for pairs with left < right only.

    Raises
    ------
    ParameterError
        If it is neither "all" nor "upper", or "upper" with two different sides.
    """
    if self_pairs not in ("all", "upper"):
        raise ParameterError(f"self_pairs must be 'all' or 'upper', got {self_pairs!r}")
    if self_pairs == "upper" and not one_side:
        raise ParameterError(
            "self_pairs='upper' joins rows with themselves, got two different sides: "
            "pass one side, or the same array twice"
        )
    return self_pairs == "upper"


def as_min_collisions(value: Any, num_hash_tables: int, exact: bool = False) -> int:
    """Give the collisions a candidate needs; 0 for exact search, which asks for none.

    Raises
    ------
    InputTypeError
        If it is not a whole number.
    ParameterError
        If it is not from 1 to the number of hash tables, or not 1 in exact search.
    """
    count = as_count(value, "min_collisions", 1)
    if exact:
        if count != 1:
            raise ParameterError(
                f"exact=True takes every row as a candidate; min_collisions={count} "
                f"contradicts it"
            )
        return 0
    if count > num_hash_tables:
        raise ParameterError(
            f"min_collisions must be at most the model's {num_hash_tables} hash tables, "
            f"got {count}"
        )
    return count


# In the order of fla_plan.
PLANS = ("auto", "dense", "bucket", "gather")


def as_plan(value: Any, exact: bool) -> int:
    """Give the number of a plan.

    Raises
    ------
    ParameterError
        If there is no such plan, or it goes by buckets in exact search.
    """
    if value not in PLANS:
        raise ParameterError(f"plan must be one of {', '.join(PLANS)}, got {value!r}")
    if exact and value in ("bucket", "gather"):
        raise ParameterError(
            f"plan={value!r} goes by buckets, which exact=True does not ask for: "
            f"use 'auto' or 'dense'"
        )
    return PLANS.index(value)
