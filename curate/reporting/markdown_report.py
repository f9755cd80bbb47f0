"""Summary of the report in Markdown, for pull requests."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from curate.dataset.notes import count_noun
from curate.render.formatting import count, display_text

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~&@!])")


def render_markdown(values: Mapping[str, Any]) -> str:
    """Return a report's summary in GitHub's Markdown.

    Args:
        values: Those of :class:`~curate.reporting.report_values.ReportValues` as plain values.
    """
    return "\n".join(_lines(values)) + "\n"


def _lines(values: Mapping[str, Any]) -> Iterator[str]:
    over = values["overview"]
    yield f"## Mask audit of {as_code(values['name'])}"
    yield ""
    form = f"{as_markdown(values['format'])}, " if values["format"] else ""
    version = f", version {as_code(values['version'])}" if values["version"] else ""
    masks = f"{count_noun(over['masks'], 'mask')} in {count_noun(over['images'], 'image')}"
    yield f"{form}{masks}{version}, audited {values['written']}."
    yield ""
    if over["decided"]:
        shares = (f"**{count(over[name])}** {name}" for name in ("accept", "review", "reject"))
        yield f"{', '.join(shares)}.{_people(values['people']['decided'])}"
    yield from _figures(values)
    yield from _wrong(values)
    yield from _next(values)


def _people(decided: Mapping[str, Any]) -> str:
    """Say on how many masks people decided; "" for none."""
    if not decided["anything"]:
        return ""
    did = [f"{count(n)} {name}" for name, n in decided["counts"].items()]
    return f" People decided on {count_noun(decided['masks'], 'mask')}: {', '.join(did)}."


def _figures(values: Mapping[str, Any]) -> Iterator[str]:
    if values["figures"]:
        yield from ("", "| How good | | rests on |", "| --- | --- | --- |")
    for one in values["figures"]:
        how = f"; measure it: {as_code(one['command'])}" if one["command"] else ""
        name, value, basis = (as_markdown(one[key]) for key in ("name", "value", "basis"))
        yield f"| {name} | **{value}** | {basis}{how} |"


def _wrong(values: Mapping[str, Any]) -> Iterator[str]:
    over = values["overview"]
    if values["worst"]:
        yield from ("", "| What is wrong | masks |", "| --- | ---: |")
    elif over["decided"]:
        yield from ("", "No mask has a finding on which nobody has decided.")
    for one in values["worst"]:
        yield f"| {as_markdown(one['text'])} | {count(one['masks'])} |"


def _next(values: Mapping[str, Any]) -> Iterator[str]:
    if values["next_steps"]:
        yield from ("", "What to do next:", "")
    for step in values["next_steps"]:
        yield f"- {as_markdown(step['purpose'])}: {as_code(step['command'])}"


def as_markdown(text: object) -> str:
    """Return text as Markdown that means nothing but itself."""
    return _SPECIAL.sub(r"\\\1", display_text(text, 400))


def as_code(text: object) -> str:
    """Return text as code, which mentions nobody and links to nothing, in a table as well."""
    shown = display_text(text, 400).replace("|", "\\|")
    longest = max((len(found) for found in re.findall("`+", shown)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {shown} {fence}" if longest else f"{fence}{shown}{fence}"
