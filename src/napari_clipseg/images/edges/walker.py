"""The random walker: doubtful pixels go to the side that a walk along the picture leads to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import random_walker

Float32 = NDArray[np.float32]
Mask = NDArray[np.bool_]

IN, OUT, DOUBTFUL, APART = 1, 2, 0, -1  # as scikit-image takes them
TOLERANCE = 1e-4


def walk(one: Float32, guide: Float32, confident: tuple[float, float], beta: float) -> Float32:
    """Decide the doubtful pixels of a map by random walks (Grady 2006).

    Each doubtful pixel gets the chance that a walker from it, who avoids the edges of the
    guide, comes to a pixel that is confidently in before one that is confidently out
    (https://doi.org/10.1109/TPAMI.2006.233).

    Parameters
    ----------
    one : ndarray of float32
        ``(height, width)``, 0 to 1.
    guide : ndarray of float32
        ``(height, width, channels)``.
    confident : tuple of float
        Up to the first a pixel is out, from the second on it is in.
    beta : float
        How much edges are avoided, by the guide's own contrast.

    Returns
    -------
    ndarray of float32
        ``(height, width)``, 0 to 1. Confident pixels keep their values, and so do doubtful ones
        from which only one side, or none, can be reached. On a flat guide all do.
    """
    out, inside = one <= confident[0], one >= confident[1]
    doubtful = _between(~(out | inside), inside, out)
    flat = (guide.min(axis=(0, 1)) == guide.max(axis=(0, 1))).all()
    if flat or not doubtful.any():
        return one
    # Only what lies beside the doubtful pixels can end a walk.
    ends = ndimage.binary_dilation(doubtful)
    labels = np.full(one.shape, APART, np.int8)
    labels[ends & inside] = IN
    labels[ends & out] = OUT
    labels[doubtful] = DOUBTFUL
    chances = random_walker(
        guide,
        labels,
        beta=beta,
        mode="cg_j",
        tol=TOLERANCE,
        prob_tol=1,  # what the solver leaves beyond 0 and 1 is cut off here
        return_full_prob=True,
        channel_axis=2,
    )
    result = one.copy()
    result[doubtful] = np.clip(chances[0][doubtful], 0, 1)
    return result


def _between(doubtful: Mask, inside: Mask, out: Mask) -> Mask:
    """Return the doubtful pixels from which both sides can be reached without a step over them."""
    regions, count = ndimage.label(doubtful)
    both = np.arange(count + 1) > 0
    for side in (inside, out):
        beside = np.unique(regions[ndimage.binary_dilation(side)])
        both &= np.isin(np.arange(count + 1), beside)
    result: Mask = both[regions]
    return result
