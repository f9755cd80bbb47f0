"""Page of a comparison of two audits: decisions, scores, and changed masks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.common.paths import AnyPath
from curate.common.ranges import ACTIONS
from curate.dataset.table import records
from curate.plots.figure_style import draw_figure
from curate.plots.page_svg import StyleClasses, to_page_svg
from curate.plots.score_plots import draw_side_actions, draw_side_scores
from curate.reporting.comparison_page import (
    MOST_CHANGES,
    ChangedMask,
    ComparedPlot,
    ComparedTable,
    ComparisonValues,
    write_comparison,
)
from curate.reporting.plot_queries.score_queries import count_side_actions, count_sides
from curate.reporting.queries import ReportSource
from curate.store.audit import StoredAudit
from curate.store.rows_by_id import rows_of

if TYPE_CHECKING:
    from curate.reporting.audit_comparison import Comparison

_READ = ("file_name", "height", "width", "segmentation")


def write_audit_comparison(
    path: Path,
    found: Comparison,
    audit_a: StoredAudit,
    audit_b: StoredAudit,
    images: AnyPath | None,
) -> None:
    """Write the page of a comparison of two audits.

    Args:
        path: The file.
        found: The comparison.
        audit_a: The audit before.
        audit_b: The audit after.
        images: Folder of the pictures; one that the audits were given if None.

    Raises:
        CurateError: There is no such folder, or the file cannot be written.
    """
    classes = StyleClasses()
    known = (one.info.inputs.get("images") for one in (audit_b, audit_a))
    folder = images or next((one for one in known if one and Path(one).is_dir()), None)
    lists = ("added", "dropped", "changed", "renamed", "flipped")
    words = ("added", "dropped", "other pixels", "other category", "other decision")
    counts = [(w, len(getattr(found, n))) for n, w in zip(lists, words, strict=True)]
    values = ComparisonValues(
        title="Comparison of two audits",
        names=(audit_a.path.name, audit_b.path.name),
        counts=[("masks before", found.masks_a), ("masks after", found.masks_b), *counts],
        tables=[_flips(found), _shifts(found)],
        changes=_changes(found, audit_a, audit_b),
        total=len(found.changed) + len(found.flipped),
        plots=_plots(found, audit_a, audit_b, classes),
        plot_style=classes.sheet(),
    )
    write_comparison(path, values, folder)


def _flips(found: Comparison) -> ComparedTable:
    count = {(old, new): n for old, new, n in found.flips.itertuples(index=False)}
    rows = [(old, *(f"{count.get((old, new), 0):,}" for new in ACTIONS)) for old in ACTIONS]
    head = ("before, down; after, across", *ACTIONS)
    return ComparedTable("Decisions", head, rows if count else [])


def _shifts(found: Comparison) -> ComparedTable:
    rows = [
        (
            str(one.column),
            f"{one.median_a:.3f}",
            f"{one.median_b:.3f}",
            f"{one.median_shift:+.3f}",
            f"{one.count:,}",
        )
        for one in found.shifts.itertuples(index=False)
    ]
    head = ("score", "median before", "median after", "median shift", "masks")
    return ComparedTable("Scores", head, rows)


def _plots(
    found: Comparison, audit_a: StoredAudit, audit_b: StoredAudit, classes: StyleClasses
) -> list[ComparedPlot]:
    """Draw the actions, and the score that moved most, side by side; nothing in them is linked.

    This page has no gallery that a bar could filter.
    """
    sources = {
        f"{k}: {audit.path.name}": ReportSource(audit)
        for k, audit in (("A", audit_a), ("B", audit_b))
    }
    if not all("action" in one.masks for one in sources.values()):
        return []
    figure = draw_figure(draw_side_actions, count_side_actions(sources), size=(6.4, 2.6))
    plots = [ComparedPlot("Actions", to_page_svg(figure, "plot-actions", "Actions", classes))]
    moved = found.shifts[found.shifts["mean_shift"] != 0]
    if len(moved):
        column = str(moved["column"].iloc[int(moved["mean_shift"].abs().to_numpy().argmax())])
        figure = draw_figure(draw_side_scores, count_sides(sources, column))
        svg = to_page_svg(figure, "plot-score", column, classes)
        plots.append(ComparedPlot(f"The score that moved most: {column}", svg))
    return plots


def _changes(found: Comparison, audit_a: StoredAudit, audit_b: StoredAudit) -> list[ChangedMask]:
    """Return the masks to draw: other pixels first, then other decisions."""
    changed = found.changed.head(MOST_CHANGES)
    pairs = [
        (int(a), int(b), "other pixels", float(iou))
        for a, b, iou in zip(changed["mask_id"], changed["mask_id_b"], changed["iou"], strict=True)
    ]
    done = {a for a, *_ in pairs}
    columns = ("mask_id", "mask_id_b", "from", "to", "reasons")
    for a, b, old, new, why in zip(*(found.flipped[name] for name in columns), strict=True):
        if len(pairs) < MOST_CHANGES and int(a) not in done:
            said = f"{old} → {new}" + (f": {why}" if isinstance(why, str) and why else "")
            pairs.append((int(a), int(b), said, float("nan")))
    rows_a = _rows(audit_a, [a for a, *_ in pairs])
    rows_b = _rows(audit_b, [b for _, b, *_ in pairs])
    return [_pair(rows_a[a], rows_b[b], (a, b), said, iou) for a, b, said, iou in pairs]


def _rows(audit: StoredAudit, ids: list[int]) -> dict[int, dict[str, Any]]:
    wanted = np.array(ids, np.int64)
    found = rows_of(audit, "masks", "mask_id", wanted, list(_READ))
    return {int(row["mask_id"]): row for row in records(found)}


def _pair(
    a: Mapping[str, Any], b: Mapping[str, Any], ids: tuple[int, int], said: str, iou: float
) -> ChangedMask:
    fits = (a["height"], a["width"]) == (b["height"], b["width"])
    counts = [bytes(s) if isinstance(s := one["segmentation"], bytes) else None for one in (a, b)]
    return ChangedMask(
        label=f"mask {ids[0]}" if ids[0] == ids[1] else f"mask {ids[0]} → {ids[1]}",
        what=said,
        file_name=str(b["file_name"]),
        height=int(b["height"]),
        width=int(b["width"]),
        before=counts[0] if fits else None,
        after=counts[1],
        iou=iou if iou == iou else None,
    )
