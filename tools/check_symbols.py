"""Hold the names: the libraries export the public header's functions and nothing else."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def symbols(library: Path, *options: str) -> set[str]:
    """Names that nm finds defined and external."""
    command = ["nm", "--defined-only", "--extern-only", *options, str(library)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {parts[2] for line in lines.splitlines() if len(parts := line.split()) == 3}


def main() -> int:
    """Print the faults of the libraries in the build folder; the exit status."""
    build = Path(sys.argv[1])
    header = (ROOT / "include/fast_lsh_ann.h").read_text()
    code = re.sub(r"/\*.*?\*/|typedef [^;{]*;", "", header, flags=re.DOTALL)
    public = set(re.findall(r"\b(fla_\w+)\(", code))
    faults = []
    exported = symbols(build / "libfast_lsh_ann.so", "--dynamic")
    if not public:
        faults.append("no function found in the public header")
    faults += [f"exported but not public: {name}" for name in sorted(exported - public)]
    faults += [f"public but not exported: {name}" for name in sorted(public - exported)]
    inside = symbols(build / "libfast_lsh_ann.a")
    faults += [f"without the prefix fla_: {n}" for n in sorted(inside) if n[:4] != "fla_"]
    for fault in faults:
        print(fault)
    print(f"symbols: {len(exported)} exported, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
