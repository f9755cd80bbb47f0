"""The one contract of every format, on a small dataset of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from small_datasets import KINDS, build

from curate.formats import all_formats
from curate.formats.format import Format
from curate.testing import FormatContract
from curate.testing.format_contract import content


class TestFormats(FormatContract):
    @pytest.fixture(params=KINDS)
    def kind(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def tested(self, kind: str) -> Format:
        return next(one for one in all_formats() if one.name == KINDS[kind].format)

    @pytest.fixture
    def source(self, kind: str, tmp_path: Path) -> Iterator[Path]:
        path = build(kind, tmp_path / "source")
        before = content(tmp_path / "source")
        yield path
        assert content(tmp_path / "source") == before
