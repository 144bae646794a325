from __future__ import annotations

import numpy as np
import pytest

from napari_clipseg.images.edges.walker import walk


def flat_and_edge(column=12, height=9, width=30):
    """Return a guide ``(height, width, 1)``, dark to `column`, and a uncertain map between ends."""
    guide = np.zeros((height, width, 1), np.float32)
    guide[:, column:] = 1
    one = np.full((height, width), 0.5, np.float32)
    one[:, 0], one[:, -1] = 0, 1
    return one, guide


def test_walks_end_at_the_edge():
    one, guide = flat_and_edge()
    found = walk(one, guide, (0.1, 0.9), 130)
    assert found[:, :12].max() < 0.05
    assert found[:, 12:].min() > 0.95
    np.testing.assert_array_equal(found[:, [0, -1]], one[:, [0, -1]])


def test_without_a_preference_chances_fall_with_the_distance():
    one, guide = flat_and_edge(column=1)  # the edge lies at the very end
    found = walk(one, guide, (0.1, 0.9), 1e-9)
    np.testing.assert_allclose(
        found, np.broadcast_to(np.linspace(0, 1, 30), found.shape), atol=1e-3
    )


def test_confident_pixels_keep_their_values():
    one, guide = flat_and_edge()
    one[:, :5], one[:, -5:] = 0.08, 0.93
    found = walk(one, guide, (0.1, 0.9), 130)
    np.testing.assert_array_equal(found[:, :5], one[:, :5])
    np.testing.assert_array_equal(found[:, -5:], one[:, -5:])
    assert (found[:, 5:-5] != 0.5).all()


@pytest.mark.parametrize(
    ("one", "guide"),
    [
        pytest.param(flat_and_edge()[0], np.full((9, 30, 1), 0.4, np.float32), id="flat image"),
        pytest.param(np.full((9, 30), 0.5, np.float32), flat_and_edge()[1], id="all uncertain"),
        pytest.param(np.full((9, 30), 0.99, np.float32), flat_and_edge()[1], id="all in"),
        pytest.param(np.tile([0.0, 0.4], (9, 15)).astype("f4"), flat_and_edge()[1], id="none in"),
        pytest.param(np.eye(9, 30, dtype=np.float32), flat_and_edge()[1], id="none uncertain"),
    ],
)
def test_where_no_walk_tells_the_map_stays(one, guide):
    np.testing.assert_array_equal(walk(one, guide, (0.1, 0.9), 130), one)


def test_what_cannot_be_reached_from_both_sides_stays():
    one, guide = flat_and_edge(width=40)
    one[3:6, 34:37] = 0.3  # a uncertain island ...
    one[:, 30:33] = 0  # ... apart from the others
    one[:, 33:] = np.where(one[:, 33:] == np.float32(0.3), np.float32(0.3), 0)
    one[:, 29] = 1
    found = walk(one, guide, (0.1, 0.9), 130)
    np.testing.assert_array_equal(found[:, 29:], one[:, 29:])
    assert found[:, 1:12].max() < 0.05


def test_a_pixel_that_strong_edges_isolate_keeps_its_value():
    map_ = np.full((3, 5), 0.5, np.float32)
    map_[0, 1], map_[1, 4] = 0, 1
    guide = np.zeros((3, 5, 3), np.float32)
    guide[0, 1, 0], guide[1, 1, 0], guide[1, 2, 0] = np.array([47, 40, 157]) / 255
    # Pixel (1, 2) differs strongly from all of its neighbors.
    found = walk(map_, guide, (0.1, 0.9), 5000.0)
    assert found[1, 2] == 0.5
    assert found.min() >= 0
    assert found.max() <= 1
