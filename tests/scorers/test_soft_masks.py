"""Files of soft masks: which image's, or which mask's, each one is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from curate.images import image_pieces
from curate.scorers import soft_masks
from curate.scorers.soft_masks import SoftMasks, Unusable


def save(path: Path, count: int, value: float = 0.5) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.full((count, 4, 6), value, np.float32))


def masks_of(name: str, ids: list[int]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "source_key": [f"in.json#{number}" for number in ids],
            "file_name": name,
            "height": 4,
            "width": 6,
        },
        index=pd.Index(ids, name="mask_id"),
    )


def read(folder: SoftMasks, name: str, ids: list[int]) -> list[object]:
    found = [soft for _, soft in folder.of_image(masks_of(name, ids))]
    return [f.status if isinstance(f, Unusable) else float(f[0, 0]) for f in found]


@pytest.mark.parametrize(
    "name", ["a b.jpg", "x/a%20b.png", "C:\\data\\A B.JPG", "s3://bucket/a%20b.jpg?v=1"]
)
def test_a_stack_is_named_like_its_image(tmp_path: Path, name: str) -> None:
    save(tmp_path / "sub" / "a b.npy", 2, 0.25)
    assert read(SoftMasks(tmp_path), name, [7, 8]) == [0.25, 0.25]


def test_two_images_have_no_stack_in_common(tmp_path: Path) -> None:
    save(tmp_path / "x.npy", 1)
    folder = SoftMasks(tmp_path)
    known = folder.find_all(["a/x.jpg", "b/x.jpg"])
    assert known == {"a/x.jpg": "", "b/x.jpg": ""}
    assert read(folder.knowing(known), "a/x.jpg", [5]) == ["ambiguous"]


def test_a_number_that_is_an_image_and_a_mask_is_not_guessed(tmp_path: Path) -> None:
    """Image 1.jpg holds mask 2: its file is 1.npy by the image's name, 2.npy by the mask's id."""
    for number in (1, 2):
        save(tmp_path / f"{number}.npy", 1, number / 10)
    assert read(SoftMasks(tmp_path), "1.jpg", [2]) == ["ambiguous"]
    assert read(SoftMasks(tmp_path), "1.jpg", [1]) == [pytest.approx(0.1)]
    assert read(SoftMasks(tmp_path), "other.jpg", [2]) == [pytest.approx(0.2)]


def test_what_unpacks_to_more_than_the_limit_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Zeros pack a thousand times; a file that stands as it is takes no memory."""
    np.savez_compressed(tmp_path / "a.npz", np.zeros((1, 4, 6), np.float64))
    Image.fromarray(np.full((4, 6), 40_000, np.uint16)).save(tmp_path / "b.png")
    save(tmp_path / "c.npy", 1)
    monkeypatch.setattr(soft_masks, "MAX_BYTES", 40)
    folder = SoftMasks(tmp_path)
    for name in ("a.jpg", "b.jpg"):
        ((_, found),) = folder.of_image(masks_of(name, [7]))
        assert isinstance(found, Unusable)
        assert found.status == "unreadable"
        assert "over the limit of 0 MB: store it as .npy" in found.detail
    assert read(folder, "c.jpg", [7]) == [0.5]


def test_a_png_of_probabilities_is_read_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.arange(4 * 6, dtype=np.uint16).reshape(4, 6) * 2_000
    Image.fromarray(values).save(tmp_path / "a.png")
    monkeypatch.setattr(image_pieces, "SMALL_PIXELS", 0)
    monkeypatch.setattr(image_pieces, "PIECE_PIXELS", 6)
    ((_, found),) = SoftMasks(tmp_path).of_image(masks_of("a.jpg", [7]))
    assert found.tolist() == values.tolist()
