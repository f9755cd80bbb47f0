"""Changes to each mask, and added ones, when a dataset is written: from plan and decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from curate.common.ranges import DUPLICATES
from curate.dataset.notes import count_noun
from curate.errors import CallError, DuplicateError
from curate.formats.edits import MASKS, OVERLAPS, Addition, Change, Edits, Stored
from curate.people.queues.population import actions_sql, include_reject
from curate.people.reviews.current_plan import read_added_masks
from curate.people.reviews.outcomes import DISPUTED, NOT_DRAWN, NOT_DRAWN_REASON, join_names
from curate.policy.grammar import check_actions, check_choice
from curate.rle import Runs, area, cross_overlaps, overlaps
from curate.scorers.duplicates import DUPLICATE_IOU
from curate.store.audit import StoredAudit
from curate.store.people_overlay import DECIDED_BY_PEOPLE
from curate.store.rows_by_id import decode_masks, pair_iou, rows_of
from curate.writing.format_losses import FormLoss, form_loss

ROWS = (
    *("change", "mask_id", "source_key", "new_mask_id", "new_source_key", "image_id", "file_name"),
    *("category", "category_before", "iou", "stored_iou", "action", "decided_by", "reviewers"),
    *("time", "draw_id", "reason"),
)
"""Columns of :attr:`Changes.rows`."""

_WHO = "reviewers"
_NUMBERS = ("mask_id", "new_mask_id", "image_id", "draw_id")
_IOUS = ("iou", "stored_iou")

_TOUCHED = """
select p.mask_id, m.source_key, m.image_id, m.file_name, {before} as category_before, m.height,
  m.width, m.reasons as reason, m.action, p.change, p.segmentation, p.category, p.iou, p.reviewers,
  p.time, p.draw_id, p.decided_by
from people p join masks m on p.mask_id = m.mask_id
where p.change in ('redrawn', 'relabelled'{kept}) and not {gone} order by m.mask_id
"""

_REMOVED = """
select m.mask_id, m.source_key, m.image_id, m.file_name, m.category, m.reasons as reason,
  m.action, m.decided_by{people} from masks m {join} where {gone} order by m.mask_id
"""

_CUT = """
select mask_id, source_key, image_id, file_name, category, height, width, segmentation, action,
  decided_by, reasons as reason
from masks where source_key in (select unnest(?))
"""

_EMPTIED = """
select image_id from masks group by image_id having bool_and(coalesce({dropped}, false))
"""

_WAITING = """
select m.mask_id, m.source_key, m.file_name, p.reviewers, m.reasons as reason,
  case when starts_with(m.reasons, ?) then ? else ? end as why
from people p join masks m on p.mask_id = m.mask_id
where p.change = 'unsettled' and not {gone} order by m.mask_id
"""


@dataclass(frozen=True)
class WriteOptions:
    """Options of writing a dataset; each is an argument of :func:`curate.write`.

    Raises:
        CallError: There is no such option.
    """

    drop: Sequence[str] = ("reject",)
    masks: str = "same"
    overlap: str | None = None
    duplicates: str | None = None
    category: str | None = None
    attributes: bool = False

    def __post_init__(self) -> None:
        check_actions(self.drop, "--drop")
        for name, value, known in (
            ("masks", self.masks, MASKS),
            ("overlap", self.overlap, OVERLAPS),
            ("duplicates", self.duplicates, DUPLICATES),
        ):
            check_choice(value, f"--{name}", known)


@dataclass(frozen=True)
class Changes:
    """All that changes, for the format and for people.

    Attributes:
        edits: What the format is asked to do.
        rows: A row a mask that is removed, redrawn, relabelled, added or cut (it loses pixels to
            one of these): :data:`ROWS`. ``mask_id`` and ``source_key`` are NA for added ones, which
            have ``new_mask_id`` and ``new_source_key`` once they are written. ``stored_iou`` is
            that of what is stored with what was meant, NaN where these are equal.
        waiting: A row a mask on which people have not settled and which stays as it is:
            ``mask_id``, ``source_key``, ``file_name``, ``reviewers``, ``reason``, and ``why``:
            one of :data:`~curate.people.reviews.outcomes.UNSETTLED_KINDS`.
        masks: How many masks the dataset holds now.
        left_out: Added masks that are left out because their object has a mask already.
        emptied: Images that lose all their masks and get none.
        form: What of it goes for format errors.
        renumbered: Ids of masks that have another one in what is written, by that in the audit.
    """

    edits: Edits = field(repr=False)
    rows: pd.DataFrame = field(repr=False)
    waiting: pd.DataFrame = field(repr=False)
    masks: int
    left_out: int
    emptied: int
    form: FormLoss
    renumbered: Mapping[int, int] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        """Return how many masks each change happens to, each mask under one heading.

        ``redrawn`` are those with a new category too, ``redrawn_and_relabelled`` says how many.
        """
        change, why = self.rows["change"], self.waiting["why"]
        removed = self.rows[change == "removed"]
        rejected = removed["action"] == "reject"
        by_people = removed["decided_by"].isin(DECIDED_BY_PEOPLE)
        both = int((change == "redrawn and relabelled").sum())
        return {
            "removed_by_policy": int((rejected & ~by_people).sum()),
            "removed_by_people": int((rejected & by_people).sum()),
            "removed_for_review": int((removed["action"] == "review").sum()),
            "removed_accepted": int((removed["action"] == "accept").sum()),
            "redrawn": int((change == "redrawn").sum()) + both,
            "redrawn_and_relabelled": both,
            "relabelled": int((change == "relabelled").sum()),
            "added": int((change == "added").sum()),
            "cut": int((change == "cut").sum()),
            "unsettled": len(why),
            "disputed": int((why == DISPUTED).sum()),
            "not_drawn": int((why == NOT_DRAWN).sum()),
            "added_left_out": self.left_out,
        }

    @property
    def masks_after(self) -> int:
        """How many masks the written dataset will hold."""
        return self.masks - len(self.edits.drop) + len(self.edits.add)


def changes(audit: StoredAudit, options: WriteOptions, *, agreed: bool = False) -> Changes:
    """Work out what changes in an audited dataset.

    Args:
        audit: The audit; all of it is taken to be of one moment (see ``Audit.pin``).
        options: How it is to be written.
        agreed: Whether masks with format errors are to go, however many they are.

    Raises:
        CallError: An added mask has no place to go to.
        DuplicateError: An added mask is of an object that has one, and nothing says what to do.
    """
    dropped = actions_sql(include_reject(options.drop))
    gone = f"m.{dropped}"
    people = audit.has_people()
    removed = _find_removed(audit, gone, people)
    touched = _find_changed(audit, gone, options) if people else pd.DataFrame()
    added, left_out = find_new(audit, removed, touched, options)
    edits = Edits(
        drop=frozenset(removed["source_key"].astype(str)),
        change=_changes_of(touched, options),
        add=_additions_of(added, options),
        masks=options.masks,
        overlap=options.overlap,
    )
    rows = [to_rows(frame) for frame in (removed, touched, added) if len(frame)]
    shown = pd.concat(rows, ignore_index=True) if rows else to_rows(pd.DataFrame())
    listed = shown[shown["change"] != "kept"].reset_index(drop=True)
    numbers = audit.query("select count(*) as masks from masks")["masks"]
    waiting = _find_waiting(audit, gone) if people else pd.DataFrame(columns=["why"])
    emptied = audit.query(_EMPTIED.format(dropped=dropped))["image_id"]
    if len(added):
        emptied = emptied[~emptied.isin(added["image_id"])]
    total, lost = int(numbers.iloc[0]), form_loss(audit, dropped, agreed=agreed)
    return Changes(edits, listed, waiting, total, left_out, len(emptied), lost)


def with_stored(audit: StoredAudit, found: Changes, stored: Stored) -> Changes:
    """Return the changes with the IoU of masks that a format could not hold to the pixel."""
    if not stored.held:
        return found
    rows = found.rows.copy()
    keys = [key for key in stored.held if isinstance(key, str)]
    frame = audit.query(_CUT, [keys]).assign(change="cut").set_index("source_key", drop=False)
    records = {str(row["source_key"]): row for row in frame.to_dict("records")}
    added = np.flatnonzero((rows["change"] == "added").to_numpy(np.bool_))
    cut = []
    for key, counts in stored.held.items():
        if isinstance(key, int):
            one = found.edits.add[key]
            at, meant, size = int(added[key]), one.counts, (one.height, one.width)
        else:
            row, change = records[key], found.edits.change.get(key)
            new = None if change is None else change.counts
            meant = bytes(row["segmentation"]) if new is None else new
            size = int(row["height"]), int(row["width"])
            here = np.flatnonzero((rows["source_key"] == key).to_numpy(np.bool_))
            at = int(here[0]) if len(here) else -1
        iou, text = _loss(meant, counts, size)
        if at < 0:
            cut.append(
                frame.loc[[key]].assign(stored_iou=iou, reason=_append_reason(row["reason"], text))
            )
        else:
            rows.loc[at, "stored_iou"] = iou
            rows.loc[at, "reason"] = _append_reason(rows.loc[at, "reason"], text)
    made = [to_rows(one) for one in cut]
    return replace(found, rows=pd.concat([rows, *made], ignore_index=True) if made else rows)


def _loss(meant: bytes, held: bytes, size: tuple[int, int]) -> tuple[float, str]:
    """Return the IoU of what is stored with what was meant, and how many pixels it lacks."""
    height, width = (np.array([side], np.int64) for side in size)
    a, b = (decode_masks([counts], height, width)[0] for counts in (meant, held))
    iou, before, after = float(pair_iou(a, b)[0]), int(area(a)[0]), int(area(b)[0])
    return iou, f"other masks have {before - after:,} of its {before:,} pixels (IoU {iou:.4f})"


def _append_reason(reason: Any, text: str) -> str:
    return f"{reason}; {text}" if isinstance(reason, str) and reason else text


def _find_waiting(audit: StoredAudit, gone: str) -> pd.DataFrame:
    found = audit.query(_WAITING.format(gone=gone), [NOT_DRAWN_REASON, NOT_DRAWN, DISPUTED])
    return found.assign(reviewers=to_name_lists(found[_WHO]))


def _find_removed(audit: StoredAudit, gone: str, people: bool) -> pd.DataFrame:
    joined = "left join people p on p.mask_id = m.mask_id" if people else ""
    named = ", p.reviewers, p.time, p.draw_id" if people else ""
    found = audit.query(_REMOVED.format(people=named, join=joined, gone=gone))
    return found.assign(change="removed")


def _find_changed(audit: StoredAudit, gone: str, options: WriteOptions) -> pd.DataFrame:
    """Return the masks that people redrew or relabelled; with attributes all that they decided."""
    kept = ", 'kept'" if options.attributes else ""
    before = "m.category"
    if "category_id" in set(audit.query("describe masks")["column_name"]):
        before = f"coalesce({before}, cast(m.category_id as varchar))"  # it is named by its number
    found = audit.query(_TOUCHED.format(kept=kept, gone=gone, before=before))
    for name in ("segmentation", "category"):
        found[name] = found[name].astype(object).where(found[name].notna(), None)
    found.loc[(found["category"] == found["category_before"]).fillna(False), "category"] = None
    new_pixels, new_name = found["segmentation"].notna(), found["category"].notna()
    change = found["change"].where(~(new_pixels & new_name), "redrawn and relabelled")
    change = change.where(new_pixels | new_name, "kept")  # relabelled to what it was
    found = found.assign(change=change)
    return found if options.attributes else found[change != "kept"].reset_index(drop=True)


def _changes_of(touched: pd.DataFrame, options: WriteOptions) -> dict[str, Change]:
    return {
        str(row["source_key"]): Change(
            counts=None if row["segmentation"] is None else bytes(row["segmentation"]),
            category=row["category"],
            attributes=_attributes(row) if options.attributes else {},
        )
        for row in touched.to_dict("records")
    }


def _attributes(row: Mapping[Any, Any]) -> dict[str, str]:
    """Return the attributes of a mask: the same names as in the provenance."""
    when = pd.Timestamp(row["time"]).isoformat(timespec="seconds") if row["time"] else ""
    noted = {"curate_change": row["change"], "curate_reviewers": ", ".join(row["reviewers"])}
    return {name: str(value) for name, value in (noted | {"curate_time": when}).items() if value}


def _additions_of(added: pd.DataFrame, options: WriteOptions) -> list[Addition]:
    return [
        Addition(
            image_key=str(row["image_key"]),
            counts=bytes(row["segmentation"]),
            height=int(row["height"]),
            width=int(row["width"]),
            category=row["category"],
            attributes=_attributes(row) if options.attributes else {},
        )
        for row in added.to_dict("records")
    ]


def to_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with the columns :data:`ROWS`, NA where it has none."""
    if "category_before" in frame:
        category = frame["category"].where(frame["category"].notna(), frame["category_before"])
        frame = frame.assign(category=category)
    made = frame.reindex(columns=list(ROWS)).reset_index(drop=True)
    made = made.astype(dict.fromkeys(_NUMBERS, "Int64"))
    for name in _IOUS:
        made[name] = pd.to_numeric(made[name], errors="coerce").astype("float64")
    made["time"] = pd.to_datetime(made["time"], utc=True)
    made[_WHO] = to_name_lists(made[_WHO])
    other = (*_NUMBERS, *_IOUS, "time", _WHO)
    return made.astype({name: "str" for name in ROWS if name not in other})


def to_name_lists(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return a column of lists of names, as Arrow and DuckDB give them, as plain lists."""
    lists = [list(one) if isinstance(one, list | tuple | np.ndarray) else [] for one in column]
    return pd.Series(lists, column.index, object)


def find_new(
    audit: StoredAudit, removed: pd.DataFrame, touched: pd.DataFrame, options: WriteOptions
) -> tuple[pd.DataFrame, int]:
    """Return the masks to add, and how many are left out because their object has one.

    Raises:
        CallError: An added mask has no place to go to.
        DuplicateError: An added mask is of an object that has one, and nothing says what to do.
    """
    added = read_added_masks(audit)
    if not len(added):
        return added, 0
    homeless = added[added["image_key"] == ""]
    if len(homeless):
        some = count_noun(len(homeless), "added mask")
        what = f"{some} without a place in the source"
        name = homeless["file_name"].iloc[0]
        do = "audit the dataset again: this audit does not record where its images are"
        raise CallError(what, f"{audit.path}, image {name}", do)
    if options.category is not None:
        category = added["category"].where(added["category"].notna(), options.category)
        added = added.assign(category=category)
    twins = _twins(audit, added, removed, touched)
    reasons = [f"added by {join_names(list(names))}" for names in added["reviewers"]]
    added = added.assign(change="added", decided_by="person", reason=reasons)
    if not len(twins) or options.duplicates == "keep":
        return added, 0
    if options.duplicates == "drop":
        return added.drop(index=twins.index).reset_index(drop=True), len(twins)
    name, other, iou = added["file_name"].loc[twins.index[0]], twins["other"].iloc[0], twins["iou"]
    some = count_noun(len(twins), "added mask")
    raise DuplicateError(
        f"{some} of an object that has a mask already (the first: in {name}, "
        f"IoU {iou.iloc[0]:.2f} with {other})",
        str(audit.path),
        "say --duplicates drop to leave them out, or --duplicates keep to write them",
    )


def _twins(
    audit: StoredAudit, added: pd.DataFrame, removed: pd.DataFrame, touched: pd.DataFrame
) -> pd.DataFrame:
    """Return the added masks whose object has a mask: index of ``added``, ``other``, ``iou``."""
    columns = ("image_id", "height", "width", "segmentation")
    ids = np.unique(added["image_id"].to_numpy(np.int64))
    there = rows_of(audit, "masks", "image_id", ids, ("mask_id", *columns)).set_index("mask_id")
    there = there[~there.index.isin(removed["mask_id"])]
    if len(touched):
        new = touched.set_index("mask_id")["segmentation"].dropna()
        new = new[new.index.isin(there.index)]
        segmentation = there["segmentation"].astype(object)
        segmentation.loc[new.index] = new
        there = there.assign(segmentation=segmentation)
    own, theirs = _runs(added), _runs(there)
    groups = added["image_id"].to_numpy(np.int64)
    pairs = cross_overlaps(own, groups, theirs, there["image_id"].to_numpy(np.int64))
    iou = _iou(pairs.intersection, area(own)[pairs.first], area(theirs)[pairs.second])
    names = "mask " + pd.Series(there.index.to_numpy(np.int64)[pairs.second]).astype(str)
    first = pd.DataFrame({"at": pairs.first, "other": names, "iou": iou})
    same = overlaps(own, groups)  # of two added masks of one object, the later one is the twin
    iou = _iou(same.intersection, area(own)[same.first], area(own)[same.second])
    later = np.maximum(same.first, same.second)
    second = pd.DataFrame({"at": later, "other": "another added mask", "iou": iou})
    found = pd.concat([first, second])
    found = found[found["iou"] >= DUPLICATE_IOU].sort_values(["at", "iou"], ascending=[True, False])
    return found.drop_duplicates("at").set_index("at")


def _runs(frame: pd.DataFrame) -> Runs:
    sizes = (frame[side].to_numpy(np.int64) for side in ("height", "width"))
    counts = frame["segmentation"].astype(object)
    return decode_masks(counts.where(counts.notna(), None).tolist(), *sizes)[0]


def _iou(shared: Any, first: Any, second: Any) -> Any:
    return shared / np.maximum(first + second - shared, 1)
