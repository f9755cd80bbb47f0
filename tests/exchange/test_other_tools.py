"""What people do in other tools: kept, changed, removed, added; and what happens to ids there."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from boxes import HEIGHT, WIDTH, box, dataset
from hard_masks import audited, back, write
from other_tools import TOOLS, Seen, nothing
from pycocotools import mask as coco_mask

from curate.errors import CallError, SourceError
from curate.people.reviews import open_reviews
from curate.store.audit import StoredAudit, open_audit
from curate.testing.exchange_contract import draw_all

pytestmark = pytest.mark.filterwarnings(  # pycocotools
    "ignore:__array__ implementation:DeprecationWarning"
)
EVERY = pytest.mark.parametrize("tool", TOOLS)
WAYS = pytest.mark.parametrize("crops", [False, True], ids=["whole", "crops"])


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an audit of three images with four boxes each, with pictures."""
    folder = tmp_path_factory.mktemp("pictured")
    audited(dataset(), folder)
    return folder


@pytest.fixture
def pictured(ready: Path, tmp_path: Path) -> StoredAudit:
    """Return a copy of the audit."""
    shutil.copytree(ready / "audit", tmp_path / "audit")
    return open_audit(tmp_path / "audit")


def pixels_of(audit: StoredAudit, mask: int) -> np.ndarray:
    """Return a corrected mask as it is kept."""
    kept = open_reviews(audit).decisions().set_index("mask_id").loc[mask]
    return coco_mask.decode({"size": [HEIGHT, WIDTH], "counts": kept["segmentation"]}).astype(bool)


def actions(audit: StoredAudit) -> dict[int, str]:
    labels = open_reviews(audit).resolve_labels()
    return dict(zip(labels.index.tolist(), labels["action"].tolist(), strict=True))


@EVERY
@WAYS
def test_one_changed_one_removed_one_added(
    pictured: StoredAudit, tmp_path: Path, tool: str, crops: bool
) -> None:
    name, use = TOOLS[tool]
    path, _ = write(pictured, draw_all(pictured), tmp_path, name, crops)
    added = 0

    def people(name: str, seen: list[Seen]) -> list[Seen]:
        nonlocal added
        left = [one for one in seen if str(one.mask_id) != "3"]
        for one in seen:
            if str(one.mask_id) == "2":
                top = int(np.flatnonzero(one.pixels.any(1))[0])
                one.pixels[top] = False
            if str(one.mask_id) == "5":
                new = np.zeros_like(one.pixels)
                new[-2:, -3:] = True
                left.append(Seen(None, "dog", new))
                added += 1
        return left

    done = back(pictured, use(path, people))
    assert added == 1
    assert done.format == name
    assert done.added.actions == {"accept": 10, "fix": 1, "reject": 1}
    assert actions(pictured)[2] == "fix"
    assert actions(pictured)[3] == "reject"
    np.testing.assert_array_equal(pixels_of(pictured, 2), box(13, 6, 9, 10))
    missing = open_reviews(pictured).missing()
    assert missing[["image_id", "category"]].values.tolist() == [[2, "dog"]]
    drawn = {"size": [HEIGHT, WIDTH], "counts": missing["segmentation"].iloc[0]}
    assert coco_mask.area(drawn) == 6
    reviewed_images = open_reviews(pictured).reviewed_images()["image_id"].tolist()
    assert reviewed_images == ([] if crops else [1, 2, 3])  # nobody sees the whole of it in pieces


@EVERY
def test_copies_and_ids_typed_over(pictured: StoredAudit, tmp_path: Path, tool: str) -> None:
    """A mask pasted with its mask_id twice, one that bears another's, one that bears nonsense."""
    name, use = TOOLS[tool]
    path, _ = write(pictured, draw_all(pictured), tmp_path, name, False)

    def people(name: str, seen: list[Seen]) -> list[Seen]:
        by_id = {int(one.mask_id): one for one in seen}
        if 1 in by_id:
            moved = np.roll(by_id[1].pixels, 20, axis=0)
            seen.insert(0, Seen(by_id[1].mask_id, by_id[1].label, moved))
            by_id[2].mask_id = by_id[3].mask_id
        if 5 in by_id:
            by_id[5].mask_id = 1 if tool == "Hugging Face" else "1"  # of another image
        if 9 in by_id:
            by_id[9].mask_id = None if tool == "Hugging Face" else "mine"
        return seen

    done = back(pictured, use(path, people))
    assert actions(pictured) == dict.fromkeys(range(1, 13), "accept")
    assert done.added.missing == 1
    assert done.notes["copies of a mask with its mask_id, taken as new masks"] == 2
    assert done.notes["masks found again under another id"] == 3
    typed = done.notes["masks whose mask_id is none of their image, taken as new masks"]
    assert typed == (1 if tool == "Hugging Face" else 2)


@EVERY
@WAYS
def test_ids_that_a_tool_lost_are_found_by_overlap_when_asked(
    pictured: StoredAudit, tmp_path: Path, tool: str, crops: bool
) -> None:
    name, use = TOOLS[tool]
    path, _ = write(pictured, draw_all(pictured), tmp_path, name, crops)

    def people(name: str, seen: list[Seen]) -> list[Seen]:
        for one in seen:
            if str(one.mask_id) == "2":
                top = int(np.flatnonzero(one.pixels.any(1))[0])
                one.pixels[top : top + 2] = False
            one.mask_id = None
        return seen

    came = use(path, people)
    with pytest.raises(SourceError, match=r"--match iou|no mask_id"):
        back(pictured, came)
    if not crops:
        with pytest.raises(SourceError, match="its masks bear no mask_id; name the exported"):
            back(pictured, came, match="iou")
    else:
        with pytest.raises(CallError, match="which mask each one shows; leave it out"):
            back(pictured, came, match="iou", exported=1)
    done = back(pictured, came, match="iou", **({} if crops else {"exported": 1}))
    assert done.added.actions == {"accept": 11, "fix": 1}
    words = "masks found by overlap: equal, else one to one by IoU of 0.5 and more"
    assert done.notes[words] == 12


@EVERY
def test_masks_that_were_not_in_the_queue_are_not_decided(
    pictured: StoredAudit, tmp_path: Path, tool: str
) -> None:
    name, use = TOOLS[tool]
    rows = draw_all(pictured)
    rows = rows[rows["mask_id"].isin([1, 2, 5])]
    draw = open_reviews(pictured).record_draw("learn", rows[["mask_id"]], {})
    path, _ = write(pictured, rows, tmp_path, name, False)
    back(pictured, use(path, lambda _, seen: [one for one in seen if str(one.mask_id) != "5"]))
    assert actions(pictured) == {1: "accept", 2: "accept", 5: "reject"}
    assert set(open_reviews(pictured).decisions()["draw_id"]) == {draw}


def test_queues_put_together_and_ids_of_masks_that_were_not_shown(
    pictured: StoredAudit, tmp_path: Path
) -> None:
    """A file may hold more than the draw that fits it; an id typed by hand is no mask."""
    rows = draw_all(pictured)
    draws = open_reviews(pictured)
    draws.record_draw("learn", rows[rows["mask_id"].isin([1, 2, 5])][["mask_id"]], {})
    path, _ = write(pictured, rows[rows["mask_id"].isin([1, 2, 5, 6])], tmp_path, "cvat", False)

    def people(name: str, seen: list[Seen]) -> list[Seen]:
        for one in seen:
            if one.mask_id == "2":
                one.mask_id = "4"
        return seen

    done = back(pictured, TOOLS["CVAT for images"][1](path, people), exported=2)
    assert actions(pictured) == dict.fromkeys((1, 2, 5, 6), "accept")
    assert done.notes["masks found again under another id"] == 1
    assert done.added.missing == 0


def test_a_second_person_is_asked_about_their_masks_only(
    pictured: StoredAudit, tmp_path: Path
) -> None:
    rows = draw_all(pictured)
    both = pd.concat(
        [rows.assign(slot=0), rows[rows["mask_id"].isin([1, 2])].assign(slot=1)], ignore_index=True
    )
    open_reviews(pictured).record_draw("errors", both[["mask_id", "slot"]], {})
    path, _ = write(pictured, both[both["slot"] == 1], tmp_path, "cvat", False)
    done = back(pictured, TOOLS["CVAT for images"][1](path, nothing))
    assert done.added.actions == {"accept": 2}


def test_a_queue_without_a_draw_is_not_guessed(pictured: StoredAudit, tmp_path: Path) -> None:
    rows = draw_all(audited(dataset(), tmp_path / "other"))
    path, _ = write(pictured, rows, tmp_path, "cvat", False)
    with pytest.raises(SourceError, match="it is a queue, so what is missing"):
        back(pictured, path)
    assert back(pictured, path, exported=path).added.actions == {"accept": 12}


@EVERY
def test_another_size_or_another_dataset_is_refused(
    pictured: StoredAudit, tmp_path: Path, tool: str
) -> None:
    name, use = TOOLS[tool]
    source = dataset()
    source["images"][1] |= {"height": WIDTH, "width": HEIGHT}
    source["annotations"] = [one for one in source["annotations"] if one["image_id"] != 2]
    other = audited(source, tmp_path / "other")
    for one in (pictured, other):
        draw_all(one)
    path, _ = write(pictured, draw_all(pictured), tmp_path, name, False)
    came = use(path, nothing)
    with pytest.raises(SourceError, match="it is 50 x 40, in the audit 40 x 50"):
        back(other, came)
    source = dataset()
    for image in source["images"]:
        image["file_name"] = f"else{image['id']}.png"
    strange = audited(source, tmp_path / "strange")
    with pytest.raises(SourceError, match="none of its images is in the audit"):
        back(strange, came)


def test_parts_of_an_export_are_compared_one_by_one(
    pictured: StoredAudit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each image is a part; the last one is no more lost than any other."""
    monkeypatch.setattr("curate.people.exchange.match_masks.PART_MASKS", 1)
    path, _ = write(pictured, draw_all(pictured), tmp_path, "cvat", False)
    use = TOOLS["CVAT for images"][1]
    done = back(pictured, use(path, lambda _, seen: seen[:-1]))
    assert done.added.actions == {"accept": 9, "reject": 3}
    assert done.added.reviewed_images == 3
