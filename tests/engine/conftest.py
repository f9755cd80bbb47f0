from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hand_clock import HandClock

sys.path.insert(0, str(Path(__file__).parent))

from engine_project import Stand, make_engine, work


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """Of networks this small several threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Stand:
    """An engine whose first round is open for people; tests take copies of it."""
    folder = tmp_path_factory.mktemp("engine")
    clock = HandClock().clock
    engine, truth = make_engine(folder, rounds=2, clock=clock)
    engine.next(device="cpu")
    work(engine.path, truth, clock)
    assert engine.next(device="cpu").round == 1
    return Stand(folder, truth, clock)


@pytest.fixture
def stand(begun: Stand, tmp_path: Path) -> Stand:
    """A copy of that engine, with its pictures."""
    shutil.copytree(begun.folder, tmp_path / "copy")
    return begun.moved(tmp_path / "copy")
