"""Contract suite of scorers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

from curate.common import files
from curate.dataset.table import MASK_COLUMNS, OPTIONAL_MASK_COLUMNS, MaskTable
from curate.scorers.reason_template import Wording
from curate.scorers.scorer import Column, Scorer
from curate.testing.scene import SPOILT, Scene

Defect = Callable[[Scene], None]
"""Spoils the mask :attr:`Scene.spoilt` of a sound scene, or what the table says of it."""


def run_scorer(
    scorer: Scorer, table: MaskTable, inputs: Mapping[str, Any], two_step: bool = True
) -> pd.DataFrame:
    """Run a scorer that need not be registered.

    Args:
        scorer: The scorer.
        table: Masks.
        inputs: What stands beside them, as :meth:`Scene.inputs` gives it.
        two_step: Whether ``fit`` and ``apply`` are done as well, on these masks.

    Returns:
        Its columns; index of the table's masks or images.
    """
    keywords = {need: inputs[need] for need in scorer.needs if need != "deep"}
    found = scorer(table, **keywords)
    if not (two_step and scorer.fit and scorer.apply and scorer.level == "mask"):
        return found
    stored = table.masks[[name for name in table.masks if name not in found]]
    frame = pd.concat([stored, found], axis=1)
    reference = json.loads(json.dumps(scorer.fit(frame)))  # as an audit keeps it
    return pd.concat([found, scorer.apply(frame, reference)], axis=1)


def shuffle(table: MaskTable) -> MaskTable:
    """Return a table with its masks and images in another order."""
    rng = np.random.default_rng(5)
    images = table.images.iloc[rng.permutation(len(table.images))]
    return MaskTable(table.masks.iloc[rng.permutation(len(table))], images)


def list_columns(scorer: Scorer) -> tuple[Column, ...]:
    """Return all columns of a scorer, those of its second step too."""
    return (*scorer.columns, *scorer.applied)


class ScorerContract:
    """Contract of a scorer; subclass it as ``Test...`` and run pytest.

    Attributes:
        scorer: The scorer.
        defects: For each score, and each measure that is evidence: a function that plants a defect
            into a sound :class:`Scene`, which must lower it (a measure: move it to its worst).
    """

    scorer: ClassVar[Scorer]
    defects: ClassVar[Mapping[str, Defect]] = {}

    @pytest.fixture
    def tested(self) -> Scorer:
        """Return the scorer; override it to test several, by a fixture with parameters."""
        return self.scorer

    @pytest.fixture
    def scene(self) -> Scene:
        """Return the sound scene; no test changes it."""
        return Scene.sound()

    @pytest.fixture
    def inputs(self, scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
        """Return pictures, detections, soft masks and the like of the scene."""
        return scene.inputs(tmp_path_factory.mktemp("scene"))

    def test_columns_are_described(self, tested: Scorer) -> None:
        """Each has a title, a score what it means, and a reason shows only what there is."""
        own = {column.name for column in list_columns(tested)}
        known = own | set(MASK_COLUMNS) | set(OPTIONAL_MASK_COLUMNS) | {"lack"}
        for column in list_columns(tested):
            assert column.title, f"{column.name} has no title"
            if column.kind == "score":
                assert column.low_means, f"{column.name} does not say what a low value means"
            if column.evidence:
                assert column.states, f"{column.name} is evidence and does not state what it found"
            for text in (column.states, column.states_at_zero):
                unknown = set(Wording.parse(text, column.name).columns) - known
                assert not unknown, f"the reason of {column.name} shows {sorted(unknown)}"

    def test_index_types_and_range(
        self, tested: Scorer, scene: Scene, inputs: dict[str, object]
    ) -> None:
        """Scores are float64 in [0, 1]; ids are masks of the table."""
        table = scene.table()
        result = run_scorer(tested, table, inputs)
        frame = table.masks if tested.level == "mask" else table.images
        assert result.index.equals(frame.index)
        for column in list_columns(tested):
            values = result[column.name]
            if column.kind == "score":
                assert values.dtype == np.float64, column.name
                assert values.dropna().between(0, 1).all(), column.name
            elif column.kind == "id" and tested.level == "mask":
                assert values.dtype == pd.Int64Dtype(), column.name
                assert values.dropna().isin(frame.index).all(), column.name

    def test_masks_without_pixels_have_no_score(
        self, tested: Scorer, scene: Scene, inputs: dict[str, object]
    ) -> None:
        """An empty mask and one without a segmentation have NaN; the others have scores."""
        if tested.level == "image":
            pytest.skip("a signal of images, not of masks")
        result = run_scorer(tested, scene.table(), inputs)
        for column in list_columns(tested):
            if column.kind in ("score", "measure"):
                assert result[column.name].iloc[-2:].isna().all(), column.name
            if column.kind == "score":
                assert result[column.name].iloc[:-2].notna().all(), column.name

    def test_a_table_without_masks(
        self, tested: Scorer, scene: Scene, inputs: dict[str, object]
    ) -> None:
        """Nothing in, nothing out; images without masks stay images."""
        table = scene.table()
        result = run_scorer(tested, MaskTable(table.masks.iloc[:0], table.images), inputs)
        assert len(result) == (0 if tested.level == "mask" else len(table.images))

    def test_row_order_does_not_matter(
        self, tested: Scorer, scene: Scene, inputs: dict[str, object]
    ) -> None:
        """The numbers are the same, to the last bit, whatever the order of the rows."""
        straight = run_scorer(tested, scene.table(), inputs)
        other = run_scorer(tested, shuffle(scene.table()), inputs)
        pd.testing.assert_frame_equal(other.loc[straight.index], straight, check_exact=True)

    def test_a_part_of_whole_images_gives_the_same(
        self, tested: Scorer, scene: Scene, inputs: dict[str, object]
    ) -> None:
        """A dataset is scored in parts: an image's masks know nothing of other images."""
        table = scene.table()
        whole = run_scorer(tested, table, inputs, two_step=False)
        part = table[table.masks["image_id"].to_numpy() == 2]
        part = MaskTable(part.masks, part.images.loc[[2]])
        result = run_scorer(tested, part, inputs, two_step=False)
        pd.testing.assert_frame_equal(result, whole.loc[result.index], check_exact=True)

    def test_input_untouched_and_deterministic(
        self, tested: Scorer, scene: Scene, inputs: dict[str, object]
    ) -> None:
        """The table is as it was, and the same table gives the same numbers."""
        table = scene.table()
        masks, images = table.masks.copy(deep=True), table.images.copy(deep=True)
        first = run_scorer(tested, table, inputs)
        pd.testing.assert_frame_equal(table.masks, masks, check_exact=True)
        pd.testing.assert_frame_equal(table.images, images, check_exact=True)
        for again in (table, scene.table()):
            result = run_scorer(tested, again, inputs)
            pd.testing.assert_frame_equal(result, first, check_exact=True)

    def test_a_planted_defect_lowers_the_score(self, tested: Scorer, tmp_path: Path) -> None:
        """A score that no defect lowers measures nothing."""
        if tested.level == "image":
            pytest.skip("a signal of images, not of masks")
        for column in list_columns(tested):
            if column.kind != "score" and not column.evidence:
                continue
            defect = self.defects.get(column.name)
            assert defect, f"defects has no {column.name}: say what lowers it"
            found = {}
            for what in ("sound", "spoilt"):
                scene = Scene.sound()
                if what == "spoilt":
                    defect(scene)
                # What stands beside the masks shows how it should be, but for soft masks.
                beside = Scene.sound()
                beside.slope = scene.slope
                folder = tmp_path / f"{column.name}-{what}"
                files.mkdir(folder)
                result = run_scorer(tested, scene.table(), beside.inputs(folder))
                value = np.array(result[column.name].iloc[SPOILT], np.float64)
                found[what] = float(column.as_score(value))
            assert found["spoilt"] < found["sound"] - 0.02, (column.name, found)
            assert found["sound"] > 0.45, (column.name, found)
