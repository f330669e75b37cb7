"""Tables in an object store: read, hashed, added to, replaced, once a job, by many."""

from typing import Any

import deltalake
import numpy as np
import polars as pl
import pytest
from delta_tables import by_id, hashes_in_memory, vectors_of
from fast_lsh_ann import (
    StreamingLSHProcessor,
    WriteReport,
    read_delta_embeddings,
)
from fast_lsh_ann.delta_utils import read_hash_scheme
from fast_lsh_ann.errors import DeltaError, TableExistsError, TableNotFoundError
from fast_lsh_ann.tables import write_table
from object_store import ObjectStore
from processes import at_once, writer

ROWS = 3000


@pytest.fixture(scope="module")
def vectors(object_store: ObjectStore) -> str:
    return put_vectors(object_store, "vectors", range(ROWS))


def put_vectors(store: ObjectStore, name: str, ids: range) -> str:
    rows = vectors_of(len(ids)).tolist()
    columns: dict[str, Any] = {"id": ids, "embedding": rows}
    frame = pl.DataFrame(columns, schema_overrides={"embedding": pl.List(pl.Float32)})
    uri = store.uri(name)
    deltalake.write_deltalake(uri, frame, storage_options=store.options)
    return uri


@pytest.fixture
def place(object_store: ObjectStore, request: pytest.FixtureRequest) -> str:
    """A URI of no table yet, one for each test."""
    return object_store.uri(f"out/{request.node.name}")


def hashed(store: ObjectStore, uri: str) -> pl.DataFrame:
    return pl.read_delta(uri, storage_options=store.options).sort("id")


def processor(store: ObjectStore) -> StreamingLSHProcessor:
    return StreamingLSHProcessor(
        1.0, 3, 7, chunk_size=1000, storage_options=store.options
    )


def version(store: ObjectStore, uri: str) -> int:
    return deltalake.DeltaTable(uri, storage_options=store.options).version()


def test_tables_are_read_hashed_added_to_and_replaced(
    object_store: ObjectStore, vectors: str, place: str
) -> None:
    rows, ids = read_delta_embeddings(
        vectors, id_column="id", storage_options=object_store.options
    )
    assert ids is not None
    assert np.array_equal(rows[np.argsort(ids)], vectors_of(ROWS))
    lsh = processor(object_store)
    assert lsh.transform_to_delta(vectors, place, mode="error") == WriteReport(
        0, ROWS, 0.0
    )
    expected = hashes_in_memory(vectors_of(ROWS))
    assert np.array_equal(by_id(hashed(object_store, place)), expected)
    with pytest.raises(TableExistsError):
        lsh.transform_to_delta(vectors, place, mode="error")
    assert lsh.transform_to_delta(vectors, place, mode="append").version == 1
    twice = np.repeat(expected, 2, axis=0)
    assert np.array_equal(by_id(hashed(object_store, place)), twice)
    scheme = read_hash_scheme(place, storage_options=object_store.options)
    assert lsh.check_scheme(place) == scheme
    assert lsh.transform_to_delta(vectors, place).version == 2
    assert np.array_equal(by_id(hashed(object_store, place)), expected)


def test_a_job_is_done_once_in_a_store(
    object_store: ObjectStore, vectors: str, place: str
) -> None:
    lsh = processor(object_store)
    for skipped in (False, True):
        report = lsh.transform_to_delta(vectors, place, mode="append", job_id="a")
        assert report == WriteReport(1, 0 if skipped else ROWS, 0.0, skipped)
    assert hashed(object_store, place).height == ROWS
    frame = pl.DataFrame({"x": [1]})
    options: Any = {"storage_options": object_store.options, "job_id": "b"}
    for skipped in (False, True):
        assert write_table(frame, f"{place}-x", **options).skipped is skipped


def test_what_is_not_in_the_store_has_a_name(
    object_store: ObjectStore, vectors: str, place: str
) -> None:
    lsh = processor(object_store)
    with pytest.raises(TableNotFoundError, match="no Delta table at 's3://"):
        lsh.transform_to_delta(object_store.uri("nothing"), place)
    elsewhere = place.replace("s3://tables/", "s3://no-bucket/")
    with pytest.raises(DeltaError, match="no-bucket"):
        lsh.transform_to_delta(vectors, elsewhere)


def test_six_that_append_to_a_store_at_once_lose_and_double_nothing(
    object_store: ObjectStore, place: str
) -> None:
    tables = [
        put_vectors(object_store, f"part-{part}", range(part, 180, 6))
        for part in range(6)
    ]
    reports = at_once(tables, place, mode="append", times=2, options=object_store.options)
    versions = sorted(number for each in reports for number, _ in each)
    assert versions == list(range(1, 13))
    ids = hashed(object_store, place)["id"].value_counts().sort("id")
    assert ids["id"].to_list() == list(range(180))
    assert set(ids["count"]) == {2}


def test_a_writer_that_is_killed_leaves_a_store_as_it_was(
    object_store: ObjectStore, vectors: str, place: str
) -> None:
    create_small = pl.DataFrame({"x": [1]})
    write_table(create_small, place, storage_options=object_store.options)
    options: Any = {"mode": "overwrite", "job_id": "january"}
    with writer(
        vectors, place, steps=True, options=object_store.options, **options
    ) as killed:
        killed.expect("ready")
        killed.go_on()
        killed.expect("chunk")
        killed.go_on()
        killed.expect("chunk")
        killed.process.kill()
    assert version(object_store, place) == 0
    lsh = processor(object_store)
    for skipped in (False, True):
        report = lsh.transform_to_delta(vectors, place, **options)
        assert (report.version, report.skipped) == (1, skipped)
    expected = hashes_in_memory(vectors_of(ROWS))
    assert np.array_equal(by_id(hashed(object_store, place)), expected)
