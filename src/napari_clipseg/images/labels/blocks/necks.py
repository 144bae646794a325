"""Objects of a plane split block by block: each object as a whole, or in tiles if it is huge."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import numpy as np

from napari_clipseg.images.labels.blocks.components import Parts
from napari_clipseg.images.labels.blocks.huge import Huge
from napari_clipseg.images.labels.blocks.progress import Steps
from napari_clipseg.images.labels.blocks.store import Blocks, Box, Grid, Store, grown
from napari_clipseg.images.labels.splitting import LEAST_SIDE, split_object


class Necks:
    """Splits the objects of a plane where they touch; see `images.labels.splitting`.

    An object is split as a whole, so that the borders of blocks make no difference.

    Parameters
    ----------
    objects : Store
        Their numbers; parts get new numbers there.
    parts : Parts
        What they are, changed, too.
    likelihood : Blocks, optional
        The heights; by default the distances to the outside.
    reach : list of int, optional
        See `peak_reach`.
    pixel : tuple of float
        Height and width of a pixel.
    most_pixels : int
        Objects with a larger bounding box are split in tiles of so many pixels.
    """

    def __init__(
        self,
        objects: Store,
        parts: Parts,
        likelihood: Blocks | None,
        reach: list[int] | None,
        pixel: tuple[float, float],
        most_pixels: int,
    ) -> None:
        self._objects, self._parts, self._likelihood = objects, parts, likelihood
        self._reach, self._pixel, self._most_pixels = reach, pixel, most_pixels
        self._count = len(parts.size)
        self._new: list[Parts] = []

    def steps(self, grid: Grid, scratch: Path) -> Generator[bool, None, None]:
        """Split the objects.

        Parameters
        ----------
        grid : Grid
            Of the plane.
        scratch : Path
            For what huge objects need on the way.

        Yields
        ------
        bool
            Before each step: whether it is a new block, and not a tile of a huge object.
        """
        bounds = self._parts.bounds
        extent = bounds[:, 2:] - bounds[:, :2]
        # In a smaller box there is no room for two peaks.
        least = [LEAST_SIDE] * 2 if self._reach is None else self._reach
        may_split = (extent > least).any(axis=1)
        blocks = bounds[:, 0] // grid.side, bounds[:, 1] // grid.side
        here = np.flatnonzero(may_split)
        here = here[np.lexsort((blocks[1][here], blocks[0][here]))]
        edges = blocks[0][here] * (grid.width // grid.side + 1) + blocks[1][here]
        for box in grid:
            yield True
            at = box[0].start // grid.side * (grid.width // grid.side + 1)
            at += box[1].start // grid.side
            low, high = np.searchsorted(edges, (at, at + 1))
            for i in here[low:high].tolist():
                top, left, bottom, right = bounds[i].tolist()
                whole = slice(top, bottom), slice(left, right)
                if (bottom - top) * (right - left) > self._most_pixels:
                    yield from self._split_huge(i + 1, whole, scratch / f"{i}")
                else:
                    self._split(i + 1, whole, grid)
        for name in ("size", "first", "edge", "bounds"):
            found = [getattr(one, name) for one in (self._parts, *self._new)]
            setattr(self._parts, name, np.concatenate(found))

    def _split(self, number: int, box: Box, grid: Grid) -> None:
        """Split one object."""
        mask = self._objects.read(box) == number
        heights = None if self._likelihood is None else self._likelihood.read(box)
        parts = split_object(mask, heights, self._reach, self._pixel)
        if parts.max() > 1:
            self._objects.write(box, parts + (self._count - 1), parts > 1)
            self._record(number, Parts.of(parts, box, grid))

    def _split_huge(self, number: int, box: Box, scratch: Path) -> Generator[bool, None, None]:
        """Split an object that is too large to be split as a whole."""
        how = self._likelihood, self._reach, self._pixel, self._most_pixels
        grid = self._objects.grid
        steps = Steps(Huge(number, box, self._objects, *how).steps(scratch))
        for _ in steps:
            yield False
        flooded, table = steps.value
        found, names, pairs = [], [], []
        seen: dict[int, int] = {}
        count = 0
        for block in grid.under(box):
            yield False
            at = grown(block, (0, 0), box)
            parts = table[flooded.read(at)]
            present = np.unique(parts[parts > 0])
            local = np.searchsorted(present, parts) + 1
            local[parts == 0] = 0
            found.append(Parts.of(local.astype(np.int32), at, grid))
            names.append(present)
            for i, name in enumerate(present.tolist(), start=count + 1):
                pairs.append((seen.setdefault(name, i), i))
            count += len(present)
        whole, rank = Parts.joined(found, [np.array(pairs, np.int64)])
        new = np.zeros(int(table.max()) + 1, np.int64)
        new[np.concatenate(names)] = rank[1:]
        if len(whole.size) > 1:
            for block in grid.under(box):
                yield False
                at = grown(block, (0, 0), box)
                parts = new[table[flooded.read(at)]]
                self._objects.write(at, parts + (self._count - 1), parts > 1)
            self._record(number, whole)
        flooded.remove()

    def _record(self, number: int, parts: Parts) -> None:
        """Take the first part for the object itself, the others for new ones."""
        for name in ("size", "first", "edge", "bounds"):
            values = getattr(parts, name)
            getattr(self._parts, name)[number - 1] = values[0]
            setattr(parts, name, values[1:])
        self._new.append(parts)
        self._count += len(parts.size)
