"""Format interface, and writing that happens whole or not at all."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import pandas as pd

from curate.common import files
from curate.dataset.table import MaskTable
from curate.errors import CallError, SourceError
from curate.formats.edits import Edits, Stored
from curate.formats.untouched.tree_check import check_untouched

if TYPE_CHECKING:
    from curate.formats.own_pictures import OwnPictures

PART_BYTES = 16_000_000
"""About how many bytes of masks one part holds; whole images only, so a part can pass it."""

PART_MASKS = 20_000
"""About how many masks one part holds; whole images only, so a part can pass it."""


@dataclass(frozen=True)
class Part:
    """Some whole images of a source: what a worker needs to load them. Picklable.

    Attributes:
        index: Position in the plan, from 0; the same from run to run.
        payload: The format's own: names, offsets, counts. Plain values only.
    """

    index: int
    payload: tuple[Any, ...]


@dataclass(frozen=True)
class ReadOptions:
    """Options of a reader beside the path. Picklable; None is "not given".

    Attributes:
        images: Folder of the pictures, for sources that have none beside them.
        annotations: Annotation file that a results list is for: its images, names, sizes.
        home: Where the dataset stands of which the source is a copy, so that what lies around it is
            found; None: it is no copy.
        void: Ids of pixels that belong to no mask, in PNGs of ids.
        class_code: How ids of PNGs carry a class: a word of
            :data:`curate.formats.ids.id_codes.CODES`.
    """

    images: Path | None = None
    annotations: Path | None = None
    home: Path | None = None
    void: tuple[int, ...] | None = None
    class_code: str | None = None

    def to_record(self) -> dict[str, object]:
        """Return the options but for paths, as plain values for ``audit.json``."""
        void = None if self.void is None else list(self.void)
        told = {"void": void, "class_code": self.class_code}
        return {name: value for name, value in told.items() if value is not None}


@dataclass(frozen=True)
class Format:
    """One way of storing masks.

    Attributes:
        name: Its short name, as ``--format`` takes it: ``coco``, ``sa1b``.
        title: Its name for people.
        matches: Whether a path holds this format. Looks at content, is cheap, never raises on a
            stranger's file.
        plan: (source, work directory for an index) to parts in stable order. Raises
            :class:`SourceError` where the source as a whole cannot be read.
        load: (source, part) to the masks and images of the part; ids are unique within it.
        write: (source, out path, edits): write the source with some masks gone, changed and added,
            and every other byte of meaning as it was. A changed mask keeps its id and all other
            fields; what is measured from its pixels (box, area) is renewed. Raises
            :class:`CallError` where ``out`` exists already, a key names nothing, or the format
            cannot hold what is asked. Without an out path nothing is written, but all is refused
            that would be, and the same is returned.
        configure: From :class:`ReadOptions` to the format that reads and writes by them, where that
            takes more than to hand them on; None else.
        follows: Which of ``plan``, ``load`` and ``write`` take :class:`ReadOptions` as the keyword
            ``options``.
        takes: Names of the options beside paths that it acts on.
        check_unedited: (source, what was written, edits) to what else differs, as a clause, ""
            where nothing does. Shares no code with ``load`` and ``write``; see
            :mod:`curate.formats.untouched`.
        own_ids: Whether its image ids are those of a dataset; else they are but positions, by which
            no image may be found again.
        images: (source, part) to the images of :attr:`load`, without reading the masks; None where
            that would not be cheaper.
        rings: (source, part) to the polygon rings of its masks by source key, as the source has
            them: alternating x and y in pixels, for masks that are nothing but rings. None where
            the reader adds masks to a table builder, which keeps them when asked.
        options: What the format was configured with.
        pictures: From the source to the pictures that it has itself, None where it has none: cheap,
            as no second list of all its files; may raise what reading does. None for formats that
            have none.
        opened: From the source to what is read of it, where that lies elsewhere: a format of
            datasets in archives. None else.
        named_by_source: Whether source keys begin with the name of a source that is a file.
        ignores: What becomes of a mask that is to be an ignore region: "crowd" (it stays, with
            ``iscrowd`` 1), "void" (its pixels get the void id, and it is no mask any more), ""
            where the format has no such thing.
    """

    name: str
    title: str
    matches: Callable[[Path], bool]
    plan: Callable[[Path, Path], Iterator[Part]]
    load: Callable[[Path, Part], MaskTable]
    write: Callable[[Path, Path | None, Edits], Stored]
    configure: Callable[[ReadOptions], Format] | None = None
    follows: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    check_unedited: Callable[[Path, Path, Edits], str] = check_untouched
    own_ids: bool = False
    images: Callable[[Path, Part], pd.DataFrame] | None = None
    rings: Callable[[Path, Part], Iterator[tuple[str, list[list[float]]]]] | None = None
    options: ReadOptions = ReadOptions()
    pictures: Callable[[Path], OwnPictures | None] | None = None
    opened: Callable[[Path], Path] | None = None
    named_by_source: bool = True
    ignores: str = ""

    def path_read(self, source: Path) -> Path:
        """Return the file or folder that is read of a source: mostly the source itself."""
        return source if self.opened is None else self.opened(source)

    def with_options(self, options: ReadOptions) -> Format:
        """Return the format as it reads and writes with some options.

        Raises:
            CallError: It does not act on one of them.
        """
        for name in options.to_record():
            if name not in self.takes:
                option = f"--{name.replace('_', '-')}"
                raise CallError(f"{option} is not for {self.title}", "", f"leave {option} out")
        made = self if self.configure is None else self.configure(options)
        told = {name: partial(getattr(made, name), options=options) for name in self.follows}
        return replace(made, options=options, **cast(dict[str, Any], told))

    def of_copy(self, home: Path) -> Format:
        """Return the format as it reads a copy of a dataset as if it stood where that stands."""
        return self.with_options(replace(self.options, home=home))

    def prune(self, source: Path, out: Path, drop: AbstractSet[str]) -> None:
        """Write the source without some masks and with every other byte of meaning as it was."""
        self.write(source, out, Edits(drop=frozenset(drop)))


_OF_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def source_error(error: OSError, path: Path | str) -> SourceError:
    """Return an operating system's error on reading ``path`` as a :class:`SourceError`."""
    if isinstance(error, FileNotFoundError):
        return SourceError("there is no such file or folder", str(path), "check the path")
    reason = (error.strerror or str(error)).lower()
    return SourceError(f"it cannot be read ({reason})", str(path), "check the file and its rights")


@contextmanager
def convert_read_errors(path: Path | str) -> Iterator[None]:
    """Turn the operating system's errors in the block into a :class:`SourceError` on ``path``.

    That a disk is full or read-only is not an error of reading; it is passed on (see
    :func:`writing`).
    """
    try:
        yield
    except OSError as error:
        if error.errno in _OF_WRITING:
            raise
        raise source_error(error, path) from error


def check_new(out: Path) -> None:
    """Check that a file can be made without overwriting anything.

    Raises:
        CallError: ``out`` holds something already.
    """
    if out.is_dir() or (out.exists() and out.stat().st_size > 0):
        raise exists_error(out)


def exists_error(out: Path) -> CallError:
    """Return the error that something has the name of an output."""
    return CallError("it exists already", str(out), "choose another output, or remove it")


@contextmanager
def new_file(out: Path) -> Iterator[BinaryIO]:
    """Open ``out`` for writing; it appears only when the block ends well.

    Args:
        out: The file to make. It must not exist, or be empty.

    Raises:
        CallError: ``out`` holds something already.
        AuditError: It cannot be written, for example because the disk is full.
    """
    _sweep(out)
    check_new(out)
    is_empty = out.exists()
    with files.convert_write_errors(out):
        files.mkdir(out.parent, parents=True, exist_ok=True)
        file, made = files.open_temporary(
            out.parent, f"{files.partial_prefix(out)}{files.process_tag()}-", files.PARTIAL
        )
        try:
            with file:
                yield file
                files.sync(file)
            files.chmod(made, 0o666 & ~files.umask())
            _name(files.replace if is_empty else files.name_new, made, out)
        finally:
            with suppress(OSError):  # the next run removes it
                files.unlink(made, missing_ok=True)


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``out`` when the block ends well.

    Args:
        out: The folder to make. It must not exist, or be an empty folder.

    Raises:
        CallError: ``out`` holds something already.
        AuditError: It cannot be written, for example because the disk is full.
    """
    _sweep(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise exists_error(out)
    with files.convert_write_errors(out):
        files.mkdir(out.parent, parents=True, exist_ok=True)
        made = files.temporary_folder(
            out.parent, f"{files.partial_prefix(out)}{files.process_tag()}-", files.PARTIAL
        )
        try:
            yield made
            files.chmod(made, 0o777 & ~files.umask())
            _name(files.rename, made, out)
        except BaseException:
            files.remove_tree(made, quiet=True)
            raise


def _sweep(out: Path) -> None:
    """Remove what runs of this machine that were killed have left of an output."""
    with suppress(OSError):
        files.remove_abandoned(out.parent, files.partial_prefix(out), files.PARTIAL)


def _name(name: Callable[[Path, Path], None], made: Path, out: Path) -> None:
    """Give what was made its name, unless another run has been faster."""
    try:
        name(made, out)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
            raise exists_error(out) from error
        raise


def copy_file(source: Path, target: Path) -> None:
    """Copy a file's bytes and times to ``target``, making the folders that it needs."""
    files.mkdir(target.parent, parents=True, exist_ok=True)
    files.copy_bytes(source, target)
    files.copy_attributes(source, target)
