from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def trained_sam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SAM that has learned to draw shapes, saved like a real one."""
    import tiny_sam

    return tiny_sam.trained_sam(tmp_path_factory.mktemp("trained_sam"))
