"""The rest of datasets with a record an image: every value that no decision is about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from json_text import elements, member_text, without_values
from mask_files import tree
from rest import Touched


def texts(text: str) -> list[str]:
    return [text[i:j] for i, j in elements(text)]


def ordered(text: str) -> Any:
    """Return a value with the members of objects in order and as they are, repeated ones too."""
    return json.loads(text, object_pairs_hook=lambda pairs: ("object", pairs), parse_float=str)


def member(value: Any, name: str) -> Any:
    return next(one for key, one in value[1] if key == name)


def without(value: Any, *names: str) -> Any:
    return ("object", [(key, one) for key, one in value[1] if key not in names])


def edited_records(
    old: str, new: str, touched: Touched, prefix: str
) -> list[tuple[Any, Any, Touched]]:
    """Return the records of two lists that differ, each with what is decided of it.

    Records of which nothing is decided must be equal in their text, and so must what is between.
    """
    before, after = texts(old), texts(new)
    assert len(before) == len(after)
    found = []
    for k, (was, now) in enumerate(zip(before, after, strict=True)):
        mine = touched.below(f"{prefix}/{k}/", f"{prefix}/{k}")
        if mine:
            found.append((ordered(was), ordered(now), mine))
        else:
            assert was == now
        old, new = old.replace(was, "", 1), new.replace(now, "", 1)
    assert old == new
    return found


# --- Label Studio --------------------------------------------------------------------------------


def check_label_studio(source: Path, written: Path, touched: Touched) -> None:
    old, new = source.read_bytes().decode(), written.read_bytes().decode()
    for was, now, mine in edited_records(old, new, touched, f"{source.name}#"):
        assert without(now, "annotations") == without(was, "annotations")
        lists = [member(one, "annotations") for one in (was, now)]
        assert len(lists[0]) == len(lists[1])
        for k, (one, other) in enumerate(zip(*lists, strict=True)):
            if one == other:
                continue
            below = mine.below(f"annotations/{k}/result/", "")
            below.added = mine.added
            assert without(one, "result") == without(other, "result")
            _check_results(member(one, "result"), member(other, "result"), below)


def _check_results(old: list[Any], new: list[Any], touched: Touched) -> None:
    gone = {dict(old[int(k)][1])["id"] for k in touched.dropped}
    kept = []
    for k, one in enumerate(old):
        said = dict(one[1])
        if said.get("id") not in gone and not {said.get("from_id"), said.get("to_id")} & gone:
            kept.append((str(k), one))
    assert len(new) == len(kept) + len(touched.added)
    for (key, one), now in zip(kept, new, strict=False):
        if key not in touched.redrawn and key not in touched.relabelled:
            assert now == one
            continue
        free = ("value", "type", "from_name") if key in touched.redrawn else ("value",)
        assert without(now, *free) == without(one, *free)
        meant = touched.relabelled.get(key) or _label(one)
        assert _label(now) == meant
        form = str(member(now, "type")).removesuffix("labels")
        assert ("rle" if form == "brush" else "points") in dict(member(now, "value")[1])
    ids = [dict(one[1]).get("id") for one in new]
    for one, (_, mask, label) in zip(new[len(kept) :], touched.added, strict=True):
        assert ids.count(member(one, "id")) == 1
        assert [member(one, f"original_{side}") for side in ("height", "width")] == list(mask.shape)
        assert _label(one) == label


def _label(result: Any) -> str:
    found = [one for key, one in member(result, "value")[1] if key.endswith("labels")]
    assert len(found) == 1
    assert len(found[0]) == 1
    return str(found[0][0])


# --- FiftyOne ------------------------------------------------------------------------------------


def check_fiftyone(source: Path, written: Path, touched: Touched) -> None:
    before, after = tree(source), tree(written)
    assert list(before) == list(after)
    old, new = (one["samples.json"].decode() for one in (before, after))
    assert {**before, "samples.json": b""} == {**after, "samples.json": b""}
    assert without_values(old, ["samples"]) == without_values(new, ["samples"])
    before_list, after_list = (member_text(one, "samples") for one in (old, new))
    for was, now, mine in edited_records(before_list, after_list, touched, "samples.json#/samples"):
        assert without(now, "ground_truth") == without(was, "ground_truth")
        shown = [member(one, "ground_truth") for one in (was, now)]
        listed = [[] if one is None else member(one, "detections") for one in shown]
        below = mine.below("ground_truth/detections/", "")
        kept = [(str(k), one) for k, one in enumerate(listed[0]) if str(k) not in below.dropped]
        assert len(listed[1]) == len(kept) + len(mine.added)
        for (key, one), other in zip(kept, listed[1], strict=False):
            free = ["mask", "bounding_box"] if key in below.redrawn else []
            free += ["label"] if key in below.relabelled else []
            assert without(other, *free) == without(one, *free)
            assert [name for name, _ in other[1]] == [name for name, _ in one[1]]
        for one, (_, _, label) in zip(listed[1][len(kept) :], mine.added, strict=True):
            assert member(one, "label") == label
            assert len(member(member(one, "_id"), "$oid")) == 24


# --- VIA -----------------------------------------------------------------------------------------


def check_via(source: Path, written: Path, touched: Touched) -> None:
    before, after = tree(source), tree(written)
    assert list(before) == list(after)
    (name,) = (one for one in before if one.endswith(".json"))
    assert {**before, name: b""} == {**after, name: b""}
    old, new = ordered(before[name].decode()), ordered(after[name].decode())
    if "_via_settings" in dict(old[1]):
        assert without(old, "_via_img_metadata") == without(new, "_via_img_metadata")
        old, new = (member(one, "_via_img_metadata") for one in (old, new))
    assert [key for key, _ in old[1]] == [key for key, _ in new[1]]
    for k, ((_, was), (_, now)) in enumerate(zip(old[1], new[1], strict=True)):
        mine = touched.below(f"{name}#/{k}/regions/", f"{name}#/{k}")
        assert without(now, "regions") == without(was, "regions")
        regions, made = member(was, "regions"), member(now, "regions")
        kept = [(str(i), one) for i, one in enumerate(regions) if str(i) not in mine.dropped]
        assert len(made) == len(kept) + len(mine.added)
        for (key, one), other in zip(kept, made, strict=False):
            _check_via_region(one, other, key in mine.redrawn, mine.relabelled.get(key))
        for one, (_, _, label) in zip(made[len(kept) :], mine.added, strict=True):
            assert _via_label(one) == label


check_via_export = check_via


def _check_via_region(old: Any, new: Any, redrawn: bool, label: str | None) -> None:
    free = ["shape_attributes"] if redrawn else []
    free += ["region_attributes"] if label is not None else []
    assert without(new, *free) == without(old, *free)
    assert [name for name, _ in new[1]] == [name for name, _ in old[1]]
    points = ("all_points_x", "all_points_y")
    shapes = [member(one, "shape_attributes") for one in (old, new)]
    assert without(shapes[0], *points) == without(shapes[1], *points)
    assert _via_label(new) == (label or _via_label(old))


def _via_label(region: Any) -> str | None:
    given = dict(member(region, "region_attributes")[1])
    value = given.get("class", given.get("species"))
    if isinstance(value, tuple):
        return str(next(name for name, one in value[1] if one))
    return None if value is None else str(value)


# --- Datumaro ------------------------------------------------------------------------------------


def check_datumaro(source: Path, written: Path, touched: Touched) -> None:
    before, after = tree(source), tree(written)
    assert list(before) == list(after)
    known = ["cat", "R&D é"]
    needed = {*touched.relabelled.values(), *(label for *_, label in touched.added)} - {*known}
    apart = ["items", "categories"]
    for name, content in before.items():
        if not name.endswith(".json"):
            assert after[name] == content
            continue
        old, new = content.decode(), after[name].decode()
        assert without_values(old, apart) == without_values(new, apart)
        categories = [json.loads(member_text(one, "categories")) for one in (old, new)]
        labels = [one["label"].pop("labels") for one in categories]
        assert categories[0] == categories[1]
        assert labels[1][:2] == labels[0]
        assert {one["name"] for one in labels[1][2:]} == needed
        names = [one["name"] for one in labels[1]]
        was_list, now_list = (member_text(one, "items") for one in (old, new))
        for was, now, mine in edited_records(was_list, now_list, touched, f"{name}#/items"):
            assert without(now, "annotations") == without(was, "annotations")
            below = mine.below("annotations/", "")
            below.added = mine.added
            given, made = (member(one, "annotations") for one in (was, now))
            _check_annotations(given, made, below, names)


def _check_annotations(old: list[Any], new: list[Any], touched: Touched, names: list[str]) -> None:
    kept = []
    for i, one in enumerate(old):
        facts = dict(one[1])
        own, group = str(i), facts.get("group")
        if group:
            own = str(next(k for k, other in enumerate(old) if _is_shape_of(other, group)))
        is_more = facts["type"] == "polygon" and str(i) != own
        if own not in touched.dropped and not (own in touched.redrawn and is_more):
            kept.append((own, one))
    assert len(new) == len(kept) + len(touched.added)
    for (own, one), now in zip(kept, new, strict=False):
        free = ["rle", "points", "type", "bbox"] if own in touched.redrawn else []
        free += ["label_id"] if own in touched.relabelled else []
        assert without(now, *free) == without(one, *free)
        if own in touched.relabelled:
            assert names[member(now, "label_id")] == touched.relabelled[own]
    for one, (_, _, label) in zip(new[len(kept) :], touched.added, strict=True):
        assert names[member(one, "label_id")] == label


def _is_shape_of(annotation: Any, group: int) -> bool:
    facts = dict(annotation[1])
    return facts.get("group") == group and facts["type"] in ("mask", "polygon")
