from __future__ import annotations

from collections.abc import Callable

import pytest
from drawn_decisions import Source
from small_audit import make_audit
from small_datasets import build

import curate
from curate.curation.policy import load_policy
from curate.pipeline import audit

__all__ = ["make_audit"]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Source]:
    """Return a function that makes a small dataset of one kind and audits it, once each.

    The policy keeps every mask, so that all that goes is what people reject.
    """
    made: dict[str, Source] = {}

    def prepare(name: str) -> Source:
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            path = build(name, folder / "source")
            audit(path, folder / "audit", policy=load_policy({"name": "all"}))
            made[name] = Source(name, path, folder / "audit", curate.read(path))
        return made[name]

    return prepare
