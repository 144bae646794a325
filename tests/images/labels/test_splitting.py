from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.measure import label

from napari_clipseg.images.labels.splitting import split_touching


def discs(*centers, radius=10.0, shape=(40, 60), squeeze=1.0):
    """Draw discs; rows are `squeeze` times as high."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    where = [(squeeze * (rows - y)) ** 2 + (columns - x) ** 2 <= radius**2 for y, x in centers]
    return np.any(where, axis=0).astype(np.int32)


ONE = discs((20, 20))
TWO = discs((20, 20), (20, 36))
CASES = {
    "one disc": (ONE, 5, 1),
    "two discs, a neck": (TWO, 5, 2),
    "two discs, nearer than asked": (TWO, 20, 1),
    "two discs, hardly a neck": (discs((20, 20), (20, 23)), 2, 1),
    "three in a row": (discs((20, 12), (20, 28), (20, 44)), 5, 3),
    "three at a corner": (discs((12, 14), (12, 30), (28, 30)), 5, 3),
    "a bar": (np.pad(np.ones((7, 50), np.int32), 3), 2, 1),
    "a slanted bar": (
        (np.abs(np.subtract.outer(np.arange(40), np.arange(40))) < 6).astype(np.int32),
        2,
        1,
    ),
    "an ellipse": (discs((20, 30), radius=25, squeeze=2.5), 2, 1),
    "a ring": (discs((20, 20), radius=15) - discs((20, 20), radius=8), 3, 1),
    "a hole of one pixel": (
        np.pad(np.pad(np.zeros((1, 1), np.int32), 1, constant_values=1), 9),
        1,
        1,
    ),
    "a pixel": (np.pad(np.ones((1, 1), np.int32), 2), 0, 1),
    "all of the plane": (np.ones((20, 30), np.int32), 3, 1),
    "nothing": (np.zeros((5, 5), np.int32), 3, 0),
}


@pytest.mark.parametrize(("objects", "apart", "count"), CASES.values(), ids=CASES.keys())
def test_split_at_necks(objects, apart, count):
    parts = split_touching(objects, None, apart)
    assert len(np.unique(parts[parts > 0])) == count
    np.testing.assert_array_equal(parts > 0, objects > 0)


def test_the_cut_runs_through_the_neck():
    parts = split_touching(TWO, None, 5)
    left, right = parts[20, 20], parts[20, 36]
    assert {left, right} == {1, 2}
    assert (parts[:, :27][TWO[:, :27] > 0] == left).all()
    assert (parts[:, 30:][TWO[:, 30:] > 0] == right).all()


def test_distances_are_physical():
    # Two discs one above the other, of pixels that are twice as high as they are wide.
    tall = discs((10, 20), (18, 20), squeeze=2.0)
    assert split_touching(tall, None, 5, (2, 1)).max() == 2
    assert split_touching(tall, None, 17, (2, 1)).max() == 1


def test_split_at_dips_of_the_probability():
    bar = np.pad(np.ones((9, 36), np.int32), 4)
    wave = 0.7 - 0.2 * np.cos(np.arange(44) * 2 * np.pi / 20)  # highest at 10 and 30
    likelihood = np.broadcast_to(wave.astype(np.float32), bar.shape)
    assert split_touching(bar, likelihood, 5).max() == 2
    assert split_touching(bar, 0.9 + (likelihood - 0.7) / 8, 5).max() == 1  # a shallow dip
    assert split_touching(bar, np.ones_like(likelihood), 5).max() == 1


def test_noise_in_a_large_object_is_split_in_time():
    # As many peaks as there is room for; what is quadratic in them would not come to an end.
    likelihood = np.random.default_rng(0).random((600, 600), np.float32)
    parts = split_touching(np.ones((600, 600), np.int32), likelihood, 2)
    assert parts.max() > 1000
    assert len(np.unique(parts)) == parts.max()


def test_each_object_is_split_by_itself():
    objects = np.concatenate([2 * TWO, 5 * ONE, 7 * TWO], axis=1)
    parts = split_touching(objects, None, 5)
    assert np.unique(parts).tolist() == [0, 2, 5, 7, 8, 9]
    for number, its in ((2, {2, 8}), (5, {5}), (7, {7, 9})):
        assert set(np.unique(parts[objects == number])) == its


@given(
    hnp.arrays(
        np.int32, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 2)
    ),
    st.floats(0, 6),
    st.booleans(),
)
def test_parts_lie_within_their_objects(classes, apart, by_probability):
    objects = label(classes, background=0).astype(np.int32)
    rng = np.random.default_rng(0)
    likelihood = rng.random(objects.shape, np.float32) if by_probability else None
    parts = split_touching(objects, likelihood, apart, (1.5, 0.5))
    np.testing.assert_array_equal(parts > 0, objects > 0)
    for part in np.unique(parts[parts > 0]):
        assert len(np.unique(objects[parts == part])) == 1
        assert label(parts == part).max() == 1  # connected
