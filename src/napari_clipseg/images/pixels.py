"""What the model sees: any plane as an 8-bit RGB picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.images.source import Plane

# Robust black and white of a gray image: a few hot or dead pixels must not set its contrast.
BLACK_PERCENTILE, WHITE_PERCENTILE = 0.2, 99.8
SAMPLED_PIXELS = 1_000_000


def to_picture(plane: Plane) -> NDArray[np.uint8]:
    """Bring a plane to 8-bit RGB.

    Gray is stretched between its contrast limits, or between robust percentiles where it
    has none. Colour follows napari's convention: the whole range of an integer type, 0 to 1
    for floats. NaN becomes black; infinities become black or white.

    Returns
    -------
    ndarray of uint8
        ``(height, width, 3)``.
    """
    pixels = plane.pixels
    if plane.rgb and pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels)
    low, high = _range_of_colours(plane) if plane.rgb else contrast_limits(plane)
    # float32 would round the large values of 32 and 64 bit integers.
    wide: NDArray[np.floating[Any]] = pixels.astype(
        np.float64 if pixels.dtype.itemsize > 2 else np.float32
    )
    if high > low:
        wide, scale = np.clip(wide, low, high), high - low
        if not np.isfinite(scale):
            wide, low, scale = wide / 2, low / 2, high / 2 - low / 2
        unit = (wide - low) / scale
    else:  # black up to the one value, white above it
        unit = np.where(wide > high, 1.0, 0.0)
    picture = np.rint(np.nan_to_num(unit) * 255).astype(np.uint8)
    return picture if plane.rgb else np.repeat(picture[..., None], 3, axis=2)


def contrast_limits(plane: Plane) -> tuple[float, float]:
    """Return the values of a gray plane that are shown as black and as white.

    The plane's own limits, or the 0.2 and 99.8 percentiles of its finite pixels (of a
    regular sample of them, if there are more than a million).
    """
    if plane.contrast_limits is not None:
        return plane.contrast_limits
    step = max(1, int(np.sqrt(plane.pixels.size / SAMPLED_PIXELS)))
    sample = plane.pixels[::step, ::step]
    sample = sample[np.isfinite(sample)]
    if not sample.size:  # every sampled pixel is NaN, others are not
        sample = plane.pixels[np.isfinite(plane.pixels)]
    values = sample.astype(np.float64) / 2  # halved, the widest range there is does not overflow
    low, high = np.percentile(values, (BLACK_PERCENTILE, WHITE_PERCENTILE))
    if high <= low:  # flat but for a few pixels: those few are all there is to see
        low, high = values.min(), values.max()
    return 2 * float(low), 2 * float(high)


def _range_of_colours(plane: Plane) -> tuple[float, float]:
    dtype = plane.pixels.dtype
    if dtype.kind in "ui":
        return 0.0, float(np.iinfo(dtype).max)
    return 0.0, 1.0
