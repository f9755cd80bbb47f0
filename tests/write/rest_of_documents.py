"""The rest of datasets with a JSON document an image: the text of what no decision is about."""

from __future__ import annotations

import base64
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from drawn_masks import rasterised
from json_text import without_values
from mask_files import tree
from PIL import Image
from rest import Touched
from rest_of_json import check_glue, member, texts

Drawn = tuple[str, bytes]
"""A mask's label and its pixels."""


def _masks(shapes: list[dict[str, Any]], size: tuple[int, int]) -> dict[int, Drawn]:
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
    for first, (label, pixels) in _masks(shapes, size).items():
        key = str(first)
        if key not in touched.dropped:
            redrawn = touched.redrawn.get(key)
            pixels = pixels if redrawn is None else redrawn.tobytes()
            wanted[touched.relabelled.get(key, label), pixels] += 1
    wanted.update((str(label), mask.tobytes()) for _, mask, label in touched.added)
    assert Counter(_masks(made, size).values()) == wanted
    like = [json.loads(one) for key, one in zip(map(str, range(len(before))), before, strict=True)]
    kinds = {tuple(one) for one in like} or {tuple(json.loads(one)) for one in new_ones}
    assert {tuple(json.loads(one)) for one in new_ones} <= kinds
    if not whole["shapes"]:
        assert len(texts(member(new, "shapes"))) >= len(touched.added)
    else:
        check_glue(member(old, "shapes"), member(new, "shapes"))
