"""Queues for Label Studio, and what people make of them: without a server, to the pixel."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from boxes import rle
from drawn_pictures import CATEGORIES, SIZES, drawn_audit, shapes
from hypothesis import Phase, given
from pycocotools import mask as coco_mask
from random_cases import draws

import curate
from curate.dataset.table import plain
from curate.errors import CallError, SourceError
from curate.formats.label_studio.brush_rle import decode_brush, encode_brush
from curate.people.exchange import import_file, write_queue
from curate.people.exchange.registry import ExportOptions
from curate.people.exchange.tool_labels import label_studio_label
from curate.people.queues.draw_queue import draw_queue
from curate.people.reviews import Reviews, has_reviews, open_reviews
from curate.rle import decode_counts, from_dense, to_dense
from curate.store.audit import StoredAudit

REAL = Path(__file__).with_name("label_studio_export.json")
"""What a real Label Studio 1.23 exported after people's work on its page; of drawn pictures."""

ALL = ("accept", "review", "reject")
Tasks = list[dict[str, Any]]
Work = Callable[[Tasks], Path]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> StoredAudit:
    return drawn_audit(tmp_path_factory.mktemp("drawn") / "here")


@pytest.fixture
def audit(drawn: StoredAudit, tmp_path: Path) -> StoredAudit:
    shutil.copytree(drawn.path, tmp_path / "audit")
    return StoredAudit(tmp_path / "audit", drawn.info)


@pytest.fixture
def export(tmp_path: Path) -> Work:
    """Return a function that writes tasks as an export."""

    def to_file(tasks: Tasks) -> Path:
        path = tmp_path / "export.json"
        path.write_text(json.dumps(tasks))
        return path

    return to_file


def written(audit: StoredAudit, out: Path, crops: bool | None = None) -> Tasks:
    """Return the tasks of a whole audit's queue, in the order of mask ids."""
    rows = curate.queue(audit, actions=ALL)
    assert write_queue(audit, rows, out, "label-studio", how=ExportOptions(crops)) == len(rows)
    tasks: Tasks = json.loads((out / "tasks.json").read_bytes())
    return sorted(tasks, key=lambda task: int(task["data"]["curate"]["masks"][0]))


def annotated(tasks: Tasks, **fields: Any) -> Tasks:
    """Return tasks as exported after somebody submitted each as it was."""
    done = copy.deepcopy(tasks)
    for number, task in enumerate(done, 1):
        made = {
            "id": 10 + number,
            "completed_by": 1,
            "result": copy.deepcopy(task["predictions"][0]["result"]),
            "was_cancelled": False,
            "lead_time": 6.0,
            "created_at": "2026-01-02T03:00:00Z",
            "updated_at": "2026-01-02T03:04:05.678Z",
        }
        task |= {"id": number, "annotations": [made | fields]}
    return done


def brush(mask: np.ndarray, name: str, label: str = CATEGORIES[0]) -> dict[str, Any]:
    return {
        "id": name,
        "type": "brushlabels",
        "original_height": mask.shape[0],
        "original_width": mask.shape[1],
        "image_rotation": 0,
        "value": {
            "format": "rle",
            "rle": encode_brush(from_dense(mask), 0).tolist(),
            "brushlabels": [label],
        },
    }


def pixels(result: dict[str, Any]) -> np.ndarray:
    """Return the mask of a brush result."""
    data = np.array(result["value"]["rle"], np.uint8)
    return to_dense(decode_brush(data, result["original_height"], result["original_width"]), 0)


def truth(mask_id: int) -> np.ndarray:
    """Return a mask of the drawn pictures, on its whole image."""
    size = SIZES[(mask_id - 1) // 6]
    return list(shapes(*size).values())[(mask_id - 1) % 6]


def spelled(mask: np.ndarray) -> bytes:
    """Return a mask as it is kept."""
    return str(rle(mask)["counts"]).encode()


def window(task: dict[str, Any]) -> tuple[slice, slice]:
    """Return what of the image a task shows."""
    own = task["data"]["curate"]
    return slice(own["y"], own["y"] + own["h"]), slice(own["x"], own["x"] + own["w"])


def said(audit: StoredAudit) -> dict[int, str]:
    return dict(open_reviews(audit).decisions().set_index("mask_id")["action"])


@pytest.mark.parametrize("crops", [True, False])
def test_nothing_changed_is_accepted_to_the_pixel(
    audit: StoredAudit, tmp_path: Path, export: Work, crops: bool
) -> None:
    tasks = written(audit, tmp_path / "out", crops)
    assert len(tasks) == (12 if crops else 2)
    for task in tasks:
        for result in task["predictions"][0]["result"]:
            number = int(result["id"].removeprefix("mask_"))
            assert (pixels(result) == truth(number)[window(task)]).all()
            assert pixels(result).sum() == truth(number).sum()
    done = import_file(audit, export(annotated(tasks)))
    assert (done.format, done.added.missing) == ("label-studio", 0)
    decisions = open_reviews(audit).decisions()
    assert said(audit) == dict.fromkeys(range(1, 13), "accept")
    assert (decisions["iou"] == 1).all()
    assert set(decisions["reviewer"]) == {"user 1"}
    assert set(decisions["seconds"]) == {6.0 if crops else 1.0}
    assert set(decisions["time"]) == {pd.Timestamp("2026-01-02T03:04:05.678Z")}
    assert sorted(open_reviews(audit).reviewed_images()["image_id"]) == ([] if crops else [1, 2])
    assert import_file(audit, tmp_path / "export.json").added.decisions == 0


def test_masks_of_any_form_come_back(tmp_path: Path, export: Work) -> None:
    """Random pixels, on images one pixel high, one wide, and others; every mask equal."""
    from PIL import Image

    import curate
    from curate.store.audit import open_audit

    random = np.random.default_rng(5)
    sizes = [(1, 40), (40, 1), (1, 1), (23, 61), (61, 23)]
    images, annotations, drawn = [], [], {}
    (tmp_path / "pictures").mkdir()
    for image, (height, width) in enumerate(sizes, 1):
        name = f"{image}.jpg"
        Image.new("RGB", (width, height)).save(tmp_path / "pictures" / name)
        images.append({"id": image, "file_name": name, "height": height, "width": width})
        for density in (0.02, 0.3, 0.5, 0.8, 1.0):
            mask = random.random((height, width)) < density
            mask[random.integers(height), random.integers(width)] = True
            number = len(annotations) + 1
            drawn[number] = mask
            annotations.append(
                {
                    "id": number,
                    "image_id": image,
                    "category_id": 1,
                    "segmentation": rle(mask),
                    "area": int(mask.sum()),
                    "bbox": [0, 0, width, height],
                    "iscrowd": 0,
                }
            )
    source = {"images": images, "annotations": annotations}
    source["categories"] = [{"id": 1, "name": "any"}]
    (tmp_path / "source.json").write_text(json.dumps(source))
    curate.audit(tmp_path / "source.json", tmp_path / "one", images=tmp_path / "pictures")
    one = open_audit(tmp_path / "one")
    for crops in (True, False):
        tasks = written(one, tmp_path / f"out {crops}", crops)
        for task in tasks:
            for result in task["predictions"][0]["result"]:
                number = int(result["id"].removeprefix("mask_"))
                assert (pixels(result) == drawn[number][window(task)]).all()
        done = annotated(tasks, completed_by=int(crops))
        assert import_file(one, export(done)).added.actions == {"accept": 25}
    assert (open_reviews(one).decisions()["iou"] == 1).all()


def test_what_stands_in_the_folder(audit: StoredAudit, tmp_path: Path) -> None:
    out = tmp_path / "für two's"
    rows = curate.queue(audit, actions=ALL)
    write_queue(audit, rows, out, "label-studio")
    tasks = json.loads((out / "tasks.json").read_bytes())
    assert [task["data"]["mask_id"] for task in tasks] == rows["mask_id"].tolist()
    scores = [task["predictions"][0]["score"] for task in tasks]
    assert scores == sorted(scores)
    assert len(set(scores)) == 12
    root = ElementTree.fromstring((out / "config.xml").read_text(encoding="utf-8"))
    labels = {label.get("value") for label in root.iter("Label")}
    assert labels == set(CATEGORIES)
    assert {header.get("value") for header in root.iter("Header")} == {"$why"}
    assert all(task["data"]["why"] for task in tasks)
    names = {task["data"]["image"].rpartition("/")[2] for task in tasks}
    assert names == {path.name for path in (out / "images").iterdir()}
    assert tasks[0]["data"]["image"].startswith("/data/local-files/?d=f%C3%BCr%20two%27s/images/")
    readme = (out / "README.txt").read_text(encoding="utf-8")
    assert "12 masks in 12 tasks" in readme
    assert str(tmp_path) in readme
    assert "more than about five" not in readme
    write_queue(audit, rows, tmp_path / "whole", "label-studio", how=ExportOptions(False))
    told = (tmp_path / "whole" / "README.txt").read_text(encoding="utf-8")
    assert "the busiest task here has 6" in told


def test_an_estimate_gives_nothing_away(audit: StoredAudit, tmp_path: Path, export: Work) -> None:
    drawn = draw_queue(audit, kind="estimate", budget=6)
    number = open_reviews(audit, create=True).record_draw("estimate", drawn.record, drawn.settings)
    out = tmp_path / "out"
    write_queue(audit, drawn.numbered_rows(number), out, "label-studio")
    tasks = json.loads((out / "tasks.json").read_bytes())
    text = (out / "tasks.json").read_text() + (out / "config.xml").read_text()
    assert len(tasks) == 6
    assert not any(word in text for word in ('"score"', '"why"', "$why", "quality", "reason"))
    import_file(audit, export(annotated(tasks, updated_at=None, created_at=None)))
    decisions = open_reviews(audit).decisions()
    assert set(decisions["draw_id"]) == {number}
    assert set(decisions["queue_kind"]) == {"estimate"}
    assert decisions["inclusion_probability"].notna().all()


def test_pictures_that_are_missing(audit: StoredAudit, tmp_path: Path) -> None:
    rows = curate.queue(audit, actions=ALL)
    pictures = tmp_path / "some"
    pictures.mkdir()
    with pytest.raises(CallError, match="no mask of the queue can be shown"):
        write_queue(audit, rows, tmp_path / "a", "label-studio", how=ExportOptions(images=pictures))
    assert not (tmp_path / "a").exists()
    shutil.copy(Path(audit.info.inputs["images"]) / "2.png", pictures)
    how = ExportOptions(images=pictures)
    assert write_queue(audit, rows, tmp_path / "b", "label-studio", how=how) == 6
    assert "Not in it: 6 masks of the queue" in (tmp_path / "b" / "README.txt").read_text()


def test_a_real_export(audit: StoredAudit) -> None:
    """Submitted, brushed over, deleted, added and skipped on Label Studio's own page."""
    done = import_file(audit, REAL)
    assert done.format == "label-studio"
    decisions = open_reviews(audit).decisions().set_index("mask_id")
    kept = dict.fromkeys([2, 3, 4, 7, 12], "accept")
    assert decisions["action"].to_dict() == kept | {1: "fix", 6: "reject"}
    assert 0.5 < decisions.loc[1, "iou"] < 1
    assert done.notes["annotations that were skipped"] == 1
    assert open_reviews(audit).missing()["category"].tolist() == [CATEGORIES[1]]


def test_what_people_do(audit: StoredAudit, tmp_path: Path, export: Work) -> None:
    """Each thing once, and what was drawn stands where it belongs on the whole image."""
    tasks = annotated(written(audit, tmp_path / "out"))
    results = [task["annotations"][0]["result"] for task in tasks]
    piece = pixels(results[0][0])
    changed = piece.copy()
    changed[0] = True
    results[0][:] = [brush(changed, "mask_1")]
    results[1].clear()
    results[2][:] = [brush(np.zeros_like(pixels(results[2][0])), "mask_3")]
    results[3][0]["value"]["rle"] = []
    results[4][0]["value"]["brushlabels"] = [CATEGORIES[1]]
    new = np.zeros_like(pixels(results[5][0]))
    new[:3, 1:5] = True
    results[5].append(brush(new, "k2x_new-1", CATEGORIES[0]))
    results[5].append(brush(np.zeros_like(new), "nothing"))
    results[5].append({"id": "r", "type": "rectanglelabels", "value": {"x": 1}})
    results[5].append({"id": "mask_6", "type": "choices", "value": {"choices": ["good"]}})
    tasks[6]["annotations"][0]["was_cancelled"] = True
    tasks[7]["annotations"] = []
    tasks[8]["annotations"][0]["lead_time"] = None
    del tasks[9]["annotations"]
    done = import_file(audit, export(tasks))
    whole = np.zeros(SIZES[0], bool)
    whole[window(tasks[0])] = changed
    decisions = open_reviews(audit).decisions().set_index("mask_id")
    assert decisions["action"].to_dict() == {
        1: "fix",
        2: "reject",
        3: "reject",
        4: "reject",
        5: "fix",
        6: "accept",
        9: "accept",
        11: "accept",
        12: "accept",
    }
    assert decisions.loc[1, "segmentation"] == spelled(whole)
    iou = (whole & truth(1)).sum() / (whole | truth(1)).sum()
    assert decisions.loc[1, "iou"] == pytest.approx(iou)
    assert decisions.loc[5, "iou"] == 1
    assert decisions["category"].dropna().to_dict() == {5: CATEGORIES[1]}
    assert np.isnan(decisions.loc[9, "seconds"])
    added = open_reviews(audit).missing()
    whole = np.zeros(SIZES[0], bool)
    whole[window(tasks[5])] = new
    assert added["segmentation"].tolist() == [spelled(whole)]
    assert added[["image_id", "category", "reviewer"]].to_numpy().tolist() == [
        [1, CATEGORIES[0], "user 1"]
    ]
    assert done.notes == {
        "unlabelled tasks": 2,
        "annotations that were skipped": 1,
        "annotations that Label Studio copied from predictions, so not reviewed": 0,
        "annotations started without predictions, so they reject no mask": 0,
        "masks fixed in their category only": 1,
        "new regions that are no masks": 1,
        "new masks without a pixel": 1,
        "users known by number only (--reviewer names one who is alone in a file)": 0,
    }


def test_a_category_is_told_as_the_audit_calls_it(
    drawn: StoredAudit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it is called as masks without one are, or cannot be written as it is."""
    audits = [drawn]
    for categories in (("object", "a\x01b"), ("object ", "object")):
        monkeypatch.setattr("drawn_pictures.CATEGORIES", categories)
        audits.append(drawn_audit(tmp_path / f"drawn {len(audits)}"))
    found = []
    for k, audit in enumerate(audits):
        tasks = annotated(written(audit, tmp_path / f"out {k}"))
        results = [task["annotations"][0]["result"] for task in tasks]
        new = np.ones_like(pixels(results[0][0]))
        results[0] += [brush(new, f"new {name}", name) for name in ("object", "a_b", "else")]
        results[0][0]["value"]["brushlabels"] = ["a_b"]
        path = tmp_path / f"{k}.json"
        path.write_text(json.dumps(tasks))
        shutil.copytree(audit.path, tmp_path / f"audit {k}")
        reviews = Reviews(StoredAudit(tmp_path / f"audit {k}", audit.info))
        import_file(reviews.audit, path)
        fixed = reviews.decisions().set_index("mask_id").loc[1, "category"]
        found.append([fixed, *plain(reviews.missing()["category"])])
    assert found == [
        ["a_b", None, "a_b", "else"],
        ["a\x01b", "object", "a\x01b", "else"],
        ["a_b", "object", "a_b", "else"],
    ]


COPIED = {"parent_prediction": 7, "lead_time": None, "last_action": None, "updated_by": None}
"""What Label Studio 1.23 writes at its menu "Create Annotations From Predictions"."""


@pytest.mark.parametrize(
    ("fields", "counts"),
    [
        ({}, False),
        ({"last_action": "prediction", "updated_by": 1}, False),
        ({"updated_by": 1}, True),
        ({"lead_time": 2.0}, True),
        ({"last_action": "accepted"}, True),
        ({"parent_prediction": None, "parent_annotation": None}, True),
    ],
)
def test_what_label_studio_makes_of_predictions_is_nobodys_work(
    audit: StoredAudit, tmp_path: Path, export: Work, fields: dict[str, Any], counts: bool
) -> None:
    tasks = annotated(written(audit, tmp_path / "out"), **COPIED | fields)
    tasks[0]["annotations"][0] |= {"lead_time": 3.0, "updated_by": 1}
    done = import_file(audit, export(tasks))
    assert done.added.actions == {"accept": len(tasks) if counts else 1}
    copied = 0 if counts else len(tasks) - 1
    words = "annotations that Label Studio copied from predictions, so not reviewed"
    assert done.notes[words] == done.notes["unlabelled tasks"] == copied


def test_a_small_change_counts_as_none_where_asked(
    audit: StoredAudit, tmp_path: Path, export: Work
) -> None:
    tasks = annotated(written(audit, tmp_path / "out"))[:1]
    changed = pixels(tasks[0]["annotations"][0]["result"][0])
    changed[0, :4] = True
    tasks[0]["annotations"][0]["result"] = [brush(changed, "mask_1")]
    assert import_file(audit, export(tasks)).added.actions == {"fix": 1}
    tasks[0]["annotations"][0]["completed_by"] = 2
    assert import_file(audit, export(tasks), same_iou=0.9).added.actions == {"accept": 1}


def test_an_annotation_begun_from_nothing_rejects_nothing(
    audit: StoredAudit, tmp_path: Path, export: Work
) -> None:
    """Where the page did not show our mask, it was not deleted either; what is new still counts."""
    tasks = annotated(written(audit, tmp_path / "out", crops=False), parent_prediction=None)
    tasks[1]["annotations"][0]["parent_prediction"] = 5
    new = np.zeros(SIZES[0], bool)
    new[:3, :4] = True
    tasks[0]["annotations"][0]["result"] = [brush(new, "new")]
    tasks[1]["annotations"][0]["result"] = []
    done = import_file(audit, export(tasks))
    assert said(audit) == dict.fromkeys(range(7, 13), "reject")
    assert done.notes["annotations started without predictions, so they reject no mask"] == 1
    assert open_reviews(audit).missing()["segmentation"].tolist() == [spelled(new)]
    assert open_reviews(audit).reviewed_images()["image_id"].tolist() == [2]


def test_several_people(audit: StoredAudit, tmp_path: Path, export: Work) -> None:
    tasks = annotated(written(audit, tmp_path / "out"))[:2]
    first = tasks[0]["annotations"][0]
    other = copy.deepcopy(first) | {"result": [], "completed_by": {"id": 7, "email": "b@c.de"}}
    nobody = copy.deepcopy(first) | {"completed_by": None}
    tasks[0]["annotations"] += [other, nobody]
    later = copy.deepcopy(first) | {"result": [], "updated_at": "2026-01-03T00:00:00Z"}
    tasks[1]["annotations"] = [tasks[1]["annotations"][0], later]
    import_file(audit, export(tasks), reviewer="eve")
    rows = open_reviews(audit).decisions()[["mask_id", "action", "reviewer"]]
    assert sorted(rows.to_numpy().tolist()) == [
        [1, "accept", "eve"],
        [1, "accept", "user 1"],
        [1, "reject", "b@c.de"],
        [2, "accept", "user 1"],
        [2, "reject", "user 1"],
    ]
    resolved = open_reviews(audit).resolve_labels()
    assert resolved["good"].to_dict() == {1: True, 2: False}


def test_a_mask_that_is_pasted_back_under_another_id_is_the_same_mask(
    audit: StoredAudit, tmp_path: Path, export: Work
) -> None:
    """For the person who did so: another one who deletes it has rejected it."""
    tasks = annotated(written(audit, tmp_path / "out", crops=False))[:1]
    mine = tasks[0]["annotations"][0]
    other = copy.deepcopy(mine) | {"completed_by": 2}
    pasted = other["result"][0]
    del other["result"][0]
    mine["result"] += [pasted | {"id": "pasted"}]  # beside the first mask
    mine["result"][1]["id"] = "cut"
    tasks[0]["annotations"].append(other)
    done = import_file(audit, export(tasks))
    assert done.added.actions == {"accept": 11, "reject": 1}
    rows = open_reviews(audit).decisions()
    assert rows.loc[rows["action"] == "reject", ["mask_id", "reviewer"]].values.tolist() == [
        [1, "user 2"]
    ]
    assert open_reviews(audit).missing()["segmentation"].tolist() == [spelled(truth(1))]
    assert done.notes["masks found again under another id"] == 1


def test_a_user_of_whom_only_the_number_is_told_can_be_named(
    audit: StoredAudit, tmp_path: Path, export: Work
) -> None:
    """Some exports tell addresses, others of the same project numbers: it is the same person."""
    tasks = annotated(written(audit, tmp_path / "out", crops=False))
    result = tasks[0]["annotations"][0]["result"]
    result.append(brush(np.ones_like(pixels(result[0])), "new"))
    import_file(audit, export(tasks), reviewer="ann@x.org")
    told = copy.deepcopy(tasks)
    for task in told:
        task["annotations"][0]["completed_by"] = {"id": 1, "email": "ann@x.org"}
    again = import_file(audit, export(told))
    assert again.added.decisions == again.added.missing == 0
    reviews = open_reviews(audit)
    for frame in (reviews.decisions(), reviews.missing(), reviews.reviewed_images()):
        assert set(frame["reviewer"]) == {"ann@x.org"}
    for task in tasks[1:]:
        task["annotations"][0]["completed_by"] = 2
    done = import_file(audit, export(tasks), reviewer="ann@x.org")
    assert set(reviews.decisions()["reviewer"]) == {"ann@x.org", "user 1", "user 2"}
    assert (
        done.notes["users known by number only (--reviewer names one who is alone in a file)"] == 2
    )


def test_polygons_in_percent(audit: StoredAudit, tmp_path: Path, export: Work) -> None:
    """Rings with one id are one mask, drawn as COCO draws them."""
    task = annotated(written(audit, tmp_path / "out"))[0]
    own = task["data"]["curate"]
    width, height = own["w"], own["h"]
    rings = [[[0, 0], [50, 0], [50, 25]], [[60.5, 60], [99, 60], [99, 99], [60, 99]]]
    place = {"original_width": width, "original_height": height, "image_rotation": 0}
    task["annotations"][0]["result"] = [
        {
            "id": "mask_1",
            "type": "polygonlabels",
            **place,
            "value": {"points": ring, "closed": True, "polygonlabels": [CATEGORIES[0]]},
        }
        for ring in rings
    ]
    import_file(audit, export([task]))
    flat = [
        [side for x, y in ring for side in (x * width / 100, y * height / 100)] for ring in rings
    ]
    drawn = coco_mask.merge(coco_mask.frPyObjects(flat, height, width))
    whole = np.zeros(SIZES[0], bool)
    whole[window(task)] = to_dense(decode_counts([drawn["counts"]], [height], [width])[0], 0)
    decisions = open_reviews(audit).decisions()
    assert decisions["segmentation"].tolist() == [spelled(whole)]


def test_added_masks_of_whole_images_are_taken_away_again(
    audit: StoredAudit, tmp_path: Path, export: Work
) -> None:
    tasks = annotated(written(audit, tmp_path / "out", crops=False))
    new = np.zeros(SIZES[0], bool)
    new[4:9, 100:120] = True
    tasks[0]["annotations"][0]["result"].append(brush(new, "added"))
    assert import_file(audit, export(tasks)).added.missing == 1
    made = tasks[0]["annotations"][0]
    made["result"].pop()
    made["updated_at"] = "2026-01-05T00:00:00Z"
    assert import_file(audit, export(tasks)).added.withdrawn == 1
    assert not len(open_reviews(audit).missing())


def test_a_part_of_an_image_was_not_looked_at(
    audit: StoredAudit, tmp_path: Path, export: Work
) -> None:
    rows = curate.queue(audit, actions=ALL)
    rows = rows[rows["mask_id"] != 3]
    write_queue(audit, rows, tmp_path / "out", "label-studio", how=ExportOptions(False))
    tasks = json.loads((tmp_path / "out" / "tasks.json").read_bytes())
    import_file(audit, export(annotated(tasks)))
    assert 3 not in said(audit)
    assert open_reviews(audit).reviewed_images()["image_id"].tolist() == [2]


def _first(tasks: Tasks) -> dict[str, Any]:
    made: dict[str, Any] = tasks[0]["annotations"][0]
    return made


def _value(tasks: Tasks) -> dict[str, Any]:
    value: dict[str, Any] = _first(tasks)["result"][0]["value"]
    return value


MISTAKES: list[tuple[Callable[[Tasks], Any], str]] = [
    (lambda t: t[0]["data"].pop("curate"), "task 1: it does not say which masks it shows"),
    (lambda t: t[0].pop("data"), "task 1: it does not say which masks it shows"),
    (lambda t: t.__setitem__(0, 3), "element 1: it is a number, not a task"),
    (lambda t: t[0]["data"]["curate"].update(dataset="x"), "made of another dataset"),
    (lambda t: t[0]["data"]["curate"].update(masks=[999]), "task 1, mask 999: the audit has no"),
    (lambda t: t[0]["data"]["curate"].update(masks=[True]), "its list of masks is damaged"),
    (lambda t: t[0]["data"]["curate"].update(masks=[7]), "mask 7: it lies on another image"),
    (lambda t: t[0]["data"]["curate"].update(height=10**9), "mask 1: it lies on another image"),
    (lambda t: t[0]["data"]["curate"].update(x=10**9), "its window reaches outside its image"),
    (lambda t: t[0]["data"]["curate"].update(w=2.5), "what maps it back to its image is damaged"),
    (lambda t: t[0]["data"]["curate"].update(queue_kind=1), "its record of the draw is damaged"),
    (lambda t: t[0].update(annotations=[5]), "its annotations are not in it"),
    (lambda t: _first(t).update(result=None), "annotation 11: its result is null, not a list"),
    (lambda t: _first(t).update(lead_time=-1), "its lead_time is no number of seconds"),
    (lambda t: _first(t).update(lead_time=10**400), "its lead_time is no number of seconds"),
    (lambda t: _first(t).update(updated_at="noon"), "its time 'noon' is none"),
    (lambda t: _first(t).update(completed_by=[1]), "it does not say who made it"),
    (lambda t: _first(t)["result"].append(4), "a result is no object with a type"),
    (lambda t: _first(t)["result"][0].pop("id"), "has no id"),
    (lambda t: _first(t)["result"][0].update(original_width=7), "it is of a picture of 7 x"),
    (lambda t: _first(t)["result"][0].update(image_rotation=90), "was turned by 90 degrees"),
    (lambda t: _first(t)["result"][0].update(id="mask_2"), "does not belong to the task"),
    (lambda t: _first(t)["result"][0].update(value=3), "its value is a number, not an object"),
    (lambda t: _value(t).update(rle="AAAA"), "region mask_1: its brush mask is not in the format"),
    (lambda t: _value(t).update(rle=[1, 2.5]), "its brush mask is no list of bytes"),
    (lambda t: _value(t).update(rle=[256]), "its brush mask is no list of bytes"),
    (lambda t: _value(t).update(rle=[0] * 9), "cannot be read: it says that it holds 0 values"),
    (lambda t: _value(t).update(rle=[255] * 40), "it says that it holds 4,294,967,295 values"),
    (lambda t: _value(t).update(brushlabels=["a", "b"]), "it has 2 labels"),
    (lambda t: _value(t).update(brushlabels=[5]), "its label is no list of names"),
    (
        lambda t: _first(t)["result"][0].update(type="rectanglelabels", value={"x": 1}),
        "region mask_1: it is a rectanglelabels, no mask",
    ),
    (
        lambda t: _first(t)["result"][0].update(type="polygonlabels", value={"points": [[1]]}),
        "its polygon is no list of points",
    ),
    (
        lambda t: _first(t)["result"][0].update(type="polygon", value={"points": [[1, 1]]}),
        "its polygon cannot be read",
    ),
]


@pytest.mark.parametrize(("spoil", "told"), MISTAKES, ids=[told for _, told in MISTAKES])
def test_a_mistake_is_told_and_nothing_written(
    drawn: StoredAudit, tmp_path: Path, export: Work, spoil: Callable[[Tasks], Any], told: str
) -> None:
    tasks = annotated(written(drawn, tmp_path / "out"))
    spoil(tasks)
    with pytest.raises(SourceError, match=told):
        import_file(drawn, export(tasks), format="label-studio")
    assert not has_reviews(drawn)


def test_other_files_of_label_studio(drawn: StoredAudit, tmp_path: Path, export: Work) -> None:
    tasks = written(drawn, tmp_path / "out")
    with pytest.raises(SourceError, match=r"it contains no decisions \(unlabelled tasks"):
        import_file(drawn, tmp_path / "out" / "tasks.json")
    short = [task["data"] | {"id": 1, "annotation_id": 2, "annotator": 1} for task in tasks]
    with pytest.raises(SourceError, match="it is Label Studio's JSON-MIN"):
        import_file(drawn, export(short))
    done = export(annotated(tasks))
    for options, told in (({"exported": 1}, "--exported"), ({"match": "iou"}, "--match")):
        with pytest.raises(CallError, match=told):
            import_file(drawn, done, **options)  # type: ignore[arg-type]
    assert not has_reviews(drawn)


def test_labels_of_categories() -> None:
    assert [label_studio_label(name) for name in (None, "", " ", "a\x01b", "ok")] == [
        *("object", "object", "object"),
        *("a_b", "ok"),
    ]


@draws(5, phases=[Phase.generate])
@given(st.data())
def test_any_work_comes_back_as_it_was_done(drawn: StoredAudit, data: st.DataObject) -> None:
    """Whole images or crops, masks kept, deleted or painted over anew at random."""
    import tempfile

    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        tasks = annotated(written(drawn, folder / "out", data.draw(st.booleans())))
        wanted: dict[int, tuple[str, bytes | None]] = {}
        for task in tasks:
            results = task["annotations"][0]["result"]
            for result in list(results):
                number = int(result["id"].removeprefix("mask_"))
                act = data.draw(st.sampled_from(["accept", "reject", "fix"]))
                wanted[number] = (act, None)
                if act == "reject":
                    results.remove(result)
                elif act == "fix":
                    seed = data.draw(st.integers(0, 99))
                    mask = np.random.default_rng(seed).random(pixels(result).shape) < 0.4
                    mask |= pixels(result)
                    result |= brush(mask, result["id"], result["value"]["brushlabels"][0])
                    whole = np.zeros(truth(number).shape, bool)
                    whole[window(task)] = mask
                    same = bool((whole == truth(number)).all())
                    wanted[number] = ("accept", None) if same else ("fix", spelled(whole))
        shutil.copytree(drawn.path, folder / "audit")
        audit = StoredAudit(folder / "audit", drawn.info)
        (folder / "export.json").write_text(json.dumps(tasks))
        import_file(audit, folder / "export.json")
        rows = Reviews(audit).decisions()
        columns = (plain(rows[name]) for name in ("mask_id", "action", "segmentation"))
        assert {mask: (act, counts) for mask, act, counts in zip(*columns, strict=True)} == wanted
