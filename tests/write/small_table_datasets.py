"""Small datasets whose masks are listed in tables, with what careless tools lose."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from drawn_masks import Rng, box_of, rasterised, rle_of, runs_of, scene, stars
from mask_files import save_png
from small_json_datasets import SIZES, picture

# --- run lengths in CSV --------------------------------------------------------------------------


def pairs_of(flat: np.ndarray) -> str:
    """Return the runs of a flat mask as pairs of start, from 1, and length."""
    counts = runs_of(flat)
    ends = np.cumsum(counts).tolist()
    made = [f"{end - n + 1} {n}" for end, n in zip(ends[1::2], counts[1::2], strict=True)]
    return " ".join(made)


def kaggle(folder: Path, rng: Rng) -> Path:
    """Sizes and classes, rows of images in any order, quotes, Windows line ends, a blank line."""
    names = ("a b.jpg", '"é, ""x"".png"', "none.png")
    rows = []
    for k, (name, size, count) in enumerate(zip(names, SIZES, (4, 3, 0), strict=True)):
        for i, mask in enumerate(scene(rng, size, count) if count else []):
            runs = pairs_of(mask.ravel("F"))
            runs = f'"{runs}"' if i == 1 else runs
            kind = ("3", "44_7_100", "3")[i % 3]
            rows.append(f"{name},{runs},{size[0]},{size[1]},{kind},{k}{i}")
        if not count:
            rows.append(f"{name},,{size[0]},{size[1]},,")
    rows[3:5] = rows[4], rows[3]
    rows[4:4] = [""]
    head = '\ufeffImageId,"EncodedPixels",Height,Width,ClassId,note'
    path = folder / "train.csv"
    path.write_bytes("\r\n".join([head, *rows]).encode("utf-8"))
    return path


def kaggle_rows(folder: Path, rng: Rng) -> Path:
    """Starts along the rows and image-wide columns, as in the Sartorius competition."""
    lines = ["id,annotation,width,height,cell_type,plate_time,sample_date"]
    for name, size, count in zip(("0a1", "0b2"), SIZES, (4, 3), strict=False):
        for mask in scene(rng, size, count):
            head = f"{name},{pairs_of(mask.ravel())},{size[1]},{size[0]}"
            lines.append(f"{head},astro,11h30m00s,2019-06-16")
    path = folder / "train.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def kaggle_pictures(folder: Path, rng: Rng) -> Path:
    """Names and runs alone: sizes are those of the pictures beside the file."""
    lines = ["ImageId,EncodedPixels"]
    (folder / "train_v2").mkdir()
    for k, (size, count) in enumerate(zip(SIZES, (4, 3, 0), strict=True)):
        (folder / "train_v2" / f"{k}.jpg").write_bytes(picture(size))
        masks = scene(rng, size, count) if count else []
        lines += [f"{k}.jpg,{pairs_of(mask.ravel('F'))}" for mask in masks] or [f"{k}.jpg,"]
    path = folder / "train_ship_segmentations_v2.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


# --- Hugging Face Parquet ------------------------------------------------------------------------


def _features(names: list[str] | None) -> dict[str, str]:
    """Return what ``datasets`` keeps in a file, as far as it matters."""
    text = {"dtype": "string", "_type": "Value"}
    label = text if names is None else {"names": names, "_type": "ClassLabel"}
    objects = {"category": {"feature": label, "_type": "Sequence"}}
    told = {"info": {"features": {"image": {"_type": "Image"}, "objects": objects}}}
    return {"huggingface": json.dumps(told)}


def huggingface(folder: Path, rng: Rng) -> Path:
    """Shards of several row groups, objects as lists of fields, run lengths, a NaN, a null."""
    root = folder / "set"
    (root / "data").mkdir(parents=True)
    (root / "README.md").write_text("---\nlicense: mit\n---\n")
    rle = pa.struct([("size", pa.list_(pa.int32())), ("counts", pa.string())])
    kinds = {"id": pa.int64(), "bbox": pa.list_(pa.float64()), "area": pa.int64()}
    kinds |= {"category": pa.string(), "segmentation": rle, "own": pa.float32()}
    schema = pa.schema(
        {
            "image": pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
            "file_name": pa.string(),
            "image_id": pa.int64(),
            "height": pa.int32(),
            "width": pa.int32(),
            "objects": pa.struct([(name, pa.list_(kind)) for name, kind in kinds.items()]),
            "weight": pa.float64(),
        },
        metadata=_features(None),
    )
    rows = []
    for k, (size, count) in enumerate(zip(SIZES, (4, 3, 0), strict=True)):
        masks = scene(rng, size, count) if count else []
        objects = {
            "id": [100 - 10 * k - i for i in range(count)],
            "bbox": [[float(side) for side in box_of(mask)] for mask in masks],
            "area": [int(mask.sum()) for mask in masks],
            "category": [("cat", "R&D é")[i % 2] for i in range(count)],
            "segmentation": [rle_of(mask) for mask in masks],
            "own": [(0.1, float("nan"), None, 2.5)[i] for i in range(count)],
        }
        picture_of = {"bytes": picture(size), "path": f"{k} é.jpg"}
        about = {"file_name": f"{k} é.jpg", "image_id": 7 - k, "height": size[0], "width": size[1]}
        weight = (float("nan"), None, 1.5)[k]
        rows.append({"image": picture_of, "objects": objects, "weight": weight} | about)
    for name, some in (("00000", rows[:2]), ("00001", rows[2:])):
        path = root / "data" / f"train-{name}-of-00002.parquet"
        table = pa.Table.from_pylist(some, schema=schema)
        codecs = {"weight": "gzip", "file_name": "none"}
        with pq.ParquetWriter(path, schema, compression=codecs) as writer:
            writer.write_table(table, row_group_size=1)
    return root


def huggingface_list(folder: Path, rng: Rng) -> Path:
    """One file, objects as a list, polygons, numbered categories, sizes of the pictures."""
    one = pa.struct(
        [
            ("label", pa.int64()),
            ("bbox", pa.list_(pa.float32(), 4)),
            ("segmentation", pa.list_(pa.list_(pa.float64()))),
        ]
    )
    told = json.loads(_features(["cat", "dog"])["huggingface"])
    told["info"]["features"]["objects"] = [{"label": {"names": ["cat", "dog"]}}]
    schema = pa.schema(
        {
            "image": pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
            "objects": pa.list_(one),
        },
        metadata={"huggingface": json.dumps(told), "mine": "é"},
    )
    rows = []
    for k, (size, count) in enumerate(zip(SIZES, (4, 3, 0), strict=True)):
        objects = []
        for i, rings in enumerate(stars(rng, size, count)):
            x, y, w, h = box_of(rasterised(rings, size))
            objects.append({"label": i % 2, "bbox": [x, y, x + w, y + h], "segmentation": rings})
        rows.append(
            {"image": {"bytes": picture(size, "PNG"), "path": f"{k}.png"}, "objects": objects}
        )
    path = folder / "train.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, row_group_size=2)
    return path


# --- Open Images ---------------------------------------------------------------------------------

CODES = {"/m/01": "Cat", "/m/02": 'R&D, "é"', "/m/03": "New"}


def open_images(folder: Path, rng: Rng) -> Path:
    """Two splits, classes by code, PNGs of half the picture's size, of one bit and of 8."""
    root = folder / "set"
    (root / "annotations").mkdir(parents=True)
    names = '/m/01,Cat\n/m/02,"R&D, ""é"""\n/m/03,New\n'
    (root / "annotations" / "class-descriptions.csv").write_text(names)
    head = "MaskPath,ImageID,LabelName,BoxID,BoxXMin,BoxXMax,BoxYMin,BoxYMax,PredictedIoU,Clicks"
    for k, (split, size, count) in enumerate((("train", SIZES[0], 4), ("validation", SIZES[1], 3))):
        image = f"0{k}ab"
        (root / "images" / split).mkdir(parents=True)
        (root / "masks" / split).mkdir(parents=True)
        shown = size[0] * 2, size[1] * 2
        (root / "images" / split / f"{image}.jpg").write_bytes(picture(shown))
        lines = [head]
        for i, mask in enumerate(scene(rng, size, count)):
            code = list(CODES)[i % 2]
            name = f"{image}_{code.replace('/', '')}_{i}f.png"
            save_png(root / "masks" / split / name, mask, "1" if i % 2 else None)
            box = "0.1,0.9,0.25,0.75"
            lines.append(f'{name},"{image}",{code},{i}f,{box},0.8{i},0.1 0.2 1;0.5 0.5 0')
        path = root / "annotations" / f"{split}-annotations-object-segmentation.csv"
        path.write_bytes(("\r\n" if k else "\n").join(lines).encode())
    return root
