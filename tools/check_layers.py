"""Hold the layers: a folder of src/ includes only itself and the folders below it."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# What each folder may include besides itself and the public header.
BELOW = {
    "base": set(),
    "kernels": {"base"},
    "lsh": {"base", "kernels"},
    "search": {"base", "kernels", "lsh"},
    "arrow": {"base"},
}
PUBLIC = "fast_lsh_ann.h"
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)


def faults_of_core(path: Path) -> list[str]:
    """Includes of a file in src/ that point up or beside."""
    layer = path.relative_to(ROOT / "src").parts[0]
    faults = []
    for name in INCLUDE.findall(path.read_text()):
        folder = name.split("/")[0] if "/" in name else None
        if name == PUBLIC or folder == layer or folder in BELOW[layer]:
            continue
        faults.append(f"{path.relative_to(ROOT)} includes {name}")
    return faults


def faults_of_extension(path: Path) -> list[str]:
    """Includes of the extension: its own headers and the public one."""
    own = {header.name for header in path.parent.glob("*.h")}
    return [
        f"{path.relative_to(ROOT)} includes {name}"
        for name in INCLUDE.findall(path.read_text())
        if name != PUBLIC and name not in own
    ]


def allocator_faults(paths: list[Path]) -> list[str]:
    """Calls of the C heap outside the one file that may name it."""
    heap = re.compile(r"\b(malloc|calloc|realloc|aligned_alloc|free)\s*\(")
    return [
        f"{path.relative_to(ROOT)} calls the heap itself; use base/alloc.h"
        for path in paths
        if path.name != "alloc.c" and heap.search(path.read_text())
    ]


def main() -> int:
    """Print the faults; the exit status."""
    core = sorted((ROOT / "src").rglob("*.[ch]"))
    extension = sorted((ROOT / "python/ext").glob("*.[ch]"))
    if len(core) < 20 or len(extension) < 4:
        print(f"found only {len(core)} and {len(extension)} files: wrong folder?")
        return 1
    faults = [fault for path in core for fault in faults_of_core(path)]
    faults += [fault for path in extension for fault in faults_of_extension(path)]
    faults += allocator_faults(core)
    for fault in faults:
        print(fault)
    print(f"layers: {len(core) + len(extension)} files, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
