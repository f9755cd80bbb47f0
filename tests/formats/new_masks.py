"""Masks that tests put into files, spelled and read by pycocotools rather than by curate."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import numpy as np
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from curate.formats.polygons import rings_of

HEIGHT, WIDTH = 9, 14


def counts_of(mask: np.ndarray) -> bytes:
    counts: bytes = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
    return counts


def rle_of(mask: np.ndarray) -> dict[str, Any]:
    return {"size": list(mask.shape), "counts": counts_of(mask).decode()}


def runs_of(mask: np.ndarray) -> dict[str, Any]:
    flat = mask.flatten("F").tolist()
    counts = [] if not flat[0] else [0]
    return {
        "counts": counts + [len(list(run)) for _, run in groupby(flat)],
        "size": list(mask.shape),
    }


@st.composite
def masks(draw: st.DrawFn) -> np.ndarray:
    made = np.random.default_rng(draw(st.integers(0, 10**6))).random((HEIGHT, WIDTH)) < 0.5
    if draw(st.booleans()):  # a plain rectangle, which every kind of segmentation can hold
        made[:] = False
        made[draw(st.integers(0, 6)) :, 2 : draw(st.integers(3, WIDTH))] = True
    made[1, 1] = True
    return made


def spelled(mask: np.ndarray, kind: str) -> Any:
    if kind == "polygon":
        rings = rings_of(counts_of(mask), HEIGHT, WIDTH, seams=True)
        assert rings is not None
        return rings
    return rle_of(mask) if kind == "rle" else runs_of(mask)


def kind_of(value: Any) -> str:
    if isinstance(value, list):
        return "polygon"
    return "rle" if isinstance(value["counts"], str) else "runs"


def pixels(value: Any) -> np.ndarray:
    if isinstance(value, list) or isinstance(value["counts"], list):
        value = coco_mask.frPyObjects(value, HEIGHT, WIDTH)
        value = coco_mask.merge(value) if isinstance(value, list) else value
    return np.asarray(coco_mask.decode(value)) > 0


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["size", "counts", "id", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
"""Whatever may stand where a reader expects something else."""
