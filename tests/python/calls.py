"""One row for each call of the package that computes: small ones, and ones that last.

Tests of what every call must respect, Ctrl-C, threads, standard output, the floating
point environment, walk these tables, so that a new method needs only new rows.
"""

import dataclasses
import hashlib
import itertools
import tempfile
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import fast_lsh_ann
import numpy as np
import polars as pl
from fast_lsh_ann._arrow import RecordBatch
from fast_lsh_ann.tables import write_table
from numpy.typing import NDArray

Rows = NDArray[Any]


def normal(n: int, dim: int, dtype: Any = np.float32) -> Rows:
    return np.random.default_rng([n, dim]).standard_normal((n, dim), dtype=dtype)


class Scene:
    """What calls need: rows, models, an index, a Delta table; made when first used.

    Parameters
    ----------
    n, dim : int
        Rows of the base and of the table, and their dimension.
    folder : path
        Where tables are.
    """

    def __init__(self, n: int, dim: int, folder: Path) -> None:
        self.n, self.dim, self.folder = n, dim, folder
        self._outputs = itertools.count()

    @cached_property
    def base(self) -> Rows:
        return normal(self.n, self.dim)

    @cached_property
    def copy(self) -> Rows:
        """The same rows, which no call takes for a self-join."""
        return self.base.copy()

    @cached_property
    def halves(self) -> Rows:
        """Rows that must be converted, in half a GB; they are one row in memory."""
        return np.broadcast_to(np.arange(self.dim, dtype="f2"), (10 * self.n, self.dim))

    @cached_property
    def queries(self) -> Rows:
        return normal(self.n // 20, self.dim)

    @cached_property
    def model(self) -> fast_lsh_ann.BucketedRandomProjectionLSHModel:
        return fast_lsh_ann.BucketedRandomProjectionLSH(2.0, 5, 42).fit(self.base)

    @cached_property
    def index(self) -> fast_lsh_ann.LSHIndex:
        return self.model.index(self.base)

    @cached_property
    def wide(self) -> tuple[fast_lsh_ann.BucketedRandomProjectionLSHModel, Rows]:
        """Buckets that show every bit, in so many tables that hashing takes long."""
        tables = max(10, self.n // 25)
        model = fast_lsh_ann.BucketedRandomProjectionLSHModel(1e-9, tables, 42, 1_024)
        return model, normal(self.n // 5, 1_024)

    @cached_property
    def processor(self) -> fast_lsh_ann.DeltaLSHProcessor:
        return fast_lsh_ann.DeltaLSHProcessor(2.0, 5, 42)

    @cached_property
    def streaming(self) -> fast_lsh_ann.StreamingLSHProcessor:
        return fast_lsh_ann.StreamingLSHProcessor(2.0, 5, 42, chunk_size=self.n // 7)

    @cached_property
    def limited(self) -> fast_lsh_ann.StreamingLSHProcessor:
        """One whose joins of a long scene take a few chunks."""
        limit = max(200_000, self.n * (4 * self.dim + 100) // 2)
        return fast_lsh_ann.StreamingLSHProcessor(2.0, 5, 42, memory_limit=limit)

    @cached_property
    def narrow(self) -> fast_lsh_ann.StreamingLSHProcessor:
        """One that holds a part of the table's rows only."""
        return fast_lsh_ann.StreamingLSHProcessor(2.0, 5, 42, memory_limit="32MiB")

    @cached_property
    def table(self) -> Path:
        path = self.folder / f"table-{self.n}-{self.dim}"
        if not path.exists():
            fast_lsh_ann.create_sample_delta(path, self.n, self.dim)
        return path

    def output(self) -> Path:
        """A path where no table is yet."""
        return self.folder / f"output-{next(self._outputs)}"


def small_scene(folder: Path) -> Scene:
    return Scene(600, 16, folder)


def long_scene(folder: Path) -> Scene:
    return Scene(100_000, 128, folder)


Call = Callable[[Scene], Any]


def _saved(scene: Scene) -> Any:
    output = scene.output()
    scene.processor.transform_and_save(scene.table, output, chunk_size=97)
    scene.processor.check_scheme(output)
    scene.streaming.check_scheme(output)
    return fast_lsh_ann.delta_utils.open_table(output).version()


def _streamed(scene: Scene) -> Any:
    output = scene.output()
    scene.streaming.transform_to_delta(scene.table, output, include_embeddings=True)
    rows, ids = fast_lsh_ann.read_delta_embeddings(output, id_column="id")
    assert ids is not None
    return rows[np.argsort(ids)]  # a table keeps no order


def _joined(scene: Scene) -> Any:
    output, table = scene.output(), scene.table
    scene.streaming.similarity_join_chunked_both(table, table, 4.0, output_path=output)
    return fast_lsh_ann.delta_utils.open_table(output).version()


def _limited(scene: Scene) -> Any:
    output, table = scene.output(), scene.table
    report = scene.limited.similarity_join_to_delta(table, None, output, 4.0)
    return report.version, report.rows


def _planned(scene: Scene) -> Any:
    plan = scene.limited.plan_similarity_join(scene.table, None, 4.0)
    return plan.pairs, plan.passes, plan.bytes_read


def _neighbors_saved(scene: Scene) -> Any:
    output = scene.output()
    search = scene.streaming.nearest_neighbors_to_delta
    report = search(scene.table, scene.table, output, 3)
    return report.version, report.rows, pl.read_delta(str(output))


def _neighbors_planned(scene: Scene) -> Any:
    plan = scene.streaming.plan_nearest_neighbors(scene.table, scene.table, 3)
    return plan.passes, plan.queries, plan.rows, plan.dim


def _written(scene: Scene) -> Any:
    output = scene.output().with_suffix(".parquet")
    write_table(scene.index.nearest_neighbors(scene.queries, 5), output)
    return pl.read_parquet(output)


def _appended(scene: Scene) -> Any:
    output, rows = scene.output(), RecordBatch([("embedding", scene.base)])
    return [write_table(rows, output, mode="append", job_id=job) for job in "aab"]


def _sketched(scene: Scene) -> Any:
    base, queries = (fast_lsh_ann.BucketSketch(scene.model, 90) for _ in range(2))
    base.add(scene.base)
    queries.add(scene.queries)
    base.merge(queries)
    return base.join_size(queries)


def _through_spark(scene: Scene) -> Any:
    output = scene.output()
    scene.model.to_spark(output)
    made = fast_lsh_ann.BucketedRandomProjectionLSHModel.from_spark(output)
    return made.random_vectors


def _sample(scene: Scene) -> Any:
    output = scene.output()
    fast_lsh_ann.create_sample_delta(output, 50, 3)
    return fast_lsh_ann.read_delta_embeddings(output, id_column="id")


def _described(table: Any, bucket_length: float | None = None) -> Any:
    """What a description says, but for the path of a table."""
    said = fast_lsh_ann.describe(table, bucket_length).to_dict()
    return sorted(item for item in said.items() if item[0] != "source")


# Named as the package names them; what follows a colon tells rows of one method apart.
SMALL: dict[str, Call] = {
    "BucketedRandomProjectionLSH": lambda _: fast_lsh_ann.BucketedRandomProjectionLSH(),
    "BucketedRandomProjectionLSH.fit": lambda s: fast_lsh_ann.BucketedRandomProjectionLSH(
        1.5, 3
    ).fit(s.base),
    "BucketedRandomProjectionLSH.create_model": lambda _: (
        fast_lsh_ann.BucketedRandomProjectionLSH(1.5, 3).create_model(7).random_vectors
    ),
    "BucketedRandomProjectionLSHModel": lambda _: (
        fast_lsh_ann.BucketedRandomProjectionLSHModel(1.5, 3, 42, 7).random_vectors
    ),
    "BucketedRandomProjectionLSHModel.transform": lambda s: s.model.transform(s.base),
    "BucketedRandomProjectionLSHModel.approx_nearest_neighbors": lambda s: (
        s.model.approx_nearest_neighbors(s.base, s.queries[3], 5)
    ),
    "BucketedRandomProjectionLSHModel.batch_approx_nearest_neighbors": lambda s: (
        s.model.batch_approx_nearest_neighbors(s.base, s.queries, 5)
    ),
    "BucketedRandomProjectionLSHModel.approx_similarity_join": lambda s: (
        s.model.approx_similarity_join(s.base, s.queries, 4.0)
    ),
    "BucketedRandomProjectionLSHModel.approx_similarity_join_cms": lambda s: (
        s.model.approx_similarity_join_cms(s.base, s.queries, 5.0)
    ),
    "BucketedRandomProjectionLSHModel.analyze_similarity_join": lambda s: (
        s.model.analyze_similarity_join(s.base, s.queries)
    ),
    "BucketSketch": lambda s: fast_lsh_ann.BucketSketch(s.model).nbytes,
    "BucketSketch.add": _sketched,
    "BucketSketch.merge": _sketched,
    "BucketSketch.join_size": _sketched,
    "BucketedRandomProjectionLSHModel.index": lambda s: s.model.index(s.base, copy=True),
    "LSHIndex": lambda s: fast_lsh_ann.LSHIndex(s.model, s.base, np.arange(s.n)),
    "LSHIndex.nearest_neighbors": lambda s: s.index.nearest_neighbors(s.queries, 5),
    "LSHIndex.nearest_neighbors: exact": lambda s: s.index.nearest_neighbors(
        s.queries, 5, exact=True
    ),
    "LSHIndex.nearest_neighbors: by buckets": lambda s: s.index.nearest_neighbors(
        s.queries, 5, plan="bucket"
    ),
    "LSHIndex.radius_neighbors": lambda s: s.index.radius_neighbors(s.queries, 4.0),
    "LSHIndex.similarity_join": lambda s: s.index.similarity_join(threshold=4.0),
    "LSHIndex.similarity_join_count": lambda s: s.index.similarity_join_count(
        s.queries, threshold=4.0
    ),
    "LSHIndex.similarity_join_chunks": lambda s: s.index.similarity_join_chunks(
        s.queries, threshold=4.0, chunk_size=9
    ),
    "LSHIndex.memory_usage": lambda s: s.index.memory_usage(),
    "LSHIndex.explain": lambda s: s.index.explain(10),
    "exact_nearest_neighbors": lambda s: fast_lsh_ann.exact_nearest_neighbors(
        s.base, s.queries, 5
    ),
    "exact_similarity_join": lambda s: fast_lsh_ann.exact_similarity_join(
        s.base, s.queries, 4.0
    ),
    "describe": lambda s: _described(s.base),
    "describe: a table": lambda s: _described(s.table),
    "Description": lambda s: _described(s.base, 1.5),
    "Description.summary": lambda s: fast_lsh_ann.describe(s.base).summary(),
    "Description.to_dict": lambda s: fast_lsh_ann.describe(s.base).to_dict(),
    "Description.plot": lambda s: len(fast_lsh_ann.describe(s.base).plot().axes),
    "create_sample_delta": _sample,
    "read_delta_embeddings": lambda s: fast_lsh_ann.read_delta_embeddings(s.table),
    "DeltaLSHProcessor": lambda _: fast_lsh_ann.DeltaLSHProcessor(),
    "DeltaLSHProcessor.transform_delta": lambda s: s.processor.transform_delta(s.table),
    "DeltaLSHProcessor.transform_and_save": _saved,
    "DeltaLSHProcessor.check_scheme": _saved,
    "StreamingLSHProcessor.check_scheme": _saved,
    "DeltaLSHProcessor.similarity_join_delta": lambda s: (
        s.processor.similarity_join_delta(s.table, s.table, 4.0, chunk_size=97)
    ),
    "BucketedRandomProjectionLSHModel.to_spark": _through_spark,
    "BucketedRandomProjectionLSHModel.from_spark": _through_spark,
    "read_delta_embeddings_chunked": lambda s: fast_lsh_ann.read_delta_embeddings_chunked(
        s.table, id_column="id", chunk_size=97
    ),
    "delta_utils.read_delta_lazy": lambda s: fast_lsh_ann.delta_utils.read_delta_lazy(
        s.table, id_column="id"
    ).collect(),
    "StreamingLSHProcessor": lambda _: fast_lsh_ann.StreamingLSHProcessor(),
    "StreamingLSHProcessor.transform_streaming": lambda s: (
        s.streaming.transform_streaming(s.table)
    ),
    "StreamingLSHProcessor.transform_frames": lambda s: pl.concat(
        list(s.streaming.transform_frames(s.table))
    ),
    "StreamingLSHProcessor.transform_to_delta": _streamed,
    "StreamingLSHProcessor.similarity_join_streaming": lambda s: (
        s.streaming.similarity_join_streaming(s.table, s.table, 4.0)
    ),
    "StreamingLSHProcessor.similarity_join_chunked_both": lambda s: (
        s.streaming.similarity_join_chunked_both(s.table, s.table, 4.0)
    ),
    "StreamingLSHProcessor.similarity_join_chunked_both: saved": _joined,
    "StreamingLSHProcessor.similarity_join_to_delta": _limited,
    "StreamingLSHProcessor.plan_similarity_join": _planned,
    "StreamingLSHProcessor.similarity_join_frames": lambda s: (
        s.limited.similarity_join_frames(s.table, None, 4.0)
    ),
    "StreamingLSHProcessor.similarity_join_frames: keys": lambda s: (
        s.limited.similarity_join_frames(s.table, None, np.inf, by=["id"])
    ),
    "StreamingLSHProcessor.nearest_neighbors_to_delta": _neighbors_saved,
    "StreamingLSHProcessor.nearest_neighbors_streaming": lambda s: (
        s.streaming.nearest_neighbors_streaming(s.table, s.table, 3)
    ),
    "StreamingLSHProcessor.plan_nearest_neighbors": _neighbors_planned,
    "DeltaLSHProcessor.nearest_neighbors_delta": lambda s: (
        s.processor.nearest_neighbors_delta(s.table, s.table, 3)
    ),
    "streaming.benchmark_streaming": lambda _: sorted(
        fast_lsh_ann.streaming.benchmark_streaming(100, 4)
    ),
    "tables.write_table": _written,
    "tables.write_table: Delta": _appended,
    "set_threads": lambda _: fast_lsh_ann.set_threads(2),
    "simd_info": lambda _: fast_lsh_ann.simd_info().tiers,
}

# Calls of a long scene that last, or that may be repeated until something stops them.
LONG: dict[str, Call] = {
    "neighbors": lambda s: s.index.nearest_neighbors(s.base, 10),
    "neighbors: exact": lambda s: s.index.nearest_neighbors(s.base, 10, exact=True),
    "neighbors: by buckets": lambda s: s.index.nearest_neighbors(
        s.base, 10, plan="bucket"
    ),
    "one query": lambda s: s.model.approx_nearest_neighbors(s.base, s.base[7], 10),
    "batch of queries": lambda s: s.model.batch_approx_nearest_neighbors(
        s.base, s.base, 10
    ),
    "join": lambda s: s.model.approx_similarity_join(s.base, s.copy, 1.0),
    "join: a list of many pairs": lambda s: s.model.approx_similarity_join(
        s.base[:5_000], s.copy[:5_000], np.inf
    ),
    "join: index": lambda s: s.index.similarity_join(s.copy, threshold=1.0),
    "join: with itself": lambda s: s.index.similarity_join(threshold=1.0, exact=True),
    "join: by buckets": lambda s: s.index.similarity_join(threshold=1.0, plan="bucket"),
    "join: chunks": lambda s: list(s.index.similarity_join_chunks(s.copy, threshold=1.0)),
    "join: chunks by buckets": lambda s: list(
        s.index.similarity_join_chunks(s.copy, threshold=1.0, plan="bucket")
    ),
    "join: count": lambda s: s.index.similarity_join_count(s.copy, threshold=1.0),
    "join: by a sketch": lambda s: s.model.approx_similarity_join_cms(
        s.base, s.copy, 1.0
    ),
    "join: collisions": lambda s: s.wide[0].analyze_similarity_join(s.wide[1], s.wide[1]),
    "sketch of buckets": lambda s: fast_lsh_ann.BucketSketch(s.wide[0]).add(s.wide[1]),
    "radius": lambda s: s.index.radius_neighbors(s.base, 1.0, exact=True),
    "radius: of everything": lambda s: s.index.radius_neighbors(s.base[:4_000], np.inf),
    "exact neighbors": lambda s: fast_lsh_ann.exact_nearest_neighbors(s.base, s.base, 10),
    "exact join": lambda s: fast_lsh_ann.exact_similarity_join(s.base, s.copy, 1.0),
    "transform": lambda s: s.wide[0].transform(s.wide[1]),
    "model: of many vectors": lambda _: (
        fast_lsh_ann.BucketedRandomProjectionLSHModel(1.0, 2**12, 42, 2**14).offsets
    ),
    "transform: of halves": lambda s: s.model.transform(s.halves),
    "index": lambda s: s.model.index(s.base),
    "index: of long rows": lambda s: s.wide[0].index(s.wide[1]),
    "explain": lambda s: s.index.explain(1_000),
    "Delta: read": lambda s: fast_lsh_ann.read_delta_embeddings(s.table),
    "Delta: transform": lambda s: s.processor.transform_delta(s.table),
    "Delta: transform and save": lambda s: s.processor.transform_and_save(
        s.table, s.folder / "saved"
    ),
    "Delta: join": lambda s: s.processor.similarity_join_delta(s.table, s.table, 1.0),
    "Delta: read in chunks": lambda s: [
        len(rows) for rows, *_ in fast_lsh_ann.read_delta_embeddings_chunked(s.table)
    ],
    "stream: transform": lambda s: [
        chunk.n_rows for chunk in s.streaming.transform_streaming(s.table)
    ],
    "stream: transform to a table": lambda s: s.streaming.transform_to_delta(
        s.table, s.folder / "saved", include_embeddings=True
    ),
    "stream: join": lambda s: sum(
        map(len, s.streaming.similarity_join_streaming(s.table, s.table, 1.0))
    ),
    "stream: join of chunks": lambda s: s.streaming.similarity_join_chunked_both(
        s.table, s.table, 1.0
    ),
    "describe: rows": lambda s: fast_lsh_ann.describe(s.base),
    "describe: of many tables": lambda s: fast_lsh_ann.describe(
        s.base, 1e-3, 50, num_hashes_per_table=2, min_collisions=20
    ),
    "describe: a table": lambda s: fast_lsh_ann.describe(s.table),
    "describe: a table's buckets": lambda s: fast_lsh_ann.describe(s.table, 1e-6),
    "stream: limited join": lambda s: sum(
        map(len, s.limited.similarity_join_frames(s.table, s.table, 1.0))
    ),
    "stream: limited join by keys": lambda s: sum(
        map(len, s.limited.similarity_join_frames(s.table, None, 1.0, by=["id"]))
    ),
    "stream: limited join to a table": lambda s: s.limited.similarity_join_to_delta(
        s.table, None, s.folder / "saved", 0.0, mode="overwrite"
    ),
    "stream: neighbors": lambda s: sum(
        frame.height
        for frame in s.streaming.nearest_neighbors_streaming(s.table, s.table, 10)
    ),
    "stream: neighbors in many passes": lambda s: sum(
        frame.height
        for frame in s.narrow.nearest_neighbors_streaming(
            s.table, s.table, 10, exact=True
        )
    ),
    "stream: neighbors to a table": lambda s: s.streaming.nearest_neighbors_to_delta(
        s.table, s.table, s.folder / "saved", 1, exact=True, mode="overwrite"
    ),
    "Delta: neighbors": lambda s: s.processor.nearest_neighbors_delta(
        s.table, s.table, 10, exact=True
    ),
    "write: a Parquet file": lambda s: write_table(
        RecordBatch([("v", s.base)]), s.folder / "saved.parquet", mode="overwrite"
    ),
    "write: a Delta table": lambda s: write_table(
        RecordBatch([("v", s.base)]), s.folder / "saved", mode="overwrite"
    ),
    "Delta: sample": lambda s: fast_lsh_ann.create_sample_delta(
        s.folder / "saved", s.n, s.dim
    ),
}


def _parts(result: Any) -> Iterator[bytes]:
    """Everything a result holds, in one order."""
    if isinstance(result, np.ndarray) and result.dtype != object:
        yield f"{result.dtype}{result.shape}".encode() + result.tobytes()
    elif hasattr(result, "write_csv"):  # a polars frame
        yield repr([result.columns, *sorted(map(repr, result.rows()))]).encode()
    elif hasattr(result, "__slots__") and hasattr(result, "__arrow_c_stream__"):
        for name in result.__slots__:
            yield from _parts(getattr(result, name))
    elif isinstance(result, fast_lsh_ann.WriteReport):
        yield repr([result.version, result.rows, result.skipped]).encode()
    elif dataclasses.is_dataclass(result) and not isinstance(result, type):
        for field in dataclasses.fields(result):
            yield from _parts(getattr(result, field.name))
    elif isinstance(result, (tuple, list, Iterator)):
        for item in result:
            yield from _parts(item)
        yield b"end"
    else:
        yield repr(result).encode()


def digest(result: Any) -> str:
    """One text for all of a call's result."""
    hasher = hashlib.sha256()
    for part in _parts(result):
        hasher.update(part + b";")
    return hasher.hexdigest()


def small_digests(folder: Path | None = None) -> dict[str, str]:
    """Run every small call in a scene of its own."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        scene = small_scene(Path(place))
        return {name: digest(call(scene)) for name, call in SMALL.items()}
