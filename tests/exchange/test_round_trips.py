"""Out to a tool and back without a change: every mask is the same to the pixel, in every format."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hard_masks import FORMATS, audited, back, datasets, everything, write
from hypothesis import Phase, given, settings

from curate.decisions import open_reviews


@settings(max_examples=12, phases=[Phase.explicit, Phase.generate])
@given(source=datasets())
def test_nothing_changes_on_the_way(source: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        audit = audited(source, folder)
        rows = everything(audit)
        masks = len(source["annotations"])
        for tool, crops in FORMATS:
            path, written = write(audit, rows, folder, tool, crops)
            assert written == masks, (tool, crops)
            if not masks:
                continue
            done = back(audit, path)
            assert done.format == tool
            assert done.added.actions == {"accept": masks}, (tool, crops, done.text())
            assert done.added.missing == 0
        if masks:
            kept = open_reviews(audit).decisions()
            assert (kept["iou"] == 1).all()
            assert kept["segmentation"].isna().all()
