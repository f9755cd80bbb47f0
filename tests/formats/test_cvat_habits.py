"""What libraries and people do to CVAT's XML: points, numbers, splits, groups, other shapes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mask_files import HEIGHT, WIDTH, coco_pixels
from pycocotools import mask as coco_mask

from curate.dataset.table import MaskTable
from curate.errors import SourceError
from curate.formats.edits import Edits
from curate.formats.reading import detect, read

POINTS = ((5.0, 4.0), (40.5, 4.0), (40.5, 30.25), (5.0, 30.25))
PLAIN = ";".join(f"{x},{y}" for x, y in POINTS)


def drawn() -> np.ndarray:
    ring = [value for point in POINTS for value in point]
    return coco_pixels(coco_mask.merge(coco_mask.frPyObjects([ring], HEIGHT, WIDTH)))


def xml(path: Path, *images: str, head: str = "") -> Path:
    tag = f'<image id="{{}}" name="{{}}.png" width="{WIDTH}" height="{HEIGHT}">{{}}</image>'
    inner = "".join(tag.format(k, k, shapes) for k, shapes in enumerate(images))
    path.write_text(f"<annotations><version>1.1</version>{head}{inner}</annotations>")
    return path


def pixels(table: MaskTable, row: int = 0) -> np.ndarray:
    counts = table.masks["segmentation"].iloc[row]
    return coco_pixels({"size": [HEIGHT, WIDTH], "counts": counts})


@pytest.mark.parametrize(
    "points",
    [
        PLAIN + ";",
        PLAIN + "; ",
        PLAIN + ";;",
        ";" + PLAIN,
        PLAIN.replace(";", ";;", 1),
        PLAIN.replace(";", "; ;") + ";",
        PLAIN.replace(";", ";,;", 1),
        "  " + PLAIN.replace(",", " , ").replace(";", " ; ") + " \t ",
        PLAIN.replace(";", ";&#10;"),
        PLAIN.replace("4.0", "4").replace("5.0", "5.000e0"),
    ],
)
@pytest.mark.parametrize("tag", ["<polygon {} />", "<polygon {}></polygon>", "<polygon {}\n/>"])
def test_points_with_something_between(tmp_path: Path, points: str, tag: str) -> None:
    path = xml(tmp_path / "a.xml", tag.format(f'label="c" points="{points}"'))
    table = read(path)
    assert table.masks["status"].tolist() == ["ok"]
    assert (pixels(table) == drawn()).all()
    empty = len(points.split(";")) > len(POINTS) + points.count("&#")
    assert [note.kind for note in table.notes] == (["empty_points"] if empty else [])


@pytest.mark.parametrize("points", ["", " ", ";", " ; ,; "])
def test_no_points_are_no_segmentation(tmp_path: Path, points: str) -> None:
    table = read(xml(tmp_path / "a.xml", f'<polygon label="c" points="{points}"/>'))
    assert table.masks["status"].tolist() == ["no_segmentation"]


@pytest.mark.parametrize("points", ["1,2;x,3;4,5", "1,2;3;4,5;6,7", "1,2;3,4,5;6,7"])
def test_points_that_are_none_stay_findings(tmp_path: Path, points: str) -> None:
    table = read(xml(tmp_path / "a.xml", f'<polygon label="c" points="{points}"/>'))
    assert table.masks["status"].isin(["wrong_type", "bad_polygon"]).all()


@pytest.mark.parametrize("rle", ["2, 4, 6", "2,4,6,", " 2 , 4 , 6 , "])
@pytest.mark.parametrize("sides", [(3, 2, 4, 3), ("3.0", "2.", "4.00", "3.0")])
def test_masks_whose_numbers_a_script_wrote(
    tmp_path: Path, rle: str, sides: tuple[object, ...]
) -> None:
    left, top, width, height = sides
    box = f'left="{left}" top="{top}" width="{width}" height="{height}"'
    path = xml(tmp_path / "a.xml", f'<mask label="c" rle="{rle}" {box} />')
    path.write_text(path.read_text().replace(f'width="{WIDTH}"', f'width="{WIDTH}.0"'))
    meant = np.zeros((HEIGHT, WIDTH), bool)
    meant[2, 5:7] = meant[3, 3:5] = True
    table = read(path)
    assert table.masks["status"].tolist() == ["ok"]
    assert (pixels(table) == meant).all()


def test_splits_are_read(tmp_path: Path) -> None:
    shape = f'<polygon label="c" points="{PLAIN}"/>'
    path = xml(tmp_path / "a.xml", shape, shape, shape)
    text = path.read_text().replace('name="0.png"', 'name="0.png" subset="Train"')
    path.write_text(text.replace('name="2.png"', 'name="2.png" subset="Validation"'))
    found = read(path).images["subset"]
    assert found.fillna("").tolist() == ["Train", "", "Validation"]
    assert "subset" not in read(xml(tmp_path / "b.xml", shape)).images


def test_groups_are_read_and_not_joined(tmp_path: Path) -> None:
    shape = f'<polygon label="c" points="{PLAIN}" group_id="{{}}"/>'
    path = xml(tmp_path / "a.xml", shape.format(7) * 2 + shape.format(8), shape.format(0))
    table = read(path)
    assert len(table) == 4
    assert table.masks["group_id"].fillna(0).tolist() == [7, 7, 8, 0]
    assert [(note.kind, note.count) for note in table.notes] == [("groups", 1)]


def test_other_shapes_are_counted_and_stay(tmp_path: Path) -> None:
    others = '<box label="f" xtl="1" ytl="1" xbr="2" ybr="2"/><tag label="d"></tag>'
    skeleton = '<skeleton label="s"><points label="p" points="1,2;"/></skeleton>'
    polygon = f'<polygon label="c" points="{PLAIN}"/>'
    path = xml(tmp_path / "a.xml", polygon + others + polygon + skeleton, others)
    table = read(path)
    counts = {note.text.split(">")[0]: note.count for note in table.notes}
    assert counts == {"<box": 2, "<tag": 2, "<skeleton": 1}
    for ordinal in (0, 1):
        out = tmp_path / f"out-{ordinal}.xml"
        drop = frozenset({f"a.xml#/image/0/polygon/{ordinal}"})
        detect(path).write(path, out, Edits(drop=drop))
        left = others + polygon if ordinal == 0 else polygon + others
        assert out.read_text() == path.read_text().replace(polygon + others + polygon, left)


@pytest.mark.parametrize("head", ["", "<meta><task><name>x</name></task></meta>"])
def test_video_is_named_for_what_it_is(tmp_path: Path, head: str) -> None:
    track = f'<track id="0" label="c"><polygon frame="0" points="{PLAIN}"/></track>'
    path = xml(tmp_path / "a.xml", head=head + track)
    with pytest.raises(SourceError, match="it looks like CVAT for video"):
        read(path, "cvat")
    assert detect(path).name == detect(tmp_path).name == "cvat-video"
