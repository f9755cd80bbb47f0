"""Numbers and order of categories in an output."""

from __future__ import annotations

from curate.writing.exports.export import UNNAMED
from curate.writing.final_dataset import FinalDataset

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
