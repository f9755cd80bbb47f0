"""Images and masks that a segmenter is trained on, of annotated datasets and of audits."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from curate.common import files
from curate.common.arrays import BoolArray, ByteArray
from curate.common.fingerprint import fingerprint
from curate.common.progress import Progress
from curate.dataset.table import MaskTable, concat
from curate.errors import CallError
from curate.formats.reading import dataset_path, detect
from curate.images import ImageFolder
from curate.networks.runtime.picture_keys import hash_pixels
from curate.networks.segmenter_training.segmenter_record import TrainingDataset
from curate.networks.training.accepted_masks import (
    LazyPicture,
    examine_pictures,
    open_images,
    read_accepted_masks,
    read_masks_by_people,
    size_of,
)
from curate.people.reviews.current_plan import open_audit
from curate.pipeline.crowd_masks import CROWD_SHARE, LEAST_CROWD
from curate.pipeline.inputs import Inputs
from curate.pipeline.source_images import own_files
from curate.rle import Runs, area, decode_counts
from curate.scorers.pictures import near_duplicates, picture_hash
from curate.store.audit import StoredAudit
from curate.store.audit_info import INFO

USABLE = ("ok", "duplicate_id", "bad_category")
"""Statuses of masks of a dataset that are trained on: their pixels are what somebody drew."""

_THUMBNAIL_PX = 32


@dataclass(frozen=True)
class MaskedImage:
    """An image that a segmenter is trained or tried on.

    Attributes:
        dataset: Position of its dataset among those given.
        image_id: Its id there.
        runs: Its masks, one or more, none empty.
        picture: Reads its pixels.
        key: Of the picture's pixels, see
            :func:`curate.networks.runtime.picture_keys.hash_pixels`; empty until it was read.
        group: Key of the first picture that shows what this one shows.
        categories: Name of each mask's category, None where it has none.
    """

    dataset: int
    image_id: int
    runs: Runs
    picture: LazyPicture
    key: str = ""
    group: str = ""
    categories: tuple[str | None, ...] = ()

    @property
    def file_name(self) -> str:
        """Name of the picture in its dataset."""
        return self.picture.file_name


@dataclass(frozen=True)
class TrainingMasks:
    """All that a segmenter may be trained on.

    Attributes:
        images: Those with masks and a picture that opens.
        datasets: Where they come from, and how much was left out.
    """

    images: list[MaskedImage]
    datasets: list[TrainingDataset]

    def fingerprint(self) -> str:
        """Return a hash of all pictures, groups and masks."""
        digest = hashlib.blake2b(digest_size=16)
        for image in self.images:
            digest.update(f"{image.dataset}:{image.image_id}:{image.key}:{image.group};".encode())
            digest.update(hash_runs(image.runs))
        return digest.hexdigest()


def hash_runs(runs: Runs) -> bytes:
    """Return a hash of masks."""
    digest = hashlib.blake2b(digest_size=16)
    for values in (runs.offsets, runs.starts, runs.ends):
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.digest()


def read_training_masks(
    sources: Sequence[Path | StoredAudit],
    images: Sequence[Path | None],
    format: str | None,
    progress: Progress | None,
) -> TrainingMasks:
    """Read datasets and audits, and look at their pictures.

    Args:
        sources: Paths of datasets and of audit directories, or audits.
        images: The folder of each one's pictures; None for its own.
        format: The format of the datasets; None to find it from the content.
        progress: Called with progress.

    Raises:
        CallError: One has no pictures.
        SourceError: One cannot be read.
        AuditError: An audit was interrupted.
    """
    found: list[MaskedImage] = []
    datasets = []
    for k, (source, folder) in enumerate(zip(sources, images, strict=True)):
        if isinstance(source, StoredAudit) or (source / INFO).is_file():
            some, record = _read_audit(k, source, folder)
        else:
            some, record = _read_dataset(k, source, folder, format)
        kept = _with_keys(some, progress)
        found += kept
        record["left_out"]["images_without_picture"] = len(some) - len(kept)
        record["images"], record["masks"] = len(kept), sum(len(image.runs) for image in kept)
        datasets.append(record)
    return TrainingMasks(_with_groups(found), datasets)


def _with_keys(images: Sequence[MaskedImage], progress: Progress | None) -> list[MaskedImage]:
    """Return the images whose pictures open, with their keys; hashes stand in ``group``."""
    looks = examine_pictures([image.picture for image in images], _look, progress)
    return [
        replace(image, key=look[0], group="" if look[1] is None else str(look[1]))
        for image, look in zip(images, looks, strict=True)
        if look is not None
    ]


def _look(pixels: ByteArray) -> tuple[str, int | None]:
    """Return the key of a picture, and a hash of what it shows."""
    small = Image.fromarray(pixels).convert("L")
    square = small.resize((_THUMBNAIL_PX, _THUMBNAIL_PX), Image.Resampling.BOX)
    return hash_pixels(pixels), picture_hash(np.asarray(square))


def _with_groups(images: Sequence[MaskedImage]) -> list[MaskedImage]:
    """Return the images, each with the key of the first that shows the same as its group."""
    keys = [image.key for image in images]
    shown = [int(image.group) if image.group else None for image in images]
    frame = pd.DataFrame(
        {"content_hash": pd.array(keys, "str"), "picture_hash": pd.array(shown, "Int64")},
        index=pd.RangeIndex(len(images), name="image_id"),
    )
    leaders = near_duplicates(frame)["near_duplicate_of"]
    return [
        replace(image, group=image.key if pd.isna(leader) else keys[int(leader)])
        for image, leader in zip(images, leaders, strict=True)
    ]


# --- an annotated dataset ------------------------------------------------------------------------


def _read_dataset(
    number: int, source: Path, images: Path | None, format: str | None
) -> tuple[list[MaskedImage], TrainingDataset]:
    """Return the images of a dataset that have masks, and its record."""
    path = dataset_path(source, format)
    inputs = Inputs(images=images).with_own_pictures(path, detect(path, format))
    options = inputs.read_options()
    chosen = detect(path, format, options)
    with files.scratch() as work:
        table = concat([chosen.load(path, part) for part in chosen.plan(path, work)])
    folder = _pictures_of(table, path, inputs)
    kept, counts = _choose_masks(table)
    rows = np.flatnonzero(kept)
    found = []
    by_image = pd.Series(rows).groupby(table.masks["image_id"].to_numpy()[rows]).indices
    names = table.images["file_name"]
    sizes = table.images[["height", "width"]]
    for image_id, places in sorted((int(str(k)), v) for k, v in by_image.items()):
        name = names.loc[image_id]
        size = size_of(*sizes.loc[image_id])
        picture = LazyPicture(folder, name if isinstance(name, str) else "", size)
        own = _names(table.masks["category"].iloc[rows[places]])
        runs = table.runs[rows[places]]
        found.append(MaskedImage(number, image_id, runs, picture, categories=own))
    counts["images_without_masks"] = len(table.images) - len(found)
    record = _make_record(source, "dataset", chosen.name, fingerprint(path), folder, counts)
    return found, record


def _pictures_of(table: MaskTable, path: Path, inputs: Inputs) -> ImageFolder:
    """Return the folder of a dataset's pictures.

    Raises:
        CallError: None is given, and it has none itself.
    """
    names = table.images["file_name"].to_numpy(object).tolist()
    if inputs.images is None:
        raise CallError("the dataset has no pictures beside it", str(path), "give --images DIR")
    folder = ImageFolder(inputs.images)
    if inputs.own_pictures is not None:
        return folder.exactly(names)
    return folder.knowing(folder.find_all(names, frozenset(own_files(path, table))))


def _choose_masks(table: MaskTable) -> tuple[BoolArray, Counter[str]]:
    """Return which masks of a dataset are trained on, and how many are not, by the reason."""
    masks = table.masks
    usable = masks["status"].isin(USABLE).to_numpy(bool) & (masks["area_px"].to_numpy() > 0)
    crowd = np.zeros(len(masks), bool)
    if "iscrowd" in masks.columns:
        crowd = masks["iscrowd"].to_numpy(np.int8, na_value=0) == 1
    if LEAST_CROWD <= crowd.sum() >= CROWD_SHARE * len(masks):
        crowd[:] = False  # nearly all masks are: then they are objects, as an audit takes them
    counts = Counter(crowd_regions=int(crowd.sum()), unusable_masks=int((~usable & ~crowd).sum()))
    return usable & ~crowd, counts


# --- an audit ------------------------------------------------------------------------------------


def _read_audit(
    number: int, source: Path | StoredAudit, images: Path | None
) -> tuple[list[MaskedImage], TrainingDataset]:
    """Return the images of an audit that have accepted masks, and its record."""
    audit = open_audit(source)
    folder = open_images(audit, images)
    columns = ["image_id", "height", "width", "segmentation", "category"]
    accepted = read_accepted_masks(audit, columns)
    masks = pd.concat([accepted, read_masks_by_people(audit)], ignore_index=True)
    heights, widths = (masks[side].to_numpy(np.int64) for side in ("height", "width"))
    runs = decode_counts([bytes(one) for one in masks["segmentation"]], heights, widths)[0]
    rows = np.flatnonzero(area(runs) > 0)
    by_image = pd.Series(rows).groupby(masks["image_id"].to_numpy(np.int64)[rows]).indices
    known = audit.query("select image_id, file_name, height, width from images order by image_id")
    found = []
    for row in known.itertuples(index=False):
        places = by_image.get(row.image_id)
        if places is not None:
            picture = LazyPicture(folder, str(row.file_name), size_of(row.height, row.width))
            own, named = runs[rows[places]], _names(masks["category"].iloc[rows[places]])
            image_id = int(str(row.image_id))
            found.append(MaskedImage(number, image_id, own, picture, categories=named))
    others = audit.query("select count(*) as n from masks where action != 'accept'")["n"][0]
    counts = Counter(images_without_masks=len(known) - len(found), not_accepted=int(others))
    about = audit.info.source
    print_of = str(about.get("fingerprint", ""))
    record = _make_record(
        audit.path, "audit", str(about.get("format", "")), print_of, folder, counts
    )
    return found, record


def _names(categories: pd.Series[Any]) -> tuple[str | None, ...]:
    """Return names of categories, None where there is none."""
    return tuple(one if isinstance(one, str) else None for one in categories)


def _make_record(
    path: Path,
    kind: str,
    format: str,
    fingerprint: str,
    folder: ImageFolder,
    left_out: Counter[str],
) -> TrainingDataset:
    return {
        "path": str(path.resolve()),
        "kind": kind,
        "format": format,
        "fingerprint": fingerprint,
        "pictures": str(folder.path),
        "images": 0,
        "masks": 0,
        "left_out": dict(left_out),
    }
