"""COCO panoptic: PNGs of ids in a folder, and a JSON file with each id's segment."""

from __future__ import annotations

from curate.formats.coco.panoptic_reading import load, matches, pictures, plan
from curate.formats.coco.panoptic_writing import write
from curate.formats.format import Format
from curate.formats.untouched.panoptic_check import check_panoptic

FORMAT = Format(
    "coco-panoptic",
    "COCO panoptic",
    matches,
    plan,
    load,
    write,
    check_unedited=check_panoptic,
    pictures=pictures,
    ignores="void",
)
