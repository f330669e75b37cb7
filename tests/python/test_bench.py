"""The benchmarks' own parts: who is called wrong, what is compared, where tables go."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import answers
import data
import entrants
import environments
import memory
import naive
import numpy as np
import oracle
import pytest
import replaced
import report
import tables
from answers import Finding, Neighborhoods, Pairs
from contests import Settings
from data import Dataset, Stored
from memory import Memory
from messages import Reply, Request
from naive import Hashing
from numpy.typing import NDArray
from sides import Side, Sides
from stage import Entrant
from surface import FIRST_ID, Hashes, OursSurface, Revived, digest, vectors_of
from timing import Timing
from worker import Loader, perform

ROOT = Path(__file__).parents[2]
DIM, K, TABLES, WIDTH = 8, 5, 3, 1.0


def gaussian(n: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((n, DIM), dtype=np.float32)


# ---- tables in documents ---------------------------------------------------------------

MARKED = "# Title\n\n<!-- speed: begin -->\nold\n<!-- speed: end -->\n\nThe end.\n"


def test_a_section_is_written_between_its_markers_and_nothing_else(
    tmp_path: Path,
) -> None:
    document = tmp_path / "README.md"
    document.write_text(MARKED)
    for _ in range(2):
        report.write_section("speed", ["", "new", "", "", "", "newer", ""], document)
        assert document.read_text() == MARKED.replace("\nold\n", "\n\nnew\n\nnewer\n\n")


@pytest.mark.parametrize(
    "text",
    [
        "nothing",
        MARKED.replace("<!-- speed: begin -->", ""),
        MARKED.replace("<!-- speed: end -->", ""),
        "<!-- speed: begin -->" + MARKED,
        MARKED + "<!-- speed: end -->",
        "<!-- speed: end --> <!-- speed: begin -->",
    ],
    ids=["none", "no begin", "no end", "two begins", "two ends", "the wrong order"],
)
def test_a_document_without_the_markers_is_left_alone(tmp_path: Path, text: str) -> None:
    document = tmp_path / "README.md"
    document.write_text(text)
    with pytest.raises(ValueError, match=r"README\.md must have <!-- speed: begin -->"):
        report.write_section("speed", ["new"], document)
    assert document.read_text() == text


def test_columns_of_a_table_are_aligned() -> None:
    lines = report.rows(["operation", "s"], [["join", "0.25"], ["a", "12345"]])
    assert lines[1] == "| --------- | ----- |"
    assert {len(line) for line in lines} == {len(lines[0])}


def section(document: Path, name: str) -> str:
    text = document.read_text()
    return text.split(f"<!-- {name}: begin -->")[1].split(f"<!-- {name}: end -->")[0]


def test_the_tables_of_the_readme_are_those_of_the_benchmarks() -> None:
    shown = section(ROOT / "README.md", "headline")
    assert shown == section(ROOT / "bench" / "README.md", "headline")
    assert shown.count("\n| ") >= 14
    assert "bench/run.py" in shown


@pytest.mark.parametrize("name", ["headline", "replaced"])
def test_tables_fit_90_columns(name: str) -> None:
    text = section(ROOT / "bench" / "README.md", name)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) >= 14
    assert [line for line in lines if len(line) > 90] == []


# ---- neighbors -------------------------------------------------------------------------

Near = list[tuple[int, float]]
MODEL = Hashing(oracle.unit_vectors(TABLES, DIM, 42), WIDTH)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("sets")
    stored: list[Stored] = []
    for name, n in (("rows", 400), ("queries", 300)):
        path = folder / f"{name}.npy"
        np.save(path, gaussian(n, len(stored)))
        stored.append(Stored(path))
    return Dataset("Gaussian", stored[0], stored[1])


def candidates(sets: Dataset) -> NDArray[np.int64]:
    """In how many tables a query and a row collide."""
    queries, rows = (
        oracle.buckets(side.mapped(), MODEL.vectors, WIDTH)
        for side in (sets.queries, sets.rows)
    )
    return oracle.collisions(queries, rows)


@pytest.fixture(scope="module")
def neighborhoods(sets: Dataset) -> Neighborhoods:
    return Neighborhoods(sets.asking(20), K, 2, MODEL)


def test_neighbors_are_judged_by_the_definition(
    sets: Dataset, neighborhoods: Neighborhoods
) -> None:
    rows, queries = sets.rows.mapped(), sets.queries.mapped()[:20]
    collide = candidates(sets)[:20] >= 1
    for found, among in (
        (neighborhoods.exact, np.ones_like(collide)),
        (neighborhoods.expected, collide),
    ):
        wanted = [*oracle.as_lists(oracle.nearest_neighbors(rows, queries, K, among))]
        assert found == wanted
    finding = neighborhoods.judge(neighborhoods.expected, ours=True)
    assert finding.right
    assert finding.text == "100 rows"
    assert 0.5 < (finding.recall or 0) < 1


def test_places_that_stayed_empty_are_no_neighbors() -> None:
    indices = np.array([[3, -1], [4, 5]])
    distances = np.array([[0.5, np.inf], [1, 2]])
    lists = answers.as_lists(indices, distances)
    assert lists == [[(3, 0.5)], [(4, 1.0), (5, 2.0)]]


def test_a_part_of_the_queries_is_judged_by_that_part(
    neighborhoods: Neighborhoods,
) -> None:
    some = neighborhoods.judge(neighborhoods.exact[:3], ours=False)
    assert (some.right, some.recall, some.text) == (True, 1.0, "15 rows")


NEIGHBOR_FAULTS: dict[str, tuple[Callable[[Near], Near], str]] = {
    "nothing": (lambda _: [], "finds nothing"),
    "distances": (lambda near: [(i, d * 1.01) for i, d in near], "distances"),
    "twice": (lambda near: [near[0], *near[:-1]], "rows twice"),
    "order": (lambda near: near[::-1], "out of order"),
    "one less": (lambda near: near[:-1], "other rows than the definition's"),
}


@pytest.mark.parametrize("name", NEIGHBOR_FAULTS)
def test_wrong_neighbors_are_found_out(neighborhoods: Neighborhoods, name: str) -> None:
    spoil, message = NEIGHBOR_FAULTS[name]
    answer = [spoil(list(near)) for near in neighborhoods.expected]
    assert any(
        message in fault for fault in neighborhoods.judge(answer, ours=True).faults
    )


def test_another_package_may_find_less(neighborhoods: Neighborhoods) -> None:
    answer = [near[:-1] for near in neighborhoods.expected]
    assert neighborhoods.judge(answer, ours=False).right


# ---- pairs -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pairs(sets: Dataset) -> Pairs:
    return Pairs(sets, 2e-3, 2, MODEL)


def found_pairs(pairs: Pairs, tables: int = 1) -> list[answers.Pair]:
    return [(i, j, pairs.true[i, j]) for i, j in sorted(pairs.expected(tables))]


def test_pairs_are_judged_by_the_definition(sets: Dataset, pairs: Pairs) -> None:
    rows, queries = sets.rows.mapped(), sets.queries.mapped()
    counts = candidates(sets)
    for least in (0, 1, 2):
        among = counts >= least
        wanted = oracle.similarity_join(queries, rows, pairs.threshold, among)
        expected = set(zip(wanted.left.tolist(), wanted.right.tolist(), strict=True))
        assert pairs.expected(least) == expected
    assert 100 < len(pairs.true) < 400
    finding = pairs.judge(found_pairs(pairs), pairs.expected(1))
    assert finding.right
    assert 0.5 < (finding.recall or 0) < 1


def test_a_part_of_the_rows_is_judged_by_that_part(pairs: Pairs) -> None:
    few = [pair for pair in found_pairs(pairs, 0) if max(pair[:2]) < 200]
    finding = pairs.judge(few, pairs.expected(0, 200), 200)
    assert (finding.right, finding.recall) == (True, 1.0)
    assert 0 < len(few) < len(pairs.true)


Spoil = Callable[[list[answers.Pair]], list[answers.Pair]]
PAIR_FAULTS: dict[str, tuple[Spoil, str]] = {
    "nothing": (lambda _: [], "finds nothing"),
    "twice": (lambda found: [*found, found[0]], "1 pairs twice"),
    "distances": (lambda found: [(i, j, d * 1.01) for i, j, d in found], "distances"),
    "a bit": (
        lambda found: [(i, j, float(np.nextafter(d, 0))) for i, j, d in found],
        "to the last bit",
    ),
    "too far": (lambda found: [*found, (0, 0, 9.0)], "further than the threshold"),
    "half": (lambda found: [p for p in found if p[0] < p[1]], "is the greater"),
    "one less": (lambda found: found[1:], "1 pairs too few and 0 too many"),
}


@pytest.mark.parametrize("name", PAIR_FAULTS)
def test_wrong_pairs_are_found_out(pairs: Pairs, name: str) -> None:
    spoil, message = PAIR_FAULTS[name]
    finding = pairs.judge(spoil(found_pairs(pairs)), pairs.expected(1))
    assert any(message in fault for fault in finding.faults)


def test_a_sketch_may_admit_more_pairs_but_lose_none(pairs: Pairs) -> None:
    wanted = pairs.expected(2)
    assert pairs.judge(found_pairs(pairs, 1), wanted, more=True).right
    assert not pairs.judge(found_pairs(pairs, 1), wanted).right
    assert not pairs.judge(found_pairs(pairs, 3), wanted, more=True).right


def test_a_digest_knows_which_hashes_are_whose() -> None:
    hashes = np.arange(30).reshape(10, 3)
    ids = np.arange(10) + FIRST_ID
    order = np.random.default_rng(0).permutation(10)
    assert digest(hashes[order], ids[order]) == digest(hashes, ids)
    assert digest(hashes[order], ids) != digest(hashes, ids)
    assert digest(hashes[:, ::-1], ids) != digest(hashes, ids)


def test_wrong_hashes_rows_and_copies_are_found_out() -> None:
    right = Hashes(10, 5, chunks=1)
    assert answers.judge_hashes(replace(right, chunks=2), right).right
    for wrong in (replace(right, digest=6), replace(right, rows=9)):
        assert not answers.judge_hashes(wrong, right).right
    rows, ids = gaussian(10, 0), np.arange(10) + FIRST_ID
    assert answers.judge_vectors(vectors_of(rows[::-1], ids[::-1]), rows, ids).right
    assert not answers.judge_vectors(vectors_of(rows[::-1], ids), rows, ids).right
    lost = Revived(84, [(0, 0.0)], [])
    assert answers.judge_revived(replace(lost, after=lost.before)).right
    assert answers.judge_revived(lost).faults == ["finds 0 of 1 neighbors afterwards"]


# ---- comparing -------------------------------------------------------------------------

OURS, THEIRS = entrants.OURS_NAME, entrants.REPLACED_NAME


def sides(
    name: str, ours: float, theirs: float, *, wrong: Sequence[str] = (), grown: float = 0
) -> Sides:
    def side(spent: float, faults: Sequence[str]) -> Side:
        weight = Memory(0, int(grown))
        return Side(Timing(spent, spent, 1), weight, Finding("1 row", faults))

    return Sides(name, {OURS: side(ours, ()), THEIRS: side(theirs, wrong)})


def test_there_is_no_ratio_of_a_wrong_answer() -> None:
    assert sides("join", 2, 6).ratio(THEIRS, OURS) == 3
    assert sides("join", 2, 6, wrong=["finds nothing"]).ratio(THEIRS, OURS) is None
    table = replaced.costs([sides("join", 2, 6, wrong=["finds nothing"])])
    assert "| wrong |" in table[2]


def test_a_part_that_was_asked_is_multiplied() -> None:
    whole = sides("join", 2, 6)
    part = replace(whole.sides[THEIRS], parts=10)
    assert replace(whole, sides={**whole.sides, THEIRS: part}).ratio(THEIRS, OURS) == 30


def operation(name: str, beside: str = "") -> replaced.Operation:
    return replaced.Operation(
        name, Request("join"), lambda *_: Finding(""), [], flat_beside=beside
    )


def test_what_does_not_hold_is_said() -> None:
    small, large = operation("small"), operation("large", beside="small")
    good = {
        "small": (small, sides("small", 1, 2, grown=50e6)),
        "large": (large, sides("large", 1, 2, grown=70e6)),
    }
    assert replaced.objections(good) == ["Ours is right, faster and flat in every line."]
    bad = {
        "small": (small, sides("small", 2, 2, wrong=["finds nothing"], grown=50e6)),
        "large": (large, sides("large", 3, 2, grown=90e6)),
    }
    assert replaced.objections(bad) == [
        f"- small: {THEIRS} is wrong: finds nothing",
        "- small: **ours is not faster**",
        "- large: **ours is not faster**",
        "- large: **not flat**: 90 MB, small takes 50",
    ]


def test_the_peak_of_memory_is_that_since_the_start() -> None:
    size = 64 << 20
    np.ones(2 * size, dtype=np.uint8)
    before = memory.start_anew(os.getpid())
    np.ones(size, dtype=np.uint8)
    grown = memory.since(os.getpid(), before).grown
    assert 0.9 * size < grown < 1.5 * size


def test_a_peer_that_lacks_its_language_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "BUILD", tmp_path)
    with pytest.raises(environments.MissingEnvironmentError, match="needs no-such-java"):
        environments.python_with("peer", ["nothing"], needs="no-such-java")
    assert [*tmp_path.iterdir()] == []


# ---- ours, on every line ---------------------------------------------------------------

SMALL = Settings(threads=2, repetitions=1, patience=0, scale=0, glove=None)
LINES: dict[str, Callable[[Settings], Iterator[replaced.Operation]]] = {
    "models": replaced.models,
    "searches": replaced.searches,
    "joins": replaced.joins,
    "sketched": replaced.sketched,
    "whole tables": replaced.whole_tables,
    "streams": replaced.streams,
    "table joins": replaced.table_joins,
}


class InThisProcess:
    """A contender's worker without a process."""

    def __init__(self, entrant: Entrant) -> None:
        self.peer, self.load = OursSurface(2, **entrant.how), Loader()

    def ask(self, request: Request) -> Reply:
        return perform(self.peer, request, self.load)


@pytest.mark.parametrize("name", LINES)
def test_ours_is_right_on_every_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for module in (data, naive, tables):
        monkeypatch.setattr(module, "BUILD", tmp_path)
    done = 0
    for line in LINES[name](SMALL):
        worker: Any = InThisProcess(replaced.ours())
        for request in line.before:
            worker.ask(request)
        answer = worker.ask(replace(line.request, wanted=True)).answer
        finding = line.judge(replaced.ours(), worker, answer)
        assert finding.right, (line.name, finding.faults)
        done += 1
    assert done >= 1
