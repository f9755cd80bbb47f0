"""Every format of masks on Datumaro's list is read, or refused with the sentence that helps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from datumaro_samples import SAMPLES, WIDTH, ade_color, regions, save
from datumaro_table import datumaro_section, rows
from mask_files import counts_of, tree
from PIL import Image
from small_datasets import build

from curate.errors import CallError, SourceError
from curate.formats import format_names
from curate.formats.edits import Addition, Change, Edits
from curate.formats.format import ReadOptions
from curate.formats.ids.id_codes import id_code
from curate.formats.reading import detect, read

ROOT = Path(__file__).parents[2]
LISTED = {name: row for row in rows() for name in row["names"]}

OURS = {
    "coco": "coco",
    "coco_panoptic": "coco-panoptic",
    "cvat": "cvat",
    "datumaro": "datumaro",
    "open_images": "open-images",
    "segment_anything": "sa1b",
    "yolo": "yolo",
}
"""Formats of which the tests have samples of their own."""

CATEGORIES = {
    "ade20k2017": ["wall", "car", "car"] * 2,
    "ade20k2020": ["wall, thing", "car, thing", "car, thing"] * 2,
    "mapillary_vistas_instances": ["object--19", "object--55", "object--55"] * 2,
    "mvtec_segmentation": ["broken"] * 2,
    "voc": ["car", "car"] * 2,
}


def test_the_table_has_each_name_once() -> None:
    assert len(LISTED) == sum(len(row["names"]) for row in rows()) == 87
    assert {row["as"] for row in rows()} <= {*format_names(), "refused", "none"}
    assert "`ade20k2020`" in datumaro_section()


def test_the_table_is_that_of_datumaro() -> None:
    """With ``make test-tools``, which installs it."""
    listed = list(ROOT.glob(".venv-tools/lib/python3*/site-packages/datumaro/plugins/specs.json"))
    if not listed:
        pytest.skip("make .venv-tools/.installed")
    plugins = json.loads(listed[0].read_text())
    assert {p["plugin_name"] for p in plugins if p["plugin_type"] == "Importer"} == set(LISTED)


@pytest.mark.parametrize("name", [one for one in SAMPLES if one in LISTED])
def test_each_is_read_or_refused_with_what_to_do(tmp_path: Path, name: str) -> None:
    source, meant = SAMPLES[name](tmp_path / "data"), LISTED[name]["as"]
    if meant in format_names() and name != "mapillary_vistas_panoptic":
        assert detect(source).name == meant
        table = read(source)
        assert len(table) > 0
        assert set(table.masks["status"]) == {"ok"}
        assert set(table.images["status"]) == {"ok"}
        assert table.masks["category"].notna().all()
        if name in CATEGORIES:
            assert table.masks["category"].tolist() == CATEGORIES[name]
        return
    if name == "coco_labels":  # objects whose masks are missing: findings, not an error
        assert read(source).masks["status"].tolist() == ["no_segmentation"]
        return
    with pytest.raises(SourceError) as raised:
        read(source)
    assert raised.value.do
    assert "in none of the formats" not in raised.value.what


@pytest.mark.parametrize("name", OURS)
def test_what_both_read_is_read(tmp_path: Path, name: str) -> None:
    source = build(OURS[name], tmp_path)
    assert detect(source).name == LISTED[name]["as"] == OURS[name]


def test_the_panoptic_json_of_mapillary_is_named_and_read(tmp_path: Path) -> None:
    source = SAMPLES["mapillary_vistas_panoptic"](tmp_path / "data")
    with pytest.raises(SourceError, match="ids of COCO panoptic JSON") as raised:
        read(source)
    table = read(Path(raised.value.do.removeprefix("give the JSON: ")))
    assert table.masks["category"].tolist() == ["Car", "Car", "Road"] * 2


def test_ids_and_panoptic_of_mapillary_side_by_side_are_read_as_ids(tmp_path: Path) -> None:
    SAMPLES["mapillary_vistas_instances"](tmp_path)
    SAMPLES["mapillary_vistas_panoptic"](tmp_path)
    assert set(read(tmp_path).masks["category"]) == {"object--19", "object--55"}


def test_icdar_is_read_as_its_refusal_says(tmp_path: Path) -> None:
    source = SAMPLES["icdar_text_segmentation"](tmp_path / "data")
    with pytest.raises(SourceError, match="ICDAR") as raised:
        read(source)
    assert "--void 16777215" in raised.value.do
    for path in source.rglob("*_GT.bmp"):
        save(tmp_path / "png" / f"{path.stem}.png", np.asarray(Image.open(path)))
    table = read(tmp_path / "png", options=ReadOptions(void=(16_777_215,)))
    assert table.masks["area_px"].tolist() == [30 * 17] * 4


def test_classes_of_pixels_are_masks_where_that_is_forced(tmp_path: Path) -> None:
    source = SAMPLES["camvid"](tmp_path / "data")
    with pytest.raises(SourceError, match="classes, not objects"):
        read(source)
    assert len(read(source / "trainannot", format="label-png")) == 4


@pytest.mark.parametrize("name", ["label_me", "voc_detection", "vott_json"])
def test_a_document_alone_is_named_too(tmp_path: Path, name: str) -> None:
    source = SAMPLES[name](tmp_path / "data")
    file = source if source.is_file() else next(source.rglob("*.xml"))
    with pytest.raises(SourceError, match=r"it is (MIT LabelMe|Pascal VOC|VoTT)"):
        read(file)


# --- ADE20K --------------------------------------------------------------------------------------


@pytest.mark.parametrize("year", ["ade20k2017", "ade20k2020"])
def test_objects_of_ade20k_change_and_come_and_all_else_stays(tmp_path: Path, year: str) -> None:
    source, out = SAMPLES[year](tmp_path / "in"), tmp_path / "out"
    table = read(source)
    png = table.images["source_key"].iloc[0]
    gone, moved = table.masks["source_key"].iloc[:2]
    car = "car" if year == "ade20k2017" else "car, thing"
    smaller, corner = np.zeros((60, WIDTH), bool), np.zeros((60, WIDTH), bool)
    smaller[12:20, 32:40], corner[50:58, 70:88] = True, True
    edits = Edits(
        drop=frozenset({gone}),
        change={moved: Change(counts_of(smaller))},
        add=[Addition(png, counts_of(corner), 60, WIDTH, car)],
    )
    form = detect(source)
    form.write(source, out, edits)
    assert form.check_unedited(source, out, edits) == ""
    before, after = tree(source), tree(out)
    assert [one for one in before if before[one] != after[one]] == [png]
    meant = regions(ade_color("wall", 0), ade_color("car", 0), ade_color("car", 150))
    meant[10:40] *= 0
    meant[10:40, 55:72] = ade_color("car", 150)
    meant[smaller], meant[corner] = ade_color("car", 100), ade_color("car", 151)
    assert (np.asarray(Image.open(out / png)) == meant).all()
    again = read(out)
    assert again.masks["category"].tolist()[:3] == [car] * 3
    assert len(again) == len(table)


def test_a_class_that_no_document_of_ade20k_names_is_refused(tmp_path: Path) -> None:
    source = SAMPLES["ade20k2017"](tmp_path / "in")
    png = read(source).images["source_key"].iloc[0]
    corner = np.zeros((60, WIDTH), bool)
    corner[50:58, 70:88] = True
    add = [Addition(png, counts_of(corner), 60, WIDTH, "zebra")]
    with pytest.raises(CallError, match="no class 'zebra'"):
        detect(source).write(source, None, Edits(add=add))


def test_no_two_objects_of_ade20k_get_one_blue() -> None:
    code = id_code("ade20k")
    number = 401
    taken = {red + 256 * green + 65_536 * 255 for red, green, _ in [ade_color("wall", 0)]}
    ids = code.range_of(str(number), "x.png")
    assert {code.class_of(one) for one in ids} == {number}
    assert len(ids) == 255
    assert sum(one in code.block(taken, ids) for one in ids) == 1
    with pytest.raises(CallError, match="no class of these ids"):
        code.range_of("7000", "x.png")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"annotation": 3}', "[" * 100_000, "\xff#0#x"])
def test_a_broken_document_of_ade20k_names_nothing(tmp_path: Path, text: str) -> None:
    source = SAMPLES["ade20k2020"](tmp_path / "in")
    for path in source.rglob("*.json"):
        path.write_bytes(text.encode("latin-1"))
    assert read(source).masks["category"].tolist() == ["2978", "401", "401"] * 2
