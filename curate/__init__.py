"""curate: a data engine for instance masks.

Audit a mask dataset, rank what is doubtful for review, accept what is good, prune what is bad, and
show why. Every name below is loaded on first use, so that ``import curate`` costs nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing's own would be loaded first, and Ctrl-C meanwhile be a traceback

if TYPE_CHECKING:
    from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Audit": "curate.store.audit",
    "CurateError": "curate.errors",
    "MaskTable": "curate.dataset.table",
    "Policy": "curate.policy.policy",
    "audit": "curate.api",
    "certify": "curate.api",
    "compare": "curate.api",
    "decide": "curate.api",
    "diff": "curate.api",
    "estimate": "curate.api",
    "import_decisions": "curate.api",
    "learn": "curate.api",
    "open_audit": "curate.people.reviews.current_plan",
    "prune": "curate.api",
    "queue": "curate.api",
    "read": "curate.formats",
    "score": "curate.scorers",
    "take_back": "curate.api",
    "version": "curate.api",
    "write": "curate.api",
    "write_queue": "curate.api",
    "write_report": "curate.reporting",
}

_MODULES = ("rle", "testing")
"""Public modules, loaded on first use as well."""

__all__ = [
    "Audit",
    "CurateError",
    "MaskTable",
    "Policy",
    "audit",
    "certify",
    "compare",
    "decide",
    "diff",
    "estimate",
    "import_decisions",
    "learn",
    "open_audit",
    "prune",
    "queue",
    "read",
    "score",
    "take_back",
    "version",
    "write",
    "write_queue",
    "write_report",
]

if TYPE_CHECKING:
    from curate import rle as rle
    from curate import testing as testing
    from curate.api import audit as audit
    from curate.api import certify as certify
    from curate.api import compare as compare
    from curate.api import decide as decide
    from curate.api import diff as diff
    from curate.api import estimate as estimate
    from curate.api import import_decisions as import_decisions
    from curate.api import learn as learn
    from curate.api import prune as prune
    from curate.api import queue as queue
    from curate.api import version as version
    from curate.api import write as write
    from curate.api import write_queue as write_queue
    from curate.dataset.table import MaskTable as MaskTable
    from curate.errors import CurateError as CurateError
    from curate.formats import read as read
    from curate.people.reviews.current_plan import open_audit as open_audit
    from curate.policy.policy import Policy as Policy
    from curate.reporting import write_report as write_report
    from curate.scorers import score as score
    from curate.store.audit import Audit as Audit


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _MODULES:
        return import_module(f"curate.{name}")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'curate' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES, *_MODULES])
