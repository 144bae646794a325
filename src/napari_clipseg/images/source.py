"""What came, checked: one plane of a gray or colour image, as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

RGB, RGBA = 3, 4


@dataclass(frozen=True)
class Plane:
    """One plane of an image.

    Attributes
    ----------
    pixels : ndarray
        ``(height, width)`` for gray, ``(height, width, 3)`` for colour; real numbers,
        as they came.
    contrast_limits : tuple of float, optional
        Values shown as black and as white; by default taken from the pixels.
    """

    pixels: NDArray[Any]
    contrast_limits: tuple[float, float] | None = None

    @property
    def rgb(self) -> bool:
        """Whether the plane has colours."""
        return self.pixels.ndim == 3

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]


def as_plane(
    image: Any, *, rgb: bool | None = None, contrast_limits: tuple[float, float] | None = None
) -> Plane:
    """Check an array and take it as a plane.

    Parameters
    ----------
    image : array-like
        ``(height, width)``, ``(height, width, 3)`` or ``(height, width, 4)``; bool, integer
        or float. The fourth channel, transparency, is left out.
    rgb : bool, optional
        Whether the last axis holds colours. By default, it does if there are three axes.
    contrast_limits : tuple of float, optional
        Values shown as black and as white.

    Returns
    -------
    Plane
        A view of the data where that is possible; it is not changed.

    Raises
    ------
    TypeError
        If the values are no real numbers.
    ValueError
        If the shape is another, an axis is empty, or no pixel is finite.
    """
    pixels = np.asarray(image)
    if pixels.dtype.kind not in "buif":
        raise TypeError(
            f"The image holds values of type {pixels.dtype}; wanted bool, integers or floats. "
            f"Convert it first, for example with numpy.abs for complex numbers."
        )
    if rgb is None:
        rgb = pixels.ndim == 3
    colours = pixels.ndim == 3 and pixels.shape[2] in (RGB, RGBA)
    if not (colours if rgb else pixels.ndim == 2):
        raise ValueError(
            f"The image has shape {pixels.shape}; wanted (height, width) for gray or "
            f"(height, width, 3) for colour. Choose one plane of a stack, and put channels last."
        )
    if 0 in pixels.shape:
        raise ValueError(f"The image is empty: its shape is {pixels.shape}. Choose another one.")
    plane = Plane(pixels[..., :RGB] if rgb else pixels, contrast_limits)
    if not finite(plane).any():
        raise ValueError(
            "The image has no finite pixel: all are NaN or infinite. Choose another one."
        )
    return plane


def finite(plane: Plane) -> NDArray[np.bool_]:
    """Return ``(height, width)``, True where all values of a pixel are finite numbers."""
    if plane.pixels.dtype.kind != "f":
        return np.ones(plane.shape, dtype=bool)
    where = np.isfinite(plane.pixels)
    result: NDArray[np.bool_] = where.all(axis=2) if plane.rgb else where
    return result
