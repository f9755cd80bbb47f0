"""Page with pictures of the masks that a decision in bulk is about, as they are and as fixed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from markupsafe import Markup

from curate.common import files
from curate.common.paths import AnyPath
from curate.dataset.table import plain
from curate.errors import CallError
from curate.notebook.audit_value import Audit
from curate.notebook.mask_html import MaskGallery, MaskView
from curate.notebook.mask_pictures import draw_masks, draw_rings
from curate.store.audit_files import writing
from curate.store.rows_by_id import decode_masks, rows_of

MOST_DRAWN = 200
"""Masks on the page, the first ones."""

MARK = Markup("<!-- curate: preview of a decision in bulk -->")
"""Second line of the page; only a file with it is replaced."""

FIXED = "as it would be fixed"

_PAGE = Markup(
    "<!doctype html>\n{}\n<html lang='en'><meta charset='utf-8'>"
    "<meta name='viewport' content='width=device-width, initial-scale=1'>"
    "<meta name='color-scheme' content='light dark'><title>{}</title>"
    "<body style='font:15px/1.45 system-ui,sans-serif;margin:24px'><h1>{}</h1>{}{}</body></html>\n"
)


def check_preview(place: AnyPath) -> None:
    """Check that a page can be written there.

    Raises:
        CallError: Another file is there, or no folder is.
    """
    path = Path(place)
    if not path.parent.is_dir():
        raise CallError("there is no such folder", str(path.parent), "make it first")
    if not path.exists():
        return
    if path.is_file():
        with files.open_to_read(path) as file:
            if MARK.encode() in file.read(200):
                return
    raise CallError("something else is there", str(path), "give a new name to --preview")


def write_preview(
    place: AnyPath, audit: Audit, decisions: pd.DataFrame, words: str, images: AnyPath | None
) -> Path:
    """Write the page and return where it is.

    Args:
        place: A new file, or an earlier preview.
        audit: The audit.
        decisions: ``mask_id`` and ``action`` of all masks, ``segmentation`` of fixed ones.
        words: What it is about.
        images: Folder of the pictures; where the audit had them if None.
    """
    shown = decisions.head(MOST_DRAWN)
    views = draw_masks(audit, shown["mask_id"].tolist(), images)
    note = Markup("")
    if "segmentation" in shown:
        views = _with_fixes(audit, views, shown)
        note = Markup("<p>The dashed outline is the mask {}.</p>").format(FIXED)
    gallery = Markup(MaskGallery(views, len(decisions))._repr_html_())  # noqa: S704 - escaped there
    page = _PAGE.format(MARK, words, words, note, gallery)
    path = Path(place)
    with writing(path) as temporary:
        files.write_text(temporary, str(page), errors="replace")
    return path


def _with_fixes(audit: Audit, views: list[MaskView], shown: pd.DataFrame) -> list[MaskView]:
    """Return drawings with the fixed mask as the second outline."""
    fixed = shown[shown["segmentation"].notna()]
    ids = fixed["mask_id"].to_numpy(np.int64)
    sizes = rows_of(audit, "masks", "mask_id", ids, ["height", "width"]).set_index("mask_id")
    heights, widths = (sizes[name].loc[ids].to_numpy(np.int64) for name in ("height", "width"))
    runs, _ = decode_masks(plain(fixed["segmentation"]), heights, widths)
    at = {mask_id: k for k, mask_id in enumerate(ids.tolist())}
    return [
        replace(view, beside=draw_rings(view, runs, at[view.mask_id]), beside_is=FIXED)
        if view.mask_id in at
        else view
        for view in views
    ]
