"""The small run of `make bench`: every operation, every peer, in a few minutes."""

from collections.abc import Callable, Mapping

import entrants as who
from contests import Outcome, Settings, neighbors, pairs, transform
from data import Dataset, from_script, words
from report import table

DIM, K = 128, 10

Part = Callable[[Settings], list[Outcome]]


def gaussian(settings: Settings, n: int, queries: int) -> Dataset:
    return from_script("Gaussian", settings.rows(n), DIM, queries)


def hashes(settings: Settings) -> list[Outcome]:
    data = gaussian(settings, 100_000, 1)
    taking_part = [who.ours(), who.NUMPY, who.replaced()]
    return [transform(settings, data, who.TABLES, who.WIDTH, taking_part)]


def spark(settings: Settings) -> list[Outcome]:
    """Search and join among the candidates of five tables."""
    data = gaussian(settings, 100_000, 100)
    naive = who.numpy_lsh(who.hashing(DIM))
    taking_part = [who.ours_lsh(), who.ours(), naive, who.replaced()]
    few = gaussian(settings, 10_000, settings.rows(10_000))
    return [
        neighbors(settings, data.asking(1), K, taking_part),
        neighbors(settings, data, K, taking_part),
        pairs(settings, few, 1e-4, taking_part),
    ]


EXACT = [
    who.ours(),
    who.OURS_RAW,
    who.FAISS,
    who.FAISS_TUNED,
    who.USEARCH_FLAT,
    who.SCIKIT_LEARN,
    who.NUMPY,
]


def exact(settings: Settings) -> list[Outcome]:
    data = gaussian(settings, 100_000, 1000)
    return [
        neighbors(settings, data.asking(1), K, EXACT),
        neighbors(settings, data.asking(100), K, EXACT),
        neighbors(settings, data, K, EXACT),
        neighbors(settings, words(1000, settings.scale), K, EXACT),
    ]


def joins(settings: Settings) -> list[Outcome]:
    few = gaussian(settings, 10_000, settings.rows(10_000))
    others = (who.FAISS, who.FAISS_TUNED, who.SCIKIT_LEARN, who.NUMPY)
    taking_part = [who.ours(), *others]
    return [pairs(settings, few, 1e-4, taking_part)]


def approximate(settings: Settings) -> list[Outcome]:
    """Approximate peers at settings that reach a recall of about .95 here."""
    data = from_script("clustered", settings.rows(100_000), DIM, 1000)
    taking_part = [
        who.ours(),
        who.ivf(DIM, who.lists_for(data.n), nprobe=128, k_factor_rf=16),
        who.hnsw(efSearch=128),
        who.hnswlib(ef=128),
        who.usearch(expansion=128),
    ]
    return [neighbors(settings, data, K, taking_part)]


PARTS: Mapping[str, Part] = {
    "hashes": hashes,
    "spark": spark,
    "exact": exact,
    "joins": joins,
    "approximate": approximate,
}


def render(results: Mapping[str, list[Outcome]]) -> list[str]:
    return [line for part in results.values() for o in part for line in table(o)]
