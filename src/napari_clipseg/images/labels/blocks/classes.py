"""The classes of a plane, block by block."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage import measure

from napari_clipseg.images.labels.blocks.joining import Faces, all_pairs, groups_of, pairs_of
from napari_clipseg.images.labels.blocks.store import Box, Grid, Store
from napari_clipseg.images.labels.threshold import (
    Threshold,
    admitted_labels,
    check_below,
    one_each,
    semantic_labels,
)
from napari_clipseg.images.probability import as_unit

Read = Callable[[Box], NDArray[Any]]
Reached = list[NDArray[np.bool_]]  # of each prompt


@dataclass(frozen=True)
class Classes:
    """How pixels get classes; see `images.labels.threshold.semantic_labels`.

    Attributes
    ----------
    threshold : float or sequence of float
        One for all prompts, or one each.
    low_threshold : float, sequence of float, or None
        For hysteresis.
    negative : sequence of int
        Negative prompts, counted from 0.
    """

    threshold: Threshold
    low_threshold: Threshold | None = None
    negative: Sequence[int] = ()

    @property
    def passes(self) -> int:
        """How often each block is visited."""
        return 1 if self.low_threshold is None else 2

    def steps(self, grid: Grid, read: Read, classes: Store) -> Generator[None, None, None]:
        """Write the classes of a plane; yield before each block.

        Parameters
        ----------
        grid : Grid
            Of the plane.
        read : callable
            From a part of the plane to its maps ``(prompts, height, width)``.
        classes : Store
            Where the classes are written.
        """
        if self.low_threshold is None:
            for box in grid:
                yield
                classes.write(
                    box, semantic_labels(read(box), self.threshold, negative=self.negative)
                )
            return
        tables = yield from self.reached(grid, read)
        for box, reached in zip(grid, tables, strict=True):
            yield
            classes.write(box, self.admitted(read(box), reached))

    def admitted(self, maps: NDArray[Any], reached: Reached) -> NDArray[np.int32]:
        """Return the classes of a block, of which `reached` was found."""
        masks = [table[low] for table, low in zip(reached, self._low(maps), strict=True)]
        return admitted_labels(maps, np.stack(masks), self.negative)

    def reached(self, grid: Grid, read: Read) -> Generator[None, None, list[Reached]]:
        """Find the parts above the low threshold that reach the high one; yield before each block.

        A part may reach it in another block.

        Parameters
        ----------
        grid, read
            See `steps`.

        Returns
        -------
        list
            For each block, for each prompt, which of its parts do.
        """
        counts: list[list[int]] = []
        peaks: list[list[NDArray[np.bool_]]] = []
        pairs: list[list[Any]] = []
        faces: list[Faces] = []
        for box in grid:
            yield
            maps = read(box)
            highs = one_each(self.threshold, len(maps))
            if not faces:
                faces = [Faces(grid, diagonal=False) for _ in maps]
                counts, peaks, pairs = [[0] for _ in maps], [[] for _ in maps], [[] for _ in maps]
            for k, (low, high) in enumerate(zip(self._low(maps), highs, strict=True)):
                count = int(low.max())
                peak = np.zeros(count + 1, np.bool_)
                peak[low[as_unit(maps[k]) > np.float32(high)]] = True
                peaks[k].append(peak[1:])
                own = np.where(low > 0, low + counts[k][-1], 0)
                for (here,), (there,) in faces[k].meet(box, [own]):
                    pairs[k].append(pairs_of(here, there, (here > 0) & (there > 0)))
                counts[k].append(counts[k][-1] + count)
        tables: list[Reached] = [[] for _ in grid]
        for k, firsts in enumerate(counts):
            groups = groups_of(firsts[-1] + 1, all_pairs(pairs[k]))[1:]
            whole = np.zeros(firsts[-1] + 1, np.bool_)
            whole[groups[np.concatenate(peaks[k])]] = True
            reached = whole[groups]
            for table, first, last in zip(tables, firsts[:-1], firsts[1:], strict=True):
                table.append(np.concatenate([[False], reached[first:last]]))
        return tables

    def _low(self, maps: NDArray[Any]) -> list[NDArray[np.int64]]:
        """Return the connected parts of each map that are above the low threshold."""
        lows = one_each(self.low_threshold, len(maps))  # type: ignore[arg-type]
        check_below(lows, one_each(self.threshold, len(maps)))
        return [
            measure.label(as_unit(one) > np.float32(low), connectivity=1).astype(np.int64)
            for one, low in zip(maps, lows, strict=True)
        ]
