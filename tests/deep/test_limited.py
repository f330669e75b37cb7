"""A join of tables twenty times as large as its memory limit stays within it."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
from held import SOME, check_memory


@pytest.mark.parametrize("limit", [64 << 20, 256 << 20, 1 << 30])
def test_a_join_holds_what_it_may(limit: int) -> None:
    """Of 21 GB at last: of these, rows are joined by key, or some of them."""
    some = {"where_a": SOME}
    asks: list[dict[str, Any]] = [{"exact": True, "by": ["id"]}, some]
    asks.append({"exact": True, **(some if limit == 1 << 30 else {})})
    with tempfile.TemporaryDirectory() as folder:
        check_memory(Path(folder), limit, asks)
