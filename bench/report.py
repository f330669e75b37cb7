"""Scores and outcomes as Markdown tables, and the tables' places in README.md."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from contests import Line, Outcome, Settings
from pictures import Panel

README = Path(__file__).with_name("README.md")


@dataclass(frozen=True)
class Score:
    """A measured goal; the bar is a least ratio, or a most."""

    goal: str
    bar: float
    stretch: float
    ratio: float | None
    at_most: bool = False
    percent: bool = False
    remark: str = ""

    def reached(self) -> str:
        if self.ratio is None:
            return "not measured"
        sign = -1 if self.at_most else 1
        if sign * self.ratio >= sign * self.stretch:
            return "stretch"
        return "yes" if sign * self.ratio >= sign * self.bar else "**no**"

    def cells(self) -> list[str]:
        sign = "<= " if self.at_most else ""
        if self.percent:
            bars = [f"{bar:.0%}" for bar in (self.bar, self.stretch)]
            measured = "-" if self.ratio is None else f"{self.ratio:.1%}"
        else:
            bars = [f"{sign}{bar:g}x" for bar in (self.bar, self.stretch)]
            measured = times(self.ratio)
        return [self.goal, *bars, measured, self.reached(), self.remark or "-"]


@dataclass(frozen=True)
class Result:
    """What a part of the benchmarks found out."""

    outcomes: Sequence[Outcome] = ()
    scores: Sequence[Score] = ()
    lines: Sequence[str] = ()  # tables of another kind
    panels: Sequence[Panel] = ()


Part = Callable[[Settings], Result]


def duration(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} us"
    return f"{seconds * 1e3:.2f} ms" if seconds < 1 else f"{seconds:.2f} s"


def times(ratio: float | None) -> str:
    if ratio is None:
        return "-"
    digits = 2 if ratio < 10 else 1 if ratio < 100 else 0
    return f"{ratio:,.{digits}f}x"


def rows(header: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table, its columns aligned for who reads it as text."""
    widths = [max(3, *map(len, cells)) for cells in zip(header, *lines, strict=True)]
    ruler = ["-" * width for width in widths]
    return [
        f"| {' | '.join(map(str.ljust, line, widths))} |"
        for line in (header, ruler, *lines)
    ]


def line_cells(outcome: Outcome, line: Line) -> list[str]:
    ratio = times(outcome.ratio(line.label))
    once = " (1 run)" if line.timing.runs == 1 else ""
    return [
        line.label,
        "-" if line.built is None else duration(line.built),
        duration(line.timing.median) + once,
        duration(line.timing.fastest),
        line.verdict.note or "-",
        "1" if line.label == outcome.reference else ratio,
    ]


def contest(outcome: Outcome) -> list[str]:
    """A contest: its title, a line each, and who was missing."""
    header = ["contender", "index built in", "median", "fastest", "answer", "ratio"]
    cells = [line_cells(outcome, line) for line in outcome.lines]
    absent = [f"- not measured: {name}: {why}" for name, why in outcome.missing.items()]
    title = f"**{outcome.title}**"
    if outcome.checksum:
        title += f" (checksum {outcome.checksum})"
    if outcome.compared:
        title += f"; {outcome.compared} equal to the naive program's"
    table = rows(header, cells) if cells else []
    return ["", title, "", *table, "", *absent]


def scoreboard(results: Mapping[str, Result]) -> list[str]:
    """The goals of all parts in one table."""
    header = ["#", "goal", "bar", "stretch", "measured", "reached", "remark"]
    cells = [
        [name, *score.cells()]
        for name, result in results.items()
        for score in result.scores
    ]
    return rows(header, cells) if cells else []


def details(name: str, result: Result) -> list[str]:
    """The contests and tables of a part."""
    found = [line for outcome in result.outcomes for line in contest(outcome)]
    found += result.lines
    return ["", f"### {name}", *found] if found else []


def write_section(name: str, lines: Sequence[str], document: Path = README) -> None:
    """Replace what stands between the two markers of that name in the document."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    text = document.read_text()
    if (
        text.count(begin) != 1
        or text.count(end) != 1
        or text.index(begin) > text.index(end)
    ):
        raise ValueError(
            f"{document.name} must have {begin} and below it {end}, each once"
        )
    before, rest = text.split(begin)
    _, after = rest.split(end)
    body = "\n".join(lines).strip()
    while "\n\n\n" in body:
        body = body.replace("\n\n\n", "\n\n")
    document.write_text(f"{before}{begin}\n\n{body}\n\n{end}{after}")
