"""Joins of tables by equality keys: groups of any size, keys of any type."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from delta_tables import vectors_of, write_table
from fast_lsh_ann import exact_similarity_join
from fast_lsh_ann._streamed import residents
from fast_lsh_ann.errors import InputTypeError
from joined import processor, rows_of, set_chunks


@pytest.mark.parametrize("together", [(1, 1), (3, 50), (256, 1 << 18)])
@pytest.mark.parametrize("skew", [0.0, 2.0])
def test_groups_of_any_size_give_their_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: Any, skew: float
) -> None:
    """Many small groups and one that is big, joined together or each for itself."""
    monkeypatch.setattr(residents, "_TOGETHER_ROWS", together[0])
    monkeypatch.setattr(residents, "_TOGETHER_PAIRS", together[1])
    set_chunks(monkeypatch, 300, 200)
    generator = np.random.default_rng(8)
    rows = vectors_of(700, seed=6, dim=3)
    keys = (60 * generator.random(700) ** (1 + skew)).astype(int)
    table = write_table(tmp_path / "t", rows, group=keys.tolist())
    exact = exact_similarity_join(rows, rows, 1.0)
    equal = keys[exact.left] == keys[exact.right]
    expected = {
        (int(i), int(j), float(d))
        for i, j, d in zip(
            exact.left[equal], exact.right[equal], exact.distances[equal], strict=True
        )
    }
    assert len(expected) > 700
    lsh = processor()
    sides: list[tuple[str | None, Any]] = [(None, "all"), (table, "all"), (None, "upper")]
    for other, self_pairs in sides:
        frames = lsh.similarity_join_frames(
            table,
            other,
            1.0,
            exact=True,
            by=["group"],
            self_pairs=self_pairs,
            where_b=None if other is None else "id >= 0",
        )
        found = rows_of(frames)
        wanted = {r for r in expected if self_pairs == "all" or r[0] < r[1]}
        assert set(found) == wanted
        assert len(found) == len(wanted)


KEYS: dict[str, tuple[pl.Series, pl.Series]] = {
    "whole numbers": (
        pl.Series([1, 2, None], dtype=pl.Int64),
        pl.Series([2, 1, None], dtype=pl.Int16),
    ),
    "floats": (
        pl.Series([0.0, np.nan, None]),
        pl.Series([np.nan, -0.0, None], dtype=pl.Float32),
    ),
    "texts": (
        pl.Series(["x", "y", None]),
        pl.Series(["y", "x", None]),
    ),
    "binary": (pl.Series([b"x", b"y", None]), pl.Series([b"y", b"x", None])),
    "flags": (pl.Series([True, False, None]), pl.Series([False, True, None])),
    "dates": (
        pl.Series(["2026-01-01", "2026-01-02", None]).str.to_date(),
        pl.Series(["2026-01-02", "2026-01-01", None]).str.to_date(),
    ),
    "structs": (
        pl.Series([{"x": 1, "y": 2}, {"x": 2, "y": 2}, None]),
        pl.Series([{"x": 2, "y": 2}, {"x": 1, "y": 2}, None]),
    ),
}


@pytest.mark.parametrize("kind", KEYS)
def test_keys_of_any_type_are_compared(tmp_path: Path, kind: str) -> None:
    """The first key is the other table's second; nulls equal nothing."""
    left, right = KEYS[kind]
    zeros = np.zeros((3, 2), dtype=np.float32)
    a = write_table(tmp_path / "a", zeros, key=left)
    b = write_table(tmp_path / "b", zeros, key=right)
    lsh = processor()
    frames = lsh.similarity_join_frames(a, b, 0.0, by=["key"])
    assert rows_of(frames) == [(0, 1, 0.0), (1, 0, 0.0)]
    itself = lsh.similarity_join_frames(a, None, 0.0, by=["key"])
    assert rows_of(itself) == [(0, 0, 0.0), (1, 1, 0.0)]


@pytest.mark.parametrize("coded", [pl.Categorical(), pl.Enum(["z", "x", "y"])], ids=str)
def test_texts_behind_dictionaries_are_compared_as_texts(coded: Any) -> None:
    texts = pl.Series(["x", "y", "y"])
    lists = pl.Series([[0.0]] * 3, dtype=pl.List(pl.Float32))
    a, b = (
        pl.DataFrame({"id": [0, 1, 2], "key": key, "embedding": lists})
        for key in (texts.cast(coded), texts.reverse())
    )
    expected = [(0, 2, 0.0), (1, 0, 0.0), (1, 1, 0.0), (2, 0, 0.0), (2, 1, 0.0)]
    lsh = processor()
    assert rows_of(lsh.similarity_join_frames(a, b, 0.0, by=["key"])) == expected
    turned_round = [(j, i, d) for i, j, d in expected]
    found = rows_of(lsh.similarity_join_frames(b, a, 0.0, by=["key"]))
    assert found == sorted(turned_round)


def test_keys_that_do_not_compare_are_refused(tmp_path: Path) -> None:
    zeros = np.zeros((1, 2), dtype=np.float32)
    a = write_table(tmp_path / "a", zeros, key=["1"], also=[1])
    b = write_table(tmp_path / "b", zeros, key=[1], also=[1])
    with pytest.raises(InputTypeError, match=r"'key' is of type String in .*Int64 in"):
        processor().similarity_join_frames(a, b, 0.0, by=["also", "key"])
