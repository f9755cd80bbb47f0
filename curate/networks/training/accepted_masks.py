"""Accepted masks of an audit as people left them, and the pictures they lie on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pandas as pd

from curate.common.arrays import ByteArray
from curate.common.progress import Progress
from curate.errors import CallError, SourceError
from curate.images import ImageFolder
from curate.networks.training.reading_ahead import READER_THREADS
from curate.people.reviews.current_plan import read_added_masks
from curate.store.audit import StoredAudit
from curate.store.known_pictures import open_pictures

Result = TypeVar("Result")

_DRAWN = ["image_id", "height", "width", "segmentation"]


def read_accepted_masks(audit: StoredAudit, columns: Sequence[str]) -> pd.DataFrame:
    """Return columns of the masks that an audit accepts, without those that people redrew.

    Crowd regions and masks without pixels are left out.

    Args:
        audit: The audit.
        columns: Names of columns of its masks.
    """
    known = set(audit.query("select * from masks limit 0").columns)
    crowds = "and coalesce(crowd_region, 0) = 0" if "crowd_region" in known else ""
    changed = "(select mask_id from people where change = 'redrawn')"
    others = f"and mask_id not in {changed}" if audit.has_people() else ""
    return audit.query(
        f"select {', '.join(columns)} from masks "
        f"where action = 'accept' and area_px > 0 {crowds} {others}"
    )


def read_masks_by_people(audit: StoredAudit) -> pd.DataFrame:
    """Return ``image_id``, ``height``, ``width`` and ``segmentation`` (COCO counts) of each mask
    that people redrew or added."""
    drawn = [read_added_masks(audit)[_DRAWN]]
    if audit.has_people():
        redrawn = audit.query(
            "select m.image_id, m.height, m.width, p.segmentation from people p "
            "join masks m on p.mask_id = m.mask_id where p.change = 'redrawn'"
        )
        drawn.append(redrawn[_DRAWN])
    return pd.concat([one for one in drawn if len(one)] or drawn[:1], ignore_index=True)


def open_images(audit: StoredAudit, images: Path | None) -> ImageFolder:
    """Return the folder of the pictures: the given one, or the audit's.

    Raises:
        CallError: There is none.
    """
    known = images or audit.info.inputs.get("images")
    if known is None:
        raise CallError("the audit was given no pictures", str(audit.path), "give --images DIR")
    return open_pictures(audit, Path(known))


@dataclass(frozen=True)
class LazyPicture:
    """Reads one picture's pixels on each call.

    Attributes:
        folder: Where it lies.
        file_name: Its name in the dataset.
        size: Height and width that its masks have; None where they say none.
    """

    folder: ImageFolder
    file_name: str
    size: tuple[int, int] | None

    def load(self) -> ByteArray | None:
        """Return its pixels, shape (height, width, 3); None where it does not open."""
        return self.folder.load(self.file_name, self.size)

    def __call__(self) -> ByteArray:
        """Return its pixels, shape (height, width, 3).

        Raises:
            SourceError: It does not open any more.
        """
        picture = self.load()
        if picture is None:
            where = str(self.folder.path / self.file_name)
            raise SourceError("the picture is gone or changed since training began", where)
        return picture


def size_of(height: object, width: object) -> tuple[int, int] | None:
    """Return the size that a dataset declares of an image; None where it declares none."""
    size = int(str(height)), int(str(width))
    return size if min(size) >= 1 else None


def examine_pictures(
    pictures: Sequence[LazyPicture],
    examine: Callable[[ByteArray], Result],
    progress: Progress | None,
) -> list[Result | None]:
    """Return the result of a function for each picture; None for those that do not open.

    Args:
        pictures: They are read in several threads.
        examine: Gets the pixels.
        progress: Called with progress.
    """

    def read(picture: LazyPicture) -> Result | None:
        pixels = picture.load()
        return None if pixels is None else examine(pixels)

    found: list[Result | None] = []
    with ThreadPoolExecutor(READER_THREADS) as readers:
        for result in readers.map(read, pictures):
            found.append(result)
            if progress:
                progress("reading pictures", len(found), len(pictures), 0)
    return found
