"""Weights instead of a subset."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from curate.subsets.weights import weigh

gains = arrays(np.float64, st.integers(1, 60), elements=st.sampled_from([0, 0.01, 0.3, 0.9, 1.25]))


@given(gains, st.floats(0.001, 1))
def test_weights_sum_up_to_what_is_asked(gain: np.ndarray, share: float) -> None:
    total = share * len(gain)
    weights = weigh(gain, total)
    assert ((weights >= 0) & (weights <= 1)).all()
    assert weights.sum() == pytest.approx(min(total, (gain > 0).sum()))
    assert (weights[gain == 0] == 0).all()
    assert (np.diff(weights[np.argsort(gain)]) >= -1e-12).all()


@given(gains)
def test_weights_without_a_number_are_the_gains(gain: np.ndarray) -> None:
    assert (weigh(gain) == np.minimum(gain, 1)).all()
