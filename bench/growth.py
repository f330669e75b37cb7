"""How time grows with each size, beside one peer; and what recall costs others."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import entrants as who
from contests import Outcome, Settings, neighbors, self_join, transform
from data import Dataset, from_script
from pictures import Panel
from report import Part, Result, duration, rows, times
from stage import Entrant

DIM, K, ROWS, QUERIES = 128, 10, 100_000, 1000
HASTE = 6.0  # patience: there are many points
OURS, FAISS = who.OURS_NAME, who.FAISS_TUNED.label


def clustered(settings: Settings, n: int, dim: int, queries: int) -> Dataset:
    return from_script("clustered", settings.rows(n), dim, settings.queries(queries))


@dataclass(frozen=True)
class Point:
    """A measured size."""

    x: int
    outcome: Outcome

    def seconds(self, label: str) -> float | None:
        """Its median; none for an answer that is not ours."""
        line = self.outcome.line(label)
        same = line is not None and line.verdict.same
        return line.timing.median if line is not None and same else None


def summary(points: Sequence[Point], x: str, fixed: str, labels: Sequence[str]) -> Result:
    """A table of the points, and a panel of curves."""
    peers = labels[1:]
    header = [x, *labels, *(f"ratio, {peer}" for peer in peers)]
    cells = []
    curves: dict[str, list[tuple[float, float]]] = {label: [] for label in labels}
    for point in points:
        taken = {label: point.seconds(label) for label in labels}
        shown = ["-" if s is None else duration(s) for s in taken.values()]
        ratios = [times(point.outcome.ratio(peer)) for peer in peers]
        cells.append([f"{point.x:,}", *shown, *ratios])
        for label, seconds in taken.items():
            if seconds is not None:
                curves[label].append((point.x, seconds))
    drawn = {label: curve for label, curve in curves.items() if curve}
    lines = ["", f"Time against {x}; {fixed}", "", *rows(header, cells), ""]
    missing = {why for point in points for why in point.outcome.missing.items()}
    lines += [f"- not measured: {label}: {why}" for label, why in sorted(missing)]
    return Result(lines=lines, panels=[Panel(fixed, x, drawn)])


def searches(
    settings: Settings, x: str, fixed: str, points: Sequence[tuple[int, Dataset, int]]
) -> Result:
    """Ours and tuned Faiss on each (x, data, k)."""
    entrants = [who.ours(), who.FAISS_TUNED]
    hasty = replace(settings, patience=HASTE)
    found = [Point(size, neighbors(hasty, data, k, entrants)) for size, data, k in points]
    return summary(found, x, fixed, [OURS, FAISS])


def of_rows(settings: Settings) -> Result:
    most = clustered(settings, 3_000_000, DIM, QUERIES)
    sizes = (10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000)
    sets = [most.of(settings.rows(n)) for n in sizes]
    fixed = f"{most.count:,} queries, d = {DIM}, k = {K}"
    return searches(settings, "rows", fixed, [(data.n, data, K) for data in sets])


def of_one_query(settings: Settings) -> Result:
    most = clustered(settings, 3_000_000, DIM, 1)
    sizes = (10_000, 30_000, 100_000, 300_000, 1_000_000)
    sets = [most.of(settings.rows(n)) for n in sizes]
    points = [(data.n, data, K) for data in sets]
    return searches(settings, "rows", f"one query, d = {DIM}, k = {K}", points)


def of_self_join(settings: Settings) -> Result:
    most = clustered(settings, 40_000, DIM, 1)
    entrants = [who.ours(), who.FAISS_TUNED]
    sets = [most.of(settings.rows(n)) for n in (5_000, 10_000, 20_000, 40_000)]
    hasty = replace(settings, patience=HASTE)
    points = [Point(data.n, self_join(hasty, data, 1e-4, entrants)) for data in sets]
    fixed = f"self-join, d = {DIM}, the closest 1e-4 of pairs"
    return summary(points, "rows", fixed, [OURS, FAISS])


def of_queries(settings: Settings) -> Result:
    most = clustered(settings, ROWS, DIM, 100_000)
    sizes = (1, 10, 100, 1000, 10_000, 100_000)
    sets = [most.asking(n) for n in sizes if n <= most.count]
    fixed = f"{most.n:,} rows, d = {DIM}, k = {K}"
    points = [(data.count, data, K) for data in sets]
    return searches(settings, "queries", fixed, points)


def of_dimensions(settings: Settings) -> Result:
    sizes = (16, 32, 64, 128, 256, 512, 768, 1536)
    sets = [clustered(settings, ROWS, dim, QUERIES) for dim in sizes]
    fixed = f"{sets[0].n:,} rows, {sets[0].count:,} queries, k = {K}"
    points = [(data.dim, data, K) for data in sets]
    return searches(settings, "dimensions", fixed, points)


def of_neighbors(settings: Settings) -> Result:
    data = clustered(settings, ROWS, DIM, QUERIES)
    fixed = f"{data.n:,} rows, {data.count:,} queries, d = {DIM}"
    points = [(k, data, k) for k in (1, 3, 10, 30, 100, 300, 1000)]
    return searches(settings, "k", fixed, points)


def of_threads(settings: Settings) -> Result:
    data = clustered(settings, ROWS, DIM, 10_000)
    doubled = (1 << i for i in range(settings.threads.bit_length()))
    entrants = [who.ours(), who.FAISS_TUNED]
    points = [
        Point(
            n, neighbors(replace(settings, threads=n, patience=HASTE), data, K, entrants)
        )
        for n in sorted({*doubled, settings.threads})
    ]
    fixed = f"{data.n:,} rows, {data.count:,} queries, d = {DIM}, k = {K}"
    return summary(points, "threads", fixed, [OURS, FAISS])


# ---- hash tables -----------------------------------------------------------------------

TABLES = (1, 2, 4, 8, 16, 32, 64)


def of_tables(settings: Settings) -> Result:
    """Transforming rows."""
    data = from_script("Gaussian", settings.rows(1_000_000), DIM, 1)
    entrants = [who.ours(), who.NUMPY]
    points = [
        Point(tables, transform(settings, data, tables, who.WIDTH, entrants))
        for tables in TABLES
    ]
    fixed = f"transform of {data.n:,} rows, d = {DIM}"
    return summary(points, "hash tables", fixed, [OURS, who.NUMPY.label])


def of_tables_searched(settings: Settings) -> Result:
    """Spark mode beside exact search, whose answers differ."""
    queries = settings.queries(QUERIES)
    data = from_script("Gaussian", settings.rows(ROWS), DIM, queries)
    cells = []
    curves: dict[str, list[tuple[float, float]]] = {}
    for tables in TABLES:
        outcome = neighbors(settings, data, K, [who.ours_lsh(tables), who.ours(tables)])
        for line in outcome.lines:
            curves.setdefault(line.label, []).append((tables, line.timing.median))
        shown = [duration(line.timing.median) for line in outcome.lines]
        notes = [line.verdict.note for line in outcome.lines]
        cells.append([f"{tables}", *shown, *notes[:1]])
    fixed = f"Spark mode, {data.n:,} rows, {data.count:,} queries"
    header = ["hash tables", *curves, "Spark mode's answer"]
    lines = ["", f"Time against hash tables; {fixed}", "", *rows(header, cells), ""]
    panel = Panel(fixed, "hash tables", curves)
    return Result(lines=lines, panels=[panel])


# ---- recall ----------------------------------------------------------------------------

SHOWN = 0.8  # recall from here on


def approximate(data: Dataset) -> dict[str, list[Entrant]]:
    """Peers by name, each with settings from fast to thorough."""
    lists = who.lists_for(data.n)
    probes, depths = (16, 32, 64, 128, 256, 512), (16, 32, 64, 128, 256)
    inverted = [who.ivf(data.dim, lists, nprobe=n, k_factor_rf=32) for n in probes]
    families: Sequence[Callable[[int], Entrant]] = (
        lambda depth: who.hnsw(efSearch=depth),
        lambda depth: who.hnswlib(ef=depth),
        lambda depth: who.usearch(expansion=depth),
    )
    found = [inverted, *([make(n) for n in depths] for make in families)]
    return {entrants[0].label: entrants for entrants in found}


def of_recall(settings: Settings) -> Result:
    """Time for 10,000 queries at each recall, with the build in it and without."""
    data = clustered(settings, ROWS, DIM, 10_000)
    families = approximate(data)
    named = [who.spelled_out(entrant) for group in families.values() for entrant in group]
    once = replace(settings, patience=1)
    outcome = neighbors(once, data, K, [who.ours(), *named])
    with_build: dict[str, list[tuple[float, float]]] = {}
    alone: dict[str, list[tuple[float, float]]] = {}
    cells = []
    for line in outcome.lines:
        recall, built = line.verdict.recall or 0.0, line.built or 0.0
        name = next((n for n in families if line.label.startswith(f"{n}, ")), OURS)
        total = built + line.timing.median
        shown = [duration(t) for t in (built, line.timing.median, total)]
        cells.append([line.label, f"{recall:.4f}", *shown])
        if recall >= SHOWN:
            with_build.setdefault(name, []).append((recall, total))
            alone.setdefault(name, []).append((recall, line.timing.median))
    header = ["contender", "recall", "build", "queries", "both"]
    lines = ["", f"{outcome.title}", "", *rows(header, cells), ""]
    lines += [f"- not measured: {name}: {why}" for name, why in outcome.missing.items()]
    title = f"{data.count:,} queries, {data.n:,} rows, d = {DIM}"
    panels = [
        Panel(f"{title}\nbuild on the clock", "recall", with_build, linear_x=True),
        Panel(f"{title}\nindex ready", "recall", alone, linear_x=True),
    ]
    return Result(lines=lines, panels=panels)


PARTS: Mapping[str, Part] = {
    "rows": of_rows,
    "one-query": of_one_query,
    "queries": of_queries,
    "dimensions": of_dimensions,
    "k": of_neighbors,
    "threads": of_threads,
    "self-join": of_self_join,
    "tables": of_tables,
    "tables-searched": of_tables_searched,
}
RECALL: Mapping[str, Part] = {"recall": of_recall}
