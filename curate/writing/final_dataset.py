"""The dataset as it is to be written: an audit's images and masks with all edits made, streamed.

It is made from the audit's own tables, a part at a time, so the source need not be there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from curate import rle
from curate.common.archive_kinds import is_folder
from curate.common.arrays import BoolArray, IntArray
from curate.dataset.version_id import plain_name
from curate.errors import SourceError
from curate.formats.edits import Addition, Edits
from curate.formats.format import Format
from curate.formats.table_builder import plain
from curate.images.image_folder import ImageFolder
from curate.store.audit import StoredAudit
from curate.store.audit_files import count_parts, part_names
from curate.store.known_pictures import open_pictures
from curate.writing.edited_tables import (
    SCORES,
    read_columns,
    text_or_nothing,
    whole_or_none,
    with_edits,
)
from curate.writing.source_rings import SourceRings

_MASKS = (
    *("mask_id", "source_key", "image_id", "category", "category_id", "iscrowd", "track_id"),
    *("group_id", "height", "width", "segmentation", "outline_crossings", *SCORES),
)
_IMAGES = ("image_id", "file_name", "height", "width", "source_key", "subset", "status")
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class FinalMask:
    """A mask as it is to be written.

    Attributes:
        mask_id: Its id in the audit; that of an added mask is the next free one.
        source_key: Where it stands in the source; of an added one "the added mask K".
        category: Its category's name; None where it has no name.
        category_id: Its category's number in the source; None where it has none, or where people
            gave the mask another category.
        counts: Its pixels as COCO compressed counts, in the one spelling that equal pixels have;
            b"" where it has no pixels, or none that can be read.
        area: Number of its pixels.
        box: Its measured box, XYWH in pixels.
        iscrowd: 1 for a crowd region, else 0.
        scores: Those of :data:`SCORES` that the source states.
        track_id: Number of the object that it shows through a video; None where it has none.
        group_id: Number that it shares with other masks; None where it has none.
        polygon: Whether the source stores it as a polygon (of an added one: most masks).
        addition: Position of an added mask among the edits; -1 for one of the source.
        attributes: What is noted beside it.
        ignored: Whether it is to be an ignore region, though the source has it as a mask.
    """

    mask_id: int
    source_key: str
    category: str | None
    category_id: int | None
    counts: bytes
    area: int
    box: tuple[int, int, int, int]
    iscrowd: int = 0
    scores: Mapping[str, float] = field(default_factory=dict)
    track_id: int | None = None
    group_id: int | None = None
    polygon: bool = False
    addition: int = -1
    attributes: Mapping[str, str] = field(default_factory=dict)
    ignored: bool = False

    @property
    def label(self) -> str | None:
        """Its category: the name, or the number as text where there is no name, or None."""
        return (
            str(self.category_id) if self.category is None and self.is_numbered else self.category
        )

    @property
    def is_numbered(self) -> bool:
        """Whether its category has a number."""
        return self.category_id is not None


@dataclass(frozen=True, slots=True)
class FinalImage:
    """An image as it is to be written, with its masks.

    Attributes:
        image_id: Its id in the audit.
        file_name: Its name; the path under the folder of pictures where that was audited; "" where
            it has no name.
        height: Pixels; 0 where not known.
        width: Pixels; 0 where not known.
        source_key: Where it stands in the source; "" where the source does not list it.
        masks: All its masks, in the order of the source; added ones last.
        split: The split that it is written in; None where there are none.
        picture: Its picture; None where there is none, or where pictures were not audited.
        subset: The split that the source says it is of; None where it says none.
        listed: Whether the source lists it; else only masks name it.
        status: What the audit found of it: a word of
            :data:`curate.dataset.table.IMAGE_STATUSES`.
        void: Masks that are written as pixels of no mask, which training leaves out.
    """

    image_id: int
    file_name: str
    height: int
    width: int
    source_key: str
    masks: tuple[FinalMask, ...]
    split: str | None = None
    picture: Path | None = None
    subset: str | None = None
    listed: bool = True
    status: str = "ok"
    void: tuple[FinalMask, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.height, self.width

    def runs(self) -> rle.Runs:
        """Return the runs of all its masks, in order."""
        n = len(self.masks)
        counts = [mask.counts or None for mask in self.masks]
        return rle.decode_counts(counts, [self.height] * n, [self.width] * n)[0]

    def dense(self, mask: FinalMask) -> BoolArray:
        """Return the pixels of one of its masks, shape (height, width)."""
        runs, _ = rle.decode_counts([mask.counts or None], [self.height], [self.width])
        return rle.to_dense(runs, 0)

    def with_pixels(self, mask: FinalMask, pixels: BoolArray | rle.Runs) -> FinalMask:
        """Return one of its masks with other pixels, measured.

        Args:
            mask: The mask.
            pixels: Shape (height, width), or the runs of one mask.
        """
        runs = pixels if isinstance(pixels, rle.Runs) else rle.from_dense(pixels)
        areas, boxes = rle.measure(runs)
        counts = rle.encode_counts(runs)[0].as_py() if areas[0] else b""
        x, y, w, h = boxes[0].tolist()
        return replace(mask, counts=counts, area=int(areas[0]), box=(x, y, w, h))


@dataclass(frozen=True)
class FinalCategory:
    """A category of the dataset.

    Attributes:
        label: Its name, or its number as text where it has no name.
        number: Its number in the source; None where it has none.
        masks: How many masks of the source have it, without regard to edits.
    """

    label: str
    number: int | None
    masks: int


@dataclass(frozen=True)
class FinalDataset:
    """An audited dataset with the edits made.

    Attributes:
        audit: The audit that it is made of.
        form: The format of its source.
        edits: What changes.
        source: The audited dataset, where it is now, for its polygons; None: they are drawn anew.
        split_of: From an image's id to its split; None for no splits.
        only: Ids of the images that stay; None for all.
    """

    audit: StoredAudit = field(repr=False)
    form: Format = field(repr=False)
    edits: Edits = field(repr=False)
    source: Path | None = field(default=None, repr=False)
    split_of: Callable[[int], str | None] | None = field(default=None, repr=False)
    only: Callable[[IntArray], BoolArray] | None = field(default=None, repr=False)

    @cached_property
    def pictures(self) -> ImageFolder | None:
        """The folder of pictures that was audited, if it is still there."""
        path = self.audit.info.inputs.get("images")
        if not path or not is_folder(Path(path)):
            return None
        try:
            return open_pictures(self.audit, Path(path))
        except SourceError:
            return None

    @cached_property
    def rings(self) -> SourceRings | None:
        """The polygons of the source; None where they are not known."""
        if self.source is None or "outline_crossings" not in self.columns:
            return None
        return SourceRings(self.form, self.source)

    @cached_property
    def categories(self) -> tuple[FinalCategory, ...]:
        """Every category that a mask of the source or an edit has, ordered by label."""
        numbered = "category_id" in self.columns
        number = "min(category_id)" if numbered else "null"
        label = "nullif(category, '')"
        label = f"coalesce({label}, cast(category_id as varchar))" if numbered else label
        found = self.audit.query(
            f"select {label} as label, {number} as number, count(*) as masks from masks "
            f"where {label} is not null group by 1"
        )
        made = {
            str(row["label"]): FinalCategory(
                str(row["label"]),
                None if pd.isna(row["number"]) else int(row["number"]),
                int(row["masks"]),
            )
            for row in found.to_dict("records")
        }
        for name in self.edits.categories:
            made.setdefault(name, FinalCategory(name, None, 0))
        return tuple(made[name] for name in sorted(made))

    @cached_property
    def has_unnamed(self) -> bool:
        """Whether a mask of the source or an added one has no category."""
        missing = "nullif(category, '') is null"
        missing += " and category_id is null" if "category_id" in self.columns else ""
        found = self.audit.query(f"select count(*) filter ({missing}) as n from masks")["n"]
        return bool(found.iloc[0]) or any(one.category is None for one in self.edits.add)

    @cached_property
    def first_free_id(self) -> int:
        """The first id of added masks."""
        found = self.audit.query("select coalesce(max(mask_id), 0) as top from masks")["top"]
        return int(found.iloc[0]) + 1 + int(self.has_mask_zero)

    @cached_property
    def has_mask_zero(self) -> bool:
        """Whether a mask has the id 0."""
        found = self.audit.query("select count(*) filter (mask_id = 0) as n from masks")["n"]
        return bool(found.iloc[0])

    @cached_property
    def mostly_polygons(self) -> bool:
        """Whether readers counted crossings, which only polygons have, of most masks."""
        if "outline_crossings" not in self.columns:
            return False
        real = "outline_crossings is not null and not isnan(outline_crossings)"
        sql = f"select count(*) filter ({real}) as rings, count(*) as n from masks"
        found = self.audit.query(sql)
        return bool(2 * found["rings"].iloc[0] > found["n"].iloc[0])

    @cached_property
    def columns(self) -> frozenset[str]:
        """The columns of the audit's masks."""
        return frozenset(part_names(self.audit.path, "masks", 0))

    @cached_property
    def has_tracks(self) -> bool:
        """Whether masks say which object of a video they show."""
        if "track_id" not in self.columns:
            return False
        found = self.audit.query("select count(track_id) as n from masks")["n"]
        return bool(found.iloc[0])

    def list_image_columns(self) -> list[str]:
        """Return the names of the columns of the audit's images."""
        return part_names(self.audit.path, "images", 0)

    def images(self, *, with_masks: bool = True) -> Iterator[FinalImage]:
        """Yield every image with its masks, in the audit's order; can be asked for again.

        Those that no list of images names come last in their part.

        Args:
            with_masks: Whether masks are read; without them listed images come alone, and fast.
        """
        add: dict[str, list[int]] = {}
        for k, one in enumerate(self.edits.add):
            add.setdefault(one.image_key, []).append(k)
        for index in range(count_parts(self.audit.path)):
            images = read_columns(self.audit, "images", index, _IMAGES).to_dict("records")
            masks = self._masks_of(index) if with_masks else {}
            for row in images:
                number, key = int(row["image_id"]), text_or_nothing(row.get("source_key"))
                mine = [mask for mask, _ in masks.pop(number, ())]
                if self.only is not None and not self.only(np.array([number]))[0]:
                    continue
                new = add.get(key, ()) if key and with_masks else ()
                mine += [self._added(k, self.first_free_id + k) for k in new]
                yield self._image(row, tuple(mine))
            yield from self._unlisted(masks)

    def _unlisted(
        self, masks: Mapping[int, list[tuple[FinalMask, tuple[int, int]]]]
    ) -> Iterator[FinalImage]:
        for image_id, mine in masks.items():
            height, width = mine[0][1]
            kept = tuple(mask for mask, _ in mine)
            yield FinalImage(image_id, "", height, width, "", kept, listed=False)

    def _image(self, row: Mapping[Any, Any], masks: tuple[FinalMask, ...]) -> FinalImage:
        number, name = int(row["image_id"]), text_or_nothing(row["file_name"])
        found = None if self.pictures is None else self.pictures.find(name)
        return FinalImage(
            number,
            self._picture_name(name, found),
            int(row["height"]),
            int(row["width"]),
            text_or_nothing(row.get("source_key")),
            masks,
            None if self.split_of is None else self.split_of(number),
            found,
            text_or_nothing(row.get("subset")) or None,
            status=text_or_nothing(row.get("status")) or "ok",
        )

    def _picture_name(self, name: str, found: Path | None) -> str:
        """Return the name of an image's picture: sources name images by their masks, or by stem.

        Only the folder and the ending may differ, so that it stays the same image.
        """
        if found is None or self.pictures is None or plain_name(found.name) != plain_name(name):
            return name
        return plain(found.relative_to(self.pictures.path).as_posix())

    def _masks_of(self, index: int) -> dict[int, list[tuple[FinalMask, tuple[int, int]]]]:
        """Return the masks of a part as they are to be, and their sizes, by image."""
        frame = with_edits(read_columns(self.audit, "masks", index, _MASKS), self.edits)
        sizes = [frame[side].to_numpy(np.int64) for side in ("height", "width")]
        runs, _ = rle.decode_counts(frame["segmentation"].tolist(), *sizes)
        areas, boxes = rle.measure(runs)
        counts = rle.encode_counts(runs).to_pylist()
        scores = [name for name in SCORES if name in frame]
        found: dict[int, list[tuple[FinalMask, tuple[int, int]]]] = {}
        rows = zip(frame.to_dict("records"), counts, areas.tolist(), boxes.tolist(), strict=True)
        for row, one, area, (x, y, w, h) in rows:
            mask = FinalMask(
                int(row["mask_id"]),
                str(row["source_key"]),
                row["category"],
                whole_or_none(row.get("category_id")),
                one if area else b"",
                area,
                (x, y, w, h),
                whole_or_none(row.get("iscrowd")) or 0,
                {name: row[name] for name in scores if row[name] == row[name]},
                whole_or_none(row.get("track_id")),
                whole_or_none(row.get("group_id")),
                row["polygon"],
                attributes=row["attributes"],
                ignored=row["ignored"],
            )
            size = int(row["height"]), int(row["width"])
            found.setdefault(int(row["image_id"]), []).append((mask, size))
        return found

    def _added(self, position: int, mask_id: int) -> FinalMask:
        one: Addition = self.edits.add[position]
        runs, _ = rle.decode_counts([one.counts], [one.height], [one.width])
        areas, boxes = rle.measure(runs)
        x, y, w, h = boxes[0].tolist()
        return FinalMask(
            mask_id,
            f"the added mask {position}",
            one.category,
            None,
            rle.encode_counts(runs)[0].as_py() if areas[0] else b"",
            int(areas[0]),
            (x, y, w, h),
            polygon=self.mostly_polygons,
            addition=position,
            attributes=one.attributes,
        )
