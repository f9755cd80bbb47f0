"""Names of images in one spelling."""

from __future__ import annotations

import unicodedata
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_cases import draws

from curate.dataset.image_names import base_name, normalise, number, split_of, stem

SPELLINGS = [
    ("a/b.jpg", "a/b.jpg"),
    ("./a//b.jpg", "a/b.jpg"),
    ("/a/b.jpg", "a/b.jpg"),
    ("../a/./b.jpg", "a/b.jpg"),
    ("x/../a/b.jpg", "a/b.jpg"),
    ("a\\b.jpg", "a/b.jpg"),
    ("C:\\a\\b.jpg", "a/b.jpg"),
    ("c:/a/b.jpg", "a/b.jpg"),
    ("C:b.jpg", "b.jpg"),
    ("file:///C:/a/b.jpg", "a/b.jpg"),
    ("file:///a/b.jpg", "a/b.jpg"),
    ("s3://bucket/a/b.jpg", "bucket/a/b.jpg"),
    ("gs://bucket/a/b.jpg", "bucket/a/b.jpg"),
    ("https://host:80/a/b.jpg?X-Amz-Date=1&b=2#top", "host:80/a/b.jpg"),
    ("a/b.jpg?v=3", "a/b.jpg"),
    ("what?.jpg", "what?.jpg"),
    ("?d=kc01%5Cframe_0.txt", "kc01/frame_0.txt"),
    ("/data/local-files/?d=kc01/a%20b.png", "kc01/a b.png"),
    ("http://ls:8080/data/local-files/?d=kc01%5Cf.png&x=1", "kc01/f.png"),
    ("Capture_d%C3%A9cran 1.txt", "Capture_d\u00e9cran 1.txt"),
    ("Capture_de\u0301cran 1.txt", "Capture_d\u00e9cran 1.txt"),
    ("a%2520b.jpg", "a b.jpg"),
    ("100%.jpg", "100%.jpg"),
    ("a%FFb.jpg", "a%FFb.jpg"),
    (" a.jpg ", "a.jpg"),
    ("#1.jpg", "#1.jpg"),
    ("..", ""),
    ("", ""),
    (None, ""),
    (float("nan"), ""),
    (7, ""),
]


@pytest.mark.parametrize(("name", "right"), SPELLINGS)
def test_a_name_has_one_spelling(name: object, right: str) -> None:
    assert normalise(name) == right


NAMES = st.lists(
    st.text(
        st.characters(exclude_categories=["C", "Zs"], exclude_characters="/\\%?#:"), min_size=1
    ).filter(lambda part: part.strip(".") and part == part.strip()),
    min_size=1,
    max_size=3,
)


@given(NAMES)
@draws(30)
def test_every_way_of_writing_a_path_is_one(parts: list[str]) -> None:
    right = unicodedata.normalize("NFC", "/".join(parts))
    posix = "/".join(parts)
    for spelling in (
        posix,
        unicodedata.normalize("NFD", posix),
        f"./{posix}",
        f"/{posix}",
        "\\".join(parts),
        "D:\\" + "\\".join(parts),
        quote(posix),
        quote(posix, safe=""),
        f"?d={quote(posix, safe='')}",
        f"file:///{quote(posix)}",
    ):
        assert normalise(spelling) == right
    assert normalise(right) == right
    assert normalise(f"s3://bucket/{quote(posix)}?a=1") == f"bucket/{right}"
    assert base_name(right) == unicodedata.normalize("NFC", parts[-1])


def test_only_suffixes_of_pictures_are_cut_off() -> None:
    assert stem("a/frame.0012.JPG") == stem("frame.0012") == stem("frame.0012.txt") == "frame.0012"
    assert stem("v1.5") == "v1.5"
    assert stem(".png") == ".png"
    assert stem(None) == ""


def test_a_number_is_the_whole_stem() -> None:
    assert number("a/000012.png") == number("12") == number("0012.txt") == 12
    assert number("COCO_train2014_000000000042.jpg") == 42
    for name in ("a12.jpg", "12_1.jpg", "", None, "-3.jpg", "\u0663.jpg", "9" * 30 + ".jpg"):
        assert number(name) is None


def test_splits_are_folders() -> None:
    assert split_of("valid/a.jpg") == split_of("images/VAL2017/a.jpg") == "val"
    assert split_of("a/train/images/b.jpg") == "train"
    assert split_of("test.jpg") == split_of("trainer/a.jpg") == ""
