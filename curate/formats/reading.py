"""Reading of datasets: the format that a path holds, and its masks, whole or part by part."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path

from curate.archives.unpacked import open_archive, show_archives
from curate.archives.zip_listing import damage_of
from curate.common import files
from curate.common.archive_kinds import GZIP, archive_above
from curate.dataset.table import MaskTable, concat
from curate.errors import SourceError
from curate.formats import check_source, format_by_name, format_names
from curate.formats.coco.panoptic_reading import panoptic_files
from curate.formats.format import Format, ReadOptions, convert_read_errors
from curate.formats.ids.id_layouts import names_pictures
from curate.formats.json.sniffing import shape_of
from curate.formats.json.streaming import scan
from curate.formats.packed.packed_format import in_archive
from curate.formats.refused_files import refused_file
from curate.formats.refused_layouts import refused_layout
from curate.formats.yolo.yolo_folders import find_dataset_folder
from curate.formats.yolo.yolo_format import other_task

_SOURCE_FILES = (".json", ".xml", ".tar")
_OF_PNGS = ("png-folder", "png-flat", "label-png", "label-tiff", "label-npy")
_PANOPTIC = "coco-panoptic"
_PACKED_FILES = (*_SOURCE_FILES, ".csv", ".parquet")  # that are looked for in an archive
_FAMILIES = (frozenset(("coco", "lvis", "coco-results")), frozenset(("amg", *_OF_PNGS)))
_READ_FROM_FILES = ("cvat", "cvat-video", "sa1b")  # folders of these: their files alone
_MOST_LISTED = 2_000  # entries of a folder that are listed for other sources beside it
_MOST_BESIDE = 40  # and looked at


def detect(
    path: Path | str, format: str | None = None, options: ReadOptions | None = None
) -> Format:
    """Return the format of what a path holds.

    Args:
        path: A file or a folder.
        format: The name of a format to take without looking; None to look.
        options: What its reader is told beside the path.

    Raises:
        CallError: There is no format of that name.
        SourceError: The path does not exist, cannot be read, or holds none of the formats.
    """
    found = _find_format(Path(path), format)
    return found if options is None else found.with_options(options)


def dataset_path(path: Path, format: str | None = None) -> Path:
    """Return the path that is read for a path: mostly the path itself.

    Args:
        path: The YAML file of a YOLO dataset, or its ``obj.data``, stands for its folder.
        format: The name of the format that is forced; None for none.

    Raises:
        SourceError: There are no labels where the YAML says, nor beside it.
    """
    if path.suffix.lower() not in (".yaml", ".yml", ".data") or not path.is_file():
        return path
    return find_dataset_folder(path)


def find_others_beside(folder: Path, chosen: Format) -> dict[str, str]:
    """Find other sources in a folder, which are not read with it.

    Args:
        folder: A source.
        chosen: The format that it is read in.

    Returns:
        The title of its format by name, of the first few.
    """
    folder = chosen.path_read(folder)
    if not folder.is_dir():
        return {}
    whole = chosen.name not in _READ_FROM_FILES  # else folders in it are not read
    found = {}
    for entry in sorted(islice(folder.iterdir(), _MOST_LISTED))[:_MOST_BESIDE]:
        stands = entry.suffix.lower() in _SOURCE_FILES and entry.is_file()
        if stands or (not whole and entry.is_dir() and not names_pictures(entry.name)):
            formats = map(format_by_name, format_names())
            other = next((one for one in formats if one.matches(entry)), chosen)
            if other.name != chosen.name:
                found[entry.name] = other.title
    return found


def read(
    path: Path | str, format: str | None = None, options: ReadOptions | None = None
) -> MaskTable:
    """Read a whole source.

    Args:
        path: A file or a folder, in any format of :func:`format_names`.
        format: The name of its format; None to find it from the content.
        options: What its reader is told beside the path.

    Returns:
        All masks and images. For a source larger than memory audit it instead.

    Raises:
        CallError: There is no format of that name.
        SourceError: The source as a whole cannot be read.
    """
    source = dataset_path(Path(path), format)
    found = detect(source, format, options)
    with files.scratch() as work:
        return concat([found.load(source, part) for part in found.plan(source, work)])


def read_parts(path: Path, format: str | None = None) -> Iterator[MaskTable]:
    """Read a dataset part by part.

    Args:
        path: A file or a folder in any format.
        format: The name of its format; None to find it from the content.

    Raises:
        CallError: There is no format of that name.
        SourceError: The source as a whole cannot be read.
    """
    path = dataset_path(path, format)
    found = detect(path, format)
    with files.scratch() as work:
        for part in found.plan(path, work):
            yield found.load(path, part)


def _find_format(path: Path, format: str | None) -> Format:
    check_source(path, format)
    if (archive := archive_above(path)) and (found := _in_archive(path, archive, format)):
        return found
    if format is not None:
        _refuse_contradiction(path, format, path.stat().st_mtime_ns)
        return format_by_name(format)
    if found := _matching(path):
        if found.name in _OF_PNGS:
            _refuse_panoptic(path)
            _refuse_layout(path, passing=True)
        return found
    _raise_reason(path)
    inside = _sources_in(path)
    if inside:
        what = "the folder as a whole is in no format that curate knows, but files in it are"
        raise SourceError(what, str(path), f"give one of them: {', '.join(inside)}")
    what = "it is in none of the formats that curate knows"
    raise SourceError(what, str(path), f"check it, or force one with --format ({_known()})")


def _in_archive(path: Path, archive: Path, format: str | None) -> Format | None:
    """Return the format of a dataset in an archive; None where a format reads the archive itself.

    Args:
        path: The archive, or a path that leads into it.
        archive: The archive.
        format: The name of the format that is forced; None for none.
    """
    about = archive.stat()
    key = (str(path.absolute()), about.st_mtime_ns, about.st_size, about.st_ino)
    return _find_in_archive(key, path, archive, format)


@lru_cache(maxsize=64)
def _find_in_archive(
    key: tuple[str, int, int, int], path: Path, archive: Path, format: str | None
) -> Format | None:
    """Do what :func:`_in_archive` does, once for what the archive holds now."""
    del key
    within = path.absolute().relative_to(archive)
    native = _matching(path) if format is None else format_by_name(format)
    if native is not None and within == Path() and (format is None or native.matches(path)):
        return None
    if within == Path():
        _refuse_file(archive)
    if damage := damage_of(archive):
        raise SourceError(damage, str(archive), "get the file again")
    with show_archives():
        opened = open_archive(archive)
        if opened.kind == GZIP:
            found = _find_format(opened.path / within, format)
            return in_archive(found, opened.kind, "")
        inside, found = _find_inside(opened.path / within, format)
        return in_archive(found, opened.kind, inside.relative_to(opened.path).as_posix())


def _find_inside(path: Path, format: str | None) -> tuple[Path, Format]:
    """Return the dataset in an unpacked archive, and its format.

    The folder itself, or the only one in it, and so on; else the only file in it, at any depth,
    that is a dataset.
    """
    if not path.exists():
        raise SourceError("there is no such file or folder", str(path), "check the path")
    chain = [path]
    while chain[-1].is_dir():
        entries = [one for one in chain[-1].iterdir() if not one.name.startswith(".")]
        if len(entries) != 1:
            break
        chain += entries
    only = None if chain[-1].is_dir() else chain.pop()
    if only is not None and (only == path or archive_above(only) or _holds(only, format)):
        return only, _find_format(only, format)
    for one in (*chain[1:2], chain[0], *chain[2:]):  # mostly a folder was packed as it is
        target = dataset_path(one, format)
        if _holds(target, format):
            return target, _find_format(target, format)
    if only is not None:
        return only, _find_format(only, format)
    folder = chain[-1]
    files = _sources_below(folder, format)
    if len(files) == 1:
        return files[0], _find_format(files[0], format)
    if files:
        what = "several files in it are datasets"
        raise SourceError(what, str(path), f"give one of them: {', '.join(map(str, files[:3]))}")
    if format is not None:
        return folder, format_by_name(format)
    _refuse_file(folder)
    _refuse_layout(folder)
    what = "nothing in it is in a format that curate knows"
    raise SourceError(what, str(path), f"check it, or force one with --format ({_known()})")


def _holds(path: Path, format: str | None) -> bool:
    """Whether a path is a dataset of a format; None for any."""
    return bool(_matching(path)) if format is None else format_by_name(format).matches(path)


def _sources_below(folder: Path, format: str | None) -> list[Path]:
    """Return files below a folder that are sources by themselves, the first few."""
    formats = [format_by_name(name) for name in (format_names() if format is None else (format,))]
    listed = islice((p for p in folder.rglob("*") if p.suffix.lower() in _PACKED_FILES), 500)
    found = (p for p in sorted(listed) if p.is_file() and any(one.matches(p) for one in formats))
    return list(islice(found, 4))


def _known() -> str:
    return ", ".join(format_names())


def _matching(path: Path) -> Format | None:
    formats = map(format_by_name, format_names())  # loaded one by one, as far as needed
    found = next((one for one in formats if one.matches(path)), None)
    if found is None or found.name != _PANOPTIC or not path.is_dir():
        return found
    # A panoptic JSON may lie in a dataset of another kind, but PNGs of ids are its own.
    others = (one for one in formats if one.name not in _OF_PNGS)
    return next((one for one in others if one.matches(path)), found)


def _refuse_panoptic(path: Path) -> None:
    """Raise where a panoptic JSON says what PNGs mean: without it they have no classes."""
    if found := panoptic_files(path):
        what = "its PNGs are the ids of COCO panoptic JSON, which says what each of them is"
        raise SourceError(what, str(path), f"give the JSON: {', '.join(map(str, found[:3]))}")


def _sources_in(folder: Path, most: int = 3) -> list[str]:
    """Return files right in a folder that are sources by themselves, for an error to name."""
    if not folder.is_dir():
        return []
    files = sorted(f for f in folder.iterdir() if f.suffix.lower() in _PACKED_FILES)
    formats = [format_by_name(name) for name in format_names()]
    named = (f for f in files[:500] if f.is_file() and any(one.matches(f) for one in formats))
    return [str(f) for f in islice(named, most)]


@lru_cache(maxsize=64)
def _refuse_contradiction(path: Path, format: str, changed: int) -> None:
    """Raise where the content is plainly of another format than the one that is forced.

    Formats of one family read each other's files: which of them it is, the user may know better.
    """
    del changed
    chosen = format_by_name(format)
    if chosen.matches(path):
        return
    _refuse_file(path)
    found = _matching(path)
    if found is None or any({format, found.name} <= family for family in _FAMILIES):
        return
    if found.name == "coco-results" and _is_empty_list(path):
        return
    what = f"it looks like {found.title}, not like {chosen.title}"
    raise SourceError(what, str(path), f"leave --format out, or give --format {found.name}")


def _is_empty_list(path: Path) -> bool:
    """Return whether a file is an empty JSON list, which all formats of lists can be."""
    return path.is_file() and path.stat().st_size < 100 and path.read_bytes().strip() == b"[]"


def _refuse_file(path: Path) -> None:
    """Raise where a file, or most of a folder, is of a kind that is not read."""
    if refused := refused_file(path):
        subject = "it is" if path.is_file() else "most of its files are not read: each is"
        raise SourceError(f"{subject} {refused.what}", str(path), refused.do)


def _refuse_layout(path: Path, *, passing: bool = False) -> None:
    """Raise where a folder is a dataset of a kind that is not read."""
    if refused := refused_layout(path, passing=passing):
        raise SourceError(f"it is {refused.what}", str(path), refused.do)


def _raise_reason(path: Path) -> None:
    """Raise the reason why no format reads a source, if it can be told."""
    _refuse_file(path)
    if not path.is_file():
        if what := other_task(path):
            raise SourceError(what, str(path), "give labels for segmentation")
        _refuse_layout(path)
        return
    with convert_read_errors(path), path.open("rb") as file:
        head = file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()
        if not head:
            raise SourceError("the file is empty", str(path))
        if damage := damage_of(path):
            raise SourceError(damage, str(path), "get the file again")
        if head[:1] in (b"{", b"[") or path.suffix.lower() == ".json":
            stranger = shape_of(path).stranger
            if stranger:
                do = "give the file of instances, which has segmentations"
                raise SourceError(f"it is {stranger}", str(path), do)
            file.seek(0)
            for _ in scan(file, path.name, frozenset()):
                pass
