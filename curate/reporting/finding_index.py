"""Index of the masks with a finding, for search and filters in the page: a column each, coded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from curate.common.ranges import ACTIONS
from curate.plots.plot_values import NO_CATEGORY
from curate.render.formatting import display_text, hash_reason, kind_of, plain_reason
from curate.reporting.queries import ReportSource, value_of

MOST_ROWS = 20_000
"""Masks that a page lists; the worst of them where there are more."""


@dataclass(frozen=True)
class FindingIndex:
    """Masks with a finding and those of the gallery, a value a mask in each column.

    Columns of text are numbers of the lists beside them; -1 stands for none.

    Attributes:
        total: Masks with a finding in all.
        listed: Of these, those that are here.
        mask_ids: The masks, the first of the queue first.
        ranks: Their places in the queue.
        actions: Numbers of accept, review, reject.
        images: Numbers of ``image_names`` and ``image_ids``.
        categories: Numbers of ``category_names``.
        detectors: Numbers of ``category_names``: what a detector sees there.
        splits: Numbers of ``split_names``.
        reasons: Numbers of ``reason_sets``.
        kinds: Numbers of ``kind_names``: the kinds of error that a verifier names.
        quality: In thousandths.
        areas: In pixels.
        places: Middle of the box in thousandths of the image's width and height: x, y by turns.
        reason_sets: Numbers of ``reason_texts`` that masks have together.
        reason_ids: Ids of the reasons.
        reason_texts: The reasons, without the numbers in which masks differ.
    """

    total: int
    listed: int
    mask_ids: Sequence[int]
    ranks: Sequence[int]
    actions: Sequence[int]
    images: Sequence[int]
    categories: Sequence[int]
    detectors: Sequence[int]
    splits: Sequence[int]
    reasons: Sequence[int]
    kinds: Sequence[int]
    quality: Sequence[int]
    areas: Sequence[int]
    places: Sequence[int]
    image_names: Sequence[str]
    image_ids: Sequence[int]
    category_names: Sequence[str]
    split_names: Sequence[str]
    kind_names: Sequence[str]
    reason_sets: Sequence[Sequence[int]]
    reason_ids: Sequence[str]
    reason_texts: Sequence[str]


class _Names:
    """Numbers of texts in the order of their first appearance."""

    def __init__(self) -> None:
        self.listed: dict[Any, int] = {}

    def code(self, value: Any) -> int:
        """Return the number of a text, -1 for none."""
        return -1 if value is None else self.listed.setdefault(value, len(self.listed))


def index_findings(
    source: ReportSource, shown: Iterable[int], most: int = MOST_ROWS
) -> FindingIndex:
    """Return the index of an audit.

    Args:
        source: The audit.
        shown: Masks of the gallery, which are listed whatever they are.
        most: Masks with a finding that are listed, at most.
    """
    rows = _read(source, list(shown), most)
    total, listed = 0, sum(bool(row["found"]) for row in rows)
    if "action" in source.masks:
        counted = f"select count(*) n from masks where {_FOUND}"
        total = int(source.row(counted)["n"])
    images, names, splits, sets, kinds, errors = (_Names() for _ in range(6))
    texts: list[str] = []
    columns: list[list[int]] = []
    for row in rows:
        own = []
        for reason in str(row["reasons"] or "").split("; "):
            if reason.strip():
                at = kinds.code(kind_of(reason))
                if at == len(texts):
                    texts.append(plain_reason(kind_of(reason)))
                own.append(at)
        columns.append(
            [
                int(row["mask_id"]),
                _whole(row["rank"]),
                ACTIONS.index(row["action"]) if row["action"] in ACTIONS else -1,
                images.code((row["image_id"], row["file_name"])),
                names.code(NO_CATEGORY if row["category"] is None else row["category"]),
                names.code(row["detector"]),
                splits.code(row["split"]),
                sets.code(tuple(dict.fromkeys(own))),
                errors.code(row["error_kind"]),
                _whole(row["quality"], 1000),
                _whole(row["area"]),
                _whole(row["x"], 1000),
                _whole(row["y"], 1000),
            ]
        )
    by_column = [list(column) for column in zip(*columns, strict=True)] or [[] for _ in range(13)]
    ids, ranks, actions, image_at, category_at, detector_at = by_column[:6]
    split_at, reason_at, error_at, quality, areas, xs, ys = by_column[6:]
    return FindingIndex(
        total=total,
        listed=listed,
        mask_ids=ids,
        ranks=ranks,
        actions=actions,
        images=image_at,
        categories=category_at,
        detectors=detector_at,
        splits=split_at,
        reasons=reason_at,
        kinds=error_at,
        quality=quality,
        areas=areas,
        places=[value for pair in zip(xs, ys, strict=True) for value in pair],
        image_names=[display_text(name, 80) for _, name in images.listed],
        image_ids=[int(image_id) for image_id, _ in images.listed],
        category_names=[display_text(name) for name in names.listed],
        split_names=[display_text(name) for name in splits.listed],
        kind_names=[display_text(name) for name in errors.listed],
        reason_sets=list(sets.listed),
        reason_ids=[hash_reason(kind) for kind in kinds.listed],
        reason_texts=texts,
    )


_FOUND = "action in ('review', 'reject')"


def _read(source: ReportSource, shown: list[int], most: int) -> list[dict[str, Any]]:
    if "action" not in source.masks:
        return []
    quality = value_of("quality_score") if "quality_score" in source.masks else "null"
    rank, named = source.column("rank", "mask_id"), ", ".join(map(str, shown)) or "null"
    join = "left join (select image_id, subset from images) i using (image_id)"
    has_splits = "subset" in source.images
    return source.rows(
        f"select mask_id, image_id, file_name, category, {source.column('reasons', 'null')} as "
        f"reasons, action, {rank} as rank, {quality} as quality, "
        f"{source.column('detector_category', 'null')} as detector, "
        f"{source.column('verifier_kind', 'null')} as error_kind, "
        f"{'subset' if has_splits else 'null'} as split, area_px as area, {_FOUND} as found, "
        "case when area_px > 0 and width > 0 then (bbox_x + bbox_w / 2) / width end as x, "
        "case when area_px > 0 and height > 0 then (bbox_y + bbox_h / 2) / height end as y "
        f"from ((select * from masks where {_FOUND} order by {rank} nulls last, mask_id "
        f"limit {most}) union all by name select * from masks where mask_id in ({named}) "
        f"and not ({_FOUND})) {join if has_splits else ''} order by {rank} nulls last, mask_id"
    )


def _whole(value: Any, times: int = 1) -> int:
    """Return a number, which may be missing, as a whole one; -1 for none."""
    return -1 if value is None else round(float(value) * times)
