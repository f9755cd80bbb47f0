"""TIFFs in which a pixel's value is the id of its instance, as cellpose and StarDist write them.

One band of 8, 16 or 32 bits, in strips or tiles, packed or not; values below 0 are in no mask. The
source is one such TIFF, or a folder of them: ``x_masks.tif`` beside its picture ``x.tif``, or
``masks/`` beside ``images/``. A TIFF of several pages is none of one image and is not read.
"""

from __future__ import annotations

from pathlib import Path

from curate.formats.format import Format
from curate.formats.ids.label_files import LabelFiles
from curate.formats.tiff.tiff_ids import TIFF_IDS, read_ids
from curate.formats.tiff.tiff_samples import read_header
from curate.formats.untouched.tiff_check import check_label_tiff

_PART_BYTES = 8_000_000  # of TIFF; many are not packed


def _size(path: Path) -> tuple[int, int]:
    return read_header(path).size


FILES = LabelFiles(TIFF_IDS, (".tif", ".tiff"), _size, read_ids, _PART_BYTES)

FORMAT = Format(
    "label-tiff",
    "TIFFs of instance ids",
    FILES.matches,
    FILES.plan,
    FILES.load,
    FILES.write,
    follows=("plan", "write"),
    takes=("void", "class_code"),
    check_unedited=check_label_tiff,
    pictures=FILES.pictures,
    ignores="void",
)
