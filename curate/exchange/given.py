"""Which masks people were given, where that was not the whole dataset."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from curate.decisions.lookup import IntArray
from curate.decisions.reviews import Reviews, has_reviews
from curate.errors import CallError, SourceError
from curate.exchange.corrected import Shown
from curate.formats import detect

_FITS = 0.5
"""Least share of a queue's masks that a draw must hold to be the one it was made of."""


def shown_in_queue(reviews: Reviews, ids: IntArray, name: str) -> Shown:
    """Return which masks people were given in a queue: those of the draw that fits it.

    Args:
        reviews: The audit's decisions and draws.
        ids: Masks that stand in what came back, sorted.
        name: Its file's name, for messages.

    Raises:
        SourceError: No draw fits.
    """
    drawn = _fitting_draw(reviews, ids)
    if drawn is None:
        what = "it is a queue, so what is missing from it may never have been shown"
        do = "say what people were given: --given FILE, or the number of the draw"
        raise SourceError(what, name, do)
    return Shown(drawn, True)


def shown_as_told(reviews: Reviews, given: Path | int, ids_of: Callable[[Path], IntArray]) -> Shown:
    """Return which masks a file or a draw holds; all of them for the audit's source.

    Args:
        reviews: The audit's decisions and draws.
        given: A file, or the number of a draw.
        ids_of: Reads the masks of a file.

    Raises:
        CallError: There is no such draw.
    """
    if isinstance(given, int):
        return Shown(_drawn(reviews, given)[0], True)
    if _is_source(reviews, given):
        return Shown(None, True)
    return Shown(ids_of(given), True)


def dataset_ids(path: Path) -> IntArray:
    """Return the ids of all masks of a dataset, sorted."""
    found = detect(path)
    with tempfile.TemporaryDirectory(prefix="curate-") as work:
        ids = [
            found.load(path, part).masks.index.to_numpy(np.int64)
            for part in found.plan(path, Path(work))
        ]
    return np.unique(np.concatenate([np.empty(0, np.int64), *ids]))


def _is_source(reviews: Reviews, path: Path) -> bool:
    """Return whether a path is what the audit was made of."""
    source = reviews.audit.info.get("source", {}).get("path")
    return source is not None and Path(source).resolve() == path.resolve()


def _drawn(reviews: Reviews, draw_id: int) -> list[IntArray]:
    """Return the masks of a draw: all of them, and those for a second person, if there are any."""
    if not has_reviews(reviews.audit):
        raise CallError(f"there is no draw {draw_id}", "--given")
    rows = reviews.drawn(draw_id)
    masks = rows["mask_id"].to_numpy(np.int64)
    second = np.unique(masks[rows["slot"].to_numpy(np.int64) == 1])
    return [np.unique(masks), *([second] if len(second) else [])]


def _fitting_draw(reviews: Reviews, ids: IntArray) -> IntArray | None:
    """Return the masks of the draw that holds most of some masks, the last of equals.

    Of a draw with a second person's masks these alone count where they hold as many.
    """
    best: tuple[float, IntArray | None] = (_FITS, None)
    if not has_reviews(reviews.audit) or not len(ids):
        return None
    for draw_id in reviews.draws()["draw_id"].tolist():
        for drawn in _drawn(reviews, draw_id):
            share = float(np.isin(ids, drawn).mean())
            if share >= best[0]:
                best = (share, drawn)
    return best[1]
