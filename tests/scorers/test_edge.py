import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_tables import disc, table_of
from PIL import Image

from curate import rle
from curate.images import ImageFolder
from curate.scorers import edge as edge_module
from curate.scorers.edge import SCORERS, edge_measures


def drawn(seed=0, noise=12.0, contrast=60.0, height=200, width=240):
    """Draw objects on a textured ground; return the picture and the objects' true masks."""
    rng = np.random.default_rng(seed)
    texture = rng.normal(0, 1, (height // 4, width // 4))
    ground = np.asarray(Image.fromarray(texture).resize((width, height), Image.Resampling.BICUBIC))
    picture = 110 + noise * ground
    masks = []
    y, x = np.mgrid[:height, :width]
    for cx, cy in ((50, 50), (150, 60), (60, 150), (170, 140)):
        a, b, turn = rng.uniform(14, 34), rng.uniform(14, 34), rng.uniform(0, np.pi)
        u = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn)
        v = (y - cy) * np.cos(turn) - (x - cx) * np.sin(turn)
        mask = (u / a) ** 2 + (v / b) ** 2 < 1
        picture = picture + contrast * mask
        masks.append(mask)
    picture += rng.normal(0, noise / 4, picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8), masks


def shifted(mask, by):
    return np.roll(mask, (by, by), (0, 1))


def grown(mask, by):
    from scipy.ndimage import distance_transform_edt

    return distance_transform_edt(~mask) <= by if by > 0 else distance_transform_edt(mask) > -by


def score(picture, masks):
    runs = rle.concat([rle.from_dense(m) for m in masks])
    return edge_measures(runs, np.arange(len(masks)), picture)[:, 0]


def offsets(picture, masks):
    """Return how well the outlines are placed, and where the edge is instead, px."""
    runs = rle.concat([rle.from_dense(m) for m in masks])
    return edge_measures(runs, np.arange(len(masks)), picture)[:, 1:].T


@pytest.mark.parametrize(
    "spoil",
    [
        lambda m: shifted(m, 4),
        lambda m: shifted(m, 7),
        lambda m: grown(m, 3),
        lambda m: grown(m, -3),
    ],
)
def test_spoilt_outlines_score_lower(spoil):
    for seed in range(5):
        picture, masks = drawn(seed)
        true, spoilt = score(picture, masks), score(picture, [spoil(m) for m in masks])
        assert (true > spoilt + 0.1).all()
        assert true.min() > 0.8


@pytest.mark.parametrize("by", [-4, -3, -2, 2, 3, 4])
def test_an_outline_too_wide_or_too_tight_says_by_how_much(by):
    for seed in range(5):
        picture, masks = drawn(seed)
        true, at = offsets(picture, masks)
        spoilt, there = offsets(picture, [grown(m, by) for m in masks])
        assert (true > 0.9).all()
        assert (spoilt < 0.7).all()
        assert np.abs(there + by).max() <= 1
        assert (at[true == 1] == 0).all()


def test_a_flat_picture_has_its_edge_nowhere_else():
    picture = np.full((100, 120), 100, np.uint8)
    assert np.array(offsets(picture, [disc(60, 50, 25)])).ravel().tolist() == [1, 0]


def test_the_score_does_not_depend_on_contrast():
    picture, masks = drawn()
    darker = (picture.astype(np.uint16) // 4 * 4 // 2 + 20).astype(np.uint8)
    assert score(picture, masks) == pytest.approx(score(darker, masks), abs=0.03)
    colour = np.repeat(picture[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(score(picture, masks), score(colour, masks))


def test_colour_alone_is_an_edge():
    picture = np.full((100, 120, 3), 100, np.uint8)
    mask = disc(60, 50, 25)
    picture[mask] = (160, 70, 100)
    assert score(picture, [mask])[0] > 0.95


def test_a_flat_picture_says_nothing_either_way():
    picture = np.full((100, 120), 100, np.uint8)
    assert score(picture, [disc(60, 50, 25)])[0] == 0.5


@given(st.integers(0, 2**32 - 1))
def test_any_mask_gives_a_share_or_nan(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 40, 2)
    picture = rng.integers(0, 256, (height, width), np.uint8)
    masks = [rng.random((height, width)) < share for share in (0.05, 0.5, 0.95)]
    for mask in masks:
        mask.flat[rng.integers(mask.size)] = True
    for scores in (score(picture, masks), offsets(picture, masks)[0]):
        assert (np.isnan(scores) | ((scores >= 0) & (scores <= 1))).all()


def test_masks_without_an_outline_in_the_picture(tmp_path):
    picture, masks = drawn()
    Image.fromarray(picture).save(tmp_path / "1.png")
    whole, nothing, dot = np.ones_like(masks[0]), np.zeros_like(masks[0]), np.zeros_like(masks[0])
    dot[5, 5] = True
    table = table_of([*masks, whole, nothing, dot])
    scores = SCORERS[0](table, images=ImageFolder(tmp_path))["edge_score"]
    assert scores.isna().tolist() == [False] * 4 + [True] * 3
    backwards = SCORERS[0](table[::-1], images=ImageFolder(tmp_path))["edge_score"]
    np.testing.assert_array_equal(backwards.loc[scores.index], scores)


def test_pictures_missing_broken_or_of_another_size(tmp_path):
    picture, masks = drawn()
    (tmp_path / "2.png").write_bytes(b"broken")
    Image.fromarray(picture.T).save(tmp_path / "3.png")
    Image.fromarray(picture).save(tmp_path / "4.png")
    table = table_of(masks, images=[1, 2, 3, 4])
    scores = SCORERS[0](table, images=ImageFolder(tmp_path))["edge_score"]
    assert scores.isna().tolist() == [True, True, True, False]


def test_masks_of_an_image_that_is_not_listed(tmp_path):
    _, masks = drawn()
    table = table_of(masks)
    table = type(table)(table.masks, table.images.iloc[:0])
    assert SCORERS[0](table, images=ImageFolder(tmp_path))["edge_score"].isna().all()
    assert SCORERS[0](table[:0], images=ImageFolder(tmp_path)).empty


def test_real_masks_shifted_score_lower(data):
    from curate.formats.reading import read

    folder = data / "coco_val2017"
    table = read(folder / "instances.json")[:60]
    images = ImageFolder(folder / "images")
    true = SCORERS[0](table, images=images)["edge_score"].to_numpy()
    large = table.masks["area_px"].to_numpy() > 1000
    better = []
    for row in np.flatnonzero(large & ~np.isnan(true)):
        mask = table.masks.iloc[row]
        size = (int(mask["height"]), int(mask["width"]))
        dense = rle.to_dense(table.runs, row)
        moved = np.zeros_like(dense)
        moved[6:, 6:] = dense[:-6, :-6]
        picture = images.load(mask["file_name"], size)
        better.append(true[row] > score(picture, [moved])[0])
    assert np.mean(better) > 0.85


def test_real_masks_made_wider_or_tighter_are_told_from_what_they_were(data):
    from curate.formats.reading import read

    folder = data / "coco_val2017"
    table = read(folder / "instances.json")[:80]
    images = ImageFolder(folder / "images")
    true = SCORERS[0](table, images=images)["edge_offset_score"].to_numpy()
    large = table.masks["area_px"].to_numpy() > 1000
    lower = []
    for row in np.flatnonzero(large & ~np.isnan(true)):
        mask = table.masks.iloc[row]
        picture = images.load(mask["file_name"], (int(mask["height"]), int(mask["width"])))
        dense = rle.to_dense(table.runs, row)
        lower += [true[row] > offsets(picture, [grown(dense, by)])[0][0] for by in (-3, 3)]
    assert np.mean(lower) > 0.7


def test_a_large_picture_is_measured_in_bands(tmp_path, monkeypatch):
    """The same numbers, whatever of the picture is in memory at a time."""
    picture, masks = drawn(3)
    colour = np.dstack([picture, picture // 2, 255 - picture])
    masks.append(np.ones_like(masks[0]))
    masks.append(np.pad(np.ones((180, 238), bool), ((10, 10), (1, 1))))
    Image.fromarray(colour).save(tmp_path / "a.png")
    table = table_of(masks, names={1: "a.png"})
    whole = edge_module.edge(table, images=ImageFolder(tmp_path))
    assert whole["edge_score"].notna().sum() == len(masks) - 1
    monkeypatch.setattr(edge_module, "BAND_PIXELS", 2_000)
    monkeypatch.setattr(edge_module, "MASKS_AT_ONCE", 4)
    pd.testing.assert_frame_equal(edge_module.edge(table, images=ImageFolder(tmp_path)), whole)
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:9000])
    assert edge_module.edge(table, images=ImageFolder(tmp_path)).isna().all(axis=None)
