"""Sketches of buckets: join sizes of sides that are too large to hold."""

import numpy as np
from numpy.typing import ArrayLike

from fast_lsh_ann import _core
from fast_lsh_ann._inputs import as_count, as_rows
from fast_lsh_ann.errors import InputTypeError, SchemeMismatchError
from fast_lsh_ann.model import BucketedRandomProjectionLSHModel

__all__ = ["BucketSketch"]

_BUCKETS = 1 << 20  # computed at once: 8 MB


class BucketSketch:
    """How many rows are in which bucket, about, in fixed memory.

    From the sketches of two sides comes a bound of how often their rows collide, before
    they are joined; the rows may come in any number of parts and need not be kept.  Where
    both sides are in memory, ``model.analyze_similarity_join`` says it exactly.

    Parameters
    ----------
    model : BucketedRandomProjectionLSHModel
        Whose buckets are counted.
    width : int
        Counters of each of the sketch's four levels, 1 to 2**28, of 4 bytes each.

    Raises
    ------
    InputTypeError, ParameterError
        If an argument is of the wrong type or out of range.
    OutOfMemoryError
        If the sketch does not fit in memory.

    Notes
    -----
    A count-min sketch and its inner product query: Cormode and Muthukrishnan, "An
    improved data stream summary: the count-min sketch and its applications", 2005,
    sections 3 and 4.2.  One thread at a time may use a sketch.

    Examples
    --------
    >>> from fast_lsh_ann import BucketedRandomProjectionLSH, BucketSketch
    >>> model = BucketedRandomProjectionLSH(2.0, num_hash_tables=3).create_model(1)
    >>> a, b = BucketSketch(model), BucketSketch(model)
    >>> for part in ([[0.0], [4.0]], [[1.0]]):
    ...     a.add(part)
    >>> b.add([[1.0], [3.5]])
    >>> a.join_size(b)
    6
    """

    __slots__ = ("_core", "_model", "_rows")

    def __init__(
        self,
        model: BucketedRandomProjectionLSHModel,
        width: int = _core.SKETCH_WIDTH,
    ) -> None:
        if not isinstance(model, BucketedRandomProjectionLSHModel):
            raise InputTypeError(
                f"model must be a BucketedRandomProjectionLSHModel, "
                f"got {type(model).__name__}"
            )
        self._core = _core.sketch_new(min(as_count(width, "width", 1), 2**63), "width")
        self._model = model
        self._rows = 0

    @property
    def model(self) -> BucketedRandomProjectionLSHModel:
        """Whose buckets are counted."""
        return self._model

    @property
    def nbytes(self) -> int:
        """Bytes of the counters: 16 x width."""
        return _core.sketch_bytes(self._core)

    def __len__(self) -> int:
        return self._rows

    def __repr__(self) -> str:
        return f"BucketSketch({len(self)} rows, {self.nbytes} bytes)"

    def add(self, vectors: ArrayLike) -> None:
        """Count more rows.

        Parameters
        ----------
        vectors : array_like, [n, dim]

        Raises
        ------
        InputTypeError, DimensionError, InvalidVectorError, BucketRangeError
            If `vectors` is not finite numbers of the model's dimension; rows in front of
            the first bad one may have been counted.
        """
        rows = as_rows(vectors, "vectors", self._model.dim)
        tables, hashes = self._model.num_hash_tables, self._model.num_hashes_per_table
        step = max(1, _BUCKETS // (tables * hashes))
        for first in range(0, len(rows), step):
            part = rows[first : first + step]
            buckets = np.empty((len(part), tables, hashes), dtype=np.int64)
            _core.model_hash(self._model._core, part, first, buckets, None, "vectors")
            _core.sketch_add_buckets(self._core, buckets, len(part), tables, hashes)
            self._rows += len(part)

    def merge(self, other: "BucketSketch") -> None:
        """Count also what another sketch of the same model and width has counted.

        Parameters
        ----------
        other : BucketSketch
            Of rows that this one has not counted.

        Raises
        ------
        InputTypeError, SchemeMismatchError, DimensionError
            If `other` is no sketch, or of another model or width.
        """
        _core.sketch_merge(self._core, self._same_scheme(other)._core)
        self._rows += len(other)

    def join_size(self, other: "BucketSketch") -> int:
        """Bound how often the rows of two sides collide.

        Parameters
        ----------
        other : BucketSketch
            Of the other side's rows; of the same model and width.

        Returns
        -------
        int
            At least the sum over hash tables of the pairs that share a bucket.  It is
            above that by more than e / width of ``len(self) * len(other) * tables**2`` in
            one case of 55.

        Raises
        ------
        InputTypeError, SchemeMismatchError, DimensionError
            If `other` is no sketch, or of another model or width.
        ParameterError
            If the number passes 2**63 - 1, or a bucket holds 2**32 - 1 rows or more.
        """
        return _core.sketch_inner(self._core, self._same_scheme(other)._core)

    def _same_scheme(self, other: "BucketSketch") -> "BucketSketch":
        if not isinstance(other, BucketSketch):
            raise InputTypeError(
                f"other must be a BucketSketch, got {type(other).__name__}"
            )
        if not self.model._hashes_as(other.model):
            raise SchemeMismatchError(
                f"other: sketches of different models count different buckets: "
                f"{self.model} and {other.model}"
            )
        return other
