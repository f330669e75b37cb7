"""Memory limits as people write them, and what the system says there is."""

import re
import resource
from collections.abc import Mapping
from pathlib import Path

import pytest
from conftest import Run
from fast_lsh_ann._streamed.memory import available_memory, parse_memory, working_limit
from fast_lsh_ann.errors import InputTypeError, ParameterError

GIB = 1 << 30


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("512MiB", 512 * 1024 * 1024),
        ("1GiB", GIB),
        (" 1.5 gib ", 1536 * 1024 * 1024),
        ("2GB", 2_000_000_000),
        ("3kB", 3_000),
        ("100B", 100),
        ("1TiB", 1024 * GIB),
        (12345, 12345),
        (None, None),
    ],
)
def test_limits_are_bytes_or_numbers_with_units(text: object, expected: int) -> None:
    assert parse_memory(text) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("limit", "error", "words"),
    [
        ("1G", ParameterError, "'512MiB'"),
        ("lots", ParameterError, "got 'lots'"),
        ("", ParameterError, "number and a unit"),
        ("-1GiB", ParameterError, "got '-1GiB'"),
        ("0.1B", ParameterError, "at least 1"),
        (0, ParameterError, "memory_limit must be at least 1, got 0"),
        (-5, ParameterError, "got -5"),
        (True, InputTypeError, "got True (bool)"),
        (1.5, InputTypeError, "a text such as '1GiB'"),
        ([1], InputTypeError, "(list)"),
    ],
)
def test_other_limits_are_refused(
    limit: object, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=re.escape(words)):
        parse_memory(limit)  # type: ignore[arg-type]


def tree(folder: Path, files: Mapping[str, object]) -> tuple[Path, Path]:
    """A /proc and a /sys that say these things."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return folder / "proc", folder / "sys"


SYSTEM = {
    "proc/meminfo": f"MemTotal: {32 * 2**20} kB\nMemAvailable:   {16 * 2**20} kB",
    "proc/self/statm": "1000 500 100 1 0 200 0",
}


def test_without_limits_it_is_what_the_system_has(tmp_path: Path) -> None:
    assert available_memory(*tree(tmp_path, SYSTEM)) == 16 * GIB


def test_a_group_leaves_its_limit_less_its_use(tmp_path: Path) -> None:
    """Files that it read and did not use lately can be given back."""
    group = "sys/fs/cgroup/user.slice/job"
    files = {
        "proc/self/cgroup": "0::/user.slice/job",
        f"{group}/memory.max": 4 * GIB,
        f"{group}/memory.current": 3 * GIB,
        f"{group}/memory.stat": f"anon 7\ninactive_file {GIB // 2}\nactive_file 9",
    }
    assert available_memory(*tree(tmp_path, SYSTEM | files)) == 3 * GIB // 2


def test_the_tightest_of_nested_groups_counts(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/pod/container",
        "sys/fs/cgroup/pod/container/memory.max": "max",
        "sys/fs/cgroup/pod/container/memory.current": GIB,
        "sys/fs/cgroup/pod/memory.max": 3 * GIB,
        "sys/fs/cgroup/pod/memory.current": 2 * GIB,
        "sys/fs/cgroup/memory.max": 8 * GIB,
        "sys/fs/cgroup/memory.current": 2 * GIB,
    }
    assert available_memory(*tree(tmp_path, SYSTEM | files)) == GIB


def test_groups_of_the_first_version_are_read(tmp_path: Path) -> None:
    folder = "sys/fs/cgroup/memory/docker/abc"
    files = {
        "proc/self/cgroup": "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/",
        f"{folder}/memory.limit_in_bytes": 2 * GIB,
        f"{folder}/memory.usage_in_bytes": GIB,
        f"{folder}/memory.stat": f"inactive_file 5\ntotal_inactive_file {GIB // 4}",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": 9223372036854771712,
        "sys/fs/cgroup/memory/memory.usage_in_bytes": 5 * GIB,
    }
    assert available_memory(*tree(tmp_path, SYSTEM | files)) == GIB + GIB // 4


def test_a_container_sees_its_group_as_the_root(tmp_path: Path) -> None:
    """Its path in /proc is that outside, of which nothing is there."""
    files = {
        "proc/self/cgroup": "0::/kubepods/pod1/abc",
        "sys/fs/cgroup/memory.max": GIB,
        "sys/fs/cgroup/memory.current": GIB // 4,
    }
    assert available_memory(*tree(tmp_path, SYSTEM | files)) == 3 * GIB // 4


def test_a_group_beyond_its_limit_leaves_nothing(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/",
        "sys/fs/cgroup/memory.max": GIB,
        "sys/fs/cgroup/memory.current": 2 * GIB,
    }
    assert available_memory(*tree(tmp_path, SYSTEM | files)) == 0


def test_where_nothing_is_told_it_is_all_there_is(tmp_path: Path) -> None:
    assert available_memory(tmp_path / "proc", tmp_path / "sys") > GIB // 4


def test_a_limit_of_address_space_counts(run_python: Run) -> None:
    program = """
import resource
from fast_lsh_ann._streamed.memory import available_memory, working_limit
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (200 << 20), resource.RLIM_INFINITY))
print(available_memory() >> 20, working_limit(None) >> 20)
"""
    whole, half = map(int, run_python(program).stdout.split())
    assert 150 <= whole <= 200
    assert whole // 2 - 5 <= half <= whole // 2


def test_a_limit_given_is_taken() -> None:
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
    assert working_limit(5) == 5
    assert working_limit(None) > 5
