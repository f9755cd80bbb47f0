"""Pictures of a queue for other tools: whole images with some masks, or one crop a mask.

A crop is lossless for its mask: the window holds all of it, and where the window lay is written
beside it, so that what comes back is put in its place again.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from curate.common import files
from curate.common.arrays import ByteArray
from curate.errors import CallError
from curate.formats.format import copy_file
from curate.images import Box, ImageFolder, window
from curate.images.png_writing import PngRows
from curate.people.exchange.queue_writing import QueueRow, plain_records
from curate.people.exchange.registry import ExportOptions
from curate.rle import Runs, bbox, crop
from curate.store.audit import StoredAudit
from curate.store.known_pictures import known_pictures
from curate.store.rows_by_id import decode_masks, rows_of

CACHED_PIXELS = 16_000_000
"""Pictures up to this size are decoded whole to be cut; of larger ones only the piece is."""

BAND_PIXELS = 6_000_000
"""So many pixels of a large picture are written at a time."""

RECENT_BYTES = 100 << 20
"""How much memory decoded pictures may take that are kept for the next crop."""

CROP_BATCH = 2_000
"""Masks whose run lengths are in memory at the same time."""

_JPEG_QUALITY = 95


@dataclass(frozen=True)
class ExportedView:
    """One exported picture, with the masks on it.

    Attributes:
        name: File name for its picture; unique within the queue, letters that every tool takes.
        file_name: The image's file name in the dataset; None where it has none.
        image_id: The image.
        box: Which piece of the image it shows.
        height: Of the whole image, in pixels.
        width: Of the whole image, in pixels.
        rows: What the queue says of each mask, in its order.
        runs: The masks as seen in ``box``, in the order of ``rows``.
        is_of_mask: Whether it was cut out for its one mask, be it as large as the image.
    """

    name: str
    file_name: str | None
    image_id: int
    box: Box
    height: int
    width: int
    rows: list[QueueRow]
    runs: Runs
    is_of_mask: bool

    @property
    def is_crop(self) -> bool:
        """Whether it shows less than the whole image."""
        return (self.box.w, self.box.h) != (self.width, self.height)

    def place(self) -> dict[str, int]:
        """Return where its window lies, as plain values to write beside it."""
        box = self.box
        return {
            "image_id": self.image_id,
            "x": box.x,
            "y": box.y,
            "w": box.w,
            "h": box.h,
            "height": self.height,
            "width": self.width,
        }


def find_pictures(audit: StoredAudit, how: ExportOptions) -> RecentPictures | None:
    """Return the folder of the pictures: the one given, or the audit's; None where there is none.

    Raises:
        SourceError: It is not there.
    """
    known = how.images or audit.info.inputs.get("images")
    if known is None:
        return None
    return RecentPictures(Path(known), known=known_pictures(audit, Path(known)))


class RecentPictures(ImageFolder):
    """A folder that keeps the pictures decoded last: a queue comes back to an image many times."""

    def piece(self, file_name: object, size: tuple[int, int], box: Box) -> ByteArray | None:
        """Return a window of a picture in RGB, every pixel of it; it must not be written to.

        Args:
            file_name: Its name in the dataset.
            size: Height and width that its masks have.
            box: The window.

        Returns:
            None where there is no such picture, or it is too large.
        """
        if size[0] * size[1] > CACHED_PIXELS:
            return self.load(file_name, size, box=None if (box.h, box.w) == size else box)
        kept: dict[Any, ByteArray] = self.__dict__.setdefault("_by_recent", {})
        key = (file_name, size)
        pixels = kept.pop(key, None)
        while sum(one.nbytes for one in kept.values()) > RECENT_BYTES:
            del kept[next(iter(kept))]
        if pixels is None:
            pixels = self.load(file_name, size)
        if pixels is None:
            return None
        kept[key] = pixels  # behind all others: the first one goes first
        return pixels[box.y : box.y + box.h, box.x : box.x + box.w]


def make_crops(audit: StoredAudit, rows: pd.DataFrame) -> Iterator[ExportedView]:
    """Yield one view a mask, cut out with what surrounds it, in the order of the queue.

    Masks that cannot be shown (none is stored, it cannot be read, it has no pixel) are left out; a
    mask that occurs twice is yielded once.
    """
    rows = rows.drop_duplicates("mask_id")
    for start in range(0, len(rows), CROP_BATCH):
        batch = rows.iloc[start : start + CROP_BATCH]
        kept, runs, known = _read_masks(audit, batch)
        boxes = bbox(runs).tolist()
        sizes = zip(known["width"].tolist(), known["height"].tolist(), strict=True)
        windows = [window(size, [box]) for size, box in zip(sizes, boxes, strict=True)]
        pieces = crop(runs, [(w.x, w.y, w.w, w.h) for w in windows if w is not None])
        for k, (record, box) in enumerate(zip(plain_records(kept), windows, strict=True)):
            if box is not None:
                stem = f"mask_{record['mask_id']}"
                yield _make_view(known.iloc[k], stem, box, [record], pieces[k : k + 1])


def group_by_image(audit: StoredAudit, rows: pd.DataFrame) -> Iterator[ExportedView]:
    """Yield one view an image, with the queue's masks of it, images as they first come in it."""
    rows = rows.drop_duplicates("mask_id")
    order = rows["image_id"].drop_duplicates().to_numpy(np.int64)
    place = pd.Series(np.arange(len(order)), index=order)
    by_image = rows.assign(_at=place.loc[rows["image_id"]].to_numpy())
    by_image = by_image.sort_values("_at", kind="stable").drop(columns="_at")
    ends = np.flatnonzero(np.diff(by_image["image_id"].to_numpy(np.int64))) + 1
    starts = [0, *ends.tolist(), len(by_image)] if len(by_image) else [0]
    at = 0
    while at < len(starts) - 1:  # whole images, about CROPS_AT_ONCE masks of them at a time
        stop = at + 1
        while stop < len(starts) - 1 and starts[stop + 1] - starts[at] <= CROP_BATCH:
            stop += 1
        yield from _views_of_images(audit, by_image.iloc[starts[at] : starts[stop]])
        at = stop


def _views_of_images(audit: StoredAudit, masks: pd.DataFrame) -> Iterator[ExportedView]:
    kept, runs, known = _read_masks(audit, masks)
    images = kept["image_id"].to_numpy(np.int64)
    records = list(plain_records(kept))
    for image_id in dict.fromkeys(images.tolist()):
        at = np.flatnonzero(images == image_id)
        first = known.iloc[int(at[0])]
        box = Box(0, 0, int(first["width"]), int(first["height"]))
        rows = [records[k] for k in at.tolist()]
        yield _make_view(first, f"image_{image_id}", box, rows, runs[at])


def _make_view(
    known: pd.Series[Any], stem: str, box: Box, rows: list[QueueRow], runs: Runs
) -> ExportedView:
    name = known["file_name"]
    file_name = None if name is None or name is pd.NA else str(name)
    return ExportedView(
        name=f"{stem}{_suffix(file_name)}",
        file_name=file_name,
        image_id=int(known["image_id"]),
        box=box,
        height=int(known["height"]),
        width=int(known["width"]),
        rows=rows,
        runs=runs,
        is_of_mask=stem.startswith("mask_"),
    )


def _suffix(file_name: str | None) -> str:
    """Return the ending that a picture of a name is written with: its own for JPEG, else PNG."""
    return ".jpg" if str(file_name or "").lower().endswith((".jpg", ".jpeg")) else ".png"


def _read_masks(audit: StoredAudit, rows: pd.DataFrame) -> tuple[pd.DataFrame, Runs, pd.DataFrame]:
    """Return the rows whose masks can be shown, their masks, and what the audit knows of them."""
    ids = rows["mask_id"].to_numpy(np.int64)
    columns = ("image_id", "file_name", "height", "width", "segmentation")
    known = rows_of(audit, "masks", "mask_id", ids, columns).set_index("mask_id").loc[ids]
    sizes = (known[side].to_numpy(np.int64) for side in ("height", "width"))
    runs, problems = decode_masks(known["segmentation"], *sizes)
    full = np.diff(runs.offsets) > 0
    good = np.array([not problem for problem in problems], np.bool_) & full
    return rows[good], runs[good], known[good]


def save_picture(folder: RecentPictures, view: ExportedView, target: Path) -> bool:
    """Write a view's picture: the file itself where all of it is shown, else the piece.

    Returns:
        Whether it could be: False where the picture is missing, broken, or of another size.
    """
    found = None if view.is_crop else folder.find(view.file_name)
    if found is not None and _suffix(found.name) == target.suffix and _is_copyable(folder, view):
        copy_file(found, target)
        return True
    if not view.is_crop and view.height * view.width > CACHED_PIXELS and target.suffix == ".png":
        return _save_in_bands(folder, view, target)
    pixels = folder.piece(view.file_name, (view.height, view.width), view.box)
    if pixels is None:
        return False
    piece = Image.fromarray(np.ascontiguousarray(pixels))
    files.mkdir(target.parent, parents=True, exist_ok=True)
    packed = io.BytesIO()
    if target.suffix == ".jpg":
        piece.save(packed, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    else:
        piece.save(packed, "PNG")
    files.write_bytes(target, packed.getvalue())
    return True


def _save_in_bands(folder: RecentPictures, view: ExportedView, target: Path) -> bool:
    """Write a large picture as PNG some rows at a time; return whether it could be."""
    size = (view.height, view.width)
    files.mkdir(target.parent, parents=True, exist_ok=True)
    written = 0
    with files.open_file(target) as file:
        packed = PngRows(file, *size)
        for band in folder.bands(view.file_name, size, pixels=BAND_PIXELS, margin=0):
            if band is None:  # broken
                break
            packed.write(band.pixels)
            written = band.high
        if written == view.height:
            packed.close()
            return True
    files.unlink(target)
    return False


def _is_copyable(folder: ImageFolder, view: ExportedView) -> bool:
    """Whether a file can be copied as it is: sound, upright, of 8 bit, and of the masks' size.

    Of more than 8 bit a browser shows the upper ones, which is black for most microscopes.
    """
    seen = folder.inspect(view.file_name, (view.height, view.width))
    upright = seen.header is not None and seen.header.orientation == 1 and not seen.header.deep
    kind = Path(str(folder.find(view.file_name))).suffix.lower()
    return seen.status == "ok" and upright and kind in (".jpg", ".jpeg", ".png")


def check_pictures(folder: RecentPictures | None, tool: str) -> RecentPictures:
    """Return the folder of pictures; refuse None for a tool that needs one.

    Raises:
        CallError: There is none.
    """
    if folder is None:
        what = f"{tool} shows people pictures, and the audit was given none"
        raise CallError(what, "queue", "give their folder with --images DIR")
    return folder


def require_pictures(
    tool: str, *, whole: bool = True
) -> Callable[[StoredAudit, Path, ExportOptions], None]:
    """Return a writer's ``check``: that there are pictures.

    Args:
        tool: Who shows them, for messages.
        whole: Whether whole images need them too, and not only crops.
    """

    def check(audit: StoredAudit, out: Path, how: ExportOptions) -> None:
        del out
        folder = find_pictures(audit, how)
        if whole or how.crops:
            check_pictures(folder, tool)

    return check
