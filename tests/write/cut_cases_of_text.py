"""Generated cases of XML, label lines and CSV, with what is legal and unusual in each."""

from __future__ import annotations

import io
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from cut_cases import SIZE, Case, draw_drops, draw_mask
from drawn_masks import box_of, runs_of
from PIL import Image

# --- CVAT ----------------------------------------------------------------------------------------

LABELS = ("cell", "R&amp;D &gt; x", "&#233;t&#xe9;", "a &quot;b&quot;")
BESIDE = (
    '<box label="cell" xtl="1" ytl="2" xbr="9" ybr="8"/>',
    '<box label="cell" note="a > b" xtl="1" ytl="2" xbr="9" ybr="8"></box>',
    "<box label='cell' note='/>'><attribute name='mask_id'>7</attribute></box>",
    '<polyline label="cell" points="1,2;3,4"/>',
    '<points label="cell" points="1,2" />',
    '<tag label="day"></tag>',
    "<!-- <polygon label='cell' points='1,1;5,1;5,5'/> -->",
    "<!-- </image> -->",
    "<!---->",
    "<?note <mask label='x'/> ?>",
    "<?empty?>",
    '<skeleton label="s"><points points="1,2"/><polygon points="1,1;2,2;3,1"/></skeleton>',
    '<c:mask label="cell" rle="1, 2" left="0" top="0" width="1" height="1"/>',
    '<c:polygon xmlns:c="urn:x" label="cell" points="1,1;5,1;5,5"></c:polygon>',
    '<c:image xmlns:c="urn:x"><mask label="cell"/></c:image>',
    "<strange><image><mask label='cell' rle='1'/></image></strange>",
    "<mask-of label='cell'/>",
    "<masks><mask/></masks>",
    "loose &gt; text > ",
    "<![CDATA[ <mask/> ]]>",
    "<cdata><![CDATA[<mask label='x'/> ]] > ]]></cdata>",
)
BEHIND = (
    '<track id="0" label="cell"><box frame="0" xtl="1" ytl="1" xbr="3" ybr="3"/>'
    '<mask frame="1" rle="1,2" left="0" top="0" width="1" height="3"/></track>',
    '<c:images xmlns:c="urn:x"/>',
    "<!-- behind -->",
)
INNER = (
    "<attribute name='note'>a &lt; b</attribute>",
    '<attribute name="mask"><![CDATA[<mask/></mask>]]></attribute>',
    '<attribute name="empty"/>',
    "<!-- </polygon> -->",
    "<deep><mask/><polygon points='1,1'/></deep>",
    "<?inner?>",
)


@dataclass
class Layout:
    """How a file is written: drawn once for it."""

    chance: random.Random
    newline: str
    is_pretty: bool
    is_wild: bool

    def between(self, depth: int) -> str:
        """Return what stands between two elements."""
        if self.is_wild:
            return self.chance.choice(("", "\n", " \t", "\r\n\r\n", "\n    "))
        return self.newline + "  " * depth if self.is_pretty else ""

    def tag(self, name: str, pairs: list[tuple[str, str]]) -> str:
        """Return the beginning of a start tag, with attributes in any order and quotes."""
        if self.chance.random() < 0.6:
            self.chance.shuffle(pairs)
        made = f"<{name}"
        for key, value in pairs:
            quote = "'" if self.is_wild and "'" not in value else '"'
            blank = self.chance.choice((" ", "  ", "\n\t")) if self.is_wild else " "
            equals = self.chance.choice(("=", " = ")) if self.is_wild else "="
            made += f"{blank}{key}{equals}{quote}{value}{quote}"
        return made

    def element(self, name: str, pairs: list[tuple[str, str]], inner: list[str]) -> str:
        """Return an element, closed in its own tag or not."""
        tag = self.tag(name, pairs)
        if not inner and self.chance.random() < 0.6:
            return tag + self.chance.choice(("/>", " />"))
        end = f"</{name}>" if not self.is_wild else f"</{name}{self.chance.choice(('', ' '))}>"
        return f"{tag}>{''.join(self.between(3) + one for one in inner)}{self.between(2)}{end}"


def _shape(layout: Layout) -> tuple[str, str]:
    """Return the kind of a shape, and the shape."""
    chance = layout.chance
    pairs = [("label", chance.choice(LABELS)), ("occluded", "0")]
    if chance.random() < 0.4:
        pairs.append(("note", chance.choice(("a > b", "/>", "<".replace("<", "&lt;/mask>"), ""))))
    inner = [chance.choice(INNER) for _ in range(chance.choice((0, 0, 1, 2)))]
    if chance.random() < 0.5:
        x = chance.randrange(9)
        pairs.append(("points", f"{x},1;{x + 4}.5,1;{x + 4},6.25;{x},6"))
        return "polygon", layout.element("polygon", pairs, inner)
    mask = draw_mask(chance)
    left, top, width, height = box_of(mask)
    runs = runs_of(mask[top : top + height, left : left + width].ravel())
    pairs += [("rle", ", ".join(map(str, runs))), ("left", str(left)), ("top", str(top))]
    pairs += [("width", str(width)), ("height", str(height))]
    return "mask", layout.element("mask", pairs, inner)


def cvat(chance: random.Random) -> Case:
    """Images with shapes among boxes, tags, comments, other namespaces and unknown elements."""
    kind = chance.choice(("pretty", "minified", "wild"))
    layout = Layout(chance, chance.choice(("\n", "\r\n")), kind == "pretty", kind == "wild")
    case, name = Case("annotations.xml", {}, {}), "annotations.xml"
    root = chance.choice(("<annotations>", '<annotations xmlns="urn:cvat" xmlns:c="urn:c">'))
    encoding = chance.choice(("utf-8", "utf-8", "iso-8859-1"))
    head = chance.choice(("", "<?xml version='1.0'?>", '<?xml version="1.0" encoding="UTF-8"?>'))
    if encoding != "utf-8":
        head = f'<?xml version="1.0" encoding="{encoding}" standalone="yes"?>'
    head += chance.choice(("", "<!-- <image/> -->")) + root + layout.between(1)
    head += "<version>1.1</version>" + layout.between(1)
    head += "<meta><task><labels><label><name>any</name></label></labels></task></meta>"
    head = head.replace("<name>any", chance.choice(("", "<!-- x -->")) + "<name>any")
    if "labels" in head and chance.random() < 0.8:
        names = "".join(f"<label><name>{one}</name></label>" for one in LABELS)
        head = head.replace("<label>", names + "<label>", 1)
    whole = left = head
    for number in range(chance.randint(1, 3)):
        pairs = [("id", str(number)), ("name", f"{number} &lt;é>.jpg")]
        pairs += [("width", str(SIZE[1])), ("height", str(SIZE[0]))]
        start, end = layout.between(1) + layout.tag("image", pairs), layout.between(1) + "</image>"
        shapes = [_shape(layout) for _ in range(chance.randint(0, 5))]
        drop, count = draw_drops(chance, len(shapes)), Counter[str]()
        pieces = [(text, k, shape) for k, (shape, text) in enumerate(shapes)]
        for _ in range(chance.randint(0, 4)):
            at = chance.randint(0, len(pieces))
            pieces.insert(at, (chance.choice(BESIDE), -1, ""))
        if not pieces and chance.random() < 0.5:
            whole, left = (text + start + "/>" for text in (whole, left))
            continue
        whole, left = (text + start + ">" for text in (whole, left))
        for text, k, shape in pieces:
            text = layout.between(2) + text
            whole += text
            left += "" if k in drop else text
            if k in drop:
                case.drop.add(f"{name}#/image/{number}/{shape}/{count[shape]}")
            count[shape] += k >= 0
        case.masks += len(shapes)
        whole, left = whole + end, left + end
    behind = "".join(chance.sample(BEHIND, chance.randint(0, 2))) + layout.between(0)
    bom = chance.choice((b"", b"", b"\xef\xbb\xbf")) if encoding == "utf-8" else b""
    for files, text in ((case.files, whole), (case.left, left)):
        text += behind + "</annotations>" + chance.choice(("", "\n"))
        files[""] = bom + text.encode(encoding)
    return case


# --- YOLO ----------------------------------------------------------------------------------------

_PICTURE = io.BytesIO()
Image.new("L", SIZE[::-1]).save(_PICTURE, "PNG")


def _ring(chance: random.Random) -> str:
    x, y = chance.uniform(0, 0.5), chance.uniform(0, 0.5)
    points = [(x, y), (x + 0.4, y), (x + 0.4, y + 0.4), (x, y + 0.4)]
    spell = chance.choice(("{:.6f}", "{:g}", "{:.3e}", "{!r}")).format
    gap = chance.choice((" ", "  ", "\t"))
    return gap.join(spell(value) for point in points for value in point)


def yolo(chance: random.Random) -> Case:
    """Label files of any line ends, with blank lines, boxes and other things in them."""
    case = Case("set", {}, {})
    names = chance.choice(("names: [cat, dog]\n", "names:\n  0: cat\n  1: dog\n", ""))
    for files in (case.files, case.left):
        files["data.yaml"] = f"path: .\ntrain: images\n{names}# ]\n".encode()
        files["labels/classes.txt"] = b"cat\r\ndog\r\n"
    for number in range(1, chance.randint(2, 4)):
        label = f"labels/{number} é.txt"
        for files in (case.files, case.left):
            files[f"images/{number} é.png"] = _PICTURE.getvalue()
        newline = chance.choice((b"\n", b"\r\n", b"\r"))
        count = chance.randint(number == 1, 6)
        drop = draw_drops(chance, count)
        whole: list[bytes] = []
        left: list[bytes] = []
        for k in range(count):
            for _ in range(chance.choice((0, 0, 0, 1, 2))):  # blank lines stay
                for some in (whole, left):
                    some.append(chance.choice((b"", b"  ", b"\t")) if some is whole else whole[-1])
            line = chance.choice(("{0} {1}", " {0} {1} ", "{0}\t{1}\t", "{0}.0 {1}")).format(
                chance.randrange(2), _ring(chance)
            )
            if k and chance.random() < 0.15:
                line = chance.choice(("1 0.5 0.5 0.2 0.2", "# a comment", "0 a b c d e f"))
            whole.append(line.encode())
            if k in drop:
                case.drop.add(f"{label}:{len(whole)}")
            else:
                left.append(line.encode())
        end = newline if chance.random() < 0.7 else b""
        case.files[label] = newline.join(whole) + end
        case.left[label] = newline.join(left) + end
        case.masks += count
    return case


# --- amg.py --------------------------------------------------------------------------------------

COLUMNS: dict[str, Callable[[random.Random, int], str]] = {
    "id": lambda chance, k: str(k),
    "area": lambda chance, k: str(chance.randrange(99)),
    "bbox_x0": lambda chance, k: "1",
    "bbox_y0": lambda chance, k: "2",
    "bbox_w": lambda chance, k: "3",
    "predicted_iou": lambda chance, k: f"{chance.random():.4f}",
    "stability_score": lambda chance, k: "",
    "note": lambda chance, k: chance.choice(("a", "x, y", 'say "a"', "two\nlines", "é")),
}


def _field(chance: random.Random, text: str) -> str:
    if any(mark in text for mark in ',"\n\r') or chance.random() < 0.2:
        return '"' + text.replace('"', '""') + '"'
    return text


def amg(chance: random.Random) -> Case:
    """Folders of PNGs with a CSV: columns in any order, quotes, line ends, blank lines."""
    case = Case("out", {}, {})
    for number in range(1, chance.randint(2, 3)):
        folder = f"{number} é"
        newline = chance.choice(("\n", "\r\n"))
        names = list(COLUMNS)[: chance.randint(5, len(COLUMNS))]
        if chance.random() < 0.7:
            chance.shuffle(names)
        count = chance.randint(1, 6)
        drop = draw_drops(chance, count)
        header = ",".join(_field(chance, name) for name in names)
        rows = [
            ",".join(_field(chance, COLUMNS[name](chance, k)) for name in names)
            for k in range(count)
        ]
        gap = newline * chance.choice((1, 1, 1, 2))
        end = chance.choice(("", newline))
        bom = chance.choice(("", "", "\ufeff"))
        for files, gone in ((case.files, set[int]()), (case.left, drop)):
            kept = [row for k, row in enumerate(rows) if k not in gone]
            text = bom + gap.join([header, *kept]) + end
            files[f"{folder}/metadata.csv"] = text.encode("utf-8")
        for k in range(count):
            packed = io.BytesIO()
            Image.fromarray(draw_mask(chance)).save(packed, "PNG")
            case.files[f"{folder}/{k}.png"] = packed.getvalue()
            if k not in drop:
                case.left[f"{folder}/{k}.png"] = packed.getvalue()
        case.drop |= {f"{folder}/{k}.png" for k in drop}
        case.masks += count
    return case
