"""Whatever is no mask and changed is seen, in every format, whoever changed it."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mask_files import save_png
from PIL import Image
from small_datasets import KINDS, build

from curate.formats.edits import Edits
from curate.formats.reading import detect, read

Tamper = Callable[[Path], None]


def text(old: str, new: str, file: str = "") -> Tamper:
    """Replace text in a file, the first time that it stands there."""

    def tamper(path: Path) -> None:
        target = path / file if file else path
        data = target.read_bytes()
        assert old.encode() in data
        target.write_bytes(data.replace(old.encode(), new.encode(), 1))

    return tamper


def document(change: Callable[[Any], Any], file: str = "") -> Tamper:
    """Change what a JSON file means."""

    def tamper(path: Path) -> None:
        target = path / file if file else path
        content = json.loads(target.read_bytes())
        change(content)
        target.write_text(json.dumps(content))

    return tamper


def parquet(change: Callable[[Any], Any], file: str = "") -> Tamper:
    """Change the rows of a Parquet file."""

    def tamper(path: Path) -> None:
        target = path / file if file else path
        with pq.ParquetFile(target) as opened:
            schema = opened.schema_arrow
            groups = [opened.read_row_group(k) for k in range(opened.num_row_groups)]
        rows = [row for group in groups for row in group.to_pylist()]
        change(rows)
        codecs = {"weight": "gzip", "file_name": "none"} if file else "snappy"
        with pq.ParquetWriter(target, schema, compression=codecs) as writer:
            for group in groups:
                some, rows = rows[: len(group)], rows[len(group) :]
                writer.write_table(pa.Table.from_pylist(some, schema=schema))

    return tamper


def remove(name: str) -> Tamper:
    return lambda path: (path / name).unlink()


def add(name: str) -> Tamper:
    return lambda path: (path / name).parent.mkdir(exist_ok=True) or (path / name).write_text("x")


def link(name: str) -> Tamper:
    def tamper(path: Path) -> None:
        (path / name).unlink()
        (path / name).symlink_to("elsewhere")

    return tamper


def in_archive(path: Path) -> None:
    """Give a file of a tar archive another mode."""
    made = io.BytesIO()
    with tarfile.open(path) as old, tarfile.open(fileobj=made, mode="w") as new:
        for k, member in enumerate(old):
            member.mode ^= 0o100 * (k == 1)
            new.addfile(member, old.extractfile(member) if member.isfile() else None)
    path.write_bytes(made.getvalue())


def opaque(path: Path) -> None:
    """Paint a pixel outside all masks."""
    target = path / "masks/gray.png"
    with Image.open(target) as image:
        pixels = np.array(image)
    y, x = np.argwhere(pixels == 0)[0]
    pixels[y, x] = pixels[pixels > 0][0]
    save_png(target, pixels)


def in_array(name: str) -> Tamper:
    """Change the last value of an array that is not the background."""

    def tamper(path: Path) -> None:
        values = np.load(path / name)
        at = tuple(np.argwhere(values)[-1])
        values[at] = 0
        np.save(path / name, values)

    return tamper


def other_array(path: Path) -> None:
    """Change a value of an array beside that of ids."""
    with np.load(path / "masks/long.npz") as arrays:
        made = {name: arrays[name].copy() for name in arrays}
    made["flows"][0] = 7
    np.savez_compressed(path / "masks/long.npz", **made)


def drop_member(name: str, field: str) -> Tamper:
    return document(lambda content: content[name][-1].pop(field))


PANOPTIC = "annotations/panoptic_val.json"

FAULTS: dict[str, list[Tamper]] = {
    "coco": [
        document(lambda c: c.pop("info")),
        document(lambda c: c["images"][0].update(extra=1)),
        document(lambda c: c["images"].reverse()),
        document(lambda c: c["categories"][0].update(name="dog")),
        document(lambda c: c["categories"].append({"id": 99, "name": "new"})),
        document(lambda c: c["annotations"][0].update(own=1)),
        document(lambda c: c["annotations"][-1].pop("iscrowd")),
        document(lambda c: c.update(more=[])),
    ],
    "coco-polygons": [document(lambda c: c["annotations"][0].update(bbox=[1, 2, 3, 4]))],
    "coco-splits": [
        text('"last": [', '"lost": [', "annotations/instances_val2017.json"),
        text(
            '"supercategory": "animal"',
            '"supercategory": "x"',
            "annotations/instances_train2017.json",
        ),
        text('"annotations": []', '"annotations": [1]', "annotations/captions_val2017.json"),
        remove("val2017/none.png"),
        add("annotations/instances_test2017.json"),
    ],
    "roboflow": [
        text('"cat"', '"cow"', "test/_annotations.coco.json"),
        text('"id": 1010', '"id": 1009', "valid/_annotations.coco.json"),
        remove("test/_annotations.coco.json"),
        add("train/more.json"),
    ],
    "lvis": [document(lambda c: c["images"][0].pop("neg_category_ids"))],
    "coco-results": [
        document(lambda c: c[0].update(score=0.123)),
        document(lambda c: c.append(dict(c[0]))),
    ],
    "coco-panoptic": [
        document(lambda c: c.pop("info"), PANOPTIC),
        document(lambda c: c["images"].reverse(), PANOPTIC),
        document(lambda c: c["annotations"][0].pop("b"), PANOPTIC),
        document(lambda c: c["annotations"][0]["segments_info"][-1].update(area=1), PANOPTIC),
        document(lambda c: c["annotations"][1]["segments_info"].pop(), PANOPTIC),
        document(lambda c: c["categories"].append({"id": 99, "name": "new"}), PANOPTIC),
        text("as is", "as was", "annotations/readme.txt"),
        remove("val/none.png"),
        remove("annotations/panoptic_val/none.png"),
    ],
    "sa1b": [
        document(lambda c: c["image"].update(more=1), "one/sa_219.json"),
        document(lambda c: c["annotations"][0].update(predicted_iou=0.5), "one/sa_219.json"),
        document(lambda c: c["annotations"][-1].pop("point_coords"), "one/sa_220.json"),
        text("as is", "as was", "one/licence.txt"),
        remove("one/sa_218.jpg"),
    ],
    "sa1b-tar": [in_archive],
    "sav": [
        document(lambda c: c.update(video_duration=2), "sav_000001_manual.json"),
        document(lambda c: c["masklet_id"].append(9), "sav_000001_manual.json"),
        document(lambda c: c["masklet"].pop(), "sav_000001_manual.json"),
        document(lambda c: c["masklet"][0].append(None), "sav_000001_manual.json"),
        document(lambda c: c["masklet"][0].__setitem__(2, None), "sav_000001_manual.json"),
        document(lambda c: c["masklet_stability_score"].pop(), "sav_000002_auto.json"),
    ],
    "amg": [
        text("0.93", "0.94", "x/metadata.csv"),
        text("id,area", "id,Area", "x/metadata.csv"),
        add("y z/notes.txt"),
    ],
    "amg-json": [
        document(lambda c: c[0].update(area=1), "a b.json"),
        document(lambda c: c.append({}), "none.json"),
    ],
    "cvat": [
        text('xtl="1.0"', 'xtl="1.5"'),
        text('<tag label="cell" source="manual"></tag>', ""),
        text("<!-- <mask label='x'/> -->", ""),
        text("<strange><shape label='cell' rle='1, 2'/></strange>", "<strange/>"),
        text('<attribute name="a"/>', ""),
        text("rot &amp; blau", "rot"),
        text("<mutable>False</mutable>", "<mutable>True</mutable>"),
        text("<version>1.1</version>", "<version>1.0</version>"),
        text(' own="y"', ""),
        text("</annotations>", "<track/></annotations>"),
        text("</strange>", "</strange>and text"),
        text(' z_order="2"', ""),
    ],
    "cvat-video": [
        text('xtl="1.0"', 'xtl="1.5"'),
        text("<!-- a box -->", ""),
        text('occluded="1"', 'occluded="0"'),
        text("rot &amp; blau", "rot"),
        text("<stop_frame>19", "<stop_frame>18"),
        text('id="90"', 'id="91"'),
        text(' own="y"', ""),
        text("</annotations>", "<track/></annotations>"),
        text("<version>1.1</version>", "<version>1.0</version>"),
    ],
    "cvat-bare": [text("</image>", '<box label="x"/></image>')],
    "fiftyone": [
        document(lambda c: c["samples"][0].update(tags=["x"]), "samples.json"),
        document(lambda c: c["samples"][0]["guesses"]["detections"].pop(), "samples.json"),
        document(lambda c: c["samples"][0]["ground_truth"]["detections"].pop(), "samples.json"),
        document(
            lambda c: c["samples"][0]["ground_truth"]["detections"][0].update(confidence=0.5),
            "samples.json",
        ),
        document(lambda c: c["samples"].pop(), "samples.json"),
        document(lambda c: c.update(frames=[]), "samples.json"),
        text("small", "other", "metadata.json"),
        remove("data/0 é.png"),
    ],
    "via": [
        text('"caption": "[1"', '"caption": "[2"', "via_project.json"),
        remove("0 é.png"),
        document(lambda c: c["_via_attributes"].clear(), "via_project.json"),
        document(lambda c: c["_via_img_metadata"].popitem(), "via_project.json"),
        document(
            lambda c: next(iter(c["_via_img_metadata"].values()))["regions"].pop(),
            "via_project.json",
        ),
    ],
    "via-export": [
        text('"size":', '"bytes":', "via_region_data.json"),
        document(lambda c: c.update(more={}), "via_region_data.json"),
        document(
            lambda c: next(iter(c.values()))["regions"][0]["region_attributes"].update(x="y"),
            "via_region_data.json",
        ),
    ],
    "datumaro": [
        document(lambda c: c["items"][0].update(attr={}), "annotations/train.json"),
        document(lambda c: c["items"][0]["annotations"].pop(), "annotations/train.json"),
        document(
            lambda c: c["items"][0]["annotations"][0].update(z_order=5), "annotations/train.json"
        ),
        document(
            lambda c: c["categories"]["label"]["labels"].append({"name": "x"}),
            "annotations/train.json",
        ),
        text('"media_type": 2', '"media_type": 1', "annotations/val.json"),
        remove("images/val/2 é.png"),
    ],
    "label-studio": [
        document(lambda c: c[0]["data"].update(text="[]")),
        document(lambda c: c[0]["annotations"][0].update(lead_time=1)),
        document(lambda c: c[0]["annotations"][1]["result"][0].update(origin="x")),
        document(lambda c: c[0]["annotations"][1]["result"].pop()),
        document(lambda c: c[0]["annotations"][2]["result"].pop(0)),
        document(lambda c: c[0]["predictions"].clear()),
        document(lambda c: c[2].pop("meta")),
        document(lambda c: c.append({})),
        document(lambda c: c.pop()),
    ],
    "labelme": [
        document(lambda c: c.update(imageData=None), "a/é 1.json"),
        document(lambda c: c["mine"].append(2), "a/é 1.json"),
        document(lambda c: c["shapes"][0].update(description=""), "a/é 1.json"),
        document(lambda c: c["shapes"][0].update(points=[[1, 1], [2, 2]]), "a/é 1.json"),
        document(lambda c: c["shapes"].pop(), "a/é 1.json"),
        document(lambda c: c["shapes"].append(c["shapes"][0]), "a/é 1.json"),
        document(lambda c: c["shapes"].reverse(), "a/é 1.json"),
        document(lambda c: c["shapes"].append({}), "none.json"),
        remove("pictures/é 1.jpg"),
    ],
    "labelme-x": [document(lambda c: c["shapes"][0].update(difficult=True), "0.json")],
    "open-images": [
        text("0.8", "0.7", "annotations/train-annotations-object-segmentation.csv"),
        text("0.25,0.75", "0.25,0.8", "annotations/validation-annotations-object-segmentation.csv"),
        text("Cat", "Dog", "annotations/class-descriptions.csv"),
        add("masks/train/more.png"),
        remove("images/validation/01ab.jpg"),
        remove("masks/validation/01ab_m01_0f.png"),
    ],
    "huggingface": [
        text("mit", "gpl", "README.md"),
        parquet(lambda rows: rows[0].update(weight=2.0), "data/train-00000-of-00002.parquet"),
        parquet(
            lambda rows: rows[1]["image"].update(path="x"), "data/train-00000-of-00002.parquet"
        ),
        parquet(
            lambda rows: rows[0]["objects"]["own"].__setitem__(1, 7.0),
            "data/train-00000-of-00002.parquet",
        ),
        parquet(
            lambda rows: [one.pop() for one in rows[1]["objects"].values()],
            "data/train-00000-of-00002.parquet",
        ),
        remove("data/train-00001-of-00002.parquet"),
    ],
    "huggingface-list": [
        parquet(
            lambda rows: rows[0]["objects"][0].update(label=1 - rows[0]["objects"][0]["label"])
        ),
        parquet(lambda rows: rows[1]["objects"].reverse()),
    ],
    "kaggle-csv": [
        text("note", "Note"),
        text(",24,40,", ",24,41,"),
        text("44_7", "44_8"),
        text("\r\n", "\n"),
        text("none.png,,18,27,,", "none.png,1 1,18,27,,"),
        text("none.png,,18,27,,", ""),
        text("none.png,,18,27,,", "none.png,,18,27,,\r\nnone.png,,18,27,,"),
    ],
    "kaggle-csv-rows": [text("11h30m00s", "11h30m01s")],
    "supervisely": [
        document(lambda c: c["size"].update(width=1), "ds 0/ann/é 1.jpg.json"),
        document(lambda c: c["own"]["objects"].append(1), "ds 0/ann/é 1.jpg.json"),
        document(lambda c: c["objects"][0].update(description="x"), "ds 0/ann/é 1.jpg.json"),
        document(lambda c: c["objects"][0]["bitmap"].pop("data"), "ds 0/ann/é 1.jpg.json"),
        document(lambda c: c["objects"].pop(), "ds 0/ann/é 1.jpg.json"),
        document(lambda c: c["objects"].append(c["objects"][0]), "ds 0/ann/é 1.jpg.json"),
        document(lambda c: c["classes"][0].update(color="#000000"), "meta.json"),
        document(lambda c: c["tags"].pop(), "meta.json"),
        remove("ds 0/img/two.png"),
    ],
    "yolo": [
        text("nc: 8", "nc: 9", "data.yaml"),
        text("1 0.1 0.2", "1 0.1 0.3", "labels/train/1.txt"),
        text("1 0.1 0.2\n", "", "labels/train/1.txt"),
        text("\n", "\n\n", "labels/train/1.txt"),
        remove("images/train/2.png"),
        add("labels/train/2.txt"),
        link("images/train/1.png"),
    ],
    "png-folder": [
        text("ImageId", "Image", "solution.csv"),
        add("a1/masks/more.png"),
        remove("none/images/none.png"),
    ],
    "png-folder-tiff": [
        add("masks/a1/more.png"),
        text("behind", "before", "masks/a1/01.tif"),
        remove("images/none.png"),
    ],
    "label-png": [opaque, add("masks/other.txt")],
    "label-npy": [other_array, in_array("masks/c.npy"), remove("images/c.png")],
    "label-npy-layers": [in_array("a_masks.npy"), add("notes.txt")],
    "label-tiff": [
        text('"shape": [90', '"shape": [91', "plain_masks.tif"),
        text("behind", "before", "strips_masks.tif"),
        text("by cellpose", "by hand", "notes.txt"),
        remove("plain.tif"),
    ],
}


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Path, Edits]]:
    """Return a function that makes a dataset and its copy without two masks, once each."""
    made: dict[str, tuple[Path, Path, Edits]] = {}

    def prune(name: str) -> tuple[Path, Path, Edits]:
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            source = build(name, folder / "source")
            form = detect(source)
            keys = read(source).masks["source_key"]
            edits = Edits(drop=frozenset(keys.iloc[[0, 2]]))
            written = folder / "written" / source.name
            form.write(source, written, edits)
            made[name] = source, written, edits
        return made[name]

    return prune


@pytest.mark.parametrize("name", KINDS)
def test_what_no_edit_names_is_seen(
    pruned: Callable[[str], tuple[Path, Path, Edits]], name: str, tmp_path: Path
) -> None:
    source, written, edits = pruned(name)
    check = detect(source).check_unedited
    assert check(source, written, edits) == ""
    assert check(source, source, edits)
    assert check(source, written, Edits())
    assert check(source, source, Edits()) == ""
    for number, fault in enumerate(FAULTS[name]):
        copy = tmp_path / str(number) / written.name
        copy.parent.mkdir()
        copied = shutil.copytree if written.is_dir() else shutil.copyfile
        copied(written, copy)
        fault(copy)
        assert check(source, copy, edits), f"fault {number}"
