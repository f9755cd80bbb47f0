"""PNGs in which a pixel's value is the id of its instance: each value but 0 is one mask.

Gray of 1 to 16 bits and palette indexes are ids as they are; of 8-bit colour the id is
R + 256 G + 65536 B, as in COCO's panoptic PNGs, and alpha is not looked at. The source is one such
PNG, or a folder of them; see :mod:`curate.formats.ids.id_layouts`. Each PNG is judged, and one that
is a picture is left alone. Where ids carry a class it becomes the category, and what is no object
(void, regions of a class) is no mask. Pixels of masks that are dropped on writing become 0, and the
PNGs of classes beside those of ids follow: see :mod:`curate.formats.png.class_pngs`.
"""

from __future__ import annotations

from pathlib import Path

from curate.formats.coco.panoptic_reading import panoptic_files
from curate.formats.format import Format
from curate.formats.ids.id_layouts import file_layout, find_layout
from curate.formats.ids.label_files import LabelFiles
from curate.formats.ids.strip_runs import IdImage
from curate.formats.png.class_pngs import class_files, read_classes
from curate.formats.png.id_masks import read_ids
from curate.formats.png.png_ids import PNG_IDS
from curate.formats.png.png_reading import read_header
from curate.formats.table_builder import TableBuilder
from curate.formats.untouched.class_png_check import check_label_png

_PART_BYTES = 1_000_000  # of PNG; ids pack some hundred times


def _size(path: Path) -> tuple[int, int]:
    return read_header(path).size


def _read(path: Path, known: bool) -> IdImage:
    return read_ids(path, read_header(path), known=known)


def _note_panoptic(source: Path, rows: TableBuilder) -> None:
    if listing := panoptic_files(source):
        what = "a COCO panoptic JSON says what these ids are, and is neither read nor changed"
        rows.notes.add("panoptic", what, listing[0].name, of="files")


FILES = LabelFiles(
    PNG_IDS,
    (".png",),
    _size,
    _read,
    _PART_BYTES,
    find_layout,
    file_layout,
    read_classes,
    _note_panoptic,
    class_files,
)

FORMAT = Format(
    "label-png",
    "PNGs of instance ids",
    FILES.matches,
    FILES.plan,
    FILES.load,
    FILES.write,
    follows=("plan", "write"),
    takes=("void", "class_code"),
    check_unedited=check_label_png,
    pictures=FILES.pictures,
    ignores="void",
)
