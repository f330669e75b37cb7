"""From what a caller names to the source it is."""

from collections.abc import Mapping

from fast_lsh_ann._tables.delta import TablePath, Version
from fast_lsh_ann._tables.delta_source import DeltaSource
from fast_lsh_ann._tables.source import Source


def open_source(
    table: TablePath,
    *,
    version: Version = None,
    where: str | None = None,
    storage_options: Mapping[str, str] | None = None,
) -> Source:
    """Open a table at one version.

    Parameters
    ----------
    table : str or path-like
        A Delta table: a folder, or the URI of an object store.
    version, storage_options
        As for :func:`open_table`.
    where : str, optional
        A condition in SQL over the table's columns, for the rows to read.

    Raises
    ------
    TableNotFoundError, SparkVectorColumnError, DeltaError, ParameterError, \
InputTypeError, MissingDependencyError
        As :func:`open_table` raises them.
    """
    return DeltaSource(
        table, version=version, where=where, storage_options=storage_options
    )
