"""File names of exported pictures, and the image and window that each encodes.

A whole image keeps its file name where that is a path that can be trusted and no other image has
it; tools match names without their ending, so the ending is the one that the picture is written
with. The name of a crop says where it lies: a name is the one thing that every tool gives back.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from curate.common.arrays import ByteArray, IntArray
from curate.dataset.image_join import REASONS, Listing, join
from curate.dataset.image_names import stem
from curate.errors import SourceError
from curate.images import Box
from curate.people.exchange.queue_images import (
    ExportedView,
    RecentPictures,
    group_by_image,
    make_crops,
    save_picture,
)
from curate.store.audit import StoredAudit
from curate.store.rows_by_id import rows_of

_CROP = re.compile(r"_*mask_(\d{1,19})_at_(\d{1,9})_(\d{1,9})_(\d{1,9})x(\d{1,9})", re.ASCII)
_IMAGE = re.compile(r"_*image_(\d{1,19})", re.ASCII)
_NOT_IN_NAMES = re.compile(r"[\x00-\x1f\x7f-\x9f\\\ud800-\udfff\ufffe\uffff]")
_MAX_NAME = 200


@dataclass(frozen=True)
class PictureWindow:
    """The image, or window of an image, that a picture shows.

    Attributes:
        image_id: The audit's image.
        file_name: Its name in the audit; None where it has none.
        height: Of the whole image, in pixels.
        width: Of the whole image, in pixels.
        box: The piece that is shown; None for the whole image.
        mask_id: The one mask that a crop was made for; None for a whole image.
    """

    image_id: int
    file_name: str | None
    height: int
    width: int
    box: Box | None = None
    mask_id: int | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the picture in pixels."""
        return (self.height, self.width) if self.box is None else (self.box.h, self.box.w)


class PictureNames:
    """Names for the pictures of an audit, and back; each image's own name is checked once."""

    def __init__(self, audit: StoredAudit) -> None:
        self._audit = audit
        self._images = AuditImages(audit)
        stems = [_stem(name or "") for name in self._images.names]
        self._stems = frozenset(stems)
        self._taken = Counter(stem.casefold() for stem in stems)
        bases = {PurePosixPath(stem).name.casefold() for stem in stems if stem}
        self._reserved = {*self._taken, *bases}

    def of(self, view: ExportedView) -> str:
        """Return the name that a view's picture is written under."""
        ending = PurePosixPath(view.name).suffix
        if view.is_of_mask:
            box = view.box
            stem = f"mask_{view.rows[0]['mask_id']}_at_{box.x}_{box.y}_{box.w}x{box.h}"
        else:
            own = _stem(view.file_name or "")
            if self._is_own(view.file_name, own):
                return own + ending
            stem = f"image_{view.image_id}"
        # An image of the dataset has this very name, or will where a tool drops its folders.
        while stem.casefold() in self._reserved:
            stem = f"_{stem}"
        return stem + ending

    def _is_own(self, name: str | None, stem: str) -> bool:
        """Whether an image can keep its name, which is no folder of another one."""
        if not _is_safe(name) or self._taken[stem.casefold()] != 1:
            return False
        folders = [str(path).casefold() for path in PurePosixPath(stem).parents if path.name]
        return not any(_stem(folder) in self._taken for folder in folders)

    def places(
        self, names: Sequence[str], numbers: Sequence[int | None] = ()
    ) -> list[PictureWindow | None]:
        """Return the windows of pictures; None for one that is not of this audit.

        Args:
            names: What they are called.
            numbers: Their ids, which are believed only where a name tells nothing else, and the
                image of that id could be called so.
        """
        stems = [_stem(name) for name in names]
        crops = {k: self._crop(one) for k, one in enumerate(stems) if one not in self._stems}
        owners = self._owners([found[0] for found in crops.values() if found])
        whole = [k for k in range(len(names)) if crops.get(k) is None]
        ids = [numbers[k] if k < len(numbers) else None for k in whole]
        rows = dict(zip(whole, self._rows([names[k] for k in whole], ids), strict=True))
        made: list[PictureWindow | None] = []
        for k in range(len(names)):
            found = crops.get(k)
            row = rows[k] if found is None else self._images.at.get(owners.get(found[0], -1), -1)
            made.append(None if row < 0 else self._place(row, *(found or ())))
        return made

    def _rows(self, names: Sequence[str], ids: Sequence[int | None]) -> list[int]:
        """Return the position of the image that each name means; -1 where it means none or two."""
        rows: list[int] = self._images.join(names, ids).tolist()
        for k, name in enumerate(names):
            numbered = _IMAGE.fullmatch(PurePosixPath(_stem(name)).name)
            # Our own name, which is like no image's.
            if numbered and not self._images.has_stem(name):
                rows[k] = self._images.at.get(int(numbered[1]), -1)
        return rows

    def _crop(self, stem: str) -> tuple[int, Box] | None:
        found = _CROP.fullmatch(PurePosixPath(stem).name)
        if not found or int(found[1]) >= 2**63:
            return None
        return int(found[1]), Box(*(int(side) for side in found.groups()[1:]))

    def _owners(self, masks: list[int]) -> dict[int, int]:
        found = rows_of(self._audit, "masks", "mask_id", np.array(masks, np.int64), ("image_id",))
        return dict(zip(found["mask_id"].tolist(), found["image_id"].tolist(), strict=True))

    def _place(
        self, row: int, mask: int | None = None, box: Box | None = None
    ) -> PictureWindow | None:
        height, width = self._images.sizes[row].tolist()
        if box is not None and not (
            min(box.w, box.h) > 0 and box.x + box.w <= width and box.y + box.h <= height
        ):
            return None
        return PictureWindow(
            int(self._images.ids[row]), self._images.names[row], height, width, box, mask
        )


def save_pictures(
    audit: StoredAudit,
    rows: pd.DataFrame,
    folder: RecentPictures | None,
    target: Path,
    *,
    crops: bool,
    name: Callable[[ExportedView], str] | None = None,
) -> Iterator[tuple[ExportedView, str, bool]]:
    """Yield the views of a queue, each with the name of its picture and whether it was saved.

    Args:
        audit: The audit.
        rows: The queue.
        folder: Where the pictures are; None for none.
        target: The folder that they are saved in.
        crops: One view a mask, else one an image.
        name: The name of a view's picture; that of :class:`PictureNames` if None.
    """
    name = name or PictureNames(audit).of
    for view in make_crops(audit, rows) if crops else group_by_image(audit, rows):
        saved = folder is not None and save_picture(folder, view, target / name(view))
        yield view, name(view), saved


def _forward_slashes(name: str) -> str:
    """Return a name with plain slashes."""
    return name.replace("\\", "/")


def _stem(name: str) -> str:
    """Return a name with plain slashes and without its ending."""
    path = PurePosixPath(_forward_slashes(name))
    return str(path.with_suffix("")) if path.name else ""


def _is_safe(name: Any) -> bool:
    """Whether a name can be a path inside a folder, in a tool that takes it as it is."""
    if not isinstance(name, str) or name != name.strip() or _NOT_IN_NAMES.search(name):
        return False
    parts = name.split("/")
    if any(part in ("", ".", "..") or len(part.encode()) > _MAX_NAME for part in parts):
        return False
    return not _CROP.fullmatch(_stem(parts[-1]))


class ImageFinder:
    """Finds the audit's image, and the window on it, that each image of a file shows.

    Args:
        audit: The audit.
        name: The file's name, for messages.

    Attributes:
        windows: Those of all images so far, in their order; None for one that is not the audit's.
    """

    def __init__(self, audit: StoredAudit, name: str) -> None:
        self.windows: list[PictureWindow | None] = []
        self._names = PictureNames(audit)
        self._name = name
        self._taken: dict[tuple[int, int | None], str] = {}

    def find(
        self,
        names: Sequence[str],
        numbers: Sequence[int | None],
        sizes: Sequence[tuple[int, int] | None],
        places: Sequence[str],
    ) -> list[PictureWindow | None]:
        """Return the windows of some images.

        Args:
            names: What they are called.
            numbers: Their ids; see :meth:`PictureNames.places`.
            sizes: Height and width in pixels; None where the file does not say.
            places: Where each stands in the file, for messages.

        Raises:
            SourceError: One has another size than the audit says, or stands for another one's
                image.
        """
        found = self._names.places(names, numbers)
        for window, size, place in zip(found, sizes, places, strict=True):
            if window is not None:
                self._check(window, size, place)
        self.windows += found
        return found

    def _check(self, window: PictureWindow, size: tuple[int, int] | None, place: str) -> None:
        where = f"{self._name}, {place}"
        if size is not None and size != window.size and min(window.size) > 0:
            (h, w), (old_h, old_w) = size, window.size
            raise SourceError(f"it is {w} x {h}, in the audit {old_w} x {old_h}", where)
        first = self._taken.setdefault((window.image_id, window.mask_id), place)
        if first is not place:
            raise SourceError(f"it shows the same image as {first}", where)


class AuditImages:
    """The images of an audit, read once.

    Attributes:
        ids: Shape (n,).
        names: File names; None where an image has none.
        sizes: Shape (n, 2), height and width in pixels.
        at: The position of each id.
    """

    def __init__(self, audit: StoredAudit) -> None:
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
        rows, reasons = self._join_once(names, ids)
        for k in np.flatnonzero(reasons == REASONS.index("ambiguous")).tolist():
            rows[k] = self._join_once([names[k]], [ids[k]])[0][0]
        return rows

    def _join_once(
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
