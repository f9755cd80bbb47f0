"""Likely corrections of masks beside an audit's parts: a small Parquet file for each part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from curate.common import files
from curate.errors import AuditError
from curate.store.audit_files import part_path, part_paths, write_part
from curate.store.parquet_parts import RESTORE, read_columns

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
    ]
)


@dataclass(frozen=True)
class MaskCorrection:
    """The likely correction of one mask.

    Attributes:
        mask_id: The mask.
        kind: What is wrong with it: "too large" or "too small".
        segmentation: The corrected mask, COCO's compressed counts.
        step_px: How far the outline moved, in pixels of the image; above 0 it was drawn in.
        verifier_iou: IoU with the right mask that the verifier expects of the mask as it stands.
        corrected_iou: The same of the corrected mask.
    """

    mask_id: int
    kind: str
    segmentation: bytes
    step_px: float
    verifier_iou: float
    corrected_iou: float


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
    """Read the corrections of an audit by mask id; none where no verifier was given.

    Raises:
        AuditError: A file is damaged.
    """
    found = {}
    for path in part_paths(out, CORRECTIONS):
        table = read_columns(path, _SCHEMA.names)
        if table.column_names != _SCHEMA.names or any(c.null_count for c in table.columns):
            raise AuditError("it is damaged (a column or a value is missing)", str(path), RESTORE)
        for row in table.to_pylist():
            found[int(row["mask_id"])] = MaskCorrection(**row)
    return found
