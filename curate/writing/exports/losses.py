"""Losses of an export: what a format cannot carry, found before anything is written, and counted.

A loss is of one mask or one image, and says what is stored instead, so that the written dataset can
be compared to the pixel with what was meant less the losses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from types import MappingProxyType
from typing import Any

import numpy as np

from curate import rle
from curate.dataset.notes import count_noun
from curate.errors import CallError
from curate.writing.final_dataset import FinalImage, FinalMask

_EXAMPLES = 3


@dataclass(frozen=True)
class LossKind:
    """A kind of loss.

    Attributes:
        text: What is lost, before the number of masks or images: "categories lost".
        refused: Whether a write with such losses needs ``--lossy``: pixels, categories, masks or
            images are lost. Others are only said.
        of_images: Whether it is counted in images.
    """

    text: str
    refused: bool = True
    of_images: bool = False


KINDS: Mapping[str, LossKind] = MappingProxyType(
    {
        "overlap": LossKind("pixels lost to overlapping masks (a pixel has one mask only)"),
        "polygon": LossKind("pixels changed, since no polygon of the format has exactly them"),
        "pixels": LossKind("pixels changed"),
        "category": LossKind("categories lost (the format has no place for them)"),
        "void": LossKind("crowd regions that become void pixels (the format has no crowd flag)"),
        "ignored": LossKind("masks left out, no ignore regions (the format has none)"),
        "crowd": LossKind("crowd regions that become objects (the format has no crowd flag)"),
        "too many": LossKind("masks left out (more in one image than the format can number)"),
        "mask": LossKind("masks left out (the format cannot hold them)"),
        "unknown image": LossKind("masks left out (the dataset does not list their image)"),
        "image": LossKind("images left out (the format cannot name them)", of_images=True),
        "no mask": LossKind(
            "images left out (the format names none without masks)", of_images=True
        ),
        "no size": LossKind("images left out (their size is not known)", of_images=True),
        "no picture": LossKind("images left out (their picture was not found)", of_images=True),
        "unlisted": LossKind("images that the dataset does not list", False, True),
        "picture": LossKind("images without a picture to copy", False, True),
        "void mask": LossKind("masks that become void pixels, which training leaves out", False),
        "no pixels": LossKind("masks left out, since they have no pixels", False),
        "no category": LossKind('masks without a category get the category "object"', False),
        "class name": LossKind("masks whose category's name is spelled otherwise", False),
        "image name": LossKind("images that get another name", False, True),
        "score": LossKind("scores lost", False),
        "mask id": LossKind("masks that get another id", False),
        "attribute": LossKind("attributes lost", False),
        "group": LossKind("numbers of groups or tracks lost", False),
    }
)
"""Every kind of loss by name."""

VOIDS = ("void", "void mask")
"""Kinds of masks that are left out, but whose pixels are void where no other mask has them."""


@dataclass(frozen=True, slots=True)
class Loss:
    """What a format cannot carry of a mask or an image.

    Attributes:
        kind: A name of :data:`KINDS`.
        mask: The mask, as it is in its image; None where the loss is of the image itself.
        detail: What exactly, as a clause: "34 of its 120 pixels are those of mask 7".
        stored: Fields of the mask (or image) that are written instead, by name; None where it is
            left out. A mask's new pixels come by :meth:`FinalImage.with_pixels` and
            :func:`pixel_fields`.
    """

    kind: str
    mask: FinalMask | None
    detail: str
    stored: Mapping[str, Any] | None


def pixel_fields(mask: FinalMask) -> dict[str, object]:
    """Return the fields of a mask that depend on its pixels, for :attr:`Loss.stored`."""
    return {"counts": mask.counts, "area": mask.area, "box": mask.box}


def without_losses(image: FinalImage, losses: Sequence[Loss]) -> FinalImage | None:
    """Return an image as it is written: with the losses made; None where it is left out.

    Several losses of one mask are made in order.
    """
    if not losses:
        return image
    masks: dict[int, FinalMask | None] = {mask.mask_id: mask for mask in image.masks}
    for loss in losses:
        if loss.mask is None:
            if loss.stored is None:
                return None
            image = replace(image, **loss.stored)
            continue
        now = masks[loss.mask.mask_id]
        if now is not None:
            gone = loss.stored is None
            if loss.kind in VOIDS:
                image = replace(image, void=(*image.void, now))
            masks[loss.mask.mask_id] = None if gone else replace(now, **(loss.stored or {}))
    return replace(image, masks=tuple(mask for mask in masks.values() if mask is not None))


def find_overlaps(image: FinalImage) -> Iterator[Loss]:
    """Find the pixels that masks lose where a pixel has one mask only.

    A pixel goes to the smallest mask that has it, of equally small ones to the first: so an object
    in front of a larger one stays whole. Masks that are to be ignored get what is left. A mask of
    which nothing is left is left out.
    """
    masks = [mask for mask in image.masks if mask.area]
    if len(masks) < 2:
        return
    runs = replace(image, masks=tuple(masks)).runs()
    boxes = np.array([mask.box for mask in masks], np.int64)
    pairs = rle.overlaps(runs, np.zeros(len(masks), np.int64), boxes)
    order = {mask.mask_id: (mask.ignored, mask.area, k) for k, mask in enumerate(masks)}
    above: dict[int, set[int]] = {}
    for a, b in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True):
        low, high = (a, b) if order[masks[a].mask_id] > order[masks[b].mask_id] else (b, a)
        above.setdefault(low, set()).add(high)
    for low, others in sorted(above.items()):
        left = rle.to_dense(runs, low)
        for high in others:
            left &= ~rle.to_dense(runs, high)
        mask = masks[low]
        made = image.with_pixels(mask, left)
        lost = f"{mask.area - made.area:,} of its {count_noun(mask.area, 'pixel')} are those of "
        detail = lost + f"mask {masks[min(others)].mask_id}"
        detail += f" and {len(others) - 1:,} more" if len(others) > 1 else ""
        yield Loss("overlap", mask, detail, pixel_fields(made) if made.area else None)


@dataclass(frozen=True)
class ExampleOfLoss:
    """A mask or an image with a loss: its names for people, and what is lost."""

    file_name: str
    mask_id: int | None
    source_key: str
    detail: str

    def text(self) -> str:
        """Return it as a clause."""
        name = self.file_name or "an image without a name"
        mask = "" if self.mask_id is None else f", mask {self.mask_id}"
        return f"{name}{mask}" + (f" ({self.detail})" if self.detail else "")


@dataclass
class Losses:
    """All losses of an export, counted.

    Attributes:
        counts: How many masks (or images) have a loss of each kind.
        images: In how many images.
        examples: The first of each kind.
        of_masks: The kinds and details of each mask's losses that need ``--lossy``, by its id.
        left_out: How many masks are not in the output, images that are left out among them.
        images_left_out: How many images are not.
        masks: How many masks are written.
        images_written: How many images are.
        renumbered: Ids of masks that have another one in the output, by that in the audit.
        agreed: Whether the losses may be.
    """

    counts: dict[str, int] = field(default_factory=dict)
    images: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[ExampleOfLoss]] = field(default_factory=dict)
    of_masks: dict[int, str] = field(default_factory=dict)
    left_out: int = 0
    images_left_out: int = 0
    masks: int = 0
    images_written: int = 0
    renumbered: dict[int, int] = field(default_factory=dict)
    agreed: bool = False
    _details: dict[str, str] = field(default_factory=dict, repr=False)

    def count(self, image: FinalImage, losses: Sequence[Loss], written: FinalImage | None) -> None:
        """Count the losses of one image.

        Args:
            image: As it is meant.
            losses: Its losses.
            written: As it is written; None where it is left out.
        """
        stay = 0 if written is None else len(written.masks)
        for loss in losses:
            if loss.kind == "mask id" and loss.mask is not None and loss.stored is not None:
                self.renumbered[loss.mask.mask_id] = int(loss.stored["mask_id"])
        self.masks += stay
        self.left_out += len(image.masks) - stay
        self.images_left_out += written is None and image.listed
        self.images_written += written is not None
        for kind in {loss.kind for loss in losses}:
            self.images[kind] = self.images.get(kind, 0) + 1
        for kind, some in groupby(sorted(losses, key=_kind), key=_kind):
            unique = {None if loss.mask is None else loss.mask.mask_id: loss for loss in some}
            self.counts[kind] = self.counts.get(kind, 0) + len(unique)
            shown = self.examples.setdefault(kind, [])
            for loss in [*unique.values()][: _EXAMPLES - len(shown)]:
                key = image.source_key if loss.mask is None else loss.mask.source_key
                number = None if loss.mask is None else loss.mask.mask_id
                shown.append(ExampleOfLoss(image.file_name, number, key, loss.detail))
            if KINDS[kind].refused:
                self._list(image, unique.values())

    def _list(self, image: FinalImage, losses: Iterable[Loss]) -> None:
        for loss in losses:
            text = f"{loss.kind}: {loss.detail}" if loss.detail else loss.kind
            text = self._details.setdefault(text, text)  # many have the same words
            for mask in image.masks if loss.mask is None else (loss.mask,):
                before = self.of_masks.get(mask.mask_id)
                self.of_masks[mask.mask_id] = f"{before}; {text}" if before else text

    @property
    def refused(self) -> dict[str, int]:
        """The losses that need ``--lossy``: how many of each kind."""
        return {kind: n for kind, n in self.counts.items() if KINDS[kind].refused}

    @property
    def needs_lossy(self) -> bool:
        """Whether there are such losses, and nobody said that they may be."""
        return bool(self.refused) and not self.agreed

    def as_dict(self) -> dict[str, object]:
        """Return plain values, for JSON."""
        return {
            "counts": {kind: self.counts[kind] for kind in KINDS if kind in self.counts},
            "images": {kind: self.images[kind] for kind in KINDS if kind in self.images},
            "examples": {
                kind: [vars(one) for one in self.examples[kind]]
                for kind in KINDS
                if kind in self.examples
            },
            "refused": self.refused,
            "needs_lossy": self.needs_lossy,
        }

    def lines(self) -> list[str]:
        """Return a line for each kind, with examples."""
        return [self._line(kind) for kind in KINDS if kind in self.counts]

    def _line(self, kind: str) -> str:
        of, n, shown = KINDS[kind], self.counts[kind], self.examples[kind]
        some = "; ".join(one.text() for one in shown)
        more = "" if n <= len(shown) else ", for example"
        return f"{of.text}: {count_noun(n, 'image' if of.of_images else 'mask')}{more}: {some}"

    def refuse(self, title: str, where: str) -> None:
        """Raise where something would be lost and nobody said that it may be, or nothing is left.

        Raises:
            CallError: So it is.
        """
        if self.images_left_out and not self.images_written:
            lines = ". ".join(self._line(kind) for kind in KINDS if kind in self.refused)
            what = f"{title} can hold none of the dataset's images. {lines}"
            raise CallError(what, where, "choose another format")
        if not self.needs_lossy:
            return
        lines = ". ".join(self._line(kind) for kind in KINDS if kind in self.refused)
        what = f"{title} cannot hold all of the dataset. {lines}"
        raise CallError(what, where, "choose another format, or add --lossy to write what it can")


def _kind(loss: Loss) -> str:
    return loss.kind
