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


def expected(per_side, right, sampled, certainty=3.0):
    """Strokes of which a share is answered rightly, and the answers on the image."""
    painted, positive = strokes(per_side)
    rng = np.random.default_rng(0)
    # The same share of each stroke.
    good = rng.permuted(np.tile(np.arange(20) < 20 * right, (2 * per_side, 1)), axis=1).ravel()
    held = np.where(positive == good, certainty, -certainty)
    weights = np.full(len(held), 1 / len(held))
    return expected_iou(painted, positive, held, weights, sampled)


ANSWER = np.where(np.arange(10_000) < 3_000, 3.0, -3.0)


def test_no_score_of_few_strokes():
    assert expected(LEAST_STROKES - 1, 1.0, ANSWER) is None
    assert expected(LEAST_STROKES, 1.0, ANSWER) is not None


def test_the_better_held_out_strokes_are_found_the_higher_is_the_score():
    scores = [expected(10, right, ANSWER) for right in (0.5, 0.7, 0.85, 0.95, 1.0)]
    assert scores == sorted(scores)
    assert scores[0] < 0.5
    assert scores[-1] > 0.95


def test_how_sure_the_answers_are_does_not_count_but_how_right_they_are():
    sure, unsure = expected(10, 0.85, 2 * ANSWER, 6.0), expected(10, 0.85, ANSWER / 3, 1.0)
    assert sure == pytest.approx(unsure, abs=0.1)


def test_nothing_marked_scores_zero():
    assert expected(10, 1.0, np.full(1000, -3.0)) == 0


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
@pytest.mark.parametrize("right", [0.9, 0.95])
def test_the_expected_iou_of_answers_that_are_right_so_often(share, right):
    """Both sides are right alike often, so the true share follows from what is marked."""
    marked = share * right + (1 - share) * (1 - right)
    sampled = np.where(np.arange(20_000) < 20_000 * marked, 3.0, -3.0)
    wanted = share * right / (share + (1 - share) * (1 - right))
    assert expected(30, right, sampled) == pytest.approx(wanted, abs=0.15)
