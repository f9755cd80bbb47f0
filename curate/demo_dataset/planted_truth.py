"""Ground truth of a demo dataset, and what an audit found of it, by kind of defect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pandas as pd

from curate.common import files
from curate.demo_dataset.annotation import DemoAnnotation, iou
from curate.demo_dataset.defects import BY_NAME, KINDS, ODD_NAME
from curate.demo_dataset.demo_writing import box_of, counts_string
from curate.errors import SourceError

MASK_FIELDS = (
    *("mask_id", "image_id", "category", "kind", "detail", "partner", "true_iou"),
    *("object_x", "object_y", "object_w", "object_h", "object_category", "object_counts"),
)
IMAGE_FIELDS = ("file_name", "kind")
MISSING_FIELDS = ("image_id", "category", "x", "y", "w", "h", "counts")


FLAGGED = ("review", "reject")

OBJECT = ["image_id", "object_x", "object_y", "object_w", "object_h"]

Reported = list[tuple[Any, tuple[float, ...]]]
"""Places as image id and box, XYWH."""

COLUMNS = ["kind", "title", "planted", "found", "rejected", "explained", "rank"]


@dataclass(frozen=True)
class DemoTruth:
    """A demo dataset and what is wrong in it.

    Attributes:
        path: Its folder.
        masks: Index ``source_key`` (``instances.json#/annotations/17``); ``mask_id`` as written,
            ``image_id``, ``category``, ``kind`` (empty for a sound mask), ``detail``, ``partner``
            (key of the mask that it doubles, cuts or swallows, or empty), ``true_iou`` with the
            object (0 where there is none), the object's box ``object_x``, ``object_y``,
            ``object_w``, ``object_h`` (zeros where there is none), its right name
            ``object_category``, and its pixels ``object_counts`` (COCO compressed counts).
        images: Index ``image_id``; ``file_name`` and ``kind`` (empty for a sound picture).
        missing: Objects without a mask: ``image_id``, ``category``, box ``x``, ``y``, ``w``, ``h``,
            pixels ``counts``.
    """

    path: Path
    masks: pd.DataFrame
    images: pd.DataFrame
    missing: pd.DataFrame

    @property
    def source(self) -> Path:
        """The COCO file to audit."""
        return self.path / "instances.json"

    @property
    def pictures(self) -> Path:
        """The folder of pictures, for ``--images``."""
        return self.path / "images"

    @property
    def detections(self) -> Path:
        """A detector's boxes, for ``--detections``."""
        return self.path / "detections.json"

    @property
    def second_annotator(self) -> Path:
        """Another annotator's masks, for ``--compare second=FILE``."""
        return self.path / "second_annotator.json"

    @property
    def soft_masks(self) -> Path:
        """Logits, one file an image, for ``--soft-masks``."""
        return self.path / "soft_masks"


def write_truth(
    path: Path,
    annotations: Sequence[DemoAnnotation],
    ids: Sequence[int],
    dropped: Sequence[DemoAnnotation],
    pictures: dict[int, tuple[str, str]],
) -> None:
    """Write ``truth.json``.

    Args:
        path: Folder of the demo.
        annotations: In the order of the file.
        ids: Their written ids.
        dropped: Objects without a mask.
        pictures: Image id to file name and kind.
    """
    keys = [f"instances.json#/annotations/{k}" for k in range(len(annotations))]
    masks = {}
    for key, number, a in zip(keys, ids, annotations, strict=True):
        partner = keys[a.partner] if a.partner >= 0 else ""
        true = round(iou(a.mask, a.true), 4)
        values = (number, a.image_id, a.category, a.kind, a.detail, partner, true, *box_of(a.true))
        values = (*values, a.right_category, counts_string(a.true))
        masks[key] = dict(zip(MASK_FIELDS, values, strict=True))
    missing = []
    for a in dropped:
        values = (a.image_id, a.category, *box_of(a.true), counts_string(a.true))
        missing.append(dict(zip(MISSING_FIELDS, values, strict=True)))
    images = {str(i): dict(zip(IMAGE_FIELDS, v, strict=True)) for i, v in pictures.items()}
    whole = {"masks": masks, "images": images, "missing": missing}
    files.write_bytes(path / "truth.json", orjson.dumps(whole, option=orjson.OPT_INDENT_2))


def load_truth(path: Path) -> DemoTruth:
    """Read the truth of a demo dataset that was made before.

    Raises:
        SourceError: The folder has no readable ``truth.json``.
    """
    try:
        whole = orjson.loads((path / "truth.json").read_bytes())
        masks = pd.DataFrame.from_dict(whole["masks"], orient="index", columns=list(MASK_FIELDS))
        images = pd.DataFrame.from_dict(whole["images"], orient="index", columns=list(IMAGE_FIELDS))
        missing = pd.DataFrame(whole["missing"], columns=list(MISSING_FIELDS))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(
            "it holds no demo's truth.json", str(path), "make a demo there first"
        ) from error
    images.index = images.index.astype("int64").rename("image_id")
    return DemoTruth(path, masks.rename_axis("source_key"), images, missing)


def evaluate_defects(audit: Any, truth: DemoTruth) -> pd.DataFrame:
    """Compare an audit of the demo with what was planted in it.

    Args:
        audit: An :class:`~curate.store.audit.StoredAudit` of ``truth.source``, or anything with its
            ``masks`` and ``images``.
        truth: What was planted.

    Returns:
        A row a kind of defect, then three rows of sound masks: ``kind``, ``title``, ``planted``;
        ``found`` (in review or rejected; for pictures and objects without a mask, reported),
        ``rejected``; ``explained`` (found, with a reason that is about this defect; missing where
        the kind has no reason of its own); ``rank`` (median place in the ranking, 1 is first).
        Of a twin either copy counts, as nobody can say which is the second. ``frame.attrs``:
        ``masks``, ``bad`` (planted bad masks) and ``bad_first`` (how many of them stand in the
        first ``bad`` places), ``missing_reported`` (places where a mask is said to be missing)
        and ``missing_rightly`` (those where an object has no mask, or only a planted bad one).
    """
    masks = _join_truth(audit, truth)
    images = audit.images()
    reported = _read_reported(images)
    rows = [
        _mask_row(kind.name, kind.title, masks)
        if kind.level == "mask"
        else _missing_row(reported, truth)
        if kind.level == "missing"
        else _image_row(kind.name, images, truth)
        for kind in KINDS
    ]
    rows += [
        _row(ODD_NAME, "not wrong: category with markup", masks[masks["kind"] == ODD_NAME]),
        *_sound_rows(masks, truth),
    ]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    for column in ("found", "rejected", "explained"):
        frame[column] = frame[column].astype("Int64")
    bad = masks[masks["kind"].isin([k.name for k in KINDS])]
    frame.attrs = {
        "masks": len(masks),
        "bad": len(bad),
        "bad_first": int((bad["rank"] <= len(bad)).sum()),
        "missing_reported": len(reported),
        "missing_rightly": _lacks_a_mask(reported, truth),
    }
    return frame


def _join_truth(audit: Any, truth: DemoTruth) -> pd.DataFrame:
    """Return the planted truth joined with the plan of the audit; index ``source_key``.

    Added columns: ``status``, ``action``, ``reasons`` ("" where the audit lacks the mask),
    ``rank``, ``flagged`` (bool) and ``words`` (reasons and status as one text).
    """
    columns = ["source_key", "status", "action", "reasons", "rank"]
    said = audit.masks(columns)
    said = said.set_index(said["source_key"].astype(str))[columns[1:]]
    joined = truth.masks.join(said)
    texts = joined[["status", "action", "reasons"]].astype(object)
    joined[texts.columns] = texts.where(texts.notna(), "")
    joined["flagged"] = joined["action"].isin(FLAGGED)
    joined["words"] = joined["reasons"] + " " + joined["status"].replace("ok", "")
    return joined


def _row(kind: str, title: str, masks: pd.DataFrame) -> list[Any]:
    rejected = int((masks["action"] == "reject").sum())
    rank = float(masks["rank"].median()) if len(masks) else float("nan")
    return [kind, title, len(masks), int(masks["flagged"].sum()), rejected, None, rank]


def _mask_row(name: str, title: str, masks: pd.DataFrame) -> list[Any]:
    own = masks[masks["kind"] == name]
    if name == "duplicate_twin":
        own = _better_of_twins(own, masks)
    row = _row(name, title, own)
    pattern = BY_NAME[name].reason
    if pattern:
        right = own["words"].str.contains(pattern, case=False, regex=True)
        row[COLUMNS.index("explained")] = int((right & own["flagged"]).sum())
    return row


def _better_of_twins(own: pd.DataFrame, masks: pd.DataFrame) -> pd.DataFrame:
    """Return, for each planted twin, whichever of the two the audit found."""
    first = masks.reindex(own["partner"]).set_axis(own.index)
    other = first["flagged"].fillna(False).astype(bool) & ~own["flagged"]
    told = ["action", "reasons", "rank", "flagged", "words"]
    return pd.concat([own.loc[~other, told], first.loc[other, told]])


def _image_row(name: str, images: pd.DataFrame, truth: DemoTruth) -> list[Any]:
    kind = BY_NAME[name]
    planted = truth.images.index[truth.images["kind"] == name]
    own = images.reindex(planted)
    explained = None
    if name == "image_near_duplicate":
        found = _has_alike(images, planted)
    else:
        words = own["status"].astype(object).fillna("ok").astype(str)
        found = int((words != "ok").sum())
        explained = int(words.str.contains(kind.reason, regex=True).sum())
    return [name, kind.title, len(planted), found, None, explained, float("nan")]


def _has_alike(images: pd.DataFrame, planted: pd.Index[Any]) -> int:
    """Return how many of the images are said to be near another, or another near them."""
    if "near_duplicate_of" not in images.columns:
        return 0
    alike = images["near_duplicate_of"].dropna()
    return int(planted.isin([*alike.index, *alike.astype("int64")]).sum())


def _missing_row(reported: Reported, truth: DemoTruth) -> list[Any]:
    """Count the objects without a mask that the audit points at with a box."""
    lost = truth.missing[["image_id", *"xywh"]].itertuples(index=False)
    found = sum(_is_reported(reported, image, box) for image, *box in lost)
    title = BY_NAME["missing"].title
    return ["missing", title, len(truth.missing), found, None, None, float("nan")]


def _read_reported(images: pd.DataFrame) -> Reported:
    """Return the boxes where the audit says that a mask is missing."""
    if "missing_detections_json" not in images.columns:
        return []
    said = images["missing_detections_json"].dropna()
    return [
        (image, tuple(place["bbox"]))
        for image, text in said.items()
        for place in orjson.loads(text or "[]")
        if place.get("counted", True)
    ]


def _is_reported(reported: Reported, image: Any, box: Sequence[float]) -> bool:
    return any(i == image and _box_iou(b, box) >= 0.5 for i, b in reported)


def _lacks_a_mask(reported: Reported, truth: DemoTruth) -> int:
    """Return how many reported places show an object without any mask, or with a bad one."""
    bad = truth.masks[truth.masks["kind"].isin(list(BY_NAME)) & (truth.masks["object_w"] > 0)]
    objects = [(i, tuple(box)) for i, *box in bad[OBJECT].itertuples(index=False)]
    lost = truth.missing[["image_id", *"xywh"]].itertuples(index=False)
    objects += [(i, tuple(box)) for i, *box in lost]
    return sum(_is_reported(objects, image, box) for image, box in reported)


def _box_iou(a: Sequence[float], b: Sequence[float]) -> float:
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(w, 0.0) * max(h, 0.0)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def _sound_rows(masks: pd.DataFrame, truth: DemoTruth) -> list[list[Any]]:
    """Return the rows of sound masks: free-standing, beside a planted one, on spoilt pictures."""
    sound = masks[masks["kind"] == ""]
    spoilt = truth.images.index[truth.images["kind"] != ""]
    on_spoilt = sound["image_id"].isin(spoilt)
    beside = sound.index.isin(masks.loc[masks["partner"] != "", "partner"])
    return [
        _row("sound", "sound masks", sound[~on_spoilt & ~beside]),
        _row("sound_beside", "sound, but doubled or cut by a planted one", sound[beside]),
        _row("sound_spoilt_picture", "sound, on a damaged picture", sound[on_spoilt & ~beside]),
    ]


def as_text(frame: pd.DataFrame) -> str:
    """Return :func:`evaluate_defects`'s frame as a plain table with a closing summary."""
    lines = [f"{'planted':<45}{'':>4}{'found':>7}{'rejected':>10}{'reason fits':>13}{'rank':>7}"]
    for row in frame.to_dict("records"):
        cells = [_cell(row[c]) for c in ("found", "rejected", "explained", "rank")]
        lines.append(
            f"{row['title']:<45}{row['planted']:>4}"
            f"{cells[0]:>7}{cells[1]:>10}{cells[2]:>13}{cells[3]:>7}"
        )
        if row["kind"] == KINDS[-1].name:
            lines.append("")
    return "\n".join([*lines, "", *_summary(frame)])


def _cell(value: Any) -> str:
    return "-" if pd.isna(value) else f"{value:.0f}"


def _summary(frame: pd.DataFrame) -> list[str]:
    kinds = {k.name for k in KINDS if k.level == "mask"}
    bad = frame[frame["kind"].isin(kinds)]
    sound = frame[frame["kind"] == "sound"].iloc[0]
    unseen = bad.loc[bad["found"] == 0, "title"].tolist()
    facts = frame.attrs
    share = sound["found"] / sound["planted"] if sound["planted"] else 0.0
    lines = [
        f"Of {bad['planted'].sum()} bad masks, {bad['found'].sum()} are in review or rejected; "
        f"of {sound['planted']} sound ones {sound['found']} ({share:.1%}).",
        f"Of the first {facts['bad']} of {facts['masks']} masks in the ranking, "
        f"{facts['bad_first']} are bad ones.",
        f"A mask is said to be missing in {facts['missing_reported']} places; in "
        f"{facts['missing_rightly']} of them an object has none, or only a bad one.",
        "rank: median place in the ranking, 1 is first.",
    ]
    if unseen:
        lines.append(f"Not found: {', '.join(unseen)}.")
    return lines
