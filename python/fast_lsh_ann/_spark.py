"""Model folders of Spark ML: reading what Spark saved, writing what Spark loads."""

import io
import json
import os
import re
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from fast_lsh_ann.errors import (
    InputTypeError,
    MissingDependencyError,
    ParameterError,
    SparkModelError,
    SparkModelExistsError,
    SparkModelNotFoundError,
)

if TYPE_CHECKING:
    import pyarrow as pa

FolderPath: TypeAlias = str | os.PathLike[str]

_ESTIMATOR = "org.apache.spark.ml.feature.BucketedRandomProjectionLSH"
_MODEL = f"{_ESTIMATOR}Model"

# Whose layout is written; Spark 4 reads it too.
_SPARK_VERSION = "3.5.0"

# As fla_model_create has it; checked here before a matrix gets room.
_MOST_VALUES = 2**26


def _spark_field(name: str, kind: Any, nullable: bool) -> dict[str, Any]:
    return {"name": name, "type": kind, "nullable": nullable, "metadata": {}}


def _spark_array(kind: str) -> dict[str, Any]:
    return {"type": "array", "elementType": kind, "containsNull": False}


# How Spark describes its matrices, and the row of a model's data, in Parquet files.
_MATRIX_FIELDS = [
    _spark_field("type", "byte", False),
    _spark_field("numRows", "integer", False),
    _spark_field("numCols", "integer", False),
    _spark_field("colPtrs", _spark_array("integer"), True),
    _spark_field("rowIndices", _spark_array("integer"), True),
    _spark_field("values", _spark_array("double"), True),
    _spark_field("isTransposed", "boolean", False),
]
_MATRIX_TYPE = {
    "type": "udt",
    "class": "org.apache.spark.ml.linalg.MatrixUDT",
    "pyClass": "pyspark.ml.linalg.MatrixUDT",
    "sqlType": {"type": "struct", "fields": _MATRIX_FIELDS},
}
_ROW_TYPE = {
    "type": "struct",
    "fields": [_spark_field("randUnitVectors", _MATRIX_TYPE, True)],
}


def read_model(path: FolderPath) -> tuple[float, NDArray[np.float64]]:
    """Read the bucket length and the vectors [tables, dim] of a model Spark saved.

    Parameters
    ----------
    path : str or path-like
        The folder, or its ``file:`` URI.

    Raises
    ------
    SparkModelNotFoundError
        If there is no such folder.
    SparkModelError
        If it is not a BucketedRandomProjectionLSHModel as Spark saves it.
    ParameterError, InputTypeError
        If `path` is no path, or the URI of another file system.
    MissingDependencyError
        If pyarrow is not installed.
    """
    folder = _local_folder(path)
    _require_pyarrow()
    parameters = _read_parameters(folder)
    width, tables = parameters.get("bucketLength"), parameters.get("numHashTables")
    if width is None:
        raise SparkModelError(
            f"{folder}: the model has no bucketLength; set it in Spark "
            f"(setBucketLength on the estimator, before fit) and save again"
        )
    if isinstance(width, bool) or not isinstance(width, (int, float)):
        raise SparkModelError(f"{folder}: bucketLength is not a number: {width!r}")
    vectors = _read_vectors(_only_file(folder, "data"))
    if tables != len(vectors):
        raise SparkModelError(
            f"{folder}: numHashTables is {tables}, but the data holds {len(vectors)} "
            f"unit vectors"
        )
    return width, vectors


def write_model(
    path: FolderPath,
    bucket_length: float,
    vectors: NDArray[np.float64],
    *,
    overwrite: bool,
) -> None:
    """Write a folder that Spark loads as a BucketedRandomProjectionLSHModel.

    The folder appears whole, under its name, by a rename of one beside it.

    Parameters
    ----------
    path : str or path-like
        The folder to make, or its ``file:`` URI; parents are made too.
    bucket_length : float
    vectors : ndarray, [tables, dim]
    overwrite : bool
        Replace a model folder of this kind.

    Raises
    ------
    SparkModelExistsError
        If there is something at `path`, and it may not be replaced.
    OSError
        If the folder cannot be written; what was there is still there.
    ParameterError, InputTypeError, MissingDependencyError
        As in :func:`read_model`.
    """
    if not isinstance(overwrite, bool):
        raise InputTypeError(f"overwrite must be True or False, got {overwrite!r}")
    folder = _local_folder(path)
    _require_pyarrow()
    _refuse_to_replace(folder, overwrite)
    folder.parent.mkdir(parents=True, exist_ok=True)
    files = {
        "metadata/part-00000": _metadata(bucket_length, len(vectors)),
        "metadata/_SUCCESS": b"",
        "data/part-00000.parquet": _parquet(vectors),
        "data/_SUCCESS": b"",
    }
    with TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        made, old = Path(scratch, "made"), Path(scratch, "old")
        for name, content in files.items():
            _write_file(made / name, content)
        if overwrite and os.path.lexists(folder):
            _exchange(made, folder, old)
        else:
            made.rename(folder)


# ---- paths -----------------------------------------------------------------------------


def _local_folder(path: FolderPath) -> Path:
    try:
        text = os.fspath(path)
        if not isinstance(text, str):
            raise TypeError
    except TypeError:
        raise InputTypeError(
            f"path must be a str or path-like, got {type(path).__name__}"
        ) from None
    if text.startswith("file:"):
        rest = text.removeprefix("file:")
        if rest.startswith("//"):
            host, _, rest = rest.removeprefix("//").partition("/")
            if host not in ("", "localhost"):
                raise ParameterError(f"path {text!r} is on another host: {host!r}")
            rest = f"/{rest}"
        return Path(unquote(rest))
    if re.match(r"[A-Za-z][\w+.-]+:/", text):
        raise ParameterError(
            f"path {text!r}: Spark models are read and written in local folders only; "
            f"copy the folder"
        )
    if not text:
        raise ParameterError("path must not be empty")
    return Path(text)


def _only_file(folder: Path, part: str) -> Path:
    """Give the one file of a part that Hadoop would see."""
    if not folder.exists():
        raise SparkModelNotFoundError(f"no Spark model at {folder}: there is no folder")
    if not (folder / part).is_dir():
        raise SparkModelError(
            f"{folder} is not a model that Spark saved: it has no folder {part!r}"
        )
    names = sorted(p.name for p in (folder / part).iterdir() if p.name[0] not in "._")
    if len(names) != 1:
        raise SparkModelError(
            f"{folder}: wanted one file in {part!r}, got {', '.join(names) or 'none'}"
        )
    return folder / part / names[0]


# ---- reading ---------------------------------------------------------------------------


def _require_pyarrow() -> None:
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            f"Spark's models are Parquet files, which need the package pyarrow "
            f"({error}); install it with: pip install 'fast_lsh_ann[spark]'"
        ) from error


def _read_parameters(folder: Path) -> dict[str, Any]:
    """Read a model's parameters, set or default; refuse other classes."""
    path = _only_file(folder, "metadata")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        name = content["class"]
        parameters = {**content.get("defaultParamMap", {}), **content["paramMap"]}
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        raise SparkModelError(
            f"{path} is not the metadata of a Spark model: "
            f"{type(error).__name__}: {error}"
        ) from error
    if name != _MODEL:
        advice = _advice(name, parameters)
        raise SparkModelError(f"{folder} holds {name!r}, wanted {_MODEL!r}{advice}")
    return parameters


def _advice(name: str, parameters: dict[str, Any]) -> str:
    if name == _ESTIMATOR:
        shown = {k: parameters.get(k) for k in ("bucketLength", "numHashTables", "seed")}
        return f": an estimator holds no vectors, fit one with {shown}"
    if name == "org.apache.spark.ml.PipelineModel":
        return ": pass the folder of its stage, under 'stages'"
    return ""


def _read_vectors(path: Path) -> NDArray[np.float64]:
    """Read the matrix out of a model's data."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    name = "randUnitVectors"
    try:
        with ParquetFile(path) as file:
            columns, rows = file.schema_arrow.names, file.metadata.num_rows
            table = file.read([name]) if name in columns and rows == 1 else None
    except (pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise SparkModelError(f"{path} is not readable Parquet: {reason}") from error
    if table is None:
        raise SparkModelError(
            f"{path}: wanted a column {name} of one row, got columns {columns} of "
            f"{rows} rows"
        )
    try:
        return _as_dense(table[name][0])
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise SparkModelError(f"{path}: randUnitVectors is no matrix: {error}") from error


def _as_dense(matrix: "pa.StructScalar") -> NDArray[np.float64]:
    """Give a MatrixUDT as an array; any fault of it is a ValueError or the like."""
    kind, rows, columns = (matrix[k].as_py() for k in ("type", "numRows", "numCols"))
    values = _values(matrix, "values", np.float64)
    by_rows = matrix["isTransposed"].as_py()
    if rows < 1 or columns < 1 or rows * columns > _MOST_VALUES:
        raise ValueError(
            f"{rows} x {columns} values, wanted at least 1 x 1 and at most {_MOST_VALUES}"
        )
    shape = (rows, columns) if by_rows else (columns, rows)
    if kind == 1:
        if len(values) != rows * columns:
            raise ValueError(f"{len(values)} values for {rows} x {columns}")
        dense = values.reshape(shape)
    elif kind == 0:
        pointers = _values(matrix, "colPtrs", np.int32)
        indices = _values(matrix, "rowIndices", np.int32)
        dense = _scatter(pointers, indices, values, shape)
    else:
        raise ValueError(f"type is {kind}, wanted 0 (sparse) or 1 (dense)")
    return np.ascontiguousarray(dense if by_rows else dense.T)


def _values(matrix: "pa.StructScalar", name: str, dtype: Any) -> NDArray[Any]:
    values: NDArray[Any] = matrix[name].values.to_numpy(zero_copy_only=False)
    if values.dtype != dtype:
        raise TypeError(f"{name} holds {values.dtype}, wanted {np.dtype(dtype)}")
    return values


def _scatter(
    pointers: NDArray[np.int32],
    indices: NDArray[np.int32],
    values: NDArray[np.float64],
    shape: tuple[int, int],
) -> NDArray[np.float64]:
    """Give compressed rows as a dense array; column-major data come turned round."""
    counts = np.diff(pointers)
    if (
        len(pointers) != shape[0] + 1
        or pointers[0] != 0
        or not (counts >= 0).all()
        or not pointers[-1] == len(indices) == len(values)
        or not ((indices >= 0) & (indices < shape[1])).all()
    ):
        raise ValueError(f"colPtrs and rowIndices contradict {shape[0]} x {shape[1]}")
    dense = np.zeros(shape)
    dense[np.repeat(np.arange(shape[0]), counts), indices] = values
    return dense


# ---- writing ---------------------------------------------------------------------------


def _refuse_to_replace(folder: Path, overwrite: bool) -> None:
    if not os.path.lexists(folder):
        return
    if not overwrite:
        raise SparkModelExistsError(
            f"{folder} exists; pass overwrite=True to replace a model there"
        )
    try:
        _read_parameters(folder)
    except SparkModelError as error:
        raise SparkModelExistsError(
            f"only models of its kind are overwritten, and {error}"
        ) from error


def _metadata(bucket_length: float, tables: int) -> bytes:
    name = f"BucketedRandomProjectionLSH_{os.urandom(6).hex()}"
    content = {
        "class": _MODEL,
        "timestamp": time.time_ns() // 10**6,
        "sparkVersion": _SPARK_VERSION,
        "uid": name,
        "paramMap": {
            "bucketLength": bucket_length,
            "numHashTables": tables,
            "inputCol": "features",
            "outputCol": "hashes",
        },
        "defaultParamMap": {"numHashTables": 1, "outputCol": f"{name}__output"},
    }
    return (json.dumps(content, separators=(",", ":")) + "\n").encode()


def _parquet(vectors: NDArray[np.float64]) -> bytes:
    """Give a table of one matrix, row after row, as Spark stores it."""
    import pyarrow as pa
    from pyarrow.parquet import write_table

    kinds = {
        "byte": pa.int8(),
        "integer": pa.int32(),
        "double": pa.float64(),
        "boolean": pa.bool_(),
    }

    def arrow_type(kind: Any) -> pa.DataType:
        if isinstance(kind, str):
            return kinds[kind]
        element = pa.field("element", kinds[kind["elementType"]], nullable=False)
        return pa.list_(element)

    content = {
        "type": 1,
        "numRows": vectors.shape[0],
        "numCols": vectors.shape[1],
        "values": vectors.ravel(),
        "isTransposed": True,
    }
    fields = [
        pa.field(f["name"], arrow_type(f["type"]), nullable=f["nullable"])
        for f in _MATRIX_FIELDS
    ]
    arrays = [pa.array([content.get(f.name)], f.type) for f in fields]
    column = pa.StructArray.from_arrays(arrays, fields=fields)
    schema = pa.schema(
        [("randUnitVectors", column.type)],
        metadata={
            "org.apache.spark.version": _SPARK_VERSION,
            "org.apache.spark.sql.parquet.row.metadata": json.dumps(_ROW_TYPE),
        },
    )
    sink = io.BytesIO()
    table = pa.Table.from_arrays([column], schema=schema)
    write_table(table, sink, use_dictionary=False)
    return sink.getvalue()


def _write_file(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _exchange(made: Path, folder: Path, old: Path) -> None:
    """Rename a folder to where another is, which goes to `old`."""
    try:
        folder.rename(old)
        made.rename(folder)
    except BaseException:
        if os.path.lexists(old) and not os.path.lexists(folder):
            old.rename(folder)
        raise
