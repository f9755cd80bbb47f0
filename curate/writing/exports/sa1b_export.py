"""SA-1B: a folder with one JSON an image, its picture beside it; a folder for each split."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import orjson

from curate.common import files
from curate.formats.sa1b.sa1b_files import ABOUT
from curate.writing.exports.export import Export, Holds, ReadBack, Writer, WriterOptions
from curate.writing.exports.image_names import ImageNames, without_ending
from curate.writing.exports.losses import Loss
from curate.writing.final_dataset import FinalDataset, FinalImage, FinalMask

_SCORES = ("predicted_iou", "stability_score")


class Sa1bWriter(Writer):
    """Writes a document an image."""

    def __init__(self, dataset: FinalDataset, options: WriterOptions) -> None:
        super().__init__(dataset, options)
        self._names = ImageNames(dataset, flat=True, is_allowed=_is_free)

    def find_losses(self, image: FinalImage) -> Iterable[Loss]:
        """Find other names, and scores that SAM does not give."""
        yield from self._names.find_losses(image)
        for mask in image.masks:
            kept = {name: value for name, value in mask.scores.items() if name in _SCORES}
            if kept != mask.scores:
                yield Loss("score", mask, "", {"scores": kept})

    def write(self, images: Iterator[FinalImage], out: Path) -> None:
        """Write the documents."""
        for image in images:
            place = out / f"{without_ending(self.picture_place(image))}.json"
            files.mkdir(place.parent, parents=True, exist_ok=True)
            document = {
                "image": {
                    "image_id": image.image_id,
                    "width": image.width,
                    "height": image.height,
                    "file_name": image.file_name,
                },
                "annotations": [self._record(image, mask) for mask in image.masks],
            }
            files.write_bytes(place, orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY))
            self.tally.runs += len(image.masks)

    def _record(self, image: FinalImage, mask: FinalMask) -> dict[str, object]:
        return {
            "id": mask.mask_id,
            "segmentation": {"size": [*image.size], "counts": mask.counts.decode("ascii")},
            "bbox": mask.box,
            "area": mask.area,
            **mask.scores,
        }

    def picture_place(self, image: FinalImage) -> str:
        """Return the place of a picture: beside its JSON."""
        return f"{image.split}/{image.file_name}" if image.split else image.file_name

    def read_back(self, out: Path) -> list[ReadBack]:
        """Return the folder, or those of the splits that have images."""
        if not self.options.splits:
            return [ReadBack(out)]
        return [ReadBack(out / name, name) for name in self.options.splits if (out / name).is_dir()]


def _is_free(name: str) -> bool:
    return f"{name}.json" != ABOUT


EXPORT = Export(
    "sa1b",
    "SA-1B",
    "sa1b",
    Holds(categories=False, crowds=False, scores=True, mask_ids=True, paths=False),
    Sa1bWriter,
)
