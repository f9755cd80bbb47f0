"""Open Images' masks: CSV files that list a PNG a mask, and the PNGs, smaller than the pictures.

Facts, from the data set's page and the code of readers: columns are ``MaskPath, ImageID, LabelName,
BoxID, BoxXMin, BoxXMax, BoxYMin, BoxYMax, PredictedIoU, Clicks``; the box is the one that the mask
was drawn in, in shares of the image, not the mask's own; ``ImageID`` is the picture's name without
ending; names of classes stand in ``class-descriptions.csv``. PNGs have sizes of their own: a mask
is scaled to its picture by the nearest pixel (:mod:`curate.formats.open_images.scaling`). Without a
picture an image has the size that most of its masks have.

A mask's key is the list's path and its line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from curate.dataset.table import MaskTable
from curate.errors import CurateError, SourceError
from curate.formats.csv.csv_records import Record, read_records
from curate.formats.csv.row_places import RowPlaces, csv_rows_of
from curate.formats.format import Format, Part, ReadOptions, convert_read_errors
from curate.formats.named_pictures import find_named, size_and_status
from curate.formats.open_images.layout import (
    Folders,
    MaskColumns,
    class_labels,
    find_lists,
    find_mask_columns,
    subset_of,
)
from curate.formats.open_images.open_images_writing import write
from curate.formats.open_images.scaling import scale_mask
from curate.formats.own_pictures import OwnPictures
from curate.formats.png.png_reading import PictureProblem, read_header, read_mask
from curate.formats.segmentation import Segmentation
from curate.formats.table_builder import (
    TableBuilder,
    common_size,
    number,
    parts_of,
    with_problems,
)
from curate.formats.untouched.open_images_check import check_open_images

_PART = 2_000  # masks; decoding them takes some seconds
_LOOK = 50  # rows that are looked at for a picture
_NO_OPTIONS = ReadOptions()


def matches(path: Path) -> bool:
    """Return whether a folder has a list of masks."""
    try:
        return path.is_dir() and bool(find_lists(path))
    except (CurateError, OSError, ValueError):
        return False


def plan(source: Path, work: Path, options: ReadOptions = _NO_OPTIONS) -> Iterator[Part]:
    """Group the images of all lists into parts."""
    lists = find_lists(source)
    if not lists:
        what = "there is no CSV with the columns MaskPath, ImageID and LabelName in it"
        raise SourceError(what, str(source), "give the folder that has it, and the masks")
    yield from parts_of(_groups(source, lists, options), _PART)


def _groups(
    source: Path, lists: list[tuple[str, MaskColumns]], options: ReadOptions
) -> Iterator[tuple[tuple[object, ...], int]]:
    """Yield images of a list with where their rows are, and how many these are."""
    for name, columns in lists:
        rows = RowPlaces()
        for record in csv_rows_of(source / name):
            rows.add(record.text(columns.image), record)
        if options.home is not None:
            there = csv_rows_of(options.home / name)
            rows.order_like(record.text(columns.image) for record in there)
        given, folder = dict[str, str](), ""
        if options.images is not None:
            given = find_named(source / name, rows.images, options).paths
            folder = str(options.images)
        counts = Counter(rows.image)
        for names, ranges in rows.group(lambda lengths: 0 * lengths + 1, _PART):
            pictures = tuple((one, given.get(one, "")) for one in names)
            yield (name, folder, pictures, ranges), sum(counts[rows.images[n]] for n in names)


def pictures(source: Path) -> OwnPictures | None:
    """Return the source where the picture of one of the first images lies in it."""
    folders = Folders(source)
    for name, columns in find_lists(source):
        for record, _ in zip(csv_rows_of(source / name), range(_LOOK), strict=False):
            if folders.find_picture(record.text(columns.image)):
                return OwnPictures(source.resolve())
    return None


class _Png(NamedTuple):
    """The PNG of a row: its path under the source, its size, and what is in it."""

    path: str
    size: tuple[int, int] | None
    mask: Segmentation


def load(source: Path, part: Part) -> MaskTable:
    """Read the masks of some images."""
    rows, folders, labels = TableBuilder(), Folders(source), class_labels(source)
    for name, given, named, ranges in part.payload:
        columns = find_mask_columns(source / name)
        if columns is None:
            raise SourceError("its columns are not those of masks", str(source / name), "check it")
        found: dict[str, list[Record]] = {image: [] for image, _ in named}
        with convert_read_errors(source / name), (source / name).open("rb") as file:
            for start, end, line in ranges:
                for record in read_records(file, name, start, end, line):
                    found.setdefault(record.text(columns.image), []).append(record)
        reader = _ListReader(source, rows, folders, labels, name, columns)
        outside = dict(named)
        for image, records in found.items():
            where = outside.get(image, "") if given else ""
            reader.add(image, records, Path(given) if where else source, where)
    return rows.table()


class _ListReader:
    """Reads the images of one list."""

    def __init__(
        self,
        source: Path,
        rows: TableBuilder,
        folders: Folders,
        labels: dict[str, str],
        name: str,
        columns: MaskColumns,
    ) -> None:
        self._source, self._rows, self._folders, self._labels = source, rows, folders, labels
        self._name, self._columns = name, columns

    def add(self, image: str, records: list[Record], folder: Path, picture: str) -> None:
        """Add an image and its masks.

        Args:
            image: Its name.
            records: Its rows.
            folder: Where its picture is.
            picture: The picture's path in it; "" to look for it among the dataset's files.
        """
        called = picture or self._folders.find_picture(image)
        pngs = [_read_png(self._source, self._folders, one, self._columns) for one in records]
        size, status, detail = _size(self._rows, folder, called, pngs, image)
        at = self._rows.image(
            *(called or image, size, status, detail),
            source_key=f"{self._name}#{image}",
            subset=subset_of(self._name),
        )
        for record, png in zip(records, pngs, strict=True):
            self._add_mask(at, record, png, size)

    def _add_mask(self, image: int, record: Record, png: _Png, size: tuple[int, int]) -> None:
        key, columns = f"{self._name}:{record.line}", self._columns
        mask, problems = png.mask, list[str]()
        if png.size is not None and png.size != size:
            mask = scale_mask(mask, png.size, size)
            what = "PNGs of another size than the picture are scaled to it by the nearest pixel"
            self._rows.notes.add("scaled", what, key)
        if len(record.fields) != columns.count:
            problems.append(f"the row has {len(record.fields)} fields of {columns.count}")
        stated: dict[str, object] = {}
        if columns.iou >= 0:
            stated["predicted_iou"], problem = number(record.text(columns.iou), "PredictedIoU")
            problems.append(problem)
        code = record.text(columns.label)
        if code:
            stated["category"] = self._labels.get(code, code)
        self._rows.mask(key, image, with_problems(mask, problems), optional=stated)


def _size(
    rows: TableBuilder, folder: Path, picture: str, pngs: list[_Png], image: str
) -> tuple[tuple[int, int], str, str]:
    """Return an image's height and width, its status and a detail."""
    own = common_size(png.size for png in pngs)
    if not picture:
        what = "no picture is found, so the size is that of most masks"
        rows.notes.add("sizes_of_masks", what, image, of="images")
        return own or (0, 0), "ok" if own else "missing", "" if own else "nothing tells its size"
    size, status, detail = size_and_status(folder, picture)
    return (size, status, detail) if size != (0, 0) else (own or (0, 0), status, detail)


def _read_png(source: Path, folders: Folders, record: Record, columns: MaskColumns) -> _Png:
    text = record.text(columns.path)
    path = folders.find(text, "mask")
    if not path:
        detail = f"there is no PNG {text[:80]!r}"
        return _Png("", None, Segmentation(None, "no_segmentation", detail))
    try:
        header = read_header(source / path)
    except PictureProblem as problem:
        return _Png(path, None, Segmentation(None, problem.status, problem.detail))
    return _Png(path, header.size, read_mask(source / path, header))


FORMAT = Format(
    "open-images",
    "Open Images masks",
    matches,
    plan,
    load,
    write,
    follows=("plan", "write"),
    check_unedited=check_open_images,
    pictures=pictures,
)
