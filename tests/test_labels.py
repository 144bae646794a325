from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_clipseg.images.labels import check_threshold, semantic_labels

# A coarse grid of values, so that ties and hits of the threshold are drawn often.
values = st.sampled_from([0, 0.25, 0.3, 0.5, 0.75, 1, np.nan]) | st.floats(0, 1, width=32)
stacks = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6)),
    elements=values.map(np.float32),
)
thresholds = st.sampled_from([0.0, 0.25, 0.3, 0.5, 1.0]) | st.floats(0, 1)


def slowly(probability, threshold):
    labels = np.zeros(probability.shape[1:], np.int32)
    for row, column in np.ndindex(labels.shape):
        candidates = [-1.0 if np.isnan(p) else p for p in probability[:, row, column].tolist()]
        best = candidates.index(max(candidates))
        if candidates[best] > float(np.float32(threshold)):
            labels[row, column] = best + 1
    return labels


@given(stacks, thresholds)
def test_labels_are_the_likeliest_prompts_above_the_threshold(probability, threshold):
    before = probability.copy()
    labels = semantic_labels(probability, threshold)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, slowly(probability, threshold))
    np.testing.assert_array_equal(probability, before)


@pytest.mark.parametrize(
    ("pixel", "threshold", "label"),
    [
        pytest.param([0.4], 0.3, 1, id="above"),
        pytest.param([0.3], 0.3, 0, id="at the threshold is not above"),
        pytest.param([0.2], 0.3, 0, id="below"),
        pytest.param([0.6, 0.7], 0.3, 2, id="the likelier"),
        pytest.param([0.6, 0.6], 0.3, 1, id="a tie goes to the first"),
        pytest.param([0.6, 0.7, 0.7], 0.3, 2, id="a tie of later ones, too"),
        pytest.param([0, 0], 0, 0, id="nothing is not above 0"),
        pytest.param([1e-30], 0, 1, id="anything is above 0"),
        pytest.param([1, 1], 1, 0, id="nothing is above 1"),
        pytest.param([np.nan], 0, 0, id="NaN is nothing"),
        pytest.param([np.nan, 0.5], 0.3, 2, id="NaN does not hide others"),
        pytest.param([0.1] * 299 + [0.9], 0.5, 300, id="more prompts than a byte can count"),
    ],
)
def test_one_pixel(pixel, threshold, label):
    stack = np.array(pixel, np.float32)[:, None, None]
    assert semantic_labels(stack, threshold).tolist() == [[label]]


@pytest.mark.parametrize("threshold", [0, 1, 0.3, True, np.float32(0.5)], ids=repr)
def test_good_thresholds(threshold):
    checked = check_threshold(threshold)
    assert type(checked) is float
    assert checked == threshold


@pytest.mark.parametrize("threshold", [-1e-9, 1.0001, 30, np.nan, np.inf, -np.inf], ids=repr)
def test_bad_thresholds_are_refused(threshold):
    with pytest.raises(ValueError, match="wanted a probability from 0 to 1"):
        check_threshold(threshold)
    with pytest.raises(ValueError, match="The threshold is"):
        semantic_labels(np.zeros((1, 2, 2), np.float32), threshold)
