"""Images of an audit, joined by the names and ids that tools export."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from curate.common.arrays import ByteArray, IntArray
from curate.dataset.image_join import REASONS, Listing, join
from curate.dataset.image_names import stem
from curate.errors import SourceError
from curate.store.audit import Audit


@dataclass
class ImageMatches:
    """Matches images of a corrected dataset with the audit's, by name or else by id."""

    audit: Audit
    name: str
    taken: set[int] = field(default_factory=set)

    @cached_property
    def _own(self) -> AuditImages:
        return AuditImages(self.audit)

    def match(self, images: pd.DataFrame) -> pd.Series[Any]:
        """Return the audit's image ids by the dataset's; images that the audit lacks are left out.

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


class AuditImages:
    """The images of an audit, read once.

    Attributes:
        ids: Shape (n,).
        names: File names; None where an image has none.
        sizes: Shape (n, 2), height and width in pixels.
        at: The position of each id.
    """

    def __init__(self, audit: Audit) -> None:
        frame = audit.images(["file_name", "height", "width"])
        self.ids: IntArray = frame.index.to_numpy(np.int64)
        self.names = [name if isinstance(name, str) else None for name in frame["file_name"]]
        self.sizes: IntArray = frame[["height", "width"]].to_numpy(np.int64)
        self.at = {int(number): k for k, number in enumerate(self.ids)}
        self._by_stem: dict[str, list[int]] = {}
        for k, name in enumerate(self.names):
            if name:
                self._by_stem.setdefault(_key(name), []).append(k)

    def has_stem(self, name: str) -> bool:
        """Whether some image's name is this one but for folders, suffix and case."""
        return _key(name) in self._by_stem

    def join(self, names: Sequence[object], ids: Sequence[int | None]) -> IntArray:
        """Return the position of the image that each of some names and ids means, -1 for none.

        Ids are those that the audit gave out: they count where a name does not tell. An image that
        several of them mean stands there several times: that is for the caller to refuse.
        """
        rows, reasons = self._joined(names, ids)
        for k in np.flatnonzero(reasons == REASONS.index("ambiguous")).tolist():
            rows[k] = self._joined([names[k]], [ids[k]])[0][0]
        return rows

    def _joined(
        self, names: Sequence[object], ids: Sequence[int | None]
    ) -> tuple[IntArray, ByteArray]:
        wanted = {self.at[number] for number in ids if number in self.at}
        for name in names:
            wanted.update(self._by_stem.get(_key(name), ()))
        rows = np.array(sorted(wanted), np.int64)
        mine = Listing([self.names[row] for row in rows], self.ids[rows])
        numbers = [_NO_ID - k if one is None else one for k, one in enumerate(ids)]
        found = join(mine, Listing(names, np.array(numbers, np.int64)), same_ids=True)
        at = np.where(found.rows >= 0, rows[found.rows], -1) if len(rows) else found.rows
        return at, found.reasons


_NO_ID = -(2**62)


def _key(name: object) -> str:
    return stem(name).casefold()
