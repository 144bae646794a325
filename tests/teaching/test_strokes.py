from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_clipseg.images.io.source import as_source
from napari_clipseg.teaching.strokes import (
    BLOCK,
    GAP,
    MOST_PIXELS,
    Strokes,
    from_record,
    held_out,
    read_strokes,
    to_record,
)

IMAGE = np.zeros((40, 60), np.uint8)
STACK = np.zeros((3, 40, 60), np.uint8)


def lines(shape=(40, 60), rows=(5, 20, 35), value=2):
    strokes = np.zeros(shape, np.uint8)
    strokes[..., rows, 10:20] = value
    return strokes


def test_places_values_and_groups_of_strokes():
    painted = lines()
    painted[10, 30:40] = 1
    found = read_strokes(painted, as_source(IMAGE))
    again = np.zeros_like(painted)
    again[tuple(found.places.T)] = found.values
    np.testing.assert_array_equal(again, painted)
    assert len(np.unique(found.groups)) == 4  # three lines, and one beside


def test_strokes_that_touch_are_one_and_other_values_are_others():
    painted = np.zeros((40, 60), int)
    painted[5, 5:10] = painted[6, 10:15] = 2  # corner to corner
    painted[7, 15:20] = 3
    found = read_strokes(painted, as_source(IMAGE))
    assert len(np.unique(found.groups[found.values == 2])) == 1
    assert len(np.unique(found.groups)) == 2


def test_a_large_area_is_held_out_block_by_block():
    side = 3 * BLOCK
    painted = np.full((side, side), 2, np.uint8)
    found = read_strokes(painted, as_source(np.zeros((side, side), np.uint8)))
    assert len(found) == MOST_PIXELS  # evenly spread
    assert len(np.unique(found.groups)) == 9
    assert np.ptp(found.places, axis=0).min() == side - 1


def test_planes_that_are_painted_on():
    painted = np.zeros(STACK.shape, np.uint8)
    painted[0, 5, 5:9], painted[2, 5, 5:9] = 1, 2
    found = read_strokes(painted, as_source(STACK, axes="zyx"))
    assert found.planes == [(0,), (2,)]
    assert found.values[found.on((2,))].tolist() == [2] * 4


def test_strokes_on_a_coarser_level():
    levels = [np.zeros((40, 60), np.uint8), np.zeros((20, 30), np.uint8)]
    found = read_strokes(lines(), as_source(levels), level=1)
    assert sorted(set(map(tuple, found.places))) == [
        (row, column) for row in (2, 10, 17) for column in range(5, 10)
    ]


class Layer:
    """What is read of a napari Labels layer."""

    def __init__(self, data):
        self.data = data

    def data_to_world(self, at):
        return at


def test_a_labels_layer_is_read():
    assert len(read_strokes(Layer(lines()), as_source(IMAGE))) == 30


WRONG = {
    "floats": (np.zeros((40, 60)), TypeError, "are float64; wanted whole numbers"),
    "another shape": (np.ones((40, 59), int), ValueError, r"have shape \(40, 59\); wanted \(40,"),
    "of a stack": (np.ones((3, 40, 60), int), ValueError, r"have shape \(3, 40, 60\)"),
    "below zero": (np.full((40, 60), -1), ValueError, "have the value -1"),
    "nothing": (np.zeros((40, 60), int), ValueError, "Nothing is painted on image"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_strokes_are_refused(name):
    strokes, kind, message = WRONG[name]
    with pytest.raises(kind, match=message):
        read_strokes(strokes, as_source(IMAGE))


def test_held_out_strokes_are_whole_and_far_from_the_others():
    painted = lines(rows=(3, 5, 15, 25, 38))
    painted[10, 30:50] = painted[20, 30:50] = painted[30, 30:50] = 1
    found = read_strokes(painted, as_source(IMAGE))
    positive = found.values == 2
    folds = list(held_out(found, positive, 3))
    assert len(folds) == 3
    tested = np.concatenate([test for _, test in folds])
    assert sorted(tested) == list(range(len(found)))  # each once
    for train, test in folds:
        assert not set(found.groups[train]) & set(found.groups[test])
        away = found.places[train][:, None] - found.places[test]
        assert np.hypot(*away.transpose(2, 0, 1)).min() >= GAP
        assert set(positive[train]) == {False, True}


def test_one_stroke_a_side_cannot_be_held_out():
    painted = lines(rows=(5,))
    painted[30, 30:50] = 1
    found = read_strokes(painted, as_source(IMAGE))
    assert not list(held_out(found, found.values == 2, 3))


@given(
    hnp.arrays(
        np.uint8, st.tuples(st.integers(1, 30), st.integers(1, 30)), elements=st.integers(0, 3)
    )
)
def test_any_strokes_and_their_record(painted):
    source = as_source(np.zeros(painted.shape, np.uint8))
    if not painted.any():
        with pytest.raises(ValueError, match="Nothing is painted"):
            read_strokes(painted, source)
        return
    found = read_strokes(painted, source)
    table = from_record(to_record(found))
    again = np.zeros_like(painted)
    again[tuple(table[:, :-1].T)] = table[:, -1]
    np.testing.assert_array_equal(again, painted)
    for _, test in held_out(found, found.values == 2, 3):
        assert len(test)
    assert isinstance(found.of(found.values == 2), Strokes)
