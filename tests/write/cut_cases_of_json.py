"""Generated cases of JSON: reordered and repeated keys, any blanks, escapes, marks in strings."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
from cut_cases import SIZE, Case, draw_drops, draw_rle, pick
from drawn_masks import rle_of

Pairs = list[tuple[str, Any]]
"""An object: names may stand in it twice."""

ODD: tuple[Any, ...] = (
    *(None, True, -0.0, 1e-7, 12.50, 10**15, "", 'é ] } , " \\ {', "<mask/>", [], [[]]),
    *([1, [2, {"a": [3]}]], {"annotations": [{"id": 1}], "]": "["}, {"": {"": {}}}),
)
NAMES = ("own", "note é", "annotation", "}", "a:b", "meta")


class Style:
    """How a document is written: drawn once for it.

    Args:
        chance: What draws.
    """

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.kind = chance.choice(("minified", "usual", "pretty", "wild"))
        self.newline = chance.choice(("\n", "\r\n"))
        self.ascii = chance.random() < 0.5
        self.escapes = chance.random() < 0.3
        self.bom = chance.random() < 0.2

    def blank(self, depth: int = 0) -> str:
        """Return what stands between two tokens."""
        if self.kind == "pretty":
            return self.newline + " " * depth
        if self.kind == "wild":
            return "".join(self.chance.choice(" \t\r\n") for _ in range(self.chance.randrange(3)))
        return ""

    def name(self, text: str) -> str:
        """Return a name, sometimes with one letter as an escape."""
        plain = json.dumps(text, ensure_ascii=self.ascii)
        if self.escapes and text and self.chance.random() < 0.3 and text[0].isalpha():
            return f'"\\u{ord(text[0]):04x}' + plain[2 if plain[1] == text[0] else 7 :]
        return plain

    def value(self, value: Any, depth: int = 0) -> str:
        """Return a value; lists of pairs are objects."""
        if isinstance(value, Raw):
            return value.text
        if isinstance(value, dict):
            value = list(value.items())
        elif not is_pairs(value):
            if isinstance(value, list):
                return self.joined("[]", [self.value(one, depth + 1) for one in value], depth)
            return json.dumps(value, ensure_ascii=self.ascii)
        colon = ": " if self.kind == "usual" else ":"
        members = [
            self.name(name)
            + self.blank() * (self.kind == "wild")
            + colon
            + self.value(one, depth + 1)
            for name, one in value
        ]
        return self.joined("{}", members, depth)

    def joined(self, brackets: str, items: Sequence[str], depth: int) -> str:
        """Return items in brackets."""
        comma = ", " if self.kind == "usual" else ","
        inner = ""
        for k, item in enumerate(items):
            inner += (comma if k else "") + self.blank(depth + 1) + item
        return brackets[0] + inner + self.blank(depth) + brackets[1]

    def document(self, text: str) -> bytes:
        """Return the bytes of a document."""
        return b"\xef\xbb\xbf" * self.bom + text.encode("utf-8") + self.blank().encode()


class Raw:
    """A value that is text already."""

    def __init__(self, text: str) -> None:
        self.text = text


def is_pairs(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, tuple) for one in value)


def shuffled(chance: random.Random, pairs: Pairs) -> Pairs:
    """Return pairs with unknown ones among them, in any order, some unknown name twice."""
    more: Pairs = [(chance.choice(NAMES), chance.choice(ODD)) for _ in range(chance.randrange(3))]
    twice = [pair for pair in pairs[:1] if chance.random() < 0.1]  # and then with the same value
    mixed = [*pairs, *more, *twice]
    if chance.random() < 0.7:
        chance.shuffle(mixed)
    return mixed


def listed(style: Style, records: list[Pairs], drop: set[int], depth: int = 1) -> tuple[Raw, Raw]:
    """Return a list with all records, and one with those that stay; as they are written once."""
    texts = [style.value(one, depth + 1) for one in records]
    left = [text for k, text in enumerate(texts) if k not in drop]
    return Raw(style.joined("[]", texts, depth)), Raw(style.joined("[]", left, depth))


def both(style: Style, pairs: Pairs, key: str, lists: tuple[Raw, Raw]) -> tuple[bytes, bytes]:
    """Return a document with one list and with another, all else written once."""
    pairs = [(name, one if name == key else Raw(style.value(one, 1))) for name, one in pairs]
    names = [style.name(name) for name, _ in pairs]
    made = []
    for listed_ in lists:
        texts = [
            f"{name}:{(listed_ if pair[0] == key else pair[1]).text}"
            for name, pair in zip(names, pairs, strict=True)
        ]
        made.append(style.document(style.joined("{}", texts, 0)))
    return made[0], made[1]


def _box(chance: random.Random) -> list[Any]:
    return [chance.randrange(9), 1.5, 2, 3]


def _segmentation(chance: random.Random) -> Any:
    if chance.random() < 0.5:
        return draw_rle(chance)
    x = chance.randrange(8)
    return [[x, 1, x + 4.5, 1, x + 4, 6.25, x, 6]]


def _annotations(chance: random.Random, images: int, crowd: bool) -> list[Pairs]:
    made = []
    for k in range(chance.randint(0, 7)):
        pairs: Pairs = [
            ("id", 100 - 7 * k),
            ("image_id", 1 + chance.randrange(images)),
            ("category_id", 1),
            ("segmentation", _segmentation(chance)),
            ("bbox", _box(chance)),
            ("area", 12.0),
        ]
        pairs += [("iscrowd", 0)] if crowd else []
        made.append(shuffled(chance, pairs))
    return made


def _coco(chance: random.Random, name: str, is_lvis: bool) -> Case:
    style, images = Style(chance), chance.randint(1, 3)
    records = _annotations(chance, images, not is_lvis)
    drop = draw_drops(chance, len(records))
    known: Pairs = [
        ("images", [shuffled(chance, _image(k, is_lvis)) for k in range(1, images + 1)]),
        ("annotations", None),
        ("categories", [_category(is_lvis)]),
        ("info", chance.choice(ODD)),
        ("licenses", [{"annotations": []}]),
    ]
    if chance.random() < 0.7:
        chance.shuffle(known)
    known += [(one, chance.choice(ODD)) for one in dict.fromkeys(pick(chance, NAMES, 2))]
    whole, left = both(style, known, "annotations", listed(style, records, drop))
    keys = {f"{name}#/annotations/{k}" for k in drop}
    return Case(name, {"": whole}, {"": left}, keys, len(records))


def _image(number: int, is_lvis: bool) -> Pairs:
    pairs: Pairs = [("id", number), ("height", SIZE[0]), ("width", SIZE[1])]
    if is_lvis:
        lists: Pairs = [("neg_category_ids", []), ("not_exhaustive_category_ids", [1])]
        return [*pairs, ("coco_url", f"http://x/{number}.jpg"), *lists]
    return [*pairs, ("file_name", f"a/{number} é.jpg")]


def _category(is_lvis: bool) -> dict[str, Any]:
    made: dict[str, Any] = {"id": 1, "name": "cell ] é"}
    more = {"synset": "cell.n.01", "frequency": "r", "image_count": 1, "instance_count": 2}
    return made | (more if is_lvis else {"supercategory": ""})


def coco(chance: random.Random) -> Case:
    return _coco(chance, "instances.json", False)


def lvis(chance: random.Random) -> Case:
    return _coco(chance, "lvis_v1.json", True)


def results(chance: random.Random) -> Case:
    """A list without anything around it."""
    style = Style(chance)
    records = [
        shuffled(
            chance,
            [
                ("image_id", chance.choice((1, 1, 5, 42))),
                ("category_id", 1),
                ("score", round(chance.random(), 3)),
                ("segmentation", draw_rle(chance)),
            ],
        )
        for _ in range(chance.randint(1, 7))
    ]
    drop = draw_drops(chance, len(records))
    whole, left = (style.document(one.text) for one in listed(style, records, drop, 0))
    keys = {f"results.json#/{k}" for k in drop}
    return Case("results.json", {"": whole}, {"": left}, keys, len(records))


def _sam(chance: random.Random, **ids: Any) -> Pairs:
    return shuffled(
        chance,
        [
            *ids.items(),
            ("segmentation", draw_rle(chance)),
            ("bbox", _box(chance)),
            ("area", 9),
            ("predicted_iou", 0.9),
            ("stability_score", 0.97),
            ("crop_box", [0, 0, SIZE[1], SIZE[0]]),
            ("point_coords", [[3.5, 2.0]]),
        ],
    )


def sa1b(chance: random.Random) -> Case:
    """Some JSON files and what lies beside them."""
    case = Case("sa1b", {"one/readme.txt": b"x\r\n"}, {"one/readme.txt": b"x\r\n"})
    for number in range(1, chance.randint(2, 3)):
        style, name = Style(chance), f"one/sa_{number}.json"
        records = [_sam(chance, id=number * 100 + k) for k in range(chance.randint(0, 5))]
        drop = draw_drops(chance, len(records))
        image: Pairs = [("image_id", number), ("width", SIZE[1]), ("height", SIZE[0])]
        image.append(("file_name", f"sa_{number}.jpg"))
        pairs: Pairs = [("image", shuffled(chance, image)), ("annotations", None)]
        pairs += [(one, chance.choice(ODD)) for one in dict.fromkeys(pick(chance, NAMES, 1))]
        if chance.random() < 0.5:
            chance.shuffle(pairs)
        whole, left = both(style, pairs, "annotations", listed(style, records, drop))
        case.files[name], case.left[name] = whole, left
        case.drop |= {f"{name}#/annotations/{k}" for k in drop}
        case.masks += len(records)
    return case


def amg_json(chance: random.Random) -> Case:
    """Lists of records, one file an image."""
    case = Case("rle", {}, {})
    for number in range(chance.randint(1, 2)):
        style, name = Style(chance), f"{number} é.json"
        records = [_sam(chance) for k in range(chance.randint(1, 5))]
        drop = draw_drops(chance, len(records))
        whole, left = (style.document(one.text) for one in listed(style, records, drop, 0))
        case.files[name], case.left[name] = whole, left
        case.drop |= {f"{name}#/{k}" for k in drop}
        case.masks += len(records)
    return case


def sav(chance: random.Random) -> Case:
    """A video; a mask that goes leaves an empty one."""
    style, name = Style(chance), "sav_000001_manual.json"
    count, frames = chance.randint(1, 3), chance.randint(1, 3)
    masks = [[draw_rle(chance) for _ in range(count)] for _ in range(frames)]
    drop = draw_drops(chance, count * frames)
    nothing = dict(rle_of(np.zeros(SIZE, bool)))
    texts = [[style.value(one, 3) for one in frame] for frame in masks]
    empty = json.dumps({"size": list(SIZE), "counts": nothing["counts"]})
    kept = [
        [empty if t * count + j in drop else text for j, text in enumerate(frame)]
        for t, frame in enumerate(texts)
    ]
    lists = [
        Raw(style.joined("[]", [style.joined("[]", frame, 2) for frame in some], 1))
        for some in (texts, kept)
    ]
    pairs: Pairs = [
        ("video_id", "sav_000001"),
        ("video_height", float(SIZE[0])),
        ("video_width", float(SIZE[1])),
        ("video_frame_count", 4.0 * frames),
        ("masklet", None),
        ("masklet_id", list(range(count))),
        ("masklet_type", ["manual"] * count),
        ("masklet_num", count),
        (chance.choice(NAMES), chance.choice(ODD)),
    ]
    if chance.random() < 0.5:
        chance.shuffle(pairs)
    whole, left = both(style, pairs, "masklet", (lists[0], lists[1]))
    keys = {f"{name}#/masklet/{k // count}/{k % count}" for k in drop}
    return Case(name, {"": whole}, {"": left}, keys, count * frames)
