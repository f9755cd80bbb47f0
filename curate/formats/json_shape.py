"""What kind of JSON a file holds, from a look at its beginning and its end."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curate.errors import SourceError
from curate.formats.json_stream import parse_one, scan

HEAD_BYTES = 1 << 20
"""How much of the beginning, and of the end, is looked at."""

_SMALL = 1 << 16


@dataclass(frozen=True)
class Shape:
    """The outline of a JSON file, as far as its beginning shows it.

    Attributes:
        root: ``list``, ``object``, or "" for what is neither.
        first: By top-level key ("" for a list): the first element of its list, parsed; or the value
            itself where it is no list; None where the list is empty or begins too late to be seen.
        is_list: By top-level key, whether its value is a list.
        end: The last bytes of the file.
    """

    root: str = ""
    first: dict[str, Any] = field(default_factory=dict)
    is_list: dict[str, bool] = field(default_factory=dict)
    end: bytes = b""

    def one(self, key: str) -> dict[str, Any]:
        """Return the first object under a key; empty where there is none."""
        value = self.first.get(key)
        return value if type(value) is dict else {}

    @property
    def looks_coco(self) -> bool:
        """Whether it is an object with COCO's lists."""
        if self.root != "object" or "image" in self.first or "masklet" in self.first:
            return False
        if self.is_list.get("annotations"):
            lists = {"images", "categories", "info", "licenses"} & set(self.first)
            return bool(lists) or "image_id" in self.one("annotations")
        if "annotations" in self.first:
            return "images" in self.first
        return self.is_list.get("images", False) or b'"annotations"' in self.end

    @property
    def looks_lvis(self) -> bool:
        """Whether it has fields that only LVIS has."""
        image, category = self.one("images"), self.one("categories")
        if {"neg_category_ids", "not_exhaustive_category_ids"} & set(image):
            return True
        if "frequency" in category and "synset" in category:
            return True
        unseen = "categories" not in self.first
        return unseen and b'"frequency"' in self.end and b'"synset"' in self.end

    @property
    def looks_results(self) -> bool:
        """Whether it is a list of detections, each naming its image; an empty list is one too."""
        if self.root != "list":
            return False
        if "" not in self.first or (self.first[""] is None and self.end.strip() == b"[]"):
            return True
        one = self.one("")
        fields = {"bbox", "segmentation", "score", "category_id", "keypoints"}
        return "image_id" in one and bool(fields & set(one))

    @property
    def looks_sa1b(self) -> bool:
        """Whether it is one image's object with its annotations, as SA-1B writes them."""
        if self.root != "object" or self.is_list.get("image", True):
            return False
        sizes = {"width", "height", "image_id", "file_name"} & set(self.one("image"))
        return bool(sizes) and (
            self.is_list.get("annotations", False) or b'"annotations"' in self.end
        )


def shape_of(path: Path) -> Shape:
    """Look at a file's beginning and end.

    Args:
        path: Any path.

    Returns:
        Its shape; an empty one for what is no file, cannot be read or is not JSON. A file that is
        broken further on has the shape of what was seen. Never raises.
    """
    try:
        if not path.is_file():
            return Shape()
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            size = file.seek(0, io.SEEK_END)
            file.seek(max(0, size - HEAD_BYTES))
            end = head if size <= HEAD_BYTES else file.read(HEAD_BYTES)
    except OSError:
        return Shape()
    return shape_of_bytes(head, end)


def shape_of_bytes(head: bytes, end: bytes = b"") -> Shape:
    """Return the shape of JSON of which the beginning and the end are given."""
    bare = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if bare not in (b"{", b"["):
        return Shape()
    shape = Shape("list" if bare == b"[" else "object", {}, {}, end or head)
    try:
        for batch in scan(io.BytesIO(head), "", chunk=_SMALL):
            if batch.key in shape.first and shape.first[batch.key] is not None:
                continue
            shape.is_list[batch.key] = batch.is_list
            shape.first[batch.key] = None
            if len(batch):
                start, stop = int(batch.starts[0]), int(batch.ends[0])
                shape.first[batch.key] = parse_one(batch.data[start:stop], 0, "")
    except SourceError:
        pass
    return shape
