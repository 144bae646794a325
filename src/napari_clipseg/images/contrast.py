"""Contrast limits of an image: what is shown as black and as white."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.images.io.source import Limits, Reader, Source

# Robust limits of a gray image: a few hot or dead pixels must not set its contrast.
PERCENTILES = (0.2, 99.8)
SAMPLED_PIXELS = 1_000_000  # of an array in memory
# Of an image in a file: parts spread over the coarsest level, on some planes.
SAMPLED_PARTS, SAMPLED_SIDE, SAMPLED_PLANES = 6, 128, 5
NOT_FINITE = "The image has no finite pixel: all are NaN or infinite. Choose another one."
NONE_SAMPLED = (
    "None of the pixels that were sampled for the contrast is finite. Give the values that are "
    "black and white, such as Appearance(contrast=(0, 1)), or choose another image."
)


def limits_of_type(source: Source) -> Limits:
    """Return the range of an integer type, from 0 for RGB; 0 and 1 for other types."""
    if source.dtype.kind not in "ui":
        return 0.0, 1.0
    info = np.iinfo(source.dtype)
    return 0.0 if source.rgb else float(info.min), float(info.max)


def sampled_limits(
    reader: Reader,
    channels: Sequence[int],
    percentiles: tuple[float, float] = PERCENTILES,
    planes: Sequence[Sequence[int]] | None = None,
) -> tuple[Limits, ...]:
    """Return the `robust_limits` of each channel, from a sample of its pixels.

    Parameters
    ----------
    reader : Reader
        Of the image. Of an array in memory a regular sample of a million pixels is read; of
        others some parts, spread over the coarsest level.
    channels : sequence of int
        Which channels.
    percentiles : tuple of float
        See `robust_limits`.
    planes : sequence of sequences of int, optional
        Which planes; by default all.

    Raises
    ------
    ValueError
        If no sampled pixel of a channel is a finite number.
    """
    source, limits = reader.source, []
    every = list(np.ndindex(*source.planes_shape)) if planes is None else list(planes)
    for channel in channels:
        values = np.concatenate([x[np.isfinite(x)] for x in _sample(reader, every, channel)])
        if not values.size:
            raise ValueError(NOT_FINITE if source.in_memory else NONE_SAMPLED)
        limits.append(robust_limits(values, percentiles))
    return tuple(limits)


def robust_limits(values: NDArray[Any], percentiles: tuple[float, float] = PERCENTILES) -> Limits:
    """Return two percentiles of finite values; if they are equal, minimum and maximum."""
    values = values.astype(np.float64) / 2  # half of the widest range does not overflow
    low, high = np.percentile(values, percentiles)
    if high <= low:  # a few pixels on a flat ground are all there is to see
        low, high = values.min(), values.max()
    return 2 * float(low), 2 * float(high)


def _sample(
    reader: Reader, planes: Sequence[Sequence[int]], channel: int
) -> Iterator[NDArray[Any]]:
    """Yield parts of a channel, as a sample of the whole."""
    source = reader.source
    if source.in_memory:
        step = max(1, int(np.sqrt(len(planes) * np.prod(source.shape) / SAMPLED_PIXELS)))
        for plane in planes:
            part = reader.read(
                0, plane, slice(None, None, step), slice(None, None, step), [channel]
            )
            # Where every sampled pixel is NaN, others may not be.
            yield part if np.isfinite(part).any() else reader.read(0, plane, channels=[channel])
        return
    level = len(source.levels) - 1
    chosen = np.unique(np.linspace(0, len(planes) - 1, SAMPLED_PLANES).round().astype(int))
    for i in chosen:
        for rows in _spread(source.shape_of(level)[0]):
            for columns in _spread(source.shape_of(level)[1]):
                yield reader.read(level, planes[i], rows, columns, [channel])


def _spread(length: int) -> list[slice]:
    """Return parts spread over an axis; all of it, if it is short."""
    if length <= SAMPLED_PARTS * SAMPLED_SIDE:
        return [slice(0, length)]
    starts = np.linspace(0, length - SAMPLED_SIDE, SAMPLED_PARTS).round().astype(int)
    return [slice(start, start + SAMPLED_SIDE) for start in starts.tolist()]
