"""Rows of a .npy file as a Delta table, for contenders that read tables."""

import shutil
from pathlib import Path

import deltalake
import numpy as np
import polars as pl
from data import BUILD, Stored
from peers import Ints
from surface import FIRST_ID

FILE_BYTES = 16 << 20  # of a data file, so that a reader with several threads has several


def ids_of(rows: Stored) -> Ints:
    """The ids that the table of these rows has."""
    return np.arange(len(rows.mapped()), dtype=np.int64) + FIRST_ID


def table_of(rows: Stored) -> Path:
    """The table of these rows, columns id and embedding, written in one commit."""
    vectors = rows.mapped()
    path = BUILD / "data" / f"{rows.path.stem}-{rows.start}-{len(vectors)}.delta"
    if not path.exists():
        partial = path.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        columns = {
            "id": ids_of(rows),
            "embedding": pl.Series(np.array(vectors, rows.dtype)),
        }
        frame = pl.DataFrame(columns).cast({"embedding": pl.List(pl.Float32)})
        deltalake.write_deltalake(partial, frame, target_file_size=FILE_BYTES)
        partial.rename(path)
    return path
