"""Byte ranges of what is edited in CVAT's XML, and edits of single tags that keep all else."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from curate.errors import CallError
from curate.formats.cvat.mask_shapes import parse_int
from curate.formats.cvat.xml_stream import IMAGE, KINDS, Walk, blank_start, tag_ends
from curate.formats.format import convert_read_errors

Place = tuple[int, str, int]
"""Position of an image, kind of a shape, and how many of the kind stand before it there."""

_NAMED = ("labels", "label", "attributes", "attribute", "name")
"""Where the name of an attribute stands that a label declares."""

PIXELS = {"mask": ("rle", "left", "top", "width", "height"), "polygon": ("points",)}
"""The attributes of each kind of shape that say which pixels it has."""

_ATTRIBUTE = re.compile(rb"""(\s+)([^\s=/>"']+)(\s*=\s*)("[^"]*"|'[^']*')""")
_END = re.compile(rb"\s*/?>\Z")
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


@dataclass(slots=True)
class Element:
    """An element of a file.

    Attributes:
        begin: Where its start tag begins.
        head: Where its start tag ends, exclusive.
        tail: Where its end tag begins; ``head`` where it has none (``<mask/>``).
        end: Where it ends, exclusive.
        attributes: Those of its tag.
        children: Of a shape the ``<attribute>``s in it, of a label its children, of an image the
            last of its children.
    """

    begin: int
    attributes: dict[str, str]
    head: int = 0
    tail: int = 0
    end: int = 0
    children: list[Element] = field(default_factory=list)

    @property
    def is_closed(self) -> bool:
        """Whether the start tag is the whole element."""
        return self.head == self.end

    def settle(self, file: BinaryIO) -> None:
        """Find the bytes at which its tags end; the walk only knows where they begin."""
        self.head, self.end = tag_ends(file, self.begin, self.tail)
        self.tail = self.head if self.head == self.end else self.tail


@dataclass
class Places:
    """Byte ranges and settings of a file that is to be edited.

    Attributes:
        shapes: The shapes that were asked for, in the order of the file.
        images: The images that were asked for or that hold such shapes, by position.
        label: The last of the labels that the file declares; None where it declares none.
        labels: Names of the labels that the file declares.
        declared: Their elements, each with the names of the attributes that it declares.
        used: Labels of its masks and polygons.
        kinds: How many masks and how many polygons there are.
        largest_id: The largest ``mask_id`` of its shapes; None where none has one.
        sample: A shape with ``<attribute>``s in it and a child of an image, to copy the style of.
        encoding: As the XML declaration says; "" where it says nothing.
    """

    shapes: dict[Place, Element] = field(default_factory=dict)
    images: dict[int, Element] = field(default_factory=dict)
    label: Element | None = None
    labels: list[str] = field(default_factory=list)
    declared: list[tuple[Element, set[str]]] = field(default_factory=list)
    used: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    largest_id: int | None = None
    sample: tuple[Element | None, Element | None] = (None, None)
    encoding: str = ""


class _Finding(Walk):
    def __init__(
        self,
        where: str,
        shapes: AbstractSet[Place],
        images: AbstractSet[int],
        container: list[str],
    ) -> None:
        super().__init__(where)
        self.container = container
        self.places = Places()
        self.wanted = shapes
        self.wanted_images = images | {image for image, _, _ in shapes}
        self.image = -1
        self.inside = False
        self.counts: dict[str, int] = {}
        self.elements: list[Element | None] = []  # what is known of the open ones
        self.text: list[str] | None = None

    def open(self, name: str, attributes: dict[str, str]) -> None:
        element: Element | None = None
        depth = len(self.path)
        if self.inside:
            if depth == 3:
                element = self._child(name, attributes)
            elif depth == 4 and name == "attribute" and self.path[2] in KINDS:
                element = self._attribute(attributes)
        elif depth == 2 and self.path == self.container:
            self.inside = True
            self.image += 1
            self.counts = dict.fromkeys(KINDS, 0)
            if self.image in self.wanted_images:
                element = self.places.images[self.image] = Element(self.at, attributes)
        elif depth > 3 and self.path[1] == "meta":
            element = self._in_labels(name, attributes)
        self.elements.append(element)

    def _child(self, name: str, attributes: dict[str, str]) -> Element | None:
        """Take a child of an image; most are of no interest."""
        places, image, wanted = self.places, self.elements[-1], False
        if name in KINDS:
            place = (self.image, name, self.counts[name])
            self.counts[name] += 1
            places.kinds[name] += 1
            places.used[attributes.get("label", "")] += 1
            wanted = place in self.wanted
        if not wanted and image is None and places.sample[0] and places.sample[1]:
            return None
        element = Element(self.at, attributes)
        if wanted:
            places.shapes[place] = element
        if image is not None:
            image.children = [element]
        places.sample = (places.sample[0], places.sample[1] or element)
        return element

    def _attribute(self, attributes: dict[str, str]) -> Element | None:
        """Take an ``<attribute>`` of a shape."""
        shape, places = self.elements[-1], self.places
        if attributes.get("name") == "mask_id":
            self._listen()
        if shape is None:
            return None
        element = Element(self.at, attributes)
        shape.children.append(element)
        places.sample = (places.sample[0] or shape, places.sample[1])
        return element

    def _in_labels(self, name: str, attributes: dict[str, str]) -> Element | None:
        if self.path[-2:] == ["labels", "label"]:
            self.places.label = Element(self.at, attributes)
            self.places.declared.append((self.places.label, set()))
            return self.places.label
        if tuple(self.path[-5:]) == _NAMED and self.places.declared:
            self._listen()
            return None
        if self.path[-3:-1] == ["labels", "label"] and self.places.label is not None:
            element = Element(self.at, {"": name})
            self.places.label.children.append(element)
            if name == "name":
                self._listen()
            return element
        return None

    def close(self, name: str) -> None:
        element = self.elements.pop()
        if len(self.path) == 2:
            self.inside = False
        if element is not None:
            element.tail = self.at
        if self.text is None or name not in ("attribute", "name"):
            return
        text, self.text = "".join(self.text), None
        self.parser.CharacterDataHandler = None
        number = parse_int(text)
        if name == "name" and tuple(self.path[-5:]) == _NAMED:
            self.places.declared[-1][1].add(text)
        elif name == "name":
            self.places.labels.append(text)
        elif number is not None:
            self.places.largest_id = max(self.places.largest_id or 0, number)

    def _listen(self) -> None:
        """Gather the text of the element that has just begun: all other text costs time only."""
        self.text = []
        self.parser.CharacterDataHandler = self.text.append


def find_places(
    path: Path,
    shapes: AbstractSet[Place],
    images: AbstractSet[int],
    container: list[str] = IMAGE,
) -> Places:
    """Walk over a file once and note all that editing it takes.

    Args:
        path: The file.
        shapes: The shapes to find.
        images: Positions of images to find.
        container: Path of the elements that hold shapes: images, or tracks in their place.

    Raises:
        CallError: One of them is not there.
        SourceError: It is no sound XML.
    """
    walk = _Finding(str(path), shapes, images, container)
    with convert_read_errors(path), open(path, "rb") as file:
        walk.run(file)
        places = walk.places
        places.encoding = walk.encoding
        missing = len(shapes) - len(places.shapes)
        if missing:
            raise CallError(f"{missing} of the masks to change are not in it", str(path))
        if not images <= places.images.keys():
            raise CallError(f"it has no image {max(images) + 1}", str(path))
        label = [places.label] if places.label else []
        samples = [one for one in places.sample if one]
        for element in [*places.shapes.values(), *places.images.values(), *label, *samples]:
            element.settle(file)
        for element in label:
            for child in element.children:
                child.settle(file)
    return places


def spans(path: Path, elements: Iterable[Element]) -> list[tuple[int, int]]:
    """Return the bytes of elements together with the blanks before each, in order.

    Args:
        path: The file.
        elements: Some of its elements, none inside another.
    """
    with convert_read_errors(path), open(path, "rb") as file:
        return sorted((blank_start(file, one.begin), one.end) for one in elements)


def as_text(text: str, encoding: str) -> bytes:
    """Return text as it stands between tags.

    Args:
        text: Any text that XML can hold.
        encoding: The file's; "" for UTF-8.

    Raises:
        CallError: It holds a character that XML cannot hold.
    """
    if _NO_XML.search(text):
        raise CallError("it holds a character that XML has not", repr(text[:80]), "leave it out")
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\r", "&#13;")):
        text = text.replace(character, entity)
    return text.encode(encoding or "utf-8", "xmlcharrefreplace")


def quote_attribute(value: str, encoding: str, quote: bytes = b'"') -> bytes:
    """Return text as the value of an attribute, with its quotes.

    Args:
        value: Any text that XML can hold.
        encoding: The file's; "" for UTF-8.
        quote: Which quotes to put around it.

    Raises:
        CallError: It holds a character that XML cannot hold.
    """
    inner = as_text(value, encoding).replace(b"\n", b"&#10;").replace(b"\t", b"&#9;")
    return quote + inner.replace(quote, b"&quot;" if quote == b'"' else b"&apos;") + quote


def edit_tag(tag: bytes, kind: str, values: Mapping[str, str], encoding: str) -> bytes:
    """Return the start tag of a shape with other values, everything else as it was.

    Args:
        tag: The tag, from ``<`` to ``>``.
        kind: ``mask`` or ``polygon``: what the shape becomes.
        values: Attributes to set. They stand where they stood; those that the tag does not have
            stand in place of the pixels of the other kind, or at its end.
        encoding: The file's; "" for UTF-8.
    """
    found = list(_ATTRIBUTE.finditer(tag))
    left = dict(values)
    here = {match[2].decode("latin-1") for match in found}
    fresh = [name for name in values if name not in here]
    other = {name for one in KINDS if one != kind for name in PIXELS[one]}
    end = _END.search(tag)
    pieces = [b"<", kind.encode()]
    at = found[0].start() if found else (end.start() if end else len(tag))
    for match in found:
        name = match[2].decode("latin-1")
        pieces.append(tag[at : match.start()])
        at = match.end()
        quote = match[4][:1]
        if name in left:
            value = quote_attribute(left.pop(name), encoding, quote)
            pieces += (match[1], match[2], match[3], value)
        elif name not in other:
            pieces.append(match[0])
        else:
            for new in fresh:
                value = quote_attribute(left.pop(new), encoding, quote)
                pieces += (match[1], new.encode(), match[3], value)
            fresh = []
    pieces += [b" " + new.encode() + b"=" + quote_attribute(left[new], encoding) for new in fresh]
    return b"".join(pieces) + tag[at:]


def open_empty_tag(tag: bytes) -> bytes:
    """Return a start tag that was the whole element (``<a/>``) as one with an end tag to come."""
    return re.sub(rb"\s*/>\Z", b">", tag)


def rename_end_tag(tag: bytes, kind: str) -> bytes:
    """Return an end tag with another name."""
    return re.sub(rb"\A</[^\s>]+", b"</" + kind.encode(), tag)


def declare_attributes(
    attributes: bytes, names: Iterable[str], blank: bytes, encoding: str
) -> bytes:
    """Return the ``<attributes>`` of a label with more attributes declared: texts, empty at first.

    Args:
        attributes: The element as it is.
        names: What to declare.
        blank: What stands before each new one.
        encoding: The file's; "" for UTF-8.
    """
    made = b"".join(
        blank + b"<attribute><name>" + as_text(name, encoding) + b"</name><mutable>False</mutable>"
        b"<input_type>text</input_type><default_value></default_value><values></values></attribute>"
        for name in names
    )
    if attributes.endswith(b"/>"):
        return open_empty_tag(attributes) + made + b"</attributes>"
    at = attributes.rindex(b"</")
    body = attributes[:at].rstrip()
    return body + made + attributes[len(body) :]
