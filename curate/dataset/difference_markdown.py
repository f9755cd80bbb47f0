"""Markdown of a difference of two datasets, for a pull request or the summary of a CI step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from curate.dataset.change_wording import describe_change
from curate.dataset.notes import clean_name, count_noun, short_version
from curate.dataset.table import records

if TYPE_CHECKING:
    from curate.dataset.difference import Difference


def make_markdown(found: Difference, rows: int) -> str:
    """Return a difference as GitHub's and GitLab's Markdown: counts, and what changed most.

    Args:
        found: The difference.
        rows: Changed masks that are listed, at most; all of them count.
    """
    sides = [
        (
            *(name, f"`{short_version(of['version'])}`"),
            *(f"{of['masks']:,}", f"{of['images']:,}", _code(of["path"]), of["format"]),
        )
        for name, of in (("before", found.a), ("after", found.b))
    ]
    parts = [
        "### Masks that changed" if not found.equal else "### No mask changed",
        _table(("", "version", "masks", "images", "path", "format"), sides),
    ]
    counts = [(words, f"{n:,}") for words, n in found.describe_counts() if n]
    parts.append(_table(("what happened", "masks"), counts))
    images = [(change, f"{n:,}") for change, n in found.image_counts.items() if n]
    if images:
        parts.append(_table(("what happened", "images"), images))
    listed_categories = [
        *(f"- category {_escape(words)}" for words in found.describe_categories()),
        *(f"- relabelled: {_escape(words)}" for words in found.describe_relabelled(rows)),
    ]
    parts += ["\n".join(listed_categories)] if listed_categories else []
    listed = found.masks.sort_values("iou", kind="stable", na_position="last").head(rows)
    if len(listed):
        parts.append(_table(_HEAD, [_row(row) for row in records(listed)]))
    if len(found.masks) > len(listed):
        parts.append(f"{count_noun(len(found.masks) - len(listed), 'row')} more.")
    return "\n\n".join(parts) + "\n"


_MARKUP = '\\`*_{}[]<>()#+-.!|~&:@"'
_HEAD = ("what happened", "mask", "image", "category", "IoU", "outlines apart")


def _row(row: dict[str, object]) -> tuple[str, ...]:
    ids = [str(row[f"mask_id_{side}"]) for side in "ab" if row[f"mask_id_{side}"] is not None]
    names = [row[f"category_{side}"] for side in "ab" if row[f"category_{side}"] is not None]
    iou, distance = row["iou"], row["outline_distance"]
    return (
        describe_change(row),
        " → ".join(dict.fromkeys(ids)),
        _code(row["file_name"]),
        " → ".join(dict.fromkeys(_code(name) for name in names)),
        "" if iou is None else f"{iou:.3f}",
        "" if distance is None else f"{distance:.1f} px",
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _code(text: object) -> str:
    """Return a stranger's text as code in a table's cell, in which nothing is markup."""
    clean = clean_name(text)
    told = "".join(f"&#{ord(c)};" if c in _MARKUP else c for c in clean)
    return f"<code>{told}</code>" if clean else ""


def _escape(text: str) -> str:
    return "".join(f"\\{c}" if c in _MARKUP else c for c in text)
