from __future__ import annotations

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import expit

from drawing import examples
from napari_clipseg.images.tiling.grid import grid, spread
from napari_clipseg.images.tiling.plan import Detail, Tile
from napari_clipseg.images.tiling.stitch import Stitcher, blending_weights, on_pixels, sigmoid

SHAPES = {
    "the same": (16, 16),
    "larger": (50, 70),
    "smaller": (7, 5),
    "one pixel": (1, 1),
    "one row": (1, 90),
    "one column": (90, 1),
    "100:1 strip": (4, 400),
    "larger and smaller": (5, 60),
}
sides = st.integers(1, 60)
maps = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 3), st.integers(1, 20), st.integers(1, 20)),
    elements=st.floats(-100, 100, width=32),
)


def resized(logits, shape):
    """The whole of an logits on a tile of this shape."""
    tile = Tile(3, -5, *shape)
    return on_pixels(logits, tile, slice(3, 3 + shape[0]), slice(-5, shape[1] - 5))


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_logitss_get_the_shape_of_the_tile(shape):
    logits = np.random.default_rng(0).normal(size=(3, 16, 16)).astype(np.float32)
    before = logits.copy()
    got = resized(logits, shape)
    assert got.shape == (3, *shape)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(logits, before)


def triangle(n_from, n_to):
    """Weights of the old pixels in each new one: a triangle about its center, one old pixel wide
    to either side, or one new one where those are larger."""
    step = n_from / n_to
    centers = (np.arange(n_to)[:, None] + 0.5) * step
    distance = np.abs(np.arange(n_from) + 0.5 - centers)
    weights = np.maximum(0, 1 - distance / max(step, 1))
    return weights / weights.sum(axis=1, keepdims=True)


@given(maps, sides, sides)
def test_resizing_is_bilinear_and_keeps_pixel_centers(logits, height, width):
    rows, columns = logits.shape[1:]
    wanted = triangle(rows, height) @ logits.astype(float) @ triangle(columns, width).T
    np.testing.assert_allclose(resized(logits, (height, width)), wanted, atol=1e-3)


@given(maps, sides, sides, st.data())
def test_a_part_has_the_values_of_the_whole(logits, height, width, data):
    whole = resized(logits, (height, width))
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    bottom = data.draw(st.integers(top + 1, height))
    right = data.draw(st.integers(left + 1, width))
    tile = Tile(3, -5, height, width)
    part = on_pixels(logits, tile, slice(3 + top, 3 + bottom), slice(left - 5, right - 5))
    np.testing.assert_allclose(part, whole[:, top:bottom, left:right], atol=2e-3)


def test_the_same_shape_changes_nothing():
    logits = np.random.default_rng(0).normal(size=(2, 9, 13)).astype(np.float32)
    np.testing.assert_array_equal(resized(logits, (9, 13)), logits)


@given(st.integers(4, 11), st.integers(4, 11), st.integers(17, 200), st.integers(17, 200))
def test_a_spot_stays_where_it_is(row, column, height, width):
    spot = np.zeros((1, 16, 16), np.float32)
    spot[0, row, column] = 1
    got = resized(spot, (height, width))[0].astype(float)
    center = [
        (np.arange(n) * got.sum(axis=1 - axis)).sum() / got.sum()
        for axis, n in enumerate(got.shape)
    ]
    wanted = (row + 0.5) * height / 16 - 0.5, (column + 0.5) * width / 16 - 0.5
    assert center == pytest.approx(wanted, abs=0.25)


@given(maps, sides, sides)
def test_what_is_mirrored_stays_mirrored(logits, height, width):
    mirrored = resized(np.ascontiguousarray(logits[:, ::-1, ::-1]), (height, width))
    np.testing.assert_allclose(mirrored[:, ::-1, ::-1], resized(logits, (height, width)), atol=1e-3)


@given(maps, sides, sides)
def test_nothing_gets_brighter_or_darker_than_it_was(logits, height, width):
    got = resized(logits, (height, width))
    assert (got.max(axis=(1, 2)) <= logits.max(axis=(1, 2)) + 1e-3).all()
    assert (got.min(axis=(1, 2)) >= logits.min(axis=(1, 2)) - 1e-3).all()


tilings = st.tuples(st.integers(1, 200), st.integers(1, 60), st.floats(0, 0.9), st.floats(0, 1))


def weights_on_axis(starts, tile, first, length):
    """The weight of each tile at each pixel of a part of an axis, 0 outside the tile."""
    weights = np.zeros((len(starts), length), np.float32)
    for whole, start, own in zip(
        weights, starts, blending_weights(starts, tile, first, length), strict=True
    ):
        low, high = max(start, first), min(start + tile, first + length)
        whole[low - first : high - first] = own[low - start : high - start]
        assert not own[: low - start].any()
        assert not own[high - start :].any()
    return weights


@given(tilings, st.integers(-50, 50))
def test_weights_are_positive_and_sum_to_one_everywhere(tiling, begin):
    length, tile, overlap, shift = tiling
    tile = min(tile, length)
    starts = [begin + start for start in spread(length, tile, overlap, shift)]
    assert blending_weights(starts, tile, begin, length).shape == (len(starts), tile)
    weights = weights_on_axis(starts, tile, begin, length)
    assert weights.shape == (len(starts), length)
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(axis=0), 1, atol=1e-6)
    for start, weight in zip(starts, weights, strict=True):
        outside = np.ones(length, bool)
        outside[max(0, start - begin) : max(0, start - begin + tile)] = False
        assert not weight[outside].any()


def test_weights_take_no_more_memory_than_the_tiles_overlap():
    tracemalloc.start()
    try:
        Stitcher(grid(slice(0, 16), slice(0, 20_000), 16, Detail()), slice(0, 16), slice(0, 20_000))
        assert tracemalloc.get_traced_memory()[1] < 5_000_000  # of 1,667 tiles
    finally:
        tracemalloc.stop()


@given(st.integers(40, 300), st.floats(0.3, 0.9), st.floats(0, 1))
def test_weights_have_no_step(tile, overlap, shift):
    length = 4 * tile
    starts = spread(length, tile, overlap, shift)
    weights = weights_on_axis(starts, tile, 0, length)
    shared = min(a + tile - b for a, b in pairwise(starts))
    # The steepest step of half a cosine wave over what two tiles share; more tiles, more steps.
    layers = np.ceil(1 / (1 - overlap))
    assert np.abs(np.diff(weights, axis=1)).max() <= layers * np.pi / 2 / shared


def test_two_tiles_share_their_overlap_as_half_a_cosine_wave():
    weights = weights_on_axis([0, 6], 10, 0, 16)
    share = (np.arange(4) + 0.5) / 4
    rise = 0.5 - 0.5 * np.cos(np.pi * share)
    np.testing.assert_allclose(weights[1], [*[0] * 6, *rise, *[1] * 6], atol=1e-6)
    np.testing.assert_allclose(weights[0], weights[1][::-1], atol=1e-6)


def stitched(tiles, rows, columns, logits, bands=1):
    """All bands of a plane, tiles coming row by row as they do in a run."""
    stitcher = Stitcher(tiles, rows, columns)
    parts, done = [], rows.start
    for i, tile in enumerate(tiles):
        stitcher.add(tile, logits(tile))
        if i + 1 < len(tiles) and tiles[i + 1].top == tile.top:
            continue
        until = stitcher.ready_until(tile.top)
        while done < until:
            end = min(until, done + bands)
            parts.append(stitcher.band(slice(done, end)))
            stitcher.drop_before(end)
            done = end
    return np.concatenate(parts, axis=1)


@st.composite
def grids(draw):
    """The rows and columns of a region, and tiles that cover it."""
    parts, starts, sizes = [], [], []
    for _ in range(2):
        length, tile, overlap, shift = draw(tilings)
        begin = draw(st.integers(0, 40))
        length, tile = min(length, 60), min(tile, length, 60)
        parts.append(slice(begin, begin + length))
        starts.append([begin + start for start in spread(length, tile, overlap, shift)])
        sizes.append(min(tile, length))
    tiles = [Tile(top, left, *sizes) for top in starts[0] for left in starts[1]]
    return tiles, *parts


@examples(40)
@given(grids(), st.integers(1, 20), st.floats(-5, 5, width=32))
def test_a_constant_stays_one(grid, bands, value):
    tiles, rows, columns = grid
    logits = np.full((2, 7, 5), value, np.float32)
    plane = stitched(tiles, rows, columns, lambda _: logits, bands)
    assert plane.shape == (2, rows.stop - rows.start, columns.stop - columns.start)
    np.testing.assert_allclose(plane, value, atol=1e-5)


@examples(40)
@given(grids(), st.integers(1, 20))
def test_tiles_of_one_map_give_that_map(grid, bands):
    tiles, rows, columns = grid
    down, across = np.ogrid[-200:400, -200:400]
    truth = (np.sin(down / 5) + np.cos(across / 7)).astype(np.float32)

    def cut(tile):
        top, left = tile.top + 200, tile.left + 200
        return truth[None, top : top + tile.height, left : left + tile.width]

    wanted = truth[rows.start + 200 : rows.stop + 200, columns.start + 200 : columns.stop + 200]
    plane = stitched(tiles, rows, columns, cut, bands)
    np.testing.assert_allclose(plane[0], wanted, atol=1e-5)


def test_logits_are_dropped_when_their_rows_are_done():
    tiles = [Tile(top, 0, 10, 10) for top in (0, 5, 10, 15)]
    stitcher = Stitcher(tiles, slice(0, 25), slice(0, 10))
    assert [stitcher.ready_until(tile.top) for tile in tiles] == [5, 10, 15, 25]
    for tile in tiles:
        stitcher.add(tile, np.zeros((1, 4, 4), np.float32))
        stitcher.drop_before(stitcher.ready_until(tile.top))
        assert len(stitcher._logits) <= 2


@given(hnp.arrays(np.float32, (4, 5), elements=st.floats(-1e4, 1e4, width=32)))
def test_sigmoid_is_the_logistic_function(logits):
    probability = sigmoid(logits)
    assert probability.dtype == np.float32
    np.testing.assert_allclose(probability, expit(logits.astype(float)), atol=1e-7)


@pytest.mark.parametrize(
    ("logit", "probability"),
    [(0, 0.5), (1e4, 1), (-1e4, 0), (np.inf, 1), (-np.inf, 0), (3e38, 1), (-3e38, 0)],
)
def test_sigmoid_at_its_ends(logit, probability):
    assert sigmoid(np.array([logit], np.float32)) == [probability]
