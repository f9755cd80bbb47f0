"""Overlay of people's decisions on the policy's plan: one small file, joined when read.

The parts hold what the policy, the model or a certificate decides; they are rewritten only when one
of these changes. What people decide stands in a file of its own, a row a decided mask, so that a
decision costs what it changes and not a pass over all masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from curate.dataset.table import STRING
from curate.errors import AuditError
from curate.store.audit_files import part_paths, to_frame
from curate.store.audit_sql import quote_text
from curate.store.parquet_parts import read_columns

PEOPLE = "people.parquet"
"""What people decided of each mask by now, resolved. It is made anew from ``reviews.sqlite`` when
that has changed (see :mod:`curate.people.reviews.current_plan`), so it can be deleted at any time.
A row a mask: ``mask_id``, ``image_id``, what takes the place of the policy's plan
(:data:`OVERRIDDEN`), ``policy_action``, and how the mask changed (``change``, ``segmentation``,
``category``, ...)."""

OVERRIDDEN = ("action", "reasons", "decided_by")
"""Columns of the plan in which a person's decision takes the place of the policy's."""

DECIDED_BY_PEOPLE = ("person", "bulk")
"""Values of ``decided_by`` of a mask that people decided on: one by one, or with all masks that fit
a condition (nobody has looked at it then)."""


def by_people_sql(column: str = "decided_by") -> str:
    """Return SQL of the masks that people decided on."""
    return f"{column} in ({', '.join(map(quote_text, DECIDED_BY_PEOPLE))})"


def create_views(
    connection: Any,
    root: Path,
    people: pa.Table | Path | None,
    masks: str = "masks",
    images: str = "images",
) -> None:
    """Make DuckDB views of an audit's parts, people's decisions in the place of the policy's.

    Args:
        connection: The open DuckDB.
        root: The audit directory.
        people: What people decided, or its file; a view of its own too, called ``people`` (beside
            masks of another name: ``<masks>_people``). None for the policy's plan.
        masks: Name of the view of masks.
        images: Name of the view of images.
    """
    name_of_people = "people" if masks == "masks" else f"{masks}_people"
    if isinstance(people, Path):
        connection.read_parquet(str(people)).create_view(name_of_people)
    elif people is not None:
        # A registered frame is one connection's own; cursors of it see tables only.
        connection.register("pinned", people)
        connection.execute(f"create table {name_of_people} as select * from pinned")
        connection.unregister("pinned")
    for kind, name in (("masks", masks), ("images", images)):
        paths = [str(path) for path in part_paths(root, kind)]
        if not paths:
            continue
        parts = connection.read_parquet(paths, union_by_name=True)
        sql_of = _masks_sql if kind == "masks" else _images_sql
        joined = sql_of(parts.columns, name_of_people, people is not None)
        if joined:
            parts.create_view(f"{name}_parts")
            connection.execute(f"create view {name} as {joined.format(parts=f'{name}_parts')}")
        else:
            parts.create_view(name)


def _masks_sql(names: Sequence[str], people: str, decided: bool) -> str:
    """Return SQL of the masks with today's plan; "" where the parts hold it as they are."""
    lacking = [name for name in OVERRIDDEN if name not in names]
    if not decided:
        # An audit made before plans said who decided: the policy did.
        return "select *, 'policy' as decided_by from {parts}" if lacking == ["decided_by"] else ""
    replaced = [
        f"case when p.mask_id is null then m.{name} else p.{name} end as {name}"
        for name in OVERRIDDEN
        if name in names
    ]
    added = [f", coalesce(p.{name}, 'policy') as {name}" for name in lacking]
    return (
        f"select m.* replace ({', '.join(replaced)}){''.join(added)} "
        f"from {{parts}} m left join {people} p on m.mask_id = p.mask_id"
    )


def _images_sql(names: Sequence[str], people: str, decided: bool) -> str:
    """Return SQL of the images with today's counts of actions; "" where the parts hold them."""
    counted = [action for action in ("review", "reject") if f"{action}_count" in names]
    if not decided or not counted:
        return ""
    moved = ", ".join(
        f"count(*) filter (action = '{a}') - count(*) filter (policy_action = '{a}') as {a}"
        for a in counted
    )
    replaced = ", ".join(f"i.{a}_count + coalesce(p.{a}, 0) as {a}_count" for a in counted)
    return (
        f"select i.* replace ({replaced}) from {{parts}} i left join "
        f"(select image_id, {moved} from {people} group by image_id) p on i.image_id = p.image_id"
    )


def read_people(root: Path) -> pa.Table | None:
    """Read what people decided, a row a mask; None where they decided nothing.

    Raises:
        AuditError: The file is damaged.
    """
    path = root / PEOPLE
    do = "remove it: it is rebuilt from people's decisions"
    try:
        table = read_columns(path).replace_schema_metadata(None)
    except FileNotFoundError:
        return None
    except AuditError as error:
        raise AuditError(error.what, error.where, do) from error
    for name in ("mask_id", "image_id", "policy_action", *OVERRIDDEN):
        if name not in table.column_names:
            raise AuditError(f"there is no column {name}", str(path), do)
    if pc.count_distinct(table["mask_id"]).as_py() < len(table):
        raise AuditError("it is damaged (a mask occurs twice)", str(path), do)
    return table


def with_people(masks: pd.DataFrame, people: pa.Table | None) -> pd.DataFrame:
    """Return masks with today's plan: people's decisions in the place of the policy's.

    Args:
        masks: Index ``mask_id``; those of the columns :data:`OVERRIDDEN` that it has are changed.
        people: What people decided, a row a mask; None for nothing.
    """
    if "action" in masks and "decided_by" not in masks:
        masks = masks.assign(decided_by=pd.Series("policy", masks.index, STRING))
    names = [name for name in OVERRIDDEN if name in masks]
    if people is None or not names:
        return masks
    found = to_frame(people.select(["mask_id", *names])).set_index("mask_id")
    at = masks.index.get_indexer(found.index)
    found = found[at >= 0]
    for name in names:
        values = masks[name].astype(STRING).array.copy()  # a part may hold categoricals
        values[at[at >= 0]] = found[name].to_numpy(object)
        masks[name] = values
    return masks


def count_moves(people: pa.Table | None) -> pd.DataFrame:
    """Return by how much people's decisions move each image's counts; index ``image_id``."""
    if people is None:
        return pd.DataFrame()
    found = to_frame(people.select(["image_id", "action", "policy_action"]))
    moved = {
        f"{action}_count": (found["action"] == action).astype("int64")
        - (found["policy_action"] == action).astype("int64")
        for action in ("review", "reject")
    }
    return pd.DataFrame(moved).groupby(found["image_id"]).sum()
