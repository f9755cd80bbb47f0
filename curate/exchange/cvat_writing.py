"""A queue as CVAT for images 1.1.

A folder of what CVAT's pages ask for: ``labels.json`` for the raw view of the label constructor
(CVAT drops attributes that a label does not declare, and says nothing), ``images/`` for a new task
where the pictures are at hand, and ``annotations.xml`` for its dialog "Upload annotations". CVAT
finds the images by their names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO
from xml.sax.saxutils import escape, quoteattr

import orjson
import pandas as pd

from curate import files
from curate.curation.audits import DATASET_VERSION
from curate.exchange.labels import Labels, safe_label, safe_text
from curate.exchange.picture_names import PictureNames
from curate.exchange.views import (
    ExportedView,
    check_pictures,
    crops,
    pictures_of,
    save_picture,
    whole_images,
)
from curate.exchange.writers import Outgoing
from curate.formats.base import new_folder
from curate.formats.cvat_masks import write_box_rle
from curate.store import Audit

NAMES = {
    "score": ("quality_score", "score"),
    "reasons": ("reasons",),
    "draw_id": ("draw_id",),
    "slot": ("slot",),
    DATASET_VERSION: (DATASET_VERSION,),
}
"""Attributes beside ``mask_id``, and the columns that they show: the first that the queue has."""

_COLOUR = "#1b6ca8"


def write_cvat(audit: Audit, rows: pd.DataFrame, out: Path, how: Outgoing) -> int:
    """Write a queue as a folder for CVAT: ``annotations.xml``, ``labels.json`` and ``images/``.

    Whole images unless crops are asked for. Pictures are there if the audit knows them.

    Raises:
        CallError: Crops are asked for, and there are no pictures.
    """
    folder = pictures_of(audit, how)
    if how.crops:
        check_pictures(folder, "CVAT")
    names = PictureNames(audit)
    shown = {
        name: next(column for column in columns if column in rows.columns)
        for name, columns in NAMES.items()
        if set(columns) & set(rows.columns)
    }
    known = Labels(audit, safe_label)
    labels = _labels(known.listed(), ["mask_id", *shown])
    written = 0
    with new_folder(out) as made:
        files.write_bytes(made / "labels.json", orjson.dumps(labels, option=orjson.OPT_INDENT_2))
        with files.open_file(made / "annotations.xml") as file:
            _head(file, labels)
            for k, view in enumerate(
                crops(audit, rows) if how.crops else whole_images(audit, rows)
            ):
                name = names.of(view, crop=bool(how.crops))
                saved = folder is not None and save_picture(folder, view, made / "images" / name)
                if saved or not how.crops:
                    for line in _image(view, name, k, shown, known):
                        file.write(line.encode())
                    written += len(view.rows)
            file.write(b"</annotations>\n")
    return written


def _labels(names: list[str], attributes: list[str]) -> list[dict[str, Any]]:
    """Return labels, all of the dataset's, as CVAT's label constructor takes them."""
    declared = [
        {"name": name, "mutable": False, "input_type": "text", "default_value": "", "values": [""]}
        for name in attributes
    ]
    return [
        {"name": name, "color": _COLOUR, "type": "any", "attributes": declared} for name in names
    ]


def _head(file: BinaryIO, labels: list[dict[str, Any]]) -> None:
    """Write the beginning, which declares the labels and their attributes."""
    lines = ['<?xml version="1.0" encoding="utf-8"?>', "<annotations>", "<version>1.1</version>"]
    lines.append("<meta><task><labels>")
    for label in labels:
        lines.append(f"<label><name>{escape(label['name'])}</name>")
        lines.append(f"<color>{label['color']}</color><type>any</type><attributes>")
        lines += [
            f"<attribute><name>{one['name']}</name><mutable>False</mutable>"
            "<input_type>text</input_type><default_value></default_value><values></values>"
            "</attribute>"
            for one in label["attributes"]
        ]
        lines.append("</attributes></label>")
    lines.append("</labels></task></meta>\n")
    file.write("\n".join(lines).encode())


def _image(
    view: ExportedView, name: str, number: int, shown: Mapping[str, str], labels: Labels
) -> Iterator[str]:
    size = f'width="{view.box.w}" height="{view.box.h}"'
    yield f'<image id="{number}" name={_quoted(name)} {size}>\n'
    for k, record in enumerate(view.rows):
        label = labels.of(record)
        sides = " ".join(f'{key}="{v}"' for key, v in write_box_rle(view.runs[k : k + 1]).items())
        yield (f'<mask label={_quoted(label)} source="file" occluded="0" {sides} z_order="{k}">\n')
        values = {"mask_id": record["mask_id"]}
        values |= {key: record.get(column) for key, column in shown.items()}
        for key, value in values.items():
            text = "" if value is None else escape(safe_text(_text(value)))
            yield f'<attribute name="{key}">{text}</attribute>\n'
        yield "</mask>\n"
    yield "</image>\n"


def _text(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _quoted(text: str) -> str:
    """Return a value of an attribute; line breaks and tabs are kept, which a parser would blank."""
    return quoteattr(safe_text(text), {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"})
