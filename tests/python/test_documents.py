"""What the documents show runs as it stands there, and names what there is."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_readme_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = re.findall(
        r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL
    )
    assert len(blocks) == 4
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert 0.5 < float(str(names["recall"])) <= 1


@pytest.mark.parametrize("document", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_the_files_a_document_names_exist(document: str) -> None:
    text = (ROOT / document).read_text()
    linked = re.findall(r"\]\((?!http)([^)#]+)\)", text)
    named = re.findall(
        r"`((?:src|python|tests|tools|docs|include|bench)/[\w./]+\.\w+)`", text
    )
    assert len(linked) + len(named) > 2
    missing = [path for path in {*linked, *named} if not (ROOT / path).exists()]
    assert missing == []


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
