"""Crops and corruptions of masks that a verifier is trained on."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from curate.networks.verifier_training.corruptions import (
    KINDS,
    LARGEST_IOU,
    MOST_IOU,
    MaskScene,
    corrupt,
)
from curate.networks.verifiers.crops import (
    CHANNELS,
    SIDES,
    CropJitter,
    crop_mask,
    make_crops,
    signed_distance,
)
from curate.networks.verifiers.mask_frames import OBJECT_SIDE, ImageCover, MaskFrame
from curate.rle import bbox, concat, from_dense


def ellipse(height=120, width=160, middle=(60, 70), radii=(20, 30)):
    y, x = np.mgrid[:height, :width]
    return ((y - middle[0]) / radii[0]) ** 2 + ((x - middle[1]) / radii[1]) ** 2 <= 1


def scene_of(mask, other=None, seed=0):
    runs = concat([from_dense(mask), *([] if other is None else [from_dense(other)])])
    masks = ImageCover.of(runs)
    frame = masks.cut(0)
    beside = None if other is None else masks.cut_beside(1, frame)
    side = len(frame.pixels)

    def look(left, top):
        width = round(side / frame.scale)
        return masks.cut_others(0, (left, top, width, width), side)

    return MaskScene(frame, beside, np.random.default_rng(seed), look)


def frame_of(mask):
    return scene_of(mask).frame


def test_a_frame_holds_the_mask_where_it_is():
    mask = ellipse()
    frame = frame_of(mask)
    x, y, w, h = bbox(from_dense(mask))[0]
    assert frame.scale == 1
    assert frame.box() == (x, y, x + w, y + h)
    assert frame.pixels.sum() == mask.sum()


def test_a_large_mask_is_reduced():
    mask = ellipse(700, 900, (350, 450), (200, 300))
    frame = frame_of(mask)
    assert frame.scale == pytest.approx(OBJECT_SIDE / 601, rel=0.02)
    box = np.array(frame.box())
    np.testing.assert_allclose(box, [150, 150, 751, 551], atol=1.5 / frame.scale)
    assert frame.pixels.sum() / frame.scale**2 == pytest.approx(mask.sum(), rel=0.05)


def test_a_mask_that_would_vanish_when_reduced_keeps_pixels():
    mask = np.zeros((400, 400), bool)
    mask[200, :] = True
    frame = frame_of(mask)
    assert frame.pixels.any()


def test_channels_of_a_crop():
    mask = ellipse(middle=(60, 20))
    picture = Image.fromarray(np.repeat(np.where(mask, 200, 50).astype(np.uint8)[..., None], 3, 2))
    crops = make_crops(picture, frame_of(mask))
    both = (crops.close, crops.wide)
    assert [crop.shape for crop in both] == [(CHANNELS, side, side) for side in SIDES]
    for crop in both:
        colours, drawn, distance, seen = crop[:3], crop[3], crop[4], crop[5] > 0
        assert set(np.unique(crop[5])) == {0, 1}
        assert not seen[:, 0].any()  # the window reaches over the left border
        assert (colours[:, ~seen] == 0).all()
        assert colours[0][seen & (drawn > 0.9)].mean() > colours[0][seen & (drawn < 0.1)].mean() + 1
        assert ((distance > 0) == (drawn >= 0.5)).mean() > 0.98
        assert distance.min() >= -1
        assert distance.max() <= 1


def test_a_mirrored_crop_is_the_crop_mirrored():
    mask = ellipse()
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8))
    frame = frame_of(mask)
    plain, mirrored = make_crops(picture, frame), make_crops(picture, frame, CropJitter(flip=True))
    np.testing.assert_array_equal(plain.close[:, :, ::-1], mirrored.close)
    truth = crop_mask(frame, frame, CropJitter(flip=True))
    np.testing.assert_allclose(
        truth, mirrored.close[3].reshape(32, 2, 32, 2).mean((1, 3)), atol=1e-6
    )


def test_signed_distance():
    mask = np.zeros((9, 9), bool)
    assert (signed_distance(mask) < -8).all()
    assert (signed_distance(~mask) > 8).all()
    mask[3:6, 3:6] = True
    found = signed_distance(mask)
    assert found[4, 4] == 1.5
    assert found[3, 3] == 0.5
    assert found[2, 4] == -0.5


def iou(mask: MaskFrame, other: MaskFrame, shape: tuple[int, int]) -> float:
    """Return the IoU of masks of scale 1, in the whole image."""
    whole = []
    for frame in (mask, other):
        pixels = np.zeros(shape, bool)
        rows, columns = np.nonzero(frame.pixels)
        pixels[rows + int(frame.top), columns + int(frame.left)] = True
        whole.append(pixels)
    return float((whole[0] & whole[1]).sum() / (whole[0] | whole[1]).sum())


@pytest.mark.parametrize("kind", range(len(KINDS)), ids=KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_every_kind_of_error_is_made_and_measured(kind, seed):
    mask, other = ellipse(), ellipse(middle=(60, 125), radii=(18, 18))
    scene = scene_of(mask, other, seed)
    frame = scene.frame
    made = corrupt(scene, kind)
    assert made is not None
    assert made.kind == kind
    assert made.iou == pytest.approx(iou(frame, made.frame, mask.shape), abs=0.02)
    before, after = int(frame.pixels.sum()), int(made.frame.pixels.sum())
    name = KINDS[kind]
    if name in ("too large", "merged"):
        assert after > before
        assert (made.frame.pixels >= frame.pixels).mean() > 0.97
    if name in ("too small", "part missing", "holes"):
        assert after < before
        assert not (made.frame.pixels & ~frame.pixels).any()
    if name == "drawn twice":
        assert (made.frame.others & frame.pixels).sum() == before
        assert made.iou > 0.8
    if name == "not an object":
        assert after < 0.7 * before
    assert made.iou <= MOST_IOU.get(name, LARGEST_IOU)


def test_an_object_that_is_drawn_in_has_a_mask_of_its_own_or_none():
    mask, other = ellipse(), ellipse(middle=(60, 125), radii=(18, 18))
    kept = set()
    for seed in range(12):
        scene = scene_of(mask, other, seed)
        made = corrupt(scene, KINDS.index("merged"))
        shared = (made.frame.others & scene.neighbour).sum() / scene.neighbour.sum()
        assert shared in (0, 1)
        kept.add(float(shared))
    assert kept == {0.0, 1.0}


def test_no_neighbour_no_merged_mask():
    assert corrupt(scene_of(ellipse()), KINDS.index("merged")) is None


def test_other_masks_are_a_channel_and_the_own_one_is_not():
    mask, other = ellipse(), ellipse(middle=(60, 125), radii=(18, 18))
    scene = scene_of(mask, other)
    whole = np.zeros(mask.shape, bool)
    rows, columns = np.nonzero(scene.frame.others)
    whole[rows + int(scene.frame.top), columns + int(scene.frame.left)] = True
    inside = np.zeros(mask.shape, bool)
    top, left, side = int(scene.frame.top), int(scene.frame.left), len(scene.frame.pixels)
    inside[max(0, top) : top + side, max(0, left) : left + side] = True
    np.testing.assert_array_equal(whole, other & ~mask & inside)
    picture = Image.new("RGB", (160, 120))
    crops = make_crops(picture, scene.frame)
    assert crops.wide[6].max() == 1
    assert (crops.wide[6] * crops.wide[3] > 0.5).mean() < 0.01


def test_a_mask_somewhere_else_has_the_others_of_that_place():
    mask, other = ellipse(middle=(60, 40), radii=(15, 15)), ellipse(middle=(60, 120))
    made = corrupt(scene_of(mask, other, 2), KINDS.index("in the wrong place")).frame
    y, x = np.mgrid[: len(made.pixels), : len(made.pixels)]
    rows, columns = y + int(made.top), x + int(made.left)
    inside = (rows >= 0) & (rows < 120) & (columns >= 0) & (columns < 160)
    expected = np.zeros_like(made.others)
    expected[inside] = other[rows[inside], columns[inside]]
    np.testing.assert_array_equal(made.others, expected)


def test_the_window_of_a_large_object_is_drawn_within_the_image_only():
    """Against the same reduction of the whole window."""
    mask = ellipse(300, 420, (130, 230), (170, 250))
    other = ellipse(300, 420, (40, 40), (60, 60))
    masks = ImageCover.of(concat([from_dense(mask), from_dense(other)]))
    frame = masks.cut(0)
    side = round(len(frame.pixels) / frame.scale)
    for found, drawn in ((frame.pixels, mask), (frame.others, other & ~mask)):
        whole = np.zeros((side, side), np.uint8)
        rows, columns = np.nonzero(drawn)
        whole[rows - int(frame.top), columns - int(frame.left)] = 255
        shares = Image.fromarray(whole).resize(found.shape, Image.Resampling.BOX)
        assert (
            found == (np.asarray(shares) >= 128)
        ).mean() > 0.99  # phases differ by parts of a pixel
        assert found.any()
