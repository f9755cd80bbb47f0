"""Rendering of the report's values: one self-contained HTML file, JSON, Markdown."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import orjson
from jinja2 import Environment

from curate.common import files
from curate.dataset.notes import encodable
from curate.reporting import distributions, methods, people_section, svg_figures
from curate.reporting.first_screen import REVIEW_PAGE
from curate.reporting.markdown_report import render_markdown
from curate.reporting.page_templates import make_environment, policy_header, read_asset
from curate.reporting.plain_values import PlainValue
from curate.reporting.report_values import gather_report
from curate.store.audit import StoredAudit
from curate.store.audit_files import writing


def write_report(
    audit: StoredAudit, paths: Path | Sequence[Path], *, images: Path | None = None
) -> None:
    """Write the report of an audit, each file of one moment and complete in itself.

    Args:
        audit: The audit; read by SQL, so a few hundred rows of it are in memory at a time.
        paths: The file to write, or several: ``.json`` gets the values, ``.md`` a summary in
            Markdown, any other the page. Each is replaced in one step, so a reader never sees half
            of it.
        images: Folder of the pictures that the masks are drawn on; without it masks are drawn on a
            neutral ground.

    Raises:
        AuditError: A file cannot be written.
    """
    values = gather_report(audit, images)
    for path in [paths] if isinstance(paths, Path) else paths:
        text = _render_as(path.suffix.lower(), values)
        with writing(path) as temporary:
            files.remove_abandoned(path.parent, f".{path.name}.")
            files.write_text(temporary, text, errors="replace")


def _render_as(suffix: str, values: Mapping[str, PlainValue]) -> str:
    if suffix == ".json":
        return orjson.dumps(encodable(values), option=orjson.OPT_INDENT_2).decode()
    return render_markdown(values) if suffix == ".md" else render_page(values)


def render(audit: StoredAudit, images: Path | None = None) -> str:
    """Return the report of an audit as HTML text."""
    return render_page(gather_report(audit, images))


def render_page(values: Mapping[str, PlainValue]) -> str:
    """Return a report as HTML text.

    Args:
        values: Those of :class:`~curate.reporting.report_values.ReportValues`, as they are or as
            they were read from ``report.json``.
    """
    environment = _environment()
    style, script = (read_asset(environment, name) for name in ("report.css", "report.js"))
    style += str(values["plot_style"])
    return environment.get_template("report.html").render(
        **values,
        review_page=REVIEW_PAGE,
        style=style,
        script=script,
        policy_header=policy_header(style, script),
    )


def _choose(cards: Sequence[Mapping[str, object]], ids: Sequence[int]) -> list[object]:
    """Return the cards of some masks, in the order of these."""
    wanted = set(ids)
    found = {one["mask_id"]: one for one in cards if one["mask_id"] in wanted}
    return [found[i] for i in ids]


@cache
def _environment() -> Environment:
    """Return the environment of the report's template: with its words and geometry."""
    # Kept for the life of the process: compiling the template takes longer than filling it.
    environment = make_environment()
    environment.filters |= {"chosen": _choose, "quoted": shlex.quote}
    environment.globals |= {
        "segments": svg_figures.segments,
        "status_words": methods.STATUS_WORDS,
        "chart_box": (svg_figures.WIDTH, svg_figures.HEIGHT, svg_figures.GUTTER),
        "people_box": (people_section.WIDTH, people_section.HEIGHT),
        "grid": distributions.GRID,
    }
    return environment
