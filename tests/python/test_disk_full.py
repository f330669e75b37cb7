"""A disk that is full: an error with the system's words, and the table as it was."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SIZE = 2_000_000

# Run in a shell of its own, with a folder that holds 2 MB, or files of 2 MB at most.
LIMITS: dict[str, Callable[[Path], list[str]]] = {
    "a full disk": lambda folder: [
        *("unshare", "--map-root-user", "--mount", "sh", "-c"),
        f'mount -t tmpfs -o size={SIZE} tmpfs {folder} && exec "$@"',
        "sh",
    ],
    "a limit on files": lambda _: [
        "sh",
        "-c",
        f'ulimit -f {SIZE // 512}; exec "$@"',
        "sh",
    ],
}
REASONS = {"a full disk": "No space left on device", "a limit on files": "File too large"}

PROGRAM = """
import sys
from pathlib import Path
import numpy as np
import polars as pl
from fast_lsh_ann import errors
from fast_lsh_ann.tables import write_table

folder, reason = Path(sys.argv[1]), sys.argv[2]
rows = np.random.default_rng(1).standard_normal((40_000, 16))
many = pl.DataFrame({"id": np.arange(40_000), "v": pl.Series(rows).arr.to_list()})
few = many[:2]

def refused(out, mode, kind):
    try:
        write_table(many, out, mode=mode)
    except errors.TableError as error:
        assert type(error) is kind, error
        assert reason in str(error), error
    else:
        raise AssertionError(f"{out}: {mode}")

for name, read in {"o.parquet": pl.read_parquet, "o.arrow": pl.read_ipc}.items():
    write_table(few, folder / name)
    refused(folder / name, "overwrite", errors.TableError)
    assert read(folder / name).equals(few)
    assert [path.name for path in folder.iterdir()] == [name]
    (folder / name).unlink()
write_table(few, folder / "o")
for mode in ("append", "overwrite"):
    refused(folder / "o", mode, errors.DeltaError)
    assert pl.read_delta(str(folder / "o")).sort("id").equals(few)
# What did not fit before does when there is room.
report = write_table(few, folder / "o", mode="append")
assert (report.version, report.rows) == (1, 2)
print("done")
"""


@pytest.mark.parametrize("limit", LIMITS)
def test_a_full_disk_is_an_error_and_changes_no_table(limit: str, tmp_path: Path) -> None:
    command = LIMITS[limit](tmp_path)
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may mount nothing")
    done = subprocess.run(
        [*command, sys.executable, "-c", PROGRAM, str(tmp_path), REASONS[limit]],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
