"""Splits: shares, strata, groups that stay together, seeds, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_masks import rle_of
from PIL import Image

import curate
from curate.errors import CallError
from curate.people.reviews import Reviews
from curate.writing.splitting import SplitOptions, SplitPlan, parse_split

SIZE = (16, 20)


def dataset(folder: Path, count: int = 60) -> Path:
    """Make a COCO file: a common, a middling and a rare category, some images without masks."""
    folder.mkdir()
    mask = np.zeros(SIZE, bool)
    mask[2:9, 3:12] = True
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for k in range(count):
        name = f"scene{k // 4}_{k % 4}.png"
        images.append({"id": k + 1, "file_name": name, "width": SIZE[1], "height": SIZE[0]})
        categories = [1] * (k % 7 != 0) + [2] * (k % 3 == 0) + [3] * (k % 15 == 1)
        for category in categories:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": k + 1,
                    "category_id": category,
                    "segmentation": rle_of(mask),
                    "iscrowd": 0,
                }
            )
    names = [{"id": k, "name": name} for k, name in ((1, "many"), (2, "some"), (3, "rare"))]
    path = folder / "all.json"
    whole = {"images": images, "annotations": annotations, "categories": names}
    path.write_text(json.dumps(whole))
    return path


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("splits")
    curate.audit(dataset(folder / "source"), folder / "audit", policy={"name": "all"})
    return folder / "audit"


def split(audit: Path, shares: Any = "train=0.8,val=0.1,test=0.1", **more: Any) -> Any:
    found = curate.write(audit, to="coco", split=shares, **more)
    assert found.export is not None
    assert found.export.split is not None
    return found.export.split


def test_every_split_has_its_share_of_images_and_of_each_category(audited: Path) -> None:
    made = split(audited)
    assert made.count_images() == {"train": 48, "val": 6, "test": 6}
    for name, of_category in made.categories.items():
        total = sum(of_category)
        for share, count in zip((0.8, 0.1, 0.1), of_category, strict=True):
            assert abs(count - share * total) < 1.6, name


def test_the_same_seed_makes_the_same_splits_and_another_one_others(audited: Path) -> None:
    first, again, other = split(audited), split(audited), split(audited, seed=7)
    assert np.array_equal(first.splits, again.splits)
    assert not np.array_equal(first.splits, other.splits)
    assert first.as_dict()["seed"] == 0
    assert other.as_dict()["seed"] == 7


@pytest.mark.parametrize("group_by", [r"^(scene\d+)_", "scene[0-9]+_"])
def test_what_is_grouped_stays_together(audited: Path, group_by: str) -> None:
    made = split(audited, group_by=group_by)
    images = curate.open_audit(audited).images(["file_name"])["file_name"]
    parts: dict[str, set[str | None]] = {}
    for number, name in images.items():
        parts.setdefault(name.partition("_")[0], set()).add(made.split_of(number))
    assert {len(found) for found in parts.values()} == {1}
    assert (made.groups, made.grouped) == (15, 60)
    assert made.count_images()["train"] == 48


def test_pictures_that_show_the_same_stay_together(tmp_path: Path) -> None:
    source = dataset(tmp_path / "source", 24)
    rng = np.random.default_rng(0)
    for k in range(6):
        pixels = rng.integers(0, 255, (*SIZE, 3)).astype(np.uint8)
        for copy in range(4):
            shown = np.clip(pixels.astype(int) + copy, 0, 255).astype(np.uint8)
            Image.fromarray(shown).save(source.parent / f"scene{k}_{copy}.png")
    curate.audit(source, tmp_path / "audit", images=source.parent, policy={"name": "all"})
    made = split(tmp_path / "audit", "a=0.5,b=0.5")
    assert made.groups == 6
    for k in range(6):
        assert len({made.split_of(4 * k + copy + 1) for copy in range(4)}) == 1
    assert made.count_images() == {"a": 12, "b": 12}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("train=0.8", "add up to 0.8"),
        ("train=0.8,train=0.2", "named twice"),
        ("a/b=1", "cannot name a split"),
        ("train=x,val=1", "not a number over 0"),
        ("train=-1,val=2", "not a number over 0"),
        ("train=nan,val=1", "not a number over 0"),
        ("train=80,val=20", "not a number over 0 and up to 1"),
        ("", "cannot name a split"),
        ("..=1", "cannot name a split"),
    ],
)
def test_shares_that_are_none_are_refused(text: str, what: str) -> None:
    with pytest.raises(CallError, match=what):
        parse_split(text)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"split": "train=0.5,val=0.5", "group_by": "("}, "no column"),
        ({"split": "train=0.5,val=0.5", "group_by": "zebra"}, "found in no image"),
        ({"split": "train=0.5,val=0.5", "group_by": "."}, "fewer than the 2 splits"),
        ({"group_by": "height"}, "grouped for splits alone"),
        ({"only": "certified"}, "nothing is certified"),
        ({"only": "best"}, "is not one of certified"),
        ({"images": "move"}, "is not one of copy"),
        ({"images": "copy"}, "pictures are to be in it, and the audit has none"),
    ],
)
def test_what_cannot_be_done_is_one_clear_error(
    audited: Path, options: dict[str, Any], what: str
) -> None:
    with pytest.raises(CallError, match=what) as raised:
        curate.write(audited, to="coco", **options)
    assert raised.value.do


def test_only_what_people_accepted_is_written(audited: Path, tmp_path: Path) -> None:
    audit = Path(shutil.copytree(audited, tmp_path / "audit"))
    _accept(audit, 10)
    table = curate.open_audit(audit).masks(["image_id", "decided_by"])
    accepted = table.index[table["decided_by"] == "person"]
    assert len(accepted)
    out = tmp_path / "some.json"
    result = curate.write(audit, out, to="coco", only="certified")
    written = json.loads(out.read_bytes())
    assert sorted(one["id"] for one in written["annotations"]) == sorted(accepted)
    assert len(written["images"]) == 60
    assert "neither certified nor accepted" in result.text()
    assert result.counts()["masks_after"] == len(accepted)
    out = tmp_path / "images.json"
    curate.write(audit, out, to="coco", only="certified-images")
    written = json.loads(out.read_bytes())
    assert sorted(one["id"] for one in written["annotations"]) == sorted(accepted)
    listed = {one["id"] for one in written["images"]}
    assert {1, 2, 3, 4, 5, 6, 7, 8, 9, 10} <= listed
    assert not listed & set(table["image_id"][table["decided_by"] != "person"])


def _accept(audit: Path, last: int) -> None:
    opened = curate.open_audit(audit)
    found = opened.query(f"select mask_id from masks where image_id <= {last}")
    Reviews(opened).add(found.assign(action="accept"), origin="a test")


def test_the_provenance_says_the_split_and_how_it_was_made(audited: Path, tmp_path: Path) -> None:
    out, note = tmp_path / "out", tmp_path / "note.json"
    curate.write(audited, out, to="coco", split={"train": 0.5, "val": 0.5}, seed=3, provenance=note)
    about = json.loads(note.read_bytes())["about"]["export"]
    assert about["split"]["seed"] == 3
    assert about["split"]["shares"] == {"train": 0.5, "val": 0.5}
    rows = json.loads(note.read_bytes())["masks"]
    for name in ("train", "val"):
        content = json.loads((out / "annotations" / f"instances_{name}.json").read_bytes())
        ids = {one["id"] for one in content["annotations"]}
        assert ids == {row["mask_id"] for row in rows if row["split"] == name}


def test_what_a_split_lacks_is_said_in_a_line_a_split() -> None:
    categories = {"(no masks)": (0, 0), "a": (1, 0), "b": (2, 0), "c": (0, 1), "d": (3, 0)}
    options = SplitOptions({"train": 0.5, "val": 0.5}, 0)
    ids, splits = np.arange(8), np.arange(8, dtype=np.uint8) % 2
    made = SplitPlan(options, ids, splits, 0, 0, categories | {"e": (1, 0)})
    assert made.lines()[1:] == [
        "train has no image of 1 of 5 categories: c",
        "val has no image of 4 of 5 categories: a, b, d, ...",
    ]
