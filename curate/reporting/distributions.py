"""Distributions of scores: histograms, pairs of scores, stability curve, sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from curate.reporting.queries import ReportSource, value_of
from curate.store.audit_records import CurveRecord

BINS = 40
GRID = 28
MOST_PAIR_COLUMNS = 6
MOST_AT_ONCE = 16
"""Columns counted in one scan."""


@dataclass(frozen=True)
class Histogram:
    """Counts of one column in equal bins.

    Attributes:
        low: Left edge of the first bin.
        high: Right edge of the last bin.
        missing: Masks for which the score is not available.
        logarithmic: Bins are equal in log10; ``low`` and ``high`` are exponents.
    """

    column: str
    low: float
    high: float
    counts: Sequence[int]
    available: int
    missing: int
    median: float | None = None
    logarithmic: bool = False

    @property
    def skewed(self) -> bool:
        """Whether one bin would flatten all others, so that a log axis says more."""
        filled = sorted(n for n in self.counts if n)
        return bool(filled) and filled[-1] > 30 * filled[(len(filled) - 1) // 2]

    def share_up_to(self, value: float) -> float:
        """Return the share of masks in the bin of ``value`` or a lower one."""
        width = (self.high - self.low) / len(self.counts)
        slot = min(len(self.counts) - 1, max(0, math.floor((value - self.low) / width)))
        return sum(self.counts[: slot + 1]) / max(1, self.available)


def histograms(source: ReportSource, columns: Sequence[str]) -> list[Histogram]:
    """Count every column in bins; columns without a single value are left out.

    Bins span 0 to 1, or what the data span where scores leave that range (SAM's predicted IoU may
    pass 1).
    """
    if not columns:
        return []
    spans = _spans(source, columns)
    asked = [(value_of(c), min(0.0, low), max(1.0, high)) for c, (_, low, high) in spans.items()]
    counts = _counts(source, "masks", asked)
    return [
        Histogram(c, min(0.0, low), max(1.0, high), slots, n, source.count - n)
        for (c, (n, low, high)), slots in zip(spans.items(), counts, strict=True)
    ]


def _spans(source: ReportSource, columns: Sequence[str]) -> dict[str, tuple[int, float, float]]:
    """Return how many values each column has, the least and the most; columns without are left."""
    asked = ", ".join(
        f"count({value_of(c)}) n{i}, min({value_of(c)}) low{i}, max({value_of(c)}) high{i}"
        for i, c in enumerate(columns)
    )
    row = source.row(f"select {asked} from masks")
    return {
        c: (int(row[f"n{i}"]), row[f"low{i}"], row[f"high{i}"])
        for i, c in enumerate(columns)
        if row[f"n{i}"]
    }


def _counts(
    source: ReportSource, rows: str, asked: Sequence[tuple[str, float, float]]
) -> list[list[int]]:
    """Count values of the same rows in :data:`BINS` bins.

    Args:
        source: The audit.
        rows: SQL of what to select from.
        asked: (SQL of the value, left edge, right edge).
    """
    slots = [_slot(value, low, high, BINS) for value, low, high in asked]
    counts = [[0] * BINS for _ in asked]
    for start in range(0, len(slots), MOST_AT_ONCE):
        some = slots[start : start + MOST_AT_ONCE]
        found = _count_slots(source, rows, some, [(k,) for k in range(len(some))])
        for own, cells in zip(counts[start:], found, strict=False):
            for (slot,), n in cells.items():
                own[slot] = n
    return counts


def _slot(value: str, low: float, high: float, bins: int) -> str:
    """Return SQL of the bin of a value, from 0 on; null where the value is."""
    slot = f"least({bins - 1}, greatest(0, floor(({value} - {low!r}) / {(high - low) / bins!r})))"
    return f"case when {value} is not null then cast({slot} as utinyint) end"


def _count_slots(
    source: ReportSource, rows: str, slots: Sequence[str], sets: Sequence[tuple[int, ...]]
) -> list[dict[tuple[int, ...], int]]:
    """Count rows by several sets of slots, all in one scan.

    Args:
        source: The audit.
        rows: SQL of what to select from.
        slots: SQL of small whole numbers.
        sets: Which slots a count is by, each set once.

    Returns:
        By set: the number of rows by its slots; those where one is null are left out.
    """
    names = [f"s{k}" for k in range(len(slots))]
    asked = ", ".join(f"{slot} as {name}" for slot, name in zip(slots, names, strict=True))
    listed = ", ".join(names)
    grouped = ", ".join(f"({', '.join(names[k] for k in one)})" for one in sets)
    # A bit of `grouping` says that a slot is not of a row's set, the last slot's lowest.
    bits = [sum(1 << (len(names) - 1 - k) for k in range(len(names)) if k not in s) for s in sets]
    counts: list[dict[tuple[int, ...], int]] = [{} for _ in sets]
    for row in source.rows(
        f"select {listed}, grouping({listed}) as others, count(*) as n "
        f"from (select {asked} from {rows}) group by grouping sets ({grouped})"
    ):
        which = bits.index(int(row["others"]))
        found = [row[names[k]] for k in sets[which]]
        if None not in found:
            counts[which][tuple(map(int, found))] = int(row["n"])
    return counts


def sizes(source: ReportSource) -> Histogram | None:
    """Return the areas of the masks in bins equal in log10, or None where no mask has pixels."""
    if "area_px" not in source.masks:
        return None
    return _logarithmic(source, "area_px", "select area_px as v from masks where area_px > 0")


def masks_per_image(source: ReportSource) -> Histogram | None:
    """Return how many masks the images have (images without any are in ``missing``)."""
    counted = "select count(*) as v from masks group by image_id"
    found = _logarithmic(source, "masks per image", counted)
    if found is None:
        return None
    images = int(source.row("select count(*) n from images")["n"])
    return Histogram(**{**found.__dict__, "missing": max(0, images - found.available)})


def _logarithmic(source: ReportSource, name: str, sql: str) -> Histogram | None:
    facts = source.row(
        f"select count(v) n, min(v) low, max(v) high, {source.quantile('v', 0.5)} mid from ({sql})"
    )
    if not facts["n"]:
        return None
    low = math.floor(math.log10(float(facts["low"])) * 4) / 4
    high = max(low + 0.25, math.ceil(math.log10(float(facts["high"])) * 4) / 4)
    (counts,) = _counts(source, f"({sql})", [("log10(v)", low, high)])
    return Histogram(name, low, high, counts, int(facts["n"]), 0, facts["mid"], True)


@dataclass(frozen=True)
class Density:
    """Masks by two scores at once.

    Attributes:
        cells: (column of the grid, row of the grid, masks), filled cells only.
    """

    x: str
    y: str
    x_span: tuple[float, float]
    y_span: tuple[float, float]
    cells: Sequence[tuple[int, int, int]]
    masks: int
    correlation: float | None


def densities(source: ReportSource, spread: Sequence[Histogram]) -> list[Density]:
    """Count masks by each pair of the most telling scores.

    Args:
        source: The audit.
        spread: Histograms of the candidate columns; those that vary most are paired.
    """
    pairs = list(combinations(pair_columns(spread), 2))
    pairs.sort(key=lambda pair: -min(map(_entropy, pair)))  # the liveliest pair is shown first
    if not pairs:
        return []
    columns = list({h.column: h for pair in pairs for h in pair}.values())
    slots = [_slot(value_of(h.column), h.low, h.high, GRID) for h in columns]
    at = {h.column: k for k, h in enumerate(columns)}
    found = _count_slots(source, "masks", slots, [(at[x.column], at[y.column]) for x, y in pairs])
    return [
        _density(x, y, sorted((i, j, n) for (i, j), n in cells.items()))
        for (x, y), cells in zip(pairs, found, strict=True)
    ]


def pair_columns(spread: Sequence[Histogram]) -> list[Histogram]:
    """Return the columns worth plotting against each other, in the given order."""
    total = max((h.available + h.missing for h in spread), default=0)
    useful = [h for h in spread if h.available >= max(2, 0.02 * total) and _entropy(h) > 0]
    # Ranked by how evenly a score spreads over its bins: a constant says nothing against another.
    ranked = sorted(useful, key=lambda h: (h.column != "quality_score", -_entropy(h)))
    kept = {h.column for h in ranked[:MOST_PAIR_COLUMNS]}
    return [h for h in useful if h.column in kept]


def _entropy(histogram: Histogram) -> float:
    total = sum(histogram.counts)
    return -sum(n / total * math.log(n / total) for n in histogram.counts if n) if total else 0.0


def _density(x: Histogram, y: Histogram, cells: list[tuple[int, int, int]]) -> Density:
    return Density(
        x=x.column,
        y=y.column,
        x_span=(x.low, x.high),
        y_span=(y.low, y.high),
        cells=cells,
        masks=sum(n for *_, n in cells),
        correlation=_rank_correlation(cells),
    )


def _rank_correlation(cells: Sequence[tuple[int, int, int]]) -> float | None:
    """Spearman's correlation of the cells: masks of one grid column (row) count as tied."""
    a, b = _mid_ranks(cells, 0), _mid_ranks(cells, 1)
    total = sum(n for *_, n in cells)
    if total < 3 or len(a) < 2 or len(b) < 2:
        return None
    mean = (total + 1) / 2
    shared = sum(n * (a[i] - mean) * (b[j] - mean) for i, j, n in cells)
    spread_a = sum(n * (a[i] - mean) ** 2 for i, _, n in cells)
    spread_b = sum(n * (b[j] - mean) ** 2 for _, j, n in cells)
    return shared / math.sqrt(spread_a * spread_b)


def _mid_ranks(cells: Sequence[tuple[int, int, int]], axis: int) -> dict[int, float]:
    slots: dict[int, int] = {}
    for cell in cells:
        slots[cell[axis]] = slots.get(cell[axis], 0) + cell[2]
    before, ranks = 0, {}
    for slot in sorted(slots):
        ranks[slot] = before + (slots[slot] + 1) / 2
        before += slots[slot]
    return ranks


@dataclass(frozen=True)
class Curve:
    """Stability against the offset: the mean over masks, and where 80% of them lie."""

    offsets: Sequence[float]
    mean: Sequence[float]
    p10: Sequence[float]
    p90: Sequence[float]


def stability_curve(found: CurveRecord | None) -> Curve | None:
    """Return the stability curve to draw, or None where no soft masks were given."""
    if found is None:
        return None
    columns = [
        [math.nan if value is None else float(value) for value in values or ()]
        for values in (found.get("offsets"), found.get("mean"), found.get("p10"), found.get("p90"))
    ]
    rows = [row for row in zip(*columns, strict=False) if all(map(math.isfinite, row))]
    if len(rows) < 2:
        return None
    rows.sort()
    return Curve(*([row[i] for row in rows] for i in range(4)))
