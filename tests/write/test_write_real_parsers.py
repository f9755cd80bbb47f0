"""Other projects' own readers on datasets that curate wrote.

``make test-tools`` installs them into environments of their own and runs this. Where these are not
there, the tests are skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_decisions import Source, added, decide_all_sorts, hand_in, listed, pixels_of
from drawn_masks import rasterised
from PIL import Image

import curate

ROOT = Path(__file__).resolve().parents[2]
TOOLS, LABEL_STUDIO = (ROOT / f".venv-{n}/bin/python" for n in ("tools", "label-studio"))


def check(python: Path, name: str, path: Path, folder: Path) -> dict[str, Any]:
    """Run a check of write_parsers.py on a written dataset and return what it prints."""
    if not python.exists():
        pytest.skip("the tools are not here: make test-tools")
    truth = {str(k): mask for k, mask in pixels_of(curate.read(path)).items()}
    np.savez(folder / "truth.npz", **truth)
    script = str(Path(__file__).with_name("write_parsers.py"))
    given = path.parent if name == "datumaro-cvat" else path
    command = [str(python), script, name, str(given), str(folder / "truth.npz")]
    quiet = os.environ | {"HOME": str(folder)}
    done = subprocess.run(command, capture_output=True, text=True, env=quiet, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def labels(path: Path) -> dict[str, str | None]:
    return {str(number): mask.label for number, mask in listed(curate.read(path)).items()}


def test_datumaro_sees_the_masks_of_a_written_coco_file(
    written: Callable[[str], Any], tmp_path: Path
) -> None:
    one = written("coco")
    folder = tmp_path / "annotations"  # it looks for files in a folder that is called so
    for path in (folder, tmp_path / "images"):
        path.mkdir()
    found = check(TOOLS, "datumaro-coco", Path(shutil.copy(one.out, folder)), tmp_path)
    assert found["images"] == 3
    assert found["labels"] == labels(one.out)
    assert len(added(one.source, one.decided)) > 1


def test_datumaro_sees_the_masks_and_the_boxes_of_a_written_cvat_file(
    written: Callable[[str], Any], tmp_path: Path
) -> None:
    one = written("cvat")
    folder = tmp_path / "cvat"
    for about in one.source.table.images.to_dict("records"):
        picture = folder / "images" / about["file_name"]
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (about["width"], about["height"])).save(picture)
    found = check(TOOLS, "datumaro-cvat", Path(shutil.copy(one.out, folder)), tmp_path)
    assert found["images"] == 3
    assert found["labels"] == labels(one.out)
    assert found["boxes"] == [[1, 2, 8, 6]] * 2
    assert found["tags"] == 2


def test_label_studios_converter_sees_the_polygons_of_a_written_coco_file(
    prepared: Callable[[str], Source], tmp_path: Path
) -> None:
    """It takes no RLE, so all masks are polygons, with seams where they have holes."""
    source = prepared("coco-polygons")
    decided = decide_all_sorts(source)
    shutil.copytree(source.audit, tmp_path / "audit")
    hand_in(source, tmp_path / "audit", decided)
    out = tmp_path / "instances.json"
    result = curate.write(tmp_path / "audit", out, masks="polygon", category="cat")
    assert result.stored is not None
    assert result.stored.runs == 0
    assert result.stored.seams > 0
    found = check(LABEL_STUDIO, "label-studio", out, tmp_path)
    assert found["labels"] == labels(out)
    masks = pixels_of(curate.read(out))
    assert len(masks) == len(found["polygons"])
    for number, mask in masks.items():
        assert mask is not None
        assert (rasterised(found["polygons"][str(number)], mask.shape) == mask).all()


def test_datumaro_sees_the_masks_of_its_own_json_as_it_was_written(
    written: Callable[[str], Any], tmp_path: Path
) -> None:
    one = written("datumaro")
    found = check(TOOLS, "datumaro-json", one.out, tmp_path)
    assert found["images"] == 3
    assert found["labels"] == sorted(str(name) for name in labels(one.out).values())


def test_label_studios_converter_sees_the_masks_of_an_export(
    prepared: Callable[[str], Source], tmp_path: Path
) -> None:
    source = prepared("coco")
    out = tmp_path / "ls"
    curate.write(source.audit, out, to="label-studio", lossy=True)
    found = check(LABEL_STUDIO, "label-studio-export", out, tmp_path)
    assert found["labels"] == labels(out)
