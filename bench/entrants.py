"""Who usually takes part."""

import math
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import compiled
from environments import MissingEnvironmentError, python_with
from messages import Request
from naive import Hashing
from stage import ContenderError, Entrant, Stage

TABLES, WIDTH = 5, 2.0

OURS_NAME = "fast_lsh_ann"

# It asks for no version of what it reads Delta tables with: ours, so that both have one.
REPLACED_NAME = "fast-lsh-ann 0.1.1"
REPLACED_PACKAGES = (
    "fast-lsh-ann==0.1.1",
    *(f"{name}=={version(name)}" for name in ("numpy", "deltalake", "polars")),
    "pyarrow==26.0.1",
)


def ours(tables: int = TABLES, width: float = WIDTH, tier: str = "") -> Entrant:
    """Exact search on an index."""
    label = f"{OURS_NAME}, {tier}" if tier else OURS_NAME
    environment = {"FAST_LSH_ANN_SIMD": tier} if tier else {}
    how = {"tables": tables, "width": width}
    return Entrant(label, "Ours", how, environment=environment)


def ours_lsh(tables: int = TABLES, width: float = WIDTH) -> Entrant:
    """Among the candidates of Spark's buckets, on the same index."""
    how = {"tables": tables, "width": width}
    return Entrant(f"{OURS_NAME}, Spark mode", "Ours", how, {"exact": False})


OURS_RAW = Entrant(f"{OURS_NAME}, from the raw array", "OursRaw")


def skylake() -> str:
    """OpenBLAS's kernels for this processor where the wheel's copy does not know it."""
    flags = Path("/proc/cpuinfo").read_text().split()
    return "SkylakeX" if "avx512f" in flags else "Haswell"


TUNING = {"OPENBLAS_CORETYPE": skylake()}
FAISS = Entrant("Faiss flat, as installed", "FaissFlat", patience=1)
FAISS_TUNED = Entrant(
    "Faiss flat, tuned", "FaissFlat", {"blas_threshold": 20}, environment=TUNING
)
USEARCH_FLAT = Entrant("usearch, exact", "UsearchFlat")
SCIKIT_LEARN = Entrant("scikit-learn", "ScikitLearn")
NUMPY = Entrant("NumPy", "Numpy")


def numpy_lsh(hashing: Hashing) -> Entrant:
    how = {"vectors": hashing.vectors, "width": hashing.width}
    return Entrant("NumPy", "Numpy", how, {"exact": False})


def ivf(dim: int, lists: int = 1024, **settings: int) -> Entrant:
    """Faiss's inverted file of fast-scan codes, the best re-ranked by the rows.

    PQ64 where the dimension allows; else the most parts up to 64 that divide it.
    """
    parts = max(m for m in range(1, 65) if dim % m == 0)
    factory = f"IVF{lists},PQ{parts}x4fs,RFlat"
    return Entrant(
        f"Faiss {factory}",
        "FaissFactory",
        {"factory": factory},
        settings=settings,
        environment=TUNING,
    )


def hnsw(**settings: int) -> Entrant:
    how = {"factory": "HNSW32"}
    name = "Faiss HNSW32"
    return Entrant(name, "FaissFactory", how, settings=settings, environment=TUNING)


def hnswlib(**settings: int) -> Entrant:
    return Entrant("hnswlib", "Hnswlib", settings=settings)


def usearch(**settings: int) -> Entrant:
    return Entrant("usearch, HNSW", "Usearch", settings=settings)


def spelled_out(entrant: Entrant) -> Entrant:
    """The same with its settings in its label."""
    words = ", ".join(f"{name}={value}" for name, value in entrant.settings.items())
    return replace(entrant, label=f"{entrant.label}, {words}")


def lists_for(rows: int) -> int:
    """1,024 inverted lists, fewer where a list would have under 39 rows to train on."""
    return min(1024, 1 << int(math.log2(max(rows / 39, 1))))


def reader(bytes_a_row: int) -> Entrant:
    """A read of as many bytes a row."""
    label = f"read of {bytes_a_row} bytes a row"
    try:
        how = {"bytes_a_row": bytes_a_row, "program": str(compiled.reader())}
        return Entrant(label, "Reader", how)
    except compiled.CompileError as error:
        return Entrant(label, "Reader", missing=str(error))


@cache
def replaced(tables: int = TABLES, width: float = WIDTH) -> Entrant:
    """The package that this one replaces; its import name is ours.

    It has no wheel for Linux, so Rust is needed.
    """
    how: dict[str, Any] = {"tables": tables, "width": width}
    try:
        python = python_with("replaced", REPLACED_PACKAGES, needs="cargo")
    except MissingEnvironmentError as error:
        return Entrant(REPLACED_NAME, "Replaced", missing=str(error))
    return Entrant(REPLACED_NAME, "Replaced", how, python=python)


def hashing(dim: int, tables: int = TABLES, width: float = WIDTH) -> Hashing:
    """A model's unit vectors, asked of the library."""
    with Stage(threads=1) as stage:
        request = Request("vectors", {"dim": dim, "tables": tables}, wanted=True)
        return Hashing(stage.worker(ours()).ask(request).answer, width)


def facts(entrants: list[Entrant], threads: int) -> dict[str, str]:
    """Versions of the contenders, and the kernels of ours."""
    found: dict[str, str] = {}
    with Stage(threads) as stage:
        for entrant in entrants:
            try:
                request = Request("facts", wanted=True)
                found |= stage.worker(entrant).ask(request).answer
            except ContenderError:
                continue
    return found
