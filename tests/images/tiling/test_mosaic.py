"""Tiles of a run, seen through `segment` by an engine that answers with what it sees."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_clipseg.choices import Choices
from napari_clipseg.images.io.maps import ProbabilityMap
from napari_clipseg.images.io.source import as_source
from napari_clipseg.images.rendering import Appearance
from napari_clipseg.images.tiling import mosaic as module
from napari_clipseg.images.tiling import plan as plan_module
from napari_clipseg.images.tiling.mosaic import batches
from napari_clipseg.images.tiling.plan import Detail
from napari_clipseg.images.tiling.planning import make_plan
from napari_clipseg.segmentation import segment
from seeing import Seeing, brightness

PLAIN = Appearance(contrast=(0, 255))
ROWS, COLUMNS = np.ogrid[:96, :120]
# Brightness changes by 8 a pixel at most.
SCENE = np.rint(128 + 100 * np.sin(ROWS / 12) * np.cos(COLUMNS / 15)).astype(np.uint8)
STEEPEST = 8.5


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


@settings(max_examples=60)
@given(details, regions(), st.sampled_from([0, 0, 1, 2]), st.sampled_from([16, 24]))
def test_the_map_is_what_was_seen_however_the_plane_is_cut(detail, region, level, side):
    engine = Seeing(side, patch=4)
    options = {"detail": detail, "region": region, "level": level}
    result = segment(PYRAMID, "brightness", model=engine, appearance=PLAIN, **options)
    plan = Choices(**options).plan(as_source(PYRAMID), engine)
    assert result.probability.shape == plan.shape
    assert len(engine.pictures) == plan.tile_count
    assert [picture.shape[:2] for picture in engine.pictures] == [
        plan.input_size(w) for w in plan.tiles_of_plane
    ]
    wanted = PYRAMID[level][plan.rows, plan.columns]
    coarsest = max(
        length / n
        for window in plan.tiles_of_plane
        for length, n in zip((window.height, window.width), plan.input_size(window), strict=True)
    )
    # Of bilinear resizing there and back: what the scene changes within a pixel of the model,
    # at the steepest; and 8 bits.
    error = np.abs(brightness(result.probability[0]) - wanted)
    assert error.max() <= STEEPEST * 2**level * max(1, coarsest) + 2


@settings(max_examples=20)
@given(details, st.floats(1, 254))
def test_a_constant_is_answered_by_a_constant(detail, value):
    image = np.full((50, 70), round(value), np.uint8)
    result = segment(image, "brightness", model=Seeing(), appearance=PLAIN, detail=detail)
    np.testing.assert_allclose(brightness(result.probability), round(value), atol=0.01)


@pytest.mark.parametrize("overlap", [0.25, 0.5, 0.8])
@pytest.mark.parametrize("axis", [0, 1])
def test_no_seam_shows_where_tiles_answer_differently(overlap, axis):
    # Each tile answers with a brightness of its own: the map changes nowhere but from tile to tile.
    random = np.random.default_rng(0)
    engine = Seeing(16, answer=lambda picture, _: np.full(picture.shape[:2], random.integers(256)))
    detail = Detail(40, overlap=overlap)
    image = np.zeros((40, 1500) if axis else (1500, 40), np.uint8)
    result = segment(image, "x", model=engine, appearance=PLAIN, detail=detail)
    seen = brightness(result.probability[0])
    np.testing.assert_allclose(np.diff(seen, axis=1 - axis), 0, atol=0.01)
    steps = np.abs(np.diff(seen, axis=axis)).mean(axis=1 - axis)
    windows = make_plan(as_source(image), side=16, detail=detail).tiles
    starts = np.array([(w.top, w.left)[axis] for w in windows])
    borders = np.union1d(starts - 1, starts + 39)
    inside = np.arange(100, 1399)  # where as many tiles overlap as anywhere
    across, others = np.intersect1d(inside, borders), np.setdiff1d(inside, borders)
    assert len(across) > 60
    assert others.size > len(across)
    assert steps[others].mean() > 1
    assert steps[across].mean() <= 1.05 * steps[others].mean()


def test_a_tile_as_large_as_the_image_is_one_look():
    image = SCENE[:96, :96]
    one, tiled = (
        segment(image, "brightness", model=Seeing(24), detail=Detail(tile)).probability
        for tile in ("whole", 96)
    )
    np.testing.assert_array_equal(one, tiled)


@pytest.mark.parametrize("down", [1, 5, 8])
@pytest.mark.parametrize("across", [0, 3, 8])
def test_what_is_moved_is_found_where_it_is(down, across):
    engine = Seeing(80)
    window = slice(down, down + 80), slice(across, across + 80)
    still, moved = (
        segment(image, "brightness", model=engine, appearance=PLAIN).probability[0]
        for image in (SCENE[:80, :80], SCENE[window])
    )
    np.testing.assert_allclose(moved[: 80 - down, : 80 - across], still[down:, across:], atol=1e-6)


@pytest.mark.parametrize("by", [1, 4, 7])
@pytest.mark.parametrize("tile", [20, 40])
def test_what_is_moved_is_found_in_other_tiles(tile, by):
    still, moved = (
        brightness(
            segment(image, "x", model=Seeing(20), appearance=PLAIN, detail=tile).probability[0]
        )
        for image in (SCENE[:80, :80], SCENE[by : by + 80, by : by + 80])
    )
    difference = np.abs(moved[:-by, :-by] - still[by:, by:])
    assert difference.max() <= (2 if tile == 20 else 2 * STEEPEST)
    assert difference.mean() <= (1 if tile == 20 else 2)


def test_the_overview_has_its_weight():
    # Tiles answer white, the overview black.
    engine = Seeing(16, answer=lambda p, _: np.full(p.shape[:2], 255 * (p.shape == (16, 16, 3))))
    image = np.zeros((60, 90), np.uint8)
    detail = Detail(30, overview=0.25)
    result = segment(image, "x", model=engine, appearance=PLAIN, detail=detail)
    np.testing.assert_allclose(brightness(result.probability), 255 * 0.75, atol=0.01)


def test_shifted_tiles_are_others():
    engines = [Seeing(16), Seeing(16)]
    for engine, shift in zip(engines, (0, 0.5), strict=True):
        segment(SCENE, "x", model=engine, detail=Detail(40, shift=shift))
    still, shifted = (engine.pictures for engine in engines)
    assert not any((a == b).all() for a in still[:1] for b in shifted[:1])


@pytest.mark.parametrize("into", [None, "map.npy"])
def test_maps_written_in_bands_are_the_same(into, tmp_path, monkeypatch):
    whole = segment(SCENE, ["x", "y"], model=Seeing(), detail=30).probability
    for one in (module, plan_module):
        monkeypatch.setattr(one, "BAND", 7)
    path = into and tmp_path / into
    parts = segment(SCENE, ["x", "y"], model=Seeing(), detail=30, into=path).probability
    np.testing.assert_allclose(parts, whole, atol=1e-6)


def test_each_chunk_of_a_file_is_written_once(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BAND", 25)
    written, write = [], ProbabilityMap.write

    def spy(self, plane, rows, probability):
        written.append((plane, rows.start, rows.stop))
        write(self, plane, rows, probability)

    monkeypatch.setattr(ProbabilityMap, "write", spy)
    planes = np.stack([SCENE, SCENE])
    segment(planes, "x", model=Seeing(), detail=Detail(30, overlap=0.5), into=tmp_path / "map.npy")
    bands = [(0, 25), (25, 50), (50, 75), (75, 96)]
    assert written == [((plane,), *band) for plane in (0, 1) for band in bands]


def test_batches_end_with_each_row_of_tiles():
    plan = make_plan(
        as_source(np.zeros((50, 205))), side=16, detail=Detail(20, overlap=0, overview=0.5)
    )
    sizes = [len(batch) for batch in batches(plan)]
    assert sizes == [1, 8, 3, 8, 3, 8, 3]
    assert [window for batch in batches(plan) for window in batch] == list(plan.tiles_of_plane)
