"""SA-V with people's changes: masks in their frames, new masklets in all lists, nothing else."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from json_text import element_texts, member_text, separator_of, with_elements, with_value
from mask_files import tree
from new_masks import HEIGHT, WIDTH, any_json, counts_of, masks, pixels, rle_of, runs_of
from pycocotools import mask as coco_mask
from random_cases import draws

from curate.errors import CallError, CurateError
from curate.formats.edits import Addition, Change, Edits, Stored
from curate.formats.reading import read
from curate.formats.sav import sav_format

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")  # of pycocotools

EMPTY = rle_of(np.zeros((HEIGHT, WIDTH), bool))
LISTS = {
    "masklet_id": [4, 9, 2],
    "masklet_size_rel": [0.5, 0.25, 0.1],
    "masklet_size_abs": [5.5, 6.0, 7.25],
    "masklet_size_bucket": ["small"] * 3,
    "masklet_visibility_changes": [0, 2, 1],
    "masklet_first_appeared_frame": [0.0, 1.0, 0.0],
    "masklet_frame_count": [3, 3, 3],
    "masklet_edited_frame_count": [1, 2, 3],
    "masklet_type": ["manual"] * 3,
    "masklet_note": ["a", "é", "c"],
}


@st.composite
def files(draw: st.DrawFn) -> str:
    objects, frames = draw(st.integers(0, 3)), draw(st.integers(1, 4))
    rles = st.sampled_from([EMPTY]) | masks().map(rle_of) | masks().map(runs_of)
    value: dict[str, Any] = {
        "video_id": "sav_é",
        "video_height": float(HEIGHT),
        "video_width": WIDTH,
        "video_environment": ["Indoor"],
        "masklet": [[draw(rles) for _ in range(objects)] for _ in range(frames)],
        "masklet_num": draw(st.sampled_from([objects, float(objects)])),
        **{name: values[:objects] for name, values in LISTS.items()},
    }
    auto = [[draw(st.sampled_from([1.0, 0.5]))] * objects for _ in range(frames)]
    value["masklet_stability_score"] = draw(st.sampled_from([[None] * objects, auto]))
    for name in draw(st.sets(st.sampled_from([*LISTS, "masklet_num"]), max_size=3)):
        del value[name]
    value = {name: value[name] for name in draw(st.permutations(list(value)))}
    style: dict[str, Any] = draw(st.sampled_from([{}, {"indent": 1}, {"separators": (",", ":")}]))
    return json.dumps(value, ensure_ascii=draw(st.booleans()), **style) + "\n"


@st.composite
def edits_of(draw: st.DrawFn, keys: list[str], images: list[str]) -> Edits:
    drop, change = set(), {}
    for key in keys:
        what = draw(st.sampled_from(["keep", "keep", "drop", "change"]))
        if what == "drop":
            drop.add(key)
        elif what == "change":
            change[key] = Change(counts_of(draw(masks())))
    add = [
        Addition(draw(st.sampled_from(images)), counts_of(mask), HEIGHT, WIDTH)
        for mask in draw(st.lists(masks(), max_size=2))
    ]
    return Edits(frozenset(drop), change, add)


def statistics(add: list[Addition], frames: int, ids: list[int]) -> dict[str, list[Any]]:
    """What each list says of new masklets that are visible in one frame."""
    areas = [int(pixels({"size": [HEIGHT, WIDTH], "counts": one.counts}).sum()) for one in add]
    first = [int(one.image_key.rpartition("/")[2]) for one in add]
    nothing = [None] * len(add)
    return {
        "masklet_id": [max(ids, default=-1) + k for k in range(1, len(add) + 1)],
        "masklet_size_rel": [area / (HEIGHT * WIDTH) for area in areas],
        "masklet_size_abs": areas,
        "masklet_size_bucket": ["small"] * len(add),
        "masklet_visibility_changes": [int(t < frames - 1) for t in first],
        "masklet_first_appeared_frame": first,
        "masklet_frame_count": [frames] * len(add),
        "masklet_edited_frame_count": [1] * len(add),
        "masklet_type": ["manual"] * len(add),
        "masklet_note": nothing,
        "masklet_stability_score": nothing,
    }


NEW_MASKLET = {
    "masklet_size_rel": 7000 / (848 * 480),
    "masklet_size_abs": 7000.0,
    "masklet_size_bucket": "medium",
    "masklet_visibility_changes": 0,
    "masklet_first_appeared_frame": 120,
    "masklet_frame_count": 121,
    "masklet_edited_frame_count": 1,
    "masklet_type": "manual",
}


def check_frame(old: str, new: str, key: str, edits: Edits) -> None:
    before, after = element_texts(old), element_texts(new)
    assert new == with_elements(old, after, separator_of(old))
    for j, text in enumerate(before):
        change = edits.change.get(f"{key}/{j}")
        if f"{key}/{j}" in edits.drop:
            assert json.loads(after[j]) == EMPTY
        elif change is None:
            assert after[j] == text
        else:
            value = json.loads(after[j])
            assert (pixels(value) == pixels(EMPTY | {"counts": change.counts})).all()
            assert type(value["counts"]) is type(json.loads(text)["counts"])
    for one, text in zip(edits.add, after[len(before) :], strict=True):
        here = one.image_key == key
        assert json.loads(text) == (EMPTY | {"counts": one.counts.decode()} if here else EMPTY)


@draws(15)
@given(st.data())
def test_decisions_and_nothing_else_reach_the_video(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
):
    folder = tmp_path_factory.mktemp("sav")
    text = data.draw(files())
    (folder / "in").mkdir()
    source, out = folder / "in" / "a.json", folder / "out" / "a.json"
    source.write_text(text, "utf-8")
    (folder / "in" / "b.txt").write_text("b")
    table = read(folder / "in", "sav")
    images = table.images["source_key"].tolist()
    frames = element_texts(member_text(text, "masklet"))
    assert images == [f"a.json#/masklet/{t}" for t in range(len(frames))]
    edits = data.draw(edits_of(table.masks["source_key"].tolist(), images))
    stored = sav_format.FORMAT.write(folder / "in", folder / "out", edits)
    assert stored == Stored(runs=len(edits.change) + len(edits.add))
    assert tree(folder / "out").keys() == tree(folder / "in").keys()

    written = out.read_text("utf-8")
    old, expected = json.loads(text), text
    meant = statistics(list(edits.add), len(frames), old.get("masklet_id", []))
    for name in old:
        before, after = member_text(text, name), member_text(written, name)
        if name == "masklet":
            for t, (one, other) in enumerate(zip(frames, element_texts(after), strict=True)):
                check_frame(one, other, images[t], edits)
            inner = element_texts(after)
        elif name == "masklet_num":
            assert json.loads(after) == json.loads(before) + len(edits.add)
            assert type(json.loads(after)) is type(json.loads(before))
            expected = with_value(expected, name, after)
            continue
        elif name == "masklet_stability_score" and (old[name] and isinstance(old[name][0], list)):
            inner = element_texts(after)
            for one, other in zip(element_texts(before), inner, strict=True):
                assert json.loads(other) == json.loads(one) + [None] * len(edits.add)
                assert other == with_elements(one, element_texts(other), separator_of(one))
        elif name in meant:
            inner = element_texts(after)
            assert inner[: len(old[name])] == element_texts(before)
            assert json.loads(after)[len(old[name]) :] == meant[name]
        else:
            continue
        expected = with_value(expected, name, with_elements(before, inner, separator_of(before)))
    assert written == expected

    again = read(out, "sav")
    assert len(again) == len(table) - len(edits.drop) + len(edits.add)
    assert again.masks["status"].eq("ok").all()


def test_a_new_masklet_in_the_real_files(data: Path, tmp_path: Path) -> None:
    source = data / "sav" / "example"
    table = read(source, "sav")
    mask = np.zeros((848, 480), bool)
    mask[100:200, 50:120] = True
    names = [f"sav_000001_{kind}.json" for kind in ("auto", "manual")]
    add = [Addition(f"{name}#/masklet/120", counts_of(mask), 848, 480) for name in names]
    sav_format.FORMAT.write(source, tmp_path / "out", Edits(add=add))
    for name in names:
        old, new = (json.loads((f / name).read_text()) for f in (source, tmp_path / "out"))
        n = len(old["masklet_id"])
        assert new["masklet_num"] == n + 1
        assert [len(frame) for frame in new["masklet"]] == [n + 1] * 121
        assert [coco_mask.area(frame[n]) for frame in new["masklet"]] == [0] * 120 + [7000]
        assert [frame[:n] for frame in new["masklet"]] == old["masklet"]
        own = {key: new[key][n] for key in NEW_MASKLET}
        assert own == NEW_MASKLET
        assert new["masklet_id"][n] == n
        scores = new["masklet_stability_score"]
        assert [one[n] for one in scores] == [None] * 121 if "auto" in name else scores[n] is None
    again = read(tmp_path / "out", "sav")
    assert len(again) == len(table) + 2


@pytest.mark.parametrize(
    ("edits", "words"),
    [
        ({"masks": "polygon"}, "has no polygons; use --masks same"),
        ({"change": {"a.json#/masklet/0/0": Change(category="cat")}}, "no categories"),
        ({"change": {"a.json#/masklet/0/0": Change(attributes={"a": "b"})}}, "no place for"),
        ({"change": {"a.json#/masklet/0/00": Change(b"")}}, "names no mask"),
        ({"change": {"a.json#/masklet/0/9": Change(b"")}}, "masklet/0/9 is not in it"),
        ({"change": {"a.json#/masklet/0": Change(b"")}}, "masklet/0 is not in it"),
        ({"change": {"b.json#/masklet/0/0": Change(b"")}}, "to be changed, but is not in it"),
        ({"add": ["a.json#/masklet/0/0"]}, "names no image"),
        ({"add": ["a.json#/masklet/7"]}, "names no image"),
        ({"add": ["a.json#/masklet/0"], "height": 3}, "14 x 3, and the video is not"),
        ({"add": ["a.json#/masklet/0"], "frames": [[], "text"]}, "masklet/1: a frame of it is no"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path: Path, edits: dict[str, Any], words: str):
    edits = dict(edits)
    frames = edits.pop("frames", [[EMPTY]])
    value = {"video_height": HEIGHT, "video_width": WIDTH, "masklet": frames, "masklet_id": [1]}
    source = tmp_path / "a.json"
    source.write_text(json.dumps(value))
    height, counts = edits.pop("height", HEIGHT), EMPTY["counts"].encode()
    keys = edits.pop("add", [])
    counts = counts if height == HEIGHT else rle_of(np.zeros((height, WIDTH)))["counts"].encode()
    add = [Addition(key, counts, height, WIDTH) for key in keys]
    with pytest.raises(CallError, match=words):
        sav_format.FORMAT.write(source, tmp_path / "out.json", Edits(add=add, **edits))
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    if "text" in frames:
        assert read(source, "sav").images["source_key"].tolist() == ["", ""]


def test_lists_that_are_too_short_are_filled_up(tmp_path: Path) -> None:
    mask = rle_of(np.ones((HEIGHT, WIDTH), bool))
    value = {
        "video_height": HEIGHT,
        "video_width": WIDTH,
        "masklet": [[mask, mask], [], [mask]],
        "masklet_id": [5],
        "masklet_type": ["auto", "auto"],
        "masklet_size_abs": [],
    }
    source = tmp_path / "a.json"
    source.write_text(json.dumps(value))
    add = [Addition("a.json#/masklet/1", mask["counts"].encode(), HEIGHT, WIDTH)]
    sav_format.FORMAT.write(source, tmp_path / "b.json", Edits(add=add))
    found = json.loads((tmp_path / "b.json").read_text())
    assert found["masklet"] == [[mask, mask, EMPTY], [EMPTY, EMPTY, mask], [mask, EMPTY, EMPTY]]
    assert found["masklet_id"] == [5, None, 6]
    assert found["masklet_type"] == ["auto", "auto", "manual"]
    assert found["masklet_size_abs"] == []


@draws(15)
@given(
    any_json,
    st.lists(any_json | st.lists(any_json, max_size=2), min_size=1, max_size=3),
    st.dictionaries(st.sampled_from([*LISTS, "masklet_num", "video_height"]), any_json, max_size=3),
)
def test_any_json_is_written_or_refused(
    tmp_path_factory: pytest.TempPathFactory, scores: Any, frames: list[Any], others: Any
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    size = {"video_height": HEIGHT, "video_width": WIDTH}
    frames = [[rle_of(np.ones((HEIGHT, WIDTH))), None], *frames]
    value = size | {"masklet": frames, "masklet_stability_score": scores} | others
    source, out = folder / "a.json", folder / "b.json"
    source.write_text(json.dumps(value))
    counts = EMPTY["counts"].encode()
    with contextlib.suppress(CurateError):
        table = read(source, "sav")
        for key in table.masks["source_key"]:
            out.unlink(missing_ok=True)
            with contextlib.suppress(CurateError):
                sav_format.FORMAT.write(source, out, Edits(change={key: Change(counts)}))
                assert len(read(out, "sav")) == len(table) - 1
        for key in filter(None, table.images["source_key"]):
            out.unlink(missing_ok=True)
            full = rle_of(np.ones((HEIGHT, WIDTH)))["counts"].encode()
            add = [Addition(key, full, HEIGHT, WIDTH)]
            sav_format.FORMAT.write(source, out, Edits(add=add))
            assert len(read(out, "sav")) == len(table) + 1
