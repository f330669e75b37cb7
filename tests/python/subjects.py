"""One face for the two programs held to the golden data: the library and the oracle."""

from dataclasses import dataclass
from typing import Any, Protocol

import fast_lsh_ann
import numpy as np
import oracle
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Hits = list[tuple[int, float]]
Triples = list[tuple[int, int, float]]


@dataclass(frozen=True)
class Parameters:
    bucket_length: float
    tables: int
    seed: int
    dim: int
    profile: Any = "java11"  # one of oracle.PROFILES


class Subject(Protocol):
    def vectors(self, p: Parameters) -> Floats: ...
    def hashes(self, p: Parameters, rows: Floats) -> Ints: ...
    def neighbors(self, p: Parameters, rows: Floats, query: Floats, k: int) -> Hits: ...
    def join(
        self, p: Parameters, left: Floats, right: Floats, threshold: float
    ) -> Triples: ...  # distance < threshold, as Spark


def library_model(p: Parameters) -> fast_lsh_ann.BucketedRandomProjectionLSHModel:
    return fast_lsh_ann.BucketedRandomProjectionLSHModel(
        p.bucket_length, p.tables, p.seed, p.dim, spark_profile=p.profile
    )


class Library:
    def vectors(self, p: Parameters) -> Floats:
        return library_model(p).random_vectors

    def hashes(self, p: Parameters, rows: Floats) -> Ints:
        return library_model(p).transform(rows)

    def neighbors(self, p: Parameters, rows: Floats, query: Floats, k: int) -> Hits:
        return library_model(p).approx_nearest_neighbors(rows, query, k)

    def join(
        self, p: Parameters, left: Floats, right: Floats, threshold: float
    ) -> Triples:
        model = library_model(p)
        return model.approx_similarity_join(left, right, threshold, strict=True)


class Oracle:
    def vectors(self, p: Parameters) -> Floats:
        return oracle.unit_vectors(p.tables, p.dim, p.seed, p.profile)

    def hashes(self, p: Parameters, rows: Floats) -> Ints:
        return oracle.buckets(rows, self.vectors(p), p.bucket_length)

    def _candidates(
        self, p: Parameters, left: Floats, right: Floats
    ) -> NDArray[np.bool_]:
        return oracle.collisions(self.hashes(p, left), self.hashes(p, right)) > 0

    def neighbors(self, p: Parameters, rows: Floats, query: Floats, k: int) -> Hits:
        queries = query[None, :]
        candidates = self._candidates(p, queries, rows)
        found = oracle.nearest_neighbors(rows, queries, k, candidates)
        return next(oracle.as_lists(found))

    def join(
        self, p: Parameters, left: Floats, right: Floats, threshold: float
    ) -> Triples:
        candidates = self._candidates(p, left, right)
        pairs = oracle.similarity_join(left, right, threshold, candidates, strict=True)
        return list(zip(*(column.tolist() for column in pairs), strict=True))
