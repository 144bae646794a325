from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from skimage.draw import polygon2mask

from napari_clipseg.images.geometry import encloses_area, outline_mask

corners = st.floats(-5, 25).filter(lambda x: abs(x - round(x)) > 1e-6)


@given(corners, corners, corners, corners, st.booleans())
def test_a_rectangle_marks_the_pixels_whose_centers_lie_in_it(top, left, bottom, right, turned):
    assume(abs(top - bottom) > 0.01)
    assume(abs(left - right) > 0.01)
    outline = np.array([(top, left), (top, right), (bottom, right), (bottom, left)])
    rows, columns = np.ogrid[:20, :15]
    wanted = (min(top, bottom) < rows) & (rows < max(top, bottom))
    wanted = wanted & (min(left, right) < columns) & (columns < max(left, right))
    mask = outline_mask((20, 15), outline[::-1] if turned else outline)
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, wanted)


def test_a_triangle_marks_half_a_rectangle():
    mask = outline_mask((100, 100), np.array([(-0.5, -0.5), (99.6, -0.5), (-0.5, 99.6)]))
    rows, columns = np.ogrid[:100, :100]
    np.testing.assert_array_equal(mask, rows + columns < 99.1)


@pytest.mark.parametrize(
    "outline",
    [
        pytest.param([(3, 3)] * 4, id="a point"),
        pytest.param([(3, 3), (3, 9), (3, 9), (3, 3)], id="a line"),
        pytest.param([(2, 2), (4, 4), (6, 6)], id="a slanted line"),
        pytest.param([(0.1, 0.3), (0.2, 0.6), (0.4, 1.2)], id="a line but for rounding"),
        pytest.param([(1e6, 1e6), (1e6 + 3, 1e6 + 9), (1e6 + 1, 1e6 + 3)], id="a line far away"),
        pytest.param([(0, 0), (0, 9), (9, 9), (0, 9)], id="there and back"),
        pytest.param([(0, 0), (0, 9), (9, 9), (9, 0)] * 2, id="twice around"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_outlines_without_area_are_refused(outline):
    with pytest.raises(ValueError, match=r"encloses no area\. Give three corners or more"):
        outline_mask((10, 10), np.array(outline, float))


def test_an_outline_beside_the_image_marks_nothing():
    outline = np.array([(20, 20), (20, 30), (30, 30), (30, 20)], float)
    assert not outline_mask((10, 10), outline).any()


def test_a_triangle_encloses_an_area_and_a_line_none():
    assert encloses_area(np.array([(0, 0), (0, 5), (5, 0)]))
    assert not encloses_area(np.array([(0, 0), (1, 5), (2, 10)]))


# Outlines that cross themselves: the parts that they enclose have opposite signs.
CROSSING = {
    "a bow tie": [(0, 0), (9, 9), (0, 9), (9, 0)],
    "a bow tie lying down": [(-0.4, -0.4), (-0.4, 9.4), (9.4, -0.4), (9.4, 9.4)],
    "two rectangles": [(0, 0), (0, 4), (4, 4), (4, 9), (8, 9), (8, 4), (4, 4), (4, 0)],
}


@pytest.mark.parametrize("outline", CROSSING.values(), ids=CROSSING)
def test_an_outline_that_crosses_itself_encloses_what_lies_between(outline):
    corners = np.array(outline, float)
    assert encloses_area(corners)
    mask = outline_mask((10, 10), corners)
    assert 20 < mask.sum() < 80


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=3, max_size=8),
    st.sampled_from([1e-3, 1, 1e6]),
)
def test_whatever_marks_many_pixels_encloses_an_area(outline, scale):
    corners = np.array(outline, float)
    marked = polygon2mask((130, 130), corners * 10 + 0.3).sum()
    if marked > 0:
        assert encloses_area(corners * scale)
    if not encloses_area(corners * scale):
        assert marked == 0
