"""Label Studio's brush bytes against a decoder of our own that shares nothing with them."""

from __future__ import annotations

from collections.abc import Sequence

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from curate.formats.label_studio.brush_rle import decode_brush, encode_brush
from curate.rle import from_dense, to_dense


def bits_of(data: Sequence[int]) -> str:
    return "".join(f"{byte:08b}" for byte in data)


def unpacked(data: Sequence[int]) -> list[int]:
    """Return all values, read digit by digit."""
    bits = bits_of(data)
    place = 0

    def number(size: int) -> int:
        nonlocal place
        assert place + size <= len(bits)
        place += size
        return int(bits[place - size : place], 2)

    total, word = number(32), number(5) + 1
    sizes = [number(4) + 1 for _ in range(4)]
    values: list[int] = []
    while len(values) < total:
        repeated = number(1)
        count = number(sizes[number(2)]) + 1
        if repeated:
            values += [number(word)] * count
        else:
            values += [number(word) for _ in range(count)]
    return values


def packed(
    chunks: Sequence[tuple[int, int, Sequence[int]]],
    total: int,
    word: int = 8,
    sizes: Sequence[int] = (3, 4, 8, 16),
) -> np.ndarray:
    """Return bytes of chunks: (size to use, length, the value or the values)."""
    bits = f"{total:032b}{word - 1:05b}" + "".join(f"{size - 1:04b}" for size in sizes)
    for kind, length, values in chunks:
        repeated = len(values) == 1 and length > 1
        bits += f"{int(repeated)}{kind:02b}{length - 1:0{sizes[kind]}b}"
        bits += "".join(f"{value:0{word}b}" for value in values)
    bits += "0" * (-len(bits) % 8)
    return np.array([int(bits[k : k + 8], 2) for k in range(0, len(bits), 8)], np.uint8)


@st.composite
def masks(draw: st.DrawFn) -> np.ndarray:
    height, width = draw(st.integers(1, 25)), draw(st.integers(1, 25))
    kind = draw(st.sampled_from(["pixels", "box", "full", "none"]))
    mask = np.zeros((height, width), bool)
    if kind == "pixels":
        seed = draw(st.integers(0, 2**32 - 1))
        mask = np.random.default_rng(seed).random((height, width)) < draw(st.floats(0, 1))
    elif kind == "box":
        y, x = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        mask[y : draw(st.integers(y + 1, height)), x : draw(st.integers(x + 1, width))] = True
    elif kind == "full":
        mask[:] = True
    return mask


@given(masks())
def test_every_mask_goes_and_comes_back(mask: np.ndarray) -> None:
    """Our bytes say what they shall to a stranger, and we read them as they were."""
    data = encode_brush(from_dense(mask), 0)
    assert unpacked(data.tolist()) == np.repeat(255 * mask.ravel(), 4).tolist()
    assert (to_dense(decode_brush(data, *mask.shape), 0) == mask).all()


@given(st.data())
def test_bytes_of_others_are_read_by_their_alpha(data: st.DataObject) -> None:
    """Any colours, any chunks, any sizes of run lengths: alpha of half and more is the mask."""
    height, width = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 6))
    sizes = data.draw(st.lists(st.integers(1, 16), min_size=4, max_size=4))
    values: list[int] = []
    chunks = []
    while len(values) < 4 * height * width:
        kind = data.draw(st.integers(0, 3))
        most = min(4 * height * width - len(values), 1 << sizes[kind])
        length = data.draw(st.integers(1, most))
        same = data.draw(st.booleans())
        drawn = data.draw(
            st.lists(st.integers(0, 255), min_size=1, max_size=1)
            if same or length == 1
            else st.lists(st.integers(0, 255), min_size=length, max_size=length)
        )
        chunks.append((kind, length, drawn))
        values += drawn * length if len(drawn) == 1 else drawn
    sent = packed(chunks, 4 * height * width, sizes=sizes)
    assert unpacked(sent.tolist()) == values
    alpha = np.array(values).reshape(height, width, 4)[:, :, 3]
    assert (to_dense(decode_brush(sent, height, width), 0) == (alpha >= 128)).all()


def test_long_runs_are_cut() -> None:
    """More values than one run length can tell, on a picture that is not square."""
    mask = np.zeros((300, 211), bool)
    mask[:, 1:] = True
    mask[150:260] = True
    data = encode_brush(from_dense(mask), 0)
    assert unpacked(data.tolist()) == np.repeat(255 * mask.ravel(), 4).tolist()
    assert (to_dense(decode_brush(data, *mask.shape), 0) == mask).all()


@given(masks(), st.integers(0, 200))
def test_bytes_that_end_early_are_refused(mask: np.ndarray, cut: int) -> None:
    data = encode_brush(from_dense(mask), 0)
    with pytest.raises(ValueError, match="end before the picture does"):
        decode_brush(data[: min(cut, len(data) - 1)], *mask.shape)


@given(st.binary(max_size=60), st.integers(1, 9), st.integers(1, 9))
def test_any_bytes_are_a_mask_or_refused(data: bytes, height: int, width: int) -> None:
    head = np.frombuffer(bytes(packed([], 4 * height * width))[:6] + data, np.uint8)
    try:
        mask = to_dense(decode_brush(head, height, width), 0)
    except ValueError:
        return
    alpha = np.array(unpacked(head.tolist())).reshape(height, width, 4)[:, :, 3]
    assert (mask == (alpha >= 128)).all()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (packed([(3, 16, [255])], 2**32 - 1), "4,294,967,295 values, and a picture of 2 x 2"),
        (packed([(3, 16, [255])], 4), "4 values, and a picture of 2 x 2 pixels has 16"),
        (packed([(3, 16, [1])], 16, word=1), "its values have 1 bits, not 8"),
        (packed([(3, 17, [255])], 16), "its runs are longer than the picture"),
        (packed([(0, 8, [255]), (3, 65536, [0])], 16), "its runs are longer than the picture"),
        (np.empty(0, np.uint8), "its bytes end before the picture does"),
    ],
)
def test_what_cannot_be_is_refused(data: np.ndarray, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        decode_brush(data, 2, 2)


def test_a_picture_too_large_for_the_header_is_refused() -> None:
    from dataclasses import replace

    runs = from_dense(np.ones((1, 1), bool))
    huge = replace(runs, heights=np.array([2**15], np.int32), widths=np.array([2**15], np.int32))
    with pytest.raises(ValueError, match="too large for Label Studio"):
        encode_brush(huge, 0)
