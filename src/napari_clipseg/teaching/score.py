"""How much of the image the thing covers, and how well it will be found: both from few strokes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.teaching.strokes import Strokes

Float64 = NDArray[np.float64]

# Strokes are painted on both sides alike, and most things cover less than half of an image.
USUAL_SHARE = 0.3
USUAL_STRENGTH = 3.0  # how much the usual share counts beside the image's own
ROUNDS = 60
LEAST_STROKES = 3  # of each side, for a score


def share_offset(probability: Float64) -> float:
    """Return what to add to logits, so that they fit the share of pixels that the thing covers.

    The classifiers learned from as many pixels on the thing as beside it. The share is found by
    expectation and maximisation (Saerens, Latinne and Decaestecker 2002,
    https://doi.org/10.1162/089976602753284446), with a usual share as its prior.

    Parameters
    ----------
    probability : ndarray of float
        ``(pixels,)``, of pixels drawn evenly from the image.
    """
    share = USUAL_SHARE
    for _ in range(ROUNDS):
        on, beside = probability * share, (1 - probability) * (1 - share)
        found = float((on / (on + beside)).mean())
        share = (found + USUAL_STRENGTH * USUAL_SHARE) / (1 + USUAL_STRENGTH)
    return float(np.log(share / (1 - share)))


def expected_iou(
    strokes: Strokes, positive: NDArray[np.bool_], found: NDArray[np.bool_], marked: float
) -> float | None:
    """Return the IoU to expect, from strokes that were held out; None if they are too few.

    With the share `t` of the thing's strokes that is found, and the share `f` of the others that
    is found by mistake, a thing that covers the share `s` of an image is marked on
    ``s t + (1 - s) f`` of it. So `s` follows from what is marked (Rogan and Gladen 1978,
    https://doi.org/10.1093/oxfordjournals.aje.a112510), and the IoU is ``s t / (s + (1 - s) f)``.

    Parameters
    ----------
    strokes : Strokes
        Of the pixels.
    positive : ndarray of bool
        ``(pixels,)``: on the thing.
    found : ndarray of bool
        ``(pixels,)``: found when their stroke was held out.
    marked : float
        The share of the image's pixels that is marked.
    """
    rates = []
    for side in (True, False):
        groups = np.unique(strokes.groups[positive == side])
        if len(groups) < LEAST_STROKES:
            return None
        # Each stroke counts alike, however long it is; one more is half found, as a prior.
        each = [found[strokes.groups == group].mean() for group in groups]
        rates.append((sum(each) + (0.75 if side else 0.05)) / (len(each) + 1))
    true, false = rates
    if true <= false:
        return 0.0
    share = float(np.clip((marked - false) / (true - false), 0.0, 1.0))
    share = max(share, 0.05 * marked)
    return float(share * true / max(share + (1 - share) * false, 1e-9))
