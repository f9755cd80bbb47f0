"""Changed and added shapes of one file of CVAT for video, as replacements of byte ranges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path

from curate.errors import CallError
from curate.formats.cvat.cvat_writing import FileEdits, FileWriter, Piece, deeper
from curate.formats.cvat.element_places import (
    Place,
    edit_tag,
    find_places,
    quote_attribute,
    spans,
)
from curate.formats.cvat.mask_shapes import parse_int
from curate.formats.cvat.video_index import DRAWN, TRACK, VideoIndex, VideoShape, VideoTask
from curate.formats.edits import Addition, Change
from curate.formats.new_pixels import PixelTally, image_size

OUT = {"outside": "1"}
"""What a shape gets that is seen no more."""


class VideoWriter(FileWriter):
    """Works out the pieces of one file.

    Args:
        path: The file.
        edits: What changes in it; images are the numbers of frames.
        index: Its tracks and shapes.
        masks: How new pixels are stored; see :class:`curate.formats.edits.Edits`.
        tally: Counts how they were.
        ids: The numbers for new shapes' ``mask_id``, shared by all files of a source.
        picture_sizes: Height and width of frames by number where the file does not state them.
    """

    def __init__(
        self,
        path: Path,
        edits: FileEdits,
        index: VideoIndex,
        masks: str,
        tally: PixelTally,
        ids: Iterator[int],
        picture_sizes: Mapping[int, tuple[int, int]],
    ) -> None:
        self.index, self.picture_sizes = index, picture_sizes
        asked = edits.drop | edits.change.keys()
        tracks = {track for track, _, _ in asked}
        self.shapes: dict[Place, VideoShape] = {}
        for shape in index.shapes():
            if shape.track in tracks:
                self.shapes[shape.track, shape.kind, shape.ordinal] = shape
        unseen = [place for place in asked if not self._is_drawn(place)]
        if unseen:
            raise CallError(f"{len(unseen)} of the masks to change are not in it", str(path))
        wanted = self.shapes.keys()
        last = {len(index.tracks) - 1} if edits.add and index.tracks else set[int]()
        places = find_places(path, wanted, tracks | last, TRACK)
        super().__init__(path, edits, places, masks, tally, ids, {})

    def pieces(self) -> list[Piece]:
        """Return the replacements of byte ranges, in order, not overlapping.

        Raises:
            CallError: The file cannot hold what is asked.
        """
        found: list[Piece] = []
        whole = []
        for track in sorted({track for track, _, _ in self.shapes}):
            own = [place for place in self.shapes if place[0] == track]
            if all(place in self.edits.drop for place in own if self._is_drawn(place)):
                whole.append(self.places.images[track])
            else:
                found.extend(self._edit_track(track, own))
        found += [(start, end, b"") for start, end in spans(self.path, whole)]
        if self.edits.add:
            found.append(self._add_tracks())
        found.extend(self._describe_attributes())
        if self.new_labels:
            found.append(self._declare_labels())
        return sorted(found, key=lambda piece: piece[:2])

    def _is_drawn(self, place: Place) -> bool:
        shape = self.shapes.get(place)
        return shape is not None and shape.state == DRAWN and shape.frame >= 0

    # --- tracks ----------------------------------------------------------------------------------

    def _edit_track(self, track: int, own: list[Place]) -> Iterator[Piece]:
        values: dict[Place, dict[str, str]] = {p: dict(OUT) for p in own if p in self.edits.drop}
        kinds: dict[Place, str] = {}
        for place in own:
            key, change = self.edits.change.get(place, ("", Change()))
            if change.counts is not None:
                size = self._frame_size(self.shapes[place])
                kinds[place], pixels = self._pixels(change.counts, size, place[1], key)
                values[place] = pixels
        self._follow_kind(own, kinds, values)
        label = self._label_of(track, own)
        if label is not None:
            element = self.places.images[track]
            tag = self._bytes(element.begin, element.head)
            yield element.begin, element.head, edit_tag(tag, "track", label, self.encoding)
        for place in own:
            attributes = self.edits.change.get(place, ("", Change()))[1].attributes
            if place in values or attributes:
                kind = kinds.get(place, place[1])
                yield from self._edit_shape(place, kind, values.get(place, {}), attributes)

    def _follow_kind(
        self,
        own: list[Place],
        kinds: dict[Place, str],
        values: dict[Place, dict[str, str]],
    ) -> None:
        """Turn what nobody drew in a track into the kind that its one shape becomes.

        Raises:
            CallError: Other shapes of the track are seen, and of the kind that it was.
        """
        turned = [place for place, kind in kinds.items() if kind != place[1]]
        if not turned:
            return
        first = turned[0]
        for place in own:
            if kinds.get(place, place[1]) == kinds[first]:
                continue
            if self._is_drawn(place) and place not in self.edits.drop:
                what = "a track has one kind of shape, and others of its track are polygons"
                key = self.edits.change[first][0]
                raise CallError(what, key, "write it with --masks polygon, or --to coco")
            kinds[place] = kinds[first]
            values[place] = {**values[first], **values.get(place, {})}

    def _label_of(self, track: int, own: list[Place]) -> dict[str, str] | None:
        """Return the new label of a track as the attribute; None where it stays.

        Raises:
            CallError: Not all masks of the track get it.
        """
        old = self.places.images[track].attributes.get("label", "")
        named: dict[str, str] = {}
        for place in own:
            key, change = self.edits.change.get(place, ("", Change()))
            if change.category is not None:
                named.setdefault(self._label(change.category, key), key)
        if not named or set(named) == {old}:
            return None
        left = [place for place in own if self._is_drawn(place) and place not in self.edits.drop]
        changed = [p for p in left if p in self.edits.change]
        if len(named) > 1 or any(self.edits.change[p][1].category is None for p in changed):
            left = []
        if not left or len(changed) < len(left):
            what = "the label is that of the whole track, and others of its masks keep theirs"
            do = "change the category of all masks of the track, or write with --to coco"
            raise CallError(what, next(iter(named.values())), do)
        return {"label": next(iter(named))}

    # --- new tracks ------------------------------------------------------------------------------

    def _add_tracks(self) -> Piece:
        """Return the piece that puts new tracks behind the last one."""
        if any(self.index.tasks.keys() - {""}):
            what = "masks cannot be added to an export of a project with several tasks"
            raise CallError(what, str(self.path), "export one task, or write with --to coco")
        numbers = (parse_int(track.get("id", "")) for track in self.index.tracks)
        number = max((n for n in numbers if n is not None), default=-1) + 1
        last = self.places.images[len(self.index.tracks) - 1] if self.index.tracks else None
        blank = self._blank(last) if last else b"\n  "
        made = b""
        for k, (frame, addition) in enumerate(self.edits.add):
            made += blank + self._track(number + k, frame, addition, blank)
        at = last.end if last else self.index.tail
        return at, at, made

    def _track(self, number: int, frame: int, addition: Addition, blank: bytes) -> bytes:
        key, task = addition.image_key, self.index.tasks.get("", VideoTask())
        stated = task.size if all(task.size) else self.picture_sizes.get(frame, (0, 0))
        size = image_size(stated, addition.height, addition.width, key)
        kinds = self.places.kinds
        most = "polygon" if kinds["polygon"] > kinds["mask"] else "mask"
        kind, pixels = self._pixels(addition.counts, size, most, key)
        attributes = dict(addition.attributes)
        if self.places.largest_id is not None:
            attributes = {"mask_id": str(next(self.ids))} | attributes
        inner = deeper(blank)
        label = self._label(addition.category, key)
        made = self._tag("track", {"id": str(number), "label": label, "source": "manual"})
        frames = [(frame, "0")]
        if task.stop is None or frame + task.step <= task.stop:
            frames.append((frame + task.step, "1"))
        for at, outside in frames:
            place = {"frame": str(at), "keyframe": "1", "outside": outside, "occluded": "0"}
            made += inner + self._tag(kind, place | pixels | {"z_order": "0"})
            text = self._inner(attributes, deeper(inner))
            made += text + (inner if text else b"") + b"</" + kind.encode() + b">"
        return made + blank + b"</track>"

    def _tag(self, name: str, values: Mapping[str, str]) -> bytes:
        text = b"".join(
            b" " + key.encode() + b"=" + quote_attribute(value, self.encoding)
            for key, value in values.items()
        )
        return b"<" + name.encode() + text + b">"

    def _label(self, category: str | None, key: str) -> str:
        """Return the label of a track; one that the file does not declare is declared later."""
        if category is None and not self.places.labels:
            known = {track.get("label", "") for track in self.index.tracks} - {""}
            if len(known) == 1:
                return known.pop()
        return super()._label(category, key)

    def _frame_size(self, shape: VideoShape) -> tuple[int, int]:
        """Return a frame's height and width as file or picture say; 0 where neither does."""
        task = self.index.tasks.get(self.index.task_of(shape.track), VideoTask())
        return task.size if all(task.size) else self.picture_sizes.get(shape.frame, (0, 0))


def find_largest_id(path: Path) -> int | None:
    """Return the largest ``mask_id`` of a file's shapes; None where none has one."""
    none: AbstractSet[Place] = frozenset()
    return find_places(path, none, frozenset(), TRACK).largest_id
