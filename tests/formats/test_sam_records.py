"""SA-1B and the JSON of amg.py with people's changes: those, and nothing else, byte for byte."""

import contextlib
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from json_text import (
    element_texts,
    member_text,
    separator_of,
    with_elements,
    without_last,
    without_values,
)
from mask_files import tree
from new_masks import HEIGHT, WIDTH, any_json, counts_of, kind_of, masks, pixels, rle_of, runs_of
from random_cases import draws

from curate.errors import CallError, CurateError
from curate.formats.amg.amg_format import edit_records
from curate.formats.edits import Addition, Change, Edits, Stored
from curate.formats.json.byte_edits import splice_bytes
from curate.formats.reading import read
from curate.formats.sa1b import sa1b_format

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")  # of pycocotools

TOUCHED = {"segmentation", "bbox", "area"}
OWN = {"predicted_iou", "stability_score", "point_coords", "crop_box"}


def box_of(mask: np.ndarray, short: bool) -> list[int]:
    y, x = np.nonzero(mask)
    one = int(not short)
    return [x.min(), y.min(), x.max() - x.min() + one, y.max() - y.min() + one]


@st.composite
def records(draw: st.DrawFn, number: int | None, short: bool) -> dict[str, Any]:
    mask = draw(masks())
    made = {
        "id": number,
        "segmentation": draw(st.sampled_from([rle_of, runs_of]))(mask),
        "bbox": [float(side) for side in box_of(mask, short)],
        "area": int(mask.sum()),
        "predicted_iou": 1.0103150606155396,
        "stability_score": draw(st.sampled_from([0.5, float("nan")])),
        "crop_box": [0, 0, WIDTH, HEIGHT],
        "point_coords": [[3.5, 2]],
    }
    if number is None:
        del made["id"]
    return made | draw(st.sampled_from([{}, {"é": "]"}, {"attributes": {"who": "x", "n": 1.50}}]))


@st.composite
def edits_of(draw: st.DrawFn, keys: list[str], images: list[str]) -> Edits:
    noted = st.dictionaries(st.sampled_from(["who", "curate"]), st.text(max_size=3), max_size=2)
    drop, change = set(), {}
    for key in keys:
        what = draw(st.sampled_from(["keep", "drop", "change"]))
        if what == "drop":
            drop.add(key)
        elif what == "change":
            change[key] = Change(draw(st.none() | masks().map(counts_of)), None, draw(noted))
    add = [
        Addition(draw(st.sampled_from(images)), counts_of(mask), HEIGHT, WIDTH, None, draw(noted))
        for mask in draw(st.lists(masks(), max_size=3))
    ]
    return Edits(frozenset(drop), change, add, masks=draw(st.sampled_from(["same", "rle"])))


def check_list(old: str, new: str, prefix: str, edits: Edits, short: bool) -> list[dict[str, Any]]:
    """Compare a list of records with what it was; return the records that are new."""
    before, after = element_texts(old), element_texts(new)
    assert new == with_elements(old, after, separator_of(old))
    kept = [i for i in range(len(before)) if f"{prefix}{i}" not in edits.drop]
    for i, text in zip(kept, after, strict=False):
        change = edits.change.get(f"{prefix}{i}", Change())
        touched = TOUCHED if change.counts is not None else set()
        touched = touched | ({"attributes"} if change.attributes else set())
        if change.attributes:
            noted = json.loads(before[i]).get("attributes", {}) | change.attributes
            assert json.loads(text)["attributes"] == noted
            if "attributes" not in json.loads(before[i]):
                text = without_last(text, "attributes")
        assert without_values(text, touched) == without_values(before[i], touched)
        if change.counts is not None:
            kind = kind_of(json.loads(before[i])["segmentation"])
            check_mask(json.loads(text), change.counts, short)
            assert kind_of(json.loads(text)["segmentation"]) == (
                kind if edits.masks == "same" else "rle"
            )
    return [json.loads(text) for text in after[len(kept) :]]


def check_mask(record: dict[str, Any], counts: bytes, short: bool) -> None:
    mask = pixels({"size": [HEIGHT, WIDTH], "counts": counts})
    assert (pixels(record["segmentation"]) == mask).all()
    assert record["bbox"] == box_of(mask, short)
    assert record["area"] == mask.sum()


def check_added(record: dict[str, Any], one: Addition, number: int | None, short: bool) -> None:
    assert record.get("id") == number
    check_mask(record, one.counts, short)
    assert record["crop_box"] == [0, 0, WIDTH, HEIGHT]
    assert [record[n] for n in ("predicted_iou", "stability_score", "point_coords")] == [None] * 3
    assert record.get("attributes", {}) == one.attributes


def check_stored(stored: Stored, edits: Edits) -> None:
    new = [one for one in (*edits.change.values(), *edits.add) if one.counts is not None]
    assert stored == Stored(runs=len(new))


def document(number: int, text: str) -> str:
    about = {"image_id": number, "width": WIDTH, "height": HEIGHT, "file_name": f"{number}.jpg"}
    return f'{{"image": {json.dumps(about)}, "annotations": {text}}}\n'


def written(source: Path, way: str) -> dict[str, bytes]:
    if way == "tar":
        with tarfile.open(source) as made:
            return {one.name: made.extractfile(one).read() for one in made}
    return tree(source) if way == "folder" else {source.name: source.read_bytes()}


def as_tar(folder: Path, path: Path) -> Path:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as made:
        for one in sorted(folder.iterdir()):
            made.add(one, one.name)
    return path


@draws(12)
@given(st.data())
def test_decisions_and_nothing_else_reach_sa1b(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
):
    folder = tmp_path_factory.mktemp("sa1b")
    (folder / "in").mkdir()
    short = data.draw(st.booleans())
    lists, ids = {}, 5 * 10**9
    for i in range(3):
        made = [
            data.draw(records(ids - 7 * i + k, short)) for k in range(data.draw(st.integers(0, 3)))
        ]
        lists[f"sa_{i}.json"] = json.dumps(made, indent=data.draw(st.sampled_from([None, 1])))
        (folder / "in" / f"sa_{i}.json").write_text(document(i, lists[f"sa_{i}.json"]), "utf-8")
        (folder / "in" / f"sa_{i}.jpg").write_bytes(b"\xff\xd8")
    way = data.draw(st.sampled_from(["folder", "tar", "alone"]))
    source = as_tar(folder / "in", folder / "a.tar") if way == "tar" else folder / "in"
    source = source / "sa_0.json" if way == "alone" else source
    table = read(source, "sa1b")
    images = table.images["source_key"].tolist()
    inside = "a.tar!" if way == "tar" else ""
    assert images == [f"{inside}sa_{i}.json" for i in range(1 if way == "alone" else 3)]
    edits = data.draw(edits_of(table.masks["source_key"].tolist(), images))
    out = folder / "out" / source.name
    stored = sa1b_format.FORMAT.write(source, out, edits)

    check_stored(stored, edits)
    before, after = written(source, way), written(out, way)
    assert list(before) == list(after)
    known = [one["id"] for name in before if ".json" in name for one in json.loads(lists[name])]
    number = {id(one): max(known, default=0) + k for k, one in enumerate(edits.add, 1)}
    for name, content in before.items():
        if name.endswith(".jpg"):
            assert after[name] == content
            continue
        text = after[name].decode()
        new = member_text(text, "annotations")
        assert text == document(int(name[3]), new)
        mine = [one for one in edits.add if one.image_key == inside + name]
        prefix = f"{inside}{name}#/annotations/"
        listed = json.loads(lists[name])
        habit = short if listed else True
        added = check_list(lists[name], new, prefix, edits, habit)
        for record, one in zip(added, mine, strict=True):
            check_added(record, one, number[id(one)], habit)
    assert len(read(out, "sa1b")) == len(table) - len(edits.drop) + len(edits.add)


@draws(12)
@given(st.data())
def test_decisions_and_nothing_else_reach_the_json_of_amg(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
):
    folder = tmp_path_factory.mktemp("amg")
    short, with_ids = data.draw(st.booleans()), data.draw(st.booleans())
    number = data.draw(st.integers(1, 4))
    made = [data.draw(records(9 * k if with_ids else None, short)) for k in range(number)]
    text = json.dumps(made, indent=data.draw(st.sampled_from([None, 1])))
    source, out = folder / "é.json", folder / "out" / "é.json"
    source.write_text(text, "utf-8")
    out.parent.mkdir()
    table = read(source, "amg")
    assert table.images["source_key"].tolist() == ["é.json"]
    edits = data.draw(edits_of(table.masks["source_key"].tolist(), ["é.json"]))
    pieces, stored = edit_records(source, "é.json", edits)
    out.write_bytes(splice_bytes(source.read_bytes(), pieces))
    check_stored(stored, edits)
    added = check_list(text, out.read_text("utf-8"), "é.json#/", edits, short)
    for k, (record, one) in enumerate(zip(added, edits.add, strict=True), 1):
        check_added(record, one, 9 * (number - 1) + k if with_ids else None, short)
    assert set().union(*added) <= {*made[0], "attributes"}
    meant = [
        edits.change[key].counts or mask if key in edits.change else mask
        for key, mask in zip(table.masks["source_key"], table.masks["segmentation"], strict=True)
        if key not in edits.drop
    ]
    found = read(out, "amg").masks["segmentation"].tolist()
    assert found == [*meant, *(one.counts for one in edits.add)]


MASK = np.zeros((HEIGHT, WIDTH), bool)
MASK[2:5, 3:7] = True


def one_document(folder: Path, **fields: Any) -> Path:
    folder.mkdir()
    record = {"id": 7, "segmentation": rle_of(MASK), "bbox": [0, 0, 1, 1], "area": 12} | fields
    (folder / "sa_0.json").write_text(document(0, json.dumps([record])))
    return folder


def added(image: str, **fields: Any) -> dict[str, Any]:
    made = {"image_key": image, "counts": counts_of(MASK), "height": HEIGHT, "width": WIDTH}
    return {"add": [Addition(**(made | fields))]}


def test_a_box_of_neither_kind_becomes_what_the_dataset_has(tmp_path: Path):
    source = one_document(tmp_path / "in")
    change = {"sa_0.json#/annotations/0": Change(counts_of(MASK))}
    sa1b_format.FORMAT.write(source, tmp_path / "out", Edits(change=change))
    found = json.loads((tmp_path / "out" / "sa_0.json").read_text())["annotations"][0]
    assert found["bbox"] == [3, 2, 3, 2]
    assert "crop_box" not in found


def test_documents_that_nothing_can_be_added_to(tmp_path: Path):
    source = one_document(tmp_path / "in")
    (source / "sa_1.json").write_text('{"image": {')
    (source / "sa_2.json").write_text(document(2, "[]").replace(str(HEIGHT), "0"))
    (source / "sa_3.json").write_text(document(3, "null"))
    table = read(source)
    assert sorted(table.images["source_key"]) == ["", "", "", "sa_0.json"]
    sa1b_format.FORMAT.write(source, tmp_path / "out", Edits(**added("sa_0.json")))
    before, after = tree(source), tree(tmp_path / "out")
    assert [name for name in before if before[name] != after[name]] == ["sa_0.json"]
    with pytest.raises(CallError, match="no list of masks"):
        sa1b_format.FORMAT.write(source, tmp_path / "none", Edits(**added("sa_3.json")))


@pytest.mark.parametrize(
    ("edits", "words"),
    [
        ({"masks": "polygon"}, "has no polygons; use --masks same"),
        (added("sa_0.json", category="cat"), "no categories"),
        ({"change": {"sa_0.json#/annotations/0": Change(category="cat")}}, "no categories"),
        (added("sa_9.json"), r"no file sa_9\.json"),
        (added("sa_0.json", height=WIDTH, width=HEIGHT), "9 x 14, and the image is not"),
        ({"change": {"sa_0.json#/annotations/1": Change()}}, "none with the number 1"),
        ({"change": {"sa_0.json#/annotations/0": Change(attributes={"a": "b"})}}, "a list"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path: Path, edits: dict[str, Any], words: str):
    source = one_document(tmp_path / "in", attributes=[1])
    with pytest.raises(CallError, match=words):
        sa1b_format.FORMAT.write(source, tmp_path / "out", Edits(**edits))
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    if "no file" not in words:
        path, name = source / "sa_0.json", "sa_0.json"
        path.write_text(member_text(path.read_text(), "annotations"))
        keys = {k.replace("annotations/", ""): v for k, v in edits.get("change", {}).items()}
        with pytest.raises(CallError, match=words):
            edit_records(path, name, Edits(**(edits | {"change": keys})))


def test_files_of_one_name_are_dropped_from_but_not_changed(tmp_path: Path):
    source = one_document(tmp_path / "in")
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as made:
        for _ in range(2):
            made.add(source / "sa_0.json", "sa_0.json")
    key = "a.tar!sa_0.json#/annotations/0"
    sa1b_format.FORMAT.prune(path, tmp_path / "b.tar", {key})
    assert len(read(tmp_path / "b.tar")) == 0
    for edits in ({"change": {key: Change()}}, added("a.tar!sa_0.json")):
        with pytest.raises(CallError, match=r"2 files in it are called a\.tar!sa_0\.json"):
            sa1b_format.FORMAT.write(path, tmp_path / "c.tar", Edits(**edits))


FIELDS = ["id", "segmentation", "bbox", "area", "crop_box", "point_coords", "attributes"]


@draws(15)
@given(
    st.lists(st.dictionaries(st.sampled_from(FIELDS), any_json, max_size=3) | any_json, max_size=3),
    st.dictionaries(st.sampled_from(["width", "height"]), any_json, max_size=1),
)
def test_any_json_is_written_or_refused(
    tmp_path_factory: pytest.TempPathFactory, ones: list[Any], image: dict[str, Any]
):
    folder = tmp_path_factory.mktemp("fuzz")
    base = {"id": 7, "segmentation": rle_of(MASK), "predicted_iou": 1, "bbox": [3, 2, 3, 2]}
    made = [base | one if isinstance(one, dict) else one for one in ones]
    source = folder / "a.json"
    about = {"image_id": 1, "width": WIDTH, "height": HEIGHT} | image
    for value, prefix in (
        ({"image": about, "annotations": made}, "a.json#/annotations/"),
        (made, "a.json#/"),
    ):
        source.write_text(json.dumps(value))
        for i in range(len(made) + 1):
            change = {f"{prefix}{i}": Change(counts_of(MASK), None, {"a": "b"})}
            edits = Edits(change=change) if i < len(made) else Edits(**added("a.json"))
            (folder / "b.json").unlink(missing_ok=True)
            with contextlib.suppress(CurateError):
                if isinstance(value, dict):
                    sa1b_format.FORMAT.write(source, folder / "b.json", edits)
                else:
                    pieces, _ = edit_records(source, "a.json", edits)
                    (folder / "b.json").write_bytes(splice_bytes(source.read_bytes(), pieces))
                form = "sa1b" if isinstance(value, dict) else "amg"
                assert len(read(folder / "b.json", form)) == len(made) + len(edits.add)
