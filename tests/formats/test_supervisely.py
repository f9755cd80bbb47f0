"""Supervisely: bitmaps, polygons with holes, classes of meta.json, layouts, and broken figures."""

from __future__ import annotations

import base64
import io
import json
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_masks import decoded, encoded, rasterised
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from small_image_documents import packed_bitmap

from curate.dataset.table import MaskTable
from curate.errors import CallError, SourceError
from curate.formats.edits import Addition, Change, Edits
from curate.formats.reading import detect, read
from curate.formats.supervisely.figures import rings_with_holes, subtract_mask

SIZE = (30, 40)
SQUARE = [[2, 3], [22, 3], [22, 23], [2, 23]]
HOLE = [[5, 6], [9, 6], [9, 10], [5, 10]]


def polygon(exterior: Any = SQUARE, interior: Any = (), **more: Any) -> dict[str, Any]:
    points = {"exterior": exterior, "interior": [*interior]}
    made = {"classTitle": "cat", "geometryType": "polygon", "tags": [], "points": points}
    return made | more


def bitmap(data: Any, origin: Any = (4, 7), **more: Any) -> dict[str, Any]:
    inner = {"data": data, "origin": [*origin] if isinstance(origin, tuple) else origin}
    return {"classTitle": "cat", "geometryType": "bitmap", "tags": [], "bitmap": inner} | more


def document(*objects: Any, **more: Any) -> dict[str, Any]:
    size = {"height": SIZE[0], "width": SIZE[1]}
    return {"description": "", "tags": [], "size": size, "objects": [*objects]} | more


def project(folder: Path, content: Any, **shapes: str) -> Path:
    classes = [
        {"title": name, "shape": shape, "color": "#010203"} for name, shape in shapes.items()
    ]
    put(folder / "meta.json", {"classes": classes, "tags": []})
    put(folder / "ds/ann/a.jpg.json", content)
    return folder


def put(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def pixels(table: MaskTable, row: int = 0) -> np.ndarray:
    return decoded(table.masks["segmentation"].iloc[row], SIZE)


def drawn(*rings: Any) -> np.ndarray:
    return rasterised([[v for point in ring for v in point] for ring in rings], SIZE)


def packed(image: Image.Image, **how: Any) -> str:
    file = io.BytesIO()
    image.save(file, "PNG", **how)
    return base64.b64encode(zlib.compress(file.getvalue())).decode()


def parted() -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[5:8, 5:9] = mask[20:25, 3:6] = True
    return mask


# --- reading -------------------------------------------------------------------------------------


def test_holes_are_taken_out_of_polygons(tmp_path: Path) -> None:
    other = [[7, 8], [30, 8], [30, 12], [7, 12]]  # over another hole, and out of the polygon
    shapes = [polygon(interior=[HOLE, other]), polygon(interior=[[[1, 1]], []]), polygon()]
    table = read(put(tmp_path / "a.json", document(*shapes)))
    assert (pixels(table) == (drawn(SQUARE) & ~drawn(HOLE, other))).all()
    assert (pixels(table, 1) == drawn(SQUARE)).all()
    assert [(note.kind, note.count) for note in table.notes] == [("stray_ring", 1)]


@pytest.mark.parametrize("mode", ["palette", "L", "1", "LA", "RGBA", "plain"])
def test_bitmaps_lie_at_their_origin(tmp_path: Path, mode: str) -> None:
    mask = np.array([[1, 0, 1], [0, 1, 1]], bool)
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    data = packed(image.convert(mode)) if mode in ("L", "1") else ""
    if mode in ("LA", "RGBA"):  # the colour is not what counts
        white = Image.new("L", image.size, 255)
        layers = [white] * (1 if mode == "LA" else 3)
        data = packed(Image.merge(mode, [*layers, image]))
    if mode == "palette":
        data = packed_bitmap(mask, (0, 0, 3, 2))["data"]
    if mode == "plain":
        file = io.BytesIO()
        image.save(file, "PNG")
        data = base64.b64encode(file.getvalue()).decode()
    table = read(put(tmp_path / "a.json", document(bitmap(data))))
    wanted = np.zeros(SIZE, bool)
    wanted[7:9, 4:7] = mask
    assert (pixels(table) == wanted).all()


def bomb(size: int) -> str:
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(bytes(1 << 20)) for _ in range(size))
    return base64.b64encode(data + packer.flush()).decode()


GOOD = packed_bitmap(np.ones((2, 3), bool), (0, 0, 3, 2))["data"]


@pytest.mark.parametrize(
    ("broken", "status"),
    [
        (None, "wrong_type"),
        ({"classTitle": "cat", "geometryType": "bitmap"}, "no_segmentation"),
        ({"classTitle": "cat", "geometryType": "polygon"}, "no_segmentation"),
        (bitmap(None), "wrong_type"),
        (bitmap(""), "no_segmentation"),
        (bitmap("é"), "undecodable"),
        (bitmap("aGVsbG8="), "undecodable"),
        (bitmap(GOOD[:40]), "undecodable"),
        (bitmap(base64.b64encode(zlib.compress(b"hello")).decode()), "undecodable"),
        (bitmap(GOOD, "x"), "wrong_type"),
        (bitmap(GOOD, (1, "2")), "wrong_type"),
        (bitmap(GOOD, (1, 1e12)), "wrong_type"),
        (bitmap(GOOD, (40, 7)), "size_mismatch"),
        (polygon([[1, 2], [3, 4]]), "bad_polygon"),
        (polygon(None), "no_segmentation"),
        (polygon(interior=[[[1, 2], [3, None], [4, 5]]]), "wrong_type"),
        (polygon(SQUARE, points={"exterior": SQUARE, "interior": "x"}), "wrong_type"),
        (polygon(interior=[[[0, 0], [40, 0], [40, 30], [0, 30]]]), "empty"),
        (polygon(classTitle=None), "bad_category"),
    ],
)
def test_a_broken_figure_is_a_finding_and_can_go(tmp_path: Path, broken: Any, status: str) -> None:
    path = put(tmp_path / "a.json", document(polygon(), broken))
    table = read(path)
    assert table.masks["status"].tolist() == ["ok", status]
    edits = Edits(drop=frozenset({"a.json#/objects/1"}))
    form, out = detect(path), tmp_path / "out.json"
    form.write(path, out, edits)
    assert form.check_unedited(path, out, edits) == ""
    assert json.loads(out.read_text()) == document(polygon())


def test_what_unpacks_to_far_too_much_does_not(tmp_path: Path) -> None:
    path = put(tmp_path / "a.json", document(bitmap(bomb(200))))
    tracemalloc.start()
    table = read(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert table.masks["status"].tolist() == ["undecodable"]
    assert most < 30e6


def test_other_figures_are_noted_and_stay(tmp_path: Path) -> None:
    box = polygon([[1, 1], [9, 9]], geometryType="rectangle")
    old = [{"classTitle": "cat", "bitmap": None, "points": box["points"]}]
    old.append({"classTitle": "cat", "bitmap": None, "points": polygon()["points"]})
    table = read(put(tmp_path / "a.json", document(box, *old)))
    assert table.masks["source_key"].tolist() == ["a.json#/objects/2"]
    assert sorted((note.kind, note.count) for note in table.notes) == [("no_mask", 1)] * 2
    form = detect(tmp_path / "a.json")
    with pytest.raises(CallError, match="names no mask"):
        form.write(tmp_path / "a.json", None, Edits(drop=frozenset({"a.json#/objects/0"})))


def test_layouts_and_pictures(tmp_path: Path) -> None:
    root = project(tmp_path / "p", document(polygon(id=7)), cat="polygon")
    put(root / "ds/ann/old.json", document())
    put(root / "ds/datasets/sub/ann/b.png.json", document(polygon(id=9)))
    put(root / "ds/meta/a.jpg.json", {"x": 1})
    for name in ("ds/img/a.jpg", "ds/img/old.png", "ds/datasets/sub/img/b.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", SIZE[::-1]).save(root / name)
    names = ["ds/img/a.jpg", "ds/img/old.png", "ds/datasets/sub/img/b.png"]
    for source, cut, count in ((root, 0, 3), (root / "ds", 3, 3), (root / "ds/ann", 0, 2)):
        form = detect(source)
        assert form.name == "supervisely"
        table = read(source)
        assert sorted(table.masks.index) == [7, 9][: count - 1]
        own = form.pictures(source) if form.pictures else None
        if count == 3:
            assert sorted(table.images["file_name"]) == sorted(name[cut:] for name in names)
            assert own
            assert own.folder == source.resolve()
        else:
            assert own is None
    alone = read(root / "ds/ann/a.jpg.json")
    assert alone.images["file_name"].tolist() == ["a.jpg"]


@pytest.mark.parametrize("size", [None, {}, {"height": 0, "width": 4}, {"height": "x", "width": 4}])
def test_a_size_that_is_none_is_a_finding(tmp_path: Path, size: Any) -> None:
    table = read(project(tmp_path, document(polygon(), size=size)), "supervisely")
    assert table.images["status"].tolist() == ["invalid_size"]
    assert table.masks["status"].tolist() == ["invalid_size"]


def test_broken_documents_are_findings(tmp_path: Path) -> None:
    root = project(tmp_path, document(polygon()))
    for name, text in (("b.json", '{"objects": [{'), ("c.json", "[]"), ("d.json", "{}")):
        (root / "ds/ann" / name).write_text(text)
        with pytest.raises(SourceError):
            read(root / "ds/ann" / name, "supervisely")
    found = read(root).images
    assert found["status"].tolist() == ["ok", "truncated", "unreadable", "unreadable"]


# --- masks to figures ----------------------------------------------------------------------------


@given(arrays(bool, (7, 9)), arrays(bool, (7, 9)))
def test_one_mask_without_another(a: np.ndarray, b: np.ndarray) -> None:
    counts = subtract_mask(encoded(a), encoded(b), (7, 9))
    assert (decoded(counts, (7, 9)) == (a & ~b)).all()


@given(arrays(bool, (7, 9), elements=st.sampled_from([True, True, True, False])))
def test_rings_with_holes_are_exact(mask: np.ndarray) -> None:
    found = rings_with_holes(encoded(mask), (7, 9))
    if found is not None:
        again = rasterised([found[0]], (7, 9))
        if found[1]:
            again &= ~rasterised(found[1], (7, 9))
        assert (again == mask).all()


def test_a_ring_of_pixels_has_a_hole() -> None:
    mask = np.ones((5, 5), bool)
    mask[2, 2] = False
    found = rings_with_holes(encoded(mask), (5, 5))
    assert found
    assert len(found[1]) == 1


# --- writing -------------------------------------------------------------------------------------


def written(
    source: Path, edits: Edits, name: str = "ds/ann/a.jpg.json"
) -> tuple[list[dict[str, Any]], MaskTable, Any]:
    out = source.with_name("out")
    form = detect(source)
    stored = form.write(source, out, edits)
    assert form.check_unedited(source, out, edits) == ""
    return json.loads((out / name).read_text())["objects"], read(out), stored


KEY = "ds/ann/a.jpg.json#/objects/0"


@pytest.mark.parametrize(
    ("shape", "masks", "kind", "seams"),
    [
        ("any", "same", "bitmap", 0),
        ("polygon", "same", "polygon", 1),
        ("any", "polygon", "polygon", 1),
        ("any", "rle", "bitmap", 0),
    ],
)
def test_parts_become_what_their_class_allows(
    tmp_path: Path, shape: str, masks: str, kind: str, seams: int
) -> None:
    root = project(tmp_path / "p", document(polygon(id=3)), cat=shape)
    edits = Edits(change={KEY: Change(encoded(parted()))}, masks=masks)
    objects, table, stored = written(root, edits)
    assert objects[0]["geometryType"] == kind
    assert (pixels(table) == parted()).all()
    assert (stored.polygons, stored.seams) == (int(kind == "polygon"), seams)
    if kind == "bitmap":
        assert objects[0]["points"] == {"exterior": [], "interior": []}


@pytest.mark.parametrize(("shape", "masks"), [("polygon", "rle"), ("bitmap", "polygon")])
def test_a_class_that_takes_no_such_figure_is_named(tmp_path: Path, shape: str, masks: str) -> None:
    root = project(tmp_path, document(polygon()), cat=shape)
    edits = Edits(change={KEY: Change(encoded(parted()))}, masks=masks)
    with pytest.raises(CallError, match=f"takes figures of the type {shape} only"):
        detect(root).write(root, None, edits)
    box = Edits(change={KEY: Change(category="box")})
    put(root / "meta.json", {"classes": [{"title": "box", "shape": "rectangle"}]})
    with pytest.raises(CallError, match="rectangle only"):
        detect(root).write(root, None, box)


def test_a_hole_becomes_an_interior_ring(tmp_path: Path) -> None:
    root = project(tmp_path / "p", document(polygon()), cat="polygon")
    new = drawn(SQUARE) & ~drawn(HOLE)
    objects, table, stored = written(root, Edits(change={KEY: Change(encoded(new))}))
    assert len(objects[0]["points"]["interior"]) == 1
    assert (pixels(table) == new).all()
    assert (stored.polygons, stored.seams, stored.turned) == (1, 0, 0)


def test_another_class_takes_its_own_figures(tmp_path: Path) -> None:
    figure = polygon(classId=5, interior=[HOLE])
    root = project(tmp_path / "p", document(figure), cat="polygon", dog="bitmap")
    objects, table, _ = written(root, Edits(change={KEY: Change(category="dog")}))
    assert (objects[0]["classTitle"], objects[0]["classId"]) == ("dog", None)
    assert objects[0]["geometryType"] == "bitmap"
    assert (pixels(table) == (drawn(SQUARE) & ~drawn(HOLE))).all()


def test_new_classes_are_declared_once(tmp_path: Path) -> None:
    root = project(tmp_path / "p", document(polygon(id=4)), cat="polygon")
    put(root / "ds2/ann/b.json", document())
    new = encoded(drawn(HOLE))
    places = ("ds/ann/a.jpg.json", "ds2/ann/b.json")
    edits = Edits(add=[Addition(place, new, *SIZE, "dög") for place in places])
    objects, table, _ = written(root, edits)
    assert [one.get("id") for one in objects] == [4, 5]
    assert sorted(table.masks.index) == [4, 5, 6]
    classes = json.loads((tmp_path / "out/meta.json").read_text())["classes"]
    assert [(one["title"], one["shape"]) for one in classes] == [("cat", "polygon"), ("dög", "any")]


def test_without_meta_or_ids_all_is_allowed(tmp_path: Path) -> None:
    root = tmp_path / "ds"
    put(root / "ann/a.jpg.json", document(polygon()))
    edits = Edits(add=[Addition("ann/a.jpg.json", encoded(parted()), *SIZE)])
    objects, table, _ = written(root, edits, "ann/a.jpg.json")
    assert objects[1]["geometryType"] == "bitmap"
    assert "id" not in objects[1]
    assert table.masks["category"].tolist() == ["cat", "cat"]
    noted = Edits(change={"ann/a.jpg.json#/objects/0": Change(attributes={"a": "b"})})
    with pytest.raises(CallError, match="attributes"):
        detect(root).write(root, None, noted)
