"""How much of the image the thing covers, and how well it will be found: both from few strokes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit

from napari_clipseg.teaching.strokes import Strokes

Float64 = NDArray[np.float64]

# Most things cover a small part of an image. That few strokes find so little cannot be told from
# missing the most of it: then a larger part is taken for usual.
LEAST_SHARE, FEW_STROKES, MOST_SHARE = 0.05, 1.5, 0.3
USUAL_STRENGTH = 0.25  # how much that counts beside what the image says
ROUNDS = 60
LEAST_STROKES = 8  # of each side, for a score: that of fewer is off by 0.2 in the mean
# Of the slope of held-out logits: between these, and drawn to 1 where strokes say little.
SLOPES = (0.05, 3.0)
# That of a cut. The parts are kept from being sure, so that a lower slope only says that some
# strokes are unlike all others; taken at its word, it would mark all of the image.
LEAST_SLOPE = 1.5
CERTAINTY = 0.02
SUREST_CUT = 0.02  # a probability; the least and the most that is cut at
# Of an image with background strokes only, so much may be marked; but of what is painted as the
# thing, at least so much stays marked.
SILENT_SHARE, KEPT_SHARE = 0.003, 0.5


@dataclass(frozen=True)
class Cut:
    """Where logits are cut, so that what is marked is expected to agree best.

    Attributes
    ----------
    slope, offset : float
        ``slope * logits + offset`` is positive on what is marked.
    iou : float
        The IoU that is expected then.
    """

    slope: float
    offset: float
    iou: float


def usual_share(strokes: int) -> float:
    """Return the share of an image that a thing covers, as far as it is known beforehand."""
    return min(LEAST_SHARE + FEW_STROKES / max(strokes, 1), MOST_SHARE)


def best_cut(logits: Float64, strokes: int, slope: float = 1.0) -> Cut:
    """Return where to cut logits of classifiers that learned as many pixels on the thing as beside.

    First the share of pixels that the thing covers is found by expectation and maximization
    (Saerens, Latinne and Decaestecker 2002, https://doi.org/10.1162/089976602753284446), with a
    usual share as its prior: it makes the logits probabilities. Then the cut is the one with the
    highest expected IoU: the expected number of marked pixels that are right, over the expected
    number of pixels that are marked or should be.

    Parameters
    ----------
    logits : ndarray of float
        ``(pixels,)``, of pixels drawn evenly from the image.
    strokes : int
        How many were painted.
    slope : float
        What makes the logits as sure as they are right; see `held_out_slope`. The IoU is that of
        this slope; the cut may be that of a steeper one.
    """
    usual, steep = usual_share(strokes), max(slope, LEAST_SLOPE)
    surest_first = np.sort(logits)[::-1]
    found, offset = _calibrated(steep * surest_first, usual)
    best = int(_expected_iou(found).argmax())
    cut = float(np.clip(found[best], SUREST_CUT, 1 - SUREST_CUT))
    honest, _ = _calibrated(slope * surest_first, usual)
    return Cut(steep, offset - threshold_offset(cut), float(_expected_iou(honest)[best]))


def _expected_iou(surest_first: Float64) -> Float64:
    """Return the IoU to expect if the first pixel is marked, the first two, and so on."""
    right, marked = np.cumsum(surest_first), np.arange(1, len(surest_first) + 1)
    return np.asarray(right / (surest_first.sum() + marked - right))


def silenced(cut: Cut, silent: Float64, on_thing: Float64) -> Cut:
    """Return a cut that leaves images without the thing nearly unmarked.

    Parameters
    ----------
    cut : Cut
        Where it would be without them.
    silent : ndarray of float
        ``(pixels,)``: logits of pixels drawn evenly from images with background strokes only.
    on_thing : ndarray of float
        ``(pixels,)``: logits of pixels that are painted as the thing, in other images.
    """
    if not len(silent) or not len(on_thing):
        return cut
    wanted = float(np.quantile(silent, 1 - SILENT_SHARE))
    most = float(np.quantile(on_thing, 1 - KEPT_SHARE))
    return replace(cut, offset=min(cut.offset, -cut.slope * min(wanted, most)))


def held_out_slope(held: Float64, positive: NDArray[np.bool_], weights: Float64) -> float:
    """Return the slope of logits that has the least log loss on held-out strokes.

    That is Platt scaling without offset.

    Parameters
    ----------
    held : ndarray of float
        ``(pixels,)``: logits when their stroke was held out, both sides alike.
    positive : ndarray of bool
        ``(pixels,)``: on the thing.
    weights : ndarray of float
        ``(pixels,)``.
    """
    signs = np.where(positive, 1.0, -1.0)

    def loss(slope: float) -> float:
        losses = np.logaddexp(0, -slope * signs * held)
        return float((losses * weights).sum() + CERTAINTY * np.log(slope) ** 2)

    return float(minimize_scalar(loss, bounds=SLOPES, method="bounded").x)


def enough_to_tell(strokes: Strokes, positive: NDArray[np.bool_]) -> bool:
    """Return whether both sides have the strokes that a score needs."""
    sides = [len(np.unique(strokes.groups[positive == side])) for side in (True, False)]
    return min(sides) >= LEAST_STROKES


def threshold_offset(threshold: float) -> float:
    """Return what to add to logits that are positive on the thing, so that a threshold finds it.

    A learned prompt is cut at its checkpoint's threshold, like any other prompt.
    """
    return float(np.log(threshold / (1 - threshold)))


def _calibrated(logits: Float64, usual: float) -> tuple[Float64, float]:
    """Return probabilities that fit the share of pixels that the thing covers, and their offset."""
    found = expit(logits)
    share = usual
    for _ in range(ROUNDS):
        on, beside = found * share, (1 - found) * (1 - share)
        covered = float((on / (on + beside)).mean())
        share = (covered + USUAL_STRENGTH * usual) / (1 + USUAL_STRENGTH)
    offset = threshold_offset(share)
    return expit(logits + offset), offset
