"""Measure the library beside NumPy and scikit-learn and write the table of README.md."""

import argparse
from pathlib import Path

import fast_lsh_ann
from contests import all_contests
from machine import describe, usable_cpus
from report import cell, table, write_between_markers
from threadpoolctl import threadpool_limits
from timing import run

README = Path(__file__).parent / "README.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rows", type=int, default=100_000, help="rows that are searched"
    )
    parser.add_argument(
        "--join-rows", type=int, default=10_000, help="rows of a join's side"
    )
    parser.add_argument(
        "--repetitions", type=int, default=7, help="timed runs, at least 5"
    )
    parser.add_argument("--threads", type=int, default=usable_cpus())
    parser.add_argument("--no-write", action="store_true", help="leave README.md alone")
    options = parser.parse_args()
    if options.repetitions < 5:
        parser.error("a median of fewer than 5 runs says little")

    fast_lsh_ann.set_threads(options.threads)
    facts = describe(options.threads)
    print("\n".join(facts), flush=True)
    outcomes = []
    with threadpool_limits(options.threads):
        for contest in all_contests(options.rows, options.join_rows):
            outcome = run(contest, options.repetitions)
            ours = next(iter(outcome.seconds))
            times = [f"{name} {cell(outcome, name, ours)}" for name in outcome.seconds]
            print(f"{outcome.operation}: {'; '.join(times)}", flush=True)
            outcomes.append(outcome)
    if not options.no_write:
        bullets = [f"- {fact}" for fact in facts]
        bullets.append(f"- Medians of {options.repetitions} alternating runs")
        write_between_markers(README, ["", *bullets, "", *table(outcomes), ""])


if __name__ == "__main__":
    main()
