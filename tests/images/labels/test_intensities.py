from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.measure import regionprops_table

from cases import dtypes
from drawing import examples
from napari_clipseg.images.labels.intensities import object_intensities

PROPERTIES = ("intensity_mean", "intensity_min", "intensity_max", "intensity_std")


def both(labels, pixels):
    """Our table, and scikit-image's, which takes all planes as one stack."""
    planes = ((labels[plane], pixels[plane]) for plane in np.ndindex(labels.shape[:-2]))
    ours = object_intensities(planes, np.unique(labels[labels > 0]))
    stack = labels if labels.ndim == 2 else labels.reshape(-1, *labels.shape[-2:])
    theirs = regionprops_table(
        stack, pixels.reshape(*stack.shape, -1).astype(float), properties=PROPERTIES
    )
    if pixels.shape[-1] == 1:
        theirs = {name.removesuffix("-0") + "-0": one for name, one in theirs.items()}
    return ours, theirs


@examples(60)
@given(
    st.sampled_from([(5, 7), (3, 4, 5), (2, 2, 6, 3)]),
    st.integers(1, 3),
    dtypes().filter(lambda dtype: dtype.kind != "b"),
    st.integers(0, 2**31),
)
def test_intensities_are_those_of_scikit_image(shape, channels, dtype, seed):
    draw = np.random.default_rng(seed)
    labels = draw.choice([0, 1, 2, 9], shape)
    labels[(0,) * len(shape)] = 3
    pixels = draw.integers(0, 100, (*shape, channels)).astype(dtype)
    ours, theirs = both(labels, pixels)
    assert set(ours) == set(theirs)
    for name, column in theirs.items():
        np.testing.assert_allclose(ours[name], column, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_no_numbers_count_as_in_scikit_image(value):
    labels = np.array([[1, 1, 2, 2]])
    pixels = np.array([[3.0, value, 1.0, 5.0]])[..., None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of NumPy, for the deviation of infinities
        ours, theirs = both(labels, pixels)
    for name, column in theirs.items():
        np.testing.assert_array_equal(ours[name], column)


def test_a_label_without_a_pixel_has_none():
    ours = object_intensities([(np.array([[2]]), np.array([[[4]]]))], np.array([1, 2, 3]))
    np.testing.assert_array_equal(ours["intensity_mean-0"], [np.nan, 4, np.nan])


def test_planes_without_objects():
    nothing = np.zeros((2, 2), int)
    table = object_intensities([(nothing, np.ones((2, 2, 3)))] * 2, np.array([], int))
    assert len(table) == 3 * 4
    assert all(len(column) == 0 for column in table.values())
