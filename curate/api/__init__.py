"""Python API: the verbs of the command line as functions."""

from __future__ import annotations

from curate.api.auditing import audit, compare, decide, demo, name_files, report
from curate.api.comparing import diff, version
from curate.api.networks import (
    generate,
    need_for_generation,
    read_settings,
    refuse_with_again,
    reselect,
    train_detector,
)
from curate.api.people import (
    agreement,
    certificate_standing,
    certify,
    estimate,
    import_decisions,
    learn,
    take_back,
)
from curate.api.queues import queue, write_queue
from curate.api.reviewing import review
from curate.api.writing import prune, write

__all__ = [
    "agreement",
    "audit",
    "certificate_standing",
    "certify",
    "compare",
    "decide",
    "demo",
    "diff",
    "estimate",
    "generate",
    "import_decisions",
    "learn",
    "name_files",
    "need_for_generation",
    "prune",
    "queue",
    "read_settings",
    "refuse_with_again",
    "report",
    "reselect",
    "review",
    "take_back",
    "train_detector",
    "version",
    "write",
    "write_queue",
]
