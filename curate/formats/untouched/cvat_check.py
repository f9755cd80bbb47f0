"""CVAT's XML, event by event: every element, attribute, text, comment and instruction."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, NamedTuple
from xml.parsers import expat

from curate.formats.edits import Change, Edits
from curate.formats.untouched.tree_check import FileCheck, TreeEdits, check_tree

_BLOCK = 1 << 16
_SHAPES = ("mask", "polygon")
PIXELS = {"points", "rle", "left", "top", "width", "height"}
"""Attributes that say which pixels a shape has."""

_CONTAINERS = ("annotations", "image", "labels", *_SHAPES)
_MARK = "#/image/"


class XmlEvent(NamedTuple):
    """Something in a file.

    Attributes:
        kind: "start", "end", "text", "comment", "instruction", "cdata" or "declaration".
        name: Name of the element, target of the instruction; "" for others.
        content: Attributes as they stand, names and values in turn, or the text.
    """

    kind: str
    name: str
    content: tuple[str, ...]


Place = tuple[int, str, int]
"""Position of an image, kind of a shape, and how many of the kind stand before it there."""


@dataclass
class _CvatEdits:
    """Edits of one file: shapes, how many are new by image, labels that are used."""

    drop: set[Place] = field(default_factory=set)
    change: dict[Place, Change] = field(default_factory=dict)
    add: dict[int, int] = field(default_factory=dict)
    labels: set[str] = field(default_factory=set)


def check_cvat(source: Path, written: Path, edits: Edits) -> str:
    """Compare two CVAT files, or folders of them, in all that no edit names."""
    asked: dict[str, _CvatEdits] = {}
    for key in (*edits.drop, *edits.change):
        name, _, place = key.rpartition(_MARK)
        image, kind, number = place.split("/")
        at = int(image), kind, int(number)
        mine = asked.setdefault(name, _CvatEdits())
        if key in edits.drop:
            mine.drop.add(at)
        else:
            mine.change[at] = one = edits.change[key]
            mine.labels |= {one.category} if one.category is not None else set()
    for addition in edits.add:
        name, _, number = addition.image_key.rpartition(_MARK)
        mine = asked.setdefault(name, _CvatEdits())
        mine.add[int(number)] = mine.add.get(int(number), 0) + 1
        mine.labels |= {addition.category} if addition.category is not None else set()
    edited: dict[str, FileCheck] = {name: partial(_check, one) for name, one in asked.items()}
    return check_tree(source, written, TreeEdits(edited))


def _check(asked: _CvatEdits, source: Path, written: Path) -> str:
    try:
        with source.open("rb") as old, written.open("rb") as new:
            return _Comparison(
                asked, _EventReader(read_events(old)), _EventReader(read_events(new))
            ).run()
    except (expat.ExpatError, LookupError, ValueError) as error:
        return f"the XML cannot be read again ({error})"


def read_events(file: BinaryIO) -> Iterator[XmlEvent]:
    """Yield what stands in a file; blanks between elements of a container do not count."""
    parser = expat.ParserCreate()
    parser.buffer_text, parser.ordered_attributes = True, True
    found: deque[XmlEvent] = deque()
    path: list[str] = []

    def take(kind: str, name: str, *content: str) -> None:
        found.append(XmlEvent(kind, name, content))

    def start(name: str, attributes: list[str]) -> None:
        path.append(name)
        take("start", name, *attributes)

    def end(name: str) -> None:
        path.pop()
        take("end", name)

    def text(content: str) -> None:
        if path[-1] in _CONTAINERS:
            content = "".join(content.split())
        if content and found and found[-1].kind == "text":
            content = found.pop().content[0] + content
        if content:
            take("text", "", content)

    parser.XmlDeclHandler = lambda *declared: take("declaration", "", *map(str, declared))
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = text
    parser.CommentHandler = lambda content: take("comment", "", content)
    parser.ProcessingInstructionHandler = lambda name, content: take("instruction", name, content)
    parser.StartCdataSectionHandler = lambda: take("cdata", "", "start")
    parser.EndCdataSectionHandler = lambda: take("cdata", "", "end")
    while block := file.read(_BLOCK):
        parser.Parse(block, False)
        while len(found) > 1:  # text may go on in the next block
            yield found.popleft()
    parser.Parse(b"", True)
    yield from found


class _EventReader:
    """The events of a file one by one, without the text that stands loose in containers.

    Attributes:
        path: Names of the open elements.
        loose: Hash of that text.
    """

    def __init__(self, events: Iterator[XmlEvent]) -> None:
        self._events = events
        self.path: list[str] = []
        self.loose = blake2b()

    def next(self) -> XmlEvent | None:
        """Return the next event; None at the end."""
        for event in self._events:
            if event.kind == "text" and self.path[-1] in _CONTAINERS:
                self.loose.update(event.content[0].encode("utf-8", "surrogatepass"))
                continue
            if event.kind == "start":
                self.path.append(event.name)
            elif event.kind == "end":
                self.path.pop()
            return event
        return None

    def element(self, start: XmlEvent) -> list[XmlEvent]:
        """Return all events of an element that has just begun."""
        found, depth = [start], 1
        while depth:
            event = next(self._events)
            depth += (event.kind == "start") - (event.kind == "end")
            found.append(event)
        self.path.pop()
        return found


class _Comparison:
    """Goes over both files in step."""

    def __init__(self, asked: _CvatEdits, old: _EventReader, new: _EventReader) -> None:
        self.asked, self.old, self.new = asked, old, new
        self.image = -1
        self.counts: Counter[str] = Counter()

    def run(self) -> str:
        """Compare both files; return the first difference as a clause, "" for none."""
        while (event := self.old.next()) is not None:
            place = self._place(event)
            if place is not None and place in self.asked.drop:
                self.old.element(event)
                continue
            found, problem = self._next_event(event)
            change = self.asked.change.get(place) if place is not None else None
            if change is not None and found is not None and found.kind == "start":
                both = self.old.element(event), self.new.element(found)
                problem = problem or ("" if _is_meant(*both, change) else self._where(event))
            elif event != found:
                problem = problem or self._where(event)
            if problem:
                return problem
        if self.new.next() is not None:
            return "there is data after its end"
        same = self.old.loose.digest() == self.new.loose.digest()
        return "" if same else "text between its elements is not as it was"

    def _place(self, event: XmlEvent) -> Place | None:
        """Return which shape begins; none where something else does."""
        path = self.old.path
        if event.kind != "start" or path[:2] != ["annotations", "image"]:
            return None
        if len(path) == 2:
            self.image += 1
            self.counts.clear()
        if len(path) != 3 or event.name not in _SHAPES:
            return None
        self.counts[event.name] += 1
        return self.image, event.name, self.counts[event.name] - 1

    def _next_event(self, event: XmlEvent) -> tuple[XmlEvent | None, str]:
        """Return the next event of the other file, after those of new elements."""
        found = self.new.next()
        if event.kind == "end" and event.name == "image" and len(self.old.path) == 1:
            for _ in range(self.asked.add.get(self.image, 0)):
                if found is None or found.kind != "start" or found.name not in _SHAPES:
                    return found, f"image {self.image} lacks what was added"
                self.new.element(found)
                found = self.new.next()
        while event != found and found is not None and self._is_new_label(found):
            self.new.element(found)
            found = self.new.next()
        return found, ""

    def _is_new_label(self, found: XmlEvent) -> bool:
        is_label = found.kind == "start" and self.new.path[-2:] == ["labels", "label"]
        return is_label and bool(self.asked.labels)

    def _where(self, event: XmlEvent) -> str:
        name = event.name or (self.old.path or [""])[-1]
        image = f" in image {self.image}" if "image" in (*self.old.path, name) else ""
        return f"<{name}>{image} is not as it was"


def _is_meant(old: list[XmlEvent], new: list[XmlEvent], change: Change) -> bool:
    """Whether two shapes differ only in what a change is about."""
    free = PIXELS if change.counts is not None else set[str]()
    free |= {"label"} if change.category is not None else set()
    if change.counts is None and old[0].name != new[0].name:
        return False
    tags = [pairs_of(one[0]) for one in (old, new)]
    if change.category is not None and dict(tags[1]).get("label") != change.category:
        return False
    kept = [[pair for pair in tag if pair[0] not in free] for tag in tags]
    inner = [without_attributes(one[1:-1], change.attributes) for one in (old, new)]
    return kept[0] == kept[1] and inner[0] == inner[1]


def pairs_of(start: XmlEvent) -> list[tuple[str, str]]:
    """Return the attributes of a start tag, in their order."""
    return list(zip(start.content[::2], start.content[1::2], strict=True))


def without_attributes(events: list[XmlEvent], names: Collection[str]) -> list[XmlEvent]:
    """Return a shape's events without ``<attribute>``s of some names."""
    kept: list[XmlEvent] = []
    skips, depth = False, 0
    for event in events:
        if depth == 0 and event.kind == "start" and event.name == "attribute":
            skips = dict(pairs_of(event)).get("name") in names
        depth += (event.kind == "start") - (event.kind == "end")
        kept += [] if skips else [event]
        skips = skips and depth > 0
    return kept
