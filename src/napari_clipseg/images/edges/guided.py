"""The guided filter: makes maps follow the edges of an image."""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

# Of sums of whole numbers that stay exact: float64 has 53, and a division takes up to two.
BITS = 50
SLOPE_BITS = 10  # slopes, and offsets, are below 2 to the power of this


def guided_filter(maps: Float32, guide: Float32, radius: int, epsilon: float) -> Float32:
    """Smooth maps, but not across the edges of a guide image.

    In each square window, the map is a linear function of the guide: ``q = a · I + b`` with the
    least ``(q - p)² + ε a²``. Each pixel gets the mean over the windows that contain it. (He, Sun
    and Tang 2013, https://doi.org/10.1109/TPAMI.2012.213, equations 5, 6 and 8 for gray, 14 to 16
    for RGB.) At its borders the image is mirrored.

    Sums over windows are of whole numbers, and exact: a part of an image has, bit for bit, the
    values that it has in the whole.

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
    channels, bits = range(guide.shape[2]), _bits(radius)
    image = [_rounded(guide[..., i], bits // 2) for i in channels]
    means = [_mean(one, radius, bits) for one in image]
    inverse = _inverse_covariance(image, means, radius, epsilon)
    result = np.zeros(maps.shape, np.float32)
    for given, out in zip(maps, result, strict=True):
        one = _rounded(given, bits // 2)
        mean = _mean(one, radius, bits)
        shared = [_mean(image[i] * one, radius, bits) - means[i] * mean for i in channels]
        offset, line = mean, np.zeros(mean.shape)
        for i in channels:
            slope = np.sum([inverse[min(i, j), max(i, j)] * shared[j] for j in channels], axis=0)
            offset = offset - slope * means[i]
            line += _mean(slope, radius, bits - SLOPE_BITS) * image[i]
        out[:] = line + _mean(offset, radius, bits - SLOPE_BITS)
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
    bits = _bits(radius)
    image = [_rounded(guide[..., i], bits // 2) for i in range(guide.shape[2])]
    spreads = [_mean(x * x, radius, bits) - _mean(x, radius, bits) ** 2 for x in image]
    spread = np.maximum(np.max(spreads, axis=0), 0)
    return _mean(spread / (spread + epsilon), radius, bits).astype(np.float32)


def _bits(radius: int) -> int:
    """Return how many bits a value from 0 to 1 may have, so that sums over windows are exact."""
    return BITS - 2 * int(np.ceil(np.log2(2 * radius + 1)))


def _rounded(values: Float32, bits: int) -> Float64:
    """Return values as whole multiples of a power of 2: products have no more than twice the bits.

    Of values from 0 to 1 less than a millionth is lost, for windows of up to a hundred pixels.
    """
    return np.asarray(np.rint(values.astype(np.float64) * 2.0**bits) / 2.0**bits)


def _mean(values: Float64, radius: int, bits: int) -> Float64:
    """Return the mean of each window; rounded first, so that it is the same wherever it begins."""
    length = 2 * radius + 1
    sums = np.rint(values * 2.0**bits)
    for axis in (0, 1):
        sums = np.rint(uniform_filter1d(sums, length, axis=axis, mode="reflect") * length)
    return np.asarray(sums / (length**2 * 2.0**bits))


def _inverse_covariance(
    image: list[Float64], means: list[Float64], radius: int, epsilon: float
) -> dict[tuple[int, int], Float64]:
    """Return the upper half of ``(Σ + ε U)⁻¹``; each entry is ``(height, width)``."""
    cov, bits = {}, _bits(radius)
    for i, j in combinations_with_replacement(range(len(image)), 2):
        cov[i, j] = _mean(image[i] * image[j], radius, bits) - means[i] * means[j]
        if i == j:
            cov[i, j] = np.maximum(cov[i, j], 0) + epsilon
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
