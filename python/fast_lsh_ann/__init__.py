"""Spark's BucketedRandomProjectionLSH without Spark.

The same buckets, neighbors and joins as Spark ML's ``BucketedRandomProjectionLSH``, bit
for bit, inside one process; exact searches; Delta tables in and out.
"""

from typing import TYPE_CHECKING, Any

from fast_lsh_ann import errors, model
from fast_lsh_ann._core import __version__
from fast_lsh_ann._old_pickles import note_lookup
from fast_lsh_ann._runtime import SimdInfo, set_threads, simd_info
from fast_lsh_ann._streamed.frames import PairFrames
from fast_lsh_ann._streamed.join_plan import JoinPlan
from fast_lsh_ann._streamed.neighbors import NeighborFrames
from fast_lsh_ann._streamed.neighbors_plan import NeighborsPlan
from fast_lsh_ann._tables.report import WriteReport
from fast_lsh_ann.delta import DeltaLSHProcessor
from fast_lsh_ann.delta_utils import (
    create_sample_delta,
    read_delta_embeddings,
    read_delta_embeddings_chunked,
)
from fast_lsh_ann.description import Description, describe
from fast_lsh_ann.errors import FastLSHError
from fast_lsh_ann.index import (
    LSHIndex,
    exact_nearest_neighbors,
    exact_similarity_join,
)
from fast_lsh_ann.model import BucketedRandomProjectionLSH
from fast_lsh_ann.model import _restore as _restore  # where pickles look for it
from fast_lsh_ann.results import Neighbors, Pairs, RadiusNeighbors
from fast_lsh_ann.sketch import BucketSketch
from fast_lsh_ann.streaming import ChunkResult, StreamingLSHProcessor

if TYPE_CHECKING:
    from fast_lsh_ann.model import BucketedRandomProjectionLSHModel

__all__ = [
    "BucketSketch",
    "BucketedRandomProjectionLSH",
    "BucketedRandomProjectionLSHModel",
    "ChunkResult",
    "DeltaLSHProcessor",
    "Description",
    "FastLSHError",
    "JoinPlan",
    "LSHIndex",
    "NeighborFrames",
    "Neighbors",
    "NeighborsPlan",
    "PairFrames",
    "Pairs",
    "RadiusNeighbors",
    "SimdInfo",
    "StreamingLSHProcessor",
    "WriteReport",
    "__version__",
    "create_sample_delta",
    "describe",
    "errors",
    "exact_nearest_neighbors",
    "exact_similarity_join",
    "read_delta_embeddings",
    "read_delta_embeddings_chunked",
    "set_threads",
    "simd_info",
]


def __getattr__(name: str) -> Any:
    if name != "BucketedRandomProjectionLSHModel":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    note_lookup()
    return model.BucketedRandomProjectionLSHModel


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


# Users see, and pickles name, the package rather than the module a thing is written in.
for _name in __all__:
    _thing = globals().get(_name, model.BucketedRandomProjectionLSHModel)
    if getattr(_thing, "__module__", "").startswith("fast_lsh_ann."):
        _thing.__module__ = "fast_lsh_ann"
del _name, _thing
