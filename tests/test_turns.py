"""Flips and quarter turns: all but the model turns with the image, and the model nearly."""

from __future__ import annotations

import numpy as np
import pytest

from evaluate.turns import TURNS, compare
from napari_clipseg.engine.loading import load
from napari_clipseg.segmentation import segment
from seeing import REACH, Seeing

QUARTERS = ("quarter turn", "three quarters", "transposed")
LEVEL = 1.01 * 2 * REACH / 255 / 4  # what a gray level changes in a probability of `Seeing`
RANDOM = np.random.default_rng(0)
IMAGES = {
    "as large as the model's square": RANDOM.integers(0, 256, (24, 24, 3), dtype=np.uint8),
    "smaller": RANDOM.integers(0, 256, (10, 10, 3), dtype=np.uint8),
    "larger": RANDOM.integers(0, 256, (61, 61, 3), dtype=np.uint8),
    "oblong": RANDOM.integers(0, 256, (20, 43, 3), dtype=np.uint8),
    "gray, of 16 bits": RANDOM.integers(0, 60_000, (31, 40), dtype=np.uint16),
    "floats with a hole": np.where(
        RANDOM.random((30, 33)) < 0.1, np.nan, RANDOM.normal(size=(30, 33))
    ),
}


@pytest.mark.parametrize("patch", [1, 4])
@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
def test_a_map_in_one_tile_turns_with_its_image(image, patch):
    """Rendering, the tile's size, resizing and blending have no direction.

    But for a gray level: Pillow resizes rows first, and rounds before it resizes columns.
    """
    engine = Seeing(24, patch=patch)
    found = segment(image, ["red", "green"], model=engine)
    plain = found.probability.transpose(1, 2, 0)
    assert np.ptp(plain) > 0.1
    for name, (turn, back) in TURNS.items():
        turned = segment(turn(image), ["red", "green"], model=engine)
        maps = turned.probability.transpose(1, 2, 0)
        near = LEVEL if name in QUARTERS else 1e-6
        np.testing.assert_allclose(back(maps), plain, rtol=0, atol=near, err_msg=name)


@pytest.mark.parametrize(("turn", "back"), TURNS.values(), ids=TURNS)
def test_what_is_turned_is_turned_back(turn, back):
    image = IMAGES["oblong"]
    np.testing.assert_array_equal(back(turn(image)), image)
    assert not np.array_equal(turn(image), image)


def test_the_model_s_map_turns_nearly_with_its_image():
    """Less would be a fault in how positions of patches are resized or laid out."""
    found = compare(load("demo", device="cpu"), scenes=2)
    assert list(found) == list(TURNS)
    for name, agreement in found.items():
        assert agreement.overlap > 0.7, name
        assert agreement.change < 0.02, name
