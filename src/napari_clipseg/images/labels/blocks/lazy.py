"""The classes of maps in a file, block by block, computed when they are used."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.images.labels.blocks.classes import Classes, Reached
from napari_clipseg.images.labels.blocks.progress import Steps
from napari_clipseg.images.labels.blocks.steps import SIDE, part_of
from napari_clipseg.images.labels.blocks.store import Grid


def classes_by_blocks(maps: Any, classes: Classes, side: int = SIDE) -> Any:
    """Return the classes of maps with hysteresis as a dask array.

    When the first block of a plane is computed, all blocks of the plane are gone through; what is
    kept of them are a few numbers for each part above the low threshold.

    Parameters
    ----------
    maps : dask array
        ``(prompts, *planes, height, width)``; negative prompts last.
    classes : Classes
        With a low threshold.
    side : int
        Of a block.

    Returns
    -------
    dask array
        ``(*planes, height, width)`` int32.
    """
    planes = dict.fromkeys(range(1, maps.ndim - 2), 1)
    blocks = maps.rechunk({0: -1, **planes, maps.ndim - 2: side, maps.ndim - 1: side})
    paths = _Paths(maps, classes, Grid(maps.shape[-2], maps.shape[-1], side))

    def label(block: NDArray[Any], block_info: Mapping[int, Any]) -> NDArray[np.int32]:
        _, *plane, row, column = block_info[0]["chunk-location"]
        inside = block.reshape(len(block), *block.shape[-2:])
        reached = paths.of(plane)[row * blocks.numblocks[-1] + column]
        return classes.admitted(inside, reached).reshape(block.shape[1:])

    return blocks.map_blocks(
        label,
        drop_axis=0,
        dtype=np.int32,
        meta=np.empty((0,) * (maps.ndim - 1), np.int32),
        name=f"classes-{uuid4().hex}",  # dask would read all that the function holds for a name
    )


class _Paths:
    """Which parts of each block reach the threshold; found once for each plane."""

    def __init__(self, maps: Any, classes: Classes, grid: Grid) -> None:
        self._maps, self._classes, self._grid = maps, classes, grid
        self._found: dict[tuple[int, ...], list[Reached]] = {}
        self._lock = threading.Lock()

    def of(self, plane: Sequence[int]) -> list[Reached]:
        at = tuple(plane)
        with self._lock:  # the blocks of a plane are computed at the same time
            if at not in self._found:
                self._found[at] = self._find(at)
            return self._found[at]

    def _find(self, plane: tuple[int, ...]) -> list[Reached]:
        steps = Steps(self._classes.reached(self._grid, partial(part_of, self._maps, plane)))
        for _ in steps:
            pass
        return steps.value
