"""The rows E1..E13 of the engine's goals, each as a ratio measured in one run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import entrants as who
import numpy as np
from contests import (
    Outcome,
    Settings,
    build_and_neighbors,
    neighbors,
    pairs,
    self_join,
    transform,
)
from data import BUILD, Dataset, MissingDataError, Stored, fashion, from_script, glove
from machine import tiers
from messages import Request
from report import rows, table, times
from stage import Entrant, Stage

DIM, K = 128, 10
TUNED = who.FAISS_TUNED.label


@dataclass(frozen=True)
class Score:
    """A measured goal; the bar is a least ratio, or a most."""

    goal: str
    bar: float
    stretch: float
    ratio: float | None
    at_most: bool = False
    remark: str = ""

    def reached(self) -> str:
        if self.ratio is None:
            return "not measured"
        sign = -1 if self.at_most else 1
        if sign * self.ratio >= sign * self.stretch:
            return "stretch"
        return "yes" if sign * self.ratio >= sign * self.bar else "**no**"


@dataclass(frozen=True)
class Result:
    scores: Sequence[Score]
    outcomes: Sequence[Outcome] = ()
    lines: Sequence[str] = ()  # tables of another kind


Part = Callable[[Settings], Result]


def million(settings: Settings, queries: int) -> Dataset:
    return from_script("Gaussian", settings.rows(1_000_000), DIM, queries)


def hundred_thousand(settings: Settings, queries: int) -> Dataset:
    return from_script("Gaussian", settings.rows(100_000), DIM, queries)


def against_tuned(
    settings: Settings, data: Dataset, k: int, goal: str, bar: float, stretch: float
) -> tuple[Score, Outcome]:
    entrants = [who.ours(), who.FAISS_TUNED, who.FAISS]
    outcome = neighbors(settings, data, k, entrants)
    as_installed = times(outcome.ratio(who.FAISS.label))
    score = Score(goal, bar, stretch, outcome.ratio(TUNED))
    return replace(score, remark=f"as installed {as_installed}"), outcome


def e1(settings: Settings) -> Result:
    data = million(settings, settings.queries(10_000))
    goal = "exact, 1M x 128, 10,000 queries, k = 10, against tuned Faiss flat"
    score, outcome = against_tuned(settings, data, K, goal, 6, 10)
    return Result([score], [outcome])


def real_sets(
    settings: Settings, k: int, queries: int, bars: Sequence[tuple[float, float]]
) -> Result:
    scores, outcomes = [], []
    for load, (bar, stretch) in zip((glove, fashion), bars, strict=True):
        try:
            data = load(queries, settings.scale)
        except MissingDataError as error:
            missing = f"{load.__name__}, k = {k}: {error}"
            scores.append(Score(missing, bar, stretch, None))
            continue
        goal = f"{data}, {data.count:,} queries, k = {k}, against tuned Faiss flat"
        score, outcome = against_tuned(settings, data, k, goal, bar, stretch)
        scores.append(score)
        outcomes.append(outcome)
    return Result(scores, outcomes)


def e2(settings: Settings) -> Result:
    return real_sets(settings, K, 2000, [(6, 7.5), (12, 20)])


def e2k(settings: Settings) -> Result:
    return real_sets(settings, 100, 1000, [(3, 5), (3.5, 6)])


def over_a_read(
    settings: Settings,
    data: Dataset,
    entrant: Entrant,
    bytes_a_row: int,
    goal: str,
    bar: float,
    stretch: float,
) -> tuple[Score, Outcome]:
    floor = who.reader(bytes_a_row)
    outcome = neighbors(settings, data, K, [entrant], [floor])
    ratio = outcome.share(entrant.label, floor.label)
    return Score(goal, bar, stretch, ratio, at_most=True), outcome


FLOATS, CODES = 4 * DIM, DIM  # bytes a row


def e3(settings: Settings) -> Result:
    data = hundred_thousand(settings, 100)
    indexed = "100 queries x 100K x 128 on an index, times a read of the float32 rows"
    raw = "the same from the raw array, times a read of the float32 rows"
    both = [
        over_a_read(settings, data, who.ours(), FLOATS, indexed, 4, 2),
        over_a_read(settings, data, who.OURS_RAW, FLOATS, raw, 10, 5),
    ]
    return Result([score for score, _ in both], [outcome for _, outcome in both])


def e4(settings: Settings) -> Result:
    large, small = million(settings, 1), hundred_thousand(settings, 1)
    indexed = "one query on an index of 1M x 128, times a read of its codes"
    raw = "one query on a raw array of 100K x 128, times a read of the rows"
    both = [
        over_a_read(settings, large, who.ours(), CODES, indexed, 2.3, 1.3),
        over_a_read(settings, small, who.OURS_RAW, FLOATS, raw, 2.5, 1.5),
    ]
    return Result([score for score, _ in both], [outcome for _, outcome in both])


def e5(settings: Settings) -> Result:
    entrants = [who.ours(), who.FAISS_TUNED, who.FAISS]
    many = from_script("Gaussian", settings.rows(50_000), DIM, settings.rows(10_000))
    itself = self_join(settings, many, 1e-4, entrants)
    two = pairs(settings, many, 1e-4, entrants)
    name = "tuned Faiss range_search"
    return Result(
        [
            Score(f"exact self-join, 50K, against {name}", 12, 20, itself.ratio(TUNED)),
            Score(f"exact join, 10K x 50K, against {name}", 6, 10, two.ratio(TUNED)),
        ],
        [itself, two],
    )


def e6(settings: Settings) -> Result:
    """Spark mode, five tables of width 2, beside exact mode on the same index."""
    exact, candidates = who.ours(), who.ours_lsh()
    sets = [million(settings, settings.queries(10_000)), hundred_thousand(settings, 100)]
    outcomes = [neighbors(settings, data, K, [exact, candidates]) for data in sets]
    few = from_script("Gaussian", settings.rows(50_000), DIM, settings.rows(10_000))
    outcomes.append(pairs(settings, few, 1e-4, [exact, candidates]))
    return Result(
        [
            Score(
                f"Spark mode over exact mode: {outcome.title}",
                1.3,
                1.05,
                outcome.share(candidates.label, exact.label),
                at_most=True,
            )
            for outcome in outcomes
        ],
        outcomes,
    )


def e7(settings: Settings) -> Result:
    data = million(settings, settings.queries(1000))
    entrants = [who.ours(), who.SCIKIT_LEARN]
    name = who.SCIKIT_LEARN.label
    nearest = neighbors(settings, data, K, entrants)
    within = pairs(settings, data, 1e-5, entrants, "within")
    return Result(
        [
            Score(f"{name} kneighbors, 1M x 1,000", 30, 60, nearest.ratio(name)),
            Score(f"{name} radius_neighbors, 1M x 1,000", 17, 40, within.ratio(name)),
        ],
        [nearest, within],
    )


# ---- approximate peers, the build on the clock -----------------------------------------

RECALL = 0.98


def recall_of(outcome: Outcome, label: str) -> float:
    line = outcome.line(label)
    return 0.0 if line is None else float(line.verdict.note.split("recall ")[1])


def fastest_at_recall(
    settings: Settings, data: Dataset, candidates: Sequence[Entrant]
) -> Entrant:
    """The candidate setting that is fastest among those with the recall, once each."""
    once = replace(settings, repetitions=1)
    named = [
        replace(c, label=f"{c.label} {dict(c.settings)}")
        for c in (who.ours(), *candidates)
    ]
    outcome = neighbors(once, data, K, named)
    enough = [c for c in named[1:] if recall_of(outcome, c.label) >= RECALL]
    if not enough:
        return max(named[1:], key=lambda c: recall_of(outcome, c.label))

    def seconds(entrant: Entrant) -> float:
        line = outcome.line(entrant.label)
        return np.inf if line is None else line.timing.median

    return min(enough, key=seconds)


def with_build(
    settings: Settings,
    data: Dataset,
    candidates: Sequence[Entrant],
    goal: str,
    bar: float,
    stretch: float,
) -> tuple[Score, Outcome]:
    best = fastest_at_recall(settings, data, candidates)
    outcome = build_and_neighbors(settings, data, K, [who.ours(), best])
    recall = recall_of(outcome, best.label)
    ratio = outcome.share(best.label, who.ours().label) if recall >= RECALL else None
    return Score(goal, bar, stretch, ratio, remark=f"its recall {recall}"), outcome


def e8(settings: Settings) -> Result:
    queries = settings.queries(10_000)
    large = from_script("clustered", settings.rows(1_000_000), DIM, queries)
    small = from_script("clustered", settings.rows(100_000), DIM, queries)
    lists = who.lists_for(large.n)
    inverted = [
        who.ivf(DIM, lists, nprobe=probes, k_factor_rf=factor)
        for factor in (8, 16, 32)
        for probes in (16, 32, 64, 128, 256)
    ]
    graphs = [who.hnsw(efSearch=ef) for ef in (32, 48, 64, 96, 128, 192, 256, 384, 512)]
    name = "build and 10,000 queries"
    both = [
        with_build(
            settings, large, inverted, f"{name}, 1M, against IVF-PQ at .98", 3.5, 6
        ),
        with_build(settings, small, graphs, f"{name}, 100K, against HNSW at .98", 30, 60),
    ]
    return Result([score for score, _ in both], [outcome for _, outcome in both])


def e9(settings: Settings) -> Result:
    data = million(settings, 1)
    goals = [(64, "float32", 3.3, 4.5), (64, "float64", 15, 25)]
    goals += [(5, "float32", 1.8, 4), (5, "float64", 7, 15)]
    scores, outcomes = [], []
    for tables, dtype, bar, stretch in goals:
        outcome = transform(
            settings, data, tables, who.WIDTH, [who.ours(), who.NUMPY], dtype
        )
        goal = f"transform 1M x 128, T = {tables}, {dtype}, against NumPy"
        scores.append(Score(goal, bar, stretch, outcome.ratio(who.NUMPY.label)))
        outcomes.append(outcome)
    return Result(scores, outcomes)


def tier_named(plain: str) -> str | None:
    """This machine's tier of that name, however it is spelled."""
    found = [tier for tier in tiers() if tier.replace("_", "") == plain]
    return found[0] if found else None


def of_tiers(settings: Settings, goals: Sequence[tuple[str, float, float]]) -> Result:
    """Tiers forced by FAST_LSH_ANN_SIMD, against tuned Faiss at the size of E1."""
    here = {plain: tier_named(plain) for plain, _, _ in goals}
    forced = [who.ours(tier=tier) for tier in here.values() if tier]
    if not forced:
        missing = f"this processor or build has only {', '.join(tiers())}"
        return Result([Score(f"{p}: {missing}", b, s, None) for p, b, s in goals])
    data = million(settings, settings.queries(10_000))
    outcome = neighbors(settings, data, K, [*forced, who.FAISS_TUNED])
    scores = [
        Score(
            f"{plain} end to end, against tuned Faiss flat",
            bar,
            stretch,
            outcome.ratio(TUNED, who.ours(tier=here[plain] or "").label),
            remark="" if here[plain] else "no such tier here",
        )
        for plain, bar, stretch in goals
    ]
    return Result(scores, [outcome])


def e11(settings: Settings) -> Result:
    return of_tiers(settings, [("avxvnni", 2.8, 3.3), ("avx2", 1.4, 1.9)])


def e13(settings: Settings) -> Result:
    return of_tiers(settings, [("amx", 12, 25)])


# ---- translation -----------------------------------------------------------------------

OFFSETS = (0.0, 1e2, 1e3, 1e4)


def moved(path: Path, data: Stored, offset: float) -> Stored:
    """Rows rounded to a grid of 2^-8, plus an offset: exact in float32 up to 2^15."""
    np.save(path, np.round(data.load() * 256) / 256 + np.float32(offset))
    return Stored(path)


def e12(settings: Settings) -> Result:
    data = hundred_thousand(settings, 1000)
    same: dict[str, list[float]] = {who.ours().label: [], TUNED: []}
    first: dict[str, np.ndarray] = {}
    for offset in OFFSETS:
        base = moved(BUILD / "data" / "moved.npy", data.rows, offset)
        asked = moved(BUILD / "data" / "moved-queries.npy", data.queries, offset)
        for entrant in (who.ours(), who.FAISS_TUNED):
            with Stage(settings.threads) as stage:
                worker = stage.worker(entrant)
                worker.build(base)
                request = Request("knn", {"queries": asked, "k": K}, wanted=True)
                ids = worker.ask(request).answer[0]
            reference = first.setdefault(entrant.label, ids)
            same[entrant.label].append(float((ids == reference).all(axis=1).mean()))
    cells = [
        [label, *(f"{share:.3f}" for share in shares)] for label, shares in same.items()
    ]
    header = [f"same ids, {data}", *(f"plus {offset:g}" for offset in OFFSETS)]
    goal = "rows on a 2^-8 grid plus 1e4: share of queries with the same ids"
    mine, theirs = same[who.ours().label][-1], same[TUNED][-1]
    score = Score(goal, 1, 1, mine, remark=f"tuned Faiss flat {theirs:.2f}")
    return Result([score], lines=["", *rows(header, cells), ""])


PARTS: Mapping[str, Part] = {
    "E1": e1,
    "E2": e2,
    "E2k": e2k,
    "E3": e3,
    "E4": e4,
    "E5": e5,
    "E6": e6,
    "E7": e7,
    "E8": e8,
    "E9": e9,
    "E11": e11,
    "E12": e12,
    "E13": e13,
}


def render(results: Mapping[str, Result]) -> list[str]:
    """The scores in one table, then the contests behind them."""
    header = ["#", "goal", "bar", "stretch", "measured", "reached", "remark"]
    cells = []
    for name, result in results.items():
        for score in result.scores:
            sign = "<= " if score.at_most else ""
            bars = [f"{sign}{bar:g}x" for bar in (score.bar, score.stretch)]
            measured = times(score.ratio)
            how = [score.reached(), score.remark or "-"]
            cells.append([name, score.goal, *bars, measured, *how])
    lines = rows(header, cells)
    for name, result in results.items():
        lines += ["", f"### {name}"]
        for outcome in result.outcomes:
            lines += table(outcome)
        lines += result.lines
    return lines
