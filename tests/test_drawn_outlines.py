"""Any outline: a region of a run, and an example; used, or refused by what is wrong with it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cases import RAMP
from drawing import examples, refusal
from napari_clipseg.images.geometry import outline_mask
from napari_clipseg.images.visual_prompts import Example
from napari_clipseg.segmentation import segment
from seeing import Seeing

IMAGE = np.dstack([RAMP.astype(np.uint8)] * 3)
near = st.floats(-3, 25) | st.integers(-3, 25)
any_number = near | st.floats() | st.sampled_from([1e300, -1e300, 1e12, 2.0**31, 1e-12])
outlines = (
    st.lists(st.tuples(near, near), max_size=7)
    | st.lists(st.tuples(any_number, any_number), max_size=5)
    | st.lists(st.lists(any_number, max_size=3), max_size=4)
)
REFUSED = ("wanted", "encloses no area", "covers no pixel", "lies beside")


@examples(150)
@given(outlines)
def test_any_region_bounds_a_map_or_is_refused(outline):
    result, said = refusal(
        lambda: segment(IMAGE, "x", region=outline, model=Seeing(12)), ValueError
    )
    if said:
        assert any(words in said for words in REFUSED), said
        return
    maps = result.probability[0]
    top, left = (round(one) for one in result.extent.origin)
    height, width = maps.shape
    assert top >= 0
    assert left >= 0
    assert top + height <= len(IMAGE)
    assert left + width <= IMAGE.shape[1]
    if len(outline) > 2:
        inside = outline_mask((height, width), np.array(outline, float) - (top, left))
        np.testing.assert_array_equal(maps > 0, inside)
    else:
        assert (maps > 0).all()


@examples(150)
@given(outlines)
def test_any_outline_is_an_example_or_is_refused(outline):
    read, said = refusal(lambda: Example(IMAGE, outline).read(), ValueError)
    if said:
        assert any(words in said for words in REFUSED), said
        return
    (prompt,) = read
    assert prompt.dtype == np.uint8
    assert prompt.ndim == 3
    assert prompt.shape[2] == 3
    assert min(prompt.shape[:2]) >= 1
