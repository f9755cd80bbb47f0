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
    "Audit": "curate.store",
    "CurateError": "curate.errors",
    "MaskTable": "curate.table",
    "Policy": "curate.curation.policy",
    "audit": "curate.verbs",
    "certify": "curate.verbs",
    "compare": "curate.verbs",
    "decide": "curate.verbs",
    "diff": "curate.verbs",
    "estimate": "curate.verbs",
    "import_decisions": "curate.verbs",
    "learn": "curate.verbs",
    "open_audit": "curate.decisions.current",
    "prune": "curate.verbs",
    "queue": "curate.verbs",
    "read": "curate.formats",
    "score": "curate.scorers",
    "take_back": "curate.verbs",
    "version": "curate.verbs",
    "write": "curate.verbs",
    "write_queue": "curate.verbs",
    "write_report": "curate.report",
}

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
    from curate.curation.policy import Policy as Policy
    from curate.decisions.current import open_audit as open_audit
    from curate.errors import CurateError as CurateError
    from curate.formats import read as read
    from curate.report import write_report as write_report
    from curate.scorers import score as score
    from curate.store import Audit as Audit
    from curate.table import MaskTable as MaskTable
    from curate.verbs import audit as audit
    from curate.verbs import certify as certify
    from curate.verbs import compare as compare
    from curate.verbs import decide as decide
    from curate.verbs import diff as diff
    from curate.verbs import estimate as estimate
    from curate.verbs import import_decisions as import_decisions
    from curate.verbs import learn as learn
    from curate.verbs import prune as prune
    from curate.verbs import queue as queue
    from curate.verbs import version as version
    from curate.verbs import write as write
    from curate.verbs import write_queue as write_queue


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'curate' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
