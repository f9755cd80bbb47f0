"""A format whose dataset is in an archive: read from the unpacked one, written as the same archive.

The archive is unpacked once (:mod:`curate.archives.unpacked`); the format within does the reading.
To write, it writes the unpacked dataset with its edits, and what differs then goes into a copy of
the archive: all other files of it stay as they are packed. Source keys are those of the unpacked
dataset; messages name the archive.
"""

from __future__ import annotations

import filecmp
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import pandas as pd

from curate.archives.tar_rewriting import rewrite_gzip, rewrite_tar
from curate.archives.unpacked import Unpacked, open_archive, real_path, show_archives
from curate.archives.zip_rewriting import rewrite_zip
from curate.common import files
from curate.common.archive_kinds import GZIP, ZIP, archive_above
from curate.dataset.table import MaskTable
from curate.errors import CurateError
from curate.formats.copying import copy_bytes, files_under
from curate.formats.edits import Edits, Stored
from curate.formats.format import Format, Part, ReadOptions, check_new, new_file
from curate.formats.own_pictures import OwnPictures
from curate.formats.untouched.packed_check import check_packed


def in_archive(inner: Format, kind: str, within: str) -> Format:
    """Return a format as it stands in archives.

    Args:
        inner: The format.
        kind: What the archive is: "zip", "tar" or "gzip".
        within: Path of the dataset in the unpacked archive; "" for all of it.
    """
    packed = _Packed(inner, within)
    return replace(
        inner,
        title=f"{inner.title} in a {kind} file",
        matches=packed.matches,
        plan=packed.plan,
        load=packed.load,
        write=packed.write,
        configure=lambda options: in_archive(
            inner.with_options(packed.options(options)), kind, within
        ),
        follows=(),
        check_unedited=packed.check_unedited,
        images=None if inner.images is None else packed.images,
        rings=None if inner.rings is None else packed.rings,
        pictures=None if inner.pictures is None else packed.pictures,
        opened=packed.path,
        named_by_source=inner.named_by_source and kind == GZIP,
    )


@dataclass(frozen=True)
class _Packed:
    inner: Format
    within: str

    def path(self, source: Path) -> Path:
        """Return where the dataset of an archive is unpacked."""
        with show_archives():
            return self.inner.path_read(self._outer(source))

    def options(self, options: ReadOptions) -> ReadOptions:
        """Return options for the reader of what was unpacked."""
        images = None if options.images is None else real_path(options.images)
        home = None if options.home is None else self._outer(options.home)
        return replace(options, images=images, home=home)

    def matches(self, path: Path) -> bool:
        try:
            return archive_above(path) is not None and self.inner.matches(self._outer(path))
        except (CurateError, OSError):
            return False

    def _outer(self, source: Path) -> Path:
        """Return the path for the inner format: an archive, where one lies in the other."""
        return _open(source).path / self.within

    def plan(self, source: Path, work: Path) -> Iterator[Part]:
        with show_archives():
            yield from self.inner.plan(self._outer(source), work)

    def load(self, source: Path, part: Part) -> MaskTable:
        with show_archives():
            return self.inner.load(self._outer(source), part)

    def images(self, source: Path, part: Part) -> pd.DataFrame:
        assert self.inner.images is not None, "else the field is None"
        with show_archives():
            return self.inner.images(self._outer(source), part)

    def rings(self, source: Path, part: Part) -> Iterator[tuple[str, list[list[float]]]]:
        assert self.inner.rings is not None, "else the field is None"
        with show_archives():
            yield from self.inner.rings(self._outer(source), part)

    def pictures(self, source: Path) -> OwnPictures | None:
        assert self.inner.pictures is not None, "else the field is None"
        with show_archives():
            return self.inner.pictures(self._outer(source))

    def write(self, source: Path, out: Path | None, edits: Edits) -> Stored:
        with show_archives():
            archive, inside = _open(source), self._outer(source)
            if out is None:
                return self.inner.write(inside, None, edits)
            check_new(out)
            with _folder_beside(out) as scratch, new_file(out) as target:
                made = scratch / inside.name
                stored = self.inner.write(inside, made, edits)
                _write_archive(archive, target, inside, made, scratch)
            return stored

    def check_unedited(self, source: Path, written: Path, edits: Edits) -> str:
        try:
            with show_archives():
                known = self.inner.check_unedited
                return check_packed(_open(source).archive, written, edits, self._outer, known)
        except CurateError as error:
            return error.what


def _open(source: Path) -> Unpacked:
    """Open the archive that a source is, or leads into."""
    return open_archive(archive_above(source) or source)


def _write_archive(
    archive: Unpacked, target: BinaryIO, inside: Path, made: Path, scratch: Path
) -> None:
    """Write an archive with what differs between its dataset and the one that was made."""
    changed, new = _differences(inside, made)
    above = inside.relative_to(archive.path).as_posix()
    changed = {_join(above, name): path for name, path in changed.items()}
    new = {_join(above, name): path for name, path in new.items()}
    if not changed and not new:
        copy_bytes(archive.archive, target)
    elif archive.kind == ZIP:
        rewrite_zip(archive.archive, target, changed, new, scratch)
    elif archive.kind == GZIP:
        rewrite_gzip(archive.archive, target, made)
    else:
        rewrite_tar(archive.archive, target, changed, new)


def _join(above: str, name: str) -> str:
    return str(PurePosixPath(above, name)) if name else above


def _differences(inside: Path, made: Path) -> tuple[dict[str, Path | None], dict[str, Path]]:
    """Return the files that changed or went (None), and those that came, by path."""
    if inside.is_file():
        return ({} if _equal(inside, made) else {"": made}), {}
    before = {name for name, _ in files_under(inside, "")}
    after = [name for name, _ in files_under(made, "")]
    changed: dict[str, Path | None] = dict.fromkeys(before.difference(after))
    new = {name: made / name for name in after if name not in before}
    for name in after:
        if name in before and not _equal(inside / name, made / name):
            changed[name] = made / name
    return changed, new


def _equal(first: Path, second: Path) -> bool:
    return filecmp.cmp(first, second, shallow=False)


@contextmanager
def _folder_beside(out: Path) -> Iterator[Path]:
    """Yield a folder on the disk of an output; it is removed again."""
    with files.convert_write_errors(out):
        files.mkdir(out.parent, parents=True, exist_ok=True)
        folder = files.temporary_folder(
            out.parent, f"{files.partial_prefix(out)}{files.process_tag()}-", files.PARTIAL
        )
    try:
        yield folder
    finally:
        files.remove_tree(folder, quiet=True)
