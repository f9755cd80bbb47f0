"""What happened to every mask: the edits that were made, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask
from random_cases import draws

import curate
from curate import cli
from curate.dataset.difference import CHANGES, Difference
from curate.errors import CurateError
from curate.store.audit_info import SCHEMA_VERSION

HEIGHT, WIDTH = 24, 40
IMAGES = ("a.jpg", "b.jpg")
CATEGORIES = ("cat", "dog", "bird")
HOW_TO = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "diff.md"

Box = tuple[int, int, int, int]


def box(x: int, y: int, w: int, h: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[y : y + h, x : x + w] = 1
    return mask


def rle(mask: np.ndarray) -> dict[str, Any]:
    packed = coco_mask.encode(np.asfortranarray(mask))
    return {"size": list(mask.shape), "counts": packed["counts"].decode()}


def one(number: int | None, at: Box | np.ndarray, category: int = 1, image: int = 1) -> dict:
    """An annotation; without an id where ``number`` is None."""
    mask = at if isinstance(at, np.ndarray) else box(*at)
    stated = {} if number is None else {"id": number}
    return {**stated, "image_id": image, "category_id": category, "segmentation": rle(mask)}


def coco(path: Path, masks: list[dict], names: tuple[str, ...] = IMAGES, **more: Any) -> Path:
    images = [
        {"id": k, "file_name": name, "height": HEIGHT, "width": WIDTH}
        for k, name in enumerate(names, 1)
    ]
    categories = [{"id": k, "name": name} for k, name in enumerate(CATEGORIES, 1)]
    content = {"images": images, "annotations": masks, "categories": categories} | more
    path.write_text(json.dumps(content))
    return path


def results(path: Path, masks: list[dict]) -> Path:
    """Write a results list, which has no ids."""
    rows = [{k: v for k, v in mask.items() if k != "id"} | {"score": 0.5} for mask in masks]
    path.write_text(json.dumps(rows))
    return path


def found(difference: Difference) -> list[tuple[str, int | None, int | None]]:
    """Changes with the ids that the masks had."""
    return [
        (row["change"], row["mask_id_a"], row["mask_id_b"])
        for row in difference.as_dict(rows=10**6)["masks"]
    ]


FIVE = [
    one(10, (0, 0, 10, 10)),
    one(11, (12, 0, 10, 10)),
    one(12, (24, 0, 10, 10), 2),
    one(13, (0, 12, 10, 10), 2),
    one(14, (20, 12, 6, 6), 3, image=2),
]


def test_known_edits_of_a_coco_file(tmp_path: Path) -> None:
    edited = [
        one(15, (0, 0, 5, 5), 3, image=2),
        one(12, (26, 0, 10, 10), 3),  # 8 of 12 columns shared, and another category
        one(11, (12, 0, 10, 4)),  # 40 of 100 pixels: less than any guess would accept
        one(10, (0, 0, 10, 10), 3),
        one(14, (20, 12, 6, 6), 3, image=2),
    ]
    difference = curate.diff(coco(tmp_path / "a.json", FIVE), coco(tmp_path / "b.json", edited))
    frame = difference.masks
    assert found(difference) == [
        ("redrawn", 11, 11),
        ("moved and relabelled", 12, 12),
        ("relabelled", 10, 10),
        ("removed", 13, None),
        ("added", None, 15),
    ]
    assert frame["iou"].tolist() == pytest.approx([0.4, 8 / 12, 1, np.nan, np.nan], nan_ok=True)
    assert frame["file_name"].tolist() == ["a.jpg"] * 4 + ["b.jpg"]
    assert frame["category_a"].tolist()[:4] == ["cat", "dog", "cat", "dog"]
    assert frame["category_b"].tolist()[1:3] == ["bird", "bird"]
    assert frame["source_key_a"].tolist()[0] == "a.json#/annotations/1"
    assert frame["source_key_b"].tolist()[4] == "b.json#/annotations/0"
    assert (difference.unchanged, difference.equal) == (1, False)
    assert difference.categories == "names"


@pytest.mark.parametrize("audited", [False, True])
def test_ids_that_readers_gave_name_no_mask(tmp_path: Path, audited: bool) -> None:
    """Without the first two masks the others get other numbers: these are not the same masks."""
    masks = [mask | {"id": None} for mask in FIVE]
    sides = [coco(tmp_path / "a.json", masks), coco(tmp_path / "b.json", masks[2:])]
    if audited:
        sides = [curate.audit(side, side.with_suffix(".audit")).path for side in sides]
    difference = curate.diff(*sides)
    assert [row["change"] for row in difference.as_dict(rows=10)["masks"]] == ["removed"] * 2
    assert difference.unchanged == 3


def test_masks_that_were_moved(tmp_path: Path) -> None:
    """By its id, by its overlap, or by its shape alone where no other has it."""
    shape = box(0, 0, 8, 6)
    shape[2:4, 3:6] = 0
    near, far = np.roll(shape, (1, 2), (0, 1)), np.roll(shape, (14, 25), (0, 1))
    small = [one(5, (36, 0, 3, 3)), one(6, (36, 10, 3, 3))]
    a = coco(tmp_path / "a.json", [one(1, shape), small[0]])
    for moved, by in ((near, (2, 1)), (far, (25, 14))):
        for number in (1, 70):
            b = coco(tmp_path / "b.json", [one(number, moved), one(5, (36, 0, 3, 3))])
            difference = curate.diff(a, b)
            row = difference.masks.iloc[0]
            if number == 70:  # the other mask kept its id, so this one is another
                assert difference.counts["removed"] == difference.counts["added"] == 1
            else:
                assert found(difference) == [("moved", 1, number)]
                assert (row["moved_x"], row["moved_y"]) == by
                assert row["iou"] == pytest.approx(iou(shape, moved))
    before, after = [one(None, shape), *small], [one(None, far), one(None, (20, 0, 3, 3))]
    listed = results(tmp_path / "c.json", before), results(tmp_path / "d.json", after)
    # Masks of nine pixels look like each other anywhere.
    changes = [("moved", 0, 0), ("removed", 1, None), ("removed", 2, None), ("added", None, 1)]
    assert found(curate.diff(*listed)) == changes


def test_masks_that_were_split_and_merged(tmp_path: Path) -> None:
    whole, other = one(1, (0, 0, 20, 10)), one(2, (22, 0, 10, 10))
    halves = [one(1, (0, 0, 11, 10)), one(3, (11, 0, 9, 10))]
    a, b = (
        coco(tmp_path / f"{k}.json", [*masks, other])
        for k, masks in (("a", [whole]), ("b", halves))
    )
    difference = curate.diff(a, b)
    assert found(difference) == [("split", 1, 3), ("split", 1, 1)]
    assert difference.masks["iou"].tolist() == pytest.approx([0.45, 0.55])
    assert difference.counts["split"] == difference.unchanged == 1
    back = curate.diff(b, a)
    assert found(back) == [("merged", 3, 1), ("merged", 1, 1)]
    assert back.counts["merged"] == back.unchanged == 1
    # A button on a shirt of which a rim was cut off: the shirt still covers it.
    shirt = [one(1, (0, 0, 19, 10)), one(3, (4, 4, 3, 3))]
    c = coco(tmp_path / "c.json", [*shirt, other])
    assert found(curate.diff(a, c)) == [("redrawn", 1, 1), ("added", None, 3)]
    # A corner that is left, and one thing that came: what they hold of the whole is not enough.
    d = coco(tmp_path / "d.json", [one(1, (0, 0, 4, 4)), one(3, (10, 0, 8, 8)), other])
    assert found(curate.diff(a, d)) == [("redrawn", 1, 1), ("added", None, 3)]


def test_a_redraw_within_the_tolerance_is_no_change(tmp_path: Path) -> None:
    a = coco(tmp_path / "a.json", FIVE)
    b = coco(tmp_path / "b.json", [one(10, (0, 0, 10, 9)), *FIVE[1:]])
    difference = curate.diff(a, b)
    assert found(difference) == [("redrawn", 10, 10)]
    distance = difference.masks["outline_distance"][0]
    assert 0.2 < distance < 0.4  # a quarter of the outline lies one pixel away, corners less
    for same in ({"same_iou": 0.9}, {"same_outline": distance}):
        assert curate.diff(a, b, **same).equal
    for near in ({"same_iou": 0.91}, {"same_outline": 0.99 * distance}):
        assert curate.diff(a, b, **near).counts["redrawn"] == 1
    for wrong in ({"same_iou": 0}, {"same_iou": 1.1}, {"same_outline": -1}):
        with pytest.raises(CurateError, match="; give a number"):
            curate.diff(a, b, **wrong)


def test_categories_that_changed_as_a_whole(tmp_path: Path) -> None:
    masks = [one(k, (3 * k, 0, 2, 9), 1 + (k > 1)) for k in range(1, 12)]
    a = coco(tmp_path / "a.json", masks)
    renamed = [{"id": 1, "name": "kitten"}, {"id": 2, "name": "dog"}]
    difference = curate.diff(a, coco(tmp_path / "b.json", masks, categories=renamed))
    assert (difference.unchanged, difference.equal) == (11, False)
    assert difference.as_dict()["category_changes"] == [
        {
            "change": "renamed",
            "category_a": "cat",
            "category_b": "kitten",
            "category_id_a": "#1",
            "category_id_b": "#1",
            "masks": 1,
        }
    ]
    assert 'category "cat" renamed to "kitten" (1 mask)' in difference.text()
    # Ten dogs are cats now, and there is no dog left; one cat of its own was moved besides.
    merged = [one(1, (0, 12, 2, 9)), *(mask | {"category_id": 1} for mask in masks[1:])]
    difference = curate.diff(a, coco(tmp_path / "c.json", merged))
    assert found(difference) == [("moved", 1, 1)]
    assert 'category "dog" merged into "cat" (10 masks)' in difference.text()
    few = [masks[0], *(mask | {"category_id": 1} for mask in masks[1:5])]
    difference = curate.diff(coco(tmp_path / "d.json", masks[:5]), coco(tmp_path / "e.json", few))
    assert difference.counts["relabelled"] == 4
    assert not len(difference.category_changes)
    anew = [{"id": 7, "name": "cat"}, {"id": 2, "name": "dog"}]
    numbered = [mask | {"category_id": 7 if mask["category_id"] == 1 else 2} for mask in masks]
    difference = curate.diff(a, coco(tmp_path / "f.json", numbered, categories=anew))
    assert difference.equal
    assert difference.text().splitlines()[-1] == 'category "cat" renumbered #1 to #7 (1 mask)'


def test_images_of_another_name_with_the_same_masks(tmp_path: Path) -> None:
    a = coco(tmp_path / "a.json", FIVE)
    difference = curate.diff(a, coco(tmp_path / "b.json", FIVE, ("new.jpg", "b.jpg")))
    assert difference.unchanged == 5
    row = difference.as_dict()["images"][0]
    assert (row["change"], row["file_name"], row["new_name"]) == ("renamed", "a.jpg", "new.jpg")
    assert "1 image of another name with the same masks" in difference.text()
    # Of two images with equal masks none can be told; what covers all of an image tells nothing.
    twice = [mask | {"image_id": image} for mask in FIVE[:2] for image in (1, 2)]
    every = [one(k, (0, 0, WIDTH, HEIGHT), image=k) for k in (1, 2)]
    for masks in (twice, every):
        numbered = [mask | {"id": k} for k, mask in enumerate(masks)]
        c = coco(tmp_path / "c.json", numbered)
        d = coco(tmp_path / "d.json", numbered, ("x.jpg", "y.jpg"))
        assert curate.diff(c, d).image_counts == {
            "removed": 2,
            "added": 2,
            "resized": 0,
            "renamed": 0,
        }


def test_pairs_are_those_that_share_most_together(tmp_path: Path) -> None:
    """The pair of the greatest IoU would leave two masks alone that have a partner each."""
    before = [one(None, (0, 0, 20, 10)), one(None, (4, 0, 20, 10))]
    after = [one(None, (3, 0, 20, 10), 1), one(None, (9, 0, 20, 10), 1)]
    sides = results(tmp_path / "a.json", before), results(tmp_path / "b.json", after)
    assert found(curate.diff(*sides)) == [("moved", 1, 1), ("moved", 0, 0)]


def test_a_row_a_change_in_json_lines(tmp_path: Path) -> None:
    a = coco(tmp_path / "a.json", FIVE)
    b = coco(tmp_path / "b.json", FIVE[1:], ("a.jpg", "b.jpg", "c.jpg"))
    rows = [json.loads(line) for line in curate.diff(a, b).json_lines()]
    assert [(row["of"], row["change"], row["file_name"]) for row in rows] == [
        ("image", "added", "c.jpg"),
        ("mask", "removed", "a.jpg"),
    ]
    assert rows[1]["mask_id_a"] == 10


def test_order_ids_and_scores_are_no_difference(tmp_path: Path) -> None:
    other = [mask | {"id": mask["id"] + 500, "score": 0.1} for mask in reversed(FIVE)]
    difference = curate.diff(coco(tmp_path / "a.json", FIVE), coco(tmp_path / "b.json", other))
    assert difference.equal
    assert difference.unchanged == 5
    assert difference.a["version"] == difference.b["version"]
    assert difference.text().splitlines()[-1] == (
        "equal: 5 masks unchanged; boxes, areas, crowd flags and scores are not compared"
    )


def test_a_file_renumbered_on_saving_does_not_pair_wrong_masks(tmp_path: Path) -> None:
    before = [one(k, (8 * k, 0, 6, 10)) for k in range(5)]
    after = [one(0, (0, 0, 6, 10)), one(1, (16, 0, 6, 9)), one(2, (24, 0, 6, 10))]
    after.append(one(3, (32, 0, 6, 10)))
    difference = curate.diff(coco(tmp_path / "a.json", before), coco(tmp_path / "b.json", after))
    assert found(difference) == [("redrawn", 2, 1), ("removed", 1, None)]
    assert difference.masks["iou"][0] == pytest.approx(0.9)


@pytest.mark.parametrize("twice", [False, True])
def test_ids_that_the_reader_gave_out_identify_nothing(tmp_path: Path, twice: bool) -> None:
    """Masks without an id, or with one that occurs twice, get one by their place in the file."""
    number = 1 if twice else None
    before = [one(1, (0, 0, 5, 5)), *(one(number, (8 * k, 8, 4, 4)) for k in range(1, 4))]
    after = [before[0], before[2], one(number, (30, 20, 4, 4))]
    tables = [curate.read(coco(tmp_path / f"{k}.json", m)) for k, m in enumerate((before, after))]
    moved = set(tables[0].masks.index) & set(tables[1].masks.index)
    assert len(moved) > 1, "the reader's ids meet"
    difference = curate.diff(tmp_path / "0.json", tmp_path / "1.json")
    assert difference.counts == {
        **dict.fromkeys(CHANGES, 0),
        "unchanged": 2,
        "removed": 2,
        "added": 1,
    }


@pytest.mark.parametrize("images", [1, 2])
def test_ids_of_sa1b_count_where_they_are_the_files_own(tmp_path: Path, images: int) -> None:
    """Ids from 0 in every image make the reader number all masks anew."""
    drawn = [(0, 0, 6, 6), (10, 0, 6, 6), (20, 0, 6, 6)]
    for name, of in (("a", drawn), ("b", [drawn[0], (10, 9, 6, 2), (20, 0, 6, 6)])):
        (tmp_path / name).mkdir()
        for k in range(images):
            masks = [
                {"id": n, "segmentation": rle(box(*at)), "predicted_iou": 0.9}
                for n, at in enumerate(of)
            ]
            if k == 0 and images == 2 and name == "b":
                del masks[0]
            image = {"image_id": k, "file_name": f"{k}.jpg", "height": HEIGHT, "width": WIDTH}
            content = json.dumps({"image": image, "annotations": masks})
            (tmp_path / name / f"sa_{k}.json").write_text(content)
    counts = curate.diff(tmp_path / "a", tmp_path / "b").counts
    if images == 1:
        assert (counts["unchanged"], counts["redrawn"], counts["removed"]) == (2, 1, 0)
    else:
        assert (counts["unchanged"], counts["redrawn"]) == (3, 0)
        assert (counts["removed"], counts["added"]) == (3, 2)


def test_masks_without_ids_are_paired_by_pixels_then_by_iou(tmp_path: Path) -> None:
    before = [one(None, (0, 0, 4, 4))]
    before += [one(None, (0, 8, 10, 10)), one(None, (2, 8, 10, 10)), one(None, (20, 0, 9, 9), 2)]
    after = [one(None, (2, 9, 10, 10)), one(None, (0, 8, 10, 9)), one(None, (20, 0, 9, 9), 3)]
    difference = curate.diff(
        results(tmp_path / "a.json", before), results(tmp_path / "b.json", after)
    )
    assert found(difference) == [
        ("redrawn", 1, 1),
        ("moved", 2, 0),
        ("relabelled", 3, 2),
        ("removed", 0, None),
    ]
    assert difference.masks["iou"].tolist()[:2] == pytest.approx([0.9, 90 / 110])
    assert difference.masks.loc[1, ["moved_x", "moved_y"]].tolist() == [0, 1]
    assert difference.categories == "numbers"
    assert difference.masks["category_b"][2] == "#3"


def test_a_mask_that_went_and_one_that_came_in_its_place_are_two(tmp_path: Path) -> None:
    """Where ids are kept, another id is another mask, however much of it lies over the old one."""
    a = coco(tmp_path / "a.json", FIVE)
    b = coco(tmp_path / "b.json", [*FIVE[1:], one(20, (0, 0, 10, 9))])
    assert found(curate.diff(a, b)) == [("removed", 10, None), ("added", None, 20)]


@pytest.mark.parametrize("audited", [False, True])
def test_a_large_redraw_of_masks_without_ids_is_found_at_its_place(
    tmp_path: Path, audited: bool
) -> None:
    """Between the same two masks, of one category, and overlapping: all three are needed."""
    before = [one(None, (8 * k, 0, 7, 10)) for k in range(4)]
    before += [one(None, (8 * k, 12, 7, 10)) for k in range(4)]
    after = [before[0], one(None, (8, 8, 7, 3)), *before[3:]]  # the third is gone
    after[3:5] = [one(None, (1, 20, 3, 3), 2), one(None, (12, 10, 7, 3))]  # other category; beside
    after.append(one(None, (24, 9, 7, 2)))  # behind all: over the fourth, which stays
    sides = [results(tmp_path / f"{k}.json", masks) for k, masks in enumerate((before, after))]
    if audited:
        sides = [curate.audit(side, side.with_suffix(".audit")).path for side in sides]
    difference = curate.diff(*sides)
    assert found(difference) == [
        ("redrawn", 5, 4),
        ("redrawn", 1, 1),
        ("removed", 2, None),
        ("removed", 4, None),
        ("added", None, 3),
        ("added", None, 7),
    ]
    assert difference.masks["iou"].tolist()[:2] == pytest.approx([3 / 88, 14 / 77])


def test_an_own_id_is_trusted_for_what_else_is_left_of_a_renumbered_image(tmp_path: Path) -> None:
    """Most other masks have changed their ids, and neither place nor IoU says which one it was."""
    before = [one(k, (8 * k, 0, 6, 10)) for k in range(4)]
    after = [one(k + 20, (8 * k, 0, 6, 10)) for k in (3, 2, 1)] + [one(0, (0, 8, 6, 9))]
    a = coco(tmp_path / "a.json", before)
    assert found(curate.diff(a, coco(tmp_path / "b.json", after))) == [("redrawn", 0, 0)]
    after[-1]["category_id"] = 2
    assert curate.diff(a, coco(tmp_path / "c.json", after)).counts["redrawn"] == 0


def test_of_two_equal_masks_one_goes(tmp_path: Path) -> None:
    twins = [one(None, (0, 0, 8, 8), 1), one(None, (0, 0, 8, 8), 2)]
    for gone in (0, 1):
        difference = curate.diff(
            results(tmp_path / f"a{gone}.json", twins),
            results(tmp_path / f"b{gone}.json", [twins[1 - gone]]),
        )
        assert found(difference) == [("removed", gone, None)]
        assert difference.unchanged == 1


def test_masks_without_pixels_are_equal_to_each_other(tmp_path: Path) -> None:
    broken = one(3, (0, 0, 3, 3))
    broken["segmentation"] = {"size": [HEIGHT, WIDTH], "counts": "~"}
    before = [one(1, (0, 0, 0, 0)), broken, one(4, (5, 5, 5, 5))]
    after = [one(4, (0, 0, 0, 0)), broken | {"category_id": 2}, one(1, (0, 0, 0, 0))]
    difference = curate.diff(coco(tmp_path / "a.json", before), coco(tmp_path / "b.json", after))
    assert found(difference) == [("redrawn", 4, 4), ("relabelled", 3, 3)]
    assert difference.masks["iou"].tolist() == pytest.approx([0.0, np.nan], nan_ok=True)
    assert difference.unchanged == 1


def test_images_are_found_by_name_and_their_sizes_compared(tmp_path: Path) -> None:
    names = ("train/a.jpg", "train/b.jpg", "val/b.jpg", "gone.jpg", "small.jpg")
    before = [one(k, (k, k, 9, 9), image=k) for k in range(1, 6)]
    a = coco(tmp_path / "a.json", before, names)
    # The images in another order, so under other ids; a.png by its base name, b by its whole name.
    moved = ("small.jpg", "new.jpg", "val/b.jpg", "train/b.jpg", "x\\a.png")
    after = [one(3, (3, 3, 9, 9), image=3), one(2, (2, 2, 9, 9), image=4)]
    after += [one(1, (1, 1, 9, 9), image=5), one(5, (5, 5, 9, 9), image=1)]
    b = coco(tmp_path / "b.json", after, moved)
    content = json.loads(b.read_text())
    content["images"][0] |= {"height": WIDTH, "width": HEIGHT}
    turned = np.ascontiguousarray(box(5, 5, 9, 9).T)
    content["annotations"][-1]["segmentation"] = rle(turned)
    b.write_text(json.dumps(content))
    difference = curate.diff(a, b)
    assert [tuple(row) for row in difference.images.iloc[:, :2].to_numpy()] == [
        ("removed", "gone.jpg"),
        ("added", "new.jpg"),
        ("resized", "small.jpg"),
    ]
    assert difference.images.iloc[2, 5:].tolist() == [HEIGHT, WIDTH, WIDTH, HEIGHT]
    assert found(difference) == [("redrawn", 5, 5), ("removed", 4, None)]
    assert np.isnan(difference.masks["iou"][0])
    assert difference.unchanged == 3
    text = difference.text()
    assert "1 image only in A" in text
    assert "1 image of another size" in text


def label_png(path: Path, ids: Mapping[int, Box]) -> None:
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
    for value, at in ids.items():
        pixels[box(*at) > 0] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def test_datasets_of_two_formats(tmp_path: Path) -> None:
    """A format without categories is no reason to call every mask relabelled."""
    a = coco(tmp_path / "a.json", FIVE)
    label_png(tmp_path / "b/a.png", {1: (0, 0, 10, 10), 2: (12, 0, 10, 6), 10: (0, 12, 10, 10)})
    label_png(tmp_path / "b/b.png", {1: (20, 12, 6, 6)})
    difference = curate.diff(a, tmp_path / "b")
    assert difference.categories == "none"
    assert difference.counts == {
        **dict.fromkeys(CHANGES, 0),
        "unchanged": 3,
        "redrawn": 1,
        "removed": 1,
    }
    assert difference.masks["iou"][0] == pytest.approx(0.6)
    assert "categories are not compared: B has none" in difference.text()
    neither = curate.diff(tmp_path / "b", tmp_path / "b").text()
    assert "categories are not compared: neither dataset has any" in neither


def test_pixel_ids_identify_a_mask_that_moved(tmp_path: Path) -> None:
    label_png(tmp_path / "a/x.png", {1: (0, 0, 5, 5), 3: (8, 0, 5, 5), 9: (20, 0, 5, 5)})
    label_png(tmp_path / "b/x.png", {1: (0, 0, 5, 5), 3: (8, 9, 5, 5)})
    frame = curate.diff(tmp_path / "a", tmp_path / "b").masks
    assert frame[["change", "source_key_a"]].to_numpy().tolist() == [
        ["moved", "x.png#3"],
        ["removed", "x.png#9"],
    ]
    assert frame["iou"][0] == 0


def test_audits_stand_for_the_masks_that_they_audited(tmp_path: Path) -> None:
    a = coco(tmp_path / "a.json", FIVE)
    b = coco(tmp_path / "b.json", [FIVE[0], *FIVE[2:], one(99, (30, 16, 4, 4))])
    audits = [curate.audit(path, path.with_suffix(".audit")).path for path in (a, b)]
    assert curate.diff(a, audits[0]).equal
    difference = curate.diff(*audits)
    assert found(difference) == [("removed", 11, None), ("added", None, 99)]
    assert difference.b["version"] == curate.version(b)


def iou(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / (first | second).sum())


CELL = 6
CELLS = (HEIGHT // CELL) * (WIDTH // CELL)


def drawn(cell: int, seed: int) -> np.ndarray:
    """A random mask in a cell of its own, so that no two masks meet."""
    rows, columns = divmod(cell, WIDTH // CELL)
    pixels = np.random.default_rng([cell, seed]).random((CELL, CELL)) < 0.7
    pixels[0, 0] = True
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[rows * CELL : (rows + 1) * CELL, columns * CELL : (columns + 1) * CELL] = pixels
    return mask


Fate = st.tuples(st.sampled_from(["kept", "gone", "new"]), st.booleans(), st.booleans())


@draws(7)
@given(
    fates=st.lists(st.lists(Fate, max_size=CELLS), min_size=1, max_size=3),
    has_ids=st.booleans(),
    random=st.randoms(),
)
def test_random_edits_are_found_exactly(
    tmp_path_factory: pytest.TempPathFactory, fates: Any, has_ids: bool, random: Any
) -> None:
    folder = tmp_path_factory.mktemp("edited")
    before, after, expected = [], [], dict.fromkeys(("unchanged", *CHANGES), 0)
    ious = []
    for image, cells in enumerate(fates, 1):
        for cell, (fate, redrawn, relabelled) in enumerate(cells):
            number = 1000 * image + cell
            old = drawn(cell, 0)
            new = drawn(cell, 1) if redrawn else old
            category = 2 if relabelled and fate == "kept" else 1
            before += [one(number, old, 1, image)] if fate != "new" else []
            after += [one(number, new, category, image)] if fate != "gone" else []
            same = iou(old, new)
            if fate != "kept":
                expected["removed" if fate == "gone" else "added"] += 1
            elif redrawn and relabelled and not has_ids and same < 0.5:
                expected["removed"] += 1
                expected["added"] += 1
            else:
                changes = ["redrawn"] * redrawn + ["relabelled"] * relabelled
                expected[" and ".join(changes) or "unchanged"] += 1
                ious += [same] * redrawn
    if has_ids:  # else a redraw of most of a mask is known by its place among the others
        random.shuffle(after)
    names = tuple(f"{k}.jpg" for k in range(1, len(fates) + 1))
    if has_ids or not (before and after):  # an empty list is in no format
        a, b = (coco(folder / f"{k}.json", m, names) for k, m in (("a", before), ("b", after)))
    else:
        a, b = (results(folder / f"{k}.json", m) for k, m in (("a", before), ("b", after)))
    difference = curate.diff(a, b)
    assert difference.counts == expected
    masks = difference.masks
    shapes = masks["change"].str.startswith("redrawn")
    assert sorted(masks["iou"][shapes]) == pytest.approx(sorted(ious))
    if has_ids:
        paired = masks[masks["change"].isin(CHANGES[:3])]
        assert (paired["mask_id_a"] == paired["mask_id_b"]).all()
    back = curate.diff(b, a).counts
    swapped = expected | {"removed": expected["added"], "added": expected["removed"]}
    assert back == swapped


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["curate", *map(str, words)])
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        cli.main()
    printed = capsys.readouterr()
    return int(stop.value.code or 0), printed.out, printed.err


def test_the_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    evil = ("a\x1b[31m\n.jpg", "b.jpg")
    coco(Path("a.json"), FIVE, evil)
    coco(Path("b.json"), [one(10, (0, 0, 10, 8)), one(11, (12, 0, 10, 5)), *FIVE[2:4]], evil)
    code, out, _ = run(monkeypatch, capsys, "diff", "a.json", "b.json", "--rows", 1)
    first, second = (curate.version(name) for name in ("a.json", "b.json"))
    assert code == 0
    assert out.splitlines() == [
        f"A  {first[:12]}  5 masks in 2 images  a.json (coco)",
        f"B  {second[:12]}  4 masks in 2 images  b.json (coco)",
        "        2 unchanged",
        "        2 redrawn",
        "        0 relabelled",
        "        1 removed",
        "        0 added",
        "changed most, lowest IoU first (median of redrawn masks 0.650):",
        "    0.500 redrawn: mask 11, a?[31m?.jpg",
        "          and 2 rows more",
    ]
    code, out, _ = run(monkeypatch, capsys, "diff", "a.json", "b.json", "--json", "--rows", 1)
    stated = json.loads(out)
    assert (code, stated["equal"], stated["a"]["version"]) == (0, False, first)
    assert stated["counts"]["redrawn"] == 2
    assert len(stated["masks"]) == 1
    assert 1.4 < stated["masks"][0].pop("outline_distance") < 1.5
    assert stated["masks"][0] == {
        "change": "redrawn",
        "file_name": evil[0],
        "mask_id_a": 11,
        "mask_id_b": 11,
        "source_key_a": "a.json#/annotations/1",
        "source_key_b": "b.json#/annotations/1",
        "category_a": "cat",
        "category_b": "cat",
        "iou": 0.5,
        "moved_x": None,
        "moved_y": None,
    }
    assert run(monkeypatch, capsys, "version", "a.json")[:2] == (0, f"{first[:12]}  {first}\n")
    code, out, _ = run(monkeypatch, capsys, "version", "b.json", "--json")
    assert json.loads(out) == {"short": second[:12], "version": second}


def test_what_cannot_be_read_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a = coco(tmp_path / "a.json", FIVE)
    cut = tmp_path / "audit"
    cut.mkdir()
    state = {"schema_version": SCHEMA_VERSION, "state": "scoring"}
    (cut / "audit.json").write_text(json.dumps(state))
    for words, why in (
        (("diff", a, tmp_path / "none.json"), "no such file"),
        (("diff", cut, a), "interrupted"),
        (("version", cut), "interrupted"),
        (("version", a, "--format", "word"), "no format word"),
    ):
        code, out, err = run(monkeypatch, capsys, *words)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert why in err


def test_an_image_whose_size_nothing_says_any_more_is_not_resized(tmp_path: Path) -> None:
    """A folder of SAM's generator has no size beside its masks."""
    head = "id,area,bbox_x0,bbox_y0,bbox_w,bbox_h,point_input_x,point_input_y,predicted_iou,"
    head += "stability_score,crop_box_x0,crop_box_y0,crop_box_w,crop_box_h\n"
    for name, row in (("a", "0,64,3,4,8,8,5,5,0.9,0.9,0,0,40,24\n"), ("b", "")):
        folder = tmp_path / name / "photo"
        folder.mkdir(parents=True)
        (folder / "metadata.csv").write_text(head + row)
    Image.fromarray(box(3, 4, 8, 8) * 255).save(tmp_path / "a" / "photo" / "0.png")
    difference = curate.diff(tmp_path / "a", tmp_path / "b")
    assert found(difference) == [("removed", 0, None)]
    assert difference.images.empty


def test_markdown_for_a_pull_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ("a|b`c.jpg", "b.jpg")
    coco(Path("a.json"), FIVE, names)
    moved = [one(10, (0, 0, 10, 8)), one(11, (13, 0, 10, 10)), *FIVE[2:4]]
    coco(Path("b.json"), moved, names)
    words = ("diff", "a.json", "b.json", "--output-format")
    code, out, err = run(monkeypatch, capsys, *words, "markdown", "--rows", 2)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "### Masks that changed"
    assert (
        "| moved by (1, 0) px | 11 | <code>a&#124;b&#96;c&#46;jpg</code> | <code>cat</code> "
        "| 0.818 |  |"
    ) in lines
    assert "| removed | 1 |" in lines
    assert lines[-1] == "1 row more."
    tables = [line.count("|") for line in lines if line.startswith("|")]
    assert set(tables) == {7, 3}
    code, out, _ = run(monkeypatch, capsys, *words, "jsonl")
    assert [json.loads(line)["change"] for line in out.splitlines()] == [
        "redrawn",
        "moved",
        "removed",
    ]
    code, _, err = run(monkeypatch, capsys, *words, "html")
    assert code == 2
    assert "text, json, jsonl, markdown" in err


def test_git_shows_the_masks_that_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines of the how-to, with real git: a list of masks, or what diff says."""
    monkeypatch.chdir(tmp_path)
    python = f'"{sys.executable}" -m curate'

    def git(*words: str) -> str:
        made = subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *words],
            capture_output=True,
            text=True,
            check=False,
        )
        assert made.returncode == 0, made.stderr
        return made.stdout

    git("init", "-q", ".")
    Path(".gitattributes").write_text("*.json diff=curate\n")
    textconv, driver = (
        line.partition(" ")[2].removeprefix("config diff.curate.").partition(" ")[2].strip("'")
        for line in HOW_TO.read_text().splitlines()
        if line.startswith("git config diff.curate.")
    )
    git("config", "diff.curate.textconv", textconv.replace("curate ", f"{python} "))
    coco(Path("a.json"), FIVE)
    git("add", ".")
    git("commit", "-qm", "masks")
    renumbered = [mask | {"id": mask["id"] + 500} for mask in reversed(FIVE[1:])]
    coco(Path("a.json"), [*renumbered, one(10, (0, 0, 10, 8))])
    shown = [line for line in git("diff", "-U0").splitlines() if line[:1] in "+-"][2:]
    assert [line.split("\t")[:4] for line in shown] == [
        ["-a.jpg", "cat", "100 px", "0,0,10,10"],
        ["+a.jpg", "cat", "80 px", "0,0,10,8"],
    ]
    # What is new, what is deleted and what is no dataset at all stops nothing.
    coco(Path("new.json"), FIVE)
    Path("settings.json").write_text('{"a": 1}')
    git("add", "-N", "new.json", "settings.json")
    assert '+{"a": 1}' in git("diff", "settings.json")
    git("config", "diff.curate.command", driver.replace("curate ", f"{python} "))
    shown = git("diff")
    assert "1 redrawn" in shown
    assert "new.json\nnew, or deleted" in shown


def test_an_image_without_masks_has_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = coco(tmp_path / "a.json", FIVE[:1], ("a.jpg", "b\n.jpg"))
    code, out, _ = run(monkeypatch, capsys, "version", path, "--masks")
    assert code == 0
    assert [line.split("\t")[:3] for line in out.rstrip("\n").split("\n")] == [
        ["a.jpg", "cat", "100 px"],
        ["b?.jpg", "no masks", "40 x 24 px"],
    ]


def test_text_says_what_became_of_everything(tmp_path: Path) -> None:
    a = coco(tmp_path / "a.json", FIVE)
    after = [one(10, (0, 0, 10, 10), 3), one(11, (12, 0, 10, 5)), *FIVE[2:4]]
    b = coco(tmp_path / "b.json", after, ("a.jpg",))
    lines = curate.diff(a, b).text().splitlines()
    assert "        1 removed, 1 of them with their images" in lines
    assert 'relabelled: "cat" -> "bird" (1 mask)' in lines
    assert lines[-2:] == [
        "    0.500 redrawn: mask 11, a.jpg",
        "        - removed: mask 14, b.jpg",
    ]
    c = coco(tmp_path / "c.json", [one(10, (0, 0, 10, 10)), *FIVE[1:4]], ("a.jpg",))
    content = json.loads(c.read_text())
    content["images"][0]["height"] = HEIGHT + 1
    for mask in content["annotations"]:
        taller = np.zeros((HEIGHT + 1, WIDTH), np.uint8)
        taller[:10, :10] = 1
        mask["segmentation"] = rle(taller)
    c.write_text(json.dumps(content))
    shown = curate.diff(a, c).text()
    assert "- redrawn (not comparable: its image has another size): mask 10, a.jpg" in shown
