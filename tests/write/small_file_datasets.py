"""Small datasets in the formats that are XML, text and pictures, with what careless tools lose."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from drawn_masks import Rng, Size, box_of, runs_of, scene, stars
from mask_files import save_png
from PIL import Image
from small_json_datasets import SIZES, picture
from tiff_files import tiff

LABELS = ("cell", "R&amp;D", "&#233;t&#233;")


def chunk(kind: bytes, body: bytes) -> bytes:
    crc = struct.pack(">I", zlib.crc32(kind + body))
    return struct.pack(">I", len(body)) + kind + body + crc


# --- CVAT ----------------------------------------------------------------------------------------


def _mask_xml(mask: np.ndarray, label: str, inner: str) -> str:
    x, y, w, h = box_of(mask)
    runs = ", ".join(map(str, runs_of(mask[y : y + h, x : x + w].ravel())))
    box = f'left="{x}" top="{y}" width="{w}" height="{h}"'
    tag = f'<mask label="{label}" source=\'manual\' occluded="1" rle="{runs}" {box} z_order="2"'
    return f"{tag}>{inner}</mask>" if inner else f"{tag} />"


def _polygon_xml(rings: list[list[float]], label: str, inner: str) -> str:
    pairs = zip(rings[0][::2], rings[0][1::2], strict=True)
    points = ";".join(f"{x:.2f},{y:.2f}" for x, y in pairs)
    tag = f'<polygon z_order="0" points="{points}" own="1 &lt; 2" label="{label}"'
    return f"{tag}>{inner}</polygon>" if inner else f"{tag}/>"


def _attributes(number: int, with_ids: bool) -> str:
    if with_ids:
        return (
            f'\n      <attribute name="mask_id">{number}</attribute>'
            '<attribute name="colour">rot &amp; blau</attribute>\n    '
        )
    return ' <attribute name="colour">x</attribute> ' if number % 2 else ""


def _cvat(folder: Path, rng: Rng, with_ids: bool) -> Path:
    images = []
    number = 11
    for k, (size, count) in enumerate(zip(SIZES, (4, 3, 0), strict=True)):
        head = f'<image id="{k}" name="sub/{k} é.jpg" width="{size[1]}" height="{size[0]}" own="y"'
        if not count:
            images.append(f"{head}/>")
            continue
        masks = scene(rng, size, count - 1)
        rings = stars(rng, size, 1, masks)
        made: list[str] = []
        for i in range(count):
            label, inner = LABELS[number % 2], _attributes(number, with_ids)
            number += 3
            polygon = _polygon_xml(rings[0], label, inner) if i == 1 else ""
            mask = masks[i - (i > 1)] if not polygon else None
            made.append(polygon if mask is None else _mask_xml(mask, label, inner))
        made.insert(
            1, '<box label="cell" xtl="1.0" ytl="2" xbr="9" ybr="8"><attribute name="a"/></box>'
        )
        made.insert(2, "<!-- <mask label='x'/> -->")
        made.append('<tag label="cell" source="manual"></tag>')
        made.append("<strange><shape label='cell' rle='1, 2'/></strange>")
        images.append(f"{head}>\n    " + "\n    ".join(made) + "\n  </image>")
    declared = "".join(
        f"<attribute><name>{name}</name><mutable>False</mutable><input_type>text</input_type>"
        "<default_value></default_value><values></values></attribute>"
        for name in ("mask_id", "colour")
    )
    labels = "".join(
        f"\n        <label>\n          <name>{label}</name>\n          <attributes>{declared}"
        "</attributes>\n        </label>"
        for label in LABELS
    )
    meta = f"<meta><task><labels>{labels}\n      </labels></task></meta>"
    body = "\n  ".join(["<version>1.1</version>", meta, *images])
    text = f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  {body}\n</annotations>\n'
    path = folder / "annotations.xml"
    path.write_bytes(text.encode("utf-8"))
    return path


def cvat(folder: Path, rng: Rng) -> Path:
    """Masks and polygons with ids, between boxes, tags, comments and unknown elements."""
    return _cvat(folder, rng, True)


def cvat_bare(folder: Path, rng: Rng) -> Path:
    """The same without ids, some of the shapes without anything in them."""
    return _cvat(folder, rng, False)


def cvat_video(folder: Path, rng: Rng) -> Path:
    """Tracks of one frame as CVAT exports shapes, with shapes between keyframes and boxes."""
    size = SIZES[0]
    tracks: list[str] = []
    number = 11
    for frame, count in ((0, 4), (7, 3)):
        masks = scene(rng, size, count - 1)
        (star,) = stars(rng, size, 1, masks)
        for i in range(count):
            made = []
            for at, keyframe, outside in ((frame, 1, 0), (frame + 1, 0, 0), (frame + 2, 1, 1)):
                state = f'frame="{at}" keyframe="{keyframe}" outside="{outside}"'
                inner = _attributes(number, with_ids=True).replace("\n", "\n  ")
                shape = _polygon_xml(star, "", inner)
                if i != 1:
                    shape = _mask_xml(masks[i - (i > 1)], "", inner)
                made.append(shape.replace(' label=""', f" {state}", 1))
            label = LABELS[number % 2]
            head = f'<track id="{len(tracks)}" label="{label}" source="manual">'
            tracks.append(head + "".join(f"\n    {one}" for one in made) + "\n  </track>")
            number += 3
    box = '<box frame="0" keyframe="1" outside="0" xtl="1.0" ytl="2" xbr="9" ybr="8"></box>'
    tracks.insert(2, f'<track id="90" label="cell" own="y"><!-- a box -->{box}</track>')
    declared = "".join(
        f"<attribute><name>{name}</name><mutable>False</mutable></attribute>"
        for name in ("mask_id", "colour")
    )
    labels = "".join(
        f"\n    <label><name>{label}</name><attributes>{declared}</attributes></label>"
        for label in LABELS
    )
    sides = f"<original_size><width>{size[1]}</width><height>{size[0]}</height></original_size>"
    frames = "<size>20</size><start_frame>0</start_frame><stop_frame>19</stop_frame>"
    meta = f"<meta><task><id>5</id>{frames}<labels>{labels}</labels>{sides}</task></meta>"
    body = "\n  ".join(["<version>1.1</version>", meta, *tracks])
    text = f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  {body}\n</annotations>\n'
    path = folder / "annotations.xml"
    path.write_bytes(text.encode("utf-8"))
    return path


# --- YOLO ----------------------------------------------------------------------------------------


def _yolo_line(ring: list[float], size: Size, number: int) -> str:
    values = [value / size[1 - i % 2] for i, value in enumerate(ring)]
    return f"{number} " + " ".join(f"{value:.5f}" for value in values)


def yolo(folder: Path, rng: Rng) -> Path:
    """Windows line ends in one file, blank and broken lines in another, one image without label."""
    root = folder / "yolo"
    for name in ("images/train", "labels/train"):
        (root / name).mkdir(parents=True)
    names = "# classes\nnames:\n  0: cat\n  1: 'R&D'\n  7: \"dog\"\nnc: 8  # own\n"
    (root / "data.yaml").write_text(f"path: .\ntrain: images/train\n{names}")
    for k, size in enumerate(SIZES):
        kind = ("JPEG", "PNG", "PNG")[k]
        ending = kind.lower().replace("jpeg", "jpg")
        (root / "images/train" / f"{k}.{ending}").write_bytes(picture(size, kind))
    lines = [
        [_yolo_line(one[0], size, (0, 1, 7, 0)[i]) for i, one in enumerate(stars(rng, size, count))]
        for size, count in zip(SIZES[:2], (4, 3), strict=True)
    ]
    (root / "labels/train/0.txt").write_bytes("".join(f"{one}\r\n" for one in lines[0]).encode())
    odd = [lines[1][0], "", f"  {lines[1][1]}\t ", "1 0.1 0.2", lines[1][2]]
    (root / "labels/train/1.txt").write_text("\n".join(odd))
    return root


# --- PNGs ----------------------------------------------------------------------------------------


def png_folder(folder: Path, rng: Rng) -> Path:
    """Masks of several kinds of PNG, in the layout of the 2018 Data Science Bowl."""
    root = folder / "stage1"
    for name, size, count in (("a1", SIZES[0], 4), ("b2", SIZES[1], 3), ("none", SIZES[2], 0)):
        (root / name / "masks").mkdir(parents=True)
        save_png(root / name / "images" / f"{name}.png", np.zeros(size, np.uint8), "RGB")
        for k, mask in enumerate(scene(rng, size, count) if count else []):
            pixels: Any = (mask, mask.astype(np.uint8) * 7, mask)[k % 3]
            save_png(root / name / "masks" / f"{k:x}f{name}.png", pixels, "1" if k == 2 else None)
    (root / "solution.csv").write_text("ImageId,EncodedPixels\r\n")
    return root


def tiff_folder(folder: Path, rng: Rng) -> Path:
    """Masks as TIFFs of several kinds, one a file, in folders called like their images."""
    root = folder / "cells"
    for name, size, count in (("a1", SIZES[0], 4), ("b2", SIZES[1], 3), ("none", SIZES[2], 0)):
        (root / "masks" / name).mkdir(parents=True)
        save_png(root / "images" / f"{name}.png", np.zeros(size, np.uint8), "RGB")
        for k, mask in enumerate(scene(rng, size, count) if count else []):
            pixels: Any = (mask.astype(np.uint8) * 255, mask.astype(np.uint16) * 7, mask)[k % 3]
            how: dict[str, Any] = ({"rows": 7}, {"packing": 8, "order": ">"}, {})[k % 3]
            (root / "masks" / name / f"{k:02d}.tif").write_bytes(tiff(pixels, **how) + b"behind")
    return root


SHEET = (
    "id,area,bbox_x0,bbox_y0,bbox_w,bbox_h,point_input_x,point_input_y,predicted_iou,"
    "stability_score,crop_box_x0,crop_box_y0,crop_box_w,crop_box_h"
)


def amg(folder: Path, rng: Rng) -> Path:
    """Folders as ``amg.py`` writes them: boxes one pixel short, a CSV without a last line end."""
    root = folder / "amg"
    for name, size, count in (("x", SIZES[0], 4), ("y z", SIZES[1], 3), ("none", SIZES[2], 0)):
        (root / name).mkdir(parents=True)
        lines = [SHEET]
        for k, mask in enumerate(scene(rng, size, count) if count else []):
            save_png(root / name / f"{k}.png", mask)
            x, y, w, h = box_of(mask)
            numbers = (k, int(mask.sum()), x, y, w - 1, h - 1, x + 0.5, y + 0.5, 0.93, 0.97)
            lines.append(",".join(map(str, (*numbers, 0, 0, size[1], size[0]))))
        (root / name / "metadata.csv").write_text("\n".join(lines))
    return root


def _with_chunks(path: Path, *chunks: bytes) -> None:
    """Put chunks behind the header of a PNG, and bytes behind its end."""
    data = path.read_bytes()
    path.write_bytes(data[:33] + b"".join(chunks) + data[33:] + b"behind")


def label_png(folder: Path, rng: Rng) -> Path:
    """Ids in 8-bit gray, 16-bit gray, a palette and colours; one picture without any."""
    root = folder / "ids" / "masks"
    root.mkdir(parents=True)
    kinds = (("gray", np.uint8), ("deep", np.uint16), ("palette", np.uint8), ("colour", np.int32))
    for k, (name, kind) in enumerate(kinds):
        height, width = SIZES[k % 3]
        size = 3 * height, 3 * width  # ids are told from photos by their patches
        ids = np.zeros(size, kind)
        step = {"deep": 700, "colour": 70_001}.get(name, 2)
        for i, mask in enumerate(scene(rng, size, 3)):
            ids[mask] = step * (i + 1) + 1
        pixels: Any = ids
        if name == "colour":
            pixels = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=2).astype(np.uint8)
        image = Image.fromarray(pixels)
        if name == "palette":
            image.putpalette([value for i in range(40) for value in (i, 2 * i, 255 - i)])
        image.save(root / f"{name}.png")
    Image.fromarray(np.zeros(SIZES[1], np.uint8)).save(root / "none.png")
    _with_chunks(root / "gray.png", chunk(b"tEXt", b"who\0me"), chunk(b"prVt", b"\0\1"))
    return folder / "ids"


# --- TIFFs ---------------------------------------------------------------------------------------


def label_tiff(folder: Path, rng: Rng) -> Path:
    """Ids beside their pictures as cellpose leaves them, in several depths, cuts and packings."""
    root = folder / "cells"
    root.mkdir(parents=True)
    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "plain": ("u1", {"description": '{"shape": [90, 120]}'}),
        "strips": ("u2", {"packing": 8, "predictor": 2, "rows": 11}),
        "tiles": ("u4", {"tile": (32, 48), "packing": 8}),
        "big": ("i4", {"big": True, "rows": 20}),
    }
    for k, (name, (kind, how)) in enumerate(kinds.items()):
        height, width = SIZES[k % 3]
        size = 3 * height, 3 * width
        ids = np.zeros(size, kind)
        for i, mask in enumerate(scene(rng, size, 3)):
            ids[mask] = {"u1": 2, "u2": 700}.get(kind, 70_001) * (i + 1) + 1
        (root / f"{name}_masks.tif").write_bytes(tiff(ids, **how) + b"behind")
        noise = rng.normal(900, 300, size).clip(0, 65_535).astype(np.uint16)
        (root / f"{name}.tif").write_bytes(tiff(noise))
    (root / "none_masks.tif").write_bytes(tiff(np.zeros(SIZES[1], np.uint16)))
    (root / "notes.txt").write_text("by cellpose")
    return root


# --- arrays --------------------------------------------------------------------------------------


def label_npy(folder: Path, rng: Rng) -> Path:
    """Ids of several types and orders, alone and beside other arrays; one without any."""
    root = folder / "arrays"
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    for k, (name, kind) in enumerate((("c", "<i4"), ("fortran", ">u2"), ("long", "<i8"))):
        height, width = SIZES[k % 3]
        size = 3 * height, 3 * width
        ids = np.zeros(size, kind)
        for i, mask in enumerate(scene(rng, size, 3)):
            ids[mask] = 700 * (i + 1) + k
        (root / "images" / f"{name}.png").write_bytes(picture(size, "PNG"))
        path: Any = root / "masks" / f"{name}.npy"
        np.save(path, np.asfortranarray(ids) if name == "fortran" else ids)
        if name == "long":
            about: dict[str, Any] = {"flows": rng.random((3, 4)), "boxes": np.zeros((3, 4), int)}
            np.savez_compressed(path.with_suffix(".npz"), labels=ids, **about)
            path.unlink()
    np.save(root / "masks" / "none.npy", np.zeros(SIZES[1], np.uint8))
    return root


def label_npy_layers(folder: Path, rng: Rng) -> Path:
    """A mask a layer, as segmenters give them: booleans, bytes, and beside scores and boxes."""
    root = folder / "arrays"
    root.mkdir()
    save_png(root / "a.png", rng.integers(0, 256, (*SIZES[0], 3)).astype(np.uint8))
    np.save(root / "a_masks.npy", np.stack(scene(rng, SIZES[0], 4)))
    layers = np.stack(scene(rng, SIZES[1], 3))[:, None].astype(np.uint8) * 255
    np.save(root / "b.npy", layers)
    np.save(root / "none.npy", np.zeros((0, *SIZES[2]), bool))
    return root
