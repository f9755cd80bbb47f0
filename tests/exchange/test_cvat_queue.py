"""CVAT: what its importer needs to find, and what its exports may hold."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from boxes import annotation, box, dataset
from hard_masks import audited, back, write
from hypothesis import given
from hypothesis import strategies as st
from other_tools import by_row

from curate.errors import CallError, SourceError
from curate.formats.cvat.cvat_format import read_shape
from curate.formats.cvat.mask_shapes import read_box_rle, write_box_rle
from curate.people.exchange import write_queue
from curate.people.exchange.registry import ExportOptions
from curate.people.queues.draw_queue import draw_queue
from curate.people.reviews import open_reviews
from curate.rle import encode_counts, from_dense
from curate.store.audit import StoredAudit
from curate.testing.exchange_contract import draw_all


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 99), st.sampled_from([0.02, 0.5, 1]))
def test_runs_by_row_are_the_same_pixels(height: int, width: int, seed: int, share: float) -> None:
    pixels = np.random.default_rng(seed).random((height, width)) < share
    pixels[-1, seed % width] = True
    shape = write_box_rle(from_dense(pixels))
    drawn = by_row(ET.Element("mask", shape), height, width)
    np.testing.assert_array_equal(drawn, pixels)
    counts = [int(count) for count in shape["rle"].split(", ")]
    assert sum(counts) == int(shape["width"]) * int(shape["height"])
    assert 0 not in counts[1:]
    ys, xs = np.nonzero(pixels)
    tight = (xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1)
    assert tuple(int(shape[side]) for side in ("left", "top", "width", "height")) == tight
    assert read_box_rle(shape, height, width).counts == encode_counts(from_dense(pixels))[0].as_py()


def test_a_large_box_is_not_drawn() -> None:
    """Two billion pixels as bytes would not fit; as runs they are nothing."""
    from curate.rle import Runs

    side, ends = 40_000, np.array([40_000 * 40_000], np.int32)
    sides = np.array([side], np.int32)
    whole = Runs(np.array([0, 1], np.int64), np.zeros(1, np.int32), ends, sides, sides)
    shape = write_box_rle(whole)
    assert shape["rle"] == f"0, {side * side}"
    assert read_box_rle(shape, side, side).counts == encode_counts(whole)[0].as_py()


@pytest.fixture
def pictured(tmp_path: Path) -> StoredAudit:
    """Return an audit whose names and categories are evil."""
    source = dataset()
    source["images"][0]["file_name"] = "a\"<&>'\n.png"
    source["categories"][0]["name"] = '<b>\x07 & "co" '
    return audited(source, tmp_path)


def test_attributes_are_declared_and_everything_is_escaped(
    pictured: StoredAudit, tmp_path: Path
) -> None:
    path, _ = write(pictured, draw_all(pictured), tmp_path, "cvat", False)
    root = ET.parse(path / "annotations.xml").getroot()
    labels = json.loads((path / "labels.json").read_text())
    assert [label["name"] for label in labels] == ['<b>? & "co"']
    declared = [one["name"] for one in labels[0]["attributes"]]
    assert declared == ["mask_id", "score", "reasons", "dataset_version"]
    assert {one["input_type"] for one in labels[0]["attributes"]} == {"text"}
    told = root.findall("meta/task/labels/label")
    assert [label.findtext("name") for label in told] == [label["name"] for label in labels]
    assert [one.findtext("name") for one in told[0].iter("attribute")] == declared
    used = {one.get("name") for one in root.findall("image/mask/attribute")}
    assert used <= set(declared)
    names = [image.get("name") for image in root.findall("image")]
    assert all((path / "images" / str(name)).is_file() for name in names)
    assert len(names) == len(set(names)) == 3
    for image in root.findall("image"):
        assert [int(one.get("z_order", "")) for one in image.findall("mask")] == [0, 1, 2, 3]


@pytest.mark.parametrize("tool", ["cvat", "fiftyone", "coco", "huggingface"])
@pytest.mark.parametrize("crops", [False, True])
def test_a_random_sample_comes_without_a_hint(
    pictured: StoredAudit, tmp_path: Path, tool: str, crops: bool
) -> None:
    drawn = draw_queue(pictured, kind="estimate", budget=6)
    out = tmp_path / f"sample.{tool}"
    assert write_queue(pictured, drawn.rows, out, tool, how=ExportOptions(crops)) == 6
    files = [out] if out.is_file() else [p for p in out.rglob("*") if p.suffix in (".xml", ".json")]
    text = b"".join(path.read_bytes() for path in files)
    for hint in (b"score", b"reason", b"priority", b"rank", b'"action"'):
        assert hint not in text


@pytest.mark.parametrize("tool", ["cvat", "fiftyone", "coco", "huggingface"])
def test_masks_with_a_known_answer_look_like_any_other(
    pictured: StoredAudit, tmp_path: Path, tool: str
) -> None:
    every = ("accept", "review", "reject")
    known = pd.Series({1: "accept", 2: "reject"})
    drawn = draw_queue(
        pictured, kind="errors", actions=every, budget=12, honeypots=0.2, known=known
    )
    assert drawn.record["honeypot"].notna().sum() > 0
    out = tmp_path / f"queue.{tool}"
    write_queue(pictured, drawn.rows, out, tool)
    told = set()
    if tool == "cvat":
        for one in ET.parse(out / "annotations.xml").getroot().iter("mask"):
            told.add((*one.keys(), *(a.get("name") for a in one)))
    elif tool == "huggingface":
        for row in pq.read_table(out).to_pylist():
            columns = row["objects"].values()
            told |= {tuple(v is None for v in values) for values in zip(*columns, strict=True)}
    else:
        file = out / "labels.json" if out.is_dir() else out
        for one in json.loads(file.read_text())["annotations"]:
            told.add((*one, *one.get("attributes", {})))
    assert len(told) == 1
    assert "honeypot" not in str(told)


def test_polygons_come_back_too(pictured: StoredAudit, tmp_path: Path) -> None:
    rows = draw_all(pictured)
    path, _ = write(pictured, rows, tmp_path, "cvat", False)
    tree = ET.parse(path / "annotations.xml")
    pairs = [(i, m) for i in tree.getroot().findall("image") for m in i.findall("mask")]
    image, mask = next(pair for pair in pairs if pair[1].findtext("attribute") == "5")
    image.remove(mask)
    polygon = ET.SubElement(image, "polygon", label=mask.get("label", ""))
    polygon.set("points", "1.00,5.00;9.00,5.00;9.00,17.00;1.00,17.00")
    ET.SubElement(polygon, "attribute", name="mask_id").text = "5"
    tree.write(tmp_path / "export.xml")
    done = back(pictured, tmp_path / "export.xml")
    assert done.added.actions == {"accept": 12}  # the same pixels
    words = "masks that came back as polygons (--same-iou says how much may differ unchanged)"
    assert done.notes[words] == 1


def test_what_is_no_mask_is_told(pictured: StoredAudit, tmp_path: Path) -> None:
    """Somebody boxed a missing object: what is missing on that image is not known."""
    path, _ = write(pictured, draw_all(pictured), tmp_path, "cvat", False)
    tree = ET.parse(path / "annotations.xml")
    image = next(one for one in tree.getroot().findall("image") if one.get("name") == "2.png")
    box = ET.SubElement(image, "box", label="a", xtl="1", ytl="1", xbr="9", ybr="9")
    ET.SubElement(box, "attribute", name="mask_id").text = "5"
    ET.SubElement(image, "ellipse", label="a", cx="5", cy="5", rx="2", ry="2")
    ET.SubElement(image, "tag", label="a")
    tree.write(tmp_path / "export.xml")
    done = back(pictured, tmp_path / "export.xml")
    assert done.added.actions == {"accept": 12}
    words = "boxes, ellipses, tags and other non-masks; their images do not count as reviewed"
    assert done.notes[words] == 3
    assert open_reviews(pictured).reviewed_images()["image_id"].tolist() == [1, 3]


def test_a_zip_is_not_trusted(pictured: StoredAudit, tmp_path: Path) -> None:
    path, _ = write(pictured, draw_all(pictured), tmp_path, "cvat", False)
    text = (path / "annotations.xml").read_bytes()
    evil = tmp_path / "work" / "evil.zip"
    evil.parent.mkdir()
    with zipfile.ZipFile(evil, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../escaped.xml", text)
        archive.writestr("images/large.png", b"\0" * 10_000_000)

    def files() -> list[Path]:
        return sorted(p for p in tmp_path.rglob("*") if p.parent != pictured.path)

    before = files()
    assert back(pictured, evil).added.actions == {"accept": 12}
    assert files() == before


def test_a_zip_bomb_is_refused(
    pictured: StoredAudit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curate.people.exchange.archives.UNCHECKED_BYTES", 100_000)
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("annotations.xml", b"<annotations>" + b" " * 50_000_000)
    with pytest.raises(SourceError, match=r"it unpacks to over .* bytes"):
        back(pictured, bomb)


@pytest.mark.parametrize("strange", [False, True])
def test_nothing_is_drawn_for_a_size_that_only_the_file_states(
    pictured: StoredAudit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strange: bool
) -> None:
    """Outlines of a picture that is not the audit's, or of a size of its own, are never drawn."""
    points = ";".join(f"{x},{y}" for x in range(0, 900, 3) for y in (0, 99_999))
    name = "else.png" if strange else "2.png"
    image = f'<image name="{name}" width="900" height="100000">'
    image += f'<polygon label="a" points="{points}"></polygon></image>'
    whole, _ = write(pictured, draw_all(pictured), tmp_path, "cvat", False)
    sound = (whole / "annotations.xml").read_text().replace("<image ", image + "<image ", 1)
    (tmp_path / "a.xml").write_text(sound)
    drawn: list[tuple[int, int]] = []

    def read(shape: Any, size: tuple[int, int]) -> Any:
        drawn.append(size)
        return read_shape(shape, size)

    monkeypatch.setattr("curate.people.exchange.cvat.read_shape", read)
    if strange:
        assert back(pictured, tmp_path / "a.xml").added.actions == {"accept": 12}
    else:
        with pytest.raises(SourceError, match="it is 900 x 100000, in the audit 50 x 40"):
            back(pictured, tmp_path / "a.xml")
    assert set(drawn) == ({(40, 50)} if strange else set())


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda text: text[:-300], "the XML is cut off"),
        (lambda text: text.replace('width="50"', 'width="51"'), "it is 51 x 40, in the audit 50"),
        (lambda text: text.replace('rle="0, ', 'rle="7, '), "its mask cannot be read"),
        (lambda text: text.replace('name="2.png"', 'name="3.png"'), "shows the same image"),
        (lambda text: "<!DOCTYPE a>" + text.partition("?>")[2], "document type"),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(
    pictured: StoredAudit,
    tmp_path: Path,
    spoil,
    message: str,  # type: ignore[no-untyped-def]
) -> None:
    path, _ = write(pictured, draw_all(pictured), tmp_path, "cvat", False)
    broken = tmp_path / "broken.xml"
    broken.write_text(spoil((path / "annotations.xml").read_text()))
    with pytest.raises(SourceError, match=message):
        back(pictured, broken, format="cvat")
    assert not len(open_reviews(pictured).decisions())


def test_crops_need_pictures(audit: StoredAudit, tmp_path: Path) -> None:
    rows = draw_all(audit)
    with pytest.raises(CallError, match="CVAT shows people pictures"):
        write_queue(audit, rows, tmp_path / "crops", "cvat", how=ExportOptions(True))
    assert not (tmp_path / "crops").exists()
    path, written = write(audit, rows, tmp_path, "cvat", False)
    assert written == 12
    assert not (path / "images").exists()
    assert back(audit, path).added.actions == {"accept": 12}


def test_a_mask_on_a_crop_is_put_back_in_its_place(tmp_path: Path) -> None:
    source = dataset()
    source["images"][0] |= {"height": 300, "width": 400}
    large = np.zeros((300, 400), bool)
    large[200:210, 300:330] = True
    source["annotations"] = [annotation(1, 1, large), annotation(2, 2, box(1, 1, 2, 2))]
    audit = audited(source, tmp_path)
    path, _ = write(audit, draw_all(audit), tmp_path, "cvat", True)
    first = ET.parse(path / "annotations.xml").getroot().findall("image")[0]
    assert (first.get("width"), first.get("height")) != ("400", "300")
    assert back(audit, path).added.actions == {"accept": 2}
