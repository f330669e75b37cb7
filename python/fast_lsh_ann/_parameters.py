"""The parameters of what is made from an estimator, which keeps them."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fast_lsh_ann.model import BucketedRandomProjectionLSH, Projection


class HasParameters:
    """Parameters that are those of an estimator, `_lsh`."""

    __slots__ = ()

    _lsh: "BucketedRandomProjectionLSH"

    @property
    def bucket_length(self) -> float:
        """Width of a bucket, in units of distance."""
        return self._lsh.bucket_length

    @property
    def num_hash_tables(self) -> int:
        """Number of hash tables."""
        return self._lsh.num_hash_tables

    @property
    def num_hashes_per_table(self) -> int:
        """Hashes of a table, all of which must agree for it to collide."""
        return self._lsh.num_hashes_per_table

    @property
    def projection(self) -> "Projection":
        """Whose vectors: Spark's, or Gaussian ones with offsets."""
        return self._lsh.projection
