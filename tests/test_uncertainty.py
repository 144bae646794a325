from __future__ import annotations

import numpy as np
import pytest

from napari_clipseg.images.tiling.plan import Detail
from napari_clipseg.uncertainty import shift_disagreement


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 255, (230, 300), dtype=np.uint8)


def test_each_prompt_has_a_map_from_0_to_1(image, engine):
    doubt = shift_disagreement(image, ["nuclei", "dog"], model=engine, shifts=(0, 0.5))
    assert doubt.shape == (2, *image.shape)
    assert 0 <= doubt.min() < doubt.max() <= 1


def test_tiles_that_do_not_move_do_not_disagree(image, engine):
    assert shift_disagreement(image, "nuclei", model=engine, shifts=(0, 0)).max() < 1e-6


def test_a_tile_as_large_as_the_image_cannot_move(image, engine):
    assert shift_disagreement(image, "nuclei", detail=400.0, model=engine).max() < 1e-6


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"detail": "whole"}, "no tiles to shift"),
        ({"detail": Detail()}, "no tiles to shift"),
        ({"shifts": (0.5,)}, "Got 1 shifts"),
        ({"shifts": (0, 2)}, "shift of tiles is 2"),
    ],
    ids=str,
)
def test_bad_choices_are_refused(options, says, image, engine):
    with pytest.raises(ValueError, match=says):
        shift_disagreement(image, "nuclei", model=engine, **options)
