"""Pictures found again by their names: tools drop folders, and number images anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from boxes import annotation, box
from hard_masks import audited, back, write
from other_tools import TOOLS, Seen, nothing

from curate.errors import SourceError
from curate.people.reviews import open_reviews
from curate.store.audit import StoredAudit
from curate.testing.exchange_contract import draw_all

pytestmark = pytest.mark.filterwarnings(  # pycocotools
    "ignore:__array__ implementation:DeprecationWarning"
)


def of_names(names: list[str], folder: Path) -> StoredAudit:
    """Return an audit with pictures of some names, two masks each: 1 and 2 on the first image."""
    images = [
        {"id": k, "file_name": name, "height": 40, "width": 50} for k, name in enumerate(names, 1)
    ]
    masks = [
        annotation(2 * k + at, k + 1, box(1 + 13 * at + k, 5, 8, 11 + k))
        for k in range(len(names))
        for at in (1, 2)
    ]
    source = {"images": images, "annotations": masks, "categories": [{"id": 1, "name": "cat"}]}
    source["categories"].append({"id": 2, "name": "dog"})
    return audited(source, folder)


def flattened(audit: StoredAudit, folder: Path, only: str = "") -> Path:
    """Return FiftyOne's export of everything, the folders of its images dropped.

    Args:
        audit: The audit.
        folder: Where to write.
        only: Beginning of the names of images that are exported, numbered from 1.
    """
    path, _ = write(audit, draw_all(audit), folder, "fiftyone", False)
    came = TOOLS["FiftyOne"][1](path, nothing)
    value: dict[str, Any] = json.loads((came / "labels.json").read_text())
    images = [one for one in value["images"] if one["file_name"].startswith(only)]
    value["images"] = sorted(images, key=lambda one: one["file_name"])
    anew = {one["id"]: k for k, one in enumerate(value["images"], 1)}
    value["annotations"] = [
        one | {"image_id": anew[one["image_id"]]}
        for one in value["annotations"]
        if one["image_id"] in anew
    ]
    for one in value["images"]:
        one["id"], one["file_name"] = anew[one["id"]], one["file_name"].rpartition("/")[2]
    (came / "labels.json").write_text(json.dumps(value))
    return came


def test_images_called_as_we_call_others(tmp_path: Path) -> None:
    """Image 2 is train/image_10.png, image 10 is train/image_9.png, and the tool drops train/."""
    names = sorted(f"train/image_{number}.png" for number in range(1, 11))
    audit = of_names(names, tmp_path)
    done = back(audit, flattened(audit, tmp_path))
    assert done.added.actions == {"accept": 20}
    assert done.added.missing == 0


def test_our_own_names_are_like_no_base_name(tmp_path: Path) -> None:
    """An image without a safe name is called image_1, but not where one in a folder is."""
    names = ["../z.png", "b/image_1.png", "c/_image_1.png", "a/1.png"]
    audit = of_names(names, tmp_path)
    path, _ = write(audit, draw_all(audit), tmp_path, "fiftyone", False)
    value = json.loads((path / "labels.json").read_text())
    assert {one["file_name"] for one in value["images"]} == {"__image_1.png", *names[1:]}
    folder = tmp_path / "again"
    folder.mkdir()
    assert back(audit, flattened(audit, folder)).added.actions == {"accept": 8}


def test_a_number_that_is_another_images(tmp_path: Path) -> None:
    """Of a/1.png and b/1.png only the second comes back, as 1.png and numbered 1."""
    audit = of_names(["a/1.png", "a/2.png", "b/1.png", "b/3.png"], tmp_path)
    with pytest.raises(
        SourceError, match="mostly those of image 3, not of image 1; keep the names"
    ):
        back(audit, flattened(audit, tmp_path, "b/"))
    assert not len(open_reviews(audit).decisions())


def test_masks_copied_to_an_image_without_any_are_new(tmp_path: Path) -> None:
    audit = of_names(["1.png", "2.png"], tmp_path)
    path, _ = write(audit, draw_all(audit), tmp_path, "fiftyone", False)
    first: list[Seen] = []

    def people(name: str, seen: list[Seen]) -> list[Seen]:
        first.extend(seen if name == "1.png" else ())
        return first[:1] if name == "2.png" else seen

    done = back(audit, TOOLS["FiftyOne"][1](path, people))
    assert done.added.actions == {"accept": 2, "reject": 2}
    assert done.added.missing == 1
