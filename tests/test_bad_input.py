"""Bad input, end to end: one clear sentence or a finding, and no mask is lost on the way."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import curate
from curate.common import files
from curate.errors import AuditError, CurateError, SourceError

HEIGHT, WIDTH = 80, 100
SQUARE = [[10, 10, 40, 10, 40, 40, 10, 40]]
SIZE = {"size": [HEIGHT, WIDTH]}


def annotation(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": 1,
        "category_id": 1,
        "segmentation": SQUARE,
        "bbox": [10, 10, 30, 30],
        "area": 900,
        "iscrowd": 0,
    } | fields


def write(folder: Path, annotations: Iterable[Any], **fields: Any) -> Path:
    content = {
        "images": [{"id": 1, "file_name": "a.png", "height": HEIGHT, "width": WIDTH}],
        "annotations": list(annotations),
        "categories": [{"id": 1, "name": "cell"}],
    } | fields
    path = folder / "in.json"
    path.write_text(json.dumps(content))
    return path


def audited(folder: Path, annotations: list[Any], **fields: Any) -> pd.DataFrame:
    """Audit some annotations; check that each is a row, and return the rows in the file's order."""
    audit = curate.audit(write(folder, annotations, **fields), folder / "out")
    masks = audit.masks()
    assert len(masks) == len(annotations)
    places = [int(key.rpartition("/")[2]) for key in masks["source_key"]]
    assert sorted(places) == list(range(len(annotations)))
    return masks.iloc[np.argsort(places)]


def refusal(path: Path, out: Path) -> str:
    """Check that an audit is refused in one sentence and leaves nothing; return the sentence."""
    with pytest.raises(CurateError) as refused:
        curate.audit(path, out)
    assert not out.exists()
    sentence = str(refused.value)
    assert sentence.startswith(str(path)) or path.name in sentence
    assert "\n" not in sentence
    return sentence


GOOD = json.dumps({"images": [], "annotations": [annotation(1)], "categories": []}).encode()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (b"  \n", "the file is empty"),
        (b"hello", "byte 0: it is neither a JSON object nor a JSON list"),
        (GOOD[:150], "byte 150: the JSON is cut off"),
        (GOOD[:-1], f"byte {len(GOOD) - 1}: the JSON is cut off"),
        (GOOD + b"x", f"byte {len(GOOD)}: something follows the end"),
        (GOOD.replace(b"iscrowd", b"iscr\xffwd"), "not UTF-8"),
        (GOOD.decode().encode("utf-16"), "not UTF-8"),
        (b"[" * 5000, "byte 5000: the JSON is cut off"),
        (b'{"annotations": {}, "images": []}', "byte 16: annotations is an object, not a list"),
        (b'{"annotations": [], "images": null}', "images is null, not a list"),
        (b'{"annotations": [], "images": [], "annotations": []}', "occurs twice"),
        (b"{}", "it is in none of the formats that curate knows"),
    ],
)
def test_a_file_that_cannot_be_read_as_a_whole(tmp_path: Path, content: bytes, said: str):
    path = tmp_path / "in.json"
    path.write_bytes(content)
    assert said in refusal(path, tmp_path / "out")


def test_a_file_that_is_missing_or_forbidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert "there is no such file or folder" in refusal(tmp_path / "in.json", tmp_path / "out")
    path = write(tmp_path, [annotation(1)])
    real = Path.open

    def forbidden(self: Path, *args: Any, **kwargs: Any) -> Any:
        if self.name == path.name:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", forbidden)  # root may read any file, so rights do not help
    assert "it cannot be read" in refusal(path, tmp_path / "out")


ODD_FIELDS: list[tuple[dict[str, Any], str, str, str]] = [
    ({"image_id": "one"}, "unknown_image", "the image_id is a string", "review"),
    ({"image_id": None}, "unknown_image", "there is no image_id", "review"),
    ({"image_id": 99}, "unknown_image", "the image 99 is not among the images", "review"),
    ({"category_id": 0}, "bad_category", "category 0 is not declared", "review"),
    ({"category_id": None}, "bad_category", "there is no category id", "review"),
    ({"segmentation": "x"}, "wrong_type", "segmentation is a string", "reject"),
    ({"segmentation": None}, "no_segmentation", "there is no segmentation", "review"),
    ({"bbox": "x"}, "wrong_type", "its bbox is a string", "review"),
    ({"bbox": [1, 2]}, "wrong_type", "its bbox is a list, but not of four", "review"),
    ({"area": "large"}, "wrong_type", "its area is a string", "review"),
]


@pytest.mark.parametrize(("fields", "status", "said", "action"), ODD_FIELDS)
def test_fields_of_wrong_types_and_unknown_things(
    tmp_path: Path, fields: dict[str, Any], status: str, said: str, action: str
):
    rows = audited(tmp_path, [annotation(50, **fields), annotation(51, segmentation=[[60] * 6])])
    row = rows.iloc[0]
    assert (row["status"], row["status_detail"], row["action"]) == (
        status,
        row["status_detail"] if said in row["status_detail"] else said,
        action,
    )
    assert said in row["reasons"]


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"id": "7"}, "text_ids"),
        ({"id": None}, "no_id"),
        ({"image_id": "1"}, "text_ids"),
        ({"area": "900"}, "text_numbers"),
        ({"predicted_iou": math.nan}, "not_finite"),
    ],
)
def test_fields_that_can_be_read_all_the_same_are_noted_once(
    tmp_path: Path, fields: dict[str, Any], kind: str
):
    path = write(tmp_path, [annotation(50, **fields), annotation(51, segmentation=[[60] * 6])])
    audit = curate.audit(path, tmp_path / "out")
    assert audit.masks().sort_values("source_key")["status"].tolist() == ["ok", "empty"]
    found = {note["kind"]: (note["count"], note["share"]) for note in audit.info.notes}
    assert found[kind] == (1, 0.5)


@pytest.mark.parametrize("odd", [5, None, "x", [1]])
def test_annotations_that_are_no_objects(tmp_path: Path, odd: Any):
    rows = audited(tmp_path, [annotation(1), odd])
    assert rows["status"].tolist() == ["ok", "wrong_type"]
    assert "not an object" in rows["status_detail"].iloc[1]


def test_an_unknown_image_is_said_once(tmp_path: Path):
    rows = audited(tmp_path, [annotation(1, image_id=9)])
    assert rows["status_detail"].tolist() == ["the image 9 is not among the images"]


def test_ids_that_stand_twice(tmp_path: Path):
    rows = audited(
        tmp_path, [annotation(1), annotation(1, segmentation=[[60, 60, 70, 60, 70, 70]])]
    )
    assert rows["status"].tolist() == ["duplicate_id"] * 2
    assert rows.index.is_unique
    assert rows["reasons"].str.contains("the id 1 is used by 2 annotations").all()


@pytest.mark.parametrize(
    ("counts", "status", "said"),
    [
        ([5, -3, 7998], "undecodable", "a run length is negative (-3)"),
        ([5, 3, 99999], "undecodable", "cover 100007 pixels, the image has 8000"),
        ([5, 3], "undecodable", "cover 8 pixels, the image has 8000"),
        ([1000.5, 5], "wrong_type", "a run length is 1000.5, not a whole number"),
        ([10**20], "wrong_type", "a run length is 1e+20, not a whole number"),
        ([HEIGHT * WIDTH], "empty", "no pixel is set"),
        ("", "undecodable", "its runs end before the image does"),
        ("\x01~~", "undecodable", "the counts string holds a character that no run length has"),
        ("PPPPPPPPPPPPPPPPPPPPPP", "undecodable", "counts"),
        ("é€", "undecodable", "the counts string holds a character that no run length has"),
        (5, "wrong_type", "the RLE's counts are a number"),
    ],
)
def test_run_lengths(tmp_path: Path, counts: Any, status: str, said: str):
    rows = audited(tmp_path, [annotation(1, segmentation=SIZE | {"counts": counts})])
    assert rows["status"].tolist() == [status]
    assert said in rows["status_detail"].iloc[0]
    assert rows["action"].tolist() == ["reject"]
    assert rows["area_px"].tolist() == [0]


@pytest.mark.parametrize("size", [[10, 10], [WIDTH, HEIGHT], [10**9, 10**9], [0, 0]])
def test_run_lengths_of_another_size_than_their_image(tmp_path: Path, size: list[int]):
    rows = audited(tmp_path, [annotation(1, segmentation={"size": size, "counts": [0, 100]})])
    assert rows["status"].iloc[0] in ("size_mismatch", "invalid_size")
    assert f"{size[1]} x {size[0]}" in rows["status_detail"].iloc[0]
    assert rows["action"].tolist() == ["review"]


CIRCLE = [
    v
    for k in range(10**6)
    for v in (50 + 30 * math.cos(2e-6 * math.pi * k), 40 + 30 * math.sin(2e-6 * math.pi * k))
]


@pytest.mark.parametrize(
    ("ring", "status", "said"),
    [
        ([1, 1, 9, 9], "bad_polygon", "has 2 points, not 3"),
        ([1, 1, 9, 9, 5], "bad_polygon", "has half a point (5 numbers)"),
        ([1, 1, math.nan, 9, 5, 5], "bad_polygon", "not a finite number"),
        ([1, 1, math.inf, 9, 5, 5], "bad_polygon", "not a finite number"),
        ([-1e9, -1e9, 1e9, 0, 0, 1e9], "bad_polygon", "beyond any image"),
        ([1e300, 1, 9, 9, 5, 5], "bad_polygon", "beyond any image"),
        ([200, 200, 300, 200, 300, 300], "empty", "no pixel is set"),
        (CIRCLE, "ok", ""),
    ],
)
def test_polygons(tmp_path: Path, ring: list[float], status: str, said: str):
    rows = audited(tmp_path, [annotation(1, segmentation=[ring]), annotation(2)])
    assert rows["status"].tolist() == [status, "ok"]
    assert said in rows["status_detail"].iloc[0]
    if ring is CIRCLE:
        assert rows["area_px"].iloc[0] == pytest.approx(math.pi * 900, rel=0.02)


@pytest.mark.parametrize(
    ("height", "width", "said"),
    [
        (0, 0, "the image size is 0 x 0"),
        (10, -5, "the image size is -5 x 10"),
        (10**9, 10**9, "the image size 1000000000 x 1000000000 passes"),
        ("eighty", 100, "its height is a string"),
        (80.5, 100, "its height is a number that is not whole"),
        (None, None, "the size of its image is not given"),
    ],
)
def test_sizes_that_cannot_be(tmp_path: Path, height: Any, width: Any, said: str):
    image = {"id": 1, "file_name": "a.png", "height": height, "width": width}
    rows = audited(tmp_path, [annotation(1)], images=[image])
    assert rows["status"].tolist() == ["invalid_size"]
    assert said in rows["status_detail"].iloc[0]
    assert rows["action"].tolist() == ["review"]


def test_pictures_that_are_missing_cut_off_of_another_size_or_turned(tmp_path: Path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(pixels).save(folder / "ok.png")
    Image.fromarray(pixels[:50]).save(folder / "size_mismatch.png")
    Image.fromarray(pixels).save(folder / "exif_rotated.jpg", exif=turned)
    Image.fromarray(pixels).save(folder / "truncated.jpg", quality=95)
    whole = (folder / "truncated.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "unreadable.png").write_bytes(b"no picture")
    names = [*sorted(path.name for path in folder.iterdir()), "missing.png"]
    images = [
        {"id": k, "file_name": name, "height": HEIGHT, "width": WIDTH}
        for k, name in enumerate(names)
    ]
    masks = [annotation(k, image_id=k) for k in range(len(names))]
    path = write(tmp_path, masks, images=images)
    audit = curate.audit(path, tmp_path / "out", images=folder)
    found = audit.images().sort_index()
    assert found["status"].tolist() == [Path(name).stem for name in names]
    assert (found["status_detail"] == "").tolist() == [name == "ok.png" for name in names]
    assert len(audit.masks()) == len(names)


@pytest.mark.parametrize(
    ("value", "said"),
    [(1.7, "its predicted IoU is 1.70"), ([0.9], "its predicted_iou is a list")],
)
def test_a_predicted_iou_that_is_none(tmp_path: Path, value: Any, said: str):
    record = annotation(1, predicted_iou=value, stability_score=0.97)
    del record["image_id"], record["category_id"]
    record["segmentation"] = SIZE | {"counts": [810, 20, 60, 20, 7090]}
    record |= {"bbox": [10, 10, 2, 20], "area": 40}
    (tmp_path / "sa_1.json").write_text(
        json.dumps(
            {
                "image": {"image_id": 1, "width": WIDTH, "height": HEIGHT, "file_name": "a.jpg"},
                "annotations": [record],
            }
        )
    )
    masks = curate.audit(tmp_path / "sa_1.json", tmp_path / "out").masks()
    assert masks["action"].tolist() == ["review"]
    assert said in masks["reasons"].iloc[0]


NAMES = [
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(2)>",
    '"quo\'te" & <b>',
    "two\nlines\tand a tab",
    "\u05e9\u05dc\u05d5\u05dd \u202eright to left",
    "",
    "{{ 7 * 7 }} {area_px} '; drop table masks; --",
]


class _Page(HTMLParser):
    """Collects what a browser would take for markup, and what for text."""

    def __init__(self) -> None:
        super().__init__()
        self.handlers: list[str] = []
        self.sources: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self.sources += [value or "" for name, value in attrs if name == "src"]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.usefixtures("with_report")
def test_a_report_names_what_is_wrong_with_each_mask(tmp_path: Path):
    odd = [annotation(50 + k, **fields) for k, (fields, *_) in enumerate(ODD_FIELDS)]
    counts = annotation(90, segmentation=SIZE | {"counts": [5, -3, 7998]})
    rows = audited(tmp_path, [*odd, counts, annotation(91, segmentation=[[1, 1, 9, 9]]), 5])
    page = _Page()
    page.feed((tmp_path / "out" / "report.html").read_text())
    assert all(detail in page.text for detail in rows["status_detail"])


@pytest.mark.usefixtures("with_report")
def test_names_are_text_in_the_report(tmp_path: Path):
    categories = [{"id": k, "name": name} for k, name in enumerate(NAMES)]
    masks = [annotation(k, category_id=k) for k in range(len(NAMES))]
    image = {"id": 1, "file_name": NAMES[1], "height": HEIGHT, "width": WIDTH}
    rows = audited(tmp_path, masks, categories=categories, images=[image])
    assert rows["category"].tolist() == NAMES
    page = _Page()
    page.feed((tmp_path / "out" / "report.html").read_text())
    assert page.handlers == []
    assert all(source.startswith("data:") for source in page.sources)
    assert NAMES[0] in page.text
    assert NAMES[1] in page.text


def test_an_out_folder_that_holds_something_else(tmp_path: Path):
    path = write(tmp_path, [annotation(1)])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    for restart in (False, True):
        with pytest.raises(AuditError, match=r"it holds something else \(thesis.txt\)"):
            curate.audit(path, tmp_path / "out", restart=restart)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["thesis.txt"]


def test_a_refused_source_leaves_its_place_free(tmp_path: Path):
    path = write(tmp_path, [annotation(1)])
    whole = path.read_bytes()
    path.write_bytes(whole[:150])
    with pytest.raises(SourceError, match="byte 150: the JSON is cut off"):
        curate.audit(path, tmp_path / "out")
    path.write_bytes(whole)
    assert len(curate.audit(path, tmp_path / "out").masks()) == 1


def test_one_broken_file_among_many_is_a_finding(tmp_path: Path):
    for k in range(3):
        record = {"id": 1, "segmentation": SIZE | {"counts": [10, 20, 7970]}}
        image = {"image_id": k, "width": WIDTH, "height": HEIGHT, "file_name": f"sa_{k}.jpg"}
        text = json.dumps({"image": image, "annotations": [record]})
        folder = tmp_path / "in"
        folder.mkdir(exist_ok=True)
        (folder / f"sa_{k}.json").write_text(text[:60] if k == 1 else text)
    audit = curate.audit(folder, tmp_path / "out")
    assert len(audit.masks()) == 2
    images = audit.images()
    assert sorted(images["status"]) == ["ok", "ok", "truncated"]
    assert "sa_1.json, byte 60" in "".join(images["status_detail"])


def test_a_disk_that_fills_while_a_file_is_indexed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write(tmp_path, [annotation(k) for k in range(9)])
    room = [100]

    def full(operation: str, path: Path) -> int | None:
        """Write what fits without a word, as a disk does that fills, and fail only then."""
        if operation != "write" or "work" not in path.parts:
            return None
        if room[0] <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        room[0] -= 40
        return 40

    with monkeypatch.context() as patched:
        patched.setattr(files, "_hook", full)
        with pytest.raises(AuditError, match=r"no space left on device.*make room on the disk"):
            curate.audit(path, tmp_path / "out")
    assert len(curate.audit(path, tmp_path / "out").masks()) == 9


def test_an_audit_in_which_no_mask_has_pixels_can_be_opened(tmp_path: Path):
    audited(tmp_path, [annotation(k, segmentation=None) for k in range(3)])
    opened = curate.open_audit(tmp_path / "out")
    assert opened.info.references["shape"] == {}
    assert len(curate.decide(tmp_path / "out").masks()) == 3
