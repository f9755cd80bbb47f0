"""Validation of TOML content into the fields of a policy."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from importlib.resources import files
from typing import Any

from curate.common.option_values import ACTIONS
from curate.common.option_values import PRESETS as PRESETS
from curate.common.ranges import Range, check_number
from curate.errors import CallError
from curate.policy.expression import Expression
from curate.policy.grammar import near
from curate.policy.policy_columns import known_columns
from curate.policy.rules import P_BAD, Nms, Rule
from curate.quality import label_free
from curate.scorers.reason_template import Wording

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


def read_policy(content: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the fields of a policy; ``where`` names the file in errors."""
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
    return {
        "name": content.get("name", "unnamed"),
        "description": content.get("description", ""),
        "rules": tuple(
            _rule(rule, k, _place_of(k, inherited, content, where), known)
            for k, rule in enumerate(rules, 1)
        ),
        "quality_at_least": _line(tables["accept"], "quality_at_least", where),
        "probability_at_least": _line(tables["accept"], "probability_at_least", where),
        "odd": {
            name: _number(tables["odd"], name, 1, _span(name), f"{where}, [odd]")
            for name in tables["odd"]
        },
        "lowest_share": _number(tables["review"], "lowest_share", 0, (0, 1), f"{where}, [review]"),
        "cost": _number(tables["cost"], "default", 1, (0, 1e9), f"{where}, [cost]"),
        "category_cost": _costs(tables["cost"].get("category", {}), f"{where}, [cost.category]"),
        "nms": _nms(tables["nms"], f"{where}, [nms]") if "nms" in content else None,
        "small_px": int(check_number(small, whole, "small_px", f"{where}, [clean]")),
    }


def _check_keys(
    content: Mapping[str, Any], known: Collection[str], where: str, inside: str
) -> None:
    for key in content:
        if key not in known:
            place = f"{where}, {inside}" if inside else where
            raise CallError(f"there is no setting {key!r}", place, near(str(key), known))


def _extend(content: dict[str, Any], where: str) -> tuple[dict[str, Any], int]:
    """Put a policy's tables over, and its rules behind, those of the preset it extends.

    Returns:
        The content, and how many of its rules are the preset's.
    """
    if not content.get("extends"):
        return content, 0
    try:
        base = preset_content(content["extends"])
    except CallError as error:
        raise CallError(f"it extends an unknown preset, {error.what}", where, error.do) from None
    merged = {**base, **content}
    for name in _TABLES:
        if name in base and isinstance(content.get(name, {}), Mapping):
            merged[name] = {**base[name], **content.get(name, {})}
    own, inherited = content.get("rule", []), base.get("rule", [])
    merged["rule"] = [*inherited, *own] if isinstance(own, list) else own
    return merged, len(inherited)


def _place_of(number: int, inherited: int, content: Mapping[str, Any], where: str) -> str:
    """Name a rule's place, numbered as in the file that holds it."""
    if number <= inherited:
        return f"preset {content['extends']}, rule {number}"
    return f"{where}, rule {number - inherited}"


def _table(content: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
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
    table: Mapping[str, Any], key: str, default: float, limits: tuple[float, float], where: str
) -> float:
    return check_number(table.get(key, default), Range(*limits), key, where)


def _line(table: Mapping[str, Any], key: str, where: str) -> float | None:
    """Return a line between accepting and reviewing; None where the policy draws none."""
    if table.get(key) is None:
        return None
    return _number(table, key, 0, (0, 1), f"{where}, [accept]")


def _costs(table: Any, where: str) -> dict[str, float]:
    if not isinstance(table, Mapping):
        raise CallError("it must be a table of numbers", where)
    return {str(key): _number(table, key, 1, (0, 1e9), where) for key in table}


def _word(table: Mapping[str, Any], key: str, words: tuple[str, ...], where: str) -> str:
    value = table.get(key, words[0])
    if value not in words:
        raise CallError(f"{key} is {value!r}", where, "choose from " + ", ".join(words))
    return str(value)


def _nms(table: Mapping[str, Any], where: str) -> Nms:
    return Nms(
        _number(table, "box_iou", 0.7, (0, 1), where),
        _word(table, "prefer", ("crop", "quality"), where),
        _word(table, "boxes", ("measured", "declared"), where),
    )


def _rule(rule: Mapping[str, Any], number: int, where: str, known: Collection[str]) -> Rule:
    _check_keys(rule, _RULE_KEYS, where, "")
    for key in ("when", "action", "reason"):
        if not isinstance(rule.get(key), str) or not rule[key].strip():
            raise CallError(f"it needs a text {key!r}", where, f'write {key} = "..."')
    for key in ("crowd", "always"):
        if not isinstance(rule.get(key, False), bool):
            raise CallError(f"{key} must be true or false", where)
    when = Expression.parse(rule["when"], where)
    when.check(known)
    reason = Wording.parse(rule["reason"], where)
    twin = rule.get("twin", "")
    for column in (*reason.columns, *([twin] if twin else [])):
        if column not in known and column not in when.columns:
            raise CallError(f"there is no column {column}", where, near(str(column), known))
    action = _word(rule, "action", ACTIONS, where)
    p_bad = _number(rule, "p_bad", P_BAD[action], (0, 1), where)
    flags = (rule.get("crowd", False), rule.get("always", False))
    return Rule(number, when, action, reason, p_bad, str(twin), *flags)


def preset_content(name: str) -> dict[str, Any]:
    """Return the content of a preset's TOML file.

    Raises:
        CallError: There is no such preset.
    """
    if name not in PRESETS:
        raise CallError(f"there is no preset {name!r}", "policy", near(name, PRESETS))
    text = files("curate.policy").joinpath("presets", f"{name}.toml").read_text("utf-8")
    return tomllib.loads(text)
