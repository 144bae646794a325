"""A run: its tiles rendered, segmented and put together, plane by plane."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.cache import ByteCache
from napari_clipseg.decoding import Decoding, Pixels, cached_regions
from napari_clipseg.engine.engine import Engine
from napari_clipseg.images.edges.refine import refine_strips
from napari_clipseg.images.io.maps import ProbabilityMap
from napari_clipseg.images.io.source import Reader
from napari_clipseg.images.rendering import Rendering
from napari_clipseg.images.tiling.mosaic import Judge, Mosaic, batches
from napari_clipseg.images.tiling.plan import Plan, Tile
from napari_clipseg.results import Progress, Segmentation

# Tiles of a batch as the model sees them, and as regions are found in them, if they are.
ShownTiles: TypeAlias = tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]
# From batches of tiles to what `maps_of_tiles` gives of each, in their order.
Answer: TypeAlias = Callable[[Iterator[ShownTiles]], Iterator[list[NDArray[np.float32]]]]


def maps_of_tiles(
    engine: Engine,
    decoding: Decoding,
    images: list[NDArray[np.uint8]],
    regions: list[NDArray[np.uint8]],
    cache: ByteCache[NDArray[Any]] | None = None,
) -> list[NDArray[np.float32]]:
    """Return the maps of some tiles, to be stitched: of the model, then of regions, if any.

    Parameters
    ----------
    engine, decoding
        What runs the model, and how the prompts are answered.
    images, regions : list of ndarray of uint8
        ``(rows, columns, 3)``: the tiles, and the same ones as regions are found in them.
    cache : ByteCache, optional
        Of the numbers of regions.

    Returns
    -------
    list of ndarray of float32
        ``(tiles, maps, rows, columns)``.
    """
    maps = [decoding.tile_maps(engine.encode(images, resize=False))]
    return [*maps, np.stack(cached_regions(regions, cache))] if regions else maps


class Run:
    """The tiles of a run, rendered, segmented and put together; planes are finished in order.

    Tiles are streamed across planes, so that a stack of one tile a plane fills the engine's batch.

    Parameters
    ----------
    reader : Reader
        Of the image.
    rendering : Rendering
        How the model sees its pixels.
    plan : Plan
        Which tiles.
    engine : Engine
        What segments them.
    decoding : Decoding
        How the prompts are answered.
    written : ProbabilityMap
        Where the maps are written.
    result : Segmentation
        What the run will give, still without its map.
    cache : ByteCache, optional
        Of filtered pixels.
    answer : callable, optional
        Makes the maps of tiles, batch by batch, in another place than this process.
    by_tile : bool
        Whether the run can be stopped after each tile on a CPU, where a batch of several saves
        nothing, and a map in memory shows each tile at once.

    Attributes
    ----------
    any_finite : bool
        Whether a pixel of the planes that are done was a finite number.
    """

    def __init__(
        self,
        reader: Reader,
        rendering: Rendering,
        plan: Plan,
        engine: Engine,
        decoding: Decoding,
        written: ProbabilityMap,
        result: Segmentation,
        cache: ByteCache[NDArray[Any]] | None = None,
        answer: Answer | None = None,
        by_tile: bool = False,
    ) -> None:
        self._by_tile = by_tile
        self._answer = answer or self._answer_here
        self._reader, self._rendering, self._plan = reader, rendering, plan
        self._engine, self._decoding, self._written = engine, decoding, written
        self._partial = replace(result, probability=written.data, complete=False)
        self._refine_edges = result.recipe.refine_edges
        self._mosaics: dict[int, Mosaic] = {}  # of the planes that are begun
        self._cache = cache
        if decoding.judges:
            self._pixels = Pixels.of(reader, rendering, plan.extent.planes, cache)
            self._pixels.require(decoding.image_channels)
        self.any_finite = False

    def steps(self, total: int, *, whole_bands: bool) -> Generator[Progress, None, None]:
        """Run all tiles; yield before each batch."""
        done, places = 2, list(np.ndindex(*self._plan.extent.planes_shape))
        alone = self._by_tile and self._engine.device.type == "cpu"
        every = list(batches(self._plan, 1 if alone else self._engine.batch_size))
        answers = self._answer(self._shown(batch, whole_bands) for batch in every)
        for batch in every:
            # A new one each time: it keeps the labels that were made of it.
            yield Progress(
                done, total, self._message(batch[0][0], done - 1), replace(self._partial)
            )
            all_maps = next(answers)
            done += len(batch)
            for (number, tile), *maps in zip(batch, *all_maps, strict=True):
                mosaic, at = self._mosaics[number], places[number]
                for rows, band in mosaic.add(tile, *maps):
                    self._written.write(at, rows, band)
                shown = self._by_tile and not whole_bands and self._written.dtype.kind == "f"
                if shown and (part := mosaic.so_far(tile)):
                    rows, columns, seen = part
                    self._written.data[(slice(None), *at, rows, columns)] = seen
                if mosaic.complete:
                    if self._refine_edges:
                        done = yield from self._refine(mosaic, at, done, total)
                    self._written.end_plane(at)
                    self.any_finite |= mosaic.any_finite
                    del self._mosaics[number]

    def _mosaic(self, number: int, whole_bands: bool) -> Mosaic:
        plane = self._plan.extent.planes[number]
        return Mosaic(
            self._reader,
            self._rendering,
            self._plan,
            plane,
            whole_bands=whole_bands,
            judge=self._judge(plane),
        )

    def _shown(self, batch: list[tuple[int, Tile]], whole_bands: bool) -> ShownTiles:
        """Return what is seen of some tiles."""
        for number, _ in batch:
            if number not in self._mosaics:
                self._mosaics[number] = self._mosaic(number, whole_bands)
        images = [self._mosaics[number].render(tile) for number, tile in batch]
        if not self._decoding.needs_regions:
            return images, []
        return images, [self._mosaics[number].render_regions(tile) for number, tile in batch]

    def _answer_here(self, shown: Iterator[ShownTiles]) -> Iterator[list[NDArray[np.float32]]]:
        for images, regions in shown:
            yield maps_of_tiles(self._engine, self._decoding, images, regions, self._cache)

    def _judge(self, plane: tuple[int, ...]) -> Judge | None:
        """Return what learned prompts make of the stitched maps of some rows of a plane."""
        if not self._decoding.judges:
            return None
        plan, wanted = self._plan, self._decoding.image_channels

        def judge(maps: list[NDArray[np.float32]], rows: slice) -> NDArray[np.float32]:
            responses = self._pixels.responses(plan.level, plane, rows, plan.columns, wanted=wanted)
            return self._decoding.judge(maps, responses)

        return judge

    def _message(self, number: int, tile: int) -> str:
        planes, tiles = len(self._plan.extent.planes), self._plan.tile_count
        where = f"plane {number + 1} of {planes}, " if planes > 1 else ""
        of_tiles = f"tile {tile} of {tiles}" if tiles > 1 else ""
        return "Segmenting the image" + (f": {where}{of_tiles}" if where or of_tiles else "")

    def _refine(
        self, mosaic: Mosaic, at: tuple[int, ...], done: int, total: int
    ) -> Generator[Progress, None, int]:
        """Refine the map of a plane, strip by strip; return how many steps are done then."""
        maps = self._written.data[(slice(None), *at)]
        radius = max(1, round(self._plan.patch_pixels / 2))
        message = "Following the image's edges"
        yield Progress(done, total, message, replace(self._partial))
        strips = refine_strips(maps, mosaic.render_region(), radius=radius)
        refined = np.empty(maps.shape, np.float32)
        for rows, strip in strips:
            # What is not finite, or outside of the region, stays 0.
            refined[:, rows] = np.where(maps[:, rows] > 0, strip, np.float32(0))
            done += 1
            if rows.stop < self._plan.height:
                yield Progress(done, total, message, replace(self._partial))
        self._written.write(at, slice(0, self._plan.height), refined)
        return done
