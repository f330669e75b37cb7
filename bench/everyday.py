"""Every operation beside every exact peer, at the sizes of a working day."""

from collections.abc import Mapping
from pathlib import Path

import entrants as who
from contests import Settings, neighbors, pairs, transform
from data import Dataset, from_file, from_script, words
from report import Part, Result

DIM, K = 128, 10


def gaussian(settings: Settings, n: int, queries: int) -> Dataset:
    return from_script("Gaussian", settings.rows(n), DIM, queries)


def hashes(settings: Settings) -> Result:
    data = gaussian(settings, 100_000, 1)
    taking_part = [who.ours(), who.NUMPY, who.replaced()]
    return Result([transform(settings, data, who.TABLES, who.WIDTH, taking_part)])


def spark(settings: Settings) -> Result:
    """Search and join among the candidates of five tables."""
    data = gaussian(settings, 100_000, 100)
    naive = who.numpy_lsh(who.hashing(DIM))
    taking_part = [who.ours_lsh(), who.ours(), naive, who.replaced()]
    few = gaussian(settings, 10_000, settings.rows(10_000))
    return Result(
        [
            neighbors(settings, data.asking(1), K, taking_part),
            neighbors(settings, data, K, taking_part),
            pairs(settings, few, 1e-4, taking_part),
        ]
    )


EXACT = [
    who.ours(),
    who.OURS_RAW,
    who.FAISS,
    who.FAISS_TUNED,
    who.USEARCH_FLAT,
    who.SCIKIT_LEARN,
    who.NUMPY,
]


def exact(settings: Settings) -> Result:
    data = gaussian(settings, 100_000, 1000)
    return Result(
        [
            neighbors(settings, data.asking(1), K, EXACT),
            neighbors(settings, data.asking(100), K, EXACT),
            neighbors(settings, data, K, EXACT),
            neighbors(settings, words(1000, settings.scale), K, EXACT),
        ]
    )


def joins(settings: Settings) -> Result:
    few = gaussian(settings, 10_000, settings.rows(10_000))
    others = (who.FAISS, who.FAISS_TUNED, who.SCIKIT_LEARN, who.NUMPY)
    taking_part = [who.ours(), *others]
    return Result([pairs(settings, few, 1e-4, taking_part)])


PARTS: Mapping[str, Part] = {
    "hashes": hashes,
    "spark": spark,
    "exact": exact,
    "joins": joins,
}


def own_file(settings: Settings, path: Path) -> Result:
    """The file that a user names: exact search of 1,000 of its rows or its test set."""
    data = from_file(path, 1000, settings.scale)
    contests = (data.asking(1), data.asking(100), data)
    return Result([neighbors(settings, asked, K, EXACT) for asked in contests])
