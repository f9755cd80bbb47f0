"""Habits of other programs: what can be read after a harmless repair is read, in every JSON format.

The right pixels are those that pycocotools gives for the same mask as COCO spells it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

import curate
from curate.dataset.table import MaskTable
from curate.formats.edits import Addition, Change, Edits
from curate.formats.reading import detect, read
from curate.formats.repairs import REPAIRS
from curate.reporting.summary import summary, summary_text
from curate.rle import decode_counts, encode_counts, from_dense, to_dense

H, W = 60, 70
RINGS = [
    [10.0, 10.0, 30.5, 11.0, 31.0, 25.0, 11.0, 26.0],
    [40.0, 5.0, 60.0, 6.0, 58.0, 20.0, 50.0, 30.0, 41.0, 18.0],
    [5.0, 40.0, 25.0, 38.0, 20.0, 55.0],
]
PLAIN = [coco_mask.frPyObjects([ring], H, W)[0]["counts"].decode() for ring in RINGS]


def pixels(counts: str) -> Any:
    return to_dense(decode_counts([counts.encode()], [H], [W])[0], 0)


def runs(counts: str) -> list[int]:
    flat = pixels(counts).ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff([0, *edges, flat.size]).tolist()
    return [0, *lengths] if flat[0] else lengths


def points(ring: list[float]) -> list[list[float]]:
    return [ring[i : i + 2] for i in range(0, len(ring), 2)]


def rle(counts: Any, size: Any = (H, W), **more: Any) -> dict[str, Any]:
    return {"size": list(size), "counts": counts} | more


POLYGONS: list[tuple[str, str | None, Callable[[list[float]], Any]]] = [
    ("a list of numbers", "flat_polygon", lambda ring: ring),
    ("a list of points", "flat_polygon", points),
    ("a list of rings of points", "flat_polygon", lambda ring: [points(ring)]),
    ("points that are objects", "flat_polygon", lambda r: [{"x": x, "y": y} for x, y in points(r)]),
    ("rings one list deeper", "flat_polygon", lambda ring: [[ring]]),
    ("a stray ring of no point", "stray_ring", lambda ring: [ring, []]),
    ("a stray ring of one point", "stray_ring", lambda ring: [[1.0, 2.0], ring]),
    ("a stray ring of two points", "stray_ring", lambda ring: [ring, [1.0, 2.0, 3.0, 4.0]]),
    ("a stray ring of two points before", "stray_ring", lambda ring: [[1, 2, 3, 4], ring]),
    ("a ring that is null", "stray_ring", lambda ring: [ring, None]),
    ("an empty last pair", "empty_last_point", lambda ring: [[*ring, None, None]]),
    ("an empty text at the end", "empty_last_point", lambda ring: [[*ring, ""]]),
    ("an empty last point", "empty_last_point", lambda ring: [*points(ring), []]),
    ("half a point at the end", "half_point", lambda ring: [[*ring, 3.0]]),
    ("numbers as text", "text_numbers", lambda ring: [[str(one) for one in ring]]),
    ("numbers as text with blanks", "text_numbers", lambda ring: [[f" {one} " for one in ring]]),
    ("text in a flat list", "text_numbers", lambda ring: [str(one) for one in ring]),
    ("JSON in a text", "text_segmentation", lambda ring: json.dumps([ring])),
    ("a closed ring", None, lambda ring: [ring + ring[:2]]),
    ("a doubly closed ring", None, lambda ring: [ring + ring[:2] * 2]),
    ("every point twice", None, lambda ring: [[c for p in points(ring) for c in p * 2]]),
]
LENGTHS: list[tuple[str, str | None, Callable[[str], Any]]] = [
    ("counts as floats", "float_counts", lambda c: rle([float(n) for n in runs(c)])),
    ("a size of floats", "float_counts", lambda c: rle(c, (float(H), float(W)))),
    ("a size and counts of floats", "float_counts", lambda c: rle(runs(c), (H, float(W)))),
    ("counts as text", "text_numbers", lambda c: rle([str(n) for n in runs(c)])),
    ("a size as text", "text_numbers", lambda c: rle(c, (str(H), str(W)))),
    ("bytes as Python prints them", "bytes_counts", lambda c: rle(str(c.encode()))),
    ("bytes in double quotes", "bytes_counts", lambda c: rle(f'b"{c}"'.replace("\\", "\\\\"))),
    ("a list of one", "listed_rle", lambda c: [rle(c)]),
    ("a list of one with runs", "listed_rle", lambda c: [rle(runs(c))]),
    ("no size", "no_rle_size", lambda c: {"counts": c}),
    ("a size of null", "no_rle_size", lambda c: {"size": None, "counts": runs(c)}),
    ("JSON in a text", "text_segmentation", lambda c: json.dumps(rle(c))),
    ("more fields", None, lambda c: rle(c, format="coco")),
]


def box(k: int) -> list[float]:
    return [float(v) for v in coco_mask.toBbox({"size": [H, W], "counts": PLAIN[k].encode()})]


def records(values: list[Any], **more: Any) -> list[dict[str, Any]]:
    return [
        {"id": k + 1, "image_id": 7, "category_id": 1, "segmentation": value, "bbox": box(k)} | more
        for k, value in enumerate(values)
    ]


def coco(folder: Path, values: list[Any], **top: Any) -> Path:
    images = [{"id": 7, "file_name": "a.png", "height": H, "width": W}]
    made = {"images": images, "annotations": records(values), "categories": CATEGORIES} | top
    return dump(folder / "instances.json", made)


CATEGORIES: list[dict[str, Any]] = [{"id": 1, "name": "cell"}]


def lvis(folder: Path, values: list[Any]) -> Path:
    image = {"id": 7, "file_name": "a.png", "height": H, "width": W, "neg_category_ids": []}
    return coco(folder, values, images=[image])


def results(folder: Path, values: list[Any]) -> Path:
    made = [{k: v for k, v in one.items() if k != "id"} for one in records(values, score=0.5)]
    return dump(folder / "results.json", made)


def sa1b(folder: Path, values: list[Any]) -> Path:
    image = {"image_id": 7, "file_name": "a.png", "height": H, "width": W}
    return dump(folder / "sa_7.json", {"image": image, "annotations": records(values)})


def amg(folder: Path, values: list[Any]) -> Path:
    made = [
        {"segmentation": value, "area": 1, "bbox": box(k), "predicted_iou": 0.9}
        | {"point_coords": [[1, 1]], "stability_score": 0.9, "crop_box": [0, 0, W, H]}
        for k, value in enumerate(values)
    ]
    return dump(folder / "a.json", made)


def sav(folder: Path, values: list[Any]) -> Path:
    made = {"video_id": "sav_1", "video_height": H, "video_width": W, "video_frame_count": 1.0}
    made |= {"masklet": [values], "masklet_id": [0, 1, 2], "masklet_num": 3}
    return dump(folder / "sav_1_manual.json", made)


def dump(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


def drawn(table: MaskTable) -> list[Any]:
    masks = table.masks.sort_values("source_key")
    sizes = (masks[side].to_numpy() for side in ("height", "width"))
    found, codes = decode_counts(masks["segmentation"].tolist(), *sizes)
    assert not codes.any(), masks[["status", "status_detail"]]
    return [to_dense(found, k) for k in range(len(masks))]


def check(path: Path, kind: str | None) -> None:
    """See that all masks are there with the right pixels and one note, also after pruning one."""
    table = read(path)
    assert set(table.masks["status"]) == {"ok"}, table.masks["status_detail"].tolist()
    for mask, right in zip(drawn(table), PLAIN, strict=True):
        assert (mask == pixels(right)).all()
    said = [note for note in table.notes if note.kind in REPAIRS]
    assert kind in [note.kind for note in said] if kind else not said
    assert all(note.count == 3 and len(note.examples) == 3 for note in said)
    gone = path.parent / "out" / path.name
    keys = sorted(table.masks["source_key"])
    detect(path).prune(path, gone, {keys[0]})
    for mask, right in zip(drawn(read(gone)), PLAIN[1:], strict=True):
        assert (mask == pixels(right)).all()


@pytest.mark.parametrize("build", [coco, lvis, sa1b], ids=lambda build: build.__name__)
@pytest.mark.parametrize(("name", "kind", "spell"), POLYGONS, ids=[one[0] for one in POLYGONS])
def test_polygons_in_other_spellings(
    tmp_path: Path,
    build: Callable[[Path, list[Any]], Path],
    name: str,
    kind: str | None,
    spell: Callable[[list[float]], Any],
) -> None:
    check(build(tmp_path, [spell(ring) for ring in RINGS]), kind)


@pytest.mark.parametrize("build", [coco, lvis, results, sa1b, amg, sav], ids=lambda b: b.__name__)
@pytest.mark.parametrize(("name", "kind", "spell"), LENGTHS, ids=[one[0] for one in LENGTHS])
def test_run_lengths_in_other_spellings(
    tmp_path: Path,
    build: Callable[[Path, list[Any]], Path],
    name: str,
    kind: str | None,
    spell: Callable[[str], Any],
) -> None:
    if build in (results, amg) and kind == "no_rle_size":
        pytest.skip("the run lengths are the only place with a size")
    check(build(tmp_path, [spell(counts) for counts in PLAIN]), kind)


ODD_IDS: list[tuple[str, str | None, list[Any]]] = [
    ("text", "text_ids", ["a12", "b", "c/3"]),
    ("numbers as text", "text_ids", ["4", "5", "6"]),
    ("text with zeros in front", "text_ids", ["01", "1", "001"]),
    ("floats", None, [4.0, 5.0, 6.0]),
    ("fractions", "odd_ids", [0.5, 1.5, 2.5]),
    ("lists", "odd_ids", [[1], [2], [3]]),
    ("no ids", "no_id", [None, None, None]),
    ("beyond 64 bits", "odd_ids", [2**70, 2**71, 2**72]),
    ("some text, some not", "text_ids", ["a", 7, 9.0]),
]


@pytest.mark.parametrize("build", [coco, lvis, sa1b], ids=lambda build: build.__name__)
@pytest.mark.parametrize(("name", "kind", "ids"), ODD_IDS, ids=[one[0] for one in ODD_IDS])
def test_ids_of_any_kind(
    tmp_path: Path,
    build: Callable[[Path, list[Any]], Path],
    name: str,
    kind: str | None,
    ids: list[Any],
) -> None:
    path = build(tmp_path, [rle(counts) for counts in PLAIN])
    made = json.loads(path.read_text())
    for record, number in zip(made["annotations"], ids, strict=True):
        record["id"] = number
    dump(path, made)
    table = read(path)
    assert set(table.masks["status"]) == {"ok"}
    assert table.masks.index.is_unique
    assert len(set(table.masks["source_key"])) == 3
    kinds = [note.kind for note in table.notes]
    if build is not sa1b or kind != "no_id":
        assert kinds == ([kind] if kind else [])
    keys = sorted(table.masks["source_key"])
    square = encoded((slice(3, 9), slice(4, 11)))
    edits = Edits(drop=frozenset(keys[:1]), change={keys[1]: Change(counts=square)})
    out = tmp_path / "out" / path.name
    detect(path).write(path, out, edits)
    left = json.loads(out.read_text())["annotations"]
    assert [one.get("id") for one in left] == ids[1:]
    again = read(out)
    first, second = drawn(again)
    assert first.sum() == 42
    assert (second == pixels(PLAIN[2])).all()


def encoded(where: tuple[slice, slice]) -> bytes:
    mask = np.zeros((H, W), bool)
    mask[where] = True
    return encode_counts(from_dense(mask))[0].as_py()


@pytest.mark.parametrize("build", [coco, lvis, results], ids=lambda build: build.__name__)
@pytest.mark.parametrize("image", ["a12", "7", "0007", 7.0, "päth/a b.png"])
@pytest.mark.parametrize("category", ["1", "kitten", 1.0])
def test_ids_of_images_and_categories_that_are_text(
    tmp_path: Path, build: Callable[[Path, list[Any]], Path], image: Any, category: Any
) -> None:
    path = build(tmp_path, [rle(counts) for counts in PLAIN])
    made = json.loads(path.read_text())
    for record in made if build is results else made["annotations"]:
        record |= {"image_id": image, "category_id": category}
    if build is not results:
        made["images"][0]["id"] = image
        other = {"id": "dog" if isinstance(category, str) else 2, "name": "dog"}
        made["categories"] = [{"id": category, "name": "cell"}, other]
    dump(path, made)
    table = read(path)
    assert set(table.masks["status"]) == {"ok"}, table.masks["status_detail"].tolist()
    assert table.masks["image_id"].nunique() == 1
    said = {note.kind: note.count for note in table.notes}
    texts = isinstance(image, str) or isinstance(category, str)
    assert said == ({"text_ids": 3} if texts else {})
    if build is results:
        return
    assert set(table.masks["category"]) == {"cell"}
    key = sorted(table.masks["source_key"])[0]
    new = Addition(table.images["source_key"].iloc[0], encoded((slice(3, 9), slice(4, 11))), H, W)
    edits = Edits(change={key: Change(category="dog")}, add=(replace(new, category="cell"),))
    out = tmp_path / "out" / path.name
    detect(path).write(path, out, edits)
    again = read(out).masks.sort_values("source_key")
    assert again["category"].tolist() == ["dog", "cell", "cell", "cell"]
    assert again["image_id"].nunique() == 1
    written = json.loads(out.read_text())["annotations"]
    assert [one["category_id"] for one in written] == [other["id"], *[category] * 3]
    assert [one["image_id"] for one in written] == [image] * 4


@pytest.mark.parametrize("build", [coco, lvis, results, sa1b], ids=lambda build: build.__name__)
@pytest.mark.parametrize("nothing", [None, [], {}, [[]], [None], ""], ids=str)
@pytest.mark.parametrize("more", [{}, {"area": "x", "score": [1]}], ids=["sound", "odd fields"])
def test_a_box_without_a_segmentation_is_for_review(
    tmp_path: Path, build: Callable[[Path, list[Any]], Path], nothing: Any, more: dict[str, Any]
) -> None:
    path = build(tmp_path, [rle(PLAIN[0]), nothing, rle(PLAIN[2])])
    made = json.loads(path.read_text())
    (made if build is results else made["annotations"])[1].update(more)
    dump(path, made)
    table = read(path)
    masks = table.masks.sort_values("source_key")
    assert masks["status"].tolist() == ["ok", "no_segmentation", "ok"]
    assert {note.kind: note.count for note in table.notes} == {"no_segmentation": 1}


@pytest.mark.usefixtures("with_report")
@pytest.mark.parametrize("build", [coco, results], ids=lambda build: build.__name__)
def test_files_of_boxes_are_all_for_review_and_pruning_keeps_them(
    tmp_path: Path, build: Callable[[Path, list[Any]], Path]
) -> None:
    path = build(tmp_path, [None] * 3)
    audit = curate.audit(path, tmp_path / "audit")
    assert audit.info.counts["actions"] == {"review": 3}
    note = next(note for note in audit.info.notes if note["kind"] == "no_segmentation")
    assert (note["count"], note["share"]) == (3, 1.0)
    assert note["text"] in summary_text(audit, summary(audit))
    assert note["text"] in (audit.path / "report.html").read_text()
    curate.prune(audit.path, tmp_path / "out.json")
    assert (tmp_path / "out.json").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("build", [coco, lvis, sa1b], ids=lambda build: build.__name__)
@pytest.mark.parametrize("ids", [[5, 5, 5], [5, 6, 5], ["a", "a", "a"], [5, 5.0, "5"]], ids=str)
def test_ids_that_stand_twice_lose_nothing(
    tmp_path: Path, build: Callable[[Path, list[Any]], Path], ids: list[Any]
) -> None:
    path = build(tmp_path, [rle(counts) for counts in PLAIN])
    made = json.loads(path.read_text())
    for record, number in zip(made["annotations"], ids, strict=True):
        record["id"] = number
    dump(path, made)
    table = read(path)
    assert table.masks.index.is_unique
    assert set(table.masks["status"]) <= {"ok", "duplicate_id"}
    for k, (key, mask) in enumerate(
        zip(sorted(table.masks["source_key"]), drawn(table), strict=True)
    ):
        assert (mask == pixels(PLAIN[k])).all()
        out = tmp_path / f"out{k}" / path.name
        detect(path).prune(path, out, {key})
        left = json.loads(out.read_text())["annotations"]
        assert left == made["annotations"][:k] + made["annotations"][k + 1 :]


def test_numbers_as_text_beside_masks_of_amg(tmp_path: Path) -> None:
    path = amg(tmp_path, [rle(PLAIN[0]), None, rle(PLAIN[2])])
    made = json.loads(path.read_text())
    made[0] |= {"predicted_iou": "0.75", "bbox": ["1", "2", "3", "4"]}
    table = read(dump(path, made))
    assert table.masks["status"].tolist() == ["ok", "no_segmentation", "ok"]
    assert table.masks["predicted_iou"].tolist() == [0.75, 0.9, 0.9]
    found = {note.kind: note.count for note in table.notes}
    assert found == {"text_numbers": 1, "no_segmentation": 1}
