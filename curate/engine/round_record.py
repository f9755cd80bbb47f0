"""Record of a round, ``round.json``: its settings, its steps with times, what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

from curate.common.clock import Clock
from curate.common.json_values import JsonObject
from curate.common.own_records import read_record
from curate.engine.settings import SCHEMA_VERSION, EngineSettings
from curate.errors import AuditError
from curate.networks.segmenter_training.segmenter_record import IouRecord
from curate.store.audit_files import write_json
from curate.store.engine_folder import ROUND

STEPS = (
    *("choose", "cuts", "prompts", "detect", "propose", "missed", "prefill"),
    *("audit", "carry", "learn", "sample", "certify"),
    *("close", "train", "measure"),
)
"""Steps of a round in order; people work between "audit" and "close". "detect", "missed" and
"prefill" are of rounds of stage 2 alone, where people may also work between the last two; "carry"
is of rounds that repeat another; "learn", "sample" and "certify" are of those of stage 3, where
people also work between the last two."""


class SegmenterUsed(TypedDict):
    """A segmenter: where it is (relative to the project for one of a round), and its hash."""

    name: str
    fingerprint: str


class StepRecord(TypedDict):
    """When a step ended (ISO 8601, UTC), and the seconds that the machine took for it."""

    ended: str
    seconds: float


class RoundPeople(TypedDict):
    """What people did in a round.

    ``proposals`` are accepted, fixed (redrawn or given another class), rejected, or ``undecided``
    (in a round that was closed early); ``added`` were missing. ``proposal_iou`` is the mean IoU of
    the accepted (1) and the fixed proposals with what people made of them, None for none.
    ``seconds`` are of decisions, additions and searches of images; ``untimed`` of them have none.
    ``checked`` images were searched for missing masks. ``prefilled`` masks stand as they
    were proposed: people were not asked about them (in stage 3 they are certified). ``classes``
    are names that they gave.
    """

    images: int
    checked: int
    proposals: int
    accepted: int
    fixed: int
    rejected: int
    undecided: int
    prefilled: int
    added: int
    proposal_iou: float | None
    seconds: float
    untimed: int
    classes: list[str]


class PrefillRecord(TypedDict):
    """What was prefilled in a round of stage 2.

    ``strictness`` is what the lines were to be chosen for, ``lines`` what came of it: those of
    :class:`curate.engine.confident_masks.ConfidentLines` as plain values, None where none were
    looked for; ``reason`` says why. ``detector`` is the fingerprint of the round's. ``prefilled``
    masks were over the lines; ``checks`` of them are asked about all the same, unmarked.
    ``good_iou`` is the IoU with people's mask from which a proposal counted as good, ``good_by``
    the proposals it was read from, see :mod:`curate.engine.accepted_iou`, None where they were too
    few; a record of before has neither, and it was 0.9. ``precision`` is what came of these, see
    :class:`curate.engine.prefill_checks.PrefillPrecision`; None until the round is closed.
    """

    strictness: dict[str, float]
    lines: dict[str, Any] | None
    reason: str
    detector: str | None
    prefilled: int
    checks: int
    good_iou: NotRequired[float]
    good_by: NotRequired[dict[str, int] | None]
    precision: dict[str, Any] | None


class MissedRecord(TypedDict):
    """Proposals for validation images that a round of stage 2 asked about, as people may have
    missed their objects.

    ``asked`` are their number, ``people`` what people made of them; None while they are asked, and
    where nothing is.
    """

    asked: int
    people: RoundPeople | None


class CutsRecord(TypedDict):
    """Cuts by which a round's proposals are selected, chosen on the validation images.

    ``pred_iou`` and ``stability`` are the recipe's own where nothing was chosen; ``reason`` says
    why, and is "" where they were chosen. ``masks`` are people's on the validation images;
    ``saved`` of them have a proposal there that passes, ``false`` proposals that pass have no mask;
    ``own_saved`` and ``own_false`` are those by the recipe's own cuts. ``price`` is what a false
    proposal costs, in masks. ``proposals`` is the file they were chosen on, relative to the
    project. All but the first four are None where nothing was chosen.
    """

    pred_iou: float
    stability: float
    reason: str
    masks: int
    saved: int | None
    false: int | None
    own_saved: int | None
    own_false: int | None
    price: float | None
    proposals: str | None


class PromptsRecord(TypedDict):
    """Prompts that a search found best, and what a round uses them for.

    ``file`` is that of the search, relative to the project, and ``is_own`` whether the round's
    segmenter was searched with. ``in_use`` are the recipes, those of
    :class:`curate.networks.segmenters.prompt_recipes.PromptsInUse` as plain values; people's clicks
    and redraws are prompted by them. ``redraws`` says whether proposals are drawn anew, each
    prompted for from itself: so they are where that is better beyond chance, and ``reason`` says
    why not, else "". It was tried on ``masks`` proposals for the validation images that people have
    a mask of; ``proposed`` and ``redrawn`` are their mean IoU with it before and after, ``low`` and
    ``high`` the ends of the 95% interval of the difference over images. The last four are None
    where nothing was tried.
    """

    file: str
    is_own: bool
    in_use: JsonObject
    redraws: bool
    reason: str
    masks: int
    proposed: float | None
    redrawn: float | None
    low: float | None
    high: float | None


class BoxesRecord(TypedDict):
    """Proposals of a round of stage 2 that are drawn in its detector's boxes.

    ``recipe`` is the prompts' name. ``tried`` masks were drawn that the grid's points had not,
    on the round's images and on the validation images; ``added`` of the round's are proposed: those
    of detections from ``confidence`` on, None where none is worth it. Of people's ``masks`` of the
    validation images ``saved`` have a proposal then, and ``false`` proposals there have no mask;
    ``own_saved`` and ``own_false`` are those of the grid's points alone.
    """

    recipe: str
    confidence: float | None
    tried: int
    added: int
    masks: int
    saved: int
    false: int
    own_saved: int
    own_false: int


class DoubtRecord(TypedDict):
    """How many images the segmenter looked at to find those that it is unsure of.

    ``looked_at`` images, drawn by chance from ``left`` that no round had had; of ``without`` of
    them it proposes no mask. ``doubt.json`` of the round has how unsure it is of each.
    """

    looked_at: int
    left: int
    without: int


class ChoiceRecord(TypedDict):
    """How a round's proposals were chosen among the masks that each point drew.

    ``by`` is "learned" or "predicted", ``reason`` why it is the latter, else "". Of ``proposals``
    another mask was taken for ``changed`` than by predicted IoU; ``merged`` were the same object as
    another one then. All 0 where predicted IoU chose.
    """

    by: str
    reason: str
    proposals: int
    changed: int
    merged: int


class AutomaticRecord(TypedDict):
    """What became of the masks of a round of stage 3.

    ``detector`` is the fingerprint of the one that saw the images, None for none. ``quality`` says
    what ranks the masks, "label-free" or "learned", and ``unlearned`` why it is the former, ""
    before that is known. ``sample`` masks were drawn by chance,
    ``reviewed`` of them count for the certificate, ``bad_found`` were bad and over its line.
    ``threshold`` is that line, None where nothing is certified; ``reason`` says why. At most
    ``max_bad`` of the masks over it are bad, with ``confidence``. ``rest`` masks went to people.
    ``certified`` masks are in the dataset by the certificate alone, ``refused`` ones are not by a
    rule alone; both 0 until the round is closed.
    """

    detector: str | None
    quality: str
    unlearned: str
    sample: int
    reviewed: int
    bad_found: int
    max_bad: float
    confidence: float
    threshold: float | None
    reason: str
    rest: int
    certified: int
    refused: int


class CarriedRecord(TypedDict):
    """What people did in a round that was carried over to the one that repeats it.

    ``decided`` proposals have their decisions from it, ``redrawn`` of them to a mask that people
    vouched for there; ``added`` masks of people are not proposed any more, or were added there;
    ``searched`` images need no second search. ``asked_again`` proposals are of masks that people
    rejected or did not settle, drawn otherwise now; ``searched_again`` images had proposals that
    nobody had decided on and that are gone. ``seconds`` are of what was carried, ``untimed`` of it
    has none.
    """

    decided: int
    redrawn: int
    added: int
    searched: int
    asked_again: int
    searched_again: int
    seconds: float
    untimed: int


class RoundResult(TypedDict):
    """What the training of a round came to.

    ``kept``: the new segmenter is in force from here on. ``reason`` says why, or why nothing was
    trained; then the other values are None. ``before`` is the validation IoU of the segmenter
    before, None where the round started from random weights.
    """

    kept: bool
    reason: str
    validation: IouRecord | None
    before: IouRecord | None
    difference: IouRecord | None
    fingerprint: str | None
    weights: str | None


class DiversityRecord(TypedDict):
    """Effective numbers of a round's masks, see :class:`curate.engine.diversity.Diversity`; None
    where there is none."""

    categories: float | None
    sizes: float | None
    clusters: float | None


@dataclass
class RoundRecord:
    """The content of ``round.json``.

    Attributes:
        number: From 1; 0 of the validation images.
        stage: 1 for the assisted manual stage, 2 for the semi-automatic one, 3 for the automatic
            one; 0 of the validation images.
        settings: Of this round: how many images it wants, recipe and training; of one that repeats
            another also its ``set_cuts`` and ``mask_choice``.
        segmenter: The one in force when the round began; None in a cold start.
        passed_over: Images that could not be taken, and why: ``file_name``, ``reason``.
        steps: The steps that have ended.
        people: What people did; None until the round is closed.
        closed_early: Whether it was closed before people were done.
        diversity: Of the masks that people made; None until the round is closed, or without masks.
        result: None until the segmenter was measured.
        prefill: Of stage 2; None before its detector was trained, and in other stages.
        missed: Of stage 2, what was asked on the validation images; None before that is known.
        automatic: Of stage 3; None before its masks were audited, and in other stages.
        cuts: Of the proposals; None where they are the recipe's as it was set.
        prompts: By which masks are drawn anew; None where none were searched, or are not used.
        boxes: Of the proposals in a detector's boxes; None where there is no detector.
        doubt: Of the images that were looked at to choose some; None where none were.
        choice: Among the masks of a point; None where predicted IoU chooses as it was set up.
        replaces: Number of the round that this one repeats with other settings; None for none.
        replaced_by: Number of the round that repeats this one; then it counts for nothing but the
            time that it took. None for none.
        carried: What people had done in the round that this one replaces; None for nothing, and
            before that is known.
    """

    number: int
    stage: int
    settings: dict[str, object]
    segmenter: SegmenterUsed | None = None
    passed_over: list[dict[str, str]] = field(default_factory=list)
    steps: dict[str, StepRecord] = field(default_factory=dict)
    people: RoundPeople | None = None
    closed_early: bool = False
    diversity: DiversityRecord | None = None
    result: RoundResult | None = None
    prefill: PrefillRecord | None = None
    missed: MissedRecord | None = None
    automatic: AutomaticRecord | None = None
    cuts: CutsRecord | None = None
    prompts: PromptsRecord | None = None
    choice: ChoiceRecord | None = None
    doubt: DoubtRecord | None = None
    boxes: BoxesRecord | None = None
    replaces: int | None = None
    replaced_by: int | None = None
    carried: CarriedRecord | None = None

    @property
    def asks_people(self) -> bool:
        """Whether all is done that comes before people."""
        if self.stage == 3:
            return "sample" in self.steps
        return ("audit" if self.replaces is None else "carry") in self.steps

    @property
    def wants_images(self) -> bool:
        """Whether people are asked for images; else the segmenter is only trained once more."""
        return self.settings.get("images") != 0

    @property
    def machine_s(self) -> float:
        """Seconds that the machine worked for the round."""
        return float(sum(step["seconds"] for step in self.steps.values()))

    def write(self, folder: Path) -> None:
        """Write ``round.json`` into the round's folder."""
        write_json(folder / ROUND, {"schema_version": SCHEMA_VERSION} | asdict(self))

    @contextmanager
    def step(self, name: str, folder: Path, clock: Clock) -> Iterator[None]:
        """Note that a step ended, and how long it took, where the block ends well.

        Args:
            name: One of :data:`STEPS`.
            folder: The round's folder.
            clock: What time it is.
        """
        start = clock.monotonic()
        yield
        seconds = round((clock.monotonic() - start) / 1e9, 3)
        self.steps[name] = {"ended": format_time(clock), "seconds": seconds}
        self.write(folder)


def format_time(clock: Clock) -> str:
    """Return the time as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(int(clock.now_s()), UTC).isoformat().replace("+00:00", "Z")


_ADDED = (
    *("prefill", "automatic", "cuts", "prompts", "choice", "doubt", "boxes"),
    *("replaces", "replaced_by", "missed", "carried"),
)
"""What records of rounds that were written before have not."""


def find_set_cuts(record: RoundRecord, settings: EngineSettings) -> tuple[str, ...]:
    """Return the cuts that a round's recipe sets, which are not chosen.

    Args:
        record: Of the round; those of one that repeats another are its own.
        settings: Of the engine.
    """
    usual = settings.full_set_cuts if record.stage == 3 else settings.set_cuts
    return tuple(cast("Sequence[str]", record.settings.get("set_cuts", usual)))


def find_mask_choice(record: RoundRecord, settings: EngineSettings) -> str:
    """Return by which word of MASK_CHOICES the masks of a point are chosen in a round.

    Args:
        record: Of the round; that of one that repeats another is its own.
        settings: Of the engine.
    """
    return str(record.settings.get("mask_choice", settings.mask_choice))


def read_round(folder: Path) -> RoundRecord | None:
    """Read ``round.json`` of a folder, None where the round has not begun.

    Raises:
        AuditError: It is damaged, or of another version.
    """
    path = folder / ROUND
    if not path.is_file():
        return None
    found = cast(Any, read_record(path, "a round's", "curate engine new"))
    if found["schema_version"] != SCHEMA_VERSION:
        what = f"it was written with schema version {found['schema_version']}"
        raise AuditError(what, str(path), "use the version of curate that wrote it")
    try:
        names = [one.name for one in fields(RoundRecord)]
        known = {name: found[name] for name in names if name in found or name not in _ADDED}
        return RoundRecord(**known)
    except KeyError as error:
        raise AuditError(f"it lacks {error}", str(path), "restore it from a copy") from error
