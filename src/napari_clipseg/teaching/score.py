"""How much of the image the thing covers, and how well it will be found: both from few strokes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from napari_clipseg.teaching.strokes import Strokes

Float64 = NDArray[np.float64]

# Strokes are painted on both sides alike, and most things cover less than half of an image.
USUAL_SHARE = 0.3
USUAL_STRENGTH = 3.0
SCORED_STRENGTH = 0.3  # where the answers are to be as sure as they are right
ROUNDS = 60
LEAST_STROKES = 4  # of each side, for a score
# Of the slope of held-out logits: between these, and drawn to 1 where strokes say little.
SLOPES = (0.05, 5.0)
CERTAINTY = 0.02


def threshold_offset(threshold: float) -> float:
    """Return what to add to logits that are positive on the thing, so that a threshold finds it.

    A learned prompt is cut at its checkpoint's threshold, like any other prompt.
    """
    return float(np.log(threshold / (1 - threshold)))


def share_offset(probability: Float64, strength: float = USUAL_STRENGTH) -> float:
    """Return what to add to logits, so that they fit the share of pixels that the thing covers.

    The classifiers learned from as many pixels on the thing as beside it. The share is found by
    expectation and maximisation (Saerens, Latinne and Decaestecker 2002,
    https://doi.org/10.1162/089976602753284446), with a usual share as its prior.

    Parameters
    ----------
    probability : ndarray of float
        ``(pixels,)``, of pixels drawn evenly from the image.
    strength : float
        How much the usual share counts beside the image's own.
    """
    share = USUAL_SHARE
    for _ in range(ROUNDS):
        on, beside = probability * share, (1 - probability) * (1 - share)
        found = float((on / (on + beside)).mean())
        share = (found + strength * USUAL_SHARE) / (1 + strength)
    return float(np.log(share / (1 - share)))


def expected_iou(
    strokes: Strokes,
    positive: NDArray[np.bool_],
    held: Float64,
    weights: Float64,
    sampled: Float64,
) -> float | None:
    """Return the IoU to expect, from strokes that were held out; None if they are too few.

    How sure the answers may be follows from the held-out strokes: the slope of the logits that
    has the least log loss there (Platt scaling without offset). With probabilities of that slope,
    the IoU of what is marked is the expected number of its pixels that are right, over the
    expected number of pixels that are marked or should be.

    Parameters
    ----------
    strokes : Strokes
        Of the held-out pixels.
    positive : ndarray of bool
        ``(pixels,)``: on the thing.
    held : ndarray of float
        ``(pixels,)``: logits when their stroke was held out, both sides alike.
    weights : ndarray of float
        ``(pixels,)``.
    sampled : ndarray of float
        Logits of pixels drawn evenly from the image, both sides alike.
    """
    for side in (True, False):
        if len(np.unique(strokes.groups[positive == side])) < LEAST_STROKES:
            return None
    marked = sampled + share_offset(_probability(sampled)) > 0
    if not marked.any():
        return 0.0
    signs = np.where(positive, 1.0, -1.0)

    def loss(slope: float) -> float:
        losses = np.logaddexp(0, -slope * signs * held)
        return float((losses * weights).sum() + CERTAINTY * np.log(slope) ** 2)

    slope = minimize_scalar(loss, bounds=SLOPES, method="bounded").x
    flat = slope * sampled
    probability = _probability(flat + share_offset(_probability(flat), SCORED_STRENGTH))
    right = probability[marked].sum()
    return float(right / (probability.sum() + (1 - probability[marked]).sum()))


def _probability(logits: Float64) -> Float64:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)))
