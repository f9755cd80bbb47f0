"""Markdown of tables, docstrings and signatures, for the generated pages."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import Any

from curate.reporting.reference import prose

SECTION = re.compile(r"^(Args|Returns|Raises|Yields|Attributes|Example):\n", re.MULTILINE)
LITERAL = re.compile(r":?:\n\n((?: {4}.*\n?|\n)+)")
DOCTEST = re.compile(r"^>>> .*(?:\n(?:\.\.\. |>>> |\S).*)*", re.MULTILINE)


def table(head: list[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a table; cells may hold Markdown themselves."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(cell, line)) + " |" for line in lines) + "\n"


def cell(value: object) -> str:
    """Return a value as one cell of a table."""
    return " ".join(str(value).split()).replace("|", "\\|")


def module_prose(text: str) -> str:
    """Return a module's docstring: as :func:`prose`, and with its indented blocks in fences."""

    def fenced(match: re.Match[str]) -> str:
        return f":\0~~~text\n{inspect.cleandoc(match[1])}\n~~~\0"

    parts = LITERAL.sub(fenced, text).split("\0")
    return "\n\n".join(part if k % 2 else prose(part) for k, part in enumerate(parts))


def docstring(thing: object) -> str:
    """Return a Google-style docstring."""
    first, *rest = SECTION.split(inspect.getdoc(thing) or "")
    parts = [with_doctests(prose(first)).strip()]
    for name, body in zip(rest[::2], rest[1::2], strict=True):
        inner, _, after = re.sub(r"\n(?=\S)", "\n\0", body).partition("\0")
        parts += [f"**{name}**", listed(name, inner), with_doctests(prose(after)).strip()]
    return "\n\n".join(part for part in parts if part) + "\n"


def listed(section: str, body: str) -> str:
    """Return the body of a section: a list of what it names, or a text."""
    body = inspect.cleandoc(" \n" + body)
    if section in ("Returns", "Yields"):
        return prose(body)
    if section == "Example":
        return with_doctests(body)
    named = [item.partition(":") for item in re.split(r"\n(?=\S)", body)]
    return "\n".join(f"- `{n}`: {prose(' '.join(t.split()))}" for n, _, t in named if n)


def with_doctests(text: str) -> str:
    """Return a text with its doctests in fences."""
    return DOCTEST.sub(lambda m: f"```pycon\n{m[0]}\n```", text)


def signature(name: str, thing: Any) -> str:
    """Return a signature in one line where it is short, else a line a parameter."""
    try:
        found = inspect.signature(thing)
    except ValueError:
        return name
    listed_: list[str] = []
    for parameter in found.parameters.values():
        if parameter.name in ("self", "cls"):
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in listed_:
            listed_.append("*")
        listed_.append(_parameter(parameter))
    arrow = "" if found.return_annotation is found.empty else f" -> {found.return_annotation}"
    line = f"{name}({', '.join(listed_)}){arrow}"
    if len(line) <= 90:
        return line
    return "\n".join([f"{name}(", *(f"    {one}," for one in listed_), f"){arrow}"])


def _parameter(parameter: inspect.Parameter) -> str:
    stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else ""
    stars = "**" if parameter.kind is parameter.VAR_KEYWORD else stars
    typed = "" if parameter.annotation is parameter.empty else f": {parameter.annotation}"
    value = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
    return f"{stars}{parameter.name}{typed}{value}"
