"""The tutorial's commands print what the tutorial says."""

import importlib
import re
import sys
from pathlib import Path

import pytest
from fast_lsh_ann import cli

ROOT = Path(__file__).parents[2]
_TIME = re.compile(r"\b[\d.]+ (s|min)\b")


def test_its_commands_print_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    demo = ["demo", "--data", str(ROOT / "examples/data")]
    assert cli.main([*demo, "--output", str(tmp_path / "build/demo")]) == 0
    monkeypatch.setattr(sys, "path", [str(ROOT / "tools"), *sys.path])
    text = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
    again: str = importlib.import_module("transcript").replay(text, tmp_path)
    assert _TIME.sub("some time", again) == _TIME.sub("some time", text)
    assert text.count("\n$ fast-lsh-ann ") > 10
    assert (tmp_path / "words.png").exists()
