"""Whole images on the review page: all masks at once, and images without masks."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import numpy as np
import pandas as pd

from curate.images import Box
from curate.people.reviews import Reviews
from curate.people.webapp.cards import Cards
from curate.people.webapp.mask_files import ImageMasks
from curate.people.webapp.picture_cache import VIEWS, ViewCache, ViewRequest
from curate.people.webapp.request_parsing import MAX_CARDS, RequestError
from curate.people.webapp.shown_queue import ShownQueue
from curate.render.formatting import display_text
from curate.render.outline_path import path_of
from curate.store.rows_by_id import rows_of

IMAGE_PX = 2048
"""Longest side at which a whole image is drawn."""


class ImageCards:
    """The images of a queue, for review as a whole.

    Args:
        queue: The queue.
        cards: Makes the tags of windows.
        views: Their pictures.
        reviews: Which images were reviewed by whom.
    """

    def __init__(self, queue: ShownQueue, cards: Cards, views: ViewCache, reviews: Reviews) -> None:
        self.queue, self.cards, self.views, self.reviews = queue, cards, views, reviews

    def image(self, image_id: int) -> dict[str, Any]:
        """Return an image with the outlines of its masks."""
        if image_id in self.queue.bare_images:
            return self._bare(image_id)
        found = self.queue.files.of_image(image_id)
        if found is None:
            raise RequestError(404, "no mask stands on such an image")
        card = make_image_card(found)
        seen = self.cards.window_tag(Box(0, 0, card["width"], card["height"]))
        address = f"/api/picture/{card['picture_of']}?v={seen}&view=whole"
        return card | {"picture": address if self.views else None}

    def bare(self) -> list[dict[str, Any]]:
        """Return drawn images without masks that nobody has reviewed yet; they come last."""
        return [
            self._bare(image) for image in list_bare_images(self.queue, self.reviews)[:MAX_CARDS]
        ]

    def scene(self, image_id: int) -> Future[bytes | None]:
        """Return the picture of a drawn image that holds no mask."""
        if image_id not in self.queue.bare_images or not self.views:
            raise RequestError(404, "there is no such picture")
        row = self._row(image_id)
        size = int(row["height"]), int(row["width"])
        return self.views.ask(ViewRequest(str(row["file_name"]), size, None, VIEWS["whole"]))

    def _bare(self, image_id: int) -> dict[str, Any]:
        row = self._row(image_id)
        return {
            "image_id": str(image_id),
            "file_name": display_text(row["file_name"], 300),
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
            raise RequestError(404, "there is no such image")
        return found.iloc[0]


def list_bare_images(queue: ShownQueue, reviews: Reviews) -> list[int]:
    """Return a queue's images without masks that nobody has reviewed yet."""
    if not queue.bare_images:
        return []
    reviewed_images = reviews.reviewed_images()
    seen = set(
        reviewed_images.loc[reviewed_images["draw_id"] == queue.draw_id, "image_id"].tolist()
    )
    return [image for image in queue.bare_images if image not in seen]


def make_image_card(part: ImageMasks) -> dict[str, Any]:
    """Return an image with the outlines of all its masks."""
    values = part.row(0)
    height, width = int(values["height"] or 0), int(values["width"] or 0)
    box = Box(0, 0, max(1, width), max(1, height))
    runs = part.runs(range(len(part)))
    some = part.table.select(["mask_id", "category"]).to_pylist()
    same = (runs.heights == height) & (runs.widths == width)
    return {
        "image_id": str(int(values["image_id"])),
        "file_name": display_text(values.get("file_name"), 300),
        "height": height,
        "width": width,
        "picture_of": str(int(values["mask_id"])),
        "masks": [
            {
                "mask_id": str(one["mask_id"]),
                "category": one["category"],
                "path": path_of(runs, k, box, IMAGE_PX) if same[k] else "",
            }
            for k, one in enumerate(some)
        ],
    }
