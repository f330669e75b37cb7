"""From names and objects to tables: what is told apart, and what is refused."""

import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
import pytest
from conftest import Run
from delta_tables import (
    hashes_in_memory,
    processor,
    streaming,
    vectors_of,
    write_table,
)
from deltalake.fs import DeltaStorageHandler
from fast_lsh_ann import StreamingLSHProcessor
from fast_lsh_ann._tables.embeddings import EmbeddingReader
from fast_lsh_ann._tables.opening import open_source
from fast_lsh_ann._tables.source import BATCH_ROWS
from fast_lsh_ann.errors import (
    ArrowError,
    DimensionError,
    InputTypeError,
    InvalidVectorError,
    ParameterError,
    TableError,
    TableNotFoundError,
)
from interrupts import SOON, seconds_to_interrupt
from object_store import ObjectStore
from table_kinds import content_of, make_table

ROWS = vectors_of(300)


def ids_of(table: Any, where: str | None = None, **asked: Any) -> list[Any]:
    source = open_source(table, where=where, **asked)
    ids: list[Any] = EmbeddingReader(source, "embedding", "id").whole().ids.to_list()
    return ids


# ---- names -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["t.PARQUET", "t.Arrow", "t.FEATHER", "t.ipc", "t.arrows"]
)
def test_ends_of_names_tell_the_kind_of_a_file(tmp_path: Path, name: str) -> None:
    frame, path = pl.DataFrame(content_of(ROWS).table()), tmp_path / name
    if name.endswith("arrows"):
        frame.write_ipc_stream(path)
    else:
        (frame.write_parquet if "PARQ" in name else frame.write_ipc)(path)
    for table in (path, str(path), f"file://{path}"):
        assert ids_of(table) == list(range(300))


def test_folders_are_told_apart_by_what_they_hold(tmp_path: Path) -> None:
    delta = write_table(tmp_path / "t.parquet", ROWS)  # Delta, whatever its name is
    assert open_source(delta).version == 0
    parquet = make_table("Parquet: folder", tmp_path, content_of(ROWS))
    assert ids_of(parquet) == ids_of(parquet + "/") == list(range(300))
    (tmp_path / "a[1]b").mkdir()
    pq.write_table(content_of(ROWS).table(), tmp_path / "a[1]b" / "x.parquet")
    assert ids_of(tmp_path / "a[1]b" / "x.parquet") == list(range(300))


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        ("nothing", TableNotFoundError, "no Delta table"),
        ("nothing.parquet", TableNotFoundError, "no Parquet table '.*nothing.parquet'"),
        ("nothing.arrow", TableNotFoundError, "no Arrow file"),
        ("nothing.arrows", TableNotFoundError, "no Arrow stream"),
        ("nothing.npy", TableNotFoundError, "no NumPy file"),
        ("texts/*.parquet", TableNotFoundError, "there is no file"),
        ("texts", TableNotFoundError, r"no .parquet files: the folder holds \['a.csv'\]"),
        ("texts/a.csv", TableError, r"pl\.read_csv"),
        ("bad.parquet", TableError, "Parquet"),
        ("bad.arrow", TableError, "Arrow file"),
        ("bad.arrows", TableError, "Arrow stream"),
        ("bad.npy", TableError, "is no .npy file"),
        ("s3://bucket/a.npy", TableError, "copy it here first"),
        (np.zeros((3, 4)), InputTypeError, "got ndarray"),
        ([[1.0]], InputTypeError, "got list"),
        (None, InputTypeError, "got NoneType"),
        (pl.Series([[1.0]]), InputTypeError, "not a single column"),
        (io.BytesIO(b"no stream"), TableError, "stream"),
    ],
)
def test_what_is_no_table_is_named(
    tmp_path: Path, name: Any, kind: type[Exception], says: str
) -> None:
    (tmp_path / "texts").mkdir()
    for bad in ("texts/a.csv", "bad.parquet", "bad.arrow", "bad.arrows", "bad.npy"):
        (tmp_path / bad).write_text("id,embedding\n1,2\n")
    plain = isinstance(name, str) and "://" not in name
    table = str(tmp_path / name) if plain else name
    for call in (open_source, processor().transform_delta):
        with pytest.raises(kind, match=says) as raised:
            call(table)
        assert type(raised.value) is kind
        assert "\n" not in str(raised.value)


def test_an_output_is_no_input_and_objects_are_told_apart(tmp_path: Path) -> None:
    parquet = make_table("Parquet: folder", tmp_path, content_of(ROWS))
    with pytest.raises(ParameterError, match="is the input table"):
        processor().transform_and_save(parquet, parquet + "/")
    frame = pl.DataFrame(content_of(ROWS).table())
    lsh = streaming()
    for other in (frame, frame.clone()):
        out = tmp_path / f"out-{id(other)}"
        lsh.similarity_join_chunked_both(frame, other, 0.0, output_path=out)
        assert len(pl.read_delta(out)) == 300
    source = open_source(frame)
    assert (source.uri, source.name) == (
        "memory://polars.DataFrame",
        "Arrow table 'memory://polars.DataFrame'",
    )


# ---- Parquet ---------------------------------------------------------------------------


def test_folders_give_columns_and_order(tmp_path: Path) -> None:
    table, root = content_of(ROWS).table(), tmp_path / "t"
    places = {
        "year=2/town=Z%C3%BCrich/b.parquet": table.slice(100, 100),
        "year=2/town=Z%C3%BCrich/a.parquet": table.slice(0, 100),
        "year=10/town=__HIVE_DEFAULT_PARTITION__/a.parquet": table.slice(200),
    }
    for place, part in places.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(part, root / place)
    expected = [*range(200, 300), *range(200)]  # "year=10" comes before "year=2"
    assert ids_of(root) == ids_of(f"{root}/*/*/*.parquet") == expected
    assert ids_of(f"{root}/**/a.parquet") == [*range(200, 300), *range(100)]
    source = open_source(root)
    assert source.columns[3:] == ["year", "town"]
    carried = EmbeddingReader(source, "embedding", "id", carried=("town", "year"))
    frame = carried.whole().carried
    assert frame.schema == {"town": pl.String, "year": pl.Int64}
    assert frame["town"].to_list() == [None] * 100 + ["Zürich"] * 200
    assert ids_of(root, "year = 2 and id % 50 = 7") == [7, 57, 107, 157]
    assert ids_of(root, "town is null") == list(range(200, 300))


@pytest.mark.parametrize("fault", ["type", "column", "folders"])
def test_files_must_agree(tmp_path: Path, fault: str) -> None:
    table = content_of(ROWS).table()
    pq.write_table(table, tmp_path / "a.parquet")
    other, place = table, tmp_path / "b.parquet"
    if fault == "type":
        other = table.set_column(0, "id", table["id"].cast(pa.string()))
    elif fault == "column":
        other = table.drop_columns(["label"])
    else:
        place = tmp_path / "year=3" / "b.parquet"
        place.parent.mkdir()
    pq.write_table(other, place)
    says = {"type": "'id' is int64.*string", "column": "'label'.*not there"}
    with pytest.raises(TableError, match=says.get(fault, "column=value")):
        open_source(tmp_path)


def test_row_groups_without_a_row_that_passes_are_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(content_of(ROWS).table(), path, row_group_size=50)
    asked: list[tuple[int, list[str]]] = []
    iter_batches = pq.ParquetFile.iter_batches

    def noted(
        file: Any, *rest: Any, row_groups: list[int], columns: Any, **kw: Any
    ) -> Any:
        asked.append((row_groups[0], columns))
        return iter_batches(file, *rest, row_groups=row_groups, columns=columns, **kw)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", noted)
    assert ids_of(path, "id between 120 and 130") == list(range(120, 131))
    decoded = {group for group, columns in asked if "embedding" in columns}
    assert decoded == {2}
    assert {group for group, _ in asked} == set(range(6))


def test_columns_are_found_whatever_their_names(tmp_path: Path) -> None:
    table = content_of(ROWS[:3]).table().rename_columns(['say "id"', "a", "a.b c"])
    pq.write_table(table, tmp_path / "t.parquet")
    source = open_source(tmp_path / "t.parquet", where='"say ""id""" <> 1')
    read = EmbeddingReader(source, "a.b c", 'say "id"', carried=("a",)).whole()
    assert read.ids.to_list() == [0, 2]
    np.testing.assert_array_equal(read.rows, ROWS[[0, 2]])
    twice = table.rename_columns(["id", "id", "embedding"])
    pq.write_table(twice, tmp_path / "twice.parquet")
    with pytest.raises(TableError, match="two columns have one name"):
        open_source(tmp_path / "twice.parquet")


def test_parquet_files_in_an_object_store_are_read(object_store: ObjectStore) -> None:
    root = object_store.uri("parquet")
    handler = DeltaStorageHandler(root, object_store.options)
    table = content_of(ROWS).table()
    for place in ("one.parquet", "all/year=1/a.parquet", "all/year=2/a.parquet"):
        with pa.fs.PyFileSystem(handler).open_output_stream(place) as file:
            pq.write_table(table, file)
    asked: dict[str, Any] = {"storage_options": object_store.options}
    assert ids_of(f"{root}/one.parquet", **asked) == list(range(300))
    assert ids_of(f"{root}/all/**/*.parquet", **asked) == [*range(300)] * 2
    assert ids_of(f"{root}/*/year=*/*.parquet", "year = 2 and id < 3", **asked) == [
        0,
        1,
        2,
    ]
    lsh = StreamingLSHProcessor(1.0, 3, 7, **asked)
    (chunk,) = lsh.transform_streaming(f"{root}/one.parquet")
    np.testing.assert_array_equal(chunk.hashes, hashes_in_memory(ROWS))
    for missing in ("none.parquet", "none/*.parquet", "all/*.parquet"):
        with pytest.raises(TableNotFoundError, match="there is no file"):
            open_source(f"{root}/{missing}", **asked)


PEAK = """
import sys
import polars, pyarrow.parquet, pyarrow.ipc
from fast_lsh_ann import read_delta_embeddings_chunked, StreamingLSHProcessor

def peak():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1]) >> 10

lsh = StreamingLSHProcessor(num_hash_tables=1, chunk_size=8192)
sum(1 for _ in lsh.transform_streaming(sys.argv[1]))
before = peak()
sum(1 for _ in lsh.transform_streaming(sys.argv[2]))
print(peak() - before)
"""


@pytest.mark.measured
@pytest.mark.parametrize("kind", ["parquet", "npy", "fortran"])
def test_memory_does_not_grow_with_a_file(tmp_path: Path, kind: str) -> None:
    def make(n: int) -> Path:
        path = tmp_path / f"{n}.{'parquet' if kind == 'parquet' else 'npy'}"
        if kind != "parquet":
            order = np.asfortranarray if kind == "fortran" else np.ascontiguousarray
            np.save(path, order(np.ones((n, 256), "f2")))
            return path
        rows = np.random.default_rng(3).standard_normal((n, 256), dtype=np.float32)
        pq.write_table(
            content_of(rows).table(), path, row_group_size=n, use_dictionary=False
        )
        return path

    files = [str(make(n)) for n in (20_000, 200_000)]
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *files], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 70  # MB; the rows are 200, those of .npy 100 as stored


# ---- .npy ------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", ">f2", "i1", "<i8", "u4"])
def test_every_array_of_numbers_is_read(tmp_path: Path, dtype: str, order: Any) -> None:
    numbers = np.random.default_rng(5).integers(0, 100, (20_000, 3))
    stored = np.array(numbers, dtype, order=order)
    np.save(tmp_path / "t.npy", stored)
    source = open_source(tmp_path / "t.npy")
    reader = EmbeddingReader(source, "whatever", "id")
    wide = stored.dtype.itemsize > 4 or dtype == "u4"
    assert reader.dtype == (np.float64 if wide else np.float32)
    read = reader.whole()
    np.testing.assert_array_equal(read.rows, numbers)
    assert read.rows.dtype == reader.dtype
    assert read.ids.to_list() == list(range(20_000))
    frame = processor().transform_delta(tmp_path / "t.npy")
    assert frame["id"].to_list() == list(range(20_000))


@pytest.mark.parametrize(
    ("array", "kind", "says"),
    [
        (np.zeros(4), DimensionError, "1-D of shape"),
        (np.zeros((2, 3, 4)), DimensionError, "3-D of shape"),
        (np.zeros((2, 0)), DimensionError, "2-D of shape"),
        (np.array([[1, None]], object), InputTypeError, "Python objects"),
        (np.zeros((2, 2), bool), InputTypeError, "bool"),
        (np.zeros((2, 2), complex), InputTypeError, "complex"),
        (np.array([["a"]]), InputTypeError, "<U1"),
        (np.array([[1.0, np.nan]]), InvalidVectorError, "row 0 has nan at 1"),
    ],
)
def test_other_arrays_are_refused(
    tmp_path: Path, array: Any, kind: type[Exception], says: str
) -> None:
    np.save(tmp_path / "t.npy", array)
    with pytest.raises(kind, match=says):
        processor().transform_delta(tmp_path / "t.npy")


def test_a_matrix_has_no_other_columns(tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", ROWS)
    path = tmp_path / "t.npy"
    with pytest.raises(LookupError, match=r"no column 'key'.*\['embedding'\]"):
        processor().transform_delta(path, id_column="key")
    with pytest.raises(ParameterError, match="embeddings and nothing beside"):
        open_source(path, where="id > 3")
    assert processor().transform_delta(path, id_column=None)["id"].to_list()[-1] == 299
    np.savez(tmp_path / "z.npz", ROWS)
    (tmp_path / "z.npz").rename(tmp_path / "z.npy")
    with pytest.raises(TableError, match=r"is no \.npy file: it begins"):
        open_source(tmp_path / "z.npy")


def test_the_usual_id_means_row_numbers_where_there_is_nothing_else() -> None:
    alone = content_of(ROWS).table().select(["embedding"])
    assert processor().transform_delta(alone)["id"].to_list() == list(range(300))
    with pytest.raises(LookupError, match="'key'"):
        processor().transform_delta(alone, id_column="key")
    with pytest.raises(LookupError, match="'id'"):
        processor().transform_delta(
            content_of(ROWS).table().select(["label", "embedding"])
        )


def test_a_file_that_shrinks_is_an_error(tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", ROWS)
    source = open_source(tmp_path / "t.npy")
    os.truncate(tmp_path / "t.npy", 1000)
    with pytest.raises(TableError, match=r"NumPy file .*: the file ends before"):
        EmbeddingReader(source, "embedding", "id").whole()
    with pytest.raises(TableError, match=r"is no \.npy file"):
        open_source(tmp_path / "t.npy")


# ---- conditions in polars' SQL ---------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ("id in (1, 2) or id = 9", [1, 2, 9]),
        ("id < 3 -- and no more", [0, 1, 2]),
        ("label = 'select)' or id = 4", [4]),
        ("label like 'x%' and id between 1 and 4", [1, 2, 4]),
        ("case when id > 297 then true end", [298, 299]),
        ('"id" = 3 and array_length(embedding) = 4', [3]),
        ("id is null", []),
        ("1 = 1 and id >= 299", [299]),
        ("true and 1 = 1", list(range(300))),
    ],
)
def test_any_expression_of_a_row_is_a_condition(where: str, kept: list[int]) -> None:
    assert ids_of(content_of(ROWS).table(), where) == kept


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("nope = 1", 'unable to find column "nope"'),
        ("id", "Int64|i64"),
        ("null", "Null|null"),
        ("id = 'five'", "cannot compare"),
        ("id >", "parser error"),
        ("1=1; drop table source", "parser error"),
        ("1=1) union all (id from source where 1=1", "parser error"),
        ("id > 3) or (id < 2", "parser error"),
        ("id > 3 then true end or case when true", "parser error"),
        ("id in (select id from read_csv('/etc/passwd'))", "SELECT looks beyond"),
        ("row_number() over () < 3", "OVER looks beyond"),
        ("id > 3 and sum(id) > 3", "SUM looks beyond"),
        ("count(*) > 1", "COUNT looks beyond"),
    ],
)
def test_other_conditions_are_refused(where: str, says: str) -> None:
    with pytest.raises(ParameterError, match=says) as raised:
        open_source(content_of(ROWS).table(), where=where)
    assert "its columns are ['id', 'label', 'embedding']" in str(raised.value)


# ---- streams ---------------------------------------------------------------------------


def test_a_pipe_is_read_once_as_it_comes(tmp_path: Path) -> None:
    pipe = tmp_path / "t.arrows"
    os.mkfifo(pipe)
    table = content_of(ROWS).table()

    def write() -> None:
        with pipe.open("wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table, max_chunksize=40)

    thread = threading.Thread(target=write)
    thread.start()
    source = open_source(pipe)
    reader = EmbeddingReader(source, "embedding", "id")
    assert source.one_shot
    assert reader.whole().ids.to_list() == list(range(300))
    thread.join()
    with pytest.raises(ArrowError, match="once"):
        reader.whole()


def test_what_a_stream_raises_is_told(tmp_path: Path) -> None:
    table = content_of(ROWS).table()

    def batches() -> Any:
        yield from table.to_batches(max_chunksize=100)[:2]
        raise LookupError("the well is dry")

    reader = pa.RecordBatchReader.from_batches(table.schema, batches())
    with pytest.raises(TableError, match="the well is dry"):
        processor().transform_and_save(reader, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_missing_package_is_answered_with_the_command(
    tmp_path: Path, run_python: Run
) -> None:
    (tmp_path / "t.parquet").touch()
    np.save(tmp_path / "t.npy", ROWS)
    program = f"""
import sys
sys.modules["pyarrow"] = sys.modules["polars"] = None
import fast_lsh_ann
for name in ("t.parquet", "t.npy"):
    try:
        fast_lsh_ann.DeltaLSHProcessor().transform_delta({str(tmp_path)!r} + "/" + name)
    except fast_lsh_ann.errors.MissingDependencyError as error:
        assert "pip install 'fast_lsh_ann[arrow]'" in str(error), error
    else:
        sys.exit(1)
"""
    run_python(program)


# ---- how reading ends ------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["Parquet", "Arrow file", "Arrow stream", "polars batches"]
)
def test_a_closed_stream_leaves_no_thread(tmp_path: Path, kind: str) -> None:
    table = make_table(kind, tmp_path, content_of(vectors_of(12 * BATCH_ROWS)))
    before = set(threading.enumerate())
    stream = streaming(chunk_size=100).transform_streaming(table)
    next(stream)
    assert len(set(threading.enumerate()) - before) == 1
    stream.close()
    deadline = time.monotonic() + 5
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert set(threading.enumerate()) - before == set()


MAKERS: dict[str, Callable[[Path], str]] = {
    "t.parquet": lambda p: f"pq.write_table(table, {str(p)!r})",
    "t.arrow": lambda p: f"pl.DataFrame(table).write_ipc({str(p)!r})",
    "t.arrows": lambda p: f"pl.DataFrame(table).write_ipc_stream({str(p)!r})",
    "t.npy": lambda p: f"np.save({str(p)!r}, rows)",
}


@pytest.mark.parametrize("name", [*MAKERS, "endless", "waiting", "frame"])
def test_ctrl_c_ends_reading_and_leaves_no_thread(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    table = {"frame": "table", "endless": "endless()"}.get(name, repr(str(path)))
    if name == "waiting":
        os.mkfifo(tmp_path / "waiting.arrows")
        table = repr(str(tmp_path / "waiting.arrows"))
    make = MAKERS[name](path) if name in MAKERS else ""
    program = f"""
import threading, time
import numpy as np, polars as pl, pyarrow as pa, pyarrow.parquet as pq
from fast_lsh_ann import StreamingLSHProcessor
rows = np.random.default_rng(1).standard_normal((60_000, 64), dtype=np.float32)
offsets = pa.array(np.arange(60_001, dtype=np.int32) * 64)
lists = pa.ListArray.from_arrays(offsets, pa.array(rows.ravel()))
table = pa.table({{"id": range(60_000), "embedding": lists}})
{make}

def endless():
    def batches():
        while True:
            yield from table.to_batches(max_chunksize=1000)
    return pa.RecordBatchReader.from_batches(table.schema, batches())

lsh = StreamingLSHProcessor(chunk_size=9000)
print("working", flush=True)
try:
    while True:
        for chunk in lsh.transform_streaming({table}):
            pass
except KeyboardInterrupt:
    print(time.monotonic(), flush=True)
deadline = time.monotonic() + 5
while {name != "waiting"} and threading.active_count() > 1:
    assert time.monotonic() < deadline, threading.enumerate()
    time.sleep(0.01)
"""
    assert seconds_to_interrupt(program) < SOON
