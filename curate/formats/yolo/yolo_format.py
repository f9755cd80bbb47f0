"""YOLO segmentation labels: a text file an image, a line a mask, coordinates from 0 to 1.

Facts, from Ultralytics' documents and loader: ``class x1 y1 x2 y2 ...`` with three points at least;
the label of ``.../images/a/b.jpg`` is ``.../labels/a/b.txt``; an image without a label file, or
with an empty one, has no objects; coordinates are refused above 1.01; JPEGs are taken as EXIF
turns them. One ring is one mask: YOLO has no holes and no parts. A line of four numbers is a box.

The size of an image comes from the header of its picture, so without it there are no masks. A text
file beside its picture is a label as well, where there is no folder ``labels``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache, partial
from itertools import islice
from pathlib import Path

from curate.dataset.image_names import normalise
from curate.dataset.notes import Notes
from curate.dataset.table import MaskTable
from curate.errors import CallError, CurateError, SourceError
from curate.formats.copying import Edit, copy_with_edits
from curate.formats.edits import Edits, Stored
from curate.formats.format import PART_BYTES, Format, Part, ReadOptions, convert_read_errors
from curate.formats.new_pixels import PixelTally, new_pixels
from curate.formats.own_pictures import OwnPictures, under_one_of
from curate.formats.png.png_reading import PictureProblem, read_picture
from curate.formats.segmentation import Segmentation, valid_size
from curate.formats.table_builder import TableBuilder, parts_of, plain
from curate.formats.untouched.yolo_check import check_yolo
from curate.formats.yolo.class_names import class_names, find_keypoint_yaml, refuse_several
from curate.formats.yolo.label_lines import LabelLine, has_polygon, is_of_boxes, read_line
from curate.formats.yolo.splits import find_splits
from curate.formats.yolo.yolo_folders import (
    IMAGES,
    LABELS,
    YoloImage,
    find_samples,
    has_pictures,
    label_folders,
    own_name,
)
from curate.formats.yolo.yolo_writing import Classes, by_label
from curate.images import ImageFolder

_LOOK = 10_000  # how many label files that are not empty are looked at to tell the format
_LOOK_BOXES = 200  # and to see that there are only boxes
_LOOK_PICTURES = 100  # labels that are looked at for their pictures in other folders
_FILE_COST = 4_096  # what opening a label and a picture costs, in bytes of label
_DEEPEST = 4  # how far above a source its folder called labels can be
_ANY_SIZE = (1000, 1000)  # of an image whose size is not known, to see whether a line is sound
_NO_OPTIONS = ReadOptions()
_POSES = "its labels are poses (kpt_shape): boxes with keypoints, and no masks"
_MADE = ("ok", "empty", "bad_category")


def matches(path: Path) -> bool:
    """Return whether a folder has label files of which some line is a polygon."""
    try:
        if not path.is_dir():
            return False
        labels = (path / sample.label for sample in find_samples(path) if sample.label)
        filled = (label for label in labels if label.stat().st_size)
        return any(map(has_polygon, islice(filled, _LOOK)))
    except (CurateError, OSError, ValueError):
        return False


def other_task(path: Path) -> str:
    """Return the other task that a folder's YOLO labels are for; "" where that is not known."""
    labels = (path / sample.label for sample in find_samples(path) if sample.label)
    filled = [label for label in islice(labels, _LOOK) if label.stat().st_size]
    if filled and find_keypoint_yaml(path) is not None:
        return _POSES
    only_boxes = filled and all(map(is_of_boxes, filled[:_LOOK_BOXES]))
    return "it has YOLO labels for detection: boxes, and no polygon" if only_boxes else ""


def plan(source: Path, work: Path) -> Iterator[Part]:
    """Group images into parts."""
    if find_keypoint_yaml(source) is not None:
        raise SourceError(_POSES, str(source), "give labels for segmentation")
    refuse_several(source, label_folders(source))
    split = find_splits(source)
    samples = (one._replace(subset=split(one)) for one in find_samples(source))
    found = parts_of(((one, _cost(source, one.label)) for one in samples), PART_BYTES)
    first = next(found, None)
    if first is None:
        raise SourceError("there is no label file in it", str(source), "give the dataset's folder")
    yield first
    yield from found


def pictures(source: Path) -> OwnPictures | None:
    """Return where pictures are that ``file_name`` names: the source, or what lies around it."""
    if has_pictures(source):
        return OwnPictures(source.resolve())
    outside = _outside(source)
    if outside is None:
        return None
    found = _Pictures(source, _NO_OPTIONS)
    names = [found.name_of(sample) for sample in islice(find_samples(source), _LOOK_PICTURES)]
    return under_one_of([outside], [name for name in names if name])


def load(source: Path, part: Part, options: ReadOptions = _NO_OPTIONS) -> MaskTable:
    """Read the masks of some images."""
    rows = TableBuilder()
    names = class_names(source, options.home).names
    pictures = _Pictures(source, options, rows.notes)
    for sample in part.payload:
        name, size, status, detail = pictures.of(sample)
        subset = sample.subset or None
        image = rows.image(name, size, status, detail, source_key=sample.place, subset=subset)
        if not sample.label:
            continue
        with convert_read_errors(source / sample.label):
            data = (source / sample.label).read_bytes()
        for number, line in enumerate(data.splitlines(), 1):
            if not line.strip():
                continue
            found = read_line(line, size if valid_size(*size) else _ANY_SIZE, names)
            mask = found.mask
            if not valid_size(*size) and mask.status in _MADE:
                why = detail or "its picture says so"
                mask = Segmentation(None, "unknown_image", f"the image's size is not known: {why}")
            key = f"{sample.label}:{number}"
            rows.mask(key, image, mask, optional=_columns(found, names))
            _note(rows, found, key)
    return rows.table()


def _columns(line: LabelLine, names: dict[int, str]) -> dict[str, object]:
    """Return the optional columns of a mask."""
    stated: dict[str, object] = {
        "category_id": line.category,
        "score": line.score,
        "track_id": line.track,
    }
    if line.category is not None and names:
        stated["category"] = names.get(line.category)
    return {name: value for name, value in stated.items() if value is not None}


def _note(rows: TableBuilder, line: LabelLine, key: str) -> None:
    """Note what of a line is a habit of the whole dataset."""
    if line.score is not None:
        rows.notes.add("score_at_end", "a number from 0 to 1 at the end is read as a score", key)
    if line.track is not None:
        rows.notes.add("track_at_end", "a whole number at the end is read as a track's", key)
    if line.mask.status == "no_segmentation":
        rows.notes.add("no_polygon", "lines with a box and no polygon", key)


def write(
    source: Path, out: Path | None, edits: Edits, options: ReadOptions = _NO_OPTIONS
) -> Stored:
    """Copy with other lines for the masks that go, change or come; all other lines stay."""
    edits.refuse_attributes(str(source))
    if edits.masks == "rle" and next(new_pixels(edits), None) is not None:
        raise CallError("YOLO holds polygons only", str(source), "use --masks same")
    samples: dict[str, YoloImage] = {}
    if not edits.only_drops:
        samples = {plain(sample.place): sample for sample in find_samples(source)}
    classes, tally = Classes(source, class_names(source)), PixelTally()
    pictures = _Pictures(source, options)
    changes: dict[str, Edit | None] = {}
    new: dict[str, bytes] = {}
    for name, mine in by_label(source, edits, samples, classes).items():
        sample = samples.get(name)
        if mine.has_pixels and sample:
            _, mine.size, _, detail = pictures.of(sample)
            if not valid_size(*mine.size):
                why = detail or "its picture says so"
                raise CallError(f"the image's size is not known: {why}", name, "add its picture")
        if sample and not sample.label:
            new[sample.place] = mine.edit_content(b"", tally, name)
        else:
            changes[name] = partial(mine.write, tally=tally)
    copy_with_edits(source, out, changes | classes.changes(), new)
    return tally.count_stored()


# --- pictures ------------------------------------------------------------------------------------


def _cost(source: Path, label: str) -> int:
    return _FILE_COST + ((source / label).stat().st_size if label else 0)


class _Pictures:
    """The pictures of a source: beside its labels, in folders around it, or in one that is given.

    Args:
        source: The dataset's folder, or a folder of its labels.
        options: Where pictures are besides.
        notes: Takes what holds for many pictures.
    """

    def __init__(self, source: Path, options: ReadOptions, notes: Notes | None = None) -> None:
        self._source, self._notes = source, notes or Notes()
        self._given = None if options.images is None else _folder(options.images)
        outside = _outside(options.home or source)
        self._outside = None if outside is None else _folder(outside)

    def of(self, sample: YoloImage) -> tuple[str, tuple[int, int], str, str]:
        """Return an image's name, its size as its labels mean it, its status and a detail.

        A picture that predictions were drawn into tells the size, but is taken only where no
        other one is found.
        """
        path = self._source / sample.picture if sample.picture else None
        name = sample.picture
        if path is None or sample.is_drawn_over:
            for folder in (self._given, self._outside):
                found = None if folder is None else _find(folder, sample.label)
                if found is not None and folder is not None:
                    path, name = found, found.relative_to(folder.path).as_posix()
                    break
            else:
                if path is not None:
                    what = "the pictures are those into which predictions were drawn"
                    self._notes.add("drawn_over", what, name, "images")
        if path is None:
            name = os.path.splitext(sample.label)[0]
            return name, (0, 0), "missing", f"no picture is found for {sample.label}"
        return (name, *_size(path))

    def name_of(self, sample: YoloImage) -> str:
        """Return the name of a label's picture outside of the source; "" where there is none."""
        found = self._outside and _find(self._outside, sample.label)
        return found.relative_to(self._outside.path).as_posix() if found and self._outside else ""


def _find(folder: ImageFolder, label: str) -> Path | None:
    """Find a label's picture in a folder of pictures."""
    stem = f"/{os.path.splitext(label)[0]}"
    head, found, tail = stem.rpartition(f"/{LABELS}/")
    name = (f"{head}/{IMAGES}/{tail}" if found else stem).lstrip("/")
    plain_name = normalise(name)
    return folder.find(name) or folder.find(plain_name) or folder.find(own_name(plain_name))


@cache
def _folder(path: Path) -> ImageFolder:
    """Open a folder of pictures once a process: listing a huge one takes its time."""
    return ImageFolder(path)


def _outside(source: Path) -> Path | None:
    """Return the folder of pictures of a source that is a folder of labels; None for others."""
    whole = source.resolve()
    for above in (whole, *whole.parents[:_DEEPEST]):
        if above.name == LABELS:
            images = above.parent / IMAGES
            below = images / whole.relative_to(above)
            return next((path for path in (below, images, above.parent) if path.is_dir()), None)
    return None


def _size(path: Path) -> tuple[tuple[int, int], str, str]:
    try:
        found = read_picture(path)
    except PictureProblem as problem:
        return (0, 0), problem.status, problem.detail
    return found.upright, *found.finding


FORMAT = Format(
    "yolo",
    "YOLO segmentation labels",
    matches,
    plan,
    load,
    write,
    follows=("load", "write"),
    check_unedited=check_yolo,
    pictures=pictures,
)
