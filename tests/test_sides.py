"""Detections and other annotations in every format that curate reads."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from random_cases import some_of
from small_datasets import KINDS, build

from curate.api.auditing import audit
from curate.common.pool import Pool
from curate.formats.format import ReadOptions
from curate.formats.reading import detect
from curate.pipeline.join_check import check_join
from curate.pipeline.reference_sources import ReferenceSource, prepare_source
from curate.pipeline.source_images import list_images
from curate.scorers.agreement import agreement
from curate.scorers.detector import confidence_of, detector
from curate.scorers.scorer import has_pixels
from curate.store.audit_files import write_part

WITHOUT_CATEGORIES = {"sa1b", "sa1b-tar", "sav", "amg", "amg-json", "png-folder", "label-png"}
WITHOUT_CATEGORIES |= {
    "kaggle-csv-rows",
    "label-tiff",
    "label-npy",
    "label-npy-layers",
    "png-folder-tiff",
}


@pytest.mark.parametrize("name", some_of(KINDS, 15))
def test_a_dataset_of_any_format_confirms_itself(tmp_path: Path, name: str) -> None:
    """As detections and as other annotations; without categories it is class-agnostic."""
    source = build(name, tmp_path / "source")
    form = detect(source)
    parts = list(form.plan(source, tmp_path))
    images = list_images(source, form.name, ReadOptions(), parts, Pool(1).run)
    side = prepare_source("detections", source, tmp_path / "work")
    found, _ = side.join(images)
    load = partial(form.load, source)
    checked = check_join(side, images, found, parts, load, categories=True)
    known = side.categories()
    assert (known == ()) == (name in WITHOUT_CATEGORIES)
    assert checked.same_categories
    for part in parts:
        table = load(part)
        same = side.of(table, int(images.offsets[part.index]))
        seen = detector(table, detections=same, categories=known)
        certain = (confidence_of(table) == 1) & has_pixels(table)
        if "iscrowd" in table.masks:
            certain &= ~(table.masks["iscrowd"] == 1).to_numpy(bool, na_value=False)
        assert (seen["detector_score"][certain] == 1).all()
        assert seen["detector_category_score"].notna().any() <= bool(known)
        agreed = agreement(table, compare={"same": same})["agreement_score"].to_numpy()
        assert (agreed[has_pixels(table) & np.isfinite(agreed)] == 1).all()


def test_masks_of_a_segmenter_as_detections_from_the_start(tmp_path: Path) -> None:
    source = build("sa1b-tar", tmp_path / "source")
    masks = audit(source, tmp_path / "out", detections=source).masks()
    assert (masks["detector_score"] == 1).all()
    assert masks["detector_category_score"].isna().all()


@pytest.mark.parametrize("text", ["[]", '{"images": [], "annotations": [], "categories": []}'])
def test_a_file_without_detections(tmp_path: Path, text: str) -> None:
    (tmp_path / "none.json").write_text(text)
    side = prepare_source("detections", tmp_path / "none.json", tmp_path)
    assert side.categories() == ()
    assert len(side.listing()) == 0


def test_columns_that_only_later_parts_have_are_read(tmp_path: Path) -> None:
    """A detector's file may give its first thousands of boxes no score, and others one."""
    side = ReferenceSource("detections", tmp_path)
    for index, more in enumerate(({}, {"score": pa.array([0.5])})):
        masks = pa.table({"mask_id": [index], "image_row": [index], **more})
        write_part(tmp_path / "masks" / f"part-{index:06d}.parquet", masks)
    frame = side._frame("masks").sort_values("mask_id")
    assert frame["score"].isna().tolist() == [True, False]


def test_results_without_categories(tmp_path: Path) -> None:
    boxes = [{"image_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    assert prepare_source("detections", tmp_path / "boxes.json", tmp_path).categories() == ()
