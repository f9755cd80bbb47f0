"""Writer of arrays of masks: ids and layers that go, change and come."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from curate import rle
from curate.common.arrays import AnyArray, ByteArray
from curate.errors import CallError, SourceError
from curate.formats.edits import Addition, Edits
from curate.formats.ids.division import Box, Paint
from curate.formats.ids.id_edits import IdFileEdits, IdStorage
from curate.formats.new_pixels import PixelTally, image_size, new_runs
from curate.formats.npy.array_masks import MaskArray, find_masks, read_ids
from curate.formats.npy.stored_arrays import (
    DAMAGED,
    StoredArray,
    list_arrays,
    write_archive,
)
from curate.formats.png.png_reading import PictureProblem
from curate.formats.tiff.tiff_ids import to_ids

LAYER = re.compile(r"(.+)\[(0|[1-9]\d{0,8})\]", re.DOTALL)
"""Source key of a mask that is a layer: the array's name and the layer's number."""

_FOLLOWS = frozenset(
    (
        *("scores", "score", "boxes", "bboxes", "bbox", "rois", "areas", "area", "points"),
        *("labels", "label", "classes", "class_ids", "class_id", "categories", "category_ids"),
        *("category_id", "ids", "names", "iou", "ious", "iou_preds", "predicted_iou", "pred_iou"),
        *("stability_score", "stability_scores", "point_coords", "keypoints", "logits"),
        "low_res_masks",
    )
)
"""Names of arrays that have an entry a mask, as segmenters and detectors give them."""


def stored_at(path: Path) -> StoredArray:
    """Return the array of ids at a path: an ``.npy``, or an ``.npz`` and a name behind it.

    Raises:
        SourceError: There is none.
    """
    file = path
    while not file.exists() and file.parent != file:
        file = file.parent
    member = "" if file == path else path.relative_to(file).as_posix()
    try:
        for one in find_masks(file):
            if one.stored.member == member or not member:
                return one.stored
    except PictureProblem as problem:
        raise SourceError(problem.detail, str(file), "mend it or leave it out") from problem
    raise SourceError(f"it has no array {member}", str(file))


class ArrayIds:
    """An array of ids, open for edits.

    Attributes:
        size: Height and width in pixels.
        ids: All ids but 0.
        runs: Their pixels, one mask an id.
        palette: None.
        largest: The largest id that it can hold.
    """

    palette: ByteArray | None = None

    def __init__(self, path: Path) -> None:
        stored = stored_at(path)
        try:
            self._values = stored.values()
            found = read_ids(self._values, known=True)
        except PictureProblem as problem:
            raise SourceError(problem.detail, str(path), "mend it or leave it out") from problem
        self.size = (self._values.shape[0], self._values.shape[1])
        self.ids: list[int] = found.ids.tolist()
        self.runs = found.runs
        kind = self._values.dtype
        self.largest = 1 if kind.kind == "b" else min(int(np.iinfo(kind).max), 2**31 - 1)

    def read(self, box: Box) -> AnyArray:
        """Return the ids in a box."""
        x, y, w, h = box
        part = self._values[y : y + h, x : x + w]
        return part.astype(np.uint8) if part.dtype == bool else to_ids(part)


def write_ids(
    source: Path, target: BinaryIO, blank: AbstractSet[int], paint: Paint | None = None
) -> None:
    """Write an array of ids with some ids gone and some pixels set, as an ``.npy``.

    Raises:
        CallError: No pixel has an id to blank.
        SourceError: It cannot be read.
    """
    stored = stored_at(source)
    try:
        values = stored.values().copy(order="K")
        there = np.isin(values, sorted(blank))
        missing = set(blank) - set(np.unique(values[there]).astype(np.int64).tolist())
        if missing:
            raise CallError(f"it has no mask with the id {min(missing)}", str(source))
        values[there] = 0
        if paint is not None:
            height, width = paint.ids.shape
            part = values[paint.y : paint.y + height, paint.x : paint.x + width]
            part[paint.ids > 0] = paint.ids[paint.ids > 0]
        target.write(stored.rewritten(values))
    except PictureProblem as problem:
        raise SourceError(problem.detail, str(source), "mend it or leave it out") from problem


ARRAY_IDS = IdStorage("array", ArrayIds, write_ids)


@dataclass
class LayerEdits:
    """Edits of an array that has a mask a layer.

    Attributes:
        name: Its name, as source keys have it.
        array: Where it is.
        drop: Layers that go.
        change: New pixels by layer.
        add: New masks.
    """

    name: str
    array: MaskArray
    drop: set[int] = field(default_factory=set)
    change: dict[int, bytes] = field(default_factory=dict)
    add: list[Addition] = field(default_factory=list)

    def contents(self, tally: PixelTally) -> dict[str, bytes]:
        """Return the new contents of the array, and of those with an entry a mask, by name.

        Raises:
            CallError: There is no such layer, a mask does not fit, or an array beside it has as
                many entries and nothing says whether they are those of masks.
            SourceError: It cannot be read.
        """
        path = self.array.stored.path
        try:
            values = self.array.stored.values()
            made = self._layers(values)
            contents = {self.array.stored.member: self.array.stored.rewritten(made)}
            for other in self._followers(len(values)):
                left = np.delete(other.values(), sorted(self.drop), axis=0)
                contents[other.member] = other.rewritten(left)
        except PictureProblem as problem:
            raise SourceError(problem.detail, str(path), "mend it or leave it out") from problem
        tally.runs += len(self.change) + len(self.add)
        return contents

    def _layers(self, values: AnyArray) -> AnyArray:
        beyond = {k for k in (*self.drop, *self.change) if k >= len(values)}
        if beyond:
            raise CallError(f"{self.name}[{min(beyond)}] names no mask of it", self.name)
        inside = values.dtype.type(values.max() if values.size and values.any() else 1)
        made = values.copy()
        for number, counts in self.change.items():
            key = f"{self.name}[{number}]"
            mask = rle.to_dense(new_runs(counts, self.array.size, key), 0)
            made[number] = np.where(mask, inside, values.dtype.type(0))
        made = np.delete(made, sorted(self.drop), axis=0)
        new = []
        for one in self.add:
            size = image_size(self.array.size, one.height, one.width, self.name)
            mask = rle.to_dense(new_runs(one.counts, size, self.name), 0)
            new.append(np.where(mask, inside, values.dtype.type(0)).reshape(1, *made.shape[1:]))
        return np.concatenate([made, *new]).astype(values.dtype, copy=False)

    def _followers(self, count: int) -> list[StoredArray]:
        """Return the arrays of the file that have an entry a mask."""
        stored = self.array.stored
        if not stored.member or not (self.drop or self.add):
            return []
        found = [
            one
            for one in list_arrays(stored.path)
            if one.member != stored.member and one.header.shape[:1] == (count,)
        ]
        for one in found:
            if self.add:
                what = f"the array {one.member} has an entry a mask, and none for a new one"
                raise CallError(what, self.name, "write COCO with --to coco")
            if one.member.rpartition("/")[2].lower() not in _FOLLOWS:
                what = f"whether the {count} entries of the array {one.member} are those of masks"
                do = "write COCO with --to coco, or take that array out"
                raise CallError(f"{what} is not known", self.name, do)
        return found


def write_file(
    source: Path,
    target: BinaryIO,
    ids: Mapping[str, IdFileEdits],
    layers: Mapping[str, LayerEdits],
    overlap: str | None,
    tally: PixelTally,
) -> None:
    """Write a file of arrays anew.

    Args:
        source: The file.
        target: Where to.
        ids: Edits of its arrays of ids by what they are called in it.
        layers: Edits of its arrays of layers by what they are called in it.
        overlap: Whose a pixel is that two ids claim.
        tally: Counts the forms of new pixels.

    Raises:
        CallError: What is asked does not fit.
        SourceError: The file cannot be read.
    """
    try:
        _write_file(source, target, ids, layers, overlap, tally)
    except PictureProblem as problem:
        raise SourceError(problem.detail, str(source), "mend it or leave it out") from problem
    except DAMAGED as error:
        what = f"the arrays cannot be read ({error})"
        raise SourceError(what, str(source), "mend it or leave it out") from error


def _write_file(
    source: Path,
    target: BinaryIO,
    ids: Mapping[str, IdFileEdits],
    layers: Mapping[str, LayerEdits],
    overlap: str | None,
    tally: PixelTally,
) -> None:
    contents: dict[str, bytes] = {}
    for member, mine in ids.items():
        made = io.BytesIO()
        mine.write(mine.path, made, overlap, tally)
        contents[member] = made.getvalue()
    for one in layers.values():
        contents |= one.contents(tally)
    if source.suffix.lower() == ".npz":
        write_archive(source, target, contents)
    else:
        target.write(contents[""])


def split_layers(edits: Edits, arrays: Mapping[str, MaskArray], where: str) -> list[LayerEdits]:
    """Group the edits of arrays of layers; those of arrays of ids are left.

    Raises:
        CallError: A key names nothing.
    """
    found: dict[str, LayerEdits] = {}

    def of(key: str) -> tuple[LayerEdits, int] | None:
        named = LAYER.fullmatch(key)
        if named is None:
            return None
        if named[1] not in arrays or not arrays[named[1]].layered:
            raise CallError(f"{key} names no mask of it", where)
        mine = found.setdefault(named[1], LayerEdits(named[1], arrays[named[1]]))
        return mine, int(named[2])

    for key in edits.drop:
        if mine := of(key):
            mine[0].drop.add(mine[1])
    for key, change in edits.change.items():
        if (mine := of(key)) and change.counts is not None:
            mine[0].change[mine[1]] = change.counts
    for one in edits.add:
        array = arrays.get(one.image_key)
        if array is not None and array.layered:
            found.setdefault(one.image_key, LayerEdits(one.image_key, array)).add.append(one)
    return list(found.values())
