"""Masks as notebooks show them: the outline is that of the pixels, and foreign text is escaped."""

from __future__ import annotations

import io
import re
import shutil
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

import curate
from curate.errors import CallError, CurateError
from curate.notebook.mask_html import MINE, MaskView
from curate.rle import decode_counts, to_dense


def pixels_of(audit: curate.Audit, mask_id: int) -> np.ndarray:
    row = audit.masks(["segmentation", "height", "width"]).loc[mask_id]
    counts = [bytes(row["segmentation"])]
    runs, _ = decode_counts(counts, np.array([row["height"]]), np.array([row["width"]]))
    return to_dense(runs, 0)


def area_of(ring: np.ndarray) -> float:
    """Return the area inside of a ring, under 0 for one that runs the other way."""
    x, y = ring.T.astype(float)
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def test_the_outline_is_that_of_the_pixels(drawn: curate.Audit) -> None:
    mask_id = int(drawn.masks(["area_px"], where="area_px > 500").index[0])
    view = drawn.show(mask_id)
    assert view.box is not None
    box = view.box
    inside = pixels_of(drawn, mask_id)[box.y : box.y + box.h, box.x : box.x + box.w]
    assert abs(sum(map(area_of, view.rings))) == inside.sum() == view.row["area_px"]
    assert view.picture is not None
    assert view.picture.width == box.w


def test_a_mask_is_a_picture_with_its_reasons_and_scores(drawn: curate.Audit) -> None:
    first = drawn.gallery("action == 'review' and area_px > 0", limit=1)[0]
    view = drawn.show(first.mask_id)
    assert repr(view).startswith(f"mask {view.mask_id}, ")
    assert ": review\n  " in repr(view)
    page = view._repr_html_()
    reasons = str(drawn.masks(["reasons"]).loc[view.mask_id, "reasons"]).split("; ")
    assert view.reasons == reasons
    assert page.count("<th style='text-align:left'>reason</th>") == len(reasons)
    assert "data:image/webp;base64," in page
    picture = Image.open(io.BytesIO(view._repr_png_()))
    assert max(picture.size) == 420
    yellow = tuple(int(MINE[k : k + 2], 16) for k in (1, 3, 5))
    assert (np.asarray(picture.convert("RGB")) == yellow).all(axis=2).any()


def test_nothing_foreign_is_markup(drawn: curate.Audit) -> None:
    hostile = drawn.masks(["category"])["category"].fillna("").str.contains("<script>")
    found = drawn.show(int(hostile[hostile].index[0]))
    page = found._repr_html_() + drawn.gallery("area_px >= 0 and area_px != 3")._repr_html_()
    assert "&lt;script&gt;" in page
    assert not re.search(r"<(script|b)\b", page)
    ElementTree.fromstring(found.svg())


def test_a_gallery_has_the_first_of_the_queue_first_and_counts_the_rest(
    drawn: curate.Audit,
) -> None:
    masks = drawn.masks(["action", "rank"])
    wanted = masks[masks["action"] == "review"].sort_values("rank").index
    found = drawn.gallery("action == 'review'", limit=3)
    assert [one.mask_id for one in found] == wanted[:3].tolist()
    assert len(found) == 3
    assert repr(found) == (
        f"3 of {len(wanted)} masks where action == 'review': " + ", ".join(map(str, wanted[:3]))
    )
    assert found._repr_html_().count("<figure") == 3
    assert Image.open(io.BytesIO(found._repr_png_())).width == 3 * 198
    everything = drawn.gallery(limit=2)
    assert [one.mask_id for one in everything] == masks.sort_values("rank").index[:2].tolist()
    assert everything.total == len(masks)
    nothing = drawn.gallery("area_px > 1e9")
    assert (len(nothing), repr(nothing)) == (0, "0 of 0 masks where area_px > 1e9")
    assert nothing._repr_png_()


def test_without_pictures_the_mask_stands_on_a_plain_ground(
    drawn: curate.Audit, counted, tmp_path
) -> None:
    view = curate.open_audit(counted.path).show(3)
    assert (view.picture, view.why) == (None, "no pictures were given")
    assert view.rings
    assert view.beside_is == "as people redrew it"
    assert "as people redrew it" in view._repr_html_()
    assert Image.open(io.BytesIO(view._repr_png_())).size
    blank = curate.open_audit(counted.path).show(13)
    assert not blank.rings
    assert blank._repr_html_()
    (tmp_path / "elsewhere").mkdir()
    moved = drawn.show(int(drawn.masks(["action"]).index[0]), images=tmp_path / "elsewhere")
    assert moved.why == "the picture is not there"


def test_the_folder_of_an_audit_may_be_gone(drawn: curate.Audit, tmp_path) -> None:
    shutil.copytree(drawn.path, tmp_path / "audit")
    info = (tmp_path / "audit" / "audit.json").read_text()
    (tmp_path / "audit" / "audit.json").write_text(
        info.replace(str(drawn.info.inputs["images"]), str(tmp_path / "gone"))
    )
    audit = curate.open_audit(tmp_path / "audit")
    assert isinstance(audit.show(int(audit.masks(["rank"]).index[0])), MaskView)


def test_a_wrong_call_says_what_to_do(drawn: curate.Audit, tmp_path) -> None:
    with pytest.raises(CallError, match="there is no mask 987654"):
        drawn.show(987654)
    with pytest.raises(CallError, match=r"a gallery of 0 masks cannot be drawn.*1 to 500"):
        drawn.gallery(limit=0)
    with pytest.raises(CallError, match="there is no column nothing"):
        drawn.gallery("nothing > 3")
    with pytest.raises(CurateError, match="nowhere"):
        drawn.show(1, images=tmp_path / "nowhere")
