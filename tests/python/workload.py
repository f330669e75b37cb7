"""Every operation on fixed data, for tests that run it under other circumstances."""

import hashlib
from functools import cache
from typing import Any

import fast_lsh_ann
import numpy as np
from fast_lsh_ann.index import Plan
from numpy.typing import NDArray

Rows = NDArray[Any]

PLANS: tuple[Plan, ...] = ("dense", "bucket", "gather")


def rows(n: int, dim: int, dtype: type[Any] = np.float32) -> Rows:
    """Normal rows with repetitions, and subnormal numbers in the first coordinate."""
    random = np.random.default_rng([n, dim])
    made = random.standard_normal((n, dim))
    made[n // 2 : n // 2 + n // 10] = made[: n // 10]
    made[:, 0] *= 1e-39
    return made.astype(dtype)


def checksum(n: int = 3_000) -> str:
    """Digest of all answers: hashes, neighbors, joins, radii, in both number types."""
    digest = hashlib.sha256()
    lsh = fast_lsh_ann.BucketedRandomProjectionLSH
    spark, other = (
        lsh(2.0, 5, 42),
        lsh(12.0, 5, 42, num_hashes_per_table=2, projection="gaussian"),
    )
    for dtype, dim, scheme in (
        (np.float32, 37, spark),
        (np.float64, 20, spark),
        (np.float32, 20, other),
    ):
        base, queries = rows(n, dim, dtype), rows(n // 20, dim, dtype)
        model = scheme.fit(base)
        index = model.index(base)
        digest.update(model.random_vectors.tobytes() + model.offsets.tobytes())
        digest.update(model.transform(base).tobytes())
        digest.update(repr(model.analyze_similarity_join(base, queries)).encode())
        triples = model.approx_similarity_join_cms(base, queries, 5.0)
        digest.update(np.array(triples).tobytes())
        for exact in (False, True):
            found = index.nearest_neighbors(queries, 10, exact=exact)
            digest.update(found.indices.tobytes() + found.distances.tobytes())
            for plan in PLANS[:1] if exact else PLANS:
                found = index.nearest_neighbors(queries, 10, exact=exact, plan=plan)
                digest.update(found.indices.tobytes() + found.distances.tobytes())
            pairs = index.similarity_join(queries, threshold=5.0, exact=exact)
            digest.update(pairs.left.tobytes() + pairs.right.tobytes())
            digest.update(pairs.distances.tobytes())
            pairs = index.similarity_join(threshold=4.0, exact=exact, self_pairs="upper")
            digest.update(pairs.left.tobytes() + pairs.distances.tobytes())
            chunks = index.similarity_join_chunks(
                queries, threshold=5.0, exact=exact, chunk_size=10_000
            )
            for chunk in chunks:
                digest.update(chunk.left.tobytes() + chunk.distances.tobytes())
            digest.update(repr(index.similarity_join_count(threshold=4.0)).encode())
            lists = index.radius_neighbors(queries, 5.5, exact=exact)
            digest.update(lists.indptr.tobytes() + lists.indices.tobytes())
            digest.update(lists.distances.tobytes())
    base, queries = curved_rows(), curved_rows()[::700]
    index = index_of(base)
    found = index.nearest_neighbors(queries, 10, exact=True)
    digest.update(found.indices.tobytes() + found.distances.tobytes())
    lists = index.radius_neighbors(queries, float(found.distances.max()), exact=True)
    digest.update(lists.indices.tobytes() + lists.distances.tobytes())
    return digest.hexdigest()


@cache  # also because a forked child cannot rely on its parent's BLAS
def curved_rows(n: int = 17_000, dim: int = 160) -> Rows:
    """Rows near a surface of few dimensions, so many that short forms pay."""
    random = np.random.default_rng(5)
    spectrum = 0.8 ** np.arange(dim) + 0.01
    made = random.standard_normal((n, dim)) * spectrum
    turn = np.linalg.qr(random.standard_normal((dim, dim)))[0]
    turned: Rows = (made @ turn).astype(np.float32)
    return turned


def index_of(base: Rows) -> fast_lsh_ann.LSHIndex:
    model = fast_lsh_ann.BucketedRandomProjectionLSH(2.0, 5, 42).fit(base)
    return model.index(base)


def tiny_rows() -> Rows:
    """Rows whose squared differences are subnormal."""
    return np.random.default_rng(6).standard_normal((300, 16)) * 1e-161


def tiny_checksum(tiny: Rows) -> str:
    """Digest of answers that flushed subnormals or another rounding mode would change."""
    digest = hashlib.sha256()
    base, queries = tiny[:250], tiny[250:]
    model = fast_lsh_ann.BucketedRandomProjectionLSHModel(3e-162, 5, 42, 16)
    digest.update(model.random_vectors.tobytes())
    digest.update(model.transform(base).tobytes())
    for exact in (False, True):
        found = model.index(base).nearest_neighbors(queries, 10, exact=exact)
        digest.update(found.indices.tobytes() + found.distances.tobytes())
        lists = model.index(base).radius_neighbors(queries, 4e-161, exact=exact)
        digest.update(lists.indices.tobytes() + lists.distances.tobytes())
    pairs = fast_lsh_ann.exact_similarity_join(base, queries, 4e-161)
    digest.update(pairs.left.tobytes() + pairs.distances.tobytes())
    return digest.hexdigest()
