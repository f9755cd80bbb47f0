"""Texts about signals, reasons and columns: one source of ``curate explain`` and of the docs.

Most of it stands in the code already: a scorer's question, columns and docstring, a policy's rules.
What code does not say (why it matters, known false alarms) stands in ``texts/reference.toml``.
"""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypedDict

from curate.common.ranges import PRESETS
from curate.policy.policy import Policy, load_policy
from curate.policy.rules import Rule
from curate.quality import label_free
from curate.scorers import all_scorers
from curate.scorers.scorer import Column, Scorer

OPTION = {
    "images": "`--images DIR`",
    "detections": "`--detections FILE` or `--detector NAME`",
    "compare": "`--compare NAME=FILE`",
    "soft_masks": "`--soft-masks DIR`",
    "segmenter": "`--segmenter NAME`",
    "verifier": "`--verifier MODEL`",
    "encoder": "`--encoder MODEL`",
    "judge": "`curate judge` afterwards",
    "deep": "`--deep`",
}
"""The option of `curate audit` that gives each thing a scorer can need."""

_ROLE = re.compile(r":(?:class|func|data|mod|meth|attr):`~?([^`]+)`")


class SubjectText(TypedDict, total=False):
    """The text about a signal, or about what rules ask: some of these."""

    title: str
    measures: str
    why: str
    false_alarms: str
    options: str


class ReferenceTexts(TypedDict):
    """All hand-written texts: by kind, then by name.

    Attributes:
        signal: Of signals.
        reason: Of what rules ask about first.
        column: Of columns that the source or a policy gives: ``is``, and ``unit`` where it has one.
        plan: Of columns of the plan: ``is`` and ``type``.
        image: Of columns of images.
    """

    signal: dict[str, SubjectText]
    reason: dict[str, SubjectText]
    column: dict[str, dict[str, str]]
    plan: dict[str, dict[str, str]]
    image: dict[str, dict[str, str]]


class PresetRule(NamedTuple):
    """A rule of a policy that curate brings: the policy's name, and the rule."""

    preset: str
    rule: Rule


@cache
def texts() -> ReferenceTexts:
    """Return the hand-written texts."""
    file = Path(__file__).parent / "texts" / "reference.toml"
    found: ReferenceTexts = tomllib.loads(file.read_text(encoding="utf-8"))  # type: ignore[assignment]
    return found


def prose(text: str) -> str:
    """Return text as our docstrings have it, in reStructuredText, as Markdown."""
    text = _ROLE.sub(r"`\1`", text)
    text = re.sub(r"``([^`]+)``", r"`\1`", text)
    lines: list[str] = []
    for line in text.splitlines():
        begins = re.match(r"\s*- ", line) and lines and lines[-1].strip()
        if begins and not re.match(r"\s*- |  ", lines[-1]):
            lines.append("")
        lines.append(line)
    return "\n".join(lines)


def defined(name: str, thing: object) -> str:
    """Return the text on a column in a docstring's list, "" where it lists none of that name."""
    found = re.search(
        rf"^\s*- (?:``\w+``, )*``{name}``(?:(?!\n\s*- )[^:])*: (.*?)(?=\n\s*- |\n\s*\n|\Z)",
        inspect.getdoc(thing) or "",
        re.MULTILINE | re.DOTALL,
    )
    if not found:
        return ""
    text = " ".join(prose(found[1]).split()).rstrip(";.")
    return f"{text[:1].upper()}{text[1:]}."


def readable(template: str) -> str:
    """Return a reason's template with its fields as code."""
    return re.sub(r"\{([^{}:]+)[^{}]*\}", r"`\1`", template)


def list_columns(scorer: Scorer) -> tuple[Column, ...]:
    """Return all columns of a scorer, those of its second step too."""
    return (*scorer.columns, *scorer.applied)


def list_scored() -> list[tuple[Scorer, Column]]:
    """Return the columns that are signals: scores, and counts of what an image lacks."""
    return [
        (scorer, column)
        for scorer in all_scorers()
        for column in list_columns(scorer)
        if column.kind == "score" or (scorer.level == "image" and column.name == scorer.name)
    ]


def list_stored() -> list[str]:
    """Return the signals that come from the source: those that the quality counts, and `score`."""
    ours = {column.name for _, column in list_scored()}
    return [name for name in (*label_free.signals(), "score") if name not in ours]


def signal_names() -> list[str]:
    """Return every signal, in the order of the reference page."""
    return ["quality_score", *list_stored(), *(column.name for _, column in list_scored())]


def needs(scorer: Scorer) -> str:
    """Return the inputs that a scorer cannot run without, as a sentence."""
    asked = " and ".join(OPTION[need] for need in scorer.needs)
    return f"Needs {asked}." if asked else "Always available."


def measures(name: str, column: Column | None, scorer: Scorer | None) -> Iterator[str]:
    """Yield what a signal measures, and how a reason says it."""
    if own := texts()["signal"].get(name, {}).get("measures"):
        yield own
    found = [defined(name, one) for one in (scorer.function, scorer.apply) if one] if scorer else []
    yield from filter(None, found)
    if column and column.kind == "score":
        yield f"A low value says: {column.low_means}."
    elif column:
        yield f"{column.low_means[:1].upper()}{column.low_means[1:]}, by image."
    if column and column.states:
        yield f"A reason reads: “{readable(column.full_statement)}”."
        if column.states_known:
            yield "Parts of which the values are not known are left out."
    if column and column.states_at_zero:
        yield f"At 0 it reads: “{readable(column.states_at_zero)}”."


def options(name: str, scorer: Scorer | None) -> Iterator[str]:
    """Yield what changes a signal: options, limits of the default policy, whether it counts."""
    if own := texts()["signal"].get(name, {}).get("options"):
        yield own
    if scorer:
        yield needs(scorer)
    if name in label_free.signals():
        yield "Counts in `quality_score`."
    elif name != "quality_score":
        yield "Does not count in `quality_score` without reviews."
    if (odd := load_policy("default").odd.get(name)) is not None:
        yield f"A sign of a fault only under {odd:g} (`[odd]` of the default policy)."


def rules_by_subject() -> dict[str, list[PresetRule]]:
    """Return the rules of the presets by the column that each asks about first."""
    found: dict[str, list[PresetRule]] = {}
    for preset in PRESETS:
        for rule in Policy.preset(preset).rules:
            asked = [name for name in rule.when.columns if name != "area_px"]
            found.setdefault(asked[0], []).append(PresetRule(preset, rule))
    return found
