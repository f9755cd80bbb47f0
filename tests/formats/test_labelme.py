"""labelme and X-AnyLabeling: groups, masks, sizes, pictures, and what careless tools leave."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_masks import decoded, encoded, rasterised
from mask_files import tree
from PIL import Image

from curate.dataset.table import MaskTable
from curate.errors import CallError, SourceError
from curate.formats.edits import Addition, Change, Edits
from curate.formats.format import ReadOptions
from curate.formats.reading import detect, read

SIZE = (30, 40)
SQUARE = [[2.0, 3.0], [12.0, 3.0], [12.0, 13.0], [2.0, 13.0]]
OTHER = [[20.0, 3.0], [30.0, 3.0], [30.0, 13.0], [20.0, 13.0]]


def shape(points: Any = SQUARE, **more: Any) -> dict[str, Any]:
    return {"label": "cat", "points": points, "group_id": None, "shape_type": "polygon", **more}


def document(*shapes: Any, **more: Any) -> dict[str, Any]:
    made = {"version": "5.8.1", "flags": {}, "shapes": [*shapes], "imagePath": "a.jpg"}
    return made | {"imageData": None, "imageHeight": SIZE[0], "imageWidth": SIZE[1]} | more


def put(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def pixels(table: MaskTable, row: int = 0) -> np.ndarray:
    return decoded(table.masks["segmentation"].iloc[row], SIZE)


def drawn(*rings: list[list[float]]) -> np.ndarray:
    return rasterised([[v for point in ring for v in point] for ring in rings], SIZE)


def png(mask: np.ndarray, mode: str | None = None) -> str:
    packed = io.BytesIO()
    image = Image.fromarray(mask)
    (image.convert(mode) if mode else image).save(packed, "PNG")
    return base64.b64encode(packed.getvalue()).decode()


def statuses(table: MaskTable) -> list[str]:
    return table.masks["status"].tolist()


def test_shapes_of_one_label_and_group_are_one_mask(tmp_path: Path) -> None:
    shapes = [
        shape(group_id=1),
        shape(OTHER, group_id=2),
        shape(OTHER, group_id=1.0),
        shape(OTHER, group_id=1, label="dog"),
        shape(OTHER),
        shape(SQUARE),
        shape([[1, 1], [2, 2]], group_id=1, shape_type="rectangle"),
    ]
    table = read(put(tmp_path / "a.json", document(*shapes)))
    keys = [f"a.json#/shapes/{k}" for k in (0, 1, 3, 4, 5)]
    assert table.masks["source_key"].tolist() == keys
    assert table.masks["category"].tolist() == ["cat", "cat", "dog", "cat", "cat"]
    assert (pixels(table) == drawn(SQUARE, OTHER)).all()
    assert (pixels(table, 3) == drawn(OTHER)).all()
    notes = {(note.kind, note.of): note.count for note in table.notes}
    assert notes == {("no_mask", "shapes"): 1, ("groups", "masks"): 1}


@pytest.mark.parametrize("mode", [None, "1", "P", "RGB", "LA", "RGBA"])
def test_masks_lie_at_their_first_corner(tmp_path: Path, mode: str | None) -> None:
    patch = np.array([[1, 0, 1], [0, 1, 1]], np.uint8)
    patch = patch * 255 if mode else patch
    one = shape([[4.6, 7.0], [7.0, 8.0]], shape_type="mask", mask=png(patch, mode))
    table = read(put(tmp_path / "a.json", document(one)))
    wanted = np.zeros(SIZE, bool)
    wanted[7:9, 5:8] = patch
    assert (pixels(table) == wanted).all()


def test_a_mask_and_a_polygon_of_one_group_are_united(tmp_path: Path) -> None:
    patch = np.ones((3, 4), np.uint8)
    one = shape([[0, 0], [3, 2]], shape_type="mask", mask=png(patch), group_id=5)
    table = read(put(tmp_path / "a.json", document(one, shape(group_id=5))))
    wanted = drawn(SQUARE)
    wanted[:3, :4] = True
    assert len(table) == 1
    assert (pixels(table) == wanted).all()


def test_what_lies_outside_the_image_is_cut_off(tmp_path: Path) -> None:
    data = png(np.ones((3, 3), np.uint8))
    places = [[-1, 28], [38, -2], [-3, 5]]
    shapes = [shape([place, place], shape_type="mask", mask=data) for place in places]
    table = read(put(tmp_path / "a.json", document(*shapes)))
    assert table.masks["area_px"].tolist() == [4, 2, 0]
    assert statuses(table) == ["ok", "ok", "size_mismatch"]


def bomb(height: int, width: int) -> str:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    body = zlib.compress(b"\0" * 100)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    ("broken", "status"),
    [
        (None, "wrong_type"),
        (shape(None), "no_segmentation"),
        (shape([]), "no_segmentation"),
        (shape([[1, 2], [3, 4]]), "bad_polygon"),
        (shape([[1, 2], [3, 4], [5]]), "wrong_type"),
        (shape("x"), "wrong_type"),
        (shape([[1, 2], [3, None], [5, 6]]), "wrong_type"),
        (shape([[1, 2], [3, 1e99], [5, 6]]), "bad_polygon"),
        (shape([[1, 2]], shape_type="mask"), "no_segmentation"),
        (shape([], shape_type="mask", mask="x"), "wrong_type"),
        (shape([[1, "2"]], shape_type="mask", mask="x"), "wrong_type"),
        (shape([[1, 2]], shape_type="mask", mask=7), "wrong_type"),
        (shape([[1, 2]], shape_type="mask", mask=" "), "no_segmentation"),
        (shape([[1, 2]], shape_type="mask", mask="é"), "undecodable"),
        (shape([[1, 2]], shape_type="mask", mask="aGVsbG8="), "undecodable"),
        (shape([[1, 2]], shape_type="mask", mask=bomb(30, 40)), "undecodable"),
        (shape([[1, 2]], shape_type="mask", mask=bomb(30, 41)), "size_mismatch"),
        (shape([[1, 2]], shape_type="mask", mask=bomb(0, 4)), "undecodable"),
        (shape([[0, 0]], shape_type="mask", mask=png(np.zeros((3, 3), np.uint8))), "empty"),
        (shape(label=None), "bad_category"),
        (shape(label=""), "bad_category"),
    ],
)
def test_a_broken_shape_is_a_finding_and_can_go(tmp_path: Path, broken: Any, status: str) -> None:
    path = put(tmp_path / "a.json", document(shape(OTHER), broken))
    table = read(path)
    assert statuses(table) == ["ok", status]
    out = tmp_path / "out.json"
    edits = Edits(drop=frozenset({"a.json#/shapes/1"}))
    form = detect(path)
    form.write(path, out, edits)
    assert form.check_unedited(path, out, edits) == ""
    assert json.loads(out.read_text()) == document(shape(OTHER))


def test_a_part_that_is_no_polygon_is_left_out_and_noted(tmp_path: Path) -> None:
    shapes = [shape(group_id=1), shape([[1, 1], [2, 2]], group_id=1)]
    table = read(put(tmp_path / "a.json", document(*shapes)))
    assert statuses(table) == ["ok"]
    assert (pixels(table) == drawn(SQUARE)).all()
    assert "stray_ring" in {note.kind for note in table.notes}


def test_a_broken_mask_in_a_group_breaks_it(tmp_path: Path) -> None:
    broken = shape([[1, 2]], shape_type="mask", mask="x", group_id=1)
    table = read(put(tmp_path / "a.json", document(shape(group_id=1), broken)))
    assert statuses(table) == ["undecodable"]


def test_old_documents_have_no_shape_types_and_no_sizes(tmp_path: Path) -> None:
    old = {"shapes": [{"label": "cat", "points": SQUARE}], "imagePath": "a.png", "imageData": "x"}
    put(tmp_path / "d/a.json", old)
    lonely = read(tmp_path / "d")
    assert statuses(lonely) == ["invalid_size"]
    assert lonely.images["status"].tolist() == ["invalid_size"]
    (tmp_path / "p").mkdir()
    Image.new("L", SIZE[::-1]).save(tmp_path / "p/a.png")
    given = read(tmp_path / "d", options=ReadOptions(images=tmp_path / "p"))
    Image.new("L", SIZE[::-1]).save(tmp_path / "d/a.png")
    for table in (given, read(tmp_path / "d")):
        assert statuses(table) == ["ok"]
        assert (pixels(table) == drawn(SQUARE)).all()
        assert [note.kind for note in table.notes] == ["sizes_from_pictures"]


@pytest.mark.parametrize("side", [-1, 0, None, "x", 3.5, 10**12])
def test_a_size_that_is_none_is_a_finding(tmp_path: Path, side: Any) -> None:
    table = read(put(tmp_path / "a.json", document(shape(), imageHeight=side)))
    assert table.images["status"].tolist() == ["invalid_size"]
    assert statuses(table) == ["invalid_size"]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a.jpg", "d/a.jpg"),
        (".\\a.jpg", "d/a.jpg"),
        ("../p/b.jpg", "p/b.jpg"),
        ("..\\p\\b.jpg", "p/b.jpg"),
        ("C:\\data\\a.jpg", "d/a.jpg"),
        ("/mnt/x/a.jpg", "d/a.jpg"),
        ("../../a.jpg", "d/a.jpg"),
        ("../../../etc/c.jpg", "d/c.jpg"),
        ("", "x"),
        (None, "x"),
        (7, "x"),
        ("a\0.jpg", "x"),
    ],
)
def test_pictures_are_found_in_the_dataset_alone(tmp_path: Path, path: Any, found: str) -> None:
    put(tmp_path / "s/d/x.json", document(shape(), imagePath=path))
    for name in ("s/d/a.jpg", "s/p/b.jpg", "etc/c.jpg", "a.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", SIZE[::-1]).save(tmp_path / name)
    table = read(tmp_path / "s")
    assert table.images["file_name"].tolist() == [found]
    form = detect(tmp_path / "s")
    assert form.pictures
    own = form.pictures(tmp_path / "s")
    there = found in ("d/a.jpg", "p/b.jpg")
    assert (own.folder if own else None) == ((tmp_path / "s").resolve() if there else None)


def test_what_labelme_ignores_is_a_region(tmp_path: Path) -> None:
    table = read(put(tmp_path / "a.json", document(shape(label="__ignore__"), shape(OTHER))))
    assert table.masks["iscrowd"].fillna(0).tolist() == [1, 0]


def test_broken_and_other_json_in_a_folder(tmp_path: Path) -> None:
    put(tmp_path / "a.json", document(shape()))
    put(tmp_path / "coco.json", {"images": [], "annotations": [], "categories": []})
    put(tmp_path / "list.json", [1, 2])
    put(tmp_path / "no.json", {"imagePath": "x.jpg", "imageHeight": 3})
    (tmp_path / "cut.json").write_text('{"shapes": [{"label": "a"')
    (tmp_path / "torn.json").write_text('{"shapes": [}')
    table = read(tmp_path)
    found = dict(zip(table.images["file_name"], table.images["status"], strict=True))
    unreadable = dict.fromkeys(("list", "no", "torn"), "unreadable")
    assert found == {"a.jpg": "ok", "cut": "truncated", **unreadable}
    assert [(note.kind, note.count, note.of) for note in table.notes] == [
        ("other_json", 1, "files")
    ]
    for name in ("cut.json", "torn.json", "no.json"):
        with pytest.raises(SourceError):
            read(tmp_path / name, "labelme")


def test_a_picture_before_the_shapes_is_passed_over(tmp_path: Path) -> None:
    data = base64.b64encode(bytes(3 << 20)).decode()
    whole = {"imageData": data} | {k: v for k, v in document(shape()).items() if k != "imageData"}
    path = put(tmp_path / "a.json", whole)
    assert detect(path).name == detect(tmp_path).name == "labelme"
    assert statuses(read(path)) == ["ok"]


# --- writing -------------------------------------------------------------------------------------


def ring_mask() -> np.ndarray:
    """A block with a hole."""
    mask = np.zeros(SIZE, bool)
    mask[5:15, 5:20] = True
    mask[8:10, 8:12] = False
    return mask


def parted() -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[5:8, 5:9] = mask[20:25, 3:6] = mask[12:14, 30:35] = True
    return mask


def written(path: Path, edits: Edits) -> tuple[list[dict[str, Any]], MaskTable, Any]:
    out = path.with_name("out.json")
    form = detect(path)
    stored = form.write(path, out, edits)
    assert form.check_unedited(path, out, edits) == ""
    return json.loads(out.read_text())["shapes"], read(out), stored


@pytest.mark.parametrize("masks", ["same", "polygon"])
def test_parts_become_polygons_of_a_group(tmp_path: Path, masks: str) -> None:
    path = put(tmp_path / "a.json", document(shape(flags={"x": True}), shape(OTHER, group_id=4)))
    edits = Edits(change={"a.json#/shapes/0": Change(encoded(parted()))}, masks=masks)
    shapes, table, stored = written(path, edits)
    assert [one["group_id"] for one in shapes] == [5, 5, 5, 4]
    assert all(one["flags"] == {"x": True} for one in shapes[:3])
    assert shapes[3] == shape(OTHER, group_id=4)
    assert (pixels(table) == parted()).all()
    assert (stored.polygons, stored.seams, stored.runs) == (1, 0, 0)


def test_shapes_that_are_left_over_go(tmp_path: Path) -> None:
    shapes = [shape(group_id=1), shape(label="dog"), shape(OTHER, group_id=1, description="x")]
    path = put(tmp_path / "a.json", document(*shapes))
    new = drawn([[1, 1], [8, 1], [8, 8]])
    made, table, _ = written(path, Edits(change={"a.json#/shapes/0": Change(encoded(new))}))
    assert len(made) == 2
    assert made[1] == shapes[1]
    assert made[0]["group_id"] == 1
    assert (pixels(table) == new).all()


def test_holes_become_a_mask_or_a_seam(tmp_path: Path) -> None:
    path = put(tmp_path / "a.json", document(shape()))
    change = {"a.json#/shapes/0": Change(encoded(ring_mask()))}
    shapes, table, stored = written(path, Edits(change=change))
    assert shapes[0]["shape_type"] == "mask"
    assert shapes[0]["points"] == [[5.0, 5.0], [19.0, 14.0]]
    assert (pixels(table) == ring_mask()).all()
    assert (stored.polygons, stored.runs, stored.turned) == (0, 1, 1)
    (tmp_path / "out.json").unlink()
    shapes, table, stored = written(path, Edits(change=change, masks="polygon"))
    assert shapes[0]["shape_type"] == "polygon"
    assert (pixels(table) == ring_mask()).all()
    assert (stored.polygons, stored.seams, stored.runs) == (1, 1, 0)


def test_xanylabeling_knows_no_masks(tmp_path: Path) -> None:
    path = put(tmp_path / "a.json", document(shape(score=0.5, difficult=False), checked=False))
    assert read(path).masks["score"].tolist() == [0.5]
    change = {"a.json#/shapes/0": Change(encoded(ring_mask()))}
    shapes, table, stored = written(path, Edits(change=change))
    assert shapes[0]["shape_type"] == "polygon"
    assert (pixels(table) == ring_mask()).all()
    assert (stored.polygons, stored.seams) == (1, 1)
    with pytest.raises(CallError, match="X-AnyLabeling"):
        detect(path).write(path, None, Edits(change=change, masks="rle"))


def test_a_mask_shape_becomes_a_polygon_where_that_is_asked(tmp_path: Path) -> None:
    one = shape([[4, 7], [6, 8]], shape_type="mask", mask=png(np.ones((2, 3), np.uint8)))
    path = put(tmp_path / "a.json", document(one))
    change = {"a.json#/shapes/0": Change(encoded(drawn(SQUARE)))}
    shapes, table, _ = written(path, Edits(change=change, masks="polygon"))
    assert (shapes[0]["shape_type"], shapes[0]["mask"]) == ("polygon", None)
    assert (pixels(table) == drawn(SQUARE)).all()


def test_a_new_label_joins_no_other_group(tmp_path: Path) -> None:
    shapes = [shape(group_id=1), shape(OTHER, group_id=1, label="dog"), shape(group_id=2)]
    path = put(tmp_path / "a.json", document(*shapes))
    change = {"a.json#/shapes/1": Change(category="cat")}
    made, table, _ = written(path, Edits(change=change))
    assert made[1] == shape(OTHER, group_id=3)
    assert len(table) == 3


def test_attributes_stand_beside_a_shape(tmp_path: Path) -> None:
    path = put(tmp_path / "a.json", document(shape(attributes={"colour": "red"})))
    new = Addition("a.json", encoded(drawn(OTHER)), *SIZE, "cat", {"by": "ada"})
    change = {"a.json#/shapes/0": Change(attributes={"by": "bob"})}
    made, _, _ = written(path, Edits(change=change, add=[new]))
    assert [one["attributes"] for one in made] == [{"colour": "red", "by": "bob"}, {"by": "ada"}]
    assert made[1]["group_id"] is None


def test_an_image_without_shapes_gets_its_first(tmp_path: Path) -> None:
    path = put(tmp_path / "a.json", document())
    new = Addition("a.json", encoded(parted()), *SIZE, "cat")
    made, table, _ = written(path, Edits(add=[new]))
    names = ["label", "points", "group_id", "description", "shape_type", "flags", "mask"]
    assert [*made[0]] == names
    assert [one["group_id"] for one in made] == [1, 1, 1]
    assert (pixels(table) == parted()).all()
    with pytest.raises(CallError, match="has no category, and its image has 0 labels"):
        detect(path).write(path, None, Edits(add=[Addition("a.json", encoded(parted()), *SIZE)]))
    with pytest.raises(CallError, match="40 x 31"):
        detect(path).write(path, None, Edits(add=[Addition("a.json", b"", 31, 40, "cat")]))


def test_only_a_mask_s_first_shape_is_a_key(tmp_path: Path) -> None:
    shapes = [shape(group_id=1), shape(group_id=1), shape(shape_type="circle")]
    path = put(tmp_path / "d/a.json", document(*shapes))
    form = detect(path)
    for key in ("a.json#/shapes/1", "a.json#/shapes/2", "a.json#/shapes/9", "b.json#/shapes/0"):
        with pytest.raises(CallError):
            form.write(path.parent, None, Edits(drop=frozenset({key})))
    before = tree(path.parent)
    form.write(path.parent, tmp_path / "out", Edits(drop=frozenset({"a.json#/shapes/0"})))
    assert json.loads((tmp_path / "out/a.json").read_text()) == document(shapes[2])
    assert tree(path.parent) == before
