"""Pictures of a dataset itself: in its folder, or where tools put them beside its file.

They count only where the dataset's own file names are their paths, so nothing is joined by what two
names have in common.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from curate.formats.png.png_reading import PICTURES, PictureProblem, read_picture

_SAMPLE = 1_000  # how many pictures a fingerprint is of
_TRIED = 20  # names by which a folder is tried before all are
_MEASURED = 8  # pictures whose sizes are compared with the declared ones
_MOST_ENTRIES = 20_000  # that are looked at for a picture
_ANNOTATIONS = ("annotations", "annotation", "labels")

IN_DATASET, BESIDE_FILE = "in the dataset", "beside the file"
"""Where a dataset's own pictures are: where its reader finds them, or not known to its reader."""


class OwnPictures(NamedTuple):
    """Location of a dataset's own pictures.

    Attributes:
        folder: The folder under which its file names are their paths.
        names: Some of these names, where the folder is not the source itself.
    """

    folder: Path
    names: tuple[str, ...] = ()

    def fingerprint(self) -> str:
        """Return 32 hex digits of the names and sizes of some pictures that are not in the source.

        What lies in the source is in the fingerprint of that.
        """
        digest = blake2b(digest_size=16)
        for name in self.names:
            try:
                size = (self.folder / name).stat().st_size
            except OSError:
                size = -1
            digest.update(b"%s\0%d\n" % (name.encode("utf-8", "surrogatepass"), size))
        return digest.hexdigest()


def is_picture(name: str) -> bool:
    """Whether a file of this name is a picture."""
    return name.lower().endswith(PICTURES)


def holds_picture(folder: Path, depth: int = 8) -> bool:
    """Whether some picture lies in a folder or below; stops at the first, and after many files."""
    return any(is_picture(name) for name in _some_files(folder, depth, [_MOST_ENTRIES]))


def _some_files(folder: Path, depth: int, left: list[int]) -> Iterator[str]:
    below = []
    try:
        with os.scandir(folder) as found:
            for entry in found:
                left[0] -= 1
                if left[0] < 0:
                    return
                if entry.is_dir(follow_symlinks=False):
                    below.append(Path(entry.path))
                elif entry.is_file():
                    yield entry.name
    except OSError:
        return
    for one in below if depth > 1 else ():
        yield from _some_files(one, depth - 1, left)


def under_one_of(
    roots: Iterable[Path], names: Sequence[str], least: float = 0.95
) -> OwnPictures | None:
    """Return the one folder under which nearly all names are paths of files.

    Args:
        roots: The folders to try.
        names: All file names of a dataset, or a sample.
        least: The share of them that must be there.

    Returns:
        None where there is none, and where there are several.
    """
    names = [name for name in dict.fromkeys(names) if _is_inside(name)]
    found = {root.resolve(): root for root in roots if root.is_dir()}
    good = [
        root for root in found if _has(root, names[:_TRIED], least) and _has(root, names, least)
    ]
    if len(good) != 1:
        return None
    step = max(1, len(names) // _SAMPLE)
    return OwnPictures(good[0], tuple(names[::step]))


def _has(root: Path, names: Sequence[str], least: float) -> bool:
    found = sum(os.path.isfile(os.path.join(root, name)) for name in names)
    return found > 0 and found >= least * len(names)


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    plain = "\0" not in name and "\\" not in name and is_picture(name)
    return plain and not path.is_absolute() and ".." not in path.parts


def roots_beside(file: Path) -> list[Path]:
    """Return where tools put the pictures of an annotation file, as far as some are there.

    Beside it (Roboflow), in ``images`` or ``data`` (CVAT, FiftyOne), in a folder that is called
    like the end of its name (``instances_val2017.json``, ``val2017``) or in such a folder in
    ``images``; beside its folder too where that is called ``annotations``.
    """
    stem = file.stem
    words = {stem, stem.rpartition("_")[2], stem.rpartition("-")[2]} - {""}
    inside = ["", "images", "data", *sorted(words), *(f"images/{word}" for word in sorted(words))]
    home = file.resolve().parent
    above = [home, home.parent] if home.name.lower() in _ANNOTATIONS else [home]
    tried = [folder / name for folder in above for name in inside]
    return [folder for folder in tried if folder.is_dir() and holds_picture(folder, 3)]


def beside_file(
    file: Path, names_and_sizes: Iterable[tuple[str, tuple[int, int] | None]]
) -> OwnPictures | None:
    """Return the pictures beside an annotation file.

    Args:
        file: The file.
        names_and_sizes: File name of every image, and its height and width where they are known;
            not asked for where no picture is near.

    Returns:
        None where not nearly all are there, or where they are of other sizes: other pictures.
    """
    roots = roots_beside(file)
    sizes = dict(names_and_sizes) if roots else {}
    found = under_one_of(roots, [*sizes])
    if found is None:
        return None
    declared = [(name, sizes[name]) for name in found.names if sizes[name] is not None]
    agree = [
        size in (own, own and own[::-1])
        for name, own in declared[:_MEASURED]
        if (size := _size(found.folder / name)) is not None
    ]
    return found if 2 * sum(agree) >= len(agree) else None


def _size(path: Path) -> tuple[int, int] | None:
    try:
        return read_picture(path).size
    except PictureProblem:
        return None
