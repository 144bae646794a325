"""The guided filter: makes maps follow the edges of an image."""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

Float32 = NDArray[np.float32]


def guided_filter(maps: Float32, guide: Float32, radius: int, epsilon: float) -> Float32:
    """Smooth maps, but not across the edges of a guide image.

    In each square window, the map is a linear function of the guide: ``q = a · I + b`` with the
    least ``(q - p)² + ε a²``. Each pixel gets the mean over the windows that contain it. (He, Sun
    and Tang 2013, https://doi.org/10.1109/TPAMI.2012.213, equations 5, 6 and 8 for gray, 14 to 16
    for RGB.) At its borders the image is mirrored.

    Parameters
    ----------
    maps : ndarray of float32
        ``(maps, height, width)``.
    guide : ndarray of float32
        ``(height, width, channels)``, 0 to 1.
    radius : int
        Pixels from the center of a window to its edge.
    epsilon : float
        Variance of the guide, above 0, from which on it counts as an edge.

    Returns
    -------
    ndarray of float32
        ``(maps, height, width)``.
    """
    channels = range(guide.shape[2])
    # Variances are differences of squares, which float32 computes more precisely near 0.
    image = np.moveaxis(guide, 2, 0) - guide.mean(axis=(0, 1))[:, None, None]
    means = [_box(image[i], radius) for i in channels]
    inverse = _inverse_covariance(image, means, radius, epsilon)
    result = np.zeros_like(maps)
    for one, out in zip(maps, result, strict=True):
        mean = _box(one, radius)
        shared = [_box(image[i] * one, radius) - means[i] * mean for i in channels]
        offset = mean
        for i in channels:
            slope = np.sum([inverse[min(i, j), max(i, j)] * shared[j] for j in channels], axis=0)
            offset = offset - slope * means[i]
            out += _box(slope, radius) * image[i]
        out += _box(offset, radius)
    return result


def edge_share(guide: Float32, radius: int, epsilon: float) -> Float32:
    """Return how much of its own variation the guided filter would keep of a guide.

    ``σ² / (σ² + ε)``, with the variance σ² of the channel that varies most (section 3.2 of
    the paper), as the mean over the windows that contain a pixel.

    Returns
    -------
    ndarray of float32
        ``(height, width)``: 0 where the guide is flat, towards 1 at strong edges.
    """
    image = np.moveaxis(guide, 2, 0) - guide.mean(axis=(0, 1))[:, None, None]
    spread = np.max([_box(one * one, radius) - _box(one, radius) ** 2 for one in image], axis=0)
    spread = np.maximum(spread, 0)
    return _box(spread / (spread + np.float32(epsilon)), radius)


def _box(values: Float32, radius: int) -> Float32:
    return np.asarray(uniform_filter(values, 2 * radius + 1, mode="reflect"), np.float32)


def _inverse_covariance(
    image: Float32, means: list[Float32], radius: int, epsilon: float
) -> dict[tuple[int, int], Float32]:
    """Return the upper half of ``(Σ + ε U)⁻¹``; each entry is ``(height, width)``."""
    cov = {}
    for i, j in combinations_with_replacement(range(len(image)), 2):
        cov[i, j] = _box(image[i] * image[j], radius) - means[i] * means[j]
        if i == j:
            cov[i, j] = np.maximum(cov[i, j], 0) + np.float32(epsilon)
    if len(image) == 1:
        return {(0, 0): np.reciprocal(cov[0, 0])}
    adjugate = {
        (0, 0): cov[1, 1] * cov[2, 2] - cov[1, 2] ** 2,
        (0, 1): cov[0, 2] * cov[1, 2] - cov[0, 1] * cov[2, 2],
        (0, 2): cov[0, 1] * cov[1, 2] - cov[0, 2] * cov[1, 1],
        (1, 1): cov[0, 0] * cov[2, 2] - cov[0, 2] ** 2,
        (1, 2): cov[0, 1] * cov[0, 2] - cov[0, 0] * cov[1, 2],
        (2, 2): cov[0, 0] * cov[1, 1] - cov[0, 1] ** 2,
    }
    determinant = np.sum([cov[0, k] * adjugate[0, k] for k in range(3)], axis=0)
    return {key: value / determinant for key, value in adjugate.items()}
