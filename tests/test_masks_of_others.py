"""Corrections by other sets' masks: two that agree against a mask, or one that a verifier likes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from curate.common.arrays import BoolArray
from curate.dataset.table import MaskTable
from curate.images import ImageFolder
from curate.people.reviews.suggested_fixes import BY_OTHERS, suggest_correction
from curate.pipeline.counterpart_masks import AGREED_IOU, FAR_IOU, find_agreed, find_counterparts
from curate.pipeline.inputs import Inputs
from curate.pipeline.likely_corrections import UNLIKE, find_corrections
from curate.pipeline.scoring import audit
from curate.rle import decode_counts, encode_counts, from_dense, to_dense
from curate.store.mask_corrections import MaskCorrection, read_corrections
from curate.testing.bright_verifier import BrightVerifier
from curate.testing.scene import table_of

SIDE = 80


def disc(radius: float, x: float = 40, y: float = 40) -> BoolArray:
    ys, xs = np.mgrid[:SIDE, :SIDE]
    return np.asarray((ys - y) ** 2 + (xs - x) ** 2 <= radius**2)


RIGHT, ALSO_RIGHT, WRONG = disc(18), disc(18, 40.5), disc(12, 48)


def corrections(masks: list[BoolArray], others: dict[str, list[BoolArray]]) -> list[MaskCorrection]:
    """Return the corrections of masks of one image by other sets' masks."""
    table = table_of(masks)
    compare = {name: table_of(theirs) for name, theirs in others.items()}
    return find_corrections(table, pd.DataFrame(index=table.masks.index), compare=compare)


def pixels_of(correction: MaskCorrection) -> BoolArray:
    runs, _ = decode_counts([correction.segmentation], [SIDE], [SIDE])
    return to_dense(runs, 0)


def iou(a: BoolArray, b: BoolArray) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_two_sets_that_agree_against_a_mask_correct_it() -> None:
    others = {"ann": [disc(3, 70), RIGHT], "bob": [ALSO_RIGHT], "eve": [WRONG]}
    (found,) = corrections([disc(3, 70), WRONG], others)
    assert found.kind == UNLIKE
    assert found.drawn_by in ("ann", "bob")
    assert found.mask_id == table_of([WRONG, WRONG]).masks.index[1]
    assert found.agreeing == 1
    assert found.agreeing_iou == pytest.approx(iou(RIGHT, ALSO_RIGHT), abs=1e-6)
    assert found.agreeing_iou >= AGREED_IOU
    assert found.drawn_iou == pytest.approx(iou(pixels_of(found), WRONG), abs=1e-6)
    assert found.drawn_iou <= FAR_IOU
    assert np.isnan([found.verifier_iou, found.corrected_iou]).all()


def test_of_several_the_one_with_which_most_agree_is_taken() -> None:
    others = {"a": [disc(18, 41)], "b": [RIGHT], "c": [disc(18, 39)]}
    (found,) = corrections([WRONG], others)
    assert found.drawn_by == "b"
    assert found.agreeing == 2
    fix = suggest_correction(found, SIDE, SIDE)
    assert fix.source == BY_OTHERS
    assert (to_dense(fix.mask, 0) == RIGHT).all()
    own, theirs = f"{found.drawn_iou:.2f}", f"{found.agreeing_iou:.2f}"
    assert fix.words == (
        f"as drawn by b, IoU {own} with this one (2 others agree with it: IoU {theirs})"
    )


@pytest.mark.parametrize(
    "others",
    [
        {"ann": [RIGHT]},  # one alone
        {"ann": [RIGHT], "bob": [disc(13)]},  # who do not agree
        {"ann": [disc(13, 48)], "bob": [disc(13, 48)]},  # who agree, with the mask too
        {"ann": [disc(9, 20)], "bob": [disc(9, 20)]},  # who drew something else
        {"ann": [], "bob": []},
    ],
)
def test_a_mask_stays_where_others_do_not_agree_against_it(
    others: dict[str, list[BoolArray]],
) -> None:
    assert corrections([WRONG], {name: theirs for name, theirs in others.items() if theirs}) == []


def test_a_mask_of_another_object_or_category_corrects_nothing() -> None:
    # What the others drew is nearer to another mask of the dataset.
    assert corrections([WRONG, disc(17)], {"ann": [RIGHT], "bob": [ALSO_RIGHT]}) == []
    table = table_of([WRONG], category="cat")
    compare = {name: table_of([RIGHT], category="dog") for name in ("ann", "bob")}
    assert find_agreed(find_counterparts(table, compare)) == {}
    compare = {name: table_of([RIGHT], category="cat") for name in ("ann", "bob")}
    assert list(find_agreed(find_counterparts(table, compare))) == [0]


def doubt(table: MaskTable, ious: list[float]) -> pd.DataFrame:
    columns = {"verifier_score": 0.2, "verifier_kind": None, "verifier_iou": ious}
    return pd.DataFrame(columns, table.masks.index)


def test_one_other_mask_needs_a_verifier_that_likes_it_far_better(tmp_path: Path) -> None:
    grey = np.where(RIGHT, 220, 40).astype(np.uint8)
    Image.fromarray(np.repeat(grey[:, :, None], 3, axis=2)).save(tmp_path / "1.png")
    table = table_of([WRONG])
    pictures, verifier = ImageFolder(tmp_path), BrightVerifier()

    def correct(scores: pd.DataFrame, **others: MaskTable) -> list[MaskCorrection]:
        return find_corrections(table, scores, images=pictures, verifier=verifier, compare=others)

    scores = doubt(table, [iou(WRONG, RIGHT)])
    (found,) = correct(scores, model=table_of([ALSO_RIGHT]))
    assert (found.kind, found.drawn_by, found.agreeing) == (UNLIKE, "model", 0)
    assert (pixels_of(found) == ALSO_RIGHT).all()
    assert found.corrected_iou == pytest.approx(iou(ALSO_RIGHT, RIGHT), abs=1e-6)
    words = suggest_correction(found, SIDE, SIDE).words
    assert words.startswith("as drawn by model, IoU ")
    assert "expected IoU " in words
    assert correct(scores, model=table_of([disc(13)])) == []
    assert correct(scores.assign(verifier_score=0.9), model=table_of([ALSO_RIGHT])) == []


def test_the_name_of_a_set_cannot_take_over_the_page() -> None:
    counts = bytes(encode_counts(from_dense(RIGHT)).to_pylist()[0])
    one = MaskCorrection(7, UNLIKE, counts, 0.0, 0.4, 0.9, drawn_by="a\n\u202e" * 60)
    words = suggest_correction(replace(one, drawn_iou=0.5), SIDE, SIDE).words
    assert len(words) < 160
    assert "\n" not in words
    assert "\u202e" not in words


def write_coco(path: Path, mask: BoolArray) -> Path:
    counts = encode_counts(from_dense(mask)).to_pylist()[0].decode()
    one = {"id": 4, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [0, 0, SIDE, SIDE]}
    one |= {"area": int(mask.sum()), "segmentation": {"size": [SIDE, SIDE], "counts": counts}}
    images = [{"id": 1, "file_name": "1.png", "height": SIDE, "width": SIDE}]
    document = {"images": images, "annotations": [one], "categories": [{"id": 1, "name": "cell"}]}
    path.write_text(json.dumps(document))
    return path


def test_an_audit_without_pictures_or_verifier_holds_them(tmp_path: Path) -> None:
    source = write_coco(tmp_path / "mine.json", WRONG)
    others = {
        "ann": write_coco(tmp_path / "ann.json", RIGHT),
        "bob": write_coco(tmp_path / "bob.json", ALSO_RIGHT),
    }
    done = audit(source, tmp_path / "a.audit", inputs=Inputs(compare=others))
    (found,) = read_corrections(done.path).values()
    assert found.drawn_by in others
    assert iou(pixels_of(found), RIGHT) > 0.9
