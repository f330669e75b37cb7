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
    StreamingLSHProcessor,
    read_delta_embeddings,
    read_delta_embeddings_chunked,
)
from fast_lsh_ann._tables.source import BATCH_ROWS
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


def streaming(**parameters: Any) -> StreamingLSHProcessor:
    return StreamingLSHProcessor(1.0, 3, 7, **parameters)


def _consume(table: str, _: Path, chunk_size: int = 50000, **kw: Any) -> object:
    chunks = streaming(chunk_size=chunk_size).transform_streaming(
        table, **{"id_column": "id", **kw}
    )
    return list(chunks)


def _join_in_lists(table: str, _: Path, chunk_size: int = 50000, **kw: Any) -> object:
    lists = streaming(chunk_size=chunk_size).similarity_join_streaming
    return list(lists(table, table, 1.0, **kw))


def _join_chunked(table: str, _: Path, chunk_size: int = 50000, **kw: Any) -> object:
    count = streaming(chunk_size=chunk_size).similarity_join_chunked_both
    return count(table, table, 1.0, **kw)


# Every method that reads embeddings, called with a table and an output place.
READERS: dict[str, Callable[..., object]] = {
    "read_delta_embeddings": lambda table, _, **kw: read_delta_embeddings(
        table, **{"id_column": "id", **kw}
    ),
    "read_delta_embeddings_chunked": lambda table, _, **kw: list(
        read_delta_embeddings_chunked(table, **{"id_column": "id", **kw})
    ),
    "transform_delta": lambda table, _, **kw: processor().transform_delta(table, **kw),
    "transform_and_save": lambda table, out, **kw: processor().transform_and_save(
        table, out, **kw
    ),
    "similarity_join_delta": lambda table, _, **kw: processor().similarity_join_delta(
        table, table, 1.0, **kw
    ),
    "transform_streaming": _consume,
    "transform_to_delta": lambda table, out, chunk_size=50000, **kw: streaming(
        chunk_size=chunk_size
    ).transform_to_delta(table, out, **kw),
    "similarity_join_streaming": _join_in_lists,
    "similarity_join_chunked_both": _join_chunked,
    "similarity_join_chunked_both_to_delta": lambda table, out, **kw: _join_chunked(
        table, out, output_path=out, **kw
    ),
}
