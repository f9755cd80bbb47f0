"""Small valid datasets, exports, audits and pictures of every kind, made by the code itself."""

from __future__ import annotations

import io
import json
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

for _room in ("tests", "tests/write", "tests/formats", "tests/exchange", "tests/models"):
    if str(ROOT / _room) not in sys.path:  # the makers of small datasets are the tests' own
        sys.path.append(str(ROOT / _room))


@dataclass(frozen=True)
class Seed:
    """A valid input.

    Attributes:
        files: Content by relative path.
        source: What is given to the reader, relative; "" for the folder.
        changed: Which files are changed.
        folder: A folder in which all of it stands, for readers that go by its name.
    """

    files: dict[str, bytes]
    source: str
    changed: tuple[str, ...]
    folder: str = "data"


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the content of every file of a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def seed_of(path: Path, *, only: Callable[[str], bool] = lambda name: True) -> Seed:
    """Return what stands at a path as a seed."""
    if path.is_file():
        return Seed({path.name: path.read_bytes()}, path.name, (path.name,))
    files = files_of(path)
    return Seed(files, "", tuple(name for name in files if only(name)), path.name)


@contextmanager
def _folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="seeds-"))
    try:
        yield made
    finally:
        shutil.rmtree(made)


@cache
def packed(way: str) -> tuple[Seed, ...]:
    """Return small datasets of several kinds, packed in a way, as the tests pack them."""
    import packed_datasets

    found = []
    with _folder() as folder:
        for kind, own in packed_datasets.CASES:
            if own == way:
                found.append(seed_of(packed_datasets.build(kind, way, folder / f"{kind}-{own}")))
    return tuple(found)


@cache
def dataset(kind: str) -> tuple[Seed, ...]:
    """Return two datasets of a kind that the tests write."""
    from small_datasets import build

    found = []
    with _folder() as folder:
        for number in (0, 1):
            path = build(kind, folder / str(number), number)
            found.append(seed_of(path))
    return tuple(found)


@cache
def panoptic() -> tuple[Seed, ...]:
    """Return a COCO panoptic JSON with its PNGs of ids."""
    from test_panoptic import dataset as make

    with _folder() as folder:
        path = make(folder)
        files = files_of(folder)
        return (Seed(files, path.relative_to(folder).as_posix(), tuple(files)),)


@cache
def class_pngs() -> tuple[Seed, ...]:
    """Return PNGs of ids beside PNGs of classes: Pascal VOC in colours of its own, Cityscapes."""
    from test_class_pngs import in_colours, of_cityscapes
    from test_label_png_habits import voc

    with _folder() as folder:
        voc(folder / "voc")
        in_colours(folder / "tool", [0, 0, 0, 10, 20, 30, 40, 50, 60])
        of_cityscapes(folder / "cityscapes")
        return tuple(seed_of(folder / name) for name in ("voc", "tool", "cityscapes"))


@cache
def bitmasks() -> tuple[Seed, ...]:
    """Return Label Studio's tasks with bitmasks, as annotations and as the old completions."""
    from small_record_datasets import annotation
    from test_label_studio_format import LATE, bitmask, block

    results = [bitmask(block(k), f"r{k}", "x") for k in range(2)]
    found = []
    for kind in ("annotations", "completions"):
        task = {"id": 1, "data": {"image": "a.png"}, kind: [annotation(1, results, LATE)]}
        data = json.dumps([task, {"id": 2, "data": {"image": "b.png"}, kind: []}]).encode()
        found.append(Seed({"export.json": data}, "export.json", ("export.json",)))
    return tuple(found)


@cache
def via_1() -> tuple[Seed, ...]:
    """Return an export of VIA 1, whose regions are an object, with its picture."""
    from small_record_datasets import via_region
    from test_via_format import RING, image, put

    with _folder() as folder:
        regions = {str(k): via_region(RING, {"class": "x"}) for k in range(3)}
        put(folder, image() | {"regions": regions})
        files = files_of(folder)
        return (Seed(files, "", ("via.json",)),)  # the folder: sizes are those of the picture


@cache
def scenes() -> tuple[Seed, ...]:
    """Return PNGs of ids that carry classes, with the documents that name these."""
    from datumaro_samples import SAMPLES

    names = ("ade20k2017", "ade20k2020", "mapillary_vistas_instances", "mvtec_segmentation")
    with _folder() as folder:
        return tuple(seed_of(SAMPLES[name](folder / name)) for name in names)


@cache
def mask_pictures() -> tuple[Seed, ...]:
    """Return Parquet files whose objects have pictures of their masks."""
    from test_parquet_pictures import block, picture, put

    found = []
    with _folder() as folder:
        for listed in (False, True):
            path = put(folder, *(picture(block(k), f"{k}.png") for k in range(3)), listed=listed)
            found.append(seed_of(path))
    return tuple(found)


@cache
def png_flat() -> tuple[Seed, ...]:
    """Return folders of one PNG a mask whose names say the image."""
    from test_png_flat import CLASSES, LABEL_STUDIO, put

    with _folder() as folder:
        return tuple(
            seed_of(put(folder / name, names))
            for name, names in (("ls", LABEL_STUDIO), ("classes", CLASSES))
        )


@cache
def audited() -> dict[str, bytes]:
    """Return the files of a folder with a source, its pictures, its audit and decisions."""
    import numpy as np
    import pandas as pd
    from boxes import HEIGHT, WIDTH, dataset
    from PIL import Image

    import curate
    from curate.people.reviews import Reviews
    from curate.people.webapp.leases import Leases

    with _folder() as folder:
        (folder / "pictures").mkdir()
        for k in (1, 2, 3):
            picture = np.full((HEIGHT, WIDTH, 3), 40 * k, np.uint8)
            Image.fromarray(picture).save(folder / "pictures" / f"{k}.png")
        (folder / "source.json").write_text(json.dumps(dataset()))
        curate.audit(folder / "source.json", folder / "audit", images=folder / "pictures")
        audit = curate.open_audit(folder / "audit")
        said = pd.DataFrame({"mask_id": [1, 2, 3, 4], "action": ["accept", "reject"] * 2})
        Reviews(audit).add(said.assign(reviewer="ann"), origin="fuzz")
        said = said.assign(action="accept", reviewer="bob")
        Reviews(audit).add(said, origin="fuzz")
        audit.masks()
        leases = Leases(folder / "audit")
        with leases.changing():
            leases.give([1, 2], "page", "ann")
            leases.skip("queue", "ann", [3])
        leases.close()
        for name in ("reviews", "leases"):
            _without_log(folder / "audit" / f"{name}.sqlite")
        (folder / "audit" / "report.html").unlink(missing_ok=True)
        return files_of(folder)


def _without_log(path: Path) -> None:
    import sqlite3

    connection = sqlite3.connect(path)
    connection.execute("pragma journal_mode = delete")
    connection.close()


def of_audit(*changed: str) -> tuple[Seed, ...]:
    """Return an audit of which some files are changed."""
    files = audited()
    return (Seed(files, "audit", tuple(n for n in files if n.startswith(changed))),)


@cache
def pictures() -> tuple[Seed, ...]:
    """Return small pictures in every format that is opened, in several modes."""
    import numpy as np
    from PIL import Image

    random_pixels = np.random.default_rng(1).integers(0, 255, (9, 14, 4), np.uint8)
    kinds: list[tuple[str, str, dict[str, Any]]] = [
        *((mode, "png", {}) for mode in ("1", "L", "P", "RGB", "RGBA", "LA", "I;16")),
        *((mode, "tif", {}) for mode in ("1", "L", "RGB", "I;16", "F")),
        *(
            ("RGB", "tif", {"compression": name})
            for name in ("tiff_lzw", "packbits", "tiff_adobe_deflate")
        ),
        *((mode, "jpg", {}) for mode in ("L", "RGB", "CMYK")),
        *(
            (mode, name, {})
            for mode in ("L", "RGB")
            for name in ("webp", "bmp", "gif", "ppm", "jp2", "tga")
        ),
    ]
    found = []
    for mode, suffix, options in kinds:
        image = Image.fromarray(random_pixels)
        if mode == "I;16":
            image = Image.fromarray(random_pixels[..., 0].astype(np.uint16) * 200)
        elif mode != "RGBA":
            image = image.convert("RGB").convert(mode)
        packed = io.BytesIO()
        kind = {"jpg": "JPEG", "tif": "TIFF", "jp2": "JPEG2000"}.get(suffix, suffix.upper())
        image.save(packed, kind, **options)
        name = f"a.{suffix}"
        found.append(Seed({name: packed.getvalue()}, name, (name,)))
    return tuple(found)


@cache
def models() -> tuple[Seed, ...]:
    """Return a quality model, what stands in a detector's folder, and an ONNX file."""
    import numpy as np
    import onnx

    from curate.networks.detectors.preprocessing import DetectorInput
    from curate.quality.features import FeatureColumns
    from curate.quality.model import QualityModel
    from curate.quality.model_file import to_bytes
    from curate.quality.trees import Trees

    trees = Trees(
        np.array([1, -1, 2, -1, -1], np.int32),
        np.array([0.5, 0, 0.2, 0, 0]),
        np.array([1, 0, 3, 0, 0], np.int32),
        np.array([2, 0, 4, 0, 0], np.int32),
        np.array([True, False, False, False, False]),
        np.array([0.1, -0.5, 0.3, 0.2, 0.4]),
        np.array([0], np.int32),
        0.1,
    )
    middle = np.array([0.1, 0.5, np.nan])
    quality = QualityModel(
        FeatureColumns(("hole_score",), ("area_px",)), -0.5, 0.7, trees, np.zeros(3), middle
    )
    record = {"picture_keys": {"train": ["a", "b"], "folds": {"fold-0": ["a"], "fold-1": ["b"]}}}
    detector = {
        "preprocessor_config.json": DetectorInput().as_config("DetrImageProcessor"),
        "config.json": {"model_type": "detr", "architectures": ["DetrForObjectDetection"]},
        "training.json": record,
    }
    kind = onnx.TensorProto.FLOAT
    sides = [onnx.helper.make_tensor_value_info(name, kind, [1, None, 4]) for name in ("x", "y")]
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    graph = onnx.helper.make_graph([node], "g", sides[:1], sides[1:])
    files = {name: json.dumps(value).encode() for name, value in detector.items()}
    whole = onnx.helper.make_model(graph).SerializeToString()
    return (
        Seed({"model.skops": to_bytes(quality)}, "model.skops", ("model.skops",)),
        Seed(files, "", tuple(files), "detector"),
        Seed({"model.onnx": whole}, "model.onnx", ("model.onnx",)),
    )


@cache
def policies() -> tuple[Seed, ...]:
    """Return the presets, and a policy that uses every table."""
    folder = ROOT / "curate"
    texts = [path.read_bytes() for path in sorted(folder.rglob("presets/*.toml"))]
    own = (
        'name = "own"\nextends = "default"\n[accept]\nquality_at_least = 0.5\n'
        "[review]\nlowest_share = 0.1\n[cost]\ndefault = 2\n[cost.category]\ncat = 3.5\n"
        '[nms]\nbox_iou = 0.7\nprefer = "crop"\n[clean]\nsmall_px = 50\n[odd]\n'
        '[[rule]]\nwhen = "area_px < 10 or not (status == \'ok\')"\naction = "reject"\n'
        'reason = "only {area_px} px"\np_bad = 0.9\n'
    )
    texts.append(own.encode())
    return tuple(Seed({"policy.toml": text}, "policy.toml", ("policy.toml",)) for text in texts)


@cache
def table_of_decisions(kind: str) -> tuple[Seed, ...]:
    """Return decisions as CSV or JSON rows."""
    rows = [
        {"mask_id": 1, "decision": "accept", "reviewer": "ann", "seconds": 1.5},
        {"mask_id": 2, "decision": "reject", "reviewer": "", "time": "2026-01-02T03:04:05Z"},
        {"mask_id": 3, "decision": "fix", "category": "dog", "iou": 0.9},
        {"mask_id": 4, "decision": "", "note": 'a, "b"\nc'},
    ]
    if kind == "json":
        texts = [json.dumps(rows), json.dumps({"decisions": rows[:2]}, indent=1)]
        return tuple(Seed({"a.json": t.encode()}, "a.json", ("a.json",)) for t in texts)
    import csv

    names = ["mask_id", "decision", "reviewer", "seconds", "time", "category", "iou", "note"]
    found = []
    for mark in (",", ";"):
        text = io.StringIO()
        writer = csv.DictWriter(text, names, delimiter=mark)
        writer.writeheader()
        writer.writerows(rows)
        data = text.getvalue().encode()
        found.append(Seed({"a.csv": data}, "a.csv", ("a.csv",)))
    return tuple(found)


def _without_first(cut: int, _: str, seen: list[Any]) -> list[Any]:
    return seen[cut:]


@cache
def export(tool: str) -> tuple[Seed, ...]:
    """Return what a tool gives back of a queue of :func:`audited`, some masks removed."""
    from other_tools import TOOLS

    import curate
    from curate.people.exchange import write_queue
    from curate.people.exchange.registry import ExportOptions

    name, use = TOOLS[tool]
    found = []
    with _folder() as folder:
        _put(audited(), folder)
        audit = curate.open_audit(folder / "audit")
        suffix = {"coco": ".json", "huggingface": ".parquet"}.get(name, "")
        out = folder / f"queue{suffix}"
        rows = curate.queue(audit, actions=("accept", "review", "reject"))
        pictures = None if name == "coco" else folder / "pictures"
        write_queue(audit, rows, out, name, how=ExportOptions(False, pictures))
        for cut in (0, 1):
            back = use(out, partial(_without_first, cut))
            seed = seed_of(back)
            found.append(Seed(seed.files, seed.source, seed.changed, "export"))
            shutil.rmtree(back) if back.is_dir() else back.unlink()
    return tuple(found)


@cache
def corrected() -> tuple[Seed, ...]:
    """Return the source of :func:`audited`, with a mask changed, one gone and one new."""
    source = json.loads(audited()["source.json"])
    rng = random.Random(1)
    annotations = source["annotations"]
    annotations[1] = annotations[1] | {"segmentation": annotations[2]["segmentation"]}
    del annotations[5]
    annotations.append(rng.choice(annotations) | {"id": 99})
    data = json.dumps(source).encode()
    return (Seed({"corrected.json": data}, "corrected.json", ("corrected.json",)),)


@cache
def label_studio() -> tuple[Seed, ...]:
    """Return what people made of a queue's tasks in Label Studio."""
    import curate
    from curate.people.exchange import write_queue
    from curate.people.exchange.registry import ExportOptions

    with _folder() as folder:
        _put(audited(), folder)
        audit = curate.open_audit(folder / "audit")
        rows = curate.queue(audit, actions=("accept", "review", "reject"))
        write_queue(
            audit,
            rows,
            folder / "ls",
            "label-studio",
            how=ExportOptions(False, folder / "pictures"),
        )
        tasks = json.loads((folder / "ls" / "tasks.json").read_bytes())
    for number, task in enumerate(tasks, 1):
        result = task["predictions"][0]["result"]
        made = {"id": 10 + number, "completed_by": 1, "result": result, "was_cancelled": False}
        task |= {"id": number, "annotations": [made | {"lead_time": 3.5}]}
    data = json.dumps(tasks).encode()
    return (Seed({"export.json": data}, "export.json", ("export.json",)),)


def _put(files: dict[str, bytes], folder: Path) -> None:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
