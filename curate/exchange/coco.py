"""Decisions from a corrected COCO (or LVIS) file; see :mod:`curate.exchange.corrected`.

A queue that was written as COCO holds only some masks of each image. Such a file is known by what
stands in it, and what people were given is then the last draw that fits it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from curate.decisions.lookup import IntArray
from curate.decisions.reviews import Reviews, has_reviews
from curate.errors import CallError, SourceError
from curate.exchange.coco_writing import write_coco
from curate.exchange.corrected import Part, Shown, decisions_of
from curate.exchange.readers import Found, Options, Reader
from curate.exchange.writers import Writer
from curate.formats import detect
from curate.formats.coco import FORMAT
from curate.formats.coco_index import CocoIndex
from curate.formats.json_shape import shape_of

_QUEUE = "review queue of "
"""How the description of a queue begins."""

_FITS = 0.5
"""Least share of a queue's masks that a draw must hold to be the one it was made of."""


def _matches(path: Path) -> bool:
    return shape_of(path).looks_coco


def _read(reviews: Reviews, path: Path, options: Options) -> Found:
    with tempfile.TemporaryDirectory(prefix="curate-") as work:
        shown = _shown(reviews, path, options)
        parts = _parts(path, Path(work))
        return decisions_of(reviews.audit, parts, path.name, shown, options.same_iou)


def _parts(path: Path, work: Path) -> Iterator[Part]:
    for part in FORMAT.plan(path, work):
        spare = CocoIndex.open(work).spare_id
        if spare is None:
            raise SourceError("it has ids beyond 62 bits", path.name)
        table = FORMAT.load(path, part)
        yield Part(table, np.asarray(table.masks.index.to_numpy(np.int64) >= spare, np.bool_))


def _shown(reviews: Reviews, path: Path, options: Options) -> Shown:
    """Return which masks people were given."""
    if isinstance(options.given, int):
        return Shown(_drawn(reviews, options.given), True)
    if options.given is not None:
        if _is_source(reviews, options.given):
            return Shown(None, True)
        return Shown(_ids(options.given), True)
    if not _is_queue(path):
        return Shown()
    drawn = _fitting_draw(reviews, _ids(path))
    if drawn is None:
        what = "it is a queue, so what is missing from it may never have been shown"
        raise SourceError(what, path.name, "say what people were given: --given FILE")
    return Shown(drawn, True)


def _is_source(reviews: Reviews, path: Path) -> bool:
    """Return whether a path is what the audit was made of."""
    source = reviews.audit.info.get("source", {}).get("path")
    return source is not None and Path(source).resolve() == path.resolve()


def _is_queue(path: Path) -> bool:
    shape = shape_of(path)
    attributes = shape.one("annotations").get("attributes")
    described = str(shape.one("info").get("description", "")).startswith(_QUEUE)
    return described or (type(attributes) is dict and {"rank", "priority"} <= set(attributes))


def _ids(path: Path) -> IntArray:
    """Return the ids of all masks of a dataset, sorted."""
    found = detect(path)
    with tempfile.TemporaryDirectory(prefix="curate-") as work:
        ids = [
            found.load(path, part).masks.index.to_numpy(np.int64)
            for part in found.plan(path, Path(work))
        ]
    return np.unique(np.concatenate([np.empty(0, np.int64), *ids]))


def _drawn(reviews: Reviews, draw_id: int) -> IntArray:
    if not has_reviews(reviews.audit):
        raise CallError(f"there is no draw {draw_id}", "--given")
    return np.unique(reviews.drawn(draw_id)["mask_id"].to_numpy(np.int64))


def _fitting_draw(reviews: Reviews, ids: IntArray) -> IntArray | None:
    """Return the masks of the draw that holds most of some masks, the last of equals."""
    best: tuple[float, IntArray | None] = (_FITS, None)
    if not has_reviews(reviews.audit) or not len(ids):
        return None
    for draw_id in reviews.draws()["draw_id"].tolist():
        drawn = _drawn(reviews, draw_id)
        share = float(np.isin(ids, drawn).mean())
        if share >= best[0]:
            best = (share, drawn)
    return best[1]


READER = Reader("coco", "corrected COCO", _matches, _read)

WRITER = Writer("coco", "COCO instances", write_coco)
