"""Layouts of ADE20K and MVTec AD, and the names of classes of ADE20K and Mapillary Vistas.

Facts, from the datasets' own tools: in ADE20K a pixel of ``X_seg.png`` has the class in red and
green (red // 10 * 256 + green) and the object in blue, whose values have no order but their own;
``X_atr.txt`` (2017) numbers the objects by it from 1, and ``X.json`` (2020) names the classes by
number. ``X_parts_1.png`` has parts of the objects in the same way, ``X/instance_*.png`` (2020) the
objects again. In MVTec AD ``ground_truth/DEFECT/N_mask.png`` is of ``test/DEFECT/N.png``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from curate.common.files import open_to_read
from curate.formats.copying import files_under
from curate.formats.ids.id_codes import IdCode
from curate.formats.ids.id_places import IdPlace
from curate.formats.png.png_reading import PICTURES

_MOST_BYTES = 16 << 20  # of a document
_OF_ADE20K = re.compile(
    r"(?P<above>(?:.*/)?)(?:(?P<own>[^/]+)/instance_\d+_(?P=own)|(?P<stem>[^/]+?)_(?:seg|parts_\d+))\.png"
)
_OF_MVTEC = re.compile(r"((?:.*/)?)ground_truth/([^/]+)/([^/]+)_mask\.png")
_CONFIGS = ("config_v2.0.json", "config_v1.2.json", "config.json")
_SEG = "_seg.png"


def is_ade20k(source: Path, first: str) -> bool:
    """Return whether a folder whose first PNG has some path is one of ADE20K."""
    found = _OF_ADE20K.fullmatch(first)
    if found is None:
        return False
    stem = source / found["above"] / (found["own"] or found["stem"])
    return (stem.parent / f"{stem.name}{_SEG}").is_file() and bool(_about(stem))


def find_ade20k(source: Path) -> Iterator[IdPlace]:
    """Yield the PNGs of objects of a folder of ADE20K."""
    for name, size in files_under(source, _SEG):
        stem = name[: -len(_SEG)]
        image = next((end for end in PICTURES if (source / f"{stem}{end}").is_file()), ".jpg")
        own = _about(source / stem)
        about = f"{stem}{own}" if own else ""
        yield IdPlace(name, size, f"{stem}{image}", about=about, subset=_subset(name))


def _about(stem: Path) -> str:
    """Return how the name of the document of an image goes on; "" where there is none."""
    ends = ("_atr.txt", ".json")
    return next((end for end in ends if (stem.parent / f"{stem.name}{end}").is_file()), "")


def _subset(name: str) -> str | None:
    return next((one for one in name.split("/") if one in ("training", "validation")), None)


def ade20k_names(path: Path, code: IdCode, ids: Iterable[int]) -> dict[int, str]:
    """Return the names of classes by number, as the document of one image has them.

    Args:
        path: ``X_atr.txt`` or ``X.json``.
        code: How ids carry a class.
        ids: The image's ids.
    """
    text = _read(path)
    if path.name.endswith(".json"):
        return _names_of_objects(text)
    in_blue = sorted((one for one in ids if code.is_instance(one)), key=lambda one: one >> 16)
    numbers = {str(k): code.class_of(one) for k, one in enumerate(in_blue, 1)}
    names: dict[int, str] = {}
    for line in text.splitlines():
        fields = [one.strip() for one in line.split("#")]
        number = numbers.get(fields[0].lstrip("0")) if len(fields) > 3 else None
        if number is not None and fields[1] == "0" and fields[3]:
            names[number] = fields[3]
    return names


def _names_of_objects(text: str) -> dict[int, str]:
    names: dict[int, str] = {}
    whole = _parse(text)
    about = whole.get("annotation") if isinstance(whole, dict) else None
    objects = about.get("object") if isinstance(about, dict) else None
    for one in objects if isinstance(objects, list) else ():
        number, name = (one.get("name_ndx"), one.get("name")) if isinstance(one, dict) else (0, 0)
        if type(number) is int and type(name) is str and name:
            names[number] = name
    return names


def mapillary_names(folder: Path) -> dict[int, str]:
    """Return the names of classes that a configuration above a folder of ids lists, by number."""
    version = next((part for part in folder.parts[-3:] if re.fullmatch(r"v\d\.\d", part)), "")
    wanted = [one for one in _CONFIGS if version in one] or list(_CONFIGS)
    for above in folder.parents[:3]:
        for name in wanted:
            whole = _parse(_read(above / name)) if (above / name).is_file() else None
            labels = whole.get("labels") if isinstance(whole, dict) else None
            if isinstance(labels, list):
                named = [one.get("name") if isinstance(one, dict) else None for one in labels]
                return {k: one for k, one in enumerate(named) if type(one) is str and one}
    return {}


def is_mvtec(home: Path, folders: Iterable[str]) -> bool:
    """Return whether one of the folders called ``ground_truth`` has ``test`` beside it."""
    return any((home.resolve() / folder).parent.joinpath("test").is_dir() for folder in folders)


def find_mvtec(source: Path, home: Path, folders: Iterable[str]) -> Iterator[IdPlace]:
    """Yield the masks of defects of MVTec AD, each with the kind of the defect."""
    for folder in folders:
        for name, size in files_under(source, ".png", folder):
            found = _OF_MVTEC.fullmatch(name if folder else f"ground_truth/{name}")
            if found:
                image = f"{found[1]}test/{found[2]}/{found[3]}.png"
                yield IdPlace(name, size, image, category=found[2])


def _read(path: Path) -> str:
    """Return a document's text, which may be of any encoding; "" where it cannot be read."""
    try:
        with open_to_read(path) as file:
            data = file.read(_MOST_BYTES)
    except OSError:
        return ""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _parse(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
