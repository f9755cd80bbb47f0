"""Supervisely: a project with ``meta.json`` and a dataset, or one for each split."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import orjson

from curate.common import files
from curate.formats.supervisely.figures import BITMAP, POLYGON
from curate.formats.supervisely.new_figures import FigureForm
from curate.formats.supervisely.project import ANNOTATIONS, META, PICTURES, color_of
from curate.writing.exports.categories import list_categories
from curate.writing.exports.export import UNNAMED, Export, Holds, ReadBack, Writer, WriterOptions
from curate.writing.exports.image_names import ImageNames
from curate.writing.exports.losses import Loss
from curate.writing.final_dataset import FinalDataset, FinalImage, FinalMask

_DATASET = "dataset"


class SuperviselyWriter(Writer):
    """Writes a document an image, and the classes of the project last."""

    def __init__(self, dataset: FinalDataset, options: WriterOptions) -> None:
        super().__init__(dataset, options)
        self._names = ImageNames(dataset, flat=True)
        self._form = FigureForm(options.masks, None, self.tally, falls_back=True)
        self._kinds: dict[str, set[str]] = {}

    def find_losses(self, image: FinalImage) -> Iterable[Loss]:
        """Find other names."""
        yield from self._names.find_losses(image)

    def write(self, images: Iterator[FinalImage], out: Path) -> None:
        """Write the documents and ``meta.json``."""
        for image in images:
            folder = out / (image.split or _DATASET)
            for name in (ANNOTATIONS, PICTURES):
                files.mkdir(folder / name, parents=True, exist_ok=True)
            document = {
                "description": "",
                "tags": [],
                "size": {"height": image.height, "width": image.width},
                "objects": [self._object(image, mask) for mask in image.masks],
            }
            place = folder / ANNOTATIONS / f"{image.file_name}.json"
            files.write_bytes(place, orjson.dumps(document))
        files.mkdir(out, parents=True, exist_ok=True)
        meta = {"classes": [*self._classes()], "tags": []}
        files.write_bytes(out / META, orjson.dumps(meta, option=orjson.OPT_INDENT_2))

    def _object(self, image: FinalImage, mask: FinalMask) -> dict[str, object]:
        title = mask.label or UNNAMED
        kind = POLYGON if mask.polygon else BITMAP
        figure = self._form.fields(mask.counts, image.size, kind, title, mask.source_key)
        self._kinds.setdefault(title, set()).add(str(figure["geometryType"]))
        made: dict[str, object] = {"id": mask.mask_id, "description": "", "tags": []}
        return {**made, "classTitle": title, **figure}

    def _classes(self) -> Iterator[dict[str, object]]:
        for title in dict.fromkeys([*list_categories(self.dataset), *self._kinds]):
            kinds = self._kinds.get(title, set())
            shape = next(iter(kinds)) if len(kinds) == 1 else "any"
            yield {"title": title, "shape": shape, "color": color_of(title)}

    def picture_place(self, image: FinalImage) -> str:
        """Return the place of a picture."""
        return f"{image.split or _DATASET}/{PICTURES}/{image.file_name}"

    def read_back(self, out: Path) -> list[ReadBack]:
        """Return the project, or the datasets of the splits that have images."""
        if not self.options.splits:
            return [ReadBack(out)]
        return [ReadBack(out / name, name) for name in self.options.splits if (out / name).is_dir()]


EXPORT = Export(
    "supervisely",
    "Supervisely",
    "supervisely",
    Holds(mask_ids=True, paths=False),
    SuperviselyWriter,
)
