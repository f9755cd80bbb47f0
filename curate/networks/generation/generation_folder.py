"""Directory of a generation: layout, atomic writing of each image's results, resuming.

    OUT/
      generation.json             recipe, segmenter, counts by reason, timings, pictures not opened
      NAME.json                   SA-1B's JSON of one image
      candidates/images.parquet   the images: id, file name, name of the JSON
      candidates/part-*.parquet   one image's candidates, with the reason why each is a mask or not

An image is done when its part is there, with the digest of its selection; the part is written last.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any, TypedDict, cast

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from curate import rle
from curate.common import files
from curate.common.arrays import AnyArray
from curate.common.json_values import JsonObject
from curate.common.own_records import (
    DamagedRecord,
    check_directory,
    describe_differences,
    read_record,
)
from curate.errors import AuditError, SourceError
from curate.formats.sa1b.sa1b_files import ABOUT, CANDIDATES, document
from curate.networks.generation.mask_choice import REASONS, SelectedMasks
from curate.networks.generation.recipe import Recipe
from curate.store.audit_files import write_json, writing

SCHEMA_VERSION = 1

_META = b"curate"
_REMOVED = "thrown_away"
_NAME_BYTES = 120


@dataclass(frozen=True)
class InputImage:
    """An image to generate masks for.

    Attributes:
        image_id: Its number, from 1.
        file_name: Where it is under the folder of images, with ``/``.
        document: Name of its JSON.
    """

    image_id: int
    file_name: str
    document: str


@dataclass(frozen=True)
class ImageSummary:
    """Metadata of an image's part.

    Attributes:
        choice: Digest of the settings by which masks were chosen.
        height: Of the image, in pixels.
        width: Of the image, in pixels.
        counts: Candidates by reason.
        network_s: Seconds in the network.
        rest_s: Seconds in all that follows it.
    """

    choice: str
    height: int
    width: int
    counts: dict[str, int]
    network_s: float
    rest_s: float


def hash_selection(recipe: Recipe) -> str:
    """Return a digest of the settings of selection."""
    return sha256(orjson.dumps(recipe.selection_settings, option=orjson.OPT_SORT_KEYS)).hexdigest()[
        :16
    ]


def part_path(out: Path, picture: InputImage) -> Path:
    """Return the path of an image's candidates."""
    return out / CANDIDATES / f"part-{picture.image_id:06d}.parquet"


def read_summary(out: Path, picture: InputImage) -> ImageSummary | None:
    """Return the summary of an image, None where it is not done."""
    path = part_path(out, picture)
    if not path.exists():
        return None
    with _part_errors(path):
        return ImageSummary(**orjson.loads(pq.read_schema(path).metadata[_META]))


def read_candidates(out: Path, picture: InputImage) -> pa.Table:
    """Return an image's candidates.

    Raises:
        SourceError: The file is damaged.
    """
    path = part_path(out, picture)
    with _part_errors(path):
        return pq.read_table(path)


@contextmanager
def _part_errors(path: Path) -> Iterator[None]:
    """Turn errors of a damaged part in the block into a :class:`SourceError`."""
    try:
        yield
    except (pa.ArrowException, KeyError, TypeError, ValueError, OSError) as error:
        what = f"it cannot be read ({' '.join(str(error).split())[:100]})"
        do = "remove it, and run `curate generate` again with the same arguments"
        raise SourceError(what, str(path), do) from None


def write_image(
    out: Path, picture: InputImage, candidates: pa.Table, chosen: SelectedMasks, facts: ImageSummary
) -> None:
    """Write an image's JSON, and then its candidates with their reasons.

    Args:
        out: The directory.
        picture: The image.
        candidates: All that was drawn, with or without an older column of reasons.
        chosen: What became of it.
        facts: For the head of the part.
    """
    image = {
        "image_id": picture.image_id,
        "width": facts.width,
        "height": facts.height,
        "file_name": picture.file_name,
    }
    with writing(out / picture.document) as temporary:
        made = document(image, rle.encode_counts(chosen.runs), _columns(candidates, chosen))
        files.write_bytes(temporary, made)
    if "reason" in candidates.schema.names:
        candidates = candidates.drop_columns(["reason"])
    words = pa.DictionaryArray.from_arrays(pa.array(chosen.reasons.astype(np.int8)), list(REASONS))
    candidates = candidates.append_column("reason", words)
    codecs = {n: "none" if n == "segmentation" else "lz4" for n in candidates.schema.names}
    with writing(part_path(out, picture)) as temporary, files.open_file(temporary) as file:
        pq.write_table(
            candidates.replace_schema_metadata({_META: orjson.dumps(vars(facts))}),
            file,
            use_dictionary=["reason"],
            compression=codecs,
            write_statistics=False,
        )


def _columns(candidates: pa.Table, chosen: SelectedMasks) -> dict[str, AnyArray]:
    rows = pa.array(chosen.rows)
    areas, boxes = rle.measure(chosen.runs)
    names = ["id", "predicted_iou", "stability_score", *(f"crop_{s}" for s in "xywh")]
    of = {name: candidates[name].take(rows).to_numpy() for name in (*names, "point_x", "point_y")}
    return {
        **{name: of[name] for name in names[:3]},
        "area": areas,
        "bbox": boxes,
        "crop_box": np.column_stack([of[f"crop_{s}"] for s in "xywh"]),
        "point_coords": np.column_stack([of["point_x"], of["point_y"]]),
    }


class NetworkRecord(TypedDict):
    """The segmenter that drew the masks: its name, the hash of its weights, where it ran."""

    name: str
    fingerprint: str
    device: str
    precision: str


GenerationIdentity = TypedDict(
    "GenerationIdentity",
    {
        "folder of images": str,
        "segmenter": str,
        "recipe": JsonObject,
        "selection": JsonObject,
    },
)
"""What must be equal for an earlier run to be continued, in the words of an error."""


class ImageCounts(TypedDict):
    """How many images are done, and how many could not be opened."""

    done: int
    not_opened: int


class GenerationRecord(TypedDict):
    """The content of ``generation.json``: recipe, segmenter, counts by reason, timings, findings.

    ``findings`` name images that could not be opened, ``timings`` are seconds.
    """

    curate_version: str
    state: str
    identity: GenerationIdentity
    segmenter: NetworkRecord
    recipe: dict[str, Any]
    images: ImageCounts
    counts: dict[str, int]
    timings: dict[str, float]
    findings: list[dict[str, str]]


def read_info(out: Path) -> GenerationRecord | None:
    """Return ``generation.json``, None where there is none.

    Raises:
        AuditError: It is not a generation's, is damaged, or of another version.
    """
    path = out / ABOUT
    if not path.is_file():
        return None
    about = read_record(path, "a generation's", "curate generate")
    version = about["schema_version"]
    if version != SCHEMA_VERSION:
        raise AuditError(
            f"it was written with schema version {version}, this curate reads {SCHEMA_VERSION}",
            str(path),
            "generate again with this version into a new directory",
        )
    return cast(GenerationRecord, about)


def claim_folder(out: Path, identity: GenerationIdentity, restart: bool) -> GenerationRecord | None:
    """Prepare ``out`` for a run; return ``generation.json`` of the run that is resumed, or None.

    Args:
        out: The directory; made where it is not there.
        identity: What must be equal for an earlier run to be continued, in the words of an error.
        restart: Delete the results of an earlier run.

    Raises:
        AuditError: ``out`` holds something else, or what another recipe or segmenter has made.
    """
    check_directory(out, {ABOUT})
    try:
        about, is_damaged = read_info(out), False
    except DamagedRecord:
        if not restart:
            raise
        about, is_damaged = None, True
    if about is None and not is_damaged:
        return None
    if about is None or restart or _REMOVED in about:
        _remove_generation(out)
        return None
    before: JsonObject = about.get("identity", {})
    changed = [name for name, value in identity.items() if before.get(name) != value]
    if not changed:
        return about
    do = "choose another directory, or pass --restart to throw that one away"
    if changed == ["selection"]:
        do = f"move its cuts with `curate generate --again {out}`, or {do}"
    what = f"it was generated otherwise ({describe_differences(before, identity)})"
    raise AuditError(what, str(out), do)


def _remove_generation(out: Path) -> None:
    """Remove an earlier generation; an interrupted removal is resumed by the next run."""
    with files.convert_write_errors(out):
        write_info(out, {"state": "thrown away", _REMOVED: True})
        for picture in read_pictures(out):
            files.unlink(out / picture.document, missing_ok=True)
        if (out / CANDIDATES).exists():
            files.remove_tree(out / CANDIDATES)
        files.unlink(out / ABOUT)


def read_pictures(out: Path) -> list[InputImage]:
    """Return the images of a generation in order, none where it has not started."""
    path = out / CANDIDATES / "images.parquet"
    if not path.exists():
        return []
    with _part_errors(path):
        return [InputImage(**row) for row in pq.read_table(path).to_pylist()]


def list_pictures(out: Path, names: Iterable[str]) -> list[InputImage]:
    """Add images to a generation; those it has already keep their numbers and names."""
    known = read_pictures(out)
    have = {picture.file_name for picture in known}
    taken = {picture.document.casefold() for picture in known} | {ABOUT.casefold()}
    new = [name for name in names if name not in have]
    for number, name in enumerate(new, len(known) + 1):
        chosen = next(n for n in _document_names(name) if n.casefold() not in taken)
        taken.add(chosen.casefold())
        known.append(InputImage(number, name, chosen))
    if new or not have:
        path = out / CANDIDATES / "images.parquet"
        with writing(path) as temporary, files.open_file(temporary) as file:
            columns = {k: [getattr(p, k) for p in known] for k in InputImage.__dataclass_fields__}
            types = {"image_id": pa.int64(), "file_name": pa.string(), "document": pa.string()}
            pq.write_table(pa.table(columns, pa.schema(list(types.items()))), file)
    return known


def _document_names(file_name: str) -> Iterator[str]:
    """Yield names for an image's JSON: by its stem, by its folders too, and then by numbers."""
    path = PurePosixPath(file_name)
    stem = _safe_name(path.stem)
    yield f"{stem}.json"
    yield f"{_safe_name('_'.join([*path.parts[:-1], path.stem]))}.json"
    number = 2
    while True:
        yield f"{stem}_{number}.json"
        number += 1


def _safe_name(name: str) -> str:
    """Return a name that any file system takes, and that is not hidden."""
    plain = re.sub(r'[\x00-\x1f\x7f<>:"/\\|?*]', "_", name).strip(" .") or "image"
    return os.fsencode(plain)[:_NAME_BYTES].decode("utf-8", "ignore")


def write_info(out: Path, about: JsonObject) -> None:
    """Write ``generation.json``."""
    write_json(out / ABOUT, {"schema_version": SCHEMA_VERSION, **about})
