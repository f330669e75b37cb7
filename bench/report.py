"""Outcomes as a Markdown table, and that table's place in a file."""

from collections.abc import Sequence
from pathlib import Path

from timing import Outcome

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def duration(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms" if seconds < 1 else f"{seconds:.2f} s"


def cell(outcome: Outcome, contender: str, ours: str) -> str:
    """Time and ratio to ours; a different answer has no ratio."""
    if contender not in outcome.seconds:
        return "-"
    seconds = outcome.seconds[contender]
    if contender == ours:
        return duration(seconds)
    if not outcome.agrees[contender]:
        return f"{duration(seconds)}, another answer"
    return f"{duration(seconds)} ({seconds / outcome.seconds[ours]:.1f}x)"


def table(outcomes: Sequence[Outcome]) -> list[str]:
    names = list(dict.fromkeys(name for o in outcomes for name in o.seconds))
    header = ["operation", *names, "answer"]
    lines = [header, ["---"] * len(header)]
    for outcome in outcomes:
        cells = [cell(outcome, name, names[0]) for name in names]
        lines.append([outcome.operation, *cells, outcome.note])
    return [f"| {' | '.join(line)} |" for line in lines]


def write_between_markers(path: Path, lines: Sequence[str]) -> None:
    """Replace what stands between the two markers of a file."""
    text = path.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    body = "\n".join(lines)
    path.write_text(f"{before}{BEGIN}\n{body}\n{END}{after}")
