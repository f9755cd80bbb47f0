"""Table of an engine's rounds for people: the ledger's columns that matter, as text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from curate.engine.round_numbers import LedgerRow, is_timed, number, seconds_per_mask, whole
from curate.render.formatting import seconds


@dataclass(frozen=True)
class RoundTable:
    """A table as text.

    Attributes:
        title: What it is of.
        head: Names of the columns, with units.
        rows: Cells, as many in each row; "–" where a value is not known.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def make_round_tables(rows: Sequence[LedgerRow]) -> list[RoundTable]:
    """Return tables of the rounds: people's work, and what the machine made of it.

    Columns of which no round has a value are left out.

    Args:
        rows: Of the ledger, in order; none: no table.
    """
    found = {"People's work": _WORK, "Models": _MODELS} if rows else {}
    return [_make_table(title, columns, rows) for title, columns in found.items()]


def _make_table(
    title: str, columns: dict[str, Callable[[LedgerRow], str]], rows: Sequence[LedgerRow]
) -> RoundTable:
    found = {head: [cell(row) for row in rows] for head, cell in columns.items()}
    shown = {h: cells for h, cells in found.items() if h not in _OPTIONAL or set(cells) - _EMPTY}
    return RoundTable(title, list(shown), [list(row) for row in zip(*shown.values(), strict=True)])


def _count(name: str) -> Callable[[LedgerRow], str]:
    def cell(row: LedgerRow) -> str:
        found = number(row, name)
        return "–" if found is None else f"{found:,.0f}"

    return cell


def _value(name: str, form: str) -> Callable[[LedgerRow], str]:
    def cell(row: LedgerRow) -> str:
        found = number(row, name)
        if found is None:
            return "–"
        low, high = number(row, f"{name}_low"), number(row, f"{name}_high")
        ends = "" if low is None or high is None else f" ({low:{form}} to {high:{form}})"
        return f"{found:{form}}{ends}"

    return cell


def _name(row: LedgerRow) -> str:
    name = str(whole(row, "round")) if whole(row, "round") else "validation"
    return f"{name}, closed early" if row.get("closed_early") is True else name


def _people(row: LedgerRow) -> str:
    spent = number(row, "people_s")
    if not spent:
        return "–" if whole(row, "images") else "0"
    return seconds(spent) if is_timed(row) else f"at least {seconds(spent)}"


def _pace(row: LedgerRow) -> str:
    pace = seconds_per_mask(row)
    return "–" if pace is None else f"{pace:.1f}"


def _certified(row: LedgerRow) -> str:
    masks, most = number(row, "certified"), number(row, "certified_max_bad")
    sure = number(row, "certified_confidence")
    if masks is None:
        return "–"
    bound = "" if most is None or sure is None else f" (at most {most:.1%} bad, {sure:.0%} sure)"
    return f"{masks:,.0f}{bound}"


def _sample(row: LedgerRow) -> str:
    bad, sample = number(row, "sample_bad"), number(row, "sample")
    return "–" if bad is None or sample is None else f"{bad:,.0f} of {sample:,.0f}"


def _missed(row: LedgerRow) -> str:
    found, asked = number(row, "missed_found"), number(row, "missed_asked")
    return "–" if found is None or not asked else f"{found:,.0f} of {asked:,.0f} asked about"


def _machine(row: LedgerRow) -> str:
    spent = number(row, "machine_s")
    return "–" if spent is None else seconds(spent)


def _kept(row: LedgerRow) -> str:
    if row.get("kept") is True:
        return "new one in force"
    if number(row, "iou") is not None:
        return "old one stays"
    reason = row.get("reason")
    return str(reason) if reason else "–"


_WORK: dict[str, Callable[[LedgerRow], str]] = {
    "round": _name,
    "stage": lambda row: str(whole(row, "stage")) if whole(row, "stage") else "–",
    "images": _count("images"),
    "masks": _count("masks"),
    "masks an image": _value("masks_per_image", ".1f"),
    "people's time": _people,
    "s a mask": _pace,
    "accepted": _count("accepted"),
    "fixed": _count("fixed"),
    "rejected": _count("rejected"),
    "undecided": _count("undecided"),
    "added": _count("added"),
    "prefilled": _count("prefilled"),
    "missed on validation images": _missed,
}

_MODELS: dict[str, Callable[[LedgerRow], str]] = {
    "round": _name,
    "precision of prefilled (95%)": _value("precision", ".3f"),
    "certified (bound)": _certified,
    "bad in its sample": _sample,
    "IoU of proposals": _value("proposal_iou", ".3f"),
    "validation IoU (95%)": _value("iou", ".3f"),
    "gain (95%)": _value("gain", "+.3f"),
    "segmenter": _kept,
    "machine's time": _machine,
}

_OPTIONAL = (
    *("stage", "undecided", "prefilled", "precision of prefilled (95%)"),
    *("missed on validation images", "certified (bound)", "bad in its sample"),
)
_EMPTY = {"–", "0"}
