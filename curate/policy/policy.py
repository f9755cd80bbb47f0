"""Policies: rules and thresholds as data in a TOML file.

```toml
name = "mine"
extends = "default"            # optional: start from a preset's tables and rules

[accept]
quality_at_least = 0.5         # a mask of lower quality goes to review
probability_at_least = 0.8     # optional: takes its place once quality is P(good), after `learn`

[review]
lowest_share = 0.02            # and so does this share of lowest quality

[odd]                          # optional: label-free quality is low only for signals under these
edge_score = 0.6               # values: rare is not yet wrong; others count at any value

[cost]                         # what a bad mask costs, for the order of review
default = 1.0
category = { person = 3.0 }

[nms]                          # box NMS, which fills nms_by and nms_box_iou
box_iou = 0.7
prefer = "crop"                # or "quality"
boxes = "measured"             # or "declared"

[clean]
small_px = 100                 # islands and holes under this area are small

[[rule]]
when = "duplicate_iou >= 0.95"
action = "reject"              # or "review", or "accept": a note, and no review for quality
reason = "same object as mask {duplicate_of} (IoU {duplicate_iou:.2f})"
twin = "duplicate_of"          # optional: reject only while this mask is kept itself
p_bad = 0.95                   # optional: how likely such a mask is bad
crowd = false                  # optional: whether the rule speaks of crowd masks too
always = false                 # optional: whether it does where it speaks of nearly all masks
```

Rules above the first one that uses an NMS column decide which masks take part in the NMS. Most
severe action wins: reject, then review, then accept. A rule that sends more than 80% of all masks
to review is a finding of the file, not of its masks (:mod:`curate.policy.file_findings`).
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path

from curate.common.json_values import JsonObject
from curate.common.ranges import ACTIONS, Range, check_number
from curate.common.ranges import PRESETS as PRESETS
from curate.errors import CallError
from curate.policy.expression import Expression
from curate.policy.grammar import near
from curate.policy.policy_columns import (
    DERIVED,
    NMS_COLUMNS,
    SMALL_COLUMNS,
    STORED_SMALL_PX,
    known_columns,
)
from curate.policy.rules import P_BAD, Nms, Rule
from curate.policy.settings_file import policy_file
from curate.quality import label_free
from curate.scorers.reason_template import Wording
from curate.store.audit_records import SilentRule

_TABLES: dict[str, tuple[str, ...]] = {
    "accept": ("quality_at_least", "probability_at_least"),
    "review": ("lowest_share",),
    "odd": (),  # the signals of the quality, of whatever packages there are
    "cost": ("default", "category"),
    "nms": ("box_iou", "prefer", "boxes"),
    "clean": ("small_px",),
}
_TEXTS = ("name", "description", "extends")
_RULE_KEYS = ("when", "action", "reason", "p_bad", "twin", "crowd", "always")


@dataclass(frozen=True)
class Policy:
    """Rules and thresholds.

    Attributes:
        name: Its name, for reports.
        rules: In the order of the file.
        quality_at_least: Masks of lower quality go to review; None for no such line.
        probability_at_least: What takes its place once quality is the probability that a mask is
            good; None keeps the line where it is.
        odd: For signals of the label-free quality, the value from which on they are no sign of a
            fault, however rare; those it does not name count at any value.
        lowest_share: Share of masks of lowest quality that goes to review, in [0, 1).
        cost: What a bad mask costs.
        category_cost: The same for some categories.
        nms: Settings of the box NMS; None for none.
        small_px: Islands and holes strictly under this area in pixels are small.
        description: What it is for.
    """

    name: str
    rules: tuple[Rule, ...] = ()
    quality_at_least: float | None = None
    probability_at_least: float | None = None
    odd: Mapping[str, float] = field(default_factory=dict)
    lowest_share: float = 0.0
    cost: float = 1.0
    category_cost: Mapping[str, float] = field(default_factory=dict)
    nms: Nms | None = None
    small_px: int = 100
    description: str = ""

    def as_dict(self) -> dict[str, object]:
        """Return the policy as TOML has it, plus ``marks``; :meth:`from_dict` reads it back."""
        return {
            "name": self.name,
            "description": self.description,
            "accept": {
                name: value
                for name, value in (
                    ("quality_at_least", self.quality_at_least),
                    ("probability_at_least", self.probability_at_least),
                )
                if value is not None
            },
            "review": {"lowest_share": self.lowest_share},
            **({"odd": dict(self.odd)} if self.odd else {}),
            "cost": {"default": self.cost, "category": dict(self.category_cost)},
            **({"nms": vars(self.nms)} if self.nms else {}),
            "clean": {"small_px": self.small_px},
            "rule": [rule.as_dict() for rule in self.rules],
            "marks": self.marks(),
        }

    def to_toml(self) -> str:
        """Return the policy as TOML text, presets spelled out; equal policies give equal text."""
        content = self.as_dict()
        lines = [f"{key} = {_toml(content[key])}" for key in ("name", "description")]
        for name, table in content.items():
            if isinstance(table, dict):
                lines += ["", f"[{name}]"]
                lines += [f"{_toml(key)} = {_toml(value)}" for key, value in table.items()]
        for rule in self.rules:
            settings = (f"{key} = {_toml(value)}" for key, value in rule.as_dict().items())
            lines += ["", "[[rule]]", *settings]
        return "\n".join(lines) + "\n"

    @classmethod
    def from_dict(cls, content: JsonObject, where: str = "policy") -> Policy:
        """Build a policy from what a TOML file holds.

        Raises:
            CallError: A key, a type, a column or a condition is wrong; names the rule.
        """
        return read_policy(content, where)

    @classmethod
    def load(cls, policy: str | Path | JsonObject | Policy = "default") -> Policy:
        """Return :func:`load_policy` of the same."""
        return load_policy(policy)

    @classmethod
    def preset(cls, name: str) -> Policy:
        """Return a policy that comes with curate: "default" or "sa1b".

        Raises:
            CallError: There is no preset of that name.
        """
        return cls.from_dict(preset_content(name), f"preset {name}")

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column of an audit that deciding looks at, so that no other need be read."""
        named = {column for rule in self.rules for column in rule.columns}
        for column in tuple(named):
            named.update(DERIVED.get(column, ()))
            if column in NMS_COLUMNS and self.nms:
                named.update(NMS_COLUMNS[column])
        named |= {"image_id", "category", "iscrowd", "crowd_region", "quality_score"}
        return tuple(sorted(named - set(NMS_COLUMNS) - {"mask_id", "coverage"}))

    @property
    def reads_masks(self) -> bool:
        """Whether deciding must look at the masks: small parts under another limit than stored."""
        named = {column for rule in self.rules for column in rule.columns}
        return self.small_px != STORED_SMALL_PX and bool(named & SMALL_COLUMNS)

    def silent(self, available: Collection[str]) -> list[SilentRule]:
        """Return the rules that cannot speak because an audit lacks columns.

        Returns:
            A record for each.
        """
        have = set(available) | {"mask_id"} | (set(NMS_COLUMNS) if self.nms else set())
        found: list[SilentRule] = []
        for rule in self.rules:
            needs = [
                source
                for column in rule.when.required
                for source in ((column,) if column in have else DERIVED.get(column, (column,)))
            ]
            lacks = [column for column in dict.fromkeys(needs) if column not in have]
            if lacks:
                found.append({"rule": rule.number, "when": rule.when.text, "lacks": lacks})
        return found

    def for_probabilities(self) -> Policy:
        """Return the policy as it is where quality is the probability that a mask is good."""
        if self.probability_at_least is None:
            return self
        return replace(self, quality_at_least=self.probability_at_least)

    def marks(self) -> list[dict[str, object]]:
        """Return the lines that rules draw through single columns, for charts.

        Returns:
            Dicts of ``column``, ``below`` or ``above`` (the value), and ``action``.
        """
        found = [
            {"column": column, side: value, "action": rule.action}
            for rule in self.rules
            if rule.action != "accept"
            for column, side, value in rule.when.thresholds
        ]
        if self.quality_at_least is not None:
            line = {"below": self.quality_at_least, "action": "review"}
            found.append({"column": "quality_score", **line})
        return found


def load_policy(policy: str | Path | JsonObject | Policy = "default") -> Policy:
    """Load a policy.

    Args:
        policy: The name of a preset ("default", "sa1b"), the path of a TOML file, the content of
            one, or a policy already loaded.

    Raises:
        CallError: There is no such preset or file, or something in it is wrong; says what, in which
            rule, and what to do.
    """
    if isinstance(policy, Policy):
        return policy
    if isinstance(policy, Mapping):
        return Policy.from_dict(policy)
    if str(policy) in PRESETS:
        return Policy.preset(str(policy))
    return Policy.from_dict(policy_file(policy), str(policy))


def _toml(value: object) -> str:
    """Return a plain value as TOML; JSON's spelling is TOML's but for tables."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def read_policy(content: JsonObject, where: str) -> Policy:
    """Return the policy of a parsed file; ``where`` names the file in errors."""
    content = {key: value for key, value in content.items() if key not in ("marks", "toml")}
    _check_keys(content, (*_TEXTS, *_TABLES, "rule"), where, "")
    for key in _TEXTS:
        if not isinstance(content.get(key, ""), str):
            raise CallError(f"{key} must be a text", where)
    content, inherited = _extend(content, where)
    tables = {name: _table(content, name, where) for name in _TABLES}
    rules = content.get("rule", [])
    if not isinstance(rules, list) or not all(isinstance(rule, Mapping) for rule in rules):
        raise CallError("rule must be a list of tables", where, "begin each with [[rule]]")
    known = known_columns()
    whole, small = Range(0, 2**31, whole=True), tables["clean"].get("small_px", 100)
    return Policy(
        name=str(content.get("name", "unnamed")),
        description=str(content.get("description", "")),
        rules=tuple(
            _rule(rule, k, _place_of(k, inherited, content, where), known)
            for k, rule in enumerate(rules, 1)
        ),
        quality_at_least=_line(tables["accept"], "quality_at_least", where),
        probability_at_least=_line(tables["accept"], "probability_at_least", where),
        odd={
            name: _number(tables["odd"], name, 1, _span(name), f"{where}, [odd]")
            for name in tables["odd"]
        },
        lowest_share=_number(tables["review"], "lowest_share", 0, (0, 1), f"{where}, [review]"),
        cost=_number(tables["cost"], "default", 1, (0, 1e9), f"{where}, [cost]"),
        category_cost=_costs(tables["cost"].get("category", {}), f"{where}, [cost.category]"),
        nms=_nms(tables["nms"], f"{where}, [nms]") if "nms" in content else None,
        small_px=int(check_number(small, whole, "small_px", f"{where}, [clean]")),
    )


def _check_keys(content: JsonObject, known: Collection[str], where: str, inside: str) -> None:
    for key in content:
        if key not in known:
            place = f"{where}, {inside}" if inside else where
            raise CallError(f"there is no setting {key!r}", place, near(str(key), known))


def _extend(content: JsonObject, where: str) -> tuple[JsonObject, int]:
    """Put a policy's tables over, and its rules behind, those of the preset it extends.

    Returns:
        The content, and how many of its rules are the preset's.
    """
    if not content.get("extends"):
        return content, 0
    try:
        base = preset_content(str(content["extends"]))
    except CallError as error:
        raise CallError(f"it extends an unknown preset, {error.what}", where, error.do) from None
    merged = {**base, **content}
    for name in _TABLES:
        of_base, of_own = base.get(name), content.get(name, {})
        if isinstance(of_base, Mapping) and isinstance(of_own, Mapping):
            merged[name] = {**of_base, **of_own}
    own, inherited = content.get("rule", []), base.get("rule", [])
    assert isinstance(inherited, list), "presets are curate's own"
    merged["rule"] = [*inherited, *own] if isinstance(own, list) else own
    return merged, len(inherited)


def _place_of(number: int, inherited: int, content: JsonObject, where: str) -> str:
    """Name a rule's place, numbered as in the file that holds it."""
    if number <= inherited:
        return f"preset {content['extends']}, rule {number}"
    return f"{where}, rule {number - inherited}"


def _table(content: JsonObject, name: str, where: str) -> JsonObject:
    table = content.get(name, {})
    if not isinstance(table, Mapping):
        raise CallError(f"{name} must be a table", where, f"write [{name}] above its settings")
    keys = tuple(label_free.signals()) if name == "odd" else _TABLES[name]
    _check_keys(table, keys, where, f"[{name}]")
    return table


def _span(signal: str) -> tuple[float, float]:
    """Return the lowest and the highest value that a signal can be held against."""
    column = label_free.signals()[signal]
    return min(column.best, column.worst), max(column.best, column.worst)


def _number(
    table: JsonObject, key: str, default: float, limits: tuple[float, float], where: str
) -> float:
    return check_number(table.get(key, default), Range(*limits), key, where)


def _line(table: JsonObject, key: str, where: str) -> float | None:
    """Return a line between accepting and reviewing; None where the policy draws none."""
    if table.get(key) is None:
        return None
    return _number(table, key, 0, (0, 1), f"{where}, [accept]")


def _costs(table: object, where: str) -> dict[str, float]:
    if not isinstance(table, Mapping):
        raise CallError("it must be a table of numbers", where)
    return {str(key): _number(table, key, 1, (0, 1e9), where) for key in table}


def _word(table: JsonObject, key: str, words: tuple[str, ...], where: str) -> str:
    value = table.get(key, words[0])
    if value not in words:
        raise CallError(f"{key} is {value!r}", where, "choose from " + ", ".join(words))
    return str(value)


def _nms(table: JsonObject, where: str) -> Nms:
    return Nms(
        _number(table, "box_iou", 0.7, (0, 1), where),
        _word(table, "prefer", ("crop", "quality"), where),
        _word(table, "boxes", ("measured", "declared"), where),
    )


def _rule(rule: JsonObject, number: int, where: str, known: Collection[str]) -> Rule:
    _check_keys(rule, _RULE_KEYS, where, "")
    when_text, _, reason_text = (_text(rule, key, where) for key in ("when", "action", "reason"))
    crowd, always = (_flag(rule, key, where) for key in ("crowd", "always"))
    when = Expression.parse(when_text, where)
    when.check(known)
    reason = Wording.parse(reason_text, where)
    twin = rule.get("twin", "")
    for column in (*reason.columns, *([twin] if twin else [])):
        if str(column) not in known and column not in when.columns:
            raise CallError(f"there is no column {column}", where, near(str(column), known))
    action = _word(rule, "action", ACTIONS, where)
    p_bad = _number(rule, "p_bad", P_BAD[action], (0, 1), where)
    return Rule(number, when, action, reason, p_bad, str(twin), crowd, always)


def _text(rule: JsonObject, key: str, where: str) -> str:
    text = rule.get(key)
    if not isinstance(text, str) or not text.strip():
        raise CallError(f"it needs a text {key!r}", where, f'write {key} = "..."')
    return text


def _flag(rule: JsonObject, key: str, where: str) -> bool:
    flag = rule.get(key, False)
    if not isinstance(flag, bool):
        raise CallError(f"{key} must be true or false", where)
    return flag


def preset_content(name: str) -> JsonObject:
    """Return the content of a preset's TOML file.

    Raises:
        CallError: There is no such preset.
    """
    if name not in PRESETS:
        raise CallError(f"there is no preset {name!r}", "policy", near(name, PRESETS))
    text = files("curate.policy").joinpath("presets", f"{name}.toml").read_text("utf-8")
    return tomllib.loads(text)
