"""Intensities of objects in each channel of their image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Columns = dict[str, Float64]


def object_intensities(
    planes: Iterable[tuple[NDArray[np.integer[Any]], NDArray[Any]]],
    index: NDArray[Any],
    names: Sequence[str] = (),
) -> Columns:
    """Measure the intensities of objects, as `skimage.measure.regionprops` does.

    Parameters
    ----------
    planes : iterable of (ndarray of int, ndarray)
        Labels of a plane, ``(height, width)``, and its pixels, ``(height, width, channels)``; only
        one plane is held at a time.
    index : ndarray of int
        The labels to measure, in rising order.
    names : sequence of str
        Names of the channels; by default they are numbered from 0.

    Returns
    -------
    dict of ndarray
        For each channel of number or name ``k``: ``intensity_mean-k``, ``intensity_min-k``,
        ``intensity_max-k`` and ``intensity_std-k``, over all pixels of an object; a value for each
        label of `index`, NaN where it has no pixel.

    Examples
    --------
    >>> labels = np.array([[1, 1, 0, 2]])
    >>> pixels = np.array([[3, 5, 9, 7]])[..., None]
    >>> object_intensities([(labels, pixels)], np.array([1, 2]))["intensity_mean-0"].tolist()
    [4.0, 7.0]
    """
    found: list[Float64] = []  # of each channel: number, mean, squares, least, greatest
    for labels, pixels in planes:
        if not found:
            nothing = np.array([0, 0, 0, np.inf, -np.inf])[:, None]
            found = [np.repeat(nothing, len(index), axis=1) for _ in range(pixels.shape[-1])]
        inside = np.flatnonzero(labels)
        order = inside[np.argsort(labels.ravel()[inside], kind="stable")]
        present, first, count = np.unique(
            labels.ravel()[order], return_index=True, return_counts=True
        )
        rows = np.atleast_1d(np.searchsorted(index, present))
        if not len(rows):
            continue
        for channel, known in enumerate(found):
            values = pixels[..., channel].ravel()[order].astype(np.float64)
            _add(known, rows, first, count, values)
    table: Columns = {}
    for channel, (number, mean, squares, least, greatest) in enumerate(found):
        seen = number > 0
        called = names[channel] if names else channel
        deviation = np.sqrt(squares / np.maximum(number, 1))
        columns = {"mean": mean, "min": least, "max": greatest, "std": deviation}
        for name, column in columns.items():
            table[f"intensity_{name}-{called}"] = np.where(seen, column, np.nan)
    return table


def _add(
    known: Float64,
    rows: NDArray[Any],
    first: NDArray[Any],
    count: NDArray[Any],
    values: Float64,
) -> None:
    """Add the values of a plane, sorted by label, to what is known of the objects in it."""
    with np.errstate(invalid="ignore"):  # infinities give NaN, as they do in scikit-image
        mean = np.add.reduceat(values, first) / count
        apart = values - np.repeat(mean, count)
        squares = np.add.reduceat(apart * apart, first)
        before, old_mean, old_squares = known[:3, rows]
        total, step = before + count, mean - old_mean
        # The mean and the squares of both together (Chan, Golub and LeVeque 1979).
        known[0, rows] = total
        known[1, rows] = np.where(before > 0, old_mean + step * (count / total), mean)
        known[2, rows] = old_squares + squares + step * step * (before * count / total)
    known[3, rows] = np.minimum(known[3, rows], np.minimum.reduceat(values, first))
    known[4, rows] = np.maximum(known[4, rows], np.maximum.reduceat(values, first))
