"""CVAT for video 1.1, written here after CVAT's documents and exporter."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from mask_files import coco_pixels
from PIL import Image
from pycocotools import mask as coco_mask

from curate.errors import CallError, SourceError
from curate.formats.edits import Addition, Change, Edits
from curate.formats.format import ReadOptions
from curate.formats.reading import detect, read

HEIGHT, WIDTH = 30, 40
META = (
    "<meta><task><id>7</id><name>film</name><size>100</size><mode>interpolation</mode>"
    "<start_frame>0</start_frame><stop_frame>99</stop_frame><frame_filter></frame_filter>"
    "<segments><segment><id>3</id><start>0</start></segment></segments><labels>"
    "<label><name>cat</name><attributes></attributes></label>"
    "<label><name>dog</name><attributes></attributes></label></labels>"
    f"<original_size><width>{WIDTH}</width><height>{HEIGHT}</height></original_size></task></meta>"
)


def pixels(x: int, y: int, w: int, h: int) -> np.ndarray:
    made = np.zeros((HEIGHT, WIDTH), bool)
    made[y : y + h, x : x + w] = True
    return made


def counts(mask: np.ndarray) -> bytes:
    return bytes(coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"])


def mask(frame: int, x: int, *, key: int = 1, out: int = 0, inner: str = "") -> str:
    """Return a mask of 6 x 4 px, all of its box."""
    state = f'frame="{frame}" keyframe="{key}" outside="{out}" occluded="0"'
    tag = f'<mask {state} rle="0, 24" left="{x}" top="5" width="6" height="4" z_order="0">'
    return f"    {tag}{inner}</mask>\n"


def polygon(frame: int, x: int, *, key: int = 1, out: int = 0) -> str:
    state = f'frame="{frame}" keyframe="{key}" outside="{out}" occluded="1"'
    points = f"{x}.00,5.00;{x + 6}.00,5.00;{x + 6}.00,9.00;{x}.00,9.00"
    return f'    <polygon {state} points="{points}" z_order="0">\n    </polygon>\n'


def track(number: int, label: str, *shapes: str, more: str = "") -> str:
    head = f'  <track id="{number}" label="{label}" source="manual"{more}>\n'
    return f"{head}{''.join(shapes)}  </track>\n"


def film(folder: Path, *tracks: str, meta: str = META, name: str = "annotations.xml") -> Path:
    body = f"  <version>1.1</version>\n  {meta}\n{''.join(tracks)}"
    text = f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n{body}</annotations>\n'
    (folder / name).write_text(text)
    return folder / name


MANY = (
    track(0, "cat", mask(3, 8), mask(4, 8, out=1)),
    track(1, "dog", polygon(3, 20), polygon(4, 21, key=0), polygon(5, 22), polygon(9, 22, out=1)),
    track(2, "dog", '    <box frame="0" outside="0" keyframe="1" xtl="1" ytl="1"/>\n'),
)


def test_shapes_that_people_drew_are_the_masks(tmp_path: Path) -> None:
    path = film(tmp_path, *MANY)
    assert detect(path).name == "cvat-video"
    assert detect(tmp_path).name == "cvat-video"
    table = read(path)
    assert table.images["file_name"].tolist() == ["frame_000003", "frame_000005"]
    assert table.images[["height", "width"]].to_numpy().tolist() == [[HEIGHT, WIDTH]] * 2
    assert table.images["source_key"].tolist() == [
        "annotations.xml#/frame/3",
        "annotations.xml#/frame/5",
    ]
    masks = table.masks
    assert masks["source_key"].tolist() == [
        "annotations.xml#/track/0/mask/0",
        "annotations.xml#/track/1/polygon/0",
        "annotations.xml#/track/1/polygon/2",
    ]
    assert masks["category"].tolist() == ["cat", "dog", "dog"]
    assert masks["track_id"].tolist() == [0, 1, 1]
    assert masks["status"].eq("ok").all()
    found = [coco_pixels({"size": [HEIGHT, WIDTH], "counts": one}) for one in masks["segmentation"]]
    for one, x in zip(found, (8, 20, 22), strict=True):
        assert np.array_equal(one, pixels(x, 5, 6, 4))
    notes = {note.kind: note for note in table.notes}
    assert notes["interpolated"].count == 1
    assert "drawn by nobody" in notes["interpolated"].text
    assert "<box>" in notes["no_mask"].text


def test_pictures_beside_the_file_name_the_images(tmp_path: Path) -> None:
    path = film(tmp_path, *MANY)
    (tmp_path / "images").mkdir()
    for number in (0, 3, 5):
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "images" / f"frame_{number:06d}.PNG")
    assert read(path).images["file_name"].tolist() == ["frame_000003.PNG", "frame_000005.PNG"]
    form = detect(path)
    assert form.pictures is not None
    own = form.pictures(path)
    assert own is not None
    assert own.folder == (tmp_path / "images").resolve()
    assert form.pictures(tmp_path) is not None


def test_without_a_size_the_pictures_tell_it(tmp_path: Path) -> None:
    start, end = META.index("<original_size>"), META.index("</task>")
    path = film(tmp_path, *MANY, meta=META[:start] + META[end:])
    table = read(path)
    assert table.images["status"].tolist() == ["invalid_size"] * 2
    assert "--images" in table.images["status_detail"].iloc[0]
    (tmp_path / "given").mkdir()
    for number in (3, 5):
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "given" / f"frame_{number:06d}.jpg")
    options = ReadOptions(images=tmp_path / "given")
    table = read(path, options=options)
    assert table.images["status"].tolist() == ["ok"] * 2
    assert table.masks["status"].eq("ok").all()
    form = detect(path, options=options)
    key = table.images["source_key"].iloc[0]
    new = Addition(key, counts(pixels(1, 1, 5, 5)), HEIGHT, WIDTH, "cat")
    form.write(path, tmp_path / "out.xml", Edits(add=(new,)))
    assert len(read(tmp_path / "out.xml", options=options).masks) == 4


def test_an_export_of_a_project_or_a_job(tmp_path: Path) -> None:
    size = "<original_size><width>{}</width><height>{}</height></original_size>"
    task = f"<task><id>{{}}</id>{size}</task>"
    tasks = task.format(4, WIDTH, HEIGHT) + task.format(5, 80, 60)
    meta = f"<meta><project><id>1</id><tasks>{tasks}</tasks></project></meta>"
    more = ' task_id="{}" subset="{}"'
    path = film(
        tmp_path,
        track(0, "cat", mask(3, 8), more=more.format(4, "train")),
        track(1, "cat", mask(3, 8), more=more.format(5, "val")),
        meta=meta,
    )
    images = read(path).images
    assert images["file_name"].tolist() == ["task_4/frame_000003", "task_5/frame_000003"]
    assert images["width"].tolist() == [WIDTH, 80]
    assert images["subset"].tolist() == ["train", "val"]
    new = Addition(images["source_key"].iloc[0], counts(pixels(1, 1, 5, 5)), HEIGHT, WIDTH, "cat")
    with pytest.raises(CallError, match="names no image to which a mask can be added"):
        detect(path).write(path, tmp_path / "out.xml", Edits(add=(new,)))
    job = META.replace("<task>", "<job>").replace("</task>", "</job>")
    assert read(film(tmp_path, *MANY, meta=job)).images["width"].tolist() == [WIDTH] * 2


def test_broken_shapes_are_findings(tmp_path: Path) -> None:
    rle = (
        '<mask frame="1" keyframe="1" outside="0" rle="{}" left="1" top="1" width="4" height="2"/>'
    )
    path = film(
        tmp_path,
        track(0, "cat", rle.format("0, 8"), rle.format("0, 9"), rle.format("x")),
        track(1, "cow", mask(1, 9)),
        track(2, "cat", mask(1, 9).replace('frame="1"', 'frame="-1"')),
        track(3, "cat", mask(1, 9).replace('frame="1"', 'frame="x"')),
    )
    table = read(path)
    statuses = table.masks["status"].tolist()
    assert statuses[0] == "ok"
    assert "ok" not in statuses[1:3]
    assert statuses[3] == "bad_category"
    assert {note.kind: note.count for note in table.notes}["no_frame"] == 2
    text = path.read_text()
    path.write_text(text[: len(text) * 2 // 3])
    with pytest.raises(SourceError, match="cut off"):
        read(path)


def test_no_mask_at_all(tmp_path: Path) -> None:
    table = read(film(tmp_path, MANY[2]))
    assert len(table.masks) == len(table.images) == 0
    assert [note.kind for note in table.notes] == ["no_mask"]
    with pytest.raises(SourceError, match="--format cvat-video"):
        read(film(tmp_path, *MANY), "cvat")


# --- writing -------------------------------------------------------------------------------------


def written(path: Path, edits: Edits) -> str:
    form, out = detect(path), path.parent / "out.xml"
    out.unlink(missing_ok=True)
    form.write(path, out, edits)
    assert form.check_unedited(path, out, edits) == ""
    ElementTree.parse(out)
    return out.read_text()


def test_a_dropped_mask_goes_out_of_sight(tmp_path: Path) -> None:
    """Cut out, CVAT would compute it anew from the keyframes around it."""
    path = film(tmp_path, *MANY)
    keys = read(path).masks["source_key"].tolist()
    before = path.read_text()
    assert written(path, Edits(drop={keys[0]})) == before.replace(MANY[0], "")
    text = written(path, Edits(drop={keys[2]}))
    shown = polygon(5, 22)
    assert text == before.replace(shown, shown.replace('outside="0"', 'outside="1"'))
    assert [key.partition("#")[2] for key in read(path.parent / "out.xml").masks["source_key"]] == [
        key.partition("#")[2] for key in keys[:2]
    ]
    assert written(path, Edits(drop=set(keys[1:]))) == before.replace(MANY[1], "")
    assert written(path, Edits()) == before


def test_the_label_is_that_of_the_track(tmp_path: Path) -> None:
    path = film(tmp_path, *MANY)
    keys, before = read(path).masks["source_key"].tolist(), path.read_text()
    text = written(path, Edits(change={keys[0]: Change(category="dog")}))
    assert text == before.replace('label="cat"', 'label="dog"')
    both = {key: Change(category="cat") for key in keys[1:]}
    text = written(path, Edits(change=both))
    assert text == before.replace('id="1" label="dog"', 'id="1" label="cat"')
    text = written(path, Edits(change={keys[1]: both[keys[1]]}, drop={keys[2]}))
    assert 'id="1" label="cat"' in text
    assert written(path, Edits(change={keys[1]: Change(category="dog")})) == before
    for change in ({keys[1]: both[keys[1]]}, {**both, keys[2]: Change(category="dog")}):
        with pytest.raises(CallError, match="the label is that of the whole track"):
            detect(path).write(path, tmp_path / "no.xml", Edits(change=change))
    text = written(path, Edits(change={keys[0]: Change(category="a & b")}))
    assert "<name>a &amp; b</name>" in text
    assert read(tmp_path / "out.xml").masks["category"].tolist() == ["a & b", "dog", "dog"]


def test_new_pixels(tmp_path: Path) -> None:
    path = film(tmp_path, *MANY)
    keys = read(path).masks["source_key"].tolist()
    ring = pixels(2, 2, 12, 12) & ~pixels(5, 5, 4, 4)
    written(path, Edits(change={keys[0]: Change(counts(ring))}))
    again = read(tmp_path / "out.xml").masks
    assert np.array_equal(
        coco_pixels({"size": [HEIGHT, WIDTH], "counts": again["segmentation"].iloc[0]}), ring
    )
    # A ring is no polygon, and the other polygon of the track stays one.
    with pytest.raises(CallError, match="a track has one kind of shape"):
        detect(path).write(path, tmp_path / "no.xml", Edits(change={keys[1]: Change(counts(ring))}))
    single = film(tmp_path, track(0, "cat", polygon(3, 20), polygon(4, 20, out=1)), name="b.xml")
    (key,) = read(single).masks["source_key"].tolist()
    text = written(single, Edits(change={key: Change(counts(ring))}))
    assert text.count("<mask ") == 2
    assert "polygon" not in text
    assert 'frame="4" keyframe="1" outside="1"' in text
    assert len(read(tmp_path / "out.xml").masks) == 1


def test_added_masks_are_tracks_of_one_frame(tmp_path: Path) -> None:
    path = film(tmp_path, *MANY)
    before, table = path.read_text(), read(path)
    new = [
        Addition(key, counts(pixels(1, 1, 5, 5)), HEIGHT, WIDTH, category)
        for key, category in zip(table.images["source_key"], ("cat", "bird"), strict=True)
    ]
    text = written(path, Edits(add=new))
    label = "<label><name>bird</name><attributes></attributes></label>"
    assert text.count(label) == 1
    root = ElementTree.fromstring(text)
    tracks = root.findall("track")[3:]
    assert [one.get("id") for one in tracks] == ["3", "4"]
    for one, frame in zip(tracks, (3, 5), strict=True):
        states = [(int(s.get("frame", "")), s.get("keyframe"), s.get("outside")) for s in one]
        assert states == [(frame, "1", "0"), (frame + 1, "1", "1")]
    assert len(read(tmp_path / "out.xml").masks) == 5
    start = text.index('  <track id="3"')
    assert text[:start].replace(label, "") + "</annotations>\n" == before.replace(label, "")
    last = film(tmp_path, track(0, "cat", mask(99, 4)), name="c.xml")
    key = read(last).images["source_key"].iloc[0]
    text = written(last, Edits(add=(Addition(key, new[0].counts, HEIGHT, WIDTH, "cat"),)))[-600:]
    assert 'frame="100"' not in text


@pytest.mark.parametrize("key", ["annotations.xml#/track/1/polygon/1", "x#/track/0/mask/0", "a"])
def test_keys_that_name_nothing(tmp_path: Path, key: str) -> None:
    path = film(tmp_path, *MANY)
    with pytest.raises(CallError):
        detect(path).write(path, tmp_path / "out.xml", Edits(drop={key}))
    assert not (tmp_path / "out.xml").exists()


def test_other_tampering_is_found(tmp_path: Path) -> None:
    path = film(tmp_path, *MANY)
    form, keys = detect(path), read(path).masks["source_key"].tolist()
    edits = Edits(drop={keys[2]})
    text = written(path, edits)
    out = tmp_path / "out.xml"
    for old, new in (
        ('outside="1" occluded="1" points="22', 'outside="0" occluded="1" points="22'),
        ('points="20.00', 'points="20.10'),
        ('label="cat"', 'label="dog"'),
        ("<size>100", "<size>101"),
        (MANY[2], ""),
        (mask(4, 8, out=1), ""),
    ):
        assert old in text
        out.write_text(text.replace(old, new, 1))
        assert form.check_unedited(path, out, edits) != "", (old, new)
