"""The contenders: each class does the same operations with one library.

A contender runs in a process of its own (worker.py) and imports its library there.  What
it cannot do it does not define.  `answer` turns a library's own result into ours, off the
clock: neighbors as (indices, distances or None), pairs as (left, right, distances or
None).
"""

import importlib
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[Any]
Ints = NDArray[np.int64]

SEED = 42


def repeated(ends: Ints) -> Ints:
    """The query of each answer, where query i has those from ends[i] to ends[i + 1]."""
    counts = np.asarray(ends[1:] - ends[:-1], dtype=np.int64)
    return np.repeat(np.arange(len(counts)), counts)


class Peer:
    """An index of rows, and how to ask it."""

    package = ""  # in the Python registry
    module = ""  # imported before anything is timed

    def __init__(self, threads: int, **how: Any) -> None:
        self.threads, self.how = threads, how  # how an index is built
        self.library = importlib.import_module(self.module)
        self.rows: Rows = np.empty((0, 0))
        self.index: Any = None
        self.settings: dict[str, Any] = {}

    def facts(self) -> dict[str, str]:
        version = importlib.import_module("importlib.metadata").version
        return {self.package: version(self.package)}

    def process(self) -> int:
        """The process whose memory counts."""
        return os.getpid()

    def set(self, **settings: Any) -> None:
        """Settings of later searches."""
        self.settings = settings

    def forget(self) -> None:
        """Drop the index, so that the next one is not built beside it."""
        self.index = None

    def build(self, rows: Rows) -> None:
        raise NotImplementedError

    def knn(self, queries: Rows, k: int) -> Any:
        raise NotImplementedError

    def build_and_knn(self, rows: Rows, queries: Rows, k: int) -> Any:
        self.build(rows)
        return self.knn(queries, k)

    def answer(self, method: str, raw: Any) -> Any:  # noqa: ARG002
        return raw


class Ours(Peer):
    """fast_lsh_ann: exact, or among the candidates of Spark's buckets."""

    package, module = "fast-lsh-ann", "fast_lsh_ann"

    def facts(self) -> dict[str, str]:
        info = self.library.simd_info()
        return {
            "fast_lsh_ann": self.library.__version__,
            "tier": info.tier,
            "tiers": " ".join(info.tiers),
        }

    def model(self, dim: int, tables: int, width: float) -> Any:
        lsh = self.library.BucketedRandomProjectionLSH(width, tables, SEED)
        return lsh.create_model(dim)

    def build(self, rows: Rows) -> None:
        model = self.model(rows.shape[1], self.how["tables"], self.how["width"])
        self.rows, self.index = rows, model.index(rows)

    def knn(self, queries: Rows, k: int, exact: bool = True) -> Any:
        return self.index.nearest_neighbors(queries, k, exact=exact)

    def within(self, queries: Rows, radius: float, exact: bool = True) -> Any:
        """Pairs (query, row) within the radius."""
        return self.index.radius_neighbors(queries, radius, exact=exact)

    def join(self, queries: Rows, radius: float, exact: bool = True) -> Any:
        return self.index.similarity_join(queries, threshold=radius, exact=exact)

    def self_join(self, radius: float) -> Any:
        join = self.index.similarity_join
        return join(threshold=radius, exact=True, self_pairs="upper")

    def transform(self, rows: Rows, tables: int, width: float) -> Ints:
        hashes: Ints = self.model(rows.shape[1], tables, width).transform(rows)
        return hashes

    def vectors(self, dim: int, tables: int) -> Rows:
        return np.asarray(self.model(dim, tables, 1.0).random_vectors)

    def answer(self, method: str, raw: Any) -> Any:
        if method in ("knn", "build_and_knn"):
            return raw.indices, raw.distances
        if method == "within":
            left, right = repeated(raw.indptr), raw.indices
            order = np.lexsort((right, left))
            return left[order], right[order], raw.distances[order]
        if method == "join":  # it reports the index's row first
            order = np.lexsort((raw.left, raw.right))
            return raw.right[order], raw.left[order], raw.distances[order]
        if method == "self_join":
            return raw.left, raw.right, raw.distances
        return raw


class OursRaw(Ours):
    """fast_lsh_ann from the raw array: nothing is prepared before the clock starts."""

    def build(self, rows: Rows) -> None:
        self.rows = rows

    def knn(self, queries: Rows, k: int, exact: bool = True) -> Any:
        assert exact
        return self.library.exact_nearest_neighbors(self.rows, queries, k)


class Replaced(Peer):
    """fast-lsh-ann 0.1.1, whose buckets are not Spark's."""

    package, module = "fast-lsh-ann", "fast_lsh_ann"

    def lsh(self, tables: int, width: float) -> Any:
        return self.library.BucketedRandomProjectionLSH(width, tables, SEED)

    def build(self, rows: Rows) -> None:
        lsh = self.lsh(self.how["tables"], self.how["width"])
        self.rows, self.index = rows, lsh.fit(rows)

    def knn(self, queries: Rows, k: int) -> Any:
        if len(queries) == 1:
            found = self.index.approx_nearest_neighbors(self.rows, queries[0], k)
            return [found]
        return self.index.batch_approx_nearest_neighbors(self.rows, queries, k)

    def within(self, queries: Rows, radius: float) -> Any:
        return self.index.approx_similarity_join(queries, self.rows, radius)

    join = within

    def transform(self, rows: Rows, tables: int, width: float) -> Any:
        return self.lsh(tables, width).create_model(rows.shape[1]).transform(rows)

    def answer(self, method: str, raw: Any) -> Any:
        if method in ("within", "join"):
            table = np.array([pair[:2] for pair in raw], dtype=np.int64).reshape(-1, 2)
            return table[:, 0], table[:, 1], None
        if method == "transform":
            return raw
        width = max((len(found) for found in raw), default=0)
        indices = np.full((len(raw), width), -1, dtype=np.int64)
        for i, found in enumerate(raw):
            indices[i, : len(found)] = [row for row, _ in found]
        return indices, None


# ---- Faiss -----------------------------------------------------------------------------


class FaissFlat(Peer):
    """Exact in float32."""

    package, module = "faiss-cpu", "faiss"

    def __init__(self, threads: int, **how: Any) -> None:
        super().__init__(threads, **how)
        self.library.omp_set_num_threads(threads)

    def build(self, rows: Rows) -> None:
        if "blas_threshold" in self.how:  # with fewer queries Faiss avoids BLAS
            self.library.cvar.distance_compute_blas_threshold = self.how["blas_threshold"]
        self.rows, self.index = rows, self.library.IndexFlatL2(rows.shape[1])
        self.index.add(rows)

    def knn(self, queries: Rows, k: int) -> Any:
        return self.index.search(queries, k)

    def within(self, queries: Rows, radius: float) -> Any:
        return self.index.range_search(queries, radius * radius)

    join = within

    def self_join(self, radius: float) -> Any:
        return self.index.range_search(self.rows, radius * radius)

    def answer(self, method: str, raw: Any) -> Any:
        if method in ("within", "join", "self_join"):
            ends, _, right = raw
            left = repeated(ends)
            keep = left < right if method == "self_join" else slice(None)
            return left[keep], right[keep], None
        return raw[1], None


class FaissFactory(FaissFlat):
    """An approximate Faiss index, by its factory's words."""

    def build(self, rows: Rows) -> None:
        self.index = self.library.index_factory(rows.shape[1], self.how["factory"])
        self.index.train(rows)
        self.index.add(rows)

    def knn(self, queries: Rows, k: int) -> Any:
        words = ",".join(f"{name}={value}" for name, value in self.settings.items())
        self.library.ParameterSpace().set_index_parameters(self.index, words)
        return super().knn(queries, k)


# ---- other libraries -------------------------------------------------------------------


class Hnswlib(Peer):
    package, module = "hnswlib", "hnswlib"

    def build(self, rows: Rows) -> None:
        self.index = self.library.Index(space="l2", dim=rows.shape[1])
        self.index.init_index(len(rows), M=16, ef_construction=200)
        self.index.set_num_threads(self.threads)
        self.index.add_items(rows)

    def knn(self, queries: Rows, k: int) -> Any:
        self.index.set_ef(max(k, self.settings.get("ef", 10)))
        return self.index.knn_query(queries, k)

    def answer(self, method: str, raw: Any) -> Any:  # noqa: ARG002
        return raw[0].astype(np.int64), None


class Usearch(Peer):
    package, module = "usearch", "usearch.index"

    def build(self, rows: Rows) -> None:
        self.index = self.library.Index(ndim=rows.shape[1], metric="l2sq", dtype="f32")
        self.index.add(np.arange(len(rows)), rows, threads=self.threads)

    def knn(self, queries: Rows, k: int) -> Any:
        self.index.expansion_search = self.settings.get("expansion", 64)
        return self.index.search(queries, k, threads=self.threads)

    def answer(self, method: str, raw: Any) -> Any:  # noqa: ARG002
        return np.asarray(raw.keys, dtype=np.int64).reshape(-1, raw.keys.shape[-1]), None


class UsearchFlat(Usearch):
    """Exact in float32."""

    def build(self, rows: Rows) -> None:
        self.rows = rows

    def knn(self, queries: Rows, k: int) -> Any:
        metric, search = self.library.MetricKind.L2sq, self.library.search
        return search(self.rows, queries, k, metric, exact=True, threads=self.threads)


class ScikitLearn(Peer):
    """NearestNeighbors(algorithm="brute")."""

    package, module = "scikit-learn", "sklearn.neighbors"

    def build(self, rows: Rows) -> None:
        brute = self.library.NearestNeighbors(algorithm="brute", n_jobs=self.threads)
        self.rows, self.index = rows, brute.fit(rows)

    def knn(self, queries: Rows, k: int) -> Any:
        return self.index.kneighbors(queries, k)

    def within(self, queries: Rows, radius: float) -> Any:
        return self.index.radius_neighbors(queries, radius)

    join = within

    def self_join(self, radius: float) -> Any:
        return self.index.radius_neighbors(self.rows, radius)

    def answer(self, method: str, raw: Any) -> Any:
        if method in ("knn", "build_and_knn"):
            return raw[1], None
        left = np.repeat(np.arange(len(raw[1])), [len(found) for found in raw[1]])
        right = np.concatenate(raw[1])
        keep = left < right if method == "self_join" else slice(None)
        return left[keep], right[keep], None


# ---- NumPy: what a careful user would write without a library --------------------------


def squares(rows: Rows) -> Rows:
    return np.asarray(np.einsum("ij,ij->i", rows, rows))


def distances(rows: Rows, query: Rows) -> NDArray[np.float64]:
    difference = rows.astype(np.float64) - query.astype(np.float64)
    return np.asarray(np.sqrt(squares(difference)))


class Numpy(Peer):
    """One matrix product a block in float32, the best few decided again in float64.

    Candidates, with exact=False, are the rows that share a bucket in any table; unit
    vectors are given, so that its buckets are ours.
    """

    package = module = "numpy"

    def build(self, rows: Rows) -> None:
        self.rows, self.index = rows, squares(rows)
        self.hashes = self.buckets(rows) if "vectors" in self.how else None

    def buckets(self, rows: Rows) -> Ints:
        wide = rows.astype(np.float64)
        return self.transform(wide, self.how["vectors"], self.how["width"]).astype("i8")

    def knn(self, queries: Rows, k: int, exact: bool = True, block: int = 100) -> Any:
        indices = np.full((len(queries), k), -1, dtype=np.int64)
        for start in range(0, len(queries), block):
            part = queries[start : start + block]
            estimates = self.index - 2 * (part @ self.rows.T)
            if not exact:
                estimates[~self.collide(self.buckets(part))] = np.inf
            for i, estimate in enumerate(estimates):
                best = np.argpartition(estimate, 2 * k)[: 2 * k]
                best = best[np.isfinite(estimate[best])]
                order = np.lexsort((best, distances(self.rows[best], part[i])))[:k]
                indices[start + i, : len(order)] = best[order]
        return indices

    def collide(self, hashes: Ints) -> NDArray[np.bool_]:
        assert self.hashes is not None
        found = np.zeros((len(hashes), len(self.rows)), dtype=np.bool_)
        for theirs, ours in zip(hashes.T, self.hashes.T, strict=True):
            found |= theirs[:, None] == ours
        return found

    def within(
        self, queries: Rows, radius: float, exact: bool = True, block: int = 1000
    ) -> Any:
        pairs = []
        for start in range(0, len(queries), block):
            part = queries[start : start + block]
            estimate = squares(part)[:, None] - 2 * (part @ self.rows.T) + self.index
            left, right = np.nonzero(estimate <= radius * radius * (1 + 1e-5))
            keep = distances(part[left], self.rows[right]) <= radius
            if not exact and self.hashes is not None:
                ours, theirs = self.hashes[right], self.buckets(part)[left]
                keep &= (ours == theirs).any(axis=1)
            pairs.append((left[keep] + start, right[keep]))
        left, right = (np.concatenate(side) for side in zip(*pairs, strict=True))
        return left, right, None

    join = within

    def transform(self, rows: Rows, vectors: Rows, width: float) -> Rows:
        return np.asarray(np.floor((rows @ vectors.T) * (1 / width)))

    def answer(self, method: str, raw: Any) -> Any:
        return (raw, None) if method == "knn" else raw


class Reader(Peer):
    """No search: the time in which the threads read so many bytes."""

    package = module = "numpy"
    rounds = 16

    def build(self, rows: Rows) -> None:
        ctypes = importlib.import_module("ctypes")
        self.read_rows = ctypes.CDLL(self.how["program"]).read_rows
        self.seconds = (ctypes.c_double * self.rounds)()
        words = len(rows) * self.how["bytes_a_row"] // 8
        self.words = np.arange(words, dtype=np.uint64)
        self.pointer = ctypes.c_void_p(self.words.ctypes.data)
        self.size = ctypes.c_size_t(words)

    def read(self) -> list[float]:
        """The seconds of some reads, measured between the threads' starts and ends."""
        self.read_rows(self.pointer, self.size, self.threads, self.rounds, self.seconds)
        return list(self.seconds)
