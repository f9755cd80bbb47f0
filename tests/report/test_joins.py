"""What the page says of inputs that were joined with the images."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from scenes import HandMade, write_audit
from test_page import minimal

from curate.dataset.image_join import REASON_TEXTS
from curate.reporting.page import render
from curate.reporting.queries import ReportSource
from curate.reporting.tables import Missing, joins

PICTURES = {
    "things": 5,
    "images": 6,
    "joined": 5,
    "keys": {"file_name": 4, "name without case": 1},
    "not_joined": {},
    "images_without": {"count": 1, "examples": ["b/6.jpg"]},
}
DETECTIONS = {
    "things": 1_204,
    "images": 6,
    "joined": 6,
    "keys": {"id": 6},
    "not_joined": {
        "none": {"count": 1_190, "examples": ["<b>7</b>.jpg", "id 8"]},
        "ambiguous": {"count": 8, "examples": ["a.jpg"]},
    },
    "images_without": {"count": 0, "examples": []},
}


def audit_with(folder: Path, **joined: dict[str, Any]) -> HandMade:
    full = minimal(folder / "full")
    masks, images = full.query("select * from masks"), full.query("select * from images")
    return write_audit(folder / "audit", masks, images, full.info.as_dict() | {"joins": joined})


def section(page: str) -> str:
    found = re.search(r'<section class="findings" id="joins">(.*?)</section>', page, re.S)
    return "" if found is None else " ".join(re.sub(r"<[^>]+>", " ", found[1]).split())


def test_what_was_joined_how_and_what_was_not(tmp_path: Path) -> None:
    page = render(audit_with(tmp_path, pictures=PICTURES, detections=DETECTIONS))
    assert section(page) == (
        "Inputs joined to the images "
        "pictures : 5 of 6 images , by file_name (4), name without case (1) "
        "1 image without a picture , for example b/6.jpg "
        "detections : 6 of 6 images , by id (6) "
        f"1,190 not joined: {REASON_TEXTS['none']} , for example &lt;b&gt;7&lt;/b&gt;.jpg id 8 "
        f"8 not joined: {REASON_TEXTS['ambiguous']} , for example a.jpg "
        "Everything that was not joined is listed in joins.json in the audit directory."
    )


def test_pictures_that_are_not_found_are_in_no_other_file(tmp_path: Path) -> None:
    page = render(audit_with(tmp_path, pictures=PICTURES))
    assert "joins.json" not in section(page)
    whole = PICTURES | {"joined": 6, "images_without": {"count": 0, "examples": []}}
    page = render(audit_with(tmp_path / "whole", pictures=whole))
    assert section(page).endswith("name without case (1) everything was joined")


@pytest.mark.parametrize("named", [True, False])
def test_an_audit_without_inputs_has_no_such_section(tmp_path: Path, named: bool) -> None:
    audit = audit_with(tmp_path) if named else minimal(tmp_path)
    assert joins(ReportSource(audit)) == []
    assert 'id="joins"' not in render(audit)


def test_images_that_got_none_of_other_annotations(tmp_path: Path) -> None:
    some = DETECTIONS | {"not_joined": {}, "images_without": {"count": 2, "examples": ["x", "y"]}}
    (found,) = joins(ReportSource(audit_with(tmp_path, ada=some)))
    assert found.missing == [Missing(2, "images that got none of it", ["x", "y"])]
    assert not found.listed
