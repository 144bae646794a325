"""The connected parts of a plane, block by block, joined across their borders; holes filled."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import measure

from napari_clipseg.images.labels.blocks.joining import (
    Faces,
    Int64,
    all_pairs,
    groups_of,
    pairs_of,
)
from napari_clipseg.images.labels.blocks.store import Box, Grid, Store, grown, moved
from napari_clipseg.images.labels.regions import majority

Int32 = NDArray[np.int32]


@dataclass
class Parts:
    """What is known of the labels 1, 2, ... of a plane.

    Attributes
    ----------
    size : ndarray of int64
        Pixels.
    first : ndarray of int64
        The first pixel in reading order, counted through the whole plane.
    edge : ndarray of bool
        Whether it touches the edge of the plane.
    bounds : ndarray of int64
        ``(labels, 4)``: first row and column, then the ends, exclusive.
    """

    size: Int64
    first: Int64
    edge: NDArray[np.bool_]
    bounds: Int64

    @classmethod
    def of(cls, labels: Int32, box: Box, grid: Grid) -> Parts:
        """Measure the labels of a part of the plane, 1, 2, ... without gaps."""
        count = int(labels.max(initial=0))
        rows, columns = box
        where = np.flatnonzero(labels)
        numbers = labels.ravel()[where]
        down, across = np.divmod(where, labels.shape[1])
        first = np.zeros(count + 1, np.int64)
        # Backwards: the first pixel of each number stays.
        first[numbers[::-1]] = ((down + rows.start) * grid.width + across + columns.start)[::-1]
        edge = np.zeros(count + 1, np.bool_)
        for at_edge, line in (
            (rows.start == 0, labels[:1]),
            (rows.stop == grid.height, labels[-1:]),
            (columns.start == 0, labels[:, :1]),
            (columns.stop == grid.width, labels[:, -1:]),
        ):
            if at_edge:
                edge[line] = True
        bounds = np.array(
            [
                (
                    down.start + rows.start,
                    across.start + columns.start,
                    down.stop + rows.start,
                    across.stop + columns.start,
                )
                for down, across in ndimage.find_objects(labels)
            ],
            np.int64,
        ).reshape(count, 4)
        sizes = np.bincount(numbers, minlength=count + 1)
        return cls(sizes[1:], first[1:], edge[1:], bounds)

    @classmethod
    def joined(cls, parts: list[Parts], pairs: list[Int64]) -> tuple[Parts, Int64]:
        """Join parts that touch, numbered from 1 through the list.

        Returns
        -------
        Parts
            What they are together, in the order of first pixels.
        ndarray of int64
            The new number of each part; 0 for 0.
        """
        size, first, edge, bounds = (
            np.concatenate([getattr(one, name) for one in parts])
            for name in ("size", "first", "edge", "bounds")
        )
        groups = groups_of(len(size) + 1, all_pairs(pairs))[1:]
        _, groups = np.unique(groups, return_inverse=True)
        count = int(groups.max(initial=-1)) + 1
        whole = cls(
            np.zeros(count, np.int64),
            np.full(count, np.iinfo(np.int64).max),
            np.zeros(count, np.bool_),
            np.empty((count, 4), np.int64),
        )
        np.add.at(whole.size, groups, size)
        np.minimum.at(whole.first, groups, first)
        np.logical_or.at(whole.edge, groups, edge)
        whole.bounds[groups] = bounds
        for i, extreme in enumerate((np.minimum, np.minimum, np.maximum, np.maximum)):
            extreme.at(whole.bounds[:, i], groups, bounds[:, i])
        order = np.argsort(whole.first)
        rank = np.empty(count, np.int64)
        rank[order] = 1 + np.arange(count)
        for name in ("size", "first", "edge", "bounds"):
            setattr(whole, name, getattr(whole, name)[order])
        return whole, np.concatenate([[0], rank[groups]])


class Components:
    """Finds the connected parts of a plane, the gaps between them, and which gaps are holes.

    Parameters
    ----------
    grid : Grid
        Of the plane.
    reach : tuple of int
        Of the window that smooths outlines, see `majority`; 0 for none.
    largest_hole : float
        In pixels: larger holes stay; 0 if none is filled.
    """

    passes = 2

    def __init__(self, grid: Grid, reach: tuple[int, int], largest_hole: float) -> None:
        self._grid, self._reach, self._largest_hole = grid, reach, largest_hole
        self._parts: list[Parts] = []
        self._pairs: list[Int64] = []
        self._gaps: list[Parts] = []
        self._gap_pairs: list[Int64] = []
        self._beside: list[Int64] = []  # gaps, and parts that touch them

    def steps(self, classes: Store, objects: Store) -> Generator[None, None, Parts]:
        """Write the parts of a plane, numbered in reading order; yield before each block.

        Parameters
        ----------
        classes : Store
            The classes of the plane.
        objects : Store
            Where the numbers are written.

        Returns
        -------
        Parts
            What they are, as the generator's return value.
        """
        faces = Faces(self._grid, diagonal=True)
        gap_faces = Faces(self._grid, diagonal=False)
        count = gap_count = 0
        firsts = []
        for box in self._grid:
            yield
            semantic = self._smooth(classes, box)
            labels = measure.label(semantic, background=0, connectivity=2).astype(np.int32)
            parts = Parts.of(labels, box, self._grid)
            own = np.where(labels > 0, labels + count, 0)
            objects.write(box, own)
            for (here, its), (there, others) in faces.meet(box, [own, semantic]):
                touching = (here > 0) & (there > 0) & (its == others)
                self._pairs.append(pairs_of(here, there, touching))
            self._parts.append(parts)
            firsts.append(gap_count)
            count += len(parts.size)
            if self._largest_hole:
                gap_count += self._find_gaps(box, own, gap_count, gap_faces)
        whole, table = Parts.joined(self._parts, self._pairs)
        filled = self._filled(whole, table) if self._largest_hole else None
        for box, first in zip(self._grid, firsts, strict=True):
            yield
            own = objects.read(box)
            found = table[own]
            if filled is not None:
                gaps = measure.label(own == 0, connectivity=1)
                found += filled[np.where(gaps > 0, gaps + first, 0)]
            objects.write(box, found)
        return whole

    def _smooth(self, classes: Store, box: Box) -> NDArray[Any]:
        if not any(self._reach):
            return classes.read(box)
        plane = slice(0, self._grid.height), slice(0, self._grid.width)
        around = grown(box, self._reach, plane)
        return majority(classes.read(around), self._reach)[moved(box, around)]

    def _find_gaps(self, box: Box, parts: NDArray[Any], count: int, faces: Faces) -> int:
        """Find the gaps of a block, and what touches them; return their number."""
        gaps = measure.label(parts == 0, connectivity=1).astype(np.int32)
        self._gaps.append(Parts.of(gaps, box, self._grid))
        own = np.where(gaps > 0, gaps + count, 0)
        here, there = (own[1:], own[:, 1:]), (parts[:-1], parts[:, :-1])
        back, forth = (own[:-1], own[:, :-1]), (parts[1:], parts[:, 1:])
        for gap, part in zip((*here, *back), (*there, *forth), strict=True):
            self._beside.append(pairs_of(gap, part, (gap > 0) & (part > 0)))
        for (gap, part), (other_gap, other_part) in faces.meet(box, [own, parts]):
            self._gap_pairs.append(pairs_of(gap, other_gap, (gap > 0) & (other_gap > 0)))
            self._beside.append(pairs_of(gap, other_part, (gap > 0) & (other_part > 0)))
            self._beside.append(pairs_of(other_gap, part, (other_gap > 0) & (part > 0)))
        return len(self._gaps[-1].size)

    def _filled(self, whole: Parts, table: Int64) -> Int64:
        """Return for each gap the part that it is a hole of, or 0; holes count as its pixels."""
        gaps, numbers = Parts.joined(self._gaps, self._gap_pairs)
        beside = all_pairs(self._beside)
        gap, part = numbers[beside[:, 0]], table[beside[:, 1]]
        least = np.full(len(gaps.size) + 1, np.iinfo(np.int64).max)
        greatest = np.zeros(len(gaps.size) + 1, np.int64)
        np.minimum.at(least, gap, part)
        np.maximum.at(greatest, gap, part)
        hole = (least == greatest)[1:] & ~gaps.edge & (gaps.size <= self._largest_hole)
        owner = np.concatenate([[0], np.where(hole, greatest[1:], 0)])
        inside = np.flatnonzero(owner[1:])
        np.add.at(whole.size, owner[1:][inside] - 1, gaps.size[inside])
        return owner[numbers]
