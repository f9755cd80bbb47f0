"""CVAT, both ways: CVAT for images 1.1 out, that or CVAT's COCO export back.

An export comes back as the zip that CVAT gives, as the folder of one, or as the file itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from curate.curation.audits import DATASET_VERSION
from curate.decisions.reviews import Reviews
from curate.exchange.archives import files_in, head_of, is_zip, names_in
from curate.exchange.coming_back import join
from curate.exchange.cvat_writing import write_cvat
from curate.exchange.labels import safe_label
from curate.exchange.readers import ImportedDecisions, ImportOptions, Reader
from curate.exchange.shapes import UNREAD, ImportedImage, ImportedMask, Tool, Wanted, draw_of
from curate.exchange.tool_coco import coco_pictures
from curate.exchange.views import needs_pictures
from curate.exchange.writers import QueueWriter
from curate.formats.base import PART_BYTES, reading
from curate.formats.cvat import read_shape
from curate.formats.cvat_masks import whole
from curate.formats.cvat_xml import CvatShape as XmlShape
from curate.formats.cvat_xml import Image, Index, index_file, looks_like_cvat, read_images
from curate.formats.json_shape import shape_of_bytes

_LOOK = 50  # how many files of an export are looked at to tell what it is


def _is_xml(name: str) -> bool:
    return name.lower().endswith(".xml")


def _is_json(name: str) -> bool:
    return name.lower().endswith(".json") and PurePosixPath(name).parent.name == "annotations"


def _matches(path: Path) -> bool:
    if path.is_file() and not is_zip(path):
        try:
            return looks_like_cvat(path)
        except OSError:
            return False
    names = names_in(path)
    xml, coco = ([n for n in names if kind(n)][:_LOOK] for kind in (_is_xml, _is_json))
    if any(b"<annotations" in head_of(path, name) for name in xml):
        return True
    return any(shape_of_bytes(head_of(path, name)).looks_coco for name in coco)


def _pictures(path: Path, wanted: Wanted) -> Iterator[ImportedImage]:
    if path.is_file() and not is_zip(path):
        yield from xml_pictures(path, path.name, wanted)
        return
    names = names_in(path)
    kind = _is_xml if any(map(_is_xml, names)) else _is_json
    with files_in(path, kind) as files:
        for name, file in files:
            if kind is _is_json:
                yield from coco_pictures(file, f"{path.name}, {name[:80]}", wanted)
            elif looks_like_cvat(file):
                yield from xml_pictures(file, f"{path.name}, {name[:80]}", wanted)


def xml_pictures(path: Path, name: str, wanted: Wanted) -> Iterator[ImportedImage]:
    """Yield the images of a file of CVAT for images 1.1, with its masks and polygons.

    Args:
        path: The file.
        name: What it is called, for messages.
        wanted: Whose masks are read.

    Raises:
        SourceError: The XML is broken.
    """
    with reading(path):
        index = index_file(path)
        with path.open("rb") as file:
            for start, end in _blocks(index):
                file.seek(start)
                block = read_images(file.read(end - start), index.encoding, path)
                pictures = [_picture(image) for image in block]
                flags = wanted(pictures)
                for picture, image, read in zip(pictures, block, flags, strict=True):
                    picture.shapes.extend(_shape(shape, picture, read) for shape in image.shapes)
                yield from pictures


def _blocks(index: Index) -> Iterator[tuple[int, int]]:
    """Yield stretches of the file with some images each."""
    at, count = 0, len(index.starts)
    while at < count:
        stop = at + 1
        while stop < count and index.ends[stop] - index.starts[at] < PART_BYTES:
            stop += 1
        yield index.starts[at], index.ends[stop - 1]
        at = stop


def _picture(image: Image) -> ImportedImage:
    height, width = (whole(image.attributes.get(side, "")) or 0 for side in ("height", "width"))
    others = sum(image.others.values())
    return ImportedImage(image.attributes.get("name", ""), (height, width), others=others)


def _shape(shape: XmlShape, picture: ImportedImage, read: bool) -> ImportedMask:
    return ImportedMask(
        shape.values.get("mask_id"),
        read_shape(shape, picture.size) if read else UNREAD,
        shape.attributes.get("label"),
        f"image {picture.name[:80]!r}, {shape.kind} {shape.ordinal + 1}",
        shape.kind == "polygon",
        draw_of(shape.values.get("draw_id"), shape.values.get("slot")),
        shape.values.get(DATASET_VERSION),
    )


TOOL = Tool(_matches, _pictures, safe_label)
"""How CVAT's exports are read."""


def _read(reviews: Reviews, path: Path, options: ImportOptions) -> ImportedDecisions:
    return join(reviews, TOOL, path, options)


READER = Reader("cvat", "CVAT", _matches, _read)

WRITER = QueueWriter(
    "cvat", "CVAT for images 1.1", write_cvat, True, needs_pictures("CVAT", whole=False)
)
