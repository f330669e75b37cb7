"""Where arguments become what the core takes, or errors people can act on."""

import math
import operator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fast_lsh_ann._arrays import as_array, as_numbers, bad_row, is_missing
from fast_lsh_ann._arrow_in import arrow_ids, arrow_numbers, arrow_rows, gives_arrow
from fast_lsh_ann.errors import DimensionError, InputTypeError, ParameterError

# Numeric types float32 holds exactly; other numbers become float64.
_EXACT_IN_FLOAT32 = ("f2", "f4", "i1", "u1", "i2", "u2")
_CONVERTED_AT_ONCE = 1 << 22  # numbers: some milliseconds


def as_rows(vectors: ArrayLike, name: str, dim: int | None = None) -> NDArray[Any]:
    """Give vectors as a 2-D float32 or float64 array whose rows are contiguous.

    Nothing is copied unless the type, byte order, alignment or layout asks for it.
    float16, float32 and integers of up to 16 bits become float32, exactly; all else
    becomes float64, with 64-bit integers beyond 2^53 rounded.

    Parameters
    ----------
    vectors : array_like, [n, dim]
        Real numbers of any type and strides, from anything that NumPy reads (buffers,
        ``__array__``, ``__array_interface__``, nested sequences; ``[]`` has no rows),
        from ``__dlpack__`` in the CPU's memory, or from anything that speaks Arrow: a
        column of lists of any kind or of Spark's vectors, or a table of numbers.
    name : str
        What errors call the argument.
    dim : int, optional
        The dimension wanted.

    Raises
    ------
    InputTypeError
        If the values are not real numbers, masked, sparse, or on another device.
    DimensionError
        If the array is not 2-D, has no columns, or not `dim` of them.
    InvalidVectorError
        If rows differ in length, or a row or an element is missing.
    ArrowError
        If an Arrow structure contradicts itself, or a stream fails or was read before.
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
    if gives_arrow(vectors):
        array = arrow_rows(vectors, name)
    else:
        array = as_numbers(as_array(vectors, name), vectors, name)
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
    array = arrow_numbers(query, name) if gives_arrow(query) else as_array(query, name)
    row = as_numbers(array[None, :] if array.ndim == 1 else array, query, name)
    if array.ndim != 1:
        hint = ": for several use the batch method" if array.ndim == 2 else ""
        raise DimensionError(
            f"{name}: wanted a 1-D array [dim], "
            f"got {array.ndim}-D of shape {array.shape}{hint}"
        )
    _check_dim(row, name, dim)
    return _for_core(row)


def as_ids(ids: ArrayLike, rows: int) -> NDArray[Any]:
    """Give one id a row: integers or strings as they are, else Python objects.

    Strings in a list stay the objects they are, since an array of them would pad all to
    the longest and cut off trailing zeros.

    Raises
    ------
    InputTypeError
        If the ids are floats, bools, dates or the like.
    DimensionError
        If they are not 1-D, or not as many as there are rows.
    InvalidVectorError
        If one is missing (None, NaN or null).
    ArrowError
        As in `as_rows`.
    """
    array = arrow_ids(ids, "ids") if gives_arrow(ids) else _id_array(ids)
    if array.ndim != 1:
        raise DimensionError(f"ids: wanted a 1-D array, got shape {array.shape}")
    if len(array) != rows:
        raise DimensionError(f"ids: wanted one for each of {rows} rows, got {len(array)}")
    if array.dtype.kind not in "iuUSO":
        raise InputTypeError(f"ids: wanted integers or strings, got dtype {array.dtype}")
    if array.dtype.kind == "O":
        for row, value in enumerate(array.tolist()):
            if is_missing(value) or (isinstance(value, float) and math.isnan(value)):
                raise bad_row(
                    f"ids: element {row} is {value}: every row needs an id", row
                )
    return array


def _id_array(ids: ArrayLike) -> NDArray[Any]:
    if not isinstance(ids, (list, tuple)):
        array = as_array(ids, "ids")
        return array.astype(object) if array.dtype.kind == "T" else array
    if any(isinstance(value, (list, tuple, np.ndarray)) for value in ids):
        raise DimensionError("ids: wanted a 1-D array, got nested sequences")
    array = np.asarray(ids)
    whole = all(isinstance(value, int) for value in ids)
    if array.dtype.kind in "iub" or (array.dtype.kind in "fc" and not whole):
        return array
    return np.fromiter(ids, dtype=object, count=len(ids))


def _check_dim(array: NDArray[Any], name: str, dim: int | None) -> None:
    got = array.shape[1]
    if dim is not None and got != dim and not (got == 0 and array.shape[0] == 0):
        raise DimensionError(f"{name}: wanted vectors of dimension {dim}, got {got}")


def _for_core(array: NDArray[Any]) -> NDArray[Any]:
    native = array.dtype.newbyteorder("=")
    target = np.float32 if native.str[1:] in _EXACT_IN_FLOAT32 else np.float64
    contiguous = array.shape[1] <= 1 or array.strides[1] == array.itemsize
    if native == array.dtype == target and contiguous and array.flags.aligned:
        return array.view(target)  # the buffers of some spell out their byte order
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
    arrow = gives_arrow(value)
    array = arrow_numbers(value, "radius") if arrow else as_array(value, "radius")
    if array.ndim == 0:
        radius = as_real(value, "radius")
        if not radius >= 0:
            raise ParameterError(f"radius must be 0 or more, got {radius}")
        return np.array([radius])
    radii = as_numbers(array, value, "radius").astype(np.float64)
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
