from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_clipseg.images import uncertainty
from napari_clipseg.images.uncertainty import disagreement, entropy

stacks = hnp.arrays(
    np.float32,
    st.tuples(st.integers(2, 4), st.integers(1, 4), st.integers(1, 4)),
    elements=st.floats(0, 1, width=32),
)


@pytest.mark.parametrize(
    ("probability", "bits"),
    [(0, 0), (1, 0), (0.5, 1), (0.25, 0.811278), (0.75, 0.811278), (0.11, 0.499916), (np.nan, 0)],
)
def test_entropy_in_bits(probability, bits):
    found = entropy(np.array([probability], np.float32))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [bits], atol=2e-6)


def test_entropy_of_bytes():
    np.testing.assert_allclose(
        entropy(np.array([0, 51, 255], np.uint8)), [0, 0.721928, 0], atol=2e-6
    )


@pytest.mark.parametrize(
    ("said", "bits"),
    [
        pytest.param([0, 1], 1, id="yes and no"),
        pytest.param([0, 0, 1, 1], 1, id="half say yes"),
        pytest.param([0, 0, 0, 1], 0.811278, id="one says yes"),
        pytest.param([0.5, 0.5], 0, id="both unsure"),
        pytest.param([0.9, 0.9, 0.9], 0, id="all the same"),
        pytest.param([0.25, 0.75], 0.188722, id="a little"),
        pytest.param([np.nan, 1], 1, id="NaN counts as no"),
    ],
)
def test_disagreement_in_bits(said, bits):
    maps = np.array(said, np.float32)[:, None, None]
    found = disagreement(maps)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[bits]], atol=2e-6)


@given(stacks, st.randoms())
def test_disagreement_is_bounded_and_fair(maps, random):
    found = disagreement(maps)
    assert found.min() >= 0
    assert found.max() <= 1
    order = random.sample(range(len(maps)), len(maps))
    np.testing.assert_allclose(disagreement(maps[order]), found, atol=1e-6)
    np.testing.assert_allclose(disagreement(1 - maps), found, atol=1e-5)  # of "no" as of "yes"
    np.testing.assert_allclose(disagreement(np.concatenate([maps, maps])), found, atol=1e-5)


def test_planes_and_blocks(monkeypatch):
    maps = np.random.default_rng(0).random((3, 2, 5, 7), np.float32)
    whole = disagreement(maps)
    assert whole.shape == (2, 5, 7)
    monkeypatch.setattr(uncertainty, "BLOCK_PIXELS", 11)
    np.testing.assert_array_equal(disagreement(maps), whole)
    np.testing.assert_array_equal(disagreement(maps[:, 1]), whole[1])


def test_maps_of_bytes():
    maps = np.array([0, 255], np.uint8)[:, None, None]
    assert disagreement(maps).tolist() == [[1]]


def test_one_map_cannot_disagree():
    with pytest.raises(ValueError, match="Got one map; two or more are needed"):
        disagreement(np.zeros((1, 4, 4), np.float32))


def test_what_is_no_map_is_refused():
    with pytest.raises(TypeError, match="type int64; wanted floats"):
        disagreement(np.zeros((2, 4, 4), np.int64))
