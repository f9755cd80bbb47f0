"""Reference sources: detections and other annotations, cached by image.

Such a source is read once, part by part, into Parquet under the audit's work directory, and its
images are joined with those of the audited source once, as a whole
(:mod:`curate.dataset.image_join`), so that a worker can take just the rows of its own images,
whatever the format and the size.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from curate.common import files
from curate.common.arrays import IntArray
from curate.dataset.image_join import Join, Listing, join
from curate.dataset.table import (
    IMAGE_COLUMNS,
    MASK_COLUMNS,
    OPTIONAL_MASK_COLUMNS,
    MaskTable,
    with_types,
)
from curate.formats.format import ReadOptions
from curate.formats.reading import dataset_path, detect
from curate.pipeline.source_images import SourceImages
from curate.store.audit_files import to_frame, write_part

_JOINED = "joined.npy"


@dataclass(frozen=True)
class ReferenceSource:
    """A prepared source.

    Attributes:
        name: What it is called in columns and reports.
        folder: Where its Parquet parts stand.
        own_ids: Whether its image ids are its own, else they are but positions.
        source: Where it was read from, for messages.
    """

    name: str
    folder: Path
    own_ids: bool = False
    source: str = ""

    def listing(self) -> Listing:
        """Return the listing of its images, by number."""
        frame = self._every("images").sort_values("image_row")
        ids = frame["image_id"].to_numpy(np.int64) if self.own_ids else None
        sizes = frame[["height", "width"]].to_numpy(np.int64)
        return Listing(frame["file_name"].to_numpy(object).tolist(), ids, sizes)

    def join(self, images: SourceImages) -> tuple[Join, Listing]:
        """Find which of its images are which of the source's, for :meth:`of`."""
        mine = self.listing()
        found = join(images.listing, mine)
        numbers = np.full(len(images.listing), -1, np.int64)
        joined = np.flatnonzero(found.rows >= 0)
        numbers[found.rows[joined]] = joined
        with (
            files.convert_write_errors(self.folder),
            files.open_file(self.folder / _JOINED) as file,
        ):
            files.save_array(file, numbers)
        return found, mine

    def of(self, table: MaskTable, offset: int) -> MaskTable:
        """Return the masks and images that are joined with a table's images.

        Args:
            table: A part of the source, its images in the order in which they were joined.
            offset: The number of images in the parts before it.

        Returns:
            Its masks, under the ids and names that the table's images have.
        """
        numbers = np.load(self.folder / _JOINED, mmap_mode="r")[offset : offset + len(table.images)]
        joined = np.flatnonzero(numbers >= 0)
        known = table.images.iloc[joined]
        place = pd.Series(np.arange(len(joined)), index=np.asarray(numbers)[joined])
        images = self._at("images", place.index).set_index("image_row").loc[place.index]
        images = images.set_axis(known.index, axis=0).assign(file_name=known["file_name"])
        masks = self._at("masks", place.index).set_index("mask_id")
        at = place.loc[masks["image_row"]].to_numpy(np.int64)
        masks["image_id"] = known.index.to_numpy(np.int64)[at]
        masks["file_name"] = known["file_name"].array.take(at)
        return MaskTable(
            with_types(masks.drop(columns="image_row"), MASK_COLUMNS | OPTIONAL_MASK_COLUMNS),
            with_types(images.drop(columns="image_id"), IMAGE_COLUMNS),
        )

    def masks_of(self, numbers: IntArray) -> MaskTable:
        """Return the masks of some of its images, under the images' numbers and without them."""
        masks = self._at("masks", pd.Index(numbers)).set_index("mask_id")
        masks["image_id"] = masks["image_row"].to_numpy(np.int64)
        masks = with_types(masks.drop(columns="image_row"), MASK_COLUMNS | OPTIONAL_MASK_COLUMNS)
        names = pd.Index([], dtype="int64", name="image_id")
        return MaskTable(
            masks, with_types(pd.DataFrame(columns=list(IMAGE_COLUMNS), index=names), IMAGE_COLUMNS)
        )

    def categories(self) -> tuple[int | str, ...]:
        """Return every category of the whole source: names where it has names, else ids.

        A source with a single category does not tell categories apart, so it has none; nor does one
        of a format that knows none.
        """
        dataset = self._dataset("masks")
        for name in ("category", "category_id"):
            if name not in dataset.schema.names:
                continue
            data = dataset.to_table(columns=[name])
            found = sorted(pc.unique(data[name]).drop_null().to_pylist())
            if found:
                return tuple(found) if len(found) > 1 else ()
        return ()

    def _at(self, kind: str, numbers: pd.Index[Any]) -> pd.DataFrame:
        wanted = pa.array(numbers.to_numpy(np.int64))
        return self._frame(kind, filter=pc.field("image_row").isin(wanted))

    def _every(self, kind: str) -> pd.DataFrame:
        names = ["image_row", "image_id", "file_name", "height", "width"]
        return self._frame(kind, columns=names)

    def _frame(self, kind: str, **how: Any) -> pd.DataFrame:
        table = self._dataset(kind).to_table(**how)
        return to_frame(table.replace_schema_metadata(None).combine_chunks())

    def _dataset(self, kind: str) -> ds.Dataset:
        """Open all parts with every column that any of them has: not all have the same."""
        parts = sorted((self.folder / kind).glob("*.parquet"))
        schemas = [pq.read_schema(part).remove_metadata() for part in parts]
        schema = pa.unify_schemas(schemas, promote_options="permissive")
        return ds.dataset(parts, schema=schema, format="parquet")


def prepare_source(
    name: str, path: Path, work: Path, options: ReadOptions | None = None
) -> ReferenceSource:
    """Read a source into Parquet by parts; what an earlier run has done is not done again.

    Masks and images are numbered over all parts, since ids may be unique only within one.

    Args:
        name: What to call it; letters, digits, ``-``, ``_`` and ``.`` (checked by the caller).
        path: The source, in any format.
        work: The audit's work directory.
        options: What its reader is told: of sources without pictures, where these are.
    """
    folder = work / f"side-{name}"
    done = folder / "done"
    path = dataset_path(path)
    chosen = detect(path)
    if chosen.name != "coco-results":  # its ids are not names of pictures: joined as they are
        chosen = detect(path, chosen.name, options)
    side = ReferenceSource(name, folder, chosen.own_ids, str(path))
    if done.exists():
        return side
    scratch = folder / "index"
    files.mkdir(scratch, parents=True, exist_ok=True)
    first_mask = first_image = 0
    for part in chosen.plan(path, scratch):
        table = chosen.load(path, part)
        rows = pd.Series(np.arange(len(table.images)) + first_image, index=table.images.index)
        ids = np.arange(first_mask, first_mask + len(table))
        first_mask, first_image = first_mask + len(table), first_image + len(rows)
        at = rows.reindex(table.masks["image_id"], fill_value=-1).to_numpy(np.int64)
        masks = table.masks.assign(mask_id=ids, image_row=at).reset_index(drop=True)
        images = table.images.assign(image_row=rows).reset_index()
        for kind, frame in (("images", images), ("masks", masks)):
            target = folder / kind / f"part-{part.index:06d}.parquet"
            write_part(target, pa.Table.from_pandas(frame, preserve_index=False))
    for kind in ("images", "masks"):
        files.mkdir(folder / kind, exist_ok=True)
    files.write_bytes(done, b"")
    return side
