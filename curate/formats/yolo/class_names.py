"""Class names of a YOLO dataset: ``names`` in its YAML file, or ``classes.txt``.

Of YAML the top level is read, and ``names``: a list or a mapping, in block or flow style.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from curate.errors import CallError, SourceError
from curate.formats.table_builder import plain

_FILES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_LISTS = ("classes.txt", "obj.names", "labels/classes.txt", "_darknet.labels")
_ABOVE = 4  # how many folders above the source are looked at
_LARGEST = 1_000_000
_DEEPEST = 50  # levels of YAML
_MOST_FOLDERS = 200  # that are looked into for a file of settings
_M = re.MULTILINE
_SETTING = re.compile(r"^(\w+)[ \t]*:[ \t]*([^#\r\n]*?)[ \t]*(?:#.*)?$", _M)

_DATASET = re.compile(r"^(train|val|test|path|nc)[ \t]*:", re.MULTILINE)
_PATH = re.compile(r"^path[ \t]*:[ \t]*([^#\r\n]*?)[ \t]*(?:#.*)?$", re.MULTILINE)
_INSIDE = re.compile(r"labels|obj_[A-Za-z0-9]+_data", re.ASCII)
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # compiled, where there is a compiler


@dataclass(frozen=True)
class ClassNames:
    """The classes of a dataset.

    Attributes:
        names: Their names by number; empty where none are declared.
        path: The file that declares them; None where none does.
        is_list: Whether that is a plain list, a name a line, and no YAML.
    """

    names: dict[int, str] = field(default_factory=dict)
    path: Path | None = None
    is_list: bool = False


def class_names(source: Path, home: Path | None = None) -> ClassNames:
    """Return the names of a dataset's classes.

    They are looked for in the source, in its folders of splits, and above it: a split or a folder
    of labels may be all that is given.

    Args:
        source: The dataset's folder, or one in it. Files that cannot be read or understood count
            as absent: names are a convenience, and the numbers remain.
        home: Above which folder names are looked for instead, where the source is a copy of it.
    """
    others = (path.name for path in sorted(source.glob("*.y*ml")))
    lists = (*_darknet_names(source), *_LISTS, *_lists_below(source))
    found = _names_in(source, (*_FILES, *others), lists) or _names_below(source)
    whole = (home or source).resolve()
    inside = False  # a list of names is that of labels right below it
    for folder, above in zip((whole, *whole.parents), whole.parents[:_ABOVE], strict=False):
        if found is not None:
            break
        inside = inside or bool(_INSIDE.fullmatch(folder.name))
        found = _names_in(above, _FILES, _LISTS if inside else (), dataset=True)
    return found or _names_beside(whole) or ClassNames()


def _names_below(source: Path) -> ClassNames | None:
    """Return the names that folders of a source declare, where all that do declare the same."""
    found: list[ClassNames] = []
    for folder in _settings_folders(source):
        files = sorted(path.name for path in folder.glob("*.y*ml"))
        lists = (*_darknet_names(folder), *_LISTS)
        if names := _names_in(folder, (*_FILES, *files), lists, dataset=True):
            found.append(names)
    same = found and all(one.names == found[0].names for one in found)
    return found[0] if same else None


def _settings_folders(source: Path) -> Iterator[Path]:
    """Yield the folders up to two levels below a source that may hold a file of settings."""
    above = [source]
    for _ in range(2):
        below = []
        for folder in above:
            try:
                entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            except OSError:
                continue
            for entry in entries:
                inside = entry.name in ("images", "labels") or _INSIDE.fullmatch(entry.name)
                if entry.is_dir(follow_symlinks=False) and not inside:
                    below.append(folder / entry.name)
        yield from below[:_MOST_FOLDERS]
        above = below[:_MOST_FOLDERS]


def _names_beside(whole: Path) -> ClassNames | None:
    """Return the names in a YAML file beside a dataset's folder that says where it is."""
    for folder in (whole.parent, *list(_folders_beside(whole))):
        for path in sorted(folder.glob("*.y*ml"))[:_MOST_FOLDERS]:
            text = _text(path)
            if _DATASET.search(text) and _means(path, whole) and (names := yaml_names(text)):
                return ClassNames(names, path)
    return None


def _folders_beside(whole: Path) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(whole.parent), key=lambda entry: entry.name)
    except OSError:
        return
    found = (entry for entry in entries if entry.is_dir(follow_symlinks=False))
    yield from (whole.parent / entry.name for entry in islice(found, _MOST_FOLDERS))


def _means(yaml_file: Path, whole: Path) -> bool:
    """Whether the path in a YAML file is that of a folder, or, if there is none such, its name."""
    stated = stated_path(yaml_file)
    if stated in ("", "."):
        return False
    path = yaml_file.parent / stated
    try:
        return path.resolve() == whole or (not path.exists() and path.name == whole.name)
    except (OSError, ValueError):
        return False


def read_settings(source: Path) -> dict[str, str]:
    """Return the plain values at the top of a dataset's YAML file, or of its ``obj.data``."""
    for name in _FILES:
        found = re.findall(
            r"^(\w+)[ \t]*:[ \t]*([^#\r\n]*?)[ \t]*(?:#.*)?$", _text(source / name), _M
        )
        if found:
            return {key: value.strip("\"'") for key, value in found}
    return _darknet_settings(source)


def _darknet_settings(source: Path) -> dict[str, str]:
    for path in sorted(source.glob("*.data"))[:_ABOVE]:
        if is_darknet(path):
            return dict(re.findall(r"^[ \t]*(\w+)[ \t]*=[ \t]*(\S+)[ \t]*$", _text(path), _M))
    return {}


def is_darknet(path: Path) -> bool:
    """Whether a file is Darknet's ``obj.data``: where its names and its pictures are listed."""
    text = _text(path)
    return all(re.search(rf"^[ \t]*{name}[ \t]*=", text, _M) for name in ("names", "train"))


def _darknet_names(source: Path) -> list[str]:
    """Return where ``obj.data`` says that the names are: its paths begin where Darknet was run."""
    stated = _darknet_settings(source).get("names", "")
    parts = [part for part in stated.split("/") if part not in ("", ".", "..")]
    return ["/".join(parts[k:]) for k in range(len(parts))]


def find_keypoint_yaml(source: Path) -> Path | None:
    """Return the YAML file that says that labels are keypoints; None where none does."""
    path = class_names(source).path
    if path is None or not re.search(r"^kpt_shape[ \t]*:", _text(path), re.MULTILINE):
        return None
    return path


def describes_dataset(yaml: Path) -> bool:
    """Whether a YAML file describes a dataset: where it is, or its splits."""
    return _DATASET.search(_text(yaml)) is not None


def stated_path(yaml: Path) -> str:
    """Return the dataset's folder as a YAML file states it; "." where it states none."""
    found = _PATH.search(_text(yaml))
    return found[1].strip("\"'") if found else "."


def refuse_several(source: Path, folders: Sequence[str]) -> None:
    """Raise where folders of labels are those of datasets with different classes.

    Args:
        source: The dataset's folder.
        folders: Its folders of labels, as paths under it.
    """
    tops = sorted({name.split("/")[0] for name in folders if "/" in name})
    named = {top: _names_in(source / top, _FILES, _LISTS) for top in tops}
    known = {top: found.names for top, found in named.items() if found is not None}
    if any(names != known[min(known)] for names in known.values()):
        some = ", ".join(str(source / top) for top in sorted(known)[:3])
        what = f"it holds {len(known)} YOLO datasets with different classes"
        raise SourceError(what, str(source), f"give one of them: {some}")


def _names_in(
    folder: Path, files: Sequence[str], lists: Sequence[str], *, dataset: bool = False
) -> ClassNames | None:
    """Return the names that files of a folder declare; None where none does.

    Args:
        folder: Where to look.
        files: Names of YAML files.
        lists: Names of plain lists.
        dataset: Whether YAML must say more of a dataset than names.
    """
    for path in (folder / name for name in files):
        text = _text(path)
        if names := yaml_names(text) if not dataset or _DATASET.search(text) else {}:
            return ClassNames(names, path)
    for path in (folder / name for name in lists):
        if lines := _text(path).strip().splitlines():
            return ClassNames({i: line.strip() for i, line in enumerate(lines)}, path, is_list=True)
    return None


def _lists_below(source: Path) -> list[str]:
    """Return the lists that Roboflow's Darknet export has in each split."""
    found = sorted(source.glob("*/_darknet.labels"))
    return [path.relative_to(source).as_posix() for path in found]


def with_names(data: bytes, names: Sequence[str]) -> bytes:
    """Return a list of names with more behind its last, all else as it was.

    Args:
        data: What the list's file holds, a name at least.
        names: The new names.

    Raises:
        CallError: A name cannot stand on one line.
    """
    for name in names:
        if len(name.splitlines()) != 1 or name != plain(name.strip()):
            do = "choose one without line breaks, and without blanks around it"
            raise CallError("this class name cannot be written in a list", repr(name[:80]), do)
    found = re.search(rb"\r\n|\n|\r", data)
    end = found[0] if found else b"\n"
    last = len(data.decode("utf-8", "surrogateescape").rstrip().encode("utf-8", "surrogateescape"))
    return data[:last] + b"".join(end + name.encode() for name in names) + data[last:]


def yaml_names(text: str) -> dict[int, str]:
    """Return the value of the top-level key ``names`` of YAML text, every name as it is written.

    >>> yaml_names("nc: 2\\nnames: ['a', b]\\n")
    {0: 'a', 1: 'b'}
    >>> yaml_names("names:\\n  0: cat  # an animal\\n  5: 'it''s'\\n")
    {0: 'cat', 5: "it's"}
    """
    entries = _entries(_top_level(text).get("names", []))
    return {number: scalar.value for number, _, scalar in entries}


def _top_level(text: str) -> dict[str, list[Any]]:
    """Return the parser's events of the value of each key of a YAML mapping.

    Nothing is constructed, no tag looked at and no alias followed, so no text can grow or run. A
    mistake ends the reading: what stands before it counts.
    """
    values: dict[str, list[Any]] = {}
    key: str | None = None
    value: list[Any] = []
    depth = 0
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth == 0 and isinstance(event, yaml.SequenceStartEvent | yaml.DocumentEndEvent):
                break  # no mapping, or its end
            if depth > _DEEPEST:
                break
            if depth and key is None:
                if not isinstance(event, yaml.ScalarEvent):
                    break
                key, value = event.value, []
            elif key is not None:
                value.append(event)
                if depth == 1 and not isinstance(event, yaml.CollectionStartEvent):
                    values.setdefault(key, value)
                    key = None
            depth += isinstance(event, yaml.CollectionStartEvent)
    except yaml.YAMLError:
        pass
    return values


def _entries(value: list[Any]) -> list[tuple[int, Any, Any]]:
    """Return of each name its number, and the scalars that begin its entry and hold it.

    Nothing where the value is neither a list of names nor a mapping of numbers to names.
    """
    scalars = value[1:-1]
    if len(value) < 3 or not all(isinstance(one, yaml.ScalarEvent) for one in scalars):
        return []
    if isinstance(value[0], yaml.SequenceStartEvent):
        return [(number, one, one) for number, one in enumerate(scalars)]
    if not all(re.fullmatch(r"[0-9]{1,9}", one.value) for one in scalars[::2]):
        return []
    pairs = zip(scalars[::2], scalars[1::2], strict=True)
    return [(int(number.value), number, name) for number, name in pairs]


def with_yaml_names(data: bytes, names: Mapping[int, str]) -> bytes | None:
    """Return a YAML file with more classes behind its last, and ``nc`` raised, all else as it was.

    Args:
        data: What it holds; it declares a class at least.
        names: The new names by number.

    Returns:
        The new content; None where that cannot be done safely: a name that does not fit on a line,
        numbers that a list does not give, a comment between the last name and the closing
        bracket, ``nc`` that is no number.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    mark, text = ("\ufeff", text[1:]) if text.startswith("\ufeff") else ("", text)
    top = _top_level(text)
    entries, before = _entries(top.get("names", [])), yaml_names(text)
    if not entries or any(len(name.splitlines()) != 1 for name in names.values()):
        return None
    place = _place_behind(text, top["names"], entries[-1])
    if place is None:
        return None
    at, head, end = place
    is_list = isinstance(top["names"][0], yaml.SequenceStartEvent)
    made = "".join(
        head + ("" if is_list else f"{number}: ") + "'" + name.replace("'", "''") + "'" + end
        for number, name in names.items()
    )
    edits = [(at, at, made)]
    if "nc" in top:
        count = top["nc"][0]
        if not (isinstance(count, yaml.ScalarEvent) and re.fullmatch(r"[0-9]{1,9}", count.value)):
            return None
        raised = str(max(int(count.value), max(names) + 1))
        edits.append((count.start_mark.index, count.end_mark.index, raised))
    for start, stop, piece in sorted(edits, reverse=True):
        text = text[:start] + piece + text[stop:]
    return (mark + text).encode("utf-8") if yaml_names(text) == before | dict(names) else None


def _place_behind(
    text: str, value: list[Any], last: tuple[int, Any, Any]
) -> tuple[int, str, str] | None:
    """Return where an entry is added behind the last, and what stands before and after it.

    None where a comment is between the last entry and the closing bracket.
    """
    _, first, name = last
    at = name.end_mark.index
    if value[0].flow_style:
        return None if "#" in text[at : value[-1].start_mark.index] else (at, ", ", "")
    line = text.rfind("\n", 0, first.start_mark.index) + 1
    head = text[line : first.start_mark.index]
    found = re.search(r"\r\n|\n", text)
    line_end = found[0] if found else "\n"
    behind = text.find("\n", at) + 1
    return (behind, head, line_end) if behind else (len(text), line_end + head, "")


def _text(path: Path) -> str:
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST:
            return ""
        return path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return ""
