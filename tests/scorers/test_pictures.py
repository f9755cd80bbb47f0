import numpy as np
import pandas as pd
import pytest
from made_tables import disc, table_of
from PIL import Image

from curate.errors import CallError
from curate.images import ImageFolder
from curate.scorers.pictures import SCORERS, near_duplicates, picture_hash


def scene(seed, height=240, width=320):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (9, 12, 3), np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def frame_of(hashes, contents=None, ids=None):
    index = pd.Index(ids if ids is not None else range(len(hashes)), name="image_id")
    contents = contents or [None] * len(hashes)
    return pd.DataFrame(
        {
            "content_hash": pd.array(contents, dtype="string"),
            "picture_hash": pd.array(hashes, dtype="Int64"),
        },
        index=index,
    )


def test_alike_pictures_point_at_the_lowest_id(tmp_path):
    scene(0).save(tmp_path / "1.png")
    (tmp_path / "5.png").write_bytes((tmp_path / "1.png").read_bytes())
    scene(0).save(tmp_path / "3.jpg", quality=50)
    scene(0).resize((160, 120)).save(tmp_path / "4.png")
    Image.eval(scene(0), lambda v: int(v * 0.9)).save(tmp_path / "6.png")
    scene(1).save(tmp_path / "2.png")
    Image.new("RGB", (320, 240), (10, 10, 10)).save(tmp_path / "7.png")
    Image.new("RGB", (320, 240), (200, 10, 10)).save(tmp_path / "8.png")
    (tmp_path / "9.png").write_bytes((tmp_path / "8.png").read_bytes())
    (tmp_path / "10.png").write_bytes(b"broken")
    ids = list(range(1, 12))
    names = {i: f"{i}" for i in ids}
    table = table_of([disc(50, 50, 9, 240, 320)] * len(ids), images=ids, names=names)
    looked = SCORERS[0](table, images=ImageFolder(tmp_path))
    assert looked["picture_status"].tolist() == [
        *["ok"] * 3, "size_mismatch", *["ok"] * 5, "unreadable", "missing",
    ]  # fmt: skip
    assert looked["picture_hash"].isna().tolist() == [False] * 6 + [True] * 5
    assert looked["content_hash"].isna().tolist() == [False] * 9 + [True] * 2
    found = near_duplicates(looked)
    expected = {3: 1, 4: 1, 5: 1, 6: 1, 9: 8}
    assert found["near_duplicate_of"].dropna().astype(int).to_dict() == expected
    assert found["near_duplicate_distance"].loc[[5, 9]].tolist() == [0, 0]
    shuffled = near_duplicates(looked.sample(frac=1, random_state=0))
    pd.testing.assert_frame_equal(shuffled.loc[found.index], found)


@pytest.mark.parametrize("distance", range(7))
def test_every_near_hash_is_found(distance):
    rng = np.random.default_rng(distance)
    base = rng.integers(-(2**63), 2**63 - 1, 300)
    changed = []
    for value in base:
        for _ in range(3):
            bits = rng.choice(64, rng.integers(0, 9), replace=False)
            flip = np.bitwise_or.reduce(
                np.left_shift(np.uint64(1), bits.astype(np.uint64)), initial=np.uint64(0)
            )
            changed.append(
                (np.uint64(value & (2**63 - 1)) | (np.uint64(value < 0) << np.uint64(63))) ^ flip
            )
    hashes = np.r_[base, np.array(changed, np.uint64).view(np.int64)]
    hashes = hashes[rng.permutation(len(hashes))]
    found = near_duplicates(frame_of(hashes), distance=distance)
    leaders: list[int] = []
    for k, value in enumerate(hashes):
        near = [
            j for j in leaders if bin((int(value) ^ int(hashes[j])) % 2**64).count("1") <= distance
        ]
        got = found["near_duplicate_of"].iloc[k]
        if near:
            assert got == near[0]
            steps = bin((int(value) ^ int(hashes[near[0]])) % 2**64).count("1")
            assert found["near_duplicate_distance"].iloc[k] == steps
        else:
            assert got is pd.NA
            leaders.append(k)


def test_copies_follow_their_first_copy():
    found = near_duplicates(
        frame_of([7, 7 ^ 3, 9999999, 7 ^ 3, None, None], ["a", "b", "c", "b", "d", "d"])
    )
    assert found["near_duplicate_of"].tolist() == [pd.NA, 0, pd.NA, 0, pd.NA, 4]
    assert found["near_duplicate_distance"].tolist() == [pd.NA, 2, pd.NA, 2, pd.NA, 0]


def test_flat_pictures_have_no_hash():
    assert picture_hash(np.full((32, 32), 99, np.uint8)) is None
    assert picture_hash(np.full((32, 32), 99, np.uint8) + np.eye(32, dtype=np.uint8)) is None
    assert picture_hash((np.arange(1024) % 251).reshape(32, 32).astype(np.uint8)) is not None


def test_no_images_and_wrong_distances():
    assert near_duplicates(frame_of([])).empty
    with pytest.raises(CallError, match="give 0 to 6"):
        near_duplicates(frame_of([1]), distance=7)
