"""Normalisation of image names, whatever tool, system or store wrote them.

Three keys of a name, from the strictest to the loosest:

- :func:`normalise`: the path in one spelling. URL decoding, Unicode NFC, slashes for backslashes,
  no drive letter, no scheme (``s3://``, ``gs://``, ``https://``, ``file://``), no query string
  (of Label Studio's ``?d=path`` the path), no ``.``, ``..`` and doubled slashes.
- :func:`stem`: its last part without the suffix of a picture or of a file about a picture.
- :func:`number`: the number that a stem is, whatever its leading zeros.

Each gives "" or None for what is no name. How names are compared is for
:mod:`curate.dataset.image_join`.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from urllib.parse import unquote_to_bytes

PICTURE_SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif"),
        *(".ppm", ".pgm", ".pnm", ".jp2", ".tga", ".mpo", ".avif", ".heic", ".dng"),
    )
)
"""Suffixes of pictures, in lower case."""

BESIDE_SUFFIXES = frozenset((".txt", ".json", ".xml", ".npy", ".npz"))
"""Suffixes of files that are named like the picture that they are about."""

_PLAIN = re.compile(r"(?:[\w\-. ]+/)*[\w\-. ]+", re.ASCII)
_DOTS = re.compile(r"(?:^|/)\.{1,2}(?:/|$)")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/{2,}")
_DRIVE = re.compile(r"[A-Za-z]:(?=/|[^/]*\.)")
_LOCAL_FILE = re.compile(r"(?:^|[/\\])\?d=([^&#]*)")  # Label Studio's local-files storage
_QUERY = re.compile(r"(\.\w{2,5})\?[^/\\]*=.*$")
_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")
_COCO = re.compile(r"COCO_[a-z]+\d{4}_(\d{12})")
_UPLOAD = re.compile(r"\A[0-9a-f]{8}-(?=.)")
_SPLIT = re.compile(r"(train|val|valid|validation|test)(?:ing)?[-_]?(?:\d{4})?", re.IGNORECASE)


def normalise(name: object) -> str:
    """Return the path that a name means in one spelling; "" for what is no name.

    >>> normalise(r"C:\\data\\im%20ages\\a.jpg")
    'data/im ages/a.jpg'
    >>> normalise("/data/local-files/?d=kc01%5Cframe_0.png")
    'kc01/frame_0.png'
    >>> normalise("https://host/bucket/a.jpg?X-Amz-Expires=60")
    'host/bucket/a.jpg'
    """
    if not isinstance(name, str):
        return ""
    if _PLAIN.fullmatch(name) and name == name.strip() and not _DOTS.search(name):
        return name
    text = name.strip()
    scheme = _SCHEME.match(text)
    if local := _LOCAL_FILE.search(text):
        text = local[1]
    elif scheme:
        text = re.split(r"[?#]", text[scheme.end() :], maxsplit=1)[0]
    else:
        text = _QUERY.sub(r"\1", text)
    text = _decode_url(text).replace("\\", "/").lstrip("/") if scheme else _decode_path(text)
    text = _DRIVE.sub("", text, count=1) if _DRIVE.match(text) else text
    return unicodedata.normalize("NFC", "/".join(_parts(text)))


def _decode_path(text: str) -> str:
    return _decode_url(text).replace("\\", "/")


def _decode_url(text: str) -> str:
    """Undo URL encoding, also where it was done twice; what is not UTF-8 then stays as it is."""
    for _ in range(2):
        if not _ENCODED.search(text):
            break
        try:
            text = unquote_to_bytes(text).decode()
        except UnicodeError:  # not UTF-8, or a name of bytes that are none
            break
    return text


def _parts(path: str) -> list[str]:
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return parts


def base_name(path: str) -> str:
    """Return the last part of a normalised path."""
    return path[path.rfind("/") + 1 :]


def without_suffix(path: str) -> str:
    """Return a path without the suffix of a picture, or of a file about one.

    >>> without_suffix("a/frame.0012"), without_suffix("a/frame.0012.JPG")
    ('a/frame.0012', 'a/frame.0012')
    """
    at = path.rfind(".")
    if at <= path.rfind("/") + 1:
        return path
    suffix = path[at:].lower()
    return path[:at] if suffix in PICTURE_SUFFIXES or suffix in BESIDE_SUFFIXES else path


def without_upload_prefix(base: str) -> str:
    """Return a base name without the eight digits that Label Studio puts before an upload's.

    >>> without_upload_prefix("1a2b3c4d-cat.jpg"), without_upload_prefix("cat.jpg")
    ('cat.jpg', 'cat.jpg')
    """
    return _UPLOAD.sub("", base)


def stem(name: object) -> str:
    """Return the last part of a name, normalised, without the suffix of a picture.

    >>> stem("images/a%20b.PNG")
    'a b'
    """
    return without_suffix(base_name(normalise(name)))


def number(name: object) -> int | None:
    """Return the number that the stem of a name is; None where it is none.

    COCO's own names end in the image's id (``COCO_val2014_000000000042.jpg``).

    >>> number("images/0012.jpg"), number("a12.jpg"), number("COCO_val2014_000000000042.jpg")
    (12, None, 42)
    """
    text = stem(name)
    if found := _COCO.fullmatch(text):
        text = found[1]
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None


def split_of(path: str) -> str:
    """Return the split that the folders of a normalised path name; "" where they name none.

    >>> split_of("images/train2017/a.jpg"), split_of("valid/images/a.jpg"), split_of("train.jpg")
    ('train', 'val', '')
    """
    return _split_of(path[: max(path.rfind("/"), 0)])


@lru_cache(maxsize=1 << 14)  # many images, few folders
def _split_of(folder: str) -> str:
    for part in reversed(folder.split("/")):
        if found := _SPLIT.fullmatch(part):
            word = found[1].lower()
            return "val" if word.startswith("val") else word
    return ""
