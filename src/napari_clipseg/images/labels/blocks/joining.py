"""Labels of neighboring blocks that touch, and what belongs together then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from napari_clipseg.images.labels.blocks.store import Box, Grid

Int64 = NDArray[np.int64]
Lines = list[NDArray[Any]]


class Faces:
    """The lines of pixels at which blocks meet; blocks come in reading order.

    Parameters
    ----------
    grid : Grid
        The blocks.
    diagonal : bool
        Whether pixels touch at corners, too.
    """

    def __init__(self, grid: Grid, diagonal: bool) -> None:
        self._width, self._shifts = grid.width, (-1, 0, 1) if diagonal else (0,)
        self._top = 0
        self._above: Lines = []
        self._below: Lines = []
        self._left: Lines = []

    def meet(self, box: Box, arrays: Sequence[NDArray[Any]]) -> Iterator[tuple[Lines, Lines]]:
        """Go through the lines where a block meets the ones before it.

        Parameters
        ----------
        box : tuple of slice
            The block.
        arrays : sequence of ndarray
            ``(height, width)`` each, of the block.

        Yields
        ------
        tuple of list of ndarray
            Of each array the pixels here, and those there that touch them.
        """
        rows, columns = box
        if rows.start != self._top or not self._below:
            self._above, self._top = self._below, rows.start
            self._below = [np.zeros(self._width, one.dtype) for one in arrays]
            self._left = []
        faces = []
        if self._above:
            faces.append(([one[0] for one in arrays], self._above, columns.start))
        if self._left:
            faces.append(([one[:, 0] for one in arrays], self._left, 0))
        for here, there, start in faces:
            for shift in self._shifts:
                low = max(0, -start - shift)
                high = min(len(here[0]), len(there[0]) - start - shift)
                moved = slice(start + low + shift, start + high + shift)
                yield [one[low:high] for one in here], [one[moved] for one in there]
        for below, one in zip(self._below, arrays, strict=True):
            below[columns] = one[-1]
        self._left = [one[:, -1].copy() for one in arrays]


def pairs_of(ones: NDArray[Any], others: NDArray[Any], where: NDArray[np.bool_]) -> Int64:
    """Return ``(pairs, 2)``: each pair of labels that touches, once."""
    pairs = np.stack([ones[where], others[where]], axis=1).astype(np.int64)
    return np.unique(pairs, axis=0) if len(pairs) else pairs


def all_pairs(pairs: Sequence[Int64]) -> Int64:
    """Return the pairs of all blocks as one array ``(pairs, 2)``."""
    return np.concatenate([np.zeros((0, 2), np.int64), *pairs])


def groups_of(count: int, pairs: Int64) -> Int64:
    """Return ``(count,)``: a number from 0 for each label, equal for those that belong together."""
    ones = np.ones(len(pairs), np.int8)
    graph = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    found: Int64 = connected_components(graph, directed=False)[1].astype(np.int64)
    return found
