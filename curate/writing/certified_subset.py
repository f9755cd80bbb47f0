"""Subset of an audit that somebody vouches for: what a certificate covers and people accepted."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from curate.common.arrays import BoolArray, IntArray
from curate.errors import CallError
from curate.people.reviews.current_plan import read_added_masks
from curate.policy.certificate_in_force import void_text
from curate.store.audit import StoredAudit
from curate.store.audit_sql import column_types

_VOUCHED = "action = 'accept' and decided_by in ('certificate', 'person')"
_OTHERS = f"""
select mask_id, image_id from masks
where not coalesce({_VOUCHED}, false) and not coalesce({{gone}}, false){{crowd}}
"""
_NO_CROWD = " and coalesce(crowd_region, 0) <> 1"  # nobody judges these: they stay


@dataclass(frozen=True)
class CertifiedSubset:
    """Masks and images that are left out of a subset.

    Attributes:
        masks: Ids of the masks that nobody vouches for, and that would be written else.
        images: Ids of the images that are left out for them, ascending; none where only masks are.
        touched: How many images have such masks.
    """

    masks: IntArray = field(repr=False)
    images: IntArray = field(repr=False)
    touched: int

    def keeps(self, ids: IntArray) -> BoolArray:
        """Return which images stay."""
        return np.asarray(~np.isin(ids, self.images), np.bool_)

    def leaves(self, masks: pd.DataFrame) -> BoolArray:
        """Return which masks leave, those of images that leave too; index ``mask_id``."""
        others = masks.index.isin(self.masks)
        return others | ~self.keeps(masks["image_id"].to_numpy(np.int64))

    def line(self, *, ignored: bool = False) -> str:
        """Say in a line how much is left out.

        Args:
            ignored: Whether the masks become ignore regions.
        """
        if len(self.images):
            what = "images left out, since they have masks that are neither certified nor accepted"
            return f"{what} by people: {len(self.images):,}, with {len(self.masks):,} such masks"
        what = "masks left out that are neither certified nor accepted by people"
        if not len(self.masks):
            return f"{what}: 0"
        where = f"{what}: {len(self.masks):,}, in {self.touched:,} images"
        if ignored:
            return f"{where}; as ignore regions where they show an object"
        seen = "training will see these objects as background (certified-images avoids that)"
        return f"{where}; {seen}"


def certified_subset(audit: StoredAudit, gone: str, only: str) -> CertifiedSubset:
    """Find what is left out of a subset.

    Args:
        audit: The audit.
        gone: SQL of the masks that leave anyhow.
        only: "certified" leaves masks out, "certified-images" the images that they are in.

    Raises:
        CallError: There is no certificate in force, and people accepted and added nothing.
    """
    crowd = _NO_CROWD if "crowd_region" in column_types(audit) else ""
    found = audit.query(_OTHERS.format(gone=gone, crowd=crowd))
    vouched = audit.query(f"select count(*) as n from masks where {_VOUCHED}")["n"]
    if not int(vouched.iloc[0]) and not len(read_added_masks(audit)):
        void = void_text(audit.info)
        what = "nothing is certified, and people accepted nothing"
        do = "make a certificate with `curate certify`, or accept masks"
        raise CallError(f"{what}{f' ({void})' if void else ''}", str(audit.path), do)
    images = np.unique(found["image_id"].to_numpy(np.int64))
    nothing = np.empty(0, np.int64)
    return CertifiedSubset(
        found["mask_id"].to_numpy(np.int64),
        images if only == "certified-images" else nothing,
        len(images),
    )
