"""Other projects' own readers on what curate writes, and curate on what they write.

``make test-tools`` installs them into an environment of their own and runs this. Where that is not
there, the tests are skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from boxes import HEIGHT, WIDTH, annotation, dataset
from hard_masks import audited, back, write
from pycocotools import mask as coco_mask

from curate.people.exchange.queue_images import make_crops as crop_views
from curate.store.audit import StoredAudit
from curate.testing.exchange_contract import HARD_SHAPES, draw_all

PYTHON = Path(__file__).resolve().parents[2] / ".venv-tools" / "bin" / "python"

pytestmark = [
    pytest.mark.skipif(not PYTHON.exists(), reason="the tools are not here: make test-tools"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
WAYS = pytest.mark.parametrize("crops", [False, True], ids=["whole", "crops"])


@dataclass
class Written:
    """Every format of one audit, and what should be seen of each mask."""

    audit: StoredAudit
    folder: Path
    masks: int

    def path(self, tool: str, crops: bool) -> Path:
        ending = {"huggingface": ".parquet"}.get(tool, "" if crops or tool != "coco" else ".json")
        return self.folder / f"{tool}{'-crops' if crops else ''}{ending}"

    def check(self, name: str, path: Path, crops: bool) -> dict[str, Any]:
        """Run a check of real_parsers.py and return what it prints."""
        truth = self.folder / f"truth{'-crops' if crops else ''}.npz"
        script = Path(__file__).with_name("real_parsers.py")
        command = [str(PYTHON), str(script), name, str(path), str(truth)]
        quiet = os.environ | {"HF_HUB_OFFLINE": "1", "HOME": str(self.folder)}
        done = subprocess.run(command, capture_output=True, text=True, env=quiet, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        told: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return told


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("tools")
    source = dataset()
    for k, shape in enumerate(HARD_SHAPES):
        source["annotations"].append(annotation(20 + k, 1 + k % 3, shape(HEIGHT, WIDTH)))
    audit = audited(source, folder)
    rows = draw_all(audit)
    for tool in ("cvat", "fiftyone", "coco", "huggingface"):
        for crops in (False, True):
            write(audit, rows, folder, tool, crops)
    whole = {
        str(one["id"]): coco_mask.decode(one["segmentation"]).astype(bool)
        for one in source["annotations"]
    }
    np.savez(folder / "truth.npz", **whole)
    cut = {}
    for view in crop_views(audit, rows):
        box, number = view.box, str(view.rows[0]["mask_id"])
        cut[number] = whole[number][box.y : box.y + box.h, box.x : box.x + box.w]
    np.savez(folder / "truth-crops.npz", **cut)
    return Written(audit, folder, len(whole))


@WAYS
def test_datumaro_reads_what_is_written_for_cvat(written: Written, crops: bool) -> None:
    folder = written.path("cvat", crops)
    told = written.check("datumaro", folder, crops)
    assert told["masks"] == written.masks
    assert {"mask_id", "score", "reasons"} <= set(told["attributes"])
    exported = folder.with_name(f"{folder.name}-from-datumaro-coco")
    annotations = json.loads((exported / "annotations" / "instances_annotations.json").read_text())[
        "annotations"
    ]
    assert {one["iscrowd"] for one in annotations} == {1}  # so it must not be believed
    for name in ("coco", "cvat"):
        done = back(written.audit, folder.with_name(f"{folder.name}-from-datumaro-{name}"))
        assert done.format == "cvat"
        assert done.added.actions == {"accept": written.masks}


@WAYS
def test_the_decoder_of_cvat_reads_our_masks(written: Written, crops: bool) -> None:
    told = written.check("cvat-sdk", written.path("cvat", crops), crops)
    assert told["masks"] == written.masks


@WAYS
def test_datasets_shows_our_parquet(written: Written, crops: bool) -> None:
    path = written.path("huggingface", crops)
    told = written.check("datasets", path, crops)
    assert told["masks"] == written.masks
    assert told["image"].startswith("Image(")
    done = back(written.audit, path.with_name(f"{path.stem}-from-datasets.parquet"))
    assert done.format == "huggingface"
    assert done.added.actions == {"accept": written.masks}


@WAYS
@pytest.mark.parametrize("tool", ["coco", "fiftyone"])
def test_pycocotools_reads_our_coco(written: Written, tool: str, crops: bool) -> None:
    path = written.path(tool, crops)
    if path.is_dir():
        path /= "labels.json" if tool == "fiftyone" else "instances.json"
    assert written.check("pycocotools", path, crops)["masks"] == written.masks


@WAYS
def test_fiftyones_own_code_reads_and_writes_our_layout(written: Written, crops: bool) -> None:
    folder = written.path("fiftyone", crops)
    assert written.check("fiftyone", folder, crops)["masks"] == written.masks
    done = back(written.audit, folder.with_name(f"{folder.name}-from-fiftyone-crowds"))
    assert done.format == "fiftyone"
    assert done.added.actions == {"accept": written.masks}
    redrawn = back(
        written.audit, folder.with_name(f"{folder.name}-from-fiftyone-polygons"), same_iou=0.8
    )
    lost = redrawn.notes["masks that the tool lost, so nothing is known of them"]
    assert lost > 0  # a mask of one pixel has no polygon there
    assert sum(redrawn.added.actions.values()) == written.masks - lost
    assert redrawn.added.actions["accept"] >= 12  # boxes; what holes and parts become are fixes
    assert "reject" not in redrawn.added.actions
