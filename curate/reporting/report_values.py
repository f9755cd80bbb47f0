"""The report as one value: all that its pages show, gathered from an audit at one moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from curate import __version__
from curate.dataset.notes import OF_MODELS, NoteRecord, short_version
from curate.images import ImageFolder
from curate.people.queues.missing_proposals import count_proposals
from curate.render.crops import SHOWN_BYTES
from curate.render.formatting import title_of
from curate.reporting import (
    distributions,
    first_screen,
    gallery,
    mask_selection,
    methods,
    people_section,
    queries,
    svg_figures,
    tables,
    worst_images,
)
from curate.reporting.error_kinds import ErrorKind, find_error_kinds
from curate.reporting.finding_index import FindingIndex, index_findings
from curate.reporting.next_steps import NextStep
from curate.reporting.plain_values import PlainValue, as_plain
from curate.reporting.queries import ReportSource
from curate.reporting.report_plots import ReportPlot, draw_plots
from curate.reporting.review_progress import ReviewProgress, measure_progress
from curate.reporting.status import find_moment, next_steps
from curate.store.audit import StoredAudit
from curate.store.known_pictures import open_pictures

SCHEMA_VERSION = 1
"""Version of ``report.json``."""

MOST_IMAGES = 200
MOST_CATEGORIES = 1500


@dataclass(frozen=True)
class CardGroup:
    """The cards chosen for one reason, or for what they have in common otherwise.

    Attributes:
        index: The reason's; under 0 where it is none (see :mod:`curate.reporting.mask_selection`).
        text: Its heading.
        cards: Their masks.
        total: Masks with the reason; 0 where it is none.
    """

    index: int
    text: str
    cards: Sequence[int]
    total: int


@dataclass(frozen=True)
class InvalidData:
    """Records of the source that are invalid: of masks, and of images."""

    masks: Sequence[tables.Status]
    images: Sequence[tables.Status]


@dataclass(frozen=True)
class NearDuplicates:
    """Images that look the same: some pairs of them, and how many there are in all."""

    pairs: Sequence[Mapping[str, object]]
    total: int


@dataclass(frozen=True)
class MissingMasks:
    """Objects that a detector or another annotator sees and that have no mask.

    Attributes:
        known: Whether anything looked for them.
        masks: How many.
        images: Images that they are in.
        answers: What people made of them, as a clause; "" for nothing.
        worst: The images with most of them.
        least_exhaustive: The images of lowest ``exhaustive_score``, the lowest first.
    """

    known: bool
    masks: int
    images: int
    answers: str
    worst: Sequence[gallery.Unexplained]
    least_exhaustive: Sequence[tables.ExhaustiveImage]


@dataclass(frozen=True)
class CategoryTable:
    """The largest categories, and how many there are in all."""

    rows: Sequence[Mapping[str, object]]
    total: int


@dataclass(frozen=True)
class ScoreCharts:
    """Distributions: of each score, of pairs of them, of sizes; and the stability curve."""

    scores: Sequence[svg_figures.Bars]
    pairs: Sequence[svg_figures.Cloud]
    sizes: Sequence[svg_figures.Bars]
    stability: svg_figures.CurvePlot | None


@dataclass(frozen=True)
class ReportValues:
    """All that a report shows; ``report.json`` is this as plain values.

    Attributes:
        schema_version: :data:`SCHEMA_VERSION`.
        tool_version: Of the curate that made it.
        name: The dataset's file or folder.
        format: Its format, for people.
        version: Its short version id; "" where it is not known.
        written: When the audit was last written, in UTC.
        audit: The audit directory.
        overview: Counts of masks, images, categories, by action, by why masks are not accepted.
        figures: Three numbers that say how good it is, and what each rests on.
        worst: Its worst kinds of errors.
        next_steps: What to do next: a purpose and a command each.
        reasons: All reasons that masks are not accepted for, or remarked on.
        unlisted_reasons: Rarer reasons that are not listed.
        examples: Masks that stand for each reason, by its index as text.
        error_kinds: Kinds of error that a verifier names.
        invalid: Records that are invalid.
        near_duplicates: Images that look the same.
        missing: Objects without a mask.
        joins: How inputs were joined to the images.
        file_notes: Findings for the whole file.
        model_notes: Texts on models that judged the masks.
        groups: The gallery's groups.
        cards: The masks of the gallery, with outlines in pixels of the image.
        marks: Kinds of marks that are drawn on any of them.
        images_given: Whether there was a folder of pictures.
        charts: Distributions.
        index: Masks with a finding, coded by column, for search and filters.
        plots: Plots, as SVG and as what they draw.
        plot_style: Style sheet of the plots' classes.
        people: What people decided; certificate, estimates.
        progress: How far they are with the masks to review; None before the first decision.
        categories: Counts by category.
        images: The worst images.
        worst_images: The very worst of them, drawn with all their masks.
        signals: Every signal, and why it was not available.
        story: How the audit was made.
        glossary: What its columns mean.
        pictures: Data URIs of crops, by the names that ``picture`` and ``thumb`` of drawings give.
    """

    schema_version: int
    tool_version: str
    name: str
    format: str
    version: str
    written: str
    audit: str
    overview: queries.Overview
    figures: Sequence[first_screen.Figure]
    worst: Sequence[first_screen.WorstKind]
    next_steps: Sequence[NextStep]
    reasons: Sequence[queries.Reason]
    unlisted_reasons: int
    examples: Mapping[str, Sequence[int]]
    error_kinds: Sequence[ErrorKind]
    invalid: InvalidData
    near_duplicates: NearDuplicates
    missing: MissingMasks
    joins: Sequence[tables.Joined]
    file_notes: Sequence[NoteRecord]
    model_notes: Sequence[str]
    groups: Sequence[CardGroup]
    cards: Sequence[gallery.Card]
    marks: Sequence[str]
    images_given: bool
    charts: ScoreCharts
    index: FindingIndex
    plots: Sequence[ReportPlot]
    plot_style: str
    people: people_section.People
    progress: ReviewProgress | None
    categories: CategoryTable
    images: Sequence[Mapping[str, object]]
    worst_images: Sequence[worst_images.WorstImage]
    signals: Sequence[methods.Signal]
    story: methods.Story
    glossary: Sequence[methods.ColumnTerm]
    pictures: Mapping[str, str]


def gather_report(audit: StoredAudit, images: Path | None = None) -> dict[str, PlainValue]:
    """Return the report of an audit as plain values: those of :class:`ReportValues`.

    Args:
        audit: The audit; read by SQL, so a few hundred rows of it are in memory at a time.
        images: Folder of the pictures that the masks are drawn on; without it masks are drawn on a
            neutral ground.
    """
    found = as_plain(_gather(audit, images))
    assert isinstance(found, dict)
    return found


def _gather(audit: StoredAudit, images: Path | None) -> ReportValues:
    source = ReportSource(audit)
    pictures = None if images is None else open_pictures(audit, images, SHOWN_BYTES)
    spread = distributions.histograms(source, source.score_columns())
    titles = {term.column: term.title for term in methods.glossary(source)}
    reasons, unlisted = queries.reasons(source)
    kinds = find_error_kinds(source)
    named = [mask_id for kind in kinds for mask_id in kind.examples]
    cards = gallery.cards(source, reasons, pictures, titles, spread, named)
    examples = _choose_examples(reasons, cards)
    missing = _find_missing(source, pictures)
    categories, category_total = tables.by_category(source, MOST_CATEGORIES)
    near, near_total = tables.near_duplicates(source)
    images_listed = tables.by_image(source, MOST_IMAGES)
    worst = worst_images.draw_worst_images(source, images_listed, pictures)
    over, people = queries.overview(source), people_section.people(source)
    signals = methods.signals(source, {histogram.column for histogram in spread})
    story = methods.story(source)
    store: dict[str, str] = {}
    plots, plot_style = draw_plots(source)
    return ReportValues(
        schema_version=SCHEMA_VERSION,
        tool_version=__version__,
        name=story.source,
        format=story.format,
        version=short_version(source.info.version or ""),
        written=find_moment(audit.path),
        audit=str(audit.path),
        overview=over,
        figures=first_screen.choose_figures(
            source,
            over,
            people,
            (sum(one.available for one in signals), len(signals)),
            (missing.masks, missing.images) if missing.known else None,
        ),
        worst=first_screen.choose_kinds(reasons, over.masks, examples, missing.masks),
        next_steps=next_steps(audit),
        reasons=reasons,
        unlisted_reasons=unlisted,
        examples={str(index): ids for index, ids in examples.items()},
        error_kinds=kinds,
        invalid=InvalidData(tables.statuses(source, "masks"), tables.statuses(source, "images")),
        near_duplicates=NearDuplicates(near, near_total),
        missing=replace(missing, worst=[_store_whole(u, "image", store) for u in missing.worst]),
        joins=tables.joins(source),
        file_notes=[note for note in source.info.notes if note["of"] != OF_MODELS],
        model_notes=[note["text"] for note in source.info.notes if note["of"] == OF_MODELS],
        groups=_group(reasons, cards),
        cards=[_store_pictures(card, store) for card in cards],
        marks=sorted(gallery.kinds_of_marks(cards)),
        images_given=pictures is not None,
        charts=_draw_charts(source, spread),
        index=index_findings(source, [card.mask_id for card in cards]),
        plots=plots,
        plot_style=plot_style,
        people=people,
        progress=measure_progress(source, over.review),
        categories=CategoryTable(categories, category_total),
        images=images_listed,
        worst_images=[_store_whole(one, "whole", store) for one in worst],
        signals=signals,
        story=story,
        glossary=methods.glossary(source),
        pictures=store,
    )


def _find_missing(source: ReportSource, pictures: ImageFolder | None) -> MissingMasks:
    rows, masks, images = tables.missing_masks(source)
    worst = gallery.draw_missing_masks(rows, pictures, tables.category_names(source))
    answers = count_proposals(source.audit).clause() if masks else ""
    least = tables.least_exhaustive(source)
    return MissingMasks(tables.missing_known(source), masks, images, answers, worst, least)


def _store_pictures(card: gallery.Card, store: dict[str, str]) -> gallery.Card:
    """Return a card whose drawing names its pictures; they are put into ``store``."""
    if card.drawing is None:
        return card
    drawing, mask_id = card.drawing, card.pick.mask_id
    picture = _store(store, f"picture-{mask_id}", drawing.picture)
    thumb = _store(store, f"thumb-{mask_id}", drawing.thumb)
    return replace(card, drawing=replace(drawing, picture=picture, thumb=thumb))


def _store(store: dict[str, str], name: str, uri: str) -> str:
    """Put a picture under a name, and return the name; "" where there is none."""
    if not uri:
        return ""
    store[name] = uri
    return name


WholeImage = TypeVar("WholeImage", gallery.Unexplained, worst_images.WorstImage)


def _store_whole(one: WholeImage, kind: str, store: dict[str, str]) -> WholeImage:
    if one.drawing is None:
        return one
    picture = _store(store, f"{kind}-{one.image_id}", one.drawing.picture)
    return replace(one, drawing=replace(one.drawing, picture=picture))


def _choose_examples(
    reasons: Iterable[queries.Reason], cards: Sequence[gallery.Card]
) -> dict[int, list[int]]:
    """Return the masks that stand for each reason in the list of reasons."""
    groups = {card.pick.mask_id: (card.pick.group, card.groups) for card in cards}
    found = {reason.index: gallery.examples(reason.index, groups) for reason in reasons}
    return {index: ids for index, ids in found.items() if ids}


def _group(reasons: Iterable[queries.Reason], cards: Sequence[gallery.Card]) -> list[CardGroup]:
    headings = [(r.index, r.text, r.masks) for r in reasons]
    headings += [
        (mask_selection.KIND_NAMED, "The verifier names a kind of error", 0),
        (mask_selection.NO_REASON, "No rule names a reason", 0),
        (mask_selection.ACCEPTED, "Accepted: a few at random, to compare with", 0),
        (mask_selection.NOT_SETTLED, "Not settled by people", 0),
        (mask_selection.CHANGED, "Changed by people: a few at random", 0),
    ]
    groups = [
        CardGroup(index, text, [c.pick.mask_id for c in cards if c.pick.group == index], total)
        for index, text, total in headings
    ]
    return [group for group in groups if group.cards]


def _draw_charts(source: ReportSource, spread: Sequence[distributions.Histogram]) -> ScoreCharts:
    glossary = {term.column: term for term in methods.glossary(source)}
    thresholds = svg_figures.marks(source.info.policy)
    line = source.info.certified_line
    if line is not None and line <= 1:  # in force, it takes the place of the policy's own line
        thresholds["quality_score"] = [svg_figures.Mark(line, "review", "below", "not certified")]

    def title(column: str) -> str:
        return glossary[column].title if column in glossary else title_of(column)

    def draw(one: distributions.Histogram) -> svg_figures.Bars:
        low = glossary[one.column].low_means if one.column in glossary else ""
        return svg_figures.bars(one, thresholds.get(one.column, ()), title(one.column), low)

    pairs = [
        svg_figures.cloud(
            d, (title(d.x), title(d.y)), (thresholds.get(d.x, ()), thresholds.get(d.y, ()))
        )
        for d in distributions.densities(source, spread)
    ]
    sizes = [
        svg_figures.bars(h, title=name)
        for h, name in (
            (distributions.sizes(source), "Mask area, px"),
            (distributions.masks_per_image(source), "Masks per image"),
        )
        if h
    ]
    curve = distributions.stability_curve(source.info.stability_curve)
    return ScoreCharts(
        [draw(one) for one in spread], pairs, sizes, svg_figures.line(curve) if curve else None
    )
