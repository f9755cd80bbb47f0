"""Templates of pages: the environment that fills them, their style, their security policy."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache

import orjson
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from curate.dataset.notes import encodable, plural
from curate.render import formatting
from curate.reporting.plain_values import PlainValue


def make_environment() -> Environment:
    """Return an environment that escapes all text and knows how numbers and names are shown."""
    environment = Environment(
        loader=PackageLoader("curate.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "shown": formatting.display_text,
        "count": formatting.count,
        "number": formatting.number,
        "axis": formatting.short,
        "score": formatting.score,
        "seconds": formatting.seconds,
        "with_code": formatting.with_code,
        "json_script": _embed,
    }
    environment.globals |= {"share": formatting.share, "plural": plural}
    return environment


@cache
def _plain_environment() -> Environment:
    # Kept for the life of the process: compiling a page's template takes longer than filling it.
    return make_environment()


def render_template(name: str, values: Mapping[str, PlainValue]) -> str:
    """Return a page without a script, in the report's style.

    Args:
        name: The template's.
        values: What it shows; ``plot_style`` is added to the style sheet.
    """
    environment = _plain_environment()
    style = read_asset(environment, "report.css") + str(values["plot_style"])
    header = policy_header(style, "")
    return environment.get_template(name).render(**values, style=style, policy_header=header)


def _embed(value: object) -> Markup:
    """Return a value as JSON that no script element ends in."""
    text = orjson.dumps(encodable(value)).decode()
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704  (nothing in it is markup any more)


def read_asset(environment: Environment, name: str) -> str:
    """Return the text of a style sheet or a script."""
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def policy_header(style: str, script: str) -> str:
    """Return a content security policy that allows this page's own style and script only."""

    def hash_source(text: str) -> str:
        """Return the CSP source expression of an inline text: its SHA-256."""
        digest = hashlib.sha256(text.encode("utf-8")).digest()
        return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"

    return (
        f"default-src 'none'; img-src data:; style-src {hash_source(style)}; "
        f"script-src {hash_source(script)}; base-uri 'none'; form-action 'none'"
    )
