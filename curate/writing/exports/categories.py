"""Numbers and order of categories in an output."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from curate.errors import CallError
from curate.writing.exports.export import UNNAMED
from curate.writing.exports.losses import Loss
from curate.writing.final_dataset import FinalDataset, FinalImage

_FROM_ZERO = ("yolo",)
"""Formats that number their classes from 0."""


def list_categories(dataset: FinalDataset) -> list[str]:
    """Return every category by label, :data:`UNNAMED` among them where masks will have it.

    Those with numbers come first, in their order; the others by name.
    """
    known = {one.label: one.number for one in dataset.categories}
    if dataset.has_unnamed:
        known.setdefault(UNNAMED, None)
    return sorted(known, key=lambda label: _order(label, known[label]))


def _order(label: str, number: int | None) -> tuple[bool, int, str]:
    return number is None, number or 0, label


def number_categories(dataset: FinalDataset) -> dict[str, int]:
    """Return a number from 1 for each category by label: the source's own, for others the next."""
    numbers = {one.label: one.number for one in dataset.categories}
    if dataset.has_unnamed:
        numbers.setdefault(UNNAMED, None)
    made: dict[str, int] = {}
    for name, own in sorted(numbers.items()):
        if own is not None and own not in made.values():
            made[name] = own
    nameless = bool(made) and all(name == str(number) for name, number in made.items())
    for name in sorted(numbers.keys() - made.keys()):
        is_number = nameless and name.isascii() and name.isdigit() and len(name) < 19
        # Where categories have no names, people say their numbers.
        wanted = int(name) if is_number else -1
        is_free = wanted >= 0 and wanted not in made.values()
        made[name] = wanted if is_free else max([0, *made.values()]) + 1
    if dataset.form.name in _FROM_ZERO:
        made = {name: number + 1 for name, number in made.items()}
    return dict(sorted(made.items(), key=lambda one: one[1]))


class SafeLabels:
    """Categories in a spelling that a format can hold, each in its own.

    Args:
        dataset: The dataset.
        safe: Returns the spelling of a label that the format can hold.

    Raises:
        CallError: Two categories would have one spelling.
    """

    def __init__(self, dataset: FinalDataset, safe: Callable[[str], str]) -> None:
        self._safe = safe
        self._labels: dict[str, str] = {}
        for label in list_categories(dataset):
            other = self._labels.setdefault(safe(label), label)
            if other != label:
                what = f"the categories {other!r} and {label!r} would both be {safe(label)!r} in it"
                do = "give one of them another name first, or choose another format"
                raise CallError(what, str(dataset.audit.path), do)

    def list_labels(self) -> list[str]:
        """Return all labels as they are written, in order."""
        return [*self._labels]

    def find_losses(self, image: FinalImage) -> Iterator[Loss]:
        """Find the masks whose category is written in another spelling."""
        for mask in image.masks:
            label = mask.label or UNNAMED
            if (written := self._safe(label)) != label:
                fields = {"category": written, "category_id": None}
                yield Loss("class name", mask, f"{label!r} becomes {written!r}", fields)
