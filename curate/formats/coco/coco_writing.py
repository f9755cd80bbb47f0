"""Writer of COCO, LVIS and results lists: annotations removed, changed and added in place.

The file is scanned once for where things stand; what is touched is then read and made anew, and all
other bytes are copied.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from curate.dataset.notes import count_noun
from curate.errors import CallError
from curate.formats.coco.annotation_edits import (
    SAMPLE,
    Changes,
    Rules,
    TemplateRecords,
    measure_additions,
    render_changed_records,
    split_edits,
)
from curate.formats.coco.file_survey import Survey
from curate.formats.coco.images_and_categories import (
    Categories,
    find_top_category,
    image_fields,
    states_no_size,
)
from curate.formats.copying import splice
from curate.formats.edits import Addition, Edits, Stored, new_ids
from curate.formats.format import check_new, convert_read_errors, new_file
from curate.formats.json.byte_edits import Elements, JsonObject, Piece, Style, ordinals, read_span
from curate.formats.json.json_columns import id_key
from curate.formats.json.sniffing import shape_of
from curate.formats.mask_values import MaskValues, NewMask
from curate.formats.table_builder import plain


@dataclass(frozen=True)
class Dialect:
    """Differences between the files that this module writes.

    Attributes:
        constants: Fields that an added annotation has the same in every file.
        measured: Which fields an added annotation has that follow from its mask.
        closed: Why no category can be added; "" where one can.
        numbers: Numbers that categories get when they are added, where other files of the dataset
            have to agree.
    """

    constants: tuple[tuple[str, Any], ...] = (("iscrowd", 0),)
    measured: tuple[str, ...] = ("area", "bbox")
    closed: str = ""
    numbers: Mapping[str, int] = field(default_factory=dict)


COCO = Dialect()
LVIS = Dialect(
    constants=(),
    closed="each category of LVIS has a synset, a frequency and counts, which are not known of it",
)
RESULTS = Dialect(constants=(("score", 1.0),), measured=("bbox",))


def key_prefixes(name: str, is_list: bool) -> tuple[str, str]:
    """Return how source keys of masks and of images begin.

    Args:
        name: The file's name.
        is_list: Whether it is a list of annotations without anything around it.
    """
    name = plain(name)
    if is_list:
        return f"{name}#/", f"{name}#/image_id/"
    return f"{name}#/annotations/", f"{name}#/images/"


def write(
    source: Path,
    out: Path | None,
    edits: Edits,
    *,
    dialect: Dialect | None = None,
    pictures: Path | None = None,
) -> Stored:
    """Write the file with some annotations gone, changed and added; every other byte stays.

    Args:
        source: The file.
        out: Where to; must not exist. None writes nothing.
        edits: What changes.
        dialect: What is special about the file; None to take it from whether it is a list.
        pictures: Folder of pictures, which tell sizes that the file does not state.

    Returns:
        How the new masks were stored.

    Raises:
        CallError: ``out`` exists, a key names nothing, or the file cannot hold what is asked.
        SourceError: The file is not sound JSON.
        AuditError: ``out`` cannot be written.
    """
    if out is None:
        return _find_pieces(source, edits, dialect, pictures)[1]
    check_new(out)
    pieces, stored = _find_pieces(source, edits, dialect, pictures)
    with new_file(out) as target, convert_read_errors(source):
        splice(source, target, pieces)
    return stored


def write_to(
    source: Path, target: BinaryIO, edits: Edits, dialect: Dialect, pictures: Path | None
) -> Stored:
    """Write a file of several as :func:`write` does, to an open one."""
    pieces, stored = _find_pieces(source, edits, dialect, pictures)
    with convert_read_errors(source):
        splice(source, target, pieces)
    return stored


def _find_pieces(
    source: Path, edits: Edits, dialect: Dialect | None, pictures: Path | None
) -> tuple[list[Piece], Stored]:
    """Return which bytes of a file change, and how new masks are stored."""
    values = MaskValues(edits.masks)
    pieces: list[Piece] = []
    if edits.drop or not edits.only_drops:
        is_list = shape_of(source).root == "list"
        dialect = dialect or (RESULTS if is_list else COCO)
        with convert_read_errors(source), source.open("rb") as file:
            pieces = _CocoWriter(file, source.name, is_list, dialect, values, pictures).pieces(
                edits
            )
    return pieces, values.count_stored()


class _Target(NamedTuple):
    """An image that gets an annotation.

    Attributes:
        image_id: Its id, literally as it stands in the file.
        size: Its height and width as the file states them, or its picture; or None.
    """

    image_id: str
    size: tuple[int, int] | None


class _CocoWriter:
    """Works out what changes in a file.

    Args:
        file: The file, open for reading and seeking, at its beginning.
        name: Its name.
        is_list: Whether it is a list of annotations without anything around it.
        dialect: What is special about it.
        values: Makes the segmentations.
        pictures: Folder of pictures, which tell sizes that the file does not state.
    """

    def __init__(
        self,
        file: BinaryIO,
        name: str,
        is_list: bool,
        dialect: Dialect,
        values: MaskValues,
        pictures: Path | None = None,
    ) -> None:
        self.file, self.name, self.is_list = file, name, is_list
        self.dialect, self.values, self.pictures = dialect, values, pictures

    def pieces(self, edits: Edits) -> list[Piece]:
        """Return which bytes of the file change, in order."""
        mask_prefix, image_prefix = key_prefixes(self.name, self.is_list)
        drop, change = split_edits(edits, mask_prefix)
        images = self._images(edits.add, image_prefix)
        survey = self._survey(drop, change, images, edits.wanted_ids)
        annotations = survey.annotations
        annotations.check({*drop, *change}, self.name)
        sample = TemplateRecords(annotations, self.name)
        categories = Categories(
            None if self.is_list else survey.listed,
            self.name,
            self.dialect.closed,
            self.dialect.numbers,
            partial(find_top_category, self.file),
        )
        rules = Rules(self.values, sample.usual, survey.size, categories.number)
        found = annotations.cuts()
        found += render_changed_records(self.file, self.name, annotations, change, rules)
        if edits.add:
            if annotations.opened < 0:
                do = 'add "annotations": [] to the file first'
                raise CallError("it has no list of annotations to add to", self.name, do)
            targets = self._targets(edits.add, images, survey)
            if survey.top + len(edits.add) >= 2**63:
                raise CallError(f"no id above {survey.top} is free", self.name, "number it anew")
            made = self._render_added(edits.add, targets, survey, sample, categories)
            found += annotations.append_elements(self.file, made)
        found += self._declare_categories(survey, categories, sample)
        return sorted(found, key=lambda piece: piece[:2])

    def _images(self, add: Sequence[Addition], prefix: str) -> dict[str, int]:
        """Return by image key the number of an image; in a results list the key of its id."""
        keys = {one.image_key for one in add}
        if not self.is_list:
            return {key: number for number, key in ordinals(keys, prefix, "image").items()}
        found = {}
        for key in keys:
            try:
                value = json.loads(key.removeprefix(prefix))
            except ValueError:
                value = None
            if not key.startswith(prefix) or type(value) not in (int, float, str):
                raise CallError(f"{key} names no image of it", self.name)
            found[key] = id_key(value)
        return found

    def _survey(
        self,
        drop: frozenset[int],
        change: Changes,
        images: dict[str, int],
        wanted: frozenset[int],
    ) -> Survey:
        numbers = images.values()
        sample = SAMPLE if change or images else 0
        if self.is_list:
            survey = Survey(drop, change.keys(), named=numbers, sample=sample, wanted=wanted)
        else:
            survey = Survey(
                drop,
                change.keys(),
                images=numbers,
                sample=sample,
                pictures=self.pictures,
                wanted=wanted,
            )
        edits = [one for _, one in change.values()]
        survey.scan(
            self.file,
            self.name,
            images=bool(images) or any(one.counts is not None for one in edits),
            categories=bool(images) or any(one.category is not None for one in edits),
            ids=bool(images),
        )
        return survey

    def _targets(
        self, add: Sequence[Addition], images: dict[str, int], survey: Survey
    ) -> dict[str, _Target]:
        """Return the images that get annotations, by their keys."""
        if self.is_list:
            missing = [key for key, number in images.items() if number not in survey.found]
            if missing:
                raise CallError(f"{missing[0]} names no image of it", self.name)
            _, prefix = key_prefixes(self.name, self.is_list)
            return {key: _Target(key.removeprefix(prefix), None) for key in images}
        survey.images.check(images.values(), self.name, "images")
        found: dict[str, _Target] = {}
        for key, number in images.items():
            span = survey.images.span(number)
            image = JsonObject(read_span(self.file, *span), span[0], self.name)
            if image.get("id") is None:
                raise CallError("the image has no id, so no mask can name it", key)
            fields = {name: one.value for name, one in image.members.items()}
            _, height, width, _ = image_fields(fields)
            size: tuple[int, int] | None = (height, width)
            if states_no_size(fields):
                size = survey.size_of(fields.get("id"))
            found[key] = _Target(image.literal("id"), size)
        for one in add:
            size = found[one.image_key].size
            if size not in (None, (one.height, one.width)):
                stated = f"the image is {size[1]} x {size[0]}"
                what = f"the added mask is {one.width} x {one.height}, but {stated}"
                raise CallError(what, one.image_key)
        return found

    def _render_added(
        self,
        add: Sequence[Addition],
        targets: dict[str, _Target],
        survey: Survey,
        sample: TemplateRecords,
        categories: Categories,
    ) -> list[bytes]:
        """Return the new annotations."""
        style = _style(survey.annotations, survey.images, survey.categories)
        with_ids = not self.is_list or sample.has("id")
        numbers = self._categories(add, sample, categories)
        ids = new_ids(add, survey.top, survey.taken)
        made = []
        for number, (one, mask), category in zip(ids, measure_additions(add), numbers, strict=True):
            literals = {"id": str(number)} if with_ids else {}
            target = targets[one.image_key]
            literals["image_id"] = target.image_id
            if category is not None:
                literals["category_id"] = json.dumps(category)
            fields = self._fields(one, mask, sample, target.size is not None)
            literals |= {name: style.value(value) for name, value in fields.items()}
            made.append(sample.write(literals, style))
        return made

    def _fields(
        self, one: Addition, mask: NewMask, sample: TemplateRecords, sized: bool
    ) -> dict[str, object]:
        """Return the fields of a new annotation that are no ids."""
        value = self.values.value(mask, sample.usual, one.image_key, sized)
        measures = {"area": mask.area, "bbox": list(mask.box)}
        fields: dict[str, object] = {"segmentation": value}
        fields |= {name: sample.like(name, measures[name]) for name in self.dialect.measured}
        fields |= dict(self.dialect.constants)
        if one.crowd and "iscrowd" in fields:
            fields["iscrowd"] = 1
        return fields | ({"attributes": dict(one.attributes)} if one.attributes else {})

    def _categories(
        self, add: Sequence[Addition], sample: TemplateRecords, categories: Categories
    ) -> list[int | str | None]:
        """Return the category of each new annotation; None where the file has none at all."""
        only = categories.only()
        without = sum(one.category is None for one in add)
        plain_file = not categories.declared and sample.records and not sample.has("category_id")
        if without and only is None and not plain_file:
            some = count_noun(without, "added mask")
            what = f"{some} without a category, and the file has not just one"
            raise CallError(what, self.name, "give them one with --category NAME")
        return [only if one.category is None else categories.number(one.category) for one in add]

    def _declare_categories(
        self, survey: Survey, categories: Categories, sample: TemplateRecords
    ) -> list[Piece]:
        """Return the replacements that declare new categories."""
        style = _style(survey.categories, survey.annotations, survey.images)
        known = TemplateRecords(survey.categories, self.name)
        made = []
        for name, number in categories.added.items():
            fields = {"id": number, "name": name}
            fields |= {"supercategory": ""} if known.has("supercategory") else {}
            literals = {key: style.value(value) for key, value in fields.items()}
            made.append(known.write(literals, style))
        return survey.categories.append_elements(self.file, made)


def _style(*lists: Elements) -> Style:
    """Return how the first object in one of some lists is written."""
    for elements in lists:
        for at, data in elements.sample:
            if data[:1] == b"{":
                return JsonObject(data, at).style
    return Style()
