"""Masks of objects as runs of pixels, as COCO has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Mask:
    """The pixels of an object in a plane.

    Attributes
    ----------
    counts : list of int
        Lengths of runs, column by column from the top left: of pixels that are not the object's,
        then of its own, and so on.
    area : int
        Number of its pixels.
    box : tuple of int
        First row and column, height, width.
    """

    counts: list[int]
    area: int
    box: tuple[int, int, int, int]


def masks(labels: NDArray[np.integer[Any]]) -> dict[int, Mask]:
    """Return the mask of each object of a plane.

    Parameters
    ----------
    labels : ndarray of int
        ``(height, width)``: 0 for background, otherwise the label of an object.

    Returns
    -------
    dict
        From each label to its mask, in the order of labels.

    Examples
    --------
    >>> masks(np.array([[0, 7], [7, 7]]))[7]
    Mask(counts=[1, 3], area=3, box=(0, 0, 2, 2))
    """
    height = labels.shape[0]
    flat = labels.ravel(order="F")
    if not flat.any():
        return {}
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths = np.diff(starts, append=flat.size)
    values = flat[starts]
    order = np.flatnonzero(values)
    order = order[np.argsort(values[order], kind="stable")]
    starts, lengths, values = starts[order], lengths[order], values[order]
    lasts = starts + lengths - 1
    found, first = np.unique(values, return_index=True)
    before = np.concatenate([[-1], lasts[:-1]])
    before[first] = -1
    # Each run of others, then the run of the object.
    counts = np.stack([starts - before - 1, lengths], axis=1)
    several = starts // height != lasts // height  # a run over the foot of a column
    top = np.minimum.reduceat(np.where(several, 0, starts % height), first)
    bottom = np.maximum.reduceat(np.where(several, height - 1, lasts % height), first)
    left, right = np.minimum.reduceat(starts, first), np.maximum.reduceat(lasts, first)
    left, right = left // height, right // height
    areas = np.add.reduceat(lengths, first).tolist()
    boxes = np.stack([top, left, bottom - top + 1, right - left + 1], axis=1).tolist()
    ends = [*first[1:].tolist(), len(values)]
    result = {}
    for label, area, box, start, end in zip(
        found.tolist(), areas, boxes, first.tolist(), ends, strict=True
    ):
        runs = counts[start:end].ravel().tolist()
        rest = flat.size - 1 - int(lasts[end - 1])
        result[label] = Mask([*runs, rest] if rest else runs, area, tuple(box))
    return result
