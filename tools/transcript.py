"""Run the commands of a transcript again, and write what they print now.

A transcript is a Markdown file; in its ```console blocks lines that begin with "$ " are
commands, and what follows each is what it printed.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PROMPT = "$ "


def replay(text: str, folder: Path) -> str:
    """Give the text with what its commands, run in a folder, print now."""

    def again(block: re.Match[str]) -> str:
        lines: list[str] = []
        for line in block.group(1).splitlines():
            if line.startswith(_PROMPT):
                lines += [line, *_run(line.removeprefix(_PROMPT), folder)]
        return "\n".join(["```console", *lines, "```"])

    return _BLOCK.sub(again, text)


def _run(command: str, folder: Path) -> list[str]:
    """Run a command by the shell; its output and errors, in this order."""
    scripts = Path(sys.executable).parent
    done = subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env={
            "PATH": f"{scripts}:/usr/bin:/bin",
            "COLUMNS": "80",
            "FAST_LSH_ANN_NUM_THREADS": "2",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return [line.rstrip() for line in (done.stdout + done.stderr).splitlines()]


def main() -> int:
    """Replay the tutorial in the folder given; the exit status."""
    path = ROOT / "docs" / "tutorial.md"
    folder = Path(sys.argv[1])
    path.write_text(replay(path.read_text(encoding="utf-8"), folder), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
