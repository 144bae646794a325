from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given

from drawing import examples
from exported import PINCHED, RING, filled, pixels, small_labels
from napari_clipseg.images.labels.masks import masks
from napari_clipseg.images.labels.polygons import polygons

# Rings and holes of each polygon of the label 1.
SHAPES = {
    "one pixel": (pixels("1"), [(1, 0)]),
    "a rectangle": (pixels("...", ".11", ".11"), [(1, 0)]),
    "a hole": (RING, [(1, 1)]),
    "holes that touch at a corner": (PINCHED, [(1, 2)]),
    "pixels that touch at a corner": (pixels("1.", ".1"), [(1, 0), (1, 0)]),
    "a hole open at a corner": (pixels("111", "1.1", "11."), [(1, 1)]),
    "an object in a hole": (np.pad(RING, 1, constant_values=1), [(1, 1), (1, 1)]),
    "nothing": (pixels("..", ".."), []),
}


@pytest.mark.parametrize(("labels", "rings"), SHAPES.values(), ids=SHAPES)
def test_rings_of_shapes(labels, rings):
    found = polygons(labels).get(1, [])
    assert [(1, len(one.holes)) for one in found] == rings


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (3, 0)])
def test_a_plane_without_pixels_has_no_outlines(shape):
    assert polygons(np.zeros(shape, int)) == {}


@examples(150)
@given(small_labels())
def test_outlines_fill_to_the_very_pixels(labels):
    found = polygons(labels)
    assert list(found) == [label for label in np.unique(labels) if label]
    for label, parts in found.items():
        rings = [ring[:, ::-1] for one in parts for ring in (one.outer, *one.holes)]
        np.testing.assert_array_equal(filled(labels.shape, rings), labels == label)
        shape = shapely.MultiPolygon([(one.outer, one.holes) for one in parts])
        assert shape.is_valid
        assert shape.area == (labels == label).sum()


@examples(50)
@given(small_labels())
def test_rings_are_simple_and_have_corners_only(labels):
    for parts in polygons(labels).values():
        for ring in (ring for one in parts for ring in (one.outer, *one.holes)):
            assert len({tuple(corner) for corner in ring}) == len(ring)
            steps = np.roll(ring, -1, axis=0) - ring
            assert ((steps == 0).sum(axis=1) == 1).all()  # along an axis, and then along the other
            assert ((steps[:, 0] == 0) != (np.roll(steps, 1, axis=0)[:, 0] == 0)).all()


# -- masks


@examples(150)
@given(small_labels())
def test_runs_fill_to_the_very_pixels(labels):
    found = masks(labels)
    assert list(found) == [label for label in np.unique(labels) if label]
    for label, mask in found.items():
        values = np.arange(len(mask.counts)) % 2
        filled_ = np.repeat(values, mask.counts).reshape(labels.shape, order="F")
        np.testing.assert_array_equal(filled_, labels == label)
        assert all(count > 0 for count in mask.counts[1:])
        rows, columns = np.nonzero(labels == label)
        assert mask.area == len(rows)
        box = (rows.min(), columns.min(), np.ptp(rows) + 1, np.ptp(columns) + 1)
        assert mask.box == box
