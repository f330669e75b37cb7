"""The rows E1..E13 of the engine's goals, each as a ratio measured in one run.

A ratio is a median time over a median time of contenders that took turns; goals that say
"times" are at most that, the others at least.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import compiled
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
from report import Part, Result, Score, rows, times
from stage import Entrant, Stage

DIM, K = 128, 10
OURS, TUNED = who.OURS_NAME, who.FAISS_TUNED.label


def million(settings: Settings, queries: int) -> Dataset:
    return from_script("Gaussian", settings.rows(1_000_000), DIM, queries)


def hundred_thousand(settings: Settings, queries: int) -> Dataset:
    return from_script("Gaussian", settings.rows(100_000), DIM, queries)


def against(
    outcome: Outcome, peer: str, goal: str, bar: float, stretch: float, remark: str = ""
) -> Score:
    """The score of ours against a peer that must give the same answers."""
    ratio = outcome.ratio(peer)
    if ratio is None:
        remark = outcome.why_not(OURS, peer)
    return Score(goal, bar, stretch, ratio, remark=remark)


def against_tuned(
    settings: Settings, data: Dataset, k: int, goal: str, bar: float, stretch: float
) -> tuple[Score, Outcome]:
    outcome = neighbors(settings, data, k, [who.ours(), who.FAISS_TUNED, who.FAISS])
    as_installed = f"as installed {times(outcome.ratio(who.FAISS.label))}"
    return against(outcome, TUNED, goal, bar, stretch, as_installed), outcome


def result(*measured: tuple[Score, Outcome]) -> Result:
    return Result([outcome for _, outcome in measured], [score for score, _ in measured])


def e1(settings: Settings) -> Result:
    data = million(settings, settings.queries(10_000))
    goal = "exact, 1M x 128, 10,000 queries, k = 10, against tuned Faiss flat"
    return result(against_tuned(settings, data, K, goal, 6, 10))


def real_sets(
    settings: Settings, k: int, queries: int, bars: Sequence[tuple[float, float]]
) -> Result:
    def words(count: int, share: float) -> Dataset:
        return glove(settings.glove, count, share)

    loads: list[Callable[[int, float], Dataset]] = [words, fashion]
    scores, outcomes = [], []
    for load, (bar, stretch) in zip(loads, bars, strict=True):
        try:
            data = load(queries, settings.scale)
        except MissingDataError as error:
            goal = f"exact on real data, {queries:,} queries, k = {k}"
            scores.append(Score(goal, bar, stretch, None, remark=str(error)))
            continue
        goal = f"{data}, {data.count:,} queries, k = {k}, against tuned Faiss flat"
        score, outcome = against_tuned(settings, data, k, goal, bar, stretch)
        scores.append(score)
        outcomes.append(outcome)
    return Result(outcomes, scores)


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
    remark = "" if ratio else outcome.why_not(entrant.label, floor.label)
    return Score(goal, bar, stretch, ratio, at_most=True, remark=remark), outcome


FLOATS, CODES = 4 * DIM, DIM  # bytes a row


def e3(settings: Settings) -> Result:
    data = hundred_thousand(settings, 100)
    indexed = "100 queries x 100K x 128 on an index, times a read of the float32 rows"
    raw = "the same from the raw array, times a read of the float32 rows"
    return result(
        over_a_read(settings, data, who.ours(), FLOATS, indexed, 4, 2),
        over_a_read(settings, data, who.OURS_RAW, FLOATS, raw, 10, 5),
    )


def e4(settings: Settings) -> Result:
    large, small = million(settings, 1), hundred_thousand(settings, 1)
    indexed = "one query on an index of 1M x 128, times a read of its codes"
    raw = "one query on a raw array of 100K x 128, times a read of the rows"
    return result(
        over_a_read(settings, large, who.ours(), CODES, indexed, 2.3, 1.3),
        over_a_read(settings, small, who.OURS_RAW, FLOATS, raw, 2.5, 1.5),
    )


def e5(settings: Settings) -> Result:
    entrants = [who.ours(), who.FAISS_TUNED, who.FAISS]
    many = from_script("Gaussian", settings.rows(50_000), DIM, settings.rows(10_000))
    itself = self_join(settings, many, 1e-4, entrants)
    two = pairs(settings, many, 1e-4, entrants)
    name = "tuned Faiss range_search"
    self_goal = f"exact self-join, 50K, against {name}"
    goal = f"exact join, 10K x 50K, against {name}"
    return result(
        (against(itself, TUNED, self_goal, 12, 20), itself),
        (against(two, TUNED, goal, 6, 10), two),
    )


def e6(settings: Settings) -> Result:
    """Spark mode, five tables of width 2, beside exact mode on the same index."""
    exact, candidates = who.ours(), who.ours_lsh()
    sets = [million(settings, settings.queries(10_000)), hundred_thousand(settings, 100)]
    outcomes = [neighbors(settings, data, K, [exact, candidates]) for data in sets]
    few = from_script("Gaussian", settings.rows(50_000), DIM, settings.rows(10_000))
    outcomes.append(pairs(settings, few, 1e-4, [exact, candidates]))
    scores = []
    for outcome in outcomes:
        goal = f"Spark mode, times exact mode: {outcome.title}"
        ratio = outcome.share(candidates.label, exact.label)
        scores.append(Score(goal, 1.3, 1.05, ratio, at_most=True))
    return Result(outcomes, scores)


def e7(settings: Settings) -> Result:
    data = million(settings, settings.queries(1000))
    entrants = [who.ours(), who.SCIKIT_LEARN]
    name = who.SCIKIT_LEARN.label
    nearest = neighbors(settings, data, K, entrants)
    within = pairs(settings, data, 1e-5, entrants, "within")
    goal, radius_goal = f"{name} kneighbors, 1M x 1,000", f"{name} radius_neighbors"
    return result(
        (against(nearest, name, goal, 30, 60), nearest),
        (against(within, name, f"{radius_goal}, 1M x 1,000", 17, 40), within),
    )


# ---- approximate peers, the build on the clock -----------------------------------------

RECALL, ROUNDING = 0.98, 0.002  # a graph built anew has a slightly different recall


def recall_of(outcome: Outcome, label: str) -> float:
    line = outcome.line(label)
    return 0.0 if line is None else line.verdict.recall or 0.0


def fastest_at_recall(
    settings: Settings, data: Dataset, candidates: Sequence[Entrant]
) -> Entrant:
    """The setting that is fastest among those with the recall, once each; or the best."""
    once = replace(settings, patience=0)
    named = [who.spelled_out(candidate) for candidate in candidates]
    outcome = neighbors(once, data, K, [who.ours(), *named])

    def order(entrant: Entrant) -> tuple[float, float]:
        line, recall = outcome.line(entrant.label), recall_of(outcome, entrant.label)
        seconds = np.inf if line is None else line.timing.median
        return (0, seconds) if recall >= RECALL else (1, -recall)

    return min(named, key=order)


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
    ratio = outcome.share(best.label, OURS) if recall >= RECALL - ROUNDING else None
    remark = outcome.missing.get(best.label, f"{best.label}: recall {recall:.3f}")
    return Score(goal, bar, stretch, ratio, remark=remark), outcome


def e8(settings: Settings) -> Result:
    queries = settings.queries(10_000)
    large = from_script("clustered", settings.rows(1_000_000), DIM, queries)
    small = from_script("clustered", settings.rows(100_000), DIM, queries)
    inverted = [
        who.ivf(DIM, who.lists_for(large.n), nprobe=probes, k_factor_rf=factor)
        for factor in (8, 16, 32)
        for probes in (16, 32, 64, 128)
    ]
    graphs = [who.hnsw(efSearch=ef) for ef in (32, 64, 96, 128, 192, 256, 384)]
    name = "build and 10,000 queries"
    ivf_goal, graph_goal = f"{name}, 1M, against IVF-PQ at .98", f"{name}, 100K, HNSW"
    return result(
        with_build(settings, large, inverted, ivf_goal, 3.5, 6),
        with_build(settings, small, graphs, f"{graph_goal} at .98", 30, 60),
    )


def e9(settings: Settings) -> Result:
    data = million(settings, 1)
    goals = [(64, "float32", 3.3, 4.5), (64, "float64", 15, 25)]
    goals += [(5, "float32", 1.8, 4), (5, "float64", 7, 15)]
    measured = []
    for tables, dtype, bar, stretch in goals:
        entrants = [who.ours(), who.NUMPY]
        outcome = transform(settings, data, tables, who.WIDTH, entrants, dtype)
        goal = f"transform 1M x 128, T = {tables}, {dtype}, against NumPy"
        score = against(outcome, who.NUMPY.label, goal, bar, stretch)
        measured.append((score, outcome))
    return result(*measured)


# ---- shares of the processor's peak, and its tiers -------------------------------------


def e10(settings: Settings) -> Result:
    """The kernel of codes alone (kernels.c), and the search of E1, over the peak."""
    data = million(settings, settings.queries(10_000))
    goals = [("micro-kernel", 0.9, 0.95), ("whole search of E1", 0.75, 0.88)]
    shares: list[float | None] = [None, None]
    remark, lines = "", []
    outcome = neighbors(settings, data, K, [who.ours()])
    try:
        printed = compiled.kernels(tiers()[0])
        lines = ["", "```", *printed.splitlines(), "```", ""]
        name, peak, cached = parsed(printed)
        remark = f"peak of {name}: {peak:.2f}e9 pairs a second and core"
        pairs_a_second = data.n * data.count / outcome.lines[0].timing.median
        shares = [cached, pairs_a_second / settings.threads / peak / 1e9]
    except compiled.CompileError as error:
        remark = str(error)
    scores = [
        Score(f"{what}, share of peak", bar, stretch, share, percent=True, remark=remark)
        for (what, bar, stretch), share in zip(goals, shares, strict=True)
    ]
    return Result([outcome], scores, lines)


def parsed(printed: str) -> tuple[str, float, float]:
    """Name of the peak, 1e9 pairs a second, and the share of it in the cache."""
    peak = re.search(r"peak of (.+): ([\d.]+) Gp/s", printed)
    cached = re.search(r"([\d.]+) % +[\d.]+ %", printed)
    if peak is None or cached is None:
        raise compiled.CompileError("the peak of this processor is not known")
    return peak[1], float(peak[2]), float(cached[1]) / 100


def of_tiers(settings: Settings, goals: Mapping[str, tuple[float, float]]) -> Result:
    """Tiers forced by FAST_LSH_ANN_SIMD, against tuned Faiss at the size of E1."""
    here = tiers()
    forced = {tier: who.ours(tier=tier) for tier in goals if tier in here}
    outcome = None
    if forced:
        data = million(settings, settings.queries(10_000))
        outcome = neighbors(settings, data, K, [*forced.values(), who.FAISS_TUNED])
    scores = []
    for tier, (bar, stretch) in goals.items():
        goal = f"tier {tier} end to end, against tuned Faiss flat"
        ratio, remark = None, f"this build and processor have {', '.join(here)}"
        if outcome is not None and tier in forced:
            label = forced[tier].label
            ratio = outcome.ratio(TUNED, label)
            remark = "" if ratio else outcome.why_not(label, TUNED)
        scores.append(Score(goal, bar, stretch, ratio, remark=remark))
    return Result([outcome] if outcome else [], scores)


def e11(settings: Settings) -> Result:
    return of_tiers(settings, {"avx_vnni": (2.8, 3.3), "avx2": (1.4, 1.9)})


def e13(settings: Settings) -> Result:
    return of_tiers(settings, {"amx": (12, 25)})


# ---- translation -----------------------------------------------------------------------

OFFSETS = (0.0, 1e2, 1e3, 1e4)


def moved(path: Path, data: Stored, offset: float) -> Stored:
    """Rows rounded to a grid of 2^-8, plus an offset: exact in float32 up to 2^15."""
    np.save(path, np.round(data.load() * 256) / 256 + np.float32(offset))
    return Stored(path)


def e12(settings: Settings) -> Result:
    data = hundred_thousand(settings, 1000)
    same: dict[str, list[float]] = {OURS: [], TUNED: []}
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
    mine, theirs = same[OURS][-1], same[TUNED][-1]
    remark = f"tuned Faiss flat {theirs:.0%}"
    score = Score(goal, 1, 1, mine, percent=True, remark=remark)
    return Result(scores=[score], lines=["", *rows(header, cells), ""])


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
    "E10": e10,
    "E11": e11,
    "E12": e12,
    "E13": e13,
}
