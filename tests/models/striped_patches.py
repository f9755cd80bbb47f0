"""Pictures whose objects differ from the ground by stripes too fine for a verifier's crops."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image, ImageDraw
from shapes_dataset import _run_lengths

SIZE = (130, 360)


def write_striped(folder: Path, count: int, seed: int = 0) -> Path:
    """Write pictures of three patches each; return the annotation file.

    Patches have upright stripes of a pixel, the ground level ones; both have the same mean colour.
    """
    random = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    height, width = SIZE
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    down, across = np.mgrid[:height, :width]
    for number in range(count):
        patches = np.zeros(SIZE, bool)
        for k in range(3):
            w, h = (int(v) for v in random.integers(60, 96, 2))
            x = 10 + 118 * k + int(random.integers(0, 10))
            y = int(random.integers(10, height - h - 10))
            drawn = Image.new("L", (width, height))
            pen = ImageDraw.Draw(drawn)
            (pen.ellipse if random.random() < 0.5 else pen.rectangle)([x, y, x + w, y + h], fill=1)
            mask = np.asarray(drawn) > 0
            patches |= mask
            annotations.append(
                {"id": len(annotations), "image_id": number, "category_id": 1, "iscrowd": 0}
                | {"segmentation": {"size": [*SIZE], "counts": _run_lengths(mask)}}
                | {"bbox": [x, y, w + 1, h + 1], "area": int(mask.sum())}
            )
        stripes = 80.0 * np.where(patches, across % 2, down % 2) - 40
        levels = np.clip(128 + stripes + random.normal(0, 4, SIZE), 0, 255).astype(np.uint8)
        Image.fromarray(np.repeat(levels[..., None], 3, 2)).save(folder / f"images/{number}.png")
        images.append(
            {"id": number, "file_name": f"{number}.png", "height": height, "width": width}
        )
    source = folder / "instances.json"
    categories = [{"id": 1, "name": "patch"}]
    source.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    return source


def write_stripe_encoder(path: Path) -> Path:
    """Write an ONNX encoder that sees how strong upright and level stripes are."""
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 128, 128])
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    kernels = np.zeros((2, 3, 3, 3), np.float32)
    kernels[0, :, 1], kernels[1, :, :, 1] = [1, -2, 1], [1, -2, 1]
    pooled = {"kernel_shape": [8, 8], "strides": [8, 8]}
    nodes = [
        helper.make_node("Conv", ["x", "kernels"], ["edges"], pads=[1, 1, 1, 1]),
        helper.make_node("Abs", ["edges"], ["strength"]),
        helper.make_node("AveragePool", ["strength"], ["y"], **pooled),
    ]
    weights = [numpy_helper.from_array(kernels, "kernels")]
    graph = helper.make_graph(nodes, "stripes", [given], [answer], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path
