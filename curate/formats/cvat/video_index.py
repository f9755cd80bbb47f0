"""Index of a file of CVAT for video: its tracks, and which of their shapes people have drawn.

Facts, from CVAT's exporter and its documents: a ``<track>`` has the label, and a shape for each
frame: ``frame``, ``keyframe``, ``outside``, ``occluded``. Those with ``keyframe="0"`` are computed
between two others, and CVAT's own import passes over them. With ``outside="1"`` the object is out
of sight from this frame on; a shape on one frame is a track of it and one such. The size of all
frames is ``original_size`` in ``meta``; an export of a project has one for each of its tasks.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from curate.errors import SourceError
from curate.formats.cvat.mask_shapes import parse_int
from curate.formats.cvat.xml_stream import KINDS, Walk

TRACK = ["annotations", "track"]
"""Path of the element of a track."""

_TASKS = ("task", "job")  # an export of a job is like that of a task
_NUMBERS = ("width", "height", "stop_frame")
_STEP = re.compile(r"step\s*=\s*([0-9]{1,9})\Z")


class VideoShape(NamedTuple):
    """A mask or polygon of a track.

    Attributes:
        track: Position of its track in the file.
        kind: ``mask`` or ``polygon``.
        ordinal: How many of its kind stand before it in its track.
        frame: Number of its frame; -1 where that is none.
        state: One of :data:`DRAWN`, :data:`COMPUTED`, :data:`OUTSIDE`.
        start: Where it begins in the file.
        closing: What :attr:`Walk.at` is at its end.
    """

    track: int
    kind: str
    ordinal: int
    frame: int
    state: int
    start: int
    closing: int


DRAWN, COMPUTED, OUTSIDE = range(3)


@dataclass
class VideoTask:
    """A task of a file: one, or in an export of a project several.

    Attributes:
        size: Height and width of its frames in pixels; 0 where the file does not say.
        stop: Its last frame; None where the file does not say.
        step: Frames from one to the next.
    """

    size: tuple[int, int] = (0, 0)
    stop: int | None = None
    step: int = 1


@dataclass
class VideoIndex:
    """Index of a file.

    Attributes:
        tracks: Attributes of each track.
        labels: Names of the labels that the file declares.
        tasks: Its tasks by id; that of an export of one task under "".
        others: How many other things are in tracks, by tag.
        encoding: As the XML declaration says; "" where it says nothing.
        tail: Where the end tag of the root begins.
    """

    tracks: list[dict[str, str]] = field(default_factory=list)
    labels: tuple[str, ...] = ()
    tasks: dict[str, VideoTask] = field(default_factory=dict)
    others: Counter[str] = field(default_factory=Counter)
    encoding: str = ""
    tail: int = 0
    _numbers: array[int] = field(default_factory=lambda: array("q"))

    def add(self, shape: VideoShape) -> None:
        """Take the next shape."""
        kind = KINDS.index(shape.kind)
        self._numbers.extend((shape.track, kind, *shape[2:]))

    def shapes(self) -> Iterator[VideoShape]:
        """Yield all shapes, in the order of the file."""
        numbers, width = self._numbers, len(VideoShape._fields)
        for k in range(0, len(numbers), width):
            track, kind, *others = numbers[k : k + width]
            yield VideoShape(track, KINDS[kind], *others)

    def task_of(self, track: int) -> str:
        """Return the id of a track's task; "" in an export of one task."""
        return self.tracks[track].get("task_id", "")


class _TrackIndexing(Walk):
    def __init__(self, where: str) -> None:
        super().__init__(where)
        self.index = VideoIndex()
        self.counts: dict[str, int] = {}
        self.shape: VideoShape | None = None
        self.text: list[str] | None = None
        self.labels: list[str] = []
        self.task, self.task_id = VideoTask(), ""

    def open(self, name: str, attributes: dict[str, str]) -> None:
        if len(self.path) == 1 and name != "annotations":
            what = f"its root is <{name[:40]}>, not <annotations>"
            raise SourceError(what, self.where, "export it as CVAT for video 1.1")
        if self.path == TRACK:
            self.index.tracks.append(attributes)
            self.counts = dict.fromkeys(KINDS, 0)
        elif self.path[:-1] == TRACK and name in KINDS:
            self._take(name, attributes)
        elif self.path[:-1] == TRACK:
            self.index.others[name] += 1
        elif self.path[1:2] == ["meta"]:
            self._in_meta(name)

    def _take(self, kind: str, attributes: dict[str, str]) -> None:
        frame = parse_int(attributes.get("frame", ""))
        state = DRAWN
        if attributes.get("keyframe", "1").strip() == "0":
            state = COMPUTED
        elif attributes.get("outside", "0").strip() == "1":
            state = OUTSIDE
        place = len(self.index.tracks) - 1, kind, self.counts[kind]
        frame = -1 if frame is None or frame < 0 else frame
        self.shape = VideoShape(*place, frame, state, self.at, 0)
        self.counts[kind] += 1

    def _in_meta(self, name: str) -> None:
        if name in _TASKS:
            self.task, self.task_id = VideoTask(), ""
        is_label = self.path[-3:] == ["labels", "label", "name"]
        if is_label or name in (*_NUMBERS, "id", "frame_filter"):
            self.text = []
            self.parser.CharacterDataHandler = self.text.append

    def close(self, name: str) -> None:
        if self.shape is not None and len(self.path) == 3:
            self.index.add(self.shape._replace(closing=self.at))
            self.shape = None
        elif len(self.path) == 1:
            self.index.tail = self.at
        elif self.text is not None:
            text, self.text = "".join(self.text).strip(), None
            self.parser.CharacterDataHandler = None
            self._note(name, text)
        elif name in _TASKS and self.path[1:2] == ["meta"]:
            self.index.tasks[self.task_id if "tasks" in self.path else ""] = self.task

    def _note(self, name: str, text: str) -> None:
        task, number = self.task, parse_int(text) or 0
        above = self.path[-2]
        if name == "name" and above == "label":
            self.labels.append(text)
        elif name == "id" and above in _TASKS:
            self.task_id = text
        elif name == "stop_frame" and above in _TASKS:
            task.stop = parse_int(text)
        elif name == "frame_filter" and above in _TASKS:
            found = _STEP.match(text)
            task.step = max(1, int(found[1])) if found else 1
        elif above == "original_size":
            height, width = task.size
            task.size = (number, width) if name == "height" else (height, number)


def index_video(path: Path) -> VideoIndex:
    """Find the tracks of a file and their shapes.

    Raises:
        SourceError: It is no sound XML of CVAT; says at which line and byte.
    """
    walk = _TrackIndexing(str(path))
    with open(path, "rb") as file:
        walk.run(file)
    walk.index.labels = tuple(dict.fromkeys(walk.labels))
    walk.index.encoding = walk.encoding
    return walk.index
