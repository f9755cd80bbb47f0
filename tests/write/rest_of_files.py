"""The rest of datasets that are XML, text and pictures."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat

import numpy as np
from drawn_masks import box_of, rasterised
from mask_files import tree
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile
from rest import Touched

# --- CVAT ----------------------------------------------------------------------------------------


@dataclass
class Element:
    """An element of an XML file and where it stands: its tags, and what is between them."""

    name: str
    attributes: dict[str, str]
    start: int
    head: int
    is_closed: bool
    tail: int = -1
    end: int = -1
    children: list[Element] = field(default_factory=list)


def parsed(data: bytes) -> Element:
    """Return the root of a file, by the standard library's expat."""
    parser, open_ones = expat.ParserCreate(), [Element("", {}, 0, 0, False)]

    def start(name: str, attributes: dict[str, str]) -> None:
        at = parser.CurrentByteIndex
        tag = re.match(rb"<(?:[^>'\"]|'[^']*'|\"[^\"]*\")*>", data[at:])
        assert tag
        one = Element(name, attributes, at, at + tag.end(), tag[0].endswith(b"/>"))
        open_ones[-1].children.append(one)
        open_ones.append(one)

    def end(name: str) -> None:
        one = open_ones.pop()
        one.tail = one.head if one.is_closed else parser.CurrentByteIndex
        one.end = one.head if one.is_closed else data.index(b">", one.tail) + 1

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.Parse(data, True)
    return open_ones[0].children[0]


SHAPE = {"points", "rle", "left", "top", "width", "height"}


def check_cvat(source: Path, written: Path, touched: Touched) -> None:
    old, new = source.read_bytes(), written.read_bytes()
    images = [[one for one in parsed(data).children if one.name == "image"] for data in (old, new)]
    edited: tuple[list[Element], list[Element]] = ([], [])
    for k, (was, now) in enumerate(zip(*images, strict=True)):
        own = touched.below(f"{source.name}#/image/{k}/", f"{source.name}#/image/{k}")
        _check_image(old, was, new, now, own, edited)
    labels = [list(_labels(parsed(data))) for data in (old, new)]
    names = [[one.children[0] for one in some] for some in labels]
    texts = [
        [_text(data[one.head : one.tail]) for one in some]
        for data, some in zip((old, new), names, strict=True)
    ]
    needed = {*touched.relabelled.values(), *(label for *_, label in touched.added)}
    assert texts[1][: len(texts[0])] == texts[0]
    assert set(texts[1][len(texts[0]) :]) == needed - set(texts[0])
    edited[1].extend(labels[1][len(labels[0]) :])
    assert _without(new, edited[1]) == _without(old, edited[0])


def check_cvat_video(source: Path, written: Path, touched: Touched) -> None:
    """Tracks that nothing is asked of stay byte by byte; of others only what is asked changes."""
    old, new = source.read_bytes(), written.read_bytes()
    tracks = [[one for one in parsed(data).children if one.name == "track"] for data in (old, new)]
    left, labels = iter(tracks[1]), set(touched.relabelled.values())
    kept: tuple[list[Element], list[Element]] = ([], [])
    for number, was in enumerate(tracks[0]):
        own = touched.below(f"{source.name}#/track/{number}/", "")
        shapes = [one for one in was.children if one.name in ("mask", "polygon")]
        if own.dropped and len(own.dropped) == sum(map(_is_drawn, shapes)):
            kept[0].append(was)
            continue
        now = next(left)
        if not own:
            assert new[now.start : now.end] == old[was.start : was.end]
            continue
        kept[0].append(was)
        kept[1].append(now)
        assert len(was.children) == len(now.children)
        same = {name for name in was.attributes if name != "label" or not own.relabelled}
        assert {n: was.attributes[n] for n in same} == {n: now.attributes[n] for n in same}
        count = {"mask": 0, "polygon": 0}
        for child, other in zip(was.children, now.children, strict=True):
            key = f"{child.name}/{count.get(child.name, 0)}"
            if child.name in count:
                count[child.name] += 1
            texts = old[child.start : child.end], new[other.start : other.end]
            if key in own.dropped:
                assert texts[1] == texts[0].replace(b'outside="0"', b'outside="1"', 1)
            elif key not in own.redrawn and not (own.redrawn and not _is_drawn(child)):
                assert texts[0] == texts[1]
            else:
                same = child.attributes.keys() - SHAPE
                assert {n: child.attributes[n] for n in same} == {
                    n: other.attributes[n] for n in same
                }
                assert old[child.head : child.tail] == new[other.head : other.tail]
    added = list(left)
    assert len(added) == len(touched.added)
    for track, (key, _, label) in zip(added, touched.added, strict=True):
        first = track.children[0].attributes
        assert first["frame"] == key.rpartition("/")[2]
        assert (first["keyframe"], first["outside"]) == ("1", "0")
        assert all(one.attributes["outside"] == "1" for one in track.children[1:])
        assert label is None or track.attributes["label"] == label
        labels |= set() if label is None else {label}
    names = [list(_labels(parsed(data))) for data in (old, new)]
    kept[1].extend([*added, *names[1][len(names[0]) :]])
    assert _without(new, kept[1]) == _without(old, kept[0])


def _is_drawn(shape: Element) -> bool:
    return (shape.attributes.get("keyframe"), shape.attributes.get("outside")) == ("1", "0")


def _check_image(
    old: bytes,
    was: Element,
    new: bytes,
    now: Element,
    touched: Touched,
    edited: tuple[list[Element], list[Element]],
) -> None:
    """Compare the shapes of an image, and collect those that are not the same."""
    size = int(was.attributes["height"]), int(was.attributes["width"])
    count = {"mask": 0, "polygon": 0}
    left = iter(now.children)
    for child in was.children:
        key = ""
        if child.name in count:
            key = f"{child.name}/{count[child.name]}"
            count[child.name] += 1
        if key in touched.dropped:
            edited[0].append(child)
            continue
        other = next(left)
        if key not in touched.redrawn and key not in touched.relabelled:
            assert new[other.start : other.end] == old[child.start : child.end]
            continue
        edited[0].append(child)
        edited[1].append(other)
        changed = {"label"} if key in touched.relabelled else set()
        changed |= SHAPE if key in touched.redrawn else set()
        tags = old[child.start : child.head], new[other.start : other.head]
        assert _kept(tags[1], changed) == _kept(tags[0], changed)
        assert new[other.head : other.tail] == old[child.head : child.tail]
        assert other.attributes["label"] == touched.relabelled.get(key, child.attributes["label"])
        if key in touched.redrawn:
            assert (_drawn(other, size) == touched.redrawn[key]).all()
    added = list(left)
    assert len(added) == len(touched.added)
    for other, (_, mask, label) in zip(added, touched.added, strict=True):
        assert other.attributes["label"] == label
        assert (_drawn(other, size) == mask).all()
        edited[1].append(other)


def _labels(root: Element) -> Iterator[Element]:
    for one in root.children:
        if one.name == "label":
            yield one
        elif one.name != "image":
            yield from _labels(one)


def _text(data: bytes) -> str:
    found: list[str] = []
    parser = expat.ParserCreate()
    parser.CharacterDataHandler = found.append
    parser.Parse(b"<a>" + data + b"</a>", True)
    return "".join(found)


def _kept(tag: bytes, changed: set[str]) -> list[bytes]:
    """Return the attributes of a tag as they are written, but for some, and its end."""
    pairs = re.findall(rb"(\s+([\w:]+)\s*=\s*(?:\"[^\"]*\"|'[^']*'))", tag)
    end = re.search(rb"\s*/?>\Z", tag)
    assert end
    return [*(text for text, name in pairs if name.decode() not in changed), end[0]]


def _drawn(shape: Element, size: tuple[int, int]) -> np.ndarray:
    """Return the pixels of a shape as CVAT's documents define them."""
    values = shape.attributes
    if shape.name == "polygon":
        return rasterised([[float(v) for v in re.split("[,;]", values["points"])]], size)
    x, y, w, h = (int(values[name]) for name in ("left", "top", "width", "height"))
    counts = [int(v) for v in values["rle"].split(",")]
    mask = np.zeros(size, bool)
    mask[y : y + h, x : x + w] = np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(h, w)
    assert box_of(mask) == (x, y, w, h)
    return mask


def _without(data: bytes, some: list[Element]) -> bytes:
    """Return a file without some elements and the blanks before them; empty images in one form."""
    for one in sorted(some, key=lambda one: -one.start):
        data = data[: one.start].rstrip() + data[one.end :]
    data = re.sub(rb"(<image[^<>]*?)\s*/>", rb"\1></image>", data)
    return re.sub(rb"(<image[^<>]*>)\s*</image>", rb"\1</image>", data)


# --- YOLO ----------------------------------------------------------------------------------------


def check_yolo(source: Path, written: Path, touched: Touched) -> None:
    before, after = tree(source), tree(written)
    labels = {key.rpartition(":")[0] for key in (*touched.dropped, *touched.redrawn)}
    labels |= {key.rpartition(":")[0] for key in touched.relabelled}
    grown = {image for image, *_ in touched.added}
    assert set(after) == set(before) | grown
    for name, content in after.items():
        own = touched.below(f"{name}:", name)
        if name not in labels | grown:
            assert content == before[name]
        else:
            _check_lines(before.get(name, b""), content, own, _size_of(source, name))


NUMBERS = {"cat": b"0", "R&D": b"1", "dog": b"7"}


def _check_lines(old: bytes, new: bytes, touched: Touched, size: tuple[int, int]) -> None:
    left = new.splitlines(keepends=True)
    for number, line in enumerate(old.splitlines(keepends=True), 1):
        key = str(number)
        if key in touched.dropped:
            continue
        now = left.pop(0)
        if not left and not touched.added:  # an open end stays open, whatever goes before it
            now, line = now.rstrip(b"\r\n"), line.rstrip(b"\r\n")
        was = re.fullmatch(rb"(\s*)(\S*)(\s*)(.*?)(\s*)", line, re.DOTALL)
        made = re.fullmatch(rb"(\s*)(\S*)(\s*)(.*?)(\s*)", now, re.DOTALL)
        assert was
        assert made
        assert made.group(1, 3) == was.group(1, 3)
        assert made[5].strip(b"\r\n") == was[5].strip(b"\r\n")
        assert made[5] == was[5] or not was[5].endswith(b"\n")
        label = touched.relabelled.get(key)
        assert made[2] == (was[2] if label is None else NUMBERS[label])
        if key in touched.redrawn:
            assert (_line_pixels(made[4], size) == touched.redrawn[key]).all()
        else:
            assert made[4] == was[4]
    assert len(left) == len(touched.added)
    end = b"\r\n" if b"\r\n" in old else b"\n"
    for k, (line, (_, mask, label)) in enumerate(zip(left, touched.added, strict=True)):
        category, text = line.rstrip(b"\r\n").split(b" ", 1)
        assert category == NUMBERS[str(label)]
        assert (_line_pixels(text, size) == mask).all()
        is_last = k + 1 == len(left)
        open_end = is_last and bool(old) and not old.endswith(b"\n")
        assert line.endswith(end) != open_end


def _line_pixels(text: bytes, size: tuple[int, int]) -> np.ndarray:
    values = [float(value) for value in text.split()]
    assert len(values) >= 6
    assert all(0 <= value <= 1 for value in values)
    return rasterised([[value * size[1 - i % 2] for i, value in enumerate(values)]], size)


def _size_of(root: Path, label: str) -> tuple[int, int]:
    stem = Path(label).stem
    found = next((root / "images/train").glob(f"{stem}.*"))
    with Image.open(found) as image:
        return image.height, image.width


# --- folders of PNGs -----------------------------------------------------------------------------


def _pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


def check_png_folder(source: Path, written: Path, touched: Touched) -> None:
    before, after = tree(source), tree(written)
    new = set(after) - set(before)
    assert set(before) - set(after) == touched.dropped
    assert len(new) == len(touched.added)
    for name in set(before) & set(after):
        if name in touched.redrawn:
            assert (_pixels(after[name]).astype(bool) == touched.redrawn[name]).all()
        else:
            assert after[name] == before[name]
    _check_new(new, after, touched)


check_png_folder_tiff = check_png_folder


def _check_new(new: set[str], after: dict[str, bytes], touched: Touched) -> None:
    """Fail unless the new PNGs are the new masks, each in the folder of its image."""
    found = [(str(Path(name).parent), _pixels(after[name]).astype(bool)) for name in new]
    assert _listed(found) == _listed([(image, mask) for image, mask, _ in touched.added])


def _listed(masks: list[tuple[str, np.ndarray]]) -> list[Any]:
    return sorted((image, mask.shape, mask.tobytes()) for image, mask in masks)


def check_amg(source: Path, written: Path, touched: Touched) -> None:
    before, after = tree(source), tree(written)
    new = set(after) - set(before)
    assert set(before) - set(after) == touched.dropped
    assert len(new) == len(touched.added)
    for name in sorted(set(before) & set(after)):
        if name in touched.redrawn:
            pixels = _pixels(after[name])
            assert ((pixels > 0) == touched.redrawn[name]).all()
            assert set(np.unique(pixels)) <= {0, 255}
        elif name.endswith("metadata.csv"):
            folder = name.removesuffix("metadata.csv")
            own = touched.below(folder, folder.rstrip("/"))
            _check_sheet(
                before[name],
                after[name],
                own,
                {n[len(folder) :] for n in new if n.startswith(folder)},
            )
        else:
            assert after[name] == before[name]
    _check_new(new, after, touched)


def _check_sheet(old: bytes, new: bytes, touched: Touched, files: set[str]) -> None:
    was, now = (data.split(b"\n") for data in (old, new))
    assert now.pop(0) == was[0]
    for line in was[1:]:
        key = f"{line.split(b',')[0].decode()}.png"
        if key in touched.dropped:
            continue
        made = now.pop(0)
        if key not in touched.redrawn:
            assert made == line
            continue
        fields, others = made.split(b","), line.split(b",")
        assert fields[:1] + fields[6:] == others[:1] + others[6:]
        x, y, w, h = box_of(touched.redrawn[key])
        area = int(touched.redrawn[key].sum())
        assert [float(v) for v in fields[1:6]] == [area, x, y, w - 1, h - 1]
    assert len(now) == len(touched.added)
    assert {f"{line.split(b',')[0].decode()}.png" for line in now} == files
    for line, (_, mask, _) in zip(now, touched.added, strict=True):
        x, y, w, h = box_of(mask)
        assert [float(v) for v in line.split(b",")[1:6]] == [int(mask.sum()), x, y, w - 1, h - 1]


# --- PNGs of ids ---------------------------------------------------------------------------------


def check_label_png(source: Path, written: Path, touched: Touched) -> None:
    before, after = tree(source), tree(written)
    assert list(after) == list(before)
    for name, content in before.items():
        own = touched.below(f"{name}#", name)
        if not own:
            assert after[name] == content
            continue
        assert _chunks(after[name]) == _chunks(content)
        _check_ids(_ids(content), _ids(after[name]), own)


def check_label_tiff(source: Path, written: Path, touched: Touched) -> None:
    before, after = tree(source), tree(written)
    assert list(after) == list(before)
    for name, content in before.items():
        own = touched.below(f"{name}#", name)
        if not own:
            assert after[name] == content
            continue
        (old, was), (new, now) = _tiff(content), _tiff(after[name])
        assert was == now
        assert b"behind" in after[name]
        _check_ids(old, new, own)


def _tiff(data: bytes) -> tuple[np.ndarray, dict[int, Any]]:
    """Return the pixels of a TIFF, and its tags but those of places."""
    with TiffImageFile(io.BytesIO(data)) as image:
        tags = {tag: image.tag_v2[tag] for tag in image.tag_v2}
        places = (273, 279, 324, 325)
        return np.asarray(image), {tag: v for tag, v in tags.items() if tag not in places}


# --- arrays --------------------------------------------------------------------------------------


def check_label_npy(source: Path, written: Path, touched: Touched) -> None:
    before, after = tree(source), tree(written)
    assert list(after) == list(before)
    for name, content in before.items():
        key = f"{name}/labels" if name.endswith(".npz") else name
        own = touched.below(f"{key}#", key)
        if not own:
            assert after[name] == content
            continue
        (was, old), (now, new) = (_labels_of(data, name) for data in (content, after[name]))
        assert was == now
        _check_ids(old, new, own)


def _labels_of(data: bytes, name: str) -> tuple[Any, np.ndarray]:
    """Return the ids of a file, and the rest of it."""
    if not name.endswith(".npz"):
        ids = np.load(io.BytesIO(data))
        return (ids.dtype, ids.flags.f_contiguous, data[:128]), ids.astype(np.int64)
    with np.load(io.BytesIO(data)) as arrays:
        rest = {key: arrays[key].tobytes() for key in arrays if key != "labels"}
        return (rest, arrays["labels"].dtype), arrays["labels"].astype(np.int64)


def check_label_npy_layers(source: Path, written: Path, touched: Touched) -> None:
    before, after = tree(source), tree(written)
    assert list(after) == list(before)
    for name, content in before.items():
        own = touched.below(f"{name}[", name)
        if not own:
            assert after[name] == content
            continue
        old, new = (np.load(io.BytesIO(data)) for data in (content, after[name]))
        assert old.dtype == new.dtype
        meant = []
        for k, layer in enumerate(old):
            if f"{k}]" not in own.dropped:
                redrawn = own.redrawn.get(f"{k}]")
                meant.append((layer > 0).reshape(layer.shape[-2:]) if redrawn is None else redrawn)
        meant += [mask for _, mask, _ in own.added]
        assert new.shape[1:] == old.shape[1:]
        assert (new.reshape(len(new), *new.shape[-2:]) > 0).tolist() == np.array(meant).tolist()
        assert set(np.unique(new).tolist()) <= {0, int(old.max()) if old.size else 1}


def _check_ids(old: np.ndarray, new: np.ndarray, touched: Touched) -> None:
    meant = old.copy()
    for key in (*touched.dropped, *touched.redrawn):
        meant[old == int(key)] = 0
    for key, mask in touched.redrawn.items():
        meant[mask] = int(key)
    fresh = np.zeros(old.shape, bool)
    for _, mask, _ in touched.added:
        values = np.unique(new[mask])
        assert len(values) == 1
        assert values[0] not in (0, *np.unique(old))
        assert ((new == values[0]) == mask).all()
        fresh |= mask
    assert (new[~fresh] == meant[~fresh]).all()


def _ids(data: bytes) -> np.ndarray:
    pixels = _pixels(data).astype(np.int64)
    return pixels if pixels.ndim == 2 else pixels @ np.array([1, 256, 65536])


def _chunks(data: bytes) -> list[bytes]:
    """Return the chunks of a PNG that hold no pixels, and what is behind its end."""
    at, found = 8, [data[:8]]
    while at < len(data):
        kind, end = data[at + 4 : at + 8], at + 12 + int.from_bytes(data[at : at + 4], "big")
        if kind != b"IDAT":
            found.append(data[at:end])
        at = end
        if kind == b"IEND":
            break
    return [*found, data[at:]]
