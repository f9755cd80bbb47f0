"""Check of an export: read again by curate's own reader, and compared with what was meant.

Image by image, category by category, pixel by pixel. Both sides are added up as digests of images,
so that neither their order matters nor how much is in memory at a time; only where they differ are
they read once more, to say which image it is.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curate import rle
from curate.common import files
from curate.common.progress import MaskCounter, Progress
from curate.dataset.table import MaskTable
from curate.dataset.version_id import VersionHash, image_digests, plain_name
from curate.errors import AuditError, SourceError
from curate.formats import format_by_name
from curate.writing.expected_dataset import MaskPlace
from curate.writing.exports.common_losses import written_images
from curate.writing.exports.export import Export, Holds, Writer
from curate.writing.final_dataset import FinalDataset, FinalImage, FinalMask

_REPORT = "this is a fault of curate: please report it"
_DIGEST_BYTES = 16


@dataclass
class ExpectedExport:
    """What an output must hold, added up.

    Attributes:
        version: The sum of its images' digests.
        masks: How many masks it holds.
        added: Positions of the added masks by image and by what tells masks of it apart.
    """

    version: VersionHash = field(default_factory=VersionHash)
    masks: int = 0
    added: dict[bytes, dict[tuple[str, bytes], list[int]]] = field(default_factory=dict)

    def take(self, image: FinalImage, writer: Writer, holds: Holds) -> None:
        """Take in an image as it is written."""
        self.masks += len(image.masks)
        name = _name(writer.name_read(image), holds)
        self.version.update([_digest(_known(image, writer), name, holds)])
        for mask in image.masks:
            if mask.addition >= 0:
                here = self.added.setdefault(_image_key(_known(image, writer), name), {})
                here.setdefault(_mask_key(mask), []).append(mask.addition)


@dataclass
class CheckedExport:
    """What was found in an output.

    Attributes:
        version: Its content id.
        places: Where the added masks stand, by position among the edits.
    """

    version: str
    places: dict[int, MaskPlace]


def check_export(
    dataset: FinalDataset,
    export: Export,
    writer: Writer,
    meant: ExpectedExport,
    out: Path,
    place: Path,
    progress: Progress | None = None,
) -> CheckedExport:
    """Read an output again and compare it with what was meant.

    Args:
        dataset: What was written.
        export: The format.
        writer: What wrote it.
        meant: What it must hold, added up while it was written.
        out: The output.
        place: Where it will stand, for the message.
        progress: Called with progress.

    Raises:
        AuditError: It holds something else.
    """
    content, own = VersionHash(), VersionHash()
    places: dict[int, MaskPlace] = {}
    checked = MaskCounter(progress, "checking", meant.masks)
    try:
        for split, table in _tables(export, writer, out):
            content.update(image_digests(table.masks, table.images, table.runs))
            for image in _images_of(table, split):
                image = _known(image, writer)
                own.update([_digest(image, _name(image.file_name, export.holds), export.holds)])
                _find_added(image, meant, export.holds, places)
            checked.add(len(table))
    except SourceError as error:
        what = f"the written dataset cannot be read again ({error.what}), so it was removed"
        raise AuditError(what, str(place), _REPORT) from error
    if own.hexdigest() != meant.version.hexdigest():
        problem = _first_difference(dataset, export, writer, out)
        what = f"the written dataset differs from the expected one ({problem}), so it was removed"
        raise AuditError(what, str(place), _REPORT)
    return CheckedExport(content.hexdigest(), places)


def _tables(export: Export, writer: Writer, out: Path) -> Iterator[tuple[str | None, MaskTable]]:
    for source in writer.read_back(out):
        form = format_by_name(source.format or export.reader).with_options(source.options)
        with files.scratch() as work:
            for part in form.plan(source.path, work):
                yield source.split, form.load(source.path, part)


def _images_of(table: MaskTable, split: str | None) -> Iterator[FinalImage]:
    """Yield the images of a table, with their masks."""
    frame = table.masks
    areas, boxes = rle.measure(table.runs)
    counts = rle.encode_counts(table.runs).to_pylist()
    columns = {
        name: _objects(frame[name]) if name in frame else [None] * len(frame)
        for name in ("source_key", "category", "category_id", "iscrowd")
    }
    owner = frame["image_id"].to_numpy(np.int64)
    order = np.argsort(owner, kind="stable")
    ids, first = np.unique(owner[order], return_index=True)
    ends = np.append(first, len(order))[1:]  # none where there are no masks
    rows_of = {
        int(number): order[a:b].tolist() for number, a, b in zip(ids, first, ends, strict=True)
    }
    numbers = frame.index.to_numpy(np.int64).tolist()

    def mask(k: int) -> FinalMask:
        category = columns["category_id"][k]
        x, y, w, h = boxes[k].tolist()
        return FinalMask(
            numbers[k],
            str(columns["source_key"][k]),
            columns["category"][k],
            None if category is None else int(category),
            counts[k] if areas[k] else b"",
            int(areas[k]),
            (x, y, w, h),
            int(columns["iscrowd"][k] or 0),
        )

    images = table.images
    subsets = _objects(images["subset"]) if "subset" in images else [None] * len(images)
    names = _objects(images["file_name"])
    sizes = images[["height", "width"]].to_numpy(np.int64).tolist()
    for k, image_id in enumerate(images.index.tolist()):
        masks = tuple(mask(row) for row in rows_of.pop(image_id, ()))
        height, width = sizes[k]
        name = names[k] or ""
        yield FinalImage(image_id, name, height, width, "", masks, split or subsets[k])
    for image_id, rows in rows_of.items():
        masks = tuple(mask(row) for row in rows)
        yield FinalImage(image_id, "", 0, 0, "", masks, split, listed=False)


def _objects(column: pd.Series[Any]) -> list[Any]:
    return list(column.astype(object).where(column.notna(), None))


def _digest(image: FinalImage, name: str, holds: Holds) -> str:
    """Return a digest of all of an image that the format holds, 32 hex digits."""
    masks = sorted(
        b"%b %d %d %b"
        % (
            repr(mask.label if holds.categories else None).encode(),
            mask.iscrowd if holds.crowds else 0,
            mask.mask_id if holds.mask_ids else 0,
            mask.counts,
        )
        for mask in image.masks
    )
    head = repr((image.split, name, image.height, image.width)).encode()
    made = hashlib.blake2b(b"\n".join([head, *masks]), digest_size=_DIGEST_BYTES)
    return made.hexdigest()


def _name(file_name: str, holds: Holds) -> str:
    """Return an image's name as it is compared: its path without the ending, or less."""
    last = plain_name(file_name)
    folder = file_name.replace("\\", "/").rpartition("/")[0]
    return f"{folder}/{last}" if holds.paths and folder else last


def _known(image: FinalImage, writer: Writer) -> FinalImage:
    """Return an image with its split where that is compared."""
    compared = writer.options.splits and not writer.split_in_names
    return image if compared or image.split is None else replace(image, split=None)


def _image_key(image: FinalImage, name: str) -> bytes:
    return repr((image.split, name, image.height, image.width)).encode()


def _mask_key(mask: FinalMask) -> tuple[str, bytes]:
    return mask.label or "", mask.counts


def _find_added(
    image: FinalImage, meant: ExpectedExport, holds: Holds, places: dict[int, MaskPlace]
) -> None:
    """Note where the added masks of an image stand: of equal ones the last that were read."""
    left = meant.added.get(_image_key(image, _name(image.file_name, holds)))
    for mask in reversed(image.masks) if left else ():
        found = (left or {}).get(_mask_key(mask))
        if found:
            places[found.pop()] = MaskPlace(mask.mask_id, mask.source_key)


def _first_difference(dataset: FinalDataset, export: Export, writer: Writer, out: Path) -> str:
    """Return which image differs, and in what, as a clause."""
    holds = export.holds
    meant: dict[tuple[Any, ...], Counter[str]] = {}

    def add(image: FinalImage, name: str, by: int) -> None:
        image = _known(image, writer)
        key = (image.split, name)
        meant.setdefault(key, Counter())[_digest(image, name, holds)] += by

    for image in written_images(dataset, export, writer):
        add(image, _name(writer.name_read(image), holds), 1)
    for split, table in _tables(export, writer, out):
        for image in _images_of(table, split):
            add(image, _name(image.file_name, holds), -1)
    for (split, name), digests in meant.items():
        lacking, more = sum((+digests).values()), sum((-digests).values())
        if lacking or more:
            where = f"image {name!r}" + (f" of {split}" if split else "")
            if lacking and more:
                return f"{where} has other masks, categories or another size"
            return f"it lacks {where}" if lacking else f"it has {where} too much"
    return "in its images"


def meant_images(
    images: Iterable[FinalImage],
    writer: Writer,
    holds: Holds,
    meant: ExpectedExport,
    written: MaskCounter,
) -> Iterator[FinalImage]:
    """Yield images as they come, and add up what is meant of them."""
    for image in images:
        meant.take(image, writer, holds)
        yield image
        written.add(len(image.masks))
