"""Every exception this package raises on purpose.

Each class derives from :class:`FastLSHError` and from the built-in class that a caller
who does not know the package would catch.
"""

import pickle

from fast_lsh_ann import _core

__all__ = [
    "ArrowError",
    "BucketRangeError",
    "CancelledError",
    "ColumnNotFoundError",
    "DeltaError",
    "DimensionError",
    "FastLSHError",
    "InputTypeError",
    "InvalidVectorError",
    "MemoryLimitError",
    "MissingDependencyError",
    "OldPickleError",
    "OutOfMemoryError",
    "ParameterError",
    "SchemeMismatchError",
    "SimdError",
    "SparkModelError",
    "SparkModelExistsError",
    "SparkModelNotFoundError",
    "SparkVectorColumnError",
    "TableError",
    "TableExistsError",
    "TableNotFoundError",
    "TableSchemaError",
]


class FastLSHError(Exception):
    """Base of every exception the package raises on purpose."""


class ParameterError(FastLSHError, ValueError):
    """A parameter is outside its range; the message has the value."""


class SchemeMismatchError(ParameterError):
    """Hashes of different schemes would be used together; buckets do not compare."""


class InputTypeError(FastLSHError, TypeError):
    """An argument is of a type that cannot hold vectors, or a number where none fits."""


class DimensionError(FastLSHError, ValueError):
    """Shapes that must agree do not; the message has both numbers."""


class InvalidVectorError(FastLSHError, ValueError):
    """A row holds NaN, infinity or null, or has another length than the first row.

    Attributes
    ----------
    row : int
        The first such row.
    column : int
        Its first such coordinate, -1 where the whole row is at fault.
    bad_rows : int
        How many rows have a fault of this kind, 0 where they were not counted.
    """

    row: int = -1
    column: int = -1
    bad_rows: int = 0


class BucketRangeError(FastLSHError, ValueError):
    """A bucket number does not fit in int64: the bucket length is too small for the data.

    Attributes
    ----------
    row : int
        The first such row.
    bad_rows : int
        How many rows have such a bucket, 0 where they were not counted.
    """

    row: int = -1
    bad_rows: int = 0


class OutOfMemoryError(FastLSHError, MemoryError):
    """An allocation failed; the message says what the memory was for."""


class CancelledError(FastLSHError, RuntimeError):
    """A call was stopped from outside; Ctrl-C raises ``KeyboardInterrupt`` instead."""


class SimdError(FastLSHError, ValueError):
    """``FAST_LSH_ANN_SIMD`` names kernels this processor cannot run."""


class ArrowError(FastLSHError, ValueError):
    """An Arrow structure is malformed, or a stream failed or was read before."""


class MemoryLimitError(FastLSHError, MemoryError):
    """The work does not fit in ``memory_limit``; the message says what it needs."""


class TableError(FastLSHError, OSError):
    """A table could not be read or written."""


class TableNotFoundError(TableError, FileNotFoundError):
    """There is no table at the path."""


class TableExistsError(TableError, FileExistsError):
    """There is a table at the path, and ``mode="error"`` does not touch it."""


class TableSchemaError(TableError, ValueError):
    """Rows to be appended have other columns than the table; the message says which."""


class ColumnNotFoundError(TableError, LookupError):
    """The table has no such column; the message lists the columns there are."""


class DeltaError(TableError):
    """A Delta table could not be read or written."""


class SparkVectorColumnError(DeltaError):
    """The table has Spark ML vectors that cannot be read there; the message says why."""


class SparkModelError(FastLSHError, ValueError):
    """A folder is not a model of this kind as Spark saves it; the message says why."""


class SparkModelNotFoundError(SparkModelError, FileNotFoundError):
    """There is no folder at the path."""


class SparkModelExistsError(SparkModelError, FileExistsError):
    """There is something at the path, and it was not to be, or cannot be, replaced."""


class OldPickleError(FastLSHError, pickle.UnpicklingError):
    """The pickle is of a model of fast-lsh-ann 0.1.1; the message says what to do."""


class MissingDependencyError(FastLSHError, ImportError):
    """An optional package is needed; the message has the command that installs it."""


# Classes show where users import them from.
for _name in __all__:
    globals()[_name].__module__ = "fast_lsh_ann.errors"

_core.register_errors(
    {
        "FLA_ERR_ARGUMENT": ParameterError,
        "FLA_ERR_SHAPE": DimensionError,
        "FLA_ERR_NONFINITE": InvalidVectorError,
        "FLA_ERR_ROW": InvalidVectorError,
        "FLA_ERR_RANGE": BucketRangeError,
        "FLA_ERR_MEMORY": OutOfMemoryError,
        "FLA_ERR_CANCELLED": CancelledError,
        "FLA_ERR_SIMD": SimdError,
        "FLA_ERR_ARROW": ArrowError,
        "FLA_ERR_SINK": FastLSHError,
        "FLA_ERR_TYPE": InputTypeError,
    }
)
