"""Changed and added shapes of one CVAT file, as replacements of byte ranges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path

from curate.errors import CallError
from curate.formats.cvat.element_places import (
    Element,
    Place,
    Places,
    as_text,
    declare_attributes,
    edit_tag,
    find_places,
    open_empty_tag,
    quote_attribute,
    rename_end_tag,
    spans,
)
from curate.formats.cvat.mask_shapes import parse_int, write_box_rle
from curate.formats.cvat.xml_stream import blank_start, states_no_size
from curate.formats.edits import Addition, Change
from curate.formats.format import convert_read_errors
from curate.formats.new_pixels import (
    PixelTally,
    image_size,
    new_runs,
    ragged_error,
    wants_polygon,
)

Piece = tuple[int, int, bytes]
"""Bytes [start, end) of a file, and what stands there instead."""


@dataclass
class FileEdits:
    """Edits of one file.

    Attributes:
        drop: Shapes that go.
        change: Shapes that change, each with its source key.
        add: New shapes, each with the position of its image.
    """

    drop: set[Place] = field(default_factory=set)
    change: dict[Place, tuple[str, Change]] = field(default_factory=dict)
    add: list[tuple[int, Addition]] = field(default_factory=list)

    def find(self, path: Path) -> Places:
        """Find all that is edited; see :func:`find_places`."""
        return find_places(path, self.drop | self.change.keys(), {image for image, _ in self.add})


class FileWriter:
    """Works out the pieces of one file.

    Args:
        path: The file.
        edits: What changes in it.
        places: Where that stands.
        masks: How new pixels are stored; see :class:`curate.formats.edits.Edits`.
        tally: Counts how they were.
        ids: The numbers for new shapes' ``mask_id``, shared by all files of a source.
        sizes: Height and width by name of images whose picture tells them and the file does not.
    """

    def __init__(
        self,
        path: Path,
        edits: FileEdits,
        places: Places,
        masks: str,
        tally: PixelTally,
        ids: Iterator[int],
        sizes: Mapping[str, tuple[int, int]],
    ) -> None:
        self.path, self.edits, self.places = path, edits, places
        self.masks, self.tally, self.ids = masks, tally, ids
        self.encoding, self.sizes = places.encoding, sizes
        self.new_labels: list[str] = []
        changed: list[Change | Addition] = [one for _, one in edits.change.values()]
        changed += [one for _, one in edits.add]
        self.names = list(dict.fromkeys(name for one in changed for name in one.attributes))

    def pieces(self) -> list[Piece]:
        """Return the replacements of byte ranges, in order, not overlapping.

        Raises:
            CallError: The file cannot hold what is asked.
        """
        dropped = [self.places.shapes[place] for place in self.edits.drop]
        found = [(start, end, b"") for start, end in spans(self.path, dropped)]
        for place, (key, change) in self.edits.change.items():
            found.extend(self._change_shape(place, key, change))
        by_image: dict[int, list[Addition]] = {}
        for image, addition in self.edits.add:
            by_image.setdefault(image, []).append(addition)
        for image, additions in by_image.items():
            found.append(self._add_shapes(image, additions))
        found.extend(self._describe_attributes())
        if self.new_labels:
            found.append(self._declare_labels())
        return sorted(found, key=lambda piece: piece[:2])

    # --- changed shapes --------------------------------------------------------------------------

    def _change_shape(self, place: Place, key: str, change: Change) -> Iterator[Piece]:
        kind = place[1]
        values: dict[str, str] = {}
        if change.category is not None:
            values["label"] = self._label(change.category, key)
        if change.counts is not None:
            size = self._size(place[0])
            kind, pixels = self._pixels(change.counts, size, kind, key)
            values |= pixels
        yield from self._edit_shape(place, kind, values, change.attributes)

    def _edit_shape(
        self, place: Place, kind: str, values: Mapping[str, str], attributes: Mapping[str, str]
    ) -> Iterator[Piece]:
        """Return the pieces that give a shape another kind, values and attributes."""
        element = self.places.shapes[place]
        tag = edit_tag(self._bytes(element.begin, element.head), kind, values, self.encoding)
        inner = self._attributes(element, attributes)
        if element.is_closed and inner:
            end = self._blank(element) + b"</" + kind.encode() + b">"
            yield element.begin, element.end, open_empty_tag(tag) + inner[0][2] + end
            return
        yield element.begin, element.head, tag
        yield from inner
        if kind != place[1] and not element.is_closed:
            end = self._bytes(element.tail, element.end)
            yield element.tail, element.end, rename_end_tag(end, kind)

    def _attributes(self, element: Element, values: Mapping[str, str]) -> list[Piece]:
        """Return the pieces that set ``<attribute>``s in a shape."""
        pieces: list[Piece] = []
        left = dict(values)
        for child in element.children if values else ():
            self._settle(child)
            name = child.attributes.get("name", "")
            if name in values:
                left.pop(name, None)
                text = as_text(values[name], self.encoding)
                piece = (child.head, child.tail, text)
                if child.is_closed:
                    tag = open_empty_tag(self._bytes(child.begin, child.end))
                    piece = (child.begin, child.end, tag + text + b"</attribute>")
                pieces.append(piece)
        if left:
            at, blank, after = element.head, self._inner_blank(self._blank(element)), b""
            if element.children:
                at, blank = element.children[-1].end, self._blank(element.children[-1])
            elif element.head == element.tail and not element.is_closed:
                after = self._blank(element)
            pieces.append((at, at, self._inner(left, blank) + after))
        return pieces

    def _inner(self, values: Mapping[str, str], blank: bytes) -> bytes:
        """Return new ``<attribute>``s, each with blanks before it."""
        made = b""
        for name, value in values.items():
            named, text = quote_attribute(name, self.encoding), as_text(value, self.encoding)
            made += blank + b"<attribute name=" + named + b">" + text + b"</attribute>"
        return made

    # --- new shapes ------------------------------------------------------------------------------

    def _add_shapes(self, image: int, additions: list[Addition]) -> Piece:
        """Return the piece that puts shapes behind all else in an image."""
        element = self.places.images[image]
        own = self._blank(element)
        child = element.children[-1] if element.children else self.places.sample[1]
        blank = self._blank(child) if child else deeper(own)
        made = b"".join(blank + self._shape(image, one, blank) for one in additions)
        if element.is_closed:
            tag = open_empty_tag(self._bytes(element.begin, element.end))
            return element.begin, element.end, tag + made + own + b"</image>"
        at = element.tail - len(self._blank_before(element.tail))
        return at, at, made + (own if element.head == element.tail else b"")

    def _shape(self, image: int, addition: Addition, blank: bytes) -> bytes:
        """Return a new shape; ``blank`` is what stands before it."""
        key = addition.image_key
        size = image_size(self._size(image), addition.height, addition.width, key)
        label = self._label(addition.category, key)
        most = "polygon" if self.places.kinds["polygon"] > self.places.kinds["mask"] else "mask"
        kind, pixels = self._pixels(addition.counts, size, most, key)
        values = {"label": label, "source": "manual", "occluded": "0", **pixels, "z_order": "0"}
        attributes = dict(addition.attributes)
        if self.places.largest_id is not None:
            attributes = {"mask_id": str(next(self.ids))} | attributes
        tag = b"".join(
            b" " + name.encode() + b"=" + quote_attribute(value, self.encoding)
            for name, value in values.items()
        )
        inner = self._inner(attributes, self._inner_blank(blank))
        end = blank if inner else b""
        name = kind.encode()
        return b"<" + name + tag + b">" + inner + end + b"</" + name + b">"

    # --- labels and pixels -----------------------------------------------------------------------

    def _label(self, category: str | None, key: str) -> str:
        """Return the label of a shape; one that the file does not declare is declared later."""
        declared = self.places.labels
        if category is None:
            known = dict.fromkeys(declared or [label for label in self.places.used if label])
            if len(known) != 1:
                what = f"the added mask has no category, and the file has {len(known)} labels"
                raise CallError(what, key, "say which one it gets with --category NAME")
            return next(iter(known))
        if not category:
            raise CallError("the category is empty", key, "give it a name")
        if declared and category not in (*declared, *self.new_labels):
            self.new_labels.append(category)
        return category

    def _declare_labels(self) -> Piece:
        """Return the piece that declares new labels, written as the last one that there is."""
        last = self.places.label
        if last is None:
            raise AssertionError("a file without labels declares none")
        name = next((one for one in last.children if one.attributes[""] == "name"), None)
        # What the old label says of attributes holds for the new one: its shapes carry them too.
        before = self._blank(name) if name else b""
        holder = self._holder(last)
        rest = self._attributes_of(last, self.places.declared[-1][1])
        rest = rest and (self._blank(holder) if holder else before) + rest
        end = self._blank_before(last.tail) if name else b""
        made = b""
        for label in self.new_labels:
            text = as_text(label, self.encoding)
            made += self._blank(last) + b"<label>" + before + b"<name>" + text + b"</name>"
            made += rest + end + b"</label>"
        return last.end, last.end, made

    def _describe_attributes(self) -> Iterator[Piece]:
        """Yield the pieces that declare new attributes: CVAT drops those that no label declares."""
        for label, names in self.places.declared if self.names else ():
            holder, made = self._holder(label), self._attributes_of(label, names)
            if holder and made != self._bytes(holder.begin, holder.end):
                yield holder.begin, holder.end, made
            elif not holder and made and label.children:
                last = label.children[-1]
                if not last.end:
                    self._settle(last)
                yield last.end, last.end, self._blank(last) + made

    def _holder(self, label: Element) -> Element | None:
        """Return the ``<attributes>`` of a label."""
        found = [one for one in label.children if one.attributes[""] == "attributes"]
        for one in found:
            if not one.end:
                self._settle(one)
        return found[-1] if found else None

    def _attributes_of(self, label: Element, declared: AbstractSet[str]) -> bytes:
        """Return a label's ``<attributes>`` with all that shapes get; nothing where it has none."""
        new = [name for name in self.names if name not in declared]
        holder = self._holder(label)
        before = holder.begin if holder else (label.children or [label])[-1].begin
        old = self._bytes(holder.begin, holder.end) if holder else b"<attributes/>"
        if not new:
            return old if holder else b""
        return declare_attributes(old, new, deeper(self._blank_before(before)), self.encoding)

    def _pixels(
        self, counts: bytes, size: tuple[int, int], kind: str, key: str
    ) -> tuple[str, dict[str, str]]:
        """Return the kind of shape that new pixels become, and its attributes.

        ``kind`` is what the shape was, or what a new one would like to be.
        """
        runs = new_runs(counts, size, key)
        must = self.masks == "polygon"
        wanted = wants_polygon(self.masks, kind)
        rings = self.tally.choose_rings(counts, size, wanted=wanted, must=must)
        if rings is None and must:
            raise ragged_error(key, "use --masks same")
        if rings is None:
            return "mask", write_box_rle(runs)
        ring = rings[0]
        points = zip(ring[::2], ring[1::2], strict=True)
        return "polygon", {"points": ";".join(f"{x:.2f},{y:.2f}" for x, y in points)}

    def _size(self, image: int) -> tuple[int, int]:
        """Return an image's height and width as file or picture say; 0 where neither does."""
        attributes = self.places.images[image].attributes
        if states_no_size(attributes):
            return self.sizes.get(attributes.get("name", ""), (0, 0))
        return parse_int(attributes.get("height", "")) or 0, parse_int(
            attributes.get("width", "")
        ) or 0

    # --- bytes of the file -----------------------------------------------------------------------

    def _bytes(self, start: int, end: int) -> bytes:
        with convert_read_errors(self.path), open(self.path, "rb") as file:
            file.seek(start)
            return file.read(end - start)

    def _settle(self, element: Element) -> None:
        with convert_read_errors(self.path), open(self.path, "rb") as file:
            element.settle(file)

    def _blank(self, element: Element) -> bytes:
        """Return the blanks before an element."""
        return self._blank_before(element.begin)

    def _blank_before(self, at: int) -> bytes:
        with convert_read_errors(self.path), open(self.path, "rb") as file:
            start = blank_start(file, at)
        return self._bytes(start, at)

    def _inner_blank(self, own: bytes) -> bytes:
        """Return the blank before an ``<attribute>``; ``own`` is that before its shape."""
        shape = self.places.sample[0]
        return self._blank(shape.children[0]) if shape and shape.children else deeper(own)


def deeper(blank: bytes) -> bytes:
    """Return the blanks before an element as they would be before a child of it."""
    return blank + b"  " if b"\n" in blank else b""
