"""What people decide by chance on a small dataset, and what must come of it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from drawn_masks import ANY_SHAPE, APART, SHAPES, drawn, encoded, iou, is_apart
from drawn_masks import decoded as decode
from small_datasets import KINDS, Kind

import curate
from curate.dataset.table import MaskTable
from curate.people.reviews import Reviews

ACTS = ("nothing", "accept", "reject", "redraw", "relabel", "redraw and relabel", "disagree")
PEOPLE = ("ada", "bob")
SAME = 0.8
"""Masks without a name are found again where they share this much with what they were."""


@dataclass(frozen=True)
class Source:
    """A dataset, its audit, and what is in it.

    Attributes:
        name: Which of :data:`KINDS`.
        path: The dataset.
        audit: Its audit directory, without decisions.
        table: What is read of it.
    """

    name: str
    path: Path
    audit: Path
    table: MaskTable

    @property
    def kind(self) -> Kind:
        return KINDS[self.name]


@dataclass(frozen=True)
class Mask:
    """A mask as it can be compared: ``pixels`` are packed bits, None where it has none."""

    image: str
    pixels: bytes | None
    label: str | None


@dataclass
class Decided:
    """What people decided.

    Attributes:
        acts: One of :data:`ACTS` for each mask.
        pixels: What was drawn instead of some of them.
        labels: The category that some of them got.
        added: Image, pixels and category of masks that were drawn anew.
    """

    acts: dict[int, str] = field(default_factory=dict)
    pixels: dict[int, np.ndarray] = field(default_factory=dict)
    labels: dict[int, str] = field(default_factory=dict)
    added: list[tuple[int, np.ndarray, str | None]] = field(default_factory=list)

    def of(self, *acts: str) -> list[int]:
        return [number for number, act in self.acts.items() if act in acts]


def pixels_of(table: MaskTable) -> dict[int, np.ndarray | None]:
    """Return the pixels of each mask; None where it cannot be read."""
    rows = table.masks[["segmentation", "height", "width", "status"]].itertuples()
    return {
        number: None if pd.isna(counts) or not height else decode(counts, (height, width))
        for number, counts, height, width, _ in rows
    }


def label_of(row: pd.Series[Any]) -> str | None:
    """Return the category of a mask by name, or by number where it has none."""
    if pd.notna(row["category"]):
        return str(row["category"])
    number = row.get("category_id")
    return None if number is None or pd.isna(number) else str(number)


def image_names(table: MaskTable) -> dict[int, str]:
    """Return what an image is called here: by its name, or by its id."""
    names = table.images["file_name"]
    return {i: name or f"image {i}" for i, name in zip(names.index, names, strict=True)}


def listed(table: MaskTable) -> dict[int, Mask]:
    """Return all masks of a dataset by id, in order."""
    names, pixels = image_names(table), pixels_of(table)
    return {
        number: Mask(names[row["image_id"]], packed(pixels[number]), label_of(row))
        for number, (_, row) in zip(pixels, table.masks.iterrows(), strict=True)
    }


def packed(mask: np.ndarray | None) -> bytes | None:
    return None if mask is None else np.packbits(mask).tobytes() + bytes(f"{mask.shape}", "ascii")


# --- drawing -------------------------------------------------------------------------------------


def decide(chance: random.Random, source: Source) -> Decided:
    """Draw what people decide."""
    made = Decided()
    kind, masks = source.kind, source.table.masks
    old = pixels_of(source.table)
    possible = ACTS if kind.labels else [act for act in ACTS if "relabel" not in act]
    for number in masks.index:
        made.acts[number] = chance.choice(possible)
        if "relabel" in made.acts[number]:
            made.labels[number] = chance.choice(kind.labels)
    images = source.table.images
    for image, (_, about) in zip(images.index, images.iterrows(), strict=True):
        size = (about["height"], about["width"])
        here = masks.index[masks["image_id"] == image]
        if not about["source_key"] or not size[0]:
            continue
        seen = {number: mask for number in here if (mask := old[number]) is not None}
        taken = np.zeros(size, bool)
        for number in here:
            if kind.is_disjoint and made.acts[number] not in ("reject", "redraw"):
                taken |= old[number]
        pen = _Pen(chance, size, kind, taken)
        for number in here:
            if not made.acts[number].startswith("redraw"):
                continue
            others = [mask for k, mask in seen.items() if k != number] + pen.drawn
            new = pen.redrawn(old[number], others)
            if new is None:
                made.acts[number] = "relabel" if number in made.labels else "accept"
            else:
                made.pixels[number] = new
        for _ in range(chance.choice([0, 0, 1, 2])):
            new = pen.draw([*seen.values(), *pen.drawn])
            if new is not None:
                label = chance.choice([*kind.labels, None]) if kind.labels else None
                made.added.append((image, new, label))
    return made


def decide_all_sorts(source: Source) -> Decided:
    """Draw decisions of every kind; masks that cannot be read are rejected."""
    broken = source.table.masks.index[source.table.masks["status"] != "ok"]
    for seed in range(1000):
        made = decide(random.Random(seed), source)
        for number in broken:
            made.acts[number] = "reject"
            made.pixels.pop(number, None)
            made.labels.pop(number, None)
        kinds = {"kept", "removed", "redrawn"} | ({"relabelled"} if source.kind.labels else set())
        sound = {number: act for number, act in made.acts.items() if number not in broken}
        found = happened(source, made)
        if kinds <= {found[number] for number in sound} and len(made.added) > 1:
            return made
    raise AssertionError("chance draws everything sooner or later")


class _Pen:
    """Draws masks on one image that nobody can take for others of it."""

    def __init__(self, chance: random.Random, size: Any, kind: Kind, taken: np.ndarray) -> None:
        self.chance, self.size, self.kind, self.taken = chance, size, kind, taken
        self.drawn: list[np.ndarray] = []

    def draw(self, others: Sequence[np.ndarray]) -> np.ndarray | None:
        """Return a new mask; None where none was found."""
        return self._first(self._any(), lambda mask: is_apart(mask, others))

    def redrawn(self, old: np.ndarray | None, others: Sequence[np.ndarray]) -> np.ndarray | None:
        """Return what is drawn instead of a mask; None where nothing was found."""
        nudge = old is not None and self.chance.random() < 0.5
        candidates = self._nudged(old) if nudge else self._any()

        def fits(mask: np.ndarray) -> bool:
            if not is_apart(mask, others) or (old is not None and (mask == old).all()):
                return False
            if old is None or self.kind.identity:
                return True
            return not APART <= iou(mask, old) < SAME

        return self._first(candidates, fits)

    def _first(self, candidates: Iterator[np.ndarray], fits: Any) -> np.ndarray | None:
        for mask in candidates:
            free: np.ndarray = mask & ~self.taken
            if free.any() and fits(free):
                if self.kind.is_disjoint:
                    self.taken |= free
                self.drawn.append(free)
                return free
        return None

    def _any(self) -> Iterator[np.ndarray]:
        shapes = SHAPES if self.kind.is_disjoint else ANY_SHAPE  # ids are told by their patches
        rng = np.random.default_rng(self.chance.randrange(2**32))
        for _ in range(8):
            yield drawn(rng, self.size, shapes)

    def _nudged(self, old: np.ndarray | None) -> Iterator[np.ndarray]:
        """Yield the mask with a few pixels more or less."""
        assert old is not None
        rng = np.random.default_rng(self.chance.randrange(2**32))
        for _ in range(8):
            new = old.copy().ravel()
            new[rng.integers(0, new.size, 1 + int(old.sum()) // 30)] ^= True
            yield new.reshape(old.shape)


# --- handing in ----------------------------------------------------------------------------------


def hand_in(source: Source, audit: Path, decided: Decided) -> None:
    """Write the decisions into an audit, as if two people had made them."""
    rows: list[tuple[Any, ...]] = []
    for number, act in decided.acts.items():
        if act in ("accept", "reject"):
            rows.append((number, act, None, None, PEOPLE[number % 2]))
        elif act == "disagree":
            rows += [(number, "accept", None, None, "ada"), (number, "reject", None, None, "bob")]
        elif act != "nothing":
            new = decided.pixels.get(number)
            counts = None if new is None else encoded(new)
            people = PEOPLE if number % 3 == 0 else PEOPLE[:1]
            rows += [(number, "fix", counts, decided.labels.get(number), who) for who in people]
    columns = ["mask_id", "action", "segmentation", "category", "reviewer"]
    frame = pd.DataFrame(rows, columns=columns).astype({"mask_id": "int64"})
    missing = pd.DataFrame(
        [
            (image, encoded(mask), label, who)
            for k, (image, mask, label) in enumerate(decided.added)
            for who in PEOPLE[: 1 + k % 2]  # what both drew is one mask
        ],
        columns=["image_id", "segmentation", "category", "reviewer"],
    ).astype({"image_id": "int64"})
    reviews = Reviews(curate.open_audit(audit))
    reviews.add(frame, origin="a test", missing=missing if len(missing) else None)


# --- what must come of it ------------------------------------------------------------------------


def default_label(kind: Kind) -> str | None:
    """Return the category of added masks that got none."""
    return kind.labels[0] if kind.labels else None


def kept(source: Source, decided: Decided) -> dict[int, Mask]:
    """Return the masks that stay, as they must be, by id."""
    return {
        number: Mask(
            mask.image,
            packed(decided.pixels[number]) if number in decided.pixels else mask.pixels,
            decided.labels.get(number, mask.label),
        )
        for number, mask in listed(source.table).items()
        if decided.acts[number] != "reject"
    }


def added(source: Source, decided: Decided) -> list[Mask]:
    """Return the masks that come."""
    names, label = image_names(source.table), default_label(source.kind)
    return [Mask(names[i], packed(mask), own or label) for i, mask, own in decided.added]


def happened(source: Source, decided: Decided) -> dict[int, str]:
    """Return the change of each mask as the provenance calls it."""
    before = listed(source.table)
    found = {}
    for number, act in decided.acts.items():
        is_new = decided.labels.get(number, before[number].label) != before[number].label
        words = ["redrawn"] * (number in decided.pixels) + ["relabelled"] * is_new
        found[number] = "removed" if act == "reject" else " and ".join(words) or "kept"
    return found


def differences(source: Source, decided: Decided) -> tuple[int, Counter[tuple[Any, ...]]]:
    """Return how many masks are unchanged, and the rows that ``curate diff`` must show.

    A row is the change, the image, the categories before and after, and the IoU.
    """
    before, after = listed(source.table), kept(source, decided)
    old = pixels_of(source.table)
    rows: Counter[tuple[Any, ...]] = Counter()
    unchanged = 0
    for number, change in happened(source, decided).items():
        mask = before[number]
        new = after.get(number)
        if new is None:
            rows["removed", mask.image, mask.label, None, None] += 1
            continue
        if change == "kept":
            unchanged += 1
            continue
        was, now = old[number], decided.pixels.get(number)
        shared = None if was is None else 1.0  # without pixels there is nothing to share
        if now is not None:
            shared = 0.0 if was is None else iou(was, now)
        lost = shared is not None and shared < APART
        if not source.kind.identity and lost:  # nothing says that it is the same mask
            rows["removed", mask.image, mask.label, None, None] += 1
            rows["added", mask.image, None, new.label, None] += 1
        else:
            shown = None if shared is None else round(shared, 9)
            rows[change, mask.image, mask.label, new.label, shown] += 1
    for new in added(source, decided):
        rows["added", new.image, None, new.label, None] += 1
    return unchanged, rows
