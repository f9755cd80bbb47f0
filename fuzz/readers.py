"""How each kind of input is read: the reader alone mostly, now and then a whole verb."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from curate.dataset.table import MaskTable
from fuzz import checks, checks_of_documents, checks_of_pngs, checks_of_tables, seeds
from fuzz.checks import Check, WrongSuccess
from fuzz.seeds import Seed

WRITE_SHARE = 0.08
"""Share of the inputs in a dataset format that are also written without one of their masks."""

WHOLE_SHARE = 0.001
"""Share of them that go through audit, report, prune and write."""

IMPORT_SHARE = 0.02
"""Share of the exports that are imported into an audit, not only read."""


@dataclass(frozen=True)
class Input:
    """One mutated input as it lies on disk.

    Attributes:
        path: What is given to the reader.
        folder: A folder of its own, in which the reader may write.
        files: Content of the files at ``path``, by relative path.
        random: What chooses among ways to read it.
    """

    path: Path
    folder: Path
    files: dict[str, bytes]
    random: Random


@dataclass(frozen=True)
class Reader:
    """One kind of input.

    Attributes:
        name: Its name on the command line.
        seeds: Returns valid inputs.
        read: Reads one, and raises what the reader raises, or :class:`WrongSuccess`.
        modules: Files and folders of the package whose coverage is its own.
    """

    name: str
    seeds: Callable[[], tuple[Seed, ...]]
    read: Callable[[Input], None]
    modules: tuple[str, ...]


# --- datasets ------------------------------------------------------------------------------------


def _read_dataset(name: str, own_checks: Sequence[Check], given: Input) -> None:
    _read_as(name if given.random.random() < 0.5 else None, name, own_checks, given)


def _read_as(forced: str | None, name: str, own_checks: Sequence[Check], given: Input) -> None:
    from curate.formats.reading import dataset_path, detect

    # A mutated tar of SA-1B may be taken for an archive as well; archives are unpacked here.
    os.environ["CURATE_CACHE"] = str(given.folder / "cache")
    source = dataset_path(given.path, forced)
    found = detect(source, forced)
    work = given.folder / "work"
    work.mkdir()
    parts = list(found.plan(source, work))
    tables = [found.load(source, part) for part in parts]
    checks.check_tables(given.files, tables)
    if found.name == name or (found.name, name) == ("coco", "lvis"):
        for check in own_checks:
            check(given.files, tables)
    chance = given.random.random()
    if chance < WHOLE_SHARE:
        _run_verbs(source, found.name, given)
    elif chance < WRITE_SHARE:
        _write_without_one(source, found, tables, given)


def _read_packed(given: Input) -> None:
    """Read a dataset in an archive of any kind."""
    _read_as(None, "", (), given)


def _write_without_one(source: Path, found: Any, tables: list[MaskTable], given: Input) -> None:
    """Write the dataset without one mask, and see that this one alone is gone."""
    from curate.formats.edits import Edits

    keys = [key for table in tables for key in table.masks["source_key"]]
    if not keys:
        return
    gone = given.random.choice(keys)
    out = given.folder / "out" / source.name
    stored = found.write(source, out, Edits(drop=frozenset({gone})))
    del stored
    work = given.folder / "again"
    work.mkdir()
    again = [found.load(out, part) for part in found.plan(out, work)]
    if problem := found.check_unedited(source, out, Edits(drop=frozenset({gone}))):
        raise WrongSuccess(f"written without a mask: {problem}")
    unsure = _images_of_several_sizes([*tables, *again])
    before, after = _likeness(tables, gone, unsure), _likeness(again, "", unsure)
    if before != after:
        lost = sum(
            (before[one] - after.get(one, 0)) for one in before if before[one] > after.get(one, 0)
        )
        more = sum(after.values()) - sum(before.values()) + lost
        raise WrongSuccess(f"written without a mask: {lost} others lost, {more} more there")


def _images_of_several_sizes(tables: list[MaskTable]) -> set[str]:
    """Return the names of images whose masks have several sizes: without one, others may fit."""
    names: set[str] = set()
    for table in tables:
        odd = table.masks["status"].eq("size_mismatch").to_numpy()
        names.update(table.masks["file_name"][odd].astype(str))
    return names


def _likeness(
    tables: list[MaskTable], without: str, unsure: set[str]
) -> dict[tuple[Any, ...], int]:
    """Return how often each mask with pixels is there, by its pixels, size and category."""
    counts: dict[tuple[Any, ...], int] = {}
    for table in tables:
        masks = table.masks
        names = ("source_key", "segmentation", "status", "area_px", "file_name")
        for key, pixels, status, area, image in zip(
            *(masks[name].tolist() for name in names), strict=True
        ):
            # An id that two masks share is one's own again once the other is gone.
            if key != without and status in ("ok", "duplicate_id") and str(image) not in unsure:
                what = (pixels, area)
                counts[what] = counts.get(what, 0) + 1
    return counts


def _run_verbs(source: Path, name: str, given: Input) -> None:
    """Audit it, write the report, and write it again in two ways."""
    import curate

    out = given.folder / "audit"
    curate.audit(source, out, format=name)
    target = given.folder / "pruned" / source.name
    curate.prune(out, target, yes=True)
    curate.write(out, given.folder / "written" / source.name, yes=True)


def _format(name: str, kinds: Sequence[str], modules: Sequence[str], *own: Check) -> Reader:
    def make() -> tuple[Seed, ...]:
        return tuple(one for kind in kinds for one in seeds.dataset(kind))

    format_name = name.removesuffix("-tar").removesuffix("-json")
    files = tuple(f"curate/formats/{one}.py" for one in modules)
    return Reader(name, make, partial(_read_dataset, format_name, own), files)


# --- what comes back from people -----------------------------------------------------------------


class _Context:
    """An audit on which exports are read, made once a process."""

    folder: Path | None = None

    @classmethod
    def audit(cls, scratch: Path) -> Path:
        if cls.folder is None or not cls.folder.is_dir():
            cls.folder = scratch / "context"
            for name, data in seeds.audited().items():
                path = cls.folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            info = json.loads((cls.folder / "audit" / "audit.json").read_bytes())
            info["source"]["path"] = str(cls.folder / "source.json")
            (cls.folder / "audit" / "audit.json").write_text(json.dumps(info))
            for end in ("", "-wal", "-shm"):  # without decisions: they come with the exports
                (cls.folder / "audit" / f"reviews.sqlite{end}").unlink(missing_ok=True)
            (cls.folder / "audit" / "people.parquet").unlink(missing_ok=True)
        return cls.folder / "audit"


def _read_export(name: str, given: Input) -> None:
    from curate.people.exchange import import_file
    from curate.people.exchange.registry import REGISTRY, ImportOptions
    from curate.people.reviews import Reviews
    from curate.store.audit import open_audit

    home = _Context.audit(given.folder.parent)
    forced = name if given.random.random() < 0.5 else None
    whole = given.random.random() < IMPORT_SHARE
    match = given.random.choice((None, None, "iou"))
    if whole:
        home = Path(shutil.copytree(home, given.folder / "audit"))
    audit = open_audit(home)
    if whole:
        import_file(
            audit, given.path, format=forced, reviewer="eve", assume_reviewed=name == "coco"
        )
        audit.masks()
        return
    _, reader = REGISTRY.reader(given.path, forced)
    options = ImportOptions("eve", match=match)
    if name not in ("csv", "json", "label-studio"):
        options = ImportOptions("eve", Path(audit.info.source["path"]), 1.0, match, True)
    found = reader.read(Reviews(audit), given.path, options)
    for column in ("mask_id", "action"):
        if len(found.decisions) and found.decisions[column].isna().any():
            raise WrongSuccess(f"a decision without {column}")


def _export(name: str, tool: str, modules: Sequence[str], format: str | None = None) -> Reader:
    from_tool: dict[str, Callable[[], tuple[Seed, ...]]] = {
        "csv": partial(seeds.table_of_decisions, "csv"),
        "json": partial(seeds.table_of_decisions, "json"),
        "corrected": seeds.corrected,
        "label-studio": seeds.label_studio,
    }
    make = from_tool.get(tool, partial(seeds.export, tool))
    files = tuple(f"curate/people/exchange/{one}.py" for one in modules)
    return Reader(f"import-{name}", make, partial(_read_export, format or name), files)


# --- policies, databases, audits, pictures -------------------------------------------------------


def _read_policy(given: Input) -> None:
    import curate
    from curate.policy.policy import load_policy

    policy = load_policy(given.path)
    if given.random.random() < 0.03:
        home = _Context.audit(given.folder.parent)
        audit = Path(shutil.copytree(home, given.folder / "audit"))
        curate.decide(audit, policy=given.path)
    else:
        str(policy)


def _read_audit(given: Input) -> None:
    """Open an audit and ask it what people, queues and servers ask."""
    import curate
    from curate.people.reviews.current_plan import open_audit
    from curate.reporting.summary import summary, summary_text

    audit = open_audit(given.path)
    audit.masks()
    audit.images()
    audit.query("select action, count(*) from masks group by action")
    chance = given.random.random()
    if chance < 0.1:
        summary_text(audit, summary(audit))
    elif chance < 0.15:
        curate.queue(given.path)
    elif chance < 0.2:
        curate.agreement(given.path)
    elif chance < 0.24:
        curate.decide(given.path)
    elif chance < 0.26:
        curate.report(given.path, given.folder / "report.html")


def _read_reviews(given: Input) -> None:
    from curate.people.reviews import open_reviews
    from curate.people.reviews.current_plan import open_audit

    audit = open_audit(given.path)
    audit.masks(["action", "reasons", "decided_by"])
    reviews = open_reviews(audit)
    for read in (
        reviews.decisions,
        reviews.resolve_labels,
        reviews.missing,
        reviews.reviewed_images,
        reviews.draws,
    ):
        read()


def _read_leases(given: Input) -> None:
    from curate.people.webapp.leases import Leases

    leases = Leases(given.path)
    try:
        with leases.changing():
            leases.live()
            leases.give([1, 5], "page", "eve")
            leases.read_skipped("queue", "ann")
            leases.drop([1], "page")
    finally:
        leases.close()


def _read_model(given: Input) -> None:
    import numpy as np

    from curate.networks.detectors.preprocessing import DetectorInput, read_input
    from curate.networks.detectors.training_record import read_record
    from curate.networks.runtime.hub import read_config
    from curate.networks.segmenters.onnx_session import read_onnx
    from curate.quality.model_file import from_bytes

    if given.path.is_dir():
        read_record(given.path)
        read_config(given.path)
        made = read_input(given.path, DetectorInput())
        if max(made.size(30, 40)) < 2_000:
            made.prepare(np.zeros((30, 40, 3), np.uint8))
    elif given.path.suffix == ".onnx":
        read_onnx(given.path)
    else:
        model = from_bytes(given.path.read_bytes(), str(given.path))
        width = 1 + len(model.columns.names)
        model.probability(np.full((3, width), np.nan))


def _read_picture(given: Input) -> None:
    from curate.images import ImageFolder

    folder = ImageFolder(given.path.parent)
    seen = folder.inspect(given.path.name, (9, 14))
    if seen.status == "ok" and (seen.header is None or seen.header.stored != (9, 14)):
        raise WrongSuccess("a picture of another size is ok")
    folder.load(given.path.name, gray=given.random.random() < 0.5)


READERS: tuple[Reader, ...] = (
    _format(
        "coco", ("coco", "coco-polygons"), ("coco", "records", "coco_index"), checks.check_coco
    ),
    _format("lvis", ("lvis",), ("coco", "records"), checks.check_coco),
    _format("coco-results", ("coco-results",), ("results_images", "records"), checks.check_results),
    Reader(
        "coco-panoptic",
        seeds.panoptic,
        partial(_read_dataset, "coco-panoptic", ()),
        ("curate/formats/coco/panoptic_format.py", "curate/formats/coco/panoptic_format.py"),
    ),
    _format("sa1b", ("sa1b",), ("sa1b", "sam_records"), checks.check_records),
    _format("sa1b-tar", ("sa1b-tar",), ("sa1b", "sa1b_files", "tar")),
    _format("amg", ("amg",), ("amg", "amg_folder", "amg_sheet"), checks_of_pngs.check_masks),
    _format("amg-json", ("amg-json",), ("amg_json", "sam_records"), checks.check_records),
    _format("coco-splits", ("coco-splits", "roboflow"), ("coco/splits_format", "coco/split_files")),
    _format("sav", ("sav",), ("sav", "sav_masklets"), checks.check_sav),
    _format("cvat", ("cvat", "cvat-bare"), ("cvat", "cvat_xml", "cvat_masks"), checks.check_cvat),
    _format(
        "cvat-video",
        ("cvat-video",),
        ("cvat/video_format", "cvat/video_index", "cvat/video_writing"),
        checks.check_cvat_video,
    ),
    _format("fiftyone", ("fiftyone",), ("fiftyone/fiftyone_format", "fiftyone/mask_arrays")),
    _format("via", ("via", "via-export"), ("via/via_format", "via/via_places")),
    Reader(
        "mask-pictures",
        seeds.mask_pictures,
        partial(_read_dataset, "huggingface", ()),
        ("curate/formats/parquet/mask_pictures.py", "curate/formats/parquet/new_objects.py"),
    ),
    Reader(
        "via-1",
        seeds.via_1,
        partial(_read_dataset, "via", ()),
        ("curate/formats/via/via_places.py", "curate/formats/via/via_writing.py"),
    ),
    Reader(
        "label-studio-bitmasks",
        seeds.bitmasks,
        partial(_read_dataset, "label-studio", ()),
        ("curate/formats/label_studio/tasks.py", "curate/formats/png/embedded_png.py"),
    ),
    _format("datumaro", ("datumaro",), ("datumaro/datumaro_format", "datumaro/datumaro_items")),
    _format(
        "label-studio",
        ("label-studio",),
        ("label_studio/label_studio_format", "label_studio/tasks", "label_studio/brush_rle"),
    ),
    _format(
        "labelme",
        ("labelme", "labelme-x"),
        ("labelme/labelme_format", "labelme/documents", "labelme/shapes", "png/embedded_png"),
        checks_of_documents.check_labelme,
    ),
    _format(
        "open-images",
        ("open-images",),
        ("open_images/open_images_format", "open_images/layout", "open_images/scaling"),
    ),
    _format(
        "huggingface",
        ("huggingface", "huggingface-list"),
        ("parquet/huggingface_format", "parquet/object_columns", "parquet/object_rows"),
    ),
    _format(
        "kaggle-csv",
        ("kaggle-csv", "kaggle-csv-rows"),
        ("csv/run_length_csv", "csv/run_length_columns", "csv/csv_records", "csv/pixel_runs"),
        checks_of_tables.check_kaggle,
    ),
    _format(
        "supervisely",
        ("supervisely",),
        ("supervisely/supervisely_format", "supervisely/figures", "supervisely/project"),
        checks_of_documents.check_supervisely,
    ),
    _format("yolo", ("yolo",), ("yolo", "yolo_lines", "yolo_names"), checks.check_yolo),
    _format(
        "png-folder",
        ("png-folder", "png-folder-tiff"),
        ("png_folder", "png"),
        checks_of_pngs.check_masks,
    ),
    Reader(
        "png-flat",
        seeds.png_flat,
        partial(_read_dataset, "png-flat", (checks_of_pngs.check_masks,)),
        ("curate/formats/png/png_flat_format.py", "curate/formats/png/png_flat_format.py"),
    ),
    _format("label-png", ("label-png",), ("label_png", "png_id_masks"), checks_of_pngs.check_ids),
    Reader(
        "class-pngs",
        seeds.class_pngs,
        partial(_read_dataset, "label-png", ()),
        ("curate/formats/png/class_pngs.py", "curate/formats/ids/id_layouts.py"),
    ),
    Reader(
        "label-png-scenes",
        seeds.scenes,
        partial(_read_dataset, "label-png", ()),
        ("curate/formats/ids/scene_layouts.py", "curate/formats/ids/id_layouts.py"),
    ),
    _format(
        "label-tiff",
        ("label-tiff",),
        ("tiff/label_tiff_format", "tiff/tiff_ids", "tiff/tiff_samples", "tiff/tiff_rewriting"),
    ),
    _format(
        "label-npy",
        ("label-npy", "label-npy-layers"),
        ("npy/label_npy_format", "npy/stored_arrays", "npy/array_masks", "npy/array_writing"),
    ),
    *(
        Reader(
            way,
            partial(seeds.packed, way),
            _read_packed,
            ("curate/archives", "curate/formats/packed"),
        )
        for way in ("zip", "tar", "tgz", "gz")
    ),
    _export("csv", "csv", ("tables", "table_columns")),
    _export("json", "json", ("tables", "table_columns")),
    _export("coco", "corrected", ("coco", "compare", "match_masks")),
    _export("cvat-coco", "CVAT's COCO", ("coco_of_tools", "archives"), "cvat"),
    _export("cvat", "CVAT for images", ("cvat", "archives")),
    _export("fiftyone", "FiftyOne", ("fiftyone", "coco_of_tools")),
    _export("huggingface", "Hugging Face", ("huggingface",)),
    _export("label-studio", "label-studio", ("label_studio/read", "label_studio/regions")),
    Reader(
        "policy",
        seeds.policies,
        _read_policy,
        ("curate/policy/policy.py", "curate/policy/expression.py"),
    ),
    Reader(
        "audit.json",
        partial(seeds.of_audit, "audit/audit.json"),
        _read_audit,
        ("curate/store/audit_info.py", "curate/store/audit.py"),
    ),
    Reader(
        "audit-parts",
        partial(seeds.of_audit, "audit/masks", "audit/images", "audit/people"),
        _read_audit,
        ("curate/store/audit_files.py", "curate/store/people_overlay.py"),
    ),
    Reader(
        "reviews.sqlite",
        partial(seeds.of_audit, "audit/reviews"),
        _read_reviews,
        ("curate/people/reviews/schema.py", "curate/people/reviews/review_file.py"),
    ),
    Reader(
        "leases.sqlite",
        partial(seeds.of_audit, "audit/leases"),
        _read_leases,
        ("curate/people/webapp/leases.py",),
    ),
    Reader(
        "models",
        seeds.models,
        _read_model,
        (
            "curate/quality/model_file.py",
            "curate/networks/detectors/preprocessing.py",
            "curate/networks/detectors/training_record.py",
            "curate/networks/segmenters/onnx_session.py",
        ),
    ),
    Reader(
        "pictures",
        seeds.pictures,
        _read_picture,
        ("curate/images/decode.py", "curate/images/image_folder.py"),
    ),
)
"""Every kind of input, in the order in which they take turns."""

BY_NAME = {reader.name: reader for reader in READERS}
