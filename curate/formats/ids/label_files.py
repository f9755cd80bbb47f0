"""Formats of files in which a pixel's value is the id of its instance: each but 0 is one mask.

What reads and writes one such file is a :class:`LabelFiles`; what is the same for all kinds of them
is here: finding the files and their pictures, judging them, notes, edits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np

from curate import rle
from curate.dataset.table import MaskTable
from curate.errors import CurateError, SourceError
from curate.formats.copying import Edit, copy_with_edits
from curate.formats.edits import Edits, Stored
from curate.formats.format import Part, ReadOptions
from curate.formats.ids.class_files import ClassFile, refuse_unheld_categories
from curate.formats.ids.id_codes import IdCode, id_code
from curate.formats.ids.id_edits import IdStorage, by_file, refuse_clashes
from curate.formats.ids.id_judging import NoIds, UnreadIds
from curate.formats.ids.id_layouts import VOC_VOID, find_id_files, plain_layout
from curate.formats.ids.id_places import IdLayout, IdPlace
from curate.formats.ids.scene_layouts import ade20k_names
from curate.formats.ids.strip_runs import IdImage
from curate.formats.new_pixels import PixelTally, refuse_polygons
from curate.formats.own_pictures import OwnPictures, under_one_of
from curate.formats.png.png_reading import PictureProblem
from curate.formats.segmentation import Segmentation
from curate.formats.table_builder import TableBuilder, parts_of, plain
from curate.rle import Runs

_LOOK = 60  # how many files are looked at to tell the format
_LOOK_PIXELS = 30_000_000  # and of what size at most
_LEAST_SHARE = 0.5  # of its pictures that must be there: their folder has a name of its own
_HIGHEST = 3  # how far above the source its pictures' folder is looked for
_CLASS_PIXELS = 1 << 22  # of a mask's box whose classes are counted at a time
_MOST_NAMING = 2_000  # files whose documents are read for the names of classes
_FILE_COST = 8_192  # what opening a file costs, in bytes of it


def _plain_layout(source: Path, home: Path | None) -> IdLayout:
    return plain_layout(source)


def _no_layout(path: Path) -> IdLayout:
    return IdLayout()


def _no_classes(path: Path, size: tuple[int, int], names: dict[int, str]) -> Any:
    return None


def _no_class_files(source: Path, layout: IdLayout, place: IdPlace) -> list[ClassFile]:
    return []


def _no_notes(source: Path, rows: TableBuilder) -> None:
    return


@dataclass(frozen=True)
class LabelFiles:
    """How files of one kind hold ids.

    Attributes:
        storage: How they are opened for edits, and written.
        suffixes: How their names end, in lower case.
        size: Returns a file's height and width from its header. Raises :class:`PictureProblem`.
        read: (path, whether it is known that it holds ids) to its masks. Raises
            :class:`PictureProblem`, :class:`NoIds` for a picture.
        part_bytes: About how many bytes of files a part has.
        layout: (source, the folder of which it is a copy) to the layout of a folder.
        file_layout: From a single file to its layout.
        classes: (path, height and width, names) to the class of each pixel of a file of classes;
            None where it cannot be known.
        note: (source, rows): notes what is to be said of the source as a whole.
        beside: (source, layout, file of ids) to the files of classes that follow its edits.
    """

    storage: IdStorage
    suffixes: tuple[str, ...]
    size: Callable[[Path], tuple[int, int]]
    read: Callable[[Path, bool], IdImage]
    part_bytes: int
    layout: Callable[[Path, Path | None], IdLayout] = _plain_layout
    file_layout: Callable[[Path], IdLayout] = _no_layout
    classes: Callable[[Path, tuple[int, int], dict[int, str]], Any] = _no_classes
    note: Callable[[Path, TableBuilder], None] = _no_notes
    beside: Callable[[Path, IdLayout, IdPlace], list[ClassFile]] = _no_class_files

    def matches(self, path: Path) -> bool:
        """Return whether a path holds files of ids: few values, in patches."""
        try:
            if path.is_file():
                return self._looks_like_ids(path) is not False
            if not path.is_dir() or (path / "metadata.csv").exists():
                return False
            layout = self.layout(path, None)
            found = self._files(path, layout)
            if layout.title:
                return next(found, None) is not None
            return self._most_are_ids(path / one.name for one in found)
        except SourceError as error:
            return error.where == str(path)  # several folders of ids: reading it says which
        except (CurateError, OSError, ValueError):
            return False

    def plan(self, source: Path, work: Path, options: ReadOptions | None = None) -> Iterator[Part]:
        """Group files into parts."""
        layout = self._layout(source, options)
        known = layout.title, layout.code, dict(layout.of_classes)
        home = None if options is None else options.home
        named = ((one, one.size + _FILE_COST) for one in self._files(source, layout, home))
        empty = True
        for part in parts_of(named, self.part_bytes):
            empty = False
            yield Part(part.index, (known, part.payload))
        if empty:
            noun = self.storage.noun
            do = f"give the folder of the {noun}s"
            raise SourceError(f"there is no {noun} in it", str(source), do)

    def pictures(self, source: Path) -> OwnPictures | None:
        """Return where pictures are that ``file_name`` names: the source, or a folder above it."""
        if source.is_file():
            return None
        some = islice(self._files(source, self.layout(source, None)), _LOOK)
        names = [one.image for one in some if one.image != one.name]
        whole = source.resolve()
        if found := under_one_of([whole], names, _LEAST_SHARE):
            return OwnPictures(found.folder)
        return under_one_of(whole.parents[:_HIGHEST], names, _LEAST_SHARE)

    def load(self, source: Path, part: Part) -> MaskTable:
        """Read the masks of some files; one that cannot be read is an image without masks."""
        rows = TableBuilder()
        (title, code, of_classes), places = part.payload
        if part.index == 0:
            self.note(source, rows)
        for place in places:
            path = source if source.is_file() else source / place.name
            size, placed = (0, 0), path == source
            try:
                size = self.size(path)
                found = self.read(path, bool(title))
            except PictureProblem as problem:
                if isinstance(problem, NoIds) and not placed:
                    what = f"{self.storage.noun}s that hold pictures and no ids are not read"
                    rows.notes.add("no_ids", what, place.name, "files")
                    continue
                status = "invalid_size" if problem.status == "invalid_size" else "unreadable"
                rows.image(place.image, size, status, problem.detail, named_by_place=placed)
                continue
            image = rows.image(
                place.image,
                size,
                source_key=place.name,
                named_by_place=placed,
                subset=place.subset,
            )
            if title:
                rows.notes.add("layout", _describe_layout(title, code), place.name, "images")
            if Path(place.classes).is_absolute():
                what = "SegmentationClass lies outside of the source, so prune and write leave it"
                rows.notes.add("classes_elsewhere", what, place.name, "images")
            own = source / place.classes
            classes = self.classes(own, size, of_classes) if place.classes else None
            names = replace(code, names=self._names(source, place, found, code))
            _add_masks(rows, image, place, found, names, (classes, of_classes))
        return rows.table()

    def write(
        self, source: Path, out: Path | None, edits: Edits, options: ReadOptions | None = None
    ) -> Stored:
        """Copy with other ids for the pixels of masks that go, change or come.

        Files of which no mask does stay byte for byte.
        """
        layout = self._layout(source, options)
        edits.refuse_attributes(str(source))
        refuse_polygons(edits, str(source))
        home = None if options is None else options.home
        places = {plain(one.name): one for one in self._files(source, layout, home)}
        paths = {k: source if source.is_file() else source / v.name for k, v in places.items()}
        code = self._named_code(source, layout.code, places.values(), edits)
        files, tally = by_file(source, edits, paths, code, self.storage), PixelTally()
        beside = {name: self.beside(source, layout, places[name]) for name in files}
        named = {name: places[name].category for name in files}
        folders = {name: category for name, category in named.items() if category}
        refuse_unheld_categories(source, edits, layout, beside, folders)
        if edits.overlap is None:
            refuse_clashes(source, files.values())
        changes: dict[str, Edit | None] = {}
        for name, mine in files.items():
            if mine.has_new_pixels:
                changes[name] = partial(mine.write, overlap=edits.overlap, tally=tally)
            for one in beside[name]:
                changes[one.name] = partial(one.write, mine, edits.overlap)
        copy_with_edits(source, out, changes)
        return tally.count_stored()

    def _names(
        self, source: Path, place: IdPlace, found: IdImage, code: IdCode
    ) -> Mapping[int, str]:
        """Return the names of the classes of a file's ids."""
        if not place.about:
            return code.names
        return ade20k_names(source / place.about, code, found.ids.tolist())

    def _named_code(
        self, source: Path, code: IdCode, places: Iterable[IdPlace], edits: Edits
    ) -> IdCode:
        """Return a code with the names of new masks' classes, as far as documents have them."""
        wanted, home = {one.category for one in edits.add}, {one.image_key for one in edits.add}
        names = dict(code.names)
        for place in sorted(places, key=lambda one: plain(one.name) not in home)[:_MOST_NAMING]:
            if not place.about or wanted <= set(names.values()):
                break
            names |= self._names(source, place, self.read(source / place.name, True), code)
        return replace(code, names=names)

    def _layout(self, source: Path, options: ReadOptions | None) -> IdLayout:
        """Return a source's layout, as far as it is not told otherwise."""
        home = None if options is None else options.home
        layout = self.file_layout(source) if source.is_file() else self.layout(source, home)
        if options is None:
            return layout
        code, void = layout.code, options.void
        if options.class_code is not None:
            code = id_code(options.class_code)
        return replace(layout, code=code if void is None else replace(code, void=frozenset(void)))

    def _files(self, source: Path, layout: IdLayout, home: Path | None = None) -> Iterator[IdPlace]:
        if source.is_file():
            return iter((IdPlace(source.name, source.stat().st_size, source.name),))
        return find_id_files(source, layout, home, self.suffixes)

    def _most_are_ids(self, paths: Iterator[Path]) -> bool:
        """Return whether files are ids, looking on until some with content have been seen."""
        ids = others = 0
        for path in islice(paths, 50 * _LOOK):
            judged = self._looks_like_ids(path)
            ids, others = ids + (judged is True), others + (judged is False)
            if ids + others == _LOOK:
                break
        return ids > 0 and ids >= others

    def _looks_like_ids(self, path: Path) -> bool | None:
        """Return whether a file looks like ids; None where it has nothing but background."""
        try:
            height, width = self.size(path)
            if height * width > _LOOK_PIXELS:
                return False
            return True if len(self.read(path, False).ids) else None
        except UnreadIds:
            return True
        except PictureProblem:
            return False


def _describe_layout(title: str, code: IdCode) -> str:
    """Describe the meaning that a layout was given, for a note."""
    carries = f": {code.describe()}" if code.name != "none" else ""
    if title == "Pascal VOC":
        carries = ": ids are those of SegmentationObject, classes those of SegmentationClass"
    if title == "ADE20K":
        carries += "; parts of objects and all files beside *_seg.png are not read, and stay"
    if title == "MVTec AD":
        carries = ": the defects of an image are one mask"
    return f"read as {title}{carries}"


def _add_masks(
    rows: TableBuilder,
    image: int,
    place: IdPlace,
    found: IdImage,
    code: IdCode,
    classes: tuple[Any, dict[int, str]],
) -> None:
    """Add the masks of one PNG; ``classes`` are the class of each pixel, or None, and names."""
    name, void, stuff = place.name, code.void_in(found.palette), False
    for at, (value, counts) in enumerate(
        zip(found.ids.tolist(), rle.encode_counts(found.runs).to_pylist(), strict=True)
    ):
        key = f"{name}#{value}"
        if value in void:
            rows.notes.add("void", f"pixels of the void id {value} are in no mask", key, "images")
        elif not code.is_instance(value):
            stuff = True
        else:
            optional: dict[str, object] = {"category": place.category} if place.category else {}
            number = code.class_of(value)
            if number is not None:
                optional = {"category_id": number, "category": code.class_name(number)}
            elif classes[0] is not None:
                optional = _by_overlap(classes[0], found.runs[at : at + 1], classes[1], void)
            rows.mask(key, image, Segmentation(cast(bytes, counts)), value, optional)
    if stuff:
        what = "regions of a class that are no single object are no masks"
        rows.notes.add("stuff", what, name, "images")


def _by_overlap(classes: Any, mask: Runs, names: dict[int, str], void: Any) -> dict[str, object]:
    """Return the class that most pixels of a mask have, as columns."""
    x, y, w, h = np.asarray(rle.bbox(mask))[0].tolist()
    rows, tally = max(1, _CLASS_PIXELS // w), Counter[int]()
    for top in range(y, y + h, rows):
        n = min(rows, y + h - top)
        inside = rle.to_dense(rle.crop(mask, [(x, top, w, n)]), 0)
        some, numbers = np.unique(classes[top : top + n, x : x + w][inside], return_counts=True)
        tally.update(dict(zip(some.tolist(), numbers.tolist(), strict=True)))
    values, counts = np.array(sorted(tally)), np.array([tally[k] for k in sorted(tally)])
    known = ~np.isin(values, [0, *void, *VOC_VOID])
    if not known.any():
        return {}
    number = int(values[known][counts[known].argmax()])
    return {"category_id": number, "category": names.get(number) or str(number)}
