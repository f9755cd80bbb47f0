import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_tables import table_of

from curate import rle
from curate.errors import CallError, SourceError
from curate.scorers.soft_masks import SoftMasks
from curate.scorers.stability import CURVE, SCORERS, StabilityCurve, stability


def disc(radius=20.0, size=64, scale=1.0):
    y, x = np.mgrid[:size, :size]
    return ((radius - np.hypot(y - size / 2, x - size / 2)) * scale).astype(np.float32)


def reference(x, threshold, offset):
    x = x.astype(np.float64)
    low = np.count_nonzero(x > threshold - offset)
    return np.count_nonzero(x > threshold + offset) / low if low else np.nan


def run(table, path, **keywords):
    return SCORERS[0](table, soft_masks=SoftMasks(path), **keywords)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_logits_give_the_definition(tmp_path, dtype):
    soft = disc().astype(dtype)
    np.save(tmp_path / "100.npy", soft)
    row = run(table_of([soft > 0]), tmp_path).iloc[0]
    assert row["computed_stability_score"] == reference(soft, 0, 1.0)
    assert row["soft_mask_iou"] == 1
    assert row["soft_mask_status"] == "ok"
    curve = json.loads(row["stability_curve"])
    assert curve["kind"] == "logits"
    assert curve["stability"] == pytest.approx([reference(soft, 0, c) for c in CURVE], abs=1e-6)


def test_probabilities_give_the_definition(tmp_path):
    soft = 1 / (1 + np.exp(-disc(scale=0.3)))
    np.save(tmp_path / "100.npy", soft)
    row = run(table_of([soft > 0.5]), tmp_path).iloc[0]
    assert row["computed_stability_score"] == reference(soft, 0.5, 0.05)
    row = run(table_of([soft > 0.5]), tmp_path, threshold=0.4, offset=0.2).iloc[0]
    assert row["computed_stability_score"] == reference(soft, 0.4, 0.2)


def test_sixteen_bit_pictures_are_probabilities(tmp_path):
    from PIL import Image

    soft = np.rint(65535 / (1 + np.exp(-disc(scale=0.3)))).astype(np.uint16)
    Image.fromarray(soft).save(tmp_path / "100.png")
    row = run(table_of([soft > 32767]), tmp_path).iloc[0]
    assert row["computed_stability_score"] == reference(soft / 65535, 0.5, 0.05)


@given(st.integers(0, 2**32 - 1), st.sampled_from(["C", "F"]))
def test_random_logits_give_the_definition(tmp_path_factory, seed, order):
    rng = np.random.default_rng(seed)
    soft = rng.normal(0, 2, rng.integers(1, 40, 2)).round(1)  # many values on a threshold
    folder = tmp_path_factory.mktemp("soft")
    np.save(folder / "100.npy", np.asarray(soft, order=order))
    stored = rng.random(soft.shape) < 0.5
    stored[0, 0] = True
    row = run(table_of([stored]), folder, kind="logits").iloc[0]
    np.testing.assert_equal(row["computed_stability_score"], reference(soft, 0, 1.0))
    cut = soft > 0
    assert row["soft_mask_iou"] == (cut & stored).sum() / (cut | stored).sum()
    outline = rle.perimeter(rle.from_dense(cut))[0]
    band = np.count_nonzero(soft > -1) - np.count_nonzero(soft > 1)
    np.testing.assert_equal(row["edge_band_px"], band / outline if outline else np.nan)


def test_edge_band_does_not_depend_on_size_where_stability_does(tmp_path):
    small, large = disc(10, 256), disc(100, 256)
    np.save(tmp_path / "100.npy", small)
    np.save(tmp_path / "101.npy", large)
    frame = run(table_of([small > 0, large > 0]), tmp_path)
    low, high = frame["computed_stability_score"]
    assert low < 0.75 < 0.95 < high
    assert frame["edge_band_px"].iloc[0] == pytest.approx(frame["edge_band_px"].iloc[1], rel=0.1)


@pytest.mark.parametrize("layout", ["npy", "npz", "keyed", "sam"])
def test_an_image_in_one_file(tmp_path, layout):
    stack = np.stack([disc(r) for r in (8, 12, 20)])
    keys = [f"a.json#/annotations/{k}" for k in (2, 10, 9)]  # in the source: 2, 9, 10
    stored = [stack[0] > 0, stack[2] > 0, stack[1] > 0]
    table = table_of(stored, keys=keys, names={1: "day/one.jpg"})
    (tmp_path / "day").mkdir()
    target = tmp_path / "day" / "one"
    if layout == "npy":
        np.save(target, stack)
    elif layout == "sam":
        np.save(target, stack[:, None])
    elif layout == "npz":
        np.savez_compressed(target, stack)
    else:
        np.savez(target, **{"100": stack[0], "101": stack[2], "102": stack[1]})
    frame = run(table, tmp_path)
    assert frame["soft_mask_iou"].tolist() == [1, 1, 1]
    shuffled = run(table[np.array([2, 0, 1])], tmp_path)
    pd.testing.assert_frame_equal(shuffled.loc[frame.index], frame)


def test_files_named_like_the_source_of_a_mask(tmp_path):
    keys = ["a/masks/1.png", "b/masks/1.png"]
    soft = [disc(10), disc(20)]
    for key, one in zip(keys, soft, strict=True):
        path = (tmp_path / key).with_suffix(".npy")
        path.parent.mkdir(parents=True)
        np.save(path, one)
    table = table_of([s > 0 for s in soft], keys=keys, images=[1, 2])
    assert run(table, tmp_path)["soft_mask_iou"].tolist() == [1, 1]


def broken_npy(path: Path):
    good = io.BytesIO()
    np.save(good, disc())
    path.with_suffix(".npy").write_bytes(good.getvalue()[:-1000])


def huge_npy(path: Path):
    header = {"descr": "<f4", "fortran_order": False, "shape": (10**9, 10**9)}
    with path.with_suffix(".npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)


def huge_npz(path: Path):
    header = {"descr": "<f4", "fortran_order": False, "shape": (64, 64)}
    member = io.BytesIO()
    np.lib.format.write_array_header_1_0(member, header)
    with zipfile.ZipFile(path.with_suffix(".npz"), "w") as archive:
        archive.writestr("arr_0.npy", member.getvalue())


def gray_png(path: Path):
    from PIL import Image

    Image.fromarray(np.zeros((64, 64), np.uint8)).save(path.with_suffix(".png"))


def empty_stack(path: Path):
    np.save(path, np.zeros((0, 64, 64), np.float32))


@pytest.mark.parametrize(
    ("make", "status"),
    [
        (lambda p: None, "missing"),
        (lambda p: np.save(p, disc(size=32)), "size_mismatch"),
        (lambda p: np.save(p, np.stack([disc(), disc()])), "size_mismatch"),
        (lambda p: np.save(p, np.float32(3)), "size_mismatch"),
        (lambda p: np.save(p, disc() > 0), "wrong_type"),
        (lambda p: np.save(p, disc().astype(np.uint8)), "wrong_type"),
        (lambda p: np.save(p, np.where(disc() > 5, np.nan, disc())), "not_finite"),
        (lambda p: np.save(p, np.where(disc() > 5, np.inf, disc())), "not_finite"),
        (lambda p: np.save(p, np.array([{}]), allow_pickle=True), "unreadable"),
        (lambda p: p.with_suffix(".npy").write_bytes(b""), "unreadable"),
        (lambda p: p.with_suffix(".npz").write_bytes(b"PK\x03\x04 no archive"), "unreadable"),
        (np.savez, "wrong_type"),
        (broken_npy, "unreadable"),
        (huge_npy, "unreadable"),
        (huge_npz, "unreadable"),
        (gray_png, "wrong_type"),
        (empty_stack, "unreadable"),
    ],
)
@pytest.mark.parametrize("name", ["100", "1"])
def test_bad_files_are_findings(tmp_path, make, status, name):
    make(tmp_path / name)
    row = run(table_of([disc() > 0]), tmp_path).iloc[0]
    assert row["soft_mask_status"] == status
    assert row["soft_mask_detail"] or status == "ok"
    assert np.isnan(row["computed_stability_score"])
    assert np.isnan(row["edge_band_px"])


def test_negative_values_are_no_probabilities(tmp_path):
    np.save(tmp_path / "100.npy", disc())
    row = run(table_of([disc() > 0]), tmp_path, kind="probabilities").iloc[0]
    assert row["soft_mask_status"] == "wrong_type"


def test_empty_masks_have_no_numbers(tmp_path):
    np.save(tmp_path / "100.npy", disc())
    assert run(table_of([np.zeros((64, 64))]), tmp_path).isna().all(axis=None)


def test_soft_masks_that_cut_to_nothing_are_nan(tmp_path):
    np.save(tmp_path / "100.npy", disc() - 100)
    row = run(table_of([disc() > 0]), tmp_path).iloc[0]
    assert np.isnan(row["computed_stability_score"])
    assert np.isnan(row["edge_band_px"])
    assert row["soft_mask_iou"] == 0


def test_links_out_of_the_folder_are_refused(tmp_path):
    inside = tmp_path / "in"
    inside.mkdir()
    np.save(tmp_path / "100.npy", disc())
    (inside / "100.npy").symlink_to(tmp_path / "100.npy")
    assert run(table_of([disc() > 0]), inside)["soft_mask_status"].iloc[0] == "missing"


def test_wrong_calls(tmp_path):
    table = table_of([disc() > 0])
    with pytest.raises(SourceError, match="no such folder"):
        SoftMasks(tmp_path / "nowhere")
    with pytest.raises(CallError, match="choose from"):
        stability(table, soft_masks=SoftMasks(tmp_path), kind="logit")
    with pytest.raises(CallError, match="over 0"):
        stability(table, soft_masks=SoftMasks(tmp_path), offset=-1)


def test_curve_of_many_masks_whatever_the_parts(tmp_path):
    rng = np.random.default_rng(0)
    soft = [disc(r) for r in rng.uniform(5, 25, 30)]
    for k, one in enumerate(soft):
        np.save(tmp_path / f"{100 + k}.npy", one)
    column = run(table_of([s > 0 for s in soft]), tmp_path)["stability_curve"]
    whole, left, right = StabilityCurve(), StabilityCurve(), StabilityCurve()
    whole.add(column)
    left.add(column[:11])
    right.add(column[11:])
    left.merge(right)
    summary = whole.summary()
    assert summary == left.summary()
    assert summary["offsets"] == list(CURVE)
    assert summary["masks"] == [30] * len(CURVE)
    for k, offset in enumerate(CURVE):
        values = [reference(s, 0, offset) for s in soft]
        assert summary["mean"][k] == pytest.approx(np.mean(values), abs=1e-3)
        low = np.quantile(values, 0.1, method="inverted_cdf")
        assert summary["p10"][k] == pytest.approx(low, abs=2e-3)
    assert StabilityCurve().summary() is None
