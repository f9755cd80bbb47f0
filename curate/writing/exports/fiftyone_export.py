"""FiftyOne's dataset folder: ``samples.json``, ``metadata.json``, and the pictures in ``data/``.

Masks are ``Detections`` in the field ``ground_truth``; a split is a sample's tag and ``split``.
Loaded with ``fo.Dataset.from_dir(dataset_dir=..., dataset_type=fo.types.FiftyOneDataset)``.

``metadata.json`` states no version of FiftyOne's database: its importer then takes the samples as
they are, whatever version is installed, and finds the fields from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import orjson

from curate import rle
from curate.common import files
from curate.formats.fiftyone.fiftyone_samples import FIELDS, METADATA, SAMPLES, TRUTH
from curate.formats.fiftyone.mask_arrays import pack_mask, relative_box
from curate.formats.format import new_file
from curate.writing.exports.categories import list_categories
from curate.writing.exports.export import UNNAMED, Export, Holds, Writer, WriterOptions
from curate.writing.exports.image_names import ImageNames
from curate.writing.exports.losses import Loss
from curate.writing.final_dataset import FinalDataset, FinalImage, FinalMask

_PICTURES = "data"


class FiftyOneWriter(Writer):
    """Writes samples as their images come."""

    def __init__(self, dataset: FinalDataset, options: WriterOptions) -> None:
        super().__init__(dataset, options)
        self._names = ImageNames(dataset)

    def find_losses(self, image: FinalImage) -> Iterable[Loss]:
        """Find names that are no paths."""
        yield from self._names.find_losses(image)

    def picture_place(self, image: FinalImage) -> str:
        """Return the place of a picture."""
        return f"{_PICTURES}/{image.file_name}"

    def name_read(self, image: FinalImage) -> str:
        """Return a sample's path."""
        return self.picture_place(image)

    def write(self, images: Iterator[FinalImage], out: Path) -> None:
        """Write the samples and what is said of all."""
        with new_file(out / SAMPLES) as file:
            file.write(b'{"samples": [')
            mark = b"\n"
            for image in images:
                file.write(mark + orjson.dumps(self._sample(image)))
                mark = b",\n"
            file.write(b"\n]}\n")
        classes = list_categories(self.dataset)
        metadata = {"media_type": "image", "info": {"classes": classes}}
        files.write_bytes(out / METADATA, orjson.dumps(metadata, option=orjson.OPT_INDENT_2))

    def _sample(self, image: FinalImage) -> dict[str, object]:
        runs = image.runs()
        detections = [
            self._detection(image, mask, runs[k : k + 1]) for k, mask in enumerate(image.masks)
        ]
        size = {"width": image.width, "height": image.height}
        sample: dict[str, object] = {
            "filepath": self.picture_place(image),
            "tags": [] if image.split is None else [image.split],
            "metadata": {"_cls": "ImageMetadata", **size},
            TRUTH: {"_cls": FIELDS, "detections": detections},
            "image_id": image.image_id,
        }
        if image.split is not None:
            sample["split"] = image.split
        return sample

    def _detection(self, image: FinalImage, mask: FinalMask, runs: rle.Runs) -> dict[str, object]:
        pixels, box = pack_mask(runs)
        self.tally.runs += 1
        scores = {**mask.scores}
        made: dict[str, object] = {
            "_cls": "Detection",
            "label": mask.label or UNNAMED,
            "bounding_box": relative_box(box, image.size),
            "mask": pixels,
            "mask_id": mask.mask_id,
            "iscrowd": mask.iscrowd,
        }
        if "score" in scores:
            made["confidence"] = scores.pop("score")
        return {**made, **scores, **mask.attributes}


EXPORT = Export(
    "fiftyone",
    "FiftyOne",
    "fiftyone",
    Holds(crowds=True, scores=True, mask_ids=True, attributes=True),
    FiftyOneWriter,
    needs_pictures=True,
)
