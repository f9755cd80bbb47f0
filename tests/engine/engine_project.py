"""Drawn pictures, a tiny SAM with random weights, and people who know the truth."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

import curate
from curate.common.clock import Clock
from curate.engine.engine_status import NextWork
from curate.engine.engine_value import Engine
from curate.people.reviews import Reviews, open_reviews
from curate.people.reviews.current_plan import open_audit
from curate.rle import encode_counts, from_dense
from curate.store.engine_folder import find_open_audit

sys.path.append(str(Path(__file__).parents[1] / "models"))

IMAGES = 40
ANYTHING = {"points_per_side": 2, "pred_iou": -10.0, "stability": 0.0, "coverage": 1.0}
"""Settings of a recipe that keep what a segmenter with random weights draws."""
QUICK: dict[str, Any] = {"epochs": 1, "device": "cpu", "settings": ANYTHING, "round_images": 4}
QUICK |= {"prefill_rounds": 0, "automatic": False, "mask_choice": "learned"}

Truth = dict[str, list[bytes]]
"""Compressed counts of the true masks, by picture."""


@dataclass(frozen=True)
class Stand:
    """An engine that tests go on with.

    Attributes:
        folder: Where its pictures, its segmenter and the project are.
        truth: The true masks.
        clock: What time it is.
    """

    folder: Path
    truth: Truth
    clock: Clock

    @property
    def project(self) -> Path:
        return self.folder / "project"

    @property
    def pictures(self) -> Path:
        return self.folder / "pictures"

    @property
    def engine(self) -> Engine:
        return curate.open_engine(self.project, clock=self.clock)

    def moved(self, folder: Path) -> Stand:
        """Return it where it was copied to: records name the pictures and the segmenter."""
        for path in (folder / "project").rglob("*.json"):
            if path.name in ("engine.json", "round.json"):
                path.write_text(path.read_text().replace(str(self.folder), str(folder)))
        return Stand(folder, self.truth, self.clock)

    def next(self, **options: Any) -> NextWork:
        return self.engine.next(device="cpu", **options)

    def work(self, images: int | None = None) -> None:
        work(self.project, self.truth, self.clock, images=images)

    def names(self, folder: str) -> list[str]:
        """Return the pictures of a round."""
        return (self.project / folder / "images.txt").read_text().splitlines()


def write_pictures(folder: Path, count: int = IMAGES, seed: int = 0) -> Truth:
    """Draw pictures of plain shapes; return the true masks."""
    import tiny_sam

    folder.mkdir(parents=True)
    truth: Truth = {}
    for k, drawn in enumerate(tiny_sam.drawings(count, seed)):
        Image.fromarray(drawn.image).save(folder / f"{k:02d}.png")
        counts = (encode_counts(from_dense(mask))[0].as_py() for mask in drawn.masks)
        truth[f"{k:02d}.png"] = [bytes(one) for one in counts]
    return truth


def write_sam(folder: Path, seed: int = 0) -> Path:
    """Save a small SAM with random weights."""
    from curate.networks.segmenters.small_sam import build_small_sam

    model = build_small_sam(side=64, patch=16, hidden=32, layers=1, decoder=16, seed=seed)
    model.save_pretrained(folder)
    return folder


def open_round(project: Path, clock: Clock) -> Reviews:
    """Return the decisions of the round that is open for people."""
    return open_reviews(open_audit(find_open_audit(project)), create=True, clock=clock)


def work(project: Path, truth: Truth, clock: Clock, *, images: int | None = None) -> None:
    """Decide as a person who knows the truth: every second proposal is right, others are not.

    Each first proposal of an image becomes the first true mask, the rest is rejected, and the other
    true masks are added. A decision takes 2 seconds, an added mask 20, a search 3.

    Args:
        project: The engine.
        truth: The true masks.
        clock: What time it is.
        images: How many images at most; None for all.
    """
    reviews = open_round(project, clock)
    audit = reviews.audit
    known = audit.query("select image_id, file_name from images order by image_id")
    known = known.head(images or len(known))
    masks = audit.query("select mask_id, image_id from masks order by mask_id")
    decisions: list[dict[str, Any]] = []
    missing: list[dict[str, Any]] = []
    for image_id, name in zip(known["image_id"].tolist(), known["file_name"].tolist(), strict=True):
        own = masks.loc[masks["image_id"] == image_id, "mask_id"].tolist()
        true = list(truth[name])
        for k, mask_id in enumerate(own):
            one = {"mask_id": mask_id, "action": "reject", "segmentation": None, "seconds": 2.0}
            if k == 0:
                one |= {"action": "fix", "segmentation": true.pop(0)}
            decisions.append(one)
        missing += [{"image_id": image_id, "segmentation": one, "seconds": 20.0} for one in true]
    columns = ["mask_id", "action", "segmentation", "seconds"]
    frame = pd.DataFrame(decisions, columns=columns).astype({"mask_id": "int64"})
    searched = pd.DataFrame({"image_id": known["image_id"], "seconds": 3.0, "reviewer": "ann"})
    added = pd.DataFrame(missing, columns=["image_id", "segmentation", "seconds"])
    reviews.add(
        frame.assign(reviewer="ann"),
        origin="test",
        missing=added.assign(reviewer="ann", category="object").astype({"image_id": "int64"}),
        reviewed_images=searched,
    )


def make_engine(folder: Path, **options: Any) -> tuple[Engine, Truth]:
    """Draw pictures, and set an engine up on them with a segmenter of random weights."""
    truth = write_pictures(folder / "pictures")
    sam = write_sam(folder / "sam")
    given: dict[str, Any] = {"segmenter": str(sam), "images": folder / "pictures"} | QUICK | options
    return curate.new_engine(folder / "project", **given), truth


def masks_of(path: Path) -> set[tuple[str, bytes]]:
    """Return the masks of a dataset: file name and compressed counts."""
    table = curate.read(path)
    names = table.masks["image_id"].map(table.images["file_name"])
    return set(zip(names.tolist(), table.masks["segmentation"].map(bytes).tolist(), strict=True))


def truth_of(truth: Truth, names: list[str]) -> set[tuple[str, bytes]]:
    """Return the true masks of some pictures, as :func:`masks_of` does."""
    return {(name, one) for name in names for one in truth[name]}
