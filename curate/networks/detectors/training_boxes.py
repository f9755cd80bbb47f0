"""Training images from an audit: boxes of accepted masks, pictures, splits by image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from curate.common.progress import Progress
from curate.errors import CallError, SourceError
from curate.images import ImageFolder
from curate.networks.detectors.training_settings import TrainingSettings
from curate.people.reviews.added_masks import read_added_masks
from curate.rle import bbox, decode_counts
from curate.store.audit import Audit
from curate.store.known_pictures import open_pictures

if TYPE_CHECKING:
    from curate.networks.detectors.training_images import DetectorImage

READER_THREADS = 4

_BOX = ("bbox_x", "bbox_y", "bbox_w", "bbox_h")


def open_images(audit: Audit, images: Path | None) -> ImageFolder:
    """Return the folder of the pictures: the given one, or the audit's."""
    known = images or audit.info["inputs"].get("images")
    if known is None:
        raise CallError("the audit was given no pictures", str(audit.path), "give --images DIR")
    return open_pictures(audit, Path(known))


def read_accepted(
    audit: Audit, folder: ImageFolder, progress: Progress | None
) -> tuple[list[DetectorImage], list[int]]:
    """Return images with accepted masks, and the ids of those whose picture does not open."""
    from curate.networks.detectors.detections import hash_pixels
    from curate.networks.detectors.training_images import DetectorImage

    rows, boxes = _accepted_boxes(audit)

    def key_of(row: Any) -> str | None:
        picture = folder.load(row.file_name, _size(row))
        return None if picture is None else hash_pixels(picture)

    keys: dict[int, str] = {}
    left_out = []
    with ThreadPoolExecutor(READER_THREADS) as readers:
        for done, (row, key) in enumerate(zip(rows, readers.map(key_of, rows), strict=True), 1):
            if key is None:
                left_out.append(int(row.image_id))
            else:
                keys[int(row.image_id)] = key
            if progress:
                progress("reading pictures", done, len(rows), 0)
    scenes = []
    for row in rows:
        image_id = int(row.image_id)
        if image_id in keys:
            leader = keys.get(image_id if pd.isna(row.leader) else int(row.leader), keys[image_id])
            picture = _LazyImage(folder, row.file_name, _size(row))
            scenes.append(DetectorImage(image_id, keys[image_id], boxes[image_id], picture, leader))
    return scenes, left_out


def _accepted_boxes(audit: Audit) -> tuple[list[Any], dict[int, Any]]:
    """Return a row for every image with accepted masks, and their boxes by image, XYWH.

    The masks are those of the dataset as people left it: redrawn ones as they are now, added ones
    too.
    """
    columns = set(audit.query("select * from masks limit 0").columns)
    crowds = "and coalesce(crowd_region, 0) = 0" if "crowd_region" in columns else ""
    changed = "(select mask_id from people where change = 'redrawn')"
    others = f"and mask_id not in {changed}" if audit.has_people() else ""
    masks = audit.query(
        f"select image_id, {', '.join(_BOX)} from masks "
        f"where action = 'accept' and area_px > 0 {crowds} {others}"
    )
    masks = pd.concat([masks, _boxes_by_people(audit)], ignore_index=True)
    masks = masks.sort_values(["image_id", *_BOX], kind="stable", ignore_index=True)
    columns = set(audit.query("select * from images limit 0").columns)
    leader = "near_duplicate_of" if "near_duplicate_of" in columns else "null"
    images = audit.query(
        f"select image_id, file_name, height, width, {leader} as leader from images "
        "order by image_id"
    )
    values = masks.iloc[:, 1:].to_numpy(np.float64)
    by_image = {int(str(k)): values[v] for k, v in masks.groupby("image_id").indices.items()}
    rows: list[Any] = [*images.itertuples(index=False)]
    rows = [row for row in rows if int(row.image_id) in by_image]
    return rows, by_image


def _boxes_by_people(audit: Audit) -> pd.DataFrame:
    """Return ``image_id`` and the box of each mask that people redrew or added."""
    columns = ["image_id", "height", "width", "segmentation"]
    drawn = [read_added_masks(audit)[columns]]
    if audit.has_people():
        redrawn = audit.query(
            "select m.image_id, m.height, m.width, p.segmentation from people p "
            "join masks m on p.mask_id = m.mask_id where p.change = 'redrawn'"
        )
        drawn.append(redrawn[columns])
    frame = pd.concat([one for one in drawn if len(one)] or drawn[:1], ignore_index=True)
    sizes = (frame[side].to_numpy(np.int64) for side in ("height", "width"))
    boxes = bbox(decode_counts([bytes(one) for one in frame["segmentation"]], *sizes)[0])
    return pd.DataFrame(boxes, columns=list(_BOX)).assign(
        image_id=frame["image_id"].to_numpy(np.int64)
    )


def _size(row: Any) -> tuple[int, int] | None:
    size = int(row.height), int(row.width)
    return size if min(size) >= 1 else None


@dataclass(frozen=True)
class _LazyImage:
    """Reads one picture's pixels on each call."""

    folder: ImageFolder
    file_name: str
    size: tuple[int, int] | None

    def __call__(self) -> Any:
        picture = self.folder.load(self.file_name, self.size)
        if picture is None:
            where = str(self.folder.path / self.file_name)
            raise SourceError("the picture is gone or changed since training began", where)
        return picture


def split_folds(
    scenes: Sequence[DetectorImage], settings: TrainingSettings
) -> Iterator[tuple[list[DetectorImage], list[DetectorImage]]]:
    """Yield training images and held-out images of each detector."""
    from curate.networks.detectors.training_images import split, split_into_folds

    if settings.folds == 1:
        yield split(scenes, held_out=settings.held_out, seed=settings.seed)
        return
    dealt = split_into_folds(scenes, settings.folds, seed=settings.seed)
    for k, own in enumerate(dealt):
        yield [scene for j, other in enumerate(dealt) if j != k for scene in other], own
