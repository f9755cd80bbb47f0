"""COCO panoptic: PNGs of ids in a folder, and a JSON file with each id's segment.

An image is an annotation; its PNG holds R + 256 G + 65536 B, which is the ``id`` of one of its
``segments_info``. A segment is a mask. Stuff (categories whose ``isthing`` is 0) is a region and no
object: such masks are ``iscrowd``. The source is the JSON, or a folder with one such JSON in it or
in its ``annotations``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from curate import rle
from curate.dataset.table import MaskTable
from curate.errors import CurateError, SourceError
from curate.formats.coco.images_and_categories import category_names, image_fields
from curate.formats.format import PART_BYTES, Part, convert_read_errors
from curate.formats.json.json_columns import id_key, text, to_box, to_float, whole_number
from curate.formats.json.sniffing import shape_of
from curate.formats.json.streaming import parse_one, scan
from curate.formats.own_pictures import OwnPictures, beside_file
from curate.formats.png.id_masks import read_ids
from curate.formats.png.png_reading import PictureProblem, read_header
from curate.formats.segmentation import Segmentation, json_type
from curate.formats.table_builder import TableBuilder, parts_of, plain

_PNG_COST = 100_000
_DECLARED_BOX = tuple(f"declared_{side}" for side in "xywh")
"""What decoding a PNG weighs in a part, in bytes of JSON."""

_DEEPER = tuple(
    f"{split}{version}panoptic"
    for split in ("", "training/", "validation/")
    for version in ("", "v?.?/")
)
"""Where Mapillary Vistas has them."""

_MOST_LISTED = 2_000  # entries of a folder that are listed
_MOST_LOOKED_AT = 40  # and JSON files in it that are opened


@dataclass(frozen=True)
class _Header:
    """Header that every part needs: categories, and the folder of PNGs.

    Attributes:
        folder: The folder of the PNGs; "" where there is none.
        names: Category names by id.
        stuff: Ids of categories that are no things.
        first: Whether this is the first part.
    """

    folder: str
    names: dict[int, str]
    stuff: frozenset[int]
    first: bool


@dataclass
class PanopticListing:
    """Findings of one pass over the file.

    Attributes:
        sizes: Name, height and width of images by id.
        annotations: Byte, length, id of the image and name of the PNG of each annotation.
        categories: The categories as they stand there.
        sample: The first annotation with segments.
    """

    sizes: dict[int, tuple[str, int, int]] = field(default_factory=dict)
    annotations: list[tuple[int, int, int, str]] = field(default_factory=list)
    categories: list[Any] = field(default_factory=list)
    sample: dict[str, object] = field(default_factory=dict)


def plan(source: Path, work: Path) -> Iterator[Part]:
    """Yield parts of whole images; see :class:`Format`."""
    path = panoptic_json(source)
    found = list_annotations(path)
    names, _ = category_names(found.categories)
    stuff = stuff_of(found.categories)
    folder = png_folder(path, found.sample)
    named = {image for _, _, image, _ in found.annotations}
    items: list[tuple[Any, int]] = [
        ((at, n, k, *found.sizes.get(image, (stem, -1, -1)), image), n + _PNG_COST)
        for k, (at, n, image, stem) in enumerate(found.annotations)
    ]
    items += [((0, 0, -1, *one, i), 100) for i, one in found.sizes.items() if i not in named]
    for part in parts_of(items, PART_BYTES):
        header = _Header(str(folder or ""), names or {}, stuff, part.index == 0)
        yield Part(part.index, (header, part.payload))


def load(source: Path, part: Part) -> MaskTable:
    """Read the segments of some images."""
    header, items = part.payload
    rows = TableBuilder()
    path = panoptic_json(source)
    name = key_name(source, path)
    if not header.folder and header.first:
        what = f"the PNGs of ids are not in a folder {path.stem} beside the file, so no mask is"
        rows.notes.add("panoptic_pngs_missing", f"{what} read", path.name, of="files")
    with convert_read_errors(path), path.open("rb") as file:
        for at, n, number, file_name, height, width, image in items:
            value = parse_one(os.pread(file.fileno(), n, at), at, name) if n else {}
            value = value if type(value) is dict else {}
            key = f"{name}#/annotations/{number}"
            _Image(rows, header, key).read(value, file_name, (height, width), image)
    return rows.table()


class _Image:
    """Reads one image's segments into rows."""

    def __init__(self, rows: TableBuilder, header: _Header, key: str) -> None:
        self.rows, self.header, self.key = rows, header, key

    def read(self, value: dict[str, object], name: str, size: tuple[int, int], image: int) -> None:
        """Add the image and its masks."""
        stated = text(value.get("file_name"))
        masks, real, problem = self._png(stated)
        status, detail = "ok", ""
        if problem is not None and self.header.folder and value:
            status, detail = "unreadable", problem.detail
        if real is not None and min(size) > 0 and real != size:
            status = "size_mismatch"
            detail = f"its PNG of ids is {real[1]} x {real[0]}, the image {size[1]} x {size[0]}"
        shown = real or (size if min(size) > 0 else (0, 0))
        own = "" if real is None else self.key  # without a PNG nothing can be added
        at = self.rows.image(name or stated, shown, status, detail, image_id=image, source_key=own)
        listed = value.get("segments_info")
        segments = listed if type(listed) is list else []
        seen: set[int] = set()
        for j, one in enumerate(segments):
            key = f"{self.key}/segments_info/{j}"
            if type(one) is not dict:
                what = f"the segment is {json_type(one)}, not an object"
                self.rows.mask(key, at, Segmentation(None, "wrong_type", what))
                continue
            number = whole_number(one.get("id"))
            mask = self._mask(number, masks, problem)
            if number in seen:
                mask = mask._replace(status="duplicate_id", detail=f"the id {number} occurs twice")
            seen.add(-1 if number is None else number)
            self.rows.mask(key, at, mask, None, self._read_stored(one, key))
        spare = sorted(set(masks) - seen - {0})
        if spare:
            what = "PNGs hold ids that the JSON does not list"
            self.rows.notes.add("unlisted_ids", what, f"{stated}: {spare[0]}", of="images")

    def _png(
        self, name: str
    ) -> tuple[dict[int, bytes], tuple[int, int] | None, PictureProblem | None]:
        """Return masks by id, the PNG's size, and why there are none."""
        if not self.header.folder or not name or not is_inside(name):
            return {}, None, PictureProblem("no_segmentation", "its PNG of ids is not there")
        path = Path(self.header.folder) / name
        try:
            header = read_header(path)
            ids, runs, *_ = read_ids(path, header, known=True)
        except PictureProblem as problem:
            return {}, None, problem
        counts = rle.encode_counts(runs).to_pylist()
        return dict(zip(ids.tolist(), counts, strict=True)), header.size, None

    def _mask(
        self, number: int | None, masks: dict[int, bytes], problem: PictureProblem | None
    ) -> Segmentation:
        if problem is not None:
            return Segmentation(None, "no_segmentation", problem.detail)
        if number is None:
            return Segmentation(None, "no_segmentation", "the segment has no id")
        if number not in masks:
            return Segmentation(None, "empty", f"no pixel of the PNG has the id {number}")
        return Segmentation(masks[number])

    def _read_stored(self, one: dict[str, object], key: str) -> dict[str, object]:
        """Return the fields stored beside a segment."""
        stored: dict[str, object] = {}
        number = whole_number(one.get("category_id"))
        if number is not None:
            stored |= {"category_id": number, "category": self.header.names.get(number)}
        crowd = whole_number(one.get("iscrowd"))
        if number in self.header.stuff:
            what = "segments of stuff (isthing 0) are regions, not judged as objects"
            self.rows.notes.add("stuff", what, key)
            crowd = 1
        if crowd in (0, 1):
            stored["iscrowd"] = crowd
        area, box = one.get("area"), one.get("bbox")
        if area is not None:
            stored["declared_area"] = to_float(area)
        if box is not None:
            stored |= zip(_DECLARED_BOX, to_box(box), strict=True)
        return stored


def stuff_of(categories: list[Any]) -> frozenset[int]:
    """Return the ids of categories that are no things."""
    return frozenset(
        number
        for one in categories
        if type(one) is dict and one.get("isthing") == 0
        if (number := whole_number(one.get("id"))) is not None
    )


def panoptic_json(source: Path) -> Path:
    """Return the JSON of a source, which is one or has one in it.

    Raises:
        SourceError: It has none, or several.
    """
    if not source.is_dir():
        return source
    found = only_panoptic_file(source)
    if found is None:
        what = "it has no COCO panoptic JSON with its PNGs, or several"
        raise SourceError(what, str(source), "give the JSON")
    return found


def key_name(source: Path, path: Path) -> str:
    """Return the name of a source's JSON in source keys."""
    return plain(path.relative_to(source).as_posix() if source.is_dir() else path.name)


def pictures(source: Path) -> OwnPictures | None:
    """Return where pictures are that ``file_name`` names: beside the JSON or above its folder."""
    path = panoptic_json(source)
    listed = (
        (name, (height, width) if min(height, width) > 0 else None)
        for name, height, width in list_annotations(path).sizes.values()
    )
    found = beside_file(path, listed)
    inside = found is not None and source.is_dir() and found.folder == source.resolve()
    return OwnPictures(source.resolve()) if inside else found


def list_annotations(source: Path) -> PanopticListing:
    """Find images, annotations and categories in one pass."""
    found = PanopticListing()
    with convert_read_errors(source), source.open("rb") as file:
        for batch in scan(file, source.name, {"images", "annotations", "categories"}):
            if not batch.is_list:
                raise SourceError(f"{batch.key} is no list", source.name)
            values = batch.parse(source.name)
            if batch.key == "categories":
                found.categories += values
            elif batch.key == "images":
                for one in values:
                    name, height, width, _ = image_fields(one)
                    if type(one) is dict:
                        found.sizes[id_key(one.get("id"))] = (name, height, width)
            else:
                _add(found, values, batch.starts + batch.base, batch.ends - batch.starts)
    return found


def _add(found: PanopticListing, values: list[Any], starts: Any, lengths: Any) -> None:
    for one, at, n in zip(values, starts.tolist(), lengths.tolist(), strict=True):
        fields = one if type(one) is dict else {}
        if not found.sample and type(fields.get("segments_info")) is list:
            found.sample = fields
        name = text(fields.get("file_name"))
        given = fields.get("image_id")
        image = id_key(["of", name] if given is None else given)
        found.annotations.append((at, n, image, name))


def png_folder(source: Path, sample: dict[str, object]) -> Path | None:
    """Return the folder whose PNG of the first annotation has one of its ids; None for none."""
    name = text(sample.get("file_name"))
    segments = sample.get("segments_info", [])
    listed_segments = segments if isinstance(segments, list) else []
    given = [one.get("id") for one in listed_segments if type(one) is dict]
    listed = {whole_number(one) for one in given} - {None}
    if not name or not is_inside(name):
        return None
    stem, parent = source.stem, source.parent
    places = (parent / stem, parent / "panoptic", parent / "masks", parent.parent / stem, parent)
    for folder in places:
        path = folder / name
        try:
            ids, *_ = read_ids(path, read_header(path), known=True)
        except PictureProblem:
            continue
        if not listed or listed & set(ids.tolist()):
            return folder
    return None


def is_inside(name: str) -> bool:
    """Return whether a stated file name stays inside the folder that it is looked up in."""
    parts = name.replace("\\", "/").split("/")
    return ".." not in parts and not name.startswith(("/", "\\")) and "\0" not in name


def matches(path: Path) -> bool:
    """Return whether a path is a COCO panoptic JSON, or a folder with one and its PNGs."""
    try:
        if path.is_dir():
            return only_panoptic_file(path) is not None
        return shape_of(path).looks_panoptic
    except (CurateError, OSError, ValueError):
        return False


def panoptic_files(path: Path) -> list[Path]:
    """Return the COCO panoptic files of a source whose PNGs of ids are there.

    Args:
        path: A folder, or a PNG.

    Returns:
        Those in the folder or in its ``annotations``, those beside it that list its own PNGs, and
        those of Mapillary Vistas (``training/v2.0/panoptic``) where no ``instances`` are beside.
    """
    folder = path if path.is_dir() else path.parent
    own = folder.resolve()
    found = [] if path.is_file() else [*_files_of(folder), *_files_below(folder)]
    around = (folder, own.parent, own.parent / "annotations")
    found += [file for place in around for file in _in(place) if _lists(file, own)]
    return list({file.resolve(): file for file in found}.values())


def only_panoptic_file(folder: Path) -> Path | None:
    """Return the one COCO file of a folder, or of its ``annotations``; None where it is not one."""
    found = _files_of(folder) if folder.is_dir() else []
    if len(found) != 1:
        return None
    others = (f for f in _json_files(found[0].parent) if f != found[0])
    return None if any(shape_of(f).looks_coco for f in others) else found[0]


def _files_of(folder: Path) -> list[Path]:
    return [*_in(folder), *_in(folder / "annotations")]


def _files_below(folder: Path) -> list[Path]:
    places = (place for pattern in _DEEPER for place in sorted(folder.glob(pattern)))
    bare = (place for place in places if not (place.parent / "instances").is_dir())
    return [file for place in bare for file in _in(place)]


def _in(folder: Path) -> Iterator[Path]:
    """Yield the panoptic files right in a folder that have their PNGs."""
    for file in _json_files(folder):
        shape = shape_of(file)
        if shape.looks_panoptic and png_folder(file, shape.one("annotations")) is not None:
            yield file


def _lists(file: Path, folder: Path) -> bool:
    found = png_folder(file, shape_of(file).one("annotations"))
    return found is not None and found.resolve() == folder


def _json_files(folder: Path) -> list[Path]:
    """Return the JSON files of a folder; those called panoptic first, as some folders have many."""
    try:
        listed = list(islice(folder.iterdir(), _MOST_LISTED))
    except OSError:
        return []
    files = [file for file in listed if file.suffix.lower() == ".json"]
    files.sort(key=lambda file: ("panoptic" not in file.name.lower(), file.name))
    return files[:_MOST_LOOKED_AT]
