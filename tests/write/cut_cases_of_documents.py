"""Generated cases of a JSON document an image: labelme with groups, Supervisely."""

from __future__ import annotations

import base64
import random

import numpy as np
from cut_cases import SIZE, Case, draw_drops, draw_mask, pick
from cut_cases_of_json import NAMES, ODD, Pairs, Style, both, listed, shuffled
from drawn_masks import box_of
from small_image_documents import packed_bitmap, png_base64


def _square(chance: random.Random) -> list[list[float]]:
    x = chance.randrange(8)
    return [[x, 1], [x + 4.5, 1], [x + 4, 6.25], [x, 6]]


def _shape(chance: random.Random, label: str, group: int | None, kind: str) -> Pairs:
    pairs: Pairs = [("label", label), ("points", _square(chance)), ("group_id", group)]
    if kind == "mask":
        mask = draw_mask(chance)
        x, y, w, h = box_of(mask)
        pairs[1] = ("points", [[x, y], [x + w - 1, y + h - 1]])
        patch = mask[y : y + h, x : x + w].astype(np.uint8)
        pairs.append(("mask", png_base64(patch)))
    return shuffled(chance, [*pairs, ("shape_type", kind), ("flags", {})])


def labelme(chance: random.Random) -> Case:
    """Masks of one shape or several, with boxes between them; pictures in the documents."""
    case = Case("labelme", {"a/x.jpg": b"x"}, {"a/x.jpg": b"x"})
    for number in range(chance.randint(1, 2)):
        style, name = Style(chance), f"a/{number} é.json"
        owners: list[int | None] = []
        for mask in range(chance.randint(0, 4)):
            owners += [mask] * chance.choice((1, 1, 2, 3)) + [None] * (chance.random() < 0.3)
        chance.shuffle(owners)
        grouped = {mask: owners.count(mask) > 1 or chance.random() < 0.3 for mask in owners}
        records = [
            _shape(chance, "cat", 3, "rectangle")
            if mask is None
            else _shape(
                chance,
                f"cell ] é {mask % 2}",
                mask if grouped[mask] else None,
                chance.choice(("polygon", "polygon", "mask")),
            )
            for mask in owners
        ]
        masks = [*dict.fromkeys(mask for mask in owners if mask is not None)]
        gone = {masks[k] for k in draw_drops(chance, len(masks))}
        drop = {k for k, mask in enumerate(owners) if mask in gone}
        pairs: Pairs = [("version", "5.8.1"), ("flags", {}), ("shapes", None)]
        pairs += [("imagePath", "x.jpg"), ("imageHeight", SIZE[0]), ("imageWidth", SIZE[1])]
        pairs.append(("imageData", chance.choice((None, base64.b64encode(b"picture").decode()))))
        pairs += [(one, chance.choice(ODD)) for one in dict.fromkeys(pick(chance, NAMES, 1))]
        if chance.random() < 0.5:
            chance.shuffle(pairs)
        case.files[name], case.left[name] = both(
            style, pairs, "shapes", listed(style, records, drop)
        )
        case.drop |= {f"{name}#/shapes/{owners.index(mask)}" for mask in gone}
        case.masks += len(masks)
    return case


def _object(chance: random.Random, number: int) -> Pairs:
    pairs: Pairs = [("id", number), ("classTitle", "cell ] é"), ("tags", [{"name": "a"}])]
    if chance.random() < 0.5:
        mask = draw_mask(chance)
        figure: Pairs = [("geometryType", "bitmap"), ("bitmap", packed_bitmap(mask, box_of(mask)))]
    else:
        points = {"exterior": _square(chance), "interior": [[[1, 1], [2, 1], [2, 2]]]}
        figure = [("geometryType", "polygon"), ("points", points)]
    return shuffled(chance, [*pairs, *figure])


def supervisely(chance: random.Random) -> Case:
    """Documents of a project; one of its datasets may be without masks."""
    meta = {"meta.json": b'{"classes": [], "tags": []}'}
    case = Case("project", {**meta}, {**meta})
    for number in range(chance.randint(1, 2)):
        style, name = Style(chance), f"ds {number}/ann/é.jpg.json"
        records = [_object(chance, 100 * number + k) for k in range(chance.randint(0, 5))]
        drop = draw_drops(chance, len(records))
        size = [("width", SIZE[1]), ("height", SIZE[0])]
        pairs: Pairs = [("description", ""), ("size", shuffled(chance, size)), ("objects", None)]
        pairs += [("tags", []), *((one, chance.choice(ODD)) for one in pick(chance, NAMES, 1))]
        if chance.random() < 0.5:
            chance.shuffle(pairs)
        lists = listed(style, records, drop)
        case.files[name], case.left[name] = both(style, pairs, "objects", lists)
        case.drop |= {f"{name}#/objects/{k}" for k in drop}
        case.masks += len(records)
    return case
