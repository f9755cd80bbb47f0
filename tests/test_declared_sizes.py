"""Declared sizes that are not those of the pictures: swapped, or others."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from PIL import Image

import curate
from curate.store import Audit
from curate.summary import facts, summary, summary_text

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


def audited(folder: Path, write: Write, wrong: Size, of: tuple[int, int]) -> Audit:
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
    assert audit.info["notes"] == []


@pytest.mark.parametrize("kind", WRITERS)
def test_what_nearly_all_images_have_is_said_once_of_the_file(tmp_path: Path, kind: str) -> None:
    """Masks with pixels are judged by their own signals; of those without, nothing is certain."""
    audit = audited(tmp_path, WRITERS[kind], (HEIGHT, WIDTH), (11, 12))
    (note,) = (note for note in audit.info["notes"] if note["of"] == "images")
    assert (note["kind"], note["text"], note["count"]) == ("swapped_sizes", SWAPPED, 11)
    assert (note["share"], note["examples"]) == (11 / 12, ["p0.png", "p1.png", "p2.png"])
    assert not [note for note in audit.info["notes"] if note["kind"] == "finding"]
    masks = audit.query("select action, area_px, status from masks where status <> 'ok'")
    assert len(masks) == 22
    assert set(masks["action"][masks["area_px"] == 0]) == {"review"}
    assert set(masks["action"][masks["area_px"] > 0]) == {"accept"}
    numbers = summary(audit)
    said = summary_text(audit, numbers)
    assert said.count(SWAPPED) == 2  # of the file, and of the masks that are left without a pixel
    assert f"note: {SWAPPED}: 11 of 12 images (for example p0.png, p1.png, p2.png)" in said
    assert facts(audit, numbers)["notes"] == audit.info["notes"]
    page = (tmp_path / "audit" / "report.html").read_text()
    assert SWAPPED in page


def test_masks_without_pixels_are_rejected_where_the_sizes_agree(tmp_path: Path) -> None:
    source = coco(tmp_path, [(WIDTH, HEIGHT)] * 3)
    content = json.loads(source.read_text())
    content["annotations"][0]["segmentation"] = {"size": [HEIGHT, WIDTH], "counts": [2400]}
    source.write_text(json.dumps(content))
    audit = curate.audit(source, tmp_path / "audit", images=pictures(tmp_path, 3))
    masks = audit.query("select action, status from masks order by mask_id")
    assert masks.iloc[0].tolist() == ["reject", "empty"]
    assert set(masks["status"][1:]) == {"ok"}
