"""What the model sees: pixels of any image as 8-bit RGB, the same way in all of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.images.io.source import Limits, Source

# Robust black and white of a gray image: a few hot or dead pixels must not set its contrast.
PERCENTILES = (0.2, 99.8)
SAMPLED_PIXELS = 1_000_000  # of an array in memory
# Of an image that lies elsewhere, these are read: parts spread over it, on some planes.
SAMPLED_PARTS, SAMPLED_SIDE, SAMPLED_PLANES = 6, 128, 5
CHANNELS = 3  # red, green, blue
NOT_FINITE = "The image has no finite pixel: all are NaN or infinite. Choose another one."
NONE_SAMPLED = (
    "Of the pixels that were sampled for the contrast none is finite. Give the values that are "
    "black and white, such as Appearance(contrast=(0, 1)), or choose another image."
)

Contrast = Literal["auto", "dtype"] | Limits | Sequence[Limits]


@dataclass(frozen=True, eq=False)
class Appearance:
    """How an image is to be shown to the model.

    Attributes
    ----------
    contrast : "auto", "dtype", or a pair of values
        What is black and what is white. "auto": the image's own contrast limits if it has
        them, else robust percentiles; colour images keep their range. "dtype": the whole range
        of an integer type, 0 to 1 for floats. A pair of values, or one a channel.
    percentiles : tuple of float
        The robust ones, 0 to 100.
    gamma : float
        Exponent of the brightness, 0 to 1; below 1 brightens what is dark.
    invert : bool
        Whether black and white change places.
    channels : sequence of int, optional
        One channel, seen as gray, or up to three, seen as red, green and blue. By default
        the first three, or all if there are fewer.
    colormap : ndarray of uint8, optional
        ``(colours, 3)``: what gray is coloured with, from black to white.
    """

    contrast: Contrast = "auto"
    percentiles: tuple[float, float] = PERCENTILES
    gamma: float = 1.0
    invert: bool = False
    channels: Sequence[int] | None = None
    colormap: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        low, high = self.percentiles
        if not 0 <= low < high <= 100:
            raise ValueError(
                f"The percentiles are {low} and {high}; wanted 0 <= low < high <= 100."
            )
        if not 0 < self.gamma < np.inf:
            raise ValueError(f"Gamma is {self.gamma}; wanted a number above 0, such as 0.7.")
        if isinstance(self.contrast, str) and self.contrast not in ("auto", "dtype"):
            raise ValueError(
                f"The contrast is {self.contrast!r}; wanted 'auto', 'dtype', or (black, white)."
            )
        if self.channels is not None and not 1 <= len(self.channels) <= CHANNELS:
            raise ValueError(
                f"Got {len(self.channels)} channels; wanted one, or up to three for red, green "
                f"and blue."
            )
        if self.colormap is not None and (
            self.colormap.ndim != 2 or self.colormap.shape[1] != 3 or self.colormap.dtype != "u1"
        ):
            raise ValueError(
                f"The colormap is {self.colormap.dtype} of shape {self.colormap.shape}; wanted "
                f"uint8 of shape (colours, 3)."
            )


@dataclass(frozen=True, eq=False)
class Rendering:
    """An appearance with its numbers settled: the same for all tiles and planes of a run.

    Attributes
    ----------
    limits : tuple of pairs of float
        Black and white of each channel; of the colours of an RGB image, one pair.
    channels : tuple of int
        Which are read.
    gamma, invert, colormap
        As in `Appearance`.
    """

    limits: tuple[Limits, ...]
    channels: tuple[int, ...] = (0,)
    gamma: float = 1.0
    invert: bool = False
    colormap: NDArray[np.uint8] | None = None

    def apply(self, pixels: NDArray[Any]) -> NDArray[np.uint8]:
        """Bring pixels to 8-bit RGB.

        NaN becomes black; infinities become black or white.

        Parameters
        ----------
        pixels : ndarray
            ``(height, width, channels)``, as `Source.read` gives them.

        Returns
        -------
        ndarray of uint8
            ``(height, width, 3)``.
        """
        plain = self.gamma == 1 and not self.invert
        whole = all(limits == (0, 255) for limits in self.limits)
        if pixels.dtype == np.uint8 and plain and whole:
            shown = pixels
        else:
            limits = self.limits * (pixels.shape[2] // len(self.limits))
            shown = np.empty(pixels.shape, np.uint8)
            for i, (low, high) in enumerate(limits):
                shown[..., i] = self._shown(pixels[..., i], low, high)
        if shown.shape[2] == 1:
            if self.colormap is not None:
                steps = np.linspace(0, len(self.colormap) - 1, 256).round().astype(int)
                coloured: NDArray[np.uint8] = self.colormap[steps][shown[..., 0]]
                return coloured
            return np.repeat(shown, CHANNELS, axis=2)
        if shown.shape[2] < CHANNELS:
            blank = np.zeros((*shown.shape[:2], CHANNELS - shown.shape[2]), np.uint8)
            shown = np.concatenate([shown, blank], axis=2)
        return np.ascontiguousarray(shown)

    def _shown(self, pixels: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
        how = (low, high, self.gamma, self.invert)
        native = pixels.dtype.newbyteorder("=")
        if native.kind in "bui" and native.itemsize <= 2:
            # A table of all values that there are is faster than arithmetic on each pixel.
            unsigned = np.dtype(f"u{native.itemsize}")
            places = pixels.astype(native, copy=False).view(unsigned)
            looked_up: NDArray[np.uint8] = np.take(_table(native, *how), places)
            return looked_up
        # float32 would round large values, and limits that lie far from them.
        return _stretched(pixels.astype(np.float64), *how)


@lru_cache(maxsize=16)  # made once for all tiles of a run
def _table(
    dtype: np.dtype[Any], low: float, high: float, gamma: float, invert: bool
) -> NDArray[np.uint8]:
    """Return what is shown for each value of a small type, in the order of its bytes."""
    values = np.arange(2 ** (8 * dtype.itemsize), dtype=f"u{dtype.itemsize}")
    values = values.view(dtype) if dtype.kind == "i" else values
    return _stretched(values.astype(np.float64), low, high, gamma, invert)


def _stretched(
    values: NDArray[np.float64], low: float, high: float, gamma: float, invert: bool
) -> NDArray[np.uint8]:
    black = np.isnan(values)
    if high > low:
        values, scale = np.clip(values, low, high), high - low
        if not np.isfinite(scale):
            values, low, scale = values / 2, low / 2, high / 2 - low / 2
        unit = (values - low) / scale
    else:  # black up to the one value, white above it
        unit = np.where(values > high, 1.0, 0.0)
    if gamma != 1:
        unit = unit**gamma
    if invert:
        unit = 1 - unit
    unit[black] = 0
    return np.rint(unit * 255).astype(np.uint8)


def settle(
    source: Source, appearance: Appearance, planes: Sequence[Sequence[int]] | None = None
) -> Rendering:
    """Settle the numbers of an appearance for an image.

    Parameters
    ----------
    source : Source
        The image. Only what the contrast needs is read: of an array in memory a regular
        sample of a million pixels; of others the coarsest level, if there are several, and of
        that some parts, spread over it.
    appearance : Appearance
        What is wanted.
    planes : sequence of sequences of int, optional
        The planes that the run will see; by default all.

    Raises
    ------
    ValueError
        If there is no such channel, limits and channels differ in number, or no sampled
        pixel is a finite number.
    """
    channels = _channels(source, appearance)
    options = (channels, appearance.gamma, appearance.invert, appearance.colormap)
    contrast = appearance.contrast
    if not isinstance(contrast, str):
        pairs = np.atleast_2d(np.asarray(contrast, dtype=float))
        if pairs.shape[1:] != (2,) or len(pairs) not in (1, len(channels)):
            raise ValueError(
                f"Got the contrast {contrast!r}; wanted (black, white), or one such pair for each "
                f"of the {len(channels)} channels."
            )
        limits = [(float(low), float(high)) for low, high in pairs]
        return Rendering(tuple(limits * (len(channels) // len(limits))), *options)
    if contrast == "dtype" or source.rgb:
        return Rendering((_range_of_type(source),), *options)
    if source.contrast_limits is not None:
        return Rendering((source.contrast_limits,) * len(channels), *options)
    limits = []
    every = list(np.ndindex(*source.planes_shape)) if planes is None else list(planes)
    for channel in channels:
        parts = [x[np.isfinite(x)] for x in _sample(source, every, channel)]
        values = np.concatenate(parts)
        if not values.size:
            raise ValueError(NOT_FINITE if source.in_memory else NONE_SAMPLED)
        limits.append(robust_limits(values, appearance.percentiles))
    return Rendering(tuple(limits), *options)


def robust_limits(values: NDArray[Any], percentiles: tuple[float, float] = PERCENTILES) -> Limits:
    """Return two percentiles of finite values; of nearly flat ones, the least and greatest."""
    values = values.astype(np.float64) / 2  # halved, the widest range there is does not overflow
    low, high = np.percentile(values, percentiles)
    if high <= low:  # flat but for a few pixels: those few are all there is to see
        low, high = values.min(), values.max()
    return 2 * float(low), 2 * float(high)


def _channels(source: Source, appearance: Appearance) -> tuple[int, ...]:
    if appearance.channels is None:
        return tuple(range(min(source.channels, CHANNELS)))
    for channel in appearance.channels:
        if not 0 <= channel < source.channels:
            raise ValueError(
                f"There is no channel {channel}; the image has {source.channels}, counted from 0."
            )
    return tuple(appearance.channels)


def _range_of_type(source: Source) -> Limits:
    if source.dtype.kind not in "ui":
        return 0.0, 1.0
    info = np.iinfo(source.dtype)
    return 0.0 if source.rgb else float(info.min), float(info.max)


def _sample(
    source: Source, planes: Sequence[Sequence[int]], channel: int
) -> Iterator[NDArray[Any]]:
    """Yield parts of a channel that stand for the whole."""
    if source.in_memory:
        step = max(1, int(np.sqrt(len(planes) * np.prod(source.shape) / SAMPLED_PIXELS)))
        for plane in planes:
            part = source.read(
                0, plane, slice(None, None, step), slice(None, None, step), [channel]
            )
            # Where every sampled pixel is NaN, others may not be.
            yield part if np.isfinite(part).any() else source.read(0, plane, channels=[channel])
        return
    level = len(source.levels) - 1
    chosen = np.unique(np.linspace(0, len(planes) - 1, SAMPLED_PLANES).round().astype(int))
    for i in chosen:
        for rows in _spread(source.shape_of(level)[0]):
            for columns in _spread(source.shape_of(level)[1]):
                yield source.read(level, planes[i], rows, columns, [channel])


def _spread(length: int) -> list[slice]:
    """Return parts of an axis, spread over it; all of it, if it is short."""
    if length <= SAMPLED_PARTS * SAMPLED_SIDE:
        return [slice(0, length)]
    starts = np.linspace(0, length - SAMPLED_SIDE, SAMPLED_PARTS).round().astype(int)
    return [slice(start, start + SAMPLED_SIDE) for start in starts.tolist()]
