from __future__ import annotations

import re
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_clipseg.images.io.source import Source, as_source
from napari_clipseg.images.tiling.grid import spread
from napari_clipseg.images.tiling.plan import Detail
from napari_clipseg.images.tiling.planning import make_plan
from seeing import Recorded

details = st.builds(
    Detail,
    tile_size=st.floats(1, 60) | st.sampled_from(["whole", "medium", "fine"]),
    overlap=st.floats(0, 0.9),
    overview=st.sampled_from([0, 0.3, 1]),
    shift=st.floats(0, 1),
)


class Empty:
    """A shape and a type, and nothing that could be read."""

    def __init__(self, *shape):
        self.shape, self.dtype = shape, np.dtype(np.uint8)

    def __getitem__(self, where):
        raise AssertionError("a plan reads no pixel")


def plan(*shapes, axes=None, side=16, **options):
    return make_plan(
        as_source([Empty(*shape) for shape in shapes], axes=axes), side=side, **options
    )


@given(st.integers(1, 300), st.integers(1, 80), st.floats(0, 0.9), st.floats(0, 1))
def test_tiles_cover_an_axis_evenly(length, tile, overlap, shift):
    starts = spread(length, tile, overlap, shift)
    assert starts == sorted(set(starts))
    covered = {at for start in starts for at in range(start, start + min(tile, length))}
    assert covered >= set(range(length))
    assert all(-tile < start < length for start in starts)  # each sees a part of the axis
    if tile < length:
        assert starts[-1] == length - tile
        steps = np.diff(starts)
        assert max(steps, default=0) <= max(1, tile * (1 - overlap))
        assert max(steps, default=0) - min(steps, default=0) <= 1
        if shift == 0:
            assert starts[0] == 0


@pytest.mark.parametrize(
    ("length", "tile", "overlap", "shift", "starts"),
    [
        (10, 10, 0.5, 0, [0]),
        (5, 10, 0.5, 1, [0]),
        (30, 10, 0, 0, [0, 10, 20]),
        (31, 10, 0, 0, [0, 7, 14, 21]),
        (20, 10, 0.5, 0, [0, 5, 10]),
        (20, 10, 0.5, 0.6, [-3, 1, 6, 10]),
        (20, 10, 0, 1, [-9, 0, 10]),
    ],
)
def test_where_tiles_begin(length, tile, overlap, shift, starts):
    assert spread(length, tile, overlap, shift) == starts


@given(st.integers(1, 80), st.integers(1, 80), details, st.integers(1, 40))
def test_tiles_cover_every_pixel(height, width, detail, side):
    made = plan((height, width), side=side, detail=detail)
    covered = np.zeros((height, width), bool)
    for tile in made.tiles:
        rows = slice(max(0, tile.top), tile.top + tile.height)
        columns = slice(max(0, tile.left), tile.left + tile.width)
        assert covered[rows, columns].size
        covered[rows, columns] = True
    assert covered.all()
    assert made.tile_count == len(made.tiles) + (made.overview is not None)
    assert len({(t.height, t.width) for t in made.tiles}) == 1
    grid = [(t.top, t.left) for t in made.tiles]
    assert grid == sorted(set(grid))
    if made.overview is not None:
        assert (made.overview.top, made.overview.left) == (0, 0)
        assert (made.overview.height, made.overview.width) == (height, width)


def test_a_tile_that_shows_as_much_as_the_plane_is_the_whole_plane():
    assert len(plan((30, 30), detail=Detail(30)).tiles) == 1
    assert len(plan((30, 30), detail=Detail(29)).tiles) > 1
    assert plan((30, 30), detail=Detail(30, overview=0.5)).overview is None


def test_named_tiles_go_by_the_models_square():
    assert plan((100, 200), detail=Detail("fine")).tiles[0].height == 16
    assert plan((100, 200), detail=Detail("medium")).tiles[0].height == 48


def test_physical_tiles_go_by_the_spacing():
    source = as_source(Empty(100, 200), spacing=(0.5, 0.5))
    made = make_plan(source, side=16, detail=Detail(10, physical=True))
    assert (made.tiles[0].height, made.tiles[0].width) == (20, 20)


PLANES = {
    "all": (None, (2, 5), [(0, 0), (0, 1)]),
    "one": ({"z": 3}, (2, 1), [(0, 3), (1, 3)]),
    "one of each": ({"z": 3, "t": 1}, (1, 1), [(1, 3)]),
    "a numpy number": ({"z": np.int64(3)}, (2, 1), [(0, 3)]),
    "from the end": ({"z": -1, "t": 0}, (1, 1), [(0, 4)]),
    "a slice": ({"z": slice(1, 4, 2), "t": 0}, (1, 2), [(0, 1), (0, 3)]),
    "a slice beyond the end": ({"z": slice(3, 99), "t": 0}, (1, 2), [(0, 3), (0, 4)]),
    "a slice backwards": ({"z": slice(None, None, -2), "t": 0}, (1, 3), [(0, 4), (0, 2), (0, 0)]),
    "a range": ({"z": range(2, 4), "t": 0}, (1, 2), [(0, 2), (0, 3)]),
    "a range from the end": ({"z": range(-2, 0), "t": 0}, (1, 2), [(0, 3), (0, 4)]),
}


@pytest.mark.parametrize(("planes", "shape", "first"), PLANES.values(), ids=PLANES)
def test_planes(planes, shape, first):
    made = plan((2, 5, 8, 9), planes=planes, maps=3)
    assert made.extent.axes == ("t", "z")
    assert made.extent.planes_shape == shape
    assert list(made.extent.planes[: len(first)]) == first
    assert len(made.extent.planes) == np.prod(shape) == made.tile_count
    assert made.shape == (3, *shape, 8, 9)


BAD = {
    "no such axis": ({"planes": {"c": 0}}, "along ['c']; the image has them along ['t', 'z']"),
    "beyond the end": ({"planes": {"z": 5}}, "Got the planes 5 along 'z'; the image has 5"),
    "beyond the start": ({"planes": {"z": -6}}, "Got the planes -6 along 'z'"),
    "a range beyond the end": ({"planes": {"z": range(3, 7)}}, "range(3, 7) along 'z'"),
    "no planes": ({"planes": {"z": slice(3, 3)}}, "slice(3, 3, None) along 'z'"),
    "no such level": ({"level": 1}, "There is no level 1; the image has 1, from 0"),
    "a level below 0": ({"level": -1}, "There is no level -1"),
    "one corner": ({"region": [(0, 0)]}, "The region has shape (1, 2); wanted (corners, 2)"),
    "corners in 3D": ({"region": [(0, 0, 0), (0, 5, 5)]}, "The region has shape (2, 3)"),
    "corners nowhere": ({"region": [(0, 0), (np.nan, 5)]}, "wanted finite numbers"),
    "corners of 1e300": (
        {"region": [(0, 0), (1e300, 5)]},
        "wanted finite numbers of pixels, at most 1e+09 from the first one",
    ),
    "an outline of 1e300": ({"region": [(0, 0), (-1e300, 5), (9, 9)]}, "wanted finite numbers"),
    "below the image": ({"region": [(8.6, 0), (12, 4)]}, "lies beside the image of 8 x 9 pixels"),
    "left of the image": ({"region": [(0, -9), (3, -2)]}, "Draw it over the image"),
    "an outline without area": ({"region": [(0, 0), (3, 3), (6, 6)]}, "encloses no area. Draw"),
}


@pytest.mark.parametrize(("options", "says"), BAD.values(), ids=BAD)
def test_bad_choices_are_refused_with_the_cure(options, says):
    with pytest.raises(ValueError, match=r"image|region|level") as caught:
        plan((2, 5, 8, 9), **options)
    assert says in str(caught.value)


@pytest.mark.parametrize("planes", [[0, 2], 1.5, "all", None], ids=str)
def test_planes_of_another_type_are_refused(planes):
    with pytest.raises(TypeError, match="wanted a number, a slice or a range"):
        plan((2, 5, 8, 9), planes={"z": planes})


REGIONS = {
    "pixels": ([(2, 3), (6, 8)], (2, 7), (3, 9)),
    "the other corners": ([(6, 3), (2, 8)], (2, 7), (3, 9)),
    "between pixels": ([(1.6, 3.4), (6.4, 7.6)], (2, 7), (3, 9)),
    "edges of pixels": ([(1.5, 2.5), (6.5, 8.5)], (2, 7), (3, 9)),
    "beyond the image": ([(-50, -1e6), (6, 800)], (0, 7), (0, 20)),
    "one pixel": ([(4, 4), (4, 4)], (4, 5), (4, 5)),
    "the last pixel": ([(9, 19), (30, 30)], (9, 10), (19, 20)),
}


@pytest.mark.parametrize(("region", "rows", "columns"), REGIONS.values(), ids=REGIONS)
def test_regions(region, rows, columns):
    made = plan((10, 20), region=region)
    assert (made.rows, made.columns) == (slice(*rows), slice(*columns))
    assert made.outline is None
    assert made.extent.origin == (rows[0], columns[0])
    assert made.shape == (1, rows[1] - rows[0], columns[1] - columns[0])


def test_an_outline_is_kept_in_pixels_of_the_level():
    corners = np.array([(1.5, 1.5), (9.5, 1.5), (9.5, 21.5)])
    made = plan((20, 40), (10, 20), region=corners, level=1)
    np.testing.assert_allclose(made.outline, (corners - 0.5) / 2)
    assert (made.rows, made.columns) == (slice(1, 5), slice(1, 11))
    assert made.extent.origin == (2.5, 2.5)


@given(
    st.tuples(st.integers(0, 60), st.integers(0, 60)),
    st.tuples(st.integers(0, 60), st.integers(0, 60)),
    details,
)
def test_tiles_cover_a_region(first, last, detail):
    made = plan((61, 61), region=[first, last], detail=detail)
    covered = np.zeros((61, 61), bool)
    for tile in made.tiles:
        assert tile.top > made.rows.start - tile.height
        assert tile.top + tile.height <= made.rows.stop
        rows = slice(max(0, tile.top), tile.top + tile.height)
        columns = slice(max(0, tile.left), tile.left + tile.width)
        covered[rows, columns] = True
    assert covered[made.rows, made.columns].all()


# shape, detail, side of the model's square, what the error says
TOO_MANY = {
    "4 pixels": (
        (4000, 4000),
        Detail(4),
        352,
        "Tiles of 4 x 4 pixels would be 1,776,889 on a plane of 4000 x 4000 pixels; wanted at most "
        "500,000. Take larger tiles, such as detail=352, or less overlap, or a region.",
    ),
    "1 pixel": ((20_000, 20_000), Detail(1), 352, "would be 400,000,000 on a plane"),
    "a strip": ((1, 10**9), Detail(4), 352, "would be 333,333,333 on a plane"),
    "much overlap": ((10_000, 10_000), Detail(10, overlap=0.9), 352, "such as detail=352, or less"),
    "a plane like no other": ((10**9, 10**9), Detail("fine"), 352, "such as detail=2883584, or"),
    "physical tiles": ((4000, 4000), Detail(4, physical=True), 352, "such as detail=352"),
}


@pytest.mark.parametrize(
    ("shape", "detail", "side", "says"), TOO_MANY.values(), ids=TOO_MANY.keys()
)
def test_too_many_tiles_are_refused_before_they_are_made(shape, detail, side, says):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="Tiles of") as caught:
            plan(shape, side=side, detail=detail)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert says in str(caught.value)
    advised = int(re.search(r"detail=(\d+)", str(caught.value))[1])
    if max(shape) < 10**6:
        assert plan(shape, side=side, detail=Detail(advised, overlap=detail.overlap)).tile_count > 0


def test_the_advice_for_too_many_tiles_is_in_pixels_of_the_finest_level():
    with pytest.raises(ValueError, match="detail=256,") as caught:
        plan((80_000, 80_000), (20_000, 20_000), side=16, detail=Detail(40), level=1)
    assert "Tiles of 10 x 10 pixels" in str(caught.value)
    assert "20000 x 20000" in str(caught.value)


SLIDE = [(n, n) for n in (40_000, 20_000, 10_000, 5_000, 2_500, 1_250, 625)]
LEVELS = {
    "all of it": ({}, 5),
    "fine": ({"detail": Detail("fine")}, 0),
    "tiles of twice the square": ({"detail": Detail(704)}, 1),
    "tiles of less than twice": ({"detail": Detail(703)}, 0),
    "medium": ({"detail": Detail("medium")}, 1),
    "tiles of 8000": ({"detail": Detail(8000)}, 4),
    "tiles larger than the image": ({"detail": Detail(100_000)}, 5),
    "a region as a whole": ({"region": [(0, 0), (2047, 2047)]}, 1),
    "a small region as a whole": ({"region": [(0, 0), (500, 500)]}, 0),
    "a region that reaches beyond": ({"region": [(-9e6, -9e6), (1023, 2047)]}, 0),
    "large tiles in a small region": (
        {"region": [(0, 0), (1000, 1000)], "detail": Detail(8000)},
        0,
    ),
    "tiles in a large region": ({"region": [(0, 0), (9000, 9000)], "detail": Detail(1500)}, 2),
    "a strip": ({"region": [(0, 0), (300, 39_999)]}, 0),
    "as was asked": ({"level": 6}, 6),
}


@pytest.mark.parametrize(("options", "level"), LEVELS.values(), ids=LEVELS)
def test_the_coarsest_level_that_is_fine_enough(options, level):
    assert plan(*SLIDE, side=352, **options).level == level


def test_a_tile_is_in_pixels_of_the_finest_level():
    made = plan((400, 400), (200, 200), detail=Detail(80, overlap=0), level=1)
    assert made.tiles[0].height == 40
    assert len(made.tiles) == 25


def test_levels_that_are_no_halves():
    made = plan((400, 300), (133, 150), level=1)
    assert made.extent.factor == (400 / 133, 2)
    assert made.shape == (1, 133, 150)
    assert made.extent.origin == pytest.approx(((400 / 133 - 1) / 2, 0.5))


def test_nothing_is_read():
    recorded = Recorded(np.zeros((5, 60, 60)))
    source = as_source(recorded)
    assert isinstance(source, Source)
    make_plan(source, side=16, detail=Detail("fine", overview=0.2), region=[(3, 3), (50, 40)])
    assert not recorded.read.any()
