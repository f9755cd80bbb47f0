"""Samples of a FiftyOne dataset folder: the field that is read, sizes, pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from curate.common.json_values import JsonObject
from curate.errors import SourceError
from curate.formats.format import ReadOptions
from curate.formats.json.image_records import RecordBlock, find_records
from curate.formats.json.json_columns import whole_number
from curate.formats.picture_sizes import find_pictures, picture_size
from curate.formats.segmentation import valid_size

SAMPLES = "samples.json"
"""The file of the samples."""

FIELDS = "Detections"
"""Class of the fields that list detections."""

TRUTH = "ground_truth"
"""The field that is read where it has masks."""

METADATA = "metadata.json"
"""The file of what is said of all samples."""

_SPLITS = ("train", "training", "val", "valid", "validation", "test")


class SampleSurvey(NamedTuple):
    """A dataset as a whole.

    Attributes:
        blocks: Where the samples stand.
        total: How many there are.
        field: The field that is read.
        others: Other fields with masks, and how many samples have each.
        names: Paths of all pictures as samples have them.
        unsized: Those of samples that state no size.
        largest_id: The largest ``mask_id`` of a detection; None where none has one.
    """

    blocks: list[RecordBlock]
    total: int
    field: str
    others: dict[str, int]
    names: list[str]
    unsized: dict[int, str]
    largest_id: int | None = None


def survey_samples(source: Path) -> SampleSurvey:
    """Look at all samples."""
    blocks: list[RecordBlock] = []
    names: list[str] = []
    unsized: dict[int, str] = {}
    fields: dict[str, int] = {}
    boxes: dict[str, bool] = {}
    largest: int | None = None
    for some, samples in find_records(source / SAMPLES, "samples"):
        blocks += some
        for sample in samples:
            if type(sample) is not dict or type(sample.get("filepath")) is not str:
                where = f"{SAMPLES}, sample {len(names)}"
                raise SourceError("it is no sample with a filepath", where)
            if stated_size(sample) == (0, 0):
                unsized[len(names)] = sample["filepath"]
            names.append(sample["filepath"])
            for name, listed in list_detections(sample):
                ids = (whole_number(one.get("mask_id")) for one in listed if type(one) is dict)
                largest = max((i for i in (largest, *ids) if i is not None), default=None)
                boxes[name] = boxes.get(name, False) or bool(listed)
                if any(has_mask(one) for one in listed):
                    fields[name] = fields.get(name, 0) + 1
    if not fields and any(boxes.values()):
        do = "export a field of instance masks"
        raise SourceError("its detections are boxes without masks", str(source), do)
    # Without its masks the truth stays what is read: a copy from which all were dropped.
    is_truth = TRUTH in fields or boxes.get(TRUTH) is False or not fields
    field = TRUTH if is_truth else next(iter(fields))
    others = {name: count for name, count in fields.items() if name != field}
    return SampleSurvey(blocks, len(names), field, others, names, unsized, largest)


def list_detections(sample: JsonObject) -> Iterator[tuple[str, list[object]]]:
    """Yield the fields of a sample that list detections."""
    for name, value in sample.items():
        if type(value) is dict and value.get("_cls") == FIELDS:
            listed = value.get("detections")
            yield name, listed if type(listed) is list else []


def has_mask(detection: object) -> bool:
    """Return whether a detection has a mask, not only a box."""
    if type(detection) is not dict:
        return False
    return detection.get("mask") is not None or detection.get("mask_path") is not None


def stated_size(sample: JsonObject) -> tuple[int, int]:
    """Return the height and width in a sample's metadata; (0, 0) where it has none."""
    facts = sample.get("metadata")
    if type(facts) is not dict:
        return 0, 0
    height, width = (whole_number(facts.get(side)) for side in ("height", "width"))
    return (height or 0, width or 0) if valid_size(height or 0, width or 0) else (0, 0)


def subset_of_sample(sample: JsonObject) -> str | None:
    """Return the split of a sample: what its ``split`` says, or its one tag that is called so."""
    split = sample.get("split")
    if type(split) is str and split:
        return split
    tags = sample.get("tags")
    named = [one for one in tags if one in _SPLITS] if type(tags) is list else []
    return named[0] if len(named) == 1 else None


def find_sample_pictures(found: SampleSurvey, options: ReadOptions) -> dict[str, str]:
    """Return pictures in a given folder of samples without a size, by their filepath."""
    if options.images is None:
        return {}
    folder = options.images
    unsized = list(dict.fromkeys(found.unsized.values()))
    paths = find_pictures(folder, found.names, unsized)
    return {name: str(folder / path) for name, path in paths.items()}


def path_inside(source: Path, name: str) -> Path | None:
    """Return a file under the source that a relative path names; None for any other."""
    path = PurePosixPath(name)
    if "\0" in name or path.is_absolute() or ".." in path.parts:
        return None
    found = source / path
    try:
        inside = found.resolve().is_relative_to(source.resolve())
        return found if inside and found.is_file() else None
    except (OSError, RuntimeError):  # RuntimeError: links in a circle
        return None


def sample_size(source: Path, sample: JsonObject, picture: str | None) -> tuple[int, int]:
    """Return the height and width of a sample's picture: as stated, else as its file has them.

    Args:
        source: The dataset's folder.
        sample: The sample.
        picture: Where its picture is, if that is known; None to look in the folder.

    Returns:
        (0, 0) where neither is known.
    """
    size = stated_size(sample)
    name = sample.get("filepath")
    if size != (0, 0) or type(name) is not str:
        return size
    path = Path(picture) if picture else path_inside(source, name)
    return (0, 0) if path is None else picture_size(path)
