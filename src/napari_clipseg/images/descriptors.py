"""Numbers that describe each pixel of an image: filters around it, and the region it lies in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]

SIGMA_MIN, SIGMA_MAX = 0.5, 16.0  # pixels
# Gaussians are cut at four sigmas; second derivatives need two more pixels, and one to round.
REACH = int(4 * SIGMA_MAX + 0.5) + 3
FILTERS = 24  # of each channel
# Scales of the segmentation: the larger, the larger its regions.
SCALES = (50.0, 200.0, 800.0)
LEAST_REGION = 20  # pixels
REGION_SMOOTHING = 1.2  # pixels
SHAPE_NUMBERS, COLOR_NUMBERS = 6, 3
REGIONS = len(SCALES) * (SHAPE_NUMBERS + COLOR_NUMBERS)
MOST_HOLES = 5


def filter_responses(image: NDArray[np.uint8], inner: Sequence[slice] | None = None) -> Float32:
    """Return intensity, edges and texture around each pixel, at six scales.

    For each channel and each Gaussian of sigma 0.5, 1, 2, 4, 8 and 16 pixels: the smoothed value,
    the length of its gradient, and both eigenvalues of its second derivatives
    (`skimage.feature.multiscale_basic_features`).

    Parameters
    ----------
    image : ndarray of uint8
        ``(height, width, channels)``.
    inner : sequence of slice, optional
        Rows and columns that are wanted. The values of a part are those of the whole if the
        image goes on for `REACH` pixels around it, or ends there.

    Returns
    -------
    ndarray of float32
        ``(height, width, FILTERS * channels)``.
    """
    from skimage.feature import multiscale_basic_features

    height, width = image.shape[:2]
    # A derivative needs two pixels; what is added beyond the border only repeats it.
    image = np.pad(image, [(0, height < 2), (0, width < 2), (0, 0)], mode="edge")
    found = multiscale_basic_features(
        image.astype(np.float32) / 255,
        sigma_min=SIGMA_MIN,
        sigma_max=SIGMA_MAX,
        channel_axis=-1,
    )
    rows, columns = (slice(0, height), slice(0, width)) if inner is None else inner
    return np.asarray(found[rows, columns], np.float32)


def region_numbers(image: NDArray[np.uint8]) -> Float32:
    """Return shape and color of the region that each pixel lies in, at three scales.

    Regions are found by Felzenszwalb and Huttenlocher's graph
    (https://doi.org/10.1023/B:VISI.0000022288.19776.77). Of each: the logarithm of its area,
    solidity, eccentricity, extent, Euler number, roundness (4 pi area / perimeter squared), and
    its mean color in CIELAB.

    Parameters
    ----------
    image : ndarray of uint8
        ``(height, width, 3)``.

    Returns
    -------
    ndarray of float32
        ``(REGIONS, height, width)``.
    """
    from skimage.color import rgb2lab
    from skimage.segmentation import felzenszwalb

    lab = np.asarray(rgb2lab(image), np.float32)
    parts = []
    for scale in SCALES:
        labels = felzenszwalb(
            image / 255.0, scale=scale, sigma=REGION_SMOOTHING, min_size=LEAST_REGION
        )
        counts = np.bincount(labels.ravel())
        means = [
            np.bincount(labels.ravel(), weights=lab[..., i].ravel()) / np.maximum(counts, 1)
            for i in range(COLOR_NUMBERS)
        ]
        table = np.concatenate([_shapes(labels), np.stack(means, axis=1)], axis=1)
        parts.append(table.astype(np.float32)[labels])
    return np.ascontiguousarray(np.concatenate(parts, axis=2).transpose(2, 0, 1))


def _shapes(labels: NDArray[np.integer]) -> Float32:
    """Return ``(regions, SHAPE_NUMBERS)``."""
    from skimage.measure import regionprops

    table = np.zeros((int(labels.max()) + 1, SHAPE_NUMBERS), np.float32)
    for region in regionprops(labels + 1):
        round_as = 4 * np.pi * region.area / max(region.perimeter, 1) ** 2
        euler = np.clip(region.euler_number, -MOST_HOLES, MOST_HOLES)
        # Of a line of pixels no hull can be drawn; it is convex.
        line = 1 in np.subtract(region.bbox[2:], region.bbox[:2])
        table[region.label - 1] = (
            np.log(region.area),
            1 if line else region.solidity,
            region.eccentricity,
            region.extent,
            euler,
            round_as,
        )
    return table
