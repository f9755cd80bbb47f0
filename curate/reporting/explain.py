"""Explanations of signals, columns, status words and reasons, in the reference pages' words."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from difflib import get_close_matches

from curate.dataset.table import (
    IMAGE_COLUMNS,
    IMAGE_STATUSES,
    MASK_COLUMNS,
    OPTIONAL_IMAGE_COLUMNS,
    OPTIONAL_MASK_COLUMNS,
    STATUSES,
)
from curate.errors import CallError
from curate.reporting import reference
from curate.reporting.methods import STATUS_WORDS
from curate.scorers import all_scorers
from curate.scorers.reason_template import JOINT, Wording
from curate.scorers.scorer import Column, Scorer

_SHORTEST = 4
"""Letters from which on a part of a reason is searched for."""

_MOST_NEAR = 5

LOW_IS_WORSE = frozenset(
    (
        *("declared_box_iou", "declared_area_ratio", "soft_mask_iou", "ellipse_fill"),
        *("detector_confidence", "detector_iou", "verifier_iou", "category_probability"),
        *("segmenter_predicted_iou", "reprompt_box_iou", "reprompt_point_iou"),
        *("reprompt_points_iou", "reprompt_mask_iou", "rank"),
    )
)
"""Columns that are no scores and of which low values want a look first; 1 is the first rank."""

_MASK_TYPES = {**MASK_COLUMNS, **OPTIONAL_MASK_COLUMNS}
_IMAGE_TYPES = {**IMAGE_COLUMNS, **OPTIONAL_IMAGE_COLUMNS}

_OTHERS: dict[str, tuple[str, str]] = {
    "weakest signal": (
        "The policy sends the masks of lowest quality to review (`lowest_share`), whatever that "
        "quality is; no rule applies to this one. The text names the signal that counts most "
        "against it, with its value.",
        "Masks of lowest quality are where errors are most likely.",
    ),
    "not certified": (
        "A certificate is in force, and the mask's quality is below its line or could not be "
        "computed: the sample that people reviewed does not vouch for it.",
        "Only certified masks are accepted without a look.",
    ),
}
"""Reasons that no rule and no signal states: what they mean, and why they matter."""

_NO_FALSE_ALARMS = "Some masks are the lowest in any dataset, perfect ones included."


@dataclass(frozen=True)
class Explanation:
    """What a signal, column, status word or reason is.

    Attributes:
        name: The name; of a reason the column that it is about.
        kind: "signal", "column", "status" or "reason".
        title: A short title.
        reads: The texts of a reason, columns in them as code.
        measures: What it measures or means, in sentences.
        why: Why it matters; "" for columns that are no signals.
        false_alarms: When it is wrong, as far as known; "" for columns.
        options: What changes it, in sentences.
        look: How to look at such masks.
    """

    name: str
    kind: str
    title: str
    measures: str
    why: str = ""
    false_alarms: str = ""
    options: str = ""
    look: str = ""
    reads: tuple[str, ...] = ()

    def text(self, width: int = 80) -> str:
        """Return the explanation as paragraphs for a terminal of some columns."""
        parts = [f"{self.name}: {_plain(self.title)} ({self.kind})"]
        for heading, body in (
            ("Reads", "; or ".join(f"“{text}”" for text in self.reads)),
            ("What it measures", self.measures),
            ("Why it matters", self.why),
            ("Known false alarms", self.false_alarms),
            ("Options", self.options),
            ("Look at such masks", self.look),
        ):
            if body:
                lines = textwrap.wrap(_plain(body), width - 2, break_on_hyphens=False)
                parts.append("\n".join([heading, *(f"  {line}" for line in lines)]))
        return "\n\n".join(parts)


@dataclass(frozen=True)
class Explanations:
    """All that a word or text stands for.

    Attributes:
        asked: What was asked.
        found: The explanations, the best match first.
    """

    asked: str
    found: tuple[Explanation, ...]

    def text(self, width: int = 80) -> str:
        """Return the explanations for a terminal."""
        return "\n\n\n".join(one.text(width) for one in self.found)

    def as_dict(self) -> dict[str, object]:
        """Return the same as plain values."""
        return {"asked": self.asked, "found": [asdict(one) for one in self.found]}


def explain(what: str) -> Explanations:
    """Explain a signal, a column, a status word, or a reason that a mask was given.

    Args:
        what: A name (``hole_score``, ``duplicate_iou``, ``size_mismatch``), or a reason's text or a
            part of it; several reasons may be joined by ``"; "``, as ``reasons`` has them.

    Raises:
        CallError: Nothing is called so and no reason reads so; names what is near.
    """
    word = re.sub(r"[\s-]+", "_", what.strip().lower())
    named = _named(word)
    if named:
        return Explanations(what, tuple(named))
    found: dict[str, Explanation] = {}
    for part in what.split(JOINT.strip()):
        for one in _reading(part.strip()):
            found.setdefault(f"{one.kind} {one.name}", one)
    if found:
        return Explanations(what, tuple(found.values()))
    near = get_close_matches(word, _all_names(), _MOST_NEAR, 0.5)
    do = f"did you mean {', '.join(near)}?" if near else "docs/reference lists signals and columns"
    raise CallError("no signal, column, status or reason is called so", what, do)


def _all_names() -> list[str]:
    columns = [c.name for scorer in all_scorers() for c in reference.list_columns(scorer)]
    texts = reference.texts()
    others = (*texts["column"], *texts["plan"], *texts["image"], *STATUS_WORDS)
    return list(dict.fromkeys([*reference.signal_names(), *columns, *others]))


def _named(word: str) -> list[Explanation]:
    """Return the explanations of a name: of a signal or column, and of a status."""
    rules = reference.rules_by_subject().get(word, [])
    named = (_signal(word) or _column(word), _status(word), _rules(word, rules) if rules else None)
    return [one for one in named if one]


def _scorer_of(name: str) -> tuple[Scorer, Column] | tuple[None, None]:
    for scorer in all_scorers():
        for column in reference.list_columns(scorer):
            if column.name == name:
                return scorer, column
    return None, None


def _signal(name: str) -> Explanation | None:
    if name not in reference.signal_names():
        return None
    scorer, column = _scorer_of(name)
    text = reference.texts()["signal"].get(name, {})
    return Explanation(
        name,
        "signal",
        column.title if column else text.get("title", name),
        " ".join(reference.measures(name, column, scorer)),
        text.get("why", ""),
        text.get("false_alarms", ""),
        " ".join(reference.options(name, scorer)),
        _look_by_column(name, "images", column.kind)
        if scorer and column and scorer.level == "image"
        else _look_by_column(name, "masks", "score"),
    )


def _column(name: str) -> Explanation | None:
    scorer, column = _scorer_of(name)
    if scorer and column:
        what = reference.defined(name, scorer.function) or _sentence(column.low_means, column.unit)
        found = [what, f"The scorer `{scorer.name}` writes it: {scorer.question}"]
        measures = " ".join([*filter(None, found), reference.needs(scorer)])
        kind = "text" if column.kind == "word" else column.kind
        look = _look_by_column(name, f"{scorer.level}s", kind)
        return Explanation(name, "column", column.title, measures, look=look)
    texts = reference.texts()
    for group, table, types in (
        ("masks", texts["column"], _MASK_TYPES),
        ("masks", texts["plan"], {}),
        ("images", texts["image"], _IMAGE_TYPES),
    ):
        if name in table:
            text = table[name]
            kind = "text" if "string" in str(types.get(name, text.get("type"))) else "measure"
            measures = _sentence(text["is"], text.get("unit", ""))
            title = f"a column of the table `{group}`"
            look = _look_by_column(name, group, kind)
            return Explanation(name, "column", title, measures, look=look)
    return None


def _sentence(clause: str, unit: str) -> str:
    where = f", in {unit}" if unit and clause else ""
    return f"{clause[:1].upper()}{clause[1:]}{where}." if clause else ""


def _status(word: str) -> Explanation | None:
    if word not in STATUS_WORDS:
        return None
    of_mask, of_image = word in STATUSES, word in IMAGE_STATUSES
    text = reference.texts()["reason"]["status"]
    whose = " and of an image" if of_mask and of_image else ""
    title = f"a status of {'a mask' if of_mask else 'an image or its picture'}{whose}"
    means = STATUS_WORDS[word]
    measures = f"{_sentence(means, '')} `status_detail` says it with its numbers."
    table = "masks" if of_mask else "images"
    query = f"select * from {table} where status = '{word}'"
    look = f'In Python, `curate.open_audit("AUDIT").query("{query}")`.'
    why = text.get("why", "") if of_mask else ""
    return Explanation(
        word, "status", title, measures, why, text.get("false_alarms", "") if why else "", look=look
    )


def _look_by_column(name: str, table: str, kind: str) -> str:
    """Say how masks, or images, are found by a column: its worst values, or its commonest texts."""
    key = "mask_id" if table == "masks" else "image_id"
    columns = ", ".join(dict.fromkeys((key, "file_name", name)))
    if name in LOW_IS_WORSE:
        kind = "score"
    rest = {
        "score": f"order by {name} limit 20",
        "measure": f"order by {name} desc limit 20",
        "id": f"where {name} is not null limit 20",
    }.get(kind)
    query = f"select {columns} from {table} {rest}"
    if rest is None:
        query = f"select {name}, count(*) from {table} group by all order by 2 desc"
    filtered = kind == "score" and table == "masks" and name not in LOW_IS_WORSE
    page = "`curate review AUDIT` filters by it; in" if filtered else "In"
    return f'{page} Python, `curate.open_audit("AUDIT").query("{query}")`.'


def _reading(part: str) -> Iterator[Explanation]:
    """Yield what states a reason: rules of the presets, signals, and others."""
    if len(part) < _SHORTEST:
        return
    for subject, rules in reference.rules_by_subject().items():
        said = [one for one in rules if _reads_as(part, one.rule.reason)]
        if said:
            yield _rules(subject, said)
    for scorer, column in reference.list_scored():
        texts = [t for t in (column.states, column.full_statement, column.states_at_zero) if t]
        if any(_reads_as(part, Wording.parse(text)) for text in texts) or (
            part.lower().startswith("weakest signal") and column.title.lower() in part.lower()
        ):
            found = _signal(column.name)
            assert found is not None, f"{scorer.name} gives signals"
            yield found
    for name, (measures, why) in _OTHERS.items():
        if name in part.lower():
            yield Explanation(
                name, "reason", "no rule states it", measures, why, _NO_FALSE_ALARMS, look=_LOOK
            )


_LOOK = "Filter by the reason in `curate review AUDIT`, or on the report's list of reasons."


def _rules(subject: str, said: list[reference.PresetRule]) -> Explanation:
    """Return the explanation of rules that ask about one column first."""
    text = reference.texts()["reason"][subject]
    presets: dict[tuple[str, str], list[str]] = {}
    for one in said:
        presets.setdefault((one.rule.action, one.rule.when.text), []).append(f"`{one.preset}`")
    stated = [
        f"{' and '.join(names)}: {action} where `{when}`."
        for (action, when), names in presets.items()
    ]
    named = dict.fromkeys(reference.readable(one.rule.reason.text) for one in said)
    return Explanation(
        subject,
        "reason",
        text.get("title", subject),
        " ".join([text.get("measures", ""), "By policy,", *stated]),
        text.get("why", ""),
        text.get("false_alarms", ""),
        text.get("options", "Write a policy that `extends` the preset and adds or changes rules."),
        _LOOK,
        tuple(named),
    )


def _reads_as(part: str, reason: Wording) -> bool:
    """Return whether a text is a reason with its numbers in it, or a part of one's words."""
    pieces = [re.escape(one.lower()) if isinstance(one, str) else ".+?" for one in reason.pieces]
    part = part.lower()
    if re.fullmatch("".join(pieces), part):
        return True
    words = [one.lower() for one in reason.pieces if isinstance(one, str)]
    return any(part in one for one in words) or part in reference.readable(reason.text).lower()


def _plain(markdown: str) -> str:
    """Return Markdown with the targets of its links, files of the docs, in brackets."""
    return re.sub(r"\[([^\]]+)\]\((?:\.\./)?([^)]*)\)", r"\1 (docs/\2)", markdown)
