from __future__ import annotations

from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mask_files import (
    HEIGHT,
    WIDTH,
    coco_pixels,
    counts_of,
    dense,
    load_all,
    mask_at,
    shapes,
    status_at,
    tree,
)
from pycocotools import mask as coco_mask
from random_cases import draws

from curate.errors import CallError, CurateError, SourceError
from curate.formats.cvat import cvat_format, mask_shapes, xml_stream
from curate.formats.edits import Addition, Change, Edits, Stored
from curate.formats.polygons import rings_of
from curate.formats.reading import detect, read

HEAD = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <name>x</name>
      <labels>
        <label><name>cell</name><attributes><attribute><name>mask_id</name></attribute></attributes></label>
        <label><name>&lt;b&gt;שלום&lt;/b&gt;</name></label>
      </labels>
    </task>
  </meta>
"""
TAIL = "</annotations>\n"
NOTE = (
    "<attribute><name>note</name><mutable>False</mutable><input_type>text</input_type>"
    "<default_value></default_value><values></values></attribute>"
)


def row_runs(pixels: np.ndarray) -> list[int]:
    flat = pixels.ravel().astype(int)
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges, flat.size]).tolist()
    return [0, *counts] if flat[0] else counts


def mask_xml(mask: np.ndarray, inner: str = "", **changed: object) -> str:
    """Write a mask as CVAT does: row by row inside its tight box."""
    y, x = np.nonzero(mask)
    box = (y.min(), y.max() + 1, x.min(), x.max() + 1) if len(y) else (0, 1, 0, 1)
    runs = row_runs(mask[box[0] : box[1], box[2] : box[3]])
    attributes = {
        "label": "cell",
        "source": "manual",
        "occluded": "0",
        "rle": str(runs)[1:-1],
        "left": box[2],
        "top": box[0],
        "width": box[3] - box[2],
        "height": box[1] - box[0],
        "z_order": "0",
        **changed,
    }
    told = " ".join(f"{k}={quoteattr(str(v))}" for k, v in attributes.items() if v is not None)
    return f"    <mask {told}>\n{inner}    </mask>\n"


def image_xml(inner: str, name: str = "a.png", number: object = 0, **changed: object) -> str:
    told = {"id": number, "name": name, "width": WIDTH, "height": HEIGHT, **changed}
    attributes = " ".join(f"{k}={quoteattr(str(v))}" for k, v in told.items())
    return f"  <image {attributes}>\n{inner}  </image>\n"


def write(path: Path, *images: str) -> Path:
    path.write_text(HEAD + "".join(images) + TAIL, encoding="utf-8")
    return path


# --- reading -------------------------------------------------------------------------------------


def test_every_shape_to_the_pixel(tmp_path: Path) -> None:
    made = shapes()
    source = write(tmp_path / "a.xml", image_xml("".join(map(mask_xml, made.values()))))
    table = load_all(cvat_format.FORMAT, source)
    assert detect(source).name == "cvat"
    for i, mask in enumerate(made.values()):
        assert (mask_at(table, f"a.xml#/image/0/mask/{i}") == mask).all()
    assert table.masks["status"].eq("ok").all()
    assert table.images[["file_name", "height", "width"]].iloc[0].tolist() == [
        "a.png",
        HEIGHT,
        WIDTH,
    ]


@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_any_mask_in_any_box(height: int, width: int, data: st.DataObject) -> None:
    w, h = data.draw(st.integers(1, width)), data.draw(st.integers(1, height))
    x, y = data.draw(st.integers(0, width - w)), data.draw(st.integers(0, height - h))
    bits = data.draw(st.lists(st.booleans(), min_size=w * h, max_size=w * h))
    pixels = np.array(bits).reshape(h, w)
    runs = row_runs(pixels)
    for _ in range(data.draw(st.integers(0, 2))):  # runs of no length, as editors leave them
        at = data.draw(st.integers(0, len(runs) - 1))
        runs[at : at + 1] = [0, 0, runs[at]]
    shape = {"rle": str(runs)[1:-1], "left": x, "top": y, "width": w, "height": h}
    read_mask = mask_shapes.read_box_rle({k: str(v) for k, v in shape.items()}, height, width)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mask_shapes, "DRAWN_PIXELS", 0)
        undrawn = mask_shapes.read_box_rle({k: str(v) for k, v in shape.items()}, height, width)
    expected = np.zeros((height, width), bool)
    expected[y : y + h, x : x + w] = pixels
    encoded = coco_mask.encode(np.asfortranarray(expected.astype(np.uint8)))
    assert read_mask.counts == undrawn.counts == encoded["counts"]


def test_a_polygon_is_cocos_mask(tmp_path: Path) -> None:
    ring = [3.5, 2.25, 40.0, 5.0, 30.75, 33.0, 1.0, 20.5]
    points = ";".join(f"{x:.2f},{y:.2f}" for x, y in zip(ring[::2], ring[1::2], strict=True))
    shape = f'<polygon label="cell" occluded="0" points="{points}" z_order="0"></polygon>'
    table = load_all(cvat_format.FORMAT, write(tmp_path / "a.xml", image_xml(shape)))
    expected = coco_pixels(coco_mask.frPyObjects([ring], HEIGHT, WIDTH)[0])
    assert (mask_at(table, "a.xml#/image/0/polygon/0") == expected).all()


def test_attributes_ids_and_labels(tmp_path: Path) -> None:
    dot = shapes()["dot"]
    inner = "".join(
        f'<attribute name="{k}">{v}</attribute>'
        for k, v in {"mask_id": 123, "score": 0.5, "iscrowd": "true", "note": "a&lt;b"}.items()
    )
    odd = '<attribute name="mask_id">124</attribute><attribute name="score">high</attribute>'
    box = '<box label="cell" xtl="1"><attribute name="score">0.9</attribute></box>'
    shapes_xml = mask_xml(dot, inner) + box + mask_xml(dot, odd, label="<b>שלום</b>")
    table = load_all(
        cvat_format.FORMAT, write(tmp_path / "a.xml", image_xml(shapes_xml, number=40))
    )
    m = table.masks
    assert m.index.tolist() == [123, 124]
    assert m["score"].iloc[0] == 0.5
    assert np.isnan(m["score"].iloc[1])
    assert m["iscrowd"].iloc[0] == 1
    assert m["category"].tolist() == ["cell", "<b>שלום</b>"]
    assert m["source_key"].tolist() == ["a.xml#/image/0/mask/0", "a.xml#/image/0/mask/1"]
    assert table.images.index.tolist() == [40]


def test_findings(tmp_path: Path) -> None:
    ring = shapes()["ring"]
    wrong = [
        mask_xml(ring),
        mask_xml(ring, rle="5, -3, 8"),
        mask_xml(ring, rle="1, 2, 3"),
        mask_xml(ring, rle="10, 999999999"),
        mask_xml(ring, rle="10, x"),
        mask_xml(ring, rle=""),
        mask_xml(ring, rle=None),
        mask_xml(ring, left=45),
        mask_xml(ring, top=-1),
        mask_xml(ring, width="wide"),
        mask_xml(ring, width=0, height=0, rle="0"),
        mask_xml(ring, rle=f"{20 * 32}"),
        mask_xml(ring, label=None),
        mask_xml(ring, label="dog"),
        mask_xml(ring, rle="9" * 5000),
        '<polygon label="cell" points="1,1;2,2"/>',
        '<polygon label="cell" points="1,1;2,2;nan,3"/>',
        '<polygon label="cell" points="1,1;2;3,3"/>',
        '<polygon label="cell" points="1,a;2,2;3,3"/>',
        '<polygon label="cell" points=""/>',
        '<polygon label="cell" points="900,900;950,900;950,950"/>',
    ]
    table = load_all(cvat_format.FORMAT, write(tmp_path / "a.xml", image_xml("".join(wrong))))
    assert table.masks["status"].tolist() == [
        "ok",
        "undecodable",
        "undecodable",
        "undecodable",
        "wrong_type",
        "no_segmentation",
        "no_segmentation",
        "size_mismatch",
        "size_mismatch",
        "wrong_type",
        "size_mismatch",
        "empty",
        "bad_category",
        "bad_category",
        "wrong_type",
        "bad_polygon",
        "bad_polygon",
        "bad_polygon",
        "wrong_type",
        "no_segmentation",
        "empty",
    ]
    assert "cover 6 pixels" in status_at(table, "a.xml#/image/0/mask/2")[1]
    assert (dense(table, 12) == ring).all()


def test_images_with_one_name_and_without_a_size(tmp_path: Path) -> None:
    one = mask_xml(shapes()["dot"])
    images = [
        image_xml(one, "a.png", 0),
        image_xml(one, "b.png", 1),
        image_xml(one, "a.png", 2),
        image_xml(one, "c.png", "x", width="big"),
        image_xml(one, "d.png", 4, width=10**9, height=10**9),
        image_xml("", "e.png", 5),
    ]
    table = load_all(cvat_format.FORMAT, write(tmp_path / "a.xml", *images))
    assert table.images["status"].tolist() == [
        "duplicate_id",
        "ok",
        "duplicate_id",
        "invalid_size",
        "invalid_size",
        "ok",
    ]
    assert table.masks["status"].tolist() == ["ok", "ok", "ok", "invalid_size", "invalid_size"]


def test_no_memory_for_declared_sizes() -> None:
    tall = {"rle": "0,2000000000", "left": "0", "top": "0", "width": "1", "height": "2000000000"}
    assert mask_shapes.read_box_rle(tall, 2_000_000_000, 1).status == "ok"
    wide = tall | {"width": "2000000000", "height": "1"}
    assert mask_shapes.read_box_rle(wide, 1, 2_000_000_000).status == "ok"
    stripe = tall | {"rle": "0,1000000000", "width": "1000000000", "height": "1"}
    assert mask_shapes.read_box_rle(stripe, 2, 1_000_000_000).status == "undecodable"


def test_parts_cut_a_large_file_between_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks = list(shapes().values())
    source = write(
        tmp_path / "a.xml",
        *(image_xml(mask_xml(m) * 3, f"{i}.png", i) for i, m in enumerate(masks)),
    )
    whole = read(source, "cvat")
    monkeypatch.setattr(cvat_format, "PART_BYTES", 2000)
    parts = list(cvat_format.plan(source, tmp_path))
    assert len(parts) > 3
    again = read(source, "cvat")
    for column in ("source_key", "segmentation", "file_name"):
        assert again.masks[column].tolist() == whole.masks[column].tolist()


def test_a_folder_of_an_export(tmp_path: Path) -> None:
    write(tmp_path / "annotations.xml", image_xml(mask_xml(shapes()["dot"])))
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(b"picture")
    (tmp_path / "other.xml").write_text("<annotation/>")
    table = load_all(cvat_format.FORMAT, tmp_path)
    assert table.masks["source_key"].tolist() == ["annotations.xml#/image/0/mask/0"]


@pytest.mark.parametrize("encoding", ["utf-8", "iso-8859-1", "windows-1252"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    source = tmp_path / "a.xml"
    text = image_xml(mask_xml(shapes()["dot"], label="Zähler"), "Bär.png")
    declared = f'<?xml version="1.0" encoding="{encoding}"?>\n<annotations>'
    source.write_bytes((declared + text + TAIL).encode(encoding))
    table = load_all(cvat_format.FORMAT, source)
    assert table.images["file_name"].tolist() == ["Bär.png"]
    assert table.masks["category"].tolist() == ["Zähler"]


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        '<!DOCTYPE a [<!ENTITY x "' + "y" * 9 + '"><!ENTITY z "&x;&x;&x;">]>',
        '<!DOCTYPE a SYSTEM "http://localhost/x.dtd">',
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
    ],
)
def test_document_types_are_refused(tmp_path: Path, head: str) -> None:
    source = tmp_path / "a.xml"
    source.write_text(f"{head}<annotations>{image_xml('')}</annotations>")
    assert not cvat_format.matches(source)
    with pytest.raises(SourceError, match="document type"):
        read(source, "cvat")


def test_elements_deep_in_each_other_are_refused(tmp_path: Path) -> None:
    """Each open element takes memory, thirty times its tag."""
    source = write(tmp_path / "a.xml", image_xml("<a>" * 100_000))
    with pytest.raises(SourceError, match="elements are nested over 50 deep"):
        read(source, "cvat")


def test_a_tag_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parser would go over it again with each piece of the file."""
    monkeypatch.setattr(xml_stream, "MOST_TAG_BYTES", 1_000_000)
    source = write(tmp_path / "a.xml", image_xml(f'<tag label="{"x" * 2_000_000}"/>'))
    with pytest.raises(SourceError, match="a tag has over 1,000,000 bytes"):
        read(source, "cvat")


def test_broken_xml_says_where(tmp_path: Path) -> None:
    source = write(tmp_path / "a.xml", image_xml(mask_xml(shapes()["dot"])))
    text = source.read_bytes()
    source.write_bytes(text[:-40])
    with pytest.raises(SourceError, match=r"line \d+, byte \d+: the XML is cut off"):
        read(source, "cvat")
    source.write_bytes(text.replace(b"</mask>", b"</wrong>"))
    with pytest.raises(SourceError, match=r"line 15, byte \d+.*mismatched tag"):
        read(source, "cvat")
    source.write_bytes(text.decode().encode("utf-16"))
    with pytest.raises(SourceError):
        read(source, "cvat")
    source.write_text("<annotations><track id='0'><mask/></track></annotations>")
    assert not cvat_format.matches(source)
    with pytest.raises(SourceError, match="CVAT for video"):
        read(source, "cvat")
    source.write_text("<html></html>")
    with pytest.raises(SourceError, match="its root is <html>"):
        read(source, "cvat")


def test_a_file_without_images(tmp_path: Path) -> None:
    table = load_all(cvat_format.FORMAT, write(tmp_path / "a.xml"))
    assert (len(table), len(table.images)) == (0, 0)


# --- writing -------------------------------------------------------------------------------------


def test_prune_cuts_only_the_dropped_shapes(tmp_path: Path) -> None:
    made = shapes()
    kept = mask_xml(made["ring"], '<attribute name="note">a &gt; b</attribute>\n')
    gone = mask_xml(made["dot"], '<attribute name="note">a "quoted" > sign</attribute>\n')
    short = '    <polygon label="cell" note="a>b" points="1,1;9,1;9,9"/>\n'
    box = '    <box label="cell" xtl="1"><!-- <mask> --></box>\n'
    source = tmp_path / "in"
    source.mkdir()
    name = "annotations.xml"
    write(
        source / name, image_xml(gone + kept + box + short + gone + short), image_xml(gone, "b", 1)
    )
    (source / "images").mkdir()
    (source / "images" / "a.png").write_bytes(b"picture")
    cvat_format.FORMAT.prune(source, tmp_path / "all", set())
    assert tree(tmp_path / "all") == tree(source)
    drop = {f"{name}#/image/0/{k}" for k in ("mask/0", "mask/2", "polygon/0")}
    cvat_format.FORMAT.prune(source, tmp_path / "some", drop)
    expected = HEAD + image_xml(kept + box + short) + image_xml(gone, "b", 1) + TAIL
    assert (tmp_path / "some" / name).read_text(encoding="utf-8") == expected
    assert (tmp_path / "some" / "images" / "a.png").read_bytes() == b"picture"
    cvat_format.FORMAT.prune(source / name, tmp_path / "one.xml", {f"{name}#/image/1/mask/0"})
    assert len(read(tmp_path / "one.xml", "cvat").images) == 2


def test_prune_keeps_line_ends_and_long_tags(tmp_path: Path) -> None:
    noise = np.random.default_rng(5).random((HEIGHT, WIDTH)) < 0.5
    one = mask_xml(noise)
    text = (HEAD + image_xml(one + one + "    <tag/>\n") + TAIL).replace("\n", "\r\n")
    (tmp_path / "a.xml").write_bytes(b"\xef\xbb\xbf" + text.encode())
    cvat_format.FORMAT.prune(tmp_path / "a.xml", tmp_path / "b.xml", {"a.xml#/image/0/mask/1"})
    expected = (HEAD + image_xml(one + "    <tag/>\n") + TAIL).replace("\n", "\r\n")
    assert (tmp_path / "b.xml").read_bytes() == b"\xef\xbb\xbf" + expected.encode()
    with pytest.raises(CallError, match="names no mask"):
        cvat_format.FORMAT.prune(tmp_path / "a.xml", tmp_path / "c.xml", {"a.xml#/image/0/box/1"})
    with pytest.raises(CallError, match="are not in it"):
        cvat_format.FORMAT.prune(tmp_path / "a.xml", tmp_path / "c.xml", {"a.xml#/image/0/mask/9"})
    assert not (tmp_path / "c.xml").exists()


@draws(10)
@given(
    st.sets(st.tuples(st.integers(0, 2), st.integers(0, 3))),
    st.sampled_from(["", " ", "\n\t", "x"]),
)
def test_any_shapes_dropped(
    tmp_path_factory: pytest.TempPathFactory, drop: set[tuple[int, int]], between: str
) -> None:
    folder = tmp_path_factory.mktemp("cvat")
    masks = list(shapes().values())[:4]
    inner = between.join(mask_xml(m).strip() for m in masks)
    source = write(folder / "a.xml", *(image_xml(inner, f"{i}", i) for i in range(3)))
    keys = {f"a.xml#/image/{i}/mask/{j}" for i, j in drop}
    cvat_format.FORMAT.prune(source, folder / "b.xml", keys)
    before, after = read(source, "cvat"), read(folder / "b.xml", "cvat")
    left = before.masks[~before.masks["source_key"].isin(keys)]
    assert after.masks["segmentation"].tolist() == left["segmentation"].tolist()
    assert len(after.images) == 3


@given(st.integers(0, 1500), st.binary(min_size=1, max_size=6))
def test_any_xml_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, at: int, junk: bytes
) -> None:
    path = write(
        tmp_path_factory.mktemp("cvat") / "a.xml", image_xml(mask_xml(shapes()["ring"]) * 2)
    )
    text = path.read_bytes()
    path.write_bytes(text[:at] + junk + text[at + len(junk) :])
    assert cvat_format.matches(path) in (True, False)
    with suppress(CurateError):
        read(path, "cvat")
    new = counts_of(shapes()["dot"])
    edits = Edits(
        frozenset({"a.xml#/image/0/mask/1"}),
        {"a.xml#/image/0/mask/0": Change(new, "dog", {"note": "x"})},
        [Addition("a.xml#/image/0", new, HEIGHT, WIDTH, "cell")],
    )
    with suppress(CurateError):
        cvat_format.FORMAT.write(path, path.with_name("out.xml"), edits)
        read(path.with_name("out.xml"), "cvat")


def test_tags_end_outside_quotes(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(b"<mask a='" + b">" * 5000 + b"' b=\"'>\"/>rest")
    with open(path, "rb") as file:
        assert xml_stream.tag_end(file, 0) == path.stat().st_size - 4


# --- edits ---------------------------------------------------------------------------------------

SOLID = ("dot", "corner", "column", "row", "full")  # shapes that one ring goes around
NEW_LABEL = "'new' \"&<"
OTHERS = (
    '<box label="cell" xtl="1" note="a>b"/>',
    "<tag label='x'></tag>",
    "<!-- <mask/> \"quoted' -->",
    "<unknown><mask label='no'/></unknown>",
    "<points><![CDATA[</image>]]></points>",
)


@cache
def pixels_xml(kind: str, shape: str) -> dict[str, str]:
    mask = shapes()[shape]
    if kind == "polygon":
        rings = rings_of(counts_of(mask), HEIGHT, WIDTH)
        assert rings is not None
        pairs = zip(rings[0][::2], rings[0][1::2], strict=True)
        return {"points": ";".join(f"{x:.0f}.00,{y:.0f}.00" for x, y in pairs)}
    y, x = np.nonzero(mask)
    box = mask[y.min() : y.max() + 1, x.min() : x.max() + 1]
    sides = {"left": x.min(), "top": y.min(), "width": box.shape[1], "height": box.shape[0]}
    return {"rle": str(row_runs(box))[1:-1]} | {k: str(v) for k, v in sides.items()}


def escaped(text: str, quote: str = "") -> str:
    for character, entity in (("&", "amp"), ("<", "lt"), (">", "gt")):
        text = text.replace(character, f"&{entity};")
    return text.replace(quote, {"'": "&apos;", '"': "&quot;"}[quote]) if quote else text


@st.composite
def items(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["mask", "polygon", "other"]))
    shape = draw(st.sampled_from([*shapes()] if kind == "mask" else SOLID))
    edits = ["", "drop", "pixels", "label", "note", "all"] if kind != "other" else [""]
    return {
        "kind": kind,
        "shape": shape,
        "label": "cell",
        "note": draw(st.sampled_from(["", "<old>"])),
        "quote": draw(st.sampled_from("'\"")),
        "closed": draw(st.booleans()),
        "other": draw(st.sampled_from(OTHERS)),
        "new": draw(st.sampled_from([*shapes()])),
        "edit": draw(st.sampled_from(edits)),
    }


def item_xml(item: dict[str, Any], between: str) -> str:
    """The text of one thing in an image, with the blanks before it."""
    if item["kind"] == "other":
        return between + str(item["other"])
    quote, kind = item["quote"], item["kind"]
    values = {"label": item["label"], "x": "1>0", **pixels_xml(kind, item["shape"]), "z_order": "0"}
    told = "".join(
        f"  {k} ={quote}{v if k == 'x' else escaped(v, quote)}{quote}" for k, v in values.items()
    )
    inner = ""
    if item["note"]:
        deeper = between + "  " if "\n" in between else ""
        inner = f'{deeper}<attribute name="note">{escaped(item["note"])}</attribute>{between}'
    elif item["closed"]:
        return f"{between}<{kind}{told} />"
    return f"{between}<{kind}{told}>{inner}</{kind}>"


def edited(item: dict[str, Any]) -> dict[str, Any]:
    """What an item is after its edit."""
    after, every = dict(item), item["edit"] == "all"
    if every or item["edit"] == "pixels":
        stays = item["kind"] == "polygon" and item["new"] in SOLID
        after |= {"shape": item["new"], "kind": "polygon" if stays else "mask"}
    if every or item["edit"] == "label":
        after["label"] = NEW_LABEL
    if every or item["edit"] == "note":
        after["note"] = "a<b"
    return after


def change_of(before: dict[str, Any], after: dict[str, Any]) -> Change:
    every = before["edit"] == "all"
    new = counts_of(shapes()[after["shape"]]) if every or before["edit"] == "pixels" else None
    label = after["label"] if every or before["edit"] == "label" else None
    return Change(new, label, {"note": "a<b"} if every or before["edit"] == "note" else {})


@draws(30)
@given(
    st.lists(st.lists(items(), max_size=5), min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from([*shapes()])), max_size=2),
    st.sampled_from(["", " ", "\n    ", "\r\n\t\t"]),
)
def test_any_edits_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory,
    images: list[list[dict[str, Any]]],
    added: list[tuple[int, str]],
    between: str,
) -> None:
    folder = tmp_path_factory.mktemp("cvat")
    added = [(image, shape) for image, shape in added if image < len(images)]
    kinds = [item["kind"] for image in images for item in image]
    most = "polygon" if kinds.count("polygon") > kinds.count("mask") else "mask"
    first, drop, change = f"{between}<tag/>", set[str](), dict[str, Change]()
    text = after = labels = ""
    meant: list[tuple[str, str]] = []
    for number, image in enumerate(images):
        told = f'  <image id="{number}" name="{number}" width="{WIDTH}" height="{HEIGHT}">{first}'
        text, after = text + told, after + told
        seen = {"mask": 0, "polygon": 0, "other": 0}
        for item in image:
            key = f"a.xml#/image/{number}/{item['kind']}/{seen[item['kind']]}"
            seen[item["kind"]] += 1
            text += item_xml(item, between)
            new = edited(item)
            if item["edit"] == "drop":
                drop.add(key)
                continue
            after += item_xml(new, between)
            if item["edit"]:
                change[key] = change_of(item, new)
            if new["label"] != item["label"]:
                labels = f"\n        <label><name>{escaped(NEW_LABEL)}</name></label>"
            if item["kind"] != "other":
                meant.append((new["shape"], new["label"]))
        for _, shape in (one for one in added if one[0] == number):
            kind = "polygon" if most == "polygon" and shape in SOLID else "mask"
            pixels = "".join(f' {k}="{v}"' for k, v in pixels_xml(kind, shape).items())
            told = f'label="cell" source="manual" occluded="0"{pixels} z_order="0"'
            after += f"{between}<{kind} {told}></{kind}>"
            meant.append((shape, "cell"))
        text, after = text + "\n  </image>\n", after + "\n  </image>\n"
    source, out = folder / "a.xml", folder / "b.xml"
    source.write_bytes((HEAD + text + TAIL).encode())
    add = [
        Addition(f"a.xml#/image/{i}", counts_of(shapes()[shape]), HEIGHT, WIDTH, "cell")
        for i, shape in added
    ]
    cvat_format.FORMAT.write(source, out, Edits(frozenset(drop), change, add))
    last = HEAD.rindex("\n      </labels>")
    head = HEAD[:last] + labels + HEAD[last:]
    if any(one.attributes for one in change.values()):  # every label declares what was noted
        head = head.replace("</attribute></attributes>", f"</attribute>{NOTE}</attributes>")
        head = head.replace("</name></label>", f"</name><attributes>{NOTE}</attributes></label>")
    assert out.read_bytes().decode() == head + after + TAIL
    table = read(out, "cvat")
    assert table.masks["status"].isin(["ok"]).all()
    assert [
        (table.masks["category"].iloc[i], dense(table, i).tobytes()) for i in range(len(table))
    ] == [(label, shapes()[shape].tobytes()) for shape, label in meant]


def edit(path: Path, out: Path, **edits: Any) -> tuple[str, Stored]:
    out.unlink(missing_ok=True)
    stored = cvat_format.FORMAT.write(path, out, Edits(**edits))
    return out.read_text(encoding="utf-8"), stored


def test_a_self_closed_shape_goes_alone(tmp_path: Path) -> None:
    rest = '<box xtl="1"/><polygon label="cell" points="1,1;9,1;9,9"/><!--a--></image>'
    text = f'<annotations><image name="a" width="9" height="9"><polygon points="1"/>{rest}'
    (tmp_path / "a.xml").write_text(text + '<image name="b"/></annotations>')
    assert len(read(tmp_path / "a.xml", "cvat").images) == 2
    after, _ = edit(
        tmp_path / "a.xml", tmp_path / "b.xml", drop=frozenset({"a.xml#/image/0/polygon/0"})
    )
    assert after == (text + '<image name="b"/></annotations>').replace('<polygon points="1"/>', "")


def test_masks_as_polygons_and_back(tmp_path: Path) -> None:
    ring, dot = (counts_of(shapes()[name]) for name in ("ring", "dot"))
    square = '    <polygon points="1.00,1.00;9.00,1.00;9.00,9.00" label="cell"></polygon>\n'
    source = write(tmp_path / "a.xml", image_xml(mask_xml(shapes()["dot"]) + square))
    keys = ("a.xml#/image/0/mask/0", "a.xml#/image/0/polygon/0")
    change = {key: Change(ring) for key in keys}
    after, stored = edit(source, tmp_path / "b.xml", change=change, masks="polygon")
    assert (stored.polygons, stored.seams, stored.runs) == (2, 2, 0)
    assert "<mask" not in after
    assert "rle" not in after
    table = read(tmp_path / "b.xml", "cvat")
    assert all((dense(table, i) == shapes()["ring"]).all() for i in range(2))
    change = {key: Change(dot) for key in keys}
    after, stored = edit(source, tmp_path / "b.xml", change=change, masks="rle")
    assert (stored.polygons, stored.seams, stored.runs) == (0, 0, 2)
    assert '<mask rle="0, 1" left="44" top="17" width="1" height="1" label="cell"></mask>' in after


def test_added_shapes_open_images_and_get_ids(tmp_path: Path) -> None:
    shape = mask_xml(shapes()["dot"], '      <attribute name="mask_id">41</attribute>\n')
    source = tmp_path / "in"
    source.mkdir()
    bare = f'  <image name="c" width="{WIDTH}" height="{HEIGHT}"'
    write(source / "a.xml", image_xml(shape), f"{bare} />\n", f"{bare}></image>\n")
    other = mask_xml(shapes()["dot"], '<attribute name="mask_id"> 99 </attribute>')
    write(source / "b.xml", image_xml(other))
    new = counts_of(shapes()["ring"])
    add = [
        Addition(f"a.xml#/image/{i}", new, HEIGHT, WIDTH, "cell", {"by": "Ann"}) for i in (0, 1, 2)
    ]
    cvat_format.FORMAT.write(source, tmp_path / "out", Edits(add=add))
    assert (tmp_path / "out" / "b.xml").read_bytes() == (source / "b.xml").read_bytes()
    made = [
        mask_xml(
            shapes()["ring"],
            f'      <attribute name="mask_id">{number}</attribute>\n'
            '      <attribute name="by">Ann</attribute>\n',
        )
        for number in (100, 101, 102)
    ]
    opened = [f"{bare}>\n{text}  </image>\n" for text in made[1:]]
    head = HEAD.replace("</attribute></attributes>", f"</attribute>{BY}</attributes>")
    head = head.replace("&lt;/b&gt;</name>", f"&lt;/b&gt;</name><attributes>{BY}</attributes>")
    expected = head + image_xml(shape + made[0]) + "".join(opened) + TAIL
    assert (tmp_path / "out" / "a.xml").read_text(encoding="utf-8") == expected
    assert read(tmp_path / "out", "cvat").masks.index.tolist() == [41, 100, 101, 102, 99]


def test_a_new_label_has_the_attributes_of_the_others(tmp_path: Path) -> None:
    labels = "<labels>\n <label>\n  <name>a</name>\n  <color>#fff</color>\n"
    labels += "  <attributes>\n  <attribute/>\n  </attributes>\n </label>"
    text = f"<annotations><meta><job>{labels}\n</labels></job></meta>"
    text += image_xml(mask_xml(shapes()["dot"], label="a")) + TAIL
    (tmp_path / "a.xml").write_text(text)
    change = {"a.xml#/image/0/mask/0": Change(category="b")}
    after, _ = edit(tmp_path / "a.xml", tmp_path / "b.xml", change=change)
    new = "\n <label>\n  <name>b</name>\n  <attributes>\n  <attribute/>\n  </attributes>\n </label>"
    changed = text.replace(labels, labels + new)
    assert after == changed.replace('<mask label="a"', '<mask label="b"')


BY = "<attribute><name>by</name><mutable>False</mutable><input_type>text</input_type>"
BY += "<default_value></default_value><values></values></attribute>"
"""What declares an attribute "by"."""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "<attributes>NEW</attributes>"),
        ("<attributes/>", "<attributes>NEW</attributes>"),
        ("<attributes></attributes>", "<attributes>NEW</attributes>"),
        (
            "<attributes><attribute><name>own</name></attribute></attributes>",
            "<attributes><attribute><name>own</name></attribute>NEW</attributes>",
        ),
        (
            "<attributes><attribute><name>x</name></attribute></attributes>",
            "<attributes><attribute><name>x</name></attribute></attributes>",
        ),
    ],
)
def test_labels_declare_the_attributes_that_shapes_get(
    tmp_path: Path, before: str, after: str
) -> None:
    """CVAT drops attributes that the label of a shape does not declare."""
    head = f"<annotations><meta><task><labels><label><name>a</name>{before}</label>"
    rest = "</labels></task></meta>" + image_xml(mask_xml(shapes()["dot"], label="a")) + TAIL
    (tmp_path / "a.xml").write_text(head + rest)
    for category in (None, "b"):
        change = {"a.xml#/image/0/mask/0": Change(category=category, attributes={"x": "1"})}
        text, _ = edit(tmp_path / "a.xml", tmp_path / f"{category}.xml", change=change)
        labels = text[text.index("<labels>") : text.index("</labels>")]
        made = after.replace("NEW", BY.replace("by", "x"))
        second = f"<label><name>b</name>{made}</label>" if category else ""
        assert labels == f"<labels><label><name>a</name>{made}</label>{second}"


def test_the_files_encoding_is_kept(tmp_path: Path) -> None:
    head = '<?xml version="1.0" encoding="iso-8859-1"?>\n<annotations>'
    text = head + image_xml(mask_xml(shapes()["dot"], label="Zähler"), "Bär.png") + TAIL
    (tmp_path / "a.xml").write_bytes(text.encode("latin-1"))
    change = {"a.xml#/image/0/mask/0": Change(category="Öl und שמן", attributes={"é": "ü"})}
    cvat_format.FORMAT.write(tmp_path / "a.xml", tmp_path / "b.xml", Edits(change=change))
    data = (tmp_path / "b.xml").read_bytes()
    assert "Öl und ".encode("latin-1") + b"&#1513;" in data
    assert read(tmp_path / "b.xml", "cvat").masks["category"].tolist() == ["Öl und שמן"]


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ({"change": {"a.xml#/image/0/mask/7": Change(b"0")}}, "are not in it"),
        ({"change": {"b.xml#/image/0/mask/0": Change(b"0")}}, "names no mask"),
        ({"change": {"a.xml#/image/0/mask/0": Change(b"01")}}, "does not fit the image"),
        (
            {"change": {"a.xml#/image/0/mask/0": Change(counts_of(shapes()["dot"] & False))}},
            "no pixel",
        ),
        ({"change": {"a.xml#/image/0/mask/0": Change(category="")}}, "empty"),
        ({"change": {"a.xml#/image/0/mask/0": Change(category="\x00")}}, "XML has not"),
        ({"add": [Addition("a.xml#/image/9", b"0", HEIGHT, WIDTH, "cell")]}, "no image 10"),
        ({"add": [Addition("a.xml", b"0", HEIGHT, WIDTH, "cell")]}, "names no image"),
        ({"add": [Addition("a.xml#/image/0", b"0", HEIGHT, 1, "cell")]}, "its image 53 x 37"),
        ({"add": [Addition("a.xml#/image/0", b"0", HEIGHT, WIDTH)]}, "has 2 labels.*--category"),
    ],
)
def test_edits_that_are_refused(tmp_path: Path, edits: dict[str, Any], message: str) -> None:
    source = write(tmp_path / "a.xml", image_xml(mask_xml(shapes()["dot"])))
    with pytest.raises(CallError, match=message):
        cvat_format.FORMAT.write(source, tmp_path / "b.xml", Edits(**edits))
    assert not (tmp_path / "b.xml").exists()
