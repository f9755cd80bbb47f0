"""People's work on a round: what they are asked for, how far they are, what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from curate.api.auditing import audit as make_audit
from curate.common.clock import Clock
from curate.common.progress import Progress
from curate.dataset.notes import count_noun
from curate.engine.round_record import RoundPeople
from curate.people.reviews import Reviews, has_reviews, open_reviews
from curate.people.reviews.current_plan import open_audit, read_added_masks
from curate.people.reviews.recorded_draws import DrawSettings
from curate.policy.policy import Policy
from curate.store.audit import StoredAudit
from curate.store.engine_folder import AUDIT, MASKS, PROPOSALS
from curate.store.people_overlay import by_people_sql
from curate.writing.writer import write

PROPOSED = "proposed in this round"
"""Why a proposal goes to people."""

REVIEW_ALL = Policy.from_dict(
    {
        "name": "round",
        "description": "Sends every proposal of a round of the engine to people.",
        "rule": [{"when": "true", "action": "review", "reason": PROPOSED, "always": True}],
    }
)
"""Policy of a round's audit: nothing is a mask that nobody has decided on."""

KIND = "errors"
"""Kind of the recorded draw: it is no random sample, and people see what judges a mask."""


def audit_proposals(
    folder: Path,
    pictures: Path,
    classes: Sequence[str],
    clock: Clock,
    progress: Progress | None,
    *,
    policy: Policy = REVIEW_ALL,
    search: bool = True,
) -> None:
    """Audit a round's proposals, and record that people are asked for all that go to review.

    Args:
        folder: The round's folder, with ``proposals.json``.
        pictures: Folder of the pictures.
        classes: Names that people can give masks.
        clock: What time it is.
        progress: Called with progress.
        policy: Which proposals go to people.
        search: Whether people search the images for objects without a mask, image by image; else
            they are asked about the proposals alone, in the order of their ids.
    """
    done = make_audit(
        folder / PROPOSALS,
        folder / AUDIT,
        format="coco",
        images=pictures,
        policy=policy,
        progress=progress,
    )
    audit = open_audit(done.path)
    reviews = open_reviews(audit, create=True, clock=clock)
    if len(reviews.draws()):
        return
    order = "image_id, mask_id" if search else "mask_id"
    masks = audit.query(f"select mask_id from masks where action = 'review' order by {order}")
    settings: DrawSettings = {"kind": KIND, "unit": "", "categories": list(classes)}
    if search:
        images = audit.query("select image_id from images order by image_id")["image_id"].tolist()
        settings["images"] = {"population": len(images), "drawn": len(images), "ids": images}
    reviews.record_draw(KIND, masks.astype({"mask_id": "int64"}), settings)


@dataclass(frozen=True)
class PeopleWork:
    """How far people are in a round.

    Attributes:
        record: What they did.
        unsettled: Proposals that people decided on and did not settle.
        nameless: Proposals of no class that people took without naming one.
    """

    record: RoundPeople
    unsettled: int
    nameless: int

    @classmethod
    def none(cls) -> PeopleWork:
        """Return the work on a round without images: there is none."""
        record: RoundPeople = {
            "images": 0,
            "checked": 0,
            "proposals": 0,
            "accepted": 0,
            "fixed": 0,
            "rejected": 0,
            "undecided": 0,
            "prefilled": 0,
            "added": 0,
            "proposal_iou": None,
            "seconds": 0.0,
            "untimed": 0,
            "classes": [],
        }
        return cls(record, 0, 0)

    @property
    def is_done(self) -> bool:
        """Whether every proposal has a decision, and every image was searched."""
        return not self.record["undecided"] and self.record["checked"] >= self.record["images"]

    def text(self) -> str:
        """Return the work that is left, as a clause."""
        record = self.record
        images = record["images"] - record["checked"]
        asked = record["proposals"] - record.get("prefilled", 0)
        some = f"{count_noun(images, 'image')} of {record['images']:,}"
        if not asked:
            return f"{some} to draw masks on: nothing is proposed"
        if self.nameless:
            some += f"; of no class yet: {self.nameless:,} of the masks that were taken"
        again = f" ({self.unsettled:,} not settled)" if self.unsettled else ""
        masks = f"{count_noun(record['undecided'], 'mask')} of {asked:,} to decide on{again}"
        return f"{masks}, {some} to search for missing masks"


def measure_people_work(
    folder: Path, standing: str = "false", refused: str = "false"
) -> PeopleWork:
    """Return how far people are in a round, from its audit.

    Args:
        folder: The round's folder, with an audit.
        standing: SQL of proposals that are masks without a decision of people: the prefilled, or
            what a certificate covers. By default people are asked about all.
        refused: SQL of proposals that are no masks, without a decision of people.
    """
    audit = open_audit(folder / AUDIT)
    images = set(audit.query("select image_id from images")["image_id"].tolist())
    proposals = int(audit.query("select count(*) as n from masks")["n"].iloc[0])
    prefilled, out = (_count_unasked(audit, sql) for sql in (standing, refused))
    outcomes = _count_outcomes(audit)
    kept, redrawn, renamed = (outcomes[name] for name in ("kept", "redrawn", "relabelled"))
    good = kept.masks + redrawn.masks + renamed.masks
    iou = (kept.masks + renamed.masks + redrawn.iou) / good if good else None
    added = read_added_masks(audit)
    removed, unsettled = outcomes["removed"].masks, outcomes["unsettled"].masks
    reviewed: set[int] = set()
    seconds = pd.Series(dtype="float64")
    if has_reviews(audit):
        reviews = open_reviews(audit)
        reviewed = set(reviews.reviewed_images()["image_id"].tolist())
        seconds = _list_seconds(reviews)
    record: RoundPeople = {
        "images": len(images),
        "checked": len(images & reviewed),
        "proposals": proposals,
        "accepted": kept.masks,
        "fixed": redrawn.masks + renamed.masks,
        "rejected": removed,
        "undecided": proposals - good - removed - prefilled - out,
        "prefilled": prefilled,
        "added": len(added),
        "proposal_iou": iou,
        "seconds": round(float(seconds.sum()), 3),
        "untimed": int(seconds.isna().sum()),
        "classes": _list_classes(audit, added),
    }
    return PeopleWork(record, unsettled, _count_nameless(audit))


def _count_unasked(audit: StoredAudit, wanted: str) -> int:
    """Return how many of some masks nobody has decided on."""
    sql = f"select count(*) as n from masks where {wanted} and not {by_people_sql()}"
    return int(audit.query(sql)["n"].iloc[0])


@dataclass(frozen=True)
class _Outcomes:
    masks: int = 0
    iou: float = 0.0


def _count_outcomes(audit: StoredAudit) -> dict[str, _Outcomes]:
    """Return how many proposals came to each outcome, and the sum of their IoUs."""
    names = ("kept", "redrawn", "relabelled", "removed", "unsettled")
    found = dict.fromkeys(names, _Outcomes())
    if not audit.has_people():
        return found
    rows = audit.query("select change, count(*) as n, sum(iou) as iou from people group by change")
    for change, n, iou in zip(*(rows[name].tolist() for name in rows.columns), strict=True):
        found[str(change)] = _Outcomes(int(n), 0.0 if iou is None or np.isnan(iou) else float(iou))
    return found


def _count_nameless(audit: StoredAudit) -> int:
    """Return how many proposals without a class people took without naming one."""
    if not audit.has_people():
        return 0
    found = audit.query(
        "select count(*) as n from people join masks using (mask_id) where change in "
        "('kept', 'redrawn') and people.category is null and masks.category is null"
    )
    return int(found["n"].iloc[0])


def _list_classes(audit: StoredAudit, added: pd.DataFrame) -> list[str]:
    """Return the names that people gave masks, in order."""
    names = set(added["category"].dropna().tolist())
    if audit.has_people():
        sql = "select distinct category from people where category is not null"
        names |= set(audit.query(sql)["category"].tolist())
    return sorted(str(name) for name in names)


def _list_seconds(reviews: Reviews) -> pd.Series[float]:
    """Return how long each decision, addition and search took, NaN where that is not known."""
    parts = [reviews.decisions(), reviews.missing(), reviews.reviewed_images()]
    values = [part["seconds"].astype("float64").to_numpy() for part in parts]
    return pd.Series(np.concatenate(values))


def write_round_masks(folder: Path, classes: Sequence[str]) -> None:
    """Write ``masks.json`` of a round: what people accepted, fixed and added.

    Args:
        folder: The round's folder, with an audit.
        classes: Names of the classes: an added mask without one is of the only one.
    """
    write(
        folder / AUDIT,
        folder / MASKS,
        drop=("review",),
        duplicates="drop",
        category=classes[0] if len(classes) == 1 else None,
        source=folder / PROPOSALS,  # wherever the project was moved to
        yes=True,
    )
