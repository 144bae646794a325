"""The random walker: decides uncertain pixels by walks that avoid the edges of an image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import random_walker

Float32 = NDArray[np.float32]
Mask = NDArray[np.bool_]

OBJECT, BACKGROUND, UNCERTAIN, EXCLUDED = 1, 2, 0, -1  # as scikit-image numbers them
TOLERANCE = 1e-4
SLACK = 0.01  # of probabilities beyond 0 and 1, which are rounded to them


def walk(one: Float32, guide: Float32, confident: tuple[float, float], beta: float) -> Float32:
    """Decide the uncertain pixels of a map by random walks (Grady 2006).

    Each uncertain pixel gets the probability that a walk from it, which avoids the edges of the
    guide, reaches a confident pixel of the object before one of the background
    (https://doi.org/10.1109/TPAMI.2006.233).

    Parameters
    ----------
    one : ndarray of float32
        ``(height, width)``, 0 to 1.
    guide : ndarray of float32
        ``(height, width, channels)``.
    confident : tuple of float
        A pixel is background up to the first probability, and object from the second on.
    beta : float
        How much edges are avoided, relative to the contrast of the guide.

    Returns
    -------
    ndarray of float32
        ``(height, width)``, 0 to 1. Confident pixels keep their values, and so do uncertain
        pixels from which a walk can reach only one kind, or none, or that strong edges isolate. On
        a flat guide all do.
    """
    outside, inside = one <= confident[0], one >= confident[1]
    uncertain = _between(~(outside | inside), inside, outside)
    flat = (guide.min(axis=(0, 1)) == guide.max(axis=(0, 1))).all()
    if flat or not uncertain.any():
        return one
    # Only pixels beside the uncertain ones can end a walk.
    ends = ndimage.binary_dilation(uncertain)
    labels = np.full(one.shape, EXCLUDED, np.int8)
    labels[ends & inside] = OBJECT
    labels[ends & outside] = BACKGROUND
    labels[uncertain] = UNCERTAIN
    chances = random_walker(
        guide,
        labels,
        beta=beta,
        mode="cg_j",
        tol=TOLERANCE,
        prob_tol=np.inf,  # checked below, pixel by pixel
        return_full_prob=True,
        channel_axis=2,
    )
    result = one.copy()
    # At pixels that strong edges isolate the solver may fail.
    solved = uncertain & (np.abs(chances[0] - 0.5) <= 0.5 + SLACK)
    result[solved] = np.clip(chances[0][solved], 0, 1)
    return result


def _between(uncertain: Mask, inside: Mask, outside: Mask) -> Mask:
    """Return the uncertain pixels from which a walk over uncertain pixels can reach both kinds."""
    regions, count = ndimage.label(uncertain)
    both = np.arange(count + 1) > 0
    for side in (inside, outside):
        beside = np.unique(regions[ndimage.binary_dilation(side)])
        both &= np.isin(np.arange(count + 1), beside)
    result: Mask = both[regions]
    return result
