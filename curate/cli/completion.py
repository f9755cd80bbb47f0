"""Completion of what is typed in a shell: commands, options, choices, presets, formats, audits.

Typer writes the shells' scripts and speaks their protocols (``curate --install-completion``); what
it completes is found here, with nothing loaded that computes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from curate.cli.command_groups import walk_commands
from curate.formats import format_names
from curate.store.audit_info import INFO
from curate.writing.exports import export_names

VARIABLE = "_CURATE_COMPLETE"
"""The environment variable by which a shell asks."""


@dataclass(frozen=True)
class Candidate:
    """One word that could stand there, as shells' scripts take it.

    Attributes:
        value: The word.
        type: Its kind; always plain.
        help: None: Typer would load Rich to take markup out of it.
    """

    value: str
    type: str = "plain"
    help: None = None


def answer_shell(command: Any) -> None:
    """Print the words that could stand where a shell asks, and end the process.

    Args:
        command: The command line's group, as Typer made it.
    """
    for one in walk_commands(command):
        one.shell_complete = partial(_complete_names, one)
        one.get_params = partial(_list_parameters, one.get_params)
    command.main(args=[], prog_name="curate", complete_var=VARIABLE)


def _list_parameters(listed: Callable[[Any], list[Any]], context: Any) -> list[Any]:
    """Return a command's parameters, which complete their values and read none."""
    found = listed(context)
    for parameter in found:
        parameter.shell_complete = partial(_complete_value, parameter)
        parameter.process_value = _leave  # reading values would load a library for it
    return found


def _leave(context: Any, value: object) -> object:
    """Return a value as it was typed: no command runs."""
    del context
    return value


def _complete_names(command: Any, context: Any, incomplete: str) -> list[Candidate]:
    """Complete the name of a command, or of an option."""
    if incomplete[:1] != "-":
        known = getattr(command, "commands", {})
        return _beginning(incomplete, [name for name, one in known.items() if not one.hidden])
    shown = [one for one in command.get_params(context) if not getattr(one, "hidden", False)]
    names = [name for one in shown for name in (*one.opts, *one.secondary_opts)]
    return _beginning(incomplete, [name for name in names if name[:2] == "--"])


def _complete_value(parameter: Any, context: Any, incomplete: str) -> list[Candidate]:
    """Complete the value of an option or an argument; none leaves it to the shell's own files."""
    del context
    shown = parameter.metavar or ""
    if choices := list_choices(shown):
        return _beginning(incomplete, [*choices, *(_find_tables(incomplete, shown))])
    find = _FINDERS.get(shown) or _FINDERS.get(parameter.name)
    return _beginning(incomplete, find(incomplete) if find else ())


def _beginning(incomplete: str, words: Iterable[str]) -> list[Candidate]:
    return [Candidate(word) for word in words if word.startswith(incomplete)]


def list_choices(metavar: str) -> list[str]:
    """Return the choices that a metavar shows: what it has in small letters, between strokes."""
    words = metavar.split("|")
    return [word for word in words if word == word.lower() and len(words) > 1]


def find_audits(incomplete: str) -> list[str]:
    """Return the audit directories beside, or right under, what is typed of a path."""
    typed, _, _ = incomplete.rpartition("/")
    folder = Path(f"{typed}/") if typed or incomplete[:1] == "/" else Path()
    found = sorted(entry.parent for entry in folder.glob(f"*/{INFO}"))
    if typed and (folder / INFO).is_file():
        found = [folder, *found]
    return [os.fspath(path) for path in found]


def _find_tables(incomplete: str, metavar: str) -> list[str]:
    """Return the TOML files in the folder that is typed, where a file can stand for a choice."""
    if "FILE" not in metavar.split("|"):
        return []
    typed = Path(incomplete or ".")
    folder = typed if incomplete[-1:] in ("", "/") else typed.parent
    return sorted(os.fspath(path) for path in folder.glob("*.toml"))


_FINDERS: dict[str, Callable[[str], Iterable[str]]] = {
    "format": lambda _: format_names(),
    "to": lambda _: export_names(),
    "AUDIT": find_audits,
    "A": find_audits,
    "B": find_audits,
}
"""By an argument's or option's metavar, or its name, what could stand there."""
