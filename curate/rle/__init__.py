"""Run-length algebra on batches of masks: fast, exact, without drawing a pixel.

A mask is a sorted list of disjoint, non-touching foreground runs ``[start, end)`` over the pixels
of its image in column-major order (COCO's: pixel ``(x, y)`` has position ``x * height + y``). A
:class:`Runs` holds the runs of many masks in flat arrays, so that one compiled loop serves
thousands of masks, and nothing is ever expanded into pixels unless somebody asks for a picture.

Every function takes masks in the forms that people have them (:func:`as_runs`): COCO's RLE
dictionaries, compressed or not, NumPy arrays, or :class:`Runs`, which cost nothing to hand over.
Results that are masks are :class:`Runs`; :func:`encode` makes dictionaries of them, :func:`decode`
arrays.

What ``__all__`` names is public and stable. It imports nothing of the rooms above it.
"""

from curate.rle.cleaning import Cleaned, clean
from curate.rle.codec import OK, PROBLEMS, decode_counts, encode_counts
from curate.rle.mask_forms import CocoRle, Masks, as_runs, decode, encode
from curate.rle.nms import nms
from curate.rle.outline_distance import outline_distance
from curate.rle.overlap import Overlaps, area, bbox, cross_overlaps, measure, overlaps
from curate.rle.pieces import Parts, holes, parts
from curate.rle.pixels import from_dense, from_label_image, to_dense
from curate.rle.runs import MAX_PIXELS, Runs, concat
from curate.rle.set_operations import boundary, iou, merge
from curate.rle.topology import Components, components, contains, distance, perimeter
from curate.rle.windows import crop, paste

__all__ = [
    "MAX_PIXELS",
    "OK",
    "PROBLEMS",
    "Cleaned",
    "CocoRle",
    "Components",
    "Masks",
    "Overlaps",
    "Parts",
    "Runs",
    "area",
    "as_runs",
    "bbox",
    "boundary",
    "clean",
    "components",
    "concat",
    "contains",
    "crop",
    "cross_overlaps",
    "decode",
    "decode_counts",
    "distance",
    "encode",
    "encode_counts",
    "from_dense",
    "from_label_image",
    "holes",
    "iou",
    "measure",
    "merge",
    "nms",
    "outline_distance",
    "overlaps",
    "parts",
    "paste",
    "perimeter",
    "to_dense",
]
