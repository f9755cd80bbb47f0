"""Directory of the data engine: names in it, and the audit in which people are needed now.

Verbs of people (review, queue, import, status) take such a directory in the place of an audit. They
stand below the engine, so what they need to know of it is here.

    PROJECT/
      engine.json         settings; written last when the engine is set up
      images.parquet      one row an image: file name, size, hash of the file, role
      looks.parquet       one row an image: features and cluster, found once
      start/              masks that were there before: masks.json
      validation/         the validation images, laid out as a round
        missed/07/        proposals there that round 7 asked about, laid out as a round: people may
                          have missed their objects
      rounds/01/          a round: round.json, images.txt, proposals.json, audit/, masks.json,
                          segmenter/; doubt.json where images were looked at to choose some
                          in the second stage detector/ and prefill/ too: what was prefilled
      cuts/               a folder a segmenter: its proposals on the validation images, uncut
      prompts/            a file a search of prompts
      ledger.parquet      one row a round
      report.*            the rounds as a page, as values and as text, if asked for
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from curate.common.json_values import JsonObject
from curate.errors import AuditError
from curate.store.audit_info import INFO

if TYPE_CHECKING:  # the command line asks these before anything heavy is loaded
    from curate.store.audit import AnyAudit

ENGINE = "engine.json"
IMAGES = "images.parquet"
LEDGER = "ledger.parquet"
LOOKS = "looks.parquet"
START = "start"
VALIDATION = "validation"
ROUNDS = "rounds"

ROUND = "round.json"
NAMES = "images.txt"
PROPOSALS = "proposals.json"
AUDIT = "audit"
MASKS = "masks.json"
SEGMENTER = "segmenter"
DETECTOR = "detector"
PREFILL = "prefill"
PREFILLED = "prefilled.json"
LEARNING = "learning"
PROMPTS = "prompts"
DOUBT = "doubt.json"
CUTS = "cuts"
MISSED = "missed"


def is_engine(path: Path) -> bool:
    """Return whether a directory is one of the engine."""
    return (path / ENGINE).is_file()


def list_rounds(project: Path) -> list[Path]:
    """Return the folders of an engine's rounds, in order."""
    return _list_numbered(project / ROUNDS)


def list_missed(project: Path) -> list[Path]:
    """Return the folders of proposals for validation images that people are asked about, by the
    number of the round that asks, in order."""
    return _list_numbered(project / VALIDATION / MISSED)


def _list_numbered(folder: Path) -> list[Path]:
    found = [path for path in folder.iterdir() if path.name.isdecimal()] if folder.is_dir() else []
    return sorted(found, key=lambda path: int(path.name))


def find_open_audit(project: Path) -> Path:
    """Return the audit of an engine in which people are needed now.

    Raises:
        AuditError: They are needed in none.
    """
    rounds = reversed(list_rounds(project))
    for folder in (project / VALIDATION, *list_missed(project), *rounds):
        is_open = (folder / AUDIT / INFO).is_file() and not (folder / MASKS).is_file()
        if is_open and find_replacement(folder) is None:
            return folder / AUDIT
    what = "people are needed in no round of the engine now"
    raise AuditError(what, str(project), f"run `curate engine next {project}`")


def find_replacement(folder: Path) -> int | None:
    """Return the number of the round that repeats a round with other settings; None for none.

    Args:
        folder: The round's folder.
    """
    if folder.parent.name != ROUNDS or not folder.name.isdecimal():
        return None
    for other in list_rounds(folder.parent.parent):
        if _read_round(other).get("replaces") == int(folder.name):
            return int(other.name)
    return None


def find_project(audit: Path) -> Path | None:
    """Return the engine of whose round an audit is; None for any other audit."""
    folder = audit.resolve().parent
    if audit.resolve().name != AUDIT or not (folder / ROUND).is_file():
        return None
    return next((place for place in folder.parents[:3] if is_engine(place)), None)


def resolve_audit(audit: AnyAudit) -> AnyAudit:
    """Return the audit in which people are needed now for an engine's directory, else the audit.

    Raises:
        AuditError: It is an engine's directory, and people are needed in no round.
    """
    if isinstance(audit, str | Path) and is_engine(Path(audit)):
        return find_open_audit(Path(audit))
    return audit


def find_round_segmenter(audit: Path) -> str | None:
    """Return the segmenter that proposed the masks of a round, None where there is none.

    Args:
        audit: An audit, of a round or any other.
    """
    project = find_project(audit)
    if project is None:
        return None
    used = _read_record(audit).get("segmenter")
    if not isinstance(used, dict) or not isinstance(used.get("name"), str):
        return None
    inside = project / used["name"]
    return str(inside) if inside.is_dir() else used["name"]


def find_round_prompts(audit: Path) -> JsonObject | None:
    """Return the recipes of prompts that a round of an engine uses, as plain values.

    They are those of :class:`curate.networks.segmenters.prompt_recipes.PromptsInUse`; None where
    none were searched, and for any other audit.

    Args:
        audit: An audit, of a round or any other.
    """
    if find_project(audit) is None:
        return None
    found = _read_record(audit).get("prompts")
    in_use = found.get("in_use") if isinstance(found, dict) else None
    return in_use if isinstance(in_use, dict) else None


def find_round_kind(audit: Path) -> str | None:
    """Return the kind of the draw that people are asked for where they search no images.

    In a round of the automatic stage that is "estimate" as long as its random sample is to be
    reviewed, then "errors"; so it is for proposals that are asked about on validation images. None
    for any other audit.

    Args:
        audit: An audit, of a round or any other.
    """
    if find_project(audit) is None:
        return None
    if audit.resolve().parent.parent.name == MISSED:
        return "errors"
    record = _read_record(audit)
    steps = record.get("steps")
    if record.get("stage") != 3 or not isinstance(steps, dict):
        return None
    return "errors" if "certify" in steps else "estimate"


def _read_record(audit: Path) -> dict[str, object]:
    """Return the record of the round that an audit is of, without checks."""
    return _read_round(audit.resolve().parent)


def _read_round(folder: Path) -> dict[str, object]:
    """Return the record of a round; empty where there is none that can be read."""
    try:
        record = orjson.loads((folder / ROUND).read_bytes())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def refuse_closed_round(audit: Path) -> None:
    """Check that an audit is not that of a round of an engine whose masks were taken already, or
    that was replaced.

    Raises:
        AuditError: It is: what people decide there now would change nothing.
    """
    folder = audit.resolve().parent
    if find_project(audit) is None:
        return
    named = "validation" if folder.name == VALIDATION else f"round {folder.name}"
    if folder.parent.name == MISSED:
        named = f"second look at the validation images for {named}"
    if (replacement := find_replacement(folder)) is not None:
        what = f"the {named} of the engine was replaced by round {replacement}"
        raise AuditError(what, str(audit), "decide in the round that is open now")
    if (folder / MASKS).is_file():
        what = f"the {named} of the engine is closed: its masks were taken already"
        raise AuditError(what, str(audit), "decide in the round that is open now")
