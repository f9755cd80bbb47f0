"""Corrections of masks cut too large or too small: the distance that a verifier likes best."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import ndimage
from unsure_verifier import UnsureVerifier

from curate.common.arrays import ByteArray
from curate.errors import AuditError
from curate.networks.verifiers.mask_frames import ImageCover
from curate.networks.verifiers.size_corrections import LEAST_RISE, correct_size
from curate.networks.verifiers.verifier_worth import VerifierWorth
from curate.pipeline import scoring
from curate.pipeline.inputs import Inputs
from curate.rle import concat, decode_counts, encode_counts, from_dense, to_dense
from curate.store.audit import open_audit
from curate.store.mask_corrections import (
    MaskCorrection,
    read_corrections,
    write_corrections,
)
from curate.testing.bright_verifier import BrightVerifier

SIDE = 96


def disc(radius: float, x: float = 48, y: float = 48) -> np.ndarray:
    ys, xs = np.mgrid[:SIDE, :SIDE]
    return np.asarray((ys - y) ** 2 + (xs - x) ** 2 <= radius**2)


def picture_of(body: np.ndarray) -> ByteArray:
    return np.repeat(np.where(body, 220, 40).astype(np.uint8)[:, :, None], 3, axis=2)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize(("radius", "kind", "sign"), [(28, "too large", 1), (15, "too small", -1)])
def test_the_outline_goes_to_the_body(radius: int, kind: str, sign: int) -> None:
    body, drawn = disc(20), disc(radius)
    runs = concat([from_dense(disc(8, 10, 10)), from_dense(drawn)])
    found = correct_size(BrightVerifier(), picture_of(body), runs, 1, kind)
    assert found is not None
    fixed = to_dense(found.mask, 0)
    assert iou(fixed, body) > 0.9 > iou(drawn, body)
    assert found.iou_after == pytest.approx(iou(fixed, body))
    assert found.iou_before == pytest.approx(iou(drawn, body))
    assert found.iou_after - found.iou_before >= LEAST_RISE
    assert np.sign(found.step_px) == sign


def test_a_mask_stays_where_nothing_is_clearly_better() -> None:
    body = disc(20)
    picture = picture_of(body)
    assert correct_size(BrightVerifier(), picture, from_dense(disc(21)), 0, "too large") is None
    assert correct_size(BrightVerifier(), picture, from_dense(disc(1)), 0, "too large") is None
    far = from_dense(disc(10))  # the best distance lies beyond those that are kept
    assert correct_size(BrightVerifier(), picture, far, 0, "too small") is None


@pytest.mark.parametrize("doubt", [None, 0.4])
def test_a_verifier_that_is_not_sure_corrects_nothing(doubt: float | None) -> None:
    picture, runs = picture_of(disc(20)), from_dense(disc(28))
    assert correct_size(UnsureVerifier(doubt=doubt), picture, runs, 0, "too large") is None


def test_a_mask_at_the_border_goes_on_behind_it() -> None:
    body = disc(20, x=0)
    runs = from_dense(ndimage.binary_dilation(body, iterations=8))
    found = correct_size(BrightVerifier(), picture_of(body), runs, 0, "too large")
    assert found is not None
    assert to_dense(found.mask, 0)[48, 0]


def test_changed_masks_have_all_others_as_neighbours_but_the_one_they_stand_for() -> None:
    near, mask, changed = disc(8, 70), disc(14), disc(20)
    cover = ImageCover.of(concat([from_dense(near), from_dense(mask)]))
    alone = ImageCover.of(concat([from_dense(near), from_dense(changed)]))
    instead = cover.instead(1, concat([from_dense(changed), from_dense(changed)]))
    for k in range(2):
        made, wanted = instead.cut(k), alone.cut(1)
        assert (made.pixels == wanted.pixels).all()
        assert (made.others == wanted.others).all()


def test_corrections_are_written_and_read(tmp_path: Path) -> None:
    (tmp_path / "corrections").mkdir()
    one = MaskCorrection(7, "too large", b"0123", 2.5, 0.5, 0.8)
    two = MaskCorrection(
        8, "merged", b"0123", 0.0, 0.5, 0.9, (7,), (b"012", b"01"), (0.8, 0.7), rim_px=4
    )
    three = MaskCorrection(9, "unlike others", b"01", 0.0, np.nan, np.nan, drawn_by="ann")
    three = replace(three, drawn_iou=0.5, agreeing=2, agreeing_iou=0.9)
    write_corrections(tmp_path, 0, [one, two, three])
    write_corrections(tmp_path, 1, [])
    assert repr(read_corrections(tmp_path)) == repr({7: one, 8: two, 9: three})  # NaN is not NaN
    path = tmp_path / "corrections" / "part-000000.parquet"
    first = ["mask_id", "kind", "segmentation", "step_px", "verifier_iou", "corrected_iou"]
    pd.read_parquet(path)[first].iloc[:1].to_parquet(path, index=False)
    assert repr(read_corrections(tmp_path)) == repr({7: one})  # as audits of before wrote it
    pd.DataFrame({"mask_id": [7]}).to_parquet(path)
    with pytest.raises(AuditError, match="it is damaged"):
        read_corrections(tmp_path)
    write_corrections(tmp_path, 0, [])
    assert read_corrections(tmp_path) == {}


WORTH = VerifierWorth(0.9, 0.9, {"too large": 0.9, "too small": 0.9})


@dataclass(frozen=True)
class RatedVerifier(BrightVerifier):
    """A verifier of bright bodies of which the worth is known, as the audit asks it."""

    worth: VerifierWorth = WORTH
    finder: None = None
    grids: None = None


def write_discs(folder: Path) -> Path:
    """Write two pictures with a body each: one mask is far too large, one right."""
    (folder / "images").mkdir()
    images, annotations = [], []
    for k, drawn in enumerate((disc(30), disc(20))):
        Image.fromarray(picture_of(disc(20))).save(folder / "images" / f"{k}.png")
        counts = encode_counts(from_dense(drawn)).to_pylist()[0].decode()
        images.append({"id": k, "file_name": f"{k}.png", "height": SIDE, "width": SIDE})
        annotations.append(
            {"id": 10 + k, "image_id": k, "category_id": 1, "iscrowd": 0}
            | {"area": int(drawn.sum()), "bbox": [0, 0, SIDE, SIDE]}
            | {"segmentation": {"size": [SIDE, SIDE], "counts": counts}}
        )
    source = folder / "instances.json"
    coco = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "a"}]}
    source.write_text(json.dumps(coco))
    return source


def test_an_audit_holds_the_corrections_and_restart_removes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "_verifier", lambda name, device: RatedVerifier())
    source, out = write_discs(tmp_path), tmp_path / "a.audit"
    verified = Inputs(images=tmp_path / "images", verifier="bright")
    done = scoring.audit(source, out, inputs=verified)
    found = read_corrections(out)
    assert list(found) == [10]
    stored, _ = decode_counts([found[10].segmentation], [SIDE], [SIDE])
    assert iou(to_dense(stored, 0), disc(20)) > 0.9
    assert found[10].kind == "too large"
    assert found[10].step_px > 0
    (row,) = done.query("select * from masks where mask_id = 10").to_dict("records")
    assert found[10].verifier_iou == pytest.approx(row["verifier_iou"])
    assert found[10].corrected_iou > 0.9
    assert open_audit(out).masks().index.tolist() == [10, 11]
    scoring.audit(source, out, inputs=Inputs(images=tmp_path / "images"), restart=True)
    assert not (out / "corrections").exists()
