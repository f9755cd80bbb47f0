"""Proposals in a detector's boxes, as far as they are worth it on the validation images."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from engine_project import Stand
from hand_clock import HandClock
from PIL import Image
from scipy import ndimage

# The fixture is of an engine whose first stage is through.
from test_stage_two import answer, change, first_done, record_of  # noqa: F401

import curate
from curate.common.arrays import ByteArray
from curate.engine import box_proposals
from curate.engine.box_proposals import BOX, BoxProposals, describe_boxes, find_box_recipe
from curate.engine.coco_writing import MASK_COLUMNS, ListedImage, no_masks
from curate.engine.round_record import RoundRecord
from curate.engine.rounds import RunSettings
from curate.networks.detectors.detections import Detections
from curate.networks.segmenters.prompt_recipes import RECIPES, PromptsInUse
from curate.rle import decode_counts, encode_counts, from_dense, to_dense
from curate.testing.bright_segmenter import BrightSegmenter

VALIDATION = frozenset({3, 4, 5, 6})
LISTED = [ListedImage(k, f"{k}.png", 60, 100) for k in (2, 1, 3, 4, 5, 6)]


@dataclass
class BodyDetector:
    """Sees the bright bodies of a picture from left to right, with a confidence each."""

    scores: tuple[float, ...]
    name: str = "bodies"
    fingerprint: str = "bodies"
    device: str = "cpu"
    precision: str = "float32"
    categories: Mapping[int, str] = field(default_factory=lambda: {0: "object"})

    def detect(self, images: Sequence[ByteArray]) -> list[Detections]:
        """Return a box a body, the surest first."""
        return [self._find(image) for image in images]

    def was_trained_on(self, image: ByteArray) -> bool:
        """Return False."""
        del image
        return False

    def _find(self, image: ByteArray) -> Detections:
        found = ndimage.find_objects(ndimage.label(image.mean(axis=2) > 120)[0])
        found = sorted(found, key=lambda one: one[1].start)
        boxes = [(x.start, y.start, x.stop - x.start, y.stop - y.start) for y, x in found]
        scores = np.array(self.scores[: len(boxes)])
        order = np.argsort(-scores)
        made = np.array(boxes, np.float64).reshape(-1, 4)[: len(scores)]
        return Detections(made[order], scores[order], np.zeros(len(order), np.int64))


def squares() -> list[np.ndarray]:
    masks = []
    for left in (5, 40, 75):
        mask = np.zeros((60, 100), bool)
        mask[20:40, left : left + 20] = True
        masks.append(mask)
    return masks


def frame_of(ids: Sequence[int], which: Sequence[int]) -> pd.DataFrame:
    """Return some of the three squares of each image, with the columns of masks."""
    counts = [bytes(encode_counts(from_dense(mask))[0].as_py()) for mask in squares()]
    rows = [(k, counts[one], None, 0.9, 0.9) for k in ids for one in which]
    return pd.DataFrame(rows, columns=list(MASK_COLUMNS)) if rows else no_masks()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    picture = np.full((60, 100, 3), 20, np.uint8)
    for mask in squares():
        picture[mask] = 220
    for one in LISTED:
        Image.fromarray(picture).save(tmp_path / one.file_name)
    return tmp_path


def added(
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
    scores: tuple[float, ...],
    grid: Sequence[int],
    true: Sequence[int],
) -> tuple[pd.DataFrame, RoundRecord]:
    """Add proposals to those of the grid, where people have made masks of some squares."""
    monkeypatch.setattr(box_proposals, "load_detector", lambda *_, **__: BodyDetector(scores))
    record = RoundRecord(2, 2, {})
    run = RunSettings("cpu", HandClock().clock)
    truth = frame_of(sorted(VALIDATION), true)
    boxes = BoxProposals(pictures, pictures, record, truth, VALIDATION, run)
    masks = frame_of([one.image_id for one in LISTED], grid)
    return boxes.add(masks, LISTED, BrightSegmenter(), 0.7), record


def test_objects_that_the_grid_misses_are_added(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of three are proposed by the grid and not again; the strictest line is taken."""
    found, record = added(pictures, monkeypatch, (0.9, 0.72, 0.99), (0, 2), (0, 1, 2))
    assert record.boxes == {
        "recipe": "box",
        "confidence": 0.7,
        "tried": 6,
        "added": 2,
        "masks": 12,
        "saved": 12,
        "false": 0,
        "own_saved": 8,
        "own_false": 0,
    }
    assert list(found.columns) == list(MASK_COLUMNS)
    assert found["image_id"].tolist() == [k for one in LISTED for k in [one.image_id] * 3]
    for rows in np.split(np.arange(18), 6):
        counts = [bytes(one) for one in found["segmentation"].iloc[rows]]
        runs = decode_counts(counts, np.full(3, 60), np.full(3, 100))[0]
        union = np.any([to_dense(runs, k) for k in range(3)], axis=0)
        assert (union == np.any(squares(), axis=0)).mean() > 0.97
    text = describe_boxes(record.boxes)
    assert "2 proposals more, drawn in the detector's boxes from a confidence of 0.7 on" in text
    assert "8 of 12 masks of the validation images" in text


def test_boxes_of_what_people_do_not_want_add_nothing(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, record = added(pictures, monkeypatch, (0.9, 0.9, 0.9), (0,), (0,))
    pd.testing.assert_frame_equal(found, frame_of([one.image_id for one in LISTED], (0,)))
    assert record.boxes is not None
    assert record.boxes["confidence"] is None
    assert record.boxes["tried"] == 12
    assert record.boxes["added"] == 0
    assert "no proposals are drawn in the detector's boxes" in describe_boxes(record.boxes)


def test_a_line_tells_the_wanted_from_the_others(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, record = added(pictures, monkeypatch, (0.9, 0.6, 0.3), (), (0, 1))
    assert record.boxes is not None
    assert record.boxes["confidence"] == 0.6
    assert (record.boxes["saved"], record.boxes["false"]) == (8, 0)
    assert record.boxes["own_saved"] == 0
    assert len(found) == 12


def test_without_detections_or_masks_nothing_is_added(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for scores, true in (((), (0, 1)), ((0.05, 0.05), (0, 1)), ((0.9, 0.9), ())):
        found, record = added(pictures, monkeypatch, scores, (2,), true)
        assert len(found) == 6
        assert record.boxes is not None
        assert record.boxes["confidence"] is None


def test_a_box_is_prompted_as_was_found_best() -> None:
    record = RoundRecord(2, 2, {})
    assert find_box_recipe(record) is BOX
    in_use = PromptsInUse(RECIPES[0], RECIPES[3], box=RECIPES[10])
    prompts: Any = {"in_use": in_use.as_dict()}
    record.prompts = prompts
    assert find_box_recipe(record) == RECIPES[10]
    prompts["in_use"] = {key: v for key, v in in_use.as_dict().items() if key != "box"}
    assert find_box_recipe(record) is BOX  # of a search before there was this


@pytest.mark.slow  # trains a detector
def test_a_round_tries_the_boxes_of_its_detector(
    first_done: Stand,  # noqa: F811
    tmp_path: Path,
) -> None:
    """With a segmenter of random weights nothing is worth it, and the round says so."""
    shutil.copytree(first_done.folder, tmp_path / "copy")
    stand = first_done.moved(tmp_path / "copy")
    asked = stand.next()
    record = record_of(stand)
    assert record.boxes is not None
    assert describe_boxes(record.boxes) in asked.text()
    assert record.boxes["masks"] == len(curate.read(stand.project / "validation/masks.json"))
    answer(stand)
    change(stand, image_rule="unsure")  # what is looked at is proposed for by the same generation
    stand.next()
    later = record_of(stand, "rounds/03")
    assert later.boxes is not None
    assert later.doubt is not None
    assert later.doubt["looked_at"] > 0
    assert not (stand.project / "rounds/03/prefill/generated").exists()
