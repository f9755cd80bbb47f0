"""SQL over an audit: quoting, column types, shared queries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import pandas as pd

from curate.dataset.notes import short_version

if TYPE_CHECKING:
    from curate.store.audit import StoredAudit


DATASET_VERSION = "dataset_version"
"""The name under which :func:`dataset_version` travels with everything that goes out to people."""


def quote_name(name: str) -> str:
    """Return a column name as SQL."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """Return a text as SQL."""
    return "'" + text.replace("'", "''") + "'"


def column_types(audit: StoredAudit, view: str = "masks") -> dict[str, str]:
    """Return the columns of a view and their SQL types."""
    described = audit.query(f"describe {view}")
    return dict(zip(described["column_name"], described["column_type"], strict=True))


def is_number(sql_type: str) -> bool:
    """Whether a SQL type holds numbers."""
    return sql_type in ("DOUBLE", "FLOAT") or "INT" in sql_type or sql_type.startswith("DECIMAL")


def dataset_version(audit: StoredAudit) -> str | None:
    """Return the short version id of the audit's dataset; None where the audit has none.

    See :mod:`curate.dataset.version_id`: the id of the content of the source, whatever people
    decided since.
    """
    # Imported here: it compiles kernels, which most commands do without.
    version = audit.info.version
    return short_version(version) if version else None


class Queried(Protocol):
    """Anything with SQL queries."""

    def query(self, sql: str) -> pd.DataFrame:
        """Run SQL over the views ``masks`` and ``images``."""


def has_people(audit: Queried) -> bool:
    """Return whether an audit has the view ``people``: decisions of people."""
    found = audit.query(
        "select count(*) as n from information_schema.tables where table_name = 'people'"
    )
    return bool(found["n"].iloc[0])


def population_sql(types: Mapping[str, str]) -> str:
    """Return SQL of the masks that could ever be accepted: what random samples stand for.

    Args:
        types: The columns of the audit's masks.
    """
    crowd = " and coalesce(crowd_region, 0) <> 1" if "crowd_region" in types else ""
    return f"status = 'ok'{crowd}"
