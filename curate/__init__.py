"""curate: a data engine for instance masks.

Audit a mask dataset, rank what is doubtful for review, accept what is good, prune what is bad, and
show why. The verbs are those of the command line. Every name below is loaded on first use, so that
``import curate`` costs nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing's own would be loaded first, and Ctrl-C meanwhile be a traceback

if TYPE_CHECKING:
    from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Audit": "curate.notebook.audit_value",
    "CurateError": "curate.errors",
    "Engine": "curate.engine.engine_value",
    "MaskTable": "curate.dataset.table",
    "Policy": "curate.policy.policy",
    "accept": "curate.api.bulk_decisions",
    "agreement": "curate.api.agreements",
    "audit": "curate.api.auditing",
    "certify": "curate.api.certifying",
    "compare": "curate.reporting.audit_comparison",
    "decide": "curate.api.auditing",
    "demo": "curate.api.demonstrating",
    "diff": "curate.api.comparing",
    "estimate": "curate.api.certifying",
    "explain": "curate.reporting.explain",
    "fix": "curate.api.bulk_decisions",
    "generate": "curate.networks.generation.generating",
    "import_decisions": "curate.api.importing",
    "judge": "curate.api.external_judges",
    "learn": "curate.api.learning",
    "new_engine": "curate.engine.opening",
    "open_audit": "curate.notebook.audit_value",
    "open_engine": "curate.engine.opening",
    "prune": "curate.writing.pruning",
    "queue": "curate.people.queues.population",
    "read": "curate.formats.reading",
    "reject": "curate.api.bulk_decisions",
    "report": "curate.reporting.report_file",
    "restore": "curate.writing.restoring",
    "review": "curate.people.webapp.review",
    "score": "curate.scorers",
    "status": "curate.reporting.status",
    "take_back": "curate.api.importing",
    "train_detector": "curate.networks.detectors.train_on_audit",
    "train_segmenter": "curate.networks.segmenter_training.train_on_datasets",
    "train_verifier": "curate.networks.verifier_training.train_on_dataset",
    "undo": "curate.api.bulk_decisions",
    "version": "curate.api.comparing",
    "write": "curate.writing.writer",
    "write_queue": "curate.api.queues",
}
"""Where each public name is; the verbs load what they need, and no verb what another needs."""

_MODULES = ("rle", "testing")
"""Public modules, loaded on first use as well."""

__all__ = [
    "Audit",
    "CurateError",
    "Engine",
    "MaskTable",
    "Policy",
    "accept",
    "agreement",
    "audit",
    "certify",
    "compare",
    "decide",
    "demo",
    "diff",
    "estimate",
    "explain",
    "fix",
    "generate",
    "import_decisions",
    "judge",
    "learn",
    "new_engine",
    "open_audit",
    "open_engine",
    "prune",
    "queue",
    "read",
    "reject",
    "report",
    "restore",
    "review",
    "score",
    "status",
    "take_back",
    "train_detector",
    "train_segmenter",
    "train_verifier",
    "undo",
    "version",
    "write",
    "write_queue",
]

if TYPE_CHECKING:
    from curate import rle as rle
    from curate import testing as testing
    from curate.api.agreements import agreement as agreement
    from curate.api.auditing import audit as audit
    from curate.api.auditing import decide as decide
    from curate.api.bulk_decisions import accept as accept
    from curate.api.bulk_decisions import fix as fix
    from curate.api.bulk_decisions import reject as reject
    from curate.api.bulk_decisions import undo as undo
    from curate.api.certifying import certify as certify
    from curate.api.certifying import estimate as estimate
    from curate.api.comparing import diff as diff
    from curate.api.comparing import version as version
    from curate.api.demonstrating import demo as demo
    from curate.api.external_judges import judge as judge
    from curate.api.importing import import_decisions as import_decisions
    from curate.api.importing import take_back as take_back
    from curate.api.learning import learn as learn
    from curate.api.queues import write_queue as write_queue
    from curate.dataset.table import MaskTable as MaskTable
    from curate.engine.engine_value import Engine as Engine
    from curate.engine.opening import new_engine as new_engine
    from curate.engine.opening import open_engine as open_engine
    from curate.errors import CurateError as CurateError
    from curate.formats.reading import read as read
    from curate.networks.detectors.train_on_audit import train_detector as train_detector
    from curate.networks.generation.generating import generate as generate
    from curate.networks.segmenter_training.train_on_datasets import (
        train_segmenter as train_segmenter,
    )
    from curate.networks.verifier_training.train_on_dataset import (
        train_verifier as train_verifier,
    )
    from curate.notebook.audit_value import Audit as Audit
    from curate.notebook.audit_value import open_audit as open_audit
    from curate.people.queues.population import queue as queue
    from curate.people.webapp.review import review as review
    from curate.policy.policy import Policy as Policy
    from curate.reporting.audit_comparison import compare as compare
    from curate.reporting.explain import explain as explain
    from curate.reporting.report_file import report as report
    from curate.reporting.status import status as status
    from curate.scorers import score as score
    from curate.writing.pruning import prune as prune
    from curate.writing.restoring import restore as restore
    from curate.writing.writer import write as write


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _MODULES:
        return import_module(f"curate.{name}")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'curate' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES, *_MODULES])
