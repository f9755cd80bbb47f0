"""Histograms of scores, masks by area and quality, and datasets side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from curate.common.ranges import ACTIONS
from curate.errors import CallError
from curate.plots.plot_values import CategoryCounts, ScoreCounts, SizeQuality
from curate.policy.grammar import near
from curate.reporting.distributions import Histogram, histograms
from curate.reporting.queries import ReportSource, actions_sql, value_of
from curate.reporting.svg_figures import marks

BINS = 40


def count_scores(source: ReportSource, columns: Sequence[str] | None = None) -> list[ScoreCounts]:
    """Count the masks by each score; scores without a value are left out.

    Args:
        source: The audit.
        columns: Which; all scores if None.

    Raises:
        CallError: A column is not there, or holds no numbers.
    """
    for name in columns or ():
        check_number_column(source, name)
    thresholds = marks(source.info.policy)
    lines = {
        name: [(mark.value, mark.action) for mark in found] for name, found in thresholds.items()
    }
    found = histograms(source, source.score_columns() if columns is None else columns)
    return [_to_counts(one, lines.get(one.column, ())) for one in found]


def count_score(source: ReportSource, column: str) -> ScoreCounts:
    """Count the masks by one score.

    Raises:
        CallError: The column is not there, or holds no numbers.
    """
    found = count_scores(source, [column])
    nothing = ScoreCounts(column, np.array([0.0, 1.0]), np.zeros(1, np.int64), source.count)
    return found[0] if found else nothing


def _to_counts(found: Histogram, lines: Sequence[tuple[float, str]]) -> ScoreCounts:
    edges = np.linspace(found.low, found.high, len(found.counts) + 1)
    return ScoreCounts(found.column, edges, np.array(found.counts, np.int64), found.missing, lines)


def check_number_column(source: ReportSource, name: str) -> None:
    """Check that the masks have a column of numbers.

    Raises:
        CallError: They have not.
    """
    if not source.is_number(name):
        known = [column for column in source.masks if source.is_number(column)]
        what = "holds no numbers" if name in source.masks else "is not there"
        raise CallError(f"the column {name} {what}", str(source.audit.path), near(name, known))


def count_size_quality(source: ReportSource, bins: int = BINS) -> SizeQuality:
    """Count masks by area (in equal steps of its logarithm) and ``quality_score``.

    Args:
        source: The audit.
        bins: Cells along each side.
    """
    nothing = SizeQuality(np.zeros((1, 1), np.int64), np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    if not {"area_px", "quality_score"} <= source.masks.keys():
        return nothing
    quality, area = value_of("quality_score"), "log10(area_px)"
    rows = f"(select {area} as a, {quality} as q from masks where area_px > 0) where q is not null"
    span = source.row(
        f"select count(*) as n, min(a) as a0, max(a) as a1, least(0, min(q)) as q0, "
        f"greatest(1, max(q)) as q1 from {rows}"
    )
    if not span["n"]:
        return nothing
    low, high = float(span["a0"]), max(float(span["a1"]), float(span["a0"]) + 0.1)
    edges = [np.linspace(low, high, bins + 1), np.linspace(span["q0"], span["q1"], bins + 1)]
    counts = np.zeros((bins, bins), np.int64)
    x, y = (_slot(name, ends, bins) for name, ends in zip("aq", edges, strict=True))
    for row in source.rows(f"select {x} as x, {y} as y, count(*) as n from {rows} group by all"):
        counts[row["y"], row["x"]] = row["n"]
    return SizeQuality(counts, edges[0], edges[1])


def _slot(value: str, edges: np.ndarray[tuple[int], np.dtype[np.float64]], bins: int) -> str:
    """Return SQL of the bin of a value."""
    low, step = float(edges[0]), float(edges[-1] - edges[0]) / bins
    return f"least({bins - 1}, greatest(0, floor(({value} - {low!r}) / {step!r})))::int"


def count_sides(sources: Mapping[str, ReportSource], column: str) -> list[tuple[str, ScoreCounts]]:
    """Count the masks of several audits by one score, in the same bins.

    Args:
        sources: Audits by name.
        column: The score.

    Raises:
        CallError: One of them does not have the column.
    """
    spans = []
    for source in sources.values():
        check_number_column(source, column)
        value = value_of(column)
        spans.append(source.row(f"select min({value}) as low, max({value}) as high from masks"))
    low = min([0.0, *(float(s["low"]) for s in spans if s["low"] is not None)])
    high = max([1.0, *(float(s["high"]) for s in spans if s["high"] is not None)])
    edges = np.linspace(low, high, BINS + 1)
    return [(name, _count(source, column, edges)) for name, source in sources.items()]


def _count(
    source: ReportSource, column: str, edges: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> ScoreCounts:
    counts = np.zeros(BINS, np.int64)
    for row in source.rows(
        f"select {_slot('v', edges, BINS)} as x, count(*) as n from "
        f"(select {value_of(column)} as v from masks) where v is not null group by 1"
    ):
        counts[row["x"]] = row["n"]
    return ScoreCounts(column, edges, counts, source.count - int(counts.sum()))


def count_side_actions(sources: Mapping[str, ReportSource]) -> CategoryCounts:
    """Count the masks of several audits by action; the audits stand for categories."""
    rows = [source.row(f"select {actions_sql(source)} from masks") for source in sources.values()]
    counts = {action: np.array([row[action] for row in rows], np.int64) for action in ACTIONS}
    return CategoryCounts("count", list(sources), counts, 0, sum(s.count for s in sources.values()))


def count_splits(source: ReportSource) -> CategoryCounts:
    """Count the masks of each split (``subset`` of the images) by action; none without splits."""
    nothing = {action: np.zeros(0, np.int64) for action in ACTIONS}
    if "subset" not in source.images:
        return CategoryCounts("count", [], nothing, 0, 0)
    rows = source.rows(
        f"select coalesce(i.subset, '(no split)') as name, {actions_sql(source)} from masks "
        "join (select image_id, subset from images) i using (image_id) group by 1 order by 1"
    )
    counts = {action: np.array([row[action] for row in rows], np.int64) for action in ACTIONS}
    return CategoryCounts("count", [row["name"] for row in rows], counts, 0, source.count)
