"""What was joined to the images by which key, and what was not, as the page shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curate.image_join import REASON_TEXTS
from curate.notes import plural
from curate.report.collect import ReportSource


@dataclass(frozen=True)
class Missing:
    """What was not joined for one reason.

    Attributes:
        count: How many.
        text: The reason.
        examples: Names of some of them.
    """

    count: int
    text: str
    examples: Sequence[str]


@dataclass(frozen=True)
class Joined:
    """One input joined with the images of the source.

    Attributes:
        name: The input: pictures, detections, or the name of other annotations.
        joined: Images that something is joined to.
        images: Images of the source.
        keys: What they were joined by, and how many.
        missing: What of the input has no image, by reason; then the images that got nothing.
        listed: Whether ``joins.json`` lists what of the input has no image.
    """

    name: str
    joined: int
    images: int
    keys: Sequence[tuple[str, int]]
    missing: Sequence[Missing]
    listed: bool


def joins(source: ReportSource) -> list[Joined]:
    """Return every input that was joined, as ``audit.json`` says; none in audits without."""
    return [_joined(name, facts) for name, facts in source.info.get("joins", {}).items()]


def _joined(name: str, facts: Mapping[str, Any]) -> Joined:
    missing = [
        Missing(one["count"], f"not joined: {REASON_TEXTS.get(reason, reason)}", one["examples"])
        for reason, one in facts["not_joined"].items()
    ]
    bare = facts["images_without"]
    if bare["count"]:
        what = "without a picture" if name == "pictures" else "that got none of it"
        text = f"{plural(bare['count'], 'image')} {what}"
        missing.append(Missing(bare["count"], text, bare["examples"]))
    keys = tuple(facts["keys"].items())
    return Joined(name, facts["joined"], facts["images"], keys, missing, bool(facts["not_joined"]))
