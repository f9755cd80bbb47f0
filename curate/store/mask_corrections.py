"""Likely corrections of masks beside an audit's parts: a small Parquet file for each part."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from curate.common import files
from curate.errors import AuditError
from curate.store.audit_files import part_path, part_paths, write_part
from curate.store.parquet_parts import RESTORE, read_columns, read_names

CORRECTIONS = "corrections"
"""Folder of the corrections in an audit directory."""

_SCHEMA = pa.schema(
    [
        ("mask_id", pa.int64()),
        ("kind", pa.large_string()),
        ("segmentation", pa.large_binary()),
        ("step_px", pa.float64()),
        ("verifier_iou", pa.float64()),
        ("corrected_iou", pa.float64()),
        ("taken_out", pa.large_list(pa.int64())),
        ("split_off", pa.large_list(pa.large_binary())),
        ("split_off_iou", pa.large_list(pa.float64())),
        ("drawn_by", pa.large_string()),
        ("drawn_iou", pa.float64()),
        ("agreeing", pa.int64()),
        ("agreeing_iou", pa.float64()),
        ("rim_px", pa.int64()),
    ]
)

_LISTS = ("taken_out", "split_off", "split_off_iou")
_LATER = frozenset({*_LISTS, "drawn_by", "drawn_iou", "agreeing", "agreeing_iou", "rim_px"})
"""Columns that the files of earlier audits lack."""


@dataclass(frozen=True)
class MaskCorrection:
    """The likely correction of one mask.

    Attributes:
        mask_id: The mask.
        kind: What is wrong with it: "too large", "too small", "merged" or "unlike others".
        segmentation: The corrected mask, COCO's compressed counts.
        step_px: How far the outline moved, in pixels of the image; above 0 it was drawn in. 0 of
            the last two kinds.
        verifier_iou: IoU with the right mask that the verifier expects of the mask as it stands;
            NaN where none was asked.
        corrected_iou: The same of the corrected mask.
        taken_out: Of a merged mask: the masks of the image whose pixels were taken out of it.
        split_off: Of a merged mask: the further masks that it becomes, as compressed counts.
        split_off_iou: The IoU that the verifier expects of each of these.
        drawn_by: Of a mask unlike others: the name of the other set whose mask the correction is.
        drawn_iou: The IoU of the two; NaN of the other kinds.
        agreeing: How many further sets agree with that mask.
        agreeing_iou: Their mean IoU with it; NaN for none.
        rim_px: Of a merged mask: pixels that went with the masks that were taken out, rims and
            specks beside them.
    """

    mask_id: int
    kind: str
    segmentation: bytes
    step_px: float
    verifier_iou: float
    corrected_iou: float
    taken_out: tuple[int, ...] = ()
    split_off: tuple[bytes, ...] = ()
    split_off_iou: tuple[float, ...] = ()
    drawn_by: str = ""
    drawn_iou: float = math.nan
    agreeing: int = 0
    agreeing_iou: float = math.nan
    rim_px: int = 0


def write_corrections(out: Path, index: int, corrections: Sequence[MaskCorrection]) -> None:
    """Write the corrections of a part's masks; where there are none, there is no file.

    Raises:
        AuditError: They cannot be written.
    """
    path = part_path(out, CORRECTIONS, index)
    if not corrections:
        files.unlink(path, missing_ok=True)
        return
    columns = {name: [getattr(one, name) for one in corrections] for name in _SCHEMA.names}
    write_part(path, pa.table(columns, schema=_SCHEMA))


def read_corrections(out: Path) -> dict[int, MaskCorrection]:
    """Read the corrections of an audit by mask id; none without a verifier and other masks.

    Raises:
        AuditError: A file is damaged.
    """
    found = {}
    for path in part_paths(out, CORRECTIONS):
        stored = read_names(path)
        table = read_columns(path, [name for name in _SCHEMA.names if name in stored])
        lacking = set(_SCHEMA.names) - set(table.column_names)
        if lacking - _LATER or any(column.null_count for column in table.columns):
            raise AuditError("it is damaged (a column or a value is missing)", str(path), RESTORE)
        for row in table.to_pylist():
            lists = {name: tuple(row[name]) for name in _LISTS if name not in lacking}
            found[int(row["mask_id"])] = MaskCorrection(**row | lists)
    return found
