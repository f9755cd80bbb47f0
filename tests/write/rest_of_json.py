"""The rest of datasets that are JSON: the text of every value that no decision is about."""

from __future__ import annotations

import io
import json
import tarfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from drawn_masks import box_of, decoded, rasterised
from json_text import elements, members, without_values
from mask_files import tree
from PIL import Image
from rest import Touched

PIXELS = ("segmentation", "bbox", "area")
LISTS = ("annotations", "categories")


def text_of(path: Path) -> str:
    return path.read_bytes().decode("utf-8")


def member(text: str, name: str) -> str:
    return next(text[i:j] for key, i, j in members(text) if key == name)


def texts(text: str) -> list[str]:
    return [text[i:j] for i, j in elements(text)]


def pixels_of(segmentation: Any, size: tuple[int, int]) -> np.ndarray:
    """Return the pixels of any segmentation COCO has, by pycocotools."""
    if isinstance(segmentation, list):
        return rasterised(segmentation, size)
    assert tuple(segmentation["size"]) == size
    counts = segmentation["counts"]
    if isinstance(counts, str):
        return decoded(counts, size)
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return flat.reshape(size[::-1]).T


def check_record(record: dict[str, Any], mask: np.ndarray, old: dict[str, Any], short: int) -> None:
    """Fail where a record does not say the mask that is meant, in the kinds of numbers it had."""
    assert (pixels_of(record["segmentation"], mask.shape) == mask).all()
    x, y, w, h = box_of(mask)
    for name, value in (("bbox", [x, y, w - short, h - short]), ("area", int(mask.sum()))):
        assert (name in record) == (name in old)
        if name in record:
            assert record[name] == value
            assert is_float(record[name]) == is_float(old[name])


def is_float(value: Any) -> bool:
    """Return whether a number, or any of some numbers, is written as a float."""
    return any(isinstance(one, float) for one in (value if isinstance(value, list) else [value]))


def check_list(old: str, new: str, touched: Touched, short: int = 0) -> list[dict[str, Any]]:
    """Compare the texts of two lists of records; keys are numbers in the list.

    Returns:
        The records that are new.
    """
    before, after = texts(old), texts(new)
    left = [(str(k), text) for k, text in enumerate(before) if str(k) not in touched.dropped]
    assert len(after) == len(left) + len(touched.added)
    for (key, text), now in zip(left, after, strict=False):
        edited = [*PIXELS] if key in touched.redrawn else []
        edited += ["category_id"] if key in touched.relabelled else []
        assert without_values(now, edited) == without_values(text, edited)
        if key in touched.redrawn:
            check_record(json.loads(now), touched.redrawn[key], json.loads(text), short)
    check_glue(old, new)
    made = [json.loads(text) for text in after[len(left) :]]
    for record, (_, mask, _) in zip(made, touched.added, strict=True):
        like = json.loads(before[0]) if before else record
        check_record(record, mask, like if "area" in like and "bbox" in like else record, short)
    return made


def check_glue(old: str, new: str) -> None:
    """Fail where something else stands between the elements of a list than before."""
    (lead, *between, tail), (new_lead, *new_between, new_tail) = glue(old), glue(new)
    if len(texts(new)) and len(texts(old)):
        assert (new_lead, new_tail) == (lead, tail)
        assert set(new_between) <= {*between, "," + lead[1:]}
    else:
        assert not new_between or set(new_between) == {", "}


def glue(text: str) -> list[str]:
    spans = elements(text)
    if not spans:
        return ["[", "]"]
    between = [text[i:j] for (_, i), (j, _) in pairwise(spans)]
    return [text[: spans[0][0]], *between, text[spans[-1][1] :]]


# --- COCO, LVIS, results lists -------------------------------------------------------------------


def check_coco(source: Path, written: Path, touched: Touched) -> None:
    old, new = text_of(source), text_of(written)
    assert without_values(new, LISTS) == without_values(old, LISTS)
    name = source.name
    own = touched.below(f"{name}#/annotations/", "")
    own.added = touched.added
    old_list, new_list = member(old, "annotations"), member(new, "annotations")
    made = check_list(old_list, new_list, own)
    before, after = json.loads(old), json.loads(new)
    names = {one["id"]: one["name"] for one in after["categories"]}
    top = max(one["id"] for one in before["annotations"])
    assert [one["id"] for one in made] == list(range(top + 1, top + 1 + len(made)))
    is_lvis = "neg_category_ids" in before["images"][0]
    for record, (image, _, label) in zip(made, touched.added, strict=True):
        number = int(image.removeprefix(f"{name}#/images/"))
        assert record["image_id"] == before["images"][number]["id"]
        assert names[record["category_id"]] == label
        assert record.get("iscrowd") == (None if is_lvis else 0)
    kept = [one for k, one in enumerate(before["annotations"]) if str(k) not in own.dropped]
    for k, label in own.relabelled.items():
        at = kept.index(before["annotations"][int(k)])
        assert names[after["annotations"][at]["category_id"]] == label
    check_categories(member(old, "categories"), member(new, "categories"), touched)


def check_categories(old: str, new: str, touched: Touched) -> None:
    """Fail unless the categories are the old ones, and those that are needed and not among them."""
    before, after = texts(old), texts(new)
    assert after[: len(before)] == before
    check_glue(old, new)
    known = {json.loads(text)["name"] for text in before}
    needed = {*touched.relabelled.values(), *(label for *_, label in touched.added)} - known
    added = [json.loads(text) for text in after[len(before) :]]
    assert {one["name"] for one in added} == needed
    assert len(added) == len(needed)
    ids = [json.loads(text)["id"] for text in after]
    assert len(set(ids)) == len(ids)


check_lvis = check_coco


def check_coco_splits(source: Path, written: Path, touched: Touched) -> None:
    before, after = tree(source), tree(written)
    assert list(after) == list(before)
    for name, content in before.items():
        folder = f"{name.rpartition('/')[0]}/".lstrip("/")
        own = touched.below(folder, "")
        mark = f"{name.removeprefix(folder)}#/"
        own.dropped = {key for key in own.dropped if key.startswith(mark)}
        own.redrawn = {key: one for key, one in own.redrawn.items() if key.startswith(mark)}
        own.relabelled = {key: one for key, one in own.relabelled.items() if key.startswith(mark)}
        own.added = [
            (key.removeprefix(folder), mask, label)
            for key, mask, label in touched.added
            if key.startswith(f"{name}#/")
        ]
        if own:
            check_coco(source / name, written / name, own)
        else:
            assert after[name] == content


check_roboflow = check_coco_splits


def check_coco_results(source: Path, written: Path, touched: Touched) -> None:
    old, new = text_of(source), text_of(written)
    own = touched.below(f"{source.name}#/", "")
    own.added = touched.added
    made = check_list(old, new, own)
    for record, (image, _, label) in zip(made, touched.added, strict=True):
        assert image == f"{source.name}#/image_id/{record['image_id']}"
        assert str(record["category_id"]) == label
        assert set(record) == {"image_id", "category_id", "bbox", "segmentation", "score"}
    left = [k for k in range(len(texts(old))) if str(k) not in own.dropped]
    for at, k in enumerate(left):
        if str(k) in own.relabelled:
            assert json.loads(new)[at]["category_id"] == int(own.relabelled[str(k)])


# --- SA-1B, the lists of amg.py ------------------------------------------------------------------


def check_amg_json(source: Path, written: Path, touched: Touched) -> None:
    before, after = tree(source), tree(written)
    assert list(after) == list(before)
    for name, content in before.items():
        own = touched.below(f"{name}#/", name)
        if not own:
            assert after[name] == content
            continue
        made = check_list(content.decode(), after[name].decode(), own, short=1)
        for record in made if json.loads(content) else ():
            assert set(record) == set(json.loads(content)[0])
            assert record["predicted_iou"] is None


def check_sa1b(source: Path, written: Path, touched: Touched) -> None:
    before, after = tree(source), tree(written)
    assert list(after) == list(before)
    _check_sa1b_files(before, after, touched, "")


def _check_sa1b_files(
    before: dict[str, bytes], after: dict[str, bytes], touched: Touched, prefix: str
) -> None:
    ids = [
        one["id"]
        for name, content in before.items()
        if name.endswith(".json")
        for one in json.loads(content)["annotations"]
    ]
    made_ids = []
    for name, content in before.items():
        own = touched.below(f"{prefix}{name}#/annotations/", f"{prefix}{name}")
        if not own:
            assert after[name] == content
            continue
        old, new = content.decode(), after[name].decode()
        assert without_values(new, ["annotations"]) == without_values(old, ["annotations"])
        made = check_list(member(old, "annotations"), member(new, "annotations"), own, short=1)
        made_ids += [one["id"] for one in made]
        for one in made:
            assert one["predicted_iou"] is one["stability_score"] is None
    assert sorted(made_ids) == list(range(max(ids) + 1, max(ids) + 1 + len(touched.added)))


def check_sa1b_tar(source: Path, written: Path, touched: Touched) -> None:
    """Members in order, each with its header; only sizes and sums of changed ones may differ."""
    contents: list[dict[str, bytes]] = []
    heads: list[list[dict[str, Any]]] = []
    for path in (source, written):
        with tarfile.open(path) as archive:
            found = archive.getmembers()
            heads.append([{**one.get_info(), "size": 0, "chksum": 0} for one in found])
            members_of = {one.name: archive.extractfile(one) for one in found if one.isfile()}
            contents.append({name: file.read() for name, file in members_of.items() if file})
    assert heads[0] == heads[1]
    assert list(contents[0]) == list(contents[1])
    _check_sa1b_files(contents[0], contents[1], touched, f"{source.name}!")
    if not touched:
        assert written.read_bytes() == source.read_bytes()


# --- SA-V ----------------------------------------------------------------------------------------


def check_sav(source: Path, written: Path, touched: Touched) -> None:
    before, after = tree(source), tree(written)
    assert list(after) == list(before)
    for name, content in before.items():
        added = [one for one in touched.added if one[0].startswith(f"{name}#")]
        own = touched.below(f"{name}#/masklet/", "")
        own.added = [(one[0].rpartition("/")[2], *one[1:]) for one in added]
        if not own:
            assert after[name] == content
        else:
            _check_video(content.decode(), after[name].decode(), own)


def _check_video(old: str, new: str, touched: Touched) -> None:
    count = len(touched.added)
    lists = [name for name, *_ in members(old) if name.startswith("masklet")]
    edited = lists if count else ["masklet"]
    assert without_values(new, edited) == without_values(old, edited)
    frames, new_frames = texts(member(old, "masklet")), texts(member(new, "masklet"))
    check_glue(member(old, "masklet"), member(new, "masklet"))
    for t, (frame, now) in enumerate(zip(frames, new_frames, strict=True)):
        _check_frame(t, texts(frame), texts(now), touched)
    if not count:
        return
    before, after = json.loads(old), json.loads(new)
    assert after["masklet_num"] == before["masklet_num"] + count
    is_manual = before["masklet_stability_score"][0] is None
    for name in lists[1 : -1 if is_manual else -2]:
        assert texts(member(new, name))[:-count] == texts(member(old, name))
        assert len(after[name]) == len(before[name]) + count
    assert after["masklet_id"][-count:] == [5 + k for k in range(count)]
    assert after["masklet_type"][-count:] == ["manual"] * count
    if not is_manual:  # a list a frame, instead of one for all
        scores = [[*one, *[None] * count] for one in before["masklet_stability_score"]]
        assert after["masklet_stability_score"] == scores


def _check_frame(t: int, old: list[str], new: list[str], touched: Touched) -> None:
    assert len(new) == len(old) + len(touched.added)
    for j, (was, now) in enumerate(zip(old, new, strict=False)):
        key, size = f"{t}/{j}", tuple(json.loads(was)["size"])
        if key in touched.dropped:
            assert not pixels_of(json.loads(now), size).any()
        elif key in touched.redrawn:
            assert (pixels_of(json.loads(now), size) == touched.redrawn[key]).all()
            assert without_values(now, ["counts"]) == without_values(was, ["counts"])
        else:
            assert now == was
    for now, (frame, mask, _) in zip(new[len(old) :], touched.added, strict=True):
        drawn = pixels_of(json.loads(now), mask.shape)
        assert (drawn == (mask if int(frame) == t else np.zeros_like(mask))).all()


# --- COCO panoptic -------------------------------------------------------------------------------


def check_coco_panoptic(source: Path, written: Path, touched: Touched) -> None:
    before, after = tree(source), tree(written)
    assert list(after) == list(before)
    name = "annotations/panoptic_val.json"
    old, new = before[name].decode(), after[name].decode()
    assert without_values(new, LISTS) == without_values(old, LISTS)
    names = {one["id"]: one["name"] for one in json.loads(new)["categories"]}
    pngs = {name}
    pairs = zip(texts(member(old, "annotations")), texts(member(new, "annotations")), strict=True)
    for k, (was, now) in enumerate(pairs):
        key = f"{name}#/annotations/{k}"
        own = touched.below(f"{key}/segments_info/", key)
        if not own:
            assert now == was
            continue
        png = f"annotations/panoptic_val/{json.loads(was)['file_name']}"
        pngs.add(png)
        _check_segments(json.loads(was), json.loads(now), own, names)
        _check_panoptic_png(json.loads(was), json.loads(now), (before[png], after[png]), own)
    check_categories(member(old, "categories"), member(new, "categories"), touched)
    assert {path for path in before if before[path] != after[path]} <= pngs


def _check_segments(old: Any, new: Any, touched: Touched, names: dict[int, str]) -> None:
    assert {k: v for k, v in new.items() if k != "segments_info"} == {
        k: v for k, v in old.items() if k != "segments_info"
    }
    left = list(new["segments_info"])
    for k, segment in enumerate(old["segments_info"]):
        if str(k) in touched.dropped:
            continue
        now, free = left.pop(0), set[str]()
        assert list(now) == list(segment)
        if str(k) in touched.redrawn:
            free |= {"area", "bbox"}
            _check_measures(now, touched.redrawn[str(k)])
        if str(k) in touched.relabelled:
            free.add("category_id")
            assert names[now["category_id"]] == touched.relabelled[str(k)]
        assert {n: v for n, v in now.items() if n not in free} == {
            n: v for n, v in segment.items() if n not in free
        }
    assert len(left) == len(touched.added)
    for now, (_, mask, label) in zip(left, touched.added, strict=True):
        assert set(now) == {"id", "category_id", "iscrowd", "bbox", "area"}
        assert (now["iscrowd"], names[now["category_id"]]) == (0, label)
        _check_measures(now, mask)


def _check_measures(segment: Any, mask: np.ndarray) -> None:
    if "bbox" in segment:
        assert segment["bbox"] == list(box_of(mask))
        assert segment["area"] == int(mask.sum())


def _check_panoptic_png(old: Any, new: Any, pngs: tuple[bytes, bytes], touched: Touched) -> None:
    was, now = (_panoptic_ids(data) for data in pngs)
    numbers = [segment["id"] for segment in old["segments_info"]]
    meant = was.copy()
    for k in (*touched.dropped, *touched.redrawn):
        meant[was == numbers[int(k)]] = 0
    for k, mask in touched.redrawn.items():
        meant[mask] = numbers[int(k)]
    added = new["segments_info"][len(new["segments_info"]) - len(touched.added) :]
    for segment, (_, mask, _) in zip(added, touched.added, strict=True):
        assert segment["id"] not in numbers
        meant[mask] = segment["id"]
    assert (now == meant).all()


def _panoptic_ids(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(np.asarray(image).astype(np.int64) @ np.array([1, 256, 65536]))
