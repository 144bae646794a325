from __future__ import annotations

import numpy as np
import pytest

from napari_clipseg.teaching.score import LEAST_STROKES, expected_iou, share_offset
from napari_clipseg.teaching.strokes import Strokes


def strokes(per_side, length=20):
    groups = np.repeat(np.arange(2 * per_side), length)
    positive = groups < per_side
    places = np.zeros((len(groups), 2), int)
    return Strokes(places, np.where(positive, 2, 1), groups), positive


@pytest.mark.parametrize("share", [0.03, 0.2, 0.5, 0.9])
def test_the_offset_follows_the_share_of_a_clear_answer(share):
    probability = np.where(np.arange(10_000) < share * 10_000, 0.99, 0.01)
    rare = share_offset(np.full(10_000, 0.01))
    assert rare < share_offset(probability) < share_offset(np.full(10_000, 0.99))


def test_an_answer_that_says_nothing_gets_the_usual_share():
    assert share_offset(np.full(100, 0.5)) == pytest.approx(np.log(0.3 / 0.7))


def test_no_score_of_few_strokes():
    painted, positive = strokes(LEAST_STROKES - 1)
    assert expected_iou(painted, positive, positive, 0.3) is None


def test_all_found_scores_high_nothing_found_low_and_wrong_ones_zero():
    painted, positive = strokes(10)
    high = expected_iou(painted, positive, positive, 0.3)
    half = expected_iou(painted, positive, positive & (painted.groups % 2 == 0), 0.15)
    assert 0.9 < high <= 1
    assert half < 0.7 * high
    assert expected_iou(painted, positive, ~positive, 0.3) == 0


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6])
@pytest.mark.parametrize(("true", "false"), [(0.95, 0.01), (0.8, 0.05), (0.6, 0.2)])
def test_the_expected_iou_is_that_of_the_formula(share, true, false):
    """Many strokes, of which the said shares are found, on an image of the said share."""
    painted, positive = strokes(300, length=10)
    rng = np.random.default_rng(0)
    found = rng.random(len(positive)) < np.where(positive, true, false)
    marked = share * true + (1 - share) * false
    wanted = share * true / (share + (1 - share) * false)
    assert expected_iou(painted, positive, found, marked) == pytest.approx(wanted, abs=0.06)
