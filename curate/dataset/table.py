"""MaskTable: masks and images as two pandas frames whose schema is checked once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.api.extensions import ExtensionDtype

from curate.common.arrays import AnyArray, ByteArray, IntArray
from curate.dataset.notes import Note, merge_notes
from curate.errors import CallError
from curate.rle import PROBLEMS, Overlaps, Runs, decode_counts, measure, overlaps
from curate.rle.codec import INVALID_SIZE, NO_SEGMENTATION

BINARY = pd.ArrowDtype(pa.large_binary())
STRING = pd.ArrowDtype(pa.large_string())

STATUSES: tuple[str, ...] = (
    "wrong_type",
    "unknown_image",
    "invalid_size",
    "no_segmentation",
    "bad_polygon",
    "size_mismatch",
    "undecodable",
    "empty",
    "duplicate_id",
    "bad_category",
    "ok",
)
"""What can be wrong with a mask itself, gravest first; a mask has the first that applies."""

IMAGE_STATUSES: tuple[str, ...] = (
    "invalid_size",
    "duplicate_id",
    "missing",
    "unreadable",
    "truncated",
    "too_large",
    "size_mismatch",
    "exif_rotated",
    "ok",
)
"""What can be wrong with an image, gravest first."""

ColumnType = np.dtype[Any] | ExtensionDtype
"""The type of a column."""

MASK_COLUMNS: dict[str, ColumnType] = {
    "source_key": STRING,
    "image_id": np.dtype("int64"),
    "category": STRING,
    "file_name": STRING,
    "height": np.dtype("int64"),
    "width": np.dtype("int64"),
    "segmentation": BINARY,
    "area_px": np.dtype("int64"),
    "bbox_x": np.dtype("int64"),
    "bbox_y": np.dtype("int64"),
    "bbox_w": np.dtype("int64"),
    "bbox_h": np.dtype("int64"),
    "status": STRING,
    "status_detail": STRING,
}
"""Columns that every masks frame has."""

OPTIONAL_MASK_COLUMNS: dict[str, ColumnType] = {
    "category_id": pd.Int64Dtype(),
    "iscrowd": pd.Int8Dtype(),
    "track_id": pd.Int64Dtype(),
    "group_id": pd.Int64Dtype(),
    "own_id": pd.BooleanDtype(),
    **dict.fromkeys(
        (
            "predicted_iou",
            "stability_score",
            "score",
            "outline_crossings",
            "declared_area",
            "declared_x",
            "declared_y",
            "declared_w",
            "declared_h",
            "prompt_x",
            "prompt_y",
            "crop_x",
            "crop_y",
            "crop_w",
            "crop_h",
        ),
        np.dtype("float64"),
    ),
}
"""Columns that a masks frame has where the source stores them; NaN is "not available".

``own_id`` says whether ``mask_id`` is the source's own number, not one that a reader gave because
that was missing, unusable or used twice; the column is there where some are not.
"""

IMAGE_COLUMNS: dict[str, ColumnType] = {
    "file_name": STRING,
    "height": np.dtype("int64"),
    "width": np.dtype("int64"),
    "status": STRING,
    "status_detail": STRING,
}
"""Columns that every images frame has."""

OPTIONAL_IMAGE_COLUMNS: dict[str, ColumnType] = {
    "source_key": STRING,
    "named_by_place": np.dtype("bool"),
    "subset": STRING,
}
"""Columns that an images frame has where the reader knows them: where the image stands in the
source, so that a mask can be added to it; whether nothing names it but the file or folder that
is the dataset, so that its name says where a copy lies and not what it holds; and the split that
the source says it is of."""


def _check(frame: pd.DataFrame, columns: Mapping[str, ColumnType], index: str, name: str) -> None:
    if frame.index.name != index or frame.index.dtype != np.int64:
        raise CallError(f"the index of {name} must be int64 and be called {index}", "MaskTable")
    if not frame.index.is_unique:
        raise CallError(f"{index} is not unique in {name}", "MaskTable")
    for column, dtype in columns.items():
        if column not in frame.columns:
            raise CallError(f"{name} lacks the column {column}", "MaskTable")
        if frame[column].dtype != dtype:
            raise CallError(
                f"{name}.{column} has dtype {frame[column].dtype}, not {dtype}", "MaskTable"
            )


@dataclass(frozen=True)
class MaskTable:
    """Masks and their images.

    Nothing changes it; every step gives a new value. What is costly to work out (runs, overlapping
    pairs) is worked out on first use and kept.

    Attributes:
        masks: Index ``mask_id`` (int64, unique), columns :data:`MASK_COLUMNS` and any of
            :data:`OPTIONAL_MASK_COLUMNS`.
        images: Index ``image_id`` (int64, unique), columns :data:`IMAGE_COLUMNS` and any
            of :data:`OPTIONAL_IMAGE_COLUMNS`.
        notes: What holds for many masks and needs saying once; see
            :class:`curate.dataset.notes.Note`. A selection of masks has none.

    Raises:
        CallError: A column is missing or has another type, or an index is not unique.
    """

    masks: pd.DataFrame
    images: pd.DataFrame
    notes: tuple[Note, ...] = ()

    def __post_init__(self) -> None:
        optional = {c: d for c, d in OPTIONAL_MASK_COLUMNS.items() if c in self.masks.columns}
        _check(self.masks, MASK_COLUMNS | optional, "mask_id", "masks")
        known = {c: d for c, d in OPTIONAL_IMAGE_COLUMNS.items() if c in self.images.columns}
        _check(self.images, IMAGE_COLUMNS | known, "image_id", "images")

    def __len__(self) -> int:
        return len(self.masks)

    def __getitem__(self, selector: slice | AnyArray) -> MaskTable:
        """Return the masks at ``selector`` (slice, positions or booleans), with all the images."""
        return MaskTable(self.masks.iloc[selector], self.images)

    @cached_property
    def runs(self) -> Runs:
        """The runs of every mask, in the order of ``masks``; none without a segmentation."""
        m = self.masks
        return decode_counts(m["segmentation"], m["height"].to_numpy(), m["width"].to_numpy())[0]

    @cached_property
    def boxes(self) -> IntArray:
        """Measured boxes, shape (n, 4), XYWH in pixels."""
        return np.ascontiguousarray(
            self.masks[["bbox_x", "bbox_y", "bbox_w", "bbox_h"]].to_numpy(np.int64)
        )

    @cached_property
    def overlaps(self) -> Overlaps:
        """Every pair of masks of one image that share pixels; rows count in ``masks``."""
        return overlaps(self.runs, self.masks["image_id"].to_numpy(), self.boxes)


def with_types(frame: pd.DataFrame, columns: Mapping[str, ColumnType]) -> pd.DataFrame:
    """Return a frame whose named columns have their types; what has its type is not copied."""
    cast: dict[str, pd.Series[Any]] = {}
    for column, dtype in columns.items():
        if column not in frame.columns:
            continue
        values = frame[column]
        if values.dtype == dtype:
            cast[column] = values
        elif isinstance(dtype, pd.ArrowDtype):
            source = values.to_numpy(object)
            arrow = pa.array(source, dtype.pyarrow_dtype, from_pandas=True)
            cast[column] = pd.Series(pd.arrays.ArrowExtensionArray(arrow), index=frame.index)
        else:
            cast[column] = values.astype(dtype)
    others = [c for c in frame.columns if c not in cast]
    return pd.DataFrame({**cast, **{c: frame[c] for c in others}}, index=frame.index)


def finish(masks: pd.DataFrame, images: pd.DataFrame, notes: tuple[Note, ...] = ()) -> MaskTable:
    """Measure what a reader has read and make a table of it.

    Args:
        masks: Index ``mask_id``; at least ``source_key``, ``image_id``, ``height``, ``width`` and
            ``segmentation`` (COCO compressed counts as bytes, None where there are none). May hold
            ``status`` and ``status_detail`` where the reader already knows what is wrong.
        images: Index ``image_id``; at least ``file_name``, ``height`` and ``width``.
        notes: What the reader says once for many masks.

    Returns:
        The table, with area, box and status filled in. Undecodable counts are dropped from
        ``segmentation`` and told in ``status_detail``; nothing is raised for a broken mask.
    """
    masks, images = masks.copy(deep=False), images.copy(deep=False)
    masks.index = masks.index.astype("int64").rename("mask_id")
    images.index = images.index.astype("int64").rename("image_id")
    for frame in (masks, images):
        for column, value in (("status", "ok"), ("status_detail", "")):
            if column not in frame.columns:
                frame[column] = _constant(value, frame.index)
    for column in ("category", "file_name"):
        if column not in masks.columns:
            masks[column] = _constant(None, masks.index)
    height, width = masks["height"].to_numpy(np.int64), masks["width"].to_numpy(np.int64)
    runs, codes = decode_counts(masks["segmentation"], height, width)
    areas, boxes = measure(runs)
    masks["area_px"] = areas
    for k, column in enumerate(("bbox_x", "bbox_y", "bbox_w", "bbox_h")):
        masks[column] = boxes[:, k]
    _note_problems(masks, codes, areas)
    table = MaskTable(
        with_types(masks, MASK_COLUMNS | OPTIONAL_MASK_COLUMNS)[
            [*MASK_COLUMNS, *(c for c in masks.columns if c not in MASK_COLUMNS)]
        ],
        with_types(images, IMAGE_COLUMNS | OPTIONAL_IMAGE_COLUMNS),
        notes,
    )
    table.__dict__["runs"] = runs  # just decoded: the cached property need not do it again
    return table


def _constant(value: str | None, index: pd.Index[Any]) -> pd.Series[Any]:
    array = pa.repeat(pa.scalar(value, pa.large_string()), len(index))
    return pd.Series(pd.arrays.ArrowExtensionArray(array), index=index)


def _note_problems(masks: pd.DataFrame, codes: ByteArray, areas: IntArray) -> None:
    """Put decoding problems and empty masks into status, where nothing graver is known yet."""
    bad = np.flatnonzero((codes != 0) | (areas == 0))
    if not len(bad):
        return
    status, detail = (
        masks["status"].to_numpy(object).copy(),
        masks["status_detail"].to_numpy(object).copy(),
    )
    segmentation = masks["segmentation"].to_numpy(object).copy()
    for row in bad:
        code = int(codes[row])
        if code == NO_SEGMENTATION and status[row] != "ok":
            continue  # the reader has said why there is none
        word = {0: "empty", NO_SEGMENTATION: "no_segmentation", INVALID_SIZE: "invalid_size"}.get(
            code, "undecodable"
        )
        if STATUSES.index(word) < STATUSES.index(status[row]):
            status[row] = word
            detail[row] = PROBLEMS[code] if code else "no pixel is set"
        if code:
            segmentation[row] = None
    masks["status"], masks["status_detail"] = status, detail
    masks["segmentation"] = pd.Series(
        pd.arrays.ArrowExtensionArray(pa.array(segmentation, pa.large_binary(), from_pandas=True)),
        index=masks.index,
    )


def concat(tables: Sequence[MaskTable]) -> MaskTable:
    """Put tables behind each other, giving new ids where the same id stands in two of them.

    A ``mask_id`` that several tables use is kept nowhere: then all masks are numbered in order from
    0, so that an id never depends on which table came first. The same holds for ``image_id``.
    """
    if not tables:
        return finish(
            pd.DataFrame(
                {c: [] for c in ("source_key", "image_id", "height", "width", "segmentation")}
            ),
            pd.DataFrame({c: [] for c in ("file_name", "height", "width")}),
        )
    image_index = np.concatenate([t.images.index.to_numpy() for t in tables])
    renumber_images = len(np.unique(image_index)) < len(image_index)
    masks_frames, image_frames, first = [], [], 0
    for table in tables:
        masks, images = table.masks, table.images
        if renumber_images:
            new = pd.Series(np.arange(first, first + len(images)), index=images.index)
            masks = masks.assign(image_id=new.reindex(masks["image_id"], fill_value=-1).to_numpy())
            images = images.set_axis(pd.Index(new.to_numpy(), name="image_id"))
            first += len(images)
        masks_frames.append(masks)
        image_frames.append(images)
    masks = pd.concat(masks_frames)
    if not masks.index.is_unique:
        masks = masks.set_axis(pd.RangeIndex(len(masks), name="mask_id").astype("int64"))
    return MaskTable(
        with_types(masks, MASK_COLUMNS | OPTIONAL_MASK_COLUMNS),
        pd.concat(image_frames),
        merge_notes(note for table in tables for note in table.notes),
    )


def plain(series: pd.Series[Any]) -> list[Any]:
    """Return a column as plain values, None where missing."""
    values = series.tolist()
    for k in np.flatnonzero(series.isna().to_numpy()).tolist():
        values[k] = None
    return values


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a frame as plain values by column, None where missing."""
    columns = {str(name): plain(frame[name]) for name in frame.columns}
    rows = zip(*columns.values(), strict=True)
    return [dict(zip(columns, values, strict=True)) for values in rows]
