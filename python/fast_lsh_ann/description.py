"""Describing a table of embeddings before parameters are chosen for it."""

import dataclasses
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from fast_lsh_ann._describe.advice import warnings_of
from fast_lsh_ann._describe.buckets import Sizes
from fast_lsh_ann._describe.facts import (
    Buckets,
    Distances,
    Norms,
    Parameters,
    Search,
    Suggestion,
    TableBuckets,
)
from fast_lsh_ann._describe.neighborhoods import Neighborhoods
from fast_lsh_ann._describe.picture import Pictured, draw
from fast_lsh_ann._describe.reading import Reading, TableTerms, open_reading
from fast_lsh_ann._describe.suggestion import sharpen, suggest
from fast_lsh_ann._describe.survey import (
    Survey,
    bucket_sizes,
    projection_stds,
    survey,
    with_length,
)
from fast_lsh_ann._describe.text import summarize
from fast_lsh_ann._inputs import as_count, as_min_collisions, as_real
from fast_lsh_ann._invalid import InvalidRows
from fast_lsh_ann._progress import Progress, reporting
from fast_lsh_ann._tables.delta import Table, Version
from fast_lsh_ann.errors import ParameterError
from fast_lsh_ann.model import BucketedRandomProjectionLSH, Projection, SparkProfile

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Description", "describe"]


@dataclass(frozen=True, eq=False)
class Description:
    """What :func:`describe` found; print it, or read its parts.

    Attributes
    ----------
    source : str
        What was described.
    version : int or None
        Of a Delta table.
    rows : int
        Rows, invalid ones among them.
    invalid : InvalidRows
        Counts of invalid rows: `missing` (null, empty, ragged or with a null, or NaN
        throughout), `nan` and `infinite` (with NaN or infinity).
    dim : int or None
        Dimension of the rows; None without valid ones.
    dtype : str
        What the rows are read as: "float32" or "float64".
    norms : Norms or None
        Lengths of the rows: their `spread`, `rms`, the length `of_mean`, `zero_rows`.
    sample_rows, queries : int
        Rows of the sample, and those among them whose neighbors were sought.
    distances : Distances or None
        Distances to the `nearest` and `kth` neighbor and of `random` pairs, `k`, and the
        share of `duplicates`; None for a sample of less than two rows.
    projection_std : float or None
        Standard deviation of the sample's projections, over all hashes.
    projection_stds : tuple of float
        The same by table.
    parameters : Parameters
        What the rest is about; its `bucket_length` is None where none was given and none
        found.
    suggested : bool
        Whether the bucket length, and maybe the tables, are the suggestion's.
    buckets : Buckets or None
        Of each table how many `buckets`, the `largest` and its share, `collisions`, and
        the spread of `sizes`; `exact` where all rows were counted.
    search : Search or None
        `candidate_share`, `recall_nearest`, `recall` and the engine's `plan`.
    target_recall : float
        What was asked of the suggestion.
    suggestion : Suggestion or None
        `bucket_length`, `num_hash_tables`, `num_hashes_per_table` and `min_collisions`
        that reach it, and the `search` that they give.
    sharper : Suggestion or None
        The same with more tables of more hashes, where the engine goes by buckets with
        these and not with those of `suggestion`.
    warnings : tuple of str
        What to know before these parameters are used.
    """

    source: str
    version: int | None
    rows: int
    invalid: InvalidRows
    dim: int | None
    dtype: str
    norms: Norms | None
    sample_rows: int
    queries: int
    distances: Distances | None
    projection_std: float | None
    projection_stds: tuple[float, ...]
    parameters: Parameters
    suggested: bool
    buckets: Buckets | None
    search: Search | None
    target_recall: float
    suggestion: Suggestion | None
    sharper: Suggestion | None
    warnings: tuple[str, ...]
    _pictured: Pictured = field(repr=False)

    def summary(self) -> str:
        """Give a short text of at most 80 columns."""
        return summarize(self)

    def __str__(self) -> str:
        return self.summary()

    def to_dict(self) -> dict[str, Any]:
        """Give the attributes as plain types that JSON has.

        Returns
        -------
        dict
            Keys are the names of the attributes, and of theirs.  Tuples are lists, and
            numbers that are infinite None.
        """
        fields = [f.name for f in dataclasses.fields(self) if not f.name.startswith("_")]
        return {name: _plain(getattr(self, name)) for name in fields}

    def plot(self, path: str | os.PathLike[str] | None = None) -> "Figure":
        """Draw the sizes of the buckets, and distances of neighbors and random pairs.

        Over the distances the chance to be a candidate is drawn, for buckets whose
        borders lie anywhere, and the bucket length as the distance that makes the
        standard deviation of projections one bucket: times sqrt(dim) for unit vectors.

        Parameters
        ----------
        path : str or path-like, optional
            A file to write; its suffix says what, as ``.png``, ``.svg`` or ``.pdf``.

        Returns
        -------
        matplotlib.figure.Figure
            Of its own, known to no window and not to pyplot.

        Raises
        ------
        MissingDependencyError
            If matplotlib is not installed: ``pip install 'fast_lsh_ann[plot]'``.
        """
        return draw(self, self._pictured, path)


def describe(
    table: Table | ArrayLike,
    bucket_length: float | None = None,
    num_hash_tables: int = 5,
    seed: int = 42,
    *,
    spark_profile: SparkProfile = "java11",
    num_hashes_per_table: int = 1,
    projection: Projection = "spark",
    min_collisions: int = 1,
    target_recall: float = 0.95,
    embedding_column: str = "embedding",
    version: Version = None,
    where: str | None = None,
    storage_options: Mapping[str, str] | None = None,
    sample: int = 20_000,
    progress: Progress = False,
) -> Description:
    """Describe a table of embeddings, and what hashing would make of it.

    Rows are read once.  Counts, sizes of buckets and the ends of norms are exact; what
    takes neighbors is measured on a random sample, the same for the same rows in the same
    order.  Invalid rows are counted and left out.

    Parameters
    ----------
    table : str, path-like, object or array_like, [n, dim]
        A table: where one is, or an object with named columns that speaks Arrow.  Or rows
        in memory.
    bucket_length : float, optional
        Width of a bucket, in units of distance.  Without it the one suggested is
        described; sizes of buckets are then those of the sample.
    num_hash_tables, seed, spark_profile, num_hashes_per_table, projection
        As in :class:`BucketedRandomProjectionLSH`.
    min_collisions : int
        Hash tables in which a candidate shares its bucket, as in searches.
    target_recall : float
        What the suggestion is to reach, above 0 and below 1: the share of the 10 nearest
        neighbors of a row that are its candidates.
    embedding_column : str
        A column of arrays of floats or integers, or of Spark ML vectors.
    version : int, str or datetime, optional
        A version number, or a moment: an aware datetime or an RFC 3339 string.
    where : str, optional
        A condition in SQL over the table's columns, for the rows to describe.
    storage_options : mapping, optional
        Credentials and settings of the object store.
    sample : int
        Rows of the sample, at least 2; they are held in memory.
    progress : bool or callable
        True for a bar, or a function of (rows done, rows in all).

    Returns
    -------
    Description

    Raises
    ------
    ParameterError, InputTypeError
        If an argument is out of range or of another type, `where` is no condition, or
        an argument about tables comes with rows in memory.
    TableNotFoundError, ColumnNotFoundError, SparkVectorColumnError, TableError
        If the table or the column is missing or cannot be read.
    DimensionError, ArrowError
        If an array is not 2-D, or an Arrow structure contradicts itself.
    BucketRangeError
        If a bucket does not fit in int64.
    OutOfMemoryError
        If the sample does not fit in memory.

    Notes
    -----
    The suggestion is the shortest bucket length of two digits whose recall on the sample
    is above the target with 95 % confidence.  The search for it begins where the chance
    of a collision (Datar, Immorlica, Indyk and Mirrokni, 2004, section 3.2) at the
    measured distances of neighbors promises that recall; every length after that is tried
    by hashing the sample.  Where none suffices, tables are doubled, up to 64.  Where the
    engine would look at all rows with it, 20 tables of more hashes are tried too.
    Neighbors within a sample are farther than in the whole table, so recall there is no
    lower.

    O(n dim) for reading, plus O(n dim num_hash_tables num_hashes_per_table) where a
    bucket length is given; memory is O(sample dim), and at most 128 MiB for the sizes of
    buckets.

    Examples
    --------
    >>> import numpy as np
    >>> from fast_lsh_ann import describe
    >>> rows = np.random.default_rng(0).standard_normal((5000, 16))
    >>> found = describe(rows, bucket_length=2.0)
    >>> found.rows, found.dim, found.invalid.total
    (5000, 16, 0)
    >>> [table.buckets for table in found.buckets.tables]
    [4, 4, 4, 4, 4]
    """
    lsh = BucketedRandomProjectionLSH(
        1.0 if bucket_length is None else bucket_length,
        num_hash_tables,
        seed,
        spark_profile=spark_profile,
        num_hashes_per_table=num_hashes_per_table,
        projection=projection,
    )
    collisions = as_min_collisions(min_collisions, lsh.num_hash_tables)
    target = _as_target(target_recall)
    size = as_count(sample, "sample", 2)
    reading = open_reading(
        table, TableTerms(embedding_column, version, where, storage_options)
    )
    given = None if bucket_length is None else lsh
    with reporting(progress, "describing") as report:
        found = survey(reading, size, given, report)
    return _described(reading, found, lsh, given is not None, collisions, target)


def _as_target(value: Any) -> float:
    target = as_real(value, "target_recall")
    if not 0 < target < 1:
        raise ParameterError(
            f"target_recall must be above 0 and below 1, got {target}; "
            f"exact search has a recall of 1"
        )
    return target


def _described(
    reading: Reading,
    found: Survey,
    lsh: BucketedRandomProjectionLSH,
    given: bool,
    min_collisions: int,
    target: float,
) -> Description:
    """Measure the sample, and put all together."""
    rows = found.sample
    near = Neighborhoods.of(rows) if len(rows) > 1 else None
    best = suggest(near, lsh, min_collisions, target) if near else None
    if best is not None and not given:
        lsh = with_length(lsh, best.bucket_length, best.num_hash_tables)
    known = len(rows) > 0 and (given or best is not None)
    model = lsh.create_model(rows.shape[1]) if known else None
    stds = projection_stds(lsh, rows) if len(rows) else np.empty(0)
    sizes = found.sizes if model is None else found.sizes or bucket_sizes(model, rows)
    about = Description(
        source=reading.name,
        version=reading.version,
        rows=found.valid + found.invalid.total,
        invalid=found.invalid,
        dim=rows.shape[1] if len(rows) else None,
        dtype=str(reading.dtype),
        norms=found.norms,
        sample_rows=len(rows),
        queries=len(near.neighbors) if near else 0,
        distances=near.facts() if near else None,
        projection_std=_pooled(stds.tolist()) if len(rows) else None,
        projection_stds=tuple(stds.tolist()),
        parameters=Parameters.of(lsh, min_collisions, given or best is not None),
        suggested=best is not None and not given,
        buckets=_buckets(sizes, found.valid),
        search=near.measure(model, min_collisions) if near and model else None,
        target_recall=target,
        suggestion=best,
        sharper=sharpen(near, lsh, target) if near and _scans(best) else None,
        warnings=(),
        _pictured=Pictured.of(sizes, near),
    )
    return dataclasses.replace(about, warnings=warnings_of(about))


def _pooled(stds: list[float]) -> float:
    """Give one standard deviation for several."""
    return math.hypot(*stds) / math.sqrt(len(stds))


def _scans(best: Suggestion | None) -> bool:
    """Whether searching as suggested looks at all rows."""
    return best is not None and best.search.plan == "dense"


def _buckets(sizes: Sizes | None, rows: int) -> Buckets | None:
    """Describe buckets, of all of so many rows or of a sample of them."""
    if sizes is None:
        return None
    counted = int(sizes[0].sum())
    return Buckets(counted, counted == rows, tuple(map(TableBuckets.of, sizes)))


def _plain(value: Any) -> Any:
    """Give a value as JSON has it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {f.name: _plain(getattr(value, f.name)) for f in fields}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
