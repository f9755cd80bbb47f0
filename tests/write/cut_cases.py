"""Generated datasets in every text format, with what must be left when some masks go.

A case is made of pieces, of which each is a mask or anything else. What must be left is written
from the same pieces without those that go, so no parser of the product is asked what that is.
"""

from __future__ import annotations

import csv
import io
import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from drawn_masks import rle_of, runs_of

from curate.errors import CurateError
from curate.formats.edits import Edits
from curate.formats.format import Format
from curate.formats.reading import detect, read
from curate.writing.checked_write import Expected, write_checked

Files = dict[str, bytes]
SIZE = (12, 16)
"""Height and width of every image."""


@dataclass
class Case:
    """A dataset and what becomes of it.

    Attributes:
        name: Of its file or folder.
        files: Its files by name; the key "" where it is one file.
        left: Its files when the masks have gone.
        drop: Source keys of the masks that go.
        masks: How many masks it has.
    """

    name: str
    files: Files
    left: Files
    drop: set[str] = field(default_factory=set)
    masks: int = 0

    def build(self, folder: Path) -> Path:
        """Write the dataset into a folder."""
        path = folder / self.name
        for name, content in self.files.items():
            target = path / name if name else path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        return path

    def differences(self, written: Path) -> Iterator[str]:
        """Yield what is not as it must be."""
        found: Files = {"": written.read_bytes()} if written.is_file() else {}
        if not found:
            paths = (path for path in written.rglob("*") if path.is_file())
            found = {path.relative_to(written).as_posix(): path.read_bytes() for path in paths}
        for name in sorted({*found, *self.left}):
            if name not in found or name not in self.left:
                yield f"{name} is {'more' if name in found else 'missing'}"
            elif squeezed(name or self.name, found[name]) != squeezed(
                name or self.name, self.left[name]
            ):
                yield f"{name or self.name} differs"


def squeezed(name: str, data: bytes) -> Any:
    """Return what counts of a file: all but blanks between values, and what they mean."""
    if name.endswith(".xml"):
        return re.sub(rb"[ \t\r\n]+", b"", data)
    if name.endswith(".json"):
        text = data.decode("utf-8-sig")
        return (
            data[:3] == b"\xef\xbb\xbf",
            json.loads(text, object_pairs_hook=tuple),
            ("" if '"masklet"' in text else re.sub(r"[ \t\r\n]+", "", text)),
        )
    if name.endswith(".csv"):
        rows = list(csv.reader(io.StringIO(data.decode("utf-8"), newline="")))
        return [row for row in rows if row], re.sub(rb"[\r\n]+", b"\n", data).strip()
    return data.rstrip(b"\r\n") if name.endswith(".txt") else data


def draw_mask(chance: random.Random) -> np.ndarray:
    """Return a rectangle somewhere in an image."""
    mask = np.zeros(SIZE, bool)
    y, x = chance.randrange(SIZE[0] - 3), chance.randrange(SIZE[1] - 3)
    mask[y : y + chance.randint(2, 5), x : x + chance.randint(2, 6)] = True
    return mask


def draw_rle(chance: random.Random) -> dict[str, Any]:
    """Return a mask as COCO's RLE, compressed or not."""
    mask = draw_mask(chance)
    if chance.random() < 0.5:
        return dict(rle_of(mask))
    return {"size": list(SIZE), "counts": runs_of(mask.ravel("F"))}


def draw_drops(chance: random.Random, count: int) -> set[int]:
    """Return which of some masks go: one, some, none or all, the first and the last often."""
    kind = chance.random()
    if kind < 0.1:
        return set(range(count))
    share = chance.choice((0.2, 0.5, 0.8))
    return {k for k in range(count) if chance.random() < share}


Make = Callable[[random.Random], Case]


def cases() -> dict[str, Make]:
    """Return what makes the cases of each text format."""
    import cut_cases_of_documents as images
    import cut_cases_of_json as documents
    import cut_cases_of_tables as tables
    import cut_cases_of_text as texts

    return {
        "coco": documents.coco,
        "lvis": documents.lvis,
        "coco-results": documents.results,
        "sa1b": documents.sa1b,
        "amg-json": documents.amg_json,
        "sav": documents.sav,
        "cvat": texts.cvat,
        "labelme": images.labelme,
        "supervisely": images.supervisely,
        "kaggle-csv": tables.kaggle,
        "yolo": texts.yolo,
        "amg": texts.amg,
    }


def check_case(
    kind: str, seed: int, folder: Path, *, reads: bool = True
) -> tuple[int, int, list[str]]:
    """Prune one case as the product does, and judge what is left.

    Args:
        kind: Which of :func:`cases`.
        seed: Its number.
        folder: An empty folder.
        reads: Whether its masks are read and compared too, as the verb does; that takes longer.

    Returns:
        How many masks it has, how many went, and what is wrong.
    """
    case = cases()[kind](random.Random(f"{kind} {seed}"))
    source = case.build(folder / "source")
    form = detect(source, kind.removesuffix("-json"))
    written, edits = folder / "out" / source.name, Edits(drop=frozenset(case.drop))
    written.parent.mkdir()
    problems: list[str] = []
    try:
        if reads:
            problems += _read_problems(case, form, source, written, edits)
        else:
            form.write(source, written, edits)
            problems += [one for one in [form.check_unedited(source, written, edits)] if one]
    except CurateError as error:
        return case.masks, len(case.drop), [*problems, str(error)]
    return case.masks, len(case.drop), [*problems, *case.differences(written)]


def _read_problems(
    case: Case, form: Format, source: Path, written: Path, edits: Edits
) -> Iterator[str]:
    keys = read(source, form.name).masks["source_key"].tolist()
    if len(keys) != case.masks or not case.drop <= set(keys):
        yield f"{len(keys)} masks are read instead of {case.masks}"
    meant = Expected(case.masks - len(case.drop), None)
    write_checked(form, source, written, edits, meant, written)


def pick(chance: random.Random, values: Sequence[Any], most: int) -> list[Any]:
    """Return up to some of some values, in any order."""
    return [chance.choice(values) for _ in range(chance.randint(0, most))]
