"""Commands over tables: what they print and write, and with which status they end."""

import importlib
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import polars as pl
import pyarrow as pa
import pytest
from delta_tables import vectors_of, write_table
from fast_lsh_ann import (
    StreamingLSHProcessor,
    cli,
    exact_nearest_neighbors,
    read_delta_embeddings,
)
from fast_lsh_ann.delta_utils import open_table

ROOT = Path(__file__).parents[2]
ROWS, QUERIES, DIM, K = 400, 30, 4, 3
HASHING = ["--bucket-length", "1.5", "--num-hash-tables", "3", "--seed", "7"]


@pytest.fixture(autouse=True)
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A base, queries, and a folder to be in."""
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path / "base", vectors_of(ROWS), ids=list(range(1000, 1000 + ROWS)))
    names = [f"q{i}" for i in range(QUERIES)]
    write_table(tmp_path / "queries", vectors_of(QUERIES, seed=5), ids=names)
    return tmp_path


def run(*arguments: str) -> int:
    return cli.main(list(arguments))


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that says nothing but its result."""
    assert run(*arguments) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def neighbors() -> list[tuple[str, int, int, float]]:
    """Whom the naive program finds."""
    every = np.ones((QUERIES, ROWS), dtype=np.bool_)
    expected = oracle.nearest_neighbors(
        vectors_of(ROWS), vectors_of(QUERIES, seed=5), K, every
    )
    return [
        (f"q{query}", 1000 + row, rank, distance)
        for query, found in enumerate(oracle.as_lists(expected))
        for rank, (row, distance) in enumerate(found, 1)
    ]


def as_rows(text: str) -> list[tuple[str, int, int, float]]:
    """Read neighbors back from CSV."""
    frame = pl.read_csv(io.StringIO(text))
    assert frame.columns == ["query_id", "neighbor_id", "rank", "distance"]
    return frame.rows()


# ---- formats and outputs ---------------------------------------------------------------

QUERY = ["query", "queries", "base", "-k", str(K), "--exact"]


def test_csv_has_every_digit(capsys: pytest.CaptureFixture[str]) -> None:
    assert as_rows(shown(capsys, *QUERY, "--format", "csv")) == neighbors()


def test_json_lines_have_every_digit(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, *QUERY, "--format", "jsonl").splitlines()
    assert [tuple(json.loads(line).values()) for line in lines] == neighbors()


def test_text_is_aligned_and_has_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    head, *lines = shown(capsys, *QUERY).splitlines()
    assert head.split() == ["query_id", "neighbor_id", "rank", "distance"]
    starts = [head.index(name) for name in head.split()]
    assert len(lines) == QUERIES * K
    for line, (query, row, rank, distance) in zip(lines, neighbors(), strict=True):
        assert line.split() == [query, str(row), str(rank), f"{distance:.6f}"]
        assert all(line[start - 1] == " " for start in starts[1:])


def test_an_arrow_stream_goes_through_a_pipe() -> None:
    program = [sys.executable, "-m", "fast_lsh_ann"]
    base = subprocess.run(
        [*program, "transform", "base", *HASHING, "--format", "arrow"],
        capture_output=True,
        check=True,
    )
    assert base.stderr == b""
    hashes = pl.DataFrame(pa.ipc.open_stream(base.stdout).read_all())
    model = StreamingLSHProcessor(1.5, 3, 7).transform_frames("base")
    assert hashes.rows() == pl.DataFrame(model).rows()

    rows = pa.table({"id": list("abc"), "embedding": vectors_of(3, seed=5).tolist()})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    command = ["query", "-", "base", "-k", str(K), "--exact", "--format", "csv"]
    found = subprocess.run(
        [*program, *command], input=sink.getvalue(), capture_output=True, check=True
    )
    names = {"q0": "a", "q1": "b", "q2": "c"}
    expected = [(names[query], *rest) for query, *rest in neighbors()[: 3 * K]]
    assert as_rows(found.stdout.decode()) == expected


@pytest.mark.parametrize("name", ["out", "out.parquet", "out.arrow", "out.arrows"])
def test_an_output_is_written_once_and_reported(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert run(*QUERY, "--output", name) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"{name}: {QUERIES * K} rows in " in captured.err
    readers: dict[str, Any] = {
        "out": pl.read_delta,
        "out.parquet": pl.read_parquet,
        "out.arrow": pl.read_ipc,
        "out.arrows": pl.read_ipc_stream,
    }
    assert sorted(readers[name](name).rows()) == sorted(neighbors())
    assert run(*QUERY, "--output", name) == 1
    assert "mode" in capsys.readouterr().err
    assert run(*QUERY, "--output", name, "--mode", "overwrite", "--quiet") == 0
    assert capsys.readouterr().err == ""


def test_a_job_is_done_once(capsys: pytest.CaptureFixture[str]) -> None:
    job = ["--output", "pairs", "--mode", "append", "--job-id", "nightly"]
    for says in (" rows in ", "job 'nightly' was done before"):
        assert run("join", "base", "--threshold", "0.5", *job) == 0
        assert says in capsys.readouterr().err
    assert len(open_table("pairs").history()) == 2  # it was created, then appended to


# ---- commands --------------------------------------------------------------------------


def test_queries_carry_columns_and_obey_conditions(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    frame = pl.read_delta("base").with_columns(name=pl.col("id").cast(pl.String))
    frame.write_delta(tmp_path / "named")
    command = ["query", "queries", "named", "-k", "2", "--exact"]
    arguments = ["--columns", "name", "--where-base", "id < 1100", "--format", "csv"]
    found = pl.read_csv(io.StringIO(shown(capsys, *command, *arguments)))
    assert found.height == 2 * QUERIES
    assert found["neighbor_name"].to_list() == found["neighbor_id"].to_list()
    assert set(found["neighbor_id"]) <= set(range(1000, 1100))


def test_a_join_finds_what_the_naive_program_finds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows, every = vectors_of(ROWS), np.ones((ROWS, ROWS), dtype=np.bool_)
    expected = oracle.similarity_join(rows, rows, 0.8, every, upper=True)
    assert len(expected.left)
    arguments = ("join", "base", "--threshold", "0.8", "--exact", "--format", "csv")
    frame = pl.read_csv(io.StringIO(shown(capsys, *arguments)))
    assert frame["id_a"].to_list() == (expected.left + 1000).tolist()
    assert frame["id_b"].to_list() == (expected.right + 1000).tolist()
    assert frame["distance"].to_list() == expected.distances.tolist()


def test_transform_writes_the_hashes_and_how_they_were_made(
    capsys: pytest.CaptureFixture[str],
) -> None:
    embeddings = ["--include-embeddings", "--output", "hashes"]
    assert run("transform", "base", *HASHING, *embeddings) == 0
    capsys.readouterr()
    rows, _ = read_delta_embeddings("hashes")
    assert len(rows) == ROWS
    text = shown(capsys, "inspect", "hashes")
    assert "bucket_length=1.5, num_hash_tables=3, seed=7" in text
    assert "vectors, read as float32, dimension 4" in text
    facts = json.loads(shown(capsys, "inspect", "hashes", "--json"))
    assert facts["rows"] == ROWS
    assert list(facts["columns"]) == ["hash_0", "hash_1", "hash_2", "id", "embedding"]


def test_describe_speaks_to_people_and_programs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = shown(capsys, "describe", "base", "--plot", "picture.png")
    assert f"{ROWS} rows x {DIM}" in text
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads(shown(capsys, "describe", "base", "--json"))


def test_a_dry_run_reads_a_little_and_writes_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = shown(capsys, *QUERY, "--dry-run", "--output", "out")
    assert f"{QUERIES} queries, {ROWS} rows of dimension {DIM}" in text
    text = shown(capsys, "join", "base", "--threshold", "1", "-n", "--output", "out")
    assert f"{ROWS} rows" in text
    assert not (tmp_path / "out").exists()


def test_the_doctor_finds_no_fault_here(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "doctor")
    assert "All is well." in text
    assert "FAILED" not in text


def test_the_doctor_finds_wrong_answers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "fast_lsh_ann._cli.doctor.exact_nearest_neighbors",
        lambda rows, *rest: exact_nearest_neighbors(-rows, *rest),
    )
    assert run("doctor", "--quiet") == 1
    assert capsys.readouterr().out.startswith("FAILED  search ")


# ---- status and messages ---------------------------------------------------------------

WRONG: dict[str, tuple[list[str], int, str]] = {
    "no table": (["query", "queries", "nothing"], 1, "no Delta table at 'nothing'"),
    "no column": (["describe", "base", "--embedding-column", "x"], 1, "no column 'x'"),
    "k": (["query", "queries", "base", "-k", "0"], 2, "k must be"),
    "condition": (["describe", "base", "--where", "nonsense"], 2, "is no condition"),
    "threshold": (["join", "base", "--threshold", "-1"], 2, "threshold"),
    "moment": (["inspect", "base", "--timestamp", "May"], 2, "RFC 3339"),
    "memory": ([*QUERY, "--memory-limit", "10KiB"], 1, "memory_limit"),
    "unit": ([*QUERY, "--memory-limit", "10 spoons"], 2, "memory_limit"),
    "option": (["inspect", "base", "--storage-option", "x"], 2, "KEY=VALUE"),
    "mode": ([*QUERY, "--mode", "append"], 2, "--mode is for an --output"),
    "format": ([*QUERY, "--format", "csv", "-o", "x"], 2, "--format is for standard"),
    "dimension": (["query", "wide", "base"], 3, "dimension"),
    "row": (["describe", "wide", "--where", "id > 5"], 0, ""),
    "invalid": (["query", "invalid", "base"], 3, "row 1"),
}


@pytest.mark.parametrize(("arguments", "status", "says"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_has_a_status_and_one_line(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: list[str],
    status: int,
    says: str,
) -> None:
    write_table(tmp_path / "wide", vectors_of(9, DIM + 1))
    broken = vectors_of(3)
    broken[1, 2] = np.nan
    write_table(tmp_path / "invalid", broken)
    assert run(*arguments) == status
    captured = capsys.readouterr()
    assert says in captured.err
    assert captured.err.count("\n") == (status != 0)
    if status:
        assert captured.out == ""


def test_what_is_done_is_logged_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("describe", "base", "-v") == 0
    assert "400 rows at most" in capsys.readouterr().err


def test_the_manual_is_that_of_the_parsers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(ROOT / "tools"), *sys.path])
    manual = importlib.import_module("cli_docs").manual()
    written = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert written == manual, "run: python tools/cli_docs.py"


def test_help_fits_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for command in ("query", "join", "transform", "describe", "inspect", "doctor"):
        with pytest.raises(SystemExit) as ended:
            run(command, "--help")
        assert ended.value.code == 0
        text = capsys.readouterr().out
        assert max(map(len, text.splitlines())) <= 80, command
