"""Detection of a JSON file's kind from its beginning and its end."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, cast

from curate.common import files
from curate.errors import SourceError
from curate.formats.json.streaming import parse_one, scan

HEAD_BYTES = 1 << 20
"""How much of the beginning, and of the end, is looked at."""

LOOK_ON_BYTES = 1 << 28
"""How far a file is looked at for its first annotation, where lists of images stand before it."""

_SMALL = 1 << 16


@dataclass(frozen=True)
class JsonOutline:
    """The outline of a JSON file, as far as its beginning shows it.

    Attributes:
        root: ``list``, ``object``, or "" for what is neither.
        first: By top-level key ("" for a list): the first element of its list, parsed; or the value
            itself where it is no list; None where the list is empty or begins too late to be seen.
        is_list: By top-level key, whether its value is a list.
        end: The last bytes of the file.
    """

    root: str = ""
    first: dict[str, object] = field(default_factory=dict)
    is_list: dict[str, bool] = field(default_factory=dict)
    end: bytes = b""

    def one(self, key: str) -> dict[str, object]:
        """Return the first object under a key; empty where there is none."""
        value = self.first.get(key)
        return value if type(value) is dict else {}

    @property
    def looks_coco(self) -> bool:
        """Whether it is an object with COCO's lists."""
        if self.root != "object" or {"image", "masklet", "videos"} & set(self.first):
            return False
        if self.looks_panoptic or self.stranger:
            return False
        if self.is_list.get("items") and "annotations" not in self.first:
            return False  # Datumaro's, whose items have annotations of their own
        if self.is_list.get("annotations"):
            lists = {"images", "categories", "info", "licenses"} & set(self.first)
            return bool(lists) or "image_id" in self.one("annotations")
        if "annotations" in self.first:
            return "images" in self.first
        return self.is_list.get("images", False) or b'"annotations"' in self.end

    @property
    def looks_panoptic(self) -> bool:
        """Whether its annotations list segments of PNGs of ids."""
        return "segments_info" in self.one("annotations")

    @property
    def stranger(self) -> str:
        """The name of a COCO-like file without masks that can be read; "" for others."""
        one = self.one("annotations") or self.one("")
        if self.is_list.get("videos") or "segmentations" in one:
            saco = {"video_np_pairs", "noun_phrase"} & (set(self.first) | set(one))
            kind = "SA-Co video" if saco else "YouTube-VIS"
            return f"a {kind} file: it holds masks of whole videos, one for each frame"
        if {"segmentation", "bbox"} & set(one):
            return ""
        if "caption" in one:
            return "a COCO captions file: it holds texts and no masks"
        if "keypoints" in one:
            return "a COCO keypoints file without masks: it holds points only"
        if "question" in one or "questions" in self.first:
            return "a file of questions on COCO pictures: it holds texts and no masks"
        return ""

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
        if self.stranger:
            return False
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

    @property
    def looks_labelme(self) -> bool:
        """Whether it is one image's object with its shapes, as labelme and its kin write them."""
        if self.root != "object" or "annotations" in self.first:
            return False
        own = {"imagePath", "imageData", "imageHeight", "imageWidth"}
        if "shapes" in self.first:
            named = own & set(self.first) or any(b'"%s"' % n.encode() in self.end for n in own)
            return self.is_list["shapes"] and bool(named)
        # A picture may stand before the shapes, of any size.
        return b'"shapes"' in self.end and b'"imagePath"' in self.end

    @property
    def looks_supervisely(self) -> bool:
        """Whether it is one image's object with its objects, as Supervisely writes them."""
        size = self.one("size")
        if self.root != "object" or not {"height", "width"} <= set(size):
            return False
        if "objects" not in self.first:
            return b'"objects"' in self.end and b'"classTitle"' in self.end
        one = self.one("objects")
        known = {"classTitle", "geometryType"} & set(one) or {"tags", "description"} & set(
            self.first
        )
        return self.is_list["objects"] and bool(known)


def shape_of(path: Path) -> JsonOutline:
    """Look at a file's beginning and end.

    Returns:
        Its shape; an empty one for what is no file, cannot be read or is not JSON. A file that is
        broken further on has the shape of what was seen. Never raises.
    """
    try:
        if not path.is_file():
            return JsonOutline()
        facts = path.stat()
        return _shape_of(path, facts.st_size, facts.st_mtime_ns)
    except OSError:
        return JsonOutline()


@lru_cache(maxsize=8)
def _shape_of(path: Path, size: int, changed: int) -> JsonOutline:
    """Return the shape of a file as it was at a time: every format asks for it again."""
    with files.open_to_read(path) as file:
        head = file.read(HEAD_BYTES)
        file.seek(max(0, size - HEAD_BYTES))
        end = head if size <= HEAD_BYTES else file.read(HEAD_BYTES)
        shape = shape_of_bytes(head, end)
        lists = {"images", "videos", "annotations"} & {k for k, v in shape.is_list.items() if v}
        if size > HEAD_BYTES and lists and not shape.one("annotations"):
            file.seek(0)
            _look_on(shape, file)
    return shape


class _Beginning:
    """A file that ends early."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._left = file, size

    def read(self, size: int) -> bytes:
        """Read up to so many bytes."""
        data = self._file.read(min(size, self._left))
        self._left -= len(data)
        return data


def _look_on(shape: JsonOutline, file: BinaryIO) -> None:
    """Take the first annotation into a shape, however many images stand before it."""
    beginning = cast(BinaryIO, _Beginning(file, LOOK_ON_BYTES))
    try:
        for batch in scan(beginning, "", {"annotations"}, HEAD_BYTES):
            if len(batch):
                start, stop = int(batch.starts[0]), int(batch.ends[0])
                shape.is_list["annotations"] = batch.is_list
                shape.first["annotations"] = parse_one(batch.data[start:stop], 0, "")
                return
    except SourceError:
        return


def shape_of_bytes(head: bytes, end: bytes = b"") -> JsonOutline:
    """Return the shape of JSON of which the beginning and the end are given."""
    bare = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if bare not in (b"{", b"["):
        return JsonOutline()
    shape = JsonOutline("list" if bare == b"[" else "object", {}, {}, end or head)
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
