"""Neighbors of tables among tables: the naive program's, whatever the limit, the kind."""

import itertools
from pathlib import Path
from typing import Any

import deltalake
import numpy as np
import oracle
import polars as pl
import pyarrow as pa
import pytest
from delta_tables import processor, streaming, vectors_of, write_table
from fast_lsh_ann import WriteReport, _core, exact_nearest_neighbors
from fast_lsh_ann._streamed import neighbor_request
from fast_lsh_ann._tables.embeddings import EmbeddingReader
from fast_lsh_ann._tables.opening import open_source
from fast_lsh_ann.errors import (
    ArrowError,
    BucketRangeError,
    ColumnNotFoundError,
    DeltaError,
    DimensionError,
    InvalidVectorError,
    MemoryLimitError,
    ParameterError,
    TableError,
    TableExistsError,
    TableSchemaError,
)
from table_kinds import TABLES, content_of, make_table

DIM, K = 4, 5
BASE, QUERIES = vectors_of(3000, seed=1), vectors_of(400, seed=2)
NAMES = [f"base row number {number:05}" for number in range(len(BASE))]
ASKING = [1_000_000 + number for number in range(len(QUERIES))]
OWN = ["query_id", "neighbor_id", "rank", "distance"]
# So little that 400 queries take several passes, and rows come in small batches.
LITTLE = 300_000


def naive(
    base: Any, queries: Any, k: int = K, least: int = 0, tables: int = 3
) -> oracle.Neighbors:
    """Neighbors of the processors of these tests; `least` collisions, 0 for all rows."""
    vectors = oracle.unit_vectors(tables, queries.shape[1], 7)
    buckets = oracle.buckets(queries, vectors, 1.0), oracle.buckets(base, vectors, 1.0)
    return oracle.nearest_neighbors(
        base, queries, k, oracle.collisions(*buckets) >= least
    )


def rows_of(found: oracle.Neighbors, query_ids: Any, base_ids: Any) -> list[Any]:
    """The rows of the output: query, neighbor, rank, distance."""
    return [
        (query_ids[query], base_ids[row], rank, distance)
        for query, near in enumerate(oracle.as_lists(found))
        for rank, (row, distance) in enumerate(near, 1)
    ]


def collected(frames: Any) -> list[Any]:
    return [row for frame in frames for row in frame.select(OWN).rows()]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Queries with integers for ids, a base with strings, both with a country."""
    folder = tmp_path_factory.mktemp("tables")
    return (
        write_table(folder / "q", QUERIES, ids=ASKING, country=[*"abcd"] * 100),
        write_table(folder / "b", BASE, ids=NAMES, country=[*"xyz"] * 1000),
    )


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the blocks of queries, as the core is given them."""
    sizes: list[int] = []
    begin = _core.knn_new

    def knn_new(model: Any, queries: Any, *rest: Any) -> Any:
        sizes.append(len(queries))
        return begin(model, queries, *rest)

    monkeypatch.setattr(_core, "knn_new", knn_new)
    return sizes


# ---- answers ---------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [LITTLE, 2_000_000, "64MiB", None])
@pytest.mark.parametrize("least", [0, 1, 2])
def test_answers_are_the_naive_programs_under_any_limit(
    tables: tuple[str, str], limit: Any, least: int, passes: list[int]
) -> None:
    lsh = streaming(memory_limit=limit)
    how: dict[str, Any] = {"exact": True} if least == 0 else {"min_collisions": least}
    with lsh.nearest_neighbors_streaming(*tables, K, **how) as frames:
        found = collected(frames)
    assert found == rows_of(naive(BASE, QUERIES, least=least), ASKING, NAMES)
    assert sum(passes) == len(QUERIES)
    assert len(passes) > 2 if limit == LITTLE else len(passes) == 1 or limit == 2_000_000


@pytest.mark.parametrize("ids", ["int", "str"])
@pytest.mark.parametrize("kind", TABLES)
def test_every_kind_of_table_is_searched_and_asks(
    tmp_path: Path, kind: str, ids: str
) -> None:
    base_ids = NAMES if ids == "str" else [7 * number for number in range(len(BASE))]

    def base() -> Any:
        return make_table(kind, tmp_path, content_of(BASE, base_ids))

    def asking() -> Any:
        return make_table(kind, tmp_path, content_of(QUERIES, base_ids[: len(QUERIES)]))

    lsh = streaming(memory_limit="32MiB")
    queries = base_ids[: len(QUERIES)]
    expected = rows_of(naive(BASE, QUERIES, least=1), queries, base_ids)
    assert collected(lsh.nearest_neighbors_streaming(asking(), base(), K)) == expected
    labels = ["label"]
    frame = pl.concat(
        lsh.nearest_neighbors_streaming(asking(), base(), K, columns=labels)
    )
    assert frame.columns == [*OWN, "query_label", "neighbor_label"]
    label_of = dict(zip(base_ids, content_of(BASE).labels, strict=True))
    for side in ("query", "neighbor"):
        expected_labels = [label_of[name] for name in frame[f"{side}_id"]]
        assert frame[f"{side}_label"].to_list() == expected_labels


def test_a_table_of_numbers_has_numbers_for_ids(tmp_path: Path) -> None:
    np.save(tmp_path / "b.npy", BASE)
    np.save(tmp_path / "q.npy", QUERIES)
    lsh = streaming(memory_limit=LITTLE)
    frames = lsh.nearest_neighbors_streaming(
        tmp_path / "q.npy", tmp_path / "b.npy", K, exact=True
    )
    numbers = range(len(BASE))
    assert collected(frames) == rows_of(naive(BASE, QUERIES), numbers, numbers)


def test_a_frame_of_neighbors_is_given_whole(tables: tuple[str, str]) -> None:
    frame = processor().nearest_neighbors_delta(*tables, K, exact=True)
    assert frame.rows() == rows_of(naive(BASE, QUERIES), ASKING, NAMES)
    assert frame.dtypes == [pl.Int64, pl.String, pl.Int32, pl.Float64]
    found = exact_nearest_neighbors(BASE, QUERIES, K)
    assert frame["distance"].to_numpy().tobytes() == found.distances.tobytes()


@pytest.mark.parametrize("k", [1, 2999, 3000, 10_000, 10**12])
def test_k_may_pass_the_rows(tables: tuple[str, str], k: int) -> None:
    few: dict[str, Any] = {"where_queries": f"id < {ASKING[9]}", "exact": True}
    frame = processor().nearest_neighbors_delta(*tables, k, **few)
    expected = rows_of(naive(BASE, QUERIES[:9], min(k, 3000)), ASKING, NAMES)
    assert frame.rows() == expected


def test_long_rows_of_doubles_are_searched_in_small_batches(tmp_path: Path) -> None:
    rows = vectors_of(700, dim=1536, seed=5).astype(np.float64)
    table = write_table(tmp_path / "t", rows, element=pl.Float64)
    lsh = streaming(memory_limit="32MiB")
    found = collected(lsh.nearest_neighbors_streaming(table, table, 3, exact=True))
    numbers = range(len(rows))
    assert found == rows_of(naive(rows, rows, 3), numbers, numbers)


# ---- what is asked and searched --------------------------------------------------------


@pytest.mark.parametrize("limit", [LITTLE, None])
def test_columns_come_from_every_table_that_has_them(
    tmp_path: Path, tables: tuple[str, str], limit: Any
) -> None:
    base = write_table(
        tmp_path / "b", BASE, ids=NAMES, price=[n / 4 for n in range(3000)]
    )
    lsh = streaming(memory_limit=limit)
    frame = pl.concat(
        lsh.nearest_neighbors_streaming(
            tables[0], base, K, exact=True, columns=["country", "price"]
        )
    )
    assert frame.columns == [*OWN, "query_country", "neighbor_price"]
    assert frame.select(OWN).rows() == rows_of(naive(BASE, QUERIES), ASKING, NAMES)
    asking = frame["query_id"] - ASKING[0]
    assert frame["query_country"].to_list() == ["abcd"[number % 4] for number in asking]
    rows = frame["neighbor_id"].str.slice(-5).cast(pl.Int64)
    assert frame["neighbor_price"].to_list() == (rows / 4).to_list()


def test_names_that_do_not_fit_are_looked_up_for_fewer_queries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts are longer than their type told, so the base is read more often for them."""
    texts = [f"{number:05}" + 20_000 * "." for number in range(300)]
    base = write_table(tmp_path / "b", BASE[:300], text=texts)
    asking = write_table(tmp_path / "q", QUERIES[:64])
    readings = []
    batches = EmbeddingReader.no_ids

    def counted(self: EmbeddingReader) -> Any:
        readings.append(self)
        return batches(self)

    monkeypatch.setattr(EmbeddingReader, "no_ids", counted)
    lsh = streaming(memory_limit=3_000_000)
    frame = pl.concat(
        lsh.nearest_neighbors_streaming(asking, base, 4, exact=True, columns=["text"])
    )
    found = naive(BASE[:300], QUERIES[:64], 4)
    assert frame["neighbor_id"].to_list() == found.indices.ravel().tolist()
    expected = [texts[row] for row in found.indices.ravel()]
    assert frame["neighbor_text"].to_list() == expected
    assert len(readings) > 5
    tight = streaming(memory_limit=700_000)
    with pytest.raises(MemoryLimitError, match="neighbors of one query take more"):
        list(
            tight.nearest_neighbors_streaming(
                asking, base, 200, exact=True, columns=["text"], where_queries="id = 0"
            )
        )


def test_a_text_that_was_found_does_not_keep_its_batch(tmp_path: Path) -> None:
    texts = [f"{number:05}" + 20_000 * "." for number in range(300)]
    base = write_table(tmp_path / "b", BASE[:300], text=texts)
    frame = processor().nearest_neighbors_delta(
        base, base, 1, exact=True, columns=["text"], where_queries="id = 7"
    )
    assert frame["neighbor_text"].to_list() == [texts[7]]
    table = frame.to_arrow(compat_level=pl.CompatLevel.newest())
    kept = table.column("neighbor_text").combine_chunks().get_total_buffer_size()
    assert kept < 200_000


def test_conditions_choose_rows_and_numbers_count_those(tables: tuple[str, str]) -> None:
    where: dict[str, Any] = {
        "where_queries": "country <> 'b'",
        "where_base": "country = 'z'",
    }
    lsh = streaming(memory_limit=LITTLE)
    asking = [n for n in range(len(QUERIES)) if n % 4 != 1]
    chosen = BASE[2::3]
    for id_column, ids in (("id", NAMES[2::3]), (None, range(len(chosen)))):
        frames = lsh.nearest_neighbors_streaming(
            *tables, K, exact=True, id_column=id_column, **where
        )
        query_ids = [ASKING[n] for n in asking] if id_column else range(len(asking))
        expected = rows_of(naive(chosen, QUERIES[asking]), query_ids, ids)
        assert collected(frames) == expected


def test_each_side_has_columns_of_its_own(
    tmp_path: Path, tables: tuple[str, str]
) -> None:
    frame = pl.read_delta(tables[0]).rename({"id": "key", "embedding": "vector"})
    frame.write_delta(tmp_path / "q")
    lsh = streaming()
    names: dict[str, Any] = {
        "queries_embedding_column": "vector",
        "queries_id_column": "key",
    }
    frames = lsh.nearest_neighbors_streaming(
        tmp_path / "q", tables[1], K, exact=True, **names
    )
    assert collected(frames) == rows_of(naive(BASE, QUERIES), ASKING, NAMES)


def test_a_table_searched_for_its_own_rows_is_read_at_one_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = write_table(tmp_path / "t", BASE[:50])
    count = itertools.count()

    def growing(*args: Any, **kw: Any) -> Any:
        source = open_source(*args, **kw)
        if next(count) == 0:
            write_table(tmp_path / "t", BASE[50:60], ids=range(50, 60))
        return source

    monkeypatch.setattr(neighbor_request, "open_source", growing)
    found = processor().nearest_neighbors_delta(table, table, 60, exact=True)
    assert (found.height, next(count)) == (50 * 50, 2)
    versions: dict[str, Any] = {"version_queries": 0, "version_base": 1}
    found = processor().nearest_neighbors_delta(table, table, 60, exact=True, **versions)
    assert found.height == 50 * 60


@pytest.mark.parametrize("limit", [LITTLE, None])
@pytest.mark.parametrize("id_column", ["id", None])
def test_invalid_rows_are_left_out_of_both_sides(
    tmp_path: Path, limit: Any, id_column: str | None
) -> None:
    bad: Any = [
        None,
        [1.0],
        [np.nan] * DIM,
        [1.0, np.inf, 0.0, 0.0],
        [1.0, None, 1.0, 1.0],
    ]
    base: list[Any] = BASE.tolist()
    asking: list[Any] = QUERIES.tolist()
    places = [1, 2, 3, 777, 778, 1500, 2048, 2998]
    for number, place in enumerate(places):
        base[place] = bad[number % len(bad)]
    asking[5], asking[399] = bad[2], bad[0]
    table, queries = (
        write_table(tmp_path / "b", base),
        write_table(tmp_path / "q", asking),
    )
    lsh = streaming(memory_limit=limit)
    with pytest.raises(InvalidVectorError, match=r"/q'.* row|/b'.* row"):
        list(lsh.nearest_neighbors_streaming(queries, table, K, exact=True))
    kept = np.delete(np.arange(len(BASE)), places)
    asked = np.delete(np.arange(len(QUERIES)), [5, 399])
    frames = lsh.nearest_neighbors_streaming(
        queries, table, K, id_column=id_column, on_invalid="skip"
    )
    expected = rows_of(naive(BASE[kept], QUERIES[asked], least=1), asked, kept)
    assert collected(frames) == expected
    out = tmp_path / "out"
    lsh.nearest_neighbors_to_delta(queries, table, out, K, on_invalid="skip")
    assert sorted(pl.read_delta(out).rows()) == sorted(expected)
    told = deltalake.DeltaTable(out).history(1)[0]
    assert told["fast_lsh_ann.skipped_rows_queries"] == "2"
    assert told["fast_lsh_ann.skipped_rows_base"] == str(len(places))


def test_a_side_without_rows_gives_no_neighbors(
    tmp_path: Path, tables: tuple[str, str]
) -> None:
    lsh = streaming()
    conditions: list[dict[str, Any]]
    conditions = [{"where_queries": "id < 0"}, {"where_base": "id = 'none'"}]
    for where in conditions:
        (frame,) = lsh.nearest_neighbors_streaming(
            *tables, K, columns=["country"], **where
        )
        assert frame.shape == (0, 6)
        assert frame.dtypes[:4] == [pl.Int64, pl.String, pl.Int32, pl.Float64]
        out = tmp_path / next(iter(where))
        assert lsh.nearest_neighbors_to_delta(*tables, out, K, **where).rows == 0
        assert pl.read_delta(out).columns == OWN
    (frame,) = lsh.nearest_neighbors_streaming(
        *tables, K, where_queries="id < 0", where_base="id = 'none'"
    )
    assert frame.height == 0


# ---- tables that can be read once ------------------------------------------------------


def once(table: Any) -> pa.RecordBatchReader:
    return pa.table(pl.read_delta(table)).to_reader(max_chunksize=500)


def test_names_of_a_stream_are_kept_as_it_passes(tables: tuple[str, str]) -> None:
    lsh = streaming(memory_limit="16MiB")
    frames = lsh.nearest_neighbors_streaming(
        tables[0], once(tables[1]), K, exact=True, columns=["country"]
    )
    frame = pl.concat(frames)
    assert frame.select(OWN).rows() == rows_of(naive(BASE, QUERIES), ASKING, NAMES)
    rows = frame["neighbor_id"].str.slice(-5).cast(pl.Int64).to_list()
    assert frame["neighbor_country"].to_list() == ["xyz"[row % 3] for row in rows]


def test_queries_of_a_stream_take_several_passes(
    tables: tuple[str, str], passes: list[int]
) -> None:
    lsh = streaming(memory_limit=LITTLE)
    frames = lsh.nearest_neighbors_streaming(once(tables[0]), tables[1], K, exact=True)
    assert collected(frames) == rows_of(naive(BASE, QUERIES), ASKING, NAMES)
    assert len(passes) > 1


def test_all_queries_must_fit_beside_a_stream(
    tables: tuple[str, str], passes: list[int]
) -> None:
    lsh = streaming(memory_limit=LITTLE)
    with pytest.raises(
        MemoryLimitError, match=r"read once only, so all queries must fit"
    ):
        list(lsh.nearest_neighbors_streaming(tables[0], once(tables[1]), K, exact=True))
    assert passes == []


def test_names_of_a_stream_must_fit(tmp_path: Path) -> None:
    texts = [f"{number:05}" + 5_000 * "." for number in range(3000)]
    base = write_table(tmp_path / "b", BASE, text=texts)
    asking = write_table(tmp_path / "q", QUERIES[:10])
    lsh = streaming(memory_limit="4MiB")
    with pytest.raises(
        MemoryLimitError, match=r"the first [\d,]+ rows take [\d,]+ bytes"
    ):
        list(
            lsh.nearest_neighbors_streaming(
                asking, once(base), 2, exact=True, columns=["text"]
            )
        )


# ---- outputs ---------------------------------------------------------------------------


def test_a_table_of_neighbors_is_one_commit_that_tells_of_itself(
    tmp_path: Path, tables: tuple[str, str]
) -> None:
    lsh, out = streaming(memory_limit=LITTLE), tmp_path / "out"
    report = lsh.nearest_neighbors_to_delta(
        *tables, out, K, job_id="j", where_base="country <> 'x'", columns=["country"]
    )
    chosen = [n for n in range(len(BASE)) if n % 3]
    expected = rows_of(
        naive(BASE[chosen], QUERIES, least=1), ASKING, [NAMES[n] for n in chosen]
    )
    assert report == WriteReport(0, len(expected), seconds=0)
    stored = pl.read_delta(out)
    assert sorted(stored.select(OWN).rows()) == sorted(expected)
    assert stored.columns == [*OWN, "query_country", "neighbor_country"]
    (told,) = deltalake.DeltaTable(out).history()
    told = {k.removeprefix("fast_lsh_ann."): v for k, v in told.items()}
    assert told["operation"] == "nearest_neighbors"
    assert told["parameters"].startswith("k=5, min_collisions=1, bucket_length=1.0")
    assert (told["queries"], told["base"]) == tables
    assert (told["queries_version"], told["base_version"]) == ("0", "0")
    assert told["where_base"] == "country <> 'x'"
    assert "where_queries" not in told
    again = lsh.nearest_neighbors_to_delta(*tables, out, K, job_id="j", mode="append")
    assert again == WriteReport(0, 0, seconds=0, skipped=True)


def test_an_output_in_the_way_is_refused_before_anything_is_searched(
    tmp_path: Path, tables: tuple[str, str], passes: list[int]
) -> None:
    lsh, out = streaming(), write_table(tmp_path / "out", QUERIES)
    with pytest.raises(TableExistsError):
        lsh.nearest_neighbors_to_delta(*tables, out, K)
    with pytest.raises(TableSchemaError, match="query_id"):
        lsh.nearest_neighbors_to_delta(*tables, out, K, mode="append")
    for table in tables:
        with pytest.raises(ParameterError, match="is the input table"):
            lsh.nearest_neighbors_to_delta(*tables, table, K, mode="overwrite")
    assert passes == []
    assert lsh.nearest_neighbors_to_delta(*tables, out, K, mode="overwrite").version == 1
    report = lsh.nearest_neighbors_to_delta(*tables, out, K, mode="append")
    assert (report.version, pl.read_delta(out).height) == (2, 2 * report.rows)


def test_frames_are_an_arrow_stream_for_others(tables: tuple[str, str]) -> None:
    lsh = streaming(memory_limit=LITTLE)
    expected = rows_of(naive(BASE, QUERIES), ASKING, NAMES)

    def frames() -> Any:
        return lsh.nearest_neighbors_streaming(*tables, K, exact=True)

    assert pl.DataFrame(frames()).rows() == expected
    assert pl.DataFrame(pa.RecordBatchReader.from_stream(frames()).read_all()).rows() == (
        expected
    )
    found = frames()
    found.__arrow_c_stream__()
    with pytest.raises(ArrowError, match="call the method again"):
        next(found)


# ---- mistakes --------------------------------------------------------------------------


def test_mistakes_are_named_with_their_table(
    tmp_path: Path, tables: tuple[str, str], passes: list[int]
) -> None:
    lsh = streaming()
    wide = write_table(tmp_path / "wide", vectors_of(10, dim=7))
    with pytest.raises(DimensionError, match=r"/q' has 4, .*/wide' has 7"):
        list(lsh.nearest_neighbors_streaming(tables[0], wide, K))
    with pytest.raises(DimensionError, match=r"dim=3 was asked for"):
        list(streaming(dim=3).nearest_neighbors_streaming(*tables, K))
    assert passes == []  # found before anything is searched
    with pytest.raises(ColumnNotFoundError, match=r"'nope': .*/q' has \['id'.*/b' has"):
        lsh.nearest_neighbors_streaming(*tables, K, columns=["country", "nope"])
    for columns in (["id"], ["country", "Country"], ["country", "country"]):
        with pytest.raises((ParameterError, ColumnNotFoundError)):
            lsh.nearest_neighbors_streaming(*tables, K, columns=columns)
    with pytest.raises(ParameterError, match="names the embedding column"):
        lsh.nearest_neighbors_streaming(*tables, K, columns=["embedding"])
    ids: list[Any] = [*NAMES[:70], None, *NAMES[71:100]]
    holes = write_table(tmp_path / "holes", BASE[:100], ids=ids)
    with pytest.raises(DeltaError, match="row 70 of id column 'id' is null"):
        list(lsh.nearest_neighbors_streaming(tables[0], holes, K, exact=True))
    far = BASE[:100].copy()
    far[70] = 3e38
    table = write_table(tmp_path / "far", far)
    for pair in ((tables[0], table), (table, tables[1])):
        with pytest.raises(BucketRangeError, match=r"/far': row 70") as raised:
            list(lsh.nearest_neighbors_streaming(*pair, K))
        assert raised.value.row == 70


def test_a_table_that_changes_while_it_is_read_is_found_out(tmp_path: Path) -> None:
    frame = pl.DataFrame(content_of(BASE).table())
    frame.write_parquet(tmp_path / "b.parquet")
    lsh = streaming()
    seen: list[int] = []

    def shrink(done: int, _: int) -> None:
        if not seen:
            frame.head(10).write_parquet(tmp_path / "b.parquet")
        seen.append(done)

    with pytest.raises(TableError, match="when it was read again"):
        list(
            lsh.nearest_neighbors_streaming(
                frame.head(5), tmp_path / "b.parquet", K, exact=True, progress=shrink
            )
        )


@pytest.mark.parametrize("where", [None, "country <> 'x'"])
@pytest.mark.parametrize("limit", [LITTLE, None])
def test_progress_only_grows_and_ends_at_its_total(
    tables: tuple[str, str], limit: Any, where: str | None
) -> None:
    told: list[tuple[int, int]] = []
    lsh = streaming(memory_limit=limit)
    frames = lsh.nearest_neighbors_streaming(
        *tables,
        K,
        exact=True,
        where_base=where,
        progress=lambda *now: told.append(now),
    )
    list(frames)
    assert len(told) > 2
    assert {total for _, total in told} == {len(QUERIES) * len(BASE)}
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1][0] == told[-1][1]
