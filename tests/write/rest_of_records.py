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
