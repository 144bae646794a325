from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import gaussian_filter

from napari_clipseg.images.edges import refine
from napari_clipseg.images.edges.refine import refine_edges

METHODS = ["guided", "random_walker"]


def scene(size=96):
    """A disc in color on noise, its mask, and a blurred and shifted map of it."""
    rng = np.random.default_rng(0)
    rows, columns = np.ogrid[:size, :size]
    mask = np.hypot(rows - size / 2, columns - size / 2) < size / 4
    image = np.where(mask[..., None], [200, 60, 60], [60, 120, 90]) + rng.normal(
        0, 8, (size, size, 1)
    )
    coarse = gaussian_filter(np.roll(mask, 3, axis=1).astype(np.float32), 5)
    return np.clip(image, 0, 255).astype(np.uint8), mask, coarse[None]


def overlap(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("gray", [False, True])
def test_maps_come_to_the_edges(method, gray):
    image, mask, coarse = scene()
    if gray:
        image = image[..., 0]
    fine = refine_edges(coarse, image, method=method, radius=6)
    assert fine.dtype == np.float32
    before, after = (overlap(p[0] > 0.5, mask) for p in (coarse, fine))
    assert before < 0.9
    assert after > 0.95


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [0, 77, 255, (200, 60, 60)])
def test_on_a_constant_image_maps_stay(method, value):
    maps = np.random.default_rng(0).random((2, 40, 50), np.float32)
    found = refine_edges(maps, np.full((40, 50, 3), value, np.uint8), method=method)
    np.testing.assert_allclose(found, maps, atol=1e-6)


values = st.sampled_from([0, 0.3, 1, np.nan]) | st.floats(0, 1, width=32)


@pytest.mark.parametrize("method", METHODS)
@given(data=st.data())
def test_results_are_probabilities(method, data):
    height, width = data.draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    maps = data.draw(hnp.arrays(np.float32, (2, height, width), elements=values.map(np.float32)))
    colors = data.draw(st.sampled_from([(), (1,), (3,)]))
    image = data.draw(hnp.arrays(np.uint8, (height, width, *colors)))
    before = maps.copy()
    found = refine_edges(maps, image, method=method)
    assert found.shape == maps.shape
    assert np.isfinite(found).all()
    assert found.min() >= 0
    assert found.max() <= 1
    np.testing.assert_array_equal(maps, before)


@pytest.mark.parametrize(("method", "near"), [("guided", 1e-5), ("random_walker", 1e-2)])
def test_strips_do_not_show(monkeypatch, method, near):
    image, _, coarse = scene()
    whole = refine_edges(coarse, image, method=method)
    monkeypatch.setattr(refine, "STRIP_PIXELS", 96 * 20)
    np.testing.assert_allclose(refine_edges(coarse, image, method=method), whole, atol=near)


@pytest.mark.parametrize("radius", [1, 6, 40])
@pytest.mark.parametrize("rows", [1, 20, 64, 150])
def test_strips_of_the_guided_filter_are_bit_equal_to_the_whole(rows, radius, monkeypatch):
    rng = np.random.default_rng(0)
    image = gaussian_filter(rng.random((200, 90, 3)), (3, 3, 0)) * 900 - 300
    image = image.clip(0, 255).astype(np.uint8)
    image[:70] //= 3  # strips differ in brightness
    maps = gaussian_filter(rng.random((2, 200, 90), np.float32), (0, 5, 5)) * 6 - 2.5
    maps = maps.clip(0, 1)
    whole = refine_edges(maps, image, radius=radius)
    monkeypatch.setattr(refine, "STRIP_PIXELS", 90 * rows)
    np.testing.assert_array_equal(refine_edges(maps, image, radius=radius), whole)
    # ... and so is a part of the plane, but for the rows that do not know their surroundings.
    part = refine_edges(maps[:, 100:], image[100:], radius=radius)
    np.testing.assert_array_equal(part[:, 2 * radius :], whole[:, 100 + 2 * radius :])


def test_the_radius_follows_the_size():
    image, _, coarse = scene(size=100)
    wanted = refine_edges(coarse, image, radius=2)  # a 44th of 100 pixels
    np.testing.assert_array_equal(refine_edges(coarse, image), wanted)
    assert (refine_edges(coarse, image, radius=6) != wanted).any()


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.uint8])
def test_maps_of_other_types(dtype):
    image, _, coarse = scene()
    stored = np.rint(coarse * 255).astype(dtype) if dtype == np.uint8 else coarse.astype(dtype)
    np.testing.assert_allclose(
        refine_edges(stored, image), refine_edges(coarse, image), atol=1 / 255
    )


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 6), np.uint8), r"shape \(4, 6\), the maps \(1, 4, 5\)"),
        (np.zeros((4, 5, 4), np.uint8), r"shape \(4, 5, 4\), the maps"),
        (np.zeros((3, 4, 5), np.uint8), r"wanted \(height, width, 3\)"),
    ],
)
def test_images_of_another_shape_are_refused(image, message):
    with pytest.raises(ValueError, match=message):
        refine_edges(np.zeros((1, 4, 5), np.float32), image)


def test_images_are_bytes():
    with pytest.raises(TypeError, match="The image is of type float64; wanted uint8"):
        refine_edges(np.zeros((1, 4, 5), np.float32), np.zeros((4, 5)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "magic"}, "Got method='magic'; wanted one of 'guided', 'random_walker'"),
        ({"radius": 0}, "Got radius=0; wanted a number of pixels from 1"),
        ({"epsilon": 0}, "Got epsilon=0; wanted a positive number"),
        ({"beta": -1}, "Got beta=-1; wanted a positive number"),
        ({"confident": (0.9, 0.1)}, r"Got confident=\(0.9, 0.1\); wanted two rising"),
        ({"confident": (0.1, 1.1)}, r"Got confident=\(0.1, 1.1\)"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        refine_edges(np.zeros((1, 4, 5), np.float32), np.zeros((4, 5), np.uint8), **options)
