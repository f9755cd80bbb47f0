"""CVAT for images 1.1: one XML file, or a folder with it and the pictures in ``images/``.

Splits are CVAT's subsets. Labels declare the attributes that shapes have: CVAT drops others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from curate import rle
from curate.formats.cvat.element_places import as_text, quote_attribute
from curate.formats.cvat.mask_shapes import write_box_rle
from curate.formats.edits import Addition, Change
from curate.formats.format import new_file
from curate.people.exchange.tool_labels import safe_label
from curate.writing.edited_tables import SCORES
from curate.writing.exports.categories import SafeLabels
from curate.writing.exports.export import UNNAMED, Export, Holds, ReadBack, Writer, WriterOptions
from curate.writing.exports.image_names import ImageNames
from curate.writing.exports.losses import Loss
from curate.writing.final_dataset import FinalDataset, FinalImage, FinalMask

_COLOUR = b"#1b6ca8"


class CvatWriter(Writer):
    """Writes images and their shapes as they come."""

    decimals = 2

    def __init__(self, dataset: FinalDataset, options: WriterOptions) -> None:
        super().__init__(dataset, options)
        self._labels = SafeLabels(dataset, safe_label)
        self._names = ImageNames(dataset) if options.puts_pictures else None
        known = [name for name in SCORES if name in dataset.columns]
        known += ["iscrowd"] if "iscrowd" in dataset.columns or dataset.edits.ignored else []
        edits: list[Change | Addition] = [*dataset.edits.change.values(), *dataset.edits.add]
        noted = {name for one in edits for name in one.attributes}
        self._attributes = ["mask_id", *known, *sorted(noted)]

    def find_losses(self, image: FinalImage) -> Iterable[Loss]:
        """Find labels that CVAT spells otherwise, tracks, and names that are no paths."""
        if self._names is not None and image.picture is not None:
            yield from self._names.find_losses(image)
        yield from self._labels.find_losses(image)
        for mask in image.masks:
            if mask.track_id is not None:
                yield Loss("group", mask, "a track", {"track_id": None})

    def is_folder(self, export: Export) -> bool:
        """Return whether there are pictures beside the file, or a folder is asked for."""
        return self.options.puts_pictures or self.options.folder

    def read_back(self, out: Path) -> list[ReadBack]:
        """Return the file."""
        folder = self.options.puts_pictures or self.options.folder
        return [ReadBack(out / "annotations.xml" if folder else out)]

    def picture_place(self, image: FinalImage) -> str:
        """Return the place of a picture."""
        return f"images/{image.file_name}"

    def write(self, images: Iterator[FinalImage], out: Path) -> None:
        """Write the file."""
        with new_file(self.read_back(out)[0].path) as file:
            file.write(b'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n')
            file.write(b"  <version>1.1</version>\n  <meta><task><labels>\n")
            for label in self._labels.list_labels():
                file.write(self._declare(label))
            file.write(b"  </labels></task></meta>\n")
            for image in images:
                file.write(self._head(image))
                for mask in image.masks:
                    file.write(self._shape(image, mask))
                file.write(b"  </image>\n")
            file.write(b"</annotations>\n")

    def _declare(self, label: str) -> bytes:
        attributes = b"".join(
            b"<attribute><name>" + as_text(name, "") + b"</name><mutable>False</mutable>"
            b"<input_type>text</input_type><default_value></default_value><values></values>"
            b"</attribute>"
            for name in self._attributes
        )
        name = b"    <label><name>" + as_text(label, "") + b"</name><color>" + _COLOUR
        return (
            name + b"</color><type>any</type><attributes>" + attributes + b"</attributes></label>\n"
        )

    def _head(self, image: FinalImage) -> bytes:
        values = {"id": str(image.image_id), "name": image.file_name}
        values |= {"subset": image.split} if image.split else {}
        values |= {"width": str(image.width), "height": str(image.height)}
        return _tag("  <image", values) + b">\n"

    def _shape(self, image: FinalImage, mask: FinalMask) -> bytes:
        kind, pixels = self._pixels(image, mask)
        values = {"label": mask.label or UNNAMED, "source": "file", "occluded": "0", **pixels}
        values |= {} if mask.group_id is None else {"group_id": str(mask.group_id)}
        stated: dict[str, object] = {"mask_id": mask.mask_id, **mask.scores}
        stated |= {"iscrowd": mask.iscrowd} if mask.iscrowd else {}
        inner = b"".join(
            b"<attribute name="
            + quote_attribute(name, "")
            + b">"
            + as_text(str(value), "")
            + b"</attribute>"
            for name, value in {**stated, **mask.attributes}.items()
        )
        tag = _tag(f"    <{kind}", {**values, "z_order": "0"})
        return tag + b">" + inner + b"</" + kind.encode() + b">\n"

    def _pixels(self, image: FinalImage, mask: FinalMask) -> tuple[str, dict[str, str]]:
        rings = self.choose_rings(image, mask)
        if rings is None:
            runs, _ = rle.decode_counts([mask.counts], [image.height], [image.width])
            return "mask", write_box_rle(runs)
        points = zip(rings[0][::2], rings[0][1::2], strict=True)
        return "polygon", {"points": ";".join(f"{x:.2f},{y:.2f}" for x, y in points)}


def _tag(name: str, values: dict[str, str]) -> bytes:
    return name.encode() + b"".join(
        b" " + key.encode() + b"=" + quote_attribute(value, "") for key, value in values.items()
    )


EXPORT = Export(
    "cvat",
    "CVAT for images 1.1",
    "cvat",
    Holds(crowds=True, scores=True, mask_ids=True, groups=True, attributes=True),
    CvatWriter,
    suffix=".xml",
    in_folder="annotations.xml",
)
