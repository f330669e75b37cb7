"""Measure the library beside its peers; write README.md's tables and pictures.

What runs is a group (headline, everyday, goals, growth, recall, replaced, cms, hard,
streamed-join) or parts of one (E1, joins, k ...).  A group that has run as a whole
replaces its section of README.md, headline also that of the project's README.md; parts
are printed only.
"""

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cms
import everyday
import goals
import growth
import headline
import ladder
import replaced
import streamed_join
from contests import Settings
from data import ROOT, MissingDataError
from machine import describe, usable_cpus, usual
from pictures import draw
from report import README, Part, Result, details, scoreboard, write_section
from stage import ContenderError, Entrant


@dataclass(frozen=True)
class Group:
    parts: Mapping[str, Part]
    taking_part: Callable[[], list[Entrant]] = usual  # whose versions are told


GROUPS: Mapping[str, Group] = {
    "headline": Group(headline.PARTS, headline.taking_part),
    "everyday": Group(everyday.PARTS),
    "goals": Group(goals.PARTS),
    "growth": Group(growth.PARTS),
    "recall": Group(growth.RECALL),
    "replaced": Group(replaced.PARTS, replaced.taking_part),
    "cms": Group(cms.PARTS),
    "hard": Group(ladder.PARTS),
    "streamed-join": Group(streamed_join.PARTS),
}


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", metavar="NAMES", help="groups and parts, with commas between them"
    )
    parser.add_argument("--threads", type=int, default=usable_cpus())
    parser.add_argument(
        "--repetitions", type=int, default=5, help="turns of a contender, at most"
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=22,
        help="seconds for all turns of a contender; it has one turn at least",
    )
    parser.add_argument(
        "--scale", type=float, default=1.0, help="of the numbers of rows and queries"
    )
    parser.add_argument("--glove", type=Path, help="a .npy of GloVe's vectors, 100-d")
    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        default=[],
        help="search these .npy, .fvecs or .hdf5 files; alone unless --only is given",
    )
    parser.add_argument("--no-write", action="store_true", help="print only")
    given = parser.parse_args()
    names = [*GROUPS, *(name for group in GROUPS.values() for name in group.parts)]
    wanted = given.only.split(",") if given.only else [] if given.data else [*GROUPS]
    given.wanted = wanted
    unknown = [name for name in wanted if name not in names]
    if unknown:
        parser.error(f"no such group or part: {unknown[0]}; there are {', '.join(names)}")
    return given


def measure(name: str, part: Part, settings: Settings) -> Result:
    """What the part found out, or why it could not; printed."""
    start = time.perf_counter()
    try:
        result = part(settings)
    except (ContenderError, MissingDataError) as error:
        result = Result(lines=["", f"- not measured: {error}"])
    lines = [*scoreboard({name: result}), *details(name, result)]
    print("\n".join(lines), flush=True)
    print(f"({name} took {time.perf_counter() - start:.0f} s)", flush=True)
    return result


def publish(group: str, facts: Sequence[str], results: Mapping[str, Result]) -> None:
    """The group's section of README.md and its picture."""
    told = [f"- {fact}" for fact in facts]
    if group == "headline":
        lines = [*(line for result in results.values() for line in result.lines), *told]
        for path in (README, ROOT / "README.md"):
            write_section(group, lines, path)
        return
    lines = [*told, "", *scoreboard(results), ""]
    panels = [panel for result in results.values() for panel in result.panels]
    if panels:
        path = draw(group, panels)
        lines += [f"![{group}]({path.parent.name}/{path.name})", ""]
    for name, result in results.items():
        lines += details(name, result)
    write_section(group, lines)


def main() -> None:
    given = options()
    settings = Settings(
        given.threads, given.repetitions, given.patience, given.scale, given.glove
    )
    for path in given.data:
        measure(path.name, partial(everyday.own_file, path=path), settings)
    for name, group in GROUPS.items():
        whole = name in given.wanted
        chosen = {n: p for n, p in group.parts.items() if whole or n in given.wanted}
        if not chosen:
            continue
        facts = describe(settings.threads, group.taking_part())
        print("\n".join(facts), flush=True)
        results = {part: measure(part, chosen[part], settings) for part in chosen}
        if whole and not given.no_write:
            publish(name, facts, results)


if __name__ == "__main__":
    main()
