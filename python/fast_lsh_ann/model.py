"""The estimator and its model: Spark ML's BucketedRandomProjectionLSH on arrays."""

import math
import os
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fast_lsh_ann import _core
from fast_lsh_ann._inputs import (
    as_choice,
    as_count,
    as_min_collisions,
    as_query,
    as_real,
    as_rows,
    dim_of,
)
from fast_lsh_ann._invalid import OnInvalid
from fast_lsh_ann._model_joins import ModelJoins
from fast_lsh_ann._old_pickles import called_by_unpickler, old_pickle_error
from fast_lsh_ann._progress import Progress
from fast_lsh_ann._search import search_rows
from fast_lsh_ann.errors import ParameterError
from fast_lsh_ann.index import LSHIndex

if TYPE_CHECKING:
    from fast_lsh_ann._core import Model

__all__ = ["BucketedRandomProjectionLSH", "BucketedRandomProjectionLSHModel"]

SparkProfile = Literal["java11", "java8", "vector2", "vector4", "vector8"]
Projection = Literal["spark", "gaussian"]

# The most that hash tables, hashes a table and coordinates may make, multiplied.
_MOST_VALUES = 1 << 26
# In the order of fla_profile and fla_projection; the first is the default.
_PROFILES = ("java11", "java8", "vector2", "vector4", "vector8")
_PROJECTIONS = ("spark", "gaussian")


class BucketedRandomProjectionLSH:
    """Locality sensitive hashing for Euclidean distance by bucketed random projections.

    The parameters of a model, before the dimension is known.  Every hash table t has a
    random unit vector r_t; the bucket of x is ``floor(x . r_t / bucket_length)``.  A
    table of several hashes has as many vectors, and rows collide in it where they share
    the bucket of every one.

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
    num_hashes_per_table : int
        At least 1; 1 is Spark.  More make a table select more sharply, at the price of
        recall in each: pairs that collide by one hash with probability p do so in a table
        of K with p**K (AND-amplification), in any of T tables with 1 - (1 - p**K)**T.
    projection : {"spark", "gaussian"}
        "spark": unit vectors, as Spark.  "gaussian": standard normal vectors and an
        offset uniform in [0, bucket_length), ``floor((x . r + b) / bucket_length)``: the
        textbook scheme.  Its vectors are about sqrt(dim) long, so that it takes a
        `bucket_length` so many times as large; see docs/migration.md.

    Raises
    ------
    InputTypeError, ParameterError
        If a parameter is of the wrong type or out of range, or a `spark_profile` is asked
        of Gaussian vectors.

    Notes
    -----
    The scheme is that of Spark ML's class of the same name, bit for bit, after Datar,
    Immorlica, Indyk and Mirrokni, "Locality-sensitive hashing scheme based on p-stable
    distributions", 2004, which ``projection="gaussian"`` follows to the letter.

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

    __slots__ = (
        "_bucket_length",
        "_num_hash_tables",
        "_num_hashes_per_table",
        "_projection",
        "_seed",
        "_spark_profile",
    )

    def __init__(
        self,
        bucket_length: float = 2.0,
        num_hash_tables: int = 1,
        seed: int = 42,
        *,
        spark_profile: SparkProfile = "java11",
        num_hashes_per_table: int = 1,
        projection: Projection = "spark",
    ) -> None:
        self._bucket_length = as_real(bucket_length, "bucket_length")
        self._num_hash_tables = as_count(
            num_hash_tables, "num_hash_tables", 1, _MOST_VALUES
        )
        self._seed = as_count(seed, "seed", -(2**63), 2**63 - 1)
        self._spark_profile = spark_profile
        self._num_hashes_per_table = as_count(
            num_hashes_per_table, "num_hashes_per_table", 1, _MOST_VALUES
        )
        self._projection = projection
        self._scheme()
        self._check(1)

    def _scheme(self) -> tuple[int, int]:
        """Give the numbers of profile and projection, which are checked."""
        profile = as_choice(self._spark_profile, "spark_profile", _PROFILES)
        projection = as_choice(self._projection, "projection", _PROJECTIONS)
        if projection != 0 and profile != 0:
            raise ParameterError(
                f"spark_profile={self._spark_profile!r} is about Spark's unit vectors; "
                f"projection={self._projection!r} has none: leave spark_profile out"
            )
        return profile, projection

    def _check(self, dim: int) -> None:
        """Raise what drawing raises, although drawing itself is left for later."""
        length = self._bucket_length
        values = self._num_hash_tables * self._num_hashes_per_table * dim
        fits = 0 < length < math.inf and 1 / length < math.inf
        if not fits or values > _MOST_VALUES:
            self._draw(dim)  # it knows what to say

    def _draw(self, dim: int) -> "Model":
        """Draw the hash functions."""
        profile, projection = self._scheme()
        return _core.model_new(
            self._bucket_length,
            self._num_hash_tables,
            self._seed,
            dim,
            profile,
            self._num_hashes_per_table,
            projection,
        )

    def _options(self) -> dict[str, Any]:
        """Those of the keyword-only parameters that are not the default."""
        options = {
            "spark_profile": (self._spark_profile, "java11"),
            "num_hashes_per_table": (self._num_hashes_per_table, 1),
            "projection": (self._projection, "spark"),
        }
        return {name: value for name, (value, usual) in options.items() if value != usual}

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

    @property
    def num_hashes_per_table(self) -> int:
        """Hashes of a table, all of which must agree for it to collide."""
        return self._num_hashes_per_table

    @property
    def projection(self) -> Projection:
        """Whose vectors: Spark's, or Gaussian ones with offsets."""
        return self._projection

    def __repr__(self) -> str:
        return f"BucketedRandomProjectionLSH({self._parameters()})"

    def _parameters(self) -> str:
        return (
            f"bucket_length={self._bucket_length}, "
            f"num_hash_tables={self._num_hash_tables}, seed={self._seed}"
            + "".join(f", {name}={value!r}" for name, value in self._options().items())
        )

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
            If `dim` is not a whole number of at least 1, or num_hash_tables x
            num_hashes_per_table x dim passes 2**26.
        """
        model = BucketedRandomProjectionLSHModel.__new__(BucketedRandomProjectionLSHModel)
        model._begin(self, dim)
        return model


class BucketedRandomProjectionLSHModel(ModelJoins):
    """Hash functions: what gives vectors their buckets and decides who is a candidate.

    A model holds no data and never changes; any number of threads may use one.  Its hash
    functions are drawn when they are first needed.  It pickles to its parameters alone,
    one loaded from Spark with its vectors.  It answers for any vectors of its dimension,
    not only those passed to ``fit``.

    Parameters
    ----------
    bucket_length, num_hash_tables, seed, spark_profile, num_hashes_per_table, projection
        As in :class:`BucketedRandomProjectionLSH`.
    dim : int
        Dimension of the vectors, at least 1.

    Raises
    ------
    InputTypeError, ParameterError
        If a parameter is of the wrong type or out of range.
    OldPickleError
        If it is a pickle of fast-lsh-ann 0.1.1 that makes the model.
    """

    __slots__ = ("_dim", "_drawn", "_functions", "_lsh", "_made")

    def __init__(
        self,
        bucket_length: float = 2.0,
        num_hash_tables: int = 1,
        seed: int = 42,
        dim: int = 128,
        *,
        spark_profile: SparkProfile = "java11",
        num_hashes_per_table: int = 1,
        projection: Projection = "spark",
    ) -> None:
        if called_by_unpickler():
            raise old_pickle_error(bucket_length, num_hash_tables, seed, dim)
        lsh = BucketedRandomProjectionLSH(
            bucket_length,
            num_hash_tables,
            seed,
            spark_profile=spark_profile,
            num_hashes_per_table=num_hashes_per_table,
            projection=projection,
        )
        self._begin(lsh, dim)

    def _begin(
        self, lsh: BucketedRandomProjectionLSH, dim: int, given: "Model | None" = None
    ) -> None:
        """Take an estimator's parameters, and hash functions unless they are drawn."""
        self._dim = as_count(dim, "dim", 1, _MOST_VALUES)
        self._lsh = lsh
        lsh._check(self._dim)
        self._made = given
        self._drawn = given is None
        self._functions: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None

    @property
    def _core(self) -> "Model":
        """The hash functions in C; two threads may draw them, and one keeps its own."""
        made = self._made
        if made is None:
            self._made = made = self._lsh._draw(self._dim)
        return made

    @classmethod
    def from_spark(
        cls, path: str | os.PathLike[str]
    ) -> "BucketedRandomProjectionLSHModel":
        """Load a model that Spark saved, with the vectors that Spark drew.

        Parameters
        ----------
        path : str or path-like
            The folder of a ``BucketedRandomProjectionLSHModel``, or its ``file:`` URI.

        Returns
        -------
        BucketedRandomProjectionLSHModel
            With Spark's `bucket_length`, `num_hash_tables` and `random_vectors`, to the
            bit.  Its `seed` and `spark_profile` are None: Spark saves them with the
            estimator only.  Column names have no meaning here and are left.

        Raises
        ------
        SparkModelNotFoundError
            If there is no such folder.
        SparkModelError
            If it is not such a model as Spark saves it; the message says what is wrong.
        ParameterError, InputTypeError, InvalidVectorError
            If the bucket length is out of range, a vector is not finite, or `path` is
            the URI of another file system, or no path.
        MissingDependencyError
            If pyarrow is not installed.

        See Also
        --------
        to_spark : The way back.
        """
        from fast_lsh_ann._spark import read_model

        return _restore_given(*read_model(path))

    def to_spark(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write a folder that Spark loads as a ``BucketedRandomProjectionLSHModel``.

        Spark 3 and 4 load it with ``BucketedRandomProjectionLSHModel.load(path)``.  In
        Spark its ``inputCol`` is "features" and its ``outputCol`` "hashes", until its
        setters change them.

        Parameters
        ----------
        path : str or path-like
            The folder to make, or its ``file:`` URI; parents are made too.  It appears
            whole, under its name, or not at all.
        overwrite : bool
            Replace a model of this kind; anything else at `path` is refused.

        Raises
        ------
        SparkModelExistsError
            If there is something at `path`, and it may not be replaced.
        OSError
            If the folder cannot be written; what was there is still there.
        ParameterError, InputTypeError
            If Spark has no such model (Gaussian projections, several hashes per table),
            or `path` is the URI of another file system, or no path.
        MissingDependencyError
            If pyarrow is not installed.
        """
        from fast_lsh_ann._spark import write_model

        if self.projection != "spark" or self.num_hashes_per_table != 1:
            raise ParameterError(
                f"Spark has no projection={self.projection!r} with "
                f"num_hashes_per_table={self.num_hashes_per_table}: only models with "
                f"projection='spark' and one hash per table go there"
            )
        write_model(path, self.bucket_length, self.random_vectors, overwrite=overwrite)

    @property
    def seed(self) -> int | None:
        """Seed of the generator; None for a model whose vectors came from Spark."""
        return self._lsh.seed if self._drawn else None

    @property
    def spark_profile(self) -> SparkProfile | None:
        """Which JVM's rounding the unit vectors follow; None as for `seed`."""
        return self._lsh.spark_profile if self._drawn else None

    @property
    def dim(self) -> int:
        """Dimension of the vectors."""
        return self._dim

    @property
    def _hash_shape(self) -> tuple[int, ...]:
        """Shape of a row's buckets: a table of one hash needs no axis for it."""
        hashes = self.num_hashes_per_table
        return (self.num_hash_tables,) + ((hashes,) if hashes > 1 else ())

    def _read_functions(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if self._functions is None:
            vectors = np.empty((*self._hash_shape, self._dim))
            offsets = np.empty(self._hash_shape)
            _core.model_functions(self._core, vectors, offsets)
            vectors.flags.writeable = offsets.flags.writeable = False
            self._functions = vectors, offsets
        return self._functions

    @property
    def random_vectors(self) -> NDArray[np.float64]:
        """Vectors projected on, read-only, [num_hash_tables, dim].

        Of unit length, Spark's randUnitVectors; or standard normal.  With several hashes
        per table [num_hash_tables, num_hashes_per_table, dim].
        """
        return self._read_functions()[0]

    @property
    def offsets(self) -> NDArray[np.float64]:
        """What is added to projections, read-only, [num_hash_tables].

        0 in Spark's scheme, else in [0, bucket_length).  With several hashes per table
        [num_hash_tables, num_hashes_per_table].
        """
        return self._read_functions()[1]

    def _hashes_as(self, other: "BucketedRandomProjectionLSHModel") -> bool:
        """Whether a bucket means the same in both models."""
        return repr(self) == repr(other) and (
            self._drawn or np.array_equal(self.random_vectors, other.random_vectors)
        )

    def __repr__(self) -> str:
        parameters = self._lsh._parameters()
        if not self._drawn:
            parameters = (
                f"bucket_length={self.bucket_length}, "
                f"num_hash_tables={self.num_hash_tables}, vectors from Spark"
            )
        return f"BucketedRandomProjectionLSHModel({parameters}, dim={self._dim})"

    def __reduce__(self) -> tuple[Any, ...]:
        if not self._drawn:
            return _restore_given, (self.bucket_length, self.random_vectors)
        parameters = (self.bucket_length, self.num_hash_tables, self.seed, self._dim)
        options = self._lsh._options()
        return _restore, (*parameters, options) if options else parameters

    def transform(self, vectors: ArrayLike) -> NDArray[np.int64]:
        """Compute the bucket of every row by every hash.

        Parameters
        ----------
        vectors : array_like, [n, dim]
            Any real numeric type.

        Returns
        -------
        ndarray of int64, [n, num_hash_tables]
            ``floor((x . r + offset) / bucket_length)``, the dot product a sequential
            chain of fused multiply-adds in double, as Spark 3.2 and later compute it.
            With several hashes per table [n, num_hash_tables, num_hashes_per_table].

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
        O(n dim num_hash_tables num_hashes_per_table) multiply-adds.
        """
        rows = as_rows(vectors, "vectors", self._dim)
        buckets = np.empty((len(rows), *self._hash_shape), dtype=np.int64)
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
            Integers, strings or other objects that :attr:`Neighbors.ids` gives back.
        copy : bool
            Keep a copy instead of a reference.
        on_invalid : {"raise", "skip"}
            What to do with rows that are null, hold null, NaN or infinity, or are of
            another length than the first valid row: raise, or leave them out of every
            answer (:attr:`LSHIndex.skipped` has their numbers).  Skipping copies the rows
            if there are such.

        Raises
        ------
        InputTypeError, DimensionError, InvalidVectorError, BucketRangeError
            If `vectors` is not finite numbers of the model's dimension, or `ids` does not
            fit it.
        ParameterError
            If `on_invalid` is neither.
        """
        return LSHIndex(self, vectors, ids, copy=copy, on_invalid=on_invalid)


def _restore(
    bucket_length: float,
    num_hash_tables: int,
    seed: int,
    dim: int,
    options: dict[str, Any] | None = None,
) -> BucketedRandomProjectionLSHModel:
    """Rebuild a pickled model; options are the parameters that are not the default."""
    lsh = BucketedRandomProjectionLSH(
        bucket_length, num_hash_tables, seed, **(options or {})
    )
    return lsh.create_model(dim)


_restore.__module__ = "fast_lsh_ann"  # pickles name it there, in fewer bytes


def _restore_given(
    bucket_length: float, vectors: NDArray[np.float64]
) -> BucketedRandomProjectionLSHModel:
    """Make a model of given vectors, [num_hash_tables, dim]."""
    model = BucketedRandomProjectionLSHModel.__new__(BucketedRandomProjectionLSHModel)
    lsh = BucketedRandomProjectionLSH(bucket_length, len(vectors))
    given = _core.model_given(lsh.bucket_length, len(vectors), vectors)
    model._begin(lsh, vectors.shape[1], given)
    return model
