"""Export of any audited dataset, with people's decisions, to one COCO instances file.

It is written from the audit's own tables, a part at a time, so the source need not be there. What
COCO has a place for is written: images, categories, pixels, boxes, areas, ``iscrowd``, ids, and
SAM's scores where there are any. Ids are the audit's (:class:`Numbers`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson
import pandas as pd

from curate import rle
from curate.common import files
from curate.dataset.version_id import VersionHash, image_digests, plain_name
from curate.errors import AuditError
from curate.formats.edits import Addition, Edits, Stored
from curate.formats.format import Format, new_file
from curate.formats.polygons import rings_of
from curate.formats.reading import detect
from curate.formats.table_builder import plain
from curate.images.image_folder import ImageFolder
from curate.store.audit import Audit
from curate.store.audit_files import count_parts, part_names, read_part, to_frame
from curate.writing.expected_dataset import MaskPlace
from curate.writing.pruning import Made

UNNAMED = "object"
"""Category of masks that have none: COCO demands one."""

_FROM_ZERO = "yolo"
"""A format that numbers its classes from 0."""

_SCORES = ("predicted_iou", "stability_score", "score")
_READ = (
    *("mask_id", "source_key", "image_id", "category", "category_id", "iscrowd"),
    *("height", "width", "segmentation", "outline_crossings", *_SCORES),
)
_DUMP = orjson.OPT_SERIALIZE_NUMPY


@dataclass(frozen=True)
class Numbers:
    """The ids in a COCO file.

    They are those of the audit, so that masks and images can be found again, but for 0, which
    readers give to the first: COCOeval takes the annotation 0 for no match.

    Attributes:
        categories: Ids of categories by name, in order.
        spare_mask: The id of mask 0.
        spare_image: The id of image 0.
        free: The first id of added masks.
        polygons: Whether most masks of the source are polygons, so that added ones are.
    """

    categories: dict[str, int]
    spare_mask: int
    spare_image: int
    free: int
    polygons: bool

    def mask(self, mask_id: int) -> int:
        """Return the id of a mask in the file."""
        return int(mask_id) or self.spare_mask

    def image(self, image_id: int) -> int:
        """Return the id of an image in the file."""
        return int(image_id) or self.spare_image


def numbers_of(audit: Audit, form: Format, edits: Edits) -> Numbers:
    """Return the ids in a COCO file.

    Args:
        audit: The audit that it is made of.
        form: The format of its source; where image ids are the source's own, one of 0 stays.
        edits: What changes.
    """
    masks = audit.query(
        "select coalesce(max(mask_id), 0) as top, count(*) filter (mask_id = 0) as zeros from masks"
    ).iloc[0]
    images = audit.query("select coalesce(max(image_id), 0) as top from images")["top"].iloc[0]
    spare = int(masks["top"]) + 1
    categories = _category_ids(audit, edits)
    if form.name == _FROM_ZERO:
        categories = {name: number + 1 for name, number in categories.items()}
    return Numbers(
        categories,
        spare_mask=spare,
        spare_image=0 if form.own_ids else int(images) + 1,
        free=spare + int(masks["zeros"] > 0),
        polygons=_are_polygons(audit),
    )


def count_unnamed(audit: Audit, edits: Edits) -> int:
    """Return how many masks get the category :data:`UNNAMED`."""
    missing = "category is null"
    if "category_id" in part_names(audit.path, "masks", 0):
        missing += " and category_id is null"
    found = audit.query(f"select source_key from masks where area_px > 0 and {missing}")
    named = {key for key, change in edits.change.items() if change.category}
    stays = ~found["source_key"].astype(str).isin(edits.drop | named)
    return int(stays.sum()) + sum(one.category is None for one in edits.add)


def _are_polygons(audit: Audit) -> bool:
    """Return whether readers counted crossings, which only polygons have, of most masks."""
    if "outline_crossings" not in part_names(audit.path, "masks", 0):
        return False
    real = "outline_crossings is not null and not isnan(outline_crossings)"
    found = audit.query(f"select count(*) filter ({real}) as rings, count(*) as n from masks")
    return bool(2 * found["rings"].iloc[0] > found["n"].iloc[0])


def _category_ids(audit: Audit, edits: Edits) -> dict[str, int]:
    """Return a number for each category's name: the source's own, for others the next ones."""
    columns = part_names(audit.path, "masks", 0)
    number = "min(category_id)" if "category_id" in columns else "null"
    label = "coalesce(category, cast(category_id as varchar))" if number != "null" else "category"
    found = audit.query(
        f"select coalesce({label}, '{UNNAMED}') as name, {number} as number from masks group by 1"
    )
    numbers = dict(zip(found["name"].astype(str), found["number"], strict=True))
    new = [one.category for one in edits.change.values() if one.category]
    new += [one.category or UNNAMED for one in edits.add]
    made: dict[str, int] = {}
    for name, own in sorted(numbers.items()):
        if not pd.isna(own) and int(own) not in made.values():
            made[name] = int(own)
    nameless = bool(made) and all(name == str(number) for name, number in made.items())
    for name in sorted({*numbers, *new} - made.keys()):
        is_number = nameless and name.isascii() and name.isdigit() and len(name) < 19
        # Where categories have no names, people say their numbers.
        own = int(name) if is_number else -1
        is_free = own >= 0 and own not in made.values()
        made[name] = own if is_free else max([0, *made.values()]) + 1
    return dict(sorted(made.items(), key=lambda one: one[1]))


def write_coco(audit: Audit, form: Format, edits: Edits, out: Path) -> Made:
    """Write an audited dataset, with edits, as a COCO instances file, and read it back.

    Returns:
        What came of it; masks without pixels, or of an image that is not known, are left out.

    Raises:
        AuditError: It cannot be written, or holds something else than what was meant.
    """
    numbers = numbers_of(audit, form, edits)
    meant = VersionHash()
    made = _File(edits.masks, plain(out.name), numbers)
    with new_file(out) as file:
        categories = [{"id": number, "name": name} for name, number in numbers.categories.items()]
        head = {"info": {"description": "written by curate"}, "categories": categories}
        file.write(orjson.dumps(head)[:-1] + b',"images":[')
        for n, image in enumerate(_images(audit, numbers)):
            file.write((b",\n" if n else b"\n") + orjson.dumps(image, option=_DUMP))
        file.write(b'\n],"annotations":[')
        for masks, images in _parts(audit, edits, made):
            runs = made.write(file, masks)
            meant.update(image_digests(masks, images, runs))
        file.write(b"\n]}\n")
    found = _version_of(out)
    if found != meant.hexdigest():
        files.unlink(out)
        what = "the written file differs from the expected dataset, so it was removed"
        raise AuditError(what, str(out), "this is a fault of curate: please report it")
    return Made(found, made.count_stored(), made.places, made.left_out, made.renumbered)


class _File:
    """Writes annotations, and counts them.

    Args:
        kind: How masks are stored; see :class:`curate.formats.edits.Edits`.
        name: Its name, with which source keys begin.
        numbers: The ids in it.
    """

    def __init__(self, kind: str, name: str, numbers: Numbers) -> None:
        self.kind, self.name, self.numbers = kind, name, numbers
        self.places: dict[int, MaskPlace] = {}
        self.renumbered: dict[int, int] = {}
        self.count = self.left_out = self.rings = self.seams = self.runs = self.turned = 0

    def write(self, file: BinaryIO, masks: pd.DataFrame) -> rle.Runs:
        """Write the masks of a part, and return their runs."""
        sizes = (masks[side].to_numpy(np.int64) for side in ("height", "width"))
        runs, _ = rle.decode_counts(masks["segmentation"].tolist(), *sizes)
        areas, boxes = rle.measure(runs)
        counts = rle.encode_counts(runs).to_pylist()
        scores = [name for name in _SCORES if name in masks]
        rows = zip(masks.to_dict("records"), counts, areas.tolist(), boxes.tolist(), strict=True)
        for row, one, area, box in rows:
            record = {
                "id": self._id(row),
                "image_id": self.numbers.image(row["image_id"]),
                "category_id": self.numbers.categories[row["category"]],
                "segmentation": self._segmentation(one, row),
                "area": area,
                "bbox": box,
                "iscrowd": row["iscrowd"],
                **{name: row[name] for name in scores if not np.isnan(row[name])},
            }
            file.write((b",\n" if self.count else b"\n") + orjson.dumps(record, option=_DUMP))
            self.count += 1
        return runs

    def _id(self, row: Mapping[Any, Any]) -> int:
        """Return the id of a mask in the file; note where an added or renumbered one stands."""
        number = self.numbers.mask(row["mask_id"])
        if row["addition"] >= 0:
            key = f"{self.name}#/annotations/{self.count}"
            self.places[int(row["addition"])] = MaskPlace(number, key)
        elif number != row["mask_id"]:
            self.renumbered[int(row["mask_id"])] = number
        return number

    def _segmentation(self, counts: bytes, row: Mapping[Any, Any]) -> Any:
        height, width = row["height"], row["width"]
        if self.kind == "polygon" or (self.kind == "same" and row["polygon"]):
            rings = rings_of(counts, height, width)
            if rings is None and self.kind == "polygon":
                rings = rings_of(counts, height, width, seams=True)
                self.seams += rings is not None
            if rings is not None:
                self.rings += 1
                return [[int(c) if c == int(c) else c for c in ring] for ring in rings]
            self.turned += 1
        self.runs += 1
        return {"size": [height, width], "counts": counts.decode("ascii")}

    def count_stored(self) -> Stored:
        """Return how the pixels were stored."""
        return Stored(self.rings, self.seams, self.runs, self.turned)


def _images(audit: Audit, numbers: Numbers) -> Iterator[dict[str, object]]:
    folder = _pictures(audit)
    for index in range(count_parts(audit.path)):
        frame = _read(audit, "images", index, ("image_id", "file_name", "height", "width"))
        for row in frame.to_dict("records"):
            size = {side: int(row[side]) for side in ("width", "height")}
            name = "" if pd.isna(row["file_name"]) else str(row["file_name"])
            number = numbers.image(int(row["image_id"]))
            yield {"id": number, "file_name": _picture(name, folder), **size}


def _pictures(audit: Audit) -> ImageFolder | None:
    """Return the folder of pictures that was audited, if it is still there."""
    path = audit.info.inputs.get("images")
    return ImageFolder(path) if path and Path(path).is_dir() else None


def _picture(name: str, folder: ImageFolder | None) -> str:
    """Return the name of an image's picture: a source may name images by their masks, or by stem.

    Only the folder and the ending may differ, so that it stays the same image.
    """
    found = None if folder is None else folder.find(name)
    if folder is None or found is None or plain_name(found.name) != plain_name(name):
        return name
    return plain(found.relative_to(folder.path).as_posix())


def _read(audit: Audit, view: str, index: int, columns: tuple[str, ...]) -> pd.DataFrame:
    names = [name for name in columns if name in part_names(audit.path, view, index)]
    frame = to_frame(read_part(audit.path, view, index, names))
    return frame if frame.index.name is None else frame.reset_index()


def _parts(audit: Audit, edits: Edits, made: _File) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Yield the masks as they are to be written, and the images, a part at a time."""
    add: dict[str, list[tuple[int, Addition]]] = {}
    for k, one in enumerate(edits.add):
        add.setdefault(one.image_key, []).append((k, one))
    free = made.numbers.free
    for index in range(count_parts(audit.path)):
        columns = ("image_id", "file_name", "height", "width", "source_key")
        images = _read(audit, "images", index, columns).set_index("image_id")
        masks = _as_left(_read(audit, "masks", index, _READ), edits)
        new = _append_added(images, add, free).assign(polygon=made.numbers.polygons)
        free += len(new)
        masks = pd.concat([masks, new], ignore_index=True) if len(new) else masks
        sizes = (masks[side].to_numpy(np.int64) for side in ("height", "width"))
        usable = rle.area(rle.decode_counts(masks["segmentation"].tolist(), *sizes)[0]) > 0
        usable &= masks["image_id"].isin(images.index).to_numpy(np.bool_)
        made.left_out += int((~usable).sum())
        yield masks[usable], images


def _as_left(masks: pd.DataFrame, edits: Edits) -> pd.DataFrame:
    """Return the masks of a part that stay, as people left them."""
    keys = masks["source_key"].astype(str)
    masks = masks[~keys.isin(edits.drop).to_numpy(np.bool_)].reset_index(drop=True)
    category = masks["category"].astype(object).where(masks["category"].notna(), None)
    if "category_id" in masks:
        number = (
            masks["category_id"]
            .astype("Int64")
            .astype(str)
            .where(masks["category_id"].notna(), None)
        )
        category = category.where(category.notna(), number)
    category = category.where(category.notna(), UNNAMED)
    segmentation = masks["segmentation"].astype(object)
    pixels = segmentation.where(segmentation.notna(), None).to_numpy(object, copy=True)
    names = category.to_numpy(object, copy=True)
    for row, key in enumerate(masks["source_key"].astype(str)):
        if change := edits.change.get(key):
            pixels[row] = pixels[row] if change.counts is None else change.counts
            names[row] = change.category or names[row]
    crowd = masks["iscrowd"].fillna(0).astype("int64") if "iscrowd" in masks else 0
    scores = {
        name: masks[name].to_numpy(np.float64, na_value=np.nan) for name in _SCORES if name in masks
    }
    # Readers count the crossings of polygons, and of nothing else.
    ring = masks["outline_crossings"].notna() if "outline_crossings" in masks else False
    made = masks.drop(columns=["category_id", "outline_crossings"], errors="ignore")
    made = made.assign(segmentation=pixels, category=names, iscrowd=crowd, **scores)
    return made.assign(polygon=ring, addition=-1)


def _append_added(
    images: pd.DataFrame, add: Mapping[str, list[tuple[int, Addition]]], free: int
) -> pd.DataFrame:
    if not add or "source_key" not in images:
        return pd.DataFrame()
    rows = [
        {
            "image_id": image_id,
            "height": one.height,
            "width": one.width,
            "segmentation": one.counts,
            "category": one.category or UNNAMED,
            "iscrowd": 0,
            "addition": k,
            **dict.fromkeys(_SCORES, np.nan),
        }
        for image_id, key in images["source_key"].items()
        for k, one in add.get(str(key), ())
    ]
    return pd.DataFrame(rows).assign(mask_id=np.arange(free, free + len(rows)))


def _version_of(path: Path) -> str:
    version = VersionHash()
    form = detect(path, "coco")
    with files.scratch() as work:
        for part in form.plan(path, work):
            table = form.load(path, part)
            version.update(image_digests(table.masks, table.images, table.runs))
    return version.hexdigest()
