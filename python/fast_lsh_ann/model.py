"""The estimator and its model: Spark ML's BucketedRandomProjectionLSH on arrays."""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fast_lsh_ann import _core
from fast_lsh_ann._inputs import (
    as_count,
    as_min_collisions,
    as_query,
    as_real,
    as_rows,
    as_threshold,
    as_upper,
    dim_of,
)
from fast_lsh_ann._invalid import OnInvalid
from fast_lsh_ann._progress import Progress
from fast_lsh_ann._search import JoinTerms, join_rows, search_rows
from fast_lsh_ann.errors import InputTypeError, ParameterError
from fast_lsh_ann.index import LSHIndex

__all__ = ["BucketedRandomProjectionLSH", "BucketedRandomProjectionLSHModel"]

SparkProfile = Literal["java11", "java8", "vector2", "vector4", "vector8"]
_PROFILES = ("java11", "java8", "vector2", "vector4", "vector8")  # in fla_profile's order


def _new_core(
    bucket_length: Any, num_hash_tables: Any, seed: Any, dim: int, spark_profile: str
) -> "tuple[_core.Model, float, int, int]":
    """Check the parameters and draw the unit vectors."""
    width = as_real(bucket_length, "bucket_length")
    tables = as_count(num_hash_tables, "num_hash_tables", 1)
    number = as_count(seed, "seed", -(2**63))
    if number >= 2**63:
        raise ParameterError(f"seed must fit in int64, got {number}")
    if spark_profile not in _PROFILES:
        raise ParameterError(
            f"spark_profile must be one of {', '.join(_PROFILES)}, got {spark_profile!r}"
        )
    most = 2**63 - 1
    core = _core.model_new(
        width, min(tables, most), number, min(dim, most), _PROFILES.index(spark_profile)
    )
    return core, width, tables, number


class BucketedRandomProjectionLSH:
    """Locality sensitive hashing for Euclidean distance by bucketed random projections.

    The parameters of a model, before the dimension is known.  Every hash table t has a
    random unit vector r_t; the bucket of x is ``floor(x . r_t / bucket_length)``.

    Parameters
    ----------
    bucket_length : float
        Width of a bucket, in units of distance: positive and finite, with a finite
        reciprocal.  Wider buckets make more candidates: higher recall, less selection.
    num_hash_tables : int
        At least 1.  A row is a candidate when it collides in any of them.
    seed : int
        Of ``java.util.Random``; only its low 48 bits matter.
    spark_profile : {"java11", "java8", "vector2", "vector4", "vector8"}
        Which JVM's rounding the unit vectors follow: "java11" is Spark 3.2 to 3.5 on
        JDK 11 and later; Spark 4 is "vector8" on AVX-512 machines, "vector4" on AVX2.
        They differ in the last bit at most.

    Raises
    ------
    InputTypeError, ParameterError
        If a parameter is of the wrong type or out of range.

    Notes
    -----
    The scheme is that of Spark ML's class of the same name, bit for bit, after Datar,
    Immorlica, Indyk and Mirrokni, "Locality-sensitive hashing scheme based on p-stable
    distributions", 2004.

    Examples
    --------
    >>> import numpy as np
    >>> from fast_lsh_ann import BucketedRandomProjectionLSH
    >>> vectors = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0], [-1.0, 1.0]])
    >>> model = BucketedRandomProjectionLSH(bucket_length=1.0, seed=12345).fit(vectors)
    >>> model.transform(vectors)
    array([[ 0],
           [-2],
           [-1],
           [ 1]])
    >>> model.approx_nearest_neighbors(vectors, np.array([1.0, 0.9]), k=1)
    [(0, 0.09999999999999998)]
    """

    __slots__ = ("_bucket_length", "_num_hash_tables", "_seed", "_spark_profile")

    def __init__(
        self,
        bucket_length: float = 2.0,
        num_hash_tables: int = 1,
        seed: int = 42,
        *,
        spark_profile: SparkProfile = "java11",
    ) -> None:
        # A model of one dimension costs nothing and checks everything.
        _, width, tables, number = _new_core(
            bucket_length, num_hash_tables, seed, 1, spark_profile
        )
        self._bucket_length = width
        self._num_hash_tables = tables
        self._seed = number
        self._spark_profile = spark_profile

    @property
    def bucket_length(self) -> float:
        """Width of a bucket, in units of distance."""
        return self._bucket_length

    @property
    def num_hash_tables(self) -> int:
        """Number of hash tables."""
        return self._num_hash_tables

    @property
    def seed(self) -> int:
        """Seed of the generator."""
        return self._seed

    @property
    def spark_profile(self) -> SparkProfile:
        """Which JVM's rounding the unit vectors follow."""
        return self._spark_profile

    def __repr__(self) -> str:
        return f"BucketedRandomProjectionLSH({_parameters(self)})"

    def fit(self, vectors: ArrayLike) -> "BucketedRandomProjectionLSHModel":
        """Make a model for vectors like these: only their dimension is read.

        Parameters
        ----------
        vectors : array_like, [n, dim]

        Raises
        ------
        InputTypeError, DimensionError
            If `vectors` is not a 2-D array of real numbers.
        """
        return self.create_model(dim_of(vectors, "vectors"))

    def create_model(self, dim: int) -> "BucketedRandomProjectionLSHModel":
        """Make a model for vectors of a given dimension.

        Parameters
        ----------
        dim : int
            At least 1.

        Raises
        ------
        InputTypeError, ParameterError
            If `dim` is not a whole number of at least 1, or num_hash_tables x dim passes
            2**26.
        """
        return BucketedRandomProjectionLSHModel(
            self._bucket_length,
            self._num_hash_tables,
            self._seed,
            dim,
            spark_profile=self._spark_profile,
        )


def _parameters(
    of: "BucketedRandomProjectionLSH | BucketedRandomProjectionLSHModel",
) -> str:
    profile = of.spark_profile
    return (
        f"bucket_length={of.bucket_length}, num_hash_tables={of.num_hash_tables}, "
        f"seed={of.seed}"
        + (f", spark_profile={profile!r}" if profile != "java11" else "")
    )


class BucketedRandomProjectionLSHModel:
    """Unit vectors and bucket length: what hashes vectors and decides who is a candidate.

    A model holds no data and never changes; any number of threads may use one.  It
    pickles to its parameters alone.  It answers for any vectors of its dimension, not
    only those passed to ``fit``.

    Parameters
    ----------
    bucket_length, num_hash_tables, seed, spark_profile
        As in :class:`BucketedRandomProjectionLSH`.
    dim : int
        Dimension of the vectors, at least 1.

    Raises
    ------
    InputTypeError, ParameterError
        If a parameter is of the wrong type or out of range.
    """

    __slots__ = ("_core", "_dim", "_lsh", "_vectors")

    def __init__(
        self,
        bucket_length: float = 2.0,
        num_hash_tables: int = 1,
        seed: int = 42,
        dim: int = 128,
        *,
        spark_profile: SparkProfile = "java11",
    ) -> None:
        self._dim = as_count(dim, "dim", 1)
        self._lsh = BucketedRandomProjectionLSH(
            bucket_length, num_hash_tables, seed, spark_profile=spark_profile
        )
        self._core = _new_core(
            bucket_length, num_hash_tables, seed, self._dim, spark_profile
        )[0]
        self._vectors: NDArray[np.float64] | None = None

    @property
    def bucket_length(self) -> float:
        """Width of a bucket, in units of distance."""
        return self._lsh.bucket_length

    @property
    def num_hash_tables(self) -> int:
        """Number of hash tables."""
        return self._lsh.num_hash_tables

    @property
    def seed(self) -> int:
        """Seed of the generator."""
        return self._lsh.seed

    @property
    def spark_profile(self) -> SparkProfile:
        """Which JVM's rounding the unit vectors follow."""
        return self._lsh.spark_profile

    @property
    def dim(self) -> int:
        """Dimension of the vectors."""
        return self._dim

    @property
    def random_vectors(self) -> NDArray[np.float64]:
        """Unit vectors, read-only, [num_hash_tables, dim]: Spark's randUnitVectors."""
        if self._vectors is None:
            vectors = np.empty((self.num_hash_tables, self._dim))
            _core.model_vectors(self._core, vectors)
            vectors.flags.writeable = False
            self._vectors = vectors
        return self._vectors

    def __repr__(self) -> str:
        return (
            f"BucketedRandomProjectionLSHModel({_parameters(self._lsh)}, dim={self._dim})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        parameters = (self.bucket_length, self.num_hash_tables, self.seed, self._dim)
        if self.spark_profile == "java11":
            return BucketedRandomProjectionLSHModel, parameters
        return _restore, (*parameters, self.spark_profile)

    def transform(self, vectors: ArrayLike) -> NDArray[np.int64]:
        """Compute the bucket of every row in every hash table.

        Parameters
        ----------
        vectors : array_like, [n, dim]
            Any real numeric type.

        Returns
        -------
        ndarray of int64, [n, num_hash_tables]
            ``floor(x . r_t / bucket_length)``, the dot product a sequential chain of
            fused multiply-adds in double, as Spark 3.2 and later compute it.

        Raises
        ------
        InputTypeError, DimensionError
            If `vectors` is not a 2-D array of real numbers of the model's dimension.
        InvalidVectorError
            If a row holds NaN or infinity.
        BucketRangeError
            If a bucket does not fit in int64.

        Notes
        -----
        O(n dim num_hash_tables) multiply-adds.
        """
        rows = as_rows(vectors, "vectors", self._dim)
        buckets = np.empty((len(rows), self.num_hash_tables), dtype=np.int64)
        _core.model_hash(self._core, rows, 0, buckets, None, "vectors")
        return buckets

    def approx_nearest_neighbors(
        self,
        vectors: ArrayLike,
        query: ArrayLike,
        k: int,
        *,
        min_collisions: int = 1,
    ) -> list[tuple[int, float]]:
        """Find the k candidates nearest to one query.

        Parameters
        ----------
        vectors : array_like, [n, dim]
            The rows searched.
        query : array_like, [dim]
        k : int
            At least 1.
        min_collisions : int
            Hash tables in which a candidate shares the query's bucket.

        Returns
        -------
        list of (int, float)
            Row and Euclidean distance, by (distance, row); fewer than k when there are
            fewer candidates.

        Raises
        ------
        InputTypeError, DimensionError, InvalidVectorError, BucketRangeError
            If `vectors` or `query` is not finite numbers of the model's dimension.
        ParameterError
            If `k` or `min_collisions` is out of range.

        See Also
        --------
        index : Keep the rows for repeated searches.
        """
        rows = as_rows(vectors, "vectors", self._dim)
        return search_rows(
            self._core,
            rows,
            as_query(query, "query", self._dim),
            as_count(k, "k", 1),
            as_min_collisions(min_collisions, self.num_hash_tables),
            False,
            ("vectors", "query"),
        )[0]

    def batch_approx_nearest_neighbors(
        self,
        vectors: ArrayLike,
        queries: ArrayLike,
        k: int,
        *,
        min_collisions: int = 1,
        progress: Progress = False,
    ) -> list[list[tuple[int, float]]]:
        """Find the k candidates nearest to each of several queries.

        Parameters
        ----------
        vectors : array_like, [n, dim]
            The rows searched.
        queries : array_like, [q, dim]
        k : int
            At least 1.
        min_collisions : int
            Hash tables in which a candidate shares the query's bucket.
        progress : bool or callable
            True for a bar after two seconds, or a function of (done, total).

        Returns
        -------
        list of list of (int, float)
            One list per query, as of :meth:`approx_nearest_neighbors`.

        Raises
        ------
        InputTypeError, DimensionError, InvalidVectorError, BucketRangeError
            If `vectors` or `queries` is not finite numbers of the model's dimension.
        ParameterError
            If `k` or `min_collisions` is out of range.
        """
        rows = as_rows(vectors, "vectors", self._dim)
        found = search_rows(
            self._core,
            rows,
            as_rows(queries, "queries", self._dim),
            as_count(k, "k", 1),
            as_min_collisions(min_collisions, self.num_hash_tables),
            progress,
            ("vectors", "queries"),
        )
        return list(found)

    def approx_similarity_join(
        self,
        vectors_a: ArrayLike,
        vectors_b: ArrayLike,
        threshold: float,
        *,
        min_collisions: int = 1,
        strict: bool = False,
        self_pairs: Literal["all", "upper"] = "all",
        progress: Progress = False,
    ) -> list[tuple[int, int, float]]:
        """Find all candidate pairs within a distance.

        Parameters
        ----------
        vectors_a, vectors_b : array_like, [n, dim] and [m, dim]
            Left and right rows; the same array twice is a self-join.
        threshold : float
            At least 0; pairs with ``distance <= threshold`` are kept.
        min_collisions : int
            Hash tables in which a candidate pair shares its bucket.
        strict : bool
            Keep ``distance < threshold`` instead, as Spark does.
        self_pairs : {"all", "upper"}
            In a self-join: all ordered pairs, (i, i) too, as Spark does; or i < j only.
        progress : bool or callable
            True for a bar after two seconds, or a function of (done, total).

        Returns
        -------
        list of (int, int, float)
            Left row, right row, Euclidean distance, by (left, right), each pair once.

        Raises
        ------
        InputTypeError, DimensionError, InvalidVectorError, BucketRangeError
            If either side is not finite numbers of the model's dimension.
        ParameterError
            If `threshold`, `min_collisions` or `self_pairs` is out of range.
        OutOfMemoryError
            If the pairs do not fit in memory.
        """
        same = vectors_a is vectors_b
        limit = as_threshold(threshold)
        needed = as_min_collisions(min_collisions, self.num_hash_tables)
        upper = as_upper(self_pairs, same)
        left = as_rows(vectors_a, "vectors_a", self._dim)
        right = None if same else as_rows(vectors_b, "vectors_b", self._dim)
        terms = JoinTerms(limit, needed, strict, upper)
        names = ("vectors_a", "vectors_b")
        # Block by block, between which Ctrl-C and other threads get their turn.
        return list(join_rows(self._core, left, right, terms, progress, names))

    def index(
        self,
        vectors: ArrayLike,
        ids: ArrayLike | None = None,
        *,
        copy: bool = False,
        on_invalid: OnInvalid = "raise",
    ) -> LSHIndex:
        """Check rows once and keep them for repeated searches.

        Parameters
        ----------
        vectors : array_like, [n, dim]
            Any real numeric type.  The index keeps a reference; the rows must not change.
        ids : array_like, [n], optional
            Integers or strings that :attr:`Neighbors.ids` gives back.
        copy : bool
            Keep a copy instead of a reference.
        on_invalid : {"raise", "skip"}
            What to do with rows that hold NaN or infinity: raise, or leave them out of
            every answer (:attr:`LSHIndex.skipped` has their numbers).  Skipping copies
            the rows if there are such.

        Raises
        ------
        InputTypeError, DimensionError, InvalidVectorError, BucketRangeError
            If `vectors` is not finite numbers of the model's dimension, or `ids` does not
            fit it.
        ParameterError
            If `on_invalid` is neither.
        """
        if not isinstance(copy, bool):
            raise InputTypeError(f"copy must be True or False, got {copy!r}")
        return LSHIndex(self, vectors, ids, copy=copy, on_invalid=on_invalid)


def _restore(
    bucket_length: float,
    num_hash_tables: int,
    seed: int,
    dim: int,
    spark_profile: SparkProfile,
) -> BucketedRandomProjectionLSHModel:
    """Rebuild a pickled model whose profile is not the default."""
    return BucketedRandomProjectionLSHModel(
        bucket_length, num_hash_tables, seed, dim, spark_profile=spark_profile
    )
