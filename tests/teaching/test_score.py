from __future__ import annotations

import numpy as np
import pytest

from napari_clipseg.teaching.score import (
    LEAST_SHARE,
    LEAST_STROKES,
    MOST_SHARE,
    SILENT_SHARE,
    Cut,
    best_cut,
    enough_to_tell,
    held_out_slope,
    silenced,
    usual_share,
)
from napari_clipseg.teaching.strokes import Strokes


def strokes(on, beside, length=20):
    groups = np.repeat(np.arange(on + beside), length)
    positive = groups < on
    places = np.zeros((len(groups), 2), int)
    return Strokes(places, np.where(positive, 2, 1), groups), positive


def two_humps(share, apart, count=20_000):
    """Logits of pixels of which a share is the thing, as both sides alike teach them."""
    rng = np.random.default_rng(0)
    truth = np.arange(count) < share * count
    # Of two normal distributions the log ratio of densities is linear, and its own calibration.
    values = rng.normal(np.where(truth, apart / 2, -apart / 2), 1)
    return apart * values, truth


def iou(marked, truth):
    return (marked & truth).sum() / (marked | truth).sum()


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("apart", [2.0, 3.0, 5.0])
def test_the_cut_agrees_nearly_as_well_as_the_best_one_and_expects_it(share, apart):
    logits, truth = two_humps(share, apart)
    cut = best_cut(logits, strokes=12)
    found = iou(cut.slope * logits + cut.offset > 0, truth)
    possible = max(iou(logits > at, truth) for at in np.linspace(-8, 8, 161))
    assert found > possible - 0.06
    assert cut.iou == pytest.approx(found, abs=0.15)


@pytest.mark.parametrize("count", [1, 2, 6, 24, 1000])
def test_answers_that_say_nothing_get_the_usual_share(count):
    assert best_cut(np.zeros(1000), count).iou == pytest.approx(usual_share(count), abs=0.01)


def test_the_more_strokes_there_are_the_smaller_may_a_thing_be():
    shares = [usual_share(count) for count in (2, 6, 12, 24, 48, 1000)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == MOST_SHARE
    assert shares[-1] == pytest.approx(LEAST_SHARE, abs=0.01)


@pytest.mark.parametrize("logits", [np.full(100, -50.0), np.full(100, 50.0), np.zeros(1)])
def test_a_cut_of_answers_that_are_all_alike_is_finite(logits):
    cut = best_cut(logits, 12)
    assert np.isfinite([cut.slope, cut.offset, cut.iou]).all()
    assert 0 <= cut.iou <= 1


@pytest.mark.parametrize("slope", [0.2, 1.0, 3.0])
def test_the_slope_makes_answers_as_sure_as_they_are_right(slope):
    rng = np.random.default_rng(0)
    right = 1 / (1 + np.exp(-np.linspace(0, 4, 4000)))
    positive = np.arange(4000) % 2 == 0
    signs = np.where(positive == (rng.random(4000) < right), 1, -1)
    held = signs * np.linspace(0, 4, 4000) / slope
    found = held_out_slope(held, positive, np.full(4000, 1 / 4000))
    assert found == pytest.approx(slope, rel=0.3)


def test_the_more_held_out_strokes_are_right_the_higher_is_the_score():
    _, positive = strokes(10, 10)
    rng = np.random.default_rng(0)
    answer = np.where(np.arange(10_000) < 3_000, 3.0, -3.0)
    scores = []
    for right in (0.5, 0.7, 0.85, 0.95, 1.0):
        good = rng.permuted(np.tile(np.arange(20) < 20 * right, (20, 1)), axis=1).ravel()
        held = np.where(positive == good, 3.0, -3.0)
        slope = held_out_slope(held, positive, np.full(len(held), 1 / len(held)))
        scores.append(best_cut(answer, 20, slope).iou)
    assert scores == sorted(scores)
    assert scores[0] < 0.5
    assert scores[-1] > 0.95


@pytest.mark.parametrize(
    ("on", "beside", "enough"),
    [
        (LEAST_STROKES, LEAST_STROKES, True),
        (LEAST_STROKES - 1, 20, False),
        (20, LEAST_STROKES - 1, False),
    ],
)
def test_few_strokes_do_not_tell(on, beside, enough):
    assert enough_to_tell(*strokes(on, beside)) == enough


def test_images_without_the_thing_stay_unmarked_and_the_thing_marked():
    rng = np.random.default_rng(0)
    silent, on_thing = rng.normal(-1, 1, 5000), rng.normal(3, 1, 500)
    cut = Cut(2.0, 0.0, 0.8)
    quiet = silenced(cut, silent, on_thing)
    assert (quiet.slope, quiet.iou) == (cut.slope, cut.iou)
    assert (2 * silent + quiet.offset > 0).mean() <= SILENT_SHARE
    assert (2 * on_thing + quiet.offset > 0).mean() > 0.6
    # What looks the same on both sides is not given up.
    kept = silenced(cut, on_thing + 5, on_thing)
    assert 0.4 < (2 * on_thing + kept.offset > 0).mean() < 0.6
    low = Cut(2.0, -9.0, 0.8)
    assert silenced(low, silent, on_thing) == low
    assert silenced(cut, silent[:0], on_thing) == silenced(cut, silent, on_thing[:0]) == cut
