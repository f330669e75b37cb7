"""Outcomes as Markdown tables, and the tables' places in README.md."""

from collections.abc import Sequence
from pathlib import Path

from contests import Line, Outcome

README = Path(__file__).with_name("README.md")
PICTURES = Path(__file__).with_name("pictures")


def duration(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} us"
    return f"{seconds * 1e3:.2f} ms" if seconds < 1 else f"{seconds:.2f} s"


def times(ratio: float | None) -> str:
    if ratio is None:
        return "-"
    return f"{ratio:.2f}x" if ratio < 10 else f"{ratio:.1f}x"


def rows(header: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    ruler = ["---"] * len(header)
    return [f"| {' | '.join(line)} |" for line in (header, ruler, *lines)]


def line_cells(outcome: Outcome, line: Line) -> list[str]:
    ratio = "1" if line is outcome.lines[0] else times(outcome.ratio(line.label))
    once = " (1 run)" if line.timing.runs == 1 else ""
    return [
        line.label,
        "-" if line.built is None else duration(line.built),
        duration(line.timing.median) + once,
        duration(line.timing.fastest),
        line.verdict.note or "-",
        ratio,
    ]


def table(outcome: Outcome) -> list[str]:
    """A contest: its title, a line each, and who was missing."""
    header = ["contender", "index built in", "median", "fastest", "answer", "ratio"]
    cells = [line_cells(outcome, line) for line in outcome.lines]
    absent = [f"- {label}: {reason}" for label, reason in outcome.missing.items()]
    title = f"**{outcome.title}** (checksum {outcome.checksum})"
    return ["", title, "", *rows(header, cells), "", *absent]


def write_section(name: str, lines: Sequence[str]) -> None:
    """Replace what stands between the two markers of that name in README.md."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    text = README.read_text()
    before, rest = text.split(begin)
    _, after = rest.split(end)
    body = "\n".join(lines).strip()
    while "\n\n\n" in body:
        body = body.replace("\n\n\n", "\n\n")
    README.write_text(f"{before}{begin}\n\n{body}\n\n{end}{after}")
