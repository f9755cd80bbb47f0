"""Label Studio: a folder with tasks, the labelling interface, and the pictures in ``images/``.

Masks are annotations, as if people had drawn them: brush masks, and polygons where the source has
such and one ring has exactly the pixels. Pictures are named as Label Studio's local storage serves
them, by their path under the folder (or, where none are copied, under that of the pictures).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import orjson

from curate import rle
from curate.common import files
from curate.formats.format import new_file
from curate.formats.label_studio.brush_rle import MAX_PIXELS, encode_brush
from curate.formats.label_studio.tasks import TASKS, file_name_of, percent_points
from curate.people.exchange.tool_labels import label_studio_label
from curate.writing.exports.categories import SafeLabels
from curate.writing.exports.export import UNNAMED, Export, Holds, ReadBack, Writer, WriterOptions
from curate.writing.exports.image_names import ImageNames
from curate.writing.exports.losses import Loss
from curate.writing.final_dataset import FinalDataset, FinalImage, FinalMask

_PICTURES = "images"
_SERVED = "/data/local-files/?d="
_TAGS = {"brush": "mask", "polygon": "polygon"}
_DUMP = orjson.OPT_SERIALIZE_NUMPY

_README = """\
A dataset for Label Studio, with its masks as annotations.

1. Let Label Studio show the pictures of this folder, and start it:

   LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true \\
   LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=THIS-FOLDER label-studio start

   (Where pictures were not copied: the folder of the pictures in the place of THIS-FOLDER.)
2. Create a project. Labeling Setup > Custom template > Code: paste config.xml. Settings > Cloud
   Storage > Add Source Storage > Local Files: the folder of the pictures; save without a sync.
3. Import tasks.json.
"""


class LabelStudioWriter(Writer):
    """Writes tasks as their images come."""

    def __init__(self, dataset: FinalDataset, options: WriterOptions) -> None:
        super().__init__(dataset, options)
        self._labels = SafeLabels(dataset, label_studio_label)
        self._names = ImageNames(dataset) if options.puts_pictures else None

    def find_losses(self, image: FinalImage) -> Iterable[Loss]:
        """Find labels and names that are spelled otherwise, and masks that no brush can hold."""
        if self._names is not None:
            yield from self._names.find_losses(image)
        else:
            name = file_name_of(_SERVED + quote(image.file_name, safe=""))
            if not name:
                yield Loss("image", None, "it has no name", None)
                return
            if name != image.file_name:
                yield Loss("image name", None, name, {"file_name": name})
        yield from self._labels.find_losses(image)
        if image.height * image.width > MAX_PIXELS:
            for mask in image.masks:
                yield Loss("mask", mask, "its picture has more pixels than a brush mask", None)

    def picture_place(self, image: FinalImage) -> str:
        """Return the place of a picture."""
        return f"{_PICTURES}/{image.file_name}"

    def name_read(self, image: FinalImage) -> str:
        """Return the path by which the picture is served."""
        return self.picture_place(image) if self._names is not None else image.file_name

    def read_back(self, out: Path) -> list[ReadBack]:
        """Return the folder, whose tasks say their split."""
        return [ReadBack(out)]

    def write(self, images: Iterator[FinalImage], out: Path) -> None:
        """Write the tasks, the labelling interface and how they are imported."""
        with new_file(out / TASKS) as file:
            file.write(b"[")
            mark = b"\n"
            for image in images:
                file.write(mark + orjson.dumps(self._task(image), option=_DUMP))
                mark = b",\n"
            file.write(b"\n]\n")
        files.write_text(out / "config.xml", self._config())
        files.write_text(out / "README.txt", _README)

    def _task(self, image: FinalImage) -> dict[str, object]:
        data: dict[str, object] = {
            "image": _SERVED + quote(self.name_read(image)),
            "image_id": image.image_id,
            "width": image.width,
            "height": image.height,
        }
        if image.split is not None:
            data["subset"] = image.split
        runs = image.runs()
        result = [self._result(image, mask, runs, k) for k, mask in enumerate(image.masks)]
        annotation = {"result": result, "was_cancelled": False, "ground_truth": False}
        return {"data": data, "annotations": [annotation]}

    def _result(
        self, image: FinalImage, mask: FinalMask, runs: rle.Runs, at: int
    ) -> dict[str, object]:
        form, value = self._pixels(image, mask, runs, at)
        return {
            "id": f"mask_{mask.mask_id}",
            "type": f"{form}labels",
            "from_name": _TAGS[form],
            "to_name": "image",
            "original_width": image.width,
            "original_height": image.height,
            "image_rotation": 0,
            "value": {**value, f"{form}labels": [mask.label or UNNAMED]},
        }

    def _pixels(
        self, image: FinalImage, mask: FinalMask, runs: rle.Runs, at: int
    ) -> tuple[str, dict[str, object]]:
        rings = self.choose_rings(image, mask)
        if rings is None:
            return "brush", {"format": "rle", "rle": encode_brush(runs, at)}
        return "polygon", {"points": percent_points(rings[0], image.size), "closed": True}

    def _config(self) -> str:
        labels = [*self._labels.list_labels()] or [UNNAMED]
        lines = "".join(f"    <Label value={quoteattr(label)}/>\n" for label in labels)
        tags = "".join(
            f'  <{form.capitalize()}Labels name="{name}" toName="image">\n{lines}'
            f"  </{form.capitalize()}Labels>\n"
            for form, name in _TAGS.items()
        )
        image = '  <Image name="image" value="$image" zoom="true" zoomControl="true"/>\n'
        return f"<View>\n{image}{tags}</View>\n"


EXPORT = Export(
    "label-studio",
    "Label Studio",
    "label-studio",
    Holds(mask_ids=True),
    LabelStudioWriter,
)
