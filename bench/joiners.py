"""A table joined with itself: as an array in memory, and in chunks under a limit."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from peers import SEED, Ints, Peer, Rows
from surface import FIRST_ID


@dataclass(frozen=True)
class Digest:
    """Pairs as they are when sorted by (left, right)."""

    pairs: int
    sha256: str


def digest(left: Ints, right: Ints, distances: Rows) -> Digest:
    order = np.lexsort((right, left))
    hasher = hashlib.sha256()
    for column in (left, right, distances):
        hasher.update(column[order].tobytes())
    return Digest(len(left), hasher.hexdigest())


class OursJoin(Peer):
    """fast_lsh_ann."""

    package, module = "fast-lsh-ann", "fast_lsh_ann"

    def parameters(self) -> dict[str, Any]:
        tables, width = self.how["tables"], self.how["width"]
        return {"bucket_length": width, "num_hash_tables": tables, "seed": SEED}

    def opened(self, table: str) -> Any:
        """Read the table, so that what the reader needs for itself is there."""
        chunks = self.library.read_delta_embeddings_chunked(table, chunk_size=10_000)
        return sum(len(rows) for rows, *_ in chunks)

    def whole(self, rows: Rows, threshold: float, exact: bool) -> Any:
        """Index the rows and join them."""
        lsh = self.library.BucketedRandomProjectionLSH(**self.parameters())
        index = lsh.create_model(rows.shape[1]).index(rows)
        found = index.similarity_join(threshold=threshold, exact=exact)
        return found.left + FIRST_ID, found.right + FIRST_ID, found.distances

    def limited(self, table: str, threshold: float, exact: bool) -> Any:
        """Read the table and join it; pairs are kept as they come."""
        lsh = self.library.StreamingLSHProcessor(
            **self.parameters(), memory_limit=self.how["limit"]
        )
        frames = lsh.similarity_join_frames(table, None, threshold, exact=exact)
        parts = [[column.to_numpy() for column in frame] for frame in frames]
        return [np.concatenate(columns) for columns in zip(*parts, strict=True)]

    def answer(self, _: str, raw: Any) -> Any:
        return digest(*raw)
