"""What a detector learns from: an audit's accepted masks and their pictures, split by image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from curate.errors import CallError, SourceError
from curate.pictures import ImageFolder
from curate.progress import Progress
from curate.store import Audit
from curate.training.settings import TrainingSettings

if TYPE_CHECKING:
    from curate.models.detector_scenes import Scene

READERS = 4


def pictures_of(audit: Audit, images: Path | None) -> ImageFolder:
    """Return the folder of the pictures: the one given, or the one that the audit was given."""
    known = images or audit.info["inputs"].get("images")
    if known is None:
        raise CallError("the audit was given no pictures", str(audit.path), "give --images DIR")
    return ImageFolder(Path(known))


def accepted_scenes(
    audit: Audit, folder: ImageFolder, report: Progress | None
) -> tuple[list[Scene], list[int]]:
    """Return images with accepted masks, and the ids of those whose picture does not open."""
    from curate.models.detections import picture_key
    from curate.models.detector_scenes import Scene

    rows, boxes = _accepted(audit)

    def key_of(row: Any) -> str | None:
        picture = folder.load(row.file_name, _size(row))
        return None if picture is None else picture_key(picture)

    keys: dict[int, str] = {}
    left_out = []
    with ThreadPoolExecutor(READERS) as readers:
        for done, (row, key) in enumerate(zip(rows, readers.map(key_of, rows), strict=True), 1):
            if key is None:
                left_out.append(int(row.image_id))
            else:
                keys[int(row.image_id)] = key
            if report:
                report("reading pictures", done, len(rows), 0)
    scenes = []
    for row in rows:
        image_id = int(row.image_id)
        if image_id in keys:
            leader = keys.get(image_id if pd.isna(row.leader) else int(row.leader), keys[image_id])
            picture = _Picture(folder, row.file_name, _size(row))
            scenes.append(Scene(image_id, keys[image_id], boxes[image_id], picture, leader))
    return scenes, left_out


def _accepted(audit: Audit) -> tuple[list[Any], dict[int, Any]]:
    """Return a row for every image with accepted masks, and their boxes by image, XYWH."""
    columns = set(audit.query("select * from masks limit 0").columns)
    crowds = "and coalesce(iscrowd, 0) = 0" if "iscrowd" in columns else ""
    masks = audit.query(
        "select image_id, bbox_x, bbox_y, bbox_w, bbox_h from masks "
        f"where action = 'accept' and area_px > 0 {crowds} "
        "order by image_id, bbox_x, bbox_y, bbox_w, bbox_h"
    )
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


def _size(row: Any) -> tuple[int, int] | None:
    size = int(row.height), int(row.width)
    return size if min(size) >= 1 else None


@dataclass(frozen=True)
class _Picture:
    """Gives one picture's pixels whenever it is called."""

    folder: ImageFolder
    file_name: str
    size: tuple[int, int] | None

    def __call__(self) -> Any:
        picture = self.folder.load(self.file_name, self.size)
        if picture is None:
            where = str(self.folder.path / self.file_name)
            raise SourceError("the picture is gone or changed since training began", where)
        return picture


def sides_of(
    scenes: Sequence[Scene], settings: TrainingSettings
) -> Iterator[tuple[list[Scene], list[Scene]]]:
    """Yield what each detector learns from, and what it is tried on."""
    from curate.models.detector_scenes import deal, split

    if settings.folds == 1:
        yield split(scenes, held_out=settings.held_out, seed=settings.seed)
        return
    dealt = deal(scenes, settings.folds, seed=settings.seed)
    for k, own in enumerate(dealt):
        yield [scene for j, other in enumerate(dealt) if j != k for scene in other], own
