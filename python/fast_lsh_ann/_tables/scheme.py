"""How the hashes in a Delta table were made: kept with a commit, read back, compared."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from fast_lsh_ann._core import __version__
from fast_lsh_ann._tables.delta import TablePath, Version, call_delta, open_table
from fast_lsh_ann.errors import DeltaError, SchemeMismatchError
from fast_lsh_ann.model import BucketedRandomProjectionLSH, Projection, SparkProfile

if TYPE_CHECKING:
    from deltalake import DeltaTable

_PREFIX = "fast_lsh_ann."
# Commits after which the rows that are left are still those that were hashed.
_HARMLESS = {"DELETE", "FSCK", "OPTIMIZE", "SET TBLPROPERTIES", "VACUUM START"}
_HARMLESS |= {"VACUUM END", "CHECKPOINT", "CREATE TABLE"}


@dataclass(frozen=True)
class HashScheme:
    """What decides the bucket of a row; buckets of two schemes are not comparable.

    Attributes
    ----------
    projection, spark_profile, seed, bucket_length, num_hash_tables, num_hashes_per_table
        As in :class:`BucketedRandomProjectionLSH`.
    dim : int or None
        Dimension of the embeddings; None where there were none, or it is not known.
    library_version : str
        Of the package that hashed; results do not depend on it.
    skipped_rows : int
        Rows that ``on_invalid="skip"`` left out of the table; no part of the scheme.
    """

    projection: Projection
    spark_profile: SparkProfile
    seed: int
    bucket_length: float
    num_hash_tables: int
    num_hashes_per_table: int
    dim: int | None = None
    library_version: str = field(default=__version__, compare=False)
    skipped_rows: int = field(default=0, compare=False)

    @classmethod
    def of(
        cls, lsh: BucketedRandomProjectionLSH, dim: int | None, skipped_rows: int = 0
    ) -> "HashScheme":
        """Tell the scheme of an estimator for vectors of a dimension."""
        return cls(
            projection=lsh.projection,
            spark_profile=lsh.spark_profile,
            seed=lsh.seed,
            bucket_length=lsh.bucket_length,
            num_hash_tables=lsh.num_hash_tables,
            num_hashes_per_table=lsh.num_hashes_per_table,
            dim=dim,
            skipped_rows=skipped_rows,
        )

    def lsh(self) -> BucketedRandomProjectionLSH:
        """Make the estimator whose models hash as the table was hashed."""
        return BucketedRandomProjectionLSH(
            self.bucket_length,
            self.num_hash_tables,
            self.seed,
            spark_profile=self.spark_profile,
            num_hashes_per_table=self.num_hashes_per_table,
            projection=self.projection,
        )

    def require_same(self, other: "HashScheme", what: str = "the other hashes") -> None:
        """Refuse hashes of another scheme, before they are used beside those of this one.

        Parameters
        ----------
        other : HashScheme
        what : str
            What the message calls the hashes of the other scheme.

        Raises
        ------
        SchemeMismatchError
            If the two differ in anything that is compared; a dimension that
            is not known agrees with any.
        """
        differing = [
            f"{name} {mine!r} against {theirs!r}"
            for name in _KEYS
            if (mine := getattr(self, name)) != (theirs := getattr(other, name))
            and not (name == "dim" and None in (mine, theirs))
        ]
        if differing:
            raise SchemeMismatchError(
                f"{what} are of another scheme: {', '.join(differing)}; "
                f"hash one side anew with the parameters of the other"
            )

    def metadata(self) -> dict[str, str]:
        """Give what a commit keeps of the scheme."""
        values = {key: getattr(self, name) for name, (key, _) in _KEYS.items()}
        values["version"] = self.library_version
        values["skipped_rows"] = self.skipped_rows
        return prefixed({k: v for k, v in values.items() if v is not None})

    @classmethod
    def of_commit(cls, commit: Mapping[str, Any]) -> "HashScheme | None":
        """Read the scheme that a commit tells of; None where it tells of none.

        Raises
        ------
        ValueError
            If what it tells cannot be read.
        """
        if f"{_PREFIX}scheme" not in commit:
            return None
        values = {
            name: kind(commit[_PREFIX + key])
            for name, (key, kind) in _KEYS.items()
            if name != "dim" or _PREFIX + key in commit
        }
        return cls(
            library_version=commit.get(f"{_PREFIX}version", ""),
            skipped_rows=int(commit.get(f"{_PREFIX}skipped_rows", 0)),
            **values,
        )


# Attribute -> its key in a commit, and how to read the value.
_KEYS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "projection": ("scheme", str),
    "spark_profile": ("profile", str),
    "seed": ("seed", int),
    "bucket_length": ("bucket_length", float),
    "num_hash_tables": ("num_hash_tables", int),
    "num_hashes_per_table": ("num_hashes_per_table", int),
    "dim": ("dim", int),
}


def prefixed(values: Mapping[str, object]) -> dict[str, str]:
    """Name values as they are in a commit's metadata."""
    return {_PREFIX + key: str(value) for key, value in values.items()}


def read_hash_scheme(
    path: TablePath,
    *,
    version: Version = None,
    storage_options: Mapping[str, str] | None = None,
) -> HashScheme:
    """Read how the hashes in a Delta table were made, from its commits.

    Parameters
    ----------
    path : str or path-like
        A table that `transform_and_save` or `transform_to_delta` wrote.
    version : int, str or datetime, optional
        A version number, or a moment: an aware datetime or an RFC 3339 string.
    storage_options : mapping, optional
        Credentials and settings of the object store.

    Returns
    -------
    HashScheme

    Raises
    ------
    TableNotFoundError
        If there is no Delta table at `path`.
    DeltaError
        If no commit says how its rows were hashed, or a later commit brought other rows.
    SchemeMismatchError
        If its rows were hashed in more than one way.

    Examples
    --------
    >>> from fast_lsh_ann import DeltaLSHProcessor, create_sample_delta
    >>> from fast_lsh_ann.delta_utils import read_hash_scheme
    >>> create_sample_delta("vectors", n_vectors=100, dim=8)
    >>> lsh = DeltaLSHProcessor(num_hash_tables=3)
    >>> lsh.transform_and_save("vectors", "hashes").rows
    100
    >>> scheme = read_hash_scheme("hashes")
    >>> scheme.num_hash_tables, scheme.dim
    (3, 8)
    >>> scheme.lsh()
    BucketedRandomProjectionLSH(bucket_length=2.0, num_hash_tables=3, seed=42)
    """
    wanted = open_table(path, version=version, storage_options=storage_options)
    newest = open_table(path, storage_options=storage_options)
    found = _scheme_in(newest, wanted.version(), str(path))
    if found is None:
        raise _no_scheme(str(path))
    return found


def scheme_to_append_to(table: "DeltaTable", uri: str) -> HashScheme | None:
    """Read how the rows of a table were hashed; None where it has no rows.

    Raises
    ------
    SchemeMismatchError, DeltaError
        As :func:`read_hash_scheme` raises them.
    """
    found = _scheme_in(table, table.version(), uri)
    if found is None and call_delta(table.count, uri):
        raise _no_scheme(uri)
    return found


def _no_scheme(uri: str) -> DeltaError:
    return DeltaError(f"the log of Delta table {uri!r} tells of no commit of hashes")


def _scheme_in(newest: "DeltaTable", version: int, uri: str) -> HashScheme | None:
    """Read how the rows of a version of a table, open at its newest, were hashed."""
    found: HashScheme | None = None
    # deltalake numbers a history from the newest commit, whatever version is loaded.
    for commit in call_delta(newest.history, uri):
        if commit["version"] > version:
            continue
        named = f"commit {commit['version']} ({commit.get('operation')}) of {uri!r}"
        scheme = _scheme_of_rows(commit, named)
        if scheme is None:
            continue
        found = scheme if found is None else _joined(found, scheme, named)
        if commit.get("operationParameters", {}).get("mode") == "Overwrite":
            break
    return found


def _scheme_of_rows(commit: Mapping[str, Any], named: str) -> HashScheme | None:
    """Give the scheme of the rows that a commit brought; None where it brought none."""
    try:
        scheme = HashScheme.of_commit(commit)
    except (KeyError, ValueError) as error:
        raise DeltaError(
            f"{named} has hash parameters that cannot be read: {error!r}"
        ) from None
    if scheme is None and commit.get("operation") not in _HARMLESS:
        raise DeltaError(
            f"{named} does not say how its rows were hashed: the table was not "
            f"written by this package, or was changed since; hash its source anew"
        )
    return scheme


def _joined(scheme: HashScheme, older: HashScheme, named: str) -> HashScheme:
    """Give the scheme of a table to which rows of `scheme` were appended."""
    scheme.require_same(older, f"the rows of {named}, to which others were appended,")
    skipped = scheme.skipped_rows + older.skipped_rows
    return replace(scheme, dim=scheme.dim or older.dim, skipped_rows=skipped)
