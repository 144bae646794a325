"""The tiles of a run in batches, and the probability maps of its planes put together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.images.geometry import outline_mask
from napari_clipseg.images.io.source import Reader
from napari_clipseg.images.probability import Float32
from napari_clipseg.images.rendering import Rendering
from napari_clipseg.images.tiling.plan import BAND, Plan, Tile, region_size
from napari_clipseg.images.tiling.stitch import Stitcher, on_pixels, sigmoid
from napari_clipseg.images.tiling.tiles import render_tile

# What makes logits of the stitched maps of some rows, where those are more than logits.
Judge: TypeAlias = Callable[[list[Float32], slice], Float32]


def batches(plan: Plan, most: int) -> Iterator[list[tuple[int, Tile]]]:
    """Yield the tiles of a run in batches, from one plane to the next without a break.

    Parameters
    ----------
    plan : Plan
        Of the run.
    most : int
        Largest number of tiles in a batch.

    Yields
    ------
    list of (int, Tile)
        Number of the plane and tile, all of one input size: a change of size ends a batch.

    Raises
    ------
    ValueError
        If `most` is below 1.
    """
    if most < 1:
        raise ValueError(f"Got batches of at most {most} tiles; wanted a number from 1.")
    sizes = {tile: plan.input_size(tile) for tile in plan.tiles_of_plane}
    batch: list[tuple[int, Tile]] = []
    for plane in range(len(plan.extent.planes)):
        for tile in plan.tiles_of_plane:
            if batch and (len(batch) == most or sizes[tile] != sizes[batch[0][1]]):
                yield batch
                batch = []
            batch.append((plane, tile))
    yield batch


class Mosaic:
    """The map of one plane of a run, put together from its tiles.

    Parameters
    ----------
    reader : Reader
        Of the image.
    rendering : Rendering
        How the model sees its pixels.
    plan : Plan
        Of the run.
    plane : tuple of int
        Index of the plane in the image.
    whole_bands : bool
        Whether `add` gives rows in bands of `BAND` only, so that each chunk of a file is written
        once, or as soon as they are complete.
    judge : callable, optional
        Makes ``(maps, rows, columns)`` logits of the stitched maps, one array for each that tiles
        have, and their rows; by default there is one array, of logits.

    Attributes
    ----------
    any_finite : bool
        Whether a pixel of the rows given so far was a finite number.
    """

    def __init__(
        self,
        reader: Reader,
        rendering: Rendering,
        plan: Plan,
        plane: tuple[int, ...],
        *,
        whole_bands: bool = False,
        judge: Judge | None = None,
    ) -> None:
        self._reader, self._rendering, self._plan, self._plane = reader, rendering, plan, plane
        self._stitchers: list[Stitcher] = []  # one for each array that tiles have
        self._overviews: tuple[Float32, ...] = ()
        self._next_row = plan.rows.start
        self._whole_bands, self._judge = whole_bands, judge
        self.any_finite = not reader.source.may_have_gaps

    @property
    def complete(self) -> bool:
        """Whether all rows of the plane were given."""
        return bool(self._next_row == self._plan.rows.stop)

    def render(self, tile: Tile) -> NDArray[np.uint8]:
        """Return what the model sees of a tile: ``(rows, columns, 3)``."""
        return self._rendered(tile, self._plan.input_size(tile))

    def render_regions(self, tile: Tile) -> NDArray[np.uint8]:
        """Return a tile as regions are found in it: ``(rows, columns, 3)``."""
        return self._rendered(tile, region_size(tile))

    def _rendered(self, tile: Tile, size: tuple[int, int]) -> NDArray[np.uint8]:
        level = self._plan.level
        return render_tile(self._reader, self._rendering, self._plane, tile, level=level, size=size)

    def render_region(self) -> NDArray[np.uint8]:
        """Return the image under the map, at the map's size: ``(height, width, 3)``."""
        plan, rendering = self._plan, self._rendering
        return rendering.apply(
            self._reader.read(plan.level, self._plane, plan.rows, plan.columns, rendering.channels)
        )

    def add(self, tile: Tile, *maps: Float32) -> Iterator[tuple[slice, Float32]]:
        """Take the maps of a tile, and yield the rows that are complete with them.

        Parameters
        ----------
        tile : Tile
            The next of the plan's `tiles_of_plane`: tiles come in that order.
        *maps : ndarray of float32
            ``(maps, rows, columns)``: logits; for `judge` one array or more, each of its own size.

        Yields
        ------
        rows : slice
            Rows of the map.
        probability : ndarray of float32
            ``(maps, rows, width)``; 0 where a pixel is not finite or outside the region.
        """
        if tile == self._plan.overview:
            self._overviews = maps
            return
        plan = self._plan
        if not self._stitchers:
            self._stitchers = [Stitcher(plan.tiles, plan.rows, plan.columns) for _ in maps]
        for stitcher, one in zip(self._stitchers, maps, strict=True):
            stitcher.add(tile, one)
        if tile.left != self._plan.tiles[-1].left:
            return  # the row of tiles goes on
        until = self._stitchers[0].ready_until(tile.top)
        first, stop = self._plan.rows.start, self._plan.rows.stop
        while self._next_row < until:
            last = min(self._next_row + BAND, stop)
            if last > until and self._whole_bands:
                return
            rows = slice(self._next_row, min(last, until))
            band = self._band(rows)
            self._next_row = rows.stop
            for stitcher in self._stitchers:
                stitcher.drop_before(rows.stop)
            yield slice(rows.start - first, rows.stop - first), band

    def so_far(self, tile: Tile) -> tuple[slice, slice, Float32] | None:
        """Return the map under a tile that was added, as far as its neighbors are there.

        Returns
        -------
        tuple of (slice, slice, ndarray of float32), optional
            Rows and columns of the map, and ``(maps, rows, columns)``; None where `add` has given
            all of it, the tile is the overview, or maps are judged by whole rows.
        """
        plan = self._plan
        rows = slice(max(tile.top, self._next_row), min(tile.top + tile.height, plan.rows.stop))
        columns = slice(
            max(tile.left, plan.columns.start), min(tile.left + tile.width, plan.columns.stop)
        )
        if tile == plan.overview or self._judge is not None:
            return None
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return None
        logits = self._with_overview(self._stitchers[0].so_far(rows, columns), 0, rows, columns)
        return (
            slice(rows.start - plan.rows.start, rows.stop - plan.rows.start),
            slice(columns.start - plan.columns.start, columns.stop - plan.columns.start),
            self._probability(logits, rows, columns),
        )

    def _band(self, rows: slice) -> Float32:
        columns = self._plan.columns
        stitched = [
            self._with_overview(one.band(rows), i, rows, columns)
            for i, one in enumerate(self._stitchers)
        ]
        logits = stitched[0] if self._judge is None else self._judge(stitched, rows)
        return self._probability(logits, rows, columns)

    def _with_overview(self, logits: Float32, i: int, rows: slice, columns: slice) -> Float32:
        plan = self._plan
        if plan.overview is None:
            return logits
        seen = on_pixels(self._overviews[i], plan.overview, rows, columns)
        weight = plan.overview_weight
        return (1 - weight) * logits + weight * seen

    def _probability(self, logits: Float32, rows: slice, columns: slice) -> Float32:
        """Return the probabilities of logits; 0 where a pixel is not finite or not asked for."""
        plan = self._plan
        probability = sigmoid(logits)
        if self._reader.source.may_have_gaps:
            channels = self._rendering.channels
            pixels = self._reader.read(plan.level, self._plane, rows, columns, channels)
            finite = np.isfinite(pixels).all(axis=2)
            self.any_finite |= bool(finite.any())
            probability[:, ~finite] = 0
        if plan.outline is not None:
            corners = plan.outline - (rows.start, columns.start)
            size = (rows.stop - rows.start, columns.stop - columns.start)
            probability[:, ~outline_mask(size, corners)] = 0
        return probability
