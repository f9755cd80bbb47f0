"""Corrections of merged masks: others taken out, or the mask split where a verifier likes that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from unsure_verifier import UnsureVerifier

from curate.common.arrays import BoolArray, ByteArray
from curate.images import ImageFolder
from curate.networks.verifiers.merged_masks import LEAST_RISE, SURE, split_merged
from curate.networks.verifiers.split_candidates import (
    COPY_IOU,
    MOST_CANDIDATES,
    propose_splits,
)
from curate.people.reviews.suggested_fixes import suggest_correction
from curate.pipeline.likely_corrections import find_corrections
from curate.rle import Runs, concat, encode_counts, from_dense, to_dense
from curate.store.mask_corrections import MaskCorrection
from curate.testing.bright_verifier import BrightVerifier
from curate.testing.scene import table_of

SIDE = 96


def disc(radius: float, x: float, y: float = 48) -> BoolArray:
    ys, xs = np.mgrid[:SIDE, :SIDE]
    return np.asarray((ys - y) ** 2 + (xs - x) ** 2 <= radius**2)


LEFT, RIGHT = disc(16, 30), disc(13, 60)


def picture_of(*bodies: BoolArray) -> ByteArray:
    """Draw bodies, each with a dark rim so that no two hang together."""
    grey = np.full((SIDE, SIDE), 40, np.uint8)
    for body in bodies:
        grey[body] = 220
    grey[:, 46] = 40
    return np.repeat(grey[:, :, None], 3, axis=2)


def masks_of(*pixels: BoolArray) -> Runs:
    return concat([from_dense(one) for one in pixels])


def iou(runs: Runs, which: int, body: BoolArray) -> float:
    mask = to_dense(runs, which)
    return float((mask & body).sum() / (mask | body).sum())


@pytest.mark.parametrize("gap", [0, 6])
def test_two_objects_are_parted_at_the_neck_or_where_they_fall_apart(gap: int) -> None:
    right = disc(13, 60 + gap)
    found = split_merged(BrightVerifier(), picture_of(LEFT, right), masks_of(LEFT | right), 0)
    assert found is not None
    assert found.taken_out == ()
    assert len(found.masks) == 2
    assert iou(found.masks, 0, LEFT) > 0.9
    assert iou(found.masks, 1, right) > 0.9
    assert min(found.ious_after) - found.iou_before >= LEAST_RISE


def test_a_mask_that_stands_by_itself_is_taken_out_and_not_added_again() -> None:
    runs = masks_of(RIGHT, LEFT | RIGHT)
    found = split_merged(BrightVerifier(), picture_of(LEFT, RIGHT), runs, 1)
    assert found is not None
    assert found.taken_out == (0,)
    assert len(found.masks) == 1
    assert iou(found.masks, 0, LEFT) > 0.9


def test_no_seam_is_left_where_the_outline_of_the_other_mask_is_drawn_tighter() -> None:
    big, small = disc(30, 48), disc(12, 48)
    (first, *_) = propose_splits(picture_of(big), masks_of(disc(11, 48), big), 1)
    assert first.taken_out == (0,)
    assert iou(first.masks, 0, big & ~small) > 0.9
    runs = masks_of(disc(11, 18), disc(12, 18) | disc(20, 60))
    (first, *_) = propose_splits(picture_of(big), runs, 1)
    assert iou(first.masks, 0, disc(20, 60)) == 1.0


def test_parts_cover_the_mask_once_and_lie_where_it_lies_in_a_large_image() -> None:
    mask = np.zeros((700, 900), np.bool_)
    mask[100:600, 200:480] = True
    mask[330:370, 480:520] = True
    mask[120:580, 520:800] = True
    picture = np.zeros((*mask.shape, 3), np.uint8)
    found = propose_splits(picture, from_dense(mask), 0)
    assert 0 < len(found) <= MOST_CANDIDATES
    for one in found:
        parts = [to_dense(one.masks, k) for k in range(len(one.masks))]
        assert (np.sum(parts, axis=0) == mask).all()
        assert all(part.sum() >= 0.05 * mask.sum() for part in parts)
        assert parts[0].sum() == max(part.sum() for part in parts)
    best = max(found, key=lambda one: to_dense(one.masks, 0)[100:600, 200:480].mean())
    assert to_dense(best.masks, 0)[100:600, 200:480].all()


def test_what_is_taken_out_is_the_other_mask_and_its_rim_and_nothing_else() -> None:
    tail = np.zeros((SIDE, SIDE), np.bool_)
    tail[48, 4:14] = True  # thin, and away from the other mask: it stays
    tail[90, 30] = True
    body = LEFT | tail
    exact, *_ = propose_splits(picture_of(LEFT, RIGHT), masks_of(RIGHT, body | RIGHT), 1)
    assert (to_dense(exact.masks, 0) == body & ~RIGHT).all()
    assert (exact.taken_out, exact.rim_px) == ((0,), 0)
    tighter = disc(12, 60)
    rim, *_ = propose_splits(picture_of(LEFT, RIGHT), masks_of(tighter, body | RIGHT), 1)
    assert rim.taken_out == (0,)
    left = to_dense(rim.masks, 0)
    assert left.sum() + rim.rim_px == ((body | RIGHT) & ~tighter).sum()
    gone = (body | RIGHT) & ~tighter & ~left
    assert 0 < gone.sum() <= (RIGHT & ~tighter).sum()
    assert not (gone & body & ~RIGHT).any()


@pytest.mark.parametrize("x", [30.0, 31.0, 32.0])
def test_a_near_copy_is_not_taken_apart(x: float) -> None:
    """A half of it is the other mask by half of its pixels, which takes nothing out of it."""
    copy = disc(16, x) if x > 30 else disc(16.5, 30)
    assert propose_splits(picture_of(LEFT), masks_of(LEFT, copy), 1) == []
    assert propose_splits(picture_of(LEFT), masks_of(LEFT, copy), 0) == []


def test_a_mask_that_is_alike_but_has_a_body_beside_the_other_is_no_copy() -> None:
    small = disc(6, 52)
    runs = masks_of(LEFT, LEFT | small)
    assert iou(runs, 1, LEFT) > COPY_IOU
    first, *_ = propose_splits(picture_of(LEFT, small), runs, 1)
    assert (first.taken_out, first.rim_px) == ((0,), 0)
    assert (to_dense(first.masks, 0) == small & ~LEFT).all()


@pytest.mark.parametrize("held", [disc(10, 57), disc(14, 60)])
def test_nothing_is_taken_out_that_the_mask_holds_in_part_only(held: BoolArray) -> None:
    """Nor is a part new that is another mask by most of its pixels."""
    other = disc(16, 63)
    assert (held & other).sum() < 0.85 * other.sum()
    for one in propose_splits(picture_of(LEFT, other), masks_of(LEFT | held, other), 0):
        parts = [to_dense(one.masks, k) for k in range(len(one.masks))]
        assert one.taken_out == ()
        assert all((part & other).sum() < 0.5 * (part | other).sum() for part in parts)


@pytest.mark.parametrize("pixels", [disc(1, 48), np.ones((SIDE, SIDE), np.bool_)])
def test_the_smallest_and_the_largest_mask(pixels: BoolArray) -> None:
    split_merged(BrightVerifier(), picture_of(LEFT), from_dense(pixels), 0)


@pytest.mark.parametrize("doubt", [None, SURE * 0.99])
def test_nothing_is_parted_where_the_verifier_is_not_sure(doubt: float | None) -> None:
    picture, runs = picture_of(LEFT, RIGHT), masks_of(LEFT | RIGHT)
    assert split_merged(UnsureVerifier(doubt=doubt), picture, runs, 0) is None


def test_one_object_stays_whole() -> None:
    assert split_merged(BrightVerifier(), picture_of(LEFT), masks_of(LEFT), 0) is None


def test_the_corrections_of_an_image_name_the_mask_that_was_taken_out(tmp_path: Path) -> None:
    Image.fromarray(picture_of(LEFT, RIGHT)).save(tmp_path / "1.png")
    table = table_of([LEFT | RIGHT, RIGHT], category="a")
    ids = table.masks.index
    columns = {"verifier_kind": ["merged", None], "verifier_iou": [0.5, 1.0]}
    scores = pd.DataFrame(columns | {"verifier_score": [0.1, 0.9]}, ids)
    pictures, verifier = ImageFolder(tmp_path), BrightVerifier()
    (found,) = find_corrections(table, scores, images=pictures, verifier=verifier)
    assert found.mask_id == ids[0]
    assert (found.kind, found.step_px, found.split_off) == ("merged", 0.0, ())
    assert found.taken_out == (ids[1],)
    assert found.corrected_iou > 0.9 > found.verifier_iou


def test_suggestions_say_what_becomes_of_the_mask() -> None:
    counts = [bytes(one) for one in encode_counts(masks_of(LEFT, RIGHT)).to_pylist()]
    one = MaskCorrection(7, "merged", counts[0], 0.0, 0.521, 0.91, (3, 9), (counts[1],), (0.88,))
    found = suggest_correction(one, SIDE, SIDE)
    assert found.words == (
        "split in two and masks 3, 9 taken out of it (expected IoU 0.52, then 0.91 and 0.88)"
    )
    assert found.added is not None
    assert (to_dense(found.mask, 0) == LEFT).all()
    assert (to_dense(found.added, 0) == RIGHT).all()
    alone = suggest_correction(replace(one, split_off=(), split_off_iou=()), SIDE, SIDE)
    assert alone.words == "masks 3, 9 taken out of it (expected IoU 0.52, then 0.91)"
    rims = replace(one, taken_out=(3,), rim_px=1204, split_off=(), split_off_iou=())
    assert suggest_correction(rims, SIDE, SIDE).words == (
        "mask 3 with 1,204 px beside taken out of it (expected IoU 0.52, then 0.91)"
    )
    assert alone.added is None
