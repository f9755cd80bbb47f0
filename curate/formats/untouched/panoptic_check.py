"""COCO panoptic, compared in all that no edit names: the JSON's pieces, and the PNGs of ids."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from curate.formats.edits import Edits
from curate.formats.untouched.json_list_check import (
    Token,
    elements,
    members,
    same_members,
    tokens,
)
from curate.formats.untouched.png_check import IdsTouched, check_png_ids
from curate.formats.untouched.tree_check import (
    FileCheck,
    TreeEdits,
    as_key,
    check_bytes,
    check_tree,
)

_MARK, _SEGMENT = "#/annotations/", "/segments_info/"


@dataclass
class _SegmentsTouched:
    """Edits of one annotation, by the number of the segment."""

    drop: set[int] = field(default_factory=set)
    drawn: set[int] = field(default_factory=set)
    named: set[int] = field(default_factory=set)
    added: int = 0
    png: str = ""
    ids: IdsTouched = field(default_factory=IdsTouched)


def check_panoptic(source: Path, written: Path, edits: Edits) -> str:
    """Compare two COCO panoptic datasets; the written one of a JSON alone is a folder."""
    if edits.is_empty and source.is_dir():
        return check_tree(source, written, TreeEdits())
    by_name = _by_annotation(edits)
    names = {key.partition(_MARK)[0] for key in by_name}
    name = names.pop() if source.is_dir() and len(names) == 1 else as_key(source.name)
    touched = {int(key.partition(_MARK)[2]): one for key, one in by_name.items()}
    file = source / name if source.is_dir() else source
    now = written if written.is_file() else written / name
    try:
        _find_ids(file, touched)
        if problem := _check_json(touched, edits.categories, file, now):
            return problem
    except ValueError as error:
        return f"the JSON cannot be read again ({error})"
    pngs = {one.png: one.ids for one in touched.values() if one.png}
    if source.is_dir():
        edited: dict[str, FileCheck] = {name: _accept}
        for path in source.rglob("*") if pngs else ():
            for png, ids in pngs.items():
                if path.name == Path(png).name and path.as_posix().endswith(f"/{png}"):
                    key = as_key(path.relative_to(source).as_posix())
                    edited[key] = partial(_check_png, ids)
        return check_tree(source, written, TreeEdits(edited))
    return _check_pngs(source, written, pngs) if written.is_dir() else ""


def _accept(source: Path, written: Path) -> str:
    return ""  # compared before


def _check_png(ids: IdsTouched, source: Path, written: Path) -> str:
    """Compare PNGs of ids; another file of the same name does not change at all."""
    return check_bytes(source, written) and check_png_ids(ids, source, written)


def _by_annotation(edits: Edits) -> dict[str, _SegmentsTouched]:
    found: dict[str, _SegmentsTouched] = {}
    for key in edits.drop:
        image, _, number = key.rpartition(_SEGMENT)
        found.setdefault(image, _SegmentsTouched()).drop.add(int(number))
    for key, one in edits.change.items():
        image, _, number = key.rpartition(_SEGMENT)
        mine = found.setdefault(image, _SegmentsTouched())
        if one.ignore:
            mine.drop.add(int(number))
        if one.counts is not None:
            mine.drawn.add(int(number))
        if one.category is not None:
            mine.named.add(int(number))
    for new in edits.add:
        found.setdefault(new.image_key, _SegmentsTouched()).added += 1
    return found


def _find_ids(file: Path, touched: dict[int, _SegmentsTouched]) -> None:
    """Look up the PNG and the ids of the segments that edits name."""
    with file.open("rb") as opened:
        for number, token in enumerate(_annotations(tokens(opened))):
            if number not in touched:
                continue
            mine, value = touched[number], json.loads(token.text)
            mine.png = value.get("file_name", "")
            ids = [_id_of(one) for one in value["segments_info"]]
            stays = {one for k, one in enumerate(ids) if k not in mine.drop}
            mine.ids = IdsTouched(
                {ids[k] for k in mine.drop} - stays - {-1},
                {ids[k] for k in mine.drawn} - {-1},
                mine.added,
            )


def _id_of(segment: object) -> int:
    value = segment.get("id") if type(segment) is dict else None
    return value if type(value) is int else -1


def _annotations(found: Iterator[Token]) -> Iterator[Token]:
    return (one for one in found if one.kind == "element" and one.key == "annotations")


def _check_json(
    touched: dict[int, _SegmentsTouched], names: frozenset[str], source: Path, written: Path
) -> str:
    with source.open("rb") as old, written.open("rb") as new:
        left, number = tokens(new), -1
        for was in tokens(old):
            now = next(left, None)
            if was.kind == "end" and was.key == "categories":
                while now is not None and now.kind == "element":
                    if json.loads(dict(members(now.text)).get("name", b"null")) not in names:
                        return "categories has an element more than is meant"
                    now = next(left, None)
            if was.kind == "element" and was.key == "annotations":
                number += 1
                if number in touched and now is not None and (now.kind, now.key) == was[:2]:
                    if problem := _check_annotation(touched[number], was.text, now.text):
                        return f"annotation {number}: {problem}"
                    continue
            if now != was:
                return f"{was.key or 'the JSON'} is not as it was"
        return "" if next(left, None) is None else "there is data after its end"


def _check_annotation(touched: _SegmentsTouched, old: bytes, new: bytes) -> str:
    was, now = members(old), members(new)
    if [name for name, _ in was] != [name for name, _ in now]:
        return "its fields are not as they were"
    for (name, before), (_, after) in zip(was, now, strict=True):
        if name != "segments_info":
            if before != after:
                return f"{name} is not as it was"
            continue
        left = [k for k in enumerate(elements(before) or []) if k[0] not in touched.drop]
        found = elements(after) or []
        if len(found) != len(left) + touched.added:
            return f"it has {len(found)} segments, not {len(left) + touched.added}"
        cut = touched.drawn or touched.added  # others may lose pixels to these
        for (k, one), other in zip(left, found, strict=False):
            free = {"bbox", "area"} if cut else set()
            free |= {"category_id"} if k in touched.named else set()
            if one != other and not same_members(one, other, frozenset(free), {}):
                return f"segment {k} is not as it was"
    return ""


def _check_pngs(source: Path, written: Path, pngs: dict[str, IdsTouched]) -> str:
    """Compare the PNGs of a JSON that was given alone, wherever they stand beside it."""
    for path in sorted((written / source.stem).rglob("*.png")):
        name = path.relative_to(written / source.stem)
        places = [source.parent / below / name for below in (source.stem, "panoptic", "masks", "")]
        places.append(source.parent.parent / source.stem / name)
        checks = [
            check_png_ids(pngs[str(name)], place, path)
            if str(name) in pngs
            else check_bytes(place, path)
            for place in places
            if place.is_file()
        ]
        if "" not in checks:
            return f"{name}: {checks[0] if checks else 'it was not there before'}"
    return ""
