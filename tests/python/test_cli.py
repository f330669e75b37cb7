"""The command line: what it prints, how it ends, and that the demo says what is true."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import fast_lsh_ann
import numpy as np
import oracle
import polars as pl
import pytest
from conftest import Run
from fast_lsh_ann import cli, demo

DATA = Path(__file__).parents[2] / "examples" / "data"


def command(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "fast_lsh_ann", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# ---- commands and exit status ----------------------------------------------------------


def test_the_version_is_that_of_the_package() -> None:
    done = command("--version")
    assert done.returncode == 0
    assert done.stdout == f"fast-lsh-ann {fast_lsh_ann.__version__}\n"


def test_info_shows_what_the_core_runs_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info"]) == 0
    shown = capsys.readouterr().out
    info = fast_lsh_ann.simd_info()
    for value in (fast_lsh_ann.__version__, *info.tiers, info.tier, str(info.threads)):
        assert re.search(rf"\b{re.escape(value)}\b", shown), value


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["info", "--nonsense"]])
def test_wrong_usage_is_status_2(arguments: list[str]) -> None:
    done = command(*arguments)
    assert done.returncode == 2
    assert "usage: fast-lsh-ann" in done.stderr
    assert done.stdout == ""


def test_a_value_that_is_wrong_is_one_line_and_status_2(tmp_path: Path) -> None:
    done = command("demo", "--data", str(tmp_path), "--output", str(tmp_path / "out"))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("fast-lsh-ann: there is no ")
    assert "words20k.npy" in done.stderr
    assert "--data" in done.stderr
    assert not (tmp_path / "out").exists()


def test_an_interrupt_is_status_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "run_demo", interrupted)
    assert cli.main(["demo"]) == 130
    assert capsys.readouterr().err == "fast-lsh-ann: interrupted\n"


def test_a_reader_that_leaves_is_no_traceback() -> None:
    program = [sys.executable, "-m", "fast_lsh_ann", "info"]
    with subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=30) == 1


def test_the_command_line_imports_no_optional_package(run_python: Run) -> None:
    program = """
import sys
import fast_lsh_ann.cli
print(sorted({"deltalake", "polars", "tqdm", "pyarrow", "arro3"} & set(sys.modules)))
"""
    assert run_python(program).stdout == "[]\n"


# ---- the demo --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What the demo prints at its second run, and its folder."""
    output = tmp_path_factory.mktemp("demo") / "tables"
    arguments = ("demo", "--data", str(DATA), "--output", str(output))
    for _ in range(2):
        done = command(*arguments)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
    return done.stdout, output


@pytest.fixture(scope="module")
def words() -> tuple[list[str], Any]:
    """The demo's words and vectors."""
    names = (DATA / "words20k.txt").read_text(encoding="utf-8").split()
    return names, np.load(DATA / "words20k.npy").astype(np.float64)


def test_the_demo_fits_a_terminal(shown: tuple[str, Path]) -> None:
    text, output = shown
    told = text[: text.index("\nDone in")].splitlines()
    assert max(len(line) for line in told if str(output) not in line) <= 84


def test_the_demo_prints_true_neighbors_and_those_it_missed(
    shown: tuple[str, Path], words: tuple[list[str], Any]
) -> None:
    names, vectors = words
    row = {name: number for number, name in enumerate(names)}
    text = " ".join(shown[0].split())
    missed = re.search(r"in no shared bucket: ([^.]*)\.", text)
    assert missed is not None
    for query in ("monday", "king", "guitar", "coffee", "winter", "physics", "ocean"):
        line = next(x for x in shown[0].splitlines() if x.startswith(f"   {query}  "))
        printed = re.findall(r"(\w+) (\d+\.\d\d)", line)
        gaps = np.linalg.norm(vectors - vectors[row[query]], axis=1)
        assert [gap for _, gap in printed] == [f"{gaps[row[n]]:.2f}" for n, _ in printed]
        nearest = {names[i] for i in np.argsort(gaps)[1:5]}
        absent = nearest - {name for name, _ in printed}
        assert absent == set(re.findall(rf"(\w+) \({query}\)", missed[1]))


def test_the_demo_prints_true_pairs(
    shown: tuple[str, Path], words: tuple[list[str], Any]
) -> None:
    names, vectors = words
    row = {name: number for number, name in enumerate(names)}
    pairs = re.findall(r"(\d\.\d\d)  (\w+) - (\w+)", shown[0])
    assert len(pairs) == 14
    for gap, left, right in pairs:
        true = np.linalg.norm(vectors[row[left]] - vectors[row[right]])
        assert gap == f"{true:.2f}"
    assert len({name for _, *pair in pairs for name in pair}) == 28


def test_the_demo_counts_the_pairs_there_are(
    shown: tuple[str, Path], words: tuple[list[str], Any]
) -> None:
    _, vectors = words
    squares = (vectors**2).sum(axis=1)
    close = 0
    for start in range(0, len(vectors), 2000):
        block = slice(start, start + 2000)
        gaps = squares[block, None] + squares - 2 * vectors[block] @ vectors.T
        close += int(np.count_nonzero(gaps <= 2.5**2))
    exact = (close - len(vectors)) // 2
    pattern = r"([\d,]+) pairs out of 199,990,000 .*\n.* finds ([\d,]+),"
    found = re.search(pattern, shown[0])
    assert found is not None
    assert int(found[2].replace(",", "")) == exact
    assert 0.95 * exact < int(found[1].replace(",", "")) <= exact


def test_the_demo_prints_the_true_share_of_candidates(
    shown: tuple[str, Path], words: tuple[list[str], Any]
) -> None:
    _, vectors = words
    hashes = fast_lsh_ann.BucketedRandomProjectionLSH(0.5, 5).fit(vectors)
    buckets = hashes.transform(vectors)
    some = np.random.default_rng(0).choice(len(buckets), 300, replace=False)
    share = np.mean([(buckets == buckets[q]).any(axis=1).mean() for q in some])
    line = next(line for line in shown[0].splitlines() if line.endswith("as above"))
    candidates, recall = re.findall(r"([\d.]+)%", line)
    assert abs(float(candidates) - 100 * share) < 4
    assert 85 < float(recall) < 100


def test_what_the_demo_proposes_runs(shown: tuple[str, Path]) -> None:
    text, _ = shown
    start = text.index("   import polars as pl")
    lines = text[start : text.index("Your own table")].splitlines()
    scope: dict[str, Any] = {}
    exec("\n".join(line.removeprefix("   ") for line in lines), scope)
    assert len(scope["words"]) == 20000


def test_the_demos_tables_hold_the_words_and_their_hashes(
    shown: tuple[str, Path], words: tuple[list[str], Any]
) -> None:
    names, vectors = words
    _, output = shown
    table = pl.read_delta(str(output / "words"))
    assert table["word"].to_list() == names
    hashes = pl.read_delta(str(output / "word_hashes")).sort("id")
    assert hashes.columns == [*(f"hash_{t}" for t in range(5)), "id"]
    order = np.argsort(names)
    directions = oracle.unit_vectors(5, vectors.shape[1], 42)
    expected = oracle.buckets(vectors[order[:200]], directions, 0.5)
    np.testing.assert_array_equal(hashes.drop("id").to_numpy()[:200], expected)


def test_the_demo_overwrites_no_table_but_its_own(tmp_path: Path) -> None:
    pl.DataFrame({"precious": [1, 2]}).write_delta(tmp_path / "words")
    done = command("demo", "--data", str(DATA), "--output", str(tmp_path))
    assert done.returncode == 2
    assert "'precious'" in done.stderr
    assert "--output" in done.stderr
    assert pl.read_delta(str(tmp_path / "words")).shape == (2, 1)


def test_the_demo_without_delta_says_what_to_install(run_python: Run) -> None:
    program = """
import sys
sys.modules["deltalake"] = None
from fast_lsh_ann import cli
sys.exit(cli.main(["demo"]))
"""
    done = run_python(program, must_succeed=False)
    assert done.returncode == 1
    assert "pip install 'fast_lsh_ann[delta]'" in done.stderr
    assert done.stderr.count("\n") == 1
