"""Declared sizes that are not those of the pictures: swapped, or others."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from PIL import Image

import curate
from curate.reporting.summary import facts, summary, summary_text
from curate.store.audit import StoredAudit

WIDTH, HEIGHT = 60, 40
SWAPPED = "declared width and height are swapped"
OTHER = "the picture has another size than declared"
LEFTS = (4, 44)
"""Left sides of two objects; the second one lies outside of an image that is HEIGHT px wide."""

Size = tuple[int, int]
Write = Callable[[Path, Sequence[Size]], Path]


def pictures(folder: Path, n: int) -> Path:
    made = folder / "pictures"
    made.mkdir()
    for k in range(n):
        Image.new("RGB", (WIDTH, HEIGHT), (20 * k, 9 * k, 3)).save(made / f"p{k}.png")
    return made


def ring(left: int, k: int) -> list[float]:
    """Return a rectangle 10 px wide, each of another height."""
    return [left, 4, left + 10, 4, left + 10, 10 + k, left, 10 + k]


def coco(folder: Path, sizes: Sequence[Size]) -> Path:
    rings = [(k, ring(left, k)) for k in range(len(sizes)) for left in LEFTS]
    made = {
        "images": [
            {"id": k, "file_name": f"p{k}.png", "width": w, "height": h}
            for k, (w, h) in enumerate(sizes)
        ],
        "annotations": [
            {"id": n, "image_id": k, "category_id": 1, "iscrowd": 0, "segmentation": [points]}
            | {"bbox": [points[0], 4, 10, 6 + k], "area": 10 * (6 + k)}
            for n, (k, points) in enumerate(rings)
        ],
        "categories": [{"id": 1, "name": "cat"}],
    }
    (folder / "source.json").write_text(json.dumps(made))
    return folder / "source.json"


def cvat(folder: Path, sizes: Sequence[Size]) -> Path:
    images = ""
    for k, (w, h) in enumerate(sizes):
        images += f'<image id="{k}" name="p{k}.png" width="{w}" height="{h}">'
        for left in LEFTS:
            p = ring(left, k)
            points = ";".join(f"{x},{y}" for x, y in zip(p[::2], p[1::2], strict=True))
            images += f'<polygon label="cat" points="{points}"/>'
        images += "</image>"
    (folder / "source.xml").write_text(f"<annotations><version>1.1</version>{images}</annotations>")
    return folder / "source.xml"


WRITERS: dict[str, Write] = {"coco": coco, "cvat": cvat}


def audited(folder: Path, write: Write, wrong: Size, of: tuple[int, int]) -> StoredAudit:
    sizes = [wrong if k < of[0] else (WIDTH, HEIGHT) for k in range(of[1])]
    return curate.audit(write(folder, sizes), folder / "audit", images=pictures(folder, of[1]))


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize(
    ("wrong", "what"),
    [((HEIGHT, WIDTH), SWAPPED), ((2 * WIDTH, 2 * HEIGHT), OTHER), ((40, 40), OTHER)],
    ids=["swapped", "double", "square"],
)
def test_masks_of_images_of_a_wrong_size_go_to_review(
    tmp_path: Path, kind: str, wrong: Size, what: str
) -> None:
    audit = audited(tmp_path, WRITERS[kind], wrong, (2, 8))
    detail = f"{what} (picture {WIDTH} x {HEIGHT} px, declared {wrong[0]} x {wrong[1]} px)"
    images = audit.query("select status, status_detail from images order by file_name")
    assert images["status"].tolist() == ["size_mismatch"] * 2 + ["ok"] * 6
    assert images["status_detail"].tolist() == [detail] * 2 + [""] * 6
    masks = audit.query("select action, reasons, status from masks order by file_name")
    assert masks["status"].tolist() == ["size_mismatch"] * 4 + ["ok"] * 12
    assert masks["action"].tolist()[:4] == ["review"] * 4
    assert all(f"does not fit its dataset: {detail}" in said for said in masks["reasons"][:4])
    numbers = summary(audit)
    assert (numbers["image_size_mismatch_count"], numbers["reject_count"]) == (2, 0)
    assert f"4  does not fit its dataset: {what}" in summary_text(audit, numbers)
    assert audit.info.notes == []


@pytest.mark.usefixtures("with_report")
@pytest.mark.parametrize("kind", WRITERS)
def test_what_nearly_all_images_have_is_said_once_of_the_file(tmp_path: Path, kind: str) -> None:
    """Its masks are for review all the same: what they cover is not known."""
    audit = audited(tmp_path, WRITERS[kind], (HEIGHT, WIDTH), (11, 12))
    (note,) = (note for note in audit.info.notes if note["of"] == "images")
    text = f"{SWAPPED} (picture {WIDTH} x {HEIGHT} px, declared {HEIGHT} x {WIDTH} px)"
    assert (note["kind"], note["text"], note["count"]) == ("swapped_sizes", text, 11)
    assert (note["share"], note["examples"]) == (11 / 12, ["p0.png", "p1.png", "p2.png"])
    assert not [note for note in audit.info.notes if note["kind"] == "finding"]
    masks = audit.query("select action, reasons, area_px from masks where status <> 'ok'")
    assert len(masks) == 22
    assert set(masks["action"]) == {"review"}
    assert set(masks["area_px"] > 0) == {True, False}
    assert all(f"does not fit its dataset: {text}" in said for said in masks["reasons"])
    numbers = summary(audit)
    said = summary_text(audit, numbers)
    assert said.count(SWAPPED) == 2  # of the file, and of its masks
    assert f"note: {text}: 11 of 12 images (for example p0.png, p1.png, p2.png)" in said
    assert facts(audit, numbers)["notes"] == audit.info.notes
    page = (tmp_path / "audit" / "report.html").read_text()
    assert SWAPPED in page


@pytest.mark.parametrize("policy", ["default", "sa1b"])
@pytest.mark.parametrize("wrong", [(HEIGHT, WIDTH), (6, 40)], ids=["swapped", "narrow"])
def test_no_policy_rejects_a_mask_for_what_a_wrong_size_made_of_it(
    tmp_path: Path, policy: str, wrong: Size
) -> None:
    """Two objects that a border cuts to the same pixels are no copies, and no box is wrong."""
    source = coco(tmp_path, [wrong] * 6)
    content = json.loads(source.read_text())
    for annotation in content["annotations"]:
        left = annotation["segmentation"][0][0]
        right = 40 if left == LEFTS[0] else 50
        annotation["segmentation"] = [[2, 4, right, 4, right, 30, 2, 30]]
        annotation |= {"bbox": [2, 4, right - 2, 26], "area": 26 * (right - 2)}
        annotation |= {"predicted_iou": 0.95, "stability_score": 0.97}
    content["annotations"][0]["category_id"] = 7
    source.write_text(json.dumps(content))
    pictures_at = pictures(tmp_path, 6)
    audit = curate.audit(source, tmp_path / "audit", images=pictures_at, policy=policy)
    masks = audit.query("select action, reasons, status from masks order by mask_id")
    assert masks["action"].tolist() == ["review"] * 12
    assert set(masks["status"]) == {"size_mismatch"}
    assert "category 7 is not declared" in masks["reasons"][0]


def test_the_note_of_images_of_several_sizes_names_the_first(tmp_path: Path) -> None:
    source = coco(tmp_path, [(30, 20), (120, 80), (30, 20)])
    audit = curate.audit(source, tmp_path / "audit", images=pictures(tmp_path, 3))
    (note,) = (note for note in audit.info.notes if note["kind"] == "other_sizes")
    assert note["text"] == f"{OTHER} (such as picture 60 x 40 px, declared 30 x 20 px)"
    assert note["count"] == 3


def test_masks_without_pixels_are_rejected_where_the_sizes_agree(tmp_path: Path) -> None:
    source = coco(tmp_path, [(WIDTH, HEIGHT)] * 3)
    content = json.loads(source.read_text())
    content["annotations"][0]["segmentation"] = {"size": [HEIGHT, WIDTH], "counts": [2400]}
    source.write_text(json.dumps(content))
    audit = curate.audit(source, tmp_path / "audit", images=pictures(tmp_path, 3))
    masks = audit.query("select action, status from masks order by mask_id")
    assert masks.iloc[0].tolist() == ["reject", "empty"]
    assert set(masks["status"][1:]) == {"ok"}
