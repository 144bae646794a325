from __future__ import annotations

import numpy as np
import pytest

from napari_clipseg.images.labels.linking import matches, object_classes


def bars(*spans, width=20):
    """Draw objects 1, 2, ... in a row of pixels, from and to."""
    plane = np.zeros((1, width), np.int32)
    for number, (first, last) in enumerate(spans, start=1):
        plane[:, first:last] = number
    return plane


CASES = {
    "the same": (bars((0, 4), (6, 9)), bars((0, 4), (6, 9)), 0.25, [0, 1, 2]),
    "in another order": (bars((0, 4), (6, 9)), bars((6, 9), (0, 4)), 0.25, [0, 2, 1]),
    "a new one": (bars((0, 4)), bars((0, 4), (6, 9)), 0.25, [0, 1, 0]),
    "one gone": (bars((0, 4), (6, 9)), bars((6, 9)), 0.25, [0, 2]),
    "split: the larger part keeps it": (bars((0, 9)), bars((0, 3), (3, 9)), 0.25, [0, 0, 1]),
    "merged: the larger one gives it": (bars((0, 3), (3, 9)), bars((0, 9)), 0.25, [0, 2]),
    "overlap as small as may be": (bars((0, 5)), bars((3, 8)), 0.25, [0, 1]),
    "overlap too small": (bars((0, 5)), bars((3, 8)), 0.26, [0, 0]),
    # A greedy pair of 8 of 10 leaves the next best ones to the others.
    "the best first": (bars((0, 4), (4, 14)), bars((0, 6), (6, 14)), 0.25, [0, 1, 2]),
    "nothing before": (bars(), bars((0, 4)), 0.25, [0, 0]),
    "nothing after": (bars((0, 4)), bars(), 0.25, [0]),
}


@pytest.mark.parametrize(("before", "after", "least", "wanted"), CASES.values(), ids=CASES.keys())
def test_matches(before, after, least, wanted):
    found = matches((before, before > 0), (after, after > 0), least)
    assert found.dtype == np.int32
    assert found.tolist() == wanted


def test_classes_do_not_match_each_other():
    before, after = bars((0, 10)), bars((0, 8), (8, 10))
    kinds = np.where(after == 1, 2, 1) * (after > 0)
    assert matches((before, before), (after, kinds), 0.1).tolist() == [0, 0, 1]


def test_the_class_of_an_object_is_that_of_most_of_its_pixels():
    instances = np.array([[1, 1, 1, 4, 4, 6, 0]])
    semantic = np.array([[3, 3, 2, 1, 2, 0, 1]])
    classes = object_classes(instances, semantic)
    assert classes.dtype == np.int32
    assert classes.tolist() == [0, 3, 0, 0, 1, 0, 0]


def test_background_has_no_say_in_a_class():
    assert object_classes(np.array([[1, 1, 1]]), np.array([[0, 2, 0]])).tolist() == [0, 2]


def test_the_classes_of_a_stack():
    instances = np.stack([bars((0, 4)), np.where(bars((0, 4)), 900, 0), bars((0, 9))])[:, None]
    semantic = np.stack([bars((0, 4)), 2 * bars((0, 4)), 3 * bars((0, 9))])[:, None]
    classes = object_classes(instances, semantic)
    assert classes.shape == (901,)
    assert (classes[1], classes[900], classes.sum()) == (3, 2, 5)  # 4 pixels of 1, 9 of 3


def test_classes_of_nothing():
    assert object_classes(np.zeros((3, 3), int), np.zeros((3, 3), int)).tolist() == [0]


def test_shapes_must_be_equal():
    with pytest.raises(ValueError, match=r"shape \(2, 2\), their classes \(2, 3\)"):
        object_classes(np.zeros((2, 2), int), np.zeros((2, 3), int))
