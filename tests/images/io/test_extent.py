from __future__ import annotations

import json

import numpy as np
import pytest

from napari_clipseg.images.io.extent import Extent
from napari_clipseg.images.io.source import as_source
from napari_clipseg.images.tiling.planning import make_plan

# name: planes that are asked for of t = 3, z = 7; first of each axis, step of each
PLANES = {
    "all": ({}, (0, 0), (1, 1)),
    "one": ({"t": 2, "z": 4}, (2, 4), (1, 1)),
    "one of an axis": ({"z": 4}, (0, 4), (1, 1)),
    "every second": ({"z": slice(1, None, 2)}, (0, 1), (1, 2)),
    "two, far apart": ({"t": slice(0, 3, 2), "z": range(1, 7, 5)}, (0, 1), (2, 5)),
    "backwards": ({"z": slice(None, None, -3)}, (0, 6), (1, -3)),
}


@pytest.mark.parametrize(("planes", "starts", "steps"), PLANES.values(), ids=PLANES)
def test_planes_lie_in_steps(planes, starts, steps):
    source = as_source(np.zeros((3, 7, 8, 9), np.uint8), axes="tzyx")
    extent = make_plan(source, side=16, planes=planes).extent
    assert (extent.plane_starts, extent.plane_steps) == (starts, steps)
    for at, plane in zip(np.ndindex(*extent.planes_shape), extent.planes, strict=True):
        assert plane == tuple(np.add(starts, np.multiply(at, steps)))


def test_the_shape_is_that_of_one_map():
    extent = Extent(axes=("z",), planes_shape=(3,), planes=((0,), (1,), (2,)), height=8, width=9)
    assert extent.shape == (3, 8, 9)


def test_an_extent_of_one_plane_needs_no_more_than_a_size():
    extent = Extent(height=8, width=9)
    assert (extent.shape, extent.plane_starts, extent.plane_steps) == ((8, 9), (), ())
    assert extent == Extent(height=8, width=9, unit="pixel")


@pytest.mark.parametrize("planes", [one for one, *_ in PLANES.values()], ids=PLANES)
def test_an_extent_comes_back_from_json(planes):
    levels = [np.zeros((3, 7, 8, 9), np.uint8), np.zeros((3, 7, 4, 5), np.uint8)]
    source = as_source(levels, axes="tzyx", spacing=(0.5, 0.3), translation=(1, 2), unit="um")
    region = [(2, 2), (6, 7)]
    extent = make_plan(source, side=32, patch=16, planes=planes, level=1, region=region).extent
    assert Extent.from_dict(json.loads(json.dumps(extent.to_dict()))) == extent
    assert Extent.from_dict(extent.to_dict()).planes == extent.planes


def test_an_extent_without_planes_comes_back():
    extent = Extent(height=3, width=4)
    assert Extent.from_dict(extent.to_dict()) == extent
