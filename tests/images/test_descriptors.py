from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_clipseg.images.descriptors import (
    FILTERS,
    REACH,
    REGIONS,
    filter_responses,
    region_numbers,
)

NOISE = np.random.default_rng(0).integers(0, 256, (230, 200, 1), dtype=np.uint8)


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3, 4]))
@settings(max_examples=20)
def test_any_image_gets_so_many_filters(height, width, channels):
    image = np.zeros((height, width, channels), np.uint8)
    found = filter_responses(image)
    assert found.shape == (height, width, FILTERS * channels)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()


def test_a_part_has_the_values_of_the_whole():
    whole = filter_responses(NOISE)
    top, left = 80, 70
    around = NOISE[top - REACH : top + 40 + REACH, : left + 60 + REACH]
    part = filter_responses(around, (slice(REACH, REACH + 40), slice(left, left + 60)))
    np.testing.assert_array_equal(part, whole[top : top + 40, left : left + 60])


def test_less_around_would_not_do():
    whole = filter_responses(NOISE)
    less = REACH - 4
    part = filter_responses(NOISE[80 - less : 120 + less], (slice(less, less + 40), slice(None)))
    assert (part != whole[80:120]).any()


def test_regions_tell_shapes_apart():
    y, x = np.mgrid[:96, :96]
    image = np.full((96, 96, 3), 60, np.uint8)
    disk = np.hypot(y - 25, x - 25) < 15
    ring = (np.hypot(y - 25, x - 70) < 15) & (np.hypot(y - 25, x - 70) > 9)
    bar = (abs(y - 70) < 4) & (abs(x - 48) < 40)
    image[disk | ring | bar] = 220
    found = region_numbers(image)
    assert found.shape == (REGIONS, 96, 96)
    area, solidity, eccentricity, _, euler, roundness = found[:6]
    places = [np.argwhere(mask)[mask.sum() // 2] for mask in (disk, ring, bar)]
    at_disk, at_ring, at_bar = (tuple(place) for place in places)
    assert solidity[at_disk] > solidity[at_ring]
    assert euler[at_disk] == 1
    assert euler[at_ring] == 0
    assert eccentricity[at_bar] > 0.9 > eccentricity[at_disk]
    assert roundness[at_disk] > roundness[at_bar]
    assert area[2, 2] > area[at_disk]
    lightness = found[6]
    assert lightness[at_disk] > lightness[2, 2]


@pytest.mark.parametrize("shape", [(8, 8), (1, 40), (40, 1), (3, 5)])
def test_regions_of_small_images(shape):
    found = region_numbers(np.zeros((*shape, 3), np.uint8))
    assert found.shape == (REGIONS, *shape)
    assert np.isfinite(found).all()
