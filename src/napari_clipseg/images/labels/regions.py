"""The regions of one plane cleaned up: outlines smoothed, holes filled, objects selected."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import measure

Int32 = NDArray[np.int32]
Classes = NDArray[np.integer]


def majority(classes: Classes, reach: tuple[int, int]) -> Classes:
    """Give each pixel to the class that has more than half of the window around it.

    Background counts as a class, too. Specks and thin parts disappear, small gaps close, and
    straight outlines stay where they are. Outside the plane its edge pixels are repeated.

    Parameters
    ----------
    classes : ndarray of int
        ``(height, width)``, 0 for background.
    reach : tuple of int
        Pixels from the center of the window to its edge, along rows and columns.

    Returns
    -------
    ndarray of int
        ``(height, width)``; background where no class has the majority.
    """
    window = tuple(2 * one + 1 for one in reach)
    smooth = np.zeros_like(classes)
    for k in np.unique(classes):
        if k:
            share = ndimage.uniform_filter(
                (classes == k).astype(np.float32), window, mode="nearest"
            )
            # The window has an odd number of pixels: no share is a half, even when rounded.
            smooth[share > 0.5] = k
    return smooth


def fill_holes(objects: Int32, most_pixels: float = np.inf) -> Int32:
    """Fill the holes of objects: background that is enclosed by a single object.

    Background pixels are connected through their edges, pixels of objects through corners,
    too. A gap between objects is no hole, nor is a bay at the edge of the plane.

    Parameters
    ----------
    objects : ndarray of int32
        ``(height, width)``, 0 for background.
    most_pixels : float
        Larger holes are not filled.

    Returns
    -------
    ndarray of int32
        ``(height, width)``.
    """
    gaps = measure.label(objects == 0, connectivity=1)
    sizes = np.bincount(gaps.ravel(), minlength=1)
    closed = (sizes > 0) & (sizes <= most_pixels)
    closed[0] = False  # the objects
    closed[_at_the_edge(gaps)] = False
    where = np.flatnonzero(closed[gaps])
    if not where.size:
        return objects
    gap = gaps.ravel()[where]
    least = np.full(len(sizes), np.iinfo(np.int32).max, np.int32)
    greatest = np.zeros(len(sizes), np.int32)
    for step in (-objects.shape[1], -1, 1, objects.shape[1]):
        # No hole is at the edge: each of its pixels has four neighbors.
        beside = objects.ravel()[where + step]
        np.minimum.at(least, gap[beside > 0], beside[beside > 0])
        np.maximum.at(greatest, gap, beside)
    filled = objects.copy()
    filled.ravel()[where] = np.where(least == greatest, greatest, 0)[gap]
    return filled


def select(objects: Int32, least_pixels: float, most_pixels: float, drop_border: bool) -> Int32:
    """Remove objects that are too small, too large, or cut by the edge of the plane.

    Returns
    -------
    ndarray of int32
        ``(height, width)``: the others, numbered from 1 in reading order of their first pixel.
    """
    where = np.flatnonzero(objects)
    numbers = objects.ravel()[where]
    sizes = np.bincount(numbers, minlength=1)
    keep = (sizes >= least_pixels) & (sizes <= most_pixels) & (sizes > 0)
    if drop_border:
        keep[_at_the_edge(objects)] = False
    keep[0] = False
    first = np.empty(len(sizes), np.intp)
    first[numbers[::-1]] = where[::-1]  # backwards: the first pixel of each number stays
    chosen = np.flatnonzero(keep)
    table = np.zeros(len(sizes), np.int32)
    table[chosen[np.argsort(first[chosen])]] = 1 + np.arange(len(chosen))
    result: Int32 = table[objects]
    return result


def _at_the_edge(labels: NDArray[np.integer]) -> NDArray[np.integer]:
    """Return the labels in the first and last rows and columns, some more than once."""
    lines = (labels[:1], labels[-1:], labels[:, :1], labels[:, -1:])
    return np.unique(np.concatenate([line.ravel() for line in lines]))
