"""Trials: images to learn from with errors planted, images to be judged on, and the choices."""

from __future__ import annotations

import json
import sys
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

import curate

sys.path.append(str(Path(__file__).resolve().parent.parent / "_common"))

from crops import Crop, cut
from planted import plant

PLANTED = 0.27
"""Share of the masks of 100 px and more that get an error: a fifth of all."""

ARMS = {
    "all": "all masks, errors among them",
    "kept half": "what `prune --keep 50%` keeps",
    "random half": "half of the masks, drawn at random",
    "all, no errors": "all masks before errors were planted",
    "random half, no errors": "the same random half before errors were planted",
}


class Images(NamedTuple):
    """Ids of the images that are learned from, and of those that judge."""

    learned: list[int]
    held: list[int]


@dataclass(frozen=True)
class Trial:
    """Masks to learn from, with and without errors, and the masks that judge.

    Attributes:
        planted: Crops of the masks with errors among them, by id.
        clean: Crops of the same masks before.
        held: Crops of the true masks of other images.
        masks: What is known of each planted mask: index its id; ``kept`` by ``prune``, ``bad``,
            ``area_px``, ``quality``, ``gain``, ``cell``.
    """

    planted: dict[int, Crop]
    clean: dict[int, Crop]
    held: dict[int, Crop]
    masks: pd.DataFrame

    def choose(self, arm: str, seed: int) -> npt.NDArray[np.int64]:
        """Return the ids that an arm learns from; every seed has its own random half."""
        ids = self.masks.index.to_numpy(np.int64)
        kept = self.masks["kept"].to_numpy(np.bool_)
        if arm == "kept half":
            return ids[kept]
        if arm.startswith("random half"):
            return np.random.default_rng([7, seed]).permutation(ids)[: int(kept.sum())]
        return ids

    def crops(self, arm: str, chosen: Iterable[int]) -> list[Crop]:
        """Return what an arm learns from; a mask without pixels teaches nobody."""
        source = self.clean if arm.endswith("no errors") else self.planted
        return [source[key] for key in sorted(chosen) if key in source]

    def bad_share(self, arm: str, chosen: Iterable[int]) -> float:
        """Return the share of what an arm learns from that has an error."""
        if arm.endswith("no errors"):
            return 0.0
        return float(self.masks["bad"][self.masks.index.isin(list(chosen))].mean())


def split(document: dict[str, Any], number: int, *, development: bool) -> Images:
    """Draw the images: of a third of all for development, of the others otherwise.

    Args:
        document: The dataset.
        number: Of the split of these into halves; 0 is the one that the first runs had.
        development: Whether they are those for development.
    """
    with_masks = np.unique([a["image_id"] for a in document["annotations"]])
    order = np.random.default_rng(0).permutation(with_masks)
    third = len(order) // 3
    own = order[:third] if development else order[third:]
    mine = (np.random.default_rng([13, number]).permutation(own) if number else own).tolist()
    return Images(mine[: len(mine) // 2], mine[len(mine) // 2 :])


def make_trial(data: Path, folder: Path, number: int, *, development: bool) -> Trial:
    """Plant errors in half of the images, audit them, ask what is kept, and cut all crops.

    Args:
        data: Folder of ``dsb2018``.
        folder: Where the audit is made; one that is there already is gone on with.
        number: Of the split of the images and of the planting.
        development: Whether the images are those on which the study was laid out.
    """
    document = json.loads((data / "dsb2018/instances_fixed.json").read_text())
    pictures = data / "dsb2018/images"
    images = split(document, number, development=development)
    learned, held = _part_of(document, set(images.learned)), _part_of(document, set(images.held))
    planted, kinds, _ = plant(learned, number + (100 if development else 0), PLANTED)
    source = folder / "planted.json"
    if not source.exists():
        source.write_text(json.dumps(planted))
    audit = curate.audit(source, folder / "audit", images=pictures, deep=True, workers=1)
    masks = _describe(audit, set(kinds))
    return Trial(cut(planted, pictures), cut(learned, pictures), cut(held, pictures), masks)


def _describe(audit: curate.Audit, bad: Container[int]) -> pd.DataFrame:
    """Return what is known of each mask, and whether ``prune --keep 50%`` keeps it."""
    subset = curate.prune(audit, keep="50%").subset
    assert subset is not None, "a share was asked for"
    masks = audit.masks(["area_px"]).join(subset.order)
    masks["bad"] = [key in bad for key in masks.index]
    masks["kept"] = masks.index.isin(subset.order.index[: subset.asked])
    return masks


def _part_of(document: dict[str, Any], images: Container[int]) -> dict[str, Any]:
    return document | {
        "images": [i for i in document["images"] if i["id"] in images],
        "annotations": [a for a in document["annotations"] if a["image_id"] in images],
    }
