"""The contenders of the surface that fast-lsh-ann 0.1.1 has: the same calls for both.

Answers are plain: neighbors and pairs as they come, hashes and rows as a digest, which
does not depend on their order.
"""

import contextlib
import importlib
import io
import pickle
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peers import SEED, Ints, Peer, Rows

FIRST_ID = 1000  # of a table; so that an id is not taken for a row number


@dataclass(frozen=True)
class Hashes:
    """Buckets by id."""

    rows: int
    digest: int
    chunks: int = 0
    commits: int = 0


@dataclass(frozen=True)
class Vectors:
    """Rows that were read, by id."""

    rows: int
    digest: int


@dataclass(frozen=True)
class Written:
    """Pairs in a table of results."""

    pairs: list[tuple[int, int, float]]
    commits: int


@dataclass(frozen=True)
class Revived:
    """A model that went through a pickle, and what each of the two finds."""

    size: int
    before: list[tuple[int, float]]
    after: list[tuple[int, float]]


def digest(values: NDArray[Any], ids: Ints) -> int:
    """One number for rows of integers, whatever their order; it wraps at 64 bits."""
    whole = np.asarray(values, dtype=np.int64)
    weights = np.arange(1, 2 * whole.shape[1], 2, dtype=np.int64)
    return int(((whole @ weights) * (2 * np.asarray(ids, dtype=np.int64) + 1)).sum())


def hashes_of(hashes: Any, ids: Any) -> Hashes:
    return Hashes(len(hashes), digest(np.asarray(hashes), np.asarray(ids)))


def vectors_of(rows: Rows, ids: Any) -> Vectors:
    bits = np.ascontiguousarray(rows, dtype=np.float32).view(np.int32)
    return Vectors(len(rows), digest(bits, np.asarray(ids)))


def commits(table: Path) -> int:
    return len(list((table / "_delta_log").glob("*.json")))


class Surface(Peer):
    """Either package, by the names they have in common."""

    package, module = "fast-lsh-ann", "fast_lsh_ann"

    def __init__(self, threads: int, **how: Any) -> None:
        super().__init__(threads, **how)
        for name in how["imported"]:
            importlib.import_module(name)
        self.frames = importlib.import_module("polars")
        self.folder = tempfile.TemporaryDirectory()
        self.model: Any = None
        self.calls = 0

    def parameters(self) -> dict[str, Any]:
        tables, width = self.how["tables"], self.how["width"]
        return {"bucket_length": width, "num_hash_tables": tables, "seed": SEED}

    def lsh(self) -> Any:
        return self.library.BucketedRandomProjectionLSH(**self.parameters())

    def delta(self) -> Any:
        return self.library.DeltaLSHProcessor(**self.parameters())

    def streaming(self, chunk: int) -> Any:
        parameters = self.parameters()
        return self.library.StreamingLSHProcessor(**parameters, chunk_size=chunk)

    def output(self) -> Path:
        """A new table a call."""
        self.calls += 1
        return Path(self.folder.name) / f"table{self.calls}"

    def last_output(self) -> Path:
        return Path(self.folder.name) / f"table{self.calls}"

    # ---- models and arrays -------------------------------------------------------------

    def create(self, dim: int) -> Any:
        return self.lsh().create_model(dim=dim)

    def fit(self, rows: Rows) -> Any:
        return self.lsh().fit(rows)

    def prepare(self, rows: Rows, fitted: bool = True) -> None:
        """Make the model of later calls, from rows that it may be asked about."""
        self.rows = rows
        self.model = self.fit(rows) if fitted else self.create(rows.shape[1])

    def transform(self, rows: Rows) -> Any:
        return self.model.transform(rows)

    def one(self, rows: Rows, queries: Rows, k: int) -> Any:
        return [self.model.approx_nearest_neighbors(rows, queries[0], k=k)]

    def batch(self, rows: Rows, queries: Rows, k: int) -> Any:
        return self.model.batch_approx_nearest_neighbors(rows, queries, k=k)

    def join(self, left: Rows, right: Rows, threshold: float) -> Any:
        return self.model.approx_similarity_join(left, right, threshold)

    def cms(self, left: Rows, right: Rows, threshold: float) -> Any:
        return self.model.approx_similarity_join_cms(left, right, threshold)

    def analyze(self, left: Rows, right: Rows) -> Any:
        return self.model.analyze_similarity_join(left, right)

    def revive(self) -> Any:
        return pickle.loads(pickle.dumps(self.model))

    # ---- Delta -------------------------------------------------------------------------

    def sample(self, rows: int, dim: int) -> Any:
        output = self.output()
        with silence():
            self.library.create_sample_delta(str(output), rows, dim, SEED)
        return output

    def read_table(self, table: str) -> Any:
        return self.library.read_delta_embeddings(table, "embedding", "id")

    def read_chunked(self, table: str, chunk: int) -> Any:
        chunks = self.library.read_delta_embeddings_chunked(
            table, "embedding", "id", chunk_size=chunk
        )
        return summed([vectors_of(rows, ids) for rows, ids, _ in chunks])

    def transform_delta(self, table: str) -> Any:
        return self.delta().transform_delta(table)

    def save(self, table: str) -> None:
        self.delta().transform_and_save(table, str(self.output()))

    def stream(self, table: str, chunk: int) -> Any:
        chunks = self.streaming(chunk).transform_streaming(table, id_column="id")
        return summed([hashes_of(chunk.hashes, chunk.ids) for chunk in chunks])

    def to_delta(self, table: str, chunk: int) -> None:
        with silence():
            self.streaming(chunk).transform_to_delta(table, str(self.output()))

    def join_delta(self, left: str, right: str, threshold: float) -> Any:
        return self.delta().similarity_join_delta(left, right, threshold)

    def join_streaming(self, left: str, right: str, threshold: float, chunk: int) -> Any:
        found = self.streaming(chunk).similarity_join_streaming(left, right, threshold)
        return [pair for pairs in found for pair in pairs]

    def join_chunked(self, left: str, right: str, threshold: float, chunk: int) -> None:
        self.streaming(chunk).similarity_join_chunked_both(
            left, right, threshold, output_path=str(self.output())
        )

    # ---- answers -----------------------------------------------------------------------

    def answer(self, method: str, raw: Any) -> Any:
        if method == "transform":
            return hashes_of(raw, np.arange(len(raw)))
        if method == "read_table":
            return vectors_of(*raw)
        if method == "revive":
            return self.revived(raw)
        if method == "transform_delta":
            return by_name(raw)
        if method in ("save", "to_delta"):
            found = by_name(self.frames.read_delta(str(self.last_output())))
            return Hashes(found.rows, found.digest, commits=commits(self.last_output()))
        if method == "join_chunked":
            table = self.frames.read_delta(str(self.last_output()))
            pairs = table.select("id_a", "id_b", "distance").rows()
            return Written(pairs, commits(self.last_output()))
        if method == "sample":
            return len(self.frames.read_delta(str(raw))), commits(raw)
        return None if method in ("create", "fit") else raw  # models stay here

    def revived(self, after: Any) -> Revived:
        """What the model and its copy find."""
        before, found = (
            model.approx_nearest_neighbors(self.rows, self.rows[0], 10)
            for model in (self.model, after)
        )
        return Revived(len(pickle.dumps(self.model)), before, found)

    def hashes(self, rows: Rows, ids: Ints) -> Hashes:
        """Of the array that a table was written from."""
        return hashes_of(self.create(rows.shape[1]).transform(rows), ids)


class OursSurface(Surface):
    """fast_lsh_ann."""

    def facts(self) -> dict[str, str]:
        info = self.library.simd_info()
        return {"fast_lsh_ann": self.library.__version__, "tier": info.tier}


def silence() -> contextlib.redirect_stdout[io.StringIO]:
    """0.1.1 prints what it does."""
    return contextlib.redirect_stdout(io.StringIO())


def by_name(frame: Any) -> Hashes:
    """A frame with the columns hash_0, hash_1, ... and id."""
    names = sorted(name for name in frame.columns if name.startswith("hash_"))
    return hashes_of(frame.select(names).to_numpy(), frame["id"].to_numpy())


def summed(parts: Sequence[Any]) -> Any:
    """Digests of chunks as one."""
    total = np.array([part.digest for part in parts], dtype=np.int64).sum()
    rows, kind = sum(part.rows for part in parts), type(parts[0])
    if kind is Hashes:
        return Hashes(rows, int(total), chunks=len(parts))
    return Vectors(rows, int(total))
