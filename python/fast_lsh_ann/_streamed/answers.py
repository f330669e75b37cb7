"""The neighbors that a search found, as frames."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fast_lsh_ann._streamed.naming import name_frame
from fast_lsh_ann._tables.embeddings import EmbeddingBatch, EmbeddingReader
from fast_lsh_ann.results import Neighbors

if TYPE_CHECKING:
    import polars as pl

# Rows of a frame; more where one query has more.
_FRAME_ROWS = 32768
# A text or a list is a view of 16 bytes, and these behind it, for want of better.
_LONG_VALUE = 48


def places_of(found: Neighbors) -> NDArray[np.int64]:
    """Places of all rows that were found, each once, ascending."""
    places = np.unique(found.indices)
    return places[np.searchsorted(places, 0) :]


def answer_frames(
    queries: EmbeddingBatch,
    found: Neighbors,
    names: "pl.DataFrame",
    places: NDArray[np.int64],
) -> Iterator["pl.DataFrame"]:
    """Give the neighbors of queries; `names` are those of the rows at `places`."""
    size = max(1, _FRAME_ROWS // max(1, found.indices.shape[1]))
    for start in range(0, len(found.counts), size):
        part = slice(start, start + size)
        several = queries.part(start, size)
        some = Neighbors(found.indices[part], found.distances[part], found.counts[part])
        yield answer_frame(
            name_frame("query", several.ids, several.carried), some, names, places
        )


def answer_frame(
    queries: "pl.DataFrame",
    found: Neighbors,
    names: "pl.DataFrame",
    places: NDArray[np.int64],
) -> "pl.DataFrame":
    """Lay the neighbors of some queries side by side with what both are called."""
    import polars as pl

    real = found.indices >= 0
    query, rank = np.nonzero(real)
    asking = queries[query]
    answers = names[np.searchsorted(places, found.indices[real])]
    return pl.DataFrame(
        [
            asking["query_id"],
            answers["neighbor_id"],
            pl.Series("rank", (rank + 1).astype(np.int32)),
            pl.Series("distance", found.distances[real]),
            *asking.drop("query_id").get_columns(),
            *answers.drop("neighbor_id").get_columns(),
        ]
    )


def no_answers(queries: EmbeddingReader, base: EmbeddingReader) -> "pl.DataFrame":
    """Give a frame of no neighbors, its columns of the types that the tables have."""
    nothing = np.empty((0, 1), dtype=np.int64)
    found = Neighbors(nothing, np.empty((0, 1)), nothing[:, 0])
    return answer_frame(
        name_frame("query", *queries.no_ids()),
        found,
        name_frame("neighbor", *base.no_ids()),
        nothing[:, 0],
    )


def name_bytes(base: EmbeddingReader) -> int:
    """Bytes of a row's id and columns, as far as their types tell."""
    return sum(map(_bytes_of, name_frame("neighbor", *base.no_ids()).dtypes))


def _bytes_of(kind: "pl.DataType") -> int:
    import polars as pl

    if kind.is_numeric() or kind.is_temporal() or kind == pl.Boolean:
        return 16 if kind.is_decimal() else 8
    return _LONG_VALUE
