"""Images of a corrected dataset found again in the audit, whatever a tool did to their ids."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from curate.errors import SourceError
from curate.exchange.audit_images import AuditImages
from curate.store import Audit


@dataclass
class Images:
    """Finds the audit's image of each image of the corrected dataset, by name or else by id."""

    audit: Audit
    name: str
    taken: set[int] = field(default_factory=set)

    @cached_property
    def _own(self) -> AuditImages:
        return AuditImages(self.audit)

    def match(self, images: pd.DataFrame) -> pd.Series[Any]:
        """Return the audit's image ids by the dataset's; images that it does not have are left out.

        Raises:
            SourceError: An image has another size, or two stand for the same one.
        """
        ids = images.index.to_numpy(np.int64)
        names = images["file_name"].to_numpy(object).tolist()
        rows = self._own.join(names, ids.tolist())
        known = np.flatnonzero(rows >= 0)
        found = pd.Series(self._own.ids[rows[known]], index=ids[known], dtype="int64")
        self._check(found, images)
        return found

    def _check(self, found: pd.Series[Any], images: pd.DataFrame) -> None:
        for theirs, ours in found.items():
            if ours in self.taken:
                what = f"it stands for the same image as another one ({ours} in the audit)"
                raise SourceError(what, f"{self.name}, image {theirs}")
            self.taken.add(int(ours))
        rows = [self._own.at[number] for number in found.tolist()]
        sizes = self._own.sizes[rows]
        stated = images.loc[found.index, ["height", "width"]].to_numpy(np.int64)
        off = ((sizes != stated) & (sizes > 0) & (stated > 0)).any(axis=1)
        for at in np.flatnonzero(off)[:1].tolist():
            (h, w), (old_h, old_w) = stated[at].tolist(), sizes[at].tolist()
            what = f"it is {w} x {h}, in the audit {old_w} x {old_h}"
            raise SourceError(what, f"{self.name}, image {found.index[at]}")
