"""Random access to the masks of an audit: by id, one part of the audit at a time.

Only ids are held for all masks, eight bytes each; everything else is read with a part of the audit,
of which the rows of one image are kept.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curate.common.arrays import FloatArray, IntArray
from curate.rle import Runs, decode_counts
from curate.store.audit import StoredAudit
from curate.store.audit_files import part_paths
from curate.store.parquet_parts import check_table, read_names, reading_part

CACHE_BYTES = 16_000_000
"""What images in memory may take together."""

MASK_COLUMNS = (
    *("mask_id", "image_id", "file_name", "category", "height", "width", "segmentation"),
    *("area_px", "bbox_x", "bbox_y", "bbox_w", "bbox_h", "reasons", "status"),
    *("declared_x", "declared_y", "declared_w", "declared_h", "prompt_x", "prompt_y"),
    *("duplicate_of", "duplicate_iou", "overlap_with", "overlap_iou", "nested_in"),
    *("predicted_iou", "score", "detector_category", "detector_category_confidence"),
    *("category_suggested", "category_suggested_probability", "judge_reason"),
)
"""Columns that a card shows or needs, beside every score."""

_TEXT_COLUMNS = ("file_name", "category", "reasons", "status", "action")


@dataclass(frozen=True)
class ImageMasks:
    """All masks of one image in memory.

    Attributes:
        table: Their rows, columns of :data:`MASK_COLUMNS` and all scores.
        boxes: Shape (n, 4): the measured box of each row, XYWH.
    """

    table: pa.Table
    boxes: FloatArray

    def row(self, index: int) -> dict[str, Any]:
        """Return a row's values, without its run lengths."""
        names = [name for name in self.table.schema.names if name != "segmentation"]
        return dict(self.table.select(names).slice(index, 1).to_pylist()[0])

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def runs(self, rows: Sequence[int] | IntArray) -> Runs:
        """Read the masks of some rows; one that cannot be read is empty."""
        some = self.table.select(["segmentation", "height", "width"]).take(
            pa.array(np.asarray(rows, np.int64))
        )
        sizes = [some[name].to_numpy().astype(np.int64) for name in ("height", "width")]
        return decode_counts(some["segmentation"].combine_chunks(), *sizes)[0]


class MaskFiles:
    """An audit's masks, found by id and by place in the files.

    Args:
        audit: The audit.
        extra: Columns that are given to ``visit`` while the ids are read.
        visit: Called with each part's first place and its table of ``extra``.
    """

    def __init__(
        self,
        audit: StoredAudit,
        extra: Sequence[str] = (),
        visit: Callable[[int, pa.Table], None] | None = None,
    ) -> None:
        self.paths = part_paths(audit.path, "masks")
        self.names: list[str] = read_names(self.paths[0])
        ids, starts = [], [0]
        for path in self.paths:
            table = read_columns(path, ["mask_id", *extra])
            ids.append(table["mask_id"].to_numpy().astype(np.int64, copy=False))
            if visit is not None:
                visit(starts[-1], table)
            starts.append(starts[-1] + len(table))
        pa.default_memory_pool().release_unused()
        self.ids = np.concatenate(ids)
        self.starts = np.array(starts)
        self._kept: OrderedDict[int, ImageMasks] = OrderedDict()
        self._bytes = 0
        self._last: tuple[int, pa.Table] | None = None
        self._lock = threading.Lock()
        # One thread reads: each that did would keep memory of its own for the next time.
        self._reader = ThreadPoolExecutor(1, "parts")

    @cached_property
    def _order(self) -> IntArray | None:
        """The places by rising id; None where the files have them so."""
        if len(self.ids) < 2 or bool((np.diff(self.ids) > 0).all()):
            return None
        return np.argsort(self.ids, kind="stable")

    def find(self, ids: Any) -> IntArray:
        """Return the place of each mask id in the files, -1 where there is none."""
        wanted = np.asarray(ids, np.int64)
        at = np.searchsorted(self.ids, wanted, sorter=self._order)
        at = np.minimum(at, len(self.ids) - 1)
        place = at if self._order is None else self._order[at]
        return np.where(self.ids[place] == wanted, place, -1)

    def part(self, place: int) -> tuple[ImageMasks, int]:
        """Return the masks of the image of the mask at a place, and its row among them."""
        number = int(np.searchsorted(self.starts, place, side="right")) - 1
        row = place - int(self.starts[number])
        with self._lock:
            kept = self._kept.pop(place, None)
            if kept is None:
                kept = self._read(number, row)
                self._bytes += kept.table.nbytes
            self._kept[place] = kept
            while len(self._kept) > 1 and self._bytes > CACHE_BYTES:
                self._bytes -= self._kept.popitem(last=False)[1].table.nbytes
        ids = kept.table["mask_id"].to_numpy()
        return kept, int(np.flatnonzero(ids == self.ids[place])[0])

    def _read(self, number: int, row: int) -> ImageMasks:
        if self._last is None or self._last[0] != number:
            self._last = None  # the one goes before the other comes
            scores = [name for name in self.names if name.endswith("_score")]
            names = list(dict.fromkeys([*MASK_COLUMNS, *scores]))
            table = self._reader.submit(_read_and_release, self.paths[number], names).result()
            self._last = (number, table)
        table = self._last[1]
        images = table["image_id"].to_numpy()
        own = table.take(pa.array(np.flatnonzero(images == images[row])))
        plain = own.cast(
            pa.schema([_without_dictionary(field) for field in own.schema])
        ).combine_chunks()
        return ImageMasks(
            plain, np.column_stack([_float_column(plain, f"bbox_{side}") for side in "xywh"])
        )

    def parts(self, names: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
        """Yield each part's first place and some of its columns, one part in memory at a time."""
        for start, path in zip(self.starts.tolist(), self.paths, strict=False):
            yield start, read_columns(path, names)
        pa.default_memory_pool().release_unused()

    def numbers(self, name: str, places: IntArray) -> FloatArray:
        """Return a number column at some places, NaN where missing."""
        whole = np.full(len(self.ids), np.nan, np.float32 if name.endswith("_score") else float)
        for start, table in self.parts([name]):
            if name in table.schema.names:
                whole[start : start + len(table)] = _float_column(table, name)
        return np.asarray(whole[places])

    @cached_property
    def image_of(self) -> IntArray:
        """The image of each mask, in the order of the files; read when first needed."""
        parts = [table["image_id"].to_numpy() for _, table in self.parts(["image_id"])]
        return np.concatenate(parts).astype(np.int64, copy=False)

    def of_image(self, image_id: int) -> ImageMasks | None:
        """Return an image's masks, None where it has none."""
        places = np.flatnonzero(self.image_of == image_id)
        return self.part(int(places[0]))[0] if len(places) else None


def _read_and_release(path: Path, names: Sequence[str]) -> pa.Table:
    table = read_columns(path, names)
    pa.default_memory_pool().release_unused()
    return table


def _without_dictionary(field: Any) -> Any:
    """Return a column's type without its dictionary, which is that of a whole part."""
    words = pa.types.is_dictionary(field.type)
    return pa.field(field.name, field.type.value_type) if words else field


def _float_column(table: pa.Table, name: str) -> FloatArray:
    return np.asarray(table[name].cast(pa.float64(), safe=False).to_numpy(), np.float64)


def read_columns(path: Path, names: Any) -> pa.Table:
    """Read those of some columns that a part has, repeated words as a dictionary."""
    # Read, not mapped: mapped pages would count as this process's memory.
    how: dict[str, object] = {
        "read_dictionary": list(_TEXT_COLUMNS),
        "page_checksum_verification": True,
    }
    with reading_part(path), pq.ParquetFile(path, **how) as file:
        there = set(file.schema_arrow.names)
        table = file.read([name for name in names if name in there], use_threads=False)
    check_table(table, path)
    return table.replace_schema_metadata(None)
