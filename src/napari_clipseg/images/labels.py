"""Probability maps and a threshold to labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def check_threshold(threshold: float) -> float:
    """Return the threshold, if it is one.

    Raises
    ------
    ValueError
        If it does not lie from 0 to 1.
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"The threshold is {threshold}; wanted a probability from 0 to 1.")
    return float(threshold)


def semantic_labels(probability: NDArray[np.float32], threshold: float) -> NDArray[np.int32]:
    """Give each pixel to its likeliest prompt, where that one is above the threshold.

    Parameters
    ----------
    probability : ndarray of float
        ``(prompts, height, width)``, 0 to 1.
    threshold : float
        A pixel is labelled where its greatest probability is above this.

    Returns
    -------
    ndarray of int32
        ``(height, width)``: 0 for nothing, k for the k-th prompt, counted from 1. Of equally
        likely prompts the first one wins.
    """
    threshold = check_threshold(threshold)
    # Prompt by prompt: a whole-stack argmax would hold one more copy of all maps.
    best = np.full(probability.shape[1:], threshold, dtype=np.float32)
    labels = np.zeros(probability.shape[1:], dtype=np.int32)
    for k, one in enumerate(probability, start=1):
        better = one > best
        labels[better] = k
        best[better] = one[better]
    return labels
