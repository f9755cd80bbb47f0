"""CVAT, both ways: CVAT for images 1.1 out, that or CVAT's COCO export back.

An export comes back as the zip that CVAT gives, as the folder of one, or as the file itself.

A queue is a folder of what CVAT's pages ask for: ``labels.json`` for the raw view of the label
constructor (CVAT drops attributes that a label does not declare, and says nothing), ``images/`` for
a new task where the pictures are at hand, and ``annotations.xml`` for its dialog "Upload
annotations". CVAT finds the images by their names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO
from xml.sax.saxutils import escape, quoteattr

import orjson
import pandas as pd

from curate.common import files
from curate.formats.cvat.cvat_format import read_shape
from curate.formats.cvat.mask_shapes import parse_int, write_box_rle
from curate.formats.cvat.xml_stream import CvatShape as XmlShape
from curate.formats.cvat.xml_stream import Image, Index, index_file, looks_like_cvat, read_images
from curate.formats.format import PART_BYTES, convert_read_errors, new_folder
from curate.formats.json.sniffing import shape_of_bytes
from curate.people.exchange.archives import is_zip, list_names, open_files, read_head
from curate.people.exchange.coco_of_tools import read_coco_images
from curate.people.exchange.image_names import save_pictures
from curate.people.exchange.imported_images import (
    UNREAD,
    ImageExport,
    ImageFilter,
    ImportedImage,
    ImportedMask,
    parse_draw,
)
from curate.people.exchange.queue_images import (
    ExportedView,
    check_pictures,
    find_pictures,
    require_pictures,
)
from curate.people.exchange.registry import ExchangeTool, ExportOptions, QueueWriter
from curate.people.exchange.tool_export import export_reader
from curate.people.exchange.tool_labels import Labels, safe_label, safe_text
from curate.store.audit import StoredAudit
from curate.store.audit_sql import DATASET_VERSION

NAMES = {
    "score": ("quality_score", "score"),
    "reasons": ("reasons",),
    "draw_id": ("draw_id",),
    "slot": ("slot",),
    DATASET_VERSION: (DATASET_VERSION,),
}
"""Attributes beside ``mask_id``, and the columns that they show: the first that the queue has."""

_COLOUR = "#1b6ca8"


def write_cvat(audit: StoredAudit, rows: pd.DataFrame, out: Path, how: ExportOptions) -> int:
    """Write a queue as a folder for CVAT: ``annotations.xml``, ``labels.json`` and ``images/``.

    Whole images unless crops are asked for. Pictures are there if the audit knows them.

    Raises:
        CallError: Crops are asked for, and there are no pictures.
    """
    folder = find_pictures(audit, how)
    if how.crops:
        check_pictures(folder, "CVAT")
    shown = {
        name: next(column for column in columns if column in rows.columns)
        for name, columns in NAMES.items()
        if set(columns) & set(rows.columns)
    }
    known = Labels(audit, safe_label)
    declared = known.list_names(), ["mask_id", *shown]
    labels = _labels(*declared)
    written = 0
    with new_folder(out) as made:
        files.write_bytes(made / "labels.json", orjson.dumps(labels, option=orjson.OPT_INDENT_2))
        with files.open_file(made / "annotations.xml") as file:
            _head(file, *declared)
            views = save_pictures(audit, rows, folder, made / "images", crops=bool(how.crops))
            for k, (view, name, saved) in enumerate(views):
                if saved or not how.crops:
                    for line in _image(view, name, k, shown, known):
                        file.write(line.encode())
                    written += len(view.rows)
            file.write(b"</annotations>\n")
    return written


def _labels(names: list[str], attributes: list[str]) -> list[dict[str, object]]:
    """Return labels, all of the dataset's, as CVAT's label constructor takes them."""
    declared = [
        {"name": name, "mutable": False, "input_type": "text", "default_value": "", "values": [""]}
        for name in attributes
    ]
    return [
        {"name": name, "color": _COLOUR, "type": "any", "attributes": declared} for name in names
    ]


def _head(file: BinaryIO, names: list[str], attributes: list[str]) -> None:
    """Write the beginning, which declares the labels and their attributes."""
    lines = ['<?xml version="1.0" encoding="utf-8"?>', "<annotations>", "<version>1.1</version>"]
    lines.append("<meta><task><labels>")
    for name in names:
        lines.append(f"<label><name>{escape(name)}</name>")
        lines.append(f"<color>{_COLOUR}</color><type>any</type><attributes>")
        lines += [
            f"<attribute><name>{one}</name><mutable>False</mutable>"
            "<input_type>text</input_type><default_value></default_value><values></values>"
            "</attribute>"
            for one in attributes
        ]
        lines.append("</attributes></label>")
    lines.append("</labels></task></meta>\n")
    file.write("\n".join(lines).encode())


def _image(
    view: ExportedView, name: str, number: int, shown: Mapping[str, str], labels: Labels
) -> Iterator[str]:
    size = f'width="{view.box.w}" height="{view.box.h}"'
    yield f'<image id="{number}" name={_quote_attribute(name)} {size}>\n'
    for k, record in enumerate(view.rows):
        label = labels.of(record)
        sides = " ".join(f'{key}="{v}"' for key, v in write_box_rle(view.runs[k : k + 1]).items())
        yield (
            f'<mask label={_quote_attribute(label)} source="file" occluded="0" {sides} '
            f'z_order="{k}">\n'
        )
        values = {"mask_id": record["mask_id"]}
        values |= {key: record.get(column) for key, column in shown.items()}
        for key, value in values.items():
            text = "" if value is None else escape(safe_text(_format_value(value)))
            yield f'<attribute name="{key}">{text}</attribute>\n'
        yield "</mask>\n"
    yield "</image>\n"


def _format_value(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _quote_attribute(text: str) -> str:
    """Return a value of an attribute; line breaks and tabs are kept, which a parser would blank."""
    return quoteattr(safe_text(text), {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"})


_MAX_MEMBERS = 50  # how many files of an export are looked at to tell what it is


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
    names = list_names(path)
    xml, coco = ([n for n in names if kind(n)][:_MAX_MEMBERS] for kind in (_is_xml, _is_json))
    if any(b"<annotations" in read_head(path, name) for name in xml):
        return True
    return any(shape_of_bytes(read_head(path, name)).looks_coco for name in coco)


def _read_images(path: Path, wanted: ImageFilter) -> Iterator[ImportedImage]:
    if path.is_file() and not is_zip(path):
        yield from read_xml_images(path, path.name, wanted)
        return
    names = list_names(path)
    kind = _is_xml if any(map(_is_xml, names)) else _is_json
    with open_files(path, kind) as files:
        for name, file in files:
            if kind is _is_json:
                yield from read_coco_images(file, f"{path.name}, {name[:80]}", wanted)
            elif looks_like_cvat(file):
                yield from read_xml_images(file, f"{path.name}, {name[:80]}", wanted)


def read_xml_images(path: Path, name: str, wanted: ImageFilter) -> Iterator[ImportedImage]:
    """Yield the images of a file of CVAT for images 1.1, with its masks and polygons.

    Args:
        path: The file.
        name: What it is called, for messages.
        wanted: Whose masks are read.

    Raises:
        SourceError: The XML is broken.
    """
    with convert_read_errors(path):
        index = index_file(path)
        with path.open("rb") as file:
            for start, end in _blocks(index):
                file.seek(start)
                block = read_images(file.read(end - start), index.encoding, path)
                pictures = [_to_image(image) for image in block]
                flags = wanted(pictures)
                for picture, image, read in zip(pictures, block, flags, strict=True):
                    picture.shapes.extend(_to_mask(shape, picture, read) for shape in image.shapes)
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


def _to_image(image: Image) -> ImportedImage:
    height, width = (parse_int(image.attributes.get(side, "")) or 0 for side in ("height", "width"))
    others = sum(image.others.values())
    return ImportedImage(image.attributes.get("name", ""), (height, width), others=others)


def _to_mask(shape: XmlShape, picture: ImportedImage, read: bool) -> ImportedMask:
    return ImportedMask(
        shape.values.get("mask_id"),
        read_shape(shape, picture.size) if read else UNREAD,
        shape.attributes.get("label"),
        f"image {picture.name[:80]!r}, {shape.kind} {shape.ordinal + 1}",
        shape.kind == "polygon",
        parse_draw(shape.values.get("draw_id"), shape.values.get("slot")),
        shape.values.get(DATASET_VERSION),
    )


EXPORT = ImageExport(_matches, _read_images, safe_label)

TOOL = ExchangeTool(
    "cvat",
    QueueWriter("CVAT for images 1.1", write_cvat, require_pictures("CVAT", whole=False)),
    export_reader("CVAT", EXPORT),
)
