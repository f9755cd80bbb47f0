"""Lists of records in JSON documents: read, and written with records gone, changed and added.

For formats that keep the masks of an image as a list of objects in a JSON document of its own
(labelme, Supervisely), or the records of many images in one file (Datumaro, Label Studio, VIA).

One document an image, in a folder:

1. :func:`find_documents` lists the files under a source with their sizes; ``source_key`` of a mask
   is the document's name, :func:`list_mark` of the list's key, and the record's number.
2. :func:`read_document` streams one document: the fields that are asked for, parsed, and the
   records of its list. What else stands in it (a picture in base64, of any size) is never held.
3. :func:`group_edits` sorts edits by document; :func:`write_documents` copies the source with the
   documents spliced. What it calls for each of them returns pieces, mostly from
   :class:`DocumentList`: :meth:`~DocumentList.drop`, :meth:`~DocumentList.replace`,
   :meth:`~DocumentList.insert` and :meth:`~DocumentList.append`.

Records of many images in one file: stream the outer list with
:func:`curate.formats.json.streaming.scan`, and open the list inside of one element with
:meth:`DocumentList.inside`, which takes the element's bytes, the byte of the file at which it
begins, and a path of keys and numbers (``("annotations", 0, "result")``). Its pieces count from the
start of the file, so pieces of many elements are put together, sorted and spliced.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, NamedTuple, TypeVar

from curate.common.files import open_to_read
from curate.errors import CallError, SourceError
from curate.formats.copying import Edit, copy_with_edits, files_under, find_cuts, splice
from curate.formats.edits import Addition, Change, Edits
from curate.formats.format import convert_read_errors
from curate.formats.json.byte_edits import JsonObject, Piece, ordinals
from curate.formats.json.streaming import Batch, scan
from curate.formats.segmentation import json_type
from curate.formats.table_builder import plain

Asked = TypeVar("Asked")

Step = str | int
"""A key of an object, or a number in a list."""

_MAX_SEPARATOR = 1000
_NO_FILES: Mapping[str, Edit | None] = MappingProxyType({})


def list_mark(key: str) -> str:
    """Return the mark between a document's name and a record's number in source keys.

    >>> "a.json" + list_mark("shapes") + "0"
    'a.json#/shapes/0'
    """
    return f"#/{key}/" if key else "#/"


# --- reading -------------------------------------------------------------------------------------


def find_documents(
    source: Path, is_one: Callable[[str], bool] = lambda name: True
) -> Iterator[tuple[str, int]]:
    """Yield the JSON files of a source: path under it with ``/`` and size in bytes, by name.

    Args:
        source: A folder, walked without following links to folders; or a file, which is yielded by
            its own name.
        is_one: Whether a name under the folder is one of a document.
    """
    if source.is_file():
        yield source.name, source.stat().st_size
        return
    for name, size in files_under(source, ".json"):
        if is_one(name):
            yield name, size


def document_path(source: Path, name: str) -> Path:
    """Return where a document of :func:`find_documents` stands."""
    return source if source.is_file() else source / name


class JsonDocument(NamedTuple):
    """What was read of a document.

    Attributes:
        fields: Values of the fields that were asked for and are there, parsed.
        records: Elements of its list, parsed; None where there is no such list.
    """

    fields: dict[str, object]
    records: list[Any] | None


def read_document(file: BinaryIO, name: str, key: str, fields: AbstractSet[str]) -> JsonDocument:
    """Read some fields of a JSON document and the records of one list.

    Args:
        file: The file, open for reading and seeking.
        name: What to call it in messages.
        key: The key of the list.
        fields: Names of the top-level fields to read.

    Raises:
        SourceError: It is no JSON object, is cut off or broken, or the value of the list's key is
            no list.
    """
    found: dict[str, object] = {}
    lists: dict[str, list[Any]] = {}
    records: list[Any] | None = None
    file.seek(0)
    for batch in scan(file, name, {*fields, key, ""}):
        if not batch.key:
            raise SourceError("it is a list, not an object", name)
        if batch.key == key and batch.is_list:
            records = [*(records or []), *batch.parse(name)]
        elif batch.key == key:
            value = batch.parse(name)[0]
            raise SourceError(f"its {key} are {json_type(value)}, not a list", name)
        elif batch.is_list:  # a field that is a list: its elements, some at a time
            lists.setdefault(batch.key, []).extend(batch.parse(name))
        else:
            found[batch.key] = batch.parse(name)[0]
    return JsonDocument(found | lists, records)


# --- edits by document ---------------------------------------------------------------------------


@dataclass
class DocumentEdits:
    """Edits of one document.

    Attributes:
        drop: Numbers of records that go.
        change: Source key and change of records, by number.
        add: What is added, by its position among all that is added.
    """

    drop: set[int] = field(default_factory=set)
    change: dict[int, tuple[str, Change]] = field(default_factory=dict)
    add: dict[int, Addition] = field(default_factory=dict)


def group_edits(edits: Edits, mark: str) -> dict[str, DocumentEdits]:
    """Group edits by the document that they change.

    Args:
        edits: All edits. ``image_key`` of what is added is the document's name.
        mark: What stands in source keys between the name and the number; see :func:`list_mark`.

    Returns:
        Edits by the name of the document, as :func:`curate.formats.table_builder.plain` writes it.
        Whether there are such documents is for :func:`check_documents`.

    Raises:
        CallError: A key is none of a record, or a mask is to go and to change.
    """
    found: dict[str, DocumentEdits] = {}
    for key in edits.drop:
        name, number = _split_key(key, mark)
        found.setdefault(name, DocumentEdits()).drop.add(number)
    for key, change in edits.change.items():
        name, number = _split_key(key, mark)
        mine = found.setdefault(name, DocumentEdits())
        if number in mine.drop:
            raise CallError("a mask cannot be dropped and changed at once", key)
        mine.change[number] = (key, change)
    for position, one in enumerate(edits.add):
        found.setdefault(one.image_key, DocumentEdits()).add[position] = one
    return found


def check_documents(asked: Mapping[str, object], known: Iterable[str], where: str) -> None:
    """Check that all documents that change are there.

    Args:
        asked: What changes, by name of the document.
        known: Names of all documents, as :func:`find_documents` yields them; read as far as needed.
        where: The source, for the message.

    Raises:
        CallError: One is not there.
    """
    missing = set(asked)
    for name in known if missing else ():
        missing.discard(plain(name))
        if not missing:
            return
    if missing:
        raise CallError(f"it has no file {min(missing)}", where)


def _split_key(key: str, mark: str) -> tuple[str, int]:
    prefix = key.rpartition(mark)[0] + mark
    return prefix[: -len(mark)], next(iter(ordinals([key], prefix)))


def write_documents(
    source: Path,
    out: Path | None,
    asked: Mapping[str, Asked],
    render: Callable[[BinaryIO, str, Asked], Iterable[Piece]],
    more: Mapping[str, Edit | None] = _NO_FILES,
) -> None:
    """Copy a source with its documents spliced; all other bytes stay.

    Args:
        source: A folder or a file.
        out: Where to; None writes nothing but renders all that would be.
        asked: What changes, by name of the document (see :func:`group_edits`).
        render: (open file, its name, what is asked) to the bytes to replace, in any order; pieces
            that begin and end at the same bytes stay in the order in which they are given.
        more: Other files that change, as :func:`curate.formats.copying.copy_with_edits` takes them.

    Raises:
        CallError: ``out`` holds something already, or lies inside the source.
        SourceError: A document that changes is broken, or a link that leaves the source.
        AuditError: ``out`` cannot be written.
    """

    def edit(name: str, path: Path, target: BinaryIO) -> None:
        with convert_read_errors(path), open_to_read(path) as file:
            pieces = sorted(render(file, name, asked[name]), key=lambda piece: piece[:2])
        splice(path, target, pieces)

    copy_with_edits(source, out, {**{name: partial(edit, name) for name in asked}, **more})


# --- one list ------------------------------------------------------------------------------------


class DocumentList:
    """A list in a JSON document: where its elements stand, and their text.

    Attributes:
        opened: Byte of the list's bracket.
        spans: Where each element begins and ends.
    """

    def __init__(self, file: BinaryIO, where: str, opened: int, spans: list[tuple[int, int]]):
        self.opened, self.spans = opened, spans
        self._file, self._where = file, where

    @classmethod
    def of_key(cls, file: BinaryIO, where: str, key: str) -> DocumentList | None:
        """Find the list under a top-level key of a file; ``""`` where the file is one list.

        Args:
            file: The file, open for reading and seeking.
            where: Its name, for messages.
            key: The key.

        Returns:
            The list; None where there is none.

        Raises:
            SourceError: The JSON is broken in its outer grammar.
        """
        file.seek(0)
        opened, spans = _find_list(scan(file, where, {key}), 0)
        return None if opened < 0 else cls(file, where, opened, spans)

    @classmethod
    def inside(cls, data: bytes, at: int, where: str, path: Sequence[Step]) -> DocumentList | None:
        """Find a list inside of an element.

        Args:
            data: The element's bytes, an object or a list.
            at: Byte of the file at which it begins.
            where: Name of the file, for messages.
            path: Keys and numbers that lead to the list.

        Returns:
            The list; None where the path leads to none.

        Raises:
            SourceError: The JSON is broken.
        """
        for step in path[:-1]:
            span = _find_value(data, step, where)
            if span is None:
                return None
            at, data = at + span[0], data[span[0] : span[1]]
        last = path[-1] if path else ""
        if type(last) is int:
            span = _find_value(data, last, where)
            if span is None:
                return None
            at, data, last = at + span[0], data[span[0] : span[1]], ""
        if data[:1] != (b"{" if last else b"["):
            return None
        opened, spans = _find_list(scan(io.BytesIO(data), where, {str(last)}), at)
        return None if opened < 0 else cls(_Shifted(data, at), where, opened, spans)

    @property
    def count(self) -> int:
        """How many elements it has."""
        return len(self.spans)

    def text(self, number: int) -> bytes:
        """Return an element as it stands in the file."""
        start, end = self.spans[number]
        return self._read(start, end)

    def record(self, number: int) -> JsonObject:
        """Return an element that is an object.

        Raises:
            SourceError: It is none.
        """
        return JsonObject(self.text(number), self.spans[number][0], self._where)

    def check(self, numbers: Iterable[int], what: str = "masks") -> None:
        """Check that there are elements of these numbers.

        Raises:
            CallError: There are not.
        """
        missing = max(numbers, default=-1)
        if missing >= self.count:
            what = f"it has {self.count} {what}, and none with the number {missing}"
            raise CallError(what, self._where)

    def drop(self, numbers: AbstractSet[int]) -> list[Piece]:
        """Return the cuts by which elements go, with their commas."""
        return list(find_cuts(self.spans, lambda number: number in numbers)) if numbers else []

    def replace(self, number: int, text: bytes) -> Piece:
        """Return the replacement of an element."""
        return (*self.spans[number], text)

    def insert(self, after: int, made: Sequence[bytes]) -> list[Piece]:
        """Return the pieces that put elements behind one that stays."""
        end = self.spans[after][1]
        return [(end, end, b"".join(self.separator + one for one in made))] if made else []

    def append(self, made: Sequence[bytes], dropped: AbstractSet[int]) -> list[Piece]:
        """Return the pieces that put elements at the end.

        Args:
            made: Their texts.
            dropped: Numbers of the elements that :meth:`drop` leaves out.
        """
        if not made:
            return []
        text = self.separator.join(made)
        if not self.spans:
            return [(self.opened + 1, self.opened + 1, text)]
        end = self.spans[-1][1]
        return [(end, end, text if len(dropped) >= self.count else self.separator + text)]

    @property
    def separator(self) -> bytes:
        """What stands between elements: as between the first two, or as before the only one."""
        found = b", "
        if self.count > 1:
            found = self._read(self.spans[0][1], self.spans[1][0])
        elif self.spans:
            found = b"," + self._read(self.opened + 1, self.spans[0][0])
        return found if len(found) <= _MAX_SEPARATOR else b", "

    def _read(self, start: int, end: int) -> bytes:
        self._file.seek(start)
        return self._file.read(end - start)


class _Shifted(io.BytesIO):
    """Bytes of a part of a file, at the places that they have in the file."""

    def __init__(self, data: bytes, at: int) -> None:
        super().__init__(data)
        self._at = at

    def seek(self, offset: int, whence: int = 0) -> int:
        return super().seek(offset - self._at if whence == 0 else offset, whence)


def _find_list(batches: Iterable[Batch], base: int) -> tuple[int, list[tuple[int, int]]]:
    """Return where a list opens (-1 for none), and where its elements stand."""
    opened, spans = -1, list[tuple[int, int]]()
    for batch in batches:
        if not batch.is_list:
            continue
        if not len(batch):
            opened = base + batch.base
        at = base + batch.base
        spans += zip((batch.starts + at).tolist(), (batch.ends + at).tolist(), strict=True)
    return opened, spans


def _find_value(data: bytes, step: Step, where: str) -> tuple[int, int] | None:
    """Return where a value of an object, or an element of a list, begins and ends."""
    if type(step) is int:
        if data[:1] != b"[":
            return None
        _, spans = _find_list(scan(io.BytesIO(data), where, {""}), 0)
        return spans[step] if 0 <= step < len(spans) else None
    if data[:1] != b"{":
        return None
    member = JsonObject(data, 0, where).members.get(str(step))
    if member is None:
        return None
    # Members count characters; what stands before may take more bytes.
    before = len(data.decode("utf-8")[: member.start].encode("utf-8"))
    inside = len(data.decode("utf-8")[member.start : member.end].encode("utf-8"))
    return before, before + inside
