"""The same rows as every kind of table that is read."""

import io
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import deltalake
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.ipc
import pyarrow.parquet as pq
from numpy.typing import NDArray

SPARK_VECTOR = pa.struct(
    [
        ("type", pa.int8()),
        ("size", pa.int32()),
        ("indices", pa.list_(pa.int32())),
        ("values", pa.list_(pa.float64())),
    ]
)


@dataclass(frozen=True)
class Content:
    """What a table holds: a row's id, its label, which is "x" or "y", its embedding."""

    ids: list[Any]
    labels: list[str]
    rows: NDArray[Any]

    def table(self) -> pa.Table:
        return pa.table(
            {"id": self.ids, "label": self.labels, "embedding": lists(self.rows)}
        )


def content_of(rows: NDArray[Any], ids: list[Any] | None = None) -> Content:
    labels = ["x" if number % 3 else "y" for number in range(len(rows))]
    return Content(list(range(len(rows))) if ids is None else ids, labels, rows)


def lists(rows: NDArray[Any]) -> pa.Array:
    offsets = np.arange(len(rows) + 1, dtype=np.int32) * rows.shape[1]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(rows.ravel()))


def _parquet(path: Path, table: pa.Table, **settings: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, **settings)
    return str(path)


def _delta(folder: Path, content: Content) -> str:
    deltalake.write_deltalake(str(folder / "delta"), content.table())
    return str(folder / "delta")


def _parts(folder: Path, content: Content) -> str:
    """Files whose order of paths is that of the rows, in folders at two depths."""
    table, third = content.table(), len(content.ids) // 3 + 1
    names = ("part-0.parquet", "part-1/a.parquet", "part-2.parquet")
    for number, name in enumerate(names):
        _parquet(folder / "parts" / name, table.slice(number * third, third))
    (folder / "parts" / "_SUCCESS").touch()
    (folder / "parts" / "_temporary").mkdir()
    (folder / "parts" / "_temporary" / "0.parquet").write_text("not whole yet")
    return str(folder / "parts")


def _hive(folder: Path, content: Content) -> str:
    table, half = content.table(), len(content.ids) // 2
    for number, part in enumerate((table.slice(0, half), table.slice(half))):
        _parquet(folder / f"hive/year={number + 1}/all.parquet", part)
    return str(folder / "hive")


def _ipc(path: Path, table: pa.Table, batch_rows: int | None = None, **kw: Any) -> str:
    options = pa.ipc.IpcWriteOptions(**kw)
    make = pa.ipc.new_stream if path.suffix == ".arrows" else pa.ipc.new_file
    with make(path, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=batch_rows)
    return str(path)


def _bytes(content: Content) -> io.BytesIO:
    file = io.BytesIO()
    with pa.ipc.new_stream(file, content.table().schema) as writer:
        writer.write_table(content.table())
    file.seek(0)
    return file


def _sliced(content: Content) -> pa.Table:
    table = content.table()
    return pa.concat_tables([table, table]).combine_chunks().slice(len(table))


def _dictionaries(content: Content) -> pa.Table:
    """Ids behind dictionaries of their own in every chunk, embeddings behind one."""
    table, half = content.table(), len(content.ids) // 2
    parts = [table.slice(0, half), table.slice(half)]
    ids = pa.chunked_array([p["id"].combine_chunks().dictionary_encode() for p in parts])
    places = pa.array(np.arange(len(table), dtype=np.int32))
    rows = pa.DictionaryArray.from_arrays(places, table["embedding"].combine_chunks())
    return table.set_column(0, "id", ids).set_column(2, "embedding", rows)


def _views(content: Content) -> pa.Table:
    table = content.table()
    kind = pa.string_view() if isinstance(next(iter(content.ids), 0), str) else pa.int64()
    ids = pa.array(content.ids, kind)
    return table.set_column(0, "id", ids)


def _vectors(folder: Path, content: Content) -> str:
    """Spark's vectors, dense and sparse in turn."""
    values = [
        {"type": 1, "size": None, "indices": None, "values": row}
        if number % 2
        else {"type": 0, "size": len(row), "indices": range(len(row)), "values": row}
        for number, row in enumerate(content.rows.tolist())
    ]
    table = content.table()
    column = pa.array(values, SPARK_VECTOR)
    return _parquet(folder / "v.parquet", table.set_column(2, "embedding", column))


def _lazy(content: Content) -> Any:
    """A stream that runs Python functions in polars' threads."""
    frame = pl.DataFrame(content.table()).lazy()
    same = frame.map_batches(lambda part: part.with_columns(pl.col("id")))
    return same.collect_batches(chunk_size=3000, lazy=True)


def _scanned(folder: Path, content: Content) -> Any:
    """A reader whose own threads read files."""
    dataset = ds.dataset(_parts(folder, content))
    return dataset.scanner(batch_size=1000).to_reader()


_KINDS: dict[str, Callable[[Path, Content], Any]] = {
    "Delta": _delta,
    "Parquet": lambda f, c: _parquet(f / "t.parquet", c.table()),
    "Parquet: small row groups": lambda f, c: _parquet(
        f / "g.parquet", c.table(), row_group_size=1000
    ),
    "Parquet: folder": _parts,
    "Parquet: pattern": lambda f, c: _parts(f, c) + "/**/*.parquet",
    "Parquet: partitions": _hive,
    "Parquet: Spark's vectors": _vectors,
    "Arrow file": lambda f, c: _ipc(f / "t.arrow", c.table()),
    "Arrow file: compressed": lambda f, c: _ipc(
        f / "t.feather", c.table(), 700, compression="zstd"
    ),
    "Arrow stream": lambda f, c: _ipc(f / "t.arrows", c.table(), 700),
    "bytes of a stream": lambda _, c: _bytes(c),
    "polars frame": lambda _, c: pl.DataFrame(c.table()),
    "pyarrow table": lambda _, c: c.table(),
    "pyarrow table: sliced": lambda _, c: _sliced(c),
    "pyarrow table: dictionaries": lambda _, c: _dictionaries(c),
    "pyarrow table: views": lambda _, c: _views(c),
    "pyarrow reader": lambda _, c: c.table().to_reader(max_chunksize=777),
    "pyarrow reader: of files": _scanned,
    "polars batches": lambda _, c: _lazy(c),
}
ONE_SHOT = {
    "bytes of a stream",
    "pyarrow reader",
    "pyarrow reader: of files",
    "polars batches",
}
TABLES = list(_KINDS)


def make_table(kind: str, folder: Path, content: Content) -> Any:
    """Make a table of a kind, in a folder of its own; one reading may use it up."""
    return _KINDS[kind](Path(tempfile.mkdtemp(dir=folder)), content)
