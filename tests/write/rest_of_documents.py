"""The rest of datasets with a JSON document an image: the text of what no decision is about."""

from __future__ import annotations

import base64
import io
import json
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from drawn_masks import rasterised
from json_text import members, without_values
from mask_files import tree
from PIL import Image
from rest import Touched
from rest_of_json import check_glue, member, texts

Drawn = tuple[str, bytes]
"""A mask's label and its pixels."""


def labelme_masks(shapes: list[dict[str, Any]], size: tuple[int, int]) -> dict[int, Drawn]:
    """Return the masks of a labelme document, by the number of their first shape."""
    pixels: dict[int, np.ndarray] = {}
    for first, numbers in _groups(shapes).items():
        pixels[first] = np.zeros(size, bool)
        for number in numbers:
            pixels[first] |= _shape_pixels(shapes[number], size)
    return {first: (shapes[first]["label"], one.tobytes()) for first, one in pixels.items()}


def _groups(shapes: list[dict[str, Any]]) -> dict[int, list[int]]:
    seen: dict[tuple[str, int], int] = {}
    found: dict[int, list[int]] = {}
    for number, one in enumerate(shapes):
        if one["shape_type"] not in ("polygon", "mask"):
            continue
        first = number
        if one["group_id"] is not None:
            first = seen.setdefault((one["label"], one["group_id"]), number)
        found.setdefault(first, []).append(number)
    return found


def _shape_pixels(shape: dict[str, Any], size: tuple[int, int]) -> np.ndarray:
    if shape["shape_type"] == "polygon":
        return rasterised([[value for point in shape["points"] for value in point]], size)
    (x1, y1), (x2, y2) = (map(int, point) for point in shape["points"])
    mask = np.zeros(size, bool)
    with Image.open(io.BytesIO(base64.b64decode(shape["mask"]))) as image:
        mask[y1 : y2 + 1, x1 : x2 + 1] = np.asarray(image)
    return mask


def check_labelme(source: Path, written: Path, touched: Touched) -> None:
    before, after = tree(source), tree(written)
    assert list(after) == list(before)
    for name, content in before.items():
        own = touched.below(f"{name}#/shapes/", name)
        if not own:
            assert after[name] == content
        else:
            _check_document(content.decode(), after[name].decode(), own)


def _check_document(old: str, new: str, touched: Touched) -> None:
    assert without_values(new, ["shapes"]) == without_values(old, ["shapes"])
    whole = json.loads(old)
    size = whole["imageHeight"], whole["imageWidth"]
    before, after = texts(member(old, "shapes")), texts(member(new, "shapes"))
    shapes, made = [json.loads(one) for one in before], [json.loads(one) for one in after]
    edited = {*touched.dropped, *touched.redrawn, *touched.relabelled}
    groups = {n: str(first) for first, numbers in _groups(shapes).items() for n in numbers}
    stays = [one for number, one in enumerate(before) if groups.get(number) not in edited]
    new_ones = list(after)
    for one in stays:
        new_ones.remove(one)
    in_order = iter(after)
    assert all(one in in_order for one in stays)
    wanted: Counter[Drawn] = Counter()
    for first, (label, pixels) in labelme_masks(shapes, size).items():
        key = str(first)
        if key not in touched.dropped:
            redrawn = touched.redrawn.get(key)
            pixels = pixels if redrawn is None else redrawn.tobytes()
            wanted[touched.relabelled.get(key, label), pixels] += 1
    wanted.update((str(label), mask.tobytes()) for _, mask, label in touched.added)
    assert Counter(labelme_masks(made, size).values()) == wanted
    like = [json.loads(one) for key, one in zip(map(str, range(len(before))), before, strict=True)]
    kinds = {tuple(one) for one in like} or {tuple(json.loads(one)) for one in new_ones}
    assert {tuple(json.loads(one)) for one in new_ones} <= kinds
    if not whole["shapes"]:
        assert len(texts(member(new, "shapes"))) >= len(touched.added)
    else:
        check_glue(member(old, "shapes"), member(new, "shapes"))


# --- Supervisely ---------------------------------------------------------------------------------


def figure_pixels(figure: dict[str, Any], size: tuple[int, int]) -> np.ndarray:
    if figure["geometryType"] == "bitmap":
        x, y = figure["bitmap"]["origin"]
        data = zlib.decompress(base64.b64decode(figure["bitmap"]["data"]))
        with Image.open(io.BytesIO(data)) as image:
            pixels = np.asarray(image.convert("RGBA"))[..., 3] > 0
        mask = np.zeros(size, bool)
        mask[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
        return mask
    exterior, *interior = (
        [value for point in ring for value in point]
        for ring in (figure["points"]["exterior"], *figure["points"]["interior"])
    )
    mask = rasterised([exterior], size)
    return mask & ~rasterised(interior, size) if interior else mask


FIGURE = ("bitmap", "points", "geometryType")


def check_supervisely(source: Path, written: Path, touched: Touched) -> None:
    before, after = tree(source), tree(written)
    assert list(after) == list(before)
    meta = json.loads(after["meta.json"])
    shapes = {one["title"]: one["shape"] for one in meta["classes"]}
    ids = {one["title"]: one.get("id") for one in meta["classes"]}
    known = {one["title"] for one in json.loads(before["meta.json"])["classes"]}
    needed = {*touched.relabelled.values(), *(str(label) for *_, label in touched.added)}
    assert set(shapes) == known | needed
    old, new = (tree_of["meta.json"].decode() for tree_of in (before, after))
    assert without_values(new, ["classes"]) == without_values(old, ["classes"])
    made: list[int] = []
    for name, content in before.items():
        own = touched.below(f"{name}#/objects/", name)
        if own:
            made += _check_objects(content.decode(), after[name].decode(), own, shapes, ids)
        elif name != "meta.json":
            assert after[name] == content
    assert sorted(made) == list(range(901, 901 + len(made)))


def named(text: str) -> list[tuple[str, str]]:
    return [(name, text[i:j]) for name, i, j in members(text)]


def _check_objects(
    old: str, new: str, touched: Touched, shapes: dict[str, str], ids: dict[str, Any]
) -> list[int]:
    assert without_values(new, ["objects"]) == without_values(old, ["objects"])
    sides = json.loads(old)["size"]
    size = sides["height"], sides["width"]
    before, after = texts(member(old, "objects")), texts(member(new, "objects"))
    left = [(str(k), text) for k, text in enumerate(before) if str(k) not in touched.dropped]
    assert len(after) == len(left) + len(touched.added)
    for (key, text), now in zip(left, after, strict=False):
        was, one = json.loads(text), json.loads(now)
        edited = [*FIGURE] if {key} & {*touched.redrawn, *touched.relabelled} else []
        edited += ["classTitle", "classId"] if key in touched.relabelled else []
        kept = [[pair for pair in named(t) if pair[0] not in edited] for t in (text, now)]
        assert kept[0] == kept[1]
        if key not in touched.redrawn and one["geometryType"] == was["geometryType"]:
            assert all(one.get(name) == was.get(name) for name in FIGURE)
        if edited:
            drawn = touched.redrawn.get(key)
            wanted = figure_pixels(was, size) if drawn is None else drawn
            assert (figure_pixels(one, size) == wanted).all()
            _check_class(one, touched.relabelled.get(key, was["classTitle"]), shapes, ids)
    check_glue(member(old, "objects"), member(new, "objects"))
    made = [json.loads(text) for text in after[len(left) :]]
    for one, (_, mask, label) in zip(made, touched.added, strict=True):
        assert (figure_pixels(one, size) == mask).all()
        _check_class(one, str(label), shapes, ids)
    return [one["id"] for one in made]


def _check_class(
    figure: dict[str, Any], label: str, shapes: dict[str, str], ids: dict[str, Any]
) -> None:
    assert figure["classTitle"] == label
    assert shapes[label] in ("any", figure["geometryType"])
    if "classId" in figure and ids[label] is None:
        assert figure["classId"] is None
