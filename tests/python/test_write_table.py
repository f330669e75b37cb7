"""Tables written as Parquet, Arrow files and streams, Delta tables: whole or not."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import deltalake
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import pytest
from fast_lsh_ann import WriteReport, exact_nearest_neighbors, exact_similarity_join
from fast_lsh_ann._streamed.frames import Frames
from fast_lsh_ann._tables import local_file
from fast_lsh_ann.errors import (
    ArrowError,
    DeltaError,
    InputTypeError,
    MissingDependencyError,
    ParameterError,
    TableError,
    TableExistsError,
    TableSchemaError,
)
from fast_lsh_ann.tables import write_table
from interrupts import SOON, seconds_to_interrupt

FRAME = pl.DataFrame(
    {
        "id": [1, 2, 3],
        "name": ["a", None, "c"],
        "bytes": [b"x", b"", None],
        "vector": pl.Series([[1.0, 2.0], [3.0, 4.0], None], dtype=pl.List(pl.Float32)),
        "words": [["x", "y"], [], None],
        "place": [{"x": "l"}, {"x": None}, None],
        "when": pl.Series([1, 2, 3]).cast(pl.Datetime("us", "UTC")),
    }
)


def read_delta(path: Path) -> pl.DataFrame:
    return pl.read_delta(str(path)).sort("id")


def read_stream(path: Path) -> pl.DataFrame:
    return pl.DataFrame(pa.ipc.open_stream(path.read_bytes()).read_all())


# How an output ends, and a reader of another package.
READERS: dict[str, Callable[[Path], pl.DataFrame]] = {
    ".parquet": lambda path: pl.DataFrame(pa.parquet.read_table(path)),
    ".arrow": lambda path: pl.DataFrame(pa.ipc.open_file(path).read_all()),
    ".feather": lambda path: pl.DataFrame(pa.ipc.open_file(path).read_all()),
    ".ipc": lambda path: pl.DataFrame(pa.ipc.open_file(path).read_all()),
    ".arrows": read_stream,
    "": read_delta,
}
FILES = [kind for kind in READERS if kind]


@pytest.fixture(params=READERS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ---- what is written -------------------------------------------------------------------


def test_every_output_holds_the_table(kind: str, tmp_path: Path) -> None:
    out = tmp_path / f"out{kind}"
    version = None if kind else 0
    assert write_table(FRAME, out) == WriteReport(version, 3, 0.0)
    assert READERS[kind](out).equals(FRAME)
    assert left(tmp_path) == [out.name]
    with pytest.raises(TableExistsError, match="mode='overwrite'"):
        write_table(Frames(fails_at_once()), out)
    assert READERS[kind](out).equals(FRAME)
    write_table(FRAME[:1], str(out), mode="overwrite")
    assert READERS[kind](out).equals(FRAME[:1])
    assert left(tmp_path) == [out.name]


NUMBERS: dict[str, Any] = {"id": range(10), "v": np.arange(10) / 4}
FROM_NUMBERS: dict[str, Callable[[], Any]] = {
    "polars": lambda: pl.DataFrame(NUMBERS),
    "polars in chunks": lambda: pl.concat(
        [pl.DataFrame(NUMBERS)[:4], pl.DataFrame(NUMBERS)[4:]], rechunk=False
    ),
    "pandas": lambda: pd.DataFrame(NUMBERS),
    "pyarrow": lambda: pa.table(NUMBERS),
    "pyarrow, once": lambda: pa.table(NUMBERS).to_reader(3),
    "frames of ours": lambda: Frames(
        pl.DataFrame(NUMBERS)[start : start + 5] for start in (0, 5)
    ),
}


@pytest.mark.parametrize("make", FROM_NUMBERS.values(), ids=FROM_NUMBERS)
def test_every_producer_is_written(
    make: Callable[[], Any], kind: str, tmp_path: Path
) -> None:
    out = tmp_path / f"out{kind}"
    assert write_table(make(), out).rows == 10
    assert READERS[kind](out).equals(pl.DataFrame(NUMBERS))


def test_answers_of_this_package_are_written(tmp_path: Path) -> None:
    rows = np.random.default_rng(1).standard_normal((50, 3))
    answers: list[Any] = [
        exact_nearest_neighbors(rows, rows[:5], 3),
        exact_similarity_join(rows, rows, 1.0),
    ]
    for number, answer in enumerate(answers):
        expected = pl.DataFrame(answer)
        assert expected.height >= 15
        for kind in FILES:
            out = tmp_path / f"{number}{kind}"
            assert write_table(answer, out).rows == expected.height
            assert READERS[kind](out).equals(expected)


def test_no_rows_are_a_table_too(kind: str, tmp_path: Path) -> None:
    nothing = pa.table({"id": pa.chunked_array([], pa.int64())})
    for number, table in enumerate((FRAME[:0], nothing, nothing.to_reader())):
        out = tmp_path / f"out{number}{kind}"
        assert write_table(table, out).rows == 0
        assert READERS[kind](out).equals(pl.DataFrame(table if number < 2 else nothing))


def test_types_that_delta_lacks_become_those_it_has(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "id": [1, 2],
            "array": pl.Series([[1.0, 2.0], [3.0, 4.0]], dtype=pl.Array(pl.Float32, 2)),
            "kind": pl.Series(["x", "y"], dtype=pl.Categorical),
            "named": pl.Series(["x", "y"], dtype=pl.Enum(["x", "y"])),
        }
    )
    write_table(frame, tmp_path / "out")
    read = read_delta(tmp_path / "out")
    assert read.schema["array"] == pl.List(pl.Float32)
    assert read["array"].to_list() == [[1.0, 2.0], [3.0, 4.0]]
    assert read["kind"].to_list() == read["named"].to_list() == ["x", "y"]
    for name in ("out.parquet", "out.arrow"):
        write_table(frame, tmp_path / name)
        again = READERS[Path(name).suffix](tmp_path / name)
        assert again["array"].to_list() == [[1.0, 2.0], [3.0, 4.0]]
        assert again["kind"].cast(pl.String).to_list() == ["x", "y"]


def test_metadata_go_along(tmp_path: Path) -> None:
    for name in ("o.parquet", "o.arrow", "o.arrows", "o"):
        write_table(FRAME, tmp_path / name, metadata={"of": "a test", "number": 7})
    schemas = [
        pa.parquet.read_schema(tmp_path / "o.parquet"),
        pa.ipc.open_file(tmp_path / "o.arrow").schema,
        pa.ipc.open_stream((tmp_path / "o.arrows").read_bytes()).schema,
    ]
    for schema in schemas:
        assert schema.metadata[b"fast_lsh_ann.of"] == b"a test"
        assert schema.metadata[b"fast_lsh_ann.number"] == b"7"
    commit = deltalake.DeltaTable(tmp_path / "o").history(1)[0]
    assert (commit["fast_lsh_ann.of"], commit["fast_lsh_ann.number"]) == ("a test", "7")


def test_groups_of_rows_are_neither_large_nor_tiny(tmp_path: Path) -> None:
    vectors = np.random.default_rng(1).standard_normal((50_000, 128), dtype=np.float32)
    frame = pl.DataFrame({"id": np.arange(50_000), "v": vectors})
    write_table(frame, tmp_path / "o.parquet")
    write_table(pa.table(frame).to_reader(100), tmp_path / "small.parquet")
    write_table(frame, tmp_path / "delta")
    delta = list((tmp_path / "delta").glob("*.parquet"))
    for path in (tmp_path / "o.parquet", tmp_path / "small.parquet", *delta):
        file = pa.parquet.read_metadata(path)
        sizes = [file.row_group(i).num_rows * 520 for i in range(file.num_row_groups)]
        assert max(sizes) < 9 << 20
        assert len(sizes) < 6
    ids, values = (file.row_group(0).column(i) for i in range(2))
    assert {ids.compression, values.compression} == {"ZSTD"}
    first = pa.parquet.read_metadata(tmp_path / "o.parquet").row_group(0)
    assert {first.column(i).compression for i in range(2)} == {"ZSTD"}


# ---- whole or not at all ---------------------------------------------------------------


def fails_at_once() -> Generator[pl.DataFrame, None, None]:
    raise LookupError("of the source")
    yield FRAME


def fails_midway() -> Generator[pl.DataFrame, None, None]:
    yield FRAME
    yield FRAME
    raise LookupError("of the source")


@pytest.mark.parametrize("there", [True, False])
def test_a_fault_of_the_source_leaves_what_was_there(
    there: bool, kind: str, tmp_path: Path
) -> None:
    out = tmp_path / f"out{kind}"
    if there:
        write_table(FRAME, out)
    with pytest.raises(LookupError, match="of the source"):
        write_table(Frames(fails_midway()), out, mode="overwrite")
    if there:
        assert READERS[kind](out).equals(FRAME)
    arrow = pa.table(FRAME)
    foreign = pa.RecordBatchReader.from_batches(
        arrow.schema, (batch for _ in fails_midway() for batch in arrow.to_batches())
    )
    with pytest.raises(ArrowError, match="of the source"):
        write_table(foreign, out, mode="overwrite")
    if there:
        assert READERS[kind](out).equals(FRAME)
        assert left(tmp_path) == [out.name]
    else:
        assert not out.exists() or not deltalake.DeltaTable.is_deltatable(str(out))
        assert left(tmp_path) in ([], ["out"])


def test_a_file_that_appears_meanwhile_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"

    def meanwhile() -> Generator[pl.DataFrame, None, None]:
        yield FRAME
        out.write_text("of another")

    with pytest.raises(TableExistsError, match="mode='overwrite'"):
        write_table(Frames(meanwhile()), out)
    assert out.read_text() == "of another"
    assert left(tmp_path) == [out.name]


def test_a_file_system_without_links_serves_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    out = tmp_path / "out.parquet"
    write_table(FRAME, out)
    assert READERS[".parquet"](out).equals(FRAME)
    with pytest.raises(TableExistsError):
        local_file._name_new(tmp_path / "nothing", out)
    assert left(tmp_path) == [out.name]


def test_a_file_has_the_rights_that_the_umask_leaves(tmp_path: Path) -> None:
    for mask, mode in ((0o077, 0o600), (0o022, 0o644), (0o002, 0o664)):
        before = os.umask(mask)
        try:
            for mode_of_writing in ("error", "overwrite"):
                out = tmp_path / f"{mask}-{mode_of_writing}.arrow"
                write_table(FRAME, out, mode=mode_of_writing)
                assert out.stat().st_mode & 0o777 == mode
        finally:
            os.umask(before)


def test_a_link_to_a_file_stays_one(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    real, link = tmp_path / "far/real.parquet", tmp_path / "link.parquet"
    write_table(FRAME, real)
    link.symlink_to(real)
    write_table(FRAME[:1], link, mode="overwrite")
    assert link.is_symlink()
    assert READERS[".parquet"](real).equals(FRAME[:1])


def test_places_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        TableError, match=r"out\.parquet' cannot be written: No such file"
    ):
        write_table(FRAME, tmp_path / "nowhere/out.parquet")
    (tmp_path / "folder.arrow").mkdir()
    with pytest.raises(TableError, match="is a folder"):
        write_table(FRAME, tmp_path / "folder.arrow", mode="overwrite")


def test_a_type_that_an_output_lacks_is_a_table_error(tmp_path: Path) -> None:
    union = pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])])
    with pytest.raises(TableError, match=r"cannot be written: .*nion"):
        write_table(pa.table({"u": union}), tmp_path / "out.parquet")
    views = pa.array([[1]], pa.list_view(pa.int64()))
    for table in (pa.table({"u": union}), pa.table({"v": views})):
        with pytest.raises(TableError, match="does not fit a Delta table: "):
            write_table(table, tmp_path / "out")
    times = pa.table({"t": pa.array([1], pa.time64("us"))})
    with pytest.raises(DeltaError, match="Invalid data type for Delta Lake: Time64"):
        write_table(times, tmp_path / "out")
    assert left(tmp_path) in ([], ["out"])
    assert not deltalake.DeltaTable.is_deltatable(str(tmp_path / "out"))


def test_tables_without_names_for_their_columns_are_refused(
    kind: str, tmp_path: Path
) -> None:
    twins = pa.table([pa.array([1]), pa.array([2])], names=["x", "x"])
    with pytest.raises(ParameterError, match="has 2 columns 'x'; rename them"):
        write_table(twins, tmp_path / f"out{kind}")
    with pytest.raises(InputTypeError, match="is a single Arrow column"):
        write_table(pa.chunked_array([[1.5]]), tmp_path / f"out{kind}")
    assert left(tmp_path) == []


def test_frames_of_which_some_are_gone_are_refused(kind: str, tmp_path: Path) -> None:
    frames = Frames(frame for frame in (FRAME, FRAME))
    next(frames)
    with pytest.raises(ArrowError, match="would lack rows"):
        write_table(frames, tmp_path / f"out{kind}")
    assert left(tmp_path) == []


def test_a_delta_table_of_other_columns_is_found_before_the_table_is_read(
    tmp_path: Path,
) -> None:
    write_table(FRAME, tmp_path / "out")
    read: list[int] = []

    def batches() -> Generator[pa.RecordBatch, None, None]:
        read.append(1)
        yield pa.record_batch({"id": pa.array([1], pa.int32())})

    other = pa.RecordBatchReader.from_batches(pa.schema({"id": pa.int32()}), batches())
    with pytest.raises(
        TableSchemaError, match=r"column 'id' .* of type long, .* integer"
    ):
        write_table(other, tmp_path / "out", mode="append")
    report = write_table(FRAME, tmp_path / "out", mode="append", job_id="job")
    assert (report.version, report.rows) == (1, 3)
    assert write_table(other, tmp_path / "out", mode="append", job_id="job").skipped
    assert sorted(read_delta(tmp_path / "out")["id"]) == [1, 1, 2, 2, 3, 3]


def test_without_pyarrow_the_error_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    for output in (tmp_path / "out.parquet", io.BytesIO()):
        with pytest.raises(MissingDependencyError, match=r"fast_lsh_ann\[arrow\]"):
            write_table(FRAME, output)
    assert left(tmp_path) == []
    write_table(FRAME, tmp_path / "out")


# ---- binary files ----------------------------------------------------------------------


def test_a_binary_file_gets_a_stream() -> None:
    memory = io.BytesIO()
    assert write_table(FRAME, memory) == WriteReport(None, 3, 0.0)
    memory.seek(0)
    assert pl.read_ipc_stream(memory).equals(FRAME)
    program = """
import sys
import polars as pl
from fast_lsh_ann.tables import write_table
write_table(pl.DataFrame({"x": [1, 2]}), sys.stdout.buffer)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True
    )
    assert pa.ipc.open_stream(done.stdout).read_all()["x"].to_pylist() == [1, 2]


def test_the_reader_of_a_pipe_may_go() -> None:
    program = """
import sys
import numpy as np
import polars as pl
from fast_lsh_ann.tables import write_table
frame = pl.DataFrame({"x": np.arange(1_000_000)})
try:
    write_table(frame, sys.stdout.buffer)
except BrokenPipeError:
    sys.stderr.write("gone")
sys.stderr.flush()
import os
os._exit(0)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(100)
        process.stdout.close()
        assert process.stderr.read() == b"gone"


# ---- Ctrl-C, kill ----------------------------------------------------------------------

SLOW = """
import time
import polars as pl
from fast_lsh_ann._streamed.frames import Frames
from fast_lsh_ann.tables import write_table

def frames():
    yield pl.DataFrame({"id": [1]})
    print("working", flush=True)
    while True:
        time.sleep(0.001)
        yield pl.DataFrame({"id": [1]})
"""
WAITING = """
import threading
import time
import numpy as np
from fast_lsh_ann._arrow import RecordBatch, RecordBatchStream
from fast_lsh_ann.tables import write_table

class Stuck:
    def __arrow_c_stream__(self, requested_schema=None):
        schema, _ = RecordBatch([("x", np.arange(3))]).__arrow_c_array__()
        stream = RecordBatchStream(schema, lambda: threading.Event().wait(60))
        return stream.__arrow_c_stream__()

print("working", flush=True)
"""


@pytest.mark.parametrize(
    ("setup", "table"), [(SLOW, "Frames(frames())"), (WAITING, "Stuck()")]
)
def test_ctrl_c_while_rows_come_leaves_nothing(
    setup: str, table: str, kind: str, tmp_path: Path
) -> None:
    out = tmp_path / f"out{kind}"
    write_table(FRAME, out)
    program = f"""{setup}
try:
    write_table({table}, {str(out)!r}, mode="overwrite")
except KeyboardInterrupt:
    print(time.monotonic(), flush=True)
"""
    assert seconds_to_interrupt(program) < SOON
    assert READERS[kind](out).equals(FRAME)
    assert left(tmp_path) == [out.name]


def test_a_process_that_is_killed_leaves_a_folder_whose_name_says_what_it_is(
    tmp_path: Path,
) -> None:
    out = tmp_path / "out.parquet"
    write_table(FRAME, out)
    program = f"{SLOW}\nwrite_table(Frames(frames()), {str(out)!r}, mode='overwrite')"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"working\n"
        process.send_signal(signal.SIGKILL)
    scratch, name = left(tmp_path)
    assert scratch.startswith(".fast_lsh_ann-unfinished-")
    assert name == out.name
    assert READERS[".parquet"](out).equals(FRAME)
    write_table(FRAME[:1], out, mode="overwrite")
    assert READERS[".parquet"](out).equals(FRAME[:1])
