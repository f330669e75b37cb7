"""What is written can be read where Parquet's newer encodings are not known."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow.parquet
import pytest
from delta_tables import streaming, vectors_of, write_table
from fast_lsh_ann import create_sample_delta, tables

# Spark's vectorized reader knows these from its first version on; of others, such as
# BYTE_STREAM_SPLIT, it said "Unsupported encoding" in 3.5.9.
KNOWN = {"PLAIN", "RLE", "BIT_PACKED", "PLAIN_DICTIONARY", "RLE_DICTIONARY"}
FRAME = pl.DataFrame(
    {
        "id": range(500),
        "name": [f"name {i % 7}" for i in range(500)],
        "weight": [i / 7 for i in range(500)],
        "tags": [["a", "b"][: i % 3] for i in range(500)],
        "embedding": vectors_of(500).tolist(),
    },
    schema_overrides={"embedding": pl.List(pl.Float32)},
)


def write_frames(source: str, out: Path) -> None:
    frames = streaming().similarity_join_frames(source, None, 1.0)
    tables.write_table(frames, out / "o.parquet")


# What writes, given a Delta table and a folder.
WRITES: dict[str, Callable[[str, Path], object]] = {
    "sample": lambda _, out: create_sample_delta(out, 500, 16),
    "hashes": lambda source, out: streaming().transform_to_delta(source, out),
    "hashes and embeddings": lambda source, out: streaming().transform_to_delta(
        source, out, include_embeddings=True
    ),
    "neighbors": lambda source, out: streaming().nearest_neighbors_to_delta(
        source, source, out, 3, columns=["name"]
    ),
    "pairs": lambda source, out: streaming().similarity_join_to_delta(
        source, None, out, 1.0, columns=["name"]
    ),
    "pairs of chunks": lambda source, out: streaming().similarity_join_chunked_both(
        source, source, 1.0, output_path=out
    ),
    "frame": lambda _, out: tables.write_table(FRAME, out),
    "vectors": lambda _, out: tables.write_table(FRAME.drop("tags", "weight"), out),
    "file": lambda _, out: tables.write_table(FRAME, out / "o.parquet"),
    "file of pairs": write_frames,
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_every_spark_knows_the_encodings(
    tmp_path: Path, write: Callable[[str, Path], object]
) -> None:
    source = write_table(tmp_path / "source", FRAME["embedding"], name=FRAME["name"])
    out = tmp_path / "out"
    out.mkdir()
    write(source, out)
    files = list(out.rglob("*.parquet"))
    assert files != []
    for file in files:
        metadata = pyarrow.parquet.read_metadata(file)
        assert metadata.num_rows > 0
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            columns = [group.column(i) for i in range(group.num_columns)]
            assert {c for column in columns for c in column.encodings} <= KNOWN
            assert {column.compression for column in columns} == {"ZSTD"}
