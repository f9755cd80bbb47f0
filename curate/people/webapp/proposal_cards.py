"""Cards of proposed missing masks: the window on the image, the outline, and who saw it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from curate.images import Box, window
from curate.people.queues.missing_proposals import NEAR_A_MASK, draw_proposal, read_pixels
from curate.people.webapp.answers import ImageCard, LeasedCard, WholeMask
from curate.people.webapp.cards import (
    CARD_PX,
    LEAST_WINDOW_PX,
    MAX_NEIGHBOURS,
    make_image_card,
    tag_window,
)
from curate.people.webapp.mask_files import MaskFiles
from curate.people.webapp.picture_cache import VIEWS, ViewCache, ViewRequest
from curate.people.webapp.proposal_queue import Proposal, ProposalQueue
from curate.people.webapp.request_parsing import RequestError
from curate.render.formatting import display_text, score
from curate.render.outline_path import path_of
from curate.rle import Runs, bbox, encode_counts, measure
from curate.store.audit import StoredAudit
from curate.store.rows_by_id import rows_of

_CACHED_IMAGES = 64


class ProposalCards:
    """Makes cards of proposals, and of their images.

    Args:
        audit: The audit.
        queue: The proposals.
        files: The masks that there are.
        views: The pictures.
        names: The dataset's categories; a proposal of another one has none until a person says.
        version: Names the audit and the folder of pictures; part of the URLs of pictures.
    """

    def __init__(
        self,
        audit: StoredAudit,
        queue: ProposalQueue,
        files: MaskFiles,
        views: ViewCache,
        names: Sequence[str],
        version: str,
    ) -> None:
        self.audit, self.queue, self.files, self.views = audit, queue, files, views
        self.names, self.version = frozenset(names), version
        self._drawn = lru_cache(_CACHED_IMAGES)(lambda image_id: read_pixels(audit, image_id))

    def category(self, row: int) -> str | None:
        """Return the category that a proposal is added with; None where a person must say, or the
        dataset has none."""
        said = self.queue.row(row).category
        return said if said in self.names else None

    def pixels(self, row: int) -> tuple[Runs, str]:
        """Return the proposed mask, and what it is: a "mask", or the detector's "box"."""
        values = self.queue.row(row)
        counts = self._drawn(values.image_id).get(values.proposal_id)
        return draw_proposal(counts, values.box, values.height, values.width)

    def card(self, row: int, lease_s: int) -> LeasedCard:
        """Return the card of a row."""
        values = self.queue.row(row)
        box, proposal_id = self._window(values), values.proposal_id
        runs, what = self.pixels(row)
        x, y, w, h = values.box
        url = f"/api/picture/{proposal_id}?v={tag_window(self.version, box)}&view=card"
        return {
            "item": f"{proposal_id}.0",
            "mask_id": str(proposal_id),
            "slot": 0,
            "place": row + 1,
            "image_id": str(values.image_id),
            "file_name": display_text(values.file_name, 300),
            "height": values.height,
            "width": values.width,
            "category": self.category(row),
            "window": {"x": box.x, "y": box.y, "w": box.w, "h": box.h},
            "area_px": int(measure(runs)[0][0]),
            "bbox": [int(side) for side in bbox(runs)[0].tolist()],
            "picture": url if self.views else None,
            "path": path_of(runs, 0, box, CARD_PX),
            "twin": None,
            "others": self._others(values.image_id, box),
            "marks": {"point": None, "declared": [x - box.x, y - box.y, w, h]},
            "reasons": [{"id": "", "words": _describe(values, self.names)}],
            "scores": [],
            "quality": None,
            "whole_image": None,
            "suggested": None,
            "detected": None,
            "lease_s": lease_s,
            "unsettled": None,
            "proposed": what,
        }

    def view(self, row: int, name: str) -> tuple[ViewRequest, str]:
        """Return the render request of a proposal's view, and the tag of its window."""
        values = self.queue.row(row)
        box = self._window(values)
        size = values.height, values.width
        shown = None if name == "whole" else box
        view = ViewRequest(values.file_name, size, shown, VIEWS[name])
        return view, tag_window(self.version, box)

    def mask(self, row: int) -> WholeMask:
        """Return the pixels of a proposed mask."""
        values = self.queue.row(row)
        box = self._window(values)
        return {
            "height": values.height,
            "width": values.width,
            "counts": self.counts(row),
            "window": {"x": box.x, "y": box.y, "w": box.w, "h": box.h},
        }

    def counts(self, row: int) -> str:
        """Return a proposed mask as compressed counts."""
        return bytes(encode_counts(self.pixels(row)[0]).to_pylist()[0] or b"").decode("ascii")

    def image(self, image_id: int) -> ImageCard:
        """Return an image with the outlines of its masks; there may be none."""
        about = self.find_scene(image_id)
        found = self.files.of_image(image_id)
        return {
            "image_id": str(image_id),
            "file_name": display_text(about.file_name, 300),
            "height": about.size[0],
            "width": about.size[1],
            "picture": f"/api/scene/{image_id}" if self.views else None,
            "picture_of": None,
            "masks": [] if found is None else make_image_card(found)["masks"],
        }

    def find_scene(self, image_id: int) -> ViewRequest:
        """Return the whole picture of an image."""
        columns = ("file_name", "height", "width")
        ids = np.array([image_id], np.int64)
        found = rows_of(self.audit, "images", "image_id", ids, columns)
        if not len(found):
            raise RequestError(404, "there is no such image")
        row = found.iloc[0]
        size = int(row["height"]), int(row["width"])
        return ViewRequest(str(row["file_name"]), size, None, VIEWS["whole"])

    def _window(self, values: Proposal) -> Box:
        width, height = values.width, values.height
        return window((width, height), [values.box], least=LEAST_WINDOW_PX) or Box(
            0, 0, max(1, width), max(1, height)
        )

    def _others(self, image_id: int, box: Box) -> str:
        """Return the outlines of the masks that overlap a window, as one path."""
        part = self.files.of_image(image_id)
        if part is None:
            return ""
        x, y, w, h = part.boxes.T
        hit = (x < box.x + box.w) & (x + w > box.x) & (y < box.y + box.h) & (y + h > box.y)
        rows = np.flatnonzero(hit & (w > 0))[:MAX_NEIGHBOURS]
        runs = part.runs(rows)
        return "".join(path_of(runs, k, box, CARD_PX // 2) for k in range(len(rows)))


def _describe(values: Proposal, names: frozenset[str]) -> str:
    """Say what was seen, and that no mask is there."""
    said, best = values.category, values.best_iou
    what = f"“{display_text(said, 100)}”" if said else "an object"
    seen = {
        "verifier": "a verifier sees an object here",  # it knows no categories
        "both": f"a detector sees {what} here, and a verifier an object",
    }.get(values.seen_by, f"a detector sees {what} here")
    of_detector = said and values.seen_by != "verifier"
    other = ", a name that no mask has" if of_detector and names and said not in names else ""
    match = f" (best match {score(best)})" if math.isfinite(best) and best > 0 else ""
    if math.isfinite(best) and best >= NEAR_A_MASK:
        found = f"it probably has a mask, with an inexact outline{match}"
    else:
        found = f"no mask matches it{match}"
    return f"{seen} (confidence {score(values.confidence)}){other}; {found}"
