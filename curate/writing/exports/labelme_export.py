"""labelme: a JSON document an image, its picture beside it; a folder for each split.

A mask of several parts is polygons of one ``group_id``; one that no polygons hold exactly is a
shape of the type ``mask``. ``labels.txt`` lists the categories for labelme's own exporters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path

import orjson

from curate.common import files
from curate.formats.labelme.new_shapes import NewShape, ShapeForm
from curate.formats.labelme.shapes import IGNORED, MASK, POLYGON
from curate.writing.exports.categories import list_categories
from curate.writing.exports.export import UNNAMED, Export, Holds, ReadBack, Writer, WriterOptions
from curate.writing.exports.image_names import ImageNames, without_ending
from curate.writing.exports.losses import Loss
from curate.writing.final_dataset import FinalDataset, FinalImage, FinalMask

_VERSION = "5.8.1"
"""The version of labelme whose documents these are like."""

_BACKGROUND = "_background_"
_DRIVE = re.compile(r"[A-Za-z]:")


class LabelmeWriter(Writer):
    """Writes a document an image."""

    def __init__(self, dataset: FinalDataset, options: WriterOptions) -> None:
        super().__init__(dataset, options)
        self._names = ImageNames(dataset)
        self._form = ShapeForm(options.masks, has_masks=True, tally=self.tally, falls_back=True)

    def find_losses(self, image: FinalImage) -> Iterable[Loss]:
        """Find other names."""
        yield from self._names.find_losses(image)

    def write(self, images: Iterator[FinalImage], out: Path) -> None:
        """Write the documents."""
        for image in images:
            place = out / f"{without_ending(self.picture_place(image))}.json"
            files.mkdir(place.parent, parents=True, exist_ok=True)
            name = image.file_name.rpartition("/")[2]
            document: dict[str, object] = {
                "version": _VERSION,
                "flags": {},
                "shapes": [*self._shapes(image)],
                # labelme on Windows, and curate, would take C:a.jpg for a file of a drive.
                "imagePath": f"./{name}" if _DRIVE.match(name) else name,
                "imageData": None,
                "imageHeight": image.height,
                "imageWidth": image.width,
            }
            files.write_bytes(place, orjson.dumps(document, option=orjson.OPT_INDENT_2))
        self._write_labels(out)

    def _shapes(self, image: FinalImage) -> Iterator[dict[str, object]]:
        groups = count(1)
        for mask in image.masks:
            made = self._new_shapes(image, mask)
            group = next(groups) if len(made) > 1 else None
            for one in made:
                yield {
                    "label": mask.label or UNNAMED,
                    "points": one.points,
                    "group_id": group,
                    "description": "",
                    "shape_type": one.kind,
                    "flags": {},
                    "mask": one.mask,
                    **_attributes(mask),
                }

    def _new_shapes(self, image: FinalImage, mask: FinalMask) -> list[NewShape]:
        own = self.find_own_rings(image, mask, single=False)
        if own is not None:
            self.tally.polygons += 1
            return [NewShape.of_ring(ring) for ring in own]
        kind = POLYGON if mask.polygon else MASK
        return self._form.shapes(mask.counts, image.size, kind, mask.source_key)

    def _write_labels(self, out: Path) -> None:
        labels = [label for label in list_categories(self.dataset) if label.splitlines() == [label]]
        known = dict.fromkeys([IGNORED, _BACKGROUND, *labels])
        files.mkdir(out, parents=True, exist_ok=True)
        files.write_text(out / "labels.txt", "".join(f"{label}\n" for label in known))

    def picture_place(self, image: FinalImage) -> str:
        """Return the place of a picture: beside its JSON."""
        return f"{image.split}/{image.file_name}" if image.split else image.file_name

    def read_back(self, out: Path) -> list[ReadBack]:
        """Return the folder, or those of the splits that have images."""
        if not self.options.splits:
            return [ReadBack(out)]
        return [ReadBack(out / name, name) for name in self.options.splits if (out / name).is_dir()]


def _attributes(mask: FinalMask) -> dict[str, object]:
    return {"attributes": dict(mask.attributes)} if mask.attributes else {}


EXPORT = Export(
    "labelme",
    "labelme",
    "labelme",
    Holds(attributes=True),
    LabelmeWriter,
)
