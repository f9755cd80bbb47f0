"""COCO, LVIS and results lists with people's changes: those, and nothing else, byte for byte."""

import contextlib
import io
import json
from collections import Counter
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
    with_value,
    without_last,
    without_values,
)
from new_masks import HEIGHT, WIDTH, any_json, counts_of, kind_of, masks, pixels, rle_of, spelled
from pycocotools.coco import COCO
from random_cases import draws

from curate.errors import CallError, CurateError, SourceError
from curate.formats.coco import coco_format
from curate.formats.edits import Addition, Change, Edits, Stored
from curate.formats.polygons import rings_of
from curate.formats.reading import read

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")  # of pycocotools

IMAGES: list[dict[str, Any]] = [
    {"id": 3, "file_name": "é.jpg", "height": HEIGHT, "width": WIDTH},
    {"file_name": "b.jpg", "width": WIDTH, "height": HEIGHT, "id": 70000000000},
    {"id": 4.0, "height": HEIGHT, "width": WIDTH},
]
CATEGORIES = [
    {"supercategory": "none", "id": 0, "name": "cells"},
    {"supercategory": "cells", "id": 2, "name": "a \\ \n"},
    {"supercategory": "cells", "id": 5, "name": "שלום"},
    {"supercategory": "cells", "id": 6, "name": "שלום"},
]
NAMES = {one["id"]: one["name"] for one in CATEGORIES}


@st.composite
def annotations(draw: st.DrawFn, number: int) -> dict[str, Any]:
    mask = draw(masks())
    made = {
        "id": number,
        "image_id": draw(st.sampled_from([3, 70000000000, 4])),
        "category_id": draw(st.sampled_from([2, 5])),
        "segmentation": spelled(mask, draw(st.sampled_from(["polygon", "rle", "runs"]))),
        "bbox": draw(st.sampled_from([[1, 2, 3, 4], [1.0, 2.5, 3.0, 4.0], None])),
        "area": draw(st.sampled_from([5, 5.25])),
        "iscrowd": draw(st.sampled_from([0, 1])),
        "note": draw(st.sampled_from(["é ] } ,", {"bbox": [1], "ü": None}, float("nan"), -0.0])),
        "attributes": draw(st.sampled_from([{"score": 0.5, "who": "x"}, {}, None])),
    }
    for name in draw(st.sets(st.sampled_from(["bbox", "area", "iscrowd", "attributes", "note"]))):
        del made[name]
    return {name: made[name] for name in draw(st.permutations(list(made)))}


@st.composite
def files(draw: st.DrawFn) -> str:
    """A file in one of many spellings."""
    number = draw(st.integers(0, 4))
    value: dict[str, Any] = {
        "images": IMAGES,
        "annotations": [draw(annotations(10 * i + 7)) for i in range(number)],
        "categories": CATEGORIES,
        "info": {"annotations": [1, {"id": 900}], "x": "é"},
    }
    value = {name: value[name] for name in draw(st.permutations(list(value)))}
    style: dict[str, Any] = draw(
        st.sampled_from([{}, {"indent": 2}, {"separators": (",", ":")}, {"indent": "\t"}])
    )
    text = json.dumps(value, ensure_ascii=draw(st.booleans()), **style)
    return draw(st.sampled_from(["", "\ufeff"])) + text + draw(st.sampled_from(["", "\n"]))


@st.composite
def edits_of(
    draw: st.DrawFn, prefix: str, number: int, images: list[str], categories: list[str]
) -> Edits:
    names = st.sampled_from(categories)
    noted = st.dictionaries(st.sampled_from(["who", "curate"]), st.text(max_size=3), max_size=2)
    drop, change = set(), {}
    for key in (f"{prefix}{i}" for i in range(number)):
        what = draw(st.sampled_from(["keep", "drop", "change"]))
        if what == "drop":
            drop.add(key)
        elif what == "change":
            counts = draw(st.none() | masks().map(counts_of))
            change[key] = Change(counts, draw(st.none() | names), draw(noted))
    add = [
        Addition(draw(st.sampled_from(images)), counts_of(mask), HEIGHT, WIDTH, draw(names), noted)
        for mask, noted in draw(st.lists(st.tuples(masks(), noted), max_size=3))
    ]
    ways = ["same", "rle"] + (["polygon"] if "7" not in categories else [])
    return Edits(frozenset(drop), change, add, masks=draw(st.sampled_from(ways)))


def expected_kind(edits: Edits, old: str, counts: bytes) -> str:
    if edits.masks != "same":
        return edits.masks
    if old != "polygon" or rings_of(counts, HEIGHT, WIDTH) is not None:
        return old
    return "rle"


def check_pixels(one: dict[str, Any], counts: bytes, kind: str) -> None:
    """A new mask: its pixels, how they are stored, its box and area."""
    value = one["segmentation"]
    mask = pixels(rle_of(np.zeros((HEIGHT, WIDTH))) | {"counts": counts})
    assert (pixels(value) == mask).all()
    assert kind_of(value) == kind
    y, x = np.nonzero(mask)
    box = [x.min(), y.min(), x.max() - x.min() + 1, y.max() - y.min() + 1]
    assert one.get("bbox", box) == box
    assert one.get("area", mask.sum()) == mask.sum()


def check_change(before: str, after: str, change: Change, edits: Edits, numbers: Any) -> None:
    """A changed annotation: what was asked for, and not a byte more."""
    old, new = json.loads(before), json.loads(after)
    noted = (old.get("attributes") or {}) | change.attributes
    if change.attributes:
        assert new.pop("attributes") == noted
    if change.category is not None:
        assert new["category_id"] in numbers[change.category]
    touched = set()
    if change.counts is not None:
        touched |= {"segmentation", "bbox", "area"}
        check_pixels(
            new, change.counts, expected_kind(edits, kind_of(old["segmentation"]), change.counts)
        )
    touched |= {"category_id"} if change.category is not None else set()
    touched |= {"attributes"} if change.attributes else set()
    if change.attributes and "attributes" not in old:
        after = without_last(after, "attributes")
    assert without_values(after, touched) == without_values(before, touched)


@draws(20)
@given(st.data())
def test_decisions_and_nothing_else_reach_the_file(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
):
    folder = tmp_path_factory.mktemp("coco")
    text = data.draw(files())
    source, out = folder / "a.json", folder / "b.json"
    source.write_text(text, "utf-8", newline="")
    old_list = member_text(text, "annotations")
    old = element_texts(old_list)
    images = read(source, "coco").images["source_key"].tolist()
    assert images == [f"a.json#/images/{i}" for i in range(3)]
    edits = data.draw(
        edits_of("a.json#/annotations/", len(old), images, [*NAMES.values(), "new", "other"])
    )
    stored = coco_format.FORMAT.write(source, out, edits)

    # Outside the lists every byte is the same; inside them separators are.
    written = out.read_text("utf-8")
    new_list = member_text(written, "annotations")
    new = element_texts(new_list)
    kept = [i for i in range(len(old)) if f"a.json#/annotations/{i}" not in edits.drop]
    assert len(new) == len(kept) + len(edits.add)
    assert new_list == with_elements(old_list, new, separator_of(old_list))
    listed = json.loads(member_text(written, "categories"))
    assert listed[:4] == CATEGORIES
    without = with_value(text, "annotations", new_list)
    assert with_value(without, "categories", member_text(written, "categories")) == written

    # The categories: of names that occur twice the first, new ones above all.
    numbers = {name: {i for i, other in NAMES.items() if other == name} for name in NAMES.values()}
    numbers |= {one["name"]: {one["id"]} for one in listed[4:]}
    assert [one["id"] for one in listed[4:]] == list(range(7, 3 + len(listed)))
    named = {one.category for one in (*edits.change.values(), *edits.add)} - {None}
    assert {one["name"] for one in listed[4:]} == named - set(NAMES.values())

    for i, after in zip(kept, new, strict=False):
        change = edits.change.get(f"a.json#/annotations/{i}", Change())
        if change == Change():
            assert after == old[i]
        else:
            check_change(old[i], after, change, edits, numbers)
    top = max([json.loads(one)["id"] for one in old], default=0)
    kinds = Counter(kind_of(json.loads(one)["segmentation"]) for one in old)
    usual = kinds.most_common(1)[0][0] if old else "rle"
    for k, (one, after) in enumerate(zip(edits.add, new[len(kept) :], strict=True), 1):
        value = json.loads(after)
        assert value["id"] == top + k
        assert member_text(after, "image_id") == ["3", "70000000000", "4.0"][int(one.image_key[-1])]
        assert value["iscrowd"] == 0
        assert value["category_id"] == min(numbers[one.category])
        assert value.get("attributes", {}) == one.attributes
        check_pixels(value, one.counts, expected_kind(edits, usual, one.counts))
    check_read(source, out, edits, stored)


def check_read(
    source: Path, out: Path, edits: Edits, stored: Stored, prefix: str = "a.json#/annotations/"
) -> None:
    """Readers find the masks that were meant, and the writer says how it stored them."""
    before, after = read(source), read(out)
    kept = before.masks[~before.masks["source_key"].isin(edits.drop)]
    meant = {
        key: edits.change[key].counts if key in edits.change else None for key in kept["source_key"]
    }
    counts = dict(zip(kept["source_key"], kept["segmentation"], strict=True))
    counts |= {key: one for key, one in meant.items() if one is not None}
    order = sorted(counts, key=lambda key: int(key.removeprefix(prefix)))
    expected = [counts[key] for key in order] + [one.counts for one in edits.add]
    numbers = [int(key.rpartition("/")[2]) for key in after.masks["source_key"]]
    found = after.masks.iloc[np.argsort(numbers)]
    assert found["segmentation"].tolist() == expected
    new = [one for one in meant.values() if one is not None] + [one.counts for one in edits.add]
    assert stored.polygons + stored.runs == len(new)
    if edits.masks == "polygon":
        assert stored.seams == sum(rings_of(one, HEIGHT, WIDTH) is None for one in new)
    elif edits.masks == "rle":
        assert (stored.polygons, stored.seams) == (0, 0)
    if out.read_bytes()[:1] == b"{":
        with contextlib.redirect_stdout(io.StringIO()):
            reference = COCO(str(out))
        for one, mine in zip(reference.dataset["annotations"], expected, strict=True):
            meant_pixels = pixels({"size": [HEIGHT, WIDTH], "counts": mine})
            assert (reference.annToMask(one) == meant_pixels).all()


@draws(12)
@given(st.data())
def test_decisions_reach_a_results_list(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
):
    folder = tmp_path_factory.mktemp("results")
    source, out = folder / "a.json", folder / "b.json"
    number = data.draw(st.integers(1, 4))
    made = [
        {
            "image_id": data.draw(st.sampled_from([3, -8, "é/1.jpg"])),
            "category_id": 7,
            "bbox": [1.5, 2, 3, 4],
            "score": 0.25,
            "segmentation": spelled(
                data.draw(masks()), data.draw(st.sampled_from(["rle", "runs"]))
            ),
        }
        | data.draw(st.sampled_from([{}, {"id": 4}]))
        for _ in range(number)
    ]
    text = json.dumps(made, indent=data.draw(st.sampled_from([None, 1])))
    source.write_text(text)
    images = read(source, "coco-results").images["source_key"].tolist()
    literals = [json.dumps(one) for one in {one["image_id"]: None for one in made}]
    assert sorted(images) == sorted(f"a.json#/image_id/{one}" for one in literals)
    edits = data.draw(edits_of("a.json#/", number, images, ["7", "12"]))
    stored = coco_format.RESULTS.write(source, out, edits)
    old, written = element_texts(text), out.read_text()
    new = element_texts(written)
    assert written == with_elements(text, new, separator_of(text))
    kept = [i for i in range(number) if f"a.json#/{i}" not in edits.drop]
    for i, after in zip(kept, new, strict=False):
        change = edits.change.get(f"a.json#/{i}", Change())
        check_change(old[i], after, change, edits, {"7": {7}, "12": {12}})
    usual = Counter(kind_of(one["segmentation"]) for one in made).most_common(1)[0][0]
    ids = [4 + k for k in range(1, 4)] if any("id" in one for one in made) else [None] * 3
    for one, after, number in zip(edits.add, new[len(kept) :], ids, strict=False):
        value = json.loads(after)
        assert set(value) - {"attributes", "id"} == set(made[0]) - {"id"}
        assert value.get("id") == number
        assert json.dumps(value["image_id"]) == one.image_key.removeprefix("a.json#/image_id/")
        assert (value["category_id"], value["score"]) == (int(one.category), 1.0)
        check_pixels(value, one.counts, expected_kind(edits, usual, one.counts))
    assert len(new) == len(kept) + len(edits.add)
    if new:
        check_read(source, out, edits, stored, "a.json#/")


def write(folder: Path, value: Any, name: str = "a.json") -> Path:
    path = folder / name
    path.write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())
    return path


def dataset(*annotations: Any, **keys: Any) -> dict[str, Any]:
    made = {"images": IMAGES, "annotations": list(annotations), "categories": CATEGORIES}
    return made | keys


def annotation(number: int = 1, **fields: Any) -> dict[str, Any]:
    made = {"id": number, "image_id": 3, "category_id": 2, "segmentation": rle_of(RING)}
    return made | fields


RING = np.zeros((HEIGHT, WIDTH), bool)
RING[2:7, 3:10] = True
RING[4, 5] = False
DISC = RING | (np.indices(RING.shape).sum(0) == 9)
KEY = "a.json#/annotations/0"


def changed(key: str = KEY, **fields: Any) -> dict[str, Any]:
    return {"change": {key: Change(**fields)}}


def edited(folder: Path, value: Any, form: Any = coco_format.FORMAT, **parts: Any) -> Any:
    """What a file holds after a change of its first annotation, or another edit."""
    source = write(folder, value)
    out = folder / "b.json"
    out.unlink(missing_ok=True)
    form.write(source, out, Edits(**(parts or changed(counts=counts_of(DISC)))))
    return json.loads(out.read_text())


def add(image: int = 0, category: str | None = None, **fields: Any) -> dict[str, Any]:
    made = {"image_key": f"a.json#/images/{image}", "counts": counts_of(DISC)}
    made |= {"height": HEIGHT, "width": WIDTH, "category": category}
    return {"add": [Addition(**(made | fields))]}


def test_the_value_that_a_parser_takes_is_the_one_that_changes(tmp_path: Path):
    mask = json.dumps(rle_of(RING))
    twice = (
        f'{{"id":1, "image_id" : 3,"area": 1, "segment\\u0061tion" : {mask} , "area":2.0,\n'
        f'"x":"\\ud800 \\"area\\": 3", "segmentation":{mask}, "bbox":[0,0,0,0 ]}}'
    )
    raw = json.dumps(dataset("HERE")).replace('"HERE"', twice).encode()
    source = write(tmp_path, raw)
    coco_format.FORMAT.write(source, tmp_path / "b.json", Edits(**changed(counts=counts_of(DISC))))
    area = float(DISC.sum())
    expected = (
        f'{{"id":1, "image_id" : 3,"area": 1, "segment\\u0061tion" : {mask} , "area":{area},\n'
        f'"x":"\\ud800 \\"area\\": 3", "segmentation":{json.dumps(rle_of(DISC))}, '
        '"bbox":[1,0,9,9]}'
    )
    assert (tmp_path / "b.json").read_bytes() == raw.replace(twice.encode(), expected.encode())


def test_a_mask_that_was_missing_is_put_in(tmp_path: Path):
    for value in ({}, {"segmentation": None}, {"segmentation": []}, {"segmentation": 5}):
        one = annotation() | value
        if not value:
            del one["segmentation"]
        found = edited(tmp_path, dataset(one, annotation(2)))["annotations"][0]
        assert found == annotation(segmentation=rle_of(DISC))


def test_an_added_mask_without_a_category_takes_the_only_one(tmp_path: Path):
    parent = {"supercategory": "none", "id": 0, "name": "cells"}
    one = {"supercategory": "cells", "id": 2, "name": "cell"}
    found = edited(tmp_path, dataset(categories=[parent, one]), **add())
    measured = {"area": DISC.sum(), "bbox": [1, 0, 9, 9], "iscrowd": 0}
    assert found["annotations"] == [annotation(1, segmentation=rle_of(DISC)) | measured]
    with pytest.raises(CallError, match=r"1 added mask without a category.*--category NAME"):
        edited(tmp_path, dataset(annotation()), **add())
    bare = dataset(annotation(), categories=None)
    with pytest.raises(CallError, match="without a category"):
        edited(tmp_path, bare, **add())
    assert edited(tmp_path, bare, **add(category="12"))["annotations"][1]["category_id"] == 12
    with pytest.raises(CallError, match="'cat' is no number"):
        edited(tmp_path, bare, **add(category="cat"))
    del bare["annotations"][0]["category_id"]
    assert "category_id" not in edited(tmp_path, bare, **add())["annotations"][1]


def test_a_category_that_the_mask_has_stays(tmp_path: Path):
    one = dataset(annotation(category_id=6), annotation(2, category_id=2))
    named = {f"a.json#/annotations/{i}": Change(category="שלום") for i in (0, 1)}
    found = edited(tmp_path, one, change=named)["annotations"]
    assert [value["category_id"] for value in found] == [6, 5]


def test_lvis_gets_no_category_and_no_crowd(tmp_path: Path):
    value = dataset(annotation(), images=[IMAGES[0] | {"neg_category_ids": []}])
    found = edited(tmp_path, value, coco_format.LVIS, **add(category="cells"))["annotations"][1]
    assert set(found) == {*annotation(), "area", "bbox"}
    with pytest.raises(CallError, match=r"'dog' is not declared.*synset.*with --to coco"):
        edited(tmp_path, value, coco_format.LVIS, **add(category="dog"))


def test_images_that_no_mask_can_name(tmp_path: Path):
    size = {"height": HEIGHT, "width": WIDTH}
    images: list[Any] = [{"id": "a"}, {"id": 1}, {"id": 1}, {}, {"id": 8, "height": 0}, {"id": 9}]
    images = [size | image for image in images] + [5]
    value = dataset(images=images)
    keys = read(write(tmp_path, value)).images["source_key"].tolist()
    assert keys == [f"a.json#/images/{i}" if i in (0, 1, 5) else "" for i in range(7)]
    made = [edited(tmp_path, value, **add(i, "new")) for i in (0, 1, 5)]
    ids = [one["annotations"][0]["image_id"] for one in made]
    assert ids == ["a", 1, 9]
    with pytest.raises(CallError, match="no id, so no mask can name it"):
        edited(tmp_path, value, **add(3, "new"))


@pytest.mark.parametrize(
    ("value", "edits", "words"),
    [
        ({}, changed(counts=b"!"), "no run length has"),
        ({}, changed(counts=counts_of(DISC[1:])), "end before the image does"),
        ({}, changed("x#/annotations/1"), "x#/annotations/1 names no mask"),
        ({}, changed("a.json#/annotations/07"), "names no mask"),
        ({}, changed("a.json#/annotations/7"), "none with the number 7"),
        ({}, changed() | {"drop": frozenset({KEY})}, "dropped and changed"),
        ({"attributes": 5}, changed(attributes={"a": "b"}), "a number"),
        ({}, changed("a.json#/annotations/1", counts=b""), "a string, not an object"),
        ({}, changed() | {"masks": "png"}, "same, polygon, rle"),
        ({"image_id": 1, "segmentation": [[1, 1, 2, 2, 3, 3]]}, changed(counts=b""), "size"),
        ({}, add(7, "new"), "it has 3 images, and none with the number 7"),
        ({}, add(0, "new", image_key="a.json#/annotations/0"), "names no image"),
        ({}, add(0, "new", height=HEIGHT + 1), "14 x 10, but the image is 14 x 9"),
        ({}, add(0, "new", counts=b"1"), "none of an image of 14 x 9"),
        (None, add(0, "new"), "no list of annotations to add to"),
    ],
)
def test_what_cannot_be_written_is_refused(
    tmp_path: Path, value: dict[str, Any] | None, edits: dict[str, Any], words: str
):
    made = dataset(annotation(**(value or {})), "text")
    if value is None:
        made["annotations"] = None
    with pytest.raises(CallError, match=words):
        edited(tmp_path, made, **edits)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json"]


@pytest.mark.parametrize(
    ("key", "category"),
    [("a.json#/image_id/9", "7"), ("a.json#/image_id/{}", "7"), ("a.json#/image_id/3", "cat")],
)
def test_what_a_results_list_cannot_hold_is_refused(tmp_path: Path, key: str, category: str):
    listed = [annotation(score=0.5)]
    with pytest.raises(CallError, match=r"names no image|'cat' is no number"):
        edited(tmp_path, listed, coco_format.RESULTS, **add(0, category, image_key=key))


def test_a_polygon_needs_an_image_of_stated_size(tmp_path: Path):
    flat = annotation(segmentation=spelled(np.ones((HEIGHT, WIDTH), bool), "polygon"))
    value = dataset(annotation(2, image_id=9), flat, flat, images=[*IMAGES, {"id": 9}])
    for edits in (changed(counts=counts_of(DISC)), add(3, "new")):
        found = edited(tmp_path, value, **edits)["annotations"]
        assert rle_of(DISC) in [one["segmentation"] for one in found]
        with pytest.raises(CallError, match="does not state the size"):
            edited(tmp_path, value, **edits, masks="polygon")
    one = changed("a.json#/0", counts=counts_of(DISC)) | {"masks": "polygon"}
    with pytest.raises(CallError, match="does not state the size"):
        edited(tmp_path, [annotation(score=1)], coco_format.RESULTS, **one)


def test_a_broken_annotation_is_named_by_its_byte(tmp_path: Path):
    raw = json.dumps(dataset("HERE")).replace('"HERE"', '{"id": 1,}').encode()
    with pytest.raises(SourceError, match="byte"):
        edited(tmp_path, raw)


def test_more_ids_than_there_are_is_refused(tmp_path: Path):
    with pytest.raises(CallError, match="no id above"):
        edited(tmp_path, dataset(annotation(2**63 - 1)), **add(0, "new"))


FIELDS = [*annotation(), "bbox", "area", "attributes"]


@draws(15)
@given(
    st.lists(st.dictionaries(st.sampled_from(FIELDS), any_json, max_size=3) | any_json, max_size=3),
    st.dictionaries(st.sampled_from(["images", "categories", "info"]), any_json, max_size=1),
    st.dictionaries(st.sampled_from(["id", "height", "width"]), any_json, max_size=1),
)
def test_any_json_is_written_or_refused(
    tmp_path_factory: pytest.TempPathFactory, ones: list[Any], keys: Any, image: dict[str, Any]
):
    folder = tmp_path_factory.mktemp("fuzz")
    made = [annotation(i) | one if isinstance(one, dict) else one for i, one in enumerate(ones)]
    whole = dataset(*made, images=[IMAGES[0] | image, *IMAGES[1:]]) | keys
    change = Change(counts_of(DISC), "new", {"who": "me"})
    for value, form, prefix in (
        (whole, coco_format.FORMAT, "a.json#/annotations/"),
        (made, coco_format.RESULTS, "a.json#/"),
    ):
        source, out = write(folder, value), folder / "b.json"
        for i in range(len(made)):
            out.unlink(missing_ok=True)
            with contextlib.suppress(CurateError):
                form.write(source, out, Edits(change={f"{prefix}{i}": change}))
                assert len(read(out, form.name)) == len(made)
        out.unlink(missing_ok=True)
        with contextlib.suppress(CurateError):
            for key in filter(None, read(source, form.name).images["source_key"]):
                out.unlink(missing_ok=True)
                form.write(source, out, Edits(**add(0, "7", image_key=key)))
                assert len(read(out, form.name)) == len(made) + 1
