from __future__ import annotations

import numpy as np
import pytest

from evaluate.edges import boundary_score, outline


def square(first, last, size=20):
    mask = np.zeros((size, size), bool)
    mask[first:last, first:last] = True
    return mask


@pytest.mark.parametrize(
    ("found", "truth", "tolerance", "score"),
    [
        pytest.param(square(5, 15), square(5, 15), 0, 1, id="the same"),
        pytest.param(square(5, 15), square(6, 16), 2, 1, id="within the tolerance"),
        pytest.param(square(5, 15), square(8, 12), 1, 0, id="beyond it"),
        pytest.param(square(5, 15), square(0, 0), 1, 0, id="nothing was there"),
        pytest.param(square(0, 0), square(5, 15), 1, 0, id="nothing was found"),
        pytest.param(square(0, 0), square(0, 0), 1, 1, id="nothing, and rightly so"),
        pytest.param(square(5, 15), square(5, 15) | square(17, 19), 0, 36 / 38, id="one missed"),
    ],
)
def test_boundary_score(found, truth, tolerance, score):
    assert boundary_score(found, truth, tolerance) == pytest.approx(score)
    assert boundary_score(truth, found, tolerance) == pytest.approx(score)


def test_the_edge_of_the_picture_is_no_outline():
    mask = np.zeros((6, 8), bool)
    mask[:, :4] = True
    assert np.argwhere(outline(mask)).tolist() == [[row, 3] for row in range(6)]
