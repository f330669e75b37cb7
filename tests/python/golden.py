"""Reading tests/golden: bit patterns, digests, inputs, and which rows can be compared."""

import hashlib
import json
import struct
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).parent.parent / "golden"
SPARK = FOLDER / "spark"

# Spark version -> the norm profile of the JVM it was recorded on.
VERSIONS = {"spark-3.5.9": "java11", "spark-4.3.0": "vector8"}

NEGATIVE_ZERO = "8000000000000000"


@cache
def load(name: str) -> Any:
    return json.loads((FOLDER / name).read_text())


def from_bits(text: str) -> float:
    """A double from the hex digits of its bit pattern, with or without 0x."""
    return float(struct.unpack("<d", struct.pack("<Q", int(text, 16)))[0])


def to_bits(value: float) -> str:
    return f"{struct.unpack('<Q', struct.pack('<d', value))[0]:016x}"


def doubles(texts: list[str]) -> NDArray[np.float64]:
    return np.array([from_bits(text) for text in texts], dtype=np.float64)


def fnv1a64(array: NDArray[np.float64]) -> str:
    digest = 0xCBF29CE484222325
    for byte in np.ascontiguousarray(array, dtype="<f8").tobytes():
        digest = ((digest ^ byte) * 0x100000001B3) % (1 << 64)
    return f"0x{digest:016x}"


def sha256(array: NDArray[np.float64]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array, dtype="<f8").tobytes()).hexdigest()


@cache
def rows(name: str) -> NDArray[np.float64]:
    """An input by the name the recorded cases use."""
    edge = json.loads((SPARK / "inputs" / "edge.json").read_text())
    if name == "edge_d4":
        return np.array([doubles(row) for row in edge["edge_d4"]])
    if name.startswith("sparse_d16"):
        dense = np.zeros((len(edge["sparse_d16"]), 16))
        for target, row in zip(dense, edge["sparse_d16"], strict=True):
            target[row["indices"]] = doubles(row["values"])
        return dense
    loaded: NDArray[np.float64] = np.load(SPARK / "inputs" / f"{name}.npy")
    return loaded


def parameters(key: str) -> tuple[str, int, float, int]:
    """Input name, tables, bucket length and seed out of a key of transform.json."""
    name, tables, width, seed = key.split("|")
    return name, int(tables[2:]), float(width[2:]), int(seed[5:])


def fits(hashes: list[str]) -> bool:
    """Whether every recorded hash of a row is a number that int64 can hold."""
    return all(-(2.0**63) <= from_bits(bits) < 2.0**63 for bits in hashes)


def comparable_rows(version: str, key: str) -> list[int]:
    """Rows of an edge input that Spark and we treat alike when they are searched.

    Not NaN or infinite, every bucket in int64, no bucket -0.0.
    """
    name = parameters(key)[0]
    recorded = load(f"spark/{version}/transform.json")["edge_hashes_bits"][key]
    return [
        row
        for row, hashes in enumerate(recorded)
        if np.isfinite(rows(name)[row]).all()
        and fits(hashes)
        and NEGATIVE_ZERO not in hashes
    ]
