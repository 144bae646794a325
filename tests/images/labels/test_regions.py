from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.measure import label

from napari_clipseg.images.labels.regions import fill_holes, majority, select

planes = hnp.arrays(
    np.int32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 3)
)


def drawn(*rows):
    """Turn text into labels: a dot is background."""
    return np.array([[0 if c == "." else int(c) for c in row] for row in rows], np.int32)


@given(planes, st.integers(0, 2), st.integers(0, 2))
def test_the_majority_of_each_window(classes, up, side):
    smooth = majority(classes, (up, side))
    padded = np.pad(classes, ((up, up), (side, side)), mode="edge")
    for row, column in np.ndindex(classes.shape):
        window = padded[row : row + 2 * up + 1, column : column + 2 * side + 1]
        counts = np.bincount(window.ravel())
        best = int(counts.argmax())
        assert smooth[row, column] == (best if 2 * counts[best] > window.size else 0)


FILLED = {
    "a hole": (["111", "1.1", "111"], np.inf, ["111", "111", "111"]),
    "no hole": (["111", "1..", "111"], np.inf, ["111", "1..", "111"]),
    "a hole with a corner out is one": (
        [".111", "11.1", "1111"],
        np.inf,
        [".111", "1111", "1111"],
    ),
    "closed by corners alone": ([".1.", "1.1", ".1."], np.inf, [".1.", "111", ".1."]),
    "between two objects": (["112", "1.2", "122"], np.inf, ["112", "1.2", "122"]),
    "around an island": (
        ["11111", "1...1", "1.2.1", "1...1", "11111"],
        np.inf,
        ["11111", "1...1", "1.2.1", "1...1", "11111"],
    ),
    "of another object beside it": (["1112", "1.12", "1112"], np.inf, ["1112", "1112", "1112"]),
    "as large as may be": (["1111", "1..1", "1111"], 2, ["1111", "1111", "1111"]),
    "too large": (["1111", "1..1", "1111"], 1, ["1111", "1..1", "1111"]),
    "one of two is too large": (["111111", "1.1..1", "111111"], 1, ["111111", "111..1", "111111"]),
    "no background": (["11", "22"], np.inf, ["11", "22"]),
    "nothing": (["..", ".."], np.inf, ["..", ".."]),
}


@pytest.mark.parametrize(("before", "most", "after"), FILLED.values(), ids=FILLED.keys())
def test_filled_holes(before, most, after):
    filled = fill_holes(drawn(*before), most)
    assert filled.dtype == np.int32
    np.testing.assert_array_equal(filled, drawn(*after))


@given(planes)
def test_filling_changes_background_only(objects):
    filled = fill_holes(objects)
    np.testing.assert_array_equal(filled[objects > 0], objects[objects > 0])
    np.testing.assert_array_equal(fill_holes(filled), filled)


@given(planes, st.integers(0, 4), st.integers(0, 9), st.booleans())
def test_which_objects_are_selected(classes, least, most, drop_border):
    objects = label(classes, background=0).astype(np.int32)[:, ::-1]  # numbered in no order
    result = select(objects, least, most, drop_border)
    wanted = []
    for number in dict.fromkeys(objects.ravel().tolist()):  # in reading order
        mask = objects == number
        at_edge = mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any()
        if number and least <= mask.sum() <= most and not (drop_border and at_edge):
            wanted.append(mask)
    assert result.max() == len(wanted)
    for number, mask in enumerate(wanted, start=1):
        np.testing.assert_array_equal(result == number, mask)
