"""Class names of a YOLO dataset: ``names`` in its YAML file, or ``classes.txt``.

Only what YOLO writes for ``names`` is understood, not all of YAML: a list or a mapping, in block or
flow style, with plain or quoted names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from curate.errors import CallError, SourceError
from curate.formats.table_builder import plain

_FILES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_LISTS = ("classes.txt", "obj.names", "labels/classes.txt", "_darknet.labels")
_ABOVE = 4  # how many folders above the source are looked at
_LARGEST = 10_000_000

_DATASET = re.compile(r"^(train|val|test|path|nc)[ \t]*:", re.MULTILINE)
_PATH = re.compile(r"^path[ \t]*:[ \t]*([^#\r\n]*?)[ \t]*(?:#.*)?$", re.MULTILINE)
_INSIDE = re.compile(r"labels|obj_[A-Za-z0-9]+_data", re.ASCII)
_ITEM = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^,\[\]{}]*?)\s*(,|$)""")
_ENTRY = re.compile(r"""(?:-\s+|['"]?(\d+)['"]?\s*:\s+)(.*)$""")
_PAIR = re.compile(r"""\s*['"]?(\d+)['"]?\s*:\s*""")


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
    found = _names_in(source, (*_FILES, *others), (*_LISTS, *_lists_below(source)))
    whole = (home or source).resolve()
    inside = False  # a list of names is that of labels right below it
    for folder, above in zip((whole, *whole.parents), whole.parents[:_ABOVE], strict=False):
        if found is not None:
            break
        inside = inside or bool(_INSIDE.fullmatch(folder.name))
        found = _names_in(above, _FILES, _LISTS if inside else (), dataset=True)
    return found or ClassNames()


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
            raise CallError("this name of a class cannot stand in a list", repr(name[:80]), do)
    found = re.search(rb"\r\n|\n|\r", data)
    end = found[0] if found else b"\n"
    last = len(data.decode("utf-8", "surrogateescape").rstrip().encode("utf-8", "surrogateescape"))
    return data[:last] + b"".join(end + name.encode() for name in names) + data[last:]


def yaml_names(text: str) -> dict[int, str]:
    """Return the value of the top-level key ``names`` of YAML text.

    >>> yaml_names("nc: 2\\nnames: ['a', b]\\n")
    {0: 'a', 1: 'b'}
    >>> yaml_names("names:\\n  0: cat  # an animal\\n  5: 'it''s'\\n")
    {0: 'cat', 5: "it's"}
    """
    found = re.search(r"^names[ \t]*:[ \t]*(.*)$", text, re.MULTILINE)
    if not found:
        return {}
    first, rest = _strip_comment(found[1]).strip(), text[found.end() :]
    if first[:1] in ("[", "{"):
        return _flow(first + rest)
    return {} if first else _block(rest)


def _flow(text: str) -> dict[int, str]:
    end = "]" if text[0] == "[" else "}"
    names: dict[int, str] = {}
    at = 1
    text = "\n".join(_strip_comment(line) for line in text.splitlines())
    while at < len(text) and text[at:].lstrip()[:1] not in (end, ""):
        number = len(names)
        if end == "}":
            pair = _PAIR.match(text, at)
            if not pair:
                return {}
            number, at = int(pair[1][:9]), pair.end()
        item = re.compile(_ITEM.pattern.replace("|$)", rf"|(?=\{end}))")).match(text, at)
        if not item:
            return {}
        names[number] = _unquote(item[1])
        at = item.end()
    return names


def _block(text: str) -> dict[int, str]:
    names: dict[int, str] = {}
    for line in text.splitlines():
        bare = _strip_comment(line)
        entry = _ENTRY.match(bare.strip())
        if not bare.strip():
            continue
        if not entry or (entry[1] and not line[:1].isspace()):
            break
        names[int(entry[1][:9]) if entry[1] else len(names)] = _unquote(entry[2].strip())
    return names


def _strip_comment(line: str) -> str:
    """Return a line without a comment: a # at its start or after a blank, outside quotes."""
    quote, escaped = "", False
    for i, character in enumerate(line):
        if escaped:
            escaped = False
        elif quote and _escapes(quote, line[i : i + 2]):
            escaped = True  # '' in single quotes, a backslash in double ones
        elif quote:
            quote = "" if character == quote else quote
        elif character in "'\"" and (i == 0 or line[i - 1] in " \t,[{:-"):
            quote = character
        elif character == "#" and (i == 0 or line[i - 1] in " \t"):
            return line[:i]
    return line


def _escapes(quote: str, two: str) -> bool:
    """Return whether the second of two characters in quotes stands for itself."""
    return two == "''" if quote == "'" else two[:1] == "\\"


def _unquote(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] == "'":
        return text[1:-1].replace("''", "'")
    if len(text) > 1 and text[0] == text[-1] == '"':
        return re.sub(r"\\(.)", lambda m: {"n": "\n", "t": "\t"}.get(m[1], m[1]), text[1:-1])
    return text


def _text(path: Path) -> str:
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST:
            return ""
        return path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return ""
