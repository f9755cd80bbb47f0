"""Writing of the engine's report: a self-contained page, its values as JSON, Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from curate.common import files
from curate.common.clock import Clock
from curate.dataset.notes import encodable
from curate.engine.engine_report import EngineReport, gather_engine_report
from curate.engine.rounds import EngineRounds
from curate.errors import CallError
from curate.reporting.markdown_report import as_code, as_markdown
from curate.reporting.page_templates import render_template
from curate.reporting.plain_values import PlainValue, as_plain
from curate.store.audit import REPORTS
from curate.store.audit_files import writing


def report_engine(rounds: EngineRounds, out: Path | None, clock: Clock) -> Path:
    """Write the report of an engine; see :meth:`curate.engine.engine_value.Engine.report`.

    Args:
        rounds: Of the engine.
        out: The file; None for all three in the project.
        clock: What time it is.

    Raises:
        CallError: The file is one of the engine's own.
        CurateError: A file of the project is damaged, or the report cannot be written.
    """
    targets = [rounds.project / name for name in REPORTS] if out is None else [out]
    _refuse_own(rounds.project, targets)
    write_engine_report(gather_engine_report(rounds, clock), targets)
    return targets[-1]


def _refuse_own(project: Path, targets: Sequence[Path]) -> None:
    """Check that no file of an engine but its report would be replaced."""
    inside = project.resolve()
    own = {inside / name for name in REPORTS}
    for target in targets:
        place = target.resolve()
        if place.is_file() and place not in own and place.is_relative_to(inside):
            what = "it is a file of the engine, which the report would replace"
            raise CallError(what, str(target), "choose another name")


def write_engine_report(found: EngineReport, paths: Sequence[Path]) -> None:
    """Write the report of an engine, each file complete in itself.

    Args:
        found: Its values.
        paths: The files: ``.json`` gets the values, ``.md`` the report in Markdown, any other the
            page. Each is replaced in one step, so a reader never sees half of it.

    Raises:
        AuditError: A file cannot be written.
    """
    values = as_plain(found)
    assert isinstance(values, dict)
    for path in paths:
        text = _render_as(path.suffix.lower(), values)
        with writing(path) as temporary:
            files.remove_abandoned(path.parent, f".{path.name}.")
            files.write_text(temporary, text, errors="replace")


def _render_as(suffix: str, values: Mapping[str, PlainValue]) -> str:
    if suffix == ".json":
        return orjson.dumps(encodable(values), option=orjson.OPT_INDENT_2).decode()
    if suffix == ".md":
        return render_engine_markdown(values)
    return render_template("engine.html", values)


def render_engine_markdown(values: Mapping[str, Any]) -> str:
    """Return the report in GitHub's Markdown, without the plots.

    Args:
        values: Those of :class:`~curate.engine.engine_report.EngineReport` as plain values.
    """
    return "\n".join(_lines(values)) + "\n"


def _lines(values: Mapping[str, Any]) -> Iterator[str]:
    yield f"## Data engine {as_code(values['name'])}"
    yield ""
    used = values["segmenter"]
    segmenter = "none yet" if used is None else as_code(used["name"])
    yield f"Written {values['written']}. Segmenter in force: {segmenter}."
    yield from ("", "| | | rests on |", "| --- | --- | --- |")
    for one in values["figures"]:
        cells = (as_markdown(one["name"]), f"**{as_markdown(one['value'])}**")
        yield f"| {' | '.join((*cells, as_markdown(one['basis'])))} |"
    yield from ("", "What to do next:", "")
    yield from (f"- {as_markdown(line)}" for line in values["now"])
    for step in values["next_steps"]:
        yield f"- {as_markdown(step['purpose'])}: {as_code(step['command'])}"
    yield from _said("If people stopped now", values["work_left"]["text"])
    yield from _said("The next hour", values["next_hour"]["text"])
    yield from ("", "### Rounds", "")
    if not values["rounds"]:
        yield "No round is closed yet."
        return
    for table in values["tables"]:
        yield from (f"{as_markdown(table['title'])}:", "")
        yield from (*_table(table["head"], table["rows"]), "")
    yield from _said("", values["notes"])
    if values["prompts"] is not None:
        yield from _prompts(values["prompts"])


def _said(title: str, lines: Sequence[str]) -> Iterator[str]:
    if title:
        yield from ("", f"### {title}")
    if lines:
        yield ""
    yield from (f"- {as_markdown(line)}" for line in lines)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(as_markdown(one) for one in head)} |"
    yield f"| {' | '.join(['---'] + ['---:'] * (len(head) - 1))} |"
    for row in rows:
        yield f"| {' | '.join(as_markdown(one) for one in row)} |"


def _prompts(tried: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", "### Prompts that were tried", "")
    other = "" if tried["in_force"] else ", which is no longer in force"
    yield (
        f"On {tried['masks']:,} masks of {tried['images']:,} validation images, "
        f"{tried['written']}, with {as_code(tried['segmenter'])}{other}; the one to use is bold."
    )
    yield ""
    head = ("prompts", "IoU", "95% interval", "gain", "s a mask")
    yield from _table(head, [])
    for row in tried["recipes"]:
        ends = "–" if row["low"] is None else f"{row['low']:.3f} to {row['high']:.3f}"
        name = as_markdown(row["recipe"])
        name = f"**{name}**" if row["chosen"] else name
        numbers = (f"{row['iou']:.3f}", ends, f"{row['gain']:+.3f}")
        yield f"| {' | '.join((name, *numbers, format(row['seconds_per_mask'], '.3f')))} |"
    own = [f"For {k}: {v}." for k, v in tried["by_category"].items()]
    yield from _said("", [*own, *(f"{note[:1].upper()}{note[1:]}." for note in tried["notes"])])
