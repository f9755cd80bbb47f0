"""Settings of an engine, ``engine.json``: written once, when the engine is set up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, cast

from curate import __version__
from curate.common.json_values import JsonObject
from curate.common.own_records import read_record
from curate.common.ranges import check_numbers
from curate.errors import AuditError, CallError
from curate.networks.generation.recipe import PRESETS
from curate.store.audit_files import write_json
from curate.store.engine_folder import ENGINE, is_engine

SCHEMA_VERSION = 1

ROUNDS = 6
"""Rounds of the first stage, as in *Segment Anything* (arXiv 2304.02643, section 4)."""

PREFILL_ROUNDS = 5
"""Rounds of the second stage, as there."""

MAX_BAD = 0.05
"""Largest allowed share of bad masks among the prefilled."""

IMAGE_RULE = "random"
"""How the images of a round are chosen: "diverse" was not found to need fewer images for the same
segmenter (``reports/engine``)."""

LIGHT_RECIPE: dict[str, object] = {"extends": "popular", "points_per_side": 16}
"""Recipe of proposals: a quarter of the points, and no crops. What is missed people add."""

CUTS = ("pred_iou", "stability")
"""Settings of the recipe of proposals that are chosen on the validation images."""

FULL_RECIPE = "sa1b"
"""Recipe of the automatic stage, the paper's whole one."""


@dataclass(frozen=True)
class RoundTraining:
    """How the segmenter is trained in each round; see :func:`curate.train_segmenter`.

    Attributes:
        encoder: Whether the image encoder is trained too.
        size: Side of a new segmenter's input in pixels; None for the default.
        epochs: Most epochs.
        patience: Epochs without a better validation IoU after which it ends.
        batch: Images a step.
        prompts: Masks prompted an image and step.
        learning_rate: Of AdamW; None for the default.
    """

    encoder: bool = False
    size: int | None = None
    epochs: int = 100
    patience: int = 10
    batch: int = 4
    prompts: int = 8
    learning_rate: float | None = None

    def __post_init__(self) -> None:
        check_numbers(**vars(self))


@dataclass(frozen=True)
class RoundDetector:
    """How a round's detector of the second stage is trained; see :func:`curate.train_detector`.

    Attributes:
        start: Weights of the first one, a folder or a hub name; None for a small RT-DETR from
            nothing. Later ones start from that of the round before.
        size: Side of the input of the first one in pixels; None for its own, or the default.
        epochs: Most epochs.
    """

    start: str | None = None
    size: int | None = None
    epochs: int = 100

    def __post_init__(self) -> None:
        check_numbers(detector_size=self.size, detector_epochs=self.epochs)


@dataclass(frozen=True)
class EngineSettings:
    """Settings of an engine.

    Attributes:
        images: Folder of the pictures.
        segmenter: The segmenter to start with, a folder or a hub name; None for none.
        fingerprint: Of its files; "" for none.
        classes: Names that people can give masks.
        validation: Images that are set aside to validate on.
        validation_proposals: Whether the first segmenter proposes masks for them too.
        rounds: Most rounds of the first stage.
        round_images: Images a round.
        image_rule: How they are chosen, one of :data:`curate.common.ranges.ROUND_RULES`.
        recipe: By which masks are proposed, as :func:`curate.generate` takes it.
        training: Of the segmenter.
        seed: Of all that is drawn by chance.
        created: When it was set up, ISO 8601 in UTC.
        prefill_rounds: Rounds of the second stage; 0 for none.
        max_bad: Share of bad masks among the prefilled, and among the certified, that is put up
            with.
        detector: Of the second stage.
        automatic: Whether the third stage follows, over all images that are left.
        full_recipe: By which masks are generated there, as :func:`curate.generate` takes it.
        sample: Masks that people review there by chance; 0: as many as ``max_bad`` takes.
        set_cuts: Those of :data:`CUTS` that stay as ``recipe`` has
            them; the others are chosen on the validation images.
        mask_choice: What chooses among the masks of a point, one of
            :data:`curate.common.ranges.MASK_CHOICES`.
        full_set_cuts: As ``set_cuts``, of ``full_recipe``.
    """

    images: str
    segmenter: str | None
    fingerprint: str
    classes: tuple[str, ...]
    validation: int
    validation_proposals: bool
    rounds: int
    round_images: int
    image_rule: str
    recipe: dict[str, object]
    training: RoundTraining = field(default_factory=RoundTraining)
    seed: int = 0
    created: str = ""
    prefill_rounds: int = 0
    max_bad: float = MAX_BAD
    detector: RoundDetector = field(default_factory=RoundDetector)
    automatic: bool = False
    full_recipe: dict[str, object] = field(default_factory=dict)
    sample: int = 0
    set_cuts: tuple[str, ...] = CUTS
    mask_choice: str = "predicted"
    full_set_cuts: tuple[str, ...] = CUTS

    def write(self, folder: Path) -> None:
        """Write ``engine.json``."""
        header = {"schema_version": SCHEMA_VERSION, "tool": "curate", "tool_version": __version__}
        write_json(folder / ENGINE, header | asdict(self))


_ADDED = (
    *("prefill_rounds", "max_bad", "detector", "automatic", "full_recipe", "sample"),
    *("set_cuts", "mask_choice", "full_set_cuts"),
)
"""Settings that engines written before have not; those end after the first stage, or the second, as
ever, their recipe's cuts stay, and predicted IoU chooses among masks."""


def find_named_cuts(
    recipe: str | Path | JsonObject | None, settings: Mapping[str, object] | None
) -> tuple[str, ...]:
    """Return the cuts that a user sets: by a setting, or in a recipe that is no preset.

    Args:
        recipe: The recipe; None for none.
        settings: Settings over it.
    """
    named = set(settings or ())
    if isinstance(recipe, Mapping):
        named |= set(recipe)
    elif recipe is not None and str(recipe) not in PRESETS:
        named |= set(CUTS)
    return tuple(cut for cut in CUTS if cut in named)


def read_settings(project: Path) -> EngineSettings:
    """Read ``engine.json``.

    Raises:
        AuditError: There is none, it is damaged, or of another version.
    """
    path = project / ENGINE
    if not is_engine(project):
        what = "there is no engine here"
        raise AuditError(what, str(project), "set one up with `curate engine new`")
    found = cast(Any, read_record(path, "an engine's", "curate engine new"))
    version = found["schema_version"]
    if version != SCHEMA_VERSION:
        what = f"it was written with schema version {version}, this curate reads {SCHEMA_VERSION}"
        raise AuditError(what, str(path), "use the version of curate that wrote it")
    try:
        names = [one.name for one in fields(EngineSettings)]
        known = {name: found[name] for name in names if name in found or name not in _ADDED}
        known["training"] = RoundTraining(**known["training"])
        known["detector"] = RoundDetector(**known.get("detector", {}))
        for name in ("set_cuts", "full_set_cuts"):
            known[name] = tuple(known.get(name, CUTS))
        return EngineSettings(**known | {"classes": tuple(known["classes"])})
    except (KeyError, TypeError, CallError) as error:
        raise AuditError(f"a setting is missing or wrong ({error})", str(path)) from error
