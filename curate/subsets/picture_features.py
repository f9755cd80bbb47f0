"""Features by which pictures differ, for :mod:`curate.subsets.selection`.

The best that is at hand, for all masks alike:

1. *embeddings*: where the audit used a segmenter, and all its embeddings are still in the cache,
   the mean of each mask's box in the encoder's grid, projected at random onto 32 numbers (distances
   stay, Johnson and Lindenstrauss, 1984);
2. *thumbnails*: where the pictures are there, and no more than 20,000: mean colours on a grid of
   6 x 6, the same for all masks of a picture;
3. *hashes*: where the audit looked at pictures: the 64 bits of ``picture_hash``;
4. nothing: then masks differ by category, size and shape alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from curate.common.arrays import ByteArray, FloatArray, IntArray
from curate.errors import CurateError
from curate.images import ImageFolder
from curate.images.image_folder import names_and_sizes
from curate.networks.loading import load_segmenter
from curate.networks.segmenters.embedding_cache import EmbeddingCache
from curate.networks.segmenters.segmenter import Embedding, Segmenter
from curate.scorers.embedding import grid_of
from curate.scorers.reprompt import Prompter
from curate.store.audit_sql import column_types
from curate.store.known_pictures import open_pictures

if TYPE_CHECKING:
    from curate.store.audit import StoredAudit

MAX_PICTURES = 20_000
"""Pictures that are decoded at most; at ten milliseconds each that takes minutes."""

_HASH = "picture_hash"
_GRID = 6
_LONGEST = 64
_PROJECTED = 32


class Looks(NamedTuple):
    """Features of pictures.

    Attributes:
        features: A row a mask, shape (n, d), NaN where there is no picture; None for none at all.
        described_by: "embeddings", "thumbnails", "hashes" or "" where there is nothing.
    """

    features: FloatArray | None
    described_by: str


def describe_pictures(audit: StoredAudit, masks: pd.DataFrame) -> Looks:
    """Return the features of each mask's picture.

    Args:
        audit: The audit; its pictures are taken where they were when it was made.
        masks: A row a mask; ``image_id``, ``bbox_x``, ``bbox_y``, ``bbox_w``, ``bbox_h``.
    """
    names = ["image_id", "file_name", "height", "width"]
    has_hash = _HASH in column_types(audit, "images")
    names += [_HASH] if has_hash else []
    images = audit.query(f"select {', '.join(names)} from images order by image_id")
    images = images.drop_duplicates("image_id").set_index("image_id")
    given = audit.info.inputs.get("images")
    place = images.index.get_indexer(pd.Index(masks["image_id"])).astype(np.int64)
    if given is not None and Path(given).is_dir() and len(images) <= MAX_PICTURES:
        folder = open_pictures(audit, Path(given))
        embedded = _find_embeddings(audit, folder, images, masks)
        if embedded is not None:
            return Looks(embedded, "embeddings")
        small = read_thumbnails(folder, images)
        if np.isfinite(small).any():
            return Looks(_spread(small, place), "thumbnails")
    if has_hash and images[_HASH].notna().any():
        return Looks(_spread(_unpack_hashes(images[_HASH]), place), "hashes")
    return Looks(None, "")


def _spread(by_image: FloatArray, place: IntArray) -> FloatArray:
    """Give each mask the features of its image, NaN where that is not listed."""
    return np.where((place >= 0)[:, None], by_image[place], np.nan)


def read_thumbnails(folder: ImageFolder, images: pd.DataFrame) -> FloatArray:
    """Return mean colours on a grid, NaN where there is no picture.

    Args:
        folder: The pictures.
        images: A row an image; ``file_name``, ``height``, ``width``.

    Returns:
        Shape (images, 108), in [0, 1]: 6 x 6 cells, three colours each.
    """
    found = np.full((len(images), _GRID * _GRID * 3), np.nan)
    for row, (name, size) in enumerate(names_and_sizes(images)):
        picture = folder.load(name, size if min(size) > 0 else None, longest=_LONGEST)
        if picture is not None:
            small = Image.fromarray(picture).resize((_GRID, _GRID), Image.Resampling.BOX)
            found[row] = np.asarray(small, np.float64).ravel() / 255
    return found


def _unpack_hashes(hashes: pd.Series[int]) -> FloatArray:
    """Return the bits of hashes, shape (n, 64), NaN where there is none."""
    known = hashes.notna().to_numpy(np.bool_)
    values = hashes.fillna(0).to_numpy(np.int64)
    bits = np.unpackbits(values.view(np.uint8).reshape(-1, 8), axis=1).astype(np.float64)
    return np.where(known[:, None], bits, np.nan)


def _find_embeddings(
    audit: StoredAudit, folder: ImageFolder, images: pd.DataFrame, masks: pd.DataFrame
) -> FloatArray | None:
    """Return the mean embedding in each mask's box; None unless the cache has all."""
    model = audit.info.models.get("segmenter")
    if model is None:
        return None
    try:
        segmenter = load_segmenter(model["name"], device="cpu")
    except CurateError:  # moved, or the extra is not installed: thumbnails do, too
        return None
    boxes = masks[["bbox_x", "bbox_y", "bbox_w", "bbox_h"]].to_numpy(np.float64)
    rows_of = masks.reset_index().groupby("image_id").indices
    prompter, found = Prompter(segmenter), np.full((len(masks), _PROJECTED), np.nan)
    described = dict(zip(images.index.tolist(), names_and_sizes(images), strict=True))
    for image, rows in rows_of.items():
        name, size = described.get(image, (None, (0, 0)))
        picture = folder.load(name, size if min(size) > 0 else None)
        if picture is None:
            continue
        seen = _cached(segmenter, picture)
        grid = None if seen is None else grid_of(prompter, seen)
        if seen is None or grid is None:
            return None
        found[rows] = project_features(pool_features(grid, seen, boxes[rows]))
    return found if np.isfinite(found).any() else None


def _cached(segmenter: Segmenter, picture: ByteArray) -> Embedding | None:
    try:
        return EmbeddingCache().find(segmenter, picture)
    except CurateError:
        return None


def pool_features(grid: FloatArray, seen: Embedding, boxes: FloatArray) -> FloatArray:
    """Return the mean features in each box.

    Args:
        grid: An encoder's features, shape (channels, h, h), over its whole square input.
        seen: What they are of.
        boxes: Shape (n, 4), XYWH in pixels of the image.

    Returns:
        Shape (n, channels).
    """
    cells, frame = grid.shape[1], seen.frame
    scale_x = frame.resized_width / frame.width * cells / frame.side
    scale_y = frame.resized_height / frame.height * cells / frame.side
    pooled = np.empty((len(boxes), len(grid)))
    for k, (x, y, w, h) in enumerate(boxes.tolist()):
        left, top = (min(int(v), cells - 1) for v in (x * scale_x, y * scale_y))
        right = min(max(int(np.ceil((x + w) * scale_x)), left + 1), cells)
        bottom = min(max(int(np.ceil((y + h) * scale_y)), top + 1), cells)
        pooled[k] = grid[:, top:bottom, left:right].mean(axis=(1, 2))
    return pooled


def project_features(features: FloatArray) -> FloatArray:
    """Project features at random onto 32 numbers, the same way each time.

    Distances stay about what they are (Johnson and Lindenstrauss, 1984).

    Args:
        features: Shape (n, channels).

    Returns:
        Shape (n, 32).
    """
    random = np.random.default_rng(0)
    onto = random.normal(size=(features.shape[1], _PROJECTED)) / np.sqrt(_PROJECTED)
    return np.asarray(features @ onto, np.float64)
