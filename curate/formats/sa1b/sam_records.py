"""Changed and added records as SAM's generator writes them: in SA-1B, and in the JSON of amg.py.

Their boxes come from inclusive maxima, so they are one pixel short in w and h; some copies have
boxes that count pixels. Each file keeps to what it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import BinaryIO

from curate.errors import CallError
from curate.formats.coco.annotation_edits import (
    Changes,
    Rules,
    TemplateRecords,
    box_is_short,
    measure_additions,
    render_changed_records,
    spell_box,
)
from curate.formats.edits import Addition
from curate.formats.json.byte_edits import Elements, JsonObject, Piece
from curate.formats.mask_values import MaskValues, NewMask

SAMPLE = 10
"""How many of the first records of a file show how they are written; that decodes their masks."""


class SamRecords:
    """The records of one image's file.

    Args:
        name: Name of the file, for messages.
        size: Height and width of the image; None where they are not known.
        elements: Where the records stand, and the first of them.
        values: Makes the segmentations.
    """

    def __init__(
        self, name: str, size: tuple[int, int] | None, elements: Elements, values: MaskValues
    ) -> None:
        self._name, self._size, self._elements, self._values = name, size, elements, values
        self._sample = TemplateRecords(elements, name)

    def render_changes(self, file: BinaryIO, changes: Changes) -> list[Piece]:
        """Return the new text of changed records; see :func:`render_changed_records`."""
        rules = Rules(
            self._values, self._sample.usual, lambda record: self._size, short_box=self._is_short
        )
        return render_changed_records(file, self._name, self._elements, changes, rules)

    def append_records(
        self, file: BinaryIO, add: Sequence[Addition], ids: Sequence[int | None]
    ) -> list[Piece]:
        """Return the replacements that append records.

        Args:
            file: The file, open for reading and seeking.
            add: What is added.
            ids: The id of each; None where records have none.

        Raises:
            CallError: There is no list of records, or a mask is not of the image's size.
        """
        if not add:
            return []
        if self._elements.opened < 0:
            raise CallError("it has no list of masks to add to", self._name)
        style = self._sample.style
        made = []
        for (one, mask), number in zip(measure_additions(add), ids, strict=True):
            if self._size not in (None, (one.height, one.width)):
                what = f"the added mask is {one.width} x {one.height}, and the image is not"
                raise CallError(what, one.image_key)
            numbered = {"id": number} if number is not None else {}
            fields = {**numbered, **self._fields(one, mask)}
            literals = {name: style.value(value) for name, value in fields.items()}
            made.append(self._sample.write(literals, style))
        return self._elements.append_elements(file, made)

    def has_ids(self) -> bool:
        """Return whether the records have ids."""
        return self._sample.has("id")

    def _fields(self, one: Addition, mask: NewMask) -> dict[str, object]:
        """Return the fields of a new record, as far as others have them; no model scored it."""
        made = {
            "segmentation": self._values.value(
                mask, self._sample.usual, one.image_key, self._size is not None
            ),
            "bbox": self._sample.like("bbox", spell_box(mask, self._usually_short)),
            "area": self._sample.like("area", mask.area),
            "predicted_iou": None,
            "stability_score": None,
            "crop_box": self._sample.like("crop_box", [0, 0, mask.width, mask.height]),
            "point_coords": None,
        }
        if self._sample.records:
            made = {n: v for n, v in made.items() if n == "segmentation" or self._sample.has(n)}
        return made | ({"attributes": dict(one.attributes)} if one.attributes else {})

    def _is_short(self, record: JsonObject, size: tuple[int, int]) -> bool:
        own = box_is_short(record, size)
        return self._usually_short if own is None else own

    @cached_property
    def _usually_short(self) -> bool:
        if self._size is None:
            return True
        found = [box_is_short(record, self._size) for record in self._sample.records]
        return found.count(True) >= found.count(False)
