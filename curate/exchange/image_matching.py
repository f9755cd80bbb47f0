"""Images of a corrected dataset found again in the audit, whatever a tool did to their ids."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from curate.decisions.lookup import rows_of
from curate.errors import SourceError
from curate.store import Audit


@dataclass
class Images:
    """Finds the audit's image of each image of the corrected dataset, by id or else by name."""

    audit: Audit
    name: str
    taken: set[int] = field(default_factory=set)
    _names: pd.Series[Any] | None = None

    def match(self, images: pd.DataFrame) -> pd.Series[Any]:
        """Return the audit's image ids by the dataset's; images that it does not have are left out.

        Raises:
            SourceError: An image has another size, or two stand for the same one.
        """
        ids = images.index.to_numpy(np.int64)
        columns = ["file_name", "height", "width"]
        own = rows_of(self.audit, "images", "image_id", ids, columns).set_index("image_id")
        own = own.reindex(ids)
        theirs = [_base(name) for name in images["file_name"]]
        ours = [_base(name) for name in own["file_name"]]
        pairs = zip(ours, theirs, strict=True)
        alike = own["height"].notna().to_numpy() & [a == b or not a or not b for a, b in pairs]
        found = pd.Series(np.where(alike, ids, 0), index=ids).where(alike).astype("Int64")
        rest = np.flatnonzero(~alike)
        if len(rest):
            named = self._by_name().reindex([theirs[k] for k in rest])
            found.iloc[rest] = named.array
        found = found.dropna().astype("int64")
        self._check(found, images)
        return found

    def _check(self, found: pd.Series[Any], images: pd.DataFrame) -> None:
        own = rows_of(
            self.audit, "images", "image_id", found.to_numpy(np.int64), ["height", "width"]
        ).set_index("image_id")
        for theirs, ours in found.items():
            if ours in self.taken:
                what = f"it stands for the same image as another one ({ours} in the audit)"
                raise SourceError(what, f"{self.name}, image {theirs}")
            self.taken.add(int(ours))
        sizes = own.loc[found].to_numpy(np.int64)
        stated = images.loc[found.index, ["height", "width"]].to_numpy(np.int64)
        off = ((sizes != stated) & (sizes > 0) & (stated > 0)).any(axis=1)
        for at in np.flatnonzero(off)[:1].tolist():
            (h, w), (old_h, old_w) = stated[at].tolist(), sizes[at].tolist()
            what = f"it is {w} x {h}, in the audit {old_w} x {old_h}"
            raise SourceError(what, f"{self.name}, image {found.index[at]}")

    def _by_name(self) -> pd.Series[Any]:
        """Return image ids by file name without folders; names that stand twice are left out."""
        if self._names is None:
            frame = self.audit.images(["file_name"])
            names = pd.Index([_base(name) for name in frame["file_name"]])
            ids = pd.Series(frame.index.to_numpy(np.int64), index=names, dtype="Int64")
            self._names = ids[~names.duplicated(keep=False) & (names != "")]
        return self._names


def _base(name: object) -> str:
    """Return a file name without its folders, which tools change."""
    return PurePosixPath(name.replace("\\", "/")).name if isinstance(name, str) else ""
