"""Masks that people decided on, as a verifier is tuned and tried on them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from PIL import Image

from curate.common.arrays import IntArray
from curate.common.progress import Progress
from curate.images import ImageFolder
from curate.networks.encoders.grid_encoders import PictureGrids
from curate.networks.runtime.picture_keys import hash_pixels
from curate.networks.training.accepted_masks import LazyPicture, size_of
from curate.networks.verifiers.crops import CropJitter, MaskCrops, make_crops
from curate.networks.verifiers.mask_frames import ImageCover, MaskFrame
from curate.people.learning.reviewed_masks import HELD_OUT_KIND
from curate.people.reviews import open_reviews
from curate.people.reviews.review_settings import DecisionSettings
from curate.rle import area, decode_counts
from curate.store.audit import StoredAudit

MOST_DECIDED = 4000
"""Masks that are tuned and tried on, at most."""


@dataclass(frozen=True)
class DecidedMask:
    """A mask as people saw it, and what they said of it.

    Attributes:
        picture: Of its image, RGB.
        key: Of the picture's pixels.
        frame: The mask with its surroundings.
        category: Name of its category, None where it has none.
        bad: Whether it was rejected, or fixed by more than the audit's ``good_iou`` allows.
        iou: With the mask that people left: 1 where they accepted it, NaN where there is none.
        grids: Features of an image encoder; None without one.
    """

    picture: Image.Image
    key: str
    frame: MaskFrame
    category: str | None
    bad: bool
    iou: float
    grids: PictureGrids | None = None

    def crops(self, jitter: CropJitter | None = None) -> MaskCrops:
        """Return the inputs of a verifier; see
        :func:`curate.networks.verifiers.crops.make_crops`."""
        grid = None if self.grids is None else self.grids.of(np.asarray(self.picture))
        return make_crops(self.picture, self.frame, jitter, grid)


@dataclass(frozen=True)
class SettledDecisions:
    """What people said of an audit's masks, before any picture is read.

    Attributes:
        audit: The audit.
        folder: Its pictures.
        labels: A row a mask, index ``mask_id``; ``good`` and ``iou``.
    """

    audit: StoredAudit
    folder: ImageFolder
    labels: pd.DataFrame

    def fingerprint(self) -> str:
        """Return a hash of the decisions."""
        digest = hashlib.blake2b(digest_size=16)
        labels = self.labels
        for values in (labels.index.to_numpy(), labels["good"].to_numpy(), labels["iou"]):
            digest.update(np.ascontiguousarray(np.asarray(values, np.float64)).tobytes())
        return digest.hexdigest()

    def cut_out(self, progress: Progress | None = None) -> list[DecidedMask]:
        """Return the masks of pictures that open, in order of their images.

        Args:
            progress: Called with progress.
        """
        if not len(self.labels):
            return []
        return _cut_out(self.audit, self.folder, self.labels, progress)


def read_decisions(audit: StoredAudit, folder: ImageFolder, seed: int) -> SettledDecisions | None:
    """Read what people decided on an audit's masks.

    Masks on which as many people say good as bad are left out, and so are decisions for an
    estimate.

    Args:
        audit: The audit.
        folder: Its pictures.
        seed: Of which are taken where there are more than :data:`MOST_DECIDED`.

    Returns:
        None where nobody has decided on anything.
    """
    if not audit.has_people():
        return None
    settings = DecisionSettings.of(audit.info)
    labels = open_reviews(audit).resolve_labels(settings.rule, settings.good_iou)
    labels = labels[labels["settled"] & (labels["queue_kind"] != HELD_OUT_KIND)].sort_index()
    if len(labels) > MOST_DECIDED:
        chosen = np.random.default_rng([seed, len(labels)]).permutation(len(labels))
        labels = labels.iloc[np.sort(chosen[:MOST_DECIDED])]
    return SettledDecisions(audit, folder, labels)


def _cut_out(
    audit: StoredAudit, folder: ImageFolder, labels: pd.DataFrame, progress: Progress | None
) -> list[DecidedMask]:
    """Return the decided masks of pictures that open, in order of their images."""
    images = audit.query(
        "select image_id, file_name, height, width from images where image_id in "
        "(select image_id from masks where mask_id in (select unnest(?))) order by image_id",
        [labels.index.tolist()],
    )
    found: list[DecidedMask] = []
    for done, row in enumerate(images.itertuples(index=False), 1):
        picture = LazyPicture(folder, str(row.file_name), size_of(row.height, row.width))
        pixels = picture.load()
        if pixels is not None:
            masks = audit.query(
                "select mask_id, height, width, segmentation, category from masks "
                "where image_id = ? order by mask_id",
                [int(str(row.image_id))],
            )
            found += _of_image(masks, labels, Image.fromarray(pixels), hash_pixels(pixels))
        if progress:
            progress("reading decided masks", done, len(images), 0)
    return found


def _of_image(
    masks: pd.DataFrame, labels: pd.DataFrame, picture: Image.Image, key: str
) -> list[DecidedMask]:
    heights, widths = (masks[side].to_numpy(np.int64) for side in ("height", "width"))
    fits = (heights == picture.height) & (widths == picture.width)
    masks, heights, widths = masks[fits], heights[fits], widths[fits]
    if not len(masks):
        return []
    runs = decode_counts([bytes(one) for one in masks["segmentation"]], heights, widths)[0]
    cover, seen = ImageCover.of(runs), area(runs) > 0
    found = []
    for k, (mask_id, category) in enumerate(
        zip(masks["mask_id"].tolist(), masks["category"].tolist(), strict=True)
    ):
        if mask_id in labels.index and seen[k]:
            said = labels.loc[mask_id]
            named = category if isinstance(category, str) else None
            mask = DecidedMask(
                picture, key, cover.cut(k), named, not bool(said["good"]), float(said["iou"])
            )
            found.append(mask)
    return found


def deal_decided(
    masks: Sequence[DecidedMask], own: Sequence[frozenset[str]]
) -> tuple[IntArray, tuple[frozenset[str], ...]]:
    """Return the fold of each decided mask, and the folds' keys with those of new pictures.

    A picture that no network was trained on (all of its masks were rejected) gets a fold by its
    key, so that it, too, is judged by a network that was not tuned on it.

    Args:
        masks: The decided masks.
        own: For each network the keys of the pictures that only this one was not trained on.
    """
    keys = [set(one) for one in own]
    fold_of = {key: k for k, some in enumerate(own) for key in some}
    for key in sorted({one.key for one in masks} - set(fold_of)):
        fold_of[key] = int(hashlib.blake2b(key.encode(), digest_size=4).hexdigest(), 16) % len(own)
        keys[fold_of[key]].add(key)
    folds = np.array([fold_of[one.key] for one in masks], np.int64)
    return folds, tuple(frozenset(some) for some in keys)
