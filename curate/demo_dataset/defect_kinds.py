"""Kinds of planted defects: names, counts, and the reasons that fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Kind:
    """One kind of planted defect.

    Attributes:
        name: Its name in ``truth.json``.
        title: Its name for people.
        count: How many are planted among 24 images.
        reason: Regular expression that the reasons, or the status, of a mask match if it was found
            for the right cause; empty where no model-free signal is about this kind.
        least_px: The smallest mask that it is planted on, in pixels.
        level: "mask"; "image" for defects of picture files; "missing" for objects without a mask.
    """

    name: str
    title: str
    count: int
    reason: str = ""
    least_px: int = 900
    level: Literal["mask", "image", "missing"] = "mask"


OTHERS = "|others|edge|detector"
"""What reasons say where the picture, a detector or another annotator speaks against a mask."""

KINDS: tuple[Kind, ...] = (
    Kind("duplicate_twin", "the same mask twice", 3, "twin|duplicate|same object"),
    Kind("near_duplicate", "a second, worse mask of the object", 3, "twin|duplicate|same object"),
    Kind("part_of", "half of an object that has a mask", 3, "part of|inside|nested" + OTHERS),
    Kind("nested_wrong", "a patch inside an object", 3, "part of|inside|nested" + OTHERS, 2500),
    Kind("holes", "holes punched", 3, "hole", 2000),
    Kind("islands", "stray islands", 3, "fragment|piece|island|speck|split|apart"),
    Kind("ragged", "ragged outline", 3, "outline|ragged|torn|compact|edge"),
    Kind("shifted", "shifted", 3, "shifted|moved" + OTHERS),
    Kind("dilated", "too large all around", 3, "too large" + OTHERS),
    Kind("eroded", "too small all around", 3, "too small" + OTHERS, 2000),
    Kind("cut", "cut off at a straight line", 3, "straight|cut|compact|shape" + OTHERS, 2000),
    Kind("cut_at_crop", "cut off at the crop's border", 3, "crop|straight|cut", 2000),
    Kind("merged", "merged with its neighbour", 3, "contain|piece|apart|split|shape" + OTHERS),
    Kind("wrong_place", "on the bare table", 3, "place" + OTHERS),
    Kind("whole_image", "the whole image", 2, "whole|covers"),
    Kind("odd_shape", "a shape unlike its category", 3, "unlike|shape|outlier" + OTHERS),
    Kind("wrong_category", "wrong category", 3, "categor|something else|unlike"),
    Kind("declared_bbox", "stored box of another mask", 2, "declar|stored|box"),
    Kind("declared_area", "stored area is wrong", 2, "declar|stored|area"),
    Kind("prompt_outside", "prompt point not in the mask", 3, "prompt|point"),
    Kind("unstable", "outline that the model is unsure of", 3, "stabil|threshold"),
    Kind("predicted_iou_over_1", "predicted IoU over 1", 2, "predict"),
    Kind("undecodable", "run lengths that do not decode", 2, "undecodable|decode|runs"),
    Kind("empty", "empty mask", 2, "empty|no pixel"),
    Kind("rle_size", "run lengths of another size", 2, "size|the rle is"),
    Kind("two_point_polygon", "polygon of two points", 1, "polygon|points"),
    Kind("duplicate_id", "an id that another mask has", 1, r"\bid\b|duplicate_id"),
    Kind("unknown_image", "image that is not listed", 1, "unknown_image|among the images"),
    Kind("category_0", "category 0", 2, "categor"),
    Kind("missing", "object without a mask", 5, level="missing"),
    Kind("image_missing", "picture not on disk", 1, "missing", level="image"),
    Kind("image_truncated", "picture cut off", 1, "truncated|unreadable", level="image"),
    Kind("image_exif_rotated", "picture turned by EXIF", 1, "exif", level="image"),
    Kind("image_size", "picture of another size", 1, "size", level="image"),
    Kind("image_near_duplicate", "picture that is nearly another", 1, level="image"),
)
"""Every kind of planted defect, in the order in which it is told."""

ODD_NAME = "html_category"
"""Kind of the masks whose category's name holds markup: no defect, but a name to show as text."""

HTML_CATEGORY = 'fig <b onclick="alert(1)">&amp;</b> \u202eco\u202c "<script>alert(2)</script>"'
"""A category name that must be shown as the text that it is."""

BY_NAME = {kind.name: kind for kind in KINDS}
