"""JSON answers of the server to the review page, with the types of their fields; ids are texts."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from curate.images import ValueRange


class WindowBox(TypedDict):
    """The window on an image, in its pixels."""

    x: int
    y: int
    w: int
    h: int


class TwinCard(TypedDict):
    """The mask that one repeats or overlaps: the IoU of both, words for it, its outline;
    ``duplicate``: it is a mask of the same object."""

    item: str
    mask_id: str
    category: str | None
    duplicate: bool
    iou: float | None
    words: str
    path: str


class SuggestedCard(TypedDict):
    """A suggested fix: in words, the outline of the mask as fixed, "" where it is to be rejected;
    and where it comes from: "mechanical", "verifier", "others", "duplicate".

    ``added`` are the compressed counts of masks that are new where a mask is split; the outline is
    of all its parts then.
    """

    words: str
    path: str
    source: str
    added: list[str]


class DetectedName(TypedDict):
    """A category that a model finds in a mask, and its confidence in [0, 1].

    ``by`` is "detector", or "classifier" for that of the audit's encoder; ``accuracy`` is the share
    of masks that this one is right for on images it has not seen, None of a detector.
    """

    name: str
    confidence: float | None
    by: str
    accuracy: float | None


class ReasonLabel(TypedDict):
    """A reason, and the id of its kind, by which the page filters."""

    id: str
    words: str


class ScoreLine(TypedDict):
    """A score in [0, 1] as it is shown; ``words`` say what a low one means, "" for others."""

    column: str
    title: str
    value: float
    shown: str
    words: str


class MaskOutlines(TypedDict):
    """SVG paths in a window: the mask's, its twin's, and those of other masks as one."""

    path: str
    twin: TwinCard | None
    others: str


class MaskMeasures(TypedDict):
    """A mask's image, place and size, in pixels; ``bbox`` is XYWH."""

    image_id: str
    file_name: str
    height: int
    width: int
    category: str | None
    window: WindowBox
    area_px: int
    bbox: list[int | float]


class MaskCard(MaskOutlines, MaskMeasures):
    """One mask to decide on.

    ``marks`` are the prompt point and the declared box in pixels of the window; ``whole_image`` is
    true where masks that are missing in the image are asked for.
    """

    item: str
    mask_id: str
    slot: int
    place: int
    picture: str | None
    marks: dict[str, list[float] | None]
    reasons: list[ReasonLabel]
    scores: list[ScoreLine]
    quality: float | None
    whole_image: bool | None
    suggested: SuggestedCard | None
    detected: DetectedName | None


class LeasedCard(MaskCard):
    """A mask that nobody else gets for ``lease_s`` seconds; ``unsettled`` says why people's
    decisions do not settle it, None where they do. ``proposed`` is None but of a mask that is only
    proposed: what its outline is, "mask" or "box" of a detector."""

    lease_s: int
    unsettled: str | None
    proposed: str | None


class ImageMask(TypedDict):
    """A mask of an image that is shown as a whole; ``quality`` is None where it is not told."""

    mask_id: str
    category: str | None
    quality: float | None
    path: str


class ImageCard(TypedDict):
    """An image with all its masks; ``picture_of`` is one of them, None where it has none."""

    image_id: str
    file_name: str
    height: int
    width: int
    picture: NotRequired[str | None]
    picture_of: str | None
    masks: list[ImageMask]


class WholeMask(TypedDict):
    """A mask as COCO compressed counts, with the size of its image and its card's window."""

    height: int
    width: int
    counts: str
    window: WindowBox


class DrawnMask(TypedDict):
    """A mask that a segmenter drew from clicks, and the IoU that it predicts."""

    counts: str
    predicted_iou: float


class RedrawnMask(DrawnMask):
    """A mask that a segmenter drew without a click; ``path`` is its outline in the card's window,
    ``iou`` that with the mask as it is, 0 where there is none."""

    path: str
    iou: float


class PictureLevels(TypedDict):
    """Whether a picture has more than 8 bit; if so, its least and largest value, and which values
    are shown black and white where nobody chose others."""

    deep: bool
    low: float
    high: float
    least: float
    most: float


def describe_levels(found: ValueRange | None) -> PictureLevels:
    """Return the values of a picture for the page.

    Args:
        found: Its values; None for a picture of 8 bit.
    """
    ends = (0, 255, 0, 255) if found is None else (found.low, found.high, found.least, found.most)
    low, high, least, most = (round(float(end), 4) for end in ends)
    return {"deep": found is not None, "low": low, "high": high, "least": least, "most": most}


class AliveAnswer(TypedDict):
    """Items of a page's that went to others meanwhile."""

    gone: list[str]


class NextCommand(TypedDict):
    """A command, and what it is for."""

    purpose: str
    command: str


class SessionEnd(TypedDict):
    """What comes next, and a person's known answers: how many there were, how many were right."""

    steps: list[NextCommand]
    known: int
    right: int


class LastStep(TypedDict):
    """A person's last decision that stands, and its card; all None where there is none.

    ``added`` are the compressed counts of the masks that came with it, where it split the mask as
    suggested.
    """

    key: str | None
    action: str | None
    card: LeasedCard | None
    added: list[str]


class CategoryFilter(TypedDict):
    """A category, and how many masks of the queue are of it."""

    name: str
    masks: int


class ReasonFilter(ReasonLabel):
    """A kind of reason, and how many masks of the queue have it."""

    masks: int


class KindFilter(TypedDict):
    """A kind of error that a verifier named, and how many masks of the queue have it."""

    name: str
    masks: int


class ScoreFilter(TypedDict):
    """A score by which the page filters; ``words`` say what a low one means."""

    column: str
    title: str
    words: str


class FilterLists(TypedDict):
    """The available filters."""

    categories: list[CategoryFilter]
    reasons: list[ReasonFilter]
    kinds: list[KindFilter]
    scores: list[ScoreFilter]


class QueueFacts(TypedDict):
    """A queue, its audit, and what the page can do with it; the same of every kind of queue."""

    queue: str
    audit: str
    source: str
    kind: str
    crops: bool
    segmenter: bool
    guidelines: bool
    total: int
    seconds_per_mask: float
    minutes: float | None


class QueueAnswer(QueueFacts):
    """The queue and the page's settings; ``categories`` are names for masks that people add,
    ``tags`` words that say why a mask is rejected or fixed. ``must_name``: a mask without a
    category is taken only with one that a person names."""

    draw_id: int | None
    blind: bool
    bulk: bool
    whole_images: bool
    categories: list[str]
    must_name: bool
    tags: list[str]
    filters: FilterLists
    filters_ready: bool


class NextAnswer(TypedDict):
    """The next masks, how many rows are left, items that went, and images to look through."""

    cards: list[LeasedCard]
    left: int
    gone: list[str]
    images: list[ImageCard]
    progress: dict[str, int]


class GuidelineNode(TypedDict):
    """An element of the guidelines: its tag, what is in it, and of links and pictures where to."""

    tag: str
    children: list[GuidelineNode | str]
    href: NotRequired[str]
    src: NotRequired[str]
    alt: NotRequired[str]


class GuidelineSection(TypedDict):
    """A section of the guidelines; ``category`` is that of its file or its heading, None for
    neither."""

    category: str | None
    nodes: list[GuidelineNode | str]


class GuidelinesAnswer(TypedDict):
    """The guidelines of the project, in order."""

    sections: list[GuidelineSection]


class BulkAnswer(TypedDict):
    """A preview of a decision in bulk: how many masks in how many images; how many more fit, but
    were looked at, or need no such decision; the filter in words; some of the masks."""

    masks: int
    images: int
    looked: int
    already: int
    condition: str
    cards: list[MaskCard]


class BulkDone(TypedDict):
    """A decision in bulk that was made, or undone: its number and its masks."""

    number: int
    masks: int


class RefusedEvent(TypedDict):
    """An event that was not written, and the sentence that says why."""

    key: str
    error: str


class RecordedAnswer(TypedDict):
    """Keys of the events that are on disk, and those that were refused."""

    done: list[str]
    refused: list[RefusedEvent]
    progress: dict[str, int]
