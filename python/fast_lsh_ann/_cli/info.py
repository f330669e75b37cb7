"""``fast-lsh-ann info``."""

from fast_lsh_ann import _core
from fast_lsh_ann._cli.options import Commands, Namespace, add_command
from fast_lsh_ann._cli.output import print_facts


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "info",
        _run,
        help="show the version, the kernels and the threads",
        description="Show the version, the kernels this processor can run and the one\n"
        "chosen, and how many threads a call uses.",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _run(arguments: Namespace) -> int:
    chosen, tiers, threads = _core.simd_info()
    facts = {
        "version": _core.__version__,
        "kernels": chosen,
        "kernels it has": tiers if arguments.json else ", ".join(tiers),
        "threads": threads,
    }
    print_facts(facts, arguments.json)
    return 0
