"""Audits whose detections or annotations are joined: what fits, what does not, and what is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from boxes import HEIGHT, WIDTH, box, rle

from curate.errors import SourceError
from curate.pipeline.inputs import Inputs
from curate.pipeline.scoring import audit as run
from curate.reporting.summary import summary, summary_text
from curate.store.audit import StoredAudit

IMAGES = 12
Entry = dict[str, Any]


def scene(image: int) -> list[tuple[int, int, int, int]]:
    """Boxes of an image, unlike those of any other."""
    rng = np.random.default_rng(image)
    xs, ys = rng.permutation(WIDTH - 12)[:3], rng.permutation(HEIGHT - 12)[:3]
    return [(int(x), int(y), 6 + k, 7) for k, (x, y) in enumerate(zip(xs, ys, strict=True))]


def category(image: int, place: int) -> int:
    return (16, 17, 18)[(image + place) % 3]


def write_dataset(path: Path, names: Callable[[int], str] = "{:04d}.jpg".format) -> Path:
    images, annotations = [], []
    for k in range(1, IMAGES + 1):
        images.append({"id": k, "file_name": names(k), "width": WIDTH, "height": HEIGHT})
        for place, (x, y, w, h) in enumerate(scene(k)):
            annotations.append(
                {
                    "id": 10 * k + place,
                    "image_id": k,
                    "category_id": category(k, place),
                    "segmentation": rle(box(x, y, w, h)),
                    "bbox": [x, y, w, h],
                    "area": w * h,
                    "iscrowd": 0,
                }
            )
    content = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": c, "name": f"c{c}"} for c in (16, 17, 18)],
    }
    path.write_text(json.dumps(content))
    return path


def write_results(path: Path, change: Callable[[Entry], Entry] = dict) -> Path:
    """Write sure detections of every object, changed."""
    entries = [
        change(
            {
                "image_id": k,
                "category_id": category(k, place),
                "bbox": [float(v) for v in scene(k)[place]],
                "score": 0.9,
            }
        )
        for k in range(1, IMAGES + 1)
        for place in range(3)
    ]
    path.write_text(json.dumps(entries))
    return path


def audit(tmp_path: Path, change: Callable[[Entry], Entry] = dict, **names: Any) -> StoredAudit:
    source = write_dataset(tmp_path / "in.json", **names)
    results = write_results(tmp_path / "results.json", change)
    return run(source, tmp_path / "out", inputs=Inputs(detections=results))


def test_what_fits_is_said_by_its_key(tmp_path: Path) -> None:
    done = audit(tmp_path)
    facts = done.info.joins["detections"]
    assert (facts["joined"], facts["keys"], facts["not_joined"]) == (IMAGES, {"id": IMAGES}, {})
    assert done.masks()["detector_score"].min() == pytest.approx(0.9)
    assert done.masks()["detector_category_score"].min() == 1
    assert "detections: 12 of 12 images joined (by id 12)" in summary_text(done, summary(done))
    assert not (done.path / "joins.json").exists()


@pytest.mark.parametrize("by", [-1, 1])
def test_ids_that_are_off_by_one_are_refused(tmp_path: Path, by: int) -> None:
    where = "before" if by > 0 else "after"
    with pytest.raises(SourceError, match=f"they fit the image {where} their own.*file_name"):
        audit(tmp_path, lambda entry: entry | {"image_id": entry["image_id"] + by})


def shared_scene(step: int) -> Callable[[int], list[tuple[int, int, int, int]]]:
    """Return scenes that differ in the place of one object of three, by some pixels."""

    def made(image: int) -> list[tuple[int, int, int, int]]:
        still = [(WIDTH - 12, 3, 6, 7), (WIDTH - 12, 17, 6, 7)]
        return [(5 + step * (image % 3), 3, 6, 7), *still]

    return made


def one_on(entry: Entry) -> Entry:
    number = {name: entry[name] + 1 for name in ("image_id", "category_id")}
    return {**entry, **number}


def test_other_images_that_fit_clearly_better_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Box IoU 1 with the neighbour, 2/3 with the own image; categories are numbered anew, too."""
    monkeypatch.setitem(globals(), "scene", shared_scene(8))
    with pytest.raises(SourceError, match=r"before their own.*0\.67.*; and .*higher by one.*trust"):
        audit(tmp_path, one_on)


def test_other_images_that_fit_somewhat_better_are_said_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "scene", shared_scene(3))
    notes = {note["kind"]: note["text"] for note in audit(tmp_path, one_on).info.notes}
    assert "before their own" in notes["join_misfit"]
    assert notes["join_misfit"].endswith(", and are used as joined")
    assert "higher by one" in notes["category_numbering"]


def test_numbers_of_files_that_stand_for_ids_are_refused(tmp_path: Path) -> None:
    """Results made from the files alone, on a dataset that has ids of its own."""
    number = lambda k: (5 * k) % 13  # noqa: E731
    with pytest.raises(SourceError, match="whose file name is the number"):
        audit(
            tmp_path,
            lambda entry: entry | {"image_id": number(entry["image_id"])},
            names=lambda k: f"{number(k):04d}.jpg",
        )


def test_names_in_results_come_first(tmp_path: Path) -> None:
    done = audit(
        tmp_path,
        lambda entry: (
            entry | {"image_id": 99, "file_name": f"a/{entry['image_id']:04d}.png"}
            if entry["image_id"] == 3
            else entry | {"image_id": f"{entry['image_id']:04d}"}
        ),
    )
    facts = done.info.joins["detections"]
    assert facts["keys"] == {"name without suffix": IMAGES}
    assert done.masks()["detector_score"].min() == pytest.approx(0.9)


def test_results_of_other_images_are_refused(tmp_path: Path) -> None:
    def elsewhere(entry: Entry) -> Entry:
        return entry | {"bbox": [WIDTH - 4.0, HEIGHT - 4.0, 3.0, 3.0]}

    with pytest.raises(SourceError, match="they lie on no mask"):
        audit(tmp_path, elsewhere)


def test_what_does_not_fit_can_be_trusted(tmp_path: Path) -> None:
    source = write_dataset(tmp_path / "in.json")
    shifted = write_results(tmp_path / "r.json", lambda e: e | {"image_id": e["image_id"] + 1})
    inputs = Inputs(detections=shifted, trust_joins=True)
    done = run(source, tmp_path / "out", inputs=inputs)
    (note,) = done.info.notes
    assert (note["kind"], note["of"]) == ("join_misfit", "images")
    assert "they fit the image before their own" in summary_text(done, summary(done))


def test_a_detector_that_misses_half_is_none_of_this(tmp_path: Path) -> None:
    def poor(entry: Entry) -> Entry:
        off = entry["image_id"] % 2
        return entry | {"bbox": [WIDTH - 4.0, HEIGHT - 4.0, 3.0, 3.0]} if off else entry

    done = audit(tmp_path, poor)
    assert [note["kind"] for note in done.info.notes] == []


@pytest.mark.parametrize(
    ("renumber", "said"),
    [
        (lambda c: c - 1, "lower by one"),
        (lambda c: c + 1, "higher by one"),
        (lambda c: {16: 15, 17: 16, 18: 17}[c] - 1, "0 to 79"),
        (lambda c: {16: 500, 17: 20, 18: 7}[c], "another numbering"),
    ],
)
def test_another_numbering_of_categories_is_said(
    tmp_path: Path, renumber: Callable[[int], int], said: str
) -> None:
    done = audit(tmp_path, lambda e: e | {"category_id": renumber(e["category_id"])})
    (note,) = [n for n in done.info.notes if n["kind"] == "category_numbering"]
    assert said in note["text"]
    assert done.masks()["detector_category_score"].isna().all()
    assert done.masks()["detector_score"].min() == pytest.approx(0.9)


def test_a_wrong_category_here_and_there_is_no_numbering(tmp_path: Path) -> None:
    done = audit(tmp_path, lambda e: e | {"category_id": 16} if e["image_id"] < 4 else e)
    assert not done.info.notes
    assert done.masks()["detector_category_score"].notna().all()


def test_what_is_not_joined_is_listed(tmp_path: Path) -> None:
    def strange(entry: Entry) -> Entry:
        return (
            entry | {"image_id": f"other_{entry['image_id']}"} if entry["image_id"] > 9 else entry
        )

    done = audit(tmp_path, strange)
    facts = done.info.joins["detections"]
    assert facts["not_joined"]["none"]["count"] == 3
    assert facts["images_without"] == {"count": 3, "examples": ["0010.jpg", "0011.jpg", "0012.jpg"]}
    listed = json.loads((done.path / "joins.json").read_text())
    assert sorted(listed["detections"]["none"]) == ["other_10", "other_11", "other_12"]
    assert "3  not joined: no image of that name or id" in summary_text(done, summary(done))
    assert done.masks()["detector_score"].isna().sum() == 9


def test_other_annotations_are_checked_too(tmp_path: Path) -> None:
    source = write_dataset(tmp_path / "in.json")
    other = json.loads(source.read_text())
    for image in other["images"]:
        image["file_name"] = f"{image['id'] - 1:04d}.jpg"
    (tmp_path / "other.json").write_text(json.dumps(other))
    with pytest.raises(SourceError, match="ann: they fit the image after their own"):
        run(source, tmp_path / "out", inputs=Inputs(compare={"ann": tmp_path / "other.json"}))
