"""Joins of rows by a model: its methods that take two sides."""

from typing import TYPE_CHECKING, Any, Literal

from numpy.typing import ArrayLike, NDArray

from fast_lsh_ann import _core
from fast_lsh_ann._inputs import (
    as_count,
    as_flag,
    as_min_collisions,
    as_rows,
    as_threshold,
    as_upper,
)
from fast_lsh_ann._parameters import HasParameters
from fast_lsh_ann._progress import Progress
from fast_lsh_ann._search import JoinTerms, join_by_sketch, join_rows

if TYPE_CHECKING:
    from fast_lsh_ann._core import Model


class ModelJoins(HasParameters):
    """What a model does with two sides."""

    __slots__ = ()

    _dim: int

    if TYPE_CHECKING:

        @property
        def _core(self) -> Model: ...

    def _sides(
        self, vectors_a: ArrayLike, vectors_b: ArrayLike
    ) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Check both sides; the same array twice is one, joined with itself."""
        left = as_rows(vectors_a, "vectors_a", self._dim)
        if vectors_a is vectors_b:
            return left, None
        return left, as_rows(vectors_b, "vectors_b", self._dim)

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
        limit = as_threshold(threshold)
        needed = as_min_collisions(min_collisions, self.num_hash_tables)
        upper = as_upper(self_pairs, vectors_a is vectors_b)
        left, right = self._sides(vectors_a, vectors_b)
        terms = JoinTerms(limit, needed, as_flag(strict, "strict"), upper)
        names = ("vectors_a", "vectors_b")
        # Block by block, between which Ctrl-C and other threads get their turn.
        return list(join_rows(self._core, left, right, terms, progress, names))

    def approx_similarity_join_cms(
        self,
        vectors_a: ArrayLike,
        vectors_b: ArrayLike,
        threshold: float,
        min_collisions: int | None = None,
        cms_width: int | None = None,
        *,
        strict: bool = False,
        self_pairs: Literal["all", "upper"] = "all",
        progress: Progress = False,
    ) -> list[tuple[int, int, float]]:
        """Find the pairs within a distance that collide often, by a count-min sketch.

        The same pairs as ``approx_similarity_join(..., min_collisions=...)``, for code
        that asks for them in this way.  Prefer the other method: it compares buckets
        directly, needs no sketch, and is up to 20 times as fast (see Notes).

        Parameters
        ----------
        vectors_a, vectors_b : array_like, [n, dim] and [m, dim]
            Left and right rows; the same array twice is a self-join.
        threshold : float
            At least 0; pairs with ``distance <= threshold`` are kept.
        min_collisions : int, optional
            Hash tables in which a pair must share its bucket; half of the tables, rounded
            up, unless given.
        cms_width : int, optional
            Counters of each of the sketch's four levels, 1 to 2**28; 500,000 unless
            given.  It changes the time, never the result.
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
            If `threshold`, `min_collisions`, `cms_width` or `self_pairs` is out of range.
        OutOfMemoryError
            If the sketch or the pairs do not fit in memory.

        See Also
        --------
        approx_similarity_join : The same pairs, sooner.
        analyze_similarity_join : How often the rows collide.

        Notes
        -----
        The sketch is that of Cormode and Muthukrishnan, "An improved data stream summary:
        the count-min sketch and its applications", 2005.  It counts in how many hash
        tables each pair collides, in 16 bytes x `cms_width` (once for every four threads)
        whatever the data.  Its estimates are never too low; what they admit is checked by
        counting collisions and measuring the distance.  Time is O(collisions), memory
        O((n + m) num_hash_tables) besides the sketch and the result.

        A sketch tells pairs apart only while collisions are few beside its width: beyond
        some multiples of it every pair is admitted.  The other method looks at distances
        first, and compares the buckets of what is near enough.  With 5 tables and 128
        coordinates, 1, 6, 25 and 100 million colliding pairs took two processors 0.013,
        0.09, 0.39 and 1.5 s by a sketch and 0.007, 0.010, 0.019 and 0.067 s without; both
        in memory that does not grow with them (bench/README.md).

        Examples
        --------
        >>> from fast_lsh_ann import BucketedRandomProjectionLSH
        >>> a, b = [[0.5], [4.0]], [[1.0], [9.0]]
        >>> model = BucketedRandomProjectionLSH(2.0, num_hash_tables=3).fit(a)
        >>> model.approx_similarity_join_cms(a, b, threshold=2.0, min_collisions=3)
        [(0, 0, 0.5)]
        """
        limit = as_threshold(threshold)
        tables = self.num_hash_tables
        needed = (tables + 1) // 2
        if min_collisions is not None:
            needed = as_min_collisions(min_collisions, tables)
        upper = as_upper(self_pairs, vectors_a is vectors_b)
        width = _core.SKETCH_WIDTH
        if cms_width is not None:
            width = as_count(cms_width, "cms_width", 1, 2**28)
        left, right = self._sides(vectors_a, vectors_b)
        terms = JoinTerms(limit, needed, as_flag(strict, "strict"), upper)
        names = ("vectors_a", "vectors_b", "cms_width")
        return list(
            join_by_sketch(self._core, left, right, terms, width, progress, names)
        )

    def analyze_similarity_join(
        self, vectors_a: ArrayLike, vectors_b: ArrayLike
    ) -> tuple[int, int, int]:
        """Count how often rows of two sides collide, before they are joined.

        Parameters
        ----------
        vectors_a, vectors_b : array_like, [n, dim] and [m, dim]
            Left and right rows; the same array twice is a self-join of all ordered pairs.

        Returns
        -------
        total_collisions : int
            The sum over hash tables of the pairs that share a bucket, exactly.
        sketch_bytes : int
            What the sketch of :meth:`approx_similarity_join_cms` takes, 8,000,000.
        tables : int
            Hash tables.

        Raises
        ------
        InputTypeError, DimensionError, InvalidVectorError, BucketRangeError
            If either side is not finite numbers of the model's dimension.
        ParameterError
            If the number passes 2**63 - 1.
        OutOfMemoryError
            If the rows' buckets do not fit in memory.

        See Also
        --------
        BucketSketch : An estimate for sides that are too large to hold.

        Notes
        -----
        O((n + m) num_hash_tables log(n)): sizes of buckets are multiplied, no pair is
        looked at.  Divided by n, m and the tables it is the share of pairs that collide
        in a hash table: near 1 the model selects nothing, near 0 it finds little.

        Examples
        --------
        >>> from fast_lsh_ann import BucketedRandomProjectionLSH
        >>> a, b = [[0.0], [4.0]], [[1.0], [3.5]]
        >>> model = BucketedRandomProjectionLSH(2.0, num_hash_tables=3).fit(a)
        >>> model.analyze_similarity_join(a, b)
        (3, 8000000, 3)
        """
        left, right = self._sides(vectors_a, vectors_b)
        names = ("vectors_a", "vectors_b")
        collisions = _core.collisions_count(self._core, left, right, names)
        return (
            collisions,
            4 * _core.SKETCH_DEPTH * _core.SKETCH_WIDTH,
            self.num_hash_tables,
        )
