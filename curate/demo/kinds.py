"""The list of planted defects: their names, how many there are, and what reason would be right."""

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


KINDS: tuple[Kind, ...] = (
    Kind("duplicate_twin", "the same mask twice", 4, r"twin|duplicate|same object"),
    Kind("near_duplicate", "a second, worse mask of the object", 4, r"twin|duplicate|same object"),
    Kind("part_of", "half of an object that has a mask", 4, r"part of|inside|nested|contain"),
    Kind("nested_wrong", "a patch inside an object", 4, r"part of|inside|nested|contain", 2500),
    Kind("holes", "holes punched", 4, r"hole", 2000),
    Kind("islands", "stray islands", 4, r"fragment|piece|island"),
    Kind("ragged", "ragged outline", 4, r"outline|ragged|edge"),
    Kind("shifted", "shifted", 4, r"edge|other annot|agree|detector"),
    Kind("dilated", "too large all around", 4, r"edge|other annot|agree"),
    Kind("eroded", "too small all around", 4, r"edge|other annot|agree", 2000),
    Kind("cut", "cut off at a straight line", 3, r"straight|cut|outline|agree|shape", 2000),
    Kind("cut_at_crop", "cut off at the crop's border", 3, r"crop", 2000),
    Kind("merged", "merged with its neighbour", 4, r"contain|piece|fragment|agree|shape|detector"),
    Kind("wrong_place", "on the bare table", 4, r"detector|edge|agree"),
    Kind("whole_image", "the whole image", 2, r"whole|cover|image"),
    Kind("odd_shape", "a shape unlike its category", 4, r"unlike|shape|outlier"),
    Kind("wrong_category", "wrong category", 4, r"categor|unlike|shape|agree|detector"),
    Kind("declared_bbox", "stored box of another mask", 3, r"declar|stored|box"),
    Kind("declared_area", "stored area is wrong", 3, r"declar|stored|area"),
    Kind("prompt_outside", "prompt point not in the mask", 4, r"prompt|point"),
    Kind("unstable", "outline that the model is unsure of", 4, r"stab|threshold"),
    Kind("predicted_iou_over_1", "predicted IoU over 1", 2, r"predicted"),
    Kind("undecodable", "run lengths that do not decode", 2, r"undecodable|decode|run"),
    Kind("empty", "empty mask", 2, r"empty|no pixel"),
    Kind("rle_size", "run lengths of another size", 2, r"size"),
    Kind("two_point_polygon", "polygon of two points", 2, r"polygon|point"),
    Kind("duplicate_id", "an id that another mask has", 2, r"\bid\b|duplicate_id"),
    Kind("unknown_image", "image that is not listed", 1, r"unknown_image|image"),
    Kind("category_0", "category 0", 2, r"categor"),
    Kind("missing", "object without a mask", 5, level="missing"),
    Kind("image_missing", "picture not on disk", 1, r"missing", level="image"),
    Kind("image_truncated", "picture cut off", 1, r"truncated|unreadable", level="image"),
    Kind("image_exif_rotated", "picture turned by EXIF", 1, r"exif", level="image"),
    Kind("image_size", "picture of another size", 1, r"size", level="image"),
    Kind("image_near_duplicate", "picture that is nearly another", 1, level="image"),
)
"""Every kind of planted defect, in the order in which it is told."""

ODD_NAME = "html_category"
"""Kind of the masks whose category's name holds markup: no defect, but a name to show as text."""

HTML_CATEGORY = 'fig <b onclick="alert(1)">&amp;</b> \u202eco\u202c "<script>alert(2)</script>"'
"""A category name that must be shown as the text that it is."""

BY_NAME = {kind.name: kind for kind in KINDS}
