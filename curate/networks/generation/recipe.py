"""Recipes of mask generation: presets, TOML files and single settings over them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

from curate.common.json_values import JsonObject
from curate.common.ranges import Range, check_number
from curate.errors import CallError
from curate.policy.settings_file import read_toml

MAX_CANDIDATES = 1 << 20
"""Candidates that one image can have at most; their ids are numbered within it."""

MASKS_PER_POINT = 3

SELECTION_SETTINGS = (
    *("pred_iou", "stability", "crop_margin_px", "nms", "nms_iou"),
    *("coverage", "min_region_px"),
)
"""Settings that can be moved without asking the network again."""

_RANGES: Mapping[str, Range] = {
    "points_per_side": Range(1, 1024, whole=True),
    "crop_layers": Range(0, 6, whole=True),
    "points_downscale": Range(1, 64, whole=True),
    "crop_overlap": Range(0, 0.95),
    "mask_threshold": Range(-1000, 1000),
    "stability_offset": Range(0, 1000),
    "pred_iou": Range(-10, 10),
    "stability": Range(0, 1),
    "crop_margin_px": Range(0, 2**31, whole=True),
    "nms_iou": Range(0, 1),
    "coverage": Range(0, 1),
    "min_region_px": Range(0, 2**31, whole=True),
    "keep_pred_iou": Range(-10, 10),
    "keep_stability": Range(0, 1),
}
_NMS = ("box", "mask")


@dataclass(frozen=True)
class Recipe:
    """How masks are generated; the default is that of SA-1B (arXiv 2304.02643, appendix B).

    Attributes:
        name: Of the preset or file it came from.
        points_per_side: Points along each side of the whole image.
        crop_layers: Layers of crops under the whole image; layer i has 2**i crops a side.
        points_downscale: By how much each layer has fewer points a side.
        crop_overlap: How much crops of layer 1 overlap, as a share of the image's short side;
            halved with each layer.
        mask_threshold: Logit over which a pixel is in the mask.
        stability_offset: How far the threshold is moved both ways for the stability.
        pred_iou: Masks of a predicted IoU not over it are dropped.
        stability: Masks of a stability under it are dropped.
        crop_margin_px: A mask is dropped where a side of its box is this near to a side of its
            crop, and not to the same side of the image.
        nms: "box", as in the paper, or "mask" for exact IoU.
        nms_iou: Masks of an IoU over it are one object.
        coverage: Masks that cover this share of the image or more are dropped; 1 drops none.
        min_region_px: Holes under this area are filled, islands under it removed, and masks
            dropped of which nothing is left; 0 leaves all as drawn.
        keep_pred_iou: Candidates up to this predicted IoU are only counted: ``pred_iou`` cannot be
            moved under it afterwards.
        keep_stability: Candidates under this stability are only counted, likewise.
    """

    name: str = "sa1b"
    points_per_side: int = 32
    crop_layers: int = 2
    points_downscale: int = 2
    crop_overlap: float = 512 / 1500
    mask_threshold: float = 0.0
    stability_offset: float = 1.0
    pred_iou: float = 0.88
    stability: float = 0.95
    crop_margin_px: int = 20
    nms: str = "box"
    nms_iou: float = 0.7
    coverage: float = 0.95
    min_region_px: int = 100
    keep_pred_iou: float = 0.75
    keep_stability: float = 0.85

    def __post_init__(self) -> None:
        for name, allowed in _RANGES.items():
            number = check_number(getattr(self, name), allowed, name, "recipe")
            object.__setattr__(self, name, number)
        if self.nms not in _NMS:
            raise CallError(f"nms is {self.nms!r}", "recipe", "choose from " + ", ".join(_NMS))
        for cut in ("pred_iou", "stability"):
            if getattr(self, f"keep_{cut}") > getattr(self, cut):
                raise CallError(
                    f"keep_{cut} is over {cut}", "recipe", "keep at least what passes the cut"
                )
        self._check_points()

    def _check_points(self) -> None:
        if self.points_of_layer(self.crop_layers) < 1:
            raise CallError(
                f"{self.points_per_side} points a side leave none on crop layer {self.crop_layers}",
                "recipe",
                "ask for more points, fewer layers, or a smaller points_downscale",
            )
        points = sum(
            (2**layer * self.points_of_layer(layer)) ** 2 for layer in range(self.crop_layers + 1)
        )
        if MASKS_PER_POINT * points > MAX_CANDIDATES:
            raise CallError(f"it asks for {points:,} points per image", "recipe", "ask for fewer")

    def points_of_layer(self, layer: int) -> int:
        """Return the points along each side of a crop of a layer; layer 0 is the whole image."""
        return int(self.points_per_side / self.points_downscale**layer)

    @property
    def prompt_settings(self) -> dict[str, object]:
        """The settings of prompting and of keeping candidates."""
        return {k: v for k, v in asdict(self).items() if k not in ("name", *SELECTION_SETTINGS)}

    @property
    def selection_settings(self) -> dict[str, object]:
        """The settings of selection."""
        return {k: v for k, v in asdict(self).items() if k in SELECTION_SETTINGS}


_POPULAR = Recipe("popular", crop_layers=0, coverage=1.0, min_region_px=0)

PRESETS: dict[str, Recipe] = {
    "sa1b": Recipe(),
    "popular": _POPULAR,
    "sam2": replace(_POPULAR, name="sam2", pred_iou=0.8, keep_pred_iou=0.65),
}
"""``sa1b`` is the paper's whole recipe; ``popular`` and ``sam2`` are the defaults of the generators
in SAM's and SAM 2's released code: no crops, no islands and holes, no limit of coverage."""


def load_recipe(
    recipe: str | Path | JsonObject | Recipe = "sa1b",
    settings: JsonObject | None = None,
) -> Recipe:
    """Return a recipe with some settings of one's own.

    Args:
        recipe: A preset's name, a TOML file or a mapping of settings (over those of the preset that
            ``extends`` names, else of ``sa1b``), or a recipe.
        settings: Settings over that. A cut under what the recipe keeps takes that along.

    Raises:
        CallError: There is no such recipe or setting, or a value does not make sense.
    """
    if isinstance(recipe, Recipe):
        return _override(recipe, settings or {}, "recipe")
    if isinstance(recipe, Mapping):
        return _override(_from_base(recipe, "recipe"), settings or {}, "recipe")
    if str(recipe) in PRESETS:
        return _override(PRESETS[str(recipe)], settings or {}, "recipe")
    path = Path(recipe)
    if path.suffix.lower() != ".toml":
        known = ", ".join(PRESETS)
        raise CallError(f"there is no recipe {recipe}", "--recipe", f"use {known} or a TOML file")
    try:
        content = read_toml(path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CallError(f"it cannot be read ({reason})", str(path), "check the path") from None
    except ValueError as error:
        raise CallError(f"it is no TOML ({error})", str(path)) from None
    base = {"name": path.stem} | content
    return _override(_from_base(base, str(path)), settings or {}, "recipe")


def _from_base(content: JsonObject, where: str) -> Recipe:
    own = dict(content)
    extends = own.pop("extends", "sa1b")
    if not isinstance(extends, str) or extends not in PRESETS:
        known = ", ".join(PRESETS)
        raise CallError(f"it extends an unknown preset, {extends!r}", where, f"use {known}")
    return _override(PRESETS[extends], own, where)


def _override(recipe: Recipe, settings: JsonObject, where: str) -> Recipe:
    known = [field.name for field in fields(Recipe)]
    for name in settings:
        if name not in known:
            close = get_close_matches(str(name), known, 1)
            do = f"did you mean {close[0]}?" if close else "use " + ", ".join(known)
            raise CallError(f"there is no setting {name!r}", where, do)
    own = dict(settings)
    if not isinstance(own.get("name", ""), str):
        raise CallError("name must be a text", where)
    for cut in ("pred_iou", "stability"):
        keep = f"keep_{cut}"
        if cut in own and keep not in own:
            value = check_number(own[cut], _RANGES[cut], cut, "recipe")
            own[keep] = min(value, getattr(recipe, keep))
    try:
        return replace(recipe, **cast(dict[str, Any], own))  # the recipe checks the values
    except CallError as error:
        raise CallError(error.what, where, error.do) from None
