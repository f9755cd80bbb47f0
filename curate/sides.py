"""Other sources of masks for the same images (detections, other annotators), ready by image.

Such a source is read once, part by part, into Parquet under the audit's work directory, so that a
worker can take just the rows of its own images, whatever the format and the size of the source.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from curate.formats import detect
from curate.formats.base import ReadOptions
from curate.store import to_frame, write_part
from curate.table import (
    IMAGE_COLUMNS,
    MASK_COLUMNS,
    OPTIONAL_MASK_COLUMNS,
    MaskTable,
    with_types,
)


@dataclass(frozen=True)
class Side:
    """A prepared source.

    Attributes:
        name: What it is called in columns and reports.
        folder: Where its Parquet parts stand.
    """

    name: str
    folder: Path

    def of(self, table: MaskTable) -> MaskTable:
        """Return this source's masks and images that can belong to a table's images.

        An image belongs where its id or the stem of its file name is among the table's; which of
        the two counts is for the scorer to say.
        """
        ids = pa.array(table.images.index.to_numpy())
        stems = pa.array(sorted({stem(name) for name in table.images["file_name"]} - {""}))
        images = self._rows("images", pc.field("image_id").isin(ids) | pc.field("stem").isin(stems))
        frame = to_frame(images.drop_columns(["stem"])).set_index("image_id")
        frame = frame[~frame.index.duplicated()]
        wanted = pa.array(frame.index.to_numpy(np.int64))
        masks = self._rows("masks", pc.field("image_id").isin(wanted))
        return MaskTable(
            with_types(to_frame(masks).set_index("mask_id"), MASK_COLUMNS | OPTIONAL_MASK_COLUMNS),
            with_types(frame, IMAGE_COLUMNS),
        )

    def categories(self) -> tuple[int | str, ...]:
        """Return every category of the whole source: names where it has names, else ids.

        A source with a single category does not tell categories apart, so it has none.
        """
        for name in ("category", "category_id"):
            data = ds.dataset(self.folder / "masks", format="parquet").to_table(columns=[name])
            found = sorted(pc.unique(data[name]).drop_null().to_pylist())
            if found:
                return tuple(found) if len(found) > 1 else ()
        return ()

    def _rows(self, kind: str, condition: pc.Expression) -> pa.Table:
        table = ds.dataset(self.folder / kind, format="parquet").to_table(filter=condition)
        return table.replace_schema_metadata(None).combine_chunks()


def stem(file_name: object) -> str:
    """Return a file name without folder and ending: what two tools' names have in common."""
    return PurePosixPath(str(file_name)).stem if isinstance(file_name, str) else ""


def prepare_side(name: str, path: Path, work: Path, options: ReadOptions | None = None) -> Side:
    """Read a source into Parquet by parts; what an earlier run has done is not done again.

    Args:
        name: What to call it; letters, digits, ``-``, ``_`` and ``.`` (checked by the caller).
        path: The source, in any format.
        work: The audit's work directory.
        options: What its reader is told: of sources without pictures, where these are.
    """
    folder = work / f"side-{name}"
    done = folder / "done"
    side = Side(name, folder)
    if done.exists():
        return side
    chosen = detect(path, options=options)
    scratch = folder / "index"
    scratch.mkdir(parents=True, exist_ok=True)
    first_mask = 0
    for part in chosen.plan(path, scratch):
        table = chosen.load(path, part)
        ids = np.arange(first_mask, first_mask + len(table))
        first_mask += len(table)
        masks = table.masks.assign(mask_id=ids).reset_index(drop=True)
        images = table.images.reset_index()
        images["stem"] = [stem(n) for n in images["file_name"]]
        for kind, frame in (("images", images), ("masks", masks)):
            target = folder / kind / f"part-{part.index:06d}.parquet"
            write_part(target, pa.Table.from_pandas(frame, preserve_index=False))
    for kind in ("images", "masks"):
        (folder / kind).mkdir(exist_ok=True)
    done.touch()
    return side
