from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cases import opened
from drawing import examples
from napari_clipseg.images.rendering import Rendering
from napari_clipseg.images.tiling import tiles as module
from napari_clipseg.images.tiling.plan import Tile
from napari_clipseg.images.tiling.tiles import render_tile
from seeing import Recorded

PLAIN = Rendering(((0, 255),))
NOISE = np.random.default_rng(0).integers(0, 256, (60, 90), dtype=np.uint8)
SMOOTH = 128 + 100 * np.outer(np.sin(np.arange(60) / 6), np.cos(np.arange(90) / 9))
SMOOTH = np.rint(SMOOTH).astype(np.uint8)


def slowly(plane, tile, size):
    """Mirror the plane as far as is needed, cut the tile out, and resize it."""
    far = max(tile.height, tile.width) + max(plane.shape)
    rows, columns = (
        np.pad(np.arange(n), far, mode="symmetric")[far + start : far + start + length]
        for n, start, length in zip(
            plane.shape, (tile.top, tile.left), (tile.height, tile.width), strict=True
        )
    )
    cut = Image.fromarray(plane[rows][:, columns])
    return np.asarray(cut.resize(size[::-1], Image.Resampling.BILINEAR))


@st.composite
def planes_and_tiles(draw):
    height, width = draw(st.integers(1, 50)), draw(st.integers(1, 50))
    h, w = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    top, left = draw(st.integers(1 - h, height - 1)), draw(st.integers(1 - w, width - 1))
    return NOISE[:height, :width], Tile(top, left, h, w)


@given(planes_and_tiles(), st.integers(1, 40), st.integers(1, 40))
def test_a_tile_is_cut_out_mirrored_and_resized(plane_and_tile, rows, columns):
    plane, tile = plane_and_tile
    seen = render_tile(opened(plane), PLAIN, (), tile, size=(rows, columns))
    assert seen.shape == (rows, columns, 3)
    assert (seen == seen[..., :1]).all()
    wanted = slowly(plane, tile, (rows, columns))
    assert np.abs(seen[..., 0].astype(int) - wanted).max() <= 1


@given(planes_and_tiles())
def test_what_needs_no_resizing_is_seen_pixel_for_pixel(plane_and_tile):
    plane, tile = plane_and_tile
    size = tile.height, tile.width
    seen = render_tile(opened(plane), PLAIN, (), tile, size=size)[..., 0]
    np.testing.assert_array_equal(seen, slowly(plane, tile, size))


@examples(50)
@given(st.integers(0, 20), st.integers(0, 40), st.integers(20, 40), st.integers(20, 50))
def test_a_large_tile_is_averaged_strip_by_strip(top, left, height, width):
    recorded, sizes, read = Recorded(SMOOTH), [], Recorded.__getitem__

    def spied(self, where):
        part = read(self, where)
        sizes.append(part.size)
        return part

    size, tile = (4, 5), Tile(top, left, height, width)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recorded, "__getitem__", spied)
        patch.setattr(module, "MOST_PIXELS", 300)
        seen = render_tile(opened(recorded), PLAIN, (), tile, size=size)[..., 0]
    assert max(sizes) <= 300
    assert sum(sizes) == height * width
    wanted = slowly(SMOOTH, tile, size).astype(int)
    assert np.abs(seen - wanted).max() <= 12


@pytest.mark.parametrize("length", [60, 61, 62, 85])
def test_what_is_averaged_stays_where_it_is(length, monkeypatch):
    monkeypatch.setattr(module, "MOST_PIXELS", 300)
    ramp = np.tile(np.arange(5, 90, dtype=np.uint8) * 2, (60, 1))
    for plane, tile, axis in (
        (ramp, Tile(0, 0, 60, length), 1),
        (np.ascontiguousarray(ramp.T), Tile(0, 0, length, 60), 0),
    ):
        seen = render_tile(opened(plane), PLAIN, (), tile, size=(7, 7))[..., 0]
        line = seen.mean(axis=1 - axis)
        centers = (np.arange(7) + 0.5) * length / 7 - 0.5
        np.testing.assert_allclose(line[1:-1], 10 + 2 * centers[1:-1], atol=1)


def test_no_more_than_the_tile_is_read():
    recorded = Recorded(np.zeros((4, 60, 90), np.uint8))
    render_tile(opened(recorded), PLAIN, (2,), Tile(10, -5, 20, 30), size=(9, 9))
    wanted = np.zeros(recorded.shape, bool)
    wanted[2, 10:30, :25] = True
    np.testing.assert_array_equal(recorded.read, wanted)


def test_the_level_that_is_asked_for_is_read():
    fine, coarse = Recorded(NOISE), Recorded(NOISE[::2, ::2].copy())
    tile = Tile(5, 6, 10, 10)
    seen = render_tile(opened([fine, coarse]), PLAIN, (), tile, level=1, size=(10, 10))
    np.testing.assert_array_equal(seen[..., 0], NOISE[::2, ::2][5:15, 6:16])
    assert not fine.read.any()


def test_colors_and_channels_are_seen_as_the_rendering_says():
    channels = np.stack([NOISE, NOISE.T.ravel().reshape(60, 90), 255 - NOISE])
    rendering = Rendering(((0, 255),) * 2, channels=(2, 0), gamma=1, invert=True)
    seen = render_tile(opened(channels, axes="cyx"), rendering, (), Tile(3, 4, 6, 7), size=(6, 7))
    np.testing.assert_array_equal(seen[..., 0], NOISE[3:9, 4:11])
    np.testing.assert_array_equal(seen[..., 1], 255 - NOISE[3:9, 4:11])
    assert not seen[..., 2].any()


def test_the_users_image_is_not_changed():
    image = np.dstack([NOISE] * 3)
    before = image.copy()
    image.setflags(write=False)
    seen = render_tile(opened(image), PLAIN, (), Tile(0, 0, 60, 90), size=(60, 90))
    np.testing.assert_array_equal(seen, before)
