"""What kind of file some bytes are, for whoever changes or parses them."""

from __future__ import annotations

from pathlib import PurePosixPath

_MAGIC = (
    (b"\x89PNG", "png"),
    (b"II*\0", "tiff"),
    (b"PK\x03\x04", "zip"),
    (b"PAR1", "parquet"),
    (b"SQLite format 3", "sqlite"),
    (b"\xff\xd8\xff", "picture"),
    (b"GIF8", "picture"),
    (b"RIFF", "picture"),
    (b"BM", "picture"),
    (b"<?xml", "xml"),
)
_SUFFIXES = {
    ".json": "json",
    ".xml": "xml",
    ".toml": "toml",
    ".tar": "tar",
    ".txt": "text",
    ".csv": "text",
    ".tsv": "text",
    ".yaml": "text",
    ".yml": "text",
}


def kind_of(name: str, data: bytes) -> str:
    """Return the kind of a file, by its first bytes or else its suffix; "" for any other."""
    for magic, kind in _MAGIC:
        if data.startswith(magic):
            return kind
    return _SUFFIXES.get(PurePosixPath(name).suffix.lower(), "")
