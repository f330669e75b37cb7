"""A join of tables twenty times as large as its memory limit stays within it."""

from pathlib import Path

import pytest
from held import check_memory


@pytest.mark.parametrize("limit", [64 << 20, 256 << 20])
def test_a_join_holds_what_it_may(tmp_path: Path, limit: int) -> None:
    check_memory(tmp_path, limit, [{"exact": True, "by": ["id"]}, {"exact": True}])
