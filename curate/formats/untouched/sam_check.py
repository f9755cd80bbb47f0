"""SA-1B (folders, files, tar archives) and SA-V in all that no edit names."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from functools import partial
from itertools import zip_longest
from pathlib import Path

from curate.formats.edits import Edits
from curate.formats.untouched.json_list_check import (
    ListEdits,
    Token,
    add_to,
    check_document,
    check_list_file,
    edits_by_list,
    elements,
    members,
    tokens,
)
from curate.formats.untouched.tree_check import FileCheck, TreeEdits, as_key, check_tree


def check_sa1b(source: Path, written: Path, edits: Edits) -> str:
    """Compare two SA-1B datasets in all that no edit names."""
    documents = edits_by_list(edits, "#/annotations/")
    for one in edits.add:
        add_to(documents, one.image_key)
    edited: dict[str, FileCheck] = {}
    archives: dict[str, dict[str, dict[str, ListEdits]]] = {}
    for name, records in documents.items():
        lists = {"annotations": records}
        archive, inside, member = name.partition("!")
        if inside and not (source / name).is_file() and name != as_key(source.name):
            archives.setdefault(archive, {})[member] = lists
        else:
            edited[name] = partial(check_list_file, lists)
    for archive, members_ in archives.items():
        edited[archive] = partial(_check_archive, members_)
    return check_tree(source, written, TreeEdits(edited))


def _check_archive(edited: dict[str, dict[str, ListEdits]], source: Path, written: Path) -> str:
    """Compare two tar archives: headers, but for sizes and sums, and contents."""
    try:
        with tarfile.open(source, "r:") as old, tarfile.open(written, "r:") as new:
            for was, now in zip_longest(old, new):
                if was is None or now is None or _facts(was) != _facts(now):
                    return f"{(was or now).name} is not as it was"
                if not was.isfile():
                    continue
                before, after = _content(old, was), _content(new, now)
                lists = edited.get(_normalize_name(was.name))
                if lists is not None:
                    problem = check_document(before, after, was.name, lists)
                else:
                    problem = "" if before == after else f"{was.name} is not as it was"
                if problem:
                    return problem
    except tarfile.TarError as error:
        return f"the archive cannot be read again ({error})"
    return ""


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return b"" if file is None else file.read()


def _facts(member: tarfile.TarInfo) -> dict[str, object]:
    facts = {**member.get_info(), "size": 0, "chksum": 0}
    return {**facts, "extended": {k: v for k, v in member.pax_headers.items() if k != "size"}}


def _normalize_name(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode("utf-8").removeprefix("./")


# --- SA-V ----------------------------------------------------------------------------------------

_FRAMES = "masklet"
_COUNT = "masklet_num"

Masks = dict[tuple[int, int | None], bool]
"""Masks that change, by frame and position (None: the frame itself), and whether they go."""


def check_sav(source: Path, written: Path, edits: Edits) -> str:
    """Compare two SA-V datasets in all that no edit names."""
    masks: dict[str, Masks] = {}
    added: dict[str, int] = {}
    drawn = [key for key, one in edits.change.items() if one.counts is not None]
    for key in (*edits.drop, *drawn):
        name, _, place = key.rpartition(f"#/{_FRAMES}/")
        frame, _, position = place.partition("/")
        at = int(frame), int(position) if position else None
        masks.setdefault(name, {})[at] = key in edits.drop
    for one in edits.add:
        name = one.image_key.rpartition(f"#/{_FRAMES}/")[0]
        added[name] = added.get(name, 0) + 1
    edited: dict[str, FileCheck] = {
        name: partial(_check_video, masks.get(name, {}), added.get(name, 0))
        for name in {*masks, *added}
    }
    return check_tree(source, written, TreeEdits(edited))


def _check_video(masks: Masks, added: int, source: Path, written: Path) -> str:
    try:
        with source.open("rb") as old, written.open("rb") as new:
            return _check_tokens(masks, added, tokens(old), tokens(new))
    except ValueError as error:
        return f"the JSON cannot be read again ({error})"


def _check_tokens(masks: Masks, added: int, old: Iterator[Token], new: Iterator[Token]) -> str:
    frame, touched = -1, {at for at, _ in masks}
    for token in old:
        found = next(new, None)
        if added and token.kind == "end" and token.key.startswith("masklet_"):
            while found is not None and found.kind == "element":  # values of the new masklets
                found = next(new, None)
        is_frame = token.kind == "element" and token.key == _FRAMES
        frame += is_frame
        if token == found and not (is_frame and frame in touched):
            continue
        if found is None or (found.kind, found.key) != (token.kind, token.key):
            return f"{token.key} is not as it was"
        if is_frame:
            problem = _check_frame(frame, token.text, found.text, masks, added)
        elif token.kind == "element" and token.key.startswith("masklet_") and added:
            was, now = elements(token.text), elements(found.text)  # a list a frame
            same = was is not None and now is not None and now[: len(was)] == was
            problem = "" if same else f"{token.key} is not as it was"
        else:
            problem = "" if added and token.key == _COUNT else f"{token.key} is not as it was"
        if problem:
            return problem
    return "" if next(new, None) is None else "there is data after its end"


def _check_frame(frame: int, old: bytes, new: bytes, masks: Masks, added: int) -> str:
    before, after = elements(old), elements(new)
    if before is None or after is None:
        return "" if (frame, None) in masks else f"frame {frame} is not as it was"
    if len(after) < len(before) or (len(after) > len(before) and not added):
        return f"frame {frame} has {len(after)} masks instead of {len(before)}"
    for position, (was, now) in enumerate(zip(before, after, strict=False)):
        goes = masks.get((frame, position))
        if was == now and not goes:
            continue
        sizes = [dict(members(text)).get("size", b"").split() for text in (was, now)]
        if goes is None or was == now or (not goes and sizes[0] != sizes[1]):
            return f"mask {position} of frame {frame} is not as it was"
    return ""
