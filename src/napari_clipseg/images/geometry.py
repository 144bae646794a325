"""Outlines on a grid of pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon2mask

SLACK = 1e-8  # of areas, and of lengths relative to each other
FARTHEST = 1e9  # pixels from the first one: beyond, floats do not tell parts of a pixel well
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
    """Return whether an outline, ``(corners, 2)``, is more than a point or a line.

    It may cross itself. An edge that is drawn an even number of times encloses nothing.
    """
    corners = [(float(row), float(column)) for row, column in np.asarray(outline)]
    odd: set[frozenset[tuple[float, float]]] = set()
    for start, end in zip(corners, [*corners[1:], corners[0]], strict=True):
        if start != end:
            odd ^= {frozenset((start, end))}
    ends = np.array([corner for edge in odd for corner in edge])
    if not len(ends):
        return False
    row, column = (ends - ends[0]).T
    lengths = np.hypot(row, column)
    far = lengths.argmax()
    # Twice the areas of triangles on the longest of these lines, but for rounding.
    areas = np.abs(row * column[far] - column * row[far])
    rounding = lengths[far] * (SLACK * lengths[far] + 4 * np.spacing(np.abs(ends).max()))
    return bool(areas.max() > max(SLACK, rounding))


def check_corners(corners: NDArray[np.floating], name: str) -> None:
    """Raise ValueError if the corners of what bears this name are no places of pixels."""
    if not np.isfinite(corners).all() or np.abs(corners).max(initial=0) > FARTHEST:
        raise ValueError(
            f"{name} has corners {corners.tolist()}; wanted finite numbers of pixels, at most "
            f"{FARTHEST:g} from the first one."
        )
