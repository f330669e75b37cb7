"""How many lines of the C core its tests have run, file by file.

Reads what a build with gcov's counters (gcc --coverage) has left; fails below a limit.
"""

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEAST_PERCENT = 95.0

Counts = dict[str, dict[int, int]]  # file -> line -> how often it ran


def line_counts(build: Path) -> Counts:
    """Add up the counters of all objects of the library; headers are in many."""
    found: Counts = defaultdict(lambda: defaultdict(int))
    data = sorted(build.glob("CMakeFiles/fla_testable.dir/src/**/*.gcda"))
    if not data:
        raise FileNotFoundError(f"no counters under {build}: run its tests first")
    for path in data:
        command = ["gcov", "--json-format", "--stdout", str(path)]
        text = subprocess.check_output(command, cwd=build, text=True)
        for file in json.loads(text)["files"]:
            source = (build / file["file"]).resolve()
            if source.is_relative_to(ROOT / "src"):
                lines = found[str(source.relative_to(ROOT))]
                for line in file["lines"]:
                    lines[line["line_number"]] += line["count"]
    return found


def ranges(lines: list[int]) -> str:
    """Write ascending numbers shortly: 3, 7-9."""
    parts: list[list[int]] = []
    for line in lines:
        if parts and line == parts[-1][-1] + 1:
            parts[-1][1:] = [line]
        else:
            parts.append([line])
    return ", ".join("-".join(map(str, part)) for part in parts)


def main() -> int:
    """Print the table of a build folder; 1 where too little was run."""
    counts = line_counts(Path(sys.argv[1]).resolve())
    total = sum(len(lines) for lines in counts.values())
    ran = 0
    for name, lines in sorted(counts.items()):
        missed = sorted(line for line, count in lines.items() if count == 0)
        ran += len(lines) - len(missed)
        share = 100 * (1 - len(missed) / len(lines))
        if missed:
            print(f"{name:32}{len(lines):6}{share:8.1f} %  {ranges(missed)}")
    percent = 100 * ran / total
    print(f"{percent:.1f} % of {total:,} lines in {len(counts)} files ran")
    return 0 if percent >= LEAST_PERCENT else 1


if __name__ == "__main__":
    sys.exit(main())
