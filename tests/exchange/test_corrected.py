"""Decisions from a corrected dataset: left, changed, taken out, added, and what nobody saw."""

from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from boxes import HEIGHT, WIDTH, annotation, box, dataset, rle
from pycocotools import mask as coco_mask

import curate
from curate.errors import CallError, SourceError
from curate.people.exchange import import_file, write_queue
from curate.people.reviews import Reviews, has_reviews, open_reviews
from curate.store.audit import StoredAudit

Write = Callable[..., Path]
Dataset = dict[str, Any]


def by_id(source: Dataset) -> dict[int, dict[str, Any]]:
    return {one["id"]: one for one in source["annotations"]}


def actions(audit: StoredAudit) -> dict[int, str]:
    labels = open_reviews(audit).resolve_labels()
    return dict(zip(labels.index.tolist(), labels["action"].tolist(), strict=True))


def test_each_mask_says_what_was_done_with_it(
    audit: StoredAudit, source: Dataset, write: Write
) -> None:
    masks = by_id(source)
    masks[1]["segmentation"] = rle(box(1, 5, 8, 8))
    masks[2]["segmentation"] = [[13, 5, 22, 5, 22, 15, 13, 15]]  # a polygon, one row less
    masks[3]["category_id"] = 2
    masks[4]["segmentation"]["counts"] = rle(np.zeros((HEIGHT, WIDTH)))["counts"]
    polygon = [[1.0, 5, 9, 5, 9, 17, 1, 17]]
    masks[5]["segmentation"] = polygon  # the same pixels as before
    source["annotations"] = [one for one in masks.values() if one["id"] != 6]
    source["annotations"].append(annotation(99, 2, box(30, 30, 6, 6), category=2))
    source["images"] = [image for image in source["images"] if image["id"] != 3]
    source["annotations"] = [one for one in source["annotations"] if one["image_id"] != 3]
    done = import_file(audit, write(source), reviewer="ann")
    assert done.format == "coco"
    assert done.added.actions == {"accept": 3, "fix": 3, "reject": 2}
    assert actions(audit) == {
        **dict.fromkeys((1, 2, 3), "fix"),
        **dict.fromkeys((4, 6), "reject"),
        **dict.fromkeys((5, 7, 8), "accept"),
    }
    kept = open_reviews(audit).decisions().set_index("mask_id")
    assert kept.loc[[1, 2, 3], "iou"].tolist() == [8 / 11, 10 / 11, 1.0]
    assert kept["segmentation"].notna().tolist() == kept.index.isin([1, 2]).tolist()
    assert kept["category"].dropna().to_dict() == {3: "dog"}  # the word itself is kept
    missing = open_reviews(audit).missing()
    assert missing[["image_id", "category"]].values.tolist() == [[2, "dog"]]
    assert open_reviews(audit).reviewed_images()["image_id"].tolist() == [1, 2]
    assert done.notes["images of the audit that are not in the file, so not reviewed"] == 1
    assert done.notes["masks fixed in their category only"] == 1
    assert "images fully reviewed: 2" in done.text()
    again = import_file(audit, write(source), reviewer="ann")
    assert (again.added.decisions, again.added.missing, again.added.reviewed_images) == (0, 0, 0)


@pytest.mark.parametrize("way", ["zip", "gz"])
def test_a_corrected_file_in_an_archive(
    audit: StoredAudit, source: Dataset, write: Write, way: str
) -> None:
    source["annotations"].pop()
    plain = write(source, "corrected.json")
    path = plain.with_name(f"corrected.json.{way}")
    if way == "gz":
        path.write_bytes(gzip.compress(plain.read_bytes()))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(plain, "top/corrected.json")
    plain.unlink()
    done = import_file(audit, path, reviewer="ann")
    assert done.added.actions["reject"] == 1
    assert done.path == path
    path.write_bytes(b"PK\3\4 and no more")
    with pytest.raises(SourceError, match="damaged or cut short"):
        import_file(audit, path, reviewer="ann")


def test_a_second_version_of_a_corrected_file(
    audit: StoredAudit, source: Dataset, write: Write
) -> None:
    source["annotations"].append(annotation(99, 2, box(30, 30, 6, 6)))
    first = write(source, "one.json")
    import_file(audit, first, reviewer="ann")
    source["annotations"][-1] = annotation(99, 2, box(30, 30, 7, 7))
    del source["annotations"][0]
    done = import_file(audit, write(source, "two.json"), reviewer="ann")
    assert (done.added.missing, done.added.withdrawn, done.added.decisions) == (1, 1, 1)
    assert len(open_reviews(audit).missing()) == 1
    assert actions(audit)[1] == "reject"
    before = import_file(audit, first, reviewer="ann")  # takes nothing back
    assert (before.added.missing, before.added.withdrawn, before.added.decisions) == (0, 0, 0)
    assert actions(audit)[1] == "reject"
    by_other = import_file(audit, write(dataset()), reviewer="bob", assume_reviewed=True)
    assert by_other.added.withdrawn == 0
    assert open_reviews(audit).resolve_labels("strictest").loc[1, "disagree"]


def test_a_tolerance_for_tools_that_redraw(
    audit: StoredAudit, source: Dataset, write: Write
) -> None:
    by_id(source)[1]["segmentation"] = rle(box(1, 5, 8, 10))  # of 11 rows
    done = import_file(audit, write(source), same_iou=0.9, assume_reviewed=True)
    assert done.added.actions == {"accept": 12}
    assert open_reviews(audit).decisions().set_index("mask_id").loc[1, "iou"] == 10 / 11


def test_images_are_found_by_name_too(audit: StoredAudit, source: Dataset, write: Write) -> None:
    for image in source["images"]:
        image["id"] += 100
        image["file_name"] = f"C:\\data\\{image['file_name']}"
    for one in source["annotations"]:
        one["image_id"] += 100
    del source["annotations"][4]
    assert import_file(audit, write(source)).added.actions == {"accept": 11, "reject": 1}
    assert open_reviews(audit).reviewed_images()["image_id"].tolist() == [1, 2, 3]


def test_a_mask_under_a_new_id_is_the_same_mask(
    audit: StoredAudit, source: Dataset, write: Write
) -> None:
    """Cut out and pasted back: tools give it another id."""
    by_id(source)[5]["id"] = 500
    done = import_file(audit, write(source), assume_reviewed=True)
    assert done.added.actions == {"accept": 12}
    assert done.added.missing == 0
    assert done.notes["masks found again under another id"] == 1


def renumbered(source: Dataset) -> Dataset:
    """Take one mask away and number the others anew, as some tools do."""
    source["annotations"] = source["annotations"][1:]
    for number, one in enumerate(source["annotations"], 1):
        one["id"] = number
    return source


def in_one_image(source: Dataset) -> Dataset:
    source["images"] = source["images"][:1]
    source["annotations"] = source["annotations"][:4]
    return renumbered(source)


def foreign(source: Dataset) -> Dataset:
    for one in source["annotations"]:
        one["id"] += 1000
    return source


WRONG: list[tuple[Callable[[Dataset], Any], str]] = [
    (renumbered, "annotation 4: it lies on another image than in the audit; ids must be"),
    (in_one_image, "its annotations have other ids than the audit's masks"),
    (foreign, "its annotations have other ids than the audit's masks"),
    (lambda s: s["annotations"][4].update(id=4), "its id occurs twice"),
    (lambda s: s["annotations"][4].update(image_id=1), "annotation 5: it lies on another image"),
    (lambda s: s["annotations"][4].update(image_id=9), "annotation 5: its image is not in the"),
    (lambda s: s["images"][0].update(height=41), "image 1: it is 50 x 41, in the audit 50 x 40"),
    (lambda s: s["images"].append(s["images"][0] | {"id": 8}), "image 8: it shows the same"),
    (
        lambda s: s["annotations"][4]["segmentation"].update(counts="zz"),
        "annotation 5: its mask cannot be read",
    ),
    (
        lambda s: s["annotations"][4]["segmentation"].update(size=[9, 9]),
        "annotation 5: its mask cannot be read (the RLE is 9 x 9, the image 50 x 40)",
    ),
    (
        lambda s: s["annotations"].append({**s["annotations"][0], "id": 50, "segmentation": [[1]]}),
        "annotation 50: its mask cannot be read",
    ),
    (
        lambda s: (
            [image.update(id=image["id"] + 9, file_name="x") for image in s["images"]]
            and [one.update(image_id=one["image_id"] + 9) for one in s["annotations"]]
        ),
        "none of its images is in the audit",
    ),
]


@pytest.mark.parametrize(("change", "message"), WRONG, ids=[text[:40] for _, text in WRONG])
def test_files_that_cannot_be_joined_are_refused(
    audit: StoredAudit,
    source: Dataset,
    write: Write,
    change: Callable[[Dataset], Any],
    message: str,
) -> None:
    changed = change(source)
    path = write(changed if isinstance(changed, dict) else source)
    with pytest.raises(SourceError) as raised:
        import_file(audit, path)
    assert message in str(raised.value)
    assert not has_reviews(audit)


def test_new_masks_without_an_id_are_missing_ones(
    audit: StoredAudit, source: Dataset, write: Write
) -> None:
    """The ids that a reader gives them may be those of masks that were taken out."""
    source["annotations"] = source["annotations"][:10]
    for x in (30, 40):
        source["annotations"].append(annotation(0, 1, box(x, 30, 6, 6)))
        del source["annotations"][-1]["id"]
    done = import_file(audit, write(source))
    assert done.added.actions == {"accept": 10, "reject": 2}
    assert done.added.missing == 2


def test_a_moved_outline_of_a_twin_is_no_renumbering(
    audit: StoredAudit, source: Dataset, write: Write
) -> None:
    """Somebody takes one mask out and gives another one its outline."""
    masks = by_id(source)
    masks[2]["segmentation"] = masks[1]["segmentation"]
    source["annotations"] = [one for one in source["annotations"] if one["id"] != 1]
    done = import_file(audit, write(source))
    assert done.added.actions == {"accept": 10, "fix": 1, "reject": 1}


def test_much_that_is_gone_is_doubted(
    audit: StoredAudit, source: Dataset, write: Write, finished: Path
) -> None:
    source["annotations"] = source["annotations"][:1]
    path = write(source)
    with pytest.raises(SourceError, match="11 of the 12 masks of its images are not in it"):
        import_file(audit, path)
    done = import_file(audit, path, exported=finished / "source.json")
    assert done.added.actions == {"accept": 1, "reject": 11}


def test_a_corrected_queue_says_nothing_of_masks_that_it_did_not_hold(
    audit: StoredAudit, tmp_path: Path
) -> None:
    rows = curate.queue(audit, actions=("accept", "review", "reject"))
    rows = rows[rows["mask_id"].isin([1, 2, 3, 4, 5, 6])]
    given = tmp_path / "queue.json"
    write_queue(audit, rows, given, "coco")
    back = json.loads(given.read_text())
    kept = [one for one in back["annotations"] if one["id"] != 5]
    back["annotations"] = [*kept, annotation(7, 2, box(30, 30, 6, 6))]  # the next free id there
    path = tmp_path / "back.json"
    path.write_text(json.dumps(back))
    with pytest.raises(SourceError, match="it is a queue, so what is missing from it may never"):
        import_file(audit, path)
    with pytest.raises(CallError, match="there is no draw 3"):
        import_file(audit, path, exported=3)
    reviews = open_reviews(audit, create=True)
    other = reviews.record_draw("errors", pd.DataFrame({"mask_id": [1, 8, 9]}), {})
    with pytest.raises(SourceError, match="it is a queue"):
        import_file(audit, path)
    draw = reviews.record_draw("learn", rows[["mask_id"]], {})
    assert other != draw
    for how in ({"exported": given}, {"exported": draw}, {}):
        done = import_file(audit, path, reviewer=str(how)[:20], **how)  # type: ignore[arg-type]
        assert done.added.actions == {"accept": 5, "reject": 1}
        assert done.added.missing == 1
        assert done.added.reviewed_images == 1  # of the second image, only some masks were shown
    decided = reviews.decisions()
    assert set(decided["draw_id"]) == {draw}
    assert set(decided["queue_kind"]) == {"learn"}
    assert reviews.reviewed_images()["draw_id"].tolist() == [draw] * 3


@pytest.mark.parametrize("queued", [False, True])
def test_marks_of_crowds_are_no_decisions_but_counted(
    audit: StoredAudit, source: Dataset, write: Write, tmp_path: Path, queued: bool
) -> None:
    if queued:
        rows = curate.queue(audit, actions=("accept", "review", "reject"))
        open_reviews(audit, create=True).record_draw("errors", rows[["mask_id"]], {})
        write_queue(audit, rows, tmp_path / "queue.json", "coco")
        source = json.loads((tmp_path / "queue.json").read_text())
    for one in source["annotations"][:2]:
        one["iscrowd"] = 1
    done = import_file(audit, write(source), assume_reviewed=True)
    assert done.added.actions == {"accept": 12}
    assert "changes of iscrowd, which no decision can hold: ignored: 2" in done.text()


def test_masks_that_were_broken_before(tmp_path: Path, source: Dataset, write: Write) -> None:
    """What nobody can see is no decision; what was mended is a fix of unknown IoU."""
    masks = by_id(source)
    for number in (1, 2):
        masks[number]["segmentation"] = {"size": [HEIGHT, WIDTH], "counts": "zz"}
    for number in (3, 4):
        masks[number]["segmentation"] = rle(np.zeros((HEIGHT, WIDTH)))
    audit = curate.audit(write(source, "broken.json"), tmp_path / "broken.audit")
    for number in (2, 4):
        masks[number]["segmentation"] = rle(box(30, 30, 4, 4))
    done = import_file(audit, write(source))
    assert done.added.actions == {"accept": 8, "fix": 2}
    assert done.notes["masks without a readable pixel before and after"] == 2
    iou = open_reviews(audit).decisions().set_index("mask_id")["iou"]
    assert np.isnan(iou[2])
    assert iou[4] == 0


def test_parts_of_a_large_file_are_joined_one_by_one(
    audit: StoredAudit, source: Dataset, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curate.formats.coco.file_index.PART_BYTES", 1)
    masks = by_id(source)
    masks[12]["segmentation"] = rle(box(37, 5, 5, 5))
    del source["annotations"][0]
    done = import_file(audit, write(source))
    assert done.added.actions == {"accept": 10, "fix": 1, "reject": 1}
    source["annotations"][5]["image_id"] = 3
    with pytest.raises(SourceError, match="annotation 7: it lies on another image"):
        import_file(audit, write(source))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools
def test_the_corrections_of_real_nuclei_are_told_exactly(data: Path, tmp_path: Path) -> None:
    folder = data / "dsb2018"
    audit = curate.audit(folder / "instances_original.json", tmp_path / "audit")
    done = import_file(audit, folder / "instances_fixed.json", reviewer="experts")
    truth = json.loads((folder / "changes.json").read_text())
    kept = open_reviews(audit).decisions().set_index("mask_id")
    assert set(kept.index[kept["action"] == "reject"]) == set(truth["removed"])
    fixed = kept[kept["action"] == "fix"]
    assert dict(zip(map(str, fixed.index), fixed["iou"], strict=True)) == truth["modified"]
    assert done.added.missing == len(truth["added"]) == 18
    assert done.notes["images of the audit that are not in the file, so not reviewed"] == len(
        truth["removed_images"]
    )
    assert done.added.actions == {"accept": 12_964, "fix": 136, "reject": 21}
    corrected = {
        one["id"]: one
        for one in json.loads((folder / "instances_fixed.json").read_text())["annotations"]
    }
    for number, row in list(fixed.iterrows())[:20]:
        told = {"size": corrected[number]["segmentation"]["size"], "counts": row["segmentation"]}
        pixels = coco_mask.decode(told)
        np.testing.assert_array_equal(pixels, coco_mask.decode(corrected[number]["segmentation"]))


def test_rows_decided_in_a_file_without_draws_have_no_reason(
    reviews: Reviews, source: Dataset, write: Write
) -> None:
    import_file(reviews.audit, write(source), assume_reviewed=True)
    labels = reviews.resolve_labels()
    assert set(labels["queue_kind"]) == {"none"}
    assert labels["draw_id"].isna().all()
