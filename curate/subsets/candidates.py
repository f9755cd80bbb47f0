"""Masks of an audit as a subset is drawn from them: quality, category, size, and what may stay."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd

from curate.common.arrays import BoolArray
from curate.store.audit_sql import column_types, quote_text
from curate.subsets.selection import rank_quality

if TYPE_CHECKING:
    from curate.store.audit import StoredAudit

_NUMBERS = (
    *("mask_id", "image_id", "area_px", "bbox_x", "bbox_y", "bbox_w", "bbox_h", "height", "width"),
)
_CATEGORIES = """
select name, row_number() over (order by name is null, name) - 1 as code
from (select distinct category as name from masks) order by code
"""
_MASKS = """
select {numbers}, code, {quality} as quality, {accepted} as accepted, {gone} as gone,
  {crowd} as crowd, status = 'ok' as sound
from masks left join ({categories}) on category is not distinct from name order by mask_id
"""


@dataclass(frozen=True)
class Candidates:
    """All masks of an audit, a row a mask.

    Attributes:
        masks: Index ``mask_id``, ascending; ``image_id``, ``category`` (a code), ``area_px``, the
            box (``bbox_x`` and so on), ``height``, ``width``, ``quality`` in [0, 1] (see
            :mod:`curate.subsets.selection`), ``gone`` (it leaves by its action), ``crowd`` (a crowd
            region: it stays, and is no mask to choose), ``sound`` (it can be read) and
            ``eligible`` (neither gone nor a crowd region).
        names: Names of the categories by code; None for masks without one.
        images: How many images the audit has, those without masks too.
    """

    masks: pd.DataFrame
    names: list[str | None]
    images: int

    @property
    def gone(self) -> BoolArray:
        """The masks that leave by their action, shape (n,)."""
        return cast(BoolArray, self.masks["gone"].to_numpy(np.bool_))

    def without(self, left_out: BoolArray) -> Candidates:
        """Return the same with further masks gone.

        Args:
            left_out: Shape (n,); which.
        """
        gone = self.gone | left_out
        eligible = self.masks["eligible"].to_numpy(np.bool_) & ~left_out
        return replace(self, masks=self.masks.assign(gone=gone, eligible=eligible))


def read_candidates(audit: StoredAudit, gone: str) -> Candidates:
    """Read what a subset depends on; 16 numbers a mask are in memory.

    Args:
        audit: The audit, with a plan.
        gone: SQL of the masks that leave by their action.
    """
    types = column_types(audit)
    accepted = "false"
    if "decided_by" in types:
        accepted = f"(action = 'accept' and decided_by = {quote_text('person')})"
    query = _MASKS.format(
        numbers=", ".join(_NUMBERS),
        quality="quality_score" if "quality_score" in types else "null",
        accepted=accepted,
        gone=f"coalesce({gone}, false)",
        crowd="coalesce(crowd_region, 0) = 1" if "crowd_region" in types else "false",
        categories=_CATEGORIES,
    )
    masks = audit.query(query).set_index("mask_id").rename(columns={"code": "category"})
    names = audit.query(_CATEGORIES)["name"]
    images = audit.query("select count(*) as n from images")["n"]
    masks["eligible"] = ~masks["gone"] & ~masks["crowd"]
    masks["quality"] = _quality(masks, learned=bool(audit.info.quality_model))
    listed = [str(name) if isinstance(name, str) else None for name in names.astype(object)]
    return Candidates(masks.drop(columns="accepted"), listed, int(images.iloc[0]))


def _quality(masks: pd.DataFrame, *, learned: bool) -> pd.Series[float]:
    """Return the quality in [0, 1]: 0 for what cannot be read, 1 for what people accepted."""
    quality = masks["quality"].to_numpy(np.float64)
    quality = np.where(masks["sound"], quality, np.nan)
    if learned:
        quality = np.clip(np.nan_to_num(quality), 0, 1)
    else:
        quality = rank_quality(quality, masks["eligible"].to_numpy(np.bool_))
    return pd.Series(np.where(masks["accepted"], 1.0, quality), masks.index)
