"""The table of what curate does with each format that Datumaro imports, from ``datumaro.toml``."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from markdown_of_code import table

HERE = Path(__file__).parent

DONE = {"refused": "refused, with what to do", "none": "no masks"}

HEAD = """## Datumaro's formats

Each format that datumaro 1.13.12 imports, by its name there, and what curate does with it. Tests
hold the table against Datumaro's own list and against a sample of each format that has masks."""


def rows() -> list[dict[str, Any]]:
    """Return the rows: ``names``, ``holds``, ``as`` and ``say``."""
    found: list[dict[str, Any]] = tomllib.loads((HERE / "datumaro.toml").read_text())["row"]
    return found


def datumaro_section() -> str:
    """Return the section of the page on formats."""
    made = [
        [
            ", ".join(f"`{name}`" for name in row["names"]),
            row["holds"],
            DONE.get(row["as"], f"read as `{row['as']}`"),
            row["say"],
        ]
        for row in rows()
    ]
    return f"{HEAD}\n\n{table(['there', 'holds', 'here', 'and'], made)}"
