"""Tar archives: listed like the standard library does, and never trusted."""

import contextlib
import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packed_datasets import with_byte

from curate.archives import tar_stream
from curate.common.archive_kinds import looks_like_tar
from curate.errors import SourceError


def archive(files: dict[str, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as made:
        made.addfile(_folder("a"))
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
    return out.getvalue()


def _folder(name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = tarfile.DIRTYPE
    return info


def listed(raw: bytes) -> dict[str, bytes]:
    file = io.BytesIO(raw)
    return {
        m.name: raw[m.data : m.data + m.size]
        for m in tar_stream.members(file, "x.tar")
        if m.regular
    }


names = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=150)
contents = st.dictionaries(
    names.map("d/".__add__).filter(lambda n: not n.endswith(".")),
    st.binary(max_size=1500),
    max_size=4,
)
FORMS = [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


@given(contents, st.sampled_from(FORMS))
def test_members_are_those_of_the_standard_library(files: dict[str, bytes], form: int):
    raw = archive(files, form)
    assert listed(raw) == files
    assert looks_like_tar(raw[:512])


@given(contents, st.sampled_from(FORMS), st.binary(max_size=1200))
def test_a_changed_member_leaves_the_others(files: dict[str, bytes], form: int, new: bytes):
    raw = archive(files, form)
    chosen = next(iter(files), "")
    out = io.BytesIO()
    tar_stream.copy_changed(
        io.BytesIO(raw), out, "x.tar", lambda m: new if m.name == chosen else None
    )
    expected = files | ({chosen: new} if chosen else {})
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as made:
        found = {m.name: made.extractfile(m).read() for m in made if m.isfile()}
    assert found == expected
    same = io.BytesIO()
    tar_stream.copy_changed(io.BytesIO(raw), same, "x.tar", lambda m: None)
    assert same.getvalue() == raw


def test_a_cut_off_archive_says_the_byte():
    raw = archive({"a.json": b"x" * 3000})
    for cut in (600, 1024 + 100, 1024 + 2000):
        with pytest.raises(SourceError, match=f"cut off|byte {cut}"):
            listed(raw[:cut])


def test_sizes_in_headers_are_not_trusted():
    raw = bytearray(archive({"a.json": b"x"}))
    raw[512 + 124 : 512 + 136] = b"\x80" + (2**80).to_bytes(11, "big")
    with pytest.raises(SourceError, match="broken"):
        listed(bytes(raw))
    total = sum(raw[512:1024]) - sum(raw[512 + 148 : 512 + 156]) + 8 * 32
    raw[512 + 148 : 512 + 156] = b"%06o\0 " % total
    with pytest.raises(SourceError, match="cut off"):
        listed(bytes(raw))


@given(st.data())
def test_changed_bytes_give_an_error_or_members(data: st.DataObject):
    raw = bytearray(archive({"a.json": b"{}", "é" * 120: b"12"}, data.draw(st.sampled_from(FORMS))))
    for _ in range(data.draw(st.integers(1, 5))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(SourceError):
        listed(bytes(raw))


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, *FORMS])
def test_what_the_standard_library_does_not_read_to_its_end_is_refused(form: int):
    """Every field of numbers and the type of a header, with its checksum made right."""
    raw = archive({"d/" + "e" * (110 if form else 9): b"hello", "z": b""}, form)
    fields = [100, 107, 108, 116, 124, 135, 136, 147, 148, 156, 329, 337]
    changes = 0
    for header in (k for k in range(0, len(raw), 512) if raw[k + 257 : k + 262] == b"ustar"):
        for at in fields:
            for value in b"\0 x09gLKS\x80\xff":
                made = with_byte(raw, header, at, bytes([value]))
                try:
                    with tarfile.open(fileobj=io.BytesIO(made), mode="r:") as found:
                        found.getmembers()
                except (tarfile.TarError, OverflowError):
                    changes += 1
                    with pytest.raises(SourceError):
                        listed(made)
    assert changes > 50
