"""Run-length algebra on batches of masks.

A mask is a sorted list of disjoint, non-touching foreground runs ``[start, end)`` over the pixels
of its image in column-major order (COCO's: pixel ``(x, y)`` has position ``x * height + y``). A
:class:`Runs` holds the runs of many masks in flat arrays, so that one compiled loop serves
thousands of masks, and nothing is ever expanded into pixels unless somebody asks for a picture.
"""

from curate.rle.codec import OK, PROBLEMS, as_large_binary, decode, encode
from curate.rle.overlap import Overlaps, area, bbox, cross_overlaps, measure, overlaps
from curate.rle.pixels import from_dense, from_label_image, to_dense
from curate.rle.runs import MAX_PIXELS, Runs, concat, kernel
from curate.rle.topology import (
    Components,
    column_segments,
    components,
    contains,
    distance,
    perimeter,
    segment_capacity,
)
from curate.rle.windows import cut, paste

__all__ = [
    "MAX_PIXELS",
    "OK",
    "PROBLEMS",
    "Components",
    "Overlaps",
    "Runs",
    "area",
    "as_large_binary",
    "bbox",
    "column_segments",
    "components",
    "concat",
    "contains",
    "cross_overlaps",
    "cut",
    "decode",
    "distance",
    "encode",
    "from_dense",
    "from_label_image",
    "kernel",
    "measure",
    "overlaps",
    "paste",
    "perimeter",
    "segment_capacity",
    "to_dense",
]
