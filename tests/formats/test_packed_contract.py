"""The contract of formats, over every small dataset in zips, tars and gzip files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import packed_datasets
import pytest
import small_datasets
from random_cases import some_of

from curate.common.cache_folder import cache_folder
from curate.dataset.table import MaskTable
from curate.formats.format import Format
from curate.formats.reading import detect, read
from curate.testing import FormatContract
from curate.testing.format_contract import content


class TestPacked(FormatContract):
    @pytest.fixture(params=some_of(packed_datasets.CASES, 15), ids="-in-".join)
    def case(self, request: pytest.FixtureRequest) -> tuple[str, str]:
        kind, way = request.param
        return kind, way

    @pytest.fixture
    def source(self, case: tuple[str, str], tmp_path: Path) -> Iterator[Path]:
        path = packed_datasets.build(*case, tmp_path / "source")
        before = content(tmp_path / "source")
        yield path
        assert content(tmp_path / "source") == before

    @pytest.fixture
    def tested(self, source: Path) -> Format:
        return detect(source)

    def test_it_is_read_as_it_is_unpacked(
        self, case: tuple[str, str], table: MaskTable, tmp_path: Path
    ) -> None:
        kind, _ = case
        plain = read(small_datasets.build(kind, tmp_path / "plain"))
        names = ["category", "file_name", "segmentation", "status", "status_detail"]
        columns = [name for name in names if name in plain.masks.columns]
        for ours, theirs in ((table.masks, plain.masks), (table.images, plain.images)):
            some = [name for name in columns if name in ours.columns]
            assert ours[some].to_dict("list") == theirs[some].to_dict("list")
        assert str(cache_folder()) not in table.masks.to_csv() + table.images.to_csv()
