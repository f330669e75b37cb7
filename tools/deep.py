"""The long checks: sanitizers, foreign processors, kills, random cases, coverage.

Each step runs to its end whatever the others do; the summary says which failed.  A tool
that is missing is a failure, not a skip; Debian has them as valgrind, qemu-user,
gcc-aarch64-linux-gnu and libc6-dev-arm64-cross.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv/bin"
PYTHON = BIN / "python"
SLOW = {"FLA_TEST_STEP": "20"}  # where every instruction is emulated


def run(*command: str | Path, **environment: str) -> None:
    """Run a command in the project's root; raise when it fails."""
    subprocess.run(
        [str(part) for part in command],
        check=True,
        cwd=ROOT,
        timeout=3600,
        env={**os.environ, **environment},
    )


def build(name: str, *options: str) -> Path:
    """Build the C library and its tests into a folder of their own."""
    folder = ROOT / "build" / name
    ninja = f"-DCMAKE_MAKE_PROGRAM={BIN / 'ninja'}"
    settings: list[str | Path] = ["-G", "Ninja", ninja, "-DFLA_TESTS=ON", *options]
    run(BIN / "cmake", "-S", ".", "-B", folder, *settings)
    run(BIN / "cmake", "--build", folder)
    return folder


def ctest(folder: Path, *options: str, **environment: str) -> None:
    """Run the C tests of a build, all or those chosen."""
    command: list[str | Path] = [
        BIN / "ctest",
        "--test-dir",
        folder,
        "--output-on-failure",
    ]
    run(*command, "--no-tests=error", *options, **environment)


def address_and_undefined() -> None:
    """Run the C tests under AddressSanitizer and UndefinedBehaviorSanitizer."""
    ctest(build("asan", "-DFLA_SANITIZE=address,undefined", "-DCMAKE_BUILD_TYPE=Debug"))


def python_under_sanitizers() -> None:
    """Run the Python tests with a package built for both sanitizers.

    They change what a process takes, so tests that measure it are left out.
    """
    package, reports = ROOT / "build/sanitized", ROOT / "build/sanitized-reports"
    for folder in (package, reports):
        shutil.rmtree(folder, ignore_errors=True)
    reports.mkdir(parents=True)
    install: list[str | Path] = [
        BIN / "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-build-isolation",
    ]
    sanitize = ["-C", "cmake.define.FLA_SANITIZE=address,undefined"]
    run(*install, *sanitize, "-C", f"build-dir={package}-build", "--target", package, ".")
    preloaded = [
        subprocess.check_output(["gcc", f"-print-file-name={name}"], text=True).strip()
        for name in ("libasan.so", "libstdc++.so")  # it looks for both at the start
    ]
    common = f"log_path={reports}/report"
    run(
        *(PYTHON, "-m", "pytest", "-m", "not measured"),
        PYTHONPATH=str(package),
        LD_PRELOAD=" ".join(preloaded),
        ASAN_OPTIONS=f"detect_leaks=0:{common}",  # CPython keeps what it has to the end
        UBSAN_OPTIONS=common,
        FLA_TEST_SLOWDOWN="10",
    )
    if found := sorted(reports.iterdir()):
        raise subprocess.SubprocessError(f"the sanitizers reported: {found[0]}")


def threads() -> None:
    """Run the C tests under ThreadSanitizer, which cannot follow fork."""
    folder = build("tsan", "-DFLA_SANITIZE=thread", "-DCMAKE_BUILD_TYPE=RelWithDebInfo")
    ctest(folder, "-E", "test_fork")


def tool(name: str) -> str:
    """Find a program that the system must have."""
    path = shutil.which(name)
    if path is None:
        raise FileNotFoundError(f"{name} is not installed")
    return path


def programs(folder: Path, *without: str) -> list[Path]:
    """Find the test programs of a build."""
    found = [test for test in sorted(folder.glob("test_*")) if test.is_file()]
    if not found:
        raise FileNotFoundError("no test programs were built")
    return [program for program in found if program.name not in without]


def valgrind() -> None:
    """Run the C tests under memcheck, which has no AVX-512: the AVX2 tier is the best."""
    command = [tool("valgrind"), "--error-exitcode=9", "--leak-check=full", "--quiet"]
    folder = build("valgrind", "-DCMAKE_BUILD_TYPE=RelWithDebInfo")
    for program in programs(folder, "test_fork"):
        run(*command, "--fair-sched=yes", program, **SLOW)


def old_processor() -> None:
    """Run the C tests on an emulated x86 without AVX: no other tier may be touched.

    The emulator cannot fork a process that has threads.
    """
    emulator = tool("qemu-x86_64")
    for program in programs(build("c"), "test_fork"):
        run(emulator, "-cpu", "Nehalem", program, **SLOW)


def aarch64() -> None:
    """Run the C tests, cross-compiled, on an emulated 64-bit Arm: its own tier too."""
    emulator = f"{tool('qemu-aarch64')};-L;/usr/aarch64-linux-gnu"
    folder = build(
        "aarch64",
        "-DCMAKE_SYSTEM_NAME=Linux",
        "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
        f"-DCMAKE_C_COMPILER={tool('aarch64-linux-gnu-gcc')}",
        f"-DCMAKE_CROSSCOMPILING_EMULATOR={emulator}",
    )
    ctest(folder, "-E", "test_fork", "-j", "2", **SLOW)


def every_tier() -> None:
    """Run the Python tests with each tier of this processor forced but the best.

    That one runs every day.  How soon Ctrl-C ends a call does not depend on tiers.
    """
    code = "import fast_lsh_ann; print(*fast_lsh_ann.simd_info().tiers)"
    tiers = subprocess.check_output([str(PYTHON), "-c", code], text=True).split()
    without = ["--ignore", "tests/python/test_interrupts.py"]
    for tier in tiers[1:]:
        print(f"tier {tier}", flush=True)
        run(PYTHON, "-m", "pytest", *without, FAST_LSH_ANN_SIMD=tier)


def deep_tests() -> None:
    """Run the Python tests that are too long or too large for every day."""
    run(PYTHON, "-m", "pytest", "tests/deep")


def random_cases() -> None:
    """Compare new random cases, many of them, with the naive program."""
    tests = ["tests/python/test_oracle.py", "tests/python/test_random_tables.py"]
    run(PYTHON, "-m", "pytest", *tests, "--hypothesis-profile", "deep")


def python_coverage() -> None:
    """Run the Python tests and count the package's lines they run: 95 % at least."""
    (ROOT / "build/coverage").mkdir(parents=True, exist_ok=True)
    coverage = BIN / "coverage"
    run(coverage, "erase")
    run(coverage, "run", "-m", "pytest")
    run(coverage, "combine", "--quiet")
    run(coverage, "report")


def c_coverage() -> None:
    """Run the C tests and count what they run of the core.

    At least 95 % of its lines and 85 % of its branches.
    """
    flags = "-O1 --coverage -fprofile-update=atomic"
    folder = build("coverage-c", f"-DCMAKE_C_FLAGS={flags}", "-DCMAKE_BUILD_TYPE=Debug")
    for counters in folder.rglob("*.gcda"):
        counters.unlink()
    ctest(folder, "-j", "2")
    objects = folder / "CMakeFiles/fla_testable.dir/src"
    least = ["--fail-under-line", "95", "--fail-under-branch", "85"]
    many = ["--gcov-suspicious-hits-threshold", "0"]  # a loop may run 2^32 times
    report = ["--txt", "-", "--txt-summary"]
    run(
        BIN / "gcovr", "--root", ROOT, "--filter", "src/", *least, *many, *report, objects
    )


STEPS: list[Callable[[], None]] = [
    address_and_undefined,
    python_under_sanitizers,
    threads,
    valgrind,
    old_processor,
    aarch64,
    every_tier,
    deep_tests,
    random_cases,
    python_coverage,
    c_coverage,
]


def main() -> int:
    """Run the steps, all or those named; print the summary; the exit status."""
    wanted = sys.argv[1:]
    results = []
    for step in STEPS:
        if wanted and step.__name__ not in wanted:
            continue
        start = time.monotonic()
        title = (step.__doc__ or "").splitlines()[0]
        print(f"==== {step.__name__}: {title}", flush=True)
        try:
            step()
            outcome = "ok"
        except (subprocess.SubprocessError, FileNotFoundError) as error:
            outcome = f"FAILED: {error}"
        results.append((step.__name__, time.monotonic() - start, outcome))
    print()
    for name, seconds, outcome in results:
        print(f"{name:24}{seconds:8.0f} s  {outcome}")
    passed = bool(results) and all(outcome == "ok" for *_, outcome in results)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
