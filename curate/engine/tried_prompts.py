"""Results of the search of prompts, kept in the engine's ``prompts/``: a file a search."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, cast

import orjson

from curate.common import files
from curate.common.clock import Clock
from curate.dataset.notes import encodable
from curate.engine.prompt_search import PromptSearch
from curate.engine.round_record import SegmenterUsed, format_time
from curate.errors import AuditError, CallError
from curate.networks.segmenters.prompt_recipes import PromptsInUse
from curate.store.engine_folder import PROMPTS

SCHEMA_VERSION = "1"

_AGAIN = "delete it, and run `curate engine prompts` again"


@dataclass(frozen=True)
class TriedRecipe:
    """A row of the table of prompts that were tried.

    Attributes:
        recipe: Its name.
        iou: Mean IoU over masks, in [0, 1].
        low: Lower end of its 95% interval over images; None for a single image.
        high: Upper end.
        gain: Over the first recipe.
        seconds_per_mask: Without the embedding of the image.
        chosen: Whether it is the one to use.
    """

    recipe: str
    iou: float
    low: float | None
    high: float | None
    gain: float
    seconds_per_mask: float
    chosen: bool


@dataclass(frozen=True)
class TriedPrompts:
    """What a search of prompts found.

    Attributes:
        file: Its file, relative to the project.
        written: When it ended, ISO 8601 in UTC.
        segmenter: Name of the segmenter.
        fingerprint: Of the segmenter.
        in_force: Whether that is the one in force now.
        images: Validation images with masks.
        masks: Masks that were tried.
        recipes: A row a recipe, in the order they were tried.
        by_category: The recipe of each category for which another one than for all is better.
        use: Whether rounds that begin later prompt by what was found.
        in_use: The recipes that they prompt by; None in the file of a search before there was this.
        notes: Sentences on what it is used for.
    """

    file: str
    written: str
    segmenter: str
    fingerprint: str
    in_force: bool
    images: int
    masks: int
    recipes: tuple[TriedRecipe, ...]
    by_category: dict[str, str]
    use: bool = False
    in_use: PromptsInUse | None = None
    notes: tuple[str, ...] = ()


def write_tried(
    project: Path, found: PromptSearch, used: SegmenterUsed, clock: Clock, *, use: bool = True
) -> Path:
    """Write the result of a search into a new file, whole or not at all, and return it.

    Args:
        project: The engine's directory.
        found: The result.
        used: The segmenter that was prompted.
        clock: What time it is.
        use: Whether rounds that begin later prompt by what was found.

    Raises:
        AuditError: It cannot be written.
    """
    folder, written = project / PROMPTS, format_time(clock)
    header = {
        "schema_version": SCHEMA_VERSION,
        "written": written,
        "segmenter": dict(used),
        "images": int(found.masks["image_id"].nunique()),
        "masks": len(found.masks),
        "use": use,
    }
    value = encodable(header | found.as_dict())
    data = orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY)
    with files.convert_write_errors(folder):
        files.mkdir(folder, parents=True, exist_ok=True)
        files.remove_abandoned(folder)
        return _write_new(folder, written.replace(":", "-"), data)


def _write_new(folder: Path, stem: str, data: bytes) -> Path:
    """Write a file under a name that nothing has, whole or not at all."""
    temporary = folder / f".{stem}.{files.process_tag()}.tmp"
    try:
        files.write_bytes(temporary, data)
        for number in count(1):
            place = folder / (f"{stem}.json" if number == 1 else f"{stem}.{number}.json")
            try:
                files.name_new(temporary, place)
            except FileExistsError:
                continue  # of a search that ended in the same second
            return place
    finally:
        # Where nothing can be written nothing can be removed; the next search does it.
        with suppress(OSError):
            files.unlink(temporary, missing_ok=True)
    raise AssertionError("numbers do not end")


def read_last_tried(project: Path, used: SegmenterUsed | None) -> TriedPrompts | None:
    """Read the result of the last search; None where there was none.

    Args:
        project: The engine's directory.
        used: The segmenter in force.

    Raises:
        AuditError: The file is damaged, or of another version.
    """
    folder = project / PROMPTS
    places = [p for p in folder.glob("*.json") if p.name[:1] != "."] if folder.is_dir() else []
    if not places:
        return None
    last = max(places, key=_order)
    try:
        found = cast(Any, orjson.loads(last.read_bytes()))
        if found["schema_version"] != SCHEMA_VERSION:
            what = f"it was written with schema version {found['schema_version']}"
            raise AuditError(what, str(last), "use the version of curate that wrote it")
        recipes = tuple(_read_recipe(row, str(found["chosen"])) for row in found["recipes"])
        one = found["segmenter"]
        return TriedPrompts(
            file=last.relative_to(project).as_posix(),
            written=str(found["written"]),
            segmenter=str(one["name"]),
            fingerprint=str(one["fingerprint"]),
            in_force=used is not None and used["fingerprint"] == one["fingerprint"],
            images=int(found["images"]),
            masks=int(found["masks"]),
            recipes=recipes,
            by_category={str(k): str(v) for k, v in found["chosen_by_category"].items()},
            use=bool(found.get("use", False)),
            in_use=PromptsInUse.from_dict(found["in_use"]) if found.get("in_use") else None,
        )
    except (CallError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise AuditError("it is damaged", str(last), _AGAIN) from error


def _order(path: Path) -> tuple[str, int]:
    """Return the key by which files are sorted: time, then number."""
    stem, _, number = path.stem.partition(".")
    return stem, int(number) if number.isdecimal() else 1


def _read_recipe(row: Mapping[str, Any], chosen: str) -> TriedRecipe:
    low, high = (None if row[name] is None else float(row[name]) for name in ("low", "high"))
    name, iou, gain = str(row["recipe"]), float(row["iou"]), float(row["gain"])
    return TriedRecipe(name, iou, low, high, gain, float(row["seconds_per_mask"]), name == chosen)
