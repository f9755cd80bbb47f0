"""Pictures of audits: each is one image's, and no source's own PNG is taken for one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from boxes import HEIGHT, WIDTH, box, rle
from PIL import Image

from curate.images import ImageFolder
from curate.pipeline.inputs import Inputs
from curate.pipeline.scoring import audit
from curate.store.audit import StoredAudit
from curate.store.known_pictures import open_pictures


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def photo(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def dataset(path: Path, names: list[str]) -> Path:
    images = [
        {"id": k, "file_name": name, "width": WIDTH, "height": HEIGHT}
        for k, name in enumerate(names)
    ]
    masks = [
        {
            "id": k,
            "image_id": k,
            "category_id": 1,
            "segmentation": rle(box(5, 5, 20, 20)),
            "bbox": [5, 5, 20, 20],
            "area": 400,
            "iscrowd": 0,
        }
        for k in range(len(names))
    ]
    content = {"images": images, "annotations": masks, "categories": [{"id": 1, "name": "a"}]}
    path.write_text(json.dumps(content))
    return path


def paths(done: StoredAudit) -> list[str | None]:
    found = done.images()["picture_path"].to_numpy(object).tolist()
    return [path if isinstance(path, str) else None for path in found]


def test_two_images_have_no_picture_in_common(tmp_path: Path) -> None:
    save(tmp_path / "pictures" / "x.jpg", photo(0))
    save(tmp_path / "pictures" / "y z.jpg", photo(1))
    names = ["a/x.jpg", "b/x.jpg", "C:\\data\\y%20z.jpg"]
    source = dataset(tmp_path / "in.json", names)
    done = audit(source, tmp_path / "out", inputs=Inputs(images=tmp_path / "pictures"))
    assert paths(done) == [None, None, "y z.jpg"]
    assert done.images()["status"].tolist() == ["missing", "missing", "ok"]
    facts = done.info.joins["pictures"]
    assert (facts["joined"], facts["keys"]) == (1, {"end of the path": 1})
    assert facts["images_without"] == {"count": 2, "examples": names[:2]}
    opened = open_pictures(done, tmp_path / "pictures")
    assert [opened.find(name) for name in names] == [None, None, tmp_path / "pictures" / "y z.jpg"]
    moved = (tmp_path / "pictures").rename(tmp_path / "moved")
    assert open_pictures(done, moved).find(names[2]) == moved / "y z.jpg"
    assert open_pictures(done, moved).find(names[0]) is None


def test_a_source_is_not_its_own_picture(tmp_path: Path) -> None:
    """PNGs of ids named like the photos, and the folder above both given as that of pictures."""
    for k in range(2):
        ids = np.zeros((HEIGHT, WIDTH), np.uint8)
        ids[5:20, 5:20], ids[25:35, 5:20] = 1, 2
        save(tmp_path / "labels" / f"s{k}.png", ids)
        save(tmp_path / "photos" / f"s{k}.jpg", photo(k))
    inputs = Inputs(images=tmp_path)
    done = audit(tmp_path / "labels", tmp_path / "out", format="label-png", inputs=inputs)
    assert paths(done) == ["photos/s0.jpg", "photos/s1.jpg"]


def test_a_picture_of_the_same_suffix_is_found_beside_the_masks(tmp_path: Path) -> None:
    ids = np.zeros((HEIGHT, WIDTH), np.uint8)
    ids[5:20, 5:20] = 1
    save(tmp_path / "masks" / "s.png", ids)
    save(tmp_path / "images" / "s.png", photo(3))
    inputs = Inputs(images=tmp_path)
    done = audit(tmp_path / "masks", tmp_path / "out", format="label-png", inputs=inputs)
    assert paths(done) == ["images/s.png"]
    assert ImageFolder(tmp_path).find("s.png") is None  # alone, nothing tells the two apart


def test_ids_of_detections_are_not_numbers_of_pictures(tmp_path: Path) -> None:
    """Image 1 is 0002.jpg and image 2 is 0001.jpg; the detections bear the dataset's ids."""
    names = ["0000.jpg", "0002.jpg", "0001.jpg"]
    for k, name in enumerate(names):
        save(tmp_path / "pictures" / name, photo(k))
    source = dataset(tmp_path / "in.json", names)
    seen = [{"image_id": 1, "category_id": 1, "bbox": [5, 5, 20, 20], "score": 0.9}]
    (tmp_path / "seen.json").write_text(json.dumps(seen))
    inputs = Inputs(images=tmp_path / "pictures", detections=tmp_path / "seen.json")
    done = audit(source, tmp_path / "out", inputs=inputs)
    assert done.info.joins["detections"]["keys"] == {"id": 1}
    assert done.masks()["detector_score"].notna().tolist() == [False, True, False]


def test_the_one_picture_left_over_is_named_and_not_joined(tmp_path: Path) -> None:
    source = dataset(tmp_path / "in.json", ["a.jpg", "displaced"])
    pictures = tmp_path / "pictures"
    save(pictures / "a.jpg", photo(0))
    save(pictures / "truck.jpg", photo(1))

    def said(out: str) -> list[str]:
        done = audit(source, tmp_path / out, inputs=Inputs(images=pictures))
        assert paths(done) == ["a.jpg", None]
        return [n["text"] for n in done.info.notes if n["kind"] == "picture_left_over"]

    save(pictures / "masks" / "0.png", photo(3))  # what lies below can be another's masks
    assert said("same_size") == [
        "no picture is called displaced.*, and truck.jpg, of the same size, is no image's: "
        "if it is its picture, give both the same name"
    ]
    save(pictures / "bus.jpg", photo(2))
    assert said("two_left") == []
    (pictures / "bus.jpg").unlink()
    save(pictures / "truck.jpg", photo(1)[1:])
    assert said("other_size") == []
