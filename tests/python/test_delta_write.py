"""Delta tables written: whole or not at all, by mistake, by fault and by Ctrl-C."""

from collections.abc import Iterator
from pathlib import Path

import deltalake
import numpy as np
import polars as pl
import pyarrow.parquet
import pytest
from delta_tables import (
    TWO_BATCHES,
    contents,
    processor,
    vectors_of,
    write_table,
)
from fast_lsh_ann import (
    __version__,
    create_sample_delta,
    read_delta_embeddings,
)
from fast_lsh_ann._arrow import ArrowBatch, RecordBatch, RecordBatchStream
from fast_lsh_ann._tables.delta_write import write_batches
from fast_lsh_ann._tables.output import Output
from fast_lsh_ann.errors import (
    ArrowError,
    DeltaError,
    InvalidVectorError,
    ParameterError,
)
from interrupts import SOON, seconds_to_interrupt


def test_saved_hashes_are_those_returned_and_say_how_they_were_made(
    tmp_path: Path,
) -> None:
    table = write_table(tmp_path / "t", vectors_of(TWO_BATCHES))
    write_table(tmp_path / "t", vectors_of(10, seed=9), ids=range(-10, 0))
    out = str(tmp_path / "out")
    write_table(tmp_path / "out", vectors_of(3))
    processor().transform_and_save(table, out)
    saved = pl.read_delta(out)
    assert saved.sort("id").equals(processor().transform_delta(table).sort("id"))
    output = deltalake.DeltaTable(out)
    assert output.version() == 1
    commit = output.history(1)[0]
    assert {key: commit[f"fast_lsh_ann.{key}"] for key in METADATA} == METADATA


METADATA = {
    "scheme": "spark",
    "profile": "java11",
    "seed": "7",
    "bucket_length": "1.0",
    "num_hash_tables": "3",
    "num_hashes_per_table": "1",
    "version": __version__,
    "source_version": "1",
}


def test_the_input_table_is_no_output(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t", vectors_of(3))
    before = contents(table)
    (tmp_path / "link").symlink_to(table)
    same: list[str | Path] = [
        table,
        table + "/",
        Path(table),
        f"{tmp_path}/x/../t",
        tmp_path / "link",
    ]
    for output in [*same, f"file://{table}"]:
        with pytest.raises(ParameterError, match="is the input table"):
            processor().transform_and_save(table, output)
    after = contents(table)
    assert after[0] == before[0]
    assert after[1].equals(before[1])


def test_a_fault_in_the_middle_of_the_source_leaves_the_output_as_it_was(
    tmp_path: Path,
) -> None:
    rows = vectors_of(TWO_BATCHES)
    rows[TWO_BATCHES - 5, 0] = np.nan
    table = write_table(tmp_path / "t", rows)
    out = write_table(tmp_path / "out", vectors_of(3))
    before = contents(out)
    with pytest.raises(InvalidVectorError):
        processor().transform_and_save(table, out)
    after = contents(out)
    assert after[0] == before[0]
    assert after[1].equals(before[1])


def batches_of(rows: int) -> Iterator[ArrowBatch]:
    yield RecordBatch([("x", np.arange(rows))]).__arrow_c_array__()


def test_what_the_source_raises_is_what_the_caller_gets(tmp_path: Path) -> None:
    out = write_table(tmp_path / "out", vectors_of(3))
    before = contents(out)
    mistake = LookupError("of the source")

    def failing() -> Iterator[ArrowBatch]:
        yield from batches_of(5000)
        yield from batches_of(5000)
        raise mistake

    with pytest.raises(LookupError) as raised:
        write_batches(Output(out, "overwrite"), failing())
    assert raised.value is mistake
    assert contents(out)[0] == before[0]


def test_a_place_that_cannot_be_written_is_a_delta_error(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t", vectors_of(3))
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DeltaError, match="is a file"):
        processor().transform_and_save(table, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "no folder"


def test_what_deltalake_refuses_is_a_delta_error(tmp_path: Path) -> None:
    twins = RecordBatch([("x", np.arange(3)), ("X", np.arange(3))])
    with pytest.raises(DeltaError, match="write failed"):
        write_batches(Output(tmp_path / "out"), iter([twins.__arrow_c_array__()]))


def test_a_stream_that_was_read_raises_at_its_second_use() -> None:
    schema, array = RecordBatch([("x", np.arange(3))]).__arrow_c_array__()
    arrays = iter([array])
    stream = RecordBatchStream(schema, lambda: next(arrays, None))
    assert pl.DataFrame(stream)["x"].to_list() == [0, 1, 2]
    with pytest.raises(ArrowError, match="read before"):
        stream.__arrow_c_stream__()


def test_sample_tables_depend_on_their_seed_alone(tmp_path: Path) -> None:
    np.random.seed(5)
    before = np.random.get_state(legacy=False)["state"]["key"].tolist()
    tables = [(tmp_path / "a", 42), (tmp_path / "b", 42), (tmp_path / "c", 43)]
    read = []
    for path, seed in tables:
        create_sample_delta(path, n_vectors=300, dim=8, seed=seed)
        rows, ids = read_delta_embeddings(path, id_column="id")
        assert ids is not None
        assert sorted(ids.tolist()) == list(range(300))
        read.append(rows[np.argsort(ids)])
    after = np.random.get_state(legacy=False)["state"]["key"].tolist()
    assert after == before
    np.testing.assert_array_equal(read[0], read[1])
    assert not np.array_equal(read[0], read[2])
    assert abs(read[0].mean()) < 0.1
    assert abs(read[0].std() - 1) < 0.1


def test_sample_tables_are_stored_as_plain_lists(tmp_path: Path) -> None:
    create_sample_delta(tmp_path / "t", n_vectors=100, dim=8)
    table = deltalake.DeltaTable(tmp_path / "t")
    types = {field.name: str(field.type) for field in table.schema().fields}
    assert types["id"] == 'PrimitiveType("long")'
    assert types["embedding"].startswith('ArrayType(PrimitiveType("float")')
    (file,) = (tmp_path / "t").glob("*.parquet")
    group = pyarrow.parquet.read_metadata(file).row_group(0)
    ids, values = group.column(0), group.column(1)
    assert values.path_in_schema == "embedding.list.element"
    assert {*ids.encodings, *values.encodings} == {"PLAIN", "RLE"}
    assert {ids.compression, values.compression} == {"ZSTD"}


def test_sample_tables_may_be_empty_but_not_negative(tmp_path: Path) -> None:
    create_sample_delta(tmp_path / "t", n_vectors=0)
    assert len(read_delta_embeddings(tmp_path / "t")[0]) == 0
    with pytest.raises(ParameterError, match="-1"):
        create_sample_delta(tmp_path / "t", n_vectors=-1)
    with pytest.raises(ParameterError, match="dim"):
        create_sample_delta(tmp_path / "t", dim=0)


# ---- Ctrl-C ----------------------------------------------------------------------------


def test_ctrl_c_during_a_read_that_hangs(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t", vectors_of(3))
    program = f"""
import threading, time
import numpy as np
from fast_lsh_ann import DeltaLSHProcessor
from fast_lsh_ann._arrow import RecordBatch, RecordBatchStream
from fast_lsh_ann._tables.delta_source import DeltaSource

def stuck(self, *_, **__):
    schema, _ = RecordBatch([("x", np.arange(3))]).__arrow_c_array__()
    return RecordBatchStream(schema, lambda: threading.Event().wait(60))

DeltaSource._query = stuck
print("working", flush=True)
try:
    DeltaLSHProcessor().transform_delta({table!r})
except KeyboardInterrupt:
    print(time.monotonic(), flush=True)
"""
    assert seconds_to_interrupt(program) < SOON


def test_ctrl_c_while_opening_hangs() -> None:
    program = """
import time
import fast_lsh_ann

deltalake.DeltaTable = lambda *_, **__: time.sleep(2)
print("working", flush=True)
try:
    fast_lsh_ann.read_delta_embeddings("t")
except KeyboardInterrupt:
    print(time.monotonic(), flush=True)
"""
    assert seconds_to_interrupt(program) < SOON


def test_ctrl_c_during_a_write_commits_nothing(tmp_path: Path) -> None:
    out = write_table(tmp_path / "out", vectors_of(3))
    before = contents(out)
    program = f"""
import time
import numpy as np
from fast_lsh_ann._arrow import RecordBatch
from fast_lsh_ann._tables.delta_write import write_batches
from fast_lsh_ann._tables.output import Output

def endless():
    yield RecordBatch([("x", np.arange(1000))]).__arrow_c_array__()
    print("working", flush=True)
    while True:
        time.sleep(0.001)
        yield RecordBatch([("x", np.arange(1000))]).__arrow_c_array__()

try:
    write_batches(Output({out!r}, "overwrite"), endless())
except KeyboardInterrupt:
    print(time.monotonic(), flush=True)
"""
    assert seconds_to_interrupt(program) < SOON
    after = contents(out)
    assert after[0] == before[0]
    assert after[1].equals(before[1])


@pytest.mark.parametrize(
    "job",
    [
        "processor.transform_delta(table)",
        "processor.transform_and_save(table, table + '-out')",
        "processor.similarity_join_delta(table, table, 0.1)",
        "fast_lsh_ann.read_delta_embeddings(table)",
    ],
)
def test_ctrl_c_ends_every_job_at_any_moment(tmp_path: Path, job: str) -> None:
    table = str(tmp_path / "t")
    create_sample_delta(table, n_vectors=TWO_BATCHES, dim=64)
    program = f"""
import time
import fast_lsh_ann
table = {table!r}
processor = fast_lsh_ann.DeltaLSHProcessor(num_hash_tables=50)
print("working", flush=True)
try:
    while True:
        {job}
except KeyboardInterrupt:
    print(time.monotonic(), flush=True)
"""
    assert seconds_to_interrupt(program) < SOON
