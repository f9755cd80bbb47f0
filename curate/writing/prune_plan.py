"""Plan of a pruning: which masks stay, which become ignore regions, and what that changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from curate.common.arrays import BoolArray, FloatArray
from curate.formats.edits import Change, Edits
from curate.store.audit import StoredAudit
from curate.store.audit_sql import column_types
from curate.subsets.candidates import Candidates, read_candidates
from curate.subsets.effect import Effect, measure_effect
from curate.subsets.subset import Subset, SubsetOptions, choose_subset, weigh_masks
from curate.writing.changes import Changes, to_rows
from curate.writing.format_losses import FormLoss

_ROWS = ("mask_id", "source_key", "image_id", "file_name", "category", "action", "decided_by")
_TWINS = """
select mask_id, {twin} as twin from masks order by mask_id
"""


@dataclass(frozen=True)
class PrunePlan:
    """What is to happen to each mask, by ascending id.

    Attributes:
        stays: Shape (n,); which masks stay as they are.
        ignored: Shape (n,); which of the others become ignore regions.
        effect: What that changes.
        subset: How they were chosen; None where only their actions count.
        weights: Shape (n,); their weights, where these are asked for.
    """

    stays: BoolArray
    ignored: BoolArray
    effect: Effect
    subset: Subset | None
    weights: FloatArray | None = None

    def make_edits(self, audit: StoredAudit) -> Edits:
        """Return the edits that the format is asked for."""
        keys = audit.query("select source_key from masks order by mask_id")["source_key"]
        change = {key: Change(ignore=True) for key in keys[self.ignored].astype(str)}
        return Edits(drop=frozenset(keys[~self.stays & ~self.ignored].astype(str)), change=change)

    def list_changes(self, audit: StoredAudit, edits: Edits, form: FormLoss) -> Changes:
        """Return all that changes, a row a mask, for the provenance."""
        types = column_types(audit)
        names = [name for name in _ROWS if name in types]
        names += ["reasons as reason"] if "reasons" in types else []
        rows = audit.query(f"select {', '.join(names)} from masks order by mask_id")
        rows = rows.assign(change=np.where(self.ignored, "ignored", "removed"))
        if self.subset is not None:
            rows["reason"] = self._reasons(rows)
        rows, waiting = to_rows(rows[~self.stays]), pd.DataFrame(columns=["why"])
        emptied = self.effect.emptied_images
        return Changes(edits, rows, waiting, len(self.stays), 0, emptied, form)

    def _reasons(self, rows: pd.DataFrame) -> pd.Series[str]:
        """Return why each mask leaves: by its action as before, else by its place in the order."""
        assert self.subset is not None, "the caller has seen to it"
        known = rows["reason"] if "reason" in rows else pd.Series("", rows.index)
        order = self.subset.order
        place = pd.Series(np.arange(1, len(order) + 1), order.index)
        place = rows["mask_id"].map(place)
        stay = f"of which {self.subset.asked:,} stay"
        texts = "not in the subset: place " + place.map("{:,.0f}".format) + f" of {len(order):,}, "
        return known.astype(object).where(place.isna(), texts + stay)


def plan_pruning(
    audit: StoredAudit, where: str, options: SubsetOptions, *, weighed: bool, ignore: bool
) -> PrunePlan:
    """Decide which masks stay.

    Args:
        audit: The audit.
        where: SQL of the masks that leave by their action.
        options: Of the subset.
        weighed: Whether weights are asked for.
        ignore: Whether masks that leave become ignore regions.
    """
    candidates = read_candidates(audit, where)
    subset, weights, stays = None, None, ~candidates.gone
    if options.keep is not None or weighed:
        subset = choose_subset(audit, candidates, options)
        stays = subset.stays
        weights = weigh_masks(candidates, subset) if weighed else None
    ignored = np.zeros(len(stays), np.bool_)
    if ignore:
        ignored = ~stays & _are_objects(audit, candidates, stays)
    counted, floor = (stays, options.floor) if weights is None else (weights, 0)
    effect = measure_effect(candidates, counted, ignored, floor=floor)
    return PrunePlan(stays, ignored, effect, subset, weights)


def _are_objects(audit: StoredAudit, candidates: Candidates, stays: BoolArray) -> BoolArray:
    """Return the masks that may show an object that no other mask shows, shape (n,).

    Not so those without pixels or with a format error, and duplicates of a mask that stays.
    """
    masks = candidates.masks
    found = masks["sound"].to_numpy(np.bool_) & (masks["area_px"] > 0).to_numpy(np.bool_)
    types = column_types(audit)
    if "duplicate_of" in types:
        twins = audit.query(_TWINS.format(twin="duplicate_of"))["twin"]
        found &= ~twins.isin(masks.index[stays]).to_numpy(np.bool_)
    return np.asarray(found, np.bool_)
