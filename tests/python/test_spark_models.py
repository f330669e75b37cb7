"""Model folders: what Spark saved is loaded to the bit, what is written Spark loads."""

import copy
import json
import os
import pickle
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import golden
import numpy as np
import oracle
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse
from checks import assert_same_array, assert_same_neighbors, assert_same_pairs
from conftest import Run
from fast_lsh_ann import BucketedRandomProjectionLSHModel as Model
from fast_lsh_ann import errors
from numpy.typing import NDArray

VERSIONS = golden.VERSIONS
WRITTEN = golden.SPARK / "to_spark" / "written"  # by to_spark, as Spark was given it
ROWS = golden.rows("normal_d16")
ROW_TYPE = "org.apache.spark.sql.parquet.row.metadata"


def saved(version: str, name: str) -> Path:
    return golden.SPARK / version / "models" / name


def only(folder: Path) -> Path:
    """The one file of a folder that is not hidden."""
    (path,) = (p for p in folder.iterdir() if p.name[0] not in "._")
    return path


def metadata_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(only(folder / "metadata").read_text())
    return content


def change_parameters(folder: Path, **parameters: Any) -> None:
    content = metadata_of(folder)
    content["paramMap"].update(parameters)
    only(folder / "metadata").write_text(json.dumps(content))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a model that Spark saved: 5 hash tables, 16 dimensions, w = 2."""
    return Path(shutil.copytree(saved("spark-3.5.9", "brp_T5"), tmp_path / "model"))


# ---- what Spark saved ------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("name", "tables", "rows"),
    [
        ("brp_T1", 1, "normal_d16"),
        ("brp_T5", 5, "normal_d16"),
        ("brp_T5_d128", 5, "normal_d128"),
    ],
)
def test_a_loaded_model_has_sparks_vectors_and_buckets(
    version: str, name: str, tables: int, rows: str
) -> None:
    model = Model.from_spark(saved(version, name))
    dim = golden.rows(rows).shape[1]
    (digest,) = (
        case["sha256_le_f8"]
        for case in golden.load(f"spark/{version}/matrices.json")["matrices"]
        if (case["seed"], case["d"], case["numHashTables"]) == (42, dim, tables)
    )
    assert golden.sha256(model.random_vectors) == digest
    recorded = golden.load(f"spark/{version}/transform.json")["int_hashes"]
    expected = recorded[f"{rows}|L={tables}|w=2.0|seed=42"]
    assert model.transform(golden.rows(rows)).tolist() == expected
    assert (model.bucket_length, model.num_hash_tables, model.dim) == (2.0, tables, dim)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_loaded_model_finds_what_spark_found(version: str, tmp_path: Path) -> None:
    """Searches were recorded for the same vectors with w = 0.5."""
    narrow = shutil.copytree(saved(version, "brp_T5"), tmp_path / "model")
    change_parameters(narrow, bucketLength=0.5)
    model = Model.from_spark(narrow)
    wanted = {"L": 5, "w": 0.5, "seed": 42}
    checked = 0
    for case in golden.load(f"spark/{version}/ann.json")["cases"]:
        if case.items() >= {**wanted, "input": "normal_d16"}.items():
            key = golden.doubles(case["key"])
            found = model.approx_nearest_neighbors(ROWS, key, case["k"])
            hits = [(row, golden.from_bits(bits)) for row, bits in case["id_dist"]]
            assert found == hits
            checked += 1
    for case in golden.load(f"spark/{version}/join.json")["cases"]:
        if case.items() >= wanted.items() and "[:100] x" in case["case"]:
            threshold = golden.from_bits(case["threshold"])
            found_pairs = model.approx_similarity_join(
                ROWS[:100], ROWS[100:], threshold, strict=True
            )
            pairs = [(a, b, golden.from_bits(bits)) for a, b, bits in case["rows"]]
            assert found_pairs == pairs
            checked += 1
    assert checked == 20


def test_a_loaded_model_says_that_it_was_not_drawn_from_a_seed() -> None:
    model = Model.from_spark(saved("spark-3.5.9", "brp_T5"))
    assert model.seed is None
    assert model.spark_profile is None
    assert repr(model) == (
        "BucketedRandomProjectionLSHModel(bucket_length=2.0, num_hash_tables=5, "
        "vectors from Spark, dim=16)"
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_a_loaded_model_answers_like_the_drawn_one(version: str) -> None:
    loaded = Model.from_spark(saved(version, "brp_T5"))
    profile: Any = VERSIONS[version]
    drawn = Model(2.0, 5, 42, 16, spark_profile=profile)
    assert_same_array(loaded.random_vectors, drawn.random_vectors, "vectors")
    of_loaded, of_drawn = (
        m.index(ROWS).nearest_neighbors(ROWS, 7) for m in (loaded, drawn)
    )
    assert_same_array(of_loaded.indices, of_drawn.indices, "indices")
    assert_same_array(of_loaded.distances, of_drawn.distances, "distances")


def again(model: Model, protocol: int) -> Model:
    """A model out of the pickle of another."""
    copied: Model = pickle.loads(pickle.dumps(model, protocol))
    return copied


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_loaded_model_pickles_with_its_vectors(folder: Path, protocol: int) -> None:
    change_parameters(folder, bucketLength=0.7)
    model = Model.from_spark(folder)
    shutil.rmtree(folder)
    for copied in (again(model, protocol), again(again(model, 2), protocol)):
        assert repr(copied) == repr(model)
        assert copied.seed is None
        assert_same_array(copied.random_vectors, model.random_vectors, "vectors")
        assert_same_array(copied.transform(ROWS), model.transform(ROWS), "buckets")
    assert len(pickle.dumps(model, protocol)) > 8 * 5 * 16
    assert_same_array(
        copy.deepcopy(model).random_vectors, model.random_vectors, "vectors"
    )


# ---- forms of the matrix ---------------------------------------------------------------


def dense(vectors: NDArray[np.float64], by_rows: bool) -> dict[str, Any]:
    return {
        "type": 1,
        "numRows": vectors.shape[0],
        "numCols": vectors.shape[1],
        "colPtrs": None,
        "rowIndices": None,
        "values": vectors.ravel("C" if by_rows else "F").tolist(),
        "isTransposed": by_rows,
    }


def sparse(vectors: NDArray[np.float64], by_rows: bool) -> dict[str, Any]:
    form = scipy.sparse.csr_matrix if by_rows else scipy.sparse.csc_matrix
    matrix = form(vectors)
    return {
        "type": 0,
        "numRows": vectors.shape[0],
        "numCols": vectors.shape[1],
        "colPtrs": matrix.indptr.tolist(),
        "rowIndices": matrix.indices.tolist(),
        "values": matrix.data.tolist(),
        "isTransposed": by_rows,
    }


MATRIX = pa.struct(
    [
        ("type", pa.int8()),
        ("numRows", pa.int32()),
        ("numCols", pa.int32()),
        ("colPtrs", pa.list_(pa.int32())),
        ("rowIndices", pa.list_(pa.int32())),
        ("values", pa.list_(pa.float64())),
        ("isTransposed", pa.bool_()),
    ]
)


def put_data(
    folder: Path,
    *rows: Any,
    column: str = "randUnitVectors",
    kind: pa.DataType = MATRIX,
) -> None:
    """Let a model's data be these rows of one column."""
    table = pa.table({column: pa.array(rows, kind)})
    pq.write_table(table, only(folder / "data"))


def some_vectors(tables: int, dim: int, scale: float = 1.0) -> NDArray[np.float64]:
    rng = np.random.default_rng(tables * 1000 + dim)
    vectors = rng.standard_normal((tables, dim)) * scale
    vectors[rng.random((tables, dim)) < 0.4] = 0
    return vectors


@pytest.mark.parametrize("shape", [(5, 16), (5, 1), (5, 5), (1, 1), (1, 9)])
@pytest.mark.parametrize("form", [dense, sparse])
@pytest.mark.parametrize("by_rows", [True, False])
def test_every_form_of_a_matrix_is_read(
    folder: Path, shape: tuple[int, int], form: Callable[..., Any], by_rows: bool
) -> None:
    vectors = some_vectors(*shape)
    put_data(folder, form(vectors, by_rows))
    change_parameters(folder, numHashTables=shape[0])
    assert_same_array(Model.from_spark(folder).random_vectors, vectors, "vectors")


@pytest.mark.parametrize("scale", [1e-200, 1e-3, 40.0, 1e12])
def test_vectors_of_any_length_hash_and_search_by_the_definition(
    folder: Path, scale: float
) -> None:
    vectors = some_vectors(5, 16, scale)
    put_data(folder, dense(vectors, True))
    change_parameters(folder, bucketLength=2 * scale)
    model = Model.from_spark(folder)
    buckets = oracle.buckets(ROWS, vectors, 2 * scale)
    assert_same_array(model.transform(ROWS), buckets, "buckets")
    candidates = oracle.collisions(buckets, buckets) > 0
    index = model.index(ROWS)
    neighbors = oracle.nearest_neighbors(ROWS, ROWS, 6, candidates)
    assert_same_neighbors(index.nearest_neighbors(ROWS, 6), neighbors)
    pairs = oracle.similarity_join(ROWS, ROWS, 4.0, candidates)
    assert_same_pairs(index.similarity_join(threshold=4.0), pairs)
    assert 0 < candidates.mean() < 1


# ---- what is written -------------------------------------------------------------------


def test_what_is_written_is_what_spark_was_given(tmp_path: Path) -> None:
    """Parquet type, Spark's description of it, values, parameters; files by name."""
    made = tmp_path / "model"
    Model(0.5, 3, 7, 16).to_spark(made)
    names = sorted(str(p.relative_to(WRITTEN)) for p in WRITTEN.rglob("*"))
    assert names == sorted(str(p.relative_to(made)) for p in made.rglob("*"))
    parquet, given = (
        pq.ParquetFile(f / "data/part-00000.parquet") for f in (made, WRITTEN)
    )
    assert parquet.schema == given.schema
    assert parquet.read() == given.read()
    keys = parquet.metadata.metadata
    assert keys == given.metadata.metadata
    assert json.loads(keys[ROW_TYPE.encode()])["fields"][0]["name"] == "randUnitVectors"
    own, theirs = metadata_of(made), metadata_of(WRITTEN)
    for content in (own, theirs):
        uid = content.pop("uid")
        assert content.pop("timestamp") > 1_700_000_000_000
        assert content["defaultParamMap"].pop("outputCol") == f"{uid}__output"
    assert own == theirs
    assert own["paramMap"]["bucketLength"] == 0.5


@pytest.mark.parametrize("version", VERSIONS)
def test_spark_answers_from_a_written_model_as_we_do(version: str) -> None:
    path = golden.SPARK / "to_spark" / version
    recorded = json.loads((path / "answers.json").read_text())
    assert recorded["spark"] == version.removeprefix("spark-")
    model = Model(0.5, 3, 7, 16)
    assert (recorded["bucketLength"], recorded["numHashTables"]) == (0.5, 3)
    assert (recorded["inputCol"], recorded["outputCol"]) == ("features", "hashes")
    assert model.transform(ROWS).tolist() == recorded["hashes"]
    for case in recorded["neighbors_in_first_100"]:
        found = model.approx_nearest_neighbors(
            ROWS[:100], ROWS[case["key_row"]], case["k"]
        )
        assert found == [(row, golden.from_bits(bits)) for row, bits in case["id_dist"]]
    pairs = [
        (a, b, golden.from_bits(bits))
        for a, b, bits in recorded["join_4.0_first_100_x_rest"]
    ]
    assert len(pairs) > 100
    found_pairs = model.approx_similarity_join(ROWS[:100], ROWS[100:], 4.0, strict=True)
    assert found_pairs == pairs


@pytest.mark.parametrize("version", VERSIONS)
def test_what_spark_saved_of_a_written_model_is_that_model(version: str) -> None:
    back = Model.from_spark(golden.SPARK / "to_spark" / version / "model")
    assert_same_array(back.random_vectors, Model(0.5, 3, 7, 16).random_vectors, "vectors")
    assert back.bucket_length == 0.5


@pytest.mark.parametrize(
    "model",
    [
        Model(0.1, 1, 1, 1),
        Model(1e-300, 7, -5, 33, spark_profile="vector8"),
        Model(1.7e308, 2, 2**63 - 1, 700, spark_profile="java8"),
        Model.from_spark(saved("spark-4.3.0", "brp_T5_d128")),
    ],
    ids=repr,
)
def test_a_model_comes_back_as_it_went(model: Model, tmp_path: Path) -> None:
    model.to_spark(tmp_path / "model")
    back = Model.from_spark(tmp_path / "model")
    assert_same_array(back.random_vectors, model.random_vectors, "vectors")
    assert back.bucket_length == model.bucket_length


def test_signs_and_subnormals_come_back(folder: Path) -> None:
    vectors = np.array([[-0.0, 5e-324, -1e-310], [1e300, 0.1, -1 / 3]])
    put_data(folder, dense(vectors, True))
    change_parameters(folder, numHashTables=2)
    Model.from_spark(folder).to_spark(folder, overwrite=True)
    assert_same_array(Model.from_spark(folder).random_vectors, vectors, "vectors")


# ---- folders that are none -------------------------------------------------------------


def text_of(text: str) -> Callable[[Path], object]:
    return lambda folder: only(folder / "metadata").write_text(text)


def without(key: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        content = metadata_of(folder)
        del content[key]
        only(folder / "metadata").write_text(json.dumps(content))

    return change


def with_class(name: str) -> Callable[[Path], object]:
    return lambda folder: only(folder / "metadata").write_text(
        json.dumps({**metadata_of(folder), "class": name})
    )


def parameter(name: str, value: Any) -> Callable[[Path], object]:
    return lambda folder: change_parameters(folder, **{name: value})


def data(*rows: Any, **how: Any) -> Callable[[Path], object]:
    return lambda folder: put_data(folder, *rows, **how)


def matrix(form: Callable[..., Any] = dense, **changes: Any) -> Callable[[Path], object]:
    """A matrix of the right size, but for these fields."""
    return data({**form(some_vectors(5, 16), True), **changes})


def become_a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("x")


def damaged_data(folder: Path) -> None:
    path = only(folder / "data")
    content = path.read_bytes()
    path.write_bytes(content[:4] + b"\xff" * 300 + content[304:])


def short_data(folder: Path) -> None:
    path = only(folder / "data")
    path.write_bytes(path.read_bytes()[:-100])


BAD = pa.struct(
    [(f.name, pa.list_(pa.float32()) if f.name == "values" else f.type) for f in MATRIX]
)
LESS = pa.struct([field for field in MATRIX if field.name != "numCols"])
VALUES = some_vectors(5, 16).ravel().tolist()

DAMAGE: list[tuple[str, Callable[[Path], object], type[Exception], str]] = [
    ("no folder", shutil.rmtree, errors.SparkModelNotFoundError, "no Spark model at"),
    (
        "a file",
        become_a_file,
        errors.SparkModelError,
        "has no folder 'metadata'",
    ),
    (
        "no metadata",
        lambda f: shutil.rmtree(f / "metadata"),
        errors.SparkModelError,
        "has no folder 'metadata'",
    ),
    (
        "no data",
        lambda f: shutil.rmtree(f / "data"),
        errors.SparkModelError,
        "has no folder 'data'",
    ),
    (
        "no data file",
        lambda f: only(f / "data").unlink(),
        errors.SparkModelError,
        "one file in 'data', got none",
    ),
    (
        "two data files",
        lambda f: (f / "data" / "z.parquet").touch(),
        errors.SparkModelError,
        "one file in 'data', got part-00000.*, z.parquet",
    ),
    (
        "two metadata files",
        lambda f: (f / "metadata" / "part-00001").touch(),
        errors.SparkModelError,
        "one file in 'metadata', got part-00000, part-00001",
    ),
    ("no JSON", text_of("{"), errors.SparkModelError, "metadata .* JSONDecodeError"),
    ("empty", text_of(""), errors.SparkModelError, "is not the metadata"),
    ("a list", text_of("[1]"), errors.SparkModelError, "is not the metadata"),
    ("text", text_of('"class"'), errors.SparkModelError, "is not the metadata"),
    ("deep", text_of("[" * 100_000), errors.SparkModelError, "RecursionError"),
    (
        "no UTF-8",
        lambda f: only(f / "metadata").write_bytes(b"\xff\xfe{}"),
        errors.SparkModelError,
        "UnicodeDecodeError",
    ),
    ("no class", without("class"), errors.SparkModelError, "KeyError: 'class'"),
    ("no paramMap", without("paramMap"), errors.SparkModelError, "'paramMap'"),
    (
        "another class",
        with_class("org.apache.spark.ml.feature.MinHashLSHModel"),
        errors.SparkModelError,
        "holds 'org.apache.spark.ml.feature.MinHashLSHModel', wanted 'org.*LSHModel'$",
    ),
    (
        "a pipeline",
        with_class("org.apache.spark.ml.PipelineModel"),
        errors.SparkModelError,
        "stage, under 'stages'",
    ),
    (
        "w text",
        parameter("bucketLength", "Inf"),
        errors.SparkModelError,
        "not a number: 'Inf'",
    ),
    (
        "w truth",
        parameter("bucketLength", True),
        errors.SparkModelError,
        "not a number: True",
    ),
    ("w 0", parameter("bucketLength", 0), errors.ParameterError, "bucket_length .* 0"),
    ("w large", parameter("bucketLength", 10**400), errors.ParameterError, "beyond"),
    (
        "T 4",
        parameter("numHashTables", 4),
        errors.SparkModelError,
        "numHashTables is 4, but the data holds 5",
    ),
    (
        "no Parquet",
        lambda f: only(f / "data").write_bytes(b"PAR1" * 9),
        errors.SparkModelError,
        "not readable Parquet",
    ),
    ("short", short_data, errors.SparkModelError, "not readable Parquet"),
    ("damaged", damaged_data, errors.SparkModelError, "not readable Parquet"),
    (
        "nothing",
        lambda f: only(f / "data").write_bytes(b""),
        errors.SparkModelError,
        "not readable Parquet",
    ),
    (
        "column",
        data(1, column="randCoefficients", kind=pa.int64()),
        errors.SparkModelError,
        r"got columns \['randCoefficients'\] of 1 rows",
    ),
    ("no rows", data(), errors.SparkModelError, "of 0 rows"),
    (
        "two rows",
        data(*2 * [dense(some_vectors(5, 16), True)]),
        errors.SparkModelError,
        "of 2 rows",
    ),
    ("null", data(None), errors.SparkModelError, "is no matrix"),
    ("number", data(1.0, kind=pa.float64()), errors.SparkModelError, "is no matrix"),
    (
        "field",
        data(dense(some_vectors(5, 16), True), kind=LESS),
        errors.SparkModelError,
        "is no matrix.*numCols",
    ),
    (
        "float32",
        data(dense(some_vectors(5, 16), True), kind=BAD),
        errors.SparkModelError,
        "values holds float32, wanted float64",
    ),
    ("no values", matrix(values=None), errors.SparkModelError, "is no matrix"),
    ("no size", matrix(numRows=None), errors.SparkModelError, "is no matrix"),
    ("type 2", matrix(type=2), errors.SparkModelError, "type is 2"),
    ("no table", matrix(numRows=0), errors.SparkModelError, "0 x 16 values"),
    ("no columns", matrix(numCols=0, values=[]), errors.SparkModelError, "5 x 0 values"),
    ("negative", matrix(numRows=-5, numCols=-16), errors.SparkModelError, "-5 x -16"),
    (
        "huge",
        matrix(sparse, numRows=2**20, numCols=2**20),
        errors.SparkModelError,
        "1048576 x 1048576 values",
    ),
    ("wide", matrix(numCols=17), errors.SparkModelError, "80 values for 5 x 17"),
    (
        "NaN",
        matrix(values=[*VALUES[:-1], np.nan]),
        errors.InvalidVectorError,
        "vector 4 of the model, column 15",
    ),
    (
        "null value",
        matrix(values=[None, *VALUES[1:]]),
        errors.InvalidVectorError,
        "vector 0 of the model, column 0",
    ),
    (
        "pointers",
        matrix(sparse, colPtrs=[0, 1, 2], values=[1.0, 2.0], rowIndices=[0, 1]),
        errors.SparkModelError,
        "contradict 5 x 16",
    ),
    (
        "start",
        matrix(sparse, colPtrs=[1, 1, 1, 1, 1, 1], values=[1.0], rowIndices=[0]),
        errors.SparkModelError,
        "contradict",
    ),
    (
        "order",
        matrix(sparse, colPtrs=[0, 2, 1, 1, 1, 1], values=[1.0], rowIndices=[0]),
        errors.SparkModelError,
        "contradict",
    ),
    (
        "end",
        matrix(sparse, colPtrs=[0, 1, 1, 1, 1, 1], values=[1.0, 2.0], rowIndices=[0, 1]),
        errors.SparkModelError,
        "contradict",
    ),
    (
        "values",
        matrix(sparse, colPtrs=[0, 1, 1, 1, 1, 1], values=[1.0, 2.0], rowIndices=[0]),
        errors.SparkModelError,
        "contradict",
    ),
    (
        "indices",
        matrix(sparse, colPtrs=[0, 1, 1, 1, 1, 1], values=[1.0], rowIndices=[0, 1]),
        errors.SparkModelError,
        "contradict",
    ),
    (
        "column 16",
        matrix(sparse, colPtrs=[0, 1, 1, 1, 1, 1], values=[1.0], rowIndices=[16]),
        errors.SparkModelError,
        "contradict",
    ),
    (
        "column -1",
        matrix(sparse, colPtrs=[0, 1, 1, 1, 1, 1], values=[1.0], rowIndices=[-1]),
        errors.SparkModelError,
        "contradict",
    ),
]


@pytest.mark.parametrize(
    ("damage", "raised", "message"),
    [case[1:] for case in DAMAGE],
    ids=[case[0] for case in DAMAGE],
)
def test_a_folder_that_is_no_model_is_named(
    folder: Path,
    damage: Callable[[Path], object],
    raised: type[Exception],
    message: str,
) -> None:
    Model.from_spark(folder)
    damage(folder)
    with pytest.raises(raised, match=message) as caught:
        Model.from_spark(folder)
    assert isinstance(caught.value, errors.FastLSHError)
    if raised is errors.SparkModelError:
        assert str(folder) in str(caught.value)


def test_models_and_estimators_that_hash_nothing_are_named() -> None:
    for version in VERSIONS:
        with pytest.raises(errors.SparkModelError, match="no bucketLength"):
            Model.from_spark(saved(version, "brp_defaults_no_bucketLength"))
        with pytest.raises(errors.SparkModelError, match=r"'bucketLength': 2\.0, .* 42"):
            Model.from_spark(saved(version, "brp_estimator"))
        with pytest.raises(errors.SparkModelError, match="MinHashLSHModel"):
            Model.from_spark(saved(version, "minhash_T1"))


def test_errors_are_caught_by_the_builtin_classes() -> None:
    assert issubclass(errors.SparkModelError, ValueError)
    assert issubclass(errors.SparkModelNotFoundError, FileNotFoundError)
    assert issubclass(errors.SparkModelExistsError, FileExistsError)


# ---- paths -----------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["file://{}", "file:{}", "file://localhost{}", "{}"])
def test_paths_and_file_uris_are_one_place(tmp_path: Path, form: str) -> None:
    path = tmp_path / "a model"
    text = form.format(path if form == "{}" else str(path).replace(" ", "%20"))
    model = Model(2.0, 2, 5, 3)
    model.to_spark(text)
    assert path.is_dir()
    for same in (text, path, path.as_uri()):
        assert Model.from_spark(same).bucket_length == 2.0


@pytest.mark.parametrize(
    ("path", "raised", "message"),
    [
        ("s3://bucket/model", errors.ParameterError, "local folders only"),
        ("hdfs://host:9000/model", errors.ParameterError, "local folders only"),
        ("dbfs:/models/lsh", errors.ParameterError, "local folders only"),
        ("file://elsewhere/model", errors.ParameterError, "another host: 'elsewhere'"),
        ("", errors.ParameterError, "empty"),
        (b"model", errors.InputTypeError, "path .* bytes"),
        (3, errors.InputTypeError, "path .* int"),
        (None, errors.InputTypeError, "path .* NoneType"),
    ],
)
def test_what_is_no_local_path_is_refused(
    path: Any, raised: type[Exception], message: str
) -> None:
    for use in (Model.from_spark, Model(2.0, 1, 1, 2).to_spark):
        with pytest.raises(raised, match=message):
            use(path)


@pytest.mark.parametrize(
    "options",
    [
        {"projection": "gaussian"},
        {"num_hashes_per_table": 2},
        {"projection": "gaussian", "num_hashes_per_table": 3},
    ],
)
def test_models_that_spark_does_not_have_stay_here(
    options: dict[str, Any], tmp_path: Path
) -> None:
    named = [f"{name}={value!r}" for name, value in options.items()]
    with pytest.raises(errors.ParameterError) as caught:
        Model(2.0, 2, 5, 3, **options).to_spark(tmp_path / "model")
    assert all(part in str(caught.value) for part in named)
    assert list(tmp_path.iterdir()) == []


# ---- replacing -------------------------------------------------------------------------


def everything_in(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() else b""
        for p in folder.rglob("*")
    }


def test_a_model_is_replaced_only_on_request(folder: Path) -> None:
    model, before = Model(0.5, 2, 1, 3), everything_in(folder)
    with pytest.raises(errors.SparkModelExistsError, match="overwrite=True"):
        model.to_spark(folder)
    assert everything_in(folder) == before
    model.to_spark(folder, overwrite=True)
    assert_same_array(Model.from_spark(folder).random_vectors, model.random_vectors, "it")
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


def test_nothing_else_is_replaced(folder: Path) -> None:
    model = Model(0.5, 2, 1, 3)
    other = folder.parent / "photos"
    other.mkdir()
    (other / "a.jpg").write_text("x")
    file = folder.parent / "file"
    file.write_text("x")
    nowhere = folder.parent / "link"
    nowhere.symlink_to(folder.parent / "missing")
    with_class("org.apache.spark.ml.feature.MinHashLSHModel")(folder)
    before = everything_in(folder.parent)
    for path in (folder, other, file, nowhere):
        with pytest.raises(errors.SparkModelExistsError, match="models of its kind"):
            model.to_spark(path, overwrite=True)
    assert everything_in(folder.parent) == before
    overwrite: Any = 1
    with pytest.raises(errors.InputTypeError, match="overwrite"):
        model.to_spark(folder.parent / "new", overwrite=overwrite)


@pytest.mark.parametrize(
    ("target", "name", "last"),
    [
        ("model", "fsync", 3),
        ("model", "rename", 1),  # of the old folder
        ("model", "rename", 2),  # of the new one
        ("new", "rename", 1),
    ],
)
@pytest.mark.parametrize("error", [OSError("no space"), KeyboardInterrupt()])
def test_a_write_that_fails_changes_nothing(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    target: str,
    name: str,
    last: int,
    error: BaseException,
) -> None:
    before, calls = everything_in(folder), 0
    real = getattr(os, name)

    def fail(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == last:
            raise error
        real(*arguments)

    monkeypatch.setattr(os, name, fail)
    with pytest.raises(type(error)):
        Model(0.5, 2, 1, 3).to_spark(folder.parent / target, overwrite=True)
    assert calls >= last
    monkeypatch.undo()
    assert everything_in(folder) == before
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


def test_a_folder_made_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the check and the rename."""
    target, real = tmp_path / "model", os.fsync

    def fsync(number: int) -> None:
        real(number)
        target.mkdir(exist_ok=True)
        (target / "theirs").touch()

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="not empty"):
        Model(0.5, 2, 1, 3).to_spark(target)
    assert [p.name for p in target.iterdir()] == ["theirs"]


def test_the_folder_may_be_read_by_whoever_the_umask_lets(tmp_path: Path) -> None:
    (tmp_path / "usual").mkdir()
    path = tmp_path / "not" / "yet" / "there"
    Model(0.5, 2, 1, 3).to_spark(path)
    usual = stat.S_IMODE((tmp_path / "usual").stat().st_mode)
    for part in (path, path / "data", path.parent):
        assert stat.S_IMODE(part.stat().st_mode) == usual


def test_pyarrow_is_asked_for_by_name(run_python: Run) -> None:
    program = """
import sys
sys.modules["pyarrow"] = None
from fast_lsh_ann import BucketedRandomProjectionLSHModel as Model, errors
for use in (Model.from_spark, Model(2.0, 1, 1, 2).to_spark):
    try:
        use("/nowhere")
    except errors.MissingDependencyError as error:
        print(error)
"""
    lines = run_python(program).stdout.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert "pip install 'fast_lsh_ann[spark]'" in line
