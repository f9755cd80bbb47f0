"""Losses that what a format :class:`~curate.writing.exports.export.Holds` says already makes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from curate.writing.exports.export import UNNAMED, Export, Writer
from curate.writing.exports.losses import Loss, Losses, find_overlaps, without_losses
from curate.writing.final_dataset import FinalDataset, FinalImage, FinalMask


class Fitted(NamedTuple):
    """An image as it is meant, and as it is written.

    Attributes:
        image: As it is meant.
        losses: What is lost of it.
        written: What is written of it; None where it is left out.
    """

    image: FinalImage
    losses: list[Loss]
    written: FinalImage | None


def fit_images(dataset: FinalDataset, export: Export, writer: Writer) -> Iterator[Fitted]:
    """Yield every image with its losses."""
    for image in dataset.images():
        yield _fit(image, export, writer)


def find_losses(dataset: FinalDataset, export: Export, writer: Writer, lossy: bool) -> Losses:
    """Find and count all losses of a dataset; nothing is written."""
    found = Losses(agreed=lossy)
    for image, losses, written in fit_images(dataset, export, writer):
        found.count(image, losses, written)
    return found


def written_images(dataset: FinalDataset, export: Export, writer: Writer) -> Iterator[FinalImage]:
    """Yield the images that are written, without their losses."""
    for _, _, written in fit_images(dataset, export, writer):
        if written is not None:
            yield written


def _fit(image: FinalImage, export: Export, writer: Writer) -> Fitted:
    holds, found = export.holds, list[Loss]()
    steps: tuple[Callable[[FinalImage], Iterable[Loss]], ...] = (
        lambda one: _image_losses(one, export, writer),
        lambda one: (loss for mask in one.masks for loss in _mask_losses(mask, export)),
        lambda one: () if holds.overlaps else find_overlaps(one),
        writer.find_losses,
        lambda one: () if holds.no_masks or one.masks else (Loss("no mask", None, "", None),),
    )
    now: FinalImage | None = image
    for step in steps:
        if now is not None:
            losses = list(step(now))
            found += losses
            now = without_losses(now, losses)
    return Fitted(image, found, now)


def _image_losses(image: FinalImage, export: Export, writer: Writer) -> Iterator[Loss]:
    if not image.listed:
        yield from (Loss("unknown image", mask, "", None) for mask in image.masks)
        yield Loss("unlisted", None, "", None)
    elif min(image.size) < 1 and not export.holds.no_size:
        yield Loss("no size", None, "", None)
    elif image.picture is None and writer.options.puts_pictures:
        left: dict[str, object] | None = None if export.needs_pictures else {}
        yield Loss("no picture" if export.needs_pictures else "picture", None, "", left)


def _mask_losses(mask: FinalMask, export: Export) -> Iterator[Loss]:
    holds = export.holds
    if not mask.area:
        yield Loss("no pixels", mask, "", None)
        return
    if mask.iscrowd and holds.void:
        yield Loss("void mask" if mask.ignored else "void", mask, "", None)
        return
    if mask.ignored and not holds.crowds:
        yield Loss("ignored", mask, "", None)
        return
    if mask.label is None:
        if holds.categories and not holds.unnamed:
            yield Loss("no category", mask, "", {"category": UNNAMED})
    elif not holds.categories:
        fields = {"category": None, "category_id": None}
        yield Loss("category", mask, mask.label, fields)
    if mask.iscrowd and not holds.crowds:
        yield Loss("crowd", mask, "", {"iscrowd": 0})
    if mask.scores and not holds.scores:
        yield Loss("score", mask, "", {"scores": {}})
    if mask.attributes and not holds.attributes:
        yield Loss("attribute", mask, "", {"attributes": {}})
    if (mask.track_id, mask.group_id) != (None, None) and not holds.groups:
        yield Loss("group", mask, "", {"track_id": None, "group_id": None})
