"""Whole images: all their masks at once, and those that hold none but may lack some."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import numpy as np
import pandas as pd

from curate.images import Box
from curate.people.reviews import Reviews
from curate.people.webapp.cards import Cards
from curate.people.webapp.mask_files import ImageMasks
from curate.people.webapp.picture_cache import VIEWS, PictureRequest, Views
from curate.people.webapp.request_parsing import MOST_CARDS, Refused
from curate.people.webapp.shown_queue import Queue
from curate.render.formatting import shown
from curate.render.outline_path import path_of
from curate.store.rows_by_id import rows_of

WHOLE_PX = 2048
"""Longest side at which a whole image is drawn."""


class WholeImages:
    """The images of a queue as people go through them.

    Args:
        queue: The queue.
        cards: Names what addresses show.
        views: Their pictures.
        reviews: Who has gone through which.
    """

    def __init__(self, queue: Queue, cards: Cards, views: Views, reviews: Reviews) -> None:
        self.queue, self.cards, self.views, self.reviews = queue, cards, views, reviews

    def image(self, image_id: int) -> dict[str, Any]:
        """Return an image with the outlines of its masks."""
        if image_id in self.queue.bare_images:
            return self._bare(image_id)
        found = self.queue.files.of_image(image_id)
        if found is None:
            raise Refused(404, "no mask stands on such an image")
        told = whole_image(found)
        seen = self.cards.seen(Box(0, 0, told["width"], told["height"]))
        address = f"/api/picture/{told['picture_of']}?v={seen}&view=whole"
        return told | {"picture": address if self.views else None}

    def bare(self) -> list[dict[str, Any]]:
        """Return drawn images without masks that nobody went through yet; they come last."""
        return [self._bare(image) for image in bare_left(self.queue, self.reviews)[:MOST_CARDS]]

    def scene(self, image_id: int) -> Future[bytes | None]:
        """Return the picture of a drawn image that holds no mask."""
        if image_id not in self.queue.bare_images or not self.views:
            raise Refused(404, "there is no such picture")
        row = self._row(image_id)
        size = int(row["height"]), int(row["width"])
        return self.views.ask(PictureRequest(str(row["file_name"]), size, None, VIEWS["whole"]))

    def _bare(self, image_id: int) -> dict[str, Any]:
        row = self._row(image_id)
        return {
            "image_id": str(image_id),
            "file_name": shown(row["file_name"], 300),
            "height": int(row["height"]),
            "width": int(row["width"]),
            "picture": f"/api/scene/{image_id}" if self.views else None,
            "picture_of": None,
            "masks": [],
        }

    def _row(self, image_id: int) -> pd.Series[Any]:
        columns = ("file_name", "height", "width")
        ids = np.array([image_id], np.int64)
        found = rows_of(self.reviews.audit, "images", "image_id", ids, columns)
        if not len(found):
            raise Refused(404, "there is no such image")
        return found.iloc[0]


def bare_left(queue: Queue, reviews: Reviews) -> list[int]:
    """Return a queue's images without masks that nobody went through yet."""
    if not queue.bare_images:
        return []
    looked = reviews.looked()
    seen = set(looked.loc[looked["draw_id"] == queue.draw_id, "image_id"].tolist())
    return [image for image in queue.bare_images if image not in seen]


def whole_image(part: ImageMasks) -> dict[str, Any]:
    """Return an image with the outlines of all its masks."""
    values = part.row(0)
    height, width = int(values["height"] or 0), int(values["width"] or 0)
    box = Box(0, 0, max(1, width), max(1, height))
    runs = part.runs(range(len(part)))
    some = part.table.select(["mask_id", "category"]).to_pylist()
    same = (runs.heights == height) & (runs.widths == width)
    return {
        "image_id": str(int(values["image_id"])),
        "file_name": shown(values.get("file_name"), 300),
        "height": height,
        "width": width,
        "picture_of": str(int(values["mask_id"])),
        "masks": [
            {
                "mask_id": str(one["mask_id"]),
                "category": one["category"],
                "path": path_of(runs, k, box, WHOLE_PX) if same[k] else "",
            }
            for k, one in enumerate(some)
        ],
    }
