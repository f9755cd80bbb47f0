"""Reference pages made from the code's own registries, and from ``texts.toml`` what code lacks."""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import typer.main
from datumaro_table import datumaro_section
from markdown_of_code import (
    docstring,
    module_prose,
    prose,
    signature,
    table,
)

import curate
from curate import rle
from curate.cli import app
from curate.cli.command_groups import GROUPS, flatten_commands
from curate.common.ranges import PRESETS
from curate.dataset.table import (
    IMAGE_COLUMNS,
    IMAGE_STATUSES,
    MASK_COLUMNS,
    OPTIONAL_IMAGE_COLUMNS,
    OPTIONAL_MASK_COLUMNS,
    STATUSES,
)
from curate.formats import all_formats
from curate.notebook.audit_plots import AuditPlots
from curate.notebook.mask_html import MaskGallery, MaskView
from curate.policy import grammar, policy_columns
from curate.reporting import reference
from curate.scorers import all_scorers, columns
from curate.scorers.scorer import Column, Scorer
from curate.writing.exports import export_by_name, export_names

HERE = Path(__file__).parent
KINDS = {"score": "float64 in [0, 1]", "measure": "float64", "id": "Int64", "word": "string"}
MADE = "*This page is made from the code when the site is built.*"


@cache
def texts() -> dict[str, Any]:
    """Return the hand-written texts: by kind, then by name."""
    return {**tomllib.loads((HERE / "texts.toml").read_text()), **reference.texts()}


def page(*parts: str) -> str:
    """Return the parts of a page as one text."""
    return "\n\n".join(part.rstrip("\n") for part in parts if part) + "\n"


def commands_page() -> str:
    """Return every command with its arguments, options and examples, as `--help` has them."""
    group: Any = typer.main.get_command(app)
    parts = ["# Commands", MADE, prose(group.help or ""), texts()["page"]["exit_codes"]]
    parts += [texts()["page"]["completion"]]
    grouped = [name for names in GROUPS.values() for name in names]
    for name, command in sorted(
        flatten_commands(group).items(), key=lambda one: grouped.index(one[0].split()[0])
    ):
        examples = (command.epilog or "").partition("Examples:\n")[2]
        parts += [f"## curate {name}", prose(inspect.cleandoc(command.help or "")), usage(command)]
        parts += [f"```sh\n{inspect.cleandoc(examples)}\n```"] if examples else []
    return page(*parts)


def usage(command: Any) -> str:
    """Return the parameters of a command as a table, in the words of its help."""
    context = command.make_context(command.name, [], resilient_parsing=True)
    shown = [p for p in command.params if not getattr(p, "hidden", False)]
    records = [record for p in shown if (record := p.get_help_record(context))]
    rows = [[f"`{name}`", meaning.replace("<", "\\<")] for name, meaning in records]
    return table(["argument or option", "meaning"], rows)


def python_page() -> str:
    """Return what `curate.__all__` names, with signatures and docstrings."""
    head = (
        "`import curate` gives these names, each loaded on first use; they are what is public, and "
        "so are the modules [`curate.rle`](rle.md), masks as run lengths, and `curate.testing`, "
        "contract suites for [plug-ins](../how-to/plugins.md)."
    )
    parts = ["# Python", MADE, head]
    for name in sorted(curate.__all__, key=lambda n: (not n[0].islower(), n)):
        parts += described(f"curate.{name}", getattr(curate, name))
    for name, thing in (("audit.plot", AuditPlots), ("view", MaskView), ("gallery", MaskGallery)):
        parts += [f"## {AFTER_AUDIT[name]}", docstring(thing), *methods(name, thing)]
    return page(*parts)


AFTER_AUDIT = {
    "audit.plot": "audit.plot",
    "view": "What audit.show returns",
    "gallery": "What audit.gallery returns",
}
"""Headings of what an audit gives, by the name that the value has in its signatures."""


def described(name: str, thing: Any) -> Iterator[str]:
    """Yield the section of a function or a class."""
    yield f"## {name}"
    if not (inspect.isclass(thing) and issubclass(thing, Exception)):
        yield f"```python no-run\n{signature(name, thing)}\n```"
    yield docstring(thing)
    if inspect.isclass(thing):
        yield from methods(name.rpartition(".")[2], thing)


def methods(name: str, thing: type) -> Iterator[str]:
    """Yield signatures and docstrings of a class's methods, own ones first, then inherited ones."""
    seen: set[str] = set()
    for base in thing.__mro__:
        for own, member in vars(base).items() if base.__module__.startswith("curate") else ():
            function = getattr(member, "__func__", member)
            if not own.startswith("_") and own not in seen and inspect.isfunction(function):
                yield f"**`{' '.join(signature(f'{name}.{own}', function).split())}`**"
                yield docstring(function)
            seen.add(own)


def signals_page() -> str:
    """Return a section a signal, in the order in which the columns stand in an audit."""
    parts = ["# Signals", MADE, texts()["page"]["signals"]]
    parts += ["## All signals as one", signal("quality_score")]
    parts += ["## As the source stores them", *map(signal, reference.list_stored())]
    for scorer in all_scorers():
        ours = [column for one, column in reference.list_scored() if one is scorer]
        if not ours:
            continue
        question = scorer.question[:1].upper() + scorer.question[1:]
        parts += [f"## Scorer `{scorer.name}`", f"*{question}* {needs(scorer)}"]
        parts += [definition(scorer)]
        parts += [signal(column.name, column, scorer) for column in ours]
        rows = [
            [f"`{c.name}`", c.title, c.low_means, c.unit]
            for c in reference.list_columns(scorer)
            if c not in ours
        ]
        if rows:
            parts += ["Other columns:", table(["column", "title", "what it is", "unit"], rows)]
    return page(*parts)


def needs(scorer: Scorer) -> str:
    """Return what a scorer cannot run without, and its parameters, as sentences."""
    found = inspect.signature(scorer.function).parameters.values()
    free = ", ".join(f"`{p.name}={p.default!r}`" for p in found if p.default is not p.empty)
    call = f'`curate.score(..., parameters={{"{scorer.name}": ...}})`'
    sentence = reference.needs(scorer)
    return f"{sentence} Parameters of {call}: {free}." if free else sentence


def definition(scorer: Scorer) -> str:
    """Return a scorer's own words, folded away."""
    parts = [docstring(one) for one in (scorer.function, scorer.apply) if one]
    body = "\n\n".join(parts).replace("\n", "\n    ")
    return f'??? note "Definition, as the code has it"\n\n    {body}'.rstrip()


def signal(name: str, column: Column | None = None, scorer: Scorer | None = None) -> str:
    """Return the section of one signal, with the headings that all of them have."""
    text = texts()["signal"][name]
    parts = [f"### {name}", f"*{column.title if column else text['title']}.*"]
    parts += ["**What it measures.** " + " ".join(reference.measures(name, column, scorer))]
    parts += [f"**Why it matters.** {text['why']}"]
    parts += [f"**Known false alarms.** {text['false_alarms']}"]
    parts += ["**Options.** " + " ".join(reference.options(name, scorer))]
    if (HERE / "pictures" / f"{name}.jpg").is_file():
        parts += [f"![A mask of the demo, outlined, with a low {name}](../pictures/{name}.jpg)"]
    return page(*parts)


def reasons_page() -> str:
    """Return a section for what each rule of the presets asks about, then the other reasons."""
    parts = ["# Reasons", MADE, texts()["page"]["reasons"]]
    for subject, rules in reference.rules_by_subject().items():
        text = texts()["reason"][subject]
        rows = [
            [
                preset,
                f"`{rule.when.text}`",
                rule.action,
                reference.readable(rule.reason.text),
                rule.p_bad,
            ]
            for preset, rule in rules
        ]
        parts += [f"## {text['title']}", f"**What it measures.** {text['measures']}"]
        parts += [table(["policy", "when", "action", "reason", "how likely bad"], rows)]
        parts += [f"**Why it matters.** {text['why']}"]
        parts += [f"**Known false alarms.** {text['false_alarms']}"]
        parts += [f"**Options.** {text.get('options', texts()['page']['rule_options'])}"]
    return page(*parts, texts()["page"]["other_reasons"])


def columns_page() -> str:
    """Return every column of an audit's tables."""
    own, plan, image = (texts()[name] for name in ("column", "plan", "image"))
    stored_columns = {**MASK_COLUMNS, **OPTIONAL_MASK_COLUMNS}
    derived = (*policy_columns.DERIVED, *policy_columns.NMS_COLUMNS)
    image_columns = {**IMAGE_COLUMNS, **OPTIONAL_IMAGE_COLUMNS}
    by_hand = {name: text for name, text in image.items() if "type" in text}
    return page(
        "# Columns",
        MADE,
        "## Masks, as the source has them",
        listed(own, {name: typed(value) for name, value in stored_columns.items()}),
        "`status` is `ok`, or the most severe fault of the mask itself, of:",
        words(STATUSES),
        "## Masks, as signals have measured them",
        measured("mask"),
        "## Masks: the plan",
        listed(plan, {name: text["type"] for name, text in plan.items()}),
        "## Masks: worked out when a policy asks for them",
        listed(own, dict.fromkeys(derived, "float64")),
        "## Images",
        listed(image, {name: typed(value) for name, value in image_columns.items()}),
        "`status` of an image is `ok`, or the most severe of:",
        words(IMAGE_STATUSES),
        "## Images, as signals have measured them",
        measured("image"),
        "## Images: counts",
        listed(image, {name: text["type"] for name, text in by_hand.items()}),
    )


def listed(own: dict[str, Any], types: dict[str, str]) -> str:
    """Return a table of columns that have hand-written texts."""
    rows = ([f"`{n}`", t, own[n]["is"], own[n].get("unit", "")] for n, t in types.items())
    return table(["column", "type", "what it is", "unit"], rows)


def measured(level: str) -> str:
    """Return a table of the columns that scorers of a level write."""
    known = {column.name for _, column in reference.list_scored()}
    rows = []
    for c in columns(level).values():
        name = f"[`{c.name}`](signals.md#{c.name})" if c.name in known else f"`{c.name}`"
        what = f"{c.title}: {c.low_means}" if c.low_means and c.kind != "score" else c.title
        rows.append([name, KINDS[c.kind], what, c.unit])
    return table(["column", "type", "what it is", "unit"], rows)


def words(known: Iterable[str]) -> str:
    """Return words of a column as a sentence."""
    return ", ".join(f"`{word}`" for word in known if word != "ok") + "."


def typed(value: Any) -> str:
    """Return a pandas type as people write it."""
    return str(value).replace("large_", "").replace("[pyarrow]", "")


def formats_page() -> str:
    """Return every format, what it is, and what writing renews in it."""
    rows = []
    for one in all_formats():
        text = texts()["format"][one.name]
        takes = " ".join(f"`--{name.replace('_', '-')}`" for name in one.takes)
        what = f"{one.title}: {text['is']}"
        fate = [text[name] for name in ("rejected", "redrawn", "added")]
        rows.append([f"`{one.name}`", what, *fate, takes])
    head = ["`--format`", "what it is", "a rejected mask", "a redrawn mask: what is renewed"]
    text = texts()["page"]["formats"]
    made = table([*head, "an added mask", "options"], rows)
    parts = [
        text["head"],
        made,
        text["tail"],
        "## What any dataset can be written as",
        exports_table(),
        datumaro_section(),
    ]
    return page("# Formats", MADE, *parts)


NOT_HELD = {
    "categories": "categories",
    "crowds": "crowd regions",
    "overlaps": "overlaps: a pixel has one mask",
    "no_masks": "images without masks",
    "no_size": "images of unknown size",
    "scores": "scores",
    "mask_ids": "ids of masks",
    "groups": "groups and tracks",
    "attributes": "attributes",
    "paths": "folders of image names",
}
"""What a format lacks that does not have one of :class:`curate.writing.exports.export.Holds`."""


def exports_table() -> str:
    """Return what `--to` takes, and what each format cannot carry."""
    rows = []
    for one in map(export_by_name, export_names()):
        lacks = [words for name, words in NOT_HELD.items() if not getattr(one.holds, name)]
        made = f"one file, `{one.suffix}`" if one.suffix else "a folder"
        pictures = ", with its pictures" if one.needs_pictures else ""
        rows.append([f"`{one.name}`", one.title, made + pictures, "; ".join(lacks)])
    return table(["`--to`", "what it is", "what is written", "what it cannot carry"], rows)


def rle_page() -> str:
    """Return the public functions of `curate.rle`, a tour, and pycocotools' names beside ours."""
    text = texts()["page"]["rle"]
    found = [(name, getattr(rle, name)) for name in rle.__all__]
    known = [(n, one) for n, one in found if inspect.isfunction(one) or is_dataclass(one)]
    beside = table(
        ["`pycocotools.mask`", "`curate.rle`", "what is different"],
        ([f"`{name}`", *map(prose, row)] for name, row in text["pycocotools"].items()),
    )
    parts = ["# Run lengths: curate.rle", MADE, module_prose(rle.__doc__ or ""), text["tour"]]
    parts += ["## Beside pycocotools", text["beside"], beside]
    for name, one in sorted(known, key=lambda pair: (not pair[0][0].islower(), pair[0])):
        parts += described(f"rle.{name}", one)
    return page(*parts, text["values"])


def policy_page() -> str:
    """Return the policy language: the file, the conditions, and the presets as they stand."""
    module = inspect.getmodule(curate.Policy)
    assert module
    parts = ["# Policy language", MADE, prose(module.__doc__ or "")]
    parts += ["## Conditions", module_prose(grammar.__doc__ or ""), texts()["page"]["policy"]]
    for name in PRESETS:
        (path,) = Path(curate.__file__).parent.rglob(f"presets/{name}.toml")
        parts += [f"## The policy `{name}`", curate.Policy.preset(name).description.strip()]
        parts += [f"```toml\n{path.read_text().strip()}\n```"]
    return page(*parts)


PAGES: dict[str, Callable[[], str]] = {
    "commands": commands_page,
    "python": python_page,
    "signals": signals_page,
    "reasons": reasons_page,
    "columns": columns_page,
    "formats": formats_page,
    "policy": policy_page,
    "rle": rle_page,
}
"""The generated pages of ``reference/`` by name."""
