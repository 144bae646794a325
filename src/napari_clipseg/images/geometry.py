"""Outlines on a grid of pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon2mask

NO_AREA = "The outline encloses no area. Give three corners or more that do not lie on one line."


def outline_mask(shape: tuple[int, int], outline: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return the pixels whose centers lie within an outline.

    Parameters
    ----------
    shape : tuple of int
        Height and width of the image.
    outline : ndarray of float
        ``(corners, 2)``: row and column of each corner, in pixels; (0, 0) is the center of
        the first pixel. Parts outside the image are left out.

    Returns
    -------
    ndarray of bool
        ``(height, width)``.

    Raises
    ------
    ValueError
        If the outline encloses no area.
    """
    if not encloses_area(outline):
        raise ValueError(NO_AREA)
    mask: NDArray[np.bool_] = polygon2mask(shape, outline)
    return mask


def encloses_area(outline: NDArray[np.floating]) -> bool:
    """Return whether an outline, ``(corners, 2)``, is more than a point or a line."""
    row, column = np.asarray(outline, dtype=float).T
    # Twice the enclosed area, by the shoelace formula.
    return not np.isclose(np.sum(row * np.roll(column, 1) - column * np.roll(row, 1)), 0)
