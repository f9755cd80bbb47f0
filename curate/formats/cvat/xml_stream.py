"""Streaming reader of CVAT's XML, with byte offsets."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from xml.parsers import expat

from curate.errors import SourceError

KINDS = ("mask", "polygon")
"""Shapes that are masks."""

IMAGE = ["annotations", "image"]
"""Path of the element of an image."""

MOST_DEPTH = 50
"""Elements within elements; CVAT has seven. Each level is kept until it ends."""

MOST_TAG_BYTES = 32 << 20
"""Bytes of a tag: expat goes over one again with each piece of the file."""

_CHUNK = 1 << 18
_HEAD = 1 << 20  # how much of a file is looked at to tell the format


@dataclass
class CvatShape:
    """A shape of an image.

    Attributes:
        kind: ``mask`` or ``polygon``.
        ordinal: How many of its kind stand before it in its image.
        attributes: Those of its tag.
        values: Text of the ``<attribute>``s in it, by name.
    """

    kind: str
    ordinal: int
    attributes: dict[str, str]
    values: dict[str, str] = field(default_factory=dict)


@dataclass
class Image:
    """An image of a file.

    Attributes:
        attributes: Those of its tag.
        shapes: Its masks and polygons.
        others: How many other things people put on it, by tag: boxes, ellipses, tags.
    """

    attributes: dict[str, str]
    shapes: list[CvatShape] = field(default_factory=list)
    others: dict[str, int] = field(default_factory=dict)


@dataclass
class Index:
    """Index of the images of a file.

    Attributes:
        starts: First byte of each ``<image>``.
        ends: End of each, exclusive.
        repeated: Which have the name of another, by position.
        names: Names of all of them.
        unsized: Names of those that state no width or height, by position.
        labels: Names of the labels that the file declares.
        encoding: As the XML declaration says; "" where it says nothing.
        tracks: Whether there are tracks, as in CVAT for video.
    """

    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    repeated: list[int] = field(default_factory=list)
    names: tuple[str, ...] = ()
    unsized: dict[int, str] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    encoding: str = ""
    tracks: bool = False


class _Stop(Exception):
    """No error: the answer is known."""


class Walk:
    """Feeds a file to expat and keeps the path of open elements; a base for what is looked for."""

    def __init__(self, where: str, encoding: str | None = None) -> None:
        self.where = where
        self.path: list[str] = []
        self.encoding = ""
        self.parser = expat.ParserCreate(encoding)
        self.parser.buffer_text = True
        self.parser.XmlDeclHandler = self._check_declaration
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.EntityDeclHandler = self._refuse
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end

    @property
    def at(self) -> int:
        """Byte at which the present event begins."""
        return self.parser.CurrentByteIndex

    def run(self, file: BinaryIO) -> None:
        """Walk over a file from where it stands to its end."""
        fed = 0
        try:
            while data := file.read(_CHUNK):
                self.parser.Parse(data, False)
                fed += len(data)
                if fed - self.parser.CurrentByteIndex > MOST_TAG_BYTES:
                    what = f"a tag has over {MOST_TAG_BYTES:,} bytes, which CVAT never writes"
                    raise SourceError(what, f"{self.where}, line {self.parser.CurrentLineNumber}")
            self.parser.Parse(b"", True)
        except expat.ExpatError as error:
            what = f"the XML is broken ({expat.ErrorString(error.code)})"
            if not file.read(1) and error.code in _CUT:
                what = "the XML is cut off"
            place = f"{self.where}, line {error.lineno}, byte {self.parser.ErrorByteIndex}"
            raise SourceError(what, place, "mend it or get the file again") from error
        except (LookupError, ValueError) as error:  # an encoding that Python does not know
            raise SourceError(f"its encoding cannot be read ({error})", self.where) from error

    def _check_declaration(self, version: str, encoding: str | None, standalone: int) -> None:
        self.encoding = encoding or ""
        if self.encoding.lower().startswith(("utf-16", "utf16", "ucs", "utf-32")):
            raise SourceError("the XML is not UTF-8", self.where, "save it as UTF-8")

    def _refuse(self, *declared: Any) -> None:
        do = "remove it if you trust the file"
        raise SourceError("it has a document type, which CVAT never writes", self.where, do)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self.path.append(name)
        if len(self.path) > MOST_DEPTH:
            what = f"elements are nested over {MOST_DEPTH} deep, which CVAT never writes"
            raise SourceError(what, f"{self.where}, line {self.parser.CurrentLineNumber}")
        self.open(name, attributes)

    def _end(self, name: str) -> None:
        self.close(name)
        self.path.pop()

    def open(self, name: str, attributes: dict[str, str]) -> None:
        """Take the beginning of an element; the path ends with it."""

    def close(self, name: str) -> None:
        """Take the end of an element; the path still ends with it."""


_CUT = {
    expat.errors.codes[expat.errors.XML_ERROR_NO_ELEMENTS],
    expat.errors.codes[expat.errors.XML_ERROR_UNCLOSED_TOKEN],
    expat.errors.codes[expat.errors.XML_ERROR_PARTIAL_CHAR],
    expat.errors.codes[expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION],
}


class _Look(Walk):
    """Stops as soon as it is clear whether the file is CVAT for images or for video."""

    found = False
    versioned = False
    video = False

    def open(self, name: str, attributes: dict[str, str]) -> None:
        if self.path == ["annotations", "track"]:
            self.versioned, self.video = False, True
        if self.path[0] != "annotations" or self.video:
            raise _Stop
        if self.path == IMAGE:
            self.found = "name" in attributes or "id" in attributes
            raise _Stop
        if self.path == ["annotations", "version"]:
            self.versioned = True


def looks_like_cvat(path: Path) -> bool:
    """Return whether a file begins like CVAT for images."""
    walk = _look(path)
    return walk.found or walk.versioned


def looks_like_video(path: Path) -> bool:
    """Return whether a file begins like CVAT for video: with a track."""
    return _look(path).video


def _look(path: Path) -> _Look:
    walk = _Look(path.name)
    with open(path, "rb") as file:
        head = file.read(_HEAD)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        with contextlib.suppress(SourceError, _Stop):
            walk.run(io.BytesIO(head))
    return walk


def states_no_size(attributes: Mapping[str, str]) -> bool:
    """Return whether an image leaves its size open: a side is missing, empty or 0."""
    sides = [attributes.get(side, "").strip() for side in ("width", "height")]
    return any(side.strip("0") == "" for side in sides)


class _Indexing(Walk):
    def __init__(self, where: str) -> None:
        super().__init__(where)
        self.index = Index()
        self.names: dict[str, int] = {}
        self.label: list[str] | None = None
        self.labels: list[str] = []
        self.parser.CharacterDataHandler = self._text

    def open(self, name: str, attributes: dict[str, str]) -> None:
        if len(self.path) == 1 and name != "annotations":
            what = f"its root is <{name[:40]}>, not <annotations>"
            raise SourceError(what, self.where, "export it as CVAT for images 1.1")
        if self.path == IMAGE:
            self.index.starts.append(self.at)
            called = attributes.get("name", "")
            if states_no_size(attributes):
                self.index.unsized[len(self.index.starts) - 1] = called
            if called in self.names:
                first = self.names[called]
                self.index.repeated += [] if first in self.index.repeated[-1:] else [first]
                self.index.repeated.append(len(self.index.starts) - 1)
            else:
                self.names[called] = len(self.index.starts) - 1
        elif self.path == ["annotations", "track"]:
            self.index.tracks = True
        elif self.path[1:2] == ["meta"] and self.path[-3:] == ["labels", "label", "name"]:
            self.label = []

    def close(self, name: str) -> None:
        if self.path == IMAGE:
            self.index.ends.append(self.at)
        elif self.label is not None:
            self.labels.append("".join(self.label))
            self.label = None

    def _text(self, text: str) -> None:
        if self.label is not None:
            self.label.append(text)


def index_file(path: Path) -> Index:
    """Find where the images of a file stand.

    Raises:
        SourceError: It is no sound XML of CVAT for images; says at which line and byte.
    """
    walk = _Indexing(str(path))
    with open(path, "rb") as file:
        walk.run(file)
        index = walk.index
        if index.tracks and not index.starts:
            what = "it holds tracks and no images: it is CVAT for video"
            raise SourceError(what, str(path), "read it with --format cvat-video")
        places = zip(index.starts, index.ends, strict=True)
        index.ends = [tag_ends(file, start, end)[1] for start, end in places]
    index.labels, index.encoding = tuple(dict.fromkeys(walk.labels)), walk.encoding
    index.repeated, index.names = sorted(set(index.repeated)), tuple(walk.names)
    return index


class _Reading(Walk):
    def __init__(self, where: str, encoding: str) -> None:
        super().__init__(where, encoding or "utf-8")
        self.images: list[Image] = []
        self.counts: dict[str, int] = {}
        self.shape: CvatShape | None = None
        self.text: list[str] | None = None
        self.name = ""
        self.parser.CharacterDataHandler = self._text

    def open(self, name: str, attributes: dict[str, str]) -> None:
        if self.path == IMAGE:
            self.images.append(Image(attributes))
            self.counts = dict.fromkeys(KINDS, 0)
        elif self.path[:-1] == IMAGE and name in KINDS:
            self.shape = CvatShape(name, self.counts[name], attributes)
            self.counts[name] += 1
            self.images[-1].shapes.append(self.shape)
        elif self.path[:-1] == IMAGE:
            others = self.images[-1].others
            others[name] = others.get(name, 0) + 1
        elif self.shape is not None and name == "attribute" and len(self.path) == 4:
            self.text, self.name = [], attributes.get("name", "")

    def close(self, name: str) -> None:
        if self.text is not None and self.shape is not None and len(self.path) == 4:
            self.shape.values[self.name] = "".join(self.text)
            self.text = None
        elif len(self.path) == 3:
            self.shape = None

    def _text(self, text: str) -> None:
        if self.text is not None:
            self.text.append(text)


def read_images(data: bytes, encoding: str, path: Path) -> list[Image]:
    """Return the images that stand in a stretch of a file."""
    walk = _Reading(str(path), encoding)
    walk.run(io.BytesIO(b"<annotations>" + data + b"</annotations>"))
    return walk.images


_QUOTED = re.compile(rb""">|"[^"]*(?:"|\Z)|'[^']*(?:'|\Z)""")


def tag_end(file: BinaryIO, at: int) -> int:
    """Return where the tag that begins at ``at`` ends; a > in quotes does not end it."""
    size = 256
    while True:
        file.seek(at)
        data = file.read(size)
        for found in _QUOTED.finditer(data):
            if found[0] == b">":
                return at + found.end()
        if len(data) < size:
            return at + len(data)
        size *= 8


def tag_ends(file: BinaryIO, begin: int, closing: int) -> tuple[int, int]:
    """Return where the start tag of an element ends, and where the element does.

    Args:
        file: The file.
        begin: Where its start tag begins.
        closing: What :attr:`Walk.at` was at its end: where its end tag begins, or behind the
            element where it has none.
    """
    head = tag_end(file, begin)
    file.seek(head - 2)
    return head, head if file.read(2) == b"/>" else tag_end(file, closing)


def blank_start(file: BinaryIO, at: int) -> int:
    """Return where the blanks before ``at`` begin, if a tag ends there; else ``at``."""
    size = 256
    while True:
        begin = max(0, at - size)
        file.seek(begin)
        bare = file.read(at - begin).rstrip(b" \t\r\n")
        if bare:
            return begin + len(bare) if bare.endswith(b">") else at
        if begin == 0:
            return at
        size *= 8
