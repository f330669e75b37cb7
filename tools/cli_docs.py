"""Write docs/cli.md, the manual of the command line, from its parsers."""

import argparse
import sys
from pathlib import Path
from typing import Any

from fast_lsh_ann.cli import EXIT_STATUS, make_parser

TARGET = Path(__file__).resolve().parent.parent / "docs" / "cli.md"

HEAD = """\
# fast-lsh-ann: the command line

<!-- Written by tools/cli_docs.py from the parsers: change their help texts. -->

`fast-lsh-ann COMMAND ...`, or `python -m fast_lsh_ann COMMAND ...`. {description} \
[tutorial.md](tutorial.md) takes a newcomer through them.

Results go to standard output or to `--output`, messages and progress to standard error.

```
{status}```

## Tables

{tables}
"""


def manual() -> str:
    """Give the text of the manual."""
    from fast_lsh_ann._cli.options import TABLES

    parser = make_parser()
    parts = [
        HEAD.format(
            description=parser.description,
            status=EXIT_STATUS,
            tables=TABLES.replace("\n", " ").strip(),
        )
    ]
    for name, command in _commands(parser).items():
        parts.append(_section(name, command))
    return "\n".join(parts)


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    (commands,) = (
        action
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    return dict(commands.choices)


def _section(name: str, command: argparse.ArgumentParser) -> str:
    lines = [f"## {name}", "", f"    {command.usage}", ""]
    lines += [" ".join((command.description or "").split()), ""]
    for group in command._action_groups:
        actions = [a for a in group._group_actions if "--help" not in a.option_strings]
        if not actions:
            continue
        if group.title not in ("positional arguments", "options"):
            lines += [f"**{group.title}**", ""]
            if group.description:
                lines += [group.description, ""]
        lines += ["| | |", "| --- | --- |"]
        lines += [
            f"| {_names(action)} | {_help(command, action)} |" for action in actions
        ]
        lines += [""]
    return "\n".join(lines)


def _names(action: argparse.Action) -> str:
    value: Any = action.metavar
    if action.choices is not None:
        value = "\\|".join(map(str, action.choices))
    if not action.option_strings:
        return f"`{action.metavar}`"
    names = ", ".join(f"`{name}`" for name in action.option_strings)
    return names if action.nargs == 0 or value is None else f"{names} {value}"


def _help(command: argparse.ArgumentParser, action: argparse.Action) -> str:
    text = command._get_formatter()._expand_help(action)
    return " ".join(text.split()).replace("|", "\\|")


def main() -> int:
    """Write the manual; the exit status."""
    TARGET.write_text(manual(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
