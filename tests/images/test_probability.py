from __future__ import annotations

import numpy as np
import pytest

from napari_clipseg.images.probability import as_unit, check_maps


def test_bytes_stand_for_their_255th():
    unit = as_unit(np.array([0, 51, 255], np.uint8))
    assert unit.dtype == np.float32
    assert unit.tolist() == [0, np.float32(0.2), 1]


def test_float32_is_not_copied():
    maps = np.ones((1, 2, 2), np.float32)
    assert as_unit(maps) is maps


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_floats_become_float32(dtype):
    unit = as_unit(np.array([0.25, np.nan], dtype))
    assert unit.dtype == np.float32
    np.testing.assert_array_equal(unit, [0.25, np.nan])


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64, np.uint8])
def test_maps_with_planes_pass(dtype):
    check_maps(np.zeros((1, 2, 3, 4, 5), dtype))


@pytest.mark.parametrize(
    ("maps", "error", "message"),
    [
        pytest.param(np.zeros((1, 2, 2), int), TypeError, "type int64; wanted floats", id="int"),
        pytest.param(np.zeros((1, 2, 2), bool), TypeError, "type bool", id="bool"),
        pytest.param(np.zeros((2, 2)), ValueError, r"shape \(2, 2\); wanted \(pr", id="one map"),
        pytest.param(np.zeros((0, 2, 2)), ValueError, r"shape \(0, 2, 2\)", id="no map"),
    ],
)
def test_what_is_no_map_is_refused(maps, error, message):
    with pytest.raises(error, match=message):
        check_maps(maps)
