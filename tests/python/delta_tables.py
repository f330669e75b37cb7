"""Delta tables for tests, and the methods that read them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import deltalake
import numpy as np
import polars as pl
from fast_lsh_ann import (
    BucketedRandomProjectionLSH,
    DeltaLSHProcessor,
    read_delta_embeddings,
)
from fast_lsh_ann._delta_read import BATCH_ROWS
from numpy.typing import NDArray

# More than one batch holds, so that tables of this size come in two.
TWO_BATCHES = BATCH_ROWS + 1000


def vectors_of(n: int, dim: int = 4, seed: int = 1) -> NDArray[np.float32]:
    generator = np.random.default_rng(seed)
    return generator.standard_normal((n, dim), dtype=np.float32)


def write_table(
    path: Path,
    rows: Any,
    ids: Any = None,
    *,
    mode: Any = "append",
    element: Any = pl.Float32,
    **columns: Any,
) -> str:
    """Write rows, arrays or lists with holes, as a table with polars."""
    rows = rows.tolist() if isinstance(rows, np.ndarray) else rows
    frame = pl.DataFrame(
        {
            "id": range(len(rows)) if ids is None else ids,
            "embedding": pl.Series(rows, dtype=pl.List(element)),
            **columns,
        }
    )
    frame.write_delta(path, mode=mode)
    return str(path)


def by_id(frame: pl.DataFrame) -> NDArray[np.int64]:
    return frame.sort("id").drop("id").to_numpy()


def contents(path: str) -> tuple[int, pl.DataFrame]:
    frame = pl.read_delta(path)
    return deltalake.DeltaTable(path).version(), frame.sort(frame.columns)


def processor() -> DeltaLSHProcessor:
    return DeltaLSHProcessor(bucket_length=1.0, num_hash_tables=3, seed=7)


def hashes_in_memory(rows: NDArray[Any]) -> NDArray[np.int64]:
    return BucketedRandomProjectionLSH(1.0, 3, 7).fit(rows).transform(rows)


# Every method that reads embeddings, called with a table and an output place.
READERS: dict[str, Callable[..., object]] = {
    "read_delta_embeddings": lambda table, _, **kw: read_delta_embeddings(
        table, **{"id_column": "id", **kw}
    ),
    "transform_delta": lambda table, _, **kw: processor().transform_delta(table, **kw),
    "transform_and_save": lambda table, out, **kw: processor().transform_and_save(
        table, out, **kw
    ),
    "similarity_join_delta": lambda table, _, **kw: processor().similarity_join_delta(
        table, table, 1.0, **kw
    ),
}
