"""Groups of commands in the help, and the examples under each command's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from typer.core import TyperGroup

GROUPS: dict[str, tuple[str, ...]] = {
    "Look at a dataset": ("audit", "status", "report", "explain", "compare", "diff", "version"),
    "Review masks": ("review", "queue", "import", "agreement"),
    "Decide in bulk": ("accept", "reject", "fix", "undo"),
    "Decide on the rest": ("decide", "judge", "learn", "estimate", "certify"),
    "Write datasets": ("write", "prune", "restore"),
    "Run the data engine": ("engine",),
    "Models": ("generate", "train-detector", "train-segmenter", "train-verifier"),
    "Try it out": ("demo",),
}
"""Commands by what they are for, in the order in which they are used."""

OTHERS = "Other commands"
"""The group of a command that stands in none."""


def flatten_commands(group: Any) -> Mapping[str, Any]:
    """Return all commands by their words; of a group of them ("engine") each one ("engine new")."""
    return dict(_list_named(group, ""))


def _list_named(group: Any, before: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _list_named(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def walk_commands(command: Any) -> Iterator[Any]:
    """Yield a command and, of a group, all below it."""
    yield command
    for one in getattr(command, "commands", {}).values():
        yield from walk_commands(one)


class CommandGroup(TyperGroup):
    """The program's commands, by group."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands by group, one a line, each with the first sentence of its help."""
        shown = {name: one for name, one in self.commands.items() if not one.hidden}
        grouped = {name for names in GROUPS.values() for name in names}
        rest = tuple(name for name in shown if name not in grouped)
        width = max(map(len, shown), default=0)
        for heading, names in {**GROUPS, OTHERS: rest}.items():
            rows = [
                (name.ljust(width), shown[name].get_short_help_str(formatter.width - 6 - width))
                for name in names
                if name in shown
            ]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)


def show_examples(*examples: str) -> str:
    """Return the end of a command's help: commands to copy, as they stand.

    An example that goes on below ends its line with a backslash.
    """
    lines = [line for example in examples for line in example.splitlines()]
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])
