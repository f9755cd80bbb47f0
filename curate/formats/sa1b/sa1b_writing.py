"""Writer of SA-1B: annotations removed, changed and added; all other bytes are copied."""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, BinaryIO

from curate.archives import tar_stream
from curate.common import files
from curate.errors import CallError, SourceError
from curate.formats.coco.images_and_categories import image_fields
from curate.formats.copying import copy_bytes
from curate.formats.edits import Edits, Stored, new_ids
from curate.formats.format import check_new, convert_read_errors, copy_file, new_file, new_folder
from curate.formats.json.byte_edits import Elements, splice_bytes
from curate.formats.json.fast_reader import QuickReader
from curate.formats.json.json_columns import to_integers
from curate.formats.json.record_lists import DocumentEdits, group_edits
from curate.formats.json.streaming import parse_document, scan
from curate.formats.mask_values import MaskValues
from curate.formats.new_pixels import refuse_categories, refuse_polygons
from curate.formats.sa1b.sa1b_files import (
    all_files,
    containers,
    contents,
    escape_name,
    is_archive,
    key_of,
)
from curate.formats.sa1b.sam_records import SAMPLE, SamRecords
from curate.formats.segmentation import valid_size

MARK = "#/annotations/"
"""What stands in a source key between the JSON file and the number of the annotation."""


def write(source: Path, out: Path | None, edits: Edits) -> Stored:
    """Write the source with some annotations gone, changed and added; pictures are copied.

    Args:
        source: A folder, a JSON file or a tar archive.
        out: Where to; must not exist. None writes nothing.
        edits: What changes.

    Returns:
        How the new masks were stored.

    Raises:
        CallError: ``out`` exists or lies inside the source, a key names nothing, or the format
            cannot hold what is asked.
        SourceError: A file that changes is broken.
        AuditError: ``out`` cannot be written.
    """
    refuse_categories(edits, str(source))
    refuse_polygons(edits, str(source))
    if out is None:
        return _try_write(source, edits)
    if source.is_file():
        check_new(out)
    elif out.resolve().is_relative_to(source.resolve()):
        raise CallError("the output lies inside the source", str(out), "choose another output")
    with convert_read_errors(source):
        writer = _Sa1bWriter(source, edits)
        if source.is_file():
            with new_file(out) as target:
                writer.write(source, target, escape_name(source.name))
        else:
            with new_folder(out) as made:
                _write_folder(source, made, writer)
    return writer.values.count_stored()


def _try_write(source: Path, edits: Edits) -> Stored:
    """Do all that writing does, but write nothing."""
    with convert_read_errors(source), files.open_null() as target:
        writer = _Sa1bWriter(source, edits)
        for path in [source] if source.is_file() else all_files(source):
            name = escape_name(
                source.name if path == source else path.relative_to(source).as_posix()
            )
            if path.is_file() and writer.touches(name):
                writer.write(path, target, name)
    return writer.values.count_stored()


def _write_folder(source: Path, made: Path, writer: _Sa1bWriter) -> None:
    for path in all_files(source):
        name = path.relative_to(source).as_posix()
        target_path = made / name
        if path.is_symlink() and not path.is_file():  # nothing behind it is read
            files.symlink(os.readlink(path), target_path)
        elif path.is_dir():
            files.mkdir(target_path, parents=True, exist_ok=True)
        elif not writer.touches(escape_name(name)):
            copy_file(path, target_path)
        else:
            files.mkdir(target_path.parent, parents=True, exist_ok=True)
            with files.open_file(target_path) as target:
                writer.write(path, target, escape_name(name))


class _Sa1bWriter:
    """Writes JSON files and archives of a source.

    Raises:
        CallError: A key names nothing, or several files.
    """

    def __init__(self, source: Path, edits: Edits) -> None:
        self.values = MaskValues(edits.masks)
        self._asked = group_edits(edits, MARK)
        named = Counter(
            name
            for container, documents in (containers(source) if self._asked else ())
            for name in (key_of(escape_name(container), escape_name(one[0])) for one in documents)
            if name in self._asked
        )
        unknown = self._asked.keys() - named.keys()
        if unknown:
            raise CallError(f"it has no file {min(unknown)}", str(source))
        for name, times in named.items():
            if times > 1 and (self._asked[name].change or self._asked[name].add):
                what = f"{times} files in it are called {name}, so none of them can be changed"
                raise CallError(what, str(source), "give each a name of its own")
        wanted = edits.wanted_ids
        self._top, taken = _survey_ids(source, wanted) if edits.add else (0, frozenset())
        self._ids = new_ids(edits.add, self._top, taken)
        if self._top + len(edits.add) >= 2**63:
            raise CallError(f"no id above {self._top} is free", str(source), "number it anew")

    def touches(self, name: str) -> bool:
        """Return whether something changes in a file of the source."""
        return name in self._asked or any(one.startswith(name + "!") for one in self._asked)

    def write(self, path: Path, target: BinaryIO, name: str) -> None:
        """Write one JSON file or archive with what changes in it."""
        if not is_archive(path):
            asked = self._asked.get(name)
            if asked is None:
                copy_bytes(path, target)
            else:
                target.write(self._document(path.read_bytes(), name, asked))
            return
        with path.open("rb") as file:

            def change(member: tar_stream.TarMember) -> bytes | None:
                key = key_of(name, member.name)
                if key not in self._asked:
                    return None
                data = os.pread(file.fileno(), member.size, member.data)
                return self._document(data, key, self._asked[key])

            tar_stream.copy_changed(file, target, name, change)

    def _document(self, data: bytes, name: str, asked: DocumentEdits) -> bytes:
        """Return the bytes of a JSON file with what changes in it."""
        file = io.BytesIO(data)
        only_drops = not asked.change and not asked.add
        elements = Elements(asked.change, asked.drop, 0 if only_drops else SAMPLE)
        image: Any = None
        for batch in scan(file, name, {"annotations"} if only_drops else {"annotations", "image"}):
            if batch.key == "annotations" and batch.is_list:
                elements.take(batch)
            elif batch.key == "image" and not batch.is_list:
                image = batch.parse(name)[0]
        elements.check({*asked.drop, *asked.change}, name)
        _, height, width, _ = image_fields(image)
        size = (height, width) if valid_size(height, width) else None
        records = SamRecords(name, size, elements, self.values)
        pieces = elements.cuts() + records.render_changes(file, asked.change)
        ids = [self._ids[position] for position in asked.add]
        pieces += records.append_records(file, list(asked.add.values()), ids)
        return splice_bytes(data, sorted(pieces, key=lambda piece: piece[:2]))


def _survey_ids(source: Path, wanted: AbstractSet[int]) -> tuple[int, frozenset[int]]:
    """Return the highest id of an annotation in any file, 0 at least, and which of some occur."""
    quick, top, occurring = QuickReader(), 0, set[int]()
    for container, documents in containers(source):
        for name, data in contents(source, container, documents):
            taken = quick.take_document(data)
            if taken is not None:
                ids, given = quick.ids(taken, "id")
                quick.drop(taken)
            else:
                ids, given = to_integers(_plain_ids(data, name))
            found = ids[given]
            top = max(top, int(found.max(initial=0)))
            occurring |= {one for one in wanted if (found == one).any()}
    return top, frozenset(occurring)


def _plain_ids(data: bytes, name: str) -> list[Any]:
    """Return the ids in a file that is not written as usual; none where it is broken."""
    try:
        value = parse_document(data, name)
    except SourceError:
        return []
    listed = value.get("annotations") if type(value) is dict else None
    records = listed if type(listed) is list else []
    return [one.get("id") for one in records if type(one) is dict]
