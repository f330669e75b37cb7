"""How hashes were made: kept with the table, read back, and refused where it differs."""

from pathlib import Path
from typing import Any

import deltalake
import fast_lsh_ann
import numpy as np
import polars as pl
import pytest
from delta_tables import vectors_of, write_table
from fast_lsh_ann import (
    BucketedRandomProjectionLSH,
    DeltaLSHProcessor,
    StreamingLSHProcessor,
)
from fast_lsh_ann.delta_utils import HashScheme, read_hash_scheme
from fast_lsh_ann.errors import (
    DeltaError,
    ParameterError,
    SchemeMismatchError,
    TableNotFoundError,
)

# Parameters of which none is the default, and whose texts are not all exact.
OWN: dict[str, Any] = {
    "bucket_length": 0.1,
    "num_hash_tables": 3,
    "seed": -(2**63),
    "spark_profile": "vector4",
    "num_hashes_per_table": 2,
}


@pytest.fixture
def hashes(tmp_path: Path) -> str:
    table = write_table(tmp_path / "vectors", vectors_of(20, dim=5))
    DeltaLSHProcessor(**OWN).transform_and_save(table, tmp_path / "hashes")
    return str(tmp_path / "hashes")


def commit(path: str, metadata: dict[str, str] | None = None) -> None:
    """Append some rows beside us, as if they were hashes."""
    properties = deltalake.CommitProperties(custom_metadata=metadata)
    columns: dict[str, Any] = {f"hash_{t}_{k}": [1] for t in range(3) for k in range(2)}
    frame = pl.DataFrame({**columns, "id": [99]})
    deltalake.write_deltalake(path, frame, mode="append", commit_properties=properties)


def test_a_table_tells_how_it_was_hashed(tmp_path: Path, hashes: str) -> None:
    scheme = read_hash_scheme(hashes)
    assert scheme == HashScheme("spark", "vector4", -(2**63), 0.1, 3, 2, 5)
    assert scheme.library_version == fast_lsh_ann.__version__
    made = deltalake.DeltaTable(hashes).history(1)[0]
    assert made["fast_lsh_ann.version"] == fast_lsh_ann.__version__
    assert made["fast_lsh_ann.source"] == str(tmp_path / "vectors")
    StreamingLSHProcessor(**OWN, chunk_size=7).transform_to_delta(
        tmp_path / "vectors", tmp_path / "streamed", include_embeddings=True
    )
    assert read_hash_scheme(tmp_path / "streamed") == scheme


def test_a_model_of_the_scheme_hashes_as_the_table_was(hashes: str) -> None:
    scheme = read_hash_scheme(hashes)
    assert repr(scheme.lsh()) == repr(BucketedRandomProjectionLSH(**OWN))
    assert scheme.dim is not None
    expected = scheme.lsh().create_model(scheme.dim).transform(vectors_of(20, dim=5))
    stored = pl.read_delta(hashes).sort("id").drop("id").to_numpy()
    np.testing.assert_array_equal(stored.reshape(20, 3, 2), expected)


def test_hashes_of_no_rows_have_no_dimension(tmp_path: Path) -> None:
    table = write_table(tmp_path / "empty", [])
    lsh = DeltaLSHProcessor()
    lsh.transform_and_save(table, tmp_path / "hashes")
    assert read_hash_scheme(tmp_path / "hashes").dim is None
    lsh.check_scheme(tmp_path / "hashes")
    StreamingLSHProcessor(dim=4).check_scheme(tmp_path / "hashes")


def test_commits_that_bring_no_rows_change_nothing(hashes: str) -> None:
    expected = read_hash_scheme(hashes)
    deltalake.DeltaTable(hashes).delete("id = 3")
    deltalake.DeltaTable(hashes).optimize.z_order(["id"])
    deltalake.DeltaTable(hashes).vacuum(0, False, False)
    table = deltalake.DeltaTable(hashes)
    table.alter.set_table_properties({"delta.appendOnly": "false"})
    done = {commit["operation"] for commit in table.history()}
    assert {"DELETE", "OPTIMIZE", "VACUUM END", "SET TBLPROPERTIES", "WRITE"} <= done
    assert read_hash_scheme(hashes) == expected


def test_rows_that_came_from_elsewhere_are_refused(hashes: str) -> None:
    commit(hashes)
    with pytest.raises(DeltaError, match=r"commit 1 \(WRITE\).* does not say how"):
        read_hash_scheme(hashes)
    with pytest.raises(DeltaError, match="commit 1"):
        DeltaLSHProcessor(**OWN).check_scheme(hashes)
    assert read_hash_scheme(hashes, version=0).num_hash_tables == 3
    deltalake.DeltaTable(hashes).update(updates={"hash_0_0": "1"})
    with pytest.raises(DeltaError, match=r"commit 2 \(UPDATE\)"):
        read_hash_scheme(hashes)


def test_a_table_that_is_not_of_hashes_is_refused(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t", vectors_of(3))
    with pytest.raises(DeltaError, match="does not say how its rows were hashed"):
        read_hash_scheme(table)
    with pytest.raises(TableNotFoundError):
        read_hash_scheme(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "broken", [{"fast_lsh_ann.seed": "none"}, {"fast_lsh_ann.bucket_length": "wide"}, {}]
)
def test_metadata_that_cannot_be_read_is_a_delta_error(
    tmp_path: Path, broken: dict[str, str]
) -> None:
    path = str(tmp_path / "t")
    whole = (
        {} if not broken else HashScheme("spark", "java11", 1, 2.0, 3, 1, 4).metadata()
    )
    commit(path, {**whole, "fast_lsh_ann.scheme": "spark", **broken})
    with pytest.raises(DeltaError, match=r"commit 0 .* cannot be read"):
        read_hash_scheme(path)


# ---- mixing ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameter", "value", "says"),
    [
        ("bucket_length", 0.2, "bucket_length 0.2 against 0.1"),
        ("num_hash_tables", 4, "num_hash_tables 4 against 3"),
        ("seed", 42, f"seed 42 against {-(2**63)}"),
        ("spark_profile", "java11", "spark_profile 'java11' against 'vector4'"),
        ("num_hashes_per_table", 1, "num_hashes_per_table 1 against 2"),
    ],
)
def test_hashes_of_other_parameters_are_refused(
    hashes: str, parameter: str, value: Any, says: str
) -> None:
    for kind in (DeltaLSHProcessor, StreamingLSHProcessor):
        assert kind(**OWN).check_scheme(hashes) == read_hash_scheme(hashes)
        other = kind(**{**OWN, parameter: value})
        with pytest.raises(SchemeMismatchError, match=says) as raised:
            other.check_scheme(hashes)
        assert isinstance(raised.value, ValueError)
        assert repr(hashes) in str(raised.value)


def test_hashes_of_another_dimension_are_refused(hashes: str) -> None:
    StreamingLSHProcessor(**OWN, dim=5).check_scheme(hashes)
    with pytest.raises(SchemeMismatchError, match="dim 4 against 5"):
        StreamingLSHProcessor(**OWN, dim=4).check_scheme(hashes)


def test_hashes_of_two_tables_are_compared(tmp_path: Path, hashes: str) -> None:
    scheme = read_hash_scheme(hashes)
    scheme.require_same(read_hash_scheme(hashes))
    same = HashScheme("spark", "vector4", -(2**63), 0.1, 3, 2, 5, library_version="9.9")
    scheme.require_same(same)
    DeltaLSHProcessor(seed=1).transform_and_save(tmp_path / "vectors", tmp_path / "other")
    with pytest.raises(SchemeMismatchError, match="seed"):
        scheme.require_same(read_hash_scheme(tmp_path / "other"))
    gaussian = HashScheme("gaussian", "vector4", -(2**63), 0.1, 3, 2, 5)
    with pytest.raises(SchemeMismatchError, match="projection"):
        scheme.require_same(gaussian)


def test_hashes_of_another_scheme_are_replaced(tmp_path: Path, hashes: str) -> None:
    lsh = DeltaLSHProcessor(seed=1)
    lsh.transform_and_save(tmp_path / "vectors", hashes)
    assert lsh.check_scheme(hashes).seed == 1


# ---- appending -------------------------------------------------------------------------


def test_hashes_of_the_same_scheme_are_appended(tmp_path: Path, hashes: str) -> None:
    expected = read_hash_scheme(hashes)
    more = write_table(tmp_path / "more", vectors_of(7, dim=5, seed=2))
    lsh = DeltaLSHProcessor(**OWN)
    lsh.transform_and_save(more, hashes, mode="append")
    StreamingLSHProcessor(**OWN).transform_to_delta(more, hashes, mode="append")
    assert read_hash_scheme(hashes) == expected == read_hash_scheme(hashes, version=1)
    assert pl.read_delta(hashes).height == 20 + 7 + 7
    lsh.transform_and_save(more, tmp_path / "new", mode="append")
    assert read_hash_scheme(tmp_path / "new") == expected
    with pytest.raises(DeltaError, match="tells of no commit of hashes"):
        read_hash_scheme(tmp_path / "new", version=0)


def test_rows_left_out_of_every_append_are_counted(tmp_path: Path) -> None:
    rows: Any = [[1.0, 2.0], None, [3.0, None]]
    lsh, out = DeltaLSHProcessor(), tmp_path / "out"
    for part in range(2):
        table = write_table(tmp_path / f"t{part}", rows[: 2 + part])
        lsh.transform_and_save(table, out, mode="append", on_invalid="skip")
    assert read_hash_scheme(out).skipped_rows == 1 + 2


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"seed": 42}, "seed 42 against"),
        ({"num_hash_tables": 4}, "num_hash_tables 4 against 3"),
    ],
)
def test_hashes_of_another_scheme_are_not_appended(
    tmp_path: Path, hashes: str, other: dict[str, Any], says: str
) -> None:
    bad = vectors_of(3, dim=5)
    bad[0] = np.nan  # whoever reads it gets another error
    table = write_table(tmp_path / "bad", bad)
    with pytest.raises(SchemeMismatchError, match=says):
        DeltaLSHProcessor(**{**OWN, **other}).transform_and_save(
            table, hashes, mode="append"
        )
    assert deltalake.DeltaTable(hashes).version() == 0


def test_hashes_of_another_dimension_are_not_appended(
    tmp_path: Path, hashes: str
) -> None:
    wide = write_table(tmp_path / "wide", vectors_of(3, dim=6))
    with pytest.raises(SchemeMismatchError, match="dim 6 against 5"):
        DeltaLSHProcessor(**OWN).transform_and_save(wide, hashes, mode="append")
    nothing = write_table(tmp_path / "nothing", [])
    DeltaLSHProcessor(**OWN).transform_and_save(nothing, hashes, mode="append")
    assert read_hash_scheme(hashes).dim == 5


def test_hashes_are_appended_to_a_table_without_rows(tmp_path: Path, hashes: str) -> None:
    empty = str(tmp_path / "empty")
    deltalake.DeltaTable.create(empty, deltalake.DeltaTable(hashes).schema())
    DeltaLSHProcessor(**OWN).transform_and_save(
        tmp_path / "vectors", empty, mode="append"
    )
    assert read_hash_scheme(empty) == read_hash_scheme(hashes)


def test_hashes_are_not_appended_to_rows_of_unknown_scheme(
    tmp_path: Path, hashes: str
) -> None:
    table = str(tmp_path / "vectors")
    commit(hashes)
    with pytest.raises(DeltaError, match="does not say how its rows were hashed"):
        DeltaLSHProcessor(**OWN).transform_and_save(table, hashes, mode="append")
    # Rows that came between are not forgotten.
    commit(hashes, read_hash_scheme(hashes, version=0).metadata())
    with pytest.raises(DeltaError, match=r"commit 1 \(WRITE\)"):
        read_hash_scheme(hashes)
    commit(hashes, HashScheme("spark", "java11", 1, 2.0, 3, 1, 5).metadata())
    DeltaLSHProcessor(**OWN).transform_and_save(table, hashes)
    assert read_hash_scheme(hashes).seed == OWN["seed"]


def test_rows_hashed_in_two_ways_are_no_hashes(hashes: str) -> None:
    commit(hashes, HashScheme("spark", "vector4", 1, 0.1, 3, 2, 5).metadata())
    with pytest.raises(SchemeMismatchError, match=r"commit 0 .* seed 1 against"):
        read_hash_scheme(hashes)


def test_indexes_of_different_models_are_refused() -> None:
    rows = vectors_of(5)
    index = BucketedRandomProjectionLSH(1.0, 2, 3).fit(rows).index(rows)
    other = BucketedRandomProjectionLSH(1.0, 2, 4).fit(rows).index(rows)
    with pytest.raises(SchemeMismatchError, match="seed=4") as raised:
        index.similarity_join(other, threshold=1.0)
    assert isinstance(raised.value, ParameterError)
