"""Small datasets of every format in which readers infer much: ids, sizes, images, categories.

What is inferred from one mask must not be missed when that mask goes.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from drawn_masks import rle_of
from PIL import Image

SIZE = (12, 16)
OTHER = (14, 16)

Build = Callable[[Path], Path]


def rle(k: int, size: tuple[int, int] = SIZE) -> dict[str, Any]:
    """Return the k-th of some masks that do not touch."""
    return rle_of(mask(k, size))


def mask(k: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Return a mask of two by three pixels; no two overlap for k under 12."""
    made = np.zeros(size, bool)
    y, x = 3 * (k // 4), 4 * (k % 4)
    made[y : y + 2, x : x + 3] = True
    return made


def ring(k: int) -> list[list[float]]:
    y, x = 3.0 * (k // 4), 4.0 * (k % 4)
    return [[x, y, x + 3, y, x + 3, y + 2, x, y + 2]]


def box(k: int) -> list[float]:
    return [4.0 * (k % 4), 3.0 * (k // 4), 3.0, 2.0]


def _file(name: str, value: Any) -> Build:
    def build(folder: Path) -> Path:
        path = folder / name
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return path

    return build


IMAGES = [
    {"id": 5, "file_name": "a.png", "height": SIZE[0], "width": SIZE[1]},
    {"id": 9, "file_name": "b.png", "height": SIZE[0], "width": SIZE[1]},
]
ABSENT = object()


def _coco(
    masks: list[dict[str, Any]],
    images: Any = IMAGES,
    categories: Any = ({"id": 1, "name": "cell"},),
) -> Build:
    whole: dict[str, Any] = {"images": images, "annotations": masks}
    if categories is not None:
        whole["categories"] = list(categories)
    return _file("a.json", whole)


def _annotation(k: int, **more: Any) -> dict[str, Any]:
    made = {"id": k, "image_id": 5, "category_id": 1, "segmentation": rle(k)} | more
    return {name: value for name, value in made.items() if value is not ABSENT}


IDS: Mapping[str, tuple[Any, ...]] = {
    "text": ("x", 3, 900),
    "text-last": (3, 900, "x"),
    "absent": (ABSENT, 3, 900),
    "absent-amid": (900, ABSENT, 3),
    "null": (3, None, 900),
    "two-texts": ("x", 900, "x", 7),
    "floats": (1.5, 2.0, 7),
    "twice": (4, 4, 9),
    "thrice": (9, 4, 4, 4),
    "negative": (-3, -1, -2),
    "huge": (2**63, 5, 2**62),
    "largest": ("x", 2**63 - 1, 5),
    "bool": (True, 1, 900),
    "lists": ([1], 4, 900),
    "none": (ABSENT, ABSENT, ABSENT),
    "all-text": ("x", "y", "z"),
    "counted": (0, 1, 2, 3),
    "counted-but-one": (0, 1, "x", 3),
    "digits": ("1", "2", "7", 9),
}


def _coco_cases() -> Iterator[tuple[str, Build]]:
    for name, ids in IDS.items():
        yield f"ids-{name}", _coco([_annotation(k, id=one) for k, one in enumerate(ids)])
        apart = [_annotation(k, id=one, image_id=(9, 5)[k % 2]) for k, one in enumerate(ids)]
        yield f"ids-{name}-apart", _coco(apart)
    four = [_annotation(k) for k in range(4)]
    bare = [{"id": 5, "file_name": "a.png"}, {"id": 9, "file_name": "b.png"}]
    apart = [one | {"image_id": (9, 5)[k % 2]} for k, one in enumerate(four)]
    sizes = [one | {"segmentation": rle(k, (OTHER, SIZE)[k % 2])} for k, one in enumerate(four)]
    yield "sizes-of-masks", _coco(apart, bare)
    yield "sizes-of-masks-differ", _coco(sizes, bare)
    yield "sizes-of-masks-text", _coco(apart, [one | {"height": "12"} for one in bare])
    mixed = [one | {"segmentation": (rle(k), ring(k))[k % 2]} for k, one in enumerate(four)]
    yield "sizes-of-some-masks", _coco(mixed, bare)
    yield "sizes-half", _coco(mixed, [bare[0] | {"height": 12}, bare[1]])
    yield "sizes-wrong", _coco(four, [IMAGES[0] | {"height": 13}])
    yield (
        "polygons-only",
        _coco([one | {"segmentation": ring(k)} for k, one in enumerate(four)], bare),
    )
    yield "images-unlisted", _coco(apart, [])
    yield "images-unlisted-one", _coco(apart, [IMAGES[0]])
    yield "images-absent", _file("a.json", {"annotations": apart, "categories": []})
    yield "images-twice", _coco(apart, [IMAGES[0], IMAGES[0] | {"file_name": "c.png"}])
    yield (
        "images-text-ids",
        _coco(
            [one | {"image_id": ("p", "q")[k % 2]} for k, one in enumerate(four)],
            [IMAGES[0] | {"id": "p"}, IMAGES[1] | {"id": "q"}],
        ),
    )
    yield "images-no-names", _coco(apart, [{"id": 5, "height": 12, "width": 16}])
    for name, ids in IDS.items():
        masks = [one | {"image_id": i} for one, i in zip(four, ids, strict=False)]
        masks = [{k: v for k, v in one.items() if v is not ABSENT} for one in masks]
        yield f"image-ids-{name}", _coco(masks, [])
        listed = [bare[0] | {"id": i, "file_name": f"{k}.png"} for k, i in enumerate(ids)]
        listed = [{k: v for k, v in one.items() if v is not ABSENT} for one in listed]
        yield f"image-ids-{name}-listed", _coco(masks, listed)
        yield f"image-ids-{name}-half-listed", _coco(masks, listed[1:])
        numbered = [one | {"category_id": i} for one, i in zip(four, ids, strict=False)]
        numbered = [{k: v for k, v in one.items() if v is not ABSENT} for one in numbered]
        yield f"category-ids-{name}", _coco(numbered)
        names = [{"id": i, "name": f"n{k}"} for k, i in enumerate(ids)]
        yield (
            f"category-ids-{name}-listed",
            _coco(
                numbered,
                categories=[{k: v for k, v in one.items() if v is not ABSENT} for one in names],
            ),
        )
    without = [{k: v for k, v in one.items() if k != "image_id"} for one in four[:2]]
    yield "image-id-absent", _coco([*without, *four[2:]])
    numbered = [one | {"category_id": k} for k, one in enumerate(four)]
    yield "categories-unlisted", _coco(numbered)
    yield "categories-absent", _coco(numbered, categories=None)
    yield "categories-empty", _coco(numbered, categories=())
    texts = [one | {"category_id": ("cat", 1, None, 7)[k]} for k, one in enumerate(four)]
    yield "categories-text", _coco(texts)
    crowd = [one | {"iscrowd": int(k > 0)} for k, one in enumerate(four)]
    yield "crowd-nearly-all", _coco(crowd)
    broken: list[Any] = [rle(0), None, [], {"size": [12, 16], "counts": "~~"}]
    yield "broken", _coco([_annotation(k, segmentation=one) for k, one in enumerate(broken)])
    yield (
        "broken-sizes",
        _coco([_annotation(k, segmentation=o) for k, o in enumerate(broken)], bare),
    )
    boxes = [one | {"segmentation": ABSENT, "bbox": box(k)} for k, one in enumerate(four)]
    boxes = [{k: v for k, v in one.items() if v is not ABSENT} for one in boxes]
    yield "boxes", _coco([four[0], *boxes[1:]], bare)
    yield "declared", _coco([one | {"bbox": box(k), "area": 6} for k, one in enumerate(four)])
    scored = [one | {"score": 0.5} if k == 3 else one for k, one in enumerate(four)]
    yield "score-of-one", _coco(scored)


def _results_cases() -> Iterator[tuple[str, Build]]:
    def record(k: int, image: Any = 5, **more: Any) -> dict[str, Any]:
        made = {"image_id": image, "category_id": 1, "segmentation": rle(k), "score": 0.5} | more
        return {name: value for name, value in made.items() if value is not ABSENT}

    four = [record(k, (9, 5)[k % 2]) for k in range(4)]
    yield "rle", _file("r.json", four)
    polygons = [record(0), *(record(k, segmentation=ring(k)) for k in (1, 2)), record(3, 9)]
    yield "size-of-one-rle", _file("r.json", polygons)
    boxes = [
        record(0),
        *(record(k, segmentation=ABSENT, bbox=box(k)) for k in (1, 2)),
        record(3, 9),
    ]
    yield "size-of-one-rle-boxes", _file("r.json", boxes)
    yield (
        "size-first-differs",
        _file(
            "r.json", [record(0, segmentation=rle(0, OTHER)), record(1), record(2), record(3, 9)]
        ),
    )
    yield (
        "size-of-broken",
        _file(
            "r.json",
            [
                record(0, segmentation={"size": [12, 16], "counts": "~"}),
                record(1, segmentation=ring(1)),
                record(2, segmentation={"size": ["a", 16], "counts": "04"}),
            ],
        ),
    )
    for name, ids in IDS.items():
        yield f"image-ids-{name}", _file("r.json", [record(k, i) for k, i in enumerate(ids)])
        records = [record(k, category_id=i) for k, i in enumerate(ids)]
        yield f"category-ids-{name}", _file("r.json", records)
    yield "text-images", _file("r.json", [record(k, ("p", "q")[k % 2]) for k in range(4)])
    yield "image-absent", _file("r.json", [record(0, ABSENT), record(1), record(2, None)])
    yield (
        "category-absent",
        _file("r.json", [record(k, category_id=(1, ABSENT)[k % 2]) for k in (0, 1, 2)]),
    )
    yield (
        "box-first",
        _file("r.json", [record(0, segmentation=ABSENT, bbox=box(0)), record(1), record(2, 9)]),
    )


def _sam(k: int, size: tuple[int, int] = SIZE, **more: Any) -> dict[str, Any]:
    x, y, w, h = (int(side) for side in box(k))
    made = {
        "id": k,
        "segmentation": rle(k, size),
        "bbox": [x, y, w, h],
        "area": 6,
        "predicted_iou": 0.9,
        "stability_score": 0.96,
        "crop_box": [0, 0, size[1], size[0]],
        "point_coords": [[x + 1, y + 1]],
    } | more
    return {name: value for name, value in made.items() if value is not ABSENT}


def _sa1b_cases() -> Iterator[tuple[str, Build]]:
    image = {"image_id": 1, "width": 16, "height": 12, "file_name": "sa_1.jpg"}

    def files(*documents: Any) -> Build:
        def build(folder: Path) -> Path:
            (folder / "sa").mkdir()
            for number, document in enumerate(documents, 1):
                (folder / "sa" / f"sa_{number}.json").write_text(json.dumps(document))
            return folder / "sa"

        return build

    def tar(*documents: Any) -> Build:
        def build(folder: Path) -> Path:
            path = folder / "sa_1.tar"
            with tarfile.open(path, "w") as archive:
                for number, document in enumerate(documents, 1):
                    one = tarfile.TarInfo(f"./sa_{number}.json")
                    text = json.dumps(document).encode()
                    one.size = len(text)
                    archive.addfile(one, io.BytesIO(text))
            return path

        return build

    for name, ids in IDS.items():
        masks = [_sam(k, id=one) for k, one in enumerate(ids)]
        document = {"image": image, "annotations": masks}
        yield f"ids-{name}", files(document)
        half = len(ids) // 2
        second = {"image": image | {"image_id": 2, "file_name": "sa_2.jpg"}}
        yield (
            f"ids-{name}-two",
            files(document | {"annotations": masks[:half]}, second | {"annotations": masks[half:]}),
        )
    four = [_sam(k) for k in range(4)]
    yield (
        "tar",
        tar(
            {"image": image, "annotations": four},
            {"image": image | {"image_id": 2}, "annotations": four},
        ),
    )
    for name in image:
        less = {k: v for k, v in image.items() if k != name}
        yield f"no-{name}", files({"image": less, "annotations": four})
    yield "no-image", files({"annotations": four})
    yield (
        "same-image",
        files({"image": image, "annotations": four[:2]}, {"image": image, "annotations": four[2:]}),
    )
    sizes = [_sam(k, (OTHER, SIZE)[k % 2]) for k in range(4)]
    yield "sizes-differ", files({"image": image, "annotations": sizes})
    less = {"image_id": 1, "file_name": "sa_1.jpg"}
    yield "sizes-of-masks-differ", files({"image": less, "annotations": sizes})
    broken = [four[0] | {"segmentation": {"size": [12, 16], "counts": "~"}}, four[1]]
    yield "sizes-of-broken", files({"image": less, "annotations": broken})


def _amg_cases() -> Iterator[tuple[str, Build]]:
    header = (
        "id,area,bbox_x0,bbox_y0,bbox_w,bbox_h,point_input_x,point_input_y,predicted_iou,"
        "stability_score,crop_box_x0,crop_box_y0,crop_box_w,crop_box_h"
    )

    def rows(*numbers: int) -> list[str]:
        return [
            f"{n},6,{int(box(k)[0])},{int(box(k)[1])},3,2,1.0,1.0,0.9,0.96,0,0,16,12"
            for k, n in enumerate(numbers)
        ]

    def folder_of(*folders: tuple[str, tuple[int, ...], bool]) -> Build:
        def build(folder: Path) -> Path:
            root = folder / "amg"
            for name, numbers, listed in folders:
                (root / name).mkdir(parents=True)
                for k, n in enumerate(numbers):
                    Image.fromarray(mask(k).astype(np.uint8) * 255).save(root / name / f"{n}.png")
                lines = [header, *(rows(*numbers) if listed else ())]
                (root / name / "metadata.csv").write_text("\n".join(lines) + "\n")
            return root

        return build

    yield "one", folder_of(("truck", (0, 1, 2), True))
    yield "single", folder_of(("truck", (0,), True))
    yield "two", folder_of(("truck", (0, 1), True), ("car", (0, 4), True))
    yield "unlisted", folder_of(("truck", (0, 1), False), ("car", (0, 1), True))

    def direct(folder: Path) -> Path:
        return folder_of(("truck", (0, 1, 2), True))(folder) / "truck"

    yield "direct", direct

    def without_png(folder: Path) -> Path:
        root = direct(folder)
        (root / "1.png").unlink()
        return root

    yield "png-missing", without_png

    def other_sizes(folder: Path) -> Path:
        root = direct(folder)
        Image.fromarray(mask(0, OTHER).astype(np.uint8) * 255).save(root / "0.png")
        return root

    yield "sizes-differ", other_sizes
    four = [_sam(k, id=ABSENT) for k in range(4)]
    yield "json", _file("a.json", four)
    yield "json-single", _file("a.json", four[:1])
    sizes = [_sam(k, (OTHER, SIZE)[k % 2], id=ABSENT) for k in range(4)]
    yield "json-sizes-differ", _file("a.json", sizes)
    broken = [four[0] | {"segmentation": {"size": [12, 16], "counts": "~"}}, *four[1:]]
    yield "json-broken-first", _file("a.json", broken)


def _sav_cases() -> Iterator[tuple[str, Build]]:
    def video(frames: int, objects: int, **more: Any) -> dict[str, Any]:
        return {
            "video_id": "sav_000001",
            "video_frame_count": float(4 * frames),
            "video_height": 12.0,
            "video_width": 16.0,
            "masklet": [[rle(4 * f + o) for o in range(objects)] for f in range(frames)],
            "masklet_id": list(range(objects)),
            "masklet_num": objects,
        } | more

    def saved(document: dict[str, Any], *without: str) -> Build:
        left = {k: v for k, v in document.items() if k not in without}
        return _file("sav_000001_manual.json", left)

    yield "two-by-two", saved(video(2, 2))
    yield "one", saved(video(1, 1))
    yield "no-size", saved(video(2, 2), "video_height", "video_width")
    yield "no-ids", saved(video(2, 2), "masklet_id")
    differ = [[rle(0, OTHER), rle(1)], [rle(4), rle(5)]]
    yield "sizes-differ", saved(video(2, 2, masklet=differ), "video_height", "video_width")


def _cvat_cases() -> Iterator[tuple[str, Build]]:
    def shape(k: int, label: str = "cell", more: str = "") -> str:
        points = ";".join(f"{x},{y}" for x, y in np.reshape(ring(k)[0], (-1, 2)).tolist())
        return f'<polygon label="{label}" source="manual" points="{points}" {more}></polygon>'

    def document(*images: str) -> Build:
        body = "".join(images)
        return _file("a.xml", f"<annotations><version>1.1</version>{body}</annotations>")

    def image(number: str, shapes: str, size: str = 'width="16" height="12"') -> str:
        return f'<image {number} name="a{len(shapes)}.png" {size}>{shapes}</image>'

    two = shape(0) + shape(1)
    yield "plain", document(image('id="0"', two), image('id="1"', shape(2)))
    yield "no-size", document(image('id="0"', two, ""), image('id="1"', shape(2), ""))
    yield "no-ids", document(image("", two), image("", shape(2)))
    yield "same-ids", document(image('id="1"', two), image('id="1"', shape(2)))
    yield "labels", document(image('id="0"', shape(0, "a") + shape(1, "b")), image('id="1"', ""))
    own = "".join(shape(k, more=f'id="{n}"') for k, n in enumerate(("7", "x", "900")))
    yield "mask-ids", document(image('id="0"', own))


def _yolo_cases() -> Iterator[tuple[str, Build]]:
    def line(k: int, number: object = 0) -> str:
        values = np.reshape(ring(k)[0], (-1, 2)) / (16, 12)
        return " ".join([str(number), *(f"{v:.6f}" for v in values.ravel().tolist())])

    def labels(
        files: Mapping[str, list[str]], names: str = "names: [cell]\n", picture: bool = True
    ) -> Build:
        def build(folder: Path) -> Path:
            root = folder / "yolo"
            for part in ("images", "labels"):
                (root / part).mkdir(parents=True)
            if names:
                (root / "data.yaml").write_text(names)
            for name, lines in files.items():
                (root / "labels" / f"{name}.txt").write_text("".join(f"{one}\n" for one in lines))
                if picture:
                    Image.new("RGB", (16, 12)).save(root / "images" / f"{name}.png")
            return root

        return build

    two = {"a": [line(0), line(1)], "b": [line(2)]}
    yield "plain", labels(two)
    yield "no-names", labels(two, "")
    yield "numbers", labels({"a": [line(0, 3), line(1, 7)], "b": [line(2, 900)]}, "")
    yield "no-pictures", labels(two, picture=False)
    yield "broken", labels({"a": [line(0), "0 x y", line(1, "cat")], "b": []})


def _png_cases() -> Iterator[tuple[str, Build]]:
    def save(path: Path, pixels: np.ndarray) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)

    def folder_of(*names: str, size: tuple[int, int] = SIZE) -> Build:
        def build(folder: Path) -> Path:
            for k, name in enumerate(names):
                save(folder / "png" / name, mask(k, size).astype(np.uint8) * 255)
            return folder / "png"

        return build

    yield "folder", folder_of("a/masks/0.png", "a/masks/1.png", "b/masks/0.png")
    yield "folder-plain", folder_of("a/0.png", "a/1.png", "b/0.png")
    yield "folder-one", folder_of("a/masks/0.png")
    yield "flat", folder_of("a_cell_0.png", "a_cell_1.png", "b_cell_0.png")
    yield "flat-classes", folder_of("a_cat_0.png", "a_dog_1.png", "b_cat_0.png")

    def differ(folder: Path) -> Path:
        root = folder_of("a/masks/0.png", "a/masks/1.png", "b/masks/0.png")(folder)
        save(root / "a/masks/0.png", mask(0, OTHER).astype(np.uint8) * 255)
        return root

    yield "folder-sizes-differ", differ

    def ids(values: Mapping[str, tuple[int, ...]], kind: type[np.generic] = np.uint16) -> Build:
        def build(folder: Path) -> Path:
            for name, numbers in values.items():
                pixels = np.zeros(SIZE, kind)
                for k, number in enumerate(numbers):
                    pixels[mask(k)] = number
                save(folder / "ids" / name, pixels)
            return folder / "ids"

        return build

    yield "ids", ids({"a.png": (1, 2, 7), "b.png": (3,)})
    yield "ids-8", ids({"a.png": (1, 2, 7), "b.png": (255,)}, np.uint8)
    yield "ids-classes", ids({"a.png": (1001, 1002, 2001), "b.png": (26000,)})
    yield "ids-one", ids({"a.png": (5,)})


def _panoptic_cases() -> Iterator[tuple[str, Build]]:
    def build_with(**more: Any) -> Build:
        def build(folder: Path) -> Path:
            pixels = np.zeros((*SIZE, 3), np.uint8)
            segments = []
            for k, number in enumerate((1, 7, 300)):
                pixels[mask(k)] = (number % 256, number // 256, 0)
                about = {"id": number, "category_id": 1 + k % 2, "area": 6, "iscrowd": 0}
                segments.append(about | {"bbox": [int(side) for side in box(k)]})
            (folder / "p").mkdir()
            Image.fromarray(pixels).save(folder / "p" / "a.png")
            image = {"id": 5, "file_name": "a.jpg", "height": 12, "width": 16}
            one = {"image_id": 5, "file_name": "a.png", "segments_info": segments}
            categories = [{"id": k, "name": f"c{k}", "isthing": k % 2} for k in (1, 2)]
            whole = {"images": [image], "annotations": [one], "categories": categories} | more
            (folder / "p.json").write_text(json.dumps(whole))
            return folder / "p.json"

        return build

    yield "plain", build_with()
    yield "no-size", build_with(images=[{"id": 5, "file_name": "a.jpg"}])
    yield "no-categories", build_with(categories=[])


def cases() -> dict[str, tuple[str, Build]]:
    """Return what builds each dataset, with the name of its format."""
    families: dict[str, tuple[str, Iterator[tuple[str, Build]]]] = {
        "coco": ("coco", _coco_cases()),
        "results": ("coco-results", _results_cases()),
        "sa1b": ("sa1b", _sa1b_cases()),
        "amg": ("amg", _amg_cases()),
        "sav": ("sav", _sav_cases()),
        "cvat": ("cvat", _cvat_cases()),
        "yolo": ("yolo", _yolo_cases()),
        "png": ("", _png_cases()),
        "panoptic": ("coco-panoptic", _panoptic_cases()),
    }
    return {
        f"{family}-{name}": (form, build)
        for family, (form, found) in families.items()
        for name, build in found
    }
