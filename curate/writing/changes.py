"""What becomes of each mask when a dataset is written: from the plan and people's decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from curate.curation.grammar import near
from curate.curation.queue import chosen, with_rejected
from curate.decisions.additions import added_masks
from curate.decisions.lookup import decoded, rows_of
from curate.errors import CallError
from curate.formats.edits import MASKS, OVERLAPS, Addition, Change, Edits
from curate.rle import Runs, area, cross_overlaps, overlaps
from curate.store import Audit
from curate.writing.form import FormLoss, form_loss

DUPLICATE_IOU = 0.8
"""An added mask that shares this much with another is taken for the same object; the default policy
asks people about masks from there on."""

DUPLICATES = ("keep", "drop")
"""What to do with an added mask whose object has a mask already."""

ROWS = (
    *("change", "mask_id", "source_key", "image_id", "file_name", "category", "category_before"),
    *("iou", "decided_by", "reviewers", "time", "draw_id", "reason"),
)
"""Columns of :attr:`Changes.rows`."""

_TOUCHED = """
select p.mask_id, m.source_key, m.image_id, m.file_name, {before} as category_before, m.height,
  m.width, m.reasons as reason, p.change, p.segmentation, p.category, p.iou, p.reviewers, p.time,
  p.draw_id
from people p join masks m on p.mask_id = m.mask_id
where p.change in ('redrawn', 'relabelled'{kept}) and not {gone} order by m.mask_id
"""

_REMOVED = """
select m.mask_id, m.source_key, m.image_id, m.file_name, m.category, m.reasons as reason,
  m.decided_by{people} from masks m {join} where {gone} order by m.mask_id
"""


_EMPTIED = """
select image_id from masks group by image_id having bool_and(coalesce({dropped}, false))
"""


@dataclass(frozen=True)
class Options:
    """How a dataset is written.

    Attributes:
        drop: Masks of which actions go beside the rejected ones: "review".
        masks: How new pixels are stored: "same", "polygon" or "rle"; see ``Edits``.
        overlap: "new" or "old": whose a pixel is that two masks claim where a pixel has one id
            only; None: refuse.
        duplicates: "keep" or "drop": what to do with an added mask whose object has a mask already;
            None: refuse.
        category: Category of added masks that have none.
        attributes: Note in the dataset itself what people did, where the format can.

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
        chosen(self.drop)
        for name, value, known in (
            ("masks", self.masks, MASKS),
            ("overlap", self.overlap, OVERLAPS),
            ("duplicates", self.duplicates, DUPLICATES),
        ):
            if value is not None and value not in known:
                raise CallError(f"there is no {name} {value!r}", f"--{name}", near(value, known))


@dataclass(frozen=True)
class Changes:
    """All that changes, for the format and for people.

    Attributes:
        edits: What the format is asked to do.
        rows: A row a mask that is removed, redrawn, relabelled or added: :data:`ROWS`. ``mask_id``
            and ``source_key`` are NA for added ones.
        masks: How many masks the dataset holds now.
        unsettled: Masks on which people have not settled; they stay as they are.
        left_out: Added masks that are left out because their object has a mask already.
        emptied: Images that lose all their masks and get none.
        form: What of it goes for reasons about form.
    """

    edits: Edits
    rows: pd.DataFrame
    masks: int
    unsettled: int
    left_out: int
    emptied: int
    form: FormLoss

    def count(self, change: str, decided_by: str | None = None) -> int:
        """Return how many masks a change happens to, by whoever decided or by one of them."""
        rows = self.rows[self.rows["change"] == change]
        return len(rows if decided_by is None else rows[rows["decided_by"] == decided_by])

    @property
    def masks_after(self) -> int:
        """How many masks the written dataset will hold."""
        return self.masks - len(self.edits.drop) + len(self.edits.add)


class DuplicateError(CallError):
    """An added mask covers an object that has a mask already: somebody has to say what counts."""


def changes(audit: Audit, options: Options) -> Changes:
    """Work out what changes in an audited dataset.

    Args:
        audit: The audit; all of it is taken to be of one moment (see ``Audit.pinned``).
        options: How it is to be written.

    Raises:
        CallError: An added mask has no place to go to.
        DuplicateError: An added mask is of an object that has one, and nothing says what to do.
    """
    dropped = chosen(with_rejected(options.drop))
    gone = f"m.{dropped}"
    people = audit.has_people()
    removed = _removed(audit, gone, people)
    touched = _touched(audit, gone, options) if people else pd.DataFrame()
    added, left_out = _added(audit, removed, touched, options)
    edits = Edits(
        drop=frozenset(removed["source_key"].astype(str)),
        change=_changes_of(touched, options),
        add=_additions_of(added, options),
        masks=options.masks,
        overlap=options.overlap,
    )
    rows = [_rows(frame) for frame in (removed, touched, added) if len(frame)]
    shown = pd.concat(rows, ignore_index=True) if rows else _rows(pd.DataFrame())
    numbers = audit.query("select count(*) as masks from masks")["masks"]
    unsettled = 0
    if people:
        query = "select count(*) as n from people where change = 'unsettled'"
        unsettled = int(audit.query(query)["n"].iloc[0])
    listed = shown[shown["change"] != "kept"].reset_index(drop=True)
    emptied = audit.query(_EMPTIED.format(dropped=dropped))["image_id"]
    if len(added):
        emptied = emptied[~emptied.isin(added["image_id"])]
    return Changes(
        edits,
        listed,
        int(numbers.iloc[0]),
        unsettled,
        left_out,
        len(emptied),
        form_loss(audit, dropped),
    )


def _removed(audit: Audit, gone: str, people: bool) -> pd.DataFrame:
    joined = "left join people p on p.mask_id = m.mask_id" if people else ""
    named = ", p.reviewers, p.time, p.draw_id" if people else ""
    found = audit.query(_REMOVED.format(people=named, join=joined, gone=gone))
    return found.assign(change="removed")


def _touched(audit: Audit, gone: str, options: Options) -> pd.DataFrame:
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
    found = found.assign(change=change, decided_by="person")
    return found if options.attributes else found[change != "kept"].reset_index(drop=True)


def _changes_of(touched: pd.DataFrame, options: Options) -> dict[str, Change]:
    return {
        str(row["source_key"]): Change(
            counts=None if row["segmentation"] is None else bytes(row["segmentation"]),
            category=row["category"],
            attributes=_attributes(row) if options.attributes else {},
        )
        for row in touched.to_dict("records")
    }


def _attributes(row: Mapping[Any, Any]) -> dict[str, str]:
    """Return what is noted beside a mask: the same names as in the provenance."""
    when = pd.Timestamp(row["time"]).isoformat(timespec="seconds") if row["time"] else ""
    noted = {"curate_change": row["change"], "curate_reviewers": row["reviewers"]}
    return {name: str(value) for name, value in (noted | {"curate_time": when}).items() if value}


def _additions_of(added: pd.DataFrame, options: Options) -> list[Addition]:
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


def _added(
    audit: Audit, removed: pd.DataFrame, touched: pd.DataFrame, options: Options
) -> tuple[pd.DataFrame, int]:
    """Return the masks to add, and how many are left out because their object has one."""
    added = added_masks(audit)
    if not len(added):
        return added, 0
    homeless = added[added["image_key"] == ""]
    if len(homeless):
        what = f"{len(homeless)} added masks have no place in the source"
        name = homeless["file_name"].iloc[0]
        do = "audit the dataset again: this audit does not say where its images stand"
        raise CallError(what, f"{audit.path}, image {name}", do)
    if options.category is not None:
        category = added["category"].where(added["category"].notna(), options.category)
        added = added.assign(category=category)
    twins = _twins(audit, added, removed, touched)
    added = added.assign(change="added", decided_by="person", reason="added by a person")
    named = added["reviewers"] != ""
    added["reason"] = added["reason"].where(~named, "added by " + added["reviewers"])
    if not len(twins) or options.duplicates == "keep":
        return added, 0
    if options.duplicates == "drop":
        return added.drop(index=twins.index).reset_index(drop=True), len(twins)
    name, other, iou = added["file_name"].loc[twins.index[0]], twins["other"].iloc[0], twins["iou"]
    raise DuplicateError(
        f"{len(twins)} added masks cover an object that has a mask already (the first: in {name}, "
        f"IoU {iou.iloc[0]:.2f} with {other})",
        str(audit.path),
        "say --duplicates drop to leave them out, or --duplicates keep to write them",
    )


def _twins(
    audit: Audit, added: pd.DataFrame, removed: pd.DataFrame, touched: pd.DataFrame
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
    return decoded(counts.where(counts.notna(), None).tolist(), *sizes)[0]


def _iou(shared: Any, first: Any, second: Any) -> Any:
    return shared / np.maximum(first + second - shared, 1)


def _rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with the columns :data:`ROWS`, NA where it has none."""
    if "category_before" in frame:
        category = frame["category"].where(frame["category"].notna(), frame["category_before"])
        frame = frame.assign(category=category)
    made = frame.reindex(columns=list(ROWS)).reset_index(drop=True)
    made = made.astype(dict.fromkeys(("mask_id", "image_id", "draw_id"), "Int64"))
    made["iou"] = pd.to_numeric(made["iou"], errors="coerce").astype("float64")
    made["time"] = pd.to_datetime(made["time"], utc=True)
    other = ("mask_id", "image_id", "draw_id", "iou", "time")
    return made.astype({name: "str" for name in ROWS if name not in other})
