"""Plan of which masks stay, which leave, which become ignore regions, and what that changes.

The same for ``prune`` and ``write``: masks leave by their action, since nobody vouches for them, or
since they are not among the best of a subset; what leaves is left out, or becomes an ignore region.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from curate.common.arrays import BoolArray, FloatArray, IntArray
from curate.common.ranges import SUBSETS
from curate.people.queues.population import actions_sql, include_reject
from curate.policy.grammar import check_actions, check_choice
from curate.store.audit import StoredAudit
from curate.store.audit_sql import column_types
from curate.subsets.candidates import Candidates, read_candidates
from curate.subsets.effect import Effect, measure_effect
from curate.subsets.subset import Subset, SubsetOptions, choose_subset, weigh_masks
from curate.subsets.weights import check_place
from curate.writing.certified_subset import CertifiedSubset, certified_subset

NOT_CERTIFIED = "neither certified nor accepted by people"
"""Why a mask leaves that nobody vouches for."""

_TWINS = """
select mask_id, duplicate_of as twin from masks order by mask_id
"""


@dataclass(frozen=True)
class PruneOptions:
    """Options of which masks stay; each is an argument of :func:`curate.prune` or of ``write``.

    Attributes:
        drop: Masks of which actions leave beside the rejected ones.
        subset: How many of the others stay.
        only: A word of :data:`curate.common.ranges.SUBSETS`; None for all.
        ignore: Whether masks that leave become ignore regions.
        weights: Where weights are written; None for nowhere.

    Raises:
        CallError: There is no such option, or the weights have no place.
    """

    drop: Sequence[str] = ("reject",)
    subset: SubsetOptions = field(default_factory=SubsetOptions)
    only: str | None = None
    ignore: bool = False
    weights: Path | None = None

    def __post_init__(self) -> None:
        check_actions(self.drop, "--drop")
        check_choice(self.only, "--only", SUBSETS)
        if self.weights is not None:
            check_place(self.weights)

    @property
    def by_actions_alone(self) -> bool:
        """Whether masks leave by their actions and nothing else is asked."""
        others = (self.subset.keep, self.only, self.weights)
        return not self.ignore and all(one is None for one in others)

    @property
    def gone_sql(self) -> str:
        """SQL of the masks that leave by their action."""
        return actions_sql(include_reject(self.drop))


@dataclass(frozen=True)
class PrunePlan:
    """What is to happen to each mask, by ascending id.

    Attributes:
        ids: Shape (n,); ids of all masks, ascending.
        stays: Shape (n,); which masks stay as they are.
        ignored: Shape (n,); which of the others become ignore regions.
        gone: Shape (n,); which leave by their action.
        effect: What that changes.
        emptied: Ids of the images that lose all their masks.
        subset: How they were chosen; None where nothing is chosen.
        certified: What leaves since nobody vouches for it; None where that is no matter.
        weights: Shape (n,); their weights, where these are asked for.
    """

    ids: IntArray = field(repr=False)
    stays: BoolArray = field(repr=False)
    ignored: BoolArray = field(repr=False)
    gone: BoolArray = field(repr=False)
    effect: Effect
    emptied: IntArray = field(repr=False)
    subset: Subset | None = None
    certified: CertifiedSubset | None = None
    weights: FloatArray | None = field(default=None, repr=False)

    @property
    def left_by_choice(self) -> frozenset[int]:
        """Ids of the masks that leave, and not by their action."""
        return frozenset(self.ids[~self.stays & ~self.gone].tolist())

    def as_dict(self) -> dict[str, object]:
        """Return plain values, for JSON and the provenance."""
        certified = self.certified
        left_out = None
        if certified is not None:
            left_out = {"masks": len(certified.masks), "images": len(certified.images)}
        return {
            "subset": None if self.subset is None else self.subset.as_dict(),
            "not_certified": left_out,
            "ignored": int(self.ignored.sum()),
            "effect": self.effect.as_dict(),
        }

    def leaving(self, masks: pd.DataFrame) -> pd.DataFrame:
        """Return the masks that leave or become ignore regions, and why.

        Args:
            masks: A row a mask, all of them, by ascending id: ``mask_id`` and ``reason``.

        Returns:
            Those rows with ``change`` and the reason of the choice.
        """
        found = masks.assign(
            change=np.where(self.ignored, "ignored", "removed"), reason=self._reasons(masks)
        )
        return found[~self.stays].reset_index(drop=True)

    def _reasons(self, masks: pd.DataFrame) -> pd.Series[str]:
        """Return why each mask leaves: by its action as before, else by the choice."""
        known = masks["reason"] if "reason" in masks else pd.Series("", masks.index)
        known = known.astype(object)
        if self.certified is not None:
            others = masks["mask_id"].isin(self.certified.masks)
            why = known.fillna("").astype(str)
            known = known.where(~others, (why + "; ").where(why != "", "") + NOT_CERTIFIED)
        if self.subset is None:
            return known
        order = self.subset.order
        place = pd.Series(np.arange(1, len(order) + 1), order.index)
        place = masks["mask_id"].map(place)
        stay = f"of which {self.subset.asked:,} stay"
        texts = "not in the subset: place " + place.map("{:,.0f}".format) + f" of {len(order):,}, "
        return known.where(place.isna(), texts + stay)


def plan_pruning(audit: StoredAudit, options: PruneOptions) -> PrunePlan:
    """Decide which masks stay.

    Args:
        audit: The audit.
        options: What leaves, and what becomes of it.

    Raises:
        CallError: Only what is certified is to stay, and nothing is.
        AuditError: No mask can be chosen.
    """
    certified, where = None, options.gone_sql
    if options.only is not None:
        certified = certified_subset(audit, where, options.only)
    candidates = read_candidates(audit, where)
    gone = candidates.gone.copy()
    if certified is not None:
        candidates = candidates.without(certified.leaves(candidates.masks))
    masks = candidates.masks
    subset, weights, stays = None, None, ~candidates.gone
    if options.subset.keep is not None or options.weights is not None:
        subset = choose_subset(audit, candidates, options.subset)
        stays = subset.stays if certified is None else subset.stays & ~certified.leaves(masks)
        weights = weigh_masks(candidates, subset) if options.weights is not None else None
    if weights is not None:  # all stay that could, and weigh less
        stays = ~candidates.gone
    ignored = np.zeros(len(stays), np.bool_)
    if options.ignore:
        ignored = ~stays & _are_objects(audit, candidates, stays)
        if certified is not None:
            ignored &= certified.keeps(masks["image_id"].to_numpy(np.int64))
    counted, floor = (stays, options.subset.floor) if weights is None else (weights, 0)
    effect = measure_effect(candidates, counted, ignored, floor=floor)
    ids = masks.index.to_numpy(np.int64)
    emptied = _find_emptied(candidates, stays)
    return PrunePlan(ids, stays, ignored, gone, effect, emptied, subset, certified, weights)


def _find_emptied(candidates: Candidates, stays: BoolArray) -> IntArray:
    """Return the ids of images of which no mask stays that is no crowd region."""
    crowd = candidates.masks["crowd"].to_numpy(np.bool_)
    images = candidates.masks["image_id"].to_numpy(np.int64)
    return np.setdiff1d(images[~crowd], images[~crowd & stays])


def _are_objects(audit: StoredAudit, candidates: Candidates, stays: BoolArray) -> BoolArray:
    """Return the masks that may show an object that no other mask shows, shape (n,).

    Not so those without pixels or with a format error, and duplicates of a mask that stays.
    """
    masks = candidates.masks
    found = masks["sound"].to_numpy(np.bool_) & (masks["area_px"] > 0).to_numpy(np.bool_)
    types = column_types(audit)
    if "duplicate_of" in types:
        twins = audit.query(_TWINS)["twin"]
        found &= ~twins.isin(masks.index[stays]).to_numpy(np.bool_)
    return np.asarray(found, np.bool_)
