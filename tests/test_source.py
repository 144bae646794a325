from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given

from cases import COLOUR, GRAY, IMAGES, colour_images, gray_images, named, some_finite
from napari_clipseg.images.source import as_plane, finite

WRONG_SHAPE = "wanted (height, width) for gray or (height, width, 3) for colour"
BAD = {
    "complex": (np.ones((4, 4), complex), TypeError, "complex128"),
    "object": (np.array([[None]]), TypeError, "object"),
    "text": ([["a"]], TypeError, "<U1"),
    "dates": (np.zeros((2, 2), "M8[D]"), TypeError, "datetime64"),
    "nothing": (None, TypeError, "object"),
    "a number": (5, ValueError, WRONG_SHAPE),
    "a line": (np.zeros(5), ValueError, WRONG_SHAPE),
    "a stack of 3 planes": (np.zeros((3, 40, 50)), ValueError, "(3, 40, 50)"),
    "2 channels": (np.zeros((4, 4, 2)), ValueError, "put channels last"),
    "5 channels": (np.zeros((4, 4, 5)), ValueError, WRONG_SHAPE),
    "4 axes": (np.zeros((2, 4, 4, 3)), ValueError, WRONG_SHAPE),
    "no rows": (np.zeros((0, 4)), ValueError, "empty"),
    "no columns": (np.zeros((4, 0, 3)), ValueError, "empty"),
    "all NaN": (np.full((3, 3), np.nan), ValueError, "no finite pixel"),
    "all infinite": (np.full((3, 3), -np.inf), ValueError, "no finite pixel"),
    "RGB, NaN in each pixel": (np.array([[[0, 1, np.nan]]]), ValueError, "no finite pixel"),
}


@pytest.mark.parametrize("image", named(GRAY))
def test_gray_comes_as_it_is(image):
    plane = as_plane(image)
    assert not plane.rgb
    assert plane.shape == image.shape
    assert np.shares_memory(plane.pixels, image)
    assert plane.pixels.dtype == image.dtype


@pytest.mark.parametrize("image", named(COLOUR))
def test_colour_comes_without_transparency(image):
    plane = as_plane(image)
    assert plane.rgb
    assert plane.shape == image.shape[:2]
    np.testing.assert_array_equal(plane.pixels, image[..., :3])


def test_lists_are_images_too():
    assert as_plane([[1, 2, 3]]).shape == (1, 3)


def test_contrast_limits_are_kept():
    assert as_plane(np.ones((2, 2)), contrast_limits=(0, 5)).contrast_limits == (0, 5)


@pytest.mark.parametrize(
    ("shape", "rgb"), [((4, 3), True), ((4, 5, 3), False), ((4, 5, 7), True)], ids=str
)
def test_what_the_caller_says_of_colours_must_fit(shape, rgb):
    with pytest.raises(ValueError, match="The image has shape"):
        as_plane(np.zeros(shape), rgb=rgb)


@pytest.mark.parametrize(("image", "error", "says"), BAD.values(), ids=BAD)
def test_bad_images_are_refused_with_the_cure(image, error, says):
    with pytest.raises(error) as caught:
        as_plane(image)
    assert says in str(caught.value)


@pytest.mark.parametrize("image", named(IMAGES))
def test_finite_finds_the_pixels_that_are_numbers(image):
    where = finite(as_plane(image))
    assert where.shape == image.shape[:2]
    assert where.dtype == bool
    for row, column in np.ndindex(where.shape):
        values = np.atleast_1d(image[row, column])[:3].astype(float)
        assert where[row, column] == all(abs(v) < np.inf for v in values)


@given(gray_images() | colour_images())
def test_any_image_with_a_finite_pixel_is_a_plane(image):
    before = image.copy()
    if some_finite(image):
        assert finite(as_plane(image)).any()
    else:
        with pytest.raises(ValueError, match="no finite pixel"):
            as_plane(image)
    np.testing.assert_array_equal(image, before)


@given(colour_images())
def test_transparency_never_matters(image):
    assume(image.shape[2] == 4)
    assume(some_finite(image))
    opaque = np.ascontiguousarray(image[..., :3])
    np.testing.assert_array_equal(finite(as_plane(image)), finite(as_plane(opaque)))
