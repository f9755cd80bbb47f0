"""COCO instances: one JSON file, or a folder with one for each split, and pictures.

A folder has ``annotations/instances_<split>.json`` and the pictures in ``<split>/``, as COCO's own
has; without splits ``annotations/instances.json`` and ``images/``. ``--out`` that ends in a slash
makes a folder, too.

What COCO has a place for is written: images, categories, pixels, boxes, areas, ``iscrowd``, ids,
and SAM's scores where there are any. Ids are the audit's, so that masks and images can be found
again, but for 0, which readers give to the first: COCOeval takes the annotation 0 for no match.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from curate.common import files
from curate.formats.format import new_file
from curate.writing.exports.categories import number_categories
from curate.writing.exports.export import UNNAMED, Export, Holds, ReadBack, Writer, WriterOptions
from curate.writing.exports.image_names import ImageNames
from curate.writing.exports.losses import Loss
from curate.writing.final_dataset import FinalDataset, FinalImage, FinalMask

_DUMP = orjson.OPT_SERIALIZE_NUMPY
_COPIED_BYTES = 1 << 20


class CocoWriter(Writer):
    """Writes annotations behind the images, through temporary files.

    Attributes:
        stem: Before the split, in the name of its file.
        categories_last: Whether categories are written last: once all masks are counted.
    """

    stem = "instances"
    categories_last = False

    def __init__(self, dataset: FinalDataset, options: WriterOptions) -> None:
        super().__init__(dataset, options)
        self.categories = number_categories(dataset)
        self.spare_mask = dataset.first_free_id - 1
        images = dataset.audit.query("select coalesce(max(image_id), 0) as top from images")
        own = dataset.form.own_ids  # then an id of 0 is the source's, and stays
        self.names = ImageNames(dataset) if options.puts_pictures else None
        self.spare_image = 0 if own else int(images["top"].iloc[0]) + 1

    def find_losses(self, image: FinalImage) -> Iterable[Loss]:
        """Find the mask with the id 0, which gets another, and names that are no paths."""
        if self.names is not None and image.picture is not None:
            yield from self.names.find_losses(image)
        for mask in image.masks:
            if not mask.mask_id:
                what = f"id {self.spare_mask}: COCO's evaluation skips the id 0"
                yield Loss("mask id", mask, what, {"mask_id": self.spare_mask})

    def write(self, images: Iterator[FinalImage], out: Path) -> None:
        """Write the file, or a folder with one for each split."""
        with ExitStack() as stack:
            work = stack.enter_context(files.scratch())
            made = {
                read.split: stack.enter_context(_open(read, work, self))
                for read in self.read_back(out)
            }
            for image in images:
                made[image.split].write(image)

    def read_back(self, out: Path) -> list[ReadBack]:
        """Return the file, or those of the splits."""
        folder = out / "annotations"
        if not self.options.splits:
            whole = folder / f"{self.stem}.json"
            return [ReadBack(whole if self.options.makes_folder else out)]
        names = self.options.splits
        return [ReadBack(folder / f"{self.stem}_{name}.json", name) for name in names]

    def is_folder(self, export: Export) -> bool:
        """Return whether there are several files, or a folder is asked for."""
        return self.options.makes_folder

    def picture_place(self, image: FinalImage) -> str:
        """Return the place of a picture: in a folder called like the split."""
        return f"{image.split or 'images'}/{image.file_name}"

    def image(self, image: FinalImage) -> dict[str, object]:
        """Return an image's record."""
        number = image.image_id or self.spare_image
        size = {"width": image.width, "height": image.height}
        return {"id": number, "file_name": image.file_name, **size}

    def annotations(self, image: FinalImage) -> Iterator[dict[str, object]]:
        """Yield the records of an image's masks."""
        for mask in image.masks:
            yield self.annotation(image, mask)

    def annotation(self, image: FinalImage, mask: FinalMask) -> dict[str, object]:
        """Return a mask's record."""
        return {
            "id": mask.mask_id,
            "image_id": image.image_id or self.spare_image,
            "category_id": self.number(mask),
            "segmentation": self._segmentation(image, mask),
            "area": mask.area,
            "bbox": mask.box,
            "iscrowd": mask.iscrowd,
            **mask.scores,
        }

    def number(self, mask: FinalMask) -> int:
        """Return the number of a mask's category."""
        return self.categories[mask.label or UNNAMED]

    def list_categories(self, split: str | None) -> list[dict[str, object]]:
        """Return the records of all categories in the file of a split."""
        return [{"id": number, "name": name} for name, number in self.categories.items()]

    def _segmentation(self, image: FinalImage, mask: FinalMask) -> Any:
        rings = self.choose_rings(image, mask, single=False)
        if rings is not None:
            return [[int(c) if c == int(c) else c for c in ring] for ring in rings]
        return {"size": [image.height, image.width], "counts": mask.counts.decode("ascii")}


@contextmanager
def _open(place: ReadBack, work: Path, writer: CocoWriter) -> Iterator[_CocoFile]:
    """Open a file for its images and annotations, which wait in a temporary one."""
    spool = work / place.path.name
    with new_file(place.path) as file:
        head = orjson.dumps({"info": {"description": "written by curate"}})[:-1]
        if not writer.categories_last:
            head += b',"categories":' + orjson.dumps(writer.list_categories(place.split))
        file.write(head + b',"images":[')
        with files.open_file(spool) as rest:
            yield _CocoFile(file, rest, writer)
        file.write(b'\n],"annotations":[')
        with files.open_to_read(spool) as waiting:
            shutil.copyfileobj(waiting, file, _COPIED_BYTES)
        last = b"\n]"
        if writer.categories_last:
            last += b',"categories":' + orjson.dumps(writer.list_categories(place.split))
        file.write(last + b"}\n")


class _CocoFile:
    """One file, open."""

    def __init__(self, file: BinaryIO, rest: BinaryIO, writer: CocoWriter) -> None:
        self._file, self._rest, self._writer = file, rest, writer
        self._images = self._annotations = 0

    def write(self, image: FinalImage) -> None:
        """Write an image and its masks."""
        record = orjson.dumps(self._writer.image(image), option=_DUMP)
        self._file.write((b",\n" if self._images else b"\n") + record)
        self._images += 1
        for record_of_mask in self._writer.annotations(image):
            one = orjson.dumps(record_of_mask, option=_DUMP)
            self._rest.write((b",\n" if self._annotations else b"\n") + one)
            self._annotations += 1


EXPORT = Export(
    "coco",
    "COCO",
    "coco",
    Holds(crowds=True, scores=True, mask_ids=True, no_size=True),
    CocoWriter,
    suffix=".json",
    in_folder="annotations/instances.json",
)
