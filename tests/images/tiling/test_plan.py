from __future__ import annotations

import re

import numpy as np
import pytest

from napari_clipseg.images.io.extent import Extent
from napari_clipseg.images.io.source import as_source
from napari_clipseg.images.tiling.plan import Detail
from napari_clipseg.images.tiling.planning import make_plan

MB = 2**20
BAD = {
    "another word": (
        {"tile_size": "finest"},
        "The tile size is 'finest'; wanted 'whole', 'medium'",
    ),
    "no pixel": ({"tile_size": 0}, "or a side above 0 such as 512"),
    "a tile of NaN": ({"tile_size": np.nan}, "The tile size is nan"),
    "an endless tile": ({"tile_size": np.inf}, "The tile size is inf"),
    "overlap of all": ({"overlap": 1}, "The overlap of tiles is 1; wanted 0 to 0.9"),
    "an overlap below 0": ({"overlap": -0.1}, "wanted 0 to 0.9"),
    "overview in percent": ({"overview": 30}, "The overview of tiles is 30; wanted 0 to 1"),
    "a shift in pixels": ({"shift": 16}, "The shift of tiles is 16; wanted 0 to 1"),
    "a shift of NaN": ({"shift": np.nan}, "The shift of tiles is nan"),
}


def plan(shape=(300, 500), axes=None, **options):
    options = {"side": 100, "patch": 10} | options
    return make_plan(as_source(np.zeros(shape, np.uint8), axes=axes), **options)


@pytest.mark.parametrize(("options", "says"), BAD.values(), ids=BAD)
def test_bad_details_are_refused_with_the_cure(options, says):
    with pytest.raises(ValueError, match="wanted") as caught:
        Detail(**options)
    assert says in str(caught.value)


def test_what_a_plan_says_of_a_whole_plane():
    one = plan()
    assert str(one).startswith("1 plane of 300 x 500 pixels, as a whole: 1 tile; a map of 1 MB")
    assert one.tiles_of_plane == one.tiles
    assert (one.tile_count, one.shape) == (1, (1, 300, 500))


def test_what_a_plan_says_of_tiles_planes_and_levels():
    whole = np.zeros((7, 600, 1000), np.uint8)
    many = make_plan(
        as_source([whole, whole[:, ::2, ::2]]),
        side=100,
        maps=2,
        detail=Detail(200, overlap=0, overview=0.3),
        planes={"z": slice(2, 6)},
        level=1,
    )
    assert str(many).startswith(
        "4 planes of 300 x 500 pixels of level 1, in 15 tiles of 100 x 100 pixels and one overview "
        "(weight 0.3): 64 tiles; a map of 5 MB, "
    )
    assert re.search(r", \d+ MB to work with$", str(many))
    assert many.tiles_of_plane == (many.overview, *many.tiles)
    assert many.shape == (2, 4, 300, 500)
    assert many.map_bytes == 2 * 4 * 300 * 500 * 4
    assert many.extent.factor == (2, 2)
    assert many.extent.origin == (0.5, 0.5)
    assert many.extent == Extent(
        axes=("z",),
        planes_shape=(4,),
        planes=((2,), (3,), (4,), (5,)),
        height=300,
        width=500,
        origin=(0.5, 0.5),
        factor=(2, 2),
        spacing=(2, 2),
    )


SIZES = {
    "a square": ((300, 300), 100, 10, (100, 100)),
    "wide": ((100, 400), 100, 10, (50, 200)),
    "high": ((400, 100), 100, 10, (200, 50)),
    "whole patches": ((300, 500), 96, 8, (72, 120)),
    "a strip": ((4, 400), 100, 10, (10, 1000)),
    "one pixel": ((1, 1), 100, 10, (100, 100)),
    "a line has no more patches than twice those of a square": ((1, 40_000), 100, 10, (10, 2000)),
    "a column, too": ((40_000, 1), 100, 10, (2000, 10)),
}


@pytest.mark.parametrize(("shape", "side", "patch", "size"), SIZES.values(), ids=SIZES)
def test_the_shape_of_what_is_looked_at_is_kept(shape, side, patch, size):
    one = plan(shape, side=side, patch=patch)
    assert one.input_size(one.tiles[0]) == size


def test_tiles_have_the_models_square():
    many = plan(detail=Detail(150, overview=0.5))
    assert {many.input_size(tile) for tile in many.tiles} == {(100, 100)}
    assert many.input_size(many.overview) == (80, 130)
    cut = plan((60, 500), detail=Detail(100))  # higher than the plane
    assert {cut.input_size(tile) for tile in cut.tiles} == {(60, 100)}


@pytest.mark.parametrize("tile", ["whole", 100, 400])
def test_memory_to_work_with_follows_what_is_held(tile):
    small = plan((1000, 1000), detail=Detail(tile))
    prompts = plan((1000, 1000), detail=Detail(tile), maps=9)
    wide = plan((1000, 9000), detail=Detail(tile))
    high = plan((9000, 1000), detail=Detail(tile))
    assert 0 < small.working_bytes < 100 * MB
    assert prompts.working_bytes > 4 * small.working_bytes
    if tile != "whole":
        assert wide.working_bytes > 4 * small.working_bytes
        assert high.working_bytes == small.working_bytes  # bands come one after the other
