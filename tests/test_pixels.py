from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given

from cases import COLOUR, GRAY, IMAGES, colour_images, gray_images, named, some_finite
from napari_clipseg.images.pixels import SAMPLED_PIXELS, contrast_limits, to_picture
from napari_clipseg.images.source import as_plane

COLOUR_RANGE = {"u1": 255, "u2": 65535, "i8": 2**63 - 1, "b1": 1, "f2": 1, "f4": 1, "f8": 1}


def shade(value, low, high):
    """The exact brightness of one value as float64 tells it apart, 0 to 255, slowly."""
    if np.isnan(value):
        return Fraction(0)
    if np.isinf(value):
        return Fraction(255 if value > 0 else 0)
    value, low, high = (Fraction(float(x)) for x in (value, low, high))
    if high <= low:
        return Fraction(255 if value > high else 0)
    return 255 * min(max((value - low) / (high - low), Fraction(0)), Fraction(1))


def assert_shades(picture, values, low, high):
    for got, value in zip(picture.ravel().tolist(), values.ravel(), strict=True):
        # Half a step for rounding, and what float32 cannot tell apart.
        assert abs(got - shade(value, low, high)) <= Fraction(6, 10), (got, value, low, high)


@pytest.mark.parametrize("image", named(IMAGES))
def test_every_image_becomes_8_bit_rgb(image):
    before = image.copy()
    picture = to_picture(as_plane(image))
    assert picture.shape == (*image.shape[:2], 3)
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("image", named(GRAY))
def test_gray_is_stretched_between_the_contrast_limits(image):
    plane = as_plane(image)
    picture = to_picture(plane)
    assert (picture == picture[..., :1]).all()
    assert_shades(picture[..., 0], image, *contrast_limits(plane))


@given(gray_images())
def test_any_gray_is_stretched_between_the_contrast_limits(image):
    assume(some_finite(image))
    plane = as_plane(image)
    low, high = contrast_limits(plane)
    numbers = image[np.isfinite(image)].astype(np.float64)
    assert numbers.min() <= low <= high <= numbers.max()
    assert_shades(to_picture(plane)[..., 0], image, low, high)


@pytest.mark.parametrize("image", named(COLOUR))
def test_colour_keeps_its_range(image):
    high = COLOUR_RANGE[image.dtype.str[1:]]
    assert_shades(to_picture(as_plane(image)), image[..., :3], 0, high)


@given(colour_images())
def test_any_colour_becomes_8_bit_rgb(image):
    assume(some_finite(image))
    before = image.copy()
    picture = to_picture(as_plane(image))
    high = np.iinfo(image.dtype).max if image.dtype.kind in "ui" else 1
    assert_shades(picture, image[..., :3], 0, high)
    np.testing.assert_array_equal(image, before)


def test_8_bit_colour_is_not_touched():
    image = COLOUR["RGB uint8"]
    np.testing.assert_array_equal(to_picture(as_plane(image)), image)


@pytest.mark.parametrize(
    ("limits", "shades"),
    [
        ((0, 10), [0, 128, 255, 255]),
        ((5, 10), [0, 0, 255, 255]),
        ((-10, 10), [128, 191, 255, 255]),
        ((10, 10), [0, 0, 0, 255]),  # all that is above the one value is white
        ((20, 10), [0, 0, 0, 255]),
    ],
    ids=str,
)
def test_given_contrast_limits_win(limits, shades):
    plane = as_plane(np.array([[0, 5, 10, 11]], np.uint8), contrast_limits=limits)
    assert contrast_limits(plane) == limits
    picture = to_picture(plane)[0, :, 0].tolist()
    assert np.abs(np.subtract(picture, shades)).max() <= 1


def test_a_few_hot_and_dead_pixels_do_not_set_the_contrast():
    image = np.linspace(100, 200, 10_000).reshape(100, 100)
    image[0, 0], image[50, 50] = -1e9, 1e9
    low, high = contrast_limits(as_plane(image))
    assert 100 <= low < 101
    assert 199 < high <= 200


def test_the_percentiles_are_of_the_finite_pixels():
    image = np.arange(1001.0).reshape(7, 143)
    image[3, 3:9] = np.nan, np.inf, -np.inf, np.nan, np.inf, -np.inf
    wanted = np.percentile(image[np.isfinite(image)], (0.2, 99.8))
    assert contrast_limits(as_plane(image)) == pytest.approx(tuple(wanted))


@pytest.mark.parametrize(
    ("ground", "values", "shades"),
    [(0, [50, 100], [128, 255]), (100, [50, 0], [128, 0]), (50, [0, 100], [0, 255])],
    ids=["on black", "on white", "on gray"],
)
def test_a_few_pixels_on_a_flat_ground_are_seen_as_they_are(ground, values, shades):
    image = np.full((40, 40), ground, np.uint16)
    image[5, 5], image[30, 7] = values
    plane = as_plane(image)
    assert contrast_limits(plane) == (0, 100)
    assert to_picture(plane)[[5, 30], [5, 7], 0].tolist() == shades


def test_of_large_images_a_regular_sample_is_enough():
    image = np.random.default_rng(0).random((2100, 2100), dtype=np.float32)
    assert image.size > 4 * SAMPLED_PIXELS
    image[1::2] = 100  # every second row is passed over
    assert contrast_limits(as_plane(image)) == pytest.approx((0.002, 0.998), abs=5e-4)


def test_numbers_between_the_sampled_pixels_are_found():
    image = np.full((2400, 2400), np.nan, np.float32)
    image[1, 1], image[1, 3] = 3, 5
    assert contrast_limits(as_plane(image)) == pytest.approx((3.004, 4.996))
