"""Subset of an audit that somebody vouches for: what a certificate covers and people accepted."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from curate.common.arrays import BoolArray, IntArray
from curate.errors import CallError
from curate.formats.edits import Edits
from curate.policy.certificate_in_force import void_text
from curate.store.audit import StoredAudit

_VOUCHED = "action = 'accept' and decided_by in ('certificate', 'person')"
_OTHERS = f"""
select mask_id, source_key, image_id from masks
where not coalesce({_VOUCHED}, false) and source_key not in (select unnest(?))
"""


@dataclass(frozen=True)
class CertifiedSubset:
    """Masks and images that are left out of a subset.

    Attributes:
        masks: Ids of the masks that nobody vouches for, and that would be written else.
        keys: Their source keys.
        images: Ids of the images that are left out for them, ascending; none where only masks are.
        touched: How many images have such masks.
    """

    masks: IntArray = field(repr=False)
    keys: frozenset[str] = field(repr=False)
    images: IntArray = field(repr=False)
    touched: int

    def keeps(self, ids: IntArray) -> BoolArray:
        """Return which images stay."""
        return np.asarray(~np.isin(ids, self.images), np.bool_)

    def line(self) -> str:
        """Say in a line how much is left out."""
        if len(self.images):
            what = "images left out, since they have masks that are neither certified nor accepted"
            return f"{what} by people: {len(self.images):,}, with {len(self.masks):,} such masks"
        what = "masks left out that are neither certified nor accepted by people"
        if not len(self.masks):
            return f"{what}: 0"
        seen = "training will see these objects as background (certified-images avoids that)"
        return f"{what}: {len(self.masks):,}, in {self.touched:,} images; {seen}"


def certified_subset(audit: StoredAudit, edits: Edits, only: str) -> CertifiedSubset:
    """Find what is left out of a subset.

    Args:
        audit: The audit.
        edits: What changes anyhow; what it drops is gone already.
        only: "certified" leaves masks out, "certified-images" the images that they are in.

    Raises:
        CallError: There is no certificate in force, and people accepted nothing.
    """
    dropped = sorted(edits.drop)
    found = audit.query(_OTHERS, [dropped])
    vouched = audit.query(f"select count(*) as n from masks where {_VOUCHED}")["n"]
    if not int(vouched.iloc[0]) and not edits.add:
        void = void_text(audit.info)
        what = "nothing is certified, and people accepted nothing"
        do = "make a certificate with `curate certify`, or accept masks"
        raise CallError(f"{what}{f' ({void})' if void else ''}", str(audit.path), do)
    images = np.unique(found["image_id"].to_numpy(np.int64))
    nothing = np.empty(0, np.int64)
    return CertifiedSubset(
        found["mask_id"].to_numpy(np.int64),
        frozenset(found["source_key"].astype(str)),
        images if only == "certified-images" else nothing,
        len(images),
    )
