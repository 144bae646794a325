"""Splits touching objects by a watershed, one object at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed

Int32 = NDArray[np.int32]
Float32 = NDArray[np.float32]
Mask = NDArray[np.bool_]

# A blur of one pixel removes peaks that come from the steps of pixels alone.
BLUR_SIGMA = 1.0
# Two parts are joined again unless the height between them falls by this share of the lower peak.
# For distances: unless the neck is this much narrower than the narrower part, and half a pixel more
# on each side, because of the steps of pixels.
LEAST_DIP = 0.1
LEAST_STEP = 0.5
# Unless a distance is given, each object is judged by its thickness, the greatest distance to the
# outside: peaks lie apart by a share of it, necks must be narrower, and a hole that is smaller than
# a share of its square does not count as outside. An object of so few pixels a side is not split.
APART = 0.5
OWN_DIP = 0.2
SMALL_HOLE = 0.1
LEAST_SIDE = 5


def split_touching(
    objects: Int32,
    likelihood: Float32 | None,
    min_distance: float | None,
    pixel: tuple[float, float] = (1, 1),
    step: Callable[[], None] = lambda: None,
) -> Int32:
    """Split objects at their necks, or at the minima of a probability map.

    The height of a pixel is its distance to the nearest pixel outside the object, or its
    probability. The peaks are the seeds of a watershed (Meyer's algorithm); then parts are
    joined again where the minimum between them is shallow, the shallowest first.

    Parameters
    ----------
    objects : ndarray of int32
        ``(height, width)``, 0 for background.
    likelihood : ndarray of float32, optional
        ``(height, width)``: the heights; by default the distances.
    min_distance : float, optional
        Of two peaks nearer than this along both axes, only the higher one is a seed; by default
        half of the object's thickness, and
        then holes that are small beside it do not count as outside.
    pixel : tuple of float
        Height and width of a pixel, in the unit of `min_distance`.
    step : callable, optional
        Called before each object that may be split; what it raises stops the work.

    Returns
    -------
    ndarray of int32
        ``(height, width)``: one part of each split object keeps its number, the others get new
        numbers.
    """
    result = objects.copy()
    count = int(objects.max(initial=0))
    reach = peak_reach(min_distance, pixel, (objects.shape[0], objects.shape[1]))
    for number, box in enumerate(ndimage.find_objects(objects), start=1):
        least = [LEAST_SIDE] * 2 if reach is None else reach
        if box is None or all(s.stop - s.start <= r for s, r in zip(box, least, strict=True)):
            continue  # no room for two peaks
        step()
        heights = None if likelihood is None else likelihood[box]
        parts = split_object(objects[box] == number, heights, reach, pixel)
        new = parts > 1
        result[box][new] = count - 1 + parts[new]
        count += int(parts.max()) - 1
    return result


def peak_reach(
    min_distance: float | None, pixel: tuple[float, float], shape: tuple[int, ...]
) -> list[int] | None:
    """Return how many pixels peaks lie apart at least, along rows and columns of a plane.

    None where no distance is given, and each object has its own.
    """
    if min_distance is None:
        return None
    # Beyond the plane all distances are alike, and floats may be no integers.
    return [int(min(min_distance / one, max(shape))) for one in pixel]


def split_object(
    mask: Mask, likelihood: Float32 | None, reach: list[int] | None, pixel: tuple[float, float]
) -> Int32:
    """Return the parts of one object, numbered from 1; 0 outside.

    Parameters
    ----------
    mask : ndarray of bool
        ``(height, width)``: its bounding box.
    likelihood : ndarray of float32, optional
        The heights in the box; by default the distances.
    reach : list of int, optional
        See `peak_reach`.
    pixel : tuple of float
        Height and width of a pixel.
    """
    if reach is not None:
        if likelihood is None:
            return _split(mask, _distance(mask, pixel), reach, LEAST_STEP * max(pixel), LEAST_DIP)
        return _split(mask, likelihood, reach, 0, LEAST_DIP)
    far = _distance(mask, pixel)
    thickness = float(far.max(initial=0))
    reach = own_reach(thickness, pixel)
    if likelihood is not None:
        return _split(mask, likelihood, reach, 0, LEAST_DIP)
    filled = without_small_holes(mask, thickness, pixel)
    far = far if filled is mask else _distance(filled, pixel)
    return _split(mask, far, reach, LEAST_STEP * max(pixel), OWN_DIP)


def own_reach(thickness: float, pixel: tuple[float, float]) -> list[int]:
    """Return how many pixels the peaks of an object of this thickness lie apart at least."""
    return [max(1, int(APART * thickness / one)) for one in pixel]


def without_small_holes(mask: Mask, thickness: float, pixel: tuple[float, float]) -> Mask:
    """Return an object with the holes filled that are small beside its thickness.

    Parameters
    ----------
    mask : ndarray of bool
        ``(height, width)``. What is open to its edge is no hole.
    thickness : float
        In the unit of the pixel.
    pixel : tuple of float
        Height and width of a pixel.
    """
    gaps, count = ndimage.label(~mask)  # connected through edges: objects are through corners, too
    if not count:
        return mask
    small = np.bincount(gaps.ravel()) <= SMALL_HOLE * thickness**2 / (pixel[0] * pixel[1])
    for line in (gaps[0], gaps[-1], gaps[:, 0], gaps[:, -1]):
        small[line] = False
    small[0] = False
    filled: Mask = mask | small[gaps]
    return filled if small.any() else mask


def _distance(mask: Mask, pixel: tuple[float, float]) -> Float32:
    """Return the distance of each pixel of an object to the nearest pixel outside."""
    framed = np.zeros([n + 2 for n in mask.shape], np.bool_)
    framed[1:-1, 1:-1] = mask
    far = ndimage.distance_transform_edt(framed, sampling=pixel)
    return np.asarray(far[1:-1, 1:-1], np.float32)


def _split(mask: Mask, height: Float32, reach: list[int], step: float, dip: float) -> Int32:
    """Return ``(height, width)``: the parts of one object, numbered from 1; 0 outside."""
    height = blurred(mask, height)
    peaks = peaks_of(mask, height, reach)
    if np.count_nonzero(peaks) == 1 or _one_ridge(mask, height, peaks, step, dip):
        return mask.astype(np.int32)
    seeds = seeds_of(peaks, reach)
    parts = flooded(mask, height, seeds)
    tops = np.asarray(ndimage.maximum(height, parts, np.arange(seeds.max() + 1)))
    joined: Int32 = joined_parts(tops, ways_of(parts, height), step, dip)[parts]
    return joined


def blurred(mask: Mask, height: Float32) -> Float32:
    """Return the heights of an object, blurred; 0 outside."""
    height = ndimage.gaussian_filter(np.where(mask, height, 0), BLUR_SIGMA, mode="nearest")
    height[~mask] = 0  # a blurred hole can be higher than its surroundings
    return height


def peaks_of(mask: Mask, height: Float32, reach: list[int]) -> Mask:
    """Return the pixels than which none is higher within reach."""
    window = [2 * r + 1 for r in reach]
    highest = ndimage.maximum_filter(height, window, mode="nearest")
    peaks: Mask = (height == highest) & mask
    return peaks


def _one_ridge(mask: Mask, height: Float32, peaks: Mask, step: float, dip: float) -> bool:
    """Whether all parts of a watershed would be joined again."""
    neck = (1 - dip) * float(height[peaks].max()) - step
    ridge = ndimage.label((height > neck) & mask)[0][peaks]
    return bool(ridge[0] and (ridge == ridge[0]).all())


def seeds_of(peaks: Mask, reach: list[int]) -> Int32:
    """Number the peaks in reading order; of equally high ones within reach, the last one stays."""
    window = [2 * r + 1 for r in reach]
    order = np.where(peaks, np.arange(peaks.size, dtype=np.int32).reshape(peaks.shape), -1)
    last = (order == ndimage.maximum_filter(order, window, mode="nearest")) & peaks
    seeds: Int32 = np.cumsum(last, dtype=np.int32).reshape(last.shape) * last
    return seeds


def flooded(mask: Mask, height: Float32, seeds: Int32) -> Int32:
    """Return the part of each pixel: that of the seed from which it is reached first, downhill.

    What is equally high is reached in an order that does not depend on what is far away, so that
    a part of an object is flooded as the whole is.
    """
    depth = -height
    where = seeds > 0
    # Else seeds of one height would begin in the order of a heap of all of them.
    depth[where] = seeds[where] - (np.ceil(height.max(initial=0)) + seeds.max(initial=0) + 1)
    parts: Int32 = watershed(depth, seeds, mask=mask, connectivity=2)
    return parts


def ways_of(parts: Int32, height: Float32) -> list[tuple[float, int, int]]:
    """Return the greatest height at which two touching parts meet, through edges of pixels."""
    count = int(parts.max()) + 1
    pairs, ways = [], []
    for a, b in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        meet = (parts[a] != parts[b]) & (parts[a] > 0) & (parts[b] > 0)
        one, other = parts[a][meet].astype(np.int64), parts[b][meet]
        pairs.append(np.minimum(one, other) * count + np.maximum(one, other))
        ways.append(np.minimum(height[a][meet], height[b][meet]))
    pair, where = np.unique(np.concatenate(pairs), return_inverse=True)
    highest = np.zeros(len(pair))
    np.maximum.at(highest, where, np.concatenate(ways))
    return list(zip(highest.tolist(), *(n.tolist() for n in np.divmod(pair, count)), strict=True))


def joined_parts(
    peaks: NDArray[np.floating], ways: list[tuple[float, int, int]], step: float, dip: float
) -> Int32:
    """Join parts with a shallow minimum between them; return the new number of each, from 1."""
    peaks = peaks.copy()
    above = list(range(len(peaks)))  # the part that each was joined to, or itself

    def joint(part: int) -> int:
        while above[part] != part:
            above[part] = part = above[above[part]]
        return part

    for way, one, other in sorted(ways, reverse=True):
        a, b = joint(one), joint(other)
        if a != b and way > (1 - dip) * min(peaks[a], peaks[b]) - step:
            peaks[a] = max(peaks[a], peaks[b])
            above[b] = a
    roots = [joint(part) for part in above]
    return np.unique(roots, return_inverse=True)[1].astype(np.int32)
