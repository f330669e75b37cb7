"""What the documents show runs as it stands there, and names what there is."""

import inspect
import re
from pathlib import Path

import golden
import pytest
from fast_lsh_ann import BucketedRandomProjectionLSH

ROOT = Path(__file__).parents[2]


def run(document: str, n_blocks: int) -> dict[str, object]:
    """Run a document's Python from top to bottom; the names it leaves."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)
    assert len(blocks) == n_blocks
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, document, "exec"), names)
    return names


def test_the_readme_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = run("README.md", 8)
    assert 0.5 < float(str(names["recall"])) <= 1
    assert f"```\n{names['found']}\n```" in (ROOT / "README.md").read_text()


def test_what_is_shown_to_people_from_spark_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run("docs/from-spark.md", 5)


def test_people_from_spark_are_told_its_defaults() -> None:
    text = (ROOT / "docs/from-spark.md").read_text()
    defaults = golden.load("spark/spark-3.5.9/defaults.json")["defaults"]
    assert f"that is {defaults['scala_default_seed_brp']}, always" in text
    ours = inspect.signature(BucketedRandomProjectionLSH).parameters
    for spark, name in [
        ("`bucketLength` | none: must be set before hashing", "bucket_length"),
        ("`numHashTables` | 1", "num_hash_tables"),
        ("`seed` | see below", "seed"),
    ]:
        assert f"| {spark} | `{name}` | {ours[name].default} |" in text


@pytest.mark.parametrize(
    "document",
    [
        *("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/from-spark.md"),
        *("docs/tutorial.md", "docs/cli.md"),
    ],
)
def test_the_files_a_document_names_exist(document: str) -> None:
    text = (ROOT / document).read_text()
    linked = re.findall(r"\]\((?!http)([^)#]+)\)", text)
    named = re.findall(
        r"`((?:src|python|tests|tools|docs|include|bench)/[\w./]+\.\w+)`", text
    )
    places = [(ROOT / document).parent / path for path in linked]
    places += [ROOT / path for path in named]
    assert len(places) > 0
    assert [place for place in places if not place.exists()] == []


def test_the_architecture_names_tests_that_exist() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    sources = "\n".join(p.read_text() for p in (ROOT / "tests/c").glob("*.c"))
    for name in re.findall(r"`(\w+)` \(C\)", text):
        assert f"RUN({name})" in sources, name
    files = re.findall(r"`(test_\w+\.(?:py|c))`", text)
    assert len(files) > 5
    there = {path.name for path in (ROOT / "tests").rglob("test_*")}
    assert set(files) <= there


def test_architecture_stays_short() -> None:
    assert len((ROOT / "ARCHITECTURE.md").read_text().splitlines()) <= 150
