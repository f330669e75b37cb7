"""What a description says: plain values under the names that programs read."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fast_lsh_ann.model import BucketedRandomProjectionLSH, Projection, SparkProfile

_SHARES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass(frozen=True)
class Spread:
    """Quantiles of some numbers.

    Attributes
    ----------
    min, p5, p25, p50, p75, p95, max : float
        The smallest, those that 5, 25, 50, 75 and 95 % are at most, and the largest.
    """

    min: float
    p5: float
    p25: float
    p50: float
    p75: float
    p95: float
    max: float

    @classmethod
    def of(cls, values: NDArray[np.float64] | NDArray[np.int64]) -> "Spread":
        """Take the quantiles of at least one number; each is one of them."""
        found = np.quantile(values, _SHARES, method="inverted_cdf")
        return cls(*found.astype(np.float64).tolist())


@dataclass(frozen=True)
class Norms:
    """Lengths of rows: distances from the origin.

    Attributes
    ----------
    spread : Spread
        Its ends are of all rows, its quantiles of the sample.
    rms : float
        Root of the mean of their squares, of all rows.
    of_mean : float
        Length of the mean of all rows.
    zero_rows : int
        Rows of length 0, of all.
    """

    spread: Spread
    rms: float
    of_mean: float
    zero_rows: int

    @property
    def off_centre(self) -> float:
        """Which part of the rows' length is common to all: 0 for centred ones, to 1."""
        return self.of_mean / self.rms if 0 < self.rms < np.inf else 0.0

    @property
    def are_one(self) -> bool:
        """Whether all are 1, as float16 would hold rows of unit length."""
        tolerance = float(np.finfo(np.float16).eps)
        return (
            abs(self.spread.min - 1) < tolerance and abs(self.spread.max - 1) < tolerance
        )


@dataclass(frozen=True)
class Distances:
    """Distances in the sample, from some of its rows.

    Attributes
    ----------
    nearest, kth, random : Spread
        To the nearest other row, to the k-th nearest, and of random pairs.
    k : int
        10, or less where the sample has fewer other rows.
    duplicates : float
        Share of rows that another one equals.
    """

    nearest: Spread
    kth: Spread
    random: Spread
    k: int
    duplicates: float


@dataclass(frozen=True)
class Parameters:
    """What hashes are made with, and what makes a candidate.

    Attributes
    ----------
    bucket_length : float or None
        None where it is not known.
    num_hash_tables, seed, spark_profile, num_hashes_per_table, projection
        As in `BucketedRandomProjectionLSH`.
    min_collisions : int
        Hash tables in which a candidate shares its bucket.
    """

    bucket_length: float | None
    num_hash_tables: int
    seed: int
    spark_profile: SparkProfile
    num_hashes_per_table: int
    projection: Projection
    min_collisions: int

    @classmethod
    def of(
        cls, lsh: BucketedRandomProjectionLSH, min_collisions: int, known: bool
    ) -> "Parameters":
        """Take an estimator's, and say whether its bucket length is known."""
        return cls(
            lsh.bucket_length if known else None,
            lsh.num_hash_tables,
            lsh.seed,
            lsh.spark_profile,
            lsh.num_hashes_per_table,
            lsh.projection,
            min_collisions,
        )

    def estimator(self) -> BucketedRandomProjectionLSH:
        """Make the estimator; only where the bucket length is known."""
        assert self.bucket_length is not None
        return BucketedRandomProjectionLSH(
            self.bucket_length,
            self.num_hash_tables,
            self.seed,
            spark_profile=self.spark_profile,
            num_hashes_per_table=self.num_hashes_per_table,
            projection=self.projection,
        )

    def __str__(self) -> str:
        usual = {"spark_profile": "java11", "num_hashes_per_table": 1}
        usual |= {"projection": "spark", "min_collisions": 1}
        return ", ".join(
            f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
            for name, value in vars(self).items()
            if value != usual.get(name)
        )


@dataclass(frozen=True)
class TableBuckets:
    """The buckets of one hash table.

    Attributes
    ----------
    buckets : int
        How many have rows.
    largest : int
        Rows of the largest.
    largest_share : float
        Which part of the rows that is.
    collisions : float
        Share of pairs of different rows that share their bucket.
    sizes : Spread
        Rows of the buckets.
    """

    buckets: int
    largest: int
    largest_share: float
    collisions: float
    sizes: Spread

    @classmethod
    def of(cls, sizes: NDArray[np.int64]) -> "TableBuckets":
        """Take what describes the sizes of at least one bucket."""
        rows = int(sizes.sum())
        met = float((sizes.astype(np.float64) * (sizes - 1)).sum())
        largest = int(sizes.max())
        return cls(
            len(sizes),
            largest,
            largest / rows,
            met / (rows * (rows - 1.0)) if rows > 1 else 0.0,
            Spread.of(sizes),
        )


@dataclass(frozen=True)
class Buckets:
    """The buckets of every hash table.

    Attributes
    ----------
    rows : int
        Rows counted.
    exact : bool
        Whether these are all valid rows; else they are the sample.
    tables : tuple of TableBuckets
        Of each hash table.
    """

    rows: int
    exact: bool
    tables: tuple[TableBuckets, ...]


@dataclass(frozen=True)
class Search:
    """What searching with some parameters finds, measured on the sample.

    Attributes
    ----------
    candidate_share : float
        Share of the other rows that are candidates of a row.
    recall_nearest, recall : float
        Share of the nearest, and of the k nearest, rows that are candidates.
    recall_bound : float
        What `recall` is above with 95 % confidence, were the sample drawn again.
    plan : str
        What the engine would do: "dense" looks at all rows, as exact search does, and
        "bucket" at candidates only.
    """

    candidate_share: float
    recall_nearest: float
    recall: float
    recall_bound: float
    plan: str


@dataclass(frozen=True)
class Suggestion:
    """Parameters that reach the recall wanted, with what they find.

    Attributes
    ----------
    bucket_length : float
        The shortest of two digits.
    num_hash_tables, num_hashes_per_table, min_collisions : int
        What goes with it.
    search : Search
        What it finds.
    """

    bucket_length: float
    num_hash_tables: int
    num_hashes_per_table: int
    min_collisions: int
    search: Search
