from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from drawn_decisions import Decided, Source, decide_all_sorts, default_label, hand_in
from small_audit import make_audit
from small_datasets import build
from write_case import Case

import curate
from curate.pipeline.scoring import audit
from curate.policy.policy import load_policy

__all__ = ["make_audit"]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Source]:
    """Return a function that makes a small dataset of one kind, from a seed, and audits it.

    Each is made once.

    The policy keeps every mask, so that all that goes is what people reject.
    """
    made: dict[tuple[str, int], Source] = {}

    def prepare(name: str, seed: int = 0) -> Source:
        if (name, seed) not in made:
            folder = tmp_path_factory.mktemp(name)
            path = build(name, folder / "source", seed)
            audit(path, folder / "audit", policy=load_policy({"name": "all"}))
            made[name, seed] = Source(name, path, folder / "audit", curate.read(path))
        return made[name, seed]

    return prepare


@dataclass(frozen=True)
class Written:
    """A dataset with decisions of every kind, written.

    Attributes:
        source: What it was made of.
        decided: The decisions.
        out: The written dataset.
    """

    source: Source
    decided: Decided
    out: Path


@pytest.fixture(scope="session")
def written(
    prepared: Callable[[str], Source], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Written]:
    """Return a function that writes the small dataset of one kind with decisions, once each."""
    made: dict[str, Written] = {}

    def write(name: str) -> Written:
        if name not in made:
            source = prepared(name)
            folder = tmp_path_factory.mktemp(f"{name}-written")
            out = folder / source.path.name
            decided = decide_all_sorts(source)
            shutil.copytree(source.audit, folder / "audit")
            hand_in(source, folder / "audit", decided)
            curate.write(folder / "audit", out, category=default_label(source.kind))
            made[name] = Written(source, decided, out)
        return made[name]

    return write


@pytest.fixture
def case(prepared: Callable[[str], Source], tmp_path: Path) -> Callable[[str], Case]:
    return lambda name: Case(prepared(name), tmp_path)


@pytest.fixture
def own_case(tmp_path: Path) -> Callable[[str], Case]:
    """Return a function that makes a dataset that a test may change."""

    def make(name: str) -> Case:
        path = build(name, tmp_path / "made")
        audit(path, tmp_path / "first", policy=load_policy({"name": "all"}))
        source = Source(name, path, tmp_path / "first", curate.read(path))
        return Case(source, tmp_path)

    return make
