"""CVAT for video 1.1: an XML file with ``<mask>`` and ``<polygon>`` shapes in ``<track>``s.

An image is a frame on which people drew a mask or a polygon; ``frame_000012`` is its name, as CVAT
calls the pictures that it exports, with the ending of the picture where that lies beside the file.
Read are the shapes of keyframes that are not ``outside``: what CVAT computes between keyframes
nobody drew, and it changes as soon as a keyframe does.

On writing, a dropped shape gets ``outside="1"``: cut out, CVAT would compute it anew from its
neighbours. A track of which nothing else is seen is cut out. The label is the track's, so all of
its masks change theirs together. A new mask is a track of one frame.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from curate.dataset.notes import Note
from curate.dataset.table import MaskTable
from curate.errors import CallError, CurateError, SourceError
from curate.formats.copying import Edit, copy_with_edits, splice
from curate.formats.cvat.cvat_format import (
    path_of,
    read_attributes,
    read_shape,
    with_label,
    xml_names,
)
from curate.formats.cvat.cvat_writing import FileEdits
from curate.formats.cvat.mask_shapes import parse_int
from curate.formats.cvat.video_index import COMPUTED, DRAWN, VideoIndex, index_video
from curate.formats.cvat.video_writing import VideoWriter, find_largest_id
from curate.formats.cvat.xml_stream import looks_like_video, read_images, tag_ends
from curate.formats.edits import Edits, Stored
from curate.formats.format import PART_BYTES, Format, Part, ReadOptions, convert_read_errors
from curate.formats.new_pixels import PixelTally
from curate.formats.own_pictures import OwnPictures, is_picture, under_one_of
from curate.formats.picture_sizes import find_pictures, note_size, picture_size
from curate.formats.segmentation import valid_size
from curate.formats.table_builder import TableBuilder, parts_of, plain
from curate.formats.untouched.cvat_video_check import check_cvat_video

_KEY = re.compile(r"(.*)#/track/([0-9]{1,18})/(mask|polygon)/([0-9]{1,18})", re.DOTALL)
_FRAME_KEY = re.compile(r"(.*)#/frame/([0-9]{1,18})", re.DOTALL)
_NO_OPTIONS = ReadOptions()
_LOOK = 50  # how many XML files of a folder are looked at to tell the format
_IMAGES = "images"
_FRAME_COST = 2_000  # bytes of a frame beside its shapes


class _Frame(NamedTuple):
    """A frame of a file, for a part: where its shapes stand and what else reading them takes.

    Attributes:
        name: The file's name.
        key: Source key of the image.
        number: Of the frame.
        file_name: Its name as an image.
        size: Height and width in pixels; 0 where they are not known.
        picture: Path of its picture under the folder given; "" where the file states the size.
        subset: The subset of its task; None where it has none.
        shapes: Of each shape start, closing, track, kind and ordinal.
        tracks: Attributes of these tracks by position.
        labels: Names that the file declares.
        encoding: Of the file.
        notes: What is noted of the file: kind, text, count, of.
    """

    name: str
    key: str
    number: int
    file_name: str
    size: tuple[int, int]
    picture: str
    subset: str | None
    shapes: tuple[tuple[int, int, int, str, int], ...]
    tracks: dict[int, dict[str, str]]
    labels: tuple[str, ...]
    encoding: str
    notes: tuple[tuple[str, str, int, str], ...]


def matches(path: Path) -> bool:
    """Return whether a file, or an XML file in a folder, begins like CVAT for video."""
    try:
        if path.is_dir():
            return any(looks_like_video(path / name) for name in xml_names(path)[:_LOOK])
        return path.is_file() and looks_like_video(path)
    except (CurateError, OSError, ValueError):
        return False


def plan(source: Path, work: Path, options: ReadOptions = _NO_OPTIONS) -> Iterator[Part]:
    """Find the frames that have masks, and group them into parts."""
    del work
    names = _names(source)
    if not names:
        raise SourceError("there is no CVAT XML in it", str(source), "give the file itself")
    found: list[tuple[Any, int]] = []
    for name in names:
        path = path_of(source, name)
        with convert_read_errors(path):
            index = index_video(path)
        for frame in _frames(name, index, _pictures_by_frame(path), options):
            cost = sum(closing - start for start, closing, *_ in frame.shapes)
            found.append((frame, _FRAME_COST + cost))
    yield from parts_of(found or [(None, 0)], PART_BYTES)


def load(source: Path, part: Part, options: ReadOptions = _NO_OPTIONS) -> MaskTable:
    """Read the masks of some frames."""
    rows = TableBuilder()
    for frame in part.payload:
        if frame is None:
            continue
        rows.notes.merge([Note(k, text, n, of, (frame.name,)) for k, text, n, of in frame.notes])
        if not frame.key:
            continue
        size, status, detail = _size(rows, frame, options)
        place = {"source_key": frame.key, "subset": frame.subset}
        image = rows.image(frame.file_name, size, status, detail, **place)
        path = path_of(source, frame.name)
        with convert_read_errors(path), open(path, "rb") as file:
            pieces = []
            for start, closing, *_ in frame.shapes:
                end = tag_ends(file, start, closing)[1]
                file.seek(start)
                pieces.append(file.read(end - start))
        data = b"<image>" + b"".join(pieces) + b"</image>"
        (read,) = read_images(data, frame.encoding, path)
        for shape, (_, _, track, kind, ordinal) in zip(read.shapes, frame.shapes, strict=True):
            whole = frame.tracks[track]
            for attribute in ("label", "group_id"):
                shape.attributes[attribute] = whole.get(attribute, "")
            mask = with_label(read_shape(shape, size), shape, frame.labels)
            ids, optional = read_attributes(shape)
            number = parse_int(whole.get("id", ""))
            optional |= {} if number is None else {"track_id": number}
            rows.mask(f"{frame.name}#/track/{track}/{kind}/{ordinal}", image, mask, ids, optional)
    return rows.table()


def pictures(source: Path) -> OwnPictures | None:
    """Return the folder ``images`` beside the file, where it has the frames."""
    folder = (source if source.is_dir() else source.parent) / _IMAGES
    names = list(_pictures_by_frame(folder.parent / "any").values())[:100]
    return under_one_of([folder], names)


def write(
    source: Path, out: Path | None, edits: Edits, options: ReadOptions = _NO_OPTIONS
) -> Stored:
    """Copy with other bytes for the shapes that go, change or come."""
    names = {plain(n): n for n in _names(source)}
    files = _by_file(source, edits, names)
    paths = {name: path_of(source, names[name]) for name in files}
    tally, ids = PixelTally(), count(0)
    if edits.add:
        largest = [find_largest_id(path_of(source, own)) for own in names.values()]
        ids = count(max((n for n in largest if n is not None), default=-1) + 1)
    changes: dict[str, Edit | None] = {}
    for name, mine in files.items():
        with convert_read_errors(paths[name]):
            index = index_video(paths[name])
        sizes = {}
        if not edits.only_drops and options.images is not None:
            sizes = _picture_sizes(name, index, _pictures_by_frame(paths[name]), options)
        writer = VideoWriter(paths[name], mine, index, edits.masks, tally, ids, sizes)
        changes[name] = partial(splice, pieces=writer.pieces())
    copy_with_edits(source, out, changes)
    return tally.count_stored()


def _names(source: Path) -> list[str]:
    if source.is_file():
        return [source.name]
    return [name for name in xml_names(source) if looks_like_video(source / name)]


def _by_file(source: Path, edits: Edits, names: Collection[str]) -> dict[str, FileEdits]:
    files: dict[str, FileEdits] = {}

    def of(pattern: re.Pattern[str], key: str, kind: str) -> tuple[FileEdits, re.Match[str]]:
        found = pattern.fullmatch(key)
        if not found or found[1] not in names:
            raise CallError(f"{key} names no {kind} of it", str(source))
        return files.setdefault(found[1], FileEdits()), found

    for key in edits.drop:
        mine, found = of(_KEY, key, "mask")
        mine.drop.add((int(found[2]), found[3], int(found[4])))
    for key, change in edits.change.items():
        mine, found = of(_KEY, key, "mask")
        mine.change[int(found[2]), found[3], int(found[4])] = key, change
    for addition in edits.add:
        mine, found = of(_FRAME_KEY, addition.image_key, "image to which a mask can be added")
        mine.add.append((int(found[2]), addition))
    return files


# --- frames --------------------------------------------------------------------------------------


def _frames(
    name: str, index: VideoIndex, pictures: Mapping[int, str], options: ReadOptions
) -> Iterator[_Frame]:
    """Yield the frames of a file that have masks, by task and number."""
    by_frame: dict[tuple[str, int], list[tuple[int, int, int, str, int]]] = {}
    computed = lost = 0
    for shape in index.shapes():
        computed += shape.state == COMPUTED
        lost += shape.state == DRAWN and shape.frame < 0
        if shape.state == DRAWN and shape.frame >= 0:
            place = shape.start, shape.closing, shape.track, shape.kind, shape.ordinal
            by_frame.setdefault((index.task_of(shape.track), shape.frame), []).append(place)
    notes = _notes(index, computed, lost)
    names = {key: _file_name(*key, pictures) for key in by_frame}
    unsized = [names[key] for key in by_frame if not valid_size(*_stated(index, key[0]))]
    known: dict[str, str] = {}
    if options.images is not None and unsized:
        known = find_pictures(options.images, list(names.values()), unsized)
    if not by_frame and notes:
        yield _Frame(name, "", 0, "", (0, 0), "", None, (), {}, (), "", notes)
    for (task, number), shapes in sorted(by_frame.items()):
        shapes.sort()
        tracks = {track: index.tracks[track] for _, _, track, _, _ in shapes}
        subset = next(iter(tracks.values())).get("subset")
        where = f"task/{task}/frame/{number}" if task else f"frame/{number}"
        file_name = names[task, number]
        yield _Frame(
            name,
            f"{name}#/{where}",
            number,
            file_name,
            _stated(index, task),
            known.get(file_name, ""),
            subset,
            tuple(shapes),
            tracks,
            index.labels,
            index.encoding,
            notes,
        )
        notes = ()


def _notes(index: VideoIndex, computed: int, lost: int) -> tuple[tuple[str, str, int, str], ...]:
    made = []
    if computed:
        what = "shapes between keyframes are computed by CVAT, drawn by nobody: they are not read"
        made.append(("interpolated", what, computed, "shapes"))
    if lost:
        made.append(("no_frame", "shapes without the number of a frame", lost, "shapes"))
    for tag, number in index.others.items():
        what = f"<{tag[:40]}> is no mask: it is not read, and stays"
        made.append(("no_mask", what, number, "shapes"))
    return tuple(made)


def _stated(index: VideoIndex, task: str) -> tuple[int, int]:
    known = index.tasks.get(task)
    return known.size if known else (0, 0)


def _file_name(task: str, number: int, pictures: Mapping[int, str]) -> str:
    name = f"frame_{number:06d}"
    return f"task_{task}/{name}" if task else pictures.get(number, name)


def _pictures_by_frame(path: Path) -> dict[int, str]:
    """Return the pictures in the folder ``images`` beside a file, by the numbers of frames."""
    folder = path.parent / _IMAGES
    found: dict[int, str] = {}
    if not folder.is_dir():
        return found
    for entry in sorted(folder.iterdir()):
        number = re.fullmatch(r"frame_([0-9]{6,9})\.[A-Za-z]+", entry.name)
        if number and is_picture(entry.name):
            found.setdefault(int(number[1]), entry.name)
    return found


def _picture_sizes(
    name: str, index: VideoIndex, pictures: Mapping[int, str], options: ReadOptions
) -> dict[int, tuple[int, int]]:
    """Return the sizes of frames that the file does not state, by their numbers."""
    assert options.images is not None
    frames = [one for one in _frames(name, index, pictures, options) if one.picture]
    return {one.number: picture_size(options.images / one.picture) for one in frames}


def _size(
    rows: TableBuilder, frame: _Frame, options: ReadOptions
) -> tuple[tuple[int, int], str, str]:
    """Return a frame's height and width, its status and what is wrong with it."""
    size = frame.size
    if not valid_size(*size) and frame.picture and options.images is not None:
        size = picture_size(options.images / frame.picture)
        note_size(rows.notes, frame.file_name)
    if valid_size(*size):
        return size, "ok", ""
    return size, "invalid_size", "the file states no original_size; give the pictures with --images"


FORMAT = Format(
    "cvat-video",
    "CVAT for video 1.1",
    matches,
    plan,
    load,
    write,
    follows=("plan", "load", "write"),
    check_unedited=check_cvat_video,
    pictures=pictures,
)
