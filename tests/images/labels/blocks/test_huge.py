"""Objects that are too large to be split as a whole."""

from __future__ import annotations

import numpy as np
import pytest

from in_blocks import by_blocks, in_memory
from napari_clipseg.images.labels.instances import InstanceOptions

ROWS, COLUMNS = np.mgrid[:150, :170]


def discs(radius, step, jitter=1.5, seed=0):
    """Return a map of discs that overlap a little: one connected object."""
    rng = np.random.default_rng(seed)
    far = np.full(ROWS.shape, np.inf)
    for row in range(radius, 150, step):
        for column in range(radius, 170, step):
            down, across = np.array([row, column]) + rng.uniform(-jitter, jitter, 2)
            far = np.minimum(far, np.hypot(ROWS - down, COLUMNS - across))
    return np.clip(1 - far / (2 * radius), 0, 1).astype(np.float32)[None]


@pytest.mark.parametrize("spacing", [(1, 1), (0.5, 0.5)])
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("split", ["distance", "probability"])
def test_parts_smaller_than_the_margin_are_those_in_memory(split, seed, spacing, tmp_path):
    maps = discs(8, 14, seed=seed)
    options = InstanceOptions(split=split, min_distance=5 * spacing[0])
    whole, _ = in_memory(maps, InstanceOptions())
    assert whole.max() == 1
    labels, table = by_blocks(maps, options, tmp_path, spacing=spacing, side=32, most_pixels=96**2)
    wanted, _ = in_memory(maps, options, spacing=spacing)
    assert wanted.max() > 90
    np.testing.assert_array_equal(labels, wanted)
    assert len(table["index"]) == wanted.max()


LARGE = {
    "a disc": np.hypot(ROWS - 75, COLUMNS - 85) < 70,
    "a square": (abs(ROWS - 75) < 60) & (abs(COLUMNS - 85) < 60),
    "a bar": (abs(ROWS - 75) < 11) & (abs(COLUMNS - 85) < 80),
    "a ring": abs(np.hypot(ROWS - 75, COLUMNS - 85) - 55) < 9,
    "everything": ROWS >= 0,
}


@pytest.mark.parametrize("shape", LARGE.values(), ids=LARGE)
def test_an_object_larger_than_the_margin_is_not_cut(shape, tmp_path):
    maps = shape[None].astype(np.float32)
    options = InstanceOptions(split="distance", min_distance=4)
    assert in_memory(maps, options)[0].max() == 1
    labels, _ = by_blocks(maps, options, tmp_path, side=32, most_pixels=40**2)
    np.testing.assert_array_equal(labels, shape)
