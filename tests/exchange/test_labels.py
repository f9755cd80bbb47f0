"""Categories on their way out and back: all of the dataset's, and a placeholder that is none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from boxes import dataset
from hard_masks import audited, back, write
from other_tools import TOOLS, Seen
from PIL import Image

import curate
from curate.dataset.table import plain
from curate.errors import SourceError
from curate.people.exchange import import_file, write_queue
from curate.people.reviews import open_reviews
from curate.store.audit import StoredAudit, open_audit
from curate.testing.exchange_contract import draw_all

pytestmark = pytest.mark.filterwarnings(  # pycocotools
    "ignore:__array__ implementation:DeprecationWarning"
)


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an audit without categories."""
    folder = tmp_path_factory.mktemp("ids")
    id_pictures(folder)
    return folder


@pytest.fixture
def ids(unlabelled: Path, tmp_path: Path) -> StoredAudit:
    """Return a copy of that audit."""
    shutil.copytree(unlabelled / "audit", tmp_path / "audit")
    return open_audit(tmp_path / "audit")


def id_pictures(folder: Path) -> StoredAudit:
    """Return the audit of two pictures of instance ids, which have no categories."""
    for name in ("labels", "pictures"):
        (folder / name).mkdir(parents=True)
    for k in (1, 2):
        ids = np.zeros((40, 50), np.uint16)
        ids[5:15, 5:15], ids[20:30, 20:32] = 1, 2
        Image.fromarray(ids).save(folder / "labels" / f"{k}.png")
        Image.fromarray((ids * 90).astype(np.uint8)).save(folder / "pictures" / f"{k}.png")
    curate.audit(
        folder / "labels", folder / "audit", format="label-png", images=folder / "pictures"
    )
    return open_audit(folder / "audit")


def results(folder: Path) -> StoredAudit:
    """Return the audit of a results list with two category ids, and no names."""
    folder.mkdir(exist_ok=True)
    kept = ("image_id", "category_id", "segmentation")
    made = [{**{k: one[k] for k in kept}, "score": 0.9} for one in dataset()["annotations"]]
    for one in made[:5]:
        one["category_id"] = 18
    (folder / "results.json").write_text(json.dumps(made))
    curate.audit(folder / "results.json", folder / "audit")
    return open_audit(folder / "audit")


def add_one(label: str) -> Any:
    """Return what a person does who adds a mask with a label to the first picture."""
    done: list[str] = []

    def change(name: str, seen: list[Seen]) -> list[Seen]:
        if done:
            return seen
        done.append(name)
        new = np.zeros_like(seen[0].pixels)
        new[-3:, -4:] = True
        return [*seen, Seen(None, label, new)]

    return change


@pytest.mark.parametrize("tool", TOOLS)
def test_a_placeholder_comes_back_as_no_category(
    ids: StoredAudit, tmp_path: Path, tool: str
) -> None:
    """So that what was added there can be written in a format that has no categories."""
    audit = ids
    name, use = TOOLS[tool]
    path, _ = write(audit, draw_all(audit), tmp_path, name, False)
    done = back(audit, use(path, add_one("object")))
    assert done.added.actions == {"accept": 4}
    assert plain(open_reviews(audit).missing()["category"]) == [None]
    curate.write(audit, tmp_path / "better")
    assert (tmp_path / "better").is_dir()


def test_a_category_of_that_name_is_one(tmp_path: Path) -> None:
    source = dataset()
    source["categories"][0]["name"] = "object"
    audit = audited(source, tmp_path / "named")
    name, use = TOOLS["COCO"]
    path, _ = write(audit, draw_all(audit), tmp_path, name, False)
    back(audit, use(path, add_one("object")))
    assert plain(open_reviews(audit).missing()["category"]) == ["object"]


@pytest.mark.parametrize("tool", ["CVAT for images", "COCO"])
def test_numbers_without_names_stay_apart(tmp_path: Path, tool: str) -> None:
    audit = results(tmp_path / "results")
    name, use = TOOLS[tool]
    queued = draw_all(audit)
    path = tmp_path / ("queue.json" if name == "coco" else "queue")
    write_queue(audit, queued, path, name)
    first = int(queued["mask_id"].iloc[0])
    labels = set()

    def change(name: str, seen: list[Seen]) -> list[Seen]:
        labels.update(one.label for one in seen)
        for one in seen:
            if str(one.mask_id) == str(first):
                one.label = "1" if one.label == "18" else "18"
        return seen

    import_file(audit, use(path, change), reviewer="ann")
    assert labels == {"1", "18"}
    decisions = open_reviews(audit).decisions()
    fixed = decisions[decisions["action"] == "fix"]
    assert fixed["mask_id"].tolist() == [first]
    own = audit.query(f"select category_id from masks where mask_id = {first}")["category_id"][0]
    assert fixed["category"].tolist() == ["1" if own == 18 else "18"]


@pytest.mark.parametrize("tool", ["cvat", "fiftyone", "coco", "label-studio"])
def test_a_queue_lists_all_categories_of_the_dataset(tmp_path: Path, tool: str) -> None:
    source = dataset()
    source["annotations"][7]["category_id"] = 2
    audit = audited(source, tmp_path / "both")
    queued = draw_all(audit)
    queued = queued[queued["mask_id"] != 8]
    out = tmp_path / ("queue.json" if tool == "coco" else "queue")
    write_queue(audit, queued, out, tool)
    if tool == "cvat":
        listed = [one["name"] for one in json.loads((out / "labels.json").read_text())]
    elif tool == "label-studio":
        text = (out / "config.xml").read_text()
        listed = [name for name in ("cat", "dog", "object") if f'<Label value="{name}"/>' in text]
    else:
        file = out if out.is_file() else out / "labels.json"
        listed = [one["name"] for one in json.loads(file.read_text())["categories"]]
    assert listed == ["cat", "dog"]


@pytest.mark.parametrize("queued", [False, True])
def test_a_category_that_the_file_does_not_declare_is_refused(tmp_path: Path, queued: bool) -> None:
    source = dataset()
    audit = audited(source, tmp_path / "audit")
    path = tmp_path / "corrected.json"
    if queued:
        write_queue(audit, draw_all(audit), path, "coco")
        source = json.loads(path.read_text())
    source["annotations"][2]["category_id"] = 77
    path.write_text(json.dumps(source))
    with pytest.raises(SourceError, match="its category_id 77 is not among the file's categories"):
        import_file(audit, path)


def test_an_undeclared_category_that_was_there_before_is_no_error(tmp_path: Path) -> None:
    source = dataset()
    source["annotations"][2]["category_id"] = 77
    audit = audited(source, tmp_path / "audit")
    source["annotations"] = source["annotations"][:-1]
    path = tmp_path / "corrected.json"
    path.write_text(json.dumps(source))
    assert import_file(audit, path).added.actions == {"accept": 11, "reject": 1}


def test_the_only_category_of_a_file_says_nothing_where_the_dataset_has_none(
    ids: StoredAudit, tmp_path: Path
) -> None:
    audit = ids
    path = tmp_path / "corrected.json"
    images = audit.images(["file_name"])["file_name"]
    value = dataset()
    value["images"] = [
        {"id": int(k), "file_name": name, "height": 40, "width": 50} for k, name in images.items()
    ]
    own = audit.masks(["image_id"])
    value["annotations"] = [
        {**dataset()["annotations"][0], "id": int(mask), "image_id": int(image)}
        | {"segmentation": rle_of(audit, int(mask))}
        for mask, image in own["image_id"].items()
    ][:-1]
    value["categories"] = [{"id": 1, "name": "nucleus"}]
    path.write_text(json.dumps(value))
    done = import_file(audit, path, exported=audit_source(audit))
    assert done.added.actions == {"accept": 3, "reject": 1}


def rle_of(audit: StoredAudit, mask: int) -> dict[str, Any]:
    counts = audit.query(f"select segmentation from masks where mask_id = {mask}")
    return {"size": [40, 50], "counts": bytes(counts["segmentation"][0]).decode()}


def audit_source(audit: StoredAudit) -> Path:
    return Path(audit.info.source["path"])
