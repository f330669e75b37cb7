"""Lazy frames over Delta tables: what they hold, and what is checked beforehand."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from delta_tables import vectors_of, write_table
from fast_lsh_ann import read_delta_embeddings
from fast_lsh_ann.delta_utils import read_delta_lazy
from fast_lsh_ann.errors import (
    ColumnNotFoundError,
    InputTypeError,
    ParameterError,
    TableNotFoundError,
)


def test_a_lazy_frame_has_the_columns_and_the_order_of_the_reader(tmp_path: Path) -> None:
    for commit in range(3):
        ids_of_commit = np.arange(50) + 1000 * commit
        write_table(tmp_path / "t", vectors_of(50, seed=commit), ids=ids_of_commit)
    table = str(tmp_path / "t")
    rows, ids = read_delta_embeddings(table, id_column="id")
    assert ids is not None
    lazy = read_delta_lazy(table, "embedding", "id")
    assert isinstance(lazy, pl.LazyFrame)
    frame = lazy.collect()
    assert frame.columns == ["embedding", "id"]
    np.testing.assert_array_equal(frame["id"].to_numpy(), ids)
    np.testing.assert_array_equal(np.array(frame["embedding"].to_list()), rows)
    assert read_delta_lazy(table).collect().columns == ["embedding"]
    some = read_delta_lazy(table, id_column="id", row_limit=7).collect()
    assert some["id"].to_list() == ids[:7].tolist()
    assert len(read_delta_lazy(table, row_limit=0).collect()) == 0
    filtered = lazy.filter(pl.col("id") == 1003).collect()
    assert filtered["embedding"].to_list() == [vectors_of(4, seed=1)[3].tolist()]


def test_a_lazy_frame_stays_at_its_version(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t", vectors_of(3))
    opened = read_delta_lazy(table)
    write_table(tmp_path / "t", vectors_of(5), mode="overwrite")
    assert len(opened.collect()) == 3
    assert len(read_delta_lazy(table).collect()) == 5
    assert len(read_delta_lazy(table, version=0).collect()) == 3


def test_a_lazy_frame_gets_the_storage_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = write_table(tmp_path / "t", vectors_of(3))
    options = {"timeout": "77 seconds"}
    seen: list[object] = []

    def recorded(_: str, **kw: Any) -> pl.LazyFrame:
        seen.append(kw["storage_options"])
        return pl.LazyFrame({"embedding": [0]})

    monkeypatch.setattr(pl, "scan_delta", recorded)
    read_delta_lazy(table, storage_options=options)
    assert seen == [options]


def test_a_lazy_frame_is_checked_when_it_is_made(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t", vectors_of(3), label=["x", "y", "z"])
    with pytest.raises(TableNotFoundError):
        read_delta_lazy("nowhere")
    with pytest.raises(ColumnNotFoundError, match="'label'"):
        read_delta_lazy(table, id_column="identity")
    with pytest.raises(InputTypeError, match="array<float>"):
        read_delta_lazy(table, "label")
    for limit, error in ((-1, ParameterError), (1.5, InputTypeError)):
        with pytest.raises(error, match="row_limit"):
            read_delta_lazy(table, row_limit=limit)  # type: ignore[arg-type]
