"""Environments for contenders that cannot live beside the others, made once."""

import shutil
import subprocess
import sys
from collections.abc import Sequence

from data import BUILD

PATIENCE = 1800  # seconds for an installation that compiles


class MissingEnvironmentError(Exception):
    """Why there is none."""


def python_with(name: str, packages: Sequence[str], needs: str) -> str:
    """The interpreter of an environment that has these packages.

    `needs` is a program that must be there already, to install them or to run them.
    """
    if shutil.which(needs) is None:
        raise MissingEnvironmentError(f"left out: it needs {needs}, which is not here")
    folder = BUILD / name
    python, installed = folder / "bin" / "python", folder / "installed"
    wanted = "\n".join(packages)
    if installed.exists() and installed.read_text() == wanted:
        return str(python)
    print(f"Setting up {folder}: {', '.join(packages)}", flush=True)
    try:
        run([sys.executable, "-m", "venv", "--clear", str(folder)])
        run([str(python), "-m", "pip", "install", "-q", *packages])
    except (OSError, subprocess.SubprocessError) as error:
        raise MissingEnvironmentError(f"could not be installed: {error}") from error
    installed.write_text(wanted)
    return str(python)


def run(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE)
