from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import expit

from napari_clipseg.images.stitch import sigmoid, to_plane

SHAPES = {
    "the same": (16, 16),
    "larger": (50, 70),
    "smaller": (7, 5),
    "one pixel": (1, 1),
    "one row": (1, 90),
    "one column": (90, 1),
    "100:1 strip": (4, 400),
    "larger and smaller": (5, 60),
}
sides = st.integers(1, 60)
maps = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 3), st.integers(1, 20), st.integers(1, 20)),
    elements=st.floats(-100, 100, width=32),
)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_maps_get_the_shape_of_the_plane(shape):
    given_maps = np.random.default_rng(0).normal(size=(3, 16, 16)).astype(np.float32)
    before = given_maps.copy()
    resized = to_plane(given_maps, shape)
    assert resized.shape == (3, *shape)
    assert resized.dtype == np.float32
    np.testing.assert_array_equal(given_maps, before)


def triangle(n_from, n_to):
    """Weights of the old pixels in each new one: a triangle about its centre, one old pixel wide
    to either side, or one new one where those are larger."""
    step = n_from / n_to
    centres = (np.arange(n_to)[:, None] + 0.5) * step
    distance = np.abs(np.arange(n_from) + 0.5 - centres)
    weights = np.maximum(0, 1 - distance / max(step, 1))
    return weights / weights.sum(axis=1, keepdims=True)


@given(maps, sides, sides)
def test_resizing_is_bilinear_and_keeps_pixel_centres(given_maps, height, width):
    rows, columns = given_maps.shape[1:]
    wanted = triangle(rows, height) @ given_maps.astype(float) @ triangle(columns, width).T
    np.testing.assert_allclose(to_plane(given_maps, (height, width)), wanted, atol=1e-3)


def test_the_same_shape_changes_nothing():
    given_maps = np.random.default_rng(0).normal(size=(2, 9, 13)).astype(np.float32)
    np.testing.assert_array_equal(to_plane(given_maps, (9, 13)), given_maps)


@given(st.integers(4, 11), st.integers(4, 11), st.integers(17, 200), st.integers(17, 200))
def test_a_spot_stays_where_it_is(row, column, height, width):
    spot = np.zeros((1, 16, 16), np.float32)
    spot[0, row, column] = 1
    resized = to_plane(spot, (height, width))[0].astype(float)
    centre = [
        (np.arange(n) * resized.sum(axis=1 - axis)).sum() / resized.sum()
        for axis, n in enumerate(resized.shape)
    ]
    wanted = (row + 0.5) * height / 16 - 0.5, (column + 0.5) * width / 16 - 0.5
    assert centre == pytest.approx(wanted, abs=0.25)


@given(maps, sides, sides)
def test_what_is_mirrored_stays_mirrored(given_maps, height, width):
    resized = to_plane(given_maps, (height, width))
    mirrored = to_plane(np.ascontiguousarray(given_maps[:, ::-1, ::-1]), (height, width))
    np.testing.assert_allclose(mirrored[:, ::-1, ::-1], resized, atol=1e-3)


@given(maps, sides, sides)
def test_nothing_gets_brighter_or_darker_than_it_was(given_maps, height, width):
    resized = to_plane(given_maps, (height, width))
    assert (resized.max(axis=(1, 2)) <= given_maps.max(axis=(1, 2)) + 1e-3).all()
    assert (resized.min(axis=(1, 2)) >= given_maps.min(axis=(1, 2)) - 1e-3).all()


@given(hnp.arrays(np.float32, (4, 5), elements=st.floats(-1e4, 1e4, width=32)))
def test_sigmoid_is_the_logistic_function(logits):
    probability = sigmoid(logits)
    assert probability.dtype == np.float32
    np.testing.assert_allclose(probability, expit(logits.astype(float)), atol=1e-7)


@pytest.mark.parametrize(
    ("logit", "probability"),
    [(0, 0.5), (1e4, 1), (-1e4, 0), (np.inf, 1), (-np.inf, 0), (3e38, 1), (-3e38, 0)],
)
def test_sigmoid_at_its_ends(logit, probability):
    assert sigmoid(np.array([logit], np.float32)) == [probability]
