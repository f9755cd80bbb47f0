"""Rendering of all sections into one self-contained HTML file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from curate.common import files
from curate.dataset.notes import plural, short_version
from curate.images import ImageFolder
from curate.people.queues.missing_proposals import count_proposals
from curate.render import formatting
from curate.render.crops import SHOWN_BYTES
from curate.reporting import (
    distributions,
    gallery,
    mask_selection,
    methods,
    people_section,
    queries,
    svg_figures,
    tables,
)
from curate.reporting.queries import ReportSource
from curate.reporting.svg_figures import marks
from curate.store.audit import StoredAudit
from curate.store.audit_files import writing
from curate.store.known_pictures import open_pictures

MOST_IMAGES = 200
MOST_CATEGORIES = 1500


def write_report(audit: StoredAudit, path: Path, *, images: Path | None = None) -> None:
    """Write the report of an audit as one HTML file that needs nothing else.

    Args:
        audit: The audit; read by SQL, so a few hundred rows of it are in memory at a time.
        path: The file to write; replaced in one step, so a reader never sees half of it.
        images: Folder of the pictures that the masks are drawn on; without it masks are drawn on a
            neutral ground.

    Raises:
        AuditError: The file cannot be written.
    """
    page = render(audit, images)
    with writing(path) as temporary:
        files.remove_abandoned(path.parent, f".{path.name}.")
        files.write_text(temporary, page, errors="replace")


def render(audit: StoredAudit, images: Path | None = None) -> str:
    """Return the report as HTML text."""
    environment = _environment()
    source = ReportSource(audit)
    pictures = None if images is None else open_pictures(audit, images, SHOWN_BYTES)
    spread = distributions.histograms(source, source.score_columns())
    sections = {
        **_findings(source, pictures, spread),
        **_charts(source, spread),
        "made": methods.story(source),
        "people": people_section.people(source),
        "version": short_version(source.info.version or ""),
        "glossary": methods.glossary(source),
        "signals": methods.signals(source, {histogram.column for histogram in spread}),
    }
    style, script = (_asset(environment, name) for name in ("report.css", "report.js"))
    return environment.get_template("report.html").render(
        **sections, style=style, script=script, policy_header=_policy_header(style, script)
    )


def _findings(
    source: ReportSource, images: ImageFolder | None, spread: Sequence[distributions.Histogram]
) -> dict[str, object]:
    titles = {term.column: term.title for term in methods.glossary(source)}
    reasons, unlisted = queries.reasons(source)
    cards = gallery.cards(source, reasons, images, titles, spread)
    missing, detections, missing_images = tables.missing_masks(source)
    near, near_total = tables.near_duplicates(source)
    categories, category_total = tables.by_category(source, MOST_CATEGORIES)
    return {
        "overview": queries.overview(source),
        "reasons": reasons,
        "unlisted": unlisted,
        "groups": _groups(reasons, cards),
        "examples": _examples(reasons, cards),
        "drawn": gallery.kinds_of_marks(cards),
        "mask_statuses": tables.statuses(source, "masks"),
        "image_statuses": tables.statuses(source, "images"),
        "near": near,
        "near_total": near_total,
        "proposals": count_proposals(source.audit).clause()
        if detections and isinstance(source.audit, StoredAudit)
        else "",
        "unexplained": gallery.draw_missing_masks(missing, images, tables.category_names(source)),
        "detections": detections,
        "missing_images": missing_images,
        "categories": categories,
        "category_total": category_total,
        "worst_images": tables.by_image(source, MOST_IMAGES),
        "images_given": images is not None,
        "file_notes": source.info.notes,
        "joins": tables.joins(source),
        "status_words": methods.STATUS_WORDS,
    }


@dataclass(frozen=True)
class Group:
    """The cards chosen for one reason."""

    index: int
    text: str
    cards: list[gallery.Card]
    total: int


def _examples(
    reasons: list[queries.Reason], cards: list[gallery.Card]
) -> dict[int, list[gallery.Card]]:
    """Return the cards that stand for each reason in the list of reasons."""
    groups = {card.pick.mask_id: (card.pick.group, card.groups) for card in cards}
    by_id = {card.pick.mask_id: card for card in cards}
    found = {r.index: gallery.examples(r.index, groups) for r in reasons}
    return {index: [by_id[i] for i in ids] for index, ids in found.items() if ids}


def _groups(reasons: list[queries.Reason], cards: list[gallery.Card]) -> list[Group]:
    headings = [(r.index, r.text, r.masks) for r in reasons]
    headings += [
        (mask_selection.NO_REASON, "No rule names a reason", 0),
        (mask_selection.ACCEPTED, "Accepted: a few at random, to compare with", 0),
        (mask_selection.NOT_SETTLED, "Not settled by people", 0),
        (mask_selection.CHANGED, "Changed by people: a few at random", 0),
    ]
    groups = [
        Group(index, text, [c for c in cards if c.pick.group == index], total)
        for index, text, total in headings
    ]
    return [group for group in groups if group.cards]


def _charts(source: ReportSource, spread: Sequence[distributions.Histogram]) -> dict[str, object]:
    glossary = {term.column: term for term in methods.glossary(source)}
    thresholds = marks(source.info.policy)

    def title(column: str) -> str:
        return glossary[column].title if column in glossary else formatting.title_of(column)

    charts = [
        svg_figures.bars(
            h,
            thresholds.get(h.column, ()),
            title(h.column),
            glossary[h.column].low_means if h.column in glossary else "",
        )
        for h in spread
    ]
    clouds = [
        svg_figures.cloud(
            d, (title(d.x), title(d.y)), (thresholds.get(d.x, ()), thresholds.get(d.y, ()))
        )
        for d in distributions.densities(source, spread)
    ]
    curve = distributions.stability_curve(source.info.stability_curve)
    sizes = [
        svg_figures.bars(h, title=name)
        for h, name in (
            (distributions.sizes(source), "Mask area, px"),
            (distributions.masks_per_image(source), "Masks per image"),
        )
        if h
    ]
    return {
        "charts": charts,
        "clouds": clouds,
        "curve": svg_figures.line(curve) if curve else None,
        "sizes": sizes,
        "chart_box": (svg_figures.WIDTH, svg_figures.HEIGHT),
        "people_box": (people_section.WIDTH, people_section.HEIGHT),
        "grid": distributions.GRID,
    }


@cache
def _environment() -> Environment:
    # Kept for the life of the process: compiling the page's template takes longer than filling it.
    environment = Environment(
        loader=PackageLoader("curate.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "shown": formatting.display_text,
        "count": formatting.count,
        "number": formatting.number,
        "score": formatting.score,
        "seconds": formatting.seconds,
        "with_code": formatting.with_code,
    }
    environment.filters["axis"] = svg_figures.short
    environment.globals |= {
        "share": formatting.share,
        "plural": plural,
        "segments": svg_figures.segments,
    }
    return environment


def _asset(environment: Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _policy_header(style: str, script: str) -> str:
    """Return a content security policy that allows this page's own style and script only."""

    def hash_source(text: str) -> str:
        """Return the CSP source expression of an inline text: its SHA-256."""
        digest = hashlib.sha256(text.encode("utf-8")).digest()
        return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"

    return (
        f"default-src 'none'; img-src data:; style-src {hash_source(style)}; "
        f"script-src {hash_source(script)}; base-uri 'none'; form-action 'none'"
    )
