"""Rows kept for repeated searches, and exact searches without a model."""

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fast_lsh_ann import _core
from fast_lsh_ann._inputs import (
    PLANS,
    as_count,
    as_flag,
    as_ids,
    as_min_collisions,
    as_plan,
    as_radius,
    as_rows,
    as_threshold,
    as_upper,
)
from fast_lsh_ann._invalid import KeptRows, OnInvalid, as_skip
from fast_lsh_ann._log import logger
from fast_lsh_ann._progress import Progress
from fast_lsh_ann._runtime import simd_info
from fast_lsh_ann._search import (
    JoinSides,
    JoinTerms,
    count_pairs,
    join_chunks,
    join_index,
    join_rows,
    search_index,
    search_radius,
    search_rows,
)
from fast_lsh_ann.errors import DimensionError, SchemeMismatchError
from fast_lsh_ann.results import Neighbors, Pairs, RadiusNeighbors

if TYPE_CHECKING:
    from fast_lsh_ann.model import BucketedRandomProjectionLSHModel

Plan = Literal["auto", "dense", "bucket", "gather"]

__all__ = ["LSHIndex", "exact_nearest_neighbors", "exact_similarity_join"]


class LSHIndex:
    """Checked rows for repeated neighbor searches and joins.

    Made by :meth:`BucketedRandomProjectionLSHModel.index`.  It keeps a reference to the
    array (or a copy), which must not change while the index is in use: a change gives
    undefined answers, never a crash.  Any number of threads may search one index.

    Examples
    --------
    >>> import numpy as np
    >>> from fast_lsh_ann import BucketedRandomProjectionLSH
    >>> rows = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
    >>> index = BucketedRandomProjectionLSH(bucket_length=100.0).fit(rows).index(rows)
    >>> index
    LSHIndex(3 rows x 2, float64, bucket_length=100.0, num_hash_tables=1)
    >>> list(index.nearest_neighbors([[0.0, 0.0]], k=2, exact=True))
    [[(0, 0.0), (2, 1.0)]]
    """

    def __init__(
        self,
        model: "BucketedRandomProjectionLSHModel",
        vectors: ArrayLike,
        ids: ArrayLike | None = None,
        *,
        copy: bool = False,
        on_invalid: OnInvalid = "raise",
        name: str = "vectors",
    ) -> None:
        skip = as_skip(on_invalid)
        rows = as_rows(vectors, name, model.dim, fill=skip)
        if as_flag(copy, "copy"):
            rows = rows.copy()
        self._model = model
        self._kept = KeptRows(rows, skip)
        self._ids = None if ids is None else as_ids(ids, len(rows))
        with self._kept.own_numbers():
            self._core = _core.index_new(model._core, self._kept.rows, 0, name)
        if logger.isEnabledFor(logging.DEBUG):  # what it costs is paid by those who look
            logger.debug("%r: %r, %r", self, self.explain(), self.memory_usage())

    @property
    def model(self) -> "BucketedRandomProjectionLSHModel":
        """The model whose hash tables decide who is a candidate."""
        return self._model

    @property
    def ids(self) -> NDArray[Any] | None:
        """The ids given for the rows, [rows], or None."""
        return self._ids

    @property
    def skipped(self) -> NDArray[np.int64]:
        """Numbers of the rows left out by ``on_invalid="skip"``, ascending."""
        return self._kept.skipped

    def __len__(self) -> int:
        return len(self._kept.rows)

    def __repr__(self) -> str:
        model = self._model
        ids = "" if self._ids is None else ", with ids"
        return (
            f"LSHIndex({len(self)} rows x {model.dim}, {self._kept.rows.dtype}{ids}, "
            f"bucket_length={model.bucket_length}, "
            f"num_hash_tables={model.num_hash_tables})"
        )

    def nearest_neighbors(
        self,
        queries: ArrayLike,
        k: int,
        *,
        exact: bool = False,
        min_collisions: int = 1,
        plan: Plan = "auto",
        on_invalid: OnInvalid = "raise",
        progress: Progress = False,
    ) -> Neighbors:
        """Find the k nearest candidates of each query, by (distance, row).

        A candidate shares its bucket with the query in at least `min_collisions` hash
        tables, as in Spark's ``approxNearestNeighbors``; with ``exact=True`` every row is
        one.  Distances are Euclidean, in double, whatever the type of the rows.

        Parameters
        ----------
        queries : array_like, [q, dim]
            Any real numeric type.
        k : int
            At least 1; may pass the number of rows.
        exact : bool
            Take every row as a candidate.
        min_collisions : int
            From 1 to the number of hash tables; must stay 1 with ``exact=True``.
        plan : {"auto", "dense", "bucket", "gather"}
            How to go about it, never what is found; :meth:`explain` tells what "auto"
            does.  "dense" filters all rows, "bucket" the rows that share a bucket with a
            query, "gather" fetches each of those by itself.
        on_invalid : {"raise", "skip"}
            What to do with a query that is null, holds null, NaN or infinity, or is of
            another length than the first valid one: raise, or find nothing.
        progress : bool or callable
            True for a bar after two seconds, or a function of (done, total).

        Returns
        -------
        Neighbors
            Arrays of min(k, rows) columns.

        Raises
        ------
        InputTypeError, DimensionError
            If `queries` is not a 2-D array of real numbers of the model's dimension.
        InvalidVectorError
            If a query holds NaN or infinity, unless these are skipped.
        BucketRangeError
            If a query's bucket does not fit in int64.
        ParameterError
            If `k`, `min_collisions`, `plan` or `on_invalid` is out of range.

        Notes
        -----
        O(q n dim) multiply-adds at worst, on 8-bit codes with a proven error bound; the
        rows that pass are decided in double.  Memory is O(q (k + dim)).
        """
        model = self._model
        skip = as_skip(on_invalid)
        kept = KeptRows(as_rows(queries, "queries", model.dim, fill=skip), skip)
        with kept.own_numbers():
            found = search_index(
                self._core,
                len(self),
                kept.rows,
                as_count(k, "k", 1),
                as_min_collisions(min_collisions, model.num_hash_tables, exact),
                as_plan(plan, exact),
                progress,
            )
        found.indices = self._kept.renumber(found.indices)
        found = kept.spread_neighbors(found)
        if self._ids is not None:
            found.ids = _ids_of(self._ids, found.indices)
        return found

    def radius_neighbors(
        self,
        queries: ArrayLike,
        radius: ArrayLike,
        *,
        exact: bool = False,
        min_collisions: int = 1,
        strict: bool = False,
        plan: Plan = "auto",
        on_invalid: OnInvalid = "raise",
        progress: Progress = False,
    ) -> RadiusNeighbors:
        """Find all candidates of each query within a radius, by (distance, row).

        Parameters
        ----------
        queries : array_like, [q, dim]
            Any real numeric type.
        radius : float or array_like, [q]
            At least 0, one for all queries or one for each; candidates with
            ``distance <= radius`` are kept.  Infinity keeps every candidate.
        exact : bool
            Take every row as a candidate.
        min_collisions : int
            From 1 to the number of hash tables; must stay 1 with ``exact=True``.
        strict : bool
            Keep ``distance < radius`` instead.
        plan : {"auto", "dense", "bucket", "gather"}
            As in :meth:`nearest_neighbors`.
        on_invalid : {"raise", "skip"}
            As in :meth:`nearest_neighbors`.
        progress : bool or callable
            True for a bar after two seconds, or a function of (done, total).

        Returns
        -------
        RadiusNeighbors
            A list for each query, of any length.

        Raises
        ------
        InputTypeError, DimensionError
            If `queries` is not a 2-D array of real numbers of the model's dimension, or
            `radius` is no number and not as long as there are queries.
        InvalidVectorError
            If a query holds NaN or infinity, unless these are skipped.
        BucketRangeError
            If a query's bucket does not fit in int64.
        ParameterError
            If `radius`, `min_collisions`, `plan` or `on_invalid` is out of range.
        OutOfMemoryError
            If the neighbors do not fit in memory.

        Notes
        -----
        O(q n dim) multiply-adds at worst; memory grows with the neighbors returned, not
        with the candidates.

        Examples
        --------
        >>> from fast_lsh_ann import BucketedRandomProjectionLSH
        >>> rows = [[0.0], [2.0], [5.0], [6.0]]
        >>> index = BucketedRandomProjectionLSH(bucket_length=100.0).fit(rows).index(rows)
        >>> found = index.radius_neighbors([[4.5], [9.0]], radius=2.5, exact=True)
        >>> found
        RadiusNeighbors(2 queries, 3 found)
        >>> found[0]
        (array([2, 3, 1]), array([0.5, 1.5, 2.5]))
        >>> found.indptr
        array([0, 3, 3])
        """
        model = self._model
        skip = as_skip(on_invalid)
        kept = KeptRows(as_rows(queries, "queries", model.dim, fill=skip), skip)
        with kept.own_numbers():
            found = search_radius(
                self._core,
                kept.rows,
                kept.values_of(as_radius(radius, kept.total)),
                as_min_collisions(min_collisions, model.num_hash_tables, exact),
                as_plan(plan, exact),
                as_flag(strict, "strict"),
                progress,
            )
        found.indices = self._kept.renumber(found.indices)
        found = kept.spread_radius(found)
        if self._ids is not None:
            found.ids = self._ids[found.indices]
        return found

    def similarity_join(
        self,
        other: "LSHIndex | ArrayLike | None" = None,
        *,
        threshold: float,
        exact: bool = False,
        min_collisions: int = 1,
        self_pairs: Literal["all", "upper"] = "all",
        strict: bool = False,
        plan: Plan = "auto",
        progress: Progress = False,
    ) -> Pairs:
        """Find all candidate pairs within a distance, by (left, right), each once.

        Parameters
        ----------
        other : LSHIndex or array_like, optional
            The right side; without it (or with this index) the rows are joined with
            themselves.
        threshold : float
            At least 0; pairs with ``distance <= threshold`` are kept.
        exact : bool
            Take every pair as a candidate.
        min_collisions : int
            Hash tables in which a candidate pair shares its bucket.
        self_pairs : {"all", "upper"}
            In a self-join: all ordered pairs, (i, i) too, as Spark does; or i < j only,
            at half the cost.
        strict : bool
            Keep ``distance < threshold`` instead, as Spark's ``approxSimilarityJoin``.
        plan : {"auto", "dense", "bucket", "gather"}
            As in :meth:`nearest_neighbors`.
        progress : bool or callable
            True for a bar after two seconds, or a function of (done, total).

        Returns
        -------
        Pairs

        Raises
        ------
        InputTypeError, DimensionError, InvalidVectorError, BucketRangeError
            If `other` is not vectors of the model's dimension.
        ParameterError
            If `threshold`, `min_collisions`, `plan` or `self_pairs` is out of range.
        OutOfMemoryError
            If the pairs do not fit in memory.

        Notes
        -----
        O(n m dim) multiply-adds at worst; memory grows with the pairs returned, not with
        the candidates.
        """
        terms = self._terms(
            other, threshold, exact, min_collisions, strict, self_pairs, plan
        )
        pairs = join_index(self._sides(other), terms, progress)
        return self._renumber(other, pairs)

    def similarity_join_count(
        self,
        other: "LSHIndex | ArrayLike | None" = None,
        *,
        threshold: float,
        exact: bool = False,
        min_collisions: int = 1,
        self_pairs: Literal["all", "upper"] = "all",
        strict: bool = False,
        plan: Plan = "auto",
        progress: Progress = False,
    ) -> int:
        """Count the pairs of :meth:`similarity_join`, and keep none.

        Parameters and errors are those of :meth:`similarity_join`.

        Returns
        -------
        int

        Examples
        --------
        >>> from fast_lsh_ann import BucketedRandomProjectionLSH
        >>> rows = [[0.0], [2.0], [5.0], [6.0]]
        >>> index = BucketedRandomProjectionLSH(bucket_length=100.0).fit(rows).index(rows)
        >>> index.similarity_join_count(threshold=2.0, self_pairs="upper")
        2
        """
        terms = self._terms(
            other, threshold, exact, min_collisions, strict, self_pairs, plan
        )
        return count_pairs(self._sides(other), terms, progress)

    def similarity_join_chunks(
        self,
        other: "LSHIndex | ArrayLike | None" = None,
        *,
        threshold: float,
        exact: bool = False,
        min_collisions: int = 1,
        self_pairs: Literal["all", "upper"] = "all",
        strict: bool = False,
        chunk_size: int = 1_000_000,
        plan: Plan = "auto",
        progress: Progress = False,
    ) -> Iterator[Pairs]:
        """Give the pairs of :meth:`similarity_join` in order, so many at a time.

        For joins whose pairs do not fit in memory: nothing grows with their number.

        Parameters and errors are those of :meth:`similarity_join`, and:

        Parameters
        ----------
        chunk_size : int
            Pairs of a chunk, at least 1; the last one may have fewer.

        Yields
        ------
        Pairs
            Never empty.

        Notes
        -----
        Arguments are checked at once, the rows of `other` too; pairs are searched as
        they are asked for.  A self-join of all pairs costs twice what
        :meth:`similarity_join` does, which turns the pairs round that it has.

        Examples
        --------
        >>> from fast_lsh_ann import BucketedRandomProjectionLSH
        >>> rows = [[0.0], [2.0], [5.0], [6.0]]
        >>> index = BucketedRandomProjectionLSH(bucket_length=100.0).fit(rows).index(rows)
        >>> for chunk in index.similarity_join_chunks(threshold=2.0, chunk_size=4):
        ...     print(len(chunk), chunk.distances.sum())
        4 4.0
        4 2.0
        """
        terms = self._terms(
            other, threshold, exact, min_collisions, strict, self_pairs, plan
        )
        size = as_count(chunk_size, "chunk_size", 1)
        if other is None or other is self:
            right = None
        elif isinstance(other, LSHIndex):
            right = _same_scheme(self, other)._core
        else:
            right = LSHIndex(self._model, other, name="other")._core
        chunks = join_chunks(self._core, right, terms, size, progress)
        return (self._renumber(other, pairs) for pairs in chunks)

    def _renumber(self, other: "LSHIndex | ArrayLike | None", pairs: Pairs) -> Pairs:
        """Give pairs the row numbers of the arrays, not of what was kept of them."""
        pairs.left = self._kept.renumber(pairs.left)
        right = self if other is None else other
        if isinstance(right, LSHIndex):
            pairs.right = right._kept.renumber(pairs.right)
        return pairs

    def _sides(self, other: "LSHIndex | ArrayLike | None") -> JoinSides:
        """Choose which side of a join is searched: the larger index."""
        if other is None or other is self:
            return JoinSides(self._core, None, False, "vectors")
        if not isinstance(other, LSHIndex):
            rows = as_rows(other, "other", self._model.dim)
            return JoinSides(self._core, rows, False, "other")
        if len(_same_scheme(self, other)) > len(self):
            return JoinSides(other._core, self._kept.rows, True, "vectors")
        return JoinSides(self._core, other._kept.rows, False, "other")

    def _terms(
        self,
        other: object,
        threshold: float,
        exact: bool,
        min_collisions: int,
        strict: bool,
        self_pairs: str,
        plan: str,
    ) -> JoinTerms:
        """Check what a join is asked, but for its sides."""
        tables = self._model.num_hash_tables
        return JoinTerms(
            as_threshold(threshold),
            as_min_collisions(min_collisions, tables, exact),
            as_flag(strict, "strict"),
            as_upper(self_pairs, other is None or other is self),
            as_plan(plan, exact),
        )

    def memory_usage(self) -> dict[str, int]:
        """Bytes of each part of the index, and their sum without the rows.

        Returns
        -------
        dict
            "rows": the array it refers to.  "codes": a byte a coordinate and 4 a row.
            "short_forms": where they pay.  "buckets": a byte a row and hash, where
            that holds them.  "runs": rows sorted by bucket, for models that select
            little.  "index": all but the rows.

        Examples
        --------
        >>> import numpy as np
        >>> from fast_lsh_ann import BucketedRandomProjectionLSH
        >>> rows = np.zeros((64, 8), dtype=np.float32)
        >>> BucketedRandomProjectionLSH().fit(rows).index(rows).memory_usage()["codes"]
        776
        """
        names = ("rows", "codes", "short_forms", "buckets", "runs")
        parts = dict(zip(names, _core.index_measure(self._core), strict=True))
        return {**parts, "index": sum(parts.values()) - parts["rows"]}

    def explain(
        self,
        queries: int = 1,
        *,
        exact: bool = False,
        min_collisions: int = 1,
        plan: Plan = "auto",
    ) -> dict[str, Any]:
        """Tell what :meth:`nearest_neighbors` would do, and why.

        Parameters
        ----------
        queries : int
            How many there would be.
        exact, min_collisions, plan
            As in :meth:`nearest_neighbors`.

        Returns
        -------
        dict
            "plan": "dense" or "bucket".  "candidate_share": of all pairs, estimated on a
            sample of the rows.  "short_form": coordinates that are filtered first, 0
            where all are.  "row_bytes": read of each row by a dense filter.  "bytes": the
            same of all rows.  "dense_seconds", "bucket_seconds": about what each plan
            would take.  "tier", "threads": what would run.

        Raises
        ------
        InputTypeError, ParameterError
            If an argument is out of range.
        """
        info = simd_info()
        found, share, short_form, row_bytes, dense, bucket = _core.index_explain(
            self._core,
            as_count(queries, "queries", 0),
            as_min_collisions(min_collisions, self._model.num_hash_tables, exact),
            as_plan(plan, exact),
        )
        return {
            "plan": PLANS[found],
            "candidate_share": share,
            "short_form": short_form,
            "row_bytes": row_bytes,
            "bytes": row_bytes * len(self),
            "dense_seconds": dense / info.threads,
            "bucket_seconds": bucket / info.threads,
            "tier": info.tier,
            "threads": info.threads,
        }


def _same_scheme(index: LSHIndex, other: LSHIndex) -> LSHIndex:
    """Refuse an index whose buckets mean something else."""
    if index.model.dim != other.model.dim:
        raise DimensionError(
            f"other: wanted vectors of dimension {index.model.dim}, got {other.model.dim}"
        )
    if not index.model._hashes_as(other.model):
        raise SchemeMismatchError(
            f"other: indexes of different models cannot be joined: "
            f"{index.model} and {other.model}"
        )
    return other


def _ids_of(ids: NDArray[Any], indices: NDArray[np.int64]) -> NDArray[Any]:
    """Give the ids of rows; past the last -1, or None for ids that int64 cannot hold."""
    missing = indices < 0
    if len(ids) == 0:
        return np.empty(indices.shape, dtype=ids.dtype)
    found = ids[np.where(missing, 0, indices)]
    if missing.any():
        whole = np.can_cast(ids.dtype, np.int64)
        found = found.astype(np.int64 if whole else object)
        found[missing] = -1 if whole else None
    return found


def exact_nearest_neighbors(
    vectors: ArrayLike, queries: ArrayLike, k: int, *, progress: Progress = False
) -> Neighbors:
    """Find the k nearest rows of each query among all rows, by (distance, row).

    Parameters
    ----------
    vectors : array_like, [n, dim]
        Any real numeric type.
    queries : array_like, [q, dim]
        Of the same dimension.
    k : int
        At least 1; may pass n.
    progress : bool or callable
        True for a bar after two seconds, or a function of (done, total).

    Returns
    -------
    Neighbors
        Arrays of min(k, n) columns.

    Raises
    ------
    InputTypeError, DimensionError, InvalidVectorError
        If either is not a 2-D array of finite real numbers, or the dimensions differ.
    ParameterError
        If `k` is less than 1.

    Notes
    -----
    O(n q dim) multiply-adds in float32 with a proven error bound; what that cannot decide
    is decided in double.

    Examples
    --------
    >>> from fast_lsh_ann import exact_nearest_neighbors
    >>> found = exact_nearest_neighbors([[0.0], [2.0], [5.0]], [[1.5]], k=2)
    >>> found
    Neighbors(1 queries x 2, 2 found)
    >>> found[0]
    [(1, 0.5), (0, 1.5)]
    """
    rows = as_rows(vectors, "vectors")
    dim = rows.shape[1] if len(rows) else None
    asked = as_rows(queries, "queries", dim)
    return search_rows(
        None, rows, asked, as_count(k, "k", 1), 0, progress, ("vectors", "queries")
    )


def exact_similarity_join(
    a: ArrayLike,
    b: ArrayLike,
    threshold: float,
    *,
    strict: bool = False,
    self_pairs: Literal["all", "upper"] = "all",
    progress: Progress = False,
) -> Pairs:
    """Find all pairs of rows within a distance, by (left, right), each once.

    Parameters
    ----------
    a, b : array_like, [n, dim] and [m, dim]
        Left and right rows; the same array twice is a self-join.
    threshold : float
        At least 0; pairs with ``distance <= threshold`` are kept.
    strict : bool
        Keep ``distance < threshold`` instead.
    self_pairs : {"all", "upper"}
        In a self-join: all ordered pairs, (i, i) too; or i < j only, at half the cost.
    progress : bool or callable
        True for a bar after two seconds, or a function of (done, total).

    Returns
    -------
    Pairs

    Raises
    ------
    InputTypeError, DimensionError, InvalidVectorError
        If either is not a 2-D array of finite real numbers, or the dimensions differ.
    ParameterError
        If `threshold` or `self_pairs` is out of range.

    Examples
    --------
    >>> from fast_lsh_ann import exact_similarity_join
    >>> list(exact_similarity_join([[0.0], [4.0]], [[1.0], [3.5]], threshold=1.0))
    [(0, 0, 1.0), (1, 1, 0.5)]
    """
    limit = as_threshold(threshold)
    upper = as_upper(self_pairs, a is b)
    left = as_rows(a, "a")
    dim = left.shape[1] if len(left) else None
    right = None if a is b else as_rows(b, "b", dim)
    terms = JoinTerms(limit, 0, as_flag(strict, "strict"), upper)
    return join_rows(None, left, right, terms, progress, ("a", "b"))
