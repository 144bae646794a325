"""An object that is too large to be split as a whole: split in tiles that overlap."""

from __future__ import annotations

from collections.abc import Generator
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from napari_clipseg.images.labels.blocks.components import Int32
from napari_clipseg.images.labels.blocks.joining import Int64, groups_of
from napari_clipseg.images.labels.blocks.store import Blocks, Box, Store, grown, moved
from napari_clipseg.images.labels.splitting import (
    LEAST_DIP,
    LEAST_STEP,
    OWN_DIP,
    Float32,
    Mask,
    blurred,
    flooded,
    joined_parts,
    own_reach,
    peaks_of,
    seeds_of,
    ways_of,
    without_small_holes,
)

BLUR_REACH = 5  # pixels; as far as the blur of the heights reaches


class Huge:
    """Splits one object in tiles.

    Each tile is flooded with a margin around it, and a part is known by the place of its peak.
    So parts that are smaller than the margin are those of the whole object. A larger part, whose
    peak a tile does not see, has two names where tiles meet: these are made one.

    Parameters
    ----------
    number : int
        Of the object.
    box : tuple of slice
        Its bounding box.
    objects : Store
        The numbers of all objects.
    likelihood : Blocks, optional
        The heights; by default the distances to the outside, up to the margin.
    reach : list of int, optional
        See `peak_reach`.
    pixel : tuple of float
        Height and width of a pixel.
    most_pixels : int
        Of a tile with its margin: half of its side is the tile, a quarter the margin.
    """

    def __init__(
        self,
        number: int,
        box: Box,
        objects: Store,
        likelihood: Blocks | None,
        reach: list[int] | None,
        pixel: tuple[float, float],
        most_pixels: int,
    ) -> None:
        self._number, self._box, self._objects = number, box, objects
        self._likelihood, self._pixel = likelihood, pixel
        side = isqrt(most_pixels)
        self._tile = max(1, side // 2)
        down, across = reach or (0, 0)
        self._margin = max(side // 4, down + BLUR_REACH), max(side // 4, across + BLUR_REACH)
        self._given, self._reach = reach, reach or [1, 1]
        self._thickness = 0.0
        self._codes: dict[int, int] = {}  # of the place of each peak, from 1
        self._tops: dict[int, Any] = {}
        self._ways: dict[tuple[int, int], float] = {}
        self._peaks: dict[tuple[int, int], set[int]] = {}  # that each tile has seen
        self._same: list[tuple[int, int]] = []

    def steps(self, folder: Path) -> Generator[None, None, tuple[Store, Int64]]:
        """Flood the tiles; yield before each.

        Parameters
        ----------
        folder : Path
            For what is needed on the way; it is made.

        Returns
        -------
        Store
            The names of the parts; 0 outside. The generator's return value, with the next.
        ndarray of int64
            The part of each name, from 1; 0 for 0.
        """
        written = Store(self._objects.grid, folder, np.int32)
        rows, columns = self._box
        tiles = [
            self._at(top, left)
            for top in range(rows.start, rows.stop, self._tile)
            for left in range(columns.start, columns.stop, self._tile)
        ]
        if self._given is None:
            for tile in tiles:
                yield
                self._thickness = max(self._thickness, self._thickest(tile))
            own = own_reach(self._thickness, self._pixel)
            # What lies farther is seen by no tile.
            most = [max(1, one - BLUR_REACH) for one in self._margin]
            self._reach = [min(one, limit) for one, limit in zip(own, most, strict=True)]
        for tile in tiles:
            yield
            self._flood(tile, written)
        return written, self._joined()

    def _thickest(self, tile: Box) -> float:
        """Return the greatest distance to the outside in a tile."""
        window = grown(tile, self._margin, self._box)
        mask = self._objects.read(window) == self._number
        return float(self._distance(mask, window)[mask].max(initial=0))

    def _at(self, top: int, left: int) -> Box:
        rows, columns = slice(top, top + self._tile), slice(left, left + self._tile)
        return grown((rows, columns), (0, 0), self._box)

    def _flood(self, tile: Box, written: Store) -> None:
        """Split a tile with its margin, and write the tile itself."""
        window = grown(tile, self._margin, self._box)
        inner = moved(tile, window)
        mask = self._objects.read(window) == self._number
        if not mask[inner].any():
            return
        likelihood = self._likelihood
        if likelihood is None:
            filled = mask
            if self._given is None:
                filled = without_small_holes(mask, self._thickness, self._pixel)
            height = self._distance(filled, window)
        else:
            height = likelihood.read(window)
        height = blurred(mask, height)
        seeds = seeds_of(peaks_of(mask, height, self._reach), self._reach)
        parts = flooded(mask, height, seeds)
        places = np.flatnonzero(seeds)
        blind = ndimage.label(mask & (parts == 0), np.ones((3, 3)))[0]  # of peaks far away
        if blind.any():
            at = ndimage.maximum_position(height, blind, range(1, int(blind.max()) + 1))
            parts[blind > 0] = blind[blind > 0] + len(places)
            places = np.append(places, [np.ravel_multi_index(one, mask.shape) for one in at])
        down, across = np.unravel_index(places, mask.shape)
        places = (down + window[0].start) * written.grid.width + across + window[1].start
        codes = np.array([0, *(self._code(place) for place in places.tolist())], np.int32)
        named: Int32 = codes[parts]
        self._peaks[tile[0].start, tile[1].start] = set(codes.tolist())
        self._measure(named[inner], height[inner])
        self._compare(named, height, tile, window, written)
        written.write(tile, named[inner])

    def _code(self, place: int) -> int:
        return self._codes.setdefault(place, len(self._codes) + 1)

    def _distance(self, mask: Mask, window: Box) -> Float32:
        """Return the distance of each pixel to the outside, up to the margin.

        What lies beyond the window counts as inside, but not what lies beyond the object's box.
        """
        framed = np.pad(mask, 1, constant_values=True)
        for axis, (here, whole) in enumerate(zip(window, self._box, strict=True)):
            lines = framed.swapaxes(0, axis)
            if here.start == whole.start:
                lines[0] = False
            if here.stop == whole.stop:
                lines[-1] = False
        farthest = min(n * one for n, one in zip(self._margin, self._pixel, strict=True))
        if framed.all():
            return np.full(mask.shape, farthest, np.float32)
        far = ndimage.distance_transform_edt(framed, sampling=self._pixel)[1:-1, 1:-1]
        near: Float32 = np.minimum(far, farthest).astype(np.float32)
        return near

    def _measure(self, named: Int32, height: Float32) -> None:
        """Note how high the parts of a tile are, and where they meet."""
        present, local = np.unique(named, return_inverse=True)
        tops = ndimage.maximum(height, local.reshape(named.shape), range(len(present)))
        for code, top in zip(present.tolist(), tops, strict=True):
            self._tops[code] = max(self._tops.get(code, top), top)
        self._meet(named, height)

    def _meet(self, named: Int32, height: Float32) -> None:
        for way, *pair in ways_of(named, height):
            one, other = pair
            self._ways[one, other] = max(self._ways.get((one, other), way), way)

    def _compare(
        self, named: Int32, height: Float32, tile: Box, window: Box, written: Store
    ) -> None:
        """Compare a tile with those above and to the left of it, where they meet."""
        seen = self._peaks[tile[0].start, tile[1].start]
        for axis in (0, 1):
            start = tile[axis].start
            if start == self._box[axis].start:
                continue
            before, after, corner = [*tile], [*tile], [one.start for one in tile]
            before[axis], after[axis] = slice(start - 1, start), slice(start, start + 1)
            corner[axis] -= self._tile
            line, first = (moved((one[0], one[1]), window) for one in (before, after))
            there = written.read((before[0], before[1]))
            self._meet(
                np.concatenate([there, named[first]], axis),
                np.concatenate([height[line], height[first]], axis),
            )
            seen_there = self._peaks.get((corner[0], corner[1]), set())
            self._same += _two_names(named[line], there, seen, seen_there)

    def _joined(self) -> Int64:
        """Return the part of each name: parts with a shallow minimum between them are joined."""
        count = len(self._codes) + 1
        # In the order of the whole object's peaks, which decides between equal heights.
        order = np.argsort(np.array([-1, *self._codes]), kind="stable")
        rank = np.empty(count, np.int64)
        rank[order] = np.arange(count)
        same = rank[np.array(self._same, np.int64).reshape(-1, 2)]
        group = groups_of(count, same)[rank]
        tops = np.zeros(int(group.max()) + 1, np.float32)
        for code, top in self._tops.items():
            tops[group[code]] = max(tops[group[code]], top)
        ways: dict[tuple[int, int], float] = {}
        for (one, other), way in self._ways.items():
            low, high = sorted((int(group[one]), int(group[other])))
            if low != high:
                ways[low, high] = max(ways.get((low, high), way), way)
        step = LEAST_STEP * max(self._pixel) if self._likelihood is None else 0
        dip = OWN_DIP if self._given is None and self._likelihood is None else LEAST_DIP
        parts = joined_parts(tops, [(way, *pair) for pair, way in ways.items()], step, dip)
        return parts.astype(np.int64)[group]


def _two_names(
    here: Int32, there: Int32, seen_here: set[int], seen_there: set[int]
) -> list[tuple[int, int]]:
    """Return the names, in two tiles, of parts whose peak one of the tiles does not see.

    Parameters
    ----------
    here, there : ndarray of int32
        What two tiles call the parts at the same pixels.
    seen_here, seen_there : set of int
        The names of all peaks that they see.
    """
    differ = (here > 0) & (there > 0) & (here != there)
    pairs, counts = np.unique(np.stack([here[differ], there[differ]]), axis=1, return_counts=True)
    same = []
    for one, other, count in zip(*pairs.tolist(), counts.tolist(), strict=True):
        least = min(np.count_nonzero(here == one), np.count_nonzero(there == other))
        if 2 * count > least and (one not in seen_there or other not in seen_here):
            same.append((one, other))
    return same
