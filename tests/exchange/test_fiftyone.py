"""FiftyOne's layout: what its importer needs of each annotation, and names that it keeps back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from boxes import dataset
from hard_masks import audited, back, write
from PIL import Image
from pycocotools import mask as coco_mask

from curate.errors import SourceError
from curate.formats.segmentation import Segmentation, read_segmentation
from curate.store.audit import StoredAudit
from curate.testing.exchange_contract import draw_all

KEPT_BACK = {
    "label",
    "mask",
    "bounding_box",
    "tags",
    "index",
    "confidence",
    "attributes",
    "mask_path",
}
"""Names that mean something in FiftyOne's labels."""

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture
def pictured(tmp_path: Path) -> StoredAudit:
    """Return an audit with pictures."""
    return audited(dataset(), tmp_path)


@pytest.mark.parametrize("crops", [False, True])
def test_the_layout(pictured: StoredAudit, tmp_path: Path, crops: bool) -> None:
    path, written = write(pictured, draw_all(pictured), tmp_path, "fiftyone", crops)
    assert sorted(one.name for one in path.iterdir()) == ["data", "labels.json"]
    labels = json.loads((path / "labels.json").read_text())
    assert len(labels["annotations"]) == written == 12
    images = {one["id"]: one for one in labels["images"]}
    assert len(images) == (12 if crops else 3)
    for one in images.values():
        with Image.open(path / "data" / one["file_name"]) as picture:
            assert picture.size == (one["width"], one["height"])
    for one in labels["annotations"]:
        assert one["bbox"] == coco_mask.toBbox(one["segmentation"]).tolist()
        image = images[one["image_id"]]
        assert one["segmentation"]["size"] == [image["height"], image["width"]]
        assert one["id"] == one["mask_id"]
        assert one["score"] == one["quality_score"]
        assert not KEPT_BACK & set(one)
    assert min(one["id"] for one in labels["categories"]) == 1


def test_annotations_become_masks_as_they_are_read(
    pictured: StoredAudit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is kept as it stands in the file: five were read when the sixth was found to be none."""
    path, _ = write(pictured, draw_all(pictured), tmp_path, "fiftyone", False)
    labels = json.loads((path / "labels.json").read_text())
    labels["annotations"][5] = "nothing"
    (path / "labels.json").write_text(json.dumps(labels))
    sizes: list[tuple[int, ...]] = []

    def read(value: object, *size: int) -> Segmentation:
        sizes.append(size)
        return read_segmentation(value, *size)

    monkeypatch.setattr("curate.people.exchange.coco_of_tools.read_segmentation", read)
    with pytest.raises(SourceError, match="one of its annotations is a string, not an object"):
        back(pictured, path)
    assert sizes == [(40, 50)] * 5


def test_an_export_without_an_image_is_refused(pictured: StoredAudit, tmp_path: Path) -> None:
    path, _ = write(pictured, draw_all(pictured), tmp_path, "fiftyone", False)
    labels = json.loads((path / "labels.json").read_text())
    labels["annotations"][4]["image_id"] = 77
    (path / "labels.json").write_text(json.dumps(labels))
    with pytest.raises(SourceError, match="annotation 5: its image is not in the file"):
        back(pictured, path)
    del labels["images"][0]["height"]
    (path / "labels.json").write_text(json.dumps(labels))
    with pytest.raises(SourceError, match="image 1: its height and width are no whole numbers"):
        back(pictured, path)
