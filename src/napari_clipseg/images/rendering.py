"""What the model sees: pixels of any image as 8-bit RGB, in the same way for a whole run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.images.contrast import PERCENTILES, limits_of_type, sampled_limits
from napari_clipseg.images.io.source import Limits, Reader, Source

CHANNELS = 3  # red, green, blue
Contrast = Literal["auto", "dtype"] | Limits | Sequence[Limits]


@dataclass(frozen=True, eq=False)
class Appearance:
    """How an image is shown to the model.

    Attributes
    ----------
    contrast : "auto", "dtype", or a pair of values
        Which values are black and white. "auto": the image's own contrast limits if it has
        them, otherwise robust percentiles; RGB images keep their range. "dtype": the whole
        range of an integer type, 0 to 1 for floats. A pair of values, or one pair per channel.
    percentiles : tuple of float
        The robust percentiles, 0 to 100.
    gamma : float, optional
        Exponent of the brightness, 0 to 1; below 1 brightens dark parts. By default the
        image's own: that of a layer, otherwise 1.
    invert : bool
        Whether black and white change places.
    channels : sequence of int, optional
        One channel, shown in gray, or up to three, shown as red, green and blue. By default
        the first three, or all if there are fewer.
    colormap : "gray" or ndarray of uint8, optional
        ``(colors, 3)``: the colors of a single channel, from black to white. By default the
        image's own: that of a layer, otherwise gray.

    Examples
    --------
    >>> Appearance(gamma=0.5, channels=[2, 0]).channels
    (2, 0)
    >>> Appearance() == Appearance(contrast="auto")
    True
    """

    contrast: Contrast = "auto"
    percentiles: tuple[float, float] = PERCENTILES
    gamma: float | None = None
    invert: bool = False
    channels: Sequence[int] | None = None
    colormap: NDArray[np.uint8] | Literal["gray"] | None = None

    def __post_init__(self) -> None:
        low, high = self.percentiles
        if not 0 <= low < high <= 100:
            raise ValueError(
                f"The percentiles are {low} and {high}; wanted 0 <= low < high <= 100."
            )
        if self.gamma is not None and not 0 < self.gamma < np.inf:
            raise ValueError(f"Gamma is {self.gamma}; wanted a number above 0, such as 0.7.")
        if isinstance(self.contrast, str) and self.contrast not in ("auto", "dtype"):
            raise ValueError(
                f"The contrast is {self.contrast!r}; wanted 'auto', 'dtype', or (black, white)."
            )
        if not isinstance(self.contrast, str):
            _check_limits(self.contrast)
        if self.channels is not None:
            if not 1 <= len(self.channels) <= CHANNELS:
                raise ValueError(
                    f"Got {len(self.channels)} channels; wanted one, or up to three for red, "
                    f"green and blue."
                )
            object.__setattr__(self, "channels", tuple(map(int, self.channels)))
        _check_colormap(self.colormap)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and _same(self, other)


@dataclass(frozen=True, eq=False)
class Rendering:
    """An appearance in numbers, the same for all tiles and planes of a run.

    Attributes
    ----------
    limits : tuple of pairs of float
        Black and white of each channel; one pair for the colors of an RGB image.
    channels : tuple of int
        Which channels are read.
    gamma : float
        Exponent of the brightness, 0 to 1.
    invert : bool
        Whether black and white change places.
    colormap : ndarray of uint8, optional
        ``(colors, 3)``: the colors of a single channel.
    """

    limits: tuple[Limits, ...]
    channels: tuple[int, ...] = (0,)
    gamma: float = 1.0
    invert: bool = False
    colormap: NDArray[np.uint8] | None = None
    _tables: dict[Any, NDArray[np.uint8]] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and _same(self, other)

    @property
    def appearance(self) -> Appearance:
        """The appearance with these numbers: it shows any image of this kind in the same way."""
        return Appearance(
            contrast=self.limits,
            gamma=self.gamma,
            invert=self.invert,
            channels=self.channels,
            colormap="gray" if self.colormap is None else self.colormap,
        )

    def apply(self, pixels: NDArray[Any]) -> NDArray[np.uint8]:
        """Convert pixels to 8-bit RGB.

        NaN becomes black; infinities become black or white.

        Parameters
        ----------
        pixels : ndarray
            ``(height, width, channels)``, as `Reader.read` gives them.

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
                colored: NDArray[np.uint8] = self.colormap[steps][shown[..., 0]]
                if pixels.dtype.kind == "f":
                    colored[np.isnan(pixels[..., 0])] = 0
                return colored
            return np.repeat(shown, CHANNELS, axis=2)
        if shown.shape[2] < CHANNELS:
            blank = np.zeros((*shown.shape[:2], CHANNELS - shown.shape[2]), np.uint8)
            shown = np.concatenate([shown, blank], axis=2)
        return np.ascontiguousarray(shown)

    def _shown(self, pixels: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
        native = pixels.dtype.newbyteorder("=")
        if native.kind in "bui" and native.itemsize <= 2:
            # A lookup table of all values is faster than arithmetic on each pixel.
            unsigned = np.dtype(f"u{native.itemsize}")
            places = pixels.astype(native, copy=False).view(unsigned)
            shown: NDArray[np.uint8] = np.take(self._table(native, low, high), places)
            return shown
        # float32 would round large values, and limits that lie far from them.
        return _stretched(pixels.astype(np.float64), low, high, self.gamma, self.invert)

    def _table(self, dtype: np.dtype[Any], low: float, high: float) -> NDArray[np.uint8]:
        """Return what is shown for each value of a small type, in the order of its bytes."""
        key = (dtype, low, high)
        if key not in self._tables:
            values = np.arange(2 ** (8 * dtype.itemsize), dtype=f"u{dtype.itemsize}")
            values = values.view(dtype) if dtype.kind == "i" else values
            self._tables[key] = _stretched(
                values.astype(np.float64), low, high, self.gamma, self.invert
            )
        return self._tables[key]


def _stretched(
    values: NDArray[np.float64], low: float, high: float, gamma: float, invert: bool
) -> NDArray[np.uint8]:
    black = np.isnan(values)
    if high > low:
        values, scale = np.clip(values, low, high), high - low
        if not np.isfinite(scale):
            values, low, scale = values / 2, low / 2, high / 2 - low / 2
        unit = (values - low) / scale
    else:  # one value: black up to it, white above
        unit = np.where(values > high, 1.0, 0.0)
    if gamma != 1:
        unit = unit**gamma
    if invert:
        unit = 1 - unit
    unit[black] = 0
    return np.rint(unit * 255).astype(np.uint8)


def resolve(
    reader: Reader, appearance: Appearance, planes: Sequence[Sequence[int]] | None = None
) -> Rendering:
    """Find the numbers of an appearance for an image.

    Parameters
    ----------
    reader : Reader
        Of the image. Only what the contrast needs is read: of an array in memory a regular
        sample of a million pixels; of others some parts, spread over the coarsest level.
    appearance : Appearance
        How to show it.
    planes : sequence of sequences of int, optional
        The planes of the run; by default all.

    Raises
    ------
    ValueError
        If there is no such channel, limits and channels differ in number, or no sampled
        pixel is a finite number.
    """
    source = reader.source
    channels = _channels(source, appearance)
    limits = _limits(reader, appearance, channels, planes)
    colormap = source.colormap if appearance.colormap is None else appearance.colormap
    if isinstance(colormap, str) or source.rgb or len(channels) > 1:
        colormap = None
    gamma = source.gamma if appearance.gamma is None else appearance.gamma
    return Rendering(limits, channels, gamma, appearance.invert, colormap)


def _limits(
    reader: Reader,
    appearance: Appearance,
    channels: tuple[int, ...],
    planes: Sequence[Sequence[int]] | None,
) -> tuple[Limits, ...]:
    """Return black and white of each channel."""
    source, contrast = reader.source, appearance.contrast
    if not isinstance(contrast, str):
        pairs = np.atleast_2d(np.asarray(contrast, dtype=float))
        if len(pairs) not in (1, len(channels)):
            raise ValueError(
                f"Got the contrast {contrast!r}; wanted (black, white), or one such pair for each "
                f"of the {len(channels)} channels."
            )
        given = [(float(low), float(high)) for low, high in pairs]
        return tuple(given * (len(channels) // len(given)))
    if contrast == "dtype" or source.rgb:
        return (limits_of_type(source),) * len(channels)
    if source.contrast_limits is not None:
        return (source.contrast_limits,) * len(channels)
    return sampled_limits(reader, channels, appearance.percentiles, planes)


def _same(one: Any, other: Any) -> bool:
    compared = [f.name for f in fields(one) if f.compare]
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in compared)


def _check_limits(contrast: Any) -> None:
    try:
        pairs = np.atleast_2d(np.asarray(contrast, dtype=float))
    except (TypeError, ValueError):
        pairs = np.empty(0)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not len(pairs):
        raise ValueError(
            f"The contrast is {contrast!r}; wanted (black, white), or one such pair for each "
            f"channel."
        )
    if not np.isfinite(pairs).all() or (pairs[:, 0] > pairs[:, 1]).any():
        raise ValueError(
            f"The contrast is {contrast!r}; wanted finite values, black not above white. To "
            f"exchange them: invert=True."
        )


def _check_colormap(colormap: Any) -> None:
    if colormap is None or (isinstance(colormap, str) and colormap == "gray"):
        return
    if not isinstance(colormap, np.ndarray):
        raise ValueError(
            f"The colormap is {colormap!r}; wanted 'gray', or uint8 of shape (colors, 3)."
        )
    table = colormap.ndim == 2 and colormap.shape[1] == 3 and len(colormap) > 0
    if not table or colormap.dtype != np.uint8:
        raise ValueError(
            f"The colormap is {colormap.dtype} of shape {colormap.shape}; wanted uint8 of shape "
            f"(colors, 3), of at least one color."
        )


def _channels(source: Source, appearance: Appearance) -> tuple[int, ...]:
    if appearance.channels is None:
        return tuple(range(min(source.channels, CHANNELS)))
    for channel in appearance.channels:
        if not 0 <= channel < source.channels:
            raise ValueError(
                f"There is no channel {channel}; the image has {source.channels}, counted from 0."
            )
    return tuple(appearance.channels)
