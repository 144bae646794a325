"""A plane in blocks: where they lie, and arrays of it on disk, with few blocks in memory."""

from __future__ import annotations

import shutil
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Box = tuple[slice, slice]  # rows and columns of a plane
IN_MEMORY = 24  # blocks of an array


@dataclass(frozen=True)
class Grid:
    """The blocks of a plane.

    Attributes
    ----------
    height, width : int
        Of the plane.
    side : int
        Of a block; those at the right and at the bottom are smaller.

    Examples
    --------
    >>> [(box[0].start, box[1].start) for box in Grid(3, 4, 2)]
    [(0, 0), (0, 2), (2, 0), (2, 2)]
    """

    height: int
    width: int
    side: int

    def __iter__(self) -> Iterator[Box]:
        """Go through the blocks in reading order."""
        for top in range(0, self.height, self.side):
            for left in range(0, self.width, self.side):
                yield self.block(top, left)

    def __len__(self) -> int:
        """Return the number of blocks."""
        return -(-self.height // self.side) * -(-self.width // self.side)

    def block(self, row: int, column: int) -> Box:
        """Return the block in which a pixel lies."""
        top, left = row - row % self.side, column - column % self.side
        bottom, right = min(top + self.side, self.height), min(left + self.side, self.width)
        return slice(top, bottom), slice(left, right)

    def under(self, box: Box) -> Iterator[Box]:
        """Go through the blocks that a part of the plane touches."""
        rows, columns = (
            range(one.start - one.start % self.side, one.stop, self.side) for one in box
        )
        for top in rows:
            for left in columns:
                yield self.block(top, left)


def grown(box: Box, reach: tuple[int, int], within: Box) -> Box:
    """Return a part of the plane with so many more rows and columns around, within another."""
    rows, columns = (
        slice(max(one.start - more, most.start), min(one.stop + more, most.stop))
        for one, more, most in zip(box, reach, within, strict=True)
    )
    return rows, columns


def moved(box: Box, origin: Box) -> Box:
    """Return a part of the plane in an array that begins where another part does."""
    rows, columns = (
        slice(one.start - first.start, one.stop - first.start)
        for one, first in zip(box, origin, strict=True)
    )
    return rows, columns


class Blocks:
    """An array ``(height, width)`` of which the blocks that were read last are in memory.

    Parameters
    ----------
    grid : Grid
        Its blocks.
    load : callable
        From a block's place to its values.
    """

    def __init__(self, grid: Grid, load: Callable[[Box], NDArray[Any]]) -> None:
        self.grid, self._load = grid, load
        self._blocks: OrderedDict[tuple[int, int], NDArray[Any]] = OrderedDict()

    def read(self, box: Box) -> NDArray[Any]:
        """Return a part of the array, not to be written to."""
        parts = [(block, self._block(block)) for block in self.grid.under(box)]
        if len(parts) == 1:
            return parts[0][1][moved(box, parts[0][0])]
        result = np.empty([one.stop - one.start for one in box], parts[0][1].dtype)
        for block, values in parts:
            common = grown(block, (0, 0), box)
            result[moved(common, box)] = values[moved(common, block)]
        return result

    def _block(self, box: Box) -> NDArray[Any]:
        place = box[0].start, box[1].start
        if place not in self._blocks:
            self._keep(place, self._load(box))
        self._blocks.move_to_end(place)
        return self._blocks[place]

    def _keep(self, place: tuple[int, int], values: NDArray[Any]) -> None:
        self._blocks[place] = values
        self._blocks.move_to_end(place)
        while len(self._blocks) > IN_MEMORY:
            self._drop(*self._blocks.popitem(last=False))

    def _drop(self, place: tuple[int, int], values: NDArray[Any]) -> None:
        """Forget a block."""


class Store(Blocks):
    """An array that can be written, in files; 0 where nothing was.

    Parameters
    ----------
    grid : Grid
        Its blocks.
    folder : Path
        Where the files lie; it is made.
    dtype : dtype
        Of the values.
    """

    def __init__(self, grid: Grid, folder: Path, dtype: DTypeLike) -> None:
        super().__init__(grid, self._from_file)
        self._folder, self._dtype = folder, np.dtype(dtype)
        self._changed: set[tuple[int, int]] = set()
        folder.mkdir(parents=True)

    def write(self, box: Box, values: NDArray[Any], where: NDArray[np.bool_] | None = None) -> None:
        """Write a part of the array, or those of its pixels that are true in `where`."""
        for block in self.grid.under(box):
            place = block[0].start, block[1].start
            common = grown(block, (0, 0), box)
            new = values[moved(common, box)]
            if common == block and where is None:
                self._keep(place, new.astype(self._dtype))
            else:
                there = self._block(block)[moved(common, block)]
                np.copyto(there, new, where=True if where is None else where[moved(common, box)])
            self._changed.add(place)

    def _from_file(self, box: Box) -> NDArray[Any]:
        path = self._path((box[0].start, box[1].start))
        if path.exists():
            loaded: NDArray[Any] = np.load(path)
            return loaded
        return np.zeros([one.stop - one.start for one in box], self._dtype)

    def _drop(self, place: tuple[int, int], values: NDArray[Any]) -> None:
        if place in self._changed:
            np.save(self._path(place), values)
            self._changed.remove(place)

    def _path(self, place: tuple[int, int]) -> Path:
        return self._folder / f"{place[0]}-{place[1]}.npy"

    def remove(self) -> None:
        """Remove the files."""
        shutil.rmtree(self._folder)
        self._blocks.clear()
        self._changed.clear()
