"""CVAT's XML for video, track by track: every element, attribute, text, comment and instruction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from xml.parsers import expat

from curate.formats.edits import Change, Edits
from curate.formats.untouched.cvat_check import (
    PIXELS,
    XmlEvent,
    pairs_of,
    read_events,
    without_attributes,
)
from curate.formats.untouched.tree_check import FileCheck, TreeEdits, check_tree

_SHAPES = ("mask", "polygon")
_MARK = "#/track/"
Place = tuple[int, str, int]
"""Position of a track, kind of a shape, and how many of the kind stand before it there."""


@dataclass
class _VideoEdits:
    """Edits of one file: shapes, how many tracks are new, whether labels may be."""

    drop: set[Place] = field(default_factory=set)
    change: dict[Place, Change] = field(default_factory=dict)
    added: int = 0
    declares: bool = False


def check_cvat_video(source: Path, written: Path, edits: Edits) -> str:
    """Compare two files of CVAT for video, or folders of them, in all that no edit names."""
    asked: dict[str, _VideoEdits] = {}
    for key in (*edits.drop, *edits.change):
        name, _, place = key.rpartition(_MARK)
        track, kind, number = place.split("/")
        mine, at = asked.setdefault(name, _VideoEdits()), (int(track), kind, int(number))
        if key in edits.drop:
            mine.drop.add(at)
        else:
            mine.change[at] = edits.change[key]
            mine.declares |= edits.change[key].category is not None
            mine.declares |= bool(edits.change[key].attributes)
    for addition in edits.add:
        mine = asked.setdefault(addition.image_key.rpartition("#/frame/")[0], _VideoEdits())
        mine.added += 1
        mine.declares = True
    edited: dict[str, FileCheck] = {name: partial(_check, one) for name, one in asked.items()}
    return check_tree(source, written, TreeEdits(edited))


def _check(asked: _VideoEdits, source: Path, written: Path) -> str:
    try:
        with source.open("rb") as old, written.open("rb") as new:
            return _compare(asked, _groups(read_events(old)), _groups(read_events(new)))
    except (expat.ExpatError, LookupError, ValueError) as error:
        return f"the XML cannot be read again ({error})"


def _groups(events: Iterator[XmlEvent]) -> Iterator[list[XmlEvent]]:
    """Yield the events of each child of the root together, and what stands between alone."""
    depth, group = 0, list[XmlEvent]()
    for event in events:
        loose = depth == 1 and event.kind == "text" and not event.content[0].strip()
        depth -= event.kind == "end"
        if not loose:
            group.append(event)
        depth += event.kind == "start"
        if group and (depth < 2 or event.kind == "declaration"):
            yield group
            group = []


def _compare(
    asked: _VideoEdits, old: Iterator[list[XmlEvent]], new: Iterator[list[XmlEvent]]
) -> str:
    number = -1
    for group in old:
        is_track = group[0].kind == "start" and group[0].name == "track" and len(group) > 1
        number += is_track
        if is_track and _goes(asked, number, group):
            continue
        found = next(new, None)
        if group[0].kind == "end" and group[0].name == "annotations":
            for _ in range(asked.added):
                if found is None or found[0].name != "track" or len(found) < 2:
                    return "the file lacks a track that was added"
                found = next(new, None)
        if found is None:
            return "the file ends too early"
        if is_track:
            problem = _track(asked, number, group, found)
        elif group[0].name == "meta" and asked.declares:
            problem = "" if _is_within(group, found) else "<meta> is not as it was"
        else:
            problem = "" if group == found else f"<{group[0].name}> is not as it was"
        if problem:
            return problem
    return "" if next(new, None) is None else "there is data after its end"


def _is_within(old: list[XmlEvent], new: list[XmlEvent]) -> bool:
    """Whether all of one list stands in another, in its order."""
    left = iter(new)
    return all(any(event == found for found in left) for event in old)


@dataclass
class _Shape:
    """A mask or polygon of a track: its place there and its events."""

    place: Place | None
    events: list[XmlEvent]

    @property
    def tag(self) -> dict[str, str]:
        return dict(pairs_of(self.events[0]))

    @property
    def is_seen(self) -> bool:
        tag = self.tag
        seen = tag.get("keyframe", "1").strip() != "0" and tag.get("outside", "0").strip() != "1"
        return seen and tag.get("frame", "").strip().split(".")[0].isdigit()


def _parts(number: int, group: list[XmlEvent]) -> list[_Shape]:
    """Return a track's start, its shapes, what stands between them, and its end."""
    found, depth, counts = [_Shape(None, [group[0]])], 0, Counter[str]()
    part: list[XmlEvent] = []
    for event in group[1:-1]:
        depth += (event.kind == "start") - (event.kind == "end")
        part.append(event)
        if depth == 0:
            first, place = part[0], None
            if first.kind == "start" and first.name in _SHAPES:
                place = number, first.name, counts[first.name]
                counts[first.name] += 1
            found.append(_Shape(place, part))
            part = []
    return [*found, _Shape(None, [group[-1]])]


def _goes(asked: _VideoEdits, number: int, group: list[XmlEvent]) -> bool:
    """Whether all of a track that is seen is dropped, and something is."""
    if not any(track == number for track, _, _ in asked.drop):
        return False
    seen = [one.place for one in _parts(number, group) if one.place and one.is_seen]
    return all(place in asked.drop for place in seen)


def _track(asked: _VideoEdits, number: int, old: list[XmlEvent], new: list[XmlEvent]) -> str:
    """Compare a track with what it became."""
    mine = {place: one for place, one in asked.change.items() if place[0] == number}
    redrawn = any(one.counts is not None for one in mine.values())
    sides = _parts(number, old), _parts(number, new)
    if len(sides[0]) != len(sides[1]):
        return f"track {number} has more or fewer shapes than it should"
    labels = {one.category for one in mine.values() if one.category is not None}
    for was, now in zip(*sides, strict=True):
        free: set[str] = set()
        change = mine.get(was.place, Change()) if was.place else Change()
        if was.place is None:
            is_head = was.events[0].kind == "start" and was.events[0].name == "track"
            free = {"label"} if is_head and labels else set()
        elif was.place in asked.drop:
            if now.tag.get("outside") != "1":
                return f"track {number} still shows a shape that was dropped"
            free = {"outside"}
        if was.place and redrawn and (change.counts is not None or not _stays(was, asked)):
            free = free | PIXELS
        if not _is_same(was.events, now.events, free, change):
            return f"<{was.events[0].name}> in track {number} is not as it was"
        if free == {"label"} and dict(pairs_of(now.events[0])).get("label") not in labels:
            return f"track {number} has not the label that it should have"
    return ""


def _stays(shape: _Shape, asked: _VideoEdits) -> bool:
    """Whether a shape keeps its pixels where another of its track is redrawn.

    What closes a track becomes a shape of the kind that the one before it became.
    """
    return shape.is_seen and shape.place not in asked.drop


def _is_same(old: list[XmlEvent], new: list[XmlEvent], free: set[str], change: Change) -> bool:
    """Whether two parts differ only in some attributes of the first tag, and what is noted."""
    if old[0].kind != new[0].kind or (old[0].name != new[0].name and not free & PIXELS):
        return False
    if old[0].kind != "start":
        return old == new
    kept = [[pair for pair in pairs_of(one[0]) if pair[0] not in free] for one in (old, new)]
    inner = [without_attributes(one[1:-1], change.attributes) for one in (old, new)]
    return kept[0] == kept[1] and inner[0] == inner[1]
