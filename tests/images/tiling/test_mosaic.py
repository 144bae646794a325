"""Maps of planes, put together from tiles by a model that answers with what it sees."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cases import opened
from drawing import examples
from napari_clipseg.images.io.source import as_source
from napari_clipseg.images.rendering import Appearance, Rendering, resolve
from napari_clipseg.images.tiling import mosaic as module
from napari_clipseg.images.tiling import plan as plan_module
from napari_clipseg.images.tiling.mosaic import Mosaic, batches
from napari_clipseg.images.tiling.plan import Detail
from napari_clipseg.images.tiling.planning import make_plan
from seeing import REACH, brightness, colour

PLAIN = Appearance(contrast=(0, 255))
ROWS, COLUMNS = np.ogrid[:96, :120]
# Brightness changes by 8 a pixel at most.
SCENE = np.rint(128 + 100 * np.sin(ROWS / 12) * np.cos(COLUMNS / 15)).astype(np.uint8)
STEEPEST = 8.5


def run(image, *, answer=colour, whole_bands=False, most=4, appearance=PLAIN, **options):
    """What a run of an image gives: map, plan, what the model saw, and the rows as they came."""
    source = as_source(image)
    plan = make_plan(source, **{"side": 16} | options)
    probability = np.full(plan.shape, np.nan, np.float32)
    seen, bands, mosaics = [], [], {}
    with source.open() as reader:
        rendering = resolve(reader, appearance, plan.extent.planes)
        places = list(np.ndindex(*plan.extent.planes_shape))
        for number, plane in enumerate(plan.extent.planes):
            mosaics[number] = Mosaic(reader, rendering, plan, plane, whole_bands=whole_bands)
        for batch in batches(plan, most):
            for number, tile in batch:
                seen.append(mosaics[number].render(tile))
                answers = [answer(seen[-1], i) for i in range(plan.maps)]
                logits = (np.asarray(answers, np.float32) / 255 * 2 - 1) * REACH
                for rows, band in mosaics[number].add(tile, logits):
                    probability[(slice(None), *places[number], rows)] = band
                    bands.append((places[number], rows.start, rows.stop))
    assert all(mosaic.complete for mosaic in mosaics.values())
    return SimpleNamespace(
        probability=probability, plan=plan, seen=seen, bands=bands, mosaics=mosaics
    )


def halved(image):
    height, width = image.shape
    return image.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3))


PYRAMID = [SCENE, halved(SCENE).astype(np.float32), halved(halved(SCENE)).astype(np.float32)]
details = st.builds(
    Detail,
    tile_size=st.floats(12, 130) | st.sampled_from(["whole", "fine", "medium"]),
    overlap=st.floats(0, 0.8),
    overview=st.sampled_from([0, 0, 0.4]),
    shift=st.floats(0, 1),
)


@st.composite
def regions(draw):
    """None, or two corners of a rectangle."""
    if draw(st.booleans()):
        return None
    top, left = draw(st.integers(0, 70)), draw(st.integers(0, 90))
    return [(top, left), (draw(st.integers(top + 8, 95)), draw(st.integers(left + 8, 119)))]


@examples(60)
@given(details, regions(), st.sampled_from([0, 0, 1, 2]), st.sampled_from([16, 24]))
def test_the_map_is_what_was_seen_however_the_plane_is_cut(detail, region, level, side):
    result = run(PYRAMID, side=side, patch=4, detail=detail, region=region, level=level)
    plan = result.plan
    assert len(result.seen) == plan.tile_count
    assert [one.shape[:2] for one in result.seen] == [
        plan.input_size(tile) for tile in plan.tiles_of_plane
    ]
    wanted = PYRAMID[level][plan.rows, plan.columns]
    coarsest = max(
        length / n
        for tile in plan.tiles_of_plane
        for length, n in zip((tile.height, tile.width), plan.input_size(tile), strict=True)
    )
    # Of bilinear resizing there and back: what the scene changes within a pixel of the model,
    # at the steepest; and 8 bits.
    error = np.abs(brightness(result.probability[0]) - wanted)
    assert error.max() <= STEEPEST * 2**level * max(1, coarsest) + 2


@examples(20)
@given(details, st.floats(1, 254))
def test_a_constant_is_answered_by_a_constant(detail, value):
    result = run(np.full((50, 70), round(value), np.uint8), detail=detail)
    np.testing.assert_allclose(brightness(result.probability), round(value), atol=0.01)


@pytest.mark.parametrize("overlap", [0.25, 0.5, 0.8])
@pytest.mark.parametrize("axis", [0, 1])
def test_no_seam_shows_where_tiles_answer_differently(overlap, axis):
    # Each tile answers with a brightness of its own: the map changes nowhere but from tile to tile.
    random = np.random.default_rng(0)
    image = np.zeros((40, 1500) if axis else (1500, 40), np.uint8)
    result = run(
        image,
        answer=lambda one, _: np.full(one.shape[:2], random.integers(256)),
        detail=Detail(40, overlap=overlap),
    )
    seen = brightness(result.probability[0])
    np.testing.assert_allclose(np.diff(seen, axis=1 - axis), 0, atol=0.01)
    steps = np.abs(np.diff(seen, axis=axis)).mean(axis=1 - axis)
    starts = np.array([(tile.top, tile.left)[axis] for tile in result.plan.tiles])
    borders = np.union1d(starts - 1, starts + 39)
    inside = np.arange(100, 1399)  # where as many tiles overlap as anywhere
    across, others = np.intersect1d(inside, borders), np.setdiff1d(inside, borders)
    assert len(across) > 60
    assert others.size > len(across)
    assert steps[others].mean() > 1
    assert steps[across].mean() <= 1.05 * steps[others].mean()


def test_a_tile_as_large_as_the_image_is_the_whole_plane():
    whole, tiled = (
        run(SCENE[:96, :96], side=24, detail=Detail(size)).probability for size in ("whole", 96)
    )
    np.testing.assert_array_equal(whole, tiled)


@pytest.mark.parametrize("down", [1, 5, 8])
@pytest.mark.parametrize("across", [0, 3, 8])
def test_what_is_moved_is_found_where_it_is(down, across):
    part = slice(down, down + 80), slice(across, across + 80)
    still, moved = (run(image, side=80).probability[0] for image in (SCENE[:80, :80], SCENE[part]))
    np.testing.assert_allclose(moved[: 80 - down, : 80 - across], still[down:, across:], atol=1e-6)


@pytest.mark.parametrize("by", [1, 4, 7])
@pytest.mark.parametrize("size", [20, 40])
def test_what_is_moved_is_found_in_other_tiles(size, by):
    still, moved = (
        brightness(run(image, side=20, detail=Detail(size)).probability[0])
        for image in (SCENE[:80, :80], SCENE[by : by + 80, by : by + 80])
    )
    difference = np.abs(moved[:-by, :-by] - still[by:, by:])
    assert difference.max() <= (2 if size == 20 else 2 * STEEPEST)
    assert difference.mean() <= (1 if size == 20 else 2)


def test_the_overview_has_its_weight():
    # Tiles answer white, the overview black.
    result = run(
        np.zeros((60, 90), np.uint8),
        answer=lambda one, _: np.full(one.shape[:2], 255 * (one.shape == (16, 16, 3))),
        detail=Detail(30, overview=0.25),
    )
    np.testing.assert_allclose(brightness(result.probability), 255 * 0.75, atol=0.01)


def test_shifted_tiles_are_others():
    still, shifted = (run(SCENE, detail=Detail(40, shift=shift)).seen for shift in (0, 0.5))
    assert not any((a == b).all() for a in still[:1] for b in shifted[:1])


@pytest.mark.parametrize("whole_bands", [False, True])
def test_maps_given_in_bands_are_the_same(whole_bands, monkeypatch):
    whole = run(SCENE, maps=2, detail=Detail(30)).probability
    for one in (module, plan_module):
        monkeypatch.setattr(one, "BAND", 7)
    parts = run(SCENE, maps=2, detail=Detail(30), whole_bands=whole_bands).probability
    np.testing.assert_allclose(parts, whole, atol=1e-6)


def test_each_chunk_of_a_file_is_given_once(monkeypatch):
    monkeypatch.setattr(module, "BAND", 25)
    result = run(np.stack([SCENE, SCENE]), detail=Detail(30, overlap=0.5), whole_bands=True)
    bands = [(0, 25), (25, 50), (50, 75), (75, 96)]
    assert result.bands == [((plane,), *band) for plane in (0, 1) for band in bands]


@pytest.mark.parametrize("most", [1, 3, 100])
@pytest.mark.parametrize("overview", [0, 0.4])
def test_the_size_of_batches_changes_no_map(most, overview):
    stack = np.stack([SCENE, SCENE[::-1], SCENE[:, ::-1]])
    detail = Detail(50, overview=overview)
    one, other = (run(stack, detail=detail, most=size).probability for size in (7, most))
    np.testing.assert_array_equal(one, other)
    for plane in range(3):
        alone = run(stack[plane], detail=detail).probability
        np.testing.assert_array_equal(one[:, plane], alone)


def test_the_region_is_rendered_at_the_size_of_the_map():
    reader = opened(np.stack([SCENE, 255 - SCENE]))
    plan = make_plan(reader.source, side=16, region=[(5, 6), (20, 40)])
    mosaic = Mosaic(reader, Rendering(((0, 255),)), plan, (1,))
    wanted = np.dstack([255 - SCENE[5:21, 6:41]] * 3)
    np.testing.assert_array_equal(mosaic.render_region(), wanted)


@pytest.mark.parametrize(
    ("value", "finite"), [(0, True), (np.nan, False), (np.inf, False)], ids=str
)
def test_pixels_that_are_not_finite_have_no_probability(value, finite):
    image = SCENE.astype(np.float32)
    image[10:20, 30:50] = value
    result = run(image, detail=Detail(30))
    assert (result.probability[0, 10:20, 30:50] > 0).all() == finite
    assert (result.probability[0, :10] > 0).all()
    assert result.mosaics[0].any_finite


def test_a_plane_without_a_finite_pixel_is_known():
    planes = np.stack([SCENE, np.full(SCENE.shape, np.nan)])
    found = run(planes).mosaics
    assert [mosaic.any_finite for mosaic in found.values()] == [True, False]


def test_outside_of_an_outline_the_map_is_0():
    outline = np.array([(9.5, 9.5), (9.5, 80.7), (60.5, 9.5)])
    result = run(SCENE, detail=Detail(30), region=outline)
    rows, columns = np.ogrid[10:61, 10:82]
    inside = (columns - 9.5) / 71.2 + (rows - 9.5) / 51 < 1
    np.testing.assert_array_equal(result.probability[0] > 0, inside)


def test_a_mosaic_is_complete_with_its_last_tile():
    reader = opened(SCENE)
    plan = make_plan(reader.source, side=16, detail=Detail(50))
    mosaic = Mosaic(reader, Rendering(((0, 255),)), plan, ())
    for tile in plan.tiles_of_plane:
        assert not mosaic.complete
        list(mosaic.add(tile, np.zeros((1, 16, 16), np.float32)))
    assert mosaic.complete


BATCHES = {
    "planes of one tile": ((13, 40, 50), Detail(), 5, [5, 5, 3]),
    "planes of many tiles": ((3, 20, 100), Detail(20, overlap=0), 8, [8, 7]),
    "one at a time": ((3, 40, 50), Detail(), 1, [1, 1, 1]),
    "all at once": ((3, 20, 100), Detail(20, overlap=0), 99, [15]),
    # The overviews have another shape than the tiles.
    "overviews": ((2, 20, 100), Detail(20, overlap=0, overview=0.5), 4, [1, 4, 1, 1, 4, 1]),
    "overviews of the shape of tiles": (
        (2, 40, 40),
        Detail(20, overlap=0, overview=0.5),
        4,
        [4, 4, 2],
    ),
}


@pytest.mark.parametrize(("shape", "detail", "most", "sizes"), BATCHES.values(), ids=BATCHES)
def test_batches_go_on_from_plane_to_plane(shape, detail, most, sizes):
    plan = make_plan(as_source(np.zeros(shape), axes="zyx"), side=16, detail=detail)
    made = list(batches(plan, most))
    assert [len(batch) for batch in made] == sizes
    wanted = [(n, tile) for n in range(shape[0]) for tile in plan.tiles_of_plane]
    assert [one for batch in made for one in batch] == wanted
    for batch in made:
        assert len({plan.input_size(tile) for _, tile in batch}) == 1


def test_batches_hold_a_tile_at_least():
    plan = make_plan(as_source(np.zeros((5, 6))), side=16)
    with pytest.raises(ValueError, match="at most 0 tiles; wanted a number from 1"):
        next(batches(plan, 0))
